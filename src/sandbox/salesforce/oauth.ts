// OAuth as an External Client App of late 2026 has it: client credentials, JWT bearer, and the web flow with PKCE (S256) whose
// refresh tokens rotate; replaying an old one revokes everything that came from the same consent.
import { createPublicKey, verify } from 'node:crypto'
import { z } from 'zod'
import { CLIENT, createConsent, SECRET, secret } from '../consent.ts'
import type { Answer, Call, Kernel, Route } from '../kernel.ts'
import type { Org } from './org.ts'

const BASE = '/services/oauth2'

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const Claims = z.object({ iss: z.string(), sub: z.string(), aud: z.string(), exp: z.number() })
/** The certificate of the app, so to speak; its private key is in docs/sandbox.md. */
const KEY = createPublicKey({
  format: 'jwk',
  key: {
    ...{ kty: 'RSA', e: 'AQAB' },
    n:
      'ze3sfaA9z22KTa-MpHW-IalaNTg7fcSlc8G94cOKDhqagaMC5W0u2cOn40pwUX09NGzaD59WxTX_qsn6Sn0o1Yvoa3gjmim_97kgx4Pe' +
      '-u3S1pA4XHU10XUtUVi3khk2Dpw0KdAeZg9Ps06eyPio7ArvI5RxaAg600Qwd5QnNAwBKEV1aGU8HhdfGKhGfy_nSJQFyuS-XulSwNqs' +
      'wDsZs9ayitqJpdDierC-azlr9pZUIjii2T4AayFE99iWV6uyli5ivh9lDWPbrzVY03bqReNkSI4BYnppQF23QM_9hXsh77hjDrhC5pxi' +
      'heg_5w3CNHyN-i-tCvNpCq4WvXO0Nw',
  },
})

/** One consent: every token that came from it dies with it. `refresh`: the newest refresh token. */
interface Grant {
  readonly scope: string
  refresh?: string
  live: boolean
}

export function oauth(org: Org, kernel: Kernel, scope = 'api') {
  const consent = createConsent(kernel, `${BASE}/authorize`, '', 'api refresh_token')
  /** Grants by access token, and by every refresh token there was, so that a replay is noticed. */
  const access = new Map<string, Grant>()
  const refresh = new Map<string, Grant>()
  const organization = String(org.rows('Organization')[0]?.Id)
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

  /** Its time is the machine's, as is that of whoever signs. */
  function byKey(call: Call, assertion: string): Answer {
    const [head = '', body = '', signature = ''] = assertion.split('.')
    if (!verify('RSA-SHA256', Buffer.from(`${head}.${body}`), KEY, Buffer.from(signature, 'base64url')))
      return wrong('invalid_grant', 'invalid assertion')
    const { iss, sub, aud, exp } = Claims.parse(JSON.parse(Buffer.from(body, 'base64url').toString()))
    const leftMs = exp * 1000 - Date.now()
    if (iss !== CLIENT) return wrong('invalid_client_id', 'client identifier invalid')
    if (aud !== call.origin) return wrong('invalid_grant', 'audience is invalid')
    if (!(leftMs > 0 && leftMs <= 5 * 60_000)) return wrong('invalid_grant', 'expired assertion')
    if (sub !== org.rows('User').find(({ Id }) => Id === org.apiUser)?.Username)
      return wrong('invalid_grant', "user hasn't approved this consumer")
    return issue(call, { scope: 'api', live: true })
  }

  function token(call: Call): Answer {
    const form = new URLSearchParams(call.body)
    const given = (name: string) => form.get(name) ?? ''
    if (given('grant_type') === JWT_BEARER) return byKey(call, given('assertion'))
    const basic = /^Basic (\S+)$/i.exec(call.headers.authorization ?? '')?.[1]
    const signed = basic ? Buffer.from(basic, 'base64').toString().split(':') : []
    const [id, password] = basic ? signed : [given('client_id'), given('client_secret')]
    if (id !== CLIENT) return wrong('invalid_client_id', 'client identifier invalid')
    if (password !== SECRET) return wrong('invalid_client', 'invalid client credentials')
    const grants: Record<string, () => Answer> = {
      client_credentials: () => issue(call, { scope, live: true }),
      authorization_code: () => {
        const allowed = consent.redeem(form)
        if ('error' in allowed) return wrong(allowed.error, allowed.why)
        return rotate(call, { scope: allowed.scope, live: true })
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
    ...consent.routes,
    { method: 'POST', template: `${BASE}/revoke`, handle: revoke },
  ]
  return { routes, valid, bearer }
}

const wrong = (error: string, error_description: string): Answer => ({
  status: 400,
  body: { error, error_description },
})
