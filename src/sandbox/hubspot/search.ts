// The search endpoint: filter groups, one sort, 10,000 results at most, and an index that may lag behind the records.
import { z } from 'zod'
import { type Answer, type Call, Refused } from '../kernel.ts'
import { body, shape } from './objects.ts'
import { failure, instant, type ObjectType, parse } from './properties.ts'
import type { Item, Store } from './store.ts'

const OPERATORS = [
  ...(['EQ', 'NEQ', 'LT', 'LTE', 'GT', 'GTE', 'BETWEEN', 'IN', 'NOT_IN'] as const),
  ...(['HAS_PROPERTY', 'NOT_HAS_PROPERTY', 'CONTAINS_TOKEN', 'NOT_CONTAINS_TOKEN'] as const),
] as const
const text = z.union([z.string(), z.number(), z.boolean()]).transform(String)
const Filter = z.object({
  propertyName: z.string(),
  operator: z.enum(OPERATORS),
  value: text.optional(),
  highValue: text.optional(),
  values: z.array(text).optional(),
})
type Filter = z.infer<typeof Filter>
const Sort = z.union([
  z.string().transform((propertyName) => ({ propertyName, direction: 'ASCENDING' })),
  z.object({ propertyName: z.string(), direction: z.enum(['ASCENDING', 'DESCENDING']).default('ASCENDING') }),
])
const Search = z.object({
  filterGroups: z
    .array(z.object({ filters: z.array(Filter).min(1).max(6) }))
    .max(5)
    .default([]),
  sorts: z.array(Sort).max(1).default([]),
  properties: z.array(z.string()).default([]),
  query: z.string().max(3000).default(''),
  limit: z.int().min(1).max(200).default(10),
  after: z.union([z.int(), z.string().regex(/^\d+$/).transform(Number), z.literal('').transform(() => 0)]).default(0),
})
const MOST = 10_000

type Comparable = string | number
type Test = (read: (name: string) => string) => boolean

export function search(store: Store, object: ObjectType, call: Call): Answer {
  const request = parse(Search, body(call))
  const wrong = (message: string) => new Refused(failure(400, 'VALIDATION_ERROR', message))
  const known = store.properties[object]
  const named = [...request.filterGroups.flatMap((group) => group.filters), ...request.sorts]
  for (const { propertyName } of named)
    if (!known.has(propertyName))
      throw wrong(`There was a problem with the request. Property ${propertyName} does not exist`)
  if (request.filterGroups.flatMap((group) => group.filters).length > 18)
    throw wrong('Too many filters: at most 18 in all')
  if (request.after >= MOST) throw wrong(`Paging beyond the first ${MOST} results of a search is not possible`)
  const comparable = (name: string, value: string): Comparable => {
    const type = known.get(name)?.type
    if (type === 'number') return Number(value)
    return type === 'date' || type === 'datetime' ? (instant(value) ?? Number.NaN) : value.toLowerCase()
  }
  const groups = request.filterGroups.map(({ filters }) => filters.map((filter) => test(filter, comparable, wrong)))
  const found: { readonly item: Item; readonly shown: Pick<Item, 'values' | 'modified'> }[] = []
  for (const item of store.items[object]) {
    const shown = store.indexed(item)
    if (!shown || shown.archivedAt !== null) continue
    const read = (name: string) => store.read(item, name, shown) ?? ''
    if (request.query !== '' && !(shown.values.dealname ?? '').toLowerCase().includes(request.query.toLowerCase()))
      continue
    if (groups.length === 0 || groups.some((tests) => tests.every((one) => one(read)))) found.push({ item, shown })
  }
  const [sort] = request.sorts
  if (sort) {
    const sign = sort.direction === 'DESCENDING' ? -1 : 1
    const key = (one: (typeof found)[number]) =>
      comparable(sort.propertyName, store.read(one.item, sort.propertyName, one.shown) ?? '')
    const keyed = found.map((one) => ({ one, key: key(one) }))
    keyed.sort((a, b) => sign * (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    found.splice(0, found.length, ...keyed.map(({ one }) => one))
  }
  const end = Math.min(request.after + request.limit, MOST)
  const page = found.slice(request.after, end)
  const results = page.map(({ item, shown }) => shape(store, item, request.properties, [], shown))
  const paging = found.length > end ? { paging: { next: { after: String(end) } } } : {}
  return { status: 200, body: { total: found.length, results, ...paging } }
}

function test(
  filter: Filter,
  comparable: (name: string, value: string) => Comparable,
  wrong: (text: string) => Error,
): Test {
  const { propertyName: name, operator } = filter
  const operand = (value: string | undefined) => {
    const compared = value === undefined ? Number.NaN : comparable(name, value)
    if (Number.isNaN(compared)) throw wrong(`Invalid value for ${name} ${operator}: ${value ?? '(none)'}`)
    return compared
  }
  if (operator === 'HAS_PROPERTY') return (read) => read(name) !== ''
  if (operator === 'NOT_HAS_PROPERTY') return (read) => read(name) === ''
  if (operator === 'IN' || operator === 'NOT_IN') {
    if (!filter.values?.length) throw wrong(`${operator} needs values`)
    const wanted = new Set(filter.values.map(operand))
    return (read) => wanted.has(comparable(name, read(name))) === (operator === 'IN')
  }
  if (operator === 'CONTAINS_TOKEN' || operator === 'NOT_CONTAINS_TOKEN') {
    const tokens = (value: string) => value.toLowerCase().split(/[^\p{L}\p{N}*]+/u)
    const wanted = tokens(filter.value ?? '').map((token) => new RegExp(`^${token.replaceAll('*', '.*')}$`))
    return (read) =>
      wanted.every((token) => tokens(read(name)).some((one) => token.test(one))) === (operator === 'CONTAINS_TOKEN')
  }
  const low = operand(filter.value)
  const high = operator === 'BETWEEN' ? operand(filter.highValue) : low
  return (read) => {
    const value = read(name)
    if (value === '') return operator === 'NEQ'
    const is = comparable(name, value)
    if (operator === 'EQ' || operator === 'NEQ') return (is === low) === (operator === 'EQ')
    if (operator === 'LT' || operator === 'LTE') return is < low || (operator === 'LTE' && is === low)
    if (operator === 'BETWEEN') return is >= low && is <= high
    return is > low || (operator === 'GTE' && is === low)
  }
}
