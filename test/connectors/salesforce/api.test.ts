// The rule of repetition and what errors may say. Sleeps are recorded, never waited for.
import { createServer } from 'node:http'
import nock from 'nock'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createApi, Drift, Rejected } from '../../../connectors/salesforce/api.ts'
import type { SalesforceCredential } from '../../../connectors/salesforce/auth.ts'
import { createOrg } from '../../../connectors/salesforce/org.ts'
import { Unknown } from '../../../src/batches.ts'
import { Fatal, RetryLater } from '../../../src/errors.ts'
import { apiError, DATA, dealId, HOST, never, page, quietGate, strictNock, tokens } from './org.ts'

strictNock()

function build(credential: SalesforceCredential = tokens('tok-1', 'tok-2', 'tok-3'), timeoutMs = 300) {
  const slept: number[] = []
  const gate = quietGate()
  const sleep = async (ms: number) => {
    slept.push(ms)
  }
  return { api: createApi({ credential, gate, sleep, timeoutMs }), slept, gate }
}
const json = { 'content-type': 'application/json;charset=UTF-8' }
const org = () => nock(HOST)
const query = (soql: string) => org().get(`${DATA}/query`).query({ q: soql })
async function all(pages: AsyncIterable<{ records: unknown[] }>) {
  const rows: unknown[] = []
  for await (const one of pages) rows.push(...one.records)
  return rows
}
const caught = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (value) => ({ value }),
    (error: unknown) => error,
  )

describe('queries', () => {
  test('go page by page through jsforce, with our version and name, and learn the budget', async () => {
    const { api, gate } = build()
    nock(HOST, { reqheaders: { authorization: 'Bearer tok-1', 'sforce-call-options': 'client=unstall' } })
      .get(`${DATA}/query`)
      .query({ q: 'SELECT Id FROM Opportunity' })
      .reply(200, page([{ Id: 'a' }], '01g-2000', 3), { ...json, 'sforce-limit-info': 'api-usage=40/100' })
    org()
      .get(`${DATA}/query/01g-2000`)
      .reply(200, page([{ Id: 'b' }, { Id: 'c' }]), json)
    expect(await all(api.query('SELECT Id FROM Opportunity', never))).toEqual([{ Id: 'a' }, { Id: 'b' }, { Id: 'c' }])
    expect(gate.seen).toEqual([{ day: { left: 60, max: 100 } }])
  })

  test('a query that Salesforce has closed is begun again later, not given up', async () => {
    const { api } = build()
    query('SELECT Id FROM Task').reply(200, page([{ Id: 'a' }], '01g-1'), json)
    org().get(`${DATA}/query/01g-1`).reply(400, apiError('INVALID_QUERY_LOCATOR', 'invalid query locator'), json)
    expect(await caught(all(api.query('SELECT Id FROM Task', never)))).toMatchObject({
      name: 'RetryLater',
      message: expect.stringContaining('closed a query before its end'),
    })
  })

  test('a repeated locator ends in Fatal, not in an endless pull', async () => {
    const { api } = build()
    query('SELECT Id FROM Task').reply(200, page([{ Id: 'a' }], '01g-1'), json)
    org()
      .get(`${DATA}/query/01g-1`)
      .reply(200, page([{ Id: 'a' }], '01g-1'), json)
    expect(await caught(all(api.query('SELECT Id FROM Task', never)))).toMatchObject({ name: 'Fatal', kind: 'data' })
  })

  test.each(['https://evil.example', 'http://acme.my.salesforce.com', '//evil.example'])(
    'a next page at %s is asked for where the token belongs',
    async (elsewhere) => {
      const { api } = build()
      const more = { ...page([{ Id: 'a' }], '01g-1', 2), nextRecordsUrl: `${elsewhere}${DATA}/query/01g-1` }
      query('SELECT Id FROM Task').reply(200, more, json)
      org()
        .get(`${DATA}/query/01g-1`)
        .reply(200, page([{ Id: 'b' }]), json)
      expect(await all(api.query('SELECT Id FROM Task', never))).toEqual([{ Id: 'a' }, { Id: 'b' }])
    },
  )

  test('deleted rows come from queryAll', async () => {
    const { api } = build()
    org().get(`${DATA}/queryAll`).query({ q: 'SELECT Id FROM Task' }).reply(200, page([]), json)
    expect(await all(api.query('SELECT Id FROM Task', never, true))).toEqual([])
  })
})

