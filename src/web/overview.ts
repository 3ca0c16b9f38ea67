// `/`: tonight at a glance. What the forecast says and what of it still moves, why and whose deals stand still, what last
// night did, and what needs a person. Read from what the nights stored: no deal is judged here.
import { html } from 'hono/html'
import { z } from 'zod'
import type { Rule } from '../core/deal.ts'
import { cents, sumsOf } from '../core/forecast.ts'
import { StoredParts } from '../report/build.ts'
import { SumLine } from '../report/model.ts'
import { NO_SUMMARY, Summary, written } from '../report/summary.ts'
import { nextNight } from '../schedule.ts'
import { circuits } from '../store/connections.ts'
import { type Facet, facetsOf } from '../store/deals.ts'
import { figuresOf, latestRun, listRuns, nightlyForecasts, type Run, undoOf } from '../store/runs.ts'
import type { Circuit } from '../store/schema.ts'
import { remark } from '../texts/remarks.ts'
import { fill, plain } from '../texts/shared.ts'
import type { Html } from './layout.ts'
import {
  bar,
  blocks,
  chosen,
  connectionTabs,
  dealHref,
  href,
  outside,
  runHref,
  type Seen,
  seen,
  type Told,
  told,
} from './parts.ts'
import type { Web } from './server.ts'
import type { WebConnection, WebService } from './service.ts'

const DAY_MS = 86_400_000
/** Nights of the chart. */
const NIGHTS = 90
/** A night is missed when there was none so long after it was due. */
const LATE_MS = DAY_MS / 2
const MOST_OWNERS = 8
const MOST_NAMED = 3
const LOOK_AGAIN_S = 5

export function overview(web: Web, service: WebService): void {
  web.get('/', async (c) => {
    const t = told(c, service)
    const some = chosen(c, service)
    const found = await Promise.all(some.map((one) => nightOf(service, one)))
    const nights = found.filter((one) => one.night !== null)
    const tabs = connectionTabs('/', service, some, t)
    const reading = found.some(({ last, night }) => last?.status === 'open' && night === null)
    const page = { title: t.words.tonight.title, at: '/', ...(reading && { refreshAfter: LOOK_AGAIN_S }) }
    const waiting = found.filter((one) => one.night === null)
    const unread = waiting.filter(({ preview, last }) => preview === null && last?.status !== 'open')
    const starts = html`${unread.length === 0 ? '' : beginning(unread, t)}${waiting.filter((one) => !unread.includes(one)).map((one) => first(one, t))}`
    if (service.connections.length === 0)
      return t.page({ ...page, body: emptiness(t.words.start.title, html`<p>${t.words.start.none}</p>`) })
    const circuit = await circuits(service.db, service.clock())
    const todo = found
      .flatMap((one) => needs(one, circuit.get(one.name), service, t))
      .sort((a, b) => Number(b.alarm) - Number(a.alarm))
    if (nights.length === 0) return t.page({ ...page, body: html`${tabs}${todoList(todo, t)}${starts}` })
    const newest = Math.max(...nights.map(({ night }) => night?.now ?? 0))
    const facets = await facetsOf(service.db, { connections: nights.map(({ name }) => name), text: '' })
    const stalled = facets.filter(({ state }) => state === 'stalled')
    const body = html`<p class="lead">${fill(t.words.tonight.asOf, { at: t.texts.instant(newest, service.timezone) })}</p>
${tabs}
${headline(nights, t)}
${todoList(todo, t)}
${starts}
${lastNight(nights, t)}
<div class="columns">${reasons(stalled, some, t)}${owners(stalled, await seen(service, some, t.texts), some, t)}</div>
${history(await pastOf(service, nights), t)}`
    return t.page({ ...page, body })
  })
}

// ---- what is stored

interface Night extends WebConnection {
  /** Finished; null: none was confirmed yet. */
  readonly night: Run | null
  readonly preview: Run | null
  /** Whatever ran last. */
  readonly last: Run | null
  /** Id of the undo that took `night` back. */
  readonly undo: string | null
  readonly summary: Summary
  readonly totals: readonly Total[]
  /** The night has no forecast on record: `totals` are of the whole pipeline. */
  readonly plainTotals: boolean
}
type Total = Pick<SumLine, 'currency' | 'deals' | 'value' | 'movingValue' | 'forecast' | 'movingForecast'>

