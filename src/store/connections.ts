// What is remembered of a connection between two nights: where the next pull goes on, whether its first night was
// confirmed, the last good night for the share brake, and what a person must repair.
import type { Selectable } from 'kysely'
import type { Instant, Reference, System } from '../core/deal.ts'
import { json, plainOrNull } from './db.ts'
import type { Executor, LastGood, Schema } from './schema.ts'

export interface StoredConnection {
  readonly name: string
  readonly system: System
  readonly cursor: string | null
  readonly cursorRun: string | null
  readonly confirmedAt: Instant | null
  readonly lastGood: LastGood | null
  readonly censusAt: Instant | null
  readonly problem: string | null
  readonly pausedUntil: Instant | null
  /** Pipelines, owners and categories as read at the start of the last pull. */
  readonly reference: Reference | null
}

/** Creates the row where it is missing. */
export async function ensureConnection(db: Executor, name: string, system: System): Promise<StoredConnection> {
  const row = await db
    .insertInto('connection')
    .values({ name, system })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ system }))
    .returningAll()
    .executeTakeFirstOrThrow()
  return fromRow(row)
}

export async function getConnection(db: Executor, name: string): Promise<StoredConnection | null> {
  const row = await db.selectFrom('connection').selectAll().where('name', '=', name).executeTakeFirst()
  return row ? fromRow(row) : null
}

/** An absent key stays as it is. */
export type ConnectionChange = Partial<Omit<StoredConnection, 'name' | 'system'>>

/** The cursor is set inside `fenced`, in the transaction that stores its page. */
export async function updateConnection(db: Executor, name: string, change: ConnectionChange): Promise<void> {
  const { cursor, cursorRun, confirmedAt, lastGood, censusAt, problem, pausedUntil, reference } = change
  const set = {
    ...(cursor === undefined ? {} : { cursor }),
    ...(cursorRun === undefined ? {} : { cursor_run: cursorRun }),
    ...(confirmedAt === undefined ? {} : { confirmed_at: confirmedAt }),
    ...(lastGood === undefined ? {} : { last_good: lastGood && json(lastGood) }),
    ...(censusAt === undefined ? {} : { census_at: censusAt }),
    ...(problem === undefined ? {} : { problem: plainOrNull(problem) }),
    ...(pausedUntil === undefined ? {} : { paused_until: pausedUntil }),
    ...(reference === undefined ? {} : { reference: reference && json(reference) }),
  }
  if (Object.keys(set).length === 0) return
  await db.updateTable('connection').set(set).where('name', '=', name).execute()
}

const fromRow = (row: Selectable<Schema['connection']>): StoredConnection => ({
  name: row.name,
  system: row.system,
  cursor: row.cursor,
  cursorRun: row.cursor_run,
  confirmedAt: row.confirmed_at,
  lastGood: row.last_good,
  censusAt: row.census_at,
  problem: row.problem,
  pausedUntil: row.paused_until,
  reference: row.reference,
})
