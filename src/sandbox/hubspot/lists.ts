// Segments of deals (the API calls them lists), as far as setup needs them: made with a filter over yes/no properties,
// read by name, deleted. Who is in one is not played.
import { z } from 'zod'
import type { Answer, Call } from '../kernel.ts'
import { Failed, invalid, parse } from './properties.ts'
import type { Store } from './store.ts'

const Bool = z.strictObject({
  operationType: z.literal('BOOL'),
  operator: z.enum(['IS_EQUAL_TO', 'IS_NOT_EQUAL_TO']),
  value: z.boolean(),
  includeObjectsWithNoValueSet: z.boolean().default(false),
})
const branch = <T extends z.ZodType, F extends z.ZodType>(kind: 'OR' | 'AND', branches: T, filters: F) =>
  z.strictObject({
    ...{ filterBranchType: z.literal(kind), filterBranchOperator: z.literal(kind) },
    ...{ filterBranches: branches, filters },
  })
const Filter = z.strictObject({ filterType: z.literal('PROPERTY'), property: z.string(), operation: Bool })
const And = branch('AND', z.tuple([]), z.array(Filter).min(1))
/** SPEC `ListCreateRequest`; the outermost branch is OR, with AND branches in it. */
const ListCreate = z.strictObject({
  name: z.string().min(1),
  objectTypeId: z.literal('0-3'),
  processingType: z.literal('DYNAMIC'),
  filterBranch: branch('OR', z.array(And).min(1), z.tuple([])),
})
export type Segment = z.infer<typeof ListCreate>

/** Handlers below `/crm/lists/<version>`. */
export function lists(store: Store): Readonly<Record<string, (call: Call) => Answer>> {
  const { segments, kernel } = store
  const shown = (listId: string, { filterBranch, ...list }: Segment, filters: boolean) => {
    const state = { listId, listVersion: 1, processingStatus: 'COMPLETE', ...list }
    return { status: 200, body: { list: filters ? { ...state, filterBranch } : state } }
  }
  const missing = (what: string) => new Failed(404, 'OBJECT_NOT_FOUND', `List does not exist: ${what}`)
  return {
    'POST ': (call) => {
      const list = parse(ListCreate, call)
      if ([...segments.values()].some(({ name }) => name === list.name)) throw invalid(`A list '${list.name}' exists.`)
      for (const { property } of list.filterBranch.filterBranches.flatMap(({ filters }) => filters))
        if (store.properties.deals.get(property)?.type !== 'bool') throw invalid(`No yes/no property ${property}`)
      const id = String(Number([...segments.keys()].at(-1) ?? 900) + 1)
      segments.set(id, list)
      kernel.record({ object: 'list', id, before: null, after: list })
      return shown(id, list, true)
    },
    'GET /object-type-id/0-3/name/{name}': ({ params: { name = '' }, query }) => {
      const [id, list] = [...segments].find(([, one]) => one.name === name) ?? []
      if (id === undefined || list === undefined) throw missing(name)
      return shown(id, list, query.get('includeFilters') === 'true')
    },
    'DELETE /{id}': ({ params: { id = '' } }) => {
      const list = segments.get(id)
      if (!list) throw missing(id)
      segments.delete(id)
      kernel.record({ object: 'list', id, before: list, after: null })
      return { status: 204 }
    },
  }
}
