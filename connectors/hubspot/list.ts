// The list of all deals, read in stretches side by side: one page after the other would take the latency of each, which is
// longer than the pace allows. HubSpot's page tokens are ids of the last records in practice, but nobody promises it. So
// a second stretch begins at an id only where the tokens seen are ids, and the stretch before it is walked, by HubSpot's
// own tokens, until it meets the first record of the second: nothing can lie between the two unseen.
import { z } from 'zod'
import { Fatal } from '../../src/errors.ts'
import type { Api, Hub } from './api.ts'
import type { RecordPage } from './wire.ts'

/** Behind the token `after` (null: from the beginning) until the record `until` is met (null: to the end). */
const Stretches = z.array(z.object({ after: z.string().nullable(), until: z.string().nullable() })).min(1)
type Stretch = z.infer<typeof Stretches>[number]

/** Pages before the first split: until then nobody knows whether tokens are ids. */
const SHORT = 4
/** Stretches at once; more than two only while fewer pages a second come in than HubSpot allows calls. */
const MOST = 4
const FEW_A_SECOND = 9
/** Tries in one walk: ids need not lie evenly, so a half may be empty. */
const MOST_SPLITS = 16
/** Pages, by the ids of the last one, that a stretch must have left to be split: the calls it costs are a twentieth then. */
const WORTH = 80

export function idOf(raw: unknown): string {
  return typeof raw === 'object' && raw !== null && 'id' in raw ? String(raw.id).slice(0, 40) : '(no id)'
}

/** The ids of a page as numbers, where they are numbers and ascend; else null. */
function ascending({ results }: RecordPage): readonly number[] | null {
  const ids = results.map((one) => (/^\d{1,15}$/.test(idOf(one)) ? Number(idOf(one)) : Number.NaN))
  return ids.every((id, at) => id > (ids[at - 1] ?? 0)) ? ids : null
}

/** The highest id, as the search index knows it, and the number of deals. */
export async function newestOf(hub: Hub): Promise<{ readonly id: number; readonly total: number }> {
  const sorts = [{ propertyName: 'hs_object_id', direction: 'DESCENDING' }]
  const found = await hub.search({ filterGroups: [], sorts, properties: ['hs_object_id'], limit: 1 })
  return { id: Number(idOf(found.results[0])), total: found.total ?? Infinity }
}

/** `newest`: the highest id, where it is known. Pages in the order of their arrival; `next`: the position behind this one (null: the last), which a later walk may
 *  start at. Throws Fatal for a token that repeats. */
export async function* stretches(
  api: Api,
  signal: AbortSignal,
  ask: (hub: Hub, after: string | null) => Promise<RecordPage>,
  start: string | null,
  newest?: number,
): AsyncGenerator<{ page: RecordPage; next: string | null }> {
  const ahead = new AbortController()
  const hub = api(AbortSignal.any([signal, ahead.signal]))
  const open: Stretch[] = start?.startsWith('[') ? Stretches.parse(JSON.parse(start)) : [{ after: start, until: null }]
  const seen = new Set<string>()
  /** Where a half turned out to be empty, the stretch ends there for splitting. */
  const ends = new Map<Stretch, number>()
  let [pages, splits, splitting, tokensAreIds] = [0, 0, false, false]
  /** Ids that the last page spans. */
  let width = 0

  interface Arrived {
    readonly key: object
    readonly of: Stretch
    readonly page: RecordPage
    readonly ms: number
    /** It was asked for behind this invented token. */
    readonly probe?: number
  }
  const running = new Map<object, Promise<Arrived | { readonly key: object; readonly page: null }>>()
  const run = (work: () => Promise<Omit<Arrived, 'key'> | null>) => {
    const key = {}
    const begun = work().then((arrived) => (arrived ? { key, ...arrived } : { key, page: null }))
    begun.catch(() => {}) // it may fail before anybody waits for it
    running.set(key, begun)
  }
  const read = (of: Stretch) =>
    run(async () => {
      const at = performance.now()
      return { of, page: await ask(hub, of.after), ms: performance.now() - at }
    })
  async function middlePage() {
    newest ??= (await newestOf(hub)).id
    const end = newest
    const spans = open.map((of) => ({ of, from: Number(of.after), to: ends.get(of) ?? Number(of.until ?? end) }))
    const [most] = spans.toSorted((a, b) => b.to - b.from - (a.to - a.from))
    const probe = most ? Math.floor((most.from + most.to) / 2) : 0
    if (!most || !(most.to - most.from > WORTH * width)) return null
    return { of: most.of, page: await ask(hub, String(probe)), ms: 0, probe }
  }

  try {
    for (const of of open) read(of)
    while (open.length > 0) {
      const { key, ...arrived } = await Promise.race(running.values())
      running.delete(key)
      if (arrived.page === null) {
        splits = MOST_SPLITS // the walk goes on as it is
        continue
      }
      const { page, ms, probe } = arrived
      let { of } = arrived
      const ids = ascending(page)
      const next = page.paging?.next?.after ?? null
      if (probe !== undefined) {
        splitting = false
        const first = ids?.[0] ?? Number.POSITIVE_INFINITY
        if (ids === null || first <= probe) splits = MOST_SPLITS
        if (!open.includes(of) || first <= Math.max(probe, Number(of.after)) || first >= Number(of.until ?? Infinity)) {
          ends.set(of, probe)
          continue
        }
        const rest: Stretch = { after: null, until: of.until }
        of.until = String(first)
        ends.delete(of)
        open.push(rest)
        of = rest
      }
      const { until } = of
      const met =
        until !== null && page.results.some((one) => idOf(one) === until || (ids && Number(idOf(one)) > Number(until)))
      if (next !== null && seen.has(`${until} ${next}`))
        throw new Fatal('data', 'HubSpot repeats a page: it would never end')
      seen.add(`${until} ${next}`)
      if (next === null || met) open.splice(open.indexOf(of), 1)
      else {
        of.after = next
        read(of)
      }
      pages += 1
      width = ids ? (ids.at(-1) ?? 0) - (ids[0] ?? 0) : 0
      tokensAreIds = ids !== null && next === String(ids.at(-1))
      const wanted = open.length === 1 || (open.length < MOST && (open.length * 1000) / ms < FEW_A_SECOND)
      if (wanted && tokensAreIds && pages >= SHORT && !splitting && splits < MOST_SPLITS) {
        splitting = true
        splits += 1
        run(() => middlePage().catch(() => null))
      }
      const [only] = open
      const whole = open.length === 1 && only?.until === null ? only.after : JSON.stringify(open)
      yield { page, next: open.length === 0 ? null : whole }
    }
  } finally {
    ahead.abort()
  }
}
