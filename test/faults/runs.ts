// Faults 20 and 25: runs in each other's way, and a run that brings down whoever works on it. Of two hosts that begin a
// night at the same instant one does it, and the other says which run is in its way; a job that always throws, never ends
// or eats all memory is given up after so many tries with its reason, and the other connection's night is done.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openDatabase } from '../../src/store/db.ts'
import { listRuns } from '../../src/store/runs.ts'
import { DAY, MONDAY, seedDeal, seedOf } from '../jobs/harness.ts'
import {
  ended,
  type HomeName,
  type Result,
  type Scenario,
  type Stage,
  stage,
  type Trial,
  type Worker,
} from './harness.ts'
import { judged } from './judge.ts'
import { callOf } from './kills.ts'
import { season } from './season.ts'
import type { Orders, RunOrder } from './worker.ts'
import { world } from './world.ts'

const SERVERS: readonly HomeName[] = ['PostgreSQL', 'PostgreSQL and Redis']
const SOON = { lockMs: 1_000, stalledCheckMs: 250, sweepMs: 500, settleMs: 0 }

/** The sandboxes of other rows live in this process and may keep it from answering a server in time: once more, then. */
async function runsOf({ where }: Stage) {
  const look = async () => {
    const { db, close } = await openDatabase(where)
    return listRuns(db, { limit: 1000 }).finally(close)
  }
  return look().catch(look)
}

// ---- 20: two at once

const opened = ({ events }: Worker) => events.find((event) => event.event === 'open')

async function overlapping(trial: Trial): Promise<Result> {
  const gaps = Array.from({ length: trial.quick ? 2 : 20 }, () => 1)
  const at = await season(trial, world({ seed: trial.seed, deals: 96, gaps }), { app: { timing: SOON } })
  const { crm, work, finish } = at
  const problems: string[] = []
  let dup = 0
  const first = await at.next()
  if (first) await finish([first])
  let [races, late] = [0, 0]
  for (let order = await at.next(); order !== null; order = await at.next()) {
    // Schedule against schedule, then the schedule against somebody at a terminal.
    const other = races++ % 2 === 0 ? 'night' : 'manual'
    const rival = Date.now() + 1_500
    const race = (kind: RunOrder['kind']) => work({ runs: [{ ...order, kind, rival }] })
    // Slow enough that both are there while it is on.
    await crm.faults([{ fault: 'slow', ms: 300, ...callOf(crm, 'read') }])
    const workers = [race('night'), race(other)]
    for (const { over, stderr } of workers)
      if ((await over).code !== 0) problems.push(`a rival ended badly: ${stderr()}`)
    const [one, two] = workers.map(opened)
    // On a busy machine one may come when the other has ended: a run by hand may follow, or come before. It reads its
    // clock a moment before its row can be there.
    const [first, second] = (await runsOf(at))
      .filter(({ id }) => id === one?.run || id === two?.run)
      .toSorted((a, b) => a.createdAt - b.createdAt)
    const byHand = [first?.kind, second?.kind].includes('manual')
    if (byHand && second && second.createdAt + 1_000 >= (first?.finishedAt ?? Number.POSITIVE_INFINITY)) {
      late += 1
      continue
    }
    const winners = [one, two].filter((event) => event?.busy === false)
    if (winners.length !== 1 || one?.run !== two?.run)
      problems.push(`race ${races}: ${JSON.stringify([one, two])} instead of one run, and the other one naming it`)
  }
  await crm.faults([])
  const runs = (await runsOf(at)).filter(({ kind }) => kind !== 'preview')
  if (late > races / 2) problems.push(`only ${races - late} of ${races} pairs met`)
  // One that gave up leaves its deals to the next night, which the oracle would only call late.
  problems.push(...runs.flatMap(({ id, status, problem }) => (status === 'done' ? [] : `${id} ${status}: ${problem}`)))
  const dates = new Set(runs.map(({ localDate }) => localDate))
  dup += Math.max(0, runs.length - dates.size - late)
  if (dup > 0) problems.push(`${runs.length} runs on ${dates.size} dates: ${runs.map(({ id }) => id).join()}`)
  const verdict = await at.judge()
  problems.push(...verdict.problems)
  return { injected: `${races - late} pairs of runs`, ...verdict, dup: verdict.dup + dup, problems }
}

// ---- 25: poison

const OLD = Array.from({ length: 8 }, (_, at) => `old ${at}`)
const LATER = Array.from({ length: 8 }, (_, at) => `later ${at}`)
const WORDS = {
  memory: /ended each time with its process/,
  loop: /ended each time with its process/,
  throw: /poisoned/,
}

