// The command line as a person calls it, in a folder of its own, against lookalikes over HTTP: `run` in this process,
// `start` in a process of its own, for what signals and locks do.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import timers from 'node:timers/promises'
import { afterAll, beforeAll, onTestFinished, vi } from 'vitest'
import { main } from '../../src/cli/main.ts'
import { generate } from '../../src/sandbox/generate.ts'
import { hubspot } from '../../src/sandbox/hubspot/server.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/kernel.ts'
import { salesforce } from '../../src/sandbox/salesforce/index.ts'
import { openDatabase } from '../../src/store/db.ts'
import { snapshot } from '../homes.ts'

const BIN = resolve(import.meta.dirname, '../../src/cli/bin.ts')
export const NOW = Date.parse('2026-11-23T02:00:00Z')

export interface Result {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Place {
  readonly folder: string
  readonly hub: Sandbox
  readonly sf: Sandbox
  /** Writes unstall.config.yaml; `change` replaces text of the good one. */
  config(change?: readonly (readonly [from: string, to: string])[]): void
  run(...args: readonly string[]): Promise<Result>
  /** What the command that runs has written so far. */
  heard(): string
  /** Starts without waiting: `signal` sends, `ended` resolves. */
  start(...args: readonly string[]): {
    signal(name: NodeJS.Signals): void
    said(text: string): Promise<void>
    ended: Promise<Result>
  }
  writes(): Promise<number>
  close(): Promise<void>
}

/** The command in a process of its own. */
export function command(folder: string, args: readonly string[], more: NodeJS.ProcessEnv = {}) {
  const own = { HUBSPOT_TOKEN: 'sandbox-cli', SF_CLIENT_SECRET: 'sandbox', NO_COLOR: '1' }
  const env = { ...process.env, ...own, ...more }
  const child = spawn(process.execPath, [BIN, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stdout.on('data', (part: Buffer) => {
    out += part.toString()
  })
  child.stderr.on('data', (part: Buffer) => {
    err += part.toString()
  })
  const ended = new Promise<Result>((done) => child.once('close', (code) => done({ code, out, err })))
  const said = (text: string) =>
    new Promise<void>((done, fail) => {
      const look = () => (`${out}${err}`.includes(text) ? done() : undefined)
      child.stdout.on('data', look)
      child.stderr.on('data', look)
      child.once('close', () => fail(new Error(`ended without saying "${text}": ${out}${err}`)))
      look()
    })
  return { signal: (name: NodeJS.Signals) => void child.kill(name), said, heard: () => `${out}${err}`, ended }
}

/** A folder with a good configuration and two lookalikes of 60 deals each. */
export async function place(latencyMs = 0): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'unstall-cli-'))
  // A database made before: creating one takes seconds, and no test here is about that.
  const database = await openDatabase({ dataDir: join(folder, '.unstall'), snapshot: await snapshot() })
  await database.close()
  const seed = (n: number) => generate({ now: NOW, seed: n, deals: 60, open: 30 })
  const options = { now: NOW, latencyMs }
  const hub = await startSandbox(hubspot(seed(1)), options)
  const sf = await startSandbox(salesforce(seed(2)), options)
  const good = `timezone: Europe/Paris
holidays: FR
connections:
  hub:
    system: hubspot
    baseUrl: ${hub.url}
    auth: { kind: token, token: "\${HUBSPOT_TOKEN}" }
  sf:
    system: salesforce
    loginUrl: ${sf.url}
    auth: { kind: client-credentials, clientId: sandbox, clientSecret: "\${SF_CLIENT_SECRET}" }
policy:
  decision: { stages: [contractsent, Contract sent] }
`
  const start = (...args: readonly string[]) => command(folder, args)
  return {
    folder,
    hub,
    sf,
    config: (change = []) => {
      let text = good
      for (const [from, to] of change) {
        if (!text.includes(from)) throw new Error(`the good configuration has no "${from}"`)
        text = text.replace(from, to)
      }
      writeFileSync(join(folder, 'unstall.config.yaml'), text)
    },
    start,
    run: (...args) => inProcess(folder, args),
    heard: () => said.out + said.err,
    writes: async () => {
      const lines = await Promise.all(
        [hub, sf].map(async ({ url }) => (await fetch(`${url}/__sandbox/journal`)).text()),
      )
      return lines
        .join('')
        .split('\n')
        .filter((line) => line !== '').length
    },
    close: async () => {
      await Promise.all([hub.close(), sf.close()])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** In this file no connector waits, for its pace or before it tries again: of all waits only theirs have a signal and no
 *  value. */
export function unpaced(): void {
  const { setTimeout: wait } = timers
  const hasty = new Proxy(wait, {
    apply: (target, self, [ms, value, options]) =>
      Reflect.apply(target, self, [value === undefined && options?.signal ? 0 : ms, value, options]),
  })
  const replace = (sleep: typeof wait) => {
    Object.assign(timers, { setTimeout: sleep })
    syncBuiltinESMExports()
  }
  beforeAll(() => replace(hasty))
  afterAll(() => replace(wait))
}

/** What this process writes on stderr until the test ends, without showing it. */
export function watched(): () => string {
  let text = ''
  const spy = vi.spyOn(process.stderr, 'write').mockImplementation((more) => {
    text += String(more)
    return true
  })
  onTestFinished(() => spy.mockRestore())
  return () => text
}

let said = { out: '', err: '' }
/** Calls run one after the other: stdout and stderr are the process's own. */
async function inProcess(folder: string, args: readonly string[]): Promise<Result> {
  const home = process.cwd()
  said = { out: '', err: '' }
  const write = (to: keyof typeof said) => (text: string | Uint8Array) => {
    said[to] += String(text)
    return true
  }
  const out = vi.spyOn(process.stdout, 'write').mockImplementation(write('out'))
  const err = vi.spyOn(process.stderr, 'write').mockImplementation(write('err'))
  vi.stubEnv('HUBSPOT_TOKEN', 'sandbox-cli')
  vi.stubEnv('SF_CLIENT_SECRET', 'sandbox')
  vi.stubEnv('NO_COLOR', '1')
  process.chdir(folder)
  try {
    const code = await main(args)
    return { code, ...said }
  } finally {
    process.chdir(home)
    vi.unstubAllEnvs()
    out.mockRestore()
    err.mockRestore()
  }
}
