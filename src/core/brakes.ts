// What needs the whole plan: order, weekly budget per person, cap per run, share of newly stalled deals, the confirmed
// preview, a stale snapshot. A brake never drops a write: it holds it, with its numbers, as data.
import type { DealRef, Instant, OwnerId } from './deal.ts'
import type { DealIntent, Hold, PlanContext, PlannedWrite, Totals } from './plan.ts'
import type { Standing, Transition } from './stall.ts'

/** Deals dead since before the first night, by working days without movement: from <= days < to. */
export interface AgeBlock {
  readonly fromDays: number
  readonly toDays: number | null
  readonly count: number
  /** Value by currency; deals without a currency under ``. */
  readonly value: Readonly<Record<string, number>>
}

export interface Listed {
  readonly deal: DealRef
  readonly name: string
  readonly url: string
  readonly owner: OwnerId | null
  readonly amount: number | null
  readonly currency: string | null
  readonly since: Instant | null
}

export type Figures = Readonly<Totals> & {
  /** Rows that will be written. */
  readonly writes: number
  readonly held: Readonly<Partial<Record<Hold['brake'], number>>>
}

/** Plain JSON: printed it is the preview, executed it is the run. */
export interface Plan {
  readonly rows: readonly PlannedWrite[]
  /** Standings that change; a deal whose fields are held does not advance. */
  readonly standings: readonly { readonly deal: DealRef; readonly standing: Standing }[]
  readonly transitions: readonly Transition[]
  readonly dead: readonly AgeBlock[]
  readonly lists: {
    readonly ownerLeft: readonly Listed[]
    readonly noStillOpen: readonly Listed[]
    readonly archive: readonly Listed[]
  }
  readonly figures: Figures
}

/** Brakes, weekly budget and order over the intents of all deals of one connection. */
export function finishPlan(intents: readonly DealIntent[], totals: Totals, context: PlanContext): Plan {
  throw new Error(`being written ${intents} ${totals} ${context}`)
}
