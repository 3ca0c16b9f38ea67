// The neutral model: what unstall knows of a deal, whichever CRM it came from. Connectors produce these
// values, the store keeps them, the core judges them. Nothing here mentions HubSpot or Salesforce by shape.

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type Instant = number
/** A calendar date `YYYY-MM-DD` without time or zone. */
export type LocalDate = string

export type System = 'hubspot' | 'salesforce'
/** As they call themselves, in every language. */
export const SYSTEMS: Readonly<Record<System, string>> = { hubspot: 'HubSpot', salesforce: 'Salesforce' }
/** The CRM's own id, always text: ids may exceed 2^53. */
export type DealId = string
export type OwnerId = string
export type RemoteId = string
/** Made of deal and stall start: one stall can never get two tasks. Unique within one CRM. */
export type TaskKey = string

/** A deal across connections: the name in the config file and the CRM's id. */
export interface DealRef {
  readonly connection: string
  readonly id: DealId
}

export type Outcome = 'open' | 'won' | 'lost'

/** The values of the CRM's state property: what formulas and views use. */
export const STATES = ['moving', 'stalled', 'parked', 'answered_no'] as const
export type WrittenState = (typeof STATES)[number]
export type State = WrittenState | 'closed' | 'gone'

export const RULES = [
  'decision_overdue',
  'answered_maybe',
  'yes_not_closed',
  'close_date_passed',
  'pushed_repeatedly',
  'no_movement',
] as const
/** Why a deal is stalled, in order of precedence. */
export type Rule = (typeof RULES)[number]
export const DECISION_RULES: readonly Rule[] = ['decision_overdue', 'answered_maybe', 'yes_not_closed']

export const DECISIONS = ['yes', 'no', 'maybe'] as const
export type Decision = (typeof DECISIONS)[number]

export const CAUSES = [
  'no_decision_maker',
  'budget',
  'comparing',
  'timing',
  'buyer_silent',
  'we_owe_something',
] as const
export type Cause = (typeof CAUSES)[number]

export const PARKED_REASONS = ['budget_cycle', 'buyer_project', 'seasonal', 'contract_end', 'other'] as const

/** unstall's own fields on the deal as the CRM holds them. Empty is null; an empty flag means the same as false, but
 *  undo puts it back as it was. */
export interface OwnFields {
  readonly stalled: boolean | null
  readonly state: WrittenState | null
  readonly since: Instant | null
  readonly reason: Rule | null
  readonly explanation: string | null
  readonly lastMovement: Instant | null
  /** The forecast category before it was borrowed. Blank is recorded as `BLANK_CATEGORY`, absence as null. */
  readonly categoryBefore: string | null
  // Set by the rep:
  readonly decisionDue: LocalDate | null
  readonly decision: Decision | null
  readonly cause: Cause | null
  readonly parkedUntil: LocalDate | null
  readonly parkedReason: string | null
}

/** How a blank forecast category is remembered, so that "was blank" differs from "was never borrowed". */
export const BLANK_CATEGORY = '(blank)'

/** Who made a change. `unknown` is treated as a person, and `explain` says so. */
export type Actor = 'person' | 'automation' | 'self' | 'unknown'

/** One change of one field, from the CRM's history or, where it has none, from two observations. */
export interface Change {
  /** `meeting`: the first booked meeting of a series, `<series> <meeting id>`, noted by `observe`: a series protects once. */
  readonly field: 'stage' | 'pipeline' | 'amount' | 'closeDate' | 'owner' | keyof OwnFields | 'category' | 'meeting'
  readonly at: Instant
  /** Values as text; dates `YYYY-MM-DD`, numbers in plain decimal. Null is empty. `from` undefined: the CRM does not say. */
  readonly from?: string | null
  readonly to: string | null
  /** `self`: by the user unstall signs in as. Whether it was unstall itself is decided in movement.ts from the ledger. */
  readonly by: Actor
  /** The CRM's word for the source (`CRM_UI`, `WORKFLOWS`, a user id …), shown by `explain`. Matched against
   *  `trustedSources` and `automationUsers`. `observed`: seen as a difference between two nights. */
  readonly source: string
}

/** Something that happened with the buyer. Own tasks are never activities: connectors leave them out. */
export interface Activity {
  /** Stable per event, so that seeing it twice changes nothing. */
  readonly id: string
  readonly kind: 'reply' | 'meeting' | 'call' | 'outgoing_email' | 'note' | 'call_attempt'
  readonly at: Instant
  /** Did someone from outside take part? Null: the CRM cannot tell (the event counts, and `explain` says so). */
  readonly outside: boolean | null
}

/** A meeting booked for the future. `series`: the id shared by a recurring series (a series protects once). */
export interface BookedMeeting {
  readonly id: string
  readonly at: Instant
  readonly outside: boolean | null
  readonly series: string | null
}

