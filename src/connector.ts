// The port: everything unstall asks of a CRM. Small, named by meaning; `test/conformance.ts` is its contract.
//
// - At most one outcome per write, in any order. A write with no outcome is unknown, never assumed failed.
// - A fault of one record never throws. Throws are only RetryLater, Fatal or the abort of `signal`.
// - `pull(cursor)` after any page continues without a gap (overlap is allowed); a repeated page token throws Fatal.
// - `gone` only when the CRM says so; everything else is `unreadable` and held.
import type {
  Deal,
  DealId,
  Evidence,
  FieldValues,
  Instant,
  LocalDate,
  OwnerId,
  Reference,
  RemoteId,
  System,
  TaskKey,
} from './core/deal.ts'

/** Opaque to everyone but its connector; JSON text below 8 kB. */
export type Cursor = string

export interface Page {
  readonly deals: readonly Deal[]
  /** History and activities, of these deals or of others that did not change themselves. */
  readonly evidence: readonly Evidence[]
  /** Deals the CRM says are deleted or merged away. */
  readonly gone: readonly DealId[]
  /** Records that could not be understood: quarantined and listed, the rest goes on. */
  readonly unreadable: readonly { readonly deal: DealId; readonly problem: string }[]
  /** Where to go on after this page has been stored. */
  readonly cursor: Cursor
  /** For progress: deals read by this pull so far, and the expected total where known. */
  readonly read: number
  readonly total: number | null
}

/** A longer id is behind a shorter one, of one length it goes by the bytes: so they ascend, from page to page as well. */
export interface IdPage {
  readonly ids: readonly DealId[]
  /** How many follow: 0 on the last page and only there; Infinity where the CRM does not say. */
  readonly rest: number
}

/** One row of the write ledger on its way to the CRM. Several `fields` writes of one deal are sent as one record update. */
export type Write =
  | {
      readonly kind: 'fields'
      readonly key: string
      readonly deal: DealId
      readonly lockGroup: string | null
      readonly after: FieldValues
    }
  | {
      readonly kind: 'create-task'
      readonly key: string
      readonly deal: DealId
      readonly lockGroup: string | null
      readonly taskKey: TaskKey
      readonly owner: OwnerId
      readonly subject: string
      readonly body: string
      readonly due: LocalDate
    }
  /** `note` is put below the task's text; completing an already completed task is refused by the caller, not here. */
  | {
      readonly kind: 'complete-task'
      readonly key: string
      readonly deal: DealId
      readonly task: RemoteId
      readonly body: string
    }
  /** Takes back a completion: open again, with this text. */
  | {
      readonly kind: 'reopen-task'
      readonly key: string
      readonly deal: DealId
      readonly task: RemoteId
      readonly body: string
    }
  /** Takes back a creation. */
  | { readonly kind: 'delete-task'; readonly key: string; readonly deal: DealId; readonly task: RemoteId }

export type WriteOutcome =
  | { readonly key: string; readonly result: 'done'; readonly remote?: RemoteId }
  /** `message`: the CRM's own words, safe to show. */
  | { readonly key: string; readonly result: 'refused'; readonly message: string }
  | { readonly key: string; readonly result: 'later'; readonly message: string }

/** Where a task of ours should hang, and its id once the CRM has told it: many ids make one call where keys make many. A
 *  task of that id without its key, or with another, is not found. */
export interface Sought {
  readonly deal: DealId
  readonly id: RemoteId | null
}

/** One of our tasks as the CRM holds it. */
export interface RemoteTask {
  readonly id: RemoteId
  readonly key: TaskKey
  readonly deal: DealId | null
  readonly open: boolean
  readonly owner: OwnerId | null
  readonly subject: string
  readonly body: string
  readonly due: LocalDate | null
}

