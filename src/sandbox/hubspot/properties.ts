// Property definitions of deals and tasks as HubSpot ships them (the documented names unstall may meet), the checks on
// values and new definitions, and the errors they give.
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { type Answer, Refused } from '../kernel.ts'
import { type Formula, parseFormula } from './formula.ts'

const Option = z.object({ label: z.string().min(1), value: z.string(), displayOrder: z.int(), hidden: z.boolean() })
/** SPEC `PropertyCreate`. */
export const PropertyCreate = z.object({
  name: z.string().regex(/^[a-z][a-z0-9_]*$/, 'must begin with a letter; lower-case letters, digits and _ only'),
  label: z.string().min(1),
  groupName: z.string().min(1),
  type: z.enum(['bool', 'date', 'datetime', 'enumeration', 'number', 'phone_number', 'string']),
  fieldType: z.string(),
  description: z.string().default(''),
  options: z.array(Option).default([]),
  hidden: z.boolean().default(false),
  formField: z.boolean().default(false),
  displayOrder: z.int().default(-1),
  hasUniqueValue: z.boolean().default(false),
  calculationFormula: z.string().optional(),
})
export interface Property extends z.infer<typeof PropertyCreate> {
  readonly hubspotDefined: boolean
  readonly calculated: boolean
  /** Refused on write. */
  readonly readOnly: boolean
  readonly formula: Formula | null
}

/** Which fieldTypes a type takes. */
const FIELD_TYPES: Readonly<Record<string, readonly string[]>> = {
  bool: ['booleancheckbox', 'calculation_equation'],
  date: ['date'],
  datetime: ['date'],
  enumeration: ['select', 'radio', 'checkbox', 'booleancheckbox', 'calculation_equation'],
  number: ['number', 'calculation_equation'],
  phone_number: ['phonenumber'],
  string: ['text', 'textarea', 'html', 'file', 'calculation_equation'],
}

export type ObjectType = 'deals' | 'tasks'

/** Options that depend on the seed are filled in by the store. `!` marks read-only. */
const SHIPPED: Readonly<Record<ObjectType, Readonly<Record<string, string>>>> = {
  deals: {
    string: 'dealname description hs_next_step hs_object_source_label! hs_object_source! hs_merged_object_ids!',
    number:
      'amount hs_forecast_probability hs_deal_stage_probability hs_object_id! amount_in_home_currency! hs_forecast_amount! hs_projected_amount! num_notes! hs_next_meeting_id! hs_number_of_inbound_calls!',
    datetime:
      'closedate createdate hs_createdate! hs_lastmodifieddate! hs_v2_date_entered_current_stage! notes_last_contacted! notes_last_updated! notes_next_activity_date! hs_next_meeting_start_time! hs_latest_meeting_activity! hs_sales_email_last_replied!',
    bool: 'hs_is_closed! hs_is_closed_won! hs_is_closed_lost!',
    enumeration:
      'dealstage pipeline hubspot_owner_id dealtype deal_currency_code hs_priority=low,medium,high hs_manual_forecast_category=OMIT,PIPELINE,BEST_CASE,COMMIT,CLOSED',
  },
  tasks: {
    string: 'hs_task_subject hs_task_body hs_task_reminders hs_object_source_label!',
    number: 'hs_object_id!',
    datetime: 'hs_timestamp hs_createdate! hs_lastmodifieddate! hs_task_completion_date!',
    bool: '',
    enumeration:
      'hubspot_owner_id hs_task_status=NOT_STARTED,IN_PROGRESS,WAITING,DEFERRED,COMPLETED hs_task_priority=NONE,LOW,MEDIUM,HIGH hs_task_type=TODO,CALL,EMAIL',
  },
}

const BOOL = ['true', 'false']

export function shipped(
  object: ObjectType,
  options: Readonly<Record<string, readonly string[]>>,
): Map<string, Property> {
  const found = new Map<string, Property>()
  for (const [type, names] of Object.entries(SHIPPED[object])) {
    for (const entry of names.split(' ').filter((name) => name !== '')) {
      const [marked = '', listed] = entry.split('=')
      const name = marked.replace('!', '')
      const values = type === 'bool' ? BOOL : (options[name] ?? listed?.split(',') ?? [])
      const definition = PropertyCreate.parse({
        name,
        label: name.replaceAll('_', ' '),
        groupName: object === 'deals' ? 'dealinformation' : 'task',
        type,
        fieldType: FIELD_TYPES[type]?.[0],
        options: values.map((value, displayOrder) => ({ label: value, value, displayOrder, hidden: false })),
      })
      const readOnly = marked.endsWith('!')
      found.set(name, { ...definition, hubspotDefined: true, calculated: readOnly, readOnly, formula: null })
    }
  }
  return found
}

