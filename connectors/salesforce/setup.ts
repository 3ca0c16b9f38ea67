// What the org has of what unstall needs, and the making of the rest. Nothing that setup did not create is ever
// changed: a field of our name with another type stops it before the first write.
import { z } from 'zod'
import type { Finding, SetupStep } from '../../src/connector.ts'
import type { OwnerId, Reference } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { API_VERSION, type Api } from './api.ts'
import { CATEGORY, OWN_FIELDS, type OwnField, PERMISSION_SET, permissionSet } from './fields.ts'
import type { Described } from './wire.ts'

/** The Metadata API takes ten components per call. */
const METADATA_BATCH = 10
const Metadata = z.object({ fullName: z.string().optional(), type: z.string().optional() })
const Result = z.object({
  success: z.boolean(),
  fullName: z.string(),
  errors: z.union([z.object({ message: z.string() }), z.array(z.object({ message: z.string() }))]).nullish(),
})

interface Survey {
  readonly steps: readonly (SetupStep & { readonly field?: OwnField })[]
  readonly described: { readonly Opportunity: Described; readonly Task: Described }
  /** Present, of the right type, and hidden from or read-only for our user. */
  readonly closed: readonly string[]
  readonly permissionSet: string | null
}

async function rows(api: Api, soql: string, signal: AbortSignal) {
  const all: Record<string, unknown>[] = []
  for await (const page of api.query(soql, signal)) all.push(...page.records)
  return all
}

/** Read-only. `user`: whom the permission set is for; null: unknown, so the assignment is left out. */
export async function survey(api: Api, user: OwnerId | null, signal: AbortSignal): Promise<Survey> {
  const [opportunity, task, sets] = await Promise.all([
    api.describe('Opportunity', signal),
    api.describe('Task', signal),
    rows(api, `SELECT Id FROM PermissionSet WHERE Name = '${PERMISSION_SET}'`, signal),
  ])
  const described = { Opportunity: opportunity, Task: task }
  const shown = (field: OwnField) =>
    (field.fullName.startsWith('Activity.') ? task : opportunity).fields.find(({ name }) => name === field.name)

  // Fields without access are invisible to describe: only the metadata tells them from missing ones.
  const hidden = new Map<string, string>()
  const unseen = OWN_FIELDS.filter((field) => !shown(field)).map(({ fullName }) => fullName)
  for (let at = 0; at < unseen.length; at += METADATA_BATCH) {
    // Who may not read the metadata may not write it either, so setup fails before it changes anything.
    const found = await api
      .readMetadata('CustomField', unseen.slice(at, at + METADATA_BATCH), signal)
      .catch((error) => {
        if (error instanceof Fatal && error.kind === 'permission') return []
        throw error
      })
    for (const { fullName, type } of found.map((one) => Metadata.parse(one ?? {})))
      if (fullName && type) hidden.set(fullName, type)
  }

  const closed: string[] = []
  const steps = OWN_FIELDS.map((field): Survey['steps'][number] => {
    const seen = shown(field)
    const other = seen
      ? seen.type !== field.described && seen.type
      : hidden.get(field.fullName) !== field.type && hidden.get(field.fullName)
    const formula = seen && Boolean(seen.calculated) === field.editable
    const what = `field ${field.fullName} (${field.label}, ${field.type})`
    if (other || formula)
      return {
        id: field.fullName,
        what,
        field,
        action: 'conflict',
        detail: `a field of this name is there as ${formula ? (field.editable ? 'a formula' : 'a plain field') : other}; rename or delete it under Setup > Object Manager > ${field.fullName.split('.')[0]} > Fields & Relationships`,
      }
    const there = seen !== undefined || hidden.has(field.fullName)
    if (there && (!seen || (field.editable && !seen.updateable))) closed.push(field.name)
    return { id: field.fullName, what, field, action: there ? 'present' : 'create' }
  })

  const set = z.object({ Id: z.string() }).safeParse(sets[0]).data?.Id ?? null
  const [granted, assigned] = set
    ? await Promise.all([
        rows(api, `SELECT Field, PermissionsEdit FROM FieldPermissions WHERE ParentId = '${set}'`, signal),
        user
          ? rows(
              api,
              `SELECT Id FROM PermissionSetAssignment WHERE PermissionSetId = '${set}' AND AssigneeId = '${user}'`,
              signal,
            )
          : [],
      ])
    : [[], []]
  const existing = new Set(steps.filter(({ action }) => action === 'present').map(({ id }) => id.replace(/^\w+\./, '')))
  const complete = permissionSet.fieldPermissions.every(
    ({ field, editable }) =>
      !existing.has(field.replace(/^\w+\./, '')) ||
      granted.some((row) => row.Field === field && (row.PermissionsEdit === true || !editable)),
  )
  const grants: Survey['steps'] = [
    {
      id: 'permission-set',
      what: `permission set ${PERMISSION_SET}: access to these fields`,
      action: set && complete ? 'present' : 'create',
    },
    ...(user
      ? [
          {
            id: 'assignment',
            what: `assignment of ${PERMISSION_SET} to the API user`,
            action: assigned.length > 0 ? ('present' as const) : ('create' as const),
          },
        ]
      : []),
  ]
  return { steps: [...steps, ...grants], described, closed, permissionSet: set }
}

