// What goes into one request, in which order, and which ledger rows each answer settles.
import nock from 'nock'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createApi } from '../../../connectors/salesforce/api.ts'
import { fieldsIn, OWN, TASK_KEY } from '../../../connectors/salesforce/fields.ts'
import type { Known } from '../../../connectors/salesforce/org.ts'
import { Described } from '../../../connectors/salesforce/wire.ts'
import { createWriter, packed } from '../../../connectors/salesforce/write.ts'
import type { Write, WriteOutcome } from '../../../src/connector.ts'
import { apiError, DATA, dealId, HOST, never, quietGate, strictNock, taskId, tokens } from './org.ts'

strictNock()
const LENS = {
  instanceUrl: HOST,
  self: null,
  timezone: 'UTC',
  users: new Map(),
  recordTypes: new Map(),
  currency: null,
}
const REFERENCE = {
  ...{ pipelines: [], owners: [], omitted: 'Omitted', closedCategory: null, currency: null, self: null },
  tells: { participants: true, personFromAutomation: false, history: true, replies: true, calls: true },
}
const Body = z.object({ records: z.array(z.object({ id: z.string() })) })
const json = { 'content-type': 'application/json' }
/** `lacks`: what the org turns out to lack once it is looked at again. */
function build(lacks: readonly string[] = [], left?: number) {
  const api = createApi({ credential: tokens('t', 'u'), gate: quietGate(left), sleep: async () => {}, timeoutMs: 300 })
  let forgotten = 0
  const get = async (): Promise<Known> => {
    const own = Object.values(OWN).map(({ name, kind }) => ({ name, type: kind, updateable: true }))
    const shown = [...own, { name: 'ForecastCategoryName', type: 'picklist', updateable: true }]
    const described = (fields: object[]) => Described.parse({ fields })
    const deals = described(shown.filter(({ name }) => forgotten === 0 || !lacks.includes(name)))
    const fields = fieldsIn(deals, described([{ name: TASK_KEY, type: 'string', updateable: true }]))
    const taskStatus = { open: 'Not Started', closed: 'Completed' }
    return { described: new Map(), lens: LENS, taskStatus, reference: { ...REFERENCE, fields } }
  }
  const write = createWriter(api, { get, forget: () => void forgotten++ })
  async function run(writes: Write[], toGo?: number) {
    const outcomes: WriteOutcome[] = []
    let thrown: unknown = null
    try {
      for await (const one of write(writes, never, toGo)) outcomes.push(one)
    } catch (error) {
      thrown = error
    }
    return { outcomes, thrown, forgotten }
  }
  return run
}
const fields = (
  n: number,
  after: Extract<Write, { kind: 'fields' }>['after'],
  group: string | null = null,
  key = `k${n}`,
): Write => ({
  kind: 'fields',
  key,
  deal: dealId(n),
  lockGroup: group,
  after,
})
const done = (id: string) => ({ id, success: true, errors: [] })
const failed = (statusCode: string, message = 'no') => ({
  success: false,
  errors: [{ statusCode, message, fields: [] }],
})
const idsOf = async (request: Request) => Body.parse(await request.clone().json()).records.map(({ id }) => id)
const patch = (check?: (body: { allOrNone: boolean; records: Record<string, unknown>[] }) => boolean) =>
  nock(HOST).patch(`${DATA}/composite/sobjects`, check)

describe('packing', () => {
  test('one account stays in one request, in a stable order, unless it is larger than a request', () => {
    const jobs = [
      ...Array.from({ length: 150 }, (_, n) => ({ group: 'B', id: `b${n}` })),
      ...Array.from({ length: 90 }, (_, n) => ({ group: 'A', id: `a${n}` })),
      ...Array.from({ length: 205 }, (_, n) => ({ group: 'C', id: `c${n}` })),
    ]
    const requests = packed(jobs)
    expect(requests.map((one) => [...new Set(one.map(({ group }) => group))].join())).toEqual(['A', 'B', 'C', 'C'])
    expect(requests.map(({ length }) => length)).toEqual([90, 150, 200, 5])
    expect(packed(jobs.toReversed())).toEqual(requests)
  })

  test('deals without an account fill requests to the brim', () => {
    const jobs = Array.from({ length: 450 }, (_, n) => ({ group: '', id: String(n) }))
    expect(packed(jobs).map(({ length }) => length)).toEqual([200, 200, 50])
  })
})

