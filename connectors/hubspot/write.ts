// Writing in batches with one outcome per write. HubSpot answers in three ways: all done, some refused by name (207), or
// the whole batch refused for one bad row, which is then found by what the error names, else by halving. A call without
// an answer leaves its writes without an outcome.
import { AssociationTypes } from '@hubspot/api-client'
import type { ConnectorOptions, RemoteTask, Write, WriteOutcome } from '../../src/connector.ts'
import type { DealId, RemoteId, TaskKey } from '../../src/core/deal.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { type Hub, Refusal, Unknown } from './api.ts'
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
  readonly keys: string[]
}
/** None: unknown, the call had no answer. `later`: HubSpot has certainly not applied it. */
type Verdict =
  | { readonly result: 'done'; readonly remote?: RemoteId }
  | { readonly result: 'refused' | 'later'; readonly message: string }
const WAITS: Verdict = { result: 'later', message: 'HubSpot did not take it this time' }

export interface Writer {
  readonly hub: Hub
  readonly options: ConnectorOptions
  /** Why a property of ours cannot be written; refusals add to it. */
  readonly unusable: Map<string, string>
  readonly find: (keys: ReadonlyMap<TaskKey, DealId>) => Promise<ReadonlyMap<TaskKey, RemoteTask>>
}

/**
 * Throws RetryLater, Fatal or the abort reason after the outcomes that are certain; what was not sent is `later`.
 * `learn`: what the portal is like, needed before anything can be sent.
 */
export async function* write(
  learn: () => Promise<Writer>,
  writes: readonly Write[],
  timezone: string,
): AsyncGenerator<WriteOutcome> {
  const verdicts = new Map<Row, Verdict>()
  const running: Promise<readonly Row[]>[] = []
  let stop: Error | null = null
  const run = async (batch: readonly Row[]) => {
    give(verdicts, batch, WAITS)
    try {
      if (stop === null) await runBatch(await learn(), batch, verdicts)
    } catch (error) {
      stop ??= error instanceof Error ? error : new Error(String(error))
    }
    return batch
  }
  const told = (batch: readonly Row[] = []): WriteOutcome[] =>
    batch.flatMap((row) => {
      const verdict = verdicts.get(row)
      if (!verdict) return []
      const why = verdict.result === 'later' && stop ? { message: stop.message } : {}
      return row.keys.map((key) => ({ key, ...verdict, ...why }))
    })
  for (const batch of batches(writes.map((one) => toRow(one, timezone)))) {
    running.push(run(batch))
    if (running.length === PARALLEL) yield* told(await running.shift())
  }
  for (const batch of running) yield* told(await batch)
  if (stop !== null) throw stop
}

function toRow(write: Write, timezone: string): Row {
  const { key, kind, deal } = write
  if (kind === 'fields')
    return { object: 'deals', verb: 'update', deal, id: deal, properties: toProperties(write.after), keys: [key] }
  const task = { object: 'tasks' as const, deal, keys: [key] }
  if (kind === 'create-task')
    return { ...task, verb: 'create', id: write.taskKey, properties: toTaskProperties(write, timezone) }
  if (kind === 'delete-task') return { ...task, verb: 'archive', id: write.task, properties: {} }
  const status = kind === 'complete-task' ? 'COMPLETED' : 'NOT_STARTED'
  const properties = { hs_task_status: status, hs_task_body: toHtml(write.body) }
  return { ...task, verb: 'update', id: write.task, properties }
}

/** Of at most 100 records of one kind. */
function batches(rows: readonly Row[]): Row[][] {
  const records = new Map<string, Row>()
  for (const row of rows) {
    const place = `${row.object} ${row.verb} ${row.id}`
    const { properties, keys } = records.get(place) ?? { properties: {}, keys: [] }
    records.set(place, { ...row, properties: { ...properties, ...row.properties }, keys: [...keys, ...row.keys] })
  }
  const groups = Map.groupBy(records.values(), ({ object, verb }) => `${object} ${verb}`)
  return [...groups.values()].flatMap((group) => chunks(group, BATCH))
}

function toInput({ verb, id, deal, properties }: Row) {
  if (verb === 'archive') return { id }
  if (verb === 'update') return { id, properties, objectWriteTraceId: id }
  const types = [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: AssociationTypes.taskToDeal }]
  return { properties, associations: [{ to: { id: deal }, types }], objectWriteTraceId: id }
}

