// The HubSpot connector: the port over api.ts, map.ts, pull.ts, write.ts and setup.ts. It learns once what the portal is
// like (stages, our properties, whether task keys are unique) and goes by that until `reference` is called again.
import type { Connector, ConnectorOptions, RemoteTask } from '../../src/connector.ts'
import type { Deal, DealId, Owner, Reference, RemoteId, TaskKey } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { createApi, type Hub, pages } from './api.ts'
import { FORECAST_CATEGORY, TASK_KEY } from './fields.ts'
import { DEAL_PROPERTIES, type Portal, TASK_PROPERTIES, toPipeline, toTask } from './map.ts'
import { census, chunks, digest, pull } from './pull.ts'
import { check, propertiesOf, setUp, survey } from './setup.ts'
import { CrmRecord, names } from './wire.ts'
import { write } from './write.ts'

export { signIn, staticToken } from './auth.ts'
export { CANNOT_TELL } from './setup.ts'

export interface HubspotOptions extends ConnectorOptions {
  /** The policy's decision stages, for `check`. */
  readonly decisionStages?: readonly string[]
}

const BATCH = 100
/** A timed-out call may still commit a while after we stopped listening. */
const SETTLE_MS = 120_000

interface Learned {
  readonly reference: Reference
  readonly portal: Portal
  readonly unusable: Map<string, string>
}

/** A connection to one portal. */
export function connectHubspot(options: HubspotOptions): Connector {
  const api = createApi(options)
  let current: Promise<Learned> | null = null
  let taskKey: 'unique' | 'lookup' = 'lookup'

  async function learn(signal: AbortSignal): Promise<Learned> {
    const hub = api(signal)
    // Alone and first: a probe while calls are used up costs one.
    const account = await hub.account()
    const everyone = Promise.all([owners(false, signal), owners(true, signal)])
    const asked = [hub.pipelines(), propertiesOf(hub), everyone] as const
    const [{ results }, properties, people] = await Promise.all(asked)
    const pipelines = results.map(toPipeline)
    const stages = pipelines.flatMap(({ id, stages }) => stages.map((one) => ({ ...one, id: `${id}/${one.id}` })))
    const categories = properties.get(FORECAST_CATEGORY)?.options?.map((option) => option.value)
    taskKey = properties.get(TASK_KEY)?.hasUniqueValue ? 'unique' : 'lookup'
    const unusable = survey(properties).flatMap(({ spec: { name }, step: { action, detail } }) =>
      action === 'present' ? [] : [[name, `${name}: ${detail ?? 'it is missing: run unstall setup'}`] as const],
    )
    return {
      unusable: new Map(unusable),
      portal: {
        stages: new Map(stages.map(({ id, outcome }) => [id, outcome])),
        dealUrl: `https://${account.uiDomain ?? 'app.hubspot.com'}/contacts/${account.portalId ?? ''}/record/0-3/`,
        timezone: options.timezone,
      },
      reference: {
        pipelines,
        owners: people.flat(),
        omitted: categories?.includes('OMIT') ? 'OMIT' : null,
        closedCategory: categories?.includes('CLOSED') ? 'CLOSED' : null,
        currency: account.companyCurrency ?? null,
        // A token does not say which user or app it belongs to.
        self: null,
        ...(account.portalId && { account: account.portalId }),
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

  async function find(keys: ReadonlyMap<TaskKey, DealId>, signal: AbortSignal) {
    await learned(signal)
    const hub = api(signal)
    const unique = taskKey === 'unique'
    const ids = unique ? [...keys.keys()] : await tasksOf(hub, [...new Set(keys.values())])
    const what = { properties: TASK_PROPERTIES, ...(unique && { idProperty: TASK_KEY }) }
    const answers = await Promise.all(chunks(ids, BATCH).map((some) => hub.batchRead('tasks', some, what)))
    const found = new Map<TaskKey, RemoteTask>()
    for (const raw of answers.flatMap(({ results }) => results)) {
      const { data: record } = CrmRecord.safeParse(raw)
      const key = String(record?.properties[TASK_KEY])
      const deal = keys.get(key)
      if (record && deal !== undefined) found.set(key, toTask(record, deal, options.timezone))
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
        writeBatch: BATCH,
      } as const
    },
    check: (signal) => check(api(signal), options),
    async *setup(signal) {
      yield* setUp(api(signal))
      current = null
    },
    reference: async (signal) => {
      current = null
      return (await learned(signal)).reference
    },
    async *pull(since, now, signal) {
      const { portal } = await learned(signal)
      yield* pull({ api, portal, options, now }, since, signal)
    },
    census: (signal) => census(api, signal),
    read,
    find,
    write(writes, signal) {
      const learn = async () => {
        const { unusable } = await learned(signal)
        const lookUp = (keys: ReadonlyMap<TaskKey, DealId>) => find(keys, signal)
        return { hub: api(signal), options, unusable, find: lookUp }
      }
      return write(learn, writes, options.timezone)
    },
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
    const results = answers.flatMap((answer) => answer.results)
    for (const { toObjectId } of results.flatMap(({ to }) => to)) found.add(toObjectId)
    inputs = results.flatMap(({ from: { id }, paging }) => (paging?.next ? { id, after: paging.next.after } : []))
    if (inputs.length > 0 && found.size === before) throw new Fatal('data', 'HubSpot repeats a page of associations')
  }
  return [...found]
}
