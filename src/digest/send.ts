// Hands a message over, by SMTP or to a Slack webhook, in bounded time. What matters is whether it may have arrived: an
// error means that it did not, and it may be sent again; Unanswered means that nobody knows, and it must not be.
import { createHash } from 'node:crypto'
import MailComposer from 'nodemailer/lib/mail-composer'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import { type DigestSettings, SLACK } from '../core/digests.ts'
import { loopback } from '../core/text.ts'
import { type Message, toMail, toSlack, toText } from './render.ts'

/** Handed over, and no answer came. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered'
}

/** `to`: an e-mail address, or `slack`. `id`: of this message; the same every time it is tried. */
export type Send = (to: string, message: Message, id: string) => Promise<void>

const TIMEOUT_MS = 20_000

export function createSender(
  { smtp, from, slack }: Pick<DigestSettings, 'smtp' | 'from' | 'slack'>,
  timeoutMs = TIMEOUT_MS,
): Send {
  return async (to, message, id) => {
    if (to === SLACK) {
      if (!slack) throw new Error('digests.slack is not set')
      return post(slack.reveal(), toSlack(message), timeoutMs)
    }
    if (!smtp || !from) throw new Error('digests.smtp or digests.from is not set')
    return mail(new URL(smtp.reveal()), { from, to, message, id }, timeoutMs)
  }
}

async function post(url: string, body: object, timeoutMs: number): Promise<void> {
  let answer: Response
  try {
    const headers = { 'content-type': 'application/json' }
    const signal = AbortSignal.timeout(timeoutMs)
    answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), redirect: 'manual', signal })
  } catch (error) {
    const code = codeOf(error)
    // The address is a secret: nothing of the error but its code is said.
    if (/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/.test(code))
      throw new Error(`Slack cannot be reached (${code})`)
    throw new Unanswered(`Slack did not answer (${code})`)
  }
  const words = (await answer.text().catch(() => '')).slice(0, 100)
  // Of a gateway: what became of it behind there nobody knows.
  if (answer.status === 502 || answer.status === 504) throw new Unanswered(`Slack did not answer (${answer.status})`)
  if (!answer.ok) throw new Error(`Slack refused it: ${answer.status} ${words}`.trim())
}

function codeOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause)
    if ('code' in at && typeof at.code === 'string') return at.code
  return error instanceof Error ? error.name : 'network error'
}

interface Mail {
  readonly from: string
  readonly to: string
  readonly message: Message
  readonly id: string
}

/** The message as it goes over the wire. */
async function composed({ from, to, message, id }: Mail): Promise<Buffer> {
  const key = createHash('sha256').update(`${id} ${to}`).digest('hex').slice(0, 32)
  return new MailComposer({
    ...{ from, to, subject: message.subject, text: toText(message), html: await toMail(message) },
    messageId: `<${key}@${/@([\w.-]+)/.exec(from)?.[1] ?? 'unstall.invalid'}>`,
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
    disableFileAccess: true,
    disableUrlAccess: true,
  })
    .compile()
    .build()
}

async function mail(url: URL, { from, to, message, id }: Mail, timeoutMs: number): Promise<void> {
  const secure = url.protocol === 'smtps:'
  const [user, pass] = [decodeURIComponent(url.username), decodeURIComponent(url.password)]
  const connection = new SMTPConnection({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port) || (secure ? 465 : 587),
    secure,
    // Passwords and pipelines never cross a network in the open.
    ...(secure || loopback(url.hostname) ? {} : { requireTLS: true }),
    ...{ connectionTimeout: timeoutMs, greetingTimeout: timeoutMs, socketTimeout: timeoutMs, dnsTimeout: timeoutMs },
    socketCloseTimeout: 1000,
  })
  let handed = false
  try {
    const raw = await composed({ from, to, message, id })
    await new Promise<void>((resolve, reject) => {
      connection.once('error', reject)
      connection.once('end', () => reject(new Error('the mail server closed the connection')))
      connection.connect((error) => {
        if (error) return reject(error)
        const send = (error?: Error | null) => {
          if (error) return reject(error)
          handed = true
          connection.send({ from: bare(from), to: [to] }, raw, (error) => (error ? reject(error) : resolve()))
        }
        if (!user) return send()
        connection.login({ credentials: { user, pass }, user, pass }, send)
      })
    })
    connection.quit()
  } catch (error) {
    connection.close()
    const words = error instanceof Error ? error.message : String(error)
    const refused = error instanceof Error && 'responseCode' in error && typeof error.responseCode === 'number'
    // Servers may repeat what they were told, in the form of AUTH PLAIN and LOGIN as well.
    const secrets = pass === '' ? [] : [url.password, pass, base64(`\0${user}\0${pass}`), base64(pass)]
    const told = secrets.reduce((text, secret) => text.replaceAll(secret, '…'), words)
    const text = `the mail server ${url.host}: ${told.replaceAll('\n', ' ').slice(0, 300)}`
    if (handed && !refused) throw new Unanswered(text)
    throw new Error(text)
  }
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

/** `ann@acme.example` of `Ann <ann@acme.example>`. */
const bare = (from: string) => /<([^<>]+)>/.exec(from)?.[1] ?? from
