// Everyone but the API client: how the seed's history came about, and the acts of POST /__sandbox/act. Salesforce cannot
// tell a flow from the person whose save ran it, so a workflow acts in the owner's name.
import type { Act } from '../control.ts'
import { Refused, WrongAct } from '../kernel.ts'
import type { By, Seed, SeedDeal, SeedEvent } from '../seed.ts'
import type { Org, Saver } from './org.ts'
import { day, FORECAST_CATEGORIES, longId, type Row, stamp } from './schema.ts'

const CATEGORIES = {
  omitted: 'Omitted',
  pipeline: 'Pipeline',
  best_case: 'Best Case',
  commit: 'Commit',
  closed: 'Closed',
}
const CALLS = {
  connected: { CallType: 'Outbound', CallDisposition: 'Connected', CallDurationInSeconds: 540 },
  incoming: { CallType: 'Inbound', CallDisposition: 'Connected', CallDurationInSeconds: 300 },
  'no-answer': { CallType: 'Outbound', CallDisposition: 'No answer', CallDurationInSeconds: 0 },
}
const HALF_HOUR = 30 * 60_000

export class People {
  readonly #org: Org
  /** Users by e-mail; role, account, contact and pipeline by that word and their name. */
  readonly #ids = new Map<string, string>()
  /** Seed stage ids and labels to StageName. */
  readonly #stages = new Map<string, string>()
  readonly #labels = new Set<string>()

  constructor(org: Org, seed: Seed) {
    this.#org = org
    this.#furnish(seed)
    for (const deal of seed.deals) this.#deal(deal, seed)
  }

