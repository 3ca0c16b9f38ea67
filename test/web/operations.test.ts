// What monitoring sees: ready or why not, and figures that agree with the database; who may read them.
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Settings } from '../../src/core/policy.ts'
import { NO_SUMMARY } from '../../src/report/summary.ts'
import { ensureConnection, updateConnection } from '../../src/store/connections.ts'
import { quarantine } from '../../src/store/deals.ts'
import { claimDigest } from '../../src/store/digests.ts'
import { failRun, finishRun, openRun, startStep } from '../../src/store/runs.ts'
import { createMetrics } from '../../src/web/metrics.ts'
import { type Operations, operations } from '../../src/web/operations.ts'
import { borrowed } from '../homes.ts'

const NOW = Date.parse('2026-11-23T08:00:00Z')
const HOUR = 3_600_000
const TOKEN = 'a token of twenty letters'

let at: Awaited<ReturnType<typeof borrowed>>
beforeAll(async () => {
  at = await borrowed()
  const { db } = at.database
  const settings = Settings.parse({ timezone: 'UTC' })
  const run = async (connection: string, hoursAgo: number, kind: 'night' | 'manual' | 'undo') => {
    const now = NOW - hoursAgo * HOUR
    const localDate = new Date(now).toISOString().slice(0, 10)
    const opened = await openRun(db, { connection, kind, localDate, now, settings, settingsHash: '', createdAt: now })
    const started = 'run' in opened ? await startStep(db, opened.run.id, 'pull') : null
    if (!started) throw new Error('busy')
    return started
  }
  for (const name of ['hub', 'sf', 'left the configuration']) {
    await ensureConnection(db, name, 'hubspot')
    await updateConnection(db, name, { confirmedAt: 1 })
  }
  const figures = { ...NO_SUMMARY.figures, open: 100, stalled: 30, parked: 5, answeredNo: 1 }
  const writes = { flag: { done: 7, refused: 2 }, task: { done: 3, held: 1 } }
  await finishRun(db, await run('hub', 200, 'night'), NOW - 200 * HOUR, NO_SUMMARY)
  await finishRun(db, await run('hub', 30, 'night'), NOW - 29 * HOUR, { ...NO_SUMMARY, figures, writes })
  await failRun(db, await run('hub', 6, 'night'), NOW - 5 * HOUR, 'HubSpot does not answer')
  await finishRun(db, await run('sf', 5, 'manual'), NOW - 4 * HOUR, { ...NO_SUMMARY, writes: { flag: { done: 4 } } })
  await finishRun(db, await run('left the configuration', 5, 'night'), NOW, NO_SUMMARY)
  await updateConnection(db, 'sf', { circuit: { state: 'reconnect', since: NOW, reason: 'no' } })
  await quarantine(db, 'hub', [{ deal: '1', problem: 'odd' }], NOW)
  const digest = { kind: 'nightly', recipient: 'ops@acme.example', week: '2026-W48', told: [] } as const
  for (const period of ['1', '2']) await claimDigest(db, { ...digest, period, status: 'quiet', createdAt: NOW })
})
afterAll(() => at.giveBack())

const depth = async () => ({ waiting: 2, active: 1, delayed: 3 })
function monitored(change: Partial<Operations> = {}) {
  const metrics = createMetrics()
  const { database } = at
  const connections = [
    { name: 'hub', system: 'hubspot' },
    { name: 'sf', system: 'salesforce' },
  ] as const
  const fleet = { db: database.db, clock: () => NOW, connections, depth }
  const web = new Hono()
  operations(web, { role: 'all', database, metrics, fleet, metricsToken: { reveal: () => TOKEN }, ...change })
  return { web, metrics }
}
const signedIn = { headers: { authorization: `Bearer ${TOKEN}` } }

it('/healthz says which run was last, and nothing at all of why not', async () => {
  const well = await monitored().web.request('/healthz')
  expect([well.status, await well.json()]).toEqual([
    200,
    { ok: true, role: 'all', lastRun: { id: expect.stringMatching(/-2026-11-23-1$/), status: 'done' } },
  ])
  const db = at.database.db.withSchema('nowhere')
  const fleet = { db, clock: () => NOW, connections: [], depth }
  const ill = await monitored({ fleet }).web.request('/healthz')
  expect([ill.status, await ill.json()]).toEqual([503, { ok: false, role: 'all', lastRun: null }])
})

describe('/readyz', () => {
  it('all is well', async () => {
    const answer = await monitored().web.request('/readyz')
    expect([answer.status, await answer.json()]).toEqual([200, { ready: true, database: 'ok', queue: 'ok' }])
  })

  it.each<[string, Partial<Operations>, object]>([
    [
      'the database is away',
      { database: { migrated: () => Promise.reject(new Error('ECONNREFUSED secret-host')) } },
      { database: 'does not answer' },
    ],
    [
      'tables of an older version',
      { database: { migrated: async () => false } },
      { database: expect.stringContaining('brought up to date') },
    ],
    ['the queue is away', {}, { queue: 'does not answer' }],
  ])('%s: 503, and which', async (what, change, told) => {
    const fleet = {
      db: at.database.db,
      clock: () => NOW,
      connections: [],
      depth: () => Promise.reject(new Error('Redis')),
    }
    const answer = await monitored(what.includes('queue') ? { fleet } : change).web.request('/readyz')
    expect(answer.status).toBe(503)
    expect(await answer.json()).toMatchObject({ ready: false, ...told })
  })

  it('a store that says nothing at all is waited for, but not for long', async () => {
    const silent = { migrated: () => new Promise<boolean>(() => {}) }
    const answer = await monitored({ database: silent, readyMs: 20 }).web.request('/readyz')
    expect(await answer.json()).toMatchObject({ ready: false, database: 'does not answer', queue: 'ok' })
  })
})

