// Pipeline value and forecast with and without stalled deals: a plain accumulator, filled deal by deal. Amounts of
// different currencies are never added: each sum has one currency. Money is added in cents, so that the parts of any
// grouping add up to its whole exactly.
import type { Deal, Reference, State } from './deal.ts'
import { recall } from './reaffirm.ts'

export const PARTS = ['month', 'category', 'owner', 'team', 'pipeline'] as const
export type Part = (typeof PARTS)[number]
const COUNTS = ['deals', 'value', 'movingDeals', 'movingValue', 'forecast', 'movingForecast'] as const
/** Open deals and their amounts, as the CRM adds them up; `forecast`: without deals in the omitted category. `moving…`:
 *  those among them that move, the amount that counts; the rest is stalled, parked or answered no. */
export type Counts = Record<(typeof COUNTS)[number], number>
/** What the deals of a sum have in common: null where they have none, or where it was not asked for. `month` of the close
 *  date, `2026-11`; `category` as it was before unstall borrowed it, null if blank; `owner` and `pipeline` by id. */
export type ForecastSum = Counts & Readonly<Record<Part | 'currency', string | null>>
/** A sum by one part: `of` is its value. */
export type PartSum = Counts & { readonly of: string | null; readonly currency: string | null }
export type PartSums = Readonly<Record<Part | 'total', readonly PartSum[]>>

/** Where one deal is counted in. Its team is that of its owner. */
export type Cell = Readonly<Record<Exclude<Part, 'team'> | 'currency', string | null>> & { readonly moves: boolean }

/** The cell of a deal and its amount in cents. Null: closed and gone deals are left out. */
export function cellOf(deal: Deal, state: State): { readonly cell: Cell; readonly cents: number } | null {
  if (state === 'closed' || state === 'gone' || deal.outcome !== 'open') return null
  const { currency, ownerId: owner, amount, own, pipelineId: pipeline } = deal
  const month = deal.closeDate?.slice(0, 7) ?? null
  const category = own.categoryBefore === null ? deal.category : recall(own.categoryBefore)
  // Adding 0 leaves no negative zero behind.
  const cents = Math.round((amount ?? 0) * 100) + 0
  return { cell: { currency, month, category, owner, pipeline, moves: state === 'moving' }, cents }
}

/** `omitted`: the category that means "not in the forecast"; null: the CRM has none. */
export function makeForecast({ omitted, owners }: Pick<Reference, 'omitted' | 'owners'>) {
  const cells = new Map<string, ForecastSum>()
  const teams = new Map(owners.map(({ id, team }) => [id, team]))
  const by = (...parts: readonly Part[]): readonly ForecastSum[] => {
    const groups = new Map<string, ForecastSum>()
    for (const cell of cells.values()) {
      const group = { ...cell }
      for (const part of PARTS) if (!parts.includes(part)) Object.assign(group, { [part]: null })
      addTo(groups, group)
    }
    // In an order of its own, not that in which the deals came.
    const ordered = [...groups].sort(([a], [b]) => (a < b ? -1 : 1))
    return ordered.map(([, sum]) => {
      for (const count of COUNTS) if (!count.endsWith('eals')) sum[count] /= 100
      return sum
    })
  }
  const byOne = (part?: Part): readonly PartSum[] =>
    by(...(part ? [part] : [])).map((sum) => {
      const { currency, deals, value, movingDeals, movingValue, forecast, movingForecast } = sum
      const of = part ? sum[part] : null
      return { of, currency, deals, value, movingDeals, movingValue, forecast, movingForecast }
    })
  /** Counts in so many deals of one cell. */
  const addCell = ({ moves, ...cell }: Cell, value: number, deals = 1): void => {
    const { owner, category } = cell
    const team = owner === null ? null : (teams.get(owner) ?? null)
    const forecast = omitted !== null && category === omitted ? 0 : value
    const moving = (counted: number) => (moves ? counted : 0)
    const counts = { movingDeals: moving(deals), movingValue: moving(value), movingForecast: moving(forecast) }
    addTo(cells, { ...cell, team, deals, value, forecast, ...counts })
  }
  return {
    addCell,
    /** Counts a deal in. */
    add(deal: Deal, state: State): void {
      const one = cellOf(deal, state)
      if (one !== null) addCell(one.cell, one.cents)
    },
    /** Sums by the parts that are asked for; currencies always stay apart. */
    by,
    /** The whole and by each part alone. */
    parts: (): PartSums => ({
      total: byOne(),
      month: byOne('month'),
      category: byOne('category'),
      owner: byOne('owner'),
      team: byOne('team'),
      pipeline: byOne('pipeline'),
    }),
  }
}

/** A sum without the dust of binary fractions. */
export const cents = (value: number): number => Math.round(value * 100) / 100

/** Amounts added up by currency. */
export function sumsOf(amounts: Iterable<readonly [currency: string, value: number]>): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const [currency, value] of amounts) sums[currency] = cents((sums[currency] ?? 0) + value)
  return sums
}

function addTo(sums: Map<string, ForecastSum>, one: ForecastSum): void {
  const id = JSON.stringify([one.currency, one.month, one.category, one.owner, one.team, one.pipeline])
  const sum = sums.get(id)
  if (sum === undefined) sums.set(id, one)
  else for (const count of COUNTS) sum[count] += one[count]
}