describe('reads', () => {
  const limits = () => org().get(`${DATA}/limits`)
  const good = { DailyApiRequests: { Max: 100, Remaining: 60 } }

  test.each([
    ['500', 500, apiError('UNKNOWN_EXCEPTION', 'oops')],
    ['503 with a page', 503, '<html>maintenance</html>'],
    ['429', 429, apiError('TOO_MANY_REQUESTS', 'slow down')],
    ['a lock', 400, apiError('UNABLE_TO_LOCK_ROW', 'busy')],
    ['200 with a page', 200, '<html>login</html>'],
    ['200 with half of an answer', 200, '{"DailyApiRequests": {'],
  ])('%s: read again, with longer pauses', async (_, status, body) => {
    const { api, slept } = build()
    const type = typeof body === 'string' && body.startsWith('<') ? { 'content-type': 'text/html' } : json
    limits().times(2).reply(status, body, type)
    limits().reply(200, good, json)
    expect(await api.limits(never)).toEqual(good)
    expect(slept).toEqual([500, 1000])
  })

  test('Retry-After is obeyed; one too long leaves the process', async () => {
    const { api, slept, gate } = build()
    limits().reply(429, apiError('X_Y', 'slow down'), { ...json, 'retry-after': '3' })
    limits().reply(429, apiError('X_Y', 'slow down'), { ...json, 'retry-after': '90' })
    expect(await caught(api.limits(never))).toMatchObject({ name: 'RetryLater', afterMs: 90_000 })
    expect(slept).toEqual([3000])
    expect(gate.pauses).toEqual([3000, 90_000])
  })

  test('an outage: four tries, then RetryLater', async () => {
    const { api } = build()
    limits().times(4).reply(502, 'bad gateway', { 'content-type': 'text/html' })
    expect(await caught(api.limits(never))).toBeInstanceOf(RetryLater)
  })

  test('the daily limit parks the connection, the limit of long calls is waited for', async () => {
    const { api, slept, gate } = build()
    limits().reply(403, apiError('REQUEST_LIMIT_EXCEEDED', 'ConcurrentPerOrgLongTxn Limit exceeded.'), json)
    limits().reply(403, apiError('REQUEST_LIMIT_EXCEEDED', 'TotalRequests Limit exceeded.'), json)
    expect(await caught(api.limits(never))).toMatchObject({ name: 'RetryLater', afterMs: 900_000 })
    expect(slept).toEqual([500])
    expect(gate.pauses).toEqual([500, 900_000])
  })

  test('an expired token is renewed; new ones that are refused as well end it', async () => {
    const credential = tokens('tok-1', 'tok-2', 'tok-3', 'tok-4')
    const { api } = build(credential)
    const expired = () => limits().reply(401, apiError('INVALID_SESSION_ID', 'Session expired or invalid'), json)
    expired()
    nock(HOST, { reqheaders: { authorization: 'Bearer tok-2' } })
      .get(`${DATA}/limits`)
      .reply(200, good, json)
    await api.limits(never)
    expect(credential.refused).toEqual(['tok-1'])
    for (let n = 2; n <= 4; n++) expired()
    expect(await caught(api.limits(never))).toMatchObject({ name: 'Fatal', kind: 'credentials' })
    expect(credential.refused).toEqual(['tok-1', 'tok-2', 'tok-3', 'tok-4'])
  })

  test('what the org lacks is Drift, what it forbids is Fatal', async () => {
    const { api } = build()
    org().get(`${DATA}/sobjects/EmailMessage/describe`).reply(404, apiError('NOT_FOUND', 'no such object'), json)
    expect(await caught(api.describe('EmailMessage', never))).toBeInstanceOf(Drift)
    limits().reply(403, apiError('API_DISABLED_FOR_ORG', 'API is not enabled'), json)
    expect(await caught(api.limits(never))).toMatchObject({ name: 'Fatal', kind: 'permission' })
  })

  test('a redirect is refused: the token goes nowhere else', async () => {
    const { api } = build()
    limits().reply(307, '', { location: 'https://evil.example/steal' })
    expect(await caught(api.limits(never))).toBeInstanceOf(Fatal)
  })

  test('errors show neither token nor page', async () => {
    const { api } = build(tokens('00D-very!secret'))
    limits().reply(400, apiError('STRANGE', 'bad call with 00D-very!secret'), json)
    const error = await caught(api.limits(never))
    expect(error).toBeInstanceOf(Rejected)
    expect(String(error)).not.toContain('secret')
    limits().times(4).reply(500, '<html>00D-very!secret</html>', { 'content-type': 'text/html' })
    const outage = await caught(api.limits(never))
    expect(outage).toBeInstanceOf(RetryLater)
    expect(JSON.stringify(outage, Object.getOwnPropertyNames(outage))).not.toContain('secret')
  })
})

