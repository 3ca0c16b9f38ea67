// The HubSpot lookalike: sign-in, scopes, limits, reference data and the lines of its state. Paths as dated in the public
// specifications (2026-09; 2026-03 is still served), and those without a date, which HubSpot's SDK calls.
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { CLIENT, createConsent, SECRET, secret } from '../consent.ts'
import { type Answer, type Call, type Kernel, type Lookalike, ok, type Refusal, type Route } from '../kernel.ts'
import type { Seed } from '../seed.ts'
import { perform } from './acts.ts'
import { lists } from './lists.ts'
import { answered, atMost, batchError, DEAL_TO_TASK, Ids, objects, TASK_TO_DEAL } from './objects.ts'
import { custom, Failed, invalid, Name, type ObjectType, type Property, PropertyCreate, parse } from './properties.ts'
import { search } from './search.ts'
import { iso, OBJECTS, OWN_APP, Store, type StoreOptions } from './store.ts'

const VERSIONS = ['2026-09', '2026-03']
/** Served until March and September 2027. */
const undated = (path: string) =>
  path
    .replace(/^\/crm\/associations\/\{v\}/, '/crm/v4/associations')
    .replace(/^\/crm\/(\w+)\/\{v\}/, '/crm/v3/$1')
    .replace(/^\/oauth\/\{v\}\/token$/, '/oauth/v1/token')
const NAMES = { deals: ['deals', '0-3'], tasks: ['tasks', '0-27'] }
/** Lists of properties in the address fail from about here (airbyte source-hubspot, BEHAVIOR.md 5). */
const MAX_QUERY = 15_000
const PORTAL = 4010001
const TOKEN_INFO = '/oauth/v2/private-apps/get/access-token-info'
/** HubSpot's limits for OAuth apps: 110 calls in 10 s; search 5 in a second (usage guidelines). */
const NORMAL = { name: 'normal', max: 110, windowMs: 10_000, burst: 11 }
const SEARCH = { name: 'search', max: 5, windowMs: 1000, burst: 5 }
/** Scopes without `.read` or `.write`, by the second part of the path (hubspot.md 5). */
const SCOPES: Readonly<Record<string, Readonly<Record<ObjectType, string>>>> = {
  objects: { deals: 'crm.objects.deals', tasks: 'crm.objects.contacts' },
  properties: { deals: 'crm.schemas.deals', tasks: 'crm.objects.contacts' },
  pipelines: { deals: 'crm.objects.deals', tasks: 'crm.objects.deals' },
  associations: { deals: 'crm.objects.deals', tasks: 'crm.objects.deals' },
  owners: { deals: 'crm.objects.owners', tasks: 'crm.objects.owners' },
  lists: { deals: 'crm.lists', tasks: 'crm.lists' },
}

/** Other addresses, of the account and of sign-in, need none. */
const SCOPED = /^crm/
const GRANTED = new Set(Object.values(SCOPES).flatMap(({ deals, tasks }) => [deals, tasks]))
/** What a token by itself may do: all that unstall needs; `-noscope-<scope>` in it takes one away, `-also-<scope>` adds one. */
function scopesIn(token: string): string[] {
  const all = ['oauth', ...[...GRANTED].flatMap((scope) => [`${scope}.read`, `${scope}.write`])]
  const also = /-also-([\w.-]+)/.exec(token)?.[1]
  const real = all.filter((scope) => scope !== 'crm.objects.owners.write' && !token.includes(`noscope-${scope}`))
  return [...real, ...(also ? [also] : [])]
}
const DEFAULTS = {
  ...{ searchLagMs: 0, taskKey: 'unique', timeZone: 'UTC', accountType: 'STANDARD', calls: [0, 625_000] },
} as const satisfies StoreOptions

type Handler = (call: Call, object: ObjectType) => Answer
/** By method and path; `{v}` and `{object}` are filled in here. */
type Handlers = Readonly<Record<string, Handler>>
const below = (path: string, handlers: Handlers): Handlers =>
  Object.fromEntries(Object.entries(handlers).map(([end, handler]) => [end.replace(' ', ` ${path}`), handler]))

