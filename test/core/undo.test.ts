// Taking a run back: field by field, only what nobody else touched, weeks later, after later runs; and what stays put.
import { describe, expect, test } from 'vitest'
import type { Deal } from '../../src/core/deal.ts'
import type { Verdict } from '../../src/core/judge.ts'
import { known, on } from './build.ts'
import { edit, type NightOptions, night, plan, says, undo, type World, world, written } from './nights.ts'

const N0 = on('2026-11-02', '02:00')
const N1 = on('2026-11-03', '02:00')
const N2 = on('2026-11-04', '02:00')
const U = on('2026-11-23', '09:00')
const as = (state: Verdict['state'], more: Partial<Verdict> = {}): NightOptions => ({
  verdicts: () => says(state, N0, more),
})
const now = (of: World): Deal => {
  const one = of.deals.get('d1')
  if (!one) throw new Error('d1 is not there')
  return one.deal
}

const run = (at: number) => `hub-${at}`
const content = ({ modifiedAt: _, ...deal }: Deal) => deal

describe('a run that flagged', () => {
  test('everything goes back as it was, the task is deleted, and the next night does not put it back', () => {
    const of = world(known())
    const before = content(now(of))
    night(of, N0, as('stalled'))
    const result = undo(of, run(N0))
    expect(content(now(of))).toEqual(before)
    expect(of.tasks.size).toBe(0)
    expect(result).toMatchObject({ conflicts: [], left: [], transitions: [{ from: 'stalled', to: 'moving' }] })
    expect(result.rows.map((row) => [row.key, row.kind, row.cause, row.undoes])).toEqual([
      ['hub-u1.d1.flag', 'fields', 'undo', `hub-${N0}.d1.flag`],
      ['hub-u1.d1.forecast', 'fields', 'undo', `hub-${N0}.d1.forecast`],
      ['hub-u1.d1.task', 'delete-task', 'undo', `hub-${N0}.d1.task`],
    ])
    expect(of.standings.get('d1')).toMatchObject({
      state: 'moving',
      stall: null,
      borrowed: null,
      undone: { state: 'stalled', stall: N0 },
    })
    expect(night(of, U + 1, as('stalled'))).toMatchObject({ rows: [], transitions: [] })
  })
  test('--again: a new stall with a new task', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    undo(of, run(N0))
    const next = night(of, U + 1, { ...as('stalled'), again: 'd1' })
    expect(written(next).map((row) => row.group)).toEqual(['flag', 'forecast', 'task'])
    expect(now(of).own.since).toBe(U + 1)
  })
  test('once it would have ended, a later stall is a new one', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    undo(of, run(N0))
    night(of, U + 1, as('moving'))
    expect(of.standings.get('d1')?.undone).toBeNull()
    expect(written(night(of, U + 2, as('stalled')))).toHaveLength(3)
  })
  test('fields that somebody changed are left and reported, the others go back', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    edit(of, 'd1', N1, (one) => ({ category: 'COMMIT', own: { ...one.own, explanation: 'mine' } }))
    const { conflicts, left } = undo(of, run(N0))
    expect(conflicts).toEqual([
      expect.objectContaining({ field: 'explanation', why: 'changed', found: 'mine' }),
      expect.objectContaining({ field: 'category', why: 'changed', wrote: 'OMIT', found: 'COMMIT' }),
    ])
    expect(left).toEqual([`hub-${N0}.d1.forecast`])
    expect(now(of)).toMatchObject({ category: 'COMMIT', own: { stalled: false, since: null, explanation: 'mine' } })
    expect(night(of, U + 1, as('stalled')).rows).toEqual([])
  })
  test.each([
    ['task_closed', { open: false }],
    ['task_text', { body: 'called them' }],
    ['task_text', { subject: 'Call' }],
    ['task_due', { due: '2027-01-01' }],
    ['task_owner', { owner: 'bob' }],
  ])('a task that somebody touched stays: %s %o', (why, touched) => {
    const of = world(known())
    night(of, N0, as('stalled'))
    for (const [key, task] of of.tasks) of.tasks.set(key, { ...task, ...touched })
    const { conflicts, left } = undo(of, run(N0))
    expect(conflicts).toMatchObject([{ group: 'task', field: null, why }])
    expect(left).toEqual([`hub-${N0}.d1.task`])
    expect(of.tasks.size).toBe(1)
  })
  test('a task that is gone is reported', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    of.tasks.clear()
    expect(undo(of, run(N0)).conflicts).toMatchObject([{ why: 'task_gone' }])
  })
  test.each(['gone', 'unreadable'] as const)('a deal that is %s: nothing is written, and the report says so', (why) => {
    const of = world(known())
    night(of, N0, as('stalled'))
    const { conflicts, standings, left } = undo(of, run(N0), { [why]: true })
    expect(conflicts.map((one) => one.why)).toEqual([why, why])
    expect(standings).toEqual([])
    // What cannot be read today may be taken back tomorrow.
    expect(left).toHaveLength(why === 'gone' ? 2 : 0)
  })
  test('only what was done is taken back', () => {
    const of = world(known())
    night(of, N0, { ...as('stalled'), fate: (row) => (row.group === 'flag' ? 'done' : 'refused') })
    expect(undo(of, run(N0)).rows.map((row) => row.group)).toEqual(['flag'])
  })
})