const Asked = z.object({ compositeRequest: z.array(z.object({ url: z.string(), referenceId: z.string() })) })

describe('what an org is like, in one call', () => {
  const OBJECTS = ['Opportunity', 'OpportunityHistory', 'Event', 'Task', 'EmailMessage']
  const field = (name: string, type = 'string') => ({ name, type, updateable: true })
  const described = { status: 200, body: { fields: [field('Id'), field('Name'), field('CloseDate', 'date')] } }
  const status = (ApiName: string, IsClosed: boolean, IsDefault = false) => ({ ApiName, IsClosed, IsDefault })
  const stage = {
    ...{ ApiName: 'Won', MasterLabel: 'Won', IsActive: true, IsClosed: true, IsWon: true },
    ...{ ForecastCategory: 'Closed', ForecastCategoryName: 'Closed', SortOrder: 1 },
  }
  const user = (Id: string) => ({ Id, Name: Id, Email: null, IsActive: true, UserType: 'Standard' })
  const GOOD: Record<string, { status: number; body: unknown }> = {
    ...Object.fromEntries(OBJECTS.map((name) => [`/sobjects/${name}/describe`, described])),
    OpportunityStage: { status: 200, body: page([stage]) },
    User: { status: 200, body: page([user('005000000000001AAA')], '01g-2000', 2) },
    TaskStatus: { status: 200, body: page([status('Waiting', false), status('Not Started', false, true), status('Completed', true)]) }, // biome-ignore format: one line
    Organization: { status: 200, body: page([{ DefaultCurrencyIsoCode: 'EUR' }]) },
  }
  /** The answer of one composite call, where some parts differ; `undefined`: without one. */
  function answer(differ: Record<string, { status: number; body: unknown } | undefined> = {}, times = 1) {
    org()
      .post(`${DATA}/composite`, ({ allOrNone, collateSubrequests, compositeRequest }) => {
        const urls = compositeRequest.map(
          ({ method, url }: Record<string, string>) => `${method} ${url?.split('?')[0]}`,
        )
        const expected = [
          ...OBJECTS.map((name) => `sobjects/${name}/describe`),
          ...Array.from({ length: 4 }, () => 'query'),
        ]
        expect({ allOrNone, collateSubrequests, urls }).toEqual({
          ...{ allOrNone: false, collateSubrequests: false, urls: expected.map((path) => `GET ${DATA}/${path}`) },
        })
        return true
      })
      .times(times)
      .reply(async (request: Request) => {
        const { compositeRequest } = Asked.parse(await request.clone().json())
        const compositeResponse = compositeRequest.flatMap(({ url, referenceId }) => {
          const name = Object.keys(GOOD).find((one) => url.endsWith(one) || new RegExp(`FROM ${one}\\b`).test(decodeURIComponent(url))) // biome-ignore format: one line
          const given = name === undefined ? undefined : name in differ ? differ[name] : GOOD[name]
          return given ? [{ body: given.body, httpHeaders: {}, httpStatusCode: given.status, referenceId }] : []
        })
        // In any order: their names count.
        return [200, { compositeResponse: compositeResponse.toReversed() }, json]
      })
  }
  const more = () =>
    org()
      .get(`${DATA}/query/01g-2000`)
      .reply(200, page([user('005000000000002AAA')]), json)
  const fails = (code: string, status = 400) => ({ status, body: apiError(code, 'no') })
  const learn = (built = build()) => {
    const options = { credential: tokens('tok-1'), gate: quietGate(), sleep: async () => {}, clock: () => 0, timezone: 'UTC' } // biome-ignore format: one line
    return { ...built, known: createOrg(built.api, options).get(never) }
  }

  test('objects, stages, all pages of users, the words for tasks and the currency', async () => {
    answer()
    more()
    const { known, gate } = learn()
    const { reference, taskStatus, lens, described: shown } = await known
    expect([...shown.keys()]).toEqual(OBJECTS)
    expect(reference.owners.map(({ id }) => id)).toEqual(['005000000000001AAA', '005000000000002AAA'])
    expect(reference.pipelines[0]?.stages.map(({ id }) => id)).toEqual(['Won'])
    expect([taskStatus, lens.currency]).toEqual([{ open: 'Not Started', closed: 'Completed' }, 'EUR'])
    expect(gate.pauses).toEqual([])
  })

  test('what an org may lack costs its own meaning; what is needed is missed by name', async () => {
    answer({
      '/sobjects/OpportunityHistory/describe': fails('NOT_FOUND', 404),
      '/sobjects/EmailMessage/describe': fails('NOT_FOUND', 404),
      TaskStatus: fails('INVALID_TYPE'),
      Organization: fails('INVALID_FIELD'),
    })
    more()
    const { reference, taskStatus } = await learn().known
    expect([reference.tells.history, reference.tells.replies, reference.currency, taskStatus]).toEqual([false, false, null, null]) // biome-ignore format: one line
    answer({ '/sobjects/Task/describe': fails('NOT_FOUND', 404) })
    more()
    expect(await caught(learn().known)).toMatchObject({ name: 'Fatal', kind: 'permission' })
    answer({ OpportunityStage: fails('INVALID_FIELD') })
    more()
    expect(await caught(learn().known)).toBeInstanceOf(Drift)
  })

  test.each([
    ['an outage of a part', { User: fails('SERVER_UNAVAILABLE', 503) }],
    ['a lock', { '/sobjects/Event/describe': fails('UNABLE_TO_LOCK_ROW') }],
    ['a part without an answer', { OpportunityStage: undefined }],
    ['a part that is no such thing', { '/sobjects/Event/describe': { status: 200, body: '<html>' } }],
  ])('%s: the whole is read again', async (_, differ) => {
    answer(differ, 2)
    answer()
    more()
    const { known, slept } = learn()
    expect((await known).reference.owners).toHaveLength(2)
    expect(slept).toEqual([500, 1000])
  })

  test('a refusal of a part or of the parts as such ends it in Salesforce’s words', async () => {
    answer({ User: fails('INSUFFICIENT_ACCESS', 403) })
    expect(await caught(learn().known)).toMatchObject({ name: 'Fatal', kind: 'permission' })
    const body = apiError('LIMIT_EXCEEDED', 'The request can’t contain more than 25 operations.')
    const refusal = { body, httpHeaders: {}, httpStatusCode: 400, referenceId: null }
    org()
      .post(`${DATA}/composite`)
      .reply(200, { compositeResponse: [refusal] }, json)
    expect(await caught(learn().known)).toEqual(new Rejected(`${body[0]?.message} (LIMIT_EXCEEDED)`))
  })

  test('a token refused is renewed; used-up calls park the connection, by one call', async () => {
    org().post(`${DATA}/composite`).reply(401, apiError('INVALID_SESSION_ID', 'expired'), json)
    answer()
    more()
    const credential = tokens('tok-1', 'tok-2')
    await learn(build(credential)).known
    expect(credential.refused).toEqual(['tok-1'])
    org()
      .post(`${DATA}/composite`)
      .reply(403, apiError('REQUEST_LIMIT_EXCEEDED', 'TotalRequests Limit exceeded.'), json)
    expect(await caught(learn().known)).toMatchObject({ name: 'RetryLater', afterMs: 900_000 })
  })
})