/** One thing `setup` would create, in words a RevOps manager understands. */
export interface SetupStep {
  readonly id: string
  readonly what: string
  /** `create`: missing; `conflict`: something of that name is there with another type: setup refuses and says what to do. */
  readonly action: 'create' | 'present' | 'conflict'
  readonly detail?: string
}

/** What `setup --remove` would take away, in the order in which it goes: only what is ours by name and kind. */
export interface Removal {
  readonly steps: readonly SetupStep[]
  /** Deals whose forecast category is borrowed: once our fields are gone nobody gives it back. */
  readonly borrowed: number
  /** Yields each when it is gone, as `conflict` where the CRM refuses. */
  carryOut(): AsyncIterable<SetupStep>
}

export interface Finding {
  readonly level: 'ok' | 'warn' | 'problem'
  readonly what: string
  /** What to do about it, with the menu path where there is one. */
  readonly todo?: string
}

/** One line of `check`: `what` if all is well, else `otherwise` and what to do about it. */
export const judged = (
  good: boolean,
  what: string,
  otherwise: string,
  todo: string,
  level: 'warn' | 'problem' = 'warn',
): Finding => (good ? { level: 'ok', what } : { level, what: otherwise, todo })

export { loopback } from './core/text.ts'

export interface Health {
  readonly findings: readonly Finding[]
  readonly steps: readonly SetupStep[]
}

export interface Capabilities {
  readonly system: System
  /** `unique`: the CRM refuses a second task with our key. `lookup`: it does not, so absence needs `settleMs`. `none`: its
   *  field is missing now, so that tasks can neither be found nor made, and `find` throws Fatal('schema'). */
  readonly taskKey: 'unique' | 'lookup' | 'none'
  /** How long a write without an answer may still commit. */
  readonly settleMs: number
  /** Most ids a `read` call takes. Callers may pass more: connectors chunk. */
  readonly readBatch: number
  /** Batches of so many deals that may be looked at and written side by side; 1: their records would lock each other. */
  readonly parallel: number
}

export interface Connector {
  /** As of the last `reference`. */
  readonly can: Capabilities
  /** Read-only: token, scopes, budget, what setup would do. */
  check(signal: AbortSignal): Promise<Health>
  /** Ensures our fields exist. Idempotent. Yields each step when it is done. */
  setup(signal: AbortSignal): AsyncIterable<SetupStep>
  /** Only looks; what it gives takes away what setup made, and may be asked again after half of it. */
  removal(signal: AbortSignal): Promise<Removal>
  reference(signal: AbortSignal): Promise<Reference>
  /** Deals changed since the cursor; null: all open deals and those closed within the last two years. `now` bounds the pull. */
  pull(since: Cursor | null, now: Instant, signal: AbortSignal): AsyncIterable<Page>
  /** Ids of the live deals behind `after` (null: of all), to find deletes and merges. A page is asked for when it is wanted.
   *  It may lack what was just created. */
  census(after: DealId | null, signal: AbortSignal): AsyncIterable<IdPage>
  /** A fresh look before writing, without history; a booked meeting need not be told. */
  read(ids: readonly DealId[], signal: AbortSignal): Promise<ReadonlyMap<DealId, Deal | 'gone' | 'unreadable'>>
  /** Our tasks by key; a key that is not in the answer was not found. */
  find(keys: ReadonlyMap<TaskKey, Sought>, signal: AbortSignal): Promise<ReadonlyMap<TaskKey, RemoteTask>>
  /** `toGo`: how many the run has yet to write, with these. Where the calls of the day would not do, some CRMs need fewer. */
  write(writes: readonly Write[], signal: AbortSignal, toGo?: number): AsyncIterable<WriteOutcome>
  close(): Promise<void>
}

/** Where a connector gets its credential; it never sees the vault or the store. */
export interface Credential {
  token(signal: AbortSignal): Promise<string>
  /** The CRM refused this token: this or the next `token()` throws Fatal('credentials'), or that returns another one. */
  expired(token: string): void
}

