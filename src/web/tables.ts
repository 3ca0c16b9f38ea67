// What several pages are made of: tables, figures, links into the CRM, page numbers. The same markup as the report's.
import { html } from 'hono/html'
import { fill } from '../texts/shared.ts'
import type { WebWords } from '../texts/web-en.ts'
import type { Html } from './layout.ts'

export interface Column {
  readonly title: string
  readonly number?: boolean
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
export function pageOf(text: string | undefined): number {
  const page = Number(text)
  return Number.isInteger(page) && page > 0 && page < 1e6 ? page : 1
}

/** On top of style.ts: one run, its deals, the connections. */
export const OPERATE_STYLE = `
.connection, .deal { background: var(--card); border: 1px solid var(--rule); border-radius: var(--edge); box-shadow: var(--shade); padding: 18px 22px; margin: 18px 0 }
.connection h2 small { display: inline; margin-inline-start: .5em } .connection .facts dd { font-size: 1.02rem } .deal h3 { margin: 0 0 8px; overflow-wrap: anywhere } .deal .scroll { border: 0; box-shadow: none }
.actions { display: flex; flex-wrap: wrap; gap: 10px; align-items: center; margin-top: 16px } .actions form { margin: 0 } .action { margin: 18px 0 }
.notice { padding: 10px 16px; border-inline-start: 4px solid var(--moving); background: var(--card) } .body { white-space: pre-wrap }
.mark { font-weight: 700 } .mark.ok { color: var(--moving) } .mark.problem { color: var(--alarm) }
main > .scroll { margin: 16px 0 }
@media screen and (max-width: 700px) { .connection, .deal { padding: 14px } .deal thead { display: none } .deal table, .deal tbody, .deal tr, .deal th, .deal td { display: block }
  .deal tr { padding: 8px 4px; border-bottom: 1px solid var(--rule) } .deal tbody th, .deal td, .deal td:not(.n) { padding: 1px 0; border: 0; max-width: none } .deal tbody th { font-weight: 600 }
  .deal td::before { content: attr(data-label) ': '; color: var(--soft); font-size: .85rem } .deal td:empty { display: none } }
`
