// `unstall demo`: the whole product on this machine in under a minute. Two lookalike CRMs over real HTTP, a company
// with years of dead deals, a first night as preview and then confirmed, two weeks in which simulated people react, and
// the dashboard over all of it.
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type ServerType, serve } from '@hono/node-server'
import { type App, accessOf, currentTime, PORT, UNPACED, webService } from '../app.ts'
import type { Finding } from '../connector.ts'
import { type FieldValues, SYSTEMS } from '../core/deal.ts'
import { sumsOf } from '../core/forecast.ts'
import { UsageError } from '../errors.ts'
import { buildReport } from '../report/build.ts'
import { render } from '../report/render.ts'
import { Summary } from '../report/summary.ts'
import { generate } from '../sandbox/generate.ts'
import { hubspot } from '../sandbox/hubspot/server.ts'
import { type Sandbox, startSandbox } from '../sandbox/kernel.ts'
import { type Acted, liveDay } from '../sandbox/people.ts'
import { salesforce } from '../sandbox/salesforce/index.ts'
import type { Seed } from '../sandbox/seed.ts'
import { getDeals } from '../store/deals.ts'
import { rowsOfRun, type StoredRow } from '../store/ledger.ts'
import type { Run } from '../store/runs.ts'
import { createWeb } from '../web/server.ts'
import type { GlobalOptions } from './main.ts'
import { previews, runNight, withApp } from './night.ts'
import {
  bold,
  dim,
  EXIT,
  type ExitCode,
  green,
  hang,
  type Progress,
  pad,
  plain,
  print,
  printJson,
  say,
  yellow,
} from './output.ts'
import { confirmation } from './plan.ts'
import { count, printPlan } from './print.ts'

const DAY = 86_400_000
const HOUR = 3_600_000
const FOLDER = '.unstall-demo'
/** Over both CRMs together: about 400 open and 1,500 closed deals. */
const EACH = { deals: 950, open: 200 }

interface Crm {
  readonly name: string
  readonly system: 'hubspot' | 'salesforce'
  readonly seed: Seed
  readonly server: Sandbox
}

type Night = Awaited<ReturnType<typeof summed>>

export async function demo(
  options: GlobalOptions & { seed: number; nights: number; serve?: boolean },
): Promise<ExitCode> {
  const begun = performance.now()
  const { nights, seed } = options
  // The last night is last night, so that the dates look like today's.
  const first = Math.floor(Date.now() / DAY) * DAY - nights * DAY + 2 * HOUR
  const crms = await companies(first, seed)
  try {
    const file = writeConfig(crms)
    return await withApp(file, { pace: UNPACED }, async (app, progress, stop) => {
      const tell = options.json ? () => {} : print
      introduce(crms, tell)
      await connectAll(app, progress, tell)
      const begin = await firstNight(app, progress, stop, tell)
      const start = await summed(app, begin, [])
      const history = [start]
      const acted: Acted[] = []
      tell(`\n${bold('3. Night by night')}\n\n${heading()}\n${line(app, start)}`)
      for (let n = 1; n <= nights; n++) {
        const midnight = first - 2 * HOUR + n * DAY
        progress.show(`night ${n} of ${nights}: people at work`)
        const today = await workday(crms, midnight - 10 * HOUR, midnight + 2 * HOUR)
        acted.push(...today)
        progress.show(`night ${n} of ${nights}: judging and writing`)
        const night = await oneNight(app, today, stop)
        history.push(night)
        progress.end()
        tell(line(app, night))
      }
      if (options.json) printJson({ config: file, nights: history, deeds: tally(acted) })
      else await closing(app, history, acted, file, begin, performance.now() - begun)
      if (serves(options, process.stdout.isTTY)) await dashboard(app, stop)
      else if (options.serve === undefined) say('Not a terminal: the dashboard is not served. --serve serves it.')
      return EXIT.ok
    })
  } finally {
    await Promise.all(crms.map(({ server }) => server.close()))
  }
}

