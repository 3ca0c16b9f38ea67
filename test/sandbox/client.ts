// What the sandbox tests share: a sandbox with hand-made time, and a client that knows nothing but HTTP.
import type { Kernel, Lookalike, Sandbox, SandboxOptions } from '../../src/sandbox/kernel.ts'
import { startSandbox } from '../../src/sandbox/kernel.ts'

export const NOW = Date.parse('2026-11-02T06:00:00Z')

/** Answers as loose JSON: `at('results', 0, 'id')` walks into it, undefined where there is nothing. */
export interface Got {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  at(...path: (string | number)[]): unknown
}

export function walk(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inside, key) => (typeof inside === 'object' && inside !== null ? Reflect.get(inside, key) : undefined),
    value,
  )
}

export interface Client {
  readonly sandbox: Sandbox
  /** Moves real (monotonic) time, and with it the sandbox clock. */
  tick(ms: number): void
  readonly slept: number[]
  get(path: string, token?: string): Promise<Got>
  send(method: string, path: string, body: unknown, token?: string): Promise<Got>
  post(path: string, body: unknown, token?: string): Promise<Got>
  lines(path: string): Promise<unknown[]>
  /** Lines of the state of one kind. */
  state(kind: string): Promise<unknown[]>
}

export async function open(build: (kernel: Kernel) => Lookalike, options: SandboxOptions = {}): Promise<Client> {
  let time = 1000
  const slept: number[] = []
  const sandbox = await startSandbox(build, {
    now: NOW,
    monotonic: () => time,
    sleep: async (ms) => void slept.push(ms),
    ...options,
  })
  const call = async (path: string, init: RequestInit, token = 'sandbox-test'): Promise<Got> => {
    const type = typeof init.body === 'string' && init.body.startsWith('grant_type') ? 'x-www-form-urlencoded' : 'json'
    const headers = { authorization: `Bearer ${token}`, 'content-type': `application/${type}` }
    const signal = AbortSignal.timeout(2000)
    const response = await fetch(sandbox.url + path, { headers, redirect: 'manual', signal, ...init })
    const text = await response.text()
    const json = response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : undefined
    return { status: response.status, headers: response.headers, text, at: (...keys) => walk(json, keys) }
  }
  const send = (method: string, path: string, body: unknown, token?: string) =>
    call(path, { method, body: typeof body === 'string' ? body : JSON.stringify(body) }, token)
  const lines = async (path: string) => {
    const { text } = await call(path, {})
    return text
      .split('\n')
      .filter(Boolean)
      .map((line): unknown => JSON.parse(line))
  }
  return {
    sandbox,
    slept,
    tick: (ms) => {
      time += ms
    },
    get: (path, token) => call(path, {}, token),
    send,
    post: (path, body, token) => send('POST', path, body, token),
    lines,
    state: async (kind) => (await lines('/__sandbox/state')).filter((line) => walk(line, ['kind']) === kind),
  }
}
