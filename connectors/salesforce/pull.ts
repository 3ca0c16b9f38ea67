// Reading: the first sync by id, later nights by SystemModstamp, and the evidence beside it. A page carries the cursor
// with which a later pull goes on after it; everything may come twice, nothing may be left out.
import { z } from 'zod'
import { chunks } from '../../src/batches.ts'
import type { ConnectorOptions, Cursor, Page } from '../../src/connector.ts'
import type { Activity, BookedMeeting, Change, Deal, DealId, Instant } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { READ_BATCH } from './api.ts'
import { ahead, beside, inOrder, Unsorted } from './beside.ts'
import { type Lens, nextMeeting, toChanges, toDeal, toMeeting, toReply, toTaskActivity } from './map.ts'
import type { Org, SObject } from './org.ts'
import { DEAL_ID, Email, Event, History, Opportunity, type Row, sort, Task } from './wire.ts'

/** Rows commit late and clocks differ: each delta looks back this far. */
const OVERLAP_MS = 10 * 60_000
/** Deals handed on at once; as ids of an `IN (…)`, 23 bytes each, well below the 16 kB allowed for address and headers. */
const SLICE = 500
const DAY_MS = 86_400_000
/** A meeting protects when it lies within ten working days: this covers them with any holidays. */
const AHEAD_MS = 45 * DAY_MS
/** So many deals with new history are held by their ids, 0.1 kB each; after a mass edit every changed deal counts as one. */
const MOST_MOVED = 100_000
const STAMP = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+0000)$/
const TWO_YEARS_MS = 731 * DAY_MS

/** `since`: start of the last complete pull; null: never. `until`, `after`: start of one not complete, and how far it got.
 *  `next`: the deals of the evidence to come. `unsorted`: this org does not sort ids as we compare them. */
const Place = z.object({
  since: z.number().nullable(),
  until: z.number().optional(),
  after: z.string().optional(),
  next: z.record(z.string(), z.string()).optional(),
  unsorted: z.literal(true).optional(),
})
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
const ALL = [HISTORY, ...ACTIVITIES]
type Source = typeof HISTORY

const iso = (at: Instant) => new Date(at).toISOString()
const day = (at: Instant) => iso(at).slice(0, 10)
/** The last value of a key that is not malformed: how far these rows reach. */
const endOf = (rows: readonly Row[], key: string, form: RegExp) =>
  rows.map((row) => String(row[key])).findLast((value) => form.test(value))
const among = (ids: readonly string[]) => `IN (${ids.map((id) => `'${id}'`).join(',')})`

