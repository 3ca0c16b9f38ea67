// What is remembered of a connection between two nights.
import { expect, it } from 'vitest'
import { Settings } from '../../src/core/policy.ts'
import {
  circuits,
  ensureConnection,
  forgetConnection,
  getConnection,
  updateConnection,
} from '../../src/store/connections.ts'
import { openRun } from '../../src/store/runs.ts'
import { readTokens } from '../../src/store/tokens.ts'
import { eachHome } from '../homes.ts'

const NIGHT = {
  ...{ kind: 'night' as const, localDate: '2026-11-23', now: 1_795_000_000_000, createdAt: 1_795_000_000_001 },
  ...{ settings: Settings.parse({ timezone: 'Europe/Paris' }), settingsHash: 'abc' },
}

eachHome((home) => {
  it('remembers of a connection what it was told, and no more', async () => {
    const { db } = (await home.open()).database
    await ensureConnection(db, 'hub', 'hubspot')
    await updateConnection(db, 'hub', { cursor: '{"a":1}', confirmedAt: 4 })
    const circuit = { state: 'reconnect', since: 7, reason: 'token refused' } as const
    await updateConnection(db, 'hub', { circuit, census: { since: 5, after: '7' } })
    await updateConnection(db, 'hub', {})
    expect(await ensureConnection(db, 'hub', 'hubspot')).toEqual({
      name: 'hub',
      system: 'hubspot',
      cursor: '{"a":1}',
      confirmedAt: 4,
      reference: null,
      circuit,
      judged: null,
      census: { since: 5, after: '7' },
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

  it('forgets one connection whole, but not while a run of it is open, and none is opened meanwhile', async () => {
    const { db } = (await home.open()).database
    const run = (connection: string) => openRun(db, { ...NIGHT, connection })
    for (const name of ['hub', 'sf']) {
      await ensureConnection(db, name, 'hubspot')
      await readTokens(db, name)
    }
    await run('sf')
    expect(await forgetConnection(db, 'sf')).toEqual({ open: 'sf-2026-11-23-1' })
    expect(await getConnection(db, 'sf')).not.toBeNull()
    const [forgotten, opened] = await Promise.all([forgetConnection(db, 'hub'), run('hub')])
    const left = await db.selectFrom('run').select('id').where('connection', '=', 'hub').execute()
    // Whichever came first.
    expect((await getConnection(db, 'hub')) !== null).toBe('open' in forgotten)
    expect(left).toEqual('run' in opened ? [{ id: opened.run.id }] : [])
    if ('run' in opened) await db.deleteFrom('run').where('id', '=', opened.run.id).execute()
    const { deleted } = { deleted: {}, ...(await forgetConnection(db, 'hub')) }
    expect(Object.keys(deleted).sort()).toEqual([
      'deal',
      'figures',
      'ledger',
      'preview',
      'quarantine',
      'run',
      'token',
      'transition',
    ])
    expect(await getConnection(db, 'hub')).toBeNull()
    expect((await db.selectFrom('token').select('connection').execute()).map(({ connection }) => connection)).toEqual([
      'sf',
    ])
  })
}, 'databases')
