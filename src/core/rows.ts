// The rows of one deal: what should be true of its flag, forecast, answer and task, minus what is true already.
import type { Loan } from './borrow.ts'
import type { Deal, FieldValues, OwnFields, RemoteId, Rule, TaskKey } from './deal.ts'
import { type Reason, reasonOf } from './explain.ts'
import type { Verdict } from './judge.ts'
import type { DealItem, Group, Hold, LedgerRow, PlanContext, PlannedWrite, WriteCause } from './plan.ts'
import { FIELD_KEYS, type FieldKey, fieldValue, lastWritten, pick, sameValue } from './reaffirm.ts'
import type { Advance, Stall, Standing } from './stall.ts'

export const DECISION_RULES: readonly Rule[] = ['decision_overdue', 'answered_maybe', 'yes_not_closed']

/** Nothing of ours is on the deal but perhaps the word that it moves. */
export const untouched = (own: OwnFields): boolean =>
  !own.stalled &&
  (own.state === null || own.state === 'moving') &&
  own.since === null &&
  own.reason === null &&
  own.categoryBefore === null

/** Why a deal that is not stalled is written. */
function liftCause(standing: Standing, verdict: Verdict): WriteCause {
  if (standing.state === 'parked' || standing.state === 'answered_no' || standing.state === 'closed')
    return standing.state
  if (verdict.protection?.kind === 'excluded') return 'excluded'
  return standing.dismissedAt !== null && standing.dismissedAt >= standing.since ? 'dismissed' : 'recovered'
}

/** Desired values against observed ones, one group at a time. */
export class Rows {
  readonly rows: PlannedWrite[] = []
  readonly #item: DealItem
  readonly #observed: Deal
  readonly #context: PlanContext

  constructor(item: DealItem, observed: Deal, context: PlanContext) {
    this.#item = item
    this.#observed = observed
    this.#context = context
  }

