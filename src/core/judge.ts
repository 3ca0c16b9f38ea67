// (deal, log, policy, now) -> Verdict: whether a deal moves, and if not, which rule says so and why.
import type { Decision, Instant, Known, LocalDate, OwnerId, Rule } from './deal.ts'
import type { MovementContext, MovementLog } from './movement.ts'
import type { Settings } from './policy.ts'

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
  | { readonly kind: 'new_owner'; readonly until: LocalDate }
  | { readonly kind: 'history_unknown'; readonly until: LocalDate }

export type Warning =
  | { readonly kind: 'limit_near'; readonly inWorkingDays: number; readonly on: LocalDate }
  | { readonly kind: 'no_decision_date'; readonly sinceWorkingDays: number }
  | { readonly kind: 'one_push_left'; readonly pushes: number }
  | { readonly kind: 'history_unknown'; readonly until: LocalDate }
  | { readonly kind: 'no_still_open'; readonly sinceWorkingDays: number }

/** What the judge must know beside the deal: the open stall and what people did to earlier flags. The store keeps it (stall.ts). */
export interface Memory {
  /** Start of the open stall; null while not stalled. Weak movement after it does not lift the flag. */
  readonly stalledSince: Instant | null
  /** A person cleared the flag at this moment: silent for 10 working days. */
  readonly dismissedAt: Instant | null
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

/** Whether a deal moves at `now`. Pure: the same input gives the same verdict. */
export function judge(known: Known, log: MovementLog, memory: Memory, context: JudgeContext, now: Instant): Verdict {
  throw new Error(`not built yet ${known} ${log} ${memory} ${context} ${now}`)
}
