// What the report says, in which order: a list of headings, tables and charts that HTML and Markdown each write in their
// own way. Texts from outside (names, messages) are cells and are escaped where they are written.

import { toDate, toDay } from '../core/calendar.ts'
import { CAUSES, type DealId, type Rule, SYSTEMS } from '../core/deal.ts'
import type { Texts } from '../core/explain.ts'
import { cents, PARTS } from '../core/forecast.ts'
import { FATES } from '../core/quality.ts'
import type { ReportWords } from '../texts/report-en.ts'
import { fill, plain } from '../texts/shared.ts'
import { type ConnectionReport, type DealLine, LISTS, type Report, type SumLine } from './model.ts'

export interface Column {
  readonly title: string
  readonly number?: boolean
}
/** `href`: where a name leads. */
export type Cell = string | { readonly text: string; readonly href: string }
export interface Chart {
  readonly kind: 'columns' | 'bars' | 'area'
  readonly title: string
  readonly labels: readonly string[]
  /** Stacked; the first is what counts, the second what is stalled. */
  readonly series: readonly { readonly name: string; readonly values: readonly number[] }[]
  readonly unit: (value: number) => string
}
export type Block =
  | { readonly is: 'heading'; readonly level: 2 | 3; readonly text: string }
  | { readonly is: 'text'; readonly text: string; readonly alarm: boolean }
  /** What matters most: a few large figures. */
  | { readonly is: 'facts'; readonly facts: readonly (readonly [label: string, value: string])[] }
  | {
      readonly is: 'table'
      readonly caption: string
      readonly columns: readonly Column[]
      readonly rows: readonly (readonly Cell[])[]
      /** Says that there are more. */
      readonly note: string | null
    }
  | { readonly is: 'chart'; readonly chart: Chart }

const MOST_ROWS = 200
const MOST_BARS = 12
const MOST_CURRENCIES = 3
const LAST_NIGHTS = 14
const WEEK = 7
/** For a digest: the news of a week instead of those of a night. */
export interface Week {
  /** Deals of the connection that moved again within the week. */
  readonly recovered: ReadonlySet<DealId>
  /** Most lines of a table, and what is said of the others. */
  readonly most: number
  readonly cut: string
}
type Keys = keyof ReportWords['columns'] & keyof DealLine

/** Without its title. */
export function documentOf(
  { connections, timezone }: Report,
  texts: Texts,
  say: ReportWords,
  week?: Week,
): readonly Block[] {
  const blocks = blocksOf(texts, say, timezone, week ? { week } : {})
  if (connections.length === 0) return [{ is: 'text', text: say.nothing, alarm: false }]
  return connections.flatMap((report) => [
    {
      ...{ is: 'heading', level: 2 },
      text: `${plain(report.name)} (${SYSTEMS[report.system]}), ${texts.date(report.night.date)}`,
    } as const,
    ...(week ? blocks.week(report, week) : blocks.whole(report)),
  ])
}

