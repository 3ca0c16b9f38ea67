// `unstall undo <run>`: takes a whole run back, or some deals of it, except what people changed since.
import { openUndo } from '../../jobs/nightly.ts'
import { drawUndo, requireUndoable, runToUndo } from '../../jobs/undo.ts'
import type { App } from '../app.ts'
import type { DealId } from '../core/deal.ts'
import { UsageError } from '../errors.ts'
import { rowsOfRun } from '../store/ledger.ts'
import type { Run } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { finished, nowOf, oneDeal, withApp } from './night.ts'
import { bold, EXIT, type ExitCode, print, printJson } from './output.ts'
import { didWords, printLeft, printOutcome } from './print.ts'

interface Options extends GlobalOptions {
  readonly deal?: readonly string[]
  readonly preview?: boolean
}

export async function undo(options: Options, id: string): Promise<ExitCode> {
  const { preview = false } = options
  return withApp(options.config, preview ? { concurrency: 0 } : {}, async (app, progress, stop) => {
    const of = await runToUndo(app.ctx.db, id)
    const deals = await dealsToUndo(app, of, options.deal ?? [])
    const now = await nowOf(app.connection(of.connection), undefined, true)
    if (preview) {
      const { connection, settings } = of
      const at = { id: `${id}-undo`, connection, now, settings, options: { undoes: id, ...(deals && { deals }) } }
      const { plan, left } = await drawUndo(app.ctx, at, stop)
      progress.end()
      if (options.json) printJson({ undoes: id, writes: plan.rows, left })
      else {
        const done = didWords((group) => plan.rows.filter((row) => row.group === group).length, true)
        print(`${bold(id)}: ${done === '' ? 'nothing could be taken back' : `to be taken back: ${done}`}.`)
        printLeft(left, '--json')
        print('\nNothing was written.')
      }
      return EXIT.ok
    }
    const opened = await openUndo(app.ctx, of, now, deals)
    if ('busy' in opened)
      throw new UsageError(`${opened.busy.id} is under way. Wait for it, or end it with: unstall run ${of.connection}`)
    const run = await finished(app, opened.run, stop)
    const taken = await rowsOfRun(app.ctx.db, run.id)
    progress.end()
    if (options.json) printJson({ run: run.id, undoes: id, summary: run.summary, writes: taken })
    else await printOutcome(app.ctx.db, run, taken, app.ctx.texts(of.settings.language))
    return taken.some((row) => row.status === 'refused') ? EXIT.problem : EXIT.ok
  })
}

/** Undefined: all. @throws UsageError where nothing of one is left to take back */
async function dealsToUndo(app: App, of: Run, asked: readonly string[]): Promise<readonly DealId[] | undefined> {
  const deals: DealId[] = []
  for (const words of asked) {
    const { id } = (await oneDeal(app, words, of.connection)).known.ref
    await requireUndoable(app.ctx.db, of.id, `${of.id} on "${words}"`, [id])
    deals.push(id)
  }
  return asked.length === 0 ? undefined : deals
}
