// The objects and fields of the lookalike org, one line per field, with what describe says of each. Fields that depend
// on a feature the org does not have (multi-currency, Pipeline Inspection) are absent, as they are in such an org.

/** Dates `YYYY-MM-DD`; datetimes as Salesforce writes them (`2026-11-02T09:30:00.000+0000`), so both sort as text. */
export type Value = string | number | boolean | null
export type Row = Record<string, Value>

export interface Field {
  readonly name: string
  readonly label: string
  readonly type: string
  readonly length: number
  readonly create: boolean
  readonly update: boolean
  readonly filter: boolean
  readonly required: boolean
  readonly restricted: boolean
  /** Object names a reference may point to. */
  readonly to: readonly string[]
  readonly values: readonly string[]
  readonly custom: boolean
  readonly formula: { readonly text: string; readonly of: (row: Row) => Value } | null
  readonly tracked: boolean
}

export interface ObjectType {
  readonly name: string
  readonly prefix: string
  /** By lower-case name: SOQL does not care about case. */
  readonly fields: Map<string, Field>
  readonly rows: Map<string, Row>
  /** Rows can be created and so on by REST. */
  readonly writable: boolean
}

export const FORECAST_CATEGORIES = new Map([
  ['Pipeline', 'Pipeline'],
  ['Best Case', 'BestCase'],
  ['Most Likely', 'MostLikely'],
  ['Commit', 'Forecast'],
  ['Omitted', 'Omitted'],
  ['Closed', 'Closed'],
])

// One object per line: name, id prefix, `w` if REST may write it, then its fields as `name type(length) >target flags`.
// Flags: c createable, u updateable, ! required, r restricted picklist, x neither filterable nor sortable. Properties
// from the object reference (facts file, sections 2 and 4). `system` and `activity` stand for the fields below.
const SYSTEM = `Id id, IsDeleted boolean, CreatedDate datetime, CreatedById reference >User, LastModifiedDate datetime,
  LastModifiedById reference >User, SystemModstamp datetime`
const ACTIVITY = `WhoId reference >Contact cu, WhatId reference >Opportunity|Account cu, WhoCount int, WhatCount int,
  Subject string(255) cu, ActivityDate date cu, OwnerId reference >User cu, Description textarea(32000) cux,
  AccountId reference >Account, IsArchived boolean, IsReminderSet boolean cu, ReminderDateTime datetime cu,
  IsRecurrence boolean, RecurrenceActivityId reference >Task|Event`
const OBJECTS = `
Opportunity 006 w: AccountId reference >Account cu, RecordTypeId reference >RecordType cu, Name string(120) cu!,
  Description textarea(32000) cux, StageName picklist(255) cu!r, Amount currency cu, Probability percent cu,
  ExpectedRevenue currency, CloseDate date cu!, Type picklist(255) cu, NextStep string(255) cu,
  LeadSource picklist(255) cu, IsClosed boolean, IsWon boolean, ForecastCategory picklist(40) r,
  ForecastCategoryName picklist(40) cur, OwnerId reference >User cu, LastActivityDate date, IsPrivate boolean cu,
  LastStageChangeDate datetime, HasOpenActivity boolean x, HasOverdueTask boolean x,
  LastAmountChangedHistoryId reference >OpportunityHistory, LastCloseDateChangedHistoryId reference >OpportunityHistory
OpportunityHistory 008: OpportunityId reference >Opportunity, StageName picklist(255), Amount currency,
  ExpectedRevenue currency, CloseDate date, Probability percent, ForecastCategory picklist(40), PrevAmount currency,
  PrevCloseDate date
OpportunityFieldHistory 017: OpportunityId reference >Opportunity, Field picklist(255), OldValue string(255) x,
  NewValue string(255) x
Task 00T w: activity, Status picklist(255) cu!r, Priority picklist(255) cu!r, IsHighPriority boolean, IsClosed boolean,
  TaskSubtype picklist(40) cr, CallType picklist(40) cur, CallDurationInSeconds int cu, CallDisposition string(255) cu,
  CompletedDateTime datetime
Event 00U w: activity, StartDateTime datetime cu, EndDateTime datetime cu, ActivityDateTime datetime cu,
  DurationInMinutes int cu, IsAllDayEvent boolean cu, IsChild boolean, IsGroupEvent boolean, Location string(255) cu,
  EventSubtype picklist(40) c
EmailMessage 02s: ActivityId reference >Task, RelatedToId reference >Opportunity, Subject string(3000),
  FromAddress email(1000), ToAddress string(4000) x, Incoming boolean, Status picklist(40), MessageDate datetime,
  Headers textarea(32000) x
Account 001 w: Name string(255) cu!, OwnerId reference >User cu
Contact 003 w: AccountId reference >Account cu, LastName string(80) cu!, Name string(121), Email email(80) cu
User 005: Username string(80), Name string(121), FirstName string(40), LastName string(80), Email email(128),
  IsActive boolean, UserType picklist(40), ManagerId reference >User, UserRoleId reference >UserRole,
  ProfileId reference >Profile, Department string(80), TimeZoneSidKey picklist(40)
UserRole 00E: Name string(80), DeveloperName string(80), ParentRoleId reference >UserRole
Group 00G: Name string(40), DeveloperName string(80), Type picklist(40)
Profile 00e: Name string(255), PermissionsModifyAllData boolean, PermissionsModifyMetadata boolean
Organization 00D: Name string(80), OrganizationType picklist(40), InstanceName string(5), IsSandbox boolean,
  TimeZoneSidKey picklist(40), LanguageLocaleKey picklist(40), FiscalYearStartMonth int, DefaultCurrencyIsoCode picklist(3)
RecordType 012: Name string(80), DeveloperName string(80), SobjectType picklist(40), IsActive boolean
OpportunityStage 01J: ApiName string(255), MasterLabel string(255), IsActive boolean, IsClosed boolean, IsWon boolean,
  DefaultProbability percent, ForecastCategory picklist(40), ForecastCategoryName picklist(40), SortOrder int
TaskStatus 01T: ApiName string(255), MasterLabel string(255), IsClosed boolean, IsDefault boolean, SortOrder int
PermissionSet 0PS: Name string(80), Label string(80), Description string(255), IsOwnedByProfile boolean,
  ProfileId reference >Profile
PermissionSetAssignment 0Pa w: AssigneeId reference >User c!, PermissionSetId reference >PermissionSet c!
FieldPermissions 01k w: ParentId reference >PermissionSet c!, SobjectType picklist(40) c!, Field picklist(255) c!,
  PermissionsRead boolean cu, PermissionsEdit boolean cu`

