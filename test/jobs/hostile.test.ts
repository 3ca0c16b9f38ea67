// Hostile texts in a CRM: endless names, other scripts, half characters, NUL, markup. They are read, judged and written
// about like any other deal, cut between characters, escaped, and harm nothing they pass through.
import { expect, it, onTestFinished } from 'vitest'
import { getDeals } from '../../src/store/deals.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import { homes } from '../homes.ts'
import { DAY, firstNight, HOSTILE_NAMES, MONDAY, REPS, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, settings, startProgram } from './program.ts'

it.each(['hubspot', 'salesforce'] as const)('%s: hostile names and huge fields', async (system) => {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const deals = Object.keys(HOSTILE_NAMES).map((name, n) => seedDeal(name, { ownerEmail: REPS[n % REPS.length] ?? '' }))
  const crm = await startCrm(system, seedOf(deals))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const ids = new Map((await crm.look()).deals.map(({ name, id }) => [name, id]))
  const idOf = (name: string) => ids.get(name) ?? ''
  for (const [name, hostile] of Object.entries(HOSTILE_NAMES)) {
    await crm.actOn(idOf(name), 'set', { field: crm.field('name'), value: hostile })
    const field = system === 'hubspot' ? 'description' : 'Description'
    await crm.actOn(idOf(name), 'set', { field, value: `${hostile} ${'long '.repeat(100_000)}` })
  }
  const connectors = { [crm.name]: await connectTo(crm, { settleMs: 0 }) }
  const wide = { ...settings, tasks: { ...settings.tasks, perOwnerPerWeek: 10 } }
  const program = await startProgram({ ...home, crms: [crm], connectors, settings: wide })
  onTestFinished(() => program.close())
  const { run } = await firstNight(program, crm, MONDAY)
  expect(run).toMatchObject({ status: 'done', problem: null })
  expect(program.problems).toEqual([])
  const rows = await rowsOfRun(program.ctx.db, run.id)
  expect(rows.filter(({ status }) => status !== 'done').map(({ message }) => message)).toEqual([])

  const seen = await crm.look()
  for (const [name, hostile] of Object.entries(HOSTILE_NAMES)) {
    const id = idOf(name)
    const deal = seen.deals.find((one) => one.id === id)
    expect(deal, name).toMatchObject({ stalled: true })
    expect(deal?.all[crm.field('name')], `${name} is not ours to change`).toBe(hostile)
    expect((deal?.explanation ?? '').length).toBeLessThanOrEqual(255)
    const task = seen.tasks.find((one) => one.deal === id)
    expect(task, name).toBeDefined()
    const body = task?.body ?? ''
    expect(body.isWellFormed(), name).toBe(true)
    expect(body.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u)
    if (system === 'hubspot') expect(body).not.toMatch(/<(?!br>)/)
    expect(body.length).toBeLessThan(5000)
  }
  // What is stored is whole: judged again, completed, explained.
  await crm.actOn(idOf('NUL'), 'buyer-reply')
  await crm.actOn(idOf('markup'), 'buyer-reply')
  await crm.clock(MONDAY + DAY)
  expect(await program.night(crm, MONDAY + DAY)).toMatchObject({ status: 'done', problem: null })
  const after = await crm.look()
  for (const name of ['NUL', 'markup']) {
    expect(after.deals.find(({ id }) => id === idOf(name))).toMatchObject({ stalled: false })
    expect(after.tasks.find(({ deal }) => deal === idOf(name))).toMatchObject({ open: false })
  }
  const stored = await getDeals(program.ctx.db, crm.name, [...ids.values()])
  expect(stored.size).toBe(deals.length)
  for (const { known } of stored.values()) expect(JSON.stringify(known)).not.toContain('long long')
})
