// `unstall disconnect <name>`: the access goes back to the CRM, and whatever is stored of the connection is deleted. What
// stands in the CRM stays as it is: with the ledger gone, nobody could tell any more what was there before.
import { createInterface } from 'node:readline/promises'
import { belongs, connectionNamed, consentOf, openTokens } from '../app.ts'
import { type ConnectionConfig, loadConfig } from '../config.ts'
import { SYSTEMS } from '../core/deal.ts'
import { UsageError } from '../errors.ts'
import type { Tokens } from '../secrets.ts'
import { forgetConnection } from '../store/connections.ts'
import { openRuns } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, green, print, printJson, say, yellow } from './output.ts'
import { count } from './print.ts'

const WHERE = {
  hubspot: 'Settings > Integrations > Connected Apps',
  salesforce: 'Setup > Connected Apps OAuth Usage',
} as const

export async function disconnect(options: GlobalOptions & { yes?: boolean }, name: string): Promise<ExitCode> {
  const config = loadConfig(options.config, Date.now())
  const connection = connectionNamed(config, name)
  const crm = SYSTEMS[connection.system]
  const { database, tokens, close } = await openTokens(config)
  const busy = (id: string) => new UsageError(`${id} is not over yet. Finish it first with: unstall run ${name}`)
  try {
    const { db } = database
    const open = (await openRuns(db)).find((run) => run.connection === name)
    if (open) throw busy(open.id)
    if (options.yes !== true) await agreed(name, crm)
    const revoked = await takenBack(connection, tokens())
    const forgotten = await forgetConnection(db, name)
    if ('open' in forgotten) throw busy(forgotten.open)
    const { deleted } = forgotten
    if (options.json) printJson({ connection: name, revoked, deleted })
    else {
      if (revoked === true) print(`${green('✓')} ${crm} has taken the access back.`)
      if (revoked === false)
        print(
          `${yellow('!')} ${crm} did not say that it has taken the access back. Remove it there: ${WHERE[connection.system]}.`,
        )
      const { deal = 0, run = 0, ledger = 0 } = deleted
      print(
        `${green('✓')} Deleted here: ${count(deal, 'deal')}, ${count(run, 'run')} with ${count(ledger, 'write')}, and the stored access. Nothing was changed in ${crm}.`,
      )
      print(
        `\nTake ${name} out of ${config.file} as well: while it stands there, the next night begins anew with a preview.`,
      )
    }
    return EXIT.ok
  } finally {
    await close()
  }
}

async function agreed(name: string, crm: string): Promise<void> {
  const what =
    `This deletes all that unstall knows of ${name}. What it wrote in ${crm} stays there, flags and forecast categories ` +
    'too, and can then only be changed by hand: "unstall undo <run>" takes it back before.'
  if (!process.stdin.isTTY) throw new UsageError(`${what} Add --yes if that is what you want.`)
  say(what)
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  // Ctrl-C rejects.
  const answer = await terminal.question(`Type "${name}" to go on: `).catch(() => '')
  terminal.close()
  if (answer.trim() !== name) throw new UsageError('Nothing was deleted.')
}

/** Null: there is no consent to take back. */
async function takenBack(connection: ConnectionConfig, tokens: Tokens | null): Promise<boolean | null> {
  const consent = await consentOf(connection)
  const owner = { connection: connection.name, belongs: belongs(connection) }
  try {
    const refresh = consent && (await tokens?.stored(owner, consent))?.refresh
    if (!refresh) return null
    await consent.revoke(refresh)
    return true
  } catch {
    // Whatever it was, a person can do it in the CRM.
    return false
  }
}
