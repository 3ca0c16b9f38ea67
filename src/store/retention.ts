// What is forgotten, and when. Called after each night for its connection: a task that waits night after night after a
// week, details of a run after a month, what became of deals that are long over after 400 days. What a deal still needs
// is never touched: its own record, whatever was written to a deal that is open or not settled, since when a task waits.
import { type RawBuilder, sql } from 'kysely'
import type { Instant } from '../core/deal.ts'
import { watched } from './deals.ts'
import type { Db } from './schema.ts'

const DAY_MS = 86_400_000
/** Until then: a task that waited as it did the night before. Most of what a night stores. */
export const WAITING_DAYS = 7
/** Until then: what a run held back or dropped, its lists, the plan of a preview. */
export const DETAIL_DAYS = 30
/** Until then whatever was written can be taken back. */
export const WRITTEN_DAYS = 400
/** Rows a statement: each must end long before the time a statement may take. */
const CHUNK = 20_000

/** @param now the CRM's time, as in `run.now`. Returns how many rows went. Can be called again after half of it. */
export async function forget(db: Db, connection: string, now: Instant): Promise<number> {
  const [waiting = 0, detail = 0, written = 0] = [WAITING_DAYS, DETAIL_DAYS, WRITTEN_DAYS].map(
    (days) => now - days * DAY_MS,
  )
  const runs = (before: Instant) =>
    sql`run WHERE run.connection = ${connection} AND run.now < ${before}::bigint AND run.status <> 'open'`
  // The oldest row of a task that waits says since when.
  const older = sql`EXISTS (SELECT FROM ledger AS older WHERE older.connection = ledger.connection
    AND older.task_key = ledger.task_key AND older.kind = 'create-task' AND older.status = 'held'
    AND (older.planned_at, older.run) < (ledger.planned_at, ledger.run))`
  // What is gone since yesterday may be restored tomorrow, and is then the stall it was.
  const over = (table: string) =>
    sql`EXISTS (SELECT FROM deal WHERE deal.connection = ${connection} AND deal.id = ${sql.ref(`${table}.deal`)}
      AND deal.modified_at < ${written}::bigint AND NOT ${watched}
      AND coalesce(deal.since, 0) < ${written}::bigint)`
  // Run by run (OFFSET 0): the planner would rather read the whole table.
  const rowsOf = (name: string, before: Instant, which: RawBuilder<unknown>) => {
    const table = sql.table(name)
    return sql`DELETE FROM ${table} WHERE ctid = ANY(ARRAY(SELECT old.ctid FROM (SELECT id FROM ${runs(before)}) AS ended,
      LATERAL (SELECT ${table}.ctid FROM ${table} WHERE ${table}.run = ended.id AND ${which} OFFSET 0) AS old LIMIT ${CHUNK}))`
  }
  const statements = [
    rowsOf('ledger', waiting, sql`status = 'held' AND kind = 'create-task' AND ${older}`),
    rowsOf('ledger', detail, sql`status IN ('dropped', 'held') AND (status = 'dropped' OR kind <> 'create-task')`),
    rowsOf('preview', detail, sql`true`),
    rowsOf('ledger', written, sql`status <> 'sent' AND ${over('ledger')}`),
    rowsOf('transition', written, over('transition')),
    sql`UPDATE run SET summary = jsonb_set(summary, '{lists}', (SELECT jsonb_object_agg(list, '[]'::jsonb)
        FROM jsonb_object_keys(summary->'lists') AS list))
      WHERE id IN (SELECT id FROM ${runs(detail)}
        AND jsonb_path_exists(summary, '$.lists.*[*]') LIMIT 100)`,
    sql`WITH ended AS (DELETE FROM ${runs(written)} AND NOT EXISTS (SELECT FROM ledger WHERE ledger.run = run.id)
        AND NOT EXISTS (SELECT FROM transition WHERE transition.run = run.id) RETURNING id)
      DELETE FROM figures WHERE figures.run IN (SELECT id FROM ended)`,
  ]
  let total = 0
  for (const statement of statements)
    for (;;) {
      const { numAffectedRows = 0n } = await statement.execute(db)
      total += Number(numAffectedRows)
      if (numAffectedRows < 100n) break
    }
  // A server does this by itself; the embedded database would never use the room again.
  const { rows } = await sql<{ embedded: boolean }>`SELECT version() ~ 'PGlite' AS embedded`.execute(db)
  if (rows[0]?.embedded) await sql`VACUUM`.execute(db)
  return total
}
