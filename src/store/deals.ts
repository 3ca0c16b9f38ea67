// Deals as last known, where each stands, and every transition. All writes are set-based (one statement per call, the
// rows as one JSON parameter) and run in the caller's transaction; an older observation never overwrites a newer one.
import { type Selectable, sql } from 'kysely'
import type { DealId, Known, LocalDate } from '../core/deal.ts'
import type { Standing, Transition } from '../core/stall.ts'
import { json } from './db.ts'
import type { Executor, Schema } from './schema.ts'

const STORED = ['known', 'standing', 'gone', 'unreadable', 'seenRun', 'dueOn'] as const
/** `standing` null: never judged. `unreadable`: why its record could not be understood in the last pull. `seenRun`: the
 *  run that last observed it. `dueOn`: first day on which its verdict could change without an event. */
export type StoredDeal = Readonly<Pick<Selectable<Schema['deal']>, (typeof STORED)[number]>>

interface Page {
  /** The last id of the page before; ids are ordered by their bytes. */
  readonly after: DealId | null
  readonly limit: number
}

export async function knownDeals(
  db: Executor,
  connection: string,
  ids: readonly DealId[],
): Promise<Map<DealId, Known>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .selectFrom('deal')
    .select(['id', 'known'])
    .where('connection', '=', connection)
    .where('id', '=', among(ids))
    .execute()
  return new Map(rows.map((row) => [row.id, row.known]))
}

/** All of one connection or several; a deal at most once per call. Also ends `gone` and `unreadable`. */
export async function saveKnown(trx: Executor, run: string, known: readonly Known[]): Promise<void> {
  if (known.length === 0) return
  const rows = known.map(({ ref, deal, ...rest }) => ({
    connection: ref.connection,
    id: ref.id,
    known: { ref, deal, ...rest },
    modified_at: deal.modifiedAt,
    outcome: deal.outcome,
    name: deal.name,
    url: deal.url,
    marked: deal.own.stalled || (deal.own.state ?? 'moving') !== 'moving' || deal.own.categoryBefore !== null,
  }))
  await sql`
    INSERT INTO deal (connection, id, known, modified_at, outcome, name, url, marked, seen_run)
    SELECT connection, id, known, modified_at, outcome, name, url, marked, ${run}
    FROM jsonb_to_recordset(${json(rows)}::jsonb) AS row (connection text, id text, known jsonb, modified_at bigint,
      outcome text, name text, url text, marked boolean)
    ON CONFLICT (connection, id) DO UPDATE SET known = excluded.known, modified_at = excluded.modified_at,
      outcome = excluded.outcome, name = excluded.name, url = excluded.url, marked = excluded.marked,
      seen_run = excluded.seen_run, gone = false, unreadable = NULL
    WHERE excluded.modified_at >= deal.modified_at`.execute(trx)
}

export async function markGone(trx: Executor, connection: string, ids: readonly DealId[]): Promise<void> {
  if (ids.length === 0) return
  await trx
    .updateTable('deal')
    .set({ gone: true })
    .where('connection', '=', connection)
    .where('id', '=', among(ids))
    .execute()
}

/** Only of deals known before: one that was never readable has nothing to hold and is in the run's report. */
export async function markUnreadable(
  trx: Executor,
  connection: string,
  rows: readonly { readonly deal: DealId; readonly problem: string }[],
): Promise<void> {
  if (rows.length === 0) return
  await sql`
    UPDATE deal SET unreadable = row.problem
    FROM jsonb_to_recordset(${json(rows)}::jsonb) AS row (deal text, problem text)
    WHERE deal.connection = ${connection} AND deal.id = row.deal`.execute(trx)
}

// Word for word the condition of the index `deal_watched`.
const watched = sql<boolean>`(unsettled OR (NOT gone AND (outcome = 'open' OR marked)))`

/** One page ordered by id: open deals, and those closed or gone that still have something to end. */
export async function streamDeals(db: Executor, connection: string, page: Page): Promise<readonly StoredDeal[]> {
  return db
    .selectFrom('deal')
    .select(STORED)
    .where('connection', '=', connection)
    .where('id', '>', page.after ?? '')
    .where(watched)
    .orderBy('id')
    .limit(page.limit)
    .execute()
}

export async function getDeals(
  db: Executor,
  connection: string,
  ids: readonly DealId[],
): Promise<Map<DealId, StoredDeal>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .selectFrom('deal')
    .select(STORED)
    .where('connection', '=', connection)
    .where('id', '=', among(ids))
    .execute()
  return new Map(rows.map((row) => [row.known.ref.id, row]))
}

