// Product.md, "When a deal is stalled": every rule with what fires and what ends it, the order of precedence, decision
// date, no, pushes, what is never flagged, warnings, protections and the clock, on both CRMs.
import { beforeAll, describe, expect, test } from 'vitest'
import { holds, type Row, same } from './expect.ts'
import {
  type Act,
  at,
  booked,
  day,
  deleted,
  later,
  meeting,
  type Played,
  play,
  reply,
  SYSTEMS,
  set,
  stage,
} from './harness.ts'

const NIGHTS = [0, 1, 3, 6, 11, 12, 17]
const WHO_MET = /does not tell who took part in meetings/
/** No `no_movement`, so that another rule stands alone. */
const patient = { idleDays: { default: 200, decisionStages: 200 } }
const FLAG = { state: 'stalled', flag: true } as const
const FREE = { state: 'moving', rule: null, flag: false } as const
const proposed = (on: number) => stage(on, 'proposal')

/** Each end of a rule: what is done on day 1 to a deal flagged on the first night, and what the next night sees. */
const ends = (
  rule: Row['nights'][number]['rule'],
  base: Omit<Row, 'name' | 'nights' | 'sentence'>,
  list: readonly End[],
): Row[] =>
  list.map(([how, acts, seen]) => ({
    ...base,
    name: `${rule} and then ${how}`,
    sentence: `${rule} ends with ${how}`,
    acts: [...(base.acts ?? []), ...acts],
    nights: { 0: { ...FLAG, rule: rule ?? null, reason: rule ?? null }, 3: seen },
  }))
type End = readonly [how: string, acts: readonly Act[], seen: Row['nights'][number]]
const YES: End = ['yes', [set(1, 'decision', 'yes')], { ...FREE, protection: 'answered_yes' }]
const NO: End = ['no', [set(1, 'decision', 'no')], { state: 'answered_no', flag: false, crmState: 'answered_no' }]
const FORWARD: End = ['stage forward', [stage(1, 'negotiation')], FREE]

