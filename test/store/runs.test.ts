// The promises of the run row: one open run, one night a day, and only the newest attempt may write.
import { expect, it } from 'vitest'
import { previewKey } from '../../src/core/plan.ts'
import { Settings } from '../../src/core/policy.ts'
import {
  endStart,
  failRun,
  fenced,
  finishRun,
  getPlan,
  getRun,
  listRuns,
  type NewRun,
  nextStep,
  openRun,
  openRuns,
  previewed,
  progressed,
  type Run,
  recordAttempt,
  Superseded,
  saveFigures,
  savePlan,
  startStep,
} from '../../src/store/runs.ts'
import type { Db } from '../../src/store/schema.ts'
import { eachHome } from '../homes.ts'
import { fields, task } from './fixtures.ts'

const night: NewRun = {
  connection: 'hub',
  kind: 'night',
  localDate: '2026-11-23',
  now: 1_795_000_000_000,
  settings: Settings.parse({ timezone: 'Europe/Paris' }),
  settingsHash: 'abc',
  createdAt: 1_795_000_000_001,
}

async function opened(db: Db, change: Partial<NewRun> = {}): Promise<Run> {
  const result = await openRun(db, { ...night, ...change })
  if ('busy' in result) throw new Error(`busy: ${result.busy.id}`)
  return result.run
}

const failure = (problem: string) => ({ at: 7, step: 'pull', problem })

async function started(db: Db, change: Partial<NewRun> = {}): Promise<Run> {
  const run = await opened(db, change)
  const mine = await startStep(db, run.id, 'pull')
  if (!mine) throw new Error('not started')
  return mine
}

