// Builds the report of each connection from what the store holds, streaming over the deals: they are judged as last
// known, exactly as the night does it, so that the report and the night cannot differ. Reads only.

import { z } from 'zod'
import { makeCalendar } from '../core/calendar.ts'
import { type Cycle, cycleOf, cyclesOf } from '../core/cycle.ts'
import type { DealId, System } from '../core/deal.ts'
import type { Texts } from '../core/explain.ts'
import { cents, makeForecast, type Part, type PartSum } from '../core/forecast.ts'
import { judged, type LedgerRow, type PlanContext, type PlannedWrite, planContext } from '../core/plan.ts'
import { ownersInScope, type Settings, stageTable } from '../core/policy.ts'
import { type Flag, flagsOf, isRecovered, qualityOf } from '../core/quality.ts'
import { observedAfter, recall } from '../core/reaffirm.ts'
import { advance } from '../core/stall.ts'
import { getConnection } from '../store/connections.ts'
import { getDeals, quarantined, reportedIds, type StoredDeal, streamDeals, transitionsOf } from '../store/deals.ts'
import { ledgerForDeals, rowsOfRun } from '../store/ledger.ts'
import { figuresOf, getPlan, latestRun, nightlyForecasts, type Run } from '../store/runs.ts'
import type { Executor } from '../store/schema.ts'
import { remark } from '../texts/remarks.ts'
import { Coaching } from './coaching.ts'
import { type ConnectionReport, type DealLine, LISTS, type Report, SumLine } from './model.ts'
import { leftAlone, NO_SUMMARY, Summary } from './summary.ts'

const PAGE = 500
const DAY_MS = 86_400_000
/** Sales cycles of deals won within a year; the gap over as many nights. */
const YEAR = 365

export interface Asked {
  readonly connections: readonly { readonly name: string; readonly system: System }[]
  /** Of the one connection asked for; null: the newest finished night of each, or its preview. */
  readonly run: Run | null
  readonly texts: Texts
  readonly timezone: string
  /** Only deals of these owners and teams; absent: of everybody. What is not known by owner is then left out. */
  readonly scope?: Settings['scope']
}

export async function buildReport(db: Executor, all: Asked): Promise<Report> {
  const { connections, run: asked, texts, timezone, scope } = all
  const reports: ConnectionReport[] = []
  for (const { name, system } of connections) {
    const run = asked ?? (await latestRun(db, name, ['night', 'manual'])) ?? (await latestRun(db, name, ['preview']))
    const found = run && (await lastContext(db, name, texts))
    if (found) reports.push({ name, system, ...(await reportOf(db, run, found, texts, scope)) })
  }
  return { version: 1, language: texts.language, timezone, connections: reports }
}

/** What deals are judged by as last known: of the newest run that read them. Null: nothing was read yet. */
export async function lastContext(db: Executor, connection: string, texts: Texts): Promise<PlanContext | null> {
  const stored = await getConnection(db, connection)
  const newest = await latestRun(db, connection, ['night', 'manual', 'preview'])
  if (stored?.reference == null || newest === null) return null
  const { id, settings, now } = newest
  const { reference, confirmedAt: firstNightAt } = stored
  return planContext({ run: id, now, settings, texts, calendar: makeCalendar(settings), reference, firstNightAt })
}

/** A deal as last known, before the judge, with the state the night gives it. */
export function judgedNow(stored: StoredDeal, ledger: readonly LedgerRow[], context: PlanContext) {
  const { known } = stored
  const { standing: was, log, verdict } = judged(stored, ledger, context)
  const blind = context.reference.fields?.stalled?.readable === false
  const { standing } = advance(was, { known, verdict, ledger, now: context.now, dead: false, blind })
  return { log, verdict, standing, state: stored.gone ? ('gone' as const) : standing.state }
}

/** The coaching sheet alone, over all open deals as last known. */
export async function coachingOf(db: Executor, connection: string, context: PlanContext) {
  const coaching = new Coaching(context, labelsOf(context))
  for (let after: DealId | null = null; ; ) {
    const page = await streamDeals(db, connection, { after, limit: PAGE })
    const ids = page.map(({ known }) => known.ref.id)
    const ledgers = await ledgerForDeals(db, connection, ids)
    for (const stored of page) {
      const { deal } = stored.known
      if (stored.gone || deal.outcome !== 'open') continue
      const { state, verdict, log } = judgedNow(stored, ledgers.get(deal.id) ?? [], context)
      coaching.add(deal, state, verdict, log)
    }
    after = ids.at(-1) ?? null
    if (after === null) return { coaching: coaching.reps(), stops: coaching.stops() }
  }
}

type Content = Omit<ConnectionReport, 'name' | 'system'>

