// What an unwell CRM costs: a fifth of all calls fail before anything is applied, and the night is still done with little
// more than the calls it needs anyway; nothing is written twice or left out. Also: what the metrics count, and that each
// line of the log names its run.
import { expect, it, onTestFinished } from 'vitest'
import { createLog } from '../../src/log.ts'
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

type Statuses = Record<string, number>

/** Calls of preview and first night. */
async function night(system: Crm['system'], faults: typeof FIFTHS) {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const crm = await startCrm(system, seedOf(DEALS))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const seen: Statuses = {}
  const count = (into: Statuses, status: number | string, n = 1) => {
    into[status] = (into[status] ?? 0) + n
  }
  const lines: string[] = []
  const log = createLog('debug', { pretty: false, stream: { write: (line) => void lines.push(line) } })
  const real = await connectTo(crm, {
    settleMs: 0,
    called: ({ status }) => count(seen, status ?? 0),
    warn: (message, data = {}) => log.warn(data, message),
  })
  // Small batches, so that there are enough of them.
  const connector = instead(real, () => ({ can: { ...real.can, readBatch: 15 } }))
  const program = await startProgram({
    ...home,
    crms: [crm],
    connectors: { [crm.name]: connector },
    settings: SETTINGS,
    log,
  })
  onTestFinished(() => program.close())
  const calls = async () => {
    const all: Statuses = {}
    for (const { path, statuses } of await crm.calls())
      if (!path.endsWith('/token')) for (const [status, n] of Object.entries(statuses)) count(all, status, n)
    return all
  }
  const before = await calls()
  await crm.faults(faults)
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  expect(await program.night(crm, MONDAY, { confirm: preview.id })).toMatchObject({ status: 'done', problem: null })
  const after = await calls()
  for (const [status, n] of Object.entries(before)) count(after, status, -n)
  // What the metrics count is what the CRM counts, status by status.
  expect(seen).toEqual(Object.fromEntries(Object.entries(after).filter(([, n]) => n > 0)))
  const used = Object.values(after).reduce((sum, n) => sum + n, 0)
  // Every line says which run it belongs to, whoever wrote it.
  const said = lines.map((line): { run?: string; msg: string } => JSON.parse(line))
  expect(said.length).toBeGreaterThan(0)
  expect(said.filter(({ run }) => !/^[a-z]+-2026-11-23-[12]$/.test(run ?? ''))).toEqual([])
  if (faults.length > 0 && system === 'hubspot')
    expect(said.filter(({ msg }) => msg === 'HubSpot: trying again').length).toBeGreaterThan(3)
  const look = await crm.look()
  expect(look.deals.filter(({ stalled }) => stalled).length).toBe(120)
  expect(new Set(look.tasks.map(({ deal }) => deal)).size).toBe(120)
  expect(look.tasks.length).toBe(120)
  return used
}

// A write without an answer costs a look; where there is one call for what a CRM is like, more of the rest are writes.
it.each([
  ['hubspot', 1.4],
  ['salesforce', 1.5],
] as const)('%s: each fifth call fails: at most %d times the calls', async (system, most) => {
  const least = await night(system, [])
  expect((await night(system, FIFTHS)) / least).toBeLessThanOrEqual(most)
})
