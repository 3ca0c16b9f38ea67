// The HubSpot lookalike over real HTTP: what the documents say it takes, refuses, caps and computes.
import { afterEach, describe, expect, it } from 'vitest'
import { hubspot } from '../../src/sandbox/hubspot/server.ts'
import type { StoreOptions } from '../../src/sandbox/hubspot/store.ts'
import type { SandboxOptions } from '../../src/sandbox/kernel.ts'
import type { Seed, SeedDeal, SeedEvent } from '../../src/sandbox/seed.ts'
import { type Client, type Got, NOW, open, walk } from './client.ts'
import { allow } from './consent.ts'

const DAY = 86_400_000
const stage = (id: string, probability: number) => ({ id, label: id, probability, category: 'pipeline' as const })
const deal = (index: number, events: readonly SeedEvent[] = [], more: Partial<SeedDeal> = {}): SeedDeal => ({
  ...{
    name: `Deal ${index}`,
    account: null,
    ownerEmail: 'ann@example.com',
    pipeline: 'default',
    stage: 'first',
    type: null,
  },
  ...{ createdAt: NOW - 100 * DAY, closeDate: '2026-12-01', amount: 100 * index, category: null, events, ...more },
})
const person = (email: string, active: boolean) => ({
  email,
  firstName: 'A',
  lastName: 'B',
  team: 'North',
  managerEmail: null,
  active,
})
const seedOf = (deals: readonly SeedDeal[]): Seed => ({
  now: NOW,
  currency: 'EUR',
  owners: [person('ann@example.com', true), person('bob@example.com', false)],
  pipelines: [
    {
      id: 'default',
      label: 'Sales',
      stages: [stage('first', 0.2), stage('second', 0.5), stage('won', 1), stage('lost', 0)],
    },
    { id: 'renewals', label: 'Renewals', stages: [stage('due', 0.5), stage('renewed', 1)] },
  ],
  deals,
})

let client: Client
afterEach(() => client.sandbox.close())
const start = async (deals: readonly SeedDeal[], options?: Partial<StoreOptions>, sandbox?: SandboxOptions) => {
  client = await open(hubspot(seedOf(deals), options), sandbox)
}
const some = (count: number) => Array.from({ length: count }, (_, index) => deal(index + 1))
const id = (index: number) => String(21_000_000_000 + index)
const DEALS = '/crm/objects/2026-09/deals'
const TASKS = '/crm/objects/2026-09/tasks'
const SCHEMA = '/crm/properties/2026-09/deals'
const BOOL = { operationType: 'BOOL', operator: 'IS_EQUAL_TO', value: true, includeObjectsWithNoValueSet: false }
const act = (act: string, more: object) => client.post('/__sandbox/act', { act, ...more })
const update = (...inputs: object[]) => client.post(`${DEALS}/batch/update`, { inputs })
const read = (properties: string[], history: string[] = [], index = 1) =>
  client.post(`${DEALS}/batch/read`, { inputs: [{ id: id(index) }], properties, propertiesWithHistory: history })
const value = async (name: string, index = 1) => (await read([name], [], index)).at('results', 0, 'properties', name)
const ids = (got: Got) => {
  const results = got.at('results')
  return Array.isArray(results) ? results.map((one) => walk(one, ['id'])) : []
}
const search = (filters: object[], more: object = {}) =>
  client.post(`${DEALS}/search`, { filterGroups: [{ filters }], ...more })
const by = (propertyName: string, operator: string, more: object = {}) => ({ propertyName, operator, ...more })

describe('sign-in', () => {
  it('takes any sandbox token, names a missing scope, and refuses the rest', async () => {
    await start(some(1))
    expect((await client.get(DEALS, 'sandbox-1')).status).toBe(200)
    const foreign = await client.get(DEALS, 'pat-eu1-secret')
    expect([foreign.status, foreign.at('category')]).toEqual([401, 'INVALID_AUTHENTICATION'])
    expect(foreign.text).not.toContain('secret')
    const limited = 'sandbox-noscope-crm.objects.deals.write'
    expect((await client.get(DEALS, limited)).status).toBe(200)
    const refused = await client.post(`${DEALS}/batch/update`, { inputs: [] }, limited)
    expect([refused.status, refused.at('category')]).toEqual([403, 'MISSING_SCOPES'])
    expect(refused.at('errors', 0, 'context', 'requiredGranularScopes', 0)).toBe('crm.objects.deals.write')
    await act('revoke-token', { id: 'sandbox-1' })
    expect((await client.get(DEALS, 'sandbox-1')).status).toBe(401)
    expect((await client.get(DEALS, 'sandbox-2')).status).toBe(200)
  })

  it('gives access tokens that expire for a refresh token', async () => {
    await start(some(1), {}, { tokenLifeS: 60 })
    const form = (token: string) => `grant_type=refresh_token&refresh_token=${token}&client_id=a&client_secret=b`
    const got = await client.post('/oauth/2026-09/token', form('sandbox-refresh'))
    expect([got.status, got.at('expires_in')]).toEqual([200, 60])
    const token = String(got.at('access_token'))
    expect((await client.get(DEALS, token)).status).toBe(200)
    client.tick(60_000)
    expect((await client.get(DEALS, token)).at('category')).toBe('EXPIRED_AUTHENTICATION')
    await act('revoke-token', {})
    const revoked = await client.post('/oauth/2026-09/token', form('sandbox-refresh'))
    expect([revoked.status, revoked.at('status')]).toEqual([400, 'BAD_REFRESH_TOKEN'])
  })

  it('gives a code for a consent, once, and checks who asks for tokens with it', async () => {
    await start(some(1), {}, { tokenLifeS: 60 })
    const consent = await allow(client.sandbox.url)
    const token = (form: object) =>
      client.post('/oauth/2026-09/token', new URLSearchParams({ ...form, client_id: 'sandbox' }).toString())
    const good = { grant_type: 'authorization_code', client_secret: 'sandbox', ...consent }
    const wrong = await token({ ...good, client_secret: 'other' })
    expect([wrong.status, wrong.at('status')]).toEqual([400, 'BAD_CLIENT_ID'])
    const got = await token(good)
    expect(got.status).toBe(200)
    expect((await client.get(DEALS, String(got.at('access_token')))).status).toBe(200)
    expect((await token(good)).at('status')).toBe('BAD_AUTH_CODE')

    const renewed = { grant_type: 'refresh_token', refresh_token: String(got.at('refresh_token')) }
    expect((await token({ ...renewed, client_secret: 'other' })).status).toBe(400)
    const next = await token({ ...renewed, client_secret: 'sandbox' })
    expect(next.at('refresh_token')).toBe(renewed.refresh_token)
    await client.post('/oauth/2026-09/token/revoke', new URLSearchParams({ token: renewed.refresh_token }).toString())
    expect((await token({ ...renewed, client_secret: 'sandbox' })).at('status')).toBe('BAD_REFRESH_TOKEN')
  })
})

