// Taking a night back weeks later: after later nights, with deals that moved on, closed, merged or went away.
import { expect, it, onTestFinished } from 'vitest'
import { Summary } from '../../src/report/summary.ts'
import { homes } from '../homes.ts'
import { DAY, firstNight, MONDAY, REPS, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { startProgram } from './program.ts'

const date = (at: number) => new Date(at).toISOString().slice(0, 10)
const NAMES = ['plain', 'alone', 'back', 'wins', 'goes', 'merges', 'owner', 'reason', 'replies'] as const
const DEALS = NAMES.map((name, at) =>
  seedDeal(name, {
    ownerEmail: REPS[at % 4] ?? '',
    to: 'presentationscheduled',
    ...(name === 'reason' ? { closeDate: date(MONDAY + 7 * DAY) } : {}),
  }),
)

it.each(['hubspot', 'salesforce'] as const)('%s: a first night, weeks later', async (system) => {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const crm = await startCrm(
    system,
    seedOf([...DEALS, seedDeal('other owner', { ownerEmail: REPS[5] ?? '', to: 'closedwon' })]),
  )
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const program = await startProgram({ ...home, crms: [crm] })
  onTestFinished(() => program.close())
  const before = await crm.look()
  const id = (name: string) => before.deal(name).id
  const { run: first } = await firstNight(program, crm, MONDAY)
  for (const name of NAMES) expect((await crm.look()).deal(name).stalled, name).toBe(true)
  const undo = async (of: typeof first, day: number, deals?: readonly string[]) => {
    const run = await program.undo(of, MONDAY + day * DAY, deals)
    expect(run).toMatchObject({ status: 'done', problem: null })
    return Summary.parse(run.summary).conflicts
  }
  const night = async (day: number) => {
    await crm.clock(MONDAY + day * DAY)
    return program.night(crm, MONDAY + day * DAY)
  }

  await crm.clock(MONDAY + DAY / 2)
  expect(await undo(first, 0.5, [id('alone')])).toEqual([])
  await crm.act('replies', 'buyer-reply')
  await crm.act('wins', 'move-stage', { to: crm.stage('closedwon') })
  await crm.act('back', 'move-stage', { to: crm.stage('appointmentscheduled') })
  await crm.set('owner', 'owner', before.deal('other owner').owner)
  const second = await night(1)
  await night(8)
  const changed = await night(17)
  expect((await crm.look()).deal('reason')).toMatchObject({ stalled: true, reason: 'close_date_passed' })
  expect((await crm.look()).deal('alone').stalled).toBe(false)
  await crm.clock(MONDAY + 18 * DAY)
  await crm.act('goes', 'delete')
  if (system === 'hubspot') await crm.act('merges', 'merge', { into: id('plain') })

  const left = await undo(first, 18)
  const of = (name: string) => left.flatMap((one) => (one.name === name ? [`${one.what}: ${one.words}`] : []))
  for (const name of ['plain', 'alone', 'owner']) expect(of(name), name).toEqual([])
  for (const name of system === 'hubspot' ? ['goes', 'merges'] : ['goes']) {
    expect(of(name).length, name).toBeGreaterThanOrEqual(2)
    for (const words of of(name)) expect(words).toMatch(/the deal was deleted or merged|somebody deleted the task/)
  }
  for (const name of ['wins', 'replies', 'reason']) expect(of(name).join('\n'), name).toMatch(/wrote it again/)
  expect(of('reason')).toEqual([
    expect.stringContaining(`rule: ${changed.id} wrote it again`),
    expect.stringContaining(`explanation: ${changed.id} wrote it again`),
  ])
  const seen = await crm.look()
  const off = { stalled: false, since: null, categoryBefore: null }
  for (const name of ['plain', 'alone', 'owner', 'reason', 'wins', 'replies']) {
    expect(seen.deal(name), name).toMatchObject(off)
    const closed = name === 'wins' ? crm.words.closed : before.deal(name).category
    expect(seen.deal(name).category, name).toBe(closed)
    expect(
      seen.tasksOf(name).filter(({ open }) => open),
      name,
    ).toEqual([])
  }
  // Salesforce reset the category with the stage, and the second night borrowed it anew: that night's to take back.
  expect(of('back')).toHaveLength(system === 'hubspot' ? 0 : 2)
  expect(seen.deal('back').stalled).toBe(false)
  if (system === 'salesforce') await undo(second, 18, [id('back')])
  expect((await crm.look()).deal('back')).toMatchObject({
    ...off,
    category: system === 'hubspot' ? crm.words.commit : crm.words.pipeline,
  })

  // The later run's own words go with that run; and then nothing is left of either.
  expect((await undo(changed, 18)).filter(({ name }) => name === 'reason')).toEqual([])
  expect((await crm.look()).deal('reason')).toMatchObject({ ...off, reason: null, explanation: null })
  const had = (await crm.journal()).length
  expect(await undo(first, 18)).toEqual([])
  await night(19)
  await night(20)
  expect((await crm.journal()).slice(had)).toEqual([])
})
