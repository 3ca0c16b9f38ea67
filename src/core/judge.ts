// (deal, log, policy, now) -> Verdict: whether a deal moves, and if not, which rule says so and why.
import { type Day, toDate, toDay } from './calendar.ts'
import {
  DECISION_RULES,
  type Decision,
  type Instant,
  type Known,
  type LocalDate,
  type OwnerId,
  RULES,
  type Rule,
} from './deal.ts'
import { type MovementContext, type MovementKind, type MovementLog, PUSH_WINDOW } from './movement.ts'
import { ownersInScope, type Settings, type StageFacts, stageTable } from './policy.ts'

export interface RuleCheck {
  readonly rule: Rule
  readonly holds: boolean
  /** Measured against `limit`, in `unit`; null where the rule does not apply (no decision stage, no close date …). */
  readonly value: number | null
  readonly limit: number | null
  readonly unit: 'working_days' | 'pushes' | 'answers'
  /** A date the sentence names: close date, decision date, day of the last movement. */
  readonly date: LocalDate | null
  /** The decision date was derived from the decision stage, not set by the rep. */
  readonly derived?: boolean
  /** The date the rep set lies beyond the maximum and is judged as the maximum, which is `date`. */
  readonly capped?: boolean
}

export type Protection =
  | { readonly kind: 'excluded'; readonly what: 'pipeline' | 'stage' | 'type' | 'scope' }
  | { readonly kind: 'meeting'; readonly on: LocalDate }
  | { readonly kind: 'answered_yes'; readonly until: LocalDate }
  | { readonly kind: 'parked'; readonly until: LocalDate; readonly capped: boolean; readonly reason: string | null }
  | { readonly kind: 'answered_no' }
  | { readonly kind: 'new_deal'; readonly until: LocalDate }
  | { readonly kind: 'moved_back'; readonly until: LocalDate }
  | { readonly kind: 'wrong_flag'; readonly until: LocalDate }
  | { readonly kind: 'history_unknown'; readonly until: LocalDate }
  /** It stands in the archive stage and no stall of it is open. */
  | { readonly kind: 'archived' }
  /** We archived it, and the buyer has replied since: it goes back where it was. */
  | { readonly kind: 'reactivated'; readonly on: LocalDate }
  /** Dead before the first night, and to be left alone (`firstNight.oldDeals`). */
  | { readonly kind: 'old_deal' }

export type Warning =
  | { readonly kind: 'limit_near'; readonly inWorkingDays: number; readonly on: LocalDate }
  | { readonly kind: 'no_decision_date'; readonly sinceWorkingDays: number }
  | { readonly kind: 'one_push_left'; readonly pushes: number }
  | { readonly kind: 'history_unknown'; readonly until: LocalDate }
  | { readonly kind: 'no_still_open'; readonly sinceWorkingDays: number }
  /** Parked a second time without movement in between: not counted. */
  | { readonly kind: 'parked_again'; readonly until: LocalDate }
  /** A second new date after a maybe: not counted. */
  | { readonly kind: 'date_not_counted'; readonly date: LocalDate }

/** What the judge must know beside the deal: the open stall and what people did to earlier flags. The store keeps it (stall.ts). */
export interface Memory {
  /** Start of the open stall; null while not stalled. Weak movement after it does not lift the flag. */
  readonly stalledSince: Instant | null
  /** The rule of the open stall. */
  readonly rule?: Rule | null
  /** A person cleared the flag at this moment: silent for 10 working days. */
  readonly dismissedAt: Instant | null
  /** We moved it to the archive stage, where it still is, at this moment. */
  readonly archivedAt?: Instant | null
}