/** Whatever reads our output instead of a person waits for its end. */
export const serves = ({ serve, json }: { serve?: boolean; json: boolean }, terminal: boolean): boolean =>
  serve ?? (terminal && !json)

/** Until Ctrl-C, for this machine alone. The lookalikes are still there: previews, nights and undo work. */
async function dashboard(app: App, stop: AbortSignal): Promise<void> {
  const hostname = '127.0.0.1'
  const { environment } = app.config
  const access = accessOf({ ...app.config, environment: { ...environment, host: hostname } })
  const { fetch } = createWeb(webService(app), access)
  const listen = (port: number) =>
    new Promise<ServerType | null>((resolve) => {
      const server = serve({ fetch, hostname, port }, () => resolve(server))
      server.once('error', () => resolve(null))
    })
  const server = (await listen(environment.port ?? PORT)) ?? (await listen(0))
  const address = server?.address()
  if (!server || !address || typeof address === 'string')
    throw new UsageError('No port of this machine is free for the dashboard. --no-serve leaves it out.')
  say(`\n${bold(`The dashboard: http://${hostname}:${address.port}`)}  ${dim('Ctrl-C ends it')}`)
  if (!stop.aborted) await once(stop, 'abort')
  server.close()
  if ('closeAllConnections' in server) server.closeAllConnections()
}

async function companies(now: number, seed: number): Promise<readonly Crm[]> {
  say('Filling two lookalike CRMs …')
  const hub = generate({ now, seed, ...EACH })
  const sf = generate({ now, seed: seed + 1000, ...EACH })
  const options = { now, seed }
  return [
    { name: 'hub', system: 'hubspot', seed: hub, server: await startSandbox(hubspot(hub), options) },
    { name: 'sf', system: 'salesforce', seed: sf, server: await startSandbox(salesforce(sf), options) },
  ]
}

function writeConfig(crms: readonly Crm[]): string {
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER)
  const url = (name: string) => crms.find((crm) => crm.name === name)?.server.url ?? ''
  const file = join(FOLDER, 'unstall.config.yaml')
  writeFileSync(
    file,
    `# Written by "unstall demo": two lookalike CRMs on this machine. They are gone when the demo ends; what unstall
# remembers of them stays in this folder, for "runs" and "explain".
timezone: Europe/Paris
language: en
holidays: FR
dataDir: .
connections:
  hub: { system: hubspot, baseUrl: "${url('hub')}", auth: { kind: token, token: sandbox-demo }, policy: { decision: { stages: [contractsent] } } }
  sf: { system: salesforce, loginUrl: "${url('sf')}", auth: { kind: client-credentials, clientId: sandbox, clientSecret: sandbox }, policy: { decision: { stages: [Contract sent] } } }
`,
  )
  return file
}

type Tell = (text: string) => void

function introduce(crms: readonly Crm[], tell: Tell): void {
  const deals = crms.reduce((sum, { seed }) => sum + seed.deals.length, 0)
  const people = count(crms[0]?.seed.owners.length ?? 0, 'person', 'people')
  const systems = crms.map(({ system }) => `a lookalike ${SYSTEMS[system]}`).join(' and ')
  tell(bold('unstall demo'))
  tell(`One company, ${systems}, ${count(deals, 'deal')}, ${people}. Everything runs on this machine.`)
}

async function connectAll(app: App, progress: Progress, tell: Tell): Promise<void> {
  tell(`\n${bold('1. Connect')}`)
  const signal = AbortSignal.timeout(60_000)
  for (const { name, system } of app.config.connections) {
    progress.show(`${name}: creating our fields`)
    const connector = await app.ctx.connector(name)
    let created = 0
    for await (const step of connector.setup(signal)) if (step.action === 'create') created++
    const { findings } = await connector.check(signal)
    progress.end()
    const of = (level: Finding['level']) => findings.filter((finding) => finding.level === level)
    const fields = `${count(created, 'field')} and helpers created`
    tell(`${green('✓')} ${SYSTEMS[system]}: ${fields}; ${of('ok').length} checks are green.`)
    for (const { what } of of('warn')) tell(yellow(`  ! ${plain(what)}`))
    for (const { what } of of('problem')) tell(yellow(`  ✗ ${plain(what)}`))
  }
}

