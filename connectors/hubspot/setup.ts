// What a portal has of our properties, and the making of the rest.
import type { Finding, SetupStep } from '../../src/connector.ts'
import { Fatal } from '../../src/errors.ts'
import { type Hub, Refusal } from './api.ts'
import { conflict, FIELDS, FORECAST_AMOUNT, GROUP, OURS, type PropertySpec, SEGMENT, TASK_KEY } from './fields.ts'
import { OPTIONAL, WHERE } from './scopes.ts'
import type { Property } from './wire.ts'

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

/** Our segment. Nobody depends on it: where the portal does not let us, or has another of that name, that is a finding.
 *  `scopes`: of the token, where they are known. */
export async function segmentIn(
  hub: Hub,
  scopes: readonly string[] | null = null,
): Promise<{ step: SetupStep; id?: string } | { finding: Finding }> {
  const without = (what: string, todo: string) => {
    const instead = `${todo} Or save a view by hand: docs/hubspot.md.`
    return { finding: { level: 'warn', what: `No segment “${SEGMENT.name}”: ${what}`, todo: instead } } as const
  }
  try {
    const found = await hub.segment(SEGMENT.name)
    if (found && !JSON.stringify(found).includes(OURS.stalled))
      return without('one of that name is there that unstall did not make', 'Rename it and run setup again.')
    const lacking = OPTIONAL.filter((scope) => scopes?.includes(scope) === false).join(' and ')
    if (!found && lacking) return without(`the scope ${lacking} is missing`, `Add it ${WHERE}.`)
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
