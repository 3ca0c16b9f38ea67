// What several pages are made of: words with numbers in them, money, tables, links to deals, runs and the CRM, states as
// badges. The same markup as the report's.
import type { Context } from 'hono'
import { html, raw } from 'hono/html'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { z } from 'zod'
import { type State, SYSTEMS, type System } from '../core/deal.ts'
import type { Texts } from '../core/explain.ts'
import { labelsOf, lastContext } from '../report/build.ts'
import type { Column } from '../report/document.ts'
import { blockHtml } from '../report/html.ts'
import type { ReportWords } from '../texts/report-en.ts'
import { reportEn } from '../texts/report-en.ts'
import { reportFr } from '../texts/report-fr.ts'
import { fill, plain } from '../texts/shared.ts'
import type { WebWords } from '../texts/web-en.ts'
import type { Html, Page, Viewer } from './layout.ts'
import { layout } from './layout.ts'
import type { WebConnection, WebService } from './service.ts'

export type PageContext = Context<{ Variables: { viewer: Viewer } }>
interface Counted {
  readonly one: string
  readonly many: string
}

export interface Told {
  readonly viewer: Viewer
  readonly words: WebWords['pages']
  readonly operate: WebWords['operate']
  readonly texts: Texts
  readonly report: ReportWords
  /** `{n}` and its noun. */
  counted(pair: Counted, n: number, values?: Readonly<Record<string, string>>): string
  /** Whole units: for large figures. */
  money(value: number, currency: string | null): string
  moneys(sums: Readonly<Record<string, number>>): string
  page(page: Page): Response | Promise<Response>
}

/** Any page, in its frame. */
export const show = (c: PageContext, page: Page, status: ContentfulStatusCode = 200) =>
  c.html(layout(c.get('viewer'), { ...page, search: new URL(c.req.url).search }), status)

/** Everything a page says it with, in the language of whoever looks. */
export function told(c: PageContext, service: WebService): Told {
  const viewer = c.get('viewer')
  const { language, pages, operate } = viewer.words
  const texts = service.texts(language)
  const one = (n: number) => (language === 'fr' ? n < 2 : n === 1)
  const money = (value: number, currency: string | null) => texts.money(Math.round(value), currency)
  return {
    ...{ viewer, texts, money, operate, words: pages, report: language === 'fr' ? reportFr : reportEn },
    counted: (pair, n, values = {}) => fill(one(n) ? pair.one : pair.many, { ...values, n: texts.number(n) }),
    moneys: (sums) =>
      texts.moneys(Object.fromEntries(Object.entries(sums).map(([currency, value]) => [currency, Math.round(value)]))),
    page: (page) => show(c, page),
  }
}

/** The connections a page is about: the one its address names, or all. */
export function chosen(c: PageContext, { connections }: WebService): readonly WebConnection[] {
  const asked = c.req.query('connection')
  const found = connections.filter(({ name }) => name === asked)
  return found.length > 0 ? found : connections
}

export interface Seen extends WebConnection {
  readonly context: NonNullable<Awaited<ReturnType<typeof lastContext>>>
  readonly labels: ReturnType<typeof labelsOf>
}

/** Those that were read, with what their deals are judged and named by. */
export async function seen(
  service: WebService,
  some: readonly WebConnection[],
  texts: Texts,
): Promise<readonly Seen[]> {
  const all = some.map(async (connection) => {
    const context = await lastContext(service.db, connection.name, texts)
    return context === null ? [] : [{ ...connection, context, labels: labelsOf(context) }]
  })
  return (await Promise.all(all)).flat()
}