describe('scopes of a consent', () => {
  it('are those asked for, optional ones with them, also after a renewal; the app must name them all', async () => {
    await start(some(1))
    const { url } = client.sandbox
    const asked = { scope: 'oauth crm.objects.deals.read', optional_scope: 'crm.lists.read' }
    const form = { grant_type: 'authorization_code', client_id: 'sandbox', client_secret: 'sandbox' }
    const token = (more: object) =>
      client.post('/oauth/2026-09/token', new URLSearchParams({ ...form, ...more }).toString())
    const got = await token(await allow(url, 'hubspot', 'allow', asked))
    expect(got.at('scopes')).toEqual(['oauth', 'crm.objects.deals.read', 'crm.lists.read'])
    const renewed = await token({ grant_type: 'refresh_token', refresh_token: String(got.at('refresh_token')) })
    const access = String(renewed.at('access_token'))
    expect((await client.get(DEALS, access)).status).toBe(200)
    expect((await client.get('/account-info/2026-09/details', access)).status).toBe(200)
    const refused = await client.get(SCHEMA, access)
    expect([refused.status, refused.at('category')]).toEqual([403, 'MISSING_SCOPES'])
    await expect(allow(url, 'hubspot', 'allow', { optional_scope: 'automation' })).rejects.toThrow('no consent')
  })
})

describe('reading deals', () => {
  it('lists by cursor, 10 a page unless asked, at most 100, 50 with history', async () => {
    await start(some(120))
    expect(ids(await client.get(DEALS))).toHaveLength(10)
    const first = await client.get(`${DEALS}?limit=100`)
    const after = first.at('paging', 'next', 'after')
    const second = await client.get(`${DEALS}?limit=100&after=${after}`)
    expect([...ids(first), ...ids(second)]).toEqual(some(120).map((_, index) => id(index + 1)))
    expect(second.at('paging')).toBeUndefined()
    expect((await client.get(`${DEALS}?limit=101`)).status).toBe(400)
    expect((await client.get(`${DEALS}?limit=51&propertiesWithHistory=dealstage`)).status).toBe(400)
    expect((await client.get(`${DEALS}?limit=50&propertiesWithHistory=dealstage`)).status).toBe(200)
    expect((await client.get('/crm/objects/2026-03/deals')).status).toBe(200)
    expect((await client.get('/crm/objects/2025-09/deals')).status).toBe(404)
    const long = `${DEALS}?properties=${'x'.repeat(15_000)}`
    expect((await client.get(long)).status).toBe(414)
  })

  it('keeps history newest first, at most 20, with its sources', async () => {
    const pushes = Array.from(
      { length: 25 },
      (_, n): SeedEvent => ({
        at: NOW - (40 - n) * DAY,
        kind: 'close-date',
        to: `2027-01-${String(n + 1).padStart(2, '0')}`,
        by: 'workflow',
      }),
    )
    await start([deal(1, [{ at: NOW - 50 * DAY, kind: 'stage', to: 'second', by: 'person' }, ...pushes])])
    await update({ id: id(1), properties: { amount: '5' } })
    const got = await read(['closedate'], ['dealstage', 'closedate', 'amount', 'nope'])
    const history = (name: string) => got.at('results', 0, 'propertiesWithHistory', name)
    expect(history('dealstage')).toEqual([
      {
        value: 'second',
        timestamp: '2026-09-13T06:00:00.000Z',
        sourceType: 'CRM_UI',
        sourceId: 'userId:7001',
        updatedByUserId: 7001,
      },
      {
        value: 'first',
        timestamp: '2026-07-25T06:00:00.000Z',
        sourceType: 'CRM_UI',
        sourceId: 'userId:7001',
        updatedByUserId: 7001,
      },
    ])
    expect(history('closedate')).toHaveLength(20)
    expect(walk(history('closedate'), [0])).toMatchObject({
      value: '2027-01-25T00:00:00.000Z',
      sourceType: 'WORKFLOWS',
    })
    expect(walk(history('amount'), [0])).toMatchObject({ value: '5', sourceType: 'INTEGRATION', sourceId: '4242001' })
    expect(history('nope')).toBeUndefined()
    expect(got.at('results', 0, 'properties', 'closedate')).toBe('2027-01-25T00:00:00.000Z')
  })

  it('batch read: 100, 50 with history; misses are errors of their own', async () => {
    await start(some(101))
    const inputs = some(101).map((_, index) => ({ id: id(index + 1) }))
    const batch = (count: number, propertiesWithHistory: string[] = []) =>
      client.post(`${DEALS}/batch/read`, { inputs: inputs.slice(0, count), properties: [], propertiesWithHistory })
    expect((await batch(101)).status).toBe(400)
    expect(ids(await batch(100))).toHaveLength(100)
    expect((await batch(51, ['amount'])).status).toBe(400)
    const got = await client.post(`${DEALS}/batch/read`, { inputs: [{ id: id(1) }, { id: '7' }] })
    expect([got.status, ids(got), got.at('numErrors')]).toEqual([207, [id(1)], 1])
    expect(got.at('errors', 0)).toMatchObject({ category: 'OBJECT_NOT_FOUND', context: { ids: ['7'] } })
  })
})

