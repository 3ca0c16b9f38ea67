// `unstall backtest`: replays a company's own closed deals against limits and recommends one per stage. It only reads:
// neither the CRM nor the database is written and no run is opened, so it may be tried while the service works.
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { connectionNamed, currentTime, openConnectors } from '../app.ts'
import { type Config, type ConnectionConfig, loadConfig, writeSettings } from '../config.ts'
import type { Cursor } from '../connector.ts'
import {
  type BacktestLine,
  linesOf,
  backtest as replay,
  type StageReport,
  type Stay,
  staysOf,
} from '../core/backtest.ts'
import { makeCalendar } from '../core/calendar.ts'
import type { DealId, Instant } from '../core/deal.ts'
import type { Texts } from '../core/explain.ts'
import { type MovementContext, observe } from '../core/movement.ts'
import { Settings } from '../core/policy.ts'
import { Interrupted, RetryLater, UsageError } from '../errors.ts'
import { createLog } from '../log.ts'
import { en } from '../texts/en.ts'
import { fr } from '../texts/fr.ts'
import { readDeals, SEVERAL } from './backtest-csv.ts'
import type { GlobalOptions } from './main.ts'
import {
  bold,
  dim,
  EXIT,
  type ExitCode,
  flexible,
  green,
  hang,
  Progress,
  plain,
  print,
  printJson,
  right,
  say,
  table,
} from './output.ts'

interface Options extends GlobalOptions {
  readonly months: number
  readonly wrongFlags: number
  readonly csv?: string
  readonly map?: readonly string[]
  readonly write?: boolean
  readonly now?: number
}

/** How long a CRM that asks for a pause is waited for, so many times without a page in between. */
const PATIENCE = { ms: 60_000, times: 5 }
const SEED = 1

export async function backtest(options: Options, name: string): Promise<ExitCode> {
  const { csv, months, wrongFlags, json } = options
  check(options, name)
  const alone = csv !== undefined && !name && !options.write && !existsSync(options.config)
  if (alone) say(`${options.config} is not there: no holidays, the usual limits.`)
  const config = alone ? null : loadConfig(options.config, options.now ?? Date.now())
  const connection = config && (name ? connectionNamed(config, name) : config.connections[0])
  const settings = connection?.settings ?? Settings.parse({ timezone: 'UTC' })
  const { context, now, stays, lines } =
    csv === undefined && config && connection ? await pulled(config, connection) : filed(options, settings)

  const start = new Date(now)
  start.setUTCMonth(start.getUTCMonth() - months)
  const { calendar, reference } = context
  const [from, today] = [calendar.localDay(start.getTime()), calendar.localDay(now)]
  const reports = replay([...stays.values()].flat(), context, { from, today, share: wrongFlags / 100, seed: SEED })
  const span = { from: calendar.localDate(start.getTime()), to: calendar.localDate(now), ...countOf(stays, from) }
  const policy = name ? ['connections', name, 'policy'] : ['policy']
  const limits = reports.flatMap(({ basis, pipelineId, stageId, recommended: { limit: value } }) => {
    const path = [...policy, 'pipelines', pipelineId, 'stages', stageId, 'idleDays']
    return basis === 'data' && stageId !== SEVERAL ? [{ path, value }] : []
  })
  const written = options.write && config ? writeSettings(config.file, Date.now(), limits) : null

  const texts: Texts = settings.language === 'fr' ? fr : en
  const head = texts.backtest({ say: 'replayed', with: span })
  const blind = (['participants', 'personFromAutomation', 'history', 'replies', 'calls'] as const).filter(
    (what) => !reference.tells[what],
  )
  const notes = [
    ...[...lines, { say: 'nights_know_more', with: {} } as const].map(texts.backtest),
    ...blind.map((what) => texts.step({ step: 'blind', what })),
  ]
  if (json) {
    const stages = reports.map((report) => ({ ...report, words: linesOf(report).map(texts.backtest) }))
    const asked = { source: csv ?? name, now: new Date(now).toISOString(), ...span, wrongFlags: wrongFlags / 100 }
    printJson({ ...asked, words: head, stages, notes, written })
    return EXIT.ok
  }
  print(bold(`Backtest of ${plain(csv ?? name)}`))
  print(hang(head, ''))
  if (reports.length > 1) print(`\n${overview(reports)}`)
  for (const report of reports) printStage(report, texts)
  print(`\n${bold('What this cannot tell')}`)
  for (const note of notes) print(`- ${hang(note, '  ')}`)
  print()
  for (const { path, before, value } of written ?? [])
    print(`${green('written')}  ${plain(path.join('.'))}: ${before ?? 'none'} → ${value}`)
  if (limits.length === 0) print('Nothing was written: no limit rests on enough won deals.')
  else if (written === null)
    print(`Nothing was written. Put the limits into ${options.config} with: ${bold('--write')}`)
  else if (written.length === 0) print(`Nothing was written: ${options.config} has these limits.`)
  return EXIT.ok
}