async function nightOf({ db }: WebService, connection: WebConnection): Promise<Night> {
  const { name } = connection
  const night = await latestRun(db, name, ['night', 'manual'])
  const preview = night === null ? await latestRun(db, name, ['preview']) : null
  const [last = null] = await listRuns(db, { connection: name, limit: 1 })
  const undo = night && (await undoOf(db, night))
  const summary = Summary.safeParse((night ?? preview)?.summary).data ?? NO_SUMMARY
  const stored = night && StoredParts.safeParse(await figuresOf(db, night.id)).data?.parts.total
  const { all, moving } = summary.forecast
  const plainTotals = Object.entries(all).map(([currency, value]) => {
    const movingValue = moving[currency] ?? 0
    return { currency, deals: 0, value, movingValue, forecast: value, movingForecast: movingValue }
  })
  const found = { ...connection, night, preview, last, undo, summary }
  return { ...found, totals: stored ?? plainTotals, plainTotals: !stored }
}

/** By currency, the one with most deals first. */
function summed(lines: readonly Total[]): readonly Total[] {
  const sums = new Map<string, Total>()
  for (const line of lines) {
    const currency = line.currency ?? ''
    const sum = sums.get(currency)
    const add = (of: Exclude<keyof Total, 'currency'>) => cents((sum?.[of] ?? 0) + line[of])
    const money = { value: add('value'), movingValue: add('movingValue') }
    const forecast = { forecast: add('forecast'), movingForecast: add('movingForecast') }
    sums.set(currency, { currency, deals: add('deals'), ...money, ...forecast })
  }
  return [...sums.values()].sort((a, b) => b.deals - a.deals || b.value - a.value)
}

interface Past {
  readonly currency: string
  readonly nights: readonly (readonly [date: string, forecast: number, moving: number])[]
}
const Totals = z.array(SumLine.pick({ currency: true, forecast: true, movingForecast: true }))

/** Every date has the last word of each connection until then. */
async function pastOf({ db }: WebService, some: readonly Night[]): Promise<readonly Past[]> {
  const stored = await Promise.all(
    some.map(async ({ name, night }) => {
      const nights = await nightlyForecasts(db, name, night?.now ?? 0, NIGHTS)
      return nights.flatMap(({ localDate, total }) => {
        const lines = Totals.safeParse(total).data
        return lines ? [{ date: localDate, lines }] : []
      })
    }),
  )
  const dates = [...new Set(stored.flat().map(({ date }) => date))].sort().slice(-NIGHTS)
  const sums = dates.flatMap((date) => {
    const lines = stored.flatMap((nights) => nights.findLast((night) => night.date <= date)?.lines ?? [])
    return [...Map.groupBy(lines, (line) => line.currency ?? '')].map(([currency, of]) => {
      const sum = (key: 'forecast' | 'movingForecast') => cents(of.reduce((total, line) => total + line[key], 0))
      return { currency, night: [date, sum('forecast'), sum('movingForecast')] as const }
    })
  })
  const byCurrency = [...Map.groupBy(sums, ({ currency }) => currency)]
  return byCurrency.map(([currency, some]) => ({ currency, nights: some.map(({ night }) => night) }))
}

// ---- how it is said

const emptiness = (title: string, body: Html): Html => html`<section class="empty"><h2>${title}</h2>${body}</section>`

const link = (to: string, text: string) => html`<p><a class="button" href="${to}">${text}</a></p>`

/** Connections nobody has looked at: what to do next. */
function beginning(some: readonly Night[], t: Told): Html {
  const { start, of } = t.words
  const what = some.map(({ name }) => name).join(', ')
  const said = start.title.toLocaleLowerCase(t.texts.language)
  return emptiness(fill(of, { what, said }), html`<p>${start.text}</p>${link('/connections', start.connections)}`)
}

/** A connection whose first night is being previewed, or waits for its confirmation. */
function first({ name, preview, summary }: Night, t: Told): Html {
  const { start } = t.words
  if (preview === null)
    return emptiness(start.title, html`<p role="status">${fill(start.reading, { connection: name })}</p>`)
  const { figures, forecast } = summary
  const open = t.texts.number(figures.open)
  return emptiness(
    fill(start.waits, { connection: name }),
    html`<p>${t.counted(start.would, figures.newlyStalled, { open })}
${fill(start.worth, { all: t.moneys(forecast.all), moving: t.moneys(forecast.moving) })}</p>
${link(runHref(preview.id), start.preview)}`,
  )
}

