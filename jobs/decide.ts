// Step 2: judges every open deal as last known and stores the plan: what tonight would write, and why. The shared
// weekly task budget is reserved in the same transaction that stores it. A preview keeps its plan beside the ledger.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { finishPlan, type Outline, outliner, type Plan, withHolds } from '../src/core/brakes.ts'
import { makeCalendar } from '../src/core/calendar.ts'
import type { DealId, Instant } from '../src/core/deal.ts'
import { ALWAYS, type Counted, planAndCount } from '../src/core/due.ts'
import { fieldsSince } from '../src/core/fields.ts'
import { makeForecast, type PartSum } from '../src/core/forecast.ts'
import type { Verdict } from '../src/core/judge.ts'
import type { MovementLog } from '../src/core/movement.ts'
import {
  addTotals,
  judged,
  type LedgerRow,
  noTotals,
  type PlanContext,
  planContext,
  previewKey,
} from '../src/core/plan.ts'
import type { Settings } from '../src/core/policy.ts'
import { goneStanding, type Standing, type Transition } from '../src/core/stall.ts'
import { NO_SUMMARY, type Summary } from '../src/report/summary.ts'
import { getConnection, updateConnection } from '../src/store/connections.ts'
import {
  type Due,
  dueDeals,
  freshEstimates,
  getDeals,
  judgeAgain,
  notDue,
  quarantined,
  type StoredDeal,
  saveDue,
  saveStandings,
  saveTransitions,
  streamDeals,
  watch,
} from '../src/store/deals.ts'
import { insertPlan, ledgerForDeals, lockBudget, tasksInWeek } from '../src/store/ledger.ts'
import {
  fenced,
  finishRun,
  nextStep,
  previewed,
  type Run,
  saveFigures,
  savePlan,
  saveSummary,
} from '../src/store/runs.ts'
import type { Executor } from '../src/store/schema.ts'
import { settleUnknown } from './apply.ts'
import type { JobContext } from './context.ts'

/** Deals a page: a deal with its ledger weighs some 20 kB. */
const CHUNK = 250

export async function decide(ctx: JobContext, run: Run, signal: AbortSignal): Promise<void> {
  if (run.kind !== 'preview') await settleUnknown(ctx, run, await ctx.connector(run.connection), signal)
  let context = await contextFor(ctx, run)
  let found = await judgeAll(ctx, run, context, signal)
  // Flags that are off: by people, or because their field went after the pull had begun.
  if (found.totals.dismissed > 0 && (await flagFieldWent(ctx, run, signal))) {
    context = await contextFor(ctx, run)
    found = await judgeAll(ctx, run, context, signal)
  }
  const { unreadable } = found
  const sums = (value: (sum: PartSum) => number) =>
    Object.fromEntries(found.parts.total.map((sum) => [sum.currency ?? '', value(sum)]))
  const forecast = { all: sums((sum) => sum.value), moving: sums((sum) => sum.movingValue) }
  await fenced(ctx.db, run, async (trx) => {
    await lockBudget(trx)
    const tasksThisWeek = new Map(await tasksInWeek(trx, context.week))
    for (const [person, n] of Object.entries(run.options.reserved ?? {}))
      tasksThisWeek.set(person, (tasksThisWeek.get(person) ?? 0) + n)
    // The outlines are let go with it.
    const { deals, figures, lists, dead } = finishPlan(found.outlines.splice(0), found.totals, {
      ...context,
      tasksThisWeek,
    })
    const summary: Summary = { ...NO_SUMMARY, figures, forecast, dead: [...dead], lists, unreadable }
    if (run.kind === 'preview') {
      for await (const some of planned(trx, run, deals, found))
        await savePlan(
          trx,
          run,
          some.flatMap((one) => one.rows),
        )
      await finishRun(trx, run, ctx.clock(), summary)
      return
    }
    const completed: DealId[] = []
    for await (const some of planned(trx, run, deals, found)) {
      const rows = some.flatMap((one) => one.rows)
      await insertPlan(trx, run, rows, { now: run.now, week: context.week })
      const standings = some.flatMap(({ id, standing }) => (standing === null ? [] : [{ id, standing }]))
      await saveStandings(trx, run.connection, standings)
      const transitions = some.flatMap((one) => one.transitions)
      await saveTransitions(trx, run.id, transitions)
      completed.push(...rows.flatMap(({ kind, deal }) => (kind === 'complete-task' ? [deal.id] : [])))
    }
    await saveStandings(trx, run.connection, found.gone)
    await watch(trx, run.connection, completed)
    await saveTransitions(trx, run.id, found.goneTransitions)
    await saveFigures(trx, run, { ...figures, forecast, parts: found.parts })
    if (context.firstNightAt === null) await updateConnection(trx, run.connection, { confirmedAt: run.now })
    await updateConnection(trx, run.connection, { judged: { under: found.under, at: run.now } })
    await saveSummary(trx, run, summary)
    await nextStep(trx, run, 'apply')
  })
}

