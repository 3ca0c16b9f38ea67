// Malformed records in the middle of a night: the run ends, every other deal is right, the odd ones are listed with what
// is wrong, never written, and come out by themselves once they can be read.
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { expect, it, onTestFinished } from 'vitest'
import { quarantined } from '../../src/store/deals.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import { homes } from '../homes.ts'
import { type Crm, DAY, firstNight, MONDAY, REPS, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { startProgram } from './program.ts'

type Fields = Record<string, unknown>
/** What becomes of a deal's fields on the wire, by its name. HubSpot's id is outside of its properties. */
const ODD: Readonly<Record<Crm['system'], Readonly<Record<string, (fields: Fields, record: Fields) => void>>>> = {
  hubspot: {
    'amount is text': (fields) => Object.assign(fields, { amount: 'a lot' }),
    'amount is too large a number': (fields) => Object.assign(fields, { amount: 2 ** 53 + 2 }),
    'no stage': (fields) => Object.assign(fields, { dealstage: null }),
    'stage nobody knows': (fields) => Object.assign(fields, { dealstage: 'nowhere' }),
    'odd currency': (fields) => Object.assign(fields, { deal_currency_code: 'Taler' }),
    'closes in 1601': (fields) => Object.assign(fields, { closedate: '1601-01-01T00:00:00Z' }),
    'created in 1601': (fields) => Object.assign(fields, { createdate: '-11644473600000' }),
    'id is a number': (_, record) => Object.assign(record, { id: 2 ** 53 }),
  },
  salesforce: {
    'amount is text': (fields) => Object.assign(fields, { Amount: '10000' }),
    'no stage': (fields) => Object.assign(fields, { StageName: null }),
    'closes in 1601': (fields) => Object.assign(fields, { CloseDate: '1601-01-01' }),
    'created in 1601': (fields) => Object.assign(fields, { CreatedDate: '1601-01-01T00:00:00.000+0000' }),
    'closed is a word': (fields) => Object.assign(fields, { IsClosed: 'perhaps' }),
  },
}
/** Unusual, but nothing is wrong with them. */
const FINE: typeof ODD = {
  hubspot: {
    'no amount': (fields) => Object.assign(fields, { amount: null }),
    'amount as number': (fields) => Object.assign(fields, { amount: 10_000 }),
    'no currency': (fields) => Object.assign(fields, { deal_currency_code: null }),
  },
  salesforce: { 'no amount': (fields) => Object.assign(fields, { Amount: null }) },
}

/** The CRM behind a wire that deforms these deals in every answer. */
async function deformed(crm: Crm, deform: { now: (typeof ODD)[Crm['system']] }): Promise<Crm> {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    if (typeof value !== 'object' || value === null) return value
    const record: Fields = Object.fromEntries(Object.entries(value).map(([key, each]) => [key, walk(each)]))
    const { properties } = record
    const fields: Fields = typeof properties === 'object' && properties !== null ? { ...properties } : record
    if (fields !== record) record.properties = fields
    const name = String(fields[crm.field('name')])
    const found = Object.keys(deform.now).find((one) => one === name)
    if (found && crm.field('stage') in fields) deform.now[found]?.(fields, record)
    return record
  }
  const server = createServer(async (request, response) => {
    const { host: _, connection: __, 'content-length': ___, ...headers } = request.headers
    const body = await buffer(request)
    const answer = await fetch(`${crm.url}${request.url}`, {
      method: request.method ?? 'GET',
      headers: Object.entries(headers).map(([key, value]): [string, string] => [key, String(value)]),
      ...(body.length > 0 ? { body: new Uint8Array(body) } : {}),
    })
    const text = (await answer.text()).replaceAll(crm.url, url)
    const json = answer.headers.get('content-type')?.includes('json') ?? false
    const kept = [...answer.headers].filter(([key]) => !/^(content-length|connection|transfer)/.test(key))
    response.writeHead(answer.status, Object.fromEntries(kept))
    response.end(json && text !== '' ? JSON.stringify(walk(JSON.parse(text))) : text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  return { ...crm, url }
}

it.each(['hubspot', 'salesforce'] as const)('%s: malformed records', async (system) => {
  const odd = Object.keys(ODD[system])
  const fine = ['good', ...Object.keys(FINE[system])]
  const deals = [...odd, ...fine].map((name, at) => seedDeal(name, { ownerEmail: REPS[at % 6] ?? '' }))
  const crm = await startCrm(system, seedOf(deals))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const opened = await homes[0]?.open()
  if (!opened) throw new Error('no home')
  const deform = { now: FINE[system] }
  const program = await startProgram({ ...opened, crms: [await deformed(crm, deform)] })
  onTestFinished(() => program.close())
  const { db } = program.ctx
  const listed = () => quarantined(db, crm.name)

  // Half of them are known before they go bad.
  const [known, fresh] = [odd.slice(0, 3), odd.slice(3)]
  deform.now = { ...FINE[system], ...Object.fromEntries(fresh.map((name) => [name, ODD[system][name] ?? (() => {})])) }
  const { preview, run } = await firstNight(program, crm, MONDAY)
  expect([preview.status, run.status]).toEqual(['done', 'done'])
  const first = await crm.look()
  for (const name of [...fine, ...known]) expect(first.deal(name).stalled, name).toBe(true)
  for (const name of fresh) expect(first.deal(name).stalled, name).toBe(false)
  expect(await listed()).toHaveLength(fresh.length)
  for (const { problem, url } of await listed()) {
    expect(problem.length).toBeGreaterThan(8)
    expect(url).toMatch(/\w{11,}$/)
  }
  expect(run.summary).toMatchObject({ unreadable: fresh.length })

  // All of them are odd, while the buyers of all of them reply.
  deform.now = { ...FINE[system], ...ODD[system] }
  await crm.clock(MONDAY + DAY / 2)
  for (const { name } of deals) {
    await crm.act(name, 'buyer-reply')
    await crm.set(name, 'nextStep', 'call them')
  }
  await crm.clock(MONDAY + DAY)
  const writes = (await crm.journal()).length
  const second = await program.night(crm, MONDAY + DAY)
  expect(second.status).toBe('done')
  const then = await crm.look()
  for (const name of fine) expect(then.deal(name).stalled, name).toBe(false)
  for (const name of known) expect(then.deal(name).stalled, name).toBe(true)
  const odds = odd.map((name) => then.deal(name).id)
  for (const line of (await crm.journal()).slice(writes)) expect(odds).not.toContain(line.id)
  const names = (await listed()).flatMap(({ name }) => (name === null ? [] : [name]))
  expect(names.toSorted()).toEqual(known.toSorted())
  expect(second.summary).toMatchObject({ unreadable: odd.length })
  for (const row of await rowsOfRun(db, second.id)) if (odds.includes(row.deal.id)) expect(row.status).toBe('held')

  // Put right by somebody: they come out, and what happened meanwhile counts. HubSpot's are tried again by themselves.
  deform.now = FINE[system]
  await crm.clock(MONDAY + 1.5 * DAY)
  if (system === 'salesforce') for (const name of odd) await crm.set(name, 'nextStep', 'put right')
  await crm.clock(MONDAY + 2 * DAY)
  const third = await program.night(crm, MONDAY + 2 * DAY)
  expect(third.status).toBe('done')
  expect((await listed()).map(({ id }) => id)).toEqual(system === 'hubspot' ? ['9007199254740992'] : [])
  for (const deal of (await crm.look()).deals) expect(deal.stalled, deal.name).toBe(false)
})
