// The oracle itself: it gives the answers worked out by hand from product.md, it agrees with the whole program where
// nothing goes wrong, and it notices each thing that must never happen.
import { describe, expect, it, onTestFinished } from 'vitest'
import { OWNERS, PIPELINES } from '../../src/sandbox/generate.ts'
import type { SeedDeal } from '../../src/sandbox/seed.ts'
import { homes } from '../homes.ts'
import { type Crm, setUp, startCrm } from '../jobs/harness.ts'
import { connectTo, instead, startProgram } from '../jobs/program.ts'
import { compare, expected, fetchHeld, type Held, type Judgement, type Verdict, type WorldSettings } from './oracle.ts'
import { CATEGORIES, isAct, isDeal, NAMES, type System, text } from './story.ts'
import { live, type World, world } from './world.ts'

const SYSTEMS = ['hubspot', 'salesforce'] as const
const CLEAN: Verdict = { DUP: [], LOST: [], WRONG: [], overwrites: [] }

// ---- by hand

const settings: WorldSettings = { ...world({ seed: 1, deals: 0 }).settings, holidays: [], closures: [], absences: {} }
/** November 2026: the first night is Monday the 23rd, at three. Nights are named by their day. */
const at = (day: number, hour = 12) => Date.UTC(2026, 10, day, hour)
const date = (day: number) => new Date(at(day)).toISOString().slice(0, 10)
const REP = OWNERS.find((one) => one.active && one.managerEmail)?.email ?? ''
const ID = '21000000001'

type Act = Readonly<Record<string, unknown>> & { readonly on: number }
interface Case {
  readonly name: string
  /** Created at noon of a day of November, or before it: 0 is 31 October. */
  readonly created: number
  readonly deal?: Partial<SeedDeal>
  readonly acts?: readonly Act[]
  /** By the day of the night: state, reason, task. */
  readonly nights: Readonly<Record<number, string>>
  readonly system?: System
}
const stage = (on: number, to: string, by = 'person'): Act => ({ on, act: 'move-stage', to, by })
const set = (on: number, field: keyof (typeof NAMES)['hubspot'], value: unknown): Act => ({
  ...{ on, act: 'set', field: NAMES.hubspot[field], value },
})
const reply = (on: number): Act => ({ on, act: 'buyer-reply' })
const closing = (day: number) => ({ closeDate: date(day) })
const moving = 'moving'
const idle = 'stalled no_movement open'

