// What `setup --remove` takes away from an org: the list view before the flag it filters by, permission sets, then the
// fields, a formula before what it reads. Never a field of our name that is of another type.
import { chunks } from '../../src/batches.ts'
import type { Removal, SetupStep } from '../../src/connector.ts'
import { type Api, gather, type MetadataType, WRITE_BATCH } from './api.ts'
import { listView, OWN, PEOPLE_SET, PERMISSION_SET } from './fields.ts'
import type { Known } from './org.ts'
import { failure, survey } from './setup.ts'

interface Part {
  readonly type: MetadataType
  readonly name: string
  readonly step: SetupStep
  /** Id of a permission set, which can go only once nobody has it. */
  readonly set?: string
}

const part = (type: MetadataType, name: string, step: SetupStep): Part => ({ type, name, step })

/** Throws RetryLater and Fatal. */
export async function removal(api: Api, known: Known, signal: AbortSignal): Promise<Removal> {
  const present = (await survey(api, known, signal)).filter(({ action }) => action === 'present')
  const sets = await api.rows(
    `SELECT Id, Name FROM PermissionSet WHERE Name IN ('${PERMISSION_SET}', '${PEOPLE_SET}')`,
    signal,
  )
  const parts: Part[] = [
    ...present.flatMap((step) => (step.id === 'list-view' ? part('ListView', listView.fullName, step) : [])),
    ...sets.map(({ Id, Name }): Part => {
      const id = Name === PEOPLE_SET ? 'people' : 'permission-set'
      const what = `permission set ${Name}, from everybody who has it`
      return { ...part('PermissionSet', String(Name), { id, what, action: 'present' }), set: String(Id) }
    }),
    ...present.flatMap((step) => (step.id.endsWith('__c') ? part('CustomField', step.id, step) : [])).toReversed(),
  ]
  const lent = `SELECT COUNT() FROM Opportunity WHERE ${OWN.categoryBefore.name} != null`
  const [count] = known.reference.fields?.categoryBefore?.readable ? await gather(api.query(lent, signal)) : []
  return {
    steps: parts.map(({ step }) => step),
    borrowed: count?.totalSize ?? 0,
    async *carryOut() {
      for (const { type, name, step, set } of parts) {
        const assigned = `SELECT Id FROM PermissionSetAssignment WHERE PermissionSetId = '${set}'`
        for (const some of chunks(set ? await api.rows(assigned, signal) : [], WRITE_BATCH))
          await api.save('destroy', 'PermissionSetAssignment', some, signal)
        // One a call: in one call the order is Salesforce's.
        const [failed] = (await api.deleteMetadata(type, [name], signal)).map(failure)
        const gone = !failed || failed.code === 'INVALID_CROSS_REFERENCE_KEY'
        yield gone ? step : { ...step, action: 'conflict', detail: failed.message }
      }
    },
  }
}
