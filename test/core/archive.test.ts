// Putting away what nobody decides on, and bringing it back on a real reply; what deals dead before the first night get.
import { describe, expect, test } from 'vitest'
import type { Deal, Reference } from '../../src/core/deal.ts'
import { activity, change, known, on, reference, settings } from './build.ts'
import { edit, fieldsOf, groups, type NightOptions, night, plan, undo, type World, world, written } from './nights.ts'

const DAY = 86_400_000
const AWAY = { id: 'away', label: 'Archived', order: 9, outcome: 'open', category: 'PIPELINE' } as const
const with_ = (stage: Reference['pipelines'][number]['stages'][number]): Reference => ({
  ...reference,
  pipelines: reference.pipelines.map((one) => (one.id === 'sales' ? { ...one, stages: [...one.stages, stage] } : one)),
})
const archive = { proposeAfterDays: 5, stage: 'away' }
const options = (more: Record<string, unknown> = {}, stage: Parameters<typeof with_>[0] = AWAY): NightOptions => ({
  settings: settings({ archive, ...more }),
  more: { reference: with_(stage) },
})
const usual = options()

const at = (date: string) => on(date, '02:00')
/** Flagged on Tuesday, and six working days later. */
const FLAGGED = at('2026-11-03')
const DUE = at('2026-11-11')
const run = (now: number) => `hub-${now}`
const now = (of: World): Deal => {
  const one = of.deals.get('d1')
  if (!one) throw new Error('d1 is not there')
  return one.deal
}

const reply = (of: World, when: number) => edit(of, 'd1', when, () => ({}), { activities: [activity('reply', when)] })

