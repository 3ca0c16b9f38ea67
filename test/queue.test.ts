// The queue on all three homes: steps follow each other, a parked step costs nothing, a killed worker's step comes back,
// a flushed Redis loses nothing, shutting down gives running steps back. Short real waits: BullMQ knows no other clock.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, expect, it, vi } from 'vitest'
import { RetryLater, UsageError } from '../src/errors.ts'
import { type QueueHandlers, type QueueSettings, type StepQueue, startQueue } from '../src/queue.ts'
import { fenced, finishRun, getRun, nextStep, openRuns, Superseded, startStep } from '../src/store/runs.ts'
import { eachHome, flushRedis, type OpenHome, openPlace, postgresServer, redisServer, until } from './homes.ts'
import { startedRun } from './store/fixtures.ts'

const queues: StepQueue[] = []
afterEach(async () => {
  for (const queue of queues.splice(0)) await queue.close(0)
})

/** A queue whose handlers only note what happened; each test replaces what it is about. */
async function start(opened: OpenHome, handlers: Partial<QueueHandlers> = {}, change: Partial<QueueSettings> = {}) {
  const log: string[] = []
  const queue = await startQueue({
    pool: opened.database.pool,
    ...(opened.redisUrl === undefined ? {} : { redisUrl: opened.redisUrl }),
    log: {
      info: (_data, message) => log.push(message),
      warn: (data, message) => log.push(`${message} ${JSON.stringify(data)}`),
    },
    lockMs: 1000,
    stalledCheckMs: 300,
    sweepMs: 60_000,
    ...change,
    handlers: {
      step: async () => {},
      next: async () => null,
      failed: async () => null,
      night: async () => null,
      missed: async () => null,
      open: async () => [],
      ...handlers,
    },
  })
  queues.push(queue)
  return { queue, log }
}