const decision: readonly Row[] = [
  {
    name: 'derived date passed',
    sentence: 'a proposal was presented, the decision date has passed, no answer recorded',
    policy: patient,
    acts: [proposed(-10)],
    nights: {
      0: { ...FREE, due: day(0), derived: true },
      1: { ...FLAG, rule: 'decision_overdue', due: day(0), derived: true, decisionDue: null, openTasks: 1 },
    },
  },
  {
    name: 'date of the rep passed',
    sentence: 'Decision date: the date the rep agreed with the buyer',
    policy: patient,
    acts: [proposed(-10), set(-1, 'decisionDue', day(2))],
    nights: {
      1: { ...FREE, due: day(2), derived: false },
      3: { ...FLAG, rule: 'decision_overdue', due: day(2), derived: false, decisionDue: day(2) },
    },
  },
  {
    name: 'no proposal, no decision',
    sentence: 'a proposal was presented',
    policy: patient,
    acts: [set(-1, 'decisionDue', day(-2))],
    nights: { 0: FREE, 6: FREE },
  },
  {
    name: 'no decision stages in the policy',
    sentence: 'empty: rule off',
    policy: { ...patient, decision: { stages: [] } },
    acts: [proposed(-20)],
    nights: { 0: { ...FREE, due: null } },
  },
  {
    name: 'date survives later open stages',
    sentence: 'It survives later open stages',
    policy: patient,
    acts: [proposed(-11), stage(-9, 'negotiation')],
    nights: { 0: { ...FLAG, rule: 'decision_overdue', due: day(-1), derived: true } },
  },
  {
    name: 'date lapses on a move back',
    sentence: 'and lapses on a move back before the decision stage',
    policy: patient,
    acts: [proposed(-11), stage(1, 'demo')],
    nights: { 0: { ...FLAG, rule: 'decision_overdue' }, 3: { ...FREE, due: null } },
  },
  {
    name: 'first entry into the decision stage',
    sentence: 'the day of first entry into a decision stage plus N working days',
    policy: patient,
    acts: [proposed(-15), stage(-8, 'negotiation'), stage(-7, 'proposal')],
    nights: { 0: { ...FLAG, rule: 'decision_overdue', due: day(-5) } },
  },
  ...ends('decision_overdue', { policy: patient, acts: [proposed(-11)] }, [
    YES,
    NO,
    FORWARD,
    ['one new agreed date', [set(1, 'decisionDue', day(5))], { ...FREE, due: day(5), derived: false }],
    ['not a reply', [reply(1)], { ...FLAG, rule: 'decision_overdue', openTasks: 1 }],
    ['not a meeting', [meeting(1)], { ...FLAG, rule: 'decision_overdue' }],
  ]),
  {
    name: 'the new date passes, too',
    sentence: 'the decision date has passed',
    policy: patient,
    acts: [proposed(-11), set(1, 'decisionDue', day(5))],
    nights: {
      3: { ...FREE, openTasks: 0, doneTasks: 1 },
      6: { ...FLAG, rule: 'decision_overdue', due: day(5), openTasks: 1, doneTasks: 1 },
    },
  },
  {
    name: 'maybe, date passed',
    sentence: 'the answer is maybe and the decision date has passed',
    policy: patient,
    acts: [proposed(-9), set(-1, 'decision', 'maybe')],
    nights: {
      0: { ...FREE, answer: 'maybe', due: day(1) },
      3: { ...FLAG, rule: 'answered_maybe', holds: ['answered_maybe'] },
    },
  },
  {
    name: 'maybe for the second time',
    sentence: 'or maybe for the second time',
    policy: patient,
    acts: [
      proposed(-5),
      set(-1, 'decisionDue', day(30)),
      set(-1, 'decision', 'maybe'),
      set(1, 'decision', null),
      set(4, 'decision', 'maybe'),
    ],
    nights: { 0: FREE, 3: FREE, 6: { ...FLAG, rule: 'answered_maybe', due: day(30) } },
  },
  ...ends('answered_maybe', { policy: patient, acts: [proposed(-15), set(-1, 'decision', 'maybe')] }, [
    YES,
    NO,
    FORWARD,
    ['one new agreed date', [set(1, 'decisionDue', day(9))], { ...FREE, due: day(9) }],
    ['not a reply', [reply(1)], { ...FLAG, rule: 'answered_maybe' }],
  ]),
  {
    name: 'an answer belongs to one date',
    sentence: 'when a person sets a new date, unstall empties the answer',
    policy: patient,
    acts: [proposed(-15), set(-1, 'decision', 'maybe'), set(1, 'decisionDue', day(8))],
    nights: {
      0: { ...FLAG, rule: 'answered_maybe', decision: 'maybe' },
      3: {
        ...FREE,
        answer: null,
        decision: null,
        decisionDue: day(8),
        wrote: ['flag', 'forecast', 'answer', 'task-done'],
      },
      6: { ...FREE, decision: null, wrote: [] },
      11: { ...FLAG, rule: 'decision_overdue', due: day(8) },
    },
  },
  {
    name: 'the answer is emptied only while it is the earlier one',
    sentence: "only while it is still the earlier date's",
    policy: patient,
    acts: [proposed(-5), set(-1, 'decision', 'maybe'), set(1, 'decisionDue', day(8)), set(2, 'decision', 'yes')],
    nights: { 3: { ...FREE, answer: 'yes', decision: 'yes', protection: 'answered_yes' } },
  },
  {
    name: 'a second new date after a maybe',
    sentence: 'one new date after a maybe',
    policy: patient,
    acts: [
      proposed(-15),
      set(-1, 'decision', 'maybe'),
      set(1, 'decisionDue', day(8)),
      set(4, 'decision', 'maybe'),
      set(7, 'decisionDue', day(30)),
    ],
    nights: {
      3: FREE,
      6: { ...FLAG, rule: 'answered_maybe' },
      11: { ...FLAG, rule: 'answered_maybe', decision: 'maybe', due: day(8), decisionDue: day(30) },
    },
  },
  {
    name: 'a new date too far out',
    sentence: 'at most 15 working days out',
    policy: patient,
    acts: [proposed(-15), set(-1, 'decision', 'maybe'), set(1, 'decisionDue', day(60))],
    nights: {
      3: { ...FREE, due: day(18), capped: true, decisionDue: day(60) },
      17: { ...FREE, due: day(18) },
    },
  },
  {
    name: 'yes, ten working days later still open',
    sentence: 'answered yes, 10 working days later neither won nor a stage forward',
    policy: patient,
    acts: [proposed(-5), set(-1, 'decision', 'yes')],
    nights: {
      0: { ...FREE, protection: 'answered_yes', until: day(10) },
      6: { ...FREE, protection: 'answered_yes' },
      11: { ...FLAG, rule: 'yes_not_closed' },
    },
  },
  {
    name: 'yes, ten working days later to the day',
    sentence: '10 working days later',
    policy: patient,
    acts: [proposed(-5), set(0, 'decision', 'yes')],
    nights: { 11: { ...FREE, protection: 'answered_yes', until: day(11) }, 12: { ...FLAG, rule: 'yes_not_closed' } },
  },
  ...(
    [
      ['won', [stage(11, 'won')], { state: 'closed', flag: false }],
      ['stage forward', [stage(11, 'negotiation')], FREE],
      ['no', [set(11, 'decision', 'no')], { state: 'answered_no', flag: false }],
      ['not a reply', [reply(11)], { ...FLAG, rule: 'yes_not_closed' }],
    ] as const
  ).map(
    ([how, acts, seen]): Row => ({
      name: `yes_not_closed and then ${how}`,
      sentence: `yes_not_closed ends with ${how}`,
      policy: patient,
      acts: [proposed(-5), set(-1, 'decision', 'yes'), ...acts],
      nights: { 11: { ...FLAG, rule: 'yes_not_closed' }, 12: seen },
    }),
  ),
]

