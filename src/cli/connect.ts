// `unstall connect <name>`: a person allows access on the CRM's own page, the browser comes back to this machine with a
// code, and PKCE proves to the CRM that whoever redeems the code asked for it. What is granted is stored before it is told.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { belongs, connectionNamed, consentOf, openTokens } from '../app.ts'
import { loadConfig } from '../config.ts'
import type { Consent, Granted, TokenSet } from '../connector.ts'
import { SYSTEMS } from '../core/deal.ts'
import { Fatal, Interrupted, UsageError } from '../errors.ts'
import { scrub } from '../log.ts'
import { toHtml } from '../report/html.ts'
import { circuits, updateConnection } from '../store/connections.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, green, hang, Progress, plain, print, printJson, say } from './output.ts'

const PATIENCE_MS = 10 * 60_000

export async function connect(options: GlobalOptions & { port: number }, name: string): Promise<ExitCode> {
  const config = loadConfig(options.config, Date.now())
  const connection = connectionNamed(config, name)
  const crm = SYSTEMS[connection.system]
  const consent = await consentOf(connection)
  if (!consent) {
    const why = `${name} signs in by itself (auth.kind: ${connection.auth.kind}): nothing has to be connected.`
    if (options.json) printJson({ connection: name, connected: false, why })
    else print(`${why} Next: unstall check ${name}`)
    return EXIT.ok
  }
  // Before a person is asked: where the database is in use, or has no key, their consent would be lost.
  const progress = new Progress()
  progress.show(`${name}: opening the database`)
  const { database, tokens, close } = await openTokens(config).finally(() => progress.end())
  const stop = new AbortController()
  const leave = () => stop.abort(new Interrupted())
  const again = `Run it again: unstall connect ${name}`
  const error =
    'Where the page showed an error, compare scopes and callback address of the app with what README.md says.'
  const late = () =>
    stop.abort(new Fatal('credentials', `Nobody answered ${crm}'s page for ten minutes. ${error} ${again}`))
  const timer = setTimeout(late, PATIENCE_MS)
  process.once('SIGINT', leave)
  process.once('SIGTERM', leave)
  try {
    const owner = { connection: name, belongs: belongs(connection) }
    const { account, scopes } = await consented(
      { name, crm, consent, port: options.port, stop: stop.signal },
      async (set) => {
        await tokens()?.save(owner, set)
        const known = (await circuits(database.db, Date.now(), name)).get(name)
        if (known?.state === 'reconnect') await updateConnection(database.db, name, { circuit: null })
      },
    )
    if (options.json) printJson({ connection: name, connected: true, account, scopes })
    else {
      for (const line of grantedWords(crm, { account, scopes })) print(hang(`${green('✓')} ${line}`, '  '))
      print(`\nNext: unstall check ${name}`)
    }
    return EXIT.ok
  } finally {
    clearTimeout(timer)
    process.off('SIGINT', leave)
    process.off('SIGTERM', leave)
    await close()
  }
}

interface Asked {
  readonly name: string
  readonly crm: string
  readonly consent: Consent
  /** 0: any free one. */
  readonly port: number
  /** Its reason is thrown; a code that has arrived is still redeemed and stored. */
  readonly stop: AbortSignal
}

