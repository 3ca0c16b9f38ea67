// How a plan and a night look in a terminal. Names, dates and money go through the texts; nothing a deal is called
// reaches the terminal unfiltered.
import type { Config, ConnectionConfig } from '../config.ts'
import { localTime } from '../core/calendar.ts'
import { SYSTEMS } from '../core/deal.ts'
import type { Texts } from '../core/explain.ts'
import type { Group, LedgerRow, LedgerStatus, PlannedWrite } from '../core/plan.ts'
import { type Left, leftAlone, NO_SUMMARY, Summary, withWrites } from '../report/summary.ts'
import { circuits } from '../store/connections.ts'
import { getDeals, type Quarantined, type StoredDeal } from '../store/deals.ts'
import type { Run } from '../store/runs.ts'
import type { Circuit, Executor } from '../store/schema.ts'
import { countWrites } from '../store/writes.ts'
import { bold, dim, flexible, green, hang, plain, print, red, right, table, yellow } from './output.ts'

const MOST = 15

type Rows = readonly (PlannedWrite | LedgerRow)[]

/** `1 deal`, `12 deals`. */
export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en')} ${n === 1 ? one : many}`

/** Why a connection is not called, and what happens next. */
export const circuitWords = (name: string, circuit: Circuit, timezone: string): string =>
  circuit.state === 'paused'
    ? `${name} is paused until ${localTime(circuit.until, timezone)} and then goes on: ${circuit.reason}`
    : `${name} needs re-connecting since ${localTime(circuit.since, timezone)}; every run tries once: ` +
      circuit.reason.replace(`${name} needs re-connecting: `, '')

/** A line for each of the connections that something stands against. */
export async function circuitLines(db: Executor, { connections, timezone }: Config): Promise<readonly string[]> {
  const found = await circuits(db, Date.now())
  return connections.flatMap(({ name }) => {
    const circuit = found.get(name)
    return circuit ? [yellow(plain(circuitWords(name, circuit, timezone)))] : []
  })
}

/** Name, problem and link of a record that could not be understood. */
export const quarantineLine = ({ id, name, url, problem }: Quarantined): string =>
  plain(`${name ?? `deal ${id}`}: ${problem}${url ? `  ${url}` : ''}`)

/** The preview of one connection, or the plan a night executed. */
export async function printPlan(
  db: Executor,
  connection: Pick<ConnectionConfig, 'name' | 'system'>,
  rows: Rows,
  run: Run,
  texts: Texts,
): Promise<void> {
  const summary = Summary.parse(run.summary)
  const deals = await getDeals(db, connection.name, [...new Set(rows.map((row) => row.deal.id))])
  print()
  print(bold(`${connection.name} (${SYSTEMS[connection.system]})  preview ${run.id}`))
  printFigures(texts, summary)
  printDeals(rows, deals, run, texts)
  printArchived(rows, deals)
  printHeld(texts, rows)
  printDead(texts, summary)
  printLists(summary)
}

function printFigures(texts: Texts, { figures, forecast, unreadable }: Summary): void {
  const { open, stalled, newlyStalled, recovered, parked, answeredNo, dismissed } = figures
  print(
    `${count(open, 'open deal')}: ${bold(`${stalled.toLocaleString('en')} stalled`)} (${newlyStalled} new), ${recovered} recovered, ` +
      `${parked} parked, ${answeredNo} answered no${dismissed > 0 ? `, ${dismissed} flags cleared by a person` : ''}.`,
  )
  print(`Open pipeline ${texts.moneys(forecast.all)}; without stalled deals ${bold(texts.moneys(forecast.moving))}.`)
  if (unreadable > 0) print(yellow(`${count(unreadable, 'deal')} could not be read tonight and wait.`))
}

function printDeals(rows: Rows, deals: ReadonlyMap<string, StoredDeal>, run: Run, texts: Texts): void {
  const flags = rows.filter((row) => row.kind === 'fields' && row.group === 'flag')
  if (flags.length === 0) return
  const tasks = new Map(rows.filter((row) => row.group === 'task').map((row) => [row.deal.id, row]))
  const lines = flags.slice(0, MOST).map((row) => {
    const deal = deals.get(row.deal.id)?.known.deal
    const task = tasks.get(row.deal.id)
    const amount = deal?.amount == null ? '' : texts.money(deal.amount, deal.currency)
    const { reason, lastMovement } = row.kind === 'fields' ? row.after : {}
    return [
      plain(deal?.name ?? row.deal.id),
      amount,
      reason == null ? row.cause.replaceAll('_', ' ') : texts.names.rules[reason],
      lastMovement == null ? '' : localTime(lastMovement, run.settings.timezone).slice(0, 10),
      task === undefined ? '' : task.hold === null ? 'yes' : 'held',
    ]
  })
  const columns = [flexible('Deal'), right('Amount'), flexible('Why'), 'Last moved', 'Task']
  const more = flags.length > MOST ? dim(`\n… and ${count(flags.length - MOST, 'more deal')} (--json lists all)`) : ''
  print(`\n${table(columns, lines)}${more}\n`)
}

function printArchived(rows: Rows, deals: ReadonlyMap<string, StoredDeal>): void {
  const causes = { archived: 'To the archive, nobody answered', recovered: 'Back from the archive, the buyer replied' }
  for (const [cause, what] of Object.entries(causes)) {
    const moved = rows.filter((row) => row.group === 'archive' && row.cause === cause)
    printNames(
      what,
      moved.map(({ deal }) => deals.get(deal.id)?.known.deal.name ?? deal.id),
    )
  }
}

