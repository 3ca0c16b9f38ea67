// The lookalike org over real HTTP through the real jsforce Connection: what a connector relies on, and every rule of
// Salesforce that would make a wrong connector look right if it were missing here.
import { createHash } from 'node:crypto'
import { Connection, OAuth2 } from 'jsforce'
import { afterEach, describe, expect, it } from 'vitest'
import { generate } from '../../src/sandbox/generate.ts'
import type { SandboxOptions } from '../../src/sandbox/kernel.ts'
import { type SalesforceOptions, salesforce } from '../../src/sandbox/salesforce/index.ts'
import type { Seed, SeedDeal } from '../../src/sandbox/seed.ts'
import { type Client, NOW, open, walk } from './client.ts'

const DAY = 86_400_000
const V = '/services/data/v67.0'
const rep = (name: string, active = true) => ({
  email: `${name}@example.com`,
  firstName: name,
  lastName: 'Rep',
  team: 'North',
  managerEmail: null,
  active,
})
const stages = [
  { id: 'prospecting', label: 'Prospecting', probability: 0.1, category: 'pipeline' },
  { id: 'proposal', label: 'Proposal', probability: 0.6, category: 'best_case' },
  { id: 'won', label: 'Won', probability: 1, category: 'closed' },
  { id: 'lost', label: 'Lost', probability: 0, category: 'omitted' },
] as const
const deal = (name: string, more: Partial<SeedDeal> = {}): SeedDeal => ({
  name,
  account: 'Acme',
  ownerEmail: 'ada@example.com',
  pipeline: 'default',
  stage: 'prospecting',
  createdAt: NOW - 60 * DAY,
  closeDate: '2026-12-31',
  amount: 1000,
  category: null,
  type: null,
  events: [],
  ...more,
})
const seed = (...deals: SeedDeal[]): Seed => ({
  now: NOW,
  currency: 'EUR',
  owners: [rep('ada'), rep('bob'), rep('gone', false)],
  pipelines: [{ id: 'default', label: 'Default', stages }],
  deals: deals.length > 0 ? deals : [deal('One'), deal('Two'), deal("Ø'Neil <b>")],
})

let client: Client
afterEach(() => client.sandbox.close())

async function start(filled: Seed = seed(), options: SalesforceOptions & SandboxOptions = {}) {
  client = await open(salesforce(filled, options), options)
  const oauth2 = new OAuth2({ loginUrl: client.sandbox.url, clientId: 'sandbox', clientSecret: 'sandbox' })
  const token = await oauth2.requestToken({ grant_type: 'client_credentials' })
  const conn = new Connection({ instanceUrl: token.instance_url, accessToken: token.access_token, version: '67.0' })
  return { conn, token, oauth2 }
}
const act = async (body: object) => {
  const got = await client.post('/__sandbox/act', body)
  expect(got.text).toContain('"ok":true')
  return String(got.at('id'))
}
const rows = async (conn: Connection, soql: string) => (await conn.query<Record<string, unknown>>(soql)).records
const idOf = async (conn: Connection, name: string) =>
  String((await rows(conn, `SELECT Id FROM Opportunity WHERE Name = '${name.replace(/'/g, "\\'")}'`))[0]?.Id)
const first = async (conn: Connection, soql: string) => (await rows(conn, soql))[0] ?? {}
/** The errorCode of what a promise throws. */
const code = (work: PromiseLike<unknown>) =>
  Promise.resolve(work).then(
    () => 'no error',
    (error: unknown) => `${walk(error, ['errorCode']) ?? walk(error, ['name'])}`,
  )
/** What became of each record of a collection: ok, or the statusCode of its error. */
const outcomes = async (work: Promise<readonly { readonly success: boolean; readonly errors?: unknown }[]>) =>
  (await work).map(({ success, errors }) => (success ? 'ok' : walk(errors, [0, 'statusCode'])))
const task = (WhatId: string, OwnerId: unknown, more: object = {}) => ({
  WhatId,
  OwnerId,
  Subject: 'Ask for a decision',
  ActivityDate: '2026-11-04',
  Status: 'Not Started',
  Priority: 'Normal',
  ...more,
})

const FIELDS = [
  { fullName: 'Opportunity.Flag__c', label: 'Flag', type: 'Checkbox', defaultValue: 'false' },
  {
    fullName: 'Opportunity.State__c',
    label: 'State',
    type: 'Picklist',
    valueSet: {
      restricted: true,
      valueSetDefinition: {
        sorted: false,
        value: ['moving', 'stalled'].map((name) => ({ fullName: name, label: name, default: false })),
      },
    },
  },
  { fullName: 'Opportunity.Words__c', label: 'Words', type: 'Text', length: 10 },
  { fullName: 'Opportunity.Since__c', label: 'Since', type: 'DateTime', trackHistory: true },
  {
    fullName: 'Opportunity.Counts__c',
    label: 'Counts',
    type: 'Currency',
    precision: 18,
    scale: 2,
    formula: "IF(OR(ISPICKVAL(State__c,'stalled'),ISPICKVAL(State__c,'parked')),0,Amount)",
    formulaTreatBlanksAs: 'BlankAsBlank',
  },
  { fullName: 'Activity.Key__c', label: 'Key', type: 'Text', length: 80 },
]
const grants = (editable = true) => ({
  fullName: 'unstall',
  label: 'unstall',
  fieldPermissions: FIELDS.map(({ fullName, formula }) => ({
    field: fullName.replace('Activity', 'Task'),
    readable: true,
    editable: editable && formula === undefined,
  })),
})
async function withFields(conn: Connection, user: string) {
  const made = await conn.metadata.upsert('CustomField', FIELDS)
  expect(made.map((result) => result.success)).toEqual(FIELDS.map(() => true))
  expect((await conn.metadata.upsert('PermissionSet', [grants()]))[0]).toMatchObject({ success: true, created: true })
  const set = await first(conn, "SELECT Id FROM PermissionSet WHERE Name = 'unstall'")
  return conn.create('PermissionSetAssignment', [{ AssigneeId: user, PermissionSetId: set.Id }])
}
const userOf = (token: { id: string }) => token.id.split('/').at(-1) ?? ''