describe('search', () => {
  it('filters, sorts and pages', async () => {
    await start([...some(5), deal(6, [{ at: NOW - DAY, kind: 'stage', to: 'won', by: 'person' }], { amount: null })])
    const open = by('hs_is_closed', 'EQ', { value: 'false' })
    const page = await search([open], {
      sorts: [{ propertyName: 'amount', direction: 'DESCENDING' }],
      limit: 2,
      properties: ['amount'],
    })
    expect([page.at('total'), ids(page), page.at('paging', 'next', 'after')]).toEqual([5, [id(5), id(4)], '2'])
    expect(page.at('results', 0, 'associations')).toBeUndefined()
    const next = await search([open, by('hs_object_id', 'GT', { value: id(3) })], { sorts: ['hs_object_id'] })
    expect(ids(next)).toEqual([id(4), id(5)])
    const table: [object, number[]][] = [
      [by('amount', 'BETWEEN', { value: '200', highValue: '300' }), [2, 3]],
      [by('amount', 'LTE', { value: '200' }), [1, 2]],
      [by('amount', 'LT', { value: '200' }), [1]],
      [by('amount', 'GTE', { value: 500 }), [5]],
      [by('amount', 'NEQ', { value: '100' }), [2, 3, 4, 5, 6]],
      [by('amount', 'NOT_HAS_PROPERTY'), [6]],
      [by('amount', 'HAS_PROPERTY'), [1, 2, 3, 4, 5]],
      [by('dealstage', 'IN', { values: ['won', 'lost'] }), [6]],
      [by('dealstage', 'NOT_IN', { values: ['won', 'lost'] }), [1, 2, 3, 4, 5]],
      [by('hs_lastmodifieddate', 'GTE', { value: String(NOW - 2 * DAY) }), [6]],
      [by('hs_lastmodifieddate', 'LT', { value: '2026-10-31T06:00:00Z' }), [1, 2, 3, 4, 5]],
    ]
    for (const [filter, wanted] of table)
      expect(ids(await search([filter])), JSON.stringify(filter)).toEqual(wanted.map(id))
    const either = {
      filterGroups: [
        { filters: [by('amount', 'EQ', { value: '100' })] },
        { filters: [by('dealstage', 'EQ', { value: 'won' })] },
      ],
    }
    expect(ids(await client.post(`${DEALS}/search`, either))).toEqual([id(1), id(6)])
  })

  it('refuses what the API refuses', async () => {
    await start(some(2))
    const one = by('amount', 'HAS_PROPERTY')
    const wrong: [string, object][] = [
      ['unknown property', { filterGroups: [{ filters: [by('nope', 'EQ', { value: '1' })] }] }],
      ['page size', { limit: 201 }],
      ['operator', { filterGroups: [{ filters: [by('amount', 'LIKE', { value: '1' })] }] }],
      ['token search', { filterGroups: [{ filters: [by('dealname', 'CONTAINS_TOKEN', { value: 'x' })] }] }],
      ['full text', { query: 'Deal 2' }],
      ['no value', { filterGroups: [{ filters: [by('amount', 'EQ')] }] }],
      ['value type', { filterGroups: [{ filters: [by('amount', 'GT', { value: 'much' })] }] }],
      ['six groups', { filterGroups: Array(6).fill({ filters: [one] }) }],
      ['seven filters', { filterGroups: [{ filters: Array(7).fill(one) }] }],
      [
        'nineteen filters',
        { filterGroups: [...Array(4).fill({ filters: Array(4).fill(one) }), { filters: [one, one, one] }] },
      ],
      ['two sorts', { sorts: ['amount', 'dealname'] }],
      ['beyond 10,000', { after: '10000' }],
    ]
    for (const [what, body] of wrong) {
      const answer = await client.post(`${DEALS}/search`, body)
      expect([answer.status, answer.at('category')], what).toEqual([400, 'VALIDATION_ERROR'])
    }
    expect((await client.post(`${DEALS}/search`, 'not json')).status).toBe(400)
    expect((await client.post(`${DEALS}/search`, 'grant_type=json')).status).toBe(415)
  })

  it('stops at 10,000 results and goes on by id', async () => {
    await start(some(10_050))
    const last = await client.post(`${DEALS}/search`, { limit: 200, after: '9800', sorts: ['hs_object_id'] })
    expect([last.at('total'), ids(last).at(-1), last.at('paging', 'next', 'after')]).toEqual([
      10_050,
      id(10_000),
      '10000',
    ])
    const rest = await search([by('hs_object_id', 'GT', { value: id(10_000) })], {
      limit: 200,
      sorts: ['hs_object_id'],
    })
    expect(ids(rest)).toHaveLength(50)
  })

  it('shows what was until the index has caught up; reads are fresh', async () => {
    await start(some(2), { searchLagMs: 3000 })
    await update({ id: id(1), properties: { amount: '999' } })
    await act('delete', { id: id(2) })
    const big = () => search([by('amount', 'EQ', { value: '999' })])
    expect([ids(await big()), await value('amount')]).toEqual([[], '999'])
    expect(ids(await client.post(`${DEALS}/search`, {}))).toEqual([id(1), id(2)])
    client.tick(3000)
    expect(ids(await big())).toEqual([id(1)])
    expect(ids(await client.post(`${DEALS}/search`, {}))).toEqual([id(1)])
  })

  it('has a budget of its own: 5 in a second, 429 with the documented body', async () => {
    await start(some(1), {}, { limits: 'rolling' })
    for (let call = 0; call < 5; call += 1) expect((await client.post(`${DEALS}/search`, {})).status).toBe(200)
    const refused = await client.post(`${DEALS}/search`, {})
    expect(refused.status).toBe(429)
    expect(refused.at()).toMatchObject({
      status: 'error',
      errorType: 'RATE_LIMIT',
      policyName: 'SECONDLY',
      message: 'You have reached your secondly limit.',
    })
    const normal = await client.get(DEALS)
    expect(normal.headers.get('x-hubspot-ratelimit-remaining')).toBe('109')
    expect(normal.headers.get('x-hubspot-ratelimit-max')).toBe('110')
    await client.post('/__sandbox/faults', [{ fault: '429-daily' }])
    expect((await client.get(DEALS)).at('policyName')).toBe('DAILY')
    await client.post('/__sandbox/faults', [{ fault: '429', retryAfter: 7, policyName: 'NEW_ONE' }])
    const odd = await client.get(DEALS)
    expect([odd.at('policyName'), odd.headers.get('retry-after')]).toEqual(['NEW_ONE', '7'])
  })
})

