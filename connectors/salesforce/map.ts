// Pure translation: rows of Salesforce -> deals, changes, activities and booked meetings, and nothing else.
import {
  type Activity,
  type Actor,
  type BookedMeeting,
  CAUSES,
  type Change,
  DECISIONS,
  type Deal,
  type Instant,
  type LocalDate,
  type Owner,
  type OwnerId,
  type OwnFields,
  type Pipeline,
  RULES,
} from '../../src/core/deal.ts'
import type { Described, Email, Event, History, Opportunity, Stage, Task, User } from './wire.ts'

/** What every row is read with. */
export interface Lens {
  readonly instanceUrl: string
  readonly self: OwnerId | null
  readonly timezone: string
  readonly users: ReadonlyMap<string, User>
  /** Record type id -> pipeline id; empty where the org has at most one in use. */
  readonly recordTypes: ReadonlyMap<string, string>
  readonly currency: string | null
}

export const ONE_PIPELINE = 'default'
const STATES = ['moving', 'stalled', 'parked', 'answered_no'] as const

/** The value if it is one of ours; a value someone added to the picklist is read as empty. */
const one = <T extends string>(values: readonly T[], value: string | null | undefined): T | null =>
  values.find((candidate) => candidate === value) ?? null

export function toDeal(row: Opportunity, lens: Lens, meeting: BookedMeeting | null): Deal {
  const own: OwnFields = {
    stalled: row.Unstall_Stalled__c ?? false,
    state: one(STATES, row.Unstall_State__c),
    since: row.Unstall_Stalled_Since__c ?? null,
    reason: one(RULES, row.Unstall_Reason__c),
    explanation: row.Unstall_Explanation__c ?? null,
    lastMovement: row.Unstall_Last_Movement__c ?? null,
    categoryBefore: row.Unstall_Category_Before__c ?? null,
    decisionDue: row.Unstall_Decision_Due__c ?? null,
    decision: one(DECISIONS, row.Unstall_Decision__c),
    cause: one(CAUSES, row.Unstall_Cause__c),
    parkedUntil: row.Unstall_Parked_Until__c ?? null,
    parkedReason: row.Unstall_Parked_Reason__c ?? null,
  }
  return {
    id: row.Id,
    name: row.Name,
    url: `${lens.instanceUrl}/${row.Id}`,
    ownerId: row.OwnerId ?? null,
    pipelineId: lens.recordTypes.get(row.RecordTypeId ?? '') ?? ONE_PIPELINE,
    stageId: row.StageName,
    outcome: row.IsWon ? 'won' : row.IsClosed ? 'lost' : 'open',
    type: row.Type ?? null,
    amount: row.Amount ?? null,
    currency: row.CurrencyIsoCode ?? lens.currency,
    closeDate: row.CloseDate ?? null,
    createdAt: row.CreatedDate,
    // Salesforce does not say how a record was created.
    imported: false,
    category: row.ForecastCategoryName ?? null,
    own,
    lockGroup: row.AccountId ?? null,
    modifiedAt: row.SystemModstamp,
    meeting,
  }
}

/** Salesforce names the user whose save it was, never the flow that the save started: `check` says so. */
function actor(userId: string | null | undefined, lens: Lens): { by: Actor; source: string } {
  const user = lens.users.get(userId ?? '')
  const source = user?.Email ?? user?.Name ?? userId ?? 'unknown'
  if (userId && userId === lens.self) return { by: 'self', source }
  if (!user) return { by: 'unknown', source }
  return { by: user.UserType === 'AutomatedProcess' ? 'automation' : 'person', source }
}

/** All snapshots of one deal -> its changes, oldest first. The first snapshot is the creation: `from` is empty. */
export function toChanges(rows: readonly History[], lens: Lens): Change[] {
  const sorted = [...rows].sort((a, b) => a.CreatedDate - b.CreatedDate || (a.Id < b.Id ? -1 : 1))
  const changes: Change[] = []
  let before: { stage: string | null; amount: string | null; closeDate: string | null } | null = null
  for (const row of sorted) {
    const now = {
      stage: row.StageName ?? null,
      amount: row.Amount == null ? null : String(row.Amount),
      closeDate: row.CloseDate ?? null,
    }
    for (const field of ['stage', 'amount', 'closeDate'] as const) {
      const from = before?.[field] ?? null
      if (from !== now[field])
        changes.push({ field, at: row.CreatedDate, from, to: now[field], ...actor(row.CreatedById, lens) })
    }
    before = now
  }
  return changes
}

/** Noon of a calendar date in a zone: where a date without a time is placed. */
export function noon(date: LocalDate, timezone: string): Instant {
  const guess = Date.parse(`${date}T12:00:00Z`)
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: timezone, dateStyle: 'short', timeStyle: 'medium' })
  const shown = Date.parse(`${format.format(guess).replace(' ', 'T')}Z`)
  return guess - (shown - guess)
}

const startOf = (row: Event, timezone: string): Instant | null => {
  const timed = row.IsAllDayEvent ? null : (row.StartDateTime ?? row.ActivityDateTime)
  return timed ?? (row.ActivityDate ? noon(row.ActivityDate, timezone) : (row.StartDateTime ?? null))
}

/** A contact or lead on the event is someone from outside; colleagues are invited as users and do not count. */
const outside = (row: Event) => row.WhoId != null || (row.WhoCount ?? 0) > 0

/** Salesforce's clock reaches us in whole seconds. */
const happened = (at: Instant, now: Instant) => at < now + 1000

