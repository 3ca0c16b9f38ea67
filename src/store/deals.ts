// Deals as last known, where each stands, and every transition. All writes are set-based (one statement per call, the
// rows as one JSON parameter) and run in the caller's transaction; an older observation never overwrites a newer one.
import { type Selectable, sql } from 'kysely'
import type { Deal, DealId, Instant, Known, LocalDate, Rule } from '../core/deal.ts'
import type { Standing, Transition } from '../core/stall.ts'
import { among, plain, rowsOf } from './db.ts'
import type { Executor, Schema } from './schema.ts'

const STORED = ['known', 'standing', 'gone', 'seenRun', 'dueAt'] as const
/** Columns as schema.ts describes them. */
export type StoredDeal = Readonly<Pick<Selectable<Schema['deal']>, (typeof STORED)[number]>>

const deals = (db: Executor, connection: string) => db.selectFrom('deal').where('connection', '=', connection)

/** By id; a deal never seen is absent. */
export async function getDeals(db: Executor, connection: string, ids: readonly DealId[]) {
  const rows = await deals(db, connection).where('id', '=', among(ids)).select(STORED).execute()
  return new Map<DealId, StoredDeal>(rows.map((row) => [row.known.ref.id, row]))
}

/** The last snapshots alone: evidence weighs more. */
export async function snapshots(db: Executor, connection: string, ids: readonly DealId[]) {
  const snapshot = sql<Deal>`known -> 'deal'`.as('deal')
  const rows = await deals(db, connection).where('id', '=', among(ids)).select(['id', snapshot]).execute()
  return new Map<DealId, Deal>(rows.map((row) => [row.id, row.deal]))
}

const COLUMNS = sql.raw(
  'connection, id, known, modified_at, outcome, name, url, seen_run, gone, marked, unsettled, due_at, cents',
)

/** All of one connection or several; a deal at most once per call. Also ends `gone`. What says something new is due. */
export async function saveKnown(trx: Executor, run: string, known: readonly Known[]): Promise<void> {
  if (known.length === 0) return
  const rows = known.map((each) => {
    const { modifiedAt, outcome, name, url, own } = each.deal
    const marked = own.stalled || (own.state ?? 'moving') !== 'moving' || own.categoryBefore !== null
    const ours = { known: each, marked, unsettled: false, gone: false, seen_run: run, due_at: 0, cents: 0 }
    return { ...each.ref, ...ours, modified_at: modifiedAt, outcome, name, url }
  })
  await sql`
    INSERT INTO deal (${COLUMNS}) SELECT ${COLUMNS} FROM ${rowsOf('deal', rows)}
    ON CONFLICT (connection, id) DO UPDATE SET known = excluded.known, modified_at = excluded.modified_at,
      outcome = excluded.outcome, name = excluded.name, url = excluded.url, marked = excluded.marked,
      seen_run = excluded.seen_run, gone = false,
      due_at = CASE WHEN deal.known = excluded.known AND NOT deal.gone THEN deal.due_at ELSE 0 END
    WHERE excluded.modified_at >= deal.modified_at`.execute(trx)
}

/** What is known of them is what was seen again: nothing of it is written. */
export async function markSeen(trx: Executor, run: string, connection: string, ids: readonly DealId[]) {
  if (ids.length === 0) return
  const deals = trx.updateTable('deal').set({ seenRun: run }).where('connection', '=', connection)
  await deals.where('id', '=', among(ids)).execute()
}

export async function markGone(trx: Executor, connection: string, ids: readonly DealId[]): Promise<void> {
  if (ids.length === 0) return
  const deals = trx.updateTable('deal').set({ gone: true, dueAt: 0 })
  await deals.where('connection', '=', connection).where('id', '=', among(ids)).execute()
}

/** Puts records that could not be understood into quarantine, known deals or not; `since` stays the first time. */
export async function quarantine(
  trx: Executor,
  connection: string,
  records: readonly { readonly deal: DealId; readonly problem: string }[],
  since: Instant,
): Promise<void> {
  if (records.length === 0) return
  const rows = [...new Map(records.map((record) => [record.deal, { connection, since, ...record }])).values()]
  await sql`INSERT INTO quarantine SELECT * FROM ${rowsOf('quarantine', rows)}
    ON CONFLICT (connection, deal) DO UPDATE SET problem = excluded.problem`.execute(trx)
}

