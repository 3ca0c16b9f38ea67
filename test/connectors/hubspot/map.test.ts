// HubSpot's records into the neutral model and back: dates, quarantine, who made a change, what counts as activity.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  actor,
  dueInstant,
  fromHtml,
  type Portal,
  toDeal,
  toEvidence,
  toHtml,
  toProperties,
  Unreadable,
} from '../../../connectors/hubspot/map.ts'
import { CrmRecord } from '../../../connectors/hubspot/wire.ts'
import { deal } from './fake.ts'

const portal = (timezone = 'UTC'): Portal => ({
  stages: new Map([
    ['default/first', 'open'],
    ['default/closedwon', 'lost'],
  ]),
  dealUrl: 'https://app.hubspot.com/contacts/1/record/0-3/',
  timezone,
  unreadable: new Set(),
})
const read = (properties: Record<string, unknown>, timezone?: string) =>
  toDeal(CrmRecord.parse(deal('1', properties)), portal(timezone))

describe('a deal', () => {
  test('closed by its stage’s probability, not by its id', () => {
    expect(read({ dealstage: 'closedwon' }).outcome).toBe('lost')
  })
  test('close dates: midnight UTC is a date; anything else a moment in the company’s zone', () => {
    expect(read({ closedate: '2026-12-01T00:00:00.000Z' }, 'America/New_York').closeDate).toBe('2026-12-01')
    expect(read({ closedate: '2026-12-01T03:30:00.000Z' }, 'America/New_York').closeDate).toBe('2026-11-30')
    expect(read({ closedate: '2026-12-01T23:30:00.000Z' }, 'Europe/Paris').closeDate).toBe('2026-12-02')
    expect(read({ closedate: `${Date.parse('2026-12-01T12:00:00Z')}` }).closeDate).toBe('2026-12-01')
    expect(read({ closedate: '' }).closeDate).toBeNull()
  })
  test('empty, numeric and odd values', () => {
    expect(read({ amount: null })).toMatchObject({ amount: null })
    expect(read({ amount: '' })).toMatchObject({ amount: null })
    expect(read({ amount: 12.5, hs_manual_forecast_category: '' })).toMatchObject({ amount: 12.5, category: null })
    expect(
      read({ unstall_decision: 'perhaps', unstall_stalled: 'true', unstall_decision_due: '2026-12-24' }).own,
    ).toMatchObject({
      decision: null,
      stalled: true,
      decisionDue: '2026-12-24',
    })
    expect(read({ hs_object_source: 'IMPORT' }).imported).toBe(true)
    expect(read({ hs_object_source: 'INTEGRATION', hs_object_source_label: 'INTEGRATION' }).imported).toBe(false)
    expect(read({ dealname: '\u202E<script>alert(1)</script>\u0000' }).name).toContain('<script>')
  })
  test('ids beyond 2^53 stay exact as text, and are refused as numbers', () => {
    expect(CrmRecord.parse({ id: '9007199254740993', properties: {} }).id).toBe('9007199254740993')
    expect(CrmRecord.safeParse(JSON.parse('{"id":9007199254740993,"properties":{}}')).success).toBe(false)
  })
  test.each([
    [{ dealstage: null }],
    [{ pipeline: '' }],
    [{ dealstage: 'in no pipeline' }],
    [{ amount: 'null' }],
    [{ amount: 'NaN' }],
    [{ amount: 2 ** 60 }],
    [{ amount: { value: 1 } }],
    [{ closedate: '1601-01-01T00:00:00Z' }],
    [{ createdate: null, hs_lastmodifieddate: null }],
    [{ createdate: 'yesterday' }],
    [{ deal_currency_code: 'Taler' }],
    [{ unstall_stalled_since: '??' }],
  ])('malformed %j: unreadable', (properties) => {
    expect(() => read(properties)).toThrow(Unreadable)
  })
})