/** The first five; nothing of none. */
function printNames(title: string, names: readonly string[]): void {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : ''
  if (names.length > 0) print(`${title}: ${names.slice(0, 5).map(plain).join(', ')}${more}`)
}

function printHeld(texts: Texts, rows: Rows): void {
  const held = Map.groupBy(
    rows.filter((row) => row.hold !== null),
    (row) => row.hold?.brake,
  )
  for (const [, group] of held) {
    const [first] = group
    const example = group.length > 1 ? ' For example:' : ''
    if (first?.hold)
      print(yellow(`Held back: ${count(group.length, 'write')}.${example} ${plain(texts.hold(first.hold))}`))
  }
}

function printDead(texts: Texts, { dead }: Summary): void {
  if (dead.every((block) => block.count === 0)) return
  print('\nDeals that were dead before the first night never get a task:')
  const columns = ['Working days without movement', right('Deals'), right('Value'), 'They get']
  const gets = { flag: 'a flag', archive: 'the archive', nothing: 'nothing' }
  const age = (from: number, to: number | null) => (to === null ? `more than ${from}` : `${from + 1} to ${to}`)
  const rows = dead.map((b) => [age(b.fromDays, b.toDays), String(b.count), texts.moneys(b.value), gets[b.gets]])
  print(table(columns, rows))
}

function printLists({ lists }: Summary): void {
  const list = (title: string, deals: Summary['lists']['archive']) =>
    printNames(
      title,
      deals.map(({ name }) => name),
    )
  list('Owner has left, for the manager', lists.ownerLeft)
  list('Answered no and still open', lists.noStillOpen)
  list('Stalled long without an answer, to archive', lists.archive)
  list('Flag cleared by a person, left alone for ten working days', lists.flagCleared)
  list('Forecast category put back by a person, theirs for this stall', lists.categoryTheirs)
}

const UNWRITTEN: Partial<Record<LedgerStatus, string>> = {
  refused: 'refused',
  sent: 'still without an answer; the next run looks what became of it',
}

/** What became of a run, line by line what was not written and why; at most `most` lines of each kind. */
export async function printOutcome(
  db: Executor,
  run: Run,
  rows: readonly LedgerRow[],
  texts: Texts,
  most = MOST,
): Promise<void> {
  const summary = withWrites(Summary.safeParse(run.summary).data ?? NO_SUMMARY, await countWrites(db, run))
  const done = (group: string) => summary.writes[group]?.done ?? 0
  print()
  print(bold(run.id))
  const undo = run.kind === 'undo'
  if (!undo && run.summary) printFigures(texts, summary)
  const list = didWords(done, undo)
  print(green(list === '' ? 'Nothing was written.' : `Written: ${list}.`))
  printHeld(texts, rows)
  const odd = rows.filter((row) => UNWRITTEN[row.status])
  // A run that was given up has not summed up.
  const left = run.status === 'done' ? summary.conflicts : [...summary.conflicts, ...leftAlone(rows)]
  const ids = [...odd.map((row) => row.deal.id), ...left.map((one) => one.deal)]
  const deals = await getDeals(db, run.connection, [...new Set(ids)])
  const nameOf = (id: string) => deals.get(id)?.known.deal.name ?? id
  if (odd.length > 0) {
    print('\nNot written:')
    for (const { deal, group, status, message } of odd.slice(0, most)) {
      const colour = status === 'refused' ? red : yellow
      const line = `${nameOf(deal.id)} (${group}): ${UNWRITTEN[status]}${message ? `: ${message}` : ''}`
      print(colour(`  ${hang(line, '    ')}`))
    }
    if (odd.length > most) print(dim(`… and ${odd.length - most} more (unstall runs ${run.id} lists all)`))
  }
  const named = left.map((one) => ({ ...one, name: nameOf(one.deal) }))
  printLeft(named, `unstall runs ${run.id}`, most)
}

/** What was left as people, or later runs, made it. `all`: the command that lists all of it. */
export function printLeft(left: readonly Left[], all: string, most = MOST): void {
  if (left.length === 0) return
  print('\nLeft alone:')
  for (const { name, what, words } of left.slice(0, most))
    print(yellow(`  ${hang(`${name} (${what}): ${words}`, '    ')}`))
  if (left.length > most) print(dim(`… and ${left.length - most} more (${all} lists all)`))
}

/** `3 deals marked, 2 tasks created`; empty: nothing. `done`: how many of a group. */
export function didWords(done: (group: Group) => number, undo: boolean): string {
  const parts = [
    ['flag', undo ? ' put back' : ' marked', 'deal', 'deals'],
    ['forecast', undo ? ' put back' : '', 'forecast category', 'forecast categories'],
    ['archive', undo ? ' put back' : ' moved to or from the archive', 'deal', 'deals'],
    ['answer', undo ? ' put back' : ' of an earlier date emptied', 'answer', 'answers'],
    ['task', undo ? ' withdrawn' : ' created', 'task', 'tasks'],
    ['task-done', undo ? ' reopened' : ' completed', 'task', 'tasks'],
  ] as const
  const did = parts.filter(([group]) => done(group) > 0)
  return did.map(([group, verb, one, many]) => `${count(done(group), one, many)}${verb}`).join(', ')
}
