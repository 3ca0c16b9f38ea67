// The search endpoint: filter groups, one sort, 10,000 results at most, and an index that may lag behind the records.
import { z } from 'zod'
import type { Answer, Call } from '../kernel.ts'
import { shape } from './objects.ts'
import { instant, invalid, type ObjectType, parse } from './properties.ts'
import { type Item, modifiedAt, type Store } from './store.ts'

type Comparable = string | number
/** Each operator on a value that is set and the ones it is compared with; BETWEEN takes both ends. */
const OPERATORS: Readonly<Record<string, (value: Comparable, wanted: readonly Comparable[]) => boolean>> = {
  EQ: (value, [wanted]) => value === wanted,
  NEQ: (value, [wanted]) => value !== wanted,
  LT: (value, [wanted = '']) => value < wanted,
  LTE: (value, [wanted = '']) => value <= wanted,
  GT: (value, [wanted = '']) => value > wanted,
  GTE: (value, [wanted = '']) => value >= wanted,
  BETWEEN: (value, [low = '', high = '']) => value >= low && value <= high,
  IN: (value, wanted) => wanted.includes(value),
  NOT_IN: (value, wanted) => !wanted.includes(value),
  HAS_PROPERTY: () => true,
  NOT_HAS_PROPERTY: () => false,
}
const OF_UNSET = ['NEQ', 'NOT_IN', 'NOT_HAS_PROPERTY']

const text = z.union([z.string(), z.number(), z.boolean()]).transform(String)
const Filter = z.object({
  propertyName: z.string(),
  operator: z.enum(Object.keys(OPERATORS)),
  value: text.optional(),
  highValue: text.optional(),
  values: z.array(text).min(1).optional(),
})
const Sort = z.union([
  z.string().transform((propertyName) => ({ propertyName, direction: 'ASCENDING' })),
  z.object({ propertyName: z.string(), direction: z.enum(['ASCENDING', 'DESCENDING']).default('ASCENDING') }),
])
const Group = z.object({ filters: z.array(Filter).min(1).max(6) })
/** Strict, so that a search by `query`, which this portal cannot do, is refused and not taken for a search for all. */
const Search = z.strictObject({
  filterGroups: z.array(Group).max(5).default([]),
  sorts: z.array(Sort).max(1).default([]),
  properties: z.array(z.string()).default([]),
  limit: z.int().min(1).max(200).default(10),
  after: z.coerce.number().int().nonnegative().default(0),
})
const MOST = 10_000
/** Without detour over text, so that a million deals can be searched again and again. */
const QUICK: Readonly<Record<string, (item: Item, store: Store) => number>> = {
  hs_object_id: ({ id }) => Number(id),
  hs_lastmodifieddate: modifiedAt,
}

export function search(store: Store, object: ObjectType, call: Call): Answer {
  const { filterGroups, sorts, properties, limit, after } = parse(Search, call)
  const known = store.properties[object]
  const filters = filterGroups.flatMap((group) => group.filters)
  for (const { propertyName } of [...filters, ...sorts])
    if (!known.has(propertyName)) throw invalid(`Property ${propertyName} does not exist`)
  if (filters.length > 18) throw invalid('Too many filters: at most 18 in all')
  if (after >= MOST) throw invalid(`Paging beyond the first ${MOST} results of a search is not possible`)

  const comparable = (name: string, value: string): Comparable => {
    const type = known.get(name)?.type
    if (type === 'number') return Number(value)
    return type === 'date' || type === 'datetime' ? instant(value) : value.toLowerCase()
  }
  const test = ({ propertyName: name, operator, value, highValue, values }: z.infer<typeof Filter>) => {
    const ends = operator === 'BETWEEN' ? [value, highValue] : [value]
    const given = operator.endsWith('HAS_PROPERTY') ? [] : operator.endsWith('IN') ? (values ?? [undefined]) : ends
    const wanted = given.map((one) => (one === undefined ? Number.NaN : comparable(name, one)))
    if (wanted.some(Number.isNaN)) throw invalid(`Invalid value for ${name} ${operator}`)
    const [quick, compare] = [QUICK[name], OPERATORS[operator]]
    if (quick && compare) return (item: Item) => compare(quick(item, store), wanted)
    return (item: Item) => {
      const is = store.read(item, name) ?? ''
      return is === '' ? OF_UNSET.includes(operator) : (OPERATORS[operator]?.(comparable(name, is), wanted) ?? false)
    }
  }
  const groups = filterGroups.map((group) => group.filters.map(test))
  const matches = (item: Item) => groups.length === 0 || groups.some((tests) => tests.every((one) => one(item)))
  // They lie in the order of their ids: what is asked for behind one need not be looked for before it.
  const behind = filters.find((one) => one.propertyName === 'hs_object_id' && one.operator === 'GT')
  const found: Item[] = []
  for (const item of store.after(object, Number((filterGroups.length === 1 && behind?.value) || 0))) {
    const shown = store.indexed(item)
    if (shown?.archived === null && matches(shown)) found.push(shown)
  }
  const [sort] = sorts
  if (sort?.propertyName === 'hs_object_id') {
    if (sort.direction === 'DESCENDING') found.reverse()
  } else if (sort) {
    const sign = sort.direction === 'DESCENDING' ? -1 : 1
    const keys = new Map(
      found.map((item) => [item, comparable(sort.propertyName, store.read(item, sort.propertyName) ?? '')]),
    )
    const key = (item: Item) => keys.get(item) ?? ''
    found.sort((a, b) => sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0))
  }
  const end = Math.min(after + limit, MOST)
  const results = found.slice(after, end).map((item) => shape(store, item, properties))
  const paging = found.length > end ? { paging: { next: { after: String(end) } } } : {}
  return { status: 200, body: { total: found.length, results, ...paging } }
}
