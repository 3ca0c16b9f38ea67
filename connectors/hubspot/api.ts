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
const DAY_PAUSE_MS = 3_600_000
const OUTAGE_PAUSE_MS = 60_000

/** HubSpot refused the call for what it says: nothing was applied. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly status: number
  readonly problem: wire.Problem
  constructor(status: number, problem: wire.Problem) {
    super(problem.message ?? `HubSpot answered ${status}`)
    this.status = status
    this.problem = problem
  }
}

/** A write that got no usable answer: it may have been applied or not. */
export class Unknown extends Error {
  override readonly name = 'Unknown'
}

interface Ask {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly query?: Record<string, string>
  readonly body?: unknown
  readonly lane?: 'search'
  readonly write?: true
}

/** One call's answer; `at`: HubSpot's clock when it answered. */
export interface Answer<T> {
  readonly data: T
  readonly at: Instant | null
}

/** The SDK's client, sending its own requests with a signal and without following redirects, past the decorators that
 *  any other client in the process can replace. */
class Transport extends Client {
  send(ask: Ask, token: string, signal: AbortSignal): Promise<Response> {
    const request = new Request(this.config, {
      method: ask.method,
      path: ask.path,
      authType: 'none',
      headers: { Authorization: `Bearer ${token}` },
      ...(ask.query ? { qs: ask.query } : {}),
      ...(ask.body === undefined ? {} : { body: ask.body }),
    })
    return fetch(request.getUrl(), { ...request.getSendData(), redirect: 'manual', signal })
  }
}

export type Api = ReturnType<typeof createApi>