describe('query', () => {
  it('pages with stable locators, and keeps every row', async () => {
    const { conn } = await start(seed(...Array.from({ length: 450 }, (_, i) => deal(`Deal ${i}`))))
    const headers = { 'Sforce-Query-Options': 'batchSize=200' }
    const page = await conn.query('SELECT Id, Name FROM Opportunity ORDER BY Name', { headers })
    expect([page.totalSize, page.done, page.records.length]).toEqual([450, false, 200])
    const second = await conn.queryMore(page.nextRecordsUrl ?? '')
    const again = await conn.queryMore(page.nextRecordsUrl ?? '')
    expect(again.records).toEqual(second.records)
    const third = await conn.queryMore(second.nextRecordsUrl ?? '')
    expect([third.done, third.records.length, third.nextRecordsUrl]).toEqual([true, 50, undefined])
    const ids = new Set([page, second, third].flatMap(({ records }) => records.map((record) => record.Id)))
    expect(ids.size).toBe(450)
    expect(await code(conn.queryMore('/services/data/v67.0/query/01gnothing-2000'))).toBe('INVALID_QUERY_LOCATOR')
  })

  it.each([
    ["Name = 'one'", ['One']],
    ["Name IN ('one', 'TWO') AND Amount != null", ['One', 'Two']],
    ["Name != 'One' AND (Name = 'Two' OR Amount = null)", ['Two']],
    ["Name = 'Ø\\'Neil <b>'", ["Ø'Neil <b>"]],
    ['Amount >= 1000.0 AND (IsClosed = false AND CloseDate > 2026-12-30)', ["Ø'Neil <b>", 'One', 'Two']],
    ['CreatedDate < 2026-09-03T06:00:00Z', []],
    ['CreatedDate <= 2026-09-03T08:00:00+02:00', ["Ø'Neil <b>", 'One', 'Two']],
    ["Owner.Email = 'ada@example.com' AND Account.Name = 'Acme'", ["Ø'Neil <b>", 'One', 'Two']],
    ['LastActivityDate = null AND Type = null AND Amount < 5', []],
  ])('filters by %s', async (where, names) => {
    const { conn } = await start()
    const found = await rows(conn, `SELECT Name FROM Opportunity WHERE ${where}`)
    expect(found.map((row) => row.Name).sort()).toEqual([...names].sort())
  })

  it.each([
    ['SELECT Nope FROM Opportunity', 'INVALID_FIELD', "No such column 'Nope' on entity 'Opportunity'"],
    ['SELECT Id FROM Deal', 'INVALID_TYPE', "sObject type 'Deal' is not supported"],
    ['SELECT Id FROM Opportunity WHERE', 'MALFORMED_QUERY', 'unexpected token'],
    [
      'SELECT Id FROM Opportunity WHERE IsWon = true AND IsClosed = true OR IsDeleted = true',
      'MALFORMED_QUERY',
      "'OR'",
    ],
    ['SELECT Id FROM Opportunity WHERE HasOpenActivity = true', 'INVALID_FIELD', 'can not be filtered'],
    ['SELECT Id FROM Opportunity ORDER BY HasOpenActivity', 'INVALID_FIELD', 'can not be sorted'],
    ["SELECT Id FROM Opportunity WHERE CloseDate > '2026-01-01'", 'INVALID_FIELD', 'should not be enclosed in quotes'],
    ["SELECT Id FROM Opportunity WHERE Id = 'abc'", 'INVALID_QUERY_FILTER_OPERATOR', 'invalid ID field: abc'],
    ['SELECT Boss.Name FROM Opportunity', 'INVALID_FIELD', "Didn't understand relationship 'Boss'"],
    // One sales process and one currency: these fields do not exist in such an org.
    ['SELECT RecordTypeId FROM Opportunity', 'INVALID_FIELD', 'RecordTypeId'],
    ['SELECT CurrencyIsoCode FROM Opportunity', 'INVALID_FIELD', 'CurrencyIsoCode'],
    ["SELECT Id FROM Opportunity WHERE Name LIKE 'T%'", 'MALFORMED_QUERY', "unexpected token: 'LIKE'"],
    ['SELECT Id FROM Opportunity LIMIT 1 OFFSET 1', 'MALFORMED_QUERY', "unexpected token: 'OFFSET'"],
  ])('refuses %s', async (soql, errorCode, words) => {
    const { token } = await start()
    const got = await client.get(`${V}/query?q=${encodeURIComponent(soql)}`, token.access_token)
    expect([got.status, got.at(0, 'errorCode')]).toEqual([400, errorCode])
    expect(got.at(0, 'message')).toContain(words)
  })

  it('follows relations and counts', async () => {
    const { conn } = await start()
    const id = await idOf(conn, 'One')
    await act({ act: 'call', id, outcome: 'incoming' })
    await act({ act: 'call', id, outcome: 'no-answer', at: '2026-10-01T10:00:00Z' })
    const found = await first(
      conn,
      `SELECT Owner.Email, Account.Name, Account.Id, CallType FROM Task WHERE WhatId = '${id.slice(0, 15)}' ORDER BY ActivityDate DESC LIMIT 1`,
    )
    expect(found).toMatchObject({
      CallType: 'Inbound',
      Owner: { Email: 'ada@example.com' },
      Account: { Name: 'Acme', attributes: { type: 'Account' } },
    })
    expect(await first(conn, 'SELECT Id, UserRole.Name, Manager.Name FROM User')).toMatchObject({
      Manager: null,
      UserRole: null,
    })
    expect((await conn.query('SELECT COUNT() FROM Task')).totalSize).toBe(2)
  })

  it('answers 414 to a URI over 16,384 bytes and 401, 410, 404 as documented', async () => {
    const { token } = await start()
    const long = `${V}/query?q=${'x'.repeat(16_400)}`
    expect((await client.get(long, token.access_token)).status).toBe(414)
    const bad = await client.get(`${V}/limits`, 'forged')
    expect([bad.status, bad.at(0, 'errorCode')]).toEqual([401, 'INVALID_SESSION_ID'])
    expect((await client.get('/services/data/v30.0/limits', token.access_token)).status).toBe(410)
    expect((await client.get('/services/data/v99.0/limits', token.access_token)).status).toBe(404)
    expect((await client.get(`${V}/sobjects/Nope/describe`, token.access_token)).status).toBe(404)
  })
})