const dates: readonly Row[] = [
  {
    name: 'close date past by more than the grace days',
    sentence: 'the close date is past by more than the grace days',
    policy: patient,
    deal: { closeDate: day(-5) },
    nights: { 0: FREE, 1: { ...FLAG, rule: 'close_date_passed' } },
  },
  ...ends('close_date_passed', { policy: patient, deal: { closeDate: day(-6) } }, [
    ['a close date later', [set(1, 'closeDate', '2027-01-15')], FREE],
    ['a close date today', [set(1, 'closeDate', day(1))], FREE],
    ['not a close date that had passed already', [set(1, 'closeDate', day(0))], { ...FLAG, rule: 'close_date_passed' }],
    ['not a reply', [reply(1)], { ...FLAG, rule: 'close_date_passed' }],
    ['not a stage forward', [stage(1, 'demo')], { ...FLAG, rule: 'close_date_passed' }],
  ]),
  {
    name: 'pushed three times',
    sentence: 'pushed N times',
    policy: patient,
    acts: [set(-9, 'closeDate', '2027-06-25'), set(-7, 'closeDate', '2027-07-09'), set(1, 'closeDate', '2027-07-23')],
    nights: { 1: { ...FREE, warnings: ['one_push_left'], openTasks: 0 }, 3: { ...FLAG, rule: 'pushed_repeatedly' } },
  },
  ...ends('pushed_repeatedly', { policy: { ...patient, pushes: 1 }, acts: [set(-9, 'closeDate', '2027-06-25')] }, [
    FORWARD,
    YES,
    NO,
    ['not a reply', [reply(1)], { ...FLAG, rule: 'pushed_repeatedly' }],
    ['not the date of before', [set(1, 'closeDate', '2027-06-15')], { ...FLAG, rule: 'pushed_repeatedly' }],
  ]),
  ...(
    [
      ['by five working days', 'later by 5 working days or more', [set(-3, 'closeDate', '2027-06-22')], true],
      ['by four working days', 'later by 5 working days or more', [set(-3, 'closeDate', '2027-06-21')], false],
      [
        'several moves, net nothing',
        'several moves on one day are one (net)',
        [set(-3, 'closeDate', '2027-09-15'), set(-3, 'closeDate', '2027-06-15', { time: '11:00' })],
        false,
      ],
      ['180 days ago', 'counted within 180 days', [set(-128, 'closeDate', '2027-08-15')], true],
      ['181 days ago', 'counted within 180 days', [set(-129, 'closeDate', '2027-08-15')], false],
      [
        'before the last stage forward',
        'and since the last stage forward',
        [set(-9, 'closeDate', '2027-08-15'), stage(-8, 'demo')],
        false,
      ],
      [
        'before a reopening',
        'reopened by a person: starts new push and decision rounds',
        [set(-9, 'closeDate', '2027-08-15'), stage(-8, 'lost'), stage(-7, 'new')],
        false,
      ],
      ['earlier', 'the close date moved later', [set(-3, 'closeDate', '2027-03-15')], false],
    ] as const
  ).map(
    ([how, sentence, acts, counts]): Row => ({
      name: `push: ${how}`,
      sentence,
      policy: { ...patient, pushes: 1 },
      deal: { createdAt: at(-140, '08:00') },
      acts,
      nights: { 0: counts ? { ...FLAG, rule: 'pushed_repeatedly' } : FREE },
    }),
  ),
  {
    name: 'push: by a workflow',
    sentence: 'a field edited by a workflow: no',
    policy: { ...patient, pushes: 1 },
    acts: [set(-3, 'closeDate', '2027-08-15', { by: 'workflow' })],
    nights: { 0: FREE },
    lesser: {
      salesforce: {
        nights: { 0: { ...FLAG, rule: 'pushed_repeatedly' } },
        check: /does not say whether a person or a flow made a change/,
      },
    },
  },
  {
    name: 'push: across a month end',
    sentence: 'or across a month end',
    policy: { ...patient, pushes: 1 },
    deal: { closeDate: '2027-06-30' },
    acts: [set(-3, 'closeDate', '2027-07-01')],
    nights: { 0: { ...FLAG, rule: 'pushed_repeatedly' } },
  },
  {
    name: 'push: several moves on one day',
    sentence: 'several moves on one day are one (net)',
    policy: { ...patient, pushes: 2 },
    acts: [set(-3, 'closeDate', '2027-08-15'), set(-3, 'closeDate', '2027-09-15', { time: '11:00' })],
    nights: { 0: { ...FREE, warnings: ['one_push_left'] } },
  },
  {
    name: 'push: of the decision date',
    sentence: 'Moving it later counts as a push',
    policy: { ...patient, pushes: 1 },
    acts: [proposed(-3), set(-1, 'decisionDue', day(20)), set(1, 'decisionDue', day(40))],
    nights: { 1: FREE, 3: { ...FLAG, rule: 'pushed_repeatedly', due: day(40) } },
  },
  {
    name: 'no movement for longer than the limit',
    sentence: 'working days since the last movement exceed the limit of its pipeline and stage',
    deal: { createdAt: at(-15, '08:00') },
    nights: { 0: { ...FREE, idle: 15 }, 1: { ...FLAG, rule: 'no_movement', idle: 16, moved: day(-15) } },
  },
  {
    name: 'limit of a stage',
    sentence: 'the limit of its pipeline and stage',
    policy: { pipelines: { sales: { stages: { new: { idleDays: 12 } } } } },
    deal: { createdAt: at(-12, '08:00') },
    nights: { 0: FREE, 1: { ...FLAG, rule: 'no_movement' } },
  },
  {
    name: 'limit of a decision stage',
    sentence: 'decisionStages: 10',
    policy: { decision: { stages: ['proposal'], days: 100 } },
    acts: [proposed(-10)],
    nights: { 0: FREE, 1: { ...FLAG, rule: 'no_movement' } },
  },
  ...ends('no_movement', {}, [
    ['strong movement: a stage forward', [stage(1, 'qualified')], FREE],
    ['strong movement: a reply', [reply(1)], FREE],
    ['not weak movement', [set(1, 'amount', 20_000)], { ...FLAG, rule: 'no_movement' }],
    ['not an answer of maybe', [set(1, 'decision', 'maybe')], { ...FLAG, rule: 'no_movement' }],
  ]),
]

