// The pages over real connectors, queue and jobs, as app.ts puts them together: what is pressed here is carried out.
import { webService } from '../../src/app.ts'
import { type ConnectionConfig, Secret } from '../../src/config.ts'
import type { Database } from '../../src/store/db.ts'
import { en } from '../../src/texts/en.ts'
import { fr } from '../../src/texts/fr.ts'
import { createWeb, type Web } from '../../src/web/server.ts'
import { type Crm, setUp } from '../jobs/harness.ts'
import { type Program, settings, startProgram } from '../jobs/program.ts'
import { access } from './browser.ts'

export async function operated(
  database: Database,
  crms: readonly Crm[],
): Promise<{ readonly web: Web; readonly program: Program; close(): Promise<void> }> {
  const program = await startProgram({ database, crms })
  for (const crm of crms) await setUp(crm)
  const connections = crms.map(
    ({ name, system, url }): ConnectionConfig => ({
      ...{ name, system, baseUrl: url, loopback: true, settings },
      auth: { kind: 'token', token: new Secret('sandbox-web') },
    }),
  )
  const connection = (name: string) => {
    const found = connections.find((one) => one.name === name)
    if (!found) throw new Error(`no connection ${name}`)
    return found
  }
  const { ctx, queue } = program
  const words: typeof ctx = { ...ctx, texts: (language) => ({ en, fr })[language] }
  const config = { timezone: 'Europe/Paris', schedule: '0 2 * * *', connections }
  const service = webService({ config, ctx: words, queue, connection })
  return {
    program,
    web: createWeb(service, access()),
    async close() {
      await program.close()
      for (const crm of crms) await crm.stop()
    },
  }
}
