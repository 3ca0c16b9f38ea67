// Two observations of a deal, its history and its activities -> the movement log: the fixed list of events that
// count, each with who took part and when. Everything else is not movement. Own writes are left out here, once.
import type { Calendar } from './calendar.ts'
import type { Actor, Deal, DealRef, Evidence, Instant, Known, LocalDate, Reference } from './deal.ts'
import type { Policy } from './policy.ts'

export type MovementKind =
  | 'stage_forward'
  | 'stage_back'
  | 'reply'
  | 'meeting'
  | 'call'
  | 'reopened'
  | 'closed'
  | 'pipeline_moved'
  | 'amount_changed'
  | 'close_date_earlier'
  | 'close_date_later'
  | 'rep_activity'
  | 'field_edited'

export interface LogEntry {
  readonly at: Instant
  readonly kind: MovementKind
  readonly counts: 'strong' | 'weak' | 'no'
  /** Why it does not count (or only weakly), as data for `explain`; null where the kind says it all. */
  readonly why:
    | 'own_write'
    | 'automation'
    | 'not_beyond_furthest'
    | 'below_five_percent'
    | 'not_earlier_than_before'
    | 'rep_only'
    | 'no_outside_attendee'
    | 'unknown_participants'
    | 'unknown_actor'
    | 'not_movement'
    | null
  readonly by: Actor
  readonly source: string
  readonly from: string | null
  readonly to: string | null
}

export interface MovementLog {
  /** Oldest first. */
  readonly entries: readonly LogEntry[]
  /** Where the idle clock stands, weak movement after the start of an open stall left out. */
  readonly clock: { readonly at: Instant; readonly kind: MovementKind | 'created' | 'first_seen' }
  readonly lastStrong: Instant | null
  /** Pushes that count today: net per day, within 180 calendar days, since the last stage forward (or reopening). */
  readonly pushes: readonly { readonly on: LocalDate; readonly from: LocalDate; readonly to: LocalDate }[]
}

/** A write of ours that reached the CRM, to recognise its echo: user, field, value and time must all agree. */
export interface OwnWrite {
  readonly field: string
  readonly to: string | null
  readonly at: Instant
}

export interface MovementContext {
  readonly reference: Reference
  readonly policy: Policy
  readonly calendar: Calendar
}

/**
 * Merges one observation into what is known. `now` is the frozen time of the run. Idempotent; the union of evidence
 * does not depend on order; an older observation (by `modifiedAt`) never overwrites a newer one.
 * Evidence alone: hand in `previous.deal` as `deal`.
 */
export function observe(
  previous: Known | null,
  seen: { readonly ref: DealRef; readonly deal: Deal; readonly evidence: Evidence | null },
  now: Instant,
): Known {
  throw new Error(`not built yet ${previous} ${seen} ${now}`)
}

/** The movement log of one deal at `now`. `own`: our writes of this deal that reached the CRM. */
export function movementLog(
  known: Known,
  own: readonly OwnWrite[],
  context: MovementContext,
  stalledSince: Instant | null,
  now: Instant,
): MovementLog {
  throw new Error(`not built yet ${known} ${own} ${context} ${stalledSince} ${now}`)
}
