// Reading: the first sync by id, later nights by SystemModstamp, and the evidence beside it. A page carries the cursor
// with which a later pull goes on after it; everything may come twice, nothing may be left out.
import { z } from 'zod'
import { chunks } from '../../src/batches.ts'
import type { ConnectorOptions, Cursor, Page } from '../../src/connector.ts'
import type { Activity, BookedMeeting, Change, Deal, DealId, Instant } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { gather, READ_BATCH } from './api.ts'
import { type Lens, nextMeetings, toChanges, toDeal, toMeeting, toReply, toTaskActivity } from './map.ts'
import type { Org, SObject } from './org.ts'
import { Email, Event, History, Opportunity, type Row, sort, Task } from './wire.ts'

/** Rows commit late and clocks differ: each delta looks back this far. */
const OVERLAP_MS = 10 * 60_000
/** Ids per `IN (…)`: 23 bytes each stay well below the 16 kB that Salesforce allows for address and headers. */
const IN_CHUNK = 500
/** Pages of a first sync whose evidence is read together, so that its pages are full as well. */
const GROUP = 3
/** Deals that are handed on at once. */
const SLICE = 500
/** A malformed one is quarantined; asked for, Salesforce would refuse the whole query. */
const DEAL_ID = /^006[0-9A-Za-z]{12,15}$/
const DAY_MS = 86_400_000
/** A meeting protects when it lies within ten working days: this covers them with any holidays. */
const AHEAD_MS = 45 * DAY_MS
const TWO_YEARS_MS = 731 * DAY_MS

/** `since`: start of the last complete pull; null: never. `until`, `after`: start of one not complete, and how far it got. */
const Place = z.object({ since: z.number().nullable(), until: z.number().optional(), after: z.string().optional() })
type Place = z.infer<typeof Place>

type Said = Change | Activity | BookedMeeting | null
const each =
  <T>(say: (row: T, lens: Lens, now: Instant) => Said) =>
  (rows: T[], lens: Lens, now: Instant) =>
    rows.map((row) => say(row, lens, now))

/** An object that holds evidence: the field that names the deal, which rows count, and what those of a deal say. */
function source<T>(
  object: SObject,
  of: string,
  only: string,
  schema: z.ZodType<T>,
  say: (rows: T[], lens: Lens, now: Instant) => Said[],
) {
  /** Takes rows page by page and keeps what is used of them; says in the end what those of each deal say. */
  const reader = (lens: Lens, now: Instant) => {
    const byDeal = new Map<DealId, T[]>()
    const unreadable: { deal: DealId; problem: string }[] = []
    return {
      unreadable,
      take(rows: readonly Row[]) {
        for (const [deal, some] of Map.groupBy(rows, (row) => String(row[of]))) {
          // Activities hang on other records too: those are not ours to judge.
          if (!deal.startsWith('006')) continue
          const { good, bad } = sort(schema, some, of)
          byDeal.set(deal, [...(byDeal.get(deal) ?? []), ...good])
          unreadable.push(...bad)
        }
      },
      *said() {
        for (const [deal, rows] of byDeal) yield [deal, say(rows, lens, now)] as const
      },
    }
  }
  return { object, of, only, reader }
}
const HISTORY = source('OpportunityHistory', 'OpportunityId', '', History, toChanges)
const EVENT = source('Event', 'WhatId', '', Event, each(toMeeting))
const ACTIVITIES = [
  EVENT,
  source('Task', 'WhatId', ' AND IsClosed = true', Task, each(toTaskActivity)),
  source('EmailMessage', 'RelatedToId', ' AND Incoming = true', Email, each(toReply)),
]

const iso = (at: Instant) => new Date(at).toISOString()
const day = (at: Instant) => iso(at).slice(0, 10)
const among = (ids: readonly string[]) => `IN (${ids.map((id) => `'${id}'`).join(',')})`

