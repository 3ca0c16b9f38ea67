// Between the plan and the CRM: what people change meanwhile is dropped (law 6), answers that get lost and calls that are
// refused leave no task twice and none out, and what a failed run left unknown is settled by the next one.
import { expect, it, onTestFinished } from 'vitest'
import type { Connector } from '../../src/connector.ts'
import { Fatal } from '../../src/errors.ts'
import { OWNERS } from '../../src/sandbox/generate.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import { getPlan } from '../../src/store/runs.ts'
import { homes } from '../homes.ts'
import { type Crm, DAY, firstNight, MONDAY, type Seen, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, instead, type Program, startProgram } from './program.ts'

const SYSTEMS = ['hubspot', 'salesforce'] as const
const ACTIVE = OWNERS.filter((one) => one.active).map((one) => one.email)
const SOME = Array.from({ length: 12 }, (_, at) => seedDeal(`deal ${at}`, { ownerEmail: ACTIVE[at % 4] ?? '' }))

/** `change`: what of the connector is replaced, from the second run on (the first is the preview). */
async function world(
  system: Crm['system'],
  deals = SOME,
  change: (connector: Connector, crm: Crm) => Partial<Connector> = () => ({}),
) {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const crm = await startCrm(system, seedOf(deals))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const connector = await connectTo(crm, { settleMs: 0 })
  const connectors = { [crm.name]: instead(connector, () => change(connector, crm)) }
  const program: Program = await startProgram({ ...home, crms: [crm], connectors })
  onTestFinished(() => program.close())
  return { crm, program, connector }
}

const due = (seen: Seen, names: readonly string[]) =>
  names.map((name) => {
    const { stalled, category } = seen.deal(name)
    return { name, stalled, category, tasks: seen.tasksOf(name).length }
  })
const all = (crm: Crm, names: readonly string[]) =>
  names.map((name) => ({ name, stalled: true, category: crm.words.omitted, tasks: 1 }))
const names = SOME.map(({ name }) => name)

it.each(SYSTEMS)(
  '%s: applies what was printed, less the deals people changed since they were judged',
  async (system) => {
    let acting = false
    const touched = ['deal 0', 'deal 1', 'deal 2', 'deal 3', 'deal 4']
    const { crm, program } = await world(system, SOME, (connector, crm) => ({
      async read(ids, signal) {
        if (acting) {
          acting = false
          await crm.act('deal 0', 'move-stage', { to: crm.stage('presentationscheduled') })
          await crm.set('deal 1', 'decision', 'no')
          await crm.act('deal 2', 'delete')
          await crm.set('deal 3', 'amount', 12345)
          await crm.set('deal 4', 'category', crm.words.best)
          // Not judged: no reason to wait.
          await crm.set('deal 5', 'nextStep', 'send the offer')
        }
        return connector.read(ids, signal)
      },
    }))
    const was = await crm.look()
    const preview = await program.night(crm, MONDAY, { kind: 'preview' })
    acting = true
    const run = await program.night(crm, MONDAY, { confirm: preview.id })
    expect(run.status).toBe('done')
    expect(program.problems).toEqual([])

    const seen = await crm.look()
    const printed = await getPlan(program.ctx.db, preview.id)
    const applied = await rowsOfRun(program.ctx.db, run.id)
    const dropped = applied.filter(({ status }) => status === 'dropped')
    expect(applied).toHaveLength(printed.length)
    expect(applied.filter(({ status }) => status === 'done')).toHaveLength(printed.length - dropped.length)
    expect(new Set(dropped.map(({ deal }) => deal.id))).toEqual(new Set(touched.map((name) => was.deal(name).id)))
    for (const row of dropped) expect(row.message).toMatch(/^(?:changed after it was judged: \w+|the deal was deleted)/)
    const left = names.filter((name) => !touched.includes(name))
    expect(due(seen, left)).toEqual(all(crm, left))
    for (const name of touched.filter((one) => one !== 'deal 2')) {
      expect(seen.deal(name)).toMatchObject({ stalled: false, state: null, explanation: null })
      expect(seen.tasksOf(name)).toEqual([])
    }
    // A dropped deal waits for the next night, not longer.
    await crm.clock(MONDAY + DAY)
    const next = await program.night(crm, MONDAY + DAY)
    expect(next.status).toBe('done')
    const after = await crm.look()
    expect(after.deal('deal 0')).toMatchObject({ stalled: false, state: null })
    expect(after.deal('deal 1')).toMatchObject({ stalled: false, state: 'answered_no', category: crm.words.omitted })
    expect(due(after, ['deal 4'])).toEqual(all(crm, ['deal 4']))
    expect(after.deal('deal 4').categoryBefore).toBe(crm.words.best)
  },
)

const FAULTS = {
  'lost answers': [
    { fault: '502-after', rate: 0.15 },
    { fault: 'reset-after', rate: 0.15 },
  ],
  'too many requests': [{ fault: '429', rate: 0.25 }],
} as const
const WRITES = { hubspot: ['/batch/update', '/batch/create'], salesforce: ['/composite/sobjects'] }

