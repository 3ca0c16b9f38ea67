// Where a connection's token comes from. Salesforce says with the token which host it is for and whose it is, so this
// credential says more than the port's `Credential`. Client credentials: a run-as user set by the admin, no refresh token.
import { OAuth2 } from 'jsforce'
import { z } from 'zod'
import type { ConnectorOptions, Credential } from '../../src/connector.ts'
import type { OwnerId } from '../../src/core/deal.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { BoundedTransport, NoAnswer } from './transport.ts'

export interface Session {
  readonly token: string
  /** Origin every call goes to; checked by `trustedOrigin`. */
  readonly instanceUrl: string
  /** The user the token belongs to; null: Salesforce did not say. */
  readonly user: OwnerId | null
  /** Id of the org. */
  readonly org?: string
}

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

const Answer = z.object({ access_token: z.string().min(1), instance_url: z.url(), id: z.string().optional() })
const FAMILY = /(?:^|\.)(?:salesforce|force)\.com$/
const loopback = (host: string) => host === 'localhost' || host === '[::1]' || host.startsWith('127.')

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

/** A token held by this process, fetched once and again after `expired`. Throws Fatal('credentials') or RetryLater. */
export function clientCredentials(options: ClientCredentials): SalesforceCredential {
  const { clientId, clientSecret, timeoutMs = 30_000 } = options
  const local = loopback(new URL(options.loginUrl).hostname)
  const loginUrl = trustedOrigin(options.loginUrl, local)
  let known: string | null = null

  const { get: session, forget } = remembered(async (signal): Promise<Session> => {
    const oauth = new OAuth2({ loginUrl, clientId, clientSecret })
    const transport = new BoundedTransport(signal, timeoutMs)
    oauth._transport = transport
    try {
      const answer = Answer.parse(await oauth.requestToken({ grant_type: 'client_credentials' }))
      known = answer.access_token
      const user = /\/(005[A-Za-z0-9]{12,15})$/.exec(answer.id ?? '')?.[1] ?? null
      const org = /\/(00D[A-Za-z0-9]{12})[A-Za-z0-9]*\/005/.exec(answer.id ?? '')?.[1]
      const instanceUrl = trustedOrigin(answer.instance_url, local)
      return { token: answer.access_token, instanceUrl, user, ...(org && { org }) }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof Fatal || !(transport.seen || error instanceof NoAnswer)) throw error
      const status = transport.seen?.status ?? 0
      if (error instanceof NoAnswer || status === 429 || status >= 500) {
        const why = error instanceof NoAnswer ? error.message : `status ${status}`
        throw new RetryLater(`could not sign in to Salesforce: ${why}`, 30_000)
      }
      // OAuth's error codes are shown; anything else could echo what was sent.
      const why = error instanceof Error && /^[a-z_]+$/.test(error.name) ? error.name : 'the answer was not a token'
      const hint = 'check clientId, clientSecret, loginUrl (My Domain) and the run-as user of the External Client App'
      throw new Fatal('credentials', `Salesforce refused to sign in (${why}): ${hint}`)
    }
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
