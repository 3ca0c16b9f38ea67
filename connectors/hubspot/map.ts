// Between HubSpot's records and the neutral model, both ways; pure. What HubSpot's values mean, which of its sources are
// automation, and which of its activity dates may be believed is decided here (hubspot.md 2).
import type { RemoteTask, Write } from '../../src/connector.ts'
import { momentOf, wallClock } from '../../src/core/calendar.ts'
import type {
  Activity,
  Change,
  Deal,
  Evidence,
  FieldValues,
  Instant,
  OurField,
  Outcome,
  Pipeline,
} from '../../src/core/deal.ts'
import { CAUSES, DECISIONS, RULES, STATES } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { OURS, TASK_KEY } from './fields.ts'
import type { CrmRecord, Pipelines, Version } from './wire.ts'

/** All that is asked of a deal. `notes_last_updated` and `notes_next_activity_date` are not: our own task moves them. */
export const DEAL_PROPERTIES = [
  ...['dealname', 'pipeline', 'dealstage', 'amount', 'deal_currency_code', 'closedate', 'createdate', 'dealtype'],
  ...['hubspot_owner_id', 'hs_lastmodifieddate', 'hs_object_source'],
  ...['hs_object_source_label', 'hs_next_meeting_start_time', 'hs_next_meeting_id', 'hs_latest_meeting_activity'],
  ...['hs_sales_email_last_replied', 'notes_last_contacted', 'hs_v2_date_entered_current_stage'],
  ...Object.values(OURS).filter((name) => name !== TASK_KEY),
]
/** What history is read of. */
const TRACKED = { dealstage: 'stage', pipeline: 'pipeline', amount: 'amount', closedate: 'closeDate' } as const
export const HISTORY = Object.keys(TRACKED)
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
  /** Properties of ours that are not what they should be: what stands in them is not read. */
  readonly unreadable: ReadonlySet<string>
}

/** This record cannot be understood: quarantine it and go on. */
export class Unreadable extends Fatal {
  constructor(message: string) {
    super('data', message)
  }
}
function fail(name: string, value: unknown): never {
  throw new Unreadable(`${name} is odd: ${String(value).slice(0, 40)}`)
}

/** A property as text; empty is null. Numbers are taken only while they are exact. */
function text(record: CrmRecord, name: string): string | null {
  const value = record.properties[name] ?? ''
  if (typeof value === 'string') return value || null
  if (typeof value === 'boolean' || Math.abs(Number(value)) <= Number.MAX_SAFE_INTEGER) return String(value)
  return fail(name, value)
}

const EARLIEST = Date.UTC(1980, 0, 1)
const LATEST = Date.UTC(2200, 0, 1)

/** ISO 8601 or milliseconds. Undefined: a date no CRM can know (the year 1601 is an empty Windows date). */
function parseInstant(value: string | number): Instant | undefined {
  const at = /^-?\d{5,}$/.test(String(value)) ? Number(value) : Date.parse(String(value))
  return at >= EARLIEST && at < LATEST ? at : undefined
}
function instant(record: CrmRecord, name: string): Instant | null {
  const value = text(record, name)
  return value === null ? null : (parseInstant(value) ?? fail(name, value))
}
/** A property of type date: midnight UTC, as ISO text or milliseconds. */
function day(record: CrmRecord, name: string): string | null {
  const at = instant(record, name)
  return at === null ? null : new Date(at).toISOString().slice(0, 10)
}

/** 17:00 of that date in the zone: a task due "that day". */
export const dueInstant = (date: string, timezone: string): Instant => momentOf(date, '17:00', timezone)

/** A tracked property's value as the neutral model compares it; empty is null. Undefined: it makes no sense. */
function toValue(value: string, field: Change['field'], timezone: string): string | null | undefined {
  if (value === '') return null
  if (field === 'amount') return value.trim() && Number.isFinite(Number(value)) ? String(Number(value)) : undefined
  if (field !== 'closeDate') return value
  const at = parseInstant(value)
  if (at === undefined) return undefined
  // Exactly midnight UTC is a date without time, as API clients write it.
  return (at % 86_400_000 === 0 ? new Date(at).toISOString() : wallClock(at, timezone)).slice(0, 10)
}

