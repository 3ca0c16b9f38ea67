// The runs, and one run with every write before and after: what it did, held back, was refused, or left alone and why.
import { html } from 'hono/html'
import { z } from 'zod'
import type { DealId, Reference } from '../core/deal.ts'
import type { LedgerStatus } from '../core/plan.ts'
import { FIELD_KEYS } from '../core/reaffirm.ts'
import { undoable } from '../core/undo.ts'
import { FIELDS, type Left, Summary, written } from '../report/summary.ts'
import { getConnection } from '../store/connections.ts'
import { getDeals, type StoredDeal } from '../store/deals.ts'
import { countRuns, getRun, listRuns, type Run } from '../store/runs.ts'
import { countWrites, pageOfWrites, type Write } from '../store/writes.ts'
import { remark } from '../texts/remarks.ts'
import { fill, plain } from '../texts/shared.ts'
import { formToken, type Html } from './layout.ts'
import { dealHref, facts, inCrm, outside, PageNumber, pager, runHref, type Told, table, told } from './parts.ts'
import type { Web } from './server.ts'
import type { WebService } from './service.ts'

const RUNS = 25
const DEALS = 25
const MOST_LEFT = 200
/** A short run is over after a look or two, a long one is looked at more and more rarely. */
const reloadAfter = (ageMs: number): number => Math.min(10, Math.max(1, Math.ceil(ageMs / 10_000)))

/** What can be shown of a run, and the states that belong to it. */
const FILTERS = {
  all: ['planned', 'held', 'dropped', 'sent', 'done', 'refused', 'left', 'undone'],
  written: ['done', 'undone'],
  planned: ['planned'],
  held: ['held'],
  refused: ['refused'],
  left: ['left', 'dropped'],
  unknown: ['sent'],
} as const satisfies Record<string, readonly LedgerStatus[]>
const FILTER_NAMES = Object.keys(FILTERS) as (keyof typeof FILTERS)[]

/** What the address of a run asks for; what it says wrongly counts as not said. `still`: not to be loaded again. */
const given = z.optional(z.string()).transform((text) => text !== undefined)
const Shown = z.object({ show: z.enum(FILTER_NAMES).catch('all'), page: PageNumber, still: given, busy: given })
type Shown = z.infer<typeof Shown>

const runLink = (id: string): Html => html`<a href="${runHref(id)}">${id}</a>`

export function runPages(web: Web, service: WebService): void {
  const { db } = service

  web.get('/runs', async (c) => {
    const t = told(c, service)
    const { texts } = t
    const { runs, columns, kinds, states, steps, pages } = t.operate
    const page = PageNumber.parse(c.req.query('page'))
    const found = await listRuns(db, { limit: RUNS, offset: (page - 1) * RUNS })
    const rows = found.map((run) => {
      const { id, connection, kind, status, step, now, settings } = run
      const summary = status === 'open' ? undefined : Summary.safeParse(run.summary).data
      const number = (of: LedgerStatus) => (summary && kind !== 'preview' ? texts.number(written(summary, of)) : '')
      const state = status === 'open' ? `${states.open}: ${steps[step]}` : states[status]
      const stalled = summary && kind !== 'undo' ? texts.number(summary.figures.stalled) : ''
      const at = texts.instant(now, settings.timezone)
      const counts = (['done', 'held', 'refused'] as const).map(number)
      return [runLink(id), connection, kinds[kind], state, at, stalled, ...counts]
    })
    const heads = (['run', 'connection', 'kind', 'state', 'at', 'stalled', 'written', 'held', 'refused'] as const).map(
      (key, at) => ({ title: columns[key], number: at > 4 }),
    )
    const all = Math.ceil((await countRuns(db)) / RUNS)
    const body = html`${found.length === 0 ? html`<p class="empty">${runs.none}</p>` : table(runs.caption, heads, rows)}
${pager(pages, page, all, (to) => `/runs?page=${to}`)}`
    return t.page({ title: t.viewer.words.nav.runs, at: '/runs', body })
  })

  web.get('/runs/:id', async (c) => {
    const run = await getRun(db, c.req.param('id'))
    if (!run) return c.notFound()
    const t = told(c, service)
    const shown = Shown.parse(c.req.query())
    const body = await runBody(service, t, run, shown)
    if (run.status === 'open' && !shown.still) c.header('Refresh', String(reloadAfter(service.clock() - run.createdAt)))
    return t.page({ title: fill(t.operate.run.title, { run: run.id }), at: '/runs', body })
  })
}

