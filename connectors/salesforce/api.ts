// One function per kind of call, all through jsforce's Connection, and the one rule of repetition: a read is repeated
// after any transient fault, a write only when Salesforce cannot have acted. A new Connection per call costs
// microseconds and shares no token, signal or refresh with any other call.
// Its core and two of its nine APIs: 6 MB less than all of it.
import 'jsforce/lib/api/metadata.js'
import 'jsforce/lib/api/tooling.js'
import { Connection } from 'jsforce/lib/core.js'
import { z } from 'zod'
import { Unknown } from '../../src/batches.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import type { SalesforceOptions } from './auth.ts'
import { BoundedTransport, NoAnswer, NotSent } from './transport.ts'
import { Composite, Described, Limits, QueryPage, Retrieved, type Row, Saved, Versions } from './wire.ts'

/** Summer '26. Written down, so that a release of Salesforce changes nothing until we have tried it. */
export const API_VERSION = '67.0'
/** Records per collection (Salesforce: sObject Collections), collections per composite call, ids per retrieve by POST. */
export const WRITE_BATCH = 200
export const COLLECTIONS = 5
export const READ_BATCH = 2000
const TRIES = 5
const PATIENCE_MS = 10_000
/** The cap counts a sliding 24 hours: a probe now and then finds out when some are free again. */
const DAILY_PAUSE_MS = 15 * 60_000
const CLOSED_PAUSE_MS = 5_000

/** The org does not have what was named: a field or object is gone or hidden. Nothing was applied. */
export class Drift extends Fatal {
  constructor(message: string) {
    super('schema', message)
  }
}
/** The call as a whole was refused, and nothing was applied. */
export class Rejected extends Fatal {
  constructor(message: string) {
    super('data', message)
  }
}

/** A part of a composite call that failed, with its own status and body. */
class PartFailed extends Error {
  readonly status: number
  readonly data: unknown
  constructor(status: number, data: unknown) {
    super('a part of a composite call failed')
    this.status = status
    this.data = data
  }
}

export type Api = ReturnType<typeof createApi>
export type MetadataType = 'CustomField' | 'PermissionSet' | 'ListView'

/**
 * What a refused or lost call means, by "code status"; the first that fits holds. `busy`: nothing was applied, and it
 * passes by itself. `lost`: it passes by itself, but the server may have acted.
 */
const MEANINGS = [
  [/^INVALID_SESSION_ID | 401$/, 'token'],
  [/^REQUEST_LIMIT_EXCEEDED /, 'limit'],
  [/^INVALID_QUERY_LOCATOR /, 'closed'],
  [/^(INVALID_FIELD|INVALID_FIELD_FOR_INSERT_UPDATE|INVALID_TYPE|MALFORMED_QUERY|NOT_FOUND|ERROR_HTTP_404) /, 'drift'],
  [/^(API_DISABLED_FOR_ORG|API_CURRENTLY_DISABLED|INSUFFICIENT_ACCESS\w*|FUNCTIONALITY_NOT_ENABLED) | 403$/, 'denied'],
  [/^UNABLE_TO_LOCK_ROW | 429$/, 'busy'],
  [/^(SERVER_UNAVAILABLE|QUERY_TIMEOUT|REQUEST_RUNNING_TOO_LONG|UNKNOWN_EXCEPTION) | (2\d\d|420|5\d\d)$/, 'lost'],
] as const

type Options = Pick<SalesforceOptions, 'credential' | 'gate' | 'sleep' | 'timeoutMs' | 'called'>

