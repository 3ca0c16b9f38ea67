// `unstall setup <name>`: lists what would be created; with --apply creates what is missing, and nothing else.
import { connectionNamed, currentTime, openConnectors } from '../app.ts'
import { loadConfig } from '../config.ts'
import type { SetupStep } from '../connector.ts'
import { Fatal } from '../errors.ts'
import { createLog } from '../log.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, green, Progress, plain, print, printJson, red, yellow } from './output.ts'

const WORDS = { create: yellow('would create'), present: green('is there    '), conflict: red('in the way  ') } as const

export async function setup(options: GlobalOptions & { apply?: unknown }, name: string): Promise<ExitCode> {
  const config = loadConfig(options.config, Date.now())
  const connection = connectionNamed(config, name)
  await currentTime(connection)
  const connectors = await openConnectors(config, createLog(config.environment.logLevel ?? 'warn'), [connection])
  const connector = connectors.connect(connection)
  const signal = AbortSignal.timeout(300_000)
  try {
    const { steps } = await connector.check(signal)
    const conflicts = steps.filter((step) => step.action === 'conflict')
    if (options.apply !== true || conflicts.length > 0) {
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

const line = (step: SetupStep, word: string) =>
  `${word}  ${plain(step.what)}${step.detail ? `  (${plain(step.detail)})` : ''}`
const inTheWay = (step: SetupStep) =>
  `${plain(step.what)} is in the way${step.detail ? ` (${plain(step.detail)})` : ''}`
