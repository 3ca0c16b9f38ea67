// What setup creates in the org, as data: Metadata bodies as the Metadata API takes them, and the type `describe` shows
// for each, so that a field of our name that is something else is recognised and left alone.
import { CAUSES, DECISIONS, type FieldValues, type OwnFields, PARKED_REASONS, RULES } from '../../src/core/deal.ts'

export interface OwnField {
  /** `Opportunity.Unstall_Stalled__c`: the metadata name. */
  readonly fullName: string
  readonly name: string
  readonly label: string
  /** `Checkbox`, `Picklist` …: the metadata type. */
  readonly type: string
  /** The same in `describe`. */
  readonly described: string
  readonly editable: boolean
  readonly body: Readonly<Record<string, unknown>>
}

const DESCRIBED = { Checkbox: 'boolean', Picklist: 'picklist', DateTime: 'datetime', Date: 'date', Text: 'string' }
const labelOf = (value: string) => value.charAt(0).toUpperCase() + value.slice(1).replaceAll('_', ' ')

function field(
  object: 'Opportunity' | 'Activity',
  name: string,
  label: string,
  type: keyof typeof DESCRIBED,
  description: string,
  body: Readonly<Record<string, unknown>> = {},
): OwnField {
  const fullName = `${object}.${name}`
  const all = { fullName, label, type, description, ...body }
  return { fullName, name, label, type, described: DESCRIBED[type], editable: true, body: all }
}

const choices = (values: readonly string[]) => ({
  valueSet: {
    restricted: true,
    valueSetDefinition: {
      sorted: false,
      value: values.map((value) => ({ fullName: value, label: labelOf(value), default: false })),
    },
  },
})

/** The wire name of every own field of the deal. */
export const WIRE = {
  stalled: 'Unstall_Stalled__c',
  state: 'Unstall_State__c',
  since: 'Unstall_Stalled_Since__c',
  reason: 'Unstall_Reason__c',
  explanation: 'Unstall_Explanation__c',
  lastMovement: 'Unstall_Last_Movement__c',
  categoryBefore: 'Unstall_Category_Before__c',
  decisionDue: 'Unstall_Decision_Due__c',
  decision: 'Unstall_Decision__c',
  cause: 'Unstall_Cause__c',
  parkedUntil: 'Unstall_Parked_Until__c',
  parkedReason: 'Unstall_Parked_Reason__c',
} as const satisfies Record<keyof OwnFields, string>

export const CATEGORY = 'ForecastCategoryName'
export const TASK_KEY = 'Unstall_Key__c'
export const PERMISSION_SET = 'Unstall_Integration'

const rep = 'Set by the sales representative; read by unstall.'
const ours = 'Written by unstall.'
const counts =
  "OR(ISPICKVAL(Unstall_State__c,'stalled'),ISPICKVAL(Unstall_State__c,'parked'),ISPICKVAL(Unstall_State__c,'answered_no'))"

/** In the order in which setup creates them: a formula after the field it reads. */
export const OWN_FIELDS: readonly OwnField[] = [
  field('Opportunity', WIRE.stalled, 'Stalled', 'Checkbox', ours, { defaultValue: 'false' }),
  field(
    'Opportunity',
    WIRE.state,
    'Deal state',
    'Picklist',
    ours,
    choices(['moving', 'stalled', 'parked', 'answered_no']),
  ),
  field('Opportunity', WIRE.since, 'Stalled since', 'DateTime', ours),
  field('Opportunity', WIRE.reason, 'Stalled because', 'Picklist', ours, choices(RULES)),
  field('Opportunity', WIRE.explanation, 'Stalled, in words', 'Text', ours, { length: 255 }),
  field('Opportunity', WIRE.lastMovement, 'Last movement', 'DateTime', ours),
  field('Opportunity', WIRE.categoryBefore, 'Forecast category before', 'Text', ours, { length: 255 }),
  field('Opportunity', WIRE.decisionDue, 'Decision due', 'Date', rep),
  field('Opportunity', WIRE.decision, 'Decision', 'Picklist', rep, choices(DECISIONS)),
  field('Opportunity', WIRE.cause, 'Why it stalled', 'Picklist', rep, choices(CAUSES)),
  field('Opportunity', WIRE.parkedUntil, 'Parked until', 'Date', rep),
  field('Opportunity', WIRE.parkedReason, 'Parked because', 'Picklist', rep, choices(PARKED_REASONS)),
  {
    fullName: 'Opportunity.Unstall_Forecast_Amount__c',
    name: 'Unstall_Forecast_Amount__c',
    label: 'Amount that counts',
    type: 'Currency',
    described: 'currency',
    editable: false,
    body: {
      fullName: 'Opportunity.Unstall_Forecast_Amount__c',
      label: 'Amount that counts',
      type: 'Currency',
      description: 'The amount, or 0 while the deal is stalled, parked or answered no.',
      precision: 18,
      scale: 2,
      formula: `IF(${counts}, IF(ISBLANK(Amount), Amount, 0), Amount)`,
      formulaTreatBlanksAs: 'BlankAsBlank',
    },
  },
  field('Activity', TASK_KEY, 'unstall key', 'Text', 'Marks the tasks of unstall.', { length: 80 }),
]

/** Field access of the API user; a custom field of Activity is granted under Task (Salesforce mirrors it to Event). */
export const permissionSet = {
  fullName: PERMISSION_SET,
  label: 'unstall integration',
  description: 'Access of the unstall API user to the fields of unstall.',
  hasActivationRequired: false,
  fieldPermissions: OWN_FIELDS.map(({ fullName, editable }) => ({
    field: fullName.replace(/^Activity\./, 'Task.'),
    readable: true,
    editable,
  })),
}

/** The record update of `after`: wire names, instants in ISO 8601 UTC. */
export function wireValues(after: FieldValues): Record<string, string | boolean | null> {
  const { category, since, lastMovement, ...same } = after
  const out: Record<string, string | boolean | null> = {}
  for (const [key, value] of Object.entries(same)) out[WIRE[key as keyof typeof same]] = value
  for (const [name, at] of [
    [WIRE.since, since],
    [WIRE.lastMovement, lastMovement],
  ] as const)
    if (at !== undefined) out[name] = at === null ? null : new Date(at).toISOString()
  if (category !== undefined) out[CATEGORY] = category
  return out
}
