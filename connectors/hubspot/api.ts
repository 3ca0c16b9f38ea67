// HubSpot's API, one function per endpoint, over @hubspot/api-client as authenticated transport. Pace, timeout, abort,
// retries and parsing are ours, because the client has none that fit (hubspot.md 1.3): its limiter and retries are
// process-wide and repeat creates. Reads are repeated; a write only when HubSpot cannot have acted on it.
import { Client } from '@hubspot/api-client'
import { Request } from '@hubspot/api-client/lib/src/services/http/Request.js'
import type { z } from 'zod'
import { Unknown } from '../../src/batches.ts'
import type { ConnectorOptions } from '../../src/connector.ts'
import type { Instant } from '../../src/core/deal.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { trustedOrigin } from './auth.ts'
import * as wire from './wire.ts'

/** Date-versioned paths (`/2026-03/` is the fallback), one constant per API family. */
const OBJECTS = '/crm/objects/2026-09'
const PROPERTIES = '/crm/properties/2026-09'
const PIPELINES = '/crm/pipelines/2026-09'
const OWNERS = '/crm/owners/2026-09'
const ASSOCIATIONS = '/crm/associations/2026-09'
const LISTS = '/crm/lists/2026-09'
const ACCOUNT = '/account-info/2026-09'

const TRIES = 5
const LANES = ['normal', 'search'] as const
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
/** After these the request cannot have reached HubSpot (Node and undici codes). */
const NEVER_LEFT = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/

/** HubSpot refused the call for what it says: nothing was applied. Fatal, unless a record is at fault. */
export class Refusal extends Fatal {
  readonly problem: wire.Problem & { readonly status: number; readonly message: string }
  constructor(status: number, problem: wire.Problem) {
    const message = problem.message ?? 'it does not say why'
    super('data', `HubSpot refused the call (${status}): ${message}`)
    this.problem = { ...problem, status, message }
  }
}

/** GET without a body, else POST, unless it says DELETE. `nullOn`: the status that is no refusal, but null. */
interface Ask {
  readonly path: string
  readonly method?: 'DELETE'
  readonly query?: Record<string, string>
  readonly body?: unknown
  readonly kind?: 'search' | 'write'
  readonly nullOn?: 404 | 409
}
type Answer<T> = { readonly data: T } | { readonly why: string; readonly waitMs?: number | undefined } | 'expired'
type ObjectType = 'deals' | 'tasks'
type Verb = 'update' | 'create' | 'archive'

/** The SDK's client, sending its own requests with a signal and without following redirects, past the decorators that
 *  any other client in the process can replace. */
class Transport extends Client {
  send({ path, query: qs, body, ...ask }: Ask, token: string, signal: AbortSignal): Promise<Response> {
    const { method = body === undefined ? 'GET' : 'POST' } = ask
    const headers = { Authorization: `Bearer ${token}` }
    const request = new Request(this.config, { method, path, authType: 'none', headers, ...(qs && { qs }), body })
    return fetch(request.getUrl(), { ...request.getSendData(), redirect: 'manual', signal })
  }
}

export type Api = ReturnType<typeof createApi>
/** The API for as long as a signal is not aborted. */
export type Hub = ReturnType<Api>

