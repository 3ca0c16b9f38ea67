// What the sentences of one stalled deal are made of, of which a test says only what matters.
import type { Rule } from '../../src/core/deal.ts'
import type { Reason } from '../../src/core/explain.ts'

export const reason = (rule: Rule, more: Partial<Reason> = {}, check: Partial<Reason['check']> = {}): Reason => ({
  dealName: 'Acme rollout',
  check: { rule, holds: true, value: 1, limit: 5, unit: 'working_days', date: '2026-05-01', ...check },
  stageLabel: 'Demo',
  lastMovement: { on: '2026-04-07', kind: 'reply' },
  amount: { value: 12_000, currency: 'EUR' },
  pushes: 3,
  chasedBefore: false,
  ...more,
})
