// The deals of the bench: made one by one from their number, in the shares of docs/performance.md, so that what must come
// out is known without asking anybody. Their names say what they are; nothing of unstall is used here.
import { OWNERS, PIPELINES } from '../../src/sandbox/generate.ts'
import { DAY, dateOf, type Instant, type Seed, type SeedDeal, type SeedEvent } from '../../src/sandbox/seed.ts'

const HOUR = 3_600_000
/** A Monday, the Friday after it (four working days lie between) and the Saturday: less than a week in all. */
export const NIGHTS: readonly [Instant, Instant, Instant] = [
  ...([Date.parse('2026-11-23T03:00Z'), Date.parse('2026-11-27T03:00Z')] as const),
  Date.parse('2026-11-28T03:00Z'),
]

/** Per hundred deals. `stalled`: on both nights; `recovering`: on the first, then a person moves its stage; `turning`: on
 *  the second, without any event; `edited`: a person changes a field that is no movement. The rest moves. */
const SHARES = { stalled: 5, recovering: 2, turning: 5, edited: 3 } as const
export type Kind = keyof typeof SHARES | 'lively'

export function kindOf(index: number): Kind {
  let place = index % 100
  for (const kind of ['stalled', 'recovering', 'turning', 'edited'] as const) {
    if (place < SHARES[kind]) return kind
    place -= SHARES[kind]
  }
  return 'lively'
}
/** What a night must have flagged; `moved`: those that recover have been moved before it. */
export const isStalled = (kind: Kind, night: number, moved = false) =>
  kind === 'stalled' || (kind === 'recovering' && !moved) || (kind === 'turning' && night > 0)

/** Days before the first night of the last movement. The limit is 15 working days. */
const IDLE: Readonly<Record<Kind, number>> = { stalled: 40, recovering: 35, turning: 18, edited: 3, lively: 3 }
const REPS = OWNERS.filter(({ active, managerEmail }) => active && managerEmail).map(({ email }) => email)
export const STAGES = PIPELINES[0]?.stages.map(({ id }) => id) ?? []

function deal(index: number): SeedDeal {
  const kind = kindOf(index)
  const at = (days: number) => NIGHTS[0] - days * DAY + (6 + (index % 9)) * HOUR
  const last = IDLE[kind] + (kind === 'lively' ? index % 3 : 0)
  const [from = '', to = '', next = ''] = STAGES
  const events: SeedEvent[] = [
    { at: at(last + 30), kind: 'stage', to, by: 'person' },
    { at: at(last), kind: 'stage', to: next, by: 'person' },
  ]
  if (index % 3 === 0) events.unshift({ at: at(last + 40), kind: 'reply' })
  if (index % 5 === 0) events.unshift({ at: at(last + 41), kind: 'meeting', held: true, outside: true })
  return {
    name: `${kind} ${String(index).padStart(7, '0')}`,
    account: `Account ${Math.floor(index / 4)}`,
    ownerEmail: REPS[index % REPS.length] ?? '',
    pipeline: 'default',
    stage: from,
    createdAt: at(last + 50),
    closeDate: dateOf(NIGHTS[0] + 90 * DAY),
    amount: 1000 + (index % 977) * 10,
    category: 'commit',
    type: null,
    events,
  }
}

export const seedOf = (count: number): Seed => ({
  ...{ now: NIGHTS[0] - HOUR, currency: 'EUR', owners: OWNERS, pipelines: PIPELINES },
  deals: Array.from({ length: count }, (_, index) => deal(index)),
})
