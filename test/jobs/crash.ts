// Law 5: the process is killed for real (SIGKILL) at every labelled point of apply and inside the CRM's calls, again and
// again in the same run, and started anew until the run is over. The CRM must then hold every key exactly once.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished } from 'vitest'
import type { Fault } from '../../src/sandbox/control.ts'
import { OWNERS } from '../../src/sandbox/generate.ts'
import type { Home } from '../homes.ts'
import type { Ended, Orders } from './crash-worker.ts'
import { type Crm, DAY, MONDAY, seedDeal, seedOf, setUp, startCrm } from './harness.ts'

const ACTIVE = OWNERS.filter((one) => one.active).map((one) => one.email)
const NAMES = Array.from({ length: 12 }, (_, at) => `deal ${at}`)
const DEALS = NAMES.map((name, at) => seedDeal(name, { ownerEmail: ACTIVE[at % 4] ?? '' }))
/** Of these the buyer replies: their tasks are completed, and opened again by undo. */
const REPLIED = NAMES.slice(0, 5)

/** At a labelled point of ours, or while the CRM's call of this kind hangs: before it was applied, or after. */
type Kill =
  | { readonly at: string; readonly what: string; readonly nth?: number }
  | { readonly hangs: 'before' | 'after'; readonly call: 'fields' | 'create-task' | 'update-task' | 'delete-task' }

const CALLS: Readonly<
  Record<Crm['system'], Readonly<Record<Extract<Kill, { call: string }>['call'], Partial<Fault>>>>
> = {
  hubspot: {
    fields: { path: '/deals/batch/update' },
    'create-task': { path: '/tasks/batch/create' },
    'update-task': { path: '/tasks/batch/update' },
    'delete-task': { path: '/tasks/batch/archive' },
  },
  salesforce: {
    fields: { method: 'PATCH', path: '/composite/sobjects' },
    'create-task': { method: 'POST', path: '/composite/sobjects' },
    'update-task': { method: 'PATCH', path: '/composite/sobjects' },
    'delete-task': { method: 'DELETE', path: '/composite/sobjects' },
  },
}

interface Kills {
  readonly night: readonly Kill[]
  /** The night after: tasks are completed. Then this night is taken back, then the first. */
  readonly more?: {
    readonly night: readonly Kill[]
    readonly undo: readonly Kill[]
    readonly undoFirst: readonly Kill[]
  }
}

/** Every point and both ways to lose a call. */
export const FULL: Kills = {
  night: [
    { at: 'step stored', what: 'decide' },
    { at: 'intent stored', what: 'fields' },
    { hangs: 'before', call: 'fields' },
    { hangs: 'after', call: 'fields' },
    { at: 'answer read', what: 'fields', nth: 2 },
    { at: 'result stored', what: 'fields' },
    { at: 'intent stored', what: 'create-task' },
    { hangs: 'before', call: 'create-task' },
    { hangs: 'after', call: 'create-task' },
    { at: 'answer read', what: 'create-task', nth: 2 },
    { at: 'step stored', what: 'apply' },
  ],
  more: {
    night: [
      { hangs: 'before', call: 'update-task' },
      { hangs: 'after', call: 'update-task' },
    ],
    undo: [{ hangs: 'after', call: 'update-task' }],
    undoFirst: [{ hangs: 'after', call: 'delete-task' }],
  },
}
/** Where the CRM matters: what it did of a call nobody heard the end of. */
export const CALLS_ONLY: Kills = {
  night: [
    { hangs: 'after', call: 'fields' },
    { at: 'intent stored', what: 'create-task' },
    { hangs: 'before', call: 'create-task' },
    { hangs: 'after', call: 'create-task' },
    { at: 'answer read', what: 'create-task', nth: 2 },
  ],
  more: {
    night: [{ hangs: 'after', call: 'update-task' }],
    undo: [],
    undoFirst: [{ hangs: 'after', call: 'delete-task' }],
  },
}
/** Where the home matters: a database closed by a kill. */
export const SHORT: Kills = {
  night: [
    { at: 'intent stored', what: 'fields' },
    { hangs: 'after', call: 'create-task' },
    { at: 'step stored', what: 'apply' },
  ],
}

