// What `setup --remove` takes away from a portal: the segment before the flag it filters by, the calculated amount before
// what it is calculated from, the groups last. Never a property of our name that is of another type.
import type { Removal, SetupStep } from '../../src/connector.ts'
import { type Hub, Refusal } from './api.ts'
import { FIELDS, GROUP, OURS } from './fields.ts'
import { segmentIn, survey } from './setup.ts'
import type { Property } from './wire.ts'

const OBJECTS = ['deals', 'tasks'] as const
const ours = (found: Property) => FIELDS.some(({ name, type }) => name === found.name && type === found.type)

/** Throws RetryLater and Fatal (permission names the scope). */
export async function removal(hub: Hub): Promise<Removal> {
  const segment = await segmentIn(hub)
  const parts: { readonly step: SetupStep; readonly erase: () => Promise<unknown> }[] = []
  const add = (id: string, what: string, erase: () => Promise<unknown>) =>
    parts.push({ step: { id, what, action: 'present' }, erase })
  if ('step' in segment && segment.id !== undefined) {
    const { id, step } = segment
    add(step.id, step.what, () => hub.erase('segment', id))
  }
  const found = new Map<string, Property>()
  const groups: (() => void)[] = []
  for (const object of OBJECTS) {
    const { results } = await hub.properties(object)
    for (const one of results) if (ours(one)) found.set(one.name, one)
    const shared = results.some((one) => one.groupName === GROUP.name && !ours(one))
    if (!shared && (await hub.group(object, GROUP.name)))
      groups.push(() => {
        const what = `Property group “${GROUP.label}” of ${object}`
        add(`${object}.group`, what, () => hub.erase('property', `${object}/groups/${GROUP.name}`))
      })
  }
  for (const { object, spec, step } of survey(found).toReversed())
    if (found.has(spec.name)) add(step.id, step.what, () => hub.erase('property', `${object}/${spec.name}`))
  for (const group of groups) group()

  const filters = [{ propertyName: OURS.categoryBefore, operator: 'HAS_PROPERTY' }]
  const lent = found.has(OURS.categoryBefore) ? await hub.search({ filterGroups: [{ filters }], limit: 1 }) : null
  return {
    steps: parts.map(({ step }) => step),
    borrowed: lent?.total ?? 0,
    async *carryOut() {
      let refused = false
      for (const { step, erase } of parts) {
        // A group goes only once it is empty.
        if (refused && step.id.endsWith('.group')) continue
        try {
          await erase()
          yield step
        } catch (error) {
          if (!(error instanceof Refusal)) throw error
          refused = true
          yield { ...step, action: 'conflict', detail: error.problem.message }
        }
      }
    },
  }
}
