// The REST endpoints under /services/data: query, describe, and records in collections of 200.
import { z } from 'zod'
import type { Answer, Call, Route } from '../kernel.ts'
import type { Org, Saver } from './org.ts'
import { type Field, longId, type ObjectType, type Row } from './schema.ts'
import { query, type Result } from './soql.ts'
import { check, fieldOf, live, parseRecord, refused, SaveError } from './validate.ts'

const PAGE = { least: 200, most: 2000 }
const COLLECTION = 200
const RETRIEVE = 2000
const MAX_TYPE_CHUNKS = 10
export const VERSIONS = { first: 31, last: 68 }

const Record = z.looseObject({ attributes: z.object({ type: z.string() }), id: z.string().optional() })
/** All or none is not played: a request for it is refused. */
const Collection = z.object({ allOrNone: z.literal(false).default(false), records: z.array(Record) })
/** References to earlier answers, `@{id.field}`, are not played: they lead nowhere. */
const Subrequest = z.object({
  ...{ method: z.string(), url: z.string(), body: z.unknown().optional() },
  referenceId: z.string().regex(/^[A-Za-z0-9]\w*$/, 'it can contain only letters, numbers and underscores'),
})
const Composite = z.object({ allOrNone: z.literal(false).default(false), compositeRequest: z.array(Subrequest) })
const Retrieve = z.object({ ids: z.array(z.string()), fields: z.array(z.string()) })

/** One record of a write. `key`: by which a fault recognises it. `apply` returns its id or throws SaveError. */
interface Job {
  readonly key: string
  apply(): string
}

const ok = (body: unknown): Answer => ({ status: 200, body })
const tooMany = (max: number) =>
  refused(400, 'EXCEEDED_ID_LIMIT', `record limit reached. cannot submit more than ${max} records into this call`)

