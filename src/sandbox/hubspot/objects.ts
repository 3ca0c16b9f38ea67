// The object endpoints of deals and tasks: list, one, batch read, create, update, archive, with the documented limits,
// per-record errors (207) and refusals of the whole batch (400).
import { z } from 'zod'
import { type Answer, type Call, Refused, type Route } from '../kernel.ts'
import { checkValue, failure, invalid, type ObjectType, type Problem, parse } from './properties.ts'
import type { Item, Store } from './store.ts'

const values = z.record(z.string(), z.string())
const names = z.array(z.string()).default([])
const Association = z.object({
  to: z.object({ id: z.string() }),
  types: z.array(z.object({ associationCategory: z.string(), associationTypeId: z.int() })),
})
const Update = z.object({
  id: z.string().default(''),
  idProperty: z.string().optional(),
  properties: values,
  objectWriteTraceId: z.string().optional(),
})
const Create = Update.extend({ associations: z.array(Association).default([]) })
type Input = z.infer<typeof Create>
const Read = z.object({
  inputs: z.array(z.object({ id: z.string() })),
  idProperty: z.string().optional(),
  properties: names,
  propertiesWithHistory: names,
})

/** SPEC `StandardError` of one record. `alone`: reported for itself even where the inputs carry no trace ids. */
interface Failed {
  readonly status: number
  readonly category: string
  readonly message: string
  readonly errors?: readonly object[]
  readonly context?: Readonly<Record<string, readonly string[]>>
  readonly alone?: boolean
}
type Planned = { readonly failed: Failed } | { readonly apply: () => Item }

const ALWAYS = { deals: ['createdate'], tasks: ['hs_createdate'] }
const DEFAULTS = { deals: ['amount', 'closedate', 'dealname', 'dealstage', 'pipeline'], tasks: [] }
/** Associations: task -> deal (HubSpot/hubspot-api-nodejs, AssociationTypes.js). */
export const TASK_TO_DEAL = 216
export const DEAL_TO_TASK = 215

export const now = (store: Store) => new Date(store.kernel.now()).toISOString()
export const body = (call: Call): unknown => {
  if (!/^application\/json\b/.test(call.headers['content-type'] ?? ''))
    throw new Refused(failure(415, 'VALIDATION_ERROR', 'Unsupported Media Type: send application/json'))
  try {
    return JSON.parse(call.body)
  } catch {
    throw new Refused(failure(400, 'VALIDATION_ERROR', 'Invalid input JSON on line 1, column 1: not JSON'))
  }
}

/** SPEC `SimplePublicObject`. Names that do not exist are left out, as HubSpot does. */
export function shape(
  store: Store,
  item: Item,
  wanted: readonly string[],
  history: readonly string[],
  shown?: Pick<Item, 'values' | 'modified'>,
) {
  const { object } = item
  const asked = wanted.length > 0 ? wanted : [...DEFAULTS[object], ...history]
  const known = store.properties[object]
  const properties: Record<string, string | null> = {}
  for (const name of [...asked, ...ALWAYS[object], 'hs_lastmodifieddate', 'hs_object_id'])
    if (known.has(name)) properties[name] = store.read(item, name, shown) ?? null
  const versions = history.filter((name) => known.has(name)).map((name) => [name, past(store, item, name)])
  return {
    id: item.id,
    properties,
    ...(history.length > 0 ? { propertiesWithHistory: Object.fromEntries(versions) } : {}),
    createdAt: new Date(item.created).toISOString(),
    updatedAt: store.read(item, 'hs_lastmodifieddate'),
    archived: item.archivedAt !== null,
    ...(item.archivedAt === null ? {} : { archivedAt: new Date(item.archivedAt).toISOString() }),
  }
}
const past = (store: Store, item: Item, name: string) =>
  store
    .versions(item, name)
    .slice(0, 20)
    .map(({ timestamp, ...version }) => {
      const known = Object.entries(version).filter(([, value]) => value !== null)
      return { ...Object.fromEntries(known), timestamp: new Date(timestamp).toISOString() }
    })

