// Law 5 in `npm test`: killed in the middle of its calls and started again, the CRM holds every key exactly once. All
// points, systems and homes: `npm run faults -- --only 1`.
import { afterAll, expect, it } from 'vitest'
import { clearPlaces } from '../homes.ts'
import { kills } from './kills.ts'

afterAll(clearPlaces)

it('is killed before and in the middle of its writes, and each of them is done once', async () => {
  const [everyPoint] = kills
  const cleanups: (() => unknown)[] = []
  const result = await everyPoint?.run({
    ...({ system: 'salesforce', home: 'embedded', quick: true, seed: 1, say: () => {} } as const),
    onEnd: (cleanup) => void cleanups.unshift(cleanup),
  })
  for (const cleanup of cleanups) await cleanup()
  expect(result).toEqual({ injected: '2 kills', dup: 0, lost: 0, wrong: 0, problems: [] })
}, 120_000)
