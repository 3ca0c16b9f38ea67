// The rate gate against simulated limiters of both shapes: never a refusal, never much slower than needed.
import { describe, expect, test, vi } from 'vitest'
import { RetryLater } from '../src/errors.ts'
import { createGate, type GateOptions } from '../src/gate.ts'
import { Limiter, type Limits } from '../src/sandbox/limits.ts'

const never = new AbortController().signal

/** Virtual time: whoever sleeps is woken in order, so ten minutes pass in a moment. */
function simulate(options: Partial<GateOptions> = {}) {
  let now = 0
  const sleepers: { at: number; wake: () => void; signal: AbortSignal; fail: (why: unknown) => void }[] = []
  const clock = () => now
  const sleep = (ms: number, signal: AbortSignal) =>
    new Promise<void>((wake, fail) => {
      sleepers.push({ at: now + ms, wake, signal, fail })
      signal.addEventListener('abort', () => fail(signal.reason))
    })
  async function run<T>(work: Promise<T>): Promise<T> {
    let done = false
    const ended = work.finally(() => {
      done = true
    })
    ended.catch(() => {})
    while (!done) {
      for (let i = 0; i < 20; i++) await Promise.resolve()
      const next = sleepers.sort((a, b) => a.at - b.at).shift()
      if (next) {
        now = Math.max(now, next.at)
        next.wake()
      } else if (!done) await new Promise((resolve) => setImmediate(resolve))
    }
    return ended
  }
  return { clock, sleep, run, gate: createGate({ clock, sleep, ...options }), advance: (ms: number) => (now += ms) }
}

