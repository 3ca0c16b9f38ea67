// How fast a fleet gets through its nights and what it takes: `node test/bench/scale.ts --workers 2 --connections 40
// --deals 200 [--concurrency 4] [--latency 100] [--redis]`. Starts what `npm run build` has built over a throw-away
// PostgreSQL; lookalikes and server share this machine's cores. The figures are in docs/scaling.md.
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { sql } from 'kysely'
import { prepareQueue } from '../../src/queue.ts'
import { openDatabase } from '../../src/store/db.ts'
import { openFleet } from '../fleet.ts'
import { startPostgres, startRedis } from '../services.ts'

const number = (fallback: string) => ({ type: 'string', default: fallback }) as const
const { values } = parseArgs({
  options: {
    workers: number('2'),
    connections: number('40'),
    deals: number('200'),
    concurrency: number('4'),
    latency: number('0'),
    redis: { type: 'boolean', default: false },
  },
})
const connections = Number(values.connections)
const server = await startPostgres()
const redis = values.redis ? await startRedis() : null
const database = await openDatabase({ databaseUrl: server.url })
await database.migrate()
await prepareQueue(database.pool)
const { db } = database
const fleet = await openFleet({
  databaseUrl: server.url,
  redisUrl: redis?.url,
  ...{ connections, deals: Number(values.deals), latencyMs: Number(values.latency) },
  bin: resolve(import.meta.dirname, '../../dist/src/cli/bin.js'),
})

const env = { UNSTALL_CONCURRENCY: values.concurrency, UNSTALL_LOG: 'info' }
const workers = await Promise.all(Array.from({ length: Number(values.workers) }, () => fleet.start('worker', env)))
const idle = workers.map(({ usage }) => usage().cpuS)
let clients = 0
const look = async () => {
  const { rows } = await sql<{ n: number }>`SELECT count(*) AS n FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'bench'`.execute(db)
  clients = Math.max(clients, (rows[0]?.n ?? 0) - 1)
}
const scheduler = await fleet.start('scheduler', env)
const nights = db.selectFrom('run').selectAll().where('kind', '=', 'night')
for (;;) {
  await look()
  if ((await nights.where('status', '<>', 'open').execute()).length === connections) break
  await new Promise((wake) => setTimeout(wake, 200))
}
const runs = await nights.execute()
const failed = runs.filter(({ status }) => status !== 'done')
const [first, last] = [
  Math.min(...runs.map(({ createdAt }) => createdAt)),
  Math.max(...runs.map((r) => r.finishedAt ?? 0)),
]
const seconds = (last - first) / 1000
const written = await db.selectFrom('ledger').select('run').where('status', '=', 'done').execute()
const used = workers.map(({ usage }, n) => ({ cpuS: usage().cpuS - (idle[n] ?? 0), peakMb: usage().peakMb }))
const cpu = used.reduce((sum, { cpuS }) => sum + cpuS, 0)
const round = (value: number, digits = 1) => Number(value.toFixed(digits))
console.log({
  ...values,
  failed: failed.map(({ id, problem }) => `${id}: ${problem}`),
  seconds: round(seconds),
  connectionsPerMinuteAndWorker: round((connections / seconds) * (60 / workers.length)),
  jobsPerSecond: round((4 * connections) / seconds),
  writesPerSecond: round(written.length / seconds),
  workerCpuPerConnection: round(cpu / connections, 3),
  doneBy: workers.map(({ finished }) => finished.length),
  peakMb: used.map(({ peakMb }) => peakMb),
  scheduler: scheduler.usage(),
  clients,
})
await fleet.close()
await database.close()
await server.stop()
await redis?.stop()
