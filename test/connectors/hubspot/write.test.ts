// Writing at its edges: what is sent, per-record errors in every shape, bad rows, duplicates, unknown outcomes.
import { expect, test } from 'vitest'
import { z } from 'zod'
import type { Connector, Write, WriteOutcome } from '../../../src/connector.ts'
import type { FieldValues } from '../../../src/core/deal.ts'
import { Fatal, RetryLater } from '../../../src/errors.ts'
import { hubspot, learnt, never, portal, strict } from './fake.ts'

strict()
const UPDATE = '/crm/objects/2026-09/deals/batch/update'
const CREATE = '/crm/objects/2026-09/tasks/batch/create'
const FIND = '/crm/objects/2026-09/tasks/batch/read'

const fields = (deal: string, after: FieldValues = { stalled: true }, key = `f${deal}`): Write => ({
  ...{ kind: 'fields', key, deal, lockGroup: null, after },
})
const task = (deal: string): Write => ({
  ...{ kind: 'create-task', key: `t${deal}`, deal, lockGroup: null, taskKey: `k${deal}`, owner: '1' },
  ...{ subject: 'Yes or no?', body: 'A & B\n<b>', due: '2026-12-04' },
})
const batch = (results: unknown[], errors?: unknown[]) => ({
  status: 'COMPLETE',
  results,
  ...(errors ? { errors } : {}),
})
const record = (id: string, more: object = {}) => ({ id, properties: {}, ...more })

async function write(connector: Connector, writes: Write[]) {
  const outcomes: Record<string, WriteOutcome> = {}
  let thrown: unknown = null
  try {
    for await (const one of connector.write(writes, never)) outcomes[one.key] = one
  } catch (error) {
    thrown = error
  }
  const results = Object.fromEntries(writes.map(({ key }) => [key, outcomes[key]?.result ?? 'unknown']))
  return { outcomes, thrown, results }
}

test('field writes of one deal are one record; a task carries key, trace id and association', async () => {
  const { connector } = await portal()
  hubspot()
    .post(UPDATE, {
      inputs: [
        {
          id: '5',
          properties: { unstall_stalled: 'true', unstall_state: 'stalled', hs_manual_forecast_category: 'OMIT' },
          objectWriteTraceId: '5',
        },
      ],
    })
    .reply(200, batch([record('5')]))
    .post(CREATE, {
      inputs: [
        {
          properties: {
            unstall_task_key: 'k5',
            hs_task_subject: 'Yes or no?',
            hs_task_body: 'A &amp; B<br>&lt;b&gt;',
            hs_task_status: 'NOT_STARTED',
            hs_task_type: 'TODO',
            hs_task_priority: 'MEDIUM',
            hs_timestamp: '2026-12-04T17:00:00.000Z',
            hubspot_owner_id: '1',
          },
          associations: [
            { to: { id: '5' }, types: [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 216 }] },
          ],
          objectWriteTraceId: 'k5',
        },
      ],
    })
    .reply(201, batch([record('901', { objectWriteTraceId: 'k5' })]))
  const { outcomes } = await write(connector, [
    fields('5', { stalled: true, state: 'stalled' }, 'a'),
    fields('5', { category: 'OMIT' }, 'b'),
    task('5'),
  ])
  expect(outcomes).toEqual({
    a: { key: 'a', result: 'done' },
    b: { key: 'b', result: 'done' },
    t5: { key: 't5', result: 'done', remote: '901' },
  })
})

test('207: refused by name, later when it was only the rate, unknown when HubSpot itself failed or says nothing', async () => {
  const { connector } = await portal()
  hubspot()
    .post(UPDATE)
    .reply(
      207,
      batch(
        [record('1')],
        [
          { category: 'VALIDATION_ERROR', message: 'Reason is required', context: { ids: ['2'] } },
          { category: 'RATE_LIMITS', message: 'slow down', context: { objectWriteTraceId: ['3'] } },
          { category: 'INTERNAL_ERROR', message: 'oops', context: { ids: ['4'] } },
          { category: 'VALIDATION_ERROR', message: 'x', errors: [{ message: 'y', context: { id: ['5'] } }] },
        ],
      ),
    )
  const { results, outcomes, thrown } = await write(
    connector,
    ['1', '2', '3', '4', '5', '6'].map((id) => fields(id)),
  )
  expect(results).toEqual({ f1: 'done', f2: 'refused', f3: 'later', f4: 'unknown', f5: 'refused', f6: 'unknown' })
  expect(outcomes.f2).toMatchObject({ message: 'Reason is required' })
  expect(thrown).toBeNull()
})