const PICKLISTS: Record<string, readonly string[]> = {
  'Opportunity.ForecastCategory': [...FORECAST_CATEGORIES.values()],
  'Opportunity.ForecastCategoryName': [...FORECAST_CATEGORIES.keys()],
  'Opportunity.Type': ['New Business', 'Existing Business'],
  'Task.Status': ['Not Started', 'In Progress', 'Completed', 'Waiting on someone else', 'Deferred'],
  'Task.Priority': ['High', 'Normal', 'Low'],
  'Task.TaskSubtype': ['Task', 'Email', 'ListEmail', 'LinkedIn', 'Call'],
  'Task.CallType': ['Internal', 'Inbound', 'Outbound'],
}

export const PLAIN_FIELD: Omit<Field, 'name' | 'label' | 'type'> = {
  length: 0,
  create: false,
  update: false,
  filter: true,
  required: false,
  restricted: false,
  to: [],
  values: [],
  custom: false,
  formula: null,
  tracked: false,
}

/** Fresh, empty tables. `without`: objects this org does not have or the user may not read. */
export function objectTypes(without: readonly string[], tracked: readonly string[]): Map<string, ObjectType> {
  const types = new Map<string, ObjectType>()
  for (const entry of OBJECTS.trim().split(/\n(?=\w)/)) {
    const [head = '', text = ''] = entry.split(': ')
    const [object = '', prefix = '', writable] = head.split(' ')
    if (without.includes(object)) continue
    const fields = new Map<string, Field>()
    for (const line of `${SYSTEM}, ${text.replace('activity', ACTIVITY)}`.split(',')) {
      const [, name, type, length, target, flags = ''] =
        /^\s*(\w+) (\w+)(?:\((\d+)\))?(?: >([\w|]+))? ?([cu!rx]*)$/.exec(line) ?? []
      if (name === undefined || type === undefined) throw new Error(`schema of ${object}: ${line}`)
      fields.set(name.toLowerCase(), {
        ...PLAIN_FIELD,
        name,
        label: name.replace(/([a-z])([A-Z])/g, '$1 $2'),
        type,
        length: type === 'id' || type === 'reference' ? 18 : Number(length ?? 0),
        create: flags.includes('c'),
        update: flags.includes('u'),
        filter: !flags.includes('x'),
        required: flags.includes('!'),
        restricted: flags.includes('r'),
        to: target?.split('|') ?? [],
        values: PICKLISTS[`${object}.${name}`] ?? [],
        tracked: object === 'Opportunity' && tracked.includes(name),
      })
    }
    types.set(object.toLowerCase(), { name: object, prefix, writable: writable !== undefined, fields, rows: new Map() })
  }
  return types
}

/** `OwnerId` is followed as `Owner`. */
export const relationOf = (field: Field) => (field.type === 'reference' ? field.name.replace(/Id$/, '') : null)

const stamped = new Map<number, string>()
/** Salesforce keeps no milliseconds. Remembered: each save of a large seed writes the same few times. */
export function stamp(at: number): string {
  if (stamped.size > 1000) stamped.clear()
  const text = stamped.get(at) ?? new Date(at).toISOString().replace(/\d{3}Z$/, '000+0000')
  stamped.set(at, text)
  return text
}
export const day = (at: number) => new Date(at).toISOString().slice(0, 10)

const BASE62 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ012345'

/** The 18-character form of a 15-character id: three letters that hold the case of the others. */
export function longId(id: string): string {
  if (id.length !== 15) return id
  let suffix = ''
  for (let part = 0; part < 3; part++) {
    let bits = 0
    for (let i = 0; i < 5; i++) if (/[A-Z]/.test(id[part * 5 + i] ?? '')) bits |= 1 << i
    suffix += BASE62[bits]
  }
  return id + suffix
}
