// Faults 1 to 3: the process ends in the middle of its work. Killed at every labelled point of every operation and inside
// the CRM's calls; killed at random, again and again; stopped, and brought back to life after another worker has taken
// over; told to end (SIGTERM) while a call hangs. Whatever happens, the CRM must hold every flag and every task once.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import pg from 'pg'
import type { Fault } from '../../src/sandbox/control.ts'
import { random } from '../../src/sandbox/random.ts'
import { flushRedis } from '../homes.ts'
import { type Crm, DAY, MONDAY, type Seen, seedDeal, seedOf } from '../jobs/harness.ts'
import { freePort } from '../services.ts'
import {
  eventually,
  type HomeName,
  type Result,
  type Scenario,
  type Stage,
  type Trial,
  type Worker,
  watched,
} from './harness.ts'
import { ledgerAt, type Season, season, unintended } from './season.ts'
import { tripwire } from './wire.ts'
import type { Orders, RunOrder } from './worker.ts'
import { type World, world } from './world.ts'

const HOMES: readonly HomeName[] = ['embedded', 'PostgreSQL', 'PostgreSQL and Redis']
/** Where another worker can be alive at the same time. */
const SERVERS = HOMES.slice(1)

/** The jobs of the dead are back soon, and calls that hang do so for longer than anything here takes. */
const SOON = { lockMs: 1_000, stalledCheckMs: 250, sweepMs: 500, retryMs: 50, settleMs: 0, timeoutMs: 30_000 }
/** The program's own. */
const OWN = { lockMs: 8_000, stalledCheckMs: 3_000, sweepMs: 5_000, timeoutMs: 30_000 }

// ---- where to kill

export type Operation = 'fields' | 'create-task' | 'complete-task' | 'reopen-task' | 'delete-task'
/** At a labelled point, or while the CRM's call of this kind hangs: not applied, or applied. */
export type Kill =
  | { readonly at: string; readonly what: string; readonly nth?: number }
  | { readonly hangs: 'before' | 'after'; readonly what: Operation }

const TASK = { path: '/composite/sobjects', body: '"Task"' }
const CALLS: Readonly<Record<Crm['system'], Readonly<Record<Operation | 'read', Partial<Fault>>>>> = {
  hubspot: {
    read: { path: '/deals/batch/read' },
    fields: { path: '/deals/batch/update' },
    'create-task': { path: '/tasks/batch/create' },
    'complete-task': { path: '/tasks/batch/update' },
    'reopen-task': { path: '/tasks/batch/update' },
    'delete-task': { path: '/tasks/batch/archive' },
  },
  salesforce: {
    read: { method: 'POST', path: '/composite/sobjects/Opportunity' },
    fields: { method: 'PATCH', path: '/composite/sobjects', body: '"Opportunity"' },
    'create-task': { method: 'POST', ...TASK },
    'complete-task': { method: 'PATCH', ...TASK },
    'reopen-task': { method: 'PATCH', ...TASK },
    'delete-task': { method: 'DELETE', path: '/composite/sobjects' },
  },
}
/** The call that does this. */
export const callOf = ({ system }: Crm, what: Operation | 'read'): Partial<Fault> => CALLS[system][what]

/** Intent stored, request sent, applied, answer read, result stored. */
const during = (what: Operation): Kill[] => [
  { at: 'intent stored', what },
  { hangs: 'before', what },
  { hangs: 'after', what },
  { at: 'answer read', what, nth: 2 },
  { at: 'result stored', what },
]
const around = (step: string, inside: readonly Kill[] = []): Kill[] => [
  { at: 'step started', what: step },
  ...inside,
  { at: 'step stored', what: step },
]
const undo = (...operations: readonly Operation[]): Kill[] => [
  ...around('decide'),
  ...around('apply', operations.flatMap(during)),
  ...around('report'),
]
const night = (...operations: readonly Operation[]): Kill[] => [...around('pull'), ...undo(...operations)]

const text = (kill: Kill) => ('at' in kill ? `${kill.at} (${kill.what})` : `call hangs ${kill.hangs} (${kill.what})`)

// ---- killing

