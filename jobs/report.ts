// Step 4: counts what became of the plan and closes the run.
import { Summary, withWrites } from '../src/report/summary.ts'
import { rowsOfRun } from '../src/store/ledger.ts'
import { finishRun, type Run } from '../src/store/runs.ts'
import type { JobContext } from './context.ts'

export async function report(ctx: JobContext, run: Run): Promise<void> {
  const summary = withWrites(Summary.parse(run.summary), await rowsOfRun(ctx.db, run.id))
  await finishRun(ctx.db, run, ctx.clock(), summary)
  ctx.log.info({ run: run.id, connection: run.connection, writes: summary.writes }, 'run finished')
}
