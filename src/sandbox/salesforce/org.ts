// The org: its tables and what Salesforce does by itself when a record is saved. The rules are those of the facts file
// (stage mapping and history, LastActivityDate, who may see a field); each save is applied whole or refused.
import { Refused } from '../kernel.ts'
import {
  day,
  type Field,
  FORECAST_CATEGORIES,
  longId,
  type ObjectType,
  objectTypes,
  type Row,
  stamp,
  type Value,
} from './schema.ts'

/** Who saves, and when. `stamp`: SystemModstamp, the real time of the save, also where `at` backdates it. */
export interface Saver {
  readonly user: string
  readonly at: number
  readonly stamp: number
  /** Signed in through the API: sees and edits only what field-level security grants. */
  readonly api: boolean
}

export interface SaveError {
  readonly statusCode: string
  readonly message: string
  readonly fields: readonly string[]
}

export type Saved = SaveError | { readonly id: string }

export interface OrgOptions {
  readonly without: readonly string[]
  readonly tracked: readonly string[]
  readonly now: () => number
  readonly record: (entry: { object: string; id: string; before: Row | null; after: Row | null }) => void
}

/** One error of a whole request: an array body, as REST sends it. */
export function refused(status: number, errorCode: string, message: string, fields?: readonly string[]): Refused {
  return new Refused({ status, body: [{ message, errorCode, ...(fields ? { fields } : {}) }] })
}

const error = (statusCode: string, message: string, ...fields: string[]): SaveError => ({ statusCode, message, fields })
const STAMPS = /^(LastModified|SystemModstamp)/
const stamps = (saver: Saver): Row => ({
  LastModifiedDate: stamp(saver.at),
  LastModifiedById: saver.user,
  SystemModstamp: stamp(saver.stamp),
})
const ID = /^\w{15}(\w{3})?$/
const isTask = (row: Row) => text(row.Id).startsWith('00T')
const text = (value: Value | undefined) => (typeof value === 'string' ? value : '')

const RESTRICTED = 'INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST'
const READ_ONLY =
  'Please check the security settings of this field and verify that it is read/write for your profile or permission set.'

export class Org {
  readonly types: Map<string, ObjectType>
  readonly options: OrgOptions
  /** False while the seed is loaded: that was before anyone watched. */
  recording = false
  apiUser = ''
  readonly #activities = new Map<string, Row[]>()
  #counter = 0
  #grants: Map<string, boolean> | null = null

  constructor(options: OrgOptions) {
    this.options = options
    this.types = objectTypes(options.without, options.tracked)
  }

  type(name: string): ObjectType | undefined {
    return this.types.get(name.toLowerCase())
  }
  table(name: string): ObjectType {
    const type = this.type(name)
    if (!type) throw new Error(`no table ${name}`)
    return type
  }
  rows(name: string): Row[] {
    return [...(this.type(name)?.rows.values() ?? [])]
  }
  /** The record of any object, by its id. */
  find(id: Value): { type: ObjectType; row: Row } | null {
    for (const type of this.types.values()) {
      const row = typeof id === 'string' && id.startsWith(type.prefix) ? type.rows.get(longId(id)) : undefined
      if (row) return { type, row }
    }
    return null
  }