/** First night, a night after replies, and both taken back, each killed as told. */
export async function survive(home: Home, system: Crm['system'], kills: Kills): Promise<void> {
  const where = await home.place()
  const crm = await startCrm(system, seedOf(DEALS))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const before = (await crm.look()).dump
  const { name, url } = crm
  let spare = launch()
  onTestFinished(() => spare.kill())
  const work = (orders: Partial<Orders>) => {
    const worker = spare
    worker.begin({ where, crm: { name, system, url }, now: MONDAY, ...orders })
    spare = launch()
    return worker
  }

  /** Kills it as told, then lets it finish. */
  async function through(list: readonly Kill[], orders: Partial<Orders>): Promise<string> {
    for (const kill of list) {
      const hang = 'call' in kill ? kill : null
      if (hang) await crm.faults([{ fault: `timeout-${hang.hangs}`, ...CALLS[system][hang.call] }])
      const worker = work({ ...orders, ...('at' in kill ? { die: kill } : {}) })
      if (hang) {
        const lost = async () => (await crm.calls()).reduce((sum, { statuses }) => sum + (statuses['0'] ?? 0), 0)
        const was = await lost()
        while ((await lost()) === was && worker.alive()) await new Promise((resolve) => setTimeout(resolve, 10))
        worker.kill()
      }
      const said = await worker.over
      expect(said.signal, `${JSON.stringify(kill)}: ${said.text}`).toBe('SIGKILL')
      await crm.faults([])
    }
    const said = await work(orders).over
    expect(said, said.text).toMatchObject({ signal: null, code: 0 })
    const ended: Ended = JSON.parse(said.text)
    expect(ended).toMatchObject({ status: 'done', problem: null })
    return ended.id
  }

  const preview = await through([], {})
  const first = await through(kills.night, { confirm: preview })
  const seen = await crm.look()
  for (const deal of NAMES)
    expect(seen.deal(deal), deal).toMatchObject({ stalled: true, state: 'stalled', category: crm.words.omitted })
  expect(seen.tasks.map(({ deal }) => deal).sort()).toEqual(seen.deals.map(({ id }) => id).sort())
  expect(new Set(seen.tasks.map(({ key }) => key)).size).toBe(NAMES.length)
  const created = (await crm.journal()).filter((line) => line.before === null)
  expect(created).toHaveLength(NAMES.length)
  // No write was applied twice.
  for (const line of await crm.journal()) expect(line.after).not.toEqual(line.before)

  const { more } = kills
  if (!more) return
  await crm.clock(MONDAY + DAY / 2)
  for (const deal of REPLIED) await crm.act(deal, 'buyer-reply')
  await crm.clock(MONDAY + DAY)
  const now = MONDAY + DAY
  const second = await through(more.night, { now })
  const after = await crm.look()
  for (const deal of NAMES) {
    const replied = REPLIED.includes(deal)
    expect(after.deal(deal), deal).toMatchObject({ stalled: !replied, state: replied ? 'moving' : 'stalled' })
    expect(after.tasksOf(deal), deal).toMatchObject([{ open: !replied }])
  }
  await through(more.undo, { now, undo: second })
  const again = await crm.look()
  for (const deal of NAMES) {
    expect(again.deal(deal), deal).toMatchObject({ stalled: true, state: 'stalled' })
    expect(again.tasksOf(deal), deal).toMatchObject([{ open: true, body: seen.tasksOf(deal)[0]?.body }])
  }
  await through(more.undoFirst, { now, undo: first })
  const last = await crm.look()
  expect(last.tasks).toEqual([])
  for (const deal of NAMES.filter((one) => !REPLIED.includes(one))) {
    const { id } = last.deal(deal)
    expect(last.dump.get(id)).toEqual(before.get(id))
  }
  for (const deal of REPLIED)
    expect(last.deal(deal)).toMatchObject({ stalled: false, category: seen.deal(deal).categoryBefore })
}

/** Workers wait for their orders, so that the next one loads while the last one works. */
function launch() {
  const env = { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'unstall-compile-cache') }
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash-worker.ts')], { env })
  const exit = once(child, 'exit')
  const said = Promise.all([text(child.stdout), text(child.stderr)])
  const over = exit.then(async ([code, signal]: (number | string | null)[]) => {
    const [out, err] = await said
    return { code, signal, text: out + err }
  })
  return {
    over,
    begin: (orders: Orders) => void child.stdin.end(JSON.stringify(orders)),
    alive: () => child.exitCode === null && child.signalCode === null,
    kill: () => void child.kill('SIGKILL'),
  }
}
