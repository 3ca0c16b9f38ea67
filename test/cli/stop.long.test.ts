// SIGTERM in the middle of a write: the service waits eight seconds for the call under way, cuts it off, ends with 0 within
// ten, and whoever comes next finds out what became of it. Seen here: 8.2 to 8.6 s, the rows `sent`, then `done`, nothing twice.
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { openNight } from '../../jobs/nightly.ts'
import { openApp } from '../../src/app.ts'
import { openDatabase } from '../../src/store/db.ts'
import { sentRowsOfConnection } from '../../src/store/ledger.ts'
import { getRun, openRuns } from '../../src/store/runs.ts'
import { until } from '../homes.ts'
import { freePort } from '../services.ts'
import { type Place, place } from './harness.ts'

let at: Place
beforeAll(async () => {
  at = await place()
  at.config()
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await at.close()
})

const faults = (body: readonly object[]) =>
  fetch(`${at.hub.url}/__sandbox/faults`, { method: 'POST', body: JSON.stringify(body) })

test('the service, told to stop while a call hangs, ends in time and leaves nothing in doubt', async () => {
  expect((await at.run('setup', 'hub', '--apply')).code).toBe(0)
  const preview = JSON.parse((await at.run('plan', 'hub', '--json')).out)
  // A run that is open when the service starts.
  // `at.run` takes its own environment back.
  vi.stubEnv('UNSTALL_PORT', String(await freePort()))
  vi.stubEnv('HUBSPOT_TOKEN', 'sandbox-cli')
  vi.stubEnv('SF_CLIENT_SECRET', 'sandbox')
  const app = await openApp(join(at.folder, 'unstall.config.yaml'), { concurrency: 0 })
  const { name, system, settings } = app.connection('hub')
  const confirm: string = preview[0].preview
  await openNight(app.ctx, {
    connection: name,
    system,
    settings,
    kind: 'manual',
    now: Date.parse(preview[0].now),
    confirm,
  })
  await app.close()

  // The CRM acts on the next write and never answers.
  const before = await at.writes()
  await faults(['/deals/batch/update', '/tasks/batch/create'].map((path) => ({ path, fault: 'timeout-after' })))
  const service = at.start('start')
  onTestFinished(() => service.signal('SIGKILL'))
  await until(async () => (await at.writes()) > before, 60_000)
  // Whoever sits at this machine sees it under way.
  const page = await fetch(`http://127.0.0.1:${process.env.UNSTALL_PORT}/runs`)
  expect(await page.text()).toContain('under way')
  const told = performance.now()
  service.signal('SIGTERM')
  const { code, err } = await service.ended
  const took = performance.now() - told
  expect(code, err).toBe(0)
  expect(took).toBeGreaterThan(7_500)
  expect(took).toBeLessThan(10_000)

  const stored = await openDatabase({ dataDir: join(at.folder, '.unstall') })
  const sent = await sentRowsOfConnection(stored.db, 'hub')
  const [open] = await openRuns(stored.db)
  const run = await getRun(stored.db, open?.id ?? '')
  await stored.close()
  expect(sent.length).toBeGreaterThan(0)
  // Ended in good order: neither a failed attempt nor a start that died.
  expect(run).toMatchObject({ step: 'apply', starts: 0, attempts: 0, failures: [] })

  await faults([])
  const next = await at.run('run', 'hub', '--json')
  expect(next.code, next.err).toBe(0)
  const shown: { status: string; writes: { status: string; kind: string }[] } = JSON.parse(
    (await at.run('runs', run?.id ?? '', '--json')).out,
  )
  expect(shown.status).toBe('done')
  expect(shown.writes.filter(({ status }) => status !== 'done' && status !== 'held')).toEqual([])
  const lines = (await (await fetch(`${at.hub.url}/__sandbox/state`)).text()).trim().split('\n')
  const all: { kind: string; dealId: string }[] = lines.map((line) => JSON.parse(line))
  const tasks = all.filter(({ kind }) => kind === 'task')
  const due = shown.writes.filter(({ kind, status }) => kind === 'create-task' && status === 'done')
  expect(due.length).toBeGreaterThan(0)
  expect(tasks).toHaveLength(due.length)
  expect(new Set(tasks.map(({ dealId }) => dealId)).size).toBe(tasks.length)
}, 120_000)
