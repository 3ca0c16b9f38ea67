// What writes without an answer cost: one look at once, and no other before it can tell more.
import { expect, it, onTestFinished } from 'vitest'
import { neglected } from '../faults/calls.ts'
import { virtual } from '../faults/virtual.ts'

const trial = {
  ...({ home: 'embedded', quick: true, seed: 1, say: () => {} } as const),
  onEnd: (cleanup: () => unknown) => onTestFinished(async () => void (await cleanup())),
}

it('a task that may still come is looked for twice: at once, and when its absence proves something', async () => {
  const rig = await virtual(
    { ...trial, system: 'salesforce' },
    { crms: [{ system: 'salesforce', seed: neglected(5) }] },
  )
  const preview = await rig.night(rig.crm, { kind: 'preview' })
  await rig.crm.faults([{ fault: '500-before', method: 'POST', path: '/composite/sobjects', body: '"Task"', nth: 1 }])
  await rig.night(rig.crm, { confirm: preview.id })
  const lost = rig.passed.findIndex(({ rows, status }) => rows > 0 && status >= 500)
  const after = rig.passed.slice(lost + 1)
  const begun = rig.passed[lost]?.at ?? 0
  const found = after.findIndex(({ rows }) => rows > 0)
  expect((after[found]?.at ?? 0) - begun).toBeGreaterThan(599_000)
  // The tasks twice, and then the deals and their meetings.
  expect(found).toBeLessThanOrEqual(6)
  expect((await rig.crm.look()).tasks).toHaveLength(5)
})

it('a batch without an answer is looked at once, and then sent with what was seen', async () => {
  const rig = await virtual({ ...trial, system: 'hubspot' }, { crms: [{ system: 'hubspot', seed: neglected(5) }] })
  const preview = await rig.night(rig.crm, { kind: 'preview' })
  await rig.crm.faults([{ fault: '500-before', path: '/deals/batch/update', nth: 1 }])
  await rig.night(rig.crm, { confirm: preview.id })
  const lost = rig.passed.findIndex(({ status }) => status >= 500)
  const after = rig.passed.slice(lost + 1).map(({ path }) => path.replace(/^.*2026-09/, ''))
  expect(after).toEqual(['/deals/batch/read', '/deals/batch/update', '/tasks/batch/create'])
})
