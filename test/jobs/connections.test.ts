// One connection down leaves the other alone (law 8), and one run at a time writes to a connection: of two that start
// together one wins, a worker that was overtaken writes nothing more, a late answer makes no second task.
import { expect, it, onTestFinished } from 'vitest'
import { handlers } from '../../jobs/index.ts'
import { openNight } from '../../jobs/nightly.ts'
import type { Connector } from '../../src/connector.ts'
import { getConnection } from '../../src/store/connections.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import type { Run } from '../../src/store/runs.ts'
import { eachHome, homes, until } from '../homes.ts'
import { type Crm, DAY, firstNight, MONDAY, REPS, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, instead, type Program, settings, startProgram } from './program.ts'

const SYSTEMS = ['hubspot', 'salesforce'] as const
const NIGHT = MONDAY + DAY
// The same rep in both CRMs, within the week's budget: a budget that shifts is the one thing that may differ.
const DEALS = [
  ...['old one', 'old two', 'old three'].map((name, at) => seedDeal(name, { ownerEmail: REPS[at] ?? '' })),
  ...['moves', 'stays'].map((name, at) => seedDeal(name, { idle: 6, ownerEmail: REPS[3 + at] ?? '' })),
  seedDeal('tips over', { idle: 21, ownerEmail: REPS[5] ?? '' }),
]

async function both(home = homes[0]) {
  const opened = await home?.open()
  if (!opened) throw new Error('no home')
  const hub = await startCrm('hubspot', seedOf(DEALS))
  const sf = await startCrm('salesforce', seedOf(DEALS))
  const crms = [hub, sf] as const
  for (const crm of crms) {
    onTestFinished(() => crm.stop())
    await setUp(crm)
  }
  return { opened, crms }
}

type Down = 'nothing' | 'no answer' | 'revoked'

/** First night on both, then a night after people acted; `down` is what is wrong with the other connection then. */
async function twoNights(system: Crm['system'], down: Down) {
  const { opened, crms } = await both()
  const [up, other] = system === 'hubspot' ? crms : [crms[1], crms[0]]
  const broken = { now: false }
  const good = await connectTo(other)
  const bad = await connectTo(other, { token: 'not-a-token' })
  const connectors = { [other.name]: instead(good, () => (broken.now && down === 'revoked' ? bad : {})) }
  const program = await startProgram({ ...opened, crms, connectors })
  try {
    for (const crm of crms) await firstNight(program, crm, MONDAY)
    for (const crm of crms) {
      await crm.clock(NIGHT)
      await crm.act('old one', 'buyer-reply')
      await crm.set('old two', 'decision', 'no')
    }
    broken.now = true
    if (down === 'no answer') await other.stop()
    const [night, otherNight] = await Promise.all([program.night(up, NIGHT), program.night(other, NIGHT)])
    const connection = await getConnection(program.ctx.db, other.name)
    const whole = down === 'nothing' ? await result(program, other, otherNight) : null
    return { up: await result(program, up, night), other: whole, failed: otherNight, connection }
  } finally {
    await program.close()
    await opened.close()
  }
}
/** Nothing is down: both results, worked out once. */
let calmResults: ReturnType<typeof twoNights> | undefined
async function calmNight(system: Crm['system']) {
  calmResults ??= twoNights('hubspot', 'nothing')
  const { up, other } = await calmResults
  const calm = system === 'hubspot' ? up : other
  if (!calm) throw new Error('no calm night')
  return calm
}

/** All of a night but when and by whom it was written. */
async function result(program: Program, up: Crm, night: Run) {
  const rows = (await rowsOfRun(program.ctx.db, night.id)).map(
    ({ sentAt, settledAt, sentEpoch, remote, ...row }) => row,
  )
  const { deals, tasks } = await up.look()
  const held = deals.map(({ name, stalled, state, reason, explanation, category }) => ({
    ...{ name, stalled, state, reason, explanation, category },
    tasks: tasks.filter((task) => task.deal === deals.find((deal) => deal.name === name)?.id).map(({ open }) => open),
  }))
  return { night, rows, held }
}

it.each(SYSTEMS)('%s: verdicts and writes are the same while the other CRM is down', async (system) => {
  const calm = await calmNight(system)
  expect(calm.night).toMatchObject({ status: 'done', problem: null })
  expect(calm.rows.length).toBeGreaterThan(3)
  for (const down of ['no answer', 'revoked'] as const) {
    const one = await twoNights(system, down)
    expect(one.failed).toMatchObject({ status: 'failed', step: 'pull' })
    const { circuit } = one.connection ?? {}
    expect(circuit?.state).toBe(down === 'no answer' ? 'paused' : 'reconnect')
    expect(one.failed.problem).toContain(circuit?.reason)
    expect(one.failed.problem).toMatch(
      down === 'no answer'
        ? /Nothing was written; try again after \d{4}-\d\d-\d\d \d\d:\d\d\.$/
        : /token|secret|credential|sign|client/i,
    )
    expect(one.up.night).toMatchObject({ status: 'done', problem: null, summary: calm.night.summary })
    expect(one.up.rows).toEqual(calm.rows)
    expect(one.up.held).toEqual(calm.held)
  }
})

