// A CRM in memory that the planning core can be run against: verdicts by hand for single rules, or whole nights with
// the real judge. It applies planned writes the way a CRM would and keeps the ledger the way the store would.
import { finishPlan, outliner, withHolds } from '../../src/core/brakes.ts'
import { makeCalendar } from '../../src/core/calendar.ts'
import type { Deal, Evidence, Instant, Known, Reference, Rule } from '../../src/core/deal.ts'
import { RULES } from '../../src/core/deal.ts'
import type { Verdict } from '../../src/core/judge.ts'
import { observe } from '../../src/core/observe.ts'
import {
  type DealIntent,
  type DealItem,
  judged,
  type LedgerRow,
  type LedgerStatus,
  noTotals,
  type PlanContext,
  type PlannedWrite,
  planContext,
  planDeal,
  type Totals,
} from '../../src/core/plan.ts'
import type { Settings } from '../../src/core/policy.ts'
import { withValues } from '../../src/core/reaffirm.ts'
import type { Standing } from '../../src/core/stall.ts'
import { planUndo, type TaskSeen, type UndoPlan } from '../../src/core/undo.ts'
import { on, reference, settings } from './build.ts'

/** Says which data it was given, so that tests can read it. */
export const texts: PlanContext['texts'] = {
  explanation: ({ check, lastMovement }) => `${check.rule} since ${lastMovement.on}`,
  task: ({ check, chasedBefore }) => ({
    subject: `Yes or no? (${check.rule})`,
    body: `last chance: ${chasedBefore ? 'yes' : 'no'}`,
  }),
  completionNote: (cause, on) => `Completed by unstall: ${cause}, ${on}.`,
}

/** A verdict by hand. */
export function says(
  state: Verdict['state'],
  now: Instant,
  more: Partial<Verdict> & { readonly idle?: number } = {},
): Verdict {
  const rule: Rule | null = state === 'stalled' ? (more.rule ?? 'no_movement') : null
  const idleDays = more.idle ?? 20
  return {
    state,
    checks: RULES.map((one) => ({
      rule: one,
      holds: one === rule,
      value: one === 'pushed_repeatedly' ? 1 : idleDays,
      limit: one === 'pushed_repeatedly' ? 3 : 15,
      unit: one === 'pushed_repeatedly' ? 'pushes' : 'working_days',
      date: '2026-10-01',
    })),
    protection: null,
    warnings: [],
    lastMovement: now - 30 * 86_400_000,
    lastMovementKind: 'stage_forward',
    idleDays,
    decision: { due: null, derived: false, answer: null, answerIsOfEarlierDate: false },
    dueOn: null,
    newOwnerUntil: null,
    ...more,
    rule,
  }
}

export interface World {
  readonly deals: Map<string, Known>
  readonly standings: Map<string, Standing>
  ledger: LedgerRow[]
  readonly tasks: Map<string, TaskSeen & { readonly deal: string }>
  firstNightAt: Instant | null
  /** Set: the CRM sets the category of these stages with every stage written, as Salesforce does. */
  resets?: Reference
}

/** Does this night write a category after the stage that would set its own? */
const keeps = (rows: readonly PlannedWrite[], { deal }: PlannedWrite): boolean =>
  rows.some((row) => row.deal.id === deal.id && row.kind === 'fields' && 'category' in row.after)

export const world = (...deals: Known[]): World => ({
  deals: new Map(deals.map((known) => [known.ref.id, known])),
  standings: new Map(),
  ledger: [],
  tasks: new Map(),
  firstNightAt: null,
})

export interface NightOptions {
  readonly settings?: Settings
  readonly verdicts?: (known: Known) => Verdict
  readonly more?: Partial<Pick<PlanContext, 'confirm' | 'tasksThisWeek' | 'reference'>>
  readonly again?: string
  readonly unreadable?: boolean
  readonly run?: string
  /** What becomes of a row; default `done`. */
  readonly fate?: (row: PlannedWrite) => LedgerStatus
}

