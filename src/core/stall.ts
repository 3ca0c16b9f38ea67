// One stall from start to end: what state a deal is in, since when, and what was borrowed meanwhile. `advance` is the
// state table of the product: moving -> stalled -> moving | closed | gone, `parked` and `answered_no` from either,
// closed -> moving on reopening. It only reads what people did; what to write about it is plan.ts.
import type { Deal, DealRef, Instant, Known, OwnFields, Rule, State, TaskKey, WrittenState } from './deal.ts'
import type { Memory, Verdict } from './judge.ts'
import type { LedgerRow } from './plan.ts'
import { lastWritten, latestChange, ownAfter, recall, sameInstant } from './reaffirm.ts'

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
  /** Taken back by `undo` (start of that stall): final, until the stall would have ended or `--again` asks for it. */
  readonly undoneStall: Instant | null
  /** What was undone was not a stall but this state: equally final until it would have ended. */
  readonly undoneState?: 'parked' | 'answered_no'
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

/** A deal unstall has never had in hand. */
export const NEW_STANDING = (state: State, now: Instant): Standing => ({
  state,
  since: now,
  stall: null,
  borrowed: null,
  categoryTheirs: false,
  dismissedAt: null,
  undoneStall: null,
})

/** What the judge must know. An undone stall still counts as open, so that weak movement does not end it. */
export function memoryOf(standing: Standing | null): Memory {
  const undone = standing?.undoneState === undefined ? standing?.undoneStall : null
  return {
    stalledSince: standing?.stall?.startedAt ?? undone ?? null,
    dismissedAt: standing?.dismissedAt ?? null,
  }
}

function fnv(text: string, seed: number): string {
  let hash = seed >>> 0
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0
  return hash.toString(36)
}

/**
 * The key one stall's task carries in the CRM: at most 64 of `[A-Za-z0-9-]`, the same on every machine. Id and start
 * stand in it readably; the hash tells connections apart, and ids that do not fit. Seconds, because Salesforce keeps
 * no milliseconds: a start adopted from the CRM must give the same key.
 */
export function taskKey(ref: DealRef, startedAt: Instant): TaskKey {
  const start = Math.floor(startedAt / 1000).toString(36)
  const whole = JSON.stringify([ref.connection, ref.id, start])
  const id = ref.id.replace(/[^A-Za-z0-9]/g, '').slice(0, 24)
  return `u-${id}-${start}-${fnv(whole, 0x811c9dc5)}${fnv(`${whole}#`, 0x1234567)}`
}

