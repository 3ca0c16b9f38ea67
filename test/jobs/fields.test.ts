// A field of ours that somebody deletes: its writes wait with a reason, reading and everything else goes on, nothing is
// concluded from its absence, and once `unstall setup` has made it anew all is as if it had never been gone.
import { expect, it, onTestFinished } from 'vitest'
import type { Connector } from '../../src/connector.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import type { Run } from '../../src/store/runs.ts'
import { homes } from '../homes.ts'
import { type Crm, DAY, type FieldName, firstNight, MONDAY, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, instead, type Program, settings, startProgram } from './program.ts'

/** No weekly budget: what waits here waits for a field. */
const SETTINGS = { ...settings, tasks: { ...settings.tasks, perOwnerPerWeek: 100 } }
const SYSTEMS = ['hubspot', 'salesforce'] as const
type Field = FieldName | 'taskKey'
const DEALS = [
  ...['stalled', 'edited', 'moved', 'answered', 'parked', 'asked'].map((name) => seedDeal(name)),
  // Passes its limit on the second night.
  seedDeal('late', { idle: 21 }),
]

async function world(
  system: Crm['system'],
  taskKey: 'unique' | 'plain' = 'unique',
  change: (connector: Connector, crm: Crm) => Partial<Connector> = () => ({}),
) {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const crm = await startCrm(system, seedOf(DEALS), taskKey)
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const real = await connectTo(crm, { settleMs: 0 })
  const connector = instead(real, () => change(real, crm))
  const program = await startProgram({
    ...home,
    crms: [crm],
    connectors: { [crm.name]: connector },
    settings: SETTINGS,
  })
  onTestFinished(() => program.close())
  await firstNight(program, crm, MONDAY)
  return { crm, program, connector }
}
const KEY = { hubspot: 'unstall_task_key', salesforce: 'Unstall_Key__c' }
const nameOf = (crm: Crm, field: Field) => (field === 'taskKey' ? KEY[crm.system] : crm.field(field))
const drop = (crm: Crm, field: Field) => crm.actOn('-', 'drop-field', { field: nameOf(crm, field) })
/** Refused calls, and batches of which something was refused. */
async function failing(crm: Crm) {
  const statuses = (await crm.calls()).flatMap(({ path, statuses }) =>
    Object.entries(statuses).filter(
      ([status]) => /^(400|403|5\d\d)$/.test(status) || (status === '207' && !/read$/.test(path)),
    ),
  )
  return statuses.reduce((sum, [, times]) => sum + times, 0)
}
async function night(program: Program, crm: Crm, at: number): Promise<Run> {
  await crm.clock(at)
  const run = await program.night(crm, at)
  expect(run).toMatchObject({ status: 'done', problem: null })
  return run
}
const heldBy = async (program: Program, run: Run) =>
  (await rowsOfRun(program.ctx.db, run.id)).flatMap(({ hold, group, deal }) => (hold ? [{ hold, group, deal }] : []))

/** What people do on the day after the first night. */
async function life(crm: Crm) {
  await crm.set('edited', 'nextStep', 'call back')
  await crm.act('moved', 'move-stage', { to: crm.stage('presentationscheduled') })
}

/** All of it as the rules want it, whatever was gone meanwhile. */
async function expectHealed(crm: Crm, keys: ReadonlySet<string>) {
  const seen = await crm.look()
  for (const name of ['stalled', 'edited', 'late'])
    expect(seen.deal(name)).toMatchObject({
      ...{ name, stalled: true, state: 'stalled', reason: 'no_movement', category: crm.words.omitted },
      ...{ categoryBefore: expect.anything(), explanation: expect.stringMatching(/./), since: expect.anything() },
      lastMovement: expect.anything(),
    })
  expect(seen.deal('moved')).toMatchObject({ stalled: false, state: 'moving', since: null, reason: null })
  expect(seen.deal('moved').category).not.toBe(crm.words.omitted)
  for (const { name, id } of seen.deals)
    expect({ name, n: seen.tasks.filter((task) => task.deal === id).length }).toEqual({ name, n: 1 })
  expect(seen.tasksOf('moved')[0]?.open).toBe(false)
  for (const name of ['stalled', 'edited']) expect(seen.tasksOf(name)[0]).toMatchObject({ open: true })
  if (keys.size > 0) for (const key of keys) expect(seen.tasks.map((task) => task.key)).toContain(key)
}

