// What a row of the rule and state tables expects of a night, in the words of product.md, and how it is checked on both
// CRMs. A row names the sentence it holds; a lesser verdict names the sentence of `check` that explains it.
import { expect } from 'vitest'
import type { Played, Scene, Seen, System } from './harness.ts'

/** One night as a row sees it. Dates in the company's zone; a row states what matters to it. */
export interface Sight {
  readonly state: Seen['verdict']['state']
  readonly rule: Seen['verdict']['rule']
  /** Every rule that holds, in order of precedence. */
  readonly holds: readonly string[]
  readonly protection: string | null
  /** The protection's last day, or the day of the meeting. */
  readonly until: string | null
  readonly capped: boolean
  readonly warnings: readonly string[]
  readonly list: readonly string[]
  /** The decision date as judged. */
  readonly due: string | null
  readonly derived: boolean
  readonly answer: string | null
  readonly idle: number
  /** Where the clock stands, and by what. */
  readonly moved: string
  readonly movedBy: string
  /** The brakes that hold its writes. */
  readonly held: readonly string[]
  /** Planned and written, by group. */
  readonly wrote: readonly string[]
  readonly transition: string | null
  // In the CRM, after the night:
  readonly flag: boolean
  readonly crmState: string | null
  readonly reason: string | null
  readonly since: string | null
  readonly category: string | null
  readonly counts: number | null
  readonly before: string | null
  readonly decision: string | null
  readonly decisionDue: string | null
  readonly parkedUntil: string | null
  readonly openTasks: number
  readonly doneTasks: number
  /** Text of the newest completed task, with the note unstall put below. */
  readonly note: string | null
}

const ISO = new Intl.DateTimeFormat('sv-SE', { timeZone: 'Europe/Paris', dateStyle: 'short' })
const date = (at: number | null) => (at === null ? null : ISO.format(at))

export function sight({ verdict, standing, rows, list, transitions, held }: Seen): Sight {
  const { protection, decision, checks } = verdict
  const end =
    protection && 'until' in protection ? protection.until : protection?.kind === 'meeting' ? protection.on : null
  const [move] = transitions
  return {
    state: verdict.state,
    rule: verdict.rule,
    holds: checks.filter((one) => one.holds).map(({ rule }) => rule),
    protection: protection?.kind ?? null,
    until: end,
    capped: (protection?.kind === 'parked' && protection.capped) || checks.some((one) => one.capped === true),
    warnings: verdict.warnings.map(({ kind }) => kind),
    list,
    due: decision.due,
    derived: decision.derived,
    answer: decision.answer,
    idle: verdict.idleDays,
    moved: date(verdict.lastMovement) ?? '',
    movedBy: verdict.lastMovementKind,
    held: [...new Set(rows.flatMap(({ hold }) => hold?.brake ?? []))],
    wrote: rows.filter(({ hold }) => hold === null).map(({ group }) => group),
    transition: move ? `${move.from} → ${move.to}` : null,
    flag: held.flag,
    crmState: held.state,
    reason: held.reason,
    since: date(held.since),
    category: held.category,
    counts: held.counts,
    before: held.categoryBefore,
    decision: held.decision,
    decisionDue: held.decisionDue,
    parkedUntil: held.parkedUntil,
    openTasks: held.tasks.filter(({ open }) => open).length,
    doneTasks: held.tasks.filter(({ open }) => !open).length,
    note: held.tasks.findLast(({ open }) => !open)?.body ?? null,
    ...(standing?.state === 'gone' ? { state: 'closed' as const } : {}),
  }
}

export type Nights = Readonly<Record<number, Partial<Sight>>>
export interface Row extends Scene {
  /** The words of product.md that it holds. */
  readonly sentence: string
  readonly nights: Nights
  /** Where a capability is missing: what differs, and the sentence of `check` that says so. */
  readonly lesser?: Partial<Record<System, { readonly nights: Nights; readonly check: RegExp }>>
  /** Where the two CRMs work differently by themselves: no capability is missing. */
  readonly differs?: Partial<Record<System, Nights>>
}

/** One row on one CRM. */
export function holds(all: Played, system: System, row: Row): void {
  const lesser = row.lesser?.[system]
  if (lesser) {
    const warned = all
      .said(system)
      .flatMap(({ level, what, todo }) => (level === 'warn' ? [`${what} ${todo ?? ''}`] : []))
    expect(warned).toContainEqual(expect.stringMatching(lesser.check))
  }
  for (const [night, expected] of Object.entries(row.nights)) {
    const n = Number(night)
    const seen = sight(all.seen(system, row.name, n))
    const wanted = { ...expected, ...lesser?.nights[n], ...row.differs?.[system]?.[n] }
    expect({ night: n, ...seen }).toMatchObject({ night: n, ...wanted })
  }
}

/** "Both CRMs give the same flag, rule and last movement for the same rows." */
export function same(all: Played, rows: readonly Row[], nights: readonly number[]): void {
  for (const { name } of rows.filter((row) => row.lesser === undefined && row.differs === undefined))
    for (const night of nights) {
      const [hub, sf] = (['hubspot', 'salesforce'] as const).map((system) => {
        const seen = all.seen(system, name, night)
        // What is written to the forecast differs: Salesforce sets the category itself with the stage.
        const { category: _, before: __, wrote: ___, note: ____, ...shown } = sight(seen)
        return { name, night, ...shown, at: seen.verdict.lastMovement, explanation: seen.held.explanation }
      })
      expect(hub).toEqual(sf)
    }
}
