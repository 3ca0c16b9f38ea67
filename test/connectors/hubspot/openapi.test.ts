// Every request unstall sends to HubSpot, and every answer of the lookalike, against HubSpot's public OpenAPI documents.
// They are no part of this repository: point UNSTALL_HUBSPOT_SPEC at a folder that has them, else this is skipped.
import { existsSync, readFileSync } from 'node:fs'
import { expect, it, onTestFinished, vi } from 'vitest'
import { createApi } from '../../../connectors/hubspot/api.ts'
import { connectHubspot, signIn, staticToken } from '../../../connectors/hubspot/index.ts'
import { generate } from '../../../src/sandbox/generate.ts'
import { hubspot } from '../../../src/sandbox/hubspot/server.ts'
import { type Lookalike, startSandbox } from '../../../src/sandbox/kernel.ts'
import { openGate } from '../../conformance.ts'
import { walk } from '../../sandbox/client.ts'
import { allow } from '../../sandbox/consent.ts'

const spec = process.env.UNSTALL_HUBSPOT_SPEC ?? ''
const NOW = Date.parse('2026-11-02T06:00:00Z')
const never = new AbortController().signal

/** What each function of api.ts and of sign-in calls, by the paths of the documents. */
const CALLS: Readonly<Record<string, readonly string[]>> = {
  account: ['GET /account-info/2026-09/details'],
  usage: ['GET /account-info/2026-09/api-usage/daily/private-apps'],
  pipelines: ['GET /crm/pipelines/2026-09/{objectType}'],
  owners: ['GET /crm/owners/2026-09'],
  properties: ['GET /crm/properties/2026-09/{objectType}'],
  group: ['GET /crm/properties/2026-09/{objectType}/groups/{groupName}'],
  taskProperty: ['GET /crm/properties/2026-09/{objectType}/{propertyName}'],
  define: ['POST /crm/properties/2026-09/{objectType}', 'POST /crm/properties/2026-09/{objectType}/groups'],
  segment: ['GET /crm/lists/2026-09/object-type-id/{objectTypeId}/name/{listName}'],
  createSegment: ['POST /crm/lists/2026-09'],
  erase: [
    'DELETE /crm/lists/2026-09/{listId}',
    'DELETE /crm/properties/2026-09/{objectType}/{propertyName}',
    'DELETE /crm/properties/2026-09/{objectType}/groups/{groupName}',
  ],
  list: ['GET /crm/objects/2026-09/{objectType}'],
  search: ['POST /crm/objects/2026-09/{objectType}/search'],
  batchRead: ['POST /crm/objects/2026-09/{objectType}/batch/read'],
  deal: ['GET /crm/objects/2026-09/{objectType}/{objectId}'],
  tasksOfDeals: ['POST /crm/associations/2026-09/{fromObjectType}/{toObjectType}/batch/read'],
  batchWrite: ['archive', 'create', 'update'].map((verb) => `POST /crm/objects/2026-09/{objectType}/batch/${verb}`),
  signIn: ['POST /oauth/2026-09/token', 'POST /oauth/2026-09/token/revoke'],
  scopesOf: ['POST /oauth/2026-09/token/introspect', 'POST /oauth/v2/private-apps/get/access-token-info'],
}
/** No document at hand. */
const UNDOCUMENTED: Readonly<Record<string, string>> = {
  'GET /account-info/2026-09/details': 'the account API is not among the documents',
  'GET /account-info/2026-09/api-usage/daily/private-apps': 'the account API is not among the documents',
  'GET /crm/limits/2026-09/{kind}': 'the limits API is not among the documents; not called by unstall',
  'POST /oauth/v2/private-apps/get/access-token-info': 'has no dated address and no document',
  'GET /oauth/authorize': 'a page for a browser, not of the API',
  'POST /oauth/authorize': 'a page for a browser, not of the API',
}
/** Where one of the two differs from the documents, and why. `…` stands for any text. */
const DEVIATIONS: readonly (readonly [what: string, because: string])[] = [
  ['POST /crm/objects/2026-09/{objectType}/search request: (all): lacks …', 'the list of required fields is too strict: every published example leaves some out'],
  ['POST /crm/objects/2026-09/{objectType}/search request: sorts[]: object, not string', 'a direction needs the object form of the guides; text alone sorts upwards'],
  ['POST /crm/objects/2026-09/{objectType}/batch/… answer: status 207 is not declared', 'declared at 2026-09-beta and in the guide on errors: some records failed'],
  ['POST /crm/associations/2026-09/{fromObjectType}/{toObjectType}/batch/read answer: status 207 is not declared', 'as above: deals without a task'],
  ['POST /crm/associations/2026-09/{fromObjectType}/{toObjectType}/batch/read answer: results[].to[].associationTypes[].label: null', 'an association type without a label has null in the published examples'],
  ['… answer (error): (all): has status, which the document does not know', '"status": "error" stands in the published examples of errors'],
  ['POST /crm/properties/2026-09/{objectType}/batch/create answer: status 201 is not declared', '201 is what the older address answers and what the SDK expects; unstall does not call it'],
  ['POST /oauth/2026-09/token answer: status 200 is not declared', 'the document declares errors only; the answer is that of the guide on OAuth'],
  ['POST /oauth/2026-09/token answer 200: a body, not none', 'as above'],
  ['POST /oauth/2026-09/token/revoke answer: status 200 is not declared', 'the document declares errors only; unstall takes any success'],
  ['POST /oauth/2026-09/token/introspect answer: (all): has …', 'only "active" is declared; where the scopes are left out, check says that it cannot tell them'],
] // biome-ignore format: one deviation, one line