/** Read and understood, or gone. */
export async function release(trx: Executor, connection: string, ids: readonly DealId[]): Promise<void> {
  if (ids.length === 0) return
  const held = trx.deleteFrom('quarantine').where('connection', '=', connection)
  await held.where('deal', '=', among(ids)).execute()
}

export interface Quarantined {
  readonly connection: string
  readonly id: DealId
  /** As last read; null: never readable. */
  readonly name: string | null
  /** Null: no link of this CRM was ever seen. */
  readonly url: string | null
  readonly problem: string
  readonly since: Instant
}

/** What is in quarantine, the oldest first. */
export async function quarantined(db: Executor, connection: string): Promise<readonly Quarantined[]> {
  // The links of a CRM differ in nothing but the id.
  const { rows } = await sql<Quarantined>`
    SELECT held.connection, held.deal AS id, deal.name, coalesce(deal.url, (SELECT left(url, -length(id)) || held.deal
      FROM deal AS other WHERE other.connection = held.connection AND right(url, length(id)) = id LIMIT 1)) AS url,
      held.problem, held.since
    FROM quarantine AS held LEFT JOIN deal ON deal.connection = held.connection AND deal.id = held.deal
    WHERE held.connection = ${connection} ORDER BY held.since, held.deal`.execute(db)
  return rows
}

// Word for word the condition of the indexes `deal_watched` and `deal_due`.
export const watched = sql<boolean>`(unsettled OR (NOT gone AND (outcome = 'open' OR marked)))`

/** One page by the bytes of ids, behind `after`: open deals, and those closed or gone that still have something to end. */
export async function streamDeals(
  db: Executor,
  connection: string,
  { after, limit }: { readonly after: DealId | null; readonly limit: number },
): Promise<readonly StoredDeal[]> {
  const rest = deals(db, connection)
    .where(watched)
    .where('id', '>', after ?? '')
  return rest.select(STORED).orderBy('id').limit(limit).execute()
}

/** Of those `streamDeals` reads one page of the deals that are due at `now`, by when and id. `after`: the last one before. */
export async function dueDeals(
  db: Executor,
  connection: string,
  now: Instant,
  { after, limit }: { readonly after: StoredDeal | null; readonly limit: number },
): Promise<readonly StoredDeal[]> {
  const rest = sql<boolean>`(due_at, id) > (${after?.dueAt ?? -1}, ${after?.known.ref.id ?? ''})`
  const due = deals(db, connection).where(watched).where('dueAt', '<=', now).where(rest)
  return due.select(STORED).orderBy('dueAt').orderBy('id').limit(limit).execute()
}

/** What the deals that are not due at `now` add to the figures, equal ones added up. */
export async function notDue(db: Executor, connection: string, now: Instant) {
  const rest = deals(db, connection).where(watched).where('dueAt', '>', now).groupBy('counted')
  const sums = [sql<number>`count(*)`.as('deals'), sql<number>`sum(cents)`.as('cents')] as const
  return rest.select(['counted', ...sums]).execute()
}

/** The database's estimates, before it is asked for page after page: without them it sorts the whole table for each. */
export const freshEstimates = (db: Executor) => sql`ANALYZE deal, ledger`.execute(db)

/** Until when deals need nothing, and what they count for meanwhile. */
export type Due = Pick<Selectable<Schema['deal']>, 'id' | 'dueAt' | 'counted' | 'cents'>

/** Notes what judging them has shown; what is noted already is not written again. */
export async function saveDue(trx: Executor, connection: string, some: readonly Due[]): Promise<void> {
  const rows = some.map(({ dueAt, ...rest }) => ({ ...rest, due_at: dueAt }))
  await sql`
    UPDATE deal SET due_at = row.due_at, counted = row.counted, cents = row.cents
    FROM ${rowsOf('deal', rows)} AS row WHERE deal.connection = ${connection} AND deal.id = row.id
      AND (deal.due_at, deal.counted, deal.cents) IS DISTINCT FROM (row.due_at, row.counted, row.cents)`.execute(trx)
}

