// A browser without a network or a screen: keeps cookies, reads the token of a form, sends it back.
import { type AccessOptions, createAccess } from '../../src/web/access.ts'
import type { Web } from '../../src/web/server.ts'

export const access = (more: Partial<AccessOptions> = {}) =>
  createAccess({
    ...{ operator: null, viewer: null, proxy: null, url: null, secret: 's'.repeat(32), clock: Date.now },
    ...more,
  })

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>
  readonly form?: Readonly<Record<string, string>>
  readonly method?: string
}
export interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: Headers
  /** Where it leads, if it does. */
  readonly to: string | null
}

/** `address`: of the other end. Each browser has its own cookies. */
export function browser(web: Web, { address = '127.0.0.1', origin = 'http://127.0.0.1' } = {}) {
  const cookies = new Map<string, string>()
  async function ask(path: string, { headers = {}, form, method = form ? 'POST' : 'GET' }: Sent = {}): Promise<Answer> {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const all = { ...(cookie && { cookie }), ...(form && { origin }), ...headers }
    const body = form ? { body: new URLSearchParams(form) } : {}
    const env = { incoming: { socket: { remoteAddress: address } } }
    const answer = await web.request(`${origin}${path}`, { method, headers: all, ...body }, env)
    for (const set of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? []
      cookies.set(name, value)
    }
    const to = answer.headers.get('location')
    return { status: answer.status, text: await answer.text(), headers: answer.headers, to }
  }
  const token = async (path: string) => tokenIn((await ask(path)).text)
  return {
    cookies,
    ask,
    token,
    /** Presses the button of a form on `page`. */
    press: async (page: string, action: string, fields: Readonly<Record<string, string>> = {}, sent: Sent = {}) =>
      ask(action, { ...sent, form: { csrf: await token(page), ...fields } }),
    signIn: async (password: string, sent: Sent = {}) =>
      ask('/login', { ...sent, form: { csrf: await token('/login'), password } }),
  }
}
export const tokenIn = (page: string) => /name="csrf" value="([^"]+)"/.exec(page)?.[1] ?? ''
