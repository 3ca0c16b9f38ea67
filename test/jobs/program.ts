// unstall as app.ts puts it together, for a test: real connectors, store, queue and jobs, without a configuration file,
// pace or pauses.
import type { JobContext } from '../../jobs/context.ts'
import { handlers } from '../../jobs/index.ts'
import { type Night, openNight, openUndo } from '../../jobs/nightly.ts'
import type { Connector, ConnectorOptions } from '../../src/connector.ts'
import type { Instant, System } from '../../src/core/deal.ts'
import { Settings } from '../../src/core/policy.ts'
import { type StepQueue, startQueue } from '../../src/queue.ts'
import type { Database } from '../../src/store/db.ts'
import { snapshots } from '../../src/store/deals.ts'
import { getRun, type Run } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'

/** No pace: that is the gate's own test. A pause the CRM asked for is not waited for. */
const openGate: ConnectorOptions['gate'] = {
  wait: async (signal) => {
    signal.throwIfAborted()
    return () => {}
  },
  observe: () => {},
  left: () => Number.POSITIVE_INFINITY,
}

export interface Connection {
  readonly name: string
  readonly system: System
}
export interface Reached extends Connection {
  readonly url: string
}

export interface ConnectHow {
  readonly token?: string
  readonly settleMs?: number
  readonly known?: NonNullable<ConnectorOptions['known']>
  readonly gate?: ConnectorOptions['gate']
  readonly called?: NonNullable<ConnectorOptions['called']>
  readonly warn?: NonNullable<ConnectorOptions['warn']>
}

/** `settleMs`: how long a task without an answer is left alone in lookup mode; these CRMs never commit late. */
export async function connectTo(
  { system, url }: Pick<Reached, 'system' | 'url'>,
  { token, settleMs, ...how }: ConnectHow = {},
): Promise<Connector> {
  const common = {
    gate: openGate,
    clock: Date.now,
    sleep: async (_ms: number, signal: AbortSignal) => signal.throwIfAborted(),
    timezone: 'UTC',
    ...how,
  }
  const settled = (connector: Connector) =>
    settleMs === undefined ? connector : instead(connector, () => ({ can: { ...connector.can, settleMs } }))
  if (system === 'hubspot') {
    const { connectHubspot, staticToken } = await import('../../connectors/hubspot/index.ts')
    return settled(connectHubspot({ ...common, baseUrl: url, credential: staticToken(token ?? 'sandbox-jobs') }))
  }
  const { clientCredentials, connectSalesforce } = await import('../../connectors/salesforce/index.ts')
  const credential = clientCredentials({
    loginUrl: url,
    clientId: 'sandbox',
    clientSecret: token ?? 'sandbox',
    timeoutMs: 5000,
  })
  return settled(connectSalesforce({ ...common, credential }))
}

/** The same connector with some of its parts replaced; asked at every use, because `can` is only known after `reference`. */
export function instead(connector: Connector, change: () => Partial<Connector>): Connector {
  const now = () => ({ ...connector, can: connector.can, ...change() })
  return {
    get can() {
      return now().can
    },
    check: (signal) => now().check(signal),
    setup: (signal) => now().setup(signal),
    removal: (signal) => now().removal(signal),
    reference: (signal) => now().reference(signal),
    pull: (since, at, signal) => now().pull(since, at, signal),
    census: (after, signal) => now().census(after, signal),
    read: (ids, signal) => now().read(ids, signal),
    find: (keys, signal) => now().find(keys, signal),
    write: (writes, signal, toGo) => now().write(writes, signal, toGo),
    close: () => now().close(),
  }
}

/** Decision stages by either CRM's name. */
export const settings: Settings = Settings.parse({
  timezone: 'UTC',
  policy: { decision: { stages: ['contractsent', 'Contract sent'] } },
})

export interface ProgramOptions {
  readonly database: Database
  readonly redisUrl?: string | undefined
  readonly crms: readonly Reached[]
  readonly connectors?: Readonly<Record<string, Connector>>
  readonly timing?: { readonly lockMs?: number; readonly stalledCheckMs?: number }
  readonly patienceMs?: number
  /** As in the configuration file; default: `settings`. */
  readonly settings?: unknown
  /** Instead of noting what is said. */
  readonly log?: JobContext['log']
}

export interface Program {
  readonly ctx: JobContext
  readonly queue: StepQueue
  readonly log: readonly string[]
  readonly problems: readonly string[]
  open(crm: Connection, now: Instant, how?: Partial<Night>): Promise<Run>
  finish(run: Run): Promise<Run>
  /** Opens a night by hand, unless told otherwise, and waits for its end. */
  night(crm: Connection, now: Instant, how?: Partial<Night>): Promise<Run>
  undo(of: Run, now: Instant, deals?: readonly string[]): Promise<Run>
  close(): Promise<void>
}

export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { database, crms, redisUrl } = options
  const log: string[] = []
  const problems: string[] = []
  const connectors = new Map(Object.entries(options.connectors ?? {}))
  const note = (into: string[]) => (data: object, message: string) =>
    void into.push(`${message} ${JSON.stringify(data, (_key, each) => (each instanceof Error ? each.stack : each))}`)
  const say = note(log)
  const ctx: JobContext = {
    db: database.db,
    connector: async (name) => {
      const crm = crms.find((one) => one.name === name)
      if (!crm) throw new Error(`no connection ${name}`)
      const known: ConnectHow['known'] = (ids) => snapshots(database.db, name, ids)
      const connector = connectors.get(name) ?? (await connectTo(crm, { settleMs: 0, known }))
      connectors.set(name, connector)
      return connector
    },
    texts: () => en,
    clock: Date.now,
    log: options.log ?? { debug: say, info: say, warn: say, error: note(problems) },
    progress: () => {},
    patienceMs: options.patienceMs ?? 0,
    retryMs: 20,
  }
  const queue = await startQueue({
    pool: database.pool,
    ...(redisUrl === undefined ? {} : { redisUrl }),
    handlers: handlers(ctx, async () => null),
    log: { info: say, warn: say },
    ...{ lockMs: 10_000, stalledCheckMs: 5_000, sweepMs: 60_000, ...options.timing },
  })
  const set = options.settings === undefined ? settings : Settings.parse(options.settings)
  async function open({ name, system }: Connection, now: Instant, how: Partial<Night> = {}) {
    const night = { connection: name, system, settings: set, kind: 'manual', now, ...how } as const
    const opened = await openNight(ctx, night)
    if ('busy' in opened) throw new Error(`${opened.busy.id} is in the way`)
    return opened.run
  }
  async function finish(run: Run): Promise<Run> {
    if (run.step !== 'done') await queue.add(run.id, run.step)
    const end = performance.now() + 20_000
    for (;;) {
      const found = await getRun(ctx.db, run.id)
      if (found && found.status !== 'open') return found
      if (performance.now() > end)
        throw new Error(
          `${run.id} is not over: ${JSON.stringify(found)}\n${[...problems, ...log].slice(-8).join('\n')}`,
        )
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  return {
    ctx,
    queue,
    log,
    problems,
    open,
    finish,
    night: async (crm, now, how) => finish(await open(crm, now, how)),
    async undo(of, now, deals) {
      const opened = await openUndo(ctx, of, now, deals)
      if ('busy' in opened) throw new Error(`${opened.busy.id} is in the way`)
      return finish(opened.run)
    },
    async close() {
      await queue.close(2000)
      for (const connector of connectors.values()) await connector.close()
    },
  }
}
