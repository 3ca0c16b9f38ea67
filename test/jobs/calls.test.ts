// What an unwell CRM costs: a fifth of all calls fail before anything is applied, and the night is still done with little
// more than the calls it needs anyway; nothing is written twice or left out.
import { expect, it, onTestFinished } from 'vitest'
import { OWNERS } from '../../src/sandbox/generate.ts'
import { homes } from '../homes.ts'
import { type Crm, MONDAY, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, instead, settings, startProgram } from './program.ts'

const ACTIVE = OWNERS.filter((one) => one.active).map((one) => one.email)
const DEALS = Array.from({ length: 300 }, (_, n) =>
  seedDeal(`deal ${n}`, { idle: n < 120 ? 40 : 2, ownerEmail: ACTIVE[n % ACTIVE.length] ?? '' }),
)
const SETTINGS = { ...settings, tasks: { ...settings.tasks, perOwnerPerWeek: 1000 } }
/** Each fifth call. Chance would strike now more, now fewer. */
const FIFTHS = Array.from({ length: 60 }, (_, n) => ({ fault: '500-before', nth: 5 * (n + 1) }) as const)

/** Calls of preview and first night. */
async function night(system: Crm['system'], faults: typeof FIFTHS) {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const crm = await startCrm(system, seedOf(DEALS))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const real = await connectTo(crm, { settleMs: 0 })
  // Small batches, so that there are enough of them.
  const connector = instead(real, () => ({ can: { ...real.can, readBatch: 15 } }))
  const program = await startProgram({
    ...home,
    crms: [crm],
    connectors: { [crm.name]: connector },
    settings: SETTINGS,
  })
  onTestFinished(() => program.close())
  const calls = async () => (await crm.calls()).reduce((sum, row) => sum + row.count, 0)
  const before = await calls()
  await crm.faults(faults)
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  expect(await program.night(crm, MONDAY, { confirm: preview.id })).toMatchObject({ status: 'done', problem: null })
  const used = (await calls()) - before
  const seen = await crm.look()
  expect(seen.deals.filter(({ stalled }) => stalled).length).toBe(120)
  expect(new Set(seen.tasks.map(({ deal }) => deal)).size).toBe(120)
  expect(seen.tasks.length).toBe(120)
  return used
}

it.each(['hubspot', 'salesforce'] as const)(
  '%s: each fifth call fails: at most 1.4 times the calls',
  async (system) => {
    const least = await night(system, [])
    expect((await night(system, FIFTHS)) / least).toBeLessThanOrEqual(1.4)
  },
)
