// The rules, their exits, protections, parking, decision dates and warnings. Each row quotes the sentence it holds.
// 2026-01-05 is a Monday; the calendar has no holidays unless a test says so.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toDate, toDay } from '../../src/core/calendar.ts'
import type { Activity, BookedMeeting, Change, Known, Rule } from '../../src/core/deal.ts'
import type { Memory, Protection, Verdict, Warning } from '../../src/core/judge.ts'
import { observe } from '../../src/core/movement.ts'
import { activity, change, deal, known, observed, on, reference, settings, verdict } from './build.ts'

type More = Parameters<typeof deal>[0]
interface Row {
  readonly says: string
  readonly deal?: More
  readonly changes?: readonly Change[]
  readonly activities?: readonly Activity[]
  readonly now: string
  readonly settings?: Record<string, unknown>
  readonly policy?: Record<string, unknown>
  readonly memory?: Partial<Memory>
  readonly firstSeen?: string
  readonly state?: Verdict['state']
  readonly rule?: Rule
  readonly protection?: Protection['kind']
  readonly warns?: Warning['kind']
}

const judged = (row: Row): Verdict => {
  const seen = on(row.firstSeen ?? '2026-01-06', '02:00')
  const one = known(row.deal ?? {}, row.changes, row.activities, seen)
  const more = { ...(row.memory && { memory: row.memory }) }
  return verdict(one, on(row.now, '02:00'), { settings: settings(row.settings, row.policy), ...more }).verdict
}

const night = (field: Change['field'], at: string, from: string | null, to: string | null) =>
  change(field, on(at, '02:00'), from, to, observed)
const stage = (at: string, from: string, to: string, more: Partial<Change> = {}) =>
  change('stage', on(at), from, to, more)
const push = (at: string, from: string, to: string) => change('closeDate', on(at), from, to)
/** In the proposal stage since Monday 2026-01-19; derived decision date 2026-02-02. */
const proposed = stage('2026-01-19', 'demo', 'proposal')
const inProposal = { stageId: 'proposal' } as const
/** A date the rep set on the first night after the proposal. */
const due = (date: string, at = '2026-01-20') => night('decisionDue', at, null, date)
const PUSHED = [
  push('2026-01-06', '2026-06-30', '2026-07-31'),
  push('2026-01-07', '2026-07-31', '2026-08-31'),
  push('2026-01-08', '2026-08-31', '2026-09-30'),
]
const far = { closeDate: '2026-09-30' } as const

const NO_MOVEMENT: readonly Row[] = [
  {
    says: '"working days since the last movement exceed the limit": 15 of 15 do not',
    now: '2026-01-26',
    warns: 'limit_near',
  },
  { says: '"exceed the limit": 16 do', now: '2026-01-27', rule: 'no_movement' },
  {
    says: '"of its pipeline and stage"',
    now: '2026-01-27',
    policy: { pipelines: { sales: { stages: { new: { idleDays: 16 } } } } },
    warns: 'limit_near',
  },
  {
    says: 'idleDays.decisionStages: 10 in the decision stage',
    deal: { stageId: 'proposal', own: { decisionDue: '2026-03-31' } },
    changes: [proposed, due('2026-03-31')],
    now: '2026-02-03',
    rule: 'no_movement',
  },
  {
    says: '"Ends with strong movement"',
    activities: [activity('reply', on('2026-02-10'))],
    now: '2026-02-11',
    memory: { stalledSince: on('2026-01-27') },
    state: 'moving',
  },
  {
    says: 'weak movement does not end it',
    changes: [change('amount', on('2026-02-10'), '100', '200')],
    now: '2026-02-11',
    memory: { stalledSince: on('2026-01-27') },
    rule: 'no_movement',
  },
  {
    says: 'weak movement "restarts the clock of a deal that is still moving"',
    changes: [change('amount', on('2026-01-23'), '100', '200')],
    now: '2026-02-11',
    state: 'moving',
  },
  { says: '"holiday calendar"', settings: { holidays: ['2026-01-06'] }, now: '2026-01-27', state: 'moving' },
  {
    says: '"closures (company shutdowns) … stop the clock too"',
    settings: { closures: ['2026-01-12/2026-01-16'] },
    now: '2026-02-02',
    state: 'moving',
  },
  {
    says: '"absences (per owner) stop the clock too"',
    settings: { absences: { 'ann@example.com': ['2026-01-12/2026-01-16'] } },
    now: '2026-02-02',
    state: 'moving',
  },
  {
    says: 'absences of somebody else do not',
    settings: { absences: { 'bob@example.com': ['2026-01-12/2026-01-16'] } },
    now: '2026-02-02',
    rule: 'no_movement',
  },
  {
    says: '"the new stage’s limit applies" after moving back',
    deal: { stageId: 'demo' },
    changes: [stage('2026-01-19', 'proposal', 'demo')],
    now: '2026-01-27',
    memory: { stalledSince: on('2026-01-26') },
    rule: 'no_movement',
  },
]

