// The records of the HubSpot lookalike: values with their history, activities, what HubSpot computes from both, and a
// search index that lags behind. Filled from the seed.
import type { Kernel } from '../kernel.ts'
import type { By, Instant, Seed, SeedEvent, SeedOwner, SeedStage } from '../seed.ts'
import type { Segment } from './lists.ts'
import { type ObjectType, type Property, shipped } from './properties.ts'

type Source = Readonly<{ sourceType: string; sourceId: string; sourceLabel?: string; updatedByUserId?: number }>
type Version = Source & Readonly<{ value: string; timestamp: Instant }>
type Kind = 'reply' | 'meeting' | 'call' | 'note'
type Activity = Readonly<{ kind: Kind; at: Instant; id: number; held: boolean; inbound: boolean }>
export interface Item {
  readonly object: ObjectType
  readonly id: string
  readonly created: Instant
  readonly createdBy: Source
  /** Current values; absent: never set, '': cleared. */
  readonly values: Record<string, string>
  /** Newest first; a property absent here has held its value since creation. */
  readonly history: Map<string, Version[]>
  activities: Activity[]
  /** Of a task its deals, of a deal its tasks. */
  readonly linked: Set<string>
  modified: Instant
  archived: Instant | null
  /** What the search index still shows until `until` (monotonic); null: nothing yet. */
  lag: { readonly until: number; readonly shows: Item | null } | null
}

/** The app whose token the client uses. */
export const OWN_APP = 4242001
const SOURCES: Readonly<Record<Exclude<By, 'person'> | 'self', Source>> = {
  workflow: { sourceType: 'WORKFLOWS', sourceId: 'enrollmentId:501', sourceLabel: 'Housekeeping' },
  import: { sourceType: 'IMPORT', sourceId: '701', sourceLabel: 'deals.csv' },
  integration: { sourceType: 'INTEGRATION', sourceId: '9009001', sourceLabel: 'Other app' },
  self: { sourceType: 'INTEGRATION', sourceId: String(OWN_APP), sourceLabel: 'sandbox client' },
}
const CATEGORY = { pipeline: 'PIPELINE', best_case: 'BEST_CASE', commit: 'COMMIT' } as const
/** Ids count up from here without gaps, so an id is a place in the list. */
const BASE = { deals: 21_000_000_000, tasks: 61_000_000_000 }
export const OBJECTS = ['deals', 'tasks'] as const
export const iso = (at: Instant) => new Date(at).toISOString()
const midnight = (date: string) => `${date}T00:00:00.000Z`

export interface StoreOptions {
  readonly searchLagMs: number
  readonly taskKey: 'unique' | 'plain'
  readonly timeZone: string
  readonly accountType: string
  /** Calls of the day: used, allowed. */
  readonly calls: readonly [used: number, limit: number]
}

export class Store {
  readonly kernel: Kernel
  readonly seed: Seed
  readonly options: StoreOptions
  readonly properties: Readonly<Record<ObjectType, Map<string, Property>>>
  readonly groups = { deals: new Map([['dealinformation', 'Deal']]), tasks: new Map([['task', 'Task']]) }
  /** By id. */
  readonly segments = new Map<string, Segment>()
  readonly items: Readonly<Record<ObjectType, Item[]>> = { deals: [], tasks: [] }
  readonly owners: readonly (SeedOwner & { readonly id: string; readonly userId: number })[]
  #lastActivity = 81_000_000_000