/** A path of ours with the parameters that say something. */
export function href(path: string, query: Readonly<Record<string, string | number | null>> = {}): string {
  const given = Object.entries(query).flatMap(([key, value]) =>
    value === null || value === '' ? [] : [[key, String(value)] as [string, string]],
  )
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`
}
export const runHref = (id: string) => `/runs/${encodeURIComponent(id)}`
export const dealHref = ({ connection, id }: { readonly connection: string; readonly id: string }) =>
  `/deals/${encodeURIComponent(connection)}/${encodeURIComponent(id)}`

/** Names from outside are one line of visible text, in whichever direction they run. */
export const outside = (text: string, length = 80): Html => html`<bdi>${plain(text, length)}</bdi>`

/** Only to the web: whatever else a CRM calls a link is shown as nothing. */
export const crmLink = (url: string, text: string, name: string): Html =>
  /^https?:\/\//i.test(url)
    ? html`<a class="out" href="${url}" rel="noopener noreferrer" target="_blank">${text}<span class="unseen"> ${plain(name)}</span></a>`
    : html``

/** To the record in its CRM. */
export const inCrm = (
  { words }: Told,
  system: System,
  { url, name }: { readonly url: string; readonly name: string },
): Html => crmLink(url, fill(words.list.open, { system: SYSTEMS[system] }), name)

export const badge = (state: State | 'open', text: string): Html => html`<span class="badge ${state}">${text}</span>`

/** A bar beside its number, which says the same. `share`: of 1. */
export const bar = (share: number): Html =>
  html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="whole" width="100" height="6"></rect><rect width="${(100 * Math.min(1, Math.max(0, share))).toFixed(1)}" height="6"></rect></svg>`

/** In place of a page whose deals nobody has read yet. */
export const unread = ({ words }: Told): Html =>
  html`<section class="empty"><p>${words.unread}</p><p><a class="button" href="/">${words.tonight.title}</a></p></section>`

/** As wide as a page is. */
const PAGE_WIDE = 1120

/** Blocks of the report, without its headings: pages have their own. */
export const blocks = (some: readonly Parameters<typeof blockHtml>[0][]): readonly Html[] =>
  some.filter(({ is }) => is !== 'heading').map((block, at) => blockHtml(block, at, PAGE_WIDE))

/** Of one of several connections; nothing where there is one. */
export function connectionTabs(
  path: string,
  { connections }: WebService,
  some: readonly WebConnection[],
  told: Told,
): Html {
  if (connections.length < 2) return html``
  const { all, which } = told.words
  const tab = (text: string, name: string | null, here: boolean) =>
    html`<li><a href="${href(path, { connection: name })}"${here ? raw(' aria-current="true"') : ''}>${text}</a></li>`
  return html`<nav class="tabs" aria-label="${which}"><ul>${tab(all, null, some.length > 1)}
${connections.map(({ name }) => tab(name, name, some.length === 1 && some[0]?.name === name))}</ul></nav>`
}

/** The first cell of a row is its heading. `told`: a heading above says what the caption does. */
export function table(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly (string | Html)[])[],
  told = false,
): Html {
  const number = (at: number) => (columns[at]?.number ? html` class="n"` : '')
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table>
<caption${told ? html` class="unseen"` : ''}>${caption}</caption>
<thead><tr>${columns.map(({ title }, at) => html`<th scope="col"${number(at)}>${title}</th>`)}</tr></thead>
<tbody>${rows.map(
    (cells) =>
      html`<tr>${cells.map((cell, at) => (at === 0 ? html`<th scope="row"${number(at)} dir="auto">${cell}</th>` : html`<td${number(at)} dir="auto" data-label="${columns[at]?.title ?? ''}">${cell}</td>`))}</tr>\n`,
  )}</tbody></table></div>`
}

export const facts = (all: readonly (readonly [label: string, value: string | Html])[]): Html =>
  html`<dl class="facts">${all.map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>`

/** `page` counts from 1; `href` of a page. Nothing where there is only one. */
export function pager(
  words: WebWords['operate']['pages'],
  page: number,
  pages: number,
  href: (page: number) => string,
): Html {
  if (pages < 2) return html``
  const values = { page: String(page), pages: String(pages) }
  return html`<nav class="pager" aria-label="${words.label}">
${page > 1 ? html`<a href="${href(page - 1)}" rel="prev" class="button">${words.newer}</a>` : ''}
<span>${fill(words.which, values)}</span>
${page < pages ? html`<a href="${href(page + 1)}" rel="next" class="button">${words.older}</a>` : ''}</nav>`
}

/** Counting from 1; anything else is the first page. */
export const PageNumber = z.coerce.number().int().min(1).max(1e6).catch(1)
