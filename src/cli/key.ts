// `unstall key rotate`: stored access encrypted anew, from the old key to the new one. Whatever happens on the way, running
// it again ends it: what the new key opens is left as it is, and the new key file takes its place only after the database.
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { belongs, openTokens } from '../app.ts'
import { KEY_HOWTO, loadConfig } from '../config.ts'
import { UsageError } from '../errors.ts'
import { createVault, reseal, secretOf } from '../secrets.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, green, print, printJson, yellow } from './output.ts'

const NEXT = 'secret.key.new'

export async function rotate(options: GlobalOptions): Promise<ExitCode> {
  const config = loadConfig(options.config, Date.now())
  const { connections, dataDir, environment } = config
  const { databaseUrl, secretKey: next, oldSecretKey: old } = environment
  if (next ? !old : databaseUrl)
    throw new UsageError(
      `Set UNSTALL_SECRET_KEY to the new key (${KEY_HOWTO}) and UNSTALL_SECRET_KEY_OLD to the one before, then run it again.`,
    )
  const { database, close } = await openTokens(config)
  try {
    const from = createVault(next && old ? old.reveal() : secretOf(dataDir))
    const to = createVault(next?.reveal() ?? secretOf(dataDir, NEXT))
    const owners = connections.map((one) => ({ connection: one.name, belongs: belongs(one) }))
    const { done, left } = await reseal(database.db, owners, from, to)
    if (!next) renameSync(join(dataDir, NEXT), join(dataDir, 'secret.key'))
    const todo = next
      ? 'Take UNSTALL_SECRET_KEY_OLD away and start unstall with the new key, on every machine.'
      : `The new key is in ${join(dataDir, 'secret.key')}: replace copies of the old one.`
    if (options.json) printJson({ encrypted: done, left, todo })
    else {
      print(`${green('✓')} Encrypted anew: ${done.join(', ') || 'nothing is stored'}.`)
      for (const name of left)
        print(`${yellow('!')} ${name}: neither key opens its access. If it is still used: unstall connect ${name}`)
      print(todo)
    }
    return left.length > 0 ? EXIT.problem : EXIT.ok
  } finally {
    await close()
  }
}
