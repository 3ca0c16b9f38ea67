// The stage a fault is played on: lookalike CRMs over real HTTP with the world of a seed, one of the three homes, a
// configuration file, and worker processes that are started, killed and started again. Free of vitest, because
// `npm run faults` is a program that prints a table.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { stringify } from 'yaml'
import type { System } from '../../src/core/deal.ts'
import type { SandboxOptions } from '../../src/sandbox/kernel.ts'
import type { Seed } from '../../src/sandbox/seed.ts'
import { type Home, homes, type Where } from '../homes.ts'
import { type Crm, setUp, startCrm } from '../jobs/harness.ts'
import { CACHE } from '../services.ts'
import type { Ended, Event, Orders, RunOrder } from './worker.ts'

export type HomeName = Home['name']

/** What one line of the table says. `null`: the fault has no such figure. */
export interface Result {
  /** How often the fault struck, with what: "200 kills". */
  readonly injected: string
  readonly dup: number
  readonly lost: number
  readonly wrong: number
  /** Calls beyond what the same work costs undisturbed, or what is measured instead: "1.12 x". */
  readonly extraCalls?: string
  readonly recoveryMs?: number
  /** Every sentence is a failure of the row. */
  readonly problems: readonly string[]
  /** Other figures worth a word. */
  readonly note?: string
}

/** The machine cannot play it: why. */
export interface Skipped {
  readonly skipped: string
}

export interface Scenario {
  /** Number of the fault in docs/reliability.md. */
  readonly fault: number
  readonly title: string
  /** Default: both. */
  readonly systems?: readonly System[]
  /** Where the home matters; quick runs take one a system. Default: embedded. */
  readonly homes?: readonly HomeName[]
  /** Takes long: quick runs play it on one system only, the next such one on the other. */
  readonly long?: boolean
  /** In full counts it keeps this process busy for so long that the CRMs of other rows would not answer in time. */
  readonly alone?: boolean
  run(trial: Trial): Promise<Result | Skipped>
}

/** One scenario on one system and one home. */
export interface Trial {
  readonly system: System
  readonly home: HomeName
  /** Small counts for CI; otherwise the full ones. */
  readonly quick: boolean
  readonly seed: number
  /** For a person who watches. */
  say(words: string): void
  /** Runs when the trial is over, last one first. */
  onEnd(cleanup: () => unknown): void
}

export interface StageOptions {
  readonly seed: Seed
  /** Default: the trial's system alone. The same seed in each. */
  readonly systems?: readonly System[]
  readonly sandbox?: SandboxOptions
  readonly taskKey?: 'unique' | 'plain'
  /** How these sign in instead of by what a sandbox takes without more. */
  readonly auth?: Readonly<Partial<Record<System, object>>>
  /** Merged over the file's top level: policy, tasks, brakes … */
  readonly config?: Readonly<Record<string, unknown>>
  /** Instead of a fresh place of the trial's home. */
  readonly where?: Where
  readonly app?: Orders['app']
  /** The address each CRM is reached at instead of its own. */
  readonly through?: (url: string) => Promise<string>
}

export interface Stage {
  readonly crms: readonly Crm[]
  /** The first one. */
  readonly crm: Crm
  readonly config: string
  readonly where: Where
  /** Starts a worker on these orders. A spare process is kept warm, so that starting does not cost a second. */
  work(orders?: Partial<Omit<Orders, 'config' | 'env'>>): Worker
  /** Works until these runs are over; throws when one of them is not `done`. */
  finish(runs: readonly RunOrder[], orders?: Partial<Omit<Orders, 'config' | 'runs'>>): Promise<readonly Ended[]>
  /** All that `finish` has seen end, oldest first. */
  readonly finished: readonly Ended[]
  /** Preview and confirmation of the first night of each CRM. */
  firstNight(now: number, orders?: Partial<Omit<Orders, 'config' | 'runs'>>): Promise<readonly Ended[]>
}

