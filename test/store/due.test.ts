// What was noted of a deal stands until something happens to it, whoever writes it: read anew, gone, a standing, a row of
// the ledger and what becomes of it.
import { expect, it } from 'vitest'
import {
  type Due,
  dueDeals,
  getDeals,
  judgeAgain,
  markGone,
  notDue,
  saveDue,
  saveKnown,
  saveStandings,
} from '../../src/store/deals.ts'
import { insertPlan, markSent, settle } from '../../src/store/ledger.ts'
import { NO_OWN_FIELDS } from '../core/build.ts'
import { eachHome } from '../homes.ts'
import { fields, known, NOW, standing, startedRun } from './fixtures.ts'

const totals = { open: 1, stalled: 0, newlyStalled: 0, recovered: 0, parked: 0, answeredNo: 0, dismissed: 0 }
const cell = { currency: 'EUR', month: '2026-12', category: null, owner: '1', pipeline: 'default', moves: true }
const note = (id: string, dueAt: number, cents = 100): Due => ({ id, dueAt, counted: { totals, cell }, cents })

eachHome((home) => {
  it('a deal that something happens to is due', async () => {
    const { db } = (await home.open()).database
    const run = await startedRun(db)
    const { key } = fields(run.id, '1')
    await saveKnown(db, 'r1', [known('1'), known('2')])
    const dueOf = async (id: string) => (await getDeals(db, 'hub', [id])).get(id)?.dueAt
    expect(await dueOf('1')).toBe(0)
    const events: Readonly<Record<string, () => Promise<unknown>>> = {
      'read anew': () => saveKnown(db, 'r2', [known('1', { amount: 7, modifiedAt: NOW + 1 })]),
      'a standing': () => saveStandings(db, 'hub', [{ id: '1', standing: standing() }]),
      'a planned row': () => insertPlan(db, run, [fields(run.id, '1')], { now: NOW, week: '2026-W48' }),
      sent: () => markSent(db, run, [key], NOW),
      settled: () => settle(db, run.id, [{ key, status: 'done' }], NOW),
      'asked for': () => judgeAgain(db, 'hub', ['1']),
      gone: () => markGone(db, 'hub', ['1']),
      'back as it was': () => saveKnown(db, 'r3', [known('1', { amount: 7, modifiedAt: NOW + 1 })]),
    }
    for (const [what, happens] of Object.entries(events)) {
      await saveDue(db, 'hub', [note('1', NOW + 5), note('2', NOW + 5)])
      await happens()
      expect([await dueOf('1'), await dueOf('2')], what).toEqual([0, NOW + 5])
    }
    await saveDue(db, 'hub', [note('1', NOW + 5)])
    await saveKnown(db, 'r4', [known('1', { amount: 7, modifiedAt: NOW + 1 })])
    expect(await dueOf('1'), 'the same read again').toBe(NOW + 5)
  })

  it('pages through what is due, and adds up the rest', async () => {
    const { db } = (await home.open()).database
    const closed = known('9', { outcome: 'lost', own: NO_OWN_FIELDS })
    await saveKnown(db, 'r1', [...['1', '2', '3', '4', '5'].map((id) => known(id)), closed])
    await saveDue(db, 'hub', [
      note('1', NOW),
      note('2', NOW + 1, 250),
      note('4', NOW - 1),
      note('5', NOW + 9),
      note('9', NOW + 9),
    ])
    const found: string[] = []
    for (let page = await dueDeals(db, 'hub', NOW, { after: null, limit: 1 }); page.length > 0; ) {
      const [one] = page
      if (!one) throw new Error('empty')
      found.push(one.known.ref.id)
      page = await dueDeals(db, 'hub', NOW, { after: one, limit: 1 })
    }
    expect(found).toEqual(['3', '4', '1'])
    expect(await notDue(db, 'hub', NOW)).toEqual([{ counted: { totals, cell }, deals: 2, cents: 350 }])
    expect(await notDue(db, 'sf', NOW)).toEqual([])
  })
})