export function createApi({ credential, gate, sleep, timeoutMs = 30_000, called }: Options) {
  let serverTime: number | null = null

  /** Throws RetryLater, Fatal, Unknown (writes only), Drift, Rejected, or the signal's reason. */
  async function call<T>(
    signal: AbortSignal,
    repeatable: boolean,
    work: (connection: Connection) => PromiseLike<T>,
    patience = 1,
  ) {
    let renewals = 0
    for (let attempt = 1; ; attempt++) {
      const answered = await gate.wait(signal)
      const { token: accessToken, instanceUrl } = await credential.session(signal)
      const transport = new BoundedTransport(signal, timeoutMs * patience)
      try {
        const callOptions = { client: 'unstall' }
        const connection = new Connection({ instanceUrl, accessToken, version: API_VERSION, callOptions })
        connection._transport = transport
        return await work(connection)
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof Fatal) throw error
        const { meaning, message } = told(error, transport, accessToken)
        if (meaning === 'token') {
          credential.expired(accessToken)
          // One that another process renewed may have been near its own end.
          if (++renewals > 2) throw new Fatal('credentials', `Salesforce refuses a new token as well: ${message}`)
          continue
        }
        // The daily cap and the cap of long-running calls share one code; only the words differ.
        if (meaning === 'limit' && !/concurrent/i.test(message)) {
          gate.observe({ pauseMs: DAILY_PAUSE_MS })
          throw new RetryLater(`Salesforce's API calls of the day are used up: ${message}`, DAILY_PAUSE_MS)
        }
        if (meaning === 'drift') throw new Drift(message)
        // It keeps a user's ten latest queries open, and none for ever: whoever reads goes on behind what is stored.
        if (meaning === 'closed')
          throw new RetryLater(`Salesforce closed a query before its end: ${message}`, CLOSED_PAUSE_MS)
        if (meaning === 'denied') throw new Fatal('permission', `Salesforce does not allow this: ${message}`)
        if (meaning === 'rejected') throw new Rejected(message)
        if (meaning === 'lost' && !repeatable) throw new Unknown(message)
        const asked = Number(transport.seen?.headers['retry-after'] ?? Number.NaN) * 1000
        const pause = asked >= 0 ? asked : 500 * 2 ** (attempt - 1)
        // Told to wait, or too much at once: that is meant for every call.
        if (asked >= 0 || meaning === 'limit' || transport.seen?.status === 429) gate.observe({ pauseMs: pause })
        if (pause > PATIENCE_MS || attempt >= TRIES)
          throw new RetryLater(message, Math.max(pause, meaning === 'limit' ? 120_000 : 30_000))
        await sleep(pause, signal)
      } finally {
        answered()
        learn(transport, signal.aborted)
      }
    }
  }

  const read = <T>(schema: z.ZodType<T>, signal: AbortSignal, work: (connection: Connection) => PromiseLike<unknown>) =>
    call(signal, true, async (connection) => schema.parse(await work(connection)))

  function learn({ seen }: BoundedTransport, aborted: boolean) {
    const [, used, max] = /api-usage=(\d+)\/(\d+)/.exec(seen?.headers['sforce-limit-info'] ?? '') ?? []
    const left = Number(max) - Number(used)
    if (seen || !aborted) called?.({ status: seen?.status ?? null, ...(left >= 0 && { leftToday: left }) })
    const date = Date.parse(seen?.headers.date ?? '')
    if (!Number.isNaN(date)) serverTime = date
    if (left >= 0) gate.observe({ day: { left, max: Number(max) } })
  }

  /** Pages of a query; `all` includes deleted and archived rows. A repeated locator throws Fatal('data'). */
  async function* query(soql: string, signal: AbortSignal, all = false) {
    const options = { autoFetch: false, maxFetch: Number.MAX_SAFE_INTEGER, scanAll: all }
    yield* pagesFrom(await read(QueryPage, signal, (conn) => conn.query(soql, options)), signal)
  }
  async function* pagesFrom(first: QueryPage, signal: AbortSignal) {
    let page = first
    for (const locators = new Set<string>(); ; ) {
      yield page
      const next = page.nextRecordsUrl
      if (page.done) return
      if (!next || locators.has(next)) throw new Fatal('data', 'Salesforce repeats a page of a query or cuts it short')
      locators.add(next)
      page = await read(QueryPage, signal, (conn) => conn.queryMore(next))
    }
  }

  const rowsFrom = async (pages: AsyncIterable<QueryPage>) => (await gather(pages)).flatMap(({ records }) => records)

  return {
    query,
    /** Salesforce's own clock at its last answer (whole seconds): what "already happened" is measured by. */
    now: () => serverTime,
    /** A small table as a whole. */
    rows: (soql: string, signal: AbortSignal) => rowsFrom(query(soql, signal)),
    /** Objects described, and small tables as a whole, at most five: one call and one more for each further page. Drift in
     *  place of what the org lacks. */
    async outline(objects: readonly string[], tables: readonly string[], signal: AbortSignal) {
      const described = objects.map((name) => `/sobjects/${name}/describe`)
      const queries = tables.map((soql) => `/query?q=${encodeURIComponent(soql)}`)
      const parts = [...described, ...queries].map((path): Part => ({ method: 'GET', path }))
      const first = await call(signal, true, async (conn) => {
        const known = (await composite(conn, parts)).map(({ status, body }) => {
          if (status < 300) return { body }
          const { meaning, message } = judged(body, status, conn.accessToken ?? '')
          if (meaning !== 'drift') throw new PartFailed(status, body)
          return new Drift(message)
        })
        const parsed = <T>(schema: z.ZodType<T>, from: number, to?: number) =>
          known.slice(from, to).map((one) => (one instanceof Drift ? one : schema.parse(one.body)))
        return { objects: parsed(Described, 0, objects.length), tables: parsed(QueryPage, objects.length) }
      })
      const whole = first.tables.map((one) => (one instanceof Drift ? one : rowsFrom(pagesFrom(one, signal))))
      return { objects: first.objects, tables: await Promise.all(whole) }
    },
    describe: (object: string, signal: AbortSignal) => read(Described, signal, (conn) => conn.describe(object)),
    /** POST, but reads: in the order of `ids`, null for each that is not there or hidden. */
    retrieve: (object: string, ids: string[], fields: string[], signal: AbortSignal) =>
      read(Retrieved, signal, (conn) => conn.retrieve(object, ids, { fields })),
    /** What the org serves, oldest first. */
    versions: (signal: AbortSignal) => read(Versions, signal, (conn) => conn.request('/services/data')),
    /** The first page of a query of the set-up's own tables. */
    tooling: async (soql: string, signal: AbortSignal) =>
      (await read(QueryPage, signal, (conn) => conn.tooling.query(soql, { autoFetch: false }))).records,
    limits: (signal: AbortSignal) => read(Limits, signal, (conn) => conn.limits()),
    /** Metadata SOAP, at most ten components of one type per call (Salesforce's limit). Setting twice is setting once. */
    readMetadata: (type: MetadataType, names: string[], signal: AbortSignal) =>
      read(z.array(z.unknown()), signal, (conn) => conn.metadata.read(type, names)),
    upsertMetadata: (type: MetadataType, bodies: object[], signal: AbortSignal) =>
      read(z.array(z.unknown()), signal, (conn) => conn.metadata.upsert(type, bodies)),
    deleteMetadata: (type: MetadataType, names: string[], signal: AbortSignal) =>
      read(z.array(z.unknown()), signal, (conn) => conn.metadata.delete(type, names)),
    left: () => gate.left(),
    /** One result per record, in order. Deleting takes the records' `Id`. */
    save: (verb: Verb, object: string, records: readonly Row[], signal: AbortSignal) =>
      call(signal, false, async (conn) =>
        Saved.length(records.length).parse(await ask(conn, collection(verb, object, records))),
      ),
    /** Requests of at most 200 records, at most five, by one call, and of each its results or what is true of all of its
     *  records: Drift, Rejected, RetryLater (nothing was applied) or Unknown. */
    async saveAll(
      verb: Verb,
      object: string,
      requests: readonly Row[][],
      signal: AbortSignal,
    ): Promise<readonly Answer[]> {
      const parts = requests.map((records) => collection(verb, object, records))
      const size = (at: number) => Saved.length(requests[at]?.length ?? 0)
      const told = (conn: Connection, { status, body }: { status: number; body: unknown }, at: number): Answer => {
        if (status < 300) return size(at).safeParse(body).data ?? new Unknown('a part of the answer could not be read')
        const { meaning, message } = judged(body, status, conn.accessToken ?? '')
        if (meaning === 'lost') return new Unknown(message)
        if (meaning === 'drift') return new Drift(message)
        return meaning === 'rejected' || meaning === 'denied' ? new Rejected(message) : new RetryLater(message, 0)
      }
      const work = async (conn: Connection): Promise<readonly Answer[]> => {
        const [only] = parts
        if (only && parts.length === 1) return [size(0).parse(await ask(conn, only))]
        return (await composite(conn, parts)).map((part, at) => told(conn, part, at))
      }
      const answers = await call(signal, false, work, parts.length).catch((error: unknown) => {
        if (error instanceof Drift || error instanceof Rejected) return parts.map(() => error)
        throw error
      })
      const silent = answers.filter((one) => one instanceof Unknown)
      if (silent[0] && silent.length === answers.length) throw silent[0]
      return answers
    },
  }
}

