// Deals as last known, where each stands, and every transition. All writes are set-based and take the run's own
// transaction; an older observation never overwrites a newer one.
import type { DealId, Instant, Known, LocalDate } from '../core/deal.ts'
import type { Standing, Transition } from '../core/stall.ts'
import type { Executor } from './schema.ts'

export interface StoredDeal {
  readonly known: Known
  /** Null: never judged. */
  readonly standing: Standing | null
  readonly gone: boolean
  /** Why its record could not be understood in the last pull. */
  readonly unreadable: string | null
  /** The run that last observed it. */
  readonly seenRun: string
  /** First day on which its verdict could change without an event. */
  readonly dueOn: LocalDate | null
}

const todo = (): never => {
  throw new Error('being written')
}
export async function knownDeals(
  _db: Executor,
  _connection: string,
  _ids: readonly DealId[],
): Promise<Map<DealId, Known>> {
  return todo()
}
/** Call inside `fenced`. Also ends `gone` and `unreadable`. */
export async function saveKnown(_trx: Executor, _run: string, _known: readonly Known[]): Promise<void> {
  return todo()
}
export async function markGone(_trx: Executor, _connection: string, _ids: readonly DealId[]): Promise<void> {
  return todo()
}
export async function markUnreadable(
  _trx: Executor,
  _connection: string,
  _rows: readonly { readonly deal: DealId; readonly problem: string }[],
): Promise<void> {
  return todo()
}
/** One page ordered by id: open deals, and those closed or gone that still have something to end. */
export async function streamDeals(
  _db: Executor,
  _connection: string,
  _page: { readonly after: DealId | null; readonly limit: number },
): Promise<readonly StoredDeal[]> {
  return todo()
}
export async function getDeals(
  _db: Executor,
  _connection: string,
  _ids: readonly DealId[],
): Promise<Map<DealId, StoredDeal>> {
  return todo()
}
/** Live ids of a connection after `after`, for the weekly census. */
export async function liveIds(
  _db: Executor,
  _connection: string,
  _page: { readonly after: DealId | null; readonly limit: number },
): Promise<readonly DealId[]> {
  return todo()
}
export async function saveStandings(
  _trx: Executor,
  _connection: string,
  _rows: readonly { readonly id: DealId; readonly standing: Standing; readonly dueOn: LocalDate | null }[],
): Promise<void> {
  return todo()
}
/** Saving the same transition of a run twice changes nothing. */
export async function saveTransitions(
  _trx: Executor,
  _run: string,
  _transitions: readonly Transition[],
): Promise<void> {
  return todo()
}
export async function transitionsOfRun(_db: Executor, _run: string): Promise<readonly Transition[]> {
  return todo()
}
export async function transitionsOfDeal(
  _db: Executor,
  _connection: string,
  _deal: DealId,
): Promise<readonly (Transition & { readonly run: string })[]> {
  return todo()
}
/** By exact id or link, else by exact name, else by part of the name (any case). At most ten. */
export async function findDeal(_db: Executor, _words: string, _connection?: string): Promise<readonly StoredDeal[]> {
  return todo()
}
export async function openCount(_db: Executor, _connection: string): Promise<number> {
  return todo()
}
export type { Instant }
