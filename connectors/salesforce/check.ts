// What `check` says of an org, in the order a person works through it, as a table: whether all is well, what to say then,
// what to say otherwise and what to do about it, with the menu path.
import { type Finding, type Health, judged, type SetupStep } from '../../src/connector.ts'
import { Fatal } from '../../src/errors.ts'
import { API_VERSION, type Api } from './api.ts'
import type { SalesforceOptions } from './auth.ts'
import { CATEGORY } from './fields.ts'
import type { Known } from './org.ts'
import { survey } from './setup.ts'
import { Organization, Rights, type Row, Rule, sort } from './wire.ts'

type Line = [good: boolean, what: string, otherwise: string, todo: string]

/** Rights by their API name, as the set-up pages call them. */
const NEEDED = { ActivitiesAccess: 'Access Activities', EditTask: 'Edit Tasks' }
const FOR_SETUP = {
  ModifyMetadata: 'Modify Metadata Through Metadata API Functions',
  AssignPermissionSets: 'Assign Permission Sets',
}
const TOO_MUCH = {
  ...{ ModifyAllData: 'Modify All Data', ManageUsers: 'Manage Users' },
  ...{ CustomizeApplication: 'Customize Application', AuthorApex: 'Author Apex' },
}
const RIGHTS = Object.keys({ ...NEEDED, ...FOR_SETUP, ...TOO_MUCH }).map((right) => `Permissions${right}`)
const SCOPES = ['api', 'refresh_token', 'offline_access', 'id', 'openid']
/** Editions that sell the API as an extra and hold fewer fields (salesforce.md 5). */
const LESSER = /Professional|Group|Starter|Essentials|Team/
/** What we fill in when we create a task. */
const FILLED = ['Subject', 'Description', 'OwnerId', 'WhatId', 'ActivityDate', 'Status', 'Priority']
const GRANT = 'Setup > Permission Sets > (a permission set of the API user)'

const CANNOT_TELL = [
  [
    'Salesforce does not say whether a person or a flow made a change: a flow that moves stages or amounts counts as the person whose save started it',
    'name integration users in `policy.automationUsers` (Setup > Users shows them)',
  ],
  [
    'Salesforce does not say whether a meeting took place: an event in the past that nobody deleted counts as held',
    'ask reps to delete or move events that did not take place',
  ],
  [
    'Salesforce does not say whether a record was imported: without history its clock starts at creation, not on the first night',
    'look for imported deals in the preview of the first night before it is confirmed',
  ],
].map(([what = '', todo = '']): Finding => ({ level: 'warn', what, todo }))

/** Read-only. `learn`: the org as it is now. */
export async function check(
  api: Api,
  learn: () => Promise<Known>,
  { credential }: Pick<SalesforceOptions, 'credential'>,
  signal: AbortSignal,
): Promise<Health> {
  const versions = (await api.versions(signal)).map(({ version }) => version)
  if (!versions.includes(API_VERSION)) {
    const what = `Salesforce does not serve API version ${API_VERSION} here, only ${versions[0]} to ${versions.at(-1)}`
    return { findings: [{ level: 'problem', what, todo: 'install a newer version of unstall' }], steps: [] }
  }
  const known = await learn()
  const steps = await survey(api, known, signal)
  const { scope } = await credential.session(signal)
  const seen = await look(api, signal)
  const access = aboutAccess(known, scope, seen, versions.at(-1))
  const warnings = [...access, ...aboutOrg(known, seen), ...aboutData(known, seen)].map((line) => judged(...line))
  const wrong = problems(known, steps, seen).map((line) => judged(...line, 'problem'))
  return { findings: [...wrong, ...warnings, ...CANNOT_TELL], steps }
}

type Seen = Awaited<ReturnType<typeof look>>