test('several rows of one deal are one record, and each row gets its outcome', async () => {
  patch(({ allOrNone, records }) => {
    expect({ allOrNone, records }).toEqual({
      allOrNone: false,
      records: [
        { attributes: { type: 'Opportunity' }, id: dealId(2), Unstall_Stalled__c: false },
        {
          attributes: { type: 'Opportunity' },
          id: dealId(1),
          Unstall_Stalled__c: true,
          ForecastCategoryName: 'Omitted',
        },
      ].map((record) => expect.objectContaining(record)),
    })
    return true
  }).reply(200, [done(dealId(2)), done(dealId(1))], json)
  const { outcomes } = await build()([
    fields(1, { stalled: true }, 'B', 'flag'),
    fields(2, { stalled: false }, 'A', 'other'),
    fields(1, { category: 'Omitted' }, 'B', 'forecast'),
  ])
  expect(outcomes).toEqual([
    { key: 'other', result: 'done' },
    { key: 'flag', result: 'done' },
    { key: 'forecast', result: 'done' },
  ])
})

test('a category waits for the stage that would set its own, and is not sent where the stage was not taken', async () => {
  const sent: unknown[] = []
  const patch = (answers: object[]) =>
    nock(HOST)
      .patch(`${DATA}/composite/sobjects`, (body) => {
        sent.push(...Body.parse(body).records.map(({ id }) => id))
        return true
      })
      .reply(200, answers, json)
  patch([done(dealId(1)), failed('FIELD_CUSTOM_VALIDATION_EXCEPTION'), failed('UNABLE_TO_LOCK_ROW')])
  patch([done(dealId(1))])
  const writes = [1, 2, 3].flatMap((n) => [
    fields(n, { category: 'Omitted' }, 'A', `category ${n}`),
    fields(n, { stage: 'Archived' }, 'A', `stage ${n}`),
  ])
  const { outcomes } = await build()(writes)
  expect(sent).toEqual([dealId(1), dealId(2), dealId(3), dealId(1)])
  expect(Object.fromEntries(outcomes.map(({ key, result }) => [key, result]))).toEqual({
    ...{ 'stage 1': 'done', 'stage 2': 'refused', 'stage 3': 'later' },
    ...{ 'category 1': 'done', 'category 2': 'refused', 'category 3': 'later' },
  })
})

test('nor where the stage was only found to be bad by halving', async () => {
  const sent: string[] = []
  nock(HOST)
    .patch(`${DATA}/composite/sobjects`)
    .times(4)
    .reply(async (request: Request) => {
      const ids = Body.parse(await request.clone().json()).records.map(({ id }) => id)
      sent.push(ids.join())
      return ids.includes(dealId(2)) ? [400, apiError('JSON_PARSER_ERROR', 'bad'), json] : [200, ids.map(done), json]
    })
  const writes = [1, 2].flatMap((n) => [
    fields(n, { category: 'Omitted' }, 'A', `category ${n}`),
    fields(n, { stage: 'Archived' }, 'A', `stage ${n}`),
  ])
  const { outcomes } = await build()(writes)
  expect(sent).toEqual([[dealId(1), dealId(2)].join(), dealId(1), dealId(2), dealId(1)])
  expect(Object.fromEntries(outcomes.map(({ key, result }) => [key, result]))).toEqual({
    ...{ 'stage 1': 'done', 'stage 2': 'refused', 'category 1': 'done', 'category 2': 'refused' },
  })
})

