// What both lookalike CRMs are filled with: one neutral description of a company's pipeline, which each server
// turns into its own records, histories and identifiers. Made by the seeded generator or read from a CSV file.

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type Instant = number

export interface SeedOwner {
  readonly email: string
  readonly firstName: string
  readonly lastName: string
  readonly team: string
  readonly managerEmail: string | null
  readonly active: boolean
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
