// The lookalike CRM of the bench, in a process of its own: real limits and latency, `speed` times faster. People act on
// its records directly, because a hundred thousand acts over HTTP would be what is measured.
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Act } from '../../src/sandbox/control.ts'
import { hubspot } from '../../src/sandbox/hubspot/server.ts'
import { type Kernel, type Lookalike, startSandbox } from '../../src/sandbox/kernel.ts'
import type { Limits } from '../../src/sandbox/limits.ts'
import { salesforce } from '../../src/sandbox/salesforce/index.ts'
import { kindOf, STAGES, seedOf } from './deals.ts'
import { EQUAL, type Happened } from './minimum.ts'

export interface SandboxOrder {
  readonly system: 'hubspot' | 'salesforce'
  readonly deals: number
  readonly limits: Limits
  readonly latencyMs: number
  readonly speed: number
}
export type Ask = { readonly ask: Exclude<Happened, 'first'> } | { readonly ask: 'dump'; readonly file: string }

interface BenchDeal {
  readonly id: string
  readonly name: string
  readonly index: number
  readonly flagged: boolean
  /** By the CRM's own names. */
  readonly values: Readonly<Record<string, unknown>>
}

const FIELDS = {
  hubspot: { next: 'hs_next_step', amount: 'amount', to: STAGES[3] ?? '' },
  salesforce: { next: 'NextStep', amount: 'Amount', to: STAGES[3] ?? '' },
} as const

/** Starts it; `answer` carries out an Ask. */
export async function startBenchSandbox(order: SandboxOrder) {
  const { system, speed } = order
  const seed = seedOf(order.deals)
  let lookalike: Lookalike | undefined
  /** Set while many records change at one moment. */
  let frozen: number | null = null
  const build = (kernel: Kernel): Lookalike => {
    const made = (system === 'hubspot' ? hubspot(seed) : salesforce(seed, { dailyCalls: 1_000_000 }))(kernel)
    lookalike = made
    return { ...made, ...scaled(made, speed) }
  }
  const sandbox = await startSandbox(build, {
    ...{ now: seed.now, limits: order.limits, latencyMs: order.latencyMs / speed },
    monotonic: () => frozen ?? performance.now(),
    sleep: (ms) => delay(ms),
  })
  const ids: string[] = []
  for (const { id, index } of deals()) ids[index] = id

  function* deals(): Iterable<BenchDeal> {
    for (const line of lookalike?.state() ?? []) {
      if (line.kind !== 'deal') continue
      const values = system === 'hubspot' ? Object(line.properties) : line
      const name = String(values.dealname ?? values.Name)
      const flagged = String(values.unstall_stalled ?? values.Unstall_Stalled__c) === 'true'
      yield { id: String(line.id ?? line.Id), name, index: Number(name.slice(-7)), flagged, values }
    }
  }
  const { next, amount, to } = FIELDS[system]
  const set = (index: number, field: string, value: string | number, by: Act['by'] = 'person') =>
    lookalike?.act({ act: 'set', id: ids[index] ?? '', field, value, by })
  const asks = {
    usual() {
      for (const [index, id] of ids.entries()) {
        const kind = kindOf(index)
        if (kind === 'recovering') lookalike?.act({ act: 'move-stage', id, to, by: 'person' })
        if (kind === 'edited') set(index, next, `Call ${index}`)
      }
    },
    equal() {
      frozen = performance.now()
      for (let index = 0; index < Math.min(EQUAL, ids.length); index++) set(index, amount, 500_000 + index, 'import')
      frozen = null
    },
    edit() {
      for (const index of ids.keys()) set(index, amount, 900_000 + index, 'import')
    },
  }
  /** One line a deal: id, name, stage, amount, close date, flag; one a task of unstall's: its deal and whether it is open. */
  async function dump(file: string): Promise<void> {
    const out = createWriteStream(file)
    const line = async (...cells: unknown[]) => {
      if (!out.write(`${cells.join('|')}\n`)) await once(out, 'drain')
    }
    const first = system === 'hubspot'
    for (const { id, name, flagged, values: v } of deals()) {
      const close = String(v.closedate ?? v.CloseDate).slice(0, 10)
      await line('deal', id, name, v.dealstage ?? v.StageName, Number(v.amount ?? v.Amount), close, flagged)
    }
    for (const task of lookalike?.state() ?? []) {
      if (task.kind !== 'task') continue
      const v = first ? Object(task.properties) : task
      if (!(first ? v.unstall_task_key : v.Unstall_Key__c)) continue
      await line('task', task.dealId ?? task.WhatId, !/^completed$/i.test(String(v.hs_task_status ?? v.Status)))
    }
    out.end()
    await once(out, 'close')
  }
  const answer = async (ask: Ask) => (ask.ask === 'dump' ? dump(ask.file) : asks[ask.ask]())
  const clock = (now: number) =>
    fetch(`${sandbox.url}/__sandbox/clock`, {
      method: 'POST',
      body: JSON.stringify({ now: new Date(now).toISOString() }),
    })
  return { url: sandbox.url, answer, clock, deals: () => [...deals()], close: () => sandbox.close() }
}

/** Windows so many times shorter, in what it does and in what it says; and the addresses the SDK still calls. */
function scaled(made: Lookalike, speed: number): Partial<Lookalike> {
  const interval = 'x-hubspot-ratelimit-interval-milliseconds'
  const shorter = (headers: Readonly<Record<string, string>>) =>
    headers[interval] ? { ...headers, [interval]: String(Number(headers[interval]) / speed) } : headers
  const former = made.routes.flatMap((route) => {
    const template = route.template.replace('/crm/objects/2026-03/', '/crm/v3/objects/')
    return template === route.template ? [] : [{ ...route, template }]
  })
  return {
    routes: [...made.routes, ...former],
    lane(call) {
      const lane = made.lane(call)
      return lane && { ...lane, windowMs: lane.windowMs / speed }
    },
    headers: (call, remaining) => shorter(made.headers(call, remaining)),
    refuse(refusal, call) {
      const answer = made.refuse(refusal, call)
      return { ...answer, headers: shorter(answer.headers ?? {}) }
    },
  }
}

if (process.argv[1] === import.meta.filename) {
  const order: SandboxOrder = JSON.parse(process.argv[2] ?? '')
  const sandbox = await startBenchSandbox(order)
  process.on('message', (ask: Ask) => {
    sandbox.answer(ask).then(
      () => process.send?.({ done: true }),
      (error) => process.send?.({ error: String(error?.stack) }),
    )
  })
  process.send?.({ url: sandbox.url, mb: process.memoryUsage().rss / 2 ** 20 })
}
