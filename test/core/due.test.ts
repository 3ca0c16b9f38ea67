// Time passes locally. The law: judging only what changed and what fell due plans byte for byte what judging everything
// plans, whatever people do between the nights; and a deal that is not due would need nothing at any moment until then.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toDate, toDay } from '../../src/core/calendar.ts'
import type { Activity, Change, Deal, Instant, Known } from '../../src/core/deal.ts'
import { NEVER, type Planned, planAndCount } from '../../src/core/due.ts'
import { makeForecast } from '../../src/core/forecast.ts'
import { addTotals, type DealIntent, type LedgerStatus, noTotals, type PlanContext } from '../../src/core/plan.ts'
import { activity, change, known, on, reference, settings } from './build.ts'
import {
  contextOf,
  edit,
  itemOf,
  type NightOptions,
  night,
  plan,
  tasksThisWeek,
  type World,
  wholePlan,
  world,
} from './nights.ts'

const DAY = 86_400_000
const BEGAN = '2026-01-06'
const when = fc.integer({ min: 0, max: 72 * 24 }).map((hours) => on(BEGAN) + hours * 3_600_000)
const date = fc.integer({ min: -20, max: 220 }).map((n) => toDate(toDay(BEGAN) + n))
const STAGES = ['new', 'qualified', 'demo', 'proposal', 'negotiation'] as const
const field = (name: Change['field'], to: fc.Arbitrary<string | null>) =>
  fc.tuple(when, to).map(([at, value]): Change => change(name, at, undefined, value))
const changes = fc.array(
  fc.oneof(
    field('stage', fc.constantFrom(...STAGES, 'lost')),
    field('closeDate', fc.option(date, { nil: null })),
    field('decision', fc.constantFrom('yes', 'no', 'maybe', null)),
    field('decisionDue', date),
    field('parkedUntil', fc.option(date, { nil: null })),
    field('parkedReason', fc.constantFrom('seasonal', 'seasonal', null)),
    field('owner', fc.constantFrom('ann', 'bob')),
  ),
  { maxLength: 8 },
)
const kinds = fc.constantFrom<Activity['kind']>('reply', 'meeting', 'call', 'note')
const activities = fc.array(
  fc.tuple(when, kinds).map(([at, kind]) => activity(kind, at)),
  { maxLength: 2 },
)
const booked = (from: Instant) =>
  fc.option(
    fc.record({
      id: fc.constantFrom('m1', 'm2'),
      at: fc.integer({ min: -5, max: 60 }).map((n) => from + n * DAY),
      outside: fc.constantFrom(true, null, false),
      series: fc.constantFrom(null, 's'),
    }),
    { nil: null, freq: 1 },
  )
const company = fc
  .array(
    fc.record({
      changes,
      activities,
      meeting: booked(on(BEGAN) + 61 * DAY),
      imported: fc.boolean(),
      age: fc.integer({ min: 0, max: 300 }),
      untold: fc.constantFrom(false, false, false, true),
    }),
    { minLength: 2, maxLength: 5 },
  )
  .map((all) => () => {
    const one = ({ age, untold, ...parts }: (typeof all)[number], i: number): Known => {
      const sorted = parts.changes.toSorted((a, b) => a.at - b.at)
      const last = (name: Change['field'], none: string | null) =>
        sorted.findLast((one) => one.field === name)?.to ?? none
      const stageId = last('stage', 'new') ?? 'new'
      const outcome = stageId === 'lost' ? 'lost' : 'open'
      const answer = last('decision', null)
      return known(
        {
          ...{
            id: `d${i}`,
            stageId,
            outcome,
            closeDate: last('closeDate', '2026-05-29'),
            ownerId: last('owner', 'ann'),
          },
          ...{ meeting: parts.meeting, imported: parts.imported, amount: 0.285 * (i + 1) },
          createdAt: on(BEGAN) - age * DAY,
          own: {
            decision: answer === 'yes' || answer === 'no' || answer === 'maybe' ? answer : null,
            ...{ decisionDue: last('decisionDue', null), parkedUntil: untold ? null : last('parkedUntil', null) },
            parkedReason: last('parkedReason', null),
          },
        },
        sorted,
        parts.activities,
      )
    }
    return world(...all.map(one))
  })

