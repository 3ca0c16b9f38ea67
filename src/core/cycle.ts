// How long won deals took, with and without the time they stood still. What unstall recorded is known for the nights it
// watched; before them the movement log says the same: still is a deal from the day its stage's limit was passed until
// the buyer moved again. Days are calendar days in the company's zone.
import type { Day } from './calendar.ts'
import type { Instant, Known } from './deal.ts'
import type { JudgeContext } from './judge.ts'
import type { MovementLog } from './movement.ts'
import { stageTable } from './policy.ts'
import type { Transition } from './stall.ts'

/** A won deal, from its creation to the day it was won. */
export interface Cycle {
  readonly days: number
  /** Without the days it stood still or was parked. */
  readonly activeDays: number
  /** Stood still for at least a day. */
  readonly stalled: boolean
}
/** Mean and median, in days; null of none. */
export interface Length {
  readonly deals: number
  readonly mean: number | null
  readonly median: number | null
}
export interface Cycles {
  readonly all: Length
  /** Deals that never stood still. */
  readonly withoutStalled: Length
  /** All of them, in the days they were active. */
  readonly active: Length
  /** Imported deals: when they began is not known. */
  readonly leftOut: number
}
type Span = readonly [from: Day, to: Day]

/** When a closed deal was closed: its last change to a closed stage, else its close date (the start of that day, UTC);
 *  null: open, or neither is known. */
export function closedAt({ deal, changes }: Known, { reference, policy }: JudgeContext): Instant | null {
  if (deal.outcome === 'open') return null
  const outcomeOf = (stage: string | null) => stage && stageTable(reference, policy)(deal.pipelineId, stage)?.outcome
  const told = changes.findLast(({ field, to }) => field === 'stage' && outcomeOf(to) === deal.outcome)
  const day = deal.closeDate === null ? Number.NaN : Date.parse(deal.closeDate)
  return told?.at ?? (Number.isNaN(day) ? null : day)
}

/** The cycle of a won deal; null where its beginning or its end is not known. `transitions`: of this deal, oldest first. */
export function cycleOf(
  known: Known,
  log: MovementLog,
  transitions: readonly Pick<Transition, 'at' | 'to'>[],
  context: JudgeContext,
): Cycle | null {
  const { deal } = known
  const closed = closedAt(known, context)
  if (deal.outcome !== 'won' || deal.imported || closed === null) return null
  const day = context.calendar.localDay
  const [first, last] = [day(deal.createdAt), day(closed)]
  const spans: Span[] = [...stillSpans(known, log, last, context)]
  for (const [i, { at, to }] of transitions.entries())
    if (to === 'stalled' || to === 'parked' || to === 'answered_no')
      spans.push([day(at), day(transitions[i + 1]?.at ?? closed)])
  for (const { from, to } of log.parking.spans) spans.push([from, to])
  let still = 0
  let until = first
  for (const [from, to] of spans.sort((a, b) => a[0] - b[0])) {
    const [start, end] = [Math.max(from, until), Math.min(to, last)]
    if (end > start) still += end - start
    until = Math.max(until, end)
  }
  const days = Math.max(0, last - first)
  return { days, activeDays: days - still, stalled: still > 0 }
}

/** Days beyond the limit of its stage, until the next strong movement or the end. */
function* stillSpans({ deal }: Known, log: MovementLog, last: Day, context: JudgeContext): Generator<Span> {
  const { calendar, policy, reference } = context
  const table = stageTable(reference, policy)
  const owner = deal.ownerId === null ? null : context.ownerEmail(deal.ownerId)
  let stage = log.entries.find(({ field }) => field === 'stage')?.from ?? deal.stageId
  const deadline = (from: Day) => {
    const limit = table(deal.pipelineId, stage)?.limit ?? policy.idleDays.default
    return calendar.addWorkingDaysTo(from, limit + 1, owner)
  }
  let over = deadline(calendar.localDay(deal.createdAt))
  for (const { at, counts, field, to } of log.entries) {
    const today = calendar.localDay(at)
    if (today > last) break
    if (field === 'stage' && to !== null) stage = to
    if (counts === 'no' || (counts === 'weak' && today > over)) continue
    if (today > over) yield [over, today]
    over = deadline(today)
  }
  if (last > over) yield [over, last]
}

/** `leftOut`: how many cycles are not known. */
export function cyclesOf(cycles: readonly Cycle[], leftOut: number): Cycles {
  return {
    all: lengthOf(cycles.map(({ days }) => days)),
    withoutStalled: lengthOf(cycles.flatMap(({ days, stalled }) => (stalled ? [] : [days]))),
    active: lengthOf(cycles.map(({ activeDays }) => activeDays)),
    leftOut,
  }
}

/** To a tenth of a day. */
function lengthOf(days: readonly number[]): Length {
  const mean = days.reduce((sum, one) => sum + one, 0) / days.length
  return { deals: days.length, mean: days.length === 0 ? null : Math.round(mean * 10) / 10, median: median(days) }
}

export function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b)
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return low === undefined || high === undefined ? null : (low + high) / 2
}
