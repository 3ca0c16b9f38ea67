// `unstall start`: the service, all in one process or one role of it.
import { once } from 'node:events'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { accessOf, openApp, PORT, ROLES, type Role, webService } from '../app.ts'
import { loadConfig } from '../config.ts'
import { createDigests } from '../digest/deliver.ts'
import { UsageError } from '../errors.ts'
import { createMetrics } from '../web/metrics.ts'
import { operations } from '../web/operations.ts'
import { createWeb } from '../web/server.ts'
import { digestService } from './digest.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, leaveBy, printJson, say } from './output.ts'

export async function start(options: GlobalOptions & { role: Role; pretty?: true }): Promise<ExitCode> {
  const { config, json, role, pretty } = options
  const told = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const access = ROLES[role].pages ? accessOf(loadConfig(config, Date.now())) : null
  const metrics = createMetrics()
  metrics.watchProcess()
  const app = await openApp(config, { role, pretty, called: metrics.called })
  const { host, port } = app.config.environment
  const web = new Hono()
  const { ctx, database, queue } = app
  const fleet = { db: ctx.db, clock: ctx.clock, connections: app.config.connections, depth: () => queue.depth() }
  operations(web, { role, database, metrics, fleet, metricsToken: app.config.environment.metricsToken })
  const endDigests = ROLES[role].schedules ? createDigests(digestService(app)).start() : null
  if (access) {
    const pages = createWeb(webService(app), access)
    web.notFound((c) => pages.fetch(c.req.raw, c.env))
  }
  const wanted = port ?? (ROLES[role].pages ? PORT : 0)
  const server = serve({ fetch: web.fetch, hostname: host, port: wanted })
  try {
    await once(server, 'listening')
  } catch (error) {
    await endDigests?.()
    await app.close()
    const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    throw new UsageError(
      taken
        ? `Port ${wanted} of ${host} is taken. Set UNSTALL_PORT to another one.`
        : `Nobody can listen on port ${wanted} of ${host}: ${error}. Set UNSTALL_HOST to an address of this machine, UNSTALL_PORT to a port above 1023.`,
    )
  }
  const address = server.address()
  const at = `http://${host}:${typeof address === 'object' ? address?.port : wanted}`
  const { schedule, timezone } = app.config
  if (json) printJson({ role, listening: at, schedule })
  else {
    const as = role === 'all' ? '' : ` as ${role}`
    const pages = access ? `pages at ${at}, ` : ''
    say(`unstall runs${as}: nights at "${schedule}" (${timezone}), ${pages}health at ${at}/healthz`)
  }
  await told
  leaveBy(EXIT.ok)
  server.close()
  await endDigests?.()
  await app.close()
  return EXIT.ok
}
