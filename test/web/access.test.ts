// Who gets in, who may act, and what is refused: by the pages themselves, without a network.
import { createHmac, hkdfSync, scryptSync } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { accessOf } from '../../src/app.ts'
import { parseConfig } from '../../src/config.ts'
import { UsageError } from '../../src/errors.ts'
import type { Database } from '../../src/store/db.ts'
import { en } from '../../src/texts/en.ts'
import { fr } from '../../src/texts/fr.ts'
import { webEn } from '../../src/texts/web-en.ts'
import type { AccessOptions } from '../../src/web/access.ts'
import { hashPassword, isPassword } from '../../src/web/password.ts'
import { createWeb } from '../../src/web/server.ts'
import type { WebService } from '../../src/web/service.ts'
import { borrowed } from '../homes.ts'
import { settings } from '../jobs/program.ts'
import { access, browser } from './browser.ts'

/** With less work than a real one, but of the same form. */
const weak = (password: string) => {
  const salt = Buffer.from('0123456789abcdef')
  const key = scryptSync(password, salt, 32, { N: 16, r: 8, p: 1 })
  return `scrypt.16.8.1.${salt.toString('base64url')}.${key.toString('base64url')}`
}
const [OPERATOR, VIEWER] = [weak('may act'), weak('may look')]
const words = webEn.access
const problems = words.problems
const HUB = { name: 'hub', system: 'hubspot', settings } as const

let database: Database
let giveBack: () => Promise<void>
beforeAll(async () => {
  ;({ database, giveBack } = await borrowed())
})
afterAll(() => giveBack())

let clock = 0
const started: string[] = []
const logged: object[] = []
const acts: object[] = []
const busy = (name: string) => async () => {
  started.push(name)
  throw new UsageError(
    'The settings have changed since preview x. Run "unstall plan" and confirm the preview it names.',
  )
}
const service = (more: Partial<WebService> = {}): WebService => ({
  ...{ db: database.db, connections: [], schedule: '0 2 * * *', timezone: 'UTC', language: 'en', clock: () => clock },
  texts: (language) => ({ en, fr })[language],
  ...{
    preview: busy('preview'),
    run: busy('run'),
    undo: busy('undo'),
    drawUndo: busy('drawUndo'),
    check: busy('check'),
  },
  board: null,
  log: { info: (data) => void acts.push(data), error: (data) => void logged.push(data) },
  ...more,
})
const pages = (options: Partial<AccessOptions> = {}, more: Partial<WebService> = {}) =>
  createWeb(service(more), access({ clock: () => clock, ...options }))
const guarded = (more: Partial<AccessOptions> = {}) => pages({ operator: OPERATOR, viewer: VIEWER, ...more })

it('a password is stored as a hash that differs each time and fits only it', async () => {
  const [one, two] = await Promise.all([hashPassword('ünstall'), hashPassword('ünstall')])
  expect(one).not.toBe(two)
  expect(one).toMatch(/^scrypt\.32768\.8\.3\.[\w-]{22}\.[\w-]{43}$/)
  expect(await isPassword('u\u0308nstall', one)).toBe(true)
  expect(await isPassword('unstall', one)).toBe(false)
})

