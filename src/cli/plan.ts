// `unstall plan`: syncs and shows exactly what tonight would write and why. The preview is kept by name for a day.
import { getPlan, type Run } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { chosen, nowOf, runNight, withApp } from './night.ts'
import { bold, EXIT, type ExitCode, print, printJson } from './output.ts'
import { printPlan } from './print.ts'

export async function plan(options: GlobalOptions & { now?: unknown }, name: string): Promise<ExitCode> {
  return withApp(options.config, { only: name }, async (app, progress, stop) => {
    const previews: Run[] = []
    const results = []
    // The weekly task budget is shared: the second preview counts on what the first would take.
    const reserved: Record<string, number> = {}
    for (const connection of chosen(app, name)) {
      const now = await nowOf(connection, typeof options.now === 'number' ? options.now : undefined, false)
      const { system, settings } = connection
      const run = await runNight(
        app,
        { connection: connection.name, system, settings, kind: 'preview', now, reserved: { ...reserved } },
        stop,
      )
      const rows = (await getPlan(app.ctx.db, run.id)) ?? []
      for (const row of rows)
        if (row.kind === 'create-task' && row.hold === null) reserved[row.person] = (reserved[row.person] ?? 0) + 1
      previews.push(run)
      results.push({
        connection: connection.name,
        preview: run.id,
        now: new Date(run.now).toISOString(),
        summary: run.summary,
        writes: rows,
      })
      progress.end()
      if (!options.json) await printPlan(app.ctx.db, connection, rows, run, app.ctx.texts(settings.language))
    }
    if (options.json) printJson(results)
    else {
      print('\nNothing was written.')
      print(`Write it with: ${bold(`unstall run ${previews.map(({ id }) => `--confirm ${id}`).join(' ')}`)}`)
    }
    return EXIT.ok
  })
}
