// The queue: one job per run, named by its next step. Which step that is stands in the run row; the queue only carries
// it to a worker, gives it back when that worker dies, parks it on RetryLater, and starts the nights on schedule.
// The only file that knows BullMQ and Redis. All times here are the machine's own: BullMQ knows no other clock.
import { setTimeout as delay } from 'node:timers/promises'
import type { Job, Processor, RepeatOptions } from 'bullmq'
import { createPostgresBackend, DelayedError, isPgPool, Queue, runMigrations, WaitingError, Worker } from 'bullmq'
import type { Hono } from 'hono'
import { Redis } from 'ioredis'
import { RetryLater, UsageError } from './errors.ts'
import { lastDue, lastNight, nextNight } from './schedule.ts'
import type { Pool } from './store/db.ts'
import { Superseded } from './store/runs.ts'

type Say = (data: object, message: string) => void
type Log = { readonly info: Say; readonly warn: Say }

export interface QueueHandlers {
  /** One step of a run. A step that is not the run's next returns at once. Throwing RetryLater parks the job, Superseded
   *  ends it quietly, anything else goes to `failed`. */
  readonly step: (runId: string, step: string, signal: AbortSignal) => Promise<void>
  /** The run's next step, or null when it is not open. */
  readonly next: (runId: string) => Promise<string | null>
  /** A step threw: records it and returns the milliseconds until the next attempt, or null when the run was given up. */
  readonly failed: (runId: string, step: string, error: unknown) => Promise<number | null>
  /** The night of this connection was due `lateMs` ago: opens its run (or finds it already open or done: null). */
  readonly night: (
    connection: string,
    lateMs: number,
  ) => Promise<{ readonly runId: string; readonly step: string } | null>
  /** What `night` does, asked by the watchdog; null as well when the connection was not known before it was due. */
  readonly missed: QueueHandlers['night']
  /** All open runs, for the sweeper. */
  readonly open: () => Promise<readonly { readonly id: string; readonly step: string }[]>
}

export interface QueueSettings {
  /** Database of the Postgres backend; not used when `redisUrl` is set. */
  readonly pool: Pool
  readonly redisUrl?: string
  readonly handlers: QueueHandlers
  readonly log: Log
  /** Runs at a time in this process. 0: no worker here (roles scheduler and web). Default 4. */
  readonly concurrency?: number
  /** How long a dead worker keeps its job (default 8 s), how often that is checked (3 s), how often we sweep (5 s; 0: not
   *  by itself), and how late a night must be before the watchdog opens it (5 minutes). */
  readonly lockMs?: number
  readonly stalledCheckMs?: number
  readonly sweepMs?: number
  readonly lateMs?: number
}

/** `cron`: five fields, in `timezone`. */
export type Night = { readonly connection: string; readonly cron: string; readonly timezone: string }

export interface StepQueue {
  /** Adding a step that already waits or runs does nothing. */
  add(runId: string, step: string): Promise<void>
  /** Replaces all schedules; they are put back by the sweeper when the queue's store was flushed. */
  schedule(nights: readonly Night[]): Promise<void>
  /** Re-adds the next step of every open run whose job is gone, puts schedules back, and opens nights that were missed:
   *  late, once, while less than a day old. Runs by itself every few seconds. */
  sweep(): Promise<void>
  /** Aborts the running steps if this process stood still (stopped, suspended) longer than its locks live: by now another
   *  worker may have taken them over, and a call that still leaves could double its writes. */
  awake(): void
  /** Pages that show the queue below this path, and change nothing: which step comes next stands in the run row. */
  board(basePath: string): Promise<Hono>
  /** Jobs by state: waiting, running, parked until a moment. Rejects when the queue's store does not answer. */
  depth(): Promise<Readonly<Record<'waiting' | 'active' | 'delayed', number>>>
  /** Waits up to `graceMs` (default 8 s) for running steps, then aborts their signal and gives them back. */
  close(graceMs?: number): Promise<void>
}