/** Created 16 working days before the first night: one too many, unless a day does not count. */
const sixteen = { createdAt: at(-16, '08:00') }
const clock: readonly Row[] = [
  {
    name: 'a holiday',
    sentence: "working days in the company's time zone and holiday calendar",
    settings: { holidays: [day(-3)] },
    deal: sixteen,
    nights: { 0: { ...FREE, idle: 15 }, 1: FLAG },
  },
  {
    name: 'a company shutdown',
    sentence: '`closures` (company shutdowns) stop the clock',
    settings: { closures: [`${day(-5)}/${day(-3)}`] },
    deal: sixteen,
    nights: { 0: { ...FREE, idle: 13 }, 6: FLAG },
  },
  {
    name: 'an absent owner',
    sentence: '`absences` (per owner) stop the clock too',
    settings: { absences: { 'ann@example.com': [`${day(-5)}/${day(-3)}`] } },
    deal: sixteen,
    nights: { 0: { ...FREE, idle: 13 }, 6: FLAG },
  },
  {
    name: "another owner's absence",
    sentence: '`absences` (per owner)',
    settings: { absences: { 'bob@example.com': [`${day(-5)}/${day(-3)}`] } },
    deal: sixteen,
    nights: { 0: { ...FLAG, idle: 16 } },
  },
  {
    name: 'no recorded movement',
    sentence: 'Without recorded movement the clock starts at creation',
    deal: { createdAt: at(-7, '08:00') },
    nights: { 0: { ...FREE, moved: day(-7), movedBy: 'created', idle: 7 } },
  },
  {
    name: 'imported',
    sentence:
      'for an imported deal at the first night it was seen, marked history unknown, with a warning only for one full limit',
    deal: { createdBy: 'import' },
    nights: {
      0: {
        ...FREE,
        moved: day(0),
        movedBy: 'first_seen',
        protection: 'history_unknown',
        warnings: ['history_unknown'],
      },
      12: { ...FREE, protection: 'history_unknown', openTasks: 0 },
      17: { ...FLAG, rule: 'no_movement' },
    },
    lesser: {
      salesforce: {
        nights: {
          0: { ...FLAG, rule: 'no_movement', moved: day(-40), movedBy: 'created', protection: null, warnings: [] },
          12: { ...FLAG, rule: 'no_movement', protection: null, openTasks: 1 },
        },
        check: /does not say whether a record was imported/,
      },
    },
  },
  {
    name: 'stage back',
    sentence: "the new stage's limit applies, no new flag for 5 days",
    acts: [stage(-20, 'demo'), stage(-1, 'new')],
    nights: { 0: { ...FREE, protection: 'moved_back', idle: 20 }, 3: FREE, 6: { ...FLAG, rule: 'no_movement' } },
  },
  {
    name: 'stage back into a patient stage',
    sentence: "the new stage's limit applies",
    policy: { pipelines: { sales: { stages: { new: { idleDays: 30 } } } } },
    acts: [stage(-20, 'demo'), stage(-1, 'new')],
    nights: { 6: FREE, 12: FLAG },
  },
]