const CLOSE_DATE: readonly Row[] = [
  {
    says: '"past by more than the grace days": 5 are not',
    deal: { closeDate: '2026-01-12' },
    now: '2026-01-19',
    state: 'moving',
  },
  {
    says: '"past by more than the grace days": 6 are',
    deal: { closeDate: '2026-01-12' },
    now: '2026-01-20',
    rule: 'close_date_passed',
  },
  {
    says: '"Ends with a close date today or later"',
    deal: { closeDate: '2026-01-20' },
    now: '2026-01-20',
    memory: { stalledSince: on('2026-01-19'), rule: 'close_date_passed' },
    state: 'moving',
  },
  {
    says: '"Ends with a close date today or later": one that had passed when it was set does not do',
    deal: { closeDate: '2026-01-16' },
    changes: [push('2026-01-19', '2026-01-02', '2026-01-16')],
    now: '2026-01-20',
    memory: { stalledSince: on('2026-01-19'), rule: 'close_date_passed' },
    rule: 'close_date_passed',
  },
  {
    says: '"Ends with a close date today or later": the day it was set does',
    deal: { closeDate: '2026-01-19' },
    changes: [push('2026-01-19', '2026-01-02', '2026-01-19')],
    now: '2026-01-20',
    memory: { stalledSince: on('2026-01-16'), rule: 'close_date_passed' },
    state: 'moving',
  },
  { says: 'a deal without a close date', deal: { closeDate: null }, now: '2026-01-20', state: 'moving' },
  {
    says: 'graceDays.closeDate',
    deal: { closeDate: '2026-01-19' },
    policy: { graceDays: { closeDate: 0 } },
    now: '2026-01-20',
    rule: 'close_date_passed',
  },
]

const PUSHES: readonly Row[] = [
  { says: '"pushed N times"', deal: far, changes: PUSHED, now: '2026-01-15', rule: 'pushed_repeatedly' },
  {
    says: '"one push before the rule" is a warning',
    deal: far,
    changes: PUSHED.slice(1),
    now: '2026-01-15',
    warns: 'one_push_left',
  },
  {
    says: '"Ends with stage forward"',
    deal: { ...far, stageId: 'qualified' },
    changes: [...PUSHED, stage('2026-01-14', 'new', 'qualified')],
    now: '2026-01-15',
    state: 'moving',
  },
  {
    says: '"Ends with … yes"',
    deal: { ...far, own: { decision: 'yes' } },
    changes: [...PUSHED, night('decision', '2026-01-14', null, 'yes')],
    now: '2026-01-29',
    policy: { idleDays: { default: 90 } },
    rule: 'yes_not_closed',
  },
  {
    says: '"Ends with … or no"',
    deal: { ...far, own: { decision: 'no' } },
    changes: [...PUSHED, night('decision', '2026-01-14', null, 'no')],
    now: '2026-01-15',
    state: 'answered_no',
  },
]

const rep = (date: string, more: NonNullable<More>['own'] = {}): More => ({
  ...inProposal,
  own: { decisionDue: date, ...more },
})
const idle = { policy: { idleDays: { default: 90, decisionStages: 90 } } } as const
const DECISION: readonly Row[] = [
  {
    says: '"the decision date has passed, no answer recorded": not on the day itself',
    deal: rep('2026-02-10'),
    changes: [proposed, due('2026-02-10')],
    now: '2026-02-10',
    ...idle,
    state: 'moving',
  },
  {
    says: '"the decision date has passed, no answer recorded"',
    deal: rep('2026-02-10'),
    changes: [proposed, due('2026-02-10')],
    now: '2026-02-11',
    ...idle,
    rule: 'decision_overdue',
  },
  {
    says: '"a proposal was presented": not before the decision stage',
    deal: { own: { decisionDue: '2026-02-10' } },
    changes: [due('2026-02-10')],
    now: '2026-02-11',
    ...idle,
    state: 'moving',
  },
  {
    says: '"Without one, the day of first entry into a decision stage plus N working days"',
    deal: inProposal,
    changes: [proposed],
    now: '2026-02-02',
    ...idle,
    state: 'moving',
    warns: 'no_decision_date',
  },
  {
    says: '"plus N working days": a derived date passes, too',
    deal: inProposal,
    changes: [proposed],
    now: '2026-02-03',
    ...idle,
    rule: 'decision_overdue',
  },
  {
    says: 'decision.days',
    deal: inProposal,
    changes: [proposed],
    now: '2026-02-03',
    policy: { idleDays: { decisionStages: 90 }, decision: { stages: ['proposal'], days: 11 } },
    state: 'moving',
  },
  {
    says: '"day of first entry": coming back does not set a new one',
    deal: inProposal,
    changes: [proposed, stage('2026-01-21', 'proposal', 'negotiation'), stage('2026-01-30', 'negotiation', 'proposal')],
    now: '2026-02-10',
    ...idle,
    memory: { stalledSince: on('2026-02-03') },
    rule: 'decision_overdue',
  },
  {
    says: '"It survives later open stages"',
    deal: { stageId: 'negotiation' },
    changes: [proposed, stage('2026-01-26', 'proposal', 'negotiation')],
    now: '2026-02-03',
    ...idle,
    rule: 'decision_overdue',
  },
  {
    says: '"lapses on a move back before the decision stage"',
    deal: { stageId: 'demo', own: { decisionDue: '2026-02-10' } },
    changes: [proposed, due('2026-02-10'), stage('2026-01-26', 'proposal', 'demo')],
    now: '2026-02-20',
    ...idle,
    state: 'moving',
  },
  {
    says: '"lapses on a move back before the decision stage" of another pipeline, where the proposal was taken along',
    deal: { stageId: 'qualified' },
    changes: [
      stage('2026-01-19', 'r_new', 'r_offer'),
      change('pipeline', on('2026-01-23'), 'renewals', 'sales'),
      stage('2026-01-23', 'r_offer', 'proposal'),
      stage('2026-01-26', 'proposal', 'qualified'),
    ],
    now: '2026-02-20',
    policy: { ...idle.policy, decision: { stages: ['proposal', 'r_offer'] } },
    state: 'moving',
  },
  {
    says: 'a lapsed date stays lapsed on returning: a new one is derived',
    deal: rep('2026-01-22'),
    changes: [
      proposed,
      due('2026-01-22'),
      stage('2026-01-26', 'proposal', 'demo'),
      stage('2026-02-09', 'demo', 'proposal'),
    ],
    now: '2026-02-20',
    ...idle,
    state: 'moving',
  },
  {
    says: 'decision.stages empty: rule off',
    deal: rep('2026-02-10'),
    changes: [proposed, due('2026-02-10')],
    now: '2026-02-11',
    policy: { idleDays: { default: 90 }, decision: { stages: [] } },
    state: 'moving',
  },
  {
    says: '"Ends with … stage forward" after the date',
    deal: { stageId: 'negotiation', own: { decisionDue: '2026-02-10' } },
    changes: [proposed, due('2026-02-10'), stage('2026-02-12', 'proposal', 'negotiation')],
    now: '2026-02-13',
    ...idle,
    memory: { stalledSince: on('2026-02-11') },
    state: 'moving',
  },
  {
    says: '"Ends with … one new agreed date"',
    deal: rep('2026-03-31'),
    changes: [proposed, due('2026-02-10'), night('decisionDue', '2026-02-12', '2026-02-10', '2026-03-31')],
    now: '2026-02-13',
    ...idle,
    memory: { stalledSince: on('2026-02-11') },
    state: 'moving',
  },
  {
    says: '"Ends with yes"',
    deal: rep('2026-02-10', { decision: 'yes' }),
    changes: [proposed, due('2026-02-10'), night('decision', '2026-02-12', null, 'yes')],
    now: '2026-02-13',
    ...idle,
    memory: { stalledSince: on('2026-02-11') },
    state: 'moving',
    protection: 'answered_yes',
  },
  { says: 'a proposal at creation, too', deal: inProposal, now: '2026-01-20', ...idle, rule: 'decision_overdue' },
  {
    says: '"reopened by a person … starts new … decision rounds"',
    deal: rep('2026-02-10', { decision: 'no' }),
    changes: [
      proposed,
      due('2026-02-10'),
      night('decision', '2026-02-11', null, 'no'),
      stage('2026-02-12', 'proposal', 'lost'),
      stage('2026-03-02', 'lost', 'proposal'),
    ],
    now: '2026-03-03',
    ...idle,
    state: 'moving',
  },
]