type Act = (one: Deal, at: Instant) => Partial<Deal>
const own =
  (more: Partial<Deal['own']>): Act =>
  (one) => ({ own: { ...one.own, ...more } })
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.constant(own({ stalled: false })),
  fc.constantFrom(...STAGES, 'won', 'lost').map(
    (stageId): Act =>
      () => ({
        stageId,
        outcome: stageId === 'won' || stageId === 'lost' ? stageId : 'open',
      }),
  ),
  fc.constantFrom('PIPELINE', 'COMMIT', 'OMIT', null).map(
    (category): Act =>
      () => ({ category }),
  ),
  fc.constantFrom('yes', 'no', 'maybe', null).map((decision) => own({ decision })),
  date.map((decisionDue) => own({ decisionDue })),
  fc.option(date, { nil: null }).map((parkedUntil) => own({ parkedUntil, parkedReason: 'seasonal' })),
  date.map(
    (closeDate): Act =>
      () => ({ closeDate }),
  ),
  fc.constantFrom('ann', 'bob', 'gone', null).map(
    (ownerId): Act =>
      () => ({ ownerId }),
  ),
  fc.integer({ min: -2, max: 40 }).map(
    (n): Act =>
      (_, at) => ({
        meeting: { id: `m${n}`, at: at + n * DAY, outside: true, series: null },
      }),
  ),
)
const nights = fc.array(
  fc.record({
    acts: fc.array(fc.tuple(fc.nat(4), act, fc.option(kinds)), { maxLength: 3 }),
    fates: fc.array(fc.constantFrom<LedgerStatus>('done', 'done', 'done', 'refused', 'dropped', 'sent'), {
      minLength: 5,
      maxLength: 5,
    }),
    hours: fc.integer({ min: 1, max: 15 * 24 }),
    unreadable: fc.option(fc.nat(4), { freq: 6 }),
    again: fc.option(fc.nat(4), { freq: 6 }),
    asked: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 2 }),
  }),
  { minLength: 1, maxLength: 6 },
)
const rules = fc
  .record({
    timezone: fc.constantFrom('UTC', 'Europe/Paris', 'America/St_Johns', 'Pacific/Kiritimati', 'Pacific/Pago_Pago'),
    forecast: fc.constantFrom('omit', 'amount', 'none'),
    tasks: fc.record({ enabled: fc.boolean(), perOwnerPerWeek: fc.integer({ min: 0, max: 3 }) }),
    archive: fc.constantFrom({}, { proposeAfterDays: 2 }, { proposeAfterDays: 3, stage: 'negotiation' }),
    brakes: fc.constant({ maxNewlyStalledShare: 1, maxWritesPerRun: 4 }),
    firstNight: fc.constantFrom({}, { oldDeals: { 90: 'archive' } }, { deadAfter: 20, oldDeals: { 20: 'nothing' } }),
    countActivity: fc.constantFrom('buyer', 'any'),
    pushes: fc.integer({ min: 1, max: 3 }),
    exclude: fc.constantFrom({}, { stages: ['demo'] }),
  })
  .map(({ countActivity, pushes, exclude, ...more }) =>
    settings(
      {
        ...more,
        ...{ holidays: ['2026-04-03', '2026-04-06', '2026-05-01'], closures: ['2026-03-28/2026-03-30'] },
        absences: { 'ann@example.com': ['2026-03-09/2026-03-13', '2026-06-01/2026-06-30'] },
      },
      { countActivity, pushes, exclude },
    ),
  )

/** What the store keeps of a deal until something happens to it: by identity, as it is replaced whole. */
interface Noted {
  readonly planned: Planned
  readonly about: readonly unknown[]
}
const aboutOf = (of: World, id: string) => [
  of.deals.get(id),
  of.standings.get(id),
  JSON.stringify(of.ledger.filter((row) => row.deal.id === id)),
]
const same = (a: readonly unknown[], b: readonly unknown[]) => a.every((one, i) => one === b[i])

