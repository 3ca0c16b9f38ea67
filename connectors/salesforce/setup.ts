// What the org has of what unstall needs, and the making of the rest. Nothing that setup did not create is ever
// changed: a field of our name with another type stops it before the first write.
import { z } from 'zod'
import { chunks } from '../../src/batches.ts'
import type { SetupStep } from '../../src/connector.ts'
import { Fatal } from '../../src/errors.ts'
import type { Api, MetadataType } from './api.ts'
import { kindOf, listView, OWN_FIELDS, PEOPLE_SET, PERMISSION_SET, peopleSet, permissionSet } from './fields.ts'
import type { Known } from './org.ts'
import type { Described } from './wire.ts'

/** Components per call of the Metadata API. */
const METADATA_BATCH = 10
const Metadata = z.object({ fullName: z.string(), type: z.string(), formula: z.string().nullish() })
const Failure = z.object({ message: z.string(), statusCode: z.string().optional() })
const Result = z.object({
  success: z.boolean(),
  fullName: z.string(),
  errors: z.union([Failure, z.array(Failure)]).nullish(),
})

/** What became of one component: null if it went well, else why not. */
export function failure(
  answer: unknown,
): { readonly fullName: string; readonly message: string; readonly code: string } | null {
  const { success, fullName, errors } = Result.parse(answer)
  const { message = 'no reason given', statusCode: code = '' } = [errors ?? []].flat()[0] ?? {}
  return success ? null : { fullName, message, code }
}

/** Read-only: what is there, and what setup would create. */
export async function survey(api: Api, { described, lens }: Known, signal: AbortSignal): Promise<SetupStep[]> {
  const named = (object: 'Opportunity' | 'Task', prefix: 'Opportunity' | 'Activity') =>
    described.get(object)?.fields.map((field) => [`${prefix}.${field.name}`, field] as const) ?? []
  const seen = new Map<string, Described['fields'][number]>([
    ...named('Opportunity', 'Opportunity'),
    ...named('Task', 'Activity'),
  ])
  // Fields without access are invisible to describe: only the metadata tells them from missing ones. Who may not read
  // the metadata may not write it either, so setup fails before it changes anything.
  const kinds = new Map([...seen].map(([name, { type, calculated }]) => [name, kindOf(type, calculated)]))
  const unseen = OWN_FIELDS.map(({ body }) => body.fullName).filter((name) => !seen.has(name))
  for (const some of chunks(unseen, METADATA_BATCH)) {
    const found = await api.readMetadata('CustomField', some, signal).catch((error) => {
      if (error instanceof Fatal && error.kind === 'permission') return []
      throw error
    })
    for (const { fullName, type, formula } of found.flatMap((one) => Metadata.safeParse(one).data ?? []))
      kinds.set(fullName, kindOf(type, Boolean(formula)))
  }

  const closed: string[] = []
  const steps = OWN_FIELDS.map(({ kind, editable, body: { fullName: id, label, type } }): SetupStep => {
    const what = `field ${id} (${label}, ${type})`
    const there = kinds.get(id)
    if (there === undefined) return { id, what, action: 'create' }
    if (there !== kind) {
      const where = `Setup > Object Manager > ${id.split('.')[0]} > Fields & Relationships`
      const detail = `a field of this name is there as ${there}; rename or delete it under ${where}`
      return { id, what, action: 'conflict', detail }
    }
    if (!seen.has(id) || (editable && !seen.get(id)?.updateable)) closed.push(id)
    return { id, what, action: 'present' }
  })
  const view = await idOf(
    "ListView WHERE SobjectType = 'Opportunity' AND DeveloperName = 'Unstall_Stalled'",
    api,
    signal,
  )
  const what = `list view “${listView.label}” (${listView.fullName})`
  steps.push({ id: 'list-view', what, action: view ? 'present' : 'create' })
  const people = await idOf(`PermissionSet WHERE Name = '${PEOPLE_SET}'`, api, signal)
  const forPeople = `permission set ${PEOPLE_SET}, to be assigned to sales people and managers`
  steps.push({ id: 'people', what: forPeople, action: people ? 'present' : 'create' })
  const set = await idOf(`PermissionSet WHERE Name = '${PERMISSION_SET}'`, api, signal)
  const access = `access to ${closed.join(', ') || 'these fields'}`
  const granted = set && closed.length === 0 ? 'present' : 'create'
  steps.push({ id: 'permission-set', what: `permission set ${PERMISSION_SET}: ${access}`, action: granted })
  // Whom the token belongs to is not always known: then the assignment is left to a person.
  if (lens.self === null) return steps
  const those = `PermissionSetId = '${set}' AND AssigneeId = '${lens.self}'`
  const assigned = set && (await idOf(`PermissionSetAssignment WHERE ${those}`, api, signal)) ? 'present' : 'create'
  return [...steps, { id: 'assignment', what: `assignment of ${PERMISSION_SET} to the API user`, action: assigned }]
}

const idOf = async (from: string, api: Api, signal: AbortSignal) =>
  (await api.rows(`SELECT Id FROM ${from}`, signal))[0]?.Id

/** Creates what `survey` found missing. Throws Fatal('schema') on a conflict, Fatal('permission') if Salesforce refuses. */
export async function* setUp(api: Api, known: Known, signal: AbortSignal): AsyncGenerator<SetupStep> {
  const steps = await survey(api, known, signal)
  const conflicts = steps.filter(({ action }) => action === 'conflict')
  if (conflicts.length > 0) {
    yield* conflicts
    const names = conflicts.map(({ id, detail }) => `${id}: ${detail}`).join('; ')
    throw new Fatal('schema', `nothing was created, because a field of unstall's name is something else (${names})`)
  }
  const creates = (id: string) => steps.some((step) => step.id === id && step.action === 'create')
  const missing = OWN_FIELDS.filter(({ body }) => creates(body.fullName))
  for (const some of chunks(missing, METADATA_BATCH)) {
    // The help text tells this making of a field from an earlier one: what was written to that is gone.
    const made = new Date(api.now() ?? 0).toISOString()
    const bodies = some.map(({ body }) => ({ ...body, inlineHelpText: `${body.inlineHelpText} (Field of ${made}.)` }))
    await upsert('CustomField', bodies)
    yield* steps.filter(({ id }) => some.some(({ body }) => body.fullName === id))
  }
  // A field made anew is in no permission set any more.
  if (missing.length > 0 || creates('permission-set')) await upsert('PermissionSet', [permissionSet])
  if (missing.length > 0 || creates('people')) await upsert('PermissionSet', [peopleSet])
  if (creates('list-view')) await upsert('ListView', [listView])
  if (creates('assignment')) {
    const PermissionSetId = await idOf(`PermissionSet WHERE Name = '${PERMISSION_SET}'`, api, signal)
    const assignment = { AssigneeId: known.lens.self, PermissionSetId }
    const [saved] = await api.save('create', 'PermissionSetAssignment', [assignment], signal)
    const error = saved?.errors[0]
    if (!saved?.success && error?.statusCode !== 'DUPLICATE_VALUE')
      throw new Fatal('permission', `Salesforce did not assign ${PERMISSION_SET} to the API user: ${error?.message}`)
  }
  yield* steps.filter(({ id }) => !missing.some(({ body }) => body.fullName === id))

  async function upsert(type: MetadataType, bodies: object[]) {
    for (const answer of await api.upsertMetadata(type, bodies, signal)) {
      const failed = failure(answer)
      if (failed) throw new Fatal('permission', `Salesforce did not create ${failed.fullName}: ${failed.message}`)
    }
  }
}
