// What a run says of itself when it is over: the figures of the night, what became of every planned write, and what
// people should look at. Stored with the run, printed by the command line.
import { z } from 'zod'
import { localTime } from '../core/calendar.ts'
import { type Group, type LedgerRow, type LedgerStatus, noTotals } from '../core/plan.ts'
import type { Conflict } from '../core/undo.ts'

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
const value = z.union([z.string(), z.number(), z.boolean(), z.null()])
const Left = z.object({
  deal: z.string(),
  name: z.string(),
  what: z.string(),
  wrote: value.default(null),
  found: value.default(null),
  why: z.string(),
  words: z.string().default(''),
})
export type Left = z.infer<typeof Left>
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
  /** Old deals in age blocks, and what each block gets. */
  dead: z.array(
    z.object({
      ...{ fromDays: count, toDays: count.nullable(), count, value: money },
      gets: z.enum(['flag', 'archive', 'nothing']).default('flag'),
    }),
  ),
  lists: z.object({
    ownerLeft: z.array(Listed).readonly(),
    noStillOpen: z.array(Listed).readonly(),
    archive: z.array(Listed).readonly(),
    /** People who had the last word tonight: on the flag, on the category. */
    flagCleared: z.array(Listed).readonly().default([]),
    categoryTheirs: z.array(Listed).readonly().default([]),
  }),
  /** What a night or an undo left as it is: its deal (id and name), what of it, what we wrote and what is there now
   *  where that is known, and why: one word, and a sentence. */
  conflicts: z.array(Left).default([]),
  unreadable: count.default(0),
  /** Status of the ledger rows, by group. Empty until the run is over. */
  writes: z.record(z.string(), z.record(z.string(), count)).default({}),
})
export type Summary = z.infer<typeof Summary>

export const NO_SUMMARY: Summary = {
  figures: { ...noTotals(), writes: 0, held: {} },
  forecast: { all: {}, moving: {} },
  dead: [],
  lists: { ownerLeft: [], noStillOpen: [], archive: [], flagCleared: [], categoryTheirs: [] },
  conflicts: [],
  unreadable: 0,
  writes: {},
}

/** `counts`: `countWrites` of the run. */
export function withWrites(
  summary: Summary,
  counts: readonly { readonly group: Group; readonly status: LedgerStatus; readonly count: number }[],
): Summary {
  const writes: Record<string, Record<string, number>> = {}
  for (const { group, status, count } of counts) writes[group] = { ...writes[group], [status]: count }
  return { ...summary, writes }
}

/** How many rows of a summary have this status. */
export function written(summary: Summary, status: LedgerStatus): number {
  return Object.values(summary.writes).reduce((sum, group) => sum + (group[status] ?? 0), 0)
}

/** How fields are called in a sentence. These words and those below are stored as they are; `remark` of the texts says
 *  them in French. */
export const FIELDS: Readonly<Record<string, string>> = {
  ...{ stageId: 'stage', stage: 'stage', pipelineId: 'pipeline', outcome: 'won or lost', ownerId: 'owner' },
  closeDate: 'close date',
  ...{ decisionDue: 'decision date', parkedUntil: 'parked until', parkedReason: 'reason for parking' },
  ...{ stalled: 'flag', since: 'stalled since', reason: 'rule', lastMovement: 'last movement' },
  ...{ categoryBefore: 'category before', category: 'forecast category' },
}
export const GROUPS: Readonly<Record<Group, string>> = {
  flag: 'flag',
  forecast: 'forecast category',
  archive: 'archive',
  answer: 'answer',
  task: 'task',
  'task-done': 'completed task',
}
/** Of the neutral model, by the words of a RevOps manager: `stage, owner`. */
export const fieldNames = (fields: readonly string[]): string => fields.map((one) => FIELDS[one] ?? one).join(', ')

/** What a run did not write because somebody was faster or the deal was not as judged: one entry per deal and reason.
 *  `name`: only the id. */
export function leftAlone(rows: readonly LedgerRow[]): readonly Left[] {
  const left = rows.filter(({ status }) => status === 'left' || status === 'dropped')
  return [...Map.groupBy(left, (row) => `${row.deal.id} ${row.status} ${row.message}`).values()].flatMap((some) => {
    const [first] = some
    if (!first) return []
    const { deal, status, message } = first
    const what = some.map(({ group }) => GROUPS[group]).join(', ')
    return [{ deal: deal.id, name: deal.id, what, wrote: null, found: null, why: status, words: message ?? '' }]
  })
}

const AT = new Set<string | null>(['since', 'lastMovement'])
export const UNDO_WORDS: Readonly<Record<Conflict['why'], string>> = {
  changed: 'we wrote {wrote}, somebody made it {found}',
  later_run: '{run} wrote it again and its value is there: take that run back as well',
  closed: 'the deal is closed: nothing of ours is put back on it',
  omitted: 'it stays {found}: the stage the deal is in now is out of the forecast by itself',
  gone: 'the deal was deleted or merged',
  unreadable: 'the deal cannot be read at the moment: take it back again later',
  task_gone: 'somebody deleted the task',
  task_closed: 'somebody completed the task',
  task_open: 'somebody opened the task again',
  task_owner: 'somebody gave the task to another owner',
  task_due: 'somebody moved the task from {wrote} to {found}',
  task_text: 'somebody changed the text of the task',
}

/** What an undo leaves as it is, in words. `timezone`: of the company. */
export function leftByUndo(one: Conflict, name: string, timezone: string): Left {
  const { deal, field, group, why } = one
  const told = (value: Conflict['found']) =>
    typeof value === 'number' && AT.has(field) ? localTime(value, timezone) : value
  const [wrote, found] = [told(one.wrote), told(one.found)]
  const holes = { wrote: wrote ?? 'nothing', found: found ?? 'empty', run: one.run ?? '' }
  const words = UNDO_WORDS[why].replace(/\{(wrote|found|run)\}/g, (_, hole: keyof typeof holes) => String(holes[hole]))
  return { deal: deal.id, name, what: field === null ? GROUPS[group] : fieldNames([field]), wrote, found, why, words }
}
