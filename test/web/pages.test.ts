// The manager's pages over real nights of a lookalike CRM: what they say agrees with the report, filters and pages leave
// nothing out, hostile text stays text, and every state of a connection has its words.
import { Hono } from 'hono'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildReport } from '../../src/report/build.ts'
import type { ConnectionReport } from '../../src/report/model.ts'
import { ensureConnection, updateConnection } from '../../src/store/connections.ts'
import type { Database } from '../../src/store/db.ts'
import { failRun, openRun } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { webEn } from '../../src/texts/web-en.ts'
import { webFr } from '../../src/texts/web-fr.ts'
import { coaching } from '../../src/web/coaching.ts'
import { createWeb, type Web } from '../../src/web/server.ts'
import type { WebService } from '../../src/web/service.ts'
import { borrowed } from '../homes.ts'
import { DAY, HOSTILE_NAMES, MONDAY, REPS, seedDeal, seedOf, startCrm } from '../jobs/harness.ts'
import { settings, startProgram } from '../jobs/program.ts'
import { type Filled, filled, openAccess, serviceOver } from './harness.ts'

const [REP = '', OTHER = ''] = REPS
const hostile = Object.values(HOSTILE_NAMES)
const still = Array.from({ length: 30 }, (_, n) =>
  seedDeal(`Still ${n}`, { amount: 1000 * (n + 1), ownerEmail: n % 3 === 0 ? OTHER : REP, idle: 40 + n }),
)
const seed = seedOf([
  ...still,
  ...hostile.map((name) => seedDeal(name)),
  ...['100% of it', 'wakes up', 'answers no'].map((name) => seedDeal(name)),
  seedDeal('moves', { idle: 2, amount: 500 }),
])

let database: Database
let giveBack: () => Promise<void>
let at: Filled
let report: ConnectionReport
beforeAll(async () => {
  ;({ database, giveBack } = await borrowed())
  at = await filled(database, { hubspot: seed })
  const [crm] = at.crms
  await crm?.clock(MONDAY + DAY / 2)
  await crm?.act('wakes up', 'buyer-reply')
  await crm?.set('answers no', 'decision', 'no')
  await at.night(MONDAY + 4 * DAY)
  const found = await buildReport(database.db, {
    connections: at.service.connections,
    run: null,
    texts: en,
    timezone: 'UTC',
  })
  if (!found.connections[0]) throw new Error('nothing reported')
  report = found.connections[0]
})
afterAll(async () => {
  await at.close()
  await giveBack()
})

const page = async (path: string) => {
  const { status, text } = await at.get(path)
  expect(status, path).toBe(200)
  return text
}
/** What people read, without markup. */
const read = (html: string) =>
  html
    .replace(/<(style|svg)[\s\S]*?<\/\1>/g, '')
    .replace(/<[^>]+>/g, ' ')
    .replaceAll('&#39;', "'")
    .replace(/\s+/g, ' ')
const rowsOf = (html: string) =>
  [...html.matchAll(/<th scope="row"><a href="\/deals\/hub\/(\d+)"/g)].map(([, id]) => id ?? '')
const idOf = (name: string) => report.deals.find((deal) => deal.name === name)?.id ?? ''

describe('tonight', () => {
  test('says what the report says', async () => {
    const text = read(await page('/'))
    const [total] = report.forecast.total
    const { figures } = report.night
    expect(text).toContain(`Forecast as reported ${en.money(total?.forecast ?? 0, 'EUR')}`)
    expect(text).toContain(`Honest forecast ${en.money(total?.movingForecast ?? 0, 'EUR')}`)
    expect(text).toContain(`Moving again ${figures.recovered}`)
    expect(text).toContain(`Answered no ${figures.answeredNo}`)
    expect([figures.recovered, figures.answeredNo]).toEqual([1, 1])
    const reps = report.coaching.filter(({ stalled }) => stalled > 0)
    for (const { owner, stalled } of reps) expect(text).toContain(`${owner} ${stalled} €`)
    expect(reps).toHaveLength(2)
    expect(text).toContain(`No movement ${figures.stalled} €`)
  })

  test('has a chart of the nights, drawn without inline styles or scripts, and leads to the run', async () => {
    const html = await page('/')
    expect(html).toMatch(/<figure role="img" aria-label="Forecast night by night, EUR">/)
    expect(html).not.toMatch(/ style="|<script|<style| on\w+="/)
    expect(html).toContain(`href="/runs/${report.night.run}"`)
  })
})

