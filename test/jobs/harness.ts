// The lookalike CRMs of these tests over real HTTP, their small seeds, and one language for what both hold.
import type { Instant, System } from '../../src/core/deal.ts'
import type { Act, Fault, JournalLine } from '../../src/sandbox/control.ts'
import { OWNERS, PIPELINES } from '../../src/sandbox/generate.ts'
import { hubspot } from '../../src/sandbox/hubspot/server.ts'
import { type SandboxOptions, startSandbox } from '../../src/sandbox/kernel.ts'
import { salesforce } from '../../src/sandbox/salesforce/index.ts'
import type { Seed, SeedDeal } from '../../src/sandbox/seed.ts'
import type { Run } from '../../src/store/runs.ts'
import { connectTo, type Program } from './program.ts'

export const DAY = 86_400_000
/** A Monday night. The people of these tests act at noon, the nights are at three. */
export const MONDAY = Date.parse('2026-11-23T03:00:00Z')

// ---- seeds

const date = (at: Instant) => new Date(at).toISOString().slice(0, 10)
/** Working reps, none of them a manager. */
export const REPS = OWNERS.filter((one) => one.active && one.managerEmail !== null).map((one) => one.email)
export const REP_WHO_LEFT = OWNERS.find((one) => !one.active)?.email ?? ''

/** A deal created `age` days ago that last moved a stage `idle` days ago, with its close date ahead. */
export function seedDeal(
  name: string,
  how: Partial<SeedDeal> & { readonly idle?: number; readonly age?: number; readonly to?: string; now?: Instant } = {},
): SeedDeal {
  const { idle = 40, now = MONDAY, age = idle + 30, to = 'qualifiedtobuy', ...rest } = how
  return {
    name,
    account: null,
    ownerEmail: REPS[0] ?? '',
    pipeline: 'default',
    stage: 'appointmentscheduled',
    createdAt: now - age * DAY + 8 * 3_600_000,
    closeDate: date(now + 60 * DAY),
    amount: 10_000,
    category: 'commit',
    type: null,
    events: [{ at: now - idle * DAY + 8 * 3_600_000, kind: 'stage', to, by: 'person' }],
    ...rest,
  }
}
export const seedOf = (deals: readonly SeedDeal[], now = MONDAY): Seed => ({
  now,
  currency: 'EUR',
  owners: OWNERS,
  pipelines: PIPELINES,
  deals,
})

/** What really stands in names, or might. */
export const HOSTILE_NAMES = {
  endless: 'x'.repeat(65_536),
  emoji: `${'👩‍👩‍👧'.repeat(60)} deal`,
  'right to left': '\u202eشركة الأمل\u202c עסקה',
  NUL: 'Ac\0me\u0000',
  'half a character': 'half \ud83d',
  markup: '<script>alert(1)</script><b>"&amp;\' {name} %s',
  control: '\u001b[2J\u001b]0;owned\u0007name\r\nsecond line',
  blank: ' \u200e ',
}

// ---- one CRM, whichever it is

export type Fields = Readonly<Record<string, unknown>>
export interface CrmDeal {
  readonly id: string
  readonly name: string
  readonly owner: string
  readonly stage: string
  readonly stalled: boolean
  readonly state: string | null
  readonly since: string | null
  readonly reason: string | null
  readonly explanation: string | null
  readonly lastMovement: string | null
  readonly category: string | null
  readonly categoryBefore: string | null
  readonly decision: string | null
  /** Everything, by the CRM's own names. */
  readonly all: Fields
}
export interface CrmTask {
  readonly id: string
  readonly deal: string
  readonly owner: string
  readonly key: string
  readonly open: boolean
  readonly body: string
}

