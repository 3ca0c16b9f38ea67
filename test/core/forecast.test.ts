// The accumulator: with and without stalled deals, and never two currencies in one sum.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BLANK_CATEGORY, type State } from '../../src/core/deal.ts'
import { makeForecast } from '../../src/core/forecast.ts'
import { deal } from './build.ts'

describe('forecast', () => {
  test('stalled, parked and answered-no deals are in the value and not in what counts', () => {
    const sums = makeForecast('OMIT')
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
        deals: 4,
        value: 130,
        movingDeals: 1,
        movingValue: 100,
      },
    ])
  })

  test('a borrowed category is counted as what it was, blank included', () => {
    const sums = makeForecast('OMIT')
    sums.add(deal({ amount: 100, category: 'OMIT', own: { categoryBefore: 'COMMIT' } }), 'stalled')
    sums.add(deal({ amount: 20, category: 'OMIT', own: { categoryBefore: BLANK_CATEGORY } }), 'stalled')
    sums.add(deal({ amount: 3, category: 'OMIT' }), 'moving')
    expect(sums.by('category').map(({ category, value }) => [category, value])).toEqual([
      ['COMMIT', 100],
      [null, 20],
      ['OMIT', 3],
    ])
    expect(sums.forecast()).toMatchObject([{ value: 120, movingValue: 0 }])
  })

  test('by month of close date and owner; an empty amount counts as a deal', () => {
    const sums = makeForecast(null)
    sums.add(deal({ closeDate: '2026-11-30', ownerId: 'bob', amount: null }), 'moving')
    sums.add(deal({ closeDate: null }), 'moving')
    expect(sums.by('month', 'owner')).toMatchObject([
      { month: '2026-11', owner: 'bob', deals: 1, value: 0 },
      { month: null, owner: 'ann', deals: 1, value: 10_000 },
    ])
  })

  test('currencies are never added, and every part sums up to the whole of its currency', () => {
    const deals = fc.array(
      fc.record({
        amount: fc.option(fc.integer({ min: 0, max: 1_000_000 }), { nil: null }),
        currency: fc.constantFrom('EUR', 'USD', null),
        closeDate: fc.constantFrom('2026-11-30', '2026-12-31', null),
        ownerId: fc.constantFrom('ann', 'bob', null),
        state: fc.constantFrom<State>('moving', 'stalled', 'parked', 'answered_no', 'closed'),
      }),
    )
    fc.assert(
      fc.property(deals, (list) => {
        const sums = makeForecast('OMIT')
        for (const { state, ...more } of list) sums.add(deal(more), state)
        const whole = sums.by()
        expect(new Set(whole.map(({ currency }) => currency)).size).toBe(whole.length)
        for (const { currency, value, movingValue } of whole) {
          const mine = list.filter((one) => one.currency === currency && one.state !== 'closed')
          expect(value).toBe(mine.reduce((sum, one) => sum + (one.amount ?? 0), 0))
          const parts = sums.by('month', 'owner', 'category').filter((one) => one.currency === currency)
          expect(parts.reduce((sum, one) => sum + one.movingValue, 0)).toBe(movingValue)
        }
      }),
    )
  })
})
