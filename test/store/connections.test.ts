// What is remembered of a connection between two nights.
import { expect, it } from 'vitest'
import { circuits, ensureConnection, getConnection, updateConnection } from '../../src/store/connections.ts'
import { eachHome } from '../homes.ts'

eachHome((home) => {
  it('remembers of a connection what it was told, and no more', async () => {
    const { db } = (await home.open()).database
    await ensureConnection(db, 'hub', 'hubspot')
    await updateConnection(db, 'hub', { cursor: '{"a":1}', confirmedAt: 4 })
    const circuit = { state: 'reconnect', since: 7, reason: 'token refused' } as const
    await updateConnection(db, 'hub', { circuit, censusAt: 1_795_000_000_000 })
    await updateConnection(db, 'hub', {})
    expect(await ensureConnection(db, 'hub', 'hubspot')).toEqual({
      name: 'hub',
      system: 'hubspot',
      cursor: '{"a":1}',
      confirmedAt: 4,
      reference: null,
      circuit,
      censusAt: 1_795_000_000_000,
    })
    await updateConnection(db, 'hub', { circuit: null })
    expect(await getConnection(db, 'hub')).toMatchObject({ circuit: null, confirmedAt: 4 })
    expect(await getConnection(db, 'sf')).toBeNull()
  })

  it('tells what stands against a connection; a pause ends by itself, a refused token does not', async () => {
    const { db } = (await home.open()).database
    for (const name of ['fine', 'hub', 'sf']) await ensureConnection(db, name, 'hubspot')
    const paused = { state: 'paused', until: 1000, reason: 'used\0 up' } as const
    const reconnect = { state: 'reconnect', since: 5, reason: 'token revoked' } as const
    await updateConnection(db, 'sf', { circuit: paused })
    await updateConnection(db, 'hub', { circuit: reconnect })
    expect([...(await circuits(db, 999))]).toEqual([
      ['hub', reconnect],
      ['sf', { ...paused, reason: 'used up' }],
    ])
    expect([...(await circuits(db, 1000))]).toEqual([['hub', reconnect]])
    expect([...(await circuits(db, 999, 'sf')).keys()]).toEqual(['sf'])
  })
}, 'databases')
