// Ledger rows of a run -> the plan that takes them back: each field only where the current value still equals what we
// wrote, tasks only if untouched. Everything else is a conflict, as data. The rows are executed like any other run.
import type { Deal, DealId, DealRef, FieldValues, Instant, RemoteId, TaskKey } from './deal.ts'
import type { LedgerRow, PlanContext, PlannedWrite } from './plan.ts'
import { FIELD_KEYS, type FieldsRow, lastWritten, pick, recall, sameValue, valuesOf, withValues } from './reaffirm.ts'
import { givenBack } from './rows.ts'
import { NEW_STANDING, type Stall, type Standing, type Transition, taskKey, transition } from './stall.ts'

/** Our task as the CRM holds it: `RemoteTask` of the port. */
export interface TaskSeen {
  readonly id: RemoteId
  readonly open: boolean
  readonly owner: string | null
  readonly subject: string
  readonly body: string
  readonly due: string | null
}

type Field = (typeof FIELD_KEYS)[number]
/** Something the undo leaves as it is. */
export interface Conflict extends Pick<LedgerRow, 'deal' | 'group' | 'key'> {
  /** Null: the task, or all of the row. */
  readonly field: Field | null
  /** `changed`: by somebody else. `later_run`: by a later run of ours, whose value is there now. `closed`: nothing of
   *  ours is put back on a closed deal. `omitted`: the stage it is in now is out of the forecast by itself. */
  readonly why:
    | ('changed' | 'later_run' | 'closed' | 'omitted' | 'gone' | 'unreadable')
    | ('task_gone' | 'task_closed' | 'task_open' | 'task_owner' | 'task_due' | 'task_text')
  readonly wrote: string | number | boolean | null
  readonly found: string | number | boolean | null
  /** The later run, for `later_run`. */
  readonly run: string | null
}

export interface UndoInput extends Pick<PlanContext, 'run' | 'now' | 'policy' | 'reference'> {
  /** Rows of the run to take back; those not `undoable` are ignored. */
  readonly rows: readonly LedgerRow[]
  /** Fresh reads. */
  readonly current: (deal: DealId) => Deal | 'gone' | 'unreadable'
  readonly task: (key: TaskKey) => TaskSeen | null
  readonly standing: (deal: DealId) => Standing | null
  /** Rows of other runs on the same deals, oldest first. */
  readonly others: readonly LedgerRow[]
}

export interface UndoPlan {
  readonly rows: readonly PlannedWrite[]
  readonly standings: readonly { readonly deal: DealRef; readonly standing: Standing }[]
  readonly transitions: readonly Transition[]
  readonly conflicts: readonly Conflict[]
  /** Keys of rows of which nothing can be taken back, now or later: `done -> left`. */
  readonly left: readonly string[]
}

type Building = { -readonly [K in keyof UndoPlan]: UndoPlan[K][number][] }
type TaskRow = Exclude<LedgerRow, FieldsRow>
interface OfDeal {
  readonly current: Deal | 'gone' | 'unreadable'
  readonly was: Standing
  readonly others: readonly LedgerRow[]
  /** What put the deal into the archive, where it stands. */
  readonly away: FieldsRow | null
}
type Say = (row: LedgerRow, why: Conflict['why'], more?: Partial<Conflict>) => null

/** Done and not taken back yet; a task that was there before the run stays. */
export const undoable = (row: LedgerRow): boolean =>
  row.status === 'done' && !(row.kind === 'create-task' && row.adopted === true)

