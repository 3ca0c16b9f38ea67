// How calls are made: token, retries, waits, what a status means, and what may be repeated.

import nock from 'nock'
import { expect, test } from 'vitest'
import { createApi, Refusal } from '../../../connectors/hubspot/api.ts'
import { Unknown } from '../../../src/batches.ts'
import type { Credential } from '../../../src/connector.ts'
import { Fatal, RetryLater } from '../../../src/errors.ts'
import { DATE, hubspot, NOW, never, ORIGIN, options, strict, TOKEN } from './fake.ts'

strict()
const ACCOUNT = '/account-info/2026-09/details'
const caught = (work: Promise<unknown>) =>
  work.then(
    () => null,
    (error: unknown) => error,
  )

test('the token is in the header only, over the SDK as transport', async () => {
  const userAgent = /^hubspot-api-client-nodejs; 14/
  nock(ORIGIN, { reqheaders: { authorization: `Bearer ${TOKEN}`, 'user-agent': userAgent } })
    .get((uri) => uri === ACCOUNT)
    .reply(200, { portalId: 1 })
  expect(await createApi(options())(never).account()).toEqual({ portalId: '1' })
})

test('reads are tried again on 5xx, HTML, nothing and lost connections, with growing waits', async () => {
  hubspot().get(ACCOUNT).reply(503, '<html>busy</html>')
  hubspot()
    .get(ACCOUNT)
    .replyWithError(Object.assign(new Error('reset'), { code: 'ECONNRESET' }))
  hubspot().get(ACCOUNT).reply(200, '<html>maintenance</html>')
  hubspot().get(ACCOUNT).reply(200, '')
  hubspot().get(ACCOUNT).reply(200, '{"portalId":9007199254740993}')
  hubspot().get(ACCOUNT).reply(200, { portalId: '12', companyCurrency: 'EUR' })
  const one = options()
  const api = createApi(one)(never)
  // An id beyond 2^53 came as a number: no longer exact, so the answer cannot be believed.
  expect(await caught(api.account())).toMatchObject({ name: 'Fatal', kind: 'data' })
  expect(one.slept).toEqual([500, 1000, 2000, 4000])
  expect(await api.account()).toMatchObject({ portalId: '12' })
})

test('gives up after five tries, with RetryLater', async () => {
  hubspot().get(ACCOUNT).times(5).reply(502, 'Bad gateway')
  const error = await caught(createApi(options())(never).account())
  expect(error).toBeInstanceOf(RetryLater)
  expect(error).toMatchObject({ afterMs: 60_000 })
})

test.each([
  [429, { 'retry-after': '3' }, { policyName: 'TEN_SECONDLY_ROLLING' }, [3000], [3000]],
  [429, {}, { message: 'You have reached your secondly limit.', policyName: 'SECONDLY' }, [1000], [1000]],
  // Searches too: nobody knows what it counts.
  [429, { ...DATE, 'retry-after': new Date(NOW + 4000).toUTCString() }, {}, [4000, 4000], [4000]],
  [423, {}, {}, [], [2000]],
] as const)('%i %j %j: waits, then goes on', async (status, headers, body, pauses, slept) => {
  hubspot()
    .get(ACCOUNT)
    .reply(status, { status: 'error', ...body }, headers)
  hubspot().get(ACCOUNT).reply(200, {})
  const one = options()
  await createApi(one)(never).account()
  expect(one.slept).toEqual(slept)
  expect(one.pauses).toEqual(pauses)
})

test.each([
  [429, { 'retry-after': '60' }, { policyName: 'a policy nobody knows' }, 60_000],
  [429, {}, { policyName: 'DAILY' }, 3_600_000],
  [429, {}, { message: 'You have reached your daily limit.' }, 3_600_000],
  [477, { 'retry-after': '7200' }, {}, 7_200_000],
  [503, { 'retry-after': '120' }, {}, 120_000],
] as const)('%i %j %j: a long wait leaves the process', async (status, headers, body, afterMs) => {
  hubspot()
    .get(ACCOUNT)
    .reply(status, { status: 'error', ...body }, headers)
  const one = options()
  expect(await caught(createApi(one)(never).account())).toMatchObject({ name: 'RetryLater', afterMs })
  expect(one.slept).toEqual([])
})

