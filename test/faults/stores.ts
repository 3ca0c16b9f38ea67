// Faults 4, 5 and 24: what the work is stored in goes away or is full. Redis is restarted, killed, flushed; PostgreSQL is
// restarted; the disk under the database has no room. The CRM must see no write whose intent was not stored before, and
// the night ends right once the store is back.
import { execFileSync } from 'node:child_process'
import { closeSync, cpSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { flushRedis } from '../homes.ts'
import { startPostgres, startRedis } from '../services.ts'
import {
  ended,
  eventually,
  place,
  type Result,
  type Scenario,
  type Skipped,
  type Trial,
  type Worker,
} from './harness.ts'
import { ledgerAt, type Season, season, unintended } from './season.ts'
import { world } from './world.ts'

/** The program's own lock, check and sweep times. */
const OWN = { lockMs: 8_000, stalledCheckMs: 3_000, sweepMs: 5_000 }
const SOON = { lockMs: 1_500, stalledCheckMs: 300, sweepMs: 500 }
const BACK_MS = 30_000

/** Nights with enough calls to be struck in the middle, each taking a moment. */
function nights(
  trial: Trial,
  gaps: readonly number[],
  where: Season['where'],
  { config = {}, latencyMs = 40 } = {},
): Promise<Season> {
  const made = world({ seed: trial.seed, deals: trial.quick ? 96 : 400, gaps })
  return season(trial, made, { where, config, app: { timing: trial.quick ? SOON : OWN }, sandbox: { latencyMs } })
}

const steps = ({ events }: Worker) => events.filter(({ event }) => event === 'step').length
/** The next sign of work or the end of it. @returns after how many milliseconds */
async function goesOn(workers: readonly Worker[], ms: number): Promise<number> {
  const was = workers.map(steps)
  return eventually('work', () => workers.some((one, i) => !one.alive() || steps(one) > (was[i] ?? 0)), ms)
}
/** Waits for the first writes of this night. */
async function midApply({ crm }: Season): Promise<void> {
  const was = (await crm.journal()).length
  await eventually('writes', async () => (await crm.journal()).length > was)
}
async function ends(workers: readonly Worker[], problems: string[]): Promise<void> {
  for (const { over, events, stderr } of workers) {
    const { code, signal } = await over
    if (code !== 0) problems.push(`a worker ended with ${code ?? signal}: ${JSON.stringify(events.at(-1))} ${stderr()}`)
  }
}

// ---- 4: Redis

async function redisLost(trial: Trial): Promise<Result> {
  const server = await startRedis()
  trial.onEnd(() => server.stop())
  const { databaseUrl = '' } = await place('PostgreSQL')
  const where = { databaseUrl, redisUrl: server.url }
  const at = await nights(trial, [2, 12], where, { config: { schedule: '0 0 29 2 *' } })
  const problems: string[] = []
  let recoveryMs = 0
  const away = async (end: () => Promise<void>) => {
    await end()
    await sleep(trial.quick ? 1_000 : 5_000)
    await server.start()
  }
  const blows: readonly (() => Promise<void>)[] = [
    () => flushRedis(server.url),
    () => away(() => server.kill()),
    () => away(() => shutDown(server.url)),
  ]
  for (const blow of blows) {
    const order = await at.next()
    if (order === null) throw new Error('no night left')
    // They stay when the night is over, as a server does: it may be before anybody misses the schedule.
    const workers = [1, 2].map(() => at.work({ runs: [order], readBatch: 8, stay: true, app: { role: 'all' } }))
    await midApply(at)
    await blow()
    const begun = performance.now()
    await eventually('the schedule is back', async () => (await schedules(server.url)).length === 1)
    const done = (worker: Worker) => !worker.alive() || ended(worker).length > 0
    await eventually('the night is over', () => workers.every(done), 2 * BACK_MS)
    recoveryMs = Math.max(recoveryMs, performance.now() - begun)
    for (const worker of workers) worker.kill('SIGTERM')
    await ends(workers, problems)
  }
  const judged = await at.judge()
  problems.push(...judged.problems, ...(await unintended(at.crm, await ledgerAt(where))))
  if (recoveryMs > BACK_MS) problems.push(`the night was over only ${Math.round(recoveryMs)} ms after Redis was back`)
  return { injected: 'flushed, killed, restarted', ...judged, recoveryMs, problems }
}

async function asking<T>(url: string, ask: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { retryStrategy: null })
  client.on('error', () => {}) // told by the answer
  return ask(client).finally(() => client.disconnect())
}
const shutDown = (url: string) => asking(url, async (client) => void (await client.shutdown().catch(() => {})))
const schedules = (url: string) => asking(url, (client) => client.zrange('bull:steps:repeat', '0', '-1'))

// ---- 5: PostgreSQL

