// Step 4: counts what became of the plan, remembers this night as the last good one, and closes the run.
import { Summary, withWrites } from '../src/report/summary.ts'
import { updateConnection } from '../src/store/connections.ts'
import { rowsOfRun } from '../src/store/ledger.ts'
import { fenced, finishRun, type Run } from '../src/store/runs.ts'
import type { JobContext } from './context.ts'

export async function report(ctx: JobContext, run: Run): Promise<void> {
  const summary = withWrites(Summary.parse(run.summary), await rowsOfRun(ctx.db, run.id))
  await fenced(ctx.db, run, async (trx) => {
    // An undo says nothing about how many deals are stalled tonight.
    if (run.kind !== 'undo') {
      const { open, stalled } = summary.figures
      await updateConnection(trx, run.connection, { lastGood: { run: run.id, at: run.now, open, stalled } })
    }
    await finishRun(trx, run, ctx.clock(), summary)
  })
  ctx.log.info({ run: run.id, connection: run.connection, writes: summary.writes }, 'run finished')
}
