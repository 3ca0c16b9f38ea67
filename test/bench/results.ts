// How the figures of the bench are shown.
import type { Term } from './minimum.ts'
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

const HEAD = [
  'CRM',
  'limits',
  'program',
  'scenario',
  'calls',
  'min',
  'ratio',
  'wall s',
  'min s',
  'ratio',
  '429',
  'peak MB',
  'CPU s',
  'stored',
  'flags',
  'wrong',
  'dup',
]
const WIDTHS = [10, 7, 19, 16, 7, 7, 6, 7, 7, 6, 4, 7, 6, 9, 13, 5, 4]

let begun = false
export function print(line: Line): void {
  const row = (cells: readonly string[]) => cells.map((cell, at) => cell.padEnd(WIDTHS[at] ?? 0)).join(' ')
  if (!begun) console.log(row(HEAD))
  begun = true
  console.log(row(cellsOf(line)))
  console.log(`      ${line.terms.map(([what, n]) => `${n} ${what}`).join(' + ')}`)
  if (line.played.problem) console.log(`      ${line.played.problem}`)
}

export function cellsOf({ system, limits, program, what, played, calls, wall, deals }: Line): string[] {
  const { held } = played
  return [
    ...[system, limits, program, what, String(played.calls.all), String(calls), (played.calls.all / calls).toFixed(2)],
    ...[played.wallS.toFixed(1), wall.toFixed(1), (played.wallS / wall).toFixed(2), String(played.calls.refused)],
    ...[played.peakMb.toFixed(0), played.cpuS.toFixed(1)],
    held.stored === null ? '-' : held.stored === deals ? '100 %' : `${held.stored}`,
    held.flagged === held.due ? `${held.due} all` : `${held.flagged} of ${held.due}`,
    ...[String(held.wrong), String(held.doubled)],
  ]
}

export async function write(_lines: readonly Line[]): Promise<void> {
  throw new Error('not yet')
}
