// What is remembered of a connection between two nights and between processes: where the next pull goes on, whether its
// first night was confirmed, and whether it may be called at all.
import { type Selectable, sql } from 'kysely'
import type { Instant, System } from '../core/deal.ts'
import { json } from './db.ts'
import type { Circuit, Db, Executor, Schema } from './schema.ts'

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

/** Of one connection or of all: those with something against them at `now`; a pause that is over then is left out. */
export async function circuits(db: Executor, now: Instant, name?: string): Promise<ReadonlyMap<string, Circuit>> {
  const all = db.selectFrom('connection').select(['name', 'circuit']).orderBy('name')
  const rows = await (name === undefined ? all : all.where('name', '=', name)).execute()
  const over = (circuit: Circuit) => circuit.state === 'paused' && circuit.until <= now
  return new Map(rows.flatMap(({ name, circuit }) => (circuit === null || over(circuit) ? [] : [[name, circuit]])))
}

/** An absent key stays as it is. The cursor is set inside `fenced`, in the transaction that stores its page. */
export async function updateConnection(
  db: Executor,
  name: string,
  { reference, circuit, judged, census, ...rest }: Partial<Omit<StoredConnection, 'name' | 'system'>>,
): Promise<void> {
  const texts = {
    ...{ reference: reference && json(reference), circuit: circuit && json(circuit), judged: judged && json(judged) },
    census: census && json(census),
  }
  await db
    .updateTable('connection')
    .set({ name, ...rest, ...texts })
    .where('name', '=', name)
    .execute()
}

/** Deletes whatever is stored of a connection, in one transaction: so many rows of each table, or the run that is open. */
export async function forgetConnection(
  db: Db,
  name: string,
): Promise<{ deleted: Record<string, number> } | { open: string }> {
  return db.transaction().execute(async (trx) => {
    // Nobody opens a run meanwhile.
    await sql`LOCK TABLE run IN SHARE ROW EXCLUSIVE MODE`.execute(trx)
    const runs = trx.selectFrom('run').select('id').where('connection', '=', name)
    const open = await runs.where('status', '=', 'open').executeTakeFirst()
    if (open) return { open: open.id }
    const { rows } = await sql<{ tableName: string }>`SELECT table_name FROM information_schema.columns
      WHERE table_schema = 'unstall' AND column_name = 'connection'`.execute(trx)
    const deleted: Record<string, number> = {}
    for (const { tableName } of rows) {
      const { numAffectedRows } = await sql`DELETE FROM ${sql.table(tableName)} WHERE connection = ${name}`.execute(trx)
      deleted[tableName] = Number(numAffectedRows ?? 0)
    }
    await trx.deleteFrom('connection').where('name', '=', name).execute()
    return { deleted }
  })
}
