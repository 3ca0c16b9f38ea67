// What is remembered of a connection between two nights: where the next pull goes on, whether its first night was
// confirmed, and what a person must repair.
import type { Selectable } from 'kysely'
import type { System } from '../core/deal.ts'
import { json, plain } from './db.ts'
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
  return (await db.selectFrom('connection').selectAll().where('name', '=', name).executeTakeFirst()) ?? null
}

/** An absent key stays as it is. The cursor is set inside `fenced`, in the transaction that stores its page. */
export async function updateConnection(
  db: Executor,
  name: string,
  { reference, problem, ...rest }: Partial<Omit<StoredConnection, 'name' | 'system'>>,
): Promise<void> {
  const texts = {
    reference: reference && json(reference),
    problem: problem && plain(problem),
  }
  await db
    .updateTable('connection')
    .set({ name, ...rest, ...texts })
    .where('name', '=', name)
    .execute()
}
