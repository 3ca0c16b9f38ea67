// The bench itself on a few hundred deals without limits, in this process: that its deals, its sandbox and its arithmetic
// still fit the program, so that it does not rot between two runs of `npm run bench`.
import { describe, expect, it, onTestFinished } from 'vitest'
import { borrowed } from '../homes.ts'
import { setUp } from '../jobs/harness.ts'
import { startProgram } from '../jobs/program.ts'
import { isStalled, kindOf, NIGHTS } from './deals.ts'
import { countsOf, minimum, minimumWall, type System, sum } from './minimum.ts'
import { startBenchSandbox } from './sandbox.ts'

const DEALS = 300
const UNLIMITED = { tasks: { perOwnerPerWeek: 10_000 }, brakes: { maxNewlyStalledShare: 1 } }
const RULES = { timezone: 'UTC', policy: { automationUsers: ['import@sandbox.invalid'] }, ...UNLIMITED }

describe.each<System>(['hubspot', 'salesforce'])('%s', (system) => {
  it('two nights flag what the deals say', async () => {
    const sandbox = await startBenchSandbox({ system, deals: DEALS, limits: 'none', latencyMs: 0, speed: 1 })
    onTestFinished(() => sandbox.close())
    const { database, giveBack } = await borrowed()
    onTestFinished(giveBack)
    const crm = { name: 'crm', system, url: sandbox.url }
    await setUp(crm)
    const program = await startProgram({ database, crms: [crm], settings: RULES })
    onTestFinished(() => program.close())
    const flagged = () => sandbox.deals().flatMap((deal) => (deal.flagged ? deal.index : []))
    const due = (night: number, moved: boolean) =>
      Array.from({ length: DEALS }, (_, index) => index).filter((index) => isStalled(kindOf(index), night, moved))

    const preview = await program.night(crm, NIGHTS[0], { kind: 'preview' })
    await program.night(crm, NIGHTS[0], { confirm: preview.id })
    expect(flagged()).toEqual(due(0, false))
    await sandbox.clock(NIGHTS[1])
    await sandbox.answer({ ask: 'usual' })
    await program.night(crm, NIGHTS[1])
    expect(flagged()).toEqual(due(1, true))
  })

  it('the minimum is the table of docs/performance.md', () => {
    const calls = (deals: number, happened: 'first' | 'usual') => sum(minimum(system, countsOf(deals, happened)))
    const expected = system === 'hubspot' ? [226, 43, 2215, 377] : [35, 18, 319, 97]
    expect([10_000, 100_000].flatMap((deals) => [calls(deals, 'first'), calls(deals, 'usual')])).toEqual(expected)
  })
})

it('the least time has the shape of the limiter', () => {
  const terms = [['list', 226]] as const
  const at = (limits: 'rolling' | 'bucket' | 'none') =>
    minimumWall('hubspot', terms, { limits, latencyMs: 150, speed: 1 }).toFixed(1)
  expect([at('rolling'), at('bucket'), at('none')]).toEqual(['20.0', '19.5', '16.9'])
})
