// All connections at a glance, for digests and metrics: a few statements whatever their number, each bounded by an index.
import { sql } from 'kysely'
import type { DealId, Instant } from '../core/deal.ts'
import { among } from './db.ts'
import type { Run } from './runs.ts'
import type { Data, Executor } from './schema.ts'

export type LastRun = Readonly<
  Pick<Run, 'id' | 'connection' | 'kind' | 'status' | 'problem' | 'now' | 'createdAt' | 'finishedAt'> & {
    readonly summary: Data | null
  }
>

/** The newest run of each connection that is over: of nights and runs by hand; before its first night was confirmed, of
 *  previews. `good`: only runs that ended well. */
export async function lastNights(db: Executor, good = false): Promise<readonly LastRun[]> {
  const wanted = good ? sql`status = 'done'` : sql`status <> 'open'`
  const { rows } = await sql<LastRun>`
    SELECT last.* FROM connection AS c, LATERAL (
      SELECT id, connection, kind, status, problem, now, created_at, finished_at, summary FROM run
      WHERE connection = c.name AND ${wanted}
        AND (kind IN ('night', 'manual') OR (kind = 'preview' AND c.confirmed_at IS NULL))
      ORDER BY local_date DESC, seq DESC LIMIT 1) AS last ORDER BY last.connection`.execute(db)
  return rows
}

/** Runs created since then, undo left out, oldest first. */
export const runsSince = (db: Executor, since: Instant): Promise<readonly Pick<Run, 'connection' | 'status'>[]> =>
  db
    .selectFrom('run')
    .select(['connection', 'status'])
    .where('createdAt', '>=', since)
    .where('kind', '<>', 'undo')
    .orderBy('createdAt')
    .execute()

/** Runs under way since before then. */
export const openSince = (db: Executor, before: Instant): Promise<readonly Pick<Run, 'connection' | 'createdAt'>[]> =>
  db
    .selectFrom('run')
    .select(['connection', 'createdAt'])
    .where('status', '=', 'open')
    .where('createdAt', '<', before)
    .execute()

export interface Refused {
  readonly run: string
  readonly deal: DealId
  readonly name: string | null
  readonly message: string
  /** Of the whole run. */
  readonly total: number
}

/** The first writes of these runs that the CRM refused, at most `most` a run. */
export async function refusedBy(db: Executor, runs: readonly string[], most: number): Promise<readonly Refused[]> {
  const { rows } = await sql<Refused>`
    SELECT refused.run, refused.deal, deal.name, coalesce(refused.message, '') AS message, refused.total
    FROM (SELECT run, connection, deal, message, seq, count(*) OVER (PARTITION BY run) AS total,
        row_number() OVER (PARTITION BY run ORDER BY seq) AS nth
      FROM ledger WHERE run = ${among(runs)} AND status = 'refused') AS refused
    LEFT JOIN deal ON deal.connection = refused.connection AND deal.id = refused.deal
    WHERE refused.nth <= ${most} ORDER BY refused.run, refused.seq`.execute(db)
  return rows
}

/** How many records of each connection wait in quarantine, and since when the newest does. */
export const quarantines = (db: Executor) =>
  db
    .selectFrom('quarantine')
    .select(({ fn }) => ['connection', fn.countAll<number>().as('count'), fn.max('since').as('newest')])
    .groupBy('connection')
    .execute()

/** Deals of a connection that moved again since then; not those whose flag a person called wrong. */
export async function recoveredSince(db: Executor, connection: string, since: Instant): Promise<ReadonlySet<DealId>> {
  const rows = await db
    .selectFrom('transition')
    .select('deal')
    .where('connection', '=', connection)
    .where('at', '>', since)
    .where('from', '=', 'stalled')
    .where('to', '=', 'moving')
    .where(sql<boolean>`evidence->>'dismissed' IS NULL`)
    .execute()
  return new Set(rows.map(({ deal }) => deal))
}

/** Runs by kind and status, and what became of writes, of the runs created since then. */
export async function runCounts(db: Executor, since: Instant) {
  const runs = await db
    .selectFrom('run')
    .select(({ fn }) => ['connection', 'kind', 'status', fn.countAll<number>().as('count')])
    .where('createdAt', '>=', since)
    .groupBy(['connection', 'kind', 'status'])
    .execute()
  const { rows: writes } = await sql<{ connection: string; outcome: string; count: number }>`
    SELECT connection, became.key AS outcome, sum(became.value::int) AS count FROM run,
      jsonb_each(coalesce(summary->'writes', '{}')) AS sort (key, value), jsonb_each_text(sort.value) AS became
    WHERE created_at >= ${since} GROUP BY 1, 2`.execute(db)
  return { runs, writes }
}
