// Writing: one record per deal, 200 records per request, the writes of one account in one request where possible
// (opportunities and their tasks lock the account), and an outcome per ledger row only where Salesforce gave one.
import type { Write, WriteOutcome } from '../../src/connector.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { type Api, Drift, Rejected, Unknown, WRITE_BATCH } from './api.ts'
import { remembered } from './auth.ts'
import { TASK_KEY, wireValues } from './fields.ts'
import { chunks, type Row, type Saved } from './wire.ts'

/** One record on its way, and the ledger rows it answers. */
interface Job {
  readonly keys: string[]
  /** The deal, for creations too: what the order within an account goes by. */
  readonly id: string
  readonly group: string
  readonly record: Row
}
/** In the order in which they are sent. */
const LANES = [
  { kinds: ['fields'], object: 'Opportunity', verb: 'update' },
  { kinds: ['create-task'], object: 'Task', verb: 'create' },
  { kinds: ['complete-task', 'reopen-task'], object: 'Task', verb: 'update' },
  { kinds: ['delete-task'], object: 'Task', verb: 'destroy' },
] as const satisfies { kinds: Write['kind'][]; object: string; verb: string }[]
type Lane = (typeof LANES)[number]

/** Nothing of these was applied, and the cause passes by itself. */
const LATER = /^(?:UNABLE_TO_LOCK_ROW|SERVER_UNAVAILABLE|REQUEST_LIMIT_EXCEEDED|REQUEST_RUNNING_TOO_LONG)$/
/** A task that is gone needs no deleting. */
const GONE = /^(?:ENTITY_IS_DELETED|NOT_FOUND)$/

