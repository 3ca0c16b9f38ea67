// One stall from start to end: what state a deal is in, since when, and what was borrowed meanwhile. `advance` is the
// state table of the product: moving -> stalled -> moving | closed | gone, `parked` and `answered_no` from either,
// closed -> moving on reopening. It only reads what people did; what to write about it is plan.ts.
import type { DealId, DealRef, Instant, Known, OwnFields, Rule, State, TaskKey, WrittenState } from './deal.ts'
import type { Memory } from './judge.ts'
import type { DealItem, LedgerRow } from './plan.ts'
import { lastWritten, latestChange, observedAfter, sameValue } from './reaffirm.ts'

/** One episode of one deal. Its start is the frozen `now` of the run that opened it and never recomputed. */
export interface Stall {
  readonly startedAt: Instant
  readonly rule: Rule
  readonly taskKey: TaskKey
  /** Already dead on the connection's first night: a flag and the age-block list, never a task. */
  readonly dead: boolean
}

/** What is remembered of a deal between two nights. Persisted by the store as it is. */
export interface Standing {
  readonly state: State
  readonly since: Instant
  /** Set exactly while `state` is `stalled`. */
  readonly stall: Stall | null
  /** The forecast category we took, until it is given back. `category` null: it was blank. */
  readonly borrowed: { readonly category: string | null; readonly stage: string; readonly at: Instant } | null
  /** A person put the category back without a stage change: theirs for the rest of this stall. */
  readonly categoryTheirs: boolean
  /** A person cleared the flag: silent for 10 working days. */
  readonly dismissedAt: Instant | null
  /** Taken back by `undo`: final. The deal stays as the undo left it while the verdict is what it was then (`state`),
   *  unless `--again` asks. `stall`: start of the stall that was open, which still counts as open. */
  readonly undone: { readonly state: State; readonly stall: Instant | null } | null
}

export interface Transition {
  readonly deal: DealRef
  readonly from: State
  readonly to: State
  readonly at: Instant
  readonly rule: Rule | null
  /** What the change rests on, as data, for the record. */
  readonly evidence: Readonly<Record<string, string | number | boolean | null>>
}

const NOTHING = { stall: null, borrowed: null, categoryTheirs: false, dismissedAt: null, undone: null }
/** A deal unstall has never had in hand. */
export const NEW_STANDING = (state: State, now: Instant): Standing => ({ state, since: now, ...NOTHING })

const KEYS = ['state', 'since', 'stall', 'borrowed', 'categoryTheirs', 'dismissedAt', 'undone'] as const
export const sameStanding = (a: Standing, b: Standing): boolean => KEYS.every((key) => a[key] === b[key])

/** How the CRM's state property says it. All but `moving` are out of the forecast. */
export const writtenState = (state: State): WrittenState =>
  state === 'stalled' || state === 'parked' || state === 'answered_no' ? state : 'moving'

/** What the judge must know. An undone stall still counts as open, so that weak movement does not end it. */
export function memoryOf(standing: Standing | null): Memory {
  const stalledSince = standing?.stall?.startedAt ?? standing?.undone?.stall ?? null
  return { stalledSince, rule: standing?.stall?.rule ?? null, dismissedAt: standing?.dismissedAt ?? null }
}

/** The standing as the CRM shows it. Where nothing was sent since it changed (the plan was dropped: somebody edited the
 *  deal, the run was given up), it never did: a stall has not begun, or has not ended. Then weak movement counts, or does
 *  not, as for anybody who looks at the flag; and a stall that goes on gets no second task. */
export function shown(standing: Standing | null, { ref, deal }: Known, ledger: readonly LedgerRow[]): Standing | null {
  if (standing === null) return null
  const { stalled, since, reason: rule } = deal.own
  const { stall } = standing
  const sent = (from: Instant) =>
    ledger.some(({ kind, status, plannedAt }) => kind === 'fields' && status !== 'held' && plannedAt >= from)
  if (stall !== null) {
    const known = stalled || sameValue(since, stall.startedAt) || sent(stall.startedAt)
    return known ? standing : { ...standing, stall: null }
  }
  if (!stalled || since === null || rule === null || sent(standing.since)) return standing
  if (lastWritten(ledger, 'stalled')?.after.stalled !== true) return standing
  return { ...standing, stall: { startedAt: since, rule, taskKey: taskKey(ref.id, since), dead: false } }
}

const fnv = (text: string, seed: number): string =>
  text
    .split('')
    .reduce((hash, char) => Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0, seed)
    .toString(36)

/** The key one stall's task carries in the CRM: at most 64 of `[A-Za-z0-9-]`, the same on every machine and whatever the
 *  connection is called: a renamed one finds its tasks. It is unique within one CRM, not over all. Id and start stand in
 *  it readably; the hash tells ids apart that do not fit. Seconds, because Salesforce keeps no milliseconds: a start
 *  adopted from the CRM must give the same key. */
