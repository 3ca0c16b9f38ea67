// What settings refuse, and pipelines as the rules see them.
import { describe, expect, test } from 'vitest'
import { Settings, stageTable } from '../../src/core/policy.ts'
import { reference, settings } from './build.ts'

describe('settings', () => {
  test.each([
    ['closures', ['2026-02-30'], 'no such date'],
    ['closures', ['2026-12-24/2026-12-20'], 'the range ends before it begins'],
    ['closures', ['Christmas'], 'expected YYYY-MM-DD'],
    ['timezone', 'Europe/Atlantis', 'unknown time zone'],
  ])('%s: %j is refused: %s', (key, value, message) => {
    const result = Settings.safeParse({ timezone: 'UTC', [key]: value })
    expect(result.error?.issues.map((issue) => issue.message).join()).toContain(message)
  })

  test('a closure of one day and one of many', () => {
    const closures = ['2026-05-15', '2026-12-24/2027-01-02']
    expect(Settings.parse({ timezone: 'Europe/Paris', closures }).closures).toEqual(closures)
  })
})

describe('stage table', () => {
  const { policy } = settings(
    {},
    { pipelines: { sales: { stages: { demo: { idleDays: 12 } } } }, exclude: { stages: ['lost'] } },
  )
  const table = stageTable(reference, policy)

  test('limits: the stage’s own, else that of decision stages, else the default', () => {
    expect([table('sales', 'demo')?.limit, table('sales', 'proposal')?.limit, table('sales', 'new')?.limit]).toEqual([
      12, 10, 15,
    ])
  })

  test('decision stages and exclusions', () => {
    expect(table('sales', 'demo')).toMatchObject({ decision: false, decisionFrom: 3, excluded: null })
    expect(table('renewals', 'r_new')?.decisionFrom).toBeNull()
    expect(table('sales', 'lost')?.excluded).toBe('stage')
  })

  test('a stage is found in another pipeline, and an unknown one not at all', () => {
    expect(table('sales', 'r_offer')?.pipelineId).toBe('renewals')
    expect(table('sales', '?')).toBeUndefined()
  })

  test('another policy over the same pipelines gives another table', () => {
    expect(stageTable(reference, settings({}, { idleDays: { default: 20 } }).policy)('sales', 'new')?.limit).toBe(20)
    expect(stageTable(reference, policy)('sales', 'new')?.limit).toBe(15)
  })
})
