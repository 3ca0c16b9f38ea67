// Reading deals in bulk: the first sync by list (with history), later ones by search over what changed (history only
// where it can have changed), the sweep of ids. The cursor travels with its page, so any page can be the last one.
import { z } from 'zod'
import { chunks } from '../../src/batches.ts'
import type { ConnectorOptions, IdPage, Page } from '../../src/connector.ts'
import type { Deal, DealId, Evidence, Instant } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { type Api, type Hub, pages } from './api.ts'
import { idOf, newestOf, stretches } from './list.ts'
import { DEAL_PROPERTIES, enteredStage, HISTORY, type Portal, toDeal, toEvidence, Unreadable } from './map.ts'
import { CrmRecord, failed, type RecordPage } from './wire.ts'

const Place = z.object({
  /** Search what changed since; null: the list of all. */
  since: z.number().nullable(),
  /** Of a list its position (list.ts), of a search the id it goes on behind; null: from the beginning. */
  after: z.string().nullable(),
  /** HubSpot's clock when this walk began, where the next one starts. */
  mark: z.number().nullable(),
  /** Met by search, but not delivered yet: they wait until a history call is full. And those the walk before this one
   *  could not read: what was wrong may lie elsewhere (a stage nobody knew yet), so their own stamp would not tell. */
  pending: z.array(z.string()),
})
type Place = z.infer<typeof Place>

/** The search index lags by seconds; whoever re-reads five minutes loses nothing. */
const OVERLAP_MS = 5 * 60_000
const LIST_PAGE = 50
const SEARCH_PAGE = 200
const HISTORY_BATCH = 50
/** So many unreadable deals are tried again the next night, unchanged as they are. */
const TRIED_AGAIN = 100
const TWO_YEARS_MS = 731 * 86_400_000
/** So many calls must be saved for turning to the list. */
const WORTH_TURNING = 10
const WITH_HISTORY = { properties: DEAL_PROPERTIES, propertiesWithHistory: HISTORY }
const TOLD = ['pipelineId', 'stageId', 'amount', 'closeDate'] as const

interface Context {
  readonly api: Api
  readonly portal: Portal
  readonly options: ConnectorOptions
  readonly now: Instant
}

/**
 * `cursor` null: all deals but those closed for more than two years. A walk that was interrupted is finished first, then
 * what changed meanwhile follows. Throws Fatal for a cursor or a page token that makes no sense.
 */
export async function* pull(context: Context, cursor: string | null, signal: AbortSignal): AsyncGenerator<Page> {
  const place = cursor === null ? { ...from(0), since: null } : parse(cursor)
  const mark = yield* walk(context, place, signal)
  if (cursor !== null && (place.since === null || place.mark !== null)) yield* walk(context, from(mark), signal)
}

const from = (since: Instant): Place => ({ since, after: null, mark: null, pending: [] })
function parse(cursor: string): Place {
  try {
    return Place.parse(JSON.parse(cursor))
  } catch (error) {
    throw new Fatal('data', 'the stored position of the HubSpot sync cannot be read', { cause: error })
  }
}

