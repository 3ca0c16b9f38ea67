// A company out of a number, for the fault harness: deals in every situation the rules know, and what people do between
// the nights. The same number gives the same world. It only means well: what a deal must look like in the end is worked
// out by oracle.ts from what the sandbox really did, not from the intentions here.

import { OWNERS, PIPELINES } from '../../src/sandbox/generate.ts'
import { type Random, random } from '../../src/sandbox/random.ts'
import type { By, Instant, Seed, SeedDeal, SeedEvent } from '../../src/sandbox/seed.ts'
import type { Crm, FieldName } from '../jobs/harness.ts'
import type { WorldSettings } from './rules.ts'
import { CATEGORIES, NAMES } from './story.ts'

export interface WorldOptions {
  readonly seed: number
  /** At least 64 for every situation to occur. */
  readonly deals: number
  /** Default: so many that no task waits. */
  readonly perOwnerPerWeek?: number
  /** Weekdays from each night to the next. Default: 2, then 12, by when every silence and protection is over. */
  readonly gaps?: readonly number[]
  /** Share of the deals to which anything at all happens, once every situation has had its turn; 1: all of them. */
  readonly wild?: number
}
export interface World {
  readonly seed: number
  /** For both lookalikes. Its `now` is the Friday morning before the first night. */
  readonly crm: Seed
  /** Top level of the configuration file, and of `Settings`. */
  readonly settings: WorldSettings
  readonly nights: readonly Night[]
}
export interface Night {
  readonly now: Instant
  /** What people do before it, after the night before. Oldest first. */
  readonly acts: readonly Deed[]
}
/** Somebody's doing, told without the names and ids of either CRM. `at`: sandbox clock. */
export type Deed = { readonly at: Instant; readonly deal: string; readonly by?: By } & Doing
export type Doing =
  | { readonly does: 'stage'; readonly to: string }
  | { readonly does: 'set'; readonly field: Set; readonly to: string | number | boolean | null }
  | { readonly does: 'reply' }
  | { readonly does: 'meeting'; readonly on: Instant; readonly held: boolean; readonly outside?: boolean }
  | { readonly does: 'call'; readonly outcome: 'connected' | 'incoming' | 'no-answer' }
  /** Completes or deletes our open task; nothing happens where there is none. */
  | { readonly does: 'complete' | 'bin' }
  | { readonly does: 'delete' }
type Set =
  | Extract<FieldName, 'owner' | 'amount' | 'category' | 'stalled' | 'decision' | 'decisionDue' | 'nextStep' | 'cause'>
  | 'parkedUntil'
  | 'parkedReason'
  | 'closeDate'

const DAY = 86_400_000
const HOUR = 3_600_000
/** A Monday at three; people act at noon. */
export const FIRST_NIGHT = Date.parse('2026-11-23T03:00:00Z')
const iso = (at: Instant) => new Date(at).toISOString().slice(0, 10)
/** The instant `n` weekdays from the first night, at the hour of the night. */
const weekday = (n: number): Instant => {
  const weeks = Math.floor(n / 5)
  return FIRST_NIGHT + (7 * weeks + (n - 5 * weeks)) * DAY
}
const REPS = OWNERS.filter((one) => one.active && one.managerEmail !== null).map((one) => one.email)
const LEFT = OWNERS.find((one) => !one.active)?.email ?? ''
const AWAY = REPS[5] ?? ''

const settings = (perOwnerPerWeek: number): WorldSettings => ({
  timezone: 'UTC',
  holidays: ['2026-11-11', '2026-12-08'],
  closures: ['2026-10-29/2026-10-30'],
  absences: { [AWAY]: ['2026-11-16/2026-11-18'] },
  policy: {
    idleDays: { default: 15, decisionStages: 10 },
    graceDays: { newDeal: 5, closeDate: 5 },
    pushes: 3,
    automationUsers: ['import@sandbox.invalid', 'integration@sandbox.invalid'],
    decision: { stages: ['contractsent', 'Contract sent', 'renewalquoted', 'Renewal quoted'], days: 10 },
    exclude: { stages: ['renewaldue', 'Renewal due'], types: ['partner'] },
    parking: { maxDays: 90 },
  },
  tasks: { perOwnerPerWeek, dueDays: 2 },
  firstNight: { deadAfter: 90 },
  brakes: { maxNewlyStalledShare: 1 },
})

// ---- situations

