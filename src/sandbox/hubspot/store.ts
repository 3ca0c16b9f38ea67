// The records of the HubSpot lookalike: values with their history, what HubSpot computes from them and from activities,
// and a search index that lags behind. Filled from the seed.
import type { Kernel } from '../kernel.ts'
import type { By, Instant, Seed, SeedEvent, SeedOwner, SeedStage } from '../seed.ts'
import { type ObjectType, type Property, shipped } from './properties.ts'

export interface Source {
  readonly sourceType: string
  readonly sourceId: string | null
  readonly sourceLabel: string | null
  readonly updatedByUserId: number | null
}
export interface Version extends Source {
  readonly value: string
  readonly timestamp: Instant
}
export interface Activity {
  readonly kind: 'reply' | 'meeting' | 'call' | 'note' | 'task'
  readonly at: Instant
  readonly id: number
  readonly held: boolean
  readonly inbound: boolean
}
export interface Item {
  readonly object: ObjectType
  readonly id: string
  readonly created: Instant
  readonly createdBy: Source
  /** Current values; absent: never set, '': cleared. */
  values: Record<string, string>
  /** Newest first; a property absent here has held its value since creation. */
  readonly history: Map<string, Version[]>
  activities: Activity[]
  /** Of a task its deals, of a deal its tasks. */
  readonly linked: Set<string>
  modified: Instant
  archivedAt: Instant | null
  /** What the search index still shows until `until` (monotonic); null: nothing yet. */
  lag: { readonly until: number; readonly shows: Pick<Item, 'values' | 'modified' | 'archivedAt'> | null } | null
}

/** Our own app's writes, and another integration's. */
export const OWN_APP = 4242001
const sources: Readonly<Record<Exclude<By, 'person'>, Source>> = {
  workflow: {
    sourceType: 'WORKFLOWS',
    sourceId: 'enrollmentId:501',
    sourceLabel: 'Housekeeping',
    updatedByUserId: null,
  },
  import: { sourceType: 'IMPORT', sourceId: '701', sourceLabel: 'deals.csv', updatedByUserId: null },
  integration: { sourceType: 'INTEGRATION', sourceId: '9009001', sourceLabel: 'Other app', updatedByUserId: null },
}
export const OWN_SOURCE: Source = { ...sources.integration, sourceId: String(OWN_APP), sourceLabel: 'sandbox client' }

const CATEGORY = { pipeline: 'PIPELINE', best_case: 'BEST_CASE', commit: 'COMMIT' } as const
/** Ids count up from here without gaps, so an id is a place in the list. */
const BASE = { deals: 21_000_000_000, tasks: 61_000_000_000 }
const iso = (at: Instant) => new Date(at).toISOString()

export interface StoreOptions {
  readonly searchLagMs: number
  readonly taskKey: 'unique' | 'plain'
  readonly timeZone: string
}

export class Store {
  readonly kernel: Kernel
  readonly seed: Seed
  readonly options: StoreOptions
  readonly properties: Readonly<Record<ObjectType, Map<string, Property>>>
  readonly groups = {
    deals: new Map([['dealinformation', 'Deal information']]),
    tasks: new Map([['task', 'Task information']]),
  }
  readonly items: Readonly<Record<ObjectType, Item[]>> = { deals: [], tasks: [] }
  readonly owners: readonly (SeedOwner & { readonly id: string; readonly userId: number })[]
  readonly #stages = new Map<string, SeedStage & { readonly pipeline: string }>()
  /** property name -> value -> id, of unique task properties. */
  readonly #unique = new Map<string, Map<string, string>>()
  #lastActivity = 81_000_000_000

