// The forecast category, borrowed while a deal does not count and given back as the CRM itself would set it. The saved
// value lives on the deal (`categoryBefore`) and in the ledger: a write that never arrived was never a loan.
import { stageTable } from './policy.ts'
import { lastWritten, latestChange, recall, remember } from './reaffirm.ts'
import type { Tonight } from './rows.ts'
import { type Standing, writtenState } from './stall.ts'

export interface Loan {
  readonly standing: Standing
  /** The category to write; undefined: none. */
  readonly category?: string | null | undefined
  /** `categoryBefore` to write; undefined: as it is. */
  readonly saved?: string | null
  /** We had taken it before, and something other than a person put it back. */
  readonly again?: boolean
}

/** What is to be done about the forecast category tonight. */
export function loan(deal: Tonight): Loan {
  const { known, observed, ledger, settings, reference, policy, now } = deal
  const { standing } = deal.moved
  const { borrowed } = standing
  const { omitted } = reference
  const { stageId: stage, category } = observed
  const wrote = lastWritten(ledger, 'category')
  const kept = lastWritten(ledger, 'categoryBefore')
  // The ledger is surer than a text field anyone can edit.
  const saved = (kept === null ? observed.own.categoryBefore : kept.after.categoryBefore) ?? null
  if (omitted !== null && settings.forecast === 'omit' && writtenState(standing.state) !== 'moving') {
    if (standing.categoryTheirs) return { standing }
    if (category === omitted) {
      // By us, or by a person before, and then there is nothing to borrow.
      if (saved === null || borrowed !== null) return { standing }
      // Borrowed, says the CRM, and this database does not know since when (lost).
      return { standing: { ...standing, borrowed: { category: recall(saved), stage, at: standing.since } } }
    }
    const again = saved !== null && wrote?.after.category === omitted
    if (putBackByPerson(deal, again, omitted)) return { standing: { ...standing, categoryTheirs: true } }
    const taken = { ...standing, borrowed: { category, stage, at: now } }
    return { standing: taken, category: omitted, saved: remember(category), again }
  }
  // A loan is forgotten once it shows that the category was given back.
  if (saved === null) return { standing: borrowed === null ? standing : { ...standing, borrowed: null } }
  // Without a ledger (lost database) the saved value alone tells that the category is ours. If it has been something
  // else since we wrote it, who omitted it again was not us.
  const since = wrote?.plannedAt ?? 0
  const away = known.changes.some(({ field, to, at }) => field === 'category' && to !== omitted && at > since)
  const ours = wrote === null ? kept === null : wrote.after.category === omitted && !away
  if (omitted === null || category !== omitted || !ours) return { standing, saved: null }
  // Won: the CRM's closed category. Another stage: what that stage maps to. Else what it was.
  const moved = borrowed !== null && stage !== borrowed.stage
  const mapped = moved ? stageTable(reference, policy)(observed.pipelineId, stage)?.category : null
  const back = (observed.outcome === 'won' ? reference.closedCategory : mapped) ?? recall(saved)
  return { standing, saved: null, category: back === omitted ? undefined : back }
}

/** CRMs reset the category in the same save that changes the stage, in the name of whoever saved. */
const SAME_SAVE_MS = 2000

/**
 * Who made the category leave "omitted": a person (then it is theirs), or the CRM with a stage change or a workflow.
 * Where the CRM keeps no history of it, a category that changed while the stage did not was a person's.
 */
function putBackByPerson({ known, observed, moved: { standing } }: Tonight, taken: boolean, omitted: string): boolean {
  const { borrowed, since } = standing
  const edit = latestChange(known.changes, 'category', borrowed?.at ?? since)
  const staged = latestChange(known.changes, 'stage', borrowed?.at ?? since)
  if (edit === null || edit.to === omitted || !(taken || edit.from === omitted))
    return taken && borrowed !== null && staged === null && observed.stageId === borrowed.stage
  const bySystem = edit.by === 'automation' || edit.by === 'self'
  return !bySystem && (staged === null || Math.abs(edit.at - staged.at) > SAME_SAVE_MS)
}
