// `unstall start`: the service. Scheduler and workers in one process, and /healthz for whoever watches it.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { openApp } from '../app.ts'
import { createDigests } from '../digest/deliver.ts'
import { UsageError } from '../errors.ts'
import { listRuns } from '../store/runs.ts'
import { createMetrics } from '../web/metrics.ts'
import { operations } from '../web/operations.ts'
import { digestService } from './digest.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, leaveBy, printJson, say } from './output.ts'

export async function start(options: GlobalOptions & { role?: unknown; pretty?: true }): Promise<ExitCode> {
  if (options.role !== 'all')
    throw new UsageError(
      `--role ${String(options.role)} is not built yet; leave it out to run everything in one process.`,
    )
  const told = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const metrics = createMetrics()
  metrics.watchProcess()
  const { pretty } = options
  const app = await openApp(options.config, { scheduled: true, pretty, called: metrics.called })
  const { host, port } = app.config.environment
  const web = new Hono()
  const { ctx, database, queue } = app
  const fleet = { db: ctx.db, clock: ctx.clock, connections: app.config.connections, depth: () => queue.depth() }
  operations(web, { database, metrics, fleet, metricsToken: app.config.environment.metricsToken })
  const endDigests = createDigests(digestService(app)).start()
  web.get('/healthz', async (c) => {
    const [last] = await listRuns(app.ctx.db, { limit: 1 })
    return c.json({ ok: true, lastRun: last ? { id: last.id, status: last.status } : null })
  })
  const server = serve({ fetch: web.fetch, hostname: host, port })
  const listening = await new Promise<boolean>((resolve) => {
    server.once('listening', () => resolve(true))
    server.once('error', () => resolve(false))
  })
  if (!listening) {
    await endDigests()
    await app.close()
    throw new UsageError(`Port ${port} of ${host} is taken. Set UNSTALL_PORT to another one.`)
  }
  if (options.json) printJson({ listening: `http://${host}:${port}`, schedule: app.config.schedule })
  else
    say(
      `unstall runs: nights at "${app.config.schedule}" (${app.config.timezone}), health at http://${host}:${port}/healthz`,
    )
  await told
  leaveBy(EXIT.ok)
  server.close()
  await endDigests()
  await app.close()
  return EXIT.ok
}
