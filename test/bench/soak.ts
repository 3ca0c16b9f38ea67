// Many nights in one process, people at work between them: does memory stay flat, and what does a night leave in the
// database? `npm run soak -- [--nights 30] [--deals 950] [--postgres]`. The lookalikes run in a process of their own. The
// figures are in docs/scaling.md.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { sql } from 'kysely'
import { currentTime, openApp } from '../../src/app.ts'
import { previews, runNight } from '../../src/cli/night.ts'
import { PIPELINES } from '../../src/sandbox/generate.ts'
import { liveDay } from '../../src/sandbox/people.ts'
import { startPostgres } from '../services.ts'

const DAY = 86_400_000
const { values } = parseArgs({
  options: {
    nights: { type: 'string', default: '30' },
    deals: { type: 'string', default: '950' },
    postgres: { type: 'boolean', default: false },
  },
})
const nights = Number(values.nights)
const first = Math.floor(Date.now() / DAY) * DAY - nights * DAY + DAY / 12

const bin = resolve(import.meta.dirname, '../../src/cli/bin.ts')
const ports = ['--hubspot-port', '0', '--salesforce-port', '0']
const seed = ['--now', new Date(first).toISOString(), '--deals', values.deals, '--json']
const sandbox = spawn(process.execPath, [bin, 'sandbox', ...ports, ...seed], { stdio: ['ignore', 'pipe', 'inherit'] })
process.once('exit', () => sandbox.kill())
const urls: { hubspot: string; salesforce: string } = JSON.parse(String(await once(sandbox.stdout, 'data')))
const server = values.postgres ? await startPostgres() : null
const dataDir = mkdtempSync(join(tmpdir(), 'unstall-soak-'))
const file = join(dataDir, 'unstall.config.yaml')
writeFileSync(
  file,
  `timezone: Europe/Paris
dataDir: .
connections:
  hub: { system: hubspot, baseUrl: "${urls.hubspot}", auth: { kind: token, token: sandbox-soak }, policy: { decision: { stages: [contractsent] } } }
  sf: { system: salesforce, loginUrl: "${urls.salesforce}", auth: { kind: client-credentials, clientId: sandbox, clientSecret: sandbox }, policy: { decision: { stages: [Contract sent] } } }
`,
)
if (server) process.env.DATABASE_URL = server.url
const app = await openApp(file, { unpaced: true })
const { signal } = new AbortController()
for (const { name } of app.config.connections) {
  const connector = await app.ctx.connector(name)
  for await (const step of connector.setup(signal)) if (step.action === 'conflict') throw new Error(step.what)
}

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')
const mb = (bytes: number) => Math.round(bytes / 1e5) / 10
async function sizes() {
  const { rows } = await sql<{ name: string; bytes: number }>`
    SELECT schemaname || '.' || relname AS name, pg_total_relation_size(relid) AS bytes FROM pg_stat_all_tables
    WHERE schemaname IN ('unstall', 'bullmq')`.execute(app.ctx.db)
  return new Map(rows.map(({ name, bytes }) => [name, bytes]))
}
const total = (of: ReadonlyMap<string, number>) => [...of.values()].reduce((sum, bytes) => sum + bytes, 0)
const clock = (now: number) =>
  Promise.all(
    [urls.hubspot, urls.salesforce].map((url) =>
      fetch(`${url}/__sandbox/clock`, { method: 'POST', body: JSON.stringify({ now: new Date(now).toISOString() }) }),
    ),
  )

for await (const { connection, run } of previews(app, app.config.connections, undefined, signal)) {
  const now = await currentTime(connection)
  await runNight(app, connection, { kind: 'manual', now, confirm: run.id }, signal)
}
let before = await sizes()
for (let n = 1; n <= nights; n++) {
  const night = first + n * DAY
  await clock(night - DAY / 2)
  for (const [system, url] of [
    ['hubspot', urls.hubspot],
    ['salesforce', urls.salesforce],
  ] as const)
    await liveDay({ url, system, pipelines: PIPELINES, now: night - DAY / 2 })
  await clock(night)
  const begun = performance.now()
  const cpu = process.cpuUsage()
  await Promise.all(
    app.config.connections.map((connection) => runNight(app, connection, { kind: 'night', now: night }, signal)),
  )
  const seconds = (performance.now() - begun) / 1000
  const { user, system } = process.cpuUsage(cpu)
  // Nights are seconds apart here: autovacuum, which comes by once a minute, would not keep up.
  if (server) await sql`VACUUM`.execute(app.ctx.db)
  collect()
  const { heapUsed, rss } = process.memoryUsage()
  if (n % 5 !== 0 && n !== 1) continue
  const after = await sizes()
  const grown = [...after].map(([name, bytes]) => [name, bytes - (before.get(name) ?? 0)] as const)
  const most = grown.filter(([, bytes]) => bytes > 0).sort((a, b) => b[1] - a[1])
  console.log(
    `night ${n}: ${seconds.toFixed(1)} s, ${((user + system) / 1e6).toFixed(1)} s of CPU, heap ${mb(heapUsed)} MB, rss ${mb(rss)} MB, database ${mb(total(after))} MB,`,
    `since the line before +${mb(total(after) - total(before))}: ${most
      .slice(0, 5)
      .map(([name, bytes]) => `${name} ${mb(bytes)}`)
      .join(', ')}`,
  )
  before = after
}
const { rows } = await sql`SELECT status, kind, count(*) AS rows, sum(pg_column_size(ledger.*)) AS bytes
  FROM ledger GROUP BY 1, 2 ORDER BY 4 DESC`.execute(app.ctx.db)
console.table(rows)
const summed =
  await sql`SELECT count(*) AS runs, sum(pg_column_size(summary)) AS summary, sum(pg_column_size(plan)) AS plan,
  sum(pg_column_size(settings)) AS settings FROM run`.execute(app.ctx.db)
console.table(summed.rows)
await app.close()
await new Promise((ended) => setTimeout(ended, 200)) // for its connections to end
await server?.stop()
rmSync(dataDir, { recursive: true, force: true })
process.exit()