const NAMES = {
  hubspot: {
    ...{ name: 'dealname', owner: 'hubspot_owner_id', stage: 'dealstage', category: 'hs_manual_forecast_category' },
    ...{ decision: 'unstall_decision', decisionDue: 'unstall_decision_due', parkedUntil: 'unstall_parked_until' },
    ...{ parkedReason: 'unstall_parked_reason', stalled: 'unstall_stalled', cause: 'unstall_cause' },
    ...{ state: 'unstall_state', since: 'unstall_stalled_since', reason: 'unstall_reason' },
    ...{ explanation: 'unstall_explanation', lastMovement: 'unstall_last_movement' },
    ...{ categoryBefore: 'unstall_category_before', nextStep: 'hs_next_step', amount: 'amount' },
  },
  salesforce: {
    ...{ name: 'Name', owner: 'OwnerId', stage: 'StageName', category: 'ForecastCategoryName' },
    ...{ decision: 'Unstall_Decision__c', decisionDue: 'Unstall_Decision_Due__c' },
    ...{ parkedUntil: 'Unstall_Parked_Until__c', parkedReason: 'Unstall_Parked_Reason__c' },
    ...{ stalled: 'Unstall_Stalled__c', cause: 'Unstall_Cause__c', state: 'Unstall_State__c' },
    ...{ since: 'Unstall_Stalled_Since__c', reason: 'Unstall_Reason__c', explanation: 'Unstall_Explanation__c' },
    ...{ lastMovement: 'Unstall_Last_Movement__c', categoryBefore: 'Unstall_Category_Before__c' },
    ...{ nextStep: 'NextStep', amount: 'Amount' },
  },
} as const
export type FieldName = keyof (typeof NAMES)['hubspot']

/** Values of each CRM for what the tests speak of. */
const WORDS = {
  hubspot: { omitted: 'OMIT', commit: 'COMMIT', best: 'BEST_CASE', pipeline: 'PIPELINE', closed: 'CLOSED' },
  salesforce: { omitted: 'Omitted', commit: 'Commit', best: 'Best Case', pipeline: 'Pipeline', closed: 'Closed' },
} as const
/** Written by the CRM itself at every save, or derived: not ours to restore. */
const STAMPS = /^(?:hs_)?(?:lastmodified|SystemModstamp|LastActivity|LastViewed|HasO|notes_|num_notes)/i

/** What a CRM holds at one moment. */
export interface Seen {
  readonly deals: readonly CrmDeal[]
  /** Our tasks, open and completed. */
  readonly tasks: readonly CrmTask[]
  /** Throws where there is none of that name. */
  deal(name: string): CrmDeal
  tasksOf(name: string): readonly CrmTask[]
  /** Every field of every deal but the CRM's own stamps. */
  readonly dump: ReadonlyMap<string, Fields>
}

export interface Crm {
  /** Of the connection. */
  readonly name: string
  readonly system: System
  readonly url: string
  readonly words: Readonly<Record<keyof (typeof WORDS)['hubspot'], string>>
  stage(id: string): string
  field(name: FieldName): string
  look(): Promise<Seen>
  /** Writes to deals and tasks so far, those of people left out. */
  journal(acts?: 'with acts'): Promise<readonly JournalLine[]>
  /** Someone other than unstall acts on the deal of that name. */
  act(deal: string, act: Act['act'], more?: Fields): Promise<void>
  set(deal: string, field: FieldName, value: string | number | boolean | null): Promise<void>
  actOn(id: string, act: Act['act'], more?: Fields): Promise<void>
  clock(at: Instant): Promise<void>
  faults(faults: readonly Fault[]): Promise<void>
  calls(): Promise<readonly { method: string; path: string; count: number; statuses: Record<string, number> }[]>
  stop(): Promise<void>
}

export async function startCrm(
  system: System,
  seed: Seed,
  taskKey: 'unique' | 'plain' = 'unique',
  options: SandboxOptions = {},
): Promise<Crm> {
  const build = system === 'hubspot' ? hubspot(seed, { taskKey }) : salesforce(seed)
  const sandbox = await startSandbox(build, { now: seed.now, ...options })
  return crmAt(system, sandbox.url, () => sandbox.close())
}

