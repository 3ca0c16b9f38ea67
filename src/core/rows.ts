// The rows of one deal: what should be true of its flag, forecast, answer and task, minus what is true already.
import type { Loan } from './borrow.ts'
import type { Deal, FieldValues, OwnFields, Rule } from './deal.ts'
import { type Reason, reasonOf } from './explain.ts'
import type { DealItem, Group, Hold, Lift, PlanContext, PlannedWrite, WriteCause } from './plan.ts'
import { arrived, LIVE, lastWritten, pick, sameValue, valuesOf } from './reaffirm.ts'
import { type Advance, writtenState } from './stall.ts'

export const DECISION_RULES: readonly Rule[] = ['decision_overdue', 'answered_maybe', 'yes_not_closed']

/** One deal with all that tonight's plan for it depends on. */
export interface Tonight extends DealItem, PlanContext {
  /** The deal with our own writes it does not show yet. */
  readonly observed: Deal
  readonly moved: Advance
}
type Lent = Tonight & { readonly loan: Loan }
type Rows = readonly PlannedWrite[]

const GROUPS = [flag, forecast, answer, task, completions]
/** Everything the deal needs; of each group at most one row, but of completions. */
export const rowsOf = (deal: Lent): Rows => GROUPS.flatMap((rows) => rows(deal))

/** Nothing of ours is on the deal but perhaps the word that it moves. */
export const untouched = ({ stalled, state, since, reason, categoryBefore }: OwnFields): boolean =>
  !stalled && (state ?? 'moving') === 'moving' && since === null && reason === null && categoryBefore === null

/** Why a deal that is not stalled is written. */
function lift({ verdict, loan: { standing } }: Lent): Lift {
  const { state, since, dismissedAt } = standing
  if (state === 'parked' || state === 'answered_no' || state === 'closed') return state
  if (verdict.protection?.kind === 'excluded') return 'excluded'
  return dismissedAt !== null && dismissedAt >= since ? 'dismissed' : 'recovered'
}

function head({ run, known, verdict }: Lent, group: Group, cause: WriteCause, suffix = '') {
  const { ref, deal } = known
  const key = `${run}.${ref.id}.${group}${suffix}`
  const { rule } = verdict
  return { key, deal: ref, lockGroup: deal.lockGroup, group, cause, rule, hold: null, undoes: null } as const
}

/** The wanted values that are not there yet. */
function missing({ observed }: Lent, wanted: FieldValues): FieldValues {
  const held = valuesOf(observed)
  return pick(wanted, (key) => !sameValue(held[key], wanted[key]))
}

function fields(deal: Lent, group: Group, cause: WriteCause, after: FieldValues): Rows {
  const before = pick(valuesOf(deal.observed), (key) => key in after)
  return [{ ...head(deal, group, cause), kind: 'fields', before, after }]
}

function reasonFor(deal: Lent): Reason | null {
  const tasks = deal.ledger.filter((row) => row.kind === 'create-task' && arrived(row))
  const chased = tasks.some(({ rule }) => rule !== null && DECISION_RULES.includes(rule))
  return reasonOf(deal.known, deal.verdict, deal.log, deal, chased)
}

function flag(deal: Lent): Rows {
  const { moved, loan, texts, verdict, ledger } = deal
  const { own } = deal.observed
  const { stall } = loan.standing
  const state = writtenState(loan.standing.state)
  const wanted = { stalled: stall !== null, state, since: stall?.startedAt ?? null, reason: stall?.rule ?? null }
  const changed = state === 'moving' && untouched(own) ? {} : missing(deal, wanted)
  let more: FieldValues = loan.saved === undefined ? {} : { categoryBefore: loan.saved }
  // Dates move by themselves and sentences follow them: both are written with a flag, never for their own sake.
  if (Object.keys(changed).length > 0) {
    const reason = stall === null ? null : reasonFor(deal)
    const explanation = reason === null ? null : texts.explanation(reason)
    more = { ...more, explanation, lastMovement: verdict.lastMovement }
  }
  const after = { ...changed, ...missing(deal, more) }
  if (Object.keys(after).length === 0) return []
  if (stall === null) return fields(deal, 'flag', lift(deal), after)
  const flagged = own.stalled || lastWritten(ledger, 'stalled')?.after.stalled === true
  const another = 'reason' in changed && own.stalled && own.reason !== null
  const cause = moved.opened || !flagged ? 'flagged' : another ? 'reason_changed' : 'reasserted'
  return fields(deal, 'flag', cause, after)
}

