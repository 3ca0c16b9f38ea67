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
  readonly #users = new Map<string, string>()
  /** Seed stage ids and labels to StageName. */
  readonly #stages = new Map<string, string>()

  constructor(org: Org, seed: Seed) {
    this.#org = org
    this.#furnish(seed)
    for (const deal of seed.deals) this.#deal(deal, seed)
  }

  #furnish(seed: Seed): void {
    const org = this.#org
    const start = Math.min(seed.now, ...seed.deals.map((deal) => deal.createdAt)) - 86_400_000
    const by = (user: string): Saver => ({ user, at: start, stamp: start, api: false })
    const profile = org.put(
      'Profile',
      { Name: 'Minimum Access - API Only Integrations', PermissionsModifyMetadata: true },
      by(''),
    )
    org.put(
      'Organization',
      {
        Name: 'Sandbox',
        OrganizationType: 'Enterprise Edition',
        InstanceName: 'SBX1',
        IsSandbox: true,
        TimeZoneSidKey: 'GMT',
        LanguageLocaleKey: 'en_US',
        FiscalYearStartMonth: 1,
        DefaultCurrencyIsoCode: seed.currency,
      },
      by(''),
    )
    const user = (email: string, FirstName: string, LastName: string, more: Row = {}) => {
      const row = {
        Username: `${email}.sandbox`,
        Email: email,
        FirstName,
        LastName,
        Name: `${FirstName} ${LastName}`,
        IsActive: true,
        UserType: 'Standard',
        ProfileId: profile,
        TimeZoneSidKey: 'GMT',
      }
      const id = org.put('User', { ...row, ...more }, by(''))
      this.#users.set(email, id)
      return id
    }
    user('admin@sandbox.invalid', 'Alex', 'Admin')
    user('import@sandbox.invalid', 'Data', 'Import')
    user('integration@sandbox.invalid', 'Marketing', 'Integration')
    org.apiUser = user('unstall@sandbox.invalid', 'Unstall', 'Integration')
    const roles = new Map(
      [...new Set(seed.owners.map((owner) => owner.team))].map((team) => [
        team,
        org.put('UserRole', { Name: team, DeveloperName: team.replace(/\W+/g, '_') }, by('')),
      ]),
    )
    for (const owner of seed.owners)
      user(owner.email, owner.firstName, owner.lastName, {
        IsActive: owner.active,
        Department: owner.team,
        UserRoleId: roles.get(owner.team) ?? null,
      })
    for (const owner of seed.owners)
      Object.assign(org.find(this.#users.get(owner.email) ?? '')?.row ?? {}, {
        ManagerId: this.#users.get(owner.managerEmail ?? '') ?? null,
      })

    for (const stage of seed.pipelines.flatMap((pipeline) => pipeline.stages)) {
      this.#stages.set(stage.id, stage.label)
      if (this.#stages.has(stage.label)) continue
      this.#stages.set(stage.label, stage.label)
      const name = CATEGORIES[stage.category]
      org.put(
        'OpportunityStage',
        {
          ApiName: stage.label,
          MasterLabel: stage.label,
          IsActive: true,
          IsClosed: stage.probability === 1 || stage.probability === 0,
          IsWon: stage.probability === 1,
          DefaultProbability: Math.round(stage.probability * 100),
          ForecastCategory: FORECAST_CATEGORIES.get(name) ?? null,
          ForecastCategoryName: name,
          SortOrder: org.rows('OpportunityStage').length + 1,
        },
        by(''),
      )
    }
    const deal = org.table('Opportunity').fields
    const field = deal.get('stagename')
    if (field)
      deal.set('stagename', { ...field, values: org.rows('OpportunityStage').map((row) => String(row.ApiName)) })
    for (const [i, name] of (org.table('Task').fields.get('status')?.values ?? []).entries())
      org.put(
        'TaskStatus',
        { ApiName: name, MasterLabel: name, IsClosed: name === 'Completed', IsDefault: i === 0, SortOrder: i + 1 },
        by(''),
      )
    // An org with one sales process has no record types, and then no field RecordTypeId.
    if (seed.pipelines.length < 2) deal.delete('recordtypeid')
    else
      for (const { id, label } of seed.pipelines)
        this.#users.set(
          `pipeline ${id}`,
          org.put(
            'RecordType',
            { Name: label, DeveloperName: id.replace(/\W+/g, '_'), SobjectType: 'Opportunity', IsActive: true },
            by(''),
          ),
        )
  }

  #deal(deal: SeedDeal, seed: Seed): void {
    const org = this.#org
    const owner = this.#users.get(deal.ownerEmail)
    const recordType = this.#users.get(`pipeline ${deal.pipeline}`)
    const row: Row = {
      Name: deal.name,
      Amount: deal.amount,
      CloseDate: deal.closeDate,
      StageName: this.#stage(deal.stage),
      Type: deal.type,
      ...(deal.category ? { ForecastCategoryName: CATEGORIES[deal.category] } : {}),
      ...(recordType ? { RecordTypeId: recordType } : {}),
      ...(deal.account ? { AccountId: this.#account(deal.account, deal.createdAt) } : {}),
    }
    const type = org.table('Opportunity')
    const creator = this.#saver(deal.createdBy ?? 'person', owner ?? null, deal.createdAt)
    const made = org.save(type, null, { ...row, OwnerId: org.apiUser }, creator)
    if (!('id' in made)) throw new Error(`seed deal ${deal.name}: ${made.message}`)
    // A rep who has left still owns what they owned: only new owners must be active.
    Object.assign(org.find(made.id)?.row ?? {}, { OwnerId: owner ?? null })
    for (const event of deal.events) this.#happen(made.id, event, Math.min(event.at, seed.now))
  }
  #account(name: string, at: number): string {
    const known = this.#users.get(`account ${name}`)
    if (known) return known
    const id = this.#org.put('Account', { Name: name }, this.#saver('import', null, at))
    this.#users.set(`account ${name}`, id)
    return id
  }
  #stage(text: string): string {
    const stage = this.#stages.get(text)
    if (stage === undefined)
      throw new WrongAct(`unknown stage ${text}; there are ${[...new Set(this.#stages.values())].join(', ')}`)
    return stage
  }
  /** Owners who have left do nothing more: the admin does. */
  #saver(by: By, owner: string | null, at: number, now = at): Saver {
    const active = owner !== null && this.#org.find(owner)?.row.IsActive === true
    const user =
      by === 'import' || by === 'integration'
        ? this.#users.get(`${by}@sandbox.invalid`)
        : active
          ? owner
          : this.#users.get('admin@sandbox.invalid')
    return { user: user ?? '', at, stamp: now, api: false }
  }
  #save(object: string, id: string | null, row: Row, saver: Saver): string {
    const result = this.#org.save(this.#org.table(object), id, row, saver)
    if ('id' in result) return result.id
    throw new WrongAct(`${result.statusCode}: ${result.message}`)
  }

  #happen(deal: string, event: SeedEvent, now: number): string {
    const owner = String(this.#org.find(deal)?.row.OwnerId)
    const saver = this.#saver(
      'by' in event ? event.by : 'person',
      owner,
      event.kind === 'meeting' ? Math.min(event.at, now) : event.at,
      now,
    )
    const done = (subject: string, more: Row = {}) =>
      this.#save(
        'Task',
        null,
        {
          WhatId: deal,
          OwnerId: saver.user,
          Subject: subject,
          Status: 'Completed',
          ActivityDate: day(event.at),
          ...more,
        },
        saver,
      )
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
        return this.#org.put(
          'EmailMessage',
          {
            ActivityId: task,
            RelatedToId: deal,
            Subject: 'Re: our proposal',
            FromAddress: 'buyer@customer.invalid',
            ToAddress: String(this.#org.find(owner)?.row.Email),
            Incoming: true,
            Status: '1',
            MessageDate: stamp(event.at),
          },
          saver,
        )
      }
      case 'meeting':
        return this.#meeting(deal, event, saver, now)
    }
  }
  /** Not held in the past: cancelled, so its Event is deleted; the same again for a future time cancels what is booked. */
  #meeting(deal: string, event: Extract<SeedEvent, { kind: 'meeting' }>, saver: Saver, now: number): string {
    const start = stamp(event.at)
    const booked = this.#org.activitiesOf(deal).find((row) => row.StartDateTime === start && !row.IsDeleted)
    const who = event.outside ? this.#contact(deal, saver) : null
    const row = {
      WhatId: deal,
      OwnerId: saver.user,
      WhoId: who,
      Subject: 'Meeting',
      StartDateTime: start,
      ActivityDateTime: start,
      EndDateTime: stamp(event.at + HALF_HOUR),
      DurationInMinutes: 30,
    }
    const id = booked ? String(booked.Id) : this.#save('Event', null, row, saver)
    if (!event.held && (booked || event.at <= now)) this.#org.remove(this.#org.table('Event'), id, saver)
    return id
  }
  #contact(deal: string, saver: Saver): string {
    const account = this.#org.find(deal)?.row.AccountId ?? null
    const known = this.#users.get(`contact ${account ?? deal}`)
    if (known) return known
    const id = this.#org.put(
      'Contact',
      { AccountId: account, LastName: 'Buyer', Name: 'Buyer', Email: 'buyer@customer.invalid' },
      saver,
    )
    this.#users.set(`contact ${account ?? deal}`, id)
    return id
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
        for (const row of [...this.#org.activitiesOf(id)])
          this.#save(
            String(row.Id).startsWith('00T') ? 'Task' : 'Event',
            String(row.Id),
            { WhatId: longId(act.into) },
            saver,
          )
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