/** `usage`: API calls of the last 24 hours and their limit. */
export function restRoutes(org: Org, saver: () => Saver, usage: () => { used: number; max: number }): Route[] {
  const cursors = new Map<string, Result & { readonly size: number }>()
  let opened = 0

  function run(call: Call, all: boolean, tooling = false): Answer {
    if (/ FROM (ValidationRule|EntityDefinition)\b/.test(call.query.get('q') ?? '') !== tooling)
      throw refused(400, 'INVALID_TYPE', `sObject type is not supported by ${call.path}`)
    const asked = Number(/batchSize=(\d+)/i.exec(call.headers['sforce-query-options'] ?? '')?.[1] ?? PAGE.most)
    const locator = `01g5g0000${String(opened++).padStart(6, '0')}AAA`
    const size = Math.min(PAGE.most, Math.max(PAGE.least, asked))
    cursors.set(locator, { ...query(org, call.query.get('q') ?? '', all, call.params.version ?? ''), size })
    return page(call, locator, 0)
  }
  function page({ params }: Call, locator: string, offset: number): Answer {
    const cursor = cursors.get(locator)
    if (!cursor || !(offset < Math.max(1, cursor.rows.length)))
      throw refused(400, 'INVALID_QUERY_LOCATOR', 'invalid query locator')
    const { totalSize, rows, render } = cursor
    const next = offset + cursor.size
    const done = next >= rows.length
    if (done && offset === 0) cursors.delete(locator)
    const nextRecordsUrl = done ? undefined : `/services/data/${params.version}/query/${locator}-${next}`
    return ok({ totalSize, done, nextRecordsUrl, records: rows.slice(offset, next).map(render) })
  }

  function saving(given: z.infer<typeof Record>, updating: boolean, index: number): Job {
    const type = org.type(given.attributes.type)
    if (!type?.writable) throw refused(400, 'INVALID_TYPE', `sObject type ${given.attributes.type} is not supported.`)
    const id = updating ? given.id : null
    if (id === undefined) throw refused(400, 'MISSING_ARGUMENT', 'Id not specified in an update call')
    const row = parseRecord(org, type, given)
    const apply = () => {
      check(org, type, id, row)
      return org.save(type, id, row, saver())
    }
    return { key: id ?? String(row.Unstall_Key__c ?? row.WhatId ?? index), apply }
  }
  function collection(call: Call): Answer {
    const { records } = parsed(Collection, call)
    if (records.length > COLLECTION) throw tooMany(COLLECTION)
    const chunks = records.filter(({ attributes }, i) => attributes.type !== records[i - 1]?.attributes.type)
    if (chunks.length > MAX_TYPE_CHUNKS)
      throw refused(400, 'LIMIT_EXCEEDED', `Cannot have more than ${MAX_TYPE_CHUNKS} chunks in a single operation.`)
    const jobs = records.map((given, i) => saving(given, call.method === 'PATCH', i))
    return settle(call, jobs)
  }
  function removal(call: Call): Answer {
    const ids = (call.query.get('ids') ?? '').split(',')
    if (ids.length > COLLECTION) throw tooMany(COLLECTION)
    const writable = (found: ReturnType<Org['find']>) => (found?.type.writable ? found : null)
    const jobs = ids.map((id): Job => ({ key: id, apply: () => org.remove(live(writable(org.find(id))), saver()) }))
    return settle(call, jobs)
  }

  function typeOf(call: Call): ObjectType {
    const type = org.type(call.params.object ?? '')
    if (!type) throw refused(404, 'NOT_FOUND', 'The requested resource does not exist')
    return type
  }
  /** In the order of the ids; null for each that is not there. */
  function retrieve(call: Call): Answer {
    const type = typeOf(call)
    const { ids, fields } = parsed(Retrieve, call)
    if (ids.length > RETRIEVE) throw tooMany(RETRIEVE)
    const wanted = fields.map((name) => fieldOf(org, type, name))
    const rows = ids.map((id) => type.rows.get(longId(id)))
    const show = (row: Row) => Object.fromEntries(wanted.map((field) => [field.name, org.read(row, field)]))
    return ok(rows.map((row) => (row && !row.IsDeleted ? { attributes: { type: type.name }, ...show(row) } : null)))
  }
  function describe(call: Call): Answer {
    const type = typeOf(call)
    const fields = org.visible(type).map((field) => describeField(org, type, field))
    const info = (recordTypeId: unknown, name: unknown, developerName: unknown, master = false) => ({
      ...{ recordTypeId, name, developerName, master, active: true, available: true },
    })
    const own = org.rows('RecordType').filter((row) => row.SobjectType === type.name)
    const recordTypeInfos = own.map((row) => info(row.Id, row.Name, row.DeveloperName))
    recordTypeInfos.push(info('012000000000000AAA', 'Master', 'Master', true))
    return ok({
      name: type.name,
      keyPrefix: type.prefix,
      createable: type.writable,
      updateable: type.writable,
      fields,
      recordTypeInfos,
    })
  }
  /** One call of the day, whatever it contains. Where it may not, the one answer in it names no request. */
  function composite(call: Call): Answer {
    const { compositeRequest } = parsed(Composite, call)
    const allowed = /^\/services\/data\/v[\d.]+\/(?:sobjects|(query|queryAll|composite\/sobjects))\b/
    const heavy = compositeRequest.filter(({ url }) => allowed.exec(url)?.[1])
    const told = (referenceId: string | null, { status, body, headers = {} }: Answer) => ({
      ...{ body, httpHeaders: headers, httpStatusCode: status, referenceId },
    })
    const halt = (code: string, words: string) => refused(400, code, words).answer
    const most = compositeRequest.length > 25 ? '25 operations' : heavy.length > 5 ? '5 query operations' : null
    const over = most && told(null, halt('LIMIT_EXCEEDED', `The request can’t contain more than ${most}.`))
    const each = ({ method, url, body, referenceId }: z.infer<typeof Subrequest>) => {
      const text = JSON.stringify(body) ?? ''
      const lost = /@\{\w+[^}]*\}/.exec(url + text) && 'Invalid reference specified. No value found.'
      const wrong = lost ?? (allowed.test(url) ? null : `${url} cannot be part of a composite request.`)
      return told(referenceId, wrong ? halt('PROCESSING_HALTED', wrong) : call.within(method, url, text))
    }
    return ok({ compositeResponse: over ? [over] : compositeRequest.map(each) })
  }
  function limits(): Answer {
    const { used, max } = usage()
    return ok({ DailyApiRequests: { Max: max, Remaining: Math.max(0, max - used) } })
  }
  const versions = Array.from({ length: VERSIONS.last - VERSIONS.first + 1 }, (_, i) => ({
    ...{ version: `${VERSIONS.first + i}.0`, url: `/services/data/v${VERSIONS.first + i}.0` },
  }))

  const route = (method: string, path: string, handle: Route['handle']): Route => ({
    ...{ method, template: `/services/data${path}`, handle },
  })
  return [
    route('GET', '', () => ok(versions)),
    route('GET', '/{version}/query', (call) => run(call, false)),
    route('GET', '/{version}/queryAll', (call) => run(call, true)),
    route('GET', '/{version}/tooling/query', (call) => run(call, false, true)),
    route('GET', '/{version}/query/{locator}', (call) => {
      const [locator = '', offset = ''] = (call.params.locator ?? '').split('-')
      return page(call, locator, Number(offset))
    }),
    route('GET', '/{version}/limits', limits),
    route('GET', '/{version}/sobjects/{object}/describe', describe),
    route('POST', '/{version}/composite', composite),
    route('POST', '/{version}/composite/sobjects', collection),
    route('PATCH', '/{version}/composite/sobjects', collection),
    route('DELETE', '/{version}/composite/sobjects', removal),
    route('POST', '/{version}/composite/sobjects/{object}', retrieve),
  ]
}

/** What describe says of one field to the API user. */
export function describeField(org: Org, type: ObjectType, field: Field) {
  const open = org.editable(type, field)
  const defaultedOnCreate = field.type === 'boolean' || field.name in org.defaults(type)
  return { ...field, createable: field.createable && open, updateable: field.updateable && open, defaultedOnCreate }
}

/** One result per record, in order; HTTP 200 also when records fail. */
function settle(call: Call, jobs: readonly Job[]): Answer {
  const { each, whole } = call.bad(jobs.map(({ key }) => key))
  if (whole.size > 0) throw refused(400, 'JSON_PARSER_ERROR', 'Unexpected character in one of the records')
  const rule = 'Ask Sales Operations before changing this record.'
  const result = ({ key, apply }: Job) => {
    try {
      if (each.has(key)) throw new SaveError('FIELD_CUSTOM_VALIDATION_EXCEPTION', rule)
      return { id: apply(), success: true, errors: [] }
    } catch (error) {
      if (error instanceof SaveError) return { success: false, errors: [error.told] }
      throw error
    }
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
