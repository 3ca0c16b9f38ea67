// The rows of one deal: what should be true of its flag, forecast, answer and task, minus what is true already.
import type { Loan } from './borrow.ts'
import type { Deal, FieldValues, OwnFields, RemoteId, Rule, TaskKey } from './deal.ts'
import { type Reason, reasonOf } from './explain.ts'
import type { DealItem, Group, Hold, LedgerRow, Lift, PlanContext, PlannedWrite, WriteCause } from './plan.ts'
import { arrived, lastWritten, pick, sameValue, valuesOf } from './reaffirm.ts'
import { type Advance, writtenState } from './stall.ts'

export const DECISION_RULES: readonly Rule[] = ['decision_overdue', 'answered_maybe', 'yes_not_closed']

/** One deal of tonight's plan, advanced. */
export interface Tonight {
  readonly item: DealItem
  /** The deal with our own writes it does not show yet. */
  readonly observed: Deal
  readonly moved: Advance
  readonly taken: Loan
  readonly context: PlanContext
}

type Rows = readonly PlannedWrite[]

/** Everything tonight needs, one group at a time; of each group at most one row, but of completions. */
export const rowsOf = (deal: Tonight): Rows => [
  ...flag(deal),
  ...forecast(deal),
  ...answer(deal),
  ...task(deal),
  ...completions(deal),
]

/** Nothing of ours is on the deal but perhaps the word that it moves. */
export const untouched = ({ stalled, state, since, reason, categoryBefore }: OwnFields): boolean =>
  !stalled && (state ?? 'moving') === 'moving' && since === null && reason === null && categoryBefore === null

/** Why a deal that is not stalled is written. */
function lift({ item, taken: { standing } }: Tonight): Lift {
  const { state, since, dismissedAt } = standing
  if (state === 'parked' || state === 'answered_no' || state === 'closed') return state
  if (item.verdict.protection?.kind === 'excluded') return 'excluded'
  return dismissedAt !== null && dismissedAt >= since ? 'dismissed' : 'recovered'
}

function head({ item, context }: Tonight, group: Group, cause: WriteCause, suffix = '') {
  const { known, verdict } = item
  const key = `${context.run}.${known.ref.id}.${group}${suffix}`
  const { lockGroup } = known.deal
  return { key, deal: known.ref, lockGroup, group, cause, rule: verdict.rule, hold: null, undoes: null } as const
}

/** The wanted values that are not there yet. */
function missing({ observed }: Tonight, wanted: FieldValues): FieldValues {
  const held = valuesOf(observed)
  return pick(wanted, (key) => !sameValue(held[key], wanted[key]))
}

function fields(deal: Tonight, group: Group, cause: WriteCause, after: FieldValues): Rows {
  const before = pick(valuesOf(deal.observed), (key) => key in after)
  return [{ ...head(deal, group, cause), kind: 'fields', before, after }]
}

function reasonFor({ item, context }: Tonight): Reason | null {
  const { known, verdict, log, ledger } = item
  const asked = (row: LedgerRow) => row.kind === 'create-task' && row.rule !== null && DECISION_RULES.includes(row.rule)
  return reasonOf(
    known,
    verdict,
    log,
    context,
    ledger.some((row) => asked(row) && arrived(row)),
  )
}

function flag(deal: Tonight): Rows {
  const { item, observed, moved, taken, context } = deal
  const { own } = observed
  const { stall, state: now } = taken.standing
  const state = writtenState(now)
  const wanted = { stalled: stall !== null, state, since: stall?.startedAt ?? null, reason: stall?.rule ?? null }
  const changed = state === 'moving' && untouched(own) ? {} : missing(deal, wanted)
  let more: FieldValues = taken.saved === undefined ? {} : { categoryBefore: taken.saved }
  // Dates move by themselves and sentences follow them: both are written with a flag, never for their own sake.
  if (Object.keys(changed).length > 0) {
    const reason = stall === null ? null : reasonFor(deal)
    const explanation = reason === null ? null : context.texts.explanation(reason)
    more = { ...more, explanation, lastMovement: item.verdict.lastMovement }
  }
  const after = { ...changed, ...missing(deal, more) }
  if (Object.keys(after).length === 0) return []
  if (stall === null) return fields(deal, 'flag', lift(deal), after)
  const flagged = own.stalled || lastWritten(item.ledger, 'stalled')?.after.stalled === true
  const another = 'reason' in changed && own.stalled && own.reason !== null
  const cause = moved.opened || !flagged ? 'flagged' : another ? 'reason_changed' : 'reasserted'
  return fields(deal, 'flag', cause, after)
}

