// Writing in batches with one outcome per write. HubSpot answers in three ways: all done, some refused by name (207), or
// the whole batch refused for one bad row, which is then found by what the error names, else by halving. A call without
// an answer leaves its writes without an outcome.
import { AssociationTypes } from '@hubspot/api-client'
import type { ConnectorOptions, RemoteTask, Write, WriteOutcome } from '../../src/connector.ts'
import type { DealId, RemoteId, TaskKey } from '../../src/core/deal.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { type Api, Refusal, Unknown } from './api.ts'
import { TASK_KEY } from './fields.ts'
import { toHtml, toProperties, toTaskProperties } from './map.ts'
import { chunks } from './pull.ts'
import { type Batch, CrmRecord, names, type Problem } from './wire.ts'

const BATCH = 100
/** Batches under way at once; the gate sets the pace. */
const PARALLEL = 4
/** Calls spent on finding bad rows of one batch; the rest of it then waits for another night. */
const MOST_CALLS = 60

/** One record of a batch and the writes it stands for (several field writes of one deal are one record). */
interface Row {
  readonly object: 'deals' | 'tasks'
  readonly verb: 'update' | 'create' | 'archive'
  readonly deal: DealId
  /** Record id, or the task key of a creation: what answers and errors name it by. */
  readonly id: string
  readonly properties: Record<string, string>
  readonly associations?: readonly unknown[]
  readonly keys: string[]
}

export interface Writer {
  readonly api: Api
  readonly options: ConnectorOptions
  /** Why a property of ours cannot be written; refusals add to it. */
  readonly unusable: Map<string, string>
  find(keys: ReadonlyMap<TaskKey, DealId>, signal: AbortSignal): Promise<ReadonlyMap<TaskKey, RemoteTask>>
}

function toRow(write: Write, timezone: string): Row {
  const { key, kind, deal } = write
  if (kind === 'fields')
    return { object: 'deals', verb: 'update', deal, id: deal, properties: toProperties(write.after), keys: [key] }
  if (kind === 'create-task') {
    const types = [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: AssociationTypes.taskToDeal }]
    const [properties, associations] = [toTaskProperties(write, timezone), [{ to: { id: deal }, types }]]
    return { object: 'tasks', verb: 'create', deal, id: write.taskKey, properties, associations, keys: [key] }
  }
  const task = { object: 'tasks' as const, deal, id: write.task, keys: [key] }
  if (kind === 'delete-task') return { ...task, verb: 'archive', properties: {} }
  const status = kind === 'complete-task' ? 'COMPLETED' : 'NOT_STARTED'
  return { ...task, verb: 'update', properties: { hs_task_status: status, hs_task_body: toHtml(write.body) } }
}

function toInput({ verb, id, properties, associations }: Row) {
  if (verb === 'archive') return { id }
  return { ...(verb === 'create' ? { associations } : { id }), properties, objectWriteTraceId: id }
}

/**
 * Throws RetryLater, Fatal or the abort reason after the outcomes that are certain; what was not sent is `later`.
 * `learn`: what the portal is like, needed before anything can be sent.
 */
export async function* write(
  learn: () => Promise<Writer>,
  writes: readonly Write[],
  signal: AbortSignal,
): AsyncGenerator<WriteOutcome> {
  if (writes.length === 0) return
  /** Keys of which HubSpot has certainly not applied anything. */
  const unsent = new Set(writes.map(({ key }) => key))
  const running: Promise<readonly WriteOutcome[]>[] = []
  let stop: unknown = null
  const begin = async (writer: Writer, rows: readonly Row[]) => {
    const outcomes: WriteOutcome[] = []
    await runBatch(writer, rows, unsent, outcomes, signal).catch((error: unknown) => {
      stop ??= error
    })
    return outcomes
  }
  try {
    const writer = await learn()
    const rows = writes.map((one) => toRow(one, writer.options.timezone))
    const [bad, good] = [rows.filter((row) => whyNot(writer, row)), rows.filter((row) => !whyNot(writer, row))]
    for (const row of bad) yield* told(row, unsent, { result: 'refused', message: whyNot(writer, row) ?? '' })
    for (const batch of batches(good)) {
      if (running.length === PARALLEL) yield* (await running.shift()) ?? []
      if (stop !== null) break
      running.push(begin(writer, batch))
    }
    for (const outcomes of running) yield* await outcomes
  } catch (error) {
    stop = error
  }
  const message = stop instanceof Error ? stop.message : 'HubSpot did not take it this time'
  for (const key of unsent) yield { key, result: 'later', message }
  if (stop !== null) throw stop
}

/** Of at most 100 records of one kind. */
function batches(rows: readonly Row[]): Row[][] {
  const records = new Map<string, Row>()
  for (const row of rows) {
    const place = `${row.object} ${row.verb} ${row.id}`
    const same = records.get(place)
    if (same) Object.assign(same.properties, row.properties)
    if (same) same.keys.push(...row.keys)
    else records.set(place, row)
  }
  const groups = Map.groupBy(records.values(), ({ object, verb }) => `${object} ${verb}`)
  return [...groups.values()].flatMap((group) => chunks(group, BATCH))
}

