// One message in three forms: plain text, HTML that old mail programs understand (tables, inline styles, nothing loaded
// from elsewhere), and Slack's blocks. Names of deals are hostile: no address in them becomes a link, nobody is mentioned.
import { html, raw } from 'hono/html'
import type { Block, Cell } from '../report/document.ts'

export interface Message {
  readonly subject: string
  readonly language: string
  readonly blocks: readonly Block[]
  /** To the dashboard, beneath everything. */
  readonly link: Extract<Cell, object> | null
}

/** How a form writes what stands in lines. */
interface Style {
  readonly text: (text: string) => string
  readonly bold: (text: string) => string
  /** `text` is written already. */
  readonly link: (text: string, href: string) => string
}

/** Mail and chat programs make links of whatever looks like one; a character without width between keeps it text. */
const unlinked = (text: string) => text.replace(/:(?=\/\/)|(?<=[\p{L}\d])[.@](?=[\p{L}\d]*\p{L})/gu, '$&\u2060')
/** To the CRM or the dashboard. */
const address = (href: string) => {
  const url = URL.parse(href)
  return url && /^https?:$/.test(url.protocol) ? url.href : null
}
const colon = (language: string) => (language === 'fr' ? '\u00a0: ' : ': ')
const textOf = (cell: Cell) => (typeof cell === 'string' ? cell : cell.text)

function linesOf({ language, blocks, link: last }: Message, { text, bold, link }: Style): readonly string[] {
  const cell = (one: Cell) => {
    const to = typeof one === 'string' ? null : address(one.href)
    return to === null ? text(textOf(one)) : link(text(textOf(one)), to)
  }
  function table({ caption, columns, rows, note }: Extract<Block, { is: 'table' }>): readonly string[] {
    const lines = rows.map(([first = '', ...rest]) => {
      const more = rest.flatMap((one, at) => {
        const { title = '', number = false } = columns[at + 1] ?? {}
        return /^[0–]?$/.test(textOf(one)) ? [] : [number ? `${text(title)} ${cell(one)}` : cell(one)]
      })
      return `• ${[cell(first), ...more].join(' – ')}`
    })
    return ['', bold(text(caption)), ...lines, ...(note === null ? [] : [text(note)])]
  }
  const lines = blocks.flatMap((block) => {
    if (block.is === 'chart') return []
    if (block.is === 'heading') return ['', bold(text(block.text))]
    if (block.is === 'text') return [text(block.text)]
    if (block.is === 'table') return table(block)
    return block.facts.map(([label, value]) => `${text(label)}${colon(language)}${bold(text(value))}`)
  })
  return last === null ? lines : [...lines, '', cell(last)]
}

export function toText(message: Message): string {
  const style: Style = { text: unlinked, bold: (text) => text, link: (text, href) => `${text} <${href}>` }
  return `${[message.subject, ...linesOf(message, style)].join('\n')}\n`
}

const FONT = 'font-family: Segoe UI, Helvetica, Arial, sans-serif; color: #1d2430'
const CELL = 'padding: 4px 10px 4px 0; border-bottom: 1px solid #d9dee6; font-size: 13px; vertical-align: top'

export async function toMail({ subject, language, blocks, link }: Message): Promise<string> {
  const cell = (one: Cell) => {
    const to = typeof one === 'string' ? null : address(one.href)
    const text = unlinked(textOf(one))
    return to === null ? text : html`<a href="${to}" style="color: #1d5aa0">${text}</a>`
  }
  const align = (number: boolean | undefined) => (number ? 'right' : 'left')
  const part = (block: Block) => {
    switch (block.is) {
      case 'chart':
        return ''
      case 'heading':
        return html`<p style="${FONT}; font-size: ${block.level === 2 ? 18 : 15}px; font-weight: bold; margin: 24px 0 6px">${unlinked(block.text)}</p>\n`
      case 'text':
        return html`<p style="${FONT}; font-size: 14px; margin: 6px 0">${unlinked(block.text)}</p>\n`
      case 'facts':
        return html`<p style="${FONT}; font-size: 14px; margin: 6px 0">${block.facts.map(([label, value]) => html`${label}${colon(language)}<b>${value}</b> &nbsp; `)}</p>\n`
      case 'table':
        return html`<p style="${FONT}; font-size: 14px; font-weight: bold; margin: 18px 0 4px">${block.caption}</p>
<table cellpadding="0" cellspacing="0" border="0" width="100%" style="${FONT}; border-collapse: collapse">
<tr>${block.columns.map(({ title, number }) => html`<th align="${align(number)}" scope="col" style="${CELL}; color: #5b6675">${title}</th>`)}</tr>
${block.rows.map((row) => html`<tr>${row.map((one, at) => html`<td align="${align(block.columns[at]?.number)}" style="${CELL}">${cell(one)}</td>`)}</tr>\n`)}</table>
${block.note === null ? '' : html`<p style="${FONT}; font-size: 13px; margin: 4px 0">${block.note}</p>\n`}`
    }
  }
  const page = html`<!doctype html>
<html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${subject}</title></head>
<body style="margin: 0; padding: 16px; background: #ffffff">
<table role="presentation" cellpadding="0" cellspacing="0" border="0" align="center" width="100%" style="max-width: 860px"><tr><td>
<p style="${FONT}; font-size: 20px; font-weight: bold; margin: 0 0 8px">${subject}</p>
${blocks.map(part)}${link === null ? '' : html`<p style="${FONT}; font-size: 14px; margin: 18px 0">${cell(link)}</p>`}${raw('</td></tr></table>\n</body></html>\n')}`
  return String(await page)
}

/** Limits of Slack: characters of a section, blocks of a message. */
const SECTION = 3000
const SECTIONS = 50

/** The body of an incoming webhook. */
export function toSlack(message: Message): object {
  const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
  // What Slack would read as bold, code or quotation is kept apart from the letters beside it.
  const text = (raw: string) =>
    unlinked(raw)
      .replace(/[&<>]/g, (char) => ENTITIES[char] ?? char)
      .replace(/[*_~`]|@(?=channel|here|everyone)/g, '$&\u2060')
  const style: Style = {
    text,
    bold: (text) => `*${text}*`,
    link: (text, href) => `<${href.replace(/[|<>]/g, encodeURIComponent)}|${text.replaceAll('|', '¦')}>`,
  }
  const sections: string[] = []
  for (const line of [style.bold(text(message.subject)), ...linesOf(message, style)]) {
    const last = sections.at(-1)
    // A line that is too long for Slack is left out rather than cut within a link.
    if (line.length > SECTION) continue
    if (last === undefined || last.length + line.length + 1 > SECTION) sections.push(line)
    else sections[sections.length - 1] = `${last}\n${line}`
  }
  return {
    text: text(message.subject),
    blocks: sections
      .filter((section) => section.trim() !== '')
      .slice(0, SECTIONS)
      // Verbatim: no names, channels or addresses are looked for in the text.
      .map((section) => ({ type: 'section', text: { type: 'mrkdwn', text: section, verbatim: true } })),
  }
}