/** What only `check` asks for; null: the org does not have it, or does not show it to our user. */
async function look(api: Api, signal: AbortSignal) {
  const may = <T>(work: Promise<T>): Promise<T | null> =>
    work.catch((error) => {
      if (error instanceof Fatal && error.kind !== 'credentials') return null
      throw error
    })
  const named = `EntityDefinition.QualifiedApiName IN ('Opportunity', 'Task')`
  const rules = `SELECT ValidationName, ErrorMessage FROM ValidationRule WHERE Active = true AND ${named}`
  const left = `SELECT OwnerId FROM Opportunity WHERE IsClosed = false AND Owner.IsActive = false`
  const organization = 'SELECT OrganizationType, IsSandbox, TimeZoneSidKey FROM Organization'
  const [limits, org, rights, metric, ruled, orphans] = await Promise.all([
    api.limits(signal),
    may(api.rows(organization, signal)),
    may(api.rows(`SELECT ${RIGHTS.join(', ')} FROM UserPermissionAccess`, signal)),
    may(api.describe('ActivityMetric', signal)),
    may(api.tooling(rules, signal)),
    may(firstPage(api.query(left, signal))),
  ])
  return {
    calls: limits.DailyApiRequests,
    organization: Organization.safeParse(org?.[0]).data ?? null,
    rights: Rights.safeParse(rights?.[0]).data ?? null,
    captured: metric !== null,
    rules: ruled && sort(Rule, ruled, 'ValidationName').good,
    orphans,
  }
}

async function firstPage<T>(pages: AsyncIterable<T>): Promise<T | null> {
  for await (const page of pages) return page
  return null
}

/** Of these rights, those our user has, or (`false`) has not. */
const those = (rights: Seen['rights'], wanted: Readonly<Record<string, string>>, has: boolean) =>
  Object.entries(wanted).flatMap(([key, label]) => (rights && rights[`Permissions${key}`] === has ? label : []))

function problems({ described }: Known, steps: readonly SetupStep[], { rights }: Seen): Line[] {
  const [deals, tasks] = [described.get('Opportunity'), described.get('Task')]
  const lacking = ['Amount', 'CloseDate', CATEGORY].filter(
    (name) => !deals?.fields.some((field) => field.name === name && (name !== CATEGORY || field.updateable)),
  )
  const missing = steps.filter(({ action }) => action !== 'present')
  const conflicts = missing.flatMap(({ detail }) => detail ?? [])
  const wanted = { ...NEEDED, ...(missing.length > 0 && rights?.PermissionsModifyAllData !== true ? FOR_SETUP : {}) }
  const without = those(rights, wanted, false)
  const closed = [deals?.updateable ? [] : 'edit Opportunities', tasks?.createable ? [] : 'create Tasks'].flat()
  const required = (tasks?.fields ?? []).filter(
    (field) => field.createable && !field.nillable && !field.defaultedOnCreate && !FILLED.includes(field.name),
  )
  return [
    [
      missing.length === 0,
      'all fields and permissions of unstall are there',
      `missing: ${missing.map(({ what }) => what).join('; ')}`,
      conflicts.length > 0 ? conflicts.join('; ') : 'run `unstall setup`',
    ],
    [
      lacking.length === 0,
      'our user sees amount, close date and forecast category',
      `our user may not read or edit ${lacking.join(', ')} of Opportunities`,
      `grant them under ${GRANT} > Object Settings > Opportunities`,
    ],
    [
      closed.length === 0,
      'our user may edit Opportunities and create Tasks',
      `our user may not ${closed.join(' nor ')}`,
      `grant Read and Edit under ${GRANT} > Object Settings > Opportunities, and Edit Tasks under System Permissions`,
    ],
    [
      without.length === 0,
      rights ? 'our user has the system permissions it needs' : 'Salesforce does not show our system permissions',
      `our user lacks the system permissions ${without.join(', ')}`,
      `grant them under ${GRANT} > System Permissions`,
    ],
    [
      required.length === 0,
      'tasks have no required field that unstall does not fill',
      `tasks need ${required.map(({ name }) => name).join(', ')}, which unstall does not fill: Salesforce would refuse them`,
      'under Setup > Object Manager > Activity > Fields & Relationships, untick Required or set a default value',
    ],
  ]
}

function aboutAccess({ lens }: Known, scope: string | undefined, seen: Seen, newest = API_VERSION): Line[] {
  const { Max: max, Remaining: left } = seen.calls
  const scopes = (scope ?? '').split(' ').filter((one) => one !== '' && !SCOPES.includes(one))
  const powers = those(seen.rights, TOO_MUCH, true)
  return [
    [
      left > max * 0.2,
      `signed in to ${new URL(lens.instanceUrl).host} with API version ${API_VERSION} (newest: ${newest}); ${left} of ${max} API calls left today`,
      `only ${left} of ${max} API calls are left today`,
      'see who uses them under Setup > Company Information > API Requests, Last 24 Hours',
    ],
    [
      scopes.length === 0,
      scope ? `scopes of the app: ${scope}` : 'Salesforce did not say which scopes the app has',
      `the app has scopes that unstall does not use: ${scopes.join(', ')}`,
      'leave only api (and refresh_token) under Setup > External Client App Manager > (the app) > Settings > OAuth Settings',
    ],
    [
      powers.length === 0,
      'our user has no power over the whole org',
      `our user may do far more than unstall needs: ${powers.join(', ')}`,
      'use an integration user, and take these away under Setup > Profiles and Setup > Permission Sets > System Permissions',
    ],
  ]
}

