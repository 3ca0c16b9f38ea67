// Both sandboxes as the vendors' own SDKs see them, through their typed methods and undated addresses: what a program
// written with them gets, mistakes included. (What jsforce is told of the org's rules is in salesforce.test.ts.)
import { Client } from '@hubspot/api-client'
import { AssociationSpecAssociationCategoryEnum } from '@hubspot/api-client/lib/codegen/crm/associations/v4/index.js'
import { FilterOperatorEnum } from '@hubspot/api-client/lib/codegen/crm/deals/index.js'
import type { ListCreateRequest } from '@hubspot/api-client/lib/codegen/crm/lists/index.js'
import {
  PropertyCreateFieldTypeEnum,
  PropertyCreateTypeEnum,
} from '@hubspot/api-client/lib/codegen/crm/properties/index.js'
import { Connection, OAuth2 } from 'jsforce'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SEGMENT } from '../../connectors/hubspot/fields.ts'
import { generate } from '../../src/sandbox/generate.ts'
import { hubspot } from '../../src/sandbox/hubspot/server.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/kernel.ts'
import { salesforce } from '../../src/sandbox/salesforce/index.ts'
import { NOW } from './client.ts'
import { allow, firstTokens } from './consent.ts'

const seed = generate({ now: NOW, seed: 1, deals: 60, open: 40 })
let sandbox: Sandbox
afterEach(() => sandbox.close())
const caught = (work: PromiseLike<unknown>) =>
  Promise.resolve(work).then(
    () => 'no error',
    (error: unknown) => error,
  )
const read = { properties: ['dealname', 'amount'], propertiesWithHistory: ['dealstage'] }

