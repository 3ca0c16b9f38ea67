// Over a real SMTP conversation and a real webhook: what arrives, what counts as refused, and what nobody can know.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Message, toMail, toSlack, toText } from '../../src/digest/render.ts'
import { createSender, Unanswered } from '../../src/digest/send.ts'
import { type MailServer, type Mishap, startMail, startWebhook, type Webhook } from './servers.ts'

const PASSWORD = 'p@ss word'
const HOSTILE =
  '<!channel> @here *x* <https://evil.example|click> https://evil.example/a & www.evil.example or evil.example/b, me@evil.example'
const message: Message = {
  subject: 'Écarts de la semaine',
  language: 'fr',
  blocks: [
    { is: 'heading', level: 2, text: HOSTILE },
    { is: 'text', text: HOSTILE, alarm: false },
    { is: 'facts', facts: [['Stalled', '3']] },
    {
      ...{ is: 'table', caption: 'Deals', note: 'more' },
      columns: [{ title: 'Deal' }, { title: 'Why' }, { title: 'Amount', number: true }],
      rows: [
        [{ text: HOSTILE, href: 'https://crm.example/1|2' }, 'no movement', '3 €'],
        [{ text: 'bad', href: 'javascript:alert(1)' }, '', '4 €'],
      ],
    },
  ],
  link: { text: 'Everything', href: 'https://unstall.example' },
}

let mail: MailServer
let hook: Webhook
beforeAll(async () => {
  mail = await startMail()
  hook = await startWebhook()
})
beforeEach(() => {
  mail.mishap = null
  mail.messages.length = 0
  mail.said.length = 0
  hook.status = 200
  hook.bodies.length = 0
})
afterAll(async () => {
  await mail.close()
  await hook.close()
})
const hidden = (text: string) => ({ reveal: () => text })
/** Long enough for a busy machine; what is silent is waited for as long. */
const TIMEOUT_MS = 1_000
const sender = (host = '127.0.0.1', timeoutMs = 10_000) =>
  createSender(
    {
      smtp: hidden(`smtp://us%40er:${encodeURIComponent(PASSWORD)}@${host}:${mail.port}`),
      from: 'unstall <from@acme.example>',
      slack: hidden(hook.url),
    },
    timeoutMs,
  )
const failure = (host?: string, to = 'ann@acme.example', timeoutMs?: number) =>
  sender(host, timeoutMs)(to, message, 'weekly 2026-W48').then(
    () => null,
    (error: unknown) => error,
  )

describe('by e-mail', () => {
  it('arrives signed in, as text and HTML, with the same id each time it is sent', async () => {
    await sender()('ann@acme.example', message, 'weekly 2026-W48')
    await sender()('ann@acme.example', message, 'weekly 2026-W48')
    const [one = '', two = ''] = mail.messages
    expect(mail.said).toContain('MAIL FROM:<from@acme.example>')
    expect(mail.said).toContain('RCPT TO:<ann@acme.example>')
    expect(mail.said.find((line) => line.startsWith('AUTH'))).toContain(btoa(`\0us@er\0${PASSWORD}`))
    expect(one).toMatch(/^Subject: =\?UTF-8\?/m)
    expect(one).toMatch(/^Auto-Submitted: auto-generated\r$/m)
    expect(one).toMatch(/Content-Type: text\/plain[\s\S]*Content-Type: text\/html/)
    const id = /^Message-ID: (.*)$/m
    expect(id.exec(one)?.[1]).toBe(id.exec(two)?.[1])
    expect(id.exec(one)?.[1]).toMatch(/@acme\.example>/)
  })

  it.each<[Exclude<Mishap, null>, RegExp]>([
    ['login', /535 not with …/],
    ['echo', /535 not with AUTH PLAIN …/],
    ['recipient', /550 nobody of that name/],
    ['message', /554 no such thing here/],
  ])('refused (%s): it did not arrive, in the words of the server, without the password', async (mishap, words) => {
    mail.mishap = mishap
    const error = await failure()
    expect(error).not.toBeInstanceOf(Unanswered)
    expect(String(error)).toMatch(words)
    expect(String(error)).not.toContain(PASSWORD)
    expect(String(error)).not.toContain(btoa(`\0us@er\0${PASSWORD}`))
  })

  it.each<[Exclude<Mishap, null>]>([['silent'], ['cut']])(
    'no answer to the message (%s): nobody knows',
    async (mishap) => {
      mail.mishap = mishap
      expect(await failure(undefined, undefined, TIMEOUT_MS)).toBeInstanceOf(Unanswered)
      expect(mail.messages).toHaveLength(1)
    },
  )

  it('nothing is said in the open beyond this machine: no STARTTLS, no password', async () => {
    expect(String(await failure('0.0.0.0', undefined, TIMEOUT_MS))).toMatch(/TLS/)
    expect(mail.said.join()).not.toMatch(/AUTH|MAIL/)
  })

  it('a password that is written wrongly is told, not thrown at whoever started the process', async () => {
    const odd = createSender({ smtp: hidden(`smtp://me:100%@127.0.0.1:${mail.port}`), from: 'a@b.example' })
    await expect(odd('ann@acme.example', message, 'x')).rejects.toThrow(/URI malformed/)
  })

  it('a server that is not there did not get it', async () => {
    const away = createSender({ smtp: hidden('smtp://127.0.0.1:1'), from: 'a@b.example' })
    const error = await away('ann@acme.example', message, 'x').catch((one: unknown) => one)
    expect(error).toBeInstanceOf(Error)
    expect(error).not.toBeInstanceOf(Unanswered)
  })
})

