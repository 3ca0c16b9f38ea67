// Replays closed deals against limits: which won deals a limit would have flagged, which lost ones it would have caught
// in time, and the smallest limit that leaves the won ones alone. Pure: "today" and the seed of chance are handed in.
import type { Day } from './calendar.ts'
import { median } from './cycle.ts'
import type { Instant, Known, Outcome } from './deal.ts'
import { type MovementContext, movementLog } from './movement.ts'
import { Policy, type StageFacts, stageTable } from './policy.ts'

/** A stretch without movement, cut where the deal changed stage. All in working days since the last movement before it. */
export interface Silence {
  /** Until the stretch ended: a limit below it would have flagged the deal. */
  readonly days: number
  /** Until the deal came into this stage; 0: the last movement was in it. */
  readonly after: number
  /** Until the deal was closed. */
  readonly closed: number
}

/** One visit to a stage. `exit`: moved on or won, or left otherwise; null: still there, so all that is known is "longer". */
export interface Visit {
  readonly from: Day
  /** Working days. */
  readonly days: number
  readonly exit: 'on' | 'off' | null
}

/** What one deal did in one stage, all its visits together. */
export interface Stay {
  readonly pipelineId: string
  readonly stageId: string
  /** `passed`: an open deal that is in another stage today. */
  readonly outcome: Outcome | 'passed'
  readonly amount: number | null
  readonly currency: string | null
  /** First day in the stage. */
  readonly entered: Day
  /** The day the deal was closed; of an open one, today. */
  readonly until: Day
  /** Oldest first, each longer than those before it; of an open deal only the present one. */
  readonly silences: readonly Silence[]
  readonly visits: readonly Visit[]
}

/**
 * The stays of one deal in open stages, none if the policy excludes its type. Movement is what the nightly rules count; what
 * only they know (parking, booked meetings, answers) is left out, so silences are never shorter than a night's.
 */
export function staysOf(known: Known, context: MovementContext, owner: string | null, now: Instant): readonly Stay[] {
  const { calendar, policy, reference } = context
  const { deal } = known
  if (policy.exclude.types.includes(deal.type ?? '')) return []
  const facts = stageTable(reference, policy)
  const moves = known.changes.filter(({ field, at, to }) => field === 'stage' && to !== null && at <= now)
  const first = moves[0]
  const begun = Math.min(deal.createdAt, first?.at ?? now)
  const places = moves.map(({ at, to }) => ({ day: calendar.localDay(at), stage: facts(deal.pipelineId, to ?? '') }))
  // Without `from` the CRM no longer knows where the deal was before.
  const start = first === undefined ? deal.stageId : first.from
  if (start != null) places.unshift({ day: calendar.localDay(begun), stage: facts(deal.pipelineId, start) })

  const today = calendar.localDay(now)
  const isOpen = deal.outcome === 'open'
  const last = places.findLastIndex(({ stage }) => stage?.outcome === 'open')
  const until = isOpen ? today : (places[last + 1]?.day ?? today)
  const between = (from: Day, to: Day) => calendar.workingDaysBetween(from, to, owner)
  const clocks = movementLog(known, [], context, null, now)
    .entries.filter(({ counts }) => counts !== 'no')
    .map(({ at }) => calendar.localDay(at))
  const found = new Map<StageFacts, Stay>()
  for (const [i, { day, stage }] of places.entries()) {
    // A closed deal that never came into a closed stage: its history is not whole.
    if (stage?.outcome !== 'open' || (!isOpen && places[last + 1] === undefined)) continue
    const next = places[i + 1]
    const here = isOpen && next === undefined
    const end = next?.day ?? today
    let clock = clocks.findLast((at) => at <= (here ? today : day)) ?? calendar.localDay(begun)
    const before = found.get(stage)
    const silences: Silence[] = here ? [] : [...(before?.silences ?? [])]
    for (const at of here ? [today] : [...clocks.filter((at) => at > day && at < end), end]) {
      const days = between(clock, at)
      if (days > (silences.at(-1)?.days ?? -1))
        silences.push({ days, after: between(clock, Math.max(clock, day)), closed: between(clock, until) })
      clock = at
    }
    const forward =
      next?.stage?.outcome === 'won' || (next?.stage?.outcome === 'open' && next.stage.order > stage.order)
    const visit = { from: day, days: between(day, end), exit: next ? (forward ? 'on' : 'off') : null } as const
    const { amount, currency } = deal
    found.set(stage, {
      ...{ pipelineId: stage.pipelineId, stageId: stage.id, amount, currency, until, silences },
      outcome: !isOpen || here ? deal.outcome : 'passed',
      entered: before?.entered ?? day,
      visits: [...(before?.visits ?? []), visit],
    })
  }
  return [...found.values()]
}

