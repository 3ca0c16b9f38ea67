// `unstall setup` as RevOps types it: the plan, the making, the folder for an administrator, and the way back.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Place, place } from './harness.ts'

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
