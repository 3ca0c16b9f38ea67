// What goes into one call and what its answer means: one record per deal, 200 records, the writes of one account in one
// call where possible (opportunities and their tasks lock the account), and an outcome per ledger row only where
// Salesforce gave one. How calls follow one another, and how a bad record is found, is src/batches.ts.
import { chunks, createSender, Unknown, type Verdict } from '../../src/batches.ts'
import type { Write, WriteOutcome } from '../../src/connector.ts'
import { cut } from '../../src/core/text.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { type Answer, type Api, COLLECTIONS, Drift, Rejected, WRITE_BATCH } from './api.ts'
import { TASK_KEY, wireValues } from './fields.ts'
import type { Org } from './org.ts'
import type { Row } from './wire.ts'

/** Calls a full request costs, with the look before it and what accounts leave half full. */
const LOOKS = 1.2

/** In the order in which they are sent: a forecast category after the stage, which would set its own. */
const LANES = [
  { kinds: ['fields'], object: 'Opportunity', verb: 'update' },
  { kinds: ['category'], object: 'Opportunity', verb: 'update' },
  { kinds: ['create-task'], object: 'Task', verb: 'create' },
  { kinds: ['complete-task', 'reopen-task'], object: 'Task', verb: 'update' },
  { kinds: ['delete-task'], object: 'Task', verb: 'destroy' },
] as const satisfies { kinds: (Write['kind'] | 'category')[]; object: string; verb: string }[]
type Lane = (typeof LANES)[number]

/** One record on its way, and the ledger rows it answers. */
interface Job {
  readonly keys: string[]
  /** The deal, for creations too: what the order within an account goes by. */
  readonly id: string
  readonly group: string
  readonly lane: Lane
  /** `Status` of a task: `open` or `closed`, whatever the org calls it. */
  readonly record: Row
}

/** Nothing of these was applied, and the cause passes by itself. */
const LATER = /^(?:UNABLE_TO_LOCK_ROW|SERVER_UNAVAILABLE|REQUEST_LIMIT_EXCEEDED|REQUEST_RUNNING_TOO_LONG)$/
/** A task that is gone needs no deleting. */
const GONE = /^(?:ENTITY_IS_DELETED|NOT_FOUND)$/

export function createWriter(api: Api, { get, forget }: Pick<Org, 'get' | 'forget'>) {
  const send = createSender()
  const statuses = async (signal: AbortSignal) => {
    const { taskStatus } = await get(signal)
    if (taskStatus) return taskStatus
    const where = 'Setup > Object Manager > Task > Fields > Status'
    throw new Fatal('schema', `this org has no task status for open or for completed tasks: ${where}`)
  }

  return (writes: readonly Write[], signal: AbortSignal, toGo = 0): AsyncGenerator<WriteOutcome> => {
    let looked = false
    /** What became of the stages of these deals. */
    const staged = new Map<string, Verdict>()
    /** Salesforce speaks of fields: the org may not be what it was when it was described. */
    const lookAgain = () => {
      if (!looked) forget()
      looked = true
    }
    const requests = LANES.map((lane) => packed(jobsOf(writes, lane)))
    const calls = requests.flat().length + (Math.max(0, toGo - writes.length) / WRITE_BATCH) * LOOKS
    return send(api.left() < calls ? requests.flatMap(joined) : requests.flat(), {
      // Requests side by side would lock each other's accounts.
      parallel: 1,
      fields: async () => (await get(signal)).reference.fields,
      values: (job) => job.record,
      async send(all, { lane }) {
        // A category is only right once its stage is there.
        const waiting = new Map<Job, Verdict>()
        for (const job of lane.kinds[0] === 'category' ? all : []) {
          const told = staged.get(job.id) ?? { result: 'later', message: 'the stage of this deal has no answer yet' }
          if (told.result !== 'done') waiting.set(job, told)
        }
        const jobs = all.filter((job) => !waiting.has(job))
        if (jobs.length === 0) return { verdicts: waiting }
        const { open, closed } = lane.object === 'Task' ? await statuses(signal) : { open: '', closed: '' }
        const toSend = ({ record }: Job) =>
          record.Status ? { ...record, Status: record.Status === 'open' ? open : closed } : record
        const requests = packed(jobs)
        const records = requests.map((some) => some.map(toSend))
        const answers = await api.saveAll(lane.verb, lane.object, records, signal)
        const verdicts = new Map<Job, Verdict | null>(waiting)
        let whole: string | undefined
        for (const [n, answer] of answers.entries()) {
          const told = answer instanceof Error ? [] : answer.map(({ errors }) => errors[0]?.statusCode)
          if (answer instanceof Drift || told.includes('INVALID_FIELD_FOR_INSERT_UPDATE')) lookAgain()
          // Nothing was applied.
          if (answer instanceof Drift || answer instanceof Rejected) whole = answer.message
          else for (const [at, job] of (requests[n] ?? []).entries()) verdicts.set(job, verdictOf(answer, lane, at))
        }
        return whole === undefined ? { verdicts } : { verdicts, whole }
      },
      async review(batch, verdicts) {
        for (const job of batch) {
          const told = verdicts.get(job)
          if (told && job.record.StageName) staged.set(job.id, told)
        }
      },
    })
  }
}