function check({ csv, map, months, now, wrongFlags }: Options, name: string): void {
  const own = '--now and --map are for --csv: a connection is replayed as of its own present, by its own fields.'
  const faults = [
    csv === undefined && !name && 'Say what to replay: unstall backtest <connection>, or unstall backtest --csv FILE.',
    csv === undefined && (now !== undefined || map !== undefined) && own,
    (months < 12 || months > 24) && '--months must be 12 to 24: unstall reads deals closed within two years.',
    wrongFlags > 50 && '--wrong-flags must be a percentage from 0 to 50.',
  ].filter((fault) => fault !== false)
  if (faults.length > 0) throw new UsageError(faults.join('\n'))
}

/** What there is to replay, and what is to be said about it. */
interface Found {
  readonly context: MovementContext
  readonly now: Instant
  readonly stays: ReadonlyMap<DealId, readonly Stay[]>
  readonly lines: readonly BacktestLine[]
}

function filed({ csv = '', map = [], now = Date.now() }: Options, settings: Settings): Found {
  const calendar = makeCalendar(settings)
  const { pipelines, stays, lines } = readDeals(csv, map, calendar, calendar.localDate(now))
  const tells = { participants: true, personFromAutomation: true, history: true, replies: true, calls: true }
  const reference = { pipelines, owners: [], omitted: null, closedCategory: null, currency: null, self: null, tells }
  return { context: { reference, calendar, policy: settings.policy }, now, stays, lines }
}

/** Reads the connection from the start, page by page, and keeps of each deal only what is replayed. */
async function pulled(config: Config, connection: ConnectionConfig): Promise<Found> {
  const { name, settings, system } = connection
  const now = await currentTime(connection)
  const progress = new Progress()
  const stop = new AbortController()
  const onSignal = () => stop.abort(new Interrupted())
  process.once('SIGINT', onSignal)
  const connectors = await openConnectors(config, createLog(config.environment.logLevel ?? 'warn'), [connection])
  try {
    const connector = await connectors.connect(connection)
    const reference = await connector.reference(stop.signal)
    const context = { reference, calendar: makeCalendar(settings), policy: settings.policy }
    const owners = new Map<string | null, string | null>(reference.owners.map(({ id, email }) => [id, email]))
    const stays = new Map<DealId, readonly Stay[]>()
    const odd = new Set<DealId>()
    let cursor: Cursor | null = null
    let [short, tries] = [0, 0]
    for (let over = false; !over; )
      try {
        for await (const page of connector.pull(cursor, now, stop.signal)) {
          const evidence = new Map(page.evidence.map((one) => [one.deal, one]))
          for (const deal of page.deals) {
            // What changes while it is read comes again, with less history: it is replayed as it was met first.
            if (stays.has(deal.id)) continue
            const seen = { ref: { connection: name, id: deal.id }, deal, evidence: evidence.get(deal.id) ?? null }
            const owner = owners.get(deal.ownerId) ?? null
            const found = staysOf(observe(null, seen, deal.createdAt), context, owner, now)
            stays.set(deal.id, found)
            if (deal.outcome !== 'open' && found.length === 0) short += 1
          }
          for (const { deal } of page.unreadable) odd.add(deal)
          cursor = page.cursor
          tries = 0
          progress.show(`${name}: reading deals  ${page.read}${page.total === null ? '' : ` of ${page.total}`}`)
        }
        over = true
      } catch (error) {
        tries += 1
        if (!(error instanceof RetryLater) || error.afterMs > PATIENCE.ms || tries > PATIENCE.times) throw error
        progress.show(`${name}: waiting, ${error.message}`)
        await delay(error.afterMs, undefined, { signal: stop.signal })
      }
    const lines: BacktestLine[] = system === 'hubspot' ? [{ say: 'last_only', with: {} }] : []
    if (short > 0) lines.push({ say: 'history_short', with: { n: short } })
    if (odd.size > 0) lines.push({ say: 'unreadable', with: { n: odd.size } })
    return { context, now, stays, lines }
  } catch (error) {
    // Whoever waits says only that it was aborted.
    stop.signal.throwIfAborted()
    throw error
  } finally {
    process.off('SIGINT', onSignal)
    progress.end()
    await connectors.close()
  }
}

