// The HubSpot lookalike: routes, sign-in, scopes, errors, limits and the lines of its state. Paths as dated in the
// public specifications (2026-09; 2026-03 is still served).
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { type Answer, type Call, type Kernel, type Lookalike, type Refusal, Refused, type Route } from '../kernel.ts'
import type { Seed } from '../seed.ts'
import { perform } from './acts.ts'
import { answered, body, DEAL_TO_TASK, objectRoutes, TASK_TO_DEAL } from './objects.ts'
import { custom, failure, type ObjectType, type Property, parse } from './properties.ts'
import { search } from './search.ts'
import { OWN_APP, Store, type StoreOptions } from './store.ts'

const VERSIONS = ['2026-09', '2026-03']
/** Lists of properties in the address fail from about here (airbyte source-hubspot, BEHAVIOR.md 5). */
const MAX_QUERY = 15_000
const PORTAL = 4010001
const TYPES: Readonly<Record<ObjectType, string>> = { deals: '0-3', tasks: '0-27' }
/** HubSpot's limits for OAuth apps: 110 calls in 10 s; search 5 in a second (usage guidelines). */
const NORMAL = { name: 'normal', max: 110, windowMs: 10_000, burst: 11 }
const SEARCH = { name: 'search', max: 5, windowMs: 1000, burst: 5 }

/** `seed.now` should be the sandbox's `now`. Search lag 0 and unique task keys by default. */
export function hubspot(seed: Seed, options: Partial<StoreOptions> = {}): (kernel: Kernel) => Lookalike {
  const settings = { searchLagMs: 0, taskKey: 'unique', timeZone: 'UTC', ...options } as const
  return (kernel) => {
    const store = new Store(kernel, seed, settings)
    return {
      routes: [...VERSIONS.flatMap((version) => routes(store, version)), ...oauth(kernel)],
      maxBodyBytes: 3_000_000,
      guard: (call) => guard(kernel, call),
      lane: (call) => (call.path.startsWith('/oauth/') ? null : call.path.endsWith('/search') ? SEARCH : NORMAL),
      refuse,
      headers: (call, remaining) => (remaining === null || call.path.endsWith('/search') ? {} : budget(remaining)),
      state: () => state(store),
      act: (act) => perform(store, kernel, act),
    }
  }
}

const budget = (remaining: number) => ({
  'x-hubspot-ratelimit-max': String(NORMAL.max),
  'x-hubspot-ratelimit-remaining': String(remaining),
  'x-hubspot-ratelimit-interval-milliseconds': String(NORMAL.windowMs),
})

function guard(kernel: Kernel, call: Call): Answer | null {
  if (call.path.startsWith('/oauth/')) return null
  if (call.query.toString().length > MAX_QUERY) return failure(414, 'VALIDATION_ERROR', 'URI Too Long')
  const token = /^Bearer (sandbox-\S+)$/.exec(call.headers.authorization ?? '')?.[1]
  if (token === undefined) {
    const help = 'This API supports OAuth 2.0 authentication and you can find more details at'
    const message = `Authentication credentials not found. ${help} https://developers.hubspot.com/docs/methods/auth/oauth-overview`
    return failure(401, 'INVALID_AUTHENTICATION', message)
  }
  const known = kernel.tokens.check(token)
  if (known === 'valid') return null
  const category = known === 'expired' ? 'EXPIRED_AUTHENTICATION' : 'INVALID_AUTHENTICATION'
  return failure(401, category, `The OAuth token used to make this call is ${known}.`)
}

/** `sandbox-noscope-<scope>` is a token without that scope. */
function needScope(call: Call, scope: string): void {
  if (!call.headers.authorization?.includes(`noscope-${scope}`)) return
  const errors = [
    { message: 'One or more of the following scopes are required.', context: { requiredGranularScopes: [scope] } },
  ]
  const message =
    "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: https://developers.hubspot.com/scopes."
  throw new Refused(failure(403, 'MISSING_SCOPES', message, { errors }))
}

