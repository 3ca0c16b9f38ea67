// How a plan and a night look in a terminal. Names, dates and money go through the texts; nothing a deal is called
// reaches the terminal unfiltered.
import type { ConnectionConfig } from '../config.ts'
import type { Texts } from '../core/explain.ts'
import type { LedgerRow, PlannedWrite } from '../core/plan.ts'
import { Summary, written } from '../report/summary.ts'
import { getDeals, type StoredDeal } from '../store/deals.ts'
import type { Run } from '../store/runs.ts'
import type { Executor } from '../store/schema.ts'
import { bold, dim, green, plain, print, red, table, yellow } from './output.ts'

export const SYSTEMS = { hubspot: 'HubSpot', salesforce: 'Salesforce' } as const
const MOST = 15

type Rows = readonly (PlannedWrite | LedgerRow)[]

export function money(texts: Texts, sums: Readonly<Record<string, number>>): string {
  const parts = Object.entries(sums).map(([currency, value]) => texts.money(value, currency || null))
  return parts.length > 0 ? parts.join(' + ') : '–'
}

/** `1 deal`, `12 deals`. */
export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en')} ${n === 1 ? one : many}`

/** The preview of one connection, or the plan a night executed. */
export async function printPlan(
  db: Executor,
  connection: ConnectionConfig,
  rows: Rows,
  run: Run,
  texts: Texts,
): Promise<void> {
  const summary = Summary.parse(run.summary)
  const deals = await getDeals(db, connection.name, [...new Set(rows.map((row) => row.deal.id))])
  print()
  print(bold(`${connection.name} (${SYSTEMS[connection.system]})  ${run.id}`))
  printFigures(texts, summary)
  const flagged = rows.filter((row) => row.kind === 'fields' && row.group === 'flag')
  if (flagged.length > 0) print(dealTable(flagged, deals, rows, texts))
  printHeld(texts, rows)
  printDead(texts, summary)
  printLists(summary)
}

export function printFigures(texts: Texts, { figures, forecast, unreadable }: Summary): void {
  const { open, stalled, newlyStalled, recovered, parked, answeredNo, dismissed } = figures
  print(
    `${count(open, 'open deal')}: ${bold(`${stalled.toLocaleString('en')} stalled`)} (${newlyStalled} new), ${recovered} recovered, ` +
      `${parked} parked, ${answeredNo} answered no${dismissed > 0 ? `, ${dismissed} flags cleared by a person` : ''}.`,
  )
  print(`Open pipeline ${money(texts, forecast.all)}; without stalled deals ${bold(money(texts, forecast.moving))}.`)
  if (unreadable > 0) print(yellow(`${count(unreadable, 'deal')} could not be read tonight and wait.`))
}

function dealTable(flags: Rows, deals: ReadonlyMap<string, StoredDeal>, rows: Rows, texts: Texts): string {
  const tasks = new Map(rows.filter((row) => row.group === 'task').map((row) => [row.deal.id, row]))
  const lines = flags.slice(0, MOST).map((row) => {
    const deal = deals.get(row.deal.id)?.known.deal
    const task = tasks.get(row.deal.id)
    const amount = deal?.amount == null ? '' : texts.money(deal.amount, deal.currency)
    const why = row.kind === 'fields' ? (row.after.explanation ?? row.cause) : row.cause
    return [
      plain(deal?.name ?? row.deal.id),
      amount,
      plain(why),
      task === undefined ? '' : task.hold === null ? 'yes' : 'held',
    ]
  })
  const columns = [
    { title: 'Deal', flexible: true },
    { title: 'Amount', align: 'right' },
    { title: 'Why', flexible: true },
    { title: 'Task' },
  ] as const
  const more = flags.length > MOST ? dim(`\n… and ${count(flags.length - MOST, 'more deal')} (--json lists all)`) : ''
  return `\n${table(columns, lines)}${more}\n`
}

