// A person's consent without a browser: what the Allow button of either sandbox's page sends, for tests that need a first
// set of tokens; and the key that needs none.
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import type { Place } from '../cli/harness.ts'
import { until } from '../homes.ts'

/** The private key whose assertions the Salesforce sandbox takes, from its documentation. */
export const sandboxKey = () =>
  /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(readFileSync('docs/sandbox.md', 'utf8'))?.[0] ?? ''
export const SANDBOX_USER = 'unstall@sandbox.invalid.sandbox'

const PAGES = { hubspot: '/oauth/authorize', salesforce: '/services/oauth2/authorize' } as const

/** Where a button of the page at this address leads. */
export async function decide(page: string, decision = 'allow'): Promise<URL> {
  const { origin, pathname, searchParams: body } = new URL(page)
  body.set('decision', decision)
  const { headers } = await fetch(origin + pathname, { method: 'POST', body, redirect: 'manual' })
  return new URL(headers.get('location') ?? 'http://127.0.0.1/nowhere')
}

/** What the token request needs beside the grant type and the client. */
export async function allow(
  url: string,
  system: keyof typeof PAGES = 'hubspot',
  decision = 'allow',
  scopes: object = {},
) {
  const verifier = randomBytes(32).toString('base64url')
  const redirect_uri = 'http://127.0.0.1:9/callback'
  const asked = {
    ...{ client_id: 'sandbox', response_type: 'code', redirect_uri, state: 'state of the app' },
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...scopes,
  }
  const back = await decide(`${url}${PAGES[system]}?${new URLSearchParams(asked)}`, decision)
  if (back.searchParams.get('state') !== asked.state) throw new Error('no consent')
  return { code: back.searchParams.get('code') ?? '', code_verifier: verifier, redirect_uri }
}

const Answer = z.object({
  access_token: z.string(),
  refresh_token: z.string(),
  expires_in: z.number().optional(),
  instance_url: z.string().optional(),
})

/** The token endpoint's answer to a consent: the first set of tokens. */
export async function firstTokens(url: string, system: keyof typeof PAGES): Promise<z.infer<typeof Answer>> {
  const path = system === 'hubspot' ? '/oauth/2026-09/token' : '/services/oauth2/token'
  const client = { client_id: 'sandbox', client_secret: 'sandbox' }
  const form = { grant_type: 'authorization_code', ...client, ...(await allow(url, system)) }
  const answer = await fetch(url + path, { method: 'POST', body: new URLSearchParams(form) })
  if (!answer.ok) throw new Error(`no tokens: ${answer.status} ${await answer.text()}`)
  return Answer.parse(await answer.json())
}

/** Through `unstall connect`, with a person who agrees. */
export async function connected(at: Place, name: string): Promise<void> {
  const ended = at.run('connect', name, '--port', '0')
  await fetch(await decide(await shown(at.heard)))
  const { code, err } = await ended
  if (code !== 0) throw new Error(err)
}

/** The address a person is asked to open, from what was said so far. */
export async function shown(heard: () => string): Promise<string> {
  const found = () => /^http\S+authorize\S+$/m.exec(heard())?.[0]
  await until(() => found() !== undefined, 20_000)
  return found() ?? ''
}
