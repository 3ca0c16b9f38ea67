// Were the flags right: what became of each one after 30, 60 and 90 days, which rule is called wrong too often, and what
// was won after the buyer moved again. A flag is one stall; what follows a second stall belongs to that one.
import { closedAt } from './cycle.ts'
import { type Instant, type Known, RULES, type Rule, type State } from './deal.ts'
import type { JudgeContext } from './judge.ts'
import type { MovementLog } from './movement.ts'
import type { LedgerRow } from './plan.ts'
import { arrived } from './reaffirm.ts'
import { type Transition, taskKey } from './stall.ts'

export const FATES = [
  ...(['won', 'lost', 'recovered', 'stalled', 'parked', 'answered_no', 'gone'] as const),
  /** A person cleared the flag. */
  'wrong',
  /** Won within ten working days of the flag, its task untouched. */
  'probably_wrong',
] as const
export type Fate = (typeof FATES)[number]
export const HORIZONS = [30, 60, 90] as const
export const SUGGESTIONS = ['too_few', 'loosen', 'archive', 'keep'] as const

export interface Flag {
  readonly at: Instant
  readonly rule: Rule
  /** Today, and after each of HORIZONS; null: not that old yet. */
  readonly today: Fate
  readonly after: readonly (Fate | null)[]
}
/** How many flags met which fate. */
export type Fates = Readonly<Record<Fate, number>>
export interface Quality {
  readonly horizons: readonly { readonly days: number; readonly flags: number; readonly fates: Fates }[]
  /** As of today. `loosen`: too many are wrong; `archive`: most lie there unanswered; `too_few`: says nothing yet. */
  readonly rules: readonly {
    readonly rule: Rule
    readonly flags: number
    readonly fates: Fates
    readonly suggestion: (typeof SUGGESTIONS)[number]
  }[]
}

/** A stored transition as far as it is looked at. */
export type Step = Pick<Transition, 'at' | 'from' | 'to' | 'rule' | 'evidence'>

const DAY_MS = 86_400_000
const PROBABLY_WRONG_DAYS = 10
const FEW = 10
const WRONG_SHARE = 0.2
const STILL_SHARE = 0.5

/** The flags of one deal. `steps`: oldest first; `ledger`: dropped rows left out. Flags that were taken back by an undo
 *  or never reached the CRM are not counted. */
export function flagsOf(
  known: Known,
  steps: readonly Step[],
  ledger: readonly LedgerRow[],
  context: JudgeContext,
  now: Instant,
): readonly Flag[] {
  const closed = closedAt(known, context)
  const begun = steps.flatMap(({ to, rule }, i) => (to === 'stalled' && rule !== null ? [{ i, rule }] : []))
  return begun.flatMap(({ i, rule }, n) => {
    const at = steps[i]?.at ?? now
    const episode = steps.slice(i, begun[n + 1]?.i)
    const seen =
      steps[i]?.evidence.adopted === true ||
      ledger.some((row) => row.kind === 'fields' && row.plannedAt === at && row.after.stalled === true && arrived(row))
    if (!seen || episode.some(({ evidence }) => evidence.undoes !== undefined)) return []
    const touched = ledger.some(
      (row) => row.kind === 'complete-task' && row.taskKey === taskKey(known.ref.id, at) && row.status === 'left',
    )
    const quick =
      known.deal.outcome === 'won' &&
      closed !== null &&
      context.calendar.workingDays(context.calendar.localDate(at), context.calendar.localDate(closed)) <=
        PROBABLY_WRONG_DAYS
    const fate = (until: Instant): Fate => {
      const past = episode.filter((step) => step.at <= until)
      if (past.some(({ evidence }) => evidence.dismissed === true)) return 'wrong'
      const state: State = past.at(-1)?.to ?? 'stalled'
      if (state === 'moving') return 'recovered'
      if (state !== 'closed') return state
      if (known.deal.outcome === 'open') return 'recovered'
      return known.deal.outcome === 'won' && quick && !touched ? 'probably_wrong' : known.deal.outcome
    }
    const after = HORIZONS.map((days) => (at + days * DAY_MS <= now ? fate(at + days * DAY_MS) : null))
    return [{ at, rule, today: fate(now), after }]
  })
}

export function qualityOf(flags: readonly Flag[]): Quality {
  const horizons = HORIZONS.map((days, i) => {
    const old = flags.flatMap(({ after }) => after[i] ?? [])
    return { days, flags: old.length, fates: countFates(old) }
  })
  const rules = RULES.map((rule) => {
    const mine = flags.filter((flag) => flag.rule === rule)
    const fates = countFates(mine.map(({ today }) => today))
    const oldest = mine.flatMap(({ after }) => after.at(-1) ?? [])
    const still = oldest.filter((fate) => fate === 'stalled').length
    const wrong = fates.wrong + fates.probably_wrong
    // A flag of last week that nobody answered yet says nothing.
    const telling = mine.filter(({ today, after: [first] }) => today !== 'stalled' || first !== null).length
    const suggestion =
      telling < FEW
        ? 'too_few'
        : wrong >= WRONG_SHARE * telling
          ? 'loosen'
          : oldest.length >= FEW && still >= STILL_SHARE * oldest.length
            ? 'archive'
            : 'keep'
    return { rule, flags: mine.length, fates, suggestion } as const
  })
  return { horizons, rules: rules.filter(({ flags }) => flags > 0) }
}

function countFates(fates: readonly Fate[]): Fates {
  const counts = {
    won: 0,
    lost: 0,
    recovered: 0,
    stalled: 0,
    parked: 0,
    answered_no: 0,
    gone: 0,
    wrong: 0,
    probably_wrong: 0,
  }
  for (const fate of fates) counts[fate]++
  return counts
}

/** Won after a strong movement that followed our task. */
export function isRecovered(
  known: Known,
  log: MovementLog,
  ledger: readonly LedgerRow[],
  context: JudgeContext,
): boolean {
  const won = known.deal.outcome === 'won' ? closedAt(known, context) : null
  const tasks = ledger.filter((row) => row.kind === 'create-task' && row.status !== 'undone' && row.sentAt !== null)
  const asked = Math.min(...tasks.map(({ sentAt }) => sentAt ?? Number.POSITIVE_INFINITY))
  return won !== null && log.entries.some(({ at, counts }) => counts === 'strong' && at > asked && at <= won)
}
