// Pages that overlap, come twice, come late or break off change nothing (law 9): what is known of the deals, what was
// judged and what is written are the same as after one clean pull.
import { expect, it, onTestFinished } from 'vitest'
import type { Connector, Cursor, Page } from '../../src/connector.ts'
import { RetryLater } from '../../src/errors.ts'
import { generate } from '../../src/sandbox/generate.ts'
import type { Seed } from '../../src/sandbox/seed.ts'
import { getConnection, updateConnection } from '../../src/store/connections.ts'
import { streamDeals } from '../../src/store/deals.ts'
import { getPlan } from '../../src/store/runs.ts'
import { homes } from '../homes.ts'
import { type Crm, DAY, type Fields, firstNight, MONDAY, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, instead, startProgram } from './program.ts'

const SYSTEMS = ['hubspot', 'salesforce'] as const
const NIGHT = MONDAY + DAY
const DEALS = [
  ...['replies', 'moves', 'pushes', 'answers', 'ages', 'edited'].map((name) => seedDeal(name)),
  ...[1, 2, 3, 4].map((idle) => seedDeal(`moving ${idle}`, { idle })),
]

async function world(system: Crm['system'], seed: Seed, pull: (connector: Connector) => Connector['pull']) {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const crm = await startCrm(system, seed)
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const connector = await connectTo(crm)
  const change = { pull: pull(connector) }
  const connectors = { [crm.name]: instead(connector, () => change) }
  const program = await startProgram({ ...home, crms: [crm], connectors, patienceMs: 60_000 })
  onTestFinished(() => program.close())
  const known = async () =>
    new Map(
      (await streamDeals(program.ctx.db, crm.name, { after: null, limit: 1000 })).map(({ known, standing }) => [
        known.ref.id,
        { known, standing },
      ]),
    )
  return { crm, program, connector, known }
}

async function happen(crm: Crm) {
  await crm.clock(NIGHT - 12 * 3_600_000)
  await crm.act('replies', 'buyer-reply')
  await crm.act('moves', 'move-stage', { to: crm.stage('presentationscheduled') })
  await crm.set('answers', 'decision', 'no')
  await crm.set('edited', 'nextStep', 'call')
  await crm.act('moving 1', 'meeting', { at: new Date(NIGHT + 3 * DAY).toISOString(), held: false })
  await crm.clock(NIGHT)
}

it.each(SYSTEMS)(
  '%s: every page twice, then everything again from the beginning and from an old cursor',
  async (system) => {
    let doubled = false
    let from: Cursor | null | undefined
    let late: Page[] = []
    const pages: Page[] = []
    const { crm, program, known } = await world(
      system,
      seedOf(DEALS),
      (connector) =>
        async function* (since, now, signal) {
          for await (const page of connector.pull(from === undefined ? since : from, now, signal)) {
            pages.push(page)
            yield page
            if (doubled) yield page
            for (const old of late) yield { ...old, cursor: page.cursor }
          }
        },
    )
    const before = (await crm.look()).dump
    doubled = true
    await firstNight(program, crm, MONDAY)
    const first = (await getConnection(program.ctx.db, crm.name))?.cursor ?? null
    const early = pages.splice(0)
    const stalled = (await crm.look()).deals.filter((deal) => deal.stalled).map(({ name }) => name)
    expect(stalled.sort()).toEqual(['ages', 'answers', 'edited', 'moves', 'pushes', 'replies'])

    await happen(crm)
    expect(await program.night(crm, NIGHT)).toMatchObject({ status: 'done' })
    const seen = await crm.look()
    expect(seen.deal('replies')).toMatchObject({ stalled: false, state: 'moving' })
    expect(seen.deal('moves')).toMatchObject({ stalled: false, state: 'moving' })
    expect(seen.deal('answers')).toMatchObject({ stalled: false, state: 'answered_no' })
    for (const name of ['ages', 'edited', 'pushes']) expect(seen.deal(name).stalled).toBe(true)
    expect(await program.night(crm, NIGHT)).toMatchObject({ status: 'done' })
    const settled = await known()
    const written = (await crm.journal()).length
    expect(written).toBeGreaterThan(before.size)

    for (const cursor of [first, null, undefined]) {
      from = cursor
      const again = await program.night(crm, NIGHT)
      expect(again).toMatchObject({ status: 'done', problem: null })
      expect(await known()).toEqual(settled)
      // Written again or not, all that was read counts as seen.
      const seenIn = (await streamDeals(program.ctx.db, crm.name, { after: null, limit: 99 })).map((one) => one.seenRun)
      if (cursor === null) expect(new Set(seenIn)).toEqual(new Set([again.id]))
      expect(await crm.journal()).toHaveLength(written)
    }
    // Pages of the first night, arriving late: observations from before our flags and everybody's doings.
    from = undefined
    late = early
    expect(await program.night(crm, NIGHT)).toMatchObject({ status: 'done', problem: null })
    expect(await known()).toEqual(settled)
    expect(await crm.journal()).toHaveLength(written)
  },
)

