// The people of the demo and of long tests: each weekday they sell, and react to unstall's tasks as people do: some
// answer, some act, some tick the task off without doing anything. They use nothing but the sandbox's public interface.
import { z } from 'zod'
import { random } from './random.ts'
import { DAY, dateOf, type Instant, type SeedPipeline } from './seed.ts'

const CAUSES = ['no_decision_maker', 'budget', 'comparing', 'timing', 'buyer_silent', 'we_owe_something'] as const
const PARKED = ['budget_cycle', 'buyer_project', 'seasonal', 'contract_end', 'other'] as const
const NEXT_STEPS = ['Follow up', 'Relancer la semaine prochaine', 'call back after the holidays'] as const
const STANDARD = {
  hubspot: { name: 'dealname', stage: 'dealstage', close: 'closedate', next: 'hs_next_step', task: 'hs_task_status' },
  salesforce: { name: 'Name', stage: 'StageName', close: 'CloseDate', next: 'NextStep', task: 'Status' },
} as const
type System = keyof typeof STANDARD
/** unstall's own fields carry the same names in both systems, each spelled its way. */
const own = (system: System, name: string) =>
  system === 'hubspot' ? `unstall_${name}` : `Unstall_${name.replace(/(^|_)[a-z]/g, (at) => at.toUpperCase())}__c`

// Weights. Four of five tasks find no reaction on a given day: ignoring is the commonest answer.
const ON_TASK = { yes: 12, no: 16, maybe: 12, forward: 16, push: 12, cosmetics: 8, close_task: 9, park: 5, reply: 10 }
const EVERYDAY = { forward: 26, reply: 26, meeting: 14, push: 10, cosmetics: 10, call: 8, won: 3, lost: 3 }
const AFTER_YES = { won: 6, forward: 4 }
/** What one person did to one deal. */
export type Deed = keyof typeof ON_TASK | keyof typeof EVERYDAY

export interface PeopleOptions {
  /** Origin of one lookalike, for example http://127.0.0.1:4010 */
  readonly url: string
  readonly system: System
  /** The pipelines the sandbox was filled with: which stage is next, which one is won. */
  readonly pipelines: readonly SeedPipeline[]
  /** The sandbox's clock during this working day. */
  readonly now: Instant
  readonly seed?: number | string
}

export interface Acted {
  readonly deal: string
  readonly name: string
  readonly deed: Deed
}

const Values = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]).catch(null))
const Line = z.looseObject({ kind: z.string(), properties: Values.optional() })
interface Seen {
  readonly id: string
  readonly deal: string
  readonly values: z.infer<typeof Values>
}

/** One working day of everybody in one CRM; nothing on weekends (UTC). Same state, day and seed: same deeds, in order. */
export async function liveDay(options: PeopleOptions): Promise<readonly Acted[]> {
  if ([0, 6].includes(new Date(options.now).getUTCDay())) return []
  const { deals, tasks } = await read(options)
  const acted: Acted[] = []
  for (const deal of deals) {
    const chosen = choose(deal, tasks.get(deal.id), options)
    if (!chosen) continue
    for (const act of chosen.acts) await send(options.url, act)
    acted.push({ deal: deal.id, name: String(deal.values[STANDARD[options.system].name]), deed: chosen.deed })
  }
  return acted
}