describe('writes', () => {
  const records = [{ Id: dealId(1), Unstall_Stalled__c: true }]
  const patch = () => org().patch(`${DATA}/composite/sobjects`)
  const update = (api: ReturnType<typeof build>['api']) => api.save('update', 'Opportunity', records, never)

  test('are sent once: 5xx, a page, a reset and half an answer leave them unknown', async () => {
    const { api, slept } = build()
    patch().reply(502, 'bad gateway', { 'content-type': 'text/html' })
    expect(await caught(update(api))).toBeInstanceOf(Unknown)
    patch().reply(200, '<html></html>', { 'content-type': 'text/html' })
    expect(await caught(update(api))).toBeInstanceOf(Unknown)
    patch().replyWithError(Object.assign(new Error('reset'), { code: 'ECONNRESET' }))
    expect(await caught(update(api))).toBeInstanceOf(Unknown)
    patch().reply(200, [], json)
    expect(await caught(update(api))).toBeInstanceOf(Unknown)
    expect(slept).toEqual([])
  })

  test('are repeated where Salesforce cannot have acted', async () => {
    const { api, slept } = build()
    patch().replyWithError(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))
    patch().reply(429, apiError('TOO_MANY', 'slow down'), json)
    patch().reply(401, apiError('INVALID_SESSION_ID', 'expired'), json)
    patch().reply(200, [{ id: dealId(1), success: true, errors: [] }], json)
    expect(await update(api)).toMatchObject([{ success: true }])
    expect(slept).toEqual([500, 1000])
  })

  test('a request refused as a whole says so in Salesforce’s words', async () => {
    const { api } = build()
    patch().reply(400, apiError('JSON_PARSER_ERROR', 'Cannot deserialize'), json)
    expect(await caught(update(api))).toEqual(new Rejected('Cannot deserialize (JSON_PARSER_ERROR)'))
  })
})

