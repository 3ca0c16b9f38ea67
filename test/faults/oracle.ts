// The judge of the fault harness: how what a sandbox holds and journalled differs from what expected.ts says it must.
// Tasks doubled, flags and tasks lost, anything wrong, people overwritten: each complaint is a sentence that names the
// deal and what was expected, so that a failure can be understood without a debugger.
import { doneBy, type Expected, expected, type Judgement, nightOf } from './expected.ts'
import { Days } from './rules.ts'
import {
  FIELDS,
  type Field,
  type Instant,
  isAct,
  isDeal,
  type JournalLine,
  keyOf,
  latest,
  NAMES,
  type Story,
  storiesOf,
  taskOf,
  text,
} from './story.ts'

export { type Expected, expected, type Judgement } from './expected.ts'
export type { WorldSettings } from './rules.ts'
export { fetchHeld, type Held } from './story.ts'

export interface Verdict {
  /** More than one task for one stall of one deal, or one key created twice. */
  readonly DUP: readonly string[]
  /** A due flag or task is missing. */
  readonly LOST: readonly string[]
  /** A value that differs, or a write that no rule asks for. */
  readonly WRONG: readonly string[]
  /** A write over what a person had set since. */
  readonly overwrites: readonly string[]
}

/** Judges the sandbox as it is after the last of `nights`. */
export function compare(given: Judgement): Verdict {
  return new Court(given).verdict()
}

/** All that may ever be written to a deal; `decision` only to empty it. */
const WRITABLE: readonly Field[] = [
  ...(['stalled', 'state', 'since', 'reason', 'explanation', 'lastMovement', 'categoryBefore', 'category'] as const),
  'decision',
]
/** Follows from what was written, by the CRM's own rules. */
const DERIVED = /^(?:ForecastCategory|ExpectedRevenue|hs_task_completion_date|IsClosed|CompletedDateTime)$/

class Court {
  readonly #given: Judgement
  readonly #expected: ReadonlyMap<string, readonly Expected[]>
  readonly #stories: ReadonlyMap<string, Story>
  readonly DUP: string[] = []
  readonly LOST: string[] = []
  readonly WRONG: string[] = []
  readonly overwrites: string[] = []

  constructor(given: Judgement) {
    this.#given = given
    this.#expected = expected(given)
    this.#stories = storiesOf(given.system, given.seed, given.held)
  }

  verdict(): Verdict {
    const { seed, except } = this.#given
    for (const { name } of seed.deals) {
      if (except?.(name)) continue
      const story = this.#stories.get(name)
      const now = this.#expected.get(name)?.at(-1)
      if (story === undefined || now === undefined) this.#say(this.LOST, name, 'the CRM does not know this deal')
      else if (story.deleted === null) {
        this.#fields(story, now)
        this.#tasks(story, now)
      }
    }
    this.#journal()
    this.#budget()
    const { DUP, LOST, WRONG, overwrites } = this
    return { DUP, LOST, WRONG, overwrites }
  }

