// Opens the database in one of two homes with the same behaviour: PostgreSQL by URL, or PGlite embedded in the data
// directory, which one process at a time may hold (two would corrupt it silently).
import { mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { CamelCasePlugin, Kysely, PostgresDialect, type PostgresPool } from 'kysely'
import { Migrator } from 'kysely/migration'
import pg from 'pg'
import { lock } from 'proper-lockfile'
import * as first from './migrations/0001-first.ts'
import { PGlitePool } from './pglite-pool.ts'
import type { Db, Schema } from './schema.ts'

/** Another process holds the data directory; the message names it and says what to do. */
export class DatabaseInUse extends Error {
  override readonly name = 'DatabaseInUse'
}

/** What Kysely and BullMQ's Postgres backend need of a pool: pg's own, or PGlite behind the same shape. */
export type Pool = pg.Pool | PGlitePool

export interface Database {
  readonly home: 'embedded' | 'postgres'
  readonly db: Db
  /** For BullMQ's Postgres backend. */
  readonly pool: Pool
  /** Brings the tables up to date. */
  migrate(): Promise<void>
  close(): Promise<void>
}

/** Ours first, then BullMQ's, which finds its own tables by this path only. */
export const SEARCH_PATH = 'unstall,bullmq,public'

// One set of parsers for both homes: counts and instants are numbers, calendar dates stay text.
const PARSERS: Record<number, (text: string) => unknown> = {
  [pg.types.builtins.INT8]: Number,
  [pg.types.builtins.NUMERIC]: Number,
  [pg.types.builtins.DATE]: (text) => text,
}

/** `databaseUrl` wins. Embedded: `snapshot` is a dumped data directory to start from; without `dataDir` all is in memory
 *  (tests). Throws DatabaseInUse when another process holds `dataDir`. */
export async function openDatabase(where: {
  readonly dataDir?: string
  readonly databaseUrl?: string
  readonly snapshot?: Blob
}): Promise<Database> {
  if (where.databaseUrl !== undefined) return onPostgres(where.databaseUrl)
  const unlock = where.dataDir === undefined ? async () => {} : await lockDirectory(where.dataDir)
  try {
    const database = await PGlite.create({
      ...(where.dataDir === undefined ? {} : { dataDir: join(where.dataDir, 'db') }),
      ...(where.snapshot === undefined ? {} : { loadDataDir: where.snapshot }),
      parsers: PARSERS,
    })
    await database.exec(`SET search_path TO ${SEARCH_PATH}`)
    const pool = new PGlitePool(database)
    const db = kysely(pool)
    return {
      home: 'embedded',
      db,
      pool,
      migrate: () => migrate(db),
      close: () => database.close().finally(unlock),
    }
  } catch (error) {
    await unlock()
    throw error
  }
}

function onPostgres(connectionString: string): Database {
  const pool = new pg.Pool({
    connectionString,
    max: 10,
    keepAlive: true,
    options: `-c search_path=${SEARCH_PATH}`,
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        (format !== 'binary' && PARSERS[oid]) || pg.types.getTypeParser(oid, format),
    },
  })
  // An idle client that loses its server: the pool replaces it, and whoever asks next gets the real error.
  pool.on('error', () => {})
  const db = kysely(pool)
  return { home: 'postgres', db, pool, migrate: () => migrate(db), close: () => pool.end() }
}

const kysely = (pool: PostgresPool) =>
  new Kysely<Schema>({
    dialect: new PostgresDialect({ pool }),
    plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })],
  })

async function migrate(db: Db): Promise<void> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => ({ '0001-first': first }) },
    migrationTableSchema: 'unstall',
  })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
}

/** A process may only be declared dead by its id within the same machine and process namespace (containers). */
function here(): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return hostname()
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}

async function lockDirectory(dataDir: string): Promise<() => Promise<void>> {
  mkdirSync(dataDir, { recursive: true })
  const lockfilePath = join(dataDir, 'lock')
  const holderFile = join(dataDir, 'holder')
  const take = () => lock(dataDir, { lockfilePath, stale: 30_000, update: 5_000 })
  const holder = () => {
    try {
      const [pid, ...place] = readFileSync(holderFile, 'utf8').split(' ')
      return { pid: Number(pid), place: place.join(' ') }
    } catch {
      return null // the holder has not written it yet
    }
  }
  const release = await take().catch(async (error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'ELOCKED')) throw error
    const other = holder()
    if (other && other.place === here() && !alive(other.pid)) {
      // Killed: its lock would only go stale in half a minute.
      rmSync(lockfilePath, { recursive: true, force: true })
      return take()
    }
    throw new DatabaseInUse(
      `The data directory ${dataDir} is in use by ${other ? `process ${other.pid}` : 'another process'}. Stop that ` +
        `process first, choose another dataDir, or set DATABASE_URL: several processes can share a PostgreSQL database.`,
      { cause: error },
    )
  })
  writeFileSync(holderFile, `${process.pid} ${here()}`)
  return release
}

/** Text for a jsonb column. NUL and half surrogate pairs, which PostgreSQL refuses, are taken out of strings. */
export function json(value: unknown): string {
  const text = JSON.stringify(value)
  if (!/\\u(?:0000|d[89a-f])/.test(text)) return text
  return JSON.stringify(value, (_key, each: unknown) => (typeof each === 'string' ? plain(each) : each))
}

/** The same for a text column. */
export const plain = (text: string): string => text.toWellFormed().replaceAll('\0', '')
export const plainOrNull = (text: string | null): string | null => (text === null ? null : plain(text))
