// The run row is the state machine: which step is next, which attempt (epoch) may write, what became of it.
// "One open run per connection" and "one scheduled run per connection and local date" are unique indexes, not checks.
import { type Selectable, sql, type UpdateObject } from 'kysely'
import type { DealRef, Instant, LocalDate } from '../core/deal.ts'
import type { PlannedWrite } from '../core/plan.ts'
import { json, plain } from './db.ts'
import type { Data, Db, Executor, Failure, RunOptions, Schema, Step, Trx } from './schema.ts'

/** Another worker has taken this run over: stop, write nothing, report nothing. */
export class Superseded extends Error {
  override readonly name = 'Superseded'
}

const COLUMNS = [
  ...(['id', 'connection', 'kind', 'localDate', 'step', 'status', 'epoch', 'now', 'settings', 'settingsHash'] as const),
  ...(['options', 'starts', 'attempts', 'failures', 'problem', 'summary', 'createdAt', 'finishedAt'] as const),
] as const

/** A run row as schema.ts describes it. */
export type Run = Readonly<Pick<Selectable<Schema['run']>, (typeof COLUMNS)[number]>>

/** `step`: the first one, `pull` unless told (an undo starts at `decide`). */
export type NewRun = Pick<
  Run,
  'connection' | 'kind' | 'localDate' | 'now' | 'settings' | 'settingsHash' | 'createdAt'
> & {
  readonly options?: RunOptions
  readonly step?: Step
}

/** What a write needs to know of its run. */
export type Fence = Pick<Run, 'id' | 'epoch'>

/** Opens the next run, or says which run is in the way (open, or the night run of that date). */
export async function openRun(db: Executor, run: NewRun): Promise<{ run: Run } | { busy: Run }> {
  const { connection, kind, localDate, step = 'pull', options = {} } = run
  const texts = { settings: json(run.settings), options: json(options) }
  const ofConnection = db.selectFrom('run').where('connection', '=', connection)
  for (;;) {
    const { seq } = await ofConnection
      .where('localDate', '=', localDate)
      .select(sql<number>`coalesce(max(seq), 0) + 1`.as('seq'))
      .executeTakeFirstOrThrow()
    const opened = await db
      .insertInto('run')
      .values({ ...run, id: `${connection}-${localDate}-${seq}`, seq, step, ...texts })
      .onConflict((conflict) => conflict.doNothing())
      .returning(COLUMNS)
      .executeTakeFirst()
    if (opened) return { run: opened }
    const busy = await ofConnection
      .where(sql<boolean>`(status = 'open' OR (${kind} = 'night' AND kind = 'night' AND local_date = ${localDate}))`)
      .select(COLUMNS)
      .orderBy(sql`status = 'open'`, 'desc')
      .executeTakeFirst()
    if (busy) return { busy }
    // Neither: another process took this number and finished meanwhile. The next number is free.
  }
}

/** Takes the step over: raises the epoch, counts the start. Null: not the run's next step, or the run is not open. */
export async function startStep(db: Executor, id: string, step: Step): Promise<Run | null> {
  const row = await db
    .updateTable('run')
    .set({ epoch: sql`epoch + 1`, starts: sql`starts + 1` })
    .where('id', '=', id)
    .where('step', '=', step)
    .where('status', '=', 'open')
    .returning(COLUMNS)
    .executeTakeFirst()
  return row ?? null
}

/** A transaction that first proves the epoch and holds the run row until it ends, so that no other worker can take the
 *  run over in between. Throws Superseded. No I/O but the database inside `fn`. */
export async function fenced<T>(db: Db, run: Fence, fn: (trx: Trx) => Promise<T>): Promise<T> {
  return db.transaction().execute(async (trx) => {
    await change(trx, run, {})
    return fn(trx)
  })
}

