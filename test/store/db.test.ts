// Both homes give the same JavaScript values; one directory has one holder; the embedded pool behaves like pg's.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { sql } from 'kysely'
import pg from 'pg'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { DatabaseInUse, openDatabase } from '../../src/store/db.ts'
import { PGlitePool, WatchedPGlite } from '../../src/store/pglite-pool.ts'
import type { Executor } from '../../src/store/schema.ts'
import { eachHome, homes, openPlace, postgresServer, snapshot } from '../homes.ts'
import { missing } from '../services.ts'

const note = (db: Executor, name: string) => db.insertInto('lease').values({ name, by: 'a', until: 0 }).execute()
const noted = async (db: Executor) =>
  (await db.selectFrom('lease').select('name').orderBy('name').execute()).map((row) => row.name)

eachHome((home) => {
  it('gives counts, big integers, numerics, dates and jsonb alike', async () => {
    const { db } = (await home.open()).database
    const { rows } = await sql`SELECT count(*) AS count, 9007199254740991::bigint AS big, 1.5::numeric AS number,
      '2026-11-23'::date AS date, true AS yes, ${JSON.stringify([1, { a: null }])}::jsonb AS json,
      ${['a"b', '{c}', '']}::text[] AS texts, NULL AS nothing`.execute(db)
    expect(rows).toEqual([
      {
        count: 1,
        big: 9007199254740991,
        number: 1.5,
        date: '2026-11-23',
        yes: true,
        json: [1, { a: null }],
        texts: ['a"b', '{c}', ''],
        nothing: null,
      },
    ])
  })

  it('migrates twice without harm, and rolls a failed transaction back', async () => {
    const { database } = await home.open()
    await database.migrate()
    await expect(
      database.db.transaction().execute(async (trx) => {
        await note(trx, 'x')
        await sql`SELECT 1 / 0`.execute(trx)
      }),
    ).rejects.toThrow('division by zero')
    expect(await noted(database.db)).toEqual(['budget'])
  })

  it('keeps statements of others out of a transaction', async () => {
    const { db } = (await home.open()).database
    const inside = Promise.withResolvers<void>()
    const rolledBack = db.transaction().execute(async (trx) => {
      await note(trx, 'mine')
      inside.resolve()
      await new Promise((resolve) => setTimeout(resolve, 20))
      throw new Error('give up')
    })
    await inside.promise
    await Promise.all([note(db, 'theirs'), expect(rolledBack).rejects.toThrow('give up')])
    expect(await noted(db)).toEqual(['budget', 'theirs'])
  })
}, 'databases')

const embedded = homes[0]
if (!embedded) throw new Error('no embedded home')

describe('embedded pool', () => {
  it('tells of a panic before anything else is sent, and of no other error', async () => {
    const pglite = new WatchedPGlite({ loadDataDir: await snapshot() })
    await pglite.waitReady
    onTestFinished(() => pglite.close())
    const pool = new PGlitePool(pglite)
    const told: string[] = []
    pglite.onPanic = ({ message }) => void told.push(message)
    await expect(pool.query('SELECT 1 / $1::int', [0])).rejects.toThrow('division by zero')
    expect(told).toEqual([])
    const real = PGlite.prototype.execProtocolStream
    onTestFinished(() => void vi.restoreAllMocks())
    const says = vi.spyOn(PGlite.prototype, 'execProtocolStream')
    const noRoom = () =>
      says.mockReset().mockImplementationOnce(async () => {
        told.length = 0
        says.mockImplementation(function (this: PGlite, message, options) {
          told.push('another message')
          return real.call(this, message, options)
        })
        throw Object.assign(new Error('no room for the log'), { severity: 'PANIC' })
      })
    for (const statement of ['SELECT 1', 'BEGIN']) {
      noRoom()
      await expect(pool.query(statement)).rejects.toThrow('no room')
      expect(told[0]).toBe('no room for the log')
    }
  })

  it('lets others in after a rollback that failed', async () => {
    const { database } = await embedded.open()
    if (!(database.pool instanceof PGlitePool)) throw new Error('not embedded')
    const client = await database.pool.connect()
    await client.query('BEGIN')
    const real = PGlite.prototype.execProtocolStream
    onTestFinished(() => void vi.restoreAllMocks())
    vi.spyOn(PGlite.prototype, 'execProtocolStream')
      .mockImplementation(function (this: PGlite, message, options) {
        return real.call(this, message, options)
      })
      .mockRejectedValueOnce(new Error('bad moment'))
    await expect(client.query('ROLLBACK')).rejects.toThrow('bad moment')
    expect((await database.pool.query<{ n: number }>('SELECT 1 AS n')).rows).toEqual([{ n: 1 }])
  })

  it('rolls back what a client left open, and refuses the client afterwards', async () => {
    const { database } = await embedded.open()
    if (!(database.pool instanceof PGlitePool)) throw new Error('not embedded')
    const client = await database.pool.connect()
    await client.query('/* BullMQ writes comments */ -- here\n BEGIN')
    await client.query("INSERT INTO lease VALUES ('left', 'a', 1)")
    client.release()
    const { rows } = await database.pool.query('SELECT name FROM lease WHERE name = $1', ['left'])
    expect(rows).toEqual([])
    await expect(client.query('SELECT 1')).rejects.toThrow('released')
  })

  it('hears notifications through a commented LISTEN while another client is in a transaction', async () => {
    const { database } = await embedded.open()
    if (!(database.pool instanceof PGlitePool)) throw new Error('not embedded')
    const [ear, mouth] = [await database.pool.connect(), await database.pool.connect()]
    const heard: unknown[] = []
    ear.on('notification', (message) => heard.push(message))
    await ear.query('-- wait for jobs\nLISTEN Some_channel')
    await mouth.query('BEGIN')
    await mouth.query(`SELECT pg_notify('some_channel', 'hello')`)
    expect(heard).toEqual([])
    await mouth.query('COMMIT')
    await database.pool.query('SELECT 1')
    expect(heard).toEqual([{ channel: 'some_channel', payload: 'hello', processId: 0 }])
    await ear.query('UNLISTEN *')
    await mouth.query(`SELECT pg_notify('some_channel', 'again')`)
    await database.pool.query('SELECT 1')
    expect(heard).toHaveLength(1)
    ear.release()
    mouth.release()
  })
})

