// The HubSpot connector: the port over api.ts, map.ts, pull.ts, write.ts and setup.ts. It learns once what the portal is
// like (stages, our properties, whether task keys are unique) and goes by that until `reference` is called again.
import { chunks, createSender } from '../../src/batches.ts'
import type { Connector, ConnectorOptions, RemoteTask, Sought } from '../../src/connector.ts'
import type { Deal, DealId, Owner, Reference, RemoteId, TaskKey } from '../../src/core/deal.ts'
import { Fatal, RetryLater } from '../../src/errors.ts'
import { createApi, type Hub, pages, Refusal } from './api.ts'
import { check } from './check.ts'
import { FORECAST_CATEGORY, fieldsIn, TASK_KEY } from './fields.ts'
import { DEAL_PROPERTIES, type Portal, TASK_PROPERTIES, toPipeline, toTask } from './map.ts'
import { census, digest, pull } from './pull.ts'
import { removal } from './remove.ts'
import { type App, scopesOf } from './scopes.ts'
import { propertiesOf, setUp } from './setup.ts'
import { CrmRecord, failed, names } from './wire.ts'
import { write } from './write.ts'

export { signIn, staticToken } from './auth.ts'
export { CANNOT_TELL } from './check.ts'

export interface HubspotOptions extends ConnectorOptions {
  /** The app of an OAuth connection: its scopes can only be asked for in its name. */
  readonly app?: App
}

const BATCH = 100
/** A timed-out call may still commit a while after we stopped listening. */
const SETTLE_MS = 120_000
const OURS_NAMED = /\b(?:unstall_\w+|hs_manual_forecast_category)\b/g
const NOT_ALL = 'HubSpot failed to read some tasks'
const NO_KEY = `tasks of unstall cannot be found: HubSpot has no property ${TASK_KEY} for them: run unstall setup`

interface Learned {
  readonly reference: Reference
  readonly portal: Portal
}