async function runBody(service: WebService, t: Told, run: Run, shown: Shown): Promise<Html> {
  const { operate, texts } = t
  const { run: words, columns } = operate
  const at = (instant: number) => texts.instant(instant, run.settings.timezone)
  const counts = await countWrites(service.db, run)
  const summary = Summary.safeParse(run.summary).data
  const about = {
    kind: operate.kinds[run.kind],
    connection: run.connection,
    state: operate.states[run.status],
    at: at(run.now),
  }
  const { undoes, deals } = run.options
  // Not while the page loads itself again every few seconds.
  const lists = counts.length > 0 && (run.status !== 'open' || shown.still)
  const writes = lists ? await writesOf(service, t, run, counts, shown) : ''
  const failures = run.failures.map((one) => [at(one.at), operate.steps[stepOf(one.step)], plain(one.problem, 1000)])
  const failed = [{ title: columns.at }, { title: columns.step }, { title: columns.why }]
  return html`<p>${fill(words.about, about)} ${run.finishedAt === null ? '' : fill(words.times, { begun: at(run.createdAt), ended: at(run.finishedAt) })}</p>
${undoes === undefined ? '' : html`<p>${fillHtml(deals ? words.undoesDeals : words.undoes, { run: runLink(undoes) })}</p>`}
${run.problem === null ? '' : html`<p class="alarm" dir="auto">${plain(remark(texts.language, run.problem), 2000)}</p>`}
${run.status === 'open' ? underWay(t, run, counts, shown) : ''}
${failures.length > 0 ? table(words.failures, failed, failures) : ''}
${summary && run.kind !== 'undo' ? figures(t, summary) : ''}
${actions(t, run, counts)}
<h2>${run.kind === 'preview' ? words.would : words.writes}</h2>
${counts.length === 0 ? html`<p class="empty">${run.kind === 'preview' ? words.nothingPlanned : words.nothing}</p>` : countTable(t, counts)}
${writes}
${run.kind === 'undo' && summary ? leftTable(t, words.left, summary.conflicts) : ''}`
}

const stepOf = (step: string) => (step === 'pull' || step === 'decide' || step === 'apply' ? step : 'report')

/** A sentence of which some holes are links. */
export const fillHtml = (template: string, values: Readonly<Record<string, Html>>): Html =>
  html`${template.split(/\{(\w+)\}/).map((part, n) => (n % 2 === 0 ? part : (values[part] ?? '')))}`

type Counts = Awaited<ReturnType<typeof countWrites>>
const sum = (counts: Counts, statuses: readonly LedgerStatus[]) =>
  counts.reduce((total, { status, count }) => total + (statuses.includes(status) ? count : 0), 0)

function underWay({ operate }: Told, run: Run, counts: Counts, { still, busy }: Shown): Html {
  const { run: say, steps } = operate
  const all = sum(counts, FILTERS.all)
  const done = all - sum(counts, ['planned', 'sent'])
  const writing = run.step === 'apply' ? fill(say.progress, { done: String(done), all: String(all) }) : ''
  return html`<div role="status" class="notice">${busy ? html`<p>${say.busy}</p>` : ''}
<p>${fill(say.underWay, { step: steps[run.step] })} ${writing}</p>
<p>${still ? '' : say.reloads} <a href="${runHref(run.id)}${still ? '' : '?still'}">${still ? say.reload : say.stay}</a></p></div>`
}