describe('the list of deals', () => {
  test('page by page holds each stalled deal once, in order', async () => {
    const pages = await Promise.all([1, 2].map((n) => page(`/deals?page=${n}`)))
    const ids = pages.flatMap(rowsOf)
    const stalled = report.deals.filter(({ state }) => state === 'stalled')
    expect(stalled.length).toBeGreaterThan(25)
    expect(ids.toSorted()).toEqual(stalled.map(({ id }) => id).toSorted())
    const amounts = ids.map((id) => stalled.find((deal) => deal.id === id)?.amount ?? 0)
    expect(amounts).toEqual(amounts.toSorted((a, b) => b - a))
    expect(read(pages[0] ?? '')).toContain(
      `${stalled.length} deals, ${en.money(
        stalled.reduce((sum, { amount }) => sum + (amount ?? 0), 0),
        'EUR',
      )}`,
    )
    // Beyond the end is the end.
    expect(rowsOf(await page('/deals?page=99'))).toEqual(rowsOf(pages[1] ?? ''))
  })

  test.each([
    ['text=still+1', (name: string) => /^Still 1/.test(name)],
    ['text=100%25', (name: string) => name === '100% of it'],
    ['text=_0', () => false],
    ['state=answered_no', (name: string) => name === 'answers no'],
    ['rule=close_date_passed', () => false],
    ['rule=no_movement&text=still+2', (name: string) => /^Still 2/.test(name)],
  ])('filtered by %s', async (query, fits) => {
    const html = await page(`/deals?size=50&${query}`)
    const names = report.deals.filter(({ name, state }) => state !== 'moving' && fits(name)).map(({ id }) => id)
    expect(rowsOf(html).toSorted()).toEqual(names.toSorted())
    if (names.length === 0) expect(read(html)).toContain('No deal matches.')
  })

  test('filtered by owner, by team and stage, and all open ones', async () => {
    const some = report.coaching.find(({ owner, stalled }) => stalled === 10 && owner !== null)
    const { owner, team } = some ?? { owner: '', team: '' }
    expect(rowsOf(await page(`/deals?size=50&owner=${encodeURIComponent(owner ?? '')}`))).toHaveLength(10)
    const ofTeam = report.deals.filter((deal) => deal.team === team && deal.state === 'stalled')
    const query = new URLSearchParams({
      size: '50',
      team: team ?? '',
      stage: 'Qualified to buy',
      pipeline: 'New business',
    })
    expect(rowsOf(await page(`/deals?${query}`))).toHaveLength(ofTeam.length)
    expect(rowsOf(await page('/deals?size=50&state=open'))).toHaveLength(report.night.figures.open)
    expect(rowsOf(await page('/deals?stage=Contract+sent'))).toEqual([])
  })

  test('sorted by the last movement, and by the close date', async () => {
    const moved = rowsOf(await page('/deals?size=50&order=movement')).map(
      (id) => report.deals.find((deal) => deal.id === id)?.lastMovement,
    )
    expect(moved).toEqual(moved.toSorted())
    expect(await page('/deals?order=close')).toContain('aria-sort="ascending"')
  })

  test('what an address says wrongly counts as not said', async () => {
    const wrong = await page('/deals?state=x&page=-1&size=7&order=;drop&rule=%01&connection=nobody%01')
    expect(read(wrong)).toContain('No deal matches.')
    expect(rowsOf(await page('/deals?state=x&page=1e9&size=7&order=;drop&rule=%01'))).toHaveLength(25)
    expect(rowsOf(await page(`/deals?text=${'x'.repeat(5000)}`))).toHaveLength(25)
  })
})

describe('one deal', () => {
  test('has its verdict, what counted and what did not, and what was written in which run', async () => {
    const html = await page(`/deals/hub/${idOf('Still 7')}`)
    const text = read(html)
    expect(text).toMatch(/Stalled No movement Open in HubSpot/)
    expect(text).toMatch(
      /No movement since .* \(stage moved forward\); the limit in stage Qualified to buy is 15 working days/,
    )
    expect(text).toMatch(/What clears the flag: a reply from the buyer/)
    expect(text).toMatch(/No movement \d+ working days 15 yes/)
    expect(text).toMatch(/stage moved forward \(Appointment scheduled → Qualified to buy\) counts/)
    expect(text).toMatch(/does not count: written by unstall/)
    expect(text).toMatch(/forecast category: flagged written/)
    expect(html).toContain(`href="/runs/hub-2026-11-23-2"`)
    expect(text).toMatch(/Moving → Stalled: No movement/)
    expect(html).toMatch(/<a class="out" href="https:\/\/[^"]+" rel="noopener noreferrer"/)
  })

  test('in French, with its typography', async () => {
    const html = await page(`/deals/hub/${idOf('Still 7')}?language=fr`)
    expect(html).toContain('<html lang="fr">')
    expect(html).toContain('catégorie de prévision\u00a0: signalée')
    expect(html).toContain('8\u202f000\u00a0€')
    expect(read(html)).toContain('Ce qui lève le signalement')
  })

  test.each(['/deals/hub/999', '/deals/nobody/1', '/deals/hub/%00', '/deals/..%2f/%3Cscript%3E'])(
    '%s is unknown',
    async (path) => {
      const { status, text } = await at.get(path)
      expect(status).toBe(404)
      expect(text).toContain('<main id="content"')
      expect(text).not.toContain('<script')
    },
  )
})