/** `seed.now` should be the sandbox's `now`. Search lag 0, unique task keys and UTC by default. */
export function hubspot(seed: Seed, options: Partial<StoreOptions> = {}): (kernel: Kernel) => Lookalike {
  return (kernel) => {
    const store = new Store(kernel, seed, { ...DEFAULTS, ...options })
    const signIn = oauth(kernel)
    return {
      routes: [
        ...routes(
          {
            'POST /crm/objects/{v}/{object}/search': (call, object) => search(store, object, call),
            ...below('/crm/objects/{v}/{object}', objects(store)),
            ...below('/crm/properties/{v}/{object}', properties(store)),
            ...below('/crm/lists/{v}', lists(store)),
            ...references(store),
            ...signIn.handlers,
          },
          signIn.scopesOf,
        ),
        ...signIn.routes,
      ],
      maxBodyBytes: 3_000_000,
      guard: (call) => guard(kernel, call),
      lane: ({ path }) => (path.startsWith('/oauth/') ? null : path.endsWith('/search') ? SEARCH : NORMAL),
      refuse: (refusal, call) => refuse(refusal, call),
      headers: ({ path }, remaining) => (remaining === null || path.endsWith('/search') ? {} : budget(remaining)),
      state: () => state(store),
      act: (act) => perform(store, act),
    }
  }
}

function routes(handlers: Handlers, scopesOf: (token: string) => readonly string[]): Route[] {
  return Object.entries(handlers).flatMap(([key, handler]) => {
    const [method = '', path = ''] = key.split(' ')
    const addresses = [...VERSIONS.map((version) => path.replace('{v}', version)), undated(path)]
    const reads = method === 'GET' || /\/(read|search)$/.test(path)
    const at = (template: string, object: ObjectType): Route => {
      const scope = `${SCOPES[path.split('/')[2] ?? '']?.[object]}.${reads ? 'read' : 'write'}`
      const handle = (call: Call) => {
        if (SCOPED.test(scope) && !scopesOf(bearer(call)).includes(scope)) throw missing(scope)
        return handler(call, object)
      }
      return { method, template, handle }
    }
    return addresses
      .filter((address) => !address.includes('{v}'))
      .flatMap((address) => {
        if (!address.includes('{object}')) return at(address, 'deals')
        return OBJECTS.flatMap((object) => NAMES[object].map((name) => at(address.replace('{object}', name), object)))
      })
  })
}

const bearer = ({ headers }: Call) => /^Bearer (sandbox-\S+)$/.exec(headers.authorization ?? '')?.[1] ?? ''
function guard(kernel: Kernel, call: Call): Answer | null {
  if (call.path.startsWith('/oauth/')) return null
  if (call.query.toString().length > MAX_QUERY) return new Failed(414, 'VALIDATION_ERROR', 'URI Too Long').answer
  const token = bearer(call)
  const known = token === '' ? 'not found' : kernel.tokens.check(token)
  if (known === 'valid') return null
  const category = known === 'expired' ? 'EXPIRED_AUTHENTICATION' : 'INVALID_AUTHENTICATION'
  return new Failed(401, category, `The OAuth token used to make this call is ${known}.`).answer
}
function missing(scope: string): Failed {
  const errors = [{ message: 'One or more scopes are required.', context: { requiredGranularScopes: [scope] } }]
  const message = "This app hasn't been granted all required scopes to make this call."
  return new Failed(403, 'MISSING_SCOPES', message, { errors })
}

const budget = (remaining: number) => ({
  'x-hubspot-ratelimit-max': String(NORMAL.max),
  'x-hubspot-ratelimit-remaining': String(remaining),
  'x-hubspot-ratelimit-interval-milliseconds': String(NORMAL.windowMs),
})
function refuse({ kind, lane, retryAfterS, policyName }: Refusal, call: Call): Answer {
  if (kind === 'not-found') return new Failed(404, 'OBJECT_NOT_FOUND', `No resource at ${call.path}`).answer
  if (kind === 'method') return new Failed(405, 'VALIDATION_ERROR', `${call.method} is not allowed here`).answer
  if (kind === 'too-large') return new Failed(413, 'VALIDATION_ERROR', 'Request entity too large').answer
  if (kind === 'server-error') return new Failed(500, 'INTERNAL_ERROR', 'internal error').answer
  if (kind === 'bad-gateway')
    return { status: 502, body: '<html><h1>502 Bad Gateway</h1></html>', headers: { 'content-type': 'text/html' } }
  const name = kind === 'daily' ? 'DAILY' : lane === 'search' ? 'SECONDLY' : 'TEN_SECONDLY_ROLLING'
  const more = { errorType: 'RATE_LIMIT', policyName: policyName ?? name, requestId: randomUUID() }
  const refused = new Failed(429, 'RATE_LIMITS', `You have reached your ${name.toLowerCase()} limit.`, more)
  const wait = retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) }
  return { ...refused.answer, headers: { ...(lane === 'normal' ? budget(0) : {}), ...wait } }
}

