// `unstall check`: reads only; every line is green or says what to do.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { connectionNamed, currentTime, openConnectors } from '../app.ts'
import { type Config, type ConnectionConfig, loadConfig } from '../config.ts'
import { type Finding, judged, type SetupStep } from '../connector.ts'
import type { Outcome, Pipeline, System } from '../core/deal.ts'
import type { Settings } from '../core/policy.ts'
import { Fatal, RetryLater } from '../errors.ts'
import { createLog } from '../log.ts'
import { circuits } from '../store/connections.ts'
import { type Database, DatabaseInUse, openDatabase } from '../store/db.ts'
import { quarantined } from '../store/deals.ts'
import { rowsOfRun } from '../store/ledger.ts'
import { latestRun, listRuns } from '../store/runs.ts'
import type { Db } from '../store/schema.ts'
import type { GlobalOptions } from './main.ts'
import { bold, EXIT, type ExitCode, green, hang, print, printJson, red, yellow } from './output.ts'
import { circuitWords, count, quarantineLine, SYSTEMS } from './print.ts'

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
      const connector = connectors.connect(connection)
      let findings: readonly Finding[]
      let steps: readonly SetupStep[] = []
      try {
        await currentTime(connection)
        const signal = AbortSignal.timeout(120_000)
        ;({ findings, steps } = await connector.check(signal))
        // Where stages cannot be read, `check` has said why.
        const reference = await connector.reference(signal).catch(() => null)
        const known = reference?.pipelines ?? []
        if (reference)
          findings = [
            ...findings,
            ...stageFindings(known, connection.system),
            ...policyFindings(connection.settings, known),
          ]
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
const STAGES = {
  hubspot: 'give a stage the probability Won or Lost under Settings > Objects > Deals > Pipelines',
  salesforce:
    'give a stage the type Closed/Won or Closed/Lost under Setup > Object Manager > Opportunity > Fields > Stage',
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

/** What each stage means to unstall. */
function stageFindings(known: readonly Pipeline[], system: System): readonly Finding[] {
  return known.map(({ label, stages }): Finding => {
    const of = (outcome: Outcome) => stages.filter((stage) => stage.outcome === outcome).map((stage) => stage.label)
    const [open, won, lost] = [of('open'), of('won'), of('lost')]
    return judged(
      won.length > 0 && lost.length > 0,
      `Stages of ${label}: ${open.join(', ')}; won: ${won.join(', ')}; lost: ${lost.join(', ')}`,
      `${label} has no stage for ${won.length > 0 ? 'lost' : 'won'} deals: they stay open, and count as stalled one day`,
      STAGES[system],
    )
  })
}

/** A name in the policy that this CRM does not know. Several CRMs may share a policy: one name of each is enough. */
function policyFindings({ archive, policy }: Settings, known: readonly Pipeline[]): readonly Finding[] {
  const { decision, exclude, pipelines } = policy
  const stages = new Map(known.flatMap((pipeline) => pipeline.stages).map((stage) => [stage.id, stage.label]))
  const listed = (all: Iterable<readonly [id: string, label: string]>) =>
    [...all].map(([id, label]) => (id === label ? id : `${id} (${label})`)).join(', ')
  const list = listed(stages)
  const open = known.flatMap(({ stages }) => stages.filter(({ outcome }) => outcome === 'open'))
  const choice = `choose from ${listed(open.map(({ id, label }) => [id, label]))}, or run unstall init again, which asks for them`
  const findings: Finding[] = []
  const there = decision.stages.filter((id) => stages.has(id))
  if (decision.stages.length === 0)
    findings.push({
      level: 'warn',
      what: 'No decision stage is set: nobody is asked for a yes or a no after a proposal.',
      todo: `policy.decision.stages: ${choice}`,
    })
  else if (there.length === 0)
    findings.push({
      level: 'problem',
      what: `policy.decision.stages: none of ${decision.stages.join(', ')} is a stage here.`,
      todo: choice,
    })
  else findings.push({ level: 'ok', what: `Decision stages: ${there.map((id) => stages.get(id)).join(', ')}` })
  const pipelineList = listed(known.map(({ id, label }) => [id, label]))
  const unknown = (what: string, id: string, there: string) =>
    findings.push({ level: 'warn', what: `policy.${what}: ${id} does not exist here.`, todo: `known here: ${there}` })
  for (const id of exclude.stages) if (!stages.has(id)) unknown('exclude.stages', id, list)
  for (const id of exclude.pipelines)
    if (!known.some((one) => one.id === id)) unknown('exclude.pipelines', id, pipelineList)
  for (const [id, { stages: limits }] of Object.entries(pipelines)) {
    const pipeline = known.find((one) => one.id === id)
    if (!pipeline) unknown('pipelines', id, pipelineList)
    for (const stage of pipeline ? Object.keys(limits) : [])
      if (!pipeline?.stages.some((one) => one.id === stage)) unknown(`pipelines.${id}.stages`, stage, list)
  }
  if (archive.stage !== undefined) findings.push(archiveFinding(archive.stage, known))
  return findings
}

/** Into an open stage only: moved to a lost one the deal would count as lost. */
function archiveFinding(id: string, known: readonly Pipeline[]): Finding {
  const stages = known.flatMap(({ label, stages }) => stages.map((stage) => ({ ...stage, pipeline: label })))
  const found = stages.filter((stage) => stage.id === id)
  const open = found.filter(({ outcome }) => outcome === 'open')
  const without = known
    .filter(({ label }) => !open.some(({ pipeline }) => pipeline === label))
    .map(({ label }) => label)
  const only = 'archiving is only proposed'
  if (open.length === 0)
    return {
      level: 'problem',
      what: `archive.stage: ${id} is ${found.length > 0 ? 'a closed stage' : 'not a stage'} here: ${only}.`,
      todo: 'create an open stage such as “Archived” as the last one of the pipeline, and give its id',
    }
  const rest = without.length > 0 ? `; not in ${without.join(', ')}, where ${only}` : ''
  return {
    level: rest ? 'warn' : 'ok',
    what: `Archive stage: ${open.map(({ label, pipeline }) => `${label} (${pipeline})`).join(', ')}${rest}`,
  }
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
