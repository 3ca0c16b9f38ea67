// The object endpoints of deals and tasks: list, one, batch read, create, update, archive, with the documented limits,
// per-record errors (207) and refusals of the whole batch (400).
import { z } from 'zod'
import type { Answer, Call } from '../kernel.ts'
import { checked, Failed, invalid, type ObjectType, parse } from './properties.ts'
import { type Item, iso, type Store } from './store.ts'

/** Association types task -> deal and back (HubSpot/hubspot-api-nodejs, AssociationTypes.js). */
export const TASK_TO_DEAL = 216
export const DEAL_TO_TASK = 215

const Association = z.object({
  to: z.object({ id: z.string() }),
  types: z.array(z.object({ associationCategory: z.string(), associationTypeId: z.int() })),
})
const Row = z.object({
  id: z.string().default(''),
  properties: z.record(z.string(), z.string()),
  objectWriteTraceId: z.string().default(''),
  associations: z.array(Association).default([]),
})
type Row = z.infer<typeof Row>
const Rows = z.object({ inputs: z.array(Row) })
export const Ids = z.object({ inputs: z.array(z.object({ id: z.string() })) })
const names = z.array(z.string()).default([])
const Read = Ids.extend({ idProperty: z.string().optional(), properties: names, propertiesWithHistory: names })

const OF = {
  deals: {
    shown: ['createdate', 'hs_lastmodifieddate', 'hs_object_id'],
    unasked: ['amount', 'closedate', 'dealname', 'dealstage', 'pipeline'],
    required: ['pipeline', 'dealstage'],
    initial: {},
  },
  tasks: {
    shown: ['hs_createdate', 'hs_lastmodifieddate', 'hs_object_id'],
    unasked: [],
    required: ['hs_timestamp'],
    initial: { hs_task_status: 'NOT_STARTED', hs_task_priority: 'NONE', hs_task_type: 'TODO' },
  },
}

/** SPEC `SimplePublicObject`. Names that do not exist are left out, as HubSpot does. */
export function shape(store: Store, item: Item, properties: readonly string[], history: readonly string[] = []) {
  const { shown, unasked } = OF[item.object]
  const asked = properties.length > 0 ? properties : [...unasked, ...history]
  const known = (all: readonly string[]) => all.filter((name) => store.properties[item.object].has(name))
  const past = (name: string) =>
    store
      .versions(item, name)
      .slice(0, 20)
      .map(({ timestamp: at, ...version }) => ({ ...version, timestamp: iso(at) }))
  return {
    id: item.id,
    properties: Object.fromEntries(known([...asked, ...shown]).map((name) => [name, store.read(item, name) ?? null])),
    ...(history.length > 0 && {
      propertiesWithHistory: Object.fromEntries(known(history).map((name) => [name, past(name)])),
    }),
    createdAt: iso(item.created),
    updatedAt: store.read(item, 'hs_lastmodifieddate'),
    archived: item.archived !== null,
    ...(item.archived === null ? {} : { archivedAt: iso(item.archived) }),
  }
}

/** SPEC `BatchResponse…`; 207 where some records failed. */
export function answered(store: Store, results: readonly object[], errors: readonly object[] = [], status = 200) {
  const now = iso(store.kernel.now())
  const body = { status: 'COMPLETE', results, startedAt: now, completedAt: now }
  return errors.length === 0 ? { status, body } : { status: 207, body: { ...body, numErrors: errors.length, errors } }
}

export function atMost(limit: number, inputs: readonly unknown[]): void {
  if (inputs.length === 0 || inputs.length > limit)
    throw invalid(`The maximum number of inputs supported in a batch request is ${limit}; found ${inputs.length}`)
}
function missing(object: ObjectType, ids: readonly string[]): Failed {
  const some = `Could not get some ${object.slice(0, -1).toUpperCase()} objects`
  const message = `${some}, they may be deleted or not exist. Check that ids are valid.`
  return new Failed(404, 'OBJECT_NOT_FOUND', message, { context: { ids } })
}
const RULE = 'A rule of this account is not met (sandbox fault)'
const brokenRule = () => invalid(RULE, [{ message: RULE, code: 'CONDITIONAL_REQUIRED' }])

