// `unstall disconnect`: asks, gives the access back, deletes what is stored of this connection and of no other, and touches
// nothing in the CRM.
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Database, openDatabase } from '../../src/store/db.ts'
import { openRun } from '../../src/store/runs.ts'
import { CallsAnswer } from '../sandbox/answers.ts'
import { connected } from '../sandbox/consent.ts'
import { type Place, place, unpaced } from './harness.ts'

unpaced()
let at: Place
const OAUTH = '{ kind: oauth, clientId: sandbox, clientSecret: sandbox }'
beforeAll(async () => {
  at = await place()
  at.config([
    ['{ kind: token, token: "$' + '{HUBSPOT_TOKEN}" }', OAUTH],
    ['{ kind: client-credentials, clientId: sandbox, clientSecret: "$' + '{SF_CLIENT_SECRET}" }', OAUTH],
  ])
})
afterAll(() => at.close())

async function within<T>(work: (database: Database) => Promise<T>): Promise<T> {
  const database = await openDatabase({ dataDir: join(at.folder, '.unstall') })
  return work(database).finally(() => database.close())
}
/** Rows by table and connection. */
const stored = () =>
  within(async ({ db }) => {
    const { rows: tables } = await sql<{ name: string; by: string }>`
      SELECT table_name AS name, column_name AS by FROM information_schema.columns WHERE table_schema = 'unstall'
        AND (column_name = 'connection' OR (table_name = 'connection' AND column_name = 'name'))`.execute(db)
    const all: Record<string, number> = {}
    for (const { name, by } of tables) {
      const { rows } = await sql<{ of: string; n: number }>`
        SELECT ${sql.ref(by)} AS of, count(*) AS n FROM ${sql.table(name)} GROUP BY 1`.execute(db)
      for (const { of, n } of rows) all[`${name} ${of}`] = n
    }
    return all
  })
const states = async () =>
  Promise.all([at.hub, at.sf].map(async ({ url }) => (await fetch(`${url}/__sandbox/journal`)).text()))
async function revocations(url: string): Promise<number> {
  const { calls } = CallsAnswer.parse(await (await fetch(`${url}/__sandbox/calls`)).json())
  return calls.find(({ path }) => path.endsWith('/revoke'))?.count ?? 0
}

it('deletes one connection and nothing else, once its run is over and somebody agrees', async () => {
  await connected(at, 'hub')
  await connected(at, 'sf')
  for (const name of ['hub', 'sf']) {
    expect((await at.run('setup', name, '--apply')).code).toBe(0)
    const plan = JSON.parse((await at.run('plan', name, '--json')).out)
    expect((await at.run('run', name, '--confirm', plan[0].preview)).code).toBe(0)
  }
  const before = { states: await states(), stored: await stored() }
  for (const table of ['deal', 'run', 'preview', 'ledger', 'figures', 'token', 'connection'])
    expect(before.stored[`${table} hub`], table).toBeGreaterThan(0)

  // Everything but the tokens can be taken along first.
  const folder = join(at.folder, 'export/')
  mkdirSync(folder)
  writeFileSync(join(folder, 'hub.ndjson'), 'of before, and open to all', { mode: 0o644 })
  const exported = await at.run('export', '--out', folder)
  expect(exported.code, exported.err).toBe(0)
  for (const name of ['hub', 'sf']) {
    const file = readFileSync(join(folder, `${name}.ndjson`), 'utf8')
    const lines = file
      .trimEnd()
      .split('\n')
      .map((line): { table: string } => JSON.parse(line))
    const counts = Map.groupBy(lines, ({ table }) => table)
    for (const [key, n] of Object.entries(before.stored))
      if (key.endsWith(` ${name}`) && !key.startsWith('token '))
        expect(counts.get(key.split(' ')[0] ?? ''), key).toHaveLength(n)
    expect(lines.find(({ table }) => table === 'connection')).toMatchObject({ name, reference: { currency: 'EUR' } })
    expect(file).not.toMatch(/"sealed"|sandbox-at|"table":"token"/)
  }
  expect(statSync(join(folder, 'hub.ndjson')).mode & 0o777).toBe(0o600)
  const printed = await at.run('export', 'hub')
  expect(printed.out).toBe(readFileSync(join(folder, 'hub.ndjson'), 'utf8'))
  expect(printed.err).toMatch(/hub: [\d,]+ lines/)
  expect((await at.run('export', '--out', join(at.folder, 'nowhere/x'))).err).toMatch(
    /cannot be written to .*nowhere\/x/,
  )

  const asked = await at.run('disconnect', 'hub')
  expect(asked).toMatchObject({
    code: 2,
    err: expect.stringMatching(/all that unstall knows of hub.*HubSpot stays.*undo.*--yes/),
  })

  const [run] = await within(async ({ db }) => db.selectFrom('run').selectAll().execute())
  if (!run) throw new Error('no run')
  const { connection, localDate, now, settings, settingsHash, createdAt } = { ...run, connection: 'hub' }
  const next = { connection, kind: 'manual' as const, localDate, now, settings, settingsHash, createdAt }
  const open = await within(({ db }) => openRun(db, next))
  const refused = await at.run('disconnect', 'hub', '--yes')
  const id = 'run' in open ? open.run.id : ''
  expect(refused).toMatchObject({ code: 2, err: expect.stringContaining(`${id} is not over yet. Finish it first`) })
  await within(({ db }) => db.deleteFrom('run').where('id', '=', id).execute())
  expect(await stored()).toEqual(before.stored)
  expect(await revocations(at.hub.url)).toBe(0)

  const done = await at.run('disconnect', 'hub', '--yes')
  expect(done.code, done.err).toBe(0)
  expect(done.out).toContain('HubSpot has taken the access back.')
  expect(done.out).toContain(`${before.stored['deal hub']} deals, ${before.stored['run hub']} runs with`)
  expect(done.out).toContain('Nothing was changed in HubSpot')
  const others = Object.entries(before.stored).filter(([key]) => !key.endsWith(' hub'))
  expect(await stored()).toEqual(Object.fromEntries(others))
  expect(await states()).toEqual(before.states)
  expect(await revocations(at.hub.url)).toBe(1)
  expect((await at.run('check', 'hub')).out).toContain('hub is not connected yet')
  expect((await at.run('check', 'sf')).out).not.toMatch(/not connected|re-connecting/)
}, 180_000)

it('goes on where the CRM does not answer, and says what to do there; the other way round it stays revoked', async () => {
  const token = (await stored())['token sf']
  expect(token).toBe(1)
  const faults = [{ path: '/revoke', fault: '500-before' }]
  await fetch(`${at.sf.url}/__sandbox/faults`, { method: 'POST', body: JSON.stringify(faults) })
  const done = await at.run('disconnect', 'sf', '--yes', '--json')
  expect(done.code, done.err).toBe(0)
  expect(JSON.parse(done.out)).toMatchObject({ connection: 'sf', revoked: false, deleted: { token: 1 } })
  expect(await stored()).not.toHaveProperty('token sf')

  await fetch(`${at.sf.url}/__sandbox/faults`, { method: 'POST', body: '[]' })
  const again = await at.run('disconnect', 'sf', '--yes', '--json')
  expect(JSON.parse(again.out)).toMatchObject({ revoked: null })
  await connected(at, 'sf')
  expect((await at.run('disconnect', 'sf', '--yes')).out).toContain('Salesforce has taken the access back.')
}, 60_000)