export interface AdvanceInput {
  readonly known: Known
  readonly verdict: Verdict
  /** This deal's ledger rows, for what people did to our writes. */
  readonly ledger: readonly LedgerRow[]
  /** Frozen `now` of the run. */
  readonly now: Instant
  /** Idle since before the connection's first night for longer than `firstNight.deadAfter`. */
  readonly dead: boolean
  /** `unstall run --again`: forget that this deal's stall was undone or dismissed. */
  readonly again?: boolean
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

const NONE: readonly Transition[] = []

/** The next standing of a deal. `standing` null: never judged. Throws when a stalled verdict names no rule (a bug). */
export function advance(standing: Standing | null, input: AdvanceInput): Advance {
  const { known, verdict, now } = input
  const was = standing ?? NEW_STANDING(verdict.state === 'closed' ? 'closed' : 'moving', now)
  const own = ownAfter(known.deal, input.ledger)
  const dismissed = was.stall !== null && verdict.state === 'stalled' && clearedByPerson(known, own, input.ledger)
  const stillUndone = input.again !== true && verdict.state === (was.undoneState ?? 'stalled')
  const undoneStall = stillUndone ? was.undoneStall : null
  const state = dismissed || undoneStall !== null ? 'moving' : verdict.state

  let stall: Stall | null = null
  let adopted = false
  if (state === 'stalled') {
    const rule = verdict.rule
    if (rule === null) throw new Error(`deal ${known.ref.id} is stalled without a rule`)
    if (was.stall !== null) {
      const same = was.stall.rule === rule && (was.stall.dead || !input.dead)
      stall = same ? was.stall : { ...was.stall, rule, dead: was.stall.dead || input.dead }
    } else {
      const since = adoptable(own, known, standing, now)
      adopted = since !== null
      const startedAt = since ?? now
      stall = { startedAt, rule, taskKey: taskKey(known.ref, startedAt), dead: input.dead }
    }
  }
  const over = state === 'moving' || state === 'closed'
  const opened = stall !== null && was.stall === null
  const next: Standing = {
    state,
    since: state === was.state ? was.since : adopted && stall !== null ? stall.startedAt : now,
    stall,
    borrowed: was.borrowed,
    categoryTheirs: over || opened ? false : was.categoryTheirs,
    dismissedAt: dismissed ? now : opened ? null : was.dismissedAt,
    undoneStall,
    ...(undoneStall !== null && was.undoneState !== undefined ? { undoneState: was.undoneState } : {}),
  }
  const changed = was.state !== state
  const transitions = changed
    ? [
        {
          deal: known.ref,
          from: was.state,
          to: state,
          at: now,
          rule: verdict.rule,
          evidence: evidence(verdict, { adopted, dismissed }),
        },
      ]
    : NONE
  return {
    standing: standing !== null && sameStanding(standing, next) ? standing : next,
    transitions,
    opened: opened && !adopted,
    dismissed,
  }
}

/** The CRM says the deal is deleted or merged away: nothing can be written, the episode is over. */
export function goneStanding(ref: DealRef, standing: Standing | null, now: Instant): Advance {
  const was = standing ?? NEW_STANDING('moving', now)
  if (was.state === 'gone') return { standing: was, transitions: NONE, opened: false, dismissed: false }
  const transition: Transition = { deal: ref, from: was.state, to: 'gone', at: now, rule: null, evidence: {} }
  return { standing: NEW_STANDING('gone', now), transitions: [transition], opened: false, dismissed: false }
}

/**
 * The start of a stall the CRM shows and this database does not know (lost, or restored from a backup). Not that of an
 * older episode whose lifting was refused, of a copied deal, or of a date in the future.
 */
function adoptable(own: OwnFields, known: Known, standing: Standing | null, now: Instant): Instant | null {
  if (!own.stalled || own.since === null || own.since > now || own.since < known.deal.createdAt) return null
  return standing === null || own.since > standing.since ? own.since : null
}

/** The flag is off although our last word, known to have arrived, was on: somebody cleared it, and no workflow did. */
function clearedByPerson(known: Known, own: OwnFields, ledger: readonly LedgerRow[]): boolean {
  if (own.stalled) return false
  const last = lastWritten(ledger, 'stalled')
  if (last?.after.stalled !== true) return false
  const change = latestChange(known.changes, 'stalled', last.plannedAt)
  return change === null || change.by !== 'automation'
}

function evidence(verdict: Verdict, more: { readonly adopted: boolean; readonly dismissed: boolean }) {
  const check = verdict.checks.find((candidate) => candidate.rule === verdict.rule)
  return {
    lastMovement: verdict.lastMovement,
    lastMovementKind: verdict.lastMovementKind,
    idleDays: verdict.idleDays,
    protection: verdict.protection?.kind ?? null,
    ...(check ? { value: check.value, limit: check.limit, date: check.date } : {}),
    ...(more.adopted ? { adopted: true } : {}),
    ...(more.dismissed ? { dismissed: true } : {}),
  }
}

export function sameStanding(a: Standing, b: Standing): boolean {
  return (
    a.state === b.state &&
    a.since === b.since &&
    a.stall === b.stall &&
    a.borrowed === b.borrowed &&
    a.categoryTheirs === b.categoryTheirs &&
    a.dismissedAt === b.dismissedAt &&
    a.undoneStall === b.undoneStall &&
    a.undoneState === b.undoneState
  )
}

/**
 * The standing after an undo, read from the deal as the undo leaves it. `undone`: what was taken back, if the run had
 * set a flag (`at` is the start of that stall) or another state.
 */
export function restoredStanding(
  ref: DealRef,
  was: Standing,
  after: Deal,
  undone: { readonly state: WrittenState; readonly at: Instant } | null,
  now: Instant,
): Standing {
  const { own } = after
  const closed = after.outcome !== 'open'
  const known = was.stall !== null && (own.since === null || sameInstant(was.stall.startedAt, own.since))
  let stall: Stall | null = null
  if (!closed && own.stalled) {
    if (was.stall !== null && known) stall = { ...was.stall, rule: own.reason ?? was.stall.rule }
    else if (own.since !== null && own.reason !== null)
      stall = { startedAt: own.since, rule: own.reason, taskKey: taskKey(ref, own.since), dead: false }
  }
  const written = own.state === 'parked' || own.state === 'answered_no' ? own.state : 'moving'
  const state: State = closed ? 'closed' : stall !== null ? 'stalled' : written
  const saved = own.categoryBefore
  const { undoneState: earlier, ...rest } = was
  const undoneState = undone === null ? earlier : undone.state
  return {
    ...rest,
    state,
    since: state === was.state ? was.since : now,
    stall,
    borrowed: saved === null ? null : (was.borrowed ?? { category: recall(saved), stage: after.stageId, at: now }),
    undoneStall: state === 'moving' ? (undone?.at ?? was.undoneStall) : null,
    ...(state === 'moving' && (undoneState === 'parked' || undoneState === 'answered_no') ? { undoneState } : {}),
  }
}
