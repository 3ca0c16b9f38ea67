// What is remembered of our fields from night to night, and what a night without one concludes: nothing.
import { describe, expect, test } from 'vitest'
import type { FieldState, OurField, Reference } from '../../src/core/deal.ts'
import { asLastKnown, fieldHolds, fieldsSince, stillThere } from '../../src/core/fields.ts'
import type { LedgerRow, PlannedWrite } from '../../src/core/plan.ts'
import { activity, change, deal, known, on, reference, verdict } from './build.ts'

const state = (made: string | null, more: Partial<FieldState> = {}): FieldState => ({
  ...{ name: 'unstall_stalled', readable: made !== null, writable: made !== null, made, ...more },
})
const company = (fields: Partial<Record<OurField, FieldState>>): Reference => ({ ...reference, fields })
const N1 = on('2026-11-02', '02:00')
const N2 = on('2026-11-03', '02:00')
const N3 = on('2026-11-04', '02:00')

describe('from night to night', () => {
  const nights = (...made: (string | null)[]) => {
    let last: Reference | null = null
    const back: boolean[] = []
    for (const [n, one] of made.entries()) {
      const since: ReturnType<typeof fieldsSince> = fieldsSince(last, company({ stalled: state(one) }), N1 + n)
      last = since.reference
      back.push(since.back)
    }
    return { back, stalled: last?.fields?.stalled }
  }
  test.each([
    ['it stays', ['a', 'a', 'a'], [false, false, false], undefined],
    [
      'not there before the first setup: nothing was lost, nothing need be read anew',
      [null, null, 'a'],
      [false, false, false],
      undefined,
    ],
    ['hidden for a night, or restored with all that was in it', ['a', null, 'a'], [false, false, true], undefined],
    ['gone and made anew', ['a', null, 'b'], [false, false, true], N1 + 2],
    ['made anew between two nights', ['a', 'b'], [false, true], N1 + 1],
    ['gone, and the CRM does not tell which making it is', ['', null, ''], [false, false, true], N1 + 2],
    ['the CRM does not tell, and it never was away', ['', ''], [false, false], undefined],
    ['lost once, it stays noted', ['a', 'b', 'b', null, null], [false, true, false, false, false], N1 + 1],
  ] as const)('%s', (_, made, back, lost) => {
    const told = nights(...made)
    expect(told.back).toEqual(back)
    expect(told.stalled?.lost).toBe(lost)
  })
})

const row = (plannedAt: number, after: object): LedgerRow => ({
  ...{ key: `k${plannedAt}`, deal: { connection: 'hub', id: 'd1' }, lockGroup: null, group: 'flag', cause: 'flagged' },
  ...{ rule: 'no_movement', hold: null, undoes: null, kind: 'fields', before: {}, after, run: 'r', status: 'done' },
  ...{ plannedAt, sentAt: plannedAt, settledAt: plannedAt, remote: null, message: null },
})

test('what cannot be read stays as last known: as observed, or as we wrote it since', () => {
  const blind = company({ stalled: state(null), category: state(null, { name: 'category' }) })
  const before = deal({ category: 'COMMIT', modifiedAt: N1 - 1, own: { decision: 'no' } })
  const seen = deal({ category: null, modifiedAt: N2, own: { decision: 'yes', stalled: null } })
  const ledger = [row(N1, { stalled: true })]
  expect(asLastKnown(seen, before, ledger, blind)).toMatchObject({
    ...{ category: 'COMMIT', modifiedAt: N2, own: { stalled: true, decision: 'yes' } },
  })
  // A person cleared it after we wrote it, and that was seen.
  const cleared = deal({ modifiedAt: N1 + 1, own: { stalled: false } })
  expect(asLastKnown(seen, cleared, ledger, blind).own.stalled).toBe(false)
  expect(asLastKnown(seen, undefined, [], blind)).toBe(seen)
  expect(asLastKnown(seen, before, ledger, company({ stalled: state('a') }))).toBe(seen)
})

test('what we wrote into a field that is gone is no word of ours any more', () => {
  const ledger = [row(N1, { stalled: true, reason: 'no_movement' }), row(N3, { stalled: true })]
  const told = stillThere(ledger, company({ stalled: state('b', { lost: N2 }) }))
  expect(told.map((one) => one.kind === 'fields' && one.after)).toEqual([{ reason: 'no_movement' }, { stalled: true }])
  expect(stillThere(ledger, company({ stalled: state('a') }))).toBe(ledger)
})

describe('what waits', () => {
  const flag: PlannedWrite = row(N1, { stalled: true })
  const forecast: PlannedWrite = { ...flag, group: 'forecast', kind: 'fields', before: {}, after: { category: 'OMIT' } }
  const task: PlannedWrite = {
    ...{ ...flag, group: 'task', kind: 'create-task', taskKey: 'k', owner: 'ann', person: 'ann' },
    ...{ subject: '', body: '', due: '2026-11-04' },
  }
  const holds = (rows: readonly PlannedWrite[], fields: Partial<Record<OurField, FieldState>>) =>
    fieldHolds(rows, company(fields)).map(({ hold }) => (hold && 'field' in hold ? hold.field : hold))
  test('a deal that needs the field waits whole; one that does not goes', () => {
    const gone = { stalled: state('a', { writable: false }) }
    expect(holds([flag, forecast, task], gone)).toEqual(Array(3).fill('unstall_stalled'))
    expect(holds([forecast, task], gone)).toEqual([null, null])
  })
  test('without their key, tasks wait alone', () => {
    expect(holds([flag, task], { taskKey: state(null, { name: 'key' }) })).toEqual([null, 'key'])
  })
})

test('nobody is flagged for an answer or a date that cannot be given; who is, stays so', () => {
  const due = change('decisionDue', on('2026-01-20'), null, '2026-02-02')
  const stage = change('stage', on('2026-01-19'), 'new', 'proposal')
  const overdue = known(
    { stageId: 'proposal', own: { decisionDue: '2026-02-02' } },
    [stage, due],
    [activity('reply', on('2026-01-30'))],
  )
  const blind = company({ decision: state(null) })
  const judged = (reference: Reference, rule: 'decision_overdue' | null) =>
    verdict(overdue, on('2026-02-05'), { reference, memory: { stalledSince: rule && on('2026-02-03'), rule } }).verdict
  expect(judged(reference, null).rule).toBe('decision_overdue')
  expect(judged(blind, null).state).toBe('moving')
  expect(judged(blind, 'decision_overdue').rule).toBe('decision_overdue')
})
