// `unstall check`: reads only; every line is green or says what to do.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { connectionNamed, currentTime, openConnectors } from '../app.ts'
import { type Config, type ConnectionConfig, loadConfig } from '../config.ts'
import type { Finding, SetupStep } from '../connector.ts'
import { SYSTEMS, type System } from '../core/deal.ts'
import { Fatal, RetryLater } from '../errors.ts'
import { examine } from '../findings.ts'
import { createLog } from '../log.ts'
import { circuits } from '../store/connections.ts'
import { type Database, DatabaseInUse, openDatabase } from '../store/db.ts'
import { quarantined } from '../store/deals.ts'
import { rowsOfRun } from '../store/ledger.ts'
import { latestRun, listRuns } from '../store/runs.ts'
import type { Db } from '../store/schema.ts'
import type { GlobalOptions } from './main.ts'
import { bold, EXIT, type ExitCode, green, hang, print, printJson, red, yellow } from './output.ts'
import { circuitWords, count, quarantineLine } from './print.ts'

const MARKS = { ok: green('✓'), warn: yellow('!'), problem: red('✗') } as const

export async function check(options: GlobalOptions, name: string): Promise<ExitCode> {
  const config = loadConfig(options.config, Date.now())
  const log = createLog(config.environment.logLevel ?? 'warn')
  const connections = name ? [connectionNamed(config, name)] : config.connections
  const connectors = await openConnectors(config, log, connections)
  const results = []
  try {
    const stored = await remembered(config, connectors.database)
    for (const connection of connections) {
      const connector = await connectors.connect(connection)
      let findings: readonly Finding[]
      let steps: readonly SetupStep[] = []
      try {
        await currentTime(connection)
        ;({ findings, steps } = await examine(connector, connection, AbortSignal.timeout(120_000)))
      } catch (error) {
        if (!(error instanceof Fatal || error instanceof RetryLater)) throw error
        findings = [{ level: 'problem', what: error.message }]
      }
      findings = [...findings, ...(stored.get(connection.name) ?? [])]
      results.push({ connection: connection.name, system: connection.system, findings, steps })
      if (!options.json) printHealth(connection, findings, steps)
    }
  } finally {
    await connectors.close()
  }
  if (options.json) printJson(results)
  return results.some(({ findings }) => findings.some(({ level }) => level === 'problem')) ? EXIT.problem : EXIT.ok
}

/** By connection: what runs have met with. Looking creates and migrates nothing. */
async function remembered({ connections, dataDir, environment, timezone }: Config, opened: Database | null) {
  const { databaseUrl } = environment
  const found = new Map<string, readonly Finding[]>()
  if (!databaseUrl && !existsSync(join(dataDir, 'db'))) return found
  try {
    const database = opened ?? (await openDatabase(databaseUrl ? { databaseUrl: databaseUrl.reveal() } : { dataDir }))
    const look = async () => {
      for (const { name, system } of connections)
        found.set(name, [
          ...(await storedFindings(database.db, name, timezone)),
          ...(await refusals(database.db, name, system)),
        ])
    }
    await look().finally(() => (opened ? null : database.close()))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    // No table yet: nothing ran.
    if (code === '42P01') return found
    const why = error instanceof DatabaseInUse ? error.message : `the database does not answer (${code ?? error})`
    const what = `Pauses and deals that could not be read are not shown: ${why}`
    for (const { name } of connections) found.set(name, [{ level: 'warn', what }])
  }
  return found
}

async function storedFindings(db: Db, name: string, timezone: string): Promise<readonly Finding[]> {
  const circuit = (await circuits(db, Date.now(), name)).get(name)
  const held = await quarantined(db, name)
  const [last] = await listRuns(db, { connection: name, limit: 1 })
  const findings: Finding[] = []
  if (circuit) findings.push({ level: 'warn', what: circuitWords(name, circuit, timezone) })
  const some = held.slice(0, 3).map(quarantineLine).join('; ')
  const what = `Not understood, so held and never written: ${count(held.length, 'deal')}, such as ${some}`
  const todo = `unstall runs ${last?.id} lists all; once one can be read it comes out by itself`
  if (held.length > 0) findings.push({ level: 'warn', what, todo })
  return findings
}

const RULES = {
  hubspot:
    'Settings > Objects > Deals > Pipelines > (the stage) > Conditional stage properties, and Settings > Properties',
  salesforce: 'Setup > Object Manager > Opportunity (or Activity) > Validation Rules, and under Flows',
} as const
/** What the customer's own rules did to the last run that wrote: no CRM tells all of them beforehand. */
async function refusals(db: Db, name: string, system: System): Promise<readonly Finding[]> {
  const last = await latestRun(db, name, ['night', 'manual'])
  const refused = last ? (await rowsOfRun(db, last.id)).filter(({ status }) => status === 'refused') : []
  if (!last || refused.length === 0) return []
  const words = Map.groupBy(refused, ({ message }) => message ?? 'it does not say why')
  const most = [...words].sort((a, b) => b[1].length - a[1].length).slice(0, 3)
  const some = most.map(([message, rows]) => `“${message}” (${rows.length})`).join('; ')
  const what = `${SYSTEMS[system]} refused ${count(refused.length, 'write')} of ${last.id}: ${some}`
  const todo = `let the user of unstall pass under ${RULES[system]}; unstall runs ${last.id} lists all`
  return [{ level: 'warn', what, todo }]
}

function printHealth({ name, system }: ConnectionConfig, all: readonly Finding[], steps: readonly SetupStep[]): void {
  const line = ({ level, what, todo }: Finding) =>
    print(`${MARKS[level]} ${hang(what, '  ')}${todo ? `\n    → ${hang(todo, '      ')}` : ''}`)
  const absent = steps.filter((step) => step.action !== 'present')
  // Findings that list what setup lists too, field by field, give way to a count.
  const findings = all.filter(({ what }) => !absent.some((step) => what.includes(step.what)))
  print(bold(`\n${name} (${SYSTEMS[system]})`))
  findings.forEach(line)
  if (findings.length === all.length) return
  const conflicts = absent.filter((step) => step.action === 'conflict')
  const missing = count(absent.length - conflicts.length, 'field or helper', 'fields and helpers')
  const todo = `unstall setup ${name} lists them, with --apply it creates them`
  if (absent.length > conflicts.length) line({ level: 'problem', what: `Missing: ${missing} of unstall`, todo })
  for (const { what, detail = '' } of conflicts)
    line({ level: 'problem', what: `${what} cannot be used`, todo: detail })
}
