// Bulk reading at its edges: past 10,000 results, repeated pages, malformed records, history only where needed.
import { expect, test } from 'vitest'
import { z } from 'zod'
import type { Connector, Cursor, Page } from '../../../src/connector.ts'
import { Fatal } from '../../../src/errors.ts'
import { collect } from '../../conformance.ts'
import { DATE, deal, hubspot, NOW, never, portal, strict } from './fake.ts'

strict()
const LIST = '/crm/objects/2026-09/deals'
const SEARCH = `${LIST}/search`
const READ = `${LIST}/batch/read`
const at = (since: number): Cursor => JSON.stringify({ since, after: null, mark: null, pending: [] })
const SINCE = NOW - 86_400_000

const Search = z.strictObject({
  filterGroups: z.tuple([
    z.object({ filters: z.array(z.object({ propertyName: z.string(), operator: z.string(), value: z.string() })) }),
  ]),
  sorts: z.tuple([z.object({ propertyName: z.literal('hs_object_id'), direction: z.literal('ASCENDING') })]),
  properties: z.array(z.string()),
  limit: z.literal(200),
})
const Read = z.object({ inputs: z.array(z.object({ id: z.string() })), propertiesWithHistory: z.array(z.string()) })

/** A portal in which these deals changed, all in the same millisecond. Counts calls and what history was asked of. */
function changed(records: readonly ReturnType<typeof deal>[], reads: 'some' | 'none' = 'some') {
  const seen = { searches: 0, reads: 0, history: [] as string[], sizes: [] as number[] }
  hubspot()
    .persist()
    .post(SEARCH)
    .reply(async (sent: Request) => {
      const body: unknown = await sent.clone().json()
      const counting = z.object({ limit: z.number() }).parse(body)
      if (counting.limit === 1) return [200, { total: records.length, results: [] }]
      seen.searches += 1
      const request = Search.parse(body)
      const [since, behind] = request.filterGroups[0].filters
      expect(since).toMatchObject({ propertyName: 'hs_lastmodifieddate', operator: 'GTE' })
      if (behind) expect(behind).toMatchObject({ propertyName: 'hs_object_id', operator: 'GT' })
      const rest = records.filter((one) => BigInt(one.id) > BigInt(behind?.value ?? 0))
      const more = rest.length > 200 ? { paging: { next: { after: '200', link: 'https://elsewhere.example/' } } } : {}
      return [200, { total: rest.length, results: rest.slice(0, 200), ...more }, DATE]
    })
  if (reads === 'none') return seen
  hubspot()
    .persist()
    .post(READ)
    .reply(async (sent: Request) => {
      seen.reads += 1
      const body: unknown = await sent.clone().json()
      const { inputs, propertiesWithHistory } = Read.parse(body)
      expect(inputs.length).toBeLessThanOrEqual(50)
      expect(propertiesWithHistory).toEqual(['dealstage', 'pipeline', 'amount', 'closedate'])
      seen.history.push(...inputs.map((one) => one.id))
      seen.sizes.push(inputs.length)
      const found = records.filter((one) => inputs.some((input) => input.id === one.id))
      const history = { amount: [{ value: '100', timestamp: NOW - 1000, sourceType: 'CRM_UI' }] }
      return [200, { status: 'COMPLETE', results: found.map((one) => ({ ...one, propertiesWithHistory: history })) }]
    })
  return seen
}
const same = { pipelineId: 'default', stageId: 'first', amount: 100, closeDate: '2026-12-01' }
const deals = (count: number) => Array.from({ length: count }, (_, i) => deal(String(5_000_000_000 + i)))
const pull = (connector: Connector, since: Cursor | null): Promise<Page[]> => collect(connector.pull(since, NOW, never))
const ids = (pages: readonly Page[]) => pages.flatMap((page) => page.deals.map((one) => one.id))