/** A deal being invented. Days are weekdays from the first night; `after(n)` is noon after night n, -1 the Friday before. */
interface Draft {
  readonly r: Random
  readonly nights: readonly Instant[]
  deal: Partial<Omit<SeedDeal, 'events'>>
  readonly events: SeedEvent[]
  readonly acts: { readonly night: number; readonly doing: Doing; readonly by?: By }[]
}
type Situation = (draft: Draft) => void

const on = (day: number, hour = 9): Instant => weekday(day) + (hour - 3) * HOUR
const stage = (day: number, to: string, by: By = 'person'): SeedEvent => ({ at: on(day), kind: 'stage', to, by })
const reply = (day: number): SeedEvent => ({ at: on(day), kind: 'reply' })
const push = (day: number, to: number, by: By = 'person'): SeedEvent => ({
  ...{ at: on(day, 10), kind: 'close-date', to: iso(weekday(to)), by },
})
const set = (field: Set, to: string | number | boolean | null): Doing => ({ does: 'set', field, to })
const date = (day: number) => iso(weekday(day))
/** `does(1, …)`: after night 1. */
const does =
  (night: number, ...doings: readonly Doing[]) =>
  ({ acts }: Draft) =>
    void acts.push(...doings.map((doing) => ({ night, doing })))
const all =
  (...parts: readonly Situation[]): Situation =>
  (draft) => {
    for (const part of parts) part(draft)
  }
const happened =
  (...events: readonly SeedEvent[]): Situation =>
  (draft) =>
    void draft.events.push(...events)
const is =
  (deal: Draft['deal']): Situation =>
  (draft) => {
    draft.deal = { ...draft.deal, ...deal }
  }

/** No movement for `days` weekdays on the first night. */
const idle = (days: number) => all(is({ createdAt: on(-days - 40) }), happened(stage(-days, 'qualifiedtobuy')))
const quiet = (draft: Draft) => idle(draft.r.int(20, 60))(draft)
/** Its close date lies `days` weekdays back, and it moves otherwise. */
const late = (days: number) =>
  all(is({ createdAt: on(-60), closeDate: date(-days) }), happened(stage(-4, 'qualifiedtobuy')))
/** The proposal was presented so many weekdays ago. */
const proposed = (days: number) =>
  all(is({ createdAt: on(-50) }), happened(stage(-30, 'presentationscheduled'), stage(-days, 'contractsent')))
/** The same in the other pipeline, where a stage follows. */
const quoted = (days: number) =>
  all(is({ createdAt: on(-50), pipeline: 'renewals', stage: 'renewaldue' }), happened(stage(-days, 'renewalquoted')))
const pushed = (times: number, by: By = 'person') =>
  all(
    is({ createdAt: on(-70), closeDate: date(-30) }),
    happened(stage(-55, 'qualifiedtobuy')),
    happened(...Array.from({ length: times }, (_, i) => push(-50 + i * 12, (i - times + 2) * 25 + 40, by))),
    happened(reply(-3)),
  )
const lively = all(is({ createdAt: on(-30) }), happened(stage(-6, 'qualifiedtobuy'), reply(-3)))
const park = (night: number, until: number) =>
  does(night, set('parkedReason', 'budget_cycle'), set('parkedUntil', date(until)))
const forward: Doing = { does: 'stage', to: 'presentationscheduled' }
const replies: Doing = { does: 'reply' }
const yes = set('decision', 'yes')
const no = set('decision', 'no')
const maybe = set('decision', 'maybe')
const other = (r: Random) => r.pick(REPS)
const booked = (day: number, held = true): Doing => ({ does: 'meeting', on: on(day, 15), held })
const by =
  (who: By, night: number, ...doings: readonly Doing[]) =>
  ({ acts }: Draft) =>
    void acts.push(...doings.map((doing) => ({ night, doing, by: who })))