eachHome((home) => {
  it('runs the steps of a run one after the other, and an added step only once', async () => {
    const opened = await home.open()
    const seen: string[] = []
    const gate = Promise.withResolvers<void>()
    const order = ['pull', 'decide', 'apply', 'report']
    const { queue } = await start(opened, {
      step: async (runId, step) => {
        if (step === 'pull') await gate.promise
        seen.push(`${runId}.${step}`)
      },
      next: async () => order[seen.length] ?? null,
    })
    await Promise.all([queue.add('hub-1', 'pull'), queue.add('hub-1', 'pull'), queue.add('hub-1', 'pull')])
    gate.resolve()
    await until(() => seen.length === 4)
    expect(seen).toEqual(['hub-1.pull', 'hub-1.decide', 'hub-1.apply', 'hub-1.report'])
    // A finished step leaves nothing behind: the same one can be added again.
    await queue.add('hub-1', 'pull')
    await until(() => seen.length === 5)
  })

  // BullMQ remembers a failed start for good: its worker then spins, and the process stands still (fault 5).
  if (home.name !== 'PostgreSQL and Redis')
    it('does not start when its database goes away meanwhile, and starts when it is back', async () => {
      const opened = await home.open()
      let calls = 0
      const pool = new Proxy(opened.database.pool, {
        get: (real, name) => {
          // After the migrations of the queue.
          if (name === 'connect' && ++calls > 1) return () => Promise.reject(new Error('the server has gone away'))
          const value: unknown = Reflect.get(real, name)
          return typeof value === 'function' ? value.bind(real) : value
        },
      })
      await expect(start(opened, {}, { pool })).rejects.toThrow('the server has gone away')
      const seen: string[] = []
      const { queue } = await start(opened, { step: async (_, step) => void seen.push(step) })
      await queue.add('hub-1', 'pull')
      await until(() => seen.length === 1)
    })

  // bullmq issue 4814: on the Postgres backend a delayed job was reported as completed without having run.
  it('parks a step on RetryLater without spending an attempt, while others go on', async () => {
    const opened = await home.open()
    const tries: number[] = []
    const seen: string[] = []
    const { queue, log } = await start(
      opened,
      {
        step: async (runId) => {
          if (runId === 'sf-1') return void seen.push(runId)
          tries.push(performance.now())
          if (tries.length < 4) throw new RetryLater('HubSpot said 429', 150)
          seen.push(runId)
        },
        failed: async () => {
          throw new Error('parking is not failing')
        },
      },
      { concurrency: 1 },
    )
    await queue.add('hub-1', 'pull')
    await until(() => tries.length === 1)
    await queue.add('sf-1', 'pull')
    await until(() => seen.includes('hub-1'))
    expect(seen).toEqual(['sf-1', 'hub-1'])
    expect(tries).toHaveLength(4)
    for (const [index, at] of tries.entries()) if (index > 0) expect(at - (tries[index - 1] ?? 0)).toBeGreaterThan(140)
    expect(log.filter((line) => line === 'waiting: HubSpot said 429')).toHaveLength(3)
  })

  it('asks what to do with a step that throws: try again later, or give up', async () => {
    const opened = await home.open()
    const errors: string[] = []
    let tries = 0
    const { queue } = await start(opened, {
      step: async () => {
        tries += 1
        throw tries < 3 ? new Error(`bug ${tries}`) : new Superseded('late')
      },
      failed: async (runId, step, error) => {
        errors.push(`${runId}.${step}: ${error}`)
        return 20
      },
      next: async () => {
        throw new Error('a failed step has no next')
      },
    })
    await queue.add('hub-1', 'pull')
    await until(() => tries === 3)
    expect(errors).toEqual(['hub-1.pull: Error: bug 1', 'hub-1.pull: Error: bug 2'])
  })

  it('goes on after its worker was killed, twice', async () => {
    const where = await home.place()
    const first = await openPlace(where)
    await (await start(first, {}, { concurrency: 0 })).queue.add('hub-1', 'apply')
    await queues.pop()?.close(0)
    await first.close() // one process per directory
    for (const _ of ['first', 'second']) {
      const script = join(import.meta.dirname, 'queue-worker.ts')
      const worker = spawn(process.execPath, [script, JSON.stringify(where)], { stdio: ['ignore', 'pipe', 'inherit'] })
      expect(String(await once(worker.stdout, 'data'))).toBe('took hub-1.apply\n')
      worker.kill('SIGKILL')
      await once(worker, 'exit')
    }
    const opened = await openPlace(where)
    const seen: string[] = []
    await start(opened, { step: async (runId, step) => void seen.push(`${runId}.${step}`) })
    await until(() => seen.length > 0)
    expect(seen).toEqual(['hub-1.apply'])
  })

  it('lets only the newest attempt write when two workers have the same step', async () => {
    const opened = await home.open()
    const { db } = opened.database
    const run = await startedRun(db)
    await fenced(db, run, (trx) => nextStep(trx, run, 'apply'))
    const slow = Promise.withResolvers<void>()
    const effects: string[] = []
    const handler = (worker: string, before: Promise<void>) => async (runId: string) => {
      const mine = await startStep(db, runId, 'apply')
      if (!mine) return
      effects.push(`${worker} started`)
      await before
      await fenced(db, mine, async (trx) => {
        effects.push(`${worker} wrote`)
        await finishRun(trx, mine, 1, { by: worker })
      })
    }
    // Both really run: the queue alone would promise nothing after a lost lock.
    const first = handler('first', slow.promise)(run.id)
    await until(() => effects.length === 1)
    const { queue } = await start(opened, { step: handler('second', Promise.resolve()) })
    await queue.add(run.id, 'apply')
    await until(async () => (await getRun(db, run.id))?.status === 'done')
    slow.resolve()
    await expect(first).rejects.toThrow(Superseded)
    expect(effects).toEqual(['first started', 'second started', 'second wrote'])
  })

  it('adds the step of an open run again when its job is gone, by itself', async () => {
    const opened = await home.open()
    const { db } = opened.database
    const run = await startedRun(db)
    const seen: string[] = []
    await start(
      opened,
      {
        open: () => openRuns(db),
        step: async (runId, step) => {
          seen.push(`${runId}.${step}`)
          const mine = await startStep(db, runId, 'pull')
          if (mine) await finishRun(db, mine, 1, {})
        },
      },
      { sweepMs: 30 },
    )
    await until(() => seen.length > 0)
    expect(seen[0]).toBe(`${run.id}.pull`)
    await until(async () => (await openRuns(db)).length === 0)
  })

  it('does not add a step that waits or is parked', async () => {
    const opened = await home.open()
    const { db } = opened.database
    await startedRun(db)
    let tries = 0
    const { queue, log } = await start(opened, {
      open: () => openRuns(db),
      step: async () => {
        tries += 1
        throw new RetryLater('tomorrow', 60_000)
      },
    })
    await queue.sweep()
    await until(() => tries === 1 && log.includes('waiting: tomorrow'))
    await queue.sweep()
    await queue.sweep()
    expect(log.filter((line) => line.includes('is added again'))).toHaveLength(1)
    expect(tries).toBe(1)
  })

  it('starts a night on schedule, replaces schedules, and tries a night again that could not be opened', async () => {
    const opened = await home.open()
    const nights: string[] = []
    const count = (connection: string) => nights.filter((one) => one === connection).length
    const seen: string[] = []
    const { queue } = await start(opened, {
      night: async (connection) => {
        nights.push(connection)
        if (connection === 'hub' && count('hub') === 1) throw new RetryLater('database away', 50)
        return { runId: `${connection}-1`, step: 'pull' }
      },
      step: async (runId) => void seen.push(runId),
    })
    await queue.schedule([{ connection: 'old', cron: '* * * * * *', timezone: 'UTC' }])
    await queue.schedule([{ connection: 'hub', cron: '* * * * * *', timezone: 'Europe/Paris' }])
    // The first try fails, the second opens the run, the third is the next second's. What was replaced may still have
    // begun meanwhile, but not again.
    await until(() => count('hub') >= 3)
    expect(seen).toContain('hub-1')
    const before = count('old')
    await until(() => count('hub') >= 4)
    expect(count('old')).toBe(before)
    await queue.schedule([])
  })

  it('does not lose a night that came due while no worker was there, when schedules are put anew', async () => {
    const opened = await home.open()
    const due = new Date(Math.ceil(Date.now() / 1000 + 0.4) * 1000)
    const cron = `${due.getUTCSeconds()} ${due.getUTCMinutes()} ${due.getUTCHours()} * * *`
    const nights: string[] = []
    const night: QueueHandlers['night'] = async (connection) => {
      nights.push(connection)
      return null
    }
    const wanted = [{ connection: 'hub', cron, timezone: 'UTC' }]
    // Two schedulers, as after a failover: the second one adds nothing.
    const schedulers = [1, 2].map(() => start(opened, { night }, { concurrency: 0 }))
    const schedule = () => Promise.all(schedulers.map(async (one) => (await one).queue.schedule(wanted)))
    await schedule()
    await until(() => Date.now() > due.getTime() + 100)
    await schedule()
    await start(opened, { night })
    await until(() => nights.length > 0)
    expect(nights).toEqual(['hub'])
  })

  it('opens a night that nothing opened, late and once, when it can', async () => {
    const opened = await home.open()
    const asked: string[] = []
    const seen: string[] = []
    const { queue, log } = await start(
      opened,
      {
        missed: async (connection, lateMs) => {
          asked.push(connection)
          expect(lateMs).toBeLessThan(61_000)
          if (asked.length === 1) throw new RetryLater('hub-0 is not over', 40)
          return { runId: 'hub-1', step: 'pull' }
        },
        step: async (runId, step) => void seen.push(`${runId}.${step}`),
      },
      { lateMs: 0, sweepMs: 10 },
    )
    // Due a second ago.
    const before = new Date(Date.now() - 1000)
    const cron = `${before.getUTCSeconds()} ${before.getUTCMinutes()} ${before.getUTCHours()} * * *`
    await queue.schedule([{ connection: 'hub', cron, timezone: 'UTC' }])
    await until(() => seen.length > 0)
    await queue.sweep()
    await queue.sweep()
    expect({ asked, seen }).toEqual({ asked: ['hub', 'hub'], seen: ['hub-1.pull'] })
    expect(log.filter((line) => line.startsWith('this night was missed'))).toHaveLength(1)
  })

  it('looks for missed nights also after the clock was set back', async () => {
    const opened = await home.open()
    let asked = 0
    const missed = async () => {
      asked += 1
      return null
    }
    const { queue } = await start(opened, { missed }, { lateMs: 0, sweepMs: 0 })
    const before = new Date(Date.now() - 5000)
    const cron = `${before.getUTCSeconds()} ${before.getUTCMinutes()} ${before.getUTCHours()} * * *`
    await queue.schedule([{ connection: 'hub', cron, timezone: 'UTC' }])
    const fast = Date.now() + 3 * 86_400_000
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => fast)
    await queue.sweep().finally(() => clock.mockRestore())
    expect(asked).toBe(1)
    await queue.sweep()
    await queue.sweep()
    expect(asked).toBe(2)
  })

  it('waits for running steps when it closes, then aborts them and gives them back', async () => {
    const opened = await home.open()
    const seen: string[] = []
    const quick = Promise.withResolvers<void>()
    const { queue, log } = await start(opened, {
      step: async (runId, _step, signal) => {
        seen.push(`${runId} started`)
        if (runId === 'quick') await quick.promise
        else await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        seen.push(`${runId} done`)
      },
      failed: async () => {
        throw new Error('an abort is not a failure')
      },
    })
    await queue.add('quick', 'apply')
    await queue.add('slow', 'apply')
    await until(() => seen.length === 2)
    setTimeout(quick.resolve, 30)
    await queue.close(150)
    expect(seen.slice(2)).toEqual(['quick done'])
    expect(log).toEqual([])
    const again: string[] = []
    await start(opened, { step: async (runId) => void again.push(runId) }, { stalledCheckMs: 60_000 })
    await until(() => again.length === 1)
    expect(again).toEqual(['slow'])
  })

  it('does not take a step that ends in good order, longer than a lock lives, for one that stood still', async () => {
    const opened = await home.open()
    const ends: string[] = []
    const { queue } = await start(
      opened,
      {
        step: async (_run, _step, signal) => {
          ends.push('begun')
          await new Promise((resolve) => setTimeout(resolve, 1_200))
          queue.awake() // as before each call
          ends.push(signal.aborted ? 'aborted' : 'in good order')
        },
      },
      { lockMs: 1_000, stalledCheckMs: 60_000 },
    )
    await queue.add('hub-1', 'apply')
    await until(() => ends.length === 1)
    await queue.close(5_000)
    expect(ends).toEqual(['begun', 'in good order'])
  })

  if (home.name === 'PostgreSQL and Redis') {
    it('is put together again from the database after a flush: runs and schedules', async () => {
      const opened = await home.open()
      const { db } = opened.database
      const run = await startedRun(db)
      let tries = 0
      const { queue, log } = await start(opened, {
        open: () => openRuns(db),
        step: async () => {
          tries += 1
          throw new RetryLater('later', 60_000)
        },
      })
      await queue.schedule([{ connection: 'hub', cron: '0 2 * * *', timezone: 'UTC' }])
      await queue.add(run.id, 'pull')
      await until(() => log.includes('waiting: later'))
      await flushRedis(opened.redisUrl ?? '')
      await queue.sweep()
      await until(() => tries === 2)
      const client = new Redis(opened.redisUrl ?? '')
      expect(await client.zrange('bull:steps:repeat', '0', '-1')).toEqual(['night.hub'])
      await client.quit()
    })

    it('is refused when it may throw jobs away', async () => {
      const opened = await home.open()
      const client = new Redis((await redisServer()).url)
      await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
      await expect(start(opened)).rejects.toThrow(UsageError)
      await expect(start(opened)).rejects.toThrow('"maxmemory-policy noeviction"')
      await client.config('SET', 'maxmemory-policy', 'noeviction')
      await client.quit()
    })
  }

  if (home.name !== 'embedded') {
    it('goes on when its server crashed and is back', async () => {
      const opened = await home.open()
      const { db } = opened.database
      const run = await startedRun(db)
      const server = await (opened.redisUrl === undefined ? postgresServer() : redisServer())
      const seen: string[] = []
      await start(
        opened,
        {
          open: () => openRuns(db),
          step: async (runId) => {
            seen.push(runId)
            if (seen.length === 1) {
              await server.kill()
              await server.start()
            }
            const mine = await startStep(db, runId, 'pull')
            if (mine && seen.length > 1) await finishRun(db, mine, 1, {})
          },
          failed: async () => 20,
        },
        { sweepMs: 100 },
      )
      await until(async () => seen.length > 1 && (await getRun(db, run.id))?.status === 'done', 15_000)
    })
  }
})
