// `/deals`: deals that stand still, or any other open ones, to filter, sort and leaf through. Counts, filters and totals
// come from one grouped query; only the deals of the page are judged.
import { html, raw } from 'hono/html'
import { z } from 'zod'
import { RULES, SYSTEMS } from '../core/deal.ts'
import { reasonOf } from '../core/explain.ts'
import { sumsOf } from '../core/forecast.ts'
import { observedAfter } from '../core/reaffirm.ts'
import { judgedNow } from '../report/build.ts'
import { DEAL_ORDERS, type Facet, facetsOf, listDeals, type StoredDeal } from '../store/deals.ts'
import { ledgerForDeals, type StoredRow } from '../store/ledger.ts'
import { fill, plain } from '../texts/shared.ts'
import { dealPage } from './deal.ts'
import type { Html } from './layout.ts'
import { badge, crmLink, dealHref, href, outside, pager, type Seen, seen, type Told, told, unread } from './parts.ts'
import type { Web } from './server.ts'
import type { WebService } from './service.ts'

const STATES = ['stalled', 'parked', 'answered_no', 'open'] as const
const SIZES = [25, 50] as const
/** Nobody, no team: said with a dash, as the lists show it. */
const NONE = '–'

/** What an address asks for; what it says wrongly counts as not said. */
const text = z
  .string()
  .max(200)
  .catch('')
  .transform((given) => (given.trim() === '' ? '' : plain(given, 200)))
const Query = z.object({
  state: z.enum(STATES).catch('stalled'),
  ...{ text, owner: text, team: text, pipeline: text, stage: text, connection: text },
  rule: z.enum(RULES).or(z.literal('')).catch(''),
  order: z.enum(DEAL_ORDERS).catch('amount'),
  size: z.coerce.number().pipe(z.literal(SIZES)).catch(SIZES[0]),
  page: z.coerce.number().int().min(1).max(100_000).catch(1),
})
type Query = z.infer<typeof Query>
/** Filters whose choices are what the deals have. */
const CHOICES = ['owner', 'team', 'pipeline', 'stage', 'connection'] as const
type Choice = (typeof CHOICES)[number]
/** The filters that are set. */
const asked = (query: Query) => ([...CHOICES, 'rule'] as const).filter((key) => query[key] !== '')

export function deals(web: Web, service: WebService): void {
  dealPage(web, service)
  web.get('/deals', async (c) => {
    const t = told(c, service)
    const { list } = t.words
    const query = Query.parse(c.req.query())
    const read = await seen(service, service.connections, t.texts)
    const page = { title: list.titles[query.state], at: '/deals' }
    if (read.length === 0) return t.page({ ...page, body: unread(t) })
    const of = new Map(read.map((one) => [one.name, one]))
    const facets = await facetsOf(service.db, { connections: [...of.keys()], text: query.text })
    const named = facets.map((facet) => ({ ...facet, ...namesOf(facet, of) }))
    const fits = named.filter((one) => asked(query).every((key) => one[key] === query[key]))
    const shown = fits.filter(({ state }) => query.state === 'open' || state === query.state)
    const total = shown.reduce((sum, one) => sum + one.deals, 0)
    const pages = Math.max(1, Math.ceil(total / query.size))
    const at = Math.min(query.page, pages)
    const state = query.state === 'open' ? null : query.state
    const which = { connections: [...of.keys()], text: query.text, order: query.order, state }
    const part = { offset: (at - 1) * query.size, limit: query.size }
    const narrowed = asked(query).length === 0 ? null : shown
    const rows = total === 0 ? [] : await listDeals(service.db, { ...which, ...part, facets: narrowed })
    const body = html`${stateTabs(fits, query, t)}
${filters(named, query, t)}
${total === 0 ? nothing(query, t) : html`<p class="lead">${totals(shown, total, t)}</p>${await table(service, rows, of, query, t)}${pager(t.viewer.words.operate.pages, at, pages, (page) => linkTo(query, { page }))}`}`
    return t.page({ ...page, body })
  })
}

/** As people know them: the same name on two connections is the same choice. */
function namesOf(
  { connection, ownerId, pipelineId, stageId }: Facet,
  of: ReadonlyMap<string, Seen>,
): Record<Choice, string> {
  const names = of.get(connection)?.labels.of({ ownerId: ownerId === '' ? null : ownerId, pipelineId, stageId })
  const text = (name: string | null | undefined) => plain(name ?? NONE, 200)
  return {
    ...{ owner: text(names?.owner), team: text(names?.team), pipeline: text(names?.pipeline) },
    ...{ stage: text(names?.stage), connection },
  }
}

