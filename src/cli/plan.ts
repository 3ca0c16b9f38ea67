// `unstall plan`: syncs and shows exactly what tonight would write and why. The preview is kept by name for a day.
import type { GlobalOptions } from './main.ts'
import { chosen, previews, withApp } from './night.ts'
import { bold, EXIT, type ExitCode, print, printJson } from './output.ts'
import { printPlan } from './print.ts'

export async function plan(options: GlobalOptions & { now?: number }, name: string): Promise<ExitCode> {
  return withApp(options.config, { only: name, previewsOnly: true }, async (app, progress, stop) => {
    const results = []
    for await (const { connection, run, rows } of previews(app, chosen(app, name), options.now, stop)) {
      const now = new Date(run.now).toISOString()
      results.push({ connection: connection.name, preview: run.id, now, summary: run.summary, writes: rows })
      progress.end()
      if (!options.json) await printPlan(app.ctx.db, connection, rows, run, app.ctx.texts(connection.settings.language))
    }
    if (options.json) printJson(results)
    else print(`\nNothing was written. Write it with: ${bold(confirmation(results.map(({ preview }) => preview)))}`)
    return EXIT.ok
  })
}

export const confirmation = (previews: readonly string[]): string =>
  `unstall run ${previews.map((id) => `--confirm ${id}`).join(' ')}`
