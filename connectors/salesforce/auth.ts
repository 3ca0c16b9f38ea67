// Where a connection's token comes from. Salesforce says with the token which host it is for and whose it is, so this
// credential says more than the port's `Credential`. Client credentials: a run-as user set by the admin, no refresh token.
// The web-server flow: a person's consent, and refresh tokens that rotate. JWT bearer: a key, and a user it speaks for.
import { sign } from 'node:crypto'
import { OAuth2 } from 'jsforce/lib/core.js'
import { z } from 'zod'
import {
  type ConnectorOptions,
  type Consent,
  type Credential,
  type Granted,
  loopback,
  type SignIn,
} from '../../src/connector.ts'
import type { Instant } from '../../src/core/deal.ts'
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
type Grant = { readonly grant_type: string; readonly [name: string]: string }
const FAMILY = /(?:^|\.)(?:salesforce|force)\.com$/

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

/** `client` goes along with every grant. `explain`: what a person should check, by Salesforce's code and words; null: what
 *  was sent is dead for good. */
function endpoint(
  at: Pick<ClientCredentials, 'loginUrl' | 'timeoutMs'>,
  client: Readonly<Record<string, string>>,
  explain: (code: string, said: string) => string | null,
) {
  const local = loopback(new URL(at.loginUrl).hostname)
  const loginUrl = trustedOrigin(at.loginUrl, local)

  async function call<T>(work: (oauth: OAuth2) => Promise<T>): Promise<T | 'refused'> {
    const oauth = new OAuth2({ loginUrl })
    const transport = new BoundedTransport(new AbortController().signal, at.timeoutMs ?? 10_000)
    oauth._transport = transport
    try {
      return await work(oauth)
    } catch (error) {
      if (error instanceof Fatal || !(transport.seen || error instanceof NoAnswer)) throw error
      const status = transport.seen?.status ?? 0
      if (error instanceof NoAnswer || status === 429 || status >= 500) {
        const why = error instanceof NoAnswer ? error.message : `status ${status}`
        throw new RetryLater(`could not sign in to Salesforce: ${why}`, 30_000)
      }
      // OAuth's error codes are shown; anything else could echo what was sent.
      const [code, said] = error instanceof Error ? [error.name, error.message] : ['', '']
      const why = /^[a-z_]+$/.test(code) ? code : 'the answer was not a token'
      const todo = explain(why, said)
      if (todo === null) return 'refused'
      throw new Fatal('credentials', `Salesforce refused to sign in (${why}): ${todo}`)
    }
  }
  const ask = (grant: Grant) =>
    call(async (oauth): Promise<Granted<Session>> => {
      const answer = Answer.parse(await oauth.requestToken({ ...grant, ...client }))
      const user = /\/(005[A-Za-z0-9]{12,15})$/.exec(answer.id ?? '')?.[1] ?? null
      const org = /\/(00D[A-Za-z0-9]{12})[A-Za-z0-9]*\/005/.exec(answer.id ?? '')?.[1]
      const instanceUrl = trustedOrigin(answer.instance_url, local)
      const { access_token: token, refresh_token: refresh, scope } = answer
      const set = { token, refresh, instanceUrl, user, org, scope }
      return { set, account: org ?? null, scopes: (scope ?? '').split(' ').filter(Boolean) }
    })
  return { loginUrl, local, call, ask }
}

/**
 * Client credentials, or (`consent`) the refresh token of the web-server flow, which may work only once: replaying it
 * revokes everything (salesforce.md 6). Sessions last as long as the org's policy says, which Salesforce does not tell.
 */
export function signIn(options: ClientCredentials, consent: boolean): Consent<Session> {
  const hint = consent ? '' : ' and the run-as user'
  const check = `check clientId, clientSecret, loginUrl (My Domain)${hint} of the External Client App`
  const client = { client_id: options.clientId, client_secret: options.clientSecret }
  const explain = (code: string) => (consent && code === 'invalid_grant' ? null : check)
  const { loginUrl, call, ask } = endpoint(options, client, explain)
  const page = { response_type: 'code', client_id: options.clientId, scope: 'api refresh_token' }
  return {
    consent,
    parse: (stored) => Session.parse(stored),
    page: `${loginUrl}/services/oauth2/authorize?${new URLSearchParams(page)}`,
    async exchange(refresh) {
      const grant = { grant_type: 'refresh_token', refresh_token: refresh ?? '' }
      const answer = await ask(consent ? grant : { grant_type: 'client_credentials' })
      return answer === 'refused' ? answer : answer.set
    },
    redeem: (form) => ask({ grant_type: 'authorization_code', ...form }),
    revoke: async (refresh) => void (await call((oauth) => oauth.revokeToken(refresh))),
  }
}

export interface SigningKey extends Pick<ClientCredentials, 'loginUrl' | 'clientId' | 'timeoutMs'> {
  /** Of the user whose rights unstall has. */
  readonly username: string
  /** RSA, in PEM form. */
  readonly privateKey: string
  readonly clock: () => Instant
}
/** Salesforce takes five minutes at most. */
const ASSERTION_S = 180

/** JWT bearer: an assertion signed with the key of the app's certificate, for a user whom an administrator approved. */
export function signInByKey(options: SigningKey): SignIn<Session> {
  const { clientId, username, privateKey, clock } = options
  const { loginUrl, local, ask } = endpoint(options, {}, (_, said) => {
    if (/approved/.test(said))
      return `an administrator must let ${username} use the External Client App (Policies > Permitted Users, with a permission set of that user)`
    if (/audience/.test(said)) return 'check that loginUrl is the My Domain of this org or sandbox'
    if (/expired/.test(said)) return "check this machine's clock"
    return 'check clientId, username, loginUrl (My Domain), and that the certificate of the External Client App belongs to privateKey'
  })
  // The audience is never My Domain; a sandbox of unstall gets nothing that would open Salesforce.
  const { hostname } = new URL(loginUrl)
  const aud = local ? loginUrl : `https://${/--|^test\.|\.scratch\./.test(hostname) ? 'test' : 'login'}.salesforce.com`
  return {
    consent: false,
    parse: (stored) => Session.parse(stored),
    async exchange() {
      const claims = { iss: clientId, sub: username, aud, exp: Math.floor(clock() / 1000) + ASSERTION_S }
      const [head, body] = [{ alg: 'RS256', typ: 'JWT' }, claims].map((part) =>
        Buffer.from(JSON.stringify(part)).toString('base64url'),
      )
      const signature = sign('RSA-SHA256', Buffer.from(`${head}.${body}`), privateKey).toString('base64url')
      const grant_type = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
      const answer = await ask({ grant_type, assertion: `${head}.${body}.${signature}` })
      return answer === 'refused' ? answer : answer.set
    },
  }
}

export const clientCredentials = (options: ClientCredentials) => unstored(signIn(options, false))

/** A sign-in whose token this process keeps to itself: fetched once, and again after `expired`. */
export function unstored({ exchange }: SignIn<Session>): SalesforceCredential {
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