const precedence: readonly Row[] = [
  {
    name: 'overdue first',
    sentence: 'In order of precedence; the first that holds is the reason shown',
    policy: { pushes: 1 },
    deal: { closeDate: day(-20) },
    acts: [proposed(-30), set(-29, 'closeDate', day(-10))],
    nights: {
      0: {
        ...FLAG,
        rule: 'decision_overdue',
        reason: 'decision_overdue',
        holds: ['decision_overdue', 'close_date_passed', 'pushed_repeatedly', 'no_movement'],
      },
    },
  },
  {
    name: 'maybe first',
    sentence: 'In order of precedence',
    deal: { closeDate: day(-10) },
    acts: [proposed(-30), set(-1, 'decision', 'maybe')],
    nights: { 0: { ...FLAG, reason: 'answered_maybe', holds: ['answered_maybe', 'close_date_passed', 'no_movement'] } },
  },
  {
    name: 'yes first',
    sentence: 'In order of precedence',
    deal: { closeDate: day(-10) },
    acts: [proposed(-30), set(-1, 'decision', 'yes')],
    nights: {
      11: { ...FLAG, reason: 'yes_not_closed', holds: ['yes_not_closed', 'close_date_passed', 'no_movement'] },
    },
  },
  {
    name: 'pushes before no movement',
    sentence: 'In order of precedence',
    policy: { pushes: 1 },
    acts: [set(-30, 'closeDate', '2027-09-15')],
    nights: { 0: { ...FLAG, reason: 'pushed_repeatedly', holds: ['pushed_repeatedly', 'no_movement'] } },
  },
  {
    name: 'a reason that changes',
    sentence: 'A reason that changes is the same stall: the reason is written again, no second task',
    deal: { closeDate: day(-3) },
    acts: [set(4, 'closeDate', '2027-01-15')],
    nights: {
      0: { ...FLAG, reason: 'no_movement', since: day(0), openTasks: 1, wrote: ['flag', 'forecast', 'task'] },
      1: { ...FLAG, wrote: [] },
      3: { ...FLAG, reason: 'close_date_passed', since: day(0), openTasks: 1, wrote: ['flag'], transition: null },
      6: { ...FLAG, reason: 'no_movement', since: day(0), openTasks: 1, doneTasks: 0, wrote: ['flag'] },
    },
  },
  {
    name: 'a stall ends',
    sentence: 'A stall ends when no rule holds any more',
    deal: { closeDate: day(-10) },
    acts: [reply(1), set(4, 'closeDate', '2027-01-15')],
    nights: {
      0: { ...FLAG, holds: ['close_date_passed', 'no_movement'] },
      3: { ...FLAG, holds: ['close_date_passed'] },
      6: { ...FREE, holds: [], openTasks: 0, doneTasks: 1 },
    },
  },
  {
    name: 'a window that closes',
    sentence: 'or because its window, the policy or a protection changed',
    policy: { ...patient, pushes: 1 },
    deal: { createdAt: at(-140, '08:00') },
    acts: [set(-128, 'closeDate', '2027-08-15')],
    nights: { 0: { ...FLAG, rule: 'pushed_repeatedly' }, 1: FREE },
  },
]