/** Works on the orders until the labelled point, or until the CRM has lost a call of this kind; then it is dead. */
async function killAt(stage: Stage, kill: Kill, orders: Partial<Orders>): Promise<void> {
  // Others of its kind do not arrive meanwhile, else all may be over before it is seen, and later kills find none left.
  const worker = 'hangs' in kill ? await hanging(stage, kill, orders, true) : stage.work({ ...orders, die: kill })
  if ('hangs' in kill) worker.kill()
  const { signal } = await worker.over
  await stage.crm.faults([])
  if (signal !== 'SIGKILL') throw new Error(`never came by "${text(kill)}": ${said(worker)}`)
}

/** A worker whose call of this kind hangs; others of its kind work, or with `lost` do not arrive. */
async function hanging(
  stage: Stage,
  kill: Extract<Kill, { hangs: string }>,
  orders: Partial<Orders>,
  lost = false,
): Promise<Worker> {
  const { crm, work } = stage
  const hung = async () => (await crm.calls()).reduce((sum, { statuses }) => sum + (statuses['0'] ?? 0), 0)
  const was = await hung()
  const call = callOf(crm, kill.what)
  await crm.faults([
    { fault: `timeout-${kill.hangs}`, times: 1, ...call },
    ...(lost ? [{ fault: 'timeout-before', ...call } as const] : []),
  ])
  const worker = work(orders)
  await eventually(`a hanging ${kill.what}`, async () => {
    if (!worker.alive()) throw new Error(`no call of ${kill.what}: ${said(worker)}`)
    return (await hung()) > was
  })
  return worker
}

const said = ({ events, stderr }: Worker) => `${JSON.stringify(events.slice(-3))} ${stderr()}`

/** Everybody's seen it through. */
async function through(workers: readonly Worker[], problems: string[]): Promise<void> {
  for (const worker of workers) {
    const { code, signal } = await worker.over
    if (code !== 0) problems.push(`a worker ended with ${code ?? signal}: ${said(worker)}`)
  }
}

// ---- 1: every point of every operation

const NAMES = Array.from({ length: 48 }, (_, at) => `deal ${at}`)
/** Everything is stalled, then half of the buyers reply. */
const stalledThenHalf = (seed: number): World => ({
  ...{ seed, settings: world({ seed, deals: 0 }).settings, crm: seedOf(NAMES.map((name) => seedDeal(name))) },
  nights: [
    { now: MONDAY, acts: [] },
    {
      now: MONDAY + DAY,
      acts: NAMES.slice(0, NAMES.length / 2).map((deal) => ({ does: 'reply', deal, at: MONDAY + DAY / 2 })),
    },
  ],
})

async function everyPoint(trial: Trial): Promise<Result> {
  const at = await season(trial, stalledThenHalf(trial.seed), { app: { timing: SOON } })
  const { crm, finish } = at
  const problems: string[] = []
  let kills = 0
  /** Killed at each of these, then left to finish; in quick runs at some of each kind, others with each seed and system. */
  const survive = async (order: RunOrder | null, list: readonly Kill[]): Promise<string> => {
    if (order === null) throw new Error('no night left')
    const offset = trial.seed + (trial.system === 'hubspot' ? 2 : 0)
    for (const kill of list.filter((_, index) => !trial.quick || (index + offset) % 9 === 4)) {
      trial.say(`kill at ${text(kill)}`)
      await killAt(at, kill, { runs: [order], readBatch: 2 })
      kills++
    }
    const [over] = await finish([order], { readBatch: 2 })
    return over?.run ?? ''
  }
  let wrong = 0
  const must = (holds: boolean, what: string) => {
    if (holds) return
    problems.push(what)
    wrong++
  }
  const before = await crm.look()
  const first = await survive(await at.next(), night('fields', 'create-task'))
  const flagged = await crm.look()
  /** The second night, then both taken back. */
  const thereAndBack = async () => {
    const second = await survive(await at.next(), night('fields', 'complete-task'))
    const judged = await at.judge()
    const order = { connection: crm.name, kind: 'undo', now: MONDAY + DAY } as const
    await survive({ ...order, undoes: second }, undo('fields', 'reopen-task'))
    const again = await crm.look()
    await survive({ ...order, undoes: first }, undo('fields', 'delete-task'))
    const last = await crm.look()
    const same = (name: string, one: Seen, two: Seen, when: string) => {
      const [left, right] = [one, two].map((seen) => {
        // A reply leaves its own mark.
        const { hs_sales_email_last_replied: _, ...fields } = seen.dump.get(seen.deal(name).id) ?? {}
        return { fields, tasks: seen.tasksOf(name) }
      })
      must(isDeepStrictEqual(left, right), `${name} is not as before ${when}`)
    }
    for (const name of NAMES) {
      same(name, again, flagged, 'the second night, which was taken back')
      same(name, last, before, 'both nights, which were taken back')
    }
    return judged
  }
  // A start costs more on the embedded home, and what the CRM sees of a kill is the same.
  const judged = trial.quick && trial.home === 'embedded' ? await at.judge() : await thereAndBack()
  const twice = (await crm.journal()).filter((line) => isDeepStrictEqual(line.before, line.after))
  must(twice.length === 0, `${twice.length} writes were applied twice: ${JSON.stringify(twice[0])}`)
  problems.push(...judged.problems, ...(await unintended(crm, await ledgerAt(at.where))))
  return { injected: `${kills} kills`, ...judged, wrong: judged.wrong + wrong, problems }
}