const linkTo = (query: Query, more: Partial<Query>) => {
  const { state, order, size, page, ...rest } = { ...query, page: 1, ...more }
  return href('/deals', {
    ...{ state: state === 'stalled' ? null : state, ...rest, order: order === 'amount' ? null : order },
    ...{ size: size === SIZES[0] ? null : size, page: page === 1 ? null : page },
  })
}

function stateTabs(fits: readonly Facet[], query: Query, t: Told): Html {
  const { states, stateNav } = t.words.list
  const count = (state: (typeof STATES)[number]) =>
    fits.reduce((sum, one) => sum + (state === 'open' || one.state === state ? one.deals : 0), 0)
  return html`<nav class="tabs" aria-label="${stateNav}"><ul>${STATES.map(
    (state) =>
      html`<li><a href="${linkTo(query, { state })}"${state === query.state ? raw(' aria-current="true"') : ''}>${states[state]} <span class="count">${t.texts.number(count(state))}</span></a></li>`,
  )}</ul></nav>`
}

function filters(named: readonly Record<Choice, string>[], query: Query, t: Told): Html {
  const { list } = t.words
  const option = (value: string, text: string, chosen: string) =>
    html`<option value="${value}"${value === chosen ? raw(' selected') : ''}>${text}</option>`
  const select = (name: string, label: string, options: readonly Html[]) =>
    html`<p><label for="f-${name}">${label}</label><select id="f-${name}" name="${name}">${options}</select></p>`
  const any = (chosen: string) => option('', list.any, chosen)
  const choice = (name: Choice) => {
    const values = new Set(named.map((one) => one[name]))
    if (query[name] !== '') values.add(query[name])
    if (values.size < 2 && query[name] === '') return ''
    const sorted = [...values].sort(new Intl.Collator(t.texts.language).compare)
    return select(name, list[name], [any(query[name]), ...sorted.map((value) => option(value, value, query[name]))])
  }
  const rules = RULES.map((rule) => option(rule, t.texts.names.rules[rule], query.rule))
  const orders = DEAL_ORDERS.map((order) => option(order, list.orders[order], query.order))
  const sizes = SIZES.map((size) => option(String(size), t.texts.number(size), String(query.size)))
  const set = asked(query).length
  const also = query.state === 'stalled' ? '' : html`<input type="hidden" name="state" value="${query.state}">`
  return html`<form class="filters" method="get" action="/deals" role="search">${also}
<p class="words"><label for="f-text">${list.text}</label><input id="f-text" name="text" type="search" maxlength="200" value="${query.text}"></p>
${select('order', list.order, orders)}
<details${set > 0 ? raw(' open') : ''}><summary>${list.filters}${set > 0 ? ` (${t.texts.number(set)})` : ''}</summary><div>
${choice('owner')}${choice('team')}${query.state === 'stalled' || query.state === 'open' ? select('rule', list.rule, [any(query.rule), ...rules]) : ''}${choice('pipeline')}${choice('stage')}${choice('connection')}${select('size', list.size, sizes)}</div></details>
<p class="go"><button>${list.show}</button>${set > 0 || query.text !== '' ? html` <a href="${href('/deals', { state: query.state === 'stalled' ? null : query.state })}">${list.clear}</a>` : ''}</p>
</form>`
}

function totals(shown: readonly Facet[], total: number, t: Told): string {
  const sums = sumsOf(shown.map(({ currency, value }) => [currency, value]))
  return fill(t.words.list.total, { deals: t.counted(t.words.deals, total), value: t.moneys(sums) })
}

function nothing(query: Query, t: Told): Html {
  const { list } = t.words
  const filtered = query.text !== '' || asked(query).length > 0
  const clear = html`<p><a class="button" href="/deals">${list.clear}</a></p>`
  return html`<section class="empty"><p>${query.state === 'stalled' && !filtered ? list.emptyStalled : list.empty}</p>${filtered ? clear : ''}</section>`
}