/** A deal that is flagged unless something protects it. */
const protections: readonly Row[] = [
  {
    name: 'a meeting booked',
    sentence: 'a meeting with an outside attendee booked within the next 10 working days',
    acts: [booked(-1, 11, { held: true })],
    nights: { 0: FLAG, 1: { ...FREE, protection: 'meeting', until: day(11), holds: [] } },
  },
  {
    name: 'a meeting among colleagues',
    sentence: 'with an outside attendee',
    acts: [booked(-1, 9, { outside: false })],
    nights: { 0: FLAG },
    lesser: { hubspot: { nights: { 0: { ...FREE, protection: 'meeting' } }, check: WHO_MET } },
  },
  {
    name: 'a meeting cancelled',
    sentence: 'cancelled, protection ends',
    acts: [booked(-1, 9), booked(1, 9)],
    nights: { 0: { ...FREE, protection: 'meeting' }, 3: { ...FLAG, rule: 'no_movement' } },
  },
  {
    name: 'a meeting missed',
    sentence: 'or missed, protection ends',
    acts: [booked(-1, 2)],
    nights: { 0: { ...FREE, protection: 'meeting' }, 3: { ...FLAG, rule: 'no_movement' } },
    lesser: {
      salesforce: {
        nights: { 3: { ...FREE, rule: null, moved: day(2), movedBy: 'meeting' } },
        check: /does not say whether a meeting took place/,
      },
    },
  },
  {
    name: 'a meeting booked and held',
    sentence: 'meeting held with at least one outside attendee',
    acts: [booked(-1, 2, { held: true })],
    nights: {
      0: { ...FREE, protection: 'meeting', until: day(2) },
      3: { ...FREE, protection: null, moved: day(2), movedBy: 'meeting' },
      17: { ...FREE, idle: 15 },
    },
  },
  {
    name: 'two meetings booked',
    sentence: 'a meeting with an outside attendee booked within the next 10 working days',
    acts: [booked(-1, 1, { held: true }), booked(-1, 9, { held: true })],
    nights: {
      0: { ...FREE, protection: 'meeting', until: day(1) },
      3: { ...FREE, protection: 'meeting', until: day(9), moved: day(1) },
    },
  },
  {
    name: 'an answer of yes',
    sentence: 'an answer yes for 10 working days',
    acts: [set(-1, 'decision', 'yes')],
    nights: { 0: { ...FREE, protection: 'answered_yes', until: day(10), holds: [] }, 6: FREE, 11: FLAG },
  },
  {
    name: 'parked',
    sentence: 'parked: a reason and a resume date set by the rep',
    acts: [set(-1, 'parkedReason', 'budget_cycle'), set(-1, 'parkedUntil', day(8))],
    nights: {
      0: {
        state: 'parked',
        flag: false,
        crmState: 'parked',
        protection: 'parked',
        until: day(8),
        holds: [],
        openTasks: 0,
      },
      6: { state: 'parked' },
      11: { ...FLAG, rule: 'no_movement', transition: 'parked → stalled' },
    },
  },
  {
    name: 'a resume date without a reason',
    sentence: 'a reason and a resume date',
    acts: [set(-1, 'parkedUntil', day(8))],
    nights: { 0: FLAG },
  },
  {
    name: 'parked for too long',
    sentence: 'at most 90 calendar days: a date beyond a maximum is judged as the maximum',
    acts: [set(-1, 'parkedReason', 'seasonal'), set(-1, 'parkedUntil', '2027-01-15')],
    nights: {
      0: { state: 'parked', until: later(day(0), 90), capped: true, parkedUntil: '2027-01-15' },
      17: { state: 'parked', parkedUntil: '2027-01-15' },
    },
  },
  {
    name: 'parked for longer than the policy allows',
    sentence: 'a date beyond a maximum is judged as the maximum',
    policy: { parking: { maxDays: 7 } },
    acts: [set(-1, 'parkedReason', 'seasonal'), set(-1, 'parkedUntil', day(15))],
    nights: { 3: { state: 'parked', until: later(day(0), 7) }, 6: { ...FLAG, parkedUntil: day(15) } },
  },
  {
    name: 'parked again without movement',
    sentence: 'once per stall without movement in between',
    acts: [set(-1, 'parkedReason', 'seasonal'), set(-1, 'parkedUntil', day(2)), set(4, 'parkedUntil', day(20))],
    nights: { 1: { state: 'parked' }, 3: FLAG, 6: { ...FLAG, parkedUntil: day(20) } },
  },
  {
    name: 'parked again after movement',
    sentence: 'without movement in between',
    acts: [
      set(-1, 'parkedReason', 'seasonal'),
      set(-1, 'parkedUntil', day(2)),
      reply(3),
      set(4, 'parkedUntil', day(20)),
    ],
    nights: { 3: FLAG, 6: { state: 'parked', until: day(20) } },
  },
  {
    name: 'parked days do not count',
    sentence: 'After the resume date the deal is judged again, its parked days not counted',
    deal: { createdAt: at(-10, '08:00') },
    acts: [set(-1, 'parkedReason', 'seasonal'), set(-1, 'parkedUntil', day(5))],
    nights: { 3: { state: 'parked', idle: 10 }, 6: { ...FREE, idle: 11 }, 11: { ...FLAG, idle: 16 } },
  },
]

