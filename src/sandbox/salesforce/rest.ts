// The REST endpoints under /services/data: query, describe, records one by one and in collections of 200.
import { z } from 'zod'
import type { Answer, Call, Route } from '../kernel.ts'
import type { Org, Saver } from './org.ts'
import { type Field, longId, NUMBERS, type ObjectType, relationOf } from './schema.ts'
import { query, type Result } from './soql.ts'
import { check, DELETED, fieldOf, LOST, parseRecord, refused, type SaveError, saveError } from './validate.ts'

const PAGE = { least: 200, most: 2000 }
const COLLECTION = 200
const RETRIEVE = 2000
const MAX_TYPE_CHUNKS = 10
/** Open query cursors kept; the oldest goes first. */
const CURSORS = 200
export const VERSIONS = { first: 31, last: 68 }

const Values = z.record(z.string(), z.unknown())
const Typed = z.object({ attributes: z.object({ type: z.string() }), id: z.string().optional() })
const Collection = z.object({ allOrNone: z.boolean().default(false), records: z.array(Values.and(Typed)) })
const Retrieve = z.object({ ids: z.array(z.string()), fields: z.array(z.string()) })

/** One record of a write. `key`: by which a fault recognises it. */
interface Job {
  readonly key: string
  check(): SaveError | null
  apply(): string
}

const ok = (body: unknown, status = 200): Answer => ({ status, body })
const notFound = () => refused(404, 'NOT_FOUND', 'The requested resource does not exist')
const tooMany = (max: number) =>
  refused(400, 'EXCEEDED_ID_LIMIT', `record limit reached. cannot submit more than ${max} records into this call`)
const VALIDATION = saveError('FIELD_CUSTOM_VALIDATION_EXCEPTION', 'Ask Sales Operations before changing this record.')
const ROLLED_BACK = saveError(
  'ALL_OR_NONE_OPERATION_ROLLED_BACK',
  'Record rolled back because not all records were valid and the request was using AllOrNone header',
)

