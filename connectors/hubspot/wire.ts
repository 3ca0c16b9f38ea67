// HubSpot's answers, only the fields we use. Everything not needed to identify a record is optional: the published
// specification is too strict in places, and one odd record must never make a whole page unreadable.
import { z } from 'zod'

/** Ids come as text; a number is taken only while it is exact. */
const Id = z.union([z.string().min(1), z.int()]).transform(String)
const Time = z.union([z.string(), z.number()])

export const Version = z.object({
  value: z.unknown(),
  timestamp: Time,
  sourceType: z.string().nullish(),
  sourceId: z.string().nullish(),
  sourceLabel: z.string().nullish(),
})
export type Version = z.infer<typeof Version>

/** A deal or a task. Values are text or null; what else comes is judged field by field in map.ts. */
export const CrmRecord = z.object({
  id: Id,
  properties: z.record(z.string(), z.unknown()),
  propertiesWithHistory: z.record(z.string(), z.array(Version)).nullish(),
  archived: z.boolean().nullish(),
  objectWriteTraceId: z.string().nullish(),
})
export type CrmRecord = z.infer<typeof CrmRecord>

const Paging = z.object({ next: z.object({ after: Id }).nullish() }).nullish()

/** Records stay unparsed here: each is parsed on its own, so that a bad one is quarantined alone. */
export const RecordPage = z.object({ results: z.array(z.unknown()), total: z.number().nullish(), paging: Paging })
export type RecordPage = z.infer<typeof RecordPage>

const Context = z.record(z.string(), z.union([z.array(z.unknown()), z.string(), z.number()])).nullish()
/** One error of a batch, or the body of a refused call. All optional (docs/api-reference/error-handling). */
export const Problem = z.object({
  message: z.string().nullish(),
  category: z.string().nullish(),
  policyName: z.string().nullish(),
  id: z.unknown().optional(),
  objectWriteTraceId: z.unknown().optional(),
  context: Context,
  errors: z.array(z.object({ message: z.string().nullish(), code: z.string().nullish(), context: Context })).nullish(),
})
export type Problem = z.infer<typeof Problem>

/** Answer of a batch, 200, 201 or 207 alike. */
export const Batch = z.object({ results: z.array(z.unknown()).nullish(), errors: z.array(Problem).nullish() })
export type Batch = z.infer<typeof Batch>

export const Pipelines = z.object({
  results: z.array(
    z.object({
      id: Id,
      label: z.string(),
      displayOrder: z.number().nullish(),
      stages: z.array(
        z.object({
          id: Id,
          label: z.string(),
          displayOrder: z.number(),
          /** `probability`: text from "0.0" to "1.0". */
          metadata: z.record(z.string(), z.unknown()).nullish(),
        }),
      ),
    }),
  ),
})

export const Owners = z.object({
  results: z.array(
    z.object({
      id: Id,
      email: z.string().nullish(),
      firstName: z.string().nullish(),
      lastName: z.string().nullish(),
      archived: z.boolean().nullish(),
      /** PERSON or QUEUE. */
      type: z.string().nullish(),
      teams: z.array(z.object({ name: z.string(), primary: z.boolean().nullish() })).nullish(),
    }),
  ),
  paging: Paging,
})

export const Property = z.object({
  name: z.string(),
  label: z.string().nullish(),
  type: z.string(),
  hasUniqueValue: z.boolean().nullish(),
  options: z.array(z.object({ value: z.string() })).nullish(),
})
export type Property = z.infer<typeof Property>
export const Properties = z.object({ results: z.array(Property) })

export const Groups = z.object({ results: z.array(z.object({ name: z.string() })) })

export const Account = z.object({
  portalId: Id.nullish(),
  timeZone: z.string().nullish(),
  companyCurrency: z.string().nullish(),
  uiDomain: z.string().nullish(),
})
export type Account = z.infer<typeof Account>

export const Associations = z.object({
  results: z.array(z.object({ from: z.object({ id: Id }), to: z.array(z.object({ toObjectId: Id })), paging: Paging })),
})

/** Answers whose content is not used (204, created definitions). */
export const Nothing = z.unknown()
