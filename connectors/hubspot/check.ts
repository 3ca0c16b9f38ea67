// What `check` reports: token and scopes, account and budget, our fields, owners, and what HubSpot cannot tell. Every
// finding says in a RevOps manager's words what it costs or what to do.
import { type ConnectorOptions, type Finding, type Health, judged, type SetupStep } from '../../src/connector.ts'
import type { Owner } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import type { Hub } from './api.ts'
import { FIELDS, FORECAST_AMOUNT, FORECAST_CATEGORY, TASK_KEY } from './fields.ts'
import { type App, aboutScopes, NEEDED } from './scopes.ts'
import { propertiesOf, segmentIn, survey } from './setup.ts'
import { type Account, CrmRecord, type Property, type Usage } from './wire.ts'

const SENTENCES: readonly (readonly [string, string])[] = [
  [
    'HubSpot does not tell who took part in meetings: a meeting without the buyer counts as movement too.',
    'Log internal meetings outside the deal.',
  ],
  [
    'HubSpot does not tell which calls were connected or incoming: calls do not count as movement of the buyer.',
    'Set countActivity: any if logged calls and outgoing e-mails should count weakly; notes are not told apart from our own tasks.',
  ],
]
/** Sentences of `check`; the same everywhere, so that tests and the guides can quote them. */
export const CANNOT_TELL = SENTENCES.map(([what, todo]): Finding => ({ level: 'warn', what, todo }))
const RULES: Finding = {
  level: 'warn',
  what: 'HubSpot does not tell which properties it requires of a deal: one that lacks them may refuse our flag.',
  todo: 'unstall runs names refused writes; relax the rule under Settings > Objects > Deals > Pipelines > (the stage) > Conditional stage properties.',
}

/** When HubSpot stops supporting the version of our paths: 18 months after it came out (hubspot.md 0). */
const VERSION = { name: '2026-09', until: Date.parse('2028-03-08') }
const QUARTER_MS = 90 * 86_400_000
/** Ids an IN filter takes, and groups of filters a search takes. */
const [IDS, GROUPS] = [100, 4]

interface Asks {
  readonly scopes: () => Promise<readonly string[] | null>
  readonly owners: () => Promise<readonly Owner[]>
}

/** Read-only. Throws only RetryLater and the abort reason. */
export async function check(
  hub: Hub,
  { timezone, clock, app }: Pick<ConnectorOptions, 'timezone' | 'clock'> & { readonly app?: App },
  ask: Asks,
): Promise<Health> {
  const findings: Finding[] = []
  let scopes: readonly string[] | null = null
  const say = (level: Finding['level'], what: string, todo?: string) =>
    void findings.push({ level, what, ...(todo && { todo }) })
  /** Null where HubSpot does not let us: the finding names the scope, unless the list of scopes does. */
  async function may<T>(what: string, work: Promise<T>): Promise<T | null> {
    try {
      const found = await work
      say('ok', what)
      return found
    } catch (error) {
      if (!(error instanceof Fatal)) throw error
      const { message } = error
      const told = Object.keys(NEEDED).some((scope) => scopes?.includes(scope) === false && message.includes(scope))
      if (!told) say('problem', `${what}: not possible`, message)
      return null
    }
  }

  const account = await may('The token is accepted', hub.account())
  if (account === null) return { findings, steps: [] }
  scopes = await ask.scopes()
  // The daily pool is not that of OAuth apps.
  const usage = app ? null : await unless(hub.usage())
  findings.push(...aboutAccount(account, timezone), ...aboutCalls(usage, hub.leftToday()))
  const month = new Date(VERSION.until).toLocaleDateString('en', { month: 'long', year: 'numeric', timeZone: 'UTC' })
  const version = `API version ${VERSION.name}, which HubSpot supports until ${month}`
  const supported = clock() < VERSION.until - QUARTER_MS
  findings.push(judged(supported, version, version, 'Install a newer version of unstall before then.'))
  await may('Reading deals', hub.list('deals', { limit: '1' }))
  await may('Reading pipelines', hub.pipelines())
  const owners = await may('Reading owners', ask.owners())
  await may('Reading tasks', hub.list('tasks', { limit: '1' }))
  const orphans = owners && (await unless(unowned(hub, owners)))
  if (orphans) findings.push(orphans)
  const found = await may('Reading property definitions', propertiesOf(hub))
  const steps = found ? survey(found).map(({ step }) => step) : []
  if (found) findings.push(...aboutFields(found, steps))
  const creating = !found || steps.some(({ action }) => action === 'create')
  findings.push(...aboutScopes(scopes, creating))
  const segment = found && (await segmentIn(hub, scopes))
  if (segment && 'finding' in segment) findings.push(segment.finding)
  else if (segment) {
    steps.push(segment.step)
    if (segment.step.action === 'create' && !creating)
      say('warn', 'The segment for managers is missing', 'Run: unstall setup <connection> --apply')
  }
  return { findings: [...findings, ...CANNOT_TELL, RULES], steps }
}

/** Null where HubSpot refuses. */
async function unless<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Fatal) return null
    throw error
  }
}