it.each(SYSTEMS)('%s: a pull that breaks off goes on behind its last stored page', async (system) => {
  let breaks = 3
  const asked: (Cursor | null)[] = []
  const given: Cursor[] = []
  const { crm, program, known } = await world(
    system,
    generate({ now: MONDAY, deals: 260, open: 240 }),
    (connector) =>
      async function* (since, now, signal) {
        asked.push(since)
        for await (const page of connector.pull(since, now, signal)) {
          yield page
          given.push(page.cursor)
          if (breaks-- > 0) throw new RetryLater('the line is dead', 1)
        }
      },
  )
  const broken = await program.night(crm, MONDAY, { kind: 'preview' })
  expect(broken).toMatchObject({ status: 'done', problem: null })
  expect(asked).toEqual([null, ...given.slice(0, 3)])
  const pieces = await known()
  expect(pieces.size).toBe((await crm.look()).deals.filter(({ all }) => isOpen(all)).length)

  // Once more, whole: the plan is the same, byte for byte.
  breaks = 0
  const plan = await getPlan(program.ctx.db, broken.id)
  await updateConnection(program.ctx.db, crm.name, { cursor: null })
  const whole = await program.night(crm, MONDAY, { kind: 'preview' })
  expect(asked.at(-1)).toBeNull()
  const named = (rows: typeof plan) => JSON.stringify(rows).replaceAll(/"sf-[^".]+|"hub-[^".]+/g, '"run')
  expect(named(await getPlan(program.ctx.db, whole.id))).toBe(named(plan))
  expect((plan ?? []).length).toBeGreaterThan(50)
  expect(await known()).toEqual(pieces)
})

const isOpen = (all: Fields) => (all.hs_is_closed ?? String(all.IsClosed)) !== 'true'

it.each(SYSTEMS)('%s: what is still told of a deleted deal does not bring it back', async (system) => {
  const { crm, program, connector } = await world(
    system,
    seedOf(DEALS),
    (own) =>
      async function* (...asked) {
        for await (const page of own.pull(...asked)) {
          yield page
          // Its activities are told apart from it.
          const evidence = page.gone.map((deal) => ({ deal, changes: [], activities: [] }))
          if (evidence.length > 0) yield { ...page, deals: [], gone: [], evidence }
        }
      },
  )
  await firstNight(program, crm, MONDAY)
  const { id } = (await crm.look()).deal('moving 1')
  await crm.act('moving 1', 'buyer-reply')
  await crm.act('moving 1', 'delete')
  await crm.clock(NIGHT)
  const source = connector.pull
  // HubSpot does not tell by itself.
  if (system === 'hubspot')
    connector.pull = async function* (...asked) {
      for await (const page of source(...asked)) yield { ...page, gone: [id] }
    }
  await program.night(crm, NIGHT)
  const { gone } = await program.ctx.db.selectFrom('deal').select('gone').where('id', '=', id).executeTakeFirstOrThrow()
  expect(gone).toBe(true)
})

it('page after page of deals that are of no interest is not read for nothing', async () => {
  const stored: (Cursor | null)[] = []
  const { crm, program } = await world(
    'hubspot',
    seedOf(DEALS),
    () =>
      async function* () {
        for (let n = 1; n <= 60; n++) {
          // What was interrupted is finished first, then a second walk begins.
          const read = 50 * (n <= 30 ? n : n - 30)
          yield { deals: [], evidence: [], gone: [], unreadable: [], cursor: `${n}`, read, total: null }
          stored.push((await getConnection(program.ctx.db, crm.name))?.cursor ?? null)
        }
      },
  )
  await program.night(crm, MONDAY, { kind: 'preview' })
  // So much is lost by a kill at the most.
  for (const [n, cursor] of stored.entries()) expect(n + 1 - Number(cursor)).toBeLessThanOrEqual(11)
})
