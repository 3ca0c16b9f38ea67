// Ledger rows of a run -> the plan that takes them back: each field only where the current value still equals what we
// wrote, tasks only if untouched. Everything else is a conflict, as data. The rows are executed like any other run.
import type { Deal, DealId, DealRef, Instant, RemoteId, TaskKey } from './deal.ts'
import type { Group, LedgerRow, PlannedWrite } from './plan.ts'
import type { Standing, Transition } from './stall.ts'

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

export function planUndo(input: UndoInput): UndoPlan {
  throw new Error(`being written ${input}`)
}
