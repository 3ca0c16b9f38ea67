// Digests that were sent, are to be sent again, or were not needed. The row is made before anything is handed over, so
// that nobody sends it a second time: without an answer it stays `unknown`, and unknown is never repeated.
import { type Selectable, sql } from 'kysely'
import type { Instant } from '../core/deal.ts'
import { json, plain } from './db.ts'
import type { Executor, Schema } from './schema.ts'

export type StoredDigest = Readonly<Selectable<Schema['digest']>>
export type DigestId = Pick<StoredDigest, 'kind' | 'period' | 'recipient'>

/** Longer ago than any period that could come again, and than the weekly reminder looks back. */
const KEPT_MS = 90 * 86_400_000
const LATE_MS = 86_400_000

const one = (db: Executor, { kind, period, recipient }: DigestId) =>
  db.updateTable('digest').where('kind', '=', kind).where('period', '=', period).where('recipient', '=', recipient)

/** False: there is a row of that digest, period and recipient already. */
export async function claimDigest(
  db: Executor,
  { told, ...row }: DigestId & Pick<StoredDigest, 'status' | 'week' | 'told' | 'createdAt'>,
): Promise<boolean> {
  const values = { ...row, told: json(told), attempts: row.status === 'unknown' ? 1 : 0 }
  const insert = db
    .insertInto('digest')
    .values(values)
    .onConflict((conflict) => conflict.doNothing())
  const { numInsertedOrUpdatedRows } = await insert.executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

/** Takes a digest that waits to be sent again: from now on it is unknown. False: somebody else has it. */
export async function reclaimDigest(
  db: Executor,
  id: DigestId,
  told: StoredDigest['told'],
  now: Instant,
): Promise<boolean> {
  const due = one(db, id).where('status', '=', 'retry').where('nextAt', '<=', now)
  const again = { status: 'unknown', told: json(told), attempts: sql<number>`attempts + 1`, nextAt: null } as const
  return (await due.set(again).returning('kind').executeTakeFirst()) !== undefined
}

/** What became of a digest that was handed over. */
export async function settleDigest(
  db: Executor,
  id: DigestId,
  { problem, ...set }: Partial<Pick<StoredDigest, 'status' | 'nextAt' | 'problem' | 'sentAt'>>,
): Promise<void> {
  const text = problem == null ? null : plain(problem)
  await one(db, id)
    .where('status', '=', 'unknown')
    .set({ ...set, problem: text })
    .execute()
}

/** Newest first. */
export const digestsSince = (db: Executor, since: Instant): Promise<readonly StoredDigest[]> =>
  db.selectFrom('digest').selectAll().where('createdAt', '>=', since).orderBy('createdAt', 'desc').execute()

/** What waits for a period that is over is given up; what is older than anybody asks for goes. */
export async function forgetOldDigests(db: Executor, now: Instant): Promise<void> {
  const late = db.updateTable('digest').set({ status: 'failed', nextAt: null })
  await late
    .where('status', '=', 'retry')
    .where('nextAt', '<', now - LATE_MS)
    .execute()
  await db
    .deleteFrom('digest')
    .where('createdAt', '<', now - KEPT_MS)
    .execute()
}

/** One process at a time works on digests; the lease of one that died ends by itself. */
export async function leaseDigests(db: Executor, by: string, now: Instant, ms: number): Promise<boolean> {
  const until = now + ms
  const taken = await db
    .insertInto('lease')
    .values({ name: 'digests', by, until })
    .onConflict((conflict) =>
      conflict
        .column('name')
        .doUpdateSet({ by, until })
        .where(({ or, eb }) => or([eb('lease.until', '<', now), eb('lease.by', '=', by)])),
    )
    .returning('name')
    .executeTakeFirst()
  return taken !== undefined
}

export async function endDigestLease(db: Executor, by: string): Promise<void> {
  await db.updateTable('lease').set({ until: 0 }).where('name', '=', 'digests').where('by', '=', by).execute()
}
