// The tables as Kysely sees them. Instants are bigint milliseconds and local dates are text, so that both homes (pg and
// PGlite) give exactly the same JavaScript values. Columns are snake_case in the database and camelCase here (Kysely's
// CamelCasePlugin; raw SQL uses the database's names).
import type { ColumnType, Generated, Kysely, Transaction } from 'kysely'
import type {
  DealId,
  Instant,
  Known,
  LocalDate,
  Outcome,
  Reference,
  Rule,
  State,
  System,
  TaskKey,
} from '../core/deal.ts'
import type { Counted } from '../core/due.ts'
import type { LedgerRow, PlannedWrite } from '../core/plan.ts'
import type { Settings } from '../core/policy.ts'
import type { Standing, Transition } from '../core/stall.ts'

/** A jsonb column: read as a value, written as the text made by `json()` in db.ts. */
type Json<T> = ColumnType<T, string | Extract<T, null>, string | Extract<T, null>>
/** Kept by the database, from the other columns (0003-web.ts). */
type Kept<T> = ColumnType<T, never, never>

export type Step = 'pull' | 'decide' | 'apply' | 'report'
/** Any JSON object: the run's summary and the night's figures, shaped by the jobs that write them. */
export type Data = { readonly [key: string]: unknown }

export interface RunOptions {
  /** Name of the preview this run confirms. */
  readonly confirm?: string
  /** Deals whose undone stall may be written again. */
  readonly again?: readonly DealId[]
  /** How long whoever opened this run waits for a CRM that does not answer. */
  readonly patienceMs?: number
  /** The run this run takes back; `deals`: only these of it. */
  readonly undoes?: string
  readonly deals?: readonly DealId[]
  /** `plan --now`: when the CRM was really read; it is only judged as of `now`. */
  readonly readAt?: Instant
  /** New tasks per person that previews of other connections, made by the same command, already count on. */
  readonly reserved?: Readonly<Record<string, number>>
}

/** Why a connection must not or cannot be called, with the CRM's words; null: nothing is known against it. */
export type Circuit =
  /** No call before then (wall clock), by whichever process. */
  | { readonly state: 'paused'; readonly until: Instant; readonly reason: string }
  /** The CRM refuses our credential: only a person helps. Every new run tries once. */
  | { readonly state: 'reconnect'; readonly since: Instant; readonly reason: string }

/** A round over all ids, of the week that begins at `since` (the CRM's clock): compared so far are those up to `after`. */
export interface Census {
  readonly since: Instant
  readonly after: DealId | null
}

/** An attempt that threw. */
export interface Failure {
  readonly at: Instant
  readonly step: string
  readonly problem: string
}

/** `mark`: changes when there is something new to say about it. */
export interface Told {
  readonly key: string
  readonly mark: string
}