type Json = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const at = (value: unknown, ...path: string[]): Json => {
  const found = walk(value, path)
  return isObject(found) ? found : {}
}
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

/** What is wrong with a value by a schema of an OpenAPI 3.0 document, as far as these documents use its vocabulary. */
function* faults(document: unknown, given: unknown, value: unknown, path = ''): Generator<string> {
  if (!isObject(given)) return
  const wrong = (what: string) => `${path || '(all)'}: ${what}`
  if (typeof given.$ref === 'string') {
    const schema = walk(document, given.$ref.slice(2).split('/'))
    if (!isObject(schema)) throw new Error(`no ${given.$ref}`)
    return yield* faults(document, schema, value, path)
  }
  if (Array.isArray(given.oneOf)) {
    const all = given.oneOf.map((one) => [...faults(document, one, value, path)])
    const fewest = all.toSorted((one, other) => one.length - other.length)[0] ?? []
    return yield* fewest
  }
  if (value === null) {
    if (given.nullable !== true) yield wrong('null')
    return
  }
  const { type, format } = given
  const kind = Array.isArray(value) ? 'array' : Number.isInteger(value) && type === 'integer' ? 'integer' : typeof value
  if (type !== undefined && kind !== type) return yield wrong(`${kind}, not ${type}`)
  if (Array.isArray(given.enum) && !given.enum.includes(value)) yield wrong(`none of ${given.enum.join(', ')}`)
  const patterns: Record<string, RegExp> = {
    'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)$/,
    uuid: /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/,
  }
  if (typeof value === 'string' && patterns[String(format)]?.test(value) === false) yield wrong(`no ${format}`)
  for (const item of list(value)) yield* faults(document, given.items, item, `${path}[]`)
  if (!isObject(value)) return
  const properties = at(given, 'properties')
  for (const name of list(given.required)) if (!(String(name) in value)) yield wrong(`lacks ${name}`)
  for (const [name, one] of Object.entries(value)) {
    const inside = path ? `${path}.${name}` : name
    if (name in properties) yield* faults(document, properties[name], one, inside)
    else if (isObject(given.additionalProperties)) yield* faults(document, given.additionalProperties, one, `${path}.*`)
    else yield wrong(`has ${name}, which the document does not know`)
  }
}