/** Changes the run row only while this epoch holds it; returns its failed attempts. Throws Superseded. */
async function change(db: Executor, { id, epoch }: Fence, set: UpdateObject<Schema, 'run'>): Promise<number> {
  const row = await db
    .updateTable('run')
    .set({ epoch, ...set })
    .where('id', '=', id)
    .where('epoch', '=', epoch)
    .where('status', '=', 'open')
    .returning('attempts')
    .executeTakeFirst()
  if (!row) throw new Superseded(`run ${id}: another worker has taken over since epoch ${epoch}`)
  return row.attempts
}

const PROGRESS = { starts: 0, attempts: 0 }
const ENDED = { starts: sql<number>`greatest(starts - 1, 0)` }
/** The step got further: what died or failed before it does not count any more. */
export const progressed = (trx: Executor, run: Fence) => change(trx, run, PROGRESS)
/** This start of the step ends in good order: its process did not die. */
export const endStart = (db: Executor, run: Fence) => change(db, run, ENDED)

/** The step before `step` is finished: call it in the transaction of that step's last write. Attempts start anew. */
export const nextStep = (trx: Executor, run: Fence, step: Step) =>
  change(trx, run, { step, ...PROGRESS, problem: null })

export const finishRun = (db: Executor, run: Fence, at: Instant, summary: Data) =>
  change(db, run, { step: 'done', status: 'done', summary: json(summary), problem: null, finishedAt: at })

/** Gives the run up; its step stays where it failed. */
export const failRun = (db: Executor, run: Fence, at: Instant, problem: string) =>
  change(db, run, { status: 'failed', problem: plain(problem), finishedAt: at })

/** What is known so far, for the report and for `runs`. */
export const saveSummary = (trx: Executor, run: Fence, summary: Data) => change(trx, run, { summary: json(summary) })

/** Stores rows of a preview's plan after those stored before. Call it inside `fenced`. */
export const savePlan = (trx: Executor, { id, connection }: Run, rows: readonly PlannedWrite[]) =>
  sql`INSERT INTO preview SELECT ${connection}, ${id}, each.ordinality + (SELECT coalesce(max(seq), 0) FROM preview WHERE run = ${id}),
    each.value FROM jsonb_array_elements(${json(rows)}::jsonb) WITH ORDINALITY AS each`.execute(trx)

/** Counts a failed attempt of the step and returns how many there were since it last got further. Throws Superseded. */
export const recordAttempt = (db: Executor, run: Fence, failure: Failure) =>
  change(db, run, {
    ...ENDED,
    attempts: sql`attempts + 1`,
    failures: sql`failures || ${json([failure])}::jsonb`,
    problem: plain(failure.problem),
  })

export async function getRun(db: Executor, id: string): Promise<Run | null> {
  return (await db.selectFrom('run').select(COLUMNS).where('id', '=', id).executeTakeFirst()) ?? null
}

/** Newest first; 50 unless told. */
export async function listRuns(
  db: Executor,
  filter: { connection?: string; limit?: number; offset?: number } = {},
): Promise<Run[]> {
  const all = db.selectFrom('run').select(COLUMNS)
  const some = filter.connection === undefined ? all : all.where('connection', '=', filter.connection)
  const newest = some.orderBy('createdAt', 'desc').orderBy('localDate', 'desc').orderBy('seq', 'desc')
  return newest
    .limit(filter.limit ?? 50)
    .offset(filter.offset ?? 0)
    .execute()
}

export async function countRuns(db: Executor): Promise<number> {
  return (await db.selectFrom('run').select(sql<number>`count(*)`.as('count')).executeTakeFirstOrThrow()).count
}

/** The newest finished run of these kinds. */
export async function latestRun(db: Executor, connection: string, kinds: readonly Run['kind'][]): Promise<Run | null> {
  const done = db.selectFrom('run').select(COLUMNS).where('connection', '=', connection).where('status', '=', 'done')
  const newest = done.where('kind', 'in', kinds).orderBy('now', 'desc').orderBy('createdAt', 'desc').limit(1)
  return (await newest.executeTakeFirst()) ?? null
}