test('tasks are created open, completed, reopened and deleted in the org’s own words', async () => {
  const create = nock(HOST)
    .post(`${DATA}/composite/sobjects`, ({ records }) => {
      expect(records).toEqual([
        {
          attributes: { type: 'Task' },
          WhatId: dealId(1),
          OwnerId: '005000000000002AAA',
          Subject: `${'x'.repeat(254)}…`,
          Description: 'body',
          ActivityDate: '2026-12-04',
          Status: 'Not Started',
          Unstall_Key__c: 'key',
        },
      ])
      return true
    })
    .reply(200, [done(taskId(9))], json)
  patch(({ records }) => records.map(({ Status }) => Status).join() === 'Completed,Not Started').reply(
    200,
    [done(taskId(1)), done(taskId(2))],
    json,
  )
  nock(HOST)
    .delete(`${DATA}/composite/sobjects`)
    .query({ ids: `${taskId(3)},${taskId(4)}` })
    .reply(200, [done(taskId(3)), failed('ENTITY_IS_DELETED')], json)
  const on = { deal: dealId(1) }
  const { outcomes } = await build()([
    {
      kind: 'create-task',
      key: 'new',
      ...on,
      lockGroup: null,
      taskKey: 'key',
      owner: '005000000000002AAA',
      subject: `${'x'.repeat(254)}😀cut`,
      body: 'body',
      due: '2026-12-04',
    },
    { kind: 'complete-task', key: 'complete', ...on, task: taskId(1), body: 'done' },
    { kind: 'reopen-task', key: 'reopen', ...on, task: taskId(2), body: 'again' },
    { kind: 'delete-task', key: 'delete', ...on, task: taskId(3) },
    { kind: 'delete-task', key: 'gone', ...on, task: taskId(4) },
  ])
  expect(create.isDone()).toBe(true)
  expect(outcomes.map(({ key, result }) => [key, result])).toEqual(
    ['new', 'complete', 'reopen', 'delete', 'gone'].map((key) => [key, 'done']),
  )
  expect(outcomes[0]).toMatchObject({ remote: taskId(9) })
})

test('a locked row is for later, any other refusal is told in Salesforce’s words', async () => {
  patch().reply(
    200,
    [failed('UNABLE_TO_LOCK_ROW'), failed('FIELD_CUSTOM_VALIDATION_EXCEPTION', 'Omitted needs a reason')],
    json,
  )
  const { outcomes } = await build()([fields(1, { stalled: true }), fields(2, { stalled: true })])
  expect(outcomes).toEqual([
    { key: 'k1', result: 'later', message: 'no (UNABLE_TO_LOCK_ROW)' },
    { key: 'k2', result: 'refused', message: 'Omitted needs a reason (FIELD_CUSTOM_VALIDATION_EXCEPTION)' },
  ])
})

test('a request refused as a whole is halved until the bad record is alone', async () => {
  let calls = 0
  nock(HOST)
    .patch(`${DATA}/composite/sobjects`)
    .times(6)
    .reply(async (request: Request) => {
      calls += 1
      const ids = await idsOf(request)
      return ids.includes(dealId(3))
        ? [400, apiError('JSON_PARSER_ERROR', 'bad row'), json]
        : [200, ids.map(done), json]
    })
  const { outcomes } = await build()(Array.from({ length: 8 }, (_, n) => fields(n, { stalled: true })))
  expect(calls).toBe(6)
  expect(outcomes.filter(({ result }) => result === 'done').length).toBe(7)
  expect(outcomes.find(({ key }) => key === 'k3')).toMatchObject({
    result: 'refused',
    message: 'bad row (JSON_PARSER_ERROR)',
  })
})

test('a field that is gone refuses only the rows that need it; the rest goes in one more call', async () => {
  patch().reply(400, apiError('INVALID_FIELD', "No such column 'Unstall_Reason__c'"), json)
  patch(({ records }) => records.length === 1).reply(200, [done(dealId(2))], json)
  const { outcomes, forgotten } = await build(['Unstall_Reason__c'])([
    fields(1, { stalled: true, reason: 'no_movement' }),
    fields(2, { stalled: true }),
  ])
  expect(forgotten).toBe(1)
  expect(outcomes).toEqual([
    { key: 'k1', result: 'refused', message: expect.stringMatching(/Unstall_Reason__c.*unstall setup/) },
    { key: 'k2', result: 'done' },
  ])
})

