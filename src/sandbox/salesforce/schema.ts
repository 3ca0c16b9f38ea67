// The objects and fields of the lookalike org as one table; a field is what describe says of it. Fields of features that
// the org does not have (multi-currency, Pipeline Inspection) are absent, as they are in such an org.

/** Dates `YYYY-MM-DD`; datetimes as Salesforce writes them (`2026-11-02T09:30:00.000+0000`), so both sort as text. */
export type Value = string | number | boolean | null
export type Row = Record<string, Value>

export interface Field {
  readonly name: string
  readonly label: string
  readonly inlineHelpText: string | null
  readonly type: string
  /** 0: not limited. */
  readonly length: number
  readonly custom: boolean
  readonly createable: boolean
  readonly updateable: boolean
  readonly nillable: boolean
  /** In WHERE and ORDER BY. */
  readonly filterable: boolean
  readonly restrictedPicklist: boolean
  readonly picklistValues: readonly { readonly value: string; readonly active: true }[]
  readonly referenceTo: readonly string[]
  /** `OwnerId` is followed as `Owner`. */
  readonly relationshipName: string | null
  readonly calculated: boolean
  /** Of a formula. Not part of describe: JSON leaves functions out. */
  readonly compute?: ((row: Row) => Value) | undefined
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

// One object per entry: name, id prefix, `w` if REST may write it, then its fields as `name type(length or picklist
// values) >target flags`. Flags: c createable, u updateable, ! required, r restricted picklist, x neither filterable nor
// sortable. Everything has the SYSTEM fields; ACTIVITY stands for its own. From Salesforce's object reference.
const SYSTEM = `Id id, IsDeleted boolean, CreatedDate datetime, CreatedById >User, LastModifiedDate datetime,
  LastModifiedById >User, SystemModstamp datetime`
const ACTIVITY = `WhoId >Contact cu, WhatId >Opportunity|Account cu, WhoCount int, Subject string(255) cu,
  ActivityDate date cu, OwnerId >User cu, Description textarea(32000) cux, AccountId >Account,
  IsReminderSet boolean cu, ReminderDateTime datetime cu, IsRecurrence boolean, RecurrenceActivityId >Task|Event`
const OBJECTS = `
Opportunity 006 w: AccountId >Account cu, RecordTypeId >RecordType cu, Name string(120) cu!, Amount currency cu,
  Description textarea(32000) cux, StageName picklist cu!r, Probability percent cu, ExpectedRevenue currency,
  CloseDate date cu!, Type picklist(New Business|Existing Business) cu, NextStep string(255) cu, IsClosed boolean,
  IsWon boolean, ForecastCategory picklist(Pipeline|BestCase|MostLikely|Forecast|Omitted|Closed) r,
  ForecastCategoryName picklist(Pipeline|Best Case|Most Likely|Commit|Omitted|Closed) cur, OwnerId >User cu,
  LeadSource picklist(Web|Phone Inquiry|Partner Referral|Other) cu, LastActivityDate date,
  LastStageChangeDate datetime, HasOpenActivity boolean x, HasOverdueTask boolean x
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
Account 001: Name string, OwnerId >User
Contact 003: AccountId >Account, LastName string, Name string, Email email
User 005: Username string, Name string, FirstName string, LastName string, Email email, IsActive boolean,
  UserType picklist, ManagerId >User, UserRoleId >UserRole, Department string
UserRole 00E: Name string
Organization 00D: Name string, DefaultCurrencyIsoCode picklist, OrganizationType picklist, IsSandbox boolean,
  TimeZoneSidKey picklist
UserPermissionAccess 0Us: PermissionsActivitiesAccess boolean, PermissionsEditTask boolean, PermissionsModifyMetadata boolean,
  PermissionsAssignPermissionSets boolean, PermissionsModifyAllData boolean, PermissionsManageUsers boolean,
  PermissionsCustomizeApplication boolean, PermissionsAuthorApex boolean
ActivityMetric 0cx: ActivityCount int
EntityDefinition 4ie: QualifiedApiName string
ValidationRule 03d: ValidationName string, ErrorMessage string, Active boolean, EntityDefinitionId >EntityDefinition
RecordType 012: Name string, DeveloperName string, SobjectType picklist, IsActive boolean
OpportunityStage 01J: ApiName string, MasterLabel string, IsActive boolean, IsClosed boolean, IsWon boolean,
  DefaultProbability percent, ForecastCategory picklist, ForecastCategoryName picklist, SortOrder int
TaskStatus 01T: ApiName string, MasterLabel string, IsClosed boolean, IsDefault boolean, SortOrder int
ListView 00B: Name string, DeveloperName string, SobjectType picklist
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
  const [, name = '', type = 'reference', inside = '', target, flags] = parts
  const length = Number(inside) || 0
  return makeField(name, type, flags, {
    ...{ length, picklistValues: length > 0 || inside === '' ? [] : choices(inside.split('|')) },
    ...(target ? { referenceTo: target.split('|'), relationshipName: name.replace(/Id$/, '') } : {}),
  })
}

/** `flags`: as in the table. */
export const makeField = (name: string, type: string, flags = '', more: Partial<Field> = {}): Field => ({
  ...{ name, label: name.replace(/([a-z])([A-Z])/g, '$1 $2'), type, length: 0, custom: false, calculated: false },
  ...{ createable: flags.includes('c'), updateable: flags.includes('u'), nillable: !flags.includes('!') },
  ...{ inlineHelpText: null, filterable: !flags.includes('x'), restrictedPicklist: flags.includes('r') },
  ...{ picklistValues: [], referenceTo: [], relationshipName: null, ...more },
})
export const choices = (values: readonly string[]) => values.map((value) => ({ value, active: true }) as const)
export const isNumber = (type: string) => ['currency', 'percent', 'double', 'int'].includes(type)

/** Salesforce keeps no milliseconds. */
export const stamp = (at: number) => `${new Date(at).toISOString().slice(0, 20)}000+0000`
export const day = (at: number) => new Date(at).toISOString().slice(0, 10)
export const text = (value: Value | undefined) => (typeof value === 'string' ? value : '')
/** An id of 15 characters means the same record as its long form. Here the three check characters are always AAA. */
export const longId = (id: string) => (id.length === 15 ? `${id}AAA` : id)