  /** Null where it does not exist or the API user may not see it: to the API both look the same. */
  field(type: ObjectType, name: string, api: boolean): Field | null {
    const field = type.fields.get(name.toLowerCase())
    if (!field || (api && field.custom && !this.#granted().has(`${type.name}.${field.name}`))) return null
    return field
  }
  visible(type: ObjectType, api: boolean): Field[] {
    return [...type.fields.values()].filter((field) => this.field(type, field.name, api))
  }
  editable(type: ObjectType, field: Field): boolean {
    return field.update && (!field.custom || this.#granted().get(`${type.name}.${field.name}`) === true)
  }
  /** Custom fields readable by the API user; true: editable. */
  #granted(): Map<string, boolean> {
    if (this.#grants) return this.#grants
    const sets = this.rows('PermissionSetAssignment').filter((row) => row.AssigneeId === this.apiUser)
    const grants = new Map<string, boolean>()
    for (const row of this.rows('FieldPermissions')) {
      if (!row.PermissionsRead || !sets.some((set) => set.PermissionSetId === row.ParentId)) continue
      const names = /^(Task|Event)\./.test(text(row.Field)) ? ['Task', 'Event'] : [text(row.SobjectType)]
      for (const name of names) {
        const key = `${name}.${text(row.Field).split('.')[1]}`
        grants.set(key, grants.get(key) === true || row.PermissionsEdit === true)
      }
    }
    this.#grants = grants
    return grants
  }

  read(row: Row, field: Field): Value {
    if (field.formula) return field.formula.of(row)
    if (field.name === 'HasOpenActivity' || field.name === 'HasOverdueTask') {
      const today = day(this.options.now())
      const late = (activity: Row) => activity.ActivityDate !== null && text(activity.ActivityDate) < today
      const open = this.activitiesOf(row.Id).filter((a) => !a.IsDeleted && (isTask(a) ? !a.IsClosed : !late(a)))
      return field.name === 'HasOpenActivity' ? open.length > 0 : open.some((a) => isTask(a) && late(a))
    }
    return row[field.name] ?? (field.type === 'boolean' ? false : null)
  }
  activitiesOf(what: Value | undefined): Row[] {
    return this.#activities.get(text(what)) ?? []
  }

  /** Reads a JSON record as the REST layer does: an unknown field or a wrong JSON type refuses the whole request. */
  parse(type: ObjectType, body: Readonly<Record<string, unknown>>, saver: Saver): Row {
    const row: Row = {}
    for (const [name, value] of Object.entries(body)) {
      if (name === 'attributes' || name.toLowerCase() === 'id') continue
      const field = this.field(type, name, saver.api)
      if (!field) throw refused(400, 'INVALID_FIELD', `No such column '${name}' on sobject of type ${type.name}`)
      row[field.name] = cast(field, value)
    }
    return row
  }

  /** Creates (`id` null) or changes a record. Nothing is applied where an error comes back; `dry`: nor otherwise. */
  save(type: ObjectType, id: string | null, given: Row, saver: Saver, dry = false): Saved {
    const before = id === null ? null : (type.rows.get(longId(id)) ?? null)
    if (id !== null && !ID.test(id))
      return error('MALFORMED_ID', `${type.name} ID: id value of incorrect type: ${id}`, 'Id')
    if (id !== null && !before) return error('INVALID_CROSS_REFERENCE_KEY', 'invalid cross reference id')
    if (before?.IsDeleted) return error('ENTITY_IS_DELETED', 'entity is deleted')
    const row: Row = { ...(before ?? this.#defaults(type, saver)), ...given }
    const problem = this.#check(type, before, row, given, saver)
    if (problem) return problem
    if (dry) return { id: id ?? '' }

    if (type.name === 'Opportunity') this.#stage(before, row, given, saver)
    if (type.name === 'Task') this.#status(before, row, saver)
    if (type.name === 'Event')
      row.ActivityDate = text(row.StartDateTime ?? row.ActivityDateTime ?? row.ActivityDate).slice(0, 10) || null
    if ('WhatId' in row) row.AccountId = this.type('Opportunity')?.rows.get(text(row.WhatId))?.AccountId ?? null
    if ('WhoId' in row) row.WhoCount = row.WhoId === null ? 0 : 1
    Object.assign(row, stamps(saver))
    if (before) type.rows.set(text(row.Id), row)
    else this.#add(type, row, saver)
    if (type.name === 'Opportunity') this.#history(before, row, saver)
    if ('WhatId' in row) this.#attach(before, row, saver)
    this.#grants = null
    this.#journal(type, before, row, given)
    return { id: text(row.Id) }
  }

  /** A row as it is, without rules: reference data, users, e-mails. */
  put(object: string, values: Row, saver: Saver): string {
    const type = this.table(object)
    const row: Row = { ...values, ...stamps(saver) }
    this.#add(type, row, saver)
    return text(row.Id)
  }
  #add(type: ObjectType, row: Row, saver: Saver): void {
    this.#counter += 1
    row.Id ??= longId(`${type.prefix}5g0000${this.#counter.toString(36).toUpperCase().padStart(6, '0')}`)
    Object.assign(row, { IsDeleted: false, CreatedDate: stamp(saver.at), CreatedById: saver.user })
    type.rows.set(text(row.Id), row)
  }
  #defaults(type: ObjectType, saver: Saver): Row {
    const row: Row = type.fields.has('ownerid') ? { OwnerId: saver.user } : {}
    if (type.name === 'Task') Object.assign(row, { Status: 'Not Started', Priority: 'Normal', TaskSubtype: 'Task' })
    for (const field of type.fields.values()) if (field.type === 'boolean') row[field.name] = false
    return row
  }

  #check(type: ObjectType, before: Row | null, row: Row, given: Row, saver: Saver): SaveError | null {
    for (const [name, value] of Object.entries(given)) {
      const field = this.field(type, name, saver.api)
      if (!field) continue
      const wrong = (code: string, message: string) => error(code, message, name)
      if (!(before ? field.update : field.create) || (saver.api && field.custom && !this.editable(type, field)))
        return wrong('INVALID_FIELD_FOR_INSERT_UPDATE', `Unable to create/update fields: ${name}. ${READ_ONLY}`)
      const measured = !['picklist', 'reference'].includes(field.type) && field.length > 0
      if (measured && text(value).length > field.length)
        return wrong('STRING_TOO_LONG', `${field.label}: data value too large: ${value} (max length=${field.length})`)
      if (field.restricted && value !== null && !field.values.includes(text(value)))
        return wrong(RESTRICTED, `${field.label}: bad value for restricted picklist field: ${value}`)
      if (field.type !== 'reference' || value === null) continue
      const bad = this.#reference(type, field, value)
      if (bad) return bad
      row[name] = longId(text(value))
    }
    const empty = (field: Field) => field.required && (row[field.name] ?? null) === null
    const missing = [...type.fields.values()].filter((f) => empty(f) && (!before || f.name in given)).map((f) => f.name)
    if (missing.length > 0)
      return error('REQUIRED_FIELD_MISSING', `Required fields are missing: [${missing.join(', ')}]`, ...missing)
    if (type.name === 'FieldPermissions' && !before) return this.#permission(row)
    if (type.name !== 'PermissionSetAssignment') return null
    const same = (name: string, other: Row) => other[name] === row[name]
    const twice = this.rows(type.name).some((other) => same('AssigneeId', other) && same('PermissionSetId', other))
    return twice ? error('DUPLICATE_VALUE', 'duplicate value found: PermissionSetId duplicates value on record') : null
  }
  #reference(type: ObjectType, { name, label, to }: Field, value: Value): SaveError | null {
    const found = this.find(value)
    const fits = ID.test(text(value)) && to.some((target) => text(value).startsWith(this.type(target)?.prefix ?? '?'))
    if (!fits) return error('MALFORMED_ID', `${label}: id value of incorrect type: ${value}`, name)
    if (!found) return error('INVALID_CROSS_REFERENCE_KEY', 'invalid cross reference id', name)
    if (found.row.IsDeleted) return error('ENTITY_IS_DELETED', 'entity is deleted', name)
    if (name !== 'OwnerId' || found.row.IsActive) return null
    const what = `operation performed with inactive user [${value}] as owner of ${type.name.toLowerCase()}`
    return error('INACTIVE_OWNER_OR_USER', what)
  }
  /** A field permission must name an existing custom field, for Activity fields as Task.X or Event.X, which share it. */
  #permission(row: Row): SaveError | null {
    const [object = '', name = ''] = text(row.Field).split('.')
    const field = this.type(object)?.fields.get(name.toLowerCase())
    if (!field?.custom || object !== row.SobjectType)
      return error('INVALID_CROSS_REFERENCE_KEY', `In field: field - no CustomField named ${row.Field} found`, 'Field')
    if (field.formula && row.PermissionsEdit)
      return error('FIELD_INTEGRITY_EXCEPTION', `Formula field ${row.Field} cannot be editable`, 'Field')
    return null
  }

