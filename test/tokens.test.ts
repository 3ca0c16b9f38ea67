// Ten users of one connection over one database, with real connectors against lookalikes whose tokens end: as many
// renewals as expiries, counted by the lookalike. (Real processes: test/faults/tokens.ts.)
import { expect, it, onTestFinished } from 'vitest'
import { gather } from '../connectors/salesforce/api.ts'
import { connect, UNPACED } from '../src/app.ts'
import type { ConnectionConfig } from '../src/config.ts'
import { parseConfig } from '../src/config.ts'
import { generate } from '../src/sandbox/generate.ts'
import { hubspot } from '../src/sandbox/hubspot/server.ts'
import { startSandbox } from '../src/sandbox/kernel.ts'
import { salesforce } from '../src/sandbox/salesforce/index.ts'
import { createTokens, createVault } from '../src/secrets.ts'
import { eachHome } from './homes.ts'
import { CallsAnswer } from './sandbox/answers.ts'
import { firstTokens, SANDBOX_USER, sandboxKey } from './sandbox/consent.ts'

const NOW = Date.parse('2026-11-23T02:00:00Z')
const KEY = 'a key of at least thirty-two characters'
const never = new AbortController().signal
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

function configured(system: 'hubspot' | 'salesforce', url: string, kind: string): ConnectionConfig {
  const secrets = kind === 'jwt' ? `username: ${SANDBOX_USER}, privateKey: "$\{KEY}"` : 'clientSecret: sandbox'
  const auth = `{ kind: ${kind}, clientId: sandbox, ${secrets} }`
  const text = `timezone: UTC\nconnections:\n  crm: { system: ${system}, baseUrl: "${url}", auth: ${auth} }\n`
  const variables = { KEY: sandboxKey() }
  const [connection] = parseConfig(text, { file: '/unstall.config.yaml', now: NOW, variables }).connections
  if (!connection) throw new Error('no connection')
  return connection
}

eachHome((home) => {
  it.each([
    ['hubspot', 'oauth'],
    ['salesforce', 'oauth'],
    ['salesforce', 'client-credentials'],
    ['salesforce', 'jwt'],
  ] as const)('%s by %s: one renewal an expiry', async (system, kind) => {
    const { db } = (await home.open()).database
    let time = 0
    const seed = generate({ now: NOW, seed: 1, deals: 20, open: 10 })
    const build = system === 'hubspot' ? hubspot(seed) : salesforce(seed)
    // A renewal takes a while, so that all ten are in need of it.
    const options = { now: NOW, tokenLifeS: 60, monotonic: () => time, latencyMs: 20 }
    const sandbox = await startSandbox(build, options)
    onTestFinished(() => sandbox.close())
    const connection = configured(system, sandbox.url, kind)
    const start = () =>
      createTokens({
        db,
        vault: createVault(KEY),
        clock: () => NOW,
        sleep: () => new Promise((wake) => setTimeout(wake, 5)),
      })
    if (kind === 'oauth') {
      const {
        access_token: token,
        refresh_token: refresh,
        instance_url: instanceUrl,
      } = await firstTokens(sandbox.url, system)
      const { baseUrl, auth } = connection
      const set = { token, refresh, ...(instanceUrl !== undefined && { instanceUrl, user: null }) }
      await start().save({ connection: 'crm', belongs: [system, baseUrl, auth.kind, 'sandbox'] }, set)
    }
    const all = await Promise.all(
      Array.from({ length: 10 }, () => {
        const tokens = start()
        return connect(connection, quiet, { tokens: () => tokens, pace: UNPACED })
      }),
    )
    const renewals = async () => {
      const { calls } = CallsAnswer.parse(await (await fetch(`${sandbox.url}/__sandbox/calls`)).json())
      const token = calls.find(({ path }) => path.endsWith('/token'))
      return { count: token?.count ?? 0, statuses: token?.statuses }
    }
    const use = () => Promise.all(all.map((one) => gather(one.census(null, never))))
    await use()
    const { count: before } = await renewals()
    for (let expiry = 1; expiry <= 6; expiry++) {
      time += 60_000
      await use()
      await use()
      expect(await renewals()).toEqual({ count: before + expiry, statuses: { '200': before + expiry } })
    }
    expect(before).toBe(1)
  })
}, 'databases')
