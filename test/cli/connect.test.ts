// Connections that sign in by a person's consent, from the command line: not connected, connected, taken back. The key of
// the stored tokens is a file in the data directory here.
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTokens, createVault } from '../../src/secrets.ts'
import { openDatabase } from '../../src/store/db.ts'
import { firstTokens } from '../sandbox/consent.ts'
import { type Place, place } from './harness.ts'

let at: Place
beforeAll(async () => {
  at = await place()
  at.config([
    ['{ kind: token, token: "$' + '{HUBSPOT_TOKEN}" }', '{ kind: oauth, clientId: sandbox, clientSecret: sandbox }'],
  ])
})
afterAll(() => at.close())

async function connectHub(): Promise<void> {
  const { access_token: token, refresh_token: refresh } = await firstTokens(at.hub.url, 'hubspot')
  const dataDir = join(at.folder, '.unstall')
  const database = await openDatabase({ dataDir })
  const vault = createVault(readFileSync(join(dataDir, 'secret.key'), 'utf8').trim())
  const tokens = createTokens({ db: database.db, vault, clock: Date.now, sleep: async () => {} })
  await tokens.save({ connection: 'hub', belongs: ['hubspot', at.hub.url, 'oauth', 'sandbox'] }, { token, refresh })
  await database.close()
}

it('says how to connect, works when connected, and needs a person again when the consent is taken back', async () => {
  const before = await at.run('check', 'hub')
  expect(before).toMatchObject({ code: 1 })
  expect(before.out).toContain('hub is not connected yet: run unstall connect hub.')
  const file = join(at.folder, '.unstall', 'secret.key')
  expect(statSync(file).mode & 0o777).toBe(0o600)

  await connectHub()
  const checked = await at.run('check', 'hub')
  expect(checked.out).toContain('Decision stages')
  expect(checked.out).not.toMatch(/re-connecting|not connected/)

  await fetch(`${at.hub.url}/__sandbox/act`, { method: 'POST', body: JSON.stringify({ act: 'revoke-token' }) })
  for (const command of ['run', 'check']) {
    const said = await at.run(command, 'hub')
    expect(said.code, command).toBe(1)
    expect(said.out + said.err).toMatch(/hub needs re-connecting: .*unstall connect hub/s)
  }
  expect(await at.writes()).toBe(0)
}, 180_000)