// ---- 2: at random, the same job, by the program's own times, and back from the dead

/** On the servers two workers are alive at a time, and a new one takes the place of the killed one at once. */
async function atRandom(trial: Trial): Promise<Result> {
  const chance = random(`kills ${trial.seed} ${trial.system} ${trial.home}`)
  const wanted = trial.quick ? 4 : 40
  const living = trial.home === 'embedded' ? 1 : 2
  const gaps = trial.quick ? [2] : [2, 3, 4, 5, 3, 4]
  const made = world({ seed: trial.seed, deals: trial.quick ? 96 : 400, gaps })
  const at = await season(trial, made, { app: { timing: SOON }, sandbox: { latencyMs: 40 } })
  const problems: string[] = []
  let kills = 0
  let left = made.nights.length
  for (let order = await at.next(); order !== null; order = await at.next(), left--) {
    const orders = { runs: [order], readBatch: trial.quick ? 8 : 25 }
    const workers = Array.from({ length: living }, () => at.work(orders))
    const over = () => workers.some((worker) => !worker.alive())
    for (let more = Math.ceil((wanted - kills) / left); more > 0; more--) {
      const heard = workers.map(({ events }) => events.length)
      const busy = () =>
        workers.findIndex(({ events }, i) => events.slice(heard[i]).some(({ event }) => event === 'step'))
      await eventually('work', () => busy() >= 0 || over())
      const victim = workers[busy()]
      await sleep(chance.int(0, 300))
      if (over() || victim === undefined) break
      trial.say(`kill ${++kills}`)
      victim.kill()
      await victim.over
      workers[workers.indexOf(victim)] = at.work(orders)
    }
    await through(workers, problems)
  }
  const judged = await at.judge()
  problems.push(...judged.problems, ...(await unintended(at.crm, await ledgerAt(at.where))))
  if (kills < wanted) problems.push(`only ${kills} kills of ${wanted}`)
  return { injected: `${kills} kills`, ...judged, problems }
}

/** Five times in a row, then once more by the program's own times, until work goes on elsewhere. */
async function sameJob(trial: Trial): Promise<Result> {
  const at = await season(trial, stalledThenHalf(trial.seed), { app: { timing: SOON } })
  const order = await at.next()
  if (order === null) throw new Error('no night')
  const runs = [order]
  const times = trial.quick ? 5 : 15
  for (let time = 0; time < times; time++) await killAt(at, { at: 'intent stored', what: 'create-task' }, { runs })
  const app = { timing: OWN }
  const victim = await hanging(
    at,
    { hangs: 'after', what: 'create-task' },
    { runs, app: { timing: { ...OWN, settleMs: 0 } } },
  )
  const ready = trial.home === 'embedded' ? null : at.work({ runs, app })
  if (ready) await ready.until(({ event }) => event === 'open')
  const begun = performance.now()
  victim.kill()
  await victim.over
  const heir = ready ?? at.work({ runs, app })
  await heir.until(({ event }) => event === 'step')
  const recoveryMs = performance.now() - begun
  const problems: string[] = []
  await through([heir], problems)
  const judged = await at.judge()
  problems.push(...judged.problems, ...(await unintended(at.crm, await ledgerAt(at.where))))
  if (recoveryMs > 15_000) problems.push(`work went on only ${Math.round(recoveryMs)} ms after the kill`)
  return { injected: `${times + 1} kills of one job`, ...judged, recoveryMs, problems }
}

