// Opens the database in one of two homes with the same behaviour: PostgreSQL by URL, or PGlite embedded in the data
// directory, which one process at a time may hold (two would corrupt it silently).
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { CamelCasePlugin, Kysely, PostgresDialect, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import pg from 'pg'
import { lock } from 'proper-lockfile'
import * as first from './migrations/0001-first.ts'
import * as due from './migrations/0002-due.ts'
import * as web from './migrations/0003-web.ts'
import * as digests from './migrations/0004-digests.ts'
import * as preview from './migrations/0005-preview.ts'
import * as dueAgain from './migrations/0006-due-again.ts'
import * as census from './migrations/0007-census.ts'
import type { PGlitePool } from './pglite-pool.ts'
import type { Db, Schema } from './schema.ts'

/** Another process holds the data directory; the message names it and says what to do. */
export class DatabaseInUse extends Error {
  override readonly name = 'DatabaseInUse'
}

/** What Kysely and BullMQ's Postgres backend need of a pool: pg's own, or PGlite behind the same shape. */
export type Pool = pg.Pool | PGlitePool

export interface Database {
  readonly db: Db
  /** For BullMQ's Postgres backend. */
  readonly pool: Pool
  /** Brings the tables up to date. */
  migrate(): Promise<void>
  /** Asks only: false while another process is still at it. */
  migrated(): Promise<boolean>
  close(): Promise<void>
}

/** Ours first, then BullMQ's, which finds its own tables by this path only. */
export const SEARCH_PATH = 'unstall,bullmq,public'
/** A server or network that hangs must not hang us: for a connection, and for a statement (ours are set-based and short). */
const CONNECT_MS = 20_000
const STATEMENT_MS = 60_000

// One set of parsers for both homes: counts and instants are numbers, calendar dates stay text.
const PARSERS: Record<number, (text: string) => unknown> = {
  [pg.types.builtins.INT8]: Number,
  [pg.types.builtins.NUMERIC]: Number,
  [pg.types.builtins.DATE]: (text) => text,
}

// The embedded database in 150 MB instead of 800: its pages lie in the system's cache anyway, and the optimising compiler
// of WebAssembly (V8's TurboFan) takes 600 MB for a single function of PostgreSQL, and wins next to nothing.
const SMALL = ['-c', 'shared_buffers=16MB']
const UNOPTIMISED = ['--no-wasm-tier-up', '--no-wasm-dynamic-tiering']

/** `databaseUrl` wins. Embedded: `snapshot` is a dumped data directory to start from; without `dataDir` all is in memory
 *  (tests). Throws DatabaseInUse when another process holds `dataDir`. */
export async function openDatabase(where: {
  dataDir?: string
  databaseUrl?: string
  snapshot?: Blob
  statementMs?: number
}): Promise<Database> {
  if (where.databaseUrl !== undefined) return onPostgres(where.databaseUrl, where.statementMs ?? STATEMENT_MS)
  const { dataDir = 'memory' } = where
  // 5 MB that only this home needs.
  const { PGlitePool, WatchedPGlite } = await import('./pglite-pool.ts')
  const unlock = where.dataDir === undefined ? async () => {} : await lockDirectory(dataDir)
  try {
    for (const flag of UNOPTIMISED) setFlagsFromString(flag)
    const pglite = new WatchedPGlite({
      ...(where.dataDir === undefined ? {} : { dataDir: join(where.dataDir, 'db') }),
      ...(where.snapshot === undefined ? {} : { loadDataDir: where.snapshot }),
      parsers: PARSERS,
      startParams: [...WatchedPGlite.defaultStartParams, ...SMALL],
    })
    pglite.onPanic = endWith(dataDir)
    await pglite.waitReady
    await pglite.exec(`SET search_path TO ${SEARCH_PATH}`)
    return over(new PGlitePool(pglite), () => pglite.close().finally(unlock))
  } catch (error) {
    await unlock()
    if (!(error instanceof Error && /failed to initialize/.test(error.message))) throw error
    throw new Error(`The embedded database in ${dataDir} does not start. ${NO_ROOM}`, { cause: error })
  }
}

const NO_ROOM = 'Make room on its disk and start unstall again: it goes on where it was.'

/** Ends the process at once: after a panic (no room for its log, most often) the embedded database can only be opened anew. */
const endWith =
  (dataDir: string) =>
  ({ message }: Error): void => {
    writeSync(2, `unstall: the embedded database in ${dataDir} has stopped (${message}). ${NO_ROOM}\n`)
    process.exit(1)
  }

function onPostgres(connectionString: string, statementMs: number): Database {
  const limits = `-c statement_timeout=${statementMs} -c idle_in_transaction_session_timeout=${statementMs}`
  const pool = poolOf({ connectionString, max: 10, query_timeout: 1.1 * statementMs }, limits)
  // A migration may take its time.
  const patient = () => poolOf({ connectionString, max: 2 })
  return over(pool, () => pool.end(), patient)
}

function poolOf(config: pg.PoolConfig, options = ''): pg.Pool {
  const pool = new pg.Pool({
    ...config,
    keepAlive: true,
    connectionTimeoutMillis: CONNECT_MS,
    options: `-c search_path=${SEARCH_PATH} ${options}`,
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        (format !== 'binary' && PARSERS[oid]) || pg.types.getTypeParser(oid, format),
    },
  })
  // A client that loses its server while nobody asks it anything, idle or between two statements of a transaction: whoever
  // asks next gets the real error. Unheard, it would end the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => void client.on('error', () => {}))
  return pool
}

