// What can be said to a sandbox, as zod schemas: the server parses with them, and the JSON schemas of docs/sandbox.md are
// made from them (those of its answers: test/sandbox/answers.ts). Other programs test against it: add, never rename.
import { z } from 'zod'

const text = z.string()
const instant = z.iso.datetime({ offset: true }).meta({ description: 'ISO 8601 with Z or an offset' })
const id = text.min(1)

export const Clock = z.strictObject({ now: instant })

/** `by` decides the source the CRM notes in its history; `at` backdates the act (default: the sandbox's now). */
const common = { by: z.enum(['person', 'workflow', 'import', 'integration']).default('person'), at: instant.optional() }
const act = <Name extends string, Shape extends z.ZodRawShape>(name: Name, shape: Shape) =>
  z.strictObject({ act: z.literal(name), ...shape, ...common })

/** Someone other than the API client acts. `id` is the deal's id; of a task act the task's. */
export const Act = z.discriminatedUnion('act', [
  act('move-stage', { id, to: text }),
  act('set', { id, field: text, value: z.union([text, z.number(), z.boolean(), z.null()]) }),
  act('buyer-reply', { id }),
  /** `at`: when the meeting takes (took) place; `held: false` books it or cancels one that was booked for then. */
  act('meeting', { id, held: z.boolean().default(true), outside: z.boolean().default(true) }),
  act('call', { id, outcome: z.enum(['connected', 'incoming', 'no-answer']).default('connected') }),
  act('complete-task', { id }),
  act('delete-task', { id }),
  act('delete', { id }),
  act('merge', { id, into: text }),
  /** Without `id`: every token seen or issued so far. */
  act('revoke-token', { id: id.optional() }),
  act('drop-field', { id: id.optional(), field: text }),
])
export type Act = z.infer<typeof Act>

/** The client gets no answer. */
const LOST = ['reset-before', 'reset-after', 'timeout-before', 'timeout-after'] as const
/** The call is applied, the client gets half of the answer: then the connection breaks, or one space after the other comes. */
export const HALF = ['cut', 'trickle'] as const
/** Strike records of a batch write, not calls. */
export const OF_RECORDS = ['partial', 'bad-row'] as const
const REFUSED = ['429', '429-daily', '500-before', '502-after'] as const
export const FAULTS = [...REFUSED, ...LOST, ...HALF, ...OF_RECORDS, 'html', 'slow', 'redirect'] as const

/** `path`: part of the request's, `*` for any characters; `body`: a text it contains. `nth`: begins with the n-th
 *  matching call (from 1); alone it means that call only. `times`: at most so often; of `bad-row`, so many records.
 *  `rate`: share of the matching calls, by seeded chance. `retryAfter` (seconds) and `policyName` go into a `429`;
 *  `ms`: of `slow`, default 5,000. */
export const Fault = z.strictObject({
  fault: z.enum(FAULTS),
  path: text.optional(),
  method: text.optional(),
  body: text.optional(),
  nth: z.int().positive().optional(),
  times: z.int().positive().optional(),
  rate: z.number().min(0).max(1).optional(),
  retryAfter: z.number().nonnegative().optional(),
  policyName: text.optional(),
  ms: z.int().nonnegative().optional(),
})
export type Fault = z.infer<typeof Fault>
export const Faults = z.array(Fault)

/** Line of GET /__sandbox/journal: the written fields before (null: created) and after (null: deleted). */
export interface JournalLine {
  readonly at: string
  /** Method and path template; of acts `POST /__sandbox/act`. */
  readonly endpoint: string
  readonly object: string
  readonly id: string
  readonly before: Readonly<Record<string, unknown>> | null
  readonly after: Readonly<Record<string, unknown>> | null
}
/** How often GET /__sandbox/calls says an endpoint was called, and with which status codes (0: no whole answer). */
export type Calls = { method: string; path: string; count: number; statuses: Record<string, number> }