function aboutOrg({ lens, described, reference }: Known, { organization }: Seen): Line[] {
  const { OrganizationType: edition, IsSandbox, TimeZoneSidKey: zone } = organization ?? {}
  const shown = described.get('Opportunity')?.fields ?? []
  const several = shown.some(({ name }) => name === 'CurrencyIsoCode')
  const money = `${reference.currency ?? 'unknown'}${several ? ', amounts of other currencies are added up apart' : ''}`
  return [
    [
      !LESSER.test(edition ?? ''),
      `${edition ?? 'edition unknown'}${IsSandbox ? ' (a sandbox)' : ''}; Pipeline Inspection ${
        shown.some(({ name }) => name === 'LastStageChangeInDays') ? 'is on' : 'is off, which costs nothing'
      }: unstall counts days and moved close dates itself`,
      `${edition}: the API is an extra here, deals hold 100 fields of your own, and there is no Pipeline Inspection (unstall counts days itself)`,
      'see under Setup > Company Information that API Requests are not 0; if `unstall setup` is refused, create the fields by hand (docs)',
    ],
    [
      !zone || zone === lens.timezone,
      `time zone ${zone ?? 'unknown'}, company currency ${money}`,
      `the org's time zone is ${zone}, the configuration says ${lens.timezone}: days may differ by one`,
      `set \`timezone: ${zone}\`, or change it under Setup > Company Information > Default Time Zone`,
    ],
  ]
}

function aboutData({ reference, lens }: Known, { captured, rules, orphans }: Seen): Line[] {
  const { omitted, tells } = reference
  const owners = (orphans?.records ?? []).map(({ OwnerId }: Row) => lens.users.get(String(OwnerId))?.Name ?? 'unknown')
  const listed = (rules ?? []).map(({ ValidationName, ErrorMessage }) => `${ValidationName} (“${ErrorMessage}”)`)
  return [
    [
      omitted !== null,
      `forecast category that means "not in the forecast": ${omitted}`,
      'no forecast category means "not in the forecast", so stalled deals stay in the forecast',
      'activate Omitted under Setup > Object Manager > Opportunity > Fields > Forecast Category, or set `forecast: amount`',
    ],
    [
      listed.length === 0,
      rules
        ? 'no validation rule can refuse our writes'
        : 'Salesforce does not show us validation rules (View Setup and Configuration): `unstall runs` names refused writes',
      `validation rules that may refuse our writes: ${listed.join('; ')}`,
      'let the API user pass, for example by NOT($Permission.…), under Setup > Object Manager > Opportunity > Validation Rules',
    ],
    [
      !orphans || orphans.totalSize === 0,
      'every open deal has an active owner',
      `open deals of users who are no longer active: ${orphans?.totalSize} (${[...new Set(owners)].slice(0, 5).join(', ')}); nobody gets a task for them`,
      'give them a new owner: Opportunities > (list view by owner) > Change Owner; `policy.fallbackOwner` gets the list until then',
    ],
    [
      tells.history,
      'history of stage, amount and close date: OpportunityHistory',
      'our user sees no opportunity history: movement before the first night is unknown, so old deals get one full limit of patience',
      'grant read access to Opportunities under Setup > Permission Sets',
    ],
    [
      tells.replies,
      'e-mails of buyers: EmailMessage (messages held only in Einstein Activity Capture are not stored as records and do not count)',
      'this org stores no e-mails as records, so a reply of a buyer is not seen as movement: only meetings and calls are',
      'switch on Setup > Email > Enhanced Email, or raise `idleDays`',
    ],
    [
      !captured,
      'Einstein Activity Capture: not seen in this org',
      'Einstein Activity Capture is on: its e-mails and meetings are no records, so reps who rely on it look idle to unstall',
      'have activities stored as records under Setup > Einstein Activity Capture > Settings, or raise `idleDays`',
    ],
  ]
}
