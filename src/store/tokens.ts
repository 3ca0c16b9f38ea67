// The stored tokens of each connection, as ciphertext, with the lease of whoever renews them. Leases are measured by the
// database's clock, which all machines share.
import { type Selectable, sql } from 'kysely'
import type { Db, Executor, Schema } from './schema.ts'

/** `version` 0: nothing was ever stored. */
export type StoredTokens = Readonly<Pick<Selectable<Schema['token']>, 'version' | 'sealed' | 'renewAt' | 'refused'>>

const NOW = sql<number>`(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
const FREE = { leaseBy: '', leaseUntil: 0 }

export async function readTokens(db: Executor, connection: string): Promise<StoredTokens> {
  const row = await db
    .selectFrom('token')
    .select(['version', 'sealed', 'renewAt', 'refused'])
    .where('connection', '=', connection)
    .executeTakeFirst()
  if (row) return row
  const values = { connection, version: 0, ...FREE }
  await db
    .insertInto('token')
    .values(values)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  return readTokens(db, connection)
}

const ofVersion = (db: Executor, connection: string, version: number) =>
  db.updateTable('token').where('connection', '=', connection).where('version', '=', version)

/** Who may renew this version for the next `ms`. False: someone else does, or has. */
export async function takeLease(
  db: Executor,
  connection: string,
  version: number,
  leaseBy: string,
  ms: number,
): Promise<boolean> {
  const { numUpdatedRows } = await ofVersion(db, connection, version)
    .set({ leaseBy, leaseUntil: sql`${NOW} + ${ms}` })
    .where('leaseUntil', '<', NOW)
    .executeTakeFirst()
  return numUpdatedRows > 0
}

/** Nobody renews for another `ms`. */
export async function endLease(db: Executor, connection: string, leaseBy: string, ms: number): Promise<void> {
  await db
    .updateTable('token')
    .set({ leaseUntil: sql`${NOW} + ${ms}` })
    .where('connection', '=', connection)
    .where('leaseBy', '=', leaseBy)
    .execute()
}

/** Replaces `version` and frees the lease. False: it is not the newest any more, and nothing was stored. */
export async function storeTokens(
  db: Executor,
  connection: string,
  version: number,
  set: Pick<StoredTokens, 'sealed' | 'renewAt'>,
): Promise<boolean> {
  const { numUpdatedRows } = await ofVersion(db, connection, version)
    .set({ ...set, version: version + 1, refused: null, ...FREE })
    .executeTakeFirst()
  return numUpdatedRows > 0
}

/** The refresh token of this version is dead. `refused`: with which secret that was found out. False: there is a newer one. */
export async function refuseTokens(
  db: Executor,
  connection: string,
  version: number,
  refused: string,
): Promise<boolean> {
  const { numUpdatedRows } = await ofVersion(db, connection, version)
    .set({ refused, ...FREE })
    .executeTakeFirst()
  return numUpdatedRows > 0
}

/** The same sets in another wording, all or none. Their version stays: a renewal that is under way must still be stored. */
export async function replaceSealed(db: Db, by: (sealed: string, connection: string) => string): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const rows = await trx
      .selectFrom('token')
      .select(['connection', 'sealed'])
      .orderBy('connection')
      .forUpdate()
      .execute()
    for (const { connection, sealed } of rows)
      if (sealed !== null)
        await trx
          .updateTable('token')
          .set({ sealed: by(sealed, connection) })
          .where('connection', '=', connection)
          .execute()
  })
}
