// A night that nothing opened is caught up with: once, as the night of its own date, and only where there is something to
// catch up with. No CRM is called here.
import { expect, it, onTestFinished } from 'vitest'
import { handlers } from '../../jobs/index.ts'
import { openNight, openScheduled } from '../../jobs/nightly.ts'
import { RetryLater } from '../../src/errors.ts'
import { updateConnection } from '../../src/store/connections.ts'
import { finishRun, getRun, listRuns, startStep } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { borrowed } from '../homes.ts'
import { settings } from './program.ts'

const HOUR = 3_600_000
const DUE = Date.parse('2026-11-23T23:30:00Z')

/** `missed`: as the watchdog asks at some hour after the night was due. */
async function service() {
  const { database, giveBack } = await borrowed()
  onTestFinished(giveBack)
  let now = 0
  let [asked, slow] = [0, 0]
  const ctx = {
    ...{ db: database.db, clock: () => now + (asked++ > 0 ? slow : 0), texts: () => en, progress: () => {} },
    ...{ patienceMs: 0, retryMs: 0 },
    connector: () => Promise.reject(new Error('no CRM is called here')),
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  }
  const night = { connection: 'hub', system: 'hubspot', settings } as const
  const { missed } = handlers(ctx, (_, lateMs) => openScheduled(ctx, { ...night, now, lateMs }))
  return {
    /** `ms`: so long it takes from asking to looking. */
    missed: (hours: number, ms = 0) => {
      now = DUE + hours * HOUR
      ;[asked, slow] = [0, ms]
      return missed('hub', hours * HOUR)
    },
    open: async (kind: 'manual' | 'preview', hours: number) => {
      now = DUE + hours * HOUR
      slow = 0
      const opened = await openNight(ctx, { ...night, kind, now })
      if ('busy' in opened) throw new Error('busy')
      return opened.run.id
    },
    confirm: () => updateConnection(database.db, 'hub', { confirmedAt: 1 }),
    end: async (id: string) => {
      const run = await startStep(database.db, id, 'pull')
      if (run) await finishRun(database.db, run, now, {})
    },
    kinds: async () => (await listRuns(database.db, { connection: 'hub' })).map(({ kind }) => kind),
    run: (id: string) => getRun(database.db, id),
  }
}

it('once, as the night of its date, however often and late it is asked', async () => {
  const { missed, open, confirm, end, run } = await service()
  await end(await open('manual', -30))
  await confirm()
  const opened = await missed(2)
  expect(await run(opened?.runId ?? '')).toMatchObject({ kind: 'night', localDate: '2026-11-23', step: 'pull' })
  expect(await missed(2)).toBeNull()
  await end(opened?.runId ?? '')
  for (const hours of [3, 12, 23.9]) expect(await missed(hours)).toBeNull()
})

it('not where a person has run it since; the runs before it was due do not count', async () => {
  const { missed, open, confirm, end, kinds } = await service()
  await end(await open('manual', -2))
  await confirm()
  await end(await open('manual', 2))
  expect(await missed(3)).toBeNull()
  expect(await kinds()).toEqual(['manual', 'preview'])
})

it('where a person has only looked since', async () => {
  const { missed, open, confirm, end, kinds } = await service()
  await end(await open('preview', -2))
  await confirm()
  await end(await open('preview', 2))
  await missed(3)
  expect(await kinds()).toEqual(['night', 'preview', 'preview'])
})

it('not of a connection that is new since', async () => {
  const { missed, open, end, kinds } = await service()
  expect(await missed(2)).toBeNull()
  await end(await open('preview', 2.5))
  expect(await missed(3)).toBeNull()
  expect(await kinds()).toEqual(['preview'])
})

it('as a preview, once, where no first night was confirmed', async () => {
  const { missed, open, end, kinds } = await service()
  await end(await open('preview', -50))
  const opened = await missed(2)
  expect(await missed(2.5)).toBeNull()
  await end(opened?.runId ?? '')
  expect(await missed(3)).toBeNull()
  expect(await kinds()).toEqual(['preview', 'preview'])
})

it('after the run that is in its way', async () => {
  const { missed, open, confirm, end } = await service()
  const yesterday = await open('manual', -20)
  await confirm()
  await expect(missed(1)).rejects.toThrow(RetryLater)
  await end(yesterday)
  expect(await missed(2)).not.toBeNull()
})

it('not when it was opened the moment it was due, however slow this machine is now', async () => {
  const { missed, open, end, kinds } = await service()
  await end(await open('preview', -50))
  await end(await open('preview', 20 / HOUR))
  expect(await missed(1, 150)).toBeNull()
  expect(await kinds()).toEqual(['preview', 'preview'])
})

it('also where a run says that it was opened in the future: this clock was set back since', async () => {
  const { missed, open, confirm, end } = await service()
  await end(await open('manual', -2))
  await confirm()
  await end(await open('manual', 70))
  expect(await missed(1)).not.toBeNull()
})
