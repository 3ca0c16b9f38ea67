// What counts as movement. Each row of the first table quotes the sentence of the product it holds.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Activity, Change, Evidence, Known } from '../../src/core/deal.ts'
import type { MovementContext, MovementKind, MovementLog, OwnWrite } from '../../src/core/movement.ts'
import { fieldText, movementLog, observe } from '../../src/core/movement.ts'
import { activity, change, context, deal, known, observed, on, settings } from './build.ts'

const CREATED = on('2026-01-05')
const AT = on('2026-02-10')
const NOW = on('2026-02-20', '02:00')
const company = context()

const log = (
  one: Known,
  more: { ctx?: MovementContext; own?: readonly OwnWrite[]; since?: number | null; now?: number } = {},
) => movementLog(one, more.own ?? [], more.ctx ?? company, more.since ?? null, more.now ?? NOW)

interface Row {
  readonly says: string
  readonly changes?: readonly Change[]
  readonly activities?: readonly Activity[]
  readonly policy?: Record<string, unknown>
  readonly own?: readonly OwnWrite[]
  /** The clock's event; absent: it still stands at creation. */
  readonly moves?: MovementKind
  readonly strong?: boolean
}

const stage = (from: string, to: string, more: Partial<Change> = {}, at = AT) => change('stage', at, from, to, more)
const forward = stage('new', 'qualified')
const bot = { by: 'automation', source: 'WORKFLOWS' } as const

