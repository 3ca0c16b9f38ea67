// Opens the database in one of two homes with the same behaviour: PostgreSQL by URL, or PGlite embedded in the data
// directory, which one process at a time may hold (two would corrupt it silently).
import type { Pool } from 'pg'
import type { Db } from './schema.ts'

/** Another process holds the data directory; the message names it and says what to do. */
export class DatabaseInUse extends Error {
  override readonly name = 'DatabaseInUse'
}

export interface Database {
  readonly home: 'embedded' | 'postgres'
  readonly db: Db
  /** For BullMQ's Postgres backend. */
  readonly pool: Pool
  /** Brings the tables up to date. */
  migrate(): Promise<void>
  close(): Promise<void>
}

export async function openDatabase(_where: { dataDir?: string; databaseUrl?: string }): Promise<Database> {
  throw new Error('being written')
}