/** Creates what `survey` found missing. Throws Fatal('schema') on a conflict, Fatal('permission') if Salesforce refuses. */
export async function* setUp(api: Api, user: OwnerId | null, signal: AbortSignal): AsyncGenerator<SetupStep> {
  const { steps, permissionSet: known } = await survey(api, user, signal)
  const plain = ({ field: _, ...step }: Survey['steps'][number]): SetupStep => step
  const conflicts = steps.filter(({ action }) => action === 'conflict')
  if (conflicts.length > 0) {
    yield* conflicts.map(plain)
    const names = conflicts.map(({ id, detail }) => `${id}: ${detail}`).join('; ')
    throw new Fatal('schema', `nothing was created, because a field of unstall's name is something else (${names})`)
  }
  const missing = steps.filter(({ action, field }) => action === 'create' && field)
  for (let at = 0; at < missing.length; at += METADATA_BATCH) {
    const some = missing.slice(at, at + METADATA_BATCH)
    await upsert(
      api,
      'CustomField',
      some.flatMap(({ field }) => (field ? [field.body] : [])),
      signal,
    )
    yield* some.map(plain)
  }
  const set = steps.find(({ id }) => id === 'permission-set')
  if (missing.length > 0 || set?.action === 'create') await upsert(api, 'PermissionSet', [permissionSet], signal)
  const assignment = steps.find(({ id }) => id === 'assignment')
  if (assignment?.action === 'create') {
    const [made] = known
      ? [{ Id: known }]
      : await rows(api, `SELECT Id FROM PermissionSet WHERE Name = '${PERMISSION_SET}'`, signal)
    const [saved] = await api.create(
      'PermissionSetAssignment',
      [{ AssigneeId: user, PermissionSetId: made?.Id }],
      signal,
    )
    const error = saved?.errors[0]
    if (!saved?.success && error?.statusCode !== 'DUPLICATE_VALUE')
      throw new Fatal('permission', `Salesforce did not assign ${PERMISSION_SET} to the API user: ${error?.message}`)
  }
  yield* steps.filter((step) => !missing.includes(step)).map(plain)
}

async function upsert(
  api: Api,
  type: 'CustomField' | 'PermissionSet',
  bodies: Record<string, unknown>[],
  signal: AbortSignal,
) {
  for (const answer of await api.upsertMetadata(type, bodies, signal)) {
    const { success, fullName, errors } = Result.parse(answer)
    const first = Array.isArray(errors) ? errors[0] : errors
    if (!success)
      throw new Fatal('permission', `Salesforce did not create ${fullName}: ${first?.message ?? 'no reason given'}`)
  }
}

