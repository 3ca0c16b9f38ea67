// Small builders for the tests of the core: a company, its rules, and deals of which only what matters is said.
// The sales pipeline: new, qualified, demo, proposal (the decision stage), negotiation, then won and lost.
import { type Calendar, makeCalendar } from '../../src/core/calendar.ts'
import type { Activity, Change, Deal, Instant, Known, OwnFields, Reference, Stage } from '../../src/core/deal.ts'
import { type JudgeContext, judge, type Memory, type Verdict } from '../../src/core/judge.ts'
import { type MovementLog, movementLog, type OwnWrite } from '../../src/core/movement.ts'
import { Settings } from '../../src/core/policy.ts'

export const NO_OWN_FIELDS: OwnFields = {
  stalled: false,
  state: null,
  since: null,
  reason: null,
  explanation: null,
  lastMovement: null,
  categoryBefore: null,
  decisionDue: null,
  decision: null,
  cause: null,
  parkedUntil: null,
  parkedReason: null,
}

/** `on('2026-11-02')` is noon UTC of that day; `on('2026-11-02', '17:30')` another time. */
export function on(date: string, time = '12:00'): Instant {
  return Date.parse(`${date}T${time}:00Z`)
}

const stage = (id: string, order: number, category: string | null, outcome: Stage['outcome'] = 'open'): Stage => ({
  id,
  label: id.charAt(0).toUpperCase() + id.slice(1),
  order,
  outcome,
  category,
})

export const reference: Reference = {
  pipelines: [
    {
      id: 'sales',
      label: 'Sales',
      stages: [
        stage('new', 0, 'PIPELINE'),
        stage('qualified', 1, 'PIPELINE'),
        stage('demo', 2, 'BEST_CASE'),
        stage('proposal', 3, 'BEST_CASE'),
        stage('negotiation', 4, 'COMMIT'),
        stage('won', 5, 'CLOSED', 'won'),
        stage('lost', 6, 'OMIT', 'lost'),
      ],
    },
    {
      id: 'renewals',
      label: 'Renewals',
      stages: [stage('r_new', 0, null), stage('r_offer', 1, null), stage('r_won', 2, null, 'won')],
    },
  ],
  owners: [
    { id: 'ann', email: 'ann@example.com', name: 'Ann', active: true, team: 'north' },
    { id: 'bob', email: 'bob@example.com', name: 'Bob', active: true, team: 'south' },
    { id: 'gone', email: 'gone@example.com', name: 'Gone', active: false, team: 'south' },
  ],
  omitted: 'OMIT',
  closedCategory: 'CLOSED',
  currency: 'EUR',
  self: 'unstall',
  tells: { participants: true, personFromAutomation: true, history: true, replies: true, calls: true },
}

/** Settings with `proposal` as the decision stage; `more` as in the config file. */
export function settings(more: Record<string, unknown> = {}, policy: Record<string, unknown> = {}): Settings {
  return Settings.parse({ timezone: 'UTC', ...more, policy: { decision: { stages: ['proposal'] }, ...policy } })
}

const usual = settings()
export const calendar: Calendar = makeCalendar(usual)
const calendars = new WeakMap<Settings, Calendar>([[usual, calendar]])

/** What judging needs, from settings. */
export function context(from: Settings = usual, company: Reference = reference): JudgeContext {
  const calendar = calendars.get(from) ?? makeCalendar(from)
  calendars.set(from, calendar)
  return {
    policy: from.policy,
    calendar,
    reference: company,
    ownerEmail: (id) => company.owners.find((owner) => owner.id === id)?.email ?? null,
    scope: from.scope,
  }
}

/** An open deal in the first stage, created on Monday 2026-01-05, closing in a year, EUR 10,000. */
export function deal(more: Partial<Omit<Deal, 'own'>> & { readonly own?: Partial<OwnFields> } = {}): Deal {
  return {
    id: 'd1',
    name: 'Acme rollout',
    url: 'https://crm.example/d1',
    ownerId: 'ann',
    pipelineId: 'sales',
    stageId: 'new',
    outcome: 'open',
    type: null,
    amount: 10_000,
    currency: 'EUR',
    closeDate: '2027-01-29',
    createdAt: on('2026-01-05'),
    imported: false,
    category: 'PIPELINE',
    lockGroup: null,
    modifiedAt: on('2026-01-05'),
    meeting: null,
    ...more,
    own: { ...NO_OWN_FIELDS, ...more.own },
  }
}

export function known(
  more: Parameters<typeof deal>[0] = {},
  changes: readonly Change[] = [],
  activities: readonly Activity[] = [],
  firstSeen: Instant = on('2026-01-06', '02:00'),
): Known {
  const one = deal(more)
  return {
    ref: { connection: 'hub', id: one.id },
    deal: one,
    changes: changes.toSorted((a, b) => a.at - b.at),
    activities: activities.toSorted((a, b) => a.at - b.at),
    firstSeen,
  }
}

/** A person's change; `more` for another actor or source. */
export function change(
  field: Change['field'],
  at: Instant,
  from: string | null | undefined,
  to: string | null,
  more: Partial<Change> = {},
): Change {
  return { field, at, ...(from === undefined ? {} : { from }), to, by: 'person', source: 'CRM_UI', ...more }
}

/** A field as unstall sees it change between two nights. */
export const observed = { by: 'unknown', source: 'observed' } as const

export function activity(kind: Activity['kind'], at: Instant, outside: boolean | null = true): Activity {
  return { id: `${kind}-${at}`, kind, at, outside }
}

export const NOTHING: Memory = { stalledSince: null, dismissedAt: null }

/** Log and verdict of one deal in one go. */
export function verdict(
  one: Known,
  now: Instant,
  more: { settings?: Settings; memory?: Partial<Memory>; own?: readonly OwnWrite[]; reference?: Reference } = {},
): { readonly log: MovementLog; readonly verdict: Verdict } {
  const ctx = context(more.settings, more.reference)
  const memory = { ...NOTHING, ...more.memory }
  const log = movementLog(one, more.own ?? [], ctx, memory.stalledSince, now)
  return { log, verdict: judge(one, log, memory, ctx, now) }
}
