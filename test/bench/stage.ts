// One scenario played: a sandbox process, a place in a database, then one process for each night of unstall or of a
// baseline; what was called is read from the sandbox, what it holds in the end is compared with what must be there.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import type { Calls as Row } from '../../src/sandbox/control.ts'
import type { Limits } from '../../src/sandbox/limits.ts'
import { homes } from '../homes.ts'
import { missing } from '../services.ts'
import type { BaselineCost } from './baseline.ts'
import { isStalled, kindOf, NIGHTS } from './deals.ts'
import type { Happened, System } from './minimum.ts'
import type { Ask, SandboxOrder } from './sandbox.ts'
import type { Cost, UnstallOrder } from './unstall.ts'

export const LATENCY_MS = 150
export interface Setting {
  readonly system: System
  readonly deals: number
  readonly limits: Limits
  readonly latencyMs: number
  readonly speed: number
}

export interface Calls {
  readonly all: number
  readonly refused: number
  /** Per method and path. */
  readonly by: ReadonlyMap<string, number>
}
/** What the CRM and the store hold after a night. */
export interface Held {
  /** Deals whose stored copy equals the CRM's, of all; null: a baseline stores none. */
  readonly stored: number | null
  readonly due: number
  /** Flags that are due and set. */
  readonly flagged: number
  /** Flags that are not due, or tasks open of deals not flagged. */
  readonly wrong: number
  /** Tasks beyond one a stall. */
  readonly doubled: number
}
export interface Played extends Cost {
  readonly calls: Calls
  readonly held: Held
}

/** The programs that are measured run as the command from source does. */
export const FLAGS = ['--max-semi-space-size=4', '--heap-growing-percent=50']

