// SOQL: the subset a deal connector needs, read and compiled to closures over the org's tables. As strict as the
// documented language: unknown or unfilterable fields, quoted dates and mixed AND/OR without parentheses are refused.
import type { Org } from './org.ts'
import { refused } from './org.ts'
import { type Field, longId, type ObjectType, type Row, relationOf, type Value } from './schema.ts'

type Get = (row: Row) => Value
type Test = (row: Row) => boolean

interface Path {
  readonly names: readonly string[]
  readonly field: Pick<Field, 'name' | 'type' | 'filter'>
  readonly get: Get
}

interface Column {
  /** Names as the answer nests them. */
  readonly names: readonly string[]
  /** The rows on the way, so that an empty relation answers null as a whole. */
  readonly get: Get
  readonly reduce: ((rows: readonly Row[]) => Value) | null
}

export interface Result {
  /** COUNT(): no records, only this number. */
  readonly totalSize: number
  readonly records: readonly (() => Record<string, unknown>)[]
}

const TOKEN =
  /\s*('(?:[^'\\]|\\.)*'|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)|\d{4}-\d\d-\d\d|[+-]?\d+(?:\.\d+)?|[A-Za-z][\w.]*|<=|>=|!=|<>|[=<>(),])\s*/y
const KEYWORDS = /^(select|from|where|and|or|not|in|like|group|by|order|limit|offset|asc|desc|nulls|null)$/i
const NUMBERS = ['currency', 'percent', 'double', 'int']
const COMPARE: Record<string, (a: string | number | boolean, b: string | number | boolean) => boolean> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
}
const HELP =
  "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
const NO_MORE = 'Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch'

/** Runs a query as the API user. `all`: deleted rows too. Throws Refused: MALFORMED_QUERY, INVALID_FIELD, INVALID_TYPE. */
export function query(org: Org, soql: string, all: boolean, version: string): Result {
  if (soql.length > 100_000)
    throw refused(400, 'MALFORMED_QUERY', 'SOQL statements cannot be longer than 100000 characters')
  const parser = new Parser(org, soql, all, version)
  const result = parser.select()
  parser.end()
  return result
}

class Parser {
  readonly #org: Org
  readonly #soql: string
  readonly #all: boolean
  readonly #version: string
  readonly #tokens: string[] = []
  #at = 0

  constructor(org: Org, soql: string, all: boolean, version: string) {
    this.#org = org
    this.#soql = soql
    this.#all = all
    this.#version = version
    for (TOKEN.lastIndex = 0; TOKEN.lastIndex < soql.length; ) {
      const from = TOKEN.lastIndex
      const token = TOKEN.exec(soql)?.[1]
      if (token === undefined) throw this.#malformed(soql.slice(from).trim()[0] ?? '')
      this.#tokens.push(token)
    }
  }

