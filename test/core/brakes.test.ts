// What needs the whole plan: share, cap, preview, budget and the order in which deals get what there is.
import { describe, expect, test } from 'vitest'
import type { Known } from '../../src/core/deal.ts'
import { type DealIntent, noTotals, planDeal, previewKey } from '../../src/core/plan.ts'
import { known, on, settings } from './build.ts'
import {
  contextOf,
  groups,
  itemOf,
  type NightOptions,
  night,
  plan,
  says,
  type World,
  wholePlan,
  world,
  written,
} from './nights.ts'

const N0 = on('2026-11-02', '02:00')
const N1 = on('2026-11-03', '02:00')
const N2 = on('2026-11-04', '02:00')
const some = (n: number, more: (i: number) => Parameters<typeof known>[0] = () => ({})): Known[] =>
  Array.from({ length: n }, (_, i) => {
    const one = known({ id: `d${String(i).padStart(3, '0')}`, ...more(i) })
    return { ...one, ref: { connection: 'hub', id: one.deal.id } }
  })
const bySuffix =
  (stalled: (id: string) => boolean): NonNullable<NightOptions['verdicts']> =>
  ({ ref }) =>
    says(stalled(ref.id) ? 'stalled' : 'moving', N0)
const all: NightOptions = { verdicts: () => says('stalled', N0) }
const tasks = (limit: number) => settings({ tasks: { perOwnerPerWeek: limit } })
const noTasks = settings({ tasks: { enabled: false } })

function later(deals: Known[]): World {
  const of = world(...deals)
  of.firstNightAt = N0
  return of
}

describe('share of newly stalled deals', () => {
  const first = (n: number) => bySuffix((id) => Number(id.slice(1)) < n)
  test('more than 15 % and more than 20: nothing at all is written, and the plan says why', () => {
    const of = later(some(200))
    const braked = night(of, N1, { verdicts: first(31) })
    expect(written(braked)).toEqual([])
    expect(new Set(braked.rows.map(({ hold }) => JSON.stringify(hold)))).toEqual(
      new Set([JSON.stringify({ brake: 'share', newlyStalled: 31, open: 200, limit: 0.15 })]),
    )
    expect(braked).toMatchObject({ standings: [], transitions: [] })
    expect(of.standings.size).toBe(0)
    expect(night(of, N2, { verdicts: first(30) }).figures.newlyStalled).toBe(30)
  })
  test('clean-ups are held as well', () => {
    const of = later(some(40))
    night(of, N1, { verdicts: first(1), settings: noTasks })
    const braked = night(of, N2, { verdicts: bySuffix((id) => id !== 'd000'), settings: noTasks })
    expect(written(braked)).toEqual([])
    expect(of.standings.get('d000')?.state).toBe('stalled')
  })
  test.each([
    ['20 of 20', 20, 20],
    ['15 % exactly', 30, 200],
  ])('not at %s', (_, stalled, open) => {
    expect(plan(later(some(open)), N1, { verdicts: first(stalled) }).figures.held.share).toBeUndefined()
  })
  test('not on the first night, nor for stalls that were open before', () => {
    const of = world(...some(100))
    expect(night(of, N0, all).figures.held.share).toBeUndefined()
    expect(night(of, N1, all).figures).toMatchObject({ newlyStalled: 0, stalled: 100 })
  })
})

describe('cap per run', () => {
  const cap = (maxWritesPerRun: number) => settings({ tasks: { enabled: false }, brakes: { maxWritesPerRun } })
  test('a deal is written whole or waits; what waits opens no stall and comes the next night', () => {
    const of = world(...some(4))
    const one = night(of, N0, { ...all, settings: cap(5) })
    expect(one.figures).toMatchObject({ writes: 4, held: { cap: 4 } })
    expect([...of.standings.keys()]).toEqual(['d000', 'd001'])
    expect(one.rows.at(-1)?.hold).toEqual({ brake: 'cap', limit: 5 })
    const two = night(of, N1, { ...all, settings: cap(5) })
    expect(two.figures).toMatchObject({ writes: 4, newlyStalled: 2 })
    expect(of.standings.get('d003')?.stall?.startedAt).toBe(N1)
  })
  test('clean-ups go first', () => {
    const of = world(...some(3))
    night(of, N0, { verdicts: bySuffix((id) => id === 'd002'), settings: cap(100) })
    const next = night(of, N1, { verdicts: bySuffix((id) => id !== 'd002'), settings: cap(2) })
    expect(written(next).map((row) => [row.deal.id, row.cause])).toEqual([
      ['d002', 'recovered'],
      ['d002', 'recovered'],
    ])
  })
  test('a deal held by the cap takes nothing from the weekly budget', () => {
    // The first in order needs three writes, the second, omitted already, needs two: all there is.
    const of = world(...some(2, (i) => (i === 0 ? { amount: 2 } : { amount: 1, category: 'OMIT' })))
    const limits = settings({ tasks: { perOwnerPerWeek: 1 }, brakes: { maxWritesPerRun: 2 } })
    const first = plan(of, N0, { ...all, settings: limits })
    expect(first.rows.map((row) => `${row.deal.id} ${row.group} ${row.hold?.brake ?? 'go'}`)).toEqual([
      'd000 flag cap',
      'd000 forecast cap',
      'd000 task cap',
      'd001 flag go',
      'd001 task go',
    ])
  })
})

