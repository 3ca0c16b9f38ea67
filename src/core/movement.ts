// What is known of a deal -> the movement log: the fixed list of events that count, each with who took part and when.
// Everything else is not movement. Own writes are left out here, once.
import { type Calendar, type Day, toDay } from './calendar.ts'
import type { Activity, Actor, Change, Instant, Known, LocalDate, Reference } from './deal.ts'
import { TOLERANCE } from './observe.ts'
import { type Policy, type Settings, type StageTable, stageTable } from './policy.ts'
import { type DecisionFacts, DecisionRound, Parking, type ParkingFacts } from './rounds.ts'

export { fieldText, observe } from './observe.ts'

export type MovementKind =
  | 'stage_forward'
  | 'stage_back'
  | 'reply'
  | 'meeting'
  | 'call'
  | 'reopened'
  | 'closed'
  | 'pipeline_moved'
  | 'archived'
  | 'amount_changed'
  | 'close_date_earlier'
  | 'close_date_later'
  | 'rep_activity'
  | 'field_edited'

export interface LogEntry {
  readonly at: Instant
  readonly kind: MovementKind
  readonly counts: 'strong' | 'weak' | 'no'
  /** Why it does not count (or only weakly), as data for `explain`; null where the kind says it all. */
  readonly why:
    | 'own_write'
    | 'automation'
    | 'not_beyond_furthest'
    | 'below_five_percent'
    | 'not_earlier_than_before'
    | 'rep_only'
    | 'no_outside_attendee'
    | 'unknown_participants'
    | 'unknown_actor'
    | 'not_movement'
    | 'unknown_stage'
    | 'after_flag'
    | null
  readonly by: Actor
  readonly source: string
  /** The field that changed; null for activities. */
  readonly field: Change['field'] | null
  readonly from: string | null
  readonly to: string | null
}

export interface Push {
  readonly on: LocalDate
  readonly from: LocalDate
  readonly to: LocalDate
}

export interface MovementLog {
  /** Oldest first. */
  readonly entries: readonly LogEntry[]
  /** Where the idle clock stands, weak movement after the start of an open stall left out. */
  readonly clock: { readonly at: Instant; readonly kind: MovementKind | 'created' | 'first_seen' }
  /** Last stage forward that counts. */
  readonly lastForward: Instant | null
  /** Pushes that count today: net per day, within 180 calendar days, since the last stage forward, reopening, yes or no. */
  readonly pushes: readonly Push[]
  readonly decision: DecisionFacts
  readonly parking: ParkingFacts
  readonly movedBackAt: Instant | null
  /** When the present owner took over; null: never seen to change. */
  readonly ownerSince: Instant | null
}

/** A write of ours that reached the CRM, to recognise its echo: user, field, value and time must all agree. */
export interface OwnWrite {
  readonly field: Change['field']
  /** As `fieldText` gives it. */
  readonly to: string | null
  readonly at: Instant
  /** Back out of the archive: push and decision rounds start anew. */
  readonly reactivates?: boolean
}

export interface MovementContext {
  readonly reference: Reference
  readonly policy: Policy
  /** Its stage is no progress. */
  readonly archive?: Settings['archive']
  readonly calendar: Calendar
}

/** A pipeline and its stage change in one save, within this. */
const ONE_SAVE = 60_000
const PUSH_DAYS = 5
/** Calendar days a push counts. */
export const PUSH_WINDOW = 180

/**
 * The movement log of one deal at `now`. `seen.changes` and `seen.activities` are oldest first, as `observe` leaves
 * them. `own`: our writes of this deal that reached the CRM. `stalledSince`: weak movement after it leaves the clock.
 */
export function movementLog(
  seen: Known,
  own: readonly OwnWrite[],
  context: MovementContext,
  stalledSince: Instant | null,
  now: Instant,
): MovementLog {
  const known = own.length === 0 ? seen : withAnswerAgain(seen, own)
  const { changes, activities } = known
  const pass = new Pass(known, own, context, stalledSince, now)
  let next = 0
  const activitiesBefore = (at: Instant) => {
    for (let one = activities[next]; one !== undefined && one.at < at; one = activities[++next]) pass.activity(one)
  }
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i]
    if (change === undefined || change.at > now + TOLERANCE) break
    activitiesBefore(change.at)
    pass.change(change, i)
  }
  activitiesBefore(now + 1)
  return pass.finish()
}