describe('evidence', () => {
  const at = (day: number) => `2026-10-${String(day).padStart(2, '0')}T09:00:00Z`
  const evidence = (propertiesWithHistory: object, properties: object = {}) =>
    toEvidence(
      CrmRecord.parse({ ...deal('1', { ...properties }), propertiesWithHistory }),
      portal(),
      Date.parse(at(20)),
    )

  test('history newest first becomes changes oldest first, without steps that change nothing', () => {
    const found = evidence({
      dealstage: [
        { value: 'second', timestamp: at(3), sourceType: 'WORKFLOWS' },
        { value: 'first', timestamp: at(2), sourceType: 'CRM_UI', updatedByUserId: 7 },
        { value: 'first', timestamp: at(1), sourceType: 'IMPORT' },
      ],
      amount: [
        { value: '', timestamp: at(4), sourceType: 'SOMETHING_NEW' },
        { value: '100.0', timestamp: at(3), sourceType: 'MOBILE_IOS' },
        { value: '100', timestamp: at(1), sourceType: 'API' },
      ],
      closedate: [{ value: '2026-12-01T00:00:00Z', timestamp: Date.parse(at(1)), sourceType: null }],
    })
    expect(found?.changes).toEqual([
      { field: 'stage', at: Date.parse(at(1)), from: null, to: 'first', by: 'automation', source: 'IMPORT' },
      { field: 'stage', at: Date.parse(at(3)), from: 'first', to: 'second', by: 'automation', source: 'WORKFLOWS' },
      { field: 'amount', at: Date.parse(at(1)), from: null, to: '100', by: 'automation', source: 'API' },
      { field: 'amount', at: Date.parse(at(4)), from: '100', to: null, by: 'unknown', source: 'SOMETHING_NEW' },
      { field: 'closeDate', at: Date.parse(at(1)), from: null, to: '2026-12-01', by: 'unknown', source: 'UNKNOWN' },
    ])
  })
  test('two changes of one moment stay in their order', () => {
    const version = (value: string, sourceType: string) => ({ value, timestamp: at(2), sourceType })
    const found = evidence({ dealstage: [version('first', 'WORKFLOWS'), version('second', 'CRM_UI')] })
    expect(found?.changes).toMatchObject([
      { from: null, to: 'second', at: Date.parse(at(2)) },
      { from: 'second', to: 'first', at: Date.parse(at(2)) + 1 },
    ])
  })
  test('where the history is cut off, what came before is not known', () => {
    const versions = Array.from({ length: 20 }, (_, i) => ({
      value: `${i % 2}`,
      timestamp: at(20 - i),
      sourceType: 'CRM_UI',
    }))
    const changes = evidence({ amount: versions })?.changes ?? []
    expect(changes).toHaveLength(20)
    expect(changes[0]).not.toHaveProperty('from')
    expect(changes[1]).toMatchObject({ from: '1', to: '0' })
  })
  test('replies count, meetings only once held, the rest is the rep’s', () => {
    const dates = {
      hs_sales_email_last_replied: at(5),
      hs_latest_meeting_activity: at(25),
      notes_last_contacted: at(6),
    }
    expect(evidence({}, dates)?.activities).toEqual([
      { id: `reply ${Date.parse(at(5))}`, kind: 'reply', at: Date.parse(at(5)), outside: true },
      { id: `outgoing_email ${Date.parse(at(6))}`, kind: 'outgoing_email', at: Date.parse(at(6)), outside: null },
    ])
    const met = evidence({}, { hs_latest_meeting_activity: at(6), notes_last_contacted: at(6) })
    expect(met?.activities).toMatchObject([{ kind: 'meeting', outside: null }])
    expect(evidence({})).toBeNull()
  })
  test.each([
    ['CRM_UI', 'person'],
    ['CRM_UI_BULK_ACTION', 'person'],
    ['MOBILE_ANDROID', 'person'],
    ['SALES', 'person'],
    ['INTEGRATION', 'automation'],
    ['API', 'automation'],
    ['WORKFLOWS', 'automation'],
    ['AUTOMATION_PLATFORM', 'automation'],
    ['IMPORT', 'automation'],
    ['MIGRATION', 'automation'],
    ['BATCH_UPDATE', 'automation'],
    ['CRM_UI_NEW', 'unknown'],
    [null, 'unknown'],
  ])('source %s is %s', (source, by) => {
    expect(actor(source)).toBe(by)
  })
})

test('values are sent as text, empty text clears, absent keys are not sent', () => {
  expect(
    toProperties({
      ...{ stalled: false, state: null, since: Date.parse('2026-11-02T06:00:00Z'), reason: 'no_movement' },
      ...{ category: 'OMIT', decisionDue: '2026-12-01', categoryBefore: null },
    }),
  ).toEqual({
    unstall_stalled: 'false',
    unstall_state: '',
    unstall_stalled_since: '2026-11-02T06:00:00.000Z',
    unstall_reason: 'no_movement',
    hs_manual_forecast_category: 'OMIT',
    unstall_decision_due: '2026-12-01',
    unstall_category_before: '',
  })
  expect(toProperties({})).toEqual({})
})

test('a task is due at 17:00 of that date in the company’s zone, whatever its clocks do', () => {
  for (const [zone, date, utc] of [
    ['Europe/Paris', '2026-10-25', '16:00'],
    ['Europe/Paris', '2026-07-01', '15:00'],
    ['America/New_York', '2026-11-01', '22:00'],
    ['Australia/Lord_Howe', '2026-10-04', '06:00'],
    ['UTC', '2026-12-31', '17:00'],
  ] as const) {
    expect(new Date(dueInstant(date, zone)).toISOString()).toBe(`${date}T${utc}:00.000Z`)
  }
})

test('task text survives HTML and cannot become markup', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const html = toHtml(text)
      expect(html.replaceAll('<br>', '')).not.toMatch(/[<>]/)
      expect(fromHtml(html)).toBe(text)
    }),
  )
  expect(fromHtml('<div dir="auto"><p>One &amp; two</p><p>Three<br/>four</p></div>')).toBe('One & two\nThree\nfour')
})
