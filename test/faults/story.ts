// What really happened to each deal of a world, as the sandbox tells it: its seed, the acts it carried out, its journal.
// Both CRMs come out in one language, with what each of them cannot tell (product.md: "the capability says so") left
// out here and nowhere else. Shares no code with the program: this is the ground the oracle stands on.
import { z } from 'zod'
import type { By, Seed, SeedDeal } from '../../src/sandbox/seed.ts'

export type System = 'hubspot' | 'salesforce'
export type Instant = number

/** The fields the rules speak of, by each CRM's names. */
export const NAMES = {
  hubspot: {
    ...{ name: 'dealname', stage: 'dealstage', amount: 'amount', closeDate: 'closedate', owner: 'hubspot_owner_id' },
    ...{ category: 'hs_manual_forecast_category', nextStep: 'hs_next_step', stalled: 'unstall_stalled' },
    ...{ state: 'unstall_state', since: 'unstall_stalled_since', reason: 'unstall_reason' },
    ...{ explanation: 'unstall_explanation', lastMovement: 'unstall_last_movement' },
    ...{ categoryBefore: 'unstall_category_before', counts: 'unstall_forecast_amount', cause: 'unstall_cause' },
    ...{ decision: 'unstall_decision', decisionDue: 'unstall_decision_due' },
    ...{ parkedUntil: 'unstall_parked_until', parkedReason: 'unstall_parked_reason' },
  },
  salesforce: {
    ...{ name: 'Name', stage: 'StageName', amount: 'Amount', closeDate: 'CloseDate', owner: 'OwnerId' },
    ...{ category: 'ForecastCategoryName', nextStep: 'NextStep', stalled: 'Unstall_Stalled__c' },
    ...{ state: 'Unstall_State__c', since: 'Unstall_Stalled_Since__c', reason: 'Unstall_Reason__c' },
    ...{ explanation: 'Unstall_Explanation__c', lastMovement: 'Unstall_Last_Movement__c' },
    ...{ categoryBefore: 'Unstall_Category_Before__c', counts: 'Unstall_Forecast_Amount__c' },
    ...{ cause: 'Unstall_Cause__c', decision: 'Unstall_Decision__c', decisionDue: 'Unstall_Decision_Due__c' },
    ...{ parkedUntil: 'Unstall_Parked_Until__c', parkedReason: 'Unstall_Parked_Reason__c' },
  },
} as const
export type Field = keyof (typeof NAMES)['hubspot']
const isField = (name: string): name is Field => name in NAMES.hubspot
export const FIELDS = Object.keys(NAMES.hubspot).filter(isField)

export const CATEGORIES = {
  hubspot: { omitted: 'OMIT', pipeline: 'PIPELINE', best_case: 'BEST_CASE', commit: 'COMMIT', closed: 'CLOSED' },
  salesforce: { omitted: 'Omitted', pipeline: 'Pipeline', best_case: 'Best Case', commit: 'Commit', closed: 'Closed' },
} as const

/** Null for what is empty: the CRMs say null, '' or nothing at all. */
export const text = (value: unknown): string | null =>
  value === undefined || value === null || value === '' ? null : String(value)

// ---- what a sandbox holds

const Values = z.record(z.string(), z.unknown())
const Journal = z.object({
  ...{ at: z.string(), endpoint: z.string(), object: z.string(), id: z.string() },
  ...{ before: Values.nullable(), after: Values.nullable() },
})
export type JournalLine = z.infer<typeof Journal>
const Act = z.looseObject({ act: z.string(), by: z.enum(['person', 'workflow', 'import', 'integration']) })
const ActLine = z.object({ at: z.string(), id: z.string().nullable(), act: Act })

export interface Held {
  readonly deals: readonly { readonly id: string; readonly values: Readonly<Record<string, unknown>> }[]
  /** Live tasks with our key. */
  readonly tasks: readonly TaskHeld[]
  /** Ids of owners by e-mail. */
  readonly owners: ReadonlyMap<string, string>
  /** E-mails of those who have not left. */
  readonly active: ReadonlySet<string>
  /** The CRM works out the amount that counts (a portal may refuse calculations). */
  readonly counts: boolean
  /** Of deals and tasks, acts mixed in. */
  readonly journal: readonly JournalLine[]
  readonly acts: readonly z.infer<typeof ActLine>[]
}
export interface TaskHeld {
  readonly id: string
  readonly deal: string
  readonly key: string
  readonly owner: string
  readonly open: boolean
}

export const isAct = ({ endpoint }: Pick<JournalLine, 'endpoint'>): boolean => endpoint === 'POST /__sandbox/act'
export const isDeal = ({ object }: Pick<JournalLine, 'object'>): boolean => /^(?:deal|opportunity)$/i.test(object)
export const keyOf = (values: Readonly<Record<string, unknown>>): string | null =>
  text(values.unstall_task_key ?? values.Unstall_Key__c)
/** Ids of the deal a task hangs on and of its owner, as its creation was journalled. */
export const taskOf = (after: Readonly<Record<string, unknown>>) => ({
  deal: String(after.dealId ?? after.WhatId),
  owner: String(after.hubspot_owner_id ?? after.OwnerId),
})
const open = (values: Readonly<Record<string, unknown>>) =>
  !/^completed$/i.test(text(values.hs_task_status ?? values.Status) ?? '')

