// What the org has of what unstall needs, and the making of the rest. Nothing that setup did not create is ever
// changed: a field of our name with another type stops it before the first write.
import { z } from 'zod'
import type { Finding, SetupStep } from '../../src/connector.ts'
import type { OwnerId } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import type { Api } from './api.ts'
import { CATEGORY, kindOf, OWN_FIELDS, PERMISSION_SET, permissionSet } from './fields.ts'
import type { Known } from './org.ts'
import { chunks, type Described } from './wire.ts'

/** The Metadata API takes ten components per call. */
const METADATA_BATCH = 10
const Metadata = z.object({ fullName: z.string(), type: z.string(), formula: z.string().nullish() })
const Failure = z.object({ message: z.string() })
const Result = z.object({
  success: z.boolean(),
  fullName: z.string(),
  errors: z.union([Failure, z.array(Failure)]).nullish(),
})

interface Survey {
  readonly steps: readonly SetupStep[]
  /** Id of the permission set, where there is one. */
  readonly set: unknown
}
const SET = `SELECT Id FROM PermissionSet WHERE Name = '${PERMISSION_SET}'`

/** Read-only. `user`: whom the permission set is for; null: unknown, so the assignment is left out. */
export async function survey(api: Api, user: OwnerId | null, signal: AbortSignal): Promise<Survey> {
  const [deal, task, sets] = await Promise.all([
    api.describe('Opportunity', signal),
    api.describe('Task', signal),
    api.rows(SET, signal),
  ])
  const set = sets[0]?.Id
  const named = (object: string, { fields }: Described) => fields.map((one) => [`${object}.${one.name}`, one] as const)
  const seen = new Map<string, Described['fields'][number]>([...named('Opportunity', deal), ...named('Activity', task)])
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
  const names = closed.length > 0 ? closed.join(', ') : 'these fields'
  steps.push({
    id: 'permission-set',
    what: `permission set ${PERMISSION_SET}: access to ${names}`,
    action: set && closed.length === 0 ? 'present' : 'create',
  })
  if (user) {
    const those = `PermissionSetId = '${set}' AND AssigneeId = '${user}'`
    const assigned = set ? await api.rows(`SELECT Id FROM PermissionSetAssignment WHERE ${those}`, signal) : []
    const what = `assignment of ${PERMISSION_SET} to the API user`
    steps.push({ id: 'assignment', what, action: assigned.length > 0 ? 'present' : 'create' })
  }
  return { steps, set }
}

/** Creates what `survey` found missing. Throws Fatal('schema') on a conflict, Fatal('permission') if Salesforce refuses. */
export async function* setUp(api: Api, user: OwnerId | null, signal: AbortSignal): AsyncGenerator<SetupStep> {
  const { steps, set } = await survey(api, user, signal)
  const conflicts = steps.filter(({ action }) => action === 'conflict')
  if (conflicts.length > 0) {
    yield* conflicts
    const names = conflicts.map(({ id, detail }) => `${id}: ${detail}`).join('; ')
    throw new Fatal('schema', `nothing was created, because a field of unstall's name is something else (${names})`)
  }
  const creates = (id: string) => steps.some((step) => step.id === id && step.action === 'create')
  const missing = OWN_FIELDS.filter(({ body }) => creates(body.fullName))
  for (const some of chunks(missing, METADATA_BATCH)) {
    const bodies = some.map(({ body }) => body)
    await upsert('CustomField', bodies)
    yield* steps.filter(({ id }) => some.some(({ body }) => body.fullName === id))
  }
  if (missing.length > 0 || creates('permission-set')) await upsert('PermissionSet', [permissionSet])
  if (creates('assignment')) {
    const PermissionSetId = set ?? (await api.rows(SET, signal))[0]?.Id
    const assignment = { AssigneeId: user, PermissionSetId }
    const [saved] = await api.save('create', 'PermissionSetAssignment', [assignment], signal)
    const error = saved?.errors[0]
    if (!saved?.success && error?.statusCode !== 'DUPLICATE_VALUE')
      throw new Fatal('permission', `Salesforce did not assign ${PERMISSION_SET} to the API user: ${error?.message}`)
  }
  yield* steps.filter(({ id }) => !missing.some(({ body }) => body.fullName === id))

  async function upsert(type: 'CustomField' | 'PermissionSet', bodies: object[]) {
    for (const answer of await api.upsertMetadata(type, bodies, signal)) {
      const { success, fullName, errors } = Result.parse(answer)
      const why = [errors ?? []].flat()[0]?.message ?? 'no reason given'
      if (!success) throw new Fatal('permission', `Salesforce did not create ${fullName}: ${why}`)
    }
  }
}

