// The write ledger: what unstall intends, sent, and what became of it. Which status may follow which (MOVES of the core)
// is enforced here, in SQL, for every caller. All writes happen inside `fenced` of runs.ts.
import { type Selectable, sql } from 'kysely'
import type { DealId, Instant, RemoteId } from '../core/deal.ts'
import type { LedgerRow, LedgerStatus, PlannedWrite } from '../core/plan.ts'
import { LIVE, MOVES } from '../core/reaffirm.ts'
import { among, json, rowsOf } from './db.ts'
import type { Fence } from './runs.ts'
import type { Executor, Schema } from './schema.ts'

export interface Settlement {
  readonly key: string
  readonly status: LedgerStatus
  /** Kept as it was when absent. */
  readonly remote?: RemoteId
  /** The CRM's words, or what a person had changed. */
  readonly message?: string
  /** What the row says differently from now on: a task that was there already is taken as it is. */
  readonly row?: { readonly adopted: true; readonly body: string }
}

/** A ledger row with the epoch that sent it: one older than the run's is unknown, its call may still be in flight. */
export type StoredRow = LedgerRow & { readonly sentEpoch: number | null; readonly week: string }

/** A move the ledger does not allow, or a row that is not there: a bug of the caller, nothing was written. */
export class IllegalMove extends Error {
  override readonly name = 'IllegalMove'
}

const liveTasks = (db: Executor) =>
  db.selectFrom('ledger').where('kind', '=', 'create-task').where('status', 'in', LIVE)

/** Stores a plan in its order: `held` where the row has a hold, else `planned`. A task whose key is already live is
 *  stored as `dropped`. Storing the same row twice changes nothing. `week`: ISO week of the run, `2026-W48`. */
export async function insertPlan(
  trx: Executor,
  run: Fence,
  rows: readonly PlannedWrite[],
  { now, week }: { readonly now: Instant; readonly week: string },
): Promise<void> {
  const keys = rows.flatMap((row) => (row.kind === 'create-task' ? [row.taskKey] : []))
  const ours = liveTasks(trx).where('connection', '=', rows[0]?.deal.connection ?? '')
  const live = await ours.where('taskKey', '=', among(keys)).select('taskKey').execute()
  const taken = new Set(live.map((row) => row.taskKey))
  const { last } = await trx
    .selectFrom('ledger')
    .select(sql<number>`coalesce(max(seq), 0)`.as('last'))
    .where('run', '=', run.id)
    .executeTakeFirstOrThrow()
  const valuesOf = (row: PlannedWrite, index: number) => {
    const { key, deal, group, kind, hold } = row
    const written = { run: run.id, key, connection: deal.connection, deal: deal.id, group, kind, row }
    const time = { seq: last + index + 1, planned_at: now, week }
    const status = hold ? 'held' : 'planned'
    if (kind === 'fields') return { ...written, ...time, status }
    const task = { ...written, ...time, task_key: row.taskKey }
    if (kind !== 'create-task') return { ...task, status }
    const { person } = row
    if (hold || !taken.has(row.taskKey)) return { ...task, person, status }
    return { ...task, person, status: 'dropped', message: 'this stall already has a task' }
  }
  for (let from = 0; from < rows.length; from += 1000) {
    const values = rows.slice(from, from + 1000).map((row, index) => valuesOf(row, from + index))
    const some = rowsOf('ledger', values)
    await sql`INSERT INTO ledger SELECT * FROM ${some} ON CONFLICT (run, key) DO NOTHING`.execute(trx)
  }
}

const COLUMNS = ['row', 'run', 'status', 'plannedAt', 'sentAt', 'settledAt', 'remote', 'message', 'sentEpoch'] as const
type Columns = Pick<Selectable<Schema['ledger']>, (typeof COLUMNS)[number] | 'week'>
const select = (db: Executor) => db.selectFrom('ledger').select([...COLUMNS, 'week'])
const fromRow = ({ row, ...rest }: Columns): StoredRow => ({ ...row, ...rest })