describe('to Slack', () => {
  it('arrives as blocks within the limits', async () => {
    await sender()('slack', message, 'x')
    const [body] = hook.bodies
    expect(body).toEqual(toSlack(message))
    const long = { ...message, blocks: Array.from({ length: 1000 }, () => message.blocks).flat() }
    const { blocks } = toSlack(long) as (typeof hook.bodies)[number]
    expect(blocks.length).toBeLessThanOrEqual(50)
    expect(Math.max(...blocks.map(({ text }) => text.text.length))).toBeLessThanOrEqual(3000)
  })

  it('refused: it did not arrive; silent: nobody knows; the address is never said', async () => {
    hook.status = 403
    const refused = await failure(undefined, 'slack')
    for (hook.status of [502, 504]) expect(await failure(undefined, 'slack')).toBeInstanceOf(Unanswered)
    hook.status = 'silent'
    const silent = await failure(undefined, 'slack', TIMEOUT_MS)
    expect(String(refused)).toBe('Error: Slack refused it: 403 invalid_token')
    expect(refused).not.toBeInstanceOf(Unanswered)
    expect(silent).toBeInstanceOf(Unanswered)
    expect(String(silent)).not.toContain('canary')
  })
})

describe('hostile names', () => {
  it('in Slack: no mention, no link, no markup', () => {
    const text = JSON.stringify(toSlack(message))
    expect(text).not.toMatch(/<!|<https:\/\/evil|https:\/\/evil|www\.evil|@here|\*x\*/)
    expect(text).toContain('&lt;!channel&gt;')
    expect(text).toMatch(/<https:\/\/crm\.example\/1%7C2\|/)
    expect(text).not.toContain('javascript')
    expect(text).toContain('"verbatim":true')
  })

  it('in mail: text, whatever they are', async () => {
    const [html, text] = [await toMail(message), toText(message)]
    expect(html).not.toMatch(/<!channel|<https|javascript|https:\/\/evil|<script|<style|class=|src=/)
    expect(html).toContain('&lt;!channel&gt;')
    expect(html).toContain('href="https://crm.example/1|2"')
    // Mail programs make links of bare names too.
    expect(html + text).not.toMatch(/evil\.example|me@evil/)
    expect(text).not.toMatch(/https:\/\/evil|www\.evil|javascript/)
    expect(text).toMatch(/• .* <https:\/\/crm\.example\/1\|2> – no movement – Amount 3 €\n• bad – Amount 4 €\nmore/)
    expect(text.trimEnd()).toMatch(/Everything <https:\/\/unstall\.example\/>$/)
  })
})
