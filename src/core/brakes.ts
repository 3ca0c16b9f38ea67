// What needs the whole plan: order, weekly budget per person, cap per run, share of newly stalled deals, the confirmed
// preview. A brake never drops a write: it holds it, with its numbers, as data.
import { ageBlocks } from './archive.ts'
import { DECISION_RULES, type DealId, type Instant } from './deal.ts'
import { type DealIntent, type Hold, type PlanContext, type PlannedWrite, previewKey, type Totals } from './plan.ts'
import type { Settings } from './policy.ts'

type HeldBy = Partial<Record<Hold['brake'], number>>

/** What order, brakes and lists need of an intent: of a hundred thousand the whole would weigh. */
export interface Outline extends Pick<DealIntent, 'idleDays'> {
  readonly id: DealId
  readonly amount: number | null
  readonly stalledSince: Instant | null
  /** Null: on no list. */
  readonly listed: Pick<DealIntent, 'ref' | 'list' | 'deal'> | null
  /** What it has in common with many, kept once. */
  readonly like: Like
}
interface Like extends Pick<DealIntent, 'cleanUp' | 'waiting' | 'old'> {
  readonly decides: boolean
  readonly currency: string | null
  readonly rows: readonly RowOutline[]
}
/** `person`: of a new task. */
type RowOutline = Pick<PlannedWrite, 'group' | 'kind' | 'hold'> & { readonly person?: string }

/** Keeps equal plain data once. */
function sharing<T>(): (value: T) => T {
  const known = new Map<string, T>()
  return (value) => {
    const text = JSON.stringify(value)
    const first = known.get(text) ?? value
    known.set(text, first)
    return first
  }
}

export function outliner(): (intent: DealIntent) => Outline {
  const shared = sharing<Like>()
  return ({ ref, cleanUp, waiting, old, idleDays, stall, list, deal, rows }) => ({
    id: ref.id,
    amount: deal.amount,
    stalledSince: stall?.startedAt ?? null,
    idleDays,
    listed: list.length === 0 ? null : { ref, list, deal },
    like: shared({
      cleanUp,
      waiting,
      old,
      decides: stall !== null && DECISION_RULES.includes(stall.rule),
      currency: deal.currency,
      rows: rows.map((row) => {
        const { group, kind, hold } = row
        return { group, kind, hold, ...(row.kind === 'create-task' && { person: row.person }) }
      }),
    }),
  })
}

export interface Plan {
  /** In the plan's order, with why each row waits; null: it goes. `withHolds` makes them whole. */
  readonly deals: readonly { readonly id: DealId; readonly holds: readonly (Hold | null)[] }[]
  readonly dead: ReturnType<typeof oldDeals>
  readonly lists: Readonly<Record<List, ReturnType<typeof toListed>>>
  /** `writes`: rows that will be written. */
  readonly figures: Readonly<Totals> & { readonly writes: number; readonly held: Readonly<HeldBy> }
}

/** A deal's part of the plan: plain JSON. Printed it is the preview, executed it is the run. */
export function withHolds({ rows, standing, transitions }: DealIntent, holds: readonly (Hold | null)[]) {
  const own = rows.map((row, i) => ({ ...row, hold: holds[i] ?? null }))
  // A standing tells what the CRM shows: while a deal's fields wait, its stall does not open, nor end.
  const waits = own.some((row) => row.kind === 'fields' && row.hold !== null)
  return waits ? { rows: own, standing: null, transitions: [] } : { rows: own, standing, transitions }
}

type List = 'ownerLeft' | 'noStillOpen' | 'archive' | 'flagCleared' | 'categoryTheirs'
/** Below this many newly stalled deals the share says nothing. */
const FEW = 20

/** Why a row waits; null: it goes. */
type Brake = (row: RowOutline) => Hold | null
const braked = (rows: readonly RowOutline[], brake: Brake): readonly RowOutline[] =>
  rows.map((row) => {
    const hold = row.hold ?? brake(row)
    return hold === null ? row : { ...row, hold }
  })

/** Brakes, weekly budget and order over the intents of all deals of one connection. The same input, in any order of
 *  the intents, gives the same plan byte for byte. */
