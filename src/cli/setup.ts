// `unstall setup <name>`: lists what would be created; with --apply creates what is missing, and nothing else. With
// --metadata it writes the same to a folder, for an administrator who deploys it with their own tools.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { PROJECT, sourceFiles } from '../../connectors/salesforce/index.ts'
import { connectionNamed, currentTime, openConnectors } from '../app.ts'
import { loadConfig } from '../config.ts'
import type { SetupStep } from '../connector.ts'
import { Fatal, UsageError } from '../errors.ts'
import { createLog } from '../log.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, green, Progress, plain, print, printJson, red, yellow } from './output.ts'

const WORDS = { create: yellow('would create'), present: green('is there    '), conflict: red('in the way  ') } as const

interface Options extends GlobalOptions {
  readonly apply?: boolean
  readonly metadata?: string
}

export async function setup(options: Options, name: string): Promise<ExitCode> {
  const config = loadConfig(options.config, Date.now())
  const connection = connectionNamed(config, name)
  if (options.metadata !== undefined) {
    if (connection.system !== 'salesforce')
      throw new UsageError(
        `--metadata is for Salesforce: HubSpot has no such files. Use: unstall setup ${name} --apply`,
      )
    return writeFolder(options.metadata, options.json)
  }
  await currentTime(connection)
  const connectors = await openConnectors(config, createLog(config.environment.logLevel ?? 'warn'), [connection])
  const connector = connectors.connect(connection)
  const signal = AbortSignal.timeout(300_000)
  try {
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
    const progress = new Progress()
    const done: SetupStep[] = []
    for await (const step of connector.setup(signal)) {
      done.push(step)
      progress.show(`${name}: ${step.what}`)
    }
    progress.end()
    if (options.json) printJson({ connection: name, steps: done, applied: true })
    else {
      for (const step of done) print(line(step, step.action === 'create' ? green('created') : WORDS[step.action]))
      print(`\nReady. Next: unstall plan ${name}`)
    }
    return EXIT.ok
  } finally {
    await connectors.close()
  }
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
