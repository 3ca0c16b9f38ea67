// Reading deals in bulk: the first sync by list (with history), later ones by search over what changed (history only
// where it can have changed), the sweep of ids. The cursor travels with its page, so any page can be the last one.
import { z } from 'zod'
import type { ConnectorOptions, Page } from '../../src/connector.ts'
import type { Deal, DealId, Evidence, Instant } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { type Api, pages } from './api.ts'
import { DEAL_PROPERTIES, enteredStage, HISTORY, type Portal, toDeal, toEvidence, Unreadable } from './map.ts'
import { CrmRecord, type RecordPage } from './wire.ts'

/** `mark`: HubSpot's clock when this walk began, where the next one starts. */
const Walk = z.discriminatedUnion('mode', [
  z.object({ mode: z.literal('list'), after: z.string().nullable(), mark: z.number().nullable() }),
  z.object({
    mode: z.literal('search'),
    since: z.number(),
    mark: z.number().nullable(),
    /** Keyset: the id the next search starts behind; null: from the beginning. */
    last: z.string().nullable(),
    /** Met by search, but not delivered yet: they wait until a history call is full. */
    pending: z.array(z.string()),
  }),
])
type Walk = z.infer<typeof Walk>
type Search = Extract<Walk, { mode: 'search' }>

/** The search index lags by seconds; whoever re-reads five minutes loses nothing. */
const OVERLAP_MS = 5 * 60_000
const LIST_PAGE = 50
const SEARCH_PAGE = 200
const HISTORY_BATCH = 50
const TWO_YEARS_MS = 731 * 86_400_000
/** Fewer changed deals than this are never worth counting all deals for. */
const WORTH_COUNTING = 2000

interface Context {
  readonly api: Api
  readonly portal: Portal
  readonly options: ConnectorOptions
  readonly now: Instant
}

/**
 * `since` null: all deals but those closed for more than two years. A walk that was interrupted is finished first, then
 * what changed meanwhile follows. Throws Fatal for a cursor or a page token that makes no sense.
 */
export async function* pull(context: Context, since: string | null, signal: AbortSignal): AsyncGenerator<Page> {
  const start: Walk = since === null ? { mode: 'list', after: null, mark: null } : parse(since)
  const mark = yield* start.mode === 'list' ? list(context, start, signal) : search(context, start, signal)
  const resumed = since !== null && (start.mode === 'list' || start.mark !== null)
  if (resumed) yield* search(context, from(mark), signal)
}

function parse(cursor: string): Walk {
  try {
    return Walk.parse(JSON.parse(cursor))
  } catch (error) {
    throw new Fatal('data', 'the stored position of the HubSpot sync cannot be read', { cause: error })
  }
}
const from = (since: Instant): Search => ({ mode: 'search', since, mark: null, last: null, pending: [] })
const NOTHING = { deals: [], evidence: [], gone: [], unreadable: [], total: null }

async function* list(
  context: Context,
  { after, mark }: Extract<Walk, { mode: 'list' }>,
  signal: AbortSignal,
): AsyncGenerator<Page, Instant> {
  const { api, now } = context
  const query = { limit: `${LIST_PAGE}`, properties: DEAL_PROPERTIES.join(), propertiesWithHistory: HISTORY.join() }
  const ask = (token: string | null, inner: AbortSignal) =>
    api.list('deals', token === null ? query : { ...query, after: token }, inner)
  const recent = ({ outcome, closeDate }: Deal) =>
    outcome === 'open' || closeDate === null || Date.parse(closeDate) >= now - TWO_YEARS_MS
  let read = 0
  for await (const { page, next } of pages(signal, ask, after)) {
    mark ??= api.clock() ?? now
    read += page.results.length
    const cursor = JSON.stringify(next === null ? from(mark) : { mode: 'list', after: next, mark })
    yield { ...NOTHING, ...digest(context, page.results, recent), cursor, read }
  }
  return mark ?? now
}

