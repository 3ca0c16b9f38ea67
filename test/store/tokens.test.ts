// Leases and versions of stored tokens, on both databases: who may renew, and whose answer counts.
import { sql } from 'kysely'
import { expect, it } from 'vitest'
import { endLease, readTokens, refuseTokens, storeTokens, takeLease } from '../../src/store/tokens.ts'
import { eachHome } from '../homes.ts'

const FIRST = { sealed: '1.key.first', renewAt: 1_800_000 }
const LONG = 60_000

eachHome((home) => {
  it('gives the lease of a version to one of many, and to nobody once it is replaced', async () => {
    const { db } = (await home.open()).database
    expect(await readTokens(db, 'hub')).toEqual({ version: 0, sealed: null, renewAt: null, refused: null })
    const asked = Array.from({ length: 10 }, (_, at) => takeLease(db, 'hub', 0, `process ${at}`, LONG))
    expect((await Promise.all(asked)).filter(Boolean)).toHaveLength(1)
    expect(await takeLease(db, 'hub', 0, 'one more', LONG)).toBe(false)

    expect(await storeTokens(db, 'hub', 0, FIRST)).toBe(true)
    expect(await readTokens(db, 'hub')).toEqual({ version: 1, ...FIRST, refused: null })
    expect(await takeLease(db, 'hub', 0, 'of the old version', LONG)).toBe(false)
    expect(await takeLease(db, 'hub', 1, 'of the new one', LONG)).toBe(true)
    expect(await takeLease(db, 'sf', 1, 'another connection', LONG)).toBe(false)
  })

  it('stores by version: of two answers the second is not taken', async () => {
    const { db } = (await home.open()).database
    await readTokens(db, 'hub')
    const answers = ['a', 'b'].map((sealed) => storeTokens(db, 'hub', 0, { sealed, renewAt: null }))
    expect((await Promise.all(answers)).sort()).toEqual([false, true])
    expect((await readTokens(db, 'hub')).version).toBe(1)
  })

  it('hands the lease on when it ends, sooner where its holder says so, and only where it is the holder', async () => {
    const { db } = (await home.open()).database
    await readTokens(db, 'hub')
    expect(await takeLease(db, 'hub', 0, 'one', LONG)).toBe(true)
    await endLease(db, 'hub', 'two', -1)
    expect(await takeLease(db, 'hub', 0, 'two', LONG)).toBe(false)
    await endLease(db, 'hub', 'one', LONG)
    expect(await takeLease(db, 'hub', 0, 'two', LONG)).toBe(false)
    await endLease(db, 'hub', 'one', -1)
    expect(await takeLease(db, 'hub', 0, 'two', LONG)).toBe(true)
    // Its holder died: time passes.
    await sql`UPDATE unstall.token SET lease_until = lease_until - ${2 * LONG}`.execute(db)
    expect(await takeLease(db, 'hub', 0, 'three', LONG)).toBe(true)
  })

  it('remembers that a version is dead until another is stored', async () => {
    const { db } = (await home.open()).database
    await readTokens(db, 'hub')
    await storeTokens(db, 'hub', 0, FIRST)
    expect(await refuseTokens(db, 'hub', 0, 'too late')).toBe(false)
    expect(await readTokens(db, 'hub')).toMatchObject({ version: 1, refused: null })
    await takeLease(db, 'hub', 1, 'one', LONG)
    expect(await refuseTokens(db, 'hub', 1, 'secret 1')).toBe(true)
    expect(await readTokens(db, 'hub')).toMatchObject({ version: 1, refused: 'secret 1' })
    expect(await takeLease(db, 'hub', 1, 'two', LONG)).toBe(true)
    await storeTokens(db, 'hub', 1, FIRST)
    expect(await readTokens(db, 'hub')).toMatchObject({ version: 2, refused: null })
  })
}, 'databases')
