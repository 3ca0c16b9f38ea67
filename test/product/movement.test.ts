// Product.md, "What counts as movement": every row of the table on both CRMs. Each row is played three times: on a deal
// that is flagged, on one that still moves, and before the first night. What it counts is read from the last movement,
// from the log and from whether the flag is lifted in the CRM.
import { beforeAll, describe, expect, test } from 'vitest'
import type { MovementKind } from '../../src/core/movement.ts'
import type { SeedDeal } from '../../src/sandbox/seed.ts'
import {
  type Act,
  at,
  booked,
  call,
  meeting,
  type Played,
  play,
  reply,
  type Scene,
  SYSTEMS,
  type System,
  set,
  stage,
  ticked,
} from './harness.ts'

type Counts = 'strong' | 'weak' | 'no'
interface Row {
  readonly name: string
  /** The words of product.md that it holds. */
  readonly sentence: string
  readonly kind: MovementKind
  readonly counts: Counts
  /** Where a capability is missing: the lesser verdict, and the sentence of `check` that names it. */
  readonly lesser?: Partial<Record<System, { readonly counts: Counts; readonly check: RegExp }>>
  /** What happened before, on days after the deal's creation on day `start`. */
  readonly before?: (start: number) => readonly Act[]
  /** Days after creation of the last movement among those; default: none, so creation. */
  readonly base?: number
  /** The event itself on day `on`. */
  readonly event: (on: number) => readonly Act[]
  readonly deal?: Partial<SeedDeal>
  readonly policy?: Readonly<Record<string, unknown>>
  /** Default: all three. `early` needs a CRM that has history of it, `flagged` an open deal that stalls. */
  readonly only?: readonly Kind[]
}
/** `flagged`: no movement since long, the event after the flag. `moving`: the event between two nights. `early`: before the first. */
type Kind = 'flagged' | 'moving' | 'early'
const KINDS: readonly Kind[] = ['flagged', 'moving', 'early']
const START = { flagged: -60, moving: -12, early: -12 }
const EVENT = { flagged: 2, moving: 2, early: -2 }
const NIGHTS = [0, 3]

const WHO_MET = /does not tell who took part in meetings/
const WHICH_CALL = /does not tell which calls were connected or incoming/
const WHO_SAVED = /does not say whether a person or a flow made a change/
const robots = { automationUsers: ['import@sandbox.invalid', 'integration@sandbox.invalid'] }
const trusting = { ...robots, trustedSources: ['integration@sandbox.invalid', 'Other app'] }
const byFlow = { salesforce: { counts: 'strong', check: WHO_SAVED } } as const
const forward = 'stage moved forward, beyond the furthest stage reached since the deal was last opened'
const machine = 'a field edited by unstall, an import, a workflow or an integration user'

