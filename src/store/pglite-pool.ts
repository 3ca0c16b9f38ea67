// One PGlite behind the shape of a pg Pool, so that Kysely and BullMQ's Postgres backend can share it.
// PGlite is ONE session: a client that begins a transaction holds the turn until it commits or rolls back; every other
// statement takes a turn of its own. LISTEN is diverted to PGlite's own listeners and never holds a turn.
import { EventEmitter } from 'node:events'
import type { PGlite } from '@electric-sql/pglite'
import type { PostgresCursor } from 'kysely'

const BEGIN = /^(begin|start\s+transaction)\b/i
const END = /^(commit|end|abort|rollback(?!\s+to))\b/i
// Unquoted channels only: nobody here uses others.
const LISTEN = /^(un)?listen\s+(\*|\w+)/i
// BullMQ's statements open with comments; without this its LISTEN would be missed and idle workers would poll.
const LEADING_COMMENTS = /^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/

const COMMANDS = ['INSERT', 'UPDATE', 'DELETE', 'MERGE', 'SELECT', 'COMMIT', 'ROLLBACK'] as const

interface Answer<R> {
  rows: R[]
  rowCount: number
  command: (typeof COMMANDS)[number]
}

/** First come, first served: resolves to the function that gives the turn back. */
type Turns = () => Promise<() => void>

function turns(): Turns {
  let last: Promise<void> = Promise.resolve()
  return () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const turn = last.then(() => resolve)
    last = promise
    return turn
  }
}

class Client extends EventEmitter {
  // In-process, a connection cannot drop silently: BullMQ may block for long.
  readonly connection = { stream: { setKeepAlive() {} } }
  readonly #database: PGlite
  readonly #turn: Turns
  readonly #listening = new Map<string, () => Promise<void>>()
  #giveBack: (() => void) | null = null
  #released = false

  constructor(database: PGlite, turn: Turns) {
    super()
    this.#database = database
    this.#turn = turn
  }

  query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>
  query<R>(text: string, parameters?: readonly unknown[]): Promise<Answer<R>>
  query<R>(query: string | PostgresCursor<R>, parameters?: readonly unknown[]): Promise<Answer<R>> | PostgresCursor<R> {
    if (typeof query !== 'string') throw new Error('cursors are not supported here: page by key')
    return this.#run<R>(query, parameters ?? [])
  }

  async #run<R>(text: string, parameters: readonly unknown[]): Promise<Answer<R>> {
    if (this.#released) throw new Error('this database client was already released')
    const statement = text.replace(LEADING_COMMENTS, '')
    const listen = LISTEN.exec(statement)
    if (listen?.[2] !== undefined) {
      await (listen[1] ? this.#unlisten(listen[2]) : this.#listen(listen[2]))
      return { rows: [], rowCount: 0, command: 'SELECT' }
    }
    if (BEGIN.test(statement)) this.#giveBack ??= await this.#turn()
    if (this.#giveBack) {
      try {
        return await this.#execute<R>(text, parameters)
      } finally {
        if (END.test(statement)) this.#endTurn()
      }
    }
    const giveBack = await this.#turn()
    try {
      return await this.#execute<R>(text, parameters)
    } finally {
      giveBack()
    }
  }

  async #execute<R>(text: string, parameters: readonly unknown[]): Promise<Answer<R>> {
    const values = parameters.map((value) => (value instanceof Date ? value.toISOString() : value))
    // Without parameters the text may hold several statements: the answer is the last one's, as with pg.
    const result =
      values.length > 0
        ? await this.#database.query<R>(text, values)
        : (await this.#database.exec(text)).map((each) => ({ ...each, rows: each.rows as R[] })).at(-1)
    const command = COMMANDS.find((word) => word === result?.command) ?? 'SELECT'
    return { rows: result?.rows ?? [], rowCount: result?.rowCount ?? 0, command }
  }

  async #listen(name: string): Promise<void> {
    if (this.#listening.has(name)) return
    const channel = name.toLowerCase()
    // PGlite issues a statement of its own here: it must not land inside someone's transaction.
    const giveBack = await this.#turn()
    try {
      const stop = await this.#database.listen(name, (payload) =>
        this.emit('notification', { channel, payload, processId: 0 }),
      )
      this.#listening.set(name, () => stop())
    } finally {
      giveBack()
    }
  }

  async #unlisten(name: string): Promise<void> {
    for (const [each, stop] of [...this.#listening]) {
      if (name !== '*' && name !== each) continue
      this.#listening.delete(each)
      const giveBack = await this.#turn()
      await stop().finally(giveBack)
    }
  }

  #endTurn(): void {
    const giveBack = this.#giveBack
    this.#giveBack = null
    giveBack?.()
  }

  /** An unfinished transaction is rolled back, as losing the connection would do. */
  release(): void {
    if (this.#released) return
    this.#released = true
    const failed = (error: unknown) => this.emit('released', error)
    if (this.#giveBack)
      this.#database.exec('ROLLBACK').then(
        () => this.#endTurn(),
        (error) => {
          this.#endTurn()
          failed(error)
        },
      )
    this.#unlisten('*').catch(failed)
  }
}

/** What Kysely and BullMQ need of a pg Pool; `end` leaves PGlite to its owner. */
export class PGlitePool extends EventEmitter {
  readonly options = { keepAlive: true }
  readonly #database: PGlite
  readonly #turn = turns()

  constructor(database: PGlite) {
    super()
    this.#database = database
    this.setMaxListeners(0) // every BullMQ object adds an `error` listener
  }

  async connect(): Promise<Client> {
    const client = new Client(this.#database, this.#turn)
    this.emit('connect', client)
    return client
  }

  async query<R>(text: string, parameters?: readonly unknown[]): Promise<Answer<R>> {
    const client = await this.connect()
    try {
      return await client.query<R>(text, parameters)
    } finally {
      client.release()
    }
  }

  async end(): Promise<void> {}
}
