// How the figures of the bench are shown: on the terminal line by line, and in docs/performance.md between its markers,
// where a line that is not measured now stays as it is.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { arch, cpus, platform, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Term } from './minimum.ts'
import { type Point, picture } from './picture.ts'
import type { Played, Setting } from './stage.ts'

export interface Line extends Setting {
  readonly program: string
  readonly what: string
  readonly played: Played
  readonly terms: readonly Term[]
  /** The minimum. */
  readonly calls: number
  /** The minimum, seconds. */
  readonly wall: number
}
/** A figure of `--cpu`. */
export type Figure = readonly [what: string, figure: string, peakMb: string]

const COLUMNS = [
  ...([
    ['deals', 6],
    ['CRM', 10],
    ['limits', 11],
    ['program', 19],
    ['scenario', 16],
  ] as const),
  ...([
    ['calls', 6],
    ['minimum', 7],
    ['ratio', 5],
    ['wall s', 7],
    ['minimum s', 9],
    ['ratio', 5],
  ] as const),
  ...([
    ['429', 4],
    ['peak MB', 7],
    ['CPU s', 6],
    ['complete', 12],
    ['flags', 14],
    ['wrong', 5],
    ['doubled', 7],
  ] as const),
]
const NAMED = 5

export const short = (deals: number) =>
  deals % 1_000_000 === 0 ? `${deals / 1_000_000} M` : deals % 1000 === 0 ? `${deals / 1000} k` : String(deals)

function cellsOf({ system, limits, program, what, played, calls, wall, deals, speed }: Line): string[] {
  const { held, calls: made } = played
  const shape = system === 'salesforce' ? 'daily' : limits
  return [
    ...[short(deals), system, speed === 1 ? shape : `${shape} x ${speed}`, program, what],
    ...[String(made.all), String(calls), (made.all / calls).toFixed(2)],
    ...[played.wallS.toFixed(1), wall.toFixed(1), (played.wallS / wall).toFixed(2), String(made.refused)],
    ...[played.peakMb.toFixed(0), played.cpuS.toFixed(1)],
    held.stored === null ? '' : held.stored === deals ? '100 %' : `${held.stored} of ${deals}`,
    held.flagged === held.due ? `all ${held.due}` : `${held.flagged} of ${held.due}`,
    ...[String(held.wrong), String(held.doubled)],
  ]
}

export function print(line?: Line): void {
  const cells = line ? cellsOf(line) : COLUMNS.map(([name]) => name)
  console.log(cells.map((cell, at) => cell.padEnd(COLUMNS[at]?.[1] ?? 0)).join(' '))
  if (line)
    console.log(`       minimum: ${line.terms.flatMap(([what, n]) => (n > 0 ? `${n} ${what}` : [])).join(' + ')}`)
  if (line?.played.problem) console.log(`       ${line.played.problem}`)
}

const DOCS = join(import.meta.dirname, '../../docs')
const rowOf = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
const table = (head: readonly string[], rows: readonly string[]) =>
  [rowOf(head), rowOf(head.map(() => '---')), ...rows].join('\n')

/** Puts lines into docs/performance.md, and draws how cost grows. */
export function write(lines: readonly Line[], figures: readonly Figure[] = []): void {
  const file = join(DOCS, 'performance.md')
  let text = readFileSync(file, 'utf8')
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const [{ model = '' } = {}] = cpus()
  const when = `${new Date().toISOString().slice(0, 10)}, ${commit}`
  const machine = `${cpus().length} cores (${model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GB, Node ${process.version}, ${platform()} ${arch()}`
  const between = (marker: string, fill: (before: readonly string[]) => string) => {
    const parts = new RegExp(`^([\\s\\S]*<!-- ${marker} -->\\n)([\\s\\S]*?)(<!-- end -->[\\s\\S]*)$`).exec(text)
    if (!parts) throw new Error(`${file} has lost its marker ${marker}`)
    const [, above, before = '', below] = parts
    const rows = before.split('\n').filter((row) => row.startsWith('| ') && !/^\| (?:---|deals|what)/.test(row))
    text = `${above}\nMachine: ${machine}.\n\n${fill(rows)}\n\n${below}`
  }
  const nameOf = (row: string, cells: number) => row.split(' | ', cells).join()
  const merged = (before: readonly string[], now: readonly string[], cells: number) => [
    ...new Map([...before, ...now].map((row) => [nameOf(row, cells), row])).values(),
  ]
  let rows: readonly string[] = []
  if (lines.length > 0)
    between('bench', (before) => {
      rows = merged(
        before,
        lines.map((line) => rowOf([...cellsOf(line), when])),
        NAMED,
      )
      const size = (row: string) => Number(/\d+/.exec(row)?.[0]) * (/^\| \d+ M/.test(row) ? 1e6 : 1e3)
      rows = rows.toSorted((a, b) => size(a) - size(b))
      return table([...COLUMNS.map(([name]) => name), 'measured'], rows)
    })
  if (figures.length > 0)
    between('cpu', (before) => {
      const now = figures.map((figure) => rowOf([...figure, when]))
      return table(['what', 'figure', 'peak MB', 'measured'], merged(before, now, 1))
    })
  if (rows.length > 0) {
    const points = pointsOf(rows)
    between('growth', () => table(GROWTH, growthOf(points)))
    writeFileSync(join(DOCS, 'performance-growth.svg'), picture(points))
  }
  writeFileSync(file, text)
}

/** One of each night and size: where it was measured at several speeds, at the real one. */
function pointsOf(rows: readonly string[]): readonly Point[] {
  const fastFirst = rows.toSorted((a, b) => Number(b.includes(' x ')) - Number(a.includes(' x ')))
  const points = new Map(fastFirst.flatMap(pointOf).map((point) => [`${point.series} ${point.deals}`, point]))
  return [...points.values()].toSorted((a, b) => a.series.localeCompare(b.series) || a.deals - b.deals)
}

const GROWTH = ['CRM, night', 'deals', 'calls', 'ratio', 'peak MB', 'beside 100 k', 'CPU s', 'CPU s per million']
function growthOf(points: readonly Point[]): readonly string[] {
  return points.map(({ series, deals, calls, minimum, mb, cpu }) => {
    const usual = points.find((one) => one.series === series && one.deals === 100_000)?.mb ?? mb
    const growth = Math.round((mb / usual - 1) * 100)
    const million = (cpu / deals) * 1e6
    const cells = [String(calls), (calls / minimum).toFixed(2), String(mb), `${growth > 0 ? '+' : ''}${growth} %`]
    return rowOf([series, short(deals), ...cells, cpu.toFixed(1), million.toFixed(0)])
  })
}

function pointOf(row: string): Point[] {
  const [, deals = '', system = '', limits = '', program, what = '', calls, minimum, , , , , , mb, cpu] = row
    .split('|')
    .map((cell) => cell.trim())
  if (program !== 'unstall' || limits.startsWith('bucket') || !/night/.test(what)) return []
  const at = Number(/\d+/.exec(deals)?.[0]) * (deals.endsWith('M') ? 1e6 : 1e3)
  return [
    {
      deals: at,
      series: `${system}, ${what}`,
      calls: Number(calls),
      minimum: Number(minimum),
      mb: Number(mb),
      cpu: Number(cpu),
    },
  ]
}