/** A connection to one portal. */
export function connectHubspot(options: HubspotOptions): Connector {
  const api = createApi(options)
  const send = createSender()
  let current: Promise<Learned> | null = null
  let taskKey: 'unique' | 'lookup' | 'none' = 'lookup'
  /** Properties of ours that HubSpot named in refusals: each is a reason to learn the portal anew, once. */
  const doubted = new Set<string>()

  async function learn(signal: AbortSignal): Promise<Learned> {
    const hub = api(signal)
    // Alone and first: a probe while calls are used up costs one.
    const account = await hub.account()
    const asked = [hub.pipelines(), propertiesOf(hub), everyone(signal)] as const
    const [{ results }, properties, people] = await Promise.all(asked)
    const pipelines = results.map(toPipeline)
    const stages = pipelines.flatMap(({ id, stages }) => stages.map((one) => ({ ...one, id: `${id}/${one.id}` })))
    const categories = properties.get(FORECAST_CATEGORY)?.options?.map((option) => option.value)
    const fields = fieldsIn(properties)
    const unreadable = Object.values(fields).flatMap(({ name, readable }) => (readable ? [] : [name]))
    if (!fields.taskKey?.readable) taskKey = 'none'
    else taskKey = properties.get(TASK_KEY)?.hasUniqueValue ? 'unique' : 'lookup'
    return {
      portal: {
        stages: new Map(stages.map(({ id, outcome }) => [id, outcome])),
        dealUrl: `https://${account.uiDomain ?? 'app.hubspot.com'}/contacts/${account.portalId ?? ''}/record/0-3/`,
        timezone: options.timezone,
        unreadable: new Set(unreadable),
      },
      reference: {
        pipelines,
        owners: people,
        omitted: categories?.includes('OMIT') ? 'OMIT' : null,
        closedCategory: categories?.includes('CLOSED') ? 'CLOSED' : null,
        currency: account.companyCurrency ?? null,
        // A token does not say which user or app it belongs to.
        self: null,
        ...(account.portalId && { account: account.portalId }),
        fields,
        tells: { participants: false, personFromAutomation: true, history: true, replies: true, calls: false },
      },
    }
  }

  /** Owners who left keep their deals; queues own deals too. */
  async function owners(archived: boolean, signal: AbortSignal): Promise<Owner[]> {
    const all: Owner[] = []
    for await (const { page } of pages(api, signal, (hub, after) => hub.owners(archived, after)))
      for (const { id, email = null, firstName, lastName, teams } of page.results) {
        const name = [firstName, lastName].filter(Boolean).join(' ') || (email ?? id)
        const team = (teams?.find((one) => one.primary) ?? teams?.[0])?.name ?? null
        all.push({ id, email, name, active: !archived, team })
      }
    return all
  }

  const everyone = async (signal: AbortSignal) =>
    (await Promise.all([owners(false, signal), owners(true, signal)])).flat()

  function learned(signal: AbortSignal): Promise<Learned> {
    current ??= learn(signal).catch((error) => {
      current = null
      throw error
    })
    return current
  }

  async function read(ids: readonly DealId[], signal: AbortSignal) {
    const { portal } = await learned(signal)
    const hub = api(signal)
    const found = new Map<DealId, Deal | 'gone' | 'unreadable'>()
    const one = async (some: readonly DealId[]) => {
      const { results, errors } = await hub.batchRead('deals', some, { properties: DEAL_PROPERTIES })
      const { deals, unreadable } = digest(hub, { portal, now: options.clock() }, results)
      for (const deal of deals) found.set(deal.id, deal)
      for (const { deal } of unreadable) found.set(deal, 'unreadable')
      for (const id of some.filter((one) => !found.has(one))) {
        const said = errors.some((problem) => problem.category === 'OBJECT_NOT_FOUND' && names(problem, id))
        // Left out without a word: asked for alone. Another id in the answer: merged into that deal.
        found.set(id, said || (await hub.deal(id))?.id !== id ? 'gone' : 'unreadable')
      }
    }
    await Promise.all(chunks(ids, BATCH).map(one))
    return found
  }

  async function find(
    keys: ReadonlyMap<TaskKey, Sought>,
    signal: AbortSignal,
    again = false,
  ): Promise<ReadonlyMap<TaskKey, RemoteTask>> {
    await learned(signal)
    if (keys.size > 0 && taskKey === 'none') throw new Fatal('schema', NO_KEY)
    const hub = api(signal)
    const unique = taskKey === 'unique'
    const asked = [...keys.values()]
    const elsewhere = new Set(asked.flatMap(({ deal, id }) => (id === null ? deal : [])))
    const hanging = async () => [...asked.flatMap(({ id }) => id ?? []), ...(await tasksOf(hub, [...elsewhere]))]
    const ids = unique ? [...keys.keys()] : [...new Set(await hanging())]
    const what = { properties: TASK_PROPERTIES, ...(unique && { idProperty: TASK_KEY }) }
    const read = (some: readonly string[]) => hub.batchRead('tasks', some, what)
    const answers = await Promise.all(chunks(ids, BATCH).map(read)).catch((error) => {
      if (error instanceof Refusal) return null
      throw error
    })
    if (answers?.some(({ errors }) => failed(errors))) throw new RetryLater(NOT_ALL, 5000)
    const records = answers?.flatMap(({ results }) => results).map((raw) => CrmRecord.safeParse(raw).data) ?? []
    // Refused, or told of no record: the property may be gone, or not unique any more, and then absence proves nothing.
    const told = answers && (records.length === 0 || records.some((one) => one && TASK_KEY in one.properties))
    if (!told && !again) {
      current = null
      return find(keys, signal, true)
    }
    if (answers === null) throw new Fatal('schema', NO_KEY)
    const found = new Map<TaskKey, RemoteTask>()
    for (const record of records) {
      const key = String(record?.properties[TASK_KEY])
      const { deal, id } = keys.get(key) ?? {}
      if (record && deal !== undefined && (id ?? record.id) === record.id)
        found.set(key, toTask(record, deal, options.timezone))
    }
    return found
  }

  return {
    get can() {
      return {
        system: 'hubspot',
        taskKey,
        settleMs: options.settleMs ?? SETTLE_MS,
        readBatch: BATCH,
        // As many as keep the pace of the gate busy while each waits for its own answers.
        parallel: 4,
      } as const
    },
    check: (signal) =>
      check(api(signal), options, { scopes: () => scopesOf(options, signal), owners: () => everyone(signal) }),
    async *setup(signal) {
      yield* setUp(api(signal))
      current = null
    },
    removal: (signal) => {
      current = null
      return removal(api(signal))
    },
    reference: async (signal) => {
      current = null
      doubted.clear()
      return (await learned(signal)).reference
    },
    async *pull(since, now, signal) {
      const { portal } = await learned(signal)
      yield* pull({ api, portal, options, now }, since, signal)
    },
    census: (after, signal) => census(api, after, signal),
    read,
    find: (keys, signal) => find(keys, signal),
    write: (writes, signal) =>
      write(
        {
          hub: api(signal),
          options,
          fields: async () => (await learned(signal)).reference.fields,
          doubt(problem) {
            const fresh =
              JSON.stringify(problem)
                .match(OURS_NAMED)
                ?.filter((name) => !doubted.has(name)) ?? []
            if (fresh.length > 0) current = null
            for (const name of fresh) doubted.add(name)
          },
          find: async (keys) => (keys.size === 0 || taskKey === 'none' ? new Map() : find(keys, signal)),
        },
        writes,
        send,
      ),
    async close() {},
  }
}

/** Ids of the tasks that hang on these deals. */
async function tasksOf(hub: Hub, deals: readonly DealId[]): Promise<RemoteId[]> {
  const found = new Set<RemoteId>()
  let inputs: { id: string; after?: string }[] = deals.map((id) => ({ id }))
  while (inputs.length > 0) {
    const before = found.size
    const answers = await Promise.all(chunks(inputs, BATCH).map((some) => hub.tasksOfDeals(some)))
    if (answers.some(({ errors }) => failed(errors))) throw new RetryLater(NOT_ALL, 5000)
    const results = answers.flatMap((answer) => answer.results)
    for (const { toObjectId } of results.flatMap(({ to }) => to)) found.add(toObjectId)
    inputs = results.flatMap(({ from: { id }, paging }) => (paging?.next ? { id, after: paging.next.after } : []))
    if (inputs.length > 0 && found.size === before) throw new Fatal('data', 'HubSpot repeats a page of associations')
  }
  return [...found]
}