async function* walk(
  context: Context,
  place: Place,
  signal: AbortSignal,
  newest?: number,
): AsyncGenerator<Page, Instant> {
  const { api, now, options } = context
  const hub = api(signal)
  const since = place.since === null ? null : place.since - OVERLAP_MS
  const source =
    since === null
      ? stretches(api, signal, listed, place.after, newest)
      : pages(api, signal, changedSince(since), place.after, lastId)
  const pending = [...place.pending]
  const odd = new Set<DealId>()
  let { mark } = place
  let read = 0
  let total: number | null = null
  let turned = 0
  let everything: ReturnType<typeof newestOf> | null = null
  for await (const { page, next } of source) {
    const { results } = page
    mark ??= hub.clock() ?? now
    total ??= page.total ?? null
    read += results.length
    const moved: DealId[] = []
    const known = since === null ? undefined : await options.known?.(results.map(idOf))
    const found = digest(hub, context, results, (deal, record) => {
      if (since === null) return deal.outcome === 'open' || !(Date.parse(deal.closeDate ?? '') < now - TWO_YEARS_MS)
      const before = known?.get(deal.id)
      const same = before && TOLD.every((field) => before[field] === deal[field]) && enteredStage(record) < since
      if (!same) moved.push(deal.id)
      return same === true
    })
    pending.push(...moved)
    turned += moved.length
    // After a mass edit nearly every deal needs its history: then the list, which brings it along, takes fewer calls.
    const rest = (total ?? 0) - read
    const calls = rest / SEARCH_PAGE + ((rest * turned) / read + pending.length) / HISTORY_BATCH - WORTH_TURNING
    if (since !== null && calls > (total ?? 0) / LIST_PAGE) {
      everything ??= newestOf(hub)
      const { id, total: all } = await everything
      if (calls > all / LIST_PAGE) return yield* walk(context, { ...from(0), since: null, mark }, signal, id)
    }
    // Deals whose history may have changed come anew, with it, from the record store. Those not found are just deleted.
    const full = pending.splice(0, pending.length - (next === null ? 0 : pending.length % HISTORY_BATCH))
    const reads = chunks(full, HISTORY_BATCH).map((some) => hub.batchRead('deals', some, WITH_HISTORY))
    const answers = await Promise.all(reads)
    const records = answers.flatMap((answer) => answer.results)
    const whole = digest(hub, context, records)
    const there = new Set(records.map(idOf))
    const lost = answers.some(({ errors }) => failed(errors)) ? full.filter((id) => !there.has(id)) : []
    const problem = 'HubSpot failed to read it'
    const unreadable = [...found.unreadable, ...whole.unreadable, ...lost.map((deal) => ({ deal, problem }))]
    for (const { deal } of unreadable) if (/^\d+$/.test(deal) && odd.size < TRIED_AGAIN) odd.add(deal)
    const over = { ...from(mark), pending: [...odd] }
    yield {
      deals: [...found.deals, ...whole.deals],
      evidence: [...found.evidence, ...whole.evidence],
      unreadable,
      gone: [],
      cursor: JSON.stringify(next === null ? over : { since: place.since, after: next, mark, pending }),
      read,
      total,
    }
  }
  return mark ?? now
}

function listed(hub: Hub, after: string | null): Promise<RecordPage> {
  const names = { properties: DEAL_PROPERTIES.join(), propertiesWithHistory: HISTORY.join() }
  return hub.list('deals', { limit: `${LIST_PAGE}`, ...names, ...(after && { after }) })
}

/** Past 10,000 results search goes on by id, never by `after`; sorting by date would let rows move while paging. */
function behind(hub: Hub, last: string | null, properties: readonly string[], changed: readonly object[] = []) {
  const filters = [...changed, { propertyName: 'hs_object_id', operator: 'GT', value: last ?? '0' }]
  const sorts = [{ propertyName: 'hs_object_id', direction: 'ASCENDING' }]
  return hub.search({ filterGroups: [{ filters }], sorts, properties, limit: SEARCH_PAGE })
}

const changedSince = (since: Instant) => (hub: Hub, last: string | null) => {
  const changed = { propertyName: 'hs_lastmodifieddate', operator: 'GTE', value: String(since) }
  return behind(hub, last, DEAL_PROPERTIES, [changed])
}

/** The id behind which the next search starts; null: nothing follows. Without a next page, the total must say so too. */
function lastId({ results, paging, total }: RecordPage): string | null {
  if (results.length === 0 || (!paging?.next && results.length >= (total ?? 0))) return null
  return idOf(results.findLast((one) => /^\d+$/.test(idOf(one))))
}

/** Each record on its own, so that a malformed one is quarantined alone. */
export function digest(
  hub: Hub,
  { portal, now }: Pick<Context, 'portal' | 'now'>,
  results: readonly unknown[],
  keep: (deal: Deal, record: CrmRecord) => boolean = () => true,
) {
  // HubSpot's clock tells whole seconds.
  const asOf = Math.max(now, (hub.clock() ?? 0) + 999)
  const deals: Deal[] = []
  const evidence: Evidence[] = []
  const unreadable: { deal: DealId; problem: string }[] = []
  for (const raw of results) {
    try {
      const { data: record } = CrmRecord.safeParse(raw)
      if (!record) throw new Unreadable('the record is not in the format HubSpot documents')
      const deal = toDeal(record, portal)
      if (!keep(deal, record)) continue
      const found = toEvidence(record, portal, asOf)
      deals.push(deal)
      if (found) evidence.push(found)
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error
      unreadable.push({ deal: idOf(raw), problem: error.message })
    }
  }
  return { deals, evidence, unreadable }
}

/** By search: twice as many a call as the list gives, and an id to go on behind instead of a token. */
export async function* census(api: Api, after: DealId | null, signal: AbortSignal): AsyncGenerator<IdPage> {
  const hub = api(signal)
  let last = after
  do {
    const page = await behind(hub, last, ['hs_object_id'])
    last = lastId(page)
    const ids = page.results.map(idOf).filter((id) => /^\d+$/.test(id))
    yield { ids, rest: last === null ? 0 : Math.max(1, (page.total ?? Infinity) - page.results.length) }
  } while (last !== null)
}
