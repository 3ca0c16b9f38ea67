// Pipeline value and forecast with and without stalled deals: a plain accumulator, filled deal by deal. Amounts of
// different currencies are never added: each sum has one currency.
import { BLANK_CATEGORY, type Deal, type OwnerId, type State } from './deal.ts'

/** Where a sum belongs. Null: the deal has none. */
export interface ForecastKey {
  readonly currency: string | null
  /** `2026-11`: month of the close date. */
  readonly month: string | null
  /** The category as it was before unstall borrowed it; null is blank. */
  readonly category: string | null
  readonly owner: OwnerId | null
}

export interface ForecastSum {
  /** Open deals and their amounts, as the CRM adds them up. */
  readonly deals: number
  readonly value: number
  /** Those among them that move: the amount that counts. */
  readonly movingDeals: number
  readonly movingValue: number
}

export interface Forecast {
  /** Counts a deal in. Closed and gone deals are left out. */
  add(deal: Deal, state: State): void
  /** Sums by the parts of the key that are asked for, the others null; currencies always stay apart. */
  by(...parts: readonly Part[]): readonly (ForecastKey & ForecastSum)[]
  /** As `by`, without deals in the omitted category: the forecast. */
  forecast(...parts: readonly Part[]): readonly (ForecastKey & ForecastSum)[]
}

type Part = Exclude<keyof ForecastKey, 'currency'>
type Sum = { -readonly [P in keyof ForecastSum]: ForecastSum[P] }

/** `omitted`: the category that means "not in the forecast"; null: the CRM has none. */
export function makeForecast(omitted: string | null): Forecast {
  const cells = new Map<string, ForecastKey & Sum>()
  const sums = (parts: readonly Part[], all: boolean) => {
    const groups = new Map<string, ForecastKey & Sum>()
    for (const cell of cells.values()) {
      if (!all && omitted !== null && cell.category === omitted) continue
      const key: ForecastKey = {
        currency: cell.currency,
        month: parts.includes('month') ? cell.month : null,
        category: parts.includes('category') ? cell.category : null,
        owner: parts.includes('owner') ? cell.owner : null,
      }
      const id = JSON.stringify(Object.values(key))
      const group = groups.get(id) ?? { ...key, deals: 0, value: 0, movingDeals: 0, movingValue: 0 }
      groups.set(id, group)
      group.deals += cell.deals
      group.value += cell.value
      group.movingDeals += cell.movingDeals
      group.movingValue += cell.movingValue
    }
    return [...groups.values()]
  }
  return {
    add(deal, state) {
      if (state === 'closed' || state === 'gone' || deal.outcome !== 'open') return
      const saved = deal.own.categoryBefore
      const category = saved === null ? deal.category : saved === BLANK_CATEGORY ? null : saved
      const { currency, ownerId: owner } = deal
      const month = deal.closeDate?.slice(0, 7) ?? null
      const id = JSON.stringify([currency, month, category, owner])
      let cell = cells.get(id)
      if (cell === undefined) {
        cell = { currency, month, category, owner, deals: 0, value: 0, movingDeals: 0, movingValue: 0 }
        cells.set(id, cell)
      }
      const amount = deal.amount ?? 0
      cell.deals++
      cell.value += amount
      if (state !== 'moving') return
      cell.movingDeals++
      cell.movingValue += amount
    },
    by: (...parts) => sums(parts, true),
    forecast: (...parts) => sums(parts, false),
  }
}