function give(verdicts: Map<Row, Verdict>, rows: readonly Row[], verdict: Verdict): void {
  for (const row of rows) verdicts.set(row, verdict)
}

/** One batch until every row has a verdict or is known to be unknown. Throws what must stop the others too. */
async function runBatch(writer: Writer, batch: readonly Row[], verdicts: Map<Row, Verdict>): Promise<void> {
  const { hub, options, unusable, find } = writer
  const refused = new Map<Row, string>()
  let calls = 0
  const whyNot = ({ properties }: Row) => Object.keys(properties).flatMap((name) => unusable.get(name) ?? [])[0]

  function refuse(rows: readonly Row[], problem: Problem): void {
    give(verdicts, rows, WAITS)
    learnMissing(unusable, rows, problem)
    for (const row of rows) refused.set(row, whyNot(row) ?? problem.message ?? 'refused by HubSpot')
  }

  async function attempt(all: readonly Row[]): Promise<void> {
    refuse(all.filter(whyNot), {})
    const rows = all.filter((row) => !whyNot(row))
    const [first] = rows
    if (first === undefined || calls++ >= MOST_CALLS) return
    for (const row of rows) verdicts.delete(row)
    try {
      settle(first.verb, rows, await hub.batchWrite(first.object, first.verb, rows.map(toInput)))
    } catch (error) {
      if (error instanceof Unknown) {
        const what = `${first.verb} ${first.object}`
        options.warn?.('HubSpot: not known whether a write was applied', { what, why: error.message })
        return
      }
      // An abort may have come too late.
      if (error instanceof RetryLater || error instanceof Fatal) give(verdicts, rows, WAITS)
      if (!(error instanceof Refusal)) throw error
      const { problem } = error
      learnMissing(unusable, rows, problem)
      const guilty = rows.filter((row) => rows.length === 1 || whyNot(row) || names(problem, row.id))
      refuse(guilty, problem)
      const rest = rows.filter((row) => !guilty.includes(row))
      for (const some of chunks(rest, guilty.length > 0 ? BATCH : Math.ceil(rest.length / 2))) await attempt(some)
    }
  }

  /** Rows of an answered batch: done, refused by name, or (in neither list) without a verdict. */
  function settle(verb: Row['verb'], rows: readonly Row[], { results, errors }: Batch): void {
    // Deleting answers 204, without a body.
    if (verb === 'archive' && errors.length === 0) give(verdicts, rows, { result: 'done' })
    for (const raw of results) {
      const { data: record } = CrmRecord.safeParse(raw)
      const id = verb === 'create' ? (record?.objectWriteTraceId ?? record?.properties[TASK_KEY]) : record?.id
      const row = rows.find((one) => one.id === id)
      if (row && record) verdicts.set(row, { result: 'done', ...(verb === 'create' && { remote: record.id }) })
    }
    for (const problem of errors) {
      const category = problem.category ?? ''
      const named = rows.filter((row) => !verdicts.has(row) && names(problem, row.id))
      if (/RATE_LIMIT/.test(category)) give(verdicts, named, WAITS)
      else if (!/INTERNAL|SERVER|TIMEOUT/.test(category)) refuse(named, problem)
    }
  }

  await attempt(batch)
  // A creation refused while a task with our key exists (however HubSpot words it) was done before.
  const created = [...refused.keys()].filter((row) => row.verb === 'create')
  const existing = await find(new Map(created.map((row) => [row.id, row.deal])))
  for (const [row, message] of refused) {
    const task = existing.get(row.id)
    verdicts.set(row, task ? { result: 'done', remote: task.id } : { result: 'refused', message })
  }
}

/** From now on nothing is written to properties of which HubSpot says that they do not exist. */
function learnMissing(unusable: Map<string, string>, rows: readonly Row[], problem: Problem): void {
  const text = JSON.stringify(problem)
  if (!text.includes('PROPERTY_DOESNT_EXIST')) return
  for (const name of new Set(rows.flatMap((row) => Object.keys(row.properties))))
    if (new RegExp(`\\b${name}\\b`).test(text))
      unusable.set(name, `HubSpot has no property ${name} any more: run unstall setup`)
}