describe('the coaching sheet', () => {
  test('has a line per rep that leads to the deals, and one per team', async () => {
    const html = await page('/coaching')
    for (const { owner, open, stalled } of report.coaching) {
      const href = `/deals?${new URLSearchParams({ owner: owner ?? '' })}`
      expect(read(html)).toMatch(new RegExp(`${owner} ${open} ${stalled} €`))
      expect(html).toContain(`href="${href}"`)
    }
    expect(read(html)).toContain('Team by team')
  })

  test('says that it is being prepared, and looks again; an earlier one stays meanwhile', async () => {
    const web: Web = new Hono()
    web.use(async (c, next) => {
      c.set('viewer', { role: 'viewer', words: webEn, csrf: '', name: null, signsOut: false })
      await next()
    })
    coaching(web, at.service, 0)
    const ask = async () => (await web.request('/coaching')).text()
    const first = await ask()
    expect(first).toContain('http-equiv="refresh"')
    expect(read(first)).toContain('hub is being summed up')
    const until = performance.now() + 5000
    let text = first
    while (text.includes('http-equiv="refresh"') && performance.now() < until) text = await ask()
    expect(read(text)).toContain('Rep by rep')
    const [crm] = at.crms
    if (crm) await at.program.night(crm, MONDAY + 4 * DAY + 60_000)
    const stale = await ask()
    expect(read(stale)).toContain('As of an earlier night')
    expect(read(stale)).toContain('Rep by rep')
  })
})

