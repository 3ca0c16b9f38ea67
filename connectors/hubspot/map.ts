// Between HubSpot's records and the neutral model, both ways; pure. What HubSpot's values mean, which of its sources are
// automation, and which of its activity dates may be believed is decided here (hubspot.md 2).
import type { RemoteTask, Write } from '../../src/connector.ts'
import {
  type Activity,
  type Actor,
  CAUSES,
  type Change,
  DECISIONS,
  type Deal,
  type Evidence,
  type FieldValues,
  type Instant,
  type LocalDate,
  type Outcome,
  RULES,
} from '../../src/core/deal.ts'
import { FORECAST_CATEGORY, TASK_KEY, WRITTEN } from './fields.ts'
import type { CrmRecord, Version } from './wire.ts'

/** All that is asked of a deal. `notes_last_updated` and `notes_next_activity_date` are not: our own task moves them. */
export const DEAL_PROPERTIES = [
  ...['dealname', 'pipeline', 'dealstage', 'amount', 'deal_currency_code', 'closedate', 'createdate', 'dealtype'],
  ...['hubspot_owner_id', 'hs_lastmodifieddate', 'hs_is_closed', 'hs_is_closed_won', 'hs_object_source'],
  ...['hs_object_source_label', 'hs_next_meeting_start_time', 'hs_next_meeting_id', 'hs_latest_meeting_activity'],
  ...['hs_sales_email_last_replied', 'notes_last_contacted', 'hs_v2_date_entered_current_stage'],
  ...['unstall_parked_until', 'unstall_parked_reason', ...Object.values(WRITTEN)],
]
/** What history is read of. */
export const TRACKED = { dealstage: 'stage', pipeline: 'pipeline', amount: 'amount', closedate: 'closeDate' } as const
export const TASK_PROPERTIES = [
  ...['hs_task_subject', 'hs_task_body', 'hs_task_status', 'hs_timestamp', 'hubspot_owner_id', TASK_KEY],
]

/** What a record's meaning depends on beside itself. */
export interface Portal {
  /** `<pipeline>/<stage>` -> outcome, from the stage's probability, never from its id. */
  readonly stages: ReadonlyMap<string, Outcome>
  /** `https://app.hubspot.com/contacts/<portal>/record/0-3/` */
  readonly dealUrl: string
  readonly timezone: string
}

/** This record cannot be understood: quarantine it and go on. */
export class Unreadable extends Error {
  override readonly name = 'Unreadable'
}

/** A property as text; empty is null. Numbers are taken only while they are exact. */
function text(record: CrmRecord, name: string): string | null {
  const value = record.properties[name]
  if (value === undefined || value === null || value === '') return null
  if (typeof value === 'string') return value
  if (typeof value === 'boolean' || (typeof value === 'number' && Math.abs(value) <= Number.MAX_SAFE_INTEGER)) {
    return String(value)
  }
  throw new Unreadable(`${name} is not text`)
}

const EARLIEST = Date.UTC(1980, 0, 1)
const LATEST = Date.UTC(2200, 0, 1)

/** ISO 8601 or milliseconds. Dates no CRM can know (the year 1601 is an empty Windows date) are refused. */
function parseInstant(value: string | number, name: string): Instant {
  const at = typeof value === 'number' || /^-?\d{5,}$/.test(value) ? Number(value) : Date.parse(value)
  if (at >= EARLIEST && at < LATEST) return at
  throw new Unreadable(`${name} is not a date: ${String(value).slice(0, 40)}`)
}
function instant(record: CrmRecord, name: string): Instant | null {
  const value = text(record, name)
  return value === null ? null : parseInstant(value, name)
}

/** Number as plain decimal text, so that histories and observations compare. */
function decimal(value: string, name: string): string {
  const number = Number(value)
  if (value.trim() === '' || !Number.isFinite(number))
    throw new Unreadable(`${name} is not a number: ${value.slice(0, 40)}`)
  return String(number)
}

const formats = new Map<string, Intl.DateTimeFormat>()
/** Wall-clock text `YYYY-MM-DD, HH:MM:SS` in a zone. */
function wallClock(at: Instant, timezone: string): string {
  let format = formats.get(timezone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-CA', {
      timeZone: timezone,
      dateStyle: 'short',
      timeStyle: 'medium',
      hourCycle: 'h23',
    })
    formats.set(timezone, format)
  }
  return format.format(at)
}
/** The calendar date of a close date. Exactly midnight UTC is a date without time, as API clients write it. */
function localDate(at: Instant, timezone: string): LocalDate {
  return at % 86_400_000 === 0 ? new Date(at).toISOString().slice(0, 10) : wallClock(at, timezone).slice(0, 10)
}
/** 17:00 of that date in the zone: a task due "that day". */
export function dueInstant(date: LocalDate, timezone: string): Instant {
  const wanted = Date.parse(`${date}T17:00:00Z`)
  return wanted - (Date.parse(`${wallClock(wanted, timezone).replace(', ', 'T')}Z`) - wanted)
}
/** A property of type date: midnight UTC, as ISO text or milliseconds. */
function day(record: CrmRecord, name: string): LocalDate | null {
  const at = instant(record, name)
  return at === null ? null : new Date(at).toISOString().slice(0, 10)
}

