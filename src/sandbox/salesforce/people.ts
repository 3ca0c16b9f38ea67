// Everyone but the API client: how the seed's history came about, and the acts of POST /__sandbox/act. Salesforce cannot
// tell a flow from the person whose save ran it, so a workflow acts in the owner's name.
import type { Act } from '../control.ts'
import { WrongAct } from '../kernel.ts'
import type { By, Seed, SeedDeal, SeedEvent } from '../seed.ts'
import type { Org, Saver } from './org.ts'
import { day, FORECAST_CATEGORIES, type Row, stamp, text, type Value } from './schema.ts'

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
const DAY = 86_400_000
const HALF_HOUR = 30 * 60_000

/** Fills the org. `dropField` deletes a custom field. */
export function people(org: Org, seed: Seed, dropField: (name: string) => boolean) {
  const start = Math.min(seed.now, ...seed.deals.map((deal) => deal.createdAt)) - DAY
  /** Users by e-mail; others by kind and name. */
  const ids = new Map<string, string>()
  const put = (object: string, row: Row, key?: string): string => {
    const id = (key && ids.get(key)) ?? org.put(object, row, { user: '', at: start, stamp: start })
    if (key) ids.set(key, id)
    return id
  }
  const save = (object: string, id: string | null, row: Row, saver: Saver) =>
    org.save(org.table(object), id, row, saver)

  function user(email: string, first: string, last: string, more: Row = {}): string {
    const named = {
      FirstName: first,
      LastName: last,
      Name: `${first} ${last}`,
      Email: email,
      Username: `${email}.sandbox`,
    }
    return put('User', { ...named, IsActive: true, UserType: 'Standard', ...more }, email)
  }
  put('Organization', { Name: 'Sandbox', DefaultCurrencyIsoCode: seed.currency })
  const admin = user('admin@sandbox.invalid', 'Alex', 'Admin')
  const robots = {
    import: user('import@sandbox.invalid', 'Data', 'Import'),
    integration: user('integration@sandbox.invalid', 'Marketing', 'Integration'),
  }
  org.apiUser = user('unstall@sandbox.invalid', 'Unstall', 'Integration')
  for (const { email, firstName, lastName, team, active } of seed.owners)
    user(email, firstName, lastName, {
      ...{ IsActive: active, Department: team, UserRoleId: put('UserRole', { Name: team }, `role ${team}`) },
    })
  for (const { email, managerEmail } of seed.owners) {
    const row = org.find(ids.get(email))?.row
    if (row) row.ManagerId = ids.get(managerEmail ?? '') ?? null
  }

  const listed = seed.pipelines.flatMap((pipeline) => pipeline.stages)
  const stages = listed.filter(({ label }, i) => listed.findIndex((other) => other.label === label) === i)
  for (const [i, { label, probability, category }] of stages.entries()) {
    const name = CATEGORIES[category]
    const mapped = { ForecastCategoryName: name, ForecastCategory: FORECAST_CATEGORIES[name] ?? null }
    const ends = { IsClosed: probability === 1 || probability === 0, IsWon: probability === 1, IsActive: true }
    const shown = { ApiName: label, MasterLabel: label, SortOrder: i + 1, ...ends }
    put('OpportunityStage', { ...shown, ...mapped, DefaultProbability: Math.round(probability * 100) })
  }
  const fields = org.table('Opportunity').fields
  const stageName = fields.get('stagename')
  if (stageName) fields.set('stagename', { ...stageName, values: stages.map(({ label }) => label) })
  for (const [i, name] of (org.table('Task').fields.get('status')?.values ?? []).entries()) {
    const means = { IsClosed: name === 'Completed', IsDefault: i === 0, SortOrder: i + 1 }
    put('TaskStatus', { ApiName: name, MasterLabel: name, ...means })
  }
  // An org with one sales process has no record types, and then no field RecordTypeId.
  if (seed.pipelines.length < 2) fields.delete('recordtypeid')
  else
    for (const { id, label } of seed.pipelines) {
      const named = { Name: label, DeveloperName: id.replace(/\W+/g, '_') }
      put('RecordType', { ...named, SobjectType: 'Opportunity', IsActive: true }, `pipeline ${id}`)
    }
  for (const deal of seed.deals) create(deal)

  function create(deal: SeedDeal): void {
    const owner = ids.get(deal.ownerEmail) ?? admin
    const { account } = deal
    const row: Row = {
      // A name holds 120 characters, those of a hostile seed too.
      Name: deal.name.slice(0, 120).toWellFormed(),
      ...{ OwnerId: owner, Amount: deal.amount, CloseDate: deal.closeDate, Type: deal.type },
      StageName: stageOf(deal.stage),
      ...(deal.category ? { ForecastCategoryName: CATEGORIES[deal.category] } : {}),
      ...(fields.has('recordtypeid') ? { RecordTypeId: ids.get(`pipeline ${deal.pipeline}`) ?? null } : {}),
      ...(account ? { AccountId: put('Account', { Name: account }, `account ${account}`) } : {}),
    }
    const id = save('Opportunity', null, row, saverOf(deal.createdBy ?? 'person', owner, deal.createdAt))
    for (const event of deal.events) happen(id, event, Math.min(event.at, seed.now))
  }
  function stageOf(name: string): string {
    const stage = listed.find(({ id }) => id === name) ?? stages.find(({ label }) => label === name)
    if (!stage) throw new WrongAct(`unknown stage ${name}; there are ${stages.map(({ label }) => label).join(', ')}`)
    return stage.label
  }
  /** Owners who have left do nothing more: the admin does. */
  function saverOf(by: By, owner: Value | undefined, at: number, now = at): Saver {
    const person = org.find(owner)?.row.IsActive ? text(owner) : admin
    return { user: by === 'import' || by === 'integration' ? robots[by] : person, at, stamp: now }
  }

  function happen(deal: string, event: SeedEvent, now: number): string {
    const { OwnerId: owner, AccountId: account } = org.find(deal)?.row ?? {}
    const saver = saverOf('by' in event ? event.by : 'person', owner, Math.min(event.at, now), now)
    const common = { WhatId: deal, OwnerId: saver.user }
    const done = (row: Row) =>
      save('Task', null, { ...common, Status: 'Completed', ActivityDate: day(event.at), ...row }, saver)
    const buyer = () => {
      const person = { LastName: 'Buyer', Name: 'Buyer', Email: 'buyer@customer.invalid' }
      return put('Contact', { AccountId: account ?? null, ...person }, `contact ${account ?? deal}`)
    }
    switch (event.kind) {
      case 'stage':
        return save('Opportunity', deal, { StageName: stageOf(event.to) }, saver)
      case 'amount':
        return save('Opportunity', deal, { Amount: event.to }, saver)
      case 'close-date':
        return save('Opportunity', deal, { CloseDate: event.to }, saver)
      case 'note':
        return done({ Subject: 'Note' })
      case 'call':
        return done({ Subject: 'Call', TaskSubtype: 'Call', WhoId: buyer(), ...CALLS[event.outcome] })
      case 'reply': {
        const task = done({ Subject: 'Email: Re: our proposal', TaskSubtype: 'Email', WhoId: buyer() })
        if (!org.type('EmailMessage')) return task
        const mail = { Subject: 'Re: our proposal', Incoming: true, Status: '1', MessageDate: stamp(event.at) }
        const from = { FromAddress: 'buyer@customer.invalid', ToAddress: org.find(owner)?.row.Email ?? null }
        return org.put('EmailMessage', { ActivityId: task, RelatedToId: deal, ...mail, ...from }, saver)
      }
      case 'meeting': {
        // Not held in the past: cancelled, so its Event is deleted; the same again for a future time cancels what is booked.
        const at = stamp(event.at)
        const booked = org.activitiesOf(deal).find((row) => row.StartDateTime === at)
        const times = { StartDateTime: at, ActivityDateTime: at, EndDateTime: stamp(event.at + HALF_HOUR) }
        const row = { ...common, Subject: 'Meeting', ...times, DurationInMinutes: 30 }
        const id = text(booked?.Id) || save('Event', null, { ...row, WhoId: event.outside ? buyer() : null }, saver)
        if (!event.held && (booked || event.at <= now)) org.remove(org.table('Event'), id, saver)
        return id
      }
    }
  }

  /** Carries an act out and returns the id of the record concerned. Throws WrongAct. */
  function act(act: Act, now: number): string | null {
    if (act.act === 'revoke-token') return null
    if (act.act === 'drop-field') {
      if (!dropField(act.field)) throw new WrongAct(`no custom field ${act.field}`)
      return act.field
    }
    const deal = (id: string) => record(id, ['Opportunity'])
    const at = act.at === undefined ? now : Date.parse(act.at)
    const ofTask = act.act === 'complete-task' || act.act === 'delete-task'
    const objects = act.act === 'set' ? ['Opportunity', 'Task'] : [ofTask ? 'Task' : 'Opportunity']
    const { type, row } = record(act.id, objects)
    const id = text(row.Id)
    const saver = saverOf(act.by, row.OwnerId, at, now)
    switch (act.act) {
      case 'move-stage':
        return happen(id, { kind: 'stage', at, to: act.to, by: act.by }, now)
      case 'set': {
        const field = type.fields.get(act.field.toLowerCase())
        if (!field?.flags.has('update')) throw new WrongAct(`${field ? 'computed' : 'no'} field ${act.field}`)
        const instant = field.type === 'datetime' ? Date.parse(String(act.value)) : Number.NaN
        const value = Number.isNaN(instant) ? act.value : stamp(instant)
        return org.save(type, id, { [field.name]: value === '' ? null : value }, saver)
      }
      case 'buyer-reply':
        return happen(id, { kind: 'reply', at }, now)
      case 'meeting':
        return happen(id, { kind: 'meeting', at, held: act.held, outside: act.outside }, now)
      case 'call':
        return happen(id, { kind: 'call', at, outcome: act.outcome }, now)
      case 'complete-task':
        return org.save(type, id, { Status: 'Completed' }, saver)
      case 'merge': {
        // Opportunities have no merge of their own: people move the activities over and delete the double.
        const into = text(deal(act.into).row.Id)
        for (const { Id } of org.activitiesOf(id))
          save(org.find(Id)?.type.name ?? '', text(Id), { WhatId: into }, saver)
        org.remove(type, id, saver)
        return into
      }
      case 'delete-task':
      case 'delete':
        org.remove(type, id, saver)
        return id
    }
  }
  function record(id: string, objects: readonly string[]) {
    const found = org.find(id)
    if (!found || found.row.IsDeleted || !objects.includes(found.type.name))
      throw new WrongAct(`no ${objects.join(' or ')} ${id}`)
    return found
  }

  return { act }
}
