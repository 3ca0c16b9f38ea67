// `unstall plan` on a first night: what deals long dead are to get, asked or said, kept in the configuration.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NOW, type Place, place } from './harness.ts'

let at: Place
beforeAll(async () => {
  at = await place()
  at.config([['policy:', 'firstNight: { deadAfter: 90 } # ours\npolicy:']])
  expect((await at.run('setup', 'hub', '--apply')).code).toBe(0)
})
afterAll(() => at.close())

const plan = (...more: string[]) =>
  at.run('plan', 'hub', '--now', new Date(NOW + 600 * 86_400_000).toISOString(), ...more)
const file = () => readFileSync(join(at.folder, 'unstall.config.yaml'), 'utf8')

test('a pair that is none, or an archive without a stage, is a mistake of the call; the file stays', async () => {
  const before = file()
  for (const [pairs, words] of [
    ['260', '"260" is no pair such as 260=archive'],
    ['90=flag,260=bin', '"260=bin" is no pair'],
    ['260=archive', 'firstNight.oldDeals.260 needs archive.stage'],
    ['30=nothing', 'firstNight.oldDeals.30 is below firstNight.deadAfter (90)'],
  ] as const) {
    const { code, err, out } = await plan('--old-deals', pairs)
    expect([code, out], pairs).toEqual([2, ''])
    expect(err).toContain(words)
    expect(file()).toBe(before)
  }
})

test('goes into the file, where people read it, and into this and every later plan', async () => {
  const was = await plan()
  expect(was.out).toMatch(/more than 520 .* a flag/)
  const { code, out, err } = await plan('--old-deals', '90=flag,260=nothing')
  expect(code).toBe(0)
  expect(err).toContain('firstNight.oldDeals.260 is nothing now')
  expect(file()).toContain('oldDeals')
  expect(file()).toContain('# ours')
  expect(out).toMatch(/131 to 260 .* a flag/)
  expect(out).toMatch(/more than 520 .* nothing/)
  expect((await plan()).out).toMatch(/more than 520 .* nothing/)
})
