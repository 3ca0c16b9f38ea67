// The REST endpoints under /services/data: query, describe, records one by one and in collections of 200.
import { z } from 'zod'
import type { Answer, Call, Kernel, Route } from '../kernel.ts'
import { type Org, refused, type SaveError, type Saver } from './org.ts'
import { longId, type ObjectType, type Row, relationOf, stamp } from './schema.ts'
import { query, type Result } from './soql.ts'

const PAGE = 2000
const COLLECTION = 200
const RETRIEVE = 2000
const CURSORS = 200
export const VERSIONS = { first: 31, last: 68 }

const record = z.record(z.string(), z.unknown())
const Collection = z.object({
  allOrNone: z.boolean().default(false),
  records: z.array(record.and(z.object({ attributes: z.object({ type: z.string() }), id: z.string().optional() }))),
})
const Retrieve = z.object({ ids: z.array(z.string()), fields: z.array(z.string()) })

/** `usage`: API calls of the last 24 hours and their limit. */
export function restRoutes(org: Org, kernel: Kernel, usage: () => { used: number; max: number }): Route[] {
  const cursors = new Map<string, { result: Result; size: number }>()
  const saver = (): Saver => ({ user: org.apiUser, at: kernel.now(), stamp: kernel.now(), api: true })

  const typeOf = (name: string): ObjectType => {
    const type = org.type(name)
    if (!type) throw refused(404, 'NOT_FOUND', 'The requested resource does not exist')
    return type
  }
  const writable = (name: string): ObjectType => {
    const type = org.type(name)
    if (!type) throw refused(400, 'INVALID_TYPE', `sObject type '${name}' is not supported.`)
    if (!type.writable)
      throw refused(400, 'CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY', `entity type ${name} does not support this operation`)
    return type
  }

  function page(call: Call, locator: string, offset: number): Answer {
    const cursor = cursors.get(locator)
    if (!cursor || offset >= Math.max(1, cursor.result.records.length))
      throw refused(400, 'INVALID_QUERY_LOCATOR', 'invalid query locator')
    const { result, size } = cursor
    const next = offset + size
    const done = next >= result.records.length
    if (done && offset === 0) cursors.delete(locator)
    const more = done ? {} : { nextRecordsUrl: `/services/data/${call.params.version}/query/${locator}-${next}` }
    const records = result.records.slice(offset, next).map((render) => render())
    return { status: 200, body: { totalSize: result.totalSize, done, ...more, records } }
  }
  function run(call: Call, all: boolean): Answer {
    const soql = call.query.get('q')
    if (soql === null) throw refused(400, 'MALFORMED_QUERY', 'A query string has to be specified')
    const asked = /batchSize=(\d+)/i.exec(call.headers['sforce-query-options'] ?? '')?.[1]
    const size = Math.min(PAGE, Math.max(COLLECTION, Number(asked ?? PAGE)))
    const locator = longId(`01g5g0000${String(kernel.random()).slice(2, 8).padEnd(6, '0')}`)
    cursors.set(locator, { result: query(org, soql, all, call.params.version ?? ''), size })
    const [oldest] = cursors.keys()
    if (cursors.size > CURSORS && oldest !== undefined) cursors.delete(oldest)
    return page(call, locator, 0)
  }

  function saveOne(type: ObjectType, id: string | null, body: Readonly<Record<string, unknown>>): Answer {
    const result = org.save(type, id, org.parse(type, body, saver()), saver())
    if ('id' in result)
      return id === null ? { status: 201, body: { id: result.id, success: true, errors: [] } } : { status: 204 }
    throw oneError(result)
  }
  function collection(call: Call, update: boolean): Answer {
    const { allOrNone, records } = parse(Collection, call)
    if (records.length > COLLECTION) throw tooMany(COLLECTION)
    const chunks = records.filter((given, i) => given.attributes.type !== records[i - 1]?.attributes.type).length
    if (chunks > 10)
      throw refused(400, 'LIMIT_EXCEEDED', 'cannot process more than 10 chunks of object types in one call')
    const items = records.map((given) => {
      const type = writable(given.attributes.type)
      if (update && given.id === undefined) throw refused(400, 'MISSING_ARGUMENT', 'Id not specified in an update call')
      return { type, id: update ? String(given.id) : null, row: org.parse(type, given, saver()) }
    })
    const bad = badRows(
      call,
      items.map((item, i) => item.id ?? String(item.row.Unstall_Key__c ?? item.row.WhatId ?? i)),
    )
    const all = (dry: boolean) =>
      items.map((item, i) => (bad(i) ? VALIDATION : org.save(item.type, item.id, item.row, saver(), dry)))
    return { status: 200, body: settle(allOrNone, all) }
  }
  function remove(call: Call): Answer {
    const ids = (call.query.get('ids') ?? '').split(',').filter((id) => id !== '')
    if (ids.length > COLLECTION) throw tooMany(COLLECTION)
    const bad = badRows(call, ids)
    const all = (dry: boolean) =>
      ids.map((id, i) => {
        const found = org.find(id)
        if (bad(i)) return VALIDATION
        if (!found)
          return { statusCode: 'INVALID_CROSS_REFERENCE_KEY', message: 'invalid cross reference id', fields: [] }
        return dry && !found.row.IsDeleted ? { id } : org.remove(found.type, id, saver())
      })
    return { status: 200, body: settle(call.query.get('allOrNone') === 'true', all) }
  }

  function show(type: ObjectType, row: Row, names: readonly string[] | null, version: string) {
    const fields = names?.map((name) => {
      const field = org.field(type, name, true)
      if (!field) throw refused(400, 'INVALID_FIELD', `No such column '${name}' on sobject of type ${type.name}`)
      return field
    })
    const attributes = { type: type.name, url: `/services/data/${version}/sobjects/${type.name}/${row.Id}` }
    const values = (fields ?? org.visible(type, true)).map((field) => [field.name, org.read(type, row, field)])
    return { attributes, ...Object.fromEntries(values), Id: row.Id }
  }
  function live(type: ObjectType, id: string): Row {
    const row = type.rows.get(longId(id))
    if (!row) throw refused(404, 'NOT_FOUND', 'The requested resource does not exist')
    if (row.IsDeleted) throw refused(404, 'ENTITY_IS_DELETED', 'entity is deleted')
    return row
  }
  function retrieve(call: Call): Answer {
    const type = typeOf(call.params.object ?? '')
    const { ids, fields } = parse(Retrieve, call)
    if (ids.length > RETRIEVE) throw tooMany(RETRIEVE)
    const rows = ids.map((id) => type.rows.get(longId(id)))
    show(type, {}, fields, '')
    return {
      status: 200,
      body: rows.map((row) => (row && !row.IsDeleted ? show(type, row, fields, call.params.version ?? '') : null)),
    }
  }
  function changed(call: Call, deleted: boolean): Answer {
    const type = typeOf(call.params.object ?? '')
    const [start, end] = ['start', 'end'].map((name) => Date.parse(call.query.get(name) ?? ''))
    if (start === undefined || end === undefined || !(end - start >= 60_000))
      throw refused(400, 'INVALID_REPLICATION_DATE', 'endDate must be at least one minute greater than startDate')
    const rows = [...type.rows.values()].filter((row) => {
      const at = Date.parse(String(row.SystemModstamp))
      return row.IsDeleted === deleted && at >= start && at < end
    })
    const covered = { latestDateCovered: stamp(Math.min(end, kernel.now())) }
    if (!deleted) return { status: 200, body: { ids: rows.map((row) => row.Id), ...covered } }
    const deletedRecords = rows.map((row) => ({ id: row.Id, deletedDate: row.SystemModstamp }))
    return {
      status: 200,
      body: { deletedRecords, earliestDateAvailable: stamp(kernel.now() - 15 * 86_400_000), ...covered },
    }
  }

  const limits = (): Answer => {
    const { used, max } = usage()
    return {
      status: 200,
      body: {
        DailyApiRequests: { Max: max, Remaining: Math.max(0, max - used) },
        DailyBulkV2QueryJobs: { Max: 10_000, Remaining: 10_000 },
      },
    }
  }
  const versions = Array.from({ length: VERSIONS.last - VERSIONS.first + 1 }, (_, i) => {
    const version = `${VERSIONS.first + i}.0`
    return { label: `Version ${version}`, url: `/services/data/v${version}`, version }
  })
  const brief = (type: ObjectType) => ({
    name: type.name,
    label: type.name,
    keyPrefix: type.prefix,
    custom: false,
    queryable: true,
    createable: type.writable,
    updateable: type.writable,
    deletable: type.writable,
  })
  const describe = (type: ObjectType) => ({
    ...brief(type),
    fields: org.visible(type, true).map((field) => describeField(org, type, field)),
    recordTypeInfos: org
      .rows('RecordType')
      .filter((row) => row.SobjectType === type.name)
      .map((row) => ({
        recordTypeId: row.Id,
        name: row.Name,
        developerName: row.DeveloperName,
        active: true,
        available: true,
        master: false,
      })),
    childRelationships: [],
  })

  const base = '/services/data/{version}'
  const one = `${base}/sobjects/{object}/{id}`
  const object = (call: Call) => call.params.object ?? ''
  const id = (call: Call) => call.params.id ?? ''
  const route = (method: string, template: string, handle: (call: Call) => Answer): Route => ({
    method,
    template,
    handle,
  })
  return [
    route('GET', '/services/data', () => ({ status: 200, body: versions })),
    route('GET', `${base}/query`, (call) => run(call, false)),
    route('GET', `${base}/queryAll`, (call) => run(call, true)),
    route('GET', `${base}/query/{locator}`, (call) => {
      const [locator = '', offset = ''] = (call.params.locator ?? '').split('-')
      return page(call, locator, Number(offset))
    }),
    route('GET', `${base}/limits`, limits),
    route('GET', `${base}/sobjects`, () => ({
      status: 200,
      body: { encoding: 'UTF-8', maxBatchSize: COLLECTION, sobjects: [...org.types.values()].map(brief) },
    })),
    route('GET', `${base}/sobjects/{object}/describe`, (call) => ({
      status: 200,
      body: describe(typeOf(object(call))),
    })),
    route('GET', `${base}/sobjects/{object}/deleted`, (call) => changed(call, true)),
    route('GET', `${base}/sobjects/{object}/updated`, (call) => changed(call, false)),
    route('POST', `${base}/sobjects/{object}`, (call) => saveOne(writable(object(call)), null, parse(record, call))),
    route('GET', one, (call) => {
      const type = typeOf(object(call))
      return {
        status: 200,
        body: show(type, live(type, id(call)), call.query.get('fields')?.split(',') ?? null, call.params.version ?? ''),
      }
    }),
    route('PATCH', one, (call) => {
      live(writable(object(call)), id(call))
      return saveOne(writable(object(call)), id(call), parse(record, call))
    }),
    route('DELETE', one, (call) => {
      live(writable(object(call)), id(call))
      org.remove(typeOf(object(call)), id(call), saver())
      return { status: 204 }
    }),
    route('POST', `${base}/composite/sobjects`, (call) => collection(call, false)),
    route('PATCH', `${base}/composite/sobjects`, (call) => collection(call, true)),
    route('DELETE', `${base}/composite/sobjects`, remove),
    route('POST', `${base}/composite/sobjects/{object}`, retrieve),
  ]
}