describe('/metrics', () => {
  it('agrees with the database, of the connections there are', async () => {
    const { web, metrics } = monitored()
    const hub = { name: 'hub', system: 'hubspot' } as const
    metrics.called(hub, { status: 200, leftToday: 800 })
    for (const status of [207, 429, 503, 401, null]) metrics.called(hub, { status })
    const answer = await web.request('/metrics', signedIn)
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    const lines = (await answer.text()).split('\n').filter((line) => !line.startsWith('#') && line !== '')
    expect(lines.toSorted()).toEqual(
      [
        'api_calls_left{connection="hub"} 800',
        ...[
          ['2xx', 2],
          ['429', 1],
          ['4xx', 1],
          ['5xx', 1],
          ['none', 1],
        ].map(([status, n]) => `api_calls_total{connection="hub",system="hubspot",status="${status}"} ${n}`),
        'connection_up{connection="hub",reason=""} 1',
        'connection_up{connection="sf",reason="reconnect"} 0',
        ...[
          ['answered_no', 1],
          ['moving', 64],
          ['parked', 5],
          ['stalled', 30],
        ].map(([state, n]) => `deals{connection="hub",state="${state}"} ${n}`),
        ...['answered_no', 'moving', 'parked', 'stalled'].map((state) => `deals{connection="sf",state="${state}"} 0`),
        'digests_7d{kind="nightly",status="quiet"} 2',
        `last_good_night_age_seconds{connection="hub"} ${29 * 3600}`,
        `last_good_night_age_seconds{connection="sf"} ${4 * 3600}`,
        'quarantined_deals{connection="hub"} 1',
        ...[
          ['active', 1],
          ['delayed', 3],
          ['waiting', 2],
        ].map(([state, n]) => `queue_jobs{state="${state}"} ${n}`),
        'runs_7d{connection="hub",kind="night",status="done"} 1',
        'runs_7d{connection="hub",kind="night",status="failed"} 1',
        'runs_7d{connection="sf",kind="manual",status="done"} 1',
        ...[
          ['done', 10],
          ['held', 1],
          ['refused', 2],
        ].map(([outcome, n]) => `writes_7d{connection="hub",outcome="${outcome}"} ${n}`),
        'writes_7d{connection="sf",outcome="done"} 4',
      ]
        .map((line) => `unstall_${line}`)
        .toSorted(),
    )
  })

  it('each is in the manual, which names no other', async () => {
    const text = await (await monitored().web.request('/metrics', signedIn)).text()
    const names = [...text.matchAll(/^# HELP (\w+)/gm)].map(([, name = '']) => name)
    const manual = readFileSync('docs/operations.md', 'utf8').matchAll(/^\| `(unstall_\w+)\{/gm)
    expect([...manual].map(([, name = '']) => name).sort()).toEqual(names.sort())
  })

  it('asked twice it says the same; two at once cost one', async () => {
    let asked = 0
    const fleet = { db: at.database.db, clock: () => NOW, connections: [], depth: async () => ({ waiting: ++asked }) }
    const { web } = monitored({ fleet })
    const text = async () => (await web.request('/metrics', signedIn)).text()
    const [one, two] = await Promise.all([text(), text()])
    expect(asked).toBe(1)
    expect(two).toBe(one)
    await text()
    expect(asked).toBe(2)
  })

  it('is for whoever has the token', async () => {
    const { web } = monitored()
    for (const authorization of ['', 'Bearer', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`]) {
      const answer = await web.request('/metrics', { headers: { authorization } })
      expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining('bearer token')])
    }
  })

  it('without a token only for this machine, and not through a proxy on it', async () => {
    const { web } = monitored({ metricsToken: null })
    const server = serve({ fetch: web.fetch, hostname: '127.0.0.1', port: 0 })
    onTestFinished(() => void server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    const address = server.address()
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/metrics`
    expect((await fetch(url)).status).toBe(200)
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip'])
      expect((await fetch(url, { headers: { [name]: '10.0.0.7' } })).status).toBe(401)
    const { port } = new URL(url)
    const named = await new Promise((resolve) =>
      request({ host: '127.0.0.1', port, path: '/metrics', headers: { host: `evil.example:${port}` } }, (answer) =>
        resolve(answer.resume().statusCode),
      ).end(),
    )
    expect(named).toBe(401)
    // Not over a socket: nobody knows from where.
    const elsewhere = await web.request('/metrics')
    expect([elsewhere.status, await elsewhere.text()]).toEqual([
      401,
      expect.stringContaining('set UNSTALL_METRICS_TOKEN'),
    ])
  })
})