/** Judges rows one by one, by each other too; what it returns applies the row. Throws Failed with all that is wrong. */
function judge(store: Store, object: ObjectType, creates: boolean): (row: Row) => () => Item {
  const properties = store.properties[object]
  const unique = [...properties.values()].filter((property) => property.hasUniqueValue)
  const claims = (values: Readonly<Record<string, string>>) =>
    unique.flatMap(({ name }) => (values[name] ? `propertyName=${name}, value=${values[name]}` : []))
  const live = unique.length > 0 ? store.items[object].filter((item) => item.archived === null) : []
  const holders = new Map(live.flatMap((item) => claims(item.values).map((claim) => [claim, item.id])))
  return (row) => {
    const item = creates ? undefined : store.live(object, row.id)
    if (!creates && !item) throw missing(object, [row.id])
    const clean: Record<string, string> = {}
    const listed: object[] = []
    const errors: object[] = []
    const wrong = (name: string, code: string, message: string) => {
      listed.push({ isValid: false, message, error: code, name })
      errors.push({ message, code, context: { propertyName: [name] } })
    }
    for (const [name, value] of Object.entries(row.properties)) {
      const found = checked(properties.get(name), name, value)
      if (typeof found === 'string') clean[name] = found
      else wrong(name, ...found)
    }
    if ((clean.dealstage || clean.pipeline) && !store.stage({ values: { ...item?.values, ...clean } }))
      wrong('dealstage', 'INVALID_OPTION', 'not a stage of the pipeline of the deal')
    if (errors.length > 0) throw invalid(`Property values were not valid: ${JSON.stringify(listed)}`, errors)
    const unset = creates ? OF[object].required.filter((name) => !clean[name]) : []
    if (unset.length > 0) {
      const message = `Error creating ${object}. Some required properties were not set.`
      throw invalid(message, [{ message, code: 'MISSING_REQUIRED_PROPERTY', context: { properties: unset } }])
    }
    for (const { to, types } of row.associations) {
      if (!types.some((one) => one.associationTypeId === TASK_TO_DEAL && one.associationCategory === 'HUBSPOT_DEFINED'))
        throw invalid(`not an association of a task and a deal: ${JSON.stringify(types)}`)
      if (!store.live('deals', to.id)) throw missing('deals', [to.id])
    }
    for (const claim of claims(clean)) {
      const holder = holders.get(claim) ?? item?.id
      const message = `Cannot set PropertyValueCoordinates{${claim}}. ${holder} already has that value.`
      if (holder !== item?.id) throw new Failed(409, 'CONFLICT', message)
      holders.set(claim, item?.id ?? 'another row of this batch')
    }
    return () => {
      if (item) return store.change(item, clean, 'self', store.kernel.now())
      const deals = row.associations.map(({ to }) => to.id)
      return store.create(object, { ...OF[object].initial, ...clean }, deals)
    }
  }
}

/** All inputs are judged before any is applied. Without unique trace ids one wrong row refuses the whole batch, but an id
 *  that does not exist only itself. */
function write(store: Store, object: ObjectType, call: Call, creates: boolean): Answer {
  const { inputs } = parse(Rows, call)
  atMost(100, inputs)
  const keys = inputs.map(({ id, properties }) => (creates ? JSON.stringify(properties) : id))
  const bad = call.bad(keys)
  if (keys.some((key) => bad.whole.has(key))) throw brokenRule()
  if (!creates && new Set(keys).size < keys.length)
    throw invalid('Duplicate IDs found in batch input: IDs must be unique')
  const traces = new Set(inputs.map((input) => input.objectWriteTraceId))
  const traced = !traces.has('') && traces.size === inputs.length
  const plan = judge(store, object, creates)
  const results: object[] = []
  const errors: object[] = []
  const applies = inputs.map((row, index) => {
    const struck = bad.each.has(keys[index] ?? '')
    const { objectWriteTraceId: trace } = row
    try {
      if (struck) throw brokenRule()
      const apply = plan(row)
      const mark = trace && { objectWriteTraceId: trace }
      return () => results.push({ ...shape(store, apply(), Object.keys(row.properties)), ...mark })
    } catch (failed) {
      if (!(failed instanceof Failed)) throw failed
      if (!traced && failed.answer.status !== 404 && (creates || !struck)) throw failed
      errors.push(
        batchError(failed, { ...(!creates && { ids: [row.id] }), ...(trace && { objectWriteTraceId: [trace] }) }),
      )
      return () => {}
    }
  })
  for (const apply of applies) apply()
  return answered(store, results, errors, creates ? 201 : 200)
}
/** An error in the answer of a batch: SPEC `StandardError`. */
export const batchError = ({ error: { correlationId: _, ...error } }: Failed, marks: object = {}) => ({
  ...{ errors: [], links: {}, ...error },
  context: { ...error.context, ...marks },
})