function oneOf<T extends string>(values: readonly T[], value: string | null): T | null {
  return values.find((known) => known === value) ?? null
}
const STATES = ['moving', 'stalled', 'parked', 'answered_no'] as const

/** Throws Unreadable naming the property that is wrong. */
export function toDeal(record: CrmRecord, portal: Portal): Deal {
  const pipelineId = text(record, 'pipeline')
  const stageId = text(record, 'dealstage')
  if (pipelineId === null || stageId === null) throw new Unreadable('it has no pipeline or no stage')
  const amount = text(record, 'amount')
  const currency = text(record, 'deal_currency_code')
  if (currency !== null && !/^[A-Z]{3}$/.test(currency))
    throw new Unreadable(`unknown currency ${currency.slice(0, 10)}`)
  const closedAt = instant(record, 'closedate')
  const createdAt = instant(record, 'createdate')
  const modifiedAt = instant(record, 'hs_lastmodifieddate') ?? createdAt
  if (createdAt === null || modifiedAt === null) throw new Unreadable('it has no creation date')
  const meetingAt = instant(record, 'hs_next_meeting_start_time')
  const own = (name: keyof typeof WRITTEN) => text(record, WRITTEN[name])
  return {
    id: record.id,
    name: text(record, 'dealname') ?? '',
    url: portal.dealUrl + record.id,
    ownerId: text(record, 'hubspot_owner_id'),
    pipelineId,
    stageId,
    outcome: portal.stages.get(`${pipelineId}/${stageId}`) ?? outcomeOf(record, stageId),
    type: text(record, 'dealtype'),
    amount: amount === null ? null : Number(decimal(amount, 'amount')),
    currency,
    closeDate: closedAt === null ? null : localDate(closedAt, portal.timezone),
    createdAt,
    imported: /^(import|migration|mass_import)/i.test(
      text(record, 'hs_object_source') ?? text(record, 'hs_object_source_label') ?? '',
    ),
    category: text(record, FORECAST_CATEGORY),
    own: {
      stalled: own('stalled') === null ? null : own('stalled') === 'true',
      state: oneOf(STATES, own('state')),
      since: instant(record, WRITTEN.since),
      reason: oneOf(RULES, own('reason')),
      explanation: own('explanation'),
      lastMovement: instant(record, WRITTEN.lastMovement),
      categoryBefore: own('categoryBefore'),
      decisionDue: day(record, WRITTEN.decisionDue),
      decision: oneOf(DECISIONS, own('decision')),
      cause: oneOf(CAUSES, own('cause')),
      parkedUntil: day(record, 'unstall_parked_until'),
      parkedReason: text(record, 'unstall_parked_reason'),
    },
    lockGroup: null,
    modifiedAt,
    meeting:
      meetingAt === null
        ? null
        : { id: text(record, 'hs_next_meeting_id') ?? `at ${meetingAt}`, at: meetingAt, outside: null, series: null },
  }
}

/** A stage that no pipeline lists any more: HubSpot's own verdict, which it keeps. */
function outcomeOf(record: CrmRecord, stage: string): Outcome {
  const closed = text(record, 'hs_is_closed')
  if (closed === null) throw new Unreadable(`stage ${stage.slice(0, 40)} is in no pipeline`)
  return closed !== 'true' ? 'open' : text(record, 'hs_is_closed_won') === 'true' ? 'won' : 'lost'
}

const PERSON = /^(CRM_UI|CRM_UI_BULK_ACTION|MOBILE|MOBILE_\w+|SALES|CONTACTS_WEB)$/
const AUTOMATION =
  /^(INTEGRATION|API|WORKFLOWS?|AUTOMATION_\w+|IMPORT|MASS_IMPORT|MIGRATION|BATCH_UPDATE|CALCULATED|SALESFORCE|MERGE_\w+|DEFAULT|DATA_ENRICHMENT|FORECASTING|PIPELINE_SETTINGS)$/

/** Whitelists on both sides: what stands in neither is `unknown`, which counts as a person, and `explain` says so. */
// Our own writes come as INTEGRATION; a token does not tell its app id, so they are `automation` like any other's.
export function actor(sourceType: string | null | undefined): Actor {
  if (sourceType && PERSON.test(sourceType)) return 'person'
  return sourceType && AUTOMATION.test(sourceType) ? 'automation' : 'unknown'
}

