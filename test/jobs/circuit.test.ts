// The circuit of a connection lives in its row: a CRM that asks for a pause is left alone by every process until then,
// a refused credential is tried once a run, and both end by themselves.
import { expect, it, onTestFinished } from 'vitest'
import type { JobContext } from '../../jobs/context.ts'
import { handlers } from '../../jobs/index.ts'
import { openNight } from '../../jobs/nightly.ts'
import { RetryLater } from '../../src/errors.ts'
import { getConnection } from '../../src/store/connections.ts'
import { getRun, type Run, startStep } from '../../src/store/runs.ts'
import { homes } from '../homes.ts'
import { type Crm, DAY, firstNight, MONDAY, REPS, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, instead, settings, startProgram } from './program.ts'

const SYSTEMS = ['hubspot', 'salesforce'] as const
const SOME = ['one', 'two', 'three'].map((name, at) => seedDeal(name, { ownerEmail: REPS[at] ?? '' }))
/** The calls of the day are used up; signing in is not counted. */
const USED_UP = ['/crm/', '/account-info/', '/services/data/'].map((path) => ({ fault: '429-daily', path }) as const)
const MINUTE = 60_000

async function stage(system: Crm['system']) {
  const crm = await startCrm(system, seedOf(SOME))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const opened = await homes[0]?.open()
  if (!opened) throw new Error('no home')
  // Two processes, each with its own connector and gate.
  const [one, two] = [await startProgram({ ...opened, crms: [crm] }), await startProgram({ ...opened, crms: [crm] })]
  for (const program of [one, two]) onTestFinished(() => program.close())
  const { db } = one.ctx
  const circuit = async () => (await getConnection(db, crm.name))?.circuit ?? null
  /** Data calls since the last look: signing in again is not one. */
  let before = 0
  const calls = async () => {
    const counted = (await crm.calls()).filter(({ path }) => !path.includes('/oauth'))
    const all = counted.reduce((sum, { count }) => sum + count, 0)
    const since = all - before
    before = all
    return since
  }
  /** The next step of the run as a fresh process would take it, by a clock that is `late` behind. */
  const step = async (run: Run, late = 0, more: Partial<JobContext> = {}) => {
    const connector = await connectTo(crm, { settleMs: 0 })
    const ctx = { ...one.ctx, connector: async () => connector, clock: () => Date.now() + late, ...more }
    const { step } = (await getRun(db, run.id)) ?? run
    await handlers(ctx, async () => null).step(run.id, step, new AbortController().signal)
  }
  return { crm, one, two, db, circuit, calls, step }
}

it.each(SYSTEMS)('%s: calls used up cost one probe a window, whatever restarts meanwhile', async (system) => {
  const { crm, one, two, db, circuit, calls, step } = await stage(system)
  await firstNight(one, crm, MONDAY)
  await crm.clock(MONDAY + DAY)
  await crm.faults(USED_UP)
  const opened = await openNight(
    { ...one.ctx, patienceMs: 240 * MINUTE },
    { connection: crm.name, system, settings, kind: 'night', now: MONDAY + DAY },
  )
  if ('busy' in opened) throw new Error('busy')
  const { run } = opened
  await calls()
  await expect(step(run)).rejects.toThrow(RetryLater)
  expect(await calls()).toBe(1)
  const first = await circuit()
  expect(first).toMatchObject({ state: 'paused', reason: expect.stringMatching(/limit|used up/i) })
  const until = first?.state === 'paused' ? first.until - Date.now() : 0
  expect(until).toBeGreaterThan(10 * MINUTE)

  // Other processes, restarts, a kill in between: nobody calls.
  for (const late of [0, MINUTE, until - MINUTE]) {
    const waiting = await step(run, late).catch((error: unknown) => error)
    expect(waiting).toBeInstanceOf(RetryLater)
    if (waiting instanceof RetryLater) expect(waiting.afterMs).toBeLessThanOrEqual(until - late)
  }
  await startStep(db, run.id, 'pull')
  await expect(step(run, 2 * MINUTE)).rejects.toThrow(RetryLater)
  expect(await calls()).toBe(0)

  // The window is over: one probe. It is parked by what it is told then.
  await expect(step(run, until + 1000)).rejects.toThrow(RetryLater)
  expect(await calls()).toBe(1)
  expect(await getRun(db, run.id)).toMatchObject({ status: 'open', attempts: 0, failures: [] })
  await expect(step(run, until + MINUTE)).rejects.toThrow(RetryLater)
  expect(await calls()).toBe(0)

  // Calls again: the same run goes on, and the connection has nothing against it.
  await crm.faults([])
  for (const _ of ['pull', 'decide', 'apply', 'report']) await step(run, 3 * until)
  expect(await getRun(db, run.id)).toMatchObject({ status: 'done' })
  expect(await circuit()).toBeNull()

  // By hand, somebody who waits no longer: told at once, without a call.
  await crm.faults(USED_UP)
  await two.night(crm, MONDAY + DAY)
  await calls()
  const told = await two.night(crm, MONDAY + DAY)
  expect(told).toMatchObject({ status: 'failed', step: 'pull' })
  expect(told.problem).toMatch(/(limit|used up).* Nothing was written; try again after \d{4}-\d\d-\d\d \d\d:\d\d\.$/i)
  expect(await calls()).toBe(0)
})

