// Nights in virtual time: the real jobs, store, connectors and gates over real HTTP, in this process, with a clock that
// jumps to the next sleeper whenever nothing is under way. A storm of ten minutes, a pause of a day or a hundred lost
// answers cost no real time, and every call can be seen with its moment. Only the request timeout is real.

import type { z } from 'zod'
import type { JobContext } from '../../jobs/context.ts'
import { handlers } from '../../jobs/index.ts'
import { type Night, openNight } from '../../jobs/nightly.ts'
import type { Connector, ConnectorOptions, Gate } from '../../src/connector.ts'
import type { Instant, System } from '../../src/core/deal.ts'
import { Settings } from '../../src/core/policy.ts'
import { RetryLater } from '../../src/errors.ts'
import { createGate } from '../../src/gate.ts'
import type { SandboxOptions } from '../../src/sandbox/kernel.ts'
import type { Seed, SeedDeal } from '../../src/sandbox/seed.ts'
import type { Database } from '../../src/store/db.ts'
import { snapshots } from '../../src/store/deals.ts'
import { getRun, listRuns, type Run } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { borrowed } from '../homes.ts'
import { type Crm, setUp, startCrm } from '../jobs/harness.ts'
import type { Trial } from './harness.ts'
import type { Judged } from './judge.ts'
import { compare, fetchHeld } from './oracle.ts'
import { live, type World } from './world.ts'

/** One call as it left the program. `status` 0: no usable answer. */
export interface Passed {
  readonly at: Instant
  readonly until: Instant
  /** Name of the connection. */
  readonly crm: string
  readonly method: string
  readonly path: string
  /** Records of a batch write; 0: it reads. */
  readonly rows: number
  status: number
  /** What a 429 asked for. */
  retryAfterS: number | null
  /** The limit that was reached, by its name. */
  policy: string | null
  /** Places in the order of all beginnings and ends of calls. */
  readonly begun: number
  readonly over: number
  /** By the real clock. */
  readonly tookMs: number
}
/** Header by which calls to a watched CRM are told from ours. */
export const SOMEONE_ELSE = 'x-someone-else'

interface Traffic {
  readonly passed: Passed[]
  begun(origin: string, request: { method: string; path: string; body: unknown }): Passed
  ended(call: Passed): void
}
/** Whose calls are whose: trials share the process and its `fetch`. */
const worlds = new Map<string, { readonly name: string; readonly world: Traffic }>()
const real = globalThis.fetch
const watched: typeof fetch = async (input, init) => {
  const url = new URL(input instanceof Request ? input.url : String(input))
  const owner = url.pathname.startsWith('/__sandbox/') ? undefined : worlds.get(url.origin)
  if (!owner) return real(input, init)
  const { name, world } = owner
  const of = new Headers(init?.headers).has(SOMEONE_ELSE) ? `someone else on ${name}` : name
  const call = world.begun(of, { method: init?.method ?? 'GET', path: url.pathname, body: init?.body })
  try {
    const answer = await real(input, init)
    const asked = answer.headers.get('retry-after')
    call.retryAfterS = asked === null ? null : Number(asked)
    const read = answer.text.bind(answer)
    const over = () => world.ended(call)
    const text = async () => {
      try {
        const all = await read()
        call.status = answer.status
        call.policy = /"policyName":"(\w+)"/.exec(all)?.[1] ?? null
        return all
      } finally {
        over()
      }
    }
    Object.defineProperty(answer, 'text', { value: text })
    // Nobody reads the body of a redirect.
    if (answer.status >= 300 && answer.status < 400) over()
    return answer
  } catch (error) {
    world.ended(call)
    throw error
  }
}

/** How many records a batch write carries. */
function rowsIn(path: string, method: string, body: unknown): number {
  if (method === 'GET' || !/batch\/(?:create|update|archive)$|\/composite\/sobjects$/.test(path)) return 0
  if (typeof body !== 'string') return 1
  const { inputs, records }: { inputs?: unknown[]; records?: unknown[] } = JSON.parse(body)
  return (inputs ?? records ?? []).length
}

