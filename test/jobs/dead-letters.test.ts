// Jobs that never end well: one that throws, one whose process dies each time, one that hangs. Each ends as a dead letter
// with its reason after a while; being killed a few times is no reason; the connection's next run goes on.
import { expect, it, onTestFinished } from 'vitest'
import type { JobContext } from '../../jobs/context.ts'
import { handlers } from '../../jobs/index.ts'
import type { Connector } from '../../src/connector.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import { getRun, type Run, startStep } from '../../src/store/runs.ts'
import { homes } from '../homes.ts'
import { MONDAY, REPS, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, instead, startProgram } from './program.ts'

const SOME = ['one', 'two', 'three'].map((name, at) => seedDeal(name, { ownerEmail: REPS[at] ?? '' }))

async function stage(
  change: (connector: Connector) => Partial<Connector> = () => ({}),
  more: Partial<JobContext> = {},
) {
  const crm = await startCrm('hubspot', seedOf(SOME))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const opened = await homes[0]?.open()
  if (!opened) throw new Error('no home')
  const connector = await connectTo(crm, { settleMs: 0 })
  const connectors = { [crm.name]: instead(connector, () => change(connector)) }
  const program = await startProgram({ ...opened, crms: [crm], connectors })
  onTestFinished(() => program.close())
  const { step, failed } = handlers({ ...program.ctx, ...more }, async () => null)
  const signal = new AbortController().signal
  const { db } = program.ctx
  /** As the queue does it: a step that throws is recorded. */
  async function attempt(run: Run): Promise<Run> {
    const { step: next } = (await getRun(db, run.id)) ?? run
    await step(run.id, next, signal).catch((error: unknown) => failed(run.id, next, error))
    return (await getRun(db, run.id)) ?? run
  }
  /** A start whose process is gone before it could say anything. */
  const die = async (run: Run) => {
    const { step: next } = (await getRun(db, run.id)) ?? run
    if (next === 'done' || !(await startStep(db, run.id, next))) throw new Error('not started')
  }
  /** A start that is cut off on its way. */
  const cut = (run: Run) => step(run.id, 'apply', signal).catch(() => {})
  return { crm, program, db, attempt, die, cut }
}

it('a step that throws is given up after five attempts, and every attempt is on record', async () => {
  const broken = { on: true }
  const { crm, program, attempt } = await stage((connector) => ({
    reference: async (signal) => {
      if (broken.on) throw new TypeError('x is not a function')
      return connector.reference(signal)
    },
  }))
  const run = await program.open(crm, MONDAY)
  for (let n = 1; n < 5; n++) expect(await attempt(run)).toMatchObject({ status: 'open', attempts: n })
  const dead = await attempt(run)
  expect(dead).toMatchObject({ status: 'failed', step: 'pull' })
  expect(dead.problem).toBe('gave up after 5 attempts at pull: x is not a function')
  expect(dead.failures.map(({ step, problem }) => `${step}: ${problem}`)).toEqual(
    Array(5).fill('pull: x is not a function'),
  )
  broken.on = false
  expect(await program.night(crm, MONDAY)).toMatchObject({ status: 'done' })
})

it('a database without room is waited for: that is no attempt of the run', async () => {
  const { crm, program, attempt } = await stage(() => ({
    reference: async () => {
      throw Object.assign(new Error('could not extend file: No space left on device'), { code: '53100' })
    },
  }))
  const run = await program.open(crm, MONDAY)
  for (let n = 0; n < 25; n++) expect(await attempt(run)).toMatchObject({ status: 'open', attempts: 0, starts: 0 })
})

it('killing the same job five times does not fail it; dying without end does, with a reason', async () => {
  const { crm, program, attempt, die, db } = await stage()
  const run = await program.open(crm, MONDAY)
  for (let n = 0; n < 5; n++) await die(run)
  expect(await attempt(run)).toMatchObject({ status: 'open', step: 'decide', starts: 0 })
  for (let n = 0; n < 20; n++) await die(run)
  const dead = await attempt(run)
  expect(dead).toMatchObject({ status: 'failed', step: 'decide', failures: [] })
  expect(dead.problem).toMatch(/"decide" was begun 20 times and ended each time with its process/)
  expect(await rowsOfRun(db, run.id)).toEqual([])
  expect(await program.night(crm, MONDAY)).toMatchObject({ status: 'done' })
})

