// Reading: the first sync by id, later nights by SystemModstamp, and the evidence beside it. A page carries the cursor
// with which a later pull goes on after it; everything may come twice, nothing may be left out.
import { z } from 'zod'
import type { Cursor, Page } from '../../src/connector.ts'
import type { Activity, BookedMeeting, Change, Deal, DealId, Evidence, Instant } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { type Lens, nextMeetings, toChanges, toDeal, toMeeting, toReply, toTaskActivity } from './map.ts'
import { Email, Event, History, Opportunity, Task } from './wire.ts'

/** Rows commit late and clocks differ: each delta looks back this far. */
const OVERLAP_MS = 10 * 60_000
/** Ids per `IN (…)`: 23 bytes each stay well below the 16 kB that Salesforce allows for address and headers. */
export const IN_CHUNK = 500
/** A meeting protects when it lies within ten working days: this covers them with any holidays. */
const AHEAD_MS = 45 * 86_400_000
const DAY_MS = 86_400_000
const TWO_YEARS_MS = 731 * DAY_MS

/** `SELECT <what this org shows> FROM object …`, in pages; no pages where the org lacks the object. */
export type Select = (
  object: 'Opportunity' | 'OpportunityHistory' | 'Event' | 'Task' | 'EmailMessage',
  tail: string,
  signal: AbortSignal,
  options?: { readonly all?: boolean; readonly only?: string },
) => AsyncIterable<{ readonly records: readonly Record<string, unknown>[]; readonly totalSize: number }>

/** `since`: start of the last complete pull (evidence, deletions). `after`: id the first sync got to. `from`: the delta. */
const Place = z.object({ since: z.number(), after: z.string().optional(), from: z.number().optional() })
type Place = z.infer<typeof Place>

const iso = (at: Instant) => new Date(at).toISOString()
const day = (at: Instant) => iso(at).slice(0, 10)
export const among = (ids: readonly string[]) => `(${ids.map((id) => `'${id}'`).join(',')})`

export function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, at) => all.slice(at * size, (at + 1) * size))
}

/** Good rows of a type, and what is wrong with the others, by the id in `owner`. */
export function sort<T>(schema: z.ZodType<T>, rows: readonly Record<string, unknown>[], owner: string) {
  const good: T[] = []
  const bad: { deal: DealId; problem: string }[] = []
  for (const row of rows) {
    const parsed = schema.safeParse(row)
    if (parsed.success) good.push(parsed.data)
    else {
      const [issue] = parsed.error.issues
      bad.push({ deal: String(row[owner] ?? '?'), problem: `${issue?.path.join('.')}: ${issue?.message}` })
    }
  }
  return { good, bad }
}