/** Loop turns without anything happening after which everybody is taken to be asleep. */
const QUIET = 20

export function virtualTime(start: Instant) {
  let now = start
  let doings = 0
  let underWay = 0
  /** Answers the CRM holds back on purpose: they wait for us, not we for them. */
  let heldBack = 0
  let stir = () => {}
  const sleepers: { readonly at: Instant; readonly wake: () => void }[] = []
  const nap = (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      signal?.throwIfAborted()
      doings += 1
      const sleeper = { at: now + Math.max(0, ms), wake: resolve }
      sleepers.push(sleeper)
      signal?.addEventListener('abort', () => {
        const place = sleepers.indexOf(sleeper)
        if (place >= 0) sleepers.splice(place, 1)
        reject(signal.reason)
      })
    })
  const passed: Passed[] = []
  const world: Traffic = {
    passed,
    begun(crm, { method, path, body }) {
      doings += 1
      underWay += 1
      const rows = rowsIn(path, method, body)
      const call = {
        at: now,
        until: now,
        crm,
        method,
        path,
        rows,
        status: 0,
        retryAfterS: null,
        policy: null,
        begun: doings,
        over: 0,
        tookMs: performance.now(),
      }
      passed.push(call)
      return call
    },
    ended(call) {
      if (call.over > 0) return // a redirect whose body is read after all
      doings += 1
      Object.assign(call, { until: now, over: doings, tookMs: performance.now() - call.tookMs })
      underWay -= 1
      stir()
    },
  }
  async function run<T>(work: Promise<T>): Promise<T> {
    let over = false
    const ended = work.finally(() => {
      over = true
      stir()
    })
    ended.catch(() => {})
    while (!over) {
      for (let quiet = 0, seen = doings; quiet < QUIET && !over; quiet++) {
        await new Promise((resolve) => setImmediate(resolve))
        if (doings !== seen) quiet = 0
        seen = doings
      }
      if (over) break
      if (underWay > heldBack) {
        await new Promise<void>((resolve) => {
          stir = resolve
        })
        stir = () => {}
        continue
      }
      const next = sleepers.sort((a, b) => a.at - b.at).shift()
      if (!next) continue
      now = Math.max(now, next.at)
      next.wake()
    }
    return ended
  }
  return {
    ...{ clock: () => Math.floor(now), sleep: nap, run, world, passed },
    /** For the sandboxes: their waits are somebody's call. */
    sandbox: {
      monotonic: () => now,
      sleep: async (ms: number) => {
        heldBack += 1
        stir()
        await nap(ms)
        heldBack -= 1
      },
    },
    /** Nobody may be at work. */
    advance(to: Instant) {
      now = Math.max(now, to)
    },
  }
}

export interface VirtualOptions {
  readonly crms: readonly {
    /** Of the connection; default: that of the system. */
    readonly name?: string
    readonly system: System
    readonly seed: Seed
    readonly taskKey?: 'unique' | 'plain'
    readonly sandbox?: SandboxOptions
    /** The address it is reached at instead of its own. */
    readonly through?: (url: string) => Promise<string>
  }[]
  readonly settings?: z.input<typeof Settings>
  /** Real. Default 5 s. */
  readonly timeoutMs?: number
  readonly settleMs?: number
  /** Instead of the program's own gate. */
  readonly gate?: Gate
  /** Instead of what the store knows. */
  readonly known?: NonNullable<ConnectorOptions['known']>
}

export interface Virtual {
  readonly crms: readonly Crm[]
  readonly crm: Crm
  readonly database: Database
  readonly time: ReturnType<typeof virtualTime>
  /** Every call that left the program so far. */
  readonly passed: readonly Passed[]
  /** What was said, `<level> <message> <data>`. */
  readonly log: readonly string[]
  /** A night at the present moment, to its end; throws when it fails, unless it may. */
  night(crm: Crm, how?: Partial<Night>, may?: 'fail'): Promise<Run>
  /** Of each of these (default: all), beside the others. */
  nights(crms?: readonly Crm[]): Promise<readonly Run[]>
  /** Nobody is at work: it is that moment now, here and in the CRMs. */
  at(now: Instant): Promise<void>
  /** The same, preview and confirmation. */
  firstNight(crms?: readonly Crm[]): Promise<readonly Run[]>
  connector(name: string): Promise<Connector>
  /** What only lives in the process is gone, its tokens too. */
  forget(): void
  /** As after a kill: what only lived in the process is gone. Another one tries the run's next step at once. */
  restart(run: string): Promise<void>
}

