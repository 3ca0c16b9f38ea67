// Pure translation: rows of Salesforce -> deals, changes, activities and booked meetings, and nothing else.
import { momentOf } from '../../src/core/calendar.ts'
import type { Activity, Actor, BookedMeeting, Change, Deal, Instant, LocalDate } from '../../src/core/deal.ts'
import {
  CAUSES,
  DECISIONS,
  type Outcome,
  type Owner,
  type OwnerId,
  type Pipeline,
  RULES,
  STATES,
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

const ONE_PIPELINE = 'default'

/** The value if it is one of ours; a value someone added to the picklist is read as empty. */
const one = <T extends string>(values: readonly T[], value: string | null): T | null =>
  values.find((each) => each === value) ?? null

export function toDeal(row: Opportunity, lens: Lens, meeting: BookedMeeting | null): Deal {
  return {
    id: row.Id,
    name: row.Name,
    url: `${lens.instanceUrl}/${row.Id}`,
    ownerId: row.OwnerId,
    pipelineId: lens.recordTypes.get(row.RecordTypeId ?? '') ?? ONE_PIPELINE,
    stageId: row.StageName,
    outcome: outcomeOf(row),
    type: row.Type,
    amount: row.Amount,
    currency: row.CurrencyIsoCode ?? lens.currency,
    closeDate: row.CloseDate,
    createdAt: row.CreatedDate,
    // Salesforce does not say how a record was created.
    imported: false,
    category: row.ForecastCategoryName,
    own: {
      stalled: row.Unstall_Stalled__c,
      state: one(STATES, row.Unstall_State__c),
      since: row.Unstall_Stalled_Since__c,
      reason: one(RULES, row.Unstall_Reason__c),
      explanation: row.Unstall_Explanation__c,
      lastMovement: row.Unstall_Last_Movement__c,
      categoryBefore: row.Unstall_Category_Before__c,
      decisionDue: row.Unstall_Decision_Due__c,
      decision: one(DECISIONS, row.Unstall_Decision__c),
      cause: one(CAUSES, row.Unstall_Cause__c),
      parkedUntil: row.Unstall_Parked_Until__c,
      parkedReason: row.Unstall_Parked_Reason__c,
    },
    lockGroup: row.AccountId,
    modifiedAt: row.SystemModstamp,
    meeting,
  }
}

const outcomeOf = ({ IsWon, IsClosed }: Pick<Stage, 'IsWon' | 'IsClosed'>): Outcome =>
  IsWon ? 'won' : IsClosed ? 'lost' : 'open'

/** Salesforce names the user whose save it was, never the flow that the save started: `check` says so. */
function actor(userId: string | null, lens: Lens): { by: Actor; source: string } {
  const user = lens.users.get(userId ?? '')
  const source = user?.Email ?? user?.Name ?? userId ?? 'unknown'
  if (userId && userId === lens.self) return { by: 'self', source }
  if (!user) return { by: 'unknown', source }
  return { by: user.UserType === 'AutomatedProcess' ? 'automation' : 'person', source }
}

const snapshot = (row: History | undefined) => ({
  stage: row?.StageName ?? null,
  amount: row?.Amount == null ? null : String(row.Amount),
  closeDate: row?.CloseDate ?? null,
})

/** All snapshots of one deal -> its changes, oldest first. The first snapshot is the creation: `from` is empty. */
export function toChanges(rows: readonly History[], lens: Lens): Change[] {
  const sorted = rows.toSorted((a, b) => a.CreatedDate - b.CreatedDate || (a.Id < b.Id ? -1 : 1))
  let at = Number.NEGATIVE_INFINITY
  return sorted.flatMap((row, n) => {
    const [before, now] = [snapshot(sorted[n - 1]), snapshot(row)]
    const changed = (['stage', 'amount', 'closeDate'] as const).filter((field) => before[field] !== now[field])
    // Whole seconds, within which a flow follows the save that started it: a millisecond keeps the order.
    at = Math.max(row.CreatedDate, at + 1)
    const told = { at, ...actor(row.CreatedById, lens) }
    return changed.map((field) => ({ field, from: before[field], to: now[field], ...told }))
  })
}

/** Noon of a calendar date in a zone: where a date without a time is placed. */
export const noon = (date: LocalDate, timezone: string): Instant => momentOf(date, '12:00', timezone)

/** Salesforce's clock reaches us in whole seconds. */
const happened = (at: Instant, now: Instant) => at < now + 1000
const noonOf = (date: LocalDate | null, lens: Lens) => (date === null ? null : noon(date, lens.timezone))

/** An event in the past took place: Salesforce has no "held", a cancelled one is deleted. Null: nothing to say. */
export function toMeeting(row: Event, lens: Lens, now: Instant): Activity | BookedMeeting | null {
  const at = (row.IsAllDayEvent ? null : row.StartDateTime) ?? noonOf(row.ActivityDate, lens)
  // The head of an old-style series stands for its occurrences, which are rows of their own.
  if (at === null || row.IsDeleted || row.IsRecurrence) return null
  const id = `event:${row.Id}`
  // A contact or lead on the event is someone from outside; colleagues are invited as users and do not count.
  const outside = row.WhoId !== null || (row.WhoCount ?? 0) > 0
  return happened(at, now)
    ? { id, kind: 'meeting', at, outside }
    : { id, at, outside, series: row.RecurrenceActivityId }
}

/** The next of a deal's booked meetings: one with somebody from outside before one without, then the earliest. */
export const nextMeeting = (booked: readonly BookedMeeting[]): BookedMeeting | undefined =>
  booked.toSorted((a, b) => Number(b.outside) - Number(a.outside) || a.at - b.at)[0]

/** A completed task of somebody else. Null: ours, still open, or dated in the future. */
export function toTaskActivity(row: Task, lens: Lens, now: Instant): Activity | null {
  if (!row.IsClosed || row.Unstall_Key__c || (row.CreatedById && row.CreatedById === lens.self)) return null
  const at = row.CompletedDateTime ?? noonOf(row.ActivityDate, lens) ?? row.CreatedDate
  if (at === null || !happened(at, now)) return null
  const id = `task:${row.Id}`
  if (row.TaskSubtype === 'Call' || row.CallType !== null) {
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
export function toReply(row: Email, _: Lens, now: Instant): Activity | null {
  const at = row.MessageDate ?? row.CreatedDate
  if (!row.Incoming || !happened(at, now)) return null
  if (AUTO_SUBJECT.test(row.Subject ?? '') || AUTO_HEADER.test(row.Headers ?? '')) return null
  return BOUNCER.test(row.FromAddress ?? '') ? null : { id: `email:${row.Id}`, kind: 'reply', at, outside: true }
}

/** One pipeline of all stages, or one per record type in use. Which stages a record type allows is not readable. */
export function toPipelines(rows: readonly Stage[], described: Described) {
  const order = (a: Stage, b: Stage) =>
    Number(b.IsActive) - Number(a.IsActive) || (a.SortOrder ?? 0) - (b.SortOrder ?? 0)
  const stages = rows.toSorted(order).map((row, order) => ({
    id: row.ApiName,
    label: row.MasterLabel,
    order,
    outcome: outcomeOf(row),
    category: row.ForecastCategoryName,
  }))
  const types = described.recordTypeInfos?.filter(({ master, active }) => active && !master) ?? []
  const used = types.length > 1 ? types : []
  const labels = new Map([
    ...used.map(({ developerName, name }) => [developerName, name] as const),
    [ONE_PIPELINE, used.length > 0 ? 'Without record type' : 'Opportunities'],
  ])
  return {
    pipelines: [...labels].map(([id, label]): Pipeline => ({ id, label, stages })),
    recordTypes: new Map(used.map(({ recordTypeId, developerName }) => [recordTypeId, developerName])),
  }
}

/** The org's own label of a fixed forecast category, if reps can choose it. */
export function categoryNamed(fixed: 'Omitted' | 'Closed', stages: readonly Stage[], described: Described) {
  const values = described.fields.find((field) => field.name === 'ForecastCategoryName')?.picklistValues ?? []
  const mapped = stages.find((stage) => stage.ForecastCategory === fixed)?.ForecastCategoryName
  return [mapped, fixed].find((name) => values.some(({ value, active }) => active && value === name)) ?? null
}

export const toOwner = ({ Id, Email, Name, IsActive, UserRole, Manager }: User): Owner => ({
  id: Id,
  email: Email?.toLowerCase() ?? null,
  name: Name,
  active: IsActive,
  team: UserRole?.Name ?? Manager?.Name ?? null,
})
