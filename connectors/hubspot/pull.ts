// Reading deals in bulk: the first sync by list (with history), later ones by search over what changed (history only
// where it can have changed), the sweep of ids. The cursor travels with its page, so any page can be the last one.
import { z } from 'zod'
import type { ConnectorOptions, Page } from '../../src/connector.ts'
import type { Deal, DealId, Evidence, Instant } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import type { Answer, Api } from './api.ts'
import { DEAL_PROPERTIES, enteredStage, type Portal, TRACKED, toDeal, toEvidence, Unreadable } from './map.ts'
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
  readonly signal: AbortSignal
  read: number
  /** HubSpot's clock at the newest answer. */
  asOf: Instant
}

/**
 * `since` null: all deals but those closed for more than two years. A walk that was interrupted is finished first, then
 * what changed meanwhile follows. Throws Fatal for a cursor or a page token that makes no sense.
 */
export async function* pull(
  start: Omit<Context, 'read' | 'asOf' | 'signal'>,
  since: string | null,
  signal: AbortSignal,
) {
  // What was asked for ahead ends with the walk.
  const ahead = new AbortController()
  const context = { ...start, read: 0, asOf: start.now, signal: AbortSignal.any([signal, ahead.signal]) }
  let walk: Walk = since === null ? { mode: 'list', after: null, mark: null } : parse(since)
  const resumed = since !== null && (walk.mode === 'list' || walk.mark !== null)
  try {
    const mark: Instant = yield* walk.mode === 'list' ? list(context, walk.after, walk.mark) : search(context, walk)
    if (!resumed) return
    walk = rest(mark)
    yield* search(context, walk)
  } finally {
    ahead.abort()
  }
}

function parse(cursor: string): Walk {
  try {
    return Walk.parse(JSON.parse(cursor))
  } catch (error) {
    throw new Fatal('data', 'the stored position of the HubSpot sync cannot be read', { cause: error })
  }
}
const rest = (since: Instant): Search => ({ mode: 'search', since, mark: null, last: null, pending: [] })

async function* list(context: Context, after: string | null, began: Instant | null): AsyncGenerator<Page, Instant> {
  const { api, now, signal } = context
  const query = {
    limit: `${LIST_PAGE}`,
    properties: DEAL_PROPERTIES.join(','),
    propertiesWithHistory: Object.keys(TRACKED).join(','),
  }
  const ask = (token: string | null) => quiet(api.list(token === null ? query : { ...query, after: token }, signal))
  const seen = new Set(after === null ? [] : [after])
  let mark = began
  for (let next: ReturnType<typeof ask> | null = ask(after); next !== null; ) {
    const { data, at } = await next
    mark ??= at ?? now
    context.asOf = clock(at, now)
    const token = nextToken(data, seen)
    next = token === null ? null : ask(token)
    context.read += data.results.length
    const walk: Walk = token === null ? rest(mark) : { mode: 'list', after: token, mark }
    const longAgo = (deal: Deal) =>
      deal.outcome !== 'open' && deal.closeDate !== null && Date.parse(deal.closeDate) < now - TWO_YEARS_MS
    yield page(context, digest(context, data.results, longAgo), walk, null)
  }
  return mark ?? now
}

async function* search(context: Context, walk: Search): AsyncGenerator<Page, Instant> {
  const { api, now, signal, options } = context
  const from = walk.since - OVERLAP_MS
  const ask = (last: string | null) => quiet(api.search(changedSince(from, last), signal))
  const pending = [...walk.pending]
  let { last, mark } = walk
  let total: number | null = null
  for (let next: ReturnType<typeof ask> | null = ask(last); next !== null; ) {
    const { data, at }: Answer<RecordPage> = await next
    mark ??= at ?? now
    context.asOf = clock(at, now)
    total ??= data.total ?? null
    const begun = last
    last = lastId(data, begun)
    const done: boolean = isLast(data)
    next = done ? null : ask(last)
    context.read += data.results.length

    const found = digest(context, data.results)
    const known = await options.known?.(found.deals.map((deal) => deal.id))
    const moved = (deal: Deal) => {
      const before = known?.get(deal.id)
      return !before || TOLD.some((field) => before[field] !== deal[field]) || (found.entered.get(deal.id) ?? 0) >= from
    }
    const wanted = new Set(found.deals.filter(moved).map((deal) => deal.id))
    if (begun === null && (await listIsCheaper(context, total ?? 0, wanted.size / Math.max(1, found.deals.length)))) {
      return yield* list(context, null, mark)
    }
    pending.push(...wanted)
    const full = done ? pending.length : pending.length - (pending.length % HISTORY_BATCH)
    const whole = await histories(context, pending.splice(0, full))
    const digested: Digest = {
      deals: [...found.deals.filter((deal) => !wanted.has(deal.id)), ...whole.deals],
      evidence: [...found.evidence.filter((one) => !wanted.has(one.deal)), ...whole.evidence],
      unreadable: [...found.unreadable, ...whole.unreadable],
      gone: whole.gone,
    }
    yield page(context, digested, done ? rest(mark) : { ...walk, mark, last, pending: [...pending] }, total)
  }
  return mark ?? now
}

/** The Date header counts whole seconds. */
const clock = (at: Instant | null, now: Instant) => Math.max(now, (at ?? 0) + 999)