  constructor(kernel: Kernel, seed: Seed, options: StoreOptions) {
    this.kernel = kernel
    this.seed = seed
    this.options = options
    this.owners = seed.owners.map((owner, index) => ({
      ...owner,
      id: String(51_000_001 + index),
      userId: 7001 + index,
    }))
    for (const pipeline of seed.pipelines)
      for (const stage of pipeline.stages)
        this.#stages.set(`${pipeline.id}/${stage.id}`, { ...stage, pipeline: pipeline.id })
    const choices = {
      dealstage: [...new Set(seed.pipelines.flatMap((pipeline) => pipeline.stages.map((stage) => stage.id)))],
      pipeline: seed.pipelines.map((pipeline) => pipeline.id),
      hubspot_owner_id: this.owners.map((owner) => owner.id),
      dealtype: [...new Set(['newbusiness', 'existingbusiness', ...seed.deals.flatMap((deal) => deal.type ?? [])])],
      deal_currency_code: [seed.currency],
    }
    this.properties = { deals: shipped('deals', choices), tasks: shipped('tasks', choices) }
    for (const deal of seed.deals) {
      const owner = this.owners.find((owner) => owner.email === deal.ownerEmail)
      const values: Record<string, string> = {
        dealname: deal.name,
        pipeline: deal.pipeline,
        dealstage: deal.stage,
        closedate: `${deal.closeDate}T00:00:00.000Z`,
        createdate: iso(deal.createdAt),
        deal_currency_code: seed.currency,
        ...(deal.amount === null ? {} : { amount: String(deal.amount) }),
        ...(owner ? { hubspot_owner_id: owner.id } : {}),
        ...(deal.category ? { hs_manual_forecast_category: CATEGORY[deal.category] } : {}),
        ...(deal.type ? { dealtype: deal.type } : {}),
      }
      const createdBy = this.source(deal.createdBy ?? 'person', owner?.id)
      const item = this.#add('deals', values, deal.createdAt, createdBy)
      item.lag = null
      for (const event of deal.events) this.#replay(item, event)
    }
  }