/** 2 to 23 November are 15 working days, to the 24th 16; 9 to 23 are 10. */
const CASES: readonly Case[] = [
  { name: 'no movement for longer than 15 working days', created: 2, nights: { 23: moving, 24: idle } },
  { name: 'a reply restarts the clock', created: -30, acts: [reply(20)], nights: { 23: moving } },
  {
    ...{
      name: 'weak movement restarts the clock of a deal that is still moving',
      created: -30,
      acts: [set(20, 'amount', 90)],
    },
    nights: { 23: moving },
  },
  {
    ...{ name: 'weak movement does not lift a flag', created: -30, acts: [set(23, 'amount', 90)] },
    nights: { 23: idle, 24: idle },
  },
  { name: 'an amount changed by less than 5 %', created: -30, acts: [set(20, 'amount', 10_499)], nights: { 23: idle } },
  {
    ...{ name: 'an import does not count', created: -30, acts: [stage(20, 'qualifiedtobuy', 'import')] },
    nights: { 23: idle },
  },
  {
    ...{ name: 'a workflow does not count where the CRM tells it', created: -30 },
    ...{ acts: [stage(20, 'qualifiedtobuy', 'workflow')], nights: { 23: idle } },
  },
  {
    ...{ name: 'a workflow counts where the CRM tells it in the name of a person', created: -30, system: 'salesforce' },
    ...{ acts: [stage(20, 'qualifiedtobuy', 'workflow')], nights: { 23: moving } },
  },
  {
    ...{ name: 'a stage forward lifts the flag', created: -30, acts: [stage(23, 'qualifiedtobuy')] },
    nights: { 23: idle, 24: moving },
  },
  {
    ...{ name: 'a stage back is no movement, and no new flag for 5 days', created: -30 },
    deal: { stage: 'presentationscheduled' },
    acts: [stage(20, 'qualifiedtobuy')],
    nights: { 23: moving, 27: moving, 28: moving, 30: idle },
  },
  {
    ...{ name: 'the close date is past by more than 5 working days', created: 13, deal: closing(16) },
    nights: { 23: moving, 24: 'stalled close_date_passed open' },
  },
  {
    ...{ name: 'a close date ahead ends it, one that had passed does not', created: 13, deal: closing(10) },
    acts: [set(23, 'closeDate', date(22)), set(24, 'closeDate', date(24))],
    nights: { 23: 'stalled close_date_passed open', 24: 'stalled close_date_passed open', 25: moving },
  },
  {
    ...{ name: 'pushed three times', created: -60, deal: closing(10) },
    acts: [
      ...[set(5, 'closeDate', date(20)), set(10, 'closeDate', date(28)), set(19, 'closeDate', '2026-12-20')],
      reply(20),
    ],
    nights: { 23: 'stalled pushed_repeatedly open' },
  },
  {
    ...{ name: 'several moves on one day are one', created: -60, deal: closing(10) },
    acts: [
      ...[set(5, 'closeDate', date(20)), set(5, 'closeDate', date(28)), set(19, 'closeDate', '2026-12-20')],
      reply(20),
    ],
    nights: { 23: moving },
  },
  {
    ...{ name: 'the decision date derived from the proposal', created: -30, acts: [stage(9, 'contractsent')] },
    nights: { 23: moving, 24: 'stalled decision_overdue open' },
  },
  {
    ...{
      name: 'one new agreed date',
      created: -30,
      acts: [stage(6, 'contractsent'), set(23, 'decisionDue', date(25)), reply(23)],
    },
    nights: { 23: 'stalled decision_overdue open', 24: moving, 25: moving, 26: 'stalled decision_overdue open' },
  },
  {
    ...{
      name: 'maybe, and the date has passed',
      created: -30,
      acts: [stage(6, 'contractsent'), set(20, 'decision', 'maybe')],
    },
    nights: { 23: 'stalled answered_maybe open' },
  },
  {
    ...{ name: 'yes protects for 10 working days', created: -30, acts: [set(20, 'decision', 'yes')] },
    // 23 November to 7 December are 10 working days.
    nights: { 23: moving, 37: moving, 38: 'stalled yes_not_closed open' },
  },
  {
    ...{ name: 'no is a good answer', created: -30, acts: [set(23, 'decision', 'no')] },
    nights: { 23: idle, 24: 'answered_no', 40: 'answered_no' },
  },
  {
    ...{ name: 'parked until the resume date, its days not counted', created: 9 },
    acts: [set(20, 'parkedReason', 'seasonal'), set(20, 'parkedUntil', date(27))],
    // 10 working days by the 23rd, 5 more from 30 November to 4 December.
    nights: { 23: 'parked', 27: 'parked', 30: moving, 34: moving, 37: idle },
  },
  {
    ...{ name: 'a meeting booked within 10 working days', created: -30 },
    acts: [{ on: 20, act: 'meeting', at: new Date(at(25, 15)).toISOString(), held: false, outside: true }],
    nights: { 23: moving, 25: moving, 26: idle },
  },
  {
    ...{ name: 'a wrong flag is silent for 10 working days', created: -30, acts: [set(23, 'stalled', false)] },
    // 24 November to 8 December are 10 working days.
    nights: { 23: idle, 24: moving, 38: moving, 39: idle },
  },
  { name: 'dead before the first night: no task', created: -160, nights: { 23: 'stalled no_movement none' } },
  {
    ...{ name: 'an owner who left: no task', created: -30, deal: { ownerEmail: 'marc.fontaine@example.com' } },
    nights: { 23: 'stalled no_movement none' },
  },
  {
    name: 'a deal younger than 5 working days',
    created: 17,
    deal: closing(3),
    nights: { 23: moving, 24: 'stalled close_date_passed open' },
  },
  { name: 'an excluded type', created: -30, deal: { type: 'partner' }, nights: { 23: moving } },
  { name: 'won', created: -30, acts: [stage(23, 'closedwon')], nights: { 23: idle, 24: 'closed' } },
  {
    ...{ name: 'reopened by a person', created: -30, acts: [stage(20, 'closedlost'), stage(23, 'qualifiedtobuy')] },
    nights: { 23: 'closed', 24: moving },
  },
]

