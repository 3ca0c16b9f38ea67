// HubSpot's answers, only the fields we use. Everything not needed to identify a record is optional: the published
// specification is too strict in places, and one odd record must never make a whole page unreadable.
import { z } from 'zod'

/** Ids come as text; a number is taken only while it is exact. */
const Id = z.union([z.string().min(1), z.int()]).transform(String)
const Text = z.string().nullish()
const Paging = z.object({ next: z.object({ after: Id }).nullish() }).nullish()
const listOf = <T extends z.ZodType>(item: T) =>
  z.object({ results: z.array(item), total: z.number().nullish(), paging: Paging })

export const Version = z.object({
  value: z.unknown(),
  timestamp: z.union([z.string(), z.number()]),
  sourceType: Text,
  sourceLabel: Text,
})
export type Version = z.infer<typeof Version>

/** A deal or a task. Values are text or null; what else comes is judged field by field in map.ts. */
export const CrmRecord = z.object({
  id: Id,
  properties: z.record(z.string(), z.unknown()),
  propertiesWithHistory: z.record(z.string(), z.array(Version)).nullish(),
  objectWriteTraceId: Text,
})
export type CrmRecord = z.infer<typeof CrmRecord>

/** Records stay unparsed here: each is parsed on its own, so that a bad one is quarantined alone. */
export const RecordPage = listOf(z.unknown())
export type RecordPage = z.infer<typeof RecordPage>

/** One error of a batch, or the body of a refused call: what it names stands in different places, so all is kept. */
export const Problem = z.looseObject({ message: Text, category: Text, policyName: Text })
export type Problem = z.infer<typeof Problem>
/** Whether an error names a record: in `context.ids`, as trace id or wherever else. */
export const names = (problem: Problem, id: string) => JSON.stringify(problem).includes(JSON.stringify(id))

/** HubSpot itself failed at some records: that they are not in the answer says nothing of them. */
export const failed = (errors: readonly Problem[]) =>
  errors.some(({ category }) => /INTERNAL|SERVER|TIMEOUT|RATE_LIMIT/.test(category ?? ''))

/** Answer of a batch: 200, 201, 204 (empty) or 207 alike. */
export const Batch = z.object({ results: z.array(z.unknown()).default([]), errors: z.array(Problem).default([]) })
export type Batch = z.infer<typeof Batch>

export const Pipelines = listOf(
  z.object({
    id: Id,
    label: z.string(),
    stages: z.array(
      z.object({
        id: Id,
        label: z.string(),
        displayOrder: z.number(),
        /** Text from "0.0" to "1.0". */
        metadata: z.object({ probability: z.unknown() }).nullish(),
      }),
    ),
  }),
)
export type Pipelines = z.infer<typeof Pipelines>

export const Owners = listOf(
  z.object({
    id: Id,
    email: Text,
    firstName: Text,
    lastName: Text,
    teams: z.array(z.object({ name: z.string(), primary: z.boolean().nullish() })).nullish(),
  }),
)

export const Property = z.object({
  name: z.string(),
  type: z.string(),
  hasUniqueValue: z.boolean().nullish(),
  createdAt: Text,
  groupName: Text,
  modificationMetadata: z.object({ readOnlyValue: z.boolean().nullish() }).nullish(),
  options: z.array(z.object({ value: z.string() })).nullish(),
})
export type Property = z.infer<typeof Property>
export const Properties = listOf(Property)

export const Account = z.object({
  ...{ portalId: Id.nullish(), accountType: Text, timeZone: Text, companyCurrency: Text, uiDomain: Text },
  additionalCurrencies: z.array(z.string()).nullish(),
})
export type Account = z.infer<typeof Account>
/** Calls of one-account apps and keys, of the whole account. */
export const Usage = listOf(z.object({ usageLimit: z.number().nullish(), currentUsage: z.number() }))
export type Usage = z.infer<typeof Usage>

export const Associations = z.object({
  results: z.array(z.object({ from: z.object({ id: Id }), to: z.array(z.object({ toObjectId: Id })), paging: Paging })),
  errors: z.array(Problem).default([]),
})

/** A segment, which the API calls a list. */
export const Segment = z.object({ list: z.object({ listId: Id, filterBranch: z.unknown() }) })

/** Answers whose content is not used. */
export const Nothing = z.object({})

/** Undefined: not JSON, or nothing. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
