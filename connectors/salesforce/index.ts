// The Salesforce connector: the port over api.ts, map.ts and pull.ts. It learns the shape of the org once (what
// `describe` shows its user) and asks only for that, so a hidden field costs its own meaning and nothing else.
import type { Connector, ConnectorOptions, RemoteTask, Write, WriteOutcome } from '../../src/connector.ts'
import type { Deal, DealId, Reference } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { createApi, Drift, READ_BATCH } from './api.ts'
import type { SalesforceCredential } from './auth.ts'
import { TASK_KEY } from './fields.ts'
import { categoryNamed, type Lens, toOwner, toPipelines } from './map.ts'
import { among, chunks, createPull, IN_CHUNK, type Select, sort, WANTED } from './pull.ts'
import { findings, setUp, survey } from './setup.ts'
import { type Described, Stage, Task, User } from './wire.ts'
import { createWriter } from './write.ts'

export { clientCredentials, type SalesforceCredential } from './auth.ts'

type SObject = keyof typeof WANTED
/** Keys of up to 80 characters per query: see IN_CHUNK. */
const KEY_CHUNK = 150
const OBJECTS = ['Opportunity', 'OpportunityHistory', 'Event', 'Task', 'EmailMessage'] as const satisfies SObject[]

/** What the org is like. Read anew by `reference`, after `setup`, and when a query names what is no longer there. */
interface Org {
  readonly reference: Reference
  readonly lens: Lens
  readonly described: Map<SObject, Described>
}