describe('hostile text', () => {
  test('stays text on every page, in both languages', async () => {
    const paths = [
      '/',
      '/deals?size=50',
      '/deals?size=50&state=open',
      '/coaching',
      ...report.deals.map(({ id }) => `/deals/hub/${id}`),
    ]
    for (const language of ['en', 'fr'])
      for (const path of paths) {
        const html = await page(`${path}${path.includes('?') ? '&' : '?'}language=${language}`)
        expect(html, path).not.toMatch(/<script|<b>| on\w+="/)
        expect(
          ['\u202e', '\u001b', '\0'].filter((character) => html.includes(character)),
          path,
        ).toEqual([])
        expect(html.length, path).toBeLessThan(200_000)
      }
    const list = await page('/deals?size=50')
    expect(list).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
    expect(list).toContain('شركة الأمل')
  })

  test('a filter is shown as text, and a link that is none of the web is not one', async () => {
    const query = new URLSearchParams({ text: '"><script>alert(1)</script>', owner: "'><img onerror=x>" })
    const html = await page(`/deals?${query}`)
    expect(html).not.toMatch(/<script|<img/)
    const id = idOf('moves')
    await sql`UPDATE deal SET known = jsonb_set(known, '{deal,url}', '"javascript:alert(1)"') WHERE id = ${id}`.execute(
      database.db,
    )
    for (const path of [`/deals/hub/${id}`, '/deals?state=open&text=moves'])
      expect(await page(path)).not.toContain('javascript:')
  })
})

describe('the frame', () => {
  test('the other language is one link away and keeps the filters; the page says where it is', async () => {
    const html = await page('/deals?state=open&owner=A%26B')
    expect(html).toContain('href="?state=open&amp;owner=A%26B&amp;language=fr"')
    expect(html).toMatch(/<a href="\/deals" aria-current="page">/)
  })

  test.each([
    ['fr-CA,fr;q=0.9,en;q=0.8', 'fr'],
    ['de-DE,de;q=0.9,en-US;q=0.8', 'en'],
    ['de', 'en'],
  ])('a browser that prefers %s gets %s, until somebody chooses', async (accepted, expected) => {
    const ask = async (path: string, cookie = '') => {
      const headers = { 'Accept-Language': accepted, cookie }
      return (await at.web.request(`http://127.0.0.1${path}`, { headers })).text()
    }
    expect(await ask('/')).toContain(`<html lang="${expected}">`)
    const other = expected === 'fr' ? 'en' : 'fr'
    expect(await ask('/', `language=${other}`)).toContain(`<html lang="${other}">`)
    expect(await ask(`/?language=${other}`)).toContain(`<html lang="${other}">`)
  })

  test('has its stylesheet, which loads nothing', async () => {
    const { status, text } = await at.get('/style.css')
    expect(status).toBe(200)
    expect(text).toContain('prefers-color-scheme: dark')
    expect(text).not.toMatch(/url\(|@import|http/)
  })
})

describe('before, between and in trouble', () => {
  const hub = { name: 'hub', system: 'hubspot', settings } as const
  let fresh: Awaited<ReturnType<typeof borrowed>>
  beforeAll(async () => {
    fresh = await borrowed()
  })
  afterAll(() => fresh.giveBack())
  const shown = async (path: string, more: Partial<WebService> = {}) => {
    const web = createWeb(serviceOver(fresh.database, { connections: [hub], ...more }), openAccess())
    return (await web.request(`http://127.0.0.1${path}`)).text()
  }

  test('from nothing at all to a first night that waits, then trouble', async () => {
    const { db } = fresh.database
    expect(read(await shown('/', { connections: [] }))).toContain('No connection is configured')
    expect(await shown('/')).toContain('class="button" href="/connections"')
    for (const path of ['/deals', '/coaching']) expect(read(await shown(path))).toContain('the first night comes first')

    const night = {
      connection: 'hub',
      localDate: '2026-11-22',
      now: MONDAY - DAY,
      settings,
      settingsHash: 'x',
      createdAt: 1,
    }
    await ensureConnection(db, 'hub', 'hubspot')
    const opened = await openRun(db, { ...night, kind: 'preview' })
    const reading = await shown('/')
    expect(read(reading)).toContain('hub is being read for the first time')
    expect(reading).toContain('http-equiv="refresh"')
    if ('busy' in opened) throw new Error('busy')
    await failRun(db, opened.run, 2, 'it is <b>broken</b>')
    const failed = await shown('/')
    expect(failed).toContain('did not finish. it is &lt;b&gt;broken&lt;/b&gt;')
    expect(failed).toContain(`href="/runs/${opened.run.id}"`)

    const crm = await startCrm('hubspot', seed)
    const program = await startProgram({ database: fresh.database, crms: [crm] })
    const preview = await program.night(crm, MONDAY, { kind: 'preview' })
    await program.close()
    await crm.stop()
    const waits = await shown('/')
    expect(read(waits)).toContain('the first night waits for your confirmation')
    expect(waits).toContain(`class="button" href="/runs/${preview.id}"`)
    expect(read(await shown('/deals'))).toContain('No deal stands still at the moment')

    await updateConnection(db, 'hub', {
      circuit: { state: 'paused', until: MONDAY + 9 * DAY, reason: 'daily calls used up' },
    })
    expect(read(await shown('/'))).toMatch(/hub takes no calls until 2 December 2026 .*: daily calls used up/)
    await updateConnection(db, 'hub', { circuit: { state: 'reconnect', since: MONDAY, reason: '401 from the CRM' } })
    const refused = await shown('/')
    expect(refused).toContain('<li class="alarmed"><p>hub refuses our access: 401 from the CRM</p>')
    expect(refused).toContain('href="/connections">What to do')
  })

  test('a night that was taken back is said', async () => {
    const [crm] = at.crms
    if (!crm) throw new Error('no CRM')
    const undone = await at.program.night(crm, MONDAY + 4 * DAY + 120_000)
    await at.program.undo(undone, MONDAY + 4 * DAY + 150_000, [idOf('moves')])
    // One deal of it is not the night.
    expect(read(await page('/'))).not.toContain('was taken back afterwards')
    const undo = await at.program.undo(undone, MONDAY + 4 * DAY + 180_000)
    // A look at the next one does not change what is shown of this one.
    await at.program.night(crm, MONDAY + 4 * DAY + 200_000, { kind: 'preview' })
    const html = await page('/')
    expect(read(html)).toContain('hub: the night of 27 November 2026 was taken back afterwards')
    expect(html).toContain(`href="/runs/${undo.id}"`)
  })

  test('a night that is missing is said', async () => {
    const late = createWeb({ ...at.service, clock: () => MONDAY + 20 * DAY }, openAccess())
    expect(read(await (await late.request('http://127.0.0.1/')).text())).toContain('Later nights are missing')
    expect(read(await page('/'))).not.toContain('Later nights are missing')
    // Once a week, and not due since.
    const schedule = '0 2 * * 1'
    const weekly = createWeb({ ...at.service, schedule, clock: () => MONDAY + 6 * DAY }, openAccess())
    expect(read(await (await weekly.request('http://127.0.0.1/')).text())).not.toContain('Later nights are missing')
  })
})

test('both languages fill the same holes', () => {
  const holes = (words: object): Record<string, unknown> =>
    JSON.parse(JSON.stringify(words), (_, value) =>
      typeof value === 'string' ? [...value.matchAll(/\{\w+\}/g)].map(String).sort() : value,
    )
  expect(holes(webFr.pages)).toEqual(holes(webEn.pages))
})
