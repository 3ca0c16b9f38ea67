// The write ledger: what unstall intends, sent, and what became of it. Which status may follow which is enforced here,
// in SQL, for every caller. All writes happen inside `fenced` of runs.ts.
import { type Selectable, sql } from 'kysely'
import type { DealId, Instant, RemoteId } from '../core/deal.ts'
import type { LedgerRow, LedgerStatus, PlannedWrite } from '../core/plan.ts'
import { json } from './db.ts'
import type { Fence } from './runs.ts'
import type { Executor, Schema } from './schema.ts'

export interface Settlement {
  readonly key: string
  readonly status: LedgerStatus
  /** Kept as it was when absent. */
  readonly remote?: RemoteId
  /** The CRM's words, or what a person had changed. */
  readonly message?: string
}

/** A ledger row with the epoch that sent it: one older than the run's is unknown, its call may still be in flight. */
export type StoredRow = LedgerRow & { readonly sentEpoch: number | null; readonly week: string }

/** A move the ledger does not allow, or a row that is not there: a bug of the caller, nothing was written. */
export class IllegalMove extends Error {
  override readonly name = 'IllegalMove'
}

/** Which status may follow which. `sent` -> `planned` only by outcome `later` or proven absence (the caller's part). */
export const MOVES: Readonly<Record<LedgerStatus, readonly LedgerStatus[]>> = {
  planned: ['sent', 'held', 'dropped', 'left'],
  sent: ['done', 'refused', 'planned', 'left'],
  done: ['undone', 'left'],
  held: [],
  dropped: [],
  refused: [],
  left: [],
  undone: [],
}
const ALLOWED = JSON.stringify(
  Object.entries(MOVES).flatMap(([before, after]) => after.map((status) => ({ before, status }))),
)

/** A task in one of these is live: its key can never be planned again. */
const LIVE = ['planned', 'sent', 'done', 'left', 'undone'] as const

/** Stores a plan in its order: `held` where the row has a hold, else `planned`. A task whose key is already live is
 *  stored as `dropped`. Storing the same row twice changes nothing. `week`: ISO week of the run, `2026-W48`. */
export async function insertPlan(
  trx: Executor,
  run: Fence,
  rows: readonly PlannedWrite[],
  at: { readonly now: Instant; readonly week: string },
): Promise<void> {
  const { last } = await trx
    .selectFrom('ledger')
    .select(sql<number>`coalesce(max(seq), 0)`.as('last'))
    .where('run', '=', run.id)
    .executeTakeFirstOrThrow()
  for (let from = 0; from < rows.length; from += 1000) {
    const values = rows.slice(from, from + 1000).map((row, index) => ({
      key: row.key,
      connection: row.deal.connection,
      deal: row.deal.id,
      group: row.group,
      kind: row.kind,
      status: row.hold === null ? 'planned' : 'held',
      row,
      person: row.kind === 'create-task' ? row.person : null,
      task_key: row.kind === 'fields' ? null : row.taskKey,
      seq: last + from + index + 1,
    }))
    await sql`
      INSERT INTO ledger (run, key, connection, deal, "group", kind, status, "row", person, week, task_key, seq,
        planned_at, message)
      SELECT ${run.id}, key, connection, deal, "group", kind,
        CASE WHEN doubled THEN 'dropped' ELSE status END, "row", person, ${at.week}, task_key, seq, ${at.now}::bigint,
        CASE WHEN doubled THEN 'this stall already has a task' END
      FROM jsonb_to_recordset(${json(values)}::jsonb) AS planned (key text, connection text, deal text, "group" text,
        kind text, status text, "row" jsonb, person text, task_key text, seq int)
      CROSS JOIN LATERAL (SELECT kind = 'create-task' AND status = 'planned' AND EXISTS (
        SELECT FROM ledger AS other WHERE other.task_key = planned.task_key AND other.kind = 'create-task'
          AND other.status = any(${LIVE}::text[])) AS doubled) AS task
      ON CONFLICT (run, key) DO NOTHING`.execute(trx)
  }
}

/** In planned order. */
export async function plannedRows(db: Executor, run: string, limit: number): Promise<readonly StoredRow[]> {
  const rows = await ofRun(db, run).where('status', '=', 'planned').limit(limit).execute()
  return rows.map(fromRow)
}

export async function sentRows(db: Executor, run: string): Promise<readonly StoredRow[]> {
  const rows = await ofRun(db, run).where('status', '=', 'sent').execute()
  return rows.map(fromRow)
}

/** Of all runs of a connection: what an earlier run or attempt left unknown. */
export async function sentRowsOfConnection(db: Executor, connection: string): Promise<readonly StoredRow[]> {
  const rows = await db
    .selectFrom('ledger')
    .selectAll()
    .where('connection', '=', connection)
    .where('status', '=', 'sent')
    .orderBy('plannedAt')
    .orderBy('seq')
    .execute()
  return rows.map(fromRow)
}

