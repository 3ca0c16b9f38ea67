// `unstall explain <deal>`: the movement log of one deal and the verdict, step by step. Reads only what is stored, so
// it answers while the CRM is out of reach.
import { judgement } from '../../jobs/decide.ts'
import { explainSteps } from '../core/explain.ts'
import { quarantined, transitionsOf } from '../store/deals.ts'
import { ledgerForDeals } from '../store/ledger.ts'
import { listRuns } from '../store/runs.ts'
import type { GlobalOptions } from './main.ts'
import { oneDeal, withApp } from './night.ts'
import { bold, dim, EXIT, type ExitCode, hang, plain, print, printJson } from './output.ts'

export async function explain(options: GlobalOptions & { now?: number }, words: string): Promise<ExitCode> {
  return withApp(options.config, { concurrency: 0 }, async (app) => {
    const stored = await oneDeal(app, words)
    const { known, standing } = stored
    const { ref, deal } = known
    const { connection, id } = ref
    const { settings } = app.connection(connection)
    const [last] = await listRuns(app.ctx.db, { connection, limit: 1 })
    const now = options.now ?? last?.now ?? Date.now()
    const { context, verdict, log } = await judgement(app.ctx, { connection, settings, now }, stored)
    const past = (await transitionsOf(app.ctx.db, connection, [id])).get(id)
    const steps = explainSteps(known, verdict, log, context, past)
    const rows = (await ledgerForDeals(app.ctx.db, connection, [id])).get(id) ?? []
    const texts = app.ctx.texts(settings.language)
    if (options.json) {
      printJson({ connection, id, deal, standing, verdict, log: log.entries, steps, writes: rows })
      return EXIT.ok
    }
    const worth = deal.amount === null ? '' : `  ${texts.money(deal.amount, deal.currency)}`
    print(bold(plain(deal.name)))
    print(dim(`${deal.url}${worth}  as of ${texts.instant(now, settings.timezone)}`))
    if (stored.gone) print('This deal was deleted in the CRM.')
    const odd = (await quarantined(app.ctx.db, connection)).find((held) => held.id === id)
    if (odd)
      print(`Its record could not be understood lately (${plain(odd.problem)}): what follows is what was read before.`)
    print()
    for (const step of steps) print(step.step === 'heading' ? `\n${bold(texts.step(step))}` : plain(texts.step(step)))
    if (rows.length === 0) return EXIT.ok
    print(`\n${bold('What unstall wrote')}`)
    for (const { run, group, cause, status, message, hold } of rows) {
      const remark = message ?? (hold ? texts.hold(hold) : '')
      print(hang(`${run}  ${group}, ${cause.replaceAll('_', ' ')}: ${status}${remark && `: ${remark}`}`, '    '))
    }
    return EXIT.ok
  })
}
