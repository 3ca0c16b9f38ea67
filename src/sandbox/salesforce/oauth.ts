// OAuth as an External Client App of late 2026 has it: client credentials, and the web flow with PKCE (S256) whose
// refresh tokens rotate; replaying an old one revokes everything that came from the same consent.
import { createHash, randomBytes } from 'node:crypto'
import type { Answer, Call, Kernel, Route } from '../kernel.ts'
import type { Org } from './org.ts'

const CLIENT = { id: 'sandbox', secret: 'sandbox' }
const AUTHORIZE = '/services/oauth2/authorize'
const CODE_LIFE_MS = 10 * 60_000

/** One consent: every token that came from it dies with it. `refresh`: the newest refresh token. */
interface Grant {
  readonly scope: string
  refresh: string | null
  live: boolean
}
interface Code {
  readonly challenge: string
  readonly redirect: string
  readonly scope: string
  readonly ends: number
}

export function oauth(org: Org, kernel: Kernel) {
  const codes = new Map<string, Code>()
  const access = new Map<string, Grant>()
  const refresh = new Map<string, Grant>()
  const organization = String(org.rows('Organization')[0]?.Id)
  const secret = () => randomBytes(24).toString('base64url')

  const bearer = (call: Call) => /^Bearer (\S+)$/i.exec(call.headers.authorization ?? '')?.[1] ?? ''
  const valid = (token: string) => access.get(token)?.live === true && kernel.tokens.check(token) === 'valid'

  /** Opaque access tokens only: jsforce refuses SOAP with a JWT below API 68. */
  function issue(call: Call, grant: Grant): Answer {
    const access_token = `${organization.slice(0, 15)}!${secret()}`
    kernel.tokens.issue(access_token)
    access.set(access_token, grant)
    const { origin } = call
    const who = { instance_url: origin, id: `${origin}/id/${organization}/${org.apiUser}` }
    const when = { issued_at: String(kernel.now()), signature: secret() }
    const renewal = grant.refresh === null ? {} : { refresh_token: grant.refresh }
    return {
      status: 200,
      body: { access_token, token_type: 'Bearer', scope: grant.scope, ...who, ...when, ...renewal },
    }
  }
  /** A new refresh token; the one before stays known, so that its replay is noticed. */
  function rotate(grant: Grant): Grant {
    grant.refresh = secret()
    refresh.set(grant.refresh, grant)
    kernel.tokens.check(grant.refresh) // makes it known, so that the act revoke-token reaches it too
    return grant
  }

  function token(call: Call): Answer {
    const form = new URLSearchParams(call.body)
    const given = (name: string) => form.get(name) ?? ''
    const basic = /^Basic (\S+)$/i.exec(call.headers.authorization ?? '')?.[1]
    const [id, password] = basic
      ? Buffer.from(basic, 'base64').toString().split(':')
      : [given('client_id'), given('client_secret')]
    if (id !== CLIENT.id) return wrong('invalid_client_id', 'client identifier invalid')
    if (password !== CLIENT.secret) return wrong('invalid_client', 'invalid client credentials')
    switch (given('grant_type')) {
      case 'client_credentials':
        return issue(call, { scope: 'api', refresh: null, live: true })
      case 'authorization_code': {
        const code = codes.get(given('code'))
        codes.delete(given('code'))
        const verifier = given('code_verifier')
        const proof = createHash('sha256').update(verifier).digest('base64url')
        if (!code || code.ends < kernel.monotonic()) return wrong('invalid_grant', 'invalid authorization code')
        if (!/^[\w.~-]{43,128}$/.test(verifier) || proof !== code.challenge)
          return wrong('invalid_grant', 'invalid code verifier')
        if (given('redirect_uri') !== code.redirect)
          return wrong('redirect_uri_mismatch', 'redirect_uri must match configuration')
        return issue(call, rotate({ scope: code.scope, refresh: null, live: true }))
      }
      case 'refresh_token': {
        const old = given('refresh_token')
        const grant = refresh.get(old)
        if (grant && grant.refresh !== old) grant.live = false
        if (!grant?.live || kernel.tokens.check(old) !== 'valid')
          return wrong('invalid_grant', 'expired access/refresh token')
        return issue(call, rotate(grant))
      }
      default:
        return wrong('unsupported_grant_type', 'grant type not supported')
    }
  }

  /** The consent page, and what its two buttons lead to. */
  function authorize(call: Call): Answer {
    const form = call.method === 'POST' ? new URLSearchParams(call.body) : call.query
    const given = (name: string) => form.get(name) ?? ''
    const redirect = given('redirect_uri')
    const local = ['127.0.0.1', 'localhost', '[::1]'].includes(URL.parse(redirect)?.hostname ?? '')
    if (given('client_id') !== CLIENT.id || !local)
      return page(400, 'Wrong link', '<p>Unknown app, or its callback address is not on this machine.</p>')
    const back = (answer: Record<string, string>): Answer => {
      const location = new URL(redirect)
      for (const [name, value] of Object.entries({ ...answer, state: given('state') }))
        if (value !== '') location.searchParams.set(name, value)
      return { status: 302, headers: { location: location.href } }
    }
    const scope = given('scope') || 'api refresh_token'
    const challenge = given('code_challenge')
    if (!challenge || (call.method === 'GET' && given('code_challenge_method') !== 'S256'))
      return back({ error: 'invalid_request', error_description: 'missing required code challenge' })
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
    if (!grant && !access.has(given)) return wrong('unsupported_token_type', 'this token type is not supported')
    kernel.tokens.revoke(given)
    return { status: 200 }
  }

  const routes: Route[] = [
    { method: 'POST', template: '/services/oauth2/token', handle: token },
    { method: 'GET', template: AUTHORIZE, handle: authorize },
    { method: 'POST', template: AUTHORIZE, handle: authorize },
    { method: 'POST', template: '/services/oauth2/revoke', handle: revoke },
  ]
  return { routes, valid, bearer }
}

const wrong = (error: string, error_description: string): Answer => ({
  status: 400,
  body: { error, error_description },
})

const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
function consent(form: URLSearchParams, scope: string): string {
  const kept = ['client_id', 'redirect_uri', 'state', 'scope', 'code_challenge']
  const inputs = kept.map((name) => `<input type="hidden" name="${name}" value="${escaped(form.get(name) ?? '')}">`)
  const button = (value: string, words: string) => `<button name="decision" value="${value}">${words}</button>`
  return `<p>unstall asks to read and change data of this sandbox organization (${escaped(scope)}).</p>
    <form method="post" action="${AUTHORIZE}">${inputs.join('')}${button('allow', 'Allow')} ${button('deny', 'Deny')}</form>`
}
function page(status: number, title: string, main: string): Answer {
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>`
  const body = `<!doctype html><html lang="en"><head>${head}</head><body><main><h1>${title}</h1>${main}</main></body></html>`
  return { status, body, headers: { 'content-type': 'text/html; charset=utf-8' } }
}
