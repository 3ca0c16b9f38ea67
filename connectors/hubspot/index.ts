// The HubSpot connector: the port over api.ts, map.ts, pull.ts, write.ts and setup.ts. It learns once what the portal is
// like (stages, our properties, whether task keys are unique) and goes by that until `reference` is called again.
import type { Connector, ConnectorOptions, RemoteTask } from '../../src/connector.ts'
import type { Deal, DealId, Outcome, Owner, Pipeline, Reference, RemoteId, TaskKey } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { createApi, Refusal, scoped } from './api.ts'
import { conflict, DEAL_FIELDS, FORECAST_AMOUNT, FORECAST_CATEGORY, TASK_KEY } from './fields.ts'
import { DEAL_PROPERTIES, type Portal, TASK_PROPERTIES, toDeal, toTask, Unreadable } from './map.ts'
import { census, chunks, pull } from './pull.ts'
import { check, setUp } from './setup.ts'
import { type Batch, CrmRecord, type Property } from './wire.ts'
import { write } from './write.ts'

export { staticToken } from './auth.ts'
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
  readonly keys: 'unique' | 'plain' | 'missing'
  readonly unusable: Map<string, string>
}

/** A connection to one portal. */
export function connectHubspot(options: HubspotOptions): Connector {
  const api = createApi(options)
  let current: Promise<Learned> | null = null
  let taskKey: 'unique' | 'lookup' = 'lookup'

  async function learn(signal: AbortSignal): Promise<Learned> {
    const [account, pipelines, active, left, properties, key] = await Promise.all([
      api.account(signal),
      api.pipelines(signal),
      owners(false, signal),
      owners(true, signal),
      api.properties('deals', signal),
      api.property('tasks', TASK_KEY, signal),
    ])
    const stages = new Map<string, Outcome>()
    const neutral = pipelines.map((pipeline): Pipeline => {
      const ordered = pipeline.stages.toSorted((a, b) => a.displayOrder - b.displayOrder)
      return {
        id: pipeline.id,
        label: pipeline.label,
        stages: ordered.map(({ id, label, metadata }, order) => {
          const outcome = outcomeOf(metadata?.probability)
          stages.set(`${pipeline.id}/${id}`, outcome)
          return { id, label, order, outcome, category: null }
        }),
      }
    })
    const found = new Map(properties.map((property) => [property.name, property]))
    const categories = new Set(found.get(FORECAST_CATEGORY)?.options?.map((option) => option.value))
    const keys = key === null ? 'missing' : key.hasUniqueValue ? 'unique' : 'plain'
    taskKey = keys === 'unique' ? 'unique' : 'lookup'
    return {
      keys,
      unusable: unusable(found, key),
      portal: {
        stages,
        dealUrl: `https://${account.uiDomain ?? 'app.hubspot.com'}/contacts/${account.portalId ?? ''}/record/0-3/`,
        timezone: options.timezone,
      },
      reference: {
        pipelines: neutral,
        owners: [...active, ...left],
        omitted: categories.has('OMIT') ? 'OMIT' : null,
        closedCategory: categories.has('CLOSED') ? 'CLOSED' : null,
        currency: account.companyCurrency ?? null,
        // A token does not say which user or app it belongs to.
        self: null,
        tells: { participants: false, personFromAutomation: true, history: true, replies: true, calls: false },
      },
    }
  }

  /** Owners who left keep their deals; queues own deals too. */
  async function owners(archived: boolean, signal: AbortSignal): Promise<Owner[]> {
    const all = new Map<string, Owner>()
    const seen = new Set<string>()
    for (let after: string | null = null; ; ) {
      const { results, paging } = await api.owners(archived, after, signal)
      for (const { id, email, firstName, lastName, teams } of results) {
        const name = [firstName, lastName].filter(Boolean).join(' ') || (email ?? id)
        const team = (teams?.find((one) => one.primary) ?? teams?.[0])?.name ?? null
        all.set(id, { id, email: email ?? null, name, active: !archived, team })
      }
      after = paging?.next?.after ?? null
      if (after === null) return [...all.values()]
      if (seen.has(after)) throw new Fatal('data', 'HubSpot repeats a page of its owners: it would never end')
      seen.add(after)
    }
  }

  function learned(signal: AbortSignal, anew = false): Promise<Learned> {
    if (current === null || anew) {
      const learning = scoped(signal, learn)
      current = learning
      learning.catch(() => {
        if (current === learning) current = null
      })
    }
    return current
  }

  async function read(ids: readonly DealId[], signal: AbortSignal) {
    const { portal } = await learned(signal)
    const found = new Map<DealId, Deal | 'gone' | 'unreadable'>()
    await Promise.all(
      chunks(ids, BATCH).map(async (some) => {
        const body = { inputs: some.map((id) => ({ id })), properties: DEAL_PROPERTIES, propertiesWithHistory: [] }
        const answer = await api.batchRead('deals', body, signal)
        for (const record of records(answer)) found.set(record.id, readable(record, portal))
        for (const id of notFound(answer)) found.set(id, 'gone')
        // Left out without a word: asked for alone. Another id in the answer: merged into that deal.
        for (const id of some.filter((one) => !found.has(one))) {
          const alone = await api.deal(id, signal)
          found.set(id, alone === null || alone.id !== id ? 'gone' : 'unreadable')
        }
      }),
    )
    return new Map(ids.map((id) => [id, found.get(id) ?? 'unreadable']))
  }

  async function find(keys: ReadonlyMap<TaskKey, DealId>, signal: AbortSignal) {
    const known = await learned(signal)
    const found = new Map<TaskKey, RemoteTask>()
    if (keys.size === 0 || known.keys === 'missing') return found
    const unique = known.keys === 'unique'
    const deals = unique ? new Map<RemoteId, DealId>() : await tasksOf([...new Set(keys.values())], signal)
    await Promise.all(
      chunks([...(unique ? keys.keys() : deals.keys())], BATCH).map(async (some) => {
        const inputs = some.map((id) => ({ id }))
        const body = { inputs, properties: TASK_PROPERTIES, propertiesWithHistory: [] }
        const answer = await api.batchRead('tasks', unique ? { ...body, idProperty: TASK_KEY } : body, signal)
        for (const record of records(answer)) {
          const key = String(record.properties[TASK_KEY] ?? '')
          const deal = keys.get(key)
          if (deal !== undefined && !found.has(key)) found.set(key, toTask(record, deal, options.timezone))
        }
      }),
    )
    return found
  }

  /** Task ids with the deal each hangs on. */
  async function tasksOf(deals: readonly DealId[], signal: AbortSignal): Promise<Map<RemoteId, DealId>> {
    const found = new Map<RemoteId, DealId>()
    let inputs: { id: string; after?: string }[] = deals.map((id) => ({ id }))
    while (inputs.length > 0) {
      const answers = await Promise.all(chunks(inputs, BATCH).map((some) => api.tasksOfDeals(some, signal)))
      const before = found.size
      inputs = answers.flat().flatMap(({ from, to, paging }) => {
        for (const { toObjectId } of to) found.set(toObjectId, from.id)
        return paging?.next ? [{ id: from.id, after: paging.next.after }] : []
      })
      if (inputs.length > 0 && found.size === before) throw new Fatal('data', 'HubSpot repeats a page of associations')
    }
    return found
  }

  return {
    get can() {
      return { system: 'hubspot', taskKey, settleMs: SETTLE_MS, readBatch: BATCH, writeBatch: BATCH } as const
    },
    check: (signal) => guard(check(api, options, signal)),
    async *setup(signal) {
      yield* guardEach(setUp(api, signal))
      current = null
    },
    reference: async (signal) => (await guard(learned(signal, true))).reference,
    async *pull(since, now, signal) {
      const { portal } = await guard(learned(signal))
      yield* guardEach(pull({ api, portal, options, now }, since, signal))
    },
    census: (signal) => guardEach(census(api, signal)),
    read: (ids, signal) => guard(scoped(signal, (inner) => read(ids, inner))),
    find: (keys, signal) => guard(scoped(signal, (inner) => find(keys, inner))),
    async *write(writes, signal) {
      if (writes.length === 0) return
      let known: Learned
      try {
        known = await guard(learned(signal))
      } catch (error) {
        const message = error instanceof Error ? error.message : 'HubSpot could not be reached'
        if (!signal.aborted) for (const { key } of writes) yield { key, result: 'later', message }
        throw error
      }
      const deals = new Map(writes.flatMap((one) => (one.kind === 'create-task' ? [[one.taskKey, one.deal]] : [])))
      const tasksByKey = async (keys: readonly TaskKey[]) => {
        const tasks = await find(new Map(keys.map((key) => [key, deals.get(key) ?? ''])), signal)
        return new Map([...tasks].map(([key, task]) => [key, task.id]))
      }
      const lookUp = known.keys === 'unique' ? tasksByKey : null
      yield* guardEach(write({ api, options, unusable: known.unusable, find: lookUp }, writes, signal))
    },
    async close() {},
  }
}

