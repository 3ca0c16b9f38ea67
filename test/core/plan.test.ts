// One deal at a time: which rows tonight needs, by the table of states, the forecast's give and take, tasks.
import { describe, expect, test } from 'vitest'
import { BLANK_CATEGORY, type Deal } from '../../src/core/deal.ts'
import type { Verdict } from '../../src/core/judge.ts'
import { NEW_STANDING } from '../../src/core/stall.ts'
import { change, deal, known, on, reference, settings } from './build.ts'
import { apply, edit, fieldsOf, groups, type NightOptions, night, plan, says, world, written } from './nights.ts'

const DAYS = ['02', '03', '04', '05', '06', '09', '10', '11', '12', '13', '16', '17', '18', '19', '20']
const night_ = (n: number) => on(`2026-11-${DAYS[n]}`, '02:00')
const N0 = night_(0)
const N1 = night_(1)
const N2 = night_(2)
type State = Verdict['state']
const as = (state: State, more: Partial<Verdict> = {}): NightOptions => ({ verdicts: () => says(state, N0, more) })

/** A deal flagged on night 0 with everything done. */
function stalled(more: Parameters<typeof known>[0] = {}, options: NightOptions = {}) {
  const of = world(known(more))
  const first = night(of, N0, { ...as('stalled'), ...options })
  return { of, first }
}
const now = (of: ReturnType<typeof world>): Deal => {
  const one = of.deals.get('d1')
  if (!one) throw new Error('d1 is not there')
  return one.deal
}

