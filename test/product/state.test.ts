// Product.md, the state table (flag, forecast category, amount that counts, our task), its transitions, and the rules by
// which the borrowed category is given back: written through both connectors, read from what the lookalikes hold.
import { beforeAll, describe, expect, test } from 'vitest'
import { holds, type Row, type Sight, same } from './expect.ts'
import { type Act, at, booked, day, type Played, play, reply, SYSTEMS, set, stage, ticked } from './harness.ts'

const NIGHTS = [0, 1, 3, 6, 11, 17]
type Night = Partial<Sight>
const OURS = { category: 'omitted', counts: 0 } as const
const THEIRS = { category: 'best_case', counts: 10_000, before: null } as const
const MOVING = { state: 'moving', flag: false, crmState: 'moving', reason: null, since: null, openTasks: 0 } as const
const STALLED: Night = { state: 'stalled', flag: true, crmState: 'stalled', openTasks: 1, ...OURS }
const PARKED = { state: 'parked', flag: false, crmState: 'parked', reason: null, openTasks: 0, ...OURS } as const
const NO = { state: 'answered_no', flag: false, crmState: 'answered_no', reason: null, openTasks: 0, ...OURS } as const
const CLOSED = { state: 'closed', flag: false, crmState: 'moving', counts: 10_000, before: null, openTasks: 0 } as const
const says = (text: string) => expect.stringContaining(text)
const park = (on: number, until: number): Act[] => [
  set(on, 'parkedReason', 'budget_cycle'),
  set(on, 'parkedUntil', day(until)),
]
/** Flagged on the first night for want of movement. */
const idle = { createdAt: at(-40, '08:00') }
/** Flagged on the first night for its close date, whatever moves. */
const late = { closeDate: day(-10) }
const patient = { idleDays: { default: 200, decisionStages: 200 } }