describe('the oracle gives the answers of product.md', () => {
  it.each(CASES)('$name', ({ created, deal = {}, acts = [], nights, system = 'hubspot' }) => {
    const made: SeedDeal = {
      ...{ name: 'a', account: null, ownerEmail: REP, pipeline: 'default', stage: 'appointmentscheduled' },
      ...{
        createdAt: at(created),
        closeDate: '2027-03-01',
        amount: 10_000,
        category: 'commit',
        type: null,
        events: [],
      },
      ...deal,
    }
    const held: Held = {
      deals: [{ id: ID, values: { [NAMES[system].name]: 'a' } }],
      ...{ tasks: [], owners: new Map(), journal: [], counts: false },
      active: new Set(OWNERS.flatMap(({ email, active }) => (active ? email : []))),
      acts: acts.map(({ on, ...act }, n) => ({
        ...{ at: new Date(at(on) + n * 1000).toISOString(), id: ID },
        act: { act: '', by: 'person', id: ID, ...act },
      })),
    }
    const seed = { now: at(20, 6), deals: [made], pipelines: PIPELINES }
    const days = Object.keys(nights).map(Number)
    const all = expected({ seed, settings, system, held, nights: days.map((day) => at(day, 3)) }).get('a') ?? []
    const said = all.map(({ state, reason, task }) => (state === 'stalled' ? `${state} ${reason} ${task}` : state))
    expect(Object.fromEntries(days.map((day, n) => [day, said[n]]))).toEqual(nights)
  })
})

// ---- the whole program, undisturbed

/** All nights of a world on both CRMs, and what each holds in the end. `meddle`: what people do meanwhile on every night
 *  but the last, between the judgement and the fresh look before writing. */
async function lived(made: World, meddle?: (crm: Crm, night: number) => Promise<void>): Promise<readonly Judgement[]> {
  const [home] = homes
  if (!home) throw new Error('no home')
  const { database } = await home.open()
  const crms = await Promise.all(SYSTEMS.map((system) => startCrm(system, made.crm)))
  const due = new Map<string, number>()
  const meddled = (meddle ? crms : []).map(async (crm) => {
    const real = await connectTo(crm, { settleMs: 0 })
    const read: typeof real.read = async (ids, signal) => {
      const night = due.get(crm.name)
      due.delete(crm.name)
      if (night !== undefined) await meddle?.(crm, night)
      return real.read(ids, signal)
    }
    return [crm.name, instead(real, () => ({ read }))] as const
  })
  const connectors = Object.fromEntries(await Promise.all(meddled))
  const program = await startProgram({ database, crms, settings: made.settings, connectors })
  onTestFinished(async () => {
    await program.close()
    for (const crm of crms) await crm.stop()
  })
  await Promise.all(
    crms.map(async (crm) => {
      await setUp(crm)
      for (const [night, { now, acts }] of made.nights.entries()) {
        await live(crm, acts)
        await crm.clock(now)
        const how = night === 0 ? { confirm: (await program.night(crm, now, { kind: 'preview' })).id } : {}
        if (night < made.nights.length - 1) due.set(crm.name, night)
        expect((await program.night(crm, now, how)).status).toBe('done')
      }
    }),
  )
  expect(program.problems).toEqual([])
  const held = await Promise.all(crms.map(({ url }) => fetchHeld(url)))
  const nights = made.nights.map(({ now }) => now)
  return held.map((one, i) => ({
    ...{ seed: made.crm, settings: made.settings, number: made.seed, system: crms[i]?.system ?? 'hubspot', nights },
    ...{ held: one, elsewhere: held.filter((other) => other !== one) },
  }))
}