it('a pause of years is one of a day', async () => {
  const { crm, one, circuit, step } = await stage('hubspot')
  await firstNight(one, crm, MONDAY)
  await crm.faults([{ fault: '429', retryAfter: 1e9 }])
  const run = await one.open(crm, MONDAY + DAY)
  await step(run)
  expect(await circuit()).toMatchObject({ state: 'paused' })
  await crm.faults([])
  await crm.clock(MONDAY + 2 * DAY)
  const next = await one.open(crm, MONDAY + 2 * DAY)
  for (const _ of ['pull', 'decide', 'apply', 'report']) await step(next, DAY)
  expect(await getRun(one.ctx.db, next.id)).toMatchObject({ status: 'done' })
})

it.each(SYSTEMS)('%s: a run that has written waits through a pause and ends right', async (system) => {
  const { crm, one, db, circuit, calls, step } = await stage(system)
  const preview = await one.night(crm, MONDAY, { kind: 'preview' })
  const run = await one.open(crm, MONDAY, { confirm: preview.id })
  for (const _ of ['pull', 'decide']) await step(run)
  // Flags are written; the task calls are refused for the rest of the day.
  await crm.faults([
    { fault: '429-daily', path: '/tasks/batch/create' },
    { fault: '429-daily', path: '/composite', method: 'POST', body: 'Unstall_Key__c' },
  ])
  await expect(step(run)).rejects.toThrow(RetryLater)
  expect((await crm.look()).deals.filter(({ stalled }) => stalled)).toHaveLength(3)
  await crm.faults([])
  await calls()
  await expect(step(run, MINUTE)).rejects.toThrow(RetryLater)
  expect(await calls()).toBe(0)
  const paused = await circuit()
  const late = paused?.state === 'paused' ? paused.until - Date.now() : 0
  for (const _ of ['apply', 'report']) await step(run, late)
  expect(await getRun(db, run.id)).toMatchObject({ status: 'done' })
  expect((await crm.look()).tasks).toHaveLength(3)
  expect(await circuit()).toBeNull()
})

it.each(SYSTEMS)('%s: a refused credential is tried once a run, and heals by itself', async (system) => {
  const crm = await startCrm(system, seedOf(SOME))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const opened = await homes[0]?.open()
  if (!opened) throw new Error('no home')
  const good = await connectTo(crm, { settleMs: 0 })
  const bad = await connectTo(crm, { token: 'not-a-token' })
  const token = { works: true }
  const connectors = { [crm.name]: instead(good, () => (token.works ? {} : bad)) }
  const program = await startProgram({ ...opened, crms: [crm], connectors })
  onTestFinished(() => program.close())
  const circuit = async () => (await getConnection(program.ctx.db, crm.name))?.circuit ?? null
  await firstNight(program, crm, MONDAY)
  token.works = false
  const writes = (await crm.journal()).length
  for (const night of [1, 2]) {
    const run = await program.night(crm, MONDAY + night * DAY)
    expect(run).toMatchObject({ status: 'failed', step: 'pull' })
    expect(await circuit()).toEqual({ state: 'reconnect', since: expect.any(Number), reason: run.problem })
  }
  expect(await crm.journal()).toHaveLength(writes)
  token.works = true
  await crm.clock(MONDAY + 3 * DAY)
  expect(await program.night(crm, MONDAY + 3 * DAY)).toMatchObject({ status: 'done' })
  expect(await circuit()).toBeNull()
})