function forecast(deal: Tonight): Rows {
  const { category, again, standing } = deal.taken
  if (category === undefined) return []
  const cause = standing.stall === null ? lift(deal) : deal.moved.opened ? 'flagged' : 'reasserted'
  return fields(deal, 'forecast', again ? 'reasserted' : cause, { category })
}

/** An answer belongs to one date: a new date empties it, once. Taken back by undo, it stays. */
function answer(deal: Tonight): Rows {
  const { verdict, known, ledger } = deal.item
  if (!verdict.decision.answerIsOfEarlierDate || deal.observed.own.decision === null) return []
  if (verdict.state === 'closed' || verdict.protection?.kind === 'excluded') return []
  const undone = ledger.findLast((row) => row.group === 'answer' && row.status === 'undone')
  if (undone && !known.changes.some(({ field, at }) => field === 'decisionDue' && at > undone.plannedAt)) return []
  return fields(deal, 'answer', 'new_decision_date', { decision: null })
}

/** One stall never gets two tasks, whatever became of the first, unless it was never sent. */
const mayBe = (row: LedgerRow): boolean =>
  arrived(row) || row.status === 'planned' || row.status === 'sent' || row.status === 'left'

function task(deal: Tonight): Rows {
  const { settings, calendar, today, texts, owner: ownerOf } = deal.context
  const { known, ledger, verdict } = deal.item
  const { stall } = deal.taken.standing
  if (stall === null || stall.dead || !settings.tasks.enabled) return []
  const { taskKey } = stall
  if (ledger.some((row) => row.kind === 'create-task' && row.taskKey === taskKey && mayBe(row))) return []
  const reason = reasonFor(deal)
  if (reason === null) return []
  const id = known.deal.ownerId
  const owner = id === null ? undefined : ownerOf(id)
  const email = owner?.email?.toLowerCase() ?? null
  let hold: Hold | null = null
  if (id === null) hold = { brake: 'no_owner' }
  else if (owner?.active !== true) hold = { brake: 'owner_left' }
  else if (verdict.newOwnerUntil !== null) hold = { brake: 'new_owner', until: verdict.newOwnerUntil }
  const due = calendar.addWorkingDays(today, settings.tasks.dueDays, email)
  const to = { owner: id ?? '', person: email ?? id ?? '' }
  return [{ ...head(deal, 'task', 'flagged'), kind: 'create-task', hold, taskKey, ...to, ...texts.task(reason), due }]
}

/** Completes every task of ours that belongs to no open stall. */
function completions(deal: Tonight): Rows {
  const { ledger, openTask } = deal.item
  const { texts, today } = deal.context
  const open = new Map<TaskKey, { readonly id: RemoteId; readonly body: string }>()
  for (const row of ledger)
    if (row.kind === 'create-task' && row.status === 'done' && row.remote !== null)
      open.set(row.taskKey, { id: row.remote, body: row.body })
  if (openTask?.open === true) open.set(openTask.key, openTask)
  else if (openTask) open.delete(openTask.key)
  for (const row of ledger)
    if (row.kind === 'complete-task' && (row.status === 'done' || row.status === 'left')) open.delete(row.taskKey)
  open.delete(deal.taken.standing.stall?.taskKey ?? '')
  const cause = lift(deal)
  return [...open].map(([taskKey, { id, body: bodyBefore }], n) => ({
    ...head(deal, 'task-done', cause, n === 0 ? '' : `.${n + 1}`),
    kind: 'complete-task',
    taskKey,
    task: id,
    bodyBefore,
    body: `${bodyBefore}\n\n${texts.completionNote(cause, today)}`,
  }))
}
