// What is remembered of a connection between two nights: where the next pull goes on, whether its first night was
// confirmed, the last good night for the share brake, and what a person must repair.
import type { Selectable } from 'kysely'
import type { System } from '../core/deal.ts'
import { json, plainOrNull } from './db.ts'
import type { Executor, Schema } from './schema.ts'

export type StoredConnection = Readonly<Selectable<Schema['connection']>>

/** Creates the row where it is missing. */
export async function ensureConnection(db: Executor, name: string, system: System): Promise<StoredConnection> {
  return db
    .insertInto('connection')
    .values({ name, system })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ system }))
    .returningAll()
    .executeTakeFirstOrThrow()
}

export async function getConnection(db: Executor, name: string): Promise<StoredConnection | null> {
  const row = await db.selectFrom('connection').selectAll().where('name', '=', name).executeTakeFirst()
  return row ?? null
}

/** An absent key stays as it is. */
export type ConnectionChange = Partial<Omit<StoredConnection, 'name' | 'system'>>

/** The cursor is set inside `fenced`, in the transaction that stores its page. */
export async function updateConnection(db: Executor, name: string, change: ConnectionChange): Promise<void> {
  const { lastGood, reference, problem, ...rest } = change
  const set = {
    ...rest,
    ...(lastGood === undefined ? {} : { lastGood: lastGood && json(lastGood) }),
    ...(reference === undefined ? {} : { reference: reference && json(reference) }),
    ...(problem === undefined ? {} : { problem: plainOrNull(problem) }),
  }
  if (Object.keys(set).length > 0) await db.updateTable('connection').set(set).where('name', '=', name).execute()
}