  #refused(code: string, token: string, message: string) {
    const at = `ERROR at Row:1:Column:${this.#soql.indexOf(token) + 1}`
    return refused(400, code, `\n${this.#soql}\n^\n${at}\n${message}`)
  }
  #malformed(token = this.#tokens[this.#at] ?? '') {
    return this.#refused('MALFORMED_QUERY', token, `unexpected token: '${token || '<EOF>'}'`)
  }
  #invalid(token: string, message: string) {
    return this.#refused('INVALID_FIELD', token, message)
  }
  #is(word: string): boolean {
    return this.#tokens[this.#at]?.toLowerCase() === word
  }
  #take(word: string): boolean {
    if (!this.#is(word)) return false
    this.#at += 1
    return true
  }
  #need(word: string): void {
    if (!this.#take(word)) throw this.#malformed()
  }
  #name(): string {
    const token = this.#tokens[this.#at++] ?? ''
    if (!/^[A-Za-z]/.test(token) || KEYWORDS.test(token)) throw this.#malformed(token)
    return token
  }
  #integer(): number {
    const token = this.#tokens[this.#at++] ?? ''
    if (!/^\d+$/.test(token)) throw this.#malformed(token)
    return Number(token)
  }
  #list<T>(item: () => T): T[] {
    const items = [item()]
    while (this.#take(',')) items.push(item())
    return items
  }
  end(): void {
    if (this.#at < this.#tokens.length) throw this.#malformed()
  }

  select(): Result {
    const { type, columns, rows, grouped } = this.#statement()
    if (columns.length === 0) return { totalSize: rows.length, records: [] }
    const value = ({ reduce, get }: Column, [row, ...others]: readonly Row[]) =>
      reduce ? reduce(row ? [row, ...others] : []) : row ? get(row) : null
    const records = grouped
      ? grouped.map((group) => () => {
          const values = columns.map((column) => [column.names.at(-1), value(column, group)])
          return { attributes: { type: 'AggregateResult' }, ...Object.fromEntries(values) }
        })
      : rows.map((row) => () => this.#render(type, columns, row))
    return { totalSize: records.length, records }
  }

  #statement() {
    this.#need('select')
    const items = this.#list(() => this.#item())
    this.#need('from')
    const from = this.#name()
    const type = this.#org.type(from)
    if (!type) throw this.#refused('INVALID_TYPE', from, `sObject type '${from}' is not supported. ${HELP}`)
    const test = this.#take('where') ? this.#or(type) : () => true
    const rows = [...type.rows.values()].filter((row) => (this.#all || !row.IsDeleted) && test(row))
    const group = this.#take('group') ? this.#groupBy(type) : null
    if (this.#take('order')) {
      this.#need('by')
      const keys = this.#list(() => this.#orderKey(type))
      rows.sort((a, b) => keys.map((key) => key(a, b)).find((order) => order !== 0) ?? 0)
    }
    const limit = this.#take('limit') ? this.#integer() : Number.POSITIVE_INFINITY
    const offset = this.#take('offset') ? this.#integer() : 0
    if (offset > 2000) throw refused(400, 'NUMBER_OUTSIDE_VALID_RANGE', 'Maximum SOQL offset allowed is 2000')
    let expression = 0
    const total = items.length === 1 && items[0]?.call === 'COUNT' && items[0].name === '' && !group
    const columns = (total ? [] : items).map(({ name, call, alias }): Column => {
      const path = name === '' ? null : this.#path(type, name)
      const get = path?.get ?? (() => true)
      if (!call) return { names: path?.names ?? [], get, reduce: null }
      return { names: [alias ?? `expr${expression++}`], get, reduce: reducer(call, get) }
    })
    const cut = <T>(all: readonly T[]) => all.slice(offset, offset + limit)
    const grouped = group || columns.some(({ reduce }) => reduce) ? cut(groups(rows, group)) : null
    if (grouped && grouped.length > 2000) throw refused(400, 'EXCEEDED_ID_LIMIT', NO_MORE)
    return { type, columns, rows: cut(rows), grouped }
  }
  #groupBy(type: ObjectType): Path[] {
    this.#need('by')
    return this.#list(() => this.#path(type, this.#name()))
  }
  #item(): { name: string; call?: string; alias?: string | undefined } {
    const name = this.#name()
    if (!this.#take('(')) return { name }
    if (!/^(count|max|min|sum)$/i.test(name)) throw this.#malformed(name)
    const inner = this.#is(')') ? '' : this.#name()
    this.#need(')')
    const alias = [',', 'from'].includes(this.#tokens[this.#at]?.toLowerCase() ?? ',') ? undefined : this.#name()
    return { name: inner, call: name.toUpperCase(), alias }
  }
  #nullsLast(): boolean {
    const last = this.#take('last')
    if (!last) this.#need('first')
    return last
  }
  #orderKey(type: ObjectType): (a: Row, b: Row) => number {
    const name = this.#name()
    const path = this.#path(type, name)
    if (!path.field.filter) throw this.#invalid(name, `field '${name}' can not be sorted in a query call`)
    const descending = this.#take('desc') || (this.#take('asc') && false)
    const last = this.#take('nulls') ? this.#nullsLast() : descending
    return (a: Row, b: Row): number => {
      const [x, y] = [fold(path.get(a), path.field), fold(path.get(b), path.field)]
      if (x === y) return 0
      if (x === null || y === null) return (x === null) === last ? 1 : -1
      return x < y === descending ? 1 : -1
    }
  }

  /** A field, possibly through relations. Of a polymorphic relation only Id, Name and Type, as of the Name object. */
  #path(type: ObjectType, text: string): Path {
    const parts = text.split('.')
    if (parts.length > 1 && parts[0]?.toLowerCase() === type.name.toLowerCase()) parts.shift()
    const [head = '', ...rest] = parts
    if (rest.length === 0) {
      const field = this.#org.field(type, head, true)
      if (!field) throw this.#invalid(head, `No such column '${head}' on entity '${type.name}'. ${HELP}`)
      return { names: [field.name], field, get: (row) => this.#org.read(row, field) }
    }
    const visible = this.#org.visible(type, true)
    const relation = visible.find((field) => relationOf(field)?.toLowerCase() === head.toLowerCase())
    const target = relation?.to.flatMap((name) => this.#org.type(name) ?? [])[0]
    if (!relation || !target)
      throw this.#invalid(head, `Didn't understand relationship '${head}' in field path. ${HELP}`)
    const name = relationOf(relation) ?? head
    const found = (row: Row) => this.#org.find(row[relation.name] ?? null)
    const tail = rest.join('.')
    if (/^type$/i.test(tail) && ['What', 'Who', 'Owner'].includes(name)) {
      const field = { name: 'Type', type: 'string', filter: true }
      return { names: [name, 'Type'], field, get: (row) => found(row)?.type.name ?? null }
    }
    const polymorphic = relation.to.length > 1
    if (polymorphic && !/^(id|name)$/i.test(tail))
      throw this.#invalid(tail, `No such column '${tail}' on entity 'Name'. ${HELP}`)
    const inner = this.#path(target, tail)
    const get: Get = (row) => {
      const other = found(row)?.row
      return other ? (polymorphic ? (other[inner.field.name] ?? null) : inner.get(other)) : null
    }
    return { names: [name, ...inner.names], field: inner.field, get }
  }

  #or(type: ObjectType): Test {
    const tests = [this.#not(type)]
    const word = this.#is('and') ? 'and' : 'or'
    while (this.#take(word)) tests.push(this.#not(type))
    const [only] = tests
    if (tests.length === 1 && only) return only
    return word === 'and' ? (row) => tests.every((test) => test(row)) : (row) => tests.some((test) => test(row))
  }
  #not(type: ObjectType): Test {
    if (this.#take('not')) {
      const inner = this.#not(type)
      return (row) => !inner(row)
    }
    if (!this.#take('(')) return this.#condition(type)
    const inner = this.#or(type)
    this.#need(')')
    return inner
  }
  #condition(type: ObjectType): Test {
    const name = this.#name()
    const { field, get } = this.#path(type, name)
    if (!field.filter) throw this.#invalid(name, `field '${name}' can not be filtered in a query call`)
    const negated = this.#take('not')
    if (negated && !this.#is('in')) throw this.#malformed()
    if (this.#take('in')) {
      this.#need('(')
      const values = this.#is('select') ? this.#subselect() : new Set(this.#list(() => this.#literal(name, field)))
      this.#need(')')
      return (row) => values.has(fold(get(row), field)) !== negated
    }
    if (this.#take('like')) {
      const pattern = String(this.#literal(name, field) ?? '')
        .split(/([%_])/)
        .map((part) => (part === '%' ? '.*' : part === '_' ? '.' : part.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')))
      const like = new RegExp(`^${pattern.join('')}$`, 'is')
      return (row) => like.test(String(get(row) ?? ''))
    }
    const operator = this.#tokens[this.#at++] ?? ''
    if (!['=', '!=', '<>'].includes(operator) && !COMPARE[operator]) throw this.#malformed(operator)
    const value = this.#literal(name, field)
    const compared = COMPARE[operator]
    if (!compared) return (row) => (fold(get(row), field) === value) === (operator === '=')
    if (field.type === 'boolean' || value === null)
      throw refused(400, 'INVALID_QUERY_FILTER_OPERATOR', `invalid operator on ${field.type} field`)
    return (row) => {
      const own = fold(get(row), field)
      return own !== null && compared(own, value)
    }
  }
  #subselect(): Set<Value> {
    const { columns, rows } = this.#statement()
    const [column] = columns
    if (!column || columns.length > 1) throw this.#malformed('select')
    return new Set(rows.map((row) => column.get(row)))
  }
  #literal(name: string, field: Path['field']): Value {
    const token = this.#tokens[this.#at++] ?? ''
    if (/^null$/i.test(token)) return null
    const quoted = token.startsWith("'")
    const should = `should ${quoted ? 'not ' : ''}be enclosed in quotes`
    const wrong = (kind: string) =>
      this.#invalid(name, `value of filter criterion for field '${name}' must be of type ${kind} and ${should}`)
    if (field.type === 'date' || field.type === 'datetime') {
      const at = Date.parse(token)
      if (quoted || Number.isNaN(at) || token.includes('T') !== (field.type === 'datetime'))
        throw wrong(field.type === 'date' ? 'date' : 'dateTime')
      return field.type === 'date' ? token : new Date(at).toISOString().replace('Z', '+0000')
    }
    if (NUMBERS.includes(field.type)) {
      if (quoted || !/^[+-]?\d/.test(token)) throw wrong('double')
      return Number(token)
    }
    if (field.type === 'boolean') {
      if (!/^(true|false)$/i.test(token)) throw wrong('boolean')
      return token.toLowerCase() === 'true'
    }
    if (!quoted) throw KEYWORDS.test(token) || token === '' ? this.#malformed(token) : wrong('string')
    const text = token.slice(1, -1).replace(/\\(.)/g, (_, c: string) => ({ n: '\n', r: '\r', t: '\t' })[c] ?? c)
    if ((field.type === 'id' || field.type === 'reference') && !/^(\w{15}|\w{18})$/.test(text))
      throw refused(400, 'INVALID_QUERY_FILTER_OPERATOR', `\n${this.#soql}\ninvalid ID field: ${text}`)
    return fold(text, field)
  }

  #render(type: ObjectType, columns: readonly Column[], row: Row): Record<string, unknown> {
    const attributes = (name: string, id: Value | undefined) => {
      const url = `/services/data/${this.#version}/sobjects/${name}/${id}`
      return { attributes: { type: name, url } }
    }
    const record: Record<string, unknown> = attributes(type.name, row.Id)
    for (const { names, get } of columns) {
      const [head = '', ...rest] = names
      const target = rest.length > 0 ? this.#org.find(row[`${head}Id`] ?? null) : null
      if (target) record[head] ??= attributes(target.type.name, target.row.Id)
      if (rest.length === 0 || target) nest(record, names, get(row))
      else record[head] = null
    }
    return record
  }
}

function nest(into: Record<string, unknown>, [head = '', ...rest]: readonly string[], value: Value): void {
  if (rest.length === 0) into[head] = value
  else {
    const inner: Record<string, unknown> = { ...Object(into[head]) }
    nest(inner, rest, value)
    into[head] = inner
  }
}

/** Text compares without case, ids exactly and in their long form. */
function fold(value: Value, field: { readonly type: string }): Value {
  if (typeof value !== 'string' || field.type === 'date' || field.type === 'datetime') return value
  return field.type === 'id' || field.type === 'reference' ? longId(value) : value.toLowerCase()
}

function groups(rows: readonly Row[], by: readonly Path[] | null): Row[][] {
  if (!by) return [[...rows]]
  return [...Map.groupBy(rows, (row) => JSON.stringify(by.map((path) => path.get(row)))).values()]
}
function reducer(call: string, get: Get): (rows: readonly Row[]) => Value {
  const values = (rows: readonly Row[]) => rows.map(get).filter((value) => value !== null)
  if (call === 'COUNT') return (rows) => values(rows).length
  if (call === 'SUM') return (rows) => values(rows).reduce<number>((sum, value) => sum + Number(value), 0)
  const sign = call === 'MAX' ? 1 : -1
  return (rows) => values(rows).sort((a, b) => (a < b ? sign : -sign))[0] ?? null
}