  #head(group: Group, cause: WriteCause, suffix = '') {
    const { ref, deal } = this.#item.known
    const rule = this.#item.verdict.rule
    const key = `${this.#context.run}.${ref.id}.${group}${suffix}`
    return { key, deal: ref, lockGroup: deal.lockGroup, group, cause, rule, hold: null, undoes: null } as const
  }

  #fields(group: Group, cause: WriteCause, after: FieldValues, keys: readonly FieldKey[]): void {
    const before: FieldValues = { ...this.#observed.own, category: this.#observed.category }
    const row = { before: pick(before, keys), after: pick(after, keys) }
    this.rows.push({ ...this.#head(group, cause), kind: 'fields', ...row })
  }

  #differing(wanted: FieldValues): FieldKey[] {
    return FIELD_KEYS.filter((key) => key in wanted && !sameValue(fieldValue(this.#observed, key), wanted[key]))
  }

  #reason(): Reason | null {
    const { known, verdict, log, ledger } = this.#item
    const chased = ledger.some(
      (row) => row.kind === 'create-task' && row.rule !== null && DECISION_RULES.includes(row.rule) && isCreated(row),
    )
    return reasonOf(known, verdict, log, this.#context, chased)
  }

  flag(standing: Standing, moved: Advance, taken: Loan): void {
    const { own } = this.#observed
    const { verdict, ledger } = this.#item
    const { stall, state } = standing
    const written = state === 'stalled' || state === 'parked' || state === 'answered_no' ? state : 'moving'
    const wanted: FieldValues =
      written === 'moving' && untouched(own)
        ? {}
        : { stalled: stall !== null, state: written, since: stall?.startedAt ?? null, reason: stall?.rule ?? null }
    const changed = this.#differing(wanted)
    // Dates move by themselves and sentences follow them: both are written with a flag, never for their own sake.
    const words: FieldValues = changed.length === 0 ? {} : this.#words(stall)
    const saved: FieldValues = taken.saved === undefined ? {} : { categoryBefore: taken.saved }
    const keys = [...changed, ...this.#differing(words), ...this.#differing(saved)]
    if (keys.length === 0) return
    let cause = liftCause(standing, verdict)
    if (stall !== null) {
      const flagged = lastWritten(ledger, 'stalled')?.after.stalled === true
      const another = changed.includes('reason') && own.stalled && own.reason !== null
      cause = moved.opened || !(flagged || own.stalled) ? 'flagged' : another ? 'reason_changed' : 'reasserted'
    }
    this.#fields('flag', cause, { ...wanted, ...words, ...saved }, keys)
  }

  #words(stall: Stall | null): FieldValues {
    const reason = stall === null ? null : this.#reason()
    const explanation = reason === null ? null : this.#context.texts.explanation(reason)
    return { explanation, lastMovement: this.#item.verdict.lastMovement }
  }

  forecast(standing: Standing, moved: Advance, taken: Loan): void {
    if (taken.category === undefined) return
    const lifted = liftCause(standing, this.#item.verdict)
    const stalled = standing.stall === null ? lifted : moved.opened ? 'flagged' : 'reasserted'
    this.#fields('forecast', taken.again ? 'reasserted' : stalled, { category: taken.category }, ['category'])
  }

  /** An answer belongs to one date: a new date empties it, once. Taken back by undo, it stays. */
  answer(): void {
    const { verdict, known, ledger } = this.#item
    if (!verdict.decision.answerIsOfEarlierDate || this.#observed.own.decision === null) return
    if (verdict.state === 'closed' || verdict.protection?.kind === 'excluded') return
    const undone = ledger.findLast((row) => row.group === 'answer' && row.status === 'undone')
    if (undone && !known.changes.some(({ field, at }) => field === 'decisionDue' && at > undone.plannedAt)) return
    this.#fields('answer', 'new_decision_date', { decision: null }, ['decision'])
  }

  task({ stall, state }: Standing): void {
    const { settings, calendar, today, texts } = this.#context
    const { known, ledger, verdict } = this.#item
    if (stall === null || state !== 'stalled' || stall.dead || !settings.tasks.enabled) return
    if (ledger.some((row) => row.kind === 'create-task' && row.taskKey === stall.taskKey && isLive(row))) return
    const reason = this.#reason()
    if (reason === null) return
    const id = known.deal.ownerId
    const owner = id === null ? undefined : this.#context.owner(id)
    const email = owner?.email?.toLowerCase() ?? null
    let hold: Hold | null = null
    if (id === null) hold = { brake: 'no_owner' }
    else if (owner?.active !== true) hold = { brake: 'owner_left' }
    else if (verdict.newOwnerUntil !== null) hold = { brake: 'new_owner', until: verdict.newOwnerUntil }
    this.rows.push({
      ...this.#head('task', 'flagged'),
      kind: 'create-task',
      hold,
      taskKey: stall.taskKey,
      owner: id ?? '',
      person: email ?? id ?? '',
      ...texts.task(reason),
      due: calendar.addWorkingDays(today, settings.tasks.dueDays, email),
    })
  }

  /** Completes every task of ours that belongs to no open stall. */
  completions(standing: Standing): void {
    const { ledger, openTask, verdict } = this.#item
    const current = standing.stall?.taskKey ?? null
    const open = new Map<TaskKey, { readonly id: RemoteId; readonly body: string }>()
    for (const row of ledger)
      if (row.kind === 'create-task' && row.status === 'done' && row.remote !== null)
        open.set(row.taskKey, { id: row.remote, body: row.body })
    if (openTask?.open === true) open.set(openTask.key, openTask)
    else if (openTask) open.delete(openTask.key)
    for (const row of ledger)
      if (row.kind === 'complete-task' && (row.status === 'done' || row.status === 'left')) open.delete(row.taskKey)
    if (current !== null) open.delete(current)
    const cause = liftCause(standing, verdict)
    let n = 0
    for (const [taskKey, task] of open) {
      const note = this.#context.texts.completionNote(cause, this.#context.today)
      this.rows.push({
        ...this.#head('task-done', cause, n++ === 0 ? '' : `.${n}`),
        kind: 'complete-task',
        taskKey,
        task: task.id,
        bodyBefore: task.body,
        body: `${task.body}\n\n${note}`,
      })
    }
  }
}

const isCreated = (row: LedgerRow): boolean => row.status === 'done' || row.status === 'undone'
/** One stall never gets two tasks, whatever became of the first, unless it was never sent. */
const isLive = (row: LedgerRow): boolean =>
  row.status === 'planned' || row.status === 'sent' || row.status === 'left' || isCreated(row)
