// The report as Markdown, for a chat or a wiki. Charts are left out: every chart has its table.
import type { Block, Cell } from './document.ts'

const ENTITIES: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '@': '&#64;' }
/** Whatever Markdown, its tables or the HTML in it could read as markup is escaped; addresses and names stay text. */
const safe = (text: string): string =>
  text
    .replace(/[\\`*_[\]#!|~$<>&@]/g, (char) => ENTITIES[char] ?? `\\${char}`)
    .replace(/:(?=\/\/)|(?<=www)\./gi, (char) => `&#${char.charCodeAt(0)};`)
    .replace(/\s+/g, ' ')

/** A link only to the web; its address cannot end it. */
function link(href: string): string | null {
  const url = URL.parse(href)
  if (url === null || !/^https?:$/.test(url.protocol)) return null
  return url.href.replace(/[()|<>\\\s]/g, (char) => `%${char.charCodeAt(0).toString(16)}`)
}

function cell(one: Cell): string {
  if (typeof one === 'string') return safe(one)
  const to = link(one.href)
  return to === null ? safe(one.text) : `[${safe(one.text)}](${to})`
}

export function toMarkdown(title: string, blocks: readonly Block[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const parts = blocks.flatMap((block): string[] => {
    if (block.is === 'chart') return []
    if (block.is === 'heading') return [`${'#'.repeat(block.level)} ${safe(block.text)}`]
    if (block.is === 'text') return [block.alarm ? `**${safe(block.text)}**` : safe(block.text)]
    if (block.is === 'facts')
      return [block.facts.map(([label, value]) => `- ${safe(label)}: **${safe(value)}**`).join('\n')]
    const { caption, columns, rows, note } = block
    const rule = columns.map(({ number }) => (number ? '---:' : '---'))
    const head = row(columns.map((column) => safe(column.title)))
    const lines = [head, row(rule), ...rows.map((cells) => row(cells.map(cell)))].join('\n')
    return [`**${safe(caption)}**`, lines, ...(note === null ? [] : [safe(note)])]
  })
  return `# ${safe(title)}\n\n${parts.join('\n\n')}\n`
}