export function contextOf(now: Instant, options: NightOptions = {}, firstNightAt: Instant | null = null): PlanContext {
  const from = options.settings ?? settings()
  return planContext({
    run: options.run ?? `hub-${now}`,
    now,
    settings: from,
    texts,
    calendar: calendarOf(from),
    reference,
    firstNightAt,
    ...options.more,
  })
}
const calendars = new Map<Settings, ReturnType<typeof makeCalendar>>()
function calendarOf(from: Settings) {
  const known = calendars.get(from) ?? makeCalendar(from)
  calendars.set(from, known)
  return known
}

export function itemOf(of: World, known: Known, context: PlanContext, options: NightOptions = {}): DealItem {
  const standing = of.standings.get(known.ref.id) ?? null
  const ledger = of.ledger.filter((row) => row.deal.id === known.ref.id)
  const again = options.again === known.ref.id
  const own = options.verdicts?.(known)
  const found = judged({ known, standing }, ledger, context)
  const told = own === undefined ? found : { log: found.log, verdict: own, standing, away: null }
  return { known, ...told, ledger, again, unreadable: options.unreadable === true }
}

/** All of a plan in memory, as `decide` makes it whole. */
export function wholePlan(intents: readonly DealIntent[], totals: Totals, context: PlanContext) {
  const { deals, ...rest } = finishPlan(intents.map(outliner()), totals, context)
  const of = new Map(intents.map((intent) => [intent.ref.id, intent]))
  const parts = deals.flatMap(({ id, holds }) => {
    const intent = of.get(id)
    return intent ? [{ deal: intent.ref, ...withHolds(intent, holds) }] : []
  })
  return {
    rows: parts.flatMap(({ rows }) => rows),
    standings: parts.flatMap(({ deal, standing }) => (standing === null ? [] : [{ deal, standing }])),
    transitions: parts.flatMap(({ transitions }) => transitions),
    ...rest,
  }
}
export type Plan = ReturnType<typeof wholePlan>

/** Judges and plans, writes nothing. */
export function plan(of: World, now: Instant, options: NightOptions = {}): Plan {
  const context = contextOf(now, options, of.firstNightAt)
  const totals = noTotals()
  const intents: DealIntent[] = []
  for (const known of of.deals.values()) {
    const intent = planDeal(itemOf(of, known, context, options), context, totals)
    if (intent !== null) intents.push(intent)
  }
  return wholePlan(intents, totals, {
    ...context,
    tasksThisWeek: options.more?.tasksThisWeek ?? tasksThisWeek(of, context),
  })
}

/** What the CRM does with a write, and the row of it that stays. */
export function apply(
  of: World,
  row: PlannedWrite,
  now: Instant,
  status: LedgerStatus,
  run: string,
  kept = false,
): void {
  const known = of.deals.get(row.deal.id)
  const seen = row.kind === 'fields' ? null : of.tasks.get(row.taskKey)
  let remote: string | null = null
  if (status === 'dropped') return
  if (status === 'done') {
    // The echo comes back like anybody's edit: with a new version and, where the CRM keeps no history, as a difference.
    if (row.kind === 'fields' && known) {
      const stages = of.resets?.pipelines.flatMap((pipeline) => pipeline.stages) ?? []
      const reset =
        kept || row.after.stage === undefined ? undefined : stages.find(({ id }) => id === row.after.stage)?.category
      const values = { ...(reset && { category: reset }), ...row.after }
      const deal = { ...withValues(known.deal, values), modifiedAt: Math.max(known.deal.modifiedAt, now + 1000) }
      of.deals.set(row.deal.id, observe(known, { ref: known.ref, deal, evidence: null }, now + 1000))
    }
    if (row.kind === 'create-task') {
      if (of.tasks.has(row.taskKey)) throw new Error(`a second task for ${row.taskKey}`)
      const { owner, subject, body, due } = row
      remote = `t-${of.tasks.size}`
      of.tasks.set(row.taskKey, { id: remote, open: true, owner, subject, body, due, deal: row.deal.id })
    }
    if (row.kind === 'delete-task') of.tasks.delete(row.taskKey)
    if (seen && (row.kind === 'complete-task' || row.kind === 'reopen-task'))
      of.tasks.set(row.taskKey, { ...seen, open: row.kind === 'reopen-task', body: row.body })
  }
  const settledAt = status === 'planned' ? null : now
  of.ledger.push({ ...row, run, status, plannedAt: now, sentAt: settledAt, settledAt, remote, message: null })
}

