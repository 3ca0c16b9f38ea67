// Rows of Salesforce -> the neutral model. Each test names what a row may mean, and what it must not.
import { describe, expect, test } from 'vitest'
import { OWN, wireValues } from '../../../connectors/salesforce/fields.ts'
import {
  categoryNamed,
  type Lens,
  nextMeeting,
  noon,
  toChanges,
  toDeal,
  toMeeting,
  toPipelines,
  toReply,
  toTaskActivity,
} from '../../../connectors/salesforce/map.ts'
import {
  Described,
  Email,
  Event,
  History,
  Opportunity,
  Stage,
  sort,
  Task,
  User,
} from '../../../connectors/salesforce/wire.ts'
import { dealId, HOST, REP, SELF, taskId } from './org.ts'

const AUTOMATIC = '005000000000003AAA'
const user = (Id: string, Name: string, Email: string | null, UserType = 'Standard') =>
  User.parse({ Id, Name, Email, IsActive: true, UserType })
const lens: Lens = {
  instanceUrl: HOST,
  self: SELF,
  timezone: 'Europe/Paris',
  users: new Map(
    [
      user(SELF, 'Unstall', 'unstall@acme.example'),
      user(REP, 'Rita Rep', 'rita@acme.example'),
      user(AUTOMATIC, 'Automated Process', null, 'AutomatedProcess'),
    ].map((one) => [one.Id, one]),
  ),
  recordTypes: new Map(),
  currency: 'EUR',
}
const now = Date.parse('2026-11-20T09:00:00Z')
const bare = {
  Id: dealId(1),
  Name: 'Acme <script>',
  StageName: 'Proposal',
  IsClosed: false,
  IsWon: false,
  CreatedDate: '2026-09-01T08:00:00.000+0000',
  SystemModstamp: '2026-11-01T08:00:00.000+0000',
}

describe('a deal', () => {
  test('with nothing but what every org shows', () => {
    expect(toDeal(Opportunity.parse(bare), lens, null)).toMatchObject({
      id: dealId(1),
      name: 'Acme <script>',
      url: `${HOST}/${dealId(1)}`,
      ownerId: null,
      pipelineId: 'default',
      outcome: 'open',
      amount: null,
      currency: 'EUR',
      closeDate: null,
      category: null,
      lockGroup: null,
      createdAt: Date.parse('2026-09-01T08:00:00Z'),
      own: { stalled: false, state: null, decision: null },
    })
  })

  test('with our fields, its account, its record type and its own currency', () => {
    const row = Opportunity.parse({
      ...bare,
      AccountId: '001000000000001AAA',
      RecordTypeId: '012000000000001AAA',
      CurrencyIsoCode: 'USD',
      Amount: 1200.5,
      IsClosed: true,
      Unstall_Stalled__c: true,
      Unstall_Reason__c: 'no_movement',
      Unstall_Stalled_Since__c: '2026-11-02T06:00:00.000+0000',
      Unstall_Decision__c: 'Perhaps',
      Unstall_Parked_Until__c: '2026-12-01',
    })
    const deal = toDeal(row, { ...lens, recordTypes: new Map([['012000000000001AAA', 'Renewal']]) }, null)
    expect(deal).toMatchObject({
      pipelineId: 'Renewal',
      lockGroup: '001000000000001AAA',
      currency: 'USD',
      amount: 1200.5,
      outcome: 'lost',
      own: {
        stalled: true,
        reason: 'no_movement',
        since: Date.parse('2026-11-02T06:00:00Z'),
        decision: null,
        parkedUntil: '2026-12-01',
      },
    })
  })

  test.each([
    ['no stage', { StageName: null }],
    ['amount as text', { Amount: '1200' }],
    ['a year before anyone', { CloseDate: '1601-01-01' }],
    ['a date that is none', { CloseDate: '2026-02-30' }],
    ['no time of creation', { CreatedDate: 'yesterday' }],
    ['a flag that is text', { Unstall_Stalled__c: 'yes' }],
  ])('that cannot be understood (%s) is set aside with its reason, the others go on', (_, broken) => {
    const { good, bad } = sort(
      Opportunity,
      [
        { ...bare, ...broken },
        { ...bare, Id: dealId(2) },
      ],
      'Id',
    )
    expect(good.map(({ Id }) => Id)).toEqual([dealId(2)])
    expect(bad).toEqual([{ deal: dealId(1), problem: expect.stringContaining(Object.keys(broken)[0] ?? '?') }])
  })
})

