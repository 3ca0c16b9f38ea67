// Before and after the call: is a deal still the one that was judged, has a write arrived, which status may follow
// which. And the ledger's view of a deal: what our writes left on it, where the observation is older than they are.
import { BLANK_CATEGORY, type Change, type Deal, type FieldValues, type Instant, type OwnFields } from './deal.ts'
import { fieldText, type OwnWrite } from './movement.ts'
import type { LedgerRow, LedgerStatus, PlannedWrite } from './plan.ts'

export type FieldKey = keyof FieldValues
export type FieldsWrite = Extract<PlannedWrite, { kind: 'fields' }>
export type FieldsRow = Extract<LedgerRow, { kind: 'fields' }>

/** Which ledger status may follow which. `sent -> planned` only by outcome `later` or by proven absence. */
export const MOVES: Readonly<Record<LedgerStatus, readonly LedgerStatus[]>> = {
  planned: ['sent', 'held', 'dropped', 'left'],
  sent: ['done', 'refused', 'planned', 'left'],
  done: ['undone', 'left'],
  held: [],
  dropped: [],
  refused: [],
  left: [],
  undone: [],
}
export const canMove = (from: LedgerStatus, to: LedgerStatus): boolean => MOVES[from].includes(to)

/** Every field unstall writes, in the order they are written and compared. */
export const FIELD_KEYS = [
  'stalled',
  'state',
  'since',
  'reason',
  'explanation',
  'lastMovement',
  'categoryBefore',
  'category',
  'decision',
  'decisionDue',
  'cause',
] as const satisfies readonly FieldKey[]

/** Salesforce keeps no milliseconds. */
export const sameInstant = (a: Instant, b: Instant): boolean => Math.floor(a / 1000) === Math.floor(b / 1000)

/** Equal as a CRM would store them: instants to the second, text without its outer white space, empty text as none. */
export function sameValue(a: FieldValues[FieldKey], b: FieldValues[FieldKey]): boolean {
  if (a === b) return true
  if (typeof a === 'number' && typeof b === 'number') return sameInstant(a, b)
  const plain = (value: typeof a) => (typeof value === 'string' ? value.trim() || null : value || null)
  return plain(a) === plain(b)
}

export const fieldValue = (deal: Deal, key: FieldKey): FieldValues[FieldKey] =>
  key === 'category' ? deal.category : deal.own[key]

/** The named fields of a set of values. */
export function pick(from: FieldValues, keys: readonly FieldKey[]): FieldValues {
  const out: { -readonly [K in FieldKey]?: FieldValues[K] } = {}
  const copy = <K extends FieldKey>(key: K) => {
    if (from[key] !== undefined) out[key] = from[key]
  }
  for (const key of keys) copy(key)
  return out
}

/** The deal as it is after these values are written to it. */
export function withValues(deal: Deal, values: FieldValues): Deal {
  const { category = deal.category, ...own } = values
  return { ...deal, category, own: { ...deal.own, ...own } }
}

/** Rows known to have arrived, oldest first. */
export function doneFields(ledger: readonly LedgerRow[]): readonly FieldsRow[] {
  if (ledger.length === 0) return []
  const done: FieldsRow[] = []
  for (const row of ledger) if (row.kind === 'fields' && row.status === 'done') done.push(row)
  return done.sort((a, b) => a.plannedAt - b.plannedAt)
}

/** Our last word on a field, if we ever had one. */
export function lastWritten(ledger: readonly LedgerRow[], key: FieldKey): FieldsRow | null {
  return doneFields(ledger).findLast((row) => key in row.after) ?? null
}

/**
 * The deal with the writes it does not show yet: those that arrived after this observation was made. A search index
 * that lags must not make us see a cleared flag. Compared with the frozen `now` of the writing run, which is earlier
 * than the write itself and later than the observation it was planned from.
 */
export function observedAfter(deal: Deal, ledger: readonly LedgerRow[]): Deal {
  let seen = deal
  for (const row of doneFields(ledger)) if (row.plannedAt > deal.modifiedAt) seen = withValues(seen, row.after)
  return seen
}
export const ownAfter = (deal: Deal, ledger: readonly LedgerRow[]): OwnFields => observedAfter(deal, ledger).own

/** The newest change of a field after an instant that the CRM itself reported (not inferred between two nights). */
export function latestChange(changes: readonly Change[], field: Change['field'], after: Instant): Change | null {
  let latest: Change | null = null
  for (const change of changes) {
    if (change.field !== field || change.at <= after || change.source === 'observed') continue
    if (latest === null || change.at >= latest.at) latest = change
  }
  return latest
}

/** How a category is remembered in `categoryBefore`, and back. */
export const remember = (category: string | null): string => category ?? BLANK_CATEGORY
export const recall = (saved: string): string | null => (saved === BLANK_CATEGORY ? null : saved)

const JUDGED = ['stageId', 'pipelineId', 'outcome', 'ownerId', 'type', 'amount', 'currency', 'closeDate'] as const
const JUDGED_OWN = ['stalled', 'state', 'since', 'reason', 'categoryBefore', 'decisionDue', 'decision'] as const
const JUDGED_TEXT = ['parkedUntil', 'parkedReason'] as const

export type Reaffirmed =
  | 'go'
  | { readonly drop: 'gone' | 'unreadable' }
  /** `fields`: what differs from what was judged. */
  | { readonly drop: 'changed'; readonly fields: readonly string[] }

/**
 * May this row still be written? A deal of which any judged field differs from what was judged waits for the next
 * night. `echo`: rows of this deal written since the judged observation (earlier in this run, or by an earlier run
 * the observation does not show yet): their values are no difference.
 */
export function reaffirm(
  row: PlannedWrite,
  judged: Deal,
  fresh: Deal | 'gone' | 'unreadable',
  echo: readonly PlannedWrite[] = [],
): Reaffirmed {
  if (fresh === 'gone' || fresh === 'unreadable') return { drop: fresh }
  let expected = judged
  for (const other of echo)
    if (other.kind === 'fields' && other.deal.id === row.deal.id) expected = withValues(expected, other.after)
  const fields: string[] = []
  for (const key of JUDGED) if (expected[key] !== fresh[key]) fields.push(key)
  for (const key of JUDGED_TEXT) if (expected.own[key] !== fresh.own[key]) fields.push(key)
  for (const key of [...JUDGED_OWN, 'category'] as const)
    if (!sameValue(fieldValue(expected, key), fieldValue(fresh, key))) fields.push(key)
  return fields.length === 0 ? 'go' : { drop: 'changed', fields }
}

/** What a fresh read says of a write whose answer never came: arrived, never arrived, or a person was faster. */
export function settleFields(row: FieldsWrite, fresh: Deal): 'done' | 'planned' | 'left' {
  const keys = FIELD_KEYS.filter((key) => key in row.after)
  const equals = (values: FieldValues) => keys.every((key) => sameValue(fieldValue(fresh, key), values[key]))
  return equals(row.after) ? 'done' : equals(row.before) ? 'planned' : 'left'
}

/** What of ours reached the CRM, taken back or not: how `movementLog` recognises an echo. */
export function ownWrites(ledger: readonly LedgerRow[]): readonly OwnWrite[] {
  const writes: OwnWrite[] = []
  for (const row of ledger) {
    if (row.kind !== 'fields' || (row.status !== 'done' && row.status !== 'undone')) continue
    for (const field of FIELD_KEYS) {
      const value = row.after[field]
      if (value !== undefined) writes.push({ field, to: fieldText(value), at: row.sentAt ?? row.plannedAt })
    }
  }
  return writes
}
