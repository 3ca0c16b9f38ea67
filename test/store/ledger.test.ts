// The ledger's laws: nothing is sent before it is marked, only allowed moves happen, one stall never gets two tasks,
// and two connections never reserve the same place in a person's week.
import { expect, it } from 'vitest'
import type { LedgerStatus } from '../../src/core/plan.ts'
import { MOVES } from '../../src/core/reaffirm.ts'
import {
  fieldsOf,
  IllegalMove,
  insertPlan,
  ledgerForDeals,
  lockBudget,
  markSent,
  nextRows,
  plannedRows,
  rowsOfRun,
  sentRows,
  sentRowsOfConnection,
  settle,
  tasksInWeek,
} from '../../src/store/ledger.ts'
import { fenced, finishRun, startStep } from '../../src/store/runs.ts'
import type { Executor } from '../../src/store/schema.ts'
import { eachHome } from '../homes.ts'
import { fields, NOW, startedRun, task } from './fixtures.ts'

const statuses = async (db: Executor, run: string) =>
  Object.fromEntries(
    [...Map.groupBy(await rowsOfRun(db, run), (row) => row.status)].map(([status, rows]) => [status, rows.length]),
  )
const at = { now: NOW, week: '2026-W48' }
const ALL: readonly LedgerStatus[] = ['planned', 'held', 'dropped', 'sent', 'done', 'refused', 'left', 'undone']

