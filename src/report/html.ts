// The report as one HTML file: no script, nothing loaded from elsewhere, charts inline. Light and dark by the reader's
// setting, readable on a telephone, and on paper. `html` escapes whatever is put in; only our own CSS and SVG go in raw.
import { html, raw } from 'hono/html'
import type { Texts } from '../core/explain.ts'
import { NARROW, toSvg, WIDE } from './charts.ts'
import type { Block, Cell, Chart } from './document.ts'
import { BASE_CSS } from './style.ts'

/** Longer tables are folded up; on paper they are whole. */
const MOST_UNFOLDED = 24
const anchor = (at: number) => `c${at}`

export async function toHtml(
  title: string,
  contents: string,
  language: Texts['language'],
  blocks: readonly Block[],
): Promise<string> {
  const parts = blocks.map((block, at) => blockHtml(block, at))
  const chapters = blocks.flatMap((block, at) =>
    block.is === 'heading' && block.level === 2 ? [{ ...block, at }] : [],
  )
  const nav = html`<nav aria-label="${contents}"><ul>
${chapters.map(({ text, at }) => html`<li><a href="#${anchor(at)}" dir="auto">${text}</a></li>`)}
</ul></nav>`
  const page = html`<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${raw(CSS)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${chapters.length > 1 ? nav : ''}
${parts}
</main>
</body>
</html>
`
  return String(await page)
}

/** One block as the dashboard shows it too. `at`: its place, for links to headings; `wide`: of a chart's drawing. */
export function blockHtml(block: Block, at: number, wide = WIDE) {
  switch (block.is) {
    case 'heading':
      return block.level === 2
        ? html`<h2 id="${anchor(at)}" dir="auto">${block.text}</h2>\n`
        : html`<h3>${block.text}</h3>\n`
    case 'text':
      return html`<p dir="auto"${block.alarm ? raw(' class="alarm"') : ''}>${block.text}</p>\n`
    case 'facts':
      return html`<dl class="facts">${block.facts.map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>\n`
    case 'chart':
      return figure(block.chart, wide)
    case 'table':
      return table(block)
  }
}

function figure(chart: Chart, wide: number) {
  return html`<figure role="img" aria-label="${chart.title}"><figcaption>${chart.title}</figcaption>
<div class="wide">${raw(toSvg(chart, wide))}</div><div class="narrow">${raw(toSvg(chart, NARROW))}</div></figure>\n`
}

function table({ caption, columns, rows, note }: Extract<Block, { is: 'table' }>) {
  const number = (at: number) => (columns[at]?.number ? raw(' class="n"') : '')
  const line = (cells: readonly Cell[]) =>
    html`<tr>${cells.map((one, at) =>
      at === 0
        ? html`<th scope="row"${number(at)} dir="auto">${cell(one)}</th>`
        : html`<td${number(at)} dir="auto">${cell(one)}</td>`,
    )}</tr>\n`
  const folded = rows.length > MOST_UNFOLDED
  const more = note === null ? '' : html`<p class="note">${note}</p>`
  const whole = html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table>
<caption${folded ? raw(' class="unseen"') : ''}>${caption}</caption>
<thead><tr>${columns.map(({ title }, at) => html`<th scope="col"${number(at)}>${title}</th>`)}</tr></thead>
<tbody>${rows.map(line)}</tbody></table></div>${more}\n`
  return folded ? html`<details><summary>${caption}</summary>${whole}</details>\n` : whole
}

const cell = (one: Cell) =>
  typeof one === 'string'
    ? one
    : isLink(one.href)
      ? html`<a href="${one.href}" rel="noreferrer">${one.text}</a>`
      : one.text

/** Into the web, or to a page of the dashboard: nothing else may be clicked. */
const isLink = (href: string): boolean => /^(?:https?:\/\/|\/[a-z])/i.test(href)

const CSS = `${BASE_CSS}
main { max-width: 1180px; margin: 0 auto; padding: 24px 20px 64px }
h1 { font-size: 1.7rem; margin: 0 0 8px } h2 { font-size: 1.35rem; margin: 40px 0 12px; padding-bottom: 6px; border-bottom: 2px solid var(--moving) }
h3 { font-size: 1.1rem; margin: 32px 0 8px }
nav ul { padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 4px 20px }
@media screen and (max-width: 600px) { main { padding: 16px 12px 48px } }
@media print { :root { --page: #fff; --text: #000; --soft: #444; --rule: #bbb; --band: #fff; --link: #000 } main { max-width: none; padding: 0 }
  body { font-size: 9pt } table, thead th { font-size: 8pt } .scroll { overflow: visible } th, td { padding: 2px 5px } a { text-decoration: none }
  details::details-content { content-visibility: visible; display: block } summary { display: none } .unseen { position: static }
  thead { display: table-header-group } tr, figure, .facts div { break-inside: avoid } h2, h3, caption { break-after: avoid } h2:not(:first-of-type) { break-before: page } }
`
