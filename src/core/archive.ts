// Putting away what nobody decides on. A deal is archived when it stands, stalled, in the configured stage: its flag and
// what was borrowed stay, its task is completed, no rule moves it any more. A real reply brings it back where it was.
import type { Deal, Instant, Known } from './deal.ts'
import type { LedgerRow, PlanContext } from './plan.ts'
import { type Settings, stageTable } from './policy.ts'
import { lastWritten, observedAfter } from './reaffirm.ts'
import type { Stall } from './stall.ts'

/** What a deal that was dead before the first night gets: a flag without a task, the archive, or nothing at all. */
export type OldDeal = 'flag' | 'archive' | 'nothing'
type Context = Pick<PlanContext, 'reference' | 'policy' | 'settings'>

/** Bounds of the age blocks of old deals: half a year, a year, two years in working days. */
const AGES = [130, 260, 520]

/** The age blocks in ascending order: idle for more than `fromDays` working days, `toDays` at the most; null: no end. */
export function ageBlocks({ firstNight: { deadAfter, oldDeals } }: Settings) {
  const chosen = Object.keys(oldDeals).map(Number)
  const bounds = [...new Set([deadAfter, ...[...AGES, ...chosen].filter((days) => days > deadAfter)])]
  return bounds
    .toSorted((a, b) => a - b)
    .map((fromDays, i, all) => ({ fromDays, toDays: all[i + 1] ?? null, gets: gets(fromDays, oldDeals) }))
}

/** What is said of the nearest bound below holds. */
function gets(fromDays: number, oldDeals: Settings['firstNight']['oldDeals']): OldDeal {
  const [nearest] = Object.entries(oldDeals)
    .filter(([days]) => Number(days) <= fromDays)
    .sort(([a], [b]) => Number(b) - Number(a))
  return nearest?.[1] ?? 'flag'
}

/** What a deal gets that had been idle for so many working days on the first night. Null: it was not old. */
export const oldDeal = (idleDays: number, settings: Settings): OldDeal | null =>
  ageBlocks(settings).findLast(({ fromDays }) => idleDays > fromDays)?.gets ?? null

/** The configured stage, where the deal's pipeline has it as an open one: a lost one would make a loss of it. */
function archiveOf({ pipelineId }: Deal, { reference, policy, settings }: Context): string | null {
  const { stage } = settings.archive
  const facts = stage === undefined ? undefined : stageTable(reference, policy)(pipelineId, stage)
  return facts?.pipelineId === pipelineId && facts.outcome === 'open' ? facts.id : null
}

/** Where the deal stood before we archived it, and since when it is away; null: it is not, or not by us. */
export function archivedFrom(
  known: Known,
  ledger: readonly LedgerRow[],
  context: Context,
): { readonly stage: string; readonly at: Instant } | null {
  const { stage } = context.settings.archive
  const last = stage === undefined ? null : lastWritten(ledger, 'stage')
  const from = last?.before.stage
  if (!last || !from || last.after.stage !== stage || observedAfter(known.deal, ledger).stageId !== stage) return null
  const at = last.plannedAt
  // Taken out and put back by hand: it is theirs.
  if (known.changes.some((one) => one.field === 'stage' && one.at > at && one.to !== stage)) return null
  const was = stageTable(context.reference, context.policy)(known.deal.pipelineId, from)
  return was?.pipelineId === known.deal.pipelineId && was.outcome === 'open' ? { stage: from, at } : null
}

/** Where to, if this stall is to be archived now; null: it stays. Once per stall, so that whoever moves it back wins. */
export function archiveTo(deal: Deal, stall: Stall, ledger: readonly LedgerRow[], context: Context): string | null {
  const stage = archiveOf(deal, context)
  if (stage === null || deal.stageId === stage) return null
  const before = ledger.some(
    (row) =>
      row.kind === 'fields' &&
      row.after.stage === stage &&
      !['held', 'undone'].includes(row.status) &&
      row.plannedAt >= stall.startedAt,
  )
  return before ? null : stage
}