/** After so many working days: the share still there, and the share that has moved on by then (the rest left otherwise). */
export interface Step {
  readonly days: number
  readonly left: number
  readonly on: number
}

/** Kaplan-Meier over time in stage, with Aalen-Johansen's incidence of moving on: who is still there is not "never". */
export function survival(visits: readonly Omit<Visit, 'from'>[]): readonly Step[] {
  let [atRisk, left, on] = [visits.length, 1, 0]
  const steps: Step[] = []
  for (const [days, some] of [...Map.groupBy(visits, (visit) => visit.days)].sort(([a], [b]) => a - b)) {
    const exits = some.filter(({ exit }) => exit !== null).length
    on += (left * some.filter(({ exit }) => exit === 'on').length) / atRisk
    left *= 1 - exits / atRisk
    atRisk -= some.length
    if (exits > 0) steps.push({ days, left, on })
  }
  return steps
}

/** Fewer working days are never recommended, and no other limit without so many won deals. */
export const FLOOR = 5
export const ENOUGH = 30
const CANDIDATES = [5, 10, 15, 20, 30, 45, 60, 90, 120, 180]
const RESAMPLES = 1000

/** What one limit would have done. `warning`: median working days from the flag until the loss was recorded, rounded down. */
export interface Replayed {
  readonly limit: number
  readonly wrong: number
  readonly caught: number
  readonly warning: number | null
  /** Open deals beyond it today, and their amounts by currency ('' where it is not known). */
  readonly open: number
  readonly value: Readonly<Record<string, number>>
  /** Of those still in the stage after so long, the share that moved on later; null: too few to tell. */
  readonly movesOn: number | null
}

export interface StageReport {
  readonly pipeline: string
  readonly pipelineId: string
  readonly stage: string
  readonly stageId: string
  /** Deals of the window that were in the stage; open ones: that are in it today. */
  readonly won: number
  readonly lost: number
  readonly open: number
  /** Median working days in the stage; null: more than half are still there. */
  readonly median: number | null
  /** Calendar days from entering the stage until won, at the longest, and the open deals that are older; null: none won. */
  readonly longest: ({ readonly days: number } & Pick<Replayed, 'open' | 'value'>) | null
  /** The limit in force today. */
  readonly current: number
  readonly recommended: Replayed
  /** `default`: the practitioner's, because too few deals were won. */
  readonly basis: 'data' | 'default'
  /** Where nine of ten recommendations from resampled won deals lie; null for a default. */
  readonly range: readonly [low: number, high: number] | null
  /** For a table, the current and the recommended one among them. */
  readonly limits: readonly Replayed[]
}

export interface BacktestOptions {
  /** Deals closed from this day on are replayed. */
  readonly from: Day
  readonly today: Day
  /** Of the won deals, at most this share may be flagged. */
  readonly share: number
  readonly seed: number
}

/** One report for each stage that any deal of the window stayed in, in the order of the pipelines. */
export function backtest(
  stays: readonly Stay[],
  { reference, policy }: Pick<MovementContext, 'reference' | 'policy'>,
  options: BacktestOptions,
): readonly StageReport[] {
  const { from, today, share, seed } = options
  const facts = stageTable(reference, policy)
  const byStage = Map.groupBy(stays, ({ pipelineId, stageId }) => JSON.stringify([pipelineId, stageId]))
  return reference.pipelines.flatMap((pipeline) =>
    pipeline.stages.flatMap(({ id, label }): StageReport[] => {
      const here = byStage.get(JSON.stringify([pipeline.id, id])) ?? []
      const [won, lost, open] = (['won', 'lost', 'open'] as const).map((outcome) =>
        here.filter((stay) => stay.outcome === outcome && (outcome === 'open' || stay.until >= from)),
      )
      const stage = facts(pipeline.id, id)
      if (!won || !lost || !open || !stage || stage.excluded !== null || won.length + lost.length + open.length === 0)
        return []
      const visits = here.flatMap((stay) => stay.visits.filter((visit) => visit.from >= from))
      const steps = survival(visits)
      const replay = (limit: number): Replayed => {
        const warnings = lost.flatMap(({ silences }) => {
          const flagged = silences.find(({ days }) => days > limit)
          return flagged ? [flagged.closed - Math.max(limit + 1, flagged.after)] : []
        })
        const middle = median(warnings)
        const at = steps.findLast(({ days }) => days <= limit) ?? { left: 1, on: 0 }
        const still = visits.filter(({ days }) => days > limit).length
        return {
          ...{ limit, wrong: won.filter((stay) => idle(stay) > limit).length, caught: warnings.length },
          ...sum(open.filter((stay) => idle(stay) > limit)),
          warning: middle === null ? null : Math.floor(middle),
          movesOn: still < 10 || steps.length === 0 ? null : ((steps.at(-1)?.on ?? 0) - at.on) / at.left,
        }
      }
      const enough = won.length >= ENOUGH
      // Whatever binary fractions make of the share.
      const most = Math.floor(share * won.length + 1e-9)
      const usual = Policy.parse({}).idleDays[stage.decision ? 'decisionStages' : 'default']
      const limit = enough ? smallest(won.map(idle), most) : usual
      const days = won.reduce((longest, { entered, until }) => Math.max(longest, until - entered), 0)
      const end = [...won, ...lost, ...open].reduce((longest, stay) => Math.max(longest, idle(stay)), limit)
      const shown = new Set([...CANDIDATES.filter((days) => days < end), limit, stage.limit])
      const past = open.filter(({ entered }) => today - entered > days)
      const report: StageReport = {
        ...{ pipeline: pipeline.label, pipelineId: pipeline.id, stage: label, stageId: id },
        ...{ won: won.length, lost: lost.length, open: open.length, current: stage.limit },
        median: steps.find(({ left }) => left <= 0.5 + 1e-9)?.days ?? null,
        longest: won.length === 0 ? null : { days, ...sum(past) },
        recommended: replay(limit),
        basis: enough ? 'data' : 'default',
        range: enough ? spread(won.map(idle), most, seed) : null,
        limits: [...shown].sort((a, b) => a - b).map(replay),
      }
      return [report]
    }),
  )
}

