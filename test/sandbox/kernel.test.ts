// The kernel over real HTTP, with a toy system behind it: clock, journal, calls, limits, every fault, tokens, control.
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { FAULTS } from '../../src/sandbox/control.ts'
import { type Kernel, type Lookalike, type SandboxOptions, startSandbox, WrongAct } from '../../src/sandbox/kernel.ts'
import { ActAnswer, ActLine, CallsAnswer, ClockAnswer, ControlError, JournalLine } from './answers.ts'
import { type Client, open, walk } from './client.ts'

let client: Client
afterEach(() => client.sandbox.close())

/** PUTs of `{ids}` are applied unless a fault makes an id bad. */
const toy = (kernel: Kernel): Lookalike => {
  const applied: string[] = []
  return {
    routes: [
      {
        method: 'PUT',
        template: '/box/{name}',
        handle: (call) => {
          const { ids } = z.object({ ids: z.array(z.string()) }).parse(JSON.parse(call.body))
          const bad = call.bad(ids)
          if (ids.some((id) => bad.whole.has(id))) return { status: 400, body: { whole: [...bad.whole] } }
          for (const id of ids.filter((id) => !bad.each.has(id))) {
            applied.push(id)
            kernel.record({ object: 'box', id, before: null, after: { name: call.params.name } })
          }
          return { status: 200, body: { each: [...bad.each] } }
        },
      },
    ],
    maxBodyBytes: 2000,
    guard: (call) => (kernel.tokens.check(call.headers.authorization ?? '') === 'valid' ? null : { status: 401 }),
    lane: () => ({ name: 'all', max: 4, windowMs: 1000, burst: 2 }),
    refuse: (refusal) => ({
      status: {
        rate: 429,
        daily: 403,
        'not-found': 404,
        method: 405,
        'too-large': 413,
        'server-error': 500,
        'bad-gateway': 502,
      }[refusal.kind],
      body: refusal,
    }),
    headers: (_, remaining) => (remaining === null ? {} : { 'x-left': String(remaining) }),
    state: () => applied.map((id) => ({ kind: 'box', id })),
    act: (act) => {
      if (act.act === 'delete' && act.id === 'nobody') throw new WrongAct('no record nobody')
      kernel.record({ object: 'box', id: 'acted', before: null, after: null })
      return 'acted'
    },
  }
}
const start = async (options?: SandboxOptions) => {
  client = await open(toy, options)
  return client
}
const put = (...ids: string[]) => client.send('PUT', '/box/a', { ids })
const faults = (...list: object[]) => client.post('/__sandbox/faults', list)
const boxes = async () => (await client.state('box')).map((line) => walk(line, ['id']))