  #say(into: string[], deal: string, what: string): void {
    const { number, system } = this.#given
    into.push(`${JSON.stringify(deal)} (${system}, seed ${number ?? '?'}): ${what}`)
  }
  #at(night: number | null): string {
    const { nights } = this.#given
    if (night === null) return 'never'
    const at = nights[night]
    return at === undefined ? 'before the first night' : `night ${night} (${new Date(at).toISOString()})`
  }

  #fields({ name, id }: Story, now: Expected): void {
    const { held, system, nights } = this.#given
    const values = held.deals.find((deal) => deal.id === id)?.values ?? {}
    const own = (field: Field) => text(values[NAMES[system][field]])
    const wrong = (what: string, is: unknown, should: unknown) =>
      this.#say(this.WRONG, name, `${what} is ${JSON.stringify(is)}, expected ${JSON.stringify(should)}`)
    const flagged = own('stalled') === 'true'
    if (flagged !== now.stalled) {
      if (now.mayLack) return
      if (flagged) wrong(`the flag (${own('reason')}, since ${own('since')})`, true, `no flag: ${now.state}`)
      else this.#say(this.LOST, name, `no flag, expected ${now.reason} since ${this.#at(now.since)}`)
      return
    }
    if (now.mayLack) return
    const moving = now.state === 'moving' || now.state === 'closed'
    const state = own('state')
    if (moving ? state !== null && state !== 'moving' : state !== now.state) wrong('the state', state, now.state)
    if (own('reason') !== now.reason) wrong('the reason', own('reason'), now.reason)
    const since = own('since')
    if (now.since === null ? since !== null : Date.parse(since ?? '') !== nights[now.since])
      wrong('stalled since', since, now.stalled ? this.#at(now.since) : null)
    const moved = own('lastMovement')
    const all = this.#expected.get(name) ?? []
    // Salesforce keeps whole seconds. What a disturbed night would have said is written on a later one, or not at all.
    const off = moved === null || now.lastMovement === null ? 0 : Math.abs(Date.parse(moved) - now.lastMovement)
    if (!all.some(({ mayLack }) => mayLack) && (off >= 1500 || (moved === null) !== (now.lastMovement === null)))
      wrong('the last movement', moved, now.lastMovement && new Date(now.lastMovement).toISOString())
    if (own('category') !== now.category) wrong('the forecast category', own('category'), now.category)
    if (own('categoryBefore') !== now.categoryBefore)
      wrong('the category before', own('categoryBefore'), now.categoryBefore)
    if (own('decision') !== now.decision) wrong('the decision', own('decision'), now.decision)
    const amount = own('amount') === null ? null : Number(own('amount'))
    const counts = own('counts') === null ? null : Number(own('counts'))
    const should = moving || amount === null ? amount : 0
    if (held.counts && counts !== should) wrong('the amount that counts', counts, should)
  }

  #tasks({ name, id }: Story, now: Expected): void {
    const { held } = this.#given
    const made = held.journal.filter(
      (line) => !isDeal(line) && !isAct(line) && line.before === null && line.after && taskOf(line.after).deal === id,
    )
    const keys = made.map((line) => keyOf(line.after ?? {}) ?? '(no key)')
    for (const key of new Set(keys)) {
      const times = keys.filter((one) => one === key).length
      if (times > 1) this.#say(this.DUP, name, `the task ${key} was created ${times} times`)
    }
    for (const of of this.#stalls(id))
      if (of.size > 1) this.#say(this.DUP, name, `${of.size} tasks for one stall, expected one: ${[...of].join()}`)
    const live = held.tasks.filter((task) => task.deal === id)
    for (const key of new Set(live.map((task) => task.key))) {
      const times = live.filter((task) => task.key === key).length
      if (times > 1 && keys.filter((one) => one === key).length < 2)
        this.#say(this.DUP, name, `the CRM holds ${times} tasks ${key}`)
    }
    if (now.mayLack) return
    const distinct = new Set(keys).size
    if (distinct < now.tasks.length) {
      const { since = null, owner = '' } = now.tasks.at(-1) ?? {}
      this.#say(
        this.LOST,
        name,
        `${distinct} of ${now.tasks.length} tasks, the last for ${owner} for the stall of ${this.#at(since)}`,
      )
      return
    }
    if (distinct > now.tasks.length) {
      this.#say(this.WRONG, name, `${distinct} tasks, expected ${now.tasks.length}: ${keys.join()}`)
      return
    }
    for (const [i, task] of now.tasks.entries()) {
      const line = made[i]
      const found = live.find((one) => one.id === line?.id)
      const is = found === undefined ? 'gone' : found.open ? 'open' : 'completed'
      const should = task.state === 'deleted by a person' ? 'gone' : task.state
      const what = `the task of the stall of ${this.#at(task.since)}`
      if (is === 'gone' && should === 'open') this.#say(this.LOST, name, `${what} is gone`)
      else if (is !== should) this.#say(this.WRONG, name, `${what} is ${is}, expected ${should}`)
      const owner = taskOf(line?.after ?? {}).owner
      if (line && owner !== held.owners.get(task.owner))
        this.#say(this.WRONG, name, `${what} went to owner ${owner}, expected ${task.owner}`)
    }
  }

  /** The task keys made for a deal from each time its flag was set to the next. */
  #stalls(id: string): readonly ReadonlySet<string>[] {
    const { held, system } = this.#given
    const flag = NAMES[system].stalled
    const stalls: Set<string>[] = []
    for (const { before, after, ...line } of held.journal) {
      if (isDeal(line) && line.id === id && text(after?.[flag]) === 'true' && text(before?.[flag]) !== 'true')
        stalls.push(new Set())
      if (!isDeal(line) && !isAct(line) && before === null && after !== null && taskOf(after).deal === id)
        stalls.at(-1)?.add(keyOf(after) ?? '(no key)')
    }
    return stalls
  }

  /** Every write of the client: was it asked for, and did it pass over a person? */
  #journal(): void {
    const { held, nights, system, except } = this.#given
    const names = new Map([...this.#stories.values()].map((story) => [story.id, story]))
    const fields = new Map<string, Field>(FIELDS.map((field) => [NAMES[system][field], field]))
    /** Who set what last, by record and field. */
    const setBy = new Map<string, { readonly at: Instant; readonly value: string | null }>()
    const byPeople = held.acts.flatMap(({ at, act }) =>
      act.by === 'person' && act.act === 'set' ? { at: Date.parse(at), id: act.id, field: String(act.field) } : [],
    )
    const finished = new Set<string>()
    for (const line of held.journal) {
      const at = Date.parse(line.at)
      if (isAct(line)) {
        if (line.after === null || !isDeal(line)) finished.add(line.id)
        for (const { id, field, at: when } of byPeople)
          if (id === line.id && Math.abs(when - at) < 1000 && shown(line.before, field) !== shown(line.after, field))
            setBy.set(`${id} ${field}`, { at, value: shown(line.after, field) })
        continue
      }
      const night = nightOf(nights, at)
      if (!isDeal(line)) {
        if (line.before !== null && finished.has(line.id)) {
          const { deal } = taskOf(held.journal.find((one) => one.id === line.id && one.before === null)?.after ?? {})
          const name = names.get(deal)?.name ?? deal
          this.#say(this.overwrites, name, `its task was changed after a person had closed it, on ${this.#at(night)}`)
        }
        continue
      }
      const story = names.get(line.id)
      if (story === undefined || except?.(story.name)) continue
      this.#deal(story, line, night, fields, setBy, finished.has(line.id))
    }
  }

  #deal(
    { name, id }: Story,
    line: JournalLine,
    night: number,
    fields: ReadonlyMap<string, Field>,
    setBy: Map<string, { readonly at: Instant; readonly value: string | null }>,
    deleted: boolean,
  ): void {
    const { nights } = this.#given
    const tonight = this.#expected.get(name)?.[night]
    const on = `on ${this.#at(night)}`
    if (deleted) this.#say(this.WRONG, name, `written after it was deleted, ${on}`)
    const { before, after } = line
    if (before === null || after === null) {
      this.#say(this.WRONG, name, `${before === null ? 'created' : 'deleted'} ${on}`)
      return
    }
    const changed = Object.keys(after).filter((one) => text(before[one]) !== text(after[one]) && !DERIVED.test(one))
    if (changed.length === 0) this.#say(this.WRONG, name, `written once more without a change, ${on}`)
    for (const one of changed) {
      const field = fields.get(one)
      const person = setBy.get(`${id} ${one}`)
      const asked = field !== undefined && tonight?.writes.has(field) === true
      const move = `${one} from ${JSON.stringify(before[one] ?? null)} to ${JSON.stringify(after[one] ?? null)}`
      setBy.delete(`${id} ${one}`)
      const late = person !== undefined && person.at > (nights[night] ?? 0)
      if (person !== undefined && (late || !asked) && person.value === shown(before, one)) {
        const when = new Date(person.at).toISOString()
        this.#say(this.overwrites, name, `${move} ${on}, which a person had set at ${when}`)
      } else if (field === undefined || !WRITABLE.includes(field) || (field === 'decision' && after[one]))
        this.#say(this.WRONG, name, `${move} ${on}: never to be written`)
      else if (!asked && tonight?.mayLack !== true)
        this.#say(
          this.WRONG,
          name,
          `${move} ${on}: no rule asks for it (expected ${tonight?.state}, ${tonight?.reason})`,
        )
    }
  }

  /** At most N new tasks per person and week, over all connections; and those that matter most come first. */
  #budget(): void {
    const { perOwnerPerWeek } = this.#given.settings.tasks
    for (const [week, { length }] of doneBy(this.#given).weekly)
      if (length > perOwnerPerWeek) this.WRONG.push(`${week}: ${length} new tasks, at most ${perOwnerPerWeek} a week`)
    const { nights } = this.#given
    for (const [night, now] of nights.entries()) {
      const asking = [...this.#expected].flatMap(([name, all]) => {
        const { budget = null, tasks = [] } = all[night] ?? {}
        const made = tasks.find((task) => task.made === night)
        const owner = made?.owner ?? budget
        return owner === null ? [] : [{ name, owner, made: made !== undefined, rank: this.#rank(name, night, now) }]
      })
      for (const waits of asking.filter(({ made }) => !made))
        for (const got of asking)
          if (got.made && got.owner === waits.owner && before(waits.rank, got.rank))
            this.#say(this.WRONG, waits.name, `waits for a task although ${got.name} got one on ${this.#at(night)}`)
    }
  }

  /** Waiting for 10 working days, decision rules, most recently stalled, amount: larger goes first. */
  #rank(name: string, night: number, now: Instant): readonly number[] {
    const { nights, settings } = this.#given
    const { since = null, reason = null } = this.#expected.get(name)?.[night] ?? {}
    const start = nights[since ?? night] ?? now
    const days = new Days(settings)
    const waited = days.between(days.date(start), days.date(now), null) >= 10
    const decides = reason === 'decision_overdue' || reason === 'answered_maybe' || reason === 'yes_not_closed'
    const amount = latest(this.#stories.get(name)?.amounts ?? [], now)?.to ?? Number.NEGATIVE_INFINITY
    return [Number(waited), Number(decides), start, amount]
  }
}

/** A box that is not ticked and one that never was are the same. */
const shown = (values: Readonly<Record<string, unknown>> | null, field: string): string | null => {
  const value = text(values?.[field])
  return value === 'false' ? null : value
}

/** Strictly: equals may come in any order. */
function before(a: readonly number[], b: readonly number[]): boolean {
  const [one, other] = [a, b].map((rank) => rank[a.findIndex((value, i) => value !== b[i])])
  return one !== undefined && other !== undefined && one > other
}
