// A mail server of a few lines over a real socket, and a Slack webhook over HTTP: they answer as told and keep what they got.
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** Where the conversation goes wrong. `silent`: the message is taken and never answered; `cut`: the connection ends then. `echo`: as
 *  `login`, with the words of the client. */
export type Mishap = 'login' | 'echo' | 'recipient' | 'message' | 'silent' | 'cut' | null

export interface MailServer {
  readonly port: number
  /** Messages as they came over the wire. */
  readonly messages: string[]
  /** Every line the client said. */
  readonly said: string[]
  mishap: Mishap
  close(): Promise<void>
}

export async function startMail(): Promise<MailServer> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    const say = (line: string) => socket.write(`${line}\r\n`)
    let message: string | null = null
    let rest = ''
    say('220 here')
    socket.on('data', (part) => {
      rest += part.toString()
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const line = rest.slice(0, end)
        rest = rest.slice(end + 2)
        if (message === null) hear(line)
        else if (line !== '.') message += `${line}\r\n`
        else {
          mail.messages.push(message)
          message = null
          if (mail.mishap === 'cut') socket.destroy()
          else if (mail.mishap !== 'silent') say(mail.mishap === 'message' ? '554 no such thing here' : '250 taken')
        }
      }
    })
    function hear(line: string): void {
      mail.said.push(line)
      const verb = line.slice(0, 4).toUpperCase()
      if (verb === 'EHLO') return void say('250-here\r\n250 AUTH PLAIN')
      if (verb === 'AUTH') {
        const [, , password] = Buffer.from(line.split(' ')[2] ?? '', 'base64')
          .toString()
          .split('\0')
        if (mail.mishap === 'echo') return void say(`535 not with ${line}`)
        return void say(mail.mishap === 'login' ? `535 not with ${password}` : '235 come in')
      }
      if (verb === 'RCPT') return void say(mail.mishap === 'recipient' ? '550 nobody of that name' : '250 good')
      if (verb === 'DATA') {
        message = ''
        return void say('354 go on')
      }
      if (verb === 'QUIT') return void socket.end('221 bye\r\n')
      say('250 good')
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const mail: MailServer = {
    port: (server.address() as AddressInfo).port,
    messages: [],
    said: [],
    mishap: null,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return mail
}

export interface Webhook {
  readonly url: string
  readonly bodies: { readonly text: string; readonly blocks: readonly { readonly text: { readonly text: string } }[] }[]
  status: number | 'silent'
  close(): Promise<void>
}

export async function startWebhook(): Promise<Webhook> {
  const server = createHttp(async (request, response) => {
    let body = ''
    for await (const part of request) body += String(part)
    hook.bodies.push(JSON.parse(body))
    if (hook.status === 'silent') return
    response.writeHead(hook.status).end(hook.status === 200 ? 'ok' : 'invalid_token')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const hook: Webhook = {
    url: `http://127.0.0.1:${port}/services/T0/B0/canary`,
    bodies: [],
    status: 200,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return hook
}