describe('writing deals', () => {
  it('writes strings, clears with an empty one, and keeps a journal', async () => {
    await start(some(1))
    const got = await update({
      id: id(1),
      properties: { hs_manual_forecast_category: 'OMIT', amount: '', closedate: '2027-02-01' },
    })
    expect(got.status).toBe(200)
    expect(await value('amount')).toBe('')
    expect(await value('closedate')).toBe('2027-02-01T00:00:00.000Z')
    expect(await value('hs_next_step')).toBeNull()
    const one = await client.send('PATCH', `${DEALS}/${id(1)}`, { properties: { amount: '7' } })
    expect([one.status, one.at('properties', 'amount')]).toEqual([200, '7'])
    const journal = await client.lines('/__sandbox/journal')
    expect(journal[0]).toEqual({
      at: '2026-11-02T06:00:00.000Z',
      endpoint: 'POST /crm/objects/2026-09/deals/batch/update',
      object: 'deal',
      id: id(1),
      before: { hs_manual_forecast_category: null, amount: '100', closedate: '2026-12-01T00:00:00.000Z' },
      after: { hs_manual_forecast_category: 'OMIT', amount: null, closedate: '2027-02-01T00:00:00.000Z' },
    })
  })

  it('refuses wrong values with the documented errors, and applies nothing of such a batch', async () => {
    await start(some(2))
    const table: [Record<string, unknown>, string][] = [
      [{ nope: '1' }, 'PROPERTY_DOESNT_EXIST'],
      [{ hs_is_closed: 'true' }, 'READ_ONLY_VALUE'],
      [{ hs_manual_forecast_category: 'Omitted' }, 'INVALID_OPTION'],
      [{ hubspot_owner_id: '1' }, 'INVALID_OPTION'],
      [{ dealstage: 'due' }, 'INVALID_OPTION'],
      [{ amount: '1,000' }, 'INVALID_NUMBER'],
      [{ closedate: 'soon' }, 'INVALID_DATE'],
      [{ amount: 1000 }, 'expected string'],
      [{ dealname: 'x'.repeat(65_537) }, 'PROPERTY_VALUE_TOO_LONG'],
    ]
    for (const [properties, problem] of table) {
      const got = await update({ id: id(1), properties: { amount: '1' } }, { id: id(2), properties })
      expect([got.status, got.at('category')], problem).toEqual([400, 'VALIDATION_ERROR'])
      expect(got.text).toContain(problem)
    }
    expect(await client.lines('/__sandbox/journal')).toEqual([])
    expect((await update({ id: id(1), properties: {} }, { id: id(1), properties: {} })).text).toContain('Duplicate IDs')
    expect((await update(...some(101).map((_, index) => ({ id: id(index + 1), properties: {} })))).status).toBe(400)
    expect((await client.send('PATCH', `${DEALS}/${id(1)}`, { properties: { nope: '1' } })).status).toBe(400)
    expect((await client.send('PATCH', `${DEALS}/9`, { properties: {} })).status).toBe(404)
  })

  it('207: missing ids fail alone; with trace ids every wrong row does; faults too', async () => {
    await start(some(3))
    const lost = await update({ id: id(1), properties: { amount: '1' } }, { id: '9', properties: {} })
    expect([lost.status, ids(lost), lost.at('numErrors')]).toEqual([207, [id(1)], 1])
    expect(lost.at('errors', 0, 'context')).toEqual({ ids: ['9'] })
    const traced = await update(
      { id: id(2), properties: { nope: '1' }, objectWriteTraceId: 'a' },
      { id: id(3), properties: { amount: '3' }, objectWriteTraceId: 'b' },
    )
    expect([traced.status, traced.at('results', 0, 'objectWriteTraceId')]).toEqual([207, 'b'])
    expect(traced.at('errors', 0, 'context')).toEqual({ ids: [id(2)], objectWriteTraceId: ['a'] })
    await client.post('/__sandbox/faults', [{ fault: 'partial', path: '/batch/update', nth: 1 }])
    const partial = await update(...[1, 2, 3].map((index) => ({ id: id(index), properties: { amount: '4' } })))
    expect([partial.status, partial.at('numErrors'), ids(partial).length]).toEqual([207, 1, 2])
    await client.post('/__sandbox/faults', [{ fault: 'bad-row', path: '/batch/update' }])
    const whole = await update(...[1, 2, 3].map((index) => ({ id: id(index), properties: { amount: '5' } })))
    expect([whole.status, whole.at('category')]).toEqual([400, 'VALIDATION_ERROR'])
    expect(ids(await search([by('amount', 'EQ', { value: '5' })]))).toEqual([])
  })

  it('creates, archives and lists archived deals', async () => {
    await start(some(2))
    const properties = { dealname: 'New', pipeline: 'renewals', dealstage: 'due' }
    expect((await client.post(`${DEALS}/batch/create`, { inputs: [{ properties: { dealname: 'x' } }] })).status).toBe(
      400,
    )
    expect(ids(await client.post(`${DEALS}/batch/create`, { inputs: [{ properties }] }))).toEqual([id(3)])
    expect((await client.post(`${DEALS}/batch/archive`, { inputs: [{ id: id(1) }, { id: '9' }] })).status).toBe(204)
    expect((await client.send('DELETE', `${DEALS}/${id(2)}`, undefined)).status).toBe(204)
    expect(ids(await client.get(DEALS))).toEqual([id(3)])
    expect(ids(await client.get(`${DEALS}?archived=true`))).toEqual([id(1), id(2)])
    expect((await client.get(`${DEALS}/${id(1)}`)).status).toBe(404)
    expect(await client.state('deal')).toHaveLength(1)
  })
})

