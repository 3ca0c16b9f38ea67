// A night of Salesforce whose calls of the day would not do: several requests go in one call, and each deal and task is
// written once, also where a call or a part of one gets no answer.
import { expect, it, onTestFinished } from 'vitest'
import { createGate } from '../../src/gate.ts'
import { OWNERS } from '../../src/sandbox/generate.ts'
import { homes } from '../homes.ts'
import { firstNight, MONDAY, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, settings, startProgram } from './program.ts'

const ACTIVE = OWNERS.filter((one) => one.active).map((one) => one.email)
/** Two requests of flags, two of tasks. */
const DEALS = Array.from({ length: 210 }, (_, n) =>
  seedDeal(`Deal ${n}`, { ownerEmail: ACTIVE[n % ACTIVE.length] ?? '' }),
)
const SETTINGS = { ...settings, tasks: { ...settings.tasks, perOwnerPerWeek: 1000 } }

it('flags without an answer, one part of the tasks lost and one not applied: looked at, and nothing is doubled', async () => {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const crm = await startCrm('salesforce', seedOf(DEALS))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const gate = { ...createGate({ sleep: async () => {} }), wait: async () => () => {}, left: () => 1 }
  const connectors = { [crm.name]: await connectTo(crm, { settleMs: 0, gate }) }
  const program = await startProgram({ ...home, crms: [crm], connectors, settings: SETTINGS })
  onTestFinished(() => program.close())
  const calls = async (method: string, path: string) =>
    (await crm.calls()).find((one) => one.method === method && one.path === `/services/data/{version}${path}`)?.count
  await crm.faults([
    { fault: 'reset-after', path: '/composite', body: '"Unstall_Stalled__c":true', nth: 1 },
    { fault: '502-after', method: 'POST', path: '/composite/sobjects', body: '"Task"', nth: 1 },
    { fault: '500-before', method: 'POST', path: '/composite/sobjects', body: '"Task"', nth: 1 },
  ])
  const { run } = await firstNight(program, crm, MONDAY)
  expect(run).toMatchObject({ status: 'done', problem: null })
  const { deals, tasks } = await crm.look()
  expect(deals.filter(({ stalled, category }) => stalled && category === crm.words.omitted)).toHaveLength(210)
  expect([tasks.length, new Set(tasks.map(({ deal }) => deal)).size]).toEqual([210, 210])
  const written = (await crm.journal()).map(({ object, id }) => `${object} ${id}`)
  expect(new Set(written).size).toBe(written.length)
  // Three that tell what the org is like; the part that was not applied goes once more, by itself.
  expect(await calls('POST', '/composite')).toBe(3 + 2)
  expect([await calls('PATCH', '/composite/sobjects'), await calls('POST', '/composite/sobjects')]).toEqual([undefined, 1 + 1]) // biome-ignore format: one line
})