function refuse(refusal: Refusal, call: Call): Answer {
  switch (refusal.kind) {
    case 'rate':
    case 'daily': {
      const name = refusal.kind === 'daily' ? 'DAILY' : refusal.lane === 'search' ? 'SECONDLY' : 'TEN_SECONDLY_ROLLING'
      const message = `You have reached your ${name.toLowerCase()} limit.`
      const extra = { errorType: 'RATE_LIMIT', policyName: refusal.policyName ?? name, requestId: randomUUID() }
      const wait = refusal.retryAfterS === undefined ? {} : { 'retry-after': String(refusal.retryAfterS) }
      const headers = { ...(refusal.lane === 'normal' ? budget(0) : {}), ...wait }
      return { ...failure(429, 'RATE_LIMITS', message, extra), headers }
    }
    case 'not-found':
      return failure(404, 'OBJECT_NOT_FOUND', `No resource at ${call.path}`)
    case 'method':
      return failure(405, 'VALIDATION_ERROR', `${call.method} is not allowed here`)
    case 'too-large':
      return failure(413, 'VALIDATION_ERROR', 'Request entity too large')
    case 'server-error':
      return failure(500, 'INTERNAL_ERROR', 'internal error')
    case 'bad-gateway':
      return {
        status: 502,
        body: '<html><body><h1>502 Bad Gateway</h1></body></html>',
        headers: { 'content-type': 'text/html' },
      }
  }
}

/** Wraps handlers with the scope they need. */
const scoped = (list: readonly Route[], scope: (route: Route) => string): Route[] =>
  list.map((route) => ({
    ...route,
    handle: (call) => {
      needScope(call, scope(route))
      return route.handle(call)
    },
  }))
const writes = ({ method, template }: Route) => method !== 'GET' && !/\/(read|search)$/.test(template)

function routes(store: Store, version: string): Route[] {
  const found: Route[] = []
  for (const object of ['deals', 'tasks'] as const) {
    const holder = object === 'deals' ? 'deals' : 'contacts'
    for (const name of [object, TYPES[object]]) {
      const root = `/crm/objects/${version}/${name}`
      const list = [
        { method: 'POST', template: `${root}/search`, handle: (call: Call) => search(store, object, call) },
        ...objectRoutes(store, root, object),
      ]
      found.push(...scoped(list, (route) => `crm.objects.${holder}.${writes(route) ? 'write' : 'read'}`))
      const schema = propertyRoutes(store, `/crm/properties/${version}/${name}`, object)
      const family = object === 'deals' ? 'crm.schemas.deals' : 'crm.objects.contacts'
      found.push(...scoped(schema, (route) => `${family}.${writes(route) ? 'write' : 'read'}`))
    }
  }
  const get = (template: string, handle: (call: Call) => unknown): Route => ({
    method: 'GET',
    template,
    handle: (call) => ({ status: 200, body: handle(call) }),
  })
  found.push(
    ...scoped(
      [
        get(`/crm/pipelines/${version}/deals`, () => ({ results: pipelines(store) })),
        associations(store, version, 'deals', 'tasks', DEAL_TO_TASK),
        associations(store, version, 'tasks', 'deals', TASK_TO_DEAL),
      ],
      () => 'crm.objects.deals.read',
    ),
    ...scoped([get(`/crm/owners/${version}`, (call) => ownerPage(store, call))], () => 'crm.objects.owners.read'),
    get(`/account-info/${version}/details`, () => ({
      ...{
        portalId: PORTAL,
        accountType: 'STANDARD',
        timeZone: store.options.timeZone,
        companyCurrency: store.seed.currency,
      },
      ...{ additionalCurrencies: [], uiDomain: 'app.hubspot.com', dataHostingLocation: 'na1' },
    })),
    get(`/crm/limits/${version}/{kind}`, () => ({ overallLimit: 1000, overallUsage: 0, overallPercentage: 0 })),
  )
  return found
}