let company: Promise<readonly Judgement[]> | undefined
/** Every situation, lived through once for all tests. */
function everything() {
  company ??= lived(world({ seed: 1, deals: 90 }))
  return company
}

let frugal: Promise<readonly Judgement[]> | undefined
/** The same where a person gets two tasks a week. */
function budgeted() {
  frugal ??= lived(world({ seed: 3, deals: 40, perOwnerPerWeek: 2, gaps: [5] }))
  return frugal
}

describe('where nothing goes wrong, the program and the oracle agree', () => {
  it('every situation', async () => {
    for (const judgement of await everything()) expect(compare(judgement)).toEqual(CLEAN)
  }, 60_000)
  it('people act while the night is under way', async () => {
    const made = world({ seed: 2, deals: 60, wild: 0.5, gaps: [1, 11] })
    const others = world({ seed: 5, deals: 60, wild: 1 }).nights.flatMap(({ acts }) => acts)
    const judgements = await lived(made, async (crm, night) => {
      const there = new Set((await crm.look()).deals.map(({ name }) => name))
      const acts = others.flatMap((act, i) => {
        const deal = made.crm.deals[Number(act.deal.slice(0, 4))]
        const open = deal !== undefined && there.has(deal.name) && act.does !== 'delete' && act.does !== 'meeting'
        const path = PIPELINES.find(({ id }) => id === deal?.pipeline)?.stages ?? []
        const mine = act.does !== 'stage' || path.some(({ id }) => id === act.to)
        return open && mine && i % 4 === night ? [{ ...act, deal: deal.name, at: 0 }] : []
      })
      await live(crm, acts)
    })
    for (const judgement of judgements) {
      expect(compare(judgement)).toEqual(CLEAN)
      const disturbed = [...expected(judgement).values()].flat().filter(({ mayLack }) => mayLack)
      expect(disturbed.length).toBeGreaterThan(20)
    }
  }, 60_000)
  it('a budget that binds', async () => {
    for (const judgement of await budgeted()) {
      expect(compare(judgement)).toEqual(CLEAN)
      const waiting = [...expected(judgement).values()].filter((nights) => nights.some(({ budget }) => budget !== null))
      expect(waiting.length).toBeGreaterThan(0)
    }
  }, 60_000)
})

// ---- what must never happen

