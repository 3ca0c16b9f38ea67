// Marked tokens and secrets against both lookalikes, with every command and with answers that repeat them: no stdout, no
// stderr with the log at trace, no table, no file of the data directory and no report ever holds the mark.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration names secrets like this
import fs, { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { openDatabase } from '../../src/store/db.ts'
import { type MailServer, startMail, startWebhook, type Webhook } from '../digest/servers.ts'
import { decide, SANDBOX_USER, sandboxKey, shown } from '../sandbox/consent.ts'
import { missing, required, startRedis } from '../services.ts'
import { type Failure, MARK, mirror } from './echo.ts'
import { type Place, place, type Result, unpaced } from './harness.ts'

const VARIABLES = {
  ...{ CANARY_HUB: `sandbox-${MARK}-key`, CANARY_SECRET: `${MARK}secret`, UNSTALL_LOG: 'trace' },
  CANARY_KEY: sandboxKey().replaceAll('\n', '\\n'),
  ...{ CANARY_SMTP: '', CANARY_SLACK: '' },
}
/** A line of the signing key, which no mark fits into, is one as well. */
const KEY = sandboxKey().split('\n')[5] ?? ''
const ALL = ['hub', 'hubo', 'sf', 'sfo'] as const

unpaced()
let at: Place
let mail: MailServer
let hook: Webhook
let mirrors: Record<'hub' | 'sf', Awaited<ReturnType<typeof mirror>>>
beforeAll(async () => {
  mail = await startMail()
  hook = await startWebhook()
  VARIABLES.CANARY_SMTP = `smtp://u:${MARK}mail@127.0.0.1:${mail.port}`
  VARIABLES.CANARY_SLACK = hook.url.replace('canary', MARK)
  Object.assign(process.env, VARIABLES)
  at = await place()
  const [hub, sf] = await Promise.all([at.hub, at.sf].map(({ url }) => mirror(url, VARIABLES.CANARY_SECRET)))
  if (!hub || !sf) throw new Error('two mirrors')
  mirrors = { hub, sf }
  const oauth = '{ kind: oauth, clientId: sandbox, clientSecret: "${CANARY_SECRET}" }'
  // What is signed names the host, so nothing can stand between.
  const key = `{ kind: jwt, clientId: sandbox, username: ${SANDBOX_USER}, privateKey: "\${CANARY_KEY}" }`
  const jwt = `{ system: salesforce, loginUrl: "${at.sf.url}", auth: ${key} }`
  const people = 'from: unstall@acme.example, managers: [vp@acme.example, slack], operations: [slack]'
  at.config([
    ['holidays: FR', `holidays: FR\ndigests: { smtp: "\${CANARY_SMTP}", slack: "\${CANARY_SLACK}", ${people} }`],
    ['  sf:', `  hubo: { system: hubspot, baseUrl: "${hub.url}", auth: ${oauth} }\n  sf:`],
    ['policy:', `  sfo: { system: salesforce, loginUrl: "${sf.url}", auth: ${oauth} }\n  sfj: ${jwt}\npolicy:`],
    [at.hub.url, hub.url],
    [`loginUrl: ${at.sf.url}`, `loginUrl: ${sf.url}`],
    ['"${HUBSPOT_TOKEN}"', '"${CANARY_HUB}"'],
    ['"${SF_CLIENT_SECRET}"', '"${CANARY_SECRET}"'],
  ])
})
afterAll(async () => {
  for (const name of Object.keys(VARIABLES)) delete process.env[name]
  await Promise.all([...Object.values(mirrors), mail, hook].map((one) => one.close()))
  await at.close()
})

/** The log goes past the process's own stderr, straight to its descriptor. */
let logged = ''
const { writeSync } = fs
const listening = new Proxy(writeSync, {
  apply(target, self, args) {
    if (args[0] !== 2) return Reflect.apply(target, self, args)
    logged += String(args[1])
    return Buffer.byteLength(String(args[1]))
  },
})
beforeAll(() => void Object.assign(fs, { writeSync: listening }))
afterAll(() => void Object.assign(fs, { writeSync }))

/** Everything a command said, without the mark. */
async function silent(...args: readonly string[]): Promise<Result> {
  logged = ''
  const ended = at.run(...args)
  const page = args[0] === 'connect' ? await fetch(await decide(await shown(at.heard))) : null
  const result = await ended
  const { out, err } = result
  const found = { args, out: hits(out), err: hits(err), log: hits(logged), page: hits((await page?.text()) ?? '') }
  expect(found).toEqual({ args, out: [], err: [], log: [], page: [] })
  return result
}
/** With some of what stands before, so that a failure says where it came from. */
function hits(text: string): string[] {
  const small = text.toLowerCase()
  return [MARK, KEY].flatMap((secret) => {
    const at = small.indexOf(secret.toLowerCase())
    return at < 0 ? [] : [text.slice(Math.max(0, at - 80), at + secret.length)]
  })
}

const last: Record<string, string> = {}

test('all commands, with everything in order: nothing but the wire ever sees a secret', async () => {
  expect(KEY).toMatch(/^[\w+/]{40,}$/)
  for (const name of ['hubo', 'sfo']) {
    const { code, err } = await silent('connect', name, '--port', '0')
    expect(code, err).toBe(0)
  }
  expect(Object.values(mirrors).map((one) => one.marked() > 0)).toEqual([true, true])
  expect((await silent('key', 'rotate')).out).toContain('hubo, sfo')
  await silent('setup', 'sf', '--metadata', join(at.folder, 'source'))
  for (const name of ['hub', 'sf']) {
    await silent('setup', name)
    await silent('setup', name, '--apply')
  }
  await silent('check')
  await silent('check', 'hub', '--json')
  for (const name of ALL) {
    const planned = await silent('plan', name, '--json')
    expect(planned.code, planned.err).toBe(0)
    const [{ preview }] = JSON.parse(planned.out)
    const ran = await silent('run', name, '--confirm', preview, '--json')
    expect(ran.code, ran.err).toBe(0)
  }
  await silent('runs')
  const listed: { id: string; connection: string }[] = JSON.parse((await silent('runs', '--json')).out)
  for (const { connection, id } of listed.toReversed()) last[`the run of ${connection}`] = id
  const id = last['the run of hub'] ?? ''
  const { writes } = JSON.parse((await silent('runs', id, '--json')).out)
  await silent('runs', id)
  for (const format of ['html', 'json']) await silent('report', 'hub', '--out', join(at.folder, `report.${format}`))
  await silent('report', 'sf')
  await silent('explain', writes[0].deal.id)
  await silent('backtest', 'hub')
  for (const mishap of [null, 'login'] as const) {
    mail.mishap = mishap
    hook.status = mishap ? 403 : 200
    expect((await silent('digest', '--send')).code).toBe(mishap ? 1 : 0)
  }
  expect([mail.said.some((line) => line.startsWith('AUTH')), hook.bodies.length]).toEqual([true, 2])
  await silent('digest', '--nightly', '--json')
  for (const out of ['hub.ndjson', 'digest.html']) {
    const command = out.endsWith('html') ? (['digest', '--to', 'slack'] as const) : (['export'] as const)
    expect((await silent(...command, '--out', join(at.folder, out))).code).toBe(0)
  }
  await silent('undo', id, '--preview')
  await silent('undo', last['the run of sf'] ?? '')
}, 300_000)

test.each<[string, NonNullable<Failure>, readonly (readonly string[])[]]>([
  [
    'a call refused in the CRM’s own words',
    { status: 400, type: 'json', on: /crm|data/ },
    [['check'], ['run', 'hub'], ['run', 'sf']],
  ],
  [
    'writes refused in the CRM’s own words',
    { status: 400, type: 'json', on: /batch\/(update|archive|create)|composite/ },
    [['undo', 'the run of hub'], ['runs'], ['check', 'hub'], ['run', 'sf']],
  ],
  [
    'forbidden',
    { status: 403, type: 'json', on: /crm|data/ },
    [['check'], ['setup', 'hub'], ['setup', 'sf'], ['plan', 'hub']],
  ],
  [
    'a redirect',
    { status: 302, type: 'html', on: /./ },
    [
      ['check', 'hubo'],
      ['plan', 'hub'],
      ['run', 'sfo'],
    ],
  ],
  [
    'a page instead of data',
    { status: 400, type: 'html', on: /./ },
    [
      ['plan', 'hubo'],
      ['check', 'sf'],
      ['run', 'sf'],
    ],
  ],
  [
    'an outage that repeats the call',
    { status: 500, type: 'json', on: /./ },
    [
      ['check', 'hub'],
      ['check', 'sf'],
    ],
  ],
  [
    'an outage with a page',
    { status: 502, type: 'html', on: /./ },
    [
      ['setup', 'hub'],
      ['setup', 'sf'],
    ],
  ],
  ['a token refused, and its renewal too', { status: 401, type: 'json', on: /./ }, ALL.map((name) => ['check', name])],
  ['and by a run', { status: 401, type: 'json', on: /./ }, ['hub', 'sfo'].map((name) => ['run', name])],
  [
    'a consent refused',
    { status: 400, type: 'json', on: /token$/ },
    ['hubo', 'sfo'].map((name) => ['connect', name, '--port', '0']),
  ],
  [
    'leaving, refused',
    { status: 400, type: 'json', on: /revoke|unstall|Soap/ },
    [
      ['setup', 'hub', '--remove', '--yes'],
      ['setup', 'sf', '--remove', '--yes'],
      ['disconnect', 'sfo', '--yes'],
    ],
  ],
])(
  '%s',
  async (_, failure, commands) => {
    const all = Object.values(mirrors)
    const before = all.map((one) => one.fail(failure))
    for (const args of commands) await silent(...args.map((one) => last[one] ?? one))
    const after = all.map((one) => one.fail(null))
    expect(after.some((count, i) => count > (before[i] ?? 0))).toBe(true)
  },
  300_000,
)

// Its append-only file holds every command it ever got, so also jobs that are gone.
test.skipIf(missing(['Redis']) !== null && !required)(
  'no job in Redis holds a secret',
  async () => {
    const redis = await startRedis()
    onTestFinished(() => redis.stop())
    process.env.REDIS_URL = redis.url
    onTestFinished(() => void delete process.env.REDIS_URL)
    await silent('plan', 'hub')
    mirrors.sf.fail({ status: 400, type: 'json', on: /./ })
    await silent('run', 'sf')
    mirrors.sf.fail(null)
    const client = new Redis(redis.url)
    const [, folder = ''] = await client.config('GET', 'dir').then((said) => z.array(z.string()).parse(said))
    await client.quit()
    const kept = readdirSync(join(folder, 'appendonlydir'), { encoding: 'utf8' })
    const text = kept.map((name) => readFileSync(join(folder, 'appendonlydir', name), 'latin1')).join('')
    expect(text).toContain('hub-2026-11-23')
    expect(hits(text)).toEqual([])
  },
  120_000,
)

test('a configuration that is wrong says what, never the value', async () => {
  const file = join(at.folder, 'wrong.yaml')
  const good = readFileSync(join(at.folder, 'unstall.config.yaml'), 'utf8')
  const plain = good.replaceAll(/"\$\{CANARY_\w+\}"/g, `"${MARK}"`)
  for (const text of [plain, `${plain}\n  - [`, plain.replaceAll('auth: {', `auth: { pass: ${MARK},`)]) {
    writeFileSync(file, text)
    expect((await silent('-c', file, 'check')).code).toBe(2)
  }
  writeFileSync(file, '')
})

test('no table and no file holds a secret in the open', async () => {
  const { db, close } = await openDatabase({ dataDir: join(at.folder, '.unstall') })
  const named = sql<{ name: string }>`SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
    WHERE schemaname IN ('unstall', 'bullmq')`
  const tables = (await named.execute(db)).rows.map(({ name }) => name)
  expect(tables.length).toBeGreaterThan(10)
  for (const name of tables) {
    const rows = await sql<{ row: string }>`SELECT to_jsonb(t)::text AS row FROM ${sql.raw(name)} AS t`.execute(db)
    expect({ name, hits: rows.rows.flatMap(({ row }) => hits(row)) }).toEqual({ name, hits: [] })
  }
  await close()
  const files = readdirSync(at.folder, { recursive: true, encoding: 'utf8' }).filter((one) =>
    statSync(join(at.folder, one)).isFile(),
  )
  expect(files).toContain('report.html')
  const leaking = files.filter((one) => hits(readFileSync(join(at.folder, one)).toString('latin1')).length > 0)
  expect(leaking).toEqual([])
})