/** Values as they will be stored, or what is wrong with them. */
function check(store: Store, object: ObjectType, input: Readonly<Record<string, string>>, item?: Item) {
  const problems: Problem[] = []
  const clean: Record<string, string> = {}
  for (const [name, value] of Object.entries(input)) {
    const checked = checkValue(store.properties[object].get(name), name, value)
    if (typeof checked === 'string') clean[name] = checked
    else problems.push(checked)
  }
  const placed = { values: { ...item?.values, ...clean } }
  if ((clean.dealstage || clean.pipeline) && !store.stage(placed))
    problems.push({ name: 'dealstage', error: 'INVALID_OPTION', message: 'not a stage of the pipeline of the deal' })
  if (problems.length > 0) return { failed: { status: 400, category: 'VALIDATION_ERROR', ...invalid(problems) } }
  for (const [name, value] of Object.entries(clean)) {
    const holder = value === '' ? undefined : store.holder(name, value)
    if (object !== 'tasks' || holder === undefined || holder === item?.id) continue
    const message = `Cannot set PropertyValueCoordinates{propertyName=${name}, value=${value}}. ${holder} already has that value.`
    const errors = [{ message, code: 'CONFLICTING_UNIQUE_VALUE', context: { propertyName: [name] } }]
    return { failed: { status: 409, category: 'CONFLICT', message, errors } }
  }
  return { clean }
}

function update(store: Store, object: ObjectType, input: Input): Planned {
  const item = find(store, object, input.id, input.idProperty)
  if (!item) return { failed: missing(object, [input.id]) }
  const checked = check(store, object, input.properties, item)
  if (checked.failed) return { failed: checked.failed }
  const { clean } = checked
  return {
    apply: () => {
      const before = pick(item, clean)
      const status = clean.hs_task_status
      const completed =
        status === undefined ? {} : { hs_task_completion_date: status === 'COMPLETED' ? now(store) : '' }
      store.change(item, { ...clean, ...(object === 'tasks' ? completed : {}) }, 'self', store.kernel.now())
      if (object === 'tasks') store.touchDeals(item)
      store.kernel.record({ object: object.slice(0, -1), id: item.id, before, after: pick(item, clean) })
      return item
    },
  }
}
const NEW: Readonly<Record<ObjectType, Readonly<Record<string, string>>>> = {
  deals: {},
  tasks: { hs_task_status: 'NOT_STARTED', hs_task_priority: 'NONE', hs_task_type: 'TODO' },
}
const upper = (object: ObjectType) => object.slice(0, -1).toUpperCase()
const pick = (item: Item, of: object) =>
  Object.fromEntries(Object.keys(of).map((name) => [name, item.values[name] || null]))

function create(store: Store, object: ObjectType, input: Input): Planned {
  const checked = check(store, object, input.properties)
  if (checked.failed) return { failed: checked.failed }
  const needed = object === 'tasks' ? ['hs_timestamp'] : ['pipeline', 'dealstage']
  const unset = needed.filter((name) => !checked.clean[name])
  if (unset.length > 0) {
    const message = `Error creating ${upper(object)}. Some required properties were not set.`
    const errors = [{ message, code: 'MISSING_REQUIRED_PROPERTY', context: { properties: unset } }]
    return { failed: { status: 400, category: 'VALIDATION_ERROR', message, errors } }
  }
  for (const { to, types } of input.associations) {
    if (
      !types.some((type) => type.associationTypeId === TASK_TO_DEAL && type.associationCategory === 'HUBSPOT_DEFINED')
    )
      return {
        failed: {
          status: 400,
          category: 'VALIDATION_ERROR',
          message: `not an association of a task and a deal: ${JSON.stringify(types)}`,
        },
      }
    if (!store.live('deals', to.id)) return { failed: missing('deals', [to.id]) }
  }
  const after = { ...NEW[object], ...checked.clean }
  return {
    apply: () => {
      const item = store.create(
        object,
        { ...after },
        input.associations.map(({ to }) => to.id),
      )
      const dealId = object === 'tasks' ? { dealId: [...item.linked][0] ?? null } : {}
      store.kernel.record({ object: object.slice(0, -1), id: item.id, before: null, after: { ...after, ...dealId } })
      return item
    },
  }
}

