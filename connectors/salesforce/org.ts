// What one org is like, learned once from what `describe` shows its user, and queries that ask only for that: a hidden
// field costs its own meaning and nothing else.
import type { Reference } from '../../src/core/deal.ts'
import { Fatal } from '../../src/errors.ts'
import { type Api, Drift, gather } from './api.ts'
import { remembered, type SalesforceOptions } from './auth.ts'
import { fieldsIn } from './fields.ts'
import { categoryNamed, type Lens, toOwner, toPipelines } from './map.ts'
import { type Described, Email, Event, History, Opportunity, type Row, Stage, sort, Task, User } from './wire.ts'

/** Fields of each object that are read, where the org shows them. */
const WANTED = {
  Opportunity: Object.keys(Opportunity.shape),
  OpportunityHistory: Object.keys(History.shape),
  Event: Object.keys(Event.shape),
  Task: Object.keys(Task.shape).filter((name) => !['Subject', 'Description'].includes(name)),
  EmailMessage: Object.keys(Email.shape),
}
export type SObject = keyof typeof WANTED

export interface Known {
  readonly reference: Reference
  readonly lens: Lens
  readonly described: ReadonlyMap<SObject, Described>
  /** The org's own words for an open and a completed task. */
  readonly taskStatus: { readonly open: unknown; readonly closed: unknown } | null
}
export type Org = ReturnType<typeof createOrg>

export function createOrg(api: Api, { credential, timezone, warn }: SalesforceOptions) {
  async function learn(signal: AbortSignal): Promise<Known> {
    const { instanceUrl, user: self, org } = await credential.session(signal)
    const objects: SObject[] = ['Opportunity', 'OpportunityHistory', 'Event', 'Task', 'EmailMessage']
    const tables = [
      `SELECT ${Object.keys(Stage.shape).join(', ')} FROM OpportunityStage`,
      'SELECT Id, Name, Email, IsActive, UserType, UserRole.Name, Manager.Name FROM User',
      'SELECT ApiName, IsClosed, IsDefault FROM TaskStatus ORDER BY SortOrder',
      // Not in every org: then the company currency stays unknown.
      'SELECT DefaultCurrencyIsoCode FROM Organization',
    ]
    const seen = await api.outline(objects, tables, signal)
    const [stageRows = [], userRows = [], statuses = [], company = []] = seen.tables
    for (const rows of [stageRows, userRows]) if (rows instanceof Drift) throw rows
    const there = <T>(what: T | Drift | undefined) => (what instanceof Drift ? undefined : what)
    const shown = new Map(
      objects.flatMap((name, at) => {
        const one = there(seen.objects[at])
        return one ? [[name, one] as const] : []
      }),
    )
    const opportunity = shown.get('Opportunity')
    const task = shown.get('Task')
    // Without tasks `find` would take every task of ours for missing.
    if (!opportunity || !task)
      throw new Fatal(
        'permission',
        'our Salesforce user may not see Opportunities and Tasks: grant Read and Edit on them',
      )
    const stages = sort(Stage, there(stageRows) ?? [], 'ApiName')
    const users = sort(User, there(userRows) ?? [], 'Id')
    for (const { deal: id, problem } of [...stages.bad, ...users.bad])
      warn?.('a stage or user of Salesforce could not be read', { id, problem })
    const { pipelines, recordTypes } = toPipelines(stages.good, opportunity)
    const iso = there(company)?.[0]?.DefaultCurrencyIsoCode
    const currency = typeof iso === 'string' ? iso : null
    const byId = new Map(users.good.map((user) => [user.Id, user]))
    const usual = (there(statuses) ?? []).toSorted((a, b) => Number(b.IsDefault) - Number(a.IsDefault))
    const [open, closed] = [false, true].map((is) => usual.find(({ IsClosed }) => IsClosed === is)?.ApiName)
    return {
      described: shown,
      taskStatus: open && closed ? { open, closed } : null,
      lens: { instanceUrl, self, timezone, users: byId, recordTypes, currency },
      reference: {
        pipelines,
        owners: users.good.map(toOwner),
        omitted: categoryNamed('Omitted', stages.good, opportunity),
        closedCategory: categoryNamed('Closed', stages.good, opportunity),
        currency,
        self,
        ...(org && { account: org }),
        fields: fieldsIn(opportunity, task),
        tells: {
          participants: true,
          personFromAutomation: false,
          history: shown.has('OpportunityHistory'),
          replies: shown.has('EmailMessage'),
          calls: true,
        },
      },
    }
  }
  const { get, forget } = remembered(learn)

  /** Runs `work`; where the org has changed under it, learns the org anew and runs it once more. */
  async function* adapting<T>(signal: AbortSignal, work: (known: Known) => AsyncIterable<T>): AsyncGenerator<T> {
    for (let again = false; ; again = true) {
      try {
        return yield* work(await get(signal))
      } catch (error) {
        if (!(error instanceof Drift)) throw error
        if (again) throw new Fatal('schema', `Salesforce lacks something unstall needs: ${error.message}`)
        forget()
      }
    }
  }

  /** Those of the wanted fields that this org shows to our user, without those of ours that are something else. */
  const fields = ({ described, reference }: Known, object: SObject) => {
    const there = new Set(described.get(object)?.fields.map(({ name }) => name))
    for (const { name, readable } of Object.values(reference.fields ?? {})) if (!readable) there.delete(name)
    return WANTED[object].filter((name) => there.has(name))
  }

  return {
    get,
    forget,
    /** `SELECT <what this org shows> FROM object …`, in pages; no pages where the org lacks the object. */
    select(object: SObject, tail: string, signal: AbortSignal, { all = false, only = '' } = {}) {
      return adapting(signal, async function* (known) {
        const select = only || fields(known, object).join(', ')
        if (known.described.has(object)) yield* api.query(`SELECT ${select} FROM ${object} ${tail}`, signal, all)
      })
    },
    /** Live deals, or records of another object with only these fields, by id, at most 2,000. */
    async retrieve(
      ids: string[],
      signal: AbortSignal,
      object: SObject = 'Opportunity',
      only?: string[],
    ): Promise<Row[]> {
      const found = adapting(signal, async function* (known) {
        yield await api.retrieve(object, ids, only ?? fields(known, object), signal)
      })
      return (await gather(found)).flat().filter((row) => row !== null)
    },
  }
}
