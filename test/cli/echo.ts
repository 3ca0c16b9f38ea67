// A CRM behind a mirror: every credential that passes here towards the client carries a mark no shape could give away,
// and on demand each call is answered with a failure that repeats all that was sent.
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'

export const MARK = 'cAnArY7q'

/** Null: as the CRM answers. */
export type Failure = Readonly<{ status: number; type: 'json' | 'html'; on: RegExp }> | null

export async function mirror(crm: string, secret: string) {
  let failure: Failure = null
  let repeated = 0
  /** Marked by real. */
  const marked = new Map<string, string>()
  const real = (text: string) =>
    [...marked].reduce((all, [was, mark]) => all.replaceAll(mark, was), text.replaceAll(secret, 'sandbox'))
  const server = createServer(async (request, response) => {
    const { method = 'GET', url = '/', headers } = request
    const body = await read(request)
    const own = url.startsWith('/__sandbox/')
    if (failure && !own && failure.on.test(url)) {
      repeated += 1
      const said = `${headers.authorization} ${url} ${body}`
      response.writeHead(failure.status, {
        'content-type': failure.type === 'json' ? 'application/json' : 'text/html',
        location: `https://elsewhere.example/?token=${encodeURIComponent(said.slice(0, 200))}`,
      })
      return response.end(failure.type === 'json' ? JSON.stringify(refusal(url, said)) : `<html>${said}</html>`)
    }
    const kept = Object.entries(headers).filter(([name]) => !/^(host|connection|content-length)$/.test(name))
    const sent = Object.fromEntries(kept.map(([name, value]) => [name, real(String(value))]))
    const about = { method, headers: sent, redirect: 'manual', ...(body && { body: real(body) }) } as const
    const answer = await fetch(crm + url, about)
    let text = (await answer.text()).replaceAll(crm, here())
    if (/\/token$/.test(url))
      for (const [, token = ''] of text.matchAll(/"(?:access|refresh)_token":"([^"]+)"/g))
        marked.set(token, marked.get(token) ?? `sandbox-${MARK}-${marked.size}`)
    if (/\/token$/.test(url)) for (const [token, mark] of marked) text = text.replaceAll(token, mark)
    const back = [...answer.headers].filter(([name]) => !/^(content-length|content-encoding|transfer)/.test(name))
    response.writeHead(answer.status, Object.fromEntries(back)).end(text)
  })
  // A command may block for longer than the five seconds after which a server hangs up.
  server.keepAliveTimeout = 0
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const here = () => {
    const address = server.address()
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  }
  return {
    url: here(),
    /** How many tokens it has marked. */
    marked: () => marked.size,
    /** How often it repeated what was sent. */
    fail(next: Failure): number {
      failure = next
      return repeated
    },
    close: async () => void server.close().closeAllConnections(),
  }
}

/** In the shape of either CRM, so that it is understood and its words are taken. */
function refusal(url: string, said: string): unknown {
  if (/oauth/.test(url)) return { error: 'invalid_client', status: said, message: said, error_description: said }
  if (url.startsWith('/services/')) return [{ errorCode: 'FIELD_CUSTOM_VALIDATION_EXCEPTION', message: said }]
  return { status: 'error', category: 'VALIDATION_ERROR', message: said, errors: [{ message: said }] }
}

async function read(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(Buffer.from(part))
  return Buffer.concat(parts).toString()
}
