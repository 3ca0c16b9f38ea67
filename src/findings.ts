// What `check` and the page of connections say of a CRM: what its connector finds, what each stage means to unstall, and
// names in the policy that the CRM does not know.
import { type Connector, type Finding, judged, type SetupStep } from './connector.ts'
import type { Outcome, Pipeline, System } from './core/deal.ts'
import type { Settings } from './core/policy.ts'

/** Reads only. Throws RetryLater, Fatal or the abort of `signal`. */
export async function examine(
  connector: Connector,
  { settings, system }: { readonly settings: Settings; readonly system: System },
  signal: AbortSignal,
): Promise<{ readonly findings: readonly Finding[]; readonly steps: readonly SetupStep[] }> {
  const { findings, steps } = await connector.check(signal)
  // Where stages cannot be read, `check` has said why.
  const reference = await connector.reference(signal).catch(() => null)
  const known = reference?.pipelines ?? []
  const ours = reference ? [...stageFindings(known, system), ...policyFindings(settings, known)] : []
  return { findings: [...findings, ...ours], steps }
}

const STAGES = {
  hubspot: 'give a stage the probability Won or Lost under Settings > Objects > Deals > Pipelines',
  salesforce:
    'give a stage the type Closed/Won or Closed/Lost under Setup > Object Manager > Opportunity > Fields > Stage',
} as const

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
