// Archiving on both lookalike CRMs over real HTTP: into the stage, back on a reply, taken back by undo.
import { expect, it, onTestFinished } from 'vitest'
import { PIPELINES } from '../../src/sandbox/generate.ts'
import { homes } from '../homes.ts'
import { type Crm, DAY, MONDAY, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { startProgram, settings as usual } from './program.ts'

const ARCHIVE = { id: 'put_away', label: 'Put away', probability: 0.05, category: 'pipeline' } as const
const DEAL = 'Nobody answers'

async function world(system: Crm['system']) {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const seed = seedOf([seedDeal(DEAL, { to: 'presentationscheduled' })])
  const pipelines = PIPELINES.map((one) => ({ ...one, stages: [...one.stages, ARCHIVE] }))
  const crm = await startCrm(system, { ...seed, pipelines })
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const stage = system === 'hubspot' ? ARCHIVE.id : ARCHIVE.label
  const settings = { ...usual, archive: { proposeAfterDays: 5, stage } }
  const program = await startProgram({ database: home.database, crms: [crm], settings })
  onTestFinished(() => program.close())
  const night = async (day: number, how = {}) => {
    const now = MONDAY + day * DAY
    await crm.clock(now)
    const run = await program.night(crm, now, how)
    expect(run, program.problems.join('\n')).toMatchObject({ status: 'done' })
    return run
  }
  const deal = async () => (await crm.look()).deal(DEAL)
  const preview = await night(0, { kind: 'preview' })
  await night(0, { confirm: preview.id })
  expect(await deal()).toMatchObject({ stalled: true, category: crm.words.omitted })
  return { crm, program, night, deal, stage }
}

for (const system of ['hubspot', 'salesforce'] as const) {
  it(`${system}: into the archive, still out of the forecast; back on a reply, with that stage's category`, async () => {
    const { crm, night, deal, stage } = await world(system)
    const former = (await deal()).stage
    await night(8)
    expect(await deal()).toMatchObject({ stage, stalled: true, category: crm.words.omitted })
    expect((await crm.look()).tasksOf(DEAL)).toMatchObject([{ open: false }])
    const before = (await crm.journal()).length
    await night(9)
    await night(30)
    expect((await crm.journal()).length).toBe(before)

    await crm.act(DEAL, 'buyer-reply')
    await night(31)
    // HubSpot maps no categories to stages: what was borrowed comes back.
    const category = system === 'hubspot' ? crm.words.commit : crm.words.best
    expect(await deal()).toMatchObject({
      stage: former,
      stalled: false,
      state: 'moving',
      category,
      categoryBefore: null,
    })
    const after = (await crm.journal()).length
    await night(32)
    expect((await crm.journal()).length).toBe(after)
  })

  it(`${system}: undo puts stage, category and task back, and the next night leaves them there`, async () => {
    const { crm, program, night, deal } = await world(system)
    const before = await deal()
    const tasks = (await crm.look()).tasksOf(DEAL)
    const archived = await night(8)
    const later = MONDAY + 8 * DAY + 3_600_000
    await crm.clock(later)
    const undo = await program.undo(archived, later)
    expect(undo, program.problems.join('\n')).toMatchObject({ status: 'done', summary: { conflicts: [] } })
    expect(await deal()).toMatchObject({ stage: before.stage, category: crm.words.omitted, stalled: true })
    expect((await crm.look()).tasksOf(DEAL)).toEqual(tasks)
    const writes = (await crm.journal()).length
    await night(9)
    expect((await crm.journal()).length).toBe(writes)
  })
}