  #stage(before: Row | null, row: Row, given: Row, saver: Saver): void {
    const stage = this.rows('OpportunityStage').find((candidate) => candidate.ApiName === row.StageName)
    if (stage && row.StageName !== before?.StageName) {
      if (before || given.Probability === undefined) row.Probability = stage.DefaultProbability ?? null
      // Which wins when one update sets both is not documented: the stricter reading, the stage, is played here.
      if (before || !given.ForecastCategoryName) row.ForecastCategoryName = stage.ForecastCategoryName ?? null
      row.IsClosed = stage.IsClosed ?? false
      row.IsWon = stage.IsWon ?? false
      if (before) row.LastStageChangeDate = stamp(saver.at)
    }
    row.ForecastCategory = FORECAST_CATEGORIES.get(text(row.ForecastCategoryName)) ?? null
    row.ExpectedRevenue = typeof row.Amount === 'number' ? (row.Amount * Number(row.Probability ?? 0)) / 100 : null
  }
  #history(before: Row | null, row: Row, saver: Saver): void {
    const changed = (name: string) => (before?.[name] ?? null) !== (row[name] ?? null)
    const kept = ['StageName', 'Amount', 'CloseDate', 'Probability'].some(changed)
    if (this.type('OpportunityHistory') && (!before || kept)) {
      const copied = ['StageName', 'Amount', 'ExpectedRevenue', 'CloseDate', 'Probability', 'ForecastCategory']
      const values = Object.fromEntries(copied.map((name) => [name, row[name] ?? null]))
      const previous = { PrevAmount: before?.Amount ?? null, PrevCloseDate: before?.CloseDate ?? null }
      const id = this.put('OpportunityHistory', { OpportunityId: row.Id ?? null, ...values, ...previous }, saver)
      if (before && changed('Amount')) row.LastAmountChangedHistoryId = id
      if (before && changed('CloseDate')) row.LastCloseDateChangedHistoryId = id
    }
    if (!before || !this.type('OpportunityFieldHistory')) return
    for (const field of this.table('Opportunity').fields.values()) {
      if (!field.tracked || !changed(field.name)) continue
      const name = field.name.replace(/^(Owner|Account|RecordType)Id$/, '$1')
      // A changed reference makes two rows: the names, then the ids.
      const shown = (value: Value) => this.find(value)?.row.Name ?? null
      for (const as of field.type === 'reference' ? [shown, (value: Value) => value] : [(value: Value) => value]) {
        const values = { OldValue: as(before[field.name] ?? null), NewValue: as(row[field.name] ?? null) }
        this.put('OpportunityFieldHistory', { OpportunityId: row.Id ?? null, Field: name, ...values }, saver)
      }
    }
  }
  #status(before: Row | null, row: Row, saver: Saver): void {
    const closed = this.rows('TaskStatus').find((status) => status.ApiName === row.Status)?.IsClosed === true
    if (closed !== (before?.IsClosed ?? false)) row.CompletedDateTime = closed ? stamp(saver.at) : null
    row.IsClosed = closed
    row.IsHighPriority = row.Priority === 'High'
  }

  #attach(before: Row | null, row: Row, saver: Saver): void {
    for (const what of new Set([text(before?.WhatId), text(row.WhatId)])) {
      if (what === '') continue
      const others = this.activitiesOf(what).filter((other) => other.Id !== row.Id)
      this.#activities.set(what, what === row.WhatId ? [...others, row] : others)
      this.#lastActivity(what, saver)
    }
  }
  /** Latest due date of a closed task or date of an event. Moves SystemModstamp, but not LastModifiedDate. */
  #lastActivity(what: string, saver: Saver): void {
    const deal = this.table('Opportunity').rows.get(what)
    if (!deal) return
    const counts = (row: Row) => !row.IsDeleted && (row.IsClosed || !isTask(row))
    const dates = this.activitiesOf(what)
      .filter(counts)
      .map((row) => text(row.ActivityDate))
    const last = dates.sort().at(-1) || null
    if (last === (deal.LastActivityDate ?? null)) return
    deal.LastActivityDate = last
    deal.SystemModstamp = stamp(saver.stamp)
  }

  remove(type: ObjectType, id: string, saver: Saver): Saved {
    const row = type.rows.get(longId(id))
    if (!row) return error('INVALID_CROSS_REFERENCE_KEY', 'invalid cross reference id')
    if (row.IsDeleted) return error('ENTITY_IS_DELETED', 'entity is deleted')
    const before = { ...row }
    if (/^(PermissionSet|FieldPermissions)/.test(type.name)) type.rows.delete(longId(id))
    const gone = { IsDeleted: true, ...stamps(saver) }
    Object.assign(row, gone)
    if (type.name === 'Opportunity') {
      for (const activity of this.activitiesOf(row.Id)) Object.assign(activity, gone)
      for (const other of this.rows('OpportunityHistory')) if (other.OpportunityId === row.Id) other.IsDeleted = true
    } else if ('WhatId' in row) this.#lastActivity(text(row.WhatId), saver)
    this.#grants = null
    if (this.recording) this.options.record({ object: type.name, id: text(row.Id), before, after: null })
    return { id: text(row.Id) }
  }
  #journal(type: ObjectType, before: Row | null, row: Row, given: Row): void {
    if (!this.recording) return
    const written = (name: string) => !before || name in given || (!STAMPS.test(name) && row[name] !== before[name])
    const names = Object.keys(row).filter(written)
    const pick = (from: Row) => Object.fromEntries(names.map((name) => [name, from[name] ?? null]))
    this.options.record({ object: type.name, id: text(row.Id), before: before && pick(before), after: pick(row) })
  }
}

