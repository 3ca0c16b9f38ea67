// Locks as rows, on every home: PGlite is one session, so advisory locks exclude nobody there.
import type { Instant } from '../core/deal.ts'
import type { Executor } from './schema.ts'

const todo = (): never => {
  throw new Error('being written')
}
/** True: `by` holds the lease until `now + ms`. The holder may acquire it again, which renews it. */
export async function acquireLease(
  _db: Executor,
  _name: string,
  _by: string,
  _ms: number,
  _now: Instant,
): Promise<boolean> {
  return todo()
}
export async function releaseLease(_db: Executor, _name: string, _by: string): Promise<void> {
  return todo()
}
