// `unstall digest`: shows what managers or RevOps would be sent now, and sends it only when told to. Also puts the digests
// of the service together.
import { writeFileSync } from 'node:fs'
import type { App } from '../app.ts'
import { type Manager, SLACK } from '../core/digests.ts'
import { createDigests, type DigestService } from '../digest/deliver.ts'
import { type Message, toMail, toSlack, toText } from '../digest/render.ts'
import { createSender, Unanswered } from '../digest/send.ts'
import { UsageError } from '../errors.ts'
import { lastDue } from '../schedule.ts'
import type { GlobalOptions } from './main.ts'
import { withApp } from './night.ts'
import { EXIT, type ExitCode, green, plain, print, printJson, red, say } from './output.ts'

interface Options extends GlobalOptions {
  readonly to?: string
  readonly nightly?: boolean
  readonly send?: boolean
  readonly out?: string
}

/** What digests are made of and sent by, for this process. */
export function digestService({ config, ctx }: App): DigestService {
  const { connections, digests: plan, schedule, timezone } = config
  return {
    ...{ db: ctx.db, connections, timezone, plan, clock: ctx.clock, log: ctx.log },
    texts: ctx.texts(connections[0]?.settings.language ?? 'en'),
    dashboard: config.web.url ?? null,
    send: createSender(plan),
    lastDue: (now) => lastDue(now, schedule, timezone),
  }
}

export async function digest(options: Options): Promise<ExitCode> {
  const { nightly = false, out, send = false } = options
  return withApp(options.config, { concurrency: 0 }, async (app) => {
    const service = digestService(app)
    const { managers, operations } = service.plan
    const known = nightly ? operations.map((to): Manager => ({ to })) : managers
    const chosen = known.filter(({ to }) => options.to === undefined || to === options.to)
    const list = `digests.${nightly ? 'operations' : 'managers'}`
    // Without anybody in the list yet, a preview shows what everybody would see.
    const shown = known.length === 0 && options.to === undefined && !send ? [{ to: '' }] : chosen
    if (shown.length === 0)
      throw new UsageError(
        options.to === undefined
          ? `Nobody is named in ${list} of ${app.config.file}.`
          : `${options.to} is not in ${list} of ${app.config.file}. It names: ${known.map(({ to }) => to).join(', ') || 'nobody'}.`,
      )
    if (out !== undefined && shown.length > 1)
      throw new UsageError(
        `${out} would hold the digest of one person. Say whose with --to: ${shown.map(({ to }) => to).join(', ')}.`,
      )
    const digests = createDigests(service)
    let code: ExitCode = EXIT.ok
    const told: object[] = []
    for (const manager of shown) {
      const { to } = manager
      const message = nightly ? await digests.nightly(to) : await digests.weekly(manager)
      if (message === null) {
        const why = nightly ? 'Nothing new to tell: no trouble, or none that was not told.' : 'No night has run yet.'
        if (options.json) told.push({ to, message: null })
        else print(`${to === '' ? '' : `${to}: `}${why}`)
        continue
      }
      if (out !== undefined) await save(out, message)
      else if (options.json) told.push({ to, message: { ...message, text: toText(message), slack: toSlack(message) } })
      else print(`${to === '' ? '' : `To: ${to}\n\n`}${toText(message).split('\n').map(plain).join('\n')}`)
      if (!send) continue
      const sent = await handOver(service, to, message)
      if (sent !== null) code = EXIT.problem
      say(sent === null ? `${green('✓')} sent to ${to === SLACK ? 'Slack' : to}` : `${red('✗')} ${to}: ${sent}`)
    }
    if (options.json) printJson(told)
    return code
  })
}

/** Null: it was taken. By hand it does not count as the digest of the day or the week. */
async function handOver(service: DigestService, to: string, message: Message): Promise<string | null> {
  try {
    await service.send(to, message, `by hand ${service.clock()}`)
    return null
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error)
    return error instanceof Unanswered ? `${words}. It may have arrived all the same.` : words
  }
}

async function save(file: string, message: Message): Promise<void> {
  try {
    writeFileSync(file, /\.html?$/i.test(file) ? await toMail(message) : toText(message))
  } catch (error) {
    throw new UsageError(`The digest cannot be written to ${file}: ${error instanceof Error ? error.message : error}`)
  }
  say(`${file}: written`)
}