describe('properties', () => {
  const group = (object = 'deals') =>
    client.post(`/crm/properties/2026-09/${object}/groups`, { name: 'unstall', label: 'unstall' })
  const text = (name: string, more: object = {}) => ({
    name,
    label: name,
    groupName: 'unstall',
    type: 'string',
    fieldType: 'text',
    ...more,
  })
  const option = (value: string) => ({ label: value, value, displayOrder: 0, hidden: false })

  it('creates groups and properties once, and checks definitions', async () => {
    await start(some(1))
    expect((await client.post(SCHEMA, text('unstall_a'))).text).toContain('group unstall does not exist')
    expect([(await group()).status, (await group()).status]).toEqual([201, 409])
    expect((await client.post(SCHEMA, text('unstall_a'))).status).toBe(201)
    expect((await client.post(SCHEMA, text('unstall_a'))).status).toBe(409)
    expect((await client.get(`${SCHEMA}/unstall_b`)).status).toBe(404)
    expect((await client.get(`${SCHEMA}/unstall_a`)).at('hubspotDefined')).toBe(false)
    const wrong = [
      text('Upper'),
      text('unstall_c', { type: 'number' }),
      text('unstall_c', { type: 'bool', fieldType: 'booleancheckbox', options: [option('true')] }),
      text('unstall_c', { type: 'enumeration', fieldType: 'select' }),
      text('unstall_c', { type: 'number', fieldType: 'calculation_equation', calculationFormula: 'if then' }),
      text('unstall_c', { type: 'number', fieldType: 'calculation_equation', calculationFormula: 'nope + 1' }),
    ]
    for (const definition of wrong)
      expect((await client.post(SCHEMA, definition)).status, JSON.stringify(definition)).toBe(400)
    expect(
      (await client.post(`${SCHEMA}/batch/create`, { inputs: [text('unstall_d'), text('unstall_d')] })).status,
    ).toBe(409)
    expect(
      (await client.post(`${SCHEMA}/batch/create`, { inputs: [text('unstall_d'), text('unstall_e')] })).status,
    ).toBe(201)
    const fields = await client.state('field')
    expect(fields.map((field) => walk(field, ['name']))).toEqual(['unstall_a', 'unstall_d', 'unstall_e'])
    await act('drop-field', { field: 'unstall_d' })
    expect((await update({ id: id(1), properties: { unstall_d: 'x' } })).text).toContain('PROPERTY_DOESNT_EXIST')
  })

  it('segments: one of a name, found with its filter; what they or a formula use is not deleted, nor HubSpot’s own', async () => {
    await start(some(1))
    await group()
    const [lists, options] = ['/crm/lists/2026-09', ['true', 'false'].map(option)]
    await client.post(SCHEMA, text('unstall_a', { type: 'bool', fieldType: 'booleancheckbox', options }))
    const number = { type: 'number', fieldType: 'calculation_equation' }
    await client.post(
      SCHEMA,
      text('unstall_b', { ...number, calculationFormula: 'if bool(unstall_a) then 0 else amount' }),
    )
    const list = (property: string) => {
      const branch = (kind: string, filterBranches: object[], filters: object[]) => ({
        ...{ filterBranchType: kind, filterBranchOperator: kind, filterBranches, filters },
      })
      const filterBranch = branch(
        'OR',
        [branch('AND', [], [{ filterType: 'PROPERTY', property, operation: BOOL }])],
        [],
      )
      return client.post(lists, { name: 'S 1', objectTypeId: '0-3', processingType: 'DYNAMIC', filterBranch })
    }
    expect((await list('unstall_b')).status).toBe(400)
    const made = await list('unstall_a')
    expect([made.status, (await list('unstall_a')).status]).toEqual([200, 400])
    const found = await client.get(`${lists}/object-type-id/0-3/name/S%201?includeFilters=true`)
    expect(found.at('list')).toEqual(made.at('list'))
    expect((await client.get(`${lists}/object-type-id/0-3/name/S%201`)).text).not.toContain('filterBranch')
    expect((await client.get(`${lists}/object-type-id/0-3/name/S`)).status).toBe(404)

    const gone = async (path: string) => (await client.send('DELETE', path, undefined)).status
    expect([await gone(`${SCHEMA}/unstall_a`), await gone(`${SCHEMA}/amount`)]).toEqual([400, 400])
    expect(await gone(`${SCHEMA}/groups/unstall`)).toBe(400)
    expect(await gone(`${lists}/${made.at('list', 'listId')}`)).toBe(204)
    expect(await gone(`${SCHEMA}/unstall_a`)).toBe(400)
    for (const last of ['unstall_b', 'unstall_a', 'groups/unstall']) {
      expect((await client.get(`${SCHEMA}/${last}`)).status).toBe(200)
      expect([await gone(`${SCHEMA}/${last}`), await gone(`${SCHEMA}/${last}`)]).toEqual([204, 404])
    }
  })

  it('computes a formula of ours: 0 while stalled, empty stays empty', async () => {
    await start([deal(1), deal(2, [], { amount: null })])
    await group()
    await client.post(
      SCHEMA,
      text('unstall_state', {
        type: 'enumeration',
        fieldType: 'select',
        options: ['moving', 'stalled', 'parked'].map(option),
      }),
    )
    const calculationFormula =
      "if string(unstall_state) equals 'stalled' or string(unstall_state) equals 'parked' then 0 else amount"
    const calculated = text('unstall_forecast_amount', {
      type: 'number',
      fieldType: 'calculation_equation',
      calculationFormula,
    })
    expect((await client.post(SCHEMA, calculated)).status).toBe(201)
    expect([await value('unstall_forecast_amount'), await value('unstall_forecast_amount', 2)]).toEqual(['100', null])
    await update({ id: id(1), properties: { unstall_state: 'parked' } })
    expect(await value('unstall_forecast_amount')).toBe('0')
    expect(ids(await search([by('unstall_forecast_amount', 'EQ', { value: '0' })]))).toEqual([id(1)])
    expect((await update({ id: id(1), properties: { unstall_forecast_amount: '1' } })).text).toContain(
      'READ_ONLY_VALUE',
    )
  })

  it('other formulas', async () => {
    await start([deal(1, [], { amount: 50 })])
    await group()
    const formulas: [string, string | null][] = [
      ['if is_present(amount) and not (amount < 10) then amount else 0', '50'],
      ["if amount > 100 then 1 elseif string(dealstage) = 'first' then 2 else 3 endif", '2'],
      ['if bool(hs_is_closed) or amount != 50 or false then 1 else 0', '0'],
      ['if amount <= 50 and amount >= 50 then hs_forecast_probability else 1', null],
    ]
    for (const [index, [calculationFormula, wanted]] of formulas.entries()) {
      const name = `formula_${index}`
      const created = await client.post(
        SCHEMA,
        text(name, { type: 'number', fieldType: 'calculation_equation', calculationFormula }),
      )
      expect(created.status, created.text).toBe(201)
      expect(await value(name), calculationFormula).toBe(wanted)
    }
  })
})