export interface Schema {
  connection: {
    name: string
    system: System
    cursor: string | null
    /** When its first night was confirmed; null: nothing may be written yet. */
    confirmedAt: Instant | null
    /** Null: everything is still to be read for the first time. */
    census: Json<Census | null>
    circuit: Json<Circuit | null>
    reference: Json<Reference | null>
    /** Under which rules, settings and reference the deals' `dueAt` were found, and when last; null: they are not to be relied on. */
    judged: Json<{ readonly under: string; readonly at: Instant } | null>
  }
  run: {
    id: string
    connection: string
    kind: 'night' | 'manual' | 'preview' | 'undo'
    localDate: LocalDate
    seq: number
    /** The next step; `done` when none is left. */
    step: Step | 'done'
    status: Generated<'open' | 'done' | 'failed'>
    epoch: Generated<number>
    now: Instant
    settings: Json<Settings>
    settingsHash: string
    options: Json<RunOptions>
    /** Of the current step: how often it began and neither stored anything nor ended in good order (its process died). */
    starts: Generated<number>
    /** Of the current step, since it last stored something: how often it threw. */
    attempts: Generated<number>
    failures: ColumnType<readonly Failure[], string | undefined, string>
    problem: string | null
    summary: Json<Data | null>
    /** Wall clock, as is `finishedAt`; `now` is the CRM's. */
    createdAt: Instant
    finishedAt: Instant | null
  }
  deal: {
    connection: string
    id: DealId
    known: Json<Known>
    /** Null: never judged. */
    standing: Json<Standing | null>
    modifiedAt: Instant
    outcome: Outcome
    name: string
    url: string
    /** The run that last observed it. */
    seenRun: string
    gone: boolean
    /** The CRM holds one of our marks on it, so it must be looked at even when closed. */
    marked: boolean
    /** Its standing still has something to end (a stall, a borrowed category). */
    unsettled: boolean
    /** A night before this need not judge it, if nothing happens to it; 0: the next one must. */
    dueAt: Instant
    /** What it adds to the figures of such a night; null while due. */
    counted: Json<Counted | null>
    /** Its amount in the forecast, if it is counted there. */
    cents: number
    state: Kept<State>
    rule: Kept<Rule | null>
    /** Start of the stall, or since when it stands where it does. */
    since: Kept<Instant | null>
    /** Empty: nobody. */
    ownerId: Kept<string>
    pipelineId: Kept<string>
    stageId: Kept<string>
    amount: Kept<number | null>
    currency: Kept<string | null>
    closeDate: Kept<LocalDate | null>
    /** As unstall last wrote it on the deal. */
    movedAt: Kept<Instant | null>
  }
  quarantine: {
    connection: string
    deal: DealId
    /** What could not be understood. */
    problem: string
    since: Instant
  }
  transition: Pick<Transition, 'at' | 'from' | 'to' | 'rule'> & {
    run: string
    connection: string
    deal: DealId
    evidence: Json<Transition['evidence']>
  }
  ledger: Pick<LedgerRow, 'run' | 'key' | 'group' | 'kind' | 'status' | 'plannedAt' | 'sentAt' | 'settledAt'> & {
    connection: string
    deal: DealId
    row: Json<PlannedWrite>
    person: string | null
    /** ISO week of the run in the company's zone, `2026-W48`. */
    week: string
    taskKey: TaskKey | null
    seq: number
    /** Epoch of the attempt that sent it; an older one is unknown, its call may still be in flight. */
    sentEpoch: number | null
    remote: string | null
    message: string | null
  }
  /** What a preview would write: nothing of it enters the ledger. */
  preview: { connection: string; run: string; seq: number; row: Json<PlannedWrite> }
  figures: { run: string; connection: string; localDate: LocalDate; figures: Json<Data> }
  /** Of connections that sign in for a token; see tokens.ts. */
  token: {
    connection: string
    version: number
    /** The encrypted set; null: nothing was ever stored. */
    sealed: string | null
    /** At 80 % of its life; null: when the CRM refuses it. */
    renewAt: Instant | null
    refused: string | null
    leaseBy: string
    leaseUntil: Instant
  }
  /** What was told to whom: see digests.ts. */
  digest: {
    kind: 'weekly' | 'nightly'
    /** ISO week `2026-W48`, or the date of the night. */
    period: string
    /** An e-mail address, or `slack`. */
    recipient: string
    /** `unknown`: handed over, no answer (yet). `quiet`: there was nothing to say. `held`: over the person's budget. */
    status: 'unknown' | 'sent' | 'quiet' | 'held' | 'retry' | 'failed'
    /** ISO week it counts in. */
    week: string
    /** Troubles it speaks of, without their words. */
    told: ColumnType<readonly Told[], string, string>
    attempts: Generated<number>
    nextAt: Instant | null
    problem: string | null
    createdAt: Instant
    sentAt: Instant | null
  }
  /** `budget`: locked while the shared task budget is reserved. `digests`: whoever works on digests. */
  lease: { name: string; by: string; until: Instant }
}

/** Outside a transaction: whoever may start one. Never used inside one (that deadlocks PGlite). */
export type Db = Kysely<Schema>
/** Every store function takes its executor first; inside a transaction that is the transaction. */
export type Executor = Kysely<Schema> | Transaction<Schema>
export type Trx = Transaction<Schema>
