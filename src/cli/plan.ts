// `unstall plan`: syncs and shows exactly what tonight would write and why. The preview is kept by name for a day.
import { createInterface } from 'node:readline/promises'
import { z } from 'zod'
import { loadConfig, writeSettings } from '../config.ts'
import { UsageError } from '../errors.ts'
import { Summary } from '../report/summary.ts'
import { getConnection } from '../store/connections.ts'
import type { GlobalOptions } from './main.ts'
import { chosen, previews, withApp } from './night.ts'
import { bold, EXIT, type ExitCode, print, printJson, say } from './output.ts'
import { count, printPlan } from './print.ts'

const GETS = ['flag', 'archive', 'nothing'] as const
const Pair = z.templateLiteral([z.number().int().min(0), '=', z.enum(GETS)])
type Block = Summary['dead'][number]

export async function plan(
  options: GlobalOptions & { now?: number; oldDeals?: string },
  name: string,
): Promise<ExitCode> {
  if (options.oldDeals !== undefined) setOldDeals(options.config, pairs(options.oldDeals))
  const blocks = await preview(options, name)
  // Asked once, of a person, on a first night.
  const asks = process.stdin.isTTY && process.stdout.isTTY && !options.json && options.oldDeals === undefined
  const chosen = asks && blocks.length > 0 ? await ask(options.config, blocks) : []
  if (asks && blocks.length > 0 && chosen.length === 0)
    print('Old deals get what the preview says: it stands as it is.')
  if (chosen.length === 0) return EXIT.ok
  setOldDeals(options.config, chosen)
  print('\nPlanned anew with your choice:')
  await preview(options, name)
  return EXIT.ok
}

/** @throws UsageError */
function pairs(text: string): readonly (readonly [days: string, gets: string])[] {
  return text.split(',').map((part) => {
    const { data } = Pair.safeParse(part.trim())
    const [days, gets] = data?.split('=') ?? []
    if (days !== undefined && gets !== undefined) return [days, gets]
    throw new UsageError(
      `--old-deals: "${part}" is no pair such as 260=archive (working days without movement = ${GETS.join(', ')}).`,
    )
  })
}

/** Into the configuration, so that every later night does the same. */
function setOldDeals(file: string, choice: readonly (readonly [days: string, gets: string])[]): void {
  const settings = choice.map(([days, value]) => ({ path: ['firstNight', 'oldDeals', days], value }))
  for (const { path, value } of writeSettings(file, Date.now(), settings))
    say(`${file}: ${path.join('.')} is ${value} now`)
}

/** What each age block is to get, where that is not what it would get anyway. */
async function ask(file: string, blocks: readonly Block[]): Promise<readonly (readonly [string, string])[]> {
  const { connections } = loadConfig(file, Date.now())
  const possible = GETS.filter((one) => one !== 'archive' || connections.some(({ settings }) => settings.archive.stage))
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const changed: [string, string][] = []
  try {
    let last: Block['gets'] = 'flag'
    for (const { fromDays, count: deals, gets } of blocks) {
      const question = `${count(deals, 'deal')} without movement for more than ${fromDays} working days: ${possible.join(', ')}? (${gets}) `
      const answer = deals === 0 ? gets : (await terminal.question(question)).trim().toLowerCase()
      const wanted = possible.find((one) => answer !== '' && one.startsWith(answer)) ?? gets
      // A block gets what the one before it gets, unless something else is said.
      if (wanted !== gets || wanted !== last) changed.push([String(fromDays), wanted])
      last = wanted
    }
    return changed.some(([days, wanted]) => blocks.some((one) => String(one.fromDays) === days && one.gets !== wanted))
      ? changed
      : []
  } finally {
    terminal.close()
  }
}

/** Plans and prints. @returns the age blocks of connections whose first night this is */
async function preview(options: GlobalOptions & { now?: number }, name: string): Promise<readonly Block[]> {
  return withApp(options.config, { only: name, previewsOnly: true }, async (app, progress, stop) => {
    const results = []
    const blocks = new Map<number, Block>()
    for await (const { connection, run, rows } of previews(app, chosen(app, name), options.now, stop)) {
      const now = new Date(run.now).toISOString()
      results.push({ connection: connection.name, preview: run.id, now, summary: run.summary, writes: rows })
      progress.end()
      const first = (await getConnection(app.ctx.db, connection.name))?.confirmedAt == null
      for (const block of first ? Summary.parse(run.summary).dead : [])
        blocks.set(block.fromDays, { ...block, count: block.count + (blocks.get(block.fromDays)?.count ?? 0) })
      if (!options.json) await printPlan(app.ctx.db, connection, rows, run, app.ctx.texts(connection.settings.language))
    }
    if (options.json) printJson(results)
    else print(`\nNothing was written. Write it with: ${bold(confirmation(results.map(({ preview }) => preview)))}`)
    return [...blocks.values()].some((block) => block.count > 0) ? [...blocks.values()] : []
  })
}

export const confirmation = (previews: readonly string[]): string =>
  `unstall run ${previews.map((id) => `--confirm ${id}`).join(' ')}`