/**
 * An answer we emptied, given again in the same word before any night saw it empty: two observations do not differ.
 * Dated by our write, so that it stays where it is when the deal is edited later.
 */
function withAnswerAgain(known: Known, own: readonly OwnWrite[]): Known {
  const { changes, deal } = known
  const { decision } = deal.own
  let last: OwnWrite | null = null
  for (const one of own) if (one.field === 'decision' && one.at >= (last?.at ?? one.at)) last = one
  if (last === null || last.to !== null || decision === null || deal.modifiedAt <= last.at) return known
  const { at } = last
  if (changes.some((one) => one.field === 'decision' && one.at > at)) return known
  const answer = { field: 'decision', at, by: 'unknown', source: 'observed' } as const
  const emptiedAndGiven = [
    { ...answer, to: null },
    { ...answer, from: null, to: decision },
  ]
  const next = changes.findIndex((one) => one.at > at)
  return { ...known, changes: changes.toSpliced(next < 0 ? changes.length : next, 0, ...emptiedAndGiven) }
}

type Counts = LogEntry['counts']
type Who = 'person' | 'unknown' | 'automation' | 'own'

/** One walk over changes and activities, oldest first. */
class Pass {
  readonly entries: LogEntry[] = []
  readonly #known: Known
  readonly #own: readonly OwnWrite[]
  readonly #context: MovementContext
  readonly #table: StageTable
  readonly #stalledSince: Instant | null
  readonly #now: Instant
  readonly #decision = new DecisionRound()
  readonly #parking = new Parking()
  #clock: MovementLog['clock'] | null = null
  #lastForward: Instant | null = null
  #movedBackAt: Instant | null = null
  #ownerSince: Instant | null = null
  #pipeline: string
  #pipelineMovedAt = Number.NEGATIVE_INFINITY
  #furthest: number | null = null
  /** Each field's value as far as walked; absent: not met yet. */
  readonly #held: Partial<Record<Change['field'], string | null>> = {}
  /** The earliest close date held since the last strong movement; null: only the present one, not yet met. */
  #earliest: LocalDate | null = null
  #pushes: Push[] = []
  /** Net moves of the day being walked: close date first, then decision date. */
  #pushDay: LocalDate | null = null
  #moved: [Omit<Push, 'on'> | null, Omit<Push, 'on'> | null] = [null, null]

  constructor(known: Known, own: readonly OwnWrite[], context: MovementContext, stalled: Instant | null, now: Instant) {
    this.#known = known
    this.#own = own
    this.#context = context
    this.#stalledSince = stalled
    this.#now = now
    this.#table = stageTable(context.reference, context.policy)
    let moved: Change | undefined
    let staged: Change | undefined
    for (const one of known.changes) {
      if (one.field === 'pipeline') moved ??= one
      else if (one.field === 'stage') staged ??= one
    }
    this.#pipeline = moved?.from ?? known.deal.pipelineId
    if (staged === undefined) this.#begin(known.deal.stageId)
    else if (staged.from) this.#begin(staged.from)
  }

