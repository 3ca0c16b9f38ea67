// The Salesforce connector: the port, put together from org.ts, pull.ts, write.ts and setup.ts.
import { chunks } from '../../src/batches.ts'
import type { Connector, RemoteTask, Sought } from '../../src/connector.ts'
import type { Instant } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { createApi, gather, READ_BATCH } from './api.ts'
import type { SalesforceOptions } from './auth.ts'
import { check } from './check.ts'
import { TASK_KEY } from './fields.ts'
import { createOrg } from './org.ts'
import { createReading } from './pull.ts'
import { removal } from './remove.ts'
import { setUp } from './setup.ts'
import { DEAL_ID, type Row, sort, Task } from './wire.ts'
import { createWriter } from './write.ts'

export { clientCredentials, type SalesforceCredential, signIn, signInByKey, unstored } from './auth.ts'
export { PROJECT, sourceFiles } from './source.ts'

/** Keys per query, as many as tasks in a write: of 42 characters, and nine for quotes and comma, they make 10 of the 16 kB
 *  that Salesforce allows for address and headers. */
const KEY_CHUNK = 200
/** Fields of a task that is looked for. */
const FOUND = ['Id', 'WhatId', 'OwnerId', 'Subject', 'Description', 'ActivityDate', 'IsClosed', TASK_KEY]
/** A request runs ten minutes at most on Salesforce's side: after that a lost write will not commit any more. */
const SETTLE_MS = 600_000
const NO_KEY = `tasks of unstall cannot be found: Salesforce has no field ${TASK_KEY} for us: run \`unstall setup\``

/** A connection to one org. */
export function connectSalesforce(options: SalesforceOptions): Connector {
  const { clock, settleMs = SETTLE_MS } = options
  const api = createApi(options)
  const org = createOrg(api, options)
  let taskKey: 'lookup' | 'none' = 'lookup'
  const learned = async (signal: AbortSignal) => {
    const known = await org.get(signal)
    taskKey = known.reference.fields?.taskKey?.readable ? 'lookup' : 'none'
    return known
  }
  const reading = async (now: Instant | null, signal: AbortSignal) => {
    const { lens } = await learned(signal)
    return createReading(org, lens, now ?? api.now() ?? clock(), signal, options.known)
  }
  const reference = async (signal: AbortSignal) => {
    org.forget()
    return await learned(signal)
  }

  async function find(keys: ReadonlyMap<string, Sought>, signal: AbortSignal) {
    const found = new Map<string, RemoteTask>()
    if (keys.size > 0 && (await learned(signal)) && taskKey === 'none') throw new Fatal('schema', NO_KEY)
    const take = (rows: Row[]) => {
      for (const { Id: id, Unstall_Key__c: key, ...row } of sort(Task, rows, 'Id').good) {
        const asked = keys.get(key ?? '')
        // The oldest counts, should there ever be two. Salesforce compares text without case; we do not.
        if (!key || !asked || (asked.id ?? id) !== id || found.has(key)) continue
        const { WhatId: deal, OwnerId: owner, ActivityDate: due } = row
        const [subject, body] = [row.Subject ?? '', row.Description ?? '']
        found.set(key, { id, key, deal, open: !row.IsClosed, owner, subject, body, due })
      }
    }
    const ids = [...keys.values()].flatMap(({ id }) => id ?? [])
    for (const some of chunks(ids, READ_BATCH)) take(await org.retrieve(some, signal, 'Task', FOUND))
    const quoted = [...keys].flatMap(([key, { id }]) => (id === null ? `'${key.replace(/[\\']/g, '\\$&')}'` : []))
    for (const some of chunks(quoted, KEY_CHUNK)) {
      const tail = `WHERE ${TASK_KEY} IN (${some.join()}) ORDER BY CreatedDate, Id`
      const pages = await gather(org.select('Task', tail, signal, { only: FOUND.join(', ') }))
      take(pages.flatMap(({ records }) => records))
    }
    return found
  }

  return {
    get can() {
      return { system: 'salesforce', taskKey, settleMs, readBatch: READ_BATCH, parallel: 1 } as const
    },
    check: (signal) => check(api, () => reference(signal), options, signal),
    async *setup(signal) {
      yield* setUp(api, await reference(signal), signal)
      org.forget()
    },
    removal: async (signal) => {
      const known = await reference(signal)
      org.forget()
      return removal(api, known, signal)
    },
    reference: async (signal) => (await reference(signal)).reference,
    async *pull(since, now, signal) {
      yield* (await reading(now, signal)).pull(since, Math.min(now, api.now() ?? now))
    },
    async *census(after, signal) {
      const tail = after === null ? 'ORDER BY Id' : `WHERE Id > '${after}' ORDER BY Id`
      let read = 0
      for await (const { records, totalSize, done } of org.select('Opportunity', tail, signal, { only: 'Id' })) {
        read += records.length
        const ids = records.map(({ Id }) => String(Id)).filter((id) => DEAL_ID.test(id))
        yield { ids, rest: done ? 0 : Math.max(1, totalSize - read) }
      }
    },
    read: async (ids, signal) => (await reading(null, signal)).read(ids),
    find,
    write: createWriter(api, org),
    async close() {},
  }
}