describe('states to fields', () => {
  test('a moving deal that never had anything of ours is not written at all', () => {
    const of = world(known())
    const quiet = night(of, N0, as('moving'))
    expect(quiet).toMatchObject({ rows: [], standings: [], transitions: [] })
    expect(quiet.figures).toMatchObject({ open: 1, stalled: 0, writes: 0 })
    expect(now(of).own.state).toBeNull()
  })
  test('stalled: flag, state, since, reason, words, category omitted and remembered, one task', () => {
    const { of, first } = stalled()
    expect(groups(first)).toEqual(['flag', 'forecast', 'task'])
    expect(fieldsOf(first, 'flag')).toMatchObject({
      key: `hub-${N0}.d1.flag`,
      cause: 'flagged',
      rule: 'no_movement',
      before: { stalled: false, state: null, since: null, reason: null, explanation: null, categoryBefore: null },
      after: { stalled: true, state: 'stalled', since: N0, reason: 'no_movement', categoryBefore: 'PIPELINE' },
    })
    expect(now(of)).toMatchObject({ category: 'OMIT', own: { explanation: 'no_movement since 2026-10-03' } })
    expect(of.standings.get('d1')).toMatchObject({
      state: 'stalled',
      borrowed: { category: 'PIPELINE', stage: 'new', at: N0 },
    })
    expect(written(first)[2]).toMatchObject({ owner: 'ann', person: 'ann@example.com', due: '2026-11-04' })
    expect(first.figures).toMatchObject({ stalled: 1, newlyStalled: 1, writes: 3 })
  })
  test('planned again, or the next nights: nothing', () => {
    const { of } = stalled()
    expect(plan(of, N0, as('stalled'))).toMatchObject({ rows: [], standings: [], transitions: [] })
    for (const at of [N1, N2]) expect(night(of, at, as('stalled')).rows).toEqual([])
  })
  test('dates that move by themselves are not written for their own sake', () => {
    const { of } = stalled()
    expect(night(of, N1, { verdicts: () => says('stalled', N1, { lastMovement: N1 - 5 }) }).rows).toEqual([])
  })
  test('another reason: reason and words again, no second task', () => {
    const { of } = stalled()
    const next = night(of, N1, as('stalled', { rule: 'close_date_passed' }))
    expect(groups(next)).toEqual(['flag'])
    expect(fieldsOf(next, 'flag')).toMatchObject({
      cause: 'reason_changed',
      before: { reason: 'no_movement' },
      after: { reason: 'close_date_passed', explanation: 'close_date_passed since 2026-10-03' },
    })
    expect(Object.keys(fieldsOf(next, 'flag').after)).toEqual(['reason', 'explanation'])
  })
  test.each([
    [
      'moving',
      'recovered',
      { stalled: false, state: 'moving', since: null, reason: null, explanation: null },
      'PIPELINE',
    ],
    ['parked', 'parked', { stalled: false, state: 'parked', since: null, reason: null, explanation: null }, 'OMIT'],
    ['answered_no', 'answered_no', { stalled: false, state: 'answered_no', since: null, reason: null }, 'OMIT'],
    ['closed', 'closed', { stalled: false, state: 'moving', since: null, reason: null, explanation: null }, 'PIPELINE'],
  ] as const)('stalled -> %s: flag lifted, task completed with a note', (state, cause, own, category) => {
    const { of } = stalled()
    const next = night(of, N1, as(state))
    expect(now(of)).toMatchObject({ own, category })
    expect(now(of).own.categoryBefore).toBe(category === 'OMIT' ? 'PIPELINE' : null)
    expect(next.rows.every((row) => row.cause === cause)).toBe(true)
    expect([...of.tasks.values()]).toMatchObject([
      { open: false, body: `last chance: no\n\nCompleted by unstall: ${cause}, 2026-11-03.` },
    ])
    expect(night(of, N2, as(state)).rows).toEqual([])
    expect(of.standings.get('d1')?.borrowed === null).toBe(category !== 'OMIT')
  })
  test.each(['parked', 'answered_no'] as const)(
    '%s without ever being stalled: no flag, category borrowed',
    (state) => {
      const of = world(known())
      expect(groups(night(of, N0, as(state)))).toEqual(['flag', 'forecast'])
      expect(now(of)).toMatchObject({ category: 'OMIT', own: { stalled: false, state, categoryBefore: 'PIPELINE' } })
      expect(night(of, N1, as(state)).rows).toEqual([])
      night(of, N2, as('moving'))
      expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { state: 'moving', categoryBefore: null } })
    },
  )
  test('a closed deal is never newly flagged and, cleaned up, never written', () => {
    const of = world(known({ outcome: 'won', stageId: 'won' }))
    expect(night(of, N0, as('closed'))).toMatchObject({ rows: [], standings: [] })
    expect(night(of, N1, as('closed')).figures.open).toBe(0)
  })
  test('a refused flag is tried again with the same start', () => {
    const { of, first } = stalled({}, { fate: (row) => (row.group === 'task' ? 'dropped' : 'refused') })
    expect(groups(first)).toHaveLength(3)
    const next = night(of, N1, as('stalled'))
    expect(groups(next)).toEqual(['flag', 'forecast', 'task'])
    expect(fieldsOf(next, 'flag')).toMatchObject({ cause: 'flagged', after: { since: N0 } })
    expect(next.figures.newlyStalled).toBe(0)
  })
  test('excluded after it was flagged: lifted, and the cause says so', () => {
    const { of } = stalled()
    const next = night(of, N1, as('moving', { protection: { kind: 'excluded', what: 'stage' } }))
    expect(new Set(next.rows.map((row) => row.cause))).toEqual(new Set(['excluded']))
  })
  test('a deal that could not be read tonight is held and does not advance', () => {
    const of = world(known())
    const held = night(of, N0, { ...as('stalled'), unreadable: true })
    expect(held.rows.map((row) => row.hold)).toEqual(Array(3).fill({ brake: 'stale_snapshot' }))
    expect(held).toMatchObject({ standings: [], transitions: [] })
  })
})

