// Writing: one record per deal, 200 records per request, the writes of one account in one request where possible
// (opportunities and their tasks lock the account), and an outcome per ledger row only where Salesforce gave one.
import type { Write, WriteOutcome } from '../../src/connector.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { type Api, Drift, Rejected, Unknown, WRITE_BATCH } from './api.ts'
import { TASK_KEY, wireValues } from './fields.ts'
import type { Saved } from './wire.ts'

type SObject = 'Opportunity' | 'Task'
export interface OrgFacts {
  editable(object: SObject, signal: AbortSignal, anew: boolean): Promise<ReadonlySet<string>>
  priority(signal: AbortSignal): Promise<string | null>
  table(soql: string, signal: AbortSignal): Promise<Record<string, unknown>[]>
}

/** One record on its way, and the ledger rows it answers. */
interface Job {
  readonly keys: string[]
  readonly id: string
  readonly group: string
  readonly values: Record<string, unknown>
}
interface Lane {
  readonly object: SObject
  readonly verb: 'update' | 'create' | 'remove'
  readonly jobs: readonly Job[]
}

/** Nothing of these was applied, and the cause passes by itself. */
const LATER = /^(?:UNABLE_TO_LOCK_ROW|SERVER_UNAVAILABLE|REQUEST_LIMIT_EXCEEDED|REQUEST_RUNNING_TOO_LONG)$/
/** A task that is gone needs no deleting. */
const GONE = /^(?:ENTITY_IS_DELETED|NOT_FOUND)$/

