// The coaching sheet: where the open deals of each rep stop, for how long, and what the rep said about it. Filled deal
// by deal, like the forecast.
import { median } from '../core/cycle.ts'
import type { Cause, Deal, State } from '../core/deal.ts'
import { cents } from '../core/forecast.ts'
import type { Verdict } from '../core/judge.ts'
import type { MovementLog } from '../core/movement.ts'
import type { PlanContext } from '../core/plan.ts'
import type { Labels } from './build.ts'
import type { Rep, Stop } from './model.ts'

const DAY_MS = 86_400_000

interface Sheet {
  readonly rep: Rep
  readonly stops: Map<string, Stop>
  readonly ages: number[]
  readonly idle: number[]
}

export class Coaching {
  readonly #now: number
  readonly #labels: Labels
  readonly #sheets = new Map<string | null, Sheet>()
  readonly #stops = new Map<string, Stop>()

  constructor({ now, reference }: PlanContext, labels: Labels) {
    this.#now = now
    this.#labels = labels
    // In the order deals take.
    for (const { id: pipelineId, stages } of reference.pipelines)
      for (const { id: stageId, outcome } of stages)
        if (outcome === 'open') this.#stop(this.#stops, { pipelineId, stageId, ownerId: null })
  }

  add(deal: Deal, state: State, { decision, idleDays }: Verdict, log: MovementLog): void {
    const sheet = this.#sheet(deal)
    const { rep } = sheet
    const stalled = state === 'stalled'
    for (const stops of [this.#stops, sheet.stops]) {
      const stop = this.#stop(stops, deal)
      stop.open++
      if (stalled) stop.stalled++
    }
    rep.open++
    rep.pushes += log.pushes.length
    if (decision.answer === 'maybe') rep.maybes++
    if (!deal.imported) sheet.ages.push(Math.max(0, Math.floor((this.#now - deal.createdAt) / DAY_MS)))
    const { cause } = deal.own
    if (!stalled) return
    rep.stalled++
    sheet.idle.push(idleDays)
    const currency = deal.currency ?? ''
    rep.stalledValue[currency] = cents((rep.stalledValue[currency] ?? 0) + (deal.amount ?? 0))
    if (cause !== null) rep.causes[cause] = (rep.causes[cause] ?? 0) + 1
  }

  #stop(stops: Map<string, Stop>, deal: Pick<Deal, 'pipelineId' | 'stageId' | 'ownerId'>): Stop {
    const id = JSON.stringify([deal.pipelineId, deal.stageId])
    const { pipeline, stage } = this.#labels.of(deal)
    const stop = stops.get(id) ?? { pipeline, stage, open: 0, stalled: 0 }
    stops.set(id, stop)
    return stop
  }

  #sheet(deal: Deal): Sheet {
    const found = this.#sheets.get(deal.ownerId)
    if (found) return found
    const { owner, team } = this.#labels.of(deal)
    const causes: Partial<Record<Cause, number>> = {}
    const counts = { open: 0, stalled: 0, maybes: 0, pushes: 0, ageDays: null, idleDays: null }
    const rep = { owner, team, ...counts, stalledValue: {}, causes, stops: [] }
    const sheet = { rep, stops: new Map(), ages: [], idle: [] }
    this.#sheets.set(deal.ownerId, sheet)
    return sheet
  }

  /** Open stages of the reference in their order, then others that hold deals. */
  stops(): Stop[] {
    return [...this.#stops.values()].filter(({ open }) => open > 0)
  }

  /** Most stalled deals first. */
  reps(): Rep[] {
    const reps = [...this.#sheets.values()].map(({ rep, stops, ages, idle }) => ({
      ...{ ...rep, ageDays: median(ages), idleDays: median(idle) },
      stops: [...stops.values()].filter(({ stalled }) => stalled > 0).sort((a, b) => b.stalled - a.stalled),
    }))
    return reps.sort((a, b) => b.stalled - a.stalled || b.open - a.open)
  }
}