/** An event in the past took place: Salesforce has no "held", a cancelled one is deleted. Null: nothing to say. */
export function toMeeting(row: Event, lens: Lens, now: Instant): Activity | BookedMeeting | null {
  const at = startOf(row, lens.timezone)
  // The head of an old-style series stands for its occurrences, which are rows of their own.
  if (at === null || row.IsDeleted || row.IsRecurrence) return null
  const id = `event:${row.Id}`
  if (happened(at, now)) return { id, kind: 'meeting', at, outside: outside(row) }
  return { id, at, outside: outside(row), series: row.RecurrenceActivityId ?? null }
}

/** The next booked meeting per deal: one with somebody from outside before one without, then the earliest. */
export function nextMeetings(rows: readonly Event[], lens: Lens, now: Instant): Map<string, BookedMeeting> {
  const next = new Map<string, BookedMeeting>()
  for (const row of rows) {
    const meeting = toMeeting(row, lens, now)
    if (!meeting || 'kind' in meeting || !row.WhatId) continue
    const rival = next.get(row.WhatId)
    const better = rival ? Number(meeting.outside) - Number(rival.outside) || rival.at - meeting.at : 1
    if (better > 0) next.set(row.WhatId, meeting)
  }
  return next
}

/** A completed task of somebody else. Null: ours, still open, or dated in the future. */
export function toTaskActivity(row: Task, lens: Lens, now: Instant): Activity | null {
  if (!row.IsClosed || row.Unstall_Key__c || (row.CreatedById && row.CreatedById === lens.self)) return null
  const at =
    row.CompletedDateTime ?? (row.ActivityDate ? noon(row.ActivityDate, lens.timezone) : (row.CreatedDate ?? null))
  if (at === null || !happened(at, now)) return null
  const id = `task:${row.Id}`
  if (row.TaskSubtype === 'Call' || row.CallType != null) {
    const spoke = row.CallType === 'Inbound' || (row.CallDurationInSeconds ?? 0) > 0
    return { id, kind: spoke ? 'call' : 'call_attempt', at, outside: row.CallType !== 'Internal' }
  }
  return { id, kind: row.TaskSubtype === 'Email' ? 'outgoing_email' : 'note', at, outside: false }
}

const AUTO_SUBJECT =
  /^\s*(?:automatic reply|auto(?:matic)?[- ]?(?:reply|response)|out of (?:the )?office|r[ée]ponse automatique|absence du bureau|automatische antwort|abwesenheit|undeliver|delivery (?:status|failure)|mail delivery|returned mail|non remis|(?:accepted|declined|tentative|canceled|invitation|accept[ée]|refus[ée]|annul[ée])\s*:)/i
const AUTO_HEADER =
  /^(?:auto-submitted:(?!\s*no\b)|x-auto(?:reply|respond)|precedence:\s*(?:bulk|auto_reply|junk)|content-type:\s*(?:text\/calendar|multipart\/report))/im
const BOUNCER = /^(?:mailer-daemon|postmaster|no-?reply)@/i

/** An incoming e-mail a person wrote. Null: outgoing, automatic, a bounce or a calendar notice. */
export function toReply(row: Email, now: Instant): Activity | null {
  const at = row.MessageDate ?? row.CreatedDate
  if (!row.Incoming || !happened(at, now)) return null
  if (AUTO_SUBJECT.test(row.Subject ?? '') || AUTO_HEADER.test(row.Headers ?? '')) return null
  return BOUNCER.test(row.FromAddress ?? '') ? null : { id: `email:${row.Id}`, kind: 'reply', at, outside: true }
}

/** One pipeline of all stages, or one per record type in use. Which stages a record type allows is not readable. */
export function toPipelines(rows: readonly Stage[], described: Described) {
  const sorted = [...rows].sort(
    (a, b) => Number(b.IsActive) - Number(a.IsActive) || (a.SortOrder ?? 0) - (b.SortOrder ?? 0),
  )
  const stages = sorted.map((row, order) => ({
    id: row.ApiName ?? row.MasterLabel,
    label: row.MasterLabel,
    order,
    outcome: row.IsWon ? ('won' as const) : row.IsClosed ? ('lost' as const) : ('open' as const),
    category: row.ForecastCategoryName ?? null,
  }))
  const types = (described.recordTypeInfos ?? []).filter((type) => !type.master && type.active !== false)
  if (types.length < 2) {
    const pipelines: Pipeline[] = [{ id: ONE_PIPELINE, label: 'Opportunities', stages }]
    return { pipelines, recordTypes: new Map<string, string>() }
  }
  const id = (type: (typeof types)[number]) => type.developerName ?? type.recordTypeId
  const rest = { id: ONE_PIPELINE, label: 'Without record type', stages }
  const pipelines: Pipeline[] = types.map((type) => ({ id: id(type), label: type.name, stages }))
  return {
    pipelines: pipelines.some((one) => one.id === ONE_PIPELINE) ? pipelines : [...pipelines, rest],
    recordTypes: new Map(types.map((type) => [type.recordTypeId, id(type)])),
  }
}

/** The org's own label of a fixed forecast category, if reps can choose it. */
export function categoryNamed(fixed: 'Omitted' | 'Closed', stages: readonly Stage[], described: Described) {
  const values = described.fields.find((field) => field.name === 'ForecastCategoryName')?.picklistValues ?? []
  const known = (name: string | null | undefined) => values.some(({ value, active }) => active && value === name)
  const mapped = stages.find((stage) => stage.ForecastCategory === fixed)?.ForecastCategoryName ?? null
  return known(mapped) ? mapped : known(fixed) ? fixed : null
}

export const toOwner = (row: User): Owner => ({
  id: row.Id,
  email: row.Email?.toLowerCase() ?? null,
  name: row.Name,
  active: row.IsActive,
  team: row.UserRole?.Name ?? row.Manager?.Name ?? null,
})