test.each([9_999, 10_000, 10_001, 25_000])('%i changed deals, all at one moment: each once, by id', async (count) => {
  const records = deals(count)
  const seen = changed(records, 'none')
  const { connector } = await portal({ known: async (some) => new Map(some.map((id) => [id, same])) })
  const pages = await pull(connector, at(SINCE))
  expect(new Set(ids(pages)).size).toBe(count)
  expect(ids(pages).length).toBe(count)
  expect(seen).toMatchObject({ reads: 0, searches: Math.ceil(count / 200) })
  expect(pages[0]).toMatchObject({ total: count, read: 200 })
  expect(JSON.parse(pages.at(-1)?.cursor ?? '')).toEqual({
    since: NOW,
    after: null,
    mark: null,
    pending: [],
  })
})

test('history is read only of deals that differ from the local copy, in full calls, each beside its deal', async () => {
  const records = deals(1000)
  const moved = new Set(records.filter((_, i) => i % 8 === 0).map((one) => one.id))
  const back = records[3]?.id ?? ''
  const seen = changed(
    records.map((one) =>
      one.id === back
        ? {
            ...one,
            properties: { ...one.properties, hs_v2_date_entered_current_stage: new Date(NOW - 1000).toISOString() },
          }
        : one,
    ),
  )
  const { connector } = await portal({
    known: async (some) => new Map(some.map((id) => [id, moved.has(id) ? { ...same, amount: 90 } : same])),
  })
  const pages = await pull(connector, at(SINCE))
  expect(new Set(ids(pages)).size).toBe(1000)
  expect(ids(pages).length).toBe(1000)
  expect(new Set(seen.history)).toEqual(new Set([...moved, back]))
  expect(seen.sizes.toSorted()).toEqual([26, 50, 50])
  for (const page of pages) {
    for (const one of page.evidence) expect(page.deals.some((d) => d.id === one.deal)).toBe(true)
  }
  const told = pages.flatMap((page) => page.evidence).filter((one) => one.changes.length > 0)
  expect(new Set(told.map((one) => one.deal))).toEqual(new Set([...moved, back]))
})

test('without a local copy, history of every changed deal', async () => {
  const seen = changed(deals(120))
  const { connector } = await portal()
  await pull(connector, at(SINCE))
  expect(seen.history.length).toBe(120)
  expect(seen).toMatchObject({ searches: 1, reads: 3 })
})

test('stopped while deals wait for their history: they are in the cursor', async () => {
  const records = deals(450)
  const moved = new Set(records.slice(0, 30).map((one) => one.id))
  const seen = changed(records)
  const known = async (some: readonly string[]) =>
    new Map(some.map((id) => [id, moved.has(id) ? { ...same, stageId: 'zero' } : same]))
  const { connector } = await portal({ known })
  const delivered: string[] = []
  let cursor: Cursor = ''
  for await (const page of connector.pull(at(SINCE), NOW, never)) {
    delivered.push(...page.deals.map((one) => one.id))
    cursor = page.cursor
    break
  }
  expect(delivered.length).toBe(170)
  expect(seen.reads).toBe(0)
  expect(cursor.length).toBeLessThan(8000)
  const rest = await pull(connector, cursor)
  expect(new Set([...delivered, ...ids(rest)]).size).toBe(450)
  expect(new Set(seen.history).size).toBe(30)
})

/** The list of all deals, fifty a page. */
function listing(records: readonly ReturnType<typeof deal>[]) {
  const seen = { pages: 0 }
  hubspot()
    .persist()
    .get(LIST)
    .query(true)
    .reply((sent: Request) => {
      seen.pages += 1
      const from = Number(new URL(sent.url).searchParams.get('after') ?? 0)
      const next = from + 50 < records.length ? { paging: { next: { after: String(from + 50) } } } : {}
      return [200, { results: records.slice(from, from + 50), ...next }, DATE]
    })
  return seen
}