/** Ids of all deals that are not known to be gone, open or closed: what the weekly census is compared with. */
export async function liveIds(db: Executor, connection: string, page: Page): Promise<readonly DealId[]> {
  const rows = await db
    .selectFrom('deal')
    .select('id')
    .where('connection', '=', connection)
    .where('id', '>', page.after ?? '')
    .where('gone', '=', false)
    .orderBy('id')
    .limit(page.limit)
    .execute()
  return rows.map((row) => row.id)
}

export async function saveStandings(
  trx: Executor,
  connection: string,
  rows: readonly { readonly id: DealId; readonly standing: Standing; readonly dueOn: LocalDate | null }[],
): Promise<void> {
  if (rows.length === 0) return
  const values = rows.map(({ id, standing, dueOn }) => ({ id, standing, due_on: dueOn, unsettled: !settled(standing) }))
  await sql`
    UPDATE deal SET standing = row.standing, due_on = row.due_on, unsettled = row.unsettled
    FROM jsonb_to_recordset(${json(values)}::jsonb) AS row (id text, standing jsonb, due_on text, unsettled boolean)
    WHERE deal.connection = ${connection} AND deal.id = row.id`.execute(trx)
}

/** Nothing left to end: a closed deal without a borrowed category, or a deal that is gone. */
const settled = (standing: Standing) =>
  standing.state === 'gone' || (standing.state === 'closed' && standing.borrowed === null)

/** Saving the same transition of a run twice changes nothing. */
export async function saveTransitions(trx: Executor, run: string, transitions: readonly Transition[]): Promise<void> {
  if (transitions.length === 0) return
  const values = transitions.map(({ deal, ...rest }) => ({ ...rest, connection: deal.connection, deal: deal.id }))
  await sql`
    INSERT INTO transition (run, connection, deal, at, "from", "to", rule, evidence)
    SELECT ${run}, connection, deal, at, "from", "to", rule, evidence
    FROM jsonb_to_recordset(${json(values)}::jsonb) AS row (connection text, deal text, at bigint, "from" text,
      "to" text, rule text, evidence jsonb)
    ON CONFLICT DO NOTHING`.execute(trx)
}

export async function transitionsOfRun(db: Executor, run: string): Promise<readonly Transition[]> {
  const rows = await db
    .selectFrom('transition')
    .selectAll()
    .where('run', '=', run)
    .orderBy('deal')
    .orderBy('at')
    .execute()
  return rows.map(toTransition)
}

/** Oldest first. */
export async function transitionsOfDeal(
  db: Executor,
  connection: string,
  deal: DealId,
): Promise<readonly (Transition & { readonly run: string })[]> {
  const rows = await db
    .selectFrom('transition')
    .selectAll()
    .where('connection', '=', connection)
    .where('deal', '=', deal)
    .orderBy('at')
    .execute()
  return rows.map((row) => ({ ...toTransition(row), run: row.run }))
}

/** By exact id or link, else by exact name, else by part of the name (any case). At most ten, open ones first. */
export async function findDeal(db: Executor, words: string, connection?: string): Promise<readonly StoredDeal[]> {
  const text = words.trim()
  const part = `%${text.replaceAll(/[\\%_]/g, (character) => `\\${character}`)}%`
  const tries = [
    sql<boolean>`(id = ${text} OR url = ${text})`,
    sql<boolean>`(lower(left(name, 200)) = lower(left(${text}, 200)) AND lower(name) = lower(${text}))`,
    sql<boolean>`name ILIKE ${part}`,
  ]
  for (const match of tries) {
    const rows = await db
      .selectFrom('deal')
      .select(STORED)
      .where(match)
      .$if(connection !== undefined, (query) => query.where('connection', '=', connection ?? ''))
      .orderBy(sql`outcome = 'open' AND NOT gone`, 'desc')
      .orderBy('connection')
      .orderBy('id')
      .limit(10)
      .execute()
    if (rows.length > 0) return rows
  }
  return []
}

export async function openCount(db: Executor, connection: string): Promise<number> {
  const { open } = await db
    .selectFrom('deal')
    .select(sql<number>`count(*)`.as('open'))
    .where('connection', '=', connection)
    .where('outcome', '=', 'open')
    .where('gone', '=', false)
    .executeTakeFirstOrThrow()
  return open
}

/** One parameter for any number of ids. */
const among = (ids: readonly string[]) => sql<string>`any(${ids}::text[])`

const toTransition = (row: Selectable<Schema['transition']>): Transition => ({
  deal: { connection: row.connection, id: row.deal },
  from: row.from,
  to: row.to,
  at: row.at,
  rule: row.rule,
  evidence: row.evidence,
})