async function reportOf(
  db: Executor,
  run: Run,
  context: PlanContext,
  texts: Texts,
  scope: Asked['scope'],
): Promise<Content> {
  const { connection } = run
  const seen = scope && ownersInScope(context.reference, scope)
  const summary = Summary.safeParse(run.summary).data ?? NO_SUMMARY
  const labels = labelsOf(context)
  const tonight = await tonightOf(db, run, summary, texts)
  const forecast = makeForecast(context.reference)
  const coaching = new Coaching(context, labels)
  const deals: DealLine[] = []
  const cycles: (Cycle | null)[] = []
  const flags: Flag[] = []
  const recovered: Content['recovered'] = { deals: 0, value: {} }
  const wonSince = new Date(context.now - YEAR * DAY_MS).toISOString().slice(0, 10)
  const all = await reportedIds(db, connection, wonSince)
  for (let from = 0; from < all.length; from += PAGE) {
    const ids = all.slice(from, from + PAGE)
    const page = await getDeals(db, connection, ids)
    const ledgers = await ledgerForDeals(db, connection, ids)
    const steps = await transitionsOf(db, connection, ids)
    const ofRun = await tonight.page(ids)
    for (const stored of ids.flatMap((id) => page.get(id) ?? [])) {
      const { known } = stored
      const { deal } = known
      if (seen && (deal.ownerId === null || !seen.has(deal.ownerId))) continue
      const ledger = ledgers.get(deal.id) ?? []
      const past = steps.get(deal.id) ?? []
      const { log, verdict, standing, state } = judgedNow(stored, ledger, context)
      flags.push(...flagsOf(known, past, ledger, context, context.now))
      if (!stored.gone) forecast.add(deal, state)
      if (deal.outcome === 'won' && !stored.gone && (deal.closeDate ?? '') >= wonSince)
        cycles.push(cycleOf(known, log, past, context))
      if (isRecovered(known, log, ledger, context)) {
        recovered.deals++
        const currency = deal.currency ?? ''
        recovered.value[currency] = cents((recovered.value[currency] ?? 0) + (deal.amount ?? 0))
      }
      const open = deal.outcome === 'open' && !stored.gone
      const { own } = observedAfter(deal, ledger)
      if (open) coaching.add(deal, state, verdict, log)
      const told = tonight.of(deal.id, ofRun.get(deal.id) ?? [])
      if (!open && told.change === null && told.leftAlone === null && told.lists.length === 0) continue
      const { id, name, url, amount, currency, closeDate } = deal
      const stalled = state === 'stalled' ? standing.stall : null
      const { localDate } = context.calendar
      deals.push({
        ...{ id, name, url, ...labels.of(deal) },
        category: own.categoryBefore === null ? deal.category : recall(own.categoryBefore),
        ...{ amount, currency, closeDate, createdOn: localDate(deal.createdAt) },
        ...{ state, rule: stalled?.rule ?? null, stalledSince: stalled ? localDate(stalled.startedAt) : null },
        ...{ lastMovement: localDate(verdict.lastMovement), idleDays: verdict.idleDays },
        ...{ pushes: log.pushes.length, answer: verdict.decision.answer, cause: own.cause },
        ...{ explanation: stalled ? own.explanation : null, ...told },
        warnings: verdict.warnings.map((warning) => texts.step({ step: 'warning', warning })),
      })
    }
  }
  const known = cycles.filter((cycle) => cycle !== null)
  const whole = StoredParts.safeParse(seen ? null : await figuresOf(db, run.id)).data
  const parts = whole?.parts ?? forecast.parts()
  const nights = seen ? [] : await nightlyForecasts(db, connection, run.now, YEAR)
  const history = nights.flatMap(({ localDate, forecast }) => {
    const { all, moving } = Totals.safeParse(forecast).data ?? { all: {}, moving: {} }
    const line = (currency: string) => ({ value: all[currency] ?? 0, movingValue: moving[currency] ?? 0 })
    return Object.keys(all).map((currency) => ({ date: localDate, currency, ...line(currency) }))
  })
  const unreadable = seen ? [] : await quarantined(db, connection)
  return {
    night: {
      ...{ run: run.id, kind: run.kind, status: run.status, problem: run.problem, date: run.localDate },
      ...{ at: new Date(run.now).toISOString(), knownAt: new Date(context.now).toISOString() },
      ...{ figures: summary.figures, dead: summary.dead, writes: summary.writes, brakes: tonight.brakes() },
    },
    forecast: {
      ...{ total: labels.sums('total', parts.total), month: labels.sums('month', parts.month) },
      ...{ category: labels.sums('category', parts.category), owner: labels.sums('owner', parts.owner) },
      ...{ team: labels.sums('team', parts.team), pipeline: labels.sums('pipeline', parts.pipeline) },
    },
    history,
    cycle: cyclesOf(known, cycles.length - known.length),
    quality: qualityOf(flags),
    recovered,
    stops: coaching.stops(),
    coaching: coaching.reps(),
    unreadable: unreadable.map(({ id, name, url, problem }) => ({ id, name, url, problem })),
    deals,
  }
}

