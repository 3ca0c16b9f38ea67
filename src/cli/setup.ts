// `unstall setup <name>`: lists what would be created; with --apply creates what is missing, and nothing else. --metadata
// writes the same to a folder, for an administrator who deploys it with their own tools; --remove is the way back.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { PROJECT, sourceFiles } from '../../connectors/salesforce/index.ts'
import { connectionNamed, currentTime, openConnectors } from '../app.ts'
import { loadConfig } from '../config.ts'
import type { Connector, SetupStep } from '../connector.ts'
import { Fatal, UsageError } from '../errors.ts'
import { createLog } from '../log.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, green, Progress, plain, print, printJson, red, yellow } from './output.ts'
import { count } from './print.ts'

const WORDS = { create: yellow('would create'), present: green('is there    '), conflict: red('in the way  ') } as const
const GONE = { create: '', present: green('removed'), conflict: red('refused') } as const
/** A person may think about --remove for a while. */
const PATIENCE_MS = 3_600_000

interface Options extends GlobalOptions {
  readonly apply?: boolean
  readonly metadata?: string
  readonly remove?: boolean
  readonly yes?: boolean
}

export async function setup(options: Options, name: string): Promise<ExitCode> {
  const config = loadConfig(options.config, Date.now())
  const connection = connectionNamed(config, name)
  if (options.apply && options.remove) throw new UsageError('--apply creates, --remove takes away: give one of them.')
  if (options.metadata !== undefined) {
    if (connection.system !== 'salesforce')
      throw new UsageError(
        `--metadata is for Salesforce: HubSpot has no such files. Use: unstall setup ${name} --apply`,
      )
    return writeFolder(options.metadata, options.json)
  }
  await currentTime(connection)
  const connectors = await openConnectors(config, createLog(config.environment.logLevel ?? 'warn'), [connection])
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    return await (options.remove ? remove : create)(await connectors.connect(connection), options, name, signal)
  } finally {
    await connectors.close()
  }
}

async function create(connector: Connector, options: Options, name: string, signal: AbortSignal): Promise<ExitCode> {
  const { steps } = await connector.check(signal)
  const conflicts = steps.filter((step) => step.action === 'conflict')
  if (!options.apply || conflicts.length > 0) {
    if (options.json) printJson({ connection: name, steps, applied: false })
    else for (const step of steps) print(line(step, WORDS[step.action]))
    if (conflicts.length > 0) throw new Fatal('schema', `Nothing was created: ${conflicts.map(inTheWay).join('; ')}.`)
    const missing = steps.filter((step) => step.action === 'create').length
    if (!options.json)
      print(missing === 0 ? 'Everything is there.' : `\nCreate ${missing} with: unstall setup ${name} --apply`)
    return EXIT.ok
  }
  const done = await followed(connector.setup(signal), name)
  if (options.json) printJson({ connection: name, steps: done, applied: true })
  else {
    for (const step of done) print(line(step, step.action === 'create' ? green('created') : WORDS[step.action]))
    print(
      `\nReady. What is left by hand, so that people see it: docs/${connector.can.system}.md. Next: unstall plan ${name}`,
    )
  }
  return EXIT.ok
}

async function remove(connector: Connector, options: Options, name: string, signal: AbortSignal): Promise<ExitCode> {
  const { json, yes = false } = options
  const { steps, borrowed, carryOut } = await connector.removal(signal)
  const told = (found: readonly SetupStep[], removed: boolean) =>
    json ? printJson({ connection: name, steps: found, borrowed, removed }) : undefined
  if (!json) for (const step of steps) print(line(step, yellow('would remove')))
  const deals = count(borrowed, 'deal')
  if (borrowed > 0 && !yes) {
    told(steps, false)
    const back = `set "forecast: none" and "unstall run ${name}", or take the runs back with "unstall undo <run>"`
    const why = `${deals} would stay out of the forecast: unstall borrowed the category, and without its fields nobody gives it back`
    throw new Fatal('data', `Nothing was removed. ${why}. First ${back}. To remove all the same, add --yes.`)
  }
  if (steps.length > 0 && !yes && !(await agreed(steps.length, name, json))) {
    told(steps, false)
    if (!json) print(`Nothing was removed. What these fields hold on every deal goes with them. To do it, add --yes.`)
    return EXIT.ok
  }
  const done = await followed(carryOut(), name)
  told(done, true)
  const refused = done.some((step) => step.action === 'conflict')
  if (json) return refused ? EXIT.problem : EXIT.ok
  for (const step of done) print(line(step, GONE[step.action]))
  if (borrowed > 0) print(yellow(`Out of the forecast until somebody sets the category: ${deals}.`))
  if (refused) print(red('\nNot all is gone: see what uses it, then run this again.'))
  else
    print(`\nNothing of unstall is left in ${name}. Take it out of the configuration file too, so that no night runs.`)
  return refused ? EXIT.problem : EXIT.ok
}

/** Asks a person; nobody at the terminal is a no. */
async function agreed(things: number, name: string, json: boolean): Promise<boolean> {
  if (json || !process.stdin.isTTY || !process.stdout.isTTY) return false
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const question = `Remove these ${things} from ${name}, with what they hold on every deal? (yes/no) `
    return (await terminal.question(question)).trim().toLowerCase() === 'yes'
  } finally {
    terminal.close()
  }
}

async function followed(steps: AsyncIterable<SetupStep>, name: string): Promise<readonly SetupStep[]> {
  const progress = new Progress()
  const done: SetupStep[] = []
  for await (const step of steps) {
    done.push(step)
    progress.show(`${name}: ${step.what}`)
  }
  progress.end()
  return done
}

function writeFolder(folder: string, json: boolean): ExitCode {
  const files = sourceFiles()
  try {
    for (const [path, text] of files) {
      const file = join(folder, path)
      mkdirSync(dirname(file), { recursive: true })
      // A project that is there already is somebody's own.
      if (path !== PROJECT || !existsSync(file)) writeFileSync(file, text)
    }
  } catch (error) {
    throw new UsageError(`${folder} cannot be written: ${error instanceof Error ? error.message : error}`)
  }
  if (json) printJson({ folder, files: [...files.keys()] })
  else {
    print(`${folder}: ${files.size} files. Review them, then deploy them there: sf project deploy start -d force-app`)
    print('Then assign Unstall_Integration to the API user and Unstall_People to sales people and managers.')
  }
  return EXIT.ok
}

const line = (step: SetupStep, word: string) =>
  `${word}  ${plain(step.what)}${step.detail ? `  (${plain(step.detail)})` : ''}`
const inTheWay = (step: SetupStep) =>
  `${plain(step.what)} is in the way${step.detail ? ` (${plain(step.detail)})` : ''}`
