// Writing in batches with one outcome per write. HubSpot answers in three ways: all done, some refused by name (207), or
// the whole batch refused for one bad row, which is then found by what the error names, else by halving. A call without
// an answer leaves its writes without an outcome.
import { AssociationTypes } from '@hubspot/api-client'
import type { ConnectorOptions, Write, WriteOutcome } from '../../src/connector.ts'
import type { RemoteId, TaskKey } from '../../src/core/deal.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { type Api, Refusal, Unknown } from './api.ts'
import { TASK_KEY } from './fields.ts'
import { toHtml, toProperties, toTaskProperties } from './map.ts'
import { chunks } from './pull.ts'
import { type Batch, CrmRecord, type Problem } from './wire.ts'

const BATCH = 100
/** Batches under way at once; the gate sets the pace. */
const PARALLEL = 4
/** Calls spent on finding bad rows of one batch; the rest of it then waits for another night. */
const MOST_CALLS = 60

/** One record of a batch and the writes it stands for (several field writes of one deal are one record). */
interface Row {
  /** Record id, or the task key of a creation: what answers and errors name it by. */
  readonly id: string
  readonly input: { readonly properties?: Readonly<Record<string, string>> } & Record<string, unknown>
  readonly keys: readonly string[]
}
interface Job {
  readonly object: 'deals' | 'tasks'
  readonly verb: 'update' | 'create' | 'archive'
  readonly rows: readonly Row[]
}

export interface Writer {
  readonly api: Api
  readonly options: ConnectorOptions
  /** Why a property of ours cannot be written; refusals add to it. */
  readonly unusable: Map<string, string>
  /** Where HubSpot keeps task keys unique: our tasks by key. Null elsewhere. */
  readonly find: ((keys: readonly TaskKey[], signal: AbortSignal) => Promise<ReadonlyMap<TaskKey, RemoteId>>) | null
}

/** Throws RetryLater, Fatal or the abort reason after the outcomes that are certain; what was not sent is `later`. */
export async function* write(writer: Writer, writes: readonly Write[], signal: AbortSignal) {
  const { jobs, refused } = plan(writer, writes)
  yield* refused
  const running = new Set<Promise<void>>()
  const ready: WriteOutcome[] = []
  let stop: unknown = null
  const begin = (job: Job) => {
    const work: Promise<void> = runBatch(writer, job, signal, ready).then(
      () => void running.delete(work),
      (error: unknown) => {
        stop ??= error
        running.delete(work)
      },
    )
    running.add(work)
  }
  while (jobs.length > 0 || running.size > 0) {
    while (stop === null && running.size < PARALLEL) {
      const job = jobs.shift()
      if (job === undefined) break
      begin(job)
    }
    await Promise.race(running)
    yield* ready.splice(0)
    if (stop !== null) for (const job of jobs.splice(0)) yield* later(job.rows, reasonOf(stop))
  }
  if (stop !== null) throw stop
}

const reasonOf = (error: unknown) => (error instanceof Error ? error.message : 'stopped')
const later = (rows: readonly Row[], message: string): WriteOutcome[] =>
  rows.flatMap((row) => row.keys.map((key) => ({ key, result: 'later', message }) as const))

function plan(writer: Writer, writes: readonly Write[]) {
  const refused: WriteOutcome[] = []
  const deals = new Map<string, { properties: Record<string, string>; keys: string[] }>()
  const rows: Record<Job['verb'], Row[]> = { create: [], update: [], archive: [] }
  for (const one of writes) {
    if (one.kind === 'fields') {
      const properties = toProperties(one.after)
      const unusable = Object.keys(properties).find((name) => writer.unusable.has(name))
      if (unusable !== undefined) {
        refused.push({ key: one.key, result: 'refused', message: writer.unusable.get(unusable) ?? unusable })
        continue
      }
      const row = deals.get(one.deal) ?? { properties: {}, keys: [] }
      Object.assign(row.properties, properties)
      row.keys.push(one.key)
      deals.set(one.deal, row)
    } else if (one.kind === 'create-task') {
      const unusable = writer.unusable.get(TASK_KEY)
      if (unusable !== undefined) {
        refused.push({ key: one.key, result: 'refused', message: unusable })
        continue
      }
      const association = { associationCategory: 'HUBSPOT_DEFINED', associationTypeId: AssociationTypes.taskToDeal }
      const input = {
        properties: toTaskProperties(one, writer.options.timezone),
        associations: [{ to: { id: one.deal }, types: [association] }],
        objectWriteTraceId: one.taskKey,
      }
      rows.create.push({ id: one.taskKey, input, keys: [one.key] })
    } else if (one.kind === 'delete-task') {
      rows.archive.push({ id: one.task, input: { id: one.task }, keys: [one.key] })
    } else {
      const status = one.kind === 'complete-task' ? 'COMPLETED' : 'NOT_STARTED'
      rows.update.push(update(one.task, { hs_task_status: status, hs_task_body: toHtml(one.body) }, [one.key]))
    }
  }
  const fields = [...deals].map(([id, { properties, keys }]) => update(id, properties, keys))
  const jobs: Job[] = [
    ...chunks(fields, BATCH).map((some) => ({ object: 'deals', verb: 'update', rows: some }) as const),
    ...(['create', 'update', 'archive'] as const).flatMap((verb) =>
      chunks(rows[verb], BATCH).map((some) => ({ object: 'tasks', verb, rows: some }) as const),
    ),
  ]
  return { jobs, refused }
}

