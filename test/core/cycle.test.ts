// How long won deals took, by hand: calendar days, and those without the time a deal stood still.
import { describe, expect, test } from 'vitest'
import { closedAt, cycleOf, cyclesOf, median } from '../../src/core/cycle.ts'
import type { Change } from '../../src/core/deal.ts'
import { movementLog } from '../../src/core/movement.ts'
import { activity, change, context, known, on } from './build.ts'

const NOW = on('2026-09-01')
// A Monday; without movement `new` stands still from the 16th working day on: Tuesday, 27 January.
const CREATED = on('2026-01-05')
const won = (at: string, changes: readonly Change[] = [], ...more: Parameters<typeof activity>[]) =>
  known(
    { outcome: 'won', stageId: 'won', createdAt: CREATED, closeDate: at },
    [...changes, change('stage', on(at), changes.at(-1)?.to ?? 'new', 'won')],
    more.map((one) => activity(...one)),
  )
const cycle = (one: ReturnType<typeof known>, steps: Parameters<typeof cycleOf>[2] = []) =>
  cycleOf(one, movementLog(one, [], context(), null, NOW), steps, context())

describe('sales cycle', () => {
  test('from creation to won, nothing stood still', () => {
    expect(cycle(won('2026-01-19'))).toEqual({ days: 14, activeDays: 14, stalled: false })
    // The last day of the limit, and the first day beyond it.
    expect(cycle(won('2026-01-27'))).toEqual({ days: 22, activeDays: 22, stalled: false })
    expect(cycle(won('2026-01-28'))).toEqual({ days: 23, activeDays: 22, stalled: true })
  })

  test('days beyond the limit of the stage do not count as active, until the buyer moves again', () => {
    const one = won('2026-03-06', [], ['reply', on('2026-02-26')])
    expect(cycle(one)).toEqual({ days: 60, activeDays: 60 - 30, stalled: true })
  })

  test('each stage has its own limit, and weak movement does not end a standstill', () => {
    // Proposal: ten working days from 12 January, still from the 27th; the amount alone wakes nobody.
    const proposal = change('stage', on('2026-01-12'), 'new', 'proposal')
    const amount = change('amount', on('2026-02-10'), '100', '200')
    expect(cycle(won('2026-02-17', [proposal]))).toEqual({ days: 43, activeDays: 22, stalled: true })
    const { activeDays } = cycle(won('2026-02-17', [proposal, amount])) ?? {}
    expect(activeDays).toBe(22)
  })

  test('what unstall recorded counts too, and no day is taken off twice', () => {
    const steps = [
      { at: on('2026-01-20'), to: 'parked' as const },
      { at: on('2026-01-23'), to: 'moving' as const },
      { at: on('2026-01-26'), to: 'stalled' as const },
      { at: on('2026-01-30'), to: 'closed' as const },
    ]
    // Parked 20 to 23; stalled from the 26th; by the log still from the 27th: within it.
    expect(cycle(won('2026-01-30'), steps)).toEqual({ days: 25, activeDays: 25 - 3 - 4, stalled: true })
  })

  test('not known: open, lost, imported, without any date of closing', () => {
    expect(cycle(known())).toBeNull()
    expect(cycle(known({ outcome: 'lost', stageId: 'lost' }))).toBeNull()
    expect(cycle(known({ outcome: 'won', stageId: 'won', imported: true }))).toBeNull()
    const undated = known({ outcome: 'won', stageId: 'won', closeDate: null })
    expect(cycle(undated)).toBeNull()
    expect(closedAt(known({ outcome: 'won', stageId: 'won', closeDate: '2026-02-01' }), context())).toBe(
      Date.parse('2026-02-01'),
    )
  })

  test('average and median: all, without those that stalled, in active days', () => {
    const cycles = [
      { days: 10, activeDays: 10, stalled: false },
      { days: 20, activeDays: 20, stalled: false },
      { days: 93, activeDays: 41, stalled: true },
    ]
    expect(cyclesOf(cycles, 2)).toEqual({
      all: { deals: 3, mean: 41, median: 20 },
      withoutStalled: { deals: 2, mean: 15, median: 15 },
      active: { deals: 3, mean: 23.7, median: 20 },
      leftOut: 2,
    })
    expect(cyclesOf([], 0).all).toEqual({ deals: 0, mean: null, median: null })
    expect(median([4, 1, 3])).toBe(3)
  })
})
