// The accumulator: with and without stalled deals, and never two currencies in one sum.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BLANK_CATEGORY, type State } from '../../src/core/deal.ts'
import { makeForecast, PARTS } from '../../src/core/forecast.ts'
import { deal, reference } from './build.ts'

describe('forecast', () => {
  test('stalled, parked and answered-no deals are in the value and not in what counts', () => {
    const sums = makeForecast(reference)
    sums.add(deal({ amount: 100 }), 'moving')
    for (const state of ['stalled', 'parked', 'answered_no'] as const) sums.add(deal({ amount: 10 }), state)
    sums.add(deal({ amount: 1000, outcome: 'won' }), 'closed')
    sums.add(deal({ amount: 1000 }), 'gone')
    expect(sums.by()).toEqual([
      {
        currency: 'EUR',
        month: null,
        category: null,
        owner: null,
        team: null,
        pipeline: null,
        deals: 4,
        value: 130,
        forecast: 130,
        movingDeals: 1,
        movingValue: 100,
        movingForecast: 100,
      },
    ])
  })

  test('a borrowed category is counted as what it was, blank included', () => {
    const sums = makeForecast(reference)
    sums.add(deal({ amount: 100, category: 'OMIT', own: { categoryBefore: 'COMMIT' } }), 'stalled')
    sums.add(deal({ amount: 20, category: 'OMIT', own: { categoryBefore: BLANK_CATEGORY } }), 'stalled')
    sums.add(deal({ amount: 3, category: 'OMIT' }), 'moving')
    expect(sums.by('category').map(({ category, value }) => [category, value])).toEqual([
      ['COMMIT', 100],
      ['OMIT', 3],
      [null, 20],
    ])
    expect(sums.by()).toMatchObject([{ value: 123, forecast: 120, movingValue: 3, movingForecast: 0 }])
  })

  test('by month of close date and owner; an empty amount counts as a deal', () => {
    const sums = makeForecast({ ...reference, omitted: null })
    sums.add(deal({ closeDate: '2026-11-30', ownerId: 'bob', amount: null }), 'moving')
    sums.add(deal({ closeDate: null }), 'moving')
    expect(sums.by('month', 'owner')).toMatchObject([
      { month: '2026-11', owner: 'bob', deals: 1, value: 0 },
      { month: null, owner: 'ann', deals: 1, value: 10_000 },
    ])
  })

  test('team and pipeline; an owner without a team, and one who is unknown', () => {
    const sums = makeForecast(reference)
    sums.add(deal({ ownerId: 'bob', amount: 1 }), 'moving')
    sums.add(deal({ ownerId: 'gone', amount: 2, pipelineId: 'renewals' }), 'stalled')
    sums.add(deal({ ownerId: 'nobody', amount: 4 }), 'moving')
    expect(sums.parts().team.map(({ of, value, movingValue }) => [of, value, movingValue])).toEqual([
      ['south', 3, 1],
      [null, 4, 4],
    ])
    expect(sums.parts().pipeline.map(({ of, value }) => [of, value])).toEqual([
      ['renewals', 2],
      ['sales', 5],
    ])
  })

  test('no deal counts twice: per currency and to the cent, every grouping adds up, and moving + stalled = all', () => {
    const deals = fc.array(
      fc.record({
        cents: fc.option(fc.integer({ min: -1_000, max: 1_000_000_000 }), { nil: null }),
        currency: fc.constantFrom('EUR', 'USD', null),
        closeDate: fc.constantFrom('2026-11-30', '2026-12-31', null),
        ownerId: fc.constantFrom('ann', 'bob', 'unknown', null),
        pipelineId: fc.constantFrom('sales', 'renewals'),
        category: fc.constantFrom('OMIT', 'COMMIT', null),
        own: fc.constantFrom({}, { categoryBefore: 'COMMIT' }, { categoryBefore: BLANK_CATEGORY }),
        state: fc.constantFrom<State>('moving', 'stalled', 'parked', 'answered_no', 'closed', 'gone'),
      }),
      { maxLength: 60 },
    )
    const cents = (value: number) => Math.round(value * 100)
    const add = <T>(list: readonly T[], value: (one: T) => number) => list.reduce((sum, one) => sum + value(one), 0)
    fc.assert(
      fc.property(deals, (list) => {
        const sums = makeForecast(reference)
        for (const { state, cents, ...more } of list)
          sums.add(deal({ ...more, amount: cents === null ? null : cents / 100 }), state)
        const parts = sums.parts()
        expect(new Set(parts.total.map(({ currency }) => currency)).size).toBe(parts.total.length)
        for (const whole of parts.total) {
          const mine = list.filter(
            (one) => one.currency === whole.currency && one.state !== 'closed' && one.state !== 'gone',
          )
          const moving = mine.filter(({ state }) => state === 'moving')
          const still = mine.filter(({ state }) => state !== 'moving')
          expect([whole.deals, whole.movingDeals]).toEqual([mine.length, moving.length])
          expect(cents(whole.value)).toBe(add(mine, (one) => one.cents ?? 0))
          expect(cents(whole.movingValue)).toBe(add(moving, (one) => one.cents ?? 0))
          expect(cents(whole.value) - cents(whole.movingValue)).toBe(add(still, (one) => one.cents ?? 0))
          for (const grouping of [...PARTS.map((part) => parts[part]), sums.by(...PARTS), sums.by('month', 'owner')]) {
            const some = grouping.filter((one) => one.currency === whole.currency)
            for (const key of ['value', 'movingValue', 'forecast', 'movingForecast'] as const)
              expect(add(some, (one) => cents(one[key]))).toBe(cents(whole[key]))
            expect(add(some, (one) => one.deals)).toBe(whole.deals)
          }
        }
      }),
    )
  })
})