  constructor(kernel: Kernel, seed: Seed, options: StoreOptions) {
    this.kernel = kernel
    this.seed = seed
    this.options = options
    this.owners = seed.owners.map((owner, index) => ({ ...owner, id: `${51_000_001 + index}`, userId: 7001 + index }))
    const choices = {
      dealstage: [...new Set(seed.pipelines.flatMap(({ stages }) => stages.map((stage) => stage.id)))],
      pipeline: seed.pipelines.map((pipeline) => pipeline.id),
      hubspot_owner_id: this.owners.map((owner) => owner.id),
      dealtype: [...new Set(['newbusiness', 'existingbusiness', ...seed.deals.flatMap((deal) => deal.type ?? [])])],
      deal_currency_code: [seed.currency],
    }
    this.properties = { deals: shipped('deals', choices), tasks: shipped('tasks', choices) }
    for (const deal of seed.deals) {
      const owner = this.owners.find(({ email }) => email === deal.ownerEmail)
      const values = {
        ...{ dealname: deal.name, pipeline: deal.pipeline, dealstage: deal.stage, deal_currency_code: seed.currency },
        ...{ createdate: iso(deal.createdAt), closedate: midnight(deal.closeDate) },
        ...(deal.amount === null ? {} : { amount: String(deal.amount) }),
        ...(owner ? { hubspot_owner_id: owner.id } : {}),
        ...(deal.category ? { hs_manual_forecast_category: CATEGORY[deal.category] } : {}),
        ...(deal.type ? { dealtype: deal.type } : {}),
      }
      const item = this.#add('deals', values, deal.createdAt, this.#source(deal.createdBy ?? 'person', owner?.id))
      for (const event of deal.events) this.#replay(item, event)
      const past = deal.events.flatMap(({ at }) => (at <= kernel.now() ? at : []))
      item.modified = Math.max(deal.createdAt, ...past)
      item.lag = null
    }
  }

