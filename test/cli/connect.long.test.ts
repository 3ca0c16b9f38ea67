// `unstall connect`, down to a stored consent: both CRMs, without a browser (test/sandbox/consent.browser.long.test.ts has one).
// What comes back wrong is refused, and what was taken back is connected again. The key is a file here.
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { signIn as hubspotSignIn } from '../../connectors/hubspot/index.ts'
import { signIn } from '../../connectors/salesforce/index.ts'
import { belongs, consentOf, openTokens } from '../../src/app.ts'
import { consented } from '../../src/cli/connect.ts'
import { loadConfig } from '../../src/config.ts'
import type { Consent } from '../../src/connector.ts'
import { Interrupted } from '../../src/errors.ts'
import { generate } from '../../src/sandbox/generate.ts'
import { hubspot } from '../../src/sandbox/hubspot/server.ts'
import { startSandbox } from '../../src/sandbox/kernel.ts'
import { salesforce } from '../../src/sandbox/salesforce/index.ts'
import { until } from '../homes.ts'
import { CallsAnswer } from '../sandbox/answers.ts'
import { connected, decide, shown } from '../sandbox/consent.ts'
import { NOW, type Place, place, unpaced, watched } from './harness.ts'

unpaced()
let at: Place
beforeAll(async () => {
  at = await place()
  const oauth = '{ kind: oauth, clientId: sandbox, clientSecret: sandbox }'
  at.config([
    ['{ kind: token, token: "$' + '{HUBSPOT_TOKEN}" }', oauth],
    ['{ kind: client-credentials, clientId: sandbox, clientSecret: "$' + '{SF_CLIENT_SECRET}" }', oauth],
    [
      'policy:',
      `  fixed:\n    system: hubspot\n    baseUrl: ${at.hub.url}\n    auth: { kind: token, token: sandbox-x }\npolicy:`,
    ],
  ])
})
afterAll(() => at.close())

const begin = async (name: string) => {
  const ended = at.run('connect', name, '--port', '0')
  return { ended, page: await shown(at.heard) }
}
const visit = async (url: URL) => {
  const answer = await fetch(url)
  return { status: answer.status, headers: answer.headers, text: await answer.text() }
}
const post = (url: string, path: string, body: object) =>
  fetch(url + path, { method: 'POST', body: JSON.stringify(body) })
/** How often a token was asked for. */
async function asked(url: string): Promise<number> {
  const { calls } = CallsAnswer.parse(await (await fetch(`${url}/__sandbox/calls`)).json())
  return calls.filter(({ path }) => path.endsWith('/token')).reduce((sum, { count }) => sum + count, 0)
}

/** What is stored of a connection now. */
async function held(name: string) {
  const config = loadConfig(join(at.folder, 'unstall.config.yaml'), NOW)
  const connection = config.connections.find((one) => one.name === name)
  const consent = connection && (await consentOf(connection))
  if (!consent) throw new Error(`${name} has no consent`)
  const { tokens, close } = await openTokens(config)
  const set = await tokens()?.stored({ connection: name, belongs: belongs(connection) }, consent)
  await close()
  return { token: set?.token ?? '', refresh: set?.refresh ?? '' }
}

