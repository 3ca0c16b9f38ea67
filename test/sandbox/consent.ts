// A person's consent without a browser: what the Allow button of either sandbox's page sends, for tests that need a first
// set of tokens.
import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'

const PAGES = { hubspot: '/oauth/authorize', salesforce: '/services/oauth2/authorize' } as const

/** What the token request needs beside the grant type and the client. */
export async function allow(url: string, system: keyof typeof PAGES = 'hubspot', decision = 'allow') {
  const verifier = randomBytes(32).toString('base64url')
  const redirect_uri = 'http://127.0.0.1:9/callback'
  const asked = {
    ...{ client_id: 'sandbox', response_type: 'code', redirect_uri, state: 'state of the app', decision },
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }
  const answer = await fetch(url + PAGES[system], {
    method: 'POST',
    body: new URLSearchParams(asked),
    redirect: 'manual',
  })
  const back = new URL(answer.headers.get('location') ?? 'http://127.0.0.1/nowhere')
  if (back.searchParams.get('state') !== asked.state) throw new Error(`no consent: ${answer.status}`)
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
