// One stall from start to end: what state a deal is in, since when, and what was borrowed meanwhile.
import type { DealRef, Instant, Rule, State, TaskKey } from './deal.ts'

/** One episode of one deal. Its start is the frozen `now` of the run that opened it and never recomputed. */
export interface Stall {
  readonly startedAt: Instant
  readonly rule: Rule
  readonly taskKey: TaskKey
  /** Already dead on the connection's first night: a flag and the age-block list, never a task. */
  readonly dead: boolean
}

/** What is remembered of a deal between two nights. Persisted by the store as it is. */
export interface Standing {
  readonly state: State
  readonly since: Instant
  /** Set exactly while `state` is `stalled`. */
  readonly stall: Stall | null
  /** The forecast category we took, until it is given back. `category` null: it was blank. */
  readonly borrowed: { readonly category: string | null; readonly stage: string; readonly at: Instant } | null
  /** A person put the category back without a stage change: theirs for the rest of this stall. */
  readonly categoryTheirs: boolean
  /** A person cleared the flag: silent for 10 working days. */
  readonly dismissedAt: Instant | null
  /** Taken back by `undo` (start of that stall): final, until the stall would have ended or `--again` asks for it. */
  readonly undoneStall: Instant | null
}

export interface Transition {
  readonly deal: DealRef
  readonly from: State
  readonly to: State
  readonly at: Instant
  readonly rule: Rule | null
  /** What the change rests on, as data, for the record. */
  readonly evidence: Readonly<Record<string, string | number | boolean | null>>
}
