// Before and after the call: what drops a row to the next night, what a fresh read says of an unanswered write.
import { describe, expect, test } from 'vitest'
import type { LedgerRow, LedgerStatus, PlannedWrite } from '../../src/core/plan.ts'
import {
  type FieldsWrite,
  MOVES,
  observedAfter,
  ownWrites,
  reaffirm,
  sameValue,
  settleFields,
} from '../../src/core/reaffirm.ts'
import { deal, known, on } from './build.ts'

const N0 = on('2026-11-02', '02:00')
const flag: FieldsWrite = {
  key: 'r.d1.flag',
  deal: known().ref,
  lockGroup: null,
  group: 'flag',
  cause: 'flagged',
  rule: 'no_movement',
  hold: null,
  undoes: null,
  kind: 'fields',
  before: { stalled: false, since: null, explanation: null },
  after: { stalled: true, since: N0 + 345, explanation: 'no movement since 2026-10-03' },
}
const forecast: FieldsWrite = {
  ...flag,
  key: 'r.d1.forecast',
  group: 'forecast',
  before: { category: 'PIPELINE' },
  after: { category: 'OMIT' },
}
const row = (write: PlannedWrite, status: LedgerStatus, plannedAt = N0): LedgerRow => ({
  ...write,
  run: 'r',
  status,
  plannedAt,
  sentAt: plannedAt + 1,
  settledAt: plannedAt + 2,
  remote: null,
  message: null,
})

describe('reaffirm', () => {
  test('nothing changed, or only what is not judged: go', () => {
    expect(reaffirm(flag, deal(), deal())).toBe('go')
    const cosmetic = deal({ name: 'Renamed', modifiedAt: N0, own: { cause: 'budget', explanation: 'edited' } })
    expect(reaffirm(flag, deal(), cosmetic)).toBe('go')
  })
  test.each([
    ['stageId', { stageId: 'demo' }],
    ['pipelineId', { pipelineId: 'renewals' }],
    ['outcome', { outcome: 'won' }],
    ['ownerId', { ownerId: 'bob' }],
    ['type', { type: 'renewal' }],
    ['amount', { amount: 1 }],
    ['currency', { currency: 'USD' }],
    ['closeDate', { closeDate: null }],
    ['category', { category: 'COMMIT' }],
    ['stalled', { own: { stalled: true } }],
    ['state', { own: { state: 'parked' } }],
    ['since', { own: { since: N0 } }],
    ['reason', { own: { reason: 'no_movement' } }],
    ['categoryBefore', { own: { categoryBefore: 'COMMIT' } }],
    ['decision', { own: { decision: 'yes' } }],
    ['decisionDue', { own: { decisionDue: '2026-12-01' } }],
    ['parkedUntil', { own: { parkedUntil: '2026-12-01' } }],
    ['parkedReason', { own: { parkedReason: 'seasonal' } }],
  ] as const)('another %s: dropped to the next night', (field, more) => {
    expect(reaffirm(flag, deal(), deal(more))).toEqual({ drop: 'changed', fields: [field] })
  })
  test('gone and unreadable', () => {
    expect(reaffirm(flag, deal(), 'gone')).toEqual({ drop: 'gone' })
    expect(reaffirm(flag, deal(), 'unreadable')).toEqual({ drop: 'unreadable' })
  })
  test('the own echo of this run is no difference, even to the second', () => {
    const fresh = deal({ own: { stalled: true, since: N0 } })
    expect(reaffirm(forecast, deal(), fresh)).not.toBe('go')
    expect(reaffirm(forecast, deal(), fresh, [flag])).toBe('go')
    expect(reaffirm(forecast, deal(), deal(), [{ ...flag, deal: { connection: 'hub', id: 'other' } }])).toBe('go')
  })
})

describe('settling an unanswered write by a fresh read', () => {
  test.each([
    ['after, as the CRM stores it', { stalled: true, since: N0, explanation: 'no movement since 2026-10-03 ' }, 'done'],
    ['before', {}, 'planned'],
    ['something else', { stalled: true, since: N0, explanation: 'mine' }, 'left'],
    ['half of each', { stalled: true }, 'left'],
  ] as const)('%s', (_, own, status) => {
    expect(settleFields(flag, deal({ own }))).toBe(status)
  })
  test('blank and empty are the same', () => {
    expect(sameValue('', null)).toBe(true)
    expect(sameValue(undefined, null)).toBe(true)
    // An empty flag means off.
    expect(sameValue(false, null)).toBe(true)
    expect(sameValue(N0, N0 + 1000)).toBe(false)
  })
})

test('which status may follow which', () => {
  const allowed = Object.entries({
    planned: ['sent', 'held', 'dropped', 'left'],
    sent: ['done', 'refused', 'planned', 'left'],
    done: ['undone', 'left'],
  }).flatMap(([from, to]) => to.map((one) => `${from} ${one}`))
  const statuses: LedgerStatus[] = ['planned', 'held', 'dropped', 'sent', 'done', 'refused', 'left', 'undone']
  expect(Object.keys(MOVES).toSorted()).toEqual(statuses.toSorted())
  const found = statuses.flatMap((from) =>
    statuses.filter((to) => MOVES[from].includes(to)).map((to) => `${from} ${to}`),
  )
  expect(found.toSorted()).toEqual(allowed.toSorted())
})

test('a deal is seen with the writes its observation is too old to show', () => {
  const before = deal({ modifiedAt: N0 - 1 })
  expect(observedAfter(before, [row(flag, 'done'), row(forecast, 'refused')])).toMatchObject({
    category: 'PIPELINE',
    own: { stalled: true },
  })
  expect(observedAfter(deal({ modifiedAt: N0 + 9 }), [row(flag, 'done')]).own.stalled).toBe(false)
  const off = { ...flag, before: { stalled: true }, after: { stalled: false } }
  expect(observedAfter(before, [row(off, 'done', N0 + 5), row(flag, 'undone')]).own.stalled).toBe(false)
})

test('own writes for the movement log: what arrived, taken back or not', () => {
  expect(ownWrites([row(forecast, 'done'), row(flag, 'sent'), row(forecast, 'undone', N0 + 5)])).toEqual([
    { field: 'category', to: 'OMIT', at: N0 + 1 },
    { field: 'category', to: 'OMIT', at: N0 + 6 },
  ])
})
