// The write ledger: what unstall intends, sent, and what became of it. Which status may follow which is enforced
// here, in SQL, for every caller. All writes happen inside `fenced` of runs.ts.
import type { DealId, Instant, RemoteId } from '../core/deal.ts'
import type { LedgerRow, LedgerStatus, PlannedWrite } from '../core/plan.ts'
import type { Fence } from './runs.ts'
import type { Executor } from './schema.ts'

export interface Settlement {
  readonly key: string
  readonly status: LedgerStatus
  readonly remote?: RemoteId | null
  readonly message?: string | null
}

/** A ledger row with the epoch that sent it: one older than the run's is unknown, its call may still be in flight. */
export type StoredRow = LedgerRow & { readonly sentEpoch: number | null; readonly week: string }

const todo = (): never => {
  throw new Error('being written')
}
/** Stores a plan in its order: `held` where the row has a hold, else `planned`. A task whose key is already live is
 *  stored as `dropped`. Storing the same row twice changes nothing. `week`: ISO week of the run, `2026-W48`. */
export async function insertPlan(
  _trx: Executor,
  _run: Fence,
  _rows: readonly PlannedWrite[],
  _at: { readonly now: Instant; readonly week: string },
): Promise<void> {
  return todo()
}
/** In planned order. */
export async function plannedRows(_db: Executor, _run: string, _limit: number): Promise<readonly StoredRow[]> {
  return todo()
}
/** Intent before the call: throws when one of the rows is not `planned`. */
export async function markSent(_trx: Executor, _run: Fence, _keys: readonly string[], _now: Instant): Promise<void> {
  return todo()
}
export async function sentRows(_db: Executor, _run: string): Promise<readonly StoredRow[]> {
  return todo()
}
/** Moves rows of run `of` (the run itself, or the run being undone). Throws when a move is not allowed. */
export async function settle(
  _trx: Executor,
  _of: string,
  _outcomes: readonly Settlement[],
  _now: Instant,
): Promise<void> {
  return todo()
}
/** Rows of all runs that a new plan must know: everything but `dropped`, and of held rows only the oldest per task. */
export async function ledgerForDeals(
  _db: Executor,
  _connection: string,
  _ids: readonly DealId[],
): Promise<Map<DealId, StoredRow[]>> {
  return todo()
}
/** In planned order. */
export async function rowsOfRun(_db: Executor, _run: string): Promise<readonly StoredRow[]> {
  return todo()
}
export async function countByStatus(_db: Executor, _run: string): Promise<Partial<Record<LedgerStatus, number>>> {
  return todo()
}
/** New tasks per person in an ISO week over all connections. */
export async function tasksInWeek(_db: Executor, _week: string): Promise<Map<string, number>> {
  return todo()
}
/** Held until the transaction ends: two connections' `decide` reserve their task budget one after the other. */
export async function lockBudget(_trx: Executor): Promise<void> {
  return todo()
}