describe('the forecast category', () => {
  test('blank is remembered as blank and given back', () => {
    const { of, first } = stalled({ category: null })
    expect(fieldsOf(first, 'flag').after.categoryBefore).toBe(BLANK_CATEGORY)
    night(of, N1, as('moving'))
    expect(now(of).category).toBeNull()
  })
  test.each([
    ['stage unchanged: the saved value', { stageId: 'new' }, 'PIPELINE'],
    ['stage changed: what the new stage maps to', { stageId: 'negotiation' }, 'COMMIT'],
    ['stage changed, no mapping: the saved value', { pipelineId: 'renewals', stageId: 'r_offer' }, 'PIPELINE'],
    ['won: the closed category', { stageId: 'won', outcome: 'won' }, 'CLOSED'],
    ['the new stage itself is omitted: left', { stageId: 'lost', outcome: 'lost' }, 'OMIT'],
    ['no longer what we wrote: left', { category: 'COMMIT' }, 'COMMIT'],
  ] as const)('given back, %s', (_, edited, category) => {
    const { of } = stalled()
    edit(of, 'd1', N0 + 9000, () => edited)
    const next = night(of, N1, as(now(of).outcome === 'open' ? 'moving' : 'closed'))
    expect(now(of)).toMatchObject({ category, own: { categoryBefore: null, state: 'moving' } })
    expect(groups(next).includes('forecast')).toBe(category !== 'OMIT' && !('category' in edited))
    expect(night(of, N2, as(now(of).outcome === 'open' ? 'moving' : 'closed')).rows).toEqual([])
  })
  test('won where the CRM has no closed category: the saved value', () => {
    const more = { reference: { ...reference, closedCategory: null } }
    const { of } = stalled({}, { more })
    edit(of, 'd1', N0 + 9000, () => ({ stageId: 'won', outcome: 'won' }))
    night(of, N1, { ...as('closed'), more })
    expect(now(of).category).toBe('PIPELINE')
  })
  test('put back by the CRM with a stage change: written again, the new value remembered', () => {
    const { of } = stalled()
    edit(of, 'd1', N0 + 9000, () => ({ stageId: 'demo', category: 'BEST_CASE' }))
    const next = night(of, N1, as('stalled'))
    expect(fieldsOf(next, 'forecast')).toMatchObject({ cause: 'reasserted', after: { category: 'OMIT' } })
    expect(now(of)).toMatchObject({ category: 'OMIT', own: { categoryBefore: 'BEST_CASE' } })
    expect(night(of, N2, as('stalled')).rows).toEqual([])
    night(of, night_(3), as('moving'))
    expect(now(of).category).toBe('BEST_CASE')
  })
  test('put back by a workflow without a stage change: written again', () => {
    const { of } = stalled()
    const one = of.deals.get('d1')
    if (one)
      of.deals.set('d1', { ...one, changes: [change('category', N0 + 9000, 'OMIT', 'PIPELINE', { by: 'automation' })] })
    edit(of, 'd1', N0 + 9000, () => ({ category: 'PIPELINE' }))
    expect(groups(night(of, N1, as('stalled')))).toEqual(['forecast'])
  })
  test.each([
    ['the CRM says so in the name of who moved the stage', [change('category', N0 + 9000, 'OMIT', 'PIPELINE')]],
    ['and the stage is back where it was', []],
  ])('put back with a stage change and back: written again; %s', (_, more) => {
    const { of } = stalled()
    const changes = [change('stage', N0 + 8000, 'new', 'demo'), change('stage', N0 + 9000, 'demo', 'new'), ...more]
    edit(of, 'd1', N0 + 9000, () => ({ category: 'PIPELINE' }), { changes })
    expect(groups(night(of, N1, as('stalled')))).toEqual(['forecast'])
  })
  test('put back by a person after the stage moved: theirs, the stage does not map to it', () => {
    const { of } = stalled()
    edit(of, 'd1', N0 + 9000, () => ({ stageId: 'demo' }), { changes: [change('stage', N0 + 9000, 'new', 'demo')] })
    expect(groups(night(of, N1, as('stalled')))).not.toContain('forecast')
    edit(of, 'd1', N1 + 9000, () => ({ category: 'COMMIT' }))
    for (const at of [N2, night_(3)]) expect(groups(night(of, at, as('stalled')))).not.toContain('forecast')
    expect(now(of).category).toBe('COMMIT')
  })
  test('put back by the CRM, and the write of the night after was dropped: written again', () => {
    const { of } = stalled()
    const moved = [change('stage', N0 + 9000, 'new', 'demo')]
    edit(of, 'd1', N0 + 9000, () => ({ stageId: 'demo', category: 'BEST_CASE' }), { changes: moved })
    const standing = of.standings.get('d1')
    const borrowed = { category: 'BEST_CASE', stage: 'demo', at: N1 }
    if (standing) of.standings.set('d1', { ...standing, borrowed })
    expect(groups(night(of, N2, as('stalled')))).toContain('forecast')
  })
  test('put back and then omitted by a person: not given back', () => {
    const { of } = stalled()
    edit(of, 'd1', N0 + 9000, () => ({ category: 'COMMIT' }))
    night(of, N1, as('stalled'))
    edit(of, 'd1', N1 + 9000, () => ({ category: 'OMIT' }))
    expect(groups(night(of, N2, as('moving')))).toEqual(['flag', 'task-done'])
    expect(now(of).category).toBe('OMIT')
  })
  test('put back, then omitted by a person, and the word that it is theirs was dropped: not given back', () => {
    const { of } = stalled()
    edit(of, 'd1', N0 + 9000, () => ({ category: 'COMMIT' }))
    night(of, N1, as('parked'))
    edit(of, 'd1', N1 + 9000, () => ({ category: 'OMIT' }))
    night(of, N2, { ...as('stalled'), fate: () => 'dropped' })
    night(of, night_(3), as('stalled'))
    expect(now(of)).toMatchObject({ category: 'OMIT', own: { stalled: true, categoryBefore: null } })
    expect(written(plan(of, night_(3), as('stalled')))).toEqual([])
    night(of, night_(4), as('moving'))
    expect(now(of).category).toBe('OMIT')
  })
  test('put back by a person: theirs for the rest of this stall, not for the next', () => {
    const { of } = stalled()
    edit(of, 'd1', N0 + 9000, () => ({ category: 'COMMIT' }))
    for (const at of [N1, N2]) expect(night(of, at, as('stalled')).rows).toEqual([])
    expect(of.standings.get('d1')?.categoryTheirs).toBe(true)
    expect(groups(night(of, night_(3), as('moving')))).toEqual(['flag', 'task-done'])
    expect(now(of).category).toBe('COMMIT')
    expect(groups(night(of, night_(4), as('stalled')))).toEqual(['flag', 'forecast', 'task'])
  })
  test('omitted by a person before: nothing to borrow, nothing to give back', () => {
    const { of, first } = stalled({ category: 'OMIT' })
    expect(groups(first)).toEqual(['flag', 'task'])
    expect(of.standings.get('d1')?.borrowed).toBeNull()
    expect(groups(night(of, N1, as('moving')))).toEqual(['flag', 'task-done'])
    expect(now(of).category).toBe('OMIT')
  })
  test.each(['amount', 'none'])('forecast: %s leaves the field alone', (forecast) => {
    const options = { ...as('stalled'), settings: settings({ forecast }) }
    const { of, first } = stalled({}, options)
    expect(groups(first)).toEqual(['flag', 'task'])
    expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { categoryBefore: null } })
  })
  test('switched off while borrowed: given back, the flag stays', () => {
    const { of } = stalled()
    night(of, N1, { ...as('stalled'), settings: settings({ forecast: 'none' }) })
    expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { stalled: true, categoryBefore: null } })
  })
  test('a CRM without an omitted value: nothing is borrowed', () => {
    expect(groups(stalled({}, { more: { reference: { ...reference, omitted: null } } }).first)).toEqual([
      'flag',
      'task',
    ])
  })
  test('refused once: no loan, so it is tried again and nothing is given back for it', () => {
    const { of } = stalled({}, { fate: (row) => (row.group === 'forecast' ? 'refused' : 'done') })
    expect(groups(plan(of, N1, as('stalled')))).toEqual(['forecast'])
    edit(of, 'd1', N0 + 9000, () => ({ category: 'OMIT' })) // a person, now
    expect(groups(night(of, N1, as('moving')))).toEqual(['flag', 'task-done'])
    expect(now(of).category).toBe('OMIT')
  })
})