const ofRun = (db: Executor, run: string) => select(db).where('run', '=', run).orderBy('seq')

/** In planned order, as all that follow. */
export async function plannedRows(db: Executor, run: string, limit: number): Promise<readonly StoredRow[]> {
  return (await ofRun(db, run).where('status', '=', 'planned').limit(limit).execute()).map(fromRow)
}

/** The planned rows of the next `most` deals, without those in `except`. A deal without an answer comes last: whether its
 *  write arrived would look like somebody's change. */
export async function nextRows(
  db: Executor,
  run: string,
  most: number,
  except: { readonly keys: readonly string[]; readonly deals: readonly DealId[] },
): Promise<readonly StoredRow[]> {
  const none = (ids: readonly string[]) => sql<string>`all(${ids}::text[])`
  const sent = sql<boolean>`NOT EXISTS (SELECT FROM ledger AS sent WHERE sent.connection = ledger.connection
    AND sent.run = ledger.run AND sent.deal = ledger.deal AND sent.status = 'sent')`
  const planned = db.selectFrom('ledger').where('run', '=', run).where('status', '=', 'planned').where(sent)
  const free = planned.where('key', '<>', none(except.keys)).where('deal', '<>', none(except.deals)).orderBy('seq')
  const rows = await free
    .select(['key', 'deal'])
    .limit(ROWS_A_DEAL * most)
    .execute()
  const deals = new Set<DealId>()
  const end = rows.findIndex((row) => deals.add(row.deal).size > most)
  const keys = (end < 0 ? rows : rows.slice(0, end)).map((row) => row.key)
  return (await ofRun(db, run).where('key', '=', among(keys)).execute()).map(fromRow)
}
/** Flag, category, stage, answer, task, completion: so many at the most, so that one read call serves a full batch of deals. */
const ROWS_A_DEAL = 6

export async function sentRows(db: Executor, run: string): Promise<readonly StoredRow[]> {
  return (await ofRun(db, run).where('status', '=', 'sent').execute()).map(fromRow)
}

/** Of the deals of a run, what became of the fields it writes. */
export async function fieldsOf(
  db: Executor,
  { id, connection }: { readonly id: string; readonly connection: string },
  deals: readonly DealId[],
) {
  const some = db.selectFrom('ledger').where('connection', '=', connection).where('deal', '=', among(deals))
  const rows = await some.where('run', '=', id).where('kind', '=', 'fields').select(['deal', 'status']).execute()
  return Map.groupBy(rows, ({ deal }) => deal)
}

/** Of all runs of a connection: what an earlier run or attempt left unknown. */
export async function sentRowsOfConnection(db: Executor, connection: string): Promise<readonly StoredRow[]> {
  const rows = select(db).where('connection', '=', connection).where('status', '=', 'sent')
  return (await rows.orderBy('plannedAt').orderBy('seq').execute()).map(fromRow)
}

/** What was not written because somebody was faster or the deal was not as judged. */
export async function leftRows(db: Executor, run: string): Promise<readonly StoredRow[]> {
  return (await ofRun(db, run).where('status', 'in', ['left', 'dropped']).execute()).map(fromRow)
}

/** All, or only those of some deals. All of a big night are hundreds of megabytes. */
export async function rowsOfRun(db: Executor, run: string, deals?: readonly DealId[]): Promise<readonly StoredRow[]> {
  const rows = deals === undefined ? ofRun(db, run) : ofRun(db, run).where('deal', '=', among(deals))
  return (await rows.execute()).map(fromRow)
}

const ofRunKeys = (trx: Executor, run: string, keys: readonly string[], status: LedgerStatus) =>
  trx.updateTable('ledger').where('run', '=', run).where('key', '=', among(keys)).where('status', '=', status)

/** Intent before the call: commit this, then call. Throws IllegalMove when one of the rows is not `planned`. */
export async function markSent(trx: Executor, run: Fence, keys: readonly string[], now: Instant): Promise<void> {
  const some = ofRunKeys(trx, run.id, keys, 'planned').set({ status: 'sent', sentAt: now, sentEpoch: run.epoch })
  requireAll(run.id, keys, await some.returning('key').execute())
}