const ROWS: readonly Row[] = [
  {
    says: 'stage moved forward, beyond the furthest stage reached',
    changes: [forward],
    moves: 'stage_forward',
    strong: true,
  },
  {
    says: 'beyond the furthest stage reached since the deal was last opened: back and forth is no progress',
    changes: [stage('demo', 'qualified', {}, on('2026-01-06')), stage('qualified', 'demo')],
  },
  {
    says: 'beyond the furthest: further than before it went back does count',
    changes: [stage('demo', 'qualified', {}, on('2026-01-06')), stage('qualified', 'proposal')],
    moves: 'stage_forward',
    strong: true,
  },
  {
    says: 'reply or incoming e-mail of the buyer: strong',
    activities: [activity('reply', AT)],
    moves: 'reply',
    strong: true,
  },
  {
    says: 'meeting held with at least one outside attendee: strong',
    activities: [activity('meeting', AT)],
    moves: 'meeting',
    strong: true,
  },
  {
    says: 'meeting … with at least one outside attendee: an internal one does not count',
    activities: [activity('meeting', AT, false)],
  },
  { says: 'meeting held: one still ahead does not count', activities: [activity('meeting', on('2026-02-21'))] },
  {
    says: 'call connected or incoming, as logged by telephony: strong',
    activities: [activity('call', AT)],
    moves: 'call',
    strong: true,
  },
  {
    says: 'Where a CRM cannot tell who took part … the event counts',
    activities: [activity('meeting', AT, null)],
    moves: 'meeting',
    strong: true,
  },
  { says: 'reopened by a person: strong', changes: [stage('lost', 'qualified')], moves: 'reopened', strong: true },
  { says: 'reopened by a person: a workflow does not', changes: [stage('lost', 'qualified', bot)] },
  {
    says: 'moved to another pipeline by a person: weak',
    changes: [change('pipeline', AT, 'renewals', 'sales')],
    moves: 'pipeline_moved',
  },
  {
    says: 'moved to another pipeline by a person: told with the stage of the same save, by a workflow',
    changes: [change('pipeline', AT, 'renewals', 'sales', observed), stage('r_offer', 'new', bot)],
  },
  {
    says: 'moved to another pipeline: seen by its stage alone',
    changes: [stage('r_offer', 'qualified')],
    moves: 'pipeline_moved',
  },
  {
    says: 'moved to another pipeline: the furthest stage starts anew',
    changes: [stage('r_offer', 'new', bot, on('2026-01-06')), stage('new', 'qualified')],
    moves: 'stage_forward',
    strong: true,
  },
  {
    says: 'amount changed by 5 % or more between two amounts: weak',
    changes: [change('amount', AT, '100', '105')],
    moves: 'amount_changed',
  },
  { says: 'amount changed by 5 % or more: less does not count', changes: [change('amount', AT, '100', '104.99')] },
  { says: 'amount changed … downwards, too', changes: [change('amount', AT, '100', '95')], moves: 'amount_changed' },
  { says: 'between two amounts: filling it in does not count', changes: [change('amount', AT, null, '500')] },
  {
    says: 'close date moved earlier than every date held: weak',
    changes: [change('closeDate', AT, '2026-06-30', '2026-05-29')],
    moves: 'close_date_earlier',
  },
  {
    says: 'earlier than every date held since the last strong movement: pushed out and pulled back is none',
    changes: [
      change('closeDate', on('2026-02-09'), '2026-05-29', '2026-09-30', bot),
      change('closeDate', AT, '2026-09-30', '2026-06-30'),
    ],
  },
  {
    says: 'held since the last strong movement: what was held before does not matter',
    changes: [
      change('closeDate', on('2026-01-06'), '2026-03-31', '2026-09-30', bot),
      stage('new', 'qualified', {}, on('2026-01-07')),
      change('closeDate', AT, '2026-09-30', '2026-06-30'),
    ],
    moves: 'close_date_earlier',
  },
  { says: 'stage moved back: no', changes: [stage('demo', 'qualified')] },
  { says: 'close date moved later: no', changes: [change('closeDate', AT, '2026-06-30', '2026-09-30')] },
  { says: 'rep’s call attempt: no', activities: [activity('call_attempt', AT, false)] },
  { says: 'note: no', activities: [activity('note', AT, false)] },
  { says: 'outgoing e-mail: no', activities: [activity('outgoing_email', AT, false)] },
  {
    says: 'countActivity: any makes it weak',
    activities: [activity('note', AT, false)],
    policy: { countActivity: 'any' },
    moves: 'rep_activity',
  },
  { says: 'owner: no', changes: [change('owner', AT, 'bob', 'ann')] },
  { says: 'a field the rep sets: no', changes: [change('cause', AT, null, 'budget')] },
  {
    says: 'a field edited by unstall: no',
    changes: [stage('new', 'qualified', { by: 'self', source: 'INTEGRATION' })],
    own: [{ field: 'stage', to: 'qualified', at: AT + 60_000 }],
  },
  {
    says: 'Own writes are recognised by user and field, value and time: an admin’s real move through the same user counts',
    changes: [stage('new', 'qualified', { by: 'self', source: 'INTEGRATION' })],
    own: [{ field: 'stage', to: 'qualified', at: on('2026-02-01') }],
    moves: 'stage_forward',
    strong: true,
  },
  { says: 'a field edited by … a workflow: no', changes: [stage('new', 'qualified', bot)] },
  {
    says: 'amount by an import: no',
    changes: [change('amount', AT, '100', '200', { by: 'automation', source: 'IMPORT' })],
  },
  {
    says: 'policy.automationUsers names integration users',
    changes: [stage('new', 'qualified', { source: '005X' })],
    policy: { automationUsers: ['005X'] },
  },
  {
    says: 'unless listed in trustedSources, which count as a person for stage',
    changes: [stage('new', 'qualified', { by: 'automation', source: 'DOCUSIGN' })],
    policy: { trustedSources: ['DOCUSIGN'] },
    moves: 'stage_forward',
    strong: true,
  },
  {
    says: 'count as a person for stage and amount',
    changes: [change('amount', AT, '100', '200', { by: 'automation', source: 'QUOTES' })],
    policy: { trustedSources: ['QUOTES'] },
    moves: 'amount_changed',
  },
  {
    says: 'for stage and amount: not for the close date',
    changes: [change('closeDate', AT, '2026-06-30', '2026-05-29', { by: 'automation', source: 'QUOTES' })],
    policy: { trustedSources: ['QUOTES'] },
  },
  {
    says: 'unknown is a person',
    changes: [stage('new', 'qualified', { by: 'unknown' })],
    moves: 'stage_forward',
    strong: true,
  },
  { says: 'deal closed: no movement of its own', changes: [stage('new', 'won')] },
]

const ctxOf = (policy: Record<string, unknown> = {}) => context(settings({}, policy))
const stageOf = (changes: readonly Change[] = []) => changes.findLast((one) => one.field === 'stage')?.to ?? 'new'