describe('wrong flag', () => {
  test('a person clears the flag: forecast given back, task completed, silent, counted', () => {
    const { of } = stalled()
    edit(of, 'd1', N0 + 9000, (one) => ({ own: { ...one.own, stalled: false } }))
    const next = night(of, N1, as('stalled'))
    expect(next.rows.every((row) => row.cause === 'dismissed')).toBe(true)
    expect(groups(next)).toEqual(['flag', 'forecast', 'task-done'])
    expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { stalled: false, state: 'moving', reason: null } })
    expect(of.standings.get('d1')).toMatchObject({ state: 'moving', dismissedAt: N1 })
    expect(next.figures).toMatchObject({ dismissed: 1, stalled: 0, recovered: 0 })
    expect(night(of, N2, as('moving')).rows).toEqual([])
  })
  test('cleared, and parked while it was stalled: parked that very night, counted all the same', () => {
    const { of } = stalled()
    const parked = { parkedUntil: '2027-01-15', parkedReason: 'seasonal', stalled: false }
    edit(of, 'd1', N0 + 9000, (one) => ({ own: { ...one.own, ...parked } }))
    const next = night(of, N1, as('stalled'))
    expect(groups(next)).toEqual(['flag', 'task-done'])
    expect(now(of)).toMatchObject({ category: 'OMIT', own: { state: 'parked', categoryBefore: 'PIPELINE' } })
    expect(next).toMatchObject({ figures: { dismissed: 1 }, lists: { flagCleared: [{ deal: { id: 'd1' } }] } })
    expect(next.transitions).toMatchObject([{ from: 'stalled', to: 'parked', evidence: { dismissed: true } }])
    expect(plan(of, N1).rows).toEqual([])
  })
  test('what they cleared may stall again later: a new stall, a new task', () => {
    const { of } = stalled()
    edit(of, 'd1', N0 + 9000, (one) => ({ own: { ...one.own, stalled: false } }))
    night(of, N1, as('stalled'))
    expect(groups(night(of, night_(14), as('stalled')))).toEqual(['flag', 'forecast', 'task'])
    expect(of.tasks.size).toBe(2)
  })
})

