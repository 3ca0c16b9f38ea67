// Law 5 on Salesforce, where nothing but the look for our key keeps a task from being made twice. What the home does of
// a kill is seen in crash-hubspot.test.ts; here it is the one that starts faster.
import { afterAll, expect, it } from 'vitest'
import { homes, postgresServer } from '../homes.ts'
import { missing } from '../services.ts'
import { CALLS_ONLY, survive } from './crash.ts'

const postgres = missing(['PostgreSQL']) === null
afterAll(async () => {
  if (postgres) await (await postgresServer()).stop()
})

it('is killed in every kind of call, and the CRM holds every flag and every task once', async () => {
  const home = homes.find(({ name }) => name === (postgres ? 'PostgreSQL' : 'embedded'))
  if (!home) throw new Error('no home')
  await survive(home, 'salesforce', CALLS_ONLY)
  expect.hasAssertions()
}, 180_000)