const COLUMNS = ['deal', 'owner', 'amount', 'why', 'since', 'movement', 'close', 'answer'] as const
const SORTED = { amount: 'amount', since: 'since', movement: 'movement', close: 'close' } as const
const isSorted = (column: string): column is keyof typeof SORTED => column in SORTED

async function table(
  service: WebService,
  rows: readonly StoredDeal[],
  of: ReadonlyMap<string, Seen>,
  query: Query,
  t: Told,
): Promise<Html> {
  const { list } = t.words
  const ledgers = new Map<string, ReadonlyMap<string, readonly StoredRow[]>>()
  for (const [connection, some] of Map.groupBy(rows, ({ known }) => known.ref.connection)) {
    const ids = some.map(({ known }) => known.ref.id)
    ledgers.set(connection, await ledgerForDeals(service.db, connection, ids))
  }
  const head = COLUMNS.map((column) => {
    const number = column === 'amount' ? raw(' class="n"') : ''
    const title = list.columns[column]
    if (!isSorted(column)) return html`<th scope="col"${number}>${title}</th>`
    const here = query.order === SORTED[column]
    const direction = here ? raw(` aria-sort="${column === 'amount' ? 'descending' : 'ascending'}"`) : ''
    return html`<th scope="col"${number}${direction}><a href="${linkTo(query, { order: SORTED[column] })}">${title}</a></th>`
  })
  const lines = rows.flatMap((row) => {
    const { connection, id } = row.known.ref
    const found = of.get(connection)
    return found ? [line(row, ledgers.get(connection)?.get(id) ?? [], found, query, t)] : []
  })
  const caption = fill(list.caption, { order: list.orders[query.order].toLocaleLowerCase(t.texts.language) })
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table class="deals"><caption class="unseen">${caption}</caption>
<thead><tr>${head}</tr></thead><tbody>${lines}</tbody></table></div>`
}

function line(
  stored: StoredDeal,
  ledger: readonly StoredRow[],
  { context, labels, system }: Seen,
  query: Query,
  t: Told,
): Html {
  const { list } = t.words
  const { texts } = t
  const { deal, ref } = stored.known
  const { log, verdict, standing, state } = judgedNow(stored, ledger, context)
  const { owner, team, stage, pipeline } = labels.of(deal)
  const { localDate } = context.calendar
  const reason = reasonOf(stored.known, verdict, log, context, false)
  const rule = standing.stall?.rule ?? verdict.rule
  const since = standing.stall?.startedAt ?? (state === 'moving' ? null : standing.since)
  const { answer } = verdict.decision
  const { cause } = observedAfter(deal, ledger).own
  const said = [answer && t.report.answers[answer], cause && texts.names.causes[cause]].filter((one) => one !== null)
  const protection = verdict.protection && texts.step({ step: 'protection', protection: verdict.protection })
  const why = reason ? texts.explanation(reason) : (protection ?? '')
  const label = (column: (typeof COLUMNS)[number]) => html` data-label="${list.columns[column]}"`
  const dash = (text: string | null) => text ?? NONE
  const states = state === 'moving' || query.state === 'open' ? badge(state, texts.names.states[state]) : ''
  return html`<tr><th scope="row"><a href="${dealHref(ref)}">${outside(deal.name, 100)}</a><small>${outside(stage)}${context.reference.pipelines.length > 1 ? html` · ${outside(pipeline)}` : ''}</small>${crmLink(deal.url, SYSTEMS[system], deal.name)}</th>
<td${label('owner')}>${owner === null ? NONE : outside(owner)}${team === null ? '' : html`<small>${outside(team)}</small>`}</td>
<td class="n"${label('amount')}>${deal.amount === null ? NONE : texts.money(deal.amount, deal.currency)}</td>
<td class="why"${label('why')}>${states} ${state === 'stalled' && rule !== null ? html`<strong>${texts.names.rules[rule]}</strong>` : ''}${why === '' ? '' : html`<small dir="auto">${why}</small>`}</td>
<td${label('since')}>${dash(since === null ? null : texts.shortDate(localDate(since)))}</td>
<td${label('movement')}>${texts.shortDate(localDate(verdict.lastMovement))}<small>${t.counted(t.words.days, verdict.idleDays)}</small></td>
<td${label('close')}>${dash(deal.closeDate && texts.shortDate(deal.closeDate))}</td>
<td${label('answer')}>${said.length === 0 ? NONE : said.join(', ')}</td></tr>`
}