/** Everything the oracle may look at, from the control calls of one sandbox. */
export async function fetchHeld(url: string): Promise<Held> {
  const lines = async (path: string): Promise<unknown[]> => {
    const answer = await fetch(`${url}/__sandbox/${path}`)
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    return (await answer.text()).split('\n').flatMap((line): unknown[] => (line === '' ? [] : [JSON.parse(line)]))
  }
  const [state, journal, acts] = await Promise.all([lines('state'), lines('journal?acts=true'), lines('acts')])
  const rows = z.array(z.looseObject({ kind: z.string(), properties: Values.optional() })).parse(state)
  const of = (kind: string) =>
    rows
      .filter((row) => row.kind === kind)
      .map((row) => ({ id: String(row.id ?? row.Id), values: row.properties ?? row, row }))
  return {
    deals: of('deal').map(({ id, values }) => ({ id, values })),
    tasks: of('task').flatMap(({ id, values, row }) => {
      const key = keyOf(values)
      const owner = String(values.hubspot_owner_id ?? values.OwnerId)
      return key === null ? [] : [{ id, deal: String(row.dealId ?? row.WhatId), key, owner, open: open(values) }]
    }),
    owners: new Map(of('owner').map(({ id, row }) => [String(row.email ?? row.Email), id])),
    counts: of('deal').some(({ values }) => text(values.unstall_forecast_amount ?? values.Unstall_Forecast_Amount__c)),
    active: new Set(
      of('owner').flatMap(({ row }) =>
        row.archived === true || row.IsActive === false ? [] : String(row.email ?? row.Email),
      ),
    ),
    journal: z
      .array(Journal)
      .parse(journal)
      .filter((line) => isDeal(line) || /^task$/i.test(line.object)),
    acts: z.array(ActLine).parse(acts),
  }
}

// ---- the story of one deal

export type Who = 'person' | 'machine'
interface At {
  readonly at: Instant
}
export interface Meeting extends At {
  /** When somebody could first have seen it. */
  readonly booked: Instant
  readonly cancelled: Instant | null
  readonly outside: boolean
  readonly held: boolean
}
/** What somebody other than unstall set, in order. Neutral values: an owner by e-mail, the category in the CRM's words. */
export interface Edit extends At {
  readonly field: 'owner' | 'category' | 'stalled' | 'decision' | 'decisionDue' | 'parkedUntil' | 'parkedReason'
  readonly to: string | null
  /** The CRM itself resets a category in the save that changes the stage. */
  readonly by: Who | 'crm'
}
export interface Story {
  readonly name: string
  readonly id: string
  readonly deal: SeedDeal
  /** Created by a bulk import, as far as this CRM tells. */
  readonly imported: boolean
  readonly stages: readonly (At & { readonly to: string; readonly by: Who })[]
  readonly amounts: readonly (At & { readonly to: number | null; readonly by: Who })[]
  readonly closeDates: readonly (At & { readonly to: string; readonly by: Who })[]
  /** Replies and calls of the buyer. */
  readonly talks: readonly Instant[]
  readonly meetings: readonly Meeting[]
  readonly edits: readonly Edit[]
  /** What people did to our tasks. */
  readonly tasks: readonly (At & { readonly task: string; readonly what: 'completed' | 'deleted' })[]
  readonly deleted: Instant | null
  /** Moments at which anybody but unstall touched it. */
  readonly touched: readonly Instant[]
}

/** The last one not later than `at`. */
export const latest = <T extends At>(all: readonly T[], at: Instant): T | undefined =>
  all.findLast((one) => one.at <= at)

export type SeedLike = Pick<Seed, 'deals' | 'pipelines' | 'now'>
/** Stories by the name of the deal, of every deal of the seed the sandbox still holds or saw deleted. */
export function storiesOf(system: System, seed: SeedLike, held: Held): ReadonlyMap<string, Story> {
  const names = NAMES[system]
  const ids = new Map<string, string>()
  for (const { id, values } of held.deals) ids.set(String(values[names.name]), id)
  for (const { id, before, after, ...line } of held.journal)
    if (isDeal(line) && after === null && before !== null) ids.set(String(before[names.name]), id)
  const tasks = new Map<string, string>()
  for (const line of held.journal)
    if (!isDeal(line) && line.before === null && line.after !== null)
      tasks.set(line.id, String(line.after.dealId ?? line.after.WhatId))
  const byDeal = new Map<string, Held['acts'][number][]>()
  for (const line of held.acts) {
    const about = String(line.act.id)
    const deal = tasks.get(about) ?? about
    byDeal.set(deal, [...(byDeal.get(deal) ?? []), line])
  }
  const emails = new Map([...held.owners].map(([email, id]) => [id, email]))
  const stories = seed.deals.flatMap((deal) => {
    const id = ids.get(deal.name)
    return id === undefined ? [] : [tell(system, seed, deal, id, byDeal.get(id) ?? [], emails)]
  })
  return new Map(stories.map((story) => [story.name, story]))
}

