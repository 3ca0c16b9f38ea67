// The rules of product.md once more, slow and plain: what a deal's story means on one night. Own working days, own
// movement, own push counting; nothing of src/core. What a rep writes into a field is known from the night that first
// sees it (no CRM tells its history); stage, amount, close date and the buyer's doings carry their own time.
import type { SeedStage } from '../../src/sandbox/seed.ts'
import { type Edit, type Instant, latest, type Story, type System } from './story.ts'

/** All that the oracle must be told of a configuration: nothing is assumed. */
export interface WorldSettings {
  readonly timezone: string
  readonly holidays: readonly string[]
  /** `2026-12-24/2027-01-02` or one date. */
  readonly closures: readonly string[]
  readonly absences: Readonly<Record<string, readonly string[]>>
  readonly policy: {
    readonly idleDays: { readonly default: number; readonly decisionStages: number }
    readonly graceDays: { readonly newDeal: number; readonly closeDate: number }
    readonly pushes: number
    readonly automationUsers: readonly string[]
    readonly decision: { readonly stages: readonly string[]; readonly days: number }
    readonly exclude: { readonly stages: readonly string[]; readonly types: readonly string[] }
    readonly parking: { readonly maxDays: number }
  }
  readonly tasks: { readonly perOwnerPerWeek: number; readonly dueDays: number }
  readonly firstNight: { readonly deadAfter: number }
  readonly brakes: { readonly maxNewlyStalledShare: number }
}

export const RULES = [
  ...(['decision_overdue', 'answered_maybe', 'yes_not_closed', 'close_date_passed'] as const),
  ...(['pushed_repeatedly', 'no_movement'] as const),
] as const
export type Rule = (typeof RULES)[number]

// ---- days

const DAY = 86_400_000
export const plus = (date: string, days: number): string =>
  new Date(Date.parse(date) + days * DAY).toISOString().slice(0, 10)

/** Dates are `YYYY-MM-DD`. */
export class Days {
  readonly #settings: WorldSettings
  readonly #format: Intl.DateTimeFormat
  readonly #known = new Map<string, number>()
  constructor(settings: WorldSettings) {
    this.#settings = settings
    this.#format = new Intl.DateTimeFormat('sv-SE', { timeZone: settings.timezone, dateStyle: 'short' })
  }
  date(at: Instant): string {
    return this.#format.format(at)
  }
  works(date: string, owner: string | null): boolean {
    const { holidays, closures, absences } = this.#settings
    const weekday = new Date(date).getUTCDay()
    if (weekday === 0 || weekday === 6 || holidays.includes(date)) return false
    const away = owner === null ? [] : (absences[owner] ?? [])
    return ![...closures, ...away].some((range) => range.slice(0, 10) <= date && date <= range.slice(-10))
  }
  /** Working dates d with from < d ≤ to. */
  between(from: string, to: string, owner: string | null): number {
    const asked = `${from} ${to} ${owner}`
    let days = this.#known.get(asked)
    if (days !== undefined) return days
    days = 0
    for (let date = plus(from, 1); date <= to; date = plus(date, 1)) if (this.works(date, owner)) days++
    this.#known.set(asked, days)
    return days
  }
  add(from: string, days: number, owner: string | null): string {
    let date = from
    for (let left = days; left > 0; ) {
      date = plus(date, 1)
      if (this.works(date, owner)) left--
    }
    return date
  }
}

// ---- stages

export interface Stages {
  of(id: string): { readonly stage: SeedStage; readonly pipeline: string; readonly order: number }
  readonly decides: (id: string) => boolean
  /** In or behind its pipeline's first decision stage. */
  readonly decidable: (id: string) => boolean
  readonly excluded: (id: string) => boolean
}
export const isClosed = ({ probability }: SeedStage): boolean => probability === 0 || probability === 1