describe.each([
  ['hub', 'HubSpot', 'crm.lists.write', '4010001'],
  ['sf', 'Salesforce', 'refresh_token', '00D'],
] as const)('%s', (name, crm, scope, account) => {
  const server = () => at[name]

  it('is connected by a consent, works, and is connected again after it was taken back', async () => {
    const before = await at.run('check', name)
    expect(before.out).toContain(`${name} is not connected yet: run unstall connect ${name}.`)
    expect(statSync(join(at.folder, '.unstall', 'secret.key')).mode & 0o777).toBe(0o600)

    for (const round of ['first', 'again']) {
      const { ended, page } = await begin(name)
      const query = new URL(page).searchParams
      expect(Object.fromEntries(query)).toMatchObject({ client_id: 'sandbox', code_challenge_method: 'S256' })
      expect(query.get('redirect_uri')).toMatch(/^http:\/\/localhost:\d+\/callback$/)
      const back = await decide(page)
      const { status, headers, text } = await visit(back)
      const { code, out, err } = await ended
      expect([code, status], err + text).toEqual([0, 200])
      expect(headers.get('cache-control')).toBe('no-store')
      expect(text).toMatch(/Content-Security-Policy" content="default-src 'none'/)
      expect(text).not.toContain('<script')
      for (const said of [text, out]) {
        for (const part of [`Connected to ${crm}, account ${account}`, scope, `unstall check ${name}`])
          expect(said).toContain(part)
        expect(said).not.toContain(back.searchParams.get('code'))
      }
      const checked = await at.run('check', name)
      expect(checked.out, round).toContain('Decision stages')
      expect(checked.out, round).not.toMatch(/re-connecting|not connected/)
      if (round === 'again') break

      await post(server().url, '/__sandbox/act', { act: 'revoke-token' })
      for (const command of ['run', 'check']) {
        const said = await at.run(command, name)
        expect(said.code, command).toBe(1)
        expect(said.out + said.err).toMatch(new RegExp(`${name} needs re-connecting: .*unstall connect ${name}`, 's'))
      }
    }
    expect(await at.writes()).toBe(0)
  }, 180_000)

  it('refuses an answer to another question without asking for a token, and waits on', async () => {
    const before = await asked(server().url)
    const { ended, page } = await begin(name)
    const back = await decide(page)
    const wrong = new URL(back)
    for (const state of ['', 'x', back.searchParams.get('state')?.replace(/.$/, '~') ?? '', null]) {
      if (state === null) wrong.searchParams.delete('state')
      else wrong.searchParams.set('state', state)
      expect(await visit(wrong)).toMatchObject({ status: 400, text: expect.stringContaining('does not belong') })
    }
    expect((await visit(new URL('/', back))).status).toBe(404)
    expect((await fetch(back, { method: 'POST' })).status).toBe(404)
    expect(await asked(server().url)).toBe(before)
    expect((await visit(back)).status).toBe(200)
    expect(await ended).toMatchObject({ code: 0 })
  }, 60_000)

  it('says that access was denied', async () => {
    const { ended, page } = await begin(name)
    const { status, text } = await visit(await decide(page, 'deny'))
    const { code, err } = await ended
    expect([status, code]).toEqual([400, 1])
    for (const said of [text, err])
      expect(said).toContain(`${crm} was not allowed to give access, so nothing is connected. Run`)
  }, 60_000)

  it('says that a code was used before, and does not show it', async () => {
    const { ended, page } = await begin(name)
    const back = await decide(page)
    const used = back.searchParams.get('code') ?? ''
    const form = { grant_type: 'authorization_code', code: used, client_id: 'sandbox', client_secret: 'sandbox' }
    const path = name === 'hub' ? '/oauth/2026-09/token' : '/services/oauth2/token'
    await fetch(server().url + path, { method: 'POST', body: new URLSearchParams(form) })
    const { text } = await visit(back)
    const { code, out, err } = await ended
    expect(code).toBe(1)
    for (const said of [text, err]) expect(said).toMatch(/code was used before or is too old.*unstall connect/)
    expect(text + out + err).not.toContain(used)
  }, 60_000)

  it('gives up when nobody answers for ten minutes, and says how to begin again', async () => {
    const real = setTimeout
    const patience = vi.spyOn(globalThis, 'setTimeout')
    patience.mockImplementation((work, ms, ...more) => real(work, ms === 600_000 ? 500 : ms, ...more))
    onTestFinished(() => patience.mockRestore())
    const { ended, page } = await begin(name)
    const { code, err } = await ended
    expect([code, err]).toEqual([
      1,
      expect.stringContaining(`Nobody answered ${crm}'s page for ten minutes. Where the page showed an error`),
    ])
    await expect(visit(await decide(page))).rejects.toThrow()
  }, 60_000)

  it('renews what has ended; a refresh token used by somebody else ends the consent where it works once', async () => {
    await connected(at, name)
    const first = await held(name)
    await post(server().url, '/__sandbox/act', { act: 'revoke-token', id: first.token })
    const renewed = await at.run('check', name)
    expect(renewed.out).not.toMatch(/re-connecting|not connected/)
    const second = await held(name)
    expect(second.token).not.toBe(first.token)
    // HubSpot's refresh tokens stay the same, Salesforce's rotate.
    expect(second.refresh === first.refresh).toBe(name === 'hub')

    const path = name === 'hub' ? '/oauth/2026-09/token' : '/services/oauth2/token'
    const form = {
      grant_type: 'refresh_token',
      refresh_token: first.refresh,
      client_id: 'sandbox',
      client_secret: 'sandbox',
    }
    const replay = await fetch(server().url + path, { method: 'POST', body: new URLSearchParams(form) })
    expect(replay.ok).toBe(name === 'hub')
    const out = (await at.run('check', name)).out.replace(/\s+/g, ' ')
    const words = `${name} needs re-connecting: the CRM no longer accepts the access it gave to unstall`
    expect([out.includes(words), out.includes(`Allow it again: unstall connect ${name}.`)]).toEqual(
      Array(2).fill(!replay.ok),
    )
    expect(out).not.toContain(second.refresh)
  }, 60_000)
})

