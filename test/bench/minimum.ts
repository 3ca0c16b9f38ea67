// The arithmetic of exactly the calls that the evidence needs, term by term: what no program can undercut that reads every
// fact and writes every flag. Pure; the counts come from the deals of the bench, not from unstall.
import type { Limits } from '../../src/sandbox/limits.ts'
import { isStalled, kindOf } from './deals.ts'

export type System = 'hubspot' | 'salesforce'
/** Before a night: nothing; what people usually do; EQUAL deals change at one moment; every deal does. */
export type Happened = 'first' | 'usual' | 'equal' | 'edit'
export const EQUAL = 25_000
export type Term = readonly [what: string, calls: number]

/** Deals by what happens to them. */
export interface Counts {
  readonly deals: number
  readonly first: boolean
  /** Flagged or cleaned up this night, so also looked at once more before. */
  readonly fields: number
  readonly tasks: number
  readonly completions: number
  /** Changed since the night before, by people or by what that night wrote. */
  readonly changed: number
  /** Of those, the ones whose stage, amount or close date differs. */
  readonly moved: number
}

export function countsOf(deals: number, happened: Happened): Counts {
  const kinds = Array.from({ length: deals }, (_, index) => kindOf(index))
  const count = (...some: readonly string[]) => kinds.filter((kind) => some.includes(kind)).length
  const [flagged, recovering, turning] = [count('stalled', 'recovering'), count('recovering'), count('turning')]
  if (happened === 'first')
    return { deals, first: true, fields: flagged, tasks: flagged, completions: 0, changed: 0, moved: 0 }
  if (happened === 'usual') {
    const changed = count('stalled', 'recovering', 'edited')
    const fields = turning + recovering
    return { deals, first: false, fields, tasks: turning, completions: recovering, changed, moved: recovering }
  }
  // The edit comes a night after the equal timestamps: nothing falls due any more.
  if (happened === 'edit')
    return { deals, first: false, fields: 0, tasks: 0, completions: 0, changed: deals, moved: deals }
  const moved = Math.min(EQUAL, deals)
  const echo = kinds.filter((kind, index) => index >= moved && isStalled(kind, 0)).length
  return { deals, first: false, fields: turning, tasks: turning, completions: 0, changed: moved + echo, moved }
}

const calls = (records: number, page: number) => Math.ceil(records / page)

export function minimum(system: System, counts: Counts): readonly Term[] {
  const { deals, first, fields, tasks, completions, changed, moved } = counts
  const listed: Term[] = [['list with history, 50 a page', calls(deals, 50)]]
  const searched: Term[] = [
    ['search, 200 a page', calls(changed, 200)],
    ['history of deals that moved, 50 a call', calls(moved, 50)],
  ]
  /** Every id once a week. */
  const census = (page: number): Term => [`search of a seventh of the ids, ${page} a page`, calls(deals / 7, page)]
  if (system === 'hubspot')
    return [
      ['pipelines, owners, properties', 5],
      ...(first ? listed : [...(sum(searched) < sum(listed) ? searched : listed), census(200)]),
      ['fresh read, 100 a call', calls(fields, 100)],
      ['flags, 100 a call', calls(fields, 100)],
      ['tasks, 100 a call', calls(tasks, 100)],
      ['completions, 100 a call', calls(completions, 100)],
    ]
  return [
    ['stages, users, fields: one composite call', 1],
    ...(first
      ? [
          ['opportunities, 2,000 a page', calls(deals, 2000)] as const,
          // Of each deal: made, two stages; a reply to each third, logged as a task too; a meeting with each fifth.
          ['history, 2,000 a page', calls(3 * deals, 2000)] as const,
          ['events, booked ones among them', calls(deals / 5, 2000)] as const,
          ['tasks completed, calls among them', calls(deals / 3, 2000)] as const,
          ['incoming e-mail', calls(deals / 3, 2000)] as const,
        ]
      : [
          ['opportunities, deleted ones too', calls(changed, 2000)] as const,
          ['which moved', Math.max(1, calls(moved, 2000))] as const,
          // Whole: the three of the first night and the new one.
          ['history of deals that moved, 2,000 a page', calls(4 * moved, 2000)] as const,
          ['events: changed; due and booked', 2] as const,
          ['tasks completed, calls among them', 1] as const,
          ['incoming e-mail', 1] as const,
          census(2000),
        ]),
    ['fresh read, 2,000 a call', calls(fields, 2000)],
    ['flags, 200 a call', calls(fields, 200)],
    ['tasks, 200 a call', calls(tasks, 200)],
    ['completions, 200 a call', calls(completions, 200)],
  ]
}

export const sum = (terms: readonly Term[]) => terms.reduce((all, [, n]) => all + n, 0)

/** HubSpot's limits for OAuth apps. */
const NORMAL = { max: 110, windowMs: 10_000, burst: 11 }
const SEARCHES_A_SECOND = 5
/** Requests under way at once that the latency needs at HubSpot's pace (11 x 0.15 = 1.65); Salesforce has no pace: the same. */
const IN_FLIGHT = 2

/** Seconds below which the calls cannot be made: T = max(calls / R, calls x latency / k), with the limiter's own shape. */
export function minimumWall(
  system: System,
  terms: readonly Term[],
  { limits, latencyMs, speed }: { readonly limits: Limits; readonly latencyMs: number; readonly speed: number },
): number {
  const searches = terms.flatMap(([what, n]) => (what.startsWith('search') ? [n] : [])).reduce((a, b) => a + b, 0)
  const normal = sum(terms) - searches
  const pace =
    limits === 'rolling'
      ? Math.floor((normal - 1) / NORMAL.max) * NORMAL.windowMs
      : (Math.max(0, normal - NORMAL.burst) * NORMAL.windowMs) / NORMAL.max
  const limited =
    limits === 'none' || system === 'salesforce' ? 0 : Math.max(pace, (searches / SEARCHES_A_SECOND) * 1000)
  return Math.max(limited, (sum(terms) * latencyMs) / IN_FLIGHT) / 1000 / speed
}
