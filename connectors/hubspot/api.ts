// HubSpot's API, one function per endpoint, over @hubspot/api-client as authenticated transport. Pace, timeout, abort,
// retries and parsing are ours, because the client has none that fit (hubspot.md 1.3): its limiter and retries are
// process-wide and repeat creates. Reads are repeated; a write only when HubSpot cannot have acted on it.
import { Client } from '@hubspot/api-client'
import { Request } from '@hubspot/api-client/lib/src/services/http/Request.js'
import type { z } from 'zod'
import type { ConnectorOptions } from '../../src/connector.ts'
import type { Instant } from '../../src/core/deal.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import * as wire from './wire.ts'

/** Date-versioned paths (`/2026-03/` is the fallback), one constant per API family. */
const OBJECTS = '/crm/objects/2026-09'
const PROPERTIES = '/crm/properties/2026-09'
const PIPELINES = '/crm/pipelines/2026-09'
const OWNERS = '/crm/owners/2026-09'
const ASSOCIATIONS = '/crm/associations/2026-09'
const ACCOUNT = '/account-info/2026-09/details'

const TRIES = 5
/** A longer wait leaves the process as RetryLater. */
const PATIENCE_MS = 10_000
const OUTAGE_PAUSE_MS = 60_000
const DAY_PAUSE_MS = 3_600_000
/** HubSpot did not act, and says nothing about how long: [why, wait]. */
const BUSY: Readonly<Record<number, readonly [string, number]>> = {
  423: ['HubSpot has locked the record', 2000],
  429: ["HubSpot's rate limit is reached", 1000],
  477: ['HubSpot is moving this account', DAY_PAUSE_MS],
}
/** Connection errors after which the request cannot have reached HubSpot (Node and undici codes). */
const NEVER_LEFT = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/

/** HubSpot refused the call for what it says: nothing was applied. Fatal, unless a record is at fault. */
export class Refusal extends Fatal {
  readonly status: number
  readonly problem: wire.Problem
  /** HubSpot's own. */
  readonly words: string
  constructor(status: number, problem: wire.Problem) {
    const words = problem.message ?? 'it does not say why'
    super('data', `HubSpot refused the call (${status}): ${words}`)
    this.status = status
    this.problem = problem
    this.words = words
  }
}

/** A write that got no usable answer: it may have been applied or not. */
export class Unknown extends Error {
  override readonly name = 'Unknown'
}

/** GET without a body, else POST. `optional`: 404 is null. */
interface Ask {
  readonly path: string
  readonly query?: Record<string, string>
  readonly body?: unknown
  readonly kind?: 'search' | 'write' | 'optional'
}
interface Again {
  readonly why: string
  readonly waitMs?: number | undefined
}

/** The SDK's client, sending its own requests with a signal and without following redirects, past the decorators that
 *  any other client in the process can replace. */
class Transport extends Client {
  send({ path, query, body }: Ask, token: string, signal: AbortSignal): Promise<Response> {
    const request = new Request(this.config, {
      method: body === undefined ? 'GET' : 'POST',
      path,
      authType: 'none',
      headers: { Authorization: `Bearer ${token}` },
      ...(query && { qs: query }),
      ...(body !== undefined && { body }),
    })
    return fetch(request.getUrl(), { ...request.getSendData(), redirect: 'manual', signal })
  }
}

export type Api = ReturnType<typeof createApi>
type ObjectType = 'deals' | 'tasks'