async function firstNight(app: App, progress: Progress, stop: AbortSignal, tell: Tell): Promise<readonly Run[]> {
  tell(`\n${bold('2. First night: a preview, then confirmed')}`)
  const confirmed: Run[] = []
  const { connections } = app.config
  for await (const { connection, run, rows } of previews(app, connections, undefined, stop)) {
    confirmed.push(run)
    progress.end()
    if (tell === print) await printPlan(app.ctx.db, connection, rows, run, app.ctx.texts(connection.settings.language))
  }
  tell(`\nNothing was written so far. Confirmed: ${bold(confirmation(confirmed.map(({ id }) => id)))}`)
  const runs: Run[] = []
  for (const { connection, id: confirm } of confirmed) {
    const found = app.connection(connection)
    runs.push(await runNight(app, found, { kind: 'manual', now: await currentTime(found), confirm }, stop))
  }
  progress.end()
  return runs
}

/** Everybody works from 14 h to evening; then the clocks go on to the night. */
async function workday(crms: readonly Crm[], during: number, night: number): Promise<readonly Acted[]> {
  const clock = (server: Sandbox, now: number) =>
    fetch(`${server.url}/__sandbox/clock`, {
      method: 'POST',
      body: JSON.stringify({ now: new Date(now).toISOString() }),
    })
  const days = crms.map(async ({ server, system, seed }) => {
    await clock(server, during)
    const acted = await liveDay({ url: server.url, system, pipelines: seed.pipelines, now: during })
    await clock(server, night)
    return acted
  })
  return (await Promise.all(days)).flat()
}

async function oneNight(app: App, acted: readonly Acted[], stop: AbortSignal) {
  const nights = app.config.connections.map(async (connection) =>
    runNight(app, connection, { kind: 'night', now: await currentTime(connection) }, stop),
  )
  return summed(app, await Promise.all(nights), acted)
}

async function summed(app: App, runs: readonly Run[], acted: readonly Acted[]) {
  const summaries = runs.map((run) => Summary.parse(run.summary))
  const rows = (await Promise.all(runs.map((run) => rowsOfRun(app.ctx.db, run.id)))).flat()
  const sum = (figure: 'open' | 'stalled' | 'newlyStalled' | 'recovered') =>
    summaries.reduce((total, { figures }) => total + figures[figure], 0)
  const sums = (part: 'all' | 'moving') => sumsOf(summaries.flatMap(({ forecast }) => Object.entries(forecast[part])))
  const deeds = tally(acted)
  return {
    date: runs[0]?.localDate ?? '',
    ...{ open: sum('open'), stalled: sum('stalled'), newlyStalled: sum('newlyStalled'), recovered: sum('recovered') },
    tasks: rows.filter((row) => row.kind === 'create-task' && row.status === 'done').length,
    decided: { won: deeds.won ?? 0, lost: deeds.lost ?? 0, no: deeds.no ?? 0 },
    reported: sums('all'),
    honest: sums('moving'),
  }
}

function tally(acted: readonly Acted[]): Record<string, number> {
  const deeds: Record<string, number> = {}
  for (const { deed } of acted) deeds[deed] = (deeds[deed] ?? 0) + 1
  return deeds
}

