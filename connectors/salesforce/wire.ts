// What Salesforce answers, as far as it is used. A field outside a user's permissions is simply absent, and many exist
// only in some orgs: those are optional here, and queries name only what `describe` shows.
import { z } from 'zod'

const id = z.string().regex(/^[A-Za-z0-9]{15,18}$/)
const text = z.string().nullish()
/** Salesforce writes `2026-11-23T02:00:00.000+0000`; milliseconds since 1970. Years before 1970 are data errors. */
const instant = z.string().transform((value, context) => {
  const at = Date.parse(value.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'))
  if (at >= 0) return at
  context.addIssue({ code: 'custom', message: 'not a time' })
  return z.NEVER
})
const date = z.iso.date().refine((value) => value >= '1970', 'not a plausible date')

export const Opportunity = z.object({
  Id: id,
  Name: z.string(),
  OwnerId: id.nullish(),
  RecordTypeId: text,
  AccountId: text,
  StageName: z.string().min(1),
  IsClosed: z.boolean(),
  IsWon: z.boolean(),
  Type: text,
  Amount: z.number().nullish(),
  CurrencyIsoCode: text,
  CloseDate: date.nullish(),
  CreatedDate: instant,
  SystemModstamp: instant,
  ForecastCategoryName: text,
  Unstall_Stalled__c: z.boolean().nullish(),
  Unstall_State__c: text,
  Unstall_Stalled_Since__c: instant.nullish(),
  Unstall_Reason__c: text,
  Unstall_Explanation__c: text,
  Unstall_Last_Movement__c: instant.nullish(),
  Unstall_Category_Before__c: text,
  Unstall_Decision_Due__c: date.nullish(),
  Unstall_Decision__c: text,
  Unstall_Cause__c: text,
  Unstall_Parked_Until__c: date.nullish(),
  Unstall_Parked_Reason__c: text,
})
export type Opportunity = z.infer<typeof Opportunity>

/** A snapshot, made when stage, amount, probability or close date changed. */
export const History = z.object({
  Id: id,
  OpportunityId: id,
  StageName: text,
  Amount: z.number().nullish(),
  CloseDate: date.nullish(),
  CreatedDate: instant,
  CreatedById: text,
})
export type History = z.infer<typeof History>

export const Event = z.object({
  Id: id,
  WhatId: text,
  WhoId: text,
  WhoCount: z.number().nullish(),
  ActivityDate: date.nullish(),
  ActivityDateTime: instant.nullish(),
  StartDateTime: instant.nullish(),
  IsAllDayEvent: z.boolean().nullish(),
  IsRecurrence: z.boolean().nullish(),
  RecurrenceActivityId: text,
  IsDeleted: z.boolean().nullish(),
})
export type Event = z.infer<typeof Event>

export const Task = z.object({
  Id: id,
  WhatId: text,
  OwnerId: text,
  Subject: text,
  Description: text,
  ActivityDate: date.nullish(),
  IsClosed: z.boolean(),
  CompletedDateTime: instant.nullish(),
  CreatedDate: instant.nullish(),
  CreatedById: text,
  TaskSubtype: text,
  CallType: text,
  CallDurationInSeconds: z.number().nullish(),
  Unstall_Key__c: text,
})
export type Task = z.infer<typeof Task>

export const Email = z.object({
  Id: id,
  RelatedToId: text,
  Incoming: z.boolean(),
  MessageDate: instant.nullish(),
  CreatedDate: instant,
  Subject: text,
  FromAddress: text,
  Headers: text,
})
export type Email = z.infer<typeof Email>

export const Stage = z.object({
  ApiName: text,
  MasterLabel: z.string(),
  IsActive: z.boolean(),
  IsClosed: z.boolean(),
  IsWon: z.boolean(),
  ForecastCategory: text,
  ForecastCategoryName: text,
  SortOrder: z.number().nullish(),
})
export type Stage = z.infer<typeof Stage>

const named = z.object({ Name: z.string() }).nullish()
export const User = z.object({
  Id: id,
  Name: z.string(),
  Email: text,
  IsActive: z.boolean(),
  UserType: text,
  UserRole: named,
  Manager: named,
})
export type User = z.infer<typeof User>

export const Described = z.object({
  fields: z.array(
    z.object({
      name: z.string(),
      type: z.string(),
      updateable: z.boolean(),
      calculated: z.boolean().nullish(),
      picklistValues: z
        .array(z.object({ value: z.string(), active: z.boolean(), defaultValue: z.boolean().nullish() }))
        .nullish(),
    }),
  ),
  recordTypeInfos: z
    .array(
      z.object({
        recordTypeId: z.string(),
        name: z.string(),
        developerName: text,
        master: z.boolean(),
        active: z.boolean().nullish(),
      }),
    )
    .nullish(),
})
export type Described = z.infer<typeof Described>

/** One page of a query. `records` are parsed row by row, so that a bad one costs only itself. */
export const QueryPage = z.object({
  done: z.boolean(),
  totalSize: z.number(),
  records: z.array(z.record(z.string(), z.unknown())),
  nextRecordsUrl: z.string().optional(),
})

/** Per record; the wire says `statusCode` where jsforce's types say `errorCode`. */
export const Saved = z.array(
  z.object({
    id: z.string().nullish(),
    success: z.boolean(),
    errors: z
      .array(z.object({ statusCode: z.string().optional(), errorCode: z.string().optional(), message: z.string() }))
      .default([]),
  }),
)
export type Saved = z.infer<typeof Saved>[number]

export const Retrieved = z.array(z.record(z.string(), z.unknown()).nullable())
export const Limits = z.object({ DailyApiRequests: z.object({ Max: z.number(), Remaining: z.number() }) })
export const Versions = z.array(z.object({ version: z.string() }))
