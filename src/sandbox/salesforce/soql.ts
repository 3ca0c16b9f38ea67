// SOQL as far as a deal connector asks it: fields, also of a parent; WHERE with comparisons, IN, AND and OR; ORDER BY;
// LIMIT; COUNT(). As strict as the language is about unknown or unfilterable fields, quoted dates and AND mixed with OR.
import type { Org } from './org.ts'
import { type Field, longId, NUMBERS, type ObjectType, type Row, relationOf, type Value } from './schema.ts'
import { refused } from './validate.ts'

type Test = (row: Row) => boolean

/** A field of the queried object, or (`via` the reference to it) of its parent. */
interface Path {
  readonly field: Field
  readonly via: Field | null
  readonly get: (row: Row) => Value
}

export interface Result {
  /** Of COUNT() the count, and no records. */
  readonly totalSize: number
  readonly records: readonly (() => Record<string, unknown>)[]
}

const TOKEN =
  /'(?:[^'\\]|\\.)*'|\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d))?|-?\d+(?:\.\d+)?|[A-Za-z][\w.]*|[<>!]=|<>|\S/g
const KEYWORDS = /^(select|from|where|and|or|not|in|order|by|limit|asc|desc|null)$/i
const COMPARE: Record<string, (a: NonNullable<Value>, b: NonNullable<Value>) => boolean> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
}
const HELP =
  "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names."