/** Handlers below `/crm/properties/<version>/<object>`. */
function properties(store: Store): Handlers {
  const free = (name: string, taken: ReadonlyMap<string, unknown>) => {
    if (taken.has(name)) throw new Failed(409, 'OBJECT_ALREADY_EXISTS', `A property or group '${name}' already exists.`)
  }
  /** All are judged before any is made. */
  const create = (object: ObjectType, inputs: readonly z.infer<typeof PropertyCreate>[]) => {
    const known = store.properties[object]
    const made = new Map<string, Property>()
    for (const input of inputs) {
      free(input.name, new Map([...known, ...made]))
      if (input.hasUniqueValue && object === 'tasks' && store.options.taskKey === 'plain')
        throw invalid('Unique properties are not supported for object type TASK')
      const createdAt = iso(store.kernel.now())
      made.set(input.name, { ...custom(input, store.groups[object], known), createdAt })
    }
    for (const [id, property] of made) {
      known.set(id, property)
      store.kernel.record({ object: 'property', id, before: null, after: { ...shown(property), object } })
    }
    return [...made.values()].map(shown)
  }
  const Batch = z.object({ inputs: z.array(PropertyCreate).min(1).max(100) })
  const Group = z.object({ name: Name, label: z.string().min(1) })
  const theProperty = (object: ObjectType, name = '') => {
    const property = store.properties[object].get(name)
    if (!property) throw new Failed(404, 'OBJECT_NOT_FOUND', `Property ${name} does not exist`)
    return property
  }
  const theGroup = (object: ObjectType, name: string) => {
    const label = store.groups[object].get(name)
    if (label === undefined) throw new Failed(404, 'OBJECT_NOT_FOUND', `Group ${name} does not exist`)
    return label
  }
  const group = ([name, label]: [string, string]) => ({ name, label, displayOrder: -1, archived: false })
  return {
    'GET ': (_, object) => ok({ results: [...store.properties[object].values()].map(shown) }),
    'POST ': (call, object) => ({ status: 201, body: create(object, [parse(PropertyCreate, call)])[0] }),
    'POST /batch/create': (call, object) => answered(store, create(object, parse(Batch, call).inputs), [], 201),
    'GET /groups': (_, object) => ok({ results: [...store.groups[object]].map(group) }),
    'POST /groups': (call, object) => {
      const { name, label } = parse(Group, call)
      free(name, store.groups[object])
      store.groups[object].set(name, label)
      store.kernel.record({ object: 'group', id: name, before: null, after: { name, label, object } })
      return { status: 201, body: group([name, label]) }
    },
    'GET /{name}': ({ params: { name } }, object) => ok(shown(theProperty(object, name))),
    'DELETE /{name}': ({ params: { name = '' } }, object) => {
      if (theProperty(object, name).hubspotDefined) throw invalid(`Property ${name} is HubSpot's own`)
      const formulas = [...store.properties[object].values()].map((one) => one.calculationFormula ?? '')
      const filters = [...store.segments.values()].map((one) => JSON.stringify(one))
      if ([...formulas, ...filters].some((used) => new RegExp(`\\b${name}\\b`).test(used)))
        throw invalid(`Property ${name} is in use and cannot be deleted`)
      store.drop(object, name)
      return { status: 204 }
    },
    'GET /groups/{group}': ({ params: { group: name = '' } }, object) => ok(group([name, theGroup(object, name)])),
    'DELETE /groups/{group}': ({ params: { group: name = '' } }, object) => {
      const label = theGroup(object, name)
      if ([...store.properties[object].values()].some(({ groupName }) => groupName === name))
        throw invalid(`Group ${name} has properties`)
      store.groups[object].delete(name)
      store.kernel.record({ object: 'group', id: name, before: { name, label, object }, after: null })
      return { status: 204 }
    },
  }
}
const shown = ({ formula: _, ...property }: Property) => ({
  ...{ ...property, archived: false },
  modificationMetadata: {
    archivable: !property.hubspotDefined,
    readOnlyDefinition: property.hubspotDefined,
    readOnlyValue: property.calculated,
  },
})