/** Whatever was noted of them: the next night judges them. */
export async function judgeAgain(db: Executor, connection: string, ids: readonly DealId[]): Promise<void> {
  const some = db.updateTable('deal').set({ dueAt: 0 }).where('connection', '=', connection)
  await some.where('id', '=', among(ids)).execute()
}

/** For the report, all ids in order: of those `streamDeals` reads, deals won since a date, and all that ever changed state.
 *  In one statement: asked page by page, PostgreSQL reads every transition for each page. */
export async function reportedIds(db: Executor, connection: string, wonSince: LocalDate): Promise<readonly DealId[]> {
  const won = sql<boolean>`(outcome = 'won' AND NOT gone AND known->'deal'->>'closeDate' >= ${wonSince})`
  const changed = sql<boolean>`EXISTS (SELECT FROM transition AS t WHERE t.connection = deal.connection AND t.deal = deal.id)`
  const some = deals(db, connection).where(({ or }) => or([watched, won, changed]))
  return (await some.select('id').orderBy('id').execute()).map(({ id }) => id)
}

/** Of each deal, oldest first. */
export async function transitionsOf(db: Executor, connection: string, ids: readonly DealId[]) {
  const of = db.selectFrom('transition').where('connection', '=', connection).where('deal', '=', among(ids))
  const rows = await of.select(['deal', 'at', 'from', 'to', 'rule', 'evidence']).orderBy('at').orderBy('run').execute()
  return Map.groupBy(rows, ({ deal }) => deal)
}

/** Ids of deals that are not known to be gone, open or closed, as the CRMs count them up (a longer one is behind a shorter
 *  one, of one length it goes by the bytes): those behind `after` until `until` (null: to the end). */
export async function liveIds(
  db: Executor,
  connection: string,
  { after, until, limit }: { readonly after: DealId; readonly until: DealId | null; readonly limit: number },
): Promise<readonly DealId[]> {
  let some = deals(db, connection).where('gone', '=', false)
  some = some.where(sql<boolean>`(length(id), id) > (${after.length}, ${after})`)
  if (until !== null) some = some.where(sql<boolean>`(length(id), id) <= (${until.length}, ${until})`)
  // Of one length: a range of the primary key. Others are looked for among all, at the ends of a round.
  if (until?.length === after.length) some = some.where('id', '>', after).where('id', '<=', until)
  const rows = await some.select('id').orderBy(sql`length(id)`).orderBy('id').limit(limit).execute()
  return rows.map((row) => row.id)
}

/** So many that their JSON weighs little. */
const inParts = <T>(all: readonly T[]): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(all.length / 1000) }, (_, part) => all.slice(1000 * part, 1000 * (part + 1)))

export async function saveStandings(
  trx: Executor,
  connection: string,
  rows: readonly { readonly id: DealId; readonly standing: Standing }[],
): Promise<void> {
  for (const some of inParts(rows)) {
    const values = some.map(({ id, standing }) => ({ id, standing, unsettled: !settled(standing) }))
    await sql`
      UPDATE deal SET standing = row.standing, unsettled = row.unsettled, due_at = 0
      FROM ${rowsOf('deal', values)} AS row WHERE deal.connection = ${connection} AND deal.id = row.id`.execute(trx)
  }
}

/** To be looked at next night whatever their standing: what was planned for them may be refused or dropped. Those
 *  watched before that need nothing tonight are let go, if their standing is settled. */
export async function watch(trx: Executor, connection: string, ids: readonly DealId[]): Promise<void> {
  await sql`UPDATE deal SET unsettled = false WHERE connection = ${connection} AND unsettled
    AND (standing ->> 'state' = 'gone' OR (standing ->> 'state' = 'closed' AND standing ->> 'borrowed' IS NULL))`.execute(
    trx,
  )
  const deals = trx.updateTable('deal').set({ unsettled: true })
  await deals.where('connection', '=', connection).where('id', '=', among(ids)).execute()
}

/** Nothing left to end: a closed deal without a borrowed category, or a deal that is gone. */
const settled = (standing: Standing) =>
  standing.state === 'gone' || (standing.state === 'closed' && standing.borrowed === null)

/** Saving the same transition of a run twice changes nothing. */
export async function saveTransitions(trx: Executor, run: string, transitions: readonly Transition[]): Promise<void> {
  for (const some of inParts(transitions)) {
    const values = some.map(({ deal: { connection, id }, ...rest }) => ({ ...rest, run, connection, deal: id }))
    await sql`INSERT INTO transition SELECT * FROM ${rowsOf('transition', values)} ON CONFLICT DO NOTHING`.execute(trx)
  }
}

