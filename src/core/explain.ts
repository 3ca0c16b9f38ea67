// Reasons as data -> the words used in the CRM, on the command line and in the report. The texts are handed in.
import type { Instant, Known, LocalDate } from './deal.ts'
import type { JudgeContext, RuleCheck, Verdict } from './judge.ts'
import type { MovementLog } from './movement.ts'
import type { Hold, WriteCause } from './plan.ts'

/** What a sentence about one deal needs. Deal names are hostile text: templates never interpret them. */
export interface Reason {
  readonly dealName: string
  /** The check of the rule that holds. */
  readonly check: RuleCheck
  readonly stageLabel: string
  readonly lastMovement: { readonly on: LocalDate; readonly kind: Verdict['lastMovementKind'] }
  readonly amount: { readonly value: number; readonly currency: string | null } | null
  readonly pushes: number
  /** Whether the decision was already asked for once (then the draft closes the file). */
  readonly chasedBefore: boolean
}

/** One language. `src/texts/en.ts` and `fr.ts` implement it; a test holds that both say everything. */
export interface Texts {
  readonly language: 'en' | 'fr'
  /** One sentence for the CRM field: at most 255 characters, dates but never counts of days that change by themselves. */
  explanation(reason: Reason): string
  task(reason: Reason): { readonly subject: string; readonly body: string }
  /** Put below the task's text when unstall completes it. */
  completionNote(cause: WriteCause, on: LocalDate): string
  hold(hold: Hold): string
  date(date: LocalDate): string
  instant(at: Instant, timezone: string): string
  money(value: number, currency: string | null): string
}

/** What the sentences of a stalled deal need; null unless the verdict is `stalled`. */
export function reasonOf(
  known: Known,
  verdict: Verdict,
  log: MovementLog,
  context: JudgeContext,
  chasedBefore: boolean,
): Reason | null {
  throw new Error(`not built yet ${known} ${verdict} ${log} ${context} ${chasedBefore}`)
}
