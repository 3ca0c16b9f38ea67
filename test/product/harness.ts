// One hand-made company in both lookalike CRMs over real HTTP, for the table-driven tests of product.md. Scenes (one deal
// each) are loaded into both; people act on their days; on each night the real connectors pull, the core judges and
// plans as jobs/decide.ts does, and what is planned is written through the connector. Kept: what each night saw.

import { connectHubspot, staticToken } from '../../connectors/hubspot/index.ts'
import { clientCredentials, connectSalesforce } from '../../connectors/salesforce/index.ts'
import { toWrite } from '../../jobs/apply.ts'
import type { Connector, Cursor, Finding } from '../../src/connector.ts'
import { makeCalendar } from '../../src/core/calendar.ts'
import type { DealId, Instant, Known } from '../../src/core/deal.ts'
import type { Verdict } from '../../src/core/judge.ts'
import { type MovementLog, observe } from '../../src/core/movement.ts'
import {
  type DealIntent,
  judged,
  type LedgerRow,
  noTotals,
  type PlanContext,
  type PlannedWrite,
  planContext,
  planDeal,
} from '../../src/core/plan.ts'
import { Settings } from '../../src/core/policy.ts'
import { reaffirm } from '../../src/core/reaffirm.ts'
import { goneStanding, type Standing, type Transition } from '../../src/core/stall.ts'
import { hubspot } from '../../src/sandbox/hubspot/server.ts'
import { startSandbox } from '../../src/sandbox/kernel.ts'
import { salesforce } from '../../src/sandbox/salesforce/index.ts'
import type { By, Seed, SeedDeal, SeedStage } from '../../src/sandbox/seed.ts'
import { en } from '../../src/texts/en.ts'

export const SYSTEMS = ['hubspot', 'salesforce'] as const
export type System = (typeof SYSTEMS)[number]
const ZONE = 'Europe/Paris'
const DAY = 86_400_000

// ---- days: weekdays counted from Monday 2026-06-01, on which the first night falls; nights are at 02:00 UTC

/** `day(0)` is Monday 2026-06-01, `day(-1)` the Friday before, `day(5)` the Monday after. */
export function day(n: number): string {
  const week = Math.floor(n / 5)
  return new Date(Date.UTC(2026, 5, 1) + (7 * week + n - 5 * week) * DAY).toISOString().slice(0, 10)
}
/** The calendar date `n` days after `date`. */
export const later = (date: string, n: number): string =>
  new Date(Date.parse(date) + n * DAY).toISOString().slice(0, 10)
export const at = (n: number, time = '10:00'): Instant => Date.parse(`${day(n)}T${time}:00Z`)

// ---- what people do

interface Crm {
  readonly system: System
  readonly id: DealId
  readonly owner: (email: string) => string
  readonly recordType: (pipeline: string) => string
  /** Our newest task on the deal. */
  readonly task: string | null
}
export interface Act {
  readonly at: Instant
  readonly bodies: (crm: Crm) => readonly Record<string, unknown>[]
}
interface How {
  readonly by?: By
  readonly time?: string
}

const FIELDS = {
  amount: ['amount', 'Amount'],
  closeDate: ['closedate', 'CloseDate'],
  owner: ['hubspot_owner_id', 'OwnerId'],
  description: ['description', 'Description'],
  nextStep: ['hs_next_step', 'NextStep'],
  tag: ['hs_priority', 'Type'],
  category: ['hs_manual_forecast_category', 'ForecastCategoryName'],
  flag: ['unstall_stalled', 'Unstall_Stalled__c'],
  decision: ['unstall_decision', 'Unstall_Decision__c'],
  decisionDue: ['unstall_decision_due', 'Unstall_Decision_Due__c'],
  cause: ['unstall_cause', 'Unstall_Cause__c'],
  parkedUntil: ['unstall_parked_until', 'Unstall_Parked_Until__c'],
  parkedReason: ['unstall_parked_reason', 'Unstall_Parked_Reason__c'],
} as const
const CATEGORIES: readonly (readonly [string | null, string, string])[] = [
  ['omitted', 'OMIT', 'Omitted'],
  ['pipeline', 'PIPELINE', 'Pipeline'],
  ['best_case', 'BEST_CASE', 'Best Case'],
  ['commit', 'COMMIT', 'Commit'],
  ['closed', 'CLOSED', 'Closed'],
]
const of = <T>(system: System, [first, second]: readonly [T, T]): T => (system === 'hubspot' ? first : second)

