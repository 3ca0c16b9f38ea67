// A lookalike Salesforce org on loopback: put together from the kernel, the org's rules, REST, SOAP metadata and OAuth.
import type { Answer, Call, Kernel, Lookalike, Refusal } from '../kernel.ts'
import type { Seed } from '../seed.ts'
import { metadataApi } from './metadata.ts'
import { oauth } from './oauth.ts'
import { Org, refused } from './org.ts'
import { People } from './people.ts'
import { describeField, restRoutes, VERSIONS } from './rest.ts'

export interface SalesforceOptions {
  /** False: the org has no Enhanced Email, so no EmailMessage object. */
  readonly emailMessage?: boolean
  /** False: the API user may not read OpportunityHistory. */
  readonly history?: boolean
  /** Standard Opportunity fields with field history tracking. */
  readonly trackedFields?: readonly string[]
  /** API calls in 24 hours; enforced unless limits are `none`. */
  readonly dailyCalls?: number
}

const DAY = 86_400_000
const MAX_URI = 16_384

/** For `startSandbox`. Client id and secret: `sandbox`. */
export function salesforce(seed: Seed, options: SalesforceOptions = {}): (kernel: Kernel) => Lookalike {
  return (kernel) => {
    const without = [
      ...(options.emailMessage === false ? ['EmailMessage'] : []),
      ...(options.history === false ? ['OpportunityHistory'] : []),
    ]
    const tracked = options.trackedFields ?? ['StageName', 'Amount', 'CloseDate', 'OwnerId', 'ForecastCategoryName']
    const org = new Org({ without, tracked, now: () => kernel.now(), record: (entry) => kernel.record(entry) })
    const people = new People(org, seed)
    org.recording = true
    const signIn = oauth(org, kernel)
    const saver = () => ({ user: org.apiUser, at: kernel.now(), stamp: kernel.now(), api: true })
    const metadata = metadataApi(org, signIn.valid, saver)

    const max = options.dailyCalls ?? 100_000
    let calls = { since: kernel.monotonic(), used: 0 }
    const usage = () => {
      if (kernel.monotonic() - calls.since > DAY) calls = { since: kernel.monotonic(), used: 0 }
      return { used: calls.used, max }
    }

    function guard(call: Call): Answer | null {
      if (!/^\/services\/(data\/|Soap\/)/.test(call.path)) return null
      const uri = call.path.length + call.query.toString().length
      if (uri > MAX_URI) return error(414, 'URI_TOO_LONG', 'The length of the URI exceeds the 16,384 byte limit.')
      const version = Number(/\/v?(\d+)\.0(\/|$)/.exec(call.path)?.[1])
      if (version < VERSIONS.first)
        return error(410, 'UNSUPPORTED_API_VERSION', 'The requested API version is retired.')
      if (!(version <= VERSIONS.last)) return error(404, 'NOT_FOUND', 'The requested resource does not exist')
      if (call.path.startsWith('/services/data/') && !signIn.valid(signIn.bearer(call)))
        return error(401, 'INVALID_SESSION_ID', 'Session expired or invalid')
      if (usage().used >= max && kernel.options.limits !== 'none')
        return error(403, 'REQUEST_LIMIT_EXCEEDED', 'TotalRequests Limit exceeded.')
      calls.used += 1
      return null
    }

    return {
      routes: [
        ...restRoutes(org, kernel, usage),
        { method: 'POST', template: '/services/Soap/m/{version}', handle: metadata.handle },
        ...signIn.routes,
      ],
      maxBodyBytes: 50_000_000,
      guard,
      lane: () => null,
      refuse,
      headers: (call): Record<string, string> =>
        call.path.startsWith('/services/data') ? { 'sforce-limit-info': `api-usage=${usage().used}/${max}` } : {},
      *state() {
        yield {
          kind: 'meta',
          now: new Date(kernel.now()).toISOString(),
          apiUserId: org.apiUser,
          currency: seed.currency,
        }
        for (const [kind, object] of [
          ['owner', 'User'],
          ['deal', 'Opportunity'],
          ['task', 'Task'],
        ] as const) {
          const type = org.table(object)
          for (const row of type.rows.values()) {
            if (!row.IsDeleted)
              yield {
                kind,
                ...Object.fromEntries(org.visible(type, false).map((field) => [field.name, org.read(row, field)])),
              }
          }
        }
        for (const object of ['Opportunity', 'Task', 'Event']) {
          const type = org.table(object)
          for (const field of org.visible(type, false))
            if (field.custom) yield { kind: 'field', object, ...describeField(org, type, field) }
        }
      },
      act: (act) => people.act(act, kernel.now(), metadata.drop),
    }
  }
}

const error = (status: number, code: string, message: string): Answer => refused(status, code, message).answer

function refuse(refusal: Refusal): Answer {
  switch (refusal.kind) {
    case 'rate':
      return error(403, 'REQUEST_LIMIT_EXCEEDED', 'ConcurrentPerOrgLongTxn Limit exceeded.')
    case 'daily':
      return error(403, 'REQUEST_LIMIT_EXCEEDED', 'TotalRequests Limit exceeded.')
    case 'not-found':
      return error(404, 'NOT_FOUND', 'The requested resource does not exist')
    case 'method':
      return error(405, 'METHOD_NOT_ALLOWED', 'HTTP method not allowed for this resource.')
    case 'too-large':
      return error(413, 'REQUEST_ENTITY_TOO_LARGE', 'The request body is too large.')
    case 'server-error':
      return error(500, 'UNKNOWN_EXCEPTION', 'An unexpected error occurred.')
    case 'bad-gateway':
      return {
        status: 502,
        body: '<html><body><h1>502 Bad Gateway</h1></body></html>',
        headers: { 'content-type': 'text/html' },
      }
  }
}
