// Plans the taking back of a run: each field and task only where the CRM still holds what we wrote. The result is a
// plan in the ledger like any other and goes through the same `apply`.
import { makeCalendar } from '../src/core/calendar.ts'
import type { DealId } from '../src/core/deal.ts'
import { asLastKnown } from '../src/core/fields.ts'
import { planUndo, type UndoPlan, undoable } from '../src/core/undo.ts'
import { UsageError } from '../src/errors.ts'
import { type Left, leftByUndo, NO_SUMMARY } from '../src/report/summary.ts'
import { getConnection } from '../src/store/connections.ts'
import { getDeals, saveStandings, saveTransitions } from '../src/store/deals.ts'
import { insertPlan, ledgerForDeals, rowsOfRun, settle } from '../src/store/ledger.ts'
import { fenced, getRun, nextStep, type Run, saveSummary } from '../src/store/runs.ts'
import type { Db } from '../src/store/schema.ts'
import { settleUnknown, sought } from './apply.ts'
import { crmTime, type JobContext } from './context.ts'

/** @throws UsageError when there is no such run, or none that can be taken back */
export async function runToUndo(db: Db, id: string): Promise<Run> {
  const of = await getRun(db, id)
  if (of === null) throw new UsageError(`There is no run named ${id}. "unstall runs" lists them.`)
  if (of.kind === 'preview')
    throw new UsageError(`${id} is a preview: it wrote nothing, so there is nothing to take back.`)
  if (of.kind === 'undo')
    throw new UsageError(`${id} is itself an undo. Use "unstall run --again <deal>" to flag a deal again.`)
  if (of.status === 'open')
    throw new UsageError(`${id} is not over yet. Finish it first with: unstall run ${of.connection}`)
  await requireUndoable(db, id, id)
  return of
}

/** @throws UsageError where nothing of a run, or of these deals of it, is left to take back. `what`: how it is called. */
export async function requireUndoable(db: Db, run: string, what: string, deals?: readonly DealId[]): Promise<void> {
  const rows = await rowsOfRun(db, run, deals)
  if (rows.some(undoable)) return
  const before = rows.some((row) => row.status === 'undone') ? ': it was undone before' : ''
  throw new UsageError(`Nothing of ${what} is left to take back${before}.`)
}

/** What taking back would do now: reads the CRM, writes nothing anywhere. */
export async function drawUndo(
  ctx: JobContext,
  run: Pick<Run, 'id' | 'connection' | 'now' | 'settings' | 'options'>,
  signal: AbortSignal,
): Promise<{ readonly plan: UndoPlan; readonly left: readonly Left[] }> {
  const { undoes: of, deals: only } = run.options
  if (of === undefined) throw new Error(`${run.id} does not say which run it takes back`)
  const connector = await ctx.connector(run.connection)
  const rows = (await rowsOfRun(ctx.db, of)).filter((row) => undoable(row) && (only?.includes(row.deal.id) ?? true))
  const ids = [...new Set(rows.map((row) => row.deal.id))]
  const keys = rows.flatMap((row) => (row.kind === 'fields' ? [] : [[row.taskKey, sought(row)] as const]))
  const stored = await getDeals(ctx.db, run.connection, ids)
  const ledger = await ledgerForDeals(ctx.db, run.connection, ids)
  const reference = (await getConnection(ctx.db, run.connection))?.reference ?? (await connector.reference(signal))
  const fresh = await connector.read(ids, signal)
  const tasks = await connector.find(new Map(keys), signal)
  const plan = planUndo({
    run: run.id,
    now: run.now,
    policy: run.settings.policy,
    reference,
    rows,
    current: (id) => {
      const deal = fresh.get(id) ?? 'unreadable'
      return typeof deal === 'object'
        ? asLastKnown(deal, stored.get(id)?.known.deal, ledger.get(id) ?? [], reference)
        : deal
    },
    task: (key) => tasks.get(key) ?? null,
    standing: (id) => stored.get(id)?.standing ?? null,
    others: [...ledger.values()].flat().filter((row) => row.run !== of),
  })
  const name = (id: DealId) => stored.get(id)?.known.deal.name ?? id
  return { plan, left: plan.conflicts.map((one) => leftByUndo(one, name(one.deal.id), run.settings.timezone)) }
}

export async function undo(ctx: JobContext, run: Run, signal: AbortSignal): Promise<void> {
  await settleUnknown(ctx, run, await ctx.connector(run.connection), signal)
  const { plan, left } = await drawUndo(ctx, run, signal)
  const words = new Map(plan.conflicts.map(({ key }, at) => [key, left[at]?.words]))
  await fenced(ctx.db, run, async (trx) => {
    const week = makeCalendar(run.settings).isoWeek(run.now)
    await insertPlan(trx, run, plan.rows, { now: run.now, week })
    const over = plan.left.map(
      (key) => ({ key, status: 'left', message: words.get(key) ?? 'nothing to take back' }) as const,
    )
    await settle(trx, run.options.undoes ?? '', over, crmTime(ctx, run))
    const standings = plan.standings.map(({ deal, standing }) => ({ id: deal.id, standing }))
    await saveStandings(trx, run.connection, standings)
    await saveTransitions(trx, run.id, plan.transitions)
    await saveSummary(trx, run, { ...NO_SUMMARY, conflicts: left })
    await nextStep(trx, run, 'apply')
  })
}
