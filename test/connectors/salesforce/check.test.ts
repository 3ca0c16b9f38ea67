// `check` as a doctor: an org in order is green line by line, and each trouble is one line that says what it costs and
// what to do, with the menu path. Real HTTP against the lookalike.
import { Connection } from 'jsforce'
import nock from 'nock'
import { expect, onTestFinished, test } from 'vitest'
import { clientCredentials, connectSalesforce } from '../../../connectors/salesforce/index.ts'
import { generate } from '../../../src/sandbox/generate.ts'
import { startSandbox } from '../../../src/sandbox/kernel.ts'
import { type SalesforceOptions, salesforce } from '../../../src/sandbox/salesforce/index.ts'
import { HOST, never, quietGate, tokens } from './org.ts'

const NOW = Date.parse('2026-11-20T09:00:00Z')

/** Open deals of people who left are part of the seed only where `left` says so. */
async function start(options: SalesforceOptions = {}, { left = false, timezone = 'UTC', setup = true } = {}) {
  const seed = generate({ now: NOW, deals: 60, open: 50 })
  const owners = seed.owners.map((owner) => ({ ...owner, active: left ? owner.active : true }))
  const sandbox = await startSandbox(salesforce({ ...seed, owners }, options), { now: NOW })
  onTestFinished(() => sandbox.close())
  const credential = clientCredentials({ loginUrl: sandbox.url, clientId: 'sandbox', clientSecret: 'sandbox' })
  const common = { gate: quietGate(), clock: () => 0, sleep: async () => {}, timezone }
  const connector = connectSalesforce({ ...common, credential })
  if (setup) for await (const _ of connector.setup(never)) expect(_.action).not.toBe('conflict')
  const { token } = await credential.session(never)
  const admin = new Connection({ instanceUrl: sandbox.url, accessToken: token, version: '67.0' })
  /** One line per finding. */
  const check = async () =>
    (await connector.check(never)).findings.map(
      (one) => `${one.level}: ${one.what}${one.todo ? ` -> ${one.todo}` : ''}`,
    )
  return { connector, check, admin, url: sandbox.url }
}

test('an org in order: green but for what Salesforce never tells', async () => {
  const { check } = await start()
  const lines = await check()
  expect(lines.filter((line) => !line.startsWith('ok'))).toEqual([
    expect.stringMatching(/^warn: .*a person or a flow.* -> .*Setup > Users/),
    expect.stringMatching(/^warn: .*whether a meeting took place/),
    expect.stringMatching(/^warn: .*imported/),
  ])
  const said = lines.join('\n')
  for (const line of [
    'all fields and permissions of unstall are there',
    'may edit Opportunities and create Tasks',
    'has the system permissions it needs',
    'no required field that unstall does not fill',
    /with API version 67\.0 \(newest: 68\.0\); \d+ of 100000 API calls left today/,
    'scopes of the app: api',
    'no power over the whole org',
    'Enterprise Edition; Pipeline Inspection is off, which costs nothing',
    'time zone UTC, company currency EUR',
    'not in the forecast": Omitted',
    'no validation rule can refuse our writes',
    'every open deal has an active owner',
    'OpportunityHistory',
    'EmailMessage',
    'Einstein Activity Capture: not seen',
  ])
    expect(said).toMatch(line)
})

