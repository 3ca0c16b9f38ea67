// `unstall check` as RevOps reads it, on both lookalikes: green after setup, also with one policy for both CRMs; what the
// last run met with; what stages mean.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Place, place, unpaced } from './harness.ts'

unpaced()
let at: Place
beforeAll(async () => {
  at = await place()
  at.config([['timezone: Europe/Paris', 'timezone: UTC']])
})
afterAll(() => at.close())

const text = async (name: string) => {
  const { code, out } = await at.run('check', name)
  return { code, out: out.replaceAll(/\s+/g, ' ') }
}

test.each([
  ['hub', 'won: Closed Won; lost: Closed Lost', 'Decision stages: Contract Sent'],
  ['sf', 'won: Closed Won, Renewed; lost: Closed Lost', 'Decision stages: Contract sent'],
])('%s: a problem before setup, none after; stages and decision stages by name', async (name, ...lines) => {
  const before = await text(name)
  expect(before.code).toBe(1)
  expect(before.out).toMatch(/✗ Missing: \d+ fields and helpers of unstall → unstall setup/)
  const written = await at.writes()
  await at.run('setup', name, '--apply')
  const made = await at.writes()
  expect(made).toBeGreaterThan(written)
  const { code, out } = await text(name)
  expect([code, out]).toEqual([0, expect.not.stringContaining('✗')])
  for (const line of lines) expect(out.toLowerCase()).toContain(line.toLowerCase())
  const [{ findings }] = JSON.parse((await at.run('check', name, '--json')).out)
  for (const { level, todo } of findings) if (level !== 'ok') expect(todo).toMatch(/\w/)
  expect(await at.writes()).toBe(made)
})

test.each([
  ['hub', '/deals/batch/update', 'Settings > Objects > Deals > Pipelines'],
  ['sf', '/composite/sobjects', 'Setup > Object Manager > Opportunity'],
])(
  '%s: what the last run was refused, in the words of the CRM, and where the rule stands',
  async (name, path, where) => {
    const fault = { fault: 'bad-row', times: 3, path }
    const url = name === 'hub' ? at.hub.url : at.sf.url
    const faults = (all: object[]) =>
      fetch(`${url}/__sandbox/faults`, { method: 'POST', body: JSON.stringify(all) }).then(({ status }) =>
        expect(status).toBeLessThan(300),
      )
    await faults(name === 'hub' ? [fault] : [{ fault: 'partial', path }])
    const [{ preview }] = JSON.parse((await at.run('plan', name, '--json')).out)
    const [{ run }] = JSON.parse((await at.run('run', name, '--confirm', preview, '--json')).out)
    await faults([])
    const { out } = await text(name)
    expect(out).toMatch(new RegExp(`! \\w+ refused \\d+ writes? of ${run}: “[^”]+” \\(\\d+\\)`))
    expect(out).toContain(`${where}`)
    expect(out).toContain(`unstall runs ${run} lists all`)
  },
)