function propertyRoutes(store: Store, root: string, object: ObjectType): Route[] {
  const known = store.properties[object]
  const groups = store.groups[object]
  const exists = (name: string) =>
    failure(409, 'OBJECT_ALREADY_EXISTS', `A property or group named '${name}' already exists.`)
  const define = (raw: unknown): Property => {
    const property = custom(raw, groups, known)
    if (known.has(property.name)) throw new Refused(exists(property.name))
    if (property.hasUniqueValue && object === 'tasks' && store.options.taskKey === 'plain')
      throw new Refused(failure(400, 'VALIDATION_ERROR', 'Unique properties are not supported for object type TASK'))
    return property
  }
  const keep = (property: Property) => {
    known.set(property.name, property)
    store.kernel.record({ object: 'property', id: property.name, before: null, after: { ...shown(property), object } })
    return shown(property)
  }
  const route = (method: string, path: string, handle: (call: Call) => Answer): Route => ({
    method,
    template: root + path,
    handle,
  })
  return [
    route('GET', '', () => ({ status: 200, body: { results: [...known.values()].map(shown) } })),
    route('POST', '', (call) => ({ status: 201, body: keep(define(body(call))) })),
    route('POST', '/batch/create', (call) => {
      const { inputs } = parse(z.object({ inputs: z.array(z.unknown()).min(1).max(100) }), body(call))
      const defined = inputs.map(define)
      const twice = defined.find(({ name }, index) => defined.findIndex((other) => other.name === name) !== index)
      if (twice) throw new Refused(exists(twice.name))
      return answered(store, defined.map(keep), [], 201)
    }),
    route('GET', '/groups', () => ({
      status: 200,
      body: { results: [...groups].map(([name, label]) => group(name, label)) },
    })),
    route('POST', '/groups', (call) => {
      const { name, label } = parse(
        z.object({ name: z.string().regex(/^[a-z][a-z0-9_]*$/), label: z.string().min(1) }),
        body(call),
      )
      if (groups.has(name)) throw new Refused(exists(name))
      groups.set(name, label)
      store.kernel.record({ object: 'group', id: name, before: null, after: { name, label, object } })
      return { status: 201, body: group(name, label) }
    }),
    route('GET', '/{name}', (call) => {
      const property = known.get(call.params.name ?? '')
      if (property) return { status: 200, body: shown(property) }
      throw new Refused(failure(404, 'OBJECT_NOT_FOUND', `Property ${call.params.name} does not exist`))
    }),
  ]
}
const group = (name: string, label: string) => ({ name, label, displayOrder: -1, archived: false })
const shown = ({ readOnly, formula: _, ...property }: Property) => ({
  ...property,
  archived: false,
  modificationMetadata: {
    archivable: !property.hubspotDefined,
    readOnlyDefinition: property.hubspotDefined,
    readOnlyValue: readOnly,
  },
})

const DATES = { createdAt: '2020-01-01T00:00:00.000Z', updatedAt: '2020-01-01T00:00:00.000Z', archived: false }
const pipelines = (store: Store) =>
  store.seed.pipelines.map(({ id, label, stages }, displayOrder) => ({
    ...{ id, label, displayOrder, ...DATES },
    stages: stages.map((stage, displayOrder) => ({
      ...{ id: stage.id, label: stage.label, displayOrder, writePermissions: 'CRM_PERMISSIONS_ENFORCEMENT', ...DATES },
      metadata: { probability: stage.probability.toFixed(1), isClosed: String([0, 1].includes(stage.probability)) },
    })),
  }))

const owner = ({ id, userId, email, firstName, lastName, team, active }: Store['owners'][number]) => ({
  ...{ id, email, firstName, lastName, type: 'PERSON', userIdIncludingInactive: userId, ...DATES, archived: !active },
  ...(active ? { userId } : {}),
  teams: [{ id: team, name: team, primary: true }],
})
function ownerPage(store: Store, call: Call) {
  const limit = Number(call.query.get('limit') ?? 100)
  if (!(limit >= 1 && limit <= 500))
    throw new Refused(failure(400, 'VALIDATION_ERROR', 'limit must be between 1 and 500'))
  const [email, archived] = [call.query.get('email'), call.query.get('archived') === 'true']
  const after = call.query.get('after') ?? ''
  const all = store.owners.filter(
    (one) => one.active !== archived && one.id > after && (email ?? one.email) === one.email,
  )
  const results = all.slice(0, limit).map(owner)
  return { results, ...(all.length > limit ? { paging: { next: { after: results.at(-1)?.id } } } : {}) }
}