function over(pool: Pool, close: () => Promise<void>, patient?: () => pg.Pool): Database {
  const plugins = [new CamelCasePlugin({ maintainNestedObjectKeys: true })]
  const kysely = (pool: Pool) => new Kysely<Schema>({ dialect: new PostgresDialect({ pool }), plugins })
  const db = kysely(pool)
  const migrations = {
    ...{ '0001-first': first, '0002-due': due, '0003-web': web, '0004-digests': digests },
    ...{ '0005-preview': preview, '0006-due-again': dueAgain, '0007-census': census },
  }
  const provider = { getMigrations: async () => migrations }
  const migrator = (db: Db) => new Migrator({ db, provider, migrationTableSchema: 'unstall' })
  const migrate = async () => {
    const own = patient?.()
    const { error } = await migrator(own ? kysely(own) : db)
      .migrateToLatest()
      .finally(() => own?.end())
    if (error !== undefined) throw error
  }
  const migrated = async () => (await migrator(db).getMigrations()).every(({ executedAt }) => executedAt !== undefined)
  return { db, pool, migrate, migrated, close }
}

const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? error.code : null)

/** The database itself is not well (no room, no connection, stopped, its disk fails): nobody's fault, and it passes. By
 *  PostgreSQL's classes of SQLSTATE. */
export const isOutage = (error: unknown): boolean => /^(?:08\w|53\w|57P|58\w)\w{2}$/.test(String(codeOf(error)))

/** A process may only be declared dead by its id within the same machine and process namespace (containers). */
const NAMESPACE = '/proc/self/ns/pid'
const here = () => (existsSync(NAMESPACE) ? `${hostname()} ${readlinkSync(NAMESPACE)}` : hostname())

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return codeOf(error) !== 'ESRCH'
  }
}

const born = (path: string) => String(statSync(path, { throwIfNoEntry: false })?.birthtimeMs)

/** Only this very lock, not that of a process which was quicker and has not written its name yet: it is moved aside
 *  first, because only one can do that, and put back where it is another's. */
function takeAway(lockfilePath: string, since: string): boolean {
  const aside = `${lockfilePath}.${process.pid}`
  try {
    renameSync(lockfilePath, aside)
    if (born(aside) !== since) renameSync(aside, lockfilePath)
    else rmSync(aside, { recursive: true })
    return !existsSync(lockfilePath)
  } catch {
    return false
  }
}

async function lockDirectory(dataDir: string): Promise<() => Promise<void>> {
  mkdirSync(dataDir, { recursive: true })
  const lockfilePath = join(dataDir, 'lock')
  const holder = join(dataDir, 'holder')
  const take = () => lock(dataDir, { lockfilePath, stale: 30_000, update: 5_000 })
  const release = await take().catch(async (cause: unknown) => {
    if (codeOf(cause) !== 'ELOCKED') throw cause
    // Not there yet: the other process has just taken the lock.
    const [pid, since, ...place] = existsSync(holder) ? readFileSync(holder, 'utf8').split(' ') : []
    // Killed: its lock would only go stale in half a minute.
    const dead = place.join(' ') === here() && !alive(Number(pid)) && since === born(lockfilePath)
    const again = dead && takeAway(lockfilePath, since) ? await take().catch(() => null) : null
    if (again) return again
    throw new DatabaseInUse(
      `The data directory ${dataDir} is in use by ${pid ? `process ${pid}` : 'another process'}. Stop that ` +
        `process first, choose another dataDir, or set DATABASE_URL: several processes can share a PostgreSQL database.`,
      { cause },
    )
  })
  writeFileSync(holder, `${process.pid} ${born(lockfilePath)} ${here()}`)
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

/** Any number of rows as one parameter, by the names of the database: `FROM ${rowsOf('deal', values)} AS row`. */
export const rowsOf = (table: keyof Schema, rows: readonly object[]) =>
  sql`jsonb_populate_recordset(NULL::${sql.table(table)}, ${json(rows)}::jsonb)`

/** Any number of ids as one parameter. */
export const among = (ids: readonly string[]) => sql<string>`any(${ids}::text[])`