describe('tasks', () => {
  const link = (to: string, associationTypeId = 216) => [
    { to: { id: to }, types: [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId }] },
  ]
  const task = (key: string, more: object = {}) => ({
    objectWriteTraceId: key,
    associations: link(id(1)),
    properties: { hs_timestamp: '2026-11-04T08:00:00Z', hs_task_subject: 'Ask', unstall_task_key: key },
    ...more,
  })
  const create = (...inputs: object[]) => client.post(`${TASKS}/batch/create`, { inputs })
  const keyProperty = (hasUniqueValue: boolean) =>
    client.post('/crm/properties/2026-09/tasks', {
      name: 'unstall_task_key',
      label: 'key',
      groupName: 'task',
      type: 'string',
      fieldType: 'text',
      hasUniqueValue,
    })

  it('creates with associations; wrong rows fail alone under trace ids; keys are unique', async () => {
    await start(some(2))
    expect((await keyProperty(true)).status).toBe(201)
    const got = await create(
      task('a'),
      task('b', { properties: { hs_task_subject: 'x' } }),
      task('c', { associations: link('9') }),
      task('d', { associations: link(id(1), 204) }),
    )
    expect([got.status, ids(got), got.at('results', 0, 'objectWriteTraceId'), got.at('numErrors')]).toEqual([
      207,
      ['61000000001'],
      'a',
      3,
    ])
    expect(got.at('errors', 0)).toMatchObject({
      context: { objectWriteTraceId: ['b'] },
      errors: [{ code: 'MISSING_REQUIRED_PROPERTY' }],
    })
    const again = await create(task('a'))
    expect([again.status, again.at('errors', 0, 'category')]).toEqual([207, 'CONFLICT'])
    expect(again.text).toContain('61000000001 already has that value')
    const twice = await create(task('e'), { ...task('f'), properties: task('e').properties })
    expect([twice.status, twice.at('errors', 0, 'context', 'objectWriteTraceId', 0)]).toEqual([207, 'f'])
    expect((await create({ ...task('a'), objectWriteTraceId: undefined })).status).toBe(409)
    expect(await client.state('task')).toHaveLength(2)
    expect(walk((await client.state('task'))[0], ['dealId'])).toBe(id(1))
    const found = await client.post(`${TASKS}/batch/read`, {
      idProperty: 'unstall_task_key',
      inputs: [{ id: 'a' }, { id: 'z' }],
      properties: ['hs_task_status', 'unstall_task_key'],
    })
    expect([found.status, ids(found), found.at('results', 0, 'properties', 'hs_task_status')]).toEqual([
      207,
      ['61000000001'],
      'NOT_STARTED',
    ])
    const linked = await client.post('/crm/associations/2026-09/deals/tasks/batch/read', {
      inputs: [{ id: id(1) }, { id: id(2) }],
    })
    expect([linked.status, linked.at('results', 0, 'to', 0, 'toObjectId')]).toEqual([207, '61000000001'])
  })

  it('completes, reopens and archives; a freed key can be used again', async () => {
    await start(some(1))
    await keyProperty(true)
    await create(task('a'))
    const set = (status: string) =>
      client.post(`${TASKS}/batch/update`, { inputs: [{ id: '61000000001', properties: { hs_task_status: status } }] })
    const done = async () =>
      (await client.get(`${TASKS}/61000000001?properties=hs_task_completion_date`)).at(
        'properties',
        'hs_task_completion_date',
      )
    await set('COMPLETED')
    expect(await done()).toBe('2026-11-02T06:00:00.000Z')
    await set('NOT_STARTED')
    expect([await done(), (await set('DONE')).status]).toEqual(['', 400])
    await client.post(`${TASKS}/batch/archive`, { inputs: [{ id: '61000000001' }] })
    expect((await create(task('a'))).status).toBe(201)
  })

  it('plain: no unique property, no idProperty, no conflict', async () => {
    await start(some(1), { taskKey: 'plain' })
    expect((await keyProperty(true)).status).toBe(400)
    expect((await keyProperty(false)).status).toBe(201)
    await create(task('a'))
    expect((await create(task('a'))).status).toBe(201)
    expect(
      (await client.post(`${TASKS}/batch/read`, { idProperty: 'unstall_task_key', inputs: [{ id: 'a' }] })).status,
    ).toBe(400)
  })

  it('shows in the rollups of the deal and in its last modification', async () => {
    await start(some(1))
    const rollups = () => Promise.all(['notes_last_updated', 'num_notes', 'notes_next_activity_date'].map(value))
    const before = await rollups()
    await create({ associations: link(id(1)), properties: { hs_timestamp: '2026-11-04T08:00:00Z' } })
    expect(await value('notes_last_updated')).toBe('2026-11-02T06:00:00.000Z')
    expect(await rollups()).not.toEqual(before)
    expect(await value('notes_next_activity_date')).toBe('2026-11-04T08:00:00.000Z')
    expect(await value('hs_lastmodifieddate')).toBe('2026-11-02T06:00:00.000Z')
    expect(await value('notes_last_contacted')).toBeNull()
    await client.post(`${TASKS}/batch/archive`, { inputs: [{ id: '61000000001' }] })
    expect(await rollups()).toEqual(before)
  })
})

