// Reasons as data -> the words used in the CRM, on the command line and in the report. The texts are handed in.
import type { BacktestLine } from './backtest.ts'
import type { Cause, Instant, Known, LocalDate, Rule, State, Tells } from './deal.ts'
import type { JudgeContext, Protection, RuleCheck, Verdict, Warning } from './judge.ts'
import type { LogEntry, MovementKind, MovementLog } from './movement.ts'
import type { Hold, WriteCause } from './plan.ts'
import { stageTable } from './policy.ts'
import { type Transition, writtenState } from './stall.ts'
import type { Templates } from './templates.ts'

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
  /** The same with a company's own words for task, drafts and completion note. */
  withTemplates(own: Templates | undefined): Texts
  /** One sentence for the CRM field: at most 255 characters, dates but never counts of days that change by themselves. */
  explanation(reason: Reason): string
  task(reason: Reason): { readonly subject: string; readonly body: string }
  /** Put below the task's text when unstall completes it. */
  completionNote(cause: WriteCause, on: LocalDate): string
  hold(hold: Hold): string
  date(date: LocalDate): string
  /** In figures, for tables and axes; `month` of `2026-11`; `compact`: `1.2M`; `percent` of a share between 0 and 1. */
  shortDate(date: LocalDate): string
  month(month: string): string
  number(value: number): string
  compact(value: number): string
  percent(share: number): string
  instant(at: Instant, timezone: string): string
  /** Null or '': an amount without currency. */
  money(value: number, currency: string | null): string
  /** By currency; a dash where there is none. */
  moneys(sums: Readonly<Record<string, number>>): string
  /** One line of `unstall explain`. */
  step(step: ExplainStep): string
  /** The same in parts, for tables: what happened and what that counts; what a rule measured, its limit, and its marks. */
  event(step: Extract<ExplainStep, { step: 'event' }>): {
    readonly on: string
    readonly what: string
    readonly counts: string
    readonly source: string
  }
  check(check: RuleCheck): { readonly measured: string; readonly limit: string; readonly notes: string } | null
  /** One sentence of `unstall backtest`. */
  backtest(line: BacktestLine): string
  readonly names: Names
}

/** Short names for tables and reports. */
export interface Names {
  readonly rules: Readonly<Record<Rule, string>>
  readonly states: Readonly<Record<State, string>>
  readonly movements: Readonly<Record<MovementKind | 'created' | 'first_seen', string>>
  readonly causes: Readonly<Record<Cause, string>>
}

/** The judgement of one deal, step by step, as data. `heading` tells where a section of lines begins. */
export type ExplainStep =
  | { readonly step: 'verdict'; readonly state: Verdict['state']; readonly rule: Rule | null }
  | { readonly step: 'heading'; readonly of: 'timeline' | 'rules' | 'decision' | 'warnings' | 'blind' | 'past' }
  | { readonly step: 'created'; readonly on: LocalDate; readonly imported: boolean; readonly firstSeen: LocalDate }
  | { readonly step: 'event'; readonly on: LocalDate; readonly entry: LogEntry }
  | {
      readonly step: 'clock'
      readonly on: LocalDate
      readonly kind: Verdict['lastMovementKind']
      readonly days: number
    }
  | { readonly step: 'rule'; readonly check: RuleCheck }
  | { readonly step: 'clears'; readonly rule: Rule }
  /** What the forecast is without while the deal does not count. `on`: its close date. */
  | {
      readonly step: 'out'
      readonly amount: number
      readonly currency: string | null
      readonly on: LocalDate | null
    }
  /** An earlier verdict: the night on which the state changed. */
  | {
      readonly step: 'past'
      readonly on: LocalDate
      readonly from: State
      readonly to: State
      readonly rule: Rule | null
    }
  | { readonly step: 'protection'; readonly protection: Protection }
  | { readonly step: 'decision'; readonly decision: Verdict['decision'] }
  | { readonly step: 'warning'; readonly warning: Warning }
  | { readonly step: 'blind'; readonly what: Blind }
  | { readonly step: 'next'; readonly on: LocalDate | null }

/** What the CRM cannot tell, about this deal or at all. */
export type Blind = keyof Tells | 'unknown_actor' | 'unknown_participants'

