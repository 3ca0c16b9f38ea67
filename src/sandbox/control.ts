// What can be said to a sandbox and what it answers, as zod schemas: the server parses with them, and the JSON schemas
// of docs/sandbox.md are made from them. Other programs test against this interface: add, never rename.
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
/** Strike records of a batch write, not calls. */
export const OF_RECORDS = ['partial', 'bad-row'] as const
const REFUSED = ['429', '429-daily', '500-before', '502-after'] as const
export const FAULTS = [...REFUSED, ...LOST, ...OF_RECORDS, 'html', 'slow', 'redirect'] as const

/** `path`: part of the request's, `*` for any characters. `nth`: begins with the n-th matching call (from 1); alone it
 *  means that call only. `times`: at most so often; of `bad-row`, so many records. `rate`: share of the matching calls,
 *  by seeded chance. `retryAfter` (seconds) and `policyName` go into a `429`; `ms`: of `slow`, default 5,000. */
export const Fault = z.strictObject({
  fault: z.enum(FAULTS),
  path: text.optional(),
  method: text.optional(),
  nth: z.int().positive().optional(),
  times: z.int().positive().optional(),
  rate: z.number().min(0).max(1).optional(),
  retryAfter: z.number().nonnegative().optional(),
  policyName: text.optional(),
  ms: z.int().nonnegative().optional(),
})
export type Fault = z.infer<typeof Fault>
export const Faults = z.array(Fault)

const values = z.record(text, z.unknown())

export const ClockAnswer = z.object({ now: text })
export const ActAnswer = z.object({
  ok: z.literal(true),
  id: text.nullable().meta({ description: 'the record acted upon, or the event made' }),
})
export const FaultsAnswer = z.object({ faults: Faults })
export const ResetAnswer = z.object({ ok: z.literal(true), now: text })
export const ControlError = z.object({ error: text, issues: z.array(text) })
export const JournalLine = z.object({
  at: text.meta({ description: 'ISO 8601, sandbox clock' }),
  endpoint: text.meta({ description: 'method and path template; acts: POST /__sandbox/act' }),
  object: text,
  id: text,
  before: values.nullable().meta({ description: 'the written fields before; null: created' }),
  after: values.nullable().meta({ description: 'the written fields after; null: deleted' }),
})
export type JournalLine = z.infer<typeof JournalLine>
const Calls = z.object({
  method: text,
  path: text.meta({ description: 'path template' }),
  count: z.int(),
  statuses: z
    .record(text, z.int())
    .meta({ description: 'count per status code; "0": the client got no answer (reset, timeout)' }),
})
export type Calls = z.infer<typeof Calls>
export const CallsAnswer = z.object({ calls: z.array(Calls) })

const kind = <Name extends string>(name: Name) => ({ kind: z.literal(name) })
const properties = z.record(text, text)
/** Lines of GET /__sandbox/state. */
export const StateLine = {
  hubspot: z.discriminatedUnion('kind', [
    z.object({ ...kind('deal'), id: text, properties }),
    z.object({ ...kind('task'), id: text, dealId: text.nullable(), properties }),
    z.looseObject({ ...kind('owner'), id: text, email: text, archived: z.boolean() }),
    z.looseObject({ ...kind('field'), object: z.enum(['deal', 'task']), name: text, type: text }),
    z.looseObject({ ...kind('meta'), system: z.literal('hubspot'), now: text, currency: text }),
  ]),
  salesforce: z.discriminatedUnion('kind', [
    z.looseObject({ ...kind('deal'), Id: text, Name: text, StageName: text }),
    z.looseObject({ ...kind('task'), Id: text, WhatId: text.nullable(), Subject: text.nullable() }),
    z.looseObject({ ...kind('owner'), Id: text, Email: text.nullable(), IsActive: z.boolean() }),
    z.looseObject({ ...kind('field'), object: text, name: text, type: text }),
    z.looseObject({ ...kind('meta'), now: text, apiUserId: text, currency: text }),
  ]),
}
