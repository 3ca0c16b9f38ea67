// Runs one night (or preview, or undo) through the queue and waits for it, the way a person at a terminal does:
// with progress, a way out by Ctrl-C, and an unfinished run that simply goes on next time.
import { setTimeout } from 'node:timers/promises'
import type { RunProgress } from '../../jobs/context.ts'
import { type Night, openNight } from '../../jobs/nightly.ts'
import { type App, type AppOptions, currentTime, openApp } from '../app.ts'
import type { ConnectionConfig } from '../config.ts'
import { localTime } from '../core/calendar.ts'
import { Fatal, Interrupted, RetryLater, UsageError } from '../errors.ts'
import { circuits } from '../store/connections.ts'
import { findDeal, type StoredDeal } from '../store/deals.ts'
import { getPlan, getRun, type Run } from '../store/runs.ts'
import { EXIT, leaveBy, Progress, plain, say } from './output.ts'
import { circuitLines } from './print.ts'

const PATIENCE_MS = 60_000
const LOOK_EVERY_MS = 100

/** Opens the app, runs `work`, closes. The first Ctrl-C stops gracefully: running calls end, the run goes on next time. */
export async function withApp<T>(
  file: string,
  options: AppOptions,
  work: (app: App, progress: Progress, stop: AbortSignal) => Promise<T>,
): Promise<T> {
  const progress = new Progress()
  const stop = new AbortController()
  const onSignal = () => {
    progress.end()
    if (stop.signal.aborted) process.exit(EXIT.interrupted)
    say(
      'Stopping: waiting for the calls that are under way. What is planned stays stored; the next run goes on with it.',
    )
    leaveBy(EXIT.interrupted)
    stop.abort(new Interrupted())
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const app = await openApp(file, {
    patienceMs: PATIENCE_MS,
    ...options,
    progress: (event) => {
      if (!stop.signal.aborted) progress.show(describe(event))
      options.progress?.(event)
    },
  })
  try {
    return await work(app, progress, stop.signal).finally(async () => {
      progress.end()
      if (options.concurrency !== 0) for (const line of await circuitLines(app.ctx.db, app.config)) say(line)
    })
  } finally {
    await app.close()
    progress.end()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

function describe({ connection, step, done, total }: RunProgress): string {
  const count = done === 0 ? '' : `  ${done}${total === null || total < done ? '' : ` of ${total}`}`
  return `${connection}: ${STEPS[step] ?? step}${count}`
}
const STEPS: Readonly<Record<string, string>> = {
  pull: 'reading deals',
  census: 'looking for deleted deals',
  decide: 'judging',
  apply: 'writing',
  report: 'summing up',
}

/** By id, name, or the link as the browser shows it. @throws UsageError when it is none or several */
export async function oneDeal(app: App, words: string, connection?: string): Promise<StoredDeal> {
  const link = /^https?:\/\//.test(words) ? URL.parse(words)?.pathname.split('/') : undefined
  const found = await findDeal(app.ctx.db, link?.findLast((part) => /^\w*\d\w{5,}$/.test(part)) ?? words, connection)
  const [deal, ...others] = found
  const help = 'Give its id, its link or its name; "unstall plan" reads new deals.'
  if (deal === undefined) throw new UsageError(`No deal is known as "${words}". ${help}`)
  if (others.length === 0) return deal
  const names = found.map(({ known }) => `  ${known.ref.connection} ${known.ref.id}  ${plain(known.deal.name)}`)
  throw new UsageError(`"${words}" could be any of these; give the id:\n${names.join('\n')}`)
}

export function chosen(app: App, name: string | undefined): readonly ConnectionConfig[] {
  return name === undefined || name === '' ? app.config.connections : [app.connection(name)]
}

/** `--now` for a run is only for a sandbox: a real CRM must never be written as of another day. */
export async function nowOf(connection: ConnectionConfig, asked: number | undefined, writes: boolean): Promise<number> {
  if (asked !== undefined && writes && !connection.loopback)
    throw new UsageError(
      `--now is for a sandbox: ${connection.name} is a real CRM. Leave it out, or use "unstall plan".`,
    )
  return asked ?? currentTime(connection)
}

type Asked = Pick<Night, 'kind' | 'now'> & Partial<Pick<Night, 'confirm' | 'again' | 'readAt' | 'reserved'>>

/** Opens a run and waits until it is over. An unfinished run of the connection is finished first. */
export async function runNight(app: App, connection: ConnectionConfig, asked: Asked, stop: AbortSignal): Promise<Run> {
  const { name, system, settings } = connection
  for (;;) {
    const opened = await openNight(app.ctx, { connection: name, system, settings, ...asked })
    if ('run' in opened) return finished(app, opened.run, stop)
    if (opened.busy.status !== 'open') return opened.busy
    if (asked.kind === 'preview' && opened.busy.kind !== 'preview')
      throw new UsageError(
        `${opened.busy.id} is under way and writes. Wait for it, or end it with: unstall run ${name}`,
      )
    const { id, kind, createdAt } = opened.busy
    const begun = `${kind}, begun ${localTime(createdAt, settings.timezone)}`
    say(`${name}: ${id} (${begun}) is not over. It ends first, here or where it is worked on; one run at a time.`)
    await finished(app, opened.busy, stop)
  }
}

/** One preview a connection. The weekly task budget is shared: the second counts on what the first would take. */
export async function* previews(
  app: App,
  connections: readonly ConnectionConfig[],
  asked: number | undefined,
  stop: AbortSignal,
) {
  const reserved: Record<string, number> = {}
  for (const connection of connections) {
    const now = await nowOf(connection, asked, false)
    const readAt = await currentTime(connection)
    const run = await runNight(app, connection, { kind: 'preview', now, readAt, reserved: { ...reserved } }, stop)
    const rows = await getPlan(app.ctx.db, run.id)
    for (const row of rows)
      if (row.kind === 'create-task' && row.hold === null) reserved[row.person] = (reserved[row.person] ?? 0) + 1
    yield { connection, run, rows }
  }
}

/** Waits for a run that may be worked on here or by another process. */
export async function finished(app: App, run: Run, stop: AbortSignal): Promise<Run> {
  if (run.status !== 'open' || run.step === 'done') return run
  const started = Date.now()
  await app.queue.add(run.id, run.step)
  for (;;) {
    stop.throwIfAborted()
    const now = await getRun(app.ctx.db, run.id)
    if (now === null) throw new Error(`${run.id} vanished`)
    if (now.status === 'failed') throw new Fatal('data', `${now.id}: ${now.problem ?? 'failed'}`)
    if (now.status !== 'open') return now
    // Any other run is given up by its worker, which says so.
    const outlasts = now.step === 'apply' || (now.options.patienceMs ?? 0) > app.ctx.patienceMs
    const circuit = outlasts && (await circuits(app.ctx.db, Date.now(), now.connection)).get(now.connection)
    const ms = circuit && circuit.state === 'paused' ? circuit.until - Date.now() : 0
    if (ms > app.ctx.patienceMs)
      throw new RetryLater(`${run.id} waits and stays open: the next run goes on with it.`, ms)
    if (now.epoch > run.epoch + 200 || Date.now() - started > PATIENCE_MS * 60) {
      throw new RetryLater(`${run.id} is not over after an hour. It stays open; "unstall run" goes on with it.`, 0)
    }
    await setTimeout(LOOK_EVERY_MS)
  }
}