/** What became of one request. */
export type Answer = readonly Saved[] | Drift | Rejected | RetryLater | Unknown
type Verb = 'create' | 'update' | 'destroy'
interface Part {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly body?: object
}

function collection(verb: Verb, type: string, records: readonly Row[]): Part {
  const path = '/composite/sobjects'
  if (verb === 'destroy') return { method: 'DELETE', path: `${path}?ids=${records.map(({ Id }) => Id).join()}` }
  const wire = records.map(({ Id: id, ...values }) => ({ attributes: { type }, id, ...values }))
  return { method: verb === 'create' ? 'POST' : 'PATCH', path, body: { allOrNone: false, records: wire } }
}

const ask = (connection: Connection, { method, path: url, body }: Part) =>
  connection.request(
    body
      ? { method, url, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
      : { method, url },
  )

/** Several calls that count as one, in their order (by itself Salesforce would choose one). Without an answer: 500. */
async function composite(connection: Connection, parts: readonly Part[]) {
  const compositeRequest = parts.map(({ path, ...part }, at) => ({
    ...{ ...part, url: `/services/data/v${API_VERSION}${path}`, referenceId: `part${at}` },
  }))
  const asked = { allOrNone: false, collateSubrequests: false, compositeRequest }
  const { compositeResponse } = Composite.parse(
    await ask(connection, { method: 'POST', path: '/composite', body: asked }),
  )
  // Only where no part has an answer of its own: else some may have been applied.
  const [refusal] = compositeResponse.every(({ referenceId }) => referenceId === null) ? compositeResponse : []
  if (refusal) throw new PartFailed(refusal.httpStatusCode, refusal.body)
  const answers = new Map(compositeResponse.map((one) => [one.referenceId, one]))
  return parts.map((_, at) => {
    const { httpStatusCode: status, body } = answers.get(`part${at}`) ?? { httpStatusCode: 500, body: null }
    return { status, body }
  })
}

export async function gather<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of source) all.push(one)
  return all
}