/** Every function throws RetryLater (nothing was applied), Fatal, the abort reason, and of writes Unknown. */
export function createApi(options: ConnectorOptions) {
  const transport = new Transport({ basePath: options.baseUrl, numberOfApiCallRetries: 0 })
  let leftToday: number | null = null
  let clock: Instant | null = null

  async function call<T>(schema: z.ZodType<T>, signal: AbortSignal, ask: Ask): Promise<T> {
    const lane = ask.kind === 'search' ? 'search' : undefined
    let renewed = false
    for (let attempt = 1; ; attempt++) {
      await options.gate.wait(signal, lane)
      const token = await options.credential.token(signal)
      // Node puts an impossible header value, and so the token, into its error text.
      if (!/^[\x21-\x7e]+$/.test(token)) throw new Fatal('credentials', 'the HubSpot token is not a token')
      const answer = await once(schema, signal, ask, lane, token)
      if (answer === 'expired') {
        options.credential.expired(token)
        if (renewed) throw new Fatal('credentials', 'HubSpot does not accept a token it has just issued')
        renewed = true
        continue
      }
      if ('data' in answer) return answer.data
      const { why, waitMs = 500 * 2 ** (attempt - 1) } = answer
      if (waitMs > PATIENCE_MS) throw new RetryLater(why, waitMs)
      if (attempt >= TRIES) throw new RetryLater(why, OUTAGE_PAUSE_MS)
      options.warn?.('HubSpot: trying again', { path: ask.path, attempt, waitMs, why })
      await options.sleep(waitMs, signal)
    }
  }

  async function once<T>(
    schema: z.ZodType<T>,
    signal: AbortSignal,
    ask: Ask,
    lane: 'search' | undefined,
    token: string,
  ): Promise<{ readonly data: T } | Again | 'expired'> {
    const { path, kind } = ask
    let response: Response
    let text: string
    try {
      const timeout = AbortSignal.timeout(options.timeoutMs ?? 30_000)
      response = await transport.send(ask, token, AbortSignal.any([signal, timeout]))
      text = await response.text()
    } catch (error) {
      signal.throwIfAborted()
      const why = `no answer from HubSpot (${code(error)})`
      if (kind === 'write' && !NEVER_LEFT.test(code(error))) throw new Unknown(why, { cause: error })
      return { why }
    }
    const { status } = response
    const asked = learn(response, lane)
    const absent = status === 404 && kind === 'optional'
    const json = absent ? null : parse(text)
    if (response.ok || absent) {
      const { data, error } = schema.safeParse(json)
      if (!error) return { data }
      const why = `HubSpot answered ${path} with something that is not ${json === undefined ? 'JSON' : 'its format'}`
      if (kind === 'write') throw new Unknown(why)
      if (json === undefined) return { why }
      throw new Fatal('data', why, { cause: error })
    }
    const problem = wire.Problem.safeParse(json).data ?? {}
    const busy = BUSY[status]
    if (busy) {
      const [why, usual] = busy
      const waitMs = asked ?? (/daily/i.test(`${problem.policyName} ${problem.message}`) ? DAY_PAUSE_MS : usual)
      if (status === 429) options.gate.observe({ pauseMs: waitMs }, lane)
      return { why, waitMs }
    }
    // 530: what a malformed token yields (Airbyte).
    if (status === 401 || status === 530) return 'expired'
    if (status === 403) throw new Fatal('permission', forbidden(problem, path))
    if (status < 400) throw new Fatal('data', `HubSpot answered ${path} with a redirect: check baseUrl`)
    if (status < 500 && status !== 408) throw new Refusal(status, problem)
    const why = `HubSpot answered ${status}`
    if (kind === 'write') throw new Unknown(why)
    return { why, waitMs: asked }
  }

  /** Learns clock and budget from an answer's headers; returns the wait it asks for. */
  function learn({ headers, status }: Response, lane: 'search' | undefined): number | undefined {
    const number = (name: string) => Number(headers.get(name) || Number.NaN)
    const limit = (name: string) => number(`x-hubspot-ratelimit-${name}`)
    const [daily, remaining, max, windowMs] = [
      limit('daily-remaining'),
      limit('remaining'),
      limit('max'),
      limit('interval-milliseconds'),
    ]
    if (daily >= 0) leftToday = daily
    const known = { ...(remaining >= 0 && { remaining }), ...(max > 0 && windowMs > 0 && { max, windowMs }) }
    // Search has a budget of its own, of which the headers do not tell.
    if (status !== 429) options.gate.observe(lane === 'search' ? {} : known, lane)
    clock = Date.parse(headers.get('date') ?? '') || clock
    const seconds = number('retry-after')
    const until = Date.parse(headers.get('retry-after') ?? '')
    const waitMs = Number.isNaN(seconds) ? until - (clock ?? options.clock()) : seconds * 1000
    return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs)
  }

  const get = <T>(schema: z.ZodType<T>, signal: AbortSignal, path: string, query: Record<string, string> = {}) =>
    call(schema, signal, { path, query })

  return {
    /** Calls left today, where the last answers said so (never for OAuth). */
    leftToday: () => leftToday,
    /** HubSpot's clock at its last answer (whole seconds). */
    clock: () => clock,
    account: (signal: AbortSignal) => get(wire.Account, signal, ACCOUNT),
    pipelines: async (signal: AbortSignal) => (await get(wire.Pipelines, signal, `${PIPELINES}/deals`)).results,
    owners: (archived: boolean, after: string | null, signal: AbortSignal) =>
      get(wire.Owners, signal, OWNERS, { limit: '100', archived: `${archived}`, ...(after && { after }) }),
    properties: async (signal: AbortSignal) => (await get(wire.Properties, signal, `${PROPERTIES}/deals`)).results,
    property: (object: ObjectType, name: string, signal: AbortSignal) =>
      call(wire.Property.nullable(), signal, { path: `${PROPERTIES}/${object}/${name}`, kind: 'optional' }),
    groups: async (object: ObjectType, signal: AbortSignal) =>
      (await get(wire.Groups, signal, `${PROPERTIES}/${object}/groups`)).results,
    /** Creating a definition twice is a refusal (409), so it may be repeated. */
    define: (object: ObjectType, what: 'property' | 'group', body: unknown, signal: AbortSignal) =>
      call(wire.Nothing, signal, { path: `${PROPERTIES}/${object}${what === 'group' ? '/groups' : ''}`, body }),
    list: (object: ObjectType, query: Record<string, string>, signal: AbortSignal) =>
      get(wire.RecordPage, signal, `${OBJECTS}/${object}`, query),
    search: (body: unknown, signal: AbortSignal) =>
      call(wire.RecordPage, signal, { path: `${OBJECTS}/deals/search`, body, kind: 'search' }),
    /** 100 ids a call, 50 with history (the latter not in the specification). */
    batchRead: (object: ObjectType, ids: readonly string[], what: object, signal: AbortSignal) => {
      const body = { inputs: ids.map((id) => ({ id })), propertiesWithHistory: [], ...what }
      return call(wire.Batch, signal, { path: `${OBJECTS}/${object}/batch/read`, body })
    },
    deal: (id: string, signal: AbortSignal) =>
      call(wire.CrmRecord.nullable(), signal, { path: `${OBJECTS}/deals/${encodeURIComponent(id)}`, kind: 'optional' }),
    tasksOfDeals: async (inputs: readonly { id: string; after?: string }[], signal: AbortSignal) =>
      (await call(wire.Associations, signal, { path: `${ASSOCIATIONS}/deals/tasks/batch/read`, body: { inputs } }))
        .results,
    batchWrite: (
      object: ObjectType,
      verb: 'update' | 'create' | 'archive',
      inputs: readonly unknown[],
      signal: AbortSignal,
    ) => call(wire.Batch, signal, { path: `${OBJECTS}/${object}/batch/${verb}`, body: { inputs }, kind: 'write' }),
  }
}