function figures({ operate, report, texts }: Told, summary: Summary): Html {
  const { figures: names, unreadable, dead, age, older, gets } = operate.run
  const numbers = (['open', 'stalled', 'newlyStalled', 'recovered', 'parked', 'answeredNo'] as const).map(
    (key) => [report.figures[key], texts.number(summary.figures[key])] as const,
  )
  const { all, moving } = summary.forecast
  const blocks = summary.dead.some(({ count }) => count > 0) ? summary.dead : []
  const rows = blocks.map(({ fromDays, toDays, count, value, gets: what }) => [
    toDays === null
      ? fill(older, { from: String(fromDays) })
      : fill(age, { from: String(fromDays + 1), to: String(toDays) }),
    texts.number(count),
    texts.moneys(value),
    gets[what],
  ])
  const heads = (['days', 'deals', 'value', 'gets'] as const).map((key, n) => ({
    title: operate.columns[key],
    number: n === 1 || n === 2,
  }))
  return html`${facts([...numbers, [names.all, texts.moneys(all)], [names.moving, texts.moneys(moving)]])}
${summary.unreadable > 0 ? html`<p class="alarm">${fill(unreadable, { count: texts.number(summary.unreadable) })}</p>` : ''}
${rows.length > 0 ? table(dead, heads, rows) : ''}`
}

/** What an operator can do with it. */
function actions({ viewer, operate: { run: say } }: Told, run: Run, counts: Counts): Html {
  const path = runHref(run.id)
  if (viewer.role !== 'operator' || run.status === 'open' || run.kind === 'undo') return html``
  if (run.kind !== 'preview')
    return sum(counts, ['done']) > 0 ? html`<p><a class="button" href="${path}/undo">${say.undo}</a></p>` : html``
  if (run.status !== 'done') return html``
  return html`<form method="post" action="${path}/confirm" class="action">${formToken(viewer)}
<p id="confirm">${say.confirmWords}</p><p><button aria-describedby="confirm">${say.confirm}</button></p></form>`
}

function countTable({ operate, texts: { number } }: Told, counts: Counts): Html {
  const statuses = FILTERS.all.filter((status) => counts.some((one) => one.status === status))
  const groups = Object.keys(operate.groups).filter((group): group is Counts[number]['group'] =>
    counts.some((one) => one.group === group),
  )
  const rows = groups.map((group) => [
    operate.groups[group],
    ...statuses.map((status) => number(counts.find((one) => one.group === group && one.status === status)?.count ?? 0)),
  ])
  const heads = [
    { title: operate.columns.what },
    ...statuses.map((one) => ({ title: operate.statuses[one], number: true })),
  ]
  return table(operate.run.counts, heads, rows)
}

async function writesOf(service: WebService, t: Told, run: Run, counts: Counts, { show, page }: Shown): Promise<Html> {
  const { operate } = t
  const path = runHref(run.id)
  const part = { offset: (page - 1) * DEALS, limit: DEALS }
  const found = await pageOfWrites(service.db, run, { statuses: FILTERS[show], ...part })
  const deals = await getDeals(service.db, run.connection, [...found.writes.keys()])
  const stored = await getConnection(service.db, run.connection)
  const reference = stored?.reference ?? null
  const filters = FILTER_NAMES.filter((one) => one === show || sum(counts, FILTERS[one]) > 0)
  const sections = [...found.writes].map(([id, writes]) =>
    dealSection(service, t, run, { id, writes, reference, stored: deals.get(id) }),
  )
  return html`<nav class="tabs" aria-label="${operate.run.filter}"><ul>${filters.map(
    (one) =>
      html`<li><a href="${path}?show=${one}&amp;still"${one === show ? html` aria-current="true"` : ''}>${operate.run.filters[one]} <span class="count">${t.texts.number(sum(counts, FILTERS[one]))}</span></a></li>`,
  )}</ul></nav>
${sections.length > 0 ? sections : html`<p class="empty">${operate.run.noneSuch}</p>`}
${pager(operate.pages, page, Math.ceil(found.deals / DEALS), (to) => `${path}?show=${show}&page=${to}&still`)}`
}

interface OfDeal {
  readonly id: DealId
  readonly writes: readonly Write[]
  readonly reference: Reference | null
  readonly stored: StoredDeal | undefined
}