describe('tasks', () => {
  test.each(['planned', 'sent', 'left'] as const)('never planned twice for one stall: %s', (status) => {
    const { of } = stalled({}, { fate: (row) => (row.group === 'task' ? status : 'done') })
    expect(plan(of, N1, as('stalled')).rows).toEqual([])
  })
  test.each(['held', 'dropped', 'refused'] as const)('but again when it never came to be: %s', (status) => {
    const { of } = stalled({}, { fate: (row) => (row.group === 'task' ? status : 'done') })
    expect(groups(plan(of, N1, as('stalled')))).toEqual(['task'])
  })
  test.each([
    ['nobody owns the deal', { ownerId: null }, {}, { brake: 'no_owner' }],
    ['the owner has left', { ownerId: 'gone' }, {}, { brake: 'owner_left' }],
    ['the owner is unknown', { ownerId: 'who' }, {}, { brake: 'owner_left' }],
    ['a new owner', {}, { newOwnerUntil: '2026-11-05' }, { brake: 'new_owner', until: '2026-11-05' }],
  ] as const)('held: %s; the flag is written all the same', (_, more, verdict, hold) => {
    const { first } = stalled(more, as('stalled', verdict))
    expect(groups(first)).toEqual(['flag', 'forecast'])
    expect(first.rows.find((row) => row.group === 'task')?.hold).toEqual(hold)
    expect(first.lists.ownerLeft).toHaveLength(hold.brake === 'owner_left' ? 1 : 0)
    expect(first.standings).toHaveLength(1)
  })
  test('switched off: none, not even held', () => {
    const { first } = stalled({}, { settings: settings({ tasks: { enabled: false } }) })
    expect(first.rows.map((row) => row.group)).toEqual(['flag', 'forecast'])
  })
  test('chased before: the earlier decision task is known to the text', () => {
    const { of } = stalled({}, as('stalled', { rule: 'decision_overdue' }))
    night(of, N1, as('moving'))
    night(of, N2, as('stalled', { rule: 'decision_overdue' }))
    expect([...of.tasks.values()].map((task) => task.body.split('\n')[0])).toEqual([
      'last chance: no',
      'last chance: yes',
    ])
  })
  test('a completion that was refused is tried again, one that a person forestalled is not', () => {
    for (const [status, again] of [
      ['refused', ['task-done']],
      ['left', []],
      ['done', []],
    ] as const) {
      const { of } = stalled()
      night(of, N1, { ...as('moving'), fate: (row) => (row.group === 'task-done' ? status : 'done') })
      expect(groups(plan(of, N2, as('moving')))).toEqual(again)
    }
  })
  test('dead since before the first night: flag and age block, never a task', () => {
    const lastMovement = on('2026-01-05')
    const { of, first } = stalled({}, as('stalled', { idleDays: 210, lastMovement }))
    expect(groups(first)).toEqual(['flag', 'forecast'])
    expect(of.standings.get('d1')?.stall?.dead).toBe(true)
    expect(first.dead).toEqual([
      { fromDays: 90, toDays: 130, gets: 'flag', count: 0, value: {} },
      { fromDays: 130, toDays: 260, gets: 'flag', count: 1, value: { EUR: 10_000 } },
      { fromDays: 260, toDays: 520, gets: 'flag', count: 0, value: {} },
      { fromDays: 520, toDays: null, gets: 'flag', count: 0, value: {} },
    ])
    expect(night(of, N1, as('stalled', { idleDays: 211, lastMovement })).rows).toEqual([])
  })
  test('also when it was held on the first night; but not what died after it', () => {
    for (const [lastMovement, dead] of [
      [on('2026-01-05'), true],
      [on('2026-10-05'), false],
    ] as const) {
      const of = world(known())
      of.firstNightAt = N0
      night(of, N1, as('stalled', { idleDays: 200, lastMovement }))
      expect(of.standings.get('d1')?.stall?.dead).toBe(dead)
    }
  })
  test('not for the days on which its owner was away', () => {
    const away = settings({ absences: { 'ann@example.com': ['2026-06-01/2026-08-31'] } })
    const of = world(known())
    of.firstNightAt = N0
    night(of, N1, { ...as('stalled', { lastMovement: on('2026-05-18') }), settings: away })
    expect(of.standings.get('d1')?.stall?.dead).toBe(false)
  })
})