function oneOf<T extends string>(values: readonly T[], value: string | null): T | null {
  return values.find((known) => known === value) ?? null
}

/** Throws Unreadable naming the property that is wrong. */
export function toDeal(record: CrmRecord, portal: Portal): Deal {
  const get = (name: string) => text(record, name)
  const own = <T>(name: OurField, read: (record: CrmRecord, name: string) => T) =>
    portal.unreadable.has(OURS[name]) ? null : read(record, OURS[name])
  const tracked = (name: keyof typeof TRACKED) => {
    const value = toValue(get(name) ?? '', TRACKED[name], portal.timezone)
    return value === undefined ? fail(name, get(name)) : value
  }
  const [pipelineId, stageId, currency] = [get('pipeline'), get('dealstage'), get('deal_currency_code')]
  const outcome = portal.stages.get(`${pipelineId}/${stageId}`)
  if (pipelineId === null || stageId === null || !outcome) throw new Unreadable('it is in no stage of a pipeline')
  if (currency !== null && !/^[A-Z]{3}$/.test(currency)) fail('deal_currency_code', currency)
  const createdAt = instant(record, 'createdate')
  if (createdAt === null) throw new Unreadable('it has no creation date')
  const [amount, stalled] = [tracked('amount'), own('stalled', text)]
  const meetingAt = instant(record, 'hs_next_meeting_start_time')
  return {
    id: record.id,
    name: get('dealname') ?? '',
    url: portal.dealUrl + record.id,
    ownerId: get('hubspot_owner_id'),
    pipelineId,
    stageId,
    outcome,
    type: get('dealtype'),
    amount: amount === null ? null : Number(amount),
    currency,
    closeDate: tracked('closedate'),
    createdAt,
    imported: /^(import|migration|mass_import)/i.test(get('hs_object_source') ?? get('hs_object_source_label') ?? ''),
    category: own('category', text),
    own: {
      stalled: stalled === null ? null : stalled === 'true',
      state: oneOf(STATES, own('state', text)),
      since: own('since', instant),
      reason: oneOf(RULES, own('reason', text)),
      explanation: own('explanation', text),
      lastMovement: own('lastMovement', instant),
      categoryBefore: own('categoryBefore', text),
      decisionDue: own('decisionDue', day),
      decision: oneOf(DECISIONS, own('decision', text)),
      cause: oneOf(CAUSES, own('cause', text)),
      parkedUntil: own('parkedUntil', day),
      parkedReason: own('parkedReason', text),
    },
    lockGroup: null,
    modifiedAt: instant(record, 'hs_lastmodifieddate') ?? createdAt,
    meeting:
      meetingAt === null
        ? null
        : { id: get('hs_next_meeting_id') ?? `at ${meetingAt}`, at: meetingAt, outside: null, series: null },
  }
}

/** A stage is open, won or lost by its probability, never by its id. */
export function toPipeline({ id, label, stages }: Pipelines['results'][number]): Pipeline {
  const ordered = stages.toSorted((a, b) => a.displayOrder - b.displayOrder)
  return {
    ...{ id, label },
    stages: ordered.map(({ id, label, metadata }, order) => {
      const probability = Number(metadata?.probability ?? Number.NaN)
      const outcome = probability >= 1 ? 'won' : probability <= 0 ? 'lost' : 'open'
      return { id, label, order, outcome, category: null }
    }),
  }
}

const PERSON = /^(CRM_UI|CRM_UI_BULK_ACTION|MOBILE|MOBILE_\w+|SALES|CONTACTS_WEB)$/
const AUTOMATION =
  /^(INTEGRATION|API|WORKFLOWS?|AUTOMATION_\w+|IMPORT|MASS_IMPORT|MIGRATION|BATCH_UPDATE|CALCULATED|SALESFORCE|MERGE_\w+|DEFAULT|DATA_ENRICHMENT|FORECASTING|PIPELINE_SETTINGS)$/

