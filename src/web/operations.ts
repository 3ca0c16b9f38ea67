// What machines ask of a process: is it ready, what does it measure. Without signing in: they tell nothing of
// deals or people. The metrics name connections, so they are for this machine, or for whoever has their token.
import { createHash, timingSafeEqual } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Context, Hono } from 'hono'
import { loopback } from '../core/text.ts'
import type { Database } from '../store/db.ts'
import { listRuns } from '../store/runs.ts'
import { addressOf, throughProxy } from './access.ts'
import type { Fleet, Metrics } from './metrics.ts'

export interface Operations {
  readonly role: string
  readonly database: Pick<Database, 'migrated'>
  readonly metrics: Metrics
  readonly fleet: Fleet
  /** UNSTALL_METRICS_TOKEN; null: only this machine may read the metrics. */
  readonly metricsToken: { readonly reveal: () => string } | null
  /** How long a store may take to say that it is there; default 2 s. */
  readonly readyMs?: number
}

const SCRAPE_MS = 20_000

/** To be called before anything that asks people to sign in. */
export function operations(
  web: Hono,
  { role, database, metrics, fleet, metricsToken, readyMs = 2_000 }: Operations,
): void {
  web.get('/healthz', async (c) => {
    try {
      const [last] = await within(listRuns(fleet.db, { limit: 1 }), readyMs)
      return c.json({ ok: true, role, lastRun: last ? { id: last.id, status: last.status } : null })
    } catch {
      return c.json({ ok: false, role, lastRun: null }, 503)
    }
  })

  web.get('/readyz', async (c) => {
    // Why not is in the log: whoever asks here may be anybody.
    const [tables, queue] = await Promise.allSettled([
      within(database.migrated(), readyMs),
      within(fleet.depth(), readyMs),
    ])
    const silent = 'does not answer'
    const found = {
      database: tables.status === 'rejected' ? silent : tables.value ? 'ok' : 'its tables are being brought up to date',
      queue: queue.status === 'rejected' ? silent : 'ok',
    }
    const ready = found.database === 'ok' && found.queue === 'ok'
    return c.json({ ready, ...found }, ready ? 200 : 503)
  })

  web.get('/metrics', async (c) => {
    if (!mayRead(c, metricsToken?.reveal() ?? null)) {
      const todo = metricsToken ? 'send UNSTALL_METRICS_TOKEN as bearer token' : 'set UNSTALL_METRICS_TOKEN'
      c.header('WWW-Authenticate', 'Bearer')
      return c.text(`The metrics are for this machine only: elsewhere, ${todo}.\n`, 401)
    }
    try {
      const text = await within(metrics.scrape(fleet), SCRAPE_MS)
      return c.body(text, 200, { 'Content-Type': metrics.contentType })
    } catch {
      return c.text('The database or the queue does not answer: see /readyz.\n', 503)
    }
  })
}

/** With a token: who sends it. Without: only this machine, not through a proxy on it, and not by a page in its browser that
 *  gave this address a name of its own. */
function mayRead(c: Context, token: string | null): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  if (token !== null) return timingSafeEqual(digest(c.req.header('authorization') ?? ''), digest(`Bearer ${token}`))
  return !throughProxy(c) && loopback(new URL(c.req.url).hostname) && /^(127\.|::1$)/.test(addressOf(c) ?? '')
}

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  const late = delay(ms, undefined, { ref: false }).then(() => {
    throw new Error('no answer in time')
  })
  return Promise.race([work, late])
}
