// Everyone but the API client: how the seed's history came about, and the acts of POST /__sandbox/act. Salesforce cannot
// tell a flow from the person whose save ran it, so a workflow acts in the owner's name.
import type { Act } from '../control.ts'
import { WrongAct } from '../kernel.ts'
import { type By, DAY, type Seed, type SeedDeal, type SeedEvent } from '../seed.ts'
import type { SalesforceOptions } from './index.ts'
import { categoryOf, type Org, type Saver } from './org.ts'
import { choices, day, type Row, stamp, text, type Value } from './schema.ts'

const CATEGORIES = {
  ...{ omitted: 'Omitted', pipeline: 'Pipeline', best_case: 'Best Case', commit: 'Commit', closed: 'Closed' },
} as const
const CALLS = {
  connected: { CallType: 'Outbound', CallDisposition: 'Connected', CallDurationInSeconds: 540 },
  incoming: { CallType: 'Inbound', CallDisposition: 'Connected', CallDurationInSeconds: 300 },
  'no-answer': { CallType: 'Outbound', CallDisposition: 'No answer', CallDurationInSeconds: 0 },
}
const HALF_HOUR = 30 * 60_000

/** Fills the org, and returns how an act is carried out. `dropField` deletes a custom field. */
export function people(org: Org, seed: Seed, dropField: (name: string) => boolean, options: SalesforceOptions) {
  const start = seed.deals.reduce((first, { createdAt }) => Math.min(first, createdAt), seed.now) - DAY
  /** Users by e-mail; others by kind and name. */
  const ids = new Map<string, string>()
  function put(object: string, row: Row, key: string): string {
    const id = ids.get(key) ?? org.put(object, row, { user: '', at: start, stamp: start })
    ids.set(key, id)
    return id
  }
  function user(email: string, first: string, last: string, more: Row = {}): string {
    const named = { FirstName: first, LastName: last, Name: `${first} ${last}`, Username: `${email}.sandbox` }
    return put('User', { ...named, Email: email, IsActive: true, UserType: 'Standard', ...more }, email)
  }
  const save = (object: string, id: string | null, row: Row, saver: Saver) =>
    org.save(org.table(object), id, row, saver)

  const enterprise = { OrganizationType: 'Enterprise Edition', IsSandbox: false, TimeZoneSidKey: 'UTC' }
  const organization = { Name: 'Sandbox', DefaultCurrencyIsoCode: seed.currency, ...enterprise }
  put('Organization', { ...organization, ...options.organization }, 'organization')
  const admin = user('admin@sandbox.invalid', 'Alex', 'Admin')
  const robots: Partial<Record<By, string>> = {
    import: user('import@sandbox.invalid', 'Data', 'Import'),
    integration: user('integration@sandbox.invalid', 'Marketing', 'Integration'),
  }
  org.apiUser = user('unstall@sandbox.invalid', 'Unstall', 'Integration')
  for (const { email, firstName, lastName, team, active } of seed.owners) {
    const role = put('UserRole', { Name: team }, `role ${team}`)
    user(email, firstName, lastName, { IsActive: active, Department: team, UserRoleId: role })
  }
  for (const { email, managerEmail } of seed.owners)
    Object.assign(org.find(ids.get(email))?.row ?? {}, { ManagerId: ids.get(managerEmail ?? '') ?? null })

  const listed = seed.pipelines.flatMap((pipeline) => pipeline.stages)
  const stages = listed.filter(({ label }, i) => listed.findIndex((other) => other.label === label) === i)
  for (const [i, { label, probability, category }] of stages.entries()) {
    const name = CATEGORIES[category]
    const ends = { IsClosed: probability === 1 || probability === 0, IsWon: probability === 1, IsActive: true }
    const mapped = { ForecastCategoryName: name, ForecastCategory: categoryOf(name) }
    const stage = { ApiName: label, MasterLabel: label, SortOrder: i + 1, ...ends, ...mapped }
    put('OpportunityStage', { ...stage, DefaultProbability: Math.round(probability * 100) }, `stage ${label}`)
  }
  const { fields } = org.table('Opportunity')
  const stageName = fields.get('stagename')
  if (stageName) fields.set('stagename', { ...stageName, picklistValues: choices(stages.map(({ label }) => label)) })
  for (const [i, { value }] of (org.table('Task').fields.get('status')?.picklistValues ?? []).entries()) {
    const means = { IsClosed: value === 'Completed', IsDefault: i === 0, SortOrder: i + 1 }
    put('TaskStatus', { ApiName: value, MasterLabel: value, ...means }, `status ${value}`)
  }
  // An org with one sales process has no record types, and then no field RecordTypeId.
  const several = seed.pipelines.length > 1
  if (!several) fields.delete('recordtypeid')
  for (const { id, label } of several ? seed.pipelines : []) {
    const type = { Name: label, DeveloperName: id.replace(/\W+/g, '_'), SobjectType: 'Opportunity', IsActive: true }
    put('RecordType', type, `pipeline ${id}`)
  }
  for (const deal of seed.deals) create(deal)
  const granted = ['ActivitiesAccess', 'EditTask', 'ModifyMetadata', 'AssignPermissionSets']
  const rights = Object.fromEntries(granted.map((right) => [`Permissions${right}`, true]))
  put('UserPermissionAccess', { ...rights, ...options.rights }, 'rights')
  for (const [ValidationName, ErrorMessage] of Object.entries(options.rules ?? {})) {
    const EntityDefinitionId = put('EntityDefinition', { QualifiedApiName: 'Opportunity' }, 'entity')
    put('ValidationRule', { ValidationName, ErrorMessage, Active: true, EntityDefinitionId }, `rule ${ValidationName}`)
  }

  function create(deal: SeedDeal): void {
    const { account, category } = deal
    const owner = ids.get(deal.ownerEmail) ?? admin
    const row: Row = {
      // A name holds 120 characters, those of a hostile seed too.
      Name: deal.name.slice(0, 120).toWellFormed(),
      ...{ OwnerId: owner, Amount: deal.amount, CloseDate: deal.closeDate, Type: deal.type },
      StageName: stageOf(deal.stage),
      ...(category ? { ForecastCategoryName: CATEGORIES[category] } : {}),
      ...(several ? { RecordTypeId: ids.get(`pipeline ${deal.pipeline}`) ?? null } : {}),
      ...(account ? { AccountId: put('Account', { Name: account, OwnerId: owner }, `account ${account}`) } : {}),
    }
    const id = save('Opportunity', null, row, saverOf(deal.createdBy ?? 'person', owner, deal.createdAt))
    for (const event of deal.events) happen(id, event, Math.min(event.at, seed.now))
  }
  function stageOf(name: string): string {
    const stage = listed.find(({ id }) => id === name) ?? stages.find(({ label }) => label === name)
    if (stage) return stage.label
    throw new WrongAct(`unknown stage ${name}; there are ${stages.map(({ label }) => label).join(', ')}`)
  }
  /** Owners who have left do nothing more: the admin does. */
  function saverOf(by: By, owner: Value | undefined, at: number, now = at): Saver {
    const person = org.find(owner)?.row.IsActive ? text(owner) : admin
    return { user: robots[by] ?? person, at, stamp: now }
  }

  /** Returns the id of what was changed or made. */
  function happen(deal: string, event: SeedEvent, now: number): string {
    const { OwnerId: owner, AccountId: account = null } = org.find(deal)?.row ?? {}
    const saver = saverOf('by' in event ? event.by : 'person', owner, Math.min(event.at, now), now)
    const change = (row: Row) => save('Opportunity', deal, row, saver)
    const common = { WhatId: deal, OwnerId: saver.user }
    const done = (Subject: string, more: Row = {}) =>
      save('Task', null, { ...common, Subject, Status: 'Completed', ActivityDate: day(event.at), ...more }, saver)
    const buyer = () => {
      const person = { LastName: 'Buyer', Name: 'Buyer', Email: 'buyer@customer.invalid', AccountId: account }
      return put('Contact', person, `contact ${account ?? deal}`)
    }
    switch (event.kind) {
      case 'stage':
        return change({ StageName: stageOf(event.to) })
      case 'amount':
        return change({ Amount: event.to })
      case 'close-date':
        return change({ CloseDate: event.to })
      case 'note':
        return done('Note')
      case 'call':
        return done('Call', { TaskSubtype: 'Call', WhoId: buyer(), ...CALLS[event.outcome] })
      case 'reply': {
        const task = done('Email: Re: our proposal', { TaskSubtype: 'Email', WhoId: buyer() })
        if (!org.type('EmailMessage')) return task
        const mail = { Subject: 'Re: our proposal', Incoming: true, Status: '1', MessageDate: stamp(event.at) }
        const between = { FromAddress: 'buyer@customer.invalid', ToAddress: org.find(owner)?.row.Email ?? null }
        return org.put('EmailMessage', { ActivityId: task, RelatedToId: deal, ...mail, ...between }, saver)
      }
      case 'meeting': {
        // Not held in the past: cancelled, so its Event is deleted; the same again for a future time cancels a booking.
        const at = stamp(event.at)
        const booked = org.activitiesOf(deal).find((row) => row.StartDateTime === at)
        const times = { StartDateTime: at, ActivityDateTime: at, EndDateTime: stamp(event.at + HALF_HOUR) }
        const row = { ...common, Subject: 'Meeting', WhoId: event.outside ? buyer() : null, ...times }
        const id = text(booked?.Id) || save('Event', null, { ...row, DurationInMinutes: 30 }, saver)
        if (!event.held && (booked || event.at <= now)) org.remove(record(id, 'Event').row, saver)
        return id
      }
    }
  }
  function record(id: string, ...objects: string[]) {
    const found = org.find(id)
    if (found && !found.row.IsDeleted && objects.includes(found.type.name)) return found
    throw new WrongAct(`no ${objects.join(' or ')} ${id}`)
  }

  /** Returns the id of the record concerned. Throws WrongAct. */
  return function carryOut(act: Act, now: number): string | null {
    if (act.act === 'revoke-token') return null
    if (act.act === 'drop-field') {
      if (dropField(act.field)) return act.field
      throw new WrongAct(`no custom field ${act.field}`)
    }
    const at = act.at === undefined ? now : Date.parse(act.at)
    const objects = act.act === 'set' ? ['Opportunity', 'Task'] : [act.act.endsWith('-task') ? 'Task' : 'Opportunity']
    const { type, row } = record(act.id, ...objects)
    const id = text(row.Id)
    const saver = saverOf(act.by, row.OwnerId, at, now)
    switch (act.act) {
      case 'move-stage':
        return happen(id, { kind: 'stage', at, to: act.to, by: act.by }, now)
      case 'set': {
        const field = type.fields.get(act.field.toLowerCase())
        if (!field?.updateable) throw new WrongAct(`${field ? 'computed' : 'no'} field ${act.field}`)
        const instant = field.type === 'datetime' ? Date.parse(String(act.value)) : Number.NaN
        const value = act.value === '' ? null : Number.isNaN(instant) ? act.value : stamp(instant)
        return org.save(type, id, { [field.name]: value }, saver)
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
        const into = text(record(act.into, 'Opportunity').row.Id)
        for (const { Id = '' } of org.activitiesOf(id))
          save(org.find(Id)?.type.name ?? '', text(Id), { WhatId: into }, saver)
        org.remove(row, saver)
        return into
      }
      case 'delete-task':
      case 'delete':
        return org.remove(row, saver)
    }
  }
}
