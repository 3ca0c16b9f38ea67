// What a run wrote, or would write, page by page: a night may have 45,000 rows. A preview's stand in a table of
// their own, all others in the ledger; whoever looks sees the same.
import { sql } from 'kysely'
import type { DealId } from '../core/deal.ts'
import type { Group, LedgerStatus, PlannedWrite } from '../core/plan.ts'
import { among } from './db.ts'
import type { Run } from './runs.ts'
import type { Executor } from './schema.ts'

type Of = Pick<Run, 'id' | 'kind'>
export interface Write {
  readonly deal: DealId
  readonly row: PlannedWrite
  /** Of a preview: `planned` or `held`. */
  readonly status: LedgerStatus
  readonly message: string | null
}

const rowsOf = ({ id, kind }: Of) =>
  kind === 'preview'
    ? sql`(SELECT "row", "row"->'deal'->>'id' AS deal, "row"->>'group' AS "group",
        CASE WHEN "row"->'hold' = 'null' THEN 'planned' ELSE 'held' END AS status, NULL AS message, seq
      FROM preview WHERE run = ${id}) AS written`
    : sql`(SELECT "row", deal, "group", status, message, seq FROM ledger WHERE run = ${id}) AS written`

/** How many rows of each kind have which status. */
export async function countWrites(db: Executor, run: Of) {
  const { rows } = await sql<{ group: Group; status: LedgerStatus; count: number }>`
    SELECT "group", status, count(*)::int AS count FROM ${rowsOf(run)} GROUP BY "group", status`.execute(db)
  return rows
}

/** The deals with rows of these statuses, in planned order, and all rows of the deals on this page. */
export async function pageOfWrites(
  db: Executor,
  run: Of,
  { statuses, offset, limit }: { statuses: readonly LedgerStatus[]; offset: number; limit: number },
): Promise<{ readonly deals: number; readonly writes: ReadonlyMap<DealId, readonly Write[]> }> {
  const { rows: page } = await sql<{ deal: DealId; deals: number }>`
    SELECT deal, (count(*) OVER ())::int AS deals FROM ${rowsOf(run)} WHERE status = ${among(statuses)}
    GROUP BY deal ORDER BY min(seq) OFFSET ${offset} LIMIT ${limit}`.execute(db)
  const ids = page.map(({ deal }) => deal)
  const { rows } = await sql<Write>`SELECT deal, "row", status, message FROM ${rowsOf(run)}
    WHERE deal = ${among(ids)} ORDER BY seq`.execute(db)
  const found = Map.groupBy(rows, ({ deal }) => deal)
  return { deals: page[0]?.deals ?? 0, writes: new Map(ids.map((id) => [id, found.get(id) ?? []])) }
}
