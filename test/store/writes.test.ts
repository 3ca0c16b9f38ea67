// What a run wrote, page by page: the same of a preview, whose rows stand in a table of their own, and of a run in the ledger.
import { expect, it } from 'vitest'
import { insertPlan, markSent, settle } from '../../src/store/ledger.ts'
import { fenced, finishRun, savePlan } from '../../src/store/runs.ts'
import { countWrites, pageOfWrites } from '../../src/store/writes.ts'
import { eachHome } from '../homes.ts'
import { fields, NOW, startedRun, task } from './fixtures.ts'

eachHome((home) => {
  it('counts, and gives whole deals in planned order', async () => {
    const { db } = (await home.open()).database
    const run = await startedRun(db)
    const held = task(run.id, '1', { hold: { brake: 'cap', limit: 1 } })
    const plan = [fields(run.id, '2'), fields(run.id, '1'), held, fields(run.id, '3')]
    const page = async (
      kind: 'preview' | 'manual',
      statuses: readonly ('planned' | 'held' | 'refused')[],
      offset = 0,
    ) => {
      const { deals, writes } = await pageOfWrites(db, { id: run.id, kind }, { statuses, offset, limit: 2 })
      return {
        deals,
        writes: [...writes].map(([id, all]) => [id, ...all.map(({ row, status }) => `${row.group} ${status}`)]),
      }
    }
    await fenced(db, run, (trx) => savePlan(trx, run, plan))
    await fenced(db, run, (trx) => insertPlan(trx, run, plan, { now: NOW, week: '2026-W48' }))
    for (const kind of ['preview', 'manual'] as const) {
      const counts = await countWrites(db, { id: run.id, kind })
      expect(new Set(counts)).toEqual(
        new Set([
          { group: 'flag', status: 'planned', count: 3 },
          { group: 'task', status: 'held', count: 1 },
        ]),
      )
      expect(await page(kind, ['planned', 'held'])).toEqual({
        deals: 3,
        writes: [
          ['2', 'flag planned'],
          ['1', 'flag planned', 'task held'],
        ],
      })
      expect(await page(kind, ['planned', 'held'], 2)).toEqual({ deals: 3, writes: [['3', 'flag planned']] })
      expect(await page(kind, ['held'])).toEqual({ deals: 1, writes: [['1', 'flag planned', 'task held']] })
      expect(await page(kind, ['planned'], 4)).toEqual({ deals: 0, writes: [] })
    }
    await fenced(db, run, async (trx) => {
      const [{ key } = { key: '' }] = plan
      await markSent(trx, run, [key], NOW)
      await settle(trx, run.id, [{ key, status: 'refused', message: 'no' }], NOW)
      await finishRun(trx, run, NOW, {})
    })
    const refused = await pageOfWrites(
      db,
      { id: run.id, kind: 'manual' },
      { statuses: ['refused'], offset: 0, limit: 9 },
    )
    expect([...refused.writes.values()].flat()).toEqual([{ deal: '2', row: plan[0], status: 'refused', message: 'no' }])
  })
}, 'databases')