describe('after later runs', () => {
  test('what a later run changed again is that run’s to take back', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    night(of, N1, as('stalled', { rule: 'close_date_passed' }))
    const { conflicts } = undo(of, run(N0))
    expect(conflicts.map(({ field, why, run: by }) => [field, why, by])).toEqual([
      ['reason', 'later_run', run(N1)],
      ['explanation', 'later_run', run(N1)],
    ])
    expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { stalled: false, reason: 'close_date_passed' } })
  })
  test('a value that neither of us wrote is somebody’s', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    night(of, N1, as('moving'))
    edit(of, 'd1', N2, () => ({ category: 'COMMIT' }))
    const { conflicts, rows } = undo(of, run(N0))
    expect(conflicts.find((one) => one.field === 'category')).toMatchObject({ why: 'changed', found: 'COMMIT' })
    expect(conflicts.find((one) => one.group === 'task')).toMatchObject({ why: 'later_run', run: run(N1) })
    expect(rows).toMatchObject([{ after: { lastMovement: null } }])
    expect(of.standings.get('d1')).toMatchObject({ state: 'moving', undone: { state: 'moving' } })
  })
  test('undoing the later one first makes room for the earlier one', () => {
    const of = world(known())
    const before = content(now(of))
    night(of, N0, as('stalled'))
    night(of, N1, as('moving'))
    undo(of, run(N1), {}, U)
    expect(now(of)).toMatchObject({ category: 'OMIT', own: { stalled: true, since: N0, categoryBefore: 'PIPELINE' } })
    expect([...of.tasks.values()]).toMatchObject([{ open: true, body: 'last chance: no' }])
    expect(of.standings.get('d1')).toMatchObject({
      state: 'stalled',
      stall: { startedAt: N0 },
      borrowed: { category: 'PIPELINE' },
    })
    undo(of, run(N0), {}, U + 1)
    expect(content(now(of))).toEqual(before)
    expect(of.tasks.size).toBe(0)
  })
  test('the other way round ends the same: the later one does not bring back what was taken back before', () => {
    const of = world(known())
    const before = content(now(of))
    night(of, N0, as('stalled'))
    night(of, N1, as('stalled', { rule: 'close_date_passed' }))
    night(of, N2, as('moving'))
    for (const [at, one] of [N0, N2, N1].entries()) undo(of, run(one), {}, U + at)
    expect(content(now(of))).toEqual(before)
    expect(of.tasks.size).toBe(0)
  })
})