/** Runs a query as the API user. `all`: deleted rows too. Throws Refused: MALFORMED_QUERY, INVALID_FIELD, INVALID_TYPE. */
export function query(org: Org, soql: string, all: boolean, version: string): Result {
  if (soql.length > 100_000)
    throw refused(400, 'MALFORMED_QUERY', 'SOQL statements cannot be longer than 100000 characters')
  const tokens = soql.match(TOKEN) ?? []
  let at = 0

  const refuse = (code: string, token: string, message: string) =>
    refused(400, code, `\n${soql}\n^\nERROR at Row:1:Column:${soql.indexOf(token) + 1}\n${message}`)
  const invalid = (token: string, message: string) => refuse('INVALID_FIELD', token, message)
  const unexpected = (token = tokens[at] ?? '<EOF>') => refuse('MALFORMED_QUERY', token, `unexpected token: '${token}'`)
  const next = () => tokens[at++] ?? '<EOF>'
  function take(word: string): boolean {
    if (tokens[at]?.toLowerCase() !== word) return false
    at += 1
    return true
  }
  function need(word: string): void {
    if (!take(word)) throw unexpected()
  }
  function name(): string {
    const token = next()
    if (!/^[A-Za-z]/.test(token) || KEYWORDS.test(token)) throw unexpected(token)
    return token
  }
  function list<T>(item: () => T): T[] {
    const items = [item()]
    while (take(',')) items.push(item())
    return items
  }

  function path(type: ObjectType, text: string): Path {
    const [head = '', tail, ...deeper] = text.split('.')
    if (tail === undefined) {
      const field = org.field(type, head)
      if (!field) throw invalid(head, `No such column '${head}' on entity '${type.name}'. ${HELP}`)
      return { field, via: null, get: (row) => org.read(row, field) }
    }
    const via = org.visible(type).find((field) => relationOf(field)?.toLowerCase() === head.toLowerCase())
    const parent = via?.to.length === 1 ? org.type(via.to[0] ?? '') : undefined
    if (!via || !parent || deeper.length > 0)
      throw invalid(head, `Didn't understand relationship '${head}' in field path. ${HELP}`)
    const { field, get } = path(parent, tail)
    const above = (row: Row) => org.find(row[via.name])?.row
    return { field, via, get: (row) => get(above(row) ?? {}) }
  }

  function condition(type: ObjectType): Test {
    if (take('(')) {
      const inner = conditions(type)
      need(')')
      return inner
    }
    const column = name()
    const { field, get } = path(type, column)
    if (field.flags.has('unfilterable')) throw invalid(column, `field '${column}' can not be filtered in a query call`)
    if (take('in')) {
      need('(')
      const values = new Set(list(() => literal(column, field)))
      need(')')
      return (row) => values.has(folded(get(row), field))
    }
    const operator = next()
    const compare = COMPARE[operator]
    if (!compare && !['=', '!=', '<>'].includes(operator)) throw unexpected(operator)
    const value = literal(column, field)
    if (!compare) return (row) => (folded(get(row), field) === value) === (operator === '=')
    if (value === null || typeof value === 'boolean')
      throw refused(400, 'INVALID_QUERY_FILTER_OPERATOR', `invalid operator on ${field.type} field`)
    return (row) => {
      const own = folded(get(row), field)
      return own !== null && compare(own, value)
    }
  }
  /** All AND or all OR: mixing them needs parentheses. */
  function conditions(type: ObjectType): Test {
    const tests = [condition(type)]
    const word = tokens[at]?.toLowerCase() === 'and' ? 'and' : 'or'
    while (take(word)) tests.push(condition(type))
    return word === 'and' ? (row) => tests.every((test) => test(row)) : (row) => tests.some((test) => test(row))
  }

  function literal(column: string, { type }: Field): Value {
    const token = next()
    if (/^null$/i.test(token)) return null
    const quoted = token.startsWith("'")
    const must = (good: boolean, kind: string) => {
      const quotes = quoted ? 'not be enclosed' : 'be enclosed'
      if (!good)
        throw invalid(
          column,
          `value of filter criterion for field '${column}' must be of type ${kind} and should ${quotes} in quotes`,
        )
    }
    if (type === 'date') {
      must(/^\d{4}-\d\d-\d\d$/.test(token), 'date')
      return token
    }
    if (type === 'datetime') {
      must(/^\d{4}-\d\d-\d\dT/.test(token) && !Number.isNaN(Date.parse(token)), 'dateTime')
      return new Date(token).toISOString().replace('Z', '+0000')
    }
    if (NUMBERS.includes(type)) {
      must(/^-?\d/.test(token), 'double')
      return Number(token)
    }
    if (type === 'boolean') {
      must(/^(true|false)$/i.test(token), 'boolean')
      return /^true$/i.test(token)
    }
    if (!quoted && !/^\w/.test(token)) throw unexpected(token)
    must(quoted, 'string')
    const text = token.slice(1, -1).replace(/\\(.)/g, (_, c: string) => ({ n: '\n', r: '\r', t: '\t' })[c] ?? c)
    if (['id', 'reference'].includes(type) && !/^(\w{15}|\w{18})$/.test(text))
      throw refused(400, 'INVALID_QUERY_FILTER_OPERATOR', `\n${soql}\ninvalid ID field: ${text}`)
    return folded(text, { type })
  }

  function order(type: ObjectType): (a: Row, b: Row) => number {
    const column = name()
    const { field, get } = path(type, column)
    if (field.flags.has('unfilterable')) throw invalid(column, `field '${column}' can not be sorted in a query call`)
    const up = take('desc') ? -1 : 1
    if (up === 1) take('asc')
    return (a, b) => {
      const [x, y] = [folded(get(a), field), folded(get(b), field)]
      if (x === y) return 0
      return x === null || (y !== null && x < y) ? -up : up
    }
  }

  function render(type: ObjectType, columns: readonly Path[], row: Row): Record<string, unknown> {
    const attributes = (of: ObjectType, { Id }: Row) => ({
      attributes: { type: of.name, url: `/services/data/${version}/sobjects/${of.name}/${Id}` },
    })
    const record: Record<string, unknown> = attributes(type, row)
    for (const { field, via, get } of columns) {
      const relation = via && relationOf(via)
      const parent = via && org.find(row[via.name])
      if (!relation) record[field.name] = get(row)
      else
        record[relation] = parent && {
          ...attributes(parent.type, parent.row),
          ...Object(record[relation]),
          [field.name]: get(row),
        }
    }
    return record
  }

  need('select')
  const count = take('count')
  if (count) {
    need('(')
    need(')')
  }
  const names = count ? [] : list(name)
  need('from')
  const from = name()
  const type = org.type(from)
  if (!type) throw refuse('INVALID_TYPE', from, `sObject type '${from}' is not supported. ${HELP}`)
  const columns = names.map((column) => path(type, column))
  const test = take('where') ? conditions(type) : () => true
  const rows = [...type.rows.values()].filter((row) => (all || !row.IsDeleted) && test(row))
  if (take('order')) {
    need('by')
    const keys = list(() => order(type))
    rows.sort((a, b) => keys.map((key) => key(a, b)).find((result) => result !== 0) ?? 0)
  }
  const limit = take('limit') ? next() : `${rows.length}`
  if (!/^\d+$/.test(limit)) throw unexpected(limit)
  if (at < tokens.length) throw unexpected()
  const records = rows.slice(0, Number(limit)).map((row) => () => render(type, columns, row))
  return { totalSize: records.length, records: count ? [] : records }
}

/** Text compares without case, ids exactly and in their long form. */
function folded(value: Value, { type }: Pick<Field, 'type'>): Value {
  if (typeof value !== 'string' || type === 'date' || type === 'datetime') return value
  return type === 'id' || type === 'reference' ? longId(value) : value.toLowerCase()
}