const act =
  (on: number, { by = 'person', time = '10:00' }: How, bodies: (crm: Crm) => readonly Record<string, unknown>[]) =>
  (): Act => ({
    at: at(on, time),
    bodies: (crm) => bodies(crm).map((body) => ({ id: crm.id, by, at: new Date(at(on, time)).toISOString(), ...body })),
  })

/** `on`: number of the day. Values as the neutral model has them; a category as `best_case`, an owner by e-mail. */
export const set = (on: number, field: keyof typeof FIELDS, value: string | number | boolean | null, how: How = {}) =>
  act(on, how, ({ system, owner }) => {
    let told: typeof value = value
    if (field === 'owner') told = owner(String(value))
    if (field === 'category' && value !== null) told = of(system, categoryOf(String(value)))
    if (field === 'tag') told = of(system, [String(value), 'New Business'])
    if (field === 'closeDate' && system === 'hubspot') told = `${value}T12:00:00Z`
    return [{ act: 'set', field: of(system, FIELDS[field]), value: told }]
  })()
const categoryOf = (name: string): readonly [string, string] => {
  const found = CATEGORIES.find(([neutral]) => neutral === name)
  if (!found) throw new Error(`no category ${name}`)
  return [found[1], found[2]]
}
/** `pipeline`: moved there with this stage. */
export const stage = (on: number, to: string, how: How & { readonly pipeline?: string } = {}) =>
  act(on, how, ({ system, recordType }) => [
    ...(system === 'salesforce' && how.pipeline
      ? [{ act: 'set', field: 'RecordTypeId', value: recordType(how.pipeline) }]
      : []),
    { act: 'move-stage', to },
  ])()
export const reply = (on: number, time = '10:00') => act(on, { time }, () => [{ act: 'buyer-reply' }])()
/** Held on that day. */
export const meeting = (on: number, outside = true) => act(on, {}, () => [{ act: 'meeting', held: true, outside }])()
/** On day `on`, booked for 15:00 of day `when`. It will take place if `held`; booked once more without, it is called off. */
export const booked = (on: number, when: number, { outside = true, held = false } = {}): Act => ({
  ...act(on, {}, () => [])(),
  bodies: ({ id }) => [{ id, act: 'meeting', held, outside, at: new Date(at(when, '15:00')).toISOString() }],
})
export const call = (on: number, outcome: 'connected' | 'incoming' | 'no-answer') =>
  act(on, {}, () => [{ act: 'call', outcome }])()
/** Nothing happens where there is no task of ours. */
export const ticked = (on: number) =>
  act(on, {}, ({ task }) => (task === null ? [] : [{ act: 'complete-task', id: task }]))()
export const deleted = (on: number) => act(on, {}, () => [{ act: 'delete' }])()

// ---- the company

const stages = (...rows: readonly (readonly [string, number, SeedStage['category']])[]): SeedStage[] =>
  rows.map(([id, probability, category]) => ({ id, label: id, probability, category }))
const pipelines = [
  {
    id: 'sales',
    label: 'Sales',
    stages: stages(
      ['new', 0.1, 'pipeline'],
      ['qualified', 0.2, 'pipeline'],
      ['demo', 0.4, 'best_case'],
      ['proposal', 0.6, 'best_case'],
      ['negotiation', 0.8, 'commit'],
      ['nurture', 0.85, 'omitted'],
      ['won', 1, 'closed'],
      ['lost', 0, 'omitted'],
    ),
  },
  { id: 'renewals', label: 'Renewals', stages: stages(['r_new', 0.5, 'pipeline'], ['r_offer', 0.7, 'commit']) },
]
const person = (firstName: string, team: string) => ({
  email: `${firstName.toLowerCase()}@example.com`,
  firstName,
  lastName: 'Rep',
  team,
  managerEmail: null,
  active: true,
})

