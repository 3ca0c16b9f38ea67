// One function per kind of call, all through jsforce's Connection, and the one rule of repetition: a read is repeated
// after any transient fault, a write only when Salesforce cannot have acted. A new Connection per call costs
// microseconds and shares no token, signal or refresh with any other call.
import { Connection } from 'jsforce'
import { z } from 'zod'
import type { Gate } from '../../src/connector.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import type { SalesforceCredential } from './auth.ts'
import { BoundedTransport, NoAnswer, type Seen } from './transport.ts'
import { Described, Limits, QueryPage, Retrieved, Saved, Versions } from './wire.ts'

/** Summer '26. Written down, so that a release of Salesforce changes nothing until we have tried it. */
export const API_VERSION = '67.0'
/** Records per collection call (Salesforce: sObject Collections) and ids per retrieve by POST. */
export const WRITE_BATCH = 200
export const READ_BATCH = 2000
const TRIES = 4
const PATIENCE_MS = 10_000
/** The cap counts a sliding 24 hours: a probe now and then finds out when some are free again. */
const DAILY_PAUSE_MS = 15 * 60_000

/** A write without an answer: it may have been applied. */
export class Unknown extends Error {
  override readonly name = 'Unknown'
}
/** The org does not have what was named: a field or object is gone or hidden. Nothing was applied. */
export class Drift extends Error {
  override readonly name = 'Drift'
}
/** The call as a whole was refused, and nothing was applied. */
export class Rejected extends Error {
  override readonly name = 'Rejected'
}

export interface ApiOptions {
  readonly credential: SalesforceCredential
  readonly gate: Gate
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly timeoutMs: number
}

export type Api = ReturnType<typeof createApi>
type Values = Readonly<Record<string, unknown>>

const ApiError = z.object({ errorCode: z.string(), message: z.string() })
const DRIFT =
  /^(?:INVALID_FIELD|INVALID_FIELD_FOR_INSERT_UPDATE|INVALID_TYPE|MALFORMED_QUERY|NOT_FOUND|ERROR_HTTP_404)$/
const DENIED =
  /^(?:API_DISABLED_FOR_ORG|API_CURRENTLY_DISABLED|INSUFFICIENT_ACCESS.*|FUNCTIONALITY_NOT_ENABLED|ERROR_HTTP_403)$/
const TRANSIENT =
  /^(?:SERVER_UNAVAILABLE|QUERY_TIMEOUT|REQUEST_RUNNING_TOO_LONG|UNKNOWN_EXCEPTION|ERROR_HTTP_(?:420|5\d\d))$/

