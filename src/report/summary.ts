// What a run says of itself when it is over: the figures of the night, what became of every planned write, and what
// people should look at. Stored with the run, printed by the command line.
import { z } from 'zod'
import type { LedgerRow, LedgerStatus } from '../core/plan.ts'

const count = z.number().int()
const money = z.record(z.string(), z.number())
const Listed = z.object({
  deal: z.object({ connection: z.string(), id: z.string() }),
  name: z.string(),
  url: z.string(),
  owner: z.string().nullable(),
  amount: z.number().nullable(),
  currency: z.string().nullable(),
})
export const Summary = z.object({
  figures: z.object({
    open: count,
    stalled: count,
    newlyStalled: count,
    recovered: count,
    parked: count,
    answeredNo: count,
    dismissed: count,
    writes: count,
    held: z.record(z.string(), count),
  }),
  /** Open pipeline by currency: with stalled deals, and without them, parked ones and answered no. */
  forecast: z.object({ all: money, moving: money }),
  dead: z.array(z.object({ fromDays: count, toDays: count.nullable(), count, value: money })),
  lists: z.object({ ownerLeft: z.array(Listed), noStillOpen: z.array(Listed), archive: z.array(Listed) }),
  /** What an undo left as it is, and why. */
  conflicts: z.array(z.object({ deal: z.string(), what: z.string(), why: z.string() })).default([]),
  unreadable: count.default(0),
  /** Status of the ledger rows, by group. Empty until the run is over. */
  writes: z.record(z.string(), z.record(z.string(), count)).default({}),
})
export type Summary = z.infer<typeof Summary>

export const NO_SUMMARY: Summary = {
  figures: {
    open: 0,
    stalled: 0,
    newlyStalled: 0,
    recovered: 0,
    parked: 0,
    answeredNo: 0,
    dismissed: 0,
    writes: 0,
    held: {},
  },
  forecast: { all: {}, moving: {} },
  dead: [],
  lists: { ownerLeft: [], noStillOpen: [], archive: [] },
  conflicts: [],
  unreadable: 0,
  writes: {},
}

export function withWrites(summary: Summary, rows: readonly LedgerRow[]): Summary {
  const writes: Record<string, Record<string, number>> = {}
  for (const row of rows) {
    const group = writes[row.group] ?? {}
    writes[row.group] = { ...group, [row.status]: (group[row.status] ?? 0) + 1 }
  }
  return { ...summary, writes }
}

/** How many rows of a summary have this status. */
export function written(summary: Summary, status: LedgerStatus): number {
  return Object.values(summary.writes).reduce((sum, group) => sum + (group[status] ?? 0), 0)
}