export interface Verdict {
  readonly state: 'moving' | 'stalled' | 'parked' | 'answered_no' | 'closed'
  /** The first rule that holds, set exactly when state is `stalled`. */
  readonly rule: Rule | null
  /** All six, in order of precedence, with their numbers: what `explain` prints. */
  readonly checks: readonly RuleCheck[]
  /** Why no rule may hold; null when rules apply. */
  readonly protection: Protection | null
  readonly warnings: readonly Warning[]
  /** Last counted movement, or the start of the clock (creation, first night seen). */
  readonly lastMovement: Instant
  readonly lastMovementKind: MovementLog['clock']['kind']
  readonly idleDays: number
  readonly decision: {
    readonly due: LocalDate | null
    readonly derived: boolean
    /** The answer that counts: null while it belongs to an earlier date or round. */
    readonly answer: Decision | null
    readonly answerIsOfEarlierDate: boolean
  }
  /** First day on which the verdict could change without any event; null: only an event can change it. */
  readonly dueOn: LocalDate | null
  /** A new owner gets 5 working days before a task: the last of them; null: no new owner. The flag does not wait. */
  readonly newOwnerUntil: LocalDate | null
}

export interface JudgeContext extends MovementContext {
  /** The owner's e-mail, for absences; null: unknown. */
  readonly ownerEmail: (id: OwnerId) => string | null
  /** Deals of other owners or teams are excluded. Owners by e-mail, name or id, teams by name. */
  readonly scope?: Settings['scope']
}

// Working days, from product.md.
const YES_PROTECTS = 10
const WRONG_FLAG_SILENCE = 10
const MEETING_WITHIN = 10
const MOVED_BACK_SILENCE = 5
const NEW_OWNER_DAYS = 5
/** What a rep or the configuration said comes before what a reply does. */
const FIRST: readonly Protection['kind'][] = ['excluded', 'parked', 'answered_no']
/** Of the buyer himself: what brings a deal back from the archive. */
const BUYERS: readonly MovementKind[] = ['reply', 'meeting', 'call']
const NO_LISTED_AFTER = 5
const WARN_BEFORE_LIMIT = 5
const WARN_NO_DATE_AFTER = 3

/**
 * Whether a deal moves at `now`, by dates in the company's zone. Pure: the same input gives the same verdict, and the
 * verdict of an untouched deal stays as it is until the day `dueOn`.
 */
export function judge(known: Known, log: MovementLog, memory: Memory, context: JudgeContext, now: Instant): Verdict {
  const bench = new Bench(known, log, memory, context, now)
  return bench.verdict()
}

type Answer = { readonly value: Decision; readonly at: Instant } | null

/** One deal before the judge: the numbers the rules share, each worked out once. */
class Bench {
  readonly #known: Known
  readonly #log: MovementLog
  readonly #memory: Memory
  readonly #context: JudgeContext
  readonly #today: Day
  readonly #owner: string | null
  readonly #stage: StageFacts | undefined
  readonly #limit: number
  readonly #idle: number
  readonly #answer: Answer
  /** The decision date as judged. */
  readonly #due: Day | null
  /** The earliest later day on which a number crosses a line. */
  #next: Day = Number.POSITIVE_INFINITY

  constructor(known: Known, log: MovementLog, memory: Memory, context: JudgeContext, now: Instant) {
    const { deal } = known
    const { policy, calendar, reference } = context
    this.#known = known
    this.#log = log
    this.#memory = memory
    this.#context = context
    this.#today = calendar.localDay(now)
    this.#owner = deal.ownerId === null ? null : context.ownerEmail(deal.ownerId)
    this.#stage = stageTable(reference, policy)(deal.pipelineId, deal.stageId)
    this.#limit = this.#stage?.limit ?? policy.idleDays.default
    this.#idle = this.#idleDays()
    const { decision } = log
    this.#answer = decision.answerIsOfEarlierDate ? null : decision.answer
    if (decision.due !== null) this.#due = toDay(decision.due.date)
    else if (decision.presentedAt !== null)
      this.#due = this.#later(this.#day(decision.presentedAt), policy.decision.days)
    else this.#due = null
    for (let i = known.activities.length - 1; i >= 0; i--) {
      const at = known.activities[i]?.at ?? now
      if (at <= now) break
      this.#next = this.#day(at)
    }
  }

