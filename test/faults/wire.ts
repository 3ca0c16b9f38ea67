// A line between the program and a lookalike CRM that can be bad: what no well-behaved server would send (half an answer,
// one byte at a time, a page where data was asked for, a redirect to somebody else) is done here, on real sockets.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'

/** `cut`: half of the body, then the line is dead. `trickle`: never ends. `silence`: no answer. `page`: HTML with 200,
 *  `sorry`: with 503, both in place of the call; `half`: the first half as if it were all; `empty`: 200 and nothing. `edit`: other words
 *  in the answer. */
export type Mangle =
  | 'cut'
  | 'trickle'
  | 'silence'
  | 'page'
  | 'sorry'
  | 'half'
  | 'empty'
  | { readonly redirect: string; readonly status: number }
  | { readonly edit: (body: string) => string }
export const MANGLES = ['cut', 'trickle', 'page', 'silence', 'sorry', 'half', 'empty'] as const

export interface Asked {
  readonly method: string
  readonly path: string
  readonly body: string
}

async function listening(serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>, host: string) {
  const server = createServer({ keepAliveTimeout: 60_000, maxHeaderSize: 65_536 }, (request, response) => {
    serve(request, response).catch(() => response.destroy())
  })
  await once(server.listen(0, host), 'listening')
  const address = server.address()
  const url = `http://${host}:${typeof address === 'object' ? address?.port : ''}`
  const stop = () => {
    server.closeAllConnections()
    return new Promise<void>((closed) => void server.close(() => closed()))
  }
  return { url, stop }
}

/** Everything goes through to `to`, addresses in answers put right. `spoil` says of each call of the API what becomes of
 *  it: what arrives as a whole or in part has been applied, anything else never reached the CRM. */
export async function wire(to: string, spoil: (asked: Asked) => Mangle | null) {
  const { url, stop } = await listening(async (request, response) => {
    const sent = await buffer(request)
    const { method = 'GET', url: path = '/' } = request
    const control = path.startsWith('/__sandbox/')
    const mangle = control ? null : spoil({ method, path, body: sent.toString() })
    if (mangle === 'silence') return
    const html = { 'content-type': 'text/html' }
    if (mangle === 'page' || mangle === 'sorry')
      return void response.writeHead(mangle === 'page' ? 200 : 503, html).end('<!DOCTYPE html><h1>Please sign in</h1>')
    if (mangle !== null && typeof mangle === 'object' && 'redirect' in mangle)
      return void response.writeHead(mangle.status, { location: mangle.redirect + path }).end()
    const {
      host: _,
      connection: __,
      'content-length': ___,
      'transfer-encoding': ____,
      ...kept
    } = request.headersDistinct
    const headers = Object.entries(kept).flatMap(([name, values = []]) =>
      values.map((value) => [name, value] as [string, string]),
    )
    const answer = await fetch(to + path, {
      method,
      headers,
      redirect: 'manual',
      ...(sent.length > 0 && { body: sent }),
    })
    const said = (await answer.text()).replaceAll(to, url)
    const edited = mangle !== null && typeof mangle === 'object' && 'edit' in mangle
    const body = Buffer.from(edited ? mangle.edit(said) : said)
    const head = Object.fromEntries(
      [...answer.headers].filter(
        ([name]) => !/^(?:connection|keep-alive|content-length|transfer-encoding)$/.test(name),
      ),
    )
    const half = body.subarray(0, Math.floor(body.length / 2))
    if (mangle === 'empty') return void response.writeHead(answer.status, head).end()
    if (mangle === 'half') return void response.writeHead(answer.status, head).end(half)
    response.writeHead(answer.status, { ...head, ...(answer.status === 204 ? {} : { 'content-length': body.length }) })
    if (mangle === null || edited) return void response.end(body)
    response.write(half)
    if (mangle === 'cut') return void setTimeout(() => request.socket.destroy(), 10)
    const drop = setInterval(() => response.write(' '), 20)
    response.on('close', () => clearInterval(drop))
  }, '127.0.0.1')
  return { url, stop }
}

/** A line that changes nothing and tells when the first call that fits has arrived. */
export function tripwire({ onEnd }: { onEnd(cleanup: () => unknown): void }, fits: (asked: Asked) => boolean) {
  const first = Promise.withResolvers<void>()
  const through = async (url: string) => {
    const line = await wire(url, (asked) => {
      if (fits(asked)) first.resolve()
      return null
    })
    onEnd(() => line.stop())
    return line.url
  }
  return { through, first: first.promise }
}

/** Another host, which notes what it is told. */
export async function stranger() {
  const heard: string[] = []
  const { url, stop } = await listening(async (request, response) => {
    heard.push(`${request.method} ${request.url} ${request.headers.authorization ?? ''} ${await buffer(request)}`)
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  }, '127.0.0.2')
  return { url, stop, heard }
}