/** Every rule and state of product.md. Numbers of days lie so that a night or two decide. */
const SITUATIONS: Readonly<Record<string, Situation>> = {
  lively,
  // Early, so that the smallest world has both pipelines.
  'quoted, then forward': all(quoted(13), does(0, { does: 'stage', to: 'renewalnegotiation' })),
  quiet,
  'quiet, then a reply': all(quiet, does(0, replies)),
  'quiet, then a reply late': all(quiet, does(1, replies)),
  'quiet, then forward': all(quiet, does(0, forward)),
  'quiet, then a meeting': (d) => all(quiet, does(1, booked(8)))(d),
  'quiet, a raised amount': all(quiet, does(0, set('amount', 14_000))),
  'quiet, an earlier close date': all(quiet, does(0, set('closeDate', date(20)))),
  'quiet, then won': all(quiet, does(0, { does: 'stage', to: 'closedwon' })),
  'quiet, then lost': all(quiet, does(0, { does: 'stage', to: 'closedlost' })),
  'quiet, lost, reopened': all(
    quiet,
    does(0, { does: 'stage', to: 'closedlost' }),
    does(1, { does: 'stage', to: 'qualifiedtobuy' }),
  ),
  'quiet, moved back': all(
    is({ createdAt: on(-80) }),
    happened(stage(-40, 'presentationscheduled')),
    does(0, { does: 'stage', to: 'qualifiedtobuy' }),
  ),
  'quiet, moved to the other pipeline': all(quiet, does(0, { does: 'stage', to: 'renewalquoted' })),
  'moved to the other pipeline in time': all(idle(14), does(0, { does: 'stage', to: 'renewalnegotiation' })),
  'quiet, noise': all(
    quiet,
    does(0, set('nextStep', 'Call on Monday'), { does: 'call', outcome: 'no-answer' }),
    does(1, set('cause', 'budget')),
  ),
  'quiet, moved by machines': all(quiet, by('import', 0, forward), by('integration', 1, set('amount', 25_000))),
  'quiet, moved by a workflow': all(quiet, by('workflow', 0, forward)),
  'quiet, a call': all(quiet, does(0, { does: 'call', outcome: 'connected' })),
  'quiet, a meeting of colleagues': (d) =>
    all(quiet, does(0, { does: 'meeting', on: on(0, 12), held: true, outside: false }))(d),
  'quiet, task completed': all(quiet, does(0, { does: 'complete' })),
  'quiet, task completed, then a reply': all(quiet, does(0, { does: 'complete' }), does(1, replies)),
  'quiet, task deleted': all(quiet, does(0, { does: 'bin' })),
  'quiet, task deleted, then a reply': all(quiet, does(0, { does: 'bin' }), does(1, replies)),
  'quiet, flag cleared': all(quiet, does(0, set('stalled', false))),
  'quiet, flag cleared late': all(quiet, does(1, set('stalled', false))),
  'quiet, category put back': all(quiet, does(0, set('category', 'best_case'))),
  'quiet, category put back, then a reply': all(quiet, does(0, set('category', 'commit')), does(1, replies)),
  'quiet, another owner': (d) => all(quiet, does(0, set('owner', other(d.r))))(d),
  'quiet, deleted': all(quiet, does(0, { does: 'delete' })),
  'quiet, deleted late': all(quiet, does(1, { does: 'delete' })),
  'quiet, answered no': all(quiet, does(0, no)),
  'quiet, answered no, then lost': all(quiet, does(0, no), does(1, { does: 'stage', to: 'closedlost' })),
  'quiet, answered yes': all(quiet, does(0, yes)),
  'quiet, parked': all(quiet, park(0, 30)),
  'quiet, parked for a while': all(quiet, park(0, 8)),
  'quiet, parked too long': all(quiet, park(0, 150)),
  'quiet, parked without a reason': all(quiet, does(0, set('parkedUntil', date(30)))),
  'quiet, parked, taken back': all(quiet, park(0, 30), does(1, set('parkedUntil', null), set('parkedReason', null))),
  'quiet, no amount': all(quiet, is({ amount: null })),
  'quiet, blank category': all(quiet, is({ category: null }), does(1, replies)),
  'quiet, no owner any more': all(quiet, is({ ownerEmail: LEFT })),
  'quiet, owner left, then another': (d) => all(quiet, is({ ownerEmail: LEFT }), does(0, set('owner', other(d.r))))(d),
  'quiet, owner away': all(idle(17), is({ ownerEmail: AWAY })),
  'quiet before long': (d) => idle(d.r.int(10, 18))(d),
  'dead before the first night': (d) => idle(d.r.int(100, 300))(d),
  'parked from the first night': all(lively, park(-1, 1)),
  'parked for longer': all(quiet, park(-1, 25)),
  'answered no from the first night': all(lively, does(-1, no)),
  'close date passed': late(8),
  'close date passed, then set anew': all(late(9), does(0, set('closeDate', date(40)))),
  'close date passed, set to the past': all(late(9), does(0, set('closeDate', date(-1)))),
  'close date passing': late(5),
  'close date passed, stage forward': all(late(9), does(0, forward)),
  'close date passed and quiet, then a reply': all(idle(30), is({ closeDate: date(-7) }), does(0, replies)),
  'quiet, then late as well': all(idle(30), is({ closeDate: date(-4) })),
  'pushed three times': pushed(3),
  'pushed, then forward': all(pushed(4), does(0, forward)),
  'pushed, then yes': all(pushed(3), does(0, yes)),
  'pushed, then no': all(pushed(3), does(1, no)),
  'pushed once more': all(pushed(2), does(0, set('closeDate', date(90)))),
  'pushed by machines': pushed(4, 'import'),
  'proposal without an answer': proposed(14),
  'proposal overdue by a day or two': (d) => proposed(d.r.int(10, 13))(d),
  'proposal, date agreed': all(proposed(8), does(-1, set('decisionDue', date(1)))),
  'proposal, new date': all(proposed(14), does(0, set('decisionDue', date(6)))),
  'proposal, yes': all(proposed(14), does(0, yes)),
  'proposal, yes, won': all(proposed(14), does(0, yes), does(1, { does: 'stage', to: 'closedwon' })),
  'proposal, yes before, then silence': all(quoted(5), does(-1, yes)),
  'proposal, yes before, then forward': all(
    quoted(5),
    does(-1, yes),
    does(0, { does: 'stage', to: 'renewalnegotiation' }),
  ),
  'quoted, then back': all(quoted(13), does(0, { does: 'stage', to: 'renewaldue' })),
  'maybe, overdue': all(proposed(14), does(-1, maybe)),
  'maybe, new date': all(proposed(14), does(-1, maybe), does(0, set('decisionDue', date(9)))),
  'maybe, new date, maybe again': all(
    proposed(14),
    does(-1, maybe),
    does(0, set('decisionDue', date(30))),
    does(1, maybe),
  ),
  'maybe, then no': all(proposed(14), does(-1, maybe), does(0, no)),
  'moved back before the first night': all(
    is({ createdAt: on(-80) }),
    happened(stage(-40, 'presentationscheduled')),
    does(-1, { does: 'stage', to: 'qualifiedtobuy' }),
  ),
  'meeting booked': (d) => all(quiet, does(-1, booked(6)))(d),
  'meeting booked, missed': (d) => all(quiet, does(-1, booked(1, false)))(d),
  'meeting booked, called off': (d) => all(quiet, does(-1, booked(6)), does(0, booked(6, false)))(d),
  'weak movement in time': all(idle(14), does(-1, set('amount', 14_000))),
  'new deal': all(is({ createdAt: on(-3), closeDate: date(-1) })),
  'new deal, older by and by': all(is({ createdAt: on(-4), closeDate: date(-12) })),
  imported: all(is({ createdAt: on(-60), createdBy: 'import' })),
  'won long ago': all(is({ createdAt: on(-80) }), happened(stage(-30, 'closedwon'))),
  'lost long ago': all(is({ createdAt: on(-80) }), happened(stage(-30, 'closedlost'))),
  'excluded stage': all(is({ createdAt: on(-60), pipeline: 'renewals', stage: 'renewaldue' })),
  'excluded type': all(quiet, is({ type: 'partner' })),
}