function* aboutAccount(
  { accountType, portalId, timeZone, companyCurrency, additionalCurrencies }: Account,
  timezone: string,
): Generator<Finding> {
  const place = `HubSpot account ${portalId ?? 'unknown'}`
  yield judged(
    !accountType || accountType === 'STANDARD',
    place,
    `${place} is not the company's real one, but of type ${accountType}`,
    'To work on the real deals, make the key in the standard account (account name > Switch).',
  )
  const others = additionalCurrencies?.length ? `, also ${additionalCurrencies.join(', ')}, added up apart` : ''
  yield judged(
    !timeZone || timeZone === timezone,
    `Time zone ${timeZone ?? 'unknown'}, company currency ${companyCurrency ?? 'unknown'}${others}`,
    `The portal's time zone is ${timeZone}, the configuration says ${timezone}: close dates may differ by a day`,
    `Set timezone: ${timeZone} if the company works in that zone; else change it under Settings > Account Defaults.`,
  )
}

/** HubSpot does not name the edition: its daily limit tells it (hubspot.md 6). */
function* aboutCalls(usage: Usage | null, left: number | null): Generator<Finding> {
  const [one] = usage?.results ?? []
  const limit = one?.usageLimit ?? null
  const rest = one && limit !== null ? Math.max(0, limit - one.currentUsage) : left
  if (rest === null) return
  const tier =
    limit === null ? '' : limit <= 250_000 ? 'Free or Starter' : limit < 1_000_000 ? 'Professional' : 'Enterprise'
  const of = limit === null ? '' : ` of ${limit}, the limit of ${tier}`
  const what = `HubSpot allows ${rest} more calls today${of}`
  const todo = 'See who uses them under (account name) > Account & Billing > Usage & Limits.'
  yield judged(rest >= Math.max(1000, (limit ?? 0) / 10), what, what, todo)
}

/** Open deals that nobody gets a task for. */
async function unowned(hub: Hub, owners: readonly Owner[]): Promise<Finding> {
  const gone = new Map(owners.flatMap(({ active, id, name }) => (active ? [] : [[id, name] as const])))
  const ids = [...gone.keys()].slice(0, IDS * GROUPS)
  const sets = Array.from({ length: Math.ceil(ids.length / IDS) }, (_, i) => ids.slice(i * IDS, (i + 1) * IDS))
  const owner = { propertyName: 'hubspot_owner_id' }
  const open = { propertyName: 'hs_is_closed', operator: 'EQ', value: 'false' }
  const of = [
    { ...owner, operator: 'NOT_HAS_PROPERTY' },
    ...sets.map((values) => ({ ...owner, operator: 'IN', values })),
  ]
  const filterGroups = of.map((filter) => ({ filters: [filter, open] }))
  const { results, total } = await hub.search({ filterGroups, properties: [owner.propertyName], limit: 200 })
  const count = total ?? results.length
  const names = results.map((raw) => {
    const id = CrmRecord.safeParse(raw).data?.properties[owner.propertyName]
    return typeof id === 'string' && id !== '' ? (gone.get(id) ?? id) : 'no owner at all'
  })
  return judged(
    count === 0,
    'Every open deal has an active owner',
    `Open deals without an active owner: ${count} (${[...new Set(names)].slice(0, 5).join(', ')}); nobody gets a task for them`,
    'Give them one: CRM > Deals > table view, filter “Deal owner”, select all > Assign; policy.fallbackOwner gets the list until then.',
  )
}

function* aboutFields(found: ReadonlyMap<string, Property>, steps: readonly SetupStep[]): Generator<Finding> {
  const missing = steps.filter((step) => step.action === 'create')
  const needed = missing.filter((step) => step.id !== `deals.${FORECAST_AMOUNT}`).map((step) => step.what)
  if (needed.length > 0) {
    const what = `${needed.length} of our properties are missing: ${needed.join('; ')}`
    yield { level: 'problem', what, todo: 'Run: unstall setup <connection> --apply' }
  } else if (missing.length > 0) {
    const what = 'The amount that counts is missing: setup has not run, or the portal refuses calculated properties'
    yield { level: 'warn', what, todo: 'Reports must leave out deals whose “Stalled” is Yes instead.' }
  } else {
    const place = 'put them on the deal under Settings > Objects > Deals > Record customization'
    yield {
      level: 'ok',
      what: `All our properties are there: ${place}; views and reports are made by hand (docs/hubspot.md).`,
    }
  }
  for (const { action, what, detail = '' } of steps)
    if (action === 'conflict') yield { level: 'problem', what: `${what} cannot be used`, todo: detail }
  const readOnly = (name: string) => found.get(name)?.modificationMetadata?.readOnlyValue === true
  const closed = FIELDS.filter(({ name, calculationFormula }) => !calculationFormula && readOnly(name))
  if (closed.length > 0) {
    const what = `HubSpot lets nobody write ${closed.map(({ label, name }) => `“${label}” (${name})`).join(', ')}`
    yield { level: 'problem', what, todo: 'Delete them under Settings > Properties, then run unstall setup again.' }
  }
  if (found.get(TASK_KEY)?.hasUniqueValue === false) {
    const what = 'Tasks have no unique key here: unstall looks them up over their deal, which takes more calls'
    yield { level: 'ok', what }
  }
  const categories = (found.get(FORECAST_CATEGORY)?.options ?? []).map((option) => option.value)
  yield judged(
    categories.includes('OMIT') && !readOnly(FORECAST_CATEGORY),
    `Forecast categories: ${categories.join(', ')}; OMIT means “Not forecasted”`,
    'There is no forecast category “Not forecasted” (OMIT) for us: the category of stalled deals is left alone',
    'Forecasting needs Sales Hub Professional; else use the amount that counts.',
  )
}
