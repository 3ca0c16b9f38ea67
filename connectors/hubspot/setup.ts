// What `check` reports and `setup` creates: scopes, our fields, stages, budget, and what HubSpot cannot tell. Every
// finding says in a RevOps manager's words what it costs or what to do.
import type { ConnectorOptions, Finding, Health, SetupStep } from '../../src/connector.ts'
import { Fatal } from '../../src/errors.ts'
import { type Hub, Refusal } from './api.ts'
import {
  conflict,
  FIELDS,
  FORECAST_AMOUNT,
  FORECAST_CATEGORY,
  GROUP,
  OURS,
  type PropertySpec,
  SEGMENT,
  TASK_KEY,
} from './fields.ts'
import type { Property } from './wire.ts'

const SENTENCES: readonly (readonly [string, string])[] = [
  [
    'HubSpot does not tell who took part in meetings: a meeting without the buyer counts as movement too.',
    'Log internal meetings outside the deal.',
  ],
  [
    'HubSpot does not tell which calls were connected or incoming: calls do not count as movement of the buyer.',
    'Set countActivity: any if logged calls and outgoing e-mails should count weakly; notes are not told apart from our own tasks.',
  ],
]
/** Sentences of `check`; the same everywhere, so that tests and the guides can quote them. */
export const CANNOT_TELL = SENTENCES.map(([what, todo]): Finding => ({ level: 'warn', what, todo }))

/** The portal's deal properties and our task key, by name. */
export async function propertiesOf(hub: Hub): Promise<ReadonlyMap<string, Property>> {
  const [deals, key] = await Promise.all([hub.properties(), hub.taskProperty(TASK_KEY)])
  return new Map([...deals.results, ...(key ? [key] : [])].map((property) => [property.name, property]))
}

/** Our properties against the portal's. */
export function survey(found: ReadonlyMap<string, Property>) {
  return FIELDS.map((spec) => {
    const object = spec.name === TASK_KEY ? ('tasks' as const) : ('deals' as const)
    const there = found.get(spec.name)
    const detail = there && conflict(spec, there)
    const what = `Property “${spec.label}” of ${object} (${spec.name}, ${spec.type})`
    const action = detail ? 'conflict' : there ? 'present' : 'create'
    const step: SetupStep = { id: `${object}.${spec.name}`, what, action, ...(detail && { detail }) }
    return { object, spec, step }
  })
}

/** Our segment. Nobody depends on it: where the portal does not let us, or has another of that name, that is a finding. */
export async function segmentIn(hub: Hub): Promise<{ step: SetupStep; id?: string } | { finding: Finding }> {
  const without = (what: string, todo: string) => {
    const instead = `${todo} Or save a view by hand: docs/hubspot.md.`
    return { finding: { level: 'warn', what: `No segment “${SEGMENT.name}”: ${what}`, todo: instead } } as const
  }
  try {
    const found = await hub.segment(SEGMENT.name)
    if (found && !JSON.stringify(found).includes(OURS.stalled))
      return without('one of that name is there that unstall did not make', 'Rename it and run setup again.')
    const step = { id: 'segment', what: `Segment “${SEGMENT.name}”`, action: found ? 'present' : 'create' } as const
    return { step, ...(found && { id: found.list.listId }) }
  } catch (error) {
    if (!(error instanceof Fatal) || error.kind === 'credentials') throw error
    return without('segments cannot be read', error.message)
  }
}

/** Idempotent; yields each step when it is done. Throws RetryLater and Fatal (permission names the scope). */
export async function* setUp(hub: Hub): AsyncGenerator<SetupStep> {
  const grouped = new Set<string>()
  for (const { object, spec, step } of survey(await propertiesOf(hub))) {
    const missing = step.action === 'create'
    if (missing && !grouped.has(object)) await hub.define(object, '/groups', GROUP)
    if (missing) grouped.add(object)
    yield missing ? await create(hub, object, spec, step) : step
  }
  const segment = await segmentIn(hub)
  if ('finding' in segment) return
  try {
    if (segment.step.action === 'create') await hub.createSegment(SEGMENT)
    yield segment.step
  } catch (error) {
    if (!(error instanceof Fatal) || error.kind === 'credentials') throw error
    yield { ...segment.step, action: 'conflict', detail: error.message }
  }
}

