// The tables as Kysely sees them, one interface per table. Instants are bigint milliseconds and local dates are text,
// so that both homes (pg and PGlite) give exactly the same JavaScript values. Columns are snake_case in the database and
// camelCase here (Kysely's CamelCasePlugin; raw SQL uses the database's names).
import type { ColumnType, Generated, Kysely, Transaction } from 'kysely'
import type { DealId, Instant, Known, LocalDate, Outcome, Reference, System, TaskKey } from '../core/deal.ts'
import type { Group, LedgerStatus, PlannedWrite } from '../core/plan.ts'
import type { Settings } from '../core/policy.ts'
import type { Standing, Transition } from '../core/stall.ts'

/** A jsonb column: read as a value, written as the text made by `json()` in db.ts. */
type Json<T> = ColumnType<T, string, string>
type JsonOrNull<T> = ColumnType<T | null, string | null, string | null>

export type RunKind = 'night' | 'manual' | 'preview' | 'undo'
export type Step = 'pull' | 'decide' | 'apply' | 'report'
export type RunStatus = 'open' | 'done' | 'failed' | 'stopped'

/** Any JSON object: the run's summary and the night's figures, shaped by the jobs that write them. */
export type Data = { readonly [key: string]: unknown }

export interface RunOptions {
  /** Name of the preview this run confirms. */
  readonly confirm?: string
  /** Deals whose undone stall may be written again. */
  readonly again?: readonly DealId[]
  /** The run this run takes back. */
  readonly undoes?: string
  /** New tasks per person that previews of other connections, made by the same command, already count on. */
  readonly reserved?: Readonly<Record<string, number>>
}

/** What the share brake compares with. */
export interface LastGood {
  readonly run: string
  readonly at: Instant
  readonly open: number
  readonly stalled: number
}

export interface Schema {
  connection: {
    name: string
    system: System
    cursor: string | null
    /** The run that stored the cursor. */
    cursorRun: string | null
    /** When its first night was confirmed; null: nothing may be written yet. */
    confirmedAt: Instant | null
    lastGood: JsonOrNull<LastGood>
    censusAt: Instant | null
    problem: string | null
    pausedUntil: Instant | null
    reference: JsonOrNull<Reference>
  }
  run: {
    id: string
    connection: string
    kind: RunKind
    localDate: LocalDate
    seq: number
    /** The next step; `done` when none is left. */
    step: Step | 'done'
    status: Generated<RunStatus>
    epoch: Generated<number>
    now: Instant
    settings: Json<Settings>
    settingsHash: string
    options: Json<RunOptions>
    attempts: Generated<number>
    problem: string | null
    summary: JsonOrNull<Data>
    plan: JsonOrNull<readonly PlannedWrite[]>
    createdAt: Instant
    finishedAt: Instant | null
  }
  deal: {
    connection: string
    id: DealId
    known: Json<Known>
    standing: JsonOrNull<Standing>
    modifiedAt: Instant
    outcome: Outcome
    name: string
    url: string
    seenRun: string
    gone: Generated<boolean>
    unreadable: string | null
    dueOn: LocalDate | null
    /** The CRM holds one of our marks on it, so it must be looked at even when closed. */
    marked: boolean
    /** Its standing still has something to end (a stall, a borrowed category). */
    unsettled: Generated<boolean>
  }
  transition: {
    run: string
    connection: string
    deal: DealId
    at: Instant
    from: Transition['from']
    to: Transition['to']
    rule: Transition['rule']
    evidence: Json<Transition['evidence']>
  }
  ledger: {
    run: string
    key: string
    connection: string
    deal: DealId
    group: Group
    kind: PlannedWrite['kind']
    status: LedgerStatus
    row: Json<PlannedWrite>
    person: string | null
    /** ISO week of the run in the company's zone, `2026-W48`. */
    week: string
    taskKey: TaskKey | null
    seq: number
    plannedAt: Instant
    sentAt: Instant | null
    /** Epoch of the attempt that sent it; an older one is unknown, its call may still be in flight. */
    sentEpoch: number | null
    settledAt: Instant | null
    remote: string | null
    message: string | null
  }
  figures: { run: string; connection: string; localDate: LocalDate; figures: Json<Data> }
  lease: { name: string; by: string; until: Instant }
}

/** Outside a transaction: whoever may start one. Never used inside one (that deadlocks PGlite). */
export type Db = Kysely<Schema>
/** Every store function takes its executor first; inside a transaction that is the transaction. */
export type Executor = Kysely<Schema> | Transaction<Schema>
export type Trx = Transaction<Schema>