const VALIDATION: SaveError = {
  statusCode: 'FIELD_CUSTOM_VALIDATION_EXCEPTION',
  message: 'Ask Sales Operations before changing this record.',
  fields: [],
}

function badRows(call: Call, records: readonly string[]): (index: number) => boolean {
  const { each, whole } = call.bad(records)
  if (whole.size > 0)
    throw refused(
      400,
      'JSON_PARSER_ERROR',
      'The HTTP entity body is required, but this request has a row that cannot be read.',
    )
  return (index) => each.has(records[index] ?? '')
}
function settle(allOrNone: boolean, run: (dry: boolean) => (SaveError | { readonly id: string })[]) {
  const rolledBack: SaveError = {
    statusCode: 'ALL_OR_NONE_OPERATION_ROLLED_BACK',
    message: 'Record rolled back because not all records were valid and the request was using AllOrNone header',
    fields: [],
  }
  const tried = allOrNone ? run(true) : []
  const failed = tried.some((result) => 'statusCode' in result)
  const results = failed ? tried.map((result) => ('statusCode' in result ? result : rolledBack)) : run(false)
  return results.map((result) =>
    'id' in result ? { id: result.id, success: true, errors: [] } : { success: false, errors: [result] },
  )
}
function oneError({ statusCode, message, fields }: SaveError) {
  const refusal = refused(400, statusCode, message)
  return Object.assign(refusal, { answer: { status: 400, body: [{ message, errorCode: statusCode, fields }] } })
}
const tooMany = (max: number) =>
  refused(400, 'EXCEEDED_ID_LIMIT', `record limit reached. cannot submit more than ${max} records into this call`)

function parse<T>(schema: z.ZodType<T>, call: Call): T {
  try {
    return schema.parse(JSON.parse(call.body))
  } catch (error) {
    throw refused(
      400,
      'JSON_PARSER_ERROR',
      `The request body cannot be read: ${error instanceof Error ? error.message : ''}`,
    )
  }
}

/** What describe says of one field. */
export function describeField(org: Org, type: ObjectType, field: ReturnType<Org['visible']>[number]) {
  return {
    name: field.name,
    label: field.label,
    type: field.type,
    length: field.length,
    custom: field.custom,
    nillable: !field.required && field.type !== 'boolean',
    createable: field.create && (!field.custom || org.editable(type, field)),
    updateable: org.editable(type, field),
    filterable: field.filter,
    sortable: field.filter,
    calculated: field.formula !== null,
    calculatedFormula: field.formula?.text ?? null,
    restrictedPicklist: field.restricted,
    picklistValues: field.values.map((value) => ({ value, label: value, active: true, defaultValue: false })),
    referenceTo: field.to,
    relationshipName: relationOf(field),
    precision: ['currency', 'double', 'percent'].includes(field.type) ? 18 : 0,
    scale: field.type === 'currency' ? 2 : 0,
  }
}