const lastStrong = ({ entries }: MovementLog) => entries.findLast(({ counts }) => counts === 'strong')?.at

describe('what counts as movement', () => {
  test.each(ROWS)('$says', ({ changes, activities, policy, own = [], moves, strong = false }) => {
    const one = known({ stageId: stageOf(changes) }, changes, activities)
    const result = log(one, { ctx: ctxOf(policy), own })
    expect(result.clock).toEqual(moves === undefined ? { at: CREATED, kind: 'created' } : { at: AT, kind: moves })
    expect(lastStrong(result) === AT).toBe(strong)
  })

  test('"Weak movement restarts the clock of a deal that is still moving; it does not lift a flag"', () => {
    const one = known({}, [change('amount', AT, '100', '200')])
    expect(log(one, { since: on('2026-02-09') }).clock.kind).toBe('created')
    expect(log(one, { since: on('2026-02-09') }).entries[0]).toMatchObject({ counts: 'weak', why: 'after_flag' })
    expect(log(one, { since: on('2026-02-11') }).clock.kind).toBe('amount_changed')
    expect(log(known({}, [forward]), { since: on('2026-02-09') }).clock.kind).toBe('stage_forward')
  })

  test('a pipeline and its stage changed in one save are one weak movement, whichever is told first', () => {
    for (const gap of [0, 20_000, -20_000]) {
      const moved = known({ stageId: 'demo' }, [
        change('pipeline', AT, 'renewals', 'sales'),
        stage('r_offer', 'demo', {}, AT + gap),
      ])
      const result = log(moved)
      expect(lastStrong(result)).toBeUndefined()
      expect(result.entries.filter(({ counts }) => counts === 'weak')).toHaveLength(1)
      const on_ = log(
        known({ stageId: 'proposal' }, [...moved.changes, stage('demo', 'proposal', {}, on('2026-02-12'))]),
      )
      expect(lastStrong(on_)).toBe(on('2026-02-12'))
    }
  })

  test('"Without recorded movement the clock starts at creation; for an imported … deal at the first night it was seen"', () => {
    const seen = on('2026-01-20', '02:00')
    expect(log(known({ imported: true }, [], [], seen)).clock).toEqual({ at: seen, kind: 'first_seen' })
    expect(log(known({ imported: true }, [], [activity('reply', on('2026-01-02'))], seen)).clock.kind).toBe('reply')
    expect(log(known({}, [], [activity('reply', on('2026-01-02'))], seen)).clock.kind).toBe('created')
  })

  test('a stage that no longer exists neither counts nor breaks the rest', () => {
    const one = known({ stageId: 'demo' }, [
      stage('new', 'dropped', {}, on('2026-02-01')),
      stage('dropped', 'qualified', {}, on('2026-02-02')),
      stage('qualified', 'demo'),
    ])
    expect(log(one).entries.map(({ counts, why }) => [counts, why])).toEqual([
      ['no', 'unknown_stage'],
      ['no', 'unknown_stage'],
      ['strong', null],
    ])
  })

  test('the stage a deal was created in is no movement', () => {
    const one = known({ stageId: 'demo' }, [
      change('stage', CREATED, null, 'demo'),
      change('stage', AT, 'demo', 'proposal'),
    ])
    expect(log(one).entries).toHaveLength(1)
    expect(log(one).clock.at).toBe(AT)
  })
})

