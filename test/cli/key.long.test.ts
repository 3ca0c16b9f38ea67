// `unstall key rotate`: stored access opens with the new key only, also after a rotation that was cut short.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { connected } from '../sandbox/consent.ts'
import { type Place, place } from './harness.ts'

let at: Place
const OAUTH = '{ kind: oauth, clientId: sandbox, clientSecret: sandbox }'
const change = ['{ kind: token, token: "$' + '{HUBSPOT_TOKEN}" }', OAUTH] as const
beforeAll(async () => {
  at = await place()
  at.config([change])
})
afterAll(() => at.close())

const [ONE, TWO] = ['1'.repeat(32), '2'.repeat(32)]
const file = (name = 'secret.key') => join(at.folder, '.unstall', name)
const key = () => readFileSync(file(), 'utf8')
/** The environment lasts for one command. */
function run(keys: Record<string, string>, ...args: readonly string[]) {
  for (const [name, value] of Object.entries(keys)) vi.stubEnv(`UNSTALL_SECRET_KEY${name}`, value)
  return at.run(...args)
}
const opens = async (keys: Record<string, string> = {}) =>
  !(await run(keys, 'check', 'hub')).out.includes('cannot be read')

it('makes a new key file, and ends what a crash left half done', async () => {
  await connected(at, 'hub')
  const before = key()
  const { code, out } = await at.run('key', 'rotate')
  expect([code, out]).toEqual([0, expect.stringMatching(/Encrypted anew: hub\.\nThe new key is in .*secret\.key/)])
  const after = key()
  expect(after).not.toBe(before)
  expect(out).not.toContain(after)
  expect(statSync(file()).mode & 0o777).toBe(0o600)
  expect(await opens()).toBe(true)

  // The database was done, the file was not.
  writeFileSync(file(), before)
  writeFileSync(file('secret.key.new'), after)
  expect(await opens()).toBe(false)
  expect((await at.run('key', 'rotate')).code).toBe(0)
  expect(key()).toBe(after)
  expect(await opens()).toBe(true)
}, 60_000)

it('goes from one key of the environment to another, and says what neither opens', async () => {
  const half = await run({ '': ONE }, 'key', 'rotate')
  expect([half.code, half.err]).toEqual([2, expect.stringContaining('UNSTALL_SECRET_KEY_OLD to the one before')])
  const wrong = await run({ '': ONE, _OLD: TWO }, 'key', 'rotate')
  expect([wrong.code, wrong.out]).toEqual([1, expect.stringContaining('hub: neither key opens its access')])
  expect(await opens()).toBe(true)

  expect((await run({ '': ONE, _OLD: key().trim() }, 'key', 'rotate')).code).toBe(0)
  expect([await opens(), await opens({ '': ONE })]).toEqual([false, true])
  for (const _ of ['once', 'again']) {
    const { code, out } = await run({ '': TWO, _OLD: ONE }, 'key', 'rotate')
    expect([code, out]).toEqual([0, expect.stringContaining('Take UNSTALL_SECRET_KEY_OLD away')])
    expect(out).not.toMatch(/1{32}|2{32}/)
  }
  expect([await opens({ '': ONE }), await opens({ '': TWO })]).toEqual([false, true])
}, 60_000)
