// The pipeline of a believable company, from a seed: enough ordinary selling that nothing should happen to it, and every
// way a deal dies in real CRMs: silence, pushed dates, unanswered contracts, bulk imports, a rep who left.
import { type Random, random } from './random.ts'
import type { Instant, Seed, SeedDeal, SeedEvent, SeedOwner, SeedPipeline, SeedStage } from './seed.ts'
import { DAY, dateOf, ownerOf } from './seed.ts'

const HOUR = 3_600_000

export interface GenerateOptions {
  /** What the sandbox's clock will say; nothing happens later, booked meetings aside. */
  readonly now: Instant
  readonly seed?: number
  /** All deals, open and closed. Default 400. */
  readonly deals?: number
  /** How many of them are open. Default: a fifth. */
  readonly open?: number
}

const stage = (id: string, label: string, probability: number, category: SeedStage['category']): SeedStage => ({
  id,
  label,
  probability,
  category,
})

/** Labels are unique over both pipelines: Salesforce has one list of stages. `contractsent` is the decision stage. */
export const PIPELINES: readonly SeedPipeline[] = [
  {
    id: 'default',
    label: 'New business',
    stages: [
      stage('appointmentscheduled', 'Appointment scheduled', 0.2, 'pipeline'),
      stage('qualifiedtobuy', 'Qualified to buy', 0.4, 'pipeline'),
      stage('presentationscheduled', 'Presentation scheduled', 0.6, 'best_case'),
      stage('decisionmakerboughtin', 'Decision maker bought in', 0.8, 'best_case'),
      stage('contractsent', 'Contract sent', 0.9, 'commit'),
      stage('closedwon', 'Closed won', 1, 'closed'),
      stage('closedlost', 'Closed lost', 0, 'omitted'),
    ],
  },
  {
    id: 'renewals',
    label: 'Renewals',
    stages: [
      stage('renewaldue', 'Renewal due', 0.5, 'pipeline'),
      stage('renewalquoted', 'Renewal quoted', 0.7, 'best_case'),
      stage('renewalnegotiation', 'In negotiation', 0.85, 'commit'),
      stage('renewed', 'Renewed', 1, 'closed'),
      stage('notrenewed', 'Not renewed', 0, 'omitted'),
    ],
  },
]

const MANAGERS = ['Hélène Marchand', 'Daniel Okafor'] as const
const PARIS = ['Camille Durand', 'Julien Lefèvre', 'Inès Benali', 'Théo Garnier']
const LONDON = ['Grace Whitfield', 'Tom Ashby', 'Priya Raman', "Sean O'Leary"]
/** The same people whatever the seed: a company that uses both CRMs has one team. */
export const OWNERS: readonly SeedOwner[] = [
  ownerOf(MANAGERS[0], 'Paris', null),
  ownerOf(MANAGERS[1], 'London', null),
  ...PARIS.map((name) => ownerOf(name, 'Paris', MANAGERS[0])),
  ...LONDON.map((name) => ownerOf(name, 'London', MANAGERS[1])),
  ownerOf('Marc Fontaine', 'Paris', MANAGERS[0], false),
]
const ACTIVE = OWNERS.filter((person) => person.active && person.managerEmail)
const LEFT = OWNERS.filter((person) => !person.active)

const HEADS =
  'Alpine,Atelier,Beaumont,Blackwood,Bluefin,Boréal,Cascade,Célestin,Dupont,Eastgate,Fairmont,Garonne,Granite,Harbour,Ironbridge,Juniper,Kestrel,Lacroix,Lumière,Maison Perrin,Meridian,Montclair,Northwick,Océane,Pinnacle,Quayside,Redfern,Rivage,Silverline,Sorbier,Thornbury,Valmont,Westmere,Whitcombe'
const TAILS =
  'Logistics,Santé,Foods,Énergie,Textiles,Partners,Transports,Robotics,Assurances,Hotels,Packaging,Biotech,Conseil,Retail,Automotive'
const WHAT =
  'platform rollout,déploiement France,50 seats,pilot for two sites,contrat-cadre,data migration,extension entrepôt,phase 2,support 24/7,formation équipes'
