// Step 2: judges every open deal as last known and stores the plan: what tonight would write, and why. The shared
// weekly task budget is reserved in the same transaction that stores it. A preview keeps its plan beside the ledger.
import { finishPlan } from '../src/core/brakes.ts'
import { makeCalendar } from '../src/core/calendar.ts'
import type { DealId } from '../src/core/deal.ts'
import { judge } from '../src/core/judge.ts'
import { movementLog } from '../src/core/movement.ts'
import { type DealIntent, noTotals, type PlanContext, planContext, planDeal, previewKey } from '../src/core/plan.ts'
import { ownWrites } from '../src/core/reaffirm.ts'
import { goneStanding, memoryOf, type Standing } from '../src/core/stall.ts'
import { NO_SUMMARY, type Summary } from '../src/report/summary.ts'
import { getConnection, updateConnection } from '../src/store/connections.ts'
import { saveStandings, saveTransitions, streamDeals } from '../src/store/deals.ts'
import { insertPlan, ledgerForDeals, lockBudget, tasksInWeek } from '../src/store/ledger.ts'
import {
  fenced,
  finishRun,
  getPlan,
  nextStep,
  type Run,
  saveFigures,
  savePlan,
  saveSummary,
} from '../src/store/runs.ts'
import { settleUnknown } from './apply.ts'
import type { JobContext } from './context.ts'

const CHUNK = 1000

export async function decide(ctx: JobContext, run: Run, signal: AbortSignal): Promise<void> {
  if (run.kind !== 'preview') await settleUnknown(ctx, run, await ctx.connector(run.connection), signal)
  const { context, again } = await contextOf(ctx, run)
  const found = await judgeAll(ctx, run, context, again, signal)
  const { forecast, unreadable } = found
  await fenced(ctx.db, run, async (trx) => {
    await lockBudget(trx)
    const tasksThisWeek = new Map(await tasksInWeek(trx, context.week))
    for (const [person, n] of Object.entries(run.options.reserved ?? {}))
      tasksThisWeek.set(person, (tasksThisWeek.get(person) ?? 0) + n)
    const plan = finishPlan(found.intents, found.totals, { ...context, tasksThisWeek })
    const { figures, lists, dead } = plan
    const summary: Summary = { ...NO_SUMMARY, figures, forecast, dead: [...dead], lists: lists_(lists), unreadable }
    if (run.kind === 'preview') {
      await savePlan(trx, run, plan.rows)
      await finishRun(trx, run, ctx.clock(), summary)
      return
    }
    await insertPlan(trx, run, plan.rows, { now: run.now, week: context.week })
    const standings = plan.standings.map(({ deal, standing }) => ({ id: deal.id, standing, dueOn: null }))
    await saveStandings(trx, run.connection, [...standings, ...found.gone])
    await saveTransitions(trx, run.id, [...plan.transitions, ...found.goneTransitions])
    await saveFigures(trx, run, { ...figures, forecast })
    if (context.firstNightAt === null) await updateConnection(trx, run.connection, { confirmedAt: run.now })
    await saveSummary(trx, run, summary)
    await nextStep(trx, run, 'apply')
  })
}

const lists_ = (lists: ReturnType<typeof finishPlan>['lists']): Summary['lists'] => ({
  ownerLeft: [...lists.ownerLeft],
  noStillOpen: [...lists.noStillOpen],
  archive: [...lists.archive],
})

async function contextOf(ctx: JobContext, run: Run): Promise<{ context: PlanContext; again: ReadonlySet<DealId> }> {
  const stored = await getConnection(ctx.db, run.connection)
  if (stored?.reference == null) throw new Error(`nothing was pulled from ${run.connection} yet`)
  const preview = run.options.confirm
  const confirmed = preview === undefined ? null : await getPlan(ctx.db, preview)
  const context = planContext({
    run: run.id,
    now: run.now,
    settings: run.settings,
    texts: ctx.texts(run.settings.language),
    calendar: makeCalendar(run.settings),
    reference: stored.reference,
    firstNightAt: stored.confirmedAt,
    confirm:
      preview === undefined
        ? null
        : { preview, keys: new Set((confirmed ?? []).filter(({ hold }) => !hold).map(previewKey)) },
  })
  return { context, again: new Set(run.options.again) }
}

/** Keeps only the few deals that need something; the rest is counted and let go. */
async function judgeAll(
  ctx: JobContext,
  run: Run,
  context: PlanContext,
  again: ReadonlySet<DealId>,
  signal: AbortSignal,
) {
  const intents: DealIntent[] = []
  const totals = noTotals()
  const forecast: Summary['forecast'] = { all: {}, moving: {} }
  const gone: { id: DealId; standing: Standing; dueOn: null }[] = []
  const goneTransitions: DealIntent['transitions'][number][] = []
  let unreadable = 0
  let judged = 0
  let after: DealId | null = null
  for (;;) {
    signal.throwIfAborted()
    const page = await streamDeals(ctx.db, run.connection, { after, limit: CHUNK })
    const ledgers = await ledgerForDeals(
      ctx.db,
      run.connection,
      page.map(({ known }) => known.ref.id),
    )
    for (const { known, standing, ...deal } of page) {
      if (deal.gone) {
        const over = goneStanding(known.ref, standing, run.now)
        if (over.transitions.length > 0) gone.push({ id: known.ref.id, standing: over.standing, dueOn: null })
        goneTransitions.push(...over.transitions)
        continue
      }
      const ledger = ledgers.get(known.ref.id) ?? []
      const memory = memoryOf(standing)
      const log = movementLog(known, ownWrites(ledger), context, memory.stalledSince, run.now)
      const verdict = judge(known, log, memory, context, run.now)
      const item = { known, log, verdict, standing, ledger, unreadable: deal.unreadable !== null }
      const intent = planDeal({ ...item, again: again.has(known.ref.id) }, context, totals)
      if (intent !== null) intents.push(intent)
      if (deal.unreadable !== null) unreadable++
      if (verdict.state !== 'closed') {
        const { amount, currency } = known.deal
        const still = (intent?.standing ?? standing)?.state ?? 'moving'
        add(forecast.all, currency, amount)
        if (still === 'moving') add(forecast.moving, currency, amount)
      }
    }
    judged += page.length
    ctx.progress({ run: run.id, connection: run.connection, step: 'decide', done: judged, total: null })
    after = page.at(-1)?.known.ref.id ?? null
    if (after === null) return { intents, totals, forecast, gone, goneTransitions, unreadable }
  }
}

function add(sums: Record<string, number>, currency: string | null, amount: number | null): void {
  if (amount !== null) sums[currency ?? ''] = (sums[currency ?? ''] ?? 0) + amount
}
