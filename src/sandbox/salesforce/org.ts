// The org: its tables, and what Salesforce does by itself when a record is saved or deleted: stage mapping and history,
// roll-ups of activities, stamps. Nothing is refused here: validate.ts says what an API client may do.
import type { Kernel } from '../kernel.ts'
import { day, emptyTables, type Field, longId, type ObjectType, type Row, stamp, text, type Value } from './schema.ts'

/** Who saves, and when. `stamp`: SystemModstamp, the real time of the save, also where `at` backdates it. */
export interface Saver {
  readonly user: string
  readonly at: number
  readonly stamp: number
}

const HISTORY = ['StageName', 'Amount', 'CloseDate', 'Probability'] as const
const stamps = (saver: Saver): Row => ({
  ...{ LastModifiedDate: stamp(saver.at), LastModifiedById: saver.user, SystemModstamp: stamp(saver.stamp) },
})
/** Field-level security does not touch standard fields here, nor required ones anywhere. */
const open = ({ custom, nillable }: Field) => !custom || !nillable
const isTask = (row: Row) => text(row.Id).startsWith('00T')
const same = (a: Row | null, b: Row, name: string) => (a?.[name] ?? null) === (b[name] ?? null)
/** ForecastCategory of a ForecastCategoryName. */
export const categoryOf = (name: Value | undefined) => (name === 'Commit' ? 'Forecast' : text(name).replace(' ', ''))

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
    return field && (open(field) || this.#grants().read.has(`${type.name}.${field.name}`)) ? field : null
  }
  visible(type: ObjectType): Field[] {
    return [...type.fields.values()].filter(({ name }) => this.field(type, name))
  }
  editable(type: ObjectType, field: Field): boolean {
    return open(field) || this.#grants().edit.has(`${type.name}.${field.name}`)
  }
  /** Field-level security: custom fields that the permission sets of the API user open. */
  #grants() {
    const assigned = (set: Value | undefined) => (row: Row) =>
      row.PermissionSetId === set && row.AssigneeId === this.apiUser && !row.IsDeleted
    const granted = (right: string) => {
      const rows = this.rows('FieldPermissions').filter((row) => row[right])
      return rows.filter((row) => this.rows('PermissionSetAssignment').some(assigned(row.ParentId)))
    }
    const fields = (right: string) => new Set(granted(right).map((row) => row.Field))
    this.#granted ??= { read: fields('PermissionsRead'), edit: fields('PermissionsEdit') }
    return this.#granted
  }

  read(row: Row, field: Field): Value {
    if (field.compute) return field.compute(row)
    if (field.name === 'HasOpenActivity' || field.name === 'HasOverdueTask') {
      const late = (activity: Row) => text(activity.ActivityDate || '9') < day(this.kernel.now())
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
    const isDeal = type.name === 'Opportunity'
    const lasting = before && isDeal && saver.at < saver.stamp ? this.#backdate(before, values, saver) : null
    const given = lasting ?? values
    const row: Row = { ...(before ?? this.defaults(type, saver.user)), ...given, ...stamps(saver) }
    if (isDeal) this.#stage(before, row, given, saver)
    if (type.fields.has('whatid')) this.#activity(before, row, saver)
    if (before) type.rows.set(text(row.Id), row)
    else this.#add(type, row, saver)
    if (isDeal && !lasting) this.#history(before, row, saver)
    for (const deal of [before?.WhatId, row.WhatId]) this.#rollUp(text(deal), row, saver)
    this.#journal(type, before, row, given)
    return text(row.Id)
  }
  /** A row as it is, without anything that follows from it: reference data, users, e-mails. */
  put(object: string, values: Row, saver: Saver): string {
    return this.#add(this.table(object), { ...values, ...stamps(saver) }, saver)
  }
  #add(type: ObjectType, row: Row, saver: Saver): string {
    this.#counter += 1
    const Id = longId(`${type.prefix}5g0000${this.#counter.toString(36).padStart(6, '0')}`)
    Object.assign(row, { Id, IsDeleted: false, CreatedDate: stamp(saver.at), CreatedById: saver.user })
    type.rows.set(Id, row)
    this.#granted = null
    return Id
  }

  #stage(before: Row | null, row: Row, given: Row, saver: Saver): void {
    const stage = this.rows('OpportunityStage').find(({ ApiName }) => ApiName === row.StageName)
    if (stage && !same(before, row, 'StageName')) {
      const { DefaultProbability = null, ForecastCategoryName = null, IsClosed = false, IsWon = false } = stage
      Object.assign(row, { IsClosed, IsWon })
      if (before || given.Probability === undefined) row.Probability = DefaultProbability
      // Which wins when one update sets both is not documented: the stricter reading, the stage, is played here.
      if (before || !given.ForecastCategoryName) row.ForecastCategoryName = ForecastCategoryName
      if (before) row.LastStageChangeDate = stamp(saver.at)
    }
    row.ForecastCategory = categoryOf(row.ForecastCategoryName) || null
    row.ExpectedRevenue = typeof row.Amount === 'number' ? (row.Amount * Number(row.Probability ?? 0)) / 100 : null
  }
  /** A snapshot when stage, amount, close date or probability change; a forecast category alone makes none. */
  #history(before: Row | null, row: Row, saver: Saver): void {
    if (!this.type('OpportunityHistory') || HISTORY.every((name) => same(before, row, name))) return
    const { StageName = null, Amount = null, CloseDate = null, Probability = null } = row
    const { ExpectedRevenue = null, ForecastCategory = null } = row
    const now = { StageName, Amount, CloseDate, Probability, ExpectedRevenue, ForecastCategory }
    const previous = { PrevAmount: before?.Amount ?? null, PrevCloseDate: before?.CloseDate ?? null }
    this.put('OpportunityHistory', { OpportunityId: text(row.Id), ...now, ...previous }, saver)
  }
  /** A change dated before others enters the history there and holds until the next one of its field. Returns the
   *  values that last until today; null: there are no later ones. */
  #backdate(deal: Row, given: Row, saver: Saver): Row | null {
    const snapshots = this.rows('OpportunityHistory')
      .filter((row) => row.OpportunityId === deal.Id)
      .sort((a, b) => (text(a.CreatedDate) < text(b.CreatedDate) ? -1 : 1))
    const from = snapshots.findIndex((row) => text(row.CreatedDate) > stamp(saver.at))
    const base = snapshots[from - 1]
    if (!base) return null
    const lasting: Row = {}
    const then: Row = { ...base, Id: deal.Id ?? null }
    for (const [name, value] of Object.entries(given)) {
      const [old, later] = [base[name], name in base ? snapshots.slice(from) : []]
      const until = later.findIndex((row) => row[name] !== old)
      if (until === -1) lasting[name] = value
      if (name in base) then[name] = value
      for (const row of until === -1 ? later : later.slice(0, until)) row[name] = value
    }
    this.#history(base, then, saver)
    return lasting
  }

  /** What a task or event says of itself. */
  #activity(before: Row | null, row: Row, saver: Saver): void {
    row.AccountId = this.find(row.WhatId)?.row.AccountId ?? null
    row.WhoCount = row.WhoId ? 1 : 0
    const start = text(row.StartDateTime ?? row.ActivityDateTime)
    if (start !== '') row.ActivityDate = start.slice(0, 10)
    if (row.Status === undefined) return
    row.IsClosed = row.Status === 'Completed'
    if (!same(before, row, 'IsClosed')) row.CompletedDateTime = row.IsClosed ? stamp(saver.at) : null
  }
  /** LastActivityDate: latest due date of a closed task or date of an event. Moves SystemModstamp, not LastModifiedDate. */
  #rollUp(id: string, activity: Row, saver: Saver): void {
    const deal = this.table('Opportunity').rows.get(id)
    if (!deal) return
    this.#attached.set(id, (this.#attached.get(id) ?? new Set()).add(text(activity.Id)))
    const counting = this.activitiesOf(id).filter((row) => row.IsClosed || !isTask(row))
    const last = counting.reduce((latest, { ActivityDate: date }) => (text(date) > latest ? text(date) : latest), '')
    if (last === text(deal.LastActivityDate)) return
    Object.assign(deal, { LastActivityDate: last || null, SystemModstamp: stamp(saver.stamp) })
  }

  /** To the recycle bin; a deal takes its activities and history along. Returns its id. */
  remove(row: Row, saver: Saver): string {
    const before = { ...row }
    const id = text(row.Id)
    const along = this.rows('OpportunityHistory').filter(({ OpportunityId }) => OpportunityId === id)
    for (const each of [row, ...along, ...this.activitiesOf(id)])
      Object.assign(each, { IsDeleted: true, ...stamps(saver) })
    this.#rollUp(text(row.WhatId), row, saver)
    this.#granted = null
    if (this.recording) this.kernel.record({ object: this.find(id)?.type.name ?? '', id, before, after: null })
    return id
  }
  /** For good, and nobody is told. */
  erase(object: string, which: (row: Row) => boolean): void {
    for (const row of this.rows(object).filter(which)) this.table(object).rows.delete(text(row.Id))
    this.#granted = null
  }

  #journal(type: ObjectType, before: Row | null, row: Row, given: Row): void {
    if (!this.recording) return
    const changed = (name: string) => !same(before, row, name) && !/^(LastModified|SystemModstamp)/.test(name)
    const names = Object.keys(row).filter((name) => !before || name in given || changed(name))
    const pick = (from: Row) => Object.fromEntries(names.map((name) => [name, from[name] ?? null]))
    this.kernel.record({ object: type.name, id: text(row.Id), before: before && pick(before), after: pick(row) })
  }
}
