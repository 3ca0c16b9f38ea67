// Where a connection's token comes from. Salesforce says with the token which host it is for and whose it is, so this
// credential says more than the port's `Credential`. Client credentials: a run-as user set by the admin, no refresh token.
// The web-server flow: a person's consent, and refresh tokens that rotate.
import { OAuth2 } from 'jsforce'
import { z } from 'zod'
import type { ConnectorOptions, Credential, SignIn } from '../../src/connector.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { BoundedTransport, NoAnswer } from './transport.ts'

/** `instanceUrl`: origin every call goes to, checked by `trustedOrigin`. `user`: whom the token belongs to; null:
 *  Salesforce did not say. `org`: its id. */
export type Session = z.infer<typeof Session>
const Session = z.object({
  token: z.string(),
  refresh: z.string().optional(),
  instanceUrl: z.string(),
  user: z.string().nullable(),
  org: z.string().optional(),
  scope: z.string().optional(),
})

export interface SalesforceCredential extends Credential {
  session(signal: AbortSignal): Promise<Session>
}

/** `baseUrl` is not used: the credential says which host its token is for. */
export interface SalesforceOptions extends Omit<ConnectorOptions, 'credential' | 'baseUrl'> {
  readonly credential: SalesforceCredential
}

export interface ClientCredentials {
  /** My Domain origin, for example https://acme.my.salesforce.com. Loopback: a sandbox of unstall. */
  readonly loginUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly timeoutMs?: number
}

const filled = z.string().min(1)
const Answer = z.object({
  ...{ access_token: filled, refresh_token: filled.optional(), instance_url: z.url(), id: z.string().optional() },
  scope: z.string().optional(),
})
const FAMILY = /(?:^|\.)(?:salesforce|force)\.com$/
const loopback = (host: string) => /^(localhost|\[::1\]|127(\.\d+){3})$/.test(host)

/** The origin of `url` if a token may be sent there: https to Salesforce's own domains, or loopback if `local`. */
export function trustedOrigin(url: string, local: boolean): string {
  const { protocol, hostname, origin } = new URL(url)
  if (local ? loopback(hostname) : protocol === 'https:' && FAMILY.test(hostname)) return origin
  throw new Fatal('credentials', `no token is sent to ${hostname}: it is not an address of Salesforce`)
}

/** What `load` gave, until it is forgotten; a failure is not kept. Whoever asks meanwhile waits for the same answer. */
export function remembered<T>(load: (signal: AbortSignal) => Promise<T>) {
  let current: Promise<T> | null = null
  function get(signal: AbortSignal): Promise<T> {
    if (current) return current
    const fresh = load(signal)
    current = fresh
    fresh.catch(() => {
      if (current === fresh) current = null
    })
    return fresh
  }
  const forget = () => {
    current = null
  }
  return { get, forget }
}

/**
 * Client credentials, or (`consent`) the refresh token of the web-server flow, which may work only once: replaying it
 * revokes everything (salesforce.md 6). Sessions last as long as the org's policy says, which Salesforce does not tell.
 */
export function signIn(options: ClientCredentials, consent: boolean): SignIn<Session> {
  const { clientId, clientSecret, timeoutMs = 10_000 } = options
  const local = loopback(new URL(options.loginUrl).hostname)
  const loginUrl = trustedOrigin(options.loginUrl, local)

  async function exchange(refresh: string | null): Promise<Session | 'refused'> {
    const oauth = new OAuth2({ loginUrl, clientId, clientSecret })
    const transport = new BoundedTransport(new AbortController().signal, timeoutMs)
    oauth._transport = transport
    const form =
      refresh === null ? { grant_type: 'client_credentials' } : { grant_type: 'refresh_token', refresh_token: refresh }
    try {
      const answer = Answer.parse(await oauth.requestToken(form))
      const user = /\/(005[A-Za-z0-9]{12,15})$/.exec(answer.id ?? '')?.[1] ?? null
      const org = /\/(00D[A-Za-z0-9]{12})[A-Za-z0-9]*\/005/.exec(answer.id ?? '')?.[1]
      const instanceUrl = trustedOrigin(answer.instance_url, local)
      const { access_token: token, refresh_token: refresh, scope } = answer
      return { token, refresh, instanceUrl, user, org, scope }
    } catch (error) {
      if (error instanceof Fatal || !(transport.seen || error instanceof NoAnswer)) throw error
      const status = transport.seen?.status ?? 0
      if (error instanceof NoAnswer || status === 429 || status >= 500) {
        const why = error instanceof NoAnswer ? error.message : `status ${status}`
        throw new RetryLater(`could not sign in to Salesforce: ${why}`, 30_000)
      }
      // OAuth's error codes are shown; anything else could echo what was sent.
      const why = error instanceof Error && /^[a-z_]+$/.test(error.name) ? error.name : 'the answer was not a token'
      if (refresh !== null && why === 'invalid_grant') return 'refused'
      const hint = consent ? '' : ' and the run-as user'
      const todo = `check clientId, clientSecret, loginUrl (My Domain)${hint} of the External Client App`
      throw new Fatal('credentials', `Salesforce refused to sign in (${why}): ${todo}`)
    }
  }
  return { consent, parse: (stored) => Session.parse(stored), exchange }
}

/** Client credentials whose token this process keeps to itself: fetched once, and again after `expired`. */
export function clientCredentials(options: ClientCredentials): SalesforceCredential {
  const { exchange } = signIn(options, false)
  let known: string | null = null
  const { get: session, forget } = remembered(async (signal): Promise<Session> => {
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
    )
    const fresh = await Promise.race([exchange(null), aborted])
    if (fresh === 'refused') throw new Fatal('credentials', 'Salesforce refused to sign in')
    known = fresh.token
    return fresh
  })
  return {
    session,
    token: async (signal) => (await session(signal)).token,
    expired(token) {
      if (token !== known) return
      known = null
      forget()
    },
  }
}