/** One consent, from the address a person opens to the stored tokens. Throws Fatal('credentials'), RetryLater, UsageError. */
export async function consented(
  { name, crm, consent, port, stop }: Asked,
  save: (set: TokenSet) => Promise<void>,
): Promise<Granted> {
  const state = randomBytes(32).toString('base64url')
  const code_verifier = randomBytes(48).toString('base64url')
  const done = Promise.withResolvers<Granted>()
  let redirect_uri = ''
  let taken = false
  const no = (why: string) => new Fatal('credentials', `${crm} ${why} Run it again: unstall connect ${name}`)

  async function redeem(answer: URLSearchParams): Promise<Granted> {
    const error = answer.get('error')
    if (error === 'access_denied') throw no('was not allowed to give access, so nothing is connected.')
    const code = answer.get('code')
    if (error !== null || !code) {
      // OAuth's error codes are shown; anything else could hold whatever a link was made of.
      const why = /^[a-z_]{1,60}$/.exec(error ?? '')?.[0] ?? 'no code came back'
      throw no(
        `did not give access (${why}). Compare the scopes and the callback address of the app (${redirect_uri}).`,
      )
    }
    const granted = await consent.redeem({ code, code_verifier, redirect_uri })
    if (granted === 'refused') throw no('no longer accepts this consent: its code was used before or is too old.')
    if (granted.set.refresh === undefined)
      throw no('gave access that ends soon and cannot be renewed: add the scope refresh_token to the app.')
    await save(granted.set)
    return granted
  }

  async function answered(url: URL | null, response: ServerResponse): Promise<void> {
    if (url?.pathname !== '/callback')
      return reply(response, 404, 'Nothing here', ['Go on in the window with the CRM.'])
    if (taken || !timingSafeEqual(sha256(url.searchParams.get('state') ?? ''), sha256(state))) {
      const why = 'This answer does not belong to the question that unstall asks now. Nothing was changed.'
      return reply(response, 400, 'Not connected', [why, 'Open the address that the terminal shows.'])
    }
    taken = true
    try {
      const granted = await redeem(url.searchParams)
      const next = `You can close this window. Next, in the terminal: unstall check ${name}`
      await reply(response, 200, `${name} is connected`, [...grantedWords(crm, granted), next])
      done.resolve(granted)
    } catch (error) {
      await reply(response, 400, 'Not connected', [scrub(error instanceof Error ? error.message : String(error))])
      done.reject(error)
    }
  }

  const server = createServer(({ method, url = '' }, response) => {
    void answered(method === 'GET' ? URL.parse(url, 'http://localhost') : null, response)
  })
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
  } catch (cause) {
    const other = `Choose another with --port, and add http://localhost:<port>/callback to the callback addresses of the app in ${crm}.`
    throw new UsageError(`Port ${port} of this machine is taken or cannot be used. ${other}`, { cause })
  }
  const address = server.address()
  // HubSpot takes http only for this very name.
  redirect_uri = `http://localhost:${typeof address === 'object' ? address?.port : port}/callback`
  const page = new URL(consent.page)
  const code_challenge = sha256(code_verifier).toString('base64url')
  const asked = { redirect_uri, state, code_challenge, code_challenge_method: 'S256' }
  for (const [key, value] of Object.entries(asked)) page.searchParams.set(key, value)
  // As spaces in scopes are written in the documentation of both CRMs.
  say(
    `Open this address in a browser on this machine, sign in to ${crm} and allow access:\n\n${page.href.replaceAll('+', '%20')}\n`,
  )
  say(`Waiting for the answer at ${redirect_uri} (Ctrl-C ends it) …`)
  const left = () => (taken ? undefined : done.reject(stop.reason))
  stop.addEventListener('abort', left)
  if (stop.aborted) left()
  return done.promise.finally(() => {
    stop.removeEventListener('abort', left)
    server.close()
    server.closeIdleConnections()
  })
}

const sha256 = (text: string) => createHash('sha256').update(text).digest()

const grantedWords = (crm: string, { account, scopes }: Pick<Granted, 'account' | 'scopes'>) => [
  `Connected to ${crm}${account ? `, account ${plain(account)}` : ''}.`,
  ...(scopes.length > 0 ? [`Allowed: ${scopes.map(plain).join(', ')}`] : []),
]

async function reply(response: ServerResponse, status: number, title: string, lines: readonly string[]): Promise<void> {
  const blocks = lines.map((text) => ({ is: 'text', text, alarm: false }) as const)
  const headers = { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store', connection: 'close' }
  response.writeHead(status, { ...headers, 'referrer-policy': 'no-referrer' })
  response.end(await toHtml(title, '', 'en', blocks))
}
