// What the shared contract cannot ask of every CRM: lesser orgs, conflicts, the delta's corners. Real HTTP.
import { generateKeyPairSync } from 'node:crypto'
import { Connection } from 'jsforce'
import { afterEach, describe, expect, test } from 'vitest'
import { clientCredentials, connectSalesforce, signInByKey } from '../../../connectors/salesforce/index.ts'
import type { Page } from '../../../src/connector.ts'
import { generate } from '../../../src/sandbox/generate.ts'
import { type Sandbox, startSandbox } from '../../../src/sandbox/kernel.ts'
import { type SalesforceOptions, salesforce } from '../../../src/sandbox/salesforce/index.ts'
import { SANDBOX_USER, sandboxKey } from '../../sandbox/consent.ts'
import { never, quietGate } from './org.ts'

const NOW = Date.parse('2026-11-20T09:00:00Z')
let sandbox: Sandbox | null = null
afterEach(async () => {
  await sandbox?.close()
  sandbox = null
})

async function start(options: SalesforceOptions = {}) {
  const running = await startSandbox(salesforce(generate({ now: NOW, deals: 60, open: 50 }), options), { now: NOW })
  sandbox = running
  const credential = clientCredentials({ loginUrl: running.url, clientId: 'sandbox', clientSecret: 'sandbox' })
  const connector = connectSalesforce({
    credential,
    gate: quietGate(),
    clock: () => 0,
    sleep: async () => {},
    timezone: 'UTC',
  })
  const control = async (path: string, body: unknown) => {
    const answer = await fetch(`${running.url}/__sandbox/${path}`, { method: 'POST', body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(await answer.text())
  }
  const act = (body: object) => control('act', body)
  const pull = async (cursor: string | null, now = NOW) => {
    const pages: Page[] = []
    for await (const page of connector.pull(cursor, now, never)) pages.push(page)
    const activities = (id: string) =>
      pages.flatMap((page) => page.evidence.filter((one) => one.deal === id).flatMap((one) => one.activities))
    return {
      pages,
      cursor: pages.at(-1)?.cursor ?? null,
      deals: new Map(pages.flatMap((page) => page.deals.map((deal) => [deal.id, deal]))),
      gone: pages.flatMap((page) => page.gone),
      activities,
    }
  }
  const journal = async () => (await fetch(`${running.url}/__sandbox/journal`)).text()
  return { connector, credential, act, control, pull, journal, url: running.url }
}

test('the sandbox takes what its key signed, for its user, in time', async () => {
  const { url: loginUrl } = await start()
  const good = { loginUrl, clientId: 'sandbox', username: SANDBOX_USER, privateKey: sandboxKey(), clock: Date.now }
  const refused = (more: object) =>
    signInByKey({ ...good, ...more })
      .exchange(null)
      .catch(String)
  expect(await signInByKey(good).exchange(null)).toMatchObject({
    token: expect.stringMatching(/^00D/),
    refresh: undefined,
  })
  expect(await refused({ username: 'admin@sandbox.invalid.sandbox' })).toContain('administrator must let admin@')
  expect(await refused({ clientId: 'other' })).toContain('(invalid_client_id)')
  for (const minutes of [-4, 3])
    expect(await refused({ clock: () => Date.now() + minutes * 60_000 })).toContain('clock')
  expect(await refused({ loginUrl: loginUrl.replace('127.0.0.1', 'localhost') })).toContain('loginUrl')
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'pem', type: 'pkcs8' })
  expect(await refused({ privateKey: other })).toContain('certificate')
})

const setup = async (connector: ReturnType<typeof connectSalesforce>) => {
  for await (const _ of connector.setup(never)) {
    // to the end
  }
}

describe('what an org cannot tell', () => {
  test('no stored e-mails, no history: the pull goes on, and check says what it costs and where to go', async () => {
    const { connector, pull } = await start({ emailMessage: false, history: false })
    const { tells } = await connector.reference(never)
    expect(tells).toEqual({
      participants: true,
      personFromAutomation: false,
      history: false,
      replies: false,
      calls: true,
    })
    expect((await pull(null)).deals.size).toBeGreaterThan(40)
    const { findings } = await connector.check(never)
    const warnings = findings.filter(({ level }) => level === 'warn')
    expect(warnings.map(({ what }) => what).join('\n')).toMatch(/no opportunity history.*stores no e-mails as records/s)
    expect(warnings.length).toBeGreaterThanOrEqual(3)
    for (const { todo } of warnings) expect(todo).toMatch(/Setup >|reps|preview|Change Owner/)
  })
})

