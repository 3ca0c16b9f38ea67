// Deals as last known: newest wins, evidence comes back as it went in, and a night looks at what it must.
import { expect, it } from 'vitest'
import {
  facetsOf,
  findDeal,
  getDeals,
  listDeals,
  liveIds,
  markGone,
  markSeen,
  quarantine,
  quarantined,
  release,
  saveKnown,
  saveStandings,
  saveTransitions,
  snapshots,
  streamDeals,
} from '../../src/store/deals.ts'
import type { Db } from '../../src/store/schema.ts'
import { NO_OWN_FIELDS } from '../core/build.ts'
import { eachHome } from '../homes.ts'
import { known, NOW, standing } from './fixtures.ts'

async function watched(db: Db, limit = 100): Promise<string[]> {
  const ids: string[] = []
  for (let after: string | null = null; ; ) {
    const page = await streamDeals(db, 'hub', { after, limit })
    ids.push(...page.map((each) => each.known.ref.id))
    after = ids.at(-1) ?? null
    if (page.length < limit) return ids
  }
}

eachHome((home) => {
  it('gives back exactly what was saved, hostile text included', async () => {
    const { db } = (await home.open()).database
    const hostile = known('9007199254740993', {
      name: '"\\u0000 \\\\u0000 <script>alert(1)</script> \u202e דיל 🦊 {a,"b"}',
      amount: null,
      meeting: { id: 'm', at: NOW, outside: null, series: null },
    })
    const withEvidence = {
      ...hostile,
      changes: [{ field: 'stage', at: NOW, from: null, to: 'won', by: 'person', source: 'CRM_UI' } as const],
      activities: [{ id: 'a', kind: 'reply', at: NOW, outside: true } as const],
    }
    await saveKnown(db, 'r1', [withEvidence, known('2')])
    const ids = ['9007199254740993', 'unknown']
    const read = await getDeals(db, 'hub', ids)
    expect([...read].map(([id, { known }]) => [id, known])).toEqual([['9007199254740993', withEvidence]])
    expect([...(await snapshots(db, 'hub', ids))]).toEqual([['9007199254740993', withEvidence.deal]])
    expect(await snapshots(db, 'sf', ['2'])).toEqual(new Map())
  })

  it('takes out of names what no database stores: NUL and half characters', async () => {
    const { db } = (await home.open()).database
    await saveKnown(db, 'r1', [known('1', { name: 'a\0b\ud800c' })])
    expect((await snapshots(db, 'hub', ['1'])).get('1')?.name).toBe('ab\ufffdc')
    expect((await findDeal(db, 'ab\ufffdc')).map((each) => each.known.ref.id)).toEqual(['1'])
  })

  it('never lets an older observation overwrite a newer one, in whatever order pages come', async () => {
    const { db } = (await home.open()).database
    const versions = [1, 2, 3].map((n) => known('1', { modifiedAt: NOW + n, amount: n }))
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
      [2, 2, 1],
    ]) {
      for (const n of order) await saveKnown(db, `r${n}`, versions.slice(n, n + 1))
      const stored = (await getDeals(db, 'hub', ['1'])).get('1')
      expect(stored).toMatchObject({ known: { deal: { amount: 3 } }, seenRun: 'r2' })
    }
    // The same version again may bring new evidence.
    await saveKnown(db, 'r9', [{ ...known('1', { modifiedAt: NOW + 3, amount: 3 }), firstSeen: 1 }])
    expect((await getDeals(db, 'hub', ['1'])).get('1')?.known.firstSeen).toBe(1)
  })

  it('streams open deals, and closed or gone ones only while something is left to end', async () => {
    const { db } = (await home.open()).database
    const borrowed = { category: null, stage: 'proposal', at: NOW }
    const stall = { startedAt: NOW, rule: 'no_movement', taskKey: 'k', dead: false } as const
    await saveKnown(db, 'r1', [
      known('open'),
      known('won', { outcome: 'won' }),
      known('won-stalled', { outcome: 'won' }),
      known('won-borrowed', { outcome: 'won' }),
      known('won-settled', { outcome: 'won' }),
      known('lost-flagged', { outcome: 'lost', own: { ...NO_OWN_FIELDS, stalled: true } }),
      known('lost-parked', { outcome: 'lost', own: { ...NO_OWN_FIELDS, state: 'parked' } }),
      known('gone'),
      known('gone-stalled'),
      known('gone-settled'),
      known('other', {}, 'sf'),
    ])
    await saveStandings(db, 'hub', [
      { id: 'won-stalled', standing: standing({ state: 'stalled', stall }) },
      { id: 'won-borrowed', standing: standing({ state: 'closed', borrowed }) },
      { id: 'won-settled', standing: standing({ state: 'closed' }) },
      { id: 'gone-stalled', standing: standing({ state: 'stalled', stall }) },
      { id: 'gone-settled', standing: standing({ state: 'gone', borrowed }) },
    ])
    await markGone(db, 'hub', ['gone', 'gone-stalled', 'gone-settled'])
    const expected = ['gone-stalled', 'lost-flagged', 'lost-parked', 'open', 'won-borrowed', 'won-stalled']
    expect(await watched(db)).toEqual(expected)
    expect(await watched(db, 2)).toEqual(expected)
    const live = { after: 'won', until: 'won-borrowed', limit: 2 }
    expect(await liveIds(db, 'hub', live)).toEqual(['open', 'lost-parked'])
    const gone = (await getDeals(db, 'hub', ['gone-stalled'])).get('gone-stalled')
    expect(gone).toMatchObject({ gone: true, standing: { state: 'stalled', stall } })
  })

  it('lists the ids of a range as the CRMs count them up', async () => {
    const { db } = (await home.open()).database
    const ids = ['1', '9', '10', '11', '99', '100', '1000', '2000']
    await saveKnown(db, 'r1', [...ids.toReversed().map((id) => known(id)), known('12', {}, 'sf')])
    await markGone(db, 'hub', ['11'])
    const live = (after: string, until: string | null, limit = 9) => liveIds(db, 'hub', { after, until, limit })
    expect(await live('', null)).toEqual(['1', '9', '10', '99', '100', '1000', '2000'])
    expect(await live('', null, 3)).toEqual(['1', '9', '10'])
    expect(await live('9', '100')).toEqual(['10', '99', '100'])
    expect(await live('10', '99')).toEqual(['99'])
    expect(await live('1000', '1999')).toEqual([])
    expect(await live('150', null)).toEqual(['1000', '2000'])
  })

  it('ends gone when the deal is read again', async () => {
    const { db } = (await home.open()).database
    await saveKnown(db, 'r1', [known('1')])
    await markGone(db, 'hub', ['1'])
    expect(await streamDeals(db, 'hub', { after: null, limit: 9 })).toEqual([])
    await saveKnown(db, 'r2', [known('1')])
    expect(await streamDeals(db, 'hub', { after: null, limit: 9 })).toMatchObject([{ gone: false, seenRun: 'r2' }])
  })

  it('notes that a deal was seen, and nothing else of it', async () => {
    const { db } = (await home.open()).database
    await saveKnown(db, 'r1', [known('1'), known('2')])
    const before = await getDeals(db, 'hub', ['1', '2'])
    await markSeen(db, 'r2', 'hub', ['1'])
    await markSeen(db, 'r2', 'sf', ['2'])
    const after = await getDeals(db, 'hub', ['1', '2'])
    expect(after.get('2')).toEqual(before.get('2'))
    expect(after.get('1')).toEqual({ ...before.get('1'), seenRun: 'r2' })
  })

  it('lists records that could not be understood, known before or never read, until they are released', async () => {
    const { db } = (await home.open()).database
    await saveKnown(db, 'r1', [known('1'), known('2')])
    await quarantine(db, 'hub', [{ deal: '2', problem: 'amount is "x\0"' }], NOW)
    await quarantine(db, 'sf', [{ deal: '2', problem: 'another CRM' }], NOW)
    const twice = { deal: '2', problem: 'amount is "y"' }
    await quarantine(db, 'hub', [twice, { deal: '77', problem: 'no stage' }, twice], NOW + 1)
    const held = { connection: 'hub', since: NOW + 1 }
    expect(await quarantined(db, 'hub')).toEqual([
      { ...held, id: '2', name: 'Deal 2', url: 'https://crm.example/2', problem: 'amount is "y"', since: NOW },
      { ...held, id: '77', name: null, url: 'https://crm.example/77', problem: 'no stage' },
    ])
    expect(await quarantined(db, 'sf')).toMatchObject([{ name: null, url: null, problem: 'another CRM' }])
    await release(db, 'hub', ['1', '2'])
    expect((await quarantined(db, 'hub')).map(({ id }) => id)).toEqual(['77'])
  })

  it('records each transition once', async () => {
    const { db } = (await home.open()).database
    const transition = {
      deal: { connection: 'hub', id: '1' },
      from: 'moving',
      to: 'stalled',
      at: NOW,
      rule: 'no_movement',
      evidence: { idleDays: 16, limit: 15 },
    } as const
    await saveTransitions(db, 'r1', [transition])
    await saveTransitions(db, 'r1', [transition])
    const stored = await db.selectFrom('transition').selectAll().execute()
    expect(stored).toEqual([{ ...transition, run: 'r1', connection: 'hub', deal: '1' }])
  })

  it('finds a deal by id, link, name or part of it, taking nothing for a pattern', async () => {
    const { db } = (await home.open()).database
    await saveKnown(db, 'r1', [
      known('1', { name: 'Acme 100% wool' }),
      known('2', { name: 'Acme' }),
      known('3', { name: '1' }),
    ])
    const ids = async (words: string, connection?: string) =>
      (await findDeal(db, words, connection)).map((each) => each.known.ref.id)
    expect(await ids('1')).toEqual(['1'])
    expect(await ids(' https://crm.example/2 ')).toEqual(['2'])
    expect(await ids('ACME')).toEqual(['2'])
    expect(await ids('100%')).toEqual(['1'])
    expect(await ids('acm')).toEqual(['1', '2'])
    expect(await ids('a%l')).toEqual([])
    expect(await ids('1', 'sf')).toEqual([])
  })

  it('counts and lists open deals by what they are now, and pages through them in order', async () => {
    const { db } = (await home.open()).database
    const stall = (startedAt: number) => ({ startedAt, rule: 'no_movement' as const, taskKey: '', dead: false })
    const moved = (lastMovement: number | null) => ({ own: { ...NO_OWN_FIELDS, lastMovement } })
    await saveKnown(db, 'r1', [
      known('1', { amount: 10, ...moved(NOW - 2), closeDate: '2026-12-01' }),
      known('2', { amount: 0.1, ownerId: null, ...moved(NOW - 3), closeDate: null, name: '50% \\ off_' }),
      known('3', { amount: null, currency: null, ...moved(null), closeDate: '2026-11-01' }),
      known('4', { amount: 20 }),
      known('5', { amount: 30, outcome: 'won' }),
      known('6', { amount: 40 }),
      known('7', { amount: 50 }, 'sf'),
    ])
    await saveStandings(db, 'hub', [
      { id: '1', standing: standing({ state: 'stalled', stall: stall(NOW - 5), since: NOW }) },
      { id: '2', standing: standing({ state: 'stalled', stall: stall(NOW - 9) }) },
      { id: '3', standing: standing({ state: 'stalled', stall: stall(NOW - 7) }) },
      { id: '4', standing: standing({ state: 'parked' }) },
      // Reopened since the last night, and closed since.
      { id: '5', standing: standing({ state: 'stalled', stall: stall(NOW) }) },
      { id: '6', standing: standing({ state: 'closed' }) },
    ])
    const all = { connections: ['hub'], text: '' }
    const counted = async (text = '') =>
      (await facetsOf(db, { ...all, text })).map(({ state, ownerId, currency, deals, value }) => [
        state,
        ownerId,
        currency,
        deals,
        value,
      ])
    expect((await counted()).sort()).toEqual([
      ['moving', '1', 'EUR', 1, 40],
      ['parked', '1', 'EUR', 1, 20],
      ['stalled', '', 'EUR', 1, 0.1],
      ['stalled', '1', '', 1, 0],
      ['stalled', '1', 'EUR', 1, 10],
    ])
    expect(await counted('0% \\ OFF_')).toEqual([['stalled', '', 'EUR', 1, 0.1]])
    expect(await counted('0_\0')).toEqual([])

    const page = { ...all, state: 'stalled', facets: null, offset: 0, limit: 10 } as const
    const ids = async (more: Partial<Parameters<typeof listDeals>[1]>) =>
      (await listDeals(db, { ...page, order: 'amount', ...more })).map(({ known }) => known.ref.id)
    expect(await ids({})).toEqual(['1', '2', '3'])
    expect(await ids({ order: 'since' })).toEqual(['2', '3', '1'])
    expect(await ids({ order: 'movement' })).toEqual(['2', '1', '3'])
    expect(await ids({ order: 'close' })).toEqual(['3', '1', '2'])
    expect(await ids({ offset: 1, limit: 1 })).toEqual(['2'])
    expect(await ids({ state: null, connections: ['hub', 'sf'] })).toEqual(['7', '6', '4', '1', '2', '3'])
    expect(await ids({ facets: (await facetsOf(db, all)).filter(({ ownerId }) => ownerId === '') })).toEqual(['2'])
    expect(await ids({ facets: [] })).toEqual([])

    await markGone(db, 'hub', ['1'])
    await saveStandings(db, 'hub', [{ id: '2', standing: standing() }])
    expect(await ids({})).toEqual(['3'])
    expect((await counted()).filter(([state]) => state === 'moving').map(([, , , deals]) => deals)).toEqual([1, 1])
  })
}, 'databases')