describe.skipIf(missing(['PostgreSQL']) !== null)('PostgreSQL that hangs', () => {
  /** A wire to the server that can go dead without a word. */
  async function wire() {
    const server = new URL((await postgresServer()).url)
    const { port, hostname } = server
    const dead = { now: false }
    const proxy = createServer((near) => {
      const far = connect(Number(port), hostname)
      near.on('data', (data) => void (dead.now || far.write(data))).on('close', () => far.destroy())
      far.on('data', (data) => void (dead.now || near.write(data))).on('close', () => near.destroy())
      for (const socket of [near, far]) socket.on('error', () => {})
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void proxy.close())
    const address = proxy.address()
    server.port = String(typeof address === 'object' ? address?.port : '')
    return { databaseUrl: server.href, dead }
  }

  it('ends a statement, a transaction nobody goes on with, and a wait for a dead network', async () => {
    const { databaseUrl, dead } = await wire()
    const database = await openDatabase({ databaseUrl, statementMs: 300 })
    onTestFinished(() => database.close())
    const { db } = database
    await expect(sql`SELECT pg_sleep(30)`.execute(db)).rejects.toThrow(/statement timeout|Query read timeout/)
    const idle = db.transaction().execute(async (trx) => {
      await sql`SELECT 1`.execute(trx)
      await new Promise((resolve) => setTimeout(resolve, 700))
      await sql`SELECT 1`.execute(trx)
    })
    await expect(idle).rejects.toThrow()
    await sql`SELECT 1`.execute(db)
    dead.now = true
    await expect(sql`SELECT 1`.execute(db)).rejects.toThrow('Query read timeout')
  })

  it('lets a migration take its time', async () => {
    const { databaseUrl } = await wire()
    const client = new pg.Client(databaseUrl)
    await client.connect()
    await client.query('CREATE DATABASE slow')
    await client.end()
    const database = await openDatabase({ databaseUrl: databaseUrl.replace(/postgres$/, 'slow'), statementMs: 1 })
    onTestFinished(() => database.close())
    await database.migrate()
    await expect(sql`SELECT pg_sleep(1)`.execute(database.db)).rejects.toThrow()
  })
})

describe('one data directory', () => {
  // A process that opens the directory, says so, and waits to be killed.
  const holder = (dataDir: string) =>
    spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { openDatabase } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/store/db.ts'))})
         const { db } = await openDatabase({ dataDir: ${JSON.stringify(dataDir)} })
         await db.insertInto('lease').values({ name: 'kept', by: 'child', until: 0 }).execute()
         process.stdout.write('open')
         setInterval(() => {}, 1000)`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )

  it('is refused to a second process, with the id of the first; a killed holder is followed at once', async () => {
    const { dataDir } = await embedded.place()
    if (dataDir === undefined) throw new Error('no directory')
    const child = holder(dataDir)
    await once(child.stdout, 'data')
    await expect(openDatabase({ dataDir })).rejects.toThrow(
      new RegExp(`in use by process ${child.pid}\\..*Stop that process first`),
    )
    await expect(openDatabase({ dataDir })).rejects.toBeInstanceOf(DatabaseInUse)
    child.kill('SIGKILL')
    await once(child, 'exit')
    // A third process was quicker: the lock is its own, and its name not written yet.
    const lock = join(dataDir, 'lock')
    renameSync(lock, `${lock}.dead`)
    mkdirSync(lock)
    await expect(openDatabase({ dataDir })).rejects.toBeInstanceOf(DatabaseInUse)
    rmSync(lock, { recursive: true })
    renameSync(`${lock}.dead`, lock)
    const { database } = await openPlace({ dataDir })
    const kept = await database.db.selectFrom('lease').select('by').where('name', '=', 'kept').execute()
    expect(kept).toEqual([{ by: 'child' }])
    // Held by us now; a holder of another machine or container is never declared dead by its id.
    await expect(openDatabase({ dataDir })).rejects.toThrow(`in use by process ${process.pid}.`)
    writeFileSync(join(dataDir, 'holder'), `999999 ${hostname()} elsewhere`)
    await expect(openDatabase({ dataDir })).rejects.toThrow('in use by process 999999.')
  })
})
