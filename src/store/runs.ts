// The run row is the state machine: which step is next, which attempt (epoch) may write, what became of it.
// "One open run per connection" and "one scheduled run per connection and local date" are unique indexes, not checks.
import { type Selectable, sql } from 'kysely'
import type { Instant, LocalDate } from '../core/deal.ts'
import type { PlannedWrite } from '../core/plan.ts'
import type { Settings } from '../core/policy.ts'
import { json, plain } from './db.ts'
import type { Data, Db, Executor, RunKind, RunOptions, RunStatus, Schema, Step, Trx } from './schema.ts'

/** Another worker has taken this run over: stop, write nothing, report nothing. */
export class Superseded extends Error {
  override readonly name = 'Superseded'
}

// A preview's plan may be megabytes: it is only read by `getPlan`.
const COLUMNS = [
  ...(['id', 'connection', 'kind', 'localDate', 'step', 'status', 'epoch', 'now', 'settings', 'settingsHash'] as const),
  ...(['options', 'attempts', 'problem', 'summary', 'createdAt', 'finishedAt'] as const),
] as const

/** A run row as schema.ts describes it, without the plan. */
export type Run = Readonly<Pick<Selectable<Schema['run']>, (typeof COLUMNS)[number]>>

export interface NewRun {
  readonly connection: string
  readonly kind: RunKind
  readonly localDate: LocalDate
  readonly now: Instant
  readonly settings: Settings
  readonly settingsHash: string
  readonly options?: RunOptions
  /** First step; default `pull` (an undo starts at `decide`). */
  readonly step?: Step
  /** Wall clock. */
  readonly createdAt: Instant
}
/** What a write needs to know of its run. */
export type Fence = Pick<Run, 'id' | 'epoch'>

/** Opens the next run, or says which run is in the way (open, or the night run of that date). */
export async function openRun(db: Executor, run: NewRun): Promise<{ run: Run } | { busy: Run }> {
  for (;;) {
    const { next } = await db
      .selectFrom('run')
      .select(sql<number>`coalesce(max(seq), 0) + 1`.as('next'))
      .where('connection', '=', run.connection)
      .where('localDate', '=', run.localDate)
      .executeTakeFirstOrThrow()
    const opened = await db
      .insertInto('run')
      .values({
        id: `${run.connection}-${run.localDate}-${next}`,
        connection: run.connection,
        kind: run.kind,
        localDate: run.localDate,
        seq: next,
        step: run.step ?? 'pull',
        now: run.now,
        settings: json(run.settings),
        settingsHash: run.settingsHash,
        options: json(run.options ?? {}),
        createdAt: run.createdAt,
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning(COLUMNS)
      .executeTakeFirst()
    if (opened) return { run: opened }
    const busy = await db
      .selectFrom('run')
      .select(COLUMNS)
      .where('connection', '=', run.connection)
      .where((where) =>
        where.or([
          where('status', '=', 'open'),
          ...(run.kind === 'night'
            ? [where.and([where('kind', '=', 'night'), where('localDate', '=', run.localDate)])]
            : []),
        ]),
      )
      .orderBy(sql`status = 'open'`, 'desc')
      .executeTakeFirst()
    if (busy) return { busy: busy }
    // Neither: another process took this number and finished meanwhile. The next number is free.
  }
}

/** Takes the step over: raises the epoch. Null: not the run's next step, or the run is not open. */
export async function startStep(db: Executor, id: string, step: Step): Promise<Run | null> {
  const row = await db
    .updateTable('run')
    .set((run) => ({ epoch: run('epoch', '+', 1) }))
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
    const held = await trx
      .selectFrom('run')
      .select('id')
      .where('id', '=', run.id)
      .where('epoch', '=', run.epoch)
      .where('status', '=', 'open')
      .forUpdate()
      .executeTakeFirst()
    if (!held) throw superseded(run)
    return fn(trx)
  })
}

const superseded = (run: Fence) =>
  new Superseded(`run ${run.id}: another worker has taken over since epoch ${run.epoch}`)

type Change = Partial<{
  step: Step | 'done'
  status: RunStatus
  attempts: number
  problem: string | null
  summary: string
  plan: string
  finishedAt: Instant
}>

/** Fenced by itself: changes the run row only while this epoch holds it. Throws Superseded. */
async function change(db: Executor, run: Fence, set: Change): Promise<void> {
  const row = await db
    .updateTable('run')
    .set(set)
    .where('id', '=', run.id)
    .where('epoch', '=', run.epoch)
    .where('status', '=', 'open')
    .returning('id')
    .executeTakeFirst()
  if (!row) throw superseded(run)
}