describe('acts', () => {
  it('stage, field, merge and delete, with their sources', async () => {
    await start(some(3))
    await act('move-stage', { id: id(1), to: 'won', at: '2026-10-30T10:00:00Z' })
    expect([await value('hs_is_closed_won'), await value('hs_v2_date_entered_current_stage')]).toEqual([
      'true',
      '2026-10-30T10:00:00.000Z',
    ])
    await act('move-stage', { id: id(1), to: 'due', by: 'workflow' })
    expect([await value('pipeline'), await value('hs_is_closed')]).toEqual(['renewals', 'false'])
    await act('set', { id: id(1), field: 'amount', value: 12, by: 'import' })
    await act('set', { id: id(1), field: 'closedate', value: '1601-01-01', by: 'integration' })
    const got = await read([], ['dealstage', 'amount', 'closedate'])
    const source = (name: string) => got.at('results', 0, 'propertiesWithHistory', name, 0, 'sourceType')
    expect(['dealstage', 'amount', 'closedate'].map(source)).toEqual(['WORKFLOWS', 'IMPORT', 'INTEGRATION'])
    await act('set', { id: id(1), field: 'amount', value: 'a lot' })
    expect(await value('amount')).toBe('a lot')
    await act('merge', { id: id(2), into: id(1) })
    expect(await value('hs_merged_object_ids')).toBe(id(2))
    await act('delete', { id: id(3) })
    expect(await client.state('deal')).toHaveLength(1)
    for (const [kind, more] of [
      ['move-stage', { to: 'nope' }],
      ['set', { field: 'nope', value: '' }],
      ['merge', { into: id(1) }],
    ] as const)
      expect((await act(kind, { id: id(1), ...more })).status, kind).toBe(400)
    expect((await act('buyer-reply', { id: id(3) })).status).toBe(400)
    expect(await client.lines('/__sandbox/journal')).toEqual([])
  })

  it('activities are rolled up as HubSpot does: nobody can tell who took part', async () => {
    await start(some(2))
    await act('buyer-reply', { id: id(1), at: '2026-11-01T10:00:00Z' })
    await act('call', { id: id(1), outcome: 'incoming', at: '2026-11-01T11:00:00Z' })
    await act('call', { id: id(1), outcome: 'no-answer', at: '2026-11-01T12:00:00Z' })
    await act('meeting', { id: id(1), outside: false, at: '2026-10-20T12:00:00Z' })
    await act('meeting', { id: id(1), held: false, at: '2026-10-21T12:00:00Z' })
    const rollups = {
      hs_sales_email_last_replied: '2026-11-01T10:00:00.000Z',
      hs_number_of_inbound_calls: '1',
      hs_latest_meeting_activity: '2026-10-20T12:00:00.000Z',
      notes_last_contacted: '2026-11-01T12:00:00.000Z',
      hs_next_meeting_start_time: null,
    }
    const got = await read(Object.keys(rollups))
    expect(got.at('results', 0, 'properties')).toMatchObject(rollups)
  })

  it('a booked meeting is next, then held, unless cancelled', async () => {
    await start(some(2))
    const at = '2026-11-05T09:00:00.000Z'
    const booked = await act('meeting', { id: id(1), at })
    await act('meeting', { id: id(2), at })
    expect([await value('hs_next_meeting_start_time'), await value('hs_next_meeting_id')]).toEqual([
      at,
      booked.at('id'),
    ])
    await act('meeting', { id: id(2), at, held: false })
    expect(await value('hs_next_meeting_start_time', 2)).toBeNull()
    await client.post('/__sandbox/clock', { now: '2026-11-06T06:00:00Z' })
    expect([await value('hs_next_meeting_start_time'), await value('hs_latest_meeting_activity')]).toEqual([null, at])
    expect([await value('hs_lastmodifieddate'), await value('hs_latest_meeting_activity', 2)]).toEqual([at, null])
  })

  it('on tasks: complete, set and delete', async () => {
    await start(some(1))
    await client.post(`${TASKS}/batch/create`, {
      inputs: [1, 2].map(() => ({ properties: { hs_timestamp: '2026-11-04T08:00:00Z' } })),
    })
    await act('set', { id: '61000000001', field: 'hs_task_subject', value: 'Mine now' })
    await act('complete-task', { id: '61000000001' })
    await act('delete-task', { id: '61000000002' })
    const tasks = await client.state('task')
    expect(tasks.map((task) => walk(task, ['properties']))).toEqual([
      expect.objectContaining({ hs_task_status: 'COMPLETED', hs_task_subject: 'Mine now' }),
    ])
    expect((await act('complete-task', { id: '61000000002' })).status).toBe(400)
  })
})