/** Plans the taking back of a run. Deals in ledger order; the same input gives the same plan. */
export function planUndo(input: UndoInput): UndoPlan {
  const out: Building = { rows: [], conflicts: [], left: [], standings: [], transitions: [] }
  const say: Say = ({ deal, group, key }, why, more) => {
    out.conflicts.push({ deal, group, key, field: null, why, wrote: null, found: null, run: null, ...more })
    return null
  }
  for (const [id, rows] of Map.groupBy(input.rows.filter(undoable), (row) => row.deal.id)) {
    const others = input.others.filter((row) => row.deal.id === id)
    const current = input.current(id)
    const was = input.standing(id) ?? NEW_STANDING('moving', input.now)
    const moved = lastWritten(
      [...others, ...rows].filter(({ cause }) => cause !== 'undo'),
      'stage',
    )
    const away = moved?.cause === 'archived' && typeof current !== 'string' && current.stageId === moved.after.stage
    const of = { current, was, others, away: away ? moved : null }
    const planned = out.rows.length
    let after = current
    for (const row of rows) {
      const back = row.kind === 'fields' ? fields(row, of, input, say) : task(row, of, input.task, say)
      if (back !== null) out.rows.push({ ...head(row, input.run), ...back })
      else if (row.kind !== 'fields' || current !== 'unreadable') out.left.push(row.key)
      if (back?.kind === 'fields' && typeof after !== 'string') after = withValues(after, back.after)
    }
    out.rows.push(...categoryKept(out.rows.slice(planned), current))
    const [first] = rows
    if (first === undefined || typeof after === 'string' || out.rows.length === planned) continue
    const standing = restored(first.deal, was, standsAt(after, of.away), input.now)
    const why = { at: input.now, rule: standing.stall?.rule ?? null, evidence: { undoes: first.run } }
    out.standings.push({ deal: first.deal, standing })
    out.transitions.push(...transition(first.deal, was, standing, why))
  }
  return out
}

function head({ run: of, key: undoes, deal, lockGroup, group, rule }: LedgerRow, run: string) {
  const key = `${run}${undoes.slice(of.length)}`
  return { key, deal, lockGroup, group, cause: 'undo', rule, hold: null, undoes } as const
}

const time = ({ sentAt, plannedAt }: LedgerRow): Instant => sentAt ?? plannedAt
/** Somebody asked to take it back before, whatever came of that. */
const takenBack = ({ status }: LedgerRow): boolean => status === 'undone' || status === 'left'
/** Later writes of a run, which may stand over this one. An earlier undo only put back what was there before. */
const isOver = (other: LedgerRow, row: LedgerRow): boolean =>
  time(other) > time(row) && (other.status === 'done' || other.status === 'sent') && other.cause !== 'undo'

/** Each field goes back only where it still holds what this run wrote, and no later run of ours wrote it again. */
function fields(row: FieldsRow, of: OfDeal, input: UndoInput, say: Say) {
  const { current, others } = of
  if (typeof current === 'string') return say(row, current)
  const { omitted } = input.reference
  const taken = omitted !== null && row.before.category === omitted
  const marks = taken || row.before.stalled === true || (row.before.state ?? 'moving') !== 'moving'
  if (marks && current.outcome !== 'open') return say(row, 'closed')
  const held = valuesOf(current)
  let after: FieldValues = {}
  for (const field of FIELD_KEYS) {
    if (!(field in row.after)) continue
    const [found, wrote] = [held[field], row.after[field] ?? null]
    const again = others.findLast(
      (one): one is FieldsRow => isOver(one, row) && one.kind === 'fields' && field in one.after,
    )
    const was = beforeOf(row, field, others)
    let back = was
    if (field === 'category' && omitted !== null && was !== omitted)
      // What was borrowed goes back as a night would give it back; what was given back after a borrowing that was taken
      // back itself stays.
      back =
        wrote === omitted
          ? givenBack(standsAt(current, of.away), of.was.borrowed, typeof was === 'string' ? was : null, input)
          : found
    // Its value is there: that run is the one to take back. Another value is there: somebody changed it after all of us.
    if (again !== undefined && sameValue(found, again.after[field]))
      say(row, 'later_run', { field, wrote, found, run: again.run })
    else if (again !== undefined || !sameValue(found, wrote)) {
      if (!sameValue(row.before[field] ?? null, wrote)) say(row, 'changed', { field, wrote, found })
    } else if (back !== found) after = { ...after, [field]: back }
    else if (back !== was && wrote === omitted) say(row, 'omitted', { field, wrote, found })
  }
  if (Object.keys(after).length === 0) return null
  return { kind: 'fields', before: pick(row.after, (field) => field in after), after } as const
}

