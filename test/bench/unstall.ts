// unstall in a process of its own: the real app with its queue and store does one night, and says what it cost.
import { once } from 'node:events'
import { createWriteStream, readFileSync } from 'node:fs'
import { openNight } from '../../jobs/nightly.ts'
import { type App, openApp } from '../../src/app.ts'
import type { DealId, Known } from '../../src/core/deal.ts'
import { createLog } from '../../src/log.ts'
import { ensureConnection, updateConnection } from '../../src/store/connections.ts'
import { getRun, type Run } from '../../src/store/runs.ts'
import { NIGHTS } from './deals.ts'
import type { System } from './minimum.ts'

export interface UnstallOrder {
  readonly config: string
  readonly connection: string
  readonly system: System
  readonly speed: number
  /** `first`: a night that is confirmed already. `dump`: what the store holds, into `file`. */
  readonly work: 'setup' | 'first' | 'second' | 'third' | 'dump'
  readonly file?: string
}
export interface Cost {
  readonly wallS: number
  readonly cpuS: number
  readonly peakMb: number
  /** Why it did not get to its end, if so. */
  readonly problem?: string | undefined
}

/** Most memory (resident) this process has held; `maxRSS` would start with what its parent held. */
export const peakMb = () => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024
export function costSince(begun: number, problem?: string): Cost {
  const { user, system } = process.cpuUsage()
  return { wallS: (performance.now() - begun) / 1000, cpuS: (user + system) / 1e6, peakMb: peakMb(), problem }
}

/** The app's own pace where HubSpot's headers do not tell of a faster sandbox: at its start, and of searches. */
const paceAt = (speed: number, system: System) =>
  system === 'salesforce'
    ? { normal: { max: 60 * speed, windowMs: 1000, burst: 10 } }
    : { normal: { max: 90, windowMs: 10_000 / speed }, search: { max: 4, windowMs: 1000 / speed, burst: 1 } }

export async function work({ config, connection, system, speed, work, file = '' }: UnstallOrder): Promise<Cost> {
  const app = await openApp(config, {
    patienceMs: 3_600_000,
    log: createLog('warn'),
    ...(speed === 1 ? {} : { pace: paceAt(speed, system) }),
  })
  const begun = performance.now()
  try {
    if (work === 'dump') await dump(app, connection, file)
    else if (work === 'setup') {
      const connector = await app.ctx.connector(connection)
      for await (const step of connector.setup(new AbortController().signal))
        if (step.action === 'conflict') throw new Error(step.what)
    } else if (work === 'third') await night(app, connection, NIGHTS[2])
    else if (work === 'second') {
      // One of the seven nights over which a round over all ids is spread: those in between are not measured.
      await updateConnection(app.ctx.db, connection, { census: { since: NIGHTS[1] - 86_400_000, after: null } })
      await night(app, connection, NIGHTS[1])
    } else {
      // A person who has seen the preview confirms it: the arithmetic of performance knows one whole night.
      await ensureConnection(app.ctx.db, connection, app.connection(connection).system)
      await updateConnection(app.ctx.db, connection, { confirmedAt: NIGHTS[0] })
      await night(app, connection, NIGHTS[0])
    }
    return costSince(begun)
  } catch (error) {
    return costSince(begun, String(error))
  } finally {
    await app.close()
  }
}

async function night(app: App, name: string, now: number): Promise<Run> {
  const { system, settings } = app.connection(name)
  const opened = await openNight(app.ctx, { connection: name, system, settings, kind: 'manual', now })
  if ('busy' in opened) throw new Error(`${opened.busy.id} is in the way`)
  await app.queue.add(opened.run.id, opened.run.step)
  for (;;) {
    const run = await getRun(app.ctx.db, opened.run.id)
    if (run?.status === 'done') return run
    if (run?.status !== 'open') throw new Error(`${opened.run.id}: ${run?.problem}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** One line a deal: id, stage, amount, close date. */
async function dump({ ctx: { db } }: App, connection: string, file: string): Promise<void> {
  const out = createWriteStream(file)
  for (let after: DealId | null = null; ; ) {
    const live = db.selectFrom('deal').where('connection', '=', connection).where('gone', '=', false)
    const some = live
      .where('id', '>', after ?? '')
      .orderBy('id')
      .limit(1000)
    const rows: readonly Pick<Known, 'ref' | 'deal'>[] = (await some.select('known').execute()).map((row) => row.known)
    for (const {
      ref: { id },
      deal,
    } of rows) {
      const { stageId, amount, closeDate } = deal
      if (!out.write(`${[id, stageId, amount, closeDate].join('|')}\n`)) await once(out, 'drain')
    }
    after = rows.at(-1)?.ref.id ?? null
    if (after === null) break
  }
  out.end()
  await once(out, 'close')
}

if (process.argv[1] === import.meta.filename) {
  process.send?.(await work(JSON.parse(process.argv[2] ?? '')))
  process.exit()
}