const maybe = night('decision', '2026-02-11', null, 'maybe')
const ANSWERS: readonly Row[] = [
  {
    says: '"the answer is maybe and the decision date has passed"',
    deal: rep('2026-02-10', { decision: 'maybe' }),
    changes: [proposed, due('2026-02-10'), maybe],
    now: '2026-02-12',
    ...idle,
    rule: 'answered_maybe',
  },
  {
    says: 'maybe before the date has passed',
    deal: rep('2026-02-10', { decision: 'maybe' }),
    changes: [proposed, due('2026-02-10'), night('decision', '2026-02-03', null, 'maybe')],
    now: '2026-02-09',
    ...idle,
    state: 'moving',
  },
  {
    says: '"or maybe for the second time", with a date still ahead',
    deal: rep('2026-02-25', { decision: 'maybe' }),
    changes: [
      proposed,
      due('2026-02-10'),
      maybe,
      night('decisionDue', '2026-02-12', '2026-02-10', '2026-02-25'),
      night('decision', '2026-02-13', 'maybe', null),
      night('decision', '2026-02-17', null, 'maybe'),
    ],
    now: '2026-02-18',
    ...idle,
    rule: 'answered_maybe',
  },
  {
    says: '"one new date after a maybe": it ends the rule',
    deal: rep('2026-02-25', { decision: 'maybe' }),
    changes: [proposed, due('2026-02-10'), maybe, night('decisionDue', '2026-02-13', '2026-02-10', '2026-02-25')],
    now: '2026-02-13',
    ...idle,
    memory: { stalledSince: on('2026-02-12') },
    state: 'moving',
  },
  {
    says: '"one new date": a second one does not count',
    deal: rep('2026-03-20'),
    changes: [
      proposed,
      due('2026-02-10'),
      maybe,
      night('decisionDue', '2026-02-13', '2026-02-10', '2026-02-25'),
      night('decision', '2026-02-14', 'maybe', null),
      night('decisionDue', '2026-02-24', '2026-02-25', '2026-03-20'),
    ],
    now: '2026-02-26',
    ...idle,
    rule: 'decision_overdue',
  },
  {
    says: '"at most 15 working days out": judged as the maximum',
    deal: rep('2026-04-30'),
    changes: [
      proposed,
      due('2026-02-10'),
      maybe,
      night('decisionDue', '2026-02-13', '2026-02-10', '2026-04-30'),
      night('decision', '2026-02-14', 'maybe', null),
    ],
    now: '2026-03-09',
    ...idle,
    rule: 'decision_overdue',
  },
  {
    says: '"at most 15 working days out": and not before',
    deal: rep('2026-04-30'),
    changes: [
      proposed,
      due('2026-02-10'),
      maybe,
      night('decisionDue', '2026-02-13', '2026-02-10', '2026-04-30'),
      night('decision', '2026-02-14', 'maybe', null),
    ],
    now: '2026-03-06',
    ...idle,
    state: 'moving',
  },
  {
    says: '"answered_maybe … the same": ends with a stage forward',
    deal: { stageId: 'negotiation', own: { decisionDue: '2026-02-10', decision: 'maybe' } },
    changes: [proposed, due('2026-02-10'), maybe, stage('2026-02-12', 'proposal', 'negotiation')],
    now: '2026-02-13',
    ...idle,
    state: 'moving',
  },
  {
    says: '"an answer yes for 10 working days" protects',
    deal: { own: { decision: 'yes' } },
    changes: [night('decision', '2026-02-02', null, 'yes')],
    now: '2026-02-16',
    state: 'moving',
    protection: 'answered_yes',
  },
  {
    says: '"answered yes, 10 working days later neither won nor a stage forward"',
    deal: { own: { decision: 'yes' } },
    changes: [night('decision', '2026-02-02', null, 'yes')],
    now: '2026-02-17',
    rule: 'yes_not_closed',
  },
  {
    says: 'yes "Ends with … stage forward"',
    deal: { stageId: 'qualified', own: { decision: 'yes' } },
    changes: [night('decision', '2026-02-02', null, 'yes'), stage('2026-02-18', 'new', 'qualified')],
    now: '2026-02-19',
    state: 'moving',
  },
  {
    says: 'yes "Ends with … no"',
    deal: { own: { decision: 'no' } },
    changes: [night('decision', '2026-02-02', null, 'yes'), night('decision', '2026-02-18', 'yes', 'no')],
    now: '2026-02-19',
    state: 'answered_no',
  },
  {
    says: '"the deal stays out of the forecast until it is closed"',
    deal: { own: { decision: 'no' } },
    changes: [night('decision', '2026-02-02', null, 'no')],
    now: '2026-02-03',
    state: 'answered_no',
    protection: 'answered_no',
  },
  {
    says: '"after 5 working days still open it is listed for the manager"',
    deal: { own: { decision: 'no' } },
    changes: [night('decision', '2026-02-02', null, 'no')],
    now: '2026-02-09',
    state: 'answered_no',
    warns: 'no_still_open',
  },
  {
    says: 'no, then a new date set by a person: the answer was the earlier date’s',
    deal: rep('2026-03-31', { decision: 'no' }),
    changes: [
      proposed,
      due('2026-02-10'),
      night('decision', '2026-02-11', null, 'no'),
      night('decisionDue', '2026-02-13', '2026-02-10', '2026-03-31'),
    ],
    now: '2026-02-13',
    ...idle,
    state: 'moving',
  },
]

