// Property definitions of deals and tasks as HubSpot ships them (the documented names unstall may meet), the checks on
// values and on new definitions, and HubSpot's error body.
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { type Call, Refused } from '../kernel.ts'
import { type Formula, parseFormula } from './formula.ts'

export type ObjectType = 'deals' | 'tasks'

interface Details {
  readonly context?: Readonly<Record<string, readonly string[]>>
  readonly [more: string]: unknown
}
/** HubSpot's refusal of a call or of one record: SPEC `StandardError`. */
export class Failed extends Refused {
  readonly error: Details
  constructor(status: number, category: string, message: string, details: Details = {}) {
    const error = { status: 'error', message, correlationId: randomUUID(), category, ...details }
    super({ status, body: error })
    this.error = error
  }
}
export const invalid = (message: string, errors: object[] = []) =>
  new Failed(400, 'VALIDATION_ERROR', message, { errors })

/** The JSON body by its schema. Throws Failed naming the first fault. */
export function parse<T extends z.ZodType>(schema: T, call: Call): z.infer<T> {
  if (!/^application\/json\b/.test(call.headers['content-type'] ?? ''))
    throw new Failed(415, 'VALIDATION_ERROR', 'Unsupported Media Type: send application/json')
  let raw: unknown
  try {
    raw = JSON.parse(call.body)
  } catch {
    throw invalid('Invalid input JSON on line 1, column 1: not JSON')
  }
  const result = schema.safeParse(raw)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw invalid(`Invalid input JSON: ${issue?.path.join('.')}: ${issue?.message}`)
}

/** Which fieldTypes a type takes; the first is the usual one. */
const FIELD_TYPES = {
  bool: ['booleancheckbox', 'calculation_equation'],
  date: ['date'],
  datetime: ['date'],
  enumeration: ['select', 'radio', 'checkbox', 'booleancheckbox', 'calculation_equation'],
  number: ['number', 'calculation_equation'],
  phone_number: ['phonenumber'],
  string: ['text', 'textarea', 'html', 'file', 'calculation_equation'],
} as const
const BOOL = ['true', 'false']
export const Name = z
  .string()
  .regex(/^[a-z][a-z0-9_]*$/, 'must begin with a letter; lower-case letters, digits, _ only')
const Option = z.object({ label: z.string().min(1), value: z.string(), displayOrder: z.int(), hidden: z.boolean() })
/** SPEC `PropertyCreate`. */
export const PropertyCreate = z.object({
  name: Name,
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
  /** Refused on write. */
  readonly calculated: boolean
  readonly formula: Formula | null
  /** Of properties made over the API. */
  readonly createdAt?: string
}

/** `!` marks computed ones; the options that depend on the seed are given by the store. */
const SHIPPED: Readonly<Record<ObjectType, Readonly<Partial<Record<Property['type'], string>>>>> = {
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
    enumeration:
      'hubspot_owner_id hs_task_status=NOT_STARTED,IN_PROGRESS,WAITING,DEFERRED,COMPLETED hs_task_priority=NONE,LOW,MEDIUM,HIGH hs_task_type=TODO,CALL,EMAIL',
  },
}

export function shipped(object: ObjectType, options: Readonly<Record<string, readonly string[]>>) {
  const groupName = object === 'deals' ? 'dealinformation' : 'task'
  const entries = PropertyCreate.shape.type.options.flatMap((type) => {
    const names = SHIPPED[object][type]?.split(' ') ?? []
    return names.map((entry): [string, Property] => {
      const [, name = '', mark, listed] = /^(\w+)(!?)(?:=(.*))?$/.exec(entry) ?? []
      const values = type === 'bool' ? BOOL : (options[name] ?? listed?.split(',') ?? [])
      const definition = PropertyCreate.parse({
        ...{ name, label: name.replaceAll('_', ' '), groupName, type, fieldType: FIELD_TYPES[type][0] },
        options: values.map((value, displayOrder) => ({ label: value, value, displayOrder, hidden: false })),
      })
      return [name, { ...definition, hubspotDefined: true, calculated: mark === '!', formula: null }]
    })
  })
  return new Map(entries)
}

/** A definition sent by a client. Throws Failed with what is wrong. */
export function custom(
  input: z.infer<typeof PropertyCreate>,
  groups: ReadonlyMap<string, string>,
  known: ReadonlyMap<string, Property>,
): Property {
  const { type, fieldType, groupName, calculationFormula } = input
  const values = new Set(input.options.map((option) => option.value))
  const calculated = fieldType === 'calculation_equation'
  const problems: [boolean, string][] = [
    [!groups.has(groupName), `Property group ${groupName} does not exist`],
    [!FIELD_TYPES[type].some((one) => one === fieldType), `fieldType ${fieldType} is not valid for type ${type}`],
    [type === 'enumeration' && values.size === 0, 'Enumeration properties need options'],
    [
      type === 'bool' && !BOOL.every((value) => values.has(value)),
      'Boolean properties have the options true and false',
    ],
    [values.size < input.options.length, 'Property option values must be unique'],
    [calculated !== (calculationFormula !== undefined), 'calculationFormula goes with calculation_equation'],
  ]
  for (const [wrong, message] of problems) if (wrong) throw invalid(message)
  try {
    const names = new Set<string>()
    const formula = calculationFormula === undefined ? null : parseFormula(calculationFormula, names)
    for (const name of names) if (!known.has(name)) throw new SyntaxError(`property ${name} does not exist`)
    return { ...input, hubspotDefined: false, calculated, formula }
  } catch (error) {
    throw error instanceof SyntaxError ? invalid(`Invalid calculation formula: ${error.message}`) : error
  }
}

/** The value as HubSpot stores it ('' clears), or what is wrong with it: code and words. */
export function checked(property: Property | undefined, name: string, value: string): string | [string, string] {
  if (!property) return ['PROPERTY_DOESNT_EXIST', `Property "${name}" does not exist`]
  const { type, options } = property
  if (property.calculated) return ['READ_ONLY_VALUE', `"${name}" is a read only property; its value cannot be set.`]
  if (value === '') return value
  if (options.length > 0 && !options.some((option) => option.value === value))
    return ['INVALID_OPTION', `${value} is none of the allowed options: ${options.map((one) => one.value).join(', ')}`]
  if (type === 'number' && !/^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(value))
    return ['INVALID_NUMBER', `${value} was not a valid number.`]
  if (value.length > 65_536) return ['PROPERTY_VALUE_TOO_LONG', `${name} must be at most 65536 characters long`]
  if (type !== 'date' && type !== 'datetime') return value
  const at = instant(value)
  if (Number.isNaN(at)) return ['INVALID_DATE', `${value} was not a valid long.`]
  if (type === 'datetime') return new Date(at).toISOString()
  return at % 86_400_000 === 0 ? new Date(at).toISOString().slice(0, 10) : ['INVALID_DATE', `${value} is not midnight!`]
}

/** Milliseconds of a date, a datetime with zone, or milliseconds as text; NaN: none of these. */
export function instant(value: string): number {
  if (/^-?\d{1,15}$/.test(value)) return Number(value)
  return /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[-+]\d\d:?\d\d))?$/.test(value) ? Date.parse(value) : Number.NaN
}
