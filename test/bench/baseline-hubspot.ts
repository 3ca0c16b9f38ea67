// The same work by HubSpot's own SDK, as its documentation suggests: getAll, then batches one after the other, its limiter
// and retries on. What it flags is the same; it looks at nothing again before it writes.
import { readFileSync, writeFileSync } from 'node:fs'
import { AssociationTypes, Client } from '@hubspot/api-client'
import { chunks } from '../../src/batches.ts'
import { type Baseline, isIdle, run } from './baseline.ts'

const PROPERTIES = ['dealname', 'dealstage', 'amount', 'closedate', 'hubspot_owner_id']
const OURS = ['hs_v2_date_entered_current_stage', 'hs_manual_forecast_category', 'unstall_stalled']
const BATCH = 100
const { HubspotDefined } = { HubspotDefined: 'HUBSPOT_DEFINED' } as const

await run(async ({ url, now, speed, memory }: Baseline) => {
  const client = new Client({
    ...{ accessToken: 'sandbox-bench', basePath: url, numberOfApiCallRetries: 3 },
    ...(speed === 1 ? {} : { limiterOptions: { minTime: 1000 / 9 / speed, maxConcurrent: 6 } }),
  })
  const { crm } = client
  const tasks: Record<string, string> = now.first ? {} : JSON.parse(readFileSync(memory, 'utf8'))
  const deals = await crm.deals.getAll(undefined, undefined, [...PROPERTIES, ...OURS])
  const stalled = deals.filter(({ properties: p }) => isIdle(p.hs_v2_date_entered_current_stage, now.at))
  const flagged = new Set(deals.filter(({ properties: p }) => p.unstall_stalled === 'true').map(({ id }) => id))
  const fresh = stalled.filter(({ id }) => !flagged.has(id))
  const still = new Set(stalled.map(({ id }) => id))
  const over = [...flagged].filter((id) => !still.has(id))
  const flags = [
    ...fresh.map(({ id }) => ({
      id,
      properties: { unstall_stalled: 'true', hs_manual_forecast_category: 'OMIT' },
    })),
    ...over.map((id) => ({ id, properties: { unstall_stalled: 'false', hs_manual_forecast_category: 'COMMIT' } })),
  ]
  for (const inputs of chunks(flags, BATCH)) await crm.deals.batchApi.update({ inputs })
  for (const some of chunks(fresh, BATCH)) {
    const { results } = await crm.objects.tasks.batchApi.create({
      inputs: some.map(({ id, properties }) => ({
        properties: {
          hs_timestamp: new Date(now.at).toISOString(),
          hs_task_subject: `Stalled: ${properties.dealname}`,
          hubspot_owner_id: properties.hubspot_owner_id ?? '',
          unstall_task_key: id,
        },
        associations: [
          {
            to: { id },
            types: [{ associationCategory: HubspotDefined, associationTypeId: AssociationTypes.taskToDeal }],
          },
        ],
      })),
    } as never)
    for (const { id, properties } of results) tasks[String(properties.unstall_task_key)] = id
  }
  const done = over.flatMap((id) => tasks[id] ?? [])
  for (const some of chunks(done, BATCH))
    await crm.objects.tasks.batchApi.update({
      inputs: some.map((id) => ({ id, properties: { hs_task_status: 'COMPLETED' } })),
    })
  writeFileSync(memory, JSON.stringify(tasks))
  return deals.length
})
