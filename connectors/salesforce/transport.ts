// The wire below jsforce. Its own (3.10.26, tried) follows redirects to any host with our token, lets a cut body kill
// the process as an uncaught error, never ends a slow body, and cannot be aborted. This one is a single fetch: bounded
// by timeout and signal including the body, no redirects, no retries (api.ts decides those). Proxies: NODE_USE_ENV_PROXY.
import { PassThrough } from 'node:stream'
import type { HttpRequest, HttpResponse } from 'jsforce'
import { Transport } from 'jsforce/lib/transport.js'
import { StreamPromise } from 'jsforce/lib/util/promise.js'
import { Fatal } from '../../src/errors.ts'

/** No usable answer: the server may have acted. */
export class NoAnswer extends Error {}
/** The server never got the request. */
export class NotSent extends NoAnswer {}

const NEVER_SENT = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT']

export class BoundedTransport extends Transport {
  /** The last answer's status and headers, which jsforce's errors leave out. */
  seen: { readonly status: number; readonly headers: Readonly<Record<string, string>> } | null = null
  readonly #signal: AbortSignal
  readonly #timeoutMs: number

  constructor(signal: AbortSignal, timeoutMs: number) {
    super()
    this.#signal = signal
    this.#timeoutMs = timeoutMs
  }

  override httpRequest(request: HttpRequest): StreamPromise<HttpResponse> {
    return StreamPromise.create(() => ({ stream: new PassThrough(), promise: this.#send(request) }))
  }

  async #send({ url, method, headers: given = {}, body }: HttpRequest): Promise<HttpResponse> {
    const timeout = AbortSignal.timeout(this.#timeoutMs)
    // fetch counts the length itself and refuses a second opinion.
    const { 'content-length': _, ...headers } = given
    const sent = { method, headers, body: typeof body === 'string' ? body : null }
    const signal = AbortSignal.any([this.#signal, timeout])
    try {
      const answer = await fetch(url, { ...sent, redirect: 'manual', signal })
      this.seen = { status: answer.status, headers: Object.fromEntries(answer.headers) }
      if (answer.status < 300 || answer.status >= 400)
        return { statusCode: answer.status, headers: this.seen.headers, body: await answer.text() }
    } catch (error) {
      this.#signal.throwIfAborted()
      if (timeout.aborted) throw new NoAnswer(`Salesforce did not answer within ${this.#timeoutMs / 1000} s`)
      const code = codeOf(error)
      const Kind = NEVER_SENT.includes(code) ? NotSent : NoAnswer
      throw new Kind(`no connection to Salesforce (${code})`)
    }
    const refused = `Salesforce redirected to another address (${this.seen.status})`
    throw new Fatal('credentials', `${refused}; refused, so that the token stays here: check loginUrl`)
  }
}

/** The innermost system error code. Messages of fetch are not used: they may hold addresses. */
function codeOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause)
    if ('code' in at && typeof at.code === 'string' && at.code !== 'ABORT_ERR') return at.code
  return 'network error'
}
