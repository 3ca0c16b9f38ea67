// A lookalike Salesforce org on loopback: put together from the kernel, the org's rules, REST, SOAP metadata and OAuth.
import type { Answer, Call, Kernel, Lookalike, Refusal } from '../kernel.ts'
import { DAY, type Seed } from '../seed.ts'
import { metadataApi } from './metadata.ts'
import { oauth } from './oauth.ts'
import { Org } from './org.ts'
import { people } from './people.ts'
import { describeField, restRoutes, VERSIONS } from './rest.ts'
import type { Row } from './schema.ts'
import { refused } from './validate.ts'

export interface SalesforceOptions {
  /** False: the org has no Enhanced Email, so no EmailMessage object. */
  readonly emailMessage?: boolean
  /** False: the API user may not read OpportunityHistory. */
  readonly history?: boolean
  /** True: Einstein Activity Capture is on. */
  readonly activityCapture?: boolean
  /** Fields of Organization and UserPermissionAccess that differ from those of an Enterprise org with an integration user. */
  readonly organization?: Row
  readonly rights?: Row
  /** Active validation rules on Opportunity, by name: what they tell. They are only listed: no write is judged by them. */
  readonly rules?: Readonly<Record<string, string>>
  /** OAuth scopes of client credentials. */
  readonly scope?: string
  /** API calls in 24 hours; enforced unless limits are `none`. */
  readonly dailyCalls?: number
}

const MAX_URI = 16_384

/** For `startSandbox`. Client id and secret: `sandbox`. */
export function salesforce(seed: Seed, options: SalesforceOptions = {}): (kernel: Kernel) => Lookalike {
  const { emailMessage = true, history = true, activityCapture = false, dailyCalls: max = 100_000 } = options
  const absent = { EmailMessage: !emailMessage, OpportunityHistory: !history, ActivityMetric: !activityCapture }
  const without = Object.entries(absent).flatMap(([name, gone]) => (gone ? name : []))
  return (kernel) => {
    const org = new Org(kernel, without)
    const saver = () => ({ user: org.apiUser, at: kernel.now(), stamp: kernel.now() })
    const metadata = metadataApi(org, (token) => signIn.valid(token), saver)
    const act = people(org, seed, metadata.drop, options)
    const signIn = oauth(org, kernel, options.scope)
    org.recording = true

    let calls = { since: kernel.monotonic(), used: 0 }
    function usage() {
      if (kernel.monotonic() - calls.since > DAY) calls = { since: kernel.monotonic(), used: 0 }
      return { used: calls.used, max }
    }

    function guard(call: Call): Answer | null {
      if (!/^\/services\/(data\/|Soap\/)/.test(call.path)) return null
      if (call.path.length + call.query.toString().length > MAX_URI)
        return error(414, 'URI_TOO_LONG', 'The length of the URI exceeds the 16,384 byte limit.')
      const version = Number(/\/v?(\d+)\.0(\/|$)/.exec(call.path)?.[1])
      if (version < VERSIONS.first)
        return error(410, 'UNSUPPORTED_API_VERSION', 'The requested API version is retired.')
      if (!(version <= VERSIONS.last)) return refuse({ kind: 'not-found' })
      if (call.path.startsWith('/services/data/') && !signIn.valid(signIn.bearer(call)))
        return error(401, 'INVALID_SESSION_ID', 'Session expired or invalid')
      if (usage().used >= max && kernel.options.limits !== 'none') return refuse({ kind: 'daily' })
      calls.used += 1
      return null
    }

    function* state() {
      const now = new Date(kernel.now()).toISOString()
      yield { kind: 'meta', now, apiUserId: org.apiUser, currency: seed.currency }
      for (const [kind, object] of Object.entries({ owner: 'User', deal: 'Opportunity', task: 'Task' })) {
        const fields = [...org.table(object).fields.values()]
        for (const row of org.rows(object))
          if (!row.IsDeleted)
            yield { kind, ...Object.fromEntries(fields.map((each) => [each.name, org.read(row, each)])) }
      }
      for (const object of ['Opportunity', 'Task', 'Event']) {
        const type = org.table(object)
        for (const field of type.fields.values())
          if (field.custom) yield { kind: 'field', object, ...describeField(org, type, field) }
      }
    }

    return {
      routes: [
        ...restRoutes(org, saver, usage),
        { method: 'POST', template: '/services/Soap/m/{version}', handle: metadata.handle },
        ...signIn.routes,
      ],
      maxBodyBytes: 50_000_000,
      guard,
      lane: () => null,
      refuse,
      headers: (call): Record<string, string> =>
        call.path.startsWith('/services/data') ? { 'sforce-limit-info': `api-usage=${usage().used}/${max}` } : {},
      state,
      act: (given) => act(given, kernel.now()),
    }
  }
}

const error = (status: number, code: string, message: string): Answer => refused(status, code, message).answer

const LIMITED = 'REQUEST_LIMIT_EXCEEDED'
const REFUSALS: Record<Refusal['kind'], Answer> = {
  rate: error(403, LIMITED, 'ConcurrentPerOrgLongTxn Limit exceeded.'),
  daily: error(403, LIMITED, 'TotalRequests Limit exceeded.'),
  'not-found': error(404, 'NOT_FOUND', 'The requested resource does not exist'),
  method: error(405, 'METHOD_NOT_ALLOWED', 'HTTP method not allowed for this resource.'),
  'too-large': error(413, 'REQUEST_ENTITY_TOO_LARGE', 'The request body is too large.'),
  'server-error': error(500, 'UNKNOWN_EXCEPTION', 'An unexpected error occurred.'),
  'bad-gateway': { status: 502, body: '<h1>502 Bad Gateway</h1>', headers: { 'content-type': 'text/html' } },
}
const refuse = ({ kind, retryAfterS }: Refusal): Answer => ({
  ...REFUSALS[kind],
  ...(retryAfterS === undefined ? {} : { headers: { 'retry-after': String(retryAfterS) } }),
})