const meets = (at: string, more: Partial<BookedMeeting> = {}): BookedMeeting => ({
  id: 'm1',
  at: on(at),
  outside: true,
  series: null,
  ...more,
})
const parked = (until: string, reason: string | null = 'seasonal'): More => ({
  own: { parkedUntil: until, parkedReason: reason },
})
const parking = (at: string, until: string, from: string | null = null) => [
  ...(from === null ? [night('parkedReason', at, null, 'seasonal')] : []),
  night('parkedUntil', at, from, until),
]
const PROTECTED: readonly Row[] = [
  {
    says: '"a meeting with an outside attendee booked within the next 10 working days"',
    deal: { meeting: meets('2026-02-16') },
    now: '2026-02-02',
    protection: 'meeting',
  },
  {
    says: '"within the next 10 working days": 11 do not protect',
    deal: { meeting: meets('2026-02-17') },
    now: '2026-02-02',
    rule: 'no_movement',
  },
  {
    says: '"with an outside attendee": an internal one does not',
    deal: { meeting: meets('2026-02-10', { outside: false }) },
    now: '2026-02-02',
    rule: 'no_movement',
  },
  {
    says: 'the CRM cannot tell: it protects',
    deal: { meeting: meets('2026-02-10', { outside: null }) },
    now: '2026-02-02',
    protection: 'meeting',
  },
  {
    says: '"cancelled or missed, protection ends"',
    deal: { meeting: meets('2026-02-10') },
    now: '2026-02-11',
    rule: 'no_movement',
  },
  {
    says: '"a series protects once": its first meeting',
    deal: { meeting: meets('2026-02-10', { series: 's' }) },
    changes: [night('meeting', '2026-02-01', null, 's m1')],
    now: '2026-02-02',
    protection: 'meeting',
  },
  {
    says: '"a series protects once": not its next',
    deal: { meeting: meets('2026-02-10', { id: 'm2', series: 's' }) },
    changes: [night('meeting', '2026-01-26', null, 's m1')],
    now: '2026-02-02',
    rule: 'no_movement',
  },
  {
    says: 'a protection lifts an open flag, too',
    deal: { meeting: meets('2026-02-10') },
    now: '2026-02-02',
    memory: { stalledSince: on('2026-01-27') },
    protection: 'meeting',
  },
  {
    says: '"no new flag for 5 days" after a move back',
    deal: { stageId: 'new' },
    changes: [stage('2026-01-26', 'qualified', 'new')],
    now: '2026-02-02',
    protection: 'moved_back',
  },
  {
    says: '"for 5 days": not for 6',
    deal: { stageId: 'new' },
    changes: [stage('2026-01-26', 'qualified', 'new')],
    now: '2026-02-03',
    rule: 'no_movement',
  },
  {
    says: '"no new flag": an open one stays',
    deal: { stageId: 'new' },
    changes: [stage('2026-02-02', 'qualified', 'new')],
    now: '2026-02-03',
    memory: { stalledSince: on('2026-01-28') },
    rule: 'no_movement',
  },
  {
    says: '"wrong flag: … silent for 10 working days"',
    now: '2026-02-16',
    memory: { dismissedAt: on('2026-02-02', '02:00') },
    protection: 'wrong_flag',
  },
  {
    says: 'silent for 10 working days, not for 11',
    now: '2026-02-17',
    memory: { dismissedAt: on('2026-02-02', '02:00') },
    rule: 'no_movement',
  },
  {
    says: '"deals younger than newDeal"',
    deal: { closeDate: '2025-12-01' },
    now: '2026-01-09',
    protection: 'new_deal',
  },
  {
    says: '"younger than newDeal": at 5 working days it is not',
    deal: { closeDate: '2025-12-01' },
    now: '2026-01-12',
    rule: 'close_date_passed',
  },
  {
    says: '"from every rule but a decision date the rep set"',
    deal: rep('2026-01-07'),
    changes: [stage('2026-01-06', 'demo', 'proposal'), due('2026-01-07', '2026-01-06')],
    now: '2026-01-08',
    rule: 'decision_overdue',
  },
  {
    says: '"excluded (pipeline …"',
    now: '2026-02-02',
    policy: { exclude: { pipelines: ['sales'] } },
    protection: 'excluded',
  },
  {
    says: '"excluded ( … stage …"',
    now: '2026-02-02',
    policy: { exclude: { stages: ['new'] } },
    protection: 'excluded',
  },
  {
    says: '"excluded ( … deal type)"',
    deal: { type: 'renewal' },
    now: '2026-02-02',
    policy: { exclude: { types: ['renewal'] } },
    protection: 'excluded',
  },
  {
    says: '"scope: { owners, teams } allow a silent pilot"',
    now: '2026-02-02',
    settings: { scope: { owners: ['bob@example.com'] } },
    protection: 'excluded',
  },
  {
    says: 'scope by team',
    now: '2026-02-02',
    settings: { scope: { owners: ['bob@example.com'], teams: ['north'] } },
    rule: 'no_movement',
  },
  {
    says: 'scope by e-mail, in any case',
    now: '2026-02-02',
    settings: { scope: { owners: ['ANN@example.com'] } },
    rule: 'no_movement',
  },
  {
    says: '"for an imported … deal … a warning only for one full limit"',
    deal: { imported: true },
    firstSeen: '2026-02-02',
    now: '2026-02-23',
    protection: 'history_unknown',
    warns: 'history_unknown',
  },
  {
    says: '"one full limit": then it is judged',
    deal: { imported: true },
    firstSeen: '2026-02-02',
    now: '2026-02-24',
    rule: 'no_movement',
  },
  {
    says: 'history unknown: a close date is a fact',
    deal: { imported: true, closeDate: '2026-01-12' },
    firstSeen: '2026-02-02',
    now: '2026-02-03',
    rule: 'close_date_passed',
  },
  { says: '"Never flagged: closed"', deal: { outcome: 'won', stageId: 'won' }, now: '2026-06-01', state: 'closed' },

  {
    says: '"parked: a reason and a resume date set by the rep"',
    deal: parked('2026-03-02'),
    changes: parking('2026-01-20', '2026-03-02'),
    now: '2026-03-02',
    state: 'parked',
    protection: 'parked',
  },
  {
    says: '"a reason and …": a date alone does not park',
    deal: parked('2026-03-02', null),
    changes: [night('parkedUntil', '2026-01-20', null, '2026-03-02')],
    now: '2026-02-27',
    rule: 'no_movement',
  },
  {
    says: '"After the resume date the deal is judged again, its parked days not counted"',
    deal: parked('2026-03-02'),
    changes: parking('2026-01-20', '2026-03-02'),
    now: '2026-03-06',
    state: 'moving',
  },
  {
    says: 'parked days not counted: 11 before and 5 after make 16',
    deal: parked('2026-03-02'),
    changes: parking('2026-01-20', '2026-03-02'),
    now: '2026-03-09',
    rule: 'no_movement',
  },
  {
    says: '"at most 90 calendar days"',
    deal: parked('2027-01-01'),
    changes: parking('2026-01-20', '2027-01-01'),
    now: '2026-04-20',
    state: 'parked',
  },
  {
    says: '"at most 90 calendar days": judged as the maximum',
    deal: parked('2027-01-01'),
    changes: parking('2026-01-20', '2027-01-01'),
    now: '2026-05-15',
    rule: 'no_movement',
  },
  {
    says: '90 days from the first: extending while parked starts no new count',
    deal: parked('2026-05-31'),
    changes: [...parking('2026-01-20', '2026-03-02'), ...parking('2026-02-20', '2026-05-31', '2026-03-02')],
    now: '2026-05-15',
    rule: 'no_movement',
  },
  {
    says: '"once per stall without movement in between"',
    deal: parked('2026-04-30'),
    changes: [...parking('2026-01-20', '2026-03-02'), ...parking('2026-03-10', '2026-04-30', '2026-03-02')],
    now: '2026-03-11',
    rule: 'no_movement',
  },
  {
    says: 'with movement in between it may be parked again',
    deal: parked('2026-04-30'),
    changes: [...parking('2026-01-20', '2026-03-02'), ...parking('2026-03-10', '2026-04-30', '2026-03-02')],
    activities: [activity('reply', on('2026-03-05'))],
    now: '2026-04-20',
    state: 'parked',
  },
  {
    says: 'parking ends when the rep takes it back',
    deal: parked('2026-03-02', null),
    changes: [...parking('2026-01-20', '2026-03-02'), night('parkedReason', '2026-01-27', 'seasonal', null)],
    now: '2026-02-10',
    rule: 'no_movement',
  },
  {
    says: 'a no goes before parking',
    deal: { own: { parkedUntil: '2026-03-02', parkedReason: 'seasonal', decision: 'no' } },
    changes: [...parking('2026-01-20', '2026-03-02'), night('decision', '2026-01-21', null, 'no')],
    now: '2026-02-02',
    state: 'answered_no',
  },
]