describe('history', () => {
  const row = (n: number, at: string, by: string, values: object) =>
    History.parse({
      Id: `008${String(n).padStart(12, '0')}`,
      OpportunityId: dealId(1),
      CreatedDate: at,
      CreatedById: by,
      ...values,
    })
  const first = row(1, '2026-09-01T08:00:00Z', REP, { StageName: 'New', Amount: 10, CloseDate: '2026-12-01' })

  test('snapshots become changes, each with its author; what did not change says nothing', () => {
    const moved = row(2, '2026-10-01T08:00:00Z', AUTOMATIC, {
      StageName: 'Proposal',
      Amount: 10,
      CloseDate: '2026-12-01',
    })
    const pushed = row(3, '2026-11-01T08:00:00Z', SELF, {
      StageName: 'Proposal',
      Amount: null,
      CloseDate: '2027-01-15',
    })
    expect(toChanges([pushed, first, moved], lens).map(({ at: _, ...change }) => change)).toEqual([
      { field: 'stage', from: null, to: 'New', by: 'person', source: 'rita@acme.example' },
      { field: 'amount', from: null, to: '10', by: 'person', source: 'rita@acme.example' },
      { field: 'closeDate', from: null, to: '2026-12-01', by: 'person', source: 'rita@acme.example' },
      { field: 'stage', from: 'New', to: 'Proposal', by: 'automation', source: 'Automated Process' },
      { field: 'amount', from: '10', to: null, by: 'self', source: 'unstall@acme.example' },
      { field: 'closeDate', from: '2026-12-01', to: '2027-01-15', by: 'self', source: 'unstall@acme.example' },
    ])
  })

  test('what a flow does within the second of a save stays behind it', () => {
    const saved = row(2, '2026-10-01T08:00:00Z', REP, { StageName: 'Proposal' })
    const flow = row(3, '2026-10-01T08:00:00Z', AUTOMATIC, { StageName: 'Negotiation' })
    const at = toChanges([flow, first, saved], lens).flatMap((one) => (one.field === 'stage' ? [[one.to, one.at]] : []))
    const second = Date.parse('2026-10-01T08:00:00Z')
    expect(at.slice(1)).toEqual([
      ['Proposal', second],
      ['Negotiation', second + 1],
    ])
  })

  test('a snapshot made by a change of probability or category alone is not a change', () => {
    const same = row(2, '2026-10-01T08:00:00Z', REP, { StageName: 'New', Amount: 10, CloseDate: '2026-12-01' })
    expect(toChanges([first, same], lens)).toEqual(toChanges([first], lens))
  })

  test('an author nobody knows is unknown, by id', () => {
    const odd = row(1, '2026-09-01T08:00:00Z', '005000000000009AAA', { StageName: 'New' })
    expect(toChanges([odd], lens)).toMatchObject([{ by: 'unknown', source: '005000000000009AAA' }])
  })
})

describe('meetings', () => {
  const event = (values: object) => Event.parse({ Id: '00U000000000001AAA', WhatId: dealId(1), ...values })
  const past = { StartDateTime: '2026-11-18T13:00:00.000+0000', ActivityDate: '2026-11-18' }
  const future = (day: string) => ({
    StartDateTime: `2026-11-${day}T13:00:00.000+0000`,
    ActivityDate: `2026-11-${day}`,
  })

  test('held with a contact: outside; with colleagues only: not', () => {
    const held = { kind: 'meeting', at: Date.parse('2026-11-18T13:00:00Z') }
    expect(toMeeting(event({ ...past, WhoId: '003000000000001AAA' }), lens, now)).toMatchObject({
      ...held,
      outside: true,
    })
    expect(toMeeting(event({ ...past, WhoCount: 2 }), lens, now)).toMatchObject({ ...held, outside: true })
    expect(toMeeting(event(past), lens, now)).toMatchObject({ ...held, outside: false })
  })

  test('all day: at noon of the company, in summer and in winter', () => {
    expect(noon('2026-11-18', 'Europe/Paris')).toBe(Date.parse('2026-11-18T11:00:00Z'))
    expect(noon('2026-07-18', 'Europe/Paris')).toBe(Date.parse('2026-07-18T10:00:00Z'))
    expect(noon('2026-07-18', 'Pacific/Auckland')).toBe(Date.parse('2026-07-18T00:00:00Z'))
    const day = event({
      IsAllDayEvent: true,
      ActivityDate: '2026-11-18',
      ActivityDateTime: '2026-11-18T00:00:00.000+0000',
    })
    expect(toMeeting(day, lens, now)).toMatchObject({ at: Date.parse('2026-11-18T11:00:00Z') })
  })

  test('a future one is booked, not held; a deleted one and the head of a series are nothing', () => {
    const series = { ...future('25'), WhoId: '003000000000001AAA', RecurrenceActivityId: '00U000000000009AAA' }
    expect(toMeeting(event(series), lens, now)).toEqual({
      id: 'event:00U000000000001AAA',
      at: Date.parse('2026-11-25T13:00:00Z'),
      outside: true,
      series: '00U000000000009AAA',
    })
    expect(toMeeting(event({ ...past, IsDeleted: true }), lens, now)).toBeNull()
    expect(toMeeting(event({ ...past, IsRecurrence: true }), lens, now)).toBeNull()
  })

  test('the next one is the earliest with somebody from outside', () => {
    const who = { WhoId: '003000000000001AAA' }
    const rows = [
      event(future('21')),
      event({ ...future('27'), ...who }),
      event({ ...future('24'), ...who }),
      event(past),
    ]
    const next = (some: Event[]) =>
      nextMeeting(some.flatMap((row) => [toMeeting(row, lens, now)].filter((one) => one !== null && 'series' in one)))
    for (const some of [rows, rows.toReversed()])
      expect(next(some)).toMatchObject({ at: Date.parse('2026-11-24T13:00:00Z'), outside: true })
    expect(next([event(future('21'))])).toMatchObject({ outside: false })
    expect(next([event(past)])).toBeUndefined()
  })
})