describe('records', () => {
  it('gives each record of a collection its own outcome, in order', async () => {
    const { conn } = await start()
    const [one, two, three] = await Promise.all(['One', 'Two', "Ø'Neil <b>"].map((name) => idOf(conn, name)))
    const update = (Id: string | undefined, values: object) => ({ Id: Id ?? '', ...values })
    const results = await conn.update('Opportunity', [
      update(one, { NextStep: 'Call' }),
      update(two, { ForecastCategoryName: 'Nonsense' }),
      update(three, { LastActivityDate: '2026-01-01' }),
      update(one, { Name: 'x'.repeat(121) }),
      update('0065g0000000ZZZAAA', { Name: 'x' }),
      update(two, { Name: null }),
      update(three, { OwnerId: one }),
    ])
    expect(results.map((result) => (result.success ? 'ok' : walk(result.errors, [0, 'statusCode'])))).toEqual([
      'ok',
      'INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST',
      'INVALID_FIELD_FOR_INSERT_UPDATE',
      'STRING_TOO_LONG',
      'INVALID_CROSS_REFERENCE_KEY',
      'REQUIRED_FIELD_MISSING',
      'MALFORMED_ID',
    ])
    const lines = await client.lines('/__sandbox/journal')
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({
      object: 'Opportunity',
      id: one,
      before: { NextStep: null },
      after: { NextStep: 'Call' },
    })
  })

  it('refuses the whole collection for an unknown field, a wrong JSON type or more than 200 records', async () => {
    const { conn } = await start()
    const Id = await idOf(conn, 'One')
    expect(
      await code(
        conn.update('Opportunity', [
          { Id, NextStep: 'a' },
          { Id, Nope__c: 1 },
        ]),
      ),
    ).toBe('INVALID_FIELD')
    expect(await code(conn.update('Opportunity', [{ Id, Amount: '12' }]))).toBe('JSON_PARSER_ERROR')
    expect(await code(conn.update('Opportunity', [{ Id, CloseDate: '2026-02-30' }]))).toBe('JSON_PARSER_ERROR')
    const many = Array.from({ length: 201 }, () => ({ Id, NextStep: 'a' }))
    expect(await code(conn.update('Opportunity', many))).toBe('EXCEEDED_ID_LIMIT')
    expect(await client.lines('/__sandbox/journal')).toEqual([])
  })

  it('refuses all or none, which it does not play', async () => {
    const { conn } = await start()
    const Id = await idOf(conn, 'One')
    expect(await code(conn.update('Opportunity', [{ Id, NextStep: 'a' }], { allOrNone: true }))).toBe(
      'JSON_PARSER_ERROR',
    )
    expect(await client.lines('/__sandbox/journal')).toEqual([])
  })

  it('retrieves by id with null for what is gone, and finds deletions with queryAll', async () => {
    const { conn } = await start()
    const [one, two] = await Promise.all(['One', 'Two'].map((name) => idOf(conn, name)))
    if (!one || !two) throw new Error('no deals')
    expect(await outcomes(conn.update('Opportunity', [{ Id: one, Amount: 5.5 }]))).toEqual(['ok'])
    const closing = conn.update('Opportunity', [{ Id: one, Amount: 1, IsWon: true }])
    expect(await outcomes(closing)).toEqual(['INVALID_FIELD_FOR_INSERT_UPDATE'])
    client.tick(60_000)
    await act({ act: 'delete', id: two })
    const fields = ['Id', 'Amount']
    expect(await conn.retrieve('Opportunity', [one, two, '0065g0000000ZZZAAA'], { fields })).toMatchObject([
      { Id: one, Amount: 5.5 },
      null,
      null,
    ])
    const late = conn.update('Opportunity', [{ Id: two, Amount: 1 }])
    expect(await outcomes(late)).toEqual(['ENTITY_IS_DELETED'])
    expect((await conn.query('SELECT Id FROM Opportunity')).totalSize).toBe(2)
    const all = await conn.query<{ Id: string }>('SELECT Id FROM Opportunity WHERE IsDeleted = true', { scanAll: true })
    expect(all.records.map((record) => record.Id)).toEqual([two])
    expect(await client.state('deal')).toHaveLength(2)
  })
})