describe.each<Limits>(['rolling', 'bucket'])('a %s limiter of 110 calls per 10 s', (limits) => {
  test('is never exceeded, and 1,000 calls take less than 1.05 of what the limit allows', async () => {
    const { gate, clock, sleep, run } = simulate()
    const limiter = new Limiter(limits, clock)
    const lane = { name: 'api', max: 110, windowMs: 10_000, burst: 11 }
    let refused = 0
    async function worker(calls: number) {
      for (let i = 0; i < calls; i++) {
        await gate.wait(never)
        const taken = limiter.take(lane)
        if (!taken.ok) refused += 1
        await sleep(150, never)
        gate.observe({
          ...(taken.remaining === null ? {} : { remaining: taken.remaining }),
          max: 110,
          windowMs: 10_000,
        })
      }
    }
    await run(Promise.all(Array.from({ length: 4 }, () => worker(250))))
    expect(refused).toBe(0)
    expect(clock()).toBeLessThan(1.05 * (1000 / 110) * 10_000)
  })

  test('is not exceeded after a rest either, which is made up for', async () => {
    const { gate, clock, sleep, run } = simulate()
    const limiter = new Limiter(limits, clock)
    const lane = { name: 'api', max: 110, windowMs: 10_000, burst: 11 }
    gate.observe({ max: 110, windowMs: 10_000 })
    const calls = async (n: number) => {
      for (let i = 0; i < n; i++) {
        await gate.wait(never)
        expect(limiter.take(lane).ok).toBe(true)
      }
    }
    await run(
      (async () => {
        for (const rest of [0, 300, 2000, 700, 12_000, 100]) {
          await sleep(rest, never)
          await calls(60)
        }
        const before = clock()
        await sleep(600, never)
        await calls(6)
        expect(clock() - before).toBeLessThan(610)
      })(),
    )
  })

  test('is not exceeded by a process that stands still now and then', async () => {
    const { gate, clock, sleep, run, advance } = simulate()
    const limiter = new Limiter(limits, clock)
    const lane = { name: 'api', max: 110, windowMs: 10_000, burst: 11 }
    gate.observe({ max: 110, windowMs: 10_000 })
    let [made, refused, stood] = [0, 0, 0]
    async function worker() {
      for (let i = 0; i < 250; i++) {
        await gate.wait(never)
        if (!limiter.take(lane).ok) refused += 1
        const still = ++made % 97 === 0 ? 700 * (1 + (made % 4)) : 0
        advance(still)
        stood += still
        await sleep(150, never)
      }
    }
    await run(Promise.all(Array.from({ length: 8 }, worker)))
    expect(refused).toBe(0)
    expect(clock() - stood).toBeLessThan(1.05 * (2000 / 110) * 10_000)
  })

  test('is not exceeded by calls that are long on their way now and then', async () => {
    const { gate, clock, sleep, run } = simulate()
    const limiter = new Limiter(limits, clock)
    const lane = { name: 'api', max: 110, windowMs: 10_000, burst: 11 }
    gate.observe({ max: 110, windowMs: 10_000 })
    let [made, refused] = [0, 0]
    async function worker() {
      while (made < 1500) {
        const answered = await gate.wait(never)
        const nth = ++made % 150
        await sleep(nth < 5 ? 3000 - 400 * nth : 20, never)
        if (!limiter.take(lane).ok) refused += 1
        await sleep(130, never)
        answered()
      }
    }
    await run(Promise.all(Array.from({ length: 8 }, worker)))
    expect(refused).toBe(0)
    expect(clock()).toBeLessThan(1.05 * (1500 / 110) * 10_000)
  })

  test('of which someone else uses half: goes on, less than 5 % refusals', async () => {
    const { gate, clock, sleep, run } = simulate()
    const limiter = new Limiter(limits, clock)
    const lane = { name: 'api', max: 110, windowMs: 10_000, burst: 11 }
    let refused = 0
    let over = false
    async function ours() {
      for (let i = 0; i < 600; ) {
        await gate.wait(never)
        const taken = limiter.take(lane)
        if (taken.ok) i += 1
        else refused += 1
        gate.observe(taken.ok ? { remaining: taken.remaining ?? 0, max: 110, windowMs: 10_000 } : { pauseMs: 1000 })
      }
      over = true
    }
    async function theirs() {
      while (!over) {
        limiter.take(lane)
        await sleep(1000 / 5.5, never)
      }
    }
    await run(Promise.all([ours(), theirs()]))
    expect(refused).toBeLessThan(30)
  })

  test('that says it were more than twice as large: less than 1 % refusals once that is known', async () => {
    const { gate, clock, run } = simulate()
    const limiter = new Limiter(limits, clock)
    const lane = { name: 'api', max: 45, windowMs: 10_000, burst: 5 }
    const refused: number[] = []
    const work = async () => {
      for (let i = 0; i < 2000; i++) {
        await gate.wait(never)
        const { ok, retryAfterMs } = limiter.take(lane)
        if (!ok) refused.push(i)
        gate.observe(ok ? { max: 110, windowMs: 10_000 } : { pauseMs: retryAfterMs })
      }
    }
    await run(work())
    expect(refused.filter((i) => i >= 500).length).toBeLessThan(15)
    expect(clock()).toBeLessThan((2000 / 45) * 10_000 * 1.2)
  })
})

test('search has its own lane of four calls a second', async () => {
  const { gate, clock, run } = simulate()
  const starts: number[] = []
  await run(
    (async () => {
      for (let i = 0; i < 21; i++) {
        await gate.wait(never, 'search')
        starts.push(clock())
      }
      for (let i = 0; i < 4; i++) await gate.wait(never)
    })(),
  )
  expect(clock()).toBeCloseTo(5000)
  for (const start of starts)
    expect(starts.filter((at) => at >= start && at < start + 1000).length).toBeLessThanOrEqual(5)
})

test('nobody starts before a pause is over, and it does not end in a burst', async () => {
  const { gate, clock, sleep, run } = simulate()
  const starts: number[] = []
  const many = Promise.all(
    Array.from({ length: 20 }, async () => {
      await gate.wait(never)
      starts.push(clock())
    }),
  )
  await run(
    (async () => {
      await sleep(200, never)
      gate.observe({ pauseMs: 5000 })
      await many
    })(),
  )
  expect(starts.filter((at) => at > 200 && at < 5200)).toEqual([])
  const after = starts.filter((at) => at >= 5200)
  expect(after.length).toBeGreaterThan(10)
  expect(after.filter((at) => at < 5400).length).toBeLessThanOrEqual(3)
})

