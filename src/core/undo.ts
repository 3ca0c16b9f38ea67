// Ledger rows of a run -> the plan that takes them back: each field only where the current value still equals what we
// wrote, tasks only if untouched. Everything else is a conflict, as data. The rows are executed like any other run.
import type { Plan } from './brakes.ts'
import type { Deal, DealId, DealRef, Instant, RemoteId, TaskKey } from './deal.ts'
import type { LedgerRow } from './plan.ts'
import { FIELD_KEYS, type FieldsRow, pick, recall, sameValue, valuesOf, withValues } from './reaffirm.ts'
import { NEW_STANDING, type Stall, type Standing, taskKey, transition } from './stall.ts'

/** Our task as the CRM holds it: `RemoteTask` of the port. */
export interface TaskSeen {
  readonly id: RemoteId
  readonly open: boolean
  readonly owner: string | null
  readonly subject: string
  readonly body: string
  readonly due: string | null
}

/** Something the undo leaves as it is. */
export interface Conflict extends Pick<LedgerRow, 'deal' | 'group' | 'key'> {
  /** The field; null: the task. */
  readonly field: string | null
  /** `changed`: by somebody else. `later_run`: by a later run of ours, whose value is there now. */
  readonly why: 'changed' | 'later_run' | 'gone' | 'unreadable' | 'task_changed' | 'task_gone'
  readonly wrote: string | number | boolean | null
  readonly found: string | number | boolean | null
  /** The later run, for `later_run`. */
  readonly run: string | null
}

export interface UndoInput {
  /** Id of the undo run. */
  readonly run: string
  readonly now: Instant
  /** Rows of the run to take back; those not `undoable` are ignored. */
  readonly rows: readonly LedgerRow[]
  /** Fresh reads. */
  readonly current: (deal: DealId) => Deal | 'gone' | 'unreadable'
  readonly task: (key: TaskKey) => TaskSeen | null
  readonly standing: (deal: DealId) => Standing | null
  /** Rows of later runs on the same deals. */
  readonly later: readonly LedgerRow[]
}

export interface UndoPlan extends Pick<Plan, 'rows' | 'standings' | 'transitions'> {
  readonly conflicts: readonly Conflict[]
  /** Keys of rows of which nothing can be taken back: `done -> left`. */
  readonly left: readonly string[]
}

type Building = { -readonly [K in keyof UndoPlan]: UndoPlan[K][number][] }
type TaskRow = Exclude<LedgerRow, FieldsRow>
type Say = (row: LedgerRow, why: Conflict['why'], more?: Partial<Conflict>) => null

/** Plans the taking back of a run. Deals in ledger order; the same input gives the same plan. */
export function planUndo(input: UndoInput): UndoPlan {
  const out: Building = { rows: [], conflicts: [], left: [], standings: [], transitions: [] }
  const say: Say = ({ deal, group, key }, why, more) => {
    out.conflicts.push({ deal, group, key, field: null, why, wrote: null, found: null, run: null, ...more })
    return null
  }
  const done = input.rows.filter(undoable)
  for (const [id, rows] of Map.groupBy(done, (row) => row.deal.id)) {
    const later = input.later.filter((row) => row.deal.id === id && isOver(row))
    const current = input.current(id)
    let after = current
    for (const row of rows) {
      const back = row.kind === 'fields' ? fields(row, current, later, say) : task(row, input, later, say)
      if (back === null) out.left.push(row.key)
      else out.rows.push({ ...head(row, input.run), ...back })
      if (back?.kind === 'fields' && typeof after !== 'string') after = withValues(after, back.after)
    }
    const [first] = rows
    if (first === undefined || typeof after === 'string' || after === current) continue
    const was = input.standing(id) ?? NEW_STANDING('moving', input.now)
    const standing = restored(first.deal, was, after, rows, input.now)
    const why = { at: input.now, rule: standing.stall?.rule ?? null, evidence: { undoes: first.run } }
    out.standings.push({ deal: first.deal, standing })
    out.transitions.push(...transition(first.deal, was, standing, why))
  }
  return out
}

/** Done and not taken back yet; a task that was there before the run stays. */
export const undoable = (row: LedgerRow): boolean =>
  row.status === 'done' && !(row.kind === 'create-task' && row.adopted === true)

