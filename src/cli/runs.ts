// `unstall runs`: what was done, night by night; `unstall runs <run>`: one of them in detail, dead letters included.

import type { JobContext } from '../../jobs/context.ts'
import { localTime } from '../core/calendar.ts'
import { UsageError } from '../errors.ts'
import { Summary, written } from '../report/summary.ts'
import { getConnection } from '../store/connections.ts'
import { quarantined } from '../store/deals.ts'
import { digestsSince } from '../store/digests.ts'
import { rowsOfRun } from '../store/ledger.ts'
import { getPlan, getRun, listRuns, type Run } from '../store/runs.ts'
import type { RunOptions } from '../store/schema.ts'
import type { GlobalOptions } from './main.ts'
import { withApp } from './night.ts'
import {
  bold,
  dim,
  EXIT,
  type ExitCode,
  green,
  hang,
  plain,
  print,
  printJson,
  red,
  right,
  table,
  yellow,
} from './output.ts'
import { circuitLines, count, printOutcome, printPlan, quarantineLine } from './print.ts'

const HOUR_MS = 3_600_000
const WEEK_MS = 7 * 24 * HOUR_MS
const COLOURS = { open: yellow, done: green, failed: red } as const

const state = ({ status, step }: Run) =>
  COLOURS[status](status === 'done' ? 'done' : status === 'open' ? `open (${step})` : `given up (${step})`)

export async function runs(options: GlobalOptions & { limit: number }, id: string): Promise<ExitCode> {
  return withApp(options.config, { concurrency: 0 }, async ({ ctx, config }) => {
    if (id) return oneRun(ctx, id, options.json)
    const found = await listRuns(ctx.db, { limit: options.limit })
    if (options.json) {
      printJson(found.map(({ settings: _, ...run }) => run))
      return EXIT.ok
    }
    if (found.length === 0) {
      print('No run yet. Begin with: unstall plan')
      return EXIT.ok
    }
    const columns = ['Run', 'Kind', 'State', 'Judged at', ...['Stalled', 'Written', 'Held', 'Refused'].map(right)]
    const lines = found.map((run) => {
      const summary = run.status === 'open' ? undefined : Summary.safeParse(run.summary).data
      const number = (status: 'done' | 'held' | 'refused') => (summary ? String(written(summary, status)) : '')
      const stalled = summary && run.kind !== 'undo' ? String(summary.figures.stalled) : ''
      const at = localTime(run.now, run.settings.timezone)
      return [run.id, run.kind, state(run), at, stalled, number('done'), number('held'), number('refused')]
    })
    print(table(columns, lines))
    // Whole, beneath the table: a column would cut them where it matters.
    for (const { id, problem, options } of found)
      if (problem ?? options.undoes) print(`${id}: ${problem ?? takenBack(options)}`)
    for (const line of await circuitLines(ctx.db, config)) print(line)
    for (const { kind, period, recipient, problem } of await undelivered(ctx))
      print(yellow(plain(`The ${kind} digest of ${period} did not reach ${recipient}: ${problem ?? 'no answer'}`)))
    if (found.some(({ status }) => status === 'failed')) print(dim('unstall runs <run> shows one of them in detail.'))
    return EXIT.ok
  })
}

/** Digests of the last week that nobody will send again. Without an answer: they may have arrived all the same. */
async function undelivered({ db, clock }: JobContext) {
  const lately = await digestsSince(db, clock() - WEEK_MS)
  const lost = (one: (typeof lately)[number]) => one.status === 'unknown' && one.createdAt < clock() - HOUR_MS
  return lately.filter((one) => one.status === 'failed' || lost(one))
}

const takenBack = ({ undoes, deals }: RunOptions): string =>
  `takes back ${deals === undefined ? '' : `${count(deals.length, 'deal')} of `}${undoes}`

async function oneRun({ db, texts }: JobContext, id: string, asJson: boolean): Promise<ExitCode> {
  const run = await getRun(db, id)
  if (run === null) throw new UsageError(`There is no run named ${id}. "unstall runs" lists them.`)
  const connection = await getConnection(db, run.connection)
  const held = await quarantined(db, run.connection)
  const rows = await rowsOfRun(db, id)
  const plan = run.kind === 'preview' ? await getPlan(db, id) : rows
  if (asJson) {
    const { settings: _, ...shown } = run
    printJson({ ...shown, circuit: connection?.circuit ?? null, writes: plan, quarantine: held })
    return EXIT.ok
  }
  const { timezone, language } = run.settings
  const at = (instant: number) => localTime(instant, timezone)
  print(`${bold(id)}  ${run.kind}, ${state(run)}, judged at ${at(run.now)}, begun ${at(run.createdAt)}`)
  if (run.options.undoes) print(`This run ${takenBack(run.options)}.`)
  if (run.problem) print(red(hang(run.problem, '')))
  if (run.failures.length > 0) print('\nAttempts that failed:')
  for (const failure of run.failures)
    print(`  ${hang(`${at(failure.at)} ${failure.step}: ${failure.problem}`, '    ')}`)
  if (run.starts > 1) print(`"${run.step}" was begun ${count(run.starts, 'time')} without getting any further.`)
  if (run.kind !== 'preview') await printOutcome(db, run, rows, texts(language), Number.POSITIVE_INFINITY)
  else if (connection && run.summary) await printPlan(db, connection, plan, run, texts(language))
  if (held.length === 0) return EXIT.ok
  print(
    `\nIn quarantine now, ${count(held.length, 'deal')}: held, never written, out by themselves when they can be read:`,
  )
  for (const one of held) print(yellow(`  ${hang(quarantineLine(one), '    ')}`))
  return EXIT.ok
}
