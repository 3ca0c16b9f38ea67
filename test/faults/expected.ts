// From night to night: what rules.ts says of a deal becomes a stall with a start, a borrowed category, a task; and what
// the deal's fields in the CRM must hold after each night, with which of them change on it.
import {
  type Context,
  Days,
  type Verdict as Judged,
  plus,
  type Rule,
  type Sighting,
  stagesOf,
  verdictOf,
  type WorldSettings,
} from './rules.ts'
import {
  CATEGORIES,
  type Edit,
  type Field,
  type Held,
  type Instant,
  isAct,
  isDeal,
  type SeedLike,
  type Story,
  type System,
  storiesOf,
  taskOf,
} from './story.ts'

export interface Judgement {
  readonly seed: SeedLike
  readonly settings: WorldSettings
  readonly system: System
  /** `now` of each night that ran and wrote, the confirmed first one included, oldest first. */
  readonly nights: readonly Instant[]
  readonly held: Held
  /** Of the other connections of the same company: the weekly task budget of a person is one over all of them. */
  readonly elsewhere?: readonly Held[]
  /** Deals that nobody judges: planted malformed records, or those the CRM was told to refuse. */
  readonly except?: (name: string) => boolean
  /** The number the world was made with, for the sentences. */
  readonly number?: number
}

export interface ExpectedTask {
  /** Night that opened the stall it belongs to. */
  readonly since: number
  /** Night on which it is made. */
  readonly made: number
  /** Then; by e-mail. */
  readonly owner: string
  readonly state: 'open' | 'completed' | 'deleted by a person'
  /** A person completed or deleted it. */
  readonly theirs: boolean
}

/** One deal after one night. Nights count from 0, the first one that wrote. */
export interface Expected {
  readonly state: Judged['state'] | 'gone'
  readonly stalled: boolean
  readonly reason: Rule | null
  readonly since: number | null
  /** As of the night it was last written; null: never. */
  readonly lastMovement: Instant | null
  /** In the CRM's own words; null is blank. */
  readonly category: string | null
  readonly categoryOmitted: boolean
  /** Null: nothing is borrowed; `(blank)`: it was blank. */
  readonly categoryBefore: string | null
  readonly decision: string | null
  /** Of the present stall. */
  readonly task: ExpectedTask['state'] | 'none'
  /** Of every stall so far. */
  readonly tasks: readonly ExpectedTask[]
  /** A task is due but for the weekly budget of its owner. */
  readonly budget: string | null
  /** What this night changes in the CRM. */
  readonly writes: ReadonlySet<Field>
  /** Somebody touched the deal during this night's run: nothing need have been written, or only a part. */
  readonly mayLack: boolean
}

/** Whoever acts within this time of a night's `now` acts during its run. */
export const RUN_MS = 6 * 3_600_000
/** -1: before the first one. */
export const nightOf = (nights: readonly Instant[], at: string | Instant): number =>
  nights.findLastIndex((now) => now <= (typeof at === 'number' ? at : Date.parse(at)))

/** What each deal must look like after each night. Deals the sandbox never had are left out. */
export function expected(given: Judgement): ReadonlyMap<string, readonly Expected[]> {
  const { seed, settings, system, nights, held } = given
  const context: Context = {
    ...{ system, settings, days: new Days(settings), stages: stagesOf(seed.pipelines, settings, system) },
    firstNight: nights[0] ?? 0,
  }
  const done = doneBy(given)
  const all = new Map<string, readonly Expected[]>()
  for (const [name, story] of storiesOf(system, seed, held)) {
    const life = new Life(story, held, context)
    all.set(
      name,
      nights.map((_, night) => life.night(night, nights, done)),
    )
  }
  return all
}

/** What the client is seen to have done, in the journal. */
interface Done {
  /** When a deal was last written to on a night: by `<deal> <night>`. */
  readonly writes: Map<string, Instant>
  /** Nights on which the tasks of a deal were made. */
  readonly tasks: Map<string, readonly number[]>
  /** Place of a task among those of its deal. */
  readonly index: Map<string, number>
  /** `<person> <week>`: nights of their new tasks. */
  readonly weekly: Map<string, readonly number[]>
}
/** What the client did, by the journals. */
export function doneBy({ held, elsewhere = [], nights, settings }: Judgement): Done {
  const days = new Days(settings)
  const done: Done = { writes: new Map(), tasks: new Map(), index: new Map(), weekly: new Map() }
  for (const { journal, owners } of [held, ...elsewhere]) {
    const emails = new Map([...owners].map(([email, id]) => [id, email]))
    for (const line of journal) {
      if (isAct(line)) continue
      const night = nightOf(nights, line.at)
      if (isDeal(line)) done.writes.set(`${line.id} ${night}`, Date.parse(line.at))
      if (isDeal(line) || line.before !== null || line.after === null) continue
      const { deal, owner } = taskOf(line.after)
      const list = done.tasks.get(deal) ?? []
      done.index.set(line.id, list.length)
      done.tasks.set(deal, [...list, night])
      const week = `${emails.get(owner)} ${isoWeek(days.date(nights[night] ?? 0))}`
      done.weekly.set(week, [...(done.weekly.get(week) ?? []), night])
    }
  }
  return done
}
/** The Monday of the ISO week of a date. */
const isoWeek = (date: string) => plus(date, -((new Date(date).getUTCDay() + 6) % 7))

