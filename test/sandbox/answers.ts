// What a sandbox answers to control calls, as zod schemas: the tests check answers with them, and the JSON schemas of
// docs/sandbox.md are made from them. Other programs test against this interface: add, never rename.
import { z } from 'zod'
import { Faults } from '../../src/sandbox/control.ts'

const text = z.string()
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
export const ActLine = z.object({
  at: text.meta({ description: 'when it was carried out: ISO 8601, sandbox clock' }),
  id: text.nullable().meta({ description: 'as the act was answered' }),
  act: z.looseObject({ act: text, by: text }).meta({ description: 'an Act as it was sent, defaults filled in' }),
})
const Calls = z.object({
  method: text,
  path: text.meta({ description: 'path template' }),
  count: z.int(),
  statuses: z
    .record(text, z.int())
    .meta({ description: 'count per status code; "0": the client got no answer (reset, timeout)' }),
})
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