type Found = Awaited<ReturnType<typeof judgeAll>>

/** The plan, whole, page by page: each deal is planned once more, because what a hundred thousand need would weigh too
 *  much to keep. Only this run writes meanwhile, so it is what it was; a plan that is not is not stored. */
async function* planned(trx: Executor, { connection }: Run, deals: Plan['deals'], { plan }: Found) {
  for (let from = 0; from < deals.length; from += CHUNK) {
    const some = deals.slice(from, from + CHUNK)
    const ids = some.map(({ id }) => id)
    const stored = await getDeals(trx, connection, ids)
    const ledgers = await ledgerForDeals(trx, connection, ids)
    yield some.map(({ id, holds }) => {
      const deal = stored.get(id)
      const intent = deal === undefined || deal.gone ? null : plan(deal, ledgers).intent
      if (intent?.rows.length !== holds.length) throw new Error(`deal ${id} changed while it was judged`)
      return { id, ...withHolds(intent, holds) }
    })
  }
}

/** Looks at our fields once more; what became of them is then in the connection's reference. */
async function flagFieldWent(ctx: JobContext, run: Run, signal: AbortSignal): Promise<boolean> {
  const stored = await getConnection(ctx.db, run.connection)
  const fresh = await (await ctx.connector(run.connection)).reference(signal)
  const { reference, back } = fieldsSince(stored?.reference ?? null, fresh, run.now)
  await fenced(ctx.db, run, (trx) =>
    updateConnection(trx, run.connection, { reference, ...(back && { cursor: null }) }),
  )
  return back || reference.fields.stalled?.readable === false
}

/** One deal judged at `now`, as `decide` does it. Throws when nothing was pulled yet. */
export async function judgement(
  ctx: JobContext,
  at: { readonly connection: string; readonly settings: Settings; readonly now: Instant },
  stored: StoredDeal,
): Promise<{ context: PlanContext; log: MovementLog; verdict: Verdict }> {
  const context = await contextFor(ctx, { id: '', options: {}, ...at })
  const { id } = stored.known.ref
  const ledger = (await ledgerForDeals(ctx.db, at.connection, [id])).get(id) ?? []
  return { context, ...judged(stored, ledger, context) }
}

type ContextOf = Pick<Run, 'id' | 'connection' | 'settings' | 'now' | 'options'>

async function contextFor(ctx: JobContext, run: ContextOf): Promise<PlanContext> {
  const stored = await getConnection(ctx.db, run.connection)
  if (stored?.reference == null) throw new Error(`nothing was pulled from ${run.connection} yet`)
  const { confirm: preview } = run.options
  const { language } = run.settings
  const keys = new Set(preview === undefined ? [] : (await previewed(ctx.db, preview)).map(previewKey))
  return planContext({
    run: run.id,
    now: run.now,
    settings: run.settings,
    texts: ctx.texts(language).withTemplates(run.settings.texts?.[language]),
    calendar: makeCalendar(run.settings),
    reference: stored.reference,
    firstNightAt: stored.confirmedAt,
    confirm: preview === undefined ? null : { preview, keys },
  })
}