/** What a connector read of one deal. Evidence may be partial; the store keeps the union over time. */
export interface Deal {
  readonly id: DealId
  readonly name: string
  /** Link a person can click. */
  readonly url: string
  readonly ownerId: OwnerId | null
  readonly pipelineId: string
  readonly stageId: string
  readonly outcome: Outcome
  /** Salesforce record type or HubSpot deal type; for `policy.exclude.types`. */
  readonly type: string | null
  readonly amount: number | null
  readonly currency: string | null
  readonly closeDate: LocalDate | null
  readonly createdAt: Instant
  /** Created by an import or a migration, so that "no history" says nothing. */
  readonly imported: boolean
  /** Forecast category as the CRM stores it; null is blank. */
  readonly category: string | null
  readonly own: OwnFields
  /** What writes should be ordered by to avoid lock contention (Salesforce: the account). */
  readonly lockGroup: string | null
  /** Version of this observation (last-modified time). An older one never overwrites a newer one. */
  readonly modifiedAt: Instant
  readonly meeting: BookedMeeting | null
}

/** Evidence about one deal, read beside it or on its own. */
export interface Evidence {
  readonly deal: DealId
  readonly changes: readonly Change[]
  readonly activities: readonly Activity[]
}

export interface Stage {
  readonly id: string
  readonly label: string
  /** Position in the pipeline, from 0. */
  readonly order: number
  readonly outcome: Outcome
  /** Forecast category the CRM gives a deal that enters this stage; null: no mapping. */
  readonly category: string | null
}

export interface Pipeline {
  readonly id: string
  readonly label: string
  readonly stages: readonly Stage[]
}

export interface Owner {
  readonly id: OwnerId
  readonly email: string | null
  readonly name: string
  readonly active: boolean
  readonly team: string | null
}

/** What the CRM can tell; where it cannot, the lesser verdict applies and `check` says what that costs. */
export interface Tells {
  /** Who took part in meetings and calls. */
  readonly participants: boolean
  /** A person's save apart from a workflow's run by that save. */
  readonly personFromAutomation: boolean
  /** History of stage, amount and close date before the first night. */
  readonly history: boolean
  /** Incoming e-mail of the buyer. */
  readonly replies: boolean
  /** Whether calls were incoming or connected. */
  readonly calls: boolean
}

/** A field of ours by its neutral name. */
export type OurField = keyof OwnFields | 'category' | 'taskKey'

/** What the CRM lets us do with a field of ours. People delete, rename and retype fields, or take access away. */
export interface FieldState {
  /** Its name in the CRM. */
  readonly name: string
  readonly readable: boolean
  readonly writable: boolean
  /** Which making of the field this is; empty: the CRM does not tell; null: never readable. */
  readonly made: string | null
  /** The night that found it made anew: what was written before went with the old one. Noted by `fieldsSince`. */
  readonly lost?: Instant
}

/** Company-wide facts of one connection, read once a night before the deals. */
export interface Reference {
  readonly pipelines: readonly Pipeline[]
  readonly owners: readonly Owner[]
  /** Forecast category that means "not in the forecast"; null: this CRM has none for us, so nothing is borrowed. */
  readonly omitted: string | null
  /** Forecast category of won deals where the CRM has one. */
  readonly closedCategory: string | null
  /** Company currency, ISO 4217; null: unknown. */
  readonly currency: string | null
  /** The user unstall signs in as. */
  readonly self: OwnerId | null
  /** Which portal or org this is: the memory of one says nothing of another. Absent: the CRM does not say. */
  readonly account?: string
  readonly tells: Tells
  /** Absent: all as they should be. */
  readonly fields?: Readonly<Partial<Record<OurField, FieldState>>>
}

/** Everything remembered of one deal: the newest observation plus the union of all evidence. The store keeps it. */
export interface Known {
  readonly ref: DealRef
  readonly deal: Deal
  readonly changes: readonly Change[]
  readonly activities: readonly Activity[]
  /** The first night unstall saw this deal (`now` of that run). */
  readonly firstSeen: Instant
}

/** The fields unstall may write on a deal. Absent key: not written. Null: emptied. */
export interface FieldValues {
  readonly stalled?: boolean | null
  readonly state?: WrittenState | null
  readonly since?: Instant | null
  readonly reason?: Rule | null
  readonly explanation?: string | null
  readonly lastMovement?: Instant | null
  readonly categoryBefore?: string | null
  readonly category?: string | null
  readonly decision?: Decision | null
  readonly decisionDue?: LocalDate | null
  readonly cause?: Cause | null
  /** Id of a stage of the same pipeline: into the archive, and back. */
  readonly stage?: string
}
