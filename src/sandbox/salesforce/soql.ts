// SOQL as far as a deal connector asks it: fields, also of a parent; WHERE with comparisons, IN, AND and OR; ORDER BY;
// LIMIT; COUNT(). As strict as the language is about unknown or unfilterable fields, quoted dates and AND mixed with OR.
import type { Org } from './org.ts'
import { type Field, isNumber, longId, type ObjectType, type Row, type Value } from './schema.ts'
import { refused } from './validate.ts'

/** A field of the queried object, or (`via` the reference to it) of its parent. */
interface Path {
  readonly field: Field
  readonly via: Field | null
  readonly get: (row: Row) => Value
}

export interface Result {
  /** Of COUNT() the count, and no rows. */
  readonly totalSize: number
  readonly rows: readonly Row[]
  readonly render: (row: Row) => Record<string, unknown>
}

const TOKEN = /'(?:[^'\\]|\\.)*'|\d{4}-\d\d-\d\d[T\d:.Z+-]*|-?\d+(?:\.\d+)?|[A-Za-z][\w.]*|[<>!]=|<>|\S/g
const KEYWORDS = /^(select|from|where|and|or|not|in|order|by|limit|asc|desc|null)$/i
const HELP =
  "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names."

/** Empty values first. */
const order = (a: Value, b: Value) => (a === b ? 0 : a === null || (b !== null && a < b) ? -1 : 1)
/** The orders each operator accepts; those of INEQUALITY only between values. */
const EQUALITY: Record<string, readonly number[]> = { '=': [0], '!=': [-1, 1], '<>': [-1, 1] }
const INEQUALITY: Record<string, readonly number[]> = { '<': [-1], '<=': [-1, 0], '>': [1], '>=': [0, 1] }
const unquoted = (token: string) =>
  token.slice(1, -1).replace(/\\(.)/g, (_, c: string) => ({ n: '\n', r: '\r', t: '\t' })[c] ?? c)