it('starts for others only behind a password or a proxy', () => {
  const file = '/etc/acme/unstall.config.yaml'
  const text = (web = '') => `timezone: UTC
${web}connections:
  hub: { system: hubspot, baseUrl: "http://127.0.0.1:4010", auth: { kind: token, token: sandbox-x } }
`
  const of = (variables: Record<string, string>, web?: string) => () => {
    const key = { UNSTALL_SECRET_KEY: 'k'.repeat(32) }
    return accessOf(parseConfig(text(web), { file, now: 0, variables: { ...key, ...variables } }))
  }
  for (const UNSTALL_HOST of ['0.0.0.0', '::', '192.168.1.7', 'unstall.acme.example']) {
    expect(of({ UNSTALL_HOST })).toThrow(/UNSTALL_HOST is .*no password is set.*"unstall password".*UNSTALL_OPERATOR/)
    expect(of({ UNSTALL_HOST, UNSTALL_VIEWER: VIEWER })().open).toBe(false)
  }
  const proxy = 'web: { url: "https://u.acme.example", proxy: { header: X-Email, from: [10.0.0.1] } }\n'
  expect(of({ UNSTALL_HOST: '0.0.0.0' }, proxy)().open).toBe(false)
  for (const UNSTALL_HOST of ['127.0.0.1', '::1', 'localhost', '']) expect(of({ UNSTALL_HOST })().open).toBe(true)
  expect(of({}, 'web: { url: "https://u.acme.example" }\n')).toThrow(
    /web\.url is https:\/\/u\.acme\.example.*no password/,
  )
  expect(of({}, 'web: { url: "http://localhost:4000" }\n')().open).toBe(true)
  // Whoever sets one wants to be asked for it, also on this machine.
  expect(of({ UNSTALL_OPERATOR: OPERATOR })().open).toBe(false)
})

it('every answer carries its headers: no script, no frame, nothing kept', async () => {
  const { ask } = browser(guarded())
  for (const path of ['/login', '/style.css', '/nowhere', '/runs']) {
    const { headers } = await ask(path)
    expect(headers.get('content-security-policy'), path).toMatch(/^default-src 'none'; style-src 'self';/)
    expect(headers.get('content-security-policy')).not.toMatch(/script-src|unsafe/)
    expect(headers.get('content-security-policy')).toMatch(
      /form-action 'self'; frame-ancestors 'none'; base-uri 'none'/,
    )
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('cache-control')).toBe(path === '/style.css' ? 'no-cache' : 'no-store')
  }
})

it('this machine needs no password, and answers under its own name only', async () => {
  const web = pages({}, { connections: [HUB] })
  const { ask } = browser(web)
  expect((await ask('/runs')).status).toBe(200)
  for (const host of ['127.0.0.1:4000', 'localhost', '[::1]:4000', 'LOCALHOST:9', '127.0.0.2:4000'])
    expect((await ask('/runs', { headers: { host } })).status, host).toBe(200)
  const csrf = await browser(web).token('/connections')
  for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example:4000', '10.0.0.1:4000', '']) {
    const { status, text } = await ask('/runs', { headers: { host } })
    expect(status, host).toBe(403)
    expect(text).toContain(problems.host.words)
    expect((await ask('/connections/hub/run', { form: { csrf }, headers: { host } })).text).toContain(
      problems.host.words,
    )
  }
  // A proxy on this machine that forgot to ask who is there, whatever name it calls us by.
  for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip', 'x-forwarded-email'])
    expect((await ask('/runs', { headers: { [name]: '10.0.0.7' } })).status, name).toBe(403)
  expect((await ask('/login')).to).toBe('/')
})

it('nobody looks before the password; a wrong one says nothing more', async () => {
  const web = guarded()
  const { ask, signIn, cookies } = browser(web)
  for (const path of ['/', '/runs?page=2', '/connections', '/deals', '/coaching', '/runs/x/undo', '/queue']) {
    const { status, to, text } = await ask(path)
    expect(status, path).toBe(303)
    expect(to).toBe(`/login?${new URLSearchParams({ to: path })}`)
    expect(text).toBe('')
  }
  const nobody = new Map(cookies)
  for (const password of ['', 'may', 'may act ', 'x'.repeat(5000)]) {
    const { status, text } = await signIn(password)
    expect(status).toBe(403)
    expect(text).toContain(words.wrong)
    expect(text).not.toContain(words.names.operator)
  }
  expect(await ask('/runs')).toMatchObject({ status: 303 })
  const answer = await signIn('may act')
  expect(answer).toMatchObject({ status: 303, to: '/' })
  expect(answer.headers.getSetCookie()[0]).toMatch(/^unstall=[^;]+; Max-Age=43200; Path=\/; HttpOnly; SameSite=Lax$/)
  // Another visit than before: who knew the old cookie gets nothing.
  expect(cookies.get('unstall')).not.toBe(nobody.get('unstall'))
  const { status, text } = await ask('/runs')
  expect(status).toBe(200)
  expect(text).toContain(words.names.operator)
})