/** Those without an answer count as sent at `sentAt`, when the last call that may hold them has ended. */
export const stillUnknown = (trx: Executor, { id }: Fence, keys: readonly string[], sentAt: Instant) =>
  ofRunKeys(trx, id, keys, 'sent').set({ sentAt }).execute()

/** What is still only planned will not be written by this run. */
export const dropPlanned = (trx: Executor, { id }: Fence, message: string, settledAt: Instant) =>
  trx
    .updateTable('ledger')
    .set({ status: 'dropped', message, settledAt })
    .where('run', '=', id)
    .where('status', '=', 'planned')
    .execute()

/** Moves rows of run `of` (the run itself, or the run being undone). Throws IllegalMove when one move is not allowed. */
export async function settle(trx: Executor, of: string, outcomes: readonly Settlement[], now: Instant): Promise<void> {
  const { rows } = await sql<{ key: string }>`
    UPDATE ledger SET status = outcome.status, settled_at = ${now}::bigint,
      remote = coalesce(outcome.remote, ledger.remote), message = coalesce(outcome.message, ledger.message),
      "row" = ledger."row" || coalesce(outcome."row", '{}')
    FROM ${rowsOf('ledger', outcomes)} AS outcome, jsonb_each(${json(MOVES)}::jsonb) AS allowed (before, next)
    WHERE ledger.run = ${of} AND ledger.key = outcome.key AND ledger.status = before AND next ? outcome.status
    RETURNING ledger.key`.execute(trx)
  const keys = outcomes.map((outcome) => outcome.key)
  requireAll(of, keys, rows)
}

/** Rows of run `of` that an undo took back, but those another undo has left meanwhile. */
export const takeBack = (trx: Executor, of: string, keys: readonly string[], settledAt: Instant) =>
  ofRunKeys(trx, of, keys, 'done').set({ status: 'undone', settledAt }).execute()

function requireAll(run: string, keys: readonly string[], moved: readonly { readonly key: string }[]): void {
  if (moved.length === keys.length) return
  const done = new Set(moved.map((row) => row.key))
  const [first = 'a doubled key', ...more] = keys.filter((key) => !done.has(key))
  throw new IllegalMove(`ledger of run ${run}: not allowed for ${first} and ${more.length} more rows`)
}

/** Rows of all runs that a new plan must know: everything but `dropped` and, of held rows, only the oldest per task
 *  (since when it waits). In order of planning. */
export async function ledgerForDeals(db: Executor, connection: string, ids: readonly DealId[]) {
  const counts = sql<boolean>`(status NOT IN ('dropped', 'held')
    OR (status = 'held' AND kind = 'create-task' AND NOT EXISTS (SELECT FROM ledger AS older
      WHERE older.connection = ledger.connection AND older.task_key = ledger.task_key AND older.kind = 'create-task' AND older.status = 'held'
        AND (older.planned_at, older.run) < (ledger.planned_at, ledger.run))))`
  const found = select(db).where('connection', '=', connection).where('deal', '=', among(ids)).where(counts)
  const rows = await found.orderBy('plannedAt').orderBy('run').orderBy('seq').execute()
  return Map.groupBy<DealId, StoredRow>(rows.map(fromRow), (row) => row.deal.id)
}

/** New tasks per person in an ISO week over all connections. */
export async function tasksInWeek(db: Executor, week: string): Promise<Map<string, number>> {
  const tasks = liveTasks(db).where('week', '=', week).where('person', 'is not', null).groupBy('person')
  const rows = await tasks.select(['person', sql<number>`count(*)`.as('count')]).execute()
  return new Map(rows.map((row) => [row.person ?? '', row.count]))
}

/** Held until the transaction ends: two connections' `decide` reserve their task budget one after the other. */
export async function lockBudget(trx: Executor): Promise<void> {
  await trx.selectFrom('lease').select('name').where('name', '=', 'budget').forUpdate().executeTakeFirstOrThrow()
}
