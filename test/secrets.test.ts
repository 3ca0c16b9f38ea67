// The vault, and who renews a token when many need it at once: several `createTokens` over one database stand for several
// processes. The CRM is a counter here; the real exchanges are in connectors/*/auth.test.ts and tokens.test.ts.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import type { SignIn, TokenSet } from '../src/connector.ts'
import { RetryLater } from '../src/errors.ts'
import { type Account, createTokens, createVault, reseal, secretOf, type TokensOptions } from '../src/secrets.ts'
import type { Db } from '../src/store/schema.ts'
import { readTokens } from '../src/store/tokens.ts'
import { eachHome, until } from './homes.ts'

const KEY = 'a key of at least thirty-two characters'
const never = new AbortController().signal
const caught = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  )

describe('the vault', () => {
  const vault = createVault(KEY)
  const about = ['hub', 'tokens', 'app 1']

  it('opens what it sealed, each time differently, and shows nothing of it', () => {
    const [one, two] = [vault.seal('the token', about), vault.seal('the token', about)]
    expect(one).not.toBe(two)
    expect(one + Buffer.from(one.split('.')[2] ?? '', 'base64url').toString('latin1')).not.toContain('the token')
    expect([one, two].map((sealed) => createVault(KEY).open(sealed, about))).toEqual(['the token', 'the token'])
  })

  it.each([
    ['another connection', ['sf', 'tokens', 'app 1']],
    ['another field', ['hub', 'other', 'app 1']],
    ['fields that only look the same joined', ['hub', 'tokens,app 1']],
  ])('does not open it for %s', (_, other) => {
    expect(() => vault.open(vault.seal('x', about), other)).toThrow('stored for another connection')
  })

  it('does not open what was changed or cut, and names both keys when it has another', () => {
    const sealed = vault.seal('the token', about)
    const [version, id, text = ''] = sealed.split('.')
    const flipped = Buffer.from(text, 'base64url')
    flipped[14] = (flipped[14] ?? 0) ^ 1
    expect(() => vault.open(`${version}.${id}.${flipped.toString('base64url')}`, about)).toThrow('for another')
    expect(() => vault.open(`${version}.${id}.`, about)).toThrow('for another')
    const other = createVault(KEY.toUpperCase())
    const otherId = other.seal('x', about).split('.')[1]
    expect(otherId).not.toBe(id)
    expect(() => other.open(sealed, about)).toThrow(
      `stored with the key ${id}, and the key of this machine is ${otherId}`,
    )
  })

  it('tells secrets apart without showing them', () => {
    expect(vault.digest(['s1'])).toBe(createVault(KEY).digest(['s1']))
    expect(vault.digest(['s1'])).not.toBe(vault.digest(['s2']))
    expect(vault.digest(['s1'])).not.toBe(createVault(`${KEY}!`).digest(['s1']))
  })

  it('makes the key file of a data directory once, for its owner only', () => {
    const folder = mkdtempSync(join(tmpdir(), 'unstall-key-'))
    try {
      const made = secretOf(join(folder, 'data'))
      const file = join(folder, 'data', 'secret.key')
      expect(statSync(file).mode & 0o777).toBe(0o600)
      expect(Buffer.from(made, 'base64')).toHaveLength(32)
      expect(secretOf(join(folder, 'data'))).toBe(made)
      writeFileSync(file, made.slice(0, 10))
      expect(() => secretOf(join(folder, 'data'))).toThrow('secret.key is damaged')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

/** A CRM that gives `token 1`, `token 2`, …, each for the refresh token of the one before only. */
function crm(how: { readonly consent?: boolean; readonly lifeMs?: number } = {}) {
  const state = { calls: 0, next: 'refresh 0', fails: null as Error | null, gate: Promise.resolve() }
  const signIn: SignIn = {
    consent: how.consent ?? true,
    parse: (stored) => ({ token: '', ...Object(stored) }) satisfies TokenSet,
    async exchange(refresh) {
      state.calls += 1
      const n = state.calls
      await state.gate
      if (state.fails) throw state.fails
      if (signIn.consent && refresh !== state.next) return 'refused'
      state.next = `refresh ${n}`
      return {
        token: `token ${n}`,
        ...(signIn.consent && { refresh: state.next }),
        ...(how.lifeMs && { lifeMs: how.lifeMs }),
      }
    },
  }
  return Object.assign(state, { signIn })
}

const account = (signIn: SignIn, more: Partial<Account<TokenSet>> = {}): Account<TokenSet> => ({
  ...{ connection: 'hub', signIn, belongs: ['hubspot', 'http://127.0.0.1', 'app 1'], clientSecret: 's1' },
  ...more,
})
const FIRST = { token: 'token 0', refresh: 'refresh 0' }
const START = 1_000_000

eachHome((home) => {
  /** A process of its own: nothing but the database is shared. */
  const open = async () => {
    const { db } = (await home.open()).database
    const time = { now: START, slept: 0 }
    const start = (more: Partial<TokensOptions> = {}) =>
      createTokens({
        ...{ db, vault: createVault(KEY), clock: () => time.now },
        sleep: async (ms) => {
          time.slept += ms
          await new Promise((resolve) => setImmediate(resolve))
        },
        ...more,
      })
    return { db, time, start, stored: () => readTokens(db, 'hub') }
  }
  /** The lease of a dead process runs out. */
  const later = (db: Db) => sql`UPDATE unstall.token SET lease_until = 1`.execute(db)

  it('ten at once: one exchange, the rest wait for its version; the same after the CRM refused it', async () => {
    const { start, stored } = await open()
    const remote = crm()
    await start().save(account(remote.signIn), FIRST)
    const all = Array.from({ length: 10 }, () => start().credential(account(remote.signIn)))
    const tokens = () => Promise.all(all.map((one) => one.token(never)))
    expect(new Set(await tokens())).toEqual(new Set(['token 0']))
    for (let n = 1; n <= 3; n++) {
      for (const one of all) one.expired(`token ${n - 1}`)
      expect(new Set(await tokens())).toEqual(new Set([`token ${n}`]))
      expect([remote.calls, (await stored()).version]).toEqual([n, n + 1])
      // A call that was under way is refused late: that says nothing about the new one.
      for (const one of all) one.expired(`token ${n - 1}`)
      expect(new Set(await tokens())).toEqual(new Set([`token ${n}`]))
      expect(remote.calls).toBe(n)
    }
  })

  it('many callers of one process share one exchange', async () => {
    const { start } = await open()
    const remote = crm({ consent: false })
    const one = start().credential(account(remote.signIn))
    expect(new Set(await Promise.all(Array.from({ length: 20 }, () => one.token(never))))).toEqual(new Set(['token 1']))
    expect(remote.calls).toBe(1)
  })

  it('renews at 80 % of its life, and keeps the refresh token where none comes back', async () => {
    const { start, time, stored } = await open()
    const remote = crm({ lifeMs: 1000 })
    const quiet = {
      ...remote.signIn,
      exchange: async (refresh: string | null) => {
        remote.calls += 1
        expect(refresh).toBe('refresh 0')
        return { token: `token ${remote.calls}`, lifeMs: 1000 }
      },
    }
    const one = start().credential(account(quiet))
    await start().save(account(quiet), { ...FIRST, lifeMs: 1000 })
    expect((await stored()).renewAt).toBe(START + 800)
    time.now += 799
    expect(await one.token(never)).toBe('token 0')
    time.now += 1
    expect(await one.token(never)).toBe('token 1')
    time.now += 800
    expect(await start().credential(account(quiet)).token(never)).toBe('token 2')
    expect((await stored()).sealed).not.toContain('token')
  })

  it('a process that dies with the answer: others wait for its lease, then a person is asked, and nobody calls again', async () => {
    const { db, start, time, stored } = await open()
    const remote = crm()
    await start().save(account(remote.signIn), FIRST)
    // It gets the answer and never comes to storing it.
    const lost = {
      ...remote.signIn,
      exchange: async (refresh: string | null) => {
        await remote.signIn.exchange(refresh)
        return new Promise<never>(() => {})
      },
    }
    const dying = start().credential(account(lost))
    await dying.token(never)
    dying.expired('token 0')
    void dying.token(never)
    await until(() => remote.calls === 1)

    const other = start().credential(account(remote.signIn))
    expect(await other.token(never)).toBe('token 0')
    other.expired('token 0')
    expect(await caught(other.token(never))).toMatchObject({
      name: 'RetryLater',
      message: 'hub: its access is still being renewed.',
    })
    expect(time.slept).toBe(10_000)
    expect(remote.calls).toBe(1)

    await later(db)
    const error = await caught(other.token(never))
    expect(error).toMatchObject({ name: 'Fatal', kind: 'credentials' })
    expect(String(error)).toMatch(/hub needs re-connecting: .*its last renewal was lost.*unstall connect hub/)
    expect(remote.calls).toBe(2)
    for (const again of [other, start().credential(account(remote.signIn))])
      expect(await caught(again.token(never))).toMatchObject({ name: 'Fatal', kind: 'credentials' })
    expect(remote.calls).toBe(2)
    expect((await stored()).version).toBe(1)

    // Another secret in the configuration is worth one more try; a new consent repairs it for everybody.
    const changed = start().credential(account(remote.signIn, { clientSecret: 's2' }))
    changed.expired('token 0')
    await start().save(account(remote.signIn), { token: 'token 9', refresh: remote.next })
    expect(await other.token(never)).toBe('token 9')
    expect(await changed.token(never)).toBe('token 9')
  })

  it('another secret in the configuration is worth one more try of a dead refresh token', async () => {
    const { start } = await open()
    const remote = crm()
    await start().save(account(remote.signIn), { token: 'token 0', refresh: 'revoked', lifeMs: 0 })
    const token = (clientSecret: string) => start().credential(account(remote.signIn, { clientSecret })).token(never)
    for (const secret of ['s1', 's1', 's2', 's2'])
      expect(await caught(token(secret))).toMatchObject({ kind: 'credentials' })
    expect(remote.calls).toBe(2)
  })

  it('a sign-in that does not answer is left alone as long as it asked, by everybody', async () => {
    const { db, start } = await open()
    const remote = crm({ consent: false })
    remote.fails = new RetryLater('could not sign in', 60_000)
    expect(await caught(start().credential(account(remote.signIn)).token(never))).toBe(remote.fails)
    remote.fails = null
    const other = start().credential(account(remote.signIn))
    expect(await caught(other.token(never))).toMatchObject({ name: 'RetryLater' })
    expect(remote.calls).toBe(1)
    await later(db)
    expect(await other.token(never)).toBe('token 2')
  })

  it('an aborted caller leaves at once, the exchange goes on, and closing waits until it is stored', async () => {
    const { start, stored } = await open()
    const remote = crm({ consent: false })
    const gate = Promise.withResolvers<void>()
    remote.gate = gate.promise
    const tokens = start()
    const stop = new AbortController()
    const waiting = caught(tokens.credential(account(remote.signIn)).token(stop.signal))
    await until(() => remote.calls === 1)
    stop.abort(new Error('stopping'))
    expect(await waiting).toMatchObject({ message: 'stopping' })
    let closed = false
    const closing = tokens.close().then(() => {
      closed = true
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(closed).toBe(false)
    gate.resolve()
    await closing
    expect((await stored()).version).toBe(1)
    expect(await start().credential(account(remote.signIn)).token(never)).toBe('token 1')
    expect(remote.calls).toBe(1)
  })

  it('is stored before it is used: a database that is gone when the answer comes is waited for', async () => {
    const { db, start, stored } = await open()
    const remote = crm()
    const rename = (from: string, to: string) => sql.raw(`ALTER TABLE unstall.${from} RENAME TO ${to}`).execute(db)
    const gone = {
      ...remote.signIn,
      exchange: async (refresh: string | null) => {
        const set = await remote.signIn.exchange(refresh)
        await rename('token', 'away')
        return set
      },
    }
    const waits: number[] = []
    const tokens = start({
      sleep: async (ms) => {
        waits.push(ms)
        if (waits.length === 2) await rename('away', 'token')
      },
    })
    await tokens.save(account(gone), { ...FIRST, lifeMs: 0 })
    expect(await tokens.credential(account(gone)).token(never)).toBe('token 1')
    expect(waits).toEqual([200, 200])
    expect((await stored()).version).toBe(2)
  })

  it('a later set of another process wins over an answer that comes too late', async () => {
    const { start } = await open()
    const remote = crm()
    const gate = Promise.withResolvers<void>()
    await start().save(account(remote.signIn), { ...FIRST, lifeMs: 0 })
    remote.gate = gate.promise
    const slow = start().credential(account(remote.signIn))
    const waiting = slow.token(never)
    await until(() => remote.calls === 1)
    await start().save(account(remote.signIn), { token: 'of a new consent', refresh: 'x' })
    gate.resolve()
    expect(await waiting).toBe('of a new consent')
  })

  it('a refusal that comes after another process has stored a newer set says nothing', async () => {
    const { start } = await open()
    const remote = crm()
    const gate = Promise.withResolvers<void>()
    await start().save(account(remote.signIn), { token: 'token 0', refresh: 'used already', lifeMs: 0 })
    remote.gate = gate.promise
    const waiting = start().credential(account(remote.signIn)).token(never)
    await until(() => remote.calls === 1)
    await start().save(account(remote.signIn), { token: 'of another process', refresh: 'x' })
    gate.resolve()
    expect(await waiting).toBe('of another process')
  })

  it('without a consent it says how to connect; other connections are not concerned', async () => {
    const { start } = await open()
    const [hub, sf] = [crm(), crm({ consent: false })]
    expect(await caught(start().credential(account(hub.signIn)).token(never))).toMatchObject({
      kind: 'credentials',
      message: 'hub is not connected yet: run unstall connect hub.',
    })
    expect(
      await start()
        .credential(account(sf.signIn, { connection: 'sf' }))
        .token(never),
    ).toBe('token 1')
    expect(hub.calls).toBe(0)
  })

  it('another key for everything at once: what is unreadable stays, and a renewal under way is still stored', async () => {
    const { db, start, stored } = await open()
    const remote = crm()
    const gate = Promise.withResolvers<void>()
    const ours = account(remote.signIn)
    await start().save(ours, { ...FIRST, lifeMs: 0 })
    await start().save(account(remote.signIn, { connection: 'sf' }), FIRST)
    const before = await readTokens(db, 'sf')
    remote.gate = gate.promise
    const slow = start().credential(ours).token(never)
    await until(() => remote.calls === 1)
    const [from, to] = [createVault(KEY), createVault(`new ${KEY}`)]
    expect(await reseal(db, [ours], from, to)).toEqual({ done: ['hub'], left: ['sf'] })
    expect((await stored()).version).toBe(1)
    expect(await readTokens(db, 'sf')).toEqual(before)
    gate.resolve()
    expect(await slow).toBe('token 1')
    // It was stored with the old key: once more, and everybody has it.
    expect(await reseal(db, [ours], from, to)).toEqual({ done: ['hub'], left: ['sf'] })
    expect(await start({ vault: to }).stored(ours, ours.signIn)).toMatchObject({ token: 'token 1' })
    expect(remote.calls).toBe(1)
  })

  it.each([
    ['another key', { vault: createVault(`${KEY} of another machine`) }, {}, 'it was stored with the key'],
    ['another app', {}, { belongs: ['hubspot', 'http://127.0.0.1', 'app 2'] }, 'it was stored for another'],
  ])('a set under %s is not used: a person is told why, or a new one is fetched', async (_, other, more, why) => {
    const { start } = await open()
    const [oauth, credentials] = [crm(), crm({ consent: false })]
    await start().save(account(oauth.signIn), FIRST)
    const error = await caught(start(other).credential(account(oauth.signIn, more)).token(never))
    expect(error).toMatchObject({ name: 'Fatal', kind: 'credentials' })
    expect(String(error)).toContain(`hub needs re-connecting: its stored access cannot be read: ${why}`)
    expect(oauth.calls).toBe(0)
    expect(await start(other).credential(account(credentials.signIn, more)).token(never)).toBe('token 1')
  })
}, 'databases')
