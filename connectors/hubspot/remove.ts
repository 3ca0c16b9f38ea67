// What `setup --remove` takes away from a portal: the segment before the flag it filters by, the calculated amount before
// what it is calculated from, the groups last. Never a property of our name that is of another type.
import type { Removal, SetupStep } from '../../src/connector.ts'
import { type Hub, Refusal } from './api.ts'
import { FIELDS, GROUP, OURS } from './fields.ts'
import { segmentIn, survey } from './setup.ts'
import type { Property } from './wire.ts'

const OBJECTS = ['deals', 'tasks'] as const
const ours = (found: Property) => FIELDS.some(({ name, type }) => name === found.name && type === found.type)

interface Part {
  readonly kind: 'property' | 'segment'
  /** Path below those of its kind. */
  readonly below: string
  readonly step: SetupStep
}
const part = (kind: Part['kind'], below: string, { id, what }: Pick<SetupStep, 'id' | 'what'>): Part => ({
  ...{ kind, below, step: { id, what, action: 'present' } },
})

/** Throws RetryLater and Fatal (permission names the scope). */
export async function removal(hub: Hub): Promise<Removal> {
  const segment = await segmentIn(hub)
  const found = new Map<string, Property>()
  const groups: Part[] = []
  for (const object of OBJECTS) {
    const { results } = await hub.properties(object)
    for (const one of results) if (ours(one)) found.set(one.name, one)
    const shared = results.some((one) => one.groupName === GROUP.name && !ours(one))
    const said = { id: `${object}.group`, what: `Property group “${GROUP.label}” of ${object}` }
    if (!shared && (await hub.group(object, GROUP.name)))
      groups.push(part('property', `${object}/groups/${GROUP.name}`, said))
  }
  const parts = [
    ...('step' in segment && segment.id ? [part('segment', segment.id, segment.step)] : []),
    ...survey(found)
      .flatMap(({ object, spec: { name }, step }) =>
        found.has(name) ? part('property', `${object}/${name}`, step) : [],
      )
      .toReversed(),
    ...groups,
  ]
  const filters = [{ propertyName: OURS.categoryBefore, operator: 'HAS_PROPERTY' }]
  const lent = found.has(OURS.categoryBefore) ? await hub.search({ filterGroups: [{ filters }], limit: 1 }) : null
  return {
    steps: parts.map(({ step }) => step),
    borrowed: lent?.total ?? 0,
    async *carryOut() {
      let refused = false
      for (const { kind, below, step } of parts) {
        // A group goes only once it is empty.
        if (refused && below.endsWith(`/groups/${GROUP.name}`)) continue
        try {
          await hub.erase(kind, below)
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