const states: readonly Row[] = [
  {
    name: 'moving',
    sentence: 'moving: no flag, their category, the amount, no task',
    deal: { createdAt: at(-2, '08:00') },
    nights: {
      0: { ...MOVING, ...THEIRS, crmState: null, wrote: [], transition: null },
      1: { wrote: [] },
      3: { wrote: [] },
    },
  },
  {
    name: 'moving, amount empty',
    sentence: 'else the amount; empty stays empty',
    deal: { createdAt: at(-2, '08:00'), amount: null },
    nights: { 0: { ...MOVING, crmState: null, counts: null } },
  },
  {
    name: 'moving again',
    sentence: 'moving: an open task is completed with a note',
    deal: idle,
    acts: [reply(1)],
    nights: {
      0: { ...STALLED, transition: 'moving → stalled' },
      3: { ...MOVING, ...THEIRS, doneTasks: 1, note: says('the deal moves again'), transition: 'stalled → moving' },
      6: { ...MOVING, ...THEIRS, wrote: [], doneTasks: 1 },
    },
  },
  {
    name: 'stalled',
    sentence: 'stalled: flag, category borrowed (omitted), amount 0, one task',
    deal: idle,
    nights: {
      0: { ...STALLED, reason: 'no_movement', since: day(0), wrote: ['flag', 'forecast', 'task'], doneTasks: 0 },
      1: { ...STALLED, since: day(0), wrote: [], transition: null },
      17: { ...STALLED, since: day(0), wrote: [], doneTasks: 0 },
    },
    differs: { hubspot: { 0: { before: 'BEST_CASE' } }, salesforce: { 0: { before: 'Best Case' } } },
  },
  {
    name: 'cause',
    sentence: 'Why it stalled is the rep’s to say: `cause`',
    deal: idle,
    acts: [set(1, 'cause', 'budget')],
    nights: { 0: STALLED, 3: { ...STALLED, wrote: [] } },
  },
  {
    name: 'stalled, task ticked off',
    sentence: 'at most one open stall, one task',
    deal: idle,
    acts: [ticked(1)],
    nights: {
      3: { ...STALLED, openTasks: 0, doneTasks: 1, wrote: [] },
      17: { flag: true, openTasks: 0, doneTasks: 1 },
    },
  },
  {
    name: 'stalled a second time',
    sentence: 'one stall can never get two tasks, a later stall can',
    policy: { idleDays: { default: 3 } },
    deal: idle,
    acts: [reply(1)],
    nights: {
      0: { ...STALLED, since: day(0) },
      3: { ...MOVING, ...THEIRS },
      6: { ...STALLED, since: day(6), openTasks: 1, doneTasks: 1 },
    },
  },
  {
    name: 'parked',
    sentence: 'parked: no flag, category borrowed, amount 0',
    deal: { createdAt: at(-2, '08:00') },
    acts: park(-1, 8),
    nights: {
      0: { ...PARKED, transition: 'moving → parked', wrote: ['flag', 'forecast'], doneTasks: 0 },
      3: { ...PARKED, wrote: [] },
      11: { ...MOVING, ...THEIRS, transition: 'parked → moving' },
    },
  },
  {
    name: 'parked out of a stall',
    sentence: 'parked: task completed with a note',
    deal: idle,
    acts: park(1, 8),
    nights: {
      0: STALLED,
      3: { ...PARKED, doneTasks: 1, note: says('the deal is parked'), transition: 'stalled → parked' },
      11: { ...STALLED, since: day(11), openTasks: 1, doneTasks: 1, transition: 'parked → stalled' },
    },
  },
  {
    name: 'answered no',
    sentence: 'answered no: no flag, category borrowed until closed, amount 0',
    deal: { createdAt: at(-2, '08:00') },
    acts: [set(-1, 'decision', 'no'), reply(4), stage(7, 'lost')],
    nights: {
      0: { ...NO, transition: 'moving → answered_no' },
      6: { ...NO, wrote: [] },
      11: { ...CLOSED, transition: 'answered_no → closed' },
    },
    differs: { hubspot: { 11: { category: 'best_case' } }, salesforce: { 11: { category: 'omitted' } } },
  },
  {
    name: 'answered no out of a stall',
    sentence: 'answered no: task completed with thanks',
    deal: idle,
    acts: [set(1, 'decision', 'no')],
    nights: {
      0: STALLED,
      3: {
        ...NO,
        doneTasks: 1,
        note: says('Thank you: a clear no is a good answer'),
        transition: 'stalled → answered_no',
      },
      17: { ...NO, doneTasks: 1 },
    },
  },
  {
    name: 'closed: won',
    sentence: 'closed: no flag, category given back, the amount, task completed',
    deal: idle,
    acts: [stage(1, 'won')],
    nights: {
      0: STALLED,
      3: {
        ...CLOSED,
        category: 'closed',
        doneTasks: 1,
        note: says('the deal is closed'),
        transition: 'stalled → closed',
      },
      6: { ...CLOSED, wrote: [] },
    },
  },
  {
    name: 'closed: lost',
    sentence: 'closed: category given back',
    deal: idle,
    acts: [stage(1, 'lost')],
    nights: { 0: STALLED, 3: { ...CLOSED, doneTasks: 1, transition: 'stalled → closed' } },
    differs: { hubspot: { 3: { category: 'best_case' } }, salesforce: { 3: { category: 'omitted' } } },
  },
  {
    name: 'reopened',
    sentence: 'closed → moving on reopening',
    deal: idle,
    acts: [stage(1, 'lost'), stage(4, 'new')],
    nights: {
      3: { state: 'closed' },
      6: { ...MOVING, counts: 10_000, transition: 'closed → moving', movedBy: 'reopened' },
    },
    differs: { hubspot: { 6: { category: 'best_case' } }, salesforce: { 6: { category: 'pipeline' } } },
  },
  {
    name: 'protected out of a stall',
    sentence: 'a protected deal satisfies no rule; a stall ends when no rule holds any more',
    deal: idle,
    acts: [booked(1, 8, { held: true })],
    nights: { 0: STALLED, 3: { ...MOVING, ...THEIRS, protection: 'meeting', doneTasks: 1 } },
  },
  {
    name: 'dead on the first night',
    sentence: 'Deals already dead on the first night get a flag and the age-block list, not a task',
    deal: { createdAt: at(-100, '08:00') },
    nights: { 0: { ...STALLED, openTasks: 0 }, 17: { flag: true, openTasks: 0, doneTasks: 0 } },
  },
  {
    name: 'tasks off',
    sentence: '`tasks.enabled: false` allows a silent pilot',
    settings: { tasks: { enabled: false } },
    deal: idle,
    nights: { 0: { ...STALLED, openTasks: 0 }, 6: { flag: true, openTasks: 0, doneTasks: 0 } },
  },
  {
    name: 'wrong flag',
    sentence: 'A person clears the flag: forecast given back, silent for 10 working days',
    deal: idle,
    acts: [set(1, 'flag', false)],
    nights: {
      0: STALLED,
      3: { flag: false, crmState: 'moving', reason: null, ...THEIRS, openTasks: 0, transition: 'stalled → moving' },
      6: { ...MOVING, protection: 'wrong_flag', until: day(13), wrote: [] },
      11: { ...MOVING, protection: 'wrong_flag', wrote: [] },
      17: { ...STALLED, since: day(17), openTasks: 1, doneTasks: 1 },
    },
  },
]