function associations(store: Store, version: string, from: ObjectType, to: ObjectType, typeId: number): Route {
  const Inputs = z.object({
    inputs: z
      .array(z.object({ id: z.string() }))
      .min(1)
      .max(1000),
  })
  const handle = (call: Call) => {
    const errors: object[] = []
    const results = parse(Inputs, body(call)).inputs.flatMap(({ id }) => {
      const linked = [...(store.live(from, id)?.linked ?? [])].filter((other) => store.live(to, other))
      const message = `No ${to} is associated with ${from} ${id}.`
      if (linked.length === 0) {
        errors.push({
          status: 'error',
          category: 'OBJECT_NOT_FOUND',
          subCategory: 'crm.associations.NO_ASSOCIATIONS_FOUND',
          message,
          context: { fromObjectId: [id] },
        })
        return []
      }
      const associationTypes = [{ category: 'HUBSPOT_DEFINED', typeId, label: null }]
      return [{ from: { id }, to: linked.map((toObjectId) => ({ toObjectId, associationTypes })) }]
    })
    return answered(store, results, errors)
  }
  return { method: 'POST', template: `/crm/associations/${version}/${from}/${to}/batch/read`, handle }
}

function oauth(kernel: Kernel): Route[] {
  const form = (call: Call) => new URLSearchParams(call.body)
  const refusedToken = () => new Refused(failure(400, 'BAD_REFRESH_TOKEN', 'missing or invalid refresh token'))
  return VERSIONS.flatMap((version) => [
    {
      method: 'POST',
      template: `/oauth/${version}/token`,
      handle: (call) => {
        const grant = form(call).get('grant_type')
        const given = form(call).get(grant === 'refresh_token' ? 'refresh_token' : 'code') ?? ''
        const ok = grant === 'refresh_token' || grant === 'authorization_code'
        if (!ok || !given.startsWith('sandbox-') || kernel.tokens.check(given) !== 'valid') throw refusedToken()
        const access = `sandbox-${randomUUID()}`
        kernel.tokens.issue(access)
        const refresh = grant === 'refresh_token' ? given : `sandbox-refresh-${randomUUID()}`
        const expires = kernel.options.tokenLifeS ?? 1800
        return {
          status: 200,
          body: { access_token: access, refresh_token: refresh, expires_in: expires, token_type: 'bearer' },
        }
      },
    },
    {
      method: 'POST',
      template: `/oauth/${version}/token/introspect`,
      handle: (call) => {
        const token = form(call).get('token') ?? ''
        const active = token.startsWith('sandbox-') && kernel.tokens.check(token) === 'valid'
        return {
          status: 200,
          body: active ? { active, hub_id: PORTAL, app_id: OWN_APP, token_type: 'bearer' } : { active },
        }
      },
    },
  ])
}

function* state(store: Store): Iterable<Readonly<Record<string, unknown>>> {
  yield {
    kind: 'meta',
    system: 'hubspot',
    now: new Date(store.kernel.now()).toISOString(),
    portalId: PORTAL,
    currency: store.seed.currency,
    timeZone: store.options.timeZone,
    taskKey: store.options.taskKey,
  }
  for (const one of store.owners) yield { kind: 'owner', ...owner(one), managerEmail: one.managerEmail }
  for (const object of ['deals', 'tasks'] as const)
    for (const property of store.properties[object].values())
      if (!property.hubspotDefined) yield { kind: 'field', object: object.slice(0, -1), ...shown(property) }
  for (const object of ['deals', 'tasks'] as const) {
    for (const item of store.after(object, 0)) {
      if (item.archivedAt !== null) continue
      const properties: Record<string, string> = {}
      for (const name of store.properties[object].keys()) {
        const value = store.read(item, name) ?? ''
        if (value !== '') properties[name] = value
      }
      const [dealId = null] = item.linked
      yield object === 'deals'
        ? { kind: 'deal', id: item.id, properties }
        : { kind: 'task', id: item.id, dealId, properties }
    }
  }
}