const PATHS = PIPELINES.map(({ id, stages }) => ({ id, stages: stages.map((one) => one.id) }))
const WHO: readonly By[] = ['person', 'person', 'person', 'person', 'workflow', 'import', 'integration']

/** Anything at any time: what nobody thought of. */
const wild: Situation = (draft) => {
  const { r, nights, events, acts } = draft
  let path = r.pick(PATHS)
  const open = () => path.stages.slice(0, -2)
  const somewhere = () => r.pick(r.chance(0.85) ? open() : path.stages)
  const age = r.int(2, 130)
  is({ createdAt: on(-age), pipeline: path.id, stage: r.pick(open()), closeDate: date(r.int(-40, 90)) })(draft)
  if (r.chance(0.1)) is({ category: null })(draft)
  for (let n = r.int(0, 6); n > 0; n--) {
    const at = on(-r.int(2, age), r.int(6, 17))
    const by = r.pick(WHO)
    if (at <= on(-age)) continue
    const some: readonly SeedEvent[] = [
      ...[somewhere(), somewhere(), somewhere()].map((to) => ({ at, kind: 'stage', to, by }) as const),
      { at, kind: 'amount', to: r.int(1, 90) * 1000, by },
      ...[r.int(-20, 60), r.int(0, 90)].map((to) => ({ at, kind: 'close-date', to: date(to), by }) as const),
      ...([
        { at, kind: 'reply' },
        { at, kind: 'note' },
      ] as const),
      { at, kind: 'meeting', held: r.chance(0.7), outside: r.chance(0.7) },
      { at, kind: 'call', outcome: r.pick(['connected', 'incoming', 'no-answer'] as const) },
    ]
    events.push(r.pick(some))
  }
  for (const night of [-1, ...nights.keys()]) {
    // Salesforce does not tell when a record type changed: before the first night nobody could know of it, and of two
    // stages of one day nobody could say with which one it came.
    const moves = night >= 0 && r.chance(0.08)
    const by = r.pick(WHO)
    if (moves) {
      path = r.pick(PATHS)
      acts.push({ night, by, doing: { does: 'stage', to: r.pick(path.stages) } })
    }
    const stage = (to: string): readonly Doing[] => (moves ? [] : [{ does: 'stage', to }])
    for (let n = r.int(0, 2); n > 0; n--) {
      const day = Math.round(((((nights[night] ?? weekday(-1)) - FIRST_NIGHT) / DAY) * 5) / 7)
      const doing = r.pick<() => readonly Doing[]>([
        () => stage(somewhere()),
        () => stage(somewhere()),
        () => stage(r.pick(path.stages.slice(-2))),
        () => [replies],
        () => [set('amount', r.chance(0.1) ? null : r.int(1, 90) * 1000)],
        () => [set('closeDate', date(day + r.int(-10, 60)))],
        () => [set('closeDate', date(day + r.int(5, 90)))],
        () => [set('owner', r.pick([...REPS, LEFT]))],
        () => [set('category', r.pick(['pipeline', 'best_case', 'commit']))],
        () => [set('stalled', false)],
        () => [set('decision', r.pick(['yes', 'no', 'maybe', 'maybe', null]))],
        () => [set('decisionDue', r.chance(0.1) ? null : date(day + r.int(-2, 25)))],
        () => [set('parkedReason', 'seasonal'), set('parkedUntil', date(day + r.int(0, 30)))],
        () => [set('parkedUntil', null)],
        () => [{ does: r.pick(['complete', 'bin'] as const) }],
        () => [{ does: 'meeting', on: on(day + r.int(1, 14), 15), held: r.chance(0.7), outside: r.chance(0.8) }],
        () => [{ does: 'call', outcome: 'connected' }, set('nextStep', `Step ${n}`)],
        () => (r.chance(0.1) ? [{ does: 'delete' }] : []),
      ])()
      acts.push(...doing.map((one) => ({ night, doing: one, ...(/^s(?:et|tage)$/.test(one.does) ? { by } : {}) })))
    }
  }
}