const no: readonly Row[] = [
  {
    name: 'answered no',
    sentence:
      'the task is completed with thanks; no new task; after 5 working days still open it is listed for the manager',
    acts: [set(0, 'decision', 'no')],
    nights: {
      0: { ...FLAG, openTasks: 1 },
      1: { state: 'answered_no', openTasks: 0, doneTasks: 1, list: [], transition: 'stalled → answered_no' },
      3: { state: 'answered_no', list: [] },
      6: { state: 'answered_no', list: ['no_still_open'], wrote: [], openTasks: 0 },
      17: { state: 'answered_no', list: ['no_still_open'], doneTasks: 1, openTasks: 0 },
    },
  },
]

const never: readonly Row[] = [
  {
    name: 'won',
    sentence: 'Never flagged: closed',
    acts: [stage(-30, 'won')],
    nights: { 0: { state: 'closed', flag: false, wrote: [] } },
  },
  {
    name: 'lost',
    sentence: 'Never flagged: closed',
    acts: [stage(-30, 'lost')],
    nights: { 0: { state: 'closed', flag: false, wrote: [] } },
  },
  {
    name: 'excluded pipeline',
    sentence: 'excluded (pipeline or Salesforce record type)',
    policy: { exclude: { pipelines: ['renewals'] } },
    deal: { pipeline: 'renewals', stage: 'r_new' },
    nights: { 0: { ...FREE, protection: 'excluded', holds: [] } },
  },
  {
    name: 'excluded stage',
    sentence: 'excluded (stage)',
    policy: { exclude: { stages: ['new'] } },
    nights: { 0: { ...FREE, protection: 'excluded' } },
  },
  {
    name: 'excluded type',
    sentence: 'excluded (deal type)',
    policy: { exclude: { types: ['Existing Business'] } },
    deal: { type: 'Existing Business' },
    nights: { 0: { ...FREE, protection: 'excluded' } },
  },
  {
    name: 'outside the scope',
    sentence: '`scope: { owners, teams }` allow a silent pilot',
    settings: { scope: { owners: ['bob@example.com'] } },
    nights: { 0: { ...FREE, protection: 'excluded' } },
  },
  {
    name: 'team in the scope',
    sentence: '`scope: { owners, teams }`',
    settings: { scope: { teams: ['North'] } },
    nights: { 0: FLAG },
  },
  {
    name: 'a young deal',
    sentence: 'deals younger than `newDeal`',
    deal: { createdAt: at(-4, '08:00'), closeDate: day(-20) },
    nights: { 0: { ...FREE, protection: 'new_deal', warnings: [] }, 1: { ...FLAG, rule: 'close_date_passed' } },
  },
  {
    name: 'a young deal with a date of the rep',
    sentence: 'from every rule but a decision date the rep set',
    deal: { createdAt: at(-3, '08:00'), stage: 'proposal', closeDate: day(-20) },
    acts: [set(-1, 'decisionDue', day(-1))],
    nights: { 0: { ...FLAG, holds: ['decision_overdue'] } },
  },
  {
    name: 'unreadable',
    sentence: 'deals whose data could not be read this night',
    deal: { createdAt: at(-14, '08:00') },
    acts: [set(2, 'closeDate', '1601-01-01'), set(4, 'closeDate', '2027-06-15')],
    nights: {
      3: { flag: false, openTasks: 0, wrote: [], held: ['stale_snapshot'] },
      6: { ...FLAG, rule: 'no_movement' },
    },
  },
  {
    name: 'deleted',
    sentence: 'moving → stalled → moving | closed | gone',
    acts: [deleted(1)],
    nights: { 0: FLAG, 3: { transition: 'stalled → gone', wrote: [] }, 6: { transition: null, wrote: [] } },
  },
]

