// The simulated people, against a stub that only knows the two public calls: what they read, what they send, and that
// the same day with the same seed is lived the same way.
import { createServer, type Server } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { Act } from '../../src/sandbox/control.ts'
import { PIPELINES } from '../../src/sandbox/generate.ts'
import { type Acted, liveDay } from '../../src/sandbox/people.ts'

const MONDAY = Date.parse('2026-11-23T09:00:00Z')
const DAY = 86_400_000
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** A lookalike reduced to `state` and `act`; `acts` collects what was sent. */
async function stub(state: readonly object[], status = 200) {
  const acts: Act[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    if (request.url === '/__sandbox/act') acts.push(Act.parse(JSON.parse(body)))
    const text =
      request.url === '/__sandbox/state' ? state.map((line) => JSON.stringify(line)).join('\n') : '{"ok":true}'
    response.writeHead(request.url === '/__sandbox/act' ? status : 200).end(text)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (!address || typeof address === 'string') throw new Error('no port')
  return { url: `http://127.0.0.1:${address.port}`, acts }
}

type Values = Record<string, string | null>
const hubspot = (id: number, properties: Values = {}) => ({
  kind: 'deal',
  id: String(id),
  properties: {
    dealname: `deal ${id}`,
    pipeline: 'default',
    dealstage: 'contractsent',
    closedate: '2026-12-20T12:00:00Z',
    ...properties,
  },
})
const hubspotTask = (id: number, dealId: number, status = 'NOT_STARTED', key: string | null = 'k') => ({
  kind: 'task',
  id: String(id),
  dealId: String(dealId),
  properties: { hs_task_status: status, unstall_task_key: key },
})
const salesforce = (id: number, values: Values = {}) => ({
  kind: 'deal',
  Id: `006${id}`,
  Name: `deal ${id}`,
  StageName: 'Contract sent',
  CloseDate: '2026-12-20',
  ...values,
})

const many = Array.from({ length: 300 }, (_, index) => index)
const flagged = many.map((id) => hubspot(id, { unstall_stalled: 'true' }))
const withTasks = [...flagged, ...many.map((id) => hubspotTask(1000 + id, id))]
const live = async (state: readonly object[], options: Partial<Parameters<typeof liveDay>[0]> = {}) => {
  const { url, acts } = await stub(state)
  const acted = await liveDay({ url, system: 'hubspot', pipelines: PIPELINES, now: MONDAY, ...options })
  return { acted, acts }
}
const deeds = (acted: readonly Acted[]) => new Set(acted.map((each) => each.deed))

describe('on a task', () => {
  it('some answer yes, no or maybe, some move, push, park, edit, tick off or get a reply; most do nothing that day', async () => {
    const { acted, acts } = await live(withTasks)
    expect(deeds(acted)).toEqual(
      new Set(['yes', 'no', 'maybe', 'forward', 'push', 'cosmetics', 'close_task', 'park', 'reply']),
    )
    expect(acted.length).toBeGreaterThan(20)
    expect(acted.length).toBeLessThan(100)
    expect(acts.every((act) => act.by === 'person')).toBe(true)
    const field = (name: string) => acts.flatMap((act) => (act.act === 'set' && act.field === name ? [act.value] : []))
    expect(new Set(field('unstall_decision'))).toEqual(new Set(['yes', 'no', 'maybe']))
    expect(field('unstall_parked_until').length).toBe(field('unstall_parked_reason').length)
    for (const until of field('unstall_parked_until')) expect(until).toMatch(/^202[67]-\d\d-\d\d$/)
    for (const date of field('closedate')) expect(Date.parse(String(date))).toBeGreaterThan(Date.parse('2026-12-20'))
    const completed = acts.flatMap((act) => (act.act === 'complete-task' ? [act.id] : []))
    expect(completed.length).toBeGreaterThan(0)
    for (const id of completed) expect(Number(id)).toBeGreaterThanOrEqual(1000)
  })

  it('an answered deal is closed or goes on, and gets no second answer', async () => {
    const answered = (answer: string) =>
      many.map((id) => hubspot(id, { unstall_decision: answer, dealstage: 'qualifiedtobuy' }))
    expect(deeds((await live(answered('yes'))).acted)).toEqual(new Set(['won', 'forward']))
    const no = await live(answered('no'))
    expect(deeds(no.acted)).toEqual(new Set(['lost']))
    expect(no.acts[0]).toMatchObject({ act: 'move-stage', to: 'closedlost' })
  })

  it('completed tasks and tasks of other people are not theirs to react to', async () => {
    const state = [
      ...flagged,
      ...many.map((id) => hubspotTask(1000 + id, id, id % 2 ? 'COMPLETED' : 'NOT_STARTED', id % 2 ? 'k' : null)),
    ]
    expect([...deeds((await live(state)).acted)].filter((deed) => deed !== 'lost')).toEqual([])
  })
})

describe('without a task', () => {
  it('people sell: stages move one forward, buyers reply, some deals are won and lost; closed deals rest', async () => {
    const { acted, acts } = await live(many.map((id) => hubspot(id, { dealstage: 'qualifiedtobuy' })))
    expect(deeds(acted).size).toBeGreaterThan(5)
    const moves = acts.flatMap((act) => (act.act === 'move-stage' ? [act.to] : []))
    expect(moves).toContain('presentationscheduled')
    expect((await live(many.map((id) => hubspot(id, { dealstage: 'closedwon' })))).acted).toEqual([])
    expect((await live(many.map((id) => hubspot(id, { dealstage: 'unknown' })))).acted).toEqual([])
  })

  it('nobody works on deals whose date is long past, and nobody works on weekends', async () => {
    const late = await live(many.map((id) => hubspot(id, { closedate: '2026-01-01T00:00:00Z' })))
    expect(late.acted.length).toBeLessThan(5)
    expect((await live(withTasks, { now: MONDAY - DAY })).acts).toEqual([])
  })
})

it('speaks Salesforce: stage labels, custom field names, plain dates', async () => {
  const tasks = many.map((id) => ({
    kind: 'task',
    Id: `00T${id}`,
    WhatId: `006${id}`,
    Unstall_Key__c: 'k',
    Status: 'Not Started',
  }))
  const qualified = many.map((id) => salesforce(id, { StageName: 'Qualified to buy' }))
  const { acts } = await live([...qualified, ...tasks], { system: 'salesforce' })
  const fields = new Set(acts.flatMap((act) => (act.act === 'set' ? [act.field] : [])))
  expect(fields).toEqual(
    new Set([
      'Unstall_Decision__c',
      'Unstall_Decision_Due__c',
      'Unstall_Cause__c',
      'Unstall_Parked_Reason__c',
      'Unstall_Parked_Until__c',
      'CloseDate',
      'NextStep',
    ]),
  )
  expect(acts.flatMap((act) => (act.act === 'move-stage' ? [act.to] : []))).toContain('Presentation scheduled')
  for (const act of acts)
    if (act.act === 'set' && act.field === 'CloseDate') expect(act.value).toMatch(/^\d{4}-\d\d-\d\d$/)
})

it('lives the same day the same way, another seed or day differently', async () => {
  const one = await live(withTasks, { seed: 7 })
  expect((await live([...withTasks].reverse(), { seed: 7 })).acts).toEqual(one.acts)
  expect((await live(withTasks, { seed: 8 })).acts).not.toEqual(one.acts)
  expect((await live(withTasks, { seed: 7, now: MONDAY + DAY })).acts).not.toEqual(one.acts)
})

it('says which act was refused', async () => {
  const { url } = await stub(withTasks, 400)
  await expect(liveDay({ url, system: 'hubspot', pipelines: PIPELINES, now: MONDAY })).rejects.toThrow(
    /refused \{"by":"person"/,
  )
})
