// How calls follow one another: bad rows found by halving with few calls, however many and wherever; nothing lost.
import { describe, expect, test } from 'vitest'
import { createSender, type Sending, Unknown, type Verdict } from '../src/batches.ts'
import type { WriteOutcome } from '../src/connector.ts'
import { Fatal } from '../src/errors.ts'

interface Row {
  readonly id: number
  readonly keys: readonly string[]
}
const rowsOf = (count: number): Row[] => Array.from({ length: count }, (_, id) => ({ id, keys: [`k${id}`] }))
/** Batches of these sizes, no row twice. */
const batchesOf = (...sizes: number[]) => {
  const rows = rowsOf(sizes.reduce((sum, size) => sum + size, 0))
  return sizes.map((size) => rows.splice(0, size))
}
const done = (rows: readonly Row[]) => ({
  verdicts: new Map<Row, Verdict>(rows.map((row) => [row, { result: 'done' }])),
})

async function run(batches: readonly (readonly Row[])[], how: Partial<Sending<Row>>, sender = createSender()) {
  const outcomes = new Map<string, WriteOutcome>()
  const calls: (readonly Row[])[] = []
  const call = how.send ?? (async (rows) => done(rows))
  const send: Sending<Row>['send'] = (rows, first) => {
    calls.push(rows)
    return call(rows, first)
  }
  let thrown: unknown = null
  try {
    for await (const one of sender(batches, {
      parallel: 1,
      fields: async () => ({}),
      values: () => ({ reason: '' }),
      ...how,
      send,
    })) {
      expect(outcomes.has(one.key)).toBe(false)
      outcomes.set(one.key, one)
    }
  } catch (error) {
    thrown = error
  }
  const results = batches.flat().map(({ keys: [key = ''] }) => outcomes.get(key)?.result ?? 'unknown')
  const count = (result: string) => results.filter((one) => one === result).length
  return { outcomes, calls, thrown, results, count }
}
/** Refuses any call with one of these rows in it, and does not say which. */
const refusing = (bad: ReadonlySet<number>) => async (rows: readonly Row[]) =>
  rows.some(({ id }) => bad.has(id)) ? { verdicts: new Map(), whole: `one of ${rows.length} is bad` } : done(rows)

describe('bad rows that nothing names', () => {
  test.each([100, 200])('one in %i, wherever it is: found with few calls, the others written once', async (size) => {
    let most = 0
    for (let at = 0; at < size; at++) {
      const { calls, results, count } = await run([rowsOf(size)], { send: refusing(new Set([at])) })
      expect(count('done')).toBe(size - 1)
      expect(results[at]).toBe('refused')
      most = Math.max(most, calls.length - 1)
    }
    expect(most).toBeLessThanOrEqual(size === 100 ? 14 : 16)
  })

  test('several: each in the CRM’s words, and no call twice', async () => {
    const bad = new Set([0, 1, 17, 64, 99])
    const { calls, outcomes, count } = await run([rowsOf(100)], { send: refusing(bad) })
    expect(count('done')).toBe(95)
    for (const id of bad)
      expect(outcomes.get(`k${id}`)).toMatchObject({ result: 'refused', message: 'one of 1 is bad' })
    expect(calls.length).toBeLessThanOrEqual(45)
    expect(new Set(calls.map((rows) => rows.map(({ id }) => id).join())).size).toBe(calls.length)
  })

  test('all: after sixty calls the rest comes another time, and is told', async () => {
    const first = await run([rowsOf(100)], { send: refusing(new Set(rowsOf(100).map(({ id }) => id))) })
    expect(first.calls.length).toBe(60)
    expect(first.count('refused') + first.count('later')).toBe(100)
    expect(first.count('refused')).toBeGreaterThan(20)
  })

  test('a row the refusal names costs one call more', async () => {
    const { calls, results } = await run([rowsOf(100)], {
      send: async (rows) => {
        const bad = rows.find(({ id }) => id === 42)
        if (!bad) return done(rows)
        return { verdicts: new Map<Row, Verdict>([[bad, { result: 'refused', message: 'no' }]]), whole: 'no' }
      },
    })
    expect(calls.length).toBe(2)
    expect(results.filter((one) => one === 'done').length).toBe(99)
  })
})

test('the first batch goes alone; what it teaches spares the others', async () => {
  let gone = false
  const batches = batchesOf(1, 2, 3, 4, 5, 6)
  const { calls, results } = await run(batches, {
    parallel: 4,
    fields: async () => ({ reason: { name: 'reason', readable: !gone, writable: !gone, made: null } }),
    send: async () => {
      gone = true
      return { verdicts: new Map(), whole: 'what is that field?' }
    },
  })
  expect(calls.length).toBe(1)
  expect(new Set(results)).toEqual(new Set(['refused']))
})

describe('calls without an answer', () => {
  const silent = async () => {
    throw new Unknown('no answer')
  }
  test('leave their rows without an outcome; after three in a row, over several writes, the rest waits', async () => {
    const sender = createSender()
    const first = await run(batchesOf(2, 2), { send: silent }, sender)
    expect(first).toMatchObject({ thrown: null, results: ['unknown', 'unknown', 'unknown', 'unknown'] })
    const second = await run(batchesOf(2, 2), { send: silent }, sender)
    expect(second.calls.length).toBe(1)
    expect(second.results).toEqual(['unknown', 'unknown', 'later', 'later'])
    expect(second.thrown).toMatchObject({ name: 'RetryLater', afterMs: 2000 })
    // Later one call finds out whether it is well again.
    expect((await run(batchesOf(1, 1), { send: silent }, sender)).thrown).toMatchObject({ afterMs: 4000 })
    for (let n = 0; n < 6; n++) await run(batchesOf(1), { send: silent }, sender)
    expect((await run(batchesOf(1), { send: silent }, sender)).thrown).toMatchObject({ afterMs: 60_000 })
    expect((await run([rowsOf(1)], {}, sender)).results).toEqual(['done'])
  })
  test('one that is answered in between starts the count anew', async () => {
    let n = 0
    const send = async (rows: readonly Row[]) => (n++ % 3 === 2 ? done(rows) : silent())
    const { thrown } = await run(batchesOf(1, 1, 1, 1, 1, 1, 1, 1, 1), { send })
    expect(thrown).toBeNull()
  })
})

test('what stops one batch stops all: what was not sent is told as later, then it is thrown', async () => {
  const { results, thrown, calls } = await run(batchesOf(1, 2, 2), {
    send: async (rows) => {
      if (rows[0]?.id === 0) return done(rows)
      throw new Fatal('permission', 'not allowed')
    },
  })
  expect(results).toEqual(['done', 'later', 'later', 'later', 'later'])
  expect(calls.length).toBe(2)
  expect(thrown).toMatchObject({ name: 'Fatal' })
})

test('an abort may have come too late: what was under way is unknown', async () => {
  const { results, thrown } = await run(batchesOf(2, 2), {
    send: () => Promise.reject(new Error('the night is over')),
  })
  expect(results).toEqual(['unknown', 'unknown', 'later', 'later'])
  expect(thrown).toMatchObject({ message: 'the night is over' })
})