/** The large figures, one block a currency. */
function headline(nights: readonly Night[], t: Told): Html {
  const { tonight } = t.words
  const totals = summed(nights.flatMap((one) => one.totals))
  if (totals.length === 0) return html`<p>${tonight.none}</p>`
  const one = (total: Total) => {
    const { currency, forecast, movingForecast, value, movingValue } = total
    const gap = cents(forecast - movingForecast)
    const share = forecast > 0 ? movingForecast / forecast : 1
    const says =
      gap === 0 ? tonight.noGap : fill(tonight.gap, { gap: t.money(gap, currency), share: t.texts.percent(1 - share) })
    const whole = { value: t.money(value, currency), moving: t.money(movingValue, currency) }
    return html`<div class="figure"><dl>
<div><dt>${tonight.reported}</dt><dd>${t.money(forecast, currency)}</dd></div>
<div class="honest"><dt>${tonight.honest}</dt><dd>${t.money(movingForecast, currency)}</dd></div></dl>
${bar(share)}
<p class="gap">${says}</p>
${value === forecast ? '' : html`<p class="note">${fill(tonight.pipeline, whole)}</p>`}</div>`
  }
  const note = nights.some(({ plainTotals }) => plainTotals) ? html`<p class="note">${tonight.noForecast}</p>` : ''
  return html`<section class="headline" aria-label="${tonight.figures}">${totals.map(one)}${note}</section>`
}

function lastNight(nights: readonly Night[], t: Told): Html {
  const { tonight } = t.words
  const sum = (of: (summary: Summary) => number) => nights.reduce((total, { summary }) => total + of(summary), 0)
  const keys = ['newlyStalled', 'recovered', 'parked', 'answeredNo'] as const
  const facts = [
    ...keys.map((key) => [tonight.facts[key], sum(({ figures }) => figures[key])] as const),
    [tonight.facts.held, sum((summary) => written(summary, 'held'))] as const,
    [tonight.facts.refused, sum((summary) => written(summary, 'refused'))] as const,
  ]
  const runs = nights.flatMap(({ name, night }) => (night ? [{ name, night }] : []))
  return html`<section><h2>${tonight.night}</h2>
${blocks([{ is: 'facts', facts: facts.map(([label, n]) => [label, t.texts.number(n)]) }])}
<p>${tonight.runs} ${runs.map(
    ({ name, night: { id, localDate } }, at) =>
      html`${at > 0 ? ', ' : ''}<a href="${runHref(id)}">${fill(tonight.run, { connection: name, date: t.texts.date(localDate) })}</a>`,
  )}</p></section>`
}

interface Line {
  readonly name: Html | string
  readonly to: string
  readonly deals: number
  readonly value: Record<string, number>
}

/** Facets gathered under what they have in common, most deals first. */
function gathered<K>(facets: readonly Facet[], of: (facet: Facet) => K) {
  const lines = [...Map.groupBy(facets, of)].map(([key, some]) => {
    const value = sumsOf(some.map((one) => [one.currency, one.value]))
    return { key, deals: some.reduce((sum, one) => sum + one.deals, 0), value }
  })
  return lines.sort((a, b) => b.deals - a.deals)
}

function ranking(title: string, first: string, lines: readonly Line[], t: Told, more: Html | string = ''): Html {
  const { tonight } = t.words
  const most = Math.max(...lines.map(({ deals }) => deals))
  const row = (
    line: Line,
  ) => html`<tr><th scope="row"><a href="${line.to}">${line.name}</a>${bar(line.deals / most)}</th>
<td class="n">${t.texts.number(line.deals)}</td><td class="n">${t.moneys(line.value)}</td></tr>`
  return html`<section><h2>${title}</h2>
${
  lines.length === 0
    ? html`<p>${tonight.noneStalled}</p>`
    : html`<table class="ranking"><caption class="unseen">${title}</caption><thead><tr><th scope="col">${first}</th><th scope="col" class="n">${tonight.deals}</th><th scope="col" class="n">${tonight.value}</th></tr></thead>
<tbody>${lines.map(row)}</tbody></table>${more}`
}</section>`
}

const only = (some: readonly WebConnection[]) => (some.length === 1 ? (some[0]?.name ?? null) : null)

function reasons(stalled: readonly Facet[], some: readonly WebConnection[], t: Told): Html {
  const { tonight } = t.words
  const name = (rule: Rule | null) => (rule === null ? tonight.other : t.texts.names.rules[rule])
  const lines = gathered(stalled, ({ rule }) => rule).map(({ key: rule, ...line }) => ({
    ...{ name: name(rule), to: href('/deals', { rule, connection: only(some) }), ...line },
  }))
  return ranking(tonight.why, tonight.rule, lines, t)
}

function owners(stalled: readonly Facet[], read: readonly Seen[], some: readonly WebConnection[], t: Told): Html {
  const { tonight } = t.words
  const labels = new Map(read.map(({ name, labels }) => [name, labels]))
  const lines = gathered(stalled, ({ connection, ownerId, pipelineId, stageId }) =>
    ownerId === '' ? null : (labels.get(connection)?.of({ ownerId, pipelineId, stageId }).owner ?? ownerId),
  ).map(({ key: owner, ...line }) => ({
    name: owner === null ? tonight.nobody : outside(owner),
    to: href('/deals', { owner: owner ?? '–', connection: only(some) }),
    ...line,
  }))
  const more = html`<p><a href="${href('/coaching', { connection: only(some) })}">${tonight.whoMore}</a></p>`
  return ranking(tonight.who, tonight.owner, lines.slice(0, MOST_OWNERS), t, lines.length > MOST_OWNERS ? more : '')
}