it('after signing in it leads back, but never to another site', async () => {
  const back = async (to: string) => {
    const { ask, token } = browser(guarded())
    return (await ask('/login', { form: { csrf: await token('/login'), password: 'may act', to } })).to
  }
  expect(await back('/runs/hub-2026-11-23-1?show=held&page=2')).toBe('/runs/hub-2026-11-23-1?show=held&page=2')
  for (const to of [
    '//evil.example',
    '/\\evil.example',
    'https://evil.example',
    '/\t/evil.example',
    'javascript:x',
    '',
  ])
    expect(await back(to), to).toBe('/')
})

it('signing out, another password and twelve hours end a visit', async () => {
  const web = guarded()
  const one = browser(web)
  await one.signIn('may act')
  const page = await one.press('/runs', '/logout')
  expect(page).toMatchObject({ status: 303, to: '/login' })
  expect((await one.ask('/runs')).status).toBe(303)

  await one.signIn('may act')
  const other = browser(guarded({ operator: weak('another') }))
  for (const [name, value] of one.cookies) other.cookies.set(name, value)
  expect((await other.ask('/runs')).status).toBe(303)
  // The same passwords and key on another machine: the same visit.
  const second = browser(guarded())
  for (const [name, value] of one.cookies) second.cookies.set(name, value)
  expect((await second.ask('/runs')).status).toBe(200)

  clock += 12 * 3_600_000 - 1
  expect((await one.ask('/runs')).status).toBe(200)
  clock += 1
  expect((await one.ask('/runs')).status).toBe(303)
})

it('a forged, cut, swapped or foreign cookie is nobody’s', async () => {
  const web = guarded()
  const { ask, signIn, cookies } = browser(web)
  await signIn('may look')
  const good = cookies.get('unstall') ?? ''
  const [payload = '', signature = ''] = good.split('.')
  const forged = Buffer.from(JSON.stringify({ id: 'x', role: 'operator', until: clock + 1000 })).toString('base64url')
  const foreign = hkdfSync('sha256', 'another secret', `${OPERATOR} ${VIEWER}`, 'unstall web', 32)
  const by = createHmac('sha256', Buffer.from(foreign)).update(`visit ${forged}`).digest('base64url')
  const bad = [`${forged}.${signature}`, `${forged}.${by}`, payload, `${payload}.`, good.slice(0, -1), `.${signature}`]
  for (const cookie of [
    ...bad,
    '',
    'x',
    '.',
    `${good}.x`.replace(payload, forged),
    `${payload}.${await signed(forged)}`,
  ]) {
    cookies.set('unstall', cookie)
    expect((await ask('/runs')).status, cookie).toBe(303)
  }
  cookies.set('unstall', good)
  expect((await ask('/runs')).status).toBe(200)
})
/** The token of a form is signed with the same key, and is no cookie for all that. */
async function signed(id: string): Promise<string> {
  return access({ operator: OPERATOR, viewer: VIEWER }).token({ id, role: null, name: null })
}