  #furnish(seed: Seed): void {
    const org = this.#org
    const start = Math.min(seed.now, ...seed.deals.map((deal) => deal.createdAt)) - 86_400_000
    const put = (object: string, values: Row) =>
      org.put(object, values, { user: '', at: start, stamp: start, api: false })
    const developerName = (name: string) => name.replace(/\W+/g, '_')
    const profile = put('Profile', { Name: 'API Only Integrations', PermissionsModifyMetadata: true })
    const kind = { OrganizationType: 'Enterprise Edition', InstanceName: 'SBX1', IsSandbox: true }
    const locale = { TimeZoneSidKey: 'GMT', LanguageLocaleKey: 'en_US', FiscalYearStartMonth: 1 }
    put('Organization', { Name: 'Sandbox', ...kind, ...locale, DefaultCurrencyIsoCode: seed.currency })
    const user = (Email: string, FirstName: string, LastName: string, more: Row = {}) => {
      const named = { Username: `${Email}.sandbox`, Email, FirstName, LastName, Name: `${FirstName} ${LastName}` }
      const usual = { IsActive: true, UserType: 'Standard', ProfileId: profile, TimeZoneSidKey: 'GMT' }
      const id = put('User', { ...named, ...usual, ...more })
      this.#ids.set(Email, id)
      return id
    }
    user('admin@sandbox.invalid', 'Alex', 'Admin')
    user('import@sandbox.invalid', 'Data', 'Import')
    user('integration@sandbox.invalid', 'Marketing', 'Integration')
    org.apiUser = user('unstall@sandbox.invalid', 'Unstall', 'Integration')
    for (const { email, firstName, lastName, team, active } of seed.owners) {
      const role = this.#once(`role ${team}`, () => put('UserRole', { Name: team, DeveloperName: developerName(team) }))
      user(email, firstName, lastName, { IsActive: active, Department: team, UserRoleId: role })
    }
    for (const { email, managerEmail } of seed.owners) {
      const row = org.find(this.#ids.get(email) ?? '')?.row
      if (row) row.ManagerId = this.#ids.get(managerEmail ?? '') ?? null
    }

    const deal = org.table('Opportunity').fields
    for (const { id, label, probability, category } of seed.pipelines.flatMap((pipeline) => pipeline.stages)) {
      this.#stages.set(id, label)
      if (this.#labels.has(label)) continue
      this.#labels.add(label)
      const name = CATEGORIES[category]
      const mapped = { ForecastCategory: FORECAST_CATEGORIES.get(name) ?? null, ForecastCategoryName: name }
      const ends = { IsClosed: probability === 1 || probability === 0, IsWon: probability === 1 }
      const listed = { ApiName: label, MasterLabel: label, IsActive: true, SortOrder: this.#labels.size }
      put('OpportunityStage', { ...listed, ...ends, ...mapped, DefaultProbability: Math.round(probability * 100) })
    }
    for (const label of this.#labels) this.#stages.set(label, label)
    const field = deal.get('stagename')
    if (field) deal.set('stagename', { ...field, values: [...this.#labels] })
    for (const [i, name] of (org.table('Task').fields.get('status')?.values ?? []).entries()) {
      const means = { IsClosed: name === 'Completed', IsDefault: i === 0, SortOrder: i + 1 }
      put('TaskStatus', { ApiName: name, MasterLabel: name, ...means })
    }
    // An org with one sales process has no record types, and then no field RecordTypeId.
    if (seed.pipelines.length < 2) deal.delete('recordtypeid')
    for (const { id, label } of seed.pipelines) {
      const type = { Name: label, DeveloperName: developerName(id), SobjectType: 'Opportunity', IsActive: true }
      if (seed.pipelines.length > 1) this.#ids.set(`pipeline ${id}`, put('RecordType', type))
    }
  }
  /** The id under this name, made on first use. */
  #once(name: string, make: () => string): string {
    const id = this.#ids.get(name) ?? make()
    this.#ids.set(name, id)
    return id
  }

  #deal(deal: SeedDeal, seed: Seed): void {
    const org = this.#org
    const owner = this.#ids.get(deal.ownerEmail)
    const recordType = this.#ids.get(`pipeline ${deal.pipeline}`)
    const { account } = deal
    const creator = this.#saver(deal.createdBy ?? 'person', owner ?? null, deal.createdAt)
    const row: Row = {
      // A name holds 120 characters, those of a hostile seed too.
      Name: deal.name.slice(0, 120).toWellFormed(),
      Amount: deal.amount,
      CloseDate: deal.closeDate,
      StageName: this.#stage(deal.stage),
      Type: deal.type,
      ...(deal.category ? { ForecastCategoryName: CATEGORIES[deal.category] } : {}),
      ...(recordType ? { RecordTypeId: recordType } : {}),
      ...(account
        ? { AccountId: this.#once(`account ${account}`, () => org.put('Account', { Name: account }, creator)) }
        : {}),
    }
    const made = org.save(org.table('Opportunity'), null, { ...row, OwnerId: org.apiUser }, creator)
    if (!('id' in made)) throw new Error(`seed deal ${deal.name}: ${made.message}`)
    // A rep who has left still owns what they owned: only new owners must be active.
    Object.assign(org.find(made.id)?.row ?? {}, { OwnerId: owner ?? null })
    for (const event of deal.events) this.#happen(made.id, event, Math.min(event.at, seed.now))
  }
  #stage(text: string): string {
    const stage = this.#stages.get(text)
    if (stage === undefined) throw new WrongAct(`unknown stage ${text}; there are ${[...this.#labels].join(', ')}`)
    return stage
  }
  /** Owners who have left do nothing more: the admin does. */
  #saver(by: By, owner: string | null, at: number, now = at): Saver {
    const active = owner !== null && this.#org.find(owner)?.row.IsActive === true
    const robot = by === 'import' || by === 'integration' ? this.#ids.get(`${by}@sandbox.invalid`) : undefined
    const user = robot ?? (active ? owner : this.#ids.get('admin@sandbox.invalid'))
    return { user: user ?? '', at, stamp: now, api: false }
  }
  #save(object: string, id: string | null, row: Row, saver: Saver): string {
    const result = this.#org.save(this.#org.table(object), id, row, saver)
    if ('id' in result) return result.id
    throw new WrongAct(`${result.statusCode}: ${result.message}`)
  }

  #happen(deal: string, event: SeedEvent, now: number): string {
    const owner = String(this.#org.find(deal)?.row.OwnerId)
    const at = event.kind === 'meeting' ? Math.min(event.at, now) : event.at
    const saver = this.#saver('by' in event ? event.by : 'person', owner, at, now)
    const done = (Subject: string, more: Row = {}) => {
      const row = { WhatId: deal, OwnerId: saver.user, Subject, Status: 'Completed', ActivityDate: day(event.at) }
      return this.#save('Task', null, { ...row, ...more }, saver)
    }
    switch (event.kind) {
      case 'stage':
        return this.#save('Opportunity', deal, { StageName: this.#stage(event.to) }, saver)
      case 'amount':
        return this.#save('Opportunity', deal, { Amount: event.to }, saver)
      case 'close-date':
        return this.#save('Opportunity', deal, { CloseDate: event.to }, saver)
      case 'note':
        return done('Note')
      case 'call':
        return done('Call', { TaskSubtype: 'Call', WhoId: this.#contact(deal, saver), ...CALLS[event.outcome] })
      case 'reply': {
        const task = done('Email: Re: our proposal', { TaskSubtype: 'Email', WhoId: this.#contact(deal, saver) })
        if (!this.#org.type('EmailMessage')) return task
        const people = { FromAddress: 'buyer@customer.invalid', ToAddress: String(this.#org.find(owner)?.row.Email) }
        const mail = { Subject: 'Re: our proposal', Incoming: true, Status: '1', MessageDate: stamp(event.at) }
        return this.#org.put('EmailMessage', { ActivityId: task, RelatedToId: deal, ...people, ...mail }, saver)
      }
      case 'meeting':
        return this.#meeting(deal, event, saver, now)
    }
  }
  /** Not held in the past: cancelled, so its Event is deleted; the same again for a future time cancels what is booked. */
  #meeting(deal: string, event: Extract<SeedEvent, { kind: 'meeting' }>, saver: Saver, now: number): string {
    const start = stamp(event.at)
    const booked = this.#org.activitiesOf(deal).find((row) => row.StartDateTime === start && !row.IsDeleted)
    const WhoId = event.outside ? this.#contact(deal, saver) : null
    const times = { StartDateTime: start, ActivityDateTime: start, EndDateTime: stamp(event.at + HALF_HOUR) }
    const row = { WhatId: deal, OwnerId: saver.user, WhoId, Subject: 'Meeting', ...times, DurationInMinutes: 30 }
    const id = booked ? String(booked.Id) : this.#save('Event', null, row, saver)
    if (!event.held && (booked || event.at <= now)) this.#org.remove(this.#org.table('Event'), id, saver)
    return id
  }
  #contact(deal: string, saver: Saver): string {
    const account = this.#org.find(deal)?.row.AccountId ?? null
    const person = { LastName: 'Buyer', Name: 'Buyer', Email: 'buyer@customer.invalid' }
    return this.#once(`contact ${account ?? deal}`, () =>
      this.#org.put('Contact', { AccountId: account, ...person }, saver),
    )
  }

  /** Returns the id of the record concerned. `dropField` deletes a custom field. Throws WrongAct. */
  act(act: Act, now: number, dropField: (name: string) => boolean): string | null {
    if (act.act === 'revoke-token') return null
    if (act.act === 'drop-field') {
      if (!dropField(act.field)) throw new WrongAct(`no custom field ${act.field}`)
      return act.field
    }
    const at = act.at === undefined ? now : Date.parse(act.at)
    const found = this.#org.find(act.id)
    const wanted = act.act === 'complete-task' || act.act === 'delete-task' ? 'Task' : 'Opportunity'
    if (found?.type.name !== wanted || found.row.IsDeleted) throw new WrongAct(`no ${wanted} ${act.id}`)
    const id = longId(act.id)
    const saver = this.#saver(act.by, String(found.row.OwnerId), at, now)
    switch (act.act) {
      case 'move-stage':
        return this.#save('Opportunity', id, { StageName: this.#stage(act.to) }, saver)
      case 'set':
        return this.#save('Opportunity', id, this.#parsed(found.type, { [act.field]: act.value }, saver), saver)
      case 'buyer-reply':
        return this.#happen(id, { kind: 'reply', at }, now)
      case 'meeting':
        return this.#happen(id, { kind: 'meeting', at, held: act.held, outside: act.outside }, now)
      case 'call':
        return this.#happen(id, { kind: 'call', at, outcome: act.outcome }, now)
      case 'complete-task':
        return this.#save('Task', id, { Status: 'Completed' }, saver)
      case 'merge':
        if (!this.#org.table('Opportunity').rows.has(longId(act.into))) throw new WrongAct(`no Opportunity ${act.into}`)
        // Opportunities have no merge of their own: people move the activities over and delete the double.
        for (const { Id } of [...this.#org.activitiesOf(id)].filter((row) => !row.IsDeleted)) {
          const object = this.#org.find(Id ?? null)?.type.name ?? ''
          this.#save(object, String(Id), { WhatId: longId(act.into) }, saver)
        }
        this.#org.remove(found.type, id, saver)
        return longId(act.into)
      case 'delete-task':
      case 'delete':
        this.#org.remove(found.type, id, saver)
        return id
    }
  }
  #parsed(type: Parameters<Org['parse']>[0], body: Row, saver: Saver): Row {
    try {
      return this.#org.parse(type, body, saver)
    } catch (error) {
      if (error instanceof Refused) throw new WrongAct(JSON.stringify(error.answer.body))
      throw error
    }
  }
}