describe('opportunities', () => {
  it('a stage change resets category, probability and flags, and writes history; a category alone does not', async () => {
    const { conn, token } = await start()
    const Id = await idOf(conn, 'One')
    const read = () =>
      first(
        conn,
        `SELECT StageName, ForecastCategoryName, ForecastCategory, Probability, ExpectedRevenue, IsClosed, IsWon, LastStageChangeDate, LastModifiedById FROM Opportunity WHERE Id = '${Id}'`,
      )
    const history = () =>
      rows(
        conn,
        `SELECT StageName, Amount, CloseDate, PrevAmount, PrevCloseDate, ForecastCategory, CreatedById FROM OpportunityHistory WHERE OpportunityId = '${Id}' ORDER BY CreatedDate, Id`,
      )
    expect(await read()).toMatchObject({ LastStageChangeDate: null, ForecastCategory: 'Pipeline' })
    await conn.update('Opportunity', [{ Id, ForecastCategoryName: 'Omitted' }])
    expect(await read()).toMatchObject({
      ForecastCategory: 'Omitted',
      ExpectedRevenue: 100,
      LastModifiedById: userOf(token),
    })
    expect(await history()).toHaveLength(1)
    client.tick(1000)
    await act({ act: 'move-stage', id: Id, to: 'proposal' })
    expect(await read()).toMatchObject({
      StageName: 'Proposal',
      ForecastCategoryName: 'Best Case',
      Probability: 60,
      IsClosed: false,
    })
    client.tick(1000)
    await act({ act: 'set', id: Id, field: 'CloseDate', value: '2027-02-01' })
    await act({ act: 'move-stage', id: Id, to: 'Won', by: 'import' })
    const [user] = await rows(conn, "SELECT Id FROM User WHERE Name = 'Data Import'")
    expect(await read()).toMatchObject({
      IsClosed: true,
      IsWon: true,
      ForecastCategory: 'Closed',
      LastModifiedById: user?.Id,
    })
    expect((await history()).map((row) => [row.StageName, row.CloseDate, row.PrevCloseDate])).toEqual([
      ['Prospecting', '2026-12-31', null],
      ['Proposal', '2026-12-31', '2026-12-31'],
      ['Proposal', '2027-02-01', '2026-12-31'],
      ['Won', '2027-02-01', '2027-02-01'],
    ])
  })

  it('LastActivityDate follows due dates of closed tasks and any event, and moves SystemModstamp only', async () => {
    const { conn, token } = await start()
    const Id = await idOf(conn, 'One')
    const read = () =>
      first(
        conn,
        `SELECT LastActivityDate, LastModifiedDate, SystemModstamp, HasOpenActivity, HasOverdueTask FROM Opportunity WHERE Id = '${Id}'`,
      )
    const before = await read()
    const [made] = await conn.create('Task', [task(Id, userOf(token), { ActivityDate: '2026-11-30' })])
    expect(await read()).toEqual({ ...before, HasOpenActivity: true })
    client.tick(60 * DAY)
    expect(await read()).toMatchObject({ HasOverdueTask: true, LastActivityDate: null })
    await act({ act: 'complete-task', id: made?.id ?? '' })
    expect(await read()).toMatchObject({
      LastActivityDate: '2026-11-30',
      LastModifiedDate: before.LastModifiedDate,
      HasOpenActivity: false,
    })
    expect((await read()).SystemModstamp).not.toBe(before.SystemModstamp)
    expect(await first(conn, 'SELECT IsClosed, CompletedDateTime FROM Task')).toMatchObject({
      IsClosed: true,
      CompletedDateTime: '2027-01-01T06:00:00.000+0000',
    })
    const meeting = { act: 'meeting', id: Id, at: '2027-03-05T10:00:00Z', held: false }
    const event = await act(meeting)
    expect(await first(conn, 'SELECT Id, WhoCount, ActivityDate FROM Event')).toMatchObject({
      Id: event,
      WhoCount: 1,
      ActivityDate: '2027-03-05',
    })
    expect((await read()).LastActivityDate).toBe('2027-03-05')
    await act(meeting)
    expect((await read()).LastActivityDate).toBe('2026-11-30')
    await act({ act: 'meeting', id: Id, at: '2027-01-01T05:00:00Z', outside: false })
    expect(await first(conn, 'SELECT WhoCount, WhoId FROM Event')).toMatchObject({ WhoCount: 0, WhoId: null })
  })

  it('a task that is deleted leaves the state as it was, but for system stamps', async () => {
    const { conn, token } = await start(
      seed(deal('One', { events: [{ at: NOW - 9 * DAY, kind: 'call', outcome: 'connected' }] }), deal('Two')),
    )
    const state = async () => (await client.state('deal')).concat(await client.state('task')).map(unstamped)
    const unstamped = (line: unknown) => ({ ...Object(line), LastModifiedDate: '', SystemModstamp: '' })
    const before = await state()
    const [one, two] = await Promise.all(['One', 'Two'].map((name) => idOf(conn, name)))
    client.tick(60_000)
    const wanted = [one, two].map((id) => task(id ?? '', userOf(token), { ActivityDate: '2026-11-01' }))
    const made = await conn.create('Task', wanted)
    const ids = made.map((result) => result.id ?? '')
    const bumped = { HasOpenActivity: true, HasOverdueTask: true, LastActivityDate: '2026-10-24' }
    expect(await client.state('deal')).toMatchObject([bumped, { ...bumped, LastActivityDate: null }])
    await act({ act: 'complete-task', id: ids[0] ?? '' })
    expect((await client.state('deal'))[0]).toMatchObject({ LastActivityDate: '2026-11-01', HasOpenActivity: false })
    client.tick(60_000)
    expect(await conn.destroy('Task', ids)).toMatchObject([{ success: true }, { success: true }])
    expect(await state()).toEqual(before)
  })

  it('a task needs an existing deal and an active owner', async () => {
    const { conn, token } = await start()
    const Id = await idOf(conn, 'One')
    const gone = await first(conn, "SELECT Id FROM User WHERE Email = 'gone@example.com'")
    const created = await conn.create('Task', [
      task(Id, userOf(token)),
      task(Id, gone.Id),
      task('0065g0000000ZZZAAA', userOf(token)),
      task(Id, userOf(token), { Status: 'Nope' }),
    ])
    expect(created.map((result) => walk(result, ['errors', 0, 'statusCode']) ?? 'ok')).toEqual([
      'ok',
      'INACTIVE_OWNER_OR_USER',
      'INVALID_CROSS_REFERENCE_KEY',
      'INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST',
    ])
    expect(await client.state('task')).toMatchObject([{ WhatId: Id, IsClosed: false }])
    const [made] = created
    expect(await conn.destroy('Task', [made?.id ?? ''])).toMatchObject([{ success: true }])
    expect(await conn.destroy('Task', [made?.id ?? ''])).toMatchObject([{ success: false }])
    expect(await outcomes(conn.destroy('User', [userOf(token)]))).toEqual(['INVALID_CROSS_REFERENCE_KEY'])
    expect(await client.state('task')).toEqual([])
  })

  it('plays the seed: history with its people, calls, replies and meetings', async () => {
    const at = (days: number) => NOW - days * DAY
    const events: SeedDeal['events'] = [
      { at: at(40), kind: 'stage', to: 'proposal', by: 'person' },
      { at: at(30), kind: 'amount', to: 2000, by: 'integration' },
      { at: at(20), kind: 'call', outcome: 'incoming' },
      { at: at(15), kind: 'meeting', held: false, outside: true },
      { at: at(10), kind: 'reply' },
      { at: NOW + 5 * DAY, kind: 'meeting', held: false, outside: true },
    ]
    const left = deal('Left', { ownerEmail: 'gone@example.com', createdBy: 'import', category: 'commit' })
    const { conn } = await start(seed(deal('One', { events }), left))
    const made = await first(
      conn,
      "SELECT CreatedBy.Name, Owner.IsActive, ForecastCategoryName FROM Opportunity WHERE Name = 'Left'",
    )
    expect(made).toMatchObject({
      CreatedBy: { Name: 'Data Import' },
      Owner: { IsActive: false },
      ForecastCategoryName: 'Commit',
    })
    const history = await rows(
      conn,
      "SELECT StageName, Amount, CreatedDate FROM OpportunityHistory WHERE Opportunity.Name = 'One' AND CreatedBy.Name IN ('ada Rep', 'Marketing Integration') ORDER BY CreatedDate",
    )
    expect(history.map((row) => [row.StageName, row.Amount])).toEqual([
      ['Prospecting', 1000],
      ['Proposal', 1000],
      ['Proposal', 2000],
    ])
    expect(
      await first(conn, "SELECT CallType, CallDurationInSeconds FROM Task WHERE TaskSubtype = 'Call'"),
    ).toMatchObject({ CallType: 'Inbound', CallDurationInSeconds: 300 })
    expect(await first(conn, 'SELECT Incoming, RelatedToId, MessageDate FROM EmailMessage')).toMatchObject({
      Incoming: true,
      MessageDate: '2026-10-23T06:00:00.000+0000',
    })
    expect((await rows(conn, 'SELECT StartDateTime FROM Event')).map((row) => row.StartDateTime)).toEqual([
      '2026-11-07T06:00:00.000+0000',
    ])
    expect(await client.lines('/__sandbox/journal')).toEqual([])
  })

  it('loads the generated company, with record types for its two pipelines', async () => {
    const { conn } = await start(generate({ now: NOW, deals: 120 }))
    const types = await rows(conn, "SELECT DeveloperName FROM RecordType WHERE SobjectType = 'Opportunity'")
    expect(types).toHaveLength(2)
    const [row] = await rows(conn, 'SELECT RecordType.DeveloperName, Account.Name FROM Opportunity LIMIT 1')
    expect(types.map((type) => type.DeveloperName)).toContain(walk(row, ['RecordType', 'DeveloperName']))
    expect((await conn.query('SELECT COUNT() FROM Opportunity')).totalSize).toBe(120)
    expect((await conn.describe('Opportunity')).recordTypeInfos.length).toBe(3)
  })
})