it('a form without its token, or from another site, does nothing', async () => {
  started.length = acts.length = 0
  const web = pages({}, { connections: [HUB] })
  const { ask, token, press } = browser(web)
  const csrf = await token('/connections')
  expect(csrf).toMatch(/^[\w-]{43}$/)
  const path = '/connections/hub/preview'
  const other = await browser(web).token('/connections')
  const sent: [Record<string, string>, Record<string, string>][] = [
    [{}, {}],
    [{ csrf: '' }, {}],
    [{ csrf: other }, {}],
    [{ csrf: `${csrf}x` }, {}],
    [{ csrf }, { origin: 'http://evil.example' }],
    [{ csrf }, { origin: 'null' }],
    [{ csrf }, { origin: 'http://127.0.0.1:4001' }],
    [{ csrf }, { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }],
    [{ csrf }, { 'sec-fetch-site': 'same-site' }],
    [{ csrf }, { 'sec-fetch-site': 'none' }],
  ]
  for (const [form, headers] of sent) {
    const { status, text } = await ask(path, { form, headers })
    expect(status, JSON.stringify(headers)).toBe(403)
    expect(text).toContain(problems.form.words)
  }
  const json = { method: 'POST', headers: { 'content-type': 'application/json' } }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'])
    expect((await ask(path, { ...json, method })).status).toBe(403)
  expect(started).toEqual([])
  // Nothing of ours is a picture or a frame of another site; its links may lead here.
  const embedded = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }
  for (const dest of ['image', 'iframe', 'script', 'empty'])
    expect((await ask('/connections/hub/check', { headers: { ...embedded, 'sec-fetch-dest': dest } })).status).toBe(403)
  expect((await ask('/runs', { headers: { ...embedded, 'sec-fetch-dest': 'document' } })).status).toBe(200)
  expect(started).toEqual([])
  // The good one is let through, and says what the action says.
  const { status, text } = await press('/connections', path, {}, { headers: { 'sec-fetch-site': 'same-origin' } })
  expect(status).toBe(409)
  expect(text).toContain('The settings have changed since preview x.')
  expect(started).toEqual(['preview'])
  expect(acts).toEqual([{ by: null, path }])
})

it('a viewer looks, sees no buttons, and cannot act', async () => {
  started.length = 0
  const web = pages({ operator: OPERATOR, viewer: VIEWER }, { connections: [HUB] })
  const { ask, signIn, press } = browser(web)
  await signIn('may look')
  const { text } = await ask('/connections')
  expect(text).toContain(words.names.viewer)
  expect(text).not.toContain('/connections/hub/preview')
  expect(text).not.toContain('href="/queue"')
  for (const path of ['/connections/hub/preview', '/connections/hub/run', '/runs/x/confirm', '/runs/x/undo']) {
    const answer = await press('/connections', path)
    expect(answer.status, path).toBe(403)
    expect(answer.text).toContain(problems.viewer.words)
  }
  expect(started).toEqual([])
})

it('what is larger than a form, and what is not there', async () => {
  const { ask, press } = browser(pages({}, { connections: [HUB] }))
  const large = await press('/connections', '/runs/x/undo', { deal: 'x'.repeat(65 * 1024) })
  expect(large.status).toBe(413)
  expect(large.text).toContain(problems.large.words)
  for (const path of [
    '/nowhere',
    '/runs/hub-2026-01-01-1',
    '/runs/%00',
    '/runs/hub-2026-01-01-1/undo',
    '/connections/x/check',
    '/queue',
  ]) {
    const { status, text } = await ask(path)
    expect(status, path).toBe(404)
    expect(text).toContain(problems.missing.words)
  }
  expect((await press('/connections', '/connections/nobody/preview')).status).toBe(404)
  expect((await press('/connections', '/runs/x/undo', { deal: 'a\0b' })).status).toBe(404)
})

it('what breaks is told by a number, in the log by the same, and shows nothing of the inside', async () => {
  logged.length = 0
  const clash = () => {
    throw new Error('relation "run" of password hunter2')
  }
  const { ask } = browser(pages({}, { texts: clash }))
  const { status, text } = await ask('/runs?language=fr')
  expect(status).toBe(500)
  expect(text).toContain('lang="fr"')
  expect(text).not.toMatch(/hunter2|relation|at .*\.ts/)
  const [about] = logged
  expect(about).toMatchObject({ path: '/runs', error: expect.any(Error) })
  expect(text).toContain(about && 'id' in about ? String(about.id) : 'no id')
})