test.each([4000, 25_000])(
  'a mass edit of all %i deals at one moment: the list is cheaper, and is taken',
  async (count) => {
    const records = deals(count)
    const seen = changed(records, 'none')
    const { connector } = await portal()
    const list = listing(records)
    const pages = await pull(connector, at(SINCE))
    expect(new Set(ids(pages)).size).toBe(count)
    expect(list.pages).toBe(count / 50)
    expect(seen.reads).toBe(0)
    // Two searches, one of which was ahead, and the count of all deals.
    expect(list.pages + seen.searches + 1).toBeLessThanOrEqual(1.05 * (count / 50))
  },
)

/** A list whose tokens are ids, as HubSpot's are in practice: `gap` ids are free in its middle. */
function byIds(count: number, gap = 0, honest = true) {
  const records = Array.from({ length: count }, (_, i) =>
    deal(String(5_000_000_000 + 3 * i + (i < count / 3 ? 0 : gap))),
  )
  const seen = { pages: 0 }
  hubspot()
    .persist()
    .get(LIST)
    .query(true)
    .reply((sent: Request) => {
      seen.pages += 1
      const after = new URL(sent.url).searchParams.get('after')
      const known = after === null || honest || records.some((one) => one.id === after)
      const rest = records.filter((one) => !known || Number(one.id) > Number(after ?? 0))
      const page = rest.slice(0, 50)
      return [200, { results: page, ...(rest.length > 50 && { paging: { next: { after: page.at(-1)?.id } } }) }, DATE]
    })
    .post(SEARCH)
    .reply(async (sent: Request) =>
      // The newest id; what changed meanwhile is nothing.
      (await sent.clone().text()).includes('DESCENDING')
        ? [200, { total: count, results: records.slice(-1) }, DATE]
        : [200, { total: 0, results: [] }, DATE],
    )
  return { records, seen }
}

test.each([
  ['evenly spread ids', 0, true],
  ['a gap that splitting falls into', 5_000_000, true],
  ['ids that are no tokens where HubSpot did not give them', 0, false],
] as const)('the first list in stretches: %s: every deal, with hardly a call more', async (_, gap, honest) => {
  const { records, seen } = byIds(6000, gap, honest)
  const { connector } = await portal()
  const pages = await pull(connector, null)
  expect(new Set(ids(pages))).toEqual(new Set(records.map((one) => one.id)))
  expect(seen.pages).toBeLessThanOrEqual(120 + 10)
  expect(JSON.parse(pages.at(-1)?.cursor ?? '')).toMatchObject({ since: NOW, after: null })
})

test('the first list in stretches, interrupted after any page, goes on without a gap', async () => {
  const { records } = byIds(5000)
  const { connector } = await portal()
  for (const stop of [1, 5, 7, 20, 60, 99]) {
    const delivered = new Set<string>()
    let cursor: Cursor | null = null
    let left = stop
    for await (const page of connector.pull(null, NOW, never)) {
      for (const one of page.deals) delivered.add(one.id)
      cursor = page.cursor
      if (--left === 0) break
    }
    for (const id of ids(await pull(connector, cursor))) delivered.add(id)
    expect(delivered.size).toBe(records.length)
  }
})

test('a deal whose history HubSpot fails to read is held and asked for again, not forgotten', async () => {
  changed(deals(1), 'none')
  const { connector } = await portal()
  hubspot()
    .post(READ)
    .reply(207, { results: [], errors: [{ category: 'INTERNAL_ERROR', message: 'try again' }] })
  const pages = await pull(connector, at(SINCE))
  const [id] = deals(1).map((one) => one.id)
  expect(pages.flatMap(({ unreadable }) => unreadable)).toEqual([{ deal: id, problem: 'HubSpot failed to read it' }])
  expect(JSON.parse(pages.at(-1)?.cursor ?? '')).toMatchObject({ pending: [id] })
})