eachHome((home) => {
  it('opens a run with everything frozen in it, and the same values come back', async () => {
    const { database } = await home.open()
    const run = await opened(database.db, { options: { again: ['7'] } })
    expect(run).toMatchObject({ id: 'hub-2026-11-23-1', step: 'pull', status: 'open', epoch: 0, attempts: 0 })
    expect(await getRun(database.db, run.id)).toEqual({
      ...run,
      now: night.now,
      createdAt: night.createdAt,
      settings: night.settings,
      options: { again: ['7'] },
      problem: null,
      summary: null,
      finishedAt: null,
    })
    expect(await openRuns(database.db)).toEqual([{ id: run.id, connection: 'hub', step: 'pull' }])
    expect(await getRun(database.db, 'hub-1')).toBeNull()
  })

  it('keeps one open run per connection and one night per local date', async () => {
    const { database } = await home.open()
    const { db } = database
    const first = await started(db)
    expect(await openRun(db, { ...night, kind: 'manual' })).toMatchObject({ busy: { id: first.id, status: 'open' } })
    expect((await opened(db, { connection: 'sf' })).id).toBe('sf-2026-11-23-1')
    await finishRun(db, first, 5, { flagged: 1 })
    expect(await openRun(db, night)).toMatchObject({ busy: { id: first.id, status: 'done', summary: { flagged: 1 } } })
    expect((await opened(db, { kind: 'undo', step: 'decide' })).id).toBe('hub-2026-11-23-2')
    expect((await listRuns(db, { connection: 'hub' })).map((run) => run.id)).toEqual([
      'hub-2026-11-23-2',
      'hub-2026-11-23-1',
    ])
  })

  it('lets exactly one of many openers win', async () => {
    const { database } = await home.open()
    const results = await Promise.all(
      Array.from({ length: 8 }, () => openRun(database.db, { ...night, kind: 'manual' })),
    )
    expect(results.filter((result) => 'run' in result)).toHaveLength(1)
    expect(results.filter((result) => 'busy' in result && result.busy.id === 'hub-2026-11-23-1')).toHaveLength(7)
  })

  it('refuses the writes of an older epoch, inside and outside a transaction', async () => {
    const { database } = await home.open()
    const { db } = database
    const old = await started(db)
    await fenced(db, old, (trx) => saveFigures(trx, old, { by: 'old' }))
    const taken = await startStep(db, old.id, 'pull')
    expect(taken?.epoch).toBe(old.epoch + 1)
    await expect(fenced(db, old, (trx) => saveFigures(trx, old, { by: 'late' }))).rejects.toThrow(Superseded)
    await expect(nextStep(db, old, 'decide')).rejects.toThrow(Superseded)
    await expect(finishRun(db, old, 1, {})).rejects.toThrow(Superseded)
    await expect(failRun(db, old, 1, 'x')).rejects.toThrow(Superseded)
    await expect(recordAttempt(db, old, failure('x'))).rejects.toThrow(Superseded)
    const figures = await db.selectFrom('figures').selectAll().execute()
    expect(figures).toEqual([{ run: old.id, connection: 'hub', localDate: '2026-11-23', figures: { by: 'old' } }])
  })

  it('makes a take-over wait for a write in progress, so that none can be half old', async () => {
    const { database } = await home.open()
    const { db } = database
    const run = await started(db)
    const order: string[] = []
    const inside = Promise.withResolvers<void>()
    const write = fenced(db, run, async (trx) => {
      inside.resolve()
      await saveFigures(trx, run, { by: 'first' })
      await new Promise((resolve) => setImmediate(resolve))
      await saveFigures(trx, run, { by: 'second' })
      order.push('written')
    })
    await inside.promise
    await Promise.all([write, startStep(db, run.id, 'pull').then(() => order.push('taken over'))])
    expect(order).toEqual(['written', 'taken over'])
  })

  it('starts only the step that is next, and only while open', async () => {
    const { database } = await home.open()
    const { db } = database
    const run = await started(db)
    expect(await recordAttempt(db, run, failure('first'))).toBe(1)
    expect(await recordAttempt(db, run, failure('second\0'))).toBe(2)
    await fenced(db, run, (trx) => nextStep(trx, run, 'decide'))
    expect(await startStep(db, run.id, 'pull')).toBeNull()
    const next = await startStep(db, run.id, 'decide')
    expect(next).toMatchObject({ step: 'decide', attempts: 0, problem: null, epoch: 2 })
    expect(next?.failures).toEqual([failure('first'), failure('second')])
    await failRun(db, next ?? run, 9, 'token refused')
    expect(await startStep(db, run.id, 'decide')).toBeNull()
    expect(await getRun(db, run.id)).toMatchObject({
      status: 'failed',
      step: 'decide',
      problem: 'token refused',
      finishedAt: 9,
    })
    expect((await opened(db, { kind: 'manual' })).id).toBe('hub-2026-11-23-2')
  })

  it('counts starts that died: neither those that got further nor those that ended in good order', async () => {
    const { database } = await home.open()
    const { db } = database
    const run = await started(db)
    const again = async () => (await startStep(db, run.id, 'pull')) ?? run
    const starts = async () => (await getRun(db, run.id))?.starts
    expect((await again()).starts).toBe(2)
    await fenced(db, await again(), async () => {})
    expect(await starts()).toBe(3)
    await endStart(db, await again())
    await recordAttempt(db, await again(), failure('x'))
    expect(await starts()).toBe(3)
    await progressed(db, await again())
    expect(await getRun(db, run.id)).toMatchObject({ starts: 0, attempts: 0 })
    await progressed(db, await again())
    const last = await getRun(db, run.id)
    await endStart(db, last ?? run)
    expect(await starts()).toBe(0)
    await nextStep(db, await again(), 'decide')
    expect(await starts()).toBe(0)
  })

  it('keeps the plan of a preview beside the ledger', async () => {
    const { database } = await home.open()
    const { db } = database
    const preview = await started(db, { kind: 'preview' })
    expect(await getPlan(db, preview.id)).toEqual([])
    const [first, held, last] = [
      fields(preview.id, 'b'),
      task(preview.id, 'a', { hold: { brake: 'cap', limit: 1 } }),
      fields(preview.id, 'a'),
    ]
    await savePlan(db, preview, [first, held])
    await savePlan(db, preview, [last])
    await finishRun(db, preview, 3, {})
    expect(await getPlan(db, preview.id)).toEqual([first, held, last])
    expect((await previewed(db, preview.id)).map(previewKey)).toEqual([first, last].map(previewKey))
  })
}, 'databases')