  #replay(item: Item, event: SeedEvent): void {
    const modified = event.at <= this.kernel.now() ? Math.max(item.modified, event.at) : item.modified
    if (event.kind === 'stage') {
      const pipeline = this.pipelineOf(item, event.to)
      this.change(item, { ...(pipeline ? { pipeline } : {}), dealstage: event.to }, event.by, event.at)
    } else if (event.kind === 'amount') this.change(item, { amount: String(event.to) }, event.by, event.at)
    else if (event.kind === 'close-date')
      this.change(item, { closedate: `${event.to}T00:00:00.000Z` }, event.by, event.at)
    else {
      const held = event.kind !== 'meeting' || event.held
      this.log(item, event.kind, event.at, held, event.kind === 'call' && event.outcome === 'incoming')
    }
    item.modified = modified
    item.lag = null
  }
  /** The pipeline a stage belongs to, the deal's own first. */
  pipelineOf(item: Item, stage: string): string | undefined {
    if (this.stage(item, stage)) return item.values.pipeline
    return [...this.#stages.values()].find(({ id }) => id === stage)?.pipeline
  }

  /** The source HubSpot notes; a person is the owner given, else the first user. */
  source(by: By, ownerId?: string): Source {
    if (by !== 'person') return sources[by]
    const userId = this.owners.find((owner) => owner.id === ownerId)?.userId ?? 7001
    return { sourceType: 'CRM_UI', sourceId: `userId:${userId}`, sourceLabel: null, updatedByUserId: userId }
  }

  stage(item: Pick<Item, 'values'>, id = item.values.dealstage): SeedStage | undefined {
    return this.#stages.get(`${item.values.pipeline}/${id}`)
  }

  #add(object: ObjectType, values: Record<string, string>, created: Instant, createdBy: Source): Item {
    const id = String(BASE[object] + this.items[object].length + 1)
    const item: Item = {
      ...{ object, id, values, created, createdBy, modified: created, archivedAt: null },
      ...{ history: new Map(), activities: [], linked: new Set(), lag: { until: this.#indexedAt(), shows: null } },
    }
    this.items[object].push(item)
    return item
  }
  /** A record made over the API; a task hangs on these deals. */
  create(object: ObjectType, values: Record<string, string>, dealIds: readonly string[]): Item {
    const now = this.kernel.now()
    const item = this.#add(object, values, now, OWN_SOURCE)
    for (const [name, value] of Object.entries(values)) this.#claim(name, value, item.id)
    for (const id of dealIds) {
      item.linked.add(id)
      this.live('deals', id)?.linked.add(item.id)
    }
    if (object === 'tasks') this.touchDeals(item)
    return item
  }
  /** Whatever happens to a task shows in the activity rollups of its deals. */
  touchDeals(task: Item): void {
    for (const id of task.linked) {
      const deal = this.live('deals', id)
      if (deal) this.log(deal, 'task', this.kernel.now())
    }
  }

  /** Sets values with their history. A version older than the newest one only fills the history in. */
  change(item: Item, values: Readonly<Record<string, string>>, by: By | 'self', at: Instant): void {
    this.#touch(item)
    const source = by === 'self' ? OWN_SOURCE : this.source(by, item.values.hubspot_owner_id)
    for (const [name, value] of Object.entries(values)) {
      const versions = this.versions(item, name)
      if ((versions[0]?.value ?? '') === value) continue
      const place = versions.findIndex((version) => version.timestamp <= at)
      versions.splice(place < 0 ? versions.length : place, 0, { value, timestamp: at, ...source })
      item.history.set(name, versions)
      this.#release(name, item)
      item.values[name] = versions[0]?.value ?? ''
      if (name === 'dealstage') delete item.values.hs_deal_stage_probability
      this.#claim(name, item.values[name], item.id)
    }
  }
  /** Newest first. */
  versions(item: Item, name: string): Version[] {
    const value = item.values[name]
    return (
      item.history.get(name) ?? (value === undefined ? [] : [{ value, timestamp: item.created, ...item.createdBy }])
    )
  }

  /** Logs an activity; a meeting at the same moment is replaced (held after all, or cancelled). */
  log(item: Item, kind: Activity['kind'], at: Instant, held = true, inbound = false): string {
    this.#touch(item)
    const booked =
      kind === 'meeting' ? item.activities.find((other) => other.kind === kind && other.at === at) : undefined
    if (booked) item.activities = item.activities.filter((other) => other !== booked)
    this.#lastActivity += 1
    const id = booked?.id ?? this.#lastActivity
    if (!booked || held) item.activities.push({ kind, at, id, held, inbound })
    return String(id)
  }
  archive(item: Item): void {
    this.#touch(item)
    item.archivedAt = this.kernel.now()
    for (const name of Object.keys(item.values)) this.#release(name, item)
  }
  dropProperty(object: ObjectType, name: string): boolean {
    if (!this.properties[object].delete(name)) return false
    for (const item of this.items[object]) {
      delete item.values[name]
      item.history.delete(name)
    }
    this.#unique.delete(name)
    return true
  }

  /** The live record, or undefined. */
  live(object: ObjectType, id: string): Item | undefined {
    const item = /^\d+$/.test(id) ? this.items[object][Number(id) - BASE[object] - 1] : undefined
    return item?.archivedAt === null ? item : undefined
  }
  /** Records behind this id, archived ones too, in order of ids. */
  *after(object: ObjectType, id: number): Iterable<Item> {
    const items = this.items[object]
    for (let at = Math.max(0, id - BASE[object]); at < items.length; at += 1) {
      const item = items[at]
      if (item) yield item
    }
  }
  /** The id of the live task that holds this value of a unique property. */
  holder(name: string, value: string): string | undefined {
    return this.#unique.get(name)?.get(value)
  }
  #claim(name: string, value: string, id: string): void {
    if (value === '' || !this.properties.tasks.get(name)?.hasUniqueValue) return
    const held = this.#unique.get(name) ?? new Map<string, string>()
    this.#unique.set(name, held.set(value, id))
  }
  #release(name: string, item: Item): void {
    const held = this.#unique.get(name)
    if (held?.get(item.values[name] ?? '') === item.id) held.delete(item.values[name] ?? '')
  }

  #indexedAt(): number {
    return this.kernel.monotonic() + this.options.searchLagMs
  }
  /** Before every change: the index goes on showing what was, and the record counts as modified. */
  #touch(item: Item): void {
    if (this.options.searchLagMs > 0) {
      const { values, modified, archivedAt } = this.indexed(item) ?? { values: null, modified: 0, archivedAt: null }
      item.lag = { until: this.#indexedAt(), shows: values && { values: { ...values }, modified, archivedAt } }
    }
    item.modified = this.kernel.now()
  }
  /** What search sees. */
  indexed(item: Item): Pick<Item, 'values' | 'modified' | 'archivedAt'> | null {
    return item.lag && this.kernel.monotonic() < item.lag.until ? item.lag.shows : item
  }

  /** One value as HubSpot shows it: computed ones first. Undefined: never set. `shown`: the search index's copy. */
  read(item: Item, name: string, shown: Pick<Item, 'values' | 'modified'> = item): string | undefined {
    const computed = COMPUTED[name]
    if (computed) return computed(this, item, shown)
    const formula = this.properties[item.object].get(name)?.formula
    if (!formula) return shown.values[name]
    const value = formula((other) => this.read(item, other, shown) ?? '')
    return value === null ? undefined : String(value)
  }
}

