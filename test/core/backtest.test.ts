// The backtest against values worked out by hand, and the laws it keeps whatever the deals are.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type BacktestOptions,
  backtest,
  ENOUGH,
  FLOOR,
  linesOf,
  type Replayed,
  type StageReport,
  type Stay,
  staysOf,
  survival,
} from '../../src/core/backtest.ts'
import { toDay } from '../../src/core/calendar.ts'
import type { Known } from '../../src/core/deal.ts'
import { activity, change, context, known, on, reference, settings } from './build.ts'

describe('survival', () => {
  test('Kaplan-Meier of the 6-MP arm of the leukemia remission trial (Freireich 1963)', () => {
    const events = [6, 6, 6, 7, 10, 13, 16, 22, 23].map((days) => ({ days, exit: 'on' }) as const)
    const censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35].map((days) => ({ days, exit: null }))
    const steps = survival([...censored, ...events])
    expect(steps.map(({ days, left }) => [days, left.toFixed(3)])).toEqual([
      [6, '0.857'],
      [7, '0.807'],
      [10, '0.753'],
      [13, '0.690'],
      [16, '0.627'],
      [22, '0.538'],
      [23, '0.448'],
    ])
    // With one kind of exit, what has left has moved on.
    for (const { left, on } of steps) expect(on).toBeCloseTo(1 - left, 12)
  })

  test('two kinds of exit, worked by hand: lost deals are not counted as "not yet moved on"', () => {
    const steps = survival([
      { days: 1, exit: 'on' },
      { days: 2, exit: 'off' },
      { days: 3, exit: null },
      { days: 4, exit: 'on' },
    ])
    // On: 1/4, then 1/2 of those left (2/4) at day 4, when one of one moves on: 1/4 + 1/2 = 3/4.
    expect(steps).toEqual([
      { days: 1, left: 3 / 4, on: 1 / 4 },
      { days: 2, left: expect.closeTo(1 / 2), on: 1 / 4 },
      { days: 4, left: 0, on: expect.closeTo(3 / 4) },
    ])
    expect(survival([])).toEqual([])
  })
})

const NOW = on('2026-06-01')
const stays = (one: Known, more: Record<string, unknown> = {}, policy: Record<string, unknown> = {}) =>
  staysOf(one, context(settings(more, policy)), null, NOW)
const days = (some: readonly Stay[]) =>
  some.map(({ stageId, outcome, silences }) => [stageId, outcome, silences.map((one) => one.days)])
const won = { stageId: 'won', outcome: 'won' } as const

describe('the stays of a deal', () => {
  // 2026-01-05 is a Monday.
  const path = [
    change('stage', on('2026-01-05'), null, 'new'),
    change('stage', on('2026-01-12'), 'new', 'demo'),
    change('stage', on('2026-02-02'), 'demo', 'won'),
  ]

  test('silence runs from the last movement to the next, in working days', () => {
    expect(days(stays(known(won, path)))).toEqual([
      ['new', 'won', [5]],
      ['demo', 'won', [15]],
    ])
    const reply = activity('reply', on('2026-01-22'))
    expect(days(stays(known(won, path, [reply]))).at(1)).toEqual(['demo', 'won', [8]])
    // A note is not movement.
    expect(days(stays(known(won, path, [activity('note', on('2026-01-22'))]))).at(1)).toEqual(['demo', 'won', [15]])
    const early = activity('reply', on('2026-01-14'))
    expect(days(stays(known(won, path, [early]))).at(1)).toEqual(['demo', 'won', [2, 13]])
  })

  test('holidays and closures are no silence', () => {
    const off = { holidays: ['2026-01-13'], closures: ['2026-01-19/2026-01-23'] }
    expect(days(stays(known(won, path), off)).at(1)).toEqual(['demo', 'won', [9]])
  })

  test('a move that does not count leaves the clock where it was: silence goes on in the next stage', () => {
    const back = [...path.slice(0, 2), change('stage', on('2026-01-19'), 'demo', 'qualified')]
    const [, demo, qualified] = stays(
      known({ stageId: 'lost', outcome: 'lost' }, [...back, change('stage', on('2026-02-02'), 'qualified', 'lost')]),
    )
    expect(demo?.silences).toEqual([{ days: 5, after: 0, closed: 15 }])
    expect(qualified?.silences).toEqual([{ days: 15, after: 5, closed: 15 }])
    expect(demo?.visits).toEqual([{ from: toDay('2026-01-12'), days: 5, exit: 'off' }])
  })

  test('of an open deal only the present silence counts, and only where it is', () => {
    const open = stays(known({ stageId: 'demo' }, path.slice(0, 2), [activity('meeting', on('2026-05-25'))]))
    expect(days(open)).toEqual([
      ['new', 'passed', [5]],
      ['demo', 'open', [5]],
    ])
    expect(open.at(1)?.visits).toEqual([{ from: toDay('2026-01-12'), days: 100, exit: null }])
    const today = stays(known({ stageId: 'demo' }, path.slice(0, 2), [activity('meeting', NOW)]))
    expect(days(today).at(1)).toEqual(['demo', 'open', [0]])
  })

  test('a reopened deal stays twice in one stage; while it was closed it was nowhere', () => {
    const again = [
      ...path.slice(0, 2),
      change('stage', on('2026-01-19'), 'demo', 'lost'),
      change('stage', on('2026-03-02'), 'lost', 'demo'),
      change('stage', on('2026-03-12'), 'demo', 'won'),
    ]
    const [, demo] = stays(known(won, again))
    expect(demo?.silences.map((one) => one.days)).toEqual([5, 8])
    expect(demo?.visits.map(({ days, exit }) => [days, exit])).toEqual([
      [5, 'off'],
      [8, 'on'],
    ])
    expect(demo).toMatchObject({ entered: toDay('2026-01-12'), until: toDay('2026-03-12') })
  })

  test('what history cannot tell is left out', () => {
    expect(stays(known(won))).toEqual([])
    expect(days(stays(known(won, [change('stage', on('2026-02-02'), undefined, 'won')])))).toEqual([])
    expect(stays(known({ ...won, type: 'renewal' }, path), {}, { exclude: { types: ['renewal'] } })).toEqual([])
  })
})

