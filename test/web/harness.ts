// The dashboard over a store that real nights of lookalike CRMs have filled, in this process.
import { serve } from '@hono/node-server'
import type { Instant } from '../../src/core/deal.ts'
import type { Settings } from '../../src/core/policy.ts'
import { generate } from '../../src/sandbox/generate.ts'
import { liveDay } from '../../src/sandbox/people.ts'
import type { Seed } from '../../src/sandbox/seed.ts'
import type { Database } from '../../src/store/db.ts'
import type { Run } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { fr } from '../../src/texts/fr.ts'
import { createAccess } from '../../src/web/access.ts'
import { createWeb, type Web } from '../../src/web/server.ts'
import type { WebService } from '../../src/web/service.ts'
import { type Crm, DAY, MONDAY, setUp, startCrm } from '../jobs/harness.ts'
import { type Program, settings, startProgram } from '../jobs/program.ts'

const notHere = async () => Promise.reject(new Error('the pages of these tests only read'))

/** What app.ts hands the pages, but that nothing can be started. */
export const serviceOver = (database: Database, more: Partial<WebService> = {}): WebService => ({
  db: database.db,
  connections: [],
  ...{ schedule: '0 2 * * *', timezone: 'UTC', language: 'en' },
  clock: () => MONDAY + 4 * DAY,
  texts: (language) => ({ en, fr })[language],
  ...{ preview: notHere, run: notHere, undo: notHere, check: notHere, drawUndo: notHere, board: null },
  log: { info: () => {}, error: (data, message) => console.error(message, data) },
  ...more,
})

/** Whoever sits at this machine. */
export const openAccess = () =>
  createAccess({ operator: null, viewer: null, proxy: null, url: null, secret: 'of a test', clock: () => MONDAY })

export interface Filled {
  readonly crms: readonly Crm[]
  readonly program: Program
  readonly service: WebService
  readonly web: Web
  /** Asks for a page as a browser does. */
  get(path: string): Promise<{ readonly status: number; readonly text: string }>
  /** One more night of every CRM. */
  night(at: Instant): Promise<readonly Run[]>
  close(): Promise<void>
}

/** `seeds` by system; `nights` after the first, each after a day in which people react. */
export async function filled(
  database: Database,
  seeds: Readonly<Partial<Record<'hubspot' | 'salesforce', Seed>>>,
  { nights = 0, language = 'en' as Settings['language'] } = {},
): Promise<Filled> {
  const crms: Crm[] = []
  for (const [system, seed] of Object.entries(seeds))
    if (system === 'hubspot' || system === 'salesforce') crms.push(await startCrm(system, seed))
  const program = await startProgram({ database, crms })
  for (const crm of crms) {
    await setUp(crm)
    const preview = await program.night(crm, MONDAY, { kind: 'preview' })
    await program.night(crm, MONDAY, { confirm: preview.id })
  }
  const night = (at: Instant) =>
    Promise.all(
      crms.map(async (crm) => {
        await crm.clock(at)
        return program.night(crm, at)
      }),
    )
  for (let n = 1; n <= nights; n++) {
    for (const { clock, url, system } of crms) {
      const during = MONDAY + n * DAY - 12 * 3_600_000
      await clock(during)
      await liveDay({ url, system, pipelines: seeds[system]?.pipelines ?? [], now: during })
    }
    await night(MONDAY + n * DAY)
  }
  const connections = crms.map(({ name, system }) => ({ name, system, settings }))
  const service = serviceOver(database, { connections, language, clock: () => MONDAY + (nights + 0.2) * DAY })
  const web = createWeb(service, openAccess())
  return {
    ...{ crms, program, service, web, night },
    async get(path) {
      const answer = await web.request(`http://127.0.0.1${path}`)
      return { status: answer.status, text: await answer.text() }
    },
    async close() {
      await program.close()
      for (const crm of crms) await crm.stop()
    },
  }
}

/** A company's pipeline, the same every time. */
export const company = (seed: number, open: number) => generate({ now: MONDAY, seed, deals: 3 * open, open })

/** The pages at an address of this machine, for a browser. */
export async function served(web: Web): Promise<{ readonly url: string; close(): void }> {
  return new Promise((resolve) => {
    const server = serve({ fetch: web.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) =>
      resolve({ url: `http://127.0.0.1:${port}`, close: () => void server.close() }),
    )
  })
}
