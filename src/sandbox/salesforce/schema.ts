// The objects and fields of the lookalike org as one table, with what describe says of each. Fields of features that the
// org does not have (multi-currency, Pipeline Inspection) are absent, as they are in such an org.

/** Dates `YYYY-MM-DD`; datetimes as Salesforce writes them (`2026-11-02T09:30:00.000+0000`), so both sort as text. */
export type Value = string | number | boolean | null
export type Row = Record<string, Value>

const FLAGS = { c: 'create', u: 'update', '!': 'required', r: 'restricted', x: 'unfilterable' } as const
export type Flag = (typeof FLAGS)[keyof typeof FLAGS]

export interface Field {
  readonly name: string
  readonly label: string
  readonly type: string
  /** 0: not limited. */
  readonly length: number
  readonly flags: ReadonlySet<Flag>
  /** Objects a reference may point to. */
  readonly to: readonly string[]
  /** Of a picklist. */
  readonly values: readonly string[]
  readonly custom: boolean
  readonly formula: { readonly text: string; readonly of: (row: Row) => Value } | null
}

export interface ObjectType {
  readonly name: string
  /** First three characters of every id. */
  readonly prefix: string
  /** REST may create, change and delete rows. */
  readonly writable: boolean
  /** By lower-case name: SOQL does not care about case. */
  readonly fields: Map<string, Field>
  readonly rows: Map<string, Row>
}

export const NUMBERS: readonly string[] = ['currency', 'percent', 'double', 'int']
export const FORECAST_CATEGORIES: Readonly<Record<string, string>> = {
  Pipeline: 'Pipeline',
  'Best Case': 'BestCase',
  'Most Likely': 'MostLikely',
  Commit: 'Forecast',
  Omitted: 'Omitted',
  Closed: 'Closed',
}

// One object per entry: name, id prefix, `w` if REST may write it, then its fields as `name type(length or picklist
// values) >target flags`, the flags by the letters above. SYSTEM fields are everywhere, ACTIVITY stands for its own.
// Properties from Salesforce's object reference.
const SYSTEM =
  'Id id, IsDeleted boolean, CreatedDate datetime, CreatedById >User, LastModifiedDate datetime, LastModifiedById >User, SystemModstamp datetime'
const ACTIVITY = `WhoId >Contact cu, WhatId >Opportunity|Account cu, WhoCount int, Subject string(255) cu,
  ActivityDate date cu, OwnerId >User cu, Description textarea(32000) cux, AccountId >Account,
  IsReminderSet boolean cu, ReminderDateTime datetime cu, IsRecurrence boolean, RecurrenceActivityId >Task|Event`
