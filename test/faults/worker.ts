// A real worker process of the fault harness: the application as app.ts puts it together, on a real configuration file,
// started, killed and started again from outside. It opens the runs it is told to (a run that is there already is gone
// on with, so the same orders can be given after every kill), says as lines of JSON what happens, and dies on the spot
// where it is told to.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { sql } from 'kysely'
import { openNight, openUndo } from '../../jobs/nightly.ts'
import { type App, type AppOptions, openApp, UNPACED } from '../../src/app.ts'
import { createLog } from '../../src/log.ts'
import { getRun, listRuns, openRuns, type Run } from '../../src/store/runs.ts'

export interface RunOrder {
  readonly connection: string
  /** `first`: a preview, and the night that confirms it. */
  readonly kind: 'manual' | 'night' | 'preview' | 'undo' | 'first'
  /** Identifies the order: two orders of one connection and kind differ in it. */
  readonly now: number
  readonly confirm?: string
  readonly again?: readonly string[]
  /** Opens its own run at this instant (wall clock) and says which one is in its way, instead of going on with that. */
  readonly rival?: number
  /** Of an undo: the run, and where not all of it is meant, the deals. */
  readonly undoes?: string
  readonly deals?: readonly string[]
}

/** A labelled point of the program (CrashPoint), and the step or the kind of write there. */
interface Place {
  readonly at: string
  readonly what?: string
}

export interface Orders {
  /** Path of the configuration. */
  readonly config: string
  /** What is to be read from the environment: it was started before anybody knew. */
  readonly env: Readonly<Record<string, string>>
  readonly runs: readonly RunOrder[]
  /** Works on until it gets SIGTERM, instead of ending when its runs are over. */
  readonly stay?: boolean
  /** Dies by SIGKILL (or gets another signal) when it comes by here the n-th time. */
  readonly die?: Place & { readonly nth?: number; readonly signal?: NodeJS.Signals }
  /** Misbehaves instead of dying: a loop that never ends, memory without end, an error. */
  readonly poison?: Place & { readonly how: 'loop' | 'memory' | 'throw' }
  /** Deals a batch, so that a small world has enough calls to die in. */
  readonly readBatch?: number
  /** Now and then everything that is not needed any more is let go, to see what is: `liveMb`. */
  readonly weigh?: boolean
  /** Keeps the database writing to its log, as busy neighbours would: sooner or later it wants a new file for it. */
  readonly flood?: boolean
  readonly app?: Omit<AppOptions, 'crash' | 'log' | 'only' | 'progress'>
}

export type Event =
  | { readonly event: 'open'; readonly run: string; readonly connection: string; readonly busy: boolean }
  | { readonly event: 'step'; readonly run: string; readonly step: string; readonly done: number }
  | (Ended & { readonly event: 'over' })
  | { readonly event: 'error'; readonly message: string }
export interface Ended {
  readonly run: string
  readonly connection: string
  readonly kind: string
  readonly status: string
  readonly problem: string | null
  /** Most memory (resident) this process had held by then. */
  readonly peakMb: number
  /** Most that was in use of the heap when it was weighed; 0: never. */
  readonly liveMb: number
}

/** `maxRSS` would start with what the parent held when it forked. */
const peakMb = () => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024

let [pages, liveMb] = [0, 0]
/** Every eighth page, and what is short as a whole. */
function weigh(): void {
  if (!orders.weigh || (pages++ > 4 && pages % 8 > 0)) return
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  liveMb = Math.max(liveMb, (heapUsed + external) / 2 ** 20)
}

const say = (event: Event) => process.stdout.write(`${JSON.stringify(event)}\n`)

// Loaded before it is needed: that takes longer than the work.
const orders: Orders = JSON.parse(await text(process.stdin))
const { die, poison } = orders
Object.assign(process.env, orders.env)
let left = die?.nth ?? 1
const crash: AppOptions['crash'] = (at, what) => {
  const here = (where: Place | undefined) => at === where?.at && (where.what === undefined || where.what === what)
  if (here(die) && --left === 0) process.kill(process.pid, die?.signal ?? 'SIGKILL')
  if (!here(poison)) return
  if (poison?.how === 'throw') throw new Error('poisoned on purpose')
  const hoard: unknown[] = []
  for (;;) if (poison?.how === 'memory') hoard.push(new Array(1e6).fill(hoard.length))
}