export async function openStage(setting: Setting) {
  const { system, speed } = setting
  const folder = mkdtempSync(join(tmpdir(), 'unstall-bench-'))
  const children = new Set<ChildProcess>()
  const start = (file: string, order: object, flags: readonly string[]) => {
    const child = fork(join(import.meta.dirname, file), [JSON.stringify(order)], {
      ...{ execArgv: [...flags], env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
    })
    children.add(child)
    child.once('exit', () => children.delete(child))
    return child
  }
  const toldBy = async (child: ChildProcess) => {
    const told = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => null)])
    const [answer] = told ?? [{ error: `${child.spawnargs.at(-2)} ended before it answered` }]
    if (answer.error) throw new Error(answer.error)
    return answer
  }
  // Debian's PostgreSQL where there is one, else embedded.
  const home = homes[missing(['PostgreSQL']) ? 0 : 1]
  const where = (await home?.place()) ?? {}
  const env = {
    DATABASE_URL: where.databaseUrl ?? '',
    REDIS_URL: '',
    // As the image has it: by npm a night takes some 25 MB more.
    MALLOC_ARENA_MAX: '1',
    // The published command strips no types: what strips them, 27 MB, is not loaded once the set-up has left its results here.
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
    UNSTALL_SECRET_KEY: 'of the bench, in these processes and nowhere else',
  }
  const order: SandboxOrder = setting
  const sandbox = start('sandbox.ts', order, ['--max-old-space-size=14000'])
  const { url } = await toldBy(sandbox)
  const ask = async (what: Ask) => {
    sandbox.send(what)
    await toldBy(sandbox)
  }
  const config = join(folder, 'unstall.config.yaml')
  const auth =
    system === 'hubspot'
      ? { kind: 'token', token: 'sandbox-bench' }
      : { kind: 'client-credentials', clientId: 'sandbox', clientSecret: 'sandbox' }
  const connection = { system, [system === 'hubspot' ? 'baseUrl' : 'loginUrl']: url, auth }
  const most = 100_000_000
  writeFileSync(
    config,
    stringify({
      ...{ timezone: 'UTC', dataDir: where.dataDir ?? join(folder, 'data'), connections: { crm: connection } },
      policy: { automationUsers: ['import@sandbox.invalid'] },
      tasks: { perOwnerPerWeek: most },
      brakes: { maxNewlyStalledShare: 1, maxWritesPerRun: most },
    }),
  )
  const unstall = async (work: UnstallOrder['work'], file?: string): Promise<Cost> => {
    const child = start('unstall.ts', { config, connection: 'crm', system, speed, work, file }, FLAGS)
    const cost = await toldBy(child)
    // What it has compiled is there when it is gone.
    if (child.exitCode === null) await once(child, 'exit')
    return cost
  }

  async function calls(): Promise<Calls> {
    const answer = await fetch(`${url}/__sandbox/calls`)
    const rows: readonly Row[] = Object(await answer.json()).calls
    // Sign-in is no call of the API.
    const counted = rows.filter(({ path }) => !/oauth/.test(path))
    return {
      all: counted.reduce((sum, { count }) => sum + count, 0),
      refused: counted.reduce((sum, { statuses }) => sum + (statuses[429] ?? 0), 0),
      by: new Map(counted.map(({ method, path, count }) => [`${method} ${path}`, count])),
    }
  }
  const since = (before: Calls, now: Calls): Calls => ({
    all: now.all - before.all,
    refused: now.refused - before.refused,
    by: new Map(
      [...now.by].map(([name, n]) => [name, n - (before.by.get(name) ?? 0)] as const).filter(([, n]) => n > 0),
    ),
  })

  async function held(night: 0 | 1 | 2, moved: boolean, stores: boolean): Promise<Held> {
    const [there, ours] = [join(folder, 'crm'), join(folder, 'store')]
    await ask({ ask: 'dump', file: there })
    const copies = new Set<string>()
    if (stores) {
      const { problem } = await unstall('dump', ours)
      if (problem) throw new Error(problem)
      for await (const line of createInterface(createReadStream(ours))) copies.add(line)
    }
    let [stored, due, flagged, wrong, doubled] = [0, 0, 0, 0, 0]
    const flags = new Set<string>()
    const tasks = new Map<string, number>()
    for await (const line of createInterface(createReadStream(there))) {
      const [what, id = '', name = '', stage, amount, close, flag] = line.split('|')
      if (what === 'task') {
        tasks.set(id, (tasks.get(id) ?? 0) + 1)
        if (name === 'true' && !flags.has(id)) wrong += 1
        continue
      }
      if (copies.has([id, stage, amount, close].join('|'))) stored += 1
      const should = isStalled(kindOf(Number(name.slice(-7))), night, moved)
      if (flag === 'true') flags.add(id)
      if (should) due += 1
      if (should && flag === 'true') flagged += 1
      if (!should && flag === 'true') wrong += 1
    }
    for (const n of tasks.values()) doubled += n - 1
    return { stored: stores ? stored : null, due, flagged, wrong, doubled }
  }

  /** What earlier calls have filled of the limiter's window is let pass. */
  const rest = () => delay((system === 'hubspot' ? 10_500 : 0) / speed)
  async function measured<C extends Cost>(
    work: () => Promise<C>,
    ...night: Parameters<typeof held>
  ): Promise<C & Played> {
    if (night[0] > 0) await rest()
    const before = await calls()
    const cost = await work()
    return { ...cost, calls: since(before, await calls()), held: await held(...night) }
  }
  const clock = (at: number) =>
    fetch(`${url}/__sandbox/clock`, { method: 'POST', body: JSON.stringify({ now: new Date(at).toISOString() }) })

  return {
    setup: () => unstall('setup'),
    /** The n-th night; `moved`: people have moved what recovers. */
    night: (n: 0 | 1 | 2, moved: boolean): Promise<Played> =>
      measured(() => unstall(n === 0 ? 'first' : n === 1 ? 'second' : 'third'), n, moved, true),
    baseline(n: 0 | 1 | 2, moved: boolean): Promise<BaselineCost & Played> {
      const order = { url, speed, memory: join(folder, 'tasks'), now: { at: NIGHTS[n], first: n === 0 } }
      return measured(() => toldBy(start(`baseline-${system}.ts`, order, FLAGS)), n, moved, false)
    },
    /** What happens before the n-th night, three hours before it. */
    async between(n: 1 | 2, what: Exclude<Happened, 'first'>) {
      await clock(NIGHTS[n] - 3 * 3_600_000)
      await ask({ ask: what })
      await clock(NIGHTS[n])
    },
    /** The place is cleared with all others at the end of the program. */
    close() {
      for (const child of children) child.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