eachHome((home) => {
  it('keeps a plan in its order, with what is held, and stores it once', async () => {
    const { db } = (await home.open()).database
    const run = await startedRun(db)
    const plan = [
      fields(run.id, '2'),
      fields(run.id, '1'),
      task(run.id, '1', { hold: { brake: 'cap', limit: 1 } }),
      ...Array.from({ length: 1100 }, (_, n) => fields(run.id, `m${n}`)),
    ]
    await fenced(db, run, (trx) => insertPlan(trx, run, plan, at))
    await fenced(db, run, (trx) => insertPlan(trx, run, plan, at))
    const stored = await rowsOfRun(db, run.id)
    expect(stored.map((row) => row.key)).toEqual(plan.map((row) => row.key))
    expect(stored[2]).toEqual({
      ...plan[2],
      run: run.id,
      status: 'held',
      plannedAt: NOW,
      sentAt: null,
      settledAt: null,
      remote: null,
      message: null,
      sentEpoch: null,
      week: '2026-W48',
    })
    expect((await plannedRows(db, run.id, 2)).map((row) => row.deal.id)).toEqual(['2', '1'])
    expect(await statuses(db, run.id)).toEqual({ planned: 1102, held: 1 })
  })

  it('marks as sent only what is planned, all or nothing, with the epoch that sends', async () => {
    const { db } = (await home.open()).database
    const run = await startedRun(db)
    const [one, two] = [fields(run.id, '1'), fields(run.id, '2', { hold: { brake: 'stale_snapshot' } })]
    await fenced(db, run, (trx) => insertPlan(trx, run, [one, two], at))
    await expect(fenced(db, run, (trx) => markSent(trx, run, [one.key, two.key], 5))).rejects.toThrow(IllegalMove)
    expect(await sentRows(db, run.id)).toEqual([])
    await fenced(db, run, (trx) => markSent(trx, run, [one.key], 5))
    expect(await sentRowsOfConnection(db, 'hub')).toMatchObject([{ key: one.key, sentAt: 5, sentEpoch: run.epoch }])
    await expect(fenced(db, run, (trx) => markSent(trx, run, [one.key], 6))).rejects.toThrow(IllegalMove)
  })

  it('gives the next deals out whole, but those that are in work, wait, or have a write without an answer', async () => {
    const { db } = (await home.open()).database
    const run = await startedRun(db)
    const [busy, waiting, sent] = [fields(run.id, '1'), fields(run.id, '2'), fields(run.id, '3')]
    const plan = [busy, waiting, sent, task(run.id, '3'), fields(run.id, '4'), task(run.id, '4'), fields(run.id, '5')]
    await fenced(db, run, (trx) => insertPlan(trx, run, plan, at))
    await fenced(db, run, (trx) => markSent(trx, run, [sent.key], 5))
    const next = async (most: number) =>
      (await nextRows(db, run.id, most, { keys: [waiting.key], deals: ['1'] })).map(({ deal, kind }) => [deal.id, kind])
    expect(await next(1)).toEqual([
      ['4', 'fields'],
      ['4', 'create-task'],
    ])
    expect((await next(9)).at(-1)).toEqual(['5', 'fields'])
    expect((await fieldsOf(db, run, ['3', '4'])).get('3')).toEqual([{ deal: '3', status: 'sent' }])
  })

  it('refuses the ledger writes of a worker whose run was taken over', async () => {
    const { db } = (await home.open()).database
    const run = await startedRun(db)
    const row = fields(run.id, '1')
    await fenced(db, run, (trx) => insertPlan(trx, run, [row], at))
    await startStep(db, run.id, 'pull')
    await expect(fenced(db, run, (trx) => markSent(trx, run, [row.key], 5))).rejects.toThrow('taken over')
    expect(await statuses(db, run.id)).toEqual({ planned: 1 })
  })

  it('allows exactly the moves of the design, every pair tried', async () => {
    const { db } = (await home.open()).database
    const run = await startedRun(db)
    const pairs = ALL.flatMap((before) => ALL.map((after) => ({ before, after })))
    await fenced(db, run, async (trx) => {
      await insertPlan(
        trx,
        run,
        pairs.map((pair) => fields(run.id, `${pair.before}-${pair.after}`)),
        at,
      )
      for (const { before, after } of pairs)
        await trx.updateTable('ledger').set({ status: before }).where('deal', '=', `${before}-${after}`).execute()
    })
    for (const { before, after } of pairs) {
      const move = fenced(db, run, (trx) =>
        settle(trx, run.id, [{ key: `${run.id}.${before}-${after}.flag`, status: after, message: 'm\0' }], 7),
      )
      if (MOVES[before].includes(after)) await move
      else await expect(move, `${before} -> ${after}`).rejects.toThrow(IllegalMove)
    }
    const moved = (await rowsOfRun(db, run.id)).filter((row) => row.settledAt === 7)
    expect(moved.map((row) => row.deal.id).sort()).toEqual(
      [
        ...['planned-sent', 'planned-held', 'planned-dropped', 'planned-left', 'sent-done', 'sent-refused'],
        ...['sent-planned', 'sent-left', 'done-undone', 'done-left'],
      ].sort(),
    )
    expect(moved.every((row) => row.message === 'm')).toBe(true)
  })

  it('never gives one stall two tasks, but a new task after a refusal or a hold', async () => {
    const { db } = (await home.open()).database
    const first = await startedRun(db)
    const held = task(first.id, '2', { hold: { brake: 'no_owner' } })
    const refused = task(first.id, '3')
    await fenced(db, first, async (trx) => {
      await insertPlan(trx, first, [task(first.id, '1'), held, refused], at)
      await markSent(trx, first, [refused.key], 1)
      await settle(trx, first.id, [{ key: refused.key, status: 'refused' }], 1)
    })
    await finishRun(db, first, 1, {})
    const second = await startedRun(db)
    await fenced(db, second, (trx) =>
      insertPlan(
        trx,
        second,
        ['1', '2', '3'].map((deal) => task(second.id, deal)),
        { ...at, now: NOW + 1 },
      ),
    )
    expect((await rowsOfRun(db, second.id)).map((row) => [row.deal.id, row.status])).toEqual([
      ['1', 'dropped'],
      ['2', 'planned'],
      ['3', 'planned'],
    ])
    // Even past this code, the index refuses a second live task.
    await expect(
      db
        .updateTable('ledger')
        .set({ status: 'planned' })
        .where('run', '=', second.id)
        .where('deal', '=', '1')
        .execute(),
    ).rejects.toThrow('ledger_one_task')
  })

  it('knows of a deal all that counts, and since when its held task waits', async () => {
    const { db } = (await home.open()).database
    for (const [night, now] of [
      ['2026-11-23', NOW],
      ['2026-11-24', NOW + 1],
      ['2026-11-25', NOW + 2],
    ] as const) {
      const run = await startedRun(db, 'hub', night)
      const hold = { brake: 'budget', owner: 'ana', limit: 3, week: '2026-W48' } as const
      const rows = [fields(run.id, '1'), task(run.id, '1', { hold }), fields(run.id, '2')]
      await fenced(db, run, async (trx) => {
        await insertPlan(trx, run, rows, { now, week: '2026-W48' })
        if (now === NOW) await settle(trx, run.id, [{ key: `${run.id}.1.flag`, status: 'dropped' }], now)
      })
      await finishRun(db, run, now, {})
    }
    const of = await ledgerForDeals(db, 'hub', ['1', '3'])
    expect([...of.keys()]).toEqual(['1'])
    expect(of.get('1')?.map((row) => [row.kind, row.status, row.plannedAt - NOW])).toEqual([
      ['create-task', 'held', 0],
      ['fields', 'planned', 1],
      ['fields', 'planned', 2],
    ])
  })

  it('counts the tasks of a week per person over all connections', async () => {
    const { db } = (await home.open()).database
    const [hub, sf] = [await startedRun(db, 'hub'), await startedRun(db, 'sf')]
    await fenced(db, hub, async (trx) => {
      const rows = ['1', '2', '3', '4'].map((deal) => task(hub.id, deal))
      await insertPlan(trx, hub, rows, at)
      const keys = rows.map((row) => row.key)
      await markSent(trx, hub, keys.slice(0, 3), 1)
      await settle(
        trx,
        hub.id,
        [
          { key: keys[0] ?? '', status: 'done', remote: 't1' },
          { key: keys[1] ?? '', status: 'refused' },
        ],
        1,
      )
      await settle(trx, hub.id, [{ key: keys[0] ?? '', status: 'undone' }], 1)
    })
    await fenced(db, sf, async (trx) => {
      await insertPlan(trx, sf, [task(sf.id, 's1'), task(sf.id, 's2', { person: 'bob' })], at)
      await insertPlan(trx, sf, [task(sf.id, 's3')], { ...at, week: '2026-W47' })
      await insertPlan(trx, sf, [task(sf.id, 's4', { hold: { brake: 'no_owner' } })], at)
    })
    expect(await tasksInWeek(db, '2026-W48')).toEqual(
      new Map([
        ['ana@acme.example', 4],
        ['bob', 1],
      ]),
    )
    expect((await rowsOfRun(db, hub.id))[0]).toMatchObject({ status: 'undone', remote: 't1' })
  })

  it('makes two connections reserve one after the other', async () => {
    const { db } = (await home.open()).database
    const runs = [await startedRun(db, 'hub'), await startedRun(db, 'sf')]
    const seen = await Promise.all(
      runs.map((run) =>
        fenced(db, run, async (trx) => {
          await lockBudget(trx)
          const before = (await tasksInWeek(trx, '2026-W48')).get('ana@acme.example') ?? 0
          await insertPlan(trx, run, [task(run.id, run.connection)], at)
          return before
        }),
      ),
    )
    expect(seen.sort()).toEqual([0, 1])
  })
}, 'databases')