type Computed = (store: Store, item: Item, shown: Pick<Item, 'values' | 'modified'>) => string | undefined
const date = (at: Instant) => (Number.isFinite(at) ? iso(at) : undefined)
/** The newest past activity of these kinds. HubSpot's rollups do not tell who took part. */
const latest = (...kinds: Activity['kind'][]): Computed => {
  return (store, item) => date(newest(store, item, kinds))
}
function newest(store: Store, item: Item, kinds: readonly Activity['kind'][]): Instant {
  let found = Number.NEGATIVE_INFINITY
  for (const { kind, at, held } of item.activities)
    if (held && at > found && at <= store.kernel.now() && kinds.includes(kind)) found = at
  return found
}
const nextMeeting = (store: Store, item: Item) =>
  item.activities
    .filter((activity) => activity.kind === 'meeting' && activity.at > store.kernel.now())
    .sort((a, b) => a.at - b.at)[0]
const count =
  (wanted: (activity: Activity) => boolean): Computed =>
  (_, item) =>
    String(item.activities.filter(wanted).length)
const probability: Computed = (store, _, shown) =>
  shown.values.hs_deal_stage_probability ?? String(store.stage(shown)?.probability ?? '')
const times = (a: string | undefined, b: string | undefined) => (a && b ? String(Number(a) * Number(b)) : undefined)
const entered: Computed = (store, item) => {
  const versions = store.versions(item, 'dealstage')
  return date(versions[0]?.timestamp ?? Number.NaN)
}

const COMPUTED: Readonly<Record<string, Computed>> = {
  hs_object_id: (_, item) => item.id,
  hs_createdate: (_, item) => iso(item.created),
  /** A meeting that takes place moves a rollup, and so counts as a modification then. */
  hs_lastmodifieddate: (store, item, shown) => iso(Math.max(shown.modified, newest(store, item, ['meeting']))),
  hs_object_source_label: (_, item) => item.createdBy.sourceType,
  hs_object_source: (_, item) => item.createdBy.sourceType,
  hs_is_closed: (store, _, shown) => String([0, 1].includes(store.stage(shown)?.probability ?? -1)),
  hs_is_closed_won: (store, _, shown) => String(store.stage(shown)?.probability === 1),
  hs_is_closed_lost: (store, item, shown) => String(Number(probability(store, item, shown) || 1) <= 0),
  hs_deal_stage_probability: probability,
  amount_in_home_currency: (_, _item, shown) => shown.values.amount,
  hs_forecast_amount: (_, _item, shown) => times(shown.values.hs_forecast_probability || '1', shown.values.amount),
  hs_projected_amount: (store, item, shown) => times(probability(store, item, shown), shown.values.amount),
  hs_v2_date_entered_current_stage: entered,
  hs_sales_email_last_replied: latest('reply'),
  hs_latest_meeting_activity: latest('meeting'),
  notes_last_contacted: latest('reply', 'meeting', 'call'),
  notes_last_updated: latest('reply', 'meeting', 'call', 'note', 'task'),
  num_notes: count(() => true),
  hs_number_of_inbound_calls: count(({ inbound }) => inbound),
  hs_next_meeting_start_time: (store, item) => date(nextMeeting(store, item)?.at ?? Number.NaN),
  hs_next_meeting_id: (store, item) => nextMeeting(store, item)?.id.toString(),
  /** Open tasks count as planned activities, our own too. */
  notes_next_activity_date: (store, item) => {
    const open = [...item.linked].flatMap((id) => {
      const task = store.live('tasks', id)
      return task && task.values.hs_task_status !== 'COMPLETED' ? Date.parse(task.values.hs_timestamp ?? '') : []
    })
    const planned = [...open, nextMeeting(store, item)?.at ?? Number.NaN].filter((at) => at > store.kernel.now())
    return date(Math.min(...planned))
  },
}