  #begin(stage: string): void {
    const { deal, firstSeen } = this.#known
    this.#held.stage = stage
    const facts = this.#table(this.#pipeline, stage)
    if (facts === undefined) return
    this.#furthest = facts.order
    this.#decision.enter(undefined, facts, deal.imported ? firstSeen : deal.createdAt)
  }

  activity(one: Activity): void {
    const { at, outside, id: source } = one
    const entry = { at, by: 'person', source, field: null, from: null, to: null } as const
    if (one.kind !== 'reply' && one.kind !== 'meeting' && one.kind !== 'call') {
      const any = this.#context.policy.countActivity === 'any'
      this.#add({ ...entry, kind: 'rep_activity', counts: any ? 'weak' : 'no', why: any ? null : 'rep_only' })
    } else if (outside === false) this.#add({ ...entry, kind: one.kind, counts: 'no', why: 'no_outside_attendee' })
    else this.#add({ ...entry, kind: one.kind, counts: 'strong', why: outside ? null : 'unknown_participants' })
  }

  change(one: Change, index: number): void {
    const { field, to } = one
    const held = this.#held[field]
    if (one.source === 'observed' && (held === to || this.#toldLater(one, index))) return
    const from = one.from === undefined ? held : one.from
    this.#held[field] = to
    if (from === to && to !== null) return
    const who = this.#who(one.source === 'observed' ? this.#saver(one) : one)
    const before = from ?? null
    if (field === 'stage') this.#stageChange(one, before, who)
    else if (field === 'pipeline') this.#pipelineChange(one, before, who)
    else if (field === 'amount') this.#amountChange(one, before, who)
    else if (field === 'closeDate') this.#closeDateChange(one, before, who)
    else if (field !== 'meeting') {
      if (field === 'decision') this.#answer(one, who)
      else if (field === 'decisionDue') this.#dated(one, before, who)
      else if (field === 'parkedUntil' || field === 'parkedReason') this.#park(this.#day(one.at))
      else if (field === 'owner' && one.from !== undefined && to !== null) this.#ownerSince = one.at
      this.#log(one, before, 'field_edited', who, 'no', 'not_movement')
    }
  }

  /** Who moved a deal to another pipeline is told, if at all, with the stage of the same save. */
  #saver(one: Change): Change {
    const staged = ({ field, at, source }: Change) => field === 'stage' && at === one.at && source !== 'observed'
    return (one.field === 'pipeline' && this.#known.changes.find(staged)) || one
  }

  /** The CRM's own telling of an observed change, a little later by its clock. */
  #toldLater(one: Change, index: number): boolean {
    const { changes } = this.#known
    for (let i = index + 1; i < changes.length; i++) {
      const next = changes[i]
      if (next === undefined || next.at > one.at + TOLERANCE) return false
      if (next.field === one.field && next.to === one.to && next.source !== 'observed') return true
    }
    return false
  }

  #who(one: Change): Who {
    if (this.#own.length > 0 && (one.by === 'self' || one.source === 'observed') && this.#isOwn(one)) return 'own'
    const { trustedSources, automationUsers } = this.#context.policy
    const trusted = (one.field === 'stage' || one.field === 'amount') && trustedSources.includes(one.source)
    if (!trusted && (one.by === 'automation' || automationUsers.includes(one.source))) return 'automation'
    return one.by === 'unknown' ? 'unknown' : 'person'
  }

  #isOwn(one: Change): boolean {
    if (one.source !== 'observed')
      return this.#own.some((w) => w.field === one.field && w.to === one.to && Math.abs(w.at - one.at) <= TOLERANCE)
    // Seen the night after: ours if the last thing we wrote there is what is there.
    let last: OwnWrite | undefined
    for (const w of this.#own)
      if (w.field === one.field && w.at <= one.at + TOLERANCE && (last === undefined || w.at >= last.at)) last = w
    return last?.to === one.to
  }

  /** The last stage we wrote by then brought the deal back. */
  #reactivates({ at }: Change): boolean {
    return this.#own.findLast((w) => w.field === 'stage' && w.at <= at + TOLERANCE)?.reactivates === true
  }

  #stageChange(one: Change, fromId: string | null, who: Who): void {
    const from = fromId === null ? undefined : this.#table(this.#pipeline, fromId)
    const to = one.to === null ? undefined : this.#table(this.#pipeline, one.to)
    const person = who === 'person' || who === 'unknown'
    if (to === undefined) {
      this.#log(one, fromId, 'field_edited', who, 'no', 'unknown_stage')
      return
    }
    const furthest = this.#furthest ?? from?.order ?? to.order
    const archive = this.#context.archive?.stage
    // Put away, or taken back by an undo: as if it had stood where it was.
    const away = to.id === archive && to.outcome === 'open' && from?.id !== archive
    if (away || (who === 'own' && !this.#reactivates(one))) {
      this.#log(one, fromId, away ? 'archived' : 'field_edited', who, 'no', null)
      return
    }
    const out = from?.id === archive && from?.outcome === 'open'
    const reopened = from !== undefined && (from.outcome !== 'open' || out) && to.outcome === 'open'
    const elsewhere = from !== undefined && to.pipelineId !== from.pipelineId
    const sameSave = one.at - this.#pipelineMovedAt <= ONE_SAVE
    this.#furthest = to.outcome !== 'open' ? furthest : Math.max(furthest, to.order)
    if (fromId === null) this.#furthest = to.order
    else if (reopened) {
      this.#furthest = to.order
      const { answer } = this.#decision
      if (person || who === 'own') {
        this.#newPushRound()
        this.#decision.restart(false)
      }
      if (who === 'own') {
        // Out of the archive: a few days to carry on, and the yes that may have brought it back.
        this.#movedBackAt = one.at
        if (answer?.value === 'yes') this.#decision.answered('yes', answer.at, true)
      }
      this.#log(one, fromId, 'reopened', who, 'strong', null)
    } else if (to.outcome !== 'open') this.#log(one, fromId, 'closed', who, 'no', null)
    else if (elsewhere || sameSave) {
      this.#furthest = to.order
      this.#pipelineMovedAt = one.at
      // Where the pipeline's own change was logged already, this is its second half.
      this.#log(one, fromId, 'pipeline_moved', who, sameSave ? 'no' : 'weak', sameSave ? 'not_movement' : null)
    } else if (from === undefined) this.#log(one, fromId, 'field_edited', who, 'no', 'unknown_stage')
    else if (to.order > furthest) {
      if (person) {
        this.#lastForward = one.at
        this.#newPushRound()
      }
      this.#log(one, fromId, 'stage_forward', who, 'strong', null)
    } else if (to.order > from.order) this.#log(one, fromId, 'stage_forward', who, 'no', 'not_beyond_furthest')
    else {
      this.#movedBackAt = one.at
      this.#log(one, fromId, 'stage_back', who, 'no', null)
    }
    this.#pipeline = to.pipelineId
    this.#decision.enter(elsewhere || sameSave ? undefined : from, to, one.at)
  }

  #pipelineChange(one: Change, from: string | null, who: Who): void {
    if (one.to === null || this.#pipeline === one.to) return
    this.#pipeline = one.to
    this.#pipelineMovedAt = one.at
    const { stage } = this.#held
    this.#furthest = stage ? (this.#table(one.to, stage)?.order ?? null) : null
    this.#log(one, from, 'pipeline_moved', who, 'weak', null)
  }

  #amountChange(one: Change, from: string | null, who: Who): void {
    if (from !== null && one.to !== null && Number(from) === Number(one.to)) return
    const between = from !== null && one.to !== null
    const enough = between && Math.abs(Number(one.to) - Number(from)) * 20 >= Math.abs(Number(from))
    if (enough) this.#log(one, from, 'amount_changed', who, 'weak', null)
    else this.#log(one, from, 'amount_changed', who, 'no', between ? 'below_five_percent' : 'not_movement')
  }

  #closeDateChange(one: Change, from: LocalDate | null, who: Who): void {
    const { to } = one
    const held = earlier(this.#earliest, from)
    this.#earliest = earlier(held, to)
    if (from === null || to === null) {
      this.#log(one, from, 'field_edited', who, 'no', 'not_movement')
      return
    }
    if (who === 'person' || who === 'unknown') this.#move(0, one.at, from, to)
    if (to > from) this.#log(one, from, 'close_date_later', who, 'no', null)
    else if (held === null || to < held) this.#log(one, from, 'close_date_earlier', who, 'weak', null)
    else this.#log(one, from, 'close_date_earlier', who, 'no', 'not_earlier_than_before')
  }

  #answer(one: Change, who: Who): void {
    this.#decision.answered(one.to, one.at, who === 'own')
    if ((one.to === 'yes' || one.to === 'no') && who !== 'own') this.#newPushRound()
  }

  #dated(one: Change, from: LocalDate | null, who: Who): void {
    const counted = this.#decision.due !== null
    const by = who === 'own' || who === 'automation' ? 'machine' : 'person'
    this.#decision.dated(one.to, one.at, by, one.from === undefined, this.#context.calendar)
    // A date that had lapsed is not pushed by a new one.
    if (by === 'person' && counted && from !== null && one.to !== null) this.#move(1, one.at, from, one.to)
  }

  #park(day: Day): void {
    const { parkedUntil = null, parkedReason = null } = this.#held
    this.#parking.set(parkedUntil, parkedReason, day, this.#context.policy.parking.maxDays)
  }

  #day(at: Instant): Day {
    return this.#context.calendar.localDay(at)
  }

  /** Own writes and automation never count; an unknown actor counts and is named. */
  #log(one: Change, from: string | null, kind: MovementKind, who: Who, counts: Counts, why: LogEntry['why']): void {
    const { at, source, field, to } = one
    if (who === 'own' || who === 'automation') {
      const [reason, by] = who === 'own' ? (['own_write', 'self'] as const) : ([who, who] as const)
      this.#add({ at, kind, counts: 'no', why: reason, by, source, field, from, to })
    } else {
      const reason = counts !== 'no' && who === 'unknown' ? 'unknown_actor' : why
      this.#add({ at, kind, counts, why: reason, by: who, source, field, from, to })
    }
  }

  #add(entry: LogEntry): void {
    const { at, kind, counts } = entry
    if (counts === 'strong') this.#earliest = null
    const flagged = counts === 'weak' && this.#stalledSince !== null && at > this.#stalledSince
    if (counts !== 'no' && !flagged) {
      this.#clock = { at, kind }
      this.#parking.moved()
    }
    this.entries.push(flagged ? { ...entry, why: 'after_flag' } : entry)
  }

  #newPushRound(): void {
    this.#pushes = []
    this.#pushDay = null
    this.#moved = [null, null]
  }

  #move(which: 0 | 1, at: Instant, from: LocalDate, to: LocalDate): void {
    const day = this.#context.calendar.localDate(at)
    if (day !== this.#pushDay) this.#endDay()
    this.#pushDay = day
    this.#moved[which] = { from: this.#moved[which]?.from ?? from, to }
  }

  /** Several moves on one day are one, net. */
  #endDay(): void {
    if (this.#pushDay === null) return
    const push = this.#moved.find((one) => one !== null && this.#isPush(one.from, one.to))
    if (push) this.#pushes.push({ on: this.#pushDay, ...push })
    this.#moved = [null, null]
  }

  #isPush(from: LocalDate, to: LocalDate): boolean {
    if (to <= from) return false
    return (
      to.slice(0, 7) > from.slice(0, 7) ||
      this.#context.calendar.workingDaysBetween(toDay(from), toDay(to)) >= PUSH_DAYS
    )
  }

  finish(): MovementLog {
    const { deal, firstSeen } = this.#known
    const context = this.#context
    const today = this.#day(this.#now)
    this.#endDay()
    // A store filled before a field was watched: what it holds was first seen with the deal.
    const held = this.#held
    const { decisionDue, decision, parkedUntil, parkedReason } = deal.own
    if ((held.decision ?? null) !== decision) this.#decision.answered(decision, firstSeen, false)
    if ((held.decisionDue ?? null) !== decisionDue)
      this.#decision.dated(decisionDue, firstSeen, 'machine', true, context.calendar)
    if ((held.parkedUntil ?? null) !== parkedUntil || (held.parkedReason ?? null) !== parkedReason) {
      held.parkedUntil = parkedUntil
      held.parkedReason = parkedReason
      this.#park(parkedUntil === null || parkedReason === null ? today : this.#day(firstSeen))
    }
    const started = deal.imported
      ? ({ at: firstSeen, kind: 'first_seen' } as const)
      : ({ at: deal.createdAt, kind: 'created' } as const)
    const moved = this.#clock
    const clock = moved !== null && (deal.imported || moved.at >= started.at) ? moved : started
    return {
      entries: this.entries,
      clock: clock.at > this.#now ? { at: this.#now, kind: clock.kind } : clock,
      lastForward: this.#lastForward,
      pushes:
        this.#pushes.length === 0 ? this.#pushes : this.#pushes.filter((one) => toDay(one.on) >= today - PUSH_WINDOW),
      decision: this.#decision,
      parking: this.#parking,
      movedBackAt: this.#movedBackAt,
      ownerSince: this.#ownerSince,
    }
  }
}

/** The earlier of two dates; null is no date. */
function earlier(a: LocalDate | null, b: LocalDate | null): LocalDate | null {
  return a === null || (b !== null && b < a) ? b : a
}
