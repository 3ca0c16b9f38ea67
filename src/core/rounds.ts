// What a rep's own fields mean over time: the decision round (date, answer, how often maybe) and parking. Fed with
// the changes of those fields in order by movement.ts; the judge reads the outcome. Days are day numbers.
import { type Calendar, type Day, toDate, toDay } from './calendar.ts'
import { DECISIONS, type Decision, type Instant, type LocalDate } from './deal.ts'
import type { StageFacts } from './policy.ts'

/** One new date after a maybe, at most this many working days out. */
const NEW_DATE_DAYS = 15

const isDecision = (value: string | null): value is Decision => DECISIONS.some((decision) => decision === value)

export type DecisionFacts = Readonly<
  Pick<DecisionRound, 'presentedAt' | 'due' | 'refusedDate' | 'answer' | 'answerIsOfEarlierDate' | 'maybes'>
>

export class DecisionRound {
  /** First entry into a decision stage; null: no proposal presented, or moved back before that stage. */
  presentedAt: Instant | null = null
  /** The rep's date as it is judged, and when it was set. `set`: what the field says, later where it is beyond the maximum. */
  due: { readonly date: LocalDate; readonly set: LocalDate; readonly at: Instant } | null = null
  /** A second new date after a maybe: not counted. */
  refusedDate: LocalDate | null = null
  answer: { readonly value: Decision; readonly at: Instant } | null = null
  /** A person set a new date after the answer: it answers the earlier one. */
  answerIsOfEarlierDate = false
  /** How often the answer became maybe in this round. */
  maybes = 0
  #presentedOrder: number | null = null
  #newDates = 0

  /** Reopened, or moved back before the decision stage: earlier dates and answers no longer count. */
  restart(keepNo: boolean): void {
    this.presentedAt = null
    this.#presentedOrder = null
    this.due = null
    this.refusedDate = null
    if (!(keepNo && this.answer?.value === 'no')) this.answer = null
    this.answerIsOfEarlierDate = false
    this.maybes = 0
    this.#newDates = 0
  }

  /** The deal entered `to`; `from` undefined: its first known stage, or a stage that no longer exists. */
  enter(from: StageFacts | undefined, to: StageFacts, at: Instant): void {
    const samePipeline = from?.pipelineId === to.pipelineId
    // Another pipeline counts its stages anew.
    if (!samePipeline) this.#presentedOrder = null
    const bound = this.#presentedOrder ?? to.decisionFrom
    if (to.outcome === 'open' && bound !== null && to.order < bound) {
      const wasBeyond = samePipeline && from.order >= bound
      if (this.presentedAt !== null || (this.due !== null && wasBeyond)) this.restart(true)
    }
    if (to.decision && this.presentedAt === null) {
      this.presentedAt = at
      this.#presentedOrder = to.order
    }
  }

  answered(value: string | null, at: Instant, own: boolean): void {
    this.answer = isDecision(value) ? { value, at } : null
    this.answerIsOfEarlierDate = false
    if (value === 'maybe' && !own) this.maybes++
  }

  /** `first`: seen for the first time, so nobody knows whether it followed a maybe. */
  dated(date: LocalDate | null, at: Instant, by: 'person' | 'machine', first: boolean, calendar: Calendar) {
    this.refusedDate = null
    if (date === null) {
      this.due = null
      return
    }
    let judged = date
    if (this.maybes > 0 && by === 'person' && !first) {
      if (this.#newDates > 0) {
        this.refusedDate = date
        return
      }
      this.#newDates++
      const last = toDate(calendar.addWorkingDaysTo(calendar.localDay(at), NEW_DATE_DAYS))
      if (date > last) judged = last
    }
    this.due = { date: judged, set: date, at }
    if (by === 'person' && this.answer !== null && at > this.answer.at) this.answerIsOfEarlierDate = true
  }
}

export interface ParkingFacts {
  /** The parking that is on, or was the last one accepted; both days included. */
  readonly last: { readonly from: Day; readonly to: Day; readonly capped: boolean } | null
  /** A second parking without movement since the first: not counted. */
  readonly refused: boolean
  /** Parked intervals (from, to] whose days do not count. */
  readonly spans: readonly { readonly from: Day; readonly to: Day }[]
}

export class Parking implements ParkingFacts {
  last: { from: Day; to: Day; capped: boolean } | null = null
  refused = false
  readonly spans: { from: Day; to: Day }[] = []
  #on = false
  /** Parked once and not moved since. */
  #spent = false

  moved(): void {
    this.#spent = false
  }

  /** The rep's fields are now `until` and `reason`. */
  set(until: string | null, reason: string | null, day: Day, maxDays: number): void {
    const date = until !== null && reason !== null ? toDay(until) : Number.NaN
    const wanted = date >= day ? date : null
    if (this.#on && this.last && (wanted === null || day > this.last.to)) {
      this.#on = false
      if (wanted === null) this.last.to = Math.min(this.last.to, day - 1)
      const span = this.spans.at(-1)
      if (span) span.to = Math.min(span.to, Math.max(span.from, day))
    }
    this.refused = false
    if (wanted === null) return
    if (!this.#on && this.#spent) {
      this.refused = true
      return
    }
    const from = this.#on && this.last ? this.last.from : day
    const to = Math.min(wanted, from + maxDays)
    this.last = { from, to, capped: wanted > to }
    if (this.#on) this.spans.pop()
    this.spans.push({ from, to })
    this.#on = true
    this.#spent = true
  }
}
