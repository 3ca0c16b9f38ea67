// Time passes without the CRM: until when a judged deal needs nothing and counts for the same, if nothing happens to it.
// A night judges what changed and what fell due; the rest is added up from what was noted here. In doubt a deal is due.
import { toDay } from './calendar.ts'
import type { Instant } from './deal.ts'
import { type Cell, cellOf } from './forecast.ts'
import { type DealIntent, type DealItem, noTotals, type PlanContext, planDeal, type Totals } from './plan.ts'

/** What a deal adds to the figures of a night. Plain JSON, so that the store can add up equal ones. */
export interface Counted {
  readonly totals: Totals
  /** Null: not counted in the forecast. */
  readonly cell: Cell | null
}

export interface Planned {
  /** Null: it needs nothing tonight. */
  readonly intent: DealIntent | null
  readonly counted: Counted
  /** Its amount, if it has a cell. */
  readonly cents: number
  /** Until then planning it gives the same, at any moment from `now` on, unless something happens to it or to what the
   *  plan depends on; `ALWAYS` if it must be judged every night. */
  readonly dueAt: Instant
}

export const ALWAYS = 0
export const NEVER = Number.MAX_SAFE_INTEGER

/** `planDeal` of one deal, what it counts for and when it is due again. */
export function planAndCount(item: DealItem, context: PlanContext): Planned {
  const totals = noTotals()
  const intent = planDeal(item, context, totals)
  const counts = cellOf(item.known.deal, (intent?.standing ?? item.standing)?.state ?? 'moving')
  const cents = counts?.cents ?? 0
  return {
    intent,
    counted: { totals, cell: counts?.cell ?? null },
    cents,
    // A typing error can make an amount that no database adds up.
    dueAt: intent === null && Number.isSafeInteger(cents) ? dueAt(item, context) : ALWAYS,
  }
}

/** Of a deal that needs nothing at `now`. Besides the day the verdict names, only the archive knows a day of its own. */
function dueAt({ known, verdict, standing, unreadable = false }: DealItem, context: PlanContext): Instant {
  const { now, calendar, settings } = context
  const { deal, changes, firstSeen } = known
  const stall = standing?.stall ?? null
  const future = Math.max(deal.createdAt, firstSeen, changes.at(-1)?.at ?? now) > now
  if (unreadable || future) return ALWAYS
  let day = verdict.dueOn === null ? Number.POSITIVE_INFINITY : toDay(verdict.dueOn)
  if (stall !== null) {
    const proposed = calendar.addWorkingDaysTo(
      calendar.localDay(stall.startedAt),
      settings.archive.proposeAfterDays + 1,
    )
    if (proposed > calendar.localDay(now)) day = Math.min(day, proposed)
  }
  const due = day === Number.POSITIVE_INFINITY ? NEVER : calendar.startOf(day)
  return due > now ? due : ALWAYS
}