const forecast: readonly Row[] = [
  {
    name: 'stage unchanged',
    sentence: 'Giving back: stage unchanged → the saved value',
    deal: { ...idle, category: 'commit' },
    acts: [reply(1)],
    nights: { 0: STALLED, 3: { ...MOVING, category: 'commit', before: null } },
  },
  {
    name: 'blank',
    sentence: 'blank included',
    deal: { ...idle, category: null },
    acts: [reply(1)],
    nights: { 0: STALLED, 3: { ...MOVING, before: null } },
    // Salesforce has no blank category: its stage's mapping stands from the first day.
    differs: {
      hubspot: { 0: { before: '(blank)' }, 3: { category: null } },
      salesforce: { 0: { before: 'Pipeline' }, 3: { category: 'pipeline' } },
    },
  },
  {
    name: 'stage changed',
    sentence: "stage changed → the new stage's own mapping where the CRM has one, else the saved value",
    deal: idle,
    acts: [stage(1, 'negotiation')],
    nights: { 0: STALLED, 3: { ...MOVING, counts: 10_000, before: null } },
    differs: { hubspot: { 3: { category: 'best_case' } }, salesforce: { 3: { category: 'commit' } } },
  },
  {
    name: 'stage changed while stalled, given back later',
    sentence: "stage changed → the new stage's own mapping where the CRM has one",
    policy: patient,
    deal: late,
    acts: [stage(1, 'negotiation'), set(4, 'closeDate', '2027-01-15')],
    nights: {
      0: { ...STALLED, reason: 'close_date_passed' },
      3: { ...STALLED, reason: 'close_date_passed' },
      6: { ...MOVING, counts: 10_000, before: null },
    },
    differs: { hubspot: { 6: { category: 'best_case' } }, salesforce: { 6: { category: 'commit' } } },
  },
  {
    name: 'new stage maps to omitted',
    sentence: 'new stage itself maps to omitted → left',
    deal: idle,
    acts: [stage(1, 'nurture')],
    nights: { 0: STALLED, 3: { ...MOVING, counts: 10_000, before: null } },
    differs: { hubspot: { 3: { category: 'best_case' } }, salesforce: { 3: { category: 'omitted' } } },
  },
  {
    name: 'changed by a person before it is given back',
    sentence: 'only if the field still holds what unstall wrote',
    deal: idle,
    acts: [set(1, 'category', 'commit'), reply(1, '11:00')],
    nights: { 0: STALLED, 3: { ...MOVING, category: 'commit', before: null } },
  },
  {
    name: 'put back by the CRM',
    sentence:
      'put back by the CRM (stage change, automatic mapping) while the deal is still stalled → written again next night',
    policy: patient,
    deal: late,
    acts: [stage(1, 'demo'), stage(4, 'new')],
    nights: { 0: STALLED, 3: STALLED, 6: STALLED, 11: { ...STALLED, wrote: [] } },
    differs: { salesforce: { 3: { wrote: ['forecast'] }, 6: { wrote: ['flag', 'forecast'] } } },
  },
  {
    name: 'put back by a person',
    sentence: 'Put back by a person without a stage change → theirs for the rest of this stall',
    policy: { idleDays: { default: 3 } },
    deal: idle,
    acts: [set(1, 'category', 'best_case'), reply(4)],
    nights: {
      0: STALLED,
      3: { ...STALLED, category: 'best_case', wrote: [] },
      6: { ...MOVING, ...THEIRS },
      11: { ...STALLED, since: day(11) },
    },
  },
  {
    name: 'changed by a person to another category',
    sentence: 'theirs for the rest of this stall',
    deal: idle,
    acts: [set(1, 'category', 'commit'), reply(4)],
    nights: {
      0: STALLED,
      3: { ...STALLED, category: 'commit', wrote: [] },
      6: { ...MOVING, category: 'commit', before: null },
    },
  },
  {
    name: 'put back by a person, stage changed afterwards',
    sentence: 'theirs for the rest of this stall',
    policy: patient,
    deal: late,
    acts: [set(1, 'category', 'commit'), stage(4, 'demo')],
    nights: {
      0: STALLED,
      3: { ...STALLED, category: 'commit', wrote: [] },
      6: { flag: true, category: 'commit', wrote: [] },
      11: { flag: true, category: 'commit', wrote: [] },
    },
    // The stage brings its own category in Salesforce.
    differs: { salesforce: { 6: { category: 'best_case' }, 11: { category: 'best_case' } } },
  },
  {
    name: 'stage changed, put back by a person afterwards',
    sentence: 'put back by a person without a stage change → theirs for the rest of this stall',
    policy: patient,
    deal: late,
    acts: [stage(1, 'demo'), set(4, 'category', 'commit')],
    nights: { 0: STALLED, 3: STALLED, 6: { ...STALLED, category: 'commit', wrote: [] }, 11: { category: 'commit' } },
  },
  {
    name: 'omitted by a person before',
    sentence: 'borrowed and given back: what was not taken is not given',
    deal: idle,
    acts: [set(-1, 'category', 'omitted'), reply(1)],
    nights: { 0: { ...STALLED, before: null }, 3: { ...MOVING, category: 'omitted', before: null, counts: 10_000 } },
  },
  {
    name: 'forecast: amount',
    sentence: "`forecast: amount` leaves the CRM's own field alone and relies on the amount that counts",
    settings: { forecast: 'amount' },
    deal: idle,
    acts: [reply(1)],
    nights: { 0: { ...STALLED, category: 'best_case', before: null, counts: 0 }, 3: { ...MOVING, ...THEIRS } },
  },
  {
    name: 'forecast: none',
    sentence: '`forecast: none` only flags',
    settings: { forecast: 'none' },
    deal: idle,
    acts: [reply(1)],
    nights: {
      0: { flag: true, category: 'best_case', before: null, wrote: ['flag', 'task'] },
      3: { ...MOVING, ...THEIRS },
    },
  },
  {
    name: 'from a stall to parked to moving',
    sentence: 'borrowed once, given back once',
    deal: idle,
    acts: [...park(1, 5), reply(4)],
    nights: { 0: STALLED, 3: PARKED, 6: { ...MOVING, ...THEIRS } },
  },
]