describe('@hubspot/api-client', () => {
  let client: Client
  beforeEach(async () => {
    sandbox = await startSandbox(hubspot(seed), { now: NOW })
    client = new Client({ accessToken: 'sandbox-sdk', basePath: sandbox.url })
  })

  it('deals: pages, one, search, batch read and update, with dates as dates', async () => {
    const { deals } = client.crm
    const page = await deals.basicApi.getPage(3, undefined, ['dealname'], undefined, undefined, false)
    expect(page.results.map(({ id }) => id)).toHaveLength(3)
    const next = await deals.basicApi.getPage(3, page.paging?.next?.after, ['dealname'])
    expect(next.results[0]?.id).not.toBe(page.results[0]?.id)
    expect(await deals.getAll(50)).toHaveLength(60)
    const [first] = page.results
    if (!first) throw new Error('no deal')
    expect(first.createdAt).toBeInstanceOf(Date)
    expect(await deals.basicApi.getById(first.id, ['dealname'])).toMatchObject({ id: first.id, archived: false })

    const found = await deals.searchApi.doSearch({
      filterGroups: [{ filters: [{ propertyName: 'hs_is_closed', operator: FilterOperatorEnum.Eq, value: 'false' }] }],
      sorts: ['hs_object_id'],
      properties: ['dealname', 'hs_is_closed'],
      limit: 5,
    })
    expect([found.total, found.results.length]).toEqual([40, 5])
    expect(found.results.map(({ properties }) => properties.hs_is_closed)).toEqual(Array(5).fill('false'))

    const updated = await deals.batchApi.update({ inputs: [{ id: first.id, properties: { amount: '77' } }] })
    expect(updated).toMatchObject({ status: 'COMPLETE', results: [{ id: first.id, properties: { amount: '77' } }] })
    expect(updated.completedAt).toBeInstanceOf(Date)
    const batch = await deals.batchApi.read({ inputs: [{ id: first.id }], ...read })
    const [{ properties, propertiesWithHistory } = {}] = batch.results
    expect(properties?.amount).toBe('77')
    expect(propertiesWithHistory?.dealstage?.[0]?.timestamp).toBeInstanceOf(Date)
    await deals.basicApi.update(first.id, { properties: { amount: '' } })
    expect((await deals.basicApi.getById(first.id, ['amount'])).properties.amount).toBe('')
    await deals.basicApi.archive(first.id)
    expect(await caught(deals.basicApi.getById(first.id))).toMatchObject({ code: 404 })
  })

  it('a record that is not there: 207 with its id; a wrong value or call: an ApiException with code and body', async () => {
    const { deals } = client.crm
    const answer = await deals.batchApi.read({ inputs: [{ id: '9' }], ...read })
    expect(answer).toMatchObject({
      ...{ status: 'COMPLETE', results: [], numErrors: 1 },
      errors: [{ status: 'error', category: 'OBJECT_NOT_FOUND', context: { ids: ['9'] } }],
    })
    const id = (await deals.basicApi.getPage(1)).results[0]?.id ?? ''
    const wrong = await caught(deals.batchApi.update({ inputs: [{ id, properties: { amount: 'a lot' } }] }))
    expect(wrong).toBeInstanceOf(Error)
    expect(wrong).toMatchObject({
      code: 400,
      body: {
        category: 'VALIDATION_ERROR',
        message: expect.stringContaining('valid number'),
        correlationId: expect.stringContaining('-'),
      },
    })
    client.setAccessToken('sandbox-noscope-crm.objects.deals.read')
    expect(await caught(client.crm.deals.basicApi.getPage())).toMatchObject({
      ...{ code: 403, body: { category: 'MISSING_SCOPES' } },
    })
    client.setAccessToken('nobody')
    expect(await caught(client.crm.deals.basicApi.getPage())).toMatchObject({ code: 401 })
  })

  it('properties and groups: one, many, all, away again', async () => {
    const { coreApi, batchApi, groupsApi } = client.crm.properties
    await groupsApi.create('deals', { name: 'own', label: 'Own' })
    const own = (name: string) => ({
      ...{ name, label: name, groupName: 'own' },
      ...{ type: PropertyCreateTypeEnum.Number, fieldType: PropertyCreateFieldTypeEnum.Number },
    })
    const made = await coreApi.create('deals', own('first'))
    expect(made).toMatchObject({ name: 'first', type: 'number', modificationMetadata: { readOnlyValue: false } })
    expect(made.createdAt).toBeInstanceOf(Date)
    const more = await batchApi.create('deals', { inputs: [own('second'), own('third')] })
    expect(more.results.map(({ name }) => name)).toEqual(['second', 'third'])
    expect(await caught(coreApi.create('deals', own('first')))).toMatchObject({ code: 409 })
    const { results } = await coreApi.getAll('deals')
    expect(results.filter(({ groupName }) => groupName === 'own')).toHaveLength(3)
    expect(await coreApi.getByName('deals', 'third')).toMatchObject({ name: 'third' })
    for (const name of ['first', 'second', 'third']) await coreApi.archive('deals', name)
    await groupsApi.archive('deals', 'own')
    expect(await caught(groupsApi.getByName('deals', 'own'))).toMatchObject({ code: 404 })
  })

  it('pipelines, owners, tasks with their deals, segments', async () => {
    const { crm } = client
    const { results } = await crm.pipelines.pipelinesApi.getAll('deals')
    expect(results[0]?.stages.map(({ metadata }) => Number(metadata?.probability))).toContain(1)
    const owners = await crm.owners.ownersApi.getPage(undefined, undefined, 2, false)
    expect(owners.results[0]).toMatchObject({ type: 'PERSON', archived: false, teams: [{ primary: true }] })
    expect(owners.paging?.next?.after).toBeTruthy()

    const deal = (await crm.deals.basicApi.getPage(1)).results[0]?.id ?? ''
    const types = [
      { associationCategory: AssociationSpecAssociationCategoryEnum.HubspotDefined, associationTypeId: 216 },
    ]
    const task = { properties: { hs_timestamp: '2026-12-01T08:00:00Z' }, associations: [{ to: { id: deal }, types }] }
    const made = await crm.objects.tasks.batchApi.create({ inputs: [task] })
    const linked = await crm.associations.v4.batchApi.getPage('deals', 'tasks', { inputs: [{ id: deal }] })
    expect(linked.results[0]?.to.map(({ toObjectId }) => toObjectId)).toEqual(made.results.map(({ id }) => id))
    await crm.objects.tasks.batchApi.archive({ inputs: made.results.map(({ id }) => ({ id })) })

    const flag = SEGMENT.filterBranch.filterBranches[0].filters[0].property
    const yesNo = ['true', 'false'].map((value, displayOrder) => ({ label: value, value, displayOrder, hidden: false }))
    await crm.properties.groupsApi.create('deals', { name: 'own', label: 'Own' })
    await crm.properties.coreApi.create('deals', {
      ...{ name: flag, label: 'Stalled', groupName: 'own', options: yesNo },
      ...{ type: PropertyCreateTypeEnum.Bool, fieldType: PropertyCreateFieldTypeEnum.Booleancheckbox },
    })
    // The SDK's type of a filter is that of one about events, whatever the filter.
    const segment: ListCreateRequest = JSON.parse(JSON.stringify(SEGMENT))
    const { list } = await crm.lists.listsApi.create(segment)
    const { name, objectTypeId } = SEGMENT
    expect(await crm.lists.listsApi.getByName(name, objectTypeId)).toMatchObject({ list: { listId: list?.listId } })
    await crm.lists.listsApi.remove(list?.listId ?? '')
    expect(await caught(crm.lists.listsApi.getByName(name, objectTypeId))).toMatchObject({ code: 404 })
  })

  it('OAuth: a code and a refresh token become tokens that open the API', async () => {
    const { tokensApi } = client.oauth
    const { code, redirect_uri } = await allow(sandbox.url)
    // The SDK has no PKCE: a code of the page, which asks for it, is refused as such.
    const page = tokensApi.create('authorization_code', code, redirect_uri, 'sandbox', 'sandbox')
    expect(await caught(page)).toMatchObject({ code: 400, body: { status: 'BAD_AUTH_CODE' } })
    const { refresh_token } = await firstTokens(sandbox.url, 'hubspot')
    const renew = (token: string) =>
      tokensApi.create('refresh_token', undefined, undefined, 'sandbox', 'sandbox', token)
    const { accessToken, expiresIn, tokenType } = await renew(refresh_token)
    expect([expiresIn, tokenType]).toEqual([1800, 'bearer'])
    client.setAccessToken(accessToken)
    expect((await client.crm.deals.basicApi.getPage(1)).results).toHaveLength(1)
    expect(await caught(renew('unknown'))).toMatchObject({ code: 400, body: { status: 'BAD_REFRESH_TOKEN' } })
  })
})