/** Only one connection has tasks to complete: that is what its worker dies of. */
async function poisoned(trial: Trial, how: keyof typeof WORDS): Promise<Result> {
  // Two more than make a suspect: a start that stored something is not counted, so one connection may be a suspect earlier.
  const tries = trial.quick ? 4 : 6
  const other = trial.system === 'hubspot' ? 'salesforce' : 'hubspot'
  const app: Orders['app'] = { mostStarts: tries, timing: { ...SOON, blockedMs: 2_000 } }
  const seed = seedOf([
    ...OLD.map((name) => seedDeal(name, { idle: 40 })),
    ...LATER.map((name) => seedDeal(name, { idle: 21 })),
  ])
  const at = await stage(trial, { seed, systems: [trial.system, other], app })
  const [ill, well] = at.crms
  if (!ill || !well) throw new Error('two CRMs are needed')
  const before = [await ill.look(), await well.look()] as const
  await at.firstNight(MONDAY)
  for (const name of OLD) await ill.act(name, 'buyer-reply', { at: new Date(MONDAY + DAY / 2).toISOString() })
  const tonight = async (now: number): Promise<RunOrder[]> => {
    for (const crm of at.crms) await crm.clock(now)
    return at.crms.map(({ name: connection }) => ({ connection, kind: 'night', now }))
  }
  const runs = await tonight(MONDAY + DAY)
  const poison = { at: 'intent stored', what: 'complete-task', how }
  let deaths = 0
  let worker: Worker
  do {
    worker = at.work({ runs, readBatch: 2, poison })
    if ((await worker.over).code === 0) break
    trial.say(`death ${++deaths}`)
  } while (deaths < 3 * tries)
  const problems: string[] = []
  const must = (holds: boolean, what: string) => void (holds || problems.push(what))
  const over = new Map(ended(worker).map((one) => [one.connection, one]))
  const dead = over.get(ill.name)
  must(dead?.status === 'failed' && WORDS[how].test(dead.problem ?? ''), `not given up: ${JSON.stringify(dead)}`)
  must(over.get(well.name)?.status === 'done', `the other night: ${JSON.stringify(over.get(well.name))}`)
  // The first of them had stored something before.
  must(deaths <= tries + 1, `${deaths} processes died, not ${tries}`)
  if (at.where.databaseUrl) {
    const { databaseUrl: DATABASE_URL } = at.where
    const bin = join(import.meta.dirname, '../../src/cli/bin.ts')
    const env = { ...process.env, DATABASE_URL }
    const { stdout } = await promisify(execFile)(process.execPath, [bin, 'runs', '--config', at.config], { env })
    must(WORDS[how].test(stdout.replace(/\s+/g, ' ')), `\`unstall runs\` does not list it: ${stdout}`)
  }
  // The next night, without the poison, finds out what was left open.
  await at.finish(await tonight(MONDAY + 2 * DAY))
  const stalled = { state: 'stalled', stalls: 1 } as const
  const verdicts = [
    await judged(ill, (name) => (OLD.includes(name) ? { state: 'moving', stalls: 1 } : stalled), before[0]),
    await judged(well, () => stalled, before[1]),
  ]
  const sum = (of: 'dup' | 'lost' | 'wrong') => verdicts.reduce((total, verdict) => total + verdict[of], 0)
  problems.push(...verdicts.flatMap((verdict) => verdict.problems))
  const injected = how === 'throw' ? 'throws 5 times' : `${how}: ${deaths} deaths`
  return { injected, dup: sum('dup'), lost: sum('lost'), wrong: sum('wrong'), problems }
}

async function eachPoison(trial: Trial): Promise<Result> {
  const all = ['memory', 'loop', 'throw'] as const
  const some = trial.quick ? all.slice(trial.system === 'hubspot' ? 0 : 1).slice(0, 1) : all
  const results: Result[] = []
  for (const how of some) results.push(await poisoned(trial, how))
  const sum = (of: 'dup' | 'lost' | 'wrong') => results.reduce((total, result) => total + result[of], 0)
  return {
    injected: results.map(({ injected }) => injected).join(', '),
    ...{ dup: sum('dup'), lost: sum('lost'), wrong: sum('wrong') },
    problems: results.flatMap(({ problems }) => problems),
  }
}

export const runs: readonly Scenario[] = [
  { fault: 20, title: 'two runs at the same instant', homes: SERVERS, long: true, run: overlapping },
  { fault: 25, title: 'a job throws, loops, eats all memory', homes: ['PostgreSQL'], long: true, run: eachPoison },
]