/** One deal and what happens to it. Unless it says otherwise: created on day -40 in stage `new`, far from closing. */
export interface Scene {
  readonly name: string
  readonly deal?: Partial<SeedDeal>
  readonly acts?: readonly Act[]
  /** As in the config file, over the company's own. */
  readonly settings?: Readonly<Record<string, unknown>>
  readonly policy?: Readonly<Record<string, unknown>>
}

/** What the lookalike holds of the deal after a night's writes. */
export interface Held {
  readonly flag: boolean
  readonly state: string | null
  readonly reason: string | null
  readonly explanation: string | null
  readonly since: Instant | null
  readonly lastMovement: Instant | null
  readonly categoryBefore: string | null
  readonly decision: string | null
  readonly decisionDue: string | null
  readonly parkedUntil: string | null
  /** Neutral: `best_case`; null: blank. */
  readonly category: string | null
  /** The amount that counts, by the CRM's own formula. */
  readonly counts: number | null
  readonly tasks: readonly {
    readonly id: string
    readonly open: boolean
    readonly subject: string
    readonly body: string
  }[]
}
export interface Seen {
  readonly known: Known
  readonly log: MovementLog
  readonly verdict: Verdict
  readonly standing: Standing | null
  readonly transitions: readonly Transition[]
  readonly rows: readonly PlannedWrite[]
  readonly list: DealIntent['list']
  readonly held: Held
}

export interface Played {
  seen(system: System, name: string, night: number): Seen
  /** Of the last night: everything `check` says. */
  said(system: System): readonly Finding[]
  /** Outcomes that were not `done`, and rows a fresh look refused: there must be none. */
  readonly trouble: readonly string[]
}

/** Plays all scenes in both CRMs at once. `nights`: numbers of days, ascending, from 0. */
export async function play(scenes: readonly Scene[], nights: readonly number[]): Promise<Played> {
  const names = new Set(scenes.map(({ name }) => name))
  if (names.size !== scenes.length) throw new Error('two scenes of one name')
  const trouble: string[] = []
  const [hub, sf] = await Promise.all(SYSTEMS.map((system) => playIn(system, scenes, nights, trouble)))
  const played = (system: System) => {
    const one = system === 'hubspot' ? hub : sf
    if (!one) throw new Error(`${system} was not played`)
    return one
  }
  return {
    trouble,
    said: (system) => played(system).findings,
    seen: (system, name, night) => {
      const found = played(system).seen.get(`${name} @${night}`)
      if (!found) throw new Error(`${system} saw nothing of ${name} on night ${night}`)
      return found
    },
  }
}

const never = new AbortController().signal

async function playIn(system: System, scenes: readonly Scene[], nights: readonly number[], trouble: string[]) {
  const start = at(nights[0] ?? 0, '01:00')
  const sandbox = await startSandbox(
    of(system, [hubspot(seedOf(scenes, start), { timeZone: ZONE }), salesforce(seedOf(scenes, start))]),
    { now: start },
  )
  try {
    const crm = new Company(system, sandbox.url, connectTo(system, sandbox.url), scenes, trouble)
    await crm.begin()
    const acts = scenes.flatMap(({ name, acts = [] }) => acts.map((one) => ({ name, ...one })))
    acts.sort((a, b) => a.at - b.at)
    for (const n of nights) {
      const now = at(n, '02:00')
      for (; acts[0] && acts[0].at <= now; acts.shift()) await crm.act(acts[0])
      await crm.night(n, now)
    }
    if (acts[0]) throw new Error(`${acts[0].name}: something happens after the last night`)
    return { seen: crm.seen, findings: (await crm.connector.check(never)).findings }
  } finally {
    await sandbox.close()
  }
}

/** In the other pipeline, so that its record type can be looked up. */
const RENEWAL = { name: 'a renewal', deal: { pipeline: 'renewals', stage: 'r_new' } }

function seedOf(scenes: readonly Scene[], now: Instant): Seed {
  const deals = [RENEWAL, ...scenes].map(
    ({ name, deal = {} }): SeedDeal => ({
      name,
      account: null,
      ownerEmail: 'ann@example.com',
      pipeline: 'sales',
      stage: 'new',
      createdAt: at(-40, '08:00'),
      closeDate: '2027-06-15',
      amount: 10_000,
      category: 'best_case',
      type: null,
      events: [],
      ...deal,
    }),
  )
  return { now, currency: 'EUR', owners: [person('Ann', 'North'), person('Bob', 'South')], pipelines, deals }
}