const whyNot = ({ unusable }: Writer, { properties }: Row) =>
  Object.keys(properties).flatMap((name) => unusable.get(name) ?? [])[0]

/** From now on nothing is written to properties of which HubSpot says that they do not exist. */
function learnMissing({ unusable }: Writer, rows: readonly Row[], problem: Problem): void {
  const text = JSON.stringify(problem)
  if (!text.includes('PROPERTY_DOESNT_EXIST')) return
  for (const name of rows.flatMap((row) => Object.keys(row.properties)))
    if (new RegExp(`\\b${name}\\b`).test(text))
      unusable.set(name, `HubSpot has no property ${name} any more: run unstall setup`)
}

type Told =
  | { readonly result: 'done'; readonly remote?: RemoteId }
  | { readonly result: 'refused'; readonly message: string }
function told({ keys }: Row, unsent: Set<string>, outcome: Told): WriteOutcome[] {
  for (const key of keys) unsent.delete(key)
  return keys.map((key) => ({ key, ...outcome }))
}

/** One batch until every row has an outcome, is unsent, or is known to be unknown. Throws what must stop the others too. */
async function runBatch(
  writer: Writer,
  batch: readonly Row[],
  unsent: Set<string>,
  outcomes: WriteOutcome[],
  signal: AbortSignal,
): Promise<void> {
  const refused = new Map<Row, string>()
  let calls = 0

  function notApplied(rows: readonly Row[]): void {
    for (const row of rows) for (const key of row.keys) unsent.add(key)
  }
  function refuse(rows: readonly Row[], words: string): void {
    notApplied(rows)
    for (const row of rows) refused.set(row, whyNot(writer, row) ?? words)
  }

  async function attempt(rows: readonly Row[]): Promise<void> {
    const [first] = rows
    if (first === undefined || calls++ >= MOST_CALLS) return
    for (const row of rows) for (const key of row.keys) unsent.delete(key)
    try {
      settle(first.verb, rows, await writer.api.batchWrite(first.object, first.verb, rows.map(toInput), signal))
    } catch (error) {
      if (error instanceof Unknown) {
        const what = `${first.verb} ${first.object}`
        writer.options.warn?.('HubSpot: not known whether a write was applied', { what, why: error.message })
        return
      }
      // An abort may have come too late.
      if (error instanceof RetryLater || error instanceof Fatal) notApplied(rows)
      if (!(error instanceof Refusal)) throw error
      learnMissing(writer, rows, error.problem)
      const guilty = (row: Row) => rows.length === 1 || whyNot(writer, row) || names(error.problem, row.id)
      const good = rows.filter((row) => !guilty(row))
      refuse(rows.filter(guilty), error.words)
      if (good.length < rows.length) await attempt(good)
      else for (const half of chunks(rows, Math.ceil(rows.length / 2))) await attempt(half)
    }
  }

  /** Rows of an answered batch: done, refused by name, or (in neither list) without an outcome. */
  function settle(verb: Row['verb'], rows: readonly Row[], { results, errors }: Batch): void {
    const open = new Map(rows.map((row) => [row.id, row]))
    const done = (id: string, more: { remote?: RemoteId } = {}) => {
      const row = open.get(id)
      if (row && open.delete(id)) outcomes.push(...told(row, unsent, { result: 'done', ...more }))
    }
    // Deleting answers 204, without a body.
    if (verb === 'archive' && errors.length === 0) for (const row of rows) done(row.id)
    for (const raw of results) {
      const { data: record } = CrmRecord.safeParse(raw)
      if (record && verb !== 'create') done(record.id)
      else if (record) done(record.objectWriteTraceId ?? String(record.properties[TASK_KEY]), { remote: record.id })
    }
    for (const problem of errors) {
      const { category, message } = problem
      if (/INTERNAL|SERVER|TIMEOUT/.test(category ?? '')) continue
      const named = [...open.values()].filter((row) => names(problem, row.id))
      learnMissing(writer, named, problem)
      if (/RATE_LIMIT/.test(category ?? '')) notApplied(named)
      else refuse(named, message ?? 'refused by HubSpot')
      for (const row of named) open.delete(row.id)
    }
  }

  await attempt(batch)
  // A creation refused while a task with our key exists (however HubSpot words it) was done before.
  const created = [...refused.keys()].flatMap((row) => (row.verb === 'create' ? [[row.id, row.deal] as const] : []))
  const existing = await writer.find(new Map(created), signal)
  for (const [row, message] of refused) {
    const task = existing.get(row.id)
    outcomes.push(...told(row, unsent, task ? { result: 'done', remote: task.id } : { result: 'refused', message }))
  }
}