function countOf(stays: Found['stays'], from: number) {
  const counts = { won: 0, lost: 0, open: 0 }
  for (const some of stays.values())
    for (const { outcome, until } of some.filter((stay) => stay.outcome !== 'passed').slice(0, 1))
      if (outcome !== 'passed' && (outcome === 'open' || until >= from)) counts[outcome] += 1
  return counts
}

const whole = (n: number) => n.toLocaleString('en')
const share = (n: number, of: number) => `${whole(n)} ${`${of === 0 ? 0 : Math.round((100 * n) / of)}%`.padStart(4)}`

function overview(reports: readonly StageReport[]): string {
  const several = new Set(reports.map(({ pipelineId }) => pipelineId)).size > 1
  const numbers = ['Won', 'Lost', 'Open', 'Now', 'Advised'].map(right)
  const columns = [...(several ? [flexible('Pipeline')] : []), flexible('Stage'), ...numbers, 'Range', 'From']
  const rows = reports.map(({ pipeline, stage, won, lost, open, current, recommended, range, basis }) => [
    ...(several ? [plain(pipeline)] : []),
    plain(stage),
    ...[won, lost, open, current, recommended.limit].map(whole),
    ...[range === null ? '' : range.join(' to '), basis === 'data' ? 'your deals' : 'default'],
  ])
  return table(columns, rows)
}

function printStage(report: StageReport, texts: Texts): void {
  const { basis, current, limits, lost, open, pipeline, recommended, stage, won } = report
  const best = recommended.limit
  const from = `${basis === 'data' ? 'from your deals' : 'practitioner default'}, ${current === best ? 'as now' : `now ${current}`}`
  print(`\n${bold(`${plain(pipeline)} › ${plain(stage)}: limit ${best} working days`)} (${from})`)
  for (const line of linesOf(report)) print(hang(texts.backtest(line), ''))
  const counts = ['Limit', 'Won flagged', 'Lost caught', 'Warning', 'Open beyond'].map(right)
  const columns = [...counts, { ...right('Worth'), flexible: true }, right('Move on')]
  const rows = limits.map(({ limit, wrong, caught, warning, open: beyond, value, movesOn }) => [
    ...[`${limit === best ? '→ ' : limit === current ? 'now ' : ''}${whole(limit)}`, share(wrong, won)],
    ...[share(caught, lost), warning === null ? '' : `${warning} d`, share(beyond, open)],
    ...[beyond === 0 ? '' : texts.moneys(value), movesOn === null ? '' : `${Math.round(100 * movesOn)}%`],
  ])
  print(table(columns, rows))
  print(dim('Limit, warning: working days. Move on: of the deals still there by then.'))
}
