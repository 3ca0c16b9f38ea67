// Where a connection's token comes from. Salesforce says with the token which host it is for and whose it is, so this
// credential says more than the port's `Credential`. Client credentials: a run-as user set by the admin, no refresh token.
import { OAuth2 } from 'jsforce'
import { z } from 'zod'
import type { Credential } from '../../src/connector.ts'
import type { OwnerId } from '../../src/core/deal.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { BoundedTransport, NoAnswer } from './transport.ts'

export interface Session {
  readonly token: string
  /** Origin every call goes to; checked by `trustedOrigin`. */
  readonly instanceUrl: string
  /** The user the token belongs to; null: Salesforce did not say. */
  readonly user: OwnerId | null
}

export interface SalesforceCredential extends Credential {
  session(signal: AbortSignal): Promise<Session>
}

export interface ClientCredentials {
  /** My Domain origin, for example https://acme.my.salesforce.com. Loopback: a sandbox of unstall. */
  readonly loginUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly timeoutMs?: number
}

const Answer = z.object({ access_token: z.string().min(1), instance_url: z.url(), id: z.string().optional() })
const FAMILY = /(?:^|\.)(?:salesforce|force)\.com$/
const loopback = (host: string) => host === 'localhost' || host === '[::1]' || host.startsWith('127.')

/** The origin of `url` if a token may be sent there: https to Salesforce's own domains, or loopback if `local`. */
export function trustedOrigin(url: string, local: boolean): string {
  const { protocol, hostname, origin } = new URL(url)
  if (local ? loopback(hostname) : protocol === 'https:' && FAMILY.test(hostname)) return origin
  throw new Fatal(
    'credentials',
    `Salesforce named ${hostname} as the host of this connection: not an address of Salesforce, so no token is sent there`,
  )
}

/** A token held by this process, fetched once and again after `expired`. Throws Fatal('credentials') or RetryLater. */
export function clientCredentials(options: ClientCredentials): SalesforceCredential {
  const local = loopback(new URL(options.loginUrl).hostname)
  const loginUrl = trustedOrigin(options.loginUrl, local)
  let current: Promise<Session> | null = null
  let known: string | null = null

  async function grant(signal: AbortSignal): Promise<Session> {
    const { clientId, clientSecret } = options
    const oauth = new OAuth2({ loginUrl, clientId, clientSecret })
    const transport = new BoundedTransport(signal, options.timeoutMs ?? 30_000)
    oauth._transport = transport
    try {
      const answer = Answer.parse(await oauth.requestToken({ grant_type: 'client_credentials' }))
      known = answer.access_token
      const user = /\/(005[A-Za-z0-9]{12,15})$/.exec(answer.id ?? '')?.[1] ?? null
      return { token: answer.access_token, instanceUrl: trustedOrigin(answer.instance_url, local), user }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof Fatal || !(transport.seen || error instanceof NoAnswer)) throw error
      const status = transport.seen?.status ?? 0
      if (error instanceof NoAnswer || status === 429 || status >= 500)
        throw new RetryLater(`could not sign in to Salesforce: ${reason(error)}`, 30_000, { cause: error })
      const hint = 'check clientId, clientSecret, loginUrl (My Domain) and the run-as user of the External Client App'
      throw new Fatal('credentials', `Salesforce refused to sign in (${reason(error)}): ${hint}`)
    }
  }

  function session(signal: AbortSignal): Promise<Session> {
    if (current) return current
    const fresh = grant(signal)
    current = fresh
    fresh.catch(() => {
      if (current === fresh) current = null
    })
    return fresh
  }

  return {
    session,
    token: async (signal) => (await session(signal)).token,
    expired(token) {
      if (token !== known) return
      known = null
      current = null
    },
  }
}

/** OAuth error codes and our own words are shown; anything else could echo what was sent. */
function reason(error: unknown): string {
  if (error instanceof NoAnswer) return error.message
  if (error instanceof z.ZodError) return 'the answer was not a token'
  return error instanceof Error && /^[a-z_]{3,40}$/.test(error.name) ? error.name : 'no reason given'
}