async function* search(context: Context, walk: Search, signal: AbortSignal): AsyncGenerator<Page, Instant> {
  const { api, now, options } = context
  const since = walk.since - OVERLAP_MS
  const pending = [...walk.pending]
  let { mark } = walk
  let read = 0
  let total: number | null = null
  const ask = (last: string | null, inner: AbortSignal) => api.search(changedSince(since, last), inner)
  for await (const { page, next } of pages(signal, ask, walk.last, lastId)) {
    mark ??= api.clock() ?? now
    total ??= page.total ?? null
    const first = read === 0 && walk.last === null
    read += page.results.length
    const known = await options.known?.(page.results.map(idOf))
    const moved: DealId[] = []
    const found = digest(context, page.results, (deal, record) => {
      const before = known?.get(deal.id)
      const same = before && TOLD.every((field) => before[field] === deal[field]) && enteredStage(record) < since
      if (!same) moved.push(deal.id)
      return same === true
    })
    if (first && (await listIsCheaper(api, total ?? 0, moved.length / page.results.length, signal)))
      return yield* list(context, { mode: 'list', after: null, mark }, signal)
    pending.push(...moved)
    // Deals whose history may have changed come anew, with it, from the record store. Those not found are just deleted.
    const full = pending.splice(0, pending.length - (next === null ? 0 : pending.length % HISTORY_BATCH))
    const what = { properties: DEAL_PROPERTIES, propertiesWithHistory: HISTORY }
    const calls = chunks(full, HISTORY_BATCH).map((some) => api.batchRead('deals', some, what, signal))
    const answers = await Promise.all(calls)
    const records = answers.flatMap((answer) => answer.results)
    const whole = digest(context, records)
    yield {
      deals: [...found.deals, ...whole.deals],
      evidence: [...found.evidence, ...whole.evidence],
      unreadable: [...found.unreadable, ...whole.unreadable],
      gone: [],
      cursor: JSON.stringify(next === null ? from(mark) : { ...walk, mark, last: next, pending }),
      read,
      total,
    }
  }
  return mark ?? now
}

const TOLD = ['pipelineId', 'stageId', 'amount', 'closeDate'] as const

/** Past 10,000 results search goes on by id, never by `after`; sorting by date would let rows move while paging. */
function changedSince(since: Instant, last: string | null) {
  const changed = { propertyName: 'hs_lastmodifieddate', operator: 'GTE', value: String(since) }
  const behind = last === null ? [] : [{ propertyName: 'hs_object_id', operator: 'GT', value: last }]
  return {
    filterGroups: [{ filters: [changed, ...behind] }],
    sorts: [{ propertyName: 'hs_object_id', direction: 'ASCENDING' }],
    properties: DEAL_PROPERTIES,
    limit: SEARCH_PAGE,
  }
}
/** The id behind which the next search starts; null: nothing follows. A full page is only believed to be the last with its total. */
function lastId({ results, paging, total }: RecordPage): string | null {
  if (results.length === 0 || (!paging?.next && results.length >= (total ?? 0))) return null
  return idOf(results.findLast((one) => /^\d+$/.test(idOf(one))))
}

/** After a mass edit nearly every deal needs its history: then the list, which brings it along, takes fewer calls. */
async function listIsCheaper(api: Api, changed: number, share: number, signal: AbortSignal): Promise<boolean> {
  if (changed < WORTH_COUNTING || share < 0.5) return false
  const { total } = await api.search({ filterGroups: [], properties: [], limit: 1 }, signal)
  const calls = changed / SEARCH_PAGE + (changed * share) / HISTORY_BATCH
  return (total ?? Number.POSITIVE_INFINITY) / LIST_PAGE < calls
}

/** Each record on its own, so that a malformed one is quarantined alone. */
export function digest(
  { api, portal, now }: Pick<Context, 'api' | 'portal' | 'now'>,
  results: readonly unknown[],
  keep: (deal: Deal, record: CrmRecord) => boolean = () => true,
) {
  // HubSpot's clock tells whole seconds.
  const asOf = Math.max(now, (api.clock() ?? 0) + 999)
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

function idOf(raw: unknown): string {
  return typeof raw === 'object' && raw !== null && 'id' in raw ? String(raw.id).slice(0, 40) : '(no id)'
}

/** Every live id, from the record store: the search index may miss what was just created. */
export async function* census(api: Api, signal: AbortSignal): AsyncGenerator<readonly DealId[]> {
  const query = { limit: '100', properties: 'hs_object_id' }
  const ask = (after: string | null, inner: AbortSignal) =>
    api.list('deals', { ...query, ...(after && { after }) }, inner)
  for await (const { page } of pages(signal, ask)) yield page.results.map(idOf)
}

export function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size))
}
