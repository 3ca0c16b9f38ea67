// What setup creates in a portal, as a table: one property group, our deal properties (product.md, "What is written in
// the CRM") and the task key. Option values are the neutral model's own; the labels are what managers read.
import { CAUSES, DECISIONS, type OurField, PARKED_REASONS, type Reference, RULES, STATES } from '../../src/core/deal.ts'
import type { Property } from './wire.ts'

export const GROUP = { name: 'unstall', label: 'unstall' } as const
export const TASK_KEY = 'unstall_task_key'
export const FORECAST_CATEGORY = 'hs_manual_forecast_category'
export const FORECAST_AMOUNT = 'unstall_forecast_amount'

/** The body of a property's creation (hubspot.md 3). */
export interface PropertySpec {
  readonly name: string
  readonly label: string
  readonly type: 'bool' | 'enumeration' | 'datetime' | 'date' | 'string' | 'number'
  readonly fieldType: string
  readonly options?: readonly { readonly value: string; readonly label: string }[]
  readonly calculationFormula?: string
  readonly hasUniqueValue?: boolean
}
type Kind = Omit<PropertySpec, 'name' | 'label'>

/** `close_date_passed` -> `Close date passed`. */
const words = (value: string) => value.charAt(0).toUpperCase() + value.slice(1).replaceAll('_', ' ')
const options = (values: readonly string[], label = words) =>
  values.map((value, displayOrder) => ({ value, label: label(value), displayOrder, hidden: false }))
const select = (values: readonly string[]): Kind => ({
  ...{ type: 'enumeration', fieldType: 'select', options: options(values) },
})
// HubSpot's own yes/no properties carry both options.
const FLAG: Kind = {
  ...{ type: 'bool', fieldType: 'booleancheckbox' },
  options: options(['true', 'false'], (value) => (value === 'true' ? 'Yes' : 'No')),
}
const AT: Kind = { type: 'datetime', fieldType: 'date' }
const DAY: Kind = { type: 'date', fieldType: 'date' }
const TEXT: Kind = { type: 'string', fieldType: 'textarea' }
const KEY: Kind = { type: 'string', fieldType: 'text', hasUniqueValue: true }
const COUNTS: Kind = {
  ...{ type: 'number', fieldType: 'calculation_equation' },
  calculationFormula:
    "if not is_present(amount) then amount elseif string(unstall_state) equals 'stalled' or string(unstall_state) equals 'parked' " +
    "or string(unstall_state) equals 'answered_no' then 0 else amount",
}

const table = (rows: readonly (readonly [string, string, string, Kind])[]): readonly PropertySpec[] =>
  rows.map(([name, label, description, kind]) => ({ name, label, description, groupName: GROUP.name, ...kind }))
const ours = 'Written by unstall.'
const theirs = 'Set by the rep:'
export const DEAL_FIELDS = table([
  ['unstall_stalled', 'Stalled', `${ours} Setting it to No means: wrong flag.`, FLAG],
  ['unstall_state', 'Pipeline state', ours, select(STATES)],
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
])
const TASK_FIELDS = table([[TASK_KEY, 'unstall key', `${ours} Keeps a task from being made twice.`, KEY]])
export const FIELDS = [...DEAL_FIELDS, ...TASK_FIELDS]

/** Where managers look for them: a segment is a list of deals that HubSpot keeps up to date. */
export const SEGMENT = {
  ...{ name: 'Stalled deals', objectTypeId: '0-3', processingType: 'DYNAMIC' },
  filterBranch: {
    ...{ filterBranchType: 'OR', filterBranchOperator: 'OR', filters: [] },
    filterBranches: [
      {
        ...{ filterBranchType: 'AND', filterBranchOperator: 'AND', filterBranches: [] },
        filters: [
          {
            ...{ filterType: 'PROPERTY', property: 'unstall_stalled' },
            operation: {
              operationType: 'BOOL',
              operator: 'IS_EQUAL_TO',
              value: true,
              includeObjectsWithNoValueSet: false,
            },
          },
        ],
      },
    ],
  },
} as const

/** Our fields by their neutral names. */
export const OURS: Readonly<Record<OurField, string>> = {
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
  parkedUntil: 'unstall_parked_until',
  parkedReason: 'unstall_parked_reason',
  taskKey: TASK_KEY,
}
/** Of these we write no option but none. */
const THEIRS: readonly string[] = [OURS.decision, OURS.cause, OURS.parkedReason]

/** What of our fields a portal with these properties lets us use. */
export function fieldsIn(found: ReadonlyMap<string, Property>): NonNullable<Reference['fields']> {
  const states = Object.entries(OURS).map(([key, name]) => {
    const there = found.get(name)
    const spec = FIELDS.find((one) => one.name === name)
    const readable = there !== undefined && (!spec || there.type === spec.type)
    const writable = readable && (!spec || THEIRS.includes(name) || !conflict(spec, there))
    return [key, { name, readable, writable, made: readable ? (there.createdAt ?? '') : null }]
  })
  return Object.fromEntries(states)
}

/** Why a property of the portal cannot serve as ours; null: it can. */
export function conflict({ type, options = [] }: PropertySpec, found: Property): string | null {
  if (found.type !== type) return `it is of type ${found.type}, ${type} is needed: rename or delete it`
  const missing = options
    .map(({ value }) => value)
    .filter((value) => !found.options?.some((one) => one.value === value))
  return missing.length === 0 || type === 'bool' ? null : `it lacks the options ${missing.join(', ')}: add them`
}