/** The program's own rules, whatever version it calls itself. */
const RULES = createHash('sha256')
const CORE = join(import.meta.dirname, '../src/core')
for (const file of readdirSync(CORE).sort()) RULES.update(readFileSync(join(CORE, file)))
const rules = RULES.digest('hex')

/** All that a judgement depends on beside the deal, its ledger and the time. When the first night was is no part of it:
 *  until then nothing is stalled that needs nothing. */
function underOf({ settings, reference }: PlanContext): string {
  const owners = reference.owners.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const all = JSON.stringify([rules, settings, { ...reference, owners }])
  return createHash('sha256').update(all).digest('hex')
}

/** Judges what changed or fell due, or everything where rules, settings or reference are not those of the night before.
 *  Keeps the outlines of the few deals that need something, and how to plan them once more (`plan`); the rest is counted
 *  and let go. A preview leaves no trace. */
async function judgeAll(ctx: JobContext, run: Run, context: PlanContext, signal: AbortSignal) {
  const { connection, now } = run
  const again: ReadonlySet<DealId> = new Set(run.options.again)
  const outlines: Outline[] = []
  const outlineOf = outliner()
  const totals = noTotals()
  const forecast = makeForecast(context.reference)
  const count = ({ totals: one, cell }: Counted, cents: number, deals: number) => {
    addTotals(totals, one, deals)
    if (cell !== null) forecast.addCell(cell, cents, deals)
  }
  const gone: { id: DealId; standing: Standing }[] = []
  const goneTransitions: Transition[] = []
  const held = new Set((await quarantined(ctx.db, connection)).map(({ id }) => id))
  const plan = (deal: StoredDeal, ledgers: ReadonlyMap<DealId, readonly LedgerRow[]>) => {
    const { id } = deal.known.ref
    const ledger = ledgers.get(id) ?? []
    const about = { known: deal.known, ledger, unreadable: held.has(id), again: again.has(id) }
    return planAndCount({ ...about, ...judged(deal, ledger, context) }, context)
  }
  const under = underOf(context)
  const last = (await getConnection(ctx.db, connection))?.judged ?? null
  const everything = last?.under !== under || now < last.at
  const notes = run.kind !== 'preview'
  await judgeAgain(ctx.db, connection, [...again])
  await freshEstimates(ctx.db)
  // What is noted from here on holds under these rules only, and not before `now`.
  if (notes)
    await fenced(ctx.db, run, (trx) =>
      updateConnection(trx, connection, { judged: everything ? null : { under, at: now } }),
    )
  if (!everything)
    for (const { counted, cents, deals } of await notDue(ctx.db, connection, now))
      if (counted !== null) count(counted, cents, deals)
  let done = 0
  let after: StoredDeal | null = null
  for (;;) {
    signal.throwIfAborted()
    const page: readonly StoredDeal[] = everything
      ? await streamDeals(ctx.db, connection, { after: after?.known.ref.id ?? null, limit: CHUNK })
      : await dueDeals(ctx.db, connection, now, { after, limit: CHUNK })
    const ledgers = await ledgerForDeals(
      ctx.db,
      connection,
      page.map(({ known }) => known.ref.id),
    )
    const due: Due[] = []
    for (const deal of page) {
      const { ref } = deal.known
      const { id } = ref
      if (deal.gone) {
        const over = goneStanding(ref, deal.standing, now)
        if (over.transitions.length > 0) gone.push({ id, standing: over.standing })
        goneTransitions.push(...over.transitions)
        continue
      }
      const { intent, counted, cents, dueAt } = plan(deal, ledgers)
      if (intent !== null) outlines.push(outlineOf(intent))
      count(counted, cents, 1)
      if (dueAt === ALWAYS) due.push({ id, dueAt, counted: null, cents: 0 })
      else due.push({ id, dueAt, counted, cents })
    }
    if (notes && due.length > 0) await fenced(ctx.db, run, (trx) => saveDue(trx, connection, due))
    done += page.length
    ctx.progress({ run: run.id, connection, step: 'decide', done, total: null })
    after = page.at(-1) ?? null
    if (after === null)
      return { outlines, plan, totals, parts: forecast.parts(), gone, goneTransitions, unreadable: held.size, under }
  }
}