describe('custom fields', () => {
  it('exist after createMetadata, but are invisible until a permission set is assigned', async () => {
    const { conn, token } = await start()
    const Id = await idOf(conn, 'One')
    expect((await conn.metadata.upsert('CustomField', FIELDS)).every((result) => result.success)).toBe(true)
    expect(await code(conn.query('SELECT Flag__c FROM Opportunity'))).toBe('INVALID_FIELD')
    expect(await code(conn.update('Opportunity', [{ Id, Flag__c: true }]))).toBe('INVALID_FIELD')
    expect((await conn.describe('Opportunity')).fields.map((field) => field.name)).not.toContain('Flag__c')
    await conn.metadata.upsert('PermissionSet', [grants(false)])
    expect(await code(conn.query('SELECT Flag__c FROM Opportunity'))).toBe('INVALID_FIELD')
    const set = await first(conn, "SELECT Id FROM PermissionSet WHERE Name = 'unstall'")
    const assignment = { AssigneeId: userOf(token), PermissionSetId: set.Id }
    const twice = conn.create('PermissionSetAssignment', [assignment, assignment])
    expect(await outcomes(twice)).toEqual(['ok', 'DUPLICATE_VALUE'])
    expect(await first(conn, `SELECT Flag__c, State__c FROM Opportunity`)).toMatchObject({
      Flag__c: false,
      State__c: null,
    })
    // Readable is not editable.
    const flagged = conn.update('Opportunity', [{ Id, Flag__c: true }])
    expect(await outcomes(flagged)).toEqual(['INVALID_FIELD_FOR_INSERT_UPDATE'])
    await conn.metadata.upsert('PermissionSet', [grants()])
    const changed = conn.update('Opportunity', [
      { Id, Flag__c: true, State__c: 'stalled', Since__c: '2026-11-02T06:00:00Z' },
    ])
    expect(await outcomes(changed)).toEqual(['ok'])
    const described = await conn.describe('Opportunity')
    const shape = (name: string) => described.fields.find((field) => field.name === name)
    expect(shape('State__c')).toMatchObject({
      type: 'picklist',
      restrictedPicklist: true,
      updateable: true,
      custom: true,
    })
    expect(shape('State__c')?.picklistValues?.map(({ value }) => value)).toEqual(['moving', 'stalled'])
    expect(shape('Counts__c')).toMatchObject({
      type: 'currency',
      calculated: true,
      updateable: false,
      createable: false,
    })
    expect(await first(conn, `SELECT Counts__c, Since__c FROM Opportunity WHERE Id = '${Id}'`)).toMatchObject({
      Counts__c: 0,
      Since__c: '2026-11-02T06:00:00.000+0000',
    })
    const errors = await conn.update('Opportunity', [
      { Id, State__c: 'nope' },
      { Id, Words__c: 'x'.repeat(11) },
      { Id, Counts__c: 1 },
    ])
    expect(errors.map((result) => walk(result, ['errors', 0, 'statusCode']))).toEqual([
      'INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST',
      'STRING_TOO_LONG',
      'INVALID_FIELD_FOR_INSERT_UPDATE',
    ])
  })

  it('a formula gives the amount back, and leaves an empty amount empty', async () => {
    const { conn, token } = await start(seed(deal('One'), deal('Two', { amount: null })))
    await withFields(conn, userOf(token))
    const one = await idOf(conn, 'One')
    const counts = async () =>
      (await rows(conn, 'SELECT Counts__c FROM Opportunity ORDER BY Name')).map((row) => row.Counts__c)
    expect(await counts()).toEqual([1000, null])
    await act({ act: 'set', id: one, field: 'State__c', value: 'stalled' })
    expect(await counts()).toEqual([0, null])
    await act({ act: 'set', id: one, field: 'State__c', value: null })
    expect(await counts()).toEqual([1000, null])
    expect(await client.state('deal')).toMatchObject([{ Counts__c: 1000, State__c: null }, { Counts__c: null }])
  })

  it('an Activity field is granted under Task, appears on Task and Event, and can be found by its value', async () => {
    const { conn, token } = await start()
    await withFields(conn, userOf(token))
    const Id = await idOf(conn, 'One')
    await conn.create('Task', [task(Id, userOf(token), { Key__c: 'k1' }), task(Id, userOf(token))])
    expect(await rows(conn, "SELECT Id, Key__c FROM Task WHERE Key__c IN ('k1', 'k2')")).toHaveLength(1)
    expect((await conn.describe('Event')).fields.map((field) => field.name)).toContain('Key__c')
    const wrong = { ...grants(), fieldPermissions: [{ field: 'Activity.Key__c', readable: true, editable: true }] }
    expect(await conn.metadata.upsert('PermissionSet', wrong)).toMatchObject({ success: false })
  })

  it('metadata calls answer per component and read back what was sent', async () => {
    const { conn, token } = await start()
    await withFields(conn, userOf(token))
    const again = await conn.metadata.upsert('CustomField', FIELDS.slice(0, 2))
    expect(again).toMatchObject([
      { success: true, created: false },
      { success: true, created: false },
    ])
    const upserted = await conn.metadata.upsert('CustomField', [
      { fullName: 'Opportunity.Flag__c', label: 'Renamed', type: 'Checkbox', defaultValue: 'false' },
      { fullName: 'Opportunity.Flag__c', label: 'Flag', type: 'Text', length: 3 },
      { fullName: 'Opportunity.NoDefault__c', label: 'x', type: 'Checkbox' },
      { fullName: 'Opportunity.NoLength__c', label: 'x', type: 'Text' },
      {
        fullName: 'Opportunity.Bad__c',
        label: 'x',
        type: 'Currency',
        precision: 18,
        scale: 2,
        formula: 'IF(Nope__c, 0, Amount)',
      },
      { fullName: 'Nope.X__c', label: 'x', type: 'Date' },
    ])
    expect(upserted.map((result) => result.success)).toEqual([true, false, false, false, false, false])
    const read = await conn.metadata.read('CustomField', ['Opportunity.State__c', 'Opportunity.Missing__c'])
    expect(read[0]).toMatchObject({ fullName: 'Opportunity.State__c', type: 'Picklist', label: 'State' })
    expect(read[1]?.fullName).toBeFalsy()
    const eleven = Array.from({ length: 11 }, (_, i) => ({
      fullName: `Opportunity.F${i}__c`,
      label: 'x',
      type: 'Date',
    }))
    expect(await code(conn.metadata.upsert('CustomField', eleven))).toBe('sf:LIMIT_EXCEEDED')
    await act({ act: 'drop-field', field: 'Flag__c' })
    expect(await code(conn.query('SELECT Flag__c FROM Opportunity'))).toBe('INVALID_FIELD')
    expect((await client.state('field')).map((line) => walk(line, ['name']))).toEqual([
      'State__c',
      'Words__c',
      'Since__c',
      'Counts__c',
      'Key__c',
      'Key__c',
    ])
  })

  it('a list view shows fields that exist; nothing is deleted that something refers to', async () => {
    const { conn, token } = await start()
    await withFields(conn, userOf(token))
    const view = (...columns: string[]) => {
      const filters = [{ field: 'Flag__c', operation: 'equals', value: '1' }]
      const fullName = 'Opportunity.Stalled'
      return conn.metadata.upsert('ListView', [
        { fullName, label: 'Stalled', filterScope: 'Everything', columns, filters },
      ])
    }
    expect(await view('OPPORTUNITY.NAME', 'Missing__c')).toMatchObject([{ success: false }])
    expect(await view('OPPORTUNITY.NAME', 'Since__c')).toMatchObject([{ success: true, created: true }])
    const found = "SELECT Name FROM ListView WHERE SobjectType = 'Opportunity' AND DeveloperName = 'Stalled'"
    expect(await rows(conn, found)).toMatchObject([{ Name: 'Stalled' }])
    const [read] = await conn.metadata.read('ListView', ['Opportunity.Stalled'])
    expect(read).toMatchObject({ columns: ['OPPORTUNITY.NAME', 'Since__c'] })

    const fields = FIELDS.map(({ fullName }) => fullName)
    const gone = async (type: 'CustomField' | 'PermissionSet' | 'ListView', ...names: string[]) =>
      (await conn.metadata.delete(type, names)).map(({ success }) => success)
    // The flag is in the list view, the state in the formula, the set is assigned.
    expect(await gone('CustomField', ...fields.slice(0, 3), 'Opportunity.Nope__c')).toEqual([false, false, true, false])
    expect(await gone('PermissionSet', 'unstall')).toEqual([false])
    const assigned = await first(conn, 'SELECT Id FROM PermissionSetAssignment')
    await conn.destroy('PermissionSetAssignment', [String(assigned.Id)])
    expect([await gone('PermissionSet', 'unstall'), await gone('ListView', 'Opportunity.Stalled')]).toEqual([
      [true],
      [true],
    ])
    expect(await rows(conn, found)).toEqual([])
    const left = fields.filter((name) => name !== 'Opportunity.Words__c').toReversed()
    expect(await gone('CustomField', ...left)).toEqual(left.map(() => true))
    expect(await client.state('field')).toEqual([])
  })

  it('a call with a dead session is a SOAP fault', async () => {
    const { conn } = await start()
    conn.accessToken = 'dead'
    expect(await code(conn.metadata.read('CustomField', ['Opportunity.X__c']))).toBe('sf:INVALID_SESSION_ID')
  })
})

