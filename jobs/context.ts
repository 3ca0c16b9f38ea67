// What every job is handed: the store, the connectors, the texts, the clock. Nothing here is global.
import type { Connector } from '../src/connector.ts'
import type { Instant } from '../src/core/deal.ts'
import type { Texts } from '../src/core/explain.ts'
import type { Settings } from '../src/core/policy.ts'
import type { Log } from '../src/log.ts'
import type { Run } from '../src/store/runs.ts'
import type { Db } from '../src/store/schema.ts'

/** Where a process may die, beside inside a call; `step stored`: the run has moved on, its job is not acknowledged yet;
 *  `token issued`: the CRM gave a new token (of connection `what`), which is not stored yet. */
export type CrashPoint =
  | ('step started' | 'intent stored' | 'answer read' | 'result stored' | 'step stored')
  | 'token issued'

/** For a person who waits: what a run is doing. */
export interface RunProgress {
  readonly run: string
  readonly connection: string
  readonly step: string
  readonly done: number
  readonly total: number | null
}

export interface JobContext {
  readonly db: Db
  connector(name: string): Promise<Connector>
  readonly texts: (language: Settings['language']) => Texts
  /** Wall clock. */
  readonly clock: () => Instant
  readonly log: Log
  readonly progress: (progress: RunProgress) => void
  /** How long a CRM that does not answer is waited for before a run opened here that has written nothing is given up. */
  readonly patienceMs: number
  /** How long writes without an answer are left alone before the next look. */
  readonly retryMs: number
  /** `unstall plan` writes nothing, not even what another run left to do. */
  readonly previewsOnly?: boolean
  /** How often a step may begin and die without having stored anything before its run is given up. Default 20. */
  readonly mostStarts?: number
  /** How long a step may go on without any progress before it counts as failed. Default 30 minutes. */
  readonly idleMs?: number
  /** Only for the tests that kill this process. `what`: the step, or the kind of the rows being written. */
  readonly crash?: (at: CrashPoint, what: string) => void
}

/** The CRM's time: a run's `now` is frozen at its opening, and against a sandbox its clock is not ours. */
export function crmTime(ctx: JobContext, run: Run): Instant {
  return ctx.clock() + (run.now - run.createdAt)
}
