// What Prometheus reads. What is true of all processes together is asked of the database at every scrape; calls of the API
// and the process itself are counted here, and each process is scraped for itself.
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { ApiCall } from '../connector.ts'
import type { Instant, System } from '../core/deal.ts'
import { Summary } from '../report/summary.ts'
import { circuits } from '../store/connections.ts'
import { digestsSince } from '../store/digests.ts'
import { lastNights, quarantines, runCounts } from '../store/fleet.ts'
import type { Db } from '../store/schema.ts'

/** What is counted over a time is counted over this one: kept rows, not the life of a process, decide the number. */
const WINDOW_MS = 7 * 86_400_000

export type Metrics = ReturnType<typeof createMetrics>

export interface Fleet {
  readonly db: Db
  readonly connections: readonly { readonly name: string; readonly system: System }[]
  readonly clock: () => Instant
  /** Jobs by state. */
  readonly depth: () => Promise<Readonly<Record<string, number>>>
}

export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Gauge({ name: `unstall_${name}`, help, labelNames, registers })
  const calls = new Counter({
    name: 'unstall_api_calls_total',
    help: 'Calls of the CRM by this process, by class of status (none: no answer).',
    ...{ labelNames: ['connection', 'system', 'status'], registers },
  })
  const ofConnection = ['connection']
  const left = gauge(
    'api_calls_left',
    'Calls left today, as the CRM said at the last call of this process.',
    ofConnection,
  )
  const runs = gauge('runs_7d', 'Runs begun within seven days.', ['connection', 'kind', 'status'])
  const writes = gauge('writes_7d', 'Writes of these runs, by what became of them.', ['connection', 'outcome'])
  const good = gauge(
    'last_good_night_age_seconds',
    'Since the last night or run by hand that ended well.',
    ofConnection,
  )
  const deals = gauge('deals', 'Open deals as of the last good night, by state.', ['connection', 'state'])
  const state = gauge('connection_up', '1: nothing stands against it. 0: see reason.', ['connection', 'reason'])
  const waiting = gauge('quarantined_deals', 'Records that could not be understood.', ofConnection)
  const jobs = gauge('queue_jobs', 'Jobs of all processes, by state.', ['state'])
  const digests = gauge('digests_7d', 'Digests of seven days, by what became of them.', ['kind', 'status'])

  async function ask({ db, connections, clock, depth }: Fleet): Promise<void> {
    const now = clock()
    for (const each of [runs, writes, good, deals, state, waiting, jobs, digests]) each.reset()
    const known = new Set(connections.map(({ name }) => name))
    const ours = <T extends { readonly connection: string }>(rows: readonly T[]) =>
      rows.filter(({ connection }) => known.has(connection))
    const counts = await runCounts(db, now - WINDOW_MS)
    for (const { connection, kind, status, count } of ours(counts.runs)) runs.set({ connection, kind, status }, count)
    for (const { connection, outcome, count } of ours(counts.writes)) writes.set({ connection, outcome }, count)
    for (const { connection, kind, finishedAt, summary } of ours(await lastNights(db, true))) {
      if (kind !== 'preview') good.set({ connection }, (now - (finishedAt ?? now)) / 1000)
      const { open, stalled, parked, answeredNo } = Summary.safeParse(summary).data?.figures ?? {}
      const rest = (open ?? 0) - (stalled ?? 0) - (parked ?? 0) - (answeredNo ?? 0)
      const states = { stalled, parked, answered_no: answeredNo, moving: rest }
      for (const [state, count = 0] of Object.entries(states)) deals.set({ connection, state }, count)
    }
    const against = await circuits(db, now)
    for (const { name: connection } of connections) {
      const reason = against.get(connection)?.state ?? ''
      state.set({ connection, reason }, reason === '' ? 1 : 0)
    }
    for (const { connection, count } of ours(await quarantines(db))) waiting.set({ connection }, count)
    for (const [state, count] of Object.entries(await depth())) jobs.set({ state }, count)
    for (const { kind, status } of await digestsSince(db, now - WINDOW_MS)) digests.inc({ kind, status })
  }

  return {
    called: ({ name, system }: Fleet['connections'][number], { status, leftToday }: ApiCall): void => {
      calls.inc({ connection: name, system, status: status === null ? 'none' : classOf(status) })
      if (leftToday !== undefined) left.set({ connection: name }, leftToday)
    },
    /** Of the process itself: memory, event loop, garbage collection. Once, where it is a service. */
    watchProcess: () => collectDefaultMetrics({ register: registry }),
    contentType: registry.contentType,
    /** One scrape at a time; those that come meanwhile get the same answer. */
    scrape: shared(async (fleet: Fleet) => {
      await ask(fleet)
      return registry.metrics()
    }),
  }
}

const classOf = (status: number) => (status === 429 ? '429' : `${Math.floor(status / 100)}xx`)

function shared<A, T>(work: (of: A) => Promise<T>): (of: A) => Promise<T> {
  let running: Promise<T> | null = null
  return (of) =>
    (running ??= work(of).finally(() => {
      running = null
    }))
}
