// What `check` reports and `setup` creates: scopes, our fields, stages, budget, and what HubSpot cannot tell. Every
// finding says in a RevOps manager's words what it costs or what to do.
import type { ConnectorOptions, Finding, Health, SetupStep } from '../../src/connector.ts'
import { Fatal } from '../../src/errors.ts'
import { type Api, Refusal, scoped } from './api.ts'
import { conflict, DEAL_FIELDS, FORECAST_AMOUNT, FORECAST_CATEGORY, GROUP, TASK_FIELDS, TASK_KEY } from './fields.ts'
import type { Property } from './wire.ts'

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

const things = (object: 'deals' | 'tasks', fields: typeof DEAL_FIELDS) => [
  { object, id: `${object}.group`, what: `Property group “${GROUP.label}” of ${object}`, spec: null },
  ...fields.map((spec) => {
    const what = `Property “${spec.label}” of ${object} (${spec.name}, ${spec.type})`
    return { object, id: `${object}.${spec.name}`, what, spec }
  }),
]
/** Everything setup looks after. */
const THINGS = [...things('deals', DEAL_FIELDS), ...things('tasks', TASK_FIELDS)]

/** The portal's deal properties and our task key, by name. */
export async function propertiesOf(api: Api, signal: AbortSignal): Promise<ReadonlyMap<string, Property>> {
  const [deals, key] = await Promise.all([api.properties(signal), api.property('tasks', TASK_KEY, signal)])
  return new Map([...deals, ...(key ? [key] : [])].map((property) => [property.name, property]))
}

/** Our properties that cannot be written, with what to tell the person. */
export function unusable(found: ReadonlyMap<string, Property>): Map<string, string> {
  const wrong = [...DEAL_FIELDS, ...TASK_FIELDS].flatMap((spec) => {
    const there = found.get(spec.name)
    const why = there ? conflict(spec, there) : 'it is missing: run unstall setup'
    return why === null ? [] : [[spec.name, `${spec.name} cannot be written: ${why}`] as const]
  })
  return new Map(wrong)
}

const survey = (api: Api, outer: AbortSignal) =>
  scoped(outer, async (signal) => {
    const [found, deals, tasks] = await Promise.all([
      propertiesOf(api, signal),
      api.groups('deals', signal),
      api.groups('tasks', signal),
    ])
    const groups = { deals, tasks }
    const steps = THINGS.map(({ object, id, what, spec }): SetupStep => {
      const property = found.get(spec?.name ?? '')
      const there = spec ? property : groups[object].find((group) => group.name === GROUP.name)
      const detail = spec && property ? conflict(spec, property) : null
      if (detail !== null) return { id, what, action: 'conflict', detail }
      return { id, what, action: there ? 'present' : 'create' }
    })
    return { found, steps }
  })

/** Idempotent; yields each step when it is done. Throws RetryLater and Fatal (permission names the scope). */
export async function* setUp(api: Api, signal: AbortSignal): AsyncGenerator<SetupStep> {
  for (const step of (await survey(api, signal)).steps)
    yield step.action === 'create' ? await create(api, step, signal) : step
}

async function create(api: Api, step: SetupStep, signal: AbortSignal): Promise<SetupStep> {
  const { object, spec } = THINGS.find(({ id }) => id === step.id) ?? { object: 'deals', spec: null }
  const refused = (error: unknown) => error instanceof Refusal && error.status !== 409
  try {
    if (spec === null) await api.define(object, 'group', GROUP, signal)
    else
      await api.define(object, 'property', spec, signal).catch((error) => {
        if (!spec.hasUniqueValue || !refused(error)) throw error
        // Not every portal takes unique properties on tasks: then a plain one, and tasks are looked up over their deal.
        return api.define(object, 'property', { ...spec, hasUniqueValue: undefined }, signal)
      })
    return step
  } catch (error) {
    if (error instanceof Refusal && error.status === 409) return { ...step, action: 'present' }
    // Calculations need a higher tier in some portals, which may come as 403.
    if (error instanceof Fatal && error.kind !== 'credentials' && spec?.name === FORECAST_AMOUNT) {
      const detail = `This portal refuses calculated properties (${error.message}): reports cannot sum the amount that counts.`
      return { ...step, action: 'conflict', detail }
    }
    if (error instanceof Refusal) throw new Fatal('schema', `HubSpot refuses to create ${step.what}: ${error.words}`)
    throw error
  }
}

/** Read-only. Throws only RetryLater and the abort reason. `decisionStages`: those the policy names. */
export async function check(
  api: Api,
  { timezone, decisionStages = [] }: ConnectorOptions & { readonly decisionStages?: readonly string[] },
  signal: AbortSignal,
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

  const account = await may('The token is accepted', api.account(signal))
  if (account === null) return { findings, steps: [] }
  const { portalId, timeZone, companyCurrency } = account
  say('ok', `Portal ${portalId ?? '?'}, currency ${companyCurrency ?? 'unknown'}`)
  if (timeZone && timeZone !== timezone) {
    const what = `The portal's time zone is ${timeZone}, the configuration says ${timezone}: close dates may differ by a day`
    say('warn', what, `Set timezone: ${timeZone} if the company works in that zone.`)
  }
  await may('Reading deals', api.list('deals', { limit: '1' }, signal))
  const pipelines = await may('Reading pipelines', api.pipelines(signal))
  const stages = pipelines?.flatMap((pipeline) => pipeline.stages.map((stage) => stage.id))
  const unknown = decisionStages.filter((stage) => stages?.includes(stage) === false)
  if (stages && unknown.length > 0) {
    const what = `The policy names stages HubSpot does not have: ${unknown.join(', ')}`
    say('problem', what, `Stages of this portal: ${stages.join(', ')}.`)
  }
  await may('Reading owners', api.owners(false, null, signal))
  await may('Reading tasks', api.list('tasks', { limit: '1' }, signal))
  const seen = await may('Reading property definitions', survey(api, signal))
  if (seen) findings.push(...aboutFields(seen))
  const left = api.leftToday()
  if (left !== null) say(left < 1000 ? 'warn' : 'ok', `HubSpot allows ${left} more calls today`)
  say('ok', 'Scopes for writing show only when writing: setup and the first run name what is missing')
  return { findings: [...findings, ...CANNOT_TELL], steps: seen?.steps ?? [] }
}

function* aboutFields({ steps, found }: Awaited<ReturnType<typeof survey>>): Generator<Finding> {
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
    yield { level: 'ok', what: `All our properties are there: ${place}; views and reports are made by hand (docs).` }
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
