// check and setup against portals that lack something: fields, options, scopes, calculations, unique task keys.
import nock from 'nock'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { staticToken } from '../../../connectors/hubspot/auth.ts'
import { DEAL_FIELDS } from '../../../connectors/hubspot/fields.ts'
import type { HubspotOptions } from '../../../connectors/hubspot/index.ts'
import { CANNOT_TELL, connectHubspot } from '../../../connectors/hubspot/index.ts'
import { NEEDED } from '../../../connectors/hubspot/scopes.ts'
import { generate } from '../../../src/sandbox/generate.ts'
import { hubspot as lookalike } from '../../../src/sandbox/hubspot/server.ts'
import { startSandbox } from '../../../src/sandbox/kernel.ts'
import { collect } from '../../conformance.ts'
import { deal, hubspot, NOW, never, options, strict, TOKEN } from './fake.ts'

strict()
const PROPERTIES = '/crm/properties/2026-09/deals'
const TASKS = '/crm/properties/2026-09/tasks'
const all = DEAL_FIELDS.map(({ name, type, options: choices = [] }) => ({ name, type, options: choices }))

/** Null: no such segment. */
type Segment = object | null | 'unasked'
const OURS = { listId: '901', filterBranch: { filterBranches: [{ filters: [{ property: 'unstall_stalled' }] }] } }
const LISTS = '/crm/lists/2026-09'
function segment(list: Segment): void {
  if (list === 'unasked') return
  hubspot()
    .get(`${LISTS}/object-type-id/0-3/name/Stalled%20deals`)
    .query({ includeFilters: 'true' })
    .reply(list ? 200 : 404, list ? { list } : {})
}

function definitions(deals: object[], task: object | null, list: Segment = OURS): void {
  segment(list)
  const found = hubspot().get(PROPERTIES).reply(200, { results: deals }).get(`${TASKS}/unstall_task_key`)
  if (task === null) found.reply(404, {})
  else found.reply(200, task)
}
const key = { name: 'unstall_task_key', type: 'string', hasUniqueValue: true }

function readable(headers = {}): void {
  hubspot()
    .get('/account-info/2026-09/details')
    .reply(200, { portalId: 77, timeZone: 'Europe/Paris', companyCurrency: 'EUR' }, headers)
    .get('/crm/objects/2026-09/deals')
    .query({ limit: '1' })
    .reply(200, { results: [deal('1')] })
    .get('/crm/pipelines/2026-09/deals')
    .reply(200, { results: [{ id: 'd', label: 'D', stages: [{ id: 'contractsent', label: 'C', displayOrder: 0 }] }] })
    .get('/crm/owners/2026-09')
    .query(true)
    .times(2)
    .reply(200, { results: [] })
    .get('/account-info/2026-09/api-usage/daily/private-apps')
    .reply(403, {})
    .post('/crm/objects/2026-09/deals/search')
    .reply(200, { results: [], total: 0 })
    .post('/oauth/v2/private-apps/get/access-token-info', { tokenKey: TOKEN })
    .reply(404, {})
    .get('/crm/objects/2026-09/tasks')
    .query(true)
    .reply(200, { results: [] })
}
const check = (over: Partial<HubspotOptions> = {}) => connectHubspot(options(over)).check(never)

test('a portal in order: no problem, and what HubSpot cannot tell is said', async () => {
  readable({ 'x-hubspot-ratelimit-daily-remaining': '900' })
  definitions([...all, { name: 'hs_manual_forecast_category', type: 'enumeration', options: [{ value: 'OMIT' }] }], key)
  const { findings, steps } = await check({ timezone: 'Europe/Paris' })
  expect(findings.filter((one) => one.level === 'problem')).toEqual([])
  expect(findings.filter((one) => one.level === 'warn').map((one) => one.what)).toEqual([
    'HubSpot allows 900 more calls today',
    ...CANNOT_TELL.map((one) => one.what),
    expect.stringContaining('which properties it requires'),
  ])
  expect(new Set(steps.map((step) => step.action))).toEqual(new Set(['present']))
})