function crmAt(system: System, url: string, stop: () => Promise<void>): Crm {
  const names = NAMES[system]
  const labels = new Map(PIPELINES.flatMap(({ stages }) => stages.map(({ id, label }) => [id, label])))
  const stage = (id: string) => (system === 'hubspot' ? id : (labels.get(id) ?? id))
  async function control(path: string, body?: unknown): Promise<string> {
    const how = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
    const answer = await fetch(`${url}/__sandbox/${path}`, how)
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${path} ${JSON.stringify(body)}: ${answer.status} ${text}`)
    return text
  }
  const lines = async (path: string): Promise<Record<string, unknown>[]> =>
    (await control(path)).split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
  const valuesOf = (line: Record<string, unknown>): Fields =>
    typeof line.properties === 'object' && line.properties !== null
      ? Object.fromEntries(Object.entries(line.properties))
      : line
  const text = (value: unknown) => (value === null || value === undefined || value === '' ? null : String(value))

  function toDeal(line: Record<string, unknown>): CrmDeal {
    const all = valuesOf(line)
    const get = (name: FieldName) => text(all[names[name]])
    return {
      id: String(line.id ?? line.Id),
      name: get('name') ?? '',
      owner: get('owner') ?? '',
      stage: get('stage') ?? '',
      stalled: get('stalled') === 'true',
      state: get('state'),
      since: get('since'),
      reason: get('reason'),
      explanation: get('explanation'),
      lastMovement: get('lastMovement'),
      category: get('category'),
      categoryBefore: get('categoryBefore'),
      decision: get('decision'),
      all,
    }
  }
  function toTask(line: Record<string, unknown>): CrmTask[] {
    const all = valuesOf(line)
    const key = text(all[system === 'hubspot' ? 'unstall_task_key' : 'Unstall_Key__c'])
    if (key === null) return []
    const open = !/^completed$/i.test(text(all.hs_task_status ?? all.Status) ?? '')
    const body = text(all.hs_task_body ?? all.Description) ?? ''
    const owner = String(all.hubspot_owner_id ?? all.OwnerId)
    return [{ id: String(line.id ?? line.Id), deal: String(line.dealId ?? line.WhatId), owner, key, open, body }]
  }
  const kept = (all: Fields) =>
    Object.fromEntries(Object.entries(all).filter(([name, value]) => !STAMPS.test(name) && text(value) !== null))
  async function look(): Promise<Seen> {
    const state = await lines('state')
    const deals = state.flatMap((line) => (line.kind === 'deal' ? [toDeal(line)] : []))
    const tasks = state.flatMap((line) => (line.kind === 'task' ? toTask(line) : []))
    const deal = (name: string) => {
      const found = deals.find((one) => one.name === name)
      if (!found) throw new Error(`${system} has no deal ${name}`)
      return found
    }
    const tasksOf = (name: string) => tasks.filter((task) => task.deal === deal(name).id)
    return { deals, tasks, deal, tasksOf, dump: new Map(deals.map(({ id, all }) => [id, kept(all)])) }
  }
  let ids: Promise<Seen> | null = null
  const actOn: Crm['actOn'] = async (id, act, more = {}) => void (await control('act', { act, id, ...more }))
  const act: Crm['act'] = async (name, what, more) => {
    ids ??= look()
    await actOn((await ids).deal(name).id, what, more)
  }
  return {
    name: system === 'hubspot' ? 'hub' : 'sf',
    system,
    url,
    words: WORDS[system],
    stage,
    field: (name) => names[name],
    look,
    journal: async (acts) =>
      (await lines(acts ? 'journal?acts=true' : 'journal')).flatMap((line) => {
        const { at, endpoint, object, id, before, after } = line
        if (!/^(?:deal|task|opportunity)s?$/i.test(String(object))) return []
        const values = (some: unknown) => (some === null || typeof some !== 'object' ? null : { ...some })
        const words = { at: String(at), endpoint: String(endpoint), object: String(object), id: String(id) }
        return [{ ...words, before: values(before), after: values(after) }]
      }),
    act,
    set: (name, field, value) => act(name, 'set', { field: names[field], value }),
    actOn,
    clock: async (at) => void (await control('clock', { now: new Date(at).toISOString() })),
    faults: async (faults) => void (await control('faults', faults)),
    calls: async () => JSON.parse(await control('calls')).calls,
    stop,
  }
}

/** `unstall setup --apply`. */
export async function setUp(crm: Pick<Crm, 'system' | 'url'>): Promise<void> {
  const connector = await connectTo(crm)
  for await (const step of connector.setup(new AbortController().signal))
    if (step.action === 'conflict') throw new Error(step.what)
  await connector.close()
}

/** Preview and confirmation of a first night. */
export async function firstNight(program: Program, crm: Crm, now: Instant): Promise<{ preview: Run; run: Run }> {
  const preview = await program.night(crm, now, { kind: 'preview' })
  return { preview, run: await program.night(crm, now, { confirm: preview.id }) }
}