test('a mass edit that the first deals do not show: the list all the same, a few pages later', async () => {
  const records = deals(25_000)
  const quiet = new Set(records.slice(0, 200).map((one) => one.id))
  const seen = changed(records)
  const known = async (some: readonly string[]) => new Map(some.flatMap((id) => (quiet.has(id) ? [[id, same]] : [])))
  const { connector } = await portal({ known })
  const list = listing(records)
  expect(new Set(ids(await pull(connector, at(SINCE)))).size).toBe(25_000)
  expect(list.pages).toBe(500)
  expect(list.pages + seen.searches + seen.reads + 1).toBeLessThanOrEqual(1.1 * 500)
})

test('the first sync asks for four histories, fifty a page; deals closed long ago are left out', async () => {
  const { connector } = await portal()
  const closed = (id: string, closedate: string) => deal(id, { dealstage: 'signed', closedate })
  hubspot()
    .get(LIST)
    .query((query) => query.limit === '50' && String(query.propertiesWithHistory).split(',').length === 4)
    .reply(200, { results: [deal('1'), closed('2', '2024-01-01'), closed('3', '2025-06-01')] }, DATE)
  const [page] = await pull(connector, null)
  expect(page).toMatchObject({ read: 3, total: null, unreadable: [] })
  expect(page?.deals.map((one) => [one.id, one.outcome])).toEqual([['1', 'open'], ['3', 'won']]) // biome-ignore format: pairs
  expect(page?.deals[0]?.url).toBe('https://app-eu1.hubspot.com/contacts/77/record/0-3/1')
})

test('malformed records are quarantined alone', async () => {
  const { connector } = await portal()
  const body = JSON.stringify({
    results: [
      deal('1'),
      deal('2', { amount: 'null' }),
      deal('3', { dealstage: null }),
      deal('4', { closedate: '1601-01-01T00:00:00Z' }),
      { id: '5' },
      deal('6', { amount: null }),
      deal('7'),
    ],
  }).replace('"id":"7"', '"id":9007199254740993')
  hubspot().get(LIST).query(true).reply(200, body, DATE)
  const [page] = await pull(connector, null)
  expect(page?.deals.map((one) => one.id)).toEqual(['1', '6'])
  expect(page?.unreadable.map((one) => one.deal)).toEqual(['2', '3', '4', '5', '9007199254740992'])
  expect(page?.unreadable.every((one) => one.problem.length > 5)).toBe(true)
})

test('an interrupted first sync goes on from its page, then reads what changed meanwhile', async () => {
  const { connector } = await portal()
  hubspot()
    .get(LIST)
    .query((query) => query.after === '50')
    .reply(200, { results: [deal('60')] }, DATE)
    .post(SEARCH)
    .reply(200, { total: 0, results: [] }, DATE)
  const pages = await pull(connector, JSON.stringify({ since: null, after: '50', mark: NOW - 3_600_000, pending: [] }))
  expect(ids(pages)).toEqual(['60'])
  expect(pages.map((page) => JSON.parse(page.cursor).since)).toEqual([NOW - 3_600_000, NOW])
})

test('a page token that repeats is fatal, and links are never followed', async () => {
  const { connector } = await portal()
  const next = (after: string) => ({ paging: { next: { after, link: 'https://elsewhere.example/steal' } } })
  hubspot()
    .get(LIST)
    .query((query) => query.after === undefined)
    .reply(200, { results: [deal('1')], ...next('a') })
    .get(LIST)
    .query((query) => query.after === 'a')
    .reply(200, { results: [deal('2')], ...next('b') })
    .get(LIST)
    .query((query) => query.after === 'b')
    .reply(200, { results: [deal('3')], ...next('a') })
  await expect(pull(connector, null)).rejects.toBeInstanceOf(Fatal)
})