const WARNED: readonly Row[] = [
  { says: '"five working days before a limit"', now: '2026-01-19', warns: 'limit_near' },
  {
    says: '"proposal presented three working days ago and no date agreed"',
    deal: inProposal,
    changes: [proposed],
    now: '2026-01-22',
    warns: 'no_decision_date',
  },
]
const QUIET: readonly Row[] = [
  { says: 'six working days before a limit', now: '2026-01-16' },
  { says: 'two working days after the proposal', deal: inProposal, changes: [proposed], now: '2026-01-21' },
  { says: 'a date is agreed', deal: rep('2026-02-10'), changes: [proposed, due('2026-02-10')], now: '2026-01-23' },
]

const expectRow = (row: Row) => {
  const result = judged(row)
  const state = row.state ?? (row.rule ? 'stalled' : 'moving')
  expect({ state: result.state, rule: result.rule }).toEqual({ state, rule: row.rule ?? null })
  if (row.protection) expect(result.protection?.kind).toBe(row.protection)
  if (row.warns) expect(result.warnings.map(({ kind }) => kind)).toContain(row.warns)
}

describe('rules and their exits', () => {
  test.each(NO_MOVEMENT)('no_movement: $says ($now)', expectRow)
  test.each(CLOSE_DATE)('close_date_passed: $says ($now)', expectRow)
  test.each(PUSHES)('pushed_repeatedly: $says ($now)', expectRow)
  test.each(DECISION)('decision date: $says ($now)', expectRow)
  test.each(ANSWERS)('answers: $says ($now)', expectRow)

  test('"In order of precedence; the first that holds is the reason shown"', () => {
    const all = judged({
      says: '',
      deal: { ...rep('2026-02-10'), closeDate: '2026-02-02' },
      changes: [
        proposed,
        due('2026-02-10'),
        ...['20', '21', '22'].map((day, i) => push(`2026-01-${day}`, `2026-0${i + 1}-01`, `2026-0${i + 2}-01`)),
      ],
      now: '2026-03-02',
    })
    expect(all.checks.filter(({ holds }) => holds).map(({ rule }) => rule)).toEqual([
      'decision_overdue',
      'close_date_passed',
      'pushed_repeatedly',
      'no_movement',
    ])
    expect(all.rule).toBe('decision_overdue')
  })

  test('a decision date survives a move to another pipeline, also where every pipeline lists all stages', () => {
    const [sales, renewals] = reference.pipelines
    const open = [sales, renewals].flatMap((one) => one?.stages.filter(({ outcome }) => outcome === 'open') ?? [])
    const stages = open.map((one, order) => ({ ...one, order }))
    const company = { ...reference, pipelines: reference.pipelines.map((one) => ({ ...one, stages })) }
    const moved = [
      change('pipeline', on('2026-01-26'), 'renewals', 'sales'),
      stage('2026-01-26', 'r_offer', 'proposal'),
    ]
    const one = known(inProposal, [stage('2026-01-19', 'demo', 'r_offer'), ...moved])
    const policy = { ...idle.policy, decision: { stages: ['proposal', 'r_offer'] } }
    const result = verdict(one, on('2026-02-03', '02:00'), { settings: settings({}, policy), reference: company })
    expect(result.verdict).toMatchObject({ rule: 'decision_overdue', decision: { due: '2026-02-02', derived: true } })
  })
})