const money = z.record(z.string(), z.number())
const Totals = z.object({ all: money, moving: money })
const Parts = z.array(SumLine.omit({ name: true }).extend({ of: z.string().nullable() }))
/** What `decide` stored of a night; nights of earlier versions have no parts. */
export const StoredParts = z.object({
  parts: z.object({ total: Parts, month: Parts, category: Parts, owner: Parts, team: Parts, pipeline: Parts }),
})

export type Labels = ReturnType<typeof labelsOf>

/** Ids by the names people know them by; an id of something deleted stays an id. */
export function labelsOf({ reference, policy, owner: find }: PlanContext) {
  const table = stageTable(reference, policy)
  const pipelines = new Map(reference.pipelines.map(({ id, label }) => [id, label]))
  const owner = (id: string) => find(id)?.name || find(id)?.email || id
  const pipeline = (id: string) => pipelines.get(id) ?? id
  const nameOf = (part: Part | 'total', of: string | null) =>
    of !== null && part === 'owner' ? owner(of) : of !== null && part === 'pipeline' ? pipeline(of) : of
  return {
    of: ({ ownerId, pipelineId, stageId }: { ownerId: string | null; pipelineId: string; stageId: string }) => ({
      owner: ownerId === null ? null : owner(ownerId),
      team: ownerId === null ? null : (find(ownerId)?.team ?? null),
      pipeline: pipeline(pipelineId),
      stage: table(pipelineId, stageId)?.label ?? stageId,
    }),
    /** Months in order, the rest by value. */
    sums: (part: Part | 'total', sums: readonly PartSum[]): SumLine[] =>
      sums
        .map(({ of, ...counts }) => ({ name: nameOf(part, of), ...counts }))
        .sort((a, b) => (part === 'month' ? ((a.name ?? '~') < (b.name ?? '~') ? -1 : 1) : b.value - a.value)),
  }
}

type Told = Pick<DealLine, 'change' | 'changeStatus' | 'held' | 'refused' | 'leftAlone' | 'lists'>
type Row = PlannedWrite | LedgerRow
const isWritten = (row: Row): row is LedgerRow => 'status' in row

/** What the run did, deal by deal. Rows are read page by page; a preview's plan lies in its run. */
async function tonightOf(db: Executor, run: Run, summary: Summary, texts: Texts) {
  const plan = run.kind === 'preview' ? Map.groupBy(await getPlan(db, run.id), ({ deal }) => deal.id) : null
  const conflicts = Map.groupBy(summary.conflicts, ({ deal }) => deal)
  const lists = new Map<DealId, DealLine['lists']>()
  for (const list of LISTS)
    for (const { deal } of summary.lists[list]) lists.set(deal.id, [...(lists.get(deal.id) ?? []), list])
  const brakes = new Map<string, ConnectionReport['night']['brakes'][number]>()
  return {
    async page(ids: readonly DealId[]): Promise<ReadonlyMap<DealId, readonly Row[]>> {
      return plan ?? Map.groupBy(await rowsOfRun(db, run.id, ids), ({ deal }) => deal.id)
    },
    of(id: DealId, rows: readonly Row[]): Told {
      for (const { hold } of rows) {
        if (hold === null) continue
        // One line a reason: of the weekly budget, one a person.
        const text = texts.hold(hold)
        const found = brakes.get(text) ?? { brake: hold.brake, writes: 0, text }
        brakes.set(text, { ...found, writes: found.writes + 1 })
      }
      // A task alone is no change: the deal may have waited for it since an earlier night.
      const of = (wanted: Row['group']) => rows.find(({ group }) => group === wanted)
      const main = of('archive') ?? of('flag') ?? rows.find(({ group }) => group !== 'task')
      const hold = rows.find(({ hold }) => hold !== null)?.hold
      const written = rows.filter(isWritten)
      const refused = written.flatMap(({ status, message }) => (status === 'refused' ? [message ?? ''] : []))
      // A run that was given up has not summed up.
      const left = [...(conflicts.get(id) ?? []), ...(run.status === 'done' ? [] : leftAlone(written))]
      const words = left.map(({ what, words }) => [what, words].map((part) => remark(texts.language, part)).join(': '))
      return {
        change: main?.cause ?? null,
        changeStatus: !main ? null : isWritten(main) ? main.status : main.hold ? 'held' : 'planned',
        held: hold ? texts.hold(hold) : null,
        refused: refused.length === 0 ? null : [...new Set(refused)].join('; '),
        leftAlone: words.length === 0 ? null : words.join('; '),
        lists: lists.get(id) ?? [],
      }
    },
    brakes: () => [...brakes.values()].sort((a, b) => b.writes - a.writes),
  }
}