export function createApi({ credential, gate, sleep, timeoutMs }: ApiOptions) {
  /** Throws RetryLater, Fatal, Unknown (writes only), Drift, Rejected, or the signal's reason. */
  async function call<T>(signal: AbortSignal, repeatable: boolean, work: (connection: Connection) => PromiseLike<T>) {
    let renewed = false
    for (let attempt = 1; ; attempt++) {
      await gate.wait(signal)
      const { token, instanceUrl } = await credential.session(signal)
      const transport = new BoundedTransport(signal, timeoutMs)
      try {
        const connection = new Connection({
          instanceUrl,
          accessToken: token,
          version: API_VERSION,
          callOptions: { client: 'unstall' },
        })
        connection._transport = transport
        const answer = await work(connection)
        observe(transport.seen)
        return answer
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof Fatal) throw error
        // jsforce itself refuses before anything is sent: a JWT token for SOAP, a Lightning address as instance.
        if (!transport.seen && !(error instanceof NoAnswer)) {
          const words = error instanceof Error ? error.message : String(error)
          throw new Fatal(/JWT|lightning/i.test(words) ? 'credentials' : 'bug', words, { cause: error })
        }
        const { code, message } = told(error, transport.seen, token)
        const status = transport.seen?.status ?? 0
        observe(transport.seen)
        if (code === 'INVALID_SESSION_ID' || status === 401) {
          credential.expired(token)
          if (renewed) throw new Fatal('credentials', `Salesforce refuses a new token as well: ${message}`)
          renewed = true
          continue
        }
        // The daily cap and the cap of long-running calls share one code; only the words differ.
        const crowded = code === 'REQUEST_LIMIT_EXCEEDED' && /concurrent/i.test(message)
        if (code === 'REQUEST_LIMIT_EXCEEDED' && !crowded) {
          gate.observe({ pauseMs: DAILY_PAUSE_MS })
          throw new RetryLater(`Salesforce's API calls of the day are used up: ${message}`, DAILY_PAUSE_MS)
        }
        if (DRIFT.test(code)) throw new Drift(message)
        if (DENIED.test(code)) throw new Fatal('permission', `Salesforce does not allow this: ${message}`)
        const lost = error instanceof NoAnswer ? error.reached : status >= 500 || status < 300 || TRANSIENT.test(code)
        if (lost && !repeatable) throw new Unknown(message)
        const transient =
          lost || crowded || error instanceof NoAnswer || status === 429 || code === 'UNABLE_TO_LOCK_ROW'
        if (!transient) throw new Rejected(`${message} (${code})`)
        const asked = Number(transport.seen?.headers['retry-after'] ?? Number.NaN) * 1000
        const pause = asked >= 0 ? asked : 500 * 2 ** (attempt - 1)
        if (status === 429) gate.observe({ pauseMs: pause })
        if (pause > PATIENCE_MS || attempt >= TRIES)
          throw new RetryLater(message, Math.max(pause, crowded ? 120_000 : 30_000))
        await sleep(pause, signal)
      }
    }
  }

  let serverTime: number | null = null

  function observe(seen: Seen | null) {
    const date = Date.parse(seen?.headers.date ?? '')
    if (!Number.isNaN(date)) serverTime = date
    const [, used, max] = /api-usage=(\d+)\/(\d+)/.exec(seen?.headers['sforce-limit-info'] ?? '') ?? []
    if (used && max) gate.observe({ remaining: Number(max) - Number(used), max: Number(max) })
  }

  /** Pages of a query; `all` includes deleted and archived rows. A repeated locator throws Fatal('data'). */
  async function* query(soql: string, signal: AbortSignal, all = false) {
    const options = { autoFetch: false, maxFetch: Number.MAX_SAFE_INTEGER, scanAll: all }
    let page = await call(signal, true, async (conn) => QueryPage.parse(await conn.query(soql, options)))
    const locators = new Set<string>()
    for (;;) {
      yield page
      const next = page.nextRecordsUrl
      if (page.done) return
      if (!next || locators.has(next)) throw new Fatal('data', 'Salesforce repeats a page of a query or cuts it short')
      locators.add(next)
      page = await call(signal, true, async (conn) => QueryPage.parse(await conn.queryMore(next)))
    }
  }

  async function save(signal: AbortSignal, count: number, work: (connection: Connection) => Promise<unknown>) {
    const saved = await call(signal, false, async (conn) => {
      const results = Saved.parse(await work(conn))
      if (results.length !== count) throw new TypeError('not one result per record')
      return results
    })
    return saved
  }

  return {
    query,
    /** Salesforce's own clock at its last answer (whole seconds): what "already happened" is measured by. */
    now: () => serverTime,
    describe: (object: string, signal: AbortSignal) =>
      call(signal, true, async (conn) => Described.parse(await conn.describe(object))),
    /** POST, but reads: in the order of `ids`, null for each that is not there or hidden. */
    retrieve: (object: string, ids: string[], fields: string[], signal: AbortSignal) =>
      call(signal, true, async (conn) => Retrieved.parse(await conn.retrieve(object, ids, { fields }))),
    update: (object: string, records: (Values & { readonly Id: string })[], signal: AbortSignal) =>
      save(signal, records.length, (conn) => conn.update(object, records, { allOrNone: false })),
    create: (object: string, records: Values[], signal: AbortSignal) =>
      save(signal, records.length, (conn) => conn.create(object, records, { allOrNone: false })),
    remove: (object: string, ids: string[], signal: AbortSignal) =>
      save(signal, ids.length, (conn) => conn.destroy(object, ids, { allOrNone: false })),
    limits: (signal: AbortSignal) => call(signal, true, async (conn) => Limits.parse(await conn.limits())),
    versions: (signal: AbortSignal) =>
      call(signal, true, async (conn) => Versions.parse(await conn.request('/services/data'))),
    /** Metadata SOAP, at most ten components of one type per call (Salesforce's limit). Setting twice is setting once. */
    readMetadata: (type: 'CustomField' | 'PermissionSet', names: string[], signal: AbortSignal) =>
      call(signal, true, async (conn): Promise<unknown[]> => conn.metadata.read(type, names)),
    upsertMetadata: (type: 'CustomField' | 'PermissionSet', bodies: Values[], signal: AbortSignal) =>
      call(signal, true, async (conn): Promise<unknown[]> => conn.metadata.upsert(type, bodies)),
  }
}

/** Salesforce's code and words, cut and without the token. Bodies that are not its JSON are not shown. */
function told(error: unknown, seen: Seen | null, token: string): { code: string; message: string } {
  if (error instanceof NoAnswer) return { code: '', message: error.message }
  const data = error instanceof Error && 'data' in error && Array.isArray(error.data) ? error.data[0] : error
  const parsed = ApiError.safeParse(data)
  if (!parsed.success)
    return { code: '', message: `Salesforce's answer could not be read (status ${seen?.status ?? 'none'})` }
  const code = parsed.data.errorCode.replace(/^\w+:/, '')
  if (code.startsWith('ERROR_HTTP'))
    return { code, message: `Salesforce answered with status ${seen?.status ?? 'unknown'}` }
  return { code, message: parsed.data.message.replaceAll(token, '…').slice(0, 400) }
}