function tell(
  system: System,
  seed: SeedLike,
  deal: SeedDeal,
  id: string,
  acts: readonly Held['acts'][number][],
  emails: ReadonlyMap<string, string>,
): Story {
  const names = NAMES[system]
  const words = CATEGORIES[system]
  const allStages = seed.pipelines.flatMap(({ stages }) => stages)
  const stageId = (name: string) => allStages.find((stage) => stage.id === name || stage.label === name)?.id ?? name
  /** Salesforce cannot tell a flow from the person whose save ran it. */
  const who = (by: By): Who =>
    by === 'person' || (by === 'workflow' && system === 'salesforce') ? 'person' : 'machine'
  const created = deal.createdAt
  const stages: Story['stages'][number][] = [{ at: created, to: deal.stage, by: who(deal.createdBy ?? 'person') }]
  const amounts: Story['amounts'][number][] = [{ at: created, to: deal.amount, by: 'person' }]
  const closeDates: Story['closeDates'][number][] = [{ at: created, to: deal.closeDate, by: 'person' }]
  const talks: Instant[] = []
  const meetings: Meeting[] = []
  const edits: Edit[] = [{ at: created, field: 'owner', to: deal.ownerEmail, by: 'person' }]
  const tasks: Story['tasks'][number][] = []
  const touched: Instant[] = []
  let deleted: Instant | null = null

  const mapped = (stage: string) => {
    const found = allStages.find((one) => one.id === stage)
    return found === undefined ? null : words[found.category]
  }
  const category = (at: Instant, to: string | null, by: Edit['by']) => edits.push({ at, field: 'category', to, by })
  const staged = (at: Instant, to: string, by: Who) => {
    if (stages.at(-1)?.to === to) return
    stages.push({ at, to, by })
    if (system === 'salesforce') category(at, mapped(to), 'crm')
  }
  const meeting = (at: Instant, now: Instant, held: boolean, outside: boolean) => {
    const found = meetings.findIndex((one) => one.at === at && one.cancelled === null)
    const had = meetings[found]
    // HubSpot's rolled-up dates do not tell who took part.
    const known = outside || system === 'hubspot'
    if (had && !held) meetings[found] = { ...had, cancelled: now }
    else if (had) meetings[found] = { ...had, held }
    else if (at > now || held) meetings.push({ at, booked: now, cancelled: null, outside: known, held })
  }
  /** HubSpot counts calls without saying which were connected. */
  const called = (at: Instant, outcome: unknown) => {
    if (outcome !== 'no-answer' && system === 'salesforce') talks.push(at)
  }

  category(
    created,
    deal.category ? words[deal.category] : system === 'salesforce' ? mapped(deal.stage) : null,
    'person',
  )
  for (const event of deal.events) {
    if (event.kind === 'stage') staged(event.at, event.to, who(event.by))
    else if (event.kind === 'amount') amounts.push({ at: event.at, to: event.to, by: who(event.by) })
    else if (event.kind === 'close-date') closeDates.push({ at: event.at, to: event.to, by: who(event.by) })
    else if (event.kind === 'reply') talks.push(event.at)
    else if (event.kind === 'call') called(event.at, event.outcome)
    else if (event.kind === 'meeting') meeting(event.at, Math.min(event.at, seed.now), event.held, event.outside)
  }
  for (const line of acts) {
    const { act, by } = line.act
    const now = Date.parse(line.at)
    const given = line.act.at === undefined ? now : Date.parse(String(line.act.at))
    touched.push(now)
    if (act === 'move-stage') staged(given, stageId(String(line.act.to)), who(by))
    else if (act === 'buyer-reply') talks.push(given)
    else if (act === 'call') called(given, line.act.outcome)
    else if (act === 'meeting') meeting(given, now, line.act.held !== false, line.act.outside !== false)
    else if (act === 'complete-task') tasks.push({ at: now, task: String(line.act.id), what: 'completed' })
    else if (act === 'delete-task') tasks.push({ at: now, task: String(line.act.id), what: 'deleted' })
    else if (act === 'delete' || act === 'merge') deleted = now
    else if (act === 'set') {
      const { field, value } = line.act
      const to = text(value)
      if (field === names.stage) staged(given, stageId(String(value)), who(by))
      else if (field === names.amount) amounts.push({ at: given, to: to === null ? null : Number(value), by: who(by) })
      else if (field === names.closeDate) closeDates.push({ at: given, to: String(value).slice(0, 10), by: who(by) })
      else if (field === names.owner)
        edits.push({ at: given, field: 'owner', to: emails.get(String(value)) ?? to, by: who(by) })
      else if (field === names.category) category(given, to, who(by))
      else
        for (const own of ['stalled', 'decision', 'decisionDue', 'parkedUntil', 'parkedReason'] as const)
          if (field === names[own]) edits.push({ at: given, field: own, to, by: who(by) })
    }
  }
  return {
    ...{ name: deal.name, id, deal, stages, amounts, closeDates, talks, meetings, edits, tasks, deleted, touched },
    imported: deal.createdBy === 'import' && system === 'hubspot',
  }
}