test('a pause beyond the patience is for the caller', async () => {
  const { gate, advance } = simulate()
  gate.observe({ pauseMs: 3_600_000 })
  const refusal = await gate.wait(never).catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(RetryLater)
  expect(refusal).toMatchObject({ afterMs: 3_600_000 })
  await gate.wait(never, 'search')
  advance(3_600_000)
  await gate.wait(never)
})

test('beyond its share of the day it leaves the rest to others, and looks again after a while', async () => {
  const { gate, advance } = simulate({ dayShare: 0.9 })
  expect(gate.left()).toBe(Number.POSITIVE_INFINITY)
  gate.observe({ day: { left: 60_000, max: 100_000 } })
  gate.observe({ remaining: 3 })
  expect(gate.left()).toBeCloseTo(50_000)
  gate.observe({ day: { left: 10_000, max: 100_000 } })
  await gate.wait(never)
  gate.observe({ day: { left: 9_999, max: 100_000 } })
  for (const lane of ['normal', 'search'] as const) {
    const refusal = await gate.wait(never, lane).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(RetryLater)
    expect(String(refusal)).toMatch(/90001 of 100000 calls of the day are used: the rest is left to others/)
  }
  advance(1_800_000)
  await gate.wait(never)
  gate.observe({ day: { left: 9_000, max: 100_000 } })
  await expect(gate.wait(never)).rejects.toBeInstanceOf(RetryLater)
  const { gate: whole } = simulate()
  whole.observe({ day: { left: 0, max: 100_000 } })
  await whole.wait(never)
})

test('no pause is longer than a day, whatever a header says', async () => {
  const { gate, advance } = simulate()
  gate.observe({ pauseMs: 1e12 })
  await expect(gate.wait(never)).rejects.toMatchObject({ afterMs: 86_400_000 })
  expect(new RetryLater('busy', Number.POSITIVE_INFINITY).afterMs).toBe(86_400_000)
  advance(86_400_000)
  await gate.wait(never)
})

test('a clock of the machine that is set back does not stop the calls', async () => {
  const slept: number[] = []
  const gate = createGate({ sleep: async (ms) => void slept.push(ms) })
  for (let i = 0; i < 10; i++) await gate.wait(never)
  const back = vi.spyOn(Date, 'now').mockReturnValue(Date.now() - 3_600_000)
  await gate.wait(never)
  back.mockRestore()
  expect(Math.max(...slept)).toBeLessThan(5_000)
})

test('a 429 slows the pace once, and good answers bring it back', async () => {
  const { gate, clock, run } = simulate()
  const pace = () =>
    run(
      (async () => {
        for (let i = 0; i < 10; i++) await gate.wait(never)
        const from = clock()
        for (let i = 0; i < 20; i++) await gate.wait(never)
        return (clock() - from) / 20
      })(),
    )
  const full = await pace()
  for (let i = 0; i < 5; i++) gate.observe({ pauseMs: 100 })
  expect((await pace()) / full).toBeCloseTo(1 / 0.7, 2)
  // A tenth below the pace that was refused it becomes careful.
  for (let i = 0; i < 30; i++) gate.observe({ remaining: 50 })
  expect(full / (await pace())).toBeCloseTo(0.9, 1)
  for (let i = 0; i < 250; i++) gate.observe({ remaining: 50 })
  expect((await pace()) / full).toBeCloseTo(1, 2)
})

test('rejects with the reason of the signal, before and while waiting', async () => {
  const { gate } = simulate({ normal: { max: 1, windowMs: 1000, burst: 1 } })
  const stop = new AbortController()
  await gate.wait(stop.signal)
  const waiting = gate.wait(stop.signal)
  stop.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await expect(gate.wait(stop.signal)).rejects.toThrow('enough')
})