/** Reading at `now` (Salesforce's clock): what lies before it has happened. */
export function createReading(
  { select, retrieve }: Org,
  lens: Lens,
  now: Instant,
  signal: AbortSignal,
  known?: ConnectorOptions['known'],
) {
  const rowsOf = async (object: SObject, where: string, options?: Parameters<typeof select>[3]) =>
    (await gather(select(object, `WHERE ${where}`, signal, options))).flatMap(({ records }) => records)

  /** The next booked meeting of each deal. */
  async function meetings() {
    const where = `WhatId != null AND ActivityDate >= ${day(now - DAY_MS)} AND ActivityDate <= ${day(now + AHEAD_MS)}`
    return nextMeetings(sort(Event, await rowsOf('Event', where), 'WhatId').good, lens, now)
  }

  /** What `sources` say by deal, for each of the conditions. */
  async function evidence(sources: (typeof HISTORY)[], conditions: ((of: string) => string)[], all = false) {
    const told = new Map<DealId, { deal: DealId; changes: Change[]; activities: Activity[] }>()
    const unreadable: { deal: DealId; problem: string }[] = []
    const look = async ({ object, of, only, reader }: typeof HISTORY, condition: (of: string) => string) => {
      const rows = reader(lens, now)
      const where = `WHERE ${condition(of)}${only}`
      for await (const { records } of select(object, where, signal, { all })) rows.take(records)
      for (const [deal, said] of rows.said()) {
        const one = told.get(deal) ?? { deal, changes: [], activities: [] }
        one.changes.push(...said.filter((each) => each !== null && 'field' in each))
        one.activities.push(...said.filter((each) => each !== null && 'kind' in each))
        told.set(deal, one)
      }
      unreadable.push(...rows.unreadable)
    }
    await Promise.all(sources.flatMap((source) => conditions.map((condition) => look(source, condition))))
    return { told, unreadable }
  }

  function toDeals(rows: readonly Row[], booked: ReadonlyMap<DealId, BookedMeeting>) {
    const { good, bad } = sort(Opportunity, rows, 'Id')
    const live = good.filter(({ IsDeleted }) => !IsDeleted)
    // Overlapping pages: the last one of a deal is the newest.
    const deals = new Map<DealId, Deal>(live.map((row) => [row.Id, toDeal(row, lens, booked.get(row.Id) ?? null)]))
    return { deals: [...deals.values()], gone: good.filter(({ IsDeleted }) => IsDeleted).map(({ Id }) => Id), bad }
  }

  /** Everything since `since` (null: the first sync), going on after `after`. Its last page says that `until` is reached. */
  async function* walk({ since, until, after }: Place & { until: Instant }): AsyncGenerator<Page> {
    const changed = `SystemModstamp >= ${iso((since ?? 0) - OVERLAP_MS)}`
    // Nothing is saved when an event's time comes: those held since then, and those that have come into reach.
    const came = [0, AHEAD_MS].map((ahead) => (of: string) => {
      const [from, to] = [day((since ?? now) + ahead - DAY_MS), day(now + ahead)]
      return `${of} != null AND ActivityDate >= ${from} AND ActivityDate <= ${to}`
    })
    const [booked, due, fresh, moved] = await Promise.all([
      meetings(),
      evidence(since === null ? [] : [EVENT], came),
      evidence(since === null ? [] : ACTIVITIES, [(of) => `${of} != null AND ${changed}`], true),
      since === null ? [] : rowsOf('OpportunityHistory', changed, { only: 'OpportunityId' }),
    ])
    const history = new Set(moved.map((row) => String(row.OpportunityId)))
    // A meeting that was booked, moved or cancelled changes its deal, whether or not the deal's own stamp moved.
    const left = new Set([...history, ...due.told.keys(), ...fresh.told.keys()])

    async function* pages() {
      const recent = `(IsClosed = false OR CloseDate >= ${day(now - TWO_YEARS_MS)})`
      const [key, where] =
        since === null
          ? ['Id', after ? `${recent} AND Id > '${after}'` : recent]
          : ['SystemModstamp', after ? `SystemModstamp >= ${after}` : changed]
      const tail = `WHERE ${where} ORDER BY ${key}`
      for await (const page of select('Opportunity', tail, signal, { all: since !== null })) {
        after = String(page.records.at(-1)?.[key] ?? after ?? '').replace('+0000', 'Z')
        yield page
      }
      for (const ids of chunks([...left], IN_CHUNK)) yield* select('Opportunity', `WHERE Id ${among(ids)}`, signal)
    }

    let read = 0
    const place = (): Place => ({ since, until, after })
    function* told(
      rows: readonly Row[],
      { told, unreadable }: Awaited<ReturnType<typeof evidence>>,
      total: number | null,
      before: Place,
    ): Generator<Page> {
      const { deals, gone, bad } = toDeals(rows, booked)
      const rest = new Map(told)
      const slices = deals.length > 0 ? chunks(deals, SLICE) : [[]]
      read += rows.length
      for (const [n, some] of slices.entries()) {
        const last = n === slices.length - 1
        const of = some.flatMap(({ id }) => rest.get(id) ?? [])
        for (const { deal } of of) rest.delete(deal)
        yield {
          deals: some,
          // Evidence of other deals comes with the last slice.
          evidence: last ? [...of, ...rest.values()] : of,
          gone: last ? gone : [],
          unreadable: last ? [...bad, ...unreadable] : [],
          cursor: JSON.stringify(last ? place() : before),
          read: read - rows.length + Math.round((rows.length * (n + 1)) / slices.length),
          total,
        }
      }
    }

    if (since === null) {
      // By ranges of ids, as Salesforce itself orders them; history also of deals in between that were closed long ago
      // would be as much again.
      const recently = `(Opportunity.IsClosed = false OR Opportunity.CloseDate >= ${day(now - TWO_YEARS_MS)})`
      let before = place()
      for await (const { rows, total } of grouped(pages())) {
        const good = rows.map(({ Id }) => String(Id)).filter((id) => DEAL_ID.test(id))
        const range = (of: string) => `${of} >= '${good[0]}' AND ${of} <= '${good.at(-1)}'`
        const [changes, activities] = await Promise.all([
          evidence(good.length > 0 ? [HISTORY] : [], [(of) => `${range(of)} AND ${recently}`]),
          evidence(good.length > 0 ? ACTIVITIES : [], [range]),
        ])
        for (const [deal, { activities: some }] of activities.told) {
          const one = changes.told.get(deal)
          if (one) one.activities.push(...some)
          else changes.told.set(deal, { deal, changes: [], activities: some })
        }
        const ids = new Set(rows.map(({ Id }) => String(Id)))
        for (const deal of changes.told.keys()) if (!ids.has(deal)) changes.told.delete(deal)
        const unreadable = [...changes.unreadable, ...activities.unreadable].filter(({ deal }) => ids.has(deal))
        yield* told(rows, { told: changes.told, unreadable }, total, before)
        before = place()
      }
    } else {
      let before = place()
      for await (const { records } of pages()) {
        const { deals } = toDeals(records, booked)
        for (const { id } of deals) left.delete(id)
        // History is read whole: a snapshot means nothing without the one before.
        const ids = deals.map(({ id }) => id)
        // Never seen, though it may be old (it was unreadable so far): all that ever happened counts.
        const seen = await known?.(ids)
        const unseen = ids.filter((id) => seen && !seen.has(id))
        const changed = ids.filter((id) => history.delete(id) && !unseen.includes(id))
        const of = (some: DealId[]) => chunks(some, IN_CHUNK).map((few) => (of: string) => `${of} ${among(few)}`)
        const both = [evidence([HISTORY, ...ACTIVITIES], of(unseen)), evidence([HISTORY], of(changed))] as const
        const [whole, part] = await Promise.all(both)
        const all = {
          told: new Map([...whole.told, ...part.told]),
          unreadable: [...whole.unreadable, ...part.unreadable],
        }
        yield* told(records, all, null, before)
        before = place()
      }
    }
    // A page tells of a deal once.
    for (const { told, unreadable } of [due, fresh]) {
      const cursor = JSON.stringify((told === fresh.told ? { since: until } : place()) satisfies Place)
      yield { deals: [], evidence: [...told.values()], gone: [], unreadable, cursor, read, total: null }
    }
  }

  /** `mark`: where the next pull starts; never beyond Salesforce's own clock, or what comes until then is missed. */
  async function* pull(cursor: Cursor | null, mark: Instant): AsyncGenerator<Page> {
    const place = cursor === null ? { since: null } : parse(cursor)
    const { until } = place
    // What was interrupted is finished first; what changed meanwhile follows.
    if (until !== undefined) yield* walk({ ...place, until })
    yield* walk({ since: until ?? place.since, until: mark })
  }

  async function read(ids: readonly DealId[]) {
    const result = new Map<DealId, Deal | 'gone' | 'unreadable'>(ids.map((id) => [id, 'unreadable']))
    const valid = ids.filter((id) => /^006[A-Za-z0-9]{12,15}$/.test(id))
    if (valid.length === 0) return result
    for (const some of chunks(valid, READ_BATCH))
      for (const deal of toDeals(await retrieve(some, signal), new Map()).deals) result.set(deal.id, deal)
    const missing = valid.filter((id) => result.get(id) === 'unreadable')
    for (const some of chunks(missing, IN_CHUNK)) {
      const where = `IsDeleted = true AND Id ${among(some)}`
      for (const row of await rowsOf('Opportunity', where, { all: true, only: 'Id' }))
        result.set(String(row.Id), 'gone')
    }
    return result
  }

  return { pull, read }
}

/** So many pages at a time; the next one is asked for when the last of a group has been worked on. */
async function* grouped(pages: AsyncIterable<{ readonly records: Row[]; readonly totalSize: number }>) {
  let rows: Row[] = []
  let [count, total] = [0, 0]
  for await (const { records, totalSize } of pages) {
    rows.push(...records)
    total = totalSize
    if (++count % GROUP > 0) continue
    if (rows.length > 0) yield { rows, total }
    rows = []
  }
  if (rows.length > 0) yield { rows, total }
}

function parse(cursor: string): Place {
  try {
    return Place.parse(JSON.parse(cursor))
  } catch (cause) {
    throw new Fatal('data', 'the stored place of the last sync is not readable: sync this connection anew', { cause })
  }
}
