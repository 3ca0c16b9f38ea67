// Ledger rows of a run -> the plan that takes them back: each field only where the current value still equals what we
// wrote, tasks only if untouched. Everything else is a conflict, as data. The rows are executed like any other run.
import type { Deal, DealId, DealRef, Instant, RemoteId, TaskKey } from './deal.ts'
import type { Group, LedgerRow, PlannedWrite } from './plan.ts'
import { FIELD_KEYS, type FieldsRow, fieldValue, pick, sameValue, withValues } from './reaffirm.ts'
import { NEW_STANDING, restoredStanding, type Standing, type Transition } from './stall.ts'

type TaskRow = Exclude<LedgerRow, { kind: 'fields' }>

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
export interface Conflict {
  readonly deal: DealRef
  readonly group: Group
  readonly key: string
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
  /** Rows of the run to take back; those not `done` are ignored. */
  readonly rows: readonly LedgerRow[]
  /** Fresh reads. */
  readonly current: (deal: DealId) => Deal | 'gone' | 'unreadable'
  readonly task: (key: TaskKey) => TaskSeen | null
  readonly standing: (deal: DealId) => Standing | null
  /** Rows of later runs on the same deals. */
  readonly later: readonly LedgerRow[]
}

export interface UndoPlan {
  readonly rows: readonly PlannedWrite[]
  readonly conflicts: readonly Conflict[]
  /** Keys of rows of which nothing can be taken back: `done -> left`. */
  readonly left: readonly string[]
  readonly standings: readonly { readonly deal: DealRef; readonly standing: Standing }[]
  readonly transitions: readonly Transition[]
}

/** Plans the taking back of a run. Deals in ledger order; the same input gives the same plan. */
export function planUndo(input: UndoInput): UndoPlan {
  const out: Building = { rows: [], conflicts: [], left: [], standings: [], transitions: [] }
  const done = input.rows.filter((row) => row.status === 'done')
  for (const rows of Map.groupBy(done, (row) => row.deal.id).values()) {
    const later = input.later.filter((row) => row.deal.id === rows[0]?.deal.id && isOver(row))
    for (const row of rows) {
      const planned = row.kind === 'fields' ? fields(row, later, input, out) : task(row, later, input, out)
      if (planned === null) out.left.push(row.key)
      else out.rows.push(planned)
    }
    restore(rows, input, out)
  }
  return out
}

type Building = { -readonly [K in keyof UndoPlan]: UndoPlan[K][number][] }
type Value = Conflict['wrote']

/** Writes that may stand over this run's. An earlier undo only put back what was there before. */
const isOver = (row: LedgerRow): boolean => (row.status === 'done' || row.status === 'sent') && row.cause !== 'undo'
const plain = (value: Value | undefined): Value => value ?? null

function head(row: LedgerRow, run: string) {
  const { deal, lockGroup, group, rule } = row
  // The suffix of a second completion of one deal stays: keys are unique in a run.
  const key = row.key.startsWith(row.run) ? `${run}${row.key.slice(row.run.length)}` : `${run}.${row.key}`
  return { key, deal, lockGroup, group, cause: 'undo', rule, hold: null, undoes: row.key } as const
}

/** Each field goes back only where it still holds what this run wrote, and no later run of ours wrote it again. */
function fields(row: FieldsRow, later: readonly LedgerRow[], input: UndoInput, out: Building): PlannedWrite | null {
  const current = input.current(row.deal.id)
  const conflict = (field: string | null, why: Conflict['why'], more: Partial<Conflict> = {}) => {
    const { deal, group, key } = row
    out.conflicts.push({ deal, group, key, field, why, wrote: null, found: null, run: null, ...more })
  }
  if (typeof current === 'string') {
    conflict(null, current)
    return null
  }
  const keys = FIELD_KEYS.filter((key) => {
    if (!(key in row.after)) return false
    const found = fieldValue(current, key)
    const wrote = plain(row.after[key])
    const again = later.findLast((other): other is FieldsRow => other.kind === 'fields' && key in other.after)
    // Its value is there: that run is the one to take back. Another value is there: somebody changed it after all of us.
    if (again !== undefined && sameValue(found, again.after[key]))
      conflict(key, 'later_run', { wrote, found: plain(found), run: again.run })
    else if (again !== undefined || !sameValue(found, wrote)) conflict(key, 'changed', { wrote, found: plain(found) })
    else return true
    return false
  })
  if (keys.length === 0) return null
  return { ...head(row, input.run), kind: 'fields', before: pick(row.after, keys), after: pick(row.before, keys) }
}

/** A created task is deleted, a completed one opened again: only if nobody touched it. */
function task(row: TaskRow, later: readonly LedgerRow[], input: UndoInput, out: Building): PlannedWrite | null {
  const seen = input.task(row.taskKey)
  const conflict = (why: Conflict['why'], run: string | null = null): null => {
    const { deal, group, key } = row
    out.conflicts.push({ deal, group, key, field: null, why, wrote: null, found: null, run })
    return null
  }
  if (row.kind === 'delete-task') return conflict('task_gone')
  if (seen === null) return conflict('task_gone')
  const again = later.findLast((other) => other.kind !== 'fields' && other.taskKey === row.taskKey)
  if (again !== undefined) return conflict('later_run', again.run)
  const base = { ...head(row, input.run), taskKey: row.taskKey, task: seen.id } as const
  if (row.kind === 'create-task') {
    const same =
      seen.open &&
      seen.owner === row.owner &&
      sameValue(seen.subject, row.subject) &&
      sameValue(seen.body, row.body) &&
      seen.due === row.due
    return same ? { ...base, kind: 'delete-task', bodyBefore: row.body, body: row.body } : conflict('task_changed')
  }
  const completed = row.kind === 'complete-task'
  if (seen.open === completed || !sameValue(seen.body, row.body)) return conflict('task_changed')
  return {
    ...base,
    kind: completed ? 'reopen-task' : 'complete-task',
    bodyBefore: row.body,
    body: row.bodyBefore,
  }
}

/** The standing that goes with the fields as they will be. A stall whose flag goes is closed as undone. */
function restore(rows: readonly LedgerRow[], input: UndoInput, out: Building): void {
  const [first] = rows
  if (first === undefined) return
  const ref = first.deal
  const current = input.current(ref.id)
  const planned = out.rows.filter((row) => row.kind === 'fields' && row.deal.id === ref.id)
  if (typeof current === 'string' || planned.length === 0) return
  let after = current
  for (const row of planned) if (row.kind === 'fields') after = withValues(after, row.after)
  const was = input.standing(ref.id) ?? NEW_STANDING('moving', input.now)
  const standing = restoredStanding(ref, was, after, undoneBy(rows, was, input.now), input.now)
  out.standings.push({ deal: ref, standing })
  if (standing.state === was.state) return
  out.transitions.push({
    deal: ref,
    from: was.state,
    to: standing.state,
    at: input.now,
    rule: standing.stall?.rule ?? null,
    evidence: { undoes: first.run },
  })
}

/** The state the run had put the deal in, if it still is in it. */
function undoneBy(rows: readonly LedgerRow[], was: Standing, now: Instant): Parameters<typeof restoredStanding>[3] {
  for (const row of rows) {
    if (row.kind !== 'fields' || row.after.state == null || row.after.state !== was.state) continue
    return { state: row.after.state, at: was.stall?.startedAt ?? now }
  }
  return null
}
