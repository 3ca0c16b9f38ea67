// The three homes of store and queue as a table, so that one test file runs on all of them:
//   eachHome((home) => { it('…', async () => { const { database } = await home.open() … }) })
// Every `open` is a fresh, migrated, empty database, to be called inside a test and closed after it.
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { Redis } from 'ioredis'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, describe, it, onTestFinished } from 'vitest'
import { prepareQueue } from '../src/queue.ts'
import { type Database, openDatabase, SEARCH_PATH } from '../src/store/db.ts'
import { CACHE, missing, required, type Server, type Service, startPostgres, startRedis } from './services.ts'

/** How another process reaches the same home. */
export interface Where {
  readonly dataDir?: string
  readonly databaseUrl?: string
  readonly redisUrl?: string
}

export interface OpenHome {
  readonly database: Database
  /** Hand it to `startQueue`; undefined: the queue lives in the database. */
  readonly redisUrl: string | undefined
  readonly where: Where
  close(): Promise<void>
}

export interface Home {
  readonly name: 'embedded' | 'PostgreSQL' | 'PostgreSQL and Redis'
  readonly needs: readonly Service[]
  /** A fresh database. `disk`: the embedded one in a directory (else in memory, which is faster). */
  open(how?: { readonly disk?: boolean }): Promise<OpenHome>
  /** Only a place, prepared but not opened: for tests whose processes open it themselves. */
  place(): Promise<Where>
}

let postgres: Promise<Server> | undefined
let redis: Promise<Server> | undefined
/** The Redis server of this process, started on first use. */
export const redisServer = () => (redis ??= startRedis())
/** The PostgreSQL server of this process, started on first use, with a migrated database `template`. */
export const postgresServer = () =>
  (postgres ??= startPostgres().then(async (server) => {
    const url = await createDatabase(server, 'template', 'template1')
    const database = await openDatabase({ databaseUrl: url })
    await database.migrate()
    await prepareQueue(database.pool)
    await database.close()
    return server
  }))

const directories = new Set<string>()
const databases = new Set<string>()
let places = 0

async function command(server: Server, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client(server.url)
  await client.connect()
  for (const statement of statements) await client.query(statement)
  await client.end()
}

async function createDatabase(server: Server, name: string, template: string): Promise<string> {
  await command(server, `CREATE DATABASE ${name} TEMPLATE ${template}`)
  return server.url.replace(/postgres$/, name)
}

async function onPostgres(): Promise<Where> {
  const name = `place${++places}`
  databases.add(name)
  return { databaseUrl: await createDatabase(await postgresServer(), name, 'template') }
}

/** A directory of this process with an empty embedded database: copying it costs a tenth of loading the snapshot. */
let empty: Promise<string> | undefined
const emptyDirectory = () =>
  (empty ??= (async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'unstall-data-'))
    const database = await openDatabase({ dataDir, snapshot: await snapshot() })
    await database.close()
    return dataDir
  })())

async function onDisk(): Promise<Where> {
  const dataDir = mkdtempSync(join(tmpdir(), 'unstall-data-'))
  directories.add(dataDir)
  cpSync(await emptyDirectory(), dataDir, { recursive: true })
  return { dataDir }
}

// An embedded database in memory costs a second and half a gigabyte: an emptied one is used again.
const idle: Database[] = []
/** So many are kept. */
const MOST_IDLE = 2

async function emptied(database: Database): Promise<void> {
  await sql
    .raw(`DO $$ DECLARE tables text; BEGIN
    SELECT string_agg(format('%I.%I', schemaname, tablename), ',') INTO tables FROM pg_tables
      WHERE schemaname IN ('unstall', 'bullmq') AND tablename !~ 'migration';
    EXECUTE 'TRUNCATE ' || tables || ' RESTART IDENTITY';
    INSERT INTO unstall.lease VALUES ('budget', '', 0);
  END $$`)
    .execute(database.db)
  idle.push(database)
}

/** An empty one; `giveBack` when nobody uses it any more. */
export async function borrowed(): Promise<{ readonly database: Database; giveBack(): Promise<void> }> {
  const database = idle.pop() ?? (await openDatabase({ snapshot: await snapshot() }))
  let given: Promise<void> | undefined
  const giveBack = () => (given ??= idle.length < MOST_IDLE ? emptied(database) : database.close())
  return { database, giveBack }
}