describe('protections, parking, warnings', () => {
  test.each(PROTECTED)('$says ($now)', expectRow)
  test.each(WARNED)('warning: $says ($now)', expectRow)
  test.each(QUIET)('no warning: $says ($now)', (row) => expect(judged(row).warnings).toEqual([]))

  test('"the explanation says so": dates beyond a maximum are named as cut', () => {
    const cut = judged({
      says: '',
      deal: parked('2027-01-01'),
      changes: parking('2026-01-20', '2027-01-01'),
      now: '2026-02-02',
    })
    expect(cut.protection).toEqual({ kind: 'parked', until: '2026-04-20', capped: true, reason: 'seasonal' })
    const late = judged(ANSWERS.find(({ says }) => says.includes('judged as the maximum')) ?? { says: '', now: '' })
    expect(late.checks[0]).toMatchObject({ capped: true, date: '2026-03-06' })
    const twice = [...parking('2026-01-20', '2026-01-30'), ...parking('2026-02-02', '2026-02-20', '2026-01-30')]
    const again = judged({ says: '', deal: parked('2026-02-20'), changes: twice, now: '2026-02-03' })
    expect(again.warnings).toContainEqual({ kind: 'parked_again', until: '2026-02-20' })
  })

  test('a derived date "is named as such"', () => {
    const derived = judged({ says: '', deal: inProposal, changes: [proposed], now: '2026-01-22' })
    expect(derived.decision).toMatchObject({ due: '2026-02-02', derived: true })
    expect(derived.checks[0]).toMatchObject({ derived: true, date: '2026-02-02' })
  })

  test('an owner’s absences move a derived date, too', () => {
    const away = { absences: { 'ann@example.com': ['2026-01-26/2026-01-27'] } }
    const derived = judged({ says: '', deal: inProposal, changes: [proposed], now: '2026-01-22', settings: away })
    expect(derived.decision.due).toBe('2026-02-04')
  })

  test('"a new owner gets 5 working days": a task waits, the flag does not', () => {
    const changes = [night('owner', '2026-02-02', 'bob', 'ann')]
    expect(judged({ says: '', changes, now: '2026-02-09' })).toMatchObject({
      state: 'stalled',
      newOwnerUntil: '2026-02-09',
    })
    expect(judged({ says: '', changes, now: '2026-02-10' })).toMatchObject({ state: 'stalled', newOwnerUntil: null })
  })

  test('a stage nobody knows is judged by the default limit', () => {
    expect(judged({ says: '', deal: { stageId: '?', pipelineId: '?' }, now: '2026-01-27' }).checks[5]).toMatchObject({
      holds: true,
      limit: 15,
    })
  })
})

