// The forecast category, borrowed while a deal does not count and given back as the CRM itself would set it. The saved
// value lives on the deal (`categoryBefore`) and in the ledger: a write that never arrived was never a loan.
import type { Deal, Known, Reference, Stage } from './deal.ts'
import type { LedgerRow } from './plan.ts'
import type { Settings } from './policy.ts'
import { fieldValue, lastWritten, latestChange, recall, remember } from './reaffirm.ts'
import type { Standing } from './stall.ts'

export interface LoanInput {
  readonly known: Known
  /** The deal with our own writes it does not show yet. */
  readonly observed: Deal
  /** As stored, before tonight. */
  readonly was: Standing | null
  /** Advanced. */
  readonly standing: Standing
  readonly ledger: readonly LedgerRow[]
}

export interface LoanContext {
  readonly settings: Pick<Settings, 'forecast'>
  readonly reference: Pick<Reference, 'omitted' | 'closedCategory'>
  readonly stage: (pipeline: string, stage: string) => Stage | undefined
  readonly now: number
}

export interface Loan {
  readonly standing: Standing
  /** The category to write; undefined: none. */
  readonly category: string | null | undefined
  /** `categoryBefore` to write; undefined: as it is. */
  readonly saved: string | null | undefined
  /** We had taken it before, and something other than a person put it back. */
  readonly again: boolean
}

/** What is to be done about the forecast category tonight. */
export function loan(input: LoanInput, context: LoanContext): Loan {
  const { observed, standing, ledger } = input
  const { omitted } = context.reference
  const out = standing.state === 'stalled' || standing.state === 'parked' || standing.state === 'answered_no'
  const saved = savedBefore(observed, ledger)
  const wrote = lastWritten(ledger, 'category')?.after.category
  if (out && context.settings.forecast === 'omit' && omitted !== null) {
    const none = { standing, category: undefined, saved: undefined, again: false }
    // Omitted already: by us, or by a person before, and then there is nothing to borrow.
    if (standing.categoryTheirs) return none
    if (observed.category === omitted) {
      if (saved === null || standing.borrowed !== null) return none
      // Borrowed, says the CRM, and this database does not know since when (lost).
      const borrowed = { category: recall(saved), stage: observed.stageId, at: standing.since }
      return { ...none, standing: { ...standing, borrowed } }
    }
    const taken = saved !== null && wrote === omitted
    if (putBackByPerson(input, taken, omitted)) return { ...none, standing: { ...standing, categoryTheirs: true } }
    return {
      standing: {
        ...standing,
        borrowed: { category: observed.category, stage: observed.stageId, at: context.now },
      },
      category: omitted,
      saved: remember(observed.category),
      again: taken,
    }
  }
  // A loan is forgotten once it shows that the category was given back.
  const kept = saved === null && standing.borrowed !== null ? { ...standing, borrowed: null } : standing
  const none = { standing: kept, category: undefined, again: false }
  if (saved === null) return { ...none, saved: undefined }
  // Without a ledger (lost database) the saved value alone tells that the category is ours.
  const ours =
    wrote === undefined ? lastWritten(ledger, 'categoryBefore') === null : wrote === omitted && !wasAway(input, omitted)
  if (omitted === null || observed.category !== omitted || !ours) return { ...none, saved: null }
  const back = givenBack(observed, input.was?.borrowed?.stage ?? observed.stageId, saved, context)
  return { ...none, category: back === omitted ? undefined : back, saved: null }
}

/** The category we hold for the deal, as remembered; null: none. The ledger is surer than a text field anyone can edit. */
function savedBefore(observed: Deal, ledger: readonly LedgerRow[]): string | null {
  const last = lastWritten(ledger, 'categoryBefore')
  const value = last === null ? fieldValue(observed, 'categoryBefore') : last.after.categoryBefore
  return typeof value === 'string' ? value : null
}

/** It has been something else since we wrote it: who omitted it again was not us. */
function wasAway({ known, ledger }: LoanInput, omitted: string | null): boolean {
  const since = lastWritten(ledger, 'category')?.plannedAt ?? 0
  return known.changes.some(({ field, to, at }) => field === 'category' && to !== omitted && at > since)
}

/** Won: the CRM's closed category. Another stage: what that stage maps to. Else what it was. */
function givenBack(deal: Deal, stageThen: string, saved: string, context: LoanContext): string | null {
  if (deal.outcome === 'won' && context.reference.closedCategory !== null) return context.reference.closedCategory
  const mapped = deal.stageId === stageThen ? null : context.stage(deal.pipelineId, deal.stageId)?.category
  return deal.outcome === 'won' ? recall(saved) : (mapped ?? recall(saved))
}

/** CRMs reset the category in the same save that changes the stage, in the name of whoever saved. */
const SAME_SAVE_MS = 2000

/**
 * Who made the category leave "omitted": a person (then it is theirs), or the CRM with a stage change or a workflow.
 * Where the CRM keeps no history of it, a category that changed while the stage did not was a person's.
 */
function putBackByPerson({ known, observed, standing }: LoanInput, taken: boolean, omitted: string): boolean {
  const { borrowed } = standing
  const since = borrowed?.at ?? standing.since
  const edit = latestChange(known.changes, 'category', since)
  const staged = latestChange(known.changes, 'stage', since)
  if (edit !== null && edit.to !== omitted && (taken || edit.from === omitted)) {
    const bySystem = edit.by === 'automation' || edit.by === 'self'
    return !bySystem && (staged === null || Math.abs(edit.at - staged.at) > SAME_SAVE_MS)
  }
  return taken && borrowed !== null && staged === null && observed.stageId === borrowed.stage
}