async function create(hub: Hub, object: 'deals' | 'tasks', spec: PropertySpec, step: SetupStep): Promise<SetupStep> {
  try {
    const made = await hub.define(object, '', spec).catch((error) => {
      if (!spec.hasUniqueValue || !(error instanceof Refusal)) throw error
      // Not every portal takes unique properties on tasks: then a plain one, and tasks are looked up over their deal.
      return hub.define(object, '', { ...spec, hasUniqueValue: undefined })
    })
    return made === null ? { ...step, action: 'present' } : step
  } catch (error) {
    // Calculations need a higher tier in some portals, which may come as 403.
    if (error instanceof Fatal && error.kind !== 'credentials' && spec.name === FORECAST_AMOUNT) {
      const detail = `This portal refuses calculated properties (${error.message}): reports cannot sum the amount that counts.`
      return { ...step, action: 'conflict', detail }
    }
    if (error instanceof Refusal) throw new Fatal('schema', `Creating ${step.what}: ${error.message}`)
    throw error
  }
}

/** Read-only. Throws only RetryLater and the abort reason. `decisionStages`: those the policy names. */
export async function check(
  hub: Hub,
  { timezone, decisionStages = [] }: ConnectorOptions & { readonly decisionStages?: readonly string[] },
): Promise<Health> {
  const findings: Finding[] = []
  const say = (level: Finding['level'], what: string, todo?: string) =>
    void findings.push({ level, what, ...(todo && { todo }) })
  /** Null where HubSpot does not let us: the finding names the scope. */
  async function may<T>(what: string, work: Promise<T>): Promise<T | null> {
    try {
      const found = await work
      say('ok', what)
      return found
    } catch (error) {
      if (!(error instanceof Fatal)) throw error
      say('problem', `${what}: not possible`, error.message)
      return null
    }
  }

  const account = await may('The token is accepted', hub.account())
  if (account === null) return { findings, steps: [] }
  const { timeZone } = account
  if (timeZone && timeZone !== timezone) {
    const what = `The portal's time zone is ${timeZone}, the configuration says ${timezone}: close dates may differ by a day`
    say('warn', what, `Set timezone: ${timeZone} if the company works in that zone.`)
  }
  await may('Reading deals', hub.list('deals', { limit: '1' }))
  const pipelines = await may('Reading pipelines', hub.pipelines())
  const stages = pipelines?.results.flatMap((pipeline) => pipeline.stages.map((stage) => stage.id))
  const unknown = decisionStages.filter((stage) => stages?.includes(stage) === false)
  if (stages && unknown.length > 0) {
    const what = `The policy names stages HubSpot does not have: ${unknown.join(', ')}`
    say('problem', what, `Stages of this portal: ${stages.join(', ')}.`)
  }
  await may('Reading owners', hub.owners(false, null))
  await may('Reading tasks', hub.list('tasks', { limit: '1' }))
  const found = await may('Reading property definitions', propertiesOf(hub))
  const steps = found ? survey(found).map(({ step }) => step) : []
  if (found) findings.push(...aboutFields(found, steps))
  const segment = found && (await segmentIn(hub))
  if (segment && 'step' in segment) steps.push(segment.step)
  else if (segment) findings.push(segment.finding)
  const left = hub.leftToday()
  if (left !== null) say(left < 1000 ? 'warn' : 'ok', `HubSpot allows ${left} more calls today`)
  say('ok', 'Scopes for writing show only when writing: setup and the first run name what is missing')
  return { findings: [...findings, ...CANNOT_TELL], steps }
}

function* aboutFields(found: ReadonlyMap<string, Property>, steps: readonly SetupStep[]): Generator<Finding> {
  const missing = steps.filter((step) => step.action === 'create')
  const needed = missing.filter((step) => step.id !== `deals.${FORECAST_AMOUNT}`).map((step) => step.what)
  if (needed.length > 0) {
    const what = `${needed.length} of our properties are missing: ${needed.join('; ')}`
    yield { level: 'problem', what, todo: 'Run: unstall setup <connection> --apply' }
  } else if (missing.length > 0) {
    const what = 'The amount that counts is missing: setup has not run, or the portal refuses calculated properties'
    yield { level: 'warn', what, todo: 'Reports must leave out deals whose “Stalled” is Yes instead.' }
  } else {
    const place = 'put them on the deal under Settings > Objects > Deals > Record customization'
    yield {
      level: 'ok',
      what: `All our properties are there: ${place}; views and reports are made by hand (docs/hubspot.md).`,
    }
  }
  for (const { action, what, detail = '' } of steps)
    if (action === 'conflict') yield { level: 'problem', what: `${what} cannot be used`, todo: detail }
  if (found.get(TASK_KEY)?.hasUniqueValue === false) {
    const what = 'Tasks have no unique key here: unstall looks them up over their deal, which takes more calls'
    yield { level: 'ok', what }
  }
  if (!found.get(FORECAST_CATEGORY)?.options?.some((option) => option.value === 'OMIT')) {
    const what = 'There is no forecast category “Not forecasted” (OMIT): the category of stalled deals is left alone'
    yield { level: 'warn', what, todo: 'Forecasting needs Sales Hub Professional; else use the amount that counts.' }
  }
}