const [heads, tails, what] = [HEADS.split(','), TAILS.split(','), WHAT.split(',')]
/** What people and other programs really leave in deal names: every screen and formula must survive them. */
const HOSTILE = [
  '<script>alert("deal")</script> platform',
  `O'Brien & Sons "rush" order; DROP TABLE deals`,
  '🚀🔥 Q4 mega deal 🦄 👩‍👩‍👧',
  'صفقة الرياض \u202e 2026 – توريد',
  '=HYPERLINK("http://example.com","click")',
  '{{contact.firstname}} %s #{amount}',
  `  Très longue affaire ${'à reconduire '.repeat(14)}`,
]

/** How a deal ended up; open ones first, with their share of the open deals. */
const FATES = { lively: 46, quiet: 16, dead: 13, pushed: 8, waiting: 9, imported: 8 }
const FATE_NAMES = ['lively', 'quiet', 'dead', 'pushed', 'waiting', 'imported'] as const
type Fate = (typeof FATE_NAMES)[number] | 'won' | 'lost'

/** Same options, same seed. Amounts in EUR; times in UTC, on weekdays during office hours. */
export function generate(options: GenerateOptions): Seed {
  const { now, seed = 1, deals = 400, open = Math.round((options.deals ?? 400) / 5) } = options
  const r = random(seed)
  const made: SeedDeal[] = []
  for (let index = 0; index < deals; index++) {
    const won = r.chance(0.45) ? 'won' : 'lost'
    const fate = index < open ? (FATE_NAMES[r.weighted(Object.values(FATES))] ?? 'lively') : won
    const hostile = index % 60 === 17 ? HOSTILE[Math.floor(index / 60) % HOSTILE.length] : undefined
    made.push(deal(r, now, fate, hostile))
  }
  return { now, currency: 'EUR', owners: OWNERS, pipelines: PIPELINES, deals: made }
}

/** `days` before now, moved to a weekday between 8 and 17 h UTC, and not later than now. */
function before(r: Random, now: Instant, days: number): Instant {
  const midnight = Math.floor((now - days * DAY) / DAY) * DAY
  const weekday = new Date(midnight).getUTCDay()
  const back = weekday === 0 ? 2 : weekday === 6 ? 1 : 0
  const at = midnight - back * DAY + 8 * HOUR + Math.floor(r.next() * 9 * HOUR)
  return at <= now ? at : before(r, now, days + 1)
}

/** Days before now: creation, last movement, and the close date as it stands (negative: in the future). */
function dates(r: Random, fate: Fate): { created: number; moved: number; close: number } {
  if (fate === 'lively') return { created: r.int(12, 130), moved: r.int(0, 9), close: -r.int(6, 75) }
  if (fate === 'quiet') return { created: r.int(90, 220), moved: r.int(24, 75), close: r.int(-45, 12) }
  if (fate === 'dead') {
    const moved = r.int(200, 640)
    return { created: moved + r.int(20, 120), moved, close: moved - r.int(20, 90) }
  }
  if (fate === 'pushed') return { created: r.int(180, 260), moved: r.int(130, 160), close: -r.int(5, 40) }
  if (fate === 'waiting') return { created: r.int(50, 120), moved: r.int(4, 30), close: -r.int(3, 30) }
  if (fate === 'imported') return { created: 75, moved: 75, close: -r.int(-30, 90) }
  const closed = r.int(1, 700)
  const cycle = Math.min(400, Math.max(4, Math.round(r.skewed(fate === 'won' ? 48 : 75, 0.6))))
  return { created: closed + cycle, moved: closed, close: closed }
}