  #replay(item: Item, event: SeedEvent): void {
    if (event.kind === 'stage') this.#set(item, this.placed(item, event.to) ?? {}, event.by, event.at)
    else if (event.kind === 'amount') this.#set(item, { amount: String(event.to) }, event.by, event.at)
    else if (event.kind === 'close-date') this.#set(item, { closedate: midnight(event.to) }, event.by, event.at)
    else
      this.log(item, event.kind, event.at, {
        held: event.kind !== 'meeting' || event.held,
        inbound: event.kind === 'call' && event.outcome === 'incoming',
      })
  }

  /** A property of ours or a customer's goes, with its values; false where there is none. */
  drop(object: ObjectType, name: string): boolean {
    if (!this.properties[object].delete(name)) return false
    for (const { values, history } of this.items[object]) {
      delete values[name]
      history.delete(name)
    }
    this.kernel.record({ object: 'property', id: name, before: { name }, after: null })
    return true
  }

  /** The stage a deal is in; undefined where its pipeline has no such stage. */
  stage({ values }: Pick<Item, 'values'>): SeedStage | undefined {
    const pipeline = this.seed.pipelines.find(({ id }) => id === values.pipeline)
    return pipeline?.stages.find(({ id }) => id === values.dealstage)
  }
  /** What puts a deal into a stage, of its own pipeline where that has it. */
  placed(item: Item, dealstage: string): { pipeline?: string; dealstage: string } | undefined {
    if (this.stage({ values: { ...item.values, dealstage } })) return { dealstage }
    const other = this.seed.pipelines.find(({ stages }) => stages.some(({ id }) => id === dealstage))
    return other && { pipeline: other.id, dealstage }
  }
  /** The source HubSpot notes; a person is the owner, else the first user. */
  #source(by: By | 'self', ownerId?: string): Source {
    if (by !== 'person') return SOURCES[by]
    const userId = this.owners.find((owner) => owner.id === ownerId)?.userId ?? 7001
    return { sourceType: 'CRM_UI', sourceId: `userId:${userId}`, updatedByUserId: userId }
  }

  #add(object: ObjectType, values: Record<string, string>, created: Instant, createdBy: Source): Item {
    const id = String(BASE[object] + this.items[object].length + 1)
    const lag = { until: this.#indexedAt(), shows: null }
    const empty = { history: new Map(), activities: [], linked: new Set<string>(), archived: null }
    const item: Item = { object, id, values, created, createdBy, modified: created, lag, ...empty }
    this.items[object].push(item)
    return item
  }
  /** Sets values with their history. A version older than the newest one only fills the history in. */
  #set(item: Item, values: Readonly<Record<string, string>>, by: By | 'self', at: Instant): void {
    this.#touch(item)
    const source = this.#source(by, item.values.hubspot_owner_id)
    for (const [name, value] of Object.entries(values)) {
      const versions = this.versions(item, name)
      if ((versions[0]?.value ?? '') === value) continue
      const place = versions.findIndex((version) => version.timestamp <= at)
      versions.splice(place < 0 ? versions.length : place, 0, { value, timestamp: at, ...source })
      item.history.set(name, versions)
      item.values[name] = versions[0]?.value ?? ''
      if (name === 'dealstage') delete item.values.hs_deal_stage_probability
    }
  }
  #journal({ object, id }: Item, before: object | null, after: object | null): void {
    const shown = (values: object | null) =>
      values && Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value || null]))
    this.kernel.record({ object: object.slice(0, -1), id, before: shown(before), after: shown(after) })
  }
  /** Whatever happens to a task shows in the activity rollups of its deals. */
  #touchDeals(task: Item): void {
    const deals = task.object === 'tasks' ? [...task.linked].flatMap((id) => this.live('deals', id) ?? []) : []
    for (const deal of deals) this.#touch(deal)
  }

  /** A record made over the API, journalled; a task hangs on these deals. */
  create(object: ObjectType, values: Record<string, string>, dealIds: readonly string[]): Item {
    const item = this.#add(object, { ...values }, this.kernel.now(), SOURCES.self)
    for (const id of dealIds) {
      item.linked.add(id)
      this.live('deals', id)?.linked.add(item.id)
    }
    this.#touchDeals(item)
    this.#journal(item, null, object === 'tasks' ? { ...values, dealId: dealIds[0] } : values)
    return item
  }
  /** Changes values, journalled. HubSpot dates the completion of a task. */
  change(item: Item, values: Readonly<Record<string, string>>, by: By | 'self', at: Instant): Item {
    const now = () => Object.fromEntries(Object.keys(values).map((name) => [name, item.values[name]]))
    const before = now()
    const status = values.hs_task_status
    const completed = status === undefined ? {} : { hs_task_completion_date: status === 'COMPLETED' ? iso(at) : '' }
    this.#set(item, { ...values, ...completed }, by, at)
    this.#touchDeals(item)
    this.#journal(item, before, now())
    return item
  }
  /** Journalled. */
  archive(item: Item): string {
    this.#touch(item)
    item.archived = this.kernel.now()
    this.#touchDeals(item)
    this.#journal(item, item.values, null)
    return item.id
  }
  /** Logs an activity; a meeting at the same moment is replaced (held after all, or cancelled). */
  log(item: Item, kind: Kind, at: Instant, { held = true, inbound = false } = {}): string {
    this.#touch(item)
    const booked = item.activities.find((other) => kind === 'meeting' && other.kind === kind && other.at === at)
    item.activities = item.activities.filter((other) => other !== booked)
    this.#lastActivity += 1
    const id = booked?.id ?? this.#lastActivity
    if (!booked || held) item.activities.push({ kind, at, id, held, inbound })
    return String(id)
  }

  /** Newest first. */
  versions({ history, values, created, createdBy }: Item, name: string): Version[] {
    const value = values[name]
    return history.get(name) ?? (value === undefined ? [] : [{ value, timestamp: created, ...createdBy }])
  }
  live(object: ObjectType, id: string): Item | undefined {
    const item = this.items[object][Number(id) - BASE[object] - 1]
    return item?.id === id && item.archived === null ? item : undefined
  }
  /** Records behind this id, archived ones too, in order of ids. */
  *after(object: ObjectType, id: number): Generator<Item> {
    for (let at = Math.max(0, id - BASE[object]); at < this.items[object].length; at++) {
      const item = this.items[object][at]
      if (item) yield item
    }
  }

  #indexedAt(): number {
    return this.kernel.monotonic() + this.options.searchLagMs
  }
  /** Before every change: the index goes on showing what was, and the record counts as modified. */
  #touch(item: Item): void {
    if (this.options.searchLagMs > 0) {
      const shows = this.indexed(item)
      const copy = shows && { ...shows, values: { ...shows.values }, lag: null }
      item.lag = { until: this.#indexedAt(), shows: copy }
    }
    item.modified = this.kernel.now()
  }
  /** The record as search sees it. */
  indexed(item: Item): Item | null {
    return item.lag && this.kernel.monotonic() < item.lag.until ? item.lag.shows : item
  }

  /** One value as HubSpot shows it, computed ones too. Undefined: never set. */
  read(item: Item, name: string): string | undefined {
    const computed = COMPUTED[name]
    if (computed) return computed(item, this)
    const formula = this.properties[item.object].get(name)?.formula
    if (!formula) return item.values[name]
    return formula((other) => this.read(item, other) ?? '')?.toString()
  }
}