const app = await openApp(orders.config, {
  patienceMs: 60_000,
  pace: UNPACED,
  log: createLog('warn'),
  ...orders.app,
  crash,
  progress: ({ run, step, done }) => {
    weigh()
    say({ event: 'step', run, step, done })
  },
})
const { readBatch } = orders
if (readBatch !== undefined)
  for (const { name } of app.config.connections) {
    const connector = await app.ctx.connector(name)
    const { get, value } = Object.getOwnPropertyDescriptor(connector, 'can') ?? {}
    Object.defineProperty(connector, 'can', { get: () => ({ ...(get?.() ?? value), readBatch }) })
  }
if (orders.flood) void flood().catch(() => {}) // told by whoever works
const leave = once(process, 'SIGTERM')
try {
  const over = Promise.all(orders.runs.map(carryOut))
  over.catch(() => {}) // told below, or nobody waits for it any more
  await Promise.race([orders.stay ? over.then(() => leave) : over, leave])
} catch (error) {
  say({ event: 'error', message: error instanceof Error ? error.message : String(error) })
  process.exitCode = 1
} finally {
  await app.close()
}
process.exit()

async function flood(): Promise<void> {
  const some = sql`SELECT pg_logical_emit_message(false, 'flood', repeat('x', 200000))`
  for (;;) {
    await some.execute(app.ctx.db)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function carryOut(order: RunOrder): Promise<void> {
  if (order.kind !== 'first') return void (await one(order))
  const { connection, now } = order
  const confirm = await one({ connection, now, kind: 'preview' })
  await one({ connection, now, kind: 'manual', confirm })
}

async function one(order: RunOrder): Promise<string> {
  if (order.rival) await new Promise((wake) => setTimeout(wake, (order.rival ?? 0) - Date.now()))
  const found = order.rival ? undefined : await before(app, order)
  const { run, busy } = found ? { run: found, busy: false } : await open(app, order)
  say({ event: 'open', run: run.id, connection: run.connection, busy })
  await watch(app, run.id)
  return run.id
}

/** The run of these very orders, where an earlier worker has opened it. */
async function before({ ctx }: App, { connection, now, kind, confirm, undoes }: RunOrder): Promise<Run | undefined> {
  const runs = await listRuns(ctx.db, { connection, limit: 1000 })
  return runs.find(
    (run) =>
      run.now === now &&
      run.options.confirm === confirm &&
      run.options.undoes === undoes &&
      (run.kind === kind || (run.kind === 'preview' && kind !== 'undo' && confirm === undefined)),
  )
}

/** Finishes whatever is open on this connection first, as `unstall run` does. */
async function open(app: App, order: RunOrder): Promise<{ run: Run; busy: boolean }> {
  const { connection, kind, now, confirm, again, undoes } = order
  const { system, settings } = app.connection(connection)
  for (const { id } of order.rival ? [] : await openRuns(app.ctx.db))
    if ((await getRun(app.ctx.db, id))?.connection === connection) await watch(app, id)
  const of = undoes === undefined ? null : await getRun(app.ctx.db, undoes)
  if (kind === 'undo' && of === null) throw new Error(`no run ${undoes} to take back`)
  const opened =
    kind === 'undo' && of !== null
      ? await openUndo(app.ctx, of, now)
      : await openNight(app.ctx, {
          ...{ connection, system, settings, now, kind: kind === 'night' || kind === 'preview' ? kind : 'manual' },
          ...(confirm === undefined ? {} : { confirm }),
          ...(again === undefined ? {} : { again }),
        })
  return 'run' in opened ? { run: opened.run, busy: false } : { run: opened.busy, busy: true }
}

async function watch({ ctx, queue }: App, id: string): Promise<void> {
  // A database that is away is part of the game; the sweeper adds what could not be added here.
  const look = () => getRun(ctx.db, id).catch(() => null)
  const first = await look()
  if (first?.status === 'open' && first.step !== 'done') await queue.add(id, first.step).catch(() => {})
  for (;;) {
    const run = await look()
    if (run && run.status !== 'open') {
      const { connection, kind, status, problem } = run
      say({ event: 'over', run: id, connection, kind, status, problem, peakMb: peakMb(), liveMb })
      return
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