/** The undo that took a whole run back, not only some deals of it; null: none did. */
export async function undoOf(
  db: Executor,
  { connection, id }: Pick<Run, 'connection' | 'id'>,
): Promise<Run['id'] | null> {
  const undos = db.selectFrom('run').select('id').where('connection', '=', connection).where('kind', '=', 'undo')
  const whole = undos.where(sql<boolean>`options->>'undoes' = ${id} AND options->'deals' IS NULL AND status = 'done'`)
  return (await whole.orderBy('createdAt', 'desc').limit(1).executeTakeFirst())?.id ?? null
}

/** Whether a run of these kinds was opened after `since` and until `now` (wall clock, which may have been set back),
 *  whatever became of it. */
export async function openedSince(
  db: Executor,
  connection: string,
  kinds: readonly Run['kind'][],
  { since, now }: { readonly since: Instant; readonly now: Instant },
) {
  const runs = db.selectFrom('run').select('id').where('connection', '=', connection).where('kind', 'in', kinds)
  const some = runs.where('createdAt', '>', since).where('createdAt', '<=', now)
  return (await some.limit(1).executeTakeFirst()) !== undefined
}

/** When the first run of a connection was opened (wall clock); null: none yet. */
export async function knownSince(db: Executor, connection: string): Promise<Instant | null> {
  const first = db
    .selectFrom('run')
    .select(({ fn }) => fn.min('createdAt').as('at'))
    .where('connection', '=', connection)
  return (await first.executeTakeFirst())?.at ?? null
}

/** For the sweeper. */
export const openRuns = (db: Executor): Promise<readonly Pick<Run, 'id' | 'connection' | 'step'>[]> =>
  db.selectFrom('run').select(['id', 'connection', 'step']).where('status', '=', 'open').orderBy('id').execute()

const planOf = (db: Executor, id: string) => db.selectFrom('preview').where('run', '=', id).orderBy('seq')

/** What a preview would write, in its order. */
export async function getPlan(db: Executor, id: string): Promise<readonly PlannedWrite[]> {
  return (await planOf(db, id).select('row').execute()).map(({ row }) => row)
}

/** What `previewKey` needs of the rows that are not held. */
export const previewed = (db: Executor, id: string) =>
  planOf(db, id)
    .where(sql<boolean>`"row"->'hold' = 'null'`)
    .select([
      sql<DealRef>`"row"->'deal'`.as('deal'),
      sql<PlannedWrite['group']>`"row"->>'group'`.as('group'),
      sql<PlannedWrite['kind']>`"row"->>'kind'`.as('kind'),
    ])
    .execute()

/** The forecast figures of a night; saving them again replaces them. */
export async function saveFigures(trx: Executor, run: Run, figures: Data): Promise<void> {
  const text = json(figures)
  await trx
    .insertInto('figures')
    .values({ run: run.id, connection: run.connection, localDate: run.localDate, figures: text })
    .onConflict((conflict) => conflict.column('run').doUpdateSet({ figures: text }))
    .execute()
}

/** What a run stored with `saveFigures`; null: nothing (a preview, an undo). */
export async function figuresOf(db: Executor, run: string): Promise<Data | null> {
  return (await db.selectFrom('figures').select('figures').where('run', '=', run).executeTakeFirst())?.figures ?? null
}

/** The last word of each night until an instant on the whole pipeline, oldest first; at most `limit` nights. */
export async function nightlyForecasts(db: Executor, connection: string, until: Instant, limit: number) {
  const { rows } = await sql<{ localDate: LocalDate; forecast: unknown; total: unknown }>`
    SELECT local_date, figures->'forecast' AS forecast, figures->'parts'->'total' AS total FROM figures
    WHERE run IN (SELECT run FROM (SELECT DISTINCT ON (figures.local_date) figures.local_date, run
      FROM figures JOIN run ON run.id = figures.run WHERE figures.connection = ${connection} AND run.now <= ${until}
      ORDER BY figures.local_date DESC, run.now DESC LIMIT ${limit}) AS night) ORDER BY local_date`.execute(db)
  return rows
}
