// Two observations of a deal -> what is known of it: the newest snapshot and the union of all evidence. What differs
// between two nights although the CRM's history says nothing of it becomes a change of its own. The store keeps it.
import type { Activity, Change, Deal, DealRef, Evidence, Instant, Known } from './deal.ts'

/** A field's value as changes carry it. */
export function fieldText(value: string | number | boolean | null): string | null {
  return value === null ? null : String(value)
}

/** CRM clocks differ from ours by less than this. */
export const TOLERANCE = 5 * 60_000

/** Fields whose changes are noticed between two nights. Those with a CRM history are dated by the snapshot, others by the run. */
const WATCHED: readonly (readonly [Change['field'], (deal: Deal) => string | number | boolean | null])[] = [
  ['pipeline', (deal) => deal.pipelineId],
  ['stage', (deal) => deal.stageId],
  ['amount', (deal) => deal.amount],
  ['closeDate', (deal) => deal.closeDate],
  ['owner', (deal) => deal.ownerId],
  ['category', (deal) => deal.category],
  ['stalled', (deal) => deal.own.stalled],
  ['decision', (deal) => deal.own.decision],
  ['decisionDue', (deal) => deal.own.decisionDue],
  ['parkedReason', (deal) => deal.own.parkedReason],
  ['parkedUntil', (deal) => deal.own.parkedUntil],
]
const FROM_HISTORY: ReadonlySet<Change['field']> = new Set(['pipeline', 'stage', 'amount', 'closeDate'])
/** An answer already there on the first night is dated by that night. */
const ON_FIRST_SIGHT: ReadonlySet<Change['field']> = new Set(['decision', 'decisionDue', 'parkedReason', 'parkedUntil'])

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null
/** Equal as JSON: what is undefined is not there. */
function same(a: unknown, b: unknown): boolean {
  if (a === b || !isObject(a) || !isObject(b)) return a === b
  for (const key in b) if (!(key in a) && b[key] !== undefined) return false
  for (const key in a) if (!same(a[key], b[key])) return false
  return true
}

/** Nothing of `more` is new, told in the order that is known. */
function tellsNothing<T>(old: readonly T[], more: readonly T[]): boolean {
  let at = 0
  return more.every((one) => {
    while (at < old.length && !same(old[at], one)) at++
    return at++ < old.length
  })
}

function union<T extends { readonly at: Instant }>(
  old: readonly T[],
  more: readonly T[],
  key: (one: T) => string,
  prefer: (a: T, b: T) => T,
): readonly T[] {
  if (tellsNothing(old, more)) return old
  const all = new Map(old.map((one) => [key(one), one]))
  for (const one of more) {
    const had = all.get(key(one))
    all.set(key(one), had === undefined ? one : prefer(had, one))
  }
  return [...all].sort(([a, x], [b, y]) => x.at - y.at || (a < b ? -1 : 1)).map(([, one]) => one)
}

/** One after the other at different moments: as a history comes most often, and as `union` would leave it. */
const ascending = (all: readonly Change[]): boolean => all.every(({ at }, i) => i === 0 || (all[i - 1]?.at ?? at) < at)
const changeKey = ({ field, at, source, to }: Change) => `${field} ${at} ${source} ${to === null ? to : `"${to}"`}`
/** The same change told twice: the telling that says more, whichever came first. */
const fuller = (a: Change, b: Change): Change =>
  (a.from === undefined) !== (b.from === undefined)
    ? a.from === undefined
      ? b
      : a
    : `${a.by} ${a.from}` <= `${b.by} ${b.from}`
      ? a
      : b
/** A meeting moved to another time keeps its id: the later one stands, and what is known of who took part. */
const later = (a: Activity, b: Activity): Activity => {
  const rank = (one: Activity) => `${one.outside === null ? 0 : one.outside ? 2 : 1} ${one.kind}`
  return a.at !== b.at ? (a.at > b.at ? a : b) : rank(a) >= rank(b) ? a : b
}

const isNewStage = (one: Change, seen: Deal): boolean =>
  one.field === 'stage' && one.source !== 'observed' && one.at > seen.modifiedAt

/**
 * Merges one observation into what is known. `now` is the frozen time of the run. Idempotent; the union of evidence
 * does not depend on order; an older observation (by `modifiedAt`) never overwrites a newer one. Where the CRM's
 * history says nothing of a difference between two observations, it becomes a change with source `observed`.
 * Evidence alone: hand in `previous.deal` as `deal`. Where nothing is new it returns `previous` itself.
 */
export function observe(previous: Known | null, seen: Seen, now: Instant): Known {
  const merged = merge(previous, seen, now)
  return previous !== null && same(previous, merged) ? previous : merged
}

interface Seen {
  readonly ref: DealRef
  readonly deal: Deal
  readonly evidence: Evidence | null
}

function merge(previous: Known | null, { ref, deal, evidence }: Seen, now: Instant): Known {
  const told = evidence?.changes ?? []
  const known = previous?.changes ?? []
  const changes = known.length === 0 && ascending(told) ? told : union(known, told, changeKey, fuller)
  const activities = union(previous?.activities ?? [], evidence?.activities ?? [], (one) => one.id, later)
  if (previous && deal.modifiedAt < previous.deal.modifiedAt) return { ...previous, changes, activities }
  const since = previous === null ? Number.NEGATIVE_INFINITY : previous.deal.modifiedAt - TOLERANCE
  const found: Change[] = []
  const note = (field: Change['field'], at: Instant, from: string | null | undefined, to: string | null) =>
    found.push({ field, at, ...(from === undefined ? {} : { from }), to, by: 'unknown', source: 'observed' })
  for (const [field, value] of WATCHED) {
    if (previous === null && !ON_FIRST_SIGHT.has(field)) continue
    const was = previous === null ? undefined : value(previous.deal)
    const is = value(deal)
    if (was === is || (was === undefined && is === null)) continue
    const from = was === undefined ? was : fieldText(was)
    const to = fieldText(is)
    const last = changes.findLast((one) => one.field === field && one.source !== 'observed')
    if (last !== undefined && last.to === to && last.at >= since) continue
    // Where the CRM tells a stage's history only, a pipeline was changed by the save that changed the stage.
    const saved = field === 'pipeline' && previous ? changes.find((one) => isNewStage(one, previous.deal)) : undefined
    note(field, FROM_HISTORY.has(field) ? Math.min(saved?.at ?? deal.modifiedAt, now) : now, from, to)
  }
  const series = deal.meeting?.series
  if (deal.meeting && series && !changes.some((one) => one.field === 'meeting' && one.to?.startsWith(`${series} `)))
    note('meeting', now, null, `${series} ${deal.meeting.id}`)
  return {
    ref,
    deal,
    changes: union(changes, found, changeKey, fuller),
    activities,
    firstSeen: previous?.firstSeen ?? now,
  }
}