/** The parts of the document, each of one connection. `ownerHref`: where a rep's line of the coaching sheet leads. */
export function blocksOf(
  texts: Texts,
  say: ReportWords,
  timezone: string,
  { week, ownerHref = () => '' }: { readonly week?: Week; readonly ownerHref?: (owner: string | null) => string } = {},
) {
  const mostRows = week?.most ?? MOST_ROWS
  const { names, number, percent, money, moneys } = texts
  const at = (instant: string) => texts.instant(Date.parse(instant), timezone)
  const right = (title: string): Column => ({ title, number: true })
  const left = (title: string): Column => ({ title })
  const text = (template: string, values: Readonly<Record<string, string>> = {}, alarm = false): Block => ({
    ...{ is: 'text', text: fill(template, values), alarm },
  })
  const heading = (level: 2 | 3, title: string): Block => ({ is: 'heading', level, text: title })

  type Rows = readonly (readonly Cell[])[]
  function table(caption: string, columns: readonly Column[], rows: Rows, total = rows.length): Block {
    const shown = rows.slice(0, mostRows)
    const cut = fill(week?.cut ?? say.cut, { shown: number(shown.length), total: number(total) })
    return { is: 'table', caption, columns, rows: shown, note: shown.length < total ? cut : null }
  }
  const tableUnlessEmpty = (caption: string, columns: readonly Column[], rows: Rows): readonly Block[] =>
    rows.length === 0 ? [] : [table(caption, columns, rows)]

  const shown: { readonly [key in Keys]?: (deal: DealLine) => Cell } = {
    name: ({ name, url }) => ({ text: plain(name, 120), href: url }),
    owner: ({ owner }) => name(owner),
    stage: ({ stage }) => name(stage),
    amount: ({ amount, currency }) => (amount === null ? '–' : money(amount, currency)),
    rule: ({ rule }) => (rule === null ? '–' : names.rules[rule]),
    stalledSince: ({ stalledSince }) => (stalledSince === null ? '–' : texts.shortDate(stalledSince)),
    lastMovement: ({ lastMovement }) => (lastMovement === null ? '–' : texts.shortDate(lastMovement)),
    idleDays: ({ idleDays }) => number(idleDays),
    held: ({ held }) => plain(held ?? '', 300),
    refused: ({ refused }) => plain(refused ?? '', 300),
    leftAlone: ({ leftAlone }) => plain(leftAlone ?? '', 300),
    warnings: ({ warnings }) => plain(warnings.join(' '), 300),
  }
  const NUMBERS: readonly Keys[] = ['amount', 'idleDays']

  /** The dearest first; nothing of none. */
  function dealsTable(caption: string, deals: readonly DealLine[], ...more: readonly Keys[]): readonly Block[] {
    if (deals.length === 0) return []
    const keys: readonly Keys[] = ['name', 'owner', 'stage', 'amount', ...more]
    const columns = keys.map((key) => (NUMBERS.includes(key) ? right : left)(say.columns[key]))
    const rows = deals.toSorted((a, b) => (b.amount ?? 0) - (a.amount ?? 0) || (a.id < b.id ? -1 : 1))
    const lines = rows.slice(0, mostRows).map((deal) => keys.map((key) => shown[key]?.(deal) ?? ''))
    return [table(`${caption} (${number(deals.length)})`, columns, lines, deals.length)]
  }

  function sumsTable(part: keyof typeof say.sums, sums: readonly SumLine[]): Block {
    const { sum } = say
    const columns = [left(sum[part]), ...[sum.deals, sum.value, sum.stalled, sum.moving].map(right)]
    const rows = sums.map((line): Cell[] => {
      const of = (value: number) => money(value, line.currency)
      const first = part === 'total' ? name(line.currency) : part === 'month' ? monthOf(line) : name(line.name)
      const values = [line.value, cents(line.value - line.movingValue), line.movingValue]
      return [first, number(line.deals), ...[...values, line.forecast, line.movingForecast].map(of)]
    })
    return table(say.sums[part], [...columns, right(sum.forecast), right(sum.movingForecast)], rows)
  }
  const name = (of: string | null) => (of === null || of === '' ? say.none : plain(of))
  const monthOf = ({ name }: SumLine) => (name === null ? say.none : texts.month(name))

  const stacked = (values: readonly (readonly [moving: number, all: number])[]) => [
    { name: names.states.moving, values: values.map(([moving]) => moving) },
    { name: names.states.stalled, values: values.map(([moving, all]) => cents(all - moving)) },
  ]
  const chart = (chart: Omit<Chart, 'unit'>): Block => ({ is: 'chart', chart: { ...chart, unit: texts.compact } })
  const currenciesOf = ({ forecast }: ConnectionReport) =>
    forecast.total
      .toSorted((a, b) => b.deals - a.deals)
      .slice(0, MOST_CURRENCIES)
      .map(({ currency }) => currency)

  function sumsChart(part: 'month' | 'owner', sums: readonly SumLine[], currency: string | null): readonly Block[] {
    const mine = sums.filter((line) => line.currency === currency)
    const lines = part === 'month' ? mine.filter((line) => line.name !== null).slice(-24) : mine.slice(0, MOST_BARS)
    if (lines.length < 2) return []
    const values = lines.map((line) =>
      part === 'month' ? ([line.movingForecast, line.forecast] as const) : ([line.movingValue, line.value] as const),
    )
    const labels = lines.map((line) => (part === 'month' ? monthOf(line) : name(line.name)))
    const title = fill(say.charts[part], { currency: plain(currency ?? '') })
    return [chart({ kind: part === 'month' ? 'columns' : 'bars', title, labels, series: stacked(values) })]
  }

  function inShort({ night, forecast }: ConnectionReport): readonly Block[] {
    const { figures } = night
    const keys = ['open', 'stalled', 'newlyStalled', 'recovered', 'parked', 'answeredNo', 'dismissed'] as const
    const counts = keys.map((key) => [say.figures[key], number(figures[key])] as const)
    return [{ is: 'facts', facts: counts }, sumsTable('total', forecast.total), text(say.meaning)]
  }

  /** What the CRM reports, what is left of it without stalled deals, and the difference. */
  function honestTable({ forecast }: ConnectionReport): Block {
    const { sum, history } = say
    const columns = [sum.forecast, sum.movingForecast, history.gap, sum.value, sum.moving].map(right)
    const rows = forecast.total.map(({ currency, value, movingValue, forecast, movingForecast }) => {
      const amounts = [forecast, movingForecast, cents(forecast - movingForecast), value, movingValue]
      return [name(currency), ...amounts.map((one) => money(one, currency))]
    })
    return table(say.headings.forecast, [left(sum.total), ...columns], rows)
  }

  /** A table of those deals that it is about. */
  const tablesOf =
    (deals: readonly DealLine[]) =>
    (caption: string, which: (deal: DealLine) => boolean, ...more: readonly Keys[]) =>
      dealsTable(caption, deals.filter(which), ...more)

  function weekBlocks(report: ConnectionReport, { recovered }: Week): readonly Block[] {
    const { deals, night } = report
    const since = toDate(toDay(night.date) - WEEK)
    const some = tablesOf(deals)
    const { figures, lists } = say
    const counts = [
      [figures.open, deals.filter(({ state }) => state !== 'closed' && state !== 'gone')] as const,
      [figures.stalled, deals.filter(({ state }) => state === 'stalled')] as const,
    ].map(([label, these]) => [label, number(these.length)] as const)
    return [
      { is: 'facts', facts: counts },
      honestTable(report),
      ...some(lists.newlyStalled, ({ stalledSince }) => (stalledSince ?? '') > since, 'rule', 'lastMovement'),
      ...some(lists.recovered, ({ id, state }) => state === 'moving' && recovered.has(id), 'lastMovement'),
      ...some(lists.archive, (deal) => deal.lists.includes('archive'), 'lastMovement'),
      ...some(say.coaching.maybes, ({ state, answer }) => state !== 'closed' && answer === 'maybe', 'lastMovement'),
      ...coachingBlocks(report),
      text(say.meaning),
    ]
  }

  function nightBlocks({ night, deals, unreadable }: ConnectionReport): readonly Block[] {
    const { run, kind } = night
    const count = (status: 'done' | 'held' | 'refused' | 'left') =>
      number(Object.values(night.writes).reduce((sum, group) => sum + (group[status] ?? 0), 0))
    const wrote = { done: count('done'), held: count('held'), refused: count('refused'), left: count('left') }
    const brakes = night.brakes.map(({ writes, text }) => [plain(text, 300), number(writes)])
    const some = tablesOf(deals)
    const did = (wanted: DealLine['change']) => (deal: DealLine) =>
      deal.change === wanted && deal.changeStatus !== 'held' && deal.changeStatus !== 'refused'
    const dead = night.dead.filter(({ count }) => count > 0)
    const ages = dead.map(({ fromDays, toDays, count, value, gets }) => {
      const [from, to] = [number(fromDays + (toDays === null ? 0 : 1)), number(toDays ?? 0)]
      const age = fill(toDays === null ? say.dead.from : say.dead.between, { from, to })
      return [age, number(count), moneys(value), say.dead[gets]]
    })
    const { dead: words, lists } = say
    const columns = [left(words.days), right(say.sum.deals), right(words.value), left(words.gets)]
    const unread = unreadable.map(({ id, name, url, problem }): Cell[] => [
      { text: plain(name ?? id), href: url ?? '' },
      plain(problem, 300),
    ])
    return [
      heading(3, `${say.headings.night}, ${texts.date(night.date)}`),
      text(say.kinds[kind], { run, at: at(night.at) }),
      ...(night.status === 'failed' ? [text(say.failed, { problem: plain(night.problem ?? '', 300) }, true)] : []),
      ...(night.at === night.knownAt ? [] : [text(say.knownAt, { at: at(night.knownAt) })]),
      ...(kind === 'preview' ? [] : [text(say.wrote, wrote)]),
      ...tableUnlessEmpty(say.brakes.caption, [left(say.brakes.why), right(say.brakes.writes)], brakes),
      ...some(lists.newlyStalled, did('flagged'), 'rule', 'lastMovement'),
      ...some(lists.recovered, did('recovered'), 'lastMovement'),
      ...some(lists.closed, did('closed')),
      ...(['refused', 'held', 'leftAlone'] as const).flatMap((why) =>
        some(lists[why], (deal) => deal[why] !== null, why),
      ),
      ...LISTS.flatMap((list) => some(lists[list], (deal) => deal.lists.includes(list), 'lastMovement')),
      ...tableUnlessEmpty(lists.unreadable, [left(say.columns.name), left(say.brakes.why)], unread),
      ...tableUnlessEmpty(lists.dead, columns, ages),
    ]
  }

  function forecastBlocks(report: ConnectionReport): readonly Block[] {
    const { forecast } = report
    const charts = (part: 'month' | 'owner') =>
      currenciesOf(report).flatMap((currency) => sumsChart(part, forecast[part], currency))
    const parts = PARTS.flatMap((part) => [
      ...(part === 'month' || part === 'owner' ? charts(part) : []),
      ...(forecast[part].some((line) => line.name !== null) ? [sumsTable(part, forecast[part])] : []),
    ])
    return parts.length === 0 ? [] : [heading(3, say.headings.forecast), ...parts]
  }

  function historyBlocks(report: ConnectionReport): readonly Block[] {
    const { history } = report
    if (history.length === 0) return []
    const charts = currenciesOf(report).flatMap((currency) => {
      const nights = history.filter((night) => night.currency === (currency ?? ''))
      if (nights.length < 2) return []
      const title = fill(say.charts.history, { currency: plain(currency ?? '') })
      const values = nights.map(({ value, movingValue }) => [movingValue, value] as const)
      const labels = nights.map(({ date }) => texts.shortDate(date))
      return [chart({ kind: 'area', title, labels, series: stacked(values) })]
    })
    const dates = [...new Set(history.map(({ date }) => date))].slice(-LAST_NIGHTS)
    const rows = history
      .filter(({ date }) => dates.includes(date))
      .toReversed()
      .map(({ date, currency, value, movingValue }) => {
        const amounts = [value, movingValue, cents(value - movingValue)].map((one) => money(one, currency))
        return [texts.shortDate(date), ...amounts, share(value - movingValue, value)]
      })
    const columns = [say.sum.value, say.sum.moving, say.history.gap, say.history.share].map(right)
    return [
      heading(3, say.headings.history),
      ...charts,
      table(say.history.caption, [left(say.history.night), ...columns], rows),
    ]
  }
  const share = (part: number, whole: number) => (whole > 0 ? percent(part / whole) : '–')

  function stopsBlocks({ stops }: Pick<ConnectionReport, 'stops'>): readonly Block[] {
    if (stops.length === 0) return []
    const values = stops.map(({ open, stalled }) => [open - stalled, open] as const)
    const labels = stops.map(({ stage }) => name(stage))
    const { sum, stops: words } = say
    const rows = stops.map(({ pipeline, stage, open, stalled }) => [
      ...[name(pipeline), name(stage), number(open), number(stalled), share(stalled, open)],
    ])
    const columns = [left(sum.pipeline), left(say.columns.stage), ...[words.open, sum.stalled, words.share].map(right)]
    return [
      heading(3, say.headings.stops),
      chart({ kind: 'bars', title: say.charts.stops, labels, series: stacked(values) }),
      table(words.caption, columns, rows),
    ]
  }

  const days = (value: number | null) => (value === null ? '–' : number(value))
  function cycleBlocks({ cycle }: ConnectionReport): readonly Block[] {
    const rows = (['all', 'withoutStalled', 'active'] as const).map((kind) => {
      const { deals, mean, median } = cycle[kind]
      return [say.cycle[kind], number(deals), days(mean), days(median)]
    })
    const columns = [left(say.cycle.kind), ...[say.sum.deals, say.cycle.mean, say.cycle.median].map(right)]
    return [
      heading(3, say.headings.cycle),
      table(say.cycle.caption, columns, rows),
      text(say.cycle.note),
      ...(cycle.leftOut > 0 ? [text(say.cycle.leftOut, { n: number(cycle.leftOut) })] : []),
    ]
  }

  function coachingBlocks({ coaching }: Pick<ConnectionReport, 'coaching'>): readonly Block[] {
    if (coaching.length === 0) return []
    const { coaching: words } = say
    const list = (parts: readonly (readonly [string, number])[]) => {
      const most = parts.slice(0, 3).map(([what, n]) => `${what} (${number(n)})`)
      return most.join(', ') || '–'
    }
    const rows = coaching.map((rep) => [
      ...[{ text: name(rep.owner), href: ownerHref(rep.owner) }, number(rep.open), number(rep.stalled)],
      moneys(rep.stalledValue),
      list(rep.stops.map(({ stage, stalled }) => [name(stage), stalled])),
      ...[number(rep.maybes), number(rep.pushes), days(rep.ageDays), days(rep.idleDays)],
      list(CAUSES.flatMap((cause) => (rep.causes[cause] ? [[names.causes[cause], rep.causes[cause]]] : []))),
    ])
    const columns = [
      ...[left(words.rep), right(words.open), right(words.stalled), right(words.value), left(words.stops)],
      ...[right(words.maybes), right(words.pushes), right(words.age), right(words.idle), left(words.causes)],
    ]
    return [heading(3, say.headings.coaching), table(words.caption, columns, rows)]
  }

  function qualityBlocks({ quality, recovered }: ConnectionReport): readonly Block[] {
    const { quality: words, fates, suggestions } = say
    const title = heading(3, say.headings.quality)
    if (quality.rules.length === 0) return [title, text(words.none)]
    const met = FATES.filter((fate) => [...quality.rules, ...quality.horizons].some((one) => one.fates[fate] > 0))
    const fateColumns = met.map((fate) => right(fates[fate]))
    const counts = (of: (typeof quality.rules)[number]['fates']) => met.map((fate) => number(of[fate]))
    const horizons = quality.horizons.map(({ days, flags, fates }) => [
      ...[fill(words.days, { days: number(days) }), number(flags), ...counts(fates)],
    ])
    const change = (rule: Rule, of: (typeof quality.rules)[number]['suggestion']) =>
      of === 'loosen' ? suggestions.loosen[rule] : suggestions[of]
    const rules = quality.rules.map(({ rule, flags, fates, suggestion }) => [
      ...[names.rules[rule], number(flags), ...counts(fates), change(rule, suggestion)],
    ])
    return [
      title,
      table(words.caption, [left(words.after), right(words.flags), ...fateColumns], horizons),
      table(words.rules, [left(words.rule), right(words.flags), ...fateColumns, left(words.change)], rules),
      text(words.note),
      text(words.recovered, { deals: number(recovered.deals), value: moneys(recovered.value) }),
    ]
  }

  function standingBlocks({ deals, night }: ConnectionReport): readonly Block[] {
    const some = tablesOf(deals)
    const still = ({ state, change }: DealLine) =>
      state === 'stalled' && (change !== 'flagged' || night.kind === 'undo')
    const { lists, headings } = say
    const lying = [
      ...some(lists.stillStalled, still, 'rule', 'stalledSince', 'lastMovement', 'idleDays'),
      ...some(lists.parked, ({ state }) => state === 'parked', 'lastMovement'),
      ...some(lists.answeredNo, ({ state }) => state === 'answered_no', 'lastMovement'),
    ]
    const warned = some(lists.warnings, ({ warnings }) => warnings.length > 0, 'warnings')
    return [
      ...(lying.length > 0 ? [heading(3, headings.deals), ...lying] : []),
      ...(warned.length > 0 ? [heading(3, headings.warnings), ...warned] : []),
    ]
  }

  return {
    ...{ stops: stopsBlocks, coaching: coachingBlocks, week: weekBlocks },
    /** All of a night, in the order in which it is read. */
    whole: (report: ConnectionReport): readonly Block[] =>
      [
        ...[inShort, forecastBlocks, historyBlocks, nightBlocks, cycleBlocks, stopsBlocks],
        ...[coachingBlocks, qualityBlocks, standingBlocks],
      ].flatMap((part) => part(report)),
  }
}