describe('"An answer belongs to one date"', () => {
  const base = [proposed, due('2026-02-10')]
  const answer = (more: readonly Change[], own: NonNullable<More>['own']) =>
    judged({
      says: '',
      deal: { ...inProposal, own: own ?? {} },
      changes: [...base, ...more],
      now: '2026-02-13',
      ...idle,
    }).decision

  test('"when a person sets a new date, unstall empties the answer"', () => {
    const later = [maybe, night('decisionDue', '2026-02-13', '2026-02-10', '2026-02-25')]
    const expected = { answerIsOfEarlierDate: true, answer: null, due: '2026-02-25' }
    expect(answer(later, { decisionDue: '2026-02-25', decision: 'maybe' })).toMatchObject(expected)
  })

  test('"only while it is still the earlier date’s": a new answer is the new date’s', () => {
    const later = [
      night('decision', '2026-02-11', null, 'no'),
      night('decisionDue', '2026-02-12', '2026-02-10', '2026-02-25'),
      night('decision', '2026-02-13', 'no', 'yes'),
    ]
    const expected = { answerIsOfEarlierDate: false, answer: 'yes' }
    expect(answer(later, { decisionDue: '2026-02-25', decision: 'yes' })).toMatchObject(expected)
  })

  test('date and answer given on the same day belong together', () => {
    const both = [
      night('decision', '2026-02-12', null, 'yes'),
      night('decisionDue', '2026-02-12', '2026-02-10', '2026-02-25'),
    ]
    const expected = { answerIsOfEarlierDate: false, answer: 'yes' }
    expect(answer(both, { decisionDue: '2026-02-25', decision: 'yes' })).toMatchObject(expected)
  })

  test('"when a person sets": a workflow’s date empties nothing', () => {
    const later = [
      maybe,
      change('decisionDue', on('2026-02-13'), '2026-02-10', '2026-02-25', { by: 'automation', source: 'WORKFLOWS' }),
    ]
    expect(answer(later, { decisionDue: '2026-02-25', decision: 'maybe' }).answerIsOfEarlierDate).toBe(false)
  })

  test('a date that does not count takes no answer with it', () => {
    const later = [
      maybe,
      night('decisionDue', '2026-02-12', '2026-02-10', '2026-02-12'),
      night('decision', '2026-02-12', 'maybe', null),
      night('decision', '2026-02-13', null, 'maybe'),
      change('decisionDue', on('2026-02-13'), '2026-02-12', '2026-03-31'),
    ]
    const one = { ...inProposal, own: { decisionDue: '2026-03-31', decision: 'maybe' } } as const
    const result = judged({ says: '', deal: one, changes: [...base, ...later], now: '2026-02-14', ...idle })
    expect(result.rule).toBe('answered_maybe')
    expect(result.decision.answerIsOfEarlierDate).toBe(false)
  })
})