/** One night: plan, write, remember. */
export function night(of: World, now: Instant, options: NightOptions = {}): Plan {
  const done = plan(of, now, options)
  const run = options.run ?? `hub-${now}`
  for (const row of done.rows)
    apply(of, row, now, row.hold ? 'held' : (options.fate?.(row) ?? 'done'), run, keeps(done.rows, row))
  for (const { deal, standing } of done.standings) of.standings.set(deal.id, standing)
  of.firstNightAt ??= now
  return done
}

/** Someone edits a deal in the CRM. `changes`, `activities`: what its history tells of it. */
export function edit(
  of: World,
  id: string,
  at: Instant,
  change: (deal: Deal) => Partial<Deal>,
  more: Partial<Omit<Evidence, 'deal'>> = {},
): void {
  const known = of.deals.get(id)
  if (!known) throw new Error(`no deal ${id}`)
  const deal = { ...known.deal, ...change(known.deal), modifiedAt: at }
  of.deals.set(
    id,
    observe(known, { ref: known.ref, deal, evidence: { deal: id, changes: [], activities: [], ...more } }, at),
  )
}

/** New tasks of the week per person, as the store counts them. */
export function tasksThisWeek(of: World, context: PlanContext): ReadonlyMap<string, number> {
  const used = new Map<string, number>()
  for (const row of of.ledger) {
    if (row.kind !== 'create-task' || row.status === 'held' || row.status === 'refused') continue
    if (context.calendar.isoWeek(row.plannedAt) === context.week) used.set(row.person, (used.get(row.person) ?? 0) + 1)
  }
  return used
}

export const written = (of: Plan) => of.rows.filter((row) => row.hold === null)
/** `flag`, `task` … of the rows that will be written. */
export const groups = (of: Plan) => written(of).map((row) => row.group)

export function fieldsOf(of: Plan, group: 'flag' | 'forecast' | 'archive' | 'answer') {
  const row = of.rows.find((one) => one.group === group)
  if (row?.kind !== 'fields') throw new Error(`no ${group} row in ${JSON.stringify(of.rows)}`)
  return row
}

/** Plans the undo of a run and carries it out. */
export function undo(
  of: World,
  run: string,
  more: { gone?: boolean; unreadable?: boolean } = {},
  at = on('2026-11-23', '09:00'),
): UndoPlan {
  const result = planUndo({
    ...contextOf(at),
    run: 'hub-u1',
    rows: of.ledger.filter((row) => row.run === run),
    current: (id) => (more.gone ? 'gone' : more.unreadable ? 'unreadable' : (of.deals.get(id)?.deal ?? 'gone')),
    task: (key) => of.tasks.get(key) ?? null,
    standing: (id) => of.standings.get(id) ?? null,
    others: of.ledger.filter((row) => row.run !== run),
  })
  for (const row of result.rows) apply(of, row, at, 'done', 'hub-u1', keeps(result.rows, row))
  const undone = new Set(result.rows.map((row) => row.undoes))
  of.ledger = of.ledger.map((row) =>
    undone.has(row.key)
      ? { ...row, status: 'undone' }
      : result.left.includes(row.key)
        ? { ...row, status: 'left' }
        : row,
  )
  for (const { deal, standing } of result.standings) of.standings.set(deal.id, standing)
  return result
}