const QUEUE = 'steps'
const NIGHT = 'night'
const RETRY_MS = 5_000 // a failure that could not even be recorded (database away), a night that could not be opened
const ABORT_MS = 1_000 // for handlers to notice an abort
/** So late the queue is not merely busy: this night was missed (all was down, its schedule was new or lost). */
const LATE_MS = 300_000
const REDIS_MS = 10_000
/** Longer than BullMQ's longest blocking call (10 s): a Redis that says nothing is connected to anew. */
const REDIS_SILENT_MS = 30_000
// A kept job of the same id would make `add` do nothing; the dead letters live in the run row.
const FORGET = { removeOnComplete: true, removeOnFail: true }

/** Creates BullMQ's own tables (schema `bullmq`) where they are missing or older. Not needed with Redis. */
export async function prepareQueue(pool: Pool): Promise<void> {
  const client = await pool.connect()
  await runMigrations(client).finally(() => client.release())
}

/** Throws UsageError when Redis may evict jobs. */
export async function startQueue(settings: QueueSettings): Promise<StepQueue> {
  const { handlers, log, concurrency = 4 } = settings
  const redis = settings.redisUrl === undefined ? null : await openRedis(settings.redisUrl, log)
  // pg's own types do not fit BullMQ's description of them; its guard does.
  const pool: unknown = settings.pool
  if (!isPgPool(pool)) throw new TypeError('the queue needs a database pool')
  if (!redis) await prepareQueue(settings.pool)

  const streams = { events: { maxLen: 100 } }
  const scheduling = {
    repeatStrategy: (after: number, { pattern, tz = 'UTC' }: RepeatOptions) =>
      pattern === undefined ? undefined : nextNight(after, pattern, tz),
  }
  const queue = redis
    ? new Queue(QUEUE, { streams, settings: scheduling, connection: redis })
    : new Queue(QUEUE, { streams, settings: scheduling, connection: pool }, createPostgresBackend)
  const add = async (runId: string, step: string): Promise<void> => {
    await queue.add('step', { runId, step }, { ...FORGET, jobId: `${runId}.${step}` })
  }

  // No default value for the signal: BullMQ counts the parameters and hands none to a function of two.
  const process: Processor = async (job, token, given) => {
    const signal = given ?? new AbortController().signal
    const { connection, runId, step }: { connection: string; runId: string; step: string } = job.data
    try {
      if (job.name !== NIGHT) await handlers.step(runId, step, signal)
      const night = job.name === NIGHT
      const next = night ? await handlers.night(connection, lateMs(job)) : { runId, step: await handlers.next(runId) }
      if (next?.step) await add(next.runId, next.step)
    } catch (error) {
      const about = job.name === NIGHT ? { connection } : { run: runId, step }
      if (error instanceof Superseded) return log.info(about, 'another worker has taken over')
      if (signal.aborted) {
        await job.moveToWait(token)
        throw new WaitingError()
      }
      let ms: number | null = RETRY_MS
      if (error instanceof RetryLater) {
        ms = error.afterMs
        log.info({ ...about, seconds: Math.ceil(ms / 1000) }, `waiting: ${error.message}`)
      } else if (job.name === NIGHT)
        log.warn({ ...about, error: words(error) }, 'the night could not be opened and is tried again')
      else
        ms = await handlers.failed(runId, step, error).catch((failure: unknown) => {
          if (failure instanceof Superseded) return null
          log.warn({ ...about, error: words(failure) }, 'a failed step could not be recorded')
          return RETRY_MS
        })
      if (ms === null) return
      await job.moveToDelayed(Date.now() + ms, token)
      throw new DelayedError()
    }
  }

  const options = {
    settings: scheduling,
    concurrency,
    autorun: false, // below
    lockDuration: settings.lockMs ?? 8_000,
    stalledInterval: settings.stalledCheckMs ?? 3_000,
    // Being killed is not the job's fault: BullMQ would fail it for good at the second time.
    maxStalledCount: 1_000_000,
    // After an error of the store itself; BullMQ's 15 s would come on top of every restart of a server.
    runRetryDelay: 2_000,
  }
  const newWorker = () =>
    redis
      ? new Worker(QUEUE, process, { ...options, connection: redis })
      : new Worker(QUEUE, process, { ...options, connection: pool }, createPostgresBackend)
  const worker = concurrency > 0 ? newWorker() : null
  const onError = (error: Error) => log.warn({ error: error.message }, 'queue')
  queue.on('error', onError)
  worker?.on('error', onError)
  worker?.on('lockRenewalFailed', (ids: string[]) => {
    for (const id of ids) worker.cancelJob(id, 'the lock of this job was lost')
  })
  // BullMQ remembers for good that its database went away before it was ready: every later call then fails at once, and
  // the loop of a worker spins without ever letting the process do anything else.
  try {
    await Promise.all([queue.waitUntilReady(), worker?.waitUntilReady()])
  } catch (error) {
    await within(Promise.allSettled([worker?.close(true), queue.close()]), ABORT_MS)
    redis?.disconnect()
    throw error
  }
  worker?.run().catch(onError)

  let beat = Date.now()
  const awake = () => {
    const stood = Date.now() - beat
    beat = Date.now()
    if (stood < options.lockDuration) return
    log.warn({ seconds: Math.round(stood / 1000) }, 'this process stood still: its steps are given back')
    worker?.cancelAllJobs('this process stood still')
  }
  const pulse = setInterval(awake, options.lockDuration / 8).unref()

  let nights: readonly Night[] = []
  const idOf = (night: Night) => `${NIGHT}.${night.connection}`
  const putNight = async (night: Night): Promise<void> => {
    const job = { name: NIGHT, data: night, opts: FORGET }
    const { cron: pattern, timezone: tz } = night
    try {
      await queue.upsertJobScheduler(idOf(night), { pattern, tz }, job)
    } catch (error) {
      // Another process was faster with the very same: BullMQ refuses the second job of one instant.
      const there = await queue.getJobScheduler(idOf(night))
      if (there?.pattern !== pattern || there.tz !== tz) throw error
    }
  }
  /** It came due while nobody worked, and waits: putting its schedule anew would throw it away. */
  const isDue = async (night: Night): Promise<boolean> => {
    const { next = Infinity, pattern, tz } = (await queue.getJobScheduler(idOf(night))) ?? {}
    const same = next <= Date.now() && pattern === night.cron && tz === night.timezone
    return same && (await queue.getJob(`repeat:${idOf(night)}:${next}`)) !== undefined
  }

  /** When it was looked whether the last night of a connection was opened, and when to look next. */
  const looked = new Map<string, { readonly at: number; readonly again: number }>()
  const { lateMs: late = LATE_MS } = settings
  const watch = async ({ connection, cron, timezone }: Night): Promise<void> => {
    const now = Date.now()
    const last = looked.get(connection)
    // Not if this clock was set back since.
    if (last && now >= last.at && now < last.again) return
    const due = lastDue(now, cron, timezone)
    let again = nextNight(now, cron, timezone) + late
    if (due !== null && now < due + late) again = due + late
    else if (due !== null)
      try {
        const night = await handlers.missed(connection, now - due)
        if (night) {
          log.warn({ connection, run: night.runId }, 'this night was missed and is caught up with')
          await add(night.runId, night.step)
        }
      } catch (error) {
        again = now + (error instanceof RetryLater ? error.afterMs : RETRY_MS)
        log.warn({ connection, error: words(error) }, 'a missed night could not be opened and is tried again')
      }
    looked.set(connection, { at: now, again })
  }

  const sweep = async (): Promise<void> => {
    for (const { id, step } of await handlers.open()) {
      // Looked up first: BullMQ records an event for every doubled add.
      if (await queue.getJob(`${id}.${step}`)) continue
      log.info({ run: id, step }, 'the job of this run was gone and is added again')
      await add(id, step)
    }
    if ((await queue.getJobSchedulersCount()) !== nights.length)
      for (const night of nights) if (!(await queue.getJobScheduler(idOf(night)))) await putNight(night)
    for (const night of nights) await watch(night)
  }
  let sweeping: Promise<void> | null = null
  const sweepNow = () => {
    sweeping ??= sweep()
      .catch((error: unknown) => log.warn({ error: words(error) }, 'the sweep failed and is tried again'))
      .finally(() => {
        sweeping = null
      })
  }
  const { sweepMs = 5_000 } = settings
  const sweeper = sweepMs > 0 ? setInterval(sweepNow, sweepMs).unref() : undefined

  return {
    add,
    sweep,
    awake,
    async depth() {
      const { waiting = 0, prioritized = 0, active = 0, delayed = 0 } = await queue.getJobCounts()
      return { waiting: waiting + prioritized, active, delayed }
    },
    async schedule(wanted) {
      nights = wanted
      looked.clear()
      const keep = wanted.map(idOf)
      for (const { key } of await queue.getJobSchedulers()) if (!keep.includes(key)) await queue.removeJobScheduler(key)
      for (const night of wanted) if (!(await isDue(night))) await putNight(night)
      if (sweeper) sweepNow() // what was missed while nobody was here
    },
    async board(basePath) {
      const [{ serveStatic }, { createBullBoard }, { BullMQAdapter }, { HonoAdapter }] = await Promise.all([
        import('@hono/node-server/serve-static'),
        import('@bull-board/api'),
        import('@bull-board/api/bullMQAdapter'),
        import('@bull-board/hono'),
      ])
      const serverAdapter = new HonoAdapter(serveStatic).setBasePath(basePath)
      // Its type knows queues on Redis only; the adapter itself asks for no more than this.
      const any: unknown = queue
      if (any instanceof Queue)
        createBullBoard({ queues: [new BullMQAdapter(any, { readOnlyMode: true })], serverAdapter })
      return serverAdapter.registerPlugin()
    },
    async close(graceMs = 8_000) {
      clearInterval(sweeper)
      const closed = Promise.all([worker?.close(), sweeping])
      if (!(await within(closed, graceMs))) {
        worker?.cancelAllJobs('shutting down')
        await within(closed, ABORT_MS)
      }
      clearInterval(pulse) // not before: a step that ends in good order must not look like one that stood still
      await within(queue.close(), ABORT_MS)
      redis?.disconnect()
    },
  }
}