/** The step before `step` is finished: call it in the transaction of that step's last write. Attempts start anew. */
export const nextStep = (trx: Executor, run: Fence, step: Step): Promise<void> =>
  change(trx, run, { step, attempts: 0, problem: null })

export const finishRun = (db: Executor, run: Fence, at: Instant, summary: Data): Promise<void> =>
  change(db, run, { step: 'done', status: 'done', summary: json(summary), problem: null, finishedAt: at })

/** Gives the run up; its step stays where it failed. `stopped`: a person ended it. */
export const failRun = (
  db: Executor,
  run: Fence,
  at: Instant,
  problem: string,
  status: 'failed' | 'stopped' = 'failed',
): Promise<void> => change(db, run, { status, problem: plain(problem), finishedAt: at })

/** What is known so far, for the report and for `runs`. */
export const saveSummary = (trx: Executor, run: Fence, summary: Data): Promise<void> =>
  change(trx, run, { summary: json(summary) })

/** A preview keeps its writes in the run row: nothing enters the ledger. */
export const savePlan = (trx: Executor, run: Fence, plan: readonly PlannedWrite[]): Promise<void> =>
  change(trx, run, { plan: json(plan) })

/** Counts a failed attempt of the current step and returns how many there were. Throws Superseded. */
export async function recordAttempt(db: Executor, run: Fence, problem: string): Promise<number> {
  const row = await db
    .updateTable('run')
    .set((each) => ({ attempts: each('attempts', '+', 1), problem: plain(problem) }))
    .where('id', '=', run.id)
    .where('epoch', '=', run.epoch)
    .where('status', '=', 'open')
    .returning('attempts')
    .executeTakeFirst()
  if (!row) throw superseded(run)
  return row.attempts
}

export async function getRun(db: Executor, id: string): Promise<Run | null> {
  const row = await db.selectFrom('run').select(COLUMNS).where('id', '=', id).executeTakeFirst()
  return row ?? null
}

/** Newest first; 50 unless told. */
export async function listRuns(
  db: Executor,
  filter: { readonly connection?: string; readonly limit?: number } = {},
): Promise<readonly Run[]> {
  const { connection } = filter
  const rows = await db
    .selectFrom('run')
    .select(COLUMNS)
    .$if(connection !== undefined, (query) => query.where('connection', '=', connection ?? ''))
    .orderBy('createdAt', 'desc')
    .orderBy('localDate', 'desc')
    .orderBy('seq', 'desc')
    .limit(filter.limit ?? 50)
    .execute()
  return rows
}

/** For the sweeper. */
export async function openRuns(db: Executor): Promise<readonly Pick<Run, 'id' | 'connection' | 'step'>[]> {
  return db.selectFrom('run').select(['id', 'connection', 'step']).where('status', '=', 'open').orderBy('id').execute()
}

export async function getPlan(db: Executor, id: string): Promise<readonly PlannedWrite[] | null> {
  const row = await db.selectFrom('run').select('plan').where('id', '=', id).executeTakeFirst()
  return row?.plan ?? null
}

/** The newest finished preview of a connection. */
export async function latestPreview(db: Executor, connection: string): Promise<Run | null> {
  const row = await db
    .selectFrom('run')
    .select(COLUMNS)
    .where('connection', '=', connection)
    .where('kind', '=', 'preview')
    .where('status', '=', 'done')
    .orderBy('localDate', 'desc')
    .orderBy('seq', 'desc')
    .executeTakeFirst()
  return row ?? null
}

/** The forecast figures of a night; saving them again replaces them. */
export async function saveFigures(trx: Executor, run: Run, figures: Data): Promise<void> {
  await trx
    .insertInto('figures')
    .values({ run: run.id, connection: run.connection, localDate: run.localDate, figures: json(figures) })
    .onConflict((conflict) => conflict.column('run').doUpdateSet({ figures: json(figures) }))
    .execute()
}

/** Oldest first. */
export async function listFigures(
  db: Executor,
  connection: string,
): Promise<readonly { readonly run: string; readonly localDate: LocalDate; readonly figures: Data }[]> {
  return db
    .selectFrom('figures')
    .select(['run', 'localDate', 'figures'])
    .where('connection', '=', connection)
    .orderBy('localDate')
    .orderBy('run')
    .execute()
}