/** With a stage the CRM would set that stage's own category: the one that is there is written after it. */
function categoryKept(rows: readonly PlannedWrite[], current: OfDeal['current']): readonly PlannedWrite[] {
  const writes = rows.filter((row) => row.kind === 'fields')
  const staged = writes.find((row) => row.after.stage !== undefined)
  if (!staged || typeof current === 'string' || current.category === null) return []
  if (writes.some((row) => row.after.category !== undefined)) return []
  const same = { category: current.category }
  return [{ ...staged, key: `${staged.key}.category`, group: 'forecast', undoes: null, before: same, after: same }]
}

/** As if it had never been archived. */
const standsAt = (deal: Deal, away: FieldsRow | null): Deal => ({
  ...deal,
  stageId: away?.before.stage ?? deal.stageId,
})

/** What was there before this row, and before those earlier ones of ours that were taken back meanwhile. */
function beforeOf(row: FieldsRow, field: Field, others: readonly LedgerRow[]) {
  let value = row.before[field] ?? null
  for (const one of others.toReversed()) {
    if (one.kind !== 'fields' || !(field in one.after) || time(one) >= time(row)) continue
    if (!takenBack(one) || !sameValue(one.after[field], value)) break
    value = one.before[field] ?? null
  }
  return value
}

/** A created task is deleted, a completed one opened again: only if nobody touched it. */
function task(row: TaskRow, { current, others }: OfDeal, find: UndoInput['task'], say: Say) {
  const { taskKey, kind } = row
  const seen = find(taskKey)
  if (seen === null) return say(row, 'task_gone')
  const ofTask = others.filter((one) => one.kind !== 'fields' && one.taskKey === taskKey)
  const again = ofTask.findLast((one) => isOver(one, row))
  if (again !== undefined) return say(row, 'later_run', { run: again.run })
  const created = kind === 'create-task'
  if (seen.open !== created) return say(row, seen.open ? 'task_open' : 'task_closed')
  if (!sameValue(seen.body, row.body)) return say(row, 'task_text')
  // One whose creation was to be taken back before is not opened again.
  const made = [row, ...ofTask].find((one) => one.kind === 'create-task' && (one === row || takenBack(one)))
  if (made?.kind === 'create-task') {
    if (seen.owner !== made.owner) return say(row, 'task_owner')
    if (seen.due !== made.due) return say(row, 'task_due', { wrote: made.due, found: seen.due })
    if (!sameValue(seen.subject, made.subject)) return say(row, 'task_text')
  } else if (current === 'gone') return say(row, 'gone')
  else if (current !== 'unreadable' && current.outcome !== 'open') return say(row, 'closed')
  const body = created ? row.body : row.bodyBefore
  return { kind: made ? 'delete-task' : 'reopen-task', taskKey, task: seen.id, bodyBefore: row.body, body } as const
}

/** The standing that goes with the fields as they will be. The verdict that was taken back is remembered: it is final. */
function restored(deal: DealRef, was: Standing, after: Deal, now: Instant): Standing {
  const { stalled, since, reason, categoryBefore: saved } = after.own
  const closed = after.outcome !== 'open'
  // A flag that only a person cleared ends its stall as their doing, next night.
  const flagged = stalled || (was.stall !== null && after.own.state === 'stalled')
  let stall: Stall | null = null
  if (!closed && flagged) {
    if (was.stall !== null && (since === null || sameValue(was.stall.startedAt, since)))
      stall = { ...was.stall, rule: reason ?? was.stall.rule }
    else if (since !== null && reason !== null)
      stall = { startedAt: since, rule: reason, taskKey: taskKey(deal.id, since), dead: false }
  }
  const shown = after.own.state === 'stalled' ? 'moving' : (after.own.state ?? 'moving')
  const state = closed ? 'closed' : stall !== null ? 'stalled' : shown
  return {
    ...was,
    state,
    since: state === was.state ? was.since : now,
    stall,
    borrowed: saved === null ? null : (was.borrowed ?? { category: recall(saved), stage: after.stageId, at: now }),
    undone: was.undone ?? { state: was.state, stall: was.stall?.startedAt ?? null },
  }
}