const update = (id: string, properties: Record<string, string>, keys: readonly string[]): Row => ({
  id,
  input: { id, properties, objectWriteTraceId: id },
  keys,
})

/** Rows still to be sent together. */
interface Piece {
  readonly rows: readonly Row[]
  /** A bad row is among these: HubSpot refused a larger batch, and the rest of that batch was good. */
  certain: Refusal | null
  /** The other half, which holds the bad row if this one is good. */
  readonly other: { readonly piece: Piece; readonly refusal: Refusal } | null
}

/** One batch until every row has an outcome or is known to be unknown. Rejects with what must stop the others too. */
async function runBatch(writer: Writer, job: Job, signal: AbortSignal, outcomes: WriteOutcome[]): Promise<void> {
  const pieces: Piece[] = [{ rows: job.rows, certain: null, other: null }]
  const refused: { readonly row: Row; readonly message: string }[] = []
  const settle = (row: Row, result: 'refused' | 'later', message: string) => {
    if (result === 'refused') refused.push({ row, message })
    else outcomes.push(...later([row], message))
  }
  let calls = 0
  for (let piece = pieces.pop(); piece !== undefined; piece = pieces.pop()) {
    const { rows, certain, other } = piece
    const [only, second] = rows
    if (only === undefined) continue
    if (certain !== null) {
      if (second === undefined) settle(only, 'refused', certain.message)
      else pieces.push(...halves(rows, certain))
      continue
    }
    if (calls >= MOST_CALLS) {
      for (const row of rows) settle(row, 'later', 'too many records of this batch were refused')
      continue
    }
    calls += 1
    try {
      const inputs = rows.map((row) => row.input)
      settleAnswer(
        writer,
        job,
        rows,
        await writer.api.batchWrite(job.object, job.verb, inputs, signal),
        outcomes,
        settle,
      )
      if (other !== null) other.piece.certain = other.refusal
    } catch (error) {
      if (error instanceof Unknown) {
        const what = `${job.verb} ${job.object}`
        writer.options.warn?.('HubSpot: not known whether a write was applied', { what, why: error.message })
      } else if (error instanceof Refusal) {
        const bad = badRows(writer, rows, error)
        for (const row of bad.rows) settle(row, 'refused', bad.message)
        const rest = rows.filter((row) => !bad.rows.includes(row))
        if (bad.rows.length > 0) pieces.push({ rows: rest, certain: null, other: null })
        else pieces.push(...halves(rows, error))
      } else {
        // RetryLater and Fatal: HubSpot did not act. An abort may have come too late, so it says nothing of this piece.
        const unsent = error instanceof RetryLater || error instanceof Fatal ? [piece, ...pieces] : pieces
        for (const { rows } of unsent) outcomes.push(...later(rows, reasonOf(error)))
        for (const { row, message } of refused) outcomes.push(...refusals(row, message))
        throw error
      }
    }
  }
  outcomes.push(...(await judgeRefused(writer, job, refused, signal)))
}

/** The first half last: it is sent first, and tells about the second. */
function halves(rows: readonly Row[], refusal: Refusal): Piece[] {
  const middle = Math.ceil(rows.length / 2)
  const second: Piece = { rows: rows.slice(middle), certain: null, other: null }
  return [second, { rows: rows.slice(0, middle), certain: null, other: { piece: second, refusal } }]
}