/** What the sentences of a stalled deal need; null unless the verdict is `stalled`. */
export function reasonOf(
  known: Known,
  verdict: Verdict,
  log: MovementLog,
  context: JudgeContext,
  chasedBefore: boolean,
): Reason | null {
  const check = verdict.checks.find((one) => one.rule === verdict.rule)
  if (check === undefined) return null
  const { deal } = known
  return {
    dealName: deal.name,
    check,
    stageLabel: stageTable(context.reference, context.policy)(deal.pipelineId, deal.stageId)?.label ?? deal.stageId,
    lastMovement: { on: context.calendar.localDate(verdict.lastMovement), kind: verdict.lastMovementKind },
    amount: deal.amount === null ? null : { value: deal.amount, currency: deal.currency },
    pushes: log.pushes.length,
    chasedBefore,
  }
}

/** Every line `unstall explain` prints, in order; `Texts.step` puts each into words. `past`: its changes of state, oldest
 *  first. */
export function explainSteps(
  known: Known,
  verdict: Verdict,
  log: MovementLog,
  context: JudgeContext,
  past: readonly Pick<Transition, 'at' | 'from' | 'to' | 'rule'>[] = [],
): readonly ExplainStep[] {
  const { deal, firstSeen } = known
  const { calendar, reference } = context
  const on = (at: Instant) => calendar.localDate(at)
  const steps: ExplainStep[] = [{ step: 'verdict', state: verdict.state, rule: verdict.rule }]
  if (verdict.rule !== null) steps.push({ step: 'clears', rule: verdict.rule })
  const { amount, currency, closeDate } = deal
  if (amount !== null && writtenState(verdict.state) !== 'moving')
    steps.push({ step: 'out', amount, currency, on: closeDate })
  if (verdict.protection !== null) steps.push({ step: 'protection', protection: verdict.protection })
  steps.push({ step: 'heading', of: 'timeline' })
  steps.push({ step: 'created', on: on(deal.createdAt), imported: deal.imported, firstSeen: on(firstSeen) })
  // What a deal was created with is no event.
  for (const entry of log.entries)
    if (entry.from !== null || entry.at !== deal.createdAt)
      steps.push({ step: 'event', on: on(entry.at), entry: named(entry, known, context) })
  const { lastMovement, lastMovementKind, idleDays } = verdict
  steps.push({ step: 'clock', on: on(lastMovement), kind: lastMovementKind, days: idleDays })
  if (verdict.state !== 'closed') {
    steps.push({ step: 'heading', of: 'rules' })
    for (const check of verdict.checks) steps.push({ step: 'rule', check })
    steps.push({ step: 'decision', decision: verdict.decision })
    steps.push({ step: 'next', on: verdict.dueOn })
  }
  if (verdict.warnings.length > 0) steps.push({ step: 'heading', of: 'warnings' })
  for (const warning of verdict.warnings) steps.push({ step: 'warning', warning })
  if (past.length > 0) steps.push({ step: 'heading', of: 'past' })
  for (const { at, from, to, rule } of past) steps.push({ step: 'past', on: on(at), from, to, rule })
  const blind: Blind[] = []
  for (const what of ['unknown_actor', 'unknown_participants'] as const)
    if (log.entries.some(({ why }) => why === what)) blind.push(what)
  for (const what of ['participants', 'personFromAutomation', 'history', 'replies', 'calls'] as const)
    if (!reference.tells[what]) blind.push(what)
  if (blind.length > 0) steps.push({ step: 'heading', of: 'blind' })
  for (const what of blind) steps.push({ step: 'blind', what })
  return steps
}

/** Stages by their labels, pipelines by theirs. */
function named(entry: LogEntry, { deal }: Known, { reference, policy }: JudgeContext): LogEntry {
  const label = (id: string | null): string | null => {
    if (id === null) return null
    if (entry.field === 'stage') return stageTable(reference, policy)(deal.pipelineId, id)?.label ?? id
    if (entry.field === 'pipeline') return reference.pipelines.find((one) => one.id === id)?.label ?? id
    if (entry.field === 'owner') return reference.owners.find((one) => one.id === id)?.name ?? id
    return id
  }
  return { ...entry, from: label(entry.from), to: label(entry.to) }
}