test('a whole batch refused that names its bad row: the rest goes once more', async () => {
  const { connector } = await portal()
  const size = (count: number) => (body: { inputs: unknown[] }) => body.inputs.length === count
  hubspot()
    .post(UPDATE, size(3))
    .reply(400, { category: 'VALIDATION_ERROR', message: 'Invalid input', context: { ids: ['2'] } })
    .post(UPDATE, size(2))
    .reply(200, batch([record('1'), record('3')]))
  const { results } = await write(
    connector,
    ['1', '2', '3'].map((id) => fields(id)),
  )
  expect(results).toEqual({ f1: 'done', f2: 'refused', f3: 'done' })
})

test('bad rows that nothing names: found by halving, within the calls allowed', async () => {
  const { connector } = await portal()
  const Inputs = z.object({ inputs: z.array(z.object({ id: z.string() })) })
  const calls: number[] = []
  const bad = new Set(['17', '64', '99'])
  hubspot()
    .persist()
    .post(UPDATE)
    .reply(async (sent: Request) => {
      const { inputs } = Inputs.parse(await sent.clone().json())
      calls.push(inputs.length)
      if (inputs.some(({ id }) => bad.has(id)))
        return [400, { category: 'VALIDATION_ERROR', message: 'a rule is unmet' }]
      return [200, batch(inputs.map(({ id }) => record(id)))]
    })
  const writes = Array.from({ length: 100 }, (_, i) => fields(String(i)))
  const { results } = await write(connector, writes)
  const refused = Object.entries(results).filter(([, result]) => result === 'refused')
  expect(refused.map(([key]) => key)).toEqual(['f17', 'f64', 'f99'])
  expect(Object.values(results).filter((result) => result === 'done').length).toBe(97)
  expect(calls.length).toBeLessThanOrEqual(1 + 3 * 14)

  calls.length = 0
  for (let i = 0; i < 100; i++) bad.add(String(i))
  const all = await write(connector, writes)
  expect(calls.length).toBeLessThanOrEqual(60)
  expect(new Set(Object.values(all.results))).toEqual(new Set(['refused', 'later']))
})

test.each([
  [409, { category: 'CONFLICT', message: 'k1 already has that value' }],
  [400, { category: 'VALIDATION_ERROR', message: 'Property values were not valid: [...]' }],
])('a key that exists already is done, however HubSpot words it (%i)', async (status, body) => {
  const { connector } = await portal()
  hubspot()
    .post(CREATE)
    .reply(status, body)
    .post(FIND, (sent: { idProperty: string; inputs: unknown[] }) => sent.idProperty === 'unstall_task_key')
    .reply(200, batch([record('900', { properties: { unstall_task_key: 'k1' } })]))
  const { outcomes } = await write(connector, [task('1')])
  expect(outcomes).toEqual({ t1: { key: 't1', result: 'done', remote: '900' } })
})

test('a refused creation whose key does not exist stays refused, in HubSpot’s words', async () => {
  const { connector } = await portal()
  hubspot()
    .post(CREATE)
    .reply(
      207,
      batch(
        [],
        [{ category: 'VALIDATION_ERROR', message: 'Owner 1 is not active', context: { objectWriteTraceId: ['k1'] } }],
      ),
    )
    .post(FIND)
    .reply(207, batch([], [{ category: 'OBJECT_NOT_FOUND', context: { ids: ['k1'] } }]))
  const { outcomes } = await write(connector, [task('1')])
  expect(outcomes).toEqual({ t1: { key: 't1', result: 'refused', message: 'Owner 1 is not active' } })
})

test('created tasks are known by trace id or key; one that shows neither is unknown', async () => {
  const { connector } = await portal()
  hubspot()
    .post(CREATE)
    .reply(
      201,
      batch([
        record('903'),
        record('902', { properties: { unstall_task_key: 'k2' } }),
        record('901', { objectWriteTraceId: 'k1' }),
      ]),
    )
  const { outcomes } = await write(connector, [task('1'), task('2'), task('3')])
  expect(outcomes).toEqual({
    t1: { key: 't1', result: 'done', remote: '901' },
    t2: { key: 't2', result: 'done', remote: '902' },
  })
})

test.each([
  [403, { category: 'MISSING_SCOPES', context: { missingScopes: ['crm.objects.deals.write'] } }, Fatal],
  [429, { policyName: 'DAILY' }, RetryLater],
])('%i stops everything: what was not sent waits', async (status, body, kind) => {
  const { connector } = await portal()
  hubspot().post(UPDATE).reply(status, body)
  const { results, thrown } = await write(
    connector,
    Array.from({ length: 650 }, (_, i) => fields(String(i))),
  )
  expect(new Set(Object.values(results))).toEqual(new Set(['later']))
  expect(thrown).toBeInstanceOf(kind)
})