describe.each([false, true])('a CRM that sets the category with the stage: %s', (resets) => {
  /** A deal in `stage` since early October, flagged on the night of `FLAGGED`. */
  function flagged(stage = 'demo', how = usual): World {
    const moved = on('2026-10-06')
    const since = { createdAt: on('2026-09-21'), modifiedAt: moved, category: 'COMMIT', stageId: stage }
    const of = world(known(since, [change('stage', moved, 'new', stage)], [], on('2026-09-22', '02:00')))
    of.firstNightAt = at('2026-10-07')
    if (resets) of.resets = with_(AWAY)
    night(of, FLAGGED, how)
    expect(now(of)).toMatchObject({ category: 'OMIT', own: { stalled: true } })
    return of
  }
  describe('archiving', () => {
    test('after the days of silence: the stage, still omitted; the task completed; flag and reason stay', () => {
      const of = flagged()
      expect(plan(of, at('2026-11-10'), usual).rows).toEqual([])
      const put = night(of, DUE, usual)
      expect(groups(put)).toEqual(['forecast', 'archive', 'task-done'])
      expect(put.rows.every(({ cause }) => cause === 'archived')).toBe(true)
      expect(fieldsOf(put, 'archive')).toMatchObject({ before: { stage: 'demo' }, after: { stage: 'away' } })
      // The CRM would give the stage's own.
      expect(fieldsOf(put, 'forecast')).toMatchObject({ before: { category: 'OMIT' }, after: { category: 'OMIT' } })
      expect(now(of)).toMatchObject({ stageId: 'away', category: 'OMIT', own: { stalled: true, state: 'stalled' } })
      expect([...of.tasks.values()]).toMatchObject([{ open: false, body: expect.stringContaining('archived') }])
      expect(put.lists.archive).toEqual([])
      for (const later of ['2026-11-12', '2026-12-14', '2027-05-03'])
        expect(night(of, at(later), usual).rows, later).toEqual([])
    })
    test('only proposed without a stage for it, in another pipeline, or where that stage is a lost one', () => {
      const lost = { ...AWAY, outcome: 'lost' } as const
      for (const how of [options({ archive: { proposeAfterDays: 5 } }), options({}, lost), { ...usual, more: {} }]) {
        const of = flagged('demo', how)
        expect(night(of, DUE, how)).toMatchObject({ rows: [], lists: { archive: [{ name: 'Acme rollout' }] } })
      }
    })
    test('not an answered deal, nor one whose category a person put back', () => {
      const answered = flagged('proposal')
      edit(answered, 'd1', FLAGGED + DAY, () => ({ own: { ...now(answered).own, decision: 'maybe' } }))
      expect(groups(night(answered, DUE, usual))).not.toContain('archive')
      const theirs = flagged()
      edit(theirs, 'd1', FLAGGED + DAY, () => ({ category: 'COMMIT' }), {
        changes: [change('category', FLAGGED + DAY, 'OMIT', 'COMMIT')],
      })
      night(theirs, FLAGGED + DAY, usual)
      const due = night(theirs, DUE, usual)
      expect(groups(due)).not.toContain('archive')
      expect(due.lists.archive).toHaveLength(1)
    })
    test('refused by the CRM: the stall goes on, nothing is doubled, and it is proposed from then on', () => {
      const of = flagged()
      night(of, DUE, { ...usual, fate: () => 'refused' })
      const next = night(of, DUE + DAY, usual)
      expect(next).toMatchObject({ rows: [], lists: { archive: [{ name: 'Acme rollout' }] } })
      expect(of.tasks.size).toBe(1)
    })
    test('forecast left alone: the stage, and after it the category that is there', () => {
      const how = options({ forecast: 'amount' })
      const moved = on('2026-10-06')
      const of = world(known({ createdAt: on('2026-09-21'), stageId: 'demo' }, [change('stage', moved, 'new', 'demo')]))
      of.firstNightAt = at('2026-10-07')
      night(of, FLAGGED, how)
      const put = night(of, DUE, how)
      expect(fieldsOf(put, 'archive').after).toEqual({ stage: 'away' })
      expect(fieldsOf(put, 'forecast')).toMatchObject({
        before: { category: 'PIPELINE' },
        after: { category: 'PIPELINE' },
      })
    })
  })

  describe('back from the archive', () => {
    test.each([
      ['demo', 'BEST_CASE'],
      ['proposal', 'BEST_CASE'],
      ['negotiation', 'COMMIT'],
    ])('a reply: to %s, with the category of that stage; its rounds begin anew', (stage, category) => {
      const of = flagged(stage)
      night(of, DUE, usual)
      reply(of, on('2026-11-18'))
      const back = night(of, at('2026-11-19'), usual)
      expect(groups(back)).toEqual(['flag', 'forecast', 'archive'])
      expect(back.rows.every(({ cause }) => cause === 'recovered')).toBe(true)
      expect(now(of)).toMatchObject({ stageId: stage, category, own: { stalled: false, categoryBefore: null } })
      // What was overdue in the old round is not held against it.
      for (const quiet of ['2026-11-20', '2026-11-23', '2026-11-27'])
        expect(night(of, at(quiet), usual).rows, quiet).toEqual([])
      expect(of.standings.get('d1')?.state).toBe('moving')
    })
    test('not a note of the rep, a later close date or an owner', () => {
      const of = flagged()
      night(of, DUE, usual)
      edit(of, 'd1', on('2026-11-18'), () => ({ ownerId: 'bob', closeDate: '2027-12-31' }), {
        activities: [activity('note', on('2026-11-18'))],
        changes: [change('closeDate', on('2026-11-18'), '2027-01-29', '2027-12-31')],
      })
      expect(night(of, at('2026-11-19'), usual).rows).toEqual([])
    })
    test('a person takes it out: their stage, and a new round; it is not put back', () => {
      const of = flagged()
      night(of, DUE, usual)
      const out = on('2026-11-18')
      edit(of, 'd1', out, () => ({ stageId: 'qualified', category: 'PIPELINE' }), {
        changes: [change('stage', out, 'away', 'qualified')],
      })
      expect(groups(night(of, at('2026-11-19'), usual))).toEqual(['flag'])
      expect(now(of)).toMatchObject({ stageId: 'qualified', category: 'PIPELINE', own: { stalled: false } })
      expect(night(of, at('2026-12-02'), usual).rows).toEqual([])
    })
    test('won from there: given back as won', () => {
      const of = flagged()
      night(of, DUE, usual)
      edit(of, 'd1', on('2026-11-18'), () => ({ stageId: 'won', outcome: 'won', category: 'CLOSED' }), {
        changes: [change('stage', on('2026-11-18'), 'away', 'won')],
      })
      expect(groups(night(of, at('2026-11-19'), usual))).toEqual(['flag'])
      expect(now(of)).toMatchObject({ stageId: 'won', category: 'CLOSED', own: { stalled: false } })
    })
    test('what a person archives is left to them: never flagged there, an open stall loses its task', () => {
      const moving = world(known({ createdAt: on('2026-09-21') }))
      moving.firstNightAt = at('2026-09-22')
      const put = (of: World, when: number, from: string) =>
        edit(of, 'd1', when, () => ({ stageId: 'away' }), { changes: [change('stage', when, from, 'away')] })
      put(moving, on('2026-09-23'), 'new')
      expect(night(moving, DUE, usual).rows).toEqual([])
      const stalled = flagged()
      put(stalled, FLAGGED + DAY, 'demo')
      expect(groups(night(stalled, DUE, usual))).toEqual(['task-done'])
      reply(stalled, on('2026-11-18'))
      expect(groups(night(stalled, at('2026-11-19'), usual))).toEqual(['flag', 'forecast'])
      expect(now(stalled).stageId).toBe('away')
    })
  })

  describe('what ends and begins again in the archive', () => {
    test('parked there, and the date is over: flagged as before, without a task; still out of the forecast', () => {
      const of = flagged()
      night(of, DUE, usual)
      edit(of, 'd1', on('2026-11-12'), () => ({
        own: { ...now(of).own, parkedUntil: '2026-11-20', parkedReason: 'seasonal' },
      }))
      night(of, at('2026-11-13'), usual)
      expect(now(of)).toMatchObject({ stageId: 'away', category: 'OMIT', own: { stalled: false, state: 'parked' } })
      const over = night(of, at('2026-11-24'), usual)
      expect(groups(over)).toEqual(['flag'])
      expect(now(of)).toMatchObject({ stageId: 'away', category: 'OMIT', own: { stalled: true, state: 'stalled' } })
      reply(of, on('2026-11-25'))
      night(of, at('2026-11-26'), usual)
      expect(now(of)).toMatchObject({ stageId: 'demo', category: 'BEST_CASE', own: { stalled: false } })
    })
    test('a reply of long before does not bring it back', () => {
      const moved = on('2026-06-02')
      const of = world(known({ stageId: 'demo', closeDate: '2026-06-01' }, [change('stage', moved, 'new', 'demo')]))
      of.firstNightAt = at('2026-06-03')
      night(of, at('2026-06-24'), usual)
      reply(of, on('2026-06-25'))
      edit(of, 'd1', on('2026-09-01'), () => ({ closeDate: '2027-01-29' }), {
        changes: [change('closeDate', on('2026-09-01'), '2026-06-01', '2027-01-29')],
      })
      for (const night_ of ['2026-09-02', '2026-09-15', '2026-09-16', '2026-09-17']) night(of, at(night_), usual)
      expect(now(of)).toMatchObject({ stageId: 'away', category: 'OMIT', own: { stalled: true } })
    })
    test('a category a person chose is there after every move', () => {
      const of = flagged()
      night(of, DUE, usual)
      const chosen = on('2026-11-12')
      edit(of, 'd1', chosen, () => ({ category: 'COMMIT' }), {
        changes: [change('category', chosen, 'OMIT', 'COMMIT')],
      })
      night(of, at('2026-11-13'), usual)
      expect(now(of)).toMatchObject({ stageId: 'away', category: 'COMMIT' })
      reply(of, on('2026-11-18'))
      night(of, at('2026-11-19'), usual)
      expect(now(of)).toMatchObject({ stageId: 'demo', category: 'COMMIT' })
    })
  })

  describe('undo of archiving', () => {
    test('stage and category as they were, the task open again; the night after writes nothing', () => {
      const of = flagged()
      const { modifiedAt: _, ...before } = now(of)
      const tasks = [...of.tasks.values()]
      night(of, DUE, usual)
      const result = undo(of, run(DUE))
      expect(result.conflicts).toEqual([])
      expect(result.rows).toMatchObject([
        { group: 'archive', after: { stage: 'demo' } },
        { group: 'task-done' },
        // The CRM would give the stage's own.
        { group: 'forecast', before: { category: 'OMIT' }, after: { category: 'OMIT' } },
      ])
      expect(now(of)).toMatchObject(before)
      expect([...of.tasks.values()]).toEqual(tasks)
      for (const later of ['2026-11-24', '2026-12-07']) expect(night(of, at(later), usual).rows, later).toEqual([])
    })
    test('together with the flag, where both came in one night', () => {
      const how = options({ firstNight: { oldDeals: { 90: 'archive' } } })
      const of = world(known({ stageId: 'demo', category: 'COMMIT' }))
      const { modifiedAt: _, ...before } = now(of)
      night(of, DUE, how)
      expect(now(of)).toMatchObject({ stageId: 'away', category: 'OMIT' })
      undo(of, run(DUE))
      expect(now(of)).toMatchObject(before)
      expect(night(of, at('2026-11-24'), how).rows).toEqual([])
    })
    test('left where somebody moved it since', () => {
      const of = flagged()
      night(of, DUE, usual)
      edit(of, 'd1', on('2026-11-18'), () => ({ stageId: 'negotiation' }), {
        changes: [change('stage', on('2026-11-18'), 'away', 'negotiation')],
      })
      const result = undo(of, run(DUE))
      expect(result.conflicts).toMatchObject([{ field: 'stage', why: 'changed', wrote: 'away', found: 'negotiation' }])
      expect(now(of).stageId).toBe('negotiation')
    })
    test('after the undo of the night that brought it back: stage, category and flag as before both', () => {
      const of = flagged()
      const { modifiedAt: _, ...before } = now(of)
      night(of, DUE, usual)
      reply(of, on('2026-11-18'))
      const back = at('2026-11-19')
      night(of, back, usual)
      undo(of, run(back), {}, on('2026-11-20'))
      expect(now(of)).toMatchObject({ stageId: 'away', category: 'OMIT' })
      undo(of, run(DUE), {}, on('2026-11-20', '13:00'))
      expect(now(of)).toMatchObject(before)
    })
  })
})