const broken: readonly (readonly [
  what: string,
  list: keyof Verdict,
  how: (held: Held, system: System) => Held | null,
])[] = [
  [
    'a task made twice',
    'DUP',
    (held) => {
      const made = held.journal.findIndex((line) => !isDeal(line) && line.before === null)
      const line = held.journal[made]
      return line ? { ...held, journal: held.journal.toSpliced(made + 1, 0, { ...line, id: `${line.id}9` }) } : null
    },
  ],
  [
    'two tasks of different keys for one stall',
    'DUP',
    (held) => {
      const made = held.journal.findIndex((line) => !isDeal(line) && line.before === null)
      const line = held.journal[made]
      const after = { ...line?.after, unstall_task_key: 'u-other', Unstall_Key__c: 'u-other' }
      return line
        ? { ...held, journal: held.journal.toSpliced(made + 1, 0, { ...line, id: `${line.id}9`, after }) }
        : null
    },
  ],
  ['a task missing', 'LOST', (held) => ({ ...held, tasks: held.tasks.filter((task) => task.id !== openTask(held)) })],
  [
    'a task never made',
    'LOST',
    (held) => {
      const gone = ({ id }: { readonly id: string }) => id !== openTask(held)
      return { ...held, tasks: held.tasks.filter(gone), journal: held.journal.filter(gone) }
    },
  ],
  ['a task left open', 'WRONG', (held) => ({ ...held, tasks: held.tasks.map((task) => ({ ...task, open: true })) })],
  ['a flag missing', 'LOST', (held, system) => change(held, NAMES[system].stalled, 'true', null)],
  ['a flag too many', 'WRONG', (held, system) => change(held, NAMES[system].stalled, null, 'true')],
  ['another reason', 'WRONG', (held, system) => change(held, NAMES[system].reason, 'no_movement', 'decision_overdue')],
  ['another state', 'WRONG', (held, system) => change(held, NAMES[system].state, 'parked', 'answered_no')],
  ['another start', 'WRONG', (held, system) => change(held, NAMES[system].since, 'any', '2026-11-22T03:00:00.000Z')],
  [
    'a category not given back',
    'WRONG',
    (held, system) => change(held, NAMES[system].category, CATEGORIES[system].best_case, CATEGORIES[system].omitted),
  ],
  [
    'a category not taken',
    'WRONG',
    (held, system) => change(held, NAMES[system].category, CATEGORIES[system].omitted, CATEGORIES[system].commit),
  ],
  ['the amount counted', 'WRONG', (held, system) => change(held, NAMES[system].counts, '0', '10000')],
  [
    'a write nobody asked for',
    'WRONG',
    (held, system) => {
      const line = held.journal.find((one) => isDeal(one) && !isAct(one))
      const field = NAMES[system].amount
      return line
        ? { ...held, journal: [...held.journal, { ...line, before: { [field]: 1 }, after: { [field]: 2 } }] }
        : null
    },
  ],
  [
    'a write made twice',
    'WRONG',
    (held) => {
      const line = held.journal.findLast((one) => isDeal(one) && !isAct(one))
      return line ? { ...held, journal: [...held.journal, { ...line, before: line.after }] } : null
    },
  ],
  [
    'a category of a person written over',
    'overwrites',
    (held, system) => {
      const field = NAMES[system].category
      const act = held.acts.find((one) => one.act.field === field)
      const line = held.journal.findLast((one) => isAct(one) && one.id === act?.act.id && field in (one.after ?? {}))
      const over = {
        endpoint: 'PATCH',
        before: line?.after ?? null,
        after: { ...line?.after, [field]: CATEGORIES[system].omitted },
      }
      return line ? { ...held, journal: [...held.journal, { ...line, ...over }] } : null
    },
  ],
  [
    'a task of a person written over',
    'overwrites',
    (held) => {
      const act = held.acts.find((one) => one.act.act === 'complete-task')
      const line = held.journal.findLast((one) => isAct(one) && one.id === act?.act.id)
      return line ? { ...held, journal: [...held.journal, { ...line, endpoint: 'PATCH' }] } : null
    },
  ],
]

const openTask = ({ deals, tasks }: Held) =>
  tasks.find((task) => task.open && deals.some(({ id }) => id === task.deal))?.id

/** The first deal whose field holds `from` (null: nothing, `any`: anything) holds `to` instead. */
function change(held: Held, field: string, from: string | null, to: string | null): Held | null {
  const is = (value: unknown) => {
    const now = text(value) === 'false' ? null : text(value)
    return from === 'any' ? now !== null : now === from
  }
  const found = held.deals.find(({ values }) => is(values[field]))
  if (!found) return null
  const values = { ...found.values, [field]: to }
  return { ...held, deals: held.deals.map((deal) => (deal === found ? { ...deal, values } : deal)) }
}

