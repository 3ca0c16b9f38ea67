// What both lookalike CRMs share: the HTTP server on loopback, the clock, the journal, the call counts, latency, rate
// limits, faults, tokens and the /__sandbox control calls. A lookalike supplies its routes and its own error bodies.
// Handlers are synchronous, so each call is applied whole or not at all.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import { Act, type CallsAnswer, Clock, Faults, type JournalLine } from './control.ts'
import { FaultPlan, type Strike } from './faults.ts'
import { Limiter, type Limits } from './limits.ts'
import type { Instant } from './seed.ts'

export interface Call {
  /** Upper case. */
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query: URLSearchParams
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Segments named in the route's template, decoded. */
  readonly params: Readonly<Record<string, string>>
  /** The route's template, `(unknown)` where no route fits. */
  readonly template: string
  /** Origin of this sandbox, for links. */
  readonly origin: string
  /** Which of these records (ids or keys) a `partial` or `bad-row` fault makes bad. Batch writes ask this once,
   *  before they apply anything: `each` are refused one by one, any of `whole` refuses the whole batch. */
  bad(records: readonly string[]): { readonly each: ReadonlySet<string>; readonly whole: ReadonlySet<string> }
}

export interface Answer {
  readonly status: number
  /** A string goes out as it is (give a content-type); anything else as JSON; absent: no body. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** Thrown anywhere in a handler: this answer instead. Nothing may have been applied before. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly answer: Answer
  constructor(answer: Answer) {
    super(`refused with ${answer.status}`)
    this.answer = answer
  }
}

/** Thrown by `act`: the control call is wrong (unknown deal, field, stage): 400 with this text. */
export class WrongAct extends Error {
  override readonly name = 'WrongAct'
}

export interface Route {
  readonly method: string
  /** `{name}` stands for one segment. The first fitting route wins. */
  readonly template: string
  readonly handle: (call: Call) => Answer
}

/** A budget that calls share. Rolling: at most `max` in any `windowMs`. Bucket: `burst` tokens, refilled at the same pace. */
export interface Lane {
  readonly name: string
  readonly max: number
  readonly windowMs: number
  readonly burst: number
}

export type Refusal =
  | { readonly kind: 'rate' | 'daily'; readonly lane: string; readonly retryAfterS?: number; readonly policyName?: string }
  | { readonly kind: 'not-found' | 'method' | 'too-large' | 'server-error' | 'bad-gateway' }

/** What a system supplies. Built anew from the seed by `reset`. */
export interface Lookalike {
  readonly routes: readonly Route[]
  readonly maxBodyBytes: number
  /** Runs before the route, after the limits: an answer (401, daily cap) ends the call, null lets it through. */
  guard(call: Call): Answer | null
  /** Null: this call is not limited. */
  lane(call: Call): Lane | null
  /** The system's own words for what the kernel refuses. */
  refuse(refusal: Refusal, call: Call): Answer
  /** Added to every answer of the API. `remaining` is null without limits. */
  headers(call: Call, remaining: number | null): Readonly<Record<string, string>>
  /** Lines of GET /__sandbox/state, each with its `kind`. */
  state(): Iterable<Readonly<Record<string, unknown>>>
  /** Carries out the act and returns the id of the record concerned. Throws WrongAct. */
  act(act: Act): string | null
}

/** What the kernel offers a lookalike. */
export interface Kernel {
  readonly options: Required<SandboxOptions>
  /** Sandbox clock. */
  now(): Instant
  /** Milliseconds that only go forward; real time unless injected. */
  monotonic(): number
  /** Seeded, 0 to 1. */
  random(): number
  /** Journals one applied write; the endpoint is that of the current call. */
  record(entry: Pick<JournalLine, 'object' | 'id' | 'before' | 'after'>): void
  readonly tokens: Tokens
}

/** Access tokens by text. A token nobody issued is known from its first use and does not expire. */
export interface Tokens {
  /** Lives `tokenLifeS` seconds of real time (null: for ever). */
  issue(token: string): void
  check(token: string): 'valid' | 'expired' | 'revoked'
  /** Without a token: all known ones. */
  revoke(token?: string): void
}

export interface SandboxOptions {
  /** 0 (default): any free port. Always on 127.0.0.1. */
  readonly port?: number
  /** Start of the sandbox clock; default: the machine's. */
  readonly now?: Instant
  /** Seed of the chance in faults; default 1. */
  readonly seed?: number
  readonly latencyMs?: number
  readonly limits?: Limits
  /** Null (default): issued tokens do not expire. */
  readonly tokenLifeS?: number | null
  /** For tests. */
  readonly monotonic?: () => number
  /** For tests. */
  readonly sleep?: (ms: number) => Promise<void>
  /** An error inside the sandbox itself; default: printed on stderr. The client sees a 500 that says so. */
  readonly onBug?: (error: unknown) => void
}

export interface Sandbox {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly kernel: Kernel
  /** Ends at once, open connections too. */
  close(): Promise<void>
}