/** `forget`: the org is not what it was when it was described. */
export function createWriter(api: Api, { forget }: { readonly forget: () => void }) {
  /** The org's own words for an open and a completed task. */
  const statuses = remembered(async (signal) => {
    const rows = await api.rows('SELECT ApiName, IsClosed, IsDefault FROM TaskStatus ORDER BY SortOrder', signal)
    const usual = rows.toSorted((a, b) => Number(b.IsDefault) - Number(a.IsDefault))
    const [open, closed] = [false, true].map((is) => usual.find(({ IsClosed }) => IsClosed === is)?.ApiName)
    if (open && closed) return { open, closed }
    const where = 'Setup > Object Manager > Task > Fields > Status'
    throw new Fatal('schema', `this org has no task status for open or for completed tasks: ${where}`)
  })

  async function toRecord(write: Write, signal: AbortSignal): Promise<Row> {
    if (write.kind === 'fields') return { Id: write.deal, ...wireValues(write.after) }
    if (write.kind === 'delete-task') return { Id: write.task }
    const { open, closed } = await statuses.get(signal)
    if (write.kind !== 'create-task')
      return { Id: write.task, Status: write.kind === 'complete-task' ? closed : open, Description: write.body }
    return {
      WhatId: write.deal,
      OwnerId: write.owner,
      Subject: Array.from(write.subject).slice(0, 255).join(''),
      Description: write.body,
      ActivityDate: write.due,
      Status: open,
      [TASK_KEY]: write.taskKey,
    }
  }

  async function jobsOf(writes: readonly Write[], { kinds }: Lane, signal: AbortSignal): Promise<Job[]> {
    const groups = new Map(
      writes.flatMap((one) => ('lockGroup' in one && one.lockGroup ? [[one.deal, one.lockGroup]] : [])),
    )
    const jobs = new Map<unknown, Job>()
    for (const write of writes.filter(({ kind }) => kinds.some((one) => one === kind))) {
      const { deal: id, key } = write
      const record = await toRecord(write, signal)
      const job = jobs.get(record.Id ?? key) ?? { keys: [], id, group: groups.get(id) ?? '', record }
      job.keys.push(key)
      Object.assign(job.record, record)
      jobs.set(record.Id ?? key, job)
    }
    return [...jobs.values()]
  }

  /** Outcomes of one request; a request refused as a whole is halved until the bad record is alone. */
  async function* send(lane: Lane, jobs: readonly Job[], signal: AbortSignal): AsyncGenerator<WriteOutcome> {
    if (jobs.length === 0) return
    try {
      const records = jobs.map(({ record }) => record)
      const saved = await api.save(lane.verb, lane.object, records, signal)
      for (const [at, { keys }] of jobs.entries()) yield* outcomes(keys, lane, saved[at])
    } catch (error) {
      if (!(error instanceof Drift || error instanceof Rejected)) throw error
      // Nothing was applied. Where the org changed since it was described, what cannot be written is refused.
      const writable = error instanceof Drift ? await describedAnew(lane.object, signal) : null
      const lacking = ({ record }: Job) => Object.keys(record).filter((name) => writable?.has(name) === false)
      const rest = jobs.filter((job) => lacking(job).length === 0)
      for (const job of jobs.filter((one) => !rest.includes(one))) {
        const names = lacking(job).join(', ')
        yield* refusals(job.keys, `Salesforce has no field ${names} for us to write: run \`unstall setup\``)
      }
      const [only, second] = jobs
      if (rest.length < jobs.length) yield* send(lane, rest, signal)
      else if (only && !second) yield* refusals(only.keys, error.message)
      else for (const half of chunks(rest, Math.ceil(rest.length / 2))) yield* send(lane, half, signal)
    }
  }

  async function describedAnew(object: string, signal: AbortSignal): Promise<Set<string>> {
    forget()
    const { fields } = await api.describe(object, signal)
    return new Set(fields.flatMap(({ name, updateable }) => (updateable ? [name] : []))).add('Id')
  }

  return async function* write(writes: readonly Write[], signal: AbortSignal): AsyncGenerator<WriteOutcome> {
    const open = new Set(writes.map(({ key }) => key))
    let lost = 0
    try {
      for (const lane of LANES)
        for (const jobs of packed(await jobsOf(writes, lane, signal))) {
          // Two requests in a row without an answer: Salesforce is not well, the rest was never sent.
          if (lost >= 2) throw new RetryLater('Salesforce does not answer', 60_000)
          try {
            for await (const one of send(lane, jobs, signal)) {
              open.delete(one.key)
              yield one
            }
            lost = 0
          } catch (error) {
            if (!(error instanceof Unknown)) throw error
            lost += 1
            for (const key of jobs.flatMap(({ keys }) => keys)) open.delete(key)
          }
        }
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof RetryLater || error instanceof Fatal)) throw error
      for (const key of open) yield { key, result: 'later', message: error.message }
      throw error
    }
  }
}

const refusals = (keys: string[], message: string) => keys.map((key) => ({ key, result: 'refused', message }) as const)

function outcomes(keys: string[], { verb, object }: Lane, saved: Saved | undefined): WriteOutcome[] {
  const [error] = saved?.errors ?? []
  const code = error?.statusCode ?? 'UNKNOWN'
  if (saved?.success || (verb === 'destroy' && GONE.test(code))) {
    const remote = object === 'Task' && saved?.id ? { remote: saved.id } : {}
    return keys.map((key) => ({ key, result: 'done', ...remote }))
  }
  const message = `${error?.message ?? 'no reason given'} (${code})`
  return keys.map((key) => ({ key, result: LATER.test(code) ? 'later' : 'refused', message }))
}

/** Requests of at most 200 records in a stable order, by account; an account is split only if it is larger than that. */
export function packed<T extends { readonly group: string; readonly id: string }>(jobs: readonly T[]): T[][] {
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  const sorted = jobs.toSorted((a, b) => order(a.group, b.group) || order(a.id, b.id))
  const requests: T[][] = []
  // Deals without an account lock nothing together: each is a group of its own.
  for (const group of Map.groupBy(sorted, (job) => job.group || job.id).values())
    for (const some of chunks(group, WRITE_BATCH)) {
      const last = requests.at(-1)
      if (last && last.length + some.length <= WRITE_BATCH) last.push(...some)
      else requests.push(some)
    }
  return requests
}