const many = Array.from({ length: 700 }, (_, n) => fields(n, { stalled: true }))

test('no answer: no outcome for that request; after three in a row the rest is for later and the job is parked', async () => {
  patch().times(3).reply(502, 'bad gateway', { 'content-type': 'text/html' })
  const { outcomes, thrown } = await build()(many)
  expect(outcomes.length).toBe(100)
  expect(new Set(outcomes.map(({ result }) => result))).toEqual(new Set(['later']))
  expect(thrown).toMatchObject({ name: 'RetryLater' })
})

test('the daily limit in the middle: what was done stays done, the rest is for later', async () => {
  patch().reply(200, async (request: Request) => (await idsOf(request)).map(done), json)
  patch().reply(403, apiError('REQUEST_LIMIT_EXCEEDED', 'TotalRequests Limit exceeded.'), json)
  const { outcomes, thrown } = await build()(many)
  expect(outcomes.filter(({ result }) => result === 'done').length).toBe(200)
  expect(outcomes.filter(({ result }) => result === 'later').length).toBe(500)
  expect(thrown).toMatchObject({ name: 'RetryLater', afterMs: 900_000 })
})

describe('where the calls of the day would not do, five requests are one call', () => {
  const Asked = z.object({
    ...{ allOrNone: z.literal(false), collateSubrequests: z.literal(false) },
    compositeRequest: z.array(
      z.object({ method: z.string(), url: z.string(), referenceId: z.string(), body: Body.optional() }),
    ),
  })
  type Part = { status: number; body: unknown; nameless?: boolean } | null
  /** Answers one composite call part by part; notes the ids of each. */
  function composite(answer: (ids: string[], at: number) => Part) {
    const parts: string[][] = []
    nock(HOST)
      .post(`${DATA}/composite`)
      .reply(async (request: Request) => {
        const { compositeRequest } = Asked.parse(await request.clone().json())
        const compositeResponse = compositeRequest.flatMap(({ method, url, referenceId, body }, at) => {
          expect([method, url]).toEqual(['PATCH', `${DATA}/composite/sobjects`])
          const ids = body?.records.map(({ id }) => id) ?? []
          parts.push(ids)
          const part = answer(ids, at)
          return part
            ? [
                {
                  body: part.body,
                  httpHeaders: {},
                  httpStatusCode: part.status,
                  referenceId: part.nameless ? null : referenceId,
                },
              ]
            : []
        })
        return [200, { compositeResponse }, json]
      })
    return parts
  }
  const ok = (ids: string[]) => ({ status: 200, body: ids.map(done) })
  const results = (outcomes: readonly WriteOutcome[]) =>
    Object.fromEntries([...Map.groupBy(outcomes, ({ result }) => result)].map(([result, all]) => [result, all.length]))

  test.each([
    ['these', 3, undefined],
    ['those to come', 20, 5000],
  ])('too few for %s', async (_, left, toGo) => {
    const parts = composite(ok)
    const { outcomes } = await build([], left)(many, toGo)
    expect(parts.map(({ length }) => length)).toEqual([200, 200, 200, 100])
    expect(results(outcomes)).toEqual({ done: 700 })
  })

  test('enough: each is a call', async () => {
    patch()
      .times(4)
      .reply(200, async (request: Request) => (await idsOf(request)).map(done), json)
    const { outcomes } = await build([], 4)(many, 700)
    expect(results(outcomes)).toEqual({ done: 700 })
  })

  test('each part has its own answer; one without is neither refused nor sent again', async () => {
    const bad = dealId(250)
    const answers = [
      (ids: string[]) => ({ status: 200, body: ids.map((id, at) => (at === 0 ? failed('UNABLE_TO_LOCK_ROW') : done(id))) }), // biome-ignore format: one line
      () => ({ status: 400, body: apiError('JSON_PARSER_ERROR', 'bad row') }),
      () => ({ status: 503, body: apiError('SERVER_UNAVAILABLE', 'try later') }),
      (ids: string[]) => ({ status: 200, body: ids.slice(1).map(done) }),
      () => null,
    ]
    const parts = composite((ids, at) => answers[at]?.(ids) ?? null)
    const again: string[][] = []
    nock(HOST)
      .patch(`${DATA}/composite/sobjects`)
      .times(16)
      .optionally()
      .reply(async (request: Request) => {
        const ids = await idsOf(request)
        again.push(ids)
        return ids.includes(bad) ? [400, apiError('JSON_PARSER_ERROR', 'bad row'), json] : [200, ids.map(done), json]
      })
    const thousand = Array.from({ length: 1000 }, (_, n) => fields(n, { stalled: true }))
    const { outcomes, thrown } = await build([], 1)(thousand)
    expect(thrown).toBeNull()
    expect(results(outcomes)).toEqual({ done: 199 + 199, later: 1, refused: 1 })
    expect(outcomes.find(({ result }) => result === 'refused')).toMatchObject({ key: 'k250' })
    expect(new Set(again.flat())).toEqual(new Set(parts[1]))
    nock.cleanAll()
  })

  test('a part that meets a lock is for later, one that meets a field that is gone goes without the rows of it', async () => {
    const own = Array.from({ length: 400 }, (_, n) =>
      fields(n, n < 200 ? { stalled: true } : { reason: 'no_movement' }),
    )
    composite((ids, at) => at === 0 ? { status: 400, body: apiError('UNABLE_TO_LOCK_ROW', 'busy') } : { status: 400, body: apiError('INVALID_FIELD', `No such column of ${ids.length}`) }) // biome-ignore format: one line
    const { outcomes, forgotten } = await build(['Unstall_Reason__c'], 1)(own)
    expect([results(outcomes), forgotten]).toEqual([{ later: 200, refused: 200 }, 1])
  })

  test('no answer at all leaves all unknown; refused as such, nothing was applied and all goes in smaller ones', async () => {
    nock(HOST).post(`${DATA}/composite`).reply(502, 'bad gateway', { 'content-type': 'text/html' })
    expect((await build([], 1)(many)).outcomes).toEqual([])
    composite(() => ({ status: 500, body: apiError('UNKNOWN_EXCEPTION', 'oops') }))
    expect((await build([], 1)(many)).outcomes).toEqual([])
    const body = apiError('LIMIT_EXCEEDED', 'The request can’t contain more than 5 query operations.')
    const refusal = { body, httpHeaders: {}, httpStatusCode: 400, referenceId: null }
    nock(HOST)
      .post(`${DATA}/composite`)
      .reply(200, { compositeResponse: [refusal] }, json)
    patch()
      .times(9)
      .reply(200, async (request: Request) => (await idsOf(request)).map(done), json)
    expect(results((await build([], 1)(many.slice(0, 400))).outcomes)).toEqual({ done: 400 })
  })

  test('a refusal without a name beside an answer says nothing of the parts that have none', async () => {
    composite((ids, at) =>
      at === 0 ? ok(ids) : { status: 400, body: apiError('LIMIT_EXCEEDED', 'no'), nameless: true },
    )
    const { outcomes } = await build([], 1)(many.slice(0, 400))
    expect(results(outcomes)).toEqual({ done: 200 })
  })

  test('a text that reads like a reference to another answer goes by itself', async () => {
    const hostile = many.with(210, fields(210, { explanation: 'see @{part0.id}' }))
    const parts = composite(ok)
    patch(({ records }) => records.some(({ id }) => id === dealId(210))).reply(200, async (request: Request) => (await idsOf(request)).map(done), json) // biome-ignore format: one line
    expect(results((await build([], 1)(hostile)).outcomes)).toEqual({ done: 700 })
    expect(parts.map(({ length }) => length)).toEqual([200, 200, 100])
  })
})
