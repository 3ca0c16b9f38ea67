// `unstall sandbox`: only the lookalike CRMs, for any client to point at.
import { once } from 'node:events'
import { UsageError } from '../errors.ts'
import { CsvProblem, loadCsv } from '../sandbox/csv.ts'
import { generate } from '../sandbox/generate.ts'
import { hubspot } from '../sandbox/hubspot/server.ts'
import { type Sandbox, startSandbox } from '../sandbox/kernel.ts'
import { salesforce } from '../sandbox/salesforce/index.ts'
import type { GlobalOptions } from './main.ts'
import { bold, EXIT, type ExitCode, print, printJson } from './output.ts'

interface Options extends GlobalOptions {
  readonly hubspotPort: number
  readonly salesforcePort: number
  readonly now?: number
  readonly deals: number
  readonly seed: number
  readonly csv?: string
  readonly latency: number
  readonly limits: 'none' | 'rolling' | 'bucket'
  readonly searchLag: number
  readonly tokenLife?: number
  readonly taskKey: 'unique' | 'plain'
}

export async function sandbox(options: Options): Promise<ExitCode> {
  const now = options.now ?? Date.now()
  const seed = readSeed(options, now)
  const common = {
    now,
    seed: options.seed,
    latencyMs: options.latency,
    limits: options.limits,
    tokenLifeS: options.tokenLife ?? null,
  }
  const { taskKey, searchLag } = options
  const hub = await onPort(options.hubspotPort, (port) =>
    startSandbox(hubspot(seed, { taskKey, searchLagMs: searchLag }), { ...common, port }),
  )
  const sf = await onPort(options.salesforcePort, (port) => startSandbox(salesforce(seed), { ...common, port }))
  if (options.json)
    printJson({ hubspot: hub.url, salesforce: sf.url, now: new Date(now).toISOString(), deals: seed.deals.length })
  else {
    print(`${bold('HubSpot')}     ${hub.url}   token: sandbox-demo`)
    print(`${bold('Salesforce')}  ${sf.url}   client id and secret: sandbox`)
    print(
      `${seed.deals.length} deals in each, their clock starts at ${new Date(now).toISOString()}. Ctrl-C ends it; nothing is kept.`,
    )
  }
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  await Promise.all([hub.close(), sf.close()])
  return EXIT.ok
}

function readSeed(options: Options, now: number) {
  if (options.csv === undefined) return generate({ now, seed: options.seed, deals: options.deals })
  try {
    return loadCsv(options.csv, now)
  } catch (error) {
    if (error instanceof CsvProblem) throw new UsageError(error.message, { cause: error })
    throw error
  }
}

async function onPort(port: number, begin: (port: number) => Promise<Sandbox>): Promise<Sandbox> {
  try {
    return await begin(port)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')
      throw new UsageError(`Port ${port} is taken. Choose another with --hubspot-port or --salesforce-port.`, {
        cause: error,
      })
    throw error
  }
}
