// What becomes of a field of ours that people delete, rename, retype or take from us. What stood in it stays as it was
// last known, what would be written to it waits, and once it is made anew nothing follows from its being empty.
import type { Deal, FieldState, Instant, Reference } from './deal.ts'
import type { Hold, LedgerRow, PlannedWrite } from './plan.ts'
import { observedAfter, pick } from './reaffirm.ts'

type Fields = Pick<Reference, 'fields'>
const hidden = ({ fields = {} }: Fields) =>
  Object.entries(fields).flatMap(([key, { readable }]) => (readable ? [] : [key]))
/** Is there a field that cannot be read now? */
export const isBlind = (reference: Fields): boolean => hidden(reference).length > 0

/** Tonight's reference with what is remembered of each field. `back`: one can be read again, so that what it holds, and
 *  what it lost, must be read of every deal. */
export function fieldsSince(last: Reference | null, now: Reference, at: Instant) {
  const before = new Map(Object.entries(last?.fields ?? {}))
  let back = false
  const remembered = Object.entries(now.fields ?? {}).map(([key, state]): [string, FieldState] => {
    const was = before.get(key)
    const returned =
      state.readable && was !== undefined && was.made !== null && !(was.readable && was.made === state.made)
    // The same making again: it was only hidden, or restored with all that was in it.
    const anew = returned && (was.made !== state.made || state.made === '')
    const lost = anew ? at : was?.lost
    back ||= returned
    return [key, { ...state, made: state.made ?? was?.made ?? null, ...(lost !== undefined && { lost }) }]
  })
  return { reference: { ...now, fields: Object.fromEntries(remembered) }, back }
}

/** A deal with the fields that cannot be read now as they were last known, our own writes since included. */
export function asLastKnown(
  seen: Deal,
  known: Deal | undefined,
  ledger: readonly LedgerRow[],
  reference: Fields,
): Deal {
  const keys = hidden(reference)
  if (known === undefined || keys.length === 0) return seen
  const last = observedAfter(known, ledger)
  const kept = Object.entries(last.own).filter(([key]) => keys.includes(key))
  const category = keys.includes('category') ? last.category : seen.category
  return { ...seen, category, own: { ...seen.own, ...Object.fromEntries(kept) } }
}

/** The ledger without what went with a field that was made anew: it is no word of ours any more, and that the field is
 *  empty is nobody's doing. */
export function stillThere(ledger: readonly LedgerRow[], { fields = {} }: Fields): readonly LedgerRow[] {
  if (ledger.length === 0) return ledger
  const lost = new Map(Object.entries(fields).flatMap(([key, { lost }]) => (lost === undefined ? [] : [[key, lost]])))
  if (lost.size === 0) return ledger
  const stays = (row: LedgerRow) => (key: string) => row.plannedAt >= (lost.get(key) ?? row.plannedAt)
  return ledger.map((row) => (row.kind === 'fields' ? { ...row, after: pick(row.after, stays(row)) } : row))
}

/** Why rows of one deal wait: a field that cannot be written holds them all, the key of tasks only tasks. */
export function fieldHolds(rows: readonly PlannedWrite[], { fields = {} }: Fields): readonly PlannedWrite[] {
  const missing = (state: FieldState | undefined): Hold | null =>
    state === undefined || (state.writable && state.readable) ? null : { brake: 'field_missing', field: state.name }
  const touched = rows.flatMap((row) => (row.kind === 'fields' ? Object.keys(row.after) : []))
  const [whole] = Object.entries(fields).flatMap(([key, state]) =>
    touched.includes(key) ? (missing(state) ?? []) : [],
  )
  if (!whole && missing(fields.taskKey) === null) return rows
  const hold = (row: PlannedWrite) => whole ?? (row.kind === 'fields' ? null : missing(fields.taskKey))
  return rows.map((row) => ({ ...row, hold: row.hold ?? hold(row) }))
}
