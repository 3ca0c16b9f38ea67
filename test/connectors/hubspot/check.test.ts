// `check` as a doctor: a portal in order is green line by line, and each trouble is one line that says what it costs and
// what to do, with the menu path. Real HTTP against the lookalike.
import { expect, onTestFinished, test } from 'vitest'
import { connectHubspot, type HubspotOptions, signIn, staticToken } from '../../../connectors/hubspot/index.ts'
import { generate } from '../../../src/sandbox/generate.ts'
import { hubspot } from '../../../src/sandbox/hubspot/server.ts'
import type { StoreOptions } from '../../../src/sandbox/hubspot/store.ts'
import { startSandbox } from '../../../src/sandbox/kernel.ts'
import { collect, openGate } from '../../conformance.ts'
import { firstTokens } from '../../sandbox/consent.ts'
import { NOW, never } from './fake.ts'

/** Open deals of people who left are part of the seed only where `left` says so. One line per finding. */
async function start(
  portal: Partial<StoreOptions>,
  { left = false, ...over }: Partial<HubspotOptions> & { left?: boolean } = {},
) {
  const seed = generate({ now: NOW, deals: 40, open: 30, seed: 1 })
  const owners = seed.owners.map((owner) => ({ ...owner, active: left ? owner.active : true }))
  const sandbox = await startSandbox(hubspot({ ...seed, owners }, portal), { now: NOW })
  onTestFinished(() => sandbox.close())
  const common = { gate: openGate(), clock: () => NOW, sleep: async () => {}, timezone: 'UTC' }
  const connector = connectHubspot({ ...common, baseUrl: sandbox.url, credential: staticToken('sandbox-key'), ...over })
  const check = async () =>
    (await connector.check(never)).findings.map(
      (one) => `${one.level}: ${one.what}${one.todo ? ` -> ${one.todo}` : ''}`,
    )
  return { connector, check, sandbox }
}

test('a portal in order: green but for what HubSpot never tells', async () => {
  const { connector, check } = await start({})
  await collect(connector.setup(never))
  const lines = await check()
  expect(lines.filter((line) => !line.startsWith('ok'))).toEqual([
    expect.stringMatching(/^warn: .*who took part in meetings/),
    expect.stringMatching(/^warn: .*which calls were connected/),
    expect.stringMatching(/^warn: .*which properties it requires.* -> .*Settings > Objects > Deals > Pipelines/),
  ])
  const said = lines.join('\n')
  for (const line of [
    'The token is accepted',
    'Scopes: all that are needed, and no other',
    'HubSpot account 4010001',
    'Time zone UTC, company currency EUR',
    'HubSpot allows 625000 more calls today of 625000, the limit of Professional',
    'API version 2026-09, which HubSpot supports until March 2028',
    'All our properties are there',
    'Forecast categories: OMIT, PIPELINE, BEST_CASE, COMMIT, CLOSED',
    'Every open deal has an active owner',
  ])
    expect(said).toContain(line)
})

test.each<[string, Partial<StoreOptions>, Partial<HubspotOptions>, RegExp]>([
  [
    'scopes nobody needs',
    {},
    { credential: staticToken('sandbox-also-settings.users.write') },
    /warn: The token may do more .*: settings\.users\.write -> .*Settings > Integrations > Service Keys/,
  ],
  [
    'a scope HubSpot offers beside, which unstall does not use',
    {},
    { credential: staticToken('sandbox-also-crm.objects.companies.read') },
    /warn: The token may do more .*: crm\.objects\.companies\.read -> /,
  ],
  [
    'no scope to make the segment, which nothing depends on',
    {},
    { credential: staticToken('sandbox-noscope-crm.lists.write') },
    /warn: No segment “Stalled deals”: the scope crm\.lists\.write is missing -> Add it under .* Or save a view by hand/,
  ],
  [
    'too little API budget',
    { calls: [249_500, 250_000] },
    {},
    /warn: HubSpot allows 500 more calls today of 250000, the limit of Free or Starter -> .*Usage & Limits/,
  ],
  ['a test account', { accountType: 'DEVELOPER_TEST' }, {}, /warn: .*of type DEVELOPER_TEST -> .*standard account/],
  ['another time zone', { timeZone: 'US/Eastern' }, {}, /warn: .*US\/Eastern.* -> .*Settings > Account Defaults/],
  [
    'an API version near its end',
    {},
    { clock: () => Date.parse('2028-01-10') },
    /warn: API version 2026-09, .*March 2028 -> Install a newer version/,
  ],
])('%s', async (_, portal, over, line) => {
  const { check } = await start(portal, over)
  expect(await check()).toContainEqual(expect.stringMatching(line))
})

test('owners who left: how many open deals, whose, and where to give them away', async () => {
  const { check } = await start({}, { left: true })
  const [line = ''] = (await check()).filter((one) => one.includes('without an active owner'))
  expect(line).toMatch(/^warn: Open deals without an active owner: \d+ \(\w+ \w+.* -> .*CRM > Deals > .*fallbackOwner/)
})

test('an OAuth token: its scopes are asked for in the name of the app; a foreign app is told nothing', async () => {
  const { sandbox, connector } = await start({})
  const { access_token: token } = await firstTokens(sandbox.url, 'hubspot')
  const app = { clientId: 'sandbox', clientSecret: 'sandbox' }
  const common = { gate: openGate(), clock: () => NOW, sleep: async () => {}, timezone: 'UTC' }
  await collect(connector.setup(never))
  for (const [with_, line] of [
    [{ app }, 'Scopes: all that are needed, and no other'],
    [{}, 'HubSpot does not tell the scopes of this token: what is missing is named when it is needed'],
  ] as const) {
    const options = { ...common, ...with_, baseUrl: sandbox.url, credential: staticToken(token) }
    const { findings } = await connectHubspot(options).check(never)
    expect(findings).toContainEqual({ level: 'ok', what: line })
  }
})

test.each(['http://api.hubapi.com', 'https://api.hubapi.com.evil.example', 'http://10.0.0.1', 'https://evil.example'])(
  'no token goes to %s, static or not',
  (baseUrl) => {
    const common = { gate: openGate(), clock: () => NOW, sleep: async () => {}, timezone: 'UTC' }
    const refused = 'not an address of HubSpot'
    expect(() => connectHubspot({ ...common, baseUrl, credential: staticToken('t') })).toThrow(refused)
    expect(() => signIn({ baseUrl, clientId: 'c', clientSecret: 's' })).toThrow(refused)
  },
)