const partOf = (text: string) => `%${text.replaceAll(/[\\%_]/g, (character) => `\\${character}`)}%`

/** By exact id or link, else by exact name, else by part of the name (any case). At most ten, open ones first. */
export async function findDeal(db: Executor, words: string, connection?: string): Promise<readonly StoredDeal[]> {
  const text = words.trim()
  const found = connection === undefined ? db.selectFrom('deal') : deals(db, connection)
  const openFirst = found.orderBy(sql`outcome = 'open' AND NOT gone`, 'desc').orderBy('connection').orderBy('id')
  for (const match of [
    sql<boolean>`(id = ${text} OR url = ${text})`,
    sql<boolean>`(lower(left(name, 200)) = lower(left(${text}, 200)) AND lower(name) = lower(${text}))`,
    sql<boolean>`name ILIKE ${partOf(text)}`,
  ]) {
    const rows = await openFirst.where(match).select(STORED).limit(10).execute()
    if (rows.length > 0) return rows
  }
  return []
}

/** Open deals that share everything lists are filtered by. `ownerId` and `currency` empty: none. */
export interface Facet {
  readonly connection: string
  readonly state: 'moving' | 'stalled' | 'parked' | 'answered_no'
  readonly ownerId: string
  readonly pipelineId: string
  readonly stageId: string
  readonly rule: Rule | null
  readonly currency: string
  readonly deals: number
  readonly value: number
}

export const DEAL_ORDERS = ['amount', 'since', 'movement', 'close'] as const
export type DealOrder = (typeof DEAL_ORDERS)[number]
const ORDER_BY = {
  amount: sql`amount DESC NULLS LAST`,
  since: sql`since NULLS LAST`,
  movement: sql`moved_at NULLS LAST`,
  close: sql`close_date NULLS LAST`,
}

interface Listed {
  readonly connections: readonly string[]
  /** Part of the name, any case; empty: all. */
  readonly text: string
}

// The second condition is that of the index `deal_listed`.
const listed = ({ connections, text }: Listed) => sql`connection = ${among(connections)}
  AND state NOT IN ('closed', 'gone') ${text === '' ? sql`` : sql`AND name ILIKE ${partOf(plain(text))}`}`

/** Counts and sums of every combination there is, for filters and totals. */
export async function facetsOf(db: Executor, which: Listed): Promise<readonly Facet[]> {
  const { rows } = await sql<Facet>`
    SELECT connection, state, owner_id, pipeline_id, stage_id, rule, coalesce(currency, '') AS currency,
      count(*) AS deals, coalesce(sum(amount), 0) AS value
    FROM deal WHERE ${listed(which)} GROUP BY 1, 2, 3, 4, 5, 6, 7`.execute(db)
  return rows
}

/** One page of the deals in a state (null: any open one), all or only those of some facets; those without a value of the
 *  order last. */
export async function listDeals(
  db: Executor,
  {
    state,
    facets,
    order,
    offset,
    limit,
    ...which
  }: Listed & {
    readonly state: Facet['state'] | null
    readonly facets: readonly Facet[] | null
    readonly order: DealOrder
    readonly offset: number
    readonly limit: number
  },
): Promise<readonly StoredDeal[]> {
  const key = sql`connection, owner_id, pipeline_id, stage_id, coalesce(rule, '')`
  const { rows } = await sql<StoredDeal>`
    SELECT known, standing, gone, seen_run, due_at FROM deal WHERE ${listed(which)}
      ${state === null ? sql`` : sql`AND state = ${state}`}
      ${facets === null ? sql`` : sql`AND (${key}) IN (SELECT ${key} FROM ${rowsOf('deal', facets.map(inColumns))})`}
    ORDER BY ${ORDER_BY[order]}, connection, id LIMIT ${limit} OFFSET ${offset}`.execute(db)
  return rows
}

const inColumns = ({ connection, ownerId, pipelineId, stageId, rule }: Facet) => ({
  ...{ connection, owner_id: ownerId, pipeline_id: pipelineId, stage_id: stageId, rule },
})
