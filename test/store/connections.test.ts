// What is remembered of a connection between two nights.
import { expect, it } from 'vitest'
import { ensureConnection, getConnection, updateConnection } from '../../src/store/connections.ts'
import { eachHome } from '../homes.ts'

eachHome((home) => {
  it('remembers of a connection what it was told, and no more', async () => {
    const { db } = (await home.open()).database
    await ensureConnection(db, 'hub', 'hubspot')
    await updateConnection(db, 'hub', { cursor: '{"a":1}', confirmedAt: 4 })
    await updateConnection(db, 'hub', { problem: 'token\0 refused', censusAt: 1_795_000_000_000 })
    await updateConnection(db, 'hub', {})
    expect(await ensureConnection(db, 'hub', 'hubspot')).toEqual({
      name: 'hub',
      system: 'hubspot',
      cursor: '{"a":1}',
      confirmedAt: 4,
      reference: null,
      problem: 'token refused',
      censusAt: 1_795_000_000_000,
    })
    await updateConnection(db, 'hub', { problem: null })
    expect(await getConnection(db, 'hub')).toMatchObject({ problem: null, confirmedAt: 4 })
    expect(await getConnection(db, 'sf')).toBeNull()
  })
}, 'databases')