/** Days of silence in `demo`, as in the CSV: nothing but when a deal came and went. */
const stay = (outcome: 'won' | 'lost' | 'open', idle: number, more: Partial<Stay> = {}): Stay => ({
  ...{
    pipelineId: 'sales',
    stageId: 'demo',
    outcome,
    amount: 100,
    currency: 'EUR',
    entered: 1000 - 2 * idle,
    until: 1000,
  },
  silences: [{ days: idle, after: 0, closed: idle }],
  visits: [{ from: 900, days: idle, exit: outcome === 'open' ? null : outcome === 'won' ? 'on' : 'off' }],
  ...more,
})
const options: BacktestOptions = { from: 500, today: 1000, share: 0.1, seed: 1 }
const run = (some: readonly Stay[], more: Partial<BacktestOptions> = {}, policy: Record<string, unknown> = {}) =>
  backtest(some, { reference, policy: settings({}, policy).policy }, { ...options, ...more })
const first = (reports: readonly StageReport[]): StageReport => {
  const [report] = reports
  if (!report) throw new Error('no report')
  return report
}
const upTo = (n: number) => Array.from({ length: n }, (_, i) => stay('won', i + 1))

describe('the recommendation', () => {
  test('is the smallest limit that flags at most a tenth of the won deals', () => {
    const report = first(run(upTo(40)))
    expect(report).toMatchObject({ basis: 'data', won: 40, current: 15 })
    expect(report.recommended).toMatchObject({ limit: 36, wrong: 4 })
    expect(first(run(upTo(40), { share: 0 })).recommended).toMatchObject({ limit: 40, wrong: 0 })
    // 0.29 × 100 is 28.999… in binary.
    expect(first(run(upTo(100), { share: 0.29 })).recommended).toMatchObject({ limit: 71, wrong: 29 })
    const [low, high] = report.range ?? [0, 0]
    expect(low).toBeLessThanOrEqual(36)
    expect(high).toBeGreaterThanOrEqual(36)
    expect(low).toBeGreaterThan(28)
  })

  test('is never below five working days', () => {
    expect(first(run(Array.from({ length: 40 }, () => stay('won', 1)))).recommended.limit).toBe(FLOOR)
  })

  test('is what practitioners use below thirty won deals, and says so', () => {
    const few = upTo(ENOUGH - 1)
    expect(first(run(few))).toMatchObject({ basis: 'default', range: null, recommended: { limit: 15 } })
    // Also where the company has set another one; decision stages have their own.
    const set = first(run(few, {}, { idleDays: { default: 33 }, decision: { stages: ['demo'] } }))
    expect(set).toMatchObject({ basis: 'default', current: 10, recommended: { limit: 10 } })
    expect(linesOf(set).map(({ say }) => say)).toContain('default')
    expect(first(run(upTo(ENOUGH)))).toMatchObject({ basis: 'data' })
  })
})

