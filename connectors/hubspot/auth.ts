// How a connection gets in: a service key or a private-app token as it stands in the configuration, or OAuth, whose
// tokens live half an hour and are renewed by one form post (hubspot.md 5). Who renews, and where tokens are kept, is
// not decided here.
import { z } from 'zod'
import { type Consent, type Credential, loopback, type TokenSet } from '../../src/connector.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { NEEDED, OPTIONAL } from './scopes.ts'
import { parse } from './wire.ts'

const TOKEN = '/oauth/2026-09/token'
const PAGE = 'https://app.hubspot.com'
/** HubSpot shows an error of its own where the app does not require exactly these, or names the optional ones nowhere. */
const SCOPES = { scope: ['oauth', ...Object.keys(NEEDED)].join(' '), optional_scope: OPTIONAL.join(' ') }
const REFUSED =
  'HubSpot does not accept the token: it was revoked, has expired or was mistyped. ' +
  'Create a new one under Settings > Integrations > Service Keys and put it in place of the old one.'

/** There is no other one: a token that HubSpot refuses ends its run. Nothing is remembered of it, so that every run tries
 *  once, and a refusal by mistake or one that was set right does not outlast the night. */
export const staticToken = (token: string, connection = 'The connection'): Credential => ({
  token: async () => token,
  expired() {
    throw new Fatal('credentials', `${connection} needs re-connecting: ${REFUSED}`)
  },
})

/** Origin of an address a token may be sent to. */
export function trustedOrigin(url: string): string {
  const { protocol, hostname, origin } = new URL(url)
  if (loopback(hostname) || (protocol === 'https:' && hostname === 'api.hubapi.com')) return origin
  throw new Fatal('credentials', `no token is sent to ${hostname}: it is not an address of HubSpot`)
}

export interface App {
  /** https://api.hubapi.com, or a sandbox of unstall on loopback. */
  readonly baseUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly timeoutMs?: number
}

const filled = z.string().min(1)
const Answer = z.object({
  ...{ access_token: filled, refresh_token: filled.optional(), expires_in: z.number().positive() },
  ...{ hub_id: z.number().optional(), scopes: z.array(z.string()).default([]) },
})
const Stored = z.object({ token: z.string(), refresh: z.string().optional(), lifeMs: z.number().optional() })
/** A dead refresh token or code comes as `status`, and in the newer shapes as `category` or `error`. */
const Problem = z.object({ status: z.string(), category: z.string(), error: z.string(), message: z.string() }).partial()
const DEAD = /BAD_REFRESH_TOKEN|BAD_AUTH_CODE|invalid_grant|refresh token|auth code/i

export function signIn({ baseUrl, clientId, clientSecret, timeoutMs = 10_000 }: App): Consent {
  const origin = trustedOrigin(baseUrl)

  const client = { client_id: clientId, client_secret: clientSecret }
  async function post(path: string, form: Record<string, string>) {
    const body = new URLSearchParams({ ...form, ...client })
    const later = (why: string, waitMs = 30_000) => new RetryLater(`could not sign in to HubSpot: ${why}`, waitMs)
    let response: Response
    let text: string
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      response = await fetch(origin + path, { method: 'POST', body, redirect: 'manual', signal })
      text = await response.text()
    } catch {
      // Not as cause: messages of fetch may hold what was sent.
      throw later('no answer')
    }
    const { status, ok } = response
    if (status === 429 || status >= 500)
      throw later(`status ${status}`, Number(response.headers.get('retry-after') ?? 30) * 1000 || 30_000)
    return { ok, status, json: parse(text) }
  }

  async function ask(grant: Record<string, string>): Promise<z.infer<typeof Answer> | 'refused'> {
    const { ok, status, json } = await post(TOKEN, grant)
    const answer = Answer.safeParse(json).data
    if (ok && answer) return answer
    const problem = Problem.safeParse(json).data ?? {}
    if (status === 400 && DEAD.test(Object.values(problem).join(' '))) return 'refused'
    // Codes are shown; anything else could echo what was sent.
    const code = [problem.category, problem.error, problem.status].find((each) => /^[A-Za-z_]+$/.test(each ?? ''))
    const todo = 'check clientId and clientSecret of the app'
    throw new Fatal('credentials', `HubSpot refused to sign in (${code ?? `status ${status}`}): ${todo}`)
  }
  const toSet = ({
    access_token: token,
    refresh_token: refresh,
    expires_in: lifeS,
  }: z.infer<typeof Answer>): TokenSet => ({
    ...{ token, refresh, lifeMs: lifeS * 1000 },
  })
  const page = new URL(origin).hostname === 'api.hubapi.com' ? PAGE : origin
  return {
    consent: true,
    parse: (stored) => Stored.parse(stored),
    page: `${page}/oauth/authorize?${new URLSearchParams({ client_id: clientId, ...SCOPES })}`,
    async exchange(refresh) {
      const answer = await ask({ grant_type: 'refresh_token', refresh_token: refresh ?? '' })
      return answer === 'refused' ? answer : toSet(answer)
    },
    async redeem(form) {
      const answer = await ask({ grant_type: 'authorization_code', ...form })
      if (answer === 'refused') return answer
      return { set: toSet(answer), account: answer.hub_id?.toString() ?? null, scopes: answer.scopes }
    },
    async revoke(token) {
      const { ok, status } = await post(`${TOKEN}/revoke`, { token, token_type_hint: 'refresh_token' })
      if (!ok) throw new Fatal('credentials', `HubSpot did not take the access back (status ${status})`)
    },
  }
}
