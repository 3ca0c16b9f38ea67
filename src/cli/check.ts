// `unstall check`: reads only; every line is green or says what to do.
import { connect, currentTime } from '../app.ts'
import { loadConfig } from '../config.ts'
import type { Finding, SetupStep } from '../connector.ts'
import type { Pipeline } from '../core/deal.ts'
import type { Policy } from '../core/policy.ts'
import { Fatal, RetryLater, UsageError } from '../errors.ts'
import { createLog } from '../log.ts'
import type { GlobalOptions } from './main.ts'
import { bold, EXIT, type ExitCode, green, plain, print, printJson, red, yellow } from './output.ts'
import { SYSTEMS } from './print.ts'

const MARKS = { ok: green('✓'), warn: yellow('!'), problem: red('✗') } as const

/** No database is opened: `check` also answers while the service holds it. */
export async function check(options: GlobalOptions, name: string): Promise<ExitCode> {
  const config = loadConfig(options.config, Date.now())
  const log = createLog(config.environment.logLevel ?? 'warn')
  const connections = name ? config.connections.filter((one) => one.name === name) : config.connections
  if (connections.length === 0) throw new UsageError(`There is no connection "${name}" in ${config.file}.`)
  const results = []
  for (const connection of connections) {
    const connector = connect(connection, log)
    let findings: readonly Finding[]
    let steps: readonly SetupStep[] = []
    try {
      await currentTime(connection)
      const signal = AbortSignal.timeout(120_000)
      ;({ findings, steps } = await connector.check(signal))
      // Where stages cannot be read, `check` has said why.
      const reference = await connector.reference(signal).catch(() => null)
      if (reference) findings = [...findings, ...policyFindings(connection.settings.policy, reference.pipelines)]
    } catch (error) {
      if (!(error instanceof Fatal || error instanceof RetryLater)) throw error
      findings = [{ level: 'problem', what: error.message }]
    } finally {
      await connector.close()
    }
    results.push({ connection: connection.name, system: connection.system, findings, steps })
    if (!options.json) printHealth(`${connection.name} (${SYSTEMS[connection.system]})`, findings, steps)
  }
  if (options.json) printJson(results)
  const bad = results.some(({ findings, steps }) => findings.some(isProblem) || steps.some(isMissing))
  return bad ? EXIT.problem : EXIT.ok
}

const isProblem = (finding: Finding) => finding.level === 'problem'
const isMissing = (step: SetupStep) => step.action !== 'present'

/** A name in the policy that this CRM does not know. Several CRMs may share a policy: one name of each is enough. */
function policyFindings({ decision, exclude, pipelines }: Policy, known: readonly Pipeline[]): readonly Finding[] {
  const stages = new Map(known.flatMap((pipeline) => pipeline.stages).map((stage) => [stage.id, stage.label]))
  const list = [...stages].map(([id, label]) => (id === label ? id : `${id} (${label})`)).join(', ')
  const findings: Finding[] = []
  const there = decision.stages.filter((id) => stages.has(id))
  if (decision.stages.length === 0)
    findings.push({
      level: 'warn',
      what: 'No decision stage is set: nobody is asked for a yes or a no after a proposal.',
      todo: `policy.decision.stages: choose from ${list}`,
    })
  else if (there.length === 0)
    findings.push({
      level: 'problem',
      what: `policy.decision.stages: none of ${decision.stages.join(', ')} is a stage here.`,
      todo: `choose from ${list}`,
    })
  else findings.push({ level: 'ok', what: `Decision stages: ${there.map((id) => stages.get(id)).join(', ')}` })
  const unknown = [
    ...exclude.stages.filter((id) => !stages.has(id)).map((id) => `policy.exclude.stages: ${id}`),
    ...exclude.pipelines
      .filter((id) => !known.some((one) => one.id === id))
      .map((id) => `policy.exclude.pipelines: ${id}`),
    ...Object.entries(pipelines).flatMap(([id, { stages: limits }]) => {
      const pipeline = known.find((one) => one.id === id)
      if (!pipeline) return [`policy.pipelines: ${id}`]
      const own = Object.keys(limits).filter((stage) => !pipeline.stages.some((one) => one.id === stage))
      return own.map((stage) => `policy.pipelines.${id}.stages: ${stage}`)
    }),
  ]
  for (const what of unknown)
    findings.push({ level: 'warn', what: `${what} does not exist here.`, todo: `known here: ${list}` })
  return findings
}

function printHealth(title: string, findings: readonly Finding[], steps: readonly SetupStep[]): void {
  print(bold(`\n${title}`))
  for (const { level, what, todo } of findings)
    print(`${MARKS[level]} ${plain(what)}${todo ? `\n    → ${plain(todo)}` : ''}`)
  const missing = steps.filter((step) => step.action === 'create')
  if (missing.length > 0)
    print(
      `${MARKS.problem} ${missing.length} of our fields are missing\n    → unstall setup ${title.split(' ')[0]} --apply`,
    )
  else if (steps.length > 0 && !steps.some(isMissing)) print(`${MARKS.ok} all our fields are there`)
  for (const step of steps.filter((one) => one.action === 'conflict'))
    print(`${MARKS.problem} ${plain(step.what)}: ${plain(step.detail ?? '')}`)
}