interface Exchange {
  readonly method: string
  readonly url: URL
  readonly type: string
  readonly sent: string
  readonly status: number
  readonly got: string
  /** Of unstall; else of this test, for what unstall does not call, mistakes included. */
  readonly ours: boolean
}

function documents() {
  const operations = [
    'deals',
    'tasks',
    'properties',
    'pipelines',
    'crmOwners',
    'associations',
    'lists',
    'oauth',
  ].flatMap((file) => {
    const document: unknown = JSON.parse(readFileSync(`${spec}/${file}.json`, 'utf8'))
    return Object.entries(at(document, 'paths')).flatMap(([path, methods]) =>
      Object.entries(at(methods)).map(([method, operation]) => {
        const pattern = new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`)
        return { file, document, path, pattern, method: method.toUpperCase(), operation }
      }),
    )
  })
  /** The operation of the document of this object type with the fewest variables in its path. */
  return ({ method, url: { pathname } }: Pick<Exchange, 'method' | 'url'>) =>
    operations
      .filter((one) => one.method === method && one.pattern.test(pathname))
      .filter(({ file }) => !(file === 'deals' && pathname.includes('/tasks')))
      .toSorted((one, other) => one.path.split('{').length - other.path.split('{').length)[0]
}

function* compare(found: NonNullable<ReturnType<ReturnType<typeof documents>>>, one: Exchange): Generator<string> {
  const { document, operation } = found
  if (one.ours) {
    const known = list(at(operation).parameters)
    for (const name of new Set(one.url.searchParams.keys()))
      if (!known.some((parameter) => at(parameter).name === name)) yield `request: no parameter ${name}`
    for (const parameter of known) {
      const { name, in: where, required, schema } = at(parameter)
      const values = one.url.searchParams.getAll(String(name))
      if (where !== 'query') continue
      if (required === true && values.length === 0) yield `request: lacks parameter ${name}`
      const typed = values.map((text) => (/^(\d{1,9}|true|false)$/.test(text) ? JSON.parse(text) : text))
      const types = at(schema).type
      for (const value of types === 'array' ? [values] : types === 'string' ? values : typed)
        yield* [...faults(document, schema, value, `parameter ${name}`)].map((fault) => `request: ${fault}`)
    }
    const [[type, { schema }] = ['', {}]] = Object.entries(at(operation, 'requestBody', 'content')).map(
      ([type, content]) => [type, at(content)] as const,
    )
    if (type !== one.type) yield `request: ${one.type || 'no body'}, not ${type || 'none'}`
    else if (type) {
      const form = type.endsWith('urlencoded')
      const body: unknown = form ? Object.fromEntries(new URLSearchParams(one.sent)) : JSON.parse(one.sent)
      yield* [...faults(document, schema, body)].map((fault) => `request: ${fault}`)
    }
  }
  const responses = at(operation, 'responses')
  const named = at(responses, String(one.status))
  const declared = String(one.status) in responses
  if (!declared && one.status < 400) yield `answer: status ${one.status} is not declared`
  // The one success is what other successes are judged by; `default` is the error.
  const success = Object.entries(responses).find(([status]) => status.startsWith('2'))?.[1]
  const expected = declared ? named : one.status < 400 ? at(success) : at(document, 'components', 'responses', 'Error')
  const [content] = Object.values(at(expected, 'content'))
  const body: unknown = one.got === '' ? undefined : JSON.parse(one.got)
  if (content === undefined) return body === undefined ? undefined : yield `answer ${one.status}: a body, not none`
  yield* [...faults(document, at(content).schema, body)].map((fault) =>
    one.status < 400 ? `answer: ${fault}` : `answer (error): ${fault}`,
  )
}

/** Keeps what goes over HTTP until the test ends. */
function recorder() {
  const real = globalThis.fetch
  const exchanges: Exchange[] = []
  let ours = true
  vi.stubGlobal('fetch', async (input: string | URL, init: RequestInit = {}) => {
    const url = new URL(input)
    const response = await real(url, init)
    if (url.pathname.startsWith('/__sandbox/')) return response
    const { method = 'GET', body } = init
    const headers = new Headers(init.headers)
    const type = body instanceof URLSearchParams ? 'application/x-www-form-urlencoded' : headers.get('content-type')
    const sent = body === undefined || body === null ? '' : String(body)
    const kept = { method, url, type: sent ? (type ?? '') : '', sent, status: response.status, ours }
    exchanges.push({ ...kept, got: await response.clone().text() })
    return response
  })
  onTestFinished(() => void vi.unstubAllGlobals())
  return {
    exchanges,
    aside: async (work: () => Promise<void>) => {
      ours = false
      await work()
      ours = true
    },
  }
}

const drain = async <T>(all: AsyncIterable<T>): Promise<T[]> => {
  const found: T[] = []
  for await (const one of all) found.push(one)
  return found
}

/** A connection from its first check to the removal of what setup made. */
async function life(baseUrl: string): Promise<void> {
  const common = { baseUrl, gate: openGate(), clock: () => NOW, sleep: async () => {}, timezone: 'UTC' }
  const connector = connectHubspot({ ...common, credential: staticToken('sandbox-openapi') })
  await connector.check(never)
  await drain(connector.setup(never))
  const reference = await connector.reference(never)
  const pages = await drain(connector.pull(null, NOW, never))
  const cursor = pages.at(-1)?.cursor ?? null
  const ids = pages.flatMap(({ deals }) => deals).map(({ id }) => id)
  const [deal = '', other = ''] = ids
  for (const [id, field, value] of [
    [deal, 'amount', '77'],
    [other, 'closedate', '2027-01-01'],
  ])
    await fetch(`${baseUrl}/__sandbox/act`, {
      method: 'POST',
      body: JSON.stringify({ act: 'set', id, field, value, by: 'person' }),
    })
  await drain(connector.pull(cursor, NOW, never))
  await drain(connector.census(null, never))
  await connector.read([deal, '1'], never)
  // Asked only where HubSpot leaves a deal out of a batch without a word.
  await createApi({ ...common, credential: staticToken('sandbox-openapi') })(never).deal(deal)
  const task = { deal, lockGroup: null }
  const owner = reference.owners.find(({ active }) => active)?.id ?? ''
  const created = { ...task, taskKey: 'k', owner, subject: 'Ask', body: 'A & B', due: '2026-12-04' } as const
  const after = { stalled: true, since: NOW, reason: 'no_movement', explanation: 'x', category: 'OMIT' } as const
  await drain(
    connector.write(
      [
        { kind: 'fields', key: 'a', deal, lockGroup: null, after },
        { kind: 'fields', key: 'b', deal: '1', lockGroup: null, after },
        { kind: 'create-task', key: 'c', ...created },
      ],
      never,
    ),
  )
  await drain(connector.write([{ kind: 'create-task', key: 'again', ...created }], never))
  const found = await connector.find(
    new Map([
      ['k', { deal, id: null }],
      ['none', { deal: other, id: null }],
    ]),
    never,
  )
  const remote = found.get('k')?.id ?? ''
  expect(remote).not.toBe('')
  for (const kind of ['complete-task', 'reopen-task', 'delete-task'] as const)
    expect(await drain(connector.write([{ kind, key: kind, deal, task: remote, body: 'x' }], never))).toMatchObject([
      { result: 'done' },
    ])
  await connector.check(never)
  const removal = await connector.removal(never)
  await drain(removal.carryOut())

  const app = { clientId: 'sandbox', clientSecret: 'sandbox' }
  const consent = signIn({ baseUrl, ...app })
  const granted = await consent.redeem(await allow(baseUrl))
  if (granted === 'refused') throw new Error('no consent')
  const renewed = await consent.exchange(granted.set.refresh ?? '')
  expect(renewed).not.toBe('refused')
  await connectHubspot({ ...common, app, credential: staticToken(granted.set.token) }).check(never)
  await consent.revoke(granted.set.refresh ?? '')
  expect(await consent.exchange(granted.set.refresh ?? '')).toBe('refused')
}

/** What unstall does not call, and refusals: only the answers count. */
async function rest(url: string): Promise<void> {
  const call = async (method: string, path: string, body?: unknown) => {
    const headers = { authorization: 'Bearer sandbox-openapi', 'content-type': 'application/json' }
    const answer = await fetch(url + path, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    return { status: answer.status, json: text === '' ? {} : JSON.parse(text) }
  }
  const made = { name: 'own', label: 'Own', groupName: 'unstall', type: 'string', fieldType: 'text' }
  for (const object of ['deals', 'tasks']) {
    const [records, schema] = [`/crm/objects/2026-09/${object}`, `/crm/properties/2026-09/${object}`]
    const inputs = ['a', 'b'].map((text) => ({
      properties: { hs_timestamp: '2026-11-04T08:00:00Z', hs_task_body: text },
    }))
    if (object === 'tasks') await call('POST', `${records}/batch/create`, { inputs })
    else {
      const stages = await call('GET', '/crm/pipelines/2026-09/deals')
      const [pipeline, dealstage] = [
        walk(stages.json, ['results', 0, 'id']),
        walk(stages.json, ['results', 0, 'stages', 0, 'id']),
      ]
      await call('POST', `${records}/batch/create`, {
        inputs: [{ properties: { dealname: 'x', pipeline, dealstage } }],
      })
    }
    const id = String(walk((await call('POST', `${records}/search`, { limit: 1 })).json, ['results', 0, 'id']))
    await call('GET', `${records}/${id}`)
    await call('PATCH', `${records}/${id}`, { properties: {} })
    await call('POST', `${records}/batch/update`, { inputs: [{ id, properties: {} }] })
    await call('POST', `${records}/batch/read`, {
      inputs: [{ id }, { id: '9' }],
      properties: [],
      propertiesWithHistory: [],
    })
    await call('GET', `${records}?limit=2`)
    await call('POST', `${schema}/groups`, { name: 'unstall', label: 'unstall' })
    await call('POST', schema, made)
    await call('POST', `${schema}/batch/create`, { inputs: [{ ...made, name: 'other' }] })
    for (const part of ['', '/own', '/groups', '/groups/unstall']) await call('GET', schema + part)
    const wrong = [
      await call('POST', schema, made),
      await call('POST', schema, {}),
      await call('GET', `${schema}/nothing`),
      await call('GET', `${records}/9`),
      await call('POST', `${records}/batch/update`, { inputs: [{ id, properties: { nothing: 'x' } }] }),
      await call('POST', `${records}/search`, {
        filterGroups: [{ filters: [{ propertyName: 'no', operator: 'EQ' }] }],
      }),
      await call('DELETE', `${schema}/groups/unstall`),
    ]
    expect(wrong.map(({ status }) => status)).toEqual([409, 400, 404, 404, 400, 400, 400])
    for (const part of ['own', 'other', 'groups/unstall']) await call('DELETE', `${schema}/${part}`)
    await call('POST', `${records}/batch/archive`, { inputs: [{ id }] })
    const next = String(walk((await call('GET', `${records}?limit=1`)).json, ['results', 0, 'id']))
    await call('DELETE', `${records}/${next}`)
  }
  const deals = await call('GET', '/crm/objects/2026-09/deals?limit=1')
  const deal = String(walk(deals.json, ['results', 0, 'id']))
  const types = [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 216 }]
  const task = { properties: { hs_timestamp: '2026-11-04T08:00:00Z' }, associations: [{ to: { id: deal }, types }] }
  const tasks = await call('POST', '/crm/objects/2026-09/tasks/batch/create', { inputs: [task] })
  const hung = walk(tasks.json, ['results', 0, 'id'])
  for (const [from, to, id] of [['deals', 'tasks', deal], ['tasks', 'deals', hung]] as const) // biome-ignore format: pairs
    await call('POST', `/crm/associations/2026-09/${from}/${to}/batch/read`, { inputs: [{ id }, { id: '9' }] })
  await call('GET', '/crm/limits/2026-09/records')
  await fetch(`${url}/oauth/authorize`)
}

it.skipIf(!existsSync(`${spec}/deals.json`))(
  'requests and answers are those of the public documents (set UNSTALL_HUBSPOT_SPEC)',
  async () => {
    const { exchanges, aside } = recorder()
    const seed = generate({ now: NOW, deals: 150, open: 110, seed: 1 })
    const served = new Set<string>()
    const keep = (look: Lookalike) => {
      // Each address is served under two dates, without one, and by two names of the object.
      for (const { method, template } of look.routes)
        if (!/2026-03|\/v[134]\/|\/0-(3|27)(\/(?!name)|$)/.test(template)) served.add(`${method} ${template}`)
      return look
    }
    const calls = new Set<string>()
    for (const taskKey of ['unique', 'plain'] as const) {
      const sandbox = await startSandbox((kernel) => keep(hubspot(seed, { taskKey })(kernel)), { now: NOW })
      onTestFinished(() => sandbox.close())
      await life(sandbox.url)
      if (taskKey === 'plain') continue
      await aside(() => rest(sandbox.url))
      for (const call of await reached(sandbox.url)) calls.add(call)
    }

    const operation = documents()
    const named = (one: Exchange) => `${one.method} ${operation(one)?.path ?? one.url.pathname}`
    const sent = new Set(exchanges.filter(({ ours, url }) => ours && url.pathname !== '/oauth/authorize').map(named))
    expect([...sent].sort()).toEqual(Object.values(CALLS).flat().sort())
    const hub = createApi({ baseUrl: 'http://127.0.0.1', credential: staticToken('x'), gate: openGate(), clock: () => NOW, sleep: async () => {}, timezone: 'UTC' })(never) // biome-ignore format: one line
    const said = ['leftToday', 'clock', 'signIn', 'scopesOf']
    expect(Object.keys(hub).concat(said.slice(2)).sort()).toEqual(Object.keys(CALLS).concat(said.slice(0, 2)).sort())
    expect([...served].filter((route) => !calls.has(route))).toEqual([])

    const differ = new Set<string>()
    const without = new Set<string>()
    for (const one of exchanges) {
      const found = operation(one)
      if (!found)
        without.add(`${one.method} ${one.url.pathname.replace(/limits\/2026-09\/\w+/, 'limits/2026-09/{kind}')}`)
      else for (const fault of compare(found, one)) differ.add(`${found.method} ${found.path} ${fault}`)
    }
    expect([...without].sort()).toEqual(Object.keys(UNDOCUMENTED).sort())
    const fits = (what: string, seen: string) => {
      const [start = '', end = ''] = what.split('…')
      return what.includes('…') ? seen.startsWith(start) && seen.endsWith(end) : seen === what
    }
    expect([...differ].filter((seen) => !DEVIATIONS.some(([what]) => fits(what, seen))).sort()).toEqual([])
    expect(DEVIATIONS.filter(([what]) => ![...differ].some((seen) => fits(what, seen)))).toEqual([])
  },
  60_000,
)

/** Routes that were answered with success. */
async function reached(url: string): Promise<string[]> {
  const answer: unknown = await (await fetch(`${url}/__sandbox/calls`)).json()
  return list(at(answer).calls).flatMap((row) => {
    const good = Object.keys(at(row, 'statuses')).some((status) => /^[123]/.test(status))
    return good || walk(row, ['path']) === '/oauth/authorize' ? [`${walk(row, ['method'])} ${walk(row, ['path'])}`] : []
  })
}