export function taskKey(deal: DealId, startedAt: Instant): TaskKey {
  const start = Math.floor(startedAt / 1000).toString(36)
  const whole = JSON.stringify([deal, start])
  const id = deal.replace(/[^A-Za-z0-9]/g, '').slice(0, 24)
  return `u-${id}-${start}-${fnv(whole, 0x811c9dc5)}${fnv(`${whole}#`, 0x1234567)}`
}

export interface AdvanceInput extends Pick<DealItem, 'known' | 'verdict' | 'ledger' | 'again'> {
  /** Frozen `now` of the run. */
  readonly now: Instant
  /** Idle since before the connection's first night for longer than `firstNight.deadAfter`. */
  readonly dead: boolean
  /** The flag cannot be read tonight: that it is off is nobody's word. */
  readonly blind?: boolean
}

export interface Advance {
  /** The same object as handed in when nothing changed. */
  readonly standing: Standing
  /** None or one. */
  readonly transitions: readonly Transition[]
  /** A stall was opened tonight (and not adopted from the CRM). */
  readonly opened: boolean
  /** A person cleared the flag since last night. */
  readonly dismissed: boolean
}

/** The next standing of a deal. `standing` null: never judged. Throws when a stalled verdict names no rule (a bug). */
export function advance(standing: Standing | null, input: AdvanceInput): Advance {
  const { known, verdict, ledger, now, blind = false } = input
  const was = standing ?? NEW_STANDING(verdict.state === 'closed' ? 'closed' : 'moving', now)
  const { own } = observedAfter(known.deal, ledger)
  const cleared = !blind && clearedByPerson(known, own, ledger)
  const dismissed = was.stall !== null && verdict.state === 'stalled' && cleared
  if (was.undone?.state === verdict.state && !dismissed && input.again !== true)
    return { standing: was, transitions: [], opened: false, dismissed }
  const state = dismissed ? 'moving' : verdict.state
  const opens = state === 'stalled' && was.stall === null
  const adopted = opens ? adoptable(own, known, standing, now) : null
  const next: Standing = {
    ...was,
    state,
    since: state === was.state ? was.since : (adopted ?? now),
    stall: state === 'stalled' ? stallOf(was.stall, adopted ?? now, input) : null,
    categoryTheirs: was.categoryTheirs && !opens && state !== 'moving' && state !== 'closed',
    dismissedAt: dismissed ? now : opens ? null : was.dismissedAt,
    undone: null,
  }
  const { lastMovement, lastMovementKind, idleDays, protection, rule } = verdict
  const check = verdict.checks.find((one) => one.rule === rule)
  const evidence = {
    ...{ lastMovement, lastMovementKind, idleDays, protection: protection?.kind ?? null },
    ...(check && { value: check.value, limit: check.limit, date: check.date }),
    ...(adopted !== null && { adopted: true }),
    ...(dismissed && { dismissed }),
  }
  const transitions = transition(known.ref, was, next, { at: now, rule, evidence })
  const same = standing !== null && sameStanding(standing, next)
  return { standing: same ? standing : next, transitions, opened: opens && adopted === null, dismissed }
}

/** The CRM says the deal is deleted or merged away: nothing can be written, the episode is over. */
export function goneStanding(ref: DealRef, standing: Standing | null, now: Instant): Advance {
  const was = standing ?? NEW_STANDING('moving', now)
  const next = was.state === 'gone' ? was : NEW_STANDING('gone', now)
  const transitions = transition(ref, was, next, { at: now, rule: null, evidence: {} })
  return { standing: next, transitions, opened: false, dismissed: false }
}

/** What a change of state leaves on record: none or one. */
export const transition = (deal: DealRef, was: Standing, next: Standing, why: Why): readonly Transition[] =>
  was.state === next.state ? [] : [{ deal, from: was.state, to: next.state, ...why }]
type Why = Pick<Transition, 'at' | 'rule' | 'evidence'>

function stallOf(was: Stall | null, startedAt: Instant, { known, verdict: { rule }, dead }: AdvanceInput): Stall {
  if (rule === null) throw new Error(`deal ${known.ref.id} is stalled without a rule`)
  if (was === null) return { startedAt, rule, taskKey: taskKey(known.ref.id, startedAt), dead }
  return was.rule === rule && (was.dead || !dead) ? was : { ...was, rule, dead: was.dead || dead }
}

/** The start of a stall the CRM shows and this database does not know (lost, or restored from a backup). Not that of an
 *  older episode whose lifting was refused, of a copied deal, or of a date in the future. */
function adoptable(own: OwnFields, known: Known, standing: Standing | null, now: Instant): Instant | null {
  if (!own.stalled || own.since === null || own.since > now || own.since < known.deal.createdAt) return null
  return standing === null || own.since > standing.since ? own.since : null
}

/** The flag is off although our last word, known to have arrived, was on: somebody cleared it, and no workflow did. */
function clearedByPerson(known: Known, own: OwnFields, ledger: readonly LedgerRow[]): boolean {
  const last = lastWritten(ledger, 'stalled')
  if (own.stalled || last?.after.stalled !== true) return false
  return latestChange(known.changes, 'stalled', last.plannedAt)?.by !== 'automation'
}
