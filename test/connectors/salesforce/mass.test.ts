// A night after a mass edit: 25,000 opportunities touched in one second, read whole and with hardly a call more than the
// pages they fill; stopped in the middle, too.
import { expect, onTestFinished, test } from 'vitest'
import { clientCredentials, connectSalesforce } from '../../../connectors/salesforce/index.ts'
import type { Page } from '../../../src/connector.ts'
import { OWNERS, PIPELINES } from '../../../src/sandbox/generate.ts'
import { type Lookalike, startSandbox } from '../../../src/sandbox/kernel.ts'
import { salesforce } from '../../../src/sandbox/salesforce/index.ts'
import type { SeedDeal } from '../../../src/sandbox/seed.ts'
import { never, quietGate } from './org.ts'

const NOW = Date.parse('2026-11-20T09:00:00Z')
const DAY = 86_400_000
const COUNT = 25_000

test('25,000 opportunities with one time stamp', { timeout: 60_000 }, async () => {
  const deals = Array.from(
    { length: COUNT },
    (_, n): SeedDeal => ({
      ...{ name: `deal ${n}`, account: null, ownerEmail: OWNERS[1]?.email ?? '', pipeline: 'default' },
      ...{ stage: 'qualifiedtobuy', createdAt: NOW - 90 * DAY, closeDate: '2027-02-01', amount: n, category: null },
      ...{ type: null, events: [] },
    }),
  )
  const build = salesforce({ now: NOW, currency: 'EUR', owners: OWNERS, pipelines: PIPELINES, deals })
  let org: Lookalike | undefined
  // A clock that stands still: one time stamp for all.
  const sandbox = await startSandbox((kernel) => (org = build(kernel)), { now: NOW, monotonic: () => 0 })
  onTestFinished(() => sandbox.close())
  const credential = clientCredentials({ loginUrl: sandbox.url, clientId: 'sandbox', clientSecret: 'sandbox' })
  const known = async (ids: readonly string[]) =>
    new Map(ids.map((id) => [id, { pipelineId: 'default', stageId: '', amount: 0, closeDate: null }]))
  const calm = { gate: quietGate(), clock: () => 0, sleep: async () => {}, timezone: 'UTC' }
  const connector = connectSalesforce({ ...calm, credential, known })
  for await (const _ of connector.setup(never));
  await connector.reference(never)
  const ids = [...(org?.state() ?? [])].flatMap((line) => (line.kind === 'deal' ? [String(line.Id)] : []))
  for (const id of ids) org?.act({ act: 'set', id, field: 'NextStep', value: 'x', by: 'workflow' })

  const calls = async () => {
    const answer = await fetch(`${sandbox.url}/__sandbox/calls`)
    const counted: { calls: { count: number }[] } = JSON.parse(await answer.text())
    return counted.calls.reduce((sum, { count }) => sum + count, 0)
  }
  const cursor = JSON.stringify({ since: NOW - DAY })
  const before = await calls()
  const seen = new Set<string>()
  let read = 0
  let stopped: Page | undefined
  for await (const page of connector.pull(cursor, NOW, never)) {
    for (const { id } of page.deals) seen.add(id)
    read += page.deals.length
    if (read === 6000) stopped = page
  }
  expect(seen.size).toBe(COUNT)
  expect(read).toBe(COUNT)
  // Pages of opportunities; and one call each for events by date, changed activities of three kinds, and which deals have
  // new history.
  expect((await calls()) - before).toBe(Math.ceil(COUNT / 2000) + 5)

  // Taken up again in the middle of that one second.
  const rest = new Set<string>()
  for await (const page of connector.pull(stopped?.cursor ?? null, NOW, never))
    for (const { id } of page.deals) rest.add(id)
  expect(rest.size).toBeGreaterThanOrEqual(COUNT - 6000)
})
