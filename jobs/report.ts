// Step 4: counts what became of the plan, closes the run, and lets go of what is older than anybody needs.
import { leftAlone, Summary, withWrites } from '../src/report/summary.ts'
import { getDeals } from '../src/store/deals.ts'
import { leftRows } from '../src/store/ledger.ts'
import { forget } from '../src/store/retention.ts'
import { finishRun, type Run } from '../src/store/runs.ts'
import { countWrites } from '../src/store/writes.ts'
import type { JobContext } from './context.ts'

export async function report(ctx: JobContext, run: Run): Promise<void> {
  const planned = Summary.parse(run.summary)
  const left = leftAlone(await leftRows(ctx.db, run.id))
  const deals = await getDeals(ctx.db, run.connection, [...new Set(left.map(({ deal }) => deal))])
  const named = left.map((one) => ({ ...one, name: deals.get(one.deal)?.known.deal.name ?? one.deal }))
  const conflicts = [...planned.conflicts, ...named]
  const summary = withWrites({ ...planned, conflicts }, await countWrites(ctx.db, run))
  await finishRun(ctx.db, run, ctx.clock(), summary)
  ctx.log.info({ run: run.id, connection: run.connection, writes: summary.writes }, 'run finished')
  // The night itself is done: this is tried again with the next one.
  await forget(ctx.db, run.connection, run.now).catch((err: unknown) =>
    ctx.log.warn({ run: run.id, connection: run.connection, err }, 'old rows could not be deleted'),
  )
}