describe('capabilities, limits and faults', () => {
  it('an org may lack EmailMessage and hide OpportunityHistory', async () => {
    const { conn } = await start(seed(), { emailMessage: false, history: false })
    expect(await code(conn.query('SELECT Id FROM EmailMessage'))).toBe('INVALID_TYPE')
    expect(await code(conn.describe('OpportunityHistory'))).toBe('NOT_FOUND')
    await act({ act: 'buyer-reply', id: await idOf(conn, 'One') })
    expect(await rows(conn, "SELECT Id FROM Task WHERE TaskSubtype = 'Email'")).toHaveLength(1)
    await act({ act: 'move-stage', id: await idOf(conn, 'One'), to: 'Proposal' })
  })

  it('counts API calls, tells the usage, and refuses above the daily limit', async () => {
    const { conn } = await start(seed(), { dailyCalls: 3, limits: 'rolling' })
    expect(await conn.limits()).toMatchObject({ DailyApiRequests: { Max: 3, Remaining: 2 } })
    await conn.query('SELECT Id FROM User')
    expect(conn.limitInfo.apiUsage).toEqual({ used: 2, limit: 3 })
    await conn.query('SELECT Id FROM User')
    expect(await code(conn.limits())).toBe('REQUEST_LIMIT_EXCEEDED')
    client.tick(DAY + 1)
    expect(await code(conn.limits())).toBe('no error')
  })

  it('a composite call is one call with an answer for each part, whatever becomes of the others', async () => {
    const { conn } = await start(seed(), { dailyCalls: 10, limits: 'rolling' })
    const [one, two] = await Promise.all(['One', 'Two'].map((name) => idOf(conn, name)))
    const used = conn.limitInfo.apiUsage?.used ?? 0
    const query = (soql: string) => ({ method: 'GET', url: `${V}/query?q=${encodeURIComponent(soql)}` })
    const patch = (id: unknown, NextStep: string) => ({
      ...{ method: 'PATCH', url: `${V}/composite/sobjects` },
      body: { allOrNone: false, records: [{ attributes: { type: 'Opportunity' }, id, NextStep }] },
    })
    const composite = async (...parts: object[]) => {
      const compositeRequest = parts.map((part, at) => ({ referenceId: `part_${at}`, ...part }))
      const answer = await conn.requestPost('/composite', { allOrNone: false, compositeRequest })
      const list = walk(answer, ['compositeResponse'])
      return (Array.isArray(list) ? list : []).map((part: unknown) => ({
        ...{ id: walk(part, ['referenceId']), status: walk(part, ['httpStatusCode']) },
        body: walk(part, ['body']),
        code: walk(part, ['body', 0, 'errorCode']),
      }))
    }
    const parts = await composite(
      query('SELECT Id FROM Opportunity LIMIT 1'),
      query('SELECT Nothing FROM Opportunity'),
      { method: 'GET', url: `${V}/sobjects/Opportunity/describe` },
      { method: 'GET', url: `${V}/sobjects/Nope/describe` },
      { method: 'GET', url: `${V}/limits` },
      patch(one, 'call'),
      patch(two, 'see @{part_0.totalSize}'),
      { method: 'DELETE', url: `${V}/composite/sobjects?ids=00T000000000000AAA` },
    )
    expect(parts.map(({ id, status, code }) => [id, status, code])).toEqual([
      ['part_0', 200, undefined],
      ['part_1', 400, 'INVALID_FIELD'],
      ['part_2', 200, undefined],
      ['part_3', 404, 'NOT_FOUND'],
      ['part_4', 400, 'PROCESSING_HALTED'],
      ['part_5', 200, undefined],
      ['part_6', 400, 'PROCESSING_HALTED'],
      ['part_7', 200, undefined],
    ])
    expect(parts[0]?.body).toMatchObject({ totalSize: 1, done: true, records: [{ Id: expect.any(String) }] })
    expect(parts[7]?.body).toMatchObject([{ success: false }])
    const journal = await client.lines('/__sandbox/journal')
    expect(journal).toMatchObject([{ endpoint: 'PATCH /services/data/{version}/composite/sobjects', id: one }])
    expect(conn.limitInfo.apiUsage?.used).toBe(used + 1)

    // Too much of it, or a name that is none: nothing is done.
    const many = Array.from({ length: 26 }, () => ({ method: 'GET', url: `${V}/sobjects/Task/describe` }))
    for (const too of [many, Array.from({ length: 6 }, () => patch(two, 'call'))])
      expect(await composite(...too)).toMatchObject([{ id: null, status: 400, code: 'LIMIT_EXCEEDED' }])
    expect(await code(composite({ ...patch(two, 'call'), referenceId: 'part-1' }))).toBe('JSON_PARSER_ERROR')
    expect(await client.lines('/__sandbox/journal')).toHaveLength(1)

    // Faults for a part's address strike the part, those for every address the whole.
    await client.post('/__sandbox/faults', [
      { fault: '502-after', method: 'PATCH', path: 'composite/sobjects' },
      { fault: '500-before', path: '/query' },
    ])
    const struck = await composite(patch(two, 'call'), query('SELECT Id FROM User'), many[0] ?? {})
    expect(struck.map(({ status }) => status)).toEqual([502, 500, 200])
    expect(await client.lines('/__sandbox/journal')).toHaveLength(2)
    await client.post('/__sandbox/faults', [{ fault: '429-daily' }])
    expect(await code(composite(patch(two, 'again')))).toBe('REQUEST_LIMIT_EXCEEDED')
  })

  it('partial refuses single records, bad-row the whole call', async () => {
    const { conn } = await start()
    const ids = await Promise.all(['One', 'Two'].map((name) => idOf(conn, name)))
    const records = ids.map((Id) => ({ Id, NextStep: 'x' }))
    await client.post('/__sandbox/faults', [{ fault: 'partial', path: 'composite/sobjects', times: 1 }])
    const results = await conn.update('Opportunity', records)
    expect(results.map((result) => result.success).sort()).toEqual([false, true])
    await client.post('/__sandbox/faults', [{ fault: 'bad-row', path: 'composite/sobjects' }])
    expect(await code(conn.update('Opportunity', records))).toBe('JSON_PARSER_ERROR')
    await client.post('/__sandbox/faults', [{ fault: '429-daily' }])
    expect(await code(conn.update('Opportunity', records))).toBe('REQUEST_LIMIT_EXCEEDED')
    expect(await client.lines('/__sandbox/journal')).toHaveLength(1)
  })

  it('acts on what is there, and says what is wrong otherwise', async () => {
    const { conn } = await start()
    const [one, two] = await Promise.all(['One', 'Two'].map((name) => idOf(conn, name)))
    await act({ act: 'call', id: two, outcome: 'connected' })
    await act({ act: 'merge', id: two, into: one })
    expect(await rows(conn, `SELECT Id FROM Task WHERE WhatId = '${one}'`)).toHaveLength(1)
    for (const body of [
      { act: 'delete', id: two },
      { act: 'move-stage', id: one, to: 'Nowhere' },
      { act: 'set', id: one, field: 'Nope', value: 1 },
      { act: 'set', id: one, field: 'IsWon', value: true },
      { act: 'set', id: two, field: 'NextStep', value: 'gone' },
      { act: 'drop-field', field: 'Nope__c' },
    ])
      expect((await client.post('/__sandbox/act', body)).status).toBe(400)
    const backdated = { act: 'move-stage', id: one, to: 'Proposal', at: '2026-10-01T08:00:00Z', by: 'workflow' }
    await act(backdated)
    await act({ act: 'set', id: one, field: 'CloseDate', value: '2027-01-31', at: '2026-09-20T08:00:00Z' })
    await act({ act: 'move-stage', id: one, to: 'Won', at: '2026-09-10T08:00:00Z' })
    const history = `SELECT StageName, CloseDate FROM OpportunityHistory WHERE OpportunityId = '${one}' ORDER BY CreatedDate`
    expect((await rows(conn, history)).map((row) => [row.StageName, row.CloseDate])).toEqual([
      ['Prospecting', '2026-12-31'],
      ['Won', '2026-12-31'],
      ['Won', '2027-01-31'],
      ['Proposal', '2027-01-31'],
    ])
    expect(
      await first(
        conn,
        `SELECT StageName, CloseDate, LastStageChangeDate, SystemModstamp, LastModifiedBy.Name FROM Opportunity WHERE Id = '${one}'`,
      ),
    ).toMatchObject({
      StageName: 'Proposal',
      CloseDate: '2027-01-31',
      LastStageChangeDate: '2026-10-01T08:00:00.000+0000',
      SystemModstamp: '2026-11-02T06:00:00.000+0000',
      LastModifiedBy: { Name: 'ada Rep' },
    })
  })

  it('sets any field that is not computed, of a deal or a task, malformed values too', async () => {
    const { conn, token } = await start()
    const Id = await idOf(conn, 'One')
    const [made] = await conn.create('Task', [task(Id, userOf(token))])
    await act({ act: 'set', id: made?.id ?? '', field: 'Subject', value: 'Another' })
    await act({ act: 'set', id: Id, field: 'StageName', value: 'No such stage' })
    await act({ act: 'set', id: Id, field: 'CloseDate', value: '31/12/2026' })
    expect(await client.state('task')).toMatchObject([{ Subject: 'Another' }])
    const read = await first(conn, `SELECT StageName, CloseDate, IsClosed FROM Opportunity WHERE Id = '${Id}'`)
    expect(read).toMatchObject({ StageName: 'No such stage', CloseDate: '31/12/2026', IsClosed: false })
  })

  it('goes back to the start', async () => {
    const { conn } = await start()
    await act({ act: 'delete', id: await idOf(conn, 'One') })
    await client.post('/__sandbox/reset', {})
    expect(await code(conn.limits())).toBe('INVALID_SESSION_ID')
    expect(await client.state('deal')).toHaveLength(3)
  })
})

