// The REST endpoints under /services/data: query, describe, records one by one and in collections of 200.
import { z } from 'zod'
import type { Answer, Call, Kernel, Route } from '../kernel.ts'
import { type Org, refused, type Saved, type SaveError, type Saver } from './org.ts'
import { type Field, longId, type ObjectType, type Row, relationOf, stamp } from './schema.ts'
import { query, type Result } from './soql.ts'

const PAGE = { least: 200, most: 2000 }
const COLLECTION = 200
const RETRIEVE = 2000
/** Open query cursors kept; the oldest goes first. */
const CURSORS = 200
export const VERSIONS = { first: 31, last: 68 }

const Values = z.record(z.string(), z.unknown())
const Typed = z.object({ attributes: z.object({ type: z.string() }), id: z.string().optional() })
const Collection = z.object({ allOrNone: z.boolean().default(false), records: z.array(Values.and(Typed)) })
const Retrieve = z.object({ ids: z.array(z.string()), fields: z.array(z.string()) })

const ok = (body: unknown, status = 200): Answer => ({ status, body })
const notFound = () => refused(404, 'NOT_FOUND', 'The requested resource does not exist')
const tooMany = (max: number) =>
  refused(400, 'EXCEEDED_ID_LIMIT', `record limit reached. cannot submit more than ${max} records into this call`)
const refusedField = (type: ObjectType, name: string) =>
  refused(400, 'INVALID_FIELD', `No such column '${name}' on sobject of type ${type.name}`)
const LOST: SaveError = { statusCode: 'INVALID_CROSS_REFERENCE_KEY', message: 'invalid cross reference id', fields: [] }
const VALIDATION: SaveError = {
  statusCode: 'FIELD_CUSTOM_VALIDATION_EXCEPTION',
  message: 'Ask Sales Operations before changing this record.',
  fields: [],
}
const ROLLED_BACK: SaveError = {
  statusCode: 'ALL_OR_NONE_OPERATION_ROLLED_BACK',
  message: 'Record rolled back because not all records were valid and the request was using AllOrNone header',
  fields: [],
}

