// The dashboard as one Hono app: who may look, then the pages. Server-rendered; everything works without scripts.
import { randomUUID } from 'node:crypto'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { getCookie, setCookie } from 'hono/cookie'
import { html } from 'hono/html'
import { Fatal, RetryLater, UsageError } from '../errors.ts'
import { remark } from '../texts/remarks.ts'
import { fill } from '../texts/shared.ts'
import { type WebWords, webEn } from '../texts/web-en.ts'
import { webFr } from '../texts/web-fr.ts'
import { type Access, addressOf } from './access.ts'
import { coaching } from './coaching.ts'
import { deals } from './deals.ts'
import { formToken, type Viewer } from './layout.ts'
import { operatorPages } from './operate.ts'
import { overview } from './overview.ts'
import { type PageContext, show } from './parts.ts'
import { runPages } from './runs.ts'
import type { WebService } from './service.ts'
import { STYLE } from './style.ts'

export type Web = Hono<{ Variables: { viewer: Viewer } }>

const CSP = `default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`
/** Of bull-board, which is one script. It asks for fonts of another site and does without them. */
const BOARD_CSP = `default-src 'none'; script-src 'self'; connect-src 'self'; font-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'; base-uri 'self'`
const FORM_BYTES = 64 * 1024
const LANGUAGES = new Map<string | undefined, WebWords>([webEn, webFr].map((words) => [words.language, words]))
const YEAR_S = 365 * 86_400

/** The first language of the browser that we speak: browsers list them in order. */
const preferred = (c: PageContext): WebWords | undefined =>
  (c.req.header('accept-language') ?? '')
    .split(',')
    .flatMap((one) => LANGUAGES.get(one.trim().slice(0, 2).toLowerCase()) ?? [])[0]

type Problem = keyof WebWords['access']['problems']
/** A page that says what is in the way, and how to go on. */
function problem(c: PageContext, status: 403 | 404 | 409 | 413 | 500, of: Problem, text?: string) {
  const viewer = c.get('viewer')
  const { access } = viewer.words
  const { title, words } = access.problems[of]
  const body = html`<p role="alert">${text ?? words}</p>
<p><a href="/">${access.back}</a></p>`
  return show(c, { title, at: '', body, bare: viewer.csrf === '' }, status)
}

const missing = (c: PageContext) => problem(c, 404, 'missing')

export function createWeb(service: WebService, access: Access): Web {
  const web: Web = new Hono()
  web.onError((error, c) => {
    if (error instanceof UsageError || error instanceof Fatal || error instanceof RetryLater)
      return problem(c, 409, 'refused', remark(c.get('viewer').words.language, error.message))
    const id = randomUUID().slice(0, 8)
    service.log.error({ id, path: c.req.path, error }, 'a page could not be shown')
    return problem(c, 500, 'broken', fill(c.get('viewer').words.access.problems.broken.words, { id }))
  })
  web.notFound(missing)

  web.use(async (c, next) => {
    const asked = LANGUAGES.get(c.req.query('language'))?.language
    const chosen = LANGUAGES.get(asked ?? getCookie(c, 'language')) ?? preferred(c)
    const words = chosen ?? LANGUAGES.get(service.language) ?? webEn
    c.set('viewer', { role: 'viewer', words, csrf: '', name: null, signsOut: false })
    await next()
    if (asked) setCookie(c, 'language', asked, { path: '/', sameSite: 'Lax', httpOnly: true, maxAge: YEAR_S })
    const board = c.req.path === '/queue' || c.req.path.startsWith('/queue/')
    c.header('Content-Security-Policy', board && c.res.ok ? BOARD_CSP : CSP)
    c.header('X-Content-Type-Options', 'nosniff')
    c.header('Referrer-Policy', 'same-origin')
    if (!c.res.headers.has('Cache-Control')) c.header('Cache-Control', 'no-store')
  })
  web.use(async (c, next) => {
    // Other sites may lead people here, and use nothing of ours: neither as a picture nor in a frame.
    const used = c.req.header('sec-fetch-site') === 'cross-site' && c.req.header('sec-fetch-dest') !== 'document'
    if (used) return problem(c, 403, 'form')
    // No name or id has a NUL in it, and the database takes none.
    if (/%00/.test(new URL(c.req.url).pathname)) return missing(c)
    return access.foreign(c) ? problem(c, 403, 'host') : next()
  })
  web.get('/style.css', (c) => {
    c.header('Cache-Control', 'no-cache')
    return c.body(STYLE, 200, { 'Content-Type': 'text/css; charset=utf-8' })
  })
  web.use(bodyLimit({ maxSize: FORM_BYTES, onError: (c) => problem(c, 413, 'large') }))
  web.use(async (c, next) => {
    const visit = access.visit(c)
    const reads = c.req.method === 'GET' || c.req.method === 'HEAD'
    const form = reads ? {} : await c.req.parseBody().catch(() => ({ csrf: '' }))
    const { words } = c.get('viewer')
    const csrf = access.token(visit)
    const signsOut = visit.role !== null && visit.name === null && access.signsIn
    const name = visit.name ?? (signsOut && visit.role ? words.access.names[visit.role] : null)
    c.set('viewer', { words, role: visit.role ?? 'viewer', csrf: visit.role === null ? '' : csrf, name, signsOut })
    if (!reads && !access.ownForm(c, visit, form.csrf)) return problem(c, 403, 'form')
    if (Object.values(form).some((value) => String(value).includes('\0'))) return missing(c)
    if (c.req.path === '/login') {
      // The form of nobody yet has a token too.
      c.set('viewer', { ...c.get('viewer'), csrf })
      return next()
    }
    if (visit.role === null) {
      if (!access.signsIn) return problem(c, 403, 'stranger')
      const { pathname, search } = new URL(c.req.url)
      const to = new URLSearchParams({ to: pathname + search })
      return reads ? c.redirect(`/login?${to}`, 303) : problem(c, 403, 'form')
    }
    if (reads || c.req.path === '/logout') return next()
    if (visit.role !== 'operator') return problem(c, 403, 'viewer')
    service.log.info({ by: name, path: c.req.path }, 'asked for on a page')
    return next()
  })
  signingIn(web, service, access)
  overview(web, service)
  deals(web, service)
  coaching(web, service)
  runPages(web, service)
  operatorPages(web, service)
  if (service.board) board(web, service.board)
  return web
}

