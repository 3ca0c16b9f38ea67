// `unstall run`: one night, now. Until a first night was confirmed it only previews.

import type { App } from '../app.ts'
import { UsageError } from '../errors.ts'
import { findDeal } from '../store/deals.ts'
import { rowsOfRun } from '../store/ledger.ts'
import { getPlan, getRun, type Run } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { chosen, nowOf, runNight, withApp } from './night.ts'
import { bold, EXIT, type ExitCode, print, printJson, red, say } from './output.ts'
import { printOutcome, printPlan } from './print.ts'

type Options = GlobalOptions & { confirm?: unknown; again?: unknown; now?: unknown }
const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []

export async function run(options: Options, name: string): Promise<ExitCode> {
  return withApp(options.config, { only: name }, async (app, progress, stop) => {
    const confirmed = await previews(app, texts(options.confirm))
    const again = await dealsToFlagAgain(app, texts(options.again))
    const connections = chosen(app, name).filter((one) => name || confirmed.size === 0 || confirmed.has(one.name))
    const results = []
    let problem = false
    for (const connection of connections) {
      try {
        const now = await nowOf(connection, typeof options.now === 'number' ? options.now : undefined, true)
        const confirm = confirmed.get(connection.name)
        const night = {
          connection: connection.name,
          system: connection.system,
          settings: connection.settings,
          kind: 'manual',
          now,
          ...(confirm === undefined ? {} : { confirm }),
          again: again.get(connection.name) ?? [],
        } as const
        const done = await runNight(app, night, stop)
        const preview = done.kind === 'preview'
        const rows = preview ? [] : await rowsOfRun(app.ctx.db, done.id)
        const planned = preview ? ((await getPlan(app.ctx.db, done.id)) ?? []) : rows
        results.push({
          connection: connection.name,
          run: done.id,
          kind: done.kind,
          status: done.status,
          summary: done.summary,
          writes: planned,
        })
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
        const message = error instanceof Error ? error.message : String(error)
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
async function previews(app: App, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (const id of ids) {
    const preview: Run | null = await getRun(app.ctx.db, id)
    if (preview === null || preview.kind !== 'preview')
      throw new UsageError(`There is no preview named ${id}. Run "unstall plan" and confirm the preview it names.`)
    found.set(preview.connection, id)
  }
  return found
}

async function dealsToFlagAgain(app: App, words: readonly string[]): Promise<ReadonlyMap<string, string[]>> {
  const found = new Map<string, string[]>()
  for (const word of words) {
    const [deal, ...others] = await findDeal(app.ctx.db, word)
    if (deal === undefined) throw new UsageError(`No deal is known as "${word}".`)
    if (others.length > 0) throw new UsageError(`"${word}" is more than one deal. Give its id or its link.`)
    const { connection, id } = deal.known.ref
    found.set(connection, [...(found.get(connection) ?? []), id])
  }
  return found
}
