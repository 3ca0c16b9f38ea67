// What a person reads when a connection is paused, a credential is refused, records are malformed or a run was given up:
// `run`, `runs`, `runs <run>` and `check` say it in plain words, with the local time.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration names secrets like this
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDatabase } from '../../src/store/db.ts'
import { failRun, listRuns, openRun, recordAttempt, startStep } from '../../src/store/runs.ts'
import { type Place, place } from './harness.ts'

let at: Place
beforeAll(async () => {
  at = await place()
  at.config()
  for (const name of ['hub', 'sf']) await at.run('setup', name, '--apply')
})
afterAll(() => at.close())

const post = (url: string, call: string, body: unknown) =>
  fetch(`${url}/__sandbox/${call}`, { method: 'POST', body: JSON.stringify(body) })
const LOCAL = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d`

const calls = async (url: string) => {
  const said: { calls: { path: string; count: number }[] } = JSON.parse(
    await (await fetch(`${url}/__sandbox/calls`)).text(),
  )
  return said.calls.filter(({ path }) => path.startsWith('/services/data')).reduce((sum, { count }) => sum + count, 0)
}

test('a paused connection: told at once, with the time, and without another call', async () => {
  await post(at.sf.url, 'faults', [{ path: '/services/data', fault: '429-daily' }])
  const { code, err } = await at.run('run', 'sf')
  await post(at.sf.url, 'faults', [])
  expect(code).toBe(1)
  const paused = new RegExp(`^sf is paused until ${LOCAL} and then goes on: .*used up.*REQUEST_LIMIT_EXCEEDED`, 'm')
  expect(err).toMatch(paused)
  expect(err).toMatch(new RegExp(`^unstall: .*Nothing was written; try again after ${LOCAL}\\.$`, 'm'))
  const before = await calls(at.sf.url)
  const again = await at.run('run', 'sf')
  expect(again.code).toBe(1)
  expect(again.err).toMatch(new RegExp(`waiting until ${LOCAL}: .*used up`))
  expect(await calls(at.sf.url)).toBe(before)
  expect((await at.run('runs')).out).toMatch(paused)
  // A night of the service that waits longer than a person would: it is left open.
  const { db, close } = await openDatabase({ dataDir: join(at.folder, '.unstall') })
  const [last] = await listRuns(db, { connection: 'sf', limit: 1 })
  if (!last) throw new Error('no run')
  const { settings, settingsHash, now, createdAt } = last
  const frozen = {
    connection: 'sf',
    kind: 'night',
    localDate: '2026-11-23',
    settings,
    settingsHash,
    now,
    createdAt,
  } as const
  await openRun(db, { ...frozen, options: { patienceMs: 14_400_000 } })
  await close()
  const waits = await at.run('run', 'sf')
  expect(waits.err).toMatch(new RegExp(`^sf: sf-2026-11-23-3 \\(night, begun ${LOCAL}\\) is not over`, 'm'))
  expect(waits.err).toMatch(/^unstall: sf-2026-11-23-3 waits and stays open: the next run goes on with it/m)
  expect([waits.code, waits.err]).toEqual([1, expect.stringMatching(paused)])
  expect((await at.run('runs')).out).toMatch(/^sf-2026-11-23-3 +night +open \(pull\)/m)
  expect((await at.run('check', 'sf')).out).toMatch(new RegExp(`^! sf is paused until ${LOCAL} and then goes on`, 'm'))
})

test('a refused credential: named until the first run that is accepted again', async () => {
  at.config([['"${HUBSPOT_TOKEN}"', '"${HOME}"']])
  const needs = new RegExp(
    `^hub needs re-connecting since ${LOCAL}; every run tries once: HubSpot does not accept the token`,
    'm',
  )
  const refused = await at.run('run', 'hub')
  expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(needs)])
  expect((await at.run('runs')).out).toMatch(needs)
  at.config()
  expect((await at.run('plan', 'hub')).err).not.toMatch(needs)
  expect((await at.run('runs')).out).not.toMatch(needs)
})

test('malformed records: counted, named with what is wrong and where to see all', async () => {
  const lines = (await (await fetch(`${at.hub.url}/__sandbox/state`)).text()).trim().split('\n')
  const deals = lines
    .map((line) => JSON.parse(line))
    .filter(({ kind, properties }) => kind === 'deal' && properties.amount)
  const [one, two] = deals
  await post(at.hub.url, 'act', { act: 'set', id: one.id, field: 'amount', value: 'a lot', by: 'person' })
  await post(at.hub.url, 'act', { act: 'set', id: two.id, field: 'closedate', value: '1601-01-01', by: 'person' })
  const planned = await at.run('plan', 'hub')
  expect(planned.out).toContain('2 deals could not be read')
  const id = /preview (\S+)/.exec(planned.out)?.[1] ?? ''
  const checked = (await at.run('check', 'hub')).out.replaceAll(/\s+/g, ' ')
  expect(checked).toContain('Not understood, so held and never written: 2 deals, such as')
  expect(checked).toContain(`unstall runs ${id} lists all`)
  const shown = (await at.run('runs', id)).out.replaceAll(/\s+/g, ' ')
  expect(shown).toContain('In quarantine now, 2 deals')
  expect(shown).toContain(`${one.properties.dealname}: amount is odd: a lot https://`)
  expect(shown).toContain('closedate is odd: 1601-01-01')
  expect((await at.run('explain', one.id)).out).toContain('could not be understood lately (amount is odd: a lot)')
  const { quarantine } = JSON.parse((await at.run('runs', id, '--json')).out)
  expect(quarantine).toMatchObject([{ id: one.id }, { id: two.id }])
})

test('a run that was given up is marked, and shown with its attempts', async () => {
  const { db, close } = await openDatabase({ dataDir: join(at.folder, '.unstall') })
  const now = Date.parse('2026-11-24T02:00:00Z')
  const [last] = await listRuns(db, { connection: 'hub', limit: 1 })
  if (!last) throw new Error('no run')
  const { settings, settingsHash } = last
  const frozen = { connection: 'hub', kind: 'night', localDate: '2026-11-24', settings, settingsHash } as const
  const opened = await openRun(db, { ...frozen, now, createdAt: now })
  const run = 'run' in opened ? await startStep(db, opened.run.id, 'pull') : null
  if (!run) throw new Error('busy')
  await recordAttempt(db, run, { at: now, step: 'pull', problem: 'x is not a function' })
  await failRun(db, run, now, 'gave up after 5 attempts at pull: x is not a function')
  await close()
  expect((await at.run('runs')).out).toMatch(/^hub-2026-11-24-1 +night +given up \(pull\)/m)
  const { out, code } = await at.run('runs', 'hub-2026-11-24-1')
  expect(code).toBe(0)
  expect(out).toMatch(/^hub-2026-11-24-1 {2}night, given up \(pull\), judged at 2026-11-24 03:00/)
  expect(out).toContain('gave up after 5 attempts at pull')
  expect(out).toContain('Attempts that failed:\n  2026-11-24 03:00 pull: x is not a function')
  expect(out).toContain('Nothing was written.')
  const unknown = await at.run('runs', 'hub-1999-01-01-1')
  expect([unknown.code, unknown.err]).toEqual([2, expect.stringContaining('"unstall runs" lists them')])
})
