// `unstall export`: everything stored of a connection as lines of JSON, written as it is read.
import { once } from 'node:events'
import { mkdirSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { UsageError } from '../errors.ts'
import { exportLines } from '../store/export.ts'
import type { GlobalOptions } from './main.ts'
import { chosen, withApp } from './night.ts'
import { EXIT, type ExitCode, say } from './output.ts'
import { count } from './print.ts'

const isFolder = (path: string) =>
  path.endsWith('/') || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

export async function exportData(options: GlobalOptions & { out?: string }, name: string): Promise<ExitCode> {
  const { out } = options
  return withApp(options.config, { concurrency: 0, ...(name ? { only: name } : {}) }, async (app, progress, stop) => {
    const connections = chosen(app, name).map((one) => one.name)
    const lines = async function* (some: readonly string[]) {
      for (const connection of some) {
        let done = 0
        for await (const page of exportLines(app.ctx.db, connection)) {
          stop.throwIfAborted()
          yield page.join('')
          done += page.length
          progress.show(`${connection}: exported ${done}`)
        }
        progress.end()
        say(`${connection}: ${count(done, 'line')}`)
      }
    }
    if (out === undefined) {
      for await (const text of lines(connections)) if (!process.stdout.write(text)) await once(process.stdout, 'drain')
    } else if (isFolder(out)) for (const one of connections) await save(join(out, `${one}.ndjson`), lines([one]), out)
    else await save(out, lines(connections))
    return EXIT.ok
  })
}

async function save(file: string, lines: AsyncGenerator<string>, folder?: string): Promise<void> {
  try {
    if (folder !== undefined) mkdirSync(folder, { recursive: true })
    const handle = await open(file, 'w', 0o600)
    // It may have been there, open to others.
    if ((await handle.stat()).isFile()) await handle.chmod(0o600)
    await pipeline(Readable.from(lines), handle.createWriteStream())
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    throw new UsageError(`The export cannot be written to ${file}: ${error.message}`)
  }
  say(`${file}: written, readable by you alone: it holds names of deals and of people.`)
}
