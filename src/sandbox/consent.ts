// The consent page of both lookalikes and what follows from it: a person allows access in a browser, the app gets a code
// on its callback address, and proves with PKCE (S256) that it is the one who asked. One client: `sandbox` / `sandbox`.
import { createHash, randomBytes } from 'node:crypto'
import type { Answer, Call, Kernel, Route } from './kernel.ts'

export const CLIENT = 'sandbox'
export const SECRET = 'sandbox'
const CODE_LIFE_MS = 10 * 60_000

export const secret = () => randomBytes(24).toString('base64url')

/** `scope`: what an app that names none asks for. `named`: every scope the app may ask for, where that is checked. */
export function createConsent(kernel: Kernel, path: string, prefix: string, scope: string, named?: readonly string[]) {
  const codes = new Map<string, Readonly<Record<'challenge' | 'redirect' | 'scope', string>> & { ends: number }>()

  /** The page (GET), and what its two buttons lead to (POST). */
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
    const asked = [given('scope') || scope, given('optional_scope')].filter(Boolean).join(' ')
    const foreign = asked.split(' ').find((one) => named?.includes(one) === false)
    if (foreign) return page(400, 'Wrong link', `<p>The app does not name the scope ${escaped(foreign)}.</p>`)
    if (call.method === 'GET') return page(200, 'Allow access?', question(form, path, asked))
    if (given('decision') !== 'allow')
      return back({ error: 'access_denied', error_description: 'end-user denied authorization' })
    const code = prefix + secret()
    codes.set(code, { challenge, redirect, scope: asked, ends: kernel.monotonic() + CODE_LIFE_MS })
    return back({ code })
  }

  const routes: Route[] = ['GET', 'POST'].map((method) => ({ method, template: path, handle: authorize }))
  return {
    routes,
    /** Once per code: the scope that was allowed, or what is wrong with the form of the token request. */
    redeem(form: URLSearchParams): { readonly scope: string } | { readonly error: string; readonly why: string } {
      const given = (name: string) => form.get(name) ?? ''
      const code = codes.get(given('code'))
      codes.delete(given('code'))
      if (!code || code.ends < kernel.monotonic()) return { error: 'invalid_grant', why: 'invalid authorization code' }
      const verifier = given('code_verifier')
      const proof = createHash('sha256').update(verifier).digest('base64url')
      if (!/^[\w.~-]{43,128}$/.test(verifier) || proof !== code.challenge)
        return { error: 'invalid_grant', why: 'invalid code verifier' }
      if (given('redirect_uri') !== code.redirect)
        return { error: 'redirect_uri_mismatch', why: 'redirect_uri must match configuration' }
      return code
    },
  }
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)

function question(form: URLSearchParams, path: string, scope: string): string {
  const hidden = ([name, value]: [string, string]) =>
    `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`
  return `<p>unstall asks to read and change data of this sandbox organization (${escaped(scope)}).</p>
    <form method="post" action="${path}">${Array.from(form, hidden).join('')}
    <button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></form>`
}
function page(status: number, title: string, main: string): Answer {
  const body = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>
    <meta name="viewport" content="width=device-width"></head><body><main><h1>${title}</h1>${main}</main></body></html>`
  return { status, body, headers: { 'content-type': 'text/html; charset=utf-8' } }
}