describe('deals dead before the first night', () => {
  const deals = () =>
    world(
      ...[
        ['d1', '2024-01-08'],
        ['d2', '2025-08-04'],
        ['d3', '2026-05-04'],
        ['d4', '2026-10-26'],
      ].map(([id = '', day = '']) => known({ id, name: id, createdAt: on(day) })),
    )
  const how = options({ firstNight: { oldDeals: { 90: 'flag', 260: 'archive', 520: 'nothing' } } })

  test('get by age what is configured, on the first night and on every later one', () => {
    const of = deals()
    const first = night(of, DUE, how)
    expect(first.dead).toMatchObject([
      { fromDays: 90, toDays: 130, gets: 'flag', count: 0 },
      { fromDays: 130, toDays: 260, gets: 'flag', count: 1, value: { EUR: 10_000 } },
      { fromDays: 260, toDays: 520, gets: 'archive', count: 1 },
      { fromDays: 520, toDays: null, gets: 'nothing', count: 1 },
    ])
    const of_ = (id: string) => written(first).flatMap(({ deal, group }) => (deal.id === id ? [group] : []))
    expect(['d1', 'd2', 'd3', 'd4'].map(of_)).toEqual([[], ['flag', 'forecast', 'archive'], ['flag', 'forecast'], []])
    expect(of.tasks.size).toBe(0)
    expect(of.deals.get('d2')?.deal).toMatchObject({ stageId: 'away', category: 'OMIT' })
    const later = night(of, at('2026-11-12'), how)
    expect(later.rows).toEqual([])
    expect(later.dead.map(({ count }) => count)).toEqual([0, 1, 1, 1])
  })
  test('one that was left alone is watched as any other once it has moved', () => {
    const of = deals()
    night(of, DUE, how)
    edit(of, 'd1', on('2026-11-16'), () => ({}), { activities: [activity('reply', on('2026-11-16'))] })
    const of_ = (when: string) => written(night(of, at(when), how)).filter(({ deal }) => deal.id === 'd1')
    expect(of_('2026-11-17')).toEqual([])
    expect(of_('2026-12-16').map(({ group }) => group)).toContain('task')
  })
})
