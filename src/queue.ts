// The queue: one job per run, named by its next step. Which step that is stands in the run row; the queue only carries
// it to a worker, gives it back when that worker dies, parks it on RetryLater, and starts the nights on schedule.
// The only file that knows BullMQ and Redis. All times here are the machine's own: BullMQ knows no other clock.
import {
  createPostgresBackend,
  DelayedError,
  isPgPool,
  type Job,
  Queue,
  type QueueOptions,
  runMigrations,
  WaitingError,
  Worker,
  type WorkerOptions,
} from 'bullmq'
import { Redis } from 'ioredis'
import { RetryLater, UsageError } from './errors.ts'
import type { Pool } from './store/db.ts'
import { Superseded } from './store/runs.ts'

export interface QueueLog {
  info(data: object, message: string): void
  warn(data: object, message: string): void
}

export interface QueueHandlers {
  /** One step of a run. A step that is not the run's next returns at once. Throwing RetryLater parks the job, Superseded
   *  ends it quietly, anything else goes to `failed`. */
  readonly step: (runId: string, step: string, signal: AbortSignal) => Promise<void>
  /** The run's next step, or null when it is not open. */
  readonly next: (runId: string) => Promise<string | null>
  /** A step threw: records it and returns the milliseconds until the next attempt, or null when the run was given up. */
  readonly failed: (runId: string, step: string, error: unknown) => Promise<number | null>
  /** It is time for the night of this connection: opens its run (or finds it already open or done: null). */
  readonly night: (connection: string) => Promise<{ readonly runId: string; readonly step: string } | null>
  /** All open runs, for the sweeper. */
  readonly open: () => Promise<readonly { readonly id: string; readonly step: string }[]>
}

export interface QueueSettings {
  /** Database of the Postgres backend; not used when `redisUrl` is set. */
  readonly pool: Pool
  readonly redisUrl?: string
  readonly handlers: QueueHandlers
  readonly log: QueueLog
  /** Runs at a time in this process. 0: no worker here (roles scheduler and web). Default 4. */
  readonly concurrency?: number
  /** How long a dead worker keeps its job (default 8 s), how often that is checked (3 s), how often we sweep (5 s). */
  readonly lockMs?: number
  readonly stalledCheckMs?: number
  readonly sweepMs?: number
}

export interface Night {
  readonly connection: string
  /** Five fields, in `timezone`. */
  readonly cron: string
  readonly timezone: string
}

export interface StepQueue {
  /** Adding a step that already waits or runs does nothing. */
  add(runId: string, step: string): Promise<void>
  /** Replaces all schedules; they are put back by the sweeper when the queue's store was flushed. */
  schedule(nights: readonly Night[]): Promise<void>
  /** Re-adds the next step of every open run whose job is gone. Runs by itself every few seconds. */
  sweep(): Promise<void>
  /** Waits up to `graceMs` (default 8 s) for running steps, then aborts their signal and gives them back. */
  close(graceMs?: number): Promise<void>
}

type StepData = { readonly runId: string; readonly step: string }
type NightData = { readonly connection: string }

const QUEUE = 'steps'
const NIGHT = 'night'
/** A step whose failure could not even be recorded (database away), or a night that could not be opened. */
const RETRY_MS = 5_000
/** After an abort: for handlers to notice it. */
const ABORT_MS = 1_500
const REDIS_MS = 10_000
// A kept job of the same id would make `add` do nothing; the dead letters live in the run row.
const FORGET = { removeOnComplete: true, removeOnFail: true }

/** Creates BullMQ's own tables (schema `bullmq`) where they are missing or older. Not needed with Redis. */
export async function prepareQueue(pool: Pool): Promise<void> {
  const client = await pool.connect()
  try {
    await runMigrations(client)
  } finally {
    client.release()
  }
}

