// What both lookalike CRMs are filled with: one neutral description of a company's pipeline, which each server
// turns into its own records, histories and identifiers. Made by the seeded generator or read from a CSV file.

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type Instant = number
export const DAY = 86_400_000
/** `YYYY-MM-DD`, in UTC. */
export const dateOf = (at: Instant) => new Date(at).toISOString().slice(0, 10)

export interface SeedOwner {
  readonly email: string
  readonly firstName: string
  readonly lastName: string
  readonly team: string
  readonly managerEmail: string | null
  readonly active: boolean
}

/** Without accents, in lower case. */
export const plain = (value: string) => value.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase()
export const emailOf = (name: string) =>
  `${plain(name)
    .replace(/\s+/g, '.')
    .replace(/[^a-z0-9.-]/g, '')}@example.com`
/** Everybody's address is first.last@example.com. */
export function ownerOf(name: string, team: string, manager: string | null, active = true): SeedOwner {
  const [firstName = name, ...rest] = name.split(/\s+/)
  const managerEmail = manager ? emailOf(manager) : null
  return { email: emailOf(name), firstName, lastName: rest.join(' '), team, managerEmail, active }
}

export interface SeedStage {
  /** HubSpot stage id; Salesforce uses the label as its value. */
  readonly id: string
  readonly label: string
  /** 0 to 1; 1 is won, 0 is lost. */
  readonly probability: number
  /** What a stage maps to in the forecast. */
  readonly category: 'omitted' | 'pipeline' | 'best_case' | 'commit' | 'closed'
}

export interface SeedPipeline {
  readonly id: string
  readonly label: string
  readonly stages: readonly SeedStage[]
}

export type By = 'person' | 'workflow' | 'import' | 'integration'

/** What happened to a deal after its creation, oldest first, none later than the seed's `now` (but a booked meeting's `at`). */
export type SeedEvent =
  | { readonly at: Instant; readonly kind: 'stage'; readonly to: string; readonly by: By }
  | { readonly at: Instant; readonly kind: 'amount'; readonly to: number; readonly by: By }
  | { readonly at: Instant; readonly kind: 'close-date'; readonly to: string; readonly by: By }
  | { readonly at: Instant; readonly kind: 'reply' }
  | { readonly at: Instant; readonly kind: 'meeting'; readonly held: boolean; readonly outside: boolean }
  | { readonly at: Instant; readonly kind: 'call'; readonly outcome: 'connected' | 'incoming' | 'no-answer' }
  | { readonly at: Instant; readonly kind: 'note' }

export interface SeedDeal {
  readonly name: string
  readonly account: string | null
  readonly ownerEmail: string
  readonly pipeline: string
  /** Stage at creation. */
  readonly stage: string
  readonly createdAt: Instant
  /** Who created it; absent: a person. `import`: came in by a bulk import, so that "no history" says nothing. */
  readonly createdBy?: By
  /** At creation; `YYYY-MM-DD`. */
  readonly closeDate: string
  readonly amount: number | null
  /** Forecast category set by the rep at creation; null: the stage's mapping (Salesforce) or blank (HubSpot). */
  readonly category: 'pipeline' | 'best_case' | 'commit' | null
  readonly type: string | null
  readonly events: readonly SeedEvent[]
}

export interface Seed {
  readonly now: Instant
  readonly currency: string
  readonly owners: readonly SeedOwner[]
  readonly pipelines: readonly SeedPipeline[]
  readonly deals: readonly SeedDeal[]
}