/** `usage`: API calls of the last 24 hours and their limit. */
export function restRoutes(org: Org, kernel: Kernel, usage: () => { used: number; max: number }): Route[] {
  const cursors = new Map<string, { result: Result; size: number }>()
  let opened = 0
  const saver = (): Saver => ({ user: org.apiUser, at: kernel.now(), stamp: kernel.now(), api: true })
  const typeOf = (call: Call): ObjectType => {
    const type = org.type(call.params.object ?? '')
    if (!type) throw notFound()
    return type
  }
  const writable = (type: ObjectType | undefined): ObjectType => {
    if (!type) throw refused(400, 'INVALID_TYPE', 'sObject type is not supported.')
    if (!type.writable)
      throw refused(400, 'INSUFFICIENT_ACCESS_OR_READONLY', `${type.name} does not support this operation`)
    return type
  }

  function page(call: Call, locator: string, offset: number): Answer {
    const { result, size } = cursors.get(locator) ?? {}
    if (!result || !size || !(offset < Math.max(1, result.records.length)))
      throw refused(400, 'INVALID_QUERY_LOCATOR', 'invalid query locator')
    const next = offset + size
    const done = next >= result.records.length
    const more = done ? {} : { nextRecordsUrl: `/services/data/${call.params.version}/query/${locator}-${next}` }
    const records = result.records.slice(offset, next).map((render) => render())
    return ok({ totalSize: result.totalSize, done, ...more, records })
  }
  function run(call: Call, all: boolean): Answer {
    const asked = Number(/batchSize=(\d+)/i.exec(call.headers['sforce-query-options'] ?? '')?.[1] ?? PAGE.most)
    const locator = longId(`01g5g0000${String(opened++).padStart(6, '0')}`)
    const result = query(org, call.query.get('q') ?? '', all, call.params.version ?? '')
    cursors.set(locator, { result, size: Math.min(PAGE.most, Math.max(PAGE.least, asked)) })
    const [oldest = ''] = cursors.keys()
    if (cursors.size > CURSORS) cursors.delete(oldest)
    return page(call, locator, 0)
  }

  function saveOne(call: Call, id: string | null): Answer {
    const type = writable(typeOf(call))
    if (id !== null) live(type, id)
    const saved = org.save(type, id, org.parse(type, parsed(Values, call), saver()), saver())
    if ('statusCode' in saved) throw refused(400, saved.statusCode, saved.message, saved.fields)
    return id === null ? ok({ id: saved.id, success: true, errors: [] }, 201) : { status: 204 }
  }
  function collection(call: Call): Answer {
    const { allOrNone, records } = parsed(Collection, call)
    if (records.length > COLLECTION) throw tooMany(COLLECTION)
    const chunks = records.filter((given, i) => given.attributes.type !== records[i - 1]?.attributes.type)
    if (chunks.length > 10)
      throw refused(400, 'LIMIT_EXCEEDED', 'Cannot have more than 10 chunks in a single operation.')
    const items = records.map((given) => {
      const type = writable(org.type(given.attributes.type))
      const id = call.method === 'PATCH' ? given.id : null
      if (id === undefined) throw refused(400, 'MISSING_ARGUMENT', 'Id not specified in an update call')
      return { type, id, row: org.parse(type, given, saver()) }
    })
    const keys = items.map(({ id, row }, i) => id ?? String(row.Unstall_Key__c ?? row.WhatId ?? i))
    return settle(call, keys, allOrNone, (i, dry) => {
      const item = items[i]
      return item ? org.save(item.type, item.id, item.row, saver(), dry) : LOST
    })
  }
  function remove(call: Call): Answer {
    const ids = (call.query.get('ids') ?? '').split(',').filter((id) => id !== '')
    if (ids.length > COLLECTION) throw tooMany(COLLECTION)
    return settle(call, ids, call.query.get('allOrNone') === 'true', (i, dry) => {
      const id = ids[i] ?? ''
      const found = org.find(id)
      if (!found) return LOST
      return dry && !found.row.IsDeleted ? { id } : org.remove(found.type, id, saver())
    })
  }

  function show(type: ObjectType, row: Row, names: readonly string[] | null, version: string | undefined) {
    const fields = names?.map((name) => {
      const field = org.field(type, name, true)
      if (!field) throw refusedField(type, name)
      return field
    })
    const attributes = { type: type.name, url: `/services/data/${version}/sobjects/${type.name}/${row.Id}` }
    const values = (fields ?? org.visible(type, true)).map((field) => [field.name, org.read(row, field)])
    return { attributes, ...Object.fromEntries(values), Id: row.Id }
  }
  function live(type: ObjectType, id: string): Row {
    const row = type.rows.get(longId(id))
    if (!row) throw notFound()
    if (row.IsDeleted) throw refused(404, 'ENTITY_IS_DELETED', 'entity is deleted')
    return row
  }
  function retrieve(call: Call): Answer {
    const type = typeOf(call)
    const { ids, fields } = parsed(Retrieve, call)
    if (ids.length > RETRIEVE) throw tooMany(RETRIEVE)
    const unknown = fields.find((name) => !org.field(type, name, true))
    if (unknown !== undefined) throw refusedField(type, unknown)
    const rows = ids.map((id) => type.rows.get(longId(id)))
    return ok(rows.map((row) => (row && !row.IsDeleted ? show(type, row, fields, call.params.version) : null)))
  }
  function deleted(call: Call): Answer {
    const [start = Number.NaN, end = Number.NaN] = ['start', 'end'].map((name) =>
      Date.parse(call.query.get(name) ?? ''),
    )
    if (!(end - start >= 60_000))
      throw refused(400, 'INVALID_REPLICATION_DATE', 'endDate must be at least one minute greater than startDate')
    const within = (at: number) => at >= start && at < end
    const rows = [...typeOf(call).rows.values()].filter(
      (row) => row.IsDeleted && within(Date.parse(String(row.SystemModstamp))),
    )
    return ok({
      deletedRecords: rows.map((row) => ({ id: row.Id, deletedDate: row.SystemModstamp })),
      earliestDateAvailable: stamp(kernel.now() - 15 * 86_400_000),
      latestDateCovered: stamp(Math.min(end, kernel.now())),
    })
  }

  function describe(call: Call): Answer {
    const type = typeOf(call)
    const { name, prefix: keyPrefix, writable: w } = type
    const fields = org.visible(type, true).map((field) => describeField(org, type, field))
    const own = org.rows('RecordType').filter((row) => row.SobjectType === name)
    const info = (recordTypeId: unknown, label: unknown, developerName: unknown, master: boolean) => ({
      recordTypeId,
      name: label,
      developerName,
      master,
      active: true,
      available: true,
    })
    const recordTypeInfos = own.map((row) => info(row.Id, row.Name, row.DeveloperName, false))
    recordTypeInfos.push(info('012000000000000AAA', 'Master', 'Master', true))
    return ok({
      name,
      label: name,
      keyPrefix,
      queryable: true,
      createable: w,
      updateable: w,
      deletable: w,
      fields,
      recordTypeInfos,
    })
  }

  function limits(): Answer {
    const { used, max } = usage()
    return ok({ DailyApiRequests: { Max: max, Remaining: Math.max(0, max - used) } })
  }
  const versions = Array.from({ length: VERSIONS.last - VERSIONS.first + 1 }, (_, i) => {
    const version = `${VERSIONS.first + i}.0`
    return { label: `Version ${version}`, url: `/services/data/v${version}`, version }
  })
  const identity = (call: Call) => `${call.origin}/id/${org.rows('Organization')[0]?.Id}/${org.apiUser}`
  const id = (call: Call) => call.params.id ?? ''
  const routes: Record<string, (call: Call) => Answer> = {
    'GET ': (call) => ok({ identity: identity(call), query: `${call.path}/query`, sobjects: `${call.path}/sobjects` }),
    'GET /query': (call) => run(call, false),
    'GET /queryAll': (call) => run(call, true),
    'GET /query/{locator}': (call) => {
      const [locator = '', offset = ''] = (call.params.locator ?? '').split('-')
      return page(call, locator, Number(offset))
    },
    'GET /limits': limits,
    'GET /sobjects/{object}/describe': describe,
    'GET /sobjects/{object}/deleted': deleted,
    'POST /sobjects/{object}': (call) => saveOne(call, null),
    'GET /sobjects/{object}/{id}': (call) => {
      const type = typeOf(call)
      return ok(show(type, live(type, id(call)), call.query.get('fields')?.split(',') ?? null, call.params.version))
    },
    'PATCH /sobjects/{object}/{id}': (call) => saveOne(call, id(call)),
    'DELETE /sobjects/{object}/{id}': (call) => {
      live(writable(typeOf(call)), id(call))
      org.remove(typeOf(call), id(call), saver())
      return { status: 204 }
    },
    'POST /composite/sobjects': collection,
    'PATCH /composite/sobjects': collection,
    'DELETE /composite/sobjects': remove,
    'POST /composite/sobjects/{object}': retrieve,
  }
  const listed = Object.entries(routes).map(([name, handle]): Route => {
    const [method = '', path = ''] = name.split(' ')
    return { method, template: `/services/data/{version}${path}`, handle }
  })
  return [{ method: 'GET', template: '/services/data', handle: () => ok(versions) }, ...listed]
}