describe('control calls', () => {
  it('sets a clock that ticks on and dates every answer', async () => {
    await start()
    const answer = await client.post('/__sandbox/clock', { now: '2027-01-01T00:00:00+01:00' })
    expect(ClockAnswer.parse(JSON.parse(answer.text))).toEqual({ now: '2026-12-31T23:00:00.000Z' })
    client.tick(61_000)
    expect((await put('1')).headers.get('date')).toBe('Thu, 31 Dec 2026 23:01:01 GMT')
  })

  it('journals applied writes in order, acts only on demand, and counts calls by template', async () => {
    await start()
    await put('1', '2')
    await client.post('/__sandbox/act', { act: 'delete', id: '1' })
    await client.get('/nowhere')
    await client.get('/box/a')
    const journal = z.array(JournalLine.strict()).parse(await client.lines('/__sandbox/journal'))
    expect(journal.map((line) => [line.endpoint, line.id])).toEqual([
      ['PUT /box/{name}', '1'],
      ['PUT /box/{name}', '2'],
    ])
    expect(journal[0]).toMatchObject({ at: '2026-11-02T06:00:00.000Z', before: null, after: { name: 'a' } })
    const all = await client.lines('/__sandbox/journal?acts=true')
    expect(walk(all[2], ['endpoint'])).toBe('POST /__sandbox/act')
    expect(z.array(ActLine.strict()).parse(await client.lines('/__sandbox/acts'))).toEqual([
      { at: '2026-11-02T06:00:00.000Z', id: 'acted', act: { act: 'delete', id: '1', by: 'person' } },
    ])
    const { calls } = CallsAnswer.parse(JSON.parse((await client.get('/__sandbox/calls')).text))
    expect(calls).toEqual([
      { method: 'PUT', path: '/box/{name}', count: 1, statuses: { 200: 1 } },
      { method: 'GET', path: '(unknown)', count: 2, statuses: { 404: 1, 405: 1 } },
    ])
  })

  it('answers a wrong control call with 400 and what is wrong', async () => {
    await start()
    const wrong: [string, unknown, string][] = [
      ['clock', { now: 'tomorrow' }, 'now: '],
      ['clock', 'not json', 'not JSON'],
      ['act', { act: 'fly', id: '1' }, 'act: '],
      ['act', { act: 'move-stage', id: '1' }, 'to: '],
      ['act', { act: 'delete', id: '1', colour: 'red' }, 'colour'],
      ['act', { act: 'delete', id: 'nobody' }, 'no record nobody'],
      ['faults', [{ fault: 'flood' }], '0.fault: '],
      ['faults', [{ fault: '429', rate: 2 }], '0.rate: '],
    ]
    for (const [path, body, problem] of wrong) {
      const answer = await client.post(`/__sandbox/${path}`, body)
      expect(answer.status, path).toBe(400)
      expect(ControlError.parse(JSON.parse(answer.text)).issues.join(' ')).toContain(problem)
    }
    expect((await client.get('/__sandbox/nothing')).status).toBe(404)
    const acted = await client.post('/__sandbox/act', { act: 'delete', id: '1' })
    expect(ActAnswer.parse(JSON.parse(acted.text))).toEqual({ ok: true, id: 'acted' })
  })

  it('goes back to the start', async () => {
    await start()
    await faults({ fault: '500-before' })
    await client.post('/__sandbox/clock', { now: '2030-01-01T00:00:00Z' })
    await client.post('/__sandbox/act', { act: 'revoke-token' })
    expect((await client.post('/__sandbox/reset', {})).at('now')).toBe('2026-11-02T06:00:00.000Z')
    expect(await boxes()).toEqual([])
    expect((await put('1')).status).toBe(200)
    expect(await client.lines('/__sandbox/journal')).toHaveLength(1)
  })
})

describe('limits', () => {
  it('rolling: so many in any window, refused calls cost nothing', async () => {
    await start({ limits: 'rolling' })
    expect((await put('1')).headers.get('x-left')).toBe('3')
    client.tick(600)
    for (const id of ['2', '3', '4']) expect((await put(id)).status).toBe(200)
    const refused = await put('5')
    expect([refused.status, refused.at('retryAfterS'), refused.at('lane')]).toEqual([429, 1, 'all'])
    client.tick(399)
    expect((await put('5')).status).toBe(429)
    client.tick(1)
    expect((await put('5')).status).toBe(200)
    expect((await put('6')).status).toBe(429)
  })

  it('bucket: a burst, then the pace', async () => {
    await start({ limits: 'bucket' })
    const statuses = async (count: number) => {
      const seen: number[] = []
      for (let call = 0; call < count; call += 1) seen.push((await put('1')).status)
      return seen
    }
    expect(await statuses(3)).toEqual([200, 200, 429])
    client.tick(250)
    expect(await statuses(2)).toEqual([200, 429])
    client.tick(60_000)
    expect(await statuses(3)).toEqual([200, 200, 429])
  })

  it('waits the latency before every call of the API, not before control calls', async () => {
    await start({ latencyMs: 150 })
    await put('1')
    await boxes()
    expect(client.slept).toEqual([150])
  })

  it('refuses a body that is too long without applying it', async () => {
    await start()
    expect((await put('x'.repeat(3000))).status).toBe(413)
    expect(await boxes()).toEqual([])
  })
})