const WATCHED = ['decision', 'decisionDue', 'parkedReason', 'parkedUntil'] as const
const OURS = ['stalled', 'state', 'reason', 'since', 'lastMovement', 'category', 'categoryBefore', 'decision'] as const
type Crm = Record<(typeof OURS)[number], string | number | boolean | null>

/** One deal through all nights. */
class Life {
  readonly #story: Story
  readonly #held: Held
  readonly #context: Context
  readonly #edits: Edit[]
  /** What people and the CRM set, and what unstall should have written. */
  readonly #value: Partial<Record<Edit['field'], string | null>> = {}
  #categoryBy: Edit['by'] | 'unstall' = 'person'
  readonly #seen: Sighting[] = []
  #tasks: ExpectedTask[] = []
  /** `dead`: before the first night already, so that it never gets a task. */
  #stall: { readonly since: number; readonly rule: Rule; readonly dead: boolean } | null = null
  #dismissedAt: Instant | null = null
  /** The category we took, and the stage then. */
  #loan: { readonly saved: string | null; readonly stage: string } | null = null
  /** A person put the category back: theirs for the rest of this stall. */
  #theirs = false
  #ownerSince: Instant | null = null
  #state: Expected['state'] = 'moving'
  #crm: Crm = {
    ...{ stalled: false, state: null, reason: null, since: null, lastMovement: null },
    ...{ category: null, categoryBefore: null, decision: null },
  }

  constructor(story: Story, held: Held, context: Context) {
    this.#story = story
    this.#held = held
    this.#context = context
    this.#edits = story.edits.toSorted((a, b) => a.at - b.at)
  }

  night(night: number, nights: readonly Instant[], done: Done): Expected {
    const story = this.#story
    const now = nights[night] ?? 0
    this.#look(night, now)
    this.#peopleOnTasks(now, done.index)
    if (story.deleted !== null && story.deleted <= now) {
      this.#state = 'gone'
      return this.#result(new Set(), false, null)
    }
    const { since } = this.#stall ?? {}
    const before = {
      stalledSince: since === undefined ? null : (nights[since] ?? null),
      ...{ rule: this.#stall?.rule ?? null, dismissedAt: this.#dismissedAt },
    }
    const verdict = verdictOf(story, this.#seen, now, before, this.#value.owner ?? null, this.#context)
    const disturbed = story.touched.some((at) => at > now && at < now + RUN_MS)
    const wrote = done.writes.get(`${story.id} ${night}`)
    // Dropped to the next night: a stall that never showed has not begun, one whose flag still shows has not ended.
    if (disturbed && wrote === undefined) return this.#result(new Set(), true, null)
    const cleared = this.#stall !== null && this.#crm.stalled !== true
    // What was done before our write and did not keep us from it had changed nothing.
    for (; this.#edits[0] !== undefined && this.#edits[0].at <= (wrote ?? 0); this.#edits.shift());
    const was: Crm = { ...this.#crm, category: this.#value.category ?? null, decision: this.#value.decision ?? null }
    this.#advance(night, now, verdict, cleared)
    const out = this.#state === 'stalled' || this.#state === 'parked' || this.#state === 'answered_no'
    this.#forecast(verdict, out)
    if (verdict.evidence.staleAnswer && !verdict.outside && this.#value.decision) {
      const from = this.#value.decision
      this.#value.decision = null
      this.#seen.push({ night, at: now, field: 'decision', from, to: null, ours: true, first: false })
    }
    const budget = this.#task(night, now, done)

    const own = {
      stalled: this.#stall !== null,
      // Never touched: it stays blank.
      state: this.#crm.state !== null || out ? (out ? this.#state : 'moving') : null,
      reason: this.#stall?.rule ?? null,
      since: this.#stall?.since ?? null,
    }
    const changed = (['stalled', 'state', 'reason', 'since'] as const).some((field) => own[field] !== this.#crm[field])
    const { lastMovement } = changed ? verdict.evidence : this.#crm
    const { category = null, decision = null } = this.#value
    this.#crm = { ...this.#crm, ...own, lastMovement, category, decision }
    const writes = new Set<Field>(OURS.filter((field) => this.#crm[field] !== was[field]))
    if (changed) writes.add('explanation').add('lastMovement')
    return this.#result(writes, disturbed, budget)
  }

  /** Everything set since the night before; what a rep wrote is known from now on. */
  #look(night: number, now: Instant): void {
    const was = { ...this.#value }
    /** What a stage change of these days set. Whoever sets the same again cannot be told from it. */
    let byCrm: string | null | undefined
    for (let edit = this.#edits[0]; edit !== undefined && edit.at <= now; edit = this.#edits[0]) {
      this.#edits.shift()
      // No CRM tells who set a category that did not change with its stage: whoever it was counts as a person.
      if (edit.field === 'category' && edit.by === 'crm') byCrm = edit.to
      if (edit.field === 'category' && edit.by === 'crm') this.#categoryBy = 'crm'
      else if (edit.field === 'category' && edit.to !== (this.#value.category ?? null)) this.#categoryBy = 'person'
      this.#value[edit.field] = edit.to
      if (edit.field === 'stalled') this.#crm.stalled = edit.to === 'true'
    }
    if (byCrm !== undefined && this.#value.category === byCrm) this.#categoryBy = 'crm'
    for (const field of WATCHED) {
      const [from, to] = [was[field] ?? null, this.#value[field] ?? null]
      if (from !== to) this.#seen.push({ night, at: now, field, from, to, ours: false, first: night === 0 })
    }
    if (night > 0 && was.owner !== this.#value.owner) this.#ownerSince = now
  }

  #peopleOnTasks(now: Instant, index: ReadonlyMap<string, number>): void {
    for (const { at, task, what } of this.#story.tasks) {
      const state = what === 'completed' ? 'completed' : 'deleted by a person'
      if (at <= now)
        this.#tasks = this.#tasks.map((one, i) =>
          i === index.get(task) && (one.state === 'open' || what === 'deleted') ? { ...one, state, theirs: true } : one,
        )
    }
  }

  #advance(night: number, now: Instant, { state, rule, evidence }: Judged, cleared: boolean): void {
    const { days, firstNight, settings } = this.#context
    const idle = days.between(days.date(evidence.lastMovement), days.date(firstNight), this.#value.owner ?? null)
    const dead = this.#stall?.dead === true || idle > settings.firstNight.deadAfter

    // A person cleared the flag of a deal that is stalled still: a wrong flag.
    if (cleared && state === 'stalled') this.#dismissedAt = now
    if (state !== 'stalled' || rule === null || cleared) {
      this.#stall = null
      this.#state = state === 'stalled' ? 'moving' : state
      return
    }
    if (this.#stall === null) this.#theirs = false
    this.#stall = { since: this.#stall?.since ?? night, rule, dead }
    this.#state = state
  }

  /** Borrowed while the deal is out of the forecast, given back as product.md, "Forecast", says. */
  #forecast({ evidence: { stageId, closed } }: Judged, out: boolean): void {
    const { system, stages } = this.#context
    const words = CATEGORIES[system]
    const category = this.#value.category ?? null
    const give = (to: string | null) => {
      this.#value.category = to
      this.#categoryBy = 'unstall'
    }
    if (out) {
      if (category === words.omitted) return
      if (this.#loan !== null && this.#categoryBy === 'person') this.#theirs = true
      if (this.#theirs) return
      this.#loan = { saved: category, stage: stageId }
      this.#crm.categoryBefore = category ?? '(blank)'
      give(words.omitted)
      return
    }
    if (this.#loan !== null && category === words.omitted) {
      const { saved, stage } = this.#loan
      // HubSpot's stages map to no category.
      const mapped = system === 'salesforce' && stage !== stageId ? words[stages.of(stageId).stage.category] : saved
      give(closed === 'won' ? words.closed : mapped)
    }
    this.#loan = null
    this.#theirs = false
    this.#crm.categoryBefore = null
  }

  /** One a stall; none for deals dead before the first night, for owners who left, for new ones in their first days.
   *  @returns whose weekly budget it waits for, if that is spent */
  #task(night: number, now: Instant, done: Done): string | null {
    const { days, settings } = this.#context
    const owner = this.#value.owner ?? null
    const since = this.#stall?.since ?? null
    this.#tasks = this.#tasks.map((one) =>
      one.since !== since && one.state === 'open' ? { ...one, state: 'completed' } : one,
    )
    if (since === null || owner === null || this.#tasks.some((one) => one.since === since)) return null
    const between = (from: Instant, to: Instant) => days.between(days.date(from), days.date(to), owner)
    const settling = this.#ownerSince !== null && between(this.#ownerSince, now) <= 5
    if (this.#stall?.dead || settling || !this.#held.active.has(owner)) return null
    const week = done.weekly.get(`${owner} ${isoWeek(days.date(now))}`) ?? []
    const spent = week.filter((at) => at <= night).length >= settings.tasks.perOwnerPerWeek
    if (spent && !done.tasks.get(this.#story.id)?.includes(night)) return owner
    this.#tasks.push({ since, made: night, owner, state: 'open', theirs: false })
    return null
  }

  #result(writes: ReadonlySet<Field>, mayLack: boolean, budget: string | null): Expected {
    const since = this.#stall?.since ?? null
    const { category = null, decision = null } = this.#value
    const { lastMovement, categoryBefore } = this.#crm
    return {
      ...{ state: this.#state, stalled: this.#stall !== null, reason: this.#stall?.rule ?? null, since },
      lastMovement: typeof lastMovement === 'number' ? lastMovement : null,
      ...{ category, categoryOmitted: category === CATEGORIES[this.#context.system].omitted },
      categoryBefore: typeof categoryBefore === 'string' ? categoryBefore : null,
      decision,
      task: this.#tasks.find((one) => one.since === since)?.state ?? 'none',
      tasks: [...this.#tasks],
      ...{ budget, writes, mayLack },
    }
  }
}
