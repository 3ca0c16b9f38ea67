// OAuth as an External Client App of late 2026 has it: client credentials, and the web flow with PKCE (S256) whose
// refresh tokens rotate; replaying an old one revokes everything that came from the same consent.
import { createHash, randomBytes } from 'node:crypto'
import type { Answer, Call, Kernel, Route } from '../kernel.ts'
import type { Org } from './org.ts'

const CLIENT = 'sandbox'
const SECRET = 'sandbox'
const BASE = '/services/oauth2'
const CODE_LIFE_MS = 10 * 60_000

/** One consent: every token that came from it dies with it. `refresh`: the newest refresh token. */
interface Grant {
  readonly scope: string
  refresh?: string
  live: boolean
}

export function oauth(org: Org, kernel: Kernel) {
  const codes = new Map<string, Readonly<Record<'challenge' | 'redirect' | 'scope', string>> & { ends: number }>()
  /** Grants by access token, and by every refresh token there was, so that a replay is noticed. */
  const access = new Map<string, Grant>()
  const refresh = new Map<string, Grant>()
  const organization = String(org.rows('Organization')[0]?.Id)
  const secret = () => randomBytes(24).toString('base64url')
  const bearer = (call: Call) => /^Bearer (\S+)$/i.exec(call.headers.authorization ?? '')?.[1] ?? ''
  const valid = (token: string) => access.get(token)?.live === true && kernel.tokens.check(token) === 'valid'

  /** Opaque access tokens only: jsforce refuses SOAP with a JWT below API 68. */
  function issue({ origin }: Call, grant: Grant): Answer {
    const access_token = `${organization}!${secret()}`
    kernel.tokens.issue(access_token)
    access.set(access_token, grant)
    const id = `${origin}/id/${organization}/${org.apiUser}`
    const signed = { issued_at: String(kernel.now()), signature: secret() }
    const body = { access_token, token_type: 'Bearer', scope: grant.scope, instance_url: origin, id, ...signed }
    return { status: 200, body: { ...body, refresh_token: grant.refresh } }
  }
  function rotate(call: Call, grant: Grant): Answer {
    grant.refresh = secret()
    refresh.set(grant.refresh, grant)
    kernel.tokens.check(grant.refresh) // makes it known, so that the act revoke-token reaches it too
    return issue(call, grant)
  }

  function token(call: Call): Answer {
    const form = new URLSearchParams(call.body)
    const given = (name: string) => form.get(name) ?? ''
    const basic = /^Basic (\S+)$/i.exec(call.headers.authorization ?? '')?.[1]
    const signed = basic ? Buffer.from(basic, 'base64').toString().split(':') : []
    const [id, password] = basic ? signed : [given('client_id'), given('client_secret')]
    if (id !== CLIENT) return wrong('invalid_client_id', 'client identifier invalid')
    if (password !== SECRET) return wrong('invalid_client', 'invalid client credentials')
    const grants: Record<string, () => Answer> = {
      client_credentials: () => issue(call, { scope: 'api', live: true }),
      authorization_code: () => {
        const code = codes.get(given('code'))
        codes.delete(given('code'))
        if (!code || code.ends < kernel.monotonic()) return wrong('invalid_grant', 'invalid authorization code')
        const verifier = given('code_verifier')
        const proof = createHash('sha256').update(verifier).digest('base64url')
        if (!/^[\w.~-]{43,128}$/.test(verifier) || proof !== code.challenge)
          return wrong('invalid_grant', 'invalid code verifier')
        if (given('redirect_uri') !== code.redirect)
          return wrong('redirect_uri_mismatch', 'redirect_uri must match configuration')
        return rotate(call, { scope: code.scope, live: true })
      },
      refresh_token: () => {
        const old = given('refresh_token')
        const grant = refresh.get(old)
        if (grant && grant.refresh !== old) grant.live = false
        const dead = !grant?.live || kernel.tokens.check(old) !== 'valid'
        return dead ? wrong('invalid_grant', 'expired access/refresh token') : rotate(call, grant)
      },
    }
    return grants[given('grant_type')]?.() ?? wrong('unsupported_grant_type', 'grant type not supported')
  }

  /** The consent page (GET), and what its two buttons lead to (POST). */
  function authorize(call: Call): Answer {
    const form = call.method === 'POST' ? new URLSearchParams(call.body) : call.query
    const given = (name: string) => form.get(name) ?? ''
    const [redirect, challenge] = [given('redirect_uri'), given('code_challenge')]
    const local = ['127.0.0.1', 'localhost', '[::1]'].includes(URL.parse(redirect)?.hostname ?? '')
    if (given('client_id') !== CLIENT || !local)
      return page(400, 'Wrong link', '<p>Unknown app, or its callback address is not on this machine.</p>')
    const back = (answer: Record<string, string>): Answer => {
      const location = new URL(redirect)
      const named = Object.entries({ ...answer, state: given('state') })
      for (const [name, value] of named) if (value !== '') location.searchParams.set(name, value)
      return { status: 302, headers: { location: location.href } }
    }
    if (!challenge || given('code_challenge_method') !== 'S256')
      return back({ error: 'invalid_request', error_description: 'missing required code challenge' })
    const scope = given('scope') || 'api refresh_token'
    if (call.method === 'GET') return page(200, 'Allow access?', consent(form, scope))
    if (given('decision') !== 'allow')
      return back({ error: 'access_denied', error_description: 'end-user denied authorization' })
    const code = secret()
    codes.set(code, { challenge, redirect, scope, ends: kernel.monotonic() + CODE_LIFE_MS })
    return back({ code })
  }

  function revoke(call: Call): Answer {
    const given = new URLSearchParams(call.body).get('token') ?? call.query.get('token') ?? ''
    const grant = refresh.get(given)
    if (grant) grant.live = false
    kernel.tokens.revoke(given)
    const known = grant !== undefined || access.has(given)
    return known ? { status: 200 } : wrong('unsupported_token_type', 'this token type is not supported')
  }

  const routes: Route[] = [
    { method: 'POST', template: `${BASE}/token`, handle: token },
    { method: 'GET', template: `${BASE}/authorize`, handle: authorize },
    { method: 'POST', template: `${BASE}/authorize`, handle: authorize },
    { method: 'POST', template: `${BASE}/revoke`, handle: revoke },
  ]
  return { routes, valid, bearer }
}

const wrong = (error: string, error_description: string): Answer => ({
  status: 400,
  body: { error, error_description },
})
const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)

function consent(form: URLSearchParams, scope: string): string {
  const hidden = ([name, value]: [string, string]) =>
    `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`
  return `<p>unstall asks to read and change data of this sandbox organization (${escaped(scope)}).</p>
    <form method="post" action="${BASE}/authorize">${Array.from(form, hidden).join('')}
    <button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></form>`
}
function page(status: number, title: string, main: string): Answer {
  const body = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>
    <meta name="viewport" content="width=device-width"></head><body><main><h1>${title}</h1>${main}</main></body></html>`
  return { status, body, headers: { 'content-type': 'text/html; charset=utf-8' } }
}