export function finishPlan(intents: readonly Outline[], totals: Totals, context: PlanContext): Plan {
  const ordered = [...intents].sort(byRank(context.reference.currency))
  const everything = holdAll(totals, context)
  const used = new Map(context.tasksThisWeek)
  const { maxWritesPerRun: limit } = context.settings.brakes
  let left = limit
  const { perOwnerPerWeek } = context.settings.tasks
  /** A person's new tasks of the week, over all connections. */
  const overBudget: Brake = (row) =>
    row.person !== undefined && (used.get(row.person) ?? 0) >= perOwnerPerWeek
      ? { brake: 'budget', owner: row.person, limit: perOwnerPerWeek, week: context.week }
      : null

  const heldBy: HeldBy = {}
  const shared = sharing<Plan['deals'][number]['holds']>()
  const deals: Plan['deals'][number][] = []
  for (const {
    id,
    like: { rows },
  } of ordered) {
    const unseen = preview(id, rows, context)
    let own = braked(rows, (row) => everything ?? overBudget(row) ?? unseen(row))
    const going = own.filter((row) => row.hold === null)
    if (going.length > left) own = braked(own, () => ({ brake: 'cap', limit }))
    else {
      left -= going.length
      for (const { person } of going) if (person !== undefined) used.set(person, (used.get(person) ?? 0) + 1)
    }
    for (const { hold } of own) if (hold !== null) heldBy[hold.brake] = (heldBy[hold.brake] ?? 0) + 1
    deals.push({ id, holds: shared(own.map(({ hold }) => hold)) })
  }
  const listed = (name: DealIntent['list'][number]) => ordered.flatMap((one) => toListed(one, name))
  return {
    deals,
    dead: oldDeals(ordered, context.settings),
    lists: {
      ownerLeft: listed('owner_left'),
      noStillOpen: listed('no_still_open'),
      archive: listed('archive'),
      flagCleared: listed('flag_cleared'),
      categoryTheirs: listed('category_theirs'),
    },
    figures: { ...totals, writes: limit - left, held: heldBy },
  }
}

/** Clean-ups; then deals that waited long, decision rules, most recently stalled, amount in company currency, id. */
function byRank(currency: string | null): (a: Outline, b: Outline) => number {
  const worth = (one: Outline) =>
    currency === null || one.like.currency === currency ? (one.amount ?? -Infinity) : -Infinity
  const down = <T extends number | boolean>(a: T, b: T) => (a === b ? 0 : a > b ? -1 : 1)
  return (a, b) =>
    down(a.like.cleanUp, b.like.cleanUp) ||
    down(a.like.waiting, b.like.waiting) ||
    down(a.like.decides, b.like.decides) ||
    down(a.stalledSince ?? 0, b.stalledSince ?? 0) ||
    down(worth(a), worth(b)) ||
    down(a.amount ?? 0, b.amount ?? 0) ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
}

/** Brakes that stop the whole run. */
function holdAll({ newlyStalled, open }: Totals, { settings, firstNightAt }: PlanContext): Hold | null {
  const limit = settings.brakes.maxNewlyStalledShare
  const many = firstNightAt !== null && newlyStalled > FEW && newlyStalled > limit * open
  return many ? { brake: 'share', newlyStalled, open, limit } : null
}

/** What was not in the confirmed preview waits a night. Flag and category of one deal go together or not at all. */
const preview = (id: DealId, rows: readonly RowOutline[], { confirm }: PlanContext): Brake => {
  if (confirm === null) return () => null
  const unknown = (row: RowOutline) => !confirm.keys.has(previewKey({ deal: { id }, ...row }))
  const whole = rows.some((row) => row.kind === 'fields' && unknown(row))
  return (row) => (whole || unknown(row) ? { brake: 'not_in_preview', preview: confirm.preview } : null)
}

function toListed({ listed, stalledSince: since }: Outline, on: DealIntent['list'][number]) {
  if (!listed?.list.includes(on)) return []
  const { name, url, ownerId: owner, amount, currency } = listed.deal
  return [{ deal: listed.ref, name, url, owner, amount, currency, since }]
}

/** Deals dead since before the first night, in their age blocks. `value`: sum of the amounts by currency; deals without a
 *  currency under `''`. */
function oldDeals(intents: readonly Outline[], settings: Settings) {
  const old = intents.filter(({ like }) => like.old !== null)
  if (old.length === 0) return []
  return ageBlocks(settings).map((block) => {
    const within = old.filter(
      ({ idleDays }) => idleDays > block.fromDays && idleDays <= (block.toDays ?? Number.POSITIVE_INFINITY),
    )
    const value: Record<string, number> = {}
    for (const { amount, like } of within)
      value[like.currency ?? ''] = (value[like.currency ?? ''] ?? 0) + (amount ?? 0)
    return { ...block, count: within.length, value }
  })
}
