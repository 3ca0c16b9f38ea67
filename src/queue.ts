// The queue: one job per run, named by its next step. Which step that is stands in the run row; the queue only carries
// it to a worker, gives it back when the worker dies, parks it on RetryLater, and starts the nights on schedule.
// The only file that knows BullMQ and Redis.
import type { Pool } from 'pg'

export interface QueueLog {
  info(data: object, message: string): void
  warn(data: object, message: string): void
}

export interface QueueHandlers {
  /** One step of a run. A step that is not the run's next returns at once. Throwing RetryLater parks the job, Superseded
   *  ends it quietly, anything else goes to `failed`. */
  readonly step: (runId: string, step: string, signal: AbortSignal) => Promise<void>
  /** The run's next step, or null when it is not open. */
  readonly next: (runId: string) => Promise<string | null>
  /** A step threw: records it and returns the milliseconds until the next attempt, or null when the run was given up. */
  readonly failed: (runId: string, step: string, error: unknown) => Promise<number | null>
  /** It is time for the night of this connection: opens its run (or finds it already open or done). */
  readonly night: (connection: string) => Promise<{ readonly runId: string; readonly step: string } | null>
  /** All open runs, for the sweeper. */
  readonly open: () => Promise<readonly { readonly id: string; readonly step: string }[]>
}

export interface QueueSettings {
  /** Database of the Postgres backend; not used when `redisUrl` is set. */
  readonly pool: Pool
  readonly redisUrl?: string
  readonly handlers: QueueHandlers
  readonly log: QueueLog
  readonly clock: () => number
  /** 0: no worker here (roles scheduler and web). Default 4. */
  readonly concurrency?: number
  readonly lockMs?: number
  readonly stalledCheckMs?: number
  readonly sweepMs?: number
}

export interface Night {
  readonly connection: string
  /** Five fields, in `timezone`. */
  readonly cron: string
  readonly timezone: string
}

export interface StepQueue {
  /** Adding a step that already waits or runs does nothing. */
  add(runId: string, step: string): Promise<void>
  /** Replaces all schedules; they are put back by the sweeper when the queue's store was flushed. */
  schedule(nights: readonly Night[]): Promise<void>
  /** Re-adds the next step of every open run whose job is gone. Runs by itself every few seconds. */
  sweep(): Promise<void>
  /** Waits up to `graceMs` (default 8 s) for running steps, then aborts their signal. */
  close(graceMs?: number): Promise<void>
}

export async function startQueue(_settings: QueueSettings): Promise<StepQueue> {
  throw new Error('being written')
}