/** What people and programs really leave in names. */
const HOSTILE = [
  ...['🚀🔥 mega deal 👩‍👩‍👧', 'صفقة الرياض \u202e 2026', `O'Brien & Sons "rush"; DROP TABLE deals --`],
  ...['<script>alert("deal")</script>', '{{contact.firstname}} %s \\n', 'a\tb', 'ﬁ ≠ fi, é ≠ é'],
]

/** Same options, same world. */
export function world({ seed, deals, perOwnerPerWeek = 1000, gaps = [2, 12], wild: share = 0 }: WorldOptions): World {
  const nights = [FIRST_NIGHT, ...gaps.map((_, i) => weekday(gaps.slice(0, i + 1).reduce((sum, gap) => sum + gap, 0)))]
  const names = Object.keys(SITUATIONS)
  const made: SeedDeal[] = []
  const acts: Deed[] = []
  for (let i = 0; i < deals; i++) {
    const r = random(`${seed} ${i}`)
    // Each once in its turn, then as chance has it.
    const situation = names[i < names.length ? i : r.int(0, names.length - 1)] ?? ''
    const draft: Draft = { r, nights, deal: {}, events: [], acts: [] }
    const anything = (share === 1 || i >= names.length) && r.chance(share)
    if (anything) wild(draft)
    else SITUATIONS[situation]?.(draft)
    const hostile = r.chance(0.2) ? ` ${r.pick(HOSTILE)}` : ''
    const name = `${String(i).padStart(4, '0')} ${anything ? 'wild' : situation}${hostile}`
    made.push({
      ...{ name, account: null, ownerEmail: r.pick(REPS), pipeline: 'default', stage: 'appointmentscheduled' },
      ...{ createdAt: on(-60), closeDate: date(60), amount: r.int(1, 90) * 1000, type: null },
      category: r.pick(['pipeline', 'best_case', 'commit'] as const),
      ...draft.deal,
      events: draft.events.toSorted((a, b) => a.at - b.at),
    })
    const end = draft.acts.findIndex(({ doing }) => doing.does === 'delete')
    // One after the other, because Salesforce tells whole seconds.
    for (const [n, { night, doing, by: who }] of draft.acts.slice(0, end < 0 ? undefined : end + 1).entries())
      acts.push({ ...doing, deal: name, at: noonAfter(night, nights) + n * 1000, ...(who ? { by: who } : {}) })
  }
  return {
    seed,
    crm: { now: weekday(-1) + 3 * HOUR, currency: 'EUR', owners: OWNERS, pipelines: PIPELINES, deals: made },
    settings: settings(perOwnerPerWeek),
    nights: nights.map((now, i) => ({
      now,
      acts: acts.filter(({ at }) => at > (nights[i - 1] ?? 0) && at <= now).toSorted((a, b) => a.at - b.at),
    })),
  }
}
const noonAfter = (night: number, nights: readonly Instant[]) => (nights[night] ?? weekday(-1)) + 9 * HOUR

