// The run row is the state machine: which step is next, which attempt (epoch) may write, what became of it.
// "One open run per connection" and "one scheduled run per connection and local date" are unique indexes, not checks.
import type { Instant, LocalDate } from '../core/deal.ts'
import type { PlannedWrite } from '../core/plan.ts'
import type { Settings } from '../core/policy.ts'
import type { Data, Db, Executor, RunKind, RunOptions, RunStatus, Step, Trx } from './schema.ts'

/** Another worker has taken this run over: stop, write nothing, report nothing. */
export class Superseded extends Error {
  override readonly name = 'Superseded'
}

export interface Run {
  /** `<connection>-<local date>-<n>` */
  readonly id: string
  readonly connection: string
  readonly kind: RunKind
  readonly localDate: LocalDate
  readonly step: Step | 'done'
  readonly status: RunStatus
  readonly epoch: number
  /** Frozen at opening. */
  readonly now: Instant
  readonly settings: Settings
  readonly settingsHash: string
  readonly options: RunOptions
  /** Failed attempts of the current step. */
  readonly attempts: number
  readonly problem: string | null
  readonly summary: Data | null
  readonly createdAt: Instant
  readonly finishedAt: Instant | null
}

export interface NewRun {
  readonly connection: string
  readonly kind: RunKind
  readonly localDate: LocalDate
  readonly now: Instant
  readonly settings: Settings
  readonly settingsHash: string
  readonly options?: RunOptions
  /** First step; default `pull` (an undo starts at `decide`). */
  readonly step?: Step
  /** Wall clock. */
  readonly createdAt: Instant
}
/** What a write needs to know of its run. */
export type Fence = Pick<Run, 'id' | 'epoch'>

const todo = (): never => {
  throw new Error('being written')
}
/** Opens the next run, or says which run is in the way (open, or the night run of that date). */
export async function openRun(_db: Executor, _run: NewRun): Promise<{ run: Run } | { busy: Run }> {
  return todo()
}
/** Takes the step over: raises the epoch. Null: not the run's next step, or the run is not open. */
export async function startStep(_db: Executor, _id: string, _step: Step): Promise<Run | null> {
  return todo()
}
/** A transaction that first proves the epoch and holds the run row until it ends. Throws Superseded. */
export async function fenced<T>(_db: Db, _run: Fence, _fn: (trx: Trx) => Promise<T>): Promise<T> {
  return todo()
}
/** Inside `fenced`: the step is finished. Attempts and problem start anew. */
export async function nextStep(_trx: Executor, _run: Fence, _step: Step): Promise<void> {
  return todo()
}
/** Fenced by itself. `stopped`: a person ended it. */
export async function finishRun(_db: Executor, _run: Fence, _at: Instant, _summary: Data): Promise<void> {
  return todo()
}
export async function failRun(
  _db: Executor,
  _run: Fence,
  _at: Instant,
  _problem: string,
  _status: 'failed' | 'stopped' = 'failed',
): Promise<void> {
  return todo()
}
/** Counts a failed attempt of the current step and returns how many there were. */
export async function recordAttempt(_db: Executor, _run: Fence, _problem: string): Promise<number> {
  return todo()
}
export async function getRun(_db: Executor, _id: string): Promise<Run | null> {
  return todo()
}
/** Newest first. */
export async function listRuns(
  _db: Executor,
  _filter: { connection?: string; limit?: number } = {},
): Promise<readonly Run[]> {
  return todo()
}
/** For the sweeper. */
export async function openRuns(_db: Executor): Promise<readonly { id: string; connection: string; step: Step }[]> {
  return todo()
}
export async function saveSummary(_trx: Executor, _run: Fence, _summary: Data): Promise<void> {
  return todo()
}
/** A preview keeps its writes in the run row: nothing enters the ledger. */
export async function savePlan(_trx: Executor, _run: Fence, _plan: readonly PlannedWrite[]): Promise<void> {
  return todo()
}
export async function getPlan(_db: Executor, _id: string): Promise<readonly PlannedWrite[] | null> {
  return todo()
}
/** The newest finished preview of a connection. */
export async function latestPreview(_db: Executor, _connection: string): Promise<Run | null> {
  return todo()
}
export async function saveFigures(_trx: Executor, _run: Run, _figures: Data): Promise<void> {
  return todo()
}
/** Oldest first. */
export async function listFigures(
  _db: Executor,
  _connection: string,
): Promise<readonly { run: string; localDate: LocalDate; figures: Data }[]> {
  return todo()
}
