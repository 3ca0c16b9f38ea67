// One PGlite behind the shape of a pg Pool, so that Kysely and BullMQ's Postgres backend can share it.
// PGlite is ONE session: a transaction is handed to PGlite's own `transaction`, which lets nobody else in until it ends;
// Kysely's PGlite dialect would not do, its connections share one transaction. LISTEN goes to PGlite's own listeners.
import { EventEmitter } from 'node:events'
import { PGlite, type Transaction } from '@electric-sql/pglite'
import type { PostgresCursor } from 'kysely'

const BEGIN = /^(begin|start\s+transaction)\b/i
const END = /^(?:commit|end|(abort|rollback(?!\s+to)))\b/i
// Unquoted channels only: nobody here uses others.
const LISTEN = /^(un)?listen\s+(\*|\w+)/i
// BullMQ's statements open with comments; without this its LISTEN would be missed and idle workers would poll.
const LEADING_COMMENTS = /^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/

const COMMANDS = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE', 'COMMIT', 'ROLLBACK'] as const

interface Answer<R> {
  rows: R[]
  rowCount: number
  command: (typeof COMMANDS)[number]
}

/** PGlite with word of a panic (no room for its log, most often) before anything else is sent to it, which even a failed
 *  statement does by itself: it would never come back. Whoever is told must end the process. */
export class WatchedPGlite extends PGlite {
  onPanic: (error: Error) => void = () => {}

  override async execProtocolStream(...message: Parameters<PGlite['execProtocolStream']>) {
    return super.execProtocolStream(...message).catch((error: unknown) => {
      if (error instanceof Error && 'severity' in error && error.severity === 'PANIC') this.onPanic(error)
      throw error
    })
  }
}

class Client extends EventEmitter {
  readonly #database: PGlite
  readonly #listening = new Map<string, () => Promise<void>>()
  #open: { readonly tx: Transaction; readonly end: (rollback: boolean) => Promise<void> } | null = null
  #released = false

  constructor(database: PGlite) {
    super()
    this.#database = database
  }

  query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>
  query<R>(text: string, parameters?: readonly unknown[]): Promise<Answer<R>>
  query<R>(query: string | PostgresCursor<R>, parameters?: readonly unknown[]): Promise<Answer<R>> | PostgresCursor<R> {
    if (typeof query !== 'string') throw new Error('cursors are not supported here: page by key')
    return this.#run<R>(query, parameters ?? [])
  }

  async #run<R>(text: string, parameters: readonly unknown[]): Promise<Answer<R>> {
    if (this.#released) throw new Error('this database client was already released')
    const nothing = { rows: [], rowCount: 0, command: COMMANDS[0] }
    const statement = text.replace(LEADING_COMMENTS, '')
    const [, un, channel] = LISTEN.exec(statement) ?? []
    if (channel !== undefined) await (un ? this.#unlisten(channel) : this.#listen(channel))
    else if (BEGIN.test(statement)) await this.#begin()
    else if (this.#open && END.test(statement)) await this.#open.end(END.exec(statement)?.[1] !== undefined)
    else return this.#execute(text, parameters)
    return nothing
  }

  async #execute<R>(text: string, parameters: readonly unknown[]): Promise<Answer<R>> {
    const session = this.#open?.tx ?? this.#database
    const values = parameters.map((value) => (value instanceof Date ? value.toISOString() : value))
    // Without parameters the text may hold several statements: the answer is the last one's, as with pg.
    const result =
      values.length > 0
        ? await session.query<R>(text, values)
        : (await session.exec(text)).map((each) => ({ ...each, rows: each.rows as R[] })).at(-1)
    const command = COMMANDS.find((word) => word === result?.command) ?? 'SELECT'
    return { rows: result?.rows ?? [], rowCount: result?.rowCount ?? 0, command }
  }

  async #begin(): Promise<void> {
    const begun = Promise.withResolvers<Transaction>()
    const ending = Promise.withResolvers<void>()
    const ended = this.#database.transaction((tx) => {
      begun.resolve(tx)
      return ending.promise
    })
    ended.catch(begun.reject)
    const tx = await begun.promise
    const end = async (rollback: boolean) => {
      this.#open = null
      if (rollback) await tx.rollback().then(ending.resolve, ending.reject)
      else ending.resolve()
      await ended
    }
    this.#open = { tx, end }
  }

  async #listen(name: string): Promise<void> {
    if (this.#listening.has(name)) return
    const channel = name.toLowerCase()
    const hear = (payload: string) => this.emit('notification', { channel, payload, processId: 0 })
    this.#listening.set(name, await this.#database.listen(name, hear))
  }

  async #unlisten(name: string): Promise<void> {
    for (const [each, stop] of [...this.#listening]) {
      if (name !== '*' && name !== each) continue
      this.#listening.delete(each)
      await stop()
    }
  }

  /** An unfinished transaction is rolled back, as losing the connection would do. */
  release(): void {
    if (this.#released) return
    this.#released = true
    // Only a database that is being closed refuses this.
    Promise.all([this.#open?.end(true), this.#unlisten('*')]).catch(() => {})
  }
}

/** What Kysely and BullMQ need of a pg Pool; `end` leaves PGlite to its owner. */
export class PGlitePool extends EventEmitter {
  readonly options = { keepAlive: true }
  readonly #database: PGlite

  constructor(database: PGlite) {
    super()
    this.#database = database
    this.setMaxListeners(0) // every BullMQ object adds an `error` listener
  }

  async connect(): Promise<Client> {
    return new Client(this.#database)
  }

  query<R>(text: string, parameters?: readonly unknown[]): Promise<Answer<R>> {
    return new Client(this.#database).query<R>(text, parameters)
  }

  async end(): Promise<void> {}
}