function choose(deal: Seen, task: Seen | undefined, options: PeopleOptions) {
  const { system, now, seed = 1 } = options
  const { close: closeField, stage: stageField, next: nextField } = STANDARD[system]
  const stageId = (each: { id: string; label: string }) => (system === 'hubspot' ? each.id : each.label)
  const path = options.pipelines.find(
    (each) =>
      (system === 'salesforce' || each.id === deal.values.pipeline) &&
      each.stages.some((stage) => stageId(stage) === deal.values[stageField]),
  )
  const index = path?.stages.findIndex((each) => stageId(each) === deal.values[stageField]) ?? -1
  const stage = path?.stages[index]
  if (!path || !stage || stage.probability <= 0 || stage.probability >= 1) return null

  const r = random(`${seed} ${deal.id} ${dateOf(now)}`)
  const draw = <D extends Deed>(chance: number, weights: Partial<Record<D, number>>): Deed | null => {
    const names = Object.keys(weights) as D[]
    return r.chance(chance) ? (names[r.weighted(names.map((name) => weights[name] ?? 0))] ?? null) : null
  }
  const answer = deal.values[own(system, 'decision')]
  const stalled = String(deal.values[own(system, 'stalled')]) === 'true'
  const late = now - Date.parse(String(deal.values[closeField])) > 45 * DAY
  let deed: Deed | null
  if (answer === 'yes') deed = draw(0.25, AFTER_YES)
  else if (answer === 'no') deed = draw(0.25, { lost: 1 })
  else if (task) deed = random(`${seed} ${task.id}`).chance(0.2) ? null : draw(0.22, ON_TASK)
  // Nobody works on a deal long past its date, unless to clear it away.
  else deed = late || stalled ? draw(0.004, { lost: 1 }) : draw(0.13, EVERYDAY)
  if (!deed) return null

  const id = deal.id
  const on = (from: Instant, least: number, most: number) => dateOf(from + r.int(least, most) * DAY)
  const set = (field: string, value: string) => ({ act: 'set', id, field, value })
  const answered = (value: string, ...more: object[]) => [
    set(own(system, 'decision'), value),
    set(own(system, 'cause'), r.pick(CAUSES)),
    ...more,
  ]
  const move = (to: { id: string; label: string } | undefined) =>
    to ? [{ act: 'move-stage', id, to: stageId(to) }] : []
  const next = path.stages[index + 1]
  const held = Date.parse(String(deal.values[closeField]).slice(0, 10))
  const reply = { act: 'buyer-reply', id }
  const acts: Record<Deed, () => object[]> = {
    yes: () => [set(own(system, 'decision'), 'yes')],
    no: () => answered('no'),
    maybe: () => answered('maybe', ...(r.chance(0.5) ? [set(own(system, 'decision_due'), on(now, 4, 14))] : [])),
    forward: () => (next && next.probability > 0 && next.probability < 1 ? move(next) : [reply]),
    push: () => [set(closeField, on(Math.max(held || now, now), 10, 40) + (system === 'hubspot' ? 'T12:00:00Z' : ''))],
    cosmetics: () => [set(nextField, r.pick(NEXT_STEPS))],
    close_task: () => (task ? [{ act: 'complete-task', id: task.id }] : []),
    park: () => [set(own(system, 'parked_reason'), r.pick(PARKED)), set(own(system, 'parked_until'), on(now, 14, 60))],
    reply: () => [reply],
    meeting: () => [{ act: 'meeting', id, held: true }],
    call: () => [{ act: 'call', id, outcome: r.pick(['connected', 'incoming', 'no-answer']) }],
    won: () => move(path.stages.find((each) => each.probability === 1)),
    lost: () => move(path.stages.find((each) => each.probability === 0)),
  }
  return { deed, acts: acts[deed]() }
}

/** All deals in the order of their ids, and our open task of each. */
async function read({ url, system }: PeopleOptions) {
  const response = await fetch(new URL('/__sandbox/state', url))
  if (!response.ok) throw new Error(`the sandbox refused its state: ${response.status} ${await response.text()}`)
  const deals: Seen[] = []
  const tasks = new Map<string, Seen>()
  for (const line of (await response.text()).split('\n')) {
    if (line === '') continue
    const row = Line.parse(JSON.parse(line))
    const values = row.properties ?? Values.parse(row)
    const id = String(row.id ?? values.Id)
    const deal = String(row.dealId ?? values.WhatId)
    const key = values[own(system, system === 'hubspot' ? 'task_key' : 'key')]
    const done = /^completed$/i.test(String(values[STANDARD[system].task]))
    if (row.kind === 'deal') deals.push({ id, deal: id, values })
    if (row.kind === 'task' && key && !done) tasks.set(deal, { id, deal, values })
  }
  return { deals: deals.sort((a, b) => (a.id < b.id ? -1 : 1)), tasks }
}

async function send(url: string, act: object): Promise<void> {
  const body = JSON.stringify({ by: 'person', ...act })
  const response = await fetch(new URL('/__sandbox/act', url), { method: 'POST', body })
  const text = await response.text()
  if (!response.ok) throw new Error(`the sandbox refused ${body}: ${response.status} ${text}`)
}
