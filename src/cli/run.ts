// `unstall run`: one night, now. Until a first night was confirmed it only previews.

import type { App } from '../app.ts'
import { UsageError } from '../errors.ts'
import { rowsOfRun } from '../store/ledger.ts'
import { getPlan, getRun, type Run } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { chosen, nowOf, oneDeal, runNight, withApp } from './night.ts'
import { bold, EXIT, type ExitCode, print, printJson, red, say } from './output.ts'
import { printOutcome, printPlan } from './print.ts'

interface Options extends GlobalOptions {
  readonly confirm?: readonly string[]
  readonly again?: readonly string[]
  readonly now?: number
}

export async function run(options: Options, name: string): Promise<ExitCode> {
  return withApp(options.config, { only: name }, async (app, progress, stop) => {
    const confirmed = await confirmedPreviews(app, options.confirm ?? [], name)
    const again = await dealsToFlagAgain(app, options.again ?? [])
    const connections = chosen(app, name).filter((one) => name || confirmed.size === 0 || confirmed.has(one.name))
    const results = []
    let problem = false
    for (const connection of connections) {
      try {
        const now = await nowOf(connection, options.now, true)
        const confirm = confirmed.get(connection.name)
        const asked = { kind: 'manual', now, again: again.get(connection.name) ?? [] } as const
        const done = await runNight(app, connection, confirm === undefined ? asked : { ...asked, confirm }, stop)
        const preview = done.kind === 'preview'
        const rows = preview ? [] : await rowsOfRun(app.ctx.db, done.id)
        const planned = preview ? await getPlan(app.ctx.db, done.id) : rows
        const { id, kind, status, summary } = done
        results.push({ connection: connection.name, run: id, kind, status, summary, writes: planned })
        problem ||= rows.some((row) => row.status === 'refused')
        progress.end()
        if (options.json) continue
        const words = app.ctx.texts(connection.settings.language)
        if (!preview) await printOutcome(app.ctx.db, done, rows, words)
        else {
          await printPlan(app.ctx.db, connection, planned, done, words)
          print(`\nNothing was written: the first night of ${connection.name} has to be confirmed.`)
          print(`Write it with: ${bold(`unstall run ${connection.name} --confirm ${done.id}`)}`)
        }
      } catch (error) {
        stop.throwIfAborted()
        // One connection down must not keep the others from their night.
        if (connections.length === 1 || error instanceof UsageError) throw error
        const text = error instanceof Error ? error.message : String(error)
        const message = text.startsWith(`${connection.name}: `) ? text.slice(connection.name.length + 2) : text
        problem = true
        progress.end()
        results.push({ connection: connection.name, error: message })
        say(`${red(`${connection.name}:`)} ${message}`)
      }
    }
    if (options.json) printJson(results)
    return problem ? EXIT.problem : EXIT.ok
  })
}

/** Connection -> preview. */
async function confirmedPreviews(app: App, ids: readonly string[], name: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (const id of ids) {
    const preview: Run | null = await getRun(app.ctx.db, id)
    if (preview === null || preview.kind !== 'preview')
      throw new UsageError(`There is no preview named ${id}. Run "unstall plan" and confirm the preview it names.`)
    if (name && preview.connection !== name)
      throw new UsageError(`${id} is a preview of ${preview.connection}, not of ${name}.`)
    found.set(preview.connection, id)
  }
  return found
}

async function dealsToFlagAgain(app: App, words: readonly string[]): Promise<ReadonlyMap<string, string[]>> {
  const found = new Map<string, string[]>()
  for (const word of words) {
    const { connection, id } = (await oneDeal(app, word)).known.ref
    found.set(connection, [...(found.get(connection) ?? []), id])
  }
  return found
}