async function openInMemory(): Promise<OpenHome> {
  const { database, giveBack: close } = await borrowed()
  onTestFinished(close)
  return { database, redisUrl: undefined, where: {}, close }
}

async function open(where: Where): Promise<OpenHome> {
  const database = await openDatabase(where)
  let closed: Promise<void> | undefined
  const close = () => (closed ??= database.close())
  onTestFinished(close)
  return { database, redisUrl: where.redisUrl, where, close }
}

/** Opens a place of `home.place()` in this process. */
export const openPlace = open

async function withRedis(): Promise<Where> {
  const where = { ...(await onPostgres()), redisUrl: `${(await redisServer()).url}/${places % 16}` }
  await flushRedis(where.redisUrl) // an earlier place had the same number
  return where
}

export const homes: readonly Home[] = [
  {
    name: 'embedded',
    needs: [],
    open: async (how) => (how?.disk ? open(await onDisk()) : openInMemory()),
    place: onDisk,
  },
  { name: 'PostgreSQL', needs: ['PostgreSQL'], open: async () => open(await onPostgres()), place: onPostgres },
  {
    name: 'PostgreSQL and Redis',
    needs: ['PostgreSQL', 'Redis'],
    open: async () => open(await withRedis()),
    place: withRedis,
  },
]

/** Describes the same tests once per home. `databases`: only the two that differ without a queue. */
export function eachHome(tests: (home: Home) => void, which: 'all' | 'databases' = 'all'): void {
  for (const home of which === 'all' ? homes : homes.slice(0, 2)) {
    const lacking = missing(home.needs)
    if (lacking && required)
      describe(home.name, () => it(`has ${lacking}`, () => Promise.reject(new Error(`${lacking} is missing here`))))
    else describe.skipIf(lacking !== null)(home.name, () => tests(home))
  }
  afterAll(clearPlaces)
}

/** Deletes all places. Servers and emptied embedded databases stay for the next file of this process. */
export async function clearPlaces(): Promise<void> {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
  directories.clear()
  const drops = [...databases].map((name) => `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  databases.clear()
  if (drops.length > 0) await command(await postgresServer(), ...drops)
}

/** For a program that ends: the servers too. */
export async function closeHomes(): Promise<void> {
  await clearPlaces()
  if (empty) rmSync(await empty, { recursive: true, force: true })
  await (await redis)?.stop()
  await (await postgres)?.stop()
}

/** Empties the Redis of a place, as an operator's FLUSHALL would. */
export async function flushRedis(redisUrl: string): Promise<void> {
  const client = new Redis(redisUrl)
  await client.flushdb()
  await client.quit()
}

/** A migrated data directory as a tar file: made once per version of the migrations, loaded in a fraction of the time. */
let loaded: Promise<Blob> | undefined
export const snapshot = () => (loaded ??= loadSnapshot())

async function loadSnapshot(): Promise<Blob> {
  const hash = createHash('sha256').update(SEARCH_PATH)
  const migrations = join(import.meta.dirname, '../src/store/migrations')
  for (const file of readdirSync(migrations).sort()) hash.update(readFileSync(join(migrations, file)))
  for (const name of ['@electric-sql/pglite', 'bullmq'])
    hash.update(readFileSync(join(import.meta.dirname, '../node_modules', name, 'package.json')))
  const file = join(CACHE, `database-${hash.digest('hex').slice(0, 16)}.tar`)
  try {
    return new Blob([readFileSync(file)])
  } catch {} // not made yet
  const template = mkdtempSync(join(tmpdir(), 'unstall-template-'))
  const database = await openDatabase({ dataDir: template })
  await database.migrate()
  await prepareQueue(database.pool)
  await database.close()
  const pglite = await PGlite.create(join(template, 'db'))
  const dump = await pglite.dumpDataDir('none')
  await pglite.close()
  mkdirSync(CACHE, { recursive: true })
  writeFileSync(`${file}.${process.pid}`, new Uint8Array(await dump.arrayBuffer()))
  renameSync(`${file}.${process.pid}`, file) // whole or not at all: two test files may do this at once
  rmSync(template, { recursive: true, force: true })
  return dump
}

/** Waits for something that happens outside our clock (queue tests); fails after five seconds unless told. */
export async function until(what: () => boolean | Promise<boolean>, ms = 5_000): Promise<void> {
  const end = performance.now() + ms
  while (!(await what())) {
    if (performance.now() > end) throw new Error(`did not happen within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
}
