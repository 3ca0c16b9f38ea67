// What an API client may send: JSON of the right types, fields it may see and edit, values the org allows. Salesforce
// refuses the whole request for the first kind of mistake (Refused) and the single record for the others (SaveError).
import { Refused } from '../kernel.ts'
import type { Org } from './org.ts'
import { day, type Field, isNumber, longId, type ObjectType, type Row, stamp, text, type Value } from './schema.ts'

/** One record is refused, and nothing of it was applied. */
export class SaveError extends Error {
  override readonly name = 'SaveError'
  readonly told: { readonly statusCode: string; readonly message: string; readonly fields: readonly string[] }
  constructor(statusCode: string, message: string, ...fields: string[]) {
    super(message)
    this.told = { statusCode, message, fields }
  }
}

/** One error of a whole request: an array body, as REST sends it. */
export const refused = (status: number, errorCode: string, message: string) =>
  new Refused({ status, body: [{ message, errorCode }] })
/** The live record of an id. Throws SaveError. */
export function live(found: { readonly row: Row } | null | undefined, ...fields: string[]): Row {
  if (!found) throw new SaveError('INVALID_CROSS_REFERENCE_KEY', 'invalid cross reference id', ...fields)
  if (found.row.IsDeleted) throw new SaveError('ENTITY_IS_DELETED', 'entity is deleted', ...fields)
  return found.row
}

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

/** Throws SaveError where the org would refuse to create (`id` null) or change this record so. */
export function check(org: Org, type: ObjectType, id: string | null, given: Row): void {
  if (id !== null && (!ID.test(id) || !id.startsWith(type.prefix)))
    throw new SaveError('MALFORMED_ID', `${type.name} ID: id value of incorrect type: ${id}`, 'Id')
  const before = id === null ? null : live(org.find(id))
  for (const [name, value] of Object.entries(given)) checkValue(org, type, fieldOf(org, type, name), value, !before)
  const row: Row = { ...(before ?? org.defaults(type)), ...given }
  const required = [...type.fields.values()].filter((field) => !field.nillable && (!before || field.name in given))
  const missing = required.flatMap(({ name }) => ((row[name] ?? null) === null ? [name] : []))
  if (missing.length > 0)
    throw new SaveError('REQUIRED_FIELD_MISSING', `Required fields are missing: [${missing.join(', ')}]`, ...missing)
  const twin = (other: Row) => other.AssigneeId === row.AssigneeId && other.PermissionSetId === row.PermissionSetId
  if (type.name === 'PermissionSetAssignment' && org.rows(type.name).some((other) => !other.IsDeleted && twin(other)))
    throw new SaveError('DUPLICATE_VALUE', 'duplicate value found: PermissionSetId duplicates value on record')
}

const READ_ONLY =
  'Please check the security settings of this field and verify that it is read/write for your profile or permission set.'

function checkValue(org: Org, type: ObjectType, field: Field, value: Value, creating: boolean): void {
  const { name, label, length } = field
  const must = (good: boolean, code: string, message: string) => {
    if (!good) throw new SaveError(code, message, name)
  }
  const writable = (creating ? field.createable : field.updateable) && org.editable(type, field)
  must(writable, 'INVALID_FIELD_FOR_INSERT_UPDATE', `Unable to create/update fields: ${name}. ${READ_ONLY}`)
  const long = `${label}: data value too large: ${value} (max length=${length})`
  must(length === 0 || text(value).length <= length, 'STRING_TOO_LONG', long)
  if (value === null) return
  const listed = !field.restrictedPicklist || field.picklistValues.some((choice) => choice.value === value)
  const bad = `${label}: bad value for restricted picklist field: ${value}`
  must(listed, 'INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST', bad)
  if (field.type !== 'reference') return
  const fits = field.referenceTo.some((to) => org.type(to)?.prefix === text(value).slice(0, 3))
  must(fits && ID.test(text(value)), 'MALFORMED_ID', `${label}: id value of incorrect type: ${value}`)
  const { IsActive } = live(org.find(value), name)
  const gone = `operation performed with inactive user [${value}] as owner of ${type.name.toLowerCase()}`
  must(name !== 'OwnerId' || IsActive === true, 'INACTIVE_OWNER_OR_USER', gone)
}