function read(store: Store, object: ObjectType, call: Call): Answer {
  const { inputs, idProperty, properties, propertiesWithHistory: history } = parse(Read, call)
  atMost(history.length > 0 ? 50 : 100, inputs)
  if (idProperty && !store.properties[object].get(idProperty)?.hasUniqueValue)
    throw invalid(`idProperty ${idProperty} is not a unique property of ${object}`)
  const ids = new Set(inputs.map(({ id }) => id))
  const found = idProperty
    ? store.items[object].filter((item) => item.archived === null && ids.delete(item.values[idProperty] ?? ''))
    : [...ids].flatMap((id) => store.live(object, id) ?? [])
  for (const { id } of found) ids.delete(id)
  const results = found.map((item) => shape(store, item, properties, history))
  return answered(store, results, ids.size > 0 ? [batchError(missing(object, [...ids]))] : [])
}

const asked = ({ query }: Call, name: string) => query.getAll(name).flatMap((text) => text.split(',').filter(Boolean))

function list(store: Store, object: ObjectType, call: Call): Answer {
  const history = asked(call, 'propertiesWithHistory')
  const most = history.length > 0 ? 50 : 100
  const limit = Number(call.query.get('limit') ?? 10)
  const after = Number(call.query.get('after') ?? 0)
  if (!(limit >= 1 && limit <= most)) throw invalid(`limit must be between 1 and ${most}`)
  if (Number.isNaN(after)) throw invalid('after is not a cursor of this endpoint')
  const archived = call.query.get('archived') === 'true'
  // One more than a page tells whether another one follows; a million deals are not copied for it.
  const shown = store.after(object, after).filter((item) => (item.archived !== null) === archived)
  const rest = shown.take(limit + 1).toArray()
  const page = rest.slice(0, limit)
  const results = page.map((item) => shape(store, item, asked(call, 'properties'), history))
  const paging = rest.length > limit ? { paging: { next: { after: page.at(-1)?.id } } } : {}
  return { status: 200, body: { results, ...paging } }
}

/** Handlers below `/crm/objects/<version>/<object>`; search is in search.ts. */
export function objects(store: Store): Readonly<Record<string, (call: Call, object: ObjectType) => Answer>> {
  const one = (call: Call, object: ObjectType) => {
    const item = store.live(object, call.params.id ?? '')
    if (!item) throw new Failed(404, 'OBJECT_NOT_FOUND', 'Object not found. objectId are usually numeric.')
    return item
  }
  return {
    'GET ': (call, object) => list(store, object, call),
    'POST /batch/read': (call, object) => read(store, object, call),
    'POST /batch/update': (call, object) => write(store, object, call, false),
    'POST /batch/create': (call, object) => write(store, object, call, true),
    'POST /batch/archive': (call, object) => {
      const { inputs } = parse(Ids, call)
      atMost(100, inputs)
      for (const item of inputs.flatMap(({ id }) => store.live(object, id) ?? [])) store.archive(item)
      return { status: 204 }
    },
    'GET /{id}': (call, object) => {
      const history = asked(call, 'propertiesWithHistory')
      return { status: 200, body: shape(store, one(call, object), asked(call, 'properties'), history) }
    },
    'PATCH /{id}': (call, object) => {
      const { id } = one(call, object)
      const row = { ...parse(Row, call), id }
      const bad = call.bad([id])
      if (bad.each.size + bad.whole.size > 0) throw brokenRule()
      return { status: 200, body: shape(store, judge(store, object, false)(row)(), Object.keys(row.properties)) }
    },
    'DELETE /{id}': (call, object) => {
      store.archive(one(call, object))
      return { status: 204 }
    },
  }
}
