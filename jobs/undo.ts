// Plans the taking back of a run: each field and task only where the CRM still holds what we wrote. The result is a
// plan in the ledger like any other and goes through the same `apply`.
import { makeCalendar } from '../src/core/calendar.ts'
import type { DealId, TaskKey } from '../src/core/deal.ts'
import { planUndo, undoable } from '../src/core/undo.ts'
import { NO_SUMMARY } from '../src/report/summary.ts'
import { getDeals, saveStandings, saveTransitions } from '../src/store/deals.ts'
import { insertPlan, ledgerForDeals, rowsOfRun, settle } from '../src/store/ledger.ts'
import { fenced, nextStep, type Run, saveSummary } from '../src/store/runs.ts'
import { settleUnknown } from './apply.ts'
import { crmTime, type JobContext } from './context.ts'

export async function undo(ctx: JobContext, run: Run, signal: AbortSignal): Promise<void> {
  const of = run.options.undoes
  if (of === undefined) throw new Error(`${run.id} does not say which run it takes back`)
  const connector = await ctx.connector(run.connection)
  await settleUnknown(ctx, run, connector, signal)
  const rows = (await rowsOfRun(ctx.db, of)).filter(undoable)
  const ids = [...new Set(rows.map((row) => row.deal.id))]
  const keys = rows.flatMap((row): [TaskKey, DealId][] => (row.kind === 'fields' ? [] : [[row.taskKey, row.deal.id]]))
  const fresh = await connector.read(ids, signal)
  const tasks = await connector.find(new Map(keys), signal)
  const stored = await getDeals(ctx.db, run.connection, ids)
  const ledger = await ledgerForDeals(ctx.db, run.connection, ids)
  const undone = rows[0]?.plannedAt ?? 0
  const plan = planUndo({
    run: run.id,
    now: run.now,
    rows,
    current: (id) => fresh.get(id) ?? 'unreadable',
    task: (key) => tasks.get(key) ?? null,
    standing: (id) => stored.get(id)?.standing ?? null,
    later: [...ledger.values()].flat().filter((row) => row.run !== of && row.plannedAt >= undone),
  })
  const name = (id: DealId) => stored.get(id)?.known.deal.name ?? id
  const conflicts = plan.conflicts.map(({ deal, field, group, why }) => ({
    deal: name(deal.id),
    what: field ?? group,
    why,
  }))
  await fenced(ctx.db, run, async (trx) => {
    const week = makeCalendar(run.settings).isoWeek(run.now)
    await insertPlan(trx, run, plan.rows, { now: run.now, week })
    await settle(
      trx,
      of,
      plan.left.map((key) => ({ key, status: 'left' as const })),
      crmTime(ctx, run),
    )
    const standings = plan.standings.map(({ deal, standing }) => ({ id: deal.id, standing }))
    await saveStandings(trx, run.connection, standings)
    await saveTransitions(trx, run.id, plan.transitions)
    await saveSummary(trx, run, { ...NO_SUMMARY, conflicts })
    await nextStep(trx, run, 'apply')
  })
}