/** A night that judges what is due. `how`: options of one deal. */
function planDue(of: World, context: PlanContext, how: (id: string) => NightOptions, noted: Map<string, Noted>) {
  const totals = noTotals()
  const forecast = makeForecast(reference)
  const intents: DealIntent[] = []
  let judgedDeals = 0
  for (const [id, one] of [...of.deals].toReversed()) {
    const options = how(id)
    const about = aboutOf(of, id)
    const last = noted.get(id)
    let planned = last?.planned
    if (!last || last.planned.dueAt <= context.now || !same(last.about, about) || options.again !== undefined) {
      planned = planAndCount(itemOf(of, one, context, options), context)
      noted.set(id, { planned, about })
      judgedDeals++
    }
    if (!planned) throw new Error(id)
    addTotals(totals, planned.counted.totals, 1)
    if (planned.counted.cell) forecast.addCell(planned.counted.cell, planned.cents)
    if (planned.intent) intents.push(planned.intent)
  }
  const finished = wholePlan(intents, totals, { ...context, tasksThisWeek: tasksThisWeek(of, context) })
  return { finished, parts: forecast.parts(), judgedDeals }
}

test('judging what is due plans what judging everything plans, and until then nothing is needed', () => {
  let [spared, judgedInAll, never] = [0, 0, 0]
  fc.assert(
    fc.property(company, rules, nights, (make, from, all) => {
      const of = make()
      const noted = new Map<string, Noted>()
      let now = on(BEGAN, '02:00') + 61 * DAY
      for (const { acts, fates, hours, unreadable, again, asked } of all) {
        for (const [who, does, told] of acts) {
          const at = now - 1_800_000
          const before = of.deals.get(`d${who}`)?.deal
          if (!before) continue
          const after = does(before, at)
          edit(of, `d${who}`, at, () => after, {
            ...(after.stageId && { changes: [change('stage', at, before.stageId, after.stageId)] }),
            ...(told && { activities: [activity(told, at - 60_000)] }),
          })
        }
        const options: NightOptions = { settings: from }
        const how = (id: string): NightOptions => ({
          ...options,
          ...(again !== null && id === `d${again}` && { again: id }),
          ...(unreadable !== null && id === `d${unreadable}` && { unreadable: true }),
        })
        const context = contextOf(now, options, of.firstNightAt)
        const quiet = planDue(of, context, how, noted)
        const whole = planDue(of, context, how, new Map())
        expect(JSON.stringify(quiet.finished)).toBe(JSON.stringify(whole.finished))
        expect(JSON.stringify(quiet.parts)).toBe(JSON.stringify(whole.parts))
        spared += of.deals.size - quiet.judgedDeals
        judgedInAll += quiet.judgedDeals
        if (unreadable === null && again === null)
          expect(JSON.stringify(plan(of, now, options))).toBe(JSON.stringify(whole.finished))

        night(of, now, { ...options, fate: (row) => fates[Number(row.deal.id.slice(1))] ?? 'done' })
        for (const [id, { planned, about }] of noted) {
          if (planned.dueAt <= now || !same(about, aboutOf(of, id))) continue
          if (planned.dueAt === NEVER) never++
          const end = Math.min(planned.dueAt, now + 400 * DAY)
          for (const t of [...asked.map((share) => Math.floor(now + share * (end - now - 1))), end - 1]) {
            const later = contextOf(t, options, of.firstNightAt)
            const one = of.deals.get(id)
            if (!one) throw new Error(id)
            const { intent, counted, cents } = planAndCount(itemOf(of, one, later, options), later)
            expect({ t, intent, counted, cents }).toEqual({
              t,
              intent: null,
              counted: planned.counted,
              cents: planned.cents,
            })
          }
        }
        now += hours * 3_600_000
      }
    }),
    { numRuns: 400 },
  )
  // It spares something, and knows deals that only an event can change.
  expect(spared).toBeGreaterThan(judgedInAll / 50)
  expect(never).toBeGreaterThan(0)
})