export async function virtual(trial: Trial, options: VirtualOptions): Promise<Virtual> {
  const start = options.crms[0]?.seed.now ?? 0
  const time = virtualTime(start)
  globalThis.fetch = watched
  const crms: Crm[] = []
  for (const { name, system, seed, taskKey, sandbox, through } of options.crms) {
    const crm = await startCrm(system, seed, taskKey, { seed: trial.seed, ...time.sandbox, ...sandbox })
    const named = { ...crm, ...(name && { name }), ...(through && { url: await through(crm.url) }) }
    trial.onEnd(() => crm.stop())
    worlds.set(named.url, { name: named.name, world: time.world })
    trial.onEnd(() => worlds.delete(named.url))
    await time.run(setUp(named))
    crms.push(named)
  }
  time.passed.length = 0
  const [crm] = crms
  if (crm === undefined) throw new Error('nothing to work on')
  const { database, giveBack } = await borrowed()
  trial.onEnd(giveBack)
  const settings = Settings.parse({
    timezone: 'UTC',
    policy: { decision: { stages: ['contractsent', 'Contract sent'] } },
    tasks: { perOwnerPerWeek: 1_000_000 },
    ...options.settings,
    brakes: { maxNewlyStalledShare: 1, maxWritesPerRun: 1_000_000, ...options.settings?.brakes },
  })
  const log: string[] = []
  const note = (level: string) => (data: object, message: string) =>
    void log.push(
      `${level} ${message} ${JSON.stringify(data, (_, each) => (each instanceof Error ? each.stack : each))}`,
    )
  let connectors = new Map<string, Connector>()
  const ctx: JobContext = {
    db: database.db,
    connector: async (name) => {
      const connector = connectors.get(name) ?? (await connected(name))
      connectors.set(name, connector)
      return connector
    },
    texts: () => en,
    clock: time.clock,
    log: { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') },
    progress: () => {},
    patienceMs: 4 * 3_600_000,
    retryMs: 15_000,
  }
  async function connected(name: string): Promise<Connector> {
    const found = crms.find((one) => one.name === name)
    if (!found) throw new Error(`no connection ${name}`)
    const { system, url } = found
    const common = {
      gate: options.gate ?? createGate(time),
      clock: time.clock,
      sleep: time.sleep,
      timezone: 'UTC',
      timeoutMs: options.timeoutMs ?? 5_000,
      ...(options.settleMs === undefined ? {} : { settleMs: options.settleMs }),
      known: options.known ?? ((ids: readonly string[]) => snapshots(database.db, name, ids)),
      warn: (message: string, data?: Record<string, unknown>) => note('warn')(data ?? {}, message),
    }
    if (system === 'hubspot') {
      const { connectHubspot, staticToken } = await import('../../connectors/hubspot/index.ts')
      return connectHubspot({ ...common, baseUrl: url, credential: staticToken('sandbox-virtual') })
    }
    const { clientCredentials, connectSalesforce } = await import('../../connectors/salesforce/index.ts')
    const credential = clientCredentials({ loginUrl: url, clientId: 'sandbox', clientSecret: 'sandbox' })
    return connectSalesforce({ ...common, credential })
  }
  /** What the queue does, one run at a time. */
  async function carry(run: Run, may?: 'fail'): Promise<Run> {
    const steps = handlers(ctx, async () => null)
    const { signal } = new AbortController()
    for (;;) {
      const step = await steps.next(run.id)
      if (step === null) break
      try {
        await steps.step(run.id, step, signal)
      } catch (error) {
        const ms = error instanceof RetryLater ? error.afterMs : await steps.failed(run.id, step, error)
        if (ms !== null) await time.sleep(ms)
      }
    }
    const over = await getRun(database.db, run.id)
    if (over?.status === 'failed' && may === 'fail') return over
    if (over?.status !== 'done')
      throw new Error(`${run.id}: ${over?.status} ${over?.problem} ${log.slice(-5).join('\n')}`)
    return over
  }
  async function one({ name, system }: Crm, how: Partial<Night> = {}, may?: 'fail'): Promise<Run> {
    const night = {
      connection: name,
      system,
      settings,
      kind: 'manual',
      now: Math.floor(time.clock() / 1000) * 1000,
      ...how,
    } as const
    const opened = await openNight(ctx, night)
    if ('busy' in opened) throw new Error(`${opened.busy.id} is in the way`)
    return carry(opened.run, may)
  }
  const first = async (each: Crm) => one(each, { confirm: (await one(each, { kind: 'preview' })).id })
  return {
    ...{ crms, crm, database, time, log, passed: time.passed },
    night: (each, how, may) => time.run(one(each, how, may)),
    nights: (some = crms) => time.run(Promise.all(some.map((each) => one(each)))),
    async at(now) {
      time.advance(now)
      for (const each of crms) await each.clock(now)
    },
    firstNight: (some = crms) => time.run(Promise.all(some.map(first))),
    connector: ctx.connector,
    forget: () => {
      connectors = new Map()
    },
    async restart(run) {
      connectors = new Map()
      const steps = handlers(ctx, async () => null)
      const step = await steps.next(run)
      if (step !== null) await steps.step(run, step, new AbortController().signal).catch(() => {})
    },
  }
}

export interface Company extends Virtual {
  /** Everything that happens up to the next night; its number, or null: there is none. */
  next(): Promise<number | null>
  /** All nights so far are over. */
  judge(): Promise<Judged>
}

/** A seeded company: the same deals in each of its CRMs, lived through and judged by the oracle. */
export async function company(
  trial: Trial,
  made: World,
  options: Partial<Omit<VirtualOptions, 'crms'>> & {
    readonly crms?: readonly Omit<VirtualOptions['crms'][number], 'seed'>[]
    /** More deals, of which the oracle is not told. */
    readonly more?: readonly SeedDeal[]
  } = {},
): Promise<Company> {
  const everything = { ...made.crm, deals: [...made.crm.deals, ...(options.more ?? [])] }
  const crms = (options.crms ?? [{ system: trial.system }]).map((crm) => ({ ...crm, seed: everything }))
  const rig = await virtual(trial, {
    ...options,
    crms,
    settings: Settings.parse({ ...made.settings, ...options.settings }),
  })
  let over = 0
  return {
    ...rig,
    async next() {
      const night = made.nights[over]
      if (night === undefined) return null
      for (const crm of rig.crms) await live(crm, night.acts)
      await rig.at(night.now)
      return over++
    },
    async judge() {
      const { crm: seed, settings, seed: number } = made
      const all = await Promise.all(rig.crms.map((crm) => fetchHeld(crm.url)))
      const sums = { dup: 0, lost: 0, wrong: 0, problems: [] as string[] }
      for (const [at, { system, name: connection }] of rig.crms.entries()) {
        // Of the same system the same ids.
        const elsewhere = all.filter((_, other) => rig.crms[other]?.system !== system)
        const runs = await listRuns(rig.database.db, { connection, limit: 1000 })
        const nights = runs
          .flatMap(({ kind, status, now }) => (kind === 'preview' || status === 'failed' ? [] : now))
          .reverse()
        for (const held of all.slice(at, at + 1)) {
          const found = compare({
            seed,
            settings,
            number,
            system,
            nights,
            held,
            elsewhere,
          })
          sums.dup += found.DUP.length
          sums.lost += found.LOST.length
          sums.wrong += found.WRONG.length + found.overwrites.length
          const said = [...found.DUP, ...found.LOST, ...found.WRONG, ...found.overwrites]
          sums.problems.push(...said.map((one) => `${connection}: ${one}`))
        }
      }
      return sums
    },
  }
}