/** Everything `check` says, in the order a person works through it. */
export async function findings(
  api: Api,
  { steps, described, closed }: Survey,
  reference: Reference,
  host: string,
  signal: AbortSignal,
): Promise<Finding[]> {
  const [versions, limits] = await Promise.all([api.versions(signal), api.limits(signal)])
  const { Max: max, Remaining: left } = limits.DailyApiRequests
  const out: Finding[] = [{ level: 'ok', what: `signed in to ${host}` }]
  const say = (good: boolean, what: string, level: 'warn' | 'problem', otherwise: string, todo: string) =>
    out.push(good ? { level: 'ok', what } : { level, what: otherwise, todo })

  say(
    versions.some(({ version }) => version === API_VERSION),
    `API version ${API_VERSION}`,
    'problem',
    `this org does not offer API version ${API_VERSION}`,
    'update unstall',
  )
  say(
    left > max * 0.2,
    `${left} of ${max} API calls left today`,
    'warn',
    `only ${left} of ${max} API calls are left today`,
    'see who uses them under Setup > Company Information > API Requests, Last 24 Hours',
  )
  const missing = steps.filter(({ action }) => action !== 'present')
  say(
    missing.length === 0,
    'all fields and permissions of unstall are there',
    'problem',
    `missing: ${missing.map(({ what }) => what).join('; ')}`,
    missing.some(({ action }) => action === 'conflict')
      ? missing.flatMap(({ detail }) => detail ?? []).join('; ')
      : 'run `unstall setup`',
  )
  if (closed.length > 0)
    out.push({
      level: 'problem',
      what: `our user may not edit ${closed.join(', ')}`,
      todo: 'run `unstall setup`, or grant the fields under Setup > Permission Sets > unstall integration > Object Settings',
    })
  for (const name of ['Amount', 'CloseDate', CATEGORY]) {
    const field = described.Opportunity.fields.find((one) => one.name === name)
    const enough = field && (name !== CATEGORY || field.updateable)
    if (!enough)
      out.push({
        level: 'problem',
        what: `our user may not ${field ? 'edit' : 'read'} ${name} of an Opportunity`,
        todo: 'grant it under Setup > Permission Sets > (a permission set of the API user) > Object Settings > Opportunities',
      })
  }
  say(
    reference.omitted !== null,
    `forecast category that means "not in the forecast": ${reference.omitted}`,
    'warn',
    'no forecast category means "not in the forecast", so stalled deals stay in the forecast',
    'activate Omitted under Setup > Object Manager > Opportunity > Fields > Forecast Category, or set `forecast: amount`',
  )
  for (const { id, label, stages } of reference.pipelines)
    out.push({
      level: 'ok',
      what: `${reference.pipelines.length === 1 ? 'stages' : `stages of pipeline ${id} (${label})`}: ${stages.map((stage) => stage.id).join(', ')}`,
    })
  const { tells } = reference
  say(
    tells.history,
    'history of stage, amount and close date: OpportunityHistory',
    'warn',
    'our user sees no opportunity history: movement before the first night is unknown, so old deals get one full limit of patience',
    'grant read access to Opportunities under Setup > Permission Sets',
  )
  say(
    tells.replies,
    'e-mails of buyers: EmailMessage (messages held only in Einstein Activity Capture are not stored as records and do not count)',
    'warn',
    'this org stores no e-mails as records, so a reply of a buyer is not seen as movement: only meetings and calls are',
    'switch on Setup > Email > Enhanced Email, or raise `idleDays`',
  )
  out.push({
    level: 'warn',
    what: 'Salesforce does not say whether a person or a flow made a change: a flow that moves stages or amounts counts as the person whose save started it',
    todo: 'name integration users in `policy.automationUsers` (Setup > Users shows them)',
  })
  out.push({
    level: 'ok',
    what: 'Pipeline Inspection is not needed: days in stage and pushes are counted by unstall itself',
  })
  return out
}