describe('what a limit would have done', () => {
  test('lost deals: how long before the loss was recorded; open ones: what they are worth', () => {
    const lost = [10, 20, 40].map((idle) => stay('lost', idle))
    // Silence of 12 days, then movement, then lost 30 days after the clock began.
    const early = stay('lost', 12, { silences: [{ days: 12, after: 0, closed: 30 }] })
    const open = [
      stay('open', 50),
      stay('open', 60, { currency: 'USD' }),
      stay('open', 70, { amount: null }),
      stay('open', 1),
    ]
    const report = first(run([...upTo(30), ...lost, early, ...open]))
    const at = (limit: number) => report.limits.find((one) => one.limit === limit)
    // Flagged on the first day beyond the limit: 20 - 11, 40 - 11, 30 - 11.
    expect(at(10)).toMatchObject({ wrong: 20, caught: 3, warning: 19, open: 3, value: { EUR: 100, USD: 100 } })
    expect(at(30)).toMatchObject({ wrong: 0, caught: 1, warning: 9 })
    expect(at(45)).toMatchObject({ caught: 0, warning: null, open: 3 })
  })

  test('a deal that came into the stage already silent is flagged when it comes', () => {
    const late = stay('lost', 30, { silences: [{ days: 30, after: 25, closed: 30 }] })
    expect(first(run([late])).limits.find(({ limit }) => limit === 10)).toMatchObject({ caught: 1, warning: 5 })
  })

  test('the longest way to won in calendar days, and the open deals that are older', () => {
    const report = first(run([...upTo(30), stay('open', 31), stay('open', 30), stay('open', 400)]))
    expect(report.longest).toEqual({ days: 60, open: 2, value: { EUR: 200 } })
    expect(linesOf(report)[0]).toMatchObject({ say: 'longest', with: { days: 60, older: 2, open: 3 } })
    expect(linesOf(first(run([stay('lost', 3)])))[0]).toMatchObject({ say: 'none_won' })
  })

  test('open deals are unfinished, not lost: the median and who moves on', () => {
    const half = [...upTo(30), ...Array.from({ length: 31 }, () => stay('open', 100))]
    expect(first(run(half)).median).toBeNull()
    expect(first(run(upTo(30))).median).toBe(15)
    // 20 of 30 are left after ten days, all of which move on.
    expect(first(run(upTo(30))).limits.find(({ limit }) => limit === 10)?.movesOn).toBeCloseTo(1)
    expect(first(run(half)).limits.find(({ limit }) => limit === 10)?.movesOn).toBeCloseTo(20 / 51)
    // Fewer than ten left: nothing is claimed.
    expect(first(run(upTo(30))).limits.find(({ limit }) => limit === 26)?.movesOn ?? null).toBeNull()
  })

  test('deals closed before the window and excluded stages do not count', () => {
    expect(run([stay('won', 3, { until: 499 })])).toEqual([])
    expect(run(upTo(40), {}, { exclude: { stages: ['demo'] } })).toEqual([])
    expect(run([stay('open', 3, { outcome: 'passed' })])).toEqual([])
  })
})

describe('laws', () => {
  const any = fc.array(
    fc
      .record({
        outcome: fc.constantFrom('won', 'won', 'lost', 'open'),
        idle: fc.integer({ min: 0, max: 300 }),
        stageId: fc.constantFrom('demo', 'demo', 'proposal'),
      })
      .map(({ outcome, idle, stageId }) => stay(outcome, idle, { stageId })),
    { maxLength: 120 },
  )
  const share = fc.integer({ min: 0, max: 50 }).map((percent) => percent / 100)

  test('a larger limit never flags more', () => {
    const rising = (values: readonly number[]) => values.every((n, i) => n <= (values[i - 1] ?? Infinity))
    const law = (all: readonly Stay[]) => {
      for (const { limits } of run(all))
        for (const count of ['wrong', 'caught', 'open'] satisfies readonly (keyof Replayed)[])
          expect(rising(limits.map((one) => one[count]))).toBe(true)
    }
    fc.assert(fc.property(any, law))
  })

  test('a recommendation from data never flags more than the share, and one day less would (or is the floor)', () => {
    fc.assert(
      fc.property(any, share, (all, share) => {
        for (const { basis, won, recommended, range, stageId } of run(all, { share })) {
          if (basis === 'default') continue
          expect(recommended.wrong / won).toBeLessThanOrEqual(share + 1e-12)
          const { limit } = recommended
          const less = all.filter((one) => one.outcome === 'won' && one.stageId === stageId)
          const flagged = less.filter(({ silences }) => (silences[0]?.days ?? 0) > limit - 1).length
          expect(limit === FLOOR || flagged / won > share).toBe(true)
          expect(range?.[0]).toBeLessThanOrEqual(range?.[1] ?? 0)
        }
      }),
    )
  })

  test('the same deals in any order give the same report', () => {
    const shuffled = any.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })))
    const law = ([all, mixed]: readonly [readonly Stay[], readonly Stay[]]) => {
      expect(run(mixed)).toEqual(run(all))
    }
    fc.assert(fc.property(shuffled, law), { numRuns: 50 })
  })

  test('survival falls from one to nothing, and nobody moves on who has not left', () => {
    const visit = fc.record({
      days: fc.integer({ min: 0, max: 60 }),
      exit: fc.constantFrom<('on' | 'off' | null)[]>('on', 'off', null),
    })
    fc.assert(
      fc.property(fc.array(visit), (visits) => {
        let before = { left: 1, on: 0 }
        for (const step of survival(visits)) {
          expect(step.left).toBeLessThan(before.left)
          expect(step.on).toBeGreaterThanOrEqual(before.on)
          expect(step.left + step.on).toBeLessThanOrEqual(1 + 1e-9)
          before = step
        }
      }),
    )
  })
})
