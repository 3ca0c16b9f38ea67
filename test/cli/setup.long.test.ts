// `unstall setup` as RevOps types it: the plan, the making, the folder for an administrator, and the way back.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Place, place, unpaced } from './harness.ts'

unpaced()
let at: Place
beforeAll(async () => {
  at = await place()
  at.config()
})
afterAll(() => at.close())

test('Salesforce: a folder to review and deploy; the CRM is not asked, a project that is there stays as it is', async () => {
  mkdirSync(join(at.folder, 'mine'))
  writeFileSync(join(at.folder, 'mine', 'sfdx-project.json'), '{"mine":true}')
  for (const folder of ['made', 'mine']) {
    const made = await at.run('setup', 'sf', '--metadata', folder)
    expect([made.code, made.err]).toEqual([0, ''])
    expect(made.out).toMatch(/files.*sf project deploy start/)
    const view = 'force-app/main/default/objects/Opportunity/listViews/Unstall_Stalled.listView-meta.xml'
    expect(existsSync(join(at.folder, folder, view))).toBe(true)
  }
  expect(readFileSync(join(at.folder, 'mine', 'sfdx-project.json'), 'utf8')).toBe('{"mine":true}')
  expect(await at.writes()).toBe(0)
  const refused = await at.run('setup', 'hub', '--metadata', 'x')
  expect(refused.code).toBe(2)
  expect(refused.err).toContain('--metadata is for Salesforce')
  expect((await at.run('setup', 'sf', '--metadata', 'unstall.config.yaml')).code).toBe(2)
})

test.each(['hub', 'sf'])(
  '%s: removing shows what would go, waits for a yes, and leaves nothing behind',
  async (name) => {
    await at.run('setup', name, '--apply')
    const quiet = await at.writes()
    const asked = await at.run('setup', name, '--remove')
    expect([asked.code, await at.writes()]).toEqual([0, quiet])
    expect(asked.out).toMatch(/would remove .*Stalled.*Nothing was removed.*--yes/s)
    expect((await at.run('setup', name, '--remove', '--apply')).code).toBe(2)

    // A night borrows forecast categories: they go back first.
    const plan = await at.run('plan', name, '--json')
    const [{ preview }] = JSON.parse(plan.out)
    expect((await at.run('run', name, '--confirm', preview)).code).toBe(0)
    const night = await at.writes()
    const held = await at.run('setup', name, '--remove')
    expect([held.code, await at.writes()]).toEqual([1, night])
    expect(held.err).toMatch(/Nothing was removed\. \d+ deals would stay out of the forecast.*forecast: none/)
    at.config([['policy:', 'forecast: none\npolicy:']])
    expect((await at.run('run', name)).code).toBe(0)
    const after = JSON.parse((await at.run('setup', name, '--remove', '--json')).out)
    expect(after).toMatchObject({ borrowed: 0, removed: false })

    const done = await at.run('setup', name, '--remove', '--yes')
    expect(done.code).toBe(0)
    expect(done.out).toContain(`Nothing of unstall is left in ${name}`)
    const gone = await at.writes()
    const again = await at.run('setup', name, '--remove')
    expect([again.code, again.out, await at.writes()]).toEqual([
      0,
      expect.stringContaining('Nothing of unstall is left'),
      gone,
    ])
    at.config()
    const lacks = JSON.parse((await at.run('setup', name, '--json')).out)
    expect(lacks.steps.filter((step: { action: string }) => step.action !== 'create')).toEqual([])
  },
)

test('somebody else’s use of a field is refused in the CRM’s words; --yes takes the rest, borrowed or not', async () => {
  const hub = (path: string, body: object) =>
    fetch(`${at.hub.url}/crm${path}`, {
      method: 'POST',
      headers: { authorization: 'Bearer sandbox-cli', 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  await at.run('setup', 'hub', '--apply')
  const theirs = { name: 'theirs', label: 'Theirs', groupName: 'dealinformation', type: 'number' }
  const calculationFormula = "if string(unstall_cause) equals 'budget' then 1 else 0"
  const made = await hub('/properties/2026-09/deals', {
    ...theirs,
    fieldType: 'calculation_equation',
    calculationFormula,
  })
  expect(made.status).toBe(201)
  const { results } = JSON.parse(await (await hub('/objects/2026-09/deals/search', { limit: 1 })).text())
  const inputs = [{ id: results[0].id, properties: { unstall_category_before: 'COMMIT' } }]
  expect((await hub('/objects/2026-09/deals/batch/update', { inputs })).status).toBe(200)
  const done = await at.run('setup', 'hub', '--remove', '--yes')
  expect(done.code).toBe(1)
  expect(done.out).toMatch(
    /refused .*unstall_cause.*in use.*until somebody sets the category: 1 deal.*Not all is gone/s,
  )
  const left = JSON.parse((await at.run('setup', 'hub', '--remove', '--json')).out)
  expect(left.steps.map((step: { id: string }) => step.id)).toEqual([
    'deals.unstall_cause',
    'deals.group',
    'tasks.group',
  ])
})