/** Writes that may stand over this run's. An earlier undo only put back what was there before. */
const isOver = (row: LedgerRow): boolean => (row.status === 'done' || row.status === 'sent') && row.cause !== 'undo'

function head({ run: of, key: undoes, deal, lockGroup, group, rule }: LedgerRow, run: string) {
  const key = `${run}${undoes.slice(of.length)}`
  return { key, deal, lockGroup, group, cause: 'undo', rule, hold: null, undoes } as const
}

/** Each field goes back only where it still holds what this run wrote, and no later run of ours wrote it again. */
function fields(row: FieldsRow, current: ReturnType<UndoInput['current']>, later: readonly LedgerRow[], say: Say) {
  if (typeof current === 'string') return say(row, current)
  const held = valuesOf(current)
  const kept = FIELD_KEYS.filter((key) => {
    if (!(key in row.after)) return false
    const [found, wrote] = [held[key], row.after[key] ?? null]
    const again = later.findLast((other): other is FieldsRow => other.kind === 'fields' && key in other.after)
    // Its value is there: that run is the one to take back. Another value is there: somebody changed it after all of us.
    if (again !== undefined && sameValue(found, again.after[key]))
      say(row, 'later_run', { field: key, wrote, found, run: again.run })
    else if (again !== undefined || !sameValue(found, wrote)) say(row, 'changed', { field: key, wrote, found })
    else return true
    return false
  })
  if (kept.length === 0) return null
  const ours = (key: (typeof kept)[number]) => kept.includes(key)
  return { kind: 'fields', before: pick(row.after, ours), after: pick(row.before, ours) } as const
}

/** A created task is deleted, a completed one opened again: only if nobody touched it. */
function task(row: TaskRow, input: UndoInput, later: readonly LedgerRow[], say: Say) {
  const { taskKey } = row
  const seen = input.task(taskKey)
  if (row.kind === 'delete-task' || seen === null) return say(row, 'task_gone')
  const again = later.findLast((other) => other.kind !== 'fields' && other.taskKey === taskKey)
  if (again !== undefined) return say(row, 'later_run', { run: again.run })
  const created = row.kind === 'create-task'
  const asWritten = seen.open === (row.kind !== 'complete-task') && sameValue(seen.body, row.body)
  const untouched =
    !created || (seen.owner === row.owner && sameValue(seen.subject, row.subject) && seen.due === row.due)
  if (!asWritten || !untouched) return say(row, 'task_changed')
  const kind = created ? 'delete-task' : row.kind === 'complete-task' ? 'reopen-task' : 'complete-task'
  return { kind, taskKey, task: seen.id, bodyBefore: row.body, body: created ? row.body : row.bodyBefore } as const
}

/** The standing that goes with the fields as they will be. A state this run had set, and nothing since, is undone. */
function restored(deal: DealRef, was: Standing, after: Deal, rows: readonly LedgerRow[], now: Instant): Standing {
  const { stalled, since, reason, categoryBefore: saved } = after.own
  const closed = after.outcome !== 'open'
  let stall: Stall | null = null
  if (!closed && stalled) {
    if (was.stall !== null && (since === null || sameValue(was.stall.startedAt, since)))
      stall = { ...was.stall, rule: reason ?? was.stall.rule }
    else if (since !== null && reason !== null)
      stall = { startedAt: since, rule: reason, taskKey: taskKey(deal.id, since), dead: false }
  }
  const shown = after.own.state === 'stalled' ? 'moving' : (after.own.state ?? 'moving')
  const state = closed ? 'closed' : stall !== null ? 'stalled' : shown
  const undone = rows.some((row) => row.kind === 'fields' && row.after.state === was.state)
  const { undoneState: earlier, ...rest } = was
  const final = undone ? was.state : earlier
  return {
    ...rest,
    state,
    since: state === was.state ? was.since : now,
    stall,
    borrowed: saved === null ? null : (was.borrowed ?? { category: recall(saved), stage: after.stageId, at: now }),
    undoneStall: state !== 'moving' ? null : undone ? (was.stall?.startedAt ?? now) : was.undoneStall,
    ...(state === 'moving' && (final === 'parked' || final === 'answered_no') ? { undoneState: final } : {}),
  }
}