const DATES = { createdAt: '2020-01-01T00:00:00.000Z', updatedAt: '2020-01-01T00:00:00.000Z', archived: false }
const owner = ({ id, userId, email, firstName, lastName, team, active }: Store['owners'][number]) => ({
  ...{ id, email, firstName, lastName, type: 'PERSON', userIdIncludingInactive: userId, ...DATES, archived: !active },
  ...(active ? { userId } : {}),
  teams: [{ id: team, name: team, primary: true }],
})

/** Pipelines, owners, the account and which tasks hang on which deals. */
function references(store: Store): Handlers {
  const pipelines = store.seed.pipelines.map(({ id, label, stages }, displayOrder) => ({
    ...{ id, label, displayOrder, ...DATES },
    stages: stages.map((stage, displayOrder) => ({
      ...{ id: stage.id, label: stage.label, displayOrder, writePermissions: 'CRM_PERMISSIONS_ENFORCEMENT', ...DATES },
      metadata: { probability: stage.probability.toFixed(1), isClosed: String([0, 1].includes(stage.probability)) },
    })),
  }))
  const account = {
    ...{ portalId: PORTAL, accountType: store.options.accountType, uiDomain: 'app.hubspot.com' },
    timeZone: store.options.timeZone,
    ...{ companyCurrency: store.seed.currency, additionalCurrencies: [], dataHostingLocation: 'na1' },
  }
  const owners = ({ query }: Call) => {
    const limit = Number(query.get('limit') ?? 100)
    if (!(limit >= 1 && limit <= 500)) throw invalid('limit must be between 1 and 500')
    const [after, archived] = [query.get('after') ?? '', query.get('archived') === 'true']
    const fits = store.owners.filter((one) => one.active !== archived && one.id > after)
    const results = fits.slice(0, limit).map(owner)
    return ok({ results, ...(fits.length > limit ? { paging: { next: { after: results.at(-1)?.id } } } : {}) })
  }
  const linked = (from: ObjectType, to: ObjectType, typeId: number) => (call: Call) => {
    const associationTypes = [{ category: 'HUBSPOT_DEFINED', typeId, label: null }]
    const results: object[] = []
    const errors: object[] = []
    const { inputs } = parse(Ids, call)
    atMost(1000, inputs)
    for (const { id } of inputs) {
      const others = [...(store.live(from, id)?.linked ?? [])].filter((other) => store.live(to, other))
      const none = new Failed(404, 'OBJECT_NOT_FOUND', `No ${to} is associated with ${from} ${id}.`)
      if (others.length === 0) errors.push(batchError(none, { fromObjectId: [id] }))
      else results.push({ from: { id }, to: others.map((toObjectId) => ({ toObjectId, associationTypes })) })
    }
    return answered(store, results, errors)
  }
  return {
    'GET /crm/pipelines/{v}/deals': () => ok({ results: pipelines }),
    'GET /crm/owners/{v}': owners,
    'GET /account-info/{v}/details': () => ok(account),
    'GET /account-info/{v}/api-usage/daily/private-apps': () => {
      const [currentUsage, usageLimit] = store.options.calls
      const now = iso(store.kernel.now())
      const day = { collectedAt: now, fetchStatus: 'SUCCESS', resetsAt: now, currentUsage, usageLimit }
      return ok({ results: [{ name: 'private-apps-api-calls-daily', ...day }] })
    },
    'GET /crm/limits/{v}/{kind}': () => ok({ overallLimit: 1000, overallUsage: 0, overallPercentage: 0 }),
    'POST /crm/associations/{v}/deals/tasks/batch/read': linked('deals', 'tasks', DEAL_TO_TASK),
    'POST /crm/associations/{v}/tasks/deals/batch/read': linked('tasks', 'deals', TASK_TO_DEAL),
  }
}

/** Codes and refresh tokens that nobody issued are good as well if they begin with `sandbox-`: a way in without a page.
 *  Of those that came from the page the client is checked. Refresh tokens do not rotate and do not end. */