describe('pushes', () => {
  const push = (at: string, from: string, to: string, more: Partial<Change> = {}) =>
    change('closeDate', on(at), from, to, more)
  const count = (changes: readonly Change[], now = NOW) => log(known({}, changes), { now }).pushes.length

  test.each<[string, number, readonly Change[]]>([
    ['"moved later by 5 working days or more"', 1, [push('2026-02-02', '2026-03-02', '2026-03-09')]],
    ['4 working days within a month are none', 0, [push('2026-02-02', '2026-03-02', '2026-03-06')]],
    ['"or across a month end"', 1, [push('2026-02-02', '2026-03-31', '2026-04-01')]],
    ['across a year end, too', 1, [push('2026-02-02', '2026-12-31', '2027-01-01')]],
    ['earlier is none', 0, [push('2026-02-02', '2026-04-01', '2026-03-01')]],
    [
      '"several moves on one day are one (net)"',
      1,
      [
        change('closeDate', on('2026-02-02', '09:00'), '2026-03-02', '2026-04-02'),
        change('closeDate', on('2026-02-02', '10:00'), '2026-04-02', '2026-05-04'),
      ],
    ],
    [
      'net: there and back on one day is none',
      0,
      [
        change('closeDate', on('2026-02-02', '09:00'), '2026-03-02', '2026-04-02'),
        change('closeDate', on('2026-02-02', '10:00'), '2026-04-02', '2026-03-02'),
      ],
    ],
    [
      'on two days they are two',
      2,
      [push('2026-02-02', '2026-03-02', '2026-04-02'), push('2026-02-03', '2026-04-02', '2026-05-04')],
    ],
    ['"counted within 180 days"', 0, [push('2025-08-23', '2026-03-02', '2026-04-02')]],
    ['the 180th day still counts', 1, [push('2025-08-24', '2026-03-02', '2026-04-02')]],
    ['by a workflow it is none', 0, [push('2026-02-02', '2026-03-02', '2026-04-02', bot)]],
    ['"and since the last stage forward"', 0, [push('2026-02-02', '2026-03-02', '2026-04-02'), forward]],
    ['after a stage forward it counts', 1, [forward, push('2026-02-12', '2026-03-02', '2026-04-02')]],
    ['a stage back starts no new round', 1, [push('2026-02-02', '2026-03-02', '2026-04-02'), stage('demo', 'new')]],
    [
      '"reopened by a person … starts new push … rounds"',
      0,
      [push('2026-02-02', '2026-03-02', '2026-04-02'), stage('lost', 'new')],
    ],
    [
      '"Ends with: stage forward, yes or no"',
      0,
      [push('2026-02-02', '2026-03-02', '2026-04-02'), change('decision', AT, null, 'yes')],
    ],
    [
      'a maybe ends nothing',
      1,
      [push('2026-02-02', '2026-03-02', '2026-04-02'), change('decision', AT, null, 'maybe')],
    ],
    [
      '"Moving it later [the decision date] counts as a push"',
      1,
      [
        change('decisionDue', on('2026-01-20'), null, '2026-03-02'),
        change('decisionDue', AT, '2026-03-02', '2026-03-20'),
      ],
    ],
    [
      'both dates moved on one day are one push',
      1,
      [
        change('decisionDue', on('2026-01-20'), null, '2026-03-02'),
        change('decisionDue', AT, '2026-03-02', '2026-03-20'),
        change('closeDate', AT, '2026-03-31', '2026-04-30'),
      ],
    ],
  ])('%s: %i', (_, expected, changes) => {
    expect(count(changes)).toBe(expected)
  })
})