test.each<[string, SalesforceOptions, RegExp]>([
  [
    'too little API budget',
    { dailyCalls: 20 },
    /warn: only \d+ of 20 API calls .*-> .*Setup > Company Information > API Requests/,
  ],
  [
    'scopes nobody needs',
    { scope: 'api full web' },
    /warn: .*scopes that unstall does not use: full, web -> .*Setup > External Client App Manager/,
  ],
  [
    'a right that tasks need is missing',
    { rights: { PermissionsEditTask: false } },
    /problem: .*lacks the system permissions Edit Tasks -> .*Setup > Permission Sets .* System Permissions/,
  ],
  [
    'an administrator',
    { rights: { PermissionsModifyAllData: true, PermissionsManageUsers: true } },
    /warn: .*far more than unstall needs: Modify All Data, Manage Users -> .*Setup > Profiles/,
  ],
  [
    'Professional Edition',
    { organization: { OrganizationType: 'Professional Edition' } },
    /warn: Professional Edition: .*100 fields.*no Pipeline Inspection.* -> .*Setup > Company Information/,
  ],
  [
    'another time zone',
    { organization: { TimeZoneSidKey: 'America/New_York' } },
    /warn: .*America\/New_York, the configuration says UTC.* -> set `timezone: America\/New_York`.*Default Time Zone/,
  ],
  [
    'validation rules',
    { rules: { Needs_Next_Step: 'Fill Next Step' } },
    /warn: validation rules .*Needs_Next_Step \(“Fill Next Step”\) -> .*Setup > Object Manager > Opportunity > Validation Rules/,
  ],
  [
    'Einstein Activity Capture',
    { activityCapture: true },
    /warn: Einstein Activity Capture is on: .*look idle.* -> .*Setup > Einstein Activity Capture/,
  ],
  ['no history', { history: false }, /warn: .*no opportunity history.* -> .*Setup > Permission Sets/],
  ['no e-mails', { emailMessage: false }, /warn: .*stores no e-mails.* -> .*Setup > Email > Enhanced Email/],
])('%s', async (_, options, line) => {
  const { check } = await start(options)
  expect(await check()).toContainEqual(expect.stringMatching(line))
})

test('an API version that the org does not serve any more is the one thing said', async () => {
  // A file before this one may have put real HTTP back.
  if (!nock.isActive()) nock.activate()
  nock(HOST)
    .get('/services/data')
    .reply(200, [{ version: '68.0' }, { version: '75.0' }])
  onTestFinished(() => {
    nock.cleanAll()
    nock.restore()
  })
  const common = { gate: quietGate(), clock: () => 0, sleep: async () => {}, timezone: 'UTC' }
  const { findings, steps } = await connectSalesforce({ ...common, credential: tokens('t') }).check(never)
  const what = 'Salesforce does not serve API version 67.0 here, only 68.0 to 75.0'
  expect(findings).toEqual([{ level: 'problem', what, todo: 'install a newer version of unstall' }])
  expect(steps).toEqual([])
})

test('before setup: what is missing, and the rights that setup needs', async () => {
  const { check } = await start({ rights: { PermissionsModifyMetadata: false } }, { setup: false })
  const lines = await check()
  expect(lines).toContainEqual(
    expect.stringMatching(/^problem: missing: .*Unstall_Stalled__c.* -> run `unstall setup`/),
  )
  expect(lines).toContainEqual(
    expect.stringMatching(/^problem: .*lacks .*Modify Metadata Through Metadata API Functions ->/),
  )
  expect(lines.join()).not.toMatch(/lacks .*Assign Permission Sets/)
})

test('owners who left: how many open deals, whose, and where to give them away', async () => {
  const { check } = await start({}, { left: true })
  const [line = ''] = (await check()).filter((one) => one.includes('no longer active'))
  expect(line).toMatch(
    /^warn: open deals of users who are no longer active: \d+ \(\w+ \w+.*-> .*Change Owner.*fallbackOwner/,
  )
})

test('a required field of tasks that we do not fill', async () => {
  const { check, admin } = await start()
  const field = { fullName: 'Activity.Region__c', label: 'Region', type: 'Text', length: 20, required: true }
  await admin.metadata.upsert('CustomField', field)
  expect(await check()).toContainEqual(
    expect.stringMatching(/^problem: tasks need Region__c, .* -> .*Setup > Object Manager > Activity > Fields/),
  )
})

test('fields that are there and closed to our user', async () => {
  const { check, admin } = await start()
  const fieldPermissions = [{ field: 'Opportunity.Unstall_State__c', readable: true, editable: false }]
  await admin.metadata.upsert('PermissionSet', { fullName: 'Unstall_Integration', label: 'x', fieldPermissions })
  expect(await check()).toContainEqual(
    expect.stringMatching(/^problem: missing: permission set .*access to .*Unstall_State__c/),
  )
})
