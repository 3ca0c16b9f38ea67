// Were the flags right, by hand: one deal's transitions and ledger, and what is said of its flags after 30, 60, 90 days.
import { describe, expect, test } from 'vitest'
import type { Known } from '../../src/core/deal.ts'
import { movementLog } from '../../src/core/movement.ts'
import type { LedgerRow } from '../../src/core/plan.ts'
import { type Flag, flagsOf, isRecovered, qualityOf, type Step } from '../../src/core/quality.ts'
import { taskKey } from '../../src/core/stall.ts'
import { activity, change, context, known, on } from './build.ts'

const FLAGGED = on('2026-03-02', '02:00')
const NOW = on('2026-06-15', '02:00')
const step = (at: number, from: Step['from'], to: Step['to'], evidence: Step['evidence'] = {}): Step => ({
  ...{ at, from, to, rule: to === 'stalled' ? 'no_movement' : null, evidence },
})
const stalled = step(FLAGGED, 'moving', 'stalled')
const head = { run: 'r', deal: { connection: 'hub', id: 'd1' }, lockGroup: null, hold: null, undoes: null } as const
const row = { ...head, key: 'k', cause: 'flagged', rule: 'no_movement', message: null, remote: null } as const
const times = (at: number) => ({ plannedAt: at, sentAt: at, settledAt: at })
const flag = (at = FLAGGED, status: LedgerRow['status'] = 'done'): LedgerRow => ({
  ...{ ...row, ...times(at), group: 'flag', kind: 'fields', status, before: {}, after: { stalled: true } },
})
const task = (kind: 'create-task' | 'complete-task', status: LedgerRow['status'], at = FLAGGED): LedgerRow => {
  const of = { ...row, ...times(at), status, taskKey: taskKey('d1', FLAGGED), body: '' }
  return kind === 'create-task'
    ? { ...of, kind, group: 'task', owner: 'ann', person: 'ann', subject: '', due: '2026-03-04' }
    : { ...of, kind, group: 'task-done', task: '1', bodyBefore: '' }
}
const wonOn = (date: string, ...replies: readonly string[]): Known =>
  known(
    { outcome: 'won', stageId: 'won', closeDate: date },
    [change('stage', on(date), 'new', 'won')],
    replies.map((reply) => activity('reply', on(reply))),
  )
const flags = (steps: readonly Step[], one = known(), ledger: readonly LedgerRow[] = [flag()], now = NOW) =>
  flagsOf(one, steps, ledger, context(), now)
const fate = (steps: readonly Step[], one?: Known, ledger?: readonly LedgerRow[]) => flags(steps, one, ledger)[0]?.today