describe('observe', () => {
  const ref = { connection: 'hub', id: 'd1' }
  const NIGHT = on('2026-02-03', '02:00')
  const seen = (more: Parameters<typeof deal>[0], evidence: Partial<Evidence> | null = null) => ({
    ref,
    deal: deal(more),
    evidence: evidence && { deal: 'd1', changes: [], activities: [], ...evidence },
  })
  const first = observe(null, seen({ modifiedAt: on('2026-02-01') }), on('2026-02-02', '02:00'))

  test('first sight: the night is remembered, and answers already there are dated by it', () => {
    const one = observe(null, seen({ own: { decision: 'maybe', parkedUntil: '2026-03-01', stalled: true } }), NIGHT)
    expect(one.firstSeen).toBe(NIGHT)
    expect(one.changes).toEqual([
      { field: 'decision', at: NIGHT, to: 'maybe', ...observed },
      { field: 'parkedUntil', at: NIGHT, to: '2026-03-01', ...observed },
    ])
  })

  test('"An answer’s time without history is its first observation"', () => {
    const one = observe(first, seen({ modifiedAt: on('2026-02-02'), own: { decision: 'yes' } }), NIGHT)
    expect(one.changes).toEqual([{ field: 'decision', at: NIGHT, from: null, to: 'yes', ...observed }])
    expect(one.firstSeen).toBe(first.firstSeen)
  })

  test('a difference the history explains is not noted; one it does not explain is, at the snapshot’s time', () => {
    const at = on('2026-02-02', '10:00')
    const moved = { modifiedAt: at, stageId: 'qualified', amount: 20_000 }
    const one = observe(first, seen(moved, { changes: [stage('new', 'qualified', {}, at)] }), NIGHT)
    expect(one.changes).toEqual([
      { field: 'amount', at, from: '10000', to: '20000', ...observed },
      stage('new', 'qualified', {}, at),
    ])
  })

  test.each([
    ['a little before', -3_600_000],
    ['by clocks that differ, a little after', 120_000],
  ])('history that arrives later, dated %s the snapshot, does not count the move twice', (_, gap) => {
    const at = on('2026-02-02', '10:00')
    const one = observe(first, seen({ modifiedAt: at, stageId: 'qualified' }), NIGHT)
    expect(log(one).entries).toMatchObject([{ kind: 'stage_forward', why: 'unknown_actor' }])
    const told = { changes: [stage('new', 'qualified', bot, at + gap)] }
    const two = observe(one, seen({ modifiedAt: at, stageId: 'qualified' }, told), NIGHT + 86_400_000)
    expect(log(two).entries).toMatchObject([{ kind: 'stage_forward', counts: 'no', why: 'automation' }])
  })

  test('the echo of our own flag, seen the night after, is ours; a person clearing it is not', () => {
    const own: OwnWrite[] = [{ field: 'stalled', to: fieldText(true), at: on('2026-02-02', '02:10') }]
    const flagged = observe(first, seen({ modifiedAt: on('2026-02-02', '02:11'), own: { stalled: true } }), NIGHT)
    const cleared = observe(flagged, seen({ modifiedAt: on('2026-02-03', '09:00') }), on('2026-02-04', '02:00'))
    expect(log(cleared, { own }).entries.map(({ why }) => why)).toEqual(['own_write', 'not_movement'])
  })

  test('"An older observation never overwrites a newer one", its evidence is kept', () => {
    const newer = observe(first, seen({ modifiedAt: on('2026-02-02'), stageId: 'demo' }), NIGHT)
    const late = observe(
      newer,
      seen({ modifiedAt: on('2026-01-31'), stageId: 'lost' }, { activities: [activity('reply', AT)] }),
      NIGHT,
    )
    expect(late).toEqual({ ...newer, activities: [activity('reply', AT)] })
  })

  test('the first booked meeting of a series is noted once', () => {
    const meeting = (id: string) => ({ id, at: AT, outside: true, series: 'weekly' })
    const one = observe(first, seen({ modifiedAt: on('2026-02-02'), meeting: meeting('m1') }), NIGHT)
    const two = observe(one, seen({ modifiedAt: on('2026-02-03'), meeting: meeting('m2') }), NIGHT + 86_400_000)
    expect(two.changes.filter(({ field }) => field === 'meeting').map(({ to }) => to)).toEqual(['weekly m1'])
  })

  const evidences = fc.array(
    fc.record({
      deal: fc.constant('d1'),
      changes: fc.array(
        fc
          .record({
            field: fc.constantFrom('stage' as const, 'amount' as const, 'closeDate' as const),
            at: fc.integer({ min: 1, max: 6 }).map((n) => on('2026-01-10') + n * 1000),
            from: fc.constantFrom('1', '2', undefined),
            to: fc.constantFrom('1', '2', null),
            by: fc.constantFrom('person' as const, 'automation' as const),
            source: fc.constantFrom('CRM_UI', 'IMPORT'),
          })
          .map(({ from, ...rest }): Change => (from === undefined ? rest : { ...rest, from })),
        { maxLength: 5 },
      ),
      activities: fc.array(
        fc.record({
          id: fc.constantFrom('a', 'b', 'c'),
          kind: fc.constantFrom('reply' as const, 'meeting' as const, 'note' as const),
          at: fc.integer({ min: 1, max: 4 }),
          outside: fc.constantFrom(true, false, null),
        }),
        { maxLength: 4 },
      ),
    }),
    { maxLength: 5 },
  )
  const observeAll = (list: readonly Evidence[]) =>
    list.reduce((one, evidence) => observe(one, { ref, deal: one.deal, evidence }, NIGHT), first)

  test('law 9: overlapping or repeated pages change nothing, in whatever order they come', () => {
    fc.assert(
      fc.property(
        evidences.chain((list) =>
          fc.tuple(fc.constant(list), fc.shuffledSubarray([...list, ...list], { minLength: list.length * 2 })),
        ),
        ([list, again]) => {
          const once = observeAll(list)
          expect(observeAll([...list, ...list])).toEqual(once)
          expect(observeAll(again)).toEqual(once)
          for (const evidence of structuredClone(list))
            expect(observe(once, { ref, deal: structuredClone(once.deal), evidence }, NIGHT)).toBe(once)
        },
      ),
    )
  })

  test('law 10: the newest snapshot stands, whatever order snapshots come in', () => {
    const versions = fc.shuffledSubarray([1, 2, 3, 4], { minLength: 4 })
    fc.assert(
      fc.property(versions, (order) => {
        let one = first
        for (const n of order) one = observe(one, seen({ modifiedAt: on('2026-02-01') + n, amount: n }), NIGHT)
        expect(one.deal.amount).toBe(4)
        // Known already, in other objects and another order: what is known stays what it is.
        const again = { ref, deal: { ...one.deal, own: { ...one.deal.own } }, evidence: null }
        expect(observe(one, again, NIGHT)).toBe(one)
      }),
    )
  })
})