/** Open, won or lost by the stage's probability (text from "0.0" to "1.0"), never by its id. */
function outcomeOf(probability: unknown): Outcome {
  const value = Number(probability ?? Number.NaN)
  return value >= 1 ? 'won' : value <= 0 ? 'lost' : 'open'
}

/** Our properties that cannot be written, with what to tell the person. */
function unusable(deals: ReadonlyMap<string, Property>, task: Property | null): Map<string, string> {
  const wrong = new Map<string, string>()
  for (const spec of DEAL_FIELDS) {
    const found = deals.get(spec.name)
    const why = found ? conflict(spec, found) : 'it is missing: run unstall setup'
    if (why !== null && spec.name !== FORECAST_AMOUNT) wrong.set(spec.name, `${spec.name} cannot be written: ${why}`)
  }
  if (task === null) wrong.set(TASK_KEY, `${TASK_KEY} cannot be written: it is missing: run unstall setup`)
  return wrong
}

function records(answer: Batch): CrmRecord[] {
  return (answer.results ?? []).flatMap((raw) => CrmRecord.safeParse(raw).data ?? [])
}

/** Ids of which HubSpot says that they are not there. */
function notFound(answer: Batch): string[] {
  return (answer.errors ?? []).flatMap(({ category, context }) =>
    category === 'OBJECT_NOT_FOUND' ? [context?.ids ?? []].flat().map(String) : [],
  )
}

function readable(record: CrmRecord, portal: Portal): Deal | 'unreadable' {
  try {
    return toDeal(record, portal)
  } catch (error) {
    if (error instanceof Unreadable) return 'unreadable'
    throw error
  }
}

/** A call that HubSpot refuses where no record is at fault is for a person. */
function asFatal(error: unknown): unknown {
  if (!(error instanceof Refusal)) return error
  return new Fatal('data', `HubSpot refused the call (${error.status}): ${error.message}`)
}
async function guard<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw asFatal(error)
  }
}
async function* guardEach<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* source
  } catch (error) {
    throw asFatal(error)
  }
}
