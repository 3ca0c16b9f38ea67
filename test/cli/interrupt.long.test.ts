// Ctrl-C in the middle of a run: it stops quickly, nothing is lost, and the next run ends what was begun.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Place, place } from './harness.ts'

let at: Place
beforeAll(async () => {
  at = await place()
  at.config()
})
afterAll(() => at.close())

test('the next run goes on where Ctrl-C stopped this one', async () => {
  expect((await at.run('setup', 'hub', '--apply')).code).toBe(0)
  const preview = JSON.parse((await at.run('plan', 'hub', '--json')).out)
  const slow = [{ path: '/crm/objects/2026-09/deals/batch/update', fault: 'slow', ms: 1000 }]
  await fetch(`${at.hub.url}/__sandbox/faults`, { method: 'POST', body: JSON.stringify(slow) })
  const stopped = at.start('run', 'hub', '--confirm', preview[0].preview)
  await stopped.said('writing')
  stopped.signal('SIGINT')
  const { code, err } = await stopped.ended
  expect(err).toContain('Stopping')
  expect(code).toBe(130)

  // A look at what would be written must not write what was stopped: neither here nor for another connection.
  const written = await at.writes()
  const look = await at.run('plan', 'hub')
  expect(look.code).toBe(2)
  expect(look.err).toMatch(/hub-\S+ is under way and writes\. Wait for it, or end it with: unstall run hub/)
  expect((await at.run('plan', 'sf')).code).toBe(0)
  expect(await at.writes()).toBe(written)

  const next = await at.run('run', 'hub', '--json')
  expect(next.code, next.err).toBe(0)
  const lines = (await (await fetch(`${at.hub.url}/__sandbox/state`)).text()).trim().split('\n')
  const rows: { kind: string; dealId?: string; properties?: Record<string, string> }[] = lines.map((line) =>
    JSON.parse(line),
  )
  const planned: { kind: string; deal: { id: string }; hold: unknown }[] = preview[0].writes
  const flagged = rows.filter((row) => row.kind === 'deal' && row.properties?.unstall_stalled === 'true')
  expect(flagged).toHaveLength(
    planned.filter((row) => row.kind === 'fields' && 'group' in row && row.group === 'flag').length,
  )
  const tasks = rows.filter((row) => row.kind === 'task')
  expect(new Set(tasks.map((task) => task.dealId)).size).toBe(tasks.length)
  expect(tasks).toHaveLength(planned.filter((row) => row.kind === 'create-task' && row.hold === null).length)
})