test('a search that goes backwards is fatal', async () => {
  const { connector } = await portal({ known: async (some) => new Map(some.map((id) => [id, same])) })
  hubspot()
    .post(SEARCH)
    .times(2)
    .reply(200, { total: 400, results: deals(200), paging: { next: { after: '200' } } })
  await expect(pull(connector, at(SINCE))).rejects.toBeInstanceOf(Fatal)
})

test('a cursor from elsewhere is fatal, before any call', async () => {
  const { connector } = await portal()
  for (const cursor of ['', '{}', '{"since":null}', 'x'])
    await expect(pull(connector, cursor)).rejects.toBeInstanceOf(Fatal)
})

test('the sweep of ids searches behind the last id, by no token, and asks for no page that is not wanted', async () => {
  const { connector } = await portal()
  const sorts = [{ propertyName: 'hs_object_id', direction: 'ASCENDING' }]
  const asked = { sorts, properties: ['hs_object_id'], limit: 200 }
  const behind = (value: string) => [{ filters: [{ propertyName: 'hs_object_id', operator: 'GT', value }] }]
  const first = () =>
    hubspot()
      .post(SEARCH, { ...asked, filterGroups: behind('0') })
      .reply(200, { total: 3, results: [{ id: '1' }, {}], paging: { next: { after: '2' } } })
  first()
    .post(SEARCH, { ...asked, filterGroups: behind('1') })
    .reply(200, { total: 1, results: [{ id: '9007199254740993' }] })
  const last = { ids: ['9007199254740993'], rest: 0 }
  expect(await collect(connector.census(null, never))).toEqual([{ ids: ['1'], rest: 1 }, last])
  first()
  for await (const page of connector.census(null, never)) {
    expect(page.rest).toBe(1)
    break
  }
  hubspot()
    .post(SEARCH, { ...asked, filterGroups: behind('7') })
    .reply(200, { results: [] })
  expect(await collect(connector.census('7', never))).toEqual([{ ids: [], rest: 0 }])
})

test('read: gone only when HubSpot says so, a deal merged away is gone, an odd one is unreadable', async () => {
  const { connector } = await portal()
  hubspot()
    .post(READ)
    .reply(207, {
      status: 'COMPLETE',
      results: [deal('1'), deal('2', { amount: 'x' })],
      errors: [{ status: 'error', category: 'OBJECT_NOT_FOUND', message: 'gone', context: { ids: ['3'] } }],
    })
    .get(`${LIST}/4`)
    .reply(404, { category: 'OBJECT_NOT_FOUND' })
    .get(`${LIST}/5`)
    .reply(200, deal('55'))
    .get(`${LIST}/6`)
    .reply(200, deal('6'))
  const read = await connector.read(['1', '2', '3', '4', '5', '6'], never)
  const short = [...read].map(([id, one]) => [id, typeof one === 'object' ? 'read' : one])
  expect(Object.fromEntries(short)).toEqual({
    1: 'read',
    2: 'unreadable',
    3: 'gone',
    4: 'gone',
    5: 'gone',
    6: 'unreadable',
  })
})

test('reference: outcome from probability, owners who left, queues, next page by token', async () => {
  const { connector, reference } = await portal()
  expect(reference.pipelines[0]?.stages.map((stage) => [stage.id, stage.order, stage.outcome])).toEqual([
    ['first', 0, 'open'],
    ['signed', 1, 'won'],
    ['closedwon', 2, 'lost'],
  ])
  expect(reference.owners).toEqual([
    { id: '1', email: 'a@x.example', name: 'A B', active: true, team: 'North' },
    { id: '3', email: null, name: 'Inbound queue', active: true, team: null },
    { id: '4', email: 'c@x.example', name: 'c@x.example', active: true, team: null },
    { id: '2', email: 'gone@x.example', name: 'gone@x.example', active: false, team: null },
  ])
  expect(reference).toMatchObject({ omitted: 'OMIT', closedCategory: null, currency: 'EUR', self: null })
  expect(connector.can).toMatchObject({ system: 'hubspot', taskKey: 'unique' })
})
