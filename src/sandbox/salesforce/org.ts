// The org: its tables, and what Salesforce does by itself when a record is saved or deleted: stage mapping and history,
// roll-ups of activities, stamps. Nothing is refused here: validate.ts says what an API client may do.
import type { Kernel } from '../kernel.ts'
import {
  day,
  emptyTables,
  type Field,
  FORECAST_CATEGORIES,
  longId,
  type ObjectType,
  type Row,
  stamp,
  text,
  type Value,
} from './schema.ts'

/** Who saves, and when. `stamp`: SystemModstamp, the real time of the save, also where `at` backdates it. */
export interface Saver {
  readonly user: string
  readonly at: number
  readonly stamp: number
}

const SNAPSHOT = ['StageName', 'Amount', 'CloseDate', 'Probability', 'ExpectedRevenue', 'ForecastCategory'] as const
const stamps = (saver: Saver): Row => ({
  LastModifiedDate: stamp(saver.at),
  LastModifiedById: saver.user,
  SystemModstamp: stamp(saver.stamp),
})
const isTask = (row: Row) => text(row.Id).startsWith('00T')
const same = (a: Row | null, b: Row, name: string) => (a?.[name] ?? null) === (b[name] ?? null)

export class Org {
  readonly types: ReadonlyMap<string, ObjectType>
  readonly kernel: Pick<Kernel, 'now' | 'record'>
  /** False while the seed is loaded: that was before anyone watched. */
  recording = false
  apiUser = ''
  readonly #byPrefix: ReadonlyMap<string, ObjectType>
  /** Ids of tasks and events that are or were attached to a deal, by its id. */
  readonly #attached = new Map<string, Set<string>>()
  #counter = 0
  #granted: { readonly read: ReadonlySet<unknown>; readonly edit: ReadonlySet<unknown> } | null = null

  constructor(kernel: Org['kernel'], without: readonly string[]) {
    this.kernel = kernel
    this.types = emptyTables(without)
    this.#byPrefix = new Map([...this.types.values()].map((type) => [type.prefix, type]))
  }

  type(name: string): ObjectType | undefined {
    return this.types.get(name.toLowerCase())
  }
  /** A table that every org has. */
  table(name: string): ObjectType {
    const type = this.type(name)
    if (!type) throw new Error(`no table ${name}`)
    return type
  }
  rows(name: string): Row[] {
    return [...(this.type(name)?.rows.values() ?? [])]
  }
  /** The record of any object, by its id; deleted ones too. */
  find(id: Value | undefined): { type: ObjectType; row: Row } | null {
    const type = this.#byPrefix.get(text(id).slice(0, 3))
    const row = type?.rows.get(longId(text(id)))
    return type && row ? { type, row } : null
  }

