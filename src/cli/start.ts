// `unstall start`: the service. Scheduler, workers and pages in one process, and /healthz for whoever watches it.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { accessOf, openApp, webService } from '../app.ts'
import { loadConfig } from '../config.ts'
import { UsageError } from '../errors.ts'
import { listRuns } from '../store/runs.ts'
import { createWeb } from '../web/server.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, leaveBy, printJson, say } from './output.ts'

export async function start(options: GlobalOptions & { role?: unknown }): Promise<ExitCode> {
  if (options.role !== 'all')
    throw new UsageError(
      `--role ${String(options.role)} is not built yet; leave it out to run everything in one process.`,
    )
  const told = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const access = accessOf(loadConfig(options.config, Date.now()))
  const app = await openApp(options.config, { scheduled: true })
  const { host, port } = app.config.environment
  const web = new Hono()
  web.get('/healthz', async (c) => {
    const [last] = await listRuns(app.ctx.db, { limit: 1 })
    return c.json({ ok: true, lastRun: last ? { id: last.id, status: last.status } : null })
  })
  const pages = createWeb(webService(app), access)
  web.notFound((c) => pages.fetch(c.req.raw, c.env))
  const server = serve({ fetch: web.fetch, hostname: host, port })
  const listening = await new Promise<boolean>((resolve) => {
    server.once('listening', () => resolve(true))
    server.once('error', () => resolve(false))
  })
  if (!listening) {
    await app.close()
    throw new UsageError(`Port ${port} of ${host} is taken. Set UNSTALL_PORT to another one.`)
  }
  if (options.json) printJson({ listening: `http://${host}:${port}`, schedule: app.config.schedule })
  else
    say(
      `unstall runs: nights at "${app.config.schedule}" (${app.config.timezone}), pages at http://${host}:${port}, health at /healthz`,
    )
  await told
  leaveBy(EXIT.ok)
  server.close()
  await app.close()
  return EXIT.ok
}