describe('OAuth', () => {
  const verifier = 'v'.repeat(43)
  const redirectUri = 'http://127.0.0.1:9/callback'
  async function consent() {
    await start()
    const oauth2 = new OAuth2({
      loginUrl: client.sandbox.url,
      clientId: 'sandbox',
      clientSecret: 'sandbox',
      redirectUri,
    })
    const code_challenge = createHash('sha256').update(verifier).digest('base64url')
    const url = oauth2.getAuthorizationUrl({
      scope: 'api refresh_token',
      state: 's&1',
      code_challenge,
      code_challenge_method: 'S256',
    })
    const page = await client.get(url.slice(client.sandbox.url.length))
    expect(page.status).toBe(200)
    const form = new URLSearchParams({})
    for (const [, name = '', value = ''] of page.text.matchAll(/name="(\w+)" value="([^"]*)">/g))
      form.set(
        name,
        value.replace(/&#(\d+);/g, (_, unit) => String.fromCharCode(Number(unit))),
      )
    form.set('decision', 'allow')
    const back = await client.send('POST', '/services/oauth2/authorize', form.toString())
    const location = new URL(back.headers.get('location') ?? '')
    expect(location.searchParams.get('state')).toBe('s&1')
    return { oauth2, code: location.searchParams.get('code') ?? '' }
  }

  it('client credentials give an opaque token without expiry or refresh token', async () => {
    const { token } = await start()
    expect(Object.keys(token).sort()).toEqual([
      'access_token',
      'id',
      'instance_url',
      'issued_at',
      'scope',
      'signature',
      'token_type',
    ])
    const wrong = new OAuth2({ loginUrl: client.sandbox.url, clientId: 'sandbox', clientSecret: 'wrong' })
    expect(await code(wrong.requestToken({ grant_type: 'client_credentials' }))).toBe('invalid_client')
  })

  it('the web flow needs the right verifier, once', async () => {
    const { oauth2, code: granted } = await consent()
    expect(await code(oauth2.requestToken(granted, { code_verifier: 'w'.repeat(43) }))).toBe('invalid_grant')
    expect(await code(oauth2.requestToken(granted, { code_verifier: verifier }))).toBe('invalid_grant')
  })

  it('refresh tokens rotate, and replaying an old one revokes everything', async () => {
    const { oauth2, code: granted } = await consent()
    const firstToken = await oauth2.requestToken(granted, { code_verifier: verifier })
    const second = await oauth2.refreshToken(firstToken.refresh_token ?? '')
    expect(second.refresh_token).not.toBe(firstToken.refresh_token)
    expect((await client.get(`${V}/limits`, second.access_token)).status).toBe(200)
    expect(await code(oauth2.refreshToken(firstToken.refresh_token ?? ''))).toBe('invalid_grant')
    expect((await client.get(`${V}/limits`, second.access_token)).status).toBe(401)
    expect(await code(oauth2.refreshToken(second.refresh_token ?? ''))).toBe('invalid_grant')
  })

  it('tokens end by revocation, by the act and by time', async () => {
    const { oauth2, code: granted } = await consent()
    const token = await oauth2.requestToken(granted, { code_verifier: verifier })
    await oauth2.revokeToken(token.access_token)
    expect((await client.get(`${V}/limits`, token.access_token)).status).toBe(401)
    const next = await oauth2.refreshToken(token.refresh_token ?? '')
    await act({ act: 'revoke-token' })
    expect((await client.get(`${V}/limits`, next.access_token)).status).toBe(401)
    expect(await code(oauth2.refreshToken(next.refresh_token ?? ''))).toBe('invalid_grant')
    await client.sandbox.close()
    const { token: short } = await start(seed(), { tokenLifeS: 60 })
    client.tick(61_000)
    expect((await client.get(`${V}/limits`, short.access_token)).status).toBe(401)
  })

  it('refuses a challenge that is missing and a callback elsewhere', async () => {
    await start()
    const ask = (redirect: string) =>
      client.get(
        `/services/oauth2/authorize?response_type=code&client_id=sandbox&redirect_uri=${encodeURIComponent(redirect)}`,
      )
    expect((await ask(redirectUri)).headers.get('location')).toContain('error=invalid_request')
    expect((await ask('https://evil.example/')).status).toBe(400)
  })
})