/** Stopped (SIGSTOP) in the middle of apply; another worker takes over; then it goes on as if nothing had happened. */
async function backFromTheDead(trial: Trial): Promise<Result> {
  const at = await season(trial, stalledThenHalf(trial.seed), { app: { timing: SOON } })
  const { work } = at
  const order = await at.next()
  const runs = order === null ? [] : [order]
  const problems: string[] = []
  const workers: Worker[] = []
  // Between two calls: the flags of a batch are stored, its tasks come next. And right before a call.
  for (const die of [
    { at: 'result stored', what: 'fields' },
    { at: 'intent stored', what: 'create-task' },
  ]) {
    const worker = work({ runs, readBatch: 6, die: { ...die, signal: 'SIGSTOP' } })
    await eventually('a stopped worker', () => / T /.test(readFileSync(`/proc/${worker.pid}/stat`, 'utf8')))
    workers.push(worker)
  }
  const heir = work({ runs, readBatch: 6 })
  await heir.until(({ event }) => event === 'step')
  for (const worker of workers) worker.kill('SIGCONT')
  await through([heir, ...workers], problems)
  const judged = await at.judge()
  problems.push(...judged.problems)
  return { injected: `${workers.length} workers stopped`, ...judged, problems }
}

/** The queue forgets a job that is being worked on, so that a second worker takes it while the first one is well. */
async function overtaken(trial: Trial): Promise<Result> {
  const isLook = /\/deals\/batch\/read|\/composite\/sobjects\/Opportunity/
  let previewed = false
  const line = tripwire(trial, ({ path }) => previewed && isLook.test(path))
  const at = await season(trial, stalledThenHalf(trial.seed), { app: { timing: SOON }, through: line.through })
  const { crm, work, where } = at
  const order = await at.next()
  previewed = true
  const runs = order === null ? [] : [order]
  // Both look at the CRM before they write: the first one until the second has taken over, the second one for longer.
  const look = { fault: 'slow', nth: 1, ...callOf(crm, 'read') } as const
  const looks = async () =>
    (await crm.calls()).reduce(
      (sum, { path, count }) => sum + (/batch\/read$|composite\/sobjects\/{/.test(path) ? count : 0),
      0,
    )
  const before = await looks()
  await crm.faults([
    { ...look, ms: 3_000 },
    { ...look, ms: 9_000 },
  ])
  // With a lock that neither would miss: nothing but the epoch tells the first one.
  const workers = [1, 2].map(() => work({ runs, app: { timing: { ...OWN, lockMs: 60_000, sweepMs: 500 } } }))
  // Which of them takes it is left to the queue.
  const applying = () =>
    workers.flatMap(({ events }) =>
      events.filter((one) => one.event === 'step' && one.step === 'apply' && one.done === 0),
    ).length
  // Looking already: the second one must come second to the CRM as well.
  await Promise.race([line.first, ...workers.map(({ over }) => over)])
  await (where.redisUrl ? flushRedis(where.redisUrl) : emptyQueue(where.databaseUrl ?? ''))
  await eventually('a second one', () => applying() > 1)
  await eventually('the first look', async () => (await looks()) > before)
  await sleep(750)
  const early = (await crm.journal()).length
  const problems: string[] = []
  if ((await looks()) > before + 1) problems.push('too late to tell whose writes they are')
  if (early > 0) problems.push(`${early} writes of a worker whose run another one had taken over`)
  await through(workers, problems)
  const judged = await at.judge()
  problems.push(...judged.problems)
  return { injected: '1 job worked on twice', ...judged, wrong: judged.wrong + early, problems }
}

async function emptyQueue(databaseUrl: string): Promise<void> {
  const client = new pg.Client(databaseUrl)
  await client.connect()
  await client.query('TRUNCATE bullmq.job CASCADE')
  await client.end()
}

// ---- 3: SIGTERM

const GRACE_MS = 10_000
const BIN = join(import.meta.dirname, '../../src/cli/bin.ts')

/** Told to end, first while a call is answered late, then while one is never answered. */
async function sigterm(trial: Trial): Promise<Result> {
  const at = await season(trial, stalledThenHalf(trial.seed), { app: { timing: SOON } })
  const problems: string[] = []
  const night = async (): Promise<readonly RunOrder[]> => {
    const order = await at.next()
    return order === null ? [] : [order]
  }
  let runs = await night()
  if (!trial.quick) {
    await at.crm.faults([{ fault: 'slow', ms: 3_000, times: 1, ...callOf(at.crm, 'fields') }])
    // The signal is noticed when the call is under way.
    const patient = at.work({ runs, die: { at: 'intent stored', what: 'fields', signal: 'SIGTERM' } })
    await through([patient], problems)
    const sent = (await ledgerAt(at.where)).filter(({ status }) => status === 'sent').length
    if (sent > 0) problems.push(`${sent} writes of a call that was answered within 3 s are left unknown`)
    await at.finish(runs)
    runs = await night()
  }
  const worker = await hanging(at, { hangs: 'after', what: trial.quick ? 'fields' : 'complete-task' }, { runs })
  return { injected: trial.quick ? '1 SIGTERM' : '2 SIGTERM', ...(await afterTerm(at, worker, runs, problems)) }
}

async function afterTerm(
  at: Season,
  worker: Pick<Worker, 'kill' | 'over'>,
  runs: readonly RunOrder[],
  problems: string[],
) {
  const begun = performance.now()
  worker.kill('SIGTERM')
  const { code, signal } = await worker.over
  const took = performance.now() - begun
  if (code !== 0) problems.push(`ended with ${code ?? signal} after SIGTERM`)
  if (took > GRACE_MS) problems.push(`took ${Math.round(took)} ms to end`)
  const rows = await ledgerAt(at.where)
  if (!rows.some(({ status }) => status === 'sent')) problems.push('the write without an answer is not left as `sent`')
  await at.finish(runs)
  const judged = await at.judge()
  problems.push(...judged.problems)
  return { ...judged, problems, note: `ended ${(took / 1000).toFixed(1)} s after SIGTERM` }
}

/** The service itself, as an operator runs it: `unstall start`. */
async function service(trial: Trial): Promise<Result> {
  // Its schedule must not come up meanwhile.
  const config = { schedule: '0 0 29 2 *' }
  const at = await season(trial, stalledThenHalf(trial.seed), { config, app: { timing: SOON } })
  const order = await at.next()
  const runs = order === null ? [] : [order]
  const opener = at.work({ runs, app: { concurrency: 0 } })
  await opener.until(({ event }) => event === 'open')
  opener.kill()
  const problems: string[] = []
  const port = await freePort()
  const work = () => {
    const { databaseUrl = '', redisUrl = '' } = at.where
    const env = { ...process.env, DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, UNSTALL_PORT: String(port) }
    const child = spawn(process.execPath, [BIN, 'start', '--config', at.config], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    trial.onEnd(() => child.kill('SIGKILL'))
    return watched(child)
  }
  const worker = await hanging({ ...at, work }, { hangs: 'after', what: 'fields' }, {})
  return { injected: '1 SIGTERM to `unstall start`', ...(await afterTerm(at, worker, runs, problems)) }
}

export const kills: readonly Scenario[] = [
  { fault: 1, title: 'killed at every point of every operation', homes: HOMES, long: true, run: everyPoint },
  { fault: 2, title: 'killed at random times', homes: HOMES, long: true, run: atRandom },
  { fault: 2, title: 'the same job killed again and again', homes: HOMES, long: true, run: sameJob },
  { fault: 2, title: 'stopped, overtaken, continued', homes: SERVERS, run: backFromTheDead },
  { fault: 2, title: 'the queue forgets a job at work', homes: SERVERS, run: overtaken },
  { fault: 3, title: 'SIGTERM while a write hangs', homes: HOMES, long: true, run: sigterm },
  { fault: 3, title: 'SIGTERM to `unstall start`', homes: ['PostgreSQL'], systems: ['hubspot'], run: service },
]