function forecast(deal: Lent): Rows {
  const { category, again, standing } = deal.loan
  if (category === undefined) return []
  const cause = standing.stall === null ? lift(deal) : deal.moved.opened ? 'flagged' : 'reasserted'
  return fields(deal, 'forecast', again ? 'reasserted' : cause, { category })
}

/** An answer belongs to one date: a new date empties it, once. Taken back by undo, it stays. */
function answer(deal: Lent): Rows {
  const { verdict, known, ledger, observed } = deal
  if (!verdict.decision.answerIsOfEarlierDate || observed.own.decision === null) return []
  if (verdict.state === 'closed' || verdict.protection?.kind === 'excluded') return []
  const undone = ledger.findLast((row) => row.group === 'answer' && row.status === 'undone')
  if (undone && !known.changes.some(({ field, at }) => field === 'decisionDue' && at > undone.plannedAt)) return []
  return fields(deal, 'answer', 'new_decision_date', { decision: null })
}

/** One stall never gets two tasks, whatever became of the first, unless it never came to be. */
function task(deal: Lent): Rows {
  const { known, verdict, settings, texts } = deal
  const { stall } = deal.loan.standing
  if (stall === null || stall.dead || !settings.tasks.enabled) return []
  const { taskKey } = stall
  const live = deal.ledger.filter((row) => LIVE.includes(row.status))
  if (live.some((row) => row.kind === 'create-task' && row.taskKey === taskKey)) return []
  const reason = reasonFor(deal)
  if (reason === null) return []
  const id = known.deal.ownerId
  const owner = id === null ? undefined : deal.owner(id)
  const email = owner?.email?.toLowerCase() ?? null
  let hold: Hold | null = null
  if (id === null) hold = { brake: 'no_owner' }
  else if (owner?.active !== true) hold = { brake: 'owner_left' }
  else if (verdict.newOwnerUntil !== null) hold = { brake: 'new_owner', until: verdict.newOwnerUntil }
  const due = deal.calendar.addWorkingDays(deal.today, settings.tasks.dueDays, email)
  const to = { owner: id ?? '', person: email ?? id ?? '' }
  return [{ ...head(deal, 'task', 'flagged'), kind: 'create-task', hold, taskKey, ...to, ...texts.task(reason), due }]
}

/** Completes every task of ours that belongs to no open stall. */
function completions(deal: Lent): Rows {
  const { ledger, openTask } = deal
  const open = new Map<string, { readonly id: string; readonly body: string }>()
  for (const row of ledger)
    if (row.kind === 'create-task' && row.status === 'done' && row.remote !== null)
      open.set(row.taskKey, { id: row.remote, body: row.body })
  if (openTask?.open === true) open.set(openTask.key, openTask)
  else if (openTask) open.delete(openTask.key)
  for (const row of ledger)
    if (row.kind === 'complete-task' && (row.status === 'done' || row.status === 'left')) open.delete(row.taskKey)
  open.delete(deal.loan.standing.stall?.taskKey ?? '')
  const cause = lift(deal)
  return [...open].map(([taskKey, { id: task, body: bodyBefore }], n) => {
    const body = `${bodyBefore}\n\n${deal.texts.completionNote(cause, deal.today)}`
    const row = head(deal, 'task-done', cause, n === 0 ? '' : `.${n + 1}`)
    return { ...row, kind: 'complete-task', taskKey, task, bodyBefore, body }
  })
}