export function createWriter(api: Api, facts: OrgFacts) {
  let statuses: Promise<{ open: string; closed: string }> | null = null

  /** The org's own words for an open and a completed task. */
  async function learnStatuses(signal: AbortSignal) {
    const rows = await facts.table(
      'SELECT ApiName, MasterLabel, IsClosed, IsDefault FROM TaskStatus ORDER BY SortOrder',
      signal,
    )
    const name = (closed: boolean) => {
      const fitting = rows.filter((row) => row.IsClosed === closed)
      const row = fitting.find(({ IsDefault }) => IsDefault === true) ?? fitting[0]
      return String(row?.ApiName ?? row?.MasterLabel ?? '')
    }
    const found = { open: name(false), closed: name(true) }
    if (found.open && found.closed) return found
    throw new Fatal(
      'schema',
      'this org has no task status for open or for completed tasks: Setup > Object Manager > Task > Fields > Status',
    )
  }
  function taskStatuses(signal: AbortSignal) {
    statuses ??= learnStatuses(signal).catch((error) => {
      statuses = null
      throw error
    })
    return statuses
  }

  async function lanes(writes: readonly Write[], signal: AbortSignal): Promise<Lane[]> {
    const deals = new Map<string, Job>()
    const created: Job[] = []
    const changed: Job[] = []
    const removed: Job[] = []
    const status = writes.some(({ kind }) => /-task$/.test(kind) && kind !== 'delete-task')
      ? await taskStatuses(signal)
      : null
    const priority = writes.some(({ kind }) => kind === 'create-task') ? await facts.priority(signal) : null
    const groups = new Map(
      writes.flatMap((write) => ('lockGroup' in write && write.lockGroup ? [[write.deal, write.lockGroup]] : [])),
    )
    for (const write of writes) {
      const group = groups.get(write.deal) ?? ''
      if (write.kind === 'fields') {
        const one = deals.get(write.deal) ?? { keys: [], id: write.deal, group, values: {} }
        one.keys.push(write.key)
        Object.assign(one.values, wireValues(write.after))
        deals.set(write.deal, one)
      } else if (write.kind === 'create-task') {
        const values = {
          WhatId: write.deal,
          OwnerId: write.owner,
          Subject: Array.from(write.subject).slice(0, 255).join(''),
          Description: write.body,
          ActivityDate: write.due,
          Status: status?.open,
          [TASK_KEY]: write.taskKey,
          ...(priority ? { Priority: priority } : {}),
        }
        created.push({ keys: [write.key], id: write.deal, group, values })
      } else if (write.kind === 'delete-task') removed.push({ keys: [write.key], id: write.task, group, values: {} })
      else {
        const values = {
          Status: write.kind === 'complete-task' ? status?.closed : status?.open,
          Description: write.body,
        }
        changed.push({ keys: [write.key], id: write.task, group, values })
      }
    }
    return [
      { object: 'Opportunity', verb: 'update', jobs: [...deals.values()] },
      { object: 'Task', verb: 'create', jobs: created },
      { object: 'Task', verb: 'update', jobs: changed },
      { object: 'Task', verb: 'remove', jobs: removed },
    ]
  }

  function send({ object, verb }: Lane, jobs: readonly Job[], signal: AbortSignal): Promise<Saved[]> {
    if (verb === 'create')
      return api.create(
        object,
        jobs.map(({ values }) => values),
        signal,
      )
    if (verb === 'remove')
      return api.remove(
        object,
        jobs.map(({ id }) => id),
        signal,
      )
    return api.update(
      object,
      jobs.map(({ id, values }) => ({ Id: id, ...values })),
      signal,
    )
  }

  /** Outcomes of one request; a request refused as a whole is halved until the bad record is alone. */
  async function* attempt(
    lane: Lane,
    jobs: readonly Job[],
    signal: AbortSignal,
    learned = false,
  ): AsyncGenerator<WriteOutcome> {
    try {
      const saved = await send(lane, jobs, signal)
      for (const [at, job] of jobs.entries()) {
        const result = saved[at]
        if (result) for (const key of job.keys) yield outcome(key, lane, result)
      }
    } catch (error) {
      if (error instanceof Drift && !learned) {
        // The org changed since it was described. Nothing was applied: refuse what cannot be written, send the rest.
        const editable = await facts.editable(lane.object, signal, true)
        const lacking = (job: Job) => Object.keys(job.values).filter((name) => !editable.has(name))
        for (const job of jobs.filter((one) => lacking(one).length > 0))
          yield* refusals(
            job,
            `Salesforce has no field ${lacking(job).join(', ')} for us to write: run \`unstall setup\``,
          )
        const rest = jobs.filter((job) => lacking(job).length === 0)
        if (rest.length > 0) yield* attempt(lane, rest, signal, true)
        return
      }
      if (!(error instanceof Drift || error instanceof Rejected)) throw error
      const [only] = jobs
      if (jobs.length === 1 && only) {
        yield* refusals(only, error.message)
        return
      }
      const half = Math.ceil(jobs.length / 2)
      yield* attempt(lane, jobs.slice(0, half), signal, learned)
      yield* attempt(lane, jobs.slice(half), signal, learned)
    }
  }

  return async function* write(writes: readonly Write[], signal: AbortSignal): AsyncGenerator<WriteOutcome> {
    if (writes.length === 0) return
    const open = new Set(writes.map(({ key }) => key))
    let lost = 0
    try {
      for (const lane of await lanes(writes, signal))
        for (const jobs of packed(lane.jobs)) {
          // Two requests in a row without an answer: Salesforce is not well, the rest was never sent.
          if (lost >= 2) throw new RetryLater('Salesforce does not answer', 60_000)
          try {
            for await (const one of attempt(lane, jobs, signal)) {
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

function outcome(key: string, { verb, object }: Lane, { success, id, errors }: Saved): WriteOutcome {
  if (success) return { key, result: 'done', ...(id && object === 'Task' ? { remote: id } : {}) }
  const [error] = errors
  const code = error?.statusCode ?? error?.errorCode ?? 'UNKNOWN'
  if (verb === 'remove' && GONE.test(code)) return { key, result: 'done' }
  const message = `${error?.message ?? 'no reason given'} (${code})`
  return { key, result: LATER.test(code) ? 'later' : 'refused', message }
}

function* refusals(job: Job, message: string): Generator<WriteOutcome> {
  for (const key of job.keys) yield { key, result: 'refused', message }
}

/** Requests of at most 200 records in a stable order, by account; an account is split only if it is larger than that. */
export function packed<T extends { readonly group: string; readonly id: string }>(jobs: readonly T[]): T[][] {
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  const sorted = [...jobs].sort((a, b) => order(a.group, b.group) || order(a.id, b.id))
  const requests: T[][] = []
  // Deals without an account lock nothing together: each is a group of its own.
  for (const group of Map.groupBy(sorted, (job) => job.group || job.id).values()) {
    const last = requests.at(-1)
    if (last && last.length + group.length <= WRITE_BATCH) last.push(...group)
    else for (let at = 0; at < group.length; at += WRITE_BATCH) requests.push(group.slice(at, at + WRITE_BATCH))
  }
  return requests
}