describe('one flag', () => {
  test('what it became, after each horizon', () => {
    const recovered = step(on('2026-04-20'), 'stalled', 'moving')
    expect(flags([stalled, recovered])).toEqual([
      { at: FLAGGED, rule: 'no_movement', today: 'recovered', after: ['stalled', 'recovered', 'recovered'] },
    ])
    expect(flags([stalled], known(), [flag()], on('2026-04-15'))[0]?.after).toEqual(['stalled', null, null])
    expect(fate([stalled, step(on('2026-04-20'), 'stalled', 'parked')])).toBe('parked')
    expect(fate([stalled, step(on('2026-04-20'), 'stalled', 'gone')])).toBe('gone')
    const lost = known({ outcome: 'lost', stageId: 'lost', closeDate: '2026-04-19' })
    expect(fate([stalled, step(on('2026-04-20'), 'stalled', 'closed')], lost)).toBe('lost')
  })

  test('cleared by a person: wrong, whatever came later', () => {
    const cleared = step(on('2026-03-05'), 'stalled', 'moving', { dismissed: true })
    expect(fate([stalled, cleared, step(on('2026-05-01'), 'moving', 'closed')], wonOn('2026-04-30'))).toBe('wrong')
  })

  test('won within ten working days, the task untouched: probably wrong', () => {
    const closed = (date: string) => step(on(date), 'stalled', 'closed')
    // Monday 2 March; the tenth working day is Monday 16 March.
    expect(fate([stalled, closed('2026-03-17')], wonOn('2026-03-16'))).toBe('probably_wrong')
    expect(fate([stalled, closed('2026-03-18')], wonOn('2026-03-17'))).toBe('won')
    const completed = [flag(), task('create-task', 'done'), task('complete-task', 'left')]
    expect(fate([stalled, closed('2026-03-17')], wonOn('2026-03-16'), completed)).toBe('won')
    const ours = [flag(), task('create-task', 'done'), task('complete-task', 'done')]
    expect(fate([stalled, closed('2026-03-17')], wonOn('2026-03-16'), ours)).toBe('probably_wrong')
  })

  test('a second stall is a flag of its own; the first ended before it', () => {
    const second = on('2026-05-04', '02:00')
    const steps = [
      ...[stalled, step(on('2026-04-20'), 'stalled', 'moving'), step(second, 'moving', 'stalled')],
      step(on('2026-06-10'), 'stalled', 'closed'),
    ]
    const both = flags(steps, wonOn('2026-06-09'), [flag(), flag(second)])
    expect(both.map(({ today }) => today)).toEqual(['recovered', 'won'])
  })

  test('never seen in the CRM, or taken back: not counted', () => {
    for (const status of ['held', 'refused', 'planned'] as const)
      expect(flags([stalled], known(), [flag(FLAGGED, status)])).toEqual([])
    const undone = step(on('2026-03-03'), 'stalled', 'moving', { undoes: 'r' })
    expect(flags([stalled, undone], known(), [flag(FLAGGED, 'undone')])).toEqual([])
    expect(flags([{ ...stalled, evidence: { adopted: true } }], known(), [])).toHaveLength(1)
  })
})

describe('all flags', () => {
  const some = (n: number, today: Flag['today'], after: Flag['after'] = [today, today, today]): Flag[] =>
    Array.from({ length: n }, () => ({ at: FLAGGED, rule: 'no_movement' as const, today, after }))
  const suggestion = (list: readonly Flag[]) => qualityOf(list).rules[0]?.suggestion

  test('counts only flags old enough, and suggests by rule', () => {
    const { horizons, rules } = qualityOf([...some(3, 'won'), ...some(2, 'stalled', ['stalled', null, null])])
    expect(horizons.map(({ days, flags, fates }) => [days, flags, fates.won, fates.stalled])).toEqual([
      [30, 5, 3, 2],
      [60, 3, 3, 0],
      [90, 3, 3, 0],
    ])
    expect(rules).toMatchObject([{ rule: 'no_movement', flags: 5, suggestion: 'too_few' }])
    expect(suggestion([...some(8, 'recovered'), ...some(1, 'wrong'), ...some(1, 'probably_wrong')])).toBe('loosen')
    expect(suggestion([...some(9, 'recovered'), ...some(1, 'wrong')])).toBe('keep')
    expect(suggestion(some(10, 'stalled'))).toBe('archive')
    expect(suggestion([...some(9, 'recovered'), ...some(50, 'stalled', [null, null, null])])).toBe('too_few')
    expect(qualityOf([]).rules).toEqual([])
  })
})

test('recovered: won after a strong movement that followed the task', () => {
  const ledger = [flag(), task('create-task', 'done', on('2026-03-02', '03:00'))]
  const recovered = (one: Known, rows: readonly LedgerRow[] = ledger) =>
    isRecovered(one, movementLog(one, [], context(), null, NOW), rows, context())
  expect(recovered(wonOn('2026-04-01', '2026-03-10'))).toBe(true)
  expect(recovered(wonOn('2026-04-01', '2026-03-01'))).toBe(false)
  expect(recovered(wonOn('2026-04-01', '2026-04-02'))).toBe(false)
  expect(recovered(wonOn('2026-04-01'))).toBe(false)
  expect(recovered(wonOn('2026-04-01', '2026-03-10'), [flag()])).toBe(false)
  expect(recovered(known({}, [], [activity('reply', on('2026-03-10'))]))).toBe(false)
})