function history(past: readonly Past[], t: Told): Html {
  const { tonight } = t.words
  const { states } = t.texts.names
  const drawn = past.filter(({ nights }) => nights.length > 1)
  const charted = drawn.map(({ currency, nights }) => {
    const title = currency === '' ? tonight.chartPlain : fill(tonight.chart, { currency: plain(currency, 10) })
    const series = [
      { name: states.moving, values: nights.map(([, , moving]) => moving) },
      { name: states.stalled, values: nights.map(([, all, moving]) => cents(all - moving)) },
    ]
    const labels = nights.map(([date]) => t.texts.shortDate(date))
    return { is: 'chart', chart: { kind: 'area', title, labels, series, unit: t.texts.compact } } as const
  })
  return html`<section><h2>${tonight.history}</h2>${drawn.length > 0 ? blocks(charted) : html`<p>${tonight.firstNight}</p>`}</section>`
}

// ---- what needs a person

interface Need {
  readonly alarm: boolean
  readonly text: string
  readonly to: readonly [href: string, text: string]
  readonly more?: Html
}

function needs(one: Night, circuit: Circuit | undefined, service: WebService, t: Told): readonly Need[] {
  const { name: connection, night, last, summary, undo } = one
  const { tonight } = t.words
  const { language, date } = t.texts
  const say = (template: string, values: Readonly<Record<string, string>> = {}) =>
    fill(template, { connection, ...values })
  const words = (text: string) => remark(language, plain(text, 300))
  const toRun = (id: string) => [runHref(id), tonight.look] as const
  const found: Need[] = []
  const need = (alarm: boolean, text: string, to: Need['to']) => found.push({ alarm, text, to })
  if (circuit) {
    const until = circuit.state === 'paused' ? t.texts.instant(circuit.until, service.timezone) : ''
    const reason = words(circuit.reason)
    const text = say(circuit.state === 'paused' ? tonight.paused : tonight.reconnect, { until, reason })
    need(true, text, ['/connections', tonight.toConnections])
  }
  if (last?.status === 'failed') {
    const text = say(tonight.failed, { date: date(last.localDate), problem: words(last.problem ?? '') })
    need(true, text, toRun(last.id))
  }
  if (last?.status === 'open') need(false, say(tonight.running, { step: tonight.steps[last.step] }), toRun(last.id))
  if (night === null) return found
  const to = toRun(night.id)
  const due = nextNight(night.now, service.schedule, service.timezone)
  if (service.clock() > due + LATE_MS && last?.status !== 'open')
    need(true, say(tonight.old, { date: date(night.localDate) }), ['/runs', tonight.look])
  if (undo !== null) need(false, say(tonight.takenBack, { date: date(night.localDate) }), toRun(undo))
  const count = (n: number, words: Parameters<Told['counted']>[0], alarm: boolean) => {
    if (n > 0) need(alarm, t.counted(words, n, { connection }), to)
  }
  count(summary.figures.held.share ?? 0, tonight.brake, true)
  count(written(summary, 'refused'), tonight.refused, true)
  count(summary.unreadable, tonight.unreadable, false)
  for (const list of ['ownerLeft', 'noStillOpen', 'archive'] as const) {
    const deals = summary.lists[list]
    if (deals.length === 0) continue
    const named = deals
      .toSorted((a, b) => (b.amount ?? 0) - (a.amount ?? 0))
      .slice(0, MOST_NAMED)
      .map(({ deal, name }, at) => html`${at > 0 ? ', ' : ''}<a href="${dealHref(deal)}">${outside(name, 50)}</a>`)
    const rest = deals.length - named.length
    const more = html`${named}${rest > 0 ? ` ${t.counted(t.words.more, rest)}` : ''}`
    const said = t.counted(tonight.lists[list], deals.length)
    const text = service.connections.length > 1 ? fill(t.words.of, { what: connection, said }) : said
    found.push({ alarm: false, text, more, to })
  }
  return found
}

function todoList(needed: readonly Need[], t: Told): Html {
  const { todo, nothing } = t.words.tonight
  const item = ({ alarm, text, more, to }: Need) => html`<li${alarm ? html` class="alarmed"` : ''}><p>${text}</p>
${more === undefined ? '' : html`<p>${more}</p>`}<p><a href="${to[0]}">${to[1]}</a></p></li>`
  return html`<section><h2>${todo}</h2>${
    needed.length === 0 ? html`<p class="calm">${nothing}</p>` : html`<ul class="todo">${needed.map(item)}</ul>`
  }</section>`
}
