// What a hard reader found: ways in which a run could write what it should not, or lose what was due.
import { expect, it, onTestFinished } from 'vitest'
import { handlers } from '../../jobs/index.ts'
import { openScheduled, openUndo } from '../../jobs/nightly.ts'
import type { Connector, Write } from '../../src/connector.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { streamDeals } from '../../src/store/deals.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import { getRun, Superseded, startStep } from '../../src/store/runs.ts'
import { homes } from '../homes.ts'
import { type Crm, DAY, firstNight, MONDAY, REPS, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, instead, type Program, settings, startProgram } from './program.ts'

const SYSTEMS = ['hubspot', 'salesforce'] as const
const SOME = ['one', 'two', 'three'].map((name, at) => seedDeal(name, { ownerEmail: REPS[at] ?? '' }))

async function crmOf(system: Crm['system'], taskKey: 'unique' | 'plain' = 'unique') {
  const crm = await startCrm(system, seedOf(SOME), taskKey)
  onTestFinished(() => crm.stop())
  await setUp(crm)
  return crm
}

async function programFor(crm: Crm, change: (connector: Connector) => Partial<Connector> = () => ({})) {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const connector = await connectTo(crm, { settleMs: 0 })
  const connectors = { [crm.name]: instead(connector, () => change(connector)) }
  const program: Program = await startProgram({ ...home, crms: [crm], connectors })
  onTestFinished(() => program.close())
  return program
}

it.each([
  ['hubspot', 'unique'],
  ['hubspot', 'plain'],
  ['salesforce', 'plain'],
] as const)('%s, %s keys: a lost database adopts flags and tasks, and makes none twice', async (system, taskKey) => {
  const crm = await crmOf(system, taskKey)
  await firstNight(await programFor(crm), crm, MONDAY)
  await crm.clock(MONDAY + DAY)
  const program = await programFor(crm)
  // Their texts name the limit: they would be other ones today.
  const { policy } = settings
  const how = { settings: { ...settings, policy: { ...policy, idleDays: { ...policy.idleDays, default: 12 } } } }
  const preview = await program.night(crm, MONDAY + DAY, { ...how, kind: 'preview' })
  const run = await program.night(crm, MONDAY + DAY, { ...how, confirm: preview.id })
  expect(run).toMatchObject({ status: 'done', problem: null })
  expect((await crm.look()).tasks).toHaveLength(3)
  // The run that found them did not make them: taken back, they stay.
  expect(await program.undo(run, MONDAY + DAY)).toMatchObject({ status: 'done' })
  expect((await crm.look()).tasks).toHaveLength(3)
  // They are ours again: completed when the deal moves.
  await crm.act('one', 'buyer-reply')
  await crm.clock(MONDAY + 2 * DAY)
  await program.night(crm, MONDAY + 2 * DAY)
  const seen = await crm.look()
  expect(seen.tasksOf('one')).toMatchObject([{ open: false }])
  expect(seen.tasksOf('two')).toMatchObject([{ open: true }])
})

it.each([
  ['hubspot', 'plain'],
  ['salesforce', 'plain'],
] as const)(
  '%s, %s keys: a night repeated with a lost database, at the same moment, makes no task twice',
  async (system, taskKey) => {
    const crm = await crmOf(system, taskKey)
    await firstNight(await programFor(crm), crm, MONDAY)
    await firstNight(await programFor(crm), crm, MONDAY)
    expect((await crm.look()).tasks).toHaveLength(3)
  },
)

it.each(SYSTEMS)('%s: a renamed connection adopts flags and tasks', async (system) => {
  const crm = await crmOf(system)
  const renamed = { ...crm, name: 'new-name' }
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const program = await startProgram({ ...home, crms: [crm, renamed] })
  onTestFinished(() => program.close())
  await firstNight(program, crm, MONDAY)
  await crm.clock(MONDAY + DAY)
  const written = (await crm.journal()).length
  await firstNight(program, renamed, MONDAY + DAY)
  expect(await crm.journal()).toHaveLength(written)
  expect((await crm.look()).tasks).toHaveLength(3)
  await crm.act('one', 'buyer-reply')
  await crm.clock(MONDAY + 2 * DAY)
  await program.night(renamed, MONDAY + 2 * DAY)
  const seen = await crm.look()
  expect(seen.deal('one')).toMatchObject({ stalled: false, categoryBefore: null })
  expect(seen.tasksOf('one')).toMatchObject([{ open: false }])
  expect(seen.tasks).toHaveLength(3)
})