describe('laws', () => {
  const DAY = 86_400_000
  const START = on('2026-01-06')
  const when = fc.integer({ min: 0, max: 60 }).map((n) => START + n * DAY)
  const date = fc.integer({ min: -20, max: 150 }).map((n) => toDate(toDay('2026-01-06') + n))
  const field = <F extends Change['field']>(name: F, to: fc.Arbitrary<string | null>) =>
    fc.tuple(when, to).map(([at, value]): Change => ({ field: name, at, to: value, by: 'person', source: 'CRM_UI' }))
  const changes = fc.array(
    fc.oneof(
      field('stage', fc.constantFrom('new', 'qualified', 'demo', 'proposal', 'negotiation', 'lost')),
      field('closeDate', date),
      field('decision', fc.constantFrom('yes', 'no', 'maybe', null)),
      field('decisionDue', date),
      field('parkedUntil', date),
      field('parkedReason', fc.constantFrom('seasonal', null)),
      field('amount', fc.constantFrom('100', '200')),
      field('owner', fc.constantFrom('ann', 'bob')),
    ),
    { maxLength: 12 },
  )
  const activities = fc.array(
    fc
      .tuple(when, fc.constantFrom('reply' as const, 'meeting' as const, 'note' as const))
      .map(([at, kind]) => activity(kind, at)),
    { maxLength: 3 },
  )
  const meetings = fc.option(
    fc
      .integer({ min: 0, max: 120 })
      .map((n): BookedMeeting => ({ id: 'm', at: START + n * DAY, outside: true, series: null })),
    { nil: null },
  )
  const deals = fc.record({ changes, activities, meeting: meetings, imported: fc.boolean() }).map((parts): Known => {
    const sorted = parts.changes.toSorted((a, b) => a.at - b.at)
    const last = <T extends string>(name: Change['field'], none: T | null) =>
      (sorted.findLast((one) => one.field === name)?.to ?? none) as T | null
    const stageId = last<string>('stage', 'new') ?? 'new'
    return known(
      {
        stageId,
        outcome: stageId === 'lost' ? 'lost' : 'open',
        closeDate: last<string>('closeDate', '2026-03-31'),
        ownerId: last<string>('owner', 'ann'),
        meeting: parts.meeting,
        imported: parts.imported,
        own: {
          decision: last<'yes' | 'no' | 'maybe'>('decision', null),
          decisionDue: last<string>('decisionDue', null),
          parkedUntil: last<string>('parkedUntil', null),
          parkedReason: last<string>('parkedReason', null),
        },
      },
      sorted,
      parts.activities,
    )
  })
  const memories = fc.record({
    stalledSince: fc.option(when, { nil: null }),
    dismissedAt: fc.option(when, { nil: null }),
  })
  const nights = fc.integer({ min: 61, max: 150 }).map((n) => on('2026-01-06', '02:00') + n * DAY)
  const company = settings({
    holidays: ['2026-04-03', '2026-04-06'],
    absences: { 'ann@example.com': ['2026-03-09/2026-03-13'] },
  })
  const judgeAt = (one: Known, now: number, memory: Memory) => verdict(one, now, { memory, settings: company }).verdict

  test('law 1: the same input gives the same verdict', () => {
    fc.assert(
      fc.property(deals, nights, memories, (one, now, memory) => {
        expect(judgeAt(structuredClone(one), now, memory)).toEqual(judgeAt(one, now, memory))
      }),
    )
  })

  test('an untouched deal keeps its verdict until `dueOn`', () => {
    const essence = ({ state, rule, checks, protection, warnings, decision, newOwnerUntil }: Verdict) => ({
      state,
      rule,
      holds: checks.map(({ holds }) => holds),
      protection: protection?.kind,
      warnings: warnings.map(({ kind }) => kind),
      decision,
      newOwnerUntil,
    })
    fc.assert(
      fc.property(deals, nights, memories, (one, now, memory) => {
        const today = judgeAt(one, now, memory)
        const days = today.dueOn === null ? 400 : toDay(today.dueOn) - Math.floor(now / DAY)
        expect(days).toBeGreaterThan(0)
        for (let n = 1; n < days; n++) expect(essence(judgeAt(one, now + n * DAY, memory))).toEqual(essence(today))
      }),
      { numRuns: 200 },
    )
  })

  test('state, rule and protection agree with each other', () => {
    fc.assert(
      fc.property(deals, nights, memories, (one, now, memory) => {
        const result = judgeAt(one, now, memory)
        expect(result.state === 'stalled').toBe(result.rule !== null)
        expect(result.rule).toBe(result.checks.find(({ holds }) => holds)?.rule ?? null)
        if (result.protection !== null) expect(result.rule).toBeNull()
        if (one.deal.outcome !== 'open') expect(result.state).toBe('closed')
      }),
    )
  })

  test('weak movement never ends a stall', () => {
    fc.assert(
      fc.property(deals, nights, fc.constantFrom<Change['field']>('amount', 'pipeline'), (one, now, what) => {
        const memory = { stalledSince: now - 5 * DAY, dismissedAt: null }
        const before = judgeAt(one, now, memory)
        fc.pre(before.state === 'stalled')
        const weak = change(
          what,
          now - DAY,
          what === 'amount' ? '100' : 'renewals',
          what === 'amount' ? '900' : 'sales',
        )
        const after = judgeAt({ ...one, changes: [...one.changes, weak] }, now, memory)
        expect(after.state).toBe('stalled')
      }),
    )
  })

  test('strong movement always ends `no_movement`', () => {
    fc.assert(
      fc.property(deals, nights, memories, (one, now, memory) => {
        const moved = { ...one, activities: [...one.activities, activity('reply', now - 3_600_000)] }
        expect(judgeAt(moved, now, memory).checks[5]?.holds).toBe(false)
      }),
    )
  })

  test('an answer first seen tonight is dated tonight, through observe', () => {
    const ref = { connection: 'hub', id: 'd1' }
    const first = observe(
      null,
      { ref, deal: deal({ modifiedAt: on('2026-02-01') }), evidence: null },
      on('2026-02-02', '02:00'),
    )
    const answered = deal({ modifiedAt: on('2026-02-10'), own: { decision: 'yes' } })
    const second = observe(first, { ref, deal: answered, evidence: null }, on('2026-02-11', '02:00'))
    expect(verdict(second, on('2026-02-11', '02:00')).verdict.protection).toEqual({
      kind: 'answered_yes',
      until: '2026-02-25',
    })
  })
})