function deal(r: Random, now: Instant, fate: Fate, hostile: string | undefined): SeedDeal {
  const [business, renewals] = PIPELINES
  const pipeline = fate !== 'waiting' && r.chance(0.25) ? renewals : business
  if (!pipeline) throw new Error('no pipeline')
  const path = pipeline.stages.filter((each) => each.probability > 0 && each.probability < 1)
  const span = dates(r, fate)
  const imported = fate === 'imported'
  const createdAt = imported ? before(random('bulk import'), now, span.created) : before(r, now, span.created)
  // How far it came: a proposal waits in the last stage, an imported deal arrived in the middle and stayed there.
  const reached = fate === 'waiting' ? path.length - 1 : r.int(fate === 'won' ? 1 : 0, path.length - 1)
  const start = imported ? reached : 0
  const openFate = fate !== 'won' && fate !== 'lost'
  const selling = openFate ? span : { ...span, moved: span.moved + 3 }
  const events: SeedEvent[] = imported ? [] : history(r, now, selling, path, reached)
  if (!openFate) {
    const to = pipeline.stages.find((each) => each.probability === (fate === 'won' ? 1 : 0))
    if (to) events.push({ at: before(r, now, span.moved), kind: 'stage', to: to.id, by: 'person' })
  }
  // Noise that must not count: a rep's note or unanswered call, an amount synchronised by another program.
  if (openFate && r.chance(0.3)) events.push({ at: before(r, now, r.int(1, 12)), kind: 'note' })
  if (openFate && r.chance(0.2)) events.push({ at: before(r, now, r.int(1, 12)), kind: 'call', outcome: 'no-answer' })
  const amount = r.chance(0.04) ? null : Math.max(10, Math.round(r.skewed(14_000, 0.9) / 100)) * 100
  if (openFate && amount !== null && r.chance(0.08))
    events.push({ at: before(r, now, r.int(1, 40)), kind: 'amount', to: amount + 500, by: 'integration' })
  if (fate === 'lively' && r.chance(0.25))
    events.push({ at: now + r.int(1, 12) * DAY, kind: 'meeting', held: false, outside: true })

  const pushes = fate === 'pushed' ? r.int(3, 5) : fate === 'dead' || !r.chance(0.3) ? 0 : 1
  for (let push = pushes; push > 0; push--) {
    const at = before(r, now, fate === 'pushed' ? push * 24 - r.int(0, 10) : span.moved + 3 + push)
    events.push({ at, kind: 'close-date', to: dateOf(now - span.close * DAY - (push - 1) * 30 * DAY), by: 'person' })
  }
  const account = `${r.pick(heads)} ${r.pick(tails)}`
  const set = openFate && !imported && r.chance(0.6)
  return {
    name: hostile ?? `${account} – ${pipeline === renewals ? 'renewal' : r.pick(what)}`,
    account,
    ownerEmail: r.pick(r.chance(0.04) ? LEFT : ACTIVE).email,
    pipeline: pipeline.id,
    stage: path[start]?.id ?? '',
    createdAt,
    ...(imported ? { createdBy: 'import' as const } : {}),
    closeDate: dateOf(now - span.close * DAY - pushes * 30 * DAY),
    amount,
    category: set ? r.pick(['pipeline', 'best_case', 'commit'] as const) : null,
    type: pipeline === renewals ? 'existingbusiness' : 'newbusiness',
    events: events.map((each) => (each.at < createdAt ? { ...each, at: createdAt } : each)).sort((a, b) => a.at - b.at),
  }
}

/** Ordinary selling from creation to the last movement: stages one by one, with the buyer taking part on the way. */
function history(
  r: Random,
  now: Instant,
  span: { created: number; moved: number },
  path: readonly SeedStage[],
  reached: number,
): SeedEvent[] {
  const when = (share: number) => before(r, now, span.created - share * (span.created - span.moved))
  const events: SeedEvent[] = []
  for (let step = 1; step <= reached; step++) {
    const at = when(step / reached)
    const to = path[step]?.id
    if (to) events.push({ at, kind: 'stage', to, by: 'person' })
    if (r.chance(0.5)) events.push({ at: when((step - r.next()) / reached), kind: 'reply' })
    if (r.chance(0.35))
      events.push({ at: when((step - 0.5) / reached), kind: 'meeting', held: true, outside: r.chance(0.9) })
  }
  if (reached === 0) events.push({ at: when(1), kind: 'reply' })
  if (r.chance(0.4))
    events.push({ at: when(r.next()), kind: 'call', outcome: r.pick(['connected', 'incoming', 'no-answer']) })
  // Stages in their order even where two fell on the same hour.
  const times = events
    .filter((each) => each.kind === 'stage')
    .map((each) => each.at)
    .sort((a, b) => a - b)
  let next = 0
  return events.map((each) => (each.kind === 'stage' ? { ...each, at: times[next++] ?? each.at } : each))
}