describe('reference data', () => {
  it('pipelines, owners, account and state lines', async () => {
    await start(some(1))
    const pipelines = await client.get('/crm/pipelines/2026-09/deals')
    expect(pipelines.at('results', 0, 'stages', 2)).toMatchObject({
      id: 'won',
      displayOrder: 2,
      metadata: { probability: '1.0', isClosed: 'true' },
    })
    const owners = await client.get('/crm/owners/2026-09?limit=1')
    expect([owners.at('results', 0, 'email'), owners.at('paging')]).toEqual(['ann@example.com', undefined])
    const gone = await client.get('/crm/owners/2026-09?archived=true')
    expect(gone.at('results', 0)).toMatchObject({ email: 'bob@example.com', archived: true, type: 'PERSON' })
    expect((await client.get('/account-info/2026-09/details')).at()).toMatchObject({
      timeZone: 'UTC',
      companyCurrency: 'EUR',
    })
    expect(await client.state('owner')).toHaveLength(2)
    expect(await client.state('meta')).toEqual([
      expect.objectContaining({ system: 'hubspot', now: '2026-11-02T06:00:00.000Z' }),
    ])
    const [first] = await client.state('deal')
    expect(first).toMatchObject({ id: id(1), properties: { dealname: 'Deal 1', hs_is_closed: 'false' } })
  })
})