const ROWS: readonly Row[] = [
  {
    name: 'stage forward',
    sentence: forward,
    kind: 'stage_forward',
    counts: 'strong',
    event: (on) => [stage(on, 'qualified')],
  },
  {
    name: 'stage forward, not beyond the furthest',
    sentence: forward,
    kind: 'stage_forward',
    counts: 'no',
    before: (start) => [stage(start + 1, 'demo'), stage(start + 2, 'new')],
    base: 1,
    event: (on) => [stage(on, 'qualified')],
  },
  {
    name: 'stage forward, beyond the furthest after a step back',
    sentence: forward,
    kind: 'stage_forward',
    counts: 'strong',
    before: (start) => [stage(start + 1, 'qualified'), stage(start + 2, 'new')],
    base: 1,
    event: (on) => [stage(on, 'demo')],
  },
  {
    name: 'stage forward, beyond the furthest since reopening',
    sentence: 'since the deal was last opened',
    kind: 'stage_forward',
    counts: 'strong',
    before: (start) => [stage(start + 1, 'negotiation'), stage(start + 2, 'lost'), stage(start + 3, 'new')],
    base: 3,
    event: (on) => [stage(on, 'qualified')],
  },
  {
    name: 'reply',
    sentence: 'reply or incoming e-mail of the buyer',
    kind: 'reply',
    counts: 'strong',
    event: (on) => [reply(on)],
  },
  {
    name: 'meeting with the buyer',
    sentence: 'meeting held with at least one outside attendee',
    kind: 'meeting',
    counts: 'strong',
    event: (on) => [meeting(on)],
  },
  {
    name: 'meeting among colleagues',
    sentence: 'at least one outside attendee',
    kind: 'meeting',
    counts: 'no',
    lesser: { hubspot: { counts: 'strong', check: WHO_MET } },
    event: (on) => [meeting(on, false)],
  },
  {
    name: 'meeting cancelled',
    sentence: 'meeting held',
    kind: 'meeting',
    counts: 'no',
    event: (on) => [booked(on, on), booked(on, on)],
  },
  ...(['connected', 'incoming'] as const).map(
    (outcome): Row => ({
      name: `call ${outcome}`,
      sentence: 'call connected or incoming, as logged by telephony',
      kind: 'call',
      counts: 'strong',
      lesser: { hubspot: { counts: 'no', check: WHICH_CALL } },
      event: (on) => [call(on, outcome)],
    }),
  ),
  {
    name: 'reopened by a person',
    sentence: 'reopened by a person',
    kind: 'reopened',
    counts: 'strong',
    before: (start) => [stage(start + 1, 'lost')],
    event: (on) => [stage(on, 'new')],
    only: ['moving', 'early'],
  },
  {
    name: 'reopened by a workflow',
    sentence: 'reopened by a person',
    kind: 'reopened',
    counts: 'no',
    lesser: byFlow,
    before: (start) => [stage(start + 1, 'lost')],
    event: (on) => [stage(on, 'new', { by: 'workflow' })],
    only: ['moving', 'early'],
  },
  {
    name: 'moved to another pipeline',
    sentence: 'moved to another pipeline by a person',
    kind: 'pipeline_moved',
    counts: 'weak',
    event: (on) => [stage(on, 'r_offer', { pipeline: 'renewals' })],
    only: ['flagged', 'moving'],
  },
  {
    name: 'moved to another pipeline, edited again the same day',
    sentence: 'moved to another pipeline by a person',
    kind: 'pipeline_moved',
    counts: 'weak',
    event: (on) => [
      stage(on, 'r_offer', { pipeline: 'renewals' }),
      set(on, 'nextStep', 'call on Monday', { time: '15:00' }),
    ],
    only: ['flagged', 'moving'],
  },
  ...(
    [
      ['raised by 5 %', 10_500, 'weak'],
      ['lowered by 5 %', 9500, 'weak'],
      ['raised by less', 10_499, 'no'],
      ['lowered by less', 9501, 'no'],
      ['emptied', null, 'no'],
    ] as const
  ).map(
    ([how, amount, counts]): Row => ({
      name: `amount ${how}`,
      sentence: 'amount changed by 5 % or more between two amounts',
      kind: 'amount_changed',
      counts,
      event: (on) => [set(on, 'amount', amount)],
    }),
  ),
  {
    name: 'amount filled in',
    sentence: 'between two amounts',
    kind: 'amount_changed',
    counts: 'no',
    deal: { amount: null },
    event: (on) => [set(on, 'amount', 10_000)],
  },
  {
    name: 'close date earlier',
    sentence: 'close date moved earlier than every date held since the last strong movement',
    kind: 'close_date_earlier',
    counts: 'weak',
    event: (on) => [set(on, 'closeDate', '2027-05-15')],
  },
  {
    name: 'close date earlier, but not than every date held',
    sentence: 'earlier than every date held',
    kind: 'close_date_earlier',
    counts: 'no',
    before: (start) => [set(start + 1, 'closeDate', '2027-09-15')],
    event: (on) => [set(on, 'closeDate', '2027-07-15')],
  },
  {
    name: 'close date earlier than every date held since a reply',
    sentence: 'since the last strong movement',
    kind: 'close_date_earlier',
    counts: 'weak',
    before: (start) => [set(start + 1, 'closeDate', '2027-09-15'), reply(start + 2)],
    base: 2,
    event: (on) => [set(on, 'closeDate', '2027-07-15')],
  },
  {
    name: 'stage back',
    sentence: 'stage moved back: no, and not punished',
    kind: 'stage_back',
    counts: 'no',
    before: (start) => [stage(start + 1, 'demo')],
    base: 1,
    event: (on) => [stage(on, 'new')],
  },
  {
    name: 'close date later',
    sentence: 'close date moved later: no',
    kind: 'close_date_later',
    counts: 'no',
    event: (on) => [set(on, 'closeDate', '2027-07-15')],
  },
  {
    name: 'call attempt',
    sentence: "rep's call attempt: no",
    kind: 'rep_activity',
    counts: 'no',
    event: (on) => [call(on, 'no-answer')],
  },
  {
    name: 'call attempt, any activity counts',
    sentence: '`countActivity: any` makes it weak',
    kind: 'rep_activity',
    counts: 'weak',
    policy: { countActivity: 'any' },
    event: (on) => [call(on, 'no-answer')],
  },
  {
    name: 'note',
    sentence: 'note: no',
    kind: 'rep_activity',
    counts: 'no',
    deal: { events: [{ at: at(EVENT.early), kind: 'note' }] },
    event: () => [],
    only: ['early'],
  },
  {
    name: 'note, any activity counts',
    sentence: '`countActivity: any` makes it weak',
    kind: 'rep_activity',
    counts: 'weak',
    lesser: { hubspot: { counts: 'no', check: /notes are not told apart from our own tasks/ } },
    policy: { countActivity: 'any' },
    deal: { events: [{ at: at(EVENT.early), kind: 'note' }] },
    event: () => [],
    only: ['early'],
  },
  {
    name: 'our task completed',
    sentence: "rep completes unstall's own task: no",
    kind: 'rep_activity',
    counts: 'no',
    event: (on) => [ticked(on)],
    only: ['flagged'],
  },
  {
    name: 'our task completed, any activity counts',
    sentence: "rep completes unstall's own task: no",
    kind: 'rep_activity',
    counts: 'no',
    policy: { countActivity: 'any' },
    event: (on) => [ticked(on)],
    only: ['flagged'],
  },
  ...(
    [
      ['owner', 'bob@example.com'],
      ['tag', 'high'],
      ['description', 'They like us.'],
      ['nextStep', 'Call on Monday'],
    ] as const
  ).map(
    ([field, value]): Row => ({
      name: `${field} edited`,
      sentence: 'owner, tag, description, next-step text: no',
      kind: 'field_edited',
      counts: 'no',
      event: (on) => [set(on, field, value)],
    }),
  ),
  {
    name: 'edited by unstall',
    sentence: `${machine}: no`,
    kind: 'field_edited',
    counts: 'no',
    event: () => [],
    only: ['flagged'],
  },
  {
    name: 'stage forward by a workflow',
    sentence: `${machine}: no`,
    kind: 'stage_forward',
    counts: 'no',
    lesser: byFlow,
    event: (on) => [stage(on, 'qualified', { by: 'workflow' })],
  },
  {
    name: 'amount by a workflow',
    sentence: `${machine}: no`,
    kind: 'amount_changed',
    counts: 'no',
    lesser: { salesforce: { counts: 'weak', check: WHO_SAVED } },
    event: (on) => [set(on, 'amount', 20_000, { by: 'workflow' })],
  },
  {
    name: 'moved to another pipeline by a workflow',
    sentence: 'moved to another pipeline by a person',
    kind: 'pipeline_moved',
    counts: 'no',
    lesser: { salesforce: { counts: 'weak', check: WHO_SAVED } },
    event: (on) => [stage(on, 'r_offer', { pipeline: 'renewals', by: 'workflow' })],
    only: ['flagged', 'moving'],
  },
  ...(['import', 'integration'] as const).flatMap((by): Row[] => [
    {
      name: `stage forward by an ${by}, its user not named`,
      sentence: 'integration users the CRM cannot tell from people',
      kind: 'stage_forward',
      counts: 'no',
      lesser: byFlow,
      event: (on) => [stage(on, 'qualified', { by })],
    },
    {
      name: `stage forward by an ${by}`,
      sentence: `${machine}: no`,
      kind: 'stage_forward',
      counts: 'no',
      policy: robots,
      event: (on) => [stage(on, 'qualified', { by })],
    },
    {
      name: `amount by an ${by}`,
      sentence: `${machine}: no`,
      kind: 'amount_changed',
      counts: 'no',
      policy: robots,
      event: (on) => [set(on, 'amount', 20_000, { by })],
    },
    {
      name: `close date by an ${by}`,
      sentence: `${machine}: no`,
      kind: 'close_date_earlier',
      counts: 'no',
      policy: robots,
      event: (on) => [set(on, 'closeDate', '2027-05-15', { by })],
    },
  ]),
  {
    name: 'stage forward by a trusted source',
    sentence: 'unless listed in `trustedSources`, which count as a person for stage and amount',
    kind: 'stage_forward',
    counts: 'strong',
    policy: trusting,
    event: (on) => [stage(on, 'qualified', { by: 'integration' })],
  },
  {
    name: 'amount by a trusted source',
    sentence: 'unless listed in `trustedSources`, which count as a person for stage and amount',
    kind: 'amount_changed',
    counts: 'weak',
    policy: trusting,
    event: (on) => [set(on, 'amount', 20_000, { by: 'integration' })],
  },
  {
    name: 'close date by a trusted source',
    sentence: 'which count as a person for stage and amount',
    kind: 'close_date_earlier',
    counts: 'no',
    policy: trusting,
    event: (on) => [set(on, 'closeDate', '2027-05-15', { by: 'integration' })],
  },
]

