// Before and after the call: is a deal still the one that was judged, has a write arrived, which status may follow
// which. And the ledger's view of a deal: what our writes left on it, where the observation is older than they are.
import { BLANK_CATEGORY, type Change, type Deal, type FieldValues, type Instant } from './deal.ts'
import { fieldText, type OwnWrite } from './movement.ts'
import type { LedgerRow, LedgerStatus, PlannedWrite } from './plan.ts'

type FieldKey = keyof FieldValues
type Value = FieldValues[FieldKey]
export type FieldsWrite = Extract<PlannedWrite, { kind: 'fields' }>
export type FieldsRow = Extract<LedgerRow, { kind: 'fields' }>

/** Which ledger status may follow which. `sent -> planned` only by outcome `later` or by proven absence. */
export const MOVES: Readonly<Record<LedgerStatus, readonly LedgerStatus[]>> = {
  planned: ['sent', 'held', 'dropped', 'left'],
  sent: ['done', 'refused', 'planned', 'left'],
  done: ['undone', 'left'],
  ...{ held: [], dropped: [], refused: [], left: [], undone: [] },
}

/** The row reached the CRM, taken back since or not. */
export const arrived = ({ status }: LedgerRow): boolean => status === 'done' || status === 'undone'
/** The row is in the CRM, may come to be there, or a person had the last word on it: a task is not planned again. */
export const LIVE: readonly LedgerStatus[] = ['planned', 'sent', 'done', 'left', 'undone']

const FLAG_KEYS = ['stalled', 'state', 'since', 'reason', 'explanation', 'lastMovement', 'categoryBefore'] as const
/** Every field unstall writes, in the order they are written and compared. */
export const FIELD_KEYS = [...FLAG_KEYS, 'category', 'decision', 'decisionDue', 'cause', 'stage'] as const

/** Equal as a CRM would store them: instants to the second (Salesforce keeps no milliseconds), text without its outer
 *  white space, empty text and an empty flag as none. */
export function sameValue(a: Value, b: Value): boolean {
  const stored = (value: Value) =>
    (typeof value === 'string' ? value.trim() : typeof value === 'number' ? Math.floor(value / 1000) : value) || null
  return stored(a) === stored(b)
}

/** What a deal holds in the fields unstall writes, beside those only the rep sets. */
export const valuesOf = (deal: Deal) => ({ ...deal.own, category: deal.category, stage: deal.stageId })

/** The values of the fields that are wanted. */
export function pick(from: FieldValues, wanted: (key: FieldKey) => boolean): FieldValues {
  const picked: FieldValues = {}
  for (const key of FIELD_KEYS) if (from[key] !== undefined && wanted(key)) Object.assign(picked, { [key]: from[key] })
  return picked
}

/** The deal as it is after these values are written to it. */
export function withValues(deal: Deal, values: FieldValues): Deal {
  const { category = deal.category, stage: stageId = deal.stageId, ...own } = values
  return { ...deal, category, stageId, own: { ...deal.own, ...own } }
}

/** Rows known to have arrived, oldest first. */
function doneFields(ledger: readonly LedgerRow[]): readonly FieldsRow[] {
  const done = ledger.filter((row): row is FieldsRow => row.kind === 'fields' && row.status === 'done')
  return done.sort((a, b) => a.plannedAt - b.plannedAt)
}

/** Our last word on a field, if we ever had one. */
export const lastWritten = (ledger: readonly LedgerRow[], key: FieldKey): FieldsRow | null =>
  doneFields(ledger).findLast((row) => key in row.after) ?? null

/** The deal with the writes it does not show yet: those that arrived after this observation was made. A search index
 *  that lags must not make us see a cleared flag. Compared with the frozen `now` of the writing run, which is earlier
 *  than the write itself and later than the observation it was planned from. */
export const observedAfter = (deal: Deal, ledger: readonly LedgerRow[]): Deal =>
  doneFields(ledger).reduce((seen, row) => (row.plannedAt > deal.modifiedAt ? withValues(seen, row.after) : seen), deal)

/** The newest change of a field after an instant that the CRM itself reported (not inferred between two nights). */
export const latestChange = (changes: readonly Change[], field: Change['field'], after: Instant): Change | null =>
  changes.findLast((one) => one.field === field && one.at > after && one.source !== 'observed') ?? null

/** How a category is remembered in `categoryBefore`, and back. */
export const remember = (category: string | null): string => category ?? BLANK_CATEGORY
export const recall = (saved: string): string | null => (saved === BLANK_CATEGORY ? null : saved)

const JUDGED = ['stageId', 'pipelineId', 'outcome', 'ownerId', 'type', 'amount', 'currency', 'closeDate'] as const
const JUDGED_REP = ['parkedUntil', 'parkedReason', 'decisionDue', 'decision'] as const
const JUDGED_OWN = ['stalled', 'state', 'since', 'reason', 'categoryBefore', 'category'] as const

/** May this row still be written? A deal of which any judged field differs from what was judged waits for the next
 *  night; `fields` tells which. `echo`: rows of this deal written since the judged observation (earlier in this run, or
 *  by an earlier run the observation does not show yet): their values are no difference. */
export function reaffirm(
  row: PlannedWrite,
  judged: Deal,
  fresh: Deal | 'gone' | 'unreadable',
  echo: readonly PlannedWrite[] = [],
): 'go' | { readonly drop: 'gone' | 'unreadable' } | { readonly drop: 'changed'; readonly fields: readonly string[] } {
  if (fresh === 'gone' || fresh === 'unreadable') return { drop: fresh }
  let expected = judged
  for (const other of echo)
    if (other.kind === 'fields' && other.deal.id === row.deal.id) expected = withValues(expected, other.after)
  const [was, is] = [valuesOf(expected), valuesOf(fresh)]
  const fields = [
    ...JUDGED.filter((key) => expected[key] !== fresh[key]),
    ...[...JUDGED_REP, ...JUDGED_OWN].filter((key) => !sameValue(was[key], is[key])),
  ]
  return fields.length === 0 ? 'go' : { drop: 'changed', fields }
}

/** What a fresh read says of a write whose answer never came: arrived, never arrived, or a person was faster. */
export function settleFields({ before, after }: FieldsWrite, fresh: Deal): 'done' | 'planned' | 'left' {
  const held = valuesOf(fresh)
  const holds = (values: FieldValues) => FIELD_KEYS.every((key) => !(key in after) || sameValue(held[key], values[key]))
  return holds(after) ? 'done' : holds(before) ? 'planned' : 'left'
}

/** What of ours reached the CRM, taken back or not: how `movementLog` recognises an echo. */
export function ownWrites(ledger: readonly LedgerRow[]): readonly OwnWrite[] {
  return ledger.flatMap((row) => {
    if (row.kind !== 'fields' || !arrived(row)) return []
    const fields = FIELD_KEYS.filter((field) => row.after[field] !== undefined)
    const at = row.sentAt ?? row.plannedAt
    return fields.map((field) => ({
      ...{ field, to: fieldText(row.after[field] ?? null), at },
      ...(field === 'stage' && row.cause === 'recovered' && { reactivates: true }),
    }))
  })
}