it.each(SYSTEMS)('%s: a preview as of another day leaves no trace: what happens until then is seen', async (system) => {
  const crm = await crmOf(system)
  const program = await programFor(crm)
  await firstNight(program, crm, MONDAY)
  await program.night(crm, MONDAY + 200 * DAY, { kind: 'preview', readAt: MONDAY })
  await crm.clock(MONDAY + DAY)
  await crm.act('one', 'buyer-reply')
  await crm.set('two', 'decision', 'no')
  await crm.clock(MONDAY + 2 * DAY)
  await program.night(crm, MONDAY + 2 * DAY)
  const seen = await crm.look()
  expect(seen.deal('one').stalled).toBe(false)
  expect(seen.deal('two').state).toBe('answered_no')
})

it('salesforce: a machine whose clock is fast misses nothing', async () => {
  const crm = await crmOf('salesforce')
  const program = await programFor(crm)
  await firstNight(program, crm, MONDAY + 3 * 3_600_000)
  await crm.clock(MONDAY + 3_600_000)
  await crm.set('one', 'decision', 'no')
  await crm.clock(MONDAY + DAY)
  await program.night(crm, MONDAY + DAY)
  expect((await crm.look()).deal('one').state).toBe('answered_no')
})

it.each(SYSTEMS)(
  '%s: what a failed undo left without an answer is settled by the undo of another run',
  async (system) => {
    const lost = { on: false }
    const crm = await crmOf(system)
    const program = await programFor(crm, (connector) => ({
      async *write(writes, signal) {
        for await (const outcome of connector.write(writes, signal)) if (!lost.on) yield outcome
        if (lost.on) throw new Fatal('permission', 'somebody took our rights away')
      },
    }))
    const { run: first } = await firstNight(program, crm, MONDAY)
    await crm.clock(MONDAY + DAY)
    await crm.set('one', 'decision', 'no')
    const second = await program.night(crm, MONDAY + DAY)
    lost.on = true
    expect(await program.undo(second, MONDAY + DAY)).toMatchObject({ status: 'failed' })
    lost.on = false
    expect(await program.undo(first, MONDAY + DAY)).toMatchObject({ status: 'done' })
    const rows = await rowsOfRun(program.ctx.db, second.id)
    expect(rows.map(({ status }) => status)).toContain('undone')
  },
)

it('a write of an undo that is settled after its run was left by another undo stops no later night', async () => {
  const lost = { on: false, blind: 0 }
  const crm = await crmOf('hubspot')
  const program = await programFor(crm, (connector) => ({
    async *write(writes, signal) {
      for await (const outcome of connector.write(writes, signal)) if (!lost.on) yield outcome
      if (lost.on) throw new Fatal('permission', 'somebody took our rights away')
    },
    read: async (ids, signal) => {
      const found = await connector.read(ids, signal)
      return lost.blind-- > 0 ? new Map(ids.map((id) => [id, 'unreadable' as const])) : found
    },
  }))
  const { run: night } = await firstNight(program, crm, MONDAY)
  lost.on = true
  expect(await program.undo(night, MONDAY + DAY)).toMatchObject({ status: 'failed' })
  lost.on = false
  // What became of it cannot be seen, and a moment later it can.
  lost.blind = 1
  expect(await program.undo(night, MONDAY + DAY)).toMatchObject({ status: 'done' })
  await crm.clock(MONDAY + 2 * DAY)
  expect(await program.night(crm, MONDAY + 2 * DAY)).toMatchObject({ status: 'done', problem: null })
})

