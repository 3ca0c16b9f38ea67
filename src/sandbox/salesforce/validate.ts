// What an API client may send: JSON of the right types, fields it may see and edit, values the org allows. Salesforce
// refuses the whole request for the first kind of mistake (Refused) and the single record for the others (SaveError).
import { Refused } from '../kernel.ts'
import type { Org } from './org.ts'
import { day, type Field, isNumber, longId, type ObjectType, type Row, stamp, text, type Value } from './schema.ts'

export interface SaveError {
  readonly statusCode: string
  readonly message: string
  readonly fields: readonly string[]
}

/** One error of a whole request: an array body, as REST sends it. */
export const refused = (status: number, errorCode: string, message: string) =>
  new Refused({ status, body: [{ message, errorCode }] })
export const saveError = (statusCode: string, message: string, ...fields: string[]): SaveError => ({
  ...{ statusCode, message, fields },
})
export const lost = (...fields: string[]) =>
  saveError('INVALID_CROSS_REFERENCE_KEY', 'invalid cross reference id', ...fields)
export const deleted = (...fields: string[]) => saveError('ENTITY_IS_DELETED', 'entity is deleted', ...fields)

const ID = /^\w{15}(\w{3})?$/
const DATED: Record<string, RegExp> = { date: /^\d{4}-\d\d-\d\d$/, datetime: /^\d{4}-\d\d-\d\dT\d\d:\d\d/ }

/** Throws Refused where the API user does not see such a field. */
export function fieldOf(org: Org, type: ObjectType, name: string): Field {
  const field = org.field(type, name)
  if (!field) throw refused(400, 'INVALID_FIELD', `No such column '${name}' on sobject of type ${type.name}`)
  return field
}

/** Reads a JSON record. Throws Refused for an unknown field or a wrong JSON type. */
export function parseRecord(org: Org, type: ObjectType, body: Readonly<Record<string, unknown>>): Row {
  const row: Row = {}
  for (const [name, value] of Object.entries(body)) {
    if (/^(attributes|id)$/i.test(name)) continue
    const field = fieldOf(org, type, name)
    row[field.name] = parseValue(field, value)
  }
  return row
}
function parseValue({ type }: Field, value: unknown): Value {
  if (type !== 'boolean' && (value === null || value === '')) return null
  if (type === 'boolean' && typeof value === 'boolean') return value
  if (isNumber(type) && typeof value === 'number') return value
  if (typeof value === 'string' && type !== 'boolean' && !isNumber(type)) {
    const dated = DATED[type]
    if (!dated) return type === 'reference' ? longId(value) : value
    const at = dated.test(value) ? Date.parse(value) : Number.NaN
    if (!Number.isNaN(at) && (type === 'datetime' || day(at) === value)) return type === 'date' ? value : stamp(at)
  }
  const words = `Cannot deserialize instance of ${type} from value ${String(value)}`
  throw refused(400, 'JSON_PARSER_ERROR', `${words} or request may be missing a required field at [line:1, column:1]`)
}

/** Why the org would refuse to create (`id` null) or change this record; null: it would not. */
export function check(org: Org, type: ObjectType, id: string | null, given: Row): SaveError | null {
  if (id !== null && !ID.test(id))
    return saveError('MALFORMED_ID', `${type.name} ID: id value of incorrect type: ${id}`, 'Id')
  const before = id === null ? null : type.rows.get(longId(id))
  if (before === undefined) return lost()
  if (before?.IsDeleted) return deleted()
  for (const [name, value] of Object.entries(given)) {
    const problem = checkValue(org, type, fieldOf(org, type, name), value, before === null)
    if (problem) return problem
  }
  const row: Row = { ...(before ?? org.defaults(type)), ...given }
  const required = [...type.fields.values()].filter((field) => !field.nillable && (!before || field.name in given))
  const missing = required.flatMap(({ name }) => ((row[name] ?? null) === null ? [name] : []))
  if (missing.length > 0)
    return saveError('REQUIRED_FIELD_MISSING', `Required fields are missing: [${missing.join(', ')}]`, ...missing)
  if (type.name !== 'PermissionSetAssignment') return null
  const twin = (other: Row) => other.AssigneeId === row.AssigneeId && other.PermissionSetId === row.PermissionSetId
  return org.rows(type.name).some((other) => !other.IsDeleted && twin(other))
    ? saveError('DUPLICATE_VALUE', 'duplicate value found: PermissionSetId duplicates value on record')
    : null
}

const READ_ONLY =
  'Please check the security settings of this field and verify that it is read/write for your profile or permission set.'

function checkValue(org: Org, type: ObjectType, field: Field, value: Value, creating: boolean): SaveError | null {
  const { name, label, length } = field
  const wrong = (code: string, message: string) => saveError(code, message, name)
  if (!(creating ? field.createable : field.updateable) || !org.editable(type, field))
    return wrong('INVALID_FIELD_FOR_INSERT_UPDATE', `Unable to create/update fields: ${name}. ${READ_ONLY}`)
  if (length > 0 && text(value).length > length)
    return wrong('STRING_TOO_LONG', `${label}: data value too large: ${value} (max length=${length})`)
  if (value === null) return null
  if (field.restrictedPicklist && !field.picklistValues.some((choice) => choice.value === value)) {
    const message = `${label}: bad value for restricted picklist field: ${value}`
    return wrong('INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST', message)
  }
  if (field.type !== 'reference') return null
  const fits = field.referenceTo.some((to) => org.type(to)?.prefix === text(value).slice(0, 3))
  if (!fits || !ID.test(text(value))) return wrong('MALFORMED_ID', `${label}: id value of incorrect type: ${value}`)
  const found = org.find(value)
  if (!found) return lost(name)
  if (found.row.IsDeleted) return deleted(name)
  if (name !== 'OwnerId' || found.row.IsActive) return null
  const message = `operation performed with inactive user [${value}] as owner of ${type.name.toLowerCase()}`
  return saveError('INACTIVE_OWNER_OR_USER', message)
}