const OBJECTS = `
Opportunity 006 w: AccountId >Account cu, RecordTypeId >RecordType cu, Name string(120) cu!, Amount currency cu,
  Description textarea(32000) cux, StageName picklist cu!r, Probability percent cu, ExpectedRevenue currency,
  CloseDate date cu!, Type picklist(New Business|Existing Business) cu, NextStep string(255) cu, IsClosed boolean,
  IsWon boolean, ForecastCategory picklist(${Object.values(FORECAST_CATEGORIES).join('|')}) r,
  ForecastCategoryName picklist(${Object.keys(FORECAST_CATEGORIES).join('|')}) cur, OwnerId >User cu,
  LastActivityDate date, LastStageChangeDate datetime, HasOpenActivity boolean x, HasOverdueTask boolean x
OpportunityHistory 008: OpportunityId >Opportunity, StageName picklist, Amount currency, ExpectedRevenue currency,
  CloseDate date, Probability percent, ForecastCategory picklist, PrevAmount currency, PrevCloseDate date
Task 00T w: ACTIVITY, Status picklist(Not Started|In Progress|Completed|Waiting on someone else|Deferred) cu!r,
  Priority picklist(High|Normal|Low) cu!r, IsClosed boolean, TaskSubtype picklist(Task|Email|Call) cr,
  CallType picklist(Internal|Inbound|Outbound) cur, CallDurationInSeconds int cu, CallDisposition string(255) cu,
  CompletedDateTime datetime
Event 00U w: ACTIVITY, StartDateTime datetime cu, EndDateTime datetime cu, ActivityDateTime datetime cu,
  DurationInMinutes int cu, IsAllDayEvent boolean cu
EmailMessage 02s: ActivityId >Task, RelatedToId >Opportunity, Subject string, FromAddress email, ToAddress string x,
  Incoming boolean, Status picklist, MessageDate datetime, Headers textarea x
Account 001 w: Name string(255) cu!, OwnerId >User cu
Contact 003 w: AccountId >Account cu, LastName string(80) cu!, Name string(121), Email email(80) cu
User 005: Username string, Name string, FirstName string, LastName string, Email email, IsActive boolean,
  UserType picklist, ManagerId >User, UserRoleId >UserRole, Department string
UserRole 00E: Name string
Organization 00D: Name string, DefaultCurrencyIsoCode picklist
RecordType 012: Name string, DeveloperName string, SobjectType picklist, IsActive boolean
OpportunityStage 01J: ApiName string, MasterLabel string, IsActive boolean, IsClosed boolean, IsWon boolean,
  DefaultProbability percent, ForecastCategory picklist, ForecastCategoryName picklist, SortOrder int
TaskStatus 01T: ApiName string, MasterLabel string, IsClosed boolean, IsDefault boolean, SortOrder int
PermissionSet 0PS: Name string, Label string
PermissionSetAssignment 0Pa w: AssigneeId >User c!, PermissionSetId >PermissionSet c!
FieldPermissions 01k: ParentId >PermissionSet, SobjectType picklist, Field picklist, PermissionsRead boolean,
  PermissionsEdit boolean`

/** Fresh, empty tables by lower-case name. `without`: objects this org does not have or the user may not read. */
export function emptyTables(without: readonly string[]): Map<string, ObjectType> {
  const types = new Map<string, ObjectType>()
  for (const entry of OBJECTS.trim().split(/\n(?=\w)/)) {
    const [, name = '', prefix = '', writable, text = ''] = /^(\w+) (\w{3})( w)?: (.*)$/s.exec(entry) ?? []
    if (without.includes(name)) continue
    const fields = `${SYSTEM}, ${text.replace('ACTIVITY', ACTIVITY)}`.split(/,\s+/).map(parseField)
    const named = new Map(fields.map((field) => [field.name.toLowerCase(), field]))
    types.set(name.toLowerCase(), { name, prefix, writable: writable !== undefined, fields: named, rows: new Map() })
  }
  return types
}

function parseField(text: string): Field {
  const parts = /^(\w+)(?: (\w+))?(?:\(([^)]*)\))?(?: >([\w|]+))?(?: ([cu!rx]+))?$/.exec(text)
  if (!parts) throw new Error(`schema: ${text}`)
  const [, name = '', type = 'reference', inside = '', target, flags = ''] = parts
  const length = Number(inside) || 0
  return {
    ...{ name, type, length, custom: false, formula: null },
    label: name.replace(/([a-z])([A-Z])/g, '$1 $2'),
    flags: new Set(Object.entries(FLAGS).flatMap(([letter, flag]) => (flags.includes(letter) ? [flag] : []))),
    to: target?.split('|') ?? [],
    values: length > 0 || inside === '' ? [] : inside.split('|'),
  }
}

/** `OwnerId` is followed as `Owner`. */
export const relationOf = (field: Field) => (field.type === 'reference' ? field.name.replace(/Id$/, '') : null)

/** Salesforce keeps no milliseconds. */
export const stamp = (at: number) => `${new Date(at).toISOString().slice(0, 20)}000+0000`
export const day = (at: number) => new Date(at).toISOString().slice(0, 10)

/** An id of 15 characters means the same record as its long form. Here the three check characters are always AAA. */
export const longId = (id: string) => (id.length === 15 ? `${id}AAA` : id)
export const text = (value: Value | undefined) => (typeof value === 'string' ? value : '')