/** What a token endpoint gave. */
export interface TokenSet {
  readonly token: string
  /** Renews the token, often only once; absent: there is none, or it stays the one before. */
  readonly refresh?: string | undefined
  /** How long the token lives; absent: the CRM does not say. */
  readonly lifeMs?: number | undefined
}

/** One way of signing in to one CRM, over HTTP alone: whoever calls it stores what it gives, and calls it once. */
export interface SignIn<Set extends TokenSet = TokenSet> {
  /** A person has to allow access first; else a set can be had at any time. */
  readonly consent: boolean
  /** A set as it was stored. */
  parse(stored: unknown): Set
  /** Bounded in time. `refused`: this refresh token is dead for good. Throws RetryLater, Fatal('credentials'). */
  exchange(refresh: string | null): Promise<Set | 'refused'>
}

/** What a consent gave. `account` and `scopes` as far as the CRM says. */
export interface Granted<Set extends TokenSet = TokenSet> {
  readonly set: Set
  readonly account: string | null
  readonly scopes: readonly string[]
}

/** Signing in by a person's consent in a browser: an authorization code with PKCE (S256). */
export interface Consent<Set extends TokenSet = TokenSet> extends SignIn<Set> {
  /** The CRM's page for this app and its scopes; redirect address, state and challenge are still to be added. */
  readonly page: string
  /** Bounded in time, once per code. `refused`: it is used up or too old. Throws RetryLater, Fatal('credentials'). */
  redeem(form: Readonly<Record<'code' | 'code_verifier' | 'redirect_uri', string>>): Promise<Granted<Set> | 'refused'>
  /** Takes the consent back, bounded in time. Throws where the CRM does not say that it did. */
  revoke(refresh: string): Promise<void>
}

/** A rate gate, one per connection: `src/gate.ts` builds it. */
export interface Gate {
  /** Resolves when a call of this cost may start; rejects with the signal's reason. `lane`: `search` has its own limit. */
  wait(signal: AbortSignal, lane?: 'normal' | 'search'): Promise<() => void>
  /** Learns from an answer: remaining budget, or "not before"; `day`: calls left of those of the day, however it counts. */
  observe(
    seen: {
      readonly remaining?: number
      readonly max?: number
      readonly windowMs?: number
      readonly pauseMs?: number
      readonly day?: { readonly left: number; readonly max: number }
    },
    lane?: 'normal' | 'search',
  ): void
  /** Calls of the day that may still be made here, by the last answer; infinite: the CRM has not said. */
  left(): number
}

/** One call of the API as it ended. `status` null: without an answer. `leftToday`: calls left, where the answer says so. */
export interface ApiCall {
  readonly status: number | null
  readonly leftToday?: number
}

/** What app.ts hands to every connector. */
export interface ConnectorOptions {
  /** Origin, for example https://api.hubapi.com or https://acme.my.salesforce.com; loopback for the sandbox. */
  readonly baseUrl: string
  readonly credential: Credential
  readonly gate: Gate
  readonly clock: () => Instant
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** Company time zone (IANA), for dates without a time. */
  readonly timezone: string
  /** Per request; default 30 s. */
  readonly timeoutMs?: number
  /** Overrides how long a write without an answer may still commit (`can.settleMs`): tests that kill need not wait. */
  readonly settleMs?: number
  /**
   * What the store holds of these deals (absent: never seen). With it, history is read only where stage, amount or close
   * date differ from the local copy; without it, of every changed deal.
   */
  readonly known?: (
    ids: readonly DealId[],
  ) => Promise<ReadonlyMap<DealId, Pick<Deal, 'pipelineId' | 'stageId' | 'amount' | 'closeDate'>>>
  /** Told of every call (signing in not counted), for the metrics. */
  readonly called?: (call: ApiCall) => void
  /** Warnings for the log: never tokens, never whole records. */
  readonly warn?: (message: string, data?: Record<string, unknown>) => void
}
