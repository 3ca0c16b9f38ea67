// OAuth as an External Client App of late 2026 has it: client credentials, and the web flow with PKCE (S256) whose
// refresh tokens rotate; replaying an old one revokes everything that came from the same consent.
import { createHash, randomBytes } from 'node:crypto'
import type { Answer, Call, Kernel, Route } from '../kernel.ts'
import { type Org, refused } from './org.ts'

const CLIENT = { id: 'sandbox', secret: 'sandbox' }
const base = '/services/oauth2'
const CODE_LIFE_MS = 10 * 60_000

/** One consent: every token that came from it dies with it. */
interface Grant {
  readonly scope: string
  refresh: string | null
  live: boolean
}

export function oauth(org: Org, kernel: Kernel) {
  const codes = new Map<
    string,
    { readonly challenge: string; readonly redirect: string; readonly scope: string; readonly ends: number }
  >()
  const access = new Map<string, Grant>()
  const refresh = new Map<string, Grant>()
  const organization = String(org.rows('Organization')[0]?.Id ?? '')
  const secret = () => randomBytes(24).toString('base64url')

  const identityUrl = (call: Call) => `${call.origin}/id/${organization}/${org.apiUser}`
  /** Opaque access tokens only: jsforce refuses SOAP with a JWT below API 68. */
  const valid = (token: string) => access.get(token)?.live === true && kernel.tokens.check(token) === 'valid'
  const bearer = (call: Call) => /^Bearer (\S+)$/i.exec(call.headers.authorization ?? '')?.[1] ?? ''

  function answer(call: Call, grant: Grant): Answer {
    const token = `${organization.slice(0, 15)}!${secret()}`
    kernel.tokens.issue(token)
    access.set(token, grant)
    const id = identityUrl(call)
    const issued_at = String(kernel.now())
    const signature = createHash('sha256').update(`${id} ${issued_at}`).digest('base64')
    const body = { access_token: token, token_type: 'Bearer', scope: grant.scope, instance_url: call.origin, id }
    const renewal = grant.refresh === null ? {} : { refresh_token: grant.refresh }
    return { status: 200, body: { ...body, ...renewal, issued_at, signature } }
  }
  /** A new refresh token; the one before stays known, so that its replay is noticed. */
  function rotate(grant: Grant): Grant {
    grant.refresh = secret()
    refresh.set(grant.refresh, grant)
    kernel.tokens.check(grant.refresh) // makes it known, so that the act revoke-token reaches it too
    return grant
  }
  const wrong = (error: string, error_description: string): Answer => ({
    status: 400,
    body: { error, error_description },
  })

  function token(call: Call): Answer {
    const form = new URLSearchParams(call.body)
    const basic = /^Basic (\S+)$/i.exec(call.headers.authorization ?? '')?.[1]
    const [id, password] = basic
      ? Buffer.from(basic, 'base64').toString().split(':')
      : [form.get('client_id'), form.get('client_secret')]
    if (id !== CLIENT.id) return wrong('invalid_client_id', 'client identifier invalid')
    if (password !== CLIENT.secret) return wrong('invalid_client', 'invalid client credentials')
    switch (form.get('grant_type')) {
      case 'client_credentials':
        return answer(call, { scope: 'api', refresh: null, live: true })
      case 'authorization_code': {
        const code = codes.get(form.get('code') ?? '')
        codes.delete(form.get('code') ?? '')
        if (!code || code.ends < kernel.monotonic()) return wrong('invalid_grant', 'invalid authorization code')
        const verifier = form.get('code_verifier') ?? ''
        const proof = createHash('sha256').update(verifier).digest('base64url')
        if (!/^[\w.~-]{43,128}$/.test(verifier) || proof !== code.challenge)
          return wrong('invalid_grant', 'invalid code verifier')
        if (form.get('redirect_uri') !== code.redirect)
          return wrong('redirect_uri_mismatch', 'redirect_uri must match configuration')
        return answer(call, rotate({ scope: code.scope, refresh: null, live: true }))
      }
      case 'refresh_token': {
        const given = form.get('refresh_token') ?? ''
        const grant = refresh.get(given)
        if (grant && grant.refresh !== given) grant.live = false
        if (!grant?.live || kernel.tokens.check(given) !== 'valid')
          return wrong('invalid_grant', 'expired access/refresh token')
        return answer(call, rotate(grant))
      }
      default:
        return wrong('unsupported_grant_type', 'grant type not supported')
    }
  }

  const FIELDS = ['client_id', 'redirect_uri', 'state', 'scope', 'code_challenge'] as const
  /** The consent page, and what its two buttons lead to. */
  function authorize(call: Call): Answer {
    const form = call.method === 'POST' ? new URLSearchParams(call.body) : call.query
    const [client, redirect, state, scope, challenge] = FIELDS.map((name) => form.get(name) ?? '')
    const host = URL.parse(redirect ?? '')?.hostname
    if (client !== CLIENT.id || !['127.0.0.1', 'localhost', '[::1]'].includes(host ?? ''))
      return html(400, 'Wrong link', '<p>Unknown app, or its callback address is not on this machine.</p>')
    const back = (answer: Record<string, string>): Answer => {
      const url = new URL(redirect ?? '')
      for (const [name, value] of Object.entries({ ...answer, ...(state ? { state } : {}) }))
        url.searchParams.set(name, value)
      return { status: 302, headers: { location: url.href } }
    }
    if (call.method === 'GET') {
      if (form.get('response_type') !== 'code')
        return back({ error: 'unsupported_response_type', error_description: 'response type not supported' })
      if (!challenge || form.get('code_challenge_method') !== 'S256')
        return back({ error: 'invalid_request', error_description: 'missing required code challenge' })
      const field = (name: string) => `<input type="hidden" name="${name}" value="${escaped(form.get(name) ?? '')}">`
      const what = `unstall asks to read and change data of this sandbox organization (${escaped(scope || 'api')}).`
      const button = (value: string, words: string) =>
        `<button type="submit" name="decision" value="${value}">${words}</button>`
      const inputs = `${FIELDS.map(field).join('')}${button('allow', 'Allow')} ${button('deny', 'Deny')}`
      return html(200, 'Allow access?', `<p>${what}</p><form method="post" action="${base}/authorize">${inputs}</form>`)
    }
    if (form.get('decision') !== 'allow')
      return back({ error: 'access_denied', error_description: 'end-user denied authorization' })
    const code = secret()
    const ends = kernel.monotonic() + CODE_LIFE_MS
    codes.set(code, { challenge: challenge ?? '', redirect: redirect ?? '', scope: scope || 'api refresh_token', ends })
    return back({ code })
  }

  function revoke(call: Call): Answer {
    const token = new URLSearchParams(call.body).get('token') ?? call.query.get('token') ?? ''
    const grant = refresh.get(token)
    if (grant) grant.live = false
    if (!grant && !access.has(token)) return wrong('unsupported_token_type', 'this token type is not supported')
    kernel.tokens.revoke(token)
    return { status: 200 }
  }
  function identity(call: Call): Answer {
    if (!valid(bearer(call)) && !valid(call.query.get('oauth_token') ?? ''))
      throw refused(403, 'Bad_OAuth_Token', 'Bad_OAuth_Token')
    const { Name: name, Email: email, Username: username } = org.find(org.apiUser)?.row ?? {}
    const ids = { sub: identityUrl(call), user_id: org.apiUser, organization_id: organization }
    return { status: 200, body: { ...ids, name, email, username } }
  }

  const routes: Route[] = [
    { method: 'POST', template: `${base}/token`, handle: token },
    { method: 'GET', template: `${base}/authorize`, handle: authorize },
    { method: 'POST', template: `${base}/authorize`, handle: authorize },
    { method: 'POST', template: `${base}/revoke`, handle: revoke },
    { method: 'GET', template: `${base}/userinfo`, handle: identity },
    { method: 'GET', template: '/id/{organization}/{user}', handle: identity },
  ]
  return { routes, valid, bearer }
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
function html(status: number, title: string, main: string): Answer {
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>`
  const body = `<!doctype html><html lang="en"><head>${head}</head><body><main><h1>${title}</h1>${main}</main></body></html>`
  return { status, body, headers: { 'content-type': 'text/html; charset=utf-8' } }
}