test('a write is repeated only when HubSpot cannot have acted', async () => {
  const path = '/crm/objects/2026-09/deals/batch/update'
  const api = createApi(options())(never)
  const send = () => caught(api.batchWrite('deals', 'update', []))
  for (const status of [500, 502, 504, 524, 408]) {
    hubspot().post(path).reply(status, 'oops')
    expect(await send()).toBeInstanceOf(Unknown)
  }
  hubspot().post(path).reply(200, '<html>')
  expect(await send()).toBeInstanceOf(Unknown)
  hubspot()
    .post(path)
    .replyWithError(Object.assign(new Error('reset'), { code: 'ECONNRESET' }))
  expect(await send()).toBeInstanceOf(Unknown)
  hubspot()
    .post(path)
    .reply(429, {})
    .post(path)
    .replyWithError(Object.assign(new Error('no'), { code: 'ECONNREFUSED' }))
  hubspot().post(path).reply(200, { results: [] })
  expect(await send()).toBeNull()
  hubspot().post(path).reply(400, { message: 'no such thing', category: 'VALIDATION_ERROR' })
  expect(await send()).toBeInstanceOf(Refusal)
})

test('a refused token is replaced, twice in one call (another process renews too); then a person must act', async () => {
  const tokens = ['old', 'new', 'newer']
  const expired: string[] = []
  const credential: Credential = {
    token: async () => tokens[expired.length] ?? '',
    expired: (token) => void expired.push(token),
  }
  const bearer = (token: string) => nock(ORIGIN, { reqheaders: { authorization: `Bearer ${token}` } })
  bearer('old').get(ACCOUNT).reply(401, { category: 'EXPIRED_AUTHENTICATION' })
  bearer('new').get(ACCOUNT).reply(200, { portalId: '5' })
  expect(await createApi(options({ credential }))(never).account()).toMatchObject({ portalId: '5' })
  expect(expired).toEqual(['old'])

  expired.length = 0
  bearer('old').get(ACCOUNT).reply(530, 'error 1016')
  bearer('new').get(ACCOUNT).reply(401, {})
  bearer('newer').get(ACCOUNT).reply(401, {})
  expect(await caught(createApi(options({ credential }))(never).account())).toMatchObject({ kind: 'credentials' })
  expect(expired).toEqual(['old', 'new', 'newer'])
})

test('a static token that is refused says what to do, without the token', async () => {
  hubspot()
    .get(ACCOUNT)
    .reply(401, { message: `token ${TOKEN} is bad` })
  const error = await caught(createApi(options())(never).account())
  expect(error).toBeInstanceOf(Fatal)
  expect(String(error)).toContain('Service Keys')
  expect(String(error)).not.toContain(TOKEN)
})

test('a refusal that repeats the call is shown without the token', async () => {
  for (const status of [400, 403]) {
    hubspot()
      .get(ACCOUNT)
      .reply(status, { message: `bad call: Bearer ${TOKEN}`, context: { token: [TOKEN] } })
    const error = await caught(createApi(options())(never).account())
    expect(String(error)).toContain('bad call: Bearer …')
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(TOKEN)
  }
})

test('a token that cannot be a header never reaches an error text', async () => {
  const credential = { token: async () => 'secret\nvalue', expired: () => {} }
  const error = await caught(createApi(options({ credential }))(never).account())
  expect(error).toMatchObject({ name: 'Fatal', kind: 'credentials' })
  expect(String(error)).not.toContain('secret')
})

test('403 names the scope, wherever it stands', async () => {
  for (const body of [
    {
      category: 'MISSING_SCOPES',
      errors: [{ message: 'x', context: { requiredGranularScopes: ['crm.objects.deals.read'] } }],
    },
    { category: 'MISSING_SCOPES', context: { missingScopes: ['crm.objects.deals.read'] } },
  ]) {
    hubspot().get(ACCOUNT).reply(403, body)
    const error = await caught(createApi(options())(never).account())
    expect(error).toMatchObject({ name: 'Fatal', kind: 'permission' })
    expect(String(error)).toContain('crm.objects.deals.read')
  }
})

test('a redirect is refused', async () => {
  hubspot().get(ACCOUNT).reply(302, '', { location: 'https://elsewhere.example/' })
  expect(await caught(createApi(options())(never).account())).toBeInstanceOf(Fatal)
})

test('the gate learns the budget; search answers carry none', async () => {
  const seen: unknown[] = []
  const gate = { wait: async () => () => {}, observe: (...args: unknown[]) => void seen.push(args), left: () => 1 }
  const headers = {
    'x-hubspot-ratelimit-max': '110',
    'x-hubspot-ratelimit-remaining': '42',
    'x-hubspot-ratelimit-interval-milliseconds': '10000',
    'x-hubspot-ratelimit-daily-remaining': '1234',
    'x-hubspot-ratelimit-daily': '5000',
  }
  const api = createApi(options({ gate }))(never)
  hubspot().get(ACCOUNT).reply(200, {}, headers).post('/crm/objects/2026-09/deals/search').reply(200, { results: [] })
  await api.account()
  await api.search({})
  expect(seen).toEqual([
    [{ remaining: 42, max: 110, windowMs: 10_000, day: { left: 1234, max: 5000 } }, undefined],
    [{}, 'search'],
  ])
  expect(api.leftToday()).toBe(1234)
})