it.each(SYSTEMS)('%s: a plan that waited longer than a day is not written, but planned anew', async (system) => {
  const crm = await crmOf(system)
  const down = { on: true, late: 0 }
  const program = await programFor(crm, (connector) => ({
    read: async (ids, signal) => {
      if (down.on) throw new RetryLater('down', 1)
      return connector.read(ids, signal)
    },
  }))
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  const run = await program.open(crm, MONDAY, { confirm: preview.id })
  const { step } = handlers({ ...program.ctx, clock: () => Date.now() + down.late }, async () => null)
  const signal = new AbortController().signal
  for (const name of ['pull', 'decide'] as const) await step(run.id, name, signal)
  await expect(step(run.id, 'apply', signal)).rejects.toThrow('down')
  await crm.act('one', 'buyer-reply')
  down.late = DAY + 1
  down.on = false
  await step(run.id, 'apply', signal)
  await step(run.id, 'report', signal)
  expect(await getRun(program.ctx.db, run.id)).toMatchObject({ status: 'done' })
  expect((await crm.look()).tasks).toEqual([])
  expect(await crm.journal()).toEqual([])
  await crm.clock(MONDAY + 2 * DAY)
  await program.night(crm, MONDAY + 2 * DAY)
  const seen = await crm.look()
  expect(
    seen.deals
      .filter(({ stalled }) => stalled)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(['three', 'two'])
  expect(seen.tasks).toHaveLength(2)
})

it('a record that cannot be read any more does not keep its run open for ever', async () => {
  const crm = await crmOf('hubspot')
  const odd = { on: false, late: 0 }
  const program = await programFor(crm, (connector) => ({
    read: async (ids, signal) => {
      const found = await connector.read(ids, signal)
      return odd.on ? new Map([...found.keys()].map((id) => [id, 'unreadable' as const])) : found
    },
    async *write(writes, signal) {
      odd.on = true
      for await (const outcome of connector.write(writes, signal)) if (!odd.on) yield outcome
    },
  }))
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  const run = await program.open(crm, MONDAY, { confirm: preview.id })
  const { step } = handlers({ ...program.ctx, clock: () => Date.now() + odd.late }, async () => null)
  const signal = new AbortController().signal
  for (const name of ['pull', 'decide'] as const) await step(run.id, name, signal)
  await expect(step(run.id, 'apply', signal)).rejects.toThrow('no answer')
  odd.late = DAY + 1000
  await step(run.id, 'apply', signal)
  await step(run.id, 'report', signal)
  expect(await getRun(program.ctx.db, run.id)).toMatchObject({ status: 'done' })
})

it('a call that left long after its intent was stored is waited for from then on, and not sent again before', async () => {
  const crm = await crmOf('hubspot', 'plain')
  const time = { late: 0 }
  const [MINUTE, SETTLE] = [60_000, 600_000]
  const under: (readonly Write[])[] = []
  const program = await programFor(crm, (connector) => ({
    can: { ...connector.can, settleMs: SETTLE },
    async *write(writes, signal) {
      if (writes[0]?.kind !== 'create-task') return yield* connector.write(writes, signal)
      // Pauses and other requests went before it; then no answer.
      time.late += 8 * MINUTE
      under.push(writes)
    },
  }))
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  const run = await program.open(crm, MONDAY, { confirm: preview.id })
  const { step } = handlers({ ...program.ctx, clock: () => Date.now() + time.late }, async () => null)
  const signal = new AbortController().signal
  for (const name of ['pull', 'decide'] as const) await step(run.id, name, signal)
  const apply = () => step(run.id, 'apply', signal)
  await expect(apply()).rejects.toThrow('no answer')
  time.late += 9 * MINUTE
  await expect(apply()).rejects.toThrow()
  expect(under).toHaveLength(1)
  // Committed at last, within what its connector says.
  const connector = await connectTo(crm)
  await connector.reference(signal)
  for await (const outcome of connector.write(under[0] ?? [], signal)) expect(outcome.result).toBe('done')
  time.late += 2 * MINUTE
  for (const name of ['apply', 'report'] as const) await step(run.id, name, signal)
  expect((await crm.look()).tasks).toHaveLength(3)
})

it('an undo whose writes never come to be ends after a week, and can be asked for again', async () => {
  const crm = await crmOf('hubspot')
  const lost = { on: false, late: 0 }
  const program = await programFor(crm, (connector) => ({
    async *write(writes, signal) {
      if (!lost.on) yield* connector.write(writes, signal)
    },
  }))
  const { run: night } = await firstNight(program, crm, MONDAY)
  lost.on = true
  const opened = await openUndo(program.ctx, night, MONDAY + DAY)
  if ('busy' in opened) throw new Error('busy')
  const { run } = opened
  const { step } = handlers({ ...program.ctx, clock: () => Date.now() + lost.late }, async () => null)
  const signal = new AbortController().signal
  await step(run.id, 'decide', signal)
  for (const days of [0, 2]) {
    lost.late = days * DAY
    await expect(step(run.id, 'apply', signal)).rejects.toThrow('no answer')
  }
  lost.late = 8 * DAY
  for (const name of ['apply', 'report'] as const) await step(run.id, name, signal)
  expect(await getRun(program.ctx.db, run.id)).toMatchObject({ status: 'done' })
  lost.on = false
  await program.undo(night, MONDAY + 9 * DAY)
  expect((await crm.look()).deals.filter(({ stalled }) => stalled)).toEqual([])
})

it.each([new Fatal('permission', 'late'), new TypeError('late')])(
  'an overtaken worker that fails (%s) neither ends the run of the one that took over nor costs it an attempt',
  async (error) => {
    const crm = await crmOf('hubspot')
    const program = await programFor(crm)
    const run = await program.open(crm, MONDAY)
    const reference = async () => {
      await startStep(program.ctx.db, run.id, 'pull')
      throw error
    }
    const connector = instead(await connectTo(crm), () => ({ reference }))
    const { step } = handlers({ ...program.ctx, connector: async () => connector }, async () => null)
    // What throws anything else goes on to `failed`, which counts it against the run as it is then.
    await expect(step(run.id, 'pull', new AbortController().signal)).rejects.toThrow(Superseded)
    expect(await getRun(program.ctx.db, run.id)).toMatchObject({ status: 'open', problem: null })
  },
)

it('a scheduled night waits for a preview or an undo, and lets another run of tonight be it', async () => {
  const crm = await crmOf('hubspot')
  const program = await programFor(crm)
  await firstNight(program, crm, MONDAY)
  const night = { connection: crm.name, system: crm.system, settings, now: MONDAY + DAY }
  const preview = await program.open(crm, MONDAY + DAY, { kind: 'preview' })
  await expect(openScheduled(program.ctx, night)).rejects.toThrow(RetryLater)
  await program.finish(preview)
  const manual = await program.open(crm, MONDAY + DAY)
  expect(await openScheduled(program.ctx, night)).toBeNull()
  await expect(openScheduled(program.ctx, { ...night, now: MONDAY + 2 * DAY })).rejects.toThrow(RetryLater)
  await program.finish(manual)
  const opened = await openScheduled(program.ctx, night)
  expect(opened).toMatchObject({ step: 'pull' })
  expect(await openScheduled(program.ctx, night)).toBeNull()
})

it.each(SYSTEMS)('%s: another account under the same name is not written on the old confirmation', async (system) => {
  const crm = await crmOf(system)
  const other = { on: false }
  const program = await programFor(crm, (connector) => ({
    reference: async (signal) => {
      const reference = await connector.reference(signal)
      expect(reference.account).toMatch(/^\w{5,}$/)
      return other.on ? { ...reference, account: 'another' } : reference
    },
  }))
  await firstNight(program, crm, MONDAY)
  other.on = true
  await crm.set('one', 'decision', 'no')
  const written = (await crm.journal()).length
  const night = await program.night(crm, MONDAY + DAY)
  expect(night).toMatchObject({ status: 'failed', problem: expect.stringContaining('another account') })
  expect(await crm.journal()).toHaveLength(written)
})

it('a preview of other settings, or as of another day, confirms nothing', async () => {
  const crm = await crmOf('hubspot')
  const program = await programFor(crm)
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  const changed = { ...settings, forecast: 'none' as const }
  await expect(program.open(crm, MONDAY, { confirm: preview.id, settings: changed })).rejects.toThrow('settings')
  const ahead = await program.night(crm, MONDAY + 90 * DAY, { kind: 'preview', readAt: MONDAY })
  await expect(program.open(crm, MONDAY, { confirm: ahead.id })).rejects.toThrow('a day')
})

it.each(SYSTEMS)(
  '%s: the task of a deal that closed is completed the next night when it was refused',
  async (system) => {
    const refuses = { on: false }
    const crm = await crmOf(system)
    const program = await programFor(crm, (connector) => ({
      async *write(writes, signal) {
        if (!refuses.on || writes[0]?.kind !== 'complete-task') return yield* connector.write(writes, signal)
        for (const { key } of writes) yield { key, result: 'refused', message: 'a validation rule' }
      },
    }))
    const how = { settings: { ...settings, forecast: 'none' as const } }
    const preview = await program.night(crm, MONDAY, { ...how, kind: 'preview' })
    await program.night(crm, MONDAY, { ...how, confirm: preview.id })
    await crm.act('one', 'move-stage', { to: crm.stage('closedwon') })
    for (const day of [1, 2, 3]) {
      refuses.on = day < 3
      await crm.clock(MONDAY + day * DAY)
      await program.night(crm, MONDAY + day * DAY, how)
      expect((await crm.look()).tasksOf('one')).toMatchObject([{ open: day < 3 }])
    }
    // Nothing is left to end: it is not looked at night after night for ever.
    for (const day of [4, 5]) await program.night(crm, MONDAY + day * DAY, how)
    const watched = await streamDeals(program.ctx.db, crm.name, { after: null, limit: 100 })
    expect(watched.map(({ known }) => known.deal.name).sort()).toEqual(['three', 'two'])
  },
)
