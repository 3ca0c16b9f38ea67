// What an API client may send: JSON of the right types, fields it may see and edit, values the org allows. Salesforce
// refuses the whole request for the first kind of mistake (Refused) and the single record for the others (SaveError).
import { Refused } from '../kernel.ts'
import type { Org } from './org.ts'
import { day, type Field, longId, NUMBERS, type ObjectType, type Row, stamp, text, type Value } from './schema.ts'

export interface SaveError {
  readonly statusCode: string
  readonly message: string
  readonly fields: readonly string[]
}

/** One error of a whole request: an array body, as REST sends it. */
export const refused = (status: number, errorCode: string, message: string, fields?: readonly string[]) =>
  new Refused({ status, body: [{ message, errorCode, ...(fields ? { fields } : {}) }] })

export const saveError = (statusCode: string, message: string, ...fields: string[]): SaveError => ({
  statusCode,
  message,
  fields,
})
export const LOST = saveError('INVALID_CROSS_REFERENCE_KEY', 'invalid cross reference id')
export const DELETED = saveError('ENTITY_IS_DELETED', 'entity is deleted')

const ID = /^\w{15}(\w{3})?$/

export function fieldOf(org: Org, type: ObjectType, name: string): Field {
  const field = org.field(type, name)
  if (!field) throw refused(400, 'INVALID_FIELD', `No such column '${name}' on sobject of type ${type.name}`)
  return field
}

/** Reads a JSON record. Throws Refused for an unknown field or a wrong JSON type. */
export function parseRecord(org: Org, type: ObjectType, body: Readonly<Record<string, unknown>>): Row {
  const given = Object.entries(body).filter(([name]) => !['attributes', 'id'].includes(name.toLowerCase()))
  return Object.fromEntries(
    given.map(([name, value]) => {
      const field = fieldOf(org, type, name)
      return [field.name, parseValue(field, value)]
    }),
  )
}
function parseValue({ type }: Field, value: unknown): Value {
  const kind = type === 'boolean' ? 'boolean' : NUMBERS.includes(type) ? 'number' : 'string'
  if (kind !== 'boolean' && (value === null || value === '')) return null
  const dated = { date: /^\d{4}-\d\d-\d\d$/, datetime: /^\d{4}-\d\d-\d\dT\d\d:\d\d/ }[type]
  if (dated && typeof value === 'string' && dated.test(value)) {
    const at = Date.parse(value)
    if (type === 'datetime' && !Number.isNaN(at)) return stamp(at)
    if (type === 'date' && !Number.isNaN(at) && day(at) === value) return value
  } else if (!dated && typeof value === kind) {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  }
  const words = `Cannot deserialize instance of ${type} from value ${String(value)}`
  throw refused(400, 'JSON_PARSER_ERROR', `${words} or request may be missing a required field at [line:1, column:1]`)
}

/** Why the org would refuse to create (`id` null) or change this record; null: it would not. */
export function check(org: Org, type: ObjectType, id: string | null, given: Row): SaveError | null {
  if (id !== null && !ID.test(id))
    return saveError('MALFORMED_ID', `${type.name} ID: id value of incorrect type: ${id}`, 'Id')
  const before = id === null ? null : type.rows.get(longId(id))
  if (before === undefined) return LOST
  if (before?.IsDeleted) return DELETED
  for (const [name, value] of Object.entries(given)) {
    const problem = checkValue(org, type, fieldOf(org, type, name), value, before === null)
    if (problem) return problem
  }
  const row: Row = { ...(before ?? org.defaults(type)), ...given }
  const missing = [...type.fields.values()]
    .filter(({ name, flags }) => flags.has('required') && (before === null || name in given))
    .flatMap(({ name }) => ((row[name] ?? null) === null ? [name] : []))
  if (missing.length > 0)
    return saveError('REQUIRED_FIELD_MISSING', `Required fields are missing: [${missing.join(', ')}]`, ...missing)
  const twice = (other: Row) =>
    !other.IsDeleted && other.AssigneeId === row.AssigneeId && other.PermissionSetId === row.PermissionSetId
  return type.name === 'PermissionSetAssignment' && org.rows(type.name).some(twice)
    ? saveError('DUPLICATE_VALUE', 'duplicate value found: PermissionSetId duplicates value on record')
    : null
}

const READ_ONLY =
  'Please check the security settings of this field and verify that it is read/write for your profile or permission set.'

function checkValue(org: Org, type: ObjectType, field: Field, value: Value, creating: boolean): SaveError | null {
  const { name, label, flags, length } = field
  const wrong = (code: string, message: string) => saveError(code, message, name)
  if (!flags.has(creating ? 'create' : 'update') || !org.editable(type, field))
    return wrong('INVALID_FIELD_FOR_INSERT_UPDATE', `Unable to create/update fields: ${name}. ${READ_ONLY}`)
  if (length > 0 && text(value).length > length)
    return wrong('STRING_TOO_LONG', `${label}: data value too large: ${value} (max length=${length})`)
  if (value === null) return null
  if (flags.has('restricted') && !field.values.includes(text(value)))
    return wrong(
      'INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST',
      `${label}: bad value for restricted picklist field: ${value}`,
    )
  if (field.type !== 'reference') return null
  const fits = ID.test(text(value)) && field.to.some((to) => org.type(to)?.prefix === text(value).slice(0, 3))
  if (!fits) return wrong('MALFORMED_ID', `${label}: id value of incorrect type: ${value}`)
  const found = org.find(value)
  if (!found) return { ...LOST, fields: [name] }
  if (found.row.IsDeleted) return { ...DELETED, fields: [name] }
  if (name !== 'OwnerId' || found.row.IsActive) return null
  const what = `operation performed with inactive user [${value}] as owner of ${type.name.toLowerCase()}`
  return saveError('INACTIVE_OWNER_OR_USER', what)
}
