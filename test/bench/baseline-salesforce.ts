// The same work by jsforce, as its documentation suggests: one query with autoFetch (its limit of 10,000 rows raised, or it
// would leave out the rest without a word), then collections of 200. It looks at nothing again before it writes.
import { readFileSync, writeFileSync } from 'node:fs'
import { Connection } from 'jsforce'
import { type Baseline, isIdle, run } from './baseline.ts'

const FIELDS = 'Id, Name, StageName, Amount, CloseDate, OwnerId, LastStageChangeDate, Unstall_Stalled__c'

interface Row {
  readonly Id: string
  readonly Name: string
  readonly OwnerId: string
  readonly LastStageChangeDate: string | null
  readonly Unstall_Stalled__c: boolean
}

await run(async ({ url, now, memory }: Baseline) => {
  const connection = new Connection({
    loginUrl: url,
    oauth2: { clientId: 'sandbox', clientSecret: 'sandbox', loginUrl: url },
  })
  await connection.authorize({ grant_type: 'client_credentials' })
  const tasks: Record<string, string> = now.first ? {} : JSON.parse(readFileSync(memory, 'utf8'))
  const { records } = await connection.query<Row>(`SELECT ${FIELDS} FROM Opportunity WHERE IsClosed = false`, {
    ...{ autoFetch: true, maxFetch: 10_000_000 },
  })
  const stalled = records.filter((row) => isIdle(row.LastStageChangeDate, now.at))
  const fresh = stalled.filter((row) => !row.Unstall_Stalled__c)
  const still = new Set(stalled.map(({ Id }) => Id))
  const over = records.filter((row) => row.Unstall_Stalled__c && !still.has(row.Id))
  const how = { allOrNone: false, allowRecursive: true }
  const flags = [
    ...fresh.map(({ Id }) => ({ Id, Unstall_Stalled__c: true, ForecastCategoryName: 'Omitted' })),
    ...over.map(({ Id }) => ({ Id, Unstall_Stalled__c: false, ForecastCategoryName: 'Commit' })),
  ]
  if (flags.length > 0) await connection.sobject('Opportunity').update(flags, how)
  const due = new Date(now.at).toISOString().slice(0, 10)
  const asked = fresh.map(({ Id, Name, OwnerId }) => {
    const link = { WhatId: Id, OwnerId, Unstall_Key__c: Id }
    return { ...link, Subject: `Stalled: ${Name}`, ActivityDate: due, Status: 'Not Started', Priority: 'Normal' }
  })
  const made = asked.length > 0 ? await connection.sobject('Task').create(asked, how) : []
  for (const [at, result] of made.entries()) if (result.success) tasks[fresh[at]?.Id ?? ''] = result.id
  const done = over.flatMap(({ Id }) => (tasks[Id] ? [{ Id: tasks[Id] ?? '', Status: 'Completed' }] : []))
  if (done.length > 0) await connection.sobject('Task').update(done, how)
  writeFileSync(memory, JSON.stringify(tasks))
  return records.length
})