  /** Null where it does not exist or the API user may not see it: to the API both look the same. */
  field(type: ObjectType, name: string): Field | null {
    const field = type.fields.get(name.toLowerCase())
    return field && (!field.custom || this.#grants().read.has(`${type.name}.${field.name}`)) ? field : null
  }
  visible(type: ObjectType): Field[] {
    return [...type.fields.values()].filter(({ name }) => this.field(type, name))
  }
  editable(type: ObjectType, { name, custom }: Field): boolean {
    return !custom || this.#grants().edit.has(`${type.name}.${name}`)
  }
  /** Field-level security: custom fields that the permission sets of the API user open. */
  #grants() {
    if (this.#granted) return this.#granted
    const assigned = this.rows('PermissionSetAssignment').filter(
      (row) => !row.IsDeleted && row.AssigneeId === this.apiUser,
    )
    const sets = new Set(assigned.map((row) => row.PermissionSetId))
    const rows = this.rows('FieldPermissions').filter((row) => sets.has(row.ParentId ?? null))
    const fields = (right: string) => new Set(rows.filter((row) => row[right]).map((row) => row.Field))
    this.#granted = { read: fields('PermissionsRead'), edit: fields('PermissionsEdit') }
    return this.#granted
  }

  read(row: Row, field: Field): Value {
    if (field.formula) return field.formula.of(row)
    if (field.name === 'HasOpenActivity' || field.name === 'HasOverdueTask') {
      const today = day(this.kernel.now())
      const late = (activity: Row) => activity.ActivityDate != null && text(activity.ActivityDate) < today
      const open = this.activitiesOf(row.Id).filter((each) => (isTask(each) ? !each.IsClosed : !late(each)))
      return field.name === 'HasOpenActivity' ? open.length > 0 : open.some((each) => isTask(each) && late(each))
    }
    return row[field.name] ?? (field.type === 'boolean' ? false : null)
  }
  activitiesOf(deal: Value | undefined): Row[] {
    const rows = Array.from(this.#attached.get(text(deal)) ?? [], (id): Row => this.find(id)?.row ?? {})
    return rows.filter((row) => row.WhatId === deal && !row.IsDeleted)
  }

  /** What the org fills in on creation. */
  defaults(type: ObjectType, owner = this.apiUser): Row {
    const task = { Status: 'Not Started', Priority: 'Normal', TaskSubtype: 'Task' }
    return { ...(type.fields.has('ownerid') ? { OwnerId: owner } : {}), ...(type.name === 'Task' ? task : {}) }
  }

  /** Creates (`id` null) or changes a record, and returns its id. */
  save(type: ObjectType, id: string | null, values: Row, saver: Saver): string {
    const before = id === null ? null : (type.rows.get(longId(id)) ?? null)
    const dated = before && type.name === 'Opportunity' && saver.at < saver.stamp
    const held = dated ? this.#backdate(before, values, saver) : null
    const given = held ?? values
    const row: Row = { ...(before ?? this.defaults(type, saver.user)), ...given, ...stamps(saver) }
    for (const field of type.fields.values())
      if (field.type === 'reference' && field.name in given) row[field.name] = longId(text(row[field.name])) || null
    if (type.name === 'Opportunity') this.#stage(before, row, given, saver)
    if (type.fields.has('whatid')) this.#activity(before, row, saver)
    if (before) type.rows.set(text(row.Id), row)
    else this.#add(type, row, saver)
    if (type.name === 'Opportunity' && !held) this.#history(before, row, saver)
    for (const deal of new Set([text(before?.WhatId), text(row.WhatId)])) this.#rollUp(deal, row, saver)
    this.#journal(type, before, row, given)
    return text(row.Id)
  }
  /** A row as it is, without anything that follows from it: reference data, users, e-mails. */
  put(object: string, values: Row, saver: Saver): string {
    const row: Row = { ...values, ...stamps(saver) }
    this.#add(this.table(object), row, saver)
    return text(row.Id)
  }
  #add(type: ObjectType, row: Row, saver: Saver): void {
    this.#counter += 1
    row.Id = longId(`${type.prefix}5g0000${this.#counter.toString(36).padStart(6, '0')}`)
    Object.assign(row, { IsDeleted: false, CreatedDate: stamp(saver.at), CreatedById: saver.user })
    type.rows.set(text(row.Id), row)
    this.#granted = null
  }

  #stage(before: Row | null, row: Row, given: Row, saver: Saver): void {
    const stage = this.rows('OpportunityStage').find(({ ApiName }) => ApiName === row.StageName)
    if (stage && !same(before, row, 'StageName')) {
      if (before || given.Probability === undefined) row.Probability = stage.DefaultProbability ?? null
      // Which wins when one update sets both is not documented: the stricter reading, the stage, is played here.
      if (before || !given.ForecastCategoryName) row.ForecastCategoryName = stage.ForecastCategoryName ?? null
      row.IsClosed = stage.IsClosed ?? false
      row.IsWon = stage.IsWon ?? false
      if (before) row.LastStageChangeDate = stamp(saver.at)
    }
    row.ForecastCategory = FORECAST_CATEGORIES[text(row.ForecastCategoryName)] ?? null
    row.ExpectedRevenue = typeof row.Amount === 'number' ? (row.Amount * Number(row.Probability ?? 0)) / 100 : null
  }
  /** A snapshot when stage, amount, close date or probability change; a forecast category alone makes none. */
  #history(before: Row | null, row: Row, saver: Saver): void {
    if (!this.type('OpportunityHistory') || SNAPSHOT.slice(0, 4).every((name) => same(before, row, name))) return
    const values = Object.fromEntries(SNAPSHOT.map((name) => [name, row[name] ?? null]))
    const previous = { PrevAmount: before?.Amount ?? null, PrevCloseDate: before?.CloseDate ?? null }
    this.put('OpportunityHistory', { OpportunityId: text(row.Id), ...values, ...previous }, saver)
  }
  /** A change dated before others enters the history there and holds until the next one of its field. Returns the
   *  values that hold until today; null: there are no later ones. */
  #backdate(deal: Row, given: Row, saver: Saver): Row | null {
    const snapshots = this.rows('OpportunityHistory')
      .filter((row) => row.OpportunityId === deal.Id)
      .sort((a, b) => (text(a.CreatedDate) < text(b.CreatedDate) ? -1 : 1))
    const later = snapshots.filter((row) => text(row.CreatedDate) > stamp(saver.at))
    const base = snapshots[snapshots.length - later.length - 1]
    if (later.length === 0 || !base) return null
    const past: Row = {}
    const today: Row = {}
    for (const [name, value] of Object.entries(given)) {
      const next = later.findIndex((row) => name in base && row[name] !== base[name])
      if (name in base) past[name] = value
      if (next === -1) today[name] = value
      if (name in base) for (const row of later.slice(0, next === -1 ? later.length : next)) row[name] = value
    }
    this.#history(base, { ...base, ...past, Id: deal.Id ?? null }, saver)
    return today
  }

  /** What a task or event says of itself. */
  #activity(before: Row | null, row: Row, saver: Saver): void {
    row.AccountId = this.find(row.WhatId)?.row.AccountId ?? null
    row.WhoCount = row.WhoId ? 1 : 0
    const start = row.StartDateTime ?? row.ActivityDateTime
    if (start) row.ActivityDate = text(start).slice(0, 10)
    const status = this.rows('TaskStatus').find(({ ApiName }) => ApiName === row.Status)
    if (!status) return
    row.IsClosed = status.IsClosed ?? false
    if (!same(before, row, 'IsClosed')) row.CompletedDateTime = row.IsClosed ? stamp(saver.at) : null
  }
  /** LastActivityDate: the latest due date of a closed task or date of an event. Moves SystemModstamp, not LastModifiedDate. */
  #rollUp(id: string, activity: Row, saver: Saver): void {
    const deal = this.table('Opportunity').rows.get(id)
    if (!deal) return
    const attached = this.#attached.get(id) ?? new Set()
    this.#attached.set(id, attached.add(text(activity.Id)))
    const counting = this.activitiesOf(id).filter((row) => row.IsClosed || !isTask(row))
    const last =
      counting
        .map((row) => text(row.ActivityDate))
        .sort()
        .at(-1) || null
    if (last === (deal.LastActivityDate ?? null)) return
    Object.assign(deal, { LastActivityDate: last, SystemModstamp: stamp(saver.stamp) })
  }

  /** To the recycle bin; a deal takes its activities and history along. */
  remove(type: ObjectType, id: string, saver: Saver): void {
    const row = type.rows.get(longId(id))
    if (!row) return
    const before = { ...row }
    const gone = { IsDeleted: true, ...stamps(saver) }
    const along =
      type.name === 'Opportunity' ? this.rows('OpportunityHistory').filter((h) => h.OpportunityId === row.Id) : []
    for (const each of [row, ...along, ...this.activitiesOf(row.Id)]) Object.assign(each, gone)
    this.#rollUp(text(row.WhatId), row, saver)
    this.#granted = null
    if (this.recording) this.kernel.record({ object: type.name, id: text(row.Id), before, after: null })
  }
  /** For good, and nobody is told. */
  erase(object: string, which: (row: Row) => boolean): void {
    for (const row of this.rows(object).filter(which)) this.table(object).rows.delete(text(row.Id))
    this.#granted = null
  }

  #journal(type: ObjectType, before: Row | null, row: Row, given: Row): void {
    if (!this.recording) return
    const system = /^(LastModified|SystemModstamp)/
    const written = (name: string) => !before || name in given || (!system.test(name) && !same(before, row, name))
    const pick = (from: Row) =>
      Object.fromEntries(Object.keys(row).flatMap((n) => (written(n) ? [[n, from[n] ?? null]] : [])))
    this.kernel.record({ object: type.name, id: text(row.Id), before: before && pick(before), after: pick(row) })
  }
}