/** Whitelists on both sides: what stands in neither is `unknown`, which counts as a person, and `explain` says so. */
// Our own writes come as INTEGRATION; a token does not tell its app id, so they are `automation` like any other's.
export function actor(sourceType: string | null | undefined): Change['by'] {
  if (!sourceType) return 'unknown'
  return PERSON.test(sourceType) ? 'person' : AUTOMATION.test(sourceType) ? 'automation' : 'unknown'
}

/** The newest versions HubSpot keeps of a property (not documented; beyond it, `from` of the oldest is not known). */
const HISTORY_CAP = 20

/**
 * Changes from history and activities from the rolled-up dates; null where there is neither. `asOf`: HubSpot's clock; a
 * meeting after it has not been held yet. Throws Unreadable.
 */
export function toEvidence(record: CrmRecord, { timezone }: Portal, asOf: Instant): Evidence | null {
  const changes = Object.entries(TRACKED).flatMap(([property, field]) =>
    toChanges(record.propertiesWithHistory?.[property] ?? [], field, timezone),
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

function toChanges(versions: readonly Version[], field: Change['field'], timezone: string): Change[] {
  let from: string | null | undefined = versions.length < HISTORY_CAP ? null : undefined
  let at = Number.NEGATIVE_INFINITY
  return versions
    .toReversed()
    .map((version) => ({ ...version, at: parseInstant(version.timestamp) ?? fail('timestamp', version.timestamp) }))
    .sort((a, b) => a.at - b.at)
    .flatMap(({ at: told, value, sourceType, sourceLabel }) => {
      const before = from
      // Two changes of one moment stay in their order.
      at = Math.max(told, at + 1)
      // A value that made no sense and was put right since must not make the deal unreadable for good: it is none.
      from = toValue(String(value ?? ''), field, timezone) ?? null
      if (from === before) return []
      // An app is known by its name, so that `trustedSources` can tell an e-signature from other integrations.
      const source = (sourceType === 'INTEGRATION' && sourceLabel) || sourceType || 'UNKNOWN'
      return { field, at, ...(before !== undefined && { from: before }), to: from, by: actor(sourceType), source }
    })
}

const PROPERTY = new Map(Object.entries(OURS)).set('stage', 'dealstage')
/** Values are always sent as text; empty text clears. Moments are the only numbers. */
export function toProperties(after: FieldValues): Record<string, string> {
  const sent: Record<string, string> = {}
  for (const [name, value] of Object.entries(after))
    sent[PROPERTY.get(name) ?? name] = typeof value === 'number' ? new Date(value).toISOString() : String(value ?? '')
  return sent
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

/** `deal`: where the caller knows it to hang. */
export function toTask(record: CrmRecord, deal: string, timezone: string): RemoteTask {
  const due = parseInstant(text(record, 'hs_timestamp') ?? '')
  return {
    id: record.id,
    key: text(record, TASK_KEY) ?? '',
    deal,
    open: text(record, 'hs_task_status') !== 'COMPLETED',
    owner: text(record, 'hubspot_owner_id'),
    subject: text(record, 'hs_task_subject') ?? '',
    body: fromHtml(text(record, 'hs_task_body') ?? ''),
    due: due === undefined ? null : wallClock(due, timezone).slice(0, 10),
  }
}

/** A task's body is HTML to HubSpot, and deal names are hostile text. */
export function toHtml(plain: string): string {
  return plain.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\n', '<br>')
}
const ENTITIES = { lt: '<', gt: '>', quot: '"', '#39': "'", nbsp: ' ', amp: '&' }
/** Back again, also where HubSpot has wrapped or reformatted it. */
export function fromHtml(html: string): string {
  const plain = html.replace(/<br\s*\/?>|<\/(p|div)>\s*(?=<[^/])/gi, '\n').replace(/<[^>]*>/g, '')
  return Object.entries(ENTITIES).reduce((text, [name, sign]) => text.replaceAll(`&${name};`, sign), plain)
}

/** When the deal came into its present stage, also when it had left it and came back; 0 where HubSpot does not say. */
export const enteredStage = (record: CrmRecord): Instant => instant(record, 'hs_v2_date_entered_current_stage') ?? 0