it('ten wrong passwords from an address, a hundred from everywhere, then a pause', async () => {
  clock = Date.parse('2026-11-23T12:00:00Z')
  const web = guarded()
  const from = (address: string) => browser(web, { address })
  const one = from('192.0.2.1')
  for (let n = 0; n < 9; n++) expect((await one.signIn('no')).status).toBe(403)
  // A right one costs nothing.
  for (let n = 0; n < 3; n++) expect((await from('192.0.2.1').signIn('may act')).status).toBe(303)
  expect((await one.signIn('no')).status).toBe(403)
  acts.length = 0
  const refused = await one.signIn('may act')
  expect(acts).toEqual([{ from: '192.0.2.1' }])
  expect(refused.status).toBe(429)
  expect(refused.headers.get('retry-after')).toBe('900')
  expect(refused.text).toContain('Try again in 15 minutes')
  expect((await from('::ffff:192.0.2.1').signIn('may act')).status).toBe(429)
  expect((await from('192.0.2.2').signIn('may act')).status).toBe(303)
  const all = Array.from({ length: 100 }, (_, n) => from(`198.51.100.${n}`).signIn('no'))
  const statuses = (await Promise.all(all)).map(({ status }) => status)
  expect(statuses.filter((status) => status === 403)).toHaveLength(90)
  expect((await from('203.0.113.1').signIn('may act')).status).toBe(429)
  clock += 15 * 60_000
  expect((await one.signIn('may act')).status).toBe(303)
})

it('a proxy’s header counts from its own address only', async () => {
  const proxy = { header: 'X-Forwarded-Email', from: ['10.0.0.0/8', 'fd00::/8'], operators: ['ann@acme.example'] }
  const url = 'https://unstall.acme.example'
  const web = pages({ proxy, url })
  const email = (value: string) => ({ headers: { 'x-forwarded-email': value } })
  const ask = (address: string, path: string, sent = {}) => browser(web, { address, origin: url }).ask(path, sent)
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', 'fd12::1']) {
    const { status, text, headers } = await ask(address, '/runs', email(' Ann@acme.example'))
    expect(status, address).toBe(200)
    expect(text).toContain('ann@acme.example')
    expect(text).not.toContain(words.signOut)
    expect(headers.getSetCookie()[0]).toMatch(/^__Host-unstall=[^;]+; .*HttpOnly; Secure; SameSite=Lax$/)
  }
  for (const address of ['11.0.0.1', '127.0.0.1', 'fe80::1', '']) {
    const { status, text } = await ask(address, '/runs', email('ann@acme.example'))
    expect(status, address).toBe(403)
    expect(text).toContain(problems.stranger.words)
  }
  for (const bad of ['', 'ann@acme.example, eve@evil.example', 'ann@acme.example eve', 'a'.repeat(300)])
    expect((await ask('10.1.2.3', '/runs', email(bad))).status, bad).toBe(403)
  // Whoever is no operator looks only; a token belongs to its person.
  const bob = browser(web, { address: '10.1.2.3', origin: url })
  expect((await bob.ask('/connections', email('bob@acme.example'))).text).not.toContain('/preview"')
  const page = await bob.ask('/runs', email('ann@acme.example'))
  expect(page.status).toBe(200)
  // With a password too, others may still use that.
  const both = browser(pages({ proxy, operator: OPERATOR, url }), { address: '11.0.0.1', origin: url })
  expect((await both.signIn('may act')).status).toBe(303)
  expect((await both.ask('/runs')).status).toBe(200)
})

it('speaks the language that was asked for, and remembers it', async () => {
  const { ask } = browser(guarded())
  expect((await ask('/login')).text).toContain('lang="en"')
  expect((await ask('/login?language=fr')).text).toContain('Se connecter')
  expect((await ask('/login')).text).toContain('Se connecter')
  expect((await ask('/login?language=xx')).text).toContain('Se connecter')
  for (const language of ['__proto__', 'de'])
    for (const sent of [{}, { headers: { cookie: `language=${language}` } }])
      expect((await ask(`/login?language=${language}`, sent)).status).toBe(200)
})