function oauth(kernel: Kernel) {
  const all = scopesIn('')
  const consent = createConsent(kernel, '/oauth/authorize', 'sandbox-consent-', all.join(' '), all)
  /** Refresh tokens of consents, and issued access tokens: what was allowed. */
  const consented = new Map<string, readonly string[]>()
  const issued = new Map<string, readonly string[]>()
  const scopesOf = (token: string) => issued.get(token) ?? scopesIn(token)
  const valid = (token: string) => token.startsWith('sandbox-') && kernel.tokens.check(token) === 'valid'
  const wrong = (status: string, message: string) => new Failed(400, status, message, { status })
  const dead = () => wrong('BAD_REFRESH_TOKEN', 'missing or invalid refresh token')
  const token = ({ body }: Call) => {
    const form = new URLSearchParams(body)
    const given = (name: string) => form.get(name) ?? ''
    const [code, old, grant] = [given('code'), given('refresh_token'), given('grant_type')]
    const page = code.startsWith('sandbox-consent-')
    if ((page || consented.has(old)) && (given('client_id') !== CLIENT || given('client_secret') !== SECRET))
      throw wrong('BAD_CLIENT_ID', 'missing or unknown client id or secret')
    let scopes = consented.get(old) ?? all
    if (grant === 'authorization_code') {
      const allowed = page ? consent.redeem(form) : null
      if (allowed && 'error' in allowed) throw wrong('BAD_AUTH_CODE', allowed.why)
      if (!valid(code)) throw wrong('BAD_AUTH_CODE', 'missing or unknown auth code')
      scopes = allowed?.scope.split(' ') ?? all
    } else if (grant !== 'refresh_token' || !valid(old)) throw dead()
    const access_token = `sandbox-${secret()}`
    kernel.tokens.issue(access_token)
    issued.set(access_token, scopes)
    const refresh_token = grant === 'refresh_token' ? old : `sandbox-refresh-${secret()}`
    kernel.tokens.check(refresh_token) // makes it known, so that the act revoke-token reaches it too
    if (page) consented.set(refresh_token, scopes)
    const told = { token_type: 'bearer', hub_id: PORTAL, scopes }
    return ok({ access_token, refresh_token, expires_in: kernel.options.tokenLifeS ?? 1800, ...told })
  }
  /** Of keys and private apps: this address has no date. */
  const info = (call: Call) => {
    const { tokenKey } = parse(z.object({ tokenKey: z.string() }), call)
    if (!valid(tokenKey) || issued.has(tokenKey)) throw new Failed(404, 'OBJECT_NOT_FOUND', 'No such private app')
    return ok({ userId: 7001, hubId: PORTAL, appId: OWN_APP, scopes: scopesIn(tokenKey) })
  }
  const handlers: Handlers = {
    'POST /oauth/{v}/token': token,
    'POST /oauth/{v}/token/revoke': ({ body }) => {
      kernel.tokens.revoke(new URLSearchParams(body).get('token') ?? '')
      return { status: 200 }
    },
    'POST /oauth/{v}/token/introspect': ({ body }) => {
      const given = new URLSearchParams(body).get('token') ?? ''
      const active = valid(given)
      const granted = { hub_id: PORTAL, app_id: OWN_APP, token_type: 'bearer', scopes: scopesOf(given) }
      return ok(active ? { active, ...granted } : { active })
    },
  }
  const routes: Route[] = [...consent.routes, { method: 'POST', template: TOKEN_INFO, handle: info }]
  return { scopesOf, routes, handlers }
}

function* state(store: Store): Iterable<Readonly<Record<string, unknown>>> {
  const { kernel, seed, options } = store
  const account = { portalId: PORTAL, currency: seed.currency, timeZone: options.timeZone, taskKey: options.taskKey }
  yield { kind: 'meta', system: 'hubspot', now: iso(kernel.now()), ...account }
  for (const one of store.owners) yield { kind: 'owner', ...owner(one), managerEmail: one.managerEmail }
  for (const object of OBJECTS)
    for (const property of store.properties[object].values())
      if (!property.hubspotDefined) yield { kind: 'field', object: object.slice(0, -1), ...shown(property) }
  for (const item of OBJECTS.flatMap((object) => store.items[object])) {
    if (item.archived !== null) continue
    const all = [...store.properties[item.object].keys()].map((name) => [name, store.read(item, name) ?? ''])
    const properties = Object.fromEntries(all.filter(([, value]) => value !== ''))
    const [dealId = null] = item.linked
    const { object, id } = item
    yield object === 'deals' ? { kind: 'deal', id, properties } : { kind: 'task', id, dealId, properties }
  }
}