function connectTo(system: System, url: string): Connector {
  const gate = {
    wait: async (signal: AbortSignal) => {
      signal.throwIfAborted()
      return () => {}
    },
    observe: () => {},
    left: () => Number.POSITIVE_INFINITY,
  }
  const sleep = async () => {}
  const common = { gate, clock: Date.now, sleep, timezone: ZONE, timeoutMs: 20_000 }
  if (system === 'hubspot')
    return connectHubspot({ ...common, baseUrl: url, credential: staticToken('sandbox-product') })
  const credential = clientCredentials({
    loginUrl: url,
    clientId: 'sandbox',
    clientSecret: 'sandbox',
    timeoutMs: 20_000,
  })
  return connectSalesforce({ ...common, credential })
}

type Line = Readonly<Record<string, unknown>>
const text = (value: unknown): string | null =>
  value === undefined || value === null || value === '' ? null : String(value)

class Company {
  readonly seen = new Map<string, Seen>()
  readonly connector: Connector
  readonly #system: System
  readonly #url: string
  readonly #scenes: ReadonlyMap<string, Scene>
  readonly #trouble: string[]
  readonly #ids = new Map<string, DealId>()
  readonly #owners = new Map<string, string>()
  readonly #recordTypes = new Map<string, string>()
  #known = new Map<DealId, Known>()
  readonly #ledger = new Map<DealId, LedgerRow[]>()
  readonly #standings = new Map<DealId, Standing>()
  readonly #unreadable = new Set<DealId>()
  readonly #tasks = new Map<DealId, string>()
  #cursor: Cursor | null = null
  #clock: Instant = 0
  #firstNightAt: Instant | null = null

  constructor(system: System, url: string, connector: Connector, scenes: readonly Scene[], trouble: string[]) {
    this.#system = system
    this.#url = url
    this.connector = connector
    this.#scenes = new Map(scenes.map((scene) => [scene.name, scene]))
    this.#trouble = trouble
  }

