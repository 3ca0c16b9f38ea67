// `unstall report`: the night in numbers and pictures, for managers. Reads only what is stored, so it answers while the
// CRM is out of reach.
import { stat, writeFile } from 'node:fs/promises'
import { UsageError } from '../errors.ts'
import { buildReport } from '../report/build.ts'
import { FORMATS, type Format, piecesOf } from '../report/render.ts'
import { getRun } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { chosen, withApp } from './night.ts'
import { EXIT, type ExitCode, say } from './output.ts'

interface Options extends GlobalOptions {
  readonly run?: string
  readonly format?: Format
  readonly out?: string
}

export async function report(options: Options, name: string): Promise<ExitCode> {
  const { run: id, out } = options
  return withApp(options.config, { concurrency: 0, only: name }, async (app) => {
    const run = id === undefined ? null : await getRun(app.ctx.db, id)
    if (id !== undefined && run === null)
      throw new UsageError(`There is no run named ${id}. "unstall runs" lists them.`)
    if (run !== null && name && run.connection !== name)
      throw new UsageError(`${run.id} is a run of ${run.connection}, not of ${name}.`)
    const connections = run === null ? chosen(app, name) : [app.connection(run.connection)]
    const [first] = connections
    if (first === undefined) throw new UsageError('The configuration names no connection.')
    const { language, timezone } = first.settings
    const texts = app.ctx.texts(language)
    const found = await buildReport(app.ctx.db, { connections, run, texts, timezone })
    const ending = FORMATS.find((format) => out?.toLowerCase().endsWith(`.${format}`))
    const format = options.format ?? (options.json ? 'json' : (ending ?? (out === undefined ? 'md' : 'html')))
    const pieces = await piecesOf(found, format, texts)
    if (out === undefined) for (const piece of pieces) process.stdout.write(piece)
    else say(`${out}: ${Math.ceil((await save(out, pieces)) / 1024)} kB`)
    return EXIT.ok
  })
}

/** How many bytes the file has then. */
async function save(file: string, pieces: Iterable<string>): Promise<number> {
  try {
    await writeFile(file, pieces)
    return (await stat(file)).size
  } catch (error) {
    throw new UsageError(`The report cannot be written to ${file}: ${error instanceof Error ? error.message : error}`)
  }
}