export function stagesOf(
  pipelines: readonly { readonly id: string; readonly stages: readonly SeedStage[] }[],
  { policy }: WorldSettings,
  system: System,
): Stages {
  const each = pipelines.flatMap(({ id: pipeline, stages }) =>
    stages.map((stage, order) => ({ stage, pipeline, order })),
  )
  // Salesforce has one list of stages for all record types.
  const all = system === 'salesforce' ? each.map((one, order) => ({ ...one, order })) : each
  const of: Stages['of'] = (id) => {
    const found = all.find(({ stage }) => stage.id === id)
    if (!found) throw new Error(`no stage ${id}`)
    return found
  }
  const named = (list: readonly string[]) => (id: string) => {
    const { label } = of(id).stage
    return list.includes(id) || list.includes(label)
  }
  const decides = named(policy.decision.stages)
  const decidable = (id: string) => {
    const { pipeline, order } = of(id)
    return all.some(
      (one) => (system === 'salesforce' || one.pipeline === pipeline) && one.order <= order && decides(one.stage.id),
    )
  }
  return { of, decides, decidable, excluded: named(policy.exclude.stages) }
}

// ---- what a night sees of the rep's own fields

/** A field of the rep's as a night found it, where it differs from what the night before found. */
export interface Sighting {
  readonly night: number
  readonly at: Instant
  readonly field: Edit['field']
  readonly from: string | null
  readonly to: string | null
  /** Unstall had emptied it: not a person's doing. */
  readonly ours: boolean
  /** Seen for the first time. */
  readonly first: boolean
}

// ---- the evidence of one deal as of one night

export interface Evidence {
  readonly stageId: string
  readonly closed: 'won' | 'lost' | null
  readonly lastMovement: Instant
  /** The start of the clock is only the first night it was seen. */
  readonly historyUnknown: boolean
  readonly lastForward: Instant | null
  readonly movedBack: Instant | null
  readonly pushes: number
  readonly presented: boolean
  readonly due: { readonly date: string; readonly byRep: boolean } | null
  readonly answer: { readonly value: string; readonly night: number; readonly at: Instant } | null
  /** The rep's answer answers an earlier date: to be emptied. */
  readonly staleAnswer: boolean
  readonly maybes: number
  readonly parked: { readonly from: string; readonly to: string } | null
  readonly parkedSpans: readonly { readonly from: string; readonly to: string }[]
}

export interface Context {
  readonly system: System
  readonly settings: WorldSettings
  readonly days: Days
  readonly stages: Stages
  readonly firstNight: Instant
}

type Happened = (walk: Walk) => void

/** @param stalledSince start of the open stall, if one is open: weak movement after it does not count. */
export function evidenceOf(
  story: Story,
  sightings: readonly Sighting[],
  now: Instant,
  stalledSince: Instant | null,
  owner: string | null,
  context: Context,
): Evidence {
  const events: { at: Instant; rank: number; happened: Happened }[] = []
  const add = (at: Instant, rank: number, happened: Happened) => events.push({ at, rank, happened })
  for (const { at, to, by } of story.stages.slice(1)) add(at, 1, (walk) => walk.staged(at, to, by === 'person'))
  for (const at of story.talks) add(at, 2, (walk) => walk.strong(at))
  for (const { at, cancelled, outside, held } of story.meetings) {
    // Salesforce does not say whether a meeting took place: one that was not called off did.
    const took = context.system === 'salesforce' ? cancelled === null || cancelled > now : held && cancelled === null
    if (took && outside) add(at, 2, (walk) => walk.strong(at))
  }
  for (const [i, { at, to, by }] of story.amounts.entries()) {
    const from = story.amounts[i - 1]?.to ?? null
    if (i > 0 && by === 'person' && from !== null && to !== null && Math.abs(to - from) >= 0.05 * Math.abs(from))
      add(at, 2, (walk) => walk.weak(at))
  }
  for (const [i, { at, to, by }] of story.closeDates.entries()) {
    const from = story.closeDates[i - 1]?.to
    if (from !== undefined && from !== to) add(at, 2, (walk) => walk.closeDate(at, from, to, by === 'person'))
  }
  for (const seen of sightings) add(seen.at, 3, (walk) => walk.saw(seen))
  events.sort((a, b) => a.at - b.at || a.rank - b.rank)
  const walk = new Walk(story, context, stalledSince)
  for (const { at, happened } of events) if (at <= now) happened(walk)
  return walk.evidence(now, owner)
}