describe('weeks later', () => {
  const category = (to: Partial<Deal>) => {
    const of = world(known())
    night(of, N0, as('stalled'))
    edit(of, 'd1', N1, () => to)
    const { conflicts } = undo(of, run(N0))
    expect(now(of).own).toMatchObject({ stalled: false, categoryBefore: null })
    return [now(of).category, conflicts.map(({ field, why }) => [field, why])]
  }
  test('the category goes back as a night would give it back', () => {
    expect(category({})).toEqual(['PIPELINE', []])
    expect(category({ stageId: 'negotiation' })).toEqual(['COMMIT', []])
    expect(category({ stageId: 'won', outcome: 'won' })).toEqual(['CLOSED', []])
    expect(category({ stageId: 'lost', outcome: 'lost' })).toEqual(['OMIT', [['category', 'omitted']]])
  })
  test('nothing of ours is put back on a deal that is closed by now', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    edit(of, 'd1', N1, () => ({ outcome: 'won', stageId: 'won' }))
    night(of, N1, as('closed'))
    const { conflicts, rows } = undo(of, run(N1))
    expect(conflicts.map(({ group, why }) => [group, why])).toEqual([
      ['flag', 'closed'],
      ['forecast', 'closed'],
      ['task-done', 'closed'],
    ])
    expect(rows).toEqual([])
    expect(now(of)).toMatchObject({ category: 'CLOSED', own: { stalled: false } })
  })
  test.each(['parked', 'answered_no'] as const)('a later %s night does not borrow the category again', (state) => {
    const of = world(known())
    night(of, N0, as('stalled'))
    night(of, N1, as(state))
    undo(of, run(N0))
    expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { state, categoryBefore: null } })
    expect(night(of, U + 1, as(state)).rows).toEqual([])
    night(of, U + 2, as('moving'))
    expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { state: 'moving' } })
  })
  test('a flag that a person cleared ends the stall as theirs, though a reason was taken back', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    night(of, N1, as('stalled', { rule: 'close_date_passed' }))
    edit(of, 'd1', N2, (one) => ({ own: { ...one.own, stalled: false } }))
    undo(of, run(N1))
    const after = night(of, U + 1, as('stalled'))
    expect(after.figures.dismissed).toBe(1)
    expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { stalled: false, state: 'moving' } })
  })
})

describe('a run that lifted or parked', () => {
  test('an undone lifting, or another reason, stays undone while the verdict is the same', () => {
    for (const verdict of [as('moving'), as('stalled', { rule: 'close_date_passed' })]) {
      const of = world(known())
      night(of, N0, as('stalled'))
      night(of, N1, verdict)
      undo(of, run(N1))
      expect(night(of, U + 1, verdict).rows).toEqual([])
      expect(now(of).own).toMatchObject({ stalled: true, since: N0, reason: 'no_movement' })
      expect(night(of, U + 2, { ...verdict, again: 'd1' }).rows).not.toEqual([])
    }
  })
  test('an undone lifting: same stall again; still stalled by the rules, nothing more is written', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    night(of, N1, as('moving'))
    undo(of, run(N1))
    expect(plan(of, U + 1, as('stalled')).rows).toEqual([])
  })
  test('an undone parking is final until it ends', () => {
    const of = world(known())
    night(of, N0, as('parked'))
    undo(of, run(N0))
    expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { state: null } })
    expect(night(of, U + 1, as('parked')).rows).toEqual([])
    night(of, U + 2, as('moving'))
    expect(night(of, U + 3, as('parked')).rows).toHaveLength(2)
  })
  test('a deal closed since stays closed in the record', () => {
    const of = world(known())
    night(of, N0, as('stalled'))
    edit(of, 'd1', N1, () => ({ outcome: 'won', stageId: 'won' }))
    undo(of, run(N0))
    expect(of.standings.get('d1')?.state).toBe('closed')
    expect(now(of).own.stalled).toBe(false)
  })
})
