// (snapshot, settings, now) -> Plan: desired state, then diff. Printing the plan is the preview, executing it is the run.
import type { DealRef, FieldValues, Instant, LocalDate, OwnerId, RemoteId, Rule, TaskKey } from './deal.ts'

export type Group = 'flag' | 'forecast' | 'answer' | 'task' | 'task-done'

/** Why a planned write waits: the brake and its numbers, as data. */
export type Hold =
  | { readonly brake: 'share'; readonly newlyStalled: number; readonly open: number; readonly limit: number }
  | { readonly brake: 'cap'; readonly limit: number }
  | { readonly brake: 'budget'; readonly owner: string; readonly limit: number; readonly week: string }
  | { readonly brake: 'not_in_preview'; readonly preview: string }
  | { readonly brake: 'stale_snapshot' }
  | { readonly brake: 'owner_left' }
  | { readonly brake: 'no_owner' }
  | { readonly brake: 'new_owner'; readonly until: LocalDate }
  | { readonly brake: 'dead_on_first_night'; readonly idleDays: number }

/** Why a write is intended. */
export type WriteCause =
  | 'flagged'
  | 'reason_changed'
  | 'recovered'
  | 'parked'
  | 'answered_no'
  | 'closed'
  | 'dismissed'
  | 'reasserted'
  | 'excluded'
  | 'new_decision_date'
  | 'undo'

interface Intent {
  /** Unique in the ledger: `<run>.<deal>.<group>`. What is unique across runs is the `taskKey` of a live task row. No colons. */
  readonly key: string
  readonly deal: DealRef
  readonly lockGroup: string | null
  readonly group: Group
  readonly cause: WriteCause
  readonly rule: Rule | null
  readonly hold: Hold | null
  /** For undo: the ledger key this row takes back. */
  readonly undoes: string | null
}

/** One intended write with the values before it: a row of the write ledger. */
export type PlannedWrite =
  | (Intent & { readonly kind: 'fields'; readonly before: FieldValues; readonly after: FieldValues })
  | (Intent & {
      readonly kind: 'create-task'
      readonly taskKey: TaskKey
      readonly owner: OwnerId
      /** Whose weekly budget it counts against, over all connections: the owner's e-mail in lower case, else the id. */
      readonly person: string
      readonly subject: string
      readonly body: string
      readonly due: LocalDate
    })
  | (Intent & {
      readonly kind: 'complete-task' | 'reopen-task' | 'delete-task'
      readonly taskKey: TaskKey
      readonly task: RemoteId
      /** The task's text before and after; a completion puts its note below. */
      readonly bodyBefore: string
      readonly body: string
    })

/** `planned -> sent | held | dropped`; `sent -> done | refused | planned`; `planned, sent -> left`; `done -> undone | left`. */
export type LedgerStatus = 'planned' | 'held' | 'dropped' | 'sent' | 'done' | 'refused' | 'left' | 'undone'

/** A planned write and what became of it. */
export type LedgerRow = PlannedWrite & {
  readonly run: string
  readonly status: LedgerStatus
  readonly plannedAt: Instant
  readonly sentAt: Instant | null
  readonly settledAt: Instant | null
  /** Id of the task the CRM created. */
  readonly remote: RemoteId | null
  /** The CRM's words on a refusal, or what a person had changed. */
  readonly message: string | null
}