/** `usage`: API calls of the last 24 hours and their limit. */
export function restRoutes(org: Org, saver: () => Saver, usage: () => { used: number; max: number }): Route[] {
  const cursors = new Map<string, { result: Result; size: number }>()
  let opened = 0

  function run(call: Call, all: boolean): Answer {
    const asked = Number(/batchSize=(\d+)/i.exec(call.headers['sforce-query-options'] ?? '')?.[1] ?? PAGE.most)
    const result = query(org, call.query.get('q') ?? '', all, call.params.version ?? '')
    const locator = `01g5g0000${String(opened++).padStart(6, '0')}AAA`
    cursors.set(locator, { result, size: Math.min(PAGE.most, Math.max(PAGE.least, asked)) })
    const [oldest = ''] = cursors.keys()
    if (cursors.size > CURSORS) cursors.delete(oldest)
    return page(call, locator, 0)
  }
  function page(call: Call, locator: string, offset: number): Answer {
    const cursor = cursors.get(locator)
    if (!cursor || !(offset < Math.max(1, cursor.result.records.length)))
      throw refused(400, 'INVALID_QUERY_LOCATOR', 'invalid query locator')
    const { result, size } = cursor
    const next = offset + size
    const done = next >= result.records.length
    const more = done ? {} : { nextRecordsUrl: `/services/data/${call.params.version}/query/${locator}-${next}` }
    const records = result.records.slice(offset, next).map((render) => render())
    return ok({ totalSize: result.totalSize, done, ...more, records })
  }

  const typeOf = (call: Call): ObjectType => {
    const type = org.type(call.params.object ?? '')
    if (!type) throw notFound()
    return type
  }
  function saving(type: ObjectType | undefined, id: string | null, body: Record<string, unknown>, at = 0): Job {
    if (!type) throw refused(400, 'INVALID_TYPE', 'sObject type is not supported.')
    if (!type.writable)
      throw refused(400, 'INSUFFICIENT_ACCESS_OR_READONLY', `${type.name} does not support this operation`)
    const row = parseRecord(org, type, body)
    const key = id ?? String(row.Unstall_Key__c ?? row.WhatId ?? at)
    return { key, check: () => check(org, type, id, row), apply: () => org.save(type, id, row, saver()) }
  }
  function removing(id: string): Job {
    const found = org.find(id)
    const type = found?.type.writable ? found.type : null
    return {
      key: id,
      check: () => (type ? (found?.row.IsDeleted ? DELETED : null) : LOST),
      apply: () => {
        if (type) org.remove(type, id, saver())
        return longId(id)
      },
    }
  }
  function collection(call: Call): Answer {
    const { allOrNone, records } = parsed(Collection, call)
    if (records.length > COLLECTION) throw tooMany(COLLECTION)
    const chunks = records.filter(({ attributes }, i) => attributes.type !== records[i - 1]?.attributes.type)
    if (chunks.length > MAX_TYPE_CHUNKS)
      throw refused(400, 'LIMIT_EXCEEDED', `Cannot have more than ${MAX_TYPE_CHUNKS} chunks in a single operation.`)
    const jobs = records.map((given, i) => {
      const id = call.method === 'PATCH' ? given.id : null
      if (id === undefined) throw refused(400, 'MISSING_ARGUMENT', 'Id not specified in an update call')
      return saving(org.type(given.attributes.type), id, given, i)
    })
    return settle(call, jobs, allOrNone)
  }
  function removal(call: Call): Answer {
    const ids = (call.query.get('ids') ?? '').split(',').filter((id) => id !== '')
    if (ids.length > COLLECTION) throw tooMany(COLLECTION)
    return settle(call, ids.map(removing), call.query.get('allOrNone') === 'true')
  }
  /** A single record: refused with a status of its own. */
  function alone(job: Job, status: number): Answer {
    const error = job.check()
    if (error)
      throw refused(error === LOST || error === DELETED ? 404 : 400, error.statusCode, error.message, error.fields)
    const id = job.apply()
    return status === 201 ? ok({ id, success: true, errors: [] }, status) : { status }
  }

  function show(type: ObjectType, id: string, fields: readonly Field[], version: string | undefined) {
    const row = type.rows.get(longId(id))
    if (!row || row.IsDeleted) return null
    const attributes = { type: type.name, url: `/services/data/${version}/sobjects/${type.name}/${row.Id}` }
    const values = fields.map((field) => [field.name, org.read(row, field)])
    return { attributes, ...Object.fromEntries(values), Id: row.Id }
  }
  function retrieve(call: Call): Answer {
    const type = typeOf(call)
    const { ids, fields } = parsed(Retrieve, call)
    if (ids.length > RETRIEVE) throw tooMany(RETRIEVE)
    const wanted = fields.map((name) => fieldOf(org, type, name))
    return ok(ids.map((id) => show(type, id, wanted, call.params.version)))
  }
  function one(call: Call): Answer {
    const type = typeOf(call)
    const names = call.query.get('fields')?.split(',')
    const fields = names?.map((name) => fieldOf(org, type, name)) ?? org.visible(type)
    const record = show(type, call.params.id ?? '', fields, call.params.version)
    if (!record) throw notFound()
    return ok(record)
  }

  function describe(call: Call): Answer {
    const type = typeOf(call)
    const { name, prefix, writable } = type
    const info = (recordTypeId: unknown, label: unknown, developerName: unknown, master = false) => ({
      ...{ recordTypeId, name: label, developerName, master, active: true, available: true },
    })
    const own = org.rows('RecordType').filter((row) => row.SobjectType === name)
    const recordTypeInfos = own.map((row) => info(row.Id, row.Name, row.DeveloperName))
    recordTypeInfos.push(info('012000000000000AAA', 'Master', 'Master', true))
    const can = { queryable: true, createable: writable, updateable: writable, deletable: writable }
    const fields = org.visible(type).map((field) => describeField(org, type, field))
    return ok({ name, label: name, keyPrefix: prefix, ...can, fields, recordTypeInfos })
  }

  const versions = Array.from({ length: VERSIONS.last - VERSIONS.first + 1 }, (_, i) => {
    const version = `${VERSIONS.first + i}.0`
    return { label: `Version ${version}`, url: `/services/data/v${version}`, version }
  })
  const routes: Record<string, (call: Call) => Answer> = {
    'GET /query': (call) => run(call, false),
    'GET /queryAll': (call) => run(call, true),
    'GET /query/{locator}': (call) => {
      const [locator = '', offset = ''] = (call.params.locator ?? '').split('-')
      return page(call, locator, Number(offset))
    },
    'GET /limits': () => {
      const { used, max } = usage()
      return ok({ DailyApiRequests: { Max: max, Remaining: Math.max(0, max - used) } })
    },
    'GET /sobjects/{object}/describe': describe,
    'POST /sobjects/{object}': (call) => alone(saving(typeOf(call), null, parsed(Values, call)), 201),
    'GET /sobjects/{object}/{id}': one,
    'PATCH /sobjects/{object}/{id}': (call) =>
      alone(saving(typeOf(call), call.params.id ?? '', parsed(Values, call)), 204),
    'DELETE /sobjects/{object}/{id}': (call) => alone(removing(call.params.id ?? ''), 204),
    'POST /composite/sobjects': collection,
    'PATCH /composite/sobjects': collection,
    'DELETE /composite/sobjects': removal,
    'POST /composite/sobjects/{object}': retrieve,
  }
  const listed = Object.entries(routes).map(([name, handle]): Route => {
    const [method = '', path = ''] = name.split(' ')
    return { method, template: `/services/data/{version}${path}`, handle }
  })
  return [{ method: 'GET', template: '/services/data', handle: () => ok(versions) }, ...listed]
}

/** One result per record, in order; HTTP 200 also when records fail. */
function settle(call: Call, jobs: readonly Job[], allOrNone: boolean): Answer {
  const { each, whole } = call.bad(jobs.map(({ key }) => key))
  if (whole.size > 0) throw refused(400, 'JSON_PARSER_ERROR', 'Unexpected character in one of the records')
  const problem = (job: Job) => (each.has(job.key) ? VALIDATION : job.check())
  const undone = allOrNone && jobs.some(problem)
  const result = (job: Job) => {
    const error = problem(job) ?? (undone ? ROLLED_BACK : null)
    return error ? { success: false, errors: [error] } : { id: job.apply(), success: true, errors: [] }
  }
  return ok(jobs.map(result))
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
  const { name, label, custom, length, type: kind, flags, formula, to: referenceTo } = field
  const open = org.editable(type, field)
  const filterable = !flags.has('unfilterable')
  return {
    ...{ name, label, type: kind, length, custom, filterable, sortable: filterable },
    nillable: !flags.has('required') && kind !== 'boolean',
    createable: flags.has('create') && open,
    updateable: flags.has('update') && open,
    ...{ calculated: formula !== null, calculatedFormula: formula?.text ?? null },
    restrictedPicklist: flags.has('restricted'),
    picklistValues: field.values.map((value) => ({ value, label: value, active: true, defaultValue: false })),
    ...{ referenceTo, relationshipName: relationOf(field) },
    ...(NUMBERS.includes(kind) ? { precision: 18, scale: kind === 'currency' ? 2 : 0 } : {}),
  }
}