const FLAG = ['stalled', 'state', 'since', 'reason', 'explanation', 'lastMovement', 'categoryBefore'] as const
it.each(SYSTEMS.flatMap((system) => FLAG.map((field) => [system, field] as const)))(
  '%s: without %s nothing of a flag is written, and a deal whose flag waits waits whole; then it heals',
  async (system, field) => {
    const { crm, program, connector } = await world(system)
    const before = await crm.look()
    const keys = new Set(before.tasks.map(({ key }) => key))
    await drop(crm, field)
    await crm.clock(MONDAY + DAY / 2)
    await life(crm)
    const run = await night(program, crm, MONDAY + DAY)
    expect(await failing(crm)).toBe(0)
    const rows = await rowsOfRun(program.ctx.db, run.id)
    expect(rows.filter(({ status }) => status !== 'held')).toEqual([])
    const held = await heldBy(program, run)
    for (const { hold } of held) expect(hold).toEqual({ brake: 'field_missing', field: nameOf(crm, field) })
    // What is not there can be read of nobody: only these two need a write.
    const touched = (name: string) => held.some(({ deal }) => deal.id === before.deal(name).id)
    expect([touched('moved'), touched('late')]).toEqual([true, true])
    expect(touched('stalled')).toBe(false)
    expect((await crm.look()).tasks).toEqual(before.tasks)
    const { findings } = await connector.check(new AbortController().signal)
    const told = findings.filter(({ level }) => level === 'problem')
    expect(told.map(({ what }) => what).join()).toContain(nameOf(crm, field))
    expect(told.every(({ todo }) => todo)).toBe(true)

    await setUp(crm)
    const healed = await night(program, crm, MONDAY + 2 * DAY)
    expect(healed.summary).toMatchObject({ figures: { dismissed: 0, held: {} } })
    await expectHealed(crm, keys)
    await crm.clock(MONDAY + 3 * DAY)
    await night(program, crm, MONDAY + 3 * DAY)
    const again = await night(program, crm, MONDAY + 4 * DAY)
    expect(await rowsOfRun(program.ctx.db, again.id)).toEqual([])
  },
)

it.each(SYSTEMS)('%s: a flag field deleted and made anew between two nights is no cleared flag', async (system) => {
  const { crm, program } = await world(system)
  const keys = new Set((await crm.look()).tasks.map(({ key }) => key))
  await crm.clock(MONDAY + DAY / 2)
  await drop(crm, 'stalled')
  await setUp(crm)
  await life(crm)
  const run = await night(program, crm, MONDAY + DAY)
  expect(run.summary).toMatchObject({ figures: { dismissed: 0 } })
  await night(program, crm, MONDAY + 2 * DAY)
  await expectHealed(crm, keys)
})

it.each(SYSTEMS)('%s: a person who clears the flag after the field came back is heard', async (system) => {
  const { crm, program } = await world(system)
  await drop(crm, 'stalled')
  await night(program, crm, MONDAY + DAY)
  await setUp(crm)
  await night(program, crm, MONDAY + 2 * DAY)
  await crm.set('stalled', 'stalled', false)
  const run = await night(program, crm, MONDAY + 3 * DAY)
  expect(run.summary).toMatchObject({ figures: { dismissed: 1 } })
  const { stalled, category } = (await crm.look()).deal('stalled')
  expect({ stalled, back: category !== crm.words.omitted }).toEqual({ stalled: false, back: true })
})

it.each(SYSTEMS)(
  '%s: without the rep’s fields the last answer and parking stand, and nobody is flagged for them',
  async (system) => {
    const { crm, program } = await world(system)
    await crm.set('answered', 'decision', 'no')
    await crm.set('parked', 'parkedReason', 'budget_cycle')
    await crm.set('parked', 'parkedUntil', '2026-12-18')
    await night(program, crm, MONDAY + DAY)
    for (const field of ['decision', 'parkedUntil', 'parkedReason'] as const) await drop(crm, field)
    await crm.clock(MONDAY + 1.5 * DAY)
    for (const name of ['answered', 'parked']) await crm.set(name, 'nextStep', 'wait')
    // A decision is due on the next day, and nobody can give it.
    await crm.set('asked', 'decisionDue', '2026-11-25')
    await crm.act('asked', 'move-stage', { to: crm.stage('contractsent') })
    const run = await night(program, crm, MONDAY + 4 * DAY)
    expect(await failing(crm)).toBe(0)
    const seen = await crm.look()
    expect(seen.deal('answered').state).toBe('answered_no')
    expect(seen.deal('parked').state).toBe('parked')
    expect(seen.deal('asked')).toMatchObject({ stalled: false, state: 'moving' })
    expect(await heldBy(program, run)).toEqual([])
  },
)