/** Everything `check` says, in the order a person works through it. */
export async function findings(
  api: Api,
  { steps }: Survey,
  { reference, lens, described }: Known,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { Max: max, Remaining: left } = (await api.limits(signal)).DailyApiRequests
  const { pipelines, omitted, tells } = reference
  const shown = described.get('Opportunity')?.fields ?? []
  const lacking = ['Amount', 'CloseDate', CATEGORY].filter(
    (name) => !shown.some((field) => field.name === name && (name !== CATEGORY || field.updateable)),
  )
  const missing = steps.filter(({ action }) => action !== 'present')
  const conflicts = missing.flatMap(({ detail }) => detail ?? [])
  const stages = pipelines.map(({ id, stages }) => `${id}: ${stages.map((stage) => stage.id).join(', ')}`)

  const rows: [good: boolean, what: string, level: 'warn' | 'problem', otherwise: string, todo: string][] = [
    [
      left > max * 0.2,
      `signed in to ${new URL(lens.instanceUrl).host}; ${left} of ${max} API calls left today`,
      'warn',
      `only ${left} of ${max} API calls are left today`,
      'see who uses them under Setup > Company Information > API Requests, Last 24 Hours',
    ],
    [
      missing.length === 0,
      'all fields and permissions of unstall are there',
      'problem',
      `missing: ${missing.map(({ what }) => what).join('; ')}`,
      conflicts.length > 0 ? conflicts.join('; ') : 'run `unstall setup`',
    ],
    [
      lacking.length === 0,
      'our user sees amount, close date and forecast category',
      'problem',
      `our user may not read or edit ${lacking.join(', ')} of Opportunities`,
      'grant them under Setup > Permission Sets > (a permission set of the API user) > Object Settings > Opportunities',
    ],
    [
      omitted !== null,
      `forecast category that means "not in the forecast": ${omitted}`,
      'warn',
      'no forecast category means "not in the forecast", so stalled deals stay in the forecast',
      'activate Omitted under Setup > Object Manager > Opportunity > Fields > Forecast Category, or set `forecast: amount`',
    ],
    [
      tells.history,
      'history of stage, amount and close date: OpportunityHistory',
      'warn',
      'our user sees no opportunity history: movement before the first night is unknown, so old deals get one full limit of patience',
      'grant read access to Opportunities under Setup > Permission Sets',
    ],
    [
      tells.replies,
      'e-mails of buyers: EmailMessage (messages held only in Einstein Activity Capture are not stored as records and do not count)',
      'warn',
      'this org stores no e-mails as records, so a reply of a buyer is not seen as movement: only meetings and calls are',
      'switch on Setup > Email > Enhanced Email, or raise `idleDays`',
    ],
    [
      tells.personFromAutomation,
      '',
      'warn',
      'Salesforce does not say whether a person or a flow made a change: a flow that moves stages or amounts counts as the person whose save started it',
      'name integration users in `policy.automationUsers` (Setup > Users shows them)',
    ],
  ]
  return [
    ...rows.map(
      ([good, what, level, otherwise, todo]): Finding =>
        good ? { level: 'ok', what } : { level, what: otherwise, todo },
    ),
    { level: 'ok', what: `stages of each pipeline: ${stages.join('; ')}` },
  ]
}