function dealSection(service: WebService, t: Told, run: Run, { id, writes, reference, stored }: OfDeal): Html {
  const { operate, texts } = t
  const { language } = texts
  const { run: say, columns, statuses } = operate
  const deal = stored?.known.deal
  const name = plain(deal?.name ?? id)
  const system = service.connections.find((one) => one.name === run.connection)?.system
  const rows = writes.flatMap(({ row, status, message }) => {
    const why = row.hold && status === 'held' ? texts.hold(row.hold) : message && plain(remark(language, message), 500)
    const state = why
      ? fillHtml(say.because, { state: html`${statuses[status]}`, why: html`<span dir="auto">${why}</span>` })
      : statuses[status]
    if (row.kind !== 'fields') return [[operate.groups[row.group], '', task(t, row), state]]
    const value = shown(t, run, reference)
    const written = FIELD_KEYS.filter((field) => field in row.after)
    return written.map((field) => {
      const [before, after] = [row.before[field], row.after[field]].map((each) => value(field, each))
      return [remark(language, FIELDS[field] ?? field), before ?? '', after ?? '', state]
    })
  })
  const heads = (['what', 'before', 'after', 'state'] as const).map((key) => ({ title: columns[key] }))
  const mine = t.viewer.role === 'operator' && run.status !== 'open' && /night|manual/.test(run.kind)
  const back = mine && writes.some(({ row, status }) => undoable({ ...row, ...NEVER, status }))
  const link = deal && system ? inCrm(t, system, deal) : ''
  const own = dealHref({ connection: run.connection, id })
  return html`<section class="deal"><h3><a href="${own}">${outside(name)}</a></h3><p>${link}</p>
${table(fill(say.ofDeal, { deal: name }), heads, rows, true)}
${back ? html`<p><a href="${runHref(run.id)}/undo?deal=${encodeURIComponent(id)}" aria-label="${say.undoDeal} ${name}">${say.undoDeal}</a></p>` : ''}</section>`
}
const NEVER = { run: '', plannedAt: 0, sentAt: null, settledAt: null, remote: null, message: null }

function task({ operate: { run: say }, texts }: Told, row: Exclude<Write['row'], { kind: 'fields' }>): Html {
  const subject = row.kind === 'create-task' ? row.subject : say.task
  const due = row.kind === 'create-task' ? `, ${fill(say.due, { date: texts.date(row.due) })}` : ''
  return html`${plain(subject, 255)}${due}<details><summary>${say.text}</summary><p class="body" dir="auto">${row.body}</p></details>`
}

/** The value of a field as people say it. */
function shown({ operate, report, texts }: Told, run: Run, reference: Reference | null) {
  const { empty } = operate.run
  const { answers } = report
  const { rules, states, causes } = texts.names
  const stages = reference?.pipelines.flatMap((pipeline) => pipeline.stages) ?? []
  const names: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    ...{ reason: rules, state: states, cause: causes, decision: answers },
    stage: Object.fromEntries(stages.map(({ id, label }) => [id, label])),
  }
  return (field: string, value: string | number | boolean | null | undefined): string => {
    if (value === null || value === undefined || value === '') return empty
    if (typeof value === 'boolean') return value ? answers.yes : answers.no
    if (typeof value === 'number') return texts.instant(value, run.settings.timezone)
    return field === 'decisionDue' ? texts.date(value) : plain(names[field]?.[value] ?? value, 500)
  }
}

/** What was left as it is. */
export function leftTable({ operate, texts }: Told, caption: string, left: readonly Left[]): Html {
  if (left.length === 0) return html``
  const { columns, run } = operate
  const rows = left
    .slice(0, MOST_LEFT)
    .map(({ name, what, words }) => [
      plain(name),
      remark(texts.language, what),
      plain(remark(texts.language, words), 500),
    ])
  const heads = [{ title: columns.deal }, { title: columns.what }, { title: columns.why }]
  const more = left.length - MOST_LEFT
  return html`${table(caption, heads, rows)}${more > 0 ? html`<p>${fill(run.more, { count: String(more) })}</p>` : ''}`
}