type Move = readonly [from: string, to: string]

/** One deal's story from its creation on, event by event. */
class Walk {
  readonly #story: Story
  readonly #context: Context
  readonly #stalledSince: Instant | null
  #stage: string
  #furthest: number
  #clock: Instant | null = null
  #lastForward: Instant | null = null
  #movedBack: Instant | null = null
  /** Close dates held since the last strong movement. */
  #dates: string[]
  /** Net moves by day: of the close date, of the decision date. */
  #pushes = new Map<string, { close: Move | null; due: Move | null }>()
  #presented: { readonly at: Instant; readonly order: number } | null = null
  #due: string | null = null
  #answer: Evidence['answer'] = null
  #staleAnswer = false
  #maybes = 0
  #newDates = 0
  readonly #rep: Partial<Record<Edit['field'], string | null>> = {}
  #parked: { from: string; to: string } | null = null
  #parkedSpans: { from: string; to: string }[] = []
  #parkedOnce = false

  constructor(story: Story, context: Context, stalledSince: Instant | null) {
    this.#story = story
    this.#context = context
    this.#stalledSince = stalledSince
    this.#stage = story.deal.stage
    this.#furthest = context.stages.of(this.#stage).order
    this.#dates = [story.deal.closeDate]
    this.#present(story.imported ? context.firstNight : story.deal.createdAt)
  }

  strong(at: Instant): void {
    this.#clock = at
    this.#parkedOnce = false
    this.#dates = [latest(this.#story.closeDates, at)?.to ?? '']
  }
  weak(at: Instant): void {
    if (this.#stalledSince !== null && at > this.#stalledSince) return
    this.#clock = at
    this.#parkedOnce = false
  }

  #present(at: Instant): void {
    const { stages } = this.#context
    if (this.#presented === null && stages.decides(this.#stage))
      this.#presented = { at, order: stages.of(this.#stage).order }
  }
  /** Earlier dates and answers no longer count. */
  #newRound(): void {
    this.#presented = null
    this.#due = null
    this.#answer = null
    this.#staleAnswer = false
    this.#maybes = 0
    this.#newDates = 0
  }

