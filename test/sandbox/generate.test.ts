// The seeded company: repeatable, possible in time, and with every kind of deal the rules speak about.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generate, PIPELINES } from '../../src/sandbox/generate.ts'
import type { SeedDeal } from '../../src/sandbox/seed.ts'

const now = Date.parse('2026-11-23T06:00:00Z')
const DAY = 86_400_000
const stageAfter = (deal: SeedDeal) =>
  deal.events.reduce((stage, event) => (event.kind === 'stage' ? event.to : stage), deal.stage)
const stages = new Map(PIPELINES.flatMap((pipeline) => pipeline.stages.map((stage) => [stage.id, stage])))
const isOpen = (deal: SeedDeal) => {
  const probability = stages.get(stageAfter(deal))?.probability ?? 0
  return probability > 0 && probability < 1
}

describe('generate', () => {
  it('gives the same company for the same seed, another for another', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 60 }), (seed, deals) => {
        expect(generate({ now, seed, deals })).toEqual(generate({ now, seed, deals }))
      }),
      { numRuns: 20 },
    )
    expect(generate({ now, seed: 1 }).deals).not.toEqual(generate({ now, seed: 2 }).deals)
  })

  it('makes exactly the deals asked for: 400 with a fifth open by default', () => {
    const standard = generate({ now }).deals
    expect([standard.length, standard.filter(isOpen).length]).toEqual([400, 80])
    const demo = generate({ now, deals: 950, open: 200 }).deals
    expect([demo.length, demo.filter(isOpen).length]).toEqual([950, 200])
  })

  it('is possible in time: events in order, after creation, none later than now but booked meetings', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 3 * 365 }), (seed, daysLater) => {
        const at = now + daysLater * DAY + (seed % DAY)
        for (const deal of generate({ now: at, seed, deals: 40 }).deals) {
          let last = deal.createdAt
          let closed = false
          expect(deal.createdAt).toBeLessThanOrEqual(at)
          for (const event of deal.events) {
            expect(event.at).toBeGreaterThanOrEqual(last)
            expect(closed).toBe(false)
            last = event.at
            if (event.kind === 'stage') closed = stages.get(event.to)?.category === 'closed'
            const booked = event.kind === 'meeting' && !event.held
            if (!booked) expect(event.at).toBeLessThanOrEqual(at)
          }
        }
      }),
      { numRuns: 40 },
    )
  })

  it('moves stages forward one by one within the pipeline of the deal', () => {
    for (const deal of generate({ now, seed: 3, deals: 300 }).deals) {
      const path = PIPELINES.find((pipeline) => pipeline.id === deal.pipeline)?.stages.map((stage) => stage.id) ?? []
      const visited = [deal.stage, ...deal.events.flatMap((event) => (event.kind === 'stage' ? [event.to] : []))]
      const positions = visited.map((stage) => path.indexOf(stage))
      expect(positions).not.toContain(-1)
      expect(positions).toEqual([...positions].sort((a, b) => a - b))
    }
  })

  it('holds every kind of trouble the rules know', () => {
    const { deals, owners, pipelines } = generate({ now, deals: 950, open: 200 })
    const open = deals.filter(isOpen)
    const idle = (deal: SeedDeal) => (now - Math.max(deal.createdAt, ...deal.events.map((event) => event.at))) / DAY
    const pushes = (deal: SeedDeal) => deal.events.filter((event) => event.kind === 'close-date').length
    const left = owners.find((owner) => !owner.active)?.email
    expect(pipelines).toHaveLength(2)
    expect(new Set(owners.map((owner) => owner.team)).size).toBe(2)
    expect(open.filter((deal) => idle(deal) > 200 && deal.closeDate < '2026').length).toBeGreaterThan(5)
    expect(open.filter((deal) => pushes(deal) >= 3).length).toBeGreaterThan(5)
    expect(open.filter((deal) => stageAfter(deal) === 'contractsent').length).toBeGreaterThan(5)
    expect(open.filter((deal) => deal.createdBy === 'import').length).toBeGreaterThan(5)
    expect(open.filter((deal) => deal.ownerEmail === left).length).toBeGreaterThan(2)
    expect(open.filter((deal) => deal.amount === null).length).toBeGreaterThan(2)
    expect(deals.filter((deal) => deal.name.includes('<script>')).length).toBeGreaterThan(0)
    expect(deals.filter((deal) => deal.name.includes('\u202e')).length).toBeGreaterThan(0)
    expect(owners.map((owner) => owner.email)).toEqual(expect.arrayContaining(deals.map((deal) => deal.ownerEmail)))
  })

  it('makes 100,000 deals within seconds', () => {
    const begun = performance.now()
    expect(generate({ now, deals: 100_000 }).deals).toHaveLength(100_000)
    expect(performance.now() - begun).toBeLessThan(10_000)
  })
})
