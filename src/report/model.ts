// The report as data: one model, four renderers, and itself the JSON format (docs/report.md). Dates are `YYYY-MM-DD` in
// the company's zone, `at` instants are ISO 8601 in UTC, money is by currency (`''`: deals without one) and never added.
import { z } from 'zod'
import { CAUSES, DECISIONS, RULES } from '../core/deal.ts'
import { FATES, SUGGESTIONS } from '../core/quality.ts'
import { Summary } from './summary.ts'

const count = z.number().int()
const text = z.string().nullable()
const date = z.iso.date().nullable()
const money = z.record(z.string(), z.number())
const days = z.number().nullable()
const state = z.enum(['moving', 'stalled', 'parked', 'answered_no', 'closed', 'gone'])
const causes = ['recovered', 'parked', 'answered_no', 'closed', 'dismissed', 'excluded'] as const
const moreCauses = ['flagged', 'reason_changed', 'reasserted', 'new_decision_date', 'archived', 'undo'] as const
const statuses = ['planned', 'sent', 'held', 'dropped', 'done', 'refused', 'left', 'undone'] as const
export const LISTS = ['ownerLeft', 'noStillOpen', 'archive', 'flagCleared', 'categoryTheirs'] as const

/** A deal that is open, or that the run wrote, held or left alone. One line of the CSV, its columns in this order. */
export const DealLine = z.object({
  ...{ id: z.string(), name: z.string(), url: z.string() },
  ...{ owner: text, team: text, pipeline: text, stage: text },
  /** As it was before unstall borrowed it. */
  category: text,
  ...{ amount: z.number().nullable(), currency: text, closeDate: date, createdOn: date },
  ...{ state, rule: z.enum(RULES).nullable(), stalledSince: date },
  ...{ lastMovement: date, idleDays: count },
  ...{ pushes: count, answer: z.enum(DECISIONS).nullable(), cause: z.enum(CAUSES).nullable() },
  /** What CRM users read on the deal. */
  explanation: text,
  /** What the run meant to do with the deal, and how far it came. */
  ...{ change: z.enum([...causes, ...moreCauses]).nullable(), changeStatus: z.enum(statuses).nullable() },
  /** Why a write waits, in the CRM's words why it was refused, why the deal was left alone. */
  ...{ held: text, refused: text, leftAlone: text },
  warnings: z.array(z.string()),
  /** Lists for the manager. */
  lists: z.array(z.enum(LISTS)),
})
export type DealLine = z.infer<typeof DealLine>

/** Open deals that share `name` (a month `2026-11`; null: none). `forecast`: without deals whose category is omitted.
 *  `moving…`: without stalled, parked and answered-no deals. */
export const SumLine = z.object({
  ...{ name: text, currency: text, deals: count, value: z.number(), movingDeals: count, movingValue: z.number() },
  ...{ forecast: z.number(), movingForecast: z.number() },
})
export type SumLine = z.infer<typeof SumLine>
const sums = z.array(SumLine)

const length = z.object({ deals: count, mean: days, median: days })
const fates = z.record(z.enum(FATES), count)
const Stop = z.object({ pipeline: z.string(), stage: z.string(), open: count, stalled: count })
export type Stop = z.infer<typeof Stop>
const Rep = z.object({
  ...{ owner: text, team: text, open: count, stalled: count, stalledValue: money },
  /** Open deals whose answer is maybe; pushes of open deals that count today. */
  ...{ maybes: count, pushes: count },
  /** Median calendar days since creation of open deals, and working days without movement of stalled ones. */
  ...{ ageDays: days, idleDays: days },
  /** Why deals stalled, as the rep said. */
  causes: z.partialRecord(z.enum(CAUSES), count),
  /** Where stalled deals are, most first. */
  stops: z.array(Stop),
})
export type Rep = z.infer<typeof Rep>

export const ConnectionReport = z.object({
  ...{ name: z.string(), system: z.enum(['hubspot', 'salesforce']) },
  /** The run reported on. `knownAt`: when deals were last read; what is not of the night is as known then. */
  night: z.object({
    ...{ run: z.string(), kind: z.enum(['night', 'manual', 'preview', 'undo']), status: z.string(), problem: text },
    ...{ date: z.iso.date(), at: z.iso.datetime(), knownAt: z.iso.datetime() },
    ...{ figures: Summary.shape.figures, dead: Summary.shape.dead, writes: Summary.shape.writes },
    brakes: z.array(z.object({ brake: z.string(), writes: count, text: z.string() })),
  }),
  forecast: z.object({ total: sums, month: sums, category: sums, owner: sums, team: sums, pipeline: sums }),
  /** Every night's last word on the whole open pipeline, oldest first. */
  history: z.array(z.object({ date: z.iso.date(), currency: z.string(), value: z.number(), movingValue: z.number() })),
  /** Calendar days from creation to won, of deals won within a year. */
  cycle: z.object({ all: length, withoutStalled: length, active: length, leftOut: count }),
  quality: z.object({
    horizons: z.array(z.object({ days: count, flags: count, fates })).readonly(),
    rules: z.array(z.object({ rule: z.enum(RULES), flags: count, fates, suggestion: z.enum(SUGGESTIONS) })).readonly(),
  }),
  /** Won after a strong movement that followed our task. */
  recovered: z.object({ deals: count, value: money }),
  stops: z.array(Stop),
  coaching: z.array(Rep),
  /** Records that could not be understood: held until they can. */
  unreadable: z.array(z.object({ id: z.string(), name: text, url: text, problem: z.string() })),
  deals: z.array(DealLine),
})
export type ConnectionReport = z.infer<typeof ConnectionReport>

export const Report = z.object({
  version: z.literal(1),
  language: z.enum(['en', 'fr']),
  timezone: z.string(),
  /** Those asked for that have a run; none: there is nothing to report yet. */
  connections: z.array(ConnectionReport),
})
export type Report = z.infer<typeof Report>

const PAGE = 100
/** The deals in pages, each of which becomes text at once; small ones, so that the text is soon collected. */
export const pagesOf = (deals: readonly DealLine[]): readonly (readonly DealLine[])[] =>
  Array.from({ length: Math.ceil(deals.length / PAGE) }, (_, n) => deals.slice(n * PAGE, (n + 1) * PAGE))
