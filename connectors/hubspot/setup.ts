// What `check` reports and `setup` creates: scopes, our fields, stages, budget, and what HubSpot cannot tell. Every
// finding says in a RevOps manager's words what it costs or what to do.
import type { ConnectorOptions, Finding, Health, SetupStep } from '../../src/connector.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { type Api, Refusal, scoped, Unknown } from './api.ts'
import {
  conflict,
  DEAL_FIELDS,
  definition,
  FORECAST_AMOUNT,
  FORECAST_CATEGORY,
  GROUP,
  TASK_KEY,
  taskKeyDefinition,
} from './fields.ts'
import type { Account, Property } from './wire.ts'

type ObjectType = 'deals' | 'tasks'

/** Sentences of `check`; the same everywhere, so that tests and the guides can quote them. */
export const CANNOT_TELL: readonly Finding[] = [
  {
    level: 'warn',
    what: 'HubSpot does not tell who took part in meetings: a meeting without the buyer counts as movement too.',
    todo: 'Log internal meetings outside the deal.',
  },
  {
    level: 'warn',
    what: 'HubSpot does not tell which calls were connected or incoming: calls do not count as movement of the buyer.',
    todo: 'Set countActivity: any if logged calls and outgoing e-mails should count weakly.',
  },
]
const BOARD =
  'Settings > Objects > Deals > Record customization shows the new properties on the deal; views and reports are made by hand (docs).'

/** Everything setup looks after, against what is there. */
interface Survey {
  readonly steps: readonly SetupStep[]
  readonly unique: boolean
}

export function survey(
  deals: ReadonlyMap<string, Property>,
  task: Property | null,
  groups: Readonly<Record<ObjectType, boolean>>,
): Survey {
  const group = (object: ObjectType): SetupStep => ({
    id: `${object}.group`,
    what: `Property group “${GROUP.label}” of ${object}`,
    action: groups[object] ? 'present' : 'create',
  })
  const fields = DEAL_FIELDS.map((spec): SetupStep => {
    const found = deals.get(spec.name)
    const wrong = found ? conflict(spec, found) : null
    const what = `Deal property “${spec.label}” (${spec.name}, ${spec.type})`
    if (wrong !== null) return { id: `deals.${spec.name}`, what, action: 'conflict', detail: wrong }
    return { id: `deals.${spec.name}`, what, action: found ? 'present' : 'create' }
  })
  const wrong = task ? conflict({ type: 'string' }, task) : null
  const key: SetupStep = {
    id: `tasks.${TASK_KEY}`,
    what: `Task property “unstall key” (${TASK_KEY}), unique where HubSpot allows it`,
    action: wrong !== null ? 'conflict' : task ? 'present' : 'create',
    ...(wrong === null ? {} : { detail: wrong }),
  }
  return { steps: [group('deals'), ...fields, group('tasks'), key], unique: task?.hasUniqueValue === true }
}

const look = (api: Api, outer: AbortSignal) => scoped(outer, (signal) => lookAtAll(api, signal))

async function lookAtAll(api: Api, signal: AbortSignal) {
  const has = async (object: ObjectType) =>
    (await api.groups(object, signal)).some((group: { name: string }) => group.name === GROUP.name)
  const [deals, task, ofDeals, ofTasks] = await Promise.all([
    api.properties('deals', signal),
    api.property('tasks', TASK_KEY, signal),
    has('deals'),
    has('tasks'),
  ])
  const properties = new Map(deals.map((property) => [property.name, property]))
  return { properties, task, ...survey(properties, task, { deals: ofDeals, tasks: ofTasks }) }
}

/** Idempotent; yields each step when it is done. Throws RetryLater and Fatal (permission names the scope). */
export async function* setUp(api: Api, signal: AbortSignal): AsyncGenerator<SetupStep> {
  for (const step of (await look(api, signal)).steps) {
    yield step.action === 'create' ? await create(api, step, signal) : step
  }
}

async function create(api: Api, step: SetupStep, signal: AbortSignal): Promise<SetupStep> {
  const object: ObjectType = step.id.startsWith('tasks.') ? 'tasks' : 'deals'
  const name = step.id.slice(object.length + 1)
  const spec = DEAL_FIELDS.find((field) => field.name === name)
  try {
    if (name === 'group') await api.createGroup(object, GROUP, signal)
    else if (spec) await api.createProperty(object, definition(spec), signal)
    else await createTaskKey(api, signal)
    return step
  } catch (error) {
    if (error instanceof Unknown) throw new RetryLater('HubSpot did not answer while a property was created', 10_000)
    if (error instanceof Refusal && error.status === 409) return { ...step, action: 'present' }
    // Calculations need a higher tier in some portals, which may come as 403.
    const refused = error instanceof Refusal || (error instanceof Fatal && error.kind === 'permission')
    if (!refused || (error instanceof Fatal && name !== FORECAST_AMOUNT)) throw error
    if (name !== FORECAST_AMOUNT) throw new Fatal('schema', `HubSpot refuses to create ${step.what}: ${error.message}`)
    const detail = `This portal refuses calculated properties (${error.message}): reports cannot sum the amount that counts.`
    return { ...step, action: 'conflict', detail }
  }
}

