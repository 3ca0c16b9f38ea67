// Locks as rows, and what is remembered of a connection.
import { expect, it } from 'vitest'
import { ensureConnection, getConnection, updateConnection } from '../../src/store/connections.ts'
import { acquireLease, releaseLease } from '../../src/store/leases.ts'
import { eachHome } from '../homes.ts'

eachHome((home) => {
  it('gives a lease to one holder until it ends or is given back', async () => {
    const { db } = (await home.open()).database
    expect(await acquireLease(db, 'token.hub', 'a', 1000, 0)).toBe(true)
    expect(await acquireLease(db, 'token.hub', 'b', 1000, 999)).toBe(false)
    expect(await acquireLease(db, 'token.sf', 'b', 1000, 999)).toBe(true)
    expect(await acquireLease(db, 'token.hub', 'a', 1000, 999)).toBe(true)
    expect(await acquireLease(db, 'token.hub', 'b', 1000, 1998)).toBe(false)
    expect(await acquireLease(db, 'token.hub', 'b', 1000, 1999)).toBe(true)
    await releaseLease(db, 'token.hub', 'a')
    expect(await acquireLease(db, 'token.hub', 'a', 1000, 2000)).toBe(false)
    await releaseLease(db, 'token.hub', 'b')
    expect(await acquireLease(db, 'token.hub', 'a', 1000, 2000)).toBe(true)
  })

  it('lets exactly one of many win', async () => {
    const { db } = (await home.open()).database
    const won = await Promise.all(Array.from({ length: 10 }, (_, n) => acquireLease(db, 'x', `w${n}`, 1000, 0)))
    expect(won.filter(Boolean)).toHaveLength(1)
  })

  it('remembers of a connection what it was told, and no more', async () => {
    const { db } = (await home.open()).database
    await ensureConnection(db, 'hub', 'hubspot')
    const lastGood = { run: 'hub-2026-11-23-1', at: 5, open: 400, stalled: 31 }
    await updateConnection(db, 'hub', { cursor: '{"a":1}', cursorRun: 'hub-2026-11-23-1', confirmedAt: 4, lastGood })
    await updateConnection(db, 'hub', { problem: 'token refused', pausedUntil: 1_795_000_000_000 })
    await updateConnection(db, 'hub', {})
    expect(await ensureConnection(db, 'hub', 'hubspot')).toEqual({
      name: 'hub',
      system: 'hubspot',
      cursor: '{"a":1}',
      cursorRun: 'hub-2026-11-23-1',
      confirmedAt: 4,
      lastGood,
      censusAt: null,
      reference: null,
      problem: 'token refused',
      pausedUntil: 1_795_000_000_000,
    })
    await updateConnection(db, 'hub', { problem: null, lastGood: null })
    expect(await getConnection(db, 'hub')).toMatchObject({ problem: null, lastGood: null, confirmedAt: 4 })
    expect(await getConnection(db, 'sf')).toBeNull()
  })
}, 'databases')