const JSON_TYPES: Record<string, 'boolean' | 'number'> = {
  boolean: 'boolean',
  currency: 'number',
  percent: 'number',
  double: 'number',
  int: 'number',
}

function cast(field: Field, value: unknown): Value {
  const { type } = field
  const kind = JSON_TYPES[type] ?? 'string'
  const refuse = () => {
    const words = `Cannot deserialize instance of ${type} from value ${String(value)}`
    return refused(
      400,
      'JSON_PARSER_ERROR',
      `${words} or request may be missing a required field at [line:1, column:1]`,
    )
  }
  if (type !== 'boolean' && (value === null || value === undefined || value === '')) return null
  if (typeof value === 'boolean' || typeof value === 'number') {
    if (typeof value !== kind) throw refuse()
    return value
  }
  if (typeof value !== 'string' || kind !== 'string') throw refuse()
  if (type !== 'date' && type !== 'datetime') return value
  const at = (type === 'date' ? /^\d{4}-\d\d-\d\d$/ : /^\d{4}-\d\d-\d\dT\d\d:\d\d/).test(value)
    ? Date.parse(value)
    : Number.NaN
  if (Number.isNaN(at) || (type === 'date' && day(at) !== value)) throw refuse()
  return type === 'date' ? value : stamp(at)
}