/** Carries out a night's acts, by the sandbox's clock. */
export async function live(crm: Crm, acts: readonly Deed[]): Promise<void> {
  const seen = await crm.look()
  const owners = new Map<string, string>()
  for (const line of (await (await fetch(`${crm.url}/__sandbox/state`)).text()).split('\n')) {
    if (!line.includes('"kind":"owner"')) continue
    const { id, Id, email, Email } = JSON.parse(line)
    owners.set(String(email ?? Email), String(id ?? Id))
  }
  const types = new Map(seen.deals.map(({ stage, all }) => [pipelineOf(stage), String(all.RecordTypeId)]))
  const closed = new Set<string>()
  let clock = 0
  for (const deed of acts) {
    if (deed.at > clock) await crm.clock(deed.at)
    clock = Math.max(clock, deed.at)
    const by = deed.by ?? 'person'
    const { id } = seen.deal(deed.deal)
    if (deed.does === 'stage') {
      // In Salesforce a stage belongs to no pipeline: a deal that changes its own changes its record type.
      const [from, to] = [pipelineOf(seen.deal(deed.deal).stage), pipelineOf(deed.to)]
      const type = crm.system === 'salesforce' && from !== to ? types.get(to) : undefined
      if (type) await crm.actOn(id, 'set', { field: 'RecordTypeId', value: type, by })
      await crm.actOn(id, 'move-stage', { to: deed.to, by })
    } else if (deed.does === 'reply') await crm.actOn(id, 'buyer-reply')
    else if (deed.does === 'call') await crm.actOn(id, 'call', { outcome: deed.outcome })
    else if (deed.does === 'meeting') {
      const { on: when, held, outside = true } = deed
      await crm.actOn(id, 'meeting', { at: new Date(when).toISOString(), held, outside })
    } else if (deed.does === 'delete') await crm.actOn(id, 'delete')
    else if (deed.does === 'set') {
      const field = NAMES[crm.system][deed.field]
      await crm.actOn(id, 'set', { field, value: inWordsOf(crm, deed.field, deed.to, owners), by })
    } else
      for (const task of seen.tasksOf(deed.deal))
        if (task.open && !closed.has(task.id)) {
          await crm.actOn(task.id, deed.does === 'bin' ? 'delete-task' : 'complete-task')
          closed.add(task.id)
        }
  }
}

/** By id or label. */
const pipelineOf = (stage: string) =>
  PIPELINES.find(({ stages }) => stages.some(({ id, label }) => id === stage || label === stage))?.id ?? ''

function inWordsOf(crm: Crm, field: Set, to: string | number | boolean | null, owners: ReadonlyMap<string, string>) {
  if (field === 'owner') return owners.get(String(to)) ?? null
  if (field === 'closeDate' && crm.system === 'hubspot') return `${to}T12:00:00Z`
  if (field !== 'category' || to === null) return to
  return new Map<string, string>(Object.entries(CATEGORIES[crm.system])).get(String(to)) ?? null
}