const refusals = (row: Row, message: string) => row.keys.map((key) => ({ key, result: 'refused', message }) as const)

/** A creation refused while a task with our key exists (however HubSpot words it) was done before. */
async function judgeRefused(
  writer: Writer,
  job: Job,
  refused: readonly { readonly row: Row; readonly message: string }[],
  signal: AbortSignal,
): Promise<WriteOutcome[]> {
  const keys = job.verb === 'create' ? refused.map(({ row }) => row.id) : []
  const existing = keys.length > 0 && writer.find ? await writer.find(keys, signal) : new Map<TaskKey, RemoteId>()
  return refused.flatMap(({ row, message }): WriteOutcome[] => {
    const remote = existing.get(row.id)
    return remote === undefined
      ? refusals(row, message)
      : row.keys.map((key) => ({ key, result: 'done', remote }) as const)
  })
}

/** Rows of an answered batch: done, refused by name, or (in neither list) without an outcome. */
function settleAnswer(
  writer: Writer,
  job: Job,
  rows: readonly Row[],
  answer: Batch,
  outcomes: WriteOutcome[],
  settle: (row: Row, result: 'refused' | 'later', message: string) => void,
): void {
  const open = new Map(rows.map((row) => [row.id, row]))
  const done = (row: Row | undefined, remote: RemoteId | undefined) => {
    if (row === undefined || !open.delete(row.id)) return
    outcomes.push(...row.keys.map((key) => ({ key, result: 'done', ...(remote && { remote }) }) as const))
  }
  if (job.verb === 'archive' && !answer.errors?.length) for (const row of rows) done(row, undefined)
  for (const raw of answer.results ?? []) {
    const record = CrmRecord.safeParse(raw).data
    if (record === undefined) continue
    if (job.verb !== 'create') done(open.get(record.id), undefined)
    else done(open.get(record.objectWriteTraceId ?? String(record.properties[TASK_KEY])), record.id)
  }
  for (const problem of answer.errors ?? []) {
    const named = namedIn(problem)
    const missing = missingProperties(rows, problem)
    for (const [name, message] of missing) writer.unusable.set(name, message)
    const message = [...missing.values()][0] ?? problem.message ?? 'refused by HubSpot'
    for (const row of [...open.values()].filter((row) => named.has(row.id))) {
      if (/INTERNAL|SERVER|TIMEOUT/.test(problem.category ?? '')) continue
      open.delete(row.id)
      settle(row, /RATE_LIMIT/.test(problem.category ?? '') ? 'later' : 'refused', message)
    }
  }
}

/** Which rows made HubSpot refuse the whole batch; none: it does not say. */
function badRows(writer: Writer, rows: readonly Row[], refusal: Refusal) {
  const missing = missingProperties(rows, refusal.problem)
  if (missing.size > 0) {
    for (const [name, message] of missing) writer.unusable.set(name, message)
    const touched = rows.filter((row) => Object.keys(row.input.properties ?? {}).some((name) => missing.has(name)))
    return { rows: touched, message: [...missing.values()].join('; ') }
  }
  const named = namedIn(refusal.problem)
  return { rows: rows.length === 1 ? rows : rows.filter((row) => named.has(row.id)), message: refusal.message }
}

/** Everything an error names: `context.ids`, trace ids, and whatever else stands in its contexts. */
function namedIn(problem: Problem): ReadonlySet<string> {
  const contexts = [problem.context, ...(problem.errors ?? []).map((error) => error.context)]
  const values = contexts.flatMap((context) => Object.values(context ?? {}).flat())
  return new Set([problem.id, problem.objectWriteTraceId, ...values].map(String))
}

/** Written properties of which the error says that they do not exist, each with what to tell the person. */
function missingProperties(rows: readonly Row[], problem: Problem): ReadonlyMap<string, string> {
  const text = JSON.stringify(problem)
  if (!text.includes('PROPERTY_DOESNT_EXIST')) return new Map()
  const written = new Set(rows.flatMap((row) => Object.keys(row.input.properties ?? {})))
  const missing = [...written].filter((name) => new RegExp(`\\b${name}\\b`).test(text))
  return new Map(missing.map((name) => [name, `HubSpot has no property ${name} any more: run unstall setup`]))
}
