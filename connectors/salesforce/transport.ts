// The wire below jsforce. Its own (3.10.26, tried) follows redirects to any host with our token, lets a cut body kill
// the process as an uncaught error, never ends a slow body, and cannot be aborted. This one is a single fetch: bounded
// by timeout and signal including the body, no redirects, no retries (api.ts decides those). Proxies: NODE_USE_ENV_PROXY.
import { PassThrough } from 'node:stream'
import type { HttpRequest, HttpResponse } from 'jsforce'
import { Transport } from 'jsforce/lib/transport.js'
import { StreamPromise } from 'jsforce/lib/util/promise.js'
import { Fatal } from '../../src/errors.ts'

/** No usable answer. `reached`: the server may have acted; false only where it never got the request. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  readonly reached: boolean
  constructor(message: string, reached: boolean, options?: ErrorOptions) {
    super(message, options)
    this.reached = reached
  }
}

/** What jsforce's errors leave out: the status and headers of the last answer. */
export interface Seen {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
}

const NEVER_SENT = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT']
const READABLE = /^(?:(?:application|text)\/(?:json|xml))(?:;|$)/

export class BoundedTransport extends Transport {
  seen: Seen | null = null
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

  async #send({ url, method, headers = {}, body }: HttpRequest): Promise<HttpResponse> {
    if (body != null && typeof body !== 'string') throw new TypeError('only text bodies are sent to Salesforce')
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(this.#timeoutMs)])
    // fetch counts the length itself and refuses a second opinion.
    const { 'content-length': _, ...rest } = headers
    try {
      const answer = await fetch(url, { method, headers: rest, body: body ?? null, redirect: 'manual', signal })
      const seen = { status: answer.status, headers: Object.fromEntries(answer.headers) }
      this.seen = seen
      const text = await answer.text()
      if (answer.status >= 300 && answer.status < 400 && answer.status !== 304)
        throw new Fatal(
          'credentials',
          `Salesforce redirected to another address (${answer.status}); refused, so that the token stays here: check loginUrl`,
        )
      if (answer.ok && text !== '' && !READABLE.test(seen.headers['content-type'] ?? ''))
        throw new NoAnswer('Salesforce answered with a page instead of data', true)
      return { statusCode: answer.status, headers: seen.headers, body: text }
    } catch (error) {
      if (error instanceof NoAnswer || error instanceof Fatal) throw error
      this.#signal.throwIfAborted()
      if (signal.aborted) throw new NoAnswer(`Salesforce did not answer within ${this.#timeoutMs / 1000} s`, true)
      const code = codeOf(error)
      throw new NoAnswer(`no connection to Salesforce (${code ?? 'network error'})`, !NEVER_SENT.includes(code ?? ''))
    }
  }
}

/** The innermost system error code. Messages of fetch are not used: they may hold addresses. */
function codeOf(error: unknown): string | null {
  for (let at = error; at instanceof Error; at = at.cause)
    if ('code' in at && typeof at.code === 'string' && at.code !== 'ABORT_ERR') return at.code
  return null
}
