// A process that only needs a token: it connects as `unstall check` does, and makes one call of the API for every line it
// is sent. Answers one line each, `ok` or what went wrong.
import { createInterface } from 'node:readline'
import { connectionNamed, openConnectors } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'

const [file = '', name = '', deal = ''] = process.argv.slice(2)
const config = loadConfig(file, Date.now())
const connection = connectionNamed(config, name)
const connectors = await openConnectors(config, createLog('warn'), [connection])
const connector = await connectors.connect(connection)
await connector.reference(AbortSignal.timeout(60_000))
process.stdout.write('ready\n')
for await (const _ of createInterface({ input: process.stdin })) {
  const read = connector.read([deal], AbortSignal.timeout(60_000))
  const said = await read.then(
    (found) => (found.has(deal) ? 'ok' : 'nothing read'),
    (error: unknown) => String(error),
  )
  process.stdout.write(`${said.replaceAll('\n', ' ')}\n`)
}
await connectors.close()