/** Whatever `work` has begun ends with it: a failed call leaves no siblings trying on in the background. */
export async function scoped<T>(signal: AbortSignal, work: (inner: AbortSignal) => Promise<T>): Promise<T> {
  const scope = new AbortController()
  try {
    return await work(AbortSignal.any([signal, scope.signal]))
  } finally {
    scope.abort()
  }
}

/**
 * Pages from a position on, the next one asked for while one is being worked on. Only HubSpot's tokens are used, never
 * its links. Throws Fatal for a position that repeats.
 */
export async function* pages<T extends { readonly paging?: wire.RecordPage['paging'] }>(
  signal: AbortSignal,
  ask: (position: string | null, inner: AbortSignal) => Promise<T>,
  start: string | null = null,
  nextOf = (page: T): string | null => page.paging?.next?.after ?? null,
) {
  const ahead = new AbortController()
  const inner = AbortSignal.any([signal, ahead.signal])
  const seen = new Set([start])
  try {
    for (let work: Promise<T> | null = ask(start, inner); work !== null; ) {
      const page: T = await work
      const next = nextOf(page)
      if (next !== null && seen.has(next)) throw new Fatal('data', 'HubSpot repeats a page: it would never end')
      seen.add(next)
      work = next === null ? null : ask(next, inner)
      // It may fail before anybody waits for it.
      work?.catch(() => {})
      yield { page, next }
    }
  } finally {
    ahead.abort()
  }
}

function code(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return 'it took too long'
  const cause = error instanceof Error ? (error.cause ?? error) : error
  return typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : 'connection lost'
}

/** Undefined: not JSON. No body counts as an empty answer. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text || '{}')
  } catch {
    return undefined
  }
}

/** Names the scopes, wherever the answer puts them (`context.requiredGranularScopes`, `errors[].context.missingScopes` …). */
function forbidden(problem: wire.Problem, path: string): string {
  const scopes = [...new Set(JSON.stringify(problem).match(/\bcrm\.[a-z.]+[a-z]/g))]
  const need = scopes.length > 0 ? `the scope ${scopes.join(' or ')} is missing` : (problem.message ?? 'not allowed')
  return `HubSpot does not allow ${path}: ${need}. Add it to the service key or app and connect again.`
}