function signingIn(web: Web, service: WebService, access: Access): void {
  const page = (c: PageContext, to: string, wrong: string | null, status: 200 | 403 | 429 = 200) => {
    const viewer = c.get('viewer')
    const { signIn, ask, password } = viewer.words.access
    const body = html`<form method="post" action="/login" class="narrow">
${formToken(viewer)}<input type="hidden" name="to" value="${to}">
<p>${ask}</p>
${wrong === null ? '' : html`<p role="alert" id="wrong">${wrong}</p>`}
<p><label for="password">${password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus${wrong === null ? '' : html` aria-describedby="wrong"`}></p>
<p><button>${signIn}</button></p>
</form>`
    return show(c, { title: signIn, at: '', body, bare: true }, status)
  }
  /** A path of ours, never another site. */
  const local = (to: unknown) => (typeof to === 'string' && /^\/(?![/\\])[\w/.:%?&=+~-]*$/.test(to) ? to : '/')

  web.get('/login', (c) => (access.signsIn ? page(c, local(c.req.query('to')), null) : c.redirect('/', 303)))
  web.post('/login', async (c) => {
    if (!access.signsIn) return missing(c)
    const { password, to } = await c.req.parseBody()
    const { wrong, later } = c.get('viewer').words.access
    const visit = await access.signIn(c, typeof password === 'string' ? password : '')
    if (visit === null || 'later' in visit) service.log.info({ from: addressOf(c) }, 'not signed in')
    if (visit === null) return page(c, local(to), wrong, 403)
    if (!('later' in visit)) return c.redirect(local(to), 303)
    c.header('Retry-After', String(Math.ceil(visit.later / 1000)))
    return page(c, local(to), fill(later, { minutes: String(Math.ceil(visit.later / 60_000)) }), 429)
  })
  web.post('/logout', (c) => {
    access.signOut(c)
    return c.redirect('/login', 303)
  })
}

/** Operators only; it changes nothing (queue.ts). */
function board(web: Web, load: () => Promise<Hono>): void {
  let pages: Promise<Hono> | undefined
  web.get('/queue/*', async (c) => {
    if (c.get('viewer').role !== 'operator') return problem(c, 403, 'viewer')
    pages ??= load().then((loaded) => new Hono().route('/queue', loaded))
    return (await pages).fetch(c.req.raw, c.env)
  })
}
