// What setup creates in a portal, as a table: one property group, our deal properties (product.md, "What is written in
// the CRM") and the task key. Option values are the neutral model's own; the labels are what managers read.
import { CAUSES, DECISIONS, type FieldValues, PARKED_REASONS, RULES } from '../../src/core/deal.ts'
import type { Property } from './wire.ts'

export const GROUP = { name: 'unstall', label: 'unstall' } as const
export const TASK_KEY = 'unstall_task_key'
export const FORECAST_CATEGORY = 'hs_manual_forecast_category'
export const FORECAST_AMOUNT = 'unstall_forecast_amount'

export interface PropertySpec {
  readonly name: string
  readonly label: string
  readonly description: string
  readonly type: 'bool' | 'enumeration' | 'datetime' | 'date' | 'string' | 'number'
  readonly fieldType: string
  readonly options?: readonly { readonly value: string; readonly label: string }[]
  readonly calculationFormula?: string
}

/** `close_date_passed` -> `Close date passed`. */
const words = (value: string) => value.charAt(0).toUpperCase() + value.slice(1).replaceAll('_', ' ')
const select = (values: readonly string[]) =>
  ({
    type: 'enumeration',
    fieldType: 'select',
    options: values.map((value) => ({ value, label: words(value) })),
  }) as const
const YES_NO = {
  type: 'bool',
  fieldType: 'booleancheckbox',
  options: [{ value: 'true', label: 'Yes' }, { value: 'false', label: 'No' }], // biome-ignore format: a table
} as const
const AT = { type: 'datetime', fieldType: 'date' } as const
const DAY = { type: 'date', fieldType: 'date' } as const
const TEXT = { type: 'string', fieldType: 'textarea' } as const
const COUNTS = {
  type: 'number',
  fieldType: 'calculation_equation',
  calculationFormula:
    "if string(unstall_state) equals 'stalled' or string(unstall_state) equals 'parked' " +
    "or string(unstall_state) equals 'answered_no' then 0 else amount",
} as const

const ours = 'Written by unstall.'
const theirs = 'Set by the rep:'
// biome-ignore format: a table
const TABLE: readonly (readonly [string, string, string, Omit<PropertySpec, 'name' | 'label' | 'description'>])[] = [
  ['unstall_stalled', 'Stalled', `${ours} Setting it to No means: wrong flag.`, YES_NO],
  ['unstall_state', 'Pipeline state', ours, select(['moving', 'stalled', 'parked', 'answered_no'])],
  ['unstall_stalled_since', 'Stalled since', ours, AT],
  ['unstall_reason', 'Stalled: reason', ours, select(RULES)],
  ['unstall_explanation', 'Stalled: explanation', `${ours} What happened last and which limit was passed.`, TEXT],
  ['unstall_last_movement', 'Last movement', `${ours} As of the day the flag was set or lifted.`, AT],
  ['unstall_category_before', 'Forecast category before', `${ours} Given back when the deal moves.`, TEXT],
  ['unstall_decision_due', 'Decision due', `${theirs} the date agreed with the buyer for a yes or a no.`, DAY],
  ['unstall_decision', 'Decision', `${theirs} the answer of the buyer.`, select(DECISIONS)],
  ['unstall_cause', 'Why it stalled', `${theirs} what holds the deal up.`, select(CAUSES)],
  ['unstall_parked_until', 'Parked until', `${theirs} when the deal is judged again, at most 90 days ahead.`, DAY],
  ['unstall_parked_reason', 'Parked: reason', `${theirs} goes with the date.`, select(PARKED_REASONS)],
  [FORECAST_AMOUNT, 'Amount that counts', '0 while stalled, parked or answered no, else the amount.', COUNTS],
]
export const DEAL_FIELDS: readonly PropertySpec[] = TABLE.map(([name, label, description, kind]) => ({
  name,
  label,
  description,
  ...kind,
}))

/** Where each neutral field is written. */
export const WRITTEN: Readonly<Record<keyof FieldValues, string>> = {
  stalled: 'unstall_stalled',
  state: 'unstall_state',
  since: 'unstall_stalled_since',
  reason: 'unstall_reason',
  explanation: 'unstall_explanation',
  lastMovement: 'unstall_last_movement',
  categoryBefore: 'unstall_category_before',
  category: FORECAST_CATEGORY,
  decision: 'unstall_decision',
  decisionDue: 'unstall_decision_due',
  cause: 'unstall_cause',
}

/** Body of a property's creation. HubSpot's own yes/no properties carry both options, so ours do. */
export function definition(spec: PropertySpec): Record<string, unknown> {
  const options = spec.options?.map((option, displayOrder) => ({ ...option, displayOrder, hidden: false }))
  return { ...spec, groupName: GROUP.name, ...(options ? { options } : {}) }
}

export function taskKeyDefinition(unique: boolean): Record<string, unknown> {
  const common = { name: TASK_KEY, label: 'unstall key', description: `${ours} Keeps a task from being made twice.` }
  return {
    ...common,
    groupName: GROUP.name,
    type: 'string',
    fieldType: 'text',
    ...(unique && { hasUniqueValue: true }),
  }
}

/** Why an existing property cannot serve; null: it can. */
export function conflict(spec: Pick<PropertySpec, 'type' | 'options'>, found: Property): string | null {
  if (found.type !== spec.type) return `it is of type ${found.type}, ${spec.type} is needed: rename or delete it`
  const there = new Set(found.options?.map((option) => option.value))
  const missing = (spec.options ?? []).flatMap(({ value }) => (there.has(value) ? [] : [value]))
  return missing.length === 0 || spec.type === 'bool' ? null : `it lacks the options ${missing.join(', ')}: add them`
}
