// Where tokens may go, for both CRMs, over real HTTP: a host that redirects, or that names another one in a page link,
// never makes the client send anything there.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { connectHubspot, signIn as signInToHubspot, staticToken } from '../../connectors/hubspot/index.ts'
import {
  clientCredentials,
  connectSalesforce,
  signIn as signInToSalesforce,
} from '../../connectors/salesforce/index.ts'
import { collect, openGate } from '../conformance.ts'

const never = new AbortController().signal
const common = { gate: openGate(), clock: () => 0, sleep: async () => {}, timezone: 'UTC' }

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    request.resume()
    answer(request, response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close().closeAllConnections())
  const address = server.address()
  return { seen, url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` }
}
const json = (response: ServerResponse, body: unknown) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
const elsewhere = () => serve((_, response) => json(response, {}))
const tried = (work: Promise<unknown>) => work.then(String, String)

test.each([301, 302, 307, 308])(
  '%i to another host: no call, no sign-in and no question about scopes follows',
  async (status) => {
    const other = await elsewhere()
    const api = (path: string) => !/oauth/.test(path)
    const all = await serve(({ url }, response) => response.writeHead(status, { location: other.url + url }).end())
    // Signs in, and redirects what comes after.
    const later = await serve(({ url = '', headers }, response) => {
      const session = {
        access_token: 't',
        expires_in: 60,
        instance_url: `http://${headers.host}`,
        token_type: 'Bearer',
      }
      if (api(url)) response.writeHead(status, { location: other.url + url }).end()
      else json(response, session)
    })
    const client = { clientId: 'c', clientSecret: 's' }
    for (const { url } of [all, later]) {
      const credential = clientCredentials({ loginUrl: url, ...client })
      const sf = connectSalesforce({ ...common, credential })
      const hub = connectHubspot({ ...common, baseUrl: url, credential: staticToken('t'), app: client })
      for (const connector of [hub, sf]) {
        await tried(connector.check(never))
        expect(await tried(connector.reference(never))).toMatch(/redirect|refused to sign in|status 30/)
        await tried(collect(connector.setup(never)))
      }
      await tried(signInToHubspot({ baseUrl: url, ...client }).exchange('r'))
      await tried(signInToSalesforce({ loginUrl: url, ...client }, true).exchange('r'))
    }
    expect(all.seen.length + later.seen.length).toBeGreaterThan(8)
    expect(other.seen).toEqual([])
  },
)

test('a question about scopes that is redirected is no answer', async () => {
  const other = await elsewhere()
  const crm = await serve(({ url = '' }, response) => {
    if (/oauth/.test(url)) response.writeHead(307, { location: other.url + url }).end()
    else json(response, { portalId: 1, results: [] })
  })
  const hub = connectHubspot({ ...common, baseUrl: crm.url, credential: staticToken('t') })
  const { findings } = await hub.check(never)
  expect(findings).toContainEqual({ level: 'ok', what: expect.stringContaining('does not tell the scopes') })
  expect(crm.seen).toContain('POST /oauth/v2/private-apps/get/access-token-info')
  expect(other.seen).toEqual([])
})

test('links to a next page on another host are not followed, only their place in the list', async () => {
  const other = await elsewhere()
  const crm = await serve(({ url = '' }, response) => {
    const more = url.includes('after=') ? {} : { paging: { next: { after: '7', link: `${other.url}${url}&after=7` } } }
    json(response, { portalId: 1, results: [], name: 'x', type: 'string', ...more })
  })
  const hub = connectHubspot({ ...common, baseUrl: crm.url, credential: staticToken('t') })
  await hub.reference(never)
  expect(crm.seen.filter((call) => /owners.*after=7/.test(call)).length).toBe(2)
  expect(other.seen).toEqual([])
})