describe('faults', () => {
  const outcomes: Record<string, [answer: number | 'lost' | 'open' | 'half', applied: boolean]> = {
    '429': [429, false],
    '429-daily': [403, false],
    '500-before': [500, false],
    '502-after': [502, true],
    'reset-before': ['lost', false],
    'reset-after': ['lost', true],
    'timeout-before': ['open', false],
    'timeout-after': ['open', true],
    cut: ['half', true],
    trickle: ['half', true],
    html: [503, false],
    slow: [200, true],
    redirect: [307, false],
  }
  it.each(FAULTS.filter((fault) => fault in outcomes))('%s', async (fault) => {
    await start()
    await faults({ fault, path: '/box/*', method: 'put', times: 1 })
    const [answer, applied] = outcomes[fault] ?? []
    if (answer === 'open') {
      // No answer ever comes: the client gives up as soon as the call has been counted.
      const stop = new AbortController()
      const hanging = fetch(`${client.sandbox.url}/box/a`, {
        method: 'PUT',
        body: '{"ids":["1"]}',
        signal: stop.signal,
      })
      await expect.poll(async () => (await client.get('/__sandbox/calls')).at('calls', 0, 'statuses', '0')).toBe(1)
      stop.abort()
      await expect(hanging).rejects.toThrow('abort')
    } else if (answer === 'half') {
      const signal = AbortSignal.timeout(300)
      const begun = await fetch(`${client.sandbox.url}/box/a`, { method: 'PUT', body: '{"ids":["1"]}', signal })
      expect(begun.status).toBe(200)
      await expect(begun.text()).rejects.toThrow(fault === 'cut' ? 'terminated' : 'timeout')
    } else if (answer === 'lost') await expect(put('1')).rejects.toThrow('fetch failed')
    else expect((await put('1')).status).toBe(answer)
    expect(await boxes()).toEqual(applied ? ['1'] : [])
    expect((await put('2')).status).toBe(200) // once only
    if (fault === 'slow') expect(client.slept).toEqual([5000])
  })

  it('partial refuses a tenth of a batch, bad-row one record for good', async () => {
    await start()
    const ids = Array.from({ length: 20 }, (_, index) => `r${index}`)
    await faults({ fault: 'partial', nth: 1 })
    expect((await put(...ids)).at('each')).toHaveLength(2)
    expect(await boxes()).toHaveLength(18)
    await faults({ fault: 'bad-row' })
    const bad = (await put(...ids)).at('whole', 0)
    expect((await put(...ids)).at('whole', 0)).toBe(bad)
    // Halving isolates it, and nothing else ever becomes bad.
    for (const id of ids) expect((await put(id)).status).toBe(id === bad ? 400 : 200)
    await faults()
    expect((await put(...ids)).status).toBe(200)
  })

  it('strikes only calls whose body contains a text', async () => {
    await start()
    await faults({ fault: '500-before', body: '"1"' })
    expect((await put('2')).status).toBe(200)
    expect((await put('1', '2')).status).toBe(500)
  })

  it('nth, times and rate choose the calls, by seeded chance', async () => {
    await start()
    const run = async (count: number) => {
      const seen: number[] = []
      for (let call = 0; call < count; call += 1) seen.push((await put('1')).status)
      return seen
    }
    await faults({ fault: '500-before', nth: 2, times: 2 })
    expect(await run(4)).toEqual([200, 500, 500, 200])
    await faults({ fault: '500-before', nth: 2 })
    expect(await run(3)).toEqual([200, 500, 200])
    await faults({ fault: '500-before', path: '/other' })
    expect(await run(1)).toEqual([200])
    await client.post('/__sandbox/reset', {})
    await faults({ fault: '500-before', rate: 0.3 })
    const chance = await run(40)
    expect(chance.filter((status) => status === 500).length).toBeGreaterThan(4)
    expect(chance.filter((status) => status === 500).length).toBeLessThan(25)
    await client.post('/__sandbox/reset', {})
    await faults({ fault: '500-before', rate: 0.3 })
    expect(await run(40)).toEqual(chance)
  })
})

describe('tokens and the server', () => {
  it('issued tokens end, revoked ones are refused', async () => {
    await start({ tokenLifeS: 60 })
    const { tokens } = client.sandbox.kernel
    tokens.issue('short')
    expect(tokens.check('short')).toBe('valid')
    client.tick(60_000)
    expect([tokens.check('short'), tokens.check('static')]).toEqual(['expired', 'valid'])
    expect((await put('1')).status).toBe(200)
    await client.post('/__sandbox/act', { act: 'revoke-token' })
    expect((await put('2')).status).toBe(401)
    expect(tokens.check('other')).toBe('valid')
  })

  it('listens on loopback only, and rejects where the port is taken', async () => {
    await start()
    const { port } = new URL(client.sandbox.url)
    expect(new URL(client.sandbox.url).hostname).toBe('127.0.0.1')
    await expect(startSandbox(toy, { port: Number(port) })).rejects.toThrow('EADDRINUSE')
  })

  it('a fault of the sandbox itself is said, not hidden', async () => {
    const bugs: unknown[] = []
    await start({ onBug: (bug) => bugs.push(bug) })
    const answer = await client.send('PUT', '/box/a', 'not json')
    expect([answer.status, bugs.length]).toEqual([500, 1])
    expect(answer.text).toContain('the sandbox itself failed')
  })
})