/** A connection to one org. `baseUrl` is not used: the credential says which host its token is for. */
export function connectSalesforce(
  options: Omit<ConnectorOptions, 'credential' | 'baseUrl'> & { readonly credential: SalesforceCredential },
): Connector {
  const { credential, gate, sleep, timezone, timeoutMs = 30_000 } = options
  const api = createApi({ credential, gate, sleep, timeoutMs })
  let current: Promise<Org> | null = null

  async function table(soql: string, signal: AbortSignal) {
    const rows: Record<string, unknown>[] = []
    for await (const page of api.query(soql, signal)) rows.push(...page.records)
    return rows
  }

  async function learn(signal: AbortSignal): Promise<Org> {
    const session = await credential.session(signal)
    const optional = (error: unknown) => {
      if (error instanceof Drift) return null
      throw error
    }
    const [descriptions, stageRows, userRows, company] = await Promise.all([
      Promise.all(OBJECTS.map(async (name) => [name, await api.describe(name, signal).catch(optional)] as const)),
      table(
        'SELECT ApiName, MasterLabel, IsActive, IsClosed, IsWon, ForecastCategory, ForecastCategoryName, SortOrder FROM OpportunityStage',
        signal,
      ),
      table('SELECT Id, Name, Email, IsActive, UserType, UserRole.Name, Manager.Name FROM User', signal),
      // Not in every org: then the company currency stays unknown.
      table('SELECT DefaultCurrencyIsoCode FROM Organization', signal).catch(optional),
    ])
    const described = new Map(descriptions.flatMap(([name, one]) => (one ? [[name, one] as const] : [])))
    const opportunity = described.get('Opportunity')
    if (!opportunity)
      throw new Fatal(
        'permission',
        'our Salesforce user may not see Opportunities: grant Read and Edit on them in a permission set',
      )
    const stages = sort(Stage, stageRows, 'ApiName')
    const users = sort(User, userRows, 'Id')
    for (const { deal, problem } of [...stages.bad, ...users.bad])
      options.warn?.('a stage or user of Salesforce could not be read', { id: deal, problem })
    const { pipelines, recordTypes } = toPipelines(stages.good, opportunity)
    const iso = company?.[0]?.DefaultCurrencyIsoCode
    const currency = typeof iso === 'string' ? iso : null
    return {
      described,
      lens: {
        instanceUrl: session.instanceUrl,
        self: session.user,
        timezone,
        users: new Map(users.good.map((user) => [user.Id, user])),
        recordTypes,
        currency,
      },
      reference: {
        pipelines,
        owners: users.good.map(toOwner),
        omitted: categoryNamed('Omitted', stages.good, opportunity),
        closedCategory: categoryNamed('Closed', stages.good, opportunity),
        currency,
        self: session.user,
        tells: {
          participants: true,
          personFromAutomation: false,
          history: described.has('OpportunityHistory'),
          replies: described.has('EmailMessage'),
          calls: true,
        },
      },
    }
  }

  function org(signal: AbortSignal, anew = false): Promise<Org> {
    if (current && !anew) return current
    const fresh = learn(signal)
    current = fresh
    fresh.catch(() => {
      if (current === fresh) current = null
    })
    return fresh
  }

  /** Those of the wanted fields that this org shows to our user. */
  const shown = (known: Org, object: SObject) => {
    const there = new Set(known.described.get(object)?.fields.map(({ name }) => name))
    return WANTED[object].filter((name) => there.has(name))
  }

  /** Runs `work`; where the org has changed under it, learns the org anew and runs it once more. */
  async function adapting<T>(signal: AbortSignal, work: (known: Org) => Promise<T>): Promise<T> {
    try {
      return await work(await org(signal))
    } catch (error) {
      if (!(error instanceof Drift)) throw error
      return await work(await org(signal, true)).catch(drifted)
    }
  }
  const drifted = (error: unknown): never => {
    if (!(error instanceof Drift)) throw error
    throw new Fatal(
      'schema',
      `Salesforce lacks something unstall needs: ${error.message}. \`unstall setup\` restores its fields`,
    )
  }

  const select: Select = async function* (object, tail, signal, { all = false, only } = {}) {
    const open = (known: Org) => {
      const fields = only ? [only] : shown(known, object)
      return known.described.has(object)
        ? api.query(`SELECT ${fields.join(', ')} FROM ${object} ${tail}`, signal, all)
        : null
    }
    const started = await adapting(signal, async (known) => {
      const pages = open(known)
      return { pages, first: await pages?.next() }
    })
    if (!started.pages || !started.first || started.first.done) return
    yield started.first.value
    yield* started.pages
  }

  const writer = createWriter(api, {
    /** Editable fields of an object, read anew on demand. */
    editable: async (object, signal, anew) => {
      const { described } = await org(signal)
      if (anew) described.set(object, await api.describe(object, signal))
      return new Set(described.get(object)?.fields.flatMap(({ name, updateable }) => (updateable ? [name] : [])))
    },
    priority: async (signal) => {
      const field = (await org(signal)).described.get('Task')?.fields.find(({ name }) => name === 'Priority')
      const values = field?.picklistValues?.filter(({ active }) => active) ?? []
      return (
        (values.find(({ defaultValue }) => defaultValue) ?? values.find(({ value }) => value === 'Normal'))?.value ??
        null
      )
    },
    table,
  })

  const readingOf = async (signal: AbortSignal) => createPull(select, (await org(signal)).lens)

  async function read(ids: readonly DealId[], signal: AbortSignal) {
    const result = new Map<DealId, Deal | 'gone' | 'unreadable'>(ids.map((id) => [id, 'unreadable']))
    const valid = ids.filter((id) => /^006[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?$/.test(id))
    if (valid.length === 0) return result
    const reading = await readingOf(signal)
    const booked = await reading.meetings(valid, api.now() ?? options.clock(), signal)
    for (const some of chunks(valid, READ_BATCH)) {
      const records = await adapting(signal, async (known) =>
        api.retrieve('Opportunity', some, shown(known, 'Opportunity'), signal),
      )
      const found = records.flatMap((record) => (record ? [record] : []))
      for (const deal of reading.page(found, booked).deals) result.set(deal.id, deal)
      const missing = some.filter((_, at) => !records[at])
      for (const part of chunks(missing, IN_CHUNK)) {
        const tail = `WHERE IsDeleted = true AND Id IN ${among(part)}`
        for await (const page of select('Opportunity', tail, signal, { all: true, only: 'Id' }))
          for (const row of page.records) result.set(String(row.Id), 'gone')
      }
    }
    return result
  }

  async function find(keys: ReadonlyMap<string, DealId>, signal: AbortSignal) {
    const found = new Map<string, RemoteTask>()
    const fields = ['Id', 'WhatId', 'OwnerId', 'Subject', 'Description', 'ActivityDate', 'IsClosed', TASK_KEY]
    const quoted = [...keys.keys()].map((key) => key.replace(/[\\']/g, '\\$&'))
    for (const some of chunks(quoted, KEY_CHUNK)) {
      const soql = `SELECT ${fields.join(', ')} FROM Task WHERE ${TASK_KEY} IN ${among(some)} ORDER BY CreatedDate, Id`
      const rows = await table(soql, signal).catch(drifted)
      for (const row of sort(Task, rows, 'Id').good) {
        const key = row.Unstall_Key__c
        // The oldest counts, should there ever be two. Salesforce compares text without case; we do not.
        if (!key || !keys.has(key) || found.has(key)) continue
        found.set(key, {
          id: row.Id,
          key,
          deal: row.WhatId ?? null,
          open: !row.IsClosed,
          owner: row.OwnerId ?? null,
          subject: row.Subject ?? '',
          body: row.Description ?? '',
          due: row.ActivityDate ?? null,
        })
      }
    }
    return found
  }

  return {
    // A request runs ten minutes at most on Salesforce's side: after that a lost write will not commit any more.
    can: { system: 'salesforce', taskKey: 'lookup', settleMs: 600_000, readBatch: READ_BATCH, writeBatch: 200 },
    async check(signal) {
      const { reference, lens } = await org(signal, true)
      const found = await survey(api, lens.self, signal)
      const steps = found.steps.map(({ field: _, ...step }) => step)
      return { findings: await findings(api, found, reference, new URL(lens.instanceUrl).host, signal), steps }
    },
    async *setup(signal) {
      yield* setUp(api, (await credential.session(signal)).user, signal)
      current = null
    },
    reference: async (signal) => (await org(signal, true)).reference,
    async *pull(since, now, signal) {
      yield* (await readingOf(signal)).pull(since, now, signal)
    },
    async *census(signal) {
      for await (const page of select('Opportunity', 'ORDER BY Id', signal, { only: 'Id' }))
        yield page.records.map((row) => String(row.Id))
    },
    read,
    find,
    write: (writes: readonly Write[], signal: AbortSignal): AsyncIterable<WriteOutcome> => writer(writes, signal),
    async close() {},
  }
}