const missing = (object: ObjectType, ids: readonly string[]): Failed => ({
  status: 404,
  category: 'OBJECT_NOT_FOUND',
  message: `Could not get some ${upper(object)} objects, they may be deleted or not exist. Check that ids are valid.`,
  context: { ids },
  alone: true,
})
function find(store: Store, object: ObjectType, id: string, idProperty?: string): Item | undefined {
  if (idProperty === undefined || idProperty === 'hs_object_id') return store.live(object, id)
  if (!store.properties[object].get(idProperty)?.hasUniqueValue)
    throw new Refused(
      failure(400, 'VALIDATION_ERROR', `idProperty ${idProperty} is not a unique property of ${object}`),
    )
  return store.live(object, store.holder(idProperty, id) ?? '')
}
const refused = ({ status, alone: _, ...failed }: Failed) => failure(status, failed.category, failed.message, failed)
const limited = (inputs: readonly unknown[], most: number) => {
  if (inputs.length === 0 || inputs.length > most)
    throw new Refused(
      failure(
        400,
        'VALIDATION_ERROR',
        `The maximum number of inputs supported in a batch request is ${most}; found ${inputs.length}`,
      ),
    )
}

/** All inputs are judged before any is applied. Without unique trace ids one wrong row refuses the whole batch. */
function batch(
  store: Store,
  call: Call,
  inputs: readonly Input[],
  plan: (input: Input) => Planned,
  done: number,
): Answer {
  limited(inputs, 100)
  const keys = inputs.map((input) => input.id || JSON.stringify(input.properties))
  const bad = call.bad(keys)
  const traces = new Set(inputs.map((input) => input.objectWriteTraceId ?? ''))
  const traced = !traces.has('') && traces.size === inputs.length
  const rule = invalid([
    { name: 'dealname', error: 'CONDITIONAL_REQUIRED', message: 'A rule of this account is not met (sandbox fault)' },
  ])
  const broken: Failed = { status: 400, category: 'VALIDATION_ERROR', ...rule }
  if (keys.some((key) => bad.whole.has(key))) throw new Refused(refused(broken))
  const duplicate = inputs.find((input, index) => input.id !== '' && keys.indexOf(input.id) !== index)
  if (duplicate)
    throw new Refused(
      failure(400, 'VALIDATION_ERROR', `Duplicate IDs found in batch input: [${duplicate.id}]. IDs must be unique`),
    )
  const unique = new Set<string>()
  const planned = inputs.map((input, index): Planned => {
    if (bad.each.has(keys[index] ?? '')) return { failed: { ...broken, alone: input.id !== '' } }
    const twice = claims(store, input).find((claim) => unique.has(claim))
    for (const claim of claims(store, input)) unique.add(claim)
    if (twice) return { failed: { status: 409, category: 'CONFLICT', message: `${twice} is twice in this batch` } }
    return plan(input)
  })
  const failures = planned.flatMap((one) => ('failed' in one ? one.failed : []))
  const fatal = failures.find((failed) => !traced && !failed.alone)
  if (fatal) throw new Refused(refused(fatal))
  const results: object[] = []
  const errors: object[] = []
  for (const [index, one] of planned.entries()) {
    const { id, objectWriteTraceId: trace } = inputs[index] ?? { id: '' }
    if ('apply' in one) {
      const item = one.apply()
      results.push({
        ...shape(store, item, Object.keys(inputs[index]?.properties ?? {}), []),
        ...(trace ? { objectWriteTraceId: trace } : {}),
      })
    } else {
      const { status: _status, alone: _alone, context, ...failed } = one.failed
      const marks = { ...context, ...(id ? { ids: [id] } : {}), ...(trace ? { objectWriteTraceId: [trace] } : {}) }
      errors.push({ status: 'error', errors: [], links: {}, ...failed, context: marks })
    }
  }
  return answered(store, results, errors, done)
}
const claims = (store: Store, input: Input) =>
  Object.entries(input.properties)
    .filter(([name, value]) => value !== '' && store.properties.tasks.get(name)?.hasUniqueValue)
    .map((pair) => pair.join('='))

/** SPEC `BatchResponse…`; 207 where some records failed. */
export function answered(store: Store, results: readonly object[], errors: readonly object[], done = 200): Answer {
  const common = { status: 'COMPLETE', results, startedAt: now(store), completedAt: now(store) }
  if (errors.length === 0) return { status: done, body: common }
  return { status: 207, body: { ...common, numErrors: errors.length, errors } }
}