describe('jsforce', () => {
  let conn: Connection
  const oauth2 = () => new OAuth2({ loginUrl: sandbox.url, clientId: 'sandbox', clientSecret: 'sandbox' })
  beforeEach(async () => {
    sandbox = await startSandbox(salesforce(seed), { now: NOW })
    const { access_token, refresh_token = '', instance_url } = await firstTokens(sandbox.url, 'salesforce')
    const session = { accessToken: access_token, refreshToken: refresh_token, instanceUrl: instance_url ?? '' }
    conn = new Connection({ ...session, version: '67.0', oauth2: oauth2() })
  })

  it('records: queried and paged, created, updated, retrieved with all their fields, deleted', async () => {
    const names = 'SELECT Id, Name FROM Opportunity ORDER BY Name'
    const all = await conn.query<{ Id: string; Name: string }>(names, { autoFetch: true, maxFetch: 1000 })
    expect([all.totalSize, all.done, all.records.length]).toEqual([60, true, 60])
    const [one] = all.records
    if (!one) throw new Error('no opportunity')
    const found = await conn.sobject('Opportunity').find({ Id: one.Id }, ['Id', 'Name']).limit(1)
    expect(found).toMatchObject([{ Name: one.Name }])
    const whole = await conn.sobject('Opportunity').retrieve([one.Id])
    expect(whole[0]).toMatchObject({ Id: one.Id, StageName: expect.any(String), IsClosed: expect.any(Boolean) })

    const [created] = await conn
      .sobject('Task')
      .create([{ WhatId: one.Id, OwnerId: String(whole[0]?.OwnerId), Subject: 'Ask', Status: 'Not Started', Priority: 'Normal' }]) // biome-ignore format: one call
    expect(created).toMatchObject({ success: true, errors: [] })
    const id = created?.id ?? ''
    const kept = await conn.sobject('Task').update([{ Id: id, Status: 'Completed' }, { Id: id, Status: 'No such' }]) // biome-ignore format: one call
    expect(kept.map(({ success }) => success)).toEqual([true, false])
    expect(await conn.sobject('Task').destroy([id])).toMatchObject([{ id, success: true }])
    expect(await caught(conn.query('SELECT Nothing FROM Opportunity'))).toMatchObject({
      ...{ name: 'INVALID_FIELD', errorCode: 'INVALID_FIELD', data: { errorCode: 'INVALID_FIELD' } },
      message: expect.stringContaining('Nothing'),
    })
  })

  it('describe, limits and metadata', async () => {
    const { fields, keyPrefix, updateable } = await conn.describe('Opportunity')
    expect([keyPrefix, updateable]).toEqual(['006', true])
    const stage = fields.find(({ name }) => name === 'StageName')
    expect(stage).toMatchObject({ type: 'picklist', updateable: true, picklistValues: expect.any(Array) })
    expect(await conn.limits()).toMatchObject({ DailyApiRequests: { Max: 100_000 } })
    expect(conn.limitInfo.apiUsage).toMatchObject({ limit: 100_000 })
    const field = { fullName: 'Opportunity.Own__c', label: 'Own', type: 'Checkbox', defaultValue: 'false' }
    const upsert = () => conn.metadata.upsert('CustomField', [field])
    expect(await upsert()).toMatchObject([{ fullName: field.fullName, success: true, created: true }])
    expect(await upsert()).toMatchObject([{ success: true, created: false }])
    expect(await conn.metadata.read('CustomField', [field.fullName])).toMatchObject([field])
    expect(await conn.metadata.delete('CustomField', [field.fullName])).toMatchObject([{ success: true }])
  })

  it('a session that ended is renewed by the refresh token, once; a revoked one is refused by name', async () => {
    const renewed: string[] = []
    conn.on('refresh', (token) => void renewed.push(token))
    const act = (id: string | null) =>
      fetch(`${sandbox.url}/__sandbox/act`, { method: 'POST', body: JSON.stringify({ act: 'revoke-token', id }) })
    await act(conn.accessToken ?? null)
    expect(await conn.limits()).toHaveProperty('DailyApiRequests')
    expect(renewed).toEqual([conn.accessToken])
    const { refresh_token = '' } = await firstTokens(sandbox.url, 'salesforce')
    await oauth2().revokeToken(refresh_token)
    expect(await caught(oauth2().refreshToken(refresh_token))).toMatchObject({ name: 'invalid_grant' })
  })
})
