// Locks as rows, on every home: PGlite is one session, so advisory locks exclude nobody there.
import type { Instant } from '../core/deal.ts'
import type { Executor } from './schema.ts'

/** True: `by` holds the lease until `now + ms`. The holder may acquire it again, which renews it. */
export async function acquireLease(db: Executor, name: string, by: string, ms: number, now: Instant): Promise<boolean> {
  const row = await db
    .insertInto('lease')
    .values({ name, by, until: now + ms })
    .onConflict((conflict) =>
      conflict
        .column('name')
        .doUpdateSet({ by, until: now + ms })
        .where((where) => where.or([where('lease.until', '<=', now), where('lease.by', '=', by)])),
    )
    .returning('name')
    .executeTakeFirst()
  return row !== undefined
}

/** Does nothing when somebody else holds it by now. */
export async function releaseLease(db: Executor, name: string, by: string): Promise<void> {
  await db.deleteFrom('lease').where('name', '=', name).where('by', '=', by).execute()
}