type Computed = (item: Item, store: Store) => string | undefined
const date = (at: Instant) => (Number.isFinite(at) ? iso(at) : undefined)
/** The newest past activity of these kinds. HubSpot's rollups do not tell who took part. */
function newest(item: Item, store: Store, kinds: readonly Kind[]): Instant {
  const now = store.kernel.now()
  const past = item.activities.filter(({ kind, at, held }) => held && at <= now && kinds.includes(kind))
  return past.reduce((latest, { at }) => Math.max(latest, at), Number.NEGATIVE_INFINITY)
}
const latest =
  (...kinds: Kind[]): Computed =>
  (item, store) =>
    date(newest(item, store, kinds))
const tasksOf = (item: Item, store: Store) => [...item.linked].flatMap((id) => store.live('tasks', id) ?? [])
const nextMeeting = (item: Item, store: Store) =>
  item.activities
    .filter(({ kind, at }) => kind === 'meeting' && at > store.kernel.now())
    .reduce<Activity | undefined>((first, one) => (first && first.at <= one.at ? first : one), undefined)
const probability: Computed = (item, store) =>
  item.values.hs_deal_stage_probability ?? store.stage(item)?.probability.toString()
const times = (a: string | undefined, b: string | undefined) => (a && b ? String(Number(a) * Number(b)) : undefined)

export const modifiedAt = (item: Item, store: Store) =>
  item.activities.length === 0 ? item.modified : Math.max(item.modified, newest(item, store, ['meeting']))

const COMPUTED: Readonly<Record<string, Computed>> = {
  hs_object_id: ({ id }) => id,
  hs_createdate: ({ created }) => iso(created),
  /** A meeting that takes place moves a rollup, and so counts as a modification then. */
  hs_lastmodifieddate: (item, store) => iso(modifiedAt(item, store)),
  hs_object_source_label: ({ createdBy }) => createdBy.sourceType,
  hs_object_source: ({ createdBy }) => createdBy.sourceType,
  hs_is_closed: (item, store) => String([0, 1].includes(store.stage(item)?.probability ?? -1)),
  hs_is_closed_won: (item, store) => String(store.stage(item)?.probability === 1),
  hs_is_closed_lost: (item, store) => String(Number(probability(item, store) || 1) <= 0),
  hs_deal_stage_probability: probability,
  amount_in_home_currency: ({ values }) => values.amount,
  hs_forecast_amount: ({ values }) => times(values.hs_forecast_probability || '1', values.amount),
  hs_projected_amount: (item, store) => times(probability(item, store), item.values.amount),
  hs_v2_date_entered_current_stage: (item, store) =>
    date(store.versions(item, 'dealstage')[0]?.timestamp ?? Number.NaN),
  hs_sales_email_last_replied: latest('reply'),
  hs_latest_meeting_activity: latest('meeting'),
  notes_last_contacted: latest('reply', 'meeting', 'call'),
  notes_last_updated: (item, store) =>
    date(
      Math.max(
        newest(item, store, ['reply', 'meeting', 'call', 'note']),
        ...tasksOf(item, store).map((task) => task.modified),
      ),
    ),
  num_notes: (item, store) => String(item.activities.length + tasksOf(item, store).length),
  hs_number_of_inbound_calls: ({ activities }) => String(activities.filter(({ inbound }) => inbound).length),
  hs_next_meeting_start_time: (item, store) => date(nextMeeting(item, store)?.at ?? Number.NaN),
  hs_next_meeting_id: (item, store) => nextMeeting(item, store)?.id.toString(),
  /** Open tasks count as planned activities, our own too. */
  notes_next_activity_date: (item, store) => {
    const open = tasksOf(item, store).flatMap(({ values }) => (values.hs_task_status === 'COMPLETED' ? [] : [values]))
    const planned = [...open.map((task) => Date.parse(task.hs_timestamp ?? '')), nextMeeting(item, store)?.at ?? 0]
    return date(Math.min(...planned.filter((at) => at > store.kernel.now())))
  },
}