describe.each(SYSTEMS)('what must never happen in %s is noticed', (system) => {
  it.each(broken)(
    '%s',
    async (_, list, how) => {
      const judgement = (await everything()).find((one) => one.system === system)
      const held = judgement && how(judgement.held, system)
      if (!held) throw new Error('nothing to break')
      const verdict = compare({ ...judgement, held })
      expect(verdict[list].length).toBeGreaterThan(0)
      expect(verdict[list][0]).toMatch(new RegExp(`^".*" \\(${system}, seed 1\\): `))
    },
    60_000,
  )
})

describe('the weekly budget', () => {
  it('one task too many is noticed', async () => {
    for (const judgement of await budgeted()) {
      const settings = { ...judgement.settings, tasks: { ...judgement.settings.tasks, perOwnerPerWeek: 1 } }
      expect(compare({ ...judgement, settings }).WRONG).toContainEqual(
        expect.stringMatching(/new tasks, at most 1 a week/),
      )
    }
  }, 60_000)

  it('a task for the wrong deal is noticed', async () => {
    const seen = (await budgeted()).flatMap((judgement) => {
      const all = [...expected(judgement)].flatMap(([name, [first]]) => (first ? [{ name, first }] : []))
      const ids = new Map(judgement.held.deals.map(({ id, values }) => [values[NAMES[judgement.system].name], id]))
      const pairs = all.flatMap(({ name, first }) => {
        const owner = first.tasks[0]?.owner
        const [from, to] = [name, all.find((one) => one.first.budget === owner)?.name].map((one) => ids.get(one))
        return owner && from && to ? [{ from, to }] : []
      })
      return pairs.slice(0, 1).map(({ from, to }) => {
        const move = (values: Readonly<Record<string, unknown>> | null) =>
          values && Object.fromEntries(Object.entries(values).map(([key, one]) => [key, one === from ? to : one]))
        const held = {
          ...judgement.held,
          journal: judgement.held.journal.map((line) => (isDeal(line) ? line : { ...line, after: move(line.after) })),
          tasks: judgement.held.tasks.map((task) => (task.deal === from ? { ...task, deal: to } : task)),
        }
        return compare({ ...judgement, held }).WRONG.join('\n')
      })
    })
    expect(seen).not.toEqual([])
    for (const wrong of seen) expect(wrong).toContain('waits for a task although')
  }, 60_000)
})

describe('a deal somebody touches during the run', () => {
  const made: SeedDeal = {
    ...{ name: 'a', account: null, ownerEmail: REP, pipeline: 'default', stage: 'appointmentscheduled', type: null },
    ...{ createdAt: at(-30), closeDate: '2027-03-01', amount: 10_000, category: 'commit', events: [] },
  }
  const held = (wrote: boolean): Held => ({
    ...{ deals: [{ id: ID, values: { dealname: 'a' } }], tasks: [], owners: new Map(), counts: false },
    active: new Set([REP]),
    journal: wrote
      ? [{ at: new Date(at(23, 4)).toISOString(), endpoint: 'PATCH', object: 'deal', id: ID, before: {}, after: {} }]
      : [],
    acts: [
      {
        at: new Date(at(23, 4)).toISOString(),
        id: ID,
        act: { act: 'set', by: 'person', id: ID, field: 'hs_next_step', value: 'Call' },
      },
    ],
  })
  const nights = [at(23, 3), at(24, 3)]
  const judged = (wrote: boolean) => {
    const seed = { now: at(20, 6), deals: [made], pipelines: PIPELINES }
    return expected({ seed, settings, system: 'hubspot', held: held(wrote), nights }).get('a')
  }
  it('may be left for the next night, and is due then', () => {
    expect(judged(false)).toMatchObject([
      { stalled: false, mayLack: true },
      { stalled: true, since: 1, task: 'open', mayLack: false },
    ])
  })
  it('or was written already', () => {
    expect(judged(true)).toMatchObject([
      { stalled: true, since: 0, mayLack: true },
      { stalled: true, since: 0, mayLack: false },
    ])
  })
})