async function openRedis(url: string, log: Log): Promise<Redis> {
  const redis = new Redis(url, { maxRetriesPerRequest: null, socketTimeout: REDIS_SILENT_MS })
  redis.on('error', (error: Error) => log.warn({ error: error.message }, 'Redis'))
  const info = redis.info('memory')
  info.catch(() => {}) // seen below; after `disconnect` nobody waits for it
  // Refused at start; later it is waited for.
  const answered = await within(info, REDIS_MS)
  if (answered && /^maxmemory_policy:noeviction/m.test(await info)) return redis
  redis.disconnect()
  const evicts = 'may throw away jobs: set "maxmemory-policy noeviction"'
  const problem = answered ? evicts : `did not answer within ${REDIS_MS / 1000} s`
  throw new UsageError(`The Redis of REDIS_URL (${new URL(url).host}) ${problem}.`)
}

/** How long ago the night of this job was due. */
function lateMs({ opts: { prevMillis }, data }: Job<Night>): number {
  const now = Date.now()
  return prevMillis === undefined ? 0 : now - lastNight(prevMillis, now, data.cron, data.timezone)
}

const words = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** False when `work` did not end in time (it goes on). */
async function within(work: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController()
  const late = delay(ms, false, { signal: timer.signal })
  return Promise.race([work.then(() => true), late]).finally(() => timer.abort())
}