describe('tasks', () => {
  const done = (values: object) =>
    toTaskActivity(
      Task.parse({
        Id: taskId(1),
        WhatId: dealId(1),
        IsClosed: true,
        ActivityDate: '2026-11-18',
        CreatedById: REP,
        ...values,
      }),
      lens,
      now,
    )

  test('a call that was connected or came in counts, an attempt is an attempt, an internal one has nobody outside', () => {
    expect(done({ TaskSubtype: 'Call', CallType: 'Inbound' })).toMatchObject({ kind: 'call', outside: true })
    expect(done({ TaskSubtype: 'Call', CallType: 'Outbound', CallDurationInSeconds: 90 })).toMatchObject({
      kind: 'call',
    })
    expect(done({ TaskSubtype: 'Call', CallType: 'Outbound', CallDurationInSeconds: 0 })).toMatchObject({
      kind: 'call_attempt',
    })
    expect(done({ CallType: 'Internal', CallDurationInSeconds: 90 })).toMatchObject({ outside: false })
  })

  test('other completed tasks are the rep’s own work', () => {
    expect(done({})).toEqual({
      id: `task:${taskId(1)}`,
      kind: 'note',
      at: noon('2026-11-18', lens.timezone),
      outside: false,
    })
    expect(done({ TaskSubtype: 'Email' })).toMatchObject({ kind: 'outgoing_email', outside: false })
    expect(done({ CompletedDateTime: '2026-11-19T10:00:00.000+0000' })).toMatchObject({
      at: Date.parse('2026-11-19T10:00:00Z'),
    })
  })

  test('ours, open ones and those dated in the future are nothing', () => {
    expect(done({ Unstall_Key__c: 'k' })).toBeNull()
    expect(done({ CreatedById: SELF })).toBeNull()
    expect(done({ IsClosed: false })).toBeNull()
    expect(done({ ActivityDate: '2026-12-24' })).toBeNull()
  })
})

describe('e-mails', () => {
  const mail = (values: object) =>
    toReply(
      Email.parse({
        Id: '02s000000000001AAA',
        RelatedToId: dealId(1),
        Incoming: true,
        CreatedDate: '2026-11-18T08:00:00Z',
        MessageDate: '2026-11-18T07:59:00Z',
        Subject: 'Re: your offer',
        ...values,
      }),
      lens,
      now,
    )

  test('of the buyer count', () => {
    expect(mail({})).toEqual({
      id: 'email:02s000000000001AAA',
      kind: 'reply',
      at: Date.parse('2026-11-18T07:59:00Z'),
      outside: true,
    })
    expect(
      mail({ Subject: 'Invitation to tender', Headers: 'Auto-Submitted: no\nPrecedence: first-class' }),
    ).not.toBeNull()
  })

  test.each([
    { Incoming: false },
    { Subject: 'Automatic reply: your offer' },
    { Subject: 'Out of Office' },
    { Subject: 'Réponse automatique : votre offre' },
    { Subject: 'Undeliverable: your offer' },
    { Subject: 'Accepted: Demo' },
    { Subject: 'Accepté : démo' },
    { Headers: 'Received: x\nAuto-Submitted: auto-replied\nTo: y' },
    { Headers: 'Precedence: auto_reply' },
    { Headers: 'Content-Type: text/calendar; method=REPLY' },
    { FromAddress: 'MAILER-DAEMON@mx.example' },
  ])('without a person behind them do not: %j', (values) => {
    expect(mail(values)).toBeNull()
  })
})