export function createPull(select: Select, lens: Lens) {
  async function gather<T>(
    schema: z.ZodType<T>,
    object: Parameters<Select>[0],
    owner: string,
    tail: string,
    signal: AbortSignal,
    all = false,
  ) {
    const found = { good: [] as T[], bad: [] as { deal: DealId; problem: string }[] }
    for await (const page of select(object, tail, signal, { all })) {
      const { good, bad } = sort(schema, page.records, owner)
      found.good.push(...good)
      // Activities hang on other objects too: those are not ours to judge.
      found.bad.push(...bad.filter(({ deal }) => deal.startsWith('006')))
    }
    return found
  }

  /** The next booked meeting of each deal; of these deals only, where they are few. */
  async function meetings(ids: readonly DealId[] | null, now: Instant, signal: AbortSignal) {
    const few = ids && ids.length <= IN_CHUNK ? `WhatId IN ${among(ids)}` : 'WhatId != null'
    const tail = `WHERE ${few} AND ActivityDate >= ${day(now - DAY_MS)} AND ActivityDate <= ${day(now + AHEAD_MS)}`
    return nextMeetings((await gather(Event, 'Event', 'WhatId', tail, signal)).good, lens, now)
  }

  /** Evidence rows -> one Evidence per deal. */
  function evidence(
    rows: {
      history?: readonly History[]
      events?: readonly Event[]
      tasks?: readonly Task[]
      emails?: readonly Email[]
    },
    now: Instant,
  ): Evidence[] {
    const byDeal = new Map<DealId, { changes: Change[]; activities: Activity[] }>()
    const of = (deal: DealId) => {
      const one = byDeal.get(deal) ?? { changes: [], activities: [] }
      byDeal.set(deal, one)
      return one
    }
    for (const [deal, history] of Map.groupBy(rows.history ?? [], (row) => row.OpportunityId))
      of(deal).changes.push(...toChanges(history, lens))
    const add = (deal: string | null | undefined, activity: Activity | BookedMeeting | null) => {
      if (deal?.startsWith('006') && activity && 'kind' in activity) of(deal).activities.push(activity)
    }
    for (const row of rows.events ?? []) add(row.WhatId, toMeeting(row, lens, now))
    for (const row of rows.tasks ?? []) add(row.WhatId, toTaskActivity(row, lens, now))
    for (const row of rows.emails ?? []) add(row.RelatedToId, toReply(row, now))
    return [...byDeal].map(([deal, one]) => ({ deal, ...one }))
  }

  const historyOf = (ids: readonly DealId[], signal: AbortSignal) =>
    gather(History, 'OpportunityHistory', 'OpportunityId', `WHERE OpportunityId IN ${among(ids)}`, signal)
  const activitiesWhere = (field: (object: string) => string, signal: AbortSignal, all: boolean) =>
    Promise.all([
      gather(Event, 'Event', 'WhatId', `WHERE ${field('WhatId')}`, signal, all),
      gather(Task, 'Task', 'WhatId', `WHERE ${field('WhatId')} AND IsClosed = true`, signal),
      gather(Email, 'EmailMessage', 'RelatedToId', `WHERE ${field('RelatedToId')} AND Incoming = true`, signal),
    ])

  function page(records: readonly Record<string, unknown>[], booked: ReadonlyMap<DealId, BookedMeeting>) {
    const { good, bad } = sort(Opportunity, records, 'Id')
    // Overlapping pages: the last one of a deal is the newest.
    const deals = new Map<DealId, Deal>(good.map((row) => [row.Id, toDeal(row, lens, booked.get(row.Id) ?? null)]))
    return { deals: [...deals.values()], bad }
  }

  async function* first(place: Place, now: Instant, signal: AbortSignal): AsyncGenerator<Page, number> {
    const booked = await meetings(null, now, signal)
    const beyond = place.after ? ` AND Id > '${place.after}'` : ''
    const tail = `WHERE (IsClosed = false OR CloseDate >= ${day(now - TWO_YEARS_MS)})${beyond} ORDER BY Id`
    let read = 0
    for await (const { records, totalSize } of select('Opportunity', tail, signal)) {
      const { deals, bad } = page(records, booked)
      const parts = await Promise.all(
        chunks(
          deals.map(({ id }) => id),
          IN_CHUNK,
        ).map(async (ids) => {
          const [history, [events, tasks, emails]] = await Promise.all([
            historyOf(ids, signal),
            activitiesWhere((field) => `${field} IN ${among(ids)}`, signal, false),
          ])
          return {
            found: evidence(
              { history: history.good, events: events.good, tasks: tasks.good, emails: emails.good },
              now,
            ),
            bad: [...history.bad, ...events.bad, ...tasks.bad, ...emails.bad],
          }
        }),
      )
      read += records.length
      const last = records.at(-1)?.Id
      yield {
        deals,
        evidence: parts.flatMap(({ found }) => found),
        gone: [],
        unreadable: [...bad, ...parts.flatMap((part) => part.bad)],
        cursor: JSON.stringify({ since: place.since, after: String(last ?? place.after ?? '') } satisfies Place),
        read,
        total: totalSize,
      }
    }
    return read
  }

  async function* delta(place: Place, now: Instant, signal: AbortSignal): AsyncGenerator<Page> {
    const after = iso(place.since - OVERLAP_MS)
    const changedSince = (field: string) => `${field} != null AND SystemModstamp >= ${after}`
    const [booked, [events, tasks, emails], history] = await Promise.all([
      meetings(null, now, signal),
      activitiesWhere(changedSince, signal, true),
      historyIds(after, signal),
    ])
    // A meeting that was booked, moved or cancelled changes its deal, whether or not the deal's own stamp moved.
    const stale = new Set(events.good.flatMap(({ WhatId }) => (WhatId?.startsWith('006') ? [WhatId] : [])))
    let read = 0

    /** Deals with the history behind their change. It is read whole: a snapshot means nothing without the one before. */
    async function told(
      records: readonly Record<string, unknown>[],
      ids: readonly DealId[],
      cursor: Place,
    ): Promise<Page> {
      const { deals, bad } = page(records, booked)
      const moved = [...ids, ...deals.map(({ id }) => id)].filter((id) => history.delete(id))
      const parts = await Promise.all(chunks(moved, IN_CHUNK).map((some) => historyOf(some, signal)))
      for (const { id } of deals) stale.delete(id)
      read += records.length
      return {
        deals,
        evidence: evidence({ history: parts.flatMap(({ good }) => good) }, now),
        gone: [],
        unreadable: [...bad, ...parts.flatMap((part) => part.bad)],
        cursor: JSON.stringify(cursor),
        read,
        total: null,
      }
    }
    const from = (place.from ?? place.since) - OVERLAP_MS
    let reached: Place = { since: place.since, from: place.from ?? place.since }
    const changed = `WHERE SystemModstamp >= ${iso(from)} ORDER BY SystemModstamp, Id`
    for await (const { records } of select('Opportunity', changed, signal)) {
      const last = Opportunity.shape.SystemModstamp.safeParse(records.at(-1)?.SystemModstamp)
      if (last.success) reached = { since: place.since, from: last.data }
      yield await told(records, [], reached)
    }
    for (const ids of chunks([...stale], IN_CHUNK))
      for await (const { records } of select('Opportunity', `WHERE Id IN ${among(ids)}`, signal))
        yield await told(records, [], reached)
    for (const ids of chunks([...history], IN_CHUNK)) yield await told([], ids, reached)
    const gone: DealId[] = []
    const deleted = `WHERE IsDeleted = true AND SystemModstamp >= ${after}`
    for await (const { records } of select('Opportunity', deleted, signal, { all: true, only: 'Id' }))
      gone.push(...records.map((row) => String(row.Id)))
    yield {
      deals: [],
      evidence: evidence({ events: events.good, tasks: tasks.good, emails: emails.good }, now),
      gone,
      unreadable: [...events.bad, ...tasks.bad, ...emails.bad],
      read,
      total: null,
      cursor: JSON.stringify({ since: now } satisfies Place),
    }
  }

  async function historyIds(after: string, signal: AbortSignal): Promise<Set<DealId>> {
    const ids = new Set<DealId>()
    const tail = `WHERE SystemModstamp >= ${after}`
    for await (const { records } of select('OpportunityHistory', tail, signal, { only: 'OpportunityId' }))
      for (const row of records) ids.add(String(row.OpportunityId))
    return ids
  }

  async function* pull(since: Cursor | null, now: Instant, signal: AbortSignal): AsyncGenerator<Page> {
    if (since === null) {
      const read = yield* first({ since: now }, now, signal)
      const cursor = JSON.stringify({ since: now } satisfies Place)
      yield { deals: [], evidence: [], gone: [], unreadable: [], cursor, read, total: read }
      return
    }
    const place = parse(since)
    if (place.after !== undefined) yield* first(place, now, signal)
    yield* delta({ since: place.since, ...(place.from === undefined ? {} : { from: place.from }) }, now, signal)
  }

  return { pull, meetings, page }
}

function parse(cursor: string): Place {
  try {
    return Place.parse(JSON.parse(cursor))
  } catch (cause) {
    throw new Fatal('data', 'the stored place of the last sync is not readable: sync this connection anew', { cause })
  }
}

/** Fields of each object that are read, where the org shows them. */
export const WANTED = {
  Opportunity: Object.keys(Opportunity.shape),
  OpportunityHistory: Object.keys(History.shape),
  Event: Object.keys(Event.shape),
  Task: Object.keys(Task.shape).filter((name) => !['Subject', 'Description'].includes(name)),
  EmailMessage: Object.keys(Email.shape),
} as const
