// HubSpot faked by nock, strict both ways: a call nobody mocked and a mock nobody called both fail the test.
import nock from 'nock'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { connectHubspot, type HubspotOptions, staticToken } from '../../../connectors/hubspot/index.ts'
import { openGate } from '../../conformance.ts'

export const ORIGIN = 'https://api.hubapi.com'
export const TOKEN = 'pat-secret-token'
export const never = new AbortController().signal
export const NOW = Date.parse('2026-11-02T06:00:00Z')
export const DATE = { date: new Date(NOW).toUTCString() }

/** Call once per file. */
export function strict(): void {
  const unmatched: string[] = []
  const note = (request: Request) => {
    if (!request.url.startsWith('http://127.0.0.1:')) unmatched.push(`${request.method} ${request.url}`)
  }
  beforeAll(() => void (nock.isActive() || nock.activate()))
  afterAll(() => nock.restore()) // the next file of this process meets real HTTP
  beforeEach(() => {
    nock.disableNetConnect()
    nock.emitter.on('no match', note)
  })
  afterEach(() => {
    nock.emitter.off('no match', note)
    const [missing, unused] = [unmatched.splice(0), nock.pendingMocks()]
    nock.cleanAll()
    nock.enableNetConnect()
    expect({ missing, unused }).toEqual({ missing: [], unused: [] })
  })
}

export const hubspot = () => nock(ORIGIN, { reqheaders: { authorization: `Bearer ${TOKEN}` } })

export function options(over: Partial<HubspotOptions> = {}) {
  const slept: number[] = []
  const gate = openGate()
  return {
    baseUrl: ORIGIN,
    credential: staticToken(TOKEN),
    gate,
    slept,
    pauses: gate.pauses,
    clock: () => NOW,
    sleep: async (ms: number) => void slept.push(ms),
    timezone: 'UTC',
    ...over,
  }
}

/** A connector that has already learned a portal of one pipeline. */
export async function portal(over: Partial<HubspotOptions> = {}, taskKey: 'unique' | 'plain' = 'unique') {
  await learnt(taskKey)
  const connector = connectHubspot(options(over))
  const reference = await connector.reference(never)
  return { connector, reference }
}

/** What a portal answers to a connector that learns it. `without`: properties of ours it does not have. */
export async function learnt(taskKey: 'unique' | 'plain' = 'unique', without: readonly string[] = []) {
  const { DEAL_FIELDS } = await import('../../../connectors/hubspot/fields.ts')
  const stage = (id: string, displayOrder: number, probability: string) => ({
    ...{ id, label: id, displayOrder, metadata: { probability } },
  })
  hubspot()
    .get('/account-info/2026-09/details')
    .reply(200, { portalId: 77, timeZone: 'UTC', companyCurrency: 'EUR', uiDomain: 'app-eu1.hubspot.com' })
    .get('/crm/pipelines/2026-09/deals')
    .reply(200, {
      results: [
        {
          ...{ id: 'default', label: 'Sales', displayOrder: 0 },
          stages: [stage('closedwon', 2, '0.0'), stage('first', 0, '0.2'), stage('signed', 1, '1.0')],
        },
      ],
    })
    .get('/crm/owners/2026-09')
    .query({ limit: '100', archived: 'false' })
    .reply(200, {
      results: [
        { id: '1', email: 'a@x.example', firstName: 'A', lastName: 'B', type: 'PERSON', teams: [{ id: '9', name: 'North', primary: true }] },
        { id: '3', firstName: '', lastName: 'Inbound queue', type: 'QUEUE' },
      ], // biome-ignore format: rows
      paging: { next: { after: '3', link: 'https://elsewhere.example/steal' } },
    })
    .get('/crm/owners/2026-09')
    .query({ limit: '100', archived: 'false', after: '3' })
    .reply(200, { results: [{ id: '4', email: 'c@x.example' }] })
    .get('/crm/owners/2026-09')
    .query({ limit: '100', archived: 'true' })
    .reply(200, { results: [{ id: '2', email: 'gone@x.example', archived: true }] })
    .get('/crm/properties/2026-09/deals')
    .reply(200, {
      results: [
        ...DEAL_FIELDS.filter(({ name }) => !without.includes(name)),
        {
          name: 'hs_manual_forecast_category',
          type: 'enumeration',
          options: [{ value: 'OMIT' }, { value: 'PIPELINE' }],
        },
      ],
    })
    .get('/crm/properties/2026-09/tasks/unstall_task_key')
    .reply(200, { name: 'unstall_task_key', type: 'string', hasUniqueValue: taskKey === 'unique' })
}

export function deal(id: string, properties: Record<string, unknown> = {}, more: Record<string, unknown> = {}) {
  return {
    id,
    properties: {
      ...{ dealname: `Deal ${id}`, pipeline: 'default', dealstage: 'first', amount: '100', hubspot_owner_id: '1' },
      ...{ createdate: '2026-01-05T10:00:00Z', closedate: '2026-12-01T00:00:00Z', deal_currency_code: 'EUR' },
      ...{ hs_lastmodifieddate: '2026-10-01T10:00:00Z', ...properties },
    },
    ...{ createdAt: '2026-01-05T10:00:00Z', updatedAt: '2026-10-01T10:00:00Z', archived: false, ...more },
  }
}
