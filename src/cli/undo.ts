// `unstall undo <run>`: takes a whole run back, except what people changed since.
import { openUndo } from '../../jobs/nightly.ts'
import { undoable } from '../core/undo.ts'
import { UsageError } from '../errors.ts'
import { rowsOfRun } from '../store/ledger.ts'
import { getRun } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { finished, nowOf, withApp } from './night.ts'
import { EXIT, type ExitCode, printJson } from './output.ts'
import { printOutcome } from './print.ts'

export async function undo(options: GlobalOptions, id: string): Promise<ExitCode> {
  return withApp(options.config, {}, async (app, progress, stop) => {
    const of = await getRun(app.ctx.db, id)
    if (of === null) throw new UsageError(`There is no run named ${id}. "unstall runs" lists them.`)
    if (of.kind === 'preview')
      throw new UsageError(`${id} is a preview: it wrote nothing, so there is nothing to take back.`)
    if (of.kind === 'undo')
      throw new UsageError(`${id} is itself an undo. Use "unstall run --again <deal>" to flag a deal again.`)
    if (of.status === 'open')
      throw new UsageError(`${id} is not over yet. Finish it first with: unstall run ${of.connection}`)
    const rows = await rowsOfRun(app.ctx.db, id)
    if (!rows.some(undoable))
      throw new UsageError(
        `Nothing of ${id} is left to take back${rows.some((row) => row.status === 'undone') ? ': it was undone before' : ''}.`,
      )
    const connection = app.connection(of.connection)
    const opened = await openUndo(app.ctx, of, await nowOf(connection, undefined, true))
    if ('busy' in opened)
      throw new UsageError(`${opened.busy.id} is under way. Finish it first with: unstall run ${of.connection}`)
    const run = await finished(app, opened.run, stop)
    const taken = await rowsOfRun(app.ctx.db, run.id)
    progress.end()
    if (options.json) printJson({ run: run.id, undoes: id, summary: run.summary, writes: taken })
    else await printOutcome(app.ctx.db, run, taken, app.ctx.texts(of.settings.language))
    return EXIT.ok
  })
}