const TABLES = { states, forecast }
const rows: readonly Row[] = Object.values(TABLES).flat()

let all: Played
beforeAll(async () => {
  all = await play(rows, NIGHTS)
})

for (const system of SYSTEMS)
  describe(`states and forecast in ${system}`, () => {
    for (const [table, some] of Object.entries(TABLES))
      test.each(some)(`${table}: $name: “$sentence”`, (row) => holds(all, system, row))

    test('each transition is on record with its evidence', () => {
      const { transitions, verdict } = all.seen(system, 'stalled', 0)
      expect(transitions).toMatchObject([
        {
          from: 'moving',
          to: 'stalled',
          at: at(0, '02:00'),
          rule: 'no_movement',
          evidence: { lastMovement: verdict.lastMovement },
        },
      ])
    })

    test('the task says what happened last, which limit was passed, what clears the flag, that both answers are good', () => {
      const [task] = all.seen(system, 'stalled', 0).held.tasks
      for (const words of [
        'What happened last: deal created, 6 April 2026.',
        'the limit in stage new is 15 working days',
        'What clears the flag: a reply from the buyer',
        'Both are good answers',
        'What is holding it up?',
        'A draft you can send',
      ])
        expect(task?.body).toContain(words)
    })

    test('why it stalled is the rep’s to say: read, and no movement', () => {
      const { known, verdict } = all.seen(system, 'cause', 3)
      expect([known.deal.own.cause, verdict.state]).toEqual(['budget', 'stalled'])
    })

    test('flag and explanation tell when it last moved and why, without counts that change by themselves', () => {
      const [first, last] = [0, 17].map((night) => all.seen(system, 'stalled', night).held)
      expect(first).toMatchObject({
        lastMovement: at(-40, '08:00'),
        explanation: 'No movement since 6 April 2026 (deal created); the limit in stage new is 15 working days.',
      })
      expect(last).toEqual(first)
    })
  })

test('both CRMs give the same flag, rule and last movement for the same rows', () => same(all, rows, NIGHTS))

test('every planned write went through, and a fresh look agreed with what was judged', () => {
  expect(all.trouble).toEqual([])
})