function read(store: Store, object: ObjectType, call: Call): Answer {
  const request = parse(Read, body(call))
  limited(request.inputs, request.propertiesWithHistory.length > 0 ? 50 : 100)
  const lost: string[] = []
  const results = new Map<string, object>()
  for (const { id } of request.inputs) {
    const item = find(store, object, id, request.idProperty)
    if (item) results.set(item.id, shape(store, item, request.properties, request.propertiesWithHistory))
    else lost.push(id)
  }
  const { status: _status, alone: _alone, ...failed } = missing(object, lost)
  return answered(
    store,
    [...results.values()],
    lost.length > 0 ? [{ status: 'error', errors: [], links: {}, ...failed }] : [],
  )
}

function list(store: Store, object: ObjectType, call: Call): Answer {
  const asked = (name: string) =>
    call.query
      .getAll(name)
      .flatMap((text) => text.split(','))
      .filter((text) => text !== '')
  const history = asked('propertiesWithHistory')
  const most = history.length > 0 ? 50 : 100
  const limit = Number(call.query.get('limit') ?? 10)
  if (!Number.isInteger(limit) || limit < 1 || limit > most)
    throw new Refused(failure(400, 'VALIDATION_ERROR', `limit must be between 1 and ${most}`))
  const archived = call.query.get('archived') === 'true'
  const after = Number(call.query.get('after') ?? 0)
  if (Number.isNaN(after)) throw new Refused(failure(400, 'VALIDATION_ERROR', 'after is not a cursor of this endpoint'))
  const page: Item[] = []
  for (const item of store.after(object, after)) {
    if ((item.archivedAt !== null) !== archived) continue
    if (page.length === limit) {
      const next = page.at(-1)?.id ?? ''
      const link = new URL(`${call.origin}${call.path}?${call.query}`)
      link.searchParams.set('after', next)
      return { status: 200, body: { results: shaped(), paging: { next: { after: next, link: link.href } } } }
    }
    page.push(item)
  }
  return { status: 200, body: { results: shaped() } }
  function shaped() {
    return page.map((item) => shape(store, item, asked('properties'), history))
  }
}

export function archive(store: Store, object: ObjectType, id: string): void {
  const item = store.live(object, id)
  if (!item) return
  store.kernel.record({ object: object.slice(0, -1), id, before: { ...item.values }, after: null })
  store.archive(item)
}

/** Routes below `/crm/objects/<version>/<object>`; search is in search.ts. */
export function objectRoutes(store: Store, root: string, object: ObjectType): Route[] {
  const one = (call: Call) => {
    const item = store.live(object, call.params.id ?? '')
    if (!item) throw new Refused(failure(404, 'OBJECT_NOT_FOUND', 'Object not found. objectId are usually numeric.'))
    return item
  }
  const route = (method: string, path: string, handle: (call: Call) => Answer): Route => ({
    method,
    template: root + path,
    handle,
  })
  const Inputs = z.object({ inputs: z.array(Create) })
  return [
    route('GET', '', (call) => list(store, object, call)),
    route('POST', '/batch/read', (call) => read(store, object, call)),
    route('POST', '/batch/update', (call) =>
      batch(store, call, parse(Inputs, body(call)).inputs, (input) => update(store, object, input), 200),
    ),
    route('POST', '/batch/create', (call) => {
      const inputs = parse(Inputs, body(call)).inputs.map((input) => ({ ...input, id: '' }))
      return batch(store, call, inputs, (input) => create(store, object, input), 201)
    }),
    route('POST', '/batch/archive', (call) => {
      const { inputs } = parse(z.object({ inputs: z.array(z.object({ id: z.string() })) }), body(call))
      limited(inputs, 100)
      for (const { id } of inputs) archive(store, object, id)
      return { status: 204 }
    }),
    route('GET', '/{id}', (call) => {
      const asked = (name: string) => (call.query.get(name) ?? '').split(',').filter((text) => text !== '')
      return { status: 200, body: shape(store, one(call), asked('properties'), asked('propertiesWithHistory')) }
    }),
    route('PATCH', '/{id}', (call) => {
      const input = { ...parse(Update, body(call)), id: one(call).id, associations: [] }
      const answer = batch(store, call, [input], (only) => update(store, object, only), 200)
      const wrong = answer.status === 207
      if (wrong)
        throw new Refused(failure(400, 'VALIDATION_ERROR', 'A rule of this account is not met (sandbox fault)'))
      return { status: 200, body: shape(store, one(call), Object.keys(input.properties), []) }
    }),
    route('DELETE', '/{id}', (call) => {
      archive(store, object, one(call).id)
      return { status: 204 }
    }),
  ]
}