const played = ROWS.flatMap((row) => (row.only ?? KINDS).map((kind) => ({ row, kind, name: `${row.name}, ${kind}` })))
const scenes = played.map(({ row, kind, name }): Scene => {
  const start = START[kind]
  const { policy = {}, deal = {}, before = () => [], event } = row
  return {
    name,
    policy,
    deal: { createdAt: at(start, '08:00'), ...deal },
    acts: [...before(start), ...event(EVENT[kind])],
  }
})

let all: Played
beforeAll(async () => {
  all = await play(scenes, NIGHTS)
})

describe.each(SYSTEMS)('what counts as movement in %s', (system) => {
  test.each(played)('$name: “$row.sentence”', ({ row, kind, name }) => {
    const lesser = row.lesser?.[system]
    const counts = lesser?.counts ?? row.counts
    if (lesser) {
      const warned = all.said(system).flatMap(({ level, what, todo }) => (level === 'warn' ? [`${what} ${todo}`] : []))
      expect(warned).toContainEqual(expect.stringMatching(lesser.check))
    }

    const happened = at(EVENT[kind])
    const last = NIGHTS.at(-1) ?? 0
    const { log, verdict, held } = all.seen(system, name, kind === 'early' ? 0 : last)
    const start = START[kind]
    const base = row.base === undefined ? at(start, '08:00') : at(start + row.base)
    const clock = counts === 'strong' || (counts === 'weak' && kind !== 'flagged') ? happened : base
    expect(iso(verdict.lastMovement)).toBe(iso(clock))

    const told = log.entries.filter((entry) => entry.at === happened && entry.counts !== 'no')
    expect(told.map((entry) => [entry.kind, entry.counts])).toEqual(counts === 'no' ? [] : [[row.kind, counts]])
    // "Where a CRM cannot tell who took part, … the event counts, and `check` and `explain` name the difference."
    if (row.kind === 'meeting' && counts === 'strong')
      expect(log.entries.find((entry) => entry.at === happened)?.why).toBe(
        system === 'hubspot' ? 'unknown_participants' : null,
      )
    if (kind !== 'flagged') {
      expect(verdict.state).toBe('moving')
      return
    }
    // "Strong movement restarts the clock and can lift a flag. Weak movement … does not lift a flag."
    const first = all.seen(system, name, 0)
    expect([first.verdict.rule, first.held.flag, first.held.reason]).toEqual(['no_movement', true, 'no_movement'])
    expect(first.held.lastMovement).toBe(base)
    const lifted = counts === 'strong'
    expect([verdict.state, held.flag, held.state]).toEqual(
      lifted ? ['moving', false, 'moving'] : ['stalled', true, 'stalled'],
    )
    if (!lifted) expect(held.tasks.length).toBe(1)
  })
})

const iso = (instant: number) => new Date(instant).toISOString()

test('both CRMs give the same flag, rule and last movement for the same rows', () => {
  const both = played.filter(({ row }) => row.lesser === undefined)
  for (const night of NIGHTS) {
    const verdicts = (system: System) =>
      both.map(({ name }) => {
        const { verdict, held } = all.seen(system, name, night)
        return [
          name,
          verdict.state,
          verdict.rule,
          iso(verdict.lastMovement),
          held.flag,
          held.state,
          held.reason,
          held.explanation,
        ]
      })
    expect(verdicts('hubspot')).toEqual(verdicts('salesforce'))
  }
})

test('every planned write went through, and a fresh look agreed with what was judged', () => {
  expect(all.trouble).toEqual([])
})