/** Reading at `now` (Salesforce's clock): what lies before it has happened. */
export function createReading(
  { select, retrieve }: Pick<Org, 'select' | 'retrieve'>,
  lens: Lens,
  now: Instant,
  given: AbortSignal,
  known?: ConnectorOptions['known'],
) {
  /** Ends the queries beside one that failed. */
  const quit = new AbortController()
  const signal = AbortSignal.any([given, quit.signal])
  /** What the rows of `sources` say by deal: evidence, and the meeting that is booked next. */
  async function heard(sources: readonly Source[], rowsOf: (source: Source) => AsyncIterable<readonly Row[]>) {
    const told = new Map<DealId, { deal: DealId; changes: Change[]; activities: Activity[] }>()
    const booked = new Map<DealId, BookedMeeting>()
    const hear = async (source: Source) => {
      const reader = source.reader(lens, now)
      for await (const rows of rowsOf(source)) reader.take(rows)
      for (const [deal, said] of reader.said()) {
        const { changes, activities } = told.get(deal) ?? { changes: [], activities: [] }
        const changed = said.filter((each) => each !== null && 'field' in each)
        const done = said.filter((each) => each !== null && 'kind' in each)
        // Not by `push(...)`: a call takes no more than some 100,000 arguments.
        told.set(deal, { deal, changes: [...changes, ...changed], activities: [...activities, ...done] })
        const ahead = said.filter((each) => each !== null && 'series' in each)
        const meeting = nextMeeting(ahead.filter(({ at }) => at <= now + AHEAD_MS))
        if (meeting) booked.set(deal, meeting)
      }
      return reader.unreadable
    }
    const unreadable = (await Promise.all(sources.map(hear))).flat()
    return { told, booked, unreadable }
  }
  const evidence = (sources: readonly Source[], condition: (of: string) => string, all = false) =>
    heard(sources, async function* ({ object, of, only }) {
      for await (const { records } of select(object, `WHERE ${condition(of)}${only}`, signal, { all })) yield records
    })
  const ofDeals = (sources: readonly Source[], ids: readonly DealId[]) =>
    evidence(ids.length > 0 ? sources : [], (of) => `${of} ${among(ids)}`)

  function toDeals(rows: readonly Row[], booked: ReadonlyMap<DealId, BookedMeeting>) {
    const { good, bad } = sort(Opportunity, rows, 'Id')
    const live = good.filter(({ IsDeleted }) => !IsDeleted)
    // Overlapping pages: the last one of a deal is the newest.
    const deals = new Map<DealId, Deal>(live.map((row) => [row.Id, toDeal(row, lens, booked.get(row.Id) ?? null)]))
    return { deals: [...deals.values()], gone: good.filter(({ IsDeleted }) => IsDeleted).map(({ Id }) => Id), bad }
  }

  /** The first sync, by id: what each kind of evidence holds comes beside the deals, in the same order. */
  async function* first({ after, next = {}, ...rest }: Place & { until: Instant }): AsyncGenerator<Page> {
    const recent = (of: string) => `(${of}IsClosed = false OR ${of}CloseDate >= ${day(now - TWO_YEARS_MS)})`
    const from = (of: string) => (after ? `${of} > '${after}'` : `${of} >= '006000000000000'`)
    // Ids of opportunities, as a range: of a meeting with an account there is nothing to judge.
    const side = ({ object, of, only }: Source) => {
      // History of deals in between that were closed long ago would be as much again.
      const which = object === 'OpportunityHistory' ? ` AND ${recent('Opportunity.')}` : only
      const tail = `WHERE ${from(of)} AND ${of} <= '006zzzzzzzzzzzz'${which} ORDER BY ${of}`
      const pages = select(object, tail, signal)
      // The longest of them sets the pace; of the others a page ahead would cost more memory than time.
      const paced = object === 'OpportunityHistory' ? ahead(pages) : pages
      return [object, beside(paced, of, after, next[object])] as const
    }
    const tail = `WHERE ${recent('')} AND ${from('Id')} ORDER BY Id`
    const sides = new Map(rest.unsorted ? [] : ALL.map(side))
    const check = inOrder(after)
    let read = 0
    try {
      for await (const { records, totalSize: total, done } of ahead(select('Opportunity', tail, signal))) {
        const slices = chunks(records, SLICE)
        for (const [n, rows] of slices.entries()) {
          const ids = rows.map(({ Id }) => String(Id)).filter((id) => DEAL_ID.test(id))
          if (!rest.unsorted) check(ids)
          after = ids.at(-1) ?? after
          const reach = done && n === slices.length - 1 ? null : (after ?? '')
          const these = new Set(ids)
          const { told, booked, unreadable } = rest.unsorted
            ? await ofDeals(ALL, ids)
            : await heard(ALL, async function* ({ object, of }) {
                for await (const rows of sides.get(object)?.upTo(reach) ?? [])
                  yield rows.filter((row) => these.has(String(row[of])))
              })
          const ahead = [...sides].flatMap(([object, side]) => (side.next() ? [[object, side.next()]] : []))
          const cursor = JSON.stringify({ ...rest, after, next: Object.fromEntries(ahead) } satisfies Place)
          const { deals, bad } = toDeals(rows, booked)
          read += rows.length
          const evidence = [...told.values()]
          yield { deals, evidence, gone: [], unreadable: [...bad, ...unreadable], cursor, read, total }
        }
      }
    } finally {
      for (const { close } of sides.values()) await close()
    }
  }

  /** Later nights: everything since `since`, going on after `after`. */
  async function* later({ since, until, after }: { since: Instant; until: Instant; after?: string | undefined }) {
    const horizon = since - OVERLAP_MS
    const changed = `SystemModstamp >= ${iso(horizon)}`
    // Nothing is saved when an event's time comes: those held since then, and those that have come into reach.
    const came = (date: string) =>
      [0, AHEAD_MS].some((ahead) => date >= day(since + ahead - DAY_MS) && date <= day(now + ahead))
    const dates = `WhatId != null AND ActivityDate >= ${day(since - DAY_MS)} AND ActivityDate <= ${day(now + AHEAD_MS)}`
    const dated = async () => {
      const due = new Set<DealId>()
      const all = await heard([EVENT], async function* () {
        for await (const { records } of select('Event', `WHERE ${dates}`, signal)) {
          for (const row of records) if (came(String(row.ActivityDate))) due.add(String(row.WhatId))
          yield records
        }
      })
      const told = new Map([...all.told].filter(([deal]) => due.has(deal)))
      return [all.booked, { told, unreadable: all.unreadable.filter(({ deal }) => due.has(deal)) }] as const
    }
    /** Null: too many. What writes history also moves the stamp of its deal. */
    const moved = async () => {
      const ids = new Set<DealId>()
      const pages = select('OpportunityHistory', `WHERE ${changed}`, signal, { only: 'OpportunityId' })
      for await (const { records, totalSize } of pages) {
        if (totalSize > MOST_MOVED) return null
        for (const { OpportunityId } of records) ids.add(String(OpportunityId))
      }
      return ids
    }
    const [[booked, due], fresh, history] = await Promise.all([
      dated(),
      evidence(ACTIVITIES, (of) => `${of} != null AND ${changed}`, true),
      moved(),
    ])
    // A meeting that was booked, moved or cancelled changes its deal, whether or not the deal's own stamp moved.
    const touched = [...(history ?? []), ...due.told.keys(), ...fresh.told.keys()]
    const left = new Set(touched.filter((id) => DEAL_ID.test(id)))

    async function* pages() {
      const tail = `WHERE ${after ? `SystemModstamp >= ${after}` : changed} ORDER BY SystemModstamp`
      for await (const { records } of ahead(select('Opportunity', tail, signal, { all: true }))) {
        after = endOf(records, 'SystemModstamp', STAMP)?.replace('+0000', 'Z') ?? after
        yield records
      }
      for (const ids of chunks([...left], SLICE))
        for await (const { records } of select('Opportunity', `WHERE Id ${among(ids)}`, signal)) yield records
    }
    let read = 0
    const place = () => JSON.stringify({ since, until, ...(after && { after }) } satisfies Place)
    let before = place()
    for await (const rows of pages()) {
      const { deals, gone, bad } = toDeals(rows, booked)
      for (const { id } of deals) left.delete(id)
      const seen = await known?.(deals.map(({ id }) => id))
      // Never seen, though it is old (it was unreadable so far): all that ever happened counts.
      const unseen = (deal: Deal) => seen && !seen.has(deal.id) && deal.createdAt < horizon
      const whole = deals.filter(unseen).map(({ id }) => id)
      // History is read whole: a snapshot means nothing without the one before.
      const moves = ({ id }: Deal) => history === null || history.delete(id)
      const part = deals.flatMap((deal) => (moves(deal) && !unseen(deal) ? [deal.id] : []))
      const found = await Promise.all([
        ...chunks(whole, SLICE).map((ids) => ofDeals(ALL, ids)),
        ...chunks(part, SLICE).map((ids) => ofDeals([HISTORY], ids)),
      ])
      const told = new Map(found.flatMap((one) => [...one.told]))
      const slices = deals.length > 0 ? chunks(deals, SLICE) : [[]]
      for (const [n, some] of slices.entries()) {
        const last = n === slices.length - 1
        read += last ? rows.length - n * SLICE : SLICE
        yield {
          ...{ deals: some, evidence: some.flatMap(({ id }) => told.get(id) ?? []), gone: last ? gone : [] },
          unreadable: last ? [...bad, ...found.flatMap(({ unreadable }) => unreadable)] : [],
          ...{ cursor: last ? place() : before, read, total: null },
        }
      }
      before = place()
    }
    // A page tells of a deal once.
    for (const { told, unreadable } of [due, fresh])
      yield { deals: [], evidence: [...told.values()], gone: [], unreadable, cursor: place(), read, total: null }
  }

  /** `mark`: where the next pull starts; never beyond Salesforce's own clock, or what comes until then is missed. */
  async function* pull(cursor: Cursor | null, mark: Instant): AsyncGenerator<Page> {
    const place = cursor === null ? { since: null } : parse(cursor)
    const { until } = place
    // What was interrupted is finished first; what changed meanwhile follows.
    if (until !== undefined) yield* walk({ ...place, until })
    yield* walk({ since: until ?? place.since, until: mark })
  }

  /** Its last page says that `until` is reached. */
  async function* walk(place: Place & { until: Instant }): AsyncGenerator<Page> {
    const { since, until } = place
    let read = 0
    const told = async function* (pages: AsyncIterable<Page>) {
      for await (const page of ahead(pages)) {
        read = page.read
        yield page
      }
    }
    try {
      yield* told(since === null ? first(place) : later({ ...place, since }))
    } catch (error) {
      if (!(error instanceof Unsorted)) quit.abort(error)
      quit.signal.throwIfAborted()
      // What came so far may lack evidence: from the start, and asked for by the ids of deals.
      yield* told(first({ since, until, unsorted: true }))
    }
    const cursor = JSON.stringify({ since: until } satisfies Place)
    yield { deals: [], evidence: [], gone: [], unreadable: [], cursor, read, total: null }
  }

  async function read(ids: readonly DealId[]) {
    const result = new Map<DealId, Deal | 'gone' | 'unreadable'>(ids.map((id) => [id, 'unreadable']))
    const valid = ids.filter((id) => DEAL_ID.test(id))
    if (valid.length === 0) return result
    for (const some of chunks(valid, READ_BATCH))
      for (const deal of toDeals(await retrieve(some, signal), new Map()).deals) result.set(deal.id, deal)
    const missing = valid.filter((id) => result.get(id) === 'unreadable')
    for (const some of chunks(missing, SLICE)) {
      const where = `WHERE IsDeleted = true AND Id ${among(some)}`
      for await (const { records } of select('Opportunity', where, signal, { all: true, only: 'Id' }))
        for (const { Id } of records) result.set(String(Id), 'gone')
    }
    return result
  }

  return { pull, read }
}

function parse(cursor: string): Place {
  try {
    return Place.parse(JSON.parse(cursor))
  } catch (cause) {
    throw new Fatal('data', 'the stored place of the last sync is not readable: sync this connection anew', { cause })
  }
}
