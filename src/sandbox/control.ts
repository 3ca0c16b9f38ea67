// What can be said to a sandbox and what it answers, as zod schemas: the server parses with them, and the JSON schemas
// of docs/sandbox.md are made from them. Other programs test against this interface: add, never rename.
import { z } from 'zod'

const instant = z.iso.datetime({ offset: true }).meta({ description: 'ISO 8601 with Z or an offset' })

export const Clock = z.strictObject({ now: instant })

const common = {
  /** Who does it: decides the source the CRM notes in its history. */
  by: z.enum(['person', 'workflow', 'import', 'integration']).default('person'),
  /** Backdates the act; without it, the sandbox's now. */
  at: instant.optional(),
}
const id = z.string().min(1)

/** Someone other than the API client acts. `id` is the deal's id; of a task act the task's. */
export const Act = z.discriminatedUnion('act', [
  z.strictObject({ act: z.literal('move-stage'), id, to: z.string(), ...common }),
  z.strictObject({
    act: z.literal('set'),
    id,
    field: z.string(),
    value: z.union([z.string(), z.number(), z.boolean(), z.null()]),
    ...common,
  }),
  z.strictObject({ act: z.literal('buyer-reply'), id, ...common }),
  /** `at`: when the meeting takes (took) place; `held: false` books it or cancels one that was booked for then. */
  z.strictObject({
    act: z.literal('meeting'),
    id,
    held: z.boolean().default(true),
    outside: z.boolean().default(true),
    ...common,
  }),
  z.strictObject({
    act: z.literal('call'),
    id,
    outcome: z.enum(['connected', 'incoming', 'no-answer']).default('connected'),
    ...common,
  }),
  z.strictObject({ act: z.literal('complete-task'), id, ...common }),
  z.strictObject({ act: z.literal('delete-task'), id, ...common }),
  z.strictObject({ act: z.literal('delete'), id, ...common }),
  z.strictObject({ act: z.literal('merge'), id, into: z.string(), ...common }),
  /** Without `id`: every token seen or issued so far. */
  z.strictObject({ act: z.literal('revoke-token'), id: id.optional(), ...common }),
  z.strictObject({ act: z.literal('drop-field'), id: id.optional(), field: z.string(), ...common }),
])
export type Act = z.infer<typeof Act>

export const FAULTS = [
  '429',
  '429-daily',
  '500-before',
  '502-after',
  'reset-before',
  'reset-after',
  'timeout-before',
  'timeout-after',
  'partial',
  'bad-row',
  'html',
  'slow',
  'redirect',
] as const
export type FaultKind = (typeof FAULTS)[number]

export const Fault = z.strictObject({
  fault: z.enum(FAULTS),
  /** Part of the request's path; `*` stands for any characters. */
  path: z.string().optional(),
  method: z.string().optional(),
  /** Begins with the n-th matching call (from 1); alone it means that call only. */
  nth: z.int().positive().optional(),
  /** Strikes at most so often. `bad-row`: so many records. */
  times: z.int().positive().optional(),
  /** Share of the matching calls, 0 to 1, by seeded chance. */
  rate: z.number().min(0).max(1).optional(),
  /** Of `429`: seconds in Retry-After; without it the header is left out. */
  retryAfter: z.number().nonnegative().optional(),
  /** Of `429`: another policy name than the documented one. */
  policyName: z.string().optional(),
  /** Of `slow`: milliseconds; default 5,000. */
  ms: z.int().nonnegative().optional(),
})
export type Fault = z.infer<typeof Fault>
export const Faults = z.array(Fault)

const values = z.record(z.string(), z.unknown())

export const ClockAnswer = z.object({ now: z.string() })
export const ActAnswer = z.object({
  ok: z.literal(true),
  id: z.string().nullable().meta({ description: 'the record acted upon, or the event made' }),
})
export const FaultsAnswer = z.object({ faults: z.array(Fault) })
export const ResetAnswer = z.object({ ok: z.literal(true), now: z.string() })
export const ControlError = z.object({ error: z.string(), issues: z.array(z.string()) })
export const JournalLine = z.object({
  at: z.string().meta({ description: 'ISO 8601, sandbox clock' }),
  endpoint: z.string().meta({ description: 'method and path template; acts: POST /__sandbox/act' }),
  object: z.string(),
  id: z.string(),
  before: values.nullable().meta({ description: 'the written fields before; null: created' }),
  after: values.nullable().meta({ description: 'the written fields after; null: deleted' }),
})
export type JournalLine = z.infer<typeof JournalLine>
const text = z.string()
/** Lines of GET /__sandbox/state. */
export const StateLine = {
  hubspot: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('deal'), id: text, properties: z.record(z.string(), z.string()) }),
    z.object({
      kind: z.literal('task'),
      id: text,
      dealId: z.string().nullable(),
      properties: z.record(z.string(), z.string()),
    }),
    z.looseObject({ kind: z.literal('owner'), id: text, email: z.string(), archived: z.boolean() }),
    z.looseObject({ kind: z.literal('field'), object: z.enum(['deal', 'task']), name: z.string(), type: z.string() }),
    z.looseObject({ kind: z.literal('meta'), system: z.literal('hubspot'), now: z.string(), currency: z.string() }),
  ]),
  salesforce: z.discriminatedUnion('kind', [
    z.looseObject({ kind: z.literal('deal'), Id: text, Name: z.string(), StageName: z.string() }),
    z.looseObject({ kind: z.literal('task'), Id: text, WhatId: z.string().nullable(), Subject: z.string().nullable() }),
    z.looseObject({ kind: z.literal('owner'), Id: text, Email: z.string().nullable(), IsActive: z.boolean() }),
    z.looseObject({ kind: z.literal('field'), object: z.string(), name: z.string(), type: z.string() }),
    z.looseObject({ kind: z.literal('meta'), now: z.string(), apiUserId: z.string(), currency: z.string() }),
  ]),
}
export const CallsAnswer = z.object({
  calls: z.array(
    z.object({
      method: z.string(),
      path: z.string().meta({ description: 'path template' }),
      count: z.int(),
      statuses: z
        .record(z.string(), z.int())
        .meta({ description: 'count per status code; "0": the client got no answer (reset, timeout)' }),
    }),
  ),
})