it('a job that dies in the middle of writing is given up only when it gets no further, and nothing is doubled', async () => {
  const answers = { left: 0 }
  const { crm, program, attempt, cut, db } = await stage(
    (connector) => ({
      can: { ...connector.can, readBatch: 1 },
      async *write(writes, signal) {
        if (answers.left < 0) throw new Error('out of memory')
        for await (const outcome of connector.write(writes, signal)) {
          if (answers.left-- <= 0) throw new Error('power cut')
          yield outcome
        }
      },
    }),
    { mostStarts: 3 },
  )
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  const run = await program.open(crm, MONDAY, { confirm: preview.id })
  for (const _ of ['pull', 'decide']) await attempt(run)
  const statuses = async () => Object.groupBy(await rowsOfRun(db, run.id), ({ status }) => status)
  // One answer is stored before each cut: it may happen any number of times.
  for (let n = 1; n <= 2; n++) {
    answers.left = 1
    await cut(run)
    expect(await getRun(db, run.id)).toMatchObject({ status: 'open', starts: 0 })
  }
  expect((await statuses()).done?.length).toBeGreaterThanOrEqual(2)
  // Now it dies before anything reaches the CRM: the first start still settles what was open, the next three change nothing.
  answers.left = -1
  for (let n = 0; n < 4; n++) await cut(run)
  const dead = await attempt(run)
  expect(dead).toMatchObject({ status: 'failed', step: 'apply' })
  expect(dead.problem).toMatch(/"apply" was begun 3 times/)
  const after = await statuses()
  expect(after.planned).toBeUndefined()
  expect(dead.summary).toMatchObject({
    writes: { flag: { done: after.done?.filter(({ group }) => group === 'flag').length } },
  })
  // Another night ends what it had begun.
  answers.left = 99
  expect(await program.night(crm, MONDAY)).toMatchObject({ status: 'done' })
  const seen = await crm.look()
  expect(seen.deals.every(({ stalled }) => stalled)).toBe(true)
  expect(seen.tasks).toHaveLength(3)
})

it('a step that hangs is aborted, counts as failed, and its run ends', async () => {
  let aborted = 0
  const { crm, program, attempt } = await stage(
    (connector) => ({
      // Notices its signal, and still never returns.
      async *pull(since, now, signal) {
        signal.addEventListener('abort', () => aborted++)
        yield* connector.pull(since, now, signal)
        await new Promise(() => {})
      },
    }),
    { idleMs: 300 },
  )
  const run = await program.open(crm, MONDAY)
  const once = await attempt(run)
  expect(once).toMatchObject({
    status: 'open',
    attempts: 1,
    starts: 0,
    problem: expect.stringMatching(/"pull" made no progress/),
  })
  for (let n = 0; n < 4; n++) await attempt(run)
  expect(await attempt(run)).toMatchObject({ status: 'failed', step: 'pull' })
  expect(aborted).toBeGreaterThan(0)
})

it('steps that died before are worked on one at a time: the one to blame does not take the others with it', async () => {
  const crms = await Promise.all((['hubspot', 'salesforce'] as const).map((system) => startCrm(system, seedOf(SOME))))
  const opened = await homes[0]?.open()
  if (!opened) throw new Error('no home')
  let at = 0
  let most = 0
  const watched = async (crm: (typeof crms)[number]): Promise<Connector> => {
    const connector = await connectTo(crm)
    const reference: Connector['reference'] = async (signal) => {
      most = Math.max(most, ++at)
      const found = await connector.reference(signal)
      at--
      return found
    }
    return instead(connector, () => ({ reference }))
  }
  const connectors = Object.fromEntries(await Promise.all(crms.map(async (crm) => [crm.name, await watched(crm)])))
  const program = await startProgram({ ...opened, crms, connectors })
  onTestFinished(async () => {
    await program.close()
    for (const crm of crms) await crm.stop()
  })
  const { step } = handlers(program.ctx, async () => null)
  const signal = new AbortController().signal
  const runs = await Promise.all(crms.map((crm) => program.open(crm, MONDAY)))
  for (const { id } of [...runs, ...runs]) await startStep(program.ctx.db, id, 'pull')
  await Promise.all(runs.map(({ id }) => step(id, 'pull', signal)))
  expect(most).toBe(1)
  for (const { id } of runs) expect(await getRun(program.ctx.db, id)).toMatchObject({ step: 'decide', starts: 0 })
})