/** Every function throws RetryLater (nothing was applied), Fatal, the abort reason, Refusal, and of writes Unknown. */
export function createApi(options: ConnectorOptions) {
  const transport = new Transport({ basePath: options.baseUrl, numberOfApiCallRetries: 0 })
  /** Calls left today, where the last answer said so (never for OAuth). */
  let leftToday: number | null = null

  async function call<T>(ask: Ask, schema: z.ZodType<T>, signal: AbortSignal): Promise<Answer<T>> {
    let refreshed = false
    for (let attempt = 1; ; attempt++) {
      await options.gate.wait(signal, ask.lane)
      const token = await options.credential.token(signal)
      // Node puts an impossible header value, and so the token, into its error text.
      if (!/^[\x21-\x7e]+$/.test(token)) throw new Fatal('credentials', 'the HubSpot token is not a token')
      const outcome = await once(ask, schema, token, signal)
      if ('data' in outcome) return outcome
      if (outcome.again === 'token') {
        options.credential.expired(token)
        if (refreshed) throw new Fatal('credentials', 'HubSpot does not accept a token it has just issued')
        refreshed = true
        continue
      }
      const wait = outcome.waitMs ?? 500 * 2 ** (attempt - 1)
      if (wait > PATIENCE_MS) throw new RetryLater(outcome.again, wait)
      if (attempt >= TRIES) throw new RetryLater(outcome.again, OUTAGE_PAUSE_MS)
      options.warn?.('HubSpot: trying again', { path: ask.path, attempt, waitMs: wait, why: outcome.again })
      await options.sleep(wait, signal)
    }
  }

  async function once<T>(
    ask: Ask,
    schema: z.ZodType<T>,
    token: string,
    signal: AbortSignal,
  ): Promise<Answer<T> | { readonly again: string; readonly waitMs?: number }> {
    let response: Response
    let text: string
    try {
      const timeout = AbortSignal.timeout(options.timeoutMs ?? 30_000)
      response = await transport.send(ask, token, AbortSignal.any([signal, timeout]))
      text = await response.text()
    } catch (error) {
      signal.throwIfAborted()
      const why = `no answer from HubSpot: ${reason(error)}`
      if (ask.write && !NEVER_LEFT.has(code(error))) throw new Unknown(why, { cause: error })
      return { again: why }
    }
    const { status } = response
    const seen = learn(response, ask)
    if (response.ok) {
      const data = decode(schema, text)
      if (data.success) return { data: data.data, at: seen.at }
      if (ask.write) throw new Unknown('HubSpot answered something that is not its format')
      if (data.json) throw new Fatal('data', `HubSpot answered ${ask.path} in an unknown format: ${data.why}`)
      return { again: `HubSpot answered ${ask.path} with something that is not JSON` }
    }
    const parsed = decode(wire.Problem, text)
    const problem: wire.Problem = parsed.success ? parsed.data : {}
    if (status === 429) {
      const daily = /daily/i.test(`${problem.policyName} ${problem.message}`)
      const pauseMs = seen.retryAfterMs ?? (daily ? DAY_PAUSE_MS : 1000)
      options.gate.observe({ pauseMs }, ask.lane)
      return { again: `HubSpot's ${daily ? 'daily ' : ''}rate limit is reached`, waitMs: pauseMs }
    }
    // 530: what a malformed token yields (Airbyte).
    if (status === 401 || status === 530) return { again: 'token' }
    if (status === 403) throw new Fatal('permission', forbidden(problem, ask.path))
    if (status >= 300 && status < 400) {
      throw new Fatal('data', `HubSpot answered ${ask.path} with a redirect, which is not followed: check baseUrl`)
    }
    // 423: locked for a moment; 477: the portal is being migrated. Neither acts.
    if (status === 423) return { again: 'HubSpot has locked the record', waitMs: seen.retryAfterMs ?? 2000 }
    if (status === 477) return { again: 'HubSpot is moving this account', waitMs: seen.retryAfterMs ?? DAY_PAUSE_MS }
    if (status >= 500 || status === 408) {
      if (ask.write) throw new Unknown(`HubSpot answered ${status}`)
      return { again: `HubSpot answered ${status}`, ...(seen.retryAfterMs ? { waitMs: seen.retryAfterMs } : {}) }
    }
    throw new Refusal(status, problem)
  }

  function learn(response: Response, ask: Ask) {
    const number = (name: string) => {
      const value = response.headers.get(name)
      return value === null || value.trim() === '' || Number.isNaN(Number(value)) ? undefined : Number(value)
    }
    leftToday = number('x-hubspot-ratelimit-daily-remaining') ?? leftToday
    const remaining = number('x-hubspot-ratelimit-remaining')
    const max = number('x-hubspot-ratelimit-max')
    const windowMs = number('x-hubspot-ratelimit-interval-milliseconds')
    if (response.status !== 429) {
      const known = { ...(remaining === undefined ? {} : { remaining }), ...(max && windowMs ? { max, windowMs } : {}) }
      options.gate.observe(ask.lane === 'search' ? {} : known, ask.lane)
    }
    const at = Date.parse(response.headers.get('date') ?? '')
    const after = response.headers.get('retry-after')
    const seconds = after === null ? Number.NaN : Number(after)
    const until = after === null ? Number.NaN : Date.parse(after)
    const waitMs = Number.isNaN(seconds) ? until - (Number.isNaN(at) ? options.clock() : at) : seconds * 1000
    return { at: Number.isNaN(at) ? null : at, retryAfterMs: Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs) }
  }

  const get = <T>(path: string, schema: z.ZodType<T>, signal: AbortSignal, query?: Record<string, string>) =>
    call({ method: 'GET', path, ...(query ? { query } : {}) }, schema, signal)
  const post = <T>(path: string, body: unknown, schema: z.ZodType<T>, signal: AbortSignal) =>
    call({ method: 'POST', path, body }, schema, signal)
  const put = async <T>(path: string, body: unknown, schema: z.ZodType<T>, signal: AbortSignal) =>
    (await call({ method: 'POST', path, body, write: true }, schema, signal)).data
  /** Null where HubSpot says 404. */
  async function optional<T>(work: Promise<Answer<T>>): Promise<T | null> {
    try {
      return (await work).data
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) return null
      throw error
    }
  }

  return {
    leftToday: () => leftToday,
    account: async (signal: AbortSignal) => (await get(ACCOUNT, wire.Account, signal)).data,
    pipelines: async (signal: AbortSignal) => (await get(`${PIPELINES}/deals`, wire.Pipelines, signal)).data.results,
    owners: async (archived: boolean, after: string | null, signal: AbortSignal) =>
      (await get(OWNERS, wire.Owners, signal, { limit: '100', archived: `${archived}`, ...(after ? { after } : {}) }))
        .data,
    properties: async (object: 'deals' | 'tasks', signal: AbortSignal) =>
      (await get(`${PROPERTIES}/${object}`, wire.Properties, signal)).data.results,
    property: (object: 'deals' | 'tasks', name: string, signal: AbortSignal) =>
      optional(get(`${PROPERTIES}/${object}/${name}`, wire.Property, signal)),
    groups: async (object: 'deals' | 'tasks', signal: AbortSignal) =>
      (await get(`${PROPERTIES}/${object}/groups`, wire.Groups, signal)).data.results,
    createProperty: (object: 'deals' | 'tasks', body: unknown, signal: AbortSignal) =>
      put(`${PROPERTIES}/${object}`, body, wire.Nothing, signal),
    createGroup: (object: 'deals' | 'tasks', body: unknown, signal: AbortSignal) =>
      put(`${PROPERTIES}/${object}/groups`, body, wire.Nothing, signal),
    list: (query: Record<string, string>, signal: AbortSignal) =>
      get(`${OBJECTS}/deals`, wire.RecordPage, signal, query),
    search: (body: unknown, signal: AbortSignal) =>
      call({ method: 'POST', path: `${OBJECTS}/deals/search`, body, lane: 'search' }, wire.RecordPage, signal),
    /** 100 ids a call, 50 with history (the latter not in the specification). */
    batchRead: async (object: 'deals' | 'tasks', body: unknown, signal: AbortSignal) =>
      (await post(`${OBJECTS}/${object}/batch/read`, body, wire.Batch, signal)).data,
    deal: (id: string, signal: AbortSignal) =>
      optional(get(`${OBJECTS}/deals/${encodeURIComponent(id)}`, wire.CrmRecord, signal)),
    tasksOfDeals: async (inputs: readonly { id: string; after?: string }[], signal: AbortSignal) =>
      (await post(`${ASSOCIATIONS}/deals/tasks/batch/read`, { inputs }, wire.Associations, signal)).data.results,
    tasksExist: (signal: AbortSignal) => get(`${OBJECTS}/tasks`, wire.RecordPage, signal, { limit: '1' }),
    batchWrite: (
      object: 'deals' | 'tasks',
      verb: 'update' | 'create' | 'archive',
      inputs: readonly unknown[],
      signal: AbortSignal,
    ) => put(`${OBJECTS}/${object}/batch/${verb}`, { inputs }, wire.Batch, signal),
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

/** Connection errors after which the request cannot have reached HubSpot (Node and undici codes). */
const NEVER_LEFT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

function code(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  return typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : ''
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  if (error.name === 'TimeoutError') return 'it took too long'
  return code(error) || (error.cause instanceof Error ? error.cause.message : error.message)
}

function decode<T>(schema: z.ZodType<T>, text: string) {
  let json: unknown
  try {
    json = text === '' ? {} : JSON.parse(text)
  } catch {
    return { success: false, json: false, why: 'not JSON' } as const
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return { success: true, data: parsed.data } as const
  const [issue] = parsed.error.issues
  return { success: false, json: true, why: `${issue?.path.join('.')}: ${issue?.message}` } as const
}

/** Names the scopes, wherever the answer puts them (`context.requiredGranularScopes`, `errors[].context.missingScopes` …). */
function forbidden(problem: wire.Problem, path: string): string {
  const contexts = [problem.context, ...(problem.errors ?? []).map((error) => error.context)]
  const named = contexts.flatMap((context) =>
    Object.entries(context ?? {}).flatMap(([name, value]) => (/scope/i.test(name) ? [value].flat().map(String) : [])),
  )
  const scopes = [...new Set(named)]
  const need = scopes.length > 0 ? `the scope ${scopes.join(' or ')} is missing` : (problem.message ?? 'not allowed')
  return `HubSpot does not allow ${path}: ${need}. Add it to the service key or app and connect again.`
}