const LITERALS: Record<string, readonly [RegExp, (token: string) => Value]> = {
  date: [/^\d{4}-\d\d-\d\d$/, (token) => token],
  datetime: [
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
    (token) => new Date(token).toISOString().replace('Z', '+0000'),
  ],
  double: [/^-?\d+(\.\d+)?$/, Number],
  boolean: [/^(true|false)$/i, (token) => token.toLowerCase() === 'true'],
  string: [/^'/, unquoted],
}
/** Text compares without case, ids exactly and in their long form. */
function folded(value: Value, { type }: Field): Value {
  if (typeof value !== 'string' || type === 'date' || type === 'datetime') return value
  return type === 'id' || type === 'reference' ? longId(value) : value.toLowerCase()
}

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
  function take(...words: string[]): boolean {
    if (!words.every((word, i) => tokens[at + i]?.toLowerCase() === word)) return false
    at += words.length
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
    const [head = '', tail] = text.split(/\.(.*)/)
    if (tail === undefined) {
      const field = org.field(type, head)
      if (!field) throw invalid(head, `No such column '${head}' on entity '${type.name}'. ${HELP}`)
      return { field, via: null, get: (row) => org.read(row, field) }
    }
    const via = org.visible(type).find((each) => each.relationshipName?.toLowerCase() === head.toLowerCase())
    const parent = via?.referenceTo.length === 1 ? org.type(via.referenceTo[0] ?? '') : undefined
    if (!via || !parent || tail.includes('.'))
      throw invalid(head, `Didn't understand relationship '${head}' in field path. ${HELP}`)
    const { field, get } = path(parent, tail)
    return { field, via, get: (row) => get(org.find(row[via.name])?.row ?? {}) }
  }
  /** A field to filter or sort by, its values ready to be compared. */
  function comparable(type: ObjectType, use: string) {
    const column = name()
    const { field, get } = path(type, column)
    if (!field.filterable) throw invalid(column, `field '${column}' can not be ${use} in a query call`)
    return { column, field, value: (row: Row) => folded(get(row), field) }
  }

  function condition(type: ObjectType): (row: Row) => boolean {
    if (take('(')) {
      const inner = conditions(type)
      need(')')
      return inner
    }
    const { column, field, value } = comparable(type, 'filtered')
    if (take('in', '(')) {
      const values = new Set(list(() => literal(column, field)))
      need(')')
      return (row) => values.has(value(row))
    }
    const operator = next()
    const orders = EQUALITY[operator] ?? INEQUALITY[operator]
    if (!orders) throw unexpected(operator)
    const other = literal(column, field)
    const between = (own: Value) => operator in EQUALITY || (own !== null && other !== null)
    return (row) => between(value(row)) && orders.includes(order(value(row), other))
  }
  /** All AND or all OR: mixing them needs parentheses. */
  function conditions(type: ObjectType): (row: Row) => boolean {
    const tests = [condition(type)]
    const word = tokens[at]?.toLowerCase() === 'and' ? 'and' : 'or'
    while (take(word)) tests.push(condition(type))
    return word === 'and' ? (row) => tests.every((test) => test(row)) : (row) => tests.some((test) => test(row))
  }
  function literal(column: string, field: Field): Value {
    const token = next()
    if (/^null$/i.test(token)) return null
    if (!/^['\w-]/.test(token)) throw unexpected(token)
    const kind = isNumber(field.type) ? 'double' : field.type in LITERALS ? field.type : 'string'
    const [pattern, read] = LITERALS[kind] ?? [/^/, unquoted]
    if (!pattern.test(token) || (kind.startsWith('date') && Number.isNaN(Date.parse(token)))) {
      const what = `value of filter criterion for field '${column}' must be of type ${kind}`
      throw invalid(column, `${what} and should ${kind === 'string' ? '' : 'not '}be enclosed in quotes`)
    }
    const value = read(token)
    if (['id', 'reference'].includes(field.type) && !/^(\w{15}|\w{18})$/.test(String(value)))
      throw refused(400, 'INVALID_QUERY_FILTER_OPERATOR', `\n${soql}\ninvalid ID field: ${value}`)
    return folded(value, field)
  }
  function sorting(type: ObjectType): (a: Row, b: Row) => number {
    const { value } = comparable(type, 'sorted')
    const direction = take('desc') ? -1 : 1
    if (direction === 1) take('asc')
    return (a, b) => direction * order(value(a), value(b))
  }

  need('select')
  const count = take('count', '(', ')')
  const names = count ? [] : list(name)
  need('from')
  const from = name()
  const type = org.type(from)
  if (!type) throw refuse('INVALID_TYPE', from, `sObject type '${from}' is not supported. ${HELP}`)
  const columns = names.map((column) => path(type, column))
  const test = take('where') ? conditions(type) : () => true
  const rows = [...type.rows.values()].filter((row) => (all || !row.IsDeleted) && test(row))
  const keys = take('order', 'by') ? list(() => sorting(type)) : []
  rows.sort((a, b) => keys.reduce((found, key) => found || key(a, b), 0))
  const limit = take('limit') ? next() : `${rows.length}`
  if (!/^\d+$/.test(limit)) throw unexpected(limit)
  if (at < tokens.length) throw unexpected()

  const attributes = (of: ObjectType, { Id }: Row) => ({
    attributes: { type: of.name, url: `/services/data/${version}/sobjects/${of.name}/${Id}` },
  })
  const render = (row: Row) => {
    const record: Record<string, unknown> = attributes(type, row)
    for (const { field, via, get } of columns) {
      const parent = via && org.find(row[via.name])
      const inside = parent && { ...attributes(parent.type, parent.row), ...Object(record[via.relationshipName ?? '']) }
      if (via) record[via.relationshipName ?? ''] = inside && { ...inside, [field.name]: get(row) }
      else record[field.name] = get(row)
    }
    return record
  }
  const found = rows.slice(0, Number(limit))
  return { totalSize: found.length, rows: count ? [] : found, render }
}
