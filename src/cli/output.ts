// What every command prints with: tables that fit a terminal, progress on stderr, results on stdout.
import { stripVTControlCharacters, styleText } from 'node:util'

export const EXIT = { ok: 0, problem: 1, usage: 2, interrupted: 130 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Told to stop: whatever still hangs after the running calls had their time (8 s) is cut off. */
export function leaveBy(code: ExitCode): void {
  setTimeout(() => process.exit(code), 9_500).unref()
}

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** Shrinks first when the terminal is too narrow. */
  readonly flexible?: boolean
}

const segments = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
/** East Asian wide and emoji take two cells; ™ and © do not. */
const wide =
  /\p{Emoji_Presentation}|\uFE0F|[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60]/u

function width(text: string): number {
  let cells = 0
  for (const { segment } of segments.segment(stripVTControlCharacters(text))) cells += wide.test(segment) ? 2 : 1
  return cells
}

/** Deal names are hostile text: control and direction characters never reach the terminal. */
export function plain(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\p{Cc}\u200E\u200F\u202A-\u202E\u2066-\u2069]+/gu, ' ')
    .trim()
}

function cut(text: string, cells: number): string {
  if (width(text) <= cells) return text
  let out = ''
  let used = 0
  for (const { segment } of segments.segment(text)) {
    const w = wide.test(segment) ? 2 : 1
    if (used + w > cells - 1) break
    out += segment
    used += w
  }
  return `${out}…`
}

export const pad = (text: string, cells: number, align: 'left' | 'right' = 'left'): string => {
  const space = ' '.repeat(Math.max(0, cells - width(text)))
  return align === 'right' ? space + text : text + space
}

/** Broken at spaces into lines of at most `cells`. */
function wrap(text: string, cells: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && width(line) + 1 + width(word) > cells) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/** Hostile text as a paragraph: every line but the first begins with `indent`. */
export const hang = (text: string, indent: string): string =>
  wrap(plain(text), terminalWidth() - indent.length).join(`\n${indent}`)

export const right = (title: string): Column => ({ title, align: 'right' })
export const flexible = (title: string): Column => ({ title, flexible: true })

/** As wide as the terminal at most; flexible columns give way, the longest first. A column may be its title alone. */
export function table(columns: readonly (Column | string)[], rows: readonly (readonly string[])[]): string {
  const fitted = columns.map((given, i) => {
    const column: Column = typeof given === 'string' ? { title: given } : given
    const cells = [column.title, ...rows.map((row) => row[i] ?? '')].map(width)
    return { ...column, cells: Math.max(...cells) }
  })
  const wanted = fitted.reduce((sum, { cells }) => sum + cells + 2, -2)
  for (let excess = wanted - terminalWidth(); excess > 0; excess--) {
    const shrinkable = fitted.filter(({ flexible, cells }) => flexible && cells > 8)
    const [longest] = shrinkable.sort((a, b) => b.cells - a.cells)
    if (longest) longest.cells -= 1
  }
  const line = (row: readonly string[]) =>
    fitted
      .map(({ cells, align }, i) => pad(cut(row[i] ?? '', cells), cells, align))
      .join('  ')
      .trimEnd()
  return [bold(line(fitted.map(({ title }) => title))), ...rows.map(line)].join('\n')
}

function terminalWidth(): number {
  return Math.max(60, Math.min(process.stdout.columns ?? 100, 140))
}

type Style = Parameters<typeof styleText>[0]
const style = (format: Style, text: string) => styleText(format, text, { stream: process.stdout })
export const bold = (text: string) => style('bold', text)
export const dim = (text: string) => style('dim', text)
export const green = (text: string) => style('green', text)
export const yellow = (text: string) => style('yellow', text)
export const red = (text: string) => style('red', text)

/** What is longer than a line of the terminal breaks at spaces, not within words. */
const folded = (text: string, { isTTY }: { readonly isTTY?: boolean }) =>
  isTTY
    ? text.replace(/.+/g, (line) => (width(line) > terminalWidth() ? wrap(line, terminalWidth()).join('\n') : line))
    : text

export function print(text = ''): void {
  process.stdout.write(`${folded(text, process.stdout)}\n`)
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

export function say(text: string): void {
  process.stderr.write(`${folded(text, process.stderr)}\n`)
}

/** One line on stderr that is rewritten in a terminal; elsewhere a line for each step, and its numbers twice a second. */
export class Progress {
  readonly #live = process.stderr.isTTY === true
  #last = 0
  #text = ''
  #step = ''
  #open = false

  show(text: string): void {
    if (text === this.#text) return
    this.#text = text
    const now = performance.now()
    const step = text.replace(/[\d, ]+(of|$)/g, '')
    if (this.#live) {
      process.stderr.write(`\r\x1b[2K${cut(text, (process.stderr.columns ?? 100) - 1)}`)
      this.#open = true
    } else if (step !== this.#step || now - this.#last > 500) {
      process.stderr.write(`${text}\n`)
      this.#last = now
      this.#step = step
    }
  }

  /** Leaves the cursor on an empty line. */
  end(): void {
    if (this.#open) process.stderr.write('\r\x1b[2K')
    this.#open = false
    this.#text = ''
  }
}