function printHeld(texts: Texts, rows: Rows): void {
  const held = Map.groupBy(
    rows.filter((row) => row.hold !== null),
    (row) => row.hold?.brake,
  )
  for (const [, group] of held) {
    const [first] = group
    if (first?.hold)
      print(yellow(`Held back: ${count(group.length, 'write')}. For example: ${plain(texts.hold(first.hold))}`))
  }
}

function printDead(texts: Texts, { dead }: Summary): void {
  if (dead.every((block) => block.count === 0)) return
  print('\nDeals that were dead before the first night get a flag, not a task:')
  const columns = [
    { title: 'Working days without movement' },
    { title: 'Deals', align: 'right' },
    { title: 'Value', align: 'right' },
  ] as const
  const age = (from: number, to: number | null) => (to === null ? `more than ${from}` : `${from + 1} to ${to}`)
  print(
    table(
      columns,
      dead.map((b) => [age(b.fromDays, b.toDays), String(b.count), money(texts, b.value)]),
    ),
  )
}

function printLists({ lists }: Summary): void {
  const list = (title: string, deals: Summary['lists']['archive']) => {
    if (deals.length === 0) return
    const names = deals.slice(0, 5).map((deal) => plain(deal.name))
    print(`${title}: ${names.join(', ')}${deals.length > 5 ? ` and ${deals.length - 5} more` : ''}`)
  }
  list('Owner has left, for the manager', lists.ownerLeft)
  list('Answered no and still open', lists.noStillOpen)
  list('Stalled long without an answer, to archive', lists.archive)
}

/** What became of a run, line by line what was not written and why. */
export async function printOutcome(db: Executor, run: Run, rows: readonly LedgerRow[], texts: Texts): Promise<void> {
  const summary = Summary.parse(run.summary)
  const done = (group: string) => summary.writes[group]?.done ?? 0
  print()
  print(bold(run.id))
  if (run.kind !== 'undo') printFigures(texts, summary)
  const parts = [
    count(done('flag'), 'deal marked', 'deals marked'),
    count(done('forecast'), 'forecast category', 'forecast categories'),
    count(
      done('task'),
      run.kind === 'undo' ? 'task withdrawn' : 'task created',
      run.kind === 'undo' ? 'tasks withdrawn' : 'tasks created',
    ),
    count(
      done('task-done'),
      run.kind === 'undo' ? 'task reopened' : 'task completed',
      run.kind === 'undo' ? 'tasks reopened' : 'tasks completed',
    ),
  ]
  print(written(summary, 'done') === 0 ? green('Nothing to write.') : green(`Written: ${parts.join(', ')}.`))
  printHeld(texts, rows)
  const odd = rows.filter((row) => row.status === 'refused' || row.status === 'left' || row.status === 'dropped')
  if (odd.length > 0) {
    const deals = await getDeals(db, run.connection, [...new Set(odd.map((row) => row.deal.id))])
    const colour = { refused: red, left: yellow, dropped: dim } as const
    const lines = odd.slice(0, MOST).map((row) => {
      const status = row.status === 'refused' || row.status === 'left' ? row.status : 'dropped'
      return [
        plain(deals.get(row.deal.id)?.known.deal.name ?? row.deal.id),
        row.group,
        colour[status](status),
        plain(row.message ?? ''),
      ]
    })
    print('\nNot written:')
    print(
      table(
        [{ title: 'Deal', flexible: true }, { title: 'What' }, { title: 'Became' }, { title: 'Why', flexible: true }],
        lines,
      ),
    )
    if (odd.length > MOST) print(dim(`… and ${odd.length - MOST} more (--json lists all)`))
  }
  if (summary.conflicts.length > 0) {
    print('\nLeft as people made it:')
    const lines = summary.conflicts.slice(0, MOST).map((c) => [plain(c.deal), c.what, c.why.replaceAll('_', ' ')])
    print(table([{ title: 'Deal', flexible: true }, { title: 'What' }, { title: 'Why', flexible: true }], lines))
    if (summary.conflicts.length > MOST) print(dim(`… and ${summary.conflicts.length - MOST} more (--json lists all)`))
  }
}