  verdict(): Verdict {
    const { deal } = this.#known
    if (deal.outcome !== 'open') return this.#result('closed', null, NO_CHECKS, [])
    const protection = this.#protection()
    const back = this.#repliedSinceArchived()
    if (back !== null && !(protection && FIRST.includes(protection.kind)))
      return this.#result('moving', { kind: 'reactivated', on: back }, this.#checks(false, null), [])
    const only = protection === null ? this.#halfProtection() : null
    const checks = this.#checks(protection === null, only)
    if (protection?.kind === 'answered_no') return this.#result('answered_no', protection, checks, this.#noStillOpen())
    if (protection?.kind === 'parked') return this.#result('parked', protection, checks, [])
    // What we archived stays as it was put away.
    const stalled = checks.some((check) => check.holds) || (protection === null && this.#isAway())
    const warnings = protection === null && !stalled ? this.#warnings(only) : []
    return this.#result(stalled ? 'stalled' : 'moving', stalled ? null : (protection ?? only), checks, warnings)
  }

  #result(
    state: Verdict['state'],
    protection: Protection | null,
    checks: readonly RuleCheck[],
    warnings: readonly Warning[],
  ): Verdict {
    const { clock, decision } = this.#log
    // Only an event can change these. Before it is listed, an open deal answered no has one date ahead.
    const fixed = state === 'closed' || protection?.kind === 'excluded'
    const newOwnerUntil = state === 'closed' ? null : this.#newOwnerUntil()
    return {
      state,
      rule: state === 'stalled' ? this.#rule(checks) : null,
      checks,
      protection,
      warnings,
      lastMovement: clock.at,
      lastMovementKind: clock.kind,
      idleDays: this.#idle,
      decision: {
        due: this.#due === null ? null : toDate(this.#due),
        derived: decision.due === null && this.#due !== null,
        answer: this.#answer?.value ?? null,
        answerIsOfEarlierDate: decision.answerIsOfEarlierDate,
      },
      dueOn: fixed || this.#next === Number.POSITIVE_INFINITY ? null : toDate(this.#next),
      newOwnerUntil,
    }
  }

