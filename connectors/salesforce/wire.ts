// What Salesforce answers, as far as it is used. A field outside a user's permissions is simply absent, and many exist
// only in some orgs: those are null here, and queries name only what `describe` shows.
import { z } from 'zod'

/** One schema for several fields. */
function all<N extends string, S extends z.ZodType>(schema: S, ...names: N[]): Record<N, S>
function all(schema: z.ZodType, ...names: string[]): Record<string, z.ZodType> {
  return Object.fromEntries(names.map((name) => [name, schema]))
}
const maybe = <S extends z.ZodType>(schema: S) => z.nullable(schema).default(null)

/** A malformed one is quarantined; asked for, Salesforce would refuse the whole query. */
export const DEAL_ID = /^006[0-9A-Za-z]{12,15}$/
const id = z.string().regex(/^[A-Za-z0-9]{15,18}$/)
/** Salesforce writes `2026-11-23T02:00:00.000+0000`; milliseconds since 1970. Years before 1970 are data errors. */
const instant = z
  .string()
  .transform((value) => Date.parse(value.replace(/([+-]\d\d)(\d\d)$/, '$1:$2')))
  .refine((at) => at >= 0, 'not a time')
const text = maybe(z.string())
const number = maybe(z.number())
const flag = z.boolean().default(false)
const moment = maybe(instant)
const date = maybe(z.iso.date().refine((value) => value >= '1970', 'not a plausible date'))

export const Opportunity = z.object({
  ...all(id, 'Id'),
  ...all(z.string().min(1), 'Name', 'StageName'),
  ...all(z.boolean(), 'IsClosed', 'IsWon'),
  ...all(instant, 'CreatedDate', 'SystemModstamp'),
  ...all(text, 'OwnerId', 'RecordTypeId', 'AccountId', 'Type', 'CurrencyIsoCode', 'ForecastCategoryName'),
  ...all(text, 'Unstall_Explanation__c', 'Unstall_Category_Before__c', 'Unstall_Parked_Reason__c'),
  ...all(text, 'Unstall_State__c', 'Unstall_Reason__c', 'Unstall_Decision__c', 'Unstall_Cause__c'),
  ...all(number, 'Amount'),
  ...all(date, 'CloseDate', 'Unstall_Decision_Due__c', 'Unstall_Parked_Until__c'),
  ...all(moment, 'Unstall_Stalled_Since__c', 'Unstall_Last_Movement__c'),
  ...all(flag, 'Unstall_Stalled__c', 'IsDeleted'),
})
export type Opportunity = z.infer<typeof Opportunity>

/** A snapshot, made when stage, amount, probability or close date changed. */
export const History = z.object({
  ...all(id, 'Id', 'OpportunityId'),
  ...all(text, 'StageName', 'CreatedById'),
  // What made no sense and was put right since must not make the deal unreadable for good.
  ...all(number.catch(null), 'Amount'),
  ...all(date.catch(null), 'CloseDate'),
  ...all(instant, 'CreatedDate'),
})
export type History = z.infer<typeof History>

export const Event = z.object({
  ...all(id, 'Id'),
  ...all(text, 'WhatId', 'WhoId', 'RecurrenceActivityId'),
  ...all(number, 'WhoCount'),
  ...all(date, 'ActivityDate'),
  ...all(moment, 'StartDateTime'),
  ...all(flag, 'IsAllDayEvent', 'IsRecurrence', 'IsDeleted'),
})
export type Event = z.infer<typeof Event>

export const Task = z.object({
  ...all(id, 'Id'),
  ...all(text, 'WhatId', 'OwnerId', 'Subject', 'Description', 'CreatedById', 'TaskSubtype', 'CallType'),
  ...all(text, 'Unstall_Key__c'),
  ...all(number, 'CallDurationInSeconds'),
  ...all(date, 'ActivityDate'),
  ...all(moment, 'CompletedDateTime', 'CreatedDate'),
  ...all(z.boolean(), 'IsClosed'),
})
export type Task = z.infer<typeof Task>