function toRecord(write: Write): Row {
  if (write.kind === 'fields') return { Id: write.deal, ...wireValues(write.after) }
  if (write.kind === 'delete-task') return { Id: write.task }
  if (write.kind !== 'create-task')
    return { Id: write.task, Status: write.kind === 'complete-task' ? 'closed' : 'open', Description: write.body }
  return {
    WhatId: write.deal,
    OwnerId: write.owner,
    Subject: cut(write.subject, 255),
    Description: write.body,
    ActivityDate: write.due,
    Status: 'open',
    [TASK_KEY]: write.taskKey,
  }
}

function jobsOf(writes: readonly Write[], lane: Lane): Job[] {
  const groups = new Map(
    writes.flatMap((one) => ('lockGroup' in one && one.lockGroup ? [[one.deal, one.lockGroup]] : [])),
  )
  const jobs = new Map<unknown, Job>()
  const staged = new Set(
    writes.flatMap((one) => (one.kind === 'fields' && one.after.stage !== undefined ? [one.deal] : [])),
  )
  const laneOf = (one: Write) =>
    one.kind === 'fields' && one.after.category !== undefined && staged.has(one.deal) ? 'category' : one.kind
  for (const write of writes.filter((write) => lane.kinds.some((one) => one === laneOf(write)))) {
    const { deal: id, key } = write
    const record = toRecord(write)
    const job = jobs.get(record.Id ?? key) ?? { keys: [], id, group: groups.get(id) ?? '', lane, record }
    job.keys.push(key)
    Object.assign(job.record, record)
    jobs.set(record.Id ?? key, job)
  }
  return [...jobs.values()]
}

/** Of the record at this place of a request. */
function verdictOf(answer: Exclude<Answer, Drift | Rejected>, { verb, object }: Lane, at: number): Verdict | null {
  if (answer instanceof Unknown) return null
  if (answer instanceof RetryLater) return { result: 'later', message: answer.message }
  const saved = answer[at]
  const [error] = saved?.errors ?? []
  const code = error?.statusCode ?? 'UNKNOWN'
  if (saved?.success || (verb === 'destroy' && GONE.test(code)))
    return { result: 'done', ...(object === 'Task' && saved?.id && { remote: saved.id }) }
  return { result: LATER.test(code) ? 'later' : 'refused', message: `${error?.message ?? 'no reason given'} (${code})` }
}

/** Five requests to a call, which `packed` takes apart again. A composite call would take `@{…}` in a text for a reference
 *  to another part's answer. */
function joined(requests: readonly Job[][]): Job[][] {
  const plain = (jobs: readonly Job[]) => jobs.some(({ record }) => JSON.stringify(record).includes('@{'))
  const { alone = [], together = [] } = Object.groupBy(requests, (one) => (plain(one) ? 'alone' : 'together'))
  return [...chunks(together, COLLECTIONS).map((some) => some.flat()), ...alone]
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