describe('the wire', () => {
  /** A real server: what nock cannot play. `after` runs once the request is there. */
  async function against(answer: (response: import('node:http').ServerResponse) => void, signal = never) {
    const server = createServer((_, response) => answer(response))
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
    nock.enableNetConnect('127.0.0.1')
    const address = server.address()
    const origin = typeof address === 'object' && address ? `http://127.0.0.1:${address.port}` : ''
    const credential = { ...tokens('t'), session: async () => ({ token: 't', instanceUrl: origin, user: null }) }
    const begun = performance.now()
    const result = await caught(build(credential, 150).api.limits(signal))
    server.closeAllConnections()
    server.close()
    nock.disableNetConnect()
    return { result, took: performance.now() - begun }
  }
  const begin = (response: import('node:http').ServerResponse) =>
    response.writeHead(200, { ...json, 'content-length': '100' }).write('{"a":')

  test('a body that never ends is given up after the timeout', async () => {
    const { result, took } = await against(begin)
    expect(result).toBeInstanceOf(RetryLater)
    expect(took).toBeLessThan(2000)
  })

  test('a body cut in the middle is no answer, and no crash', async () => {
    const { result } = await against((response) => {
      begin(response)
      setTimeout(() => response.destroy(), 10)
    })
    expect(result).toBeInstanceOf(RetryLater)
  })

  test('an abort ends the call at once with its reason', async () => {
    const stop = new AbortController()
    const { result } = await against(() => stop.abort(new Error('the night is over')), stop.signal)
    expect(String(result)).toContain('the night is over')
  })
})
