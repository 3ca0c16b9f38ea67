// What is forgotten, and above all what is not: whatever was written to a deal that is open or not settled, since when a
// task waits, what can still be taken back.
import { expect, it } from 'vitest'
import { Settings } from '../../src/core/policy.ts'
import { NO_SUMMARY } from '../../src/report/summary.ts'
import { markGone, saveKnown, saveStandings } from '../../src/store/deals.ts'
import { insertPlan, rowsOfRun } from '../../src/store/ledger.ts'
import { DETAIL_DAYS, forget, WAITING_DAYS, WRITTEN_DAYS } from '../../src/store/retention.ts'
import {
  figuresOf,
  finishRun,
  getPlan,
  getRun,
  openRun,
  saveFigures,
  savePlan,
  startStep,
} from '../../src/store/runs.ts'
import type { Db } from '../../src/store/schema.ts'
import { eachHome } from '../homes.ts'
import { fields, known, NOW, standing, task } from './fixtures.ts'

const DAY = 86_400_000
const settings = Settings.parse({ timezone: 'UTC' })
const listed = { deal: { connection: 'hub', id: '1' }, name: 'x', url: 'x', owner: null, amount: null, currency: null }
const summary = { ...NO_SUMMARY, unreadable: 3, lists: { ...NO_SUMMARY.lists, archive: [listed] } }

/** A finished night so many days ago that wrote, held and dropped something of each of two deals. */
async function night(db: Db, daysAgo: number, connection = 'hub') {
  const now = NOW - daysAgo * DAY
  const localDate = new Date(now).toISOString().slice(0, 10)
  const opened = await openRun(db, {
    ...{ connection, kind: 'night', localDate, now, settings, settingsHash: '', createdAt: now },
  })
  const run = 'run' in opened ? await startStep(db, opened.run.id, 'pull') : null
  if (!run) throw new Error('busy')
  const of = { connection, id: '' }
  const rows = ['open', 'closed'].flatMap((id) => [
    fields(run.id, id, { deal: { ...of, id } }),
    task(run.id, id, { deal: { ...of, id }, hold: { brake: 'cap', limit: 1 } }),
    fields(run.id, id, { deal: { ...of, id }, key: `${run.id}.${id}.forecast`, group: 'forecast' }),
  ])
  await insertPlan(db, run, rows, { now, week: '2026-W01' })
  const written = db.updateTable('ledger').where('run', '=', run.id)
  await written.where('group', '=', 'flag').set({ status: 'done' }).execute()
  await written.where('group', '=', 'forecast').set({ status: 'dropped' }).execute()
  await savePlan(db, run, rows)
  await saveFigures(db, run, { night: daysAgo })
  await finishRun(db, run, now, summary)
  return run.id
}
const shown = async (db: Db, run: string) =>
  (await rowsOfRun(db, run)).map(({ deal, group, status }) => `${deal.id} ${group} ${status}`)
const ALL = ['open', 'closed'].flatMap((id) => [`${id} flag done`, `${id} task held`, `${id} forecast dropped`])

eachHome((home) => {
  it('details go after a month, what was written to deals that are over after 400 days, the rest stays', async () => {
    const { db } = (await home.open()).database
    const days = [
      WRITTEN_DAYS + 2,
      WRITTEN_DAYS + 1,
      WRITTEN_DAYS - 1,
      DETAIL_DAYS + 1,
      DETAIL_DAYS - 1,
      WAITING_DAYS - 1,
    ]
    const runs: string[] = []
    for (const each of days) runs.push(await night(db, each))
    const other = await night(db, WRITTEN_DAYS + 5, 'sf')
    const modifiedAt = NOW - (WRITTEN_DAYS + 1) * DAY
    await saveKnown(db, 'r', [known('open', { modifiedAt }), known('closed', { modifiedAt, outcome: 'lost' })])
    await forget(db, 'hub', NOW)
    const left = await Promise.all(runs.map((run) => shown(db, run)))
    expect(left).toEqual([
      // Since when the task of an open deal waits.
      ['open flag done', 'open task held'],
      ['open flag done'],
      ['open flag done', 'closed flag done'],
      ['open flag done', 'closed flag done'],
      ALL.filter((line) => !line.endsWith('held')),
      ALL,
    ])
    expect(await shown(db, other)).toEqual(ALL)
    expect(await Promise.all(runs.map(async (run) => (await getPlan(db, run)).length > 0))).toEqual([
      ...[false, false, false, false, true, true],
    ])
    const [, , , month = '', young = ''] = runs
    expect((await getRun(db, month))?.summary).toEqual({ ...summary, lists: NO_SUMMARY.lists })
    expect((await getRun(db, young))?.summary).toEqual(summary)
    expect(await forget(db, 'hub', NOW)).toBe(0)

    // With the deal closed nothing of the oldest nights is needed any more, and their runs go as well.
    await saveKnown(db, 'r', [known('open', { modifiedAt, outcome: 'won' })])
    expect(await forget(db, 'hub', NOW)).toBeGreaterThan(0)
    const there = await Promise.all(runs.map(async (run) => (await getRun(db, run)) !== null))
    expect(there).toEqual([false, false, true, true, true, true])
    expect(await Promise.all(runs.map((run) => figuresOf(db, run)))).toEqual([
      null,
      null,
      ...days.slice(2).map((night) => ({ night })),
    ])
  })

  it('nothing of a deal that is gone since yesterday, however old: it may be restored', async () => {
    const { db } = (await home.open()).database
    const run = await night(db, WRITTEN_DAYS + 1)
    const modifiedAt = NOW - (WRITTEN_DAYS + 1) * DAY
    await saveKnown(db, 'r', [known('open', { modifiedAt }), known('closed', { modifiedAt, outcome: 'lost' })])
    await markGone(db, 'hub', ['open'])
    await saveStandings(db, 'hub', [{ id: 'open', standing: standing({ state: 'gone', since: NOW - DAY }) }])
    await forget(db, 'hub', NOW)
    expect(await shown(db, run)).toEqual(['open flag done', 'open task held'])
    await forget(db, 'hub', NOW + WRITTEN_DAYS * DAY)
    expect(await shown(db, run)).toEqual([])
  })
}, 'databases')