describe('the answer of an earlier date', () => {
  const decision = { due: '2026-11-20', derived: false, answer: 'maybe', answerIsOfEarlierDate: true } as const
  const own = { decision: 'maybe', decisionDue: '2026-11-20' } as const
  test('is emptied, once, and stays when taken back', () => {
    const of = world(known({ own }))
    const first = night(of, N0, as('moving', { decision }))
    expect(first.rows).toMatchObject([
      { group: 'answer', cause: 'new_decision_date', before: { decision: 'maybe' }, after: { decision: null } },
    ])
    expect(plan(of, N1, as('moving', { decision })).rows).toEqual([])
    of.ledger = of.ledger.map((row) => ({ ...row, status: 'undone' }))
    edit(of, 'd1', N1, (one) => ({ own: { ...one.own, decision: 'maybe' } }))
    expect(plan(of, N2, as('moving', { decision })).rows).toEqual([])
  })
  test('not on a closed or excluded deal', () => {
    const excluded = { protection: { kind: 'excluded', what: 'type' }, decision } as const
    expect(plan(world(known({ own })), N0, as('moving', excluded)).rows).toEqual([])
    expect(plan(world(known({ own })), N0, as('closed', { decision })).rows).toEqual([])
  })
})

describe('after a lost database', () => {
  test('flag and loan are adopted from the CRM: nothing is written twice, and everything can be given back', () => {
    const { of } = stalled()
    const [task] = of.tasks.values()
    const one = of.deals.get('d1')
    // Older than the loan: nobody's word on it.
    if (one) of.deals.set('d1', { ...one, changes: [change('category', N0 - 9000, 'COMMIT', 'PIPELINE')] })
    of.ledger = []
    of.standings.clear()
    const next = night(of, N1, {
      ...as('stalled'),
      fate: () => 'done',
      more: {},
      settings: settings({ tasks: { enabled: false } }),
    })
    expect(next.rows).toEqual([])
    expect(of.standings.get('d1')).toMatchObject({ stall: { startedAt: N0 }, borrowed: { category: 'PIPELINE' } })
    expect(of.tasks.has(of.standings.get('d1')?.stall?.taskKey ?? '')).toBe(true)
    expect(night(of, N2, { ...as('stalled'), settings: settings({ tasks: { enabled: false } }) }).rows).toEqual([])
    night(of, night_(3), as('moving'))
    expect(now(of)).toMatchObject({ category: 'PIPELINE', own: { stalled: false, categoryBefore: null } })
    expect(task?.open).toBe(true)
  })
})

test('lists for the manager: no, still open; stalled long without an answer', () => {
  const of = world(known())
  const warned = as('answered_no', { warnings: [{ kind: 'no_still_open', sinceWorkingDays: 6 }] })
  expect(night(of, N0, warned).lists.noStillOpen).toMatchObject([{ deal: { id: 'd1' }, owner: 'ann', amount: 10_000 }])
  const { of: old } = stalled()
  expect(plan(old, on('2026-11-30', '02:00'), as('stalled')).lists.archive).toEqual([])
  expect(plan(old, on('2026-12-01', '02:00'), as('stalled')).lists.archive).toMatchObject([{ since: N0 }])
})

test('a stored standing follows the deal even where there is nothing to write', () => {
  const of = world(known({ stageId: 'won', outcome: 'won' }))
  of.standings.set('d1', NEW_STANDING('moving', N0 - 1))
  expect(night(of, N0, as('closed')).transitions).toMatchObject([{ from: 'moving', to: 'closed' }])
  expect(night(of, N1, as('moving')).transitions).toMatchObject([{ from: 'closed', to: 'moving' }])
})

test('a row that reached the CRM but not the observation is not written again', () => {
  const of = world(known())
  const first = plan(of, N0, as('stalled'))
  const before = deal()
  for (const row of first.rows) apply(of, row, N0, 'done', 'r')
  for (const { deal: ref, standing } of first.standings) of.standings.set(ref.id, standing)
  const one = of.deals.get('d1')
  if (one) of.deals.set('d1', { ...one, deal: before })
  expect(plan(of, N1, as('stalled')).rows).toEqual([])
})