/** Not every portal takes unique properties on tasks: then a plain one, and tasks are looked up over their deal. */
async function createTaskKey(api: Api, signal: AbortSignal): Promise<void> {
  try {
    await api.createProperty('tasks', taskKeyDefinition(true), signal)
  } catch (error) {
    if (!(error instanceof Refusal) || error.status === 409) throw error
    await api.createProperty('tasks', taskKeyDefinition(false), signal)
  }
}

/** Read-only. Throws only RetryLater and the abort reason. `decisionStages`: those the policy names. */
export async function check(
  api: Api,
  options: ConnectorOptions & { readonly decisionStages?: readonly string[] },
  signal: AbortSignal,
): Promise<Health> {
  const findings: Finding[] = []
  /** Null where HubSpot does not let us: the finding names the scope. */
  async function may<T>(what: string, work: () => Promise<T>): Promise<T | null> {
    try {
      const found = await work()
      findings.push({ level: 'ok', what })
      return found
    } catch (error) {
      if (error instanceof Refusal) findings.push({ level: 'problem', what: `${what}: ${error.message}` })
      else if (error instanceof Fatal) {
        findings.push({ level: 'problem', what: `${what}: not possible`, todo: error.message })
      } else throw error
      return null
    }
  }

  const account = await may('The token is accepted', () => api.account(signal))
  if (account === null) return { findings, steps: [] }
  findings.push(...aboutAccount(account, options.timezone))
  const pipelines = await may('Reading deals and pipelines', async () => {
    await api.list({ limit: '1' }, signal)
    return api.pipelines(signal)
  })
  const stages = new Set(pipelines?.flatMap((pipeline) => pipeline.stages.map((stage) => stage.id)))
  const unknown = (options.decisionStages ?? []).filter((stage) => !stages.has(stage))
  if (pipelines && unknown.length > 0) {
    const todo = `Stages of this portal: ${[...stages].join(', ')}.`
    findings.push({
      level: 'problem',
      what: `The policy names stages HubSpot does not have: ${unknown.join(', ')}`,
      todo,
    })
  }
  await may('Reading owners', () => api.owners(false, null, signal))
  await may('Reading tasks', () => api.tasksExist(signal))
  const seen = await may('Reading property definitions', () => look(api, signal))
  if (seen !== null) findings.push(...aboutFields(seen, seen.properties))
  const left = api.leftToday()
  if (left !== null)
    findings.push({ level: left < 1000 ? 'warn' : 'ok', what: `HubSpot allows ${left} more calls today` })
  findings.push({
    level: 'ok',
    what: 'Scopes for writing show only when writing: setup and the first run name what is missing',
  })
  findings.push(...CANNOT_TELL)
  return { findings, steps: seen?.steps ?? [] }
}

function aboutAccount(account: Account, timezone: string): Finding[] {
  const { portalId, timeZone, companyCurrency } = account
  const findings: Finding[] = [
    { level: 'ok', what: `Portal ${portalId ?? '?'}, currency ${companyCurrency ?? 'unknown'}` },
  ]
  if (timeZone && timeZone !== timezone) {
    const what = `The portal's time zone is ${timeZone}, the configuration says ${timezone}: close dates may differ by a day`
    findings.push({ level: 'warn', what, todo: `Set timezone: ${timeZone} if the company works in that zone.` })
  }
  return findings
}

function aboutFields({ steps, unique }: Survey, deals: ReadonlyMap<string, Property>): Finding[] {
  const findings: Finding[] = []
  const missing = steps.filter((step) => step.action === 'create')
  const needed = missing.filter((step) => step.id !== `deals.${FORECAST_AMOUNT}`)
  if (needed.length > 0) {
    const what = `${needed.length} of our properties are missing: ${needed.map((step) => step.what).join('; ')}`
    findings.push({ level: 'problem', what, todo: 'Run: unstall setup <connection> --apply' })
  } else if (missing.length > 0) {
    const what =
      'The amount that counts is missing: either setup has not run, or the portal refuses calculated properties'
    findings.push({ level: 'warn', what, todo: 'Reports must leave out deals whose “Stalled” is Yes instead.' })
  } else findings.push({ level: 'ok', what: `All our properties are there. ${BOARD}` })
  for (const step of steps) {
    if (step.action !== 'conflict') continue
    findings.push({
      level: 'problem',
      what: `${step.what} cannot be used`,
      todo: step.detail ?? 'Rename or delete it.',
    })
  }
  if (!unique && !missing.some((step) => step.id === `tasks.${TASK_KEY}`)) {
    const what = 'Tasks have no unique key here: unstall looks them up over their deal, which takes more calls'
    findings.push({ level: 'ok', what })
  }
  const categories = deals.get(FORECAST_CATEGORY)?.options?.map((option) => option.value) ?? []
  if (!categories.includes('OMIT')) {
    const what = 'There is no forecast category “Not forecasted” (OMIT): the category of stalled deals is left alone'
    findings.push({
      level: 'warn',
      what,
      todo: 'Forecasting needs Sales Hub Professional; else use the amount that counts.',
    })
  }
  return findings
}