/** Every function throws RetryLater (nothing was applied), Fatal, the abort reason, and of writes Unknown. */
export function createApi(options: ConnectorOptions) {
  const transport = new Transport({ basePath: trustedOrigin(options.baseUrl), numberOfApiCallRetries: 0 })
  let leftToday: number | null = null
  let clock: Instant | null = null

  async function call<T>(signal: AbortSignal, schema: z.ZodType<T>, ask: Ask): Promise<T> {
    let renewals = 0
    for (let attempt = 1; ; attempt++) {
      const answered = await options.gate.wait(signal, lane(ask))
      const token = await options.credential.token(signal)
      // Node puts an impossible header value, and so the token, into its error text.
      if (!/^[\x21-\x7e]+$/.test(token)) throw new Fatal('credentials', 'the HubSpot token is not a token')
      const answer = await once(signal, schema, ask, token).finally(answered)
      if (answer === 'expired') {
        options.credential.expired(token)
        // One that another process renewed may have been near its own end.
        if (++renewals > 2) throw new Fatal('credentials', 'HubSpot does not accept a token it has just issued')
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

  async function once<T>(signal: AbortSignal, schema: z.ZodType<T>, ask: Ask, token: string): Promise<Answer<T>> {
    const { path, kind } = ask
    let response: Response
    let text: string
    try {
      const timeout = AbortSignal.timeout(options.timeoutMs ?? 30_000)
      response = await transport.send(ask, token, AbortSignal.any([signal, timeout]))
      text = await response.text()
      // Whatever repeats a call may end in messages, tables and reports.
      if (!response.ok) text = text.replaceAll(token, '…')
    } catch (error) {
      signal.throwIfAborted()
      options.called?.({ status: null })
      const why = `no answer from HubSpot (${code(error)})`
      if (kind === 'write' && !NEVER_LEFT.test(code(error))) throw new Unknown(why, { cause: error })
      return { why }
    }
    const { status, ok } = response
    const asked = learn(response, ask)
    const absent = status === ask.nullOn
    const json = absent ? null : wire.parse(status === 204 ? '{}' : text)
    if (ok || absent) {
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
      // A limit that is neither the one of searches nor the one of ten seconds stops everything.
      const known = /^(?:TEN_)?SECONDLY/.test(problem.policyName ?? '')
      if (status === 429)
        for (const each of known ? [lane(ask)] : LANES) options.gate.observe({ pauseMs: waitMs }, each)
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
  function learn({ headers, status }: Response, ask: Ask): number | undefined {
    const number = (name: string) => Number(headers.get(name) || Number.NaN)
    const limit = (name: string) => number(`x-hubspot-ratelimit-${name}`)
    const [remaining, max, windowMs] = [limit('remaining'), limit('max'), limit('interval-milliseconds')] as const
    const known = { ...(remaining >= 0 && { remaining }), ...(max > 0 && windowMs > 0 && { max, windowMs }) }
    // Search has a budget of its own, of which the headers do not tell.
    const [left, most] = [limit('daily-remaining'), limit('daily')]
    const day = left >= 0 && most > 0 ? { day: { left, max: most } } : {}
    if (status !== 429) options.gate.observe({ ...(lane(ask) ? {} : known), ...day }, lane(ask))
    if (left >= 0) leftToday = left
    options.called?.({ status, ...(left >= 0 && { leftToday: left }) })
    clock = Date.parse(headers.get('date') ?? '') || clock
    const until = Date.parse(headers.get('retry-after') ?? '') - (clock ?? options.clock())
    const waitMs = number('retry-after') >= 0 ? number('retry-after') * 1000 : until
    return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs)
  }

  return (signal: AbortSignal) => {
    const get = <T>(schema: z.ZodType<T>, path: string, query: Record<string, string> = {}) =>
      call(signal, schema, { path, query })
    const optional = <T>(schema: z.ZodType<T>, path: string) => call(signal, schema.nullable(), { path, nullOn: 404 })
    const post = <T>(schema: z.ZodType<T>, path: string, body: unknown, kind?: 'search' | 'write') =>
      call(signal, schema, { path, body, ...(kind && { kind }) })
    return {
      /** Calls left today, where the last answers said so (never for OAuth). */
      leftToday: () => leftToday,
      /** HubSpot's clock at its last answer (whole seconds). */
      clock: () => clock,
      account: () => get(wire.Account, `${ACCOUNT}/details`),
      usage: () => get(wire.Usage, `${ACCOUNT}/api-usage/daily/private-apps`),
      pipelines: () => get(wire.Pipelines, `${PIPELINES}/deals`),
      owners: (archived: boolean, after: string | null) =>
        get(wire.Owners, OWNERS, { limit: '100', archived: `${archived}`, ...(after && { after }) }),
      properties: (object: ObjectType = 'deals') => get(wire.Properties, `${PROPERTIES}/${object}`),
      group: (object: ObjectType, name: string) => optional(wire.Nothing, `${PROPERTIES}/${object}/groups/${name}`),
      taskProperty: (name: string) => optional(wire.Property, `${PROPERTIES}/tasks/${name}`),
      /** A property or, below `/groups`, a group; null where it is already there, so it may be repeated. */
      define: (object: ObjectType, below: '' | '/groups', body: unknown) =>
        call(signal, wire.Nothing.nullable(), { path: `${PROPERTIES}/${object}${below}`, body, nullOn: 409 }),
      segment: (name: string) => {
        const path = `${LISTS}/object-type-id/0-3/name/${encodeURIComponent(name)}`
        return call(signal, wire.Segment.nullable(), { path, query: { includeFilters: 'true' }, nullOn: 404 })
      },
      createSegment: (body: unknown) => post(wire.Segment, LISTS, body),
      /** A property, a group (`deals/groups/x`) or a segment; null where it is gone already, so it may be repeated. */
      erase: (what: 'property' | 'segment', below: string) => {
        const path = `${what === 'segment' ? LISTS : PROPERTIES}/${below}`
        return call(signal, wire.Nothing.nullable(), { path, method: 'DELETE', nullOn: 404 })
      },
      list: (object: ObjectType, query: Record<string, string>) => get(wire.RecordPage, `${OBJECTS}/${object}`, query),
      search: (body: unknown) => post(wire.RecordPage, `${OBJECTS}/deals/search`, body, 'search'),
      /** 100 ids a call, 50 with history (the latter not in the specification). */
      batchRead: (object: ObjectType, ids: readonly string[], what: object) => {
        const body = { inputs: ids.map((id) => ({ id })), propertiesWithHistory: [], ...what }
        return post(wire.Batch, `${OBJECTS}/${object}/batch/read`, body)
      },
      deal: (id: string) => optional(wire.CrmRecord, `${OBJECTS}/deals/${encodeURIComponent(id)}`),
      tasksOfDeals: (inputs: readonly { id: string; after?: string }[]) =>
        post(wire.Associations, `${ASSOCIATIONS}/deals/tasks/batch/read`, { inputs }),
      batchWrite: (object: ObjectType, verb: Verb, inputs: readonly unknown[]) =>
        post(wire.Batch, `${OBJECTS}/${object}/batch/${verb}`, { inputs }, 'write'),
    }
  }
}

const lane = ({ kind }: Ask) => (kind === 'search' ? kind : undefined)

/**
 * Pages from a position on, the next one asked for while one is being worked on. Only HubSpot's tokens are used, never
 * its links. Throws Fatal for a position that repeats.
 */
export async function* pages<T extends { readonly paging?: wire.RecordPage['paging'] }>(
  api: Api,
  signal: AbortSignal,
  ask: (hub: Hub, position: string | null) => Promise<T>,
  start: string | null = null,
  nextOf = (page: T): string | null => page.paging?.next?.after ?? null,
) {
  const ahead = new AbortController()
  const hub = api(AbortSignal.any([signal, ahead.signal]))
  const seen = new Set([start])
  try {
    for (let work: Promise<T> | null = ask(hub, start); work !== null; ) {
      const page: T = await work
      const next = nextOf(page)
      if (next !== null && seen.has(next)) throw new Fatal('data', 'HubSpot repeats a page: it would never end')
      seen.add(next)
      work = next === null ? null : ask(hub, next)
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

/** Names the scopes, wherever the answer puts them (`context.requiredGranularScopes`, `errors[].context.missingScopes` …). */
function forbidden(problem: wire.Problem, path: string): string {
  const scopes = [...new Set(JSON.stringify(problem).match(/\bcrm\.[a-z.]+[a-z]/g))]
  const need = scopes.length > 0 ? `the scope ${scopes.join(' or ')} is missing` : (problem.message ?? 'not allowed')
  return `HubSpot does not allow ${path}: ${need}. Add it to the service key or app and connect again.`
}