async function postgresLost(trial: Trial): Promise<Result> {
  const server = await startPostgres()
  trial.onEnd(() => server.stop())
  const where = { databaseUrl: server.url }
  const at = await nights(trial, [2], where)
  const { crm } = at
  const problems: string[] = []
  let recoveryMs = 0
  for (let order = await at.next(), step = 'apply'; order !== null; order = await at.next(), step = 'pull') {
    const workers = [1, 2].map(() => at.work({ runs: [order], readBatch: 8 }))
    if (step === 'apply') await midApply(at)
    else await eventually('a pull', () => workers.some((one) => steps(one) > 0))
    await Promise.all(workers.map((one) => one.until(({ event }) => event === 'open')))
    await server.kill()
    await sleep(500) // calls on their way
    const was = await calls(crm)
    await sleep(trial.quick ? 1_500 : 10_000)
    const more = (await calls(crm)) - was
    if (more > 0) problems.push(`${more} calls while PostgreSQL was away, in the middle of ${step}`)
    await server.start()
    recoveryMs = Math.max(recoveryMs, await goesOn(workers, BACK_MS))
    await ends(workers, problems)
  }
  const judged = await at.judge()
  problems.push(...judged.problems, ...(await unintended(crm, await ledgerAt(where))))
  return { injected: '2 crashes: in apply, in pull', ...judged, recoveryMs, problems }
}
const calls = async (crm: Season['crm']) => (await crm.calls()).reduce((sum, { count }) => sum + count, 0)

// ---- 24: the disk under the database

interface Disk {
  readonly path: string
  fill(): void
  free(): void
}

/** A file system of this many megabytes of its own, or why there can be none. */
function smallDisk(trial: Trial, megabytes: number): Disk | Skipped {
  const path = mkdtempSync(join(tmpdir(), 'unstall-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=755`, 'tmpfs', path], { stdio: 'pipe' })
  } catch (error) {
    rmSync(path, { recursive: true })
    return { skipped: `no small disk can be mounted here: ${error instanceof Error ? error.message : error}` }
  }
  // Lazily: whatever still holds a file there is ended by the trial itself.
  trial.onEnd(() => {
    execFileSync('umount', ['-l', path])
    rmSync(path, { recursive: true })
  })
  const ballast = join(path, 'ballast')
  return {
    path,
    fill: () => {
      const file = openSync(ballast, 'w')
      for (let bytes = 1 << 20; bytes >= 512; )
        try {
          writeSync(file, Buffer.alloc(bytes))
        } catch {
          bytes /= 2 // no room for so much
        }
      closeSync(file)
    },
    free: () => rmSync(ballast),
  }
}

/** Full in the middle of apply: first no table can grow, then the database's log cannot either, which stops it. */
async function diskFull(trial: Trial): Promise<Result | Skipped> {
  const disk = smallDisk(trial, 300)
  if ('skipped' in disk) return disk
  const server = trial.home === 'embedded' ? null : await startPostgres(disk.path)
  if (server) trial.onEnd(() => server.stop())
  const dataDir = join(disk.path, 'data')
  if (!server) cpSync((await place('embedded')).dataDir ?? '', dataDir, { recursive: true })
  const where = server ? { databaseUrl: server.url } : { dataDir }
  // The night must still have tables to fill when the disk is full.
  const at = await nights(trial, [2], where, { latencyMs: 150 })
  const { crm } = at
  const problems: string[] = []
  let recoveryMs = 0
  for (let order = await at.next(), flood = false; order !== null; order = await at.next(), flood = true) {
    const worker = at.work({ runs: [order], readBatch: 8, flood })
    await midApply(at)
    disk.fill()
    // Without room for its log PostgreSQL ends before it can say why.
    const noticed = flood && server ? /No space left on device|ECONNREFUSED|terminat/ : /No space left on device/
    // The log has a last file to fill: until then intents are stored, and their writes are right.
    const stopped = () => !worker.alive() || (server !== null && /ECONNREFUSED|terminat/.test(worker.stderr()))
    if (flood) await eventually('a full log', stopped)
    await sleep(500) // calls on their way
    const was = (await crm.journal()).length
    await Promise.race([worker.over, sleep(trial.quick ? 4_000 : 20_000)])
    const more = (await crm.journal()).length - was
    if (more > 0) problems.push(`${more} writes while the disk was full${flood ? ' and the log stopped' : ''}`)
    if (!noticed.test(worker.stderr())) problems.push('nobody said that the disk is full')
    disk.free()
    if (flood) {
      // PostgreSQL has stopped itself and is started again by its supervisor; the embedded one took its process with it.
      if (server) await server.kill().then(() => server.start())
      else if (!/has stopped/.test(worker.stderr())) problems.push(`no clear line: ${worker.stderr().slice(-300)}`)
    } else if (!worker.alive())
      problems.push(`a worker ended because the disk was full: ${worker.stderr().slice(-500)}`)
    if (worker.alive()) recoveryMs = Math.max(recoveryMs, await goesOn([worker], BACK_MS))
    await worker.over
    await at.finish([order])
  }
  const judged = await at.judge()
  problems.push(...judged.problems, ...(await unintended(crm, await ledgerAt(where))))
  return { injected: 'no room for tables, for the log', ...judged, recoveryMs, problems }
}

export const stores: readonly Scenario[] = [
  { fault: 4, title: 'Redis flushed, killed, restarted', homes: ['PostgreSQL and Redis'], long: true, run: redisLost },
  { fault: 5, title: 'PostgreSQL restarted', homes: ['PostgreSQL'], long: true, run: postgresLost },
  { fault: 24, title: 'disk full under the database', homes: ['embedded', 'PostgreSQL'], long: true, run: diskFull },
]