it.each([
  ['hubspot', 'unique'],
  ['hubspot', 'plain'],
  ['salesforce', 'unique'],
] as const)(
  // biome-ignore format: rows
  '%s, %s keys: without the key of tasks none is made, completed or taken for deleted; flags go on',
  async (system, kind) => {
    const { crm, program } = await world(system, kind)
    const before = await crm.look()
    // Setup tries a unique property first.
    const failed = await failing(crm)
    await drop(crm, 'taskKey')
    await crm.clock(MONDAY + DAY / 2)
    await life(crm)
    const run = await night(program, crm, MONDAY + DAY)
    expect(await failing(crm)).toBe(failed)
    const held = await heldBy(program, run)
    expect(held.map(({ group }) => group).sort()).toEqual(['task', 'task-done'])
    for (const { hold } of held) expect(hold).toEqual({ brake: 'field_missing', field: KEY[system] })
    const seen = await crm.look()
    expect(seen.deal('late').stalled).toBe(true)
    expect(seen.deal('moved').stalled).toBe(false)
    const rows = await rowsOfRun(program.ctx.db, run.id)
    expect(rows.filter(({ status }) => status === 'left')).toEqual([])

    await setUp(crm)
    await night(program, crm, MONDAY + 2 * DAY)
    const after = await crm.look()
    // The keys of old tasks went with the field: those stay as they are, and no second one is made.
    expect(after.tasks.map(({ deal }) => deal)).toEqual([before.deal('late').id])
    expect(after.deals.filter(({ stalled }) => stalled).length).toBe(6)
  },
)

it('hubspot: without a forecast category nothing is lent or given back, and loans are not forgotten', async () => {
  const { crm, program } = await world('hubspot')
  await drop(crm, 'category')
  await crm.clock(MONDAY + DAY / 2)
  await life(crm)
  const run = await night(program, crm, MONDAY + DAY)
  const rows = await rowsOfRun(program.ctx.db, run.id)
  expect(rows.filter(({ status }) => status !== 'done')).toEqual([])
  const seen = await crm.look()
  expect(seen.deal('late')).toMatchObject({ stalled: true, categoryBefore: null })
  expect(seen.deal('moved')).toMatchObject({ stalled: false, categoryBefore: crm.words.commit })
})

it.each(SYSTEMS)('%s: deleted between judging and writing: one failing call, not one a batch', async (system) => {
  let dropped = false
  const { crm, program } = await world(system, 'unique', (connector, crm) => ({
    // Two deals a batch.
    can: { ...connector.can, readBatch: 2 },
    async *write(writes, signal) {
      if (!dropped) await drop(crm, 'reason')
      dropped = true
      yield* connector.write(writes, signal)
    },
  }))
  expect(await failing(crm)).toBe(1)
  const seen = await crm.look()
  expect(seen.tasks).toEqual([])
  expect(seen.deals.filter(({ stalled, category }) => stalled || category === crm.words.omitted)).toEqual([])
  await setUp(crm)
  await night(program, crm, MONDAY + DAY)
  await life(crm)
  await night(program, crm, MONDAY + 2 * DAY)
  await expectHealed(crm, new Set())
})

it.each(SYSTEMS)('%s: a flag field that goes while deals are read is no cleared flag', async (system) => {
  let during = async () => {}
  const { crm, program } = await world(system, 'unique', (connector) => ({
    async *pull(since, at, signal) {
      await during()
      yield* connector.pull(since, at, signal)
    },
  }))
  const keys = new Set((await crm.look()).tasks.map(({ key }) => key))
  await crm.clock(MONDAY + DAY / 2)
  await life(crm)
  await crm.set('stalled', 'nextStep', 'call back')
  during = () => drop(crm, 'stalled')
  const run = await night(program, crm, MONDAY + DAY)
  during = async () => {}
  expect(run.summary).toMatchObject({ figures: { dismissed: 0 } })
  expect(await failing(crm)).toBeLessThanOrEqual(1)
  await setUp(crm)
  expect((await night(program, crm, MONDAY + 2 * DAY)).summary).toMatchObject({ figures: { dismissed: 0 } })
  await expectHealed(crm, keys)
})