describe('weekly budget per person', () => {
  test('at most N new tasks per person and week over all connections; the rest is held with the numbers', () => {
    const of = world(...some(6, (i) => ({ ownerId: i < 5 ? 'ann' : 'bob' })))
    const tasksThisWeek = new Map([['ann@example.com', 1]])
    const first = night(of, N0, { ...all, more: { tasksThisWeek } })
    expect(written(first).filter((row) => row.group === 'task')).toHaveLength(3)
    expect(first.figures.held).toEqual({ budget: 3 })
    expect(first.rows.find((row) => row.hold)?.hold).toEqual({
      brake: 'budget',
      owner: 'ann@example.com',
      limit: 3,
      week: '2026-W45',
    })
    expect(first.standings).toHaveLength(6)
  })
  test('e-mail in lower case is one person', () => {
    const of = world(...some(1))
    const more = { tasksThisWeek: new Map([['ann@example.com', 3]]) }
    expect(groups(plan(of, N0, { ...all, more }))).toEqual(['flag', 'forecast'])
  })

  const order = (of: World, now: number, options: NightOptions) =>
    plan(of, now, options).rows.flatMap((row) => (row.group === 'task' ? [row.deal.id] : []))
  test('decision rules first, then most recently stalled, then amount in company currency, then others, then id', () => {
    const of = world(
      ...some(7, (i) => ({
        amount: [5, 5, 7, 900, 3, 5, null][i] ?? null,
        currency: i === 3 ? 'USD' : 'EUR',
      })),
    )
    const old = ['d004', 'd005']
    night(of, N0, { verdicts: bySuffix((id) => old.includes(id)), settings: tasks(0) })
    const verdicts: NightOptions['verdicts'] = ({ ref }) =>
      says('stalled', N1, { rule: ref.id === 'd004' ? 'decision_overdue' : 'no_movement' })
    expect(order(of, N1, { verdicts })).toEqual(['d004', 'd002', 'd000', 'd001', 'd003', 'd006', 'd005'])
  })
  test('ten working days of waiting go before everything', () => {
    const of = world(...some(2))
    night(of, N0, { verdicts: bySuffix((id) => id === 'd001'), settings: tasks(0) })
    const verdicts: NightOptions['verdicts'] = ({ ref }) =>
      says('stalled', N1, { rule: ref.id === 'd000' ? 'decision_overdue' : 'no_movement' })
    expect(order(of, on('2026-11-13', '02:00'), { verdicts })).toEqual(['d000', 'd001'])
    expect(order(of, on('2026-11-16', '02:00'), { verdicts })).toEqual(['d001', 'd000'])
  })
})

describe('confirmed preview', () => {
  test('what was not in it waits a night, flag and category of one deal together', () => {
    const of = world(...some(3))
    const shown = plan(of, N0, { verdicts: bySuffix((id) => id !== 'd002') })
    const keys = new Set(shown.rows.map(previewKey).filter((key) => key !== '["d001","task","create-task"]'))
    const real = night(of, N0, { ...all, more: { confirm: { preview: 'hub-p1', keys } } })
    expect(written(real).map((row) => `${row.deal.id} ${row.group}`)).toEqual([
      'd000 flag',
      'd000 forecast',
      'd000 task',
      'd001 flag',
      'd001 forecast',
    ])
    expect(real.rows.at(-1)?.hold).toEqual({ brake: 'not_in_preview', preview: 'hub-p1' })
    expect([...of.standings.keys()]).toEqual(['d000', 'd001'])
    expect(written(night(of, N1, all)).map((row) => `${row.deal.id} ${row.group}`)).toEqual([
      'd002 flag',
      'd002 forecast',
      'd002 task',
      'd001 task',
    ])
  })
})

test('a deal whose data could not be read is held alone and does not advance', () => {
  const of = world(...some(2))
  const context = contextOf(N0)
  const totals = noTotals()
  const intents = [...of.deals.values()].map((one) => {
    const item = itemOf(of, one, context, all)
    return planDeal({ ...item, unreadable: one.ref.id === 'd000' }, context, totals)
  })
  const result = wholePlan(
    intents.filter((one): one is DealIntent => one !== null),
    totals,
    context,
  )
  expect(result.rows.map((row) => [row.deal.id, row.hold?.brake ?? 'go'])).toEqual([
    ...Array(3).fill(['d000', 'stale_snapshot']),
    ...Array(3).fill(['d001', 'go']),
  ])
  expect(result.standings.map(({ deal: ref }) => ref.id)).toEqual(['d001'])
})

test('the order in which deals were read changes nothing', () => {
  const deals = some(30, (i) => ({ ownerId: i % 3 ? 'ann' : 'bob', amount: i % 4 }))
  const options = { ...all, settings: settings({ brakes: { maxWritesPerRun: 50 } }) }
  expect(JSON.stringify(plan(world(...deals.toReversed()), N0, options))).toBe(
    JSON.stringify(plan(world(...deals), N0, options)),
  )
})