describe('setup', () => {
  test('people read what unstall says and edit what they are asked; the list view shows reason, since and owner', async () => {
    const { connector, credential, url } = await start()
    await setup(connector)
    const { token } = await credential.session(never)
    const admin = new Connection({ instanceUrl: url, accessToken: token, version: '67.0' })
    const query = "SELECT Field, PermissionsEdit FROM FieldPermissions WHERE Parent.Name = 'Unstall_People'"
    const { records } = await admin.query(`${query} AND PermissionsRead = true AND SobjectType != 'Event'`)
    expect(records.length).toBe(14)
    const edits = records.flatMap(({ Field, PermissionsEdit }) => (PermissionsEdit ? [String(Field)] : []))
    expect(edits.map((name) => name.replace(/Opportunity.Unstall_|__c/g, '')).toSorted()).toEqual(
      ['Cause', 'Decision', 'Decision_Due', 'Parked_Reason', 'Parked_Until'], // biome-ignore format: one line
    )
    const [view] = await admin.metadata.read('ListView', ['Opportunity.Unstall_Stalled'])
    expect(view).toMatchObject({
      ...{ label: 'Stalled opportunities', filterScope: 'Everything' },
      columns: expect.arrayContaining([
        'CORE.USERS.ALIAS',
        'Unstall_Stalled__c',
        'Unstall_Reason__c',
        'Unstall_Stalled_Since__c',
      ]),
      filters: [{ field: 'Unstall_Stalled__c', operation: 'equals', value: '1' }],
    })
  })

  test('a field of our name with another type: refused before anything is created', async () => {
    const { connector, credential, journal, url } = await start()
    const { token } = await credential.session(never)
    const admin = new Connection({ instanceUrl: url, accessToken: token, version: '67.0' })
    await admin.metadata.upsert('CustomField', {
      fullName: 'Opportunity.Unstall_Reason__c',
      label: 'Reason',
      type: 'Text',
      length: 20,
    })
    const before = await journal()
    const steps: string[] = []
    const run = async () => {
      for await (const step of connector.setup(never)) steps.push(`${step.id} ${step.action}`)
    }
    await expect(run()).rejects.toMatchObject({ name: 'Fatal', kind: 'schema' })
    expect(steps).toEqual(['Opportunity.Unstall_Reason__c conflict'])
    expect(await journal()).toBe(before)
    const { steps: listed, findings } = await connector.check(never)
    expect(listed.find(({ action }) => action === 'conflict')?.detail).toMatch(/Text.*Object Manager/)
    expect(findings.some(({ level, todo }) => level === 'problem' && todo?.includes('rename or delete'))).toBe(true)
  })
})

describe('pull', () => {
  test('calls by who picked up, notes as notes, deletions as gone, also from a cursor', async () => {
    const { connector, act, pull } = await start()
    await setup(connector)
    const first = await pull(null)
    const [one, two, three] = [...first.deals.values()].filter(({ outcome }) => outcome === 'open').map(({ id }) => id)
    if (!one || !two || !three) throw new Error('three deals')
    await act({ act: 'call', id: one, outcome: 'connected' })
    await act({ act: 'call', id: two, outcome: 'no-answer' })
    await act({ act: 'delete', id: three })
    const next = await pull(first.cursor, NOW + 60_000)
    const recent = (id: string) =>
      next
        .activities(id)
        .filter(({ at }) => at >= NOW)
        .map(({ kind, outside }) => [kind, outside])
    expect(recent(one)).toEqual([['call', true]])
    expect(recent(two)).toEqual([['call_attempt', true]])
    expect(next.gone).toEqual([three])
    expect(next.deals.has(three)).toBe(false)
  })

  test('a change comes in one page with its deal, between the values before and after', async () => {
    const { connector, act, pull } = await start()
    await setup(connector)
    const first = await pull(null)
    const deal = [...first.deals.values()].find(({ outcome, closeDate }) => outcome === 'open' && closeDate !== null)
    if (!deal) throw new Error('an open deal')
    await act({ act: 'set', id: deal.id, field: 'CloseDate', value: '2027-06-30', by: 'integration' })
    const { pages } = await pull(first.cursor, NOW + 1000)
    const page = pages.find(({ deals }) => deals.some(({ id }) => id === deal.id))
    expect(page?.evidence.find((one) => one.deal === deal.id)?.changes.at(-1)).toMatchObject({
      field: 'closeDate',
      from: deal.closeDate,
      to: '2027-06-30',
      source: 'integration@sandbox.invalid',
    })
  })

  test('a meeting that is cancelled brings its deal again, without it', async () => {
    const { connector, act, pull } = await start()
    await setup(connector)
    const { deals } = await pull(null)
    const free = [...deals.values()].find(({ outcome, meeting }) => outcome === 'open' && meeting === null)?.id ?? ''
    const at = new Date(NOW + 4 * 86_400_000).toISOString()
    const { cursor } = await pull(null)
    await act({ act: 'meeting', id: free, at, held: false })
    const booked = await pull(cursor, NOW + 1000)
    expect(booked.deals.get(free)?.meeting).toMatchObject({ at: Date.parse(at), outside: true })
    await act({ act: 'meeting', id: free, at, held: false })
    expect((await pull(booked.cursor, NOW + 2000)).deals.get(free)?.meeting).toBeNull()
  })

  test('a later night that was interrupted goes on after its page, and what changed meanwhile follows', async () => {
    const { connector, act, pull } = await start()
    await setup(connector)
    const first = await pull(null)
    const [one, two] = [...first.deals.values()].filter(({ outcome }) => outcome === 'open')
    if (!one || !two) throw new Error('two deals')
    const change = (id: string) => act({ act: 'set', id, field: 'Amount', value: 4711, by: 'person' })
    await change(one.id)
    const [page] = (await pull(first.cursor, NOW + 1000)).pages
    expect(page?.deals.some(({ id }) => id === one.id)).toBe(true)
    await change(two.id)
    const rest = await pull(page?.cursor ?? null, NOW + 600_000)
    expect(rest.deals.get(two.id)?.amount).toBe(4711)
    const to = rest.pages.flatMap(({ evidence }) => evidence.filter(({ deal }) => deal === two.id))
    expect(to.flatMap(({ changes }) => changes).at(-1)).toMatchObject({ field: 'amount', to: '4711' })
    // Where the next one starts is by the org's clock, which did not go on, not by ours.
    const { since, ...unfinished } = JSON.parse(rest.cursor ?? '')
    expect(unfinished).toEqual({})
    expect(since).toBeGreaterThanOrEqual(NOW)
    expect(since).toBeLessThan(NOW + 600_000)
  })

  test('a cursor nobody can read is Fatal', async () => {
    const { connector } = await start()
    const pull = async () => {
      for await (const _ of connector.pull('{"nonsense":1}', NOW, never)) return
    }
    await expect(pull()).rejects.toMatchObject({ name: 'Fatal', kind: 'data' })
  })
})