export interface Worker {
  readonly pid: number
  readonly events: readonly Event[]
  /** What it wrote on stderr (its log). */
  stderr(): string
  alive(): boolean
  /** Resolves at the first event that fits (past ones too); rejects when the process ends before. */
  until(fits: (event: Event) => boolean): Promise<Event>
  kill(signal?: NodeJS.Signals): void
  readonly over: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

/** A part of a trial, whose things are cleared away when it is over. */
export async function part<T>(trial: Omit<Trial, 'onEnd'>, play: (trial: Trial) => Promise<T>): Promise<T> {
  const cleanups: (() => unknown)[] = []
  try {
    return await play({ ...trial, onEnd: (cleanup) => void cleanups.unshift(cleanup) })
  } finally {
    for (const cleanup of cleanups) await cleanup()
  }
}

/** What tokens are stored under. */
export const SECRET_KEY = 'of the fault harness, in this process and nowhere else'

/** Short ones, so that a killed worker's job is back soon; the program's own are 8 s and 3 s. `settleMs`: on a busy machine a
 *  call that its sender gave up may still be applied a moment later, as in a real CRM. */
const TIMING = { lockMs: 1_500, stalledCheckMs: 300, sweepMs: 500, retryMs: 50, settleMs: 2_000, timeoutMs: 5_000 }

export async function stage(trial: Trial, options: StageOptions): Promise<Stage> {
  const { systems = [trial.system], sandbox = {}, taskKey = 'unique' } = options
  const crms: Crm[] = []
  for (const system of systems) {
    const crm = await startCrm(system, options.seed, taskKey, { seed: trial.seed, ...sandbox })
    trial.onEnd(() => crm.stop())
    await setUp(crm)
    crms.push(options.through ? { ...crm, url: await options.through(crm.url) } : crm)
  }
  const [crm] = crms
  if (crm === undefined) throw new Error('a stage needs a CRM')
  const where = options.where ?? (await place(trial.home))
  const folder = mkdtempSync(join(tmpdir(), 'unstall-faults-'))
  trial.onEnd(() => rmSync(folder, { recursive: true, force: true }))
  const config = join(folder, 'unstall.config.yaml')
  writeFileSync(config, configuration(crms, where.dataDir ?? join(folder, 'data'), options))

  const env = {
    ...{ DATABASE_URL: where.databaseUrl ?? '', REDIS_URL: where.redisUrl ?? '' },
    UNSTALL_SECRET_KEY: SECRET_KEY,
  }
  keepSpare(trial)
  const work: Stage['work'] = ({ runs = [], ...orders } = {}) => {
    const { worker, begin } = spares.shift() ?? launch()
    trial.onEnd(() => worker.kill())
    const app = { ...options.app, ...orders.app, timing: { ...TIMING, ...options.app?.timing, ...orders.app?.timing } }
    begin({ config, env, runs, ...orders, app })
    spares.push(launch())
    return worker
  }
  const finished: Ended[] = []
  const finish: Stage['finish'] = async (runs, orders) => {
    const worker = work({ ...orders, runs })
    const end = await worker.over
    const over = ended(worker)
    const bad = over.filter(({ status }) => status !== 'done').map((one) => JSON.stringify(one))
    if (end.code !== 0 || over.length < runs.length || bad.length > 0)
      throw new Error(
        `not done (${end.code ?? end.signal}): ${bad.join()} ${JSON.stringify(worker.events.slice(-3))} ${worker.stderr().slice(-2000)}`,
      )
    finished.push(...over)
    return over
  }
  return {
    ...{ crms, crm, config, where, work, finish, finished },
    async firstNight(now, orders) {
      const over = await finish(
        crms.map(({ name: connection }) => ({ connection, kind: 'first', now })),
        orders,
      )
      return over.filter(({ kind }) => kind !== 'preview')
    },
  }
}

/** A fresh, prepared, unopened place of this home. */
export async function place(name: HomeName): Promise<Where> {
  const home = homes.find((one) => one.name === name)
  if (!home) throw new Error(`no home ${name}`)
  return home.place()
}

export const ended = ({ events }: Pick<Worker, 'events'>): Ended[] =>
  events.flatMap((event) => (event.event === 'over' ? [event] : []))

function configuration(crms: readonly Crm[], dataDir: string, { auth: other, config: more }: StageOptions): string {
  const auth = {
    hubspot: { kind: 'token', token: 'sandbox-faults' },
    salesforce: { kind: 'client-credentials', clientId: 'sandbox', clientSecret: 'sandbox' },
    ...other,
  }
  const connections = crms.map(({ name, system, url }) => [
    name,
    { system, ...(system === 'hubspot' ? { baseUrl: url } : { loginUrl: url }), auth: auth[system] },
  ])
  const policy = { decision: { stages: ['contractsent', 'Contract sent'] } }
  const tasks = { perOwnerPerWeek: 1000 }
  return stringify({
    ...{ timezone: 'UTC', language: 'en', dataDir, policy, tasks, brakes: { maxNewlyStalledShare: 1 } },
    connections: Object.fromEntries(connections),
    ...more,
  })
}

/** Processes that have loaded everything and wait for orders, whosever: one as long as there is any stage. */
const spares: ReturnType<typeof launch>[] = []
let stages = 0
function keepSpare(trial: Trial): void {
  stages += 1
  if (spares.length === 0) spares.push(launch())
  trial.onEnd(() => {
    stages -= 1
    if (stages === 0) for (const { worker } of spares.splice(0)) worker.kill()
  })
}

function launch(): { worker: Worker; begin: (orders: Orders) => void } {
  // An own heap limit, so that a worker that eats memory dies alone.
  const flags = ['--max-old-space-size=600', '--expose-gc']
  const env = { ...process.env, NODE_COMPILE_CACHE: join(CACHE, 'compiled') }
  const child = spawn(process.execPath, [...flags, join(import.meta.dirname, 'worker.ts')], { env })
  // A process that dies before it has read its orders is seen by `over`.
  child.stdin.on('error', () => {})
  return { worker: watched(child), begin: (orders) => void child.stdin.end(JSON.stringify(orders)) }
}

/** Any process of ours; `events` are those of worker.ts. */
export function watched(child: ChildProcess): Worker {
  const events: Event[] = []
  let log = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-100_000)
  })
  const listeners = new Set<() => void>()
  const tell = () => {
    for (const listener of listeners) listener()
  }
  if (child.stdout)
    createInterface({ input: child.stdout }).on('line', (line) => {
      events.push(JSON.parse(line))
      tell()
    })
  let end: { code: number | null; signal: NodeJS.Signals | null } | null = null
  const over = once(child, 'close').then(([code, signal]) => {
    end = { code, signal }
    tell()
    return end
  })
  return {
    pid: child.pid ?? -1,
    events,
    stderr: () => log,
    alive: () => end === null,
    kill: (signal = 'SIGKILL') => void child.kill(signal),
    over,
    until: (fits) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = events.find(fits)
          if (!found && end === null) return
          listeners.delete(look)
          if (found) resolve(found)
          else reject(new Error(`the worker ended (${end?.code ?? end?.signal}): ${log.slice(-2000)}`))
        }
        listeners.add(look)
        look()
      }),
  }
}

/** Looks every few milliseconds until it holds. @throws after `ms` */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>, ms = 30_000): Promise<number> {
  const begun = performance.now()
  while (!(await holds())) {
    if (performance.now() - begun > ms) throw new Error(`${what}: not within ${ms} ms`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return performance.now() - begun
}
