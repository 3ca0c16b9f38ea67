// `unstall start`: the service, all in one process or one role of it, and /healthz for whoever watches it.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { isRole, openApp, ROLES } from '../app.ts'
import { UsageError } from '../errors.ts'
import { listRuns } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, leaveBy, printJson, say } from './output.ts'

/** Of the pages. Other roles answer /healthz on any free port, so that many fit on one machine. */
const PORT = 4000

export async function start({ config, json, role }: GlobalOptions & { role?: unknown }): Promise<ExitCode> {
  if (!isRole(role)) throw new UsageError(`--role is one of ${Object.keys(ROLES).join(', ')}.`)
  const told = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const app = await openApp(config, { role })
  const { host, port } = app.config.environment
  const web = new Hono()
  web.get('/healthz', async (c) => {
    const [last] = await listRuns(app.ctx.db, { limit: 1 })
    return c.json({ ok: true, role, lastRun: last ? { id: last.id, status: last.status } : null })
  })
  const wanted = port ?? (ROLES[role].pages ? PORT : 0)
  const server = serve({ fetch: web.fetch, hostname: host, port: wanted })
  const listening = await new Promise<boolean>((resolve) => {
    server.once('listening', () => resolve(true))
    server.once('error', () => resolve(false))
  })
  if (!listening) {
    await app.close()
    throw new UsageError(`Port ${wanted} of ${host} is taken. Set UNSTALL_PORT to another one.`)
  }
  const address = server.address()
  const at = `http://${host}:${typeof address === 'object' ? address?.port : wanted}`
  const { schedule, timezone } = app.config
  if (json) printJson({ role, listening: at, schedule })
  else say(`unstall runs (${role}): nights at "${schedule}" (${timezone}), health at ${at}/healthz`)
  await told
  leaveBy(EXIT.ok)
  server.close()
  await app.close()
  return EXIT.ok
}