/** A definition sent by a client. Throws Refused (400) with what is wrong. */
export function custom(
  raw: unknown,
  groups: ReadonlyMap<string, string>,
  known: ReadonlyMap<string, Property>,
): Property {
  const input = parse(PropertyCreate, raw)
  const wrong = (message: string) => new Refused(failure(400, 'VALIDATION_ERROR', message))
  if (!groups.has(input.groupName)) throw wrong(`Property group ${input.groupName} does not exist`)
  if (!FIELD_TYPES[input.type]?.includes(input.fieldType))
    throw wrong(`fieldType ${input.fieldType} is not valid for type ${input.type}`)
  const values = input.options.map((option) => option.value)
  if (input.type === 'enumeration' && values.length === 0) throw wrong('Enumeration properties need options')
  if (input.type === 'bool' && BOOL.some((value) => !values.includes(value)))
    throw wrong('Boolean properties must have exactly two options, true and false')
  if (new Set(values).size !== values.length) throw wrong('Property option values must be unique')
  const calculated = input.fieldType === 'calculation_equation'
  if (calculated !== (input.calculationFormula !== undefined))
    throw wrong('calculationFormula goes with fieldType calculation_equation')
  const base = { ...input, hubspotDefined: false, calculated, readOnly: calculated }
  if (input.calculationFormula === undefined) return { ...base, formula: null }
  try {
    const names = new Set<string>()
    const formula = parseFormula(input.calculationFormula, names)
    for (const name of names) if (!known.has(name)) throw new SyntaxError(`property ${name} does not exist`)
    return { ...base, formula }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw wrong(`Invalid calculation formula: ${error.message}`)
  }
}

/** One fault of one value, as HubSpot lists them. */
export interface Problem {
  readonly name: string
  readonly error: string
  readonly message: string
}

/** The value as HubSpot stores it ('' clears), or what is wrong with it. */
export function checkValue(property: Property | undefined, name: string, value: string): string | Problem {
  const wrong = (error: string, message: string): Problem => ({ name, error, message })
  if (!property) return wrong('PROPERTY_DOESNT_EXIST', `Property "${name}" does not exist`)
  if (property.readOnly) return wrong('READ_ONLY_VALUE', `"${name}" is a read only property; its value cannot be set.`)
  if (value === '') return value
  if (property.options.length > 0 && !property.options.some((option) => option.value === value)) {
    const allowed = property.options.map((option) => option.value).join(', ')
    return wrong('INVALID_OPTION', `${value} was not one of the allowed options: [${allowed}]`)
  }
  if (property.type === 'number' && !/^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(value))
    return wrong('INVALID_NUMBER', `${value} was not a valid number.`)
  if (property.type === 'datetime' || property.type === 'date') {
    const at = instant(value)
    if (at === null) return wrong('INVALID_DATE', `${value} was not a valid long.`)
    if (property.type === 'datetime') return new Date(at).toISOString()
    if (at % 86_400_000 !== 0)
      return wrong('INVALID_DATE', `${value} is at ${new Date(at).toISOString()}, not at midnight!`)
    return new Date(at).toISOString().slice(0, 10)
  }
  if (value.length > 65_536) return wrong('PROPERTY_VALUE_TOO_LONG', `${name} must be at most 65536 characters long`)
  return value
}

/** Milliseconds of a date, a datetime with zone, or milliseconds as text; null: none of these. */
export function instant(value: string): number | null {
  if (/^-?\d{1,15}$/.test(value)) return Number(value)
  const at = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[-+]\d\d:?\d\d))?$/.test(value)
    ? Date.parse(value)
    : Number.NaN
  return Number.isNaN(at) ? null : at
}

/** HubSpot's error body. */
export function failure(status: number, category: string, message: string, extra: object = {}): Answer {
  return { status, body: { status: 'error', message, correlationId: randomUUID(), category, ...extra } }
}

export function invalid(problems: readonly Problem[]) {
  const listed = problems.map((problem) => ({ isValid: false, ...problem }))
  return {
    message: `Property values were not valid: ${JSON.stringify(listed)}`,
    errors: problems.map(({ message, error, name }) => ({ message, code: error, context: { propertyName: [name] } })),
  }
}

/** The body by its schema. Throws Refused (400) naming the first fault. */
export function parse<T extends z.ZodType>(schema: T, raw: unknown): z.infer<T> {
  const result = schema.safeParse(raw)
  if (result.success) return result.data
  const issues = result.error.issues.map((issue) => ({
    message: `${issue.path.join('.')}: ${issue.message}`,
    in: 'body',
  }))
  throw new Refused(failure(400, 'VALIDATION_ERROR', `Invalid input JSON: ${issues[0]?.message}`, { errors: issues }))
}