export const Email = z.object({
  ...all(id, 'Id'),
  ...all(text, 'RelatedToId', 'Subject', 'FromAddress', 'Headers'),
  ...all(z.boolean(), 'Incoming'),
  ...all(moment, 'MessageDate'),
  ...all(instant, 'CreatedDate'),
})
export type Email = z.infer<typeof Email>

export const Stage = z.object({
  ...all(z.string(), 'ApiName', 'MasterLabel'),
  ...all(z.boolean(), 'IsActive', 'IsClosed', 'IsWon'),
  ...all(text, 'ForecastCategory', 'ForecastCategoryName'),
  ...all(number, 'SortOrder'),
})
export type Stage = z.infer<typeof Stage>

export const User = z.object({
  ...all(id, 'Id'),
  ...all(z.string(), 'Name'),
  ...all(text, 'Email', 'UserType'),
  ...all(z.boolean(), 'IsActive'),
  ...all(maybe(z.object({ Name: z.string() })), 'UserRole', 'Manager'),
})
export type User = z.infer<typeof User>

const Value = z.object({ value: z.string(), active: z.boolean() })
const Field = z.object({
  ...all(z.string(), 'name', 'type'),
  ...all(text, 'inlineHelpText'),
  ...all(flag, 'updateable', 'calculated', 'createable', 'nillable', 'defaultedOnCreate'),
  ...all(maybe(z.array(Value)), 'picklistValues'),
})
const RecordType = z.object({
  ...all(z.string(), 'recordTypeId', 'name', 'developerName'),
  ...all(z.boolean(), 'master', 'active'),
})
export const Described = z.object({
  ...{ fields: z.array(Field), recordTypeInfos: maybe(z.array(RecordType)) },
  ...all(z.boolean().default(true), 'createable', 'updateable'),
})
export type Described = z.infer<typeof Described>

/** Parsed one by one later, so that a bad row costs only itself. As it came: a copy of each would double a page. */
export type Row = Record<string, unknown>
const Row = z.custom<Row>((row) => typeof row === 'object' && row !== null)
export const Retrieved = z.array(Row.nullable())
export const QueryPage = z.object({
  done: z.boolean(),
  totalSize: z.number(),
  records: z.array(Row),
  nextRecordsUrl: z.string().optional(),
})
export type QueryPage = z.infer<typeof QueryPage>

/** Per record; the wire says `statusCode` where jsforce's types say `errorCode`. */
const SaveError = z.object({ statusCode: z.string().optional(), message: z.string() })
export const Saved = z.array(
  z.object({ id: z.string().nullish(), success: z.boolean(), errors: z.array(SaveError).default([]) }),
)
export type Saved = z.infer<typeof Saved>[number]

/** One answer for each part of a composite call; one without a name where Salesforce refuses the parts as such. */
export const Composite = z.object({
  compositeResponse: z.array(
    z.object({ body: z.unknown(), httpStatusCode: z.number(), referenceId: z.string().nullable() }),
  ),
})

export const Limits = z.object({ DailyApiRequests: z.object({ Max: z.number(), Remaining: z.number() }) })

export const Versions = z.array(z.object({ version: z.string() }))
export const Organization = z.object({ ...all(text, 'OrganizationType', 'TimeZoneSidKey'), IsSandbox: flag })
export const Rights = z.record(z.string(), z.unknown())
export const Rule = z.object(all(z.string(), 'ValidationName', 'ErrorMessage'))

/** Good rows of a type, and what is wrong with the others, by the id in `owner`. */
export function sort<T>(schema: z.ZodType<T>, rows: readonly Row[], owner: string) {
  const good: T[] = []
  const bad: { deal: string; problem: string }[] = []
  for (const row of rows) {
    const parsed = schema.safeParse(row)
    const [issue] = parsed.error?.issues ?? []
    if (parsed.success) good.push(parsed.data)
    else bad.push({ deal: String(row[owner] ?? '?'), problem: `${issue?.path.join('.')}: ${issue?.message}` })
  }
  return { good, bad }
}