describe('laws of the log', () => {
  const WHEN = fc.integer({ min: 0, max: 40 }).map((n) => on('2026-01-06') + n * 86_400_000)
  const moves = fc.array(
    fc.oneof(
      WHEN.chain((at) =>
        fc
          .constantFrom('new', 'qualified', 'demo', 'proposal', 'lost')
          .map((to) => ({ field: 'stage' as const, at, to })),
      ),
      WHEN.chain((at) => fc.constantFrom('100', '103', '200').map((to) => ({ field: 'amount' as const, at, to }))),
      WHEN.chain((at) =>
        fc
          .constantFrom('2026-03-31', '2026-06-30', '2026-09-30')
          .map((to) => ({ field: 'closeDate' as const, at, to })),
      ),
    ),
    { maxLength: 10 },
  )
  const toChanges = (list: readonly { field: Change['field']; at: number; to: string }[], more: Partial<Change> = {}) =>
    list.map(({ field, at, to }): Change => ({ field, at, to, by: 'person', source: 'CRM_UI', ...more }))

  test('law 3: own writes never change a clock', () => {
    fc.assert(
      fc.property(moves, moves, (people, ours) => {
        const own: OwnWrite[] = ours.map(({ field, at, to }) => ({ field, at: at + 30_000, to }))
        const echo = toChanges(ours, { by: 'self', source: 'INTEGRATION' })
        // Our fields only: a stage or an amount of ours would be a real change of the deal.
        const asFlags = (list: Change[]) => list.map((one) => ({ ...one, field: 'stalled' as const }))
        const without = log(known({}, toChanges(people)))
        const withEcho = log(known({}, [...toChanges(people), ...asFlags(echo)]), { own })
        expect(withEcho.clock).toEqual(without.clock)
        expect(withEcho.pushes).toEqual(without.pushes)
        const onlyOurs = log(known({}, echo), { own })
        expect(onlyOurs.clock.kind).toBe('created')
        expect(onlyOurs.entries.every(({ counts }) => counts === 'no')).toBe(true)
      }),
    )
  })

  test('automation alone never moves a clock', () => {
    fc.assert(
      fc.property(moves, (list) => {
        const result = log(known({}, toChanges(list, bot)))
        expect(result.clock.kind).toBe('created')
        expect(result.pushes).toEqual([])
      }),
    )
  })

  test('every counted entry is of a kind on the list', () => {
    const strong = new Set<MovementKind>(['stage_forward', 'reply', 'meeting', 'call', 'reopened'])
    const weak = new Set<MovementKind>(['pipeline_moved', 'amount_changed', 'close_date_earlier'])
    fc.assert(
      fc.property(moves, (list) => {
        for (const { counts, kind } of log(known({}, toChanges(list))).entries) {
          if (counts === 'strong') expect(strong).toContain(kind)
          if (counts === 'weak') expect(weak).toContain(kind)
        }
      }),
    )
  })
})
