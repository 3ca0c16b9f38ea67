// What setup creates in the org, as data: Metadata bodies as the Metadata API takes them, and the kind by which a field
// of our name that is something else is recognised and left alone.
import {
  CAUSES,
  DECISIONS,
  type FieldValues,
  type OwnFields,
  PARKED_REASONS,
  type Reference,
  RULES,
  STATES,
} from '../../src/core/deal.ts'
import type { Described } from './wire.ts'

export interface OwnField {
  readonly name: string
  /** As `kindOf` says it. */
  readonly kind: string
  readonly editable: boolean
  readonly body: Readonly<
    Record<'fullName' | 'label' | 'type' | 'description' | 'inlineHelpText', string> & { formula?: string }
  >
}

export const CATEGORY = 'ForecastCategoryName'
export const TASK_KEY = 'Unstall_Key__c'
export const PERMISSION_SET = 'Unstall_Integration'
export const PEOPLE_SET = 'Unstall_People'

/** One word for what a field is, from `describe` (`string`) and from metadata (`Text`) alike. */
export function kindOf(type: string, formula: boolean): string {
  const kind = { boolean: 'Checkbox', string: 'Text' }[type] ?? type.charAt(0).toUpperCase() + type.slice(1)
  return (kind === 'Datetime' ? 'DateTime' : kind) + (formula ? ' formula' : '')
}

function field(fullName: string, label: string, description: string, body: OwnField['body'] | object): OwnField {
  const all = { fullName, label, type: '', description, inlineHelpText: description, ...body }
  const formula = 'formula' in all
  return { name: fullName.replace(/^\w+\./, ''), kind: kindOf(all.type, formula), editable: !formula, body: all }
}

const checkbox = { type: 'Checkbox', defaultValue: 'false' }
const datetime = { type: 'DateTime' }
const date = { type: 'Date' }
const text = { type: 'Text', length: 255 }
const labelOf = (value: string) => value.charAt(0).toUpperCase() + value.slice(1).replaceAll('_', ' ')
const picklist = (values: readonly string[]) => {
  const value = values.map((name) => ({ fullName: name, label: labelOf(name), default: false }))
  return { type: 'Picklist', valueSet: { restricted: true, valueSetDefinition: { sorted: false, value } } }
}
const ours = 'Written by unstall.'
const rep = 'Set by the sales representative; read by unstall.'

/** Our fields on the deal, by their neutral names. */
export const OWN = {
  stalled: field('Opportunity.Unstall_Stalled__c', 'Stalled', ours, checkbox),
  state: field('Opportunity.Unstall_State__c', 'Pipeline state', ours, picklist(STATES)),
  since: field('Opportunity.Unstall_Stalled_Since__c', 'Stalled since', ours, datetime),
  reason: field('Opportunity.Unstall_Reason__c', 'Stalled: reason', ours, picklist(RULES)),
  explanation: field('Opportunity.Unstall_Explanation__c', 'Stalled: explanation', ours, text),
  lastMovement: field('Opportunity.Unstall_Last_Movement__c', 'Last movement', ours, datetime),
  categoryBefore: field('Opportunity.Unstall_Category_Before__c', 'Forecast category before', ours, text),
  decisionDue: field('Opportunity.Unstall_Decision_Due__c', 'Decision due', rep, date),
  decision: field('Opportunity.Unstall_Decision__c', 'Decision', rep, picklist(DECISIONS)),
  cause: field('Opportunity.Unstall_Cause__c', 'Why it stalled', rep, picklist(CAUSES)),
  parkedUntil: field('Opportunity.Unstall_Parked_Until__c', 'Parked until', rep, date),
  parkedReason: field('Opportunity.Unstall_Parked_Reason__c', 'Parked: reason', rep, picklist(PARKED_REASONS)),
} as const satisfies Record<keyof OwnFields, OwnField>

const KEY = field(`Activity.${TASK_KEY}`, 'unstall key', 'Marks the tasks of unstall.', { type: 'Text', length: 80 })

/** What our user can do with our fields, by what `describe` shows of Opportunity and Task. */
export function fieldsIn(deals: Described, tasks: Described): NonNullable<Reference['fields']> {
  const state = ({ fields }: Described, name: string, kind: string | null) => {
    const there = fields.find((one) => one.name === name)
    const readable = there !== undefined && (kind === null || kindOf(there.type, there.calculated) === kind)
    const made = readable ? (there.inlineHelpText ?? '') : null
    return { name, readable, writable: readable && there.updateable, made }
  }
  return {
    ...Object.fromEntries(Object.entries(OWN).map(([key, { name, kind }]) => [key, state(deals, name, kind)])),
    category: state(deals, CATEGORY, null),
    taskKey: state(tasks, TASK_KEY, KEY.kind),
  }
}

const uncounted = STATES.slice(1).map((state) => `ISPICKVAL(Unstall_State__c,'${state}')`)
const counts = 'The amount, or 0 while the deal is stalled, parked or answered no.'

/** In the order in which setup creates them: a formula after the field it reads. */
export const OWN_FIELDS: readonly OwnField[] = [
  ...Object.values(OWN),
  field('Opportunity.Unstall_Forecast_Amount__c', 'Amount that counts', counts, {
    type: 'Currency',
    precision: 18,
    scale: 2,
    formula: `IF(OR(${uncounted.join()}), IF(ISBLANK(Amount), Amount, 0), Amount)`,
    formulaTreatBlanksAs: 'BlankAsBlank',
  }),
  KEY,
]

/** A custom field of Activity is granted under Task (Salesforce mirrors it to Event). */
const access = (fullName: string, label: string, description: string, edits: (field: OwnField) => boolean) => ({
  ...{ fullName, label, description, hasActivationRequired: false },
  fieldPermissions: OWN_FIELDS.map((field) => ({
    field: field.body.fullName.replace(/^Activity\./, 'Task.'),
    ...{ readable: true, editable: edits(field) },
  })),
})
export const permissionSet = access(
  PERMISSION_SET,
  'unstall integration',
  'Access of the unstall API user to the fields of unstall.',
  ({ editable }) => editable,
)
export const peopleSet = access(
  PEOPLE_SET,
  'unstall people',
  'Sales people and managers: reads what unstall says of a deal, edits decision, cause and parking.',
  ({ body }) => body.description === rep,
)

const columns = [
  ...['OPPORTUNITY.NAME', 'CORE.USERS.ALIAS', 'OPPORTUNITY.AMOUNT'],
  ...[OWN.stalled, OWN.reason, OWN.since].map(({ name }) => name),
]
export const listView = {
  ...{ fullName: 'Opportunity.Unstall_Stalled', label: 'Stalled opportunities', filterScope: 'Everything', columns },
  filters: [{ field: OWN.stalled.name, operation: 'equals', value: '1' }],
}

const WIRE = new Map(Object.entries(OWN).map(([key, { name }]) => [key, name]))
  .set('category', CATEGORY)
  .set('stage', 'StageName')

/** The record update of `after`: wire names, instants in ISO 8601 UTC. */
export function wireValues(after: FieldValues): Record<string, unknown> {
  const wire = (value: unknown) => (typeof value === 'number' ? new Date(value).toISOString() : value)
  return Object.fromEntries(Object.entries(after).map(([key, value]) => [WIRE.get(key) ?? key, wire(value)]))
}