/** The newest versions HubSpot keeps of a property (not documented; beyond it, `from` of the oldest is not known). */
const HISTORY_CAP = 20

/**
 * Changes from history and activities from the rolled-up dates; null where there is neither. `asOf`: HubSpot's clock; a
 * meeting after it has not been held yet. Throws Unreadable.
 */
export function toEvidence(record: CrmRecord, portal: Portal, asOf: Instant): Evidence | null {
  const changes = Object.entries(TRACKED).flatMap(([property, field]) =>
    toChanges(record.propertiesWithHistory?.[property] ?? [], field, portal),
  )
  const activities: Activity[] = []
  const add = (kind: Activity['kind'], property: string, outside: boolean | null) => {
    const at = instant(record, property)
    if (at === null || (kind === 'meeting' && at > asOf) || activities.some((other) => other.at === at)) return
    activities.push({ id: `${kind} ${at}`, kind, at, outside })
  }
  add('reply', 'hs_sales_email_last_replied', true)
  // HubSpot's rolled-up meeting date does not tell who took part.
  add('meeting', 'hs_latest_meeting_activity', null)
  // Last call, sales e-mail or meeting, outgoing ones included: a rep's activity, for `countActivity: any` only.
  add('outgoing_email', 'notes_last_contacted', null)
  return changes.length + activities.length === 0 ? null : { deal: record.id, changes, activities }
}

function toChanges(
  versions: readonly Version[],
  field: (typeof TRACKED)[keyof typeof TRACKED],
  portal: Portal,
): Change[] {
  const oldestFirst = versions
    .toReversed()
    .map((version) => ({ version, at: parseInstant(version.timestamp, 'timestamp') }))
    .sort((a, b) => a.at - b.at)
  const changes: Change[] = []
  let from: string | null | undefined = versions.length < HISTORY_CAP ? null : undefined
  for (const { version, at } of oldestFirst) {
    const to = toValue(version.value, field, portal)
    if (to === from) continue
    const source = version.sourceType ?? 'UNKNOWN'
    changes.push({ field, at, ...(from === undefined ? {} : { from }), to, by: actor(source), source })
    from = to
  }
  return changes
}
function toValue(value: unknown, field: string, portal: Portal): string | null {
  if (value === null || value === undefined || value === '') return null
  if (field === 'amount') return decimal(String(value), 'amount')
  return field === 'closeDate' ? localDate(parseInstant(String(value), 'closedate'), portal.timezone) : String(value)
}

/** Values are always sent as text; empty text clears. */
export function toProperties(after: FieldValues): Record<string, string> {
  const properties: Record<string, string> = {}
  for (const [name, property] of Object.entries(WRITTEN)) {
    const value = Object.entries(after).find(([given]) => given === name)?.[1]
    if (value === undefined) continue
    const moment = name === 'since' || name === 'lastMovement'
    properties[property] = value === null ? '' : moment ? new Date(Number(value)).toISOString() : String(value)
  }
  return properties
}

export function toTaskProperties(write: Extract<Write, { kind: 'create-task' }>, timezone: string) {
  return {
    [TASK_KEY]: write.taskKey,
    hs_task_subject: write.subject,
    hs_task_body: toHtml(write.body),
    hs_task_status: 'NOT_STARTED',
    hs_task_type: 'TODO',
    hs_task_priority: 'MEDIUM',
    hs_timestamp: new Date(dueInstant(write.due, timezone)).toISOString(),
    hubspot_owner_id: write.owner,
  }
}

/** `deal`: where the caller knows it to hang. Throws Unreadable. */
export function toTask(record: CrmRecord, deal: string | null, timezone: string): RemoteTask {
  const due = instant(record, 'hs_timestamp')
  return {
    id: record.id,
    key: text(record, TASK_KEY) ?? '',
    deal,
    open: text(record, 'hs_task_status') !== 'COMPLETED',
    owner: text(record, 'hubspot_owner_id'),
    subject: text(record, 'hs_task_subject') ?? '',
    body: fromHtml(text(record, 'hs_task_body') ?? ''),
    due: due === null ? null : wallClock(due, timezone).slice(0, 10),
  }
}

/** A task's body is HTML to HubSpot, and deal names are hostile text. */
export function toHtml(plain: string): string {
  return plain.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\n', '<br>')
}
/** Back again, also where HubSpot has wrapped or reformatted it. */
export function fromHtml(html: string): string {
  const plain = html.replace(/<br\s*\/?>|<\/(p|div)>\s*(?=<[^/])/gi, '\n').replace(/<[^>]*>/g, '')
  return plain.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&nbsp;', ' ').replaceAll('&amp;', '&') // biome-ignore format: one chain
}

/** When the deal came into its present stage, also when it had left it and came back; null where HubSpot does not say. */
export function enteredStage(record: CrmRecord): Instant | null {
  return instant(record, 'hs_v2_date_entered_current_stage')
}