/** Throws UsageError when Redis may evict jobs. */
export async function startQueue(settings: QueueSettings): Promise<StepQueue> {
  const { handlers, log } = settings
  const redis = settings.redisUrl === undefined ? null : await openRedis(settings.redisUrl, log)
  // pg's own types do not fit BullMQ's description of them; its guard does.
  const pool: unknown = settings.pool
  if (!isPgPool(pool)) throw new TypeError('the queue needs a database pool')
  if (!redis) await prepareQueue(settings.pool)

  const queueOptions = { streams: { events: { maxLen: 100 } } } satisfies Partial<QueueOptions>
  const queue = redis
    ? new Queue(QUEUE, { ...queueOptions, connection: redis })
    : new Queue(QUEUE, { ...queueOptions, connection: pool }, createPostgresBackend)
  const onError = (error: Error) => log.warn({ error: error.message }, 'queue')
  queue.on('error', onError)

  const add = async (runId: string, step: string): Promise<void> => {
    await queue.add('step', { runId, step } satisfies StepData, { ...FORGET, jobId: `${runId}.${step}` })
  }

  const process = async (job: Job, token: string | undefined, signal: AbortSignal | undefined): Promise<void> => {
    const park = async (ms: number): Promise<never> => {
      await job.moveToDelayed(Date.now() + ms, token)
      throw new DelayedError()
    }
    if (job.name === NIGHT) {
      const { connection }: NightData = job.data
      const first = await handlers.night(connection).catch((error: unknown) => {
        log.warn({ connection, error: words(error) }, 'the night could not be opened and is tried again')
        return park(RETRY_MS)
      })
      if (first) await add(first.runId, first.step)
      return
    }
    const { runId, step }: StepData = job.data
    try {
      await handlers.step(runId, step, signal ?? new AbortController().signal)
    } catch (error) {
      if (error instanceof Superseded) {
        log.info({ run: runId, step }, 'another worker has taken over')
        return
      }
      if (signal?.aborted) {
        await job.moveToWait(token)
        throw new WaitingError()
      }
      if (error instanceof RetryLater) {
        log.info({ run: runId, step, seconds: Math.ceil(error.afterMs / 1000) }, `waiting: ${error.message}`)
        return park(error.afterMs)
      }
      const retryMs = await handlers.failed(runId, step, error).catch((failure: unknown) => {
        if (failure instanceof Superseded) return null
        log.warn({ run: runId, step, error: words(failure) }, 'a failed step could not be recorded')
        return RETRY_MS
      })
      if (retryMs !== null) return park(retryMs)
      return
    }
    const next = await handlers.next(runId)
    if (next !== null) await add(runId, next)
  }

  const concurrency = settings.concurrency ?? 4
  const workerOptions = {
    concurrency: Math.max(1, concurrency),
    lockDuration: settings.lockMs ?? 8_000,
    stalledInterval: settings.stalledCheckMs ?? 3_000,
    // Being killed is not the job's fault: BullMQ would fail it for good at the second time.
    maxStalledCount: 1_000_000,
    // After an error of the store itself; BullMQ's 15 s would come on top of every restart of a server.
    runRetryDelay: 2_000,
  } satisfies Partial<WorkerOptions>
  const worker =
    concurrency === 0
      ? null
      : redis
        ? new Worker(QUEUE, process, { ...workerOptions, connection: redis })
        : new Worker(QUEUE, process, { ...workerOptions, connection: pool }, createPostgresBackend)
  worker?.on('error', onError)
  worker?.on('lockRenewalFailed', (ids: string[]) => {
    for (const id of ids) worker.cancelJob(id, 'the lock of this job was lost')
  })

  let nights: readonly Night[] = []
  const putNight = async ({ connection, cron, timezone }: Night): Promise<void> => {
    const data: NightData = { connection }
    await queue.upsertJobScheduler(
      `${NIGHT}.${connection}`,
      { pattern: cron, tz: timezone },
      { name: NIGHT, data, opts: FORGET },
    )
  }

  const sweep = async (): Promise<void> => {
    for (const { id, step } of await handlers.open()) {
      // Looked up first: BullMQ records an event for every doubled add.
      if (await queue.getJob(`${id}.${step}`)) continue
      log.info({ run: id, step }, 'the job of this run was gone and is added again')
      await add(id, step)
    }
    for (const night of nights) {
      if (!(await queue.getJobScheduler(`${NIGHT}.${night.connection}`))) await putNight(night)
    }
  }
  let sweeping = false
  const sweeper = setInterval(() => {
    if (sweeping) return
    sweeping = true
    sweep()
      .catch((error: unknown) => log.warn({ error: words(error) }, 'the sweep failed and is tried again'))
      .finally(() => {
        sweeping = false
      })
  }, settings.sweepMs ?? 5_000)
  sweeper.unref()

  const close = async (graceMs = 8_000): Promise<void> => {
    clearInterval(sweeper)
    if (worker) {
      const closed = worker.close()
      if (!(await within(closed, graceMs))) {
        worker.cancelAllJobs('shutting down')
        await within(closed, ABORT_MS)
      }
    }
    await within(queue.close(), ABORT_MS)
    redis?.disconnect()
  }

  return {
    add,
    async schedule(wanted) {
      nights = wanted
      const keep = new Set(wanted.map((night) => `${NIGHT}.${night.connection}`))
      for (const { key } of await queue.getJobSchedulers()) if (!keep.has(key)) await queue.removeJobScheduler(key)
      for (const night of wanted) await putNight(night)
    },
    sweep,
    close,
  }
}

async function openRedis(url: string, log: QueueLog): Promise<Redis> {
  const redis = new Redis(url, { maxRetriesPerRequest: null })
  redis.on('error', (error: Error) => log.warn({ error: error.message }, 'Redis'))
  const info = redis.info('memory')
  info.catch(() => {}) // seen below; after `disconnect` nobody waits for it
  // Refused at start; later it is waited for.
  const problem = (await within(info, REDIS_MS))
    ? /^maxmemory_policy:noeviction/m.test(await info)
      ? null
      : 'may throw away jobs: set "maxmemory-policy noeviction"'
    : `did not answer within ${REDIS_MS / 1000} s`
  if (problem === null) return redis
  redis.disconnect()
  throw new UsageError(`The Redis of REDIS_URL (${new URL(url).host}) ${problem}.`)
}

const words = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** False when `work` did not end in time (it goes on). */
async function within(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, ms, false)
  })
  return Promise.race([work.then(() => true), late]).finally(() => clearTimeout(timer))
}