  #rule(checks: readonly RuleCheck[]): Rule {
    const holds = checks.find((check) => check.holds)?.rule ?? 'no_movement'
    return this.#isAway() ? (this.#memory.rule ?? holds) : holds
  }

  /** Archived by us, and nobody cleared the flag there. What ended its stall meanwhile (parking) may be over. */
  #isAway(): boolean {
    const { archivedAt, dismissedAt } = this.#memory
    return archivedAt != null && !(dismissedAt !== null && dismissedAt > archivedAt)
  }

  /** The day of the buyer's first word since we archived the deal: an event that counts, or a recorded yes. */
  #repliedSinceArchived(): LocalDate | null {
    const { archivedAt, rule, stalledSince } = this.#memory
    if (archivedAt == null) return null
    // One that came before and was seen late speaks, too, if it would have kept the deal out of the archive.
    const speaks = (at: Instant) =>
      at > archivedAt ||
      (rule === 'no_movement' &&
        stalledSince !== null &&
        at > stalledSince &&
        this.#workingDays(at, archivedAt) <= this.#limit)
    const strong = this.#log.entries.find(
      ({ at, counts, kind }) => speaks(at) && counts === 'strong' && BUYERS.includes(kind),
    )
    const yes = this.#answer?.value === 'yes' && this.#answer.at > archivedAt ? this.#answer.at : null
    const at = strong?.at ?? yes
    return at === null ? null : toDate(this.#day(at))
  }

  #day(at: Instant): Day {
    return this.#context.calendar.localDay(at)
  }

  #workingDays(from: Instant, to: Instant): number {
    return this.#context.calendar.workingDaysBetween(this.#day(from), this.#day(to), this.#owner)
  }

  /** Working days from a day until today. */
  #since(day: Day): number {
    return this.#context.calendar.workingDaysBetween(day, this.#today, this.#owner)
  }

  #later(day: Day, workingDays: number): Day {
    return this.#context.calendar.addWorkingDaysTo(day, workingDays, this.#owner)
  }

  #soon(day: Day): void {
    if (day > this.#today && day < this.#next) this.#next = day
  }

  /** Still within `n` working days of `day`? Then until which date. */
  #within(day: Day, n: number): LocalDate | null {
    if (this.#since(day) > n) return null
    this.#soon(this.#later(day, n + 1))
    return toDate(this.#later(day, n))
  }

  #idleDays(): number {
    const from = this.#day(this.#log.clock.at)
    let idle = this.#since(from)
    for (const span of this.#log.parking.spans) {
      const start = Math.max(span.from, from)
      const end = Math.min(span.to, this.#today)
      if (end > start) idle -= this.#context.calendar.workingDaysBetween(start, end, this.#owner)
    }
    return idle
  }

  #excluded(): Protection | null {
    const { deal } = this.#known
    const { policy, reference, scope } = this.#context
    const archive = deal.stageId === this.#context.archive?.stage
    if (this.#stage?.excluded && !archive) return { kind: 'excluded', what: this.#stage.excluded }
    if (policy.exclude.pipelines.includes(deal.pipelineId)) return { kind: 'excluded', what: 'pipeline' }
    if (policy.exclude.stages.includes(deal.stageId) && !archive) return { kind: 'excluded', what: 'stage' }
    if (deal.type !== null && policy.exclude.types.includes(deal.type)) return { kind: 'excluded', what: 'type' }
    if (scope?.owners === undefined && scope?.teams === undefined) return null
    const inside = deal.ownerId !== null && ownersInScope(reference, scope).has(deal.ownerId)
    return inside ? null : { kind: 'excluded', what: 'scope' }
  }

  /** What keeps every rule from holding. */
  #protection(): Protection | null {
    const { parking, movedBackAt } = this.#log
    const { stalledSince, dismissedAt } = this.#memory
    const excluded = this.#excluded()
    if (excluded) return excluded
    if (this.#answer?.value === 'no') return { kind: 'answered_no' }
    if (parking.last !== null && parking.last.from <= this.#today && this.#today <= parking.last.to) {
      this.#soon(parking.last.to + 1)
      const { parkedReason } = this.#known.deal.own
      return { kind: 'parked', until: toDate(parking.last.to), capped: parking.last.capped, reason: parkedReason }
    }
    const silent = dismissedAt === null ? null : this.#within(this.#day(dismissedAt), WRONG_FLAG_SILENCE)
    if (silent !== null) return { kind: 'wrong_flag', until: silent }
    if (this.#isAway()) return null
    if (stalledSince === null && this.#known.deal.stageId === this.#context.archive?.stage) return { kind: 'archived' }
    const meeting = this.#meeting()
    if (meeting !== null) return { kind: 'meeting', on: toDate(meeting) }
    if (this.#answer?.value === 'yes') {
      const until = this.#within(this.#day(this.#answer.at), YES_PROTECTS)
      if (until !== null) return { kind: 'answered_yes', until }
    }
    if (movedBackAt === null || stalledSince !== null) return null
    const until = this.#within(this.#day(movedBackAt), MOVED_BACK_SILENCE)
    return until === null ? null : { kind: 'moved_back', until }
  }

  /** The day of a meeting near enough to protect. */
  #meeting(): Day | null {
    const { deal, changes } = this.#known
    const { meeting } = deal
    if (meeting === null || meeting.outside === false) return null
    const day = this.#day(meeting.at)
    if (day < this.#today) return null
    const { series } = meeting
    const first = series && changes.find((one) => one.field === 'meeting' && one.to?.startsWith(`${series} `))
    if (first && first.to !== `${series} ${meeting.id}`) return null
    const { calendar } = this.#context
    if (calendar.workingDaysBetween(this.#today, day, this.#owner) > MEETING_WITHIN) {
      this.#soon(this.#later(day, -MEETING_WITHIN))
      return null
    }
    this.#soon(day + 1)
    return day
  }

  /** What keeps all rules from holding but those that rest on a fact: a date the rep set, for old data a close date. */
  #halfProtection(): Protection | null {
    const { clock } = this.#log
    const { newDeal } = this.#context.policy.graceDays
    const created = this.#day(this.#known.deal.createdAt)
    if (this.#since(created) < newDeal) {
      this.#soon(this.#later(created, newDeal))
      return { kind: 'new_deal', until: toDate(this.#later(created, newDeal - 1)) }
    }
    if (clock.kind !== 'first_seen' || this.#idle > this.#limit) return null
    return { kind: 'history_unknown', until: toDate(this.#later(this.#day(clock.at), this.#limit)) }
  }

  #checks(open: boolean, only: Protection | null): readonly RuleCheck[] {
    const { deal } = this.#known
    const { policy } = this.#context
    const { decision, lastForward, pushes } = this.#log
    const answer = this.#answer
    const due = this.#due
    const today = this.#today
    const byRep = decision.due !== null
    const isNew = only?.kind === 'new_deal'
    const beyond = byRep && this.#stage?.decisionFrom != null && this.#stage.order >= this.#stage.decisionFrom
    const presented = policy.decision.stages.length > 0 && (decision.presentedAt !== null || beyond)
    const passed = due !== null && due < today
    if (due !== null) this.#soon(due + 1)
    const overForward = passed && lastForward !== null && this.#day(lastForward) > due
    const dueDate = due === null ? null : toDate(due)
    const capped = decision.due !== null && decision.due.set > decision.due.date
    const overdue = presented && passed && answer === null && !overForward

    const movedOn = answer !== null && lastForward !== null && lastForward > answer.at
    const maybe = answer?.value === 'maybe' && (passed || decision.maybes > 1) && !movedOn
    const yes = answer?.value === 'yes' ? this.#day(answer.at) : null
    const yesDays = yes === null ? null : this.#since(yes)
    if (yes !== null) this.#soon(this.#later(yes, YES_PROTECTS + 1))

    const close = deal.closeDate === null ? null : toDay(deal.closeDate)
    const grace = policy.graceDays.closeDate
    const past = close === null ? null : this.#since(close)
    if (close !== null && past !== null && past <= grace)
      this.#soon(this.#later(Math.max(close, today), grace + 1 - past))
    const firstPush = pushes[0]
    if (firstPush) this.#soon(toDay(firstPush.on) + PUSH_WINDOW + 1)

    const { parking } = this.#log
    const resume = parking.last !== null && parking.last.to > today ? parking.last.to : today
    for (const line of [this.#limit + 1, this.#limit - WARN_BEFORE_LIMIT])
      if (this.#idle < line) this.#soon(this.#later(resume, line - this.#idle))
    const { clock } = this.#log

    const date = { date: dueDate, derived: due !== null && !byRep, capped }
    // Who cannot answer or set a date, because the field is gone, is not flagged for it.
    const { decision: field, decisionDue } = this.#context.reference.fields ?? {}
    const blind = [field, decisionDue].some((one) => one?.readable === false)
    const asks = open && (!blind || DECISION_RULES.some((one) => one === this.#memory.rule))
    const isOverdue = asks && (byRep || only === null) && overdue
    const isMaybe = asks && (byRep || !isNew) && maybe
    const isYes = asks && !isNew && yesDays !== null && yesDays > YES_PROTECTS && !movedOn
    const isPast = open && !isNew && past !== null && (past > grace || this.#setInThePast(close))
    const isPushed = open && only === null && pushes.length >= policy.pushes
    const isIdle = open && only === null && this.#idle > this.#limit
    const late = presented && due !== null ? this.#since(due) : null
    const maybes = decision.maybes > 0 ? decision.maybes : null
    const answered = yes === null ? null : toDate(yes)
    return [
      { ...check('decision_overdue', isOverdue, late, presented ? 0 : null, 'working_days'), ...date },
      { ...check('answered_maybe', isMaybe, maybes, 1, 'answers'), ...date },
      check('yes_not_closed', isYes, yesDays, YES_PROTECTS, 'working_days', answered),
      check('close_date_passed', isPast, past, grace, 'working_days', deal.closeDate),
      check('pushed_repeatedly', isPushed, pushes.length, policy.pushes, 'pushes', pushes.at(-1)?.on ?? null),
      check('no_movement', isIdle, this.#idle, this.#limit, 'working_days', toDate(this.#day(clock.at))),
    ]
  }

  /** The grace is for reaching the rule: once flagged for it, a date that had passed when it was set does not end it. */
  #setInThePast(close: Day | null): boolean {
    if (close === null || this.#memory.rule !== 'close_date_passed') return false
    const set = Math.max(...this.#known.changes.filter(({ field }) => field === 'closeDate').map(({ at }) => at))
    return Number.isFinite(set) && close < this.#day(set)
  }

  #noStillOpen(): readonly Warning[] {
    if (this.#answer === null) return []
    const day = this.#day(this.#answer.at)
    const days = this.#since(day)
    this.#soon(this.#later(day, NO_LISTED_AFTER))
    return days >= NO_LISTED_AFTER ? [{ kind: 'no_still_open', sinceWorkingDays: days }] : []
  }

  #warnings(only: Protection | null): readonly Warning[] {
    const { policy } = this.#context
    const { decision, parking, pushes } = this.#log
    const warnings: Warning[] = []
    if (only?.kind === 'history_unknown') warnings.push({ kind: 'history_unknown', until: only.until })
    const left = this.#limit - this.#idle
    if (left <= WARN_BEFORE_LIMIT && only?.kind !== 'new_deal')
      warnings.push({ kind: 'limit_near', inWorkingDays: left, on: toDate(this.#later(this.#today, left)) })
    if (decision.presentedAt !== null && decision.due === null && this.#answer === null) {
      const day = this.#day(decision.presentedAt)
      const since = this.#since(day)
      this.#soon(this.#later(day, WARN_NO_DATE_AFTER))
      if (since >= WARN_NO_DATE_AFTER) warnings.push({ kind: 'no_decision_date', sinceWorkingDays: since })
    }
    if (pushes.length > 0 && pushes.length === policy.pushes - 1)
      warnings.push({ kind: 'one_push_left', pushes: pushes.length })
    const { parkedUntil } = this.#known.deal.own
    if (parking.refused && parkedUntil !== null) warnings.push({ kind: 'parked_again', until: parkedUntil })
    if (decision.refusedDate !== null) warnings.push({ kind: 'date_not_counted', date: decision.refusedDate })
    return warnings
  }

  #newOwnerUntil(): LocalDate | null {
    const { ownerSince } = this.#log
    return ownerSince === null ? null : this.#within(this.#day(ownerSince), NEW_OWNER_DAYS)
  }
}

function check(
  rule: Rule,
  holds: boolean,
  value: number | null,
  limit: number | null,
  unit: RuleCheck['unit'],
  date: LocalDate | null = null,
): RuleCheck {
  return { rule, holds, value, limit, unit, date }
}

const UNITS: Partial<Record<Rule, RuleCheck['unit']>> = { pushed_repeatedly: 'pushes', answered_maybe: 'answers' }
const NO_CHECKS = RULES.map((rule) => check(rule, false, null, null, UNITS[rule] ?? 'working_days'))