test('an unknown outcome of one batch leaves the others alone', async () => {
  const warned: unknown[] = []
  const { connector } = await portal({ warn: (...what) => warned.push(what) })
  hubspot()
    .post(UPDATE)
    .reply(502, '<html>')
    .post('/crm/objects/2026-09/tasks/batch/archive', { inputs: [{ id: '900' }] })
    .reply(204)
  const { results, thrown } = await write(connector, [
    fields('1'),
    { kind: 'delete-task', key: 'd', deal: '1', task: '900' },
  ])
  expect(results).toEqual({ f1: 'unknown', d: 'done' })
  expect(thrown).toBeNull()
  expect(JSON.stringify(warned)).toContain('502')
})

test('a property of ours that is missing: its writes are refused without a call, the others go', async () => {
  const { connector } = await portal()
  await learnt('unique', ['unstall_stalled_since'])
  hubspot()
    .post(UPDATE)
    .reply(400, {
      category: 'VALIDATION_ERROR',
      message:
        'Property values were not valid: [{"isValid":false,"message":"Property \\"unstall_stalled_since\\" does not exist","error":"PROPERTY_DOESNT_EXIST","name":"unstall_stalled_since"}]',
    })
    .post(UPDATE, (body: { inputs: { id: string }[] }) => body.inputs.map((one) => one.id).join() === '2')
    .reply(200, batch([record('2')]))
  const first = await write(connector, [fields('1', { since: 5e12 }), fields('2', { stalled: true })])
  expect(first.results).toEqual({ f1: 'refused', f2: 'done' })
  expect(first.outcomes.f1).toMatchObject({ message: expect.stringContaining('unstall setup') })
  const second = await write(connector, [fields('3', { since: null })])
  expect(second.results).toEqual({ f3: 'refused' })
})

const sought = (key: string, deal: string, id: string | null = null) => [key, { deal, id }] as const

test('without unique keys, tasks are found over their deals, page by page', async () => {
  const { connector } = await portal({}, 'plain')
  expect(connector.can.taskKey).toBe('lookup')
  const from = (id: string, to: string[], after?: string) => ({
    from: { id },
    to: to.map((toObjectId) => ({ toObjectId, associationTypes: [] })),
    ...(after ? { paging: { next: { after } } } : {}),
  })
  hubspot()
    .post('/crm/associations/2026-09/deals/tasks/batch/read', { inputs: [{ id: '1' }, { id: '2' }] })
    .reply(207, { results: [from('1', ['800', '801'], 'x')], errors: [{ category: 'OBJECT_NOT_FOUND' }] })
    .post('/crm/associations/2026-09/deals/tasks/batch/read', { inputs: [{ id: '1', after: 'x' }] })
    .reply(200, { results: [from('1', ['802'])] })
    .post(FIND)
    .reply(
      200,
      batch([record('800'), record('802', { properties: { unstall_task_key: 'k1', hs_task_status: 'COMPLETED' } })]),
    )
  const found = await connector.find(new Map([sought('k1', '1'), sought('k2', '2')]), never)
  expect([...found.keys()]).toEqual(['k1'])
  expect(found.get('k1')).toMatchObject({ id: '802', deal: '1', open: false })
  // Those whose id is known need no looking over their deals.
  const own = (unstall_task_key: string) => ({ properties: { unstall_task_key } })
  hubspot()
    .post(FIND, (body: { inputs: unknown }) => JSON.stringify(body.inputs) === '[{"id":"802"},{"id":"803"}]')
    .reply(200, batch([record('802', own('k1')), record('803', own('k3'))]))
  const known = await connector.find(new Map([sought('k1', '1', '802'), sought('k2', '2', '803')]), never)
  expect([...known.keys()]).toEqual(['k1'])
})

test.each(['unique', 'plain'] as const)('a task that HubSpot fails to read is not missing (%s keys)', async (keys) => {
  const { connector } = await portal({}, keys)
  if (keys === 'plain')
    hubspot()
      .post('/crm/associations/2026-09/deals/tasks/batch/read')
      .reply(200, { results: [{ from: { id: '1' }, to: [{ toObjectId: '800' }] }] })
  hubspot()
    .post(FIND)
    .reply(207, batch([], [{ category: 'INTERNAL_ERROR', message: 'try again' }]))
  await expect(connector.find(new Map([sought('k1', '1')]), never)).rejects.toThrow(RetryLater)
})

test('a deal whose tasks HubSpot fails to list is not one without tasks', async () => {
  const { connector } = await portal({}, 'plain')
  hubspot()
    .post('/crm/associations/2026-09/deals/tasks/batch/read')
    .reply(207, { results: [], errors: [{ category: 'INTERNAL_ERROR', message: 'try again' }] })
  await expect(connector.find(new Map([sought('k1', '1')]), never)).rejects.toThrow(RetryLater)
})