describe('the org', () => {
  const stage = (ApiName: string, SortOrder: number, category: string, name: string, more: object = {}) =>
    Stage.parse({
      ApiName,
      MasterLabel: ApiName,
      IsActive: true,
      IsClosed: false,
      IsWon: false,
      ForecastCategory: category,
      ForecastCategoryName: name,
      SortOrder,
      ...more,
    })
  const stages = [
    stage('Lost', 4, 'Omitted', 'Hors prévision', { IsClosed: true }),
    stage('Old', 1, 'Pipeline', 'Pipeline', { IsActive: false }),
    stage('New', 2, 'Pipeline', 'Pipeline'),
    stage('Won', 3, 'Closed', 'Closed', { IsClosed: true, IsWon: true }),
  ]
  const described = (values: string[], recordTypes: object[] = []) =>
    Described.parse({
      fields: [
        {
          name: 'ForecastCategoryName',
          type: 'picklist',
          updateable: true,
          picklistValues: values.map((value) => ({ value, active: true })),
        },
      ],
      recordTypeInfos: [
        { recordTypeId: '012000000000000AAA', name: 'Master', developerName: 'Master', master: true, active: true },
        ...recordTypes,
      ],
    })
  const types = [
    {
      recordTypeId: '012000000000001AAA',
      name: 'New business',
      developerName: 'New_Business',
      master: false,
      active: true,
    },
    { recordTypeId: '012000000000002AAA', name: 'Renewal', developerName: 'Renewal', master: false, active: true },
  ]

  test('one pipeline without record types; stages in order, inactive ones last', () => {
    const { pipelines } = toPipelines(stages, described([]))
    expect(pipelines.map(({ id }) => id)).toEqual(['default'])
    expect(pipelines[0]?.stages.map(({ id, order, outcome }) => [id, order, outcome])).toEqual([
      ['New', 0, 'open'],
      ['Won', 1, 'won'],
      ['Lost', 2, 'lost'],
      ['Old', 3, 'open'],
    ])
    expect(toPipelines(stages, described([], types.slice(0, 1))).pipelines.map(({ id }) => id)).toEqual(['default'])
  })

  test('a pipeline per record type where more than one is in use', () => {
    const { pipelines, recordTypes } = toPipelines(stages, described([], types))
    expect(pipelines.map(({ id }) => id)).toEqual(['New_Business', 'Renewal', 'default'])
    expect(recordTypes.get('012000000000002AAA')).toBe('Renewal')
    const named = toPipelines(stages, described([], [{ ...types[0], developerName: 'default' }, types[1] ?? {}]))
    expect(named.pipelines.map(({ id }) => id)).toEqual(['default', 'Renewal'])
  })

  test('the org’s own word for a fixed forecast category, only if it can be chosen', () => {
    expect(categoryNamed('Omitted', stages, described(['Pipeline', 'Hors prévision']))).toBe('Hors prévision')
    expect(categoryNamed('Omitted', [], described(['Omitted']))).toBe('Omitted')
    expect(categoryNamed('Omitted', stages, described(['Pipeline']))).toBeNull()
  })
})

test('our values on the wire: instants as text in UTC, null empties, what is absent is not written', () => {
  expect(
    wireValues({
      stalled: true,
      since: Date.parse('2026-11-02T06:00:00Z'),
      lastMovement: null,
      category: 'Omitted',
      cause: 'budget',
    }),
  ).toEqual({
    [OWN.stalled.name]: true,
    [OWN.since.name]: '2026-11-02T06:00:00.000Z',
    [OWN.lastMovement.name]: null,
    ForecastCategoryName: 'Omitted',
    [OWN.cause.name]: 'budget',
  })
})

test('a snapshot that once made no sense is read without it: the deal may be right again', () => {
  const row = { Id: '017000000000001AAA', OpportunityId: dealId(1), CreatedDate: '2026-10-01T09:00:00.000+0000' }
  expect(History.parse({ ...row, Amount: 'a lot', CloseDate: 'some day' })).toMatchObject({
    Amount: null,
    CloseDate: null,
  })
})
