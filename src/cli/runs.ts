// `unstall runs`: what was done, night by night.

import { localTime } from '../core/calendar.ts'
import { Summary, written } from '../report/summary.ts'
import { listRuns } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { withApp } from './night.ts'
import { EXIT, type ExitCode, green, print, printJson, red, table, yellow } from './output.ts'

const COLOURS = { open: yellow, done: green, failed: red, stopped: yellow } as const

export async function runs(options: GlobalOptions & { limit?: unknown }): Promise<ExitCode> {
  return withApp(options.config, { concurrency: 0 }, async (app) => {
    const limit = typeof options.limit === 'number' ? options.limit : 20
    const found = await listRuns(app.ctx.db, { limit })
    if (options.json) {
      printJson(found.map(({ settings: _, ...run }) => run))
      return EXIT.ok
    }
    if (found.length === 0) {
      print('No run yet. Begin with: unstall plan')
      return EXIT.ok
    }
    const columns = [
      { title: 'Run' },
      { title: 'Kind' },
      { title: 'State' },
      { title: 'Judged at' },
      { title: 'Stalled', align: 'right' },
      { title: 'Written', align: 'right' },
      { title: 'Held', align: 'right' },
      { title: 'Refused', align: 'right' },
    ] as const
    const lines = found.map((run) => {
      const summary = Summary.safeParse(run.summary).data
      const number = (status: 'done' | 'held' | 'refused') => (summary ? String(written(summary, status)) : '')
      const stalled = summary && run.kind !== 'undo' ? String(summary.figures.stalled) : ''
      const state = run.status === 'open' ? `${run.status} (${run.step})` : run.status
      return [
        run.id,
        run.kind,
        COLOURS[run.status](state),
        localTime(run.now, run.settings.timezone),
        stalled,
        number('done'),
        number('held'),
        number('refused'),
      ]
    })
    print(table(columns, lines))
    // Whole, beneath the table: a column would cut them where it matters.
    for (const { id, problem, options } of found)
      if (problem ?? options.undoes) print(`${id}: ${problem ?? `takes back ${options.undoes}`}`)
    return EXIT.ok
  })
}
