// What is remembered of a connection between two nights: where the next pull goes on, whether its first night was
// confirmed, the last good night for the share brake, and what a person must repair.
import type { Instant, System } from '../core/deal.ts'
import type { Executor, LastGood } from './schema.ts'

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
}

const todo = (): never => {
  throw new Error('being written')
}
/** Creates the row where it is missing. */
export async function ensureConnection(_db: Executor, _name: string, _system: System): Promise<StoredConnection> {
  return todo()
}
export async function getConnection(_db: Executor, _name: string): Promise<StoredConnection | null> {
  return todo()
}
export type ConnectionChange = Partial<Omit<StoredConnection, 'name' | 'system'>>
/** The cursor is set inside `fenced`, in the transaction that stores its page. */
export async function updateConnection(_db: Executor, _name: string, _change: ConnectionChange): Promise<void> {
  return todo()
}