eachHome((home) => {
  it('lets one of two runs that start together win, and two workers share the work', async () => {
    const { opened, crms } = await both(home)
    const programs = [await startProgram({ ...opened, crms }), await startProgram({ ...opened, crms })] as const
    for (const program of programs) onTestFinished(() => program.close())
    const [one, two] = programs
    for (const crm of crms) {
      const night = {
        connection: crm.name,
        system: crm.system,
        settings,
        kind: 'night',
        now: MONDAY,
      } as const
      const opening = await Promise.all([
        openNight(one.ctx, night),
        openNight(two.ctx, night),
        openNight(one.ctx, night),
      ])
      const won = opening.flatMap((each) => ('run' in each ? [each.run] : []))
      expect(won).toHaveLength(1)
      for (const each of opening) if ('busy' in each) expect(each.busy.id).toBe(won[0]?.id)
      const [run] = won
      if (!run) throw new Error('nobody won')
      // The epoch counts who began a step: each of pull and decide was begun once.
      expect(await Promise.all([one.finish(run), two.finish(run)])).toMatchObject([{ epoch: 2 }, { epoch: 2 }])
      // It was a preview: unconfirmed. Both processes now open the confirmed night.
      const confirm = { ...night, confirm: run.id }
      const again = await Promise.all(programs.map((program) => openNight(program.ctx, confirm)))
      const ids = new Set(again.map((each) => ('run' in each ? each.run.id : each.busy.id)))
      expect(ids.size).toBe(1)
      const real = again.flatMap((each) => ('run' in each ? [each.run] : []))
      expect(real).toHaveLength(1)
      const done = await Promise.all([one.finish(real[0] ?? run), two.finish(real[0] ?? run)])
      expect(done).toMatchObject([
        { status: 'done', epoch: 4 },
        { status: 'done', epoch: 4 },
      ])
      // Tonight was done: a second schedule finds it.
      expect(await openNight(two.ctx, night)).toMatchObject({ busy: { id: real[0]?.id, status: 'done' } })
      expect((await crm.look()).tasks).toHaveLength(3)
    }
  })
})

/** A worker whose writes stand still before they reach the CRM, or after, until told to go on. */
function stuck(connector: Connector, where: 'before' | 'after') {
  const reached = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const slow = instead(connector, () => ({
    async *write(writes, signal) {
      if (writes[0]?.kind !== 'create-task') return yield* connector.write(writes, signal)
      if (where === 'before') {
        reached.resolve()
        await goOn.promise
      }
      const outcomes = []
      for await (const outcome of connector.write(writes, signal)) outcomes.push(outcome)
      if (where === 'after') {
        reached.resolve()
        await goOn.promise
      }
      yield* outcomes
    },
  }))
  return { slow, reached: reached.promise, goOn: goOn.resolve }
}

it.each(SYSTEMS.flatMap((system) => (['before', 'after'] as const).map((where) => [system, where] as const)))(
  '%s: a worker that was overtaken while its call stood still %s the CRM acted writes nothing more',
  async (system, where) => {
    const { opened, crms } = await both()
    const crm = crms[system === 'hubspot' ? 0 : 1]
    const held = { on: false }
    const connector = await connectTo(crm, { settleMs: 0 })
    const { slow, reached, goOn } = stuck(connector, where)
    const old: Program = await startProgram({
      ...opened,
      crms: [crm],
      connectors: { [crm.name]: instead(connector, () => (held.on ? slow : {})) },
    })
    onTestFinished(() => old.close())
    const preview = await old.night(crm, MONDAY, { kind: 'preview' })
    held.on = true
    const run = await old.open(crm, MONDAY, { confirm: preview.id })
    await old.queue.add(run.id, 'pull')
    await reached
    const sent = (await rowsOfRun(old.ctx.db, run.id)).filter(({ status }) => status === 'sent')
    expect(sent.map(({ kind }) => kind)).toEqual(['create-task', 'create-task', 'create-task'])

    // Another worker takes the step over, as it does when the first one's lock has run out.
    held.on = false
    let settleMs = system === 'salesforce' ? 9_000 : 0
    const fresh = instead(connector, () => ({ can: { ...connector.can, settleMs } }))
    const { step } = handlers({ ...old.ctx, connector: async () => fresh }, async () => null)
    const signal = new AbortController().signal
    if (where === 'before' && system === 'salesforce') {
      // Nothing tells a lost task from a late one there, so nothing is sent before the time is up.
      await expect(step(run.id, 'apply', signal)).rejects.toThrow('have no answer from the CRM yet')
      goOn()
      await until(async () => (await crm.look()).tasks.length === 3)
      settleMs = 0
    }
    await step(run.id, 'apply', signal)
    const rows = await rowsOfRun(old.ctx.db, run.id)
    const before = rows.map(({ key, status, remote, settledAt }) => ({ key, status, remote, settledAt }))
    expect(before.every(({ status }) => status === 'done')).toBe(true)
    goOn()
    await until(() => old.log.some((line) => line.startsWith('another worker has taken over')))
    await step(run.id, 'report', signal)
    const { tasks } = await crm.look()
    expect(tasks).toHaveLength(3)
    expect(new Set(tasks.map(({ key }) => key)).size).toBe(3)
    const after = await rowsOfRun(old.ctx.db, run.id)
    expect(after.map(({ key, status, remote, settledAt }) => ({ key, status, remote, settledAt }))).toEqual(before)
    expect(old.problems).toEqual([])
  },
)
