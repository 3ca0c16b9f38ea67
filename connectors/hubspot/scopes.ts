// The scopes unstall needs, what fails without each, and which ones a token has. Asking is no call of the API: it never
// renews a token and is never repeated, and where HubSpot does not answer the scopes are simply unknown.
import { z } from 'zod'
import type { ConnectorOptions, Finding } from '../../src/connector.ts'
import { parse } from './wire.ts'

const TO_CREATE = 'crm.schemas.deals.write'
export const NEEDED: Readonly<Record<string, string>> = {
  'crm.objects.deals.read': 'deals and pipelines cannot be read',
  'crm.objects.deals.write': 'no deal can be flagged',
  'crm.schemas.deals.read': 'our properties cannot be looked for',
  [TO_CREATE]: '`unstall setup` cannot create our properties',
  'crm.objects.owners.read': 'nobody is known to give a task to',
  'crm.objects.contacts.read': 'tasks cannot be read',
  'crm.objects.contacts.write': 'no task can be created',
}
/** Only for the segment, which nothing depends on: HubSpot leaves out those that an account cannot give. */
export const OPTIONAL = ['crm.lists.read', 'crm.lists.write']
/** `oauth` is part of every app. */
const known = (scope: string) => scope in NEEDED || scope === 'oauth' || OPTIONAL.includes(scope)
export const WHERE = 'under Settings > Integrations > Service Keys > (the key) > Edit, or in the app, and connect again'

/** Of an OAuth connection: the app. */
export interface App {
  readonly clientId: string
  readonly clientSecret: string
}
const Told = z.union([
  z.object({ scopes: z.array(z.string()) }).transform(({ scopes }) => scopes),
  z.object({ scope: z.string() }).transform(({ scope }) => scope.split(' ')),
])

/** Null: HubSpot does not say. Only OAuth tokens have a dated address for this; keys and private apps have the old one. */
export async function scopesOf(
  { baseUrl, credential, app }: Pick<ConnectorOptions, 'baseUrl' | 'credential'> & { readonly app?: App },
  signal: AbortSignal,
): Promise<readonly string[] | null> {
  const token = await credential.token(signal)
  const form = app && {
    client_id: app.clientId,
    client_secret: app.clientSecret,
    token,
    token_type_hint: 'access_token',
  }
  const [path, body] = form
    ? ['/oauth/2026-09/token/introspect', new URLSearchParams(form)]
    : ['/oauth/v2/private-apps/get/access-token-info', JSON.stringify({ tokenKey: token })]
  const type = form ? {} : { 'content-type': 'application/json' }
  const headers = { authorization: `Bearer ${token}`, ...type }
  try {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(10_000)])
    const sent = { method: 'POST', headers, body, redirect: 'manual', signal: bounded } as const
    const response = await fetch(new URL(path, baseUrl), sent)
    return response.ok ? (Told.safeParse(parse(await response.text())).data ?? null) : null
  } catch {
    signal.throwIfAborted()
    return null
  }
}

/** `creating`: setup has properties left to create. What the segment lacks is told with it. */
export function* aboutScopes(scopes: readonly string[] | null, creating: boolean): Generator<Finding> {
  if (scopes === null) {
    const what = 'HubSpot does not tell the scopes of this token: what is missing is named when it is needed'
    return yield { level: 'ok', what }
  }
  const missing = Object.entries(NEEDED).filter(([scope]) => !scopes.includes(scope))
  for (const [scope, cost] of missing)
    if (scope !== TO_CREATE || creating)
      yield { level: 'problem', what: `The scope ${scope} is missing: ${cost}`, todo: `Add it ${WHERE}.` }
  const idle = scopes.filter((scope) => !known(scope)).sort()
  if (idle.length > 0) {
    const what = `The token may do more than unstall needs: ${idle.join(', ')}`
    yield { level: 'warn', what, todo: `Take these scopes away ${WHERE}.` }
  } else if (missing.length === 0) yield { level: 'ok', what: 'Scopes: all that are needed, and no other' }
}