const TITLES = ['Night', 'open', 'stalled', 'new', 'moved', 'tasks', 'won', 'lost', 'no', 'pipeline', 'honest']
const WIDTHS = [12, 5, 8, 4, 6, 6, 4, 5, 3, 13, 13]
const DATE = new Intl.DateTimeFormat('en-GB', { weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC' })

const fitted = (cells: readonly string[]) =>
  cells.map((text, i) => pad(text, WIDTHS[i] ?? 0, i === 0 ? 'left' : 'right')).join(' ')
const heading = () => bold(fitted(TITLES))

function line(app: App, night: Night): string {
  const texts = app.ctx.texts('en')
  const sum = (sums: Record<string, number>) => Object.values(sums).reduce((total, value) => total + value, 0)
  const { won, lost, no } = night.decided
  const cells = [
    DATE.format(Date.parse(night.date)),
    ...[night.open, night.stalled, night.newlyStalled, night.recovered, night.tasks, won, lost, no].map(String),
    texts.moneys(night.reported),
    texts.moneys(night.honest),
  ]
  const share = sum(night.reported) === 0 ? 0 : sum(night.honest) / sum(night.reported)
  const bar = green('█'.repeat(Math.round(share * 20))) + dim('░'.repeat(20 - Math.round(share * 20)))
  return `${fitted(cells)}  ${bar}`
}

async function closing(
  app: App,
  history: readonly Night[],
  acted: readonly Acted[],
  file: string,
  firstRuns: readonly Run[],
  ms: number,
): Promise<void> {
  const texts = app.ctx.texts('en')
  const last = history.at(-1)
  const deeds = tally(acted)
  const recovered = history.slice(1).reduce((sum, night) => sum + night.recovered, 0)
  print(dim('\nThe bar: how much of the reported pipeline still moves.'))
  print(`\n${bold('4. What happened')}`)
  if (last)
    print(
      `The pipeline reports ${texts.moneys(last.reported)}; what still moves is worth ${bold(texts.moneys(last.honest))}. ` +
        `In ${count(history.length - 1, 'night')} ${count(recovered, 'deal')} moved again.`,
    )
  print(
    `The people answered ${deeds.yes ?? 0} × yes, ${deeds.no ?? 0} × no, ${deeds.maybe ?? 0} × maybe, parked ${deeds.park ?? 0}, ` +
      `moved ${deeds.forward ?? 0} deals forward, pushed ${deeds.push ?? 0} dates, and ticked ${deeds.close_task ?? 0} tasks off without doing anything.`,
  )
  const rows = (await Promise.all(firstRuns.map((run) => rowsOfRun(app.ctx.db, run.id)))).flat()
  await example(app, rows)
  const config = relative('.', file)
  const { connections, timezone } = app.config
  const found = await buildReport(app.ctx.db, { connections, run: null, texts, timezone })
  const page = join(FOLDER, 'report.html')
  writeFileSync(page, await render(found, 'html', texts))
  print(`\n${bold('5. Where to look next')}`)
  const cli = `npm run unstall -- --config ${config}`
  const steps = [
    [page, 'the report for managers: open it in a browser'],
    [`${cli} report`, 'the same in the terminal, once the dashboard is closed'],
    [`${cli} runs`, 'every night and what it wrote'],
    [`${cli} explain "<deal>"`, 'why one deal is stalled'],
    ['README.md', 'connecting your own HubSpot or Salesforce'],
  ]
  print(steps.map(([command = '', what = '']) => `  ${command.padEnd(cli.length + 18)}  ${dim(what)}`).join('\n'))
  print(dim(`\nThis took ${(ms / 1000).toFixed(0)} s.`))
}

/** One flag and one task as the rep and the manager see them. */
async function example(app: App, rows: readonly StoredRow[]): Promise<void> {
  const task = rows.find((row) => row.kind === 'create-task' && row.status === 'done')
  if (task?.kind !== 'create-task') return
  const deal = (await getDeals(app.ctx.db, task.deal.connection, [task.deal.id])).get(task.deal.id)?.known.deal
  const flag = rows.find((row) => row.kind === 'fields' && row.group === 'flag' && row.deal.id === task.deal.id)
  const after: FieldValues = flag?.kind === 'fields' ? flag.after : {}
  print('\nFor example, this is what the CRM shows for one deal:')
  const show = (name: string, text: string) => print(`  ${name.padEnd(12)} ${hang(text, ' '.repeat(15))}`)
  show('Deal', deal?.name ?? task.deal.id)
  show('Stalled', 'Yes')
  show('Explanation', after.explanation ?? '')
  show('Task', task.subject)
  for (const text of task.body.split('\n')) print(dim(`    │ ${hang(text, '    │ ')}`))
}