const ApiError = z.object({ errorCode: z.string(), message: z.string() })

/** What an error means, in Salesforce's words, cut and without the token. Bodies that are not its JSON are not shown. */
function told(error: unknown, { seen }: BoundedTransport, token: string) {
  if (error instanceof NoAnswer)
    return { meaning: error instanceof NotSent ? 'busy' : 'lost', message: error.message } as const
  if (!seen) {
    // jsforce itself refuses before anything is sent: a JWT token for SOAP, a Lightning address as instance.
    const words = error instanceof Error ? error.message : String(error)
    throw new Fatal(/JWT|lightning/i.test(words) ? 'credentials' : 'bug', words, { cause: error })
  }
  if (error instanceof PartFailed) return judged(error.data, error.status, token)
  return judged(error instanceof Error && 'data' in error ? error.data : error, seen.status, token)
}

/** What a body that tells an error means, with its status. */
function judged(body: unknown, status: number, token: string) {
  const parsed = ApiError.safeParse(Array.isArray(body) ? body[0] : body).data
  const code = parsed?.errorCode.replace(/^\w+:/, '') ?? ''
  const meaning = MEANINGS.find(([pattern]) => pattern.test(`${code} ${status}`))?.[1] ?? 'rejected'
  if (!parsed || code.startsWith('ERROR_HTTP'))
    return { meaning, message: `Salesforce's answer could not be read (status ${status})` }
  return { meaning, message: `${parsed.message.replaceAll(token, '…').slice(0, 400)} (${code})` }
}