const warnings: readonly Row[] = [
  {
    name: 'five working days before the limit',
    sentence: 'Warnings: five working days before a limit; never a task',
    deal: { createdAt: at(-9, '08:00') },
    nights: { 0: { ...FREE, warnings: [] }, 1: { ...FREE, warnings: ['limit_near'], openTasks: 0, wrote: [] } },
  },
  {
    name: 'no date agreed',
    sentence: 'proposal presented three working days ago and no date agreed',
    policy: patient,
    acts: [proposed(-2)],
    nights: { 0: { ...FREE, warnings: [] }, 1: { ...FREE, warnings: ['no_decision_date'], openTasks: 0, wrote: [] } },
  },
  {
    name: 'a date agreed',
    sentence: 'and no date agreed',
    policy: patient,
    acts: [proposed(-2), set(-1, 'decisionDue', day(9))],
    nights: { 1: { ...FREE, warnings: [] } },
  },
  {
    name: 'one push before the rule',
    sentence: 'one push before the rule',
    policy: { ...patient, pushes: 2 },
    acts: [set(-3, 'closeDate', '2027-08-15')],
    nights: { 0: { ...FREE, warnings: ['one_push_left'], openTasks: 0, wrote: [] } },
  },
]

const TABLES = { decision, dates, precedence, clock, protections, no, never, warnings }
const rows: readonly Row[] = Object.values(TABLES).flat()

let all: Played
beforeAll(async () => {
  all = await play(rows, NIGHTS)
})

for (const system of SYSTEMS)
  describe(`when a deal is stalled in ${system}`, () => {
    for (const [table, some] of Object.entries(TABLES))
      test.each(some)(`${table}: $name: “$sentence”`, (row) => holds(all, system, row))
  })

test('both CRMs give the same flag, rule and last movement for the same rows', () => same(all, rows, NIGHTS))

test('every planned write went through, and a fresh look agreed with what was judged', () => {
  expect(all.trouble).toEqual([])
})