const TOLD = ['pipelineId', 'stageId', 'amount', 'closeDate'] as const

/** Past 10,000 results search goes on by id, never by `after`; sorting by date would let rows move while paging. */
function changedSince(from: Instant, last: string | null) {
  const changed = { propertyName: 'hs_lastmodifieddate', operator: 'GTE', value: String(from) }
  const behind = last === null ? [] : [{ propertyName: 'hs_object_id', operator: 'GT', value: last }]
  return {
    filterGroups: [{ filters: [changed, ...behind] }],
    sorts: [{ propertyName: 'hs_object_id', direction: 'ASCENDING' }],
    properties: DEAL_PROPERTIES,
    limit: SEARCH_PAGE,
  }
}

/** After a mass edit nearly every deal needs its history: then the list, which brings it along, takes fewer calls. */
async function listIsCheaper({ api, signal }: Context, changed: number, share: number): Promise<boolean> {
  if (changed < WORTH_COUNTING || share < 0.5) return false
  const { data } = await api.search({ filterGroups: [], properties: [], limit: 1 }, signal)
  return (
    (data.total ?? Number.POSITIVE_INFINITY) / LIST_PAGE < changed / SEARCH_PAGE + (changed * share) / HISTORY_BATCH
  )
}

/** These deals once more, with history, from the record store. Those not found have just been deleted. */
async function histories(context: Context, ids: readonly DealId[]): Promise<Digest> {
  const { api, signal } = context
  const calls = chunks(ids, HISTORY_BATCH).map((some) => {
    const inputs = some.map((id) => ({ id }))
    const names = { properties: DEAL_PROPERTIES, propertiesWithHistory: Object.keys(TRACKED) }
    return api.batchRead('deals', { inputs, ...names }, signal)
  })
  const answers = await Promise.all(calls)
  return digest(
    context,
    answers.flatMap((answer) => answer.results ?? []),
  )
}

interface Digest {
  readonly deals: readonly Deal[]
  readonly evidence: readonly Evidence[]
  readonly unreadable: Page['unreadable']
  readonly gone: readonly DealId[]
}

/** Each record on its own, so that a malformed one is quarantined alone. */
function digest(context: Context, results: readonly unknown[], skip: (deal: Deal) => boolean = () => false) {
  const { portal, asOf } = context
  const deals: Deal[] = []
  const evidence: Evidence[] = []
  const unreadable: { deal: DealId; problem: string }[] = []
  const entered = new Map<DealId, Instant>()
  for (const raw of results) {
    const parsed = CrmRecord.safeParse(raw)
    if (!parsed.success) {
      unreadable.push({ deal: idOf(raw), problem: 'the record is not in the format HubSpot documents' })
      continue
    }
    try {
      const deal = toDeal(parsed.data, portal)
      if (skip(deal)) continue
      const found = toEvidence(parsed.data, portal, asOf)
      deals.push(deal)
      if (found) evidence.push(found)
      entered.set(deal.id, enteredStage(parsed.data) ?? 0)
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error
      unreadable.push({ deal: parsed.data.id, problem: error.message })
    }
  }
  return { deals, evidence, unreadable, entered, gone: [] }
}

function idOf(raw: unknown): string {
  return typeof raw === 'object' && raw !== null && 'id' in raw ? String(raw.id).slice(0, 40) : '(no id)'
}

function page(context: Context, { deals, evidence, unreadable, gone }: Digest, walk: Walk, total: number | null): Page {
  return { deals, evidence, unreadable, gone, cursor: JSON.stringify(walk), read: context.read, total }
}

/** Only the token is used, never the link. */
function nextToken(data: RecordPage, seen: Set<string>): string | null {
  const token = data.paging?.next?.after ?? null
  if (token === null) return null
  if (seen.has(token)) throw new Fatal('data', 'HubSpot repeats a page of its list of deals: it would never end')
  seen.add(token)
  return token
}

/** A keyset search ends where nothing follows; a full page is only believed to be the last when its total says so. */
function isLast({ results, paging, total }: RecordPage): boolean {
  if (results.length === 0) return true
  return !paging?.next && (results.length < SEARCH_PAGE || (total ?? Number.POSITIVE_INFINITY) <= results.length)
}

/** The highest id of this page, which must lie behind the last one. */
function lastId(data: RecordPage, before: string | null): string | null {
  let last = before
  for (const raw of data.results) {
    const id = idOf(raw)
    if (!/^\d+$/.test(id)) continue
    if (last !== null && BigInt(id) <= BigInt(last)) {
      throw new Fatal('data', 'HubSpot repeats a page of its search or does not sort it: it would never end')
    }
    last = id
  }
  return last
}

/** Every live id, from the record store: the search index may miss what was just created. */
export async function* census(api: Api, signal: AbortSignal): AsyncGenerator<readonly DealId[]> {
  const seen = new Set<string>()
  let token: string | null = null
  do {
    const query = { limit: '100', properties: 'hs_object_id', ...(token === null ? {} : { after: token }) }
    const { data } = await api.list(query, signal)
    token = nextToken(data, seen)
    yield data.results.map(idOf)
  } while (token !== null)
}

export function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size))
}

/** A call made ahead may fail before anybody waits for it. */
function quiet<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {})
  return work
}