/** Small batches of deals, so that a share of the calls can go wrong. */
const batches = (readBatch: number) => (connector: Connector) => ({ can: { ...connector.can, readBatch } })

it.each(SYSTEMS.flatMap((system) => Object.entries(FAULTS).map(([what, faults]) => [system, what, faults] as const)))(
  '%s: %s in a quarter of the writes, yet every flag and every task once, in the same run',
  async (system, _what, faults) => {
    const { crm, program } = await world(system, SOME, batches(2))
    const preview = await program.night(crm, MONDAY, { kind: 'preview' })
    await crm.faults(WRITES[system].flatMap((path) => faults.map((fault) => ({ ...fault, path }))))
    const run = await program.night(crm, MONDAY, { confirm: preview.id })
    expect(run).toMatchObject({ status: 'done', problem: null })
    const struck = (await crm.calls()).flatMap(({ statuses }) => Object.entries(statuses))
    expect(struck.some(([status]) => ['0', '429', '403', '502'].includes(status))).toBe(true)
    expect(due(await crm.look(), names)).toEqual(all(crm, names))
    const rows = await rowsOfRun(program.ctx.db, run.id)
    expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(['done']))
    for (const row of rows) if (row.kind === 'create-task') expect(row.remote).not.toBeNull()
  },
)

it.each(SYSTEMS)('%s: records refused out of a batch are listed, and written the next night', async (system) => {
  const { crm, program } = await world(system, SOME, batches(2))
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  await crm.faults([{ fault: 'partial', rate: 0.5 }])
  const run = await program.night(crm, MONDAY, { confirm: preview.id })
  expect(run.status).toBe('done')
  const rows = await rowsOfRun(program.ctx.db, run.id)
  const refused = rows.filter(({ status }) => status === 'refused')
  expect(refused.length).toBeGreaterThan(2)
  for (const row of refused) expect(row.message).not.toBe('')
  const seen = await crm.look()
  for (const task of seen.tasks) expect(seen.deals.find(({ id }) => id === task.deal)).toMatchObject({ stalled: true })
  await crm.faults([])
  await crm.clock(MONDAY + DAY)
  await program.night(crm, MONDAY + DAY)
  expect(due(await crm.look(), names)).toEqual(all(crm, names))
})

it.each(SYSTEMS)('%s: what a failed run left without an answer is settled by the next run', async (system) => {
  let calls = Number.NaN
  const { crm, program } = await world(system, SOME, (connector) => ({
    // One after the other, so that it is known which call is lost.
    can: { ...connector.can, readBatch: 3, parallel: 1 },
    async *write(writes, signal) {
      calls++
      // Three deals a batch: fields, then tasks. The first fields are answered; of the first tasks two arrive, of the
      // second fields all, of the third one, and nobody hears of it.
      const arriving = calls === 2 ? writes.slice(0, 2) : calls === 4 ? writes.slice(0, 1) : writes
      for await (const outcome of connector.write(arriving, signal)) {
        expect(outcome.result).toBe('done')
        if (!(calls >= 2)) yield outcome
      }
      if (calls === 4) throw new Fatal('permission', 'somebody took our rights away')
    },
  }))
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  calls = 0
  const failed = await program.night(crm, MONDAY, { confirm: preview.id })
  expect(failed).toMatchObject({ status: 'failed', problem: 'somebody took our rights away' })
  const kinds = async () =>
    (await rowsOfRun(program.ctx.db, failed.id)).map(({ kind, status }) => `${kind} ${status}`).sort()
  const times = (n: number, what: string) => Array.from({ length: n }, () => what)
  expect(await kinds()).toEqual([
    ...times(9, 'create-task dropped'),
    ...times(3, 'create-task sent'),
    ...times(6, 'fields done'),
    ...times(6, 'fields dropped'),
    ...times(12, 'fields sent'),
  ])

  calls = Number.NaN
  await crm.clock(MONDAY + DAY)
  const next = await program.night(crm, MONDAY + DAY)
  expect(next).toMatchObject({ status: 'done', problem: null })
  expect(due(await crm.look(), names)).toEqual(all(crm, names))
  expect(await kinds()).toEqual([
    ...times(2, 'create-task done'),
    ...times(10, 'create-task dropped'),
    ...times(13, 'fields done'),
    ...times(11, 'fields dropped'),
  ])
  const tasks = (await rowsOfRun(program.ctx.db, next.id)).filter(({ kind }) => kind === 'create-task')
  expect(tasks.map(({ status }) => status)).toEqual(times(10, 'done'))
})

it.each(SYSTEMS)('%s: undo survives lost answers too', async (system) => {
  const { crm, program } = await world(system, SOME, batches(2))
  const before = (await crm.look()).dump
  const { run } = await firstNight(program, crm, MONDAY)
  await crm.faults([
    { fault: '502-after', rate: 0.15, path: '/batch/' },
    { fault: '502-after', rate: 0.15, path: '/composite/sobjects' },
    { fault: 'reset-after', rate: 0.15 },
  ])
  expect(await program.undo(run, MONDAY)).toMatchObject({ status: 'done' })
  await crm.faults([])
  const after = await crm.look()
  expect(after.tasks).toEqual([])
  expect(after.dump).toEqual(before)
})
