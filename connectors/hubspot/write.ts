// What goes into one call and what its answer means, record by record. HubSpot answers in three ways: all done, some
// refused by name (207), or the whole batch refused for one bad row, which the error may name. How calls follow one
// another, and how a bad row is found that nothing names, is src/batches.ts.
import { AssociationTypes } from '@hubspot/api-client'
import { chunks, type createSender, Unknown, type Verdict } from '../../src/batches.ts'
import type { ConnectorOptions, RemoteTask, Sought, Write, WriteOutcome } from '../../src/connector.ts'
import type { DealId, Reference, TaskKey } from '../../src/core/deal.ts'
import { type Hub, Refusal } from './api.ts'
import { TASK_KEY } from './fields.ts'
import { toHtml, toProperties, toTaskProperties } from './map.ts'
import { type Batch, CrmRecord, names, type Problem } from './wire.ts'

const BATCH = 100
/** Batches under way at once; the gate sets the pace. */
const PARALLEL = 4

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
export interface Writer {
  readonly hub: Hub
  readonly options: ConnectorOptions
  fields(): Promise<Reference['fields']>
  /** HubSpot refused something: if it names a property of ours, the portal may not be what it was. */
  doubt(problem: Problem): void
  find(keys: ReadonlyMap<TaskKey, Sought>): Promise<ReadonlyMap<TaskKey, RemoteTask>>
}

/** Throws RetryLater, Fatal or the abort reason after the outcomes that are certain; what was not sent is `later`. */
export function write(
  { hub, options, fields, doubt, find }: Writer,
  writes: readonly Write[],
  send: ReturnType<typeof createSender>,
): AsyncGenerator<WriteOutcome> {
  return send(batches(writes.map((one) => toRow(one, options.timezone))), {
    parallel: PARALLEL,
    fields,
    values: (row) => row.properties,
    async send(rows, { object, verb }) {
      const verdicts = new Map<Row, Verdict>()
      const refuse = (problem: Problem, some: readonly Row[]) => {
        doubt(problem)
        for (const row of some)
          verdicts.set(row, { result: 'refused', message: problem.message ?? 'refused by HubSpot' })
      }
      try {
        settle(verb, rows, await hub.batchWrite(object, verb, rows.map(toInput)), verdicts, refuse)
        return { verdicts }
      } catch (error) {
        if (error instanceof Unknown)
          options.warn?.('HubSpot: not known whether a write was applied', {
            what: `${verb} ${object}`,
            why: error.message,
          })
        if (!(error instanceof Refusal)) throw error
        const { problem } = error
        refuse(
          problem,
          rows.filter((row) => names(problem, row.id)),
        )
        return { verdicts, whole: problem.message }
      }
    },
    async review(batch, verdicts) {
      // A creation refused while a task with our key exists (however HubSpot words it) was done before.
      const refused = batch.flatMap((row) => {
        const verdict = verdicts.get(row)
        return row.verb === 'create' && verdict?.result === 'refused' ? [[row, verdict] as const] : []
      })
      for (const [row] of refused) verdicts.delete(row)
      const existing = await find(new Map(refused.map(([{ id, deal }]) => [id, { deal, id: null }])))
      for (const [row, verdict] of refused) {
        const task = existing.get(row.id)
        verdicts.set(row, task ? { result: 'done', remote: task.id } : verdict)
      }
    },
  })
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

/** Rows of an answered batch: done, refused by name, or (in neither list) without a verdict. */
function settle(
  verb: Row['verb'],
  rows: readonly Row[],
  { results, errors }: Batch,
  verdicts: Map<Row, Verdict>,
  refuse: (problem: Problem, rows: readonly Row[]) => void,
): void {
  // Deleting answers 204, without a body.
  if (verb === 'archive' && errors.length === 0) for (const row of rows) verdicts.set(row, { result: 'done' })
  for (const raw of results) {
    const { data: record } = CrmRecord.safeParse(raw)
    const id = verb === 'create' ? (record?.objectWriteTraceId ?? record?.properties[TASK_KEY]) : record?.id
    const row = rows.find((one) => one.id === id)
    if (row && record) verdicts.set(row, { result: 'done', ...(verb === 'create' && { remote: record.id }) })
  }
  for (const problem of errors) {
    const category = problem.category ?? ''
    const named = rows.filter((row) => !verdicts.has(row) && names(problem, row.id))
    if (/RATE_LIMIT/.test(category))
      for (const row of named) verdicts.set(row, { result: 'later', message: 'HubSpot: too many calls' })
    else if (!/INTERNAL|SERVER|TIMEOUT/.test(category)) refuse(problem, named)
  }
}