/** In planned order. */
export async function rowsOfRun(db: Executor, run: string): Promise<readonly StoredRow[]> {
  const rows = await ofRun(db, run).execute()
  return rows.map(fromRow)
}

const ofRun = (db: Executor, run: string) => db.selectFrom('ledger').selectAll().where('run', '=', run).orderBy('seq')

export async function countByStatus(db: Executor, run: string): Promise<Partial<Record<LedgerStatus, number>>> {
  const rows = await db
    .selectFrom('ledger')
    .select(['status', sql<number>`count(*)`.as('count')])
    .where('run', '=', run)
    .groupBy('status')
    .execute()
  return Object.fromEntries(rows.map((row) => [row.status, row.count]))
}

/** Intent before the call: commit this, then call. Throws IllegalMove when one of the rows is not `planned`. */
export async function markSent(trx: Executor, run: Fence, keys: readonly string[], now: Instant): Promise<void> {
  const rows = await trx
    .updateTable('ledger')
    .set({ status: 'sent', sentAt: now, sentEpoch: run.epoch })
    .where('run', '=', run.id)
    .where('key', '=', sql<string>`any(${keys}::text[])`)
    .where('status', '=', 'planned')
    .returning('key')
    .execute()
  requireAll(run.id, keys, rows)
}

/** Moves rows of run `of` (the run itself, or the run being undone). Throws IllegalMove when one move is not allowed. */
export async function settle(trx: Executor, of: string, outcomes: readonly Settlement[], now: Instant): Promise<void> {
  if (outcomes.length === 0) return
  const { rows } = await sql<{ key: string }>`
    UPDATE ledger SET status = outcome.status, settled_at = ${now}::bigint,
      remote = coalesce(outcome.remote, ledger.remote), message = coalesce(outcome.message, ledger.message)
    FROM jsonb_to_recordset(${json(outcomes)}::jsonb) AS outcome (key text, status text, remote text, message text)
      JOIN jsonb_to_recordset(${ALLOWED}::jsonb) AS allowed (before text, status text) USING (status)
    WHERE ledger.run = ${of} AND ledger.key = outcome.key AND ledger.status = allowed.before
    RETURNING ledger.key`.execute(trx)
  requireAll(
    of,
    outcomes.map((outcome) => outcome.key),
    rows,
  )
}

function requireAll(run: string, keys: readonly string[], moved: readonly { readonly key: string }[]): void {
  if (moved.length === keys.length) return
  const done = new Set(moved.map((row) => row.key))
  const left = keys.filter((key) => !done.has(key))
  throw new IllegalMove(
    `ledger of run ${run}: not allowed for ${left.length} rows, first ${left[0] ?? 'a doubled key'}`,
  )
}

/** Rows of all runs that a new plan must know: everything but `dropped` and, of held rows, only the oldest per task
 *  (since when it waits). In order of planning. */
export async function ledgerForDeals(
  db: Executor,
  connection: string,
  ids: readonly DealId[],
): Promise<Map<DealId, StoredRow[]>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .selectFrom('ledger')
    .selectAll()
    .where('connection', '=', connection)
    .where('deal', '=', sql<string>`any(${ids}::text[])`)
    .where(
      sql<boolean>`(status IN ('planned', 'sent', 'done', 'refused', 'left', 'undone')
        OR (status = 'held' AND kind = 'create-task' AND NOT EXISTS (SELECT FROM ledger AS older
          WHERE older.task_key = ledger.task_key AND older.kind = 'create-task' AND older.status = 'held'
            AND (older.planned_at, older.run) < (ledger.planned_at, ledger.run))))`,
    )
    .orderBy('plannedAt')
    .orderBy('run')
    .orderBy('seq')
    .execute()
  return Map.groupBy(rows.map(fromRow), (row) => row.deal.id)
}

/** New tasks per person in an ISO week over all connections. */
export async function tasksInWeek(db: Executor, week: string): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('ledger')
    .select(['person', sql<number>`count(*)`.as('count')])
    .where('week', '=', week)
    .where('kind', '=', 'create-task')
    .where('status', 'in', LIVE)
    .where('person', 'is not', null)
    .groupBy('person')
    .execute()
  return new Map(rows.map((row) => [row.person ?? '', row.count]))
}

/** Held until the transaction ends: two connections' `decide` reserve their task budget one after the other. */
export async function lockBudget(trx: Executor): Promise<void> {
  await trx.selectFrom('lease').select('name').where('name', '=', 'budget').forUpdate().executeTakeFirstOrThrow()
}

const fromRow = (row: Selectable<Schema['ledger']>): StoredRow => ({
  ...row.row,
  run: row.run,
  status: row.status,
  plannedAt: row.plannedAt,
  sentAt: row.sentAt,
  settledAt: row.settledAt,
  remote: row.remote,
  message: row.message,
  sentEpoch: row.sentEpoch,
  week: row.week,
})