  async begin(): Promise<void> {
    for await (const step of this.connector.setup(never))
      if (step.action === 'conflict') throw new Error(`${this.#system}: ${step.what}: ${step.detail}`)
    for (const line of await this.#lines()) {
      const name = text(this.#value(line, 'dealname', 'Name'))
      const id = String(of(this.#system, [line.id, line.Id]))
      if (line.kind === 'owner') this.#owners.set(String(of(this.#system, [line.email, line.Email])), id)
      if (line.kind !== 'deal' || name === null) continue
      this.#ids.set(name, id)
      const { pipeline = 'sales' } = (name === RENEWAL.name ? RENEWAL.deal : this.#scenes.get(name)?.deal) ?? {}
      this.#recordTypes.set(pipeline, String(line.RecordTypeId))
    }
  }

  async #control(path: string, body?: unknown): Promise<string> {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
    const answer = await fetch(`${this.#url}/__sandbox/${path}`, {
      ...init,
      headers: { 'content-type': 'application/json' },
    })
    const said = await answer.text()
    if (!answer.ok) throw new Error(`${this.#system} /__sandbox/${path} ${JSON.stringify(body)}: ${said}`)
    return said
  }
  async #lines(): Promise<Line[]> {
    return (await this.#control('state')).split('\n').flatMap((line): Line[] => (line === '' ? [] : [JSON.parse(line)]))
  }
  #value(line: Line, hub: string, sf: string): unknown {
    if (this.#system === 'salesforce') return line[sf]
    const { properties } = line
    return typeof properties === 'object' && properties !== null ? new Map(Object.entries(properties)).get(hub) : null
  }
  #mapped(from: ReadonlyMap<string, string>, name: string): string {
    const found = from.get(name)
    if (found === undefined) throw new Error(`${this.#system} has no ${name}`)
    return found
  }

  async act({ name, at, bodies }: Act & { readonly name: string }): Promise<void> {
    const id = this.#mapped(this.#ids, name)
    if (at > this.#clock) await this.#turn(at)
    const crm: Crm = {
      system: this.#system,
      id,
      owner: (email) => this.#mapped(this.#owners, email),
      recordType: (pipeline) => this.#mapped(this.#recordTypes, pipeline),
      task: this.#tasks.get(id) ?? null,
    }
    for (const body of bodies(crm)) await this.#control('act', body)
  }
  /** Before the first night the clock stands still just before it, and what happened is backdated. */
  async #turn(now: Instant): Promise<void> {
    if (this.#firstNightAt === null && now < at(0, '02:00')) return
    this.#clock = now
    await this.#control('clock', { now: new Date(now).toISOString() })
  }

  async night(n: number, now: Instant): Promise<void> {
    await this.#turn(now)
    const { connector } = this
    const reference = await connector.reference(never)
    for await (const page of connector.pull(this.#cursor, now, never)) {
      const deals = new Map(page.deals.map((deal) => [deal.id, deal]))
      const evidence = new Map(page.evidence.map((one) => [one.deal, one]))
      for (const id of new Set([...deals.keys(), ...evidence.keys()])) {
        const previous = this.#known.get(id) ?? null
        const deal = deals.get(id) ?? previous?.deal
        if (!deal) continue
        const ref = { connection: this.#system, id }
        this.#known.set(id, observe(previous, { ref, deal, evidence: evidence.get(id) ?? null }, now))
        this.#unreadable.delete(id)
      }
      for (const { deal } of page.unreadable) this.#unreadable.add(deal)
      this.#cursor = page.cursor
    }
    const gone = await this.#vanished()

    const contexts = new Map<string, PlanContext>()
    const nights = new Map<string, Omit<Seen, 'held'>>()
    const totals = noTotals()
    for (const [name, { settings = {}, policy = {} }] of this.#scenes) {
      const id = this.#mapped(this.#ids, name)
      const known = this.#known.get(id)
      if (!known) continue
      const key = JSON.stringify([settings, policy])
      const context = contexts.get(key) ?? this.#context(n, now, { settings, policy }, reference)
      contexts.set(key, context)
      const standing = this.#standings.get(id) ?? null
      const ledger = this.#ledger.get(id) ?? []
      const found = judged({ known, standing }, ledger, context)
      const { log, verdict } = found
      if (gone.has(id)) {
        const over = goneStanding(known.ref, standing, now)
        this.#standings.set(id, over.standing)
        nights.set(name, {
          known,
          log,
          verdict,
          standing: over.standing,
          transitions: over.transitions,
          rows: [],
          list: [],
        })
        continue
      }
      const unreadable = this.#unreadable.has(id)
      const intent = planDeal({ known, ...found, ledger, unreadable }, context, totals)
      if (intent?.standing) this.#standings.set(id, intent.standing)
      const { rows = [], transitions = [], list = [] } = intent ?? {}
      nights.set(name, { known, log, verdict, standing: this.#standings.get(id) ?? null, transitions, rows, list })
    }
    const written = [...nights.values()].flatMap(({ rows }) => rows.filter((row) => row.hold === null))
    await this.#write(written, now)
    this.#firstNightAt ??= now
    const held = await this.#held()
    for (const [name, one] of nights) {
      const now = held.get(one.known.ref.id)
      if (now) this.seen.set(`${name} @${n}`, { ...one, held: now })
      else this.seen.set(`${name} @${n}`, { ...one, held: NOTHING_HELD })
    }
  }

  #context(n: number, now: Instant, of: Pick<Scene, 'settings' | 'policy'>, reference: PlanContext['reference']) {
    const policy = { decision: { stages: ['proposal'] }, ...of.policy }
    const settings = Settings.parse({ timezone: ZONE, ...of.settings, policy })
    const calendar = makeCalendar(settings)
    return planContext({
      run: `${this.#system}-${n}`,
      now,
      settings,
      texts: en,
      calendar,
      reference,
      firstNightAt: this.#firstNightAt,
    })
  }

  /** What the CRM's full list lacks and a look at the deal confirms. */
  async #vanished(): Promise<ReadonlySet<DealId>> {
    const live = new Set<DealId>()
    for await (const { ids } of this.connector.census(null, never)) for (const id of ids) live.add(id)
    const missing = [...this.#known.keys()].filter((id) => !live.has(id))
    const fresh = missing.length > 0 ? await this.connector.read(missing, never) : new Map()
    return new Set(missing.filter((id) => fresh.get(id) === 'gone'))
  }

  /** Flags first, then tasks, as jobs/apply.ts does. */
  async #write(rows: readonly PlannedWrite[], now: Instant): Promise<void> {
    const fresh = await this.connector.read([...new Set(rows.map((row) => row.deal.id))], never)
    for (const row of rows) {
      const known = this.#known.get(row.deal.id)
      const verdict = known ? reaffirm(row, known.deal, fresh.get(row.deal.id) ?? 'unreadable') : 'unknown'
      if (verdict !== 'go')
        this.#trouble.push(`${this.#system} ${known?.deal.name}: ${row.group} ${JSON.stringify(verdict)}`)
    }
    const byKey = new Map(rows.map((row) => [row.key, row]))
    for (const fields of [true, false]) {
      const writes = rows.filter((row) => (row.kind === 'fields') === fields).map(toWrite)
      for await (const outcome of this.connector.write(writes, never)) {
        const row = byKey.get(outcome.key)
        if (!row) throw new Error(`${outcome.key} was not asked for`)
        byKey.delete(outcome.key)
        if (outcome.result !== 'done')
          this.#trouble.push(`${this.#system} ${row.group} of ${row.deal.id}: ${outcome.result} ${outcome.message}`)
        const remote = outcome.result === 'done' ? (outcome.remote ?? null) : null
        const status = outcome.result === 'done' ? ('done' as const) : ('refused' as const)
        const done = {
          ...row,
          run: `night ${now}`,
          status,
          plannedAt: now,
          sentAt: now,
          settledAt: now,
          remote,
          message: null,
        }
        this.#ledger.set(row.deal.id, [...(this.#ledger.get(row.deal.id) ?? []), done])
      }
    }
    for (const key of byKey.keys()) this.#trouble.push(`${this.#system} ${key}: no outcome`)
  }

  async #held(): Promise<ReadonlyMap<DealId, Held>> {
    const lines = await this.#lines()
    const found = new Map<DealId, Held>()
    const tasks = new Map<DealId, Held['tasks'][number][]>()
    for (const line of lines) {
      if (line.kind !== 'task' || text(this.#value(line, 'unstall_task_key', 'Unstall_Key__c')) === null) continue
      const deal = String(of(this.#system, [line.dealId, line.WhatId]))
      const task = {
        id: String(of(this.#system, [line.id, line.Id])),
        open: String(this.#value(line, 'hs_task_status', 'Status')).toLowerCase() !== 'completed',
        subject: String(this.#value(line, 'hs_task_subject', 'Subject')),
        body: String(this.#value(line, 'hs_task_body', 'Description')),
      }
      tasks.set(deal, [...(tasks.get(deal) ?? []), task])
      this.#tasks.set(deal, task.id)
    }
    for (const line of lines) {
      if (line.kind !== 'deal') continue
      const id = String(of(this.#system, [line.id, line.Id]))
      const own = (name: string) =>
        text(
          this.#value(line, `unstall_${name}`, `Unstall_${name.replace(/(^|_)[a-z]/g, (all) => all.toUpperCase())}__c`),
        )
      const when = (name: string) => {
        const value = own(name)
        return value === null ? null : Date.parse(value)
      }
      const category = text(this.#value(line, ...FIELDS.category))
      const counts = own('forecast_amount')
      found.set(id, {
        flag: own('stalled') === 'true',
        state: own('state'),
        reason: own('reason'),
        explanation: own('explanation'),
        since: when('stalled_since'),
        lastMovement: when('last_movement'),
        categoryBefore: own('category_before'),
        decision: own('decision'),
        decisionDue: own('decision_due')?.slice(0, 10) ?? null,
        parkedUntil: own('parked_until')?.slice(0, 10) ?? null,
        category: CATEGORIES.find(([, ...names]) => of(this.#system, names) === category)?.[0] ?? category,
        counts: counts === null ? null : Number(counts),
        tasks: tasks.get(id) ?? [],
      })
    }
    return found
  }
}

const NOTHING_HELD: Held = {
  flag: false,
  state: null,
  reason: null,
  explanation: null,
  since: null,
  lastMovement: null,
  categoryBefore: null,
  decision: null,
  decisionDue: null,
  parkedUntil: null,
  category: null,
  counts: null,
  tasks: [],
}