const idle = ({ silences }: Stay): number => silences.at(-1)?.days ?? 0

function sum(stays: readonly Stay[]): Pick<Replayed, 'open' | 'value'> {
  const value: Record<string, number> = {}
  for (const { amount, currency } of stays)
    if (amount !== null) value[currency ?? ''] = (value[currency ?? ''] ?? 0) + amount
  return { open: stays.length, value: Object.fromEntries(Object.entries(value).sort()) }
}

/** The smallest limit above which at most `most` of these days lie. */
function smallest(days: readonly number[], most: number): number {
  const counts = new Uint32Array(days.reduce((longest, n) => Math.max(longest, n), FLOOR) + 1)
  for (const n of days) counts[n] = (counts[n] ?? 0) + 1
  let limit = counts.length - 1
  for (let above = counts[limit] ?? 0; limit > FLOOR && above <= most; above += counts[limit] ?? 0) limit -= 1
  return limit
}

/** Bootstrap: the recommendation of as many deals drawn again and again with replacement, its 5th and 95th percentile. */
function spread(idles: readonly number[], most: number, seed: number): readonly [number, number] {
  const sorted = idles.toSorted((a, b) => a - b)
  let state = seed
  // Chance as arithmetic: the constants of Numerical Recipes.
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const drawn = () => sorted.map(() => sorted[Math.floor(random() * sorted.length)] ?? 0)
  const limits = Array.from({ length: RESAMPLES }, () => smallest(drawn(), most)).sort((a, b) => a - b)
  return [limits[RESAMPLES * 0.05] ?? FLOOR, limits[RESAMPLES * 0.95] ?? FLOOR]
}

/** A sentence of the report, its numbers as data. */
export interface BacktestLine {
  readonly say:
    | ('replayed' | 'longest' | 'none_won' | 'default' | 'flags' | 'late' | 'today' | 'rests')
    | ('median' | 'moves_on' | 'nights_know_more' | 'history_short' | 'last_only' | 'unreadable')
    | ('file' | 'file_joined' | 'undated' | 'list_prices')
  readonly with: Readonly<Record<string, string | number>>
  /** Money by currency. */
  readonly value?: Readonly<Record<string, number>>
}

/** What one stage's replay means, in the order in which it is told. */
export function linesOf(report: StageReport): readonly BacktestLine[] {
  const { stage, won, lost, open, longest, median, basis, range, recommended } = report
  const { limit, wrong, caught, warning, movesOn } = recommended
  const share = { wrongShare: won === 0 ? 0 : wrong / won, caughtShare: lost === 0 ? 0 : caught / lost }
  const line = (say: BacktestLine['say'], more: BacktestLine['with'] = {}): BacktestLine => ({
    say,
    with: { ...{ stage, won, lost, open, limit, wrong, caught, enough: ENOUGH }, ...share, ...more },
  })
  const { days = 0, open: older = 0, value = {} } = longest ?? {}
  return [
    { ...line(longest === null ? 'none_won' : 'longest', { days, older }), value },
    ...(basis === 'default' ? [line('default')] : []),
    ...(won + lost === 0 ? [] : [line('flags')]),
    ...(warning === null ? [] : [line('late', { warning })]),
    { ...line('today', { beyond: recommended.open }), value: recommended.value },
    ...(range === null ? [] : [line('rests', { low: range[0], high: range[1] })]),
    ...(median === null ? [] : [line('median', { median })]),
    ...(movesOn === null ? [] : [line('moves_on', { movesOn })]),
  ]
}