test('fields missing, of another type, without an option, read-only; no forecast; another time zone', async () => {
  readable()
  const odd = all
    .filter((one) => one.name !== 'unstall_cause')
    .map((one) => (one.name === 'unstall_state' ? { ...one, modificationMetadata: { readOnlyValue: true } } : one))
    .map((one) => (one.name === 'unstall_explanation' ? { ...one, type: 'number' } : one))
    .map((one) => (one.name === 'unstall_decision' ? { ...one, options: [{ value: 'yes', label: '' }] } : one))
  definitions(odd, { ...key, hasUniqueValue: false })
  const { findings, steps } = await check()
  const action = Object.fromEntries(steps.map((step) => [step.id, step.action]))
  expect(action).toMatchObject({
    'deals.unstall_cause': 'create',
    'deals.unstall_explanation': 'conflict',
    'deals.unstall_decision': 'conflict',
    'tasks.unstall_task_key': 'present',
  })
  const text = findings.map((one) => `${one.level}: ${one.what} ${one.todo ?? ''}`).join('\n')
  expect(text).toMatch(
    /problem: HubSpot lets nobody write “Pipeline state” \(unstall_state\) Delete .*Settings > Properties/,
  )
  expect(text).toMatch(/ok: HubSpot does not tell the scopes/)
  expect(text).toMatch(/problem: .*unstall_explanation.* is of type number, string is needed/)
  expect(text).toMatch(/problem: .*unstall_decision.* lacks the options no, maybe/)
  expect(text).toMatch(/problem: 1 of our properties are missing: .*unstall_cause.*unstall setup/)
  expect(text).toMatch(/warn: There is no forecast category/)
  expect(text).toMatch(/warn: The portal's time zone is Europe\/Paris/)
  expect(text).toMatch(/ok: Tasks have no unique key here/)
})

test('only the calculated amount missing is a warning with another way', async () => {
  readable()
  definitions(
    all.filter((one) => one.name !== 'unstall_forecast_amount'),
    key,
  )
  const { findings } = await check()
  expect(findings.filter((one) => one.level === 'problem')).toEqual([])
  expect(findings.some((one) => one.level === 'warn' && one.what.includes('amount that counts'))).toBe(true)
})

test('a wrong token is one finding, not an exception', async () => {
  hubspot().get('/account-info/2026-09/details').reply(401, {})
  const { findings, steps } = await check()
  expect(findings).toMatchObject([{ level: 'problem', todo: expect.stringContaining('Service Keys') }])
  expect(steps).toEqual([])
})

test.each(Object.keys(NEEDED))('a missing scope is named once, with what it costs: %s', async (scope) => {
  nock.enableNetConnect('127.0.0.1')
  const sandbox = await startSandbox(lookalike(generate({ now: NOW, deals: 20, open: 10, seed: 1 })), { now: NOW })
  const credential = staticToken(`sandbox-noscope-${scope}`)
  const { findings } = await connectHubspot(options({ baseUrl: sandbox.url, credential })).check(never)
  await sandbox.close()
  const problems = findings.filter((one) => one.level === 'problem')
  expect(problems.filter((one) => JSON.stringify(one).includes(scope))).toMatchObject([
    {
      what: expect.stringMatching(`^The scope ${scope} is missing: `),
      todo: expect.stringContaining('Service Keys >'),
    },
  ])
})

const Definition = z.object({
  name: z.string(),
  type: z.string(),
  groupName: z.string(),
  options: z.array(z.object({ label: z.string(), hidden: z.boolean() })).optional(),
})

test('setup: a portal that refuses calculations and unique task properties gets the rest', async () => {
  const names: string[] = []
  hubspot()
    .post(`${PROPERTIES}/groups`, { name: 'unstall', label: 'unstall' })
    .reply(201, {})
    .post(`${TASKS}/groups`)
    .reply(409, { message: 'exists' })
    .post(PROPERTIES)
    .times(DEAL_FIELDS.length)
    .reply(async (sent: Request) => {
      const body = Definition.parse(await sent.clone().json())
      names.push(body.name)
      expect(body.groupName).toBe('unstall')
      if (body.type === 'enumeration' || body.type === 'bool') expect(body.options?.[0]?.label).toMatch(/^[A-Z]/)
      return body.name === 'unstall_forecast_amount' ? [403, { message: 'upgrade needed' }] : [201, {}]
    })
    .post(TASKS, (body: unknown) => JSON.stringify(body).includes('hasUniqueValue'))
    .reply(400, { message: 'Unique properties are not supported for object type TASK' })
    .post(TASKS, (body: unknown) => !JSON.stringify(body).includes('hasUniqueValue'))
    .reply(201, {})
  definitions([], null, null)
  hubspot().post(LISTS).reply(200, { list: OURS })
  const steps = await collect(connectHubspot(options()).setup(never))
  const action = Object.fromEntries(steps.map((step) => [step.id, step.action]))
  expect(action['deals.unstall_forecast_amount']).toBe('conflict')
  expect(steps.find((step) => step.action === 'conflict')?.detail).toContain('upgrade needed')
  expect(action).toMatchObject({ 'tasks.unstall_task_key': 'create' })
  expect(names).toEqual(DEAL_FIELDS.map((one) => one.name))
})

test('a segment of that name that is not ours: said and left alone; none without the scope to make it: the rest goes on', async () => {
  readable()
  definitions(all, key, {
    listId: '5',
    filterBranch: { filterBranches: [{ filters: [{ property: 'hs_is_stalled' }] }] },
  })
  const { findings, steps } = await check()
  expect(steps.map((step) => step.id)).not.toContain('segment')
  expect(findings.find((one) => one.what.includes('“Stalled deals”'))).toMatchObject({
    level: 'warn',
    todo: expect.stringMatching(/Rename it.*docs\/hubspot\.md/),
  })

  readable()
  definitions(all, key, null)
  const without = await check()
  expect(without.steps.at(-1)).toMatchObject({ id: 'segment', action: 'create' })
  expect(without.findings).toContainEqual(expect.objectContaining({ what: 'The segment for managers is missing' }))

  definitions(all, key, null)
  const missingScopes = ['crm.lists.write']
  hubspot()
    .post(LISTS, (body) => JSON.stringify(body).includes('unstall_stalled'))
    .reply(403, { context: { missingScopes } })
  const last = (await collect(connectHubspot(options()).setup(never))).at(-1)
  expect(last).toMatchObject({ id: 'segment', action: 'conflict', detail: expect.stringContaining('crm.lists.write') })
})

test('removal: what HubSpot refuses to delete is said in its words, and the group stays with it', async () => {
  segment(null)
  const custom = { groupName: 'unstall' }
  const [state] = all.filter(({ name }) => name === 'unstall_state')
  hubspot()
    .get(PROPERTIES)
    .reply(200, {
      results: [
        { ...state, ...custom },
        { name: 'theirs', type: 'string', groupName: 'other' },
      ],
    })
    .get(TASKS)
    .reply(200, {
      results: [
        { ...key, ...custom },
        { name: 'theirs', type: 'string', ...custom },
      ],
    })
    .get(`${PROPERTIES}/groups/unstall`)
    .reply(200, {})
  const { steps, borrowed, carryOut } = await connectHubspot(options()).removal(never)
  // A group that holds something of others is not ours any more.
  expect(steps.map((step) => step.id)).toEqual(['tasks.unstall_task_key', 'deals.unstall_state', 'deals.group'])
  expect(borrowed).toBe(0)
  hubspot()
    .delete(`${TASKS}/unstall_task_key`)
    .reply(404, {})
    .delete(`${PROPERTIES}/unstall_state`)
    .reply(400, { message: 'used in a workflow' })
  expect(await collect(carryOut())).toMatchObject([
    { id: 'tasks.unstall_task_key', action: 'present' },
    { id: 'deals.unstall_state', action: 'conflict', detail: 'used in a workflow' },
  ])
})

test('setup without the scope to write says which', async () => {
  definitions(all.slice(1), key, 'unasked')
  hubspot()
    .post(`${PROPERTIES}/groups`)
    .reply(403, { context: { missingScopes: ['crm.schemas.deals.write'] } })
  await expect(collect(connectHubspot(options()).setup(never))).rejects.toThrow('crm.schemas.deals.write')
})