/** One result per record, in order; HTTP 200 also when records fail. */
function settle(
  call: Call,
  keys: readonly string[],
  allOrNone: boolean,
  run: (i: number, dry: boolean) => Saved,
): Answer {
  const { each, whole } = call.bad(keys)
  if (whole.size > 0) throw refused(400, 'JSON_PARSER_ERROR', 'Unexpected character in one of the records')
  const all = (dry: boolean) => keys.map((key, i) => (each.has(key) ? VALIDATION : run(i, dry)))
  const tried = allOrNone ? all(true) : []
  const failed = tried.some((result) => 'statusCode' in result)
  const results = failed ? tried.map((result) => ('statusCode' in result ? result : ROLLED_BACK)) : all(false)
  return ok(
    results.map((result) =>
      'id' in result ? { id: result.id, success: true, errors: [] } : { success: false, errors: [result] },
    ),
  )
}

function parsed<T>(schema: z.ZodType<T>, call: Call): T {
  try {
    return schema.parse(JSON.parse(call.body))
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw refused(400, 'JSON_PARSER_ERROR', `The request body cannot be read: ${why}`)
  }
}

/** What describe says of one field. */
export function describeField(org: Org, type: ObjectType, field: Field) {
  const { name, label, custom, length, type: kind } = field
  const number = ['currency', 'double', 'percent'].includes(kind)
  return {
    ...{ name, label, type: kind, length, custom, filterable: field.filter, sortable: field.filter },
    nillable: !field.required && kind !== 'boolean',
    createable: field.create && (!custom || org.editable(type, field)),
    updateable: org.editable(type, field),
    ...{ calculated: field.formula !== null, calculatedFormula: field.formula?.text ?? null },
    restrictedPicklist: field.restricted,
    picklistValues: field.values.map((value) => ({ value, label: value, active: true, defaultValue: false })),
    ...{ referenceTo: field.to, relationshipName: relationOf(field) },
    ...{ precision: number ? 18 : 0, scale: kind === 'currency' ? 2 : 0 },
  }
}