  staged(at: Instant, id: string, person: boolean): void {
    const { stages } = this.#context
    const from = stages.of(this.#stage)
    const to = stages.of(id)
    this.#stage = id
    if (isClosed(to.stage)) {
      if (person && to.pipeline !== from.pipeline) this.weak(at)
      return
    }
    if (isClosed(from.stage)) {
      this.#furthest = to.order
      if (person) {
        this.strong(at)
        this.#pushes.clear()
        this.#newRound()
      }
    } else if (to.pipeline !== from.pipeline) {
      this.#furthest = to.order
      if (person) this.weak(at)
    } else if (to.order > this.#furthest) {
      this.#furthest = to.order
      if (person) {
        this.strong(at)
        this.#lastForward = at
        this.#pushes.clear()
      }
    } else if (to.order < from.order) this.#movedBack = at
    // "Lapses on a move back before the decision stage", out of a closed stage too. A no is final until the deal is closed.
    const same = to.pipeline === from.pipeline
    const back = same && this.#presented !== null && to.order < this.#presented.order
    const wasDue = this.#due !== null && stages.decidable(from.stage.id)
    // In another pipeline only its own decision stage counts.
    if (!same && this.#presented) this.#presented = { ...this.#presented, order: 0 }
    if (back || ((this.#presented || wasDue) && !stages.decidable(id))) {
      const no = this.#answer?.value === 'no' ? this.#answer : null
      this.#newRound()
      this.#answer = no
    }
    this.#present(at)
  }

  closeDate(at: Instant, from: string, to: string, person: boolean): void {
    const earliest = this.#dates.toSorted()[0] ?? ''
    this.#dates.push(to)
    if (!person) return
    if (to < earliest) this.weak(at)
    const day = this.#pushDay(at)
    day.close = [day.close?.[0] ?? from, to]
  }
  #pushDay(at: Instant) {
    const today = this.#context.days.date(at)
    const day = this.#pushes.get(today) ?? { close: null, due: null }
    this.#pushes.set(today, day)
    return day
  }

  saw(seen: Sighting): void {
    const { field, to, night, at } = seen
    this.#rep[field] = to
    if (field === 'decision') {
      this.#answer = to === null ? null : { value: to, night, at }
      this.#staleAnswer = false
      if (to === 'maybe') this.#maybes++
      if ((to === 'yes' || to === 'no') && !seen.ours) this.#pushes.clear()
    } else if (field === 'decisionDue') this.#dated(seen)
    else if (field === 'parkedUntil' || field === 'parkedReason') this.#park(this.#context.days.date(at))
  }

  #dated({ from, to, at, first, night }: Sighting): void {
    const { days } = this.#context
    const had = this.#due !== null
    this.#due = null
    if (to === null) return
    const afterMaybe = this.#maybes > 0 && !first
    if (afterMaybe && this.#newDates > 0) {
      this.#due = from
      return
    }
    if (afterMaybe) this.#newDates++
    // One new date after a maybe, at most 15 working days out: a later one is judged as the last possible.
    const last = days.add(days.date(at), 15, null)
    this.#due = afterMaybe && to > last ? last : to
    if (this.#answer !== null && night > this.#answer.night) this.#staleAnswer = true
    if (had && from !== null) this.#pushDay(at).due = [from, to]
  }

  #park(today: string): void {
    const { parkedUntil, parkedReason } = this.#rep
    const wanted = parkedReason && parkedUntil && parkedUntil >= today ? parkedUntil : null
    const running = this.#parked !== null && today <= this.#parked.to ? this.#parked : null
    if (running !== null) {
      this.#parkedSpans.pop()
      this.#parkedSpans.push({ from: running.from, to: today })
    }
    if (wanted === null) {
      if (running !== null) running.to = plus(today, -1)
      return
    }
    // Once per stall without movement in between.
    if (running === null && this.#parkedOnce) return
    const from = running?.from ?? today
    const last = plus(from, this.#context.settings.policy.parking.maxDays)
    this.#parked = { from, to: wanted < last ? wanted : last }
    if (running !== null) this.#parkedSpans.pop()
    this.#parkedSpans.push({ ...this.#parked })
    this.#parkedOnce = true
  }

  evidence(now: Instant, owner: string | null): Evidence {
    const { days, stages, settings, firstNight } = this.#context
    const { deal, imported } = this.#story
    const isPush = (move: Move | null) =>
      move !== null &&
      move[1] > move[0] &&
      (move[1].slice(0, 7) > move[0].slice(0, 7) || days.between(move[0], move[1], null) >= 5)
    const window = plus(days.date(now), -180)
    const { probability } = stages.of(this.#stage).stage
    const presented = this.#presented
    const derived = presented && days.add(days.date(presented.at), settings.policy.decision.days, owner)
    return {
      stageId: this.#stage,
      closed: probability === 1 ? 'won' : probability === 0 ? 'lost' : null,
      lastMovement: this.#clock ?? (imported ? firstNight : deal.createdAt),
      historyUnknown: this.#clock === null && imported,
      lastForward: this.#lastForward,
      movedBack: this.#movedBack,
      pushes: [...this.#pushes].filter(([day, { close, due }]) => day >= window && (isPush(close) || isPush(due)))
        .length,
      // Whoever agreed a date behind the decision stage has presented a proposal, though nobody saw when.
      presented: presented !== null || (this.#due !== null && stages.decidable(this.#stage)),
      due: this.#due ? { date: this.#due, byRep: true } : derived ? { date: derived, byRep: false } : null,
      answer: this.#staleAnswer ? null : this.#answer,
      staleAnswer: this.#staleAnswer,
      maybes: this.#maybes,
      parked: this.#parked,
      parkedSpans: this.#parkedSpans,
    }
  }
}

// ---- the verdict of one night

export interface Before {
  /** Of the open stall. */
  readonly stalledSince: Instant | null
  readonly rule: Rule | null
  /** The night on which a person's clearing of the flag was seen. */
  readonly dismissedAt: Instant | null
}
export interface Verdict {
  readonly state: 'moving' | 'stalled' | 'parked' | 'answered_no' | 'closed'
  readonly rule: Rule | null
  /** Not ours to write to, beyond giving back what is borrowed. */
  readonly outside: boolean
  readonly evidence: Evidence
}

/** Product.md, "When a deal is stalled" and "Protected for a time". */
export function verdictOf(
  story: Story,
  sightings: readonly Sighting[],
  now: Instant,
  before: Before,
  owner: string | null,
  context: Context,
): Verdict {
  const { days, stages, settings } = context
  const { policy } = settings
  const evidence = evidenceOf(story, sightings, now, before.stalledSince, owner, context)
  const { stageId, answer, due, parked } = evidence
  const today = days.date(now)
  const since = (at: Instant) => days.between(days.date(at), today, owner)
  const excluded = stages.excluded(stageId) || policy.exclude.types.includes(story.deal.type ?? '')
  const outside = evidence.closed !== null || excluded
  const is = (state: Verdict['state'], rule: Rule | null = null): Verdict => ({ state, rule, outside, evidence })

  if (outside) return is(evidence.closed ? 'closed' : 'moving')
  if (answer?.value === 'no') return is('answered_no')
  if (parked !== null && parked.from <= today && today <= parked.to) return is('parked')
  if (before.dismissedAt !== null && since(before.dismissedAt) <= 10) return is('moving')
  const near = ({ at, booked, cancelled, outside }: Story['meetings'][number]) =>
    at > now &&
    booked <= now &&
    (cancelled === null || cancelled > now) &&
    outside &&
    days.between(today, days.date(at), owner) <= 10
  if (story.meetings.some(near)) return is('moving')
  if (answer?.value === 'yes' && since(answer.at) <= 10) return is('moving')
  if (evidence.movedBack !== null && before.stalledSince === null && since(evidence.movedBack) <= 5) return is('moving')

  const parkedDays = evidence.parkedSpans.reduce((sum, { from, to }) => {
    const start = days.date(evidence.lastMovement)
    const [a, b] = [from > start ? from : start, to < today ? to : today]
    return sum + (b > a ? days.between(a, b, owner) : 0)
  }, 0)
  const idle = since(evidence.lastMovement) - parkedDays
  const limit = stages.decides(stageId) ? policy.idleDays.decisionStages : policy.idleDays.default
  const isNew = since(story.deal.createdAt) < policy.graceDays.newDeal
  const unknown = evidence.historyUnknown && idle <= limit

  const passed = due !== null && due.date < today
  const forwardSince = (date: string) => evidence.lastForward !== null && days.date(evidence.lastForward) > date
  const forwardAfter = answer !== null && evidence.lastForward !== null && evidence.lastForward > answer.at
  const date = latest(story.closeDates, now)
  const late = date === undefined ? 0 : days.between(date.to, today, owner)
  // Once flagged for it, only a date that lay ahead when it was set ends it.
  const stillPast = before.rule === 'close_date_passed' && date !== undefined && date.to < days.date(date.at)
  const byRep = due?.byRep === true
  const holds: Record<Rule, boolean> = {
    decision_overdue:
      evidence.presented && passed && answer === null && !forwardSince(due.date) && (byRep || (!isNew && !unknown)),
    answered_maybe: answer?.value === 'maybe' && (passed || evidence.maybes > 1) && !forwardAfter && (byRep || !isNew),
    yes_not_closed: answer?.value === 'yes' && since(answer.at) > 10 && !forwardAfter && !isNew,
    close_date_passed: (late > policy.graceDays.closeDate || stillPast) && !isNew,
    pushed_repeatedly: evidence.pushes >= policy.pushes && !isNew && !unknown,
    no_movement: idle > limit && !isNew && !unknown,
  }
  const rule = RULES.find((one) => holds[one]) ?? null
  return is(rule === null ? 'moving' : 'stalled', rule)
}
