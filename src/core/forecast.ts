// Pipeline value and forecast with and without stalled deals: a plain accumulator, filled deal by deal. Amounts of
// different currencies are never added: each sum has one currency.
import type { Deal, State } from './deal.ts'
import { recall } from './reaffirm.ts'

type Part = 'month' | 'category' | 'owner'
/** Open deals and their amounts, as the CRM adds them up. `moving…`: those among them that move, the amount that counts. */
type Counts = Record<'deals' | 'value' | 'movingDeals' | 'movingValue', number>
/** What the deals of a sum have in common: null where they have none, or where it was not asked for. `month` of the close
 *  date, `2026-11`; `category` as it was before unstall borrowed it, null if blank. */
export type ForecastSum = Counts & Readonly<Record<Part | 'currency', string | null>>

/** `omitted`: the category that means "not in the forecast"; null: the CRM has none. */
export function makeForecast(omitted: string | null) {
  const cells = new Map<string, ForecastSum>()
  const sums = (parts: readonly Part[], all: boolean): readonly ForecastSum[] => {
    const groups = new Map<string, ForecastSum>()
    for (const cell of cells.values()) {
      if (!all && omitted !== null && cell.category === omitted) continue
      const asked = (part: Part) => (parts.includes(part) ? cell[part] : null)
      addTo(groups, { ...cell, month: asked('month'), category: asked('category'), owner: asked('owner') })
    }
    return [...groups.values()]
  }
  return {
    /** Counts a deal in. Closed and gone deals are left out. */
    add(deal: Deal, state: State): void {
      if (state === 'closed' || state === 'gone' || deal.outcome !== 'open') return
      const { currency, ownerId: owner, amount, own } = deal
      const month = deal.closeDate?.slice(0, 7) ?? null
      const category = own.categoryBefore === null ? deal.category : recall(own.categoryBefore)
      const value = amount ?? 0
      const counts = state === 'moving' ? { movingDeals: 1, movingValue: value } : { movingDeals: 0, movingValue: 0 }
      addTo(cells, { currency, month, category, owner, deals: 1, value, ...counts })
    },
    /** Sums by the parts that are asked for; currencies always stay apart. */
    by: (...parts: readonly Part[]) => sums(parts, true),
    /** As `by`, without deals in the omitted category: the forecast. */
    forecast: (...parts: readonly Part[]) => sums(parts, false),
  }
}

function addTo(sums: Map<string, ForecastSum>, one: ForecastSum): void {
  const id = JSON.stringify([one.currency, one.month, one.category, one.owner])
  const sum = sums.get(id)
  if (sum === undefined) sums.set(id, one)
  else for (const part of ['deals', 'value', 'movingDeals', 'movingValue'] as const) sum[part] += one[part]
}