it('has nothing to do where a connection signs in by itself', async () => {
  const said = await at.run('connect', 'fixed')
  expect(said).toMatchObject({ code: 0, out: expect.stringContaining('nothing has to be connected') })
})

it('says which port is taken before anybody is asked', async () => {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const address = server.address()
  const port = typeof address === 'object' ? String(address?.port) : ''
  const { code, err } = await at.run('connect', 'hub', '--port', port)
  expect(code).toBe(2)
  expect(err).toMatch(new RegExp(`Port ${port} .* is taken.*--port`))
  expect(await at.run('connect', 'hub', '--port', '70000')).toMatchObject({ code: 2 })
})

describe('one consent', () => {
  const consent: Consent = {
    ...{ consent: true, page: 'http://127.0.0.1/authorize?scope=a+b', parse: () => ({ token: '' }) },
    exchange: async () => 'refused',
    redeem: async () => ({ set: { token: 'secret', refresh: 'secret too' }, account: null, scopes: ['<b>&'] }),
    revoke: async () => {},
  }
  function ask(over: Partial<Consent> = {}, stop = new AbortController()) {
    const saved: unknown[] = []
    const said = watched()
    const how = { name: 'sf', crm: 'Salesforce', consent: { ...consent, ...over }, port: 0, stop: stop.signal }
    const ended = consented(how, async (set) => void saved.push(set)).catch((error: unknown) => error)
    /** What the browser is sent to, with a code. */
    const back = async () => {
      const { searchParams: query } = new URL(await shown(said))
      return new URL(
        `${query.get('redirect_uri')}?${new URLSearchParams({ code: 'c', state: query.get('state') ?? '' })}`,
      )
    }
    return { ended, saved, back, stop, said }
  }

  it('shows names from outside as text, and writes spaces as the documentation of the CRMs does', async () => {
    const { ended, saved, back, said } = ask()
    expect((await visit(await back())).text).toContain('&lt;b&gt;&amp;')
    expect(said()).toContain('scope=a%20b&')
    await ended
    expect(saved).toEqual([{ token: 'secret', refresh: 'secret too' }])
  })

  it('is not kept without a refresh token, and not told before it is stored', async () => {
    const { ended, saved, back } = ask({
      redeem: async () => ({ set: { token: 'secret' }, account: null, scopes: [] }),
    })
    expect((await visit(await back())).text).toContain('add the scope refresh_token')
    expect(await ended).toMatchObject({ name: 'Fatal', kind: 'credentials' })
    expect(saved).toEqual([])
  })

  it('ends by hand while nothing has come back; a code on its way is still stored', async () => {
    const idle = ask()
    await idle.back()
    idle.stop.abort(new Interrupted())
    expect(await idle.ended).toBeInstanceOf(Interrupted)

    const gate = Promise.withResolvers<void>()
    const busy = ask({ redeem: (form) => gate.promise.then(() => consent.redeem(form)) })
    const page = visit(await busy.back())
    await until(async () => (await visit(await busy.back())).text.includes('does not belong'))
    busy.stop.abort(new Interrupted())
    gate.resolve()
    expect((await page).status).toBe(200)
    expect(busy.saved).toHaveLength(1)
    expect(await busy.ended).toMatchObject({ scopes: ['<b>&'] })
  })

  it.each(['HubSpot', 'Salesforce'])('says that a code of %s is too old', async (crm) => {
    let time = 0
    const seed = generate({ now: NOW, seed: 1, deals: 10, open: 5 })
    const look = crm === 'HubSpot' ? hubspot(seed) : salesforce(seed)
    const sandbox = await startSandbox(look, { now: NOW, monotonic: () => time })
    onTestFinished(() => sandbox.close())
    const app = { clientId: 'sandbox', clientSecret: 'sandbox' }
    const [hub, sf] = [hubspotSignIn({ baseUrl: sandbox.url, ...app }), signIn({ loginUrl: sandbox.url, ...app }, true)]
    const { ended, saved, said } = ask(crm === 'HubSpot' ? hub : sf)
    const late = await decide(await shown(said))
    time = 11 * 60_000
    expect((await visit(late)).text).toContain('too old')
    expect(await ended).toMatchObject({ message: expect.stringContaining('Run it again') })
    expect(saved).toEqual([])
  })
})
