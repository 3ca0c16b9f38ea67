// Batches side by side: what one of them finishes or what fails meanwhile is no business of the others. While a call is
// under way its step has not ended, and what was planned a moment ago is not taken for planned still.
import type { KyselyPlugin } from 'kysely'
import { expect, it, onTestFinished } from 'vitest'
import { handlers } from '../../jobs/index.ts'
import type { Connector } from '../../src/connector.ts'
import { OWNERS } from '../../src/sandbox/generate.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import { getRun } from '../../src/store/runs.ts'
import { homes } from '../homes.ts'
import { MONDAY, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { connectTo, instead, startProgram } from './program.ts'

const ACTIVE = OWNERS.filter((one) => one.active).map((one) => one.email)
const SOME = Array.from({ length: 12 }, (_, at) => seedDeal(`deal ${at}`, { ownerEmail: ACTIVE[at % 4] ?? '' }))

/** A confirmed first night that stands before `apply`, two deals a batch. `answered`: asked whenever the database has told
 *  which rows are planned. */
async function beforeApply(
  change: (connector: Connector) => Partial<Connector>,
  answered: (rows: number) => Promise<void>,
) {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const crm = await startCrm('hubspot', seedOf(SOME))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const connector = await connectTo(crm, { settleMs: 0 })
  const connectors = {
    [crm.name]: instead(connector, () => ({ can: { ...connector.can, readBatch: 2 }, ...change(connector) })),
  }
  const program = await startProgram({ ...home, crms: [crm], connectors })
  onTestFinished(() => program.close())
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  const run = await program.open(crm, MONDAY, { confirm: preview.id })
  const planned = new WeakSet()
  const plugin: KyselyPlugin = {
    transformQuery: ({ node, queryId }) => {
      const limited = node.kind === 'SelectQueryNode' && node.limit !== undefined
      if (limited && JSON.stringify(node).includes('"planned"')) planned.add(queryId)
      return node
    },
    transformResult: async ({ result, queryId }) => {
      if (planned.has(queryId)) await answered(result.rows.length)
      return result
    },
  }
  const { step } = handlers({ ...program.ctx, db: program.ctx.db.withPlugin(plugin) }, async () => null)
  const { signal } = new AbortController()
  for (const name of ['pull', 'decide']) await step(run.id, name, signal)
  return { crm, program, run, apply: () => step(run.id, 'apply', signal) }
}

it('the database fails while a batch is on its way: the step ends after it', async () => {
  let [calls, writing, broken] = [0, 0, true]
  const release = Promise.withResolvers<void>()
  const { run, program, apply } = await beforeApply(
    (connector) => ({
      async *write(writes, signal) {
        writing++
        // One of the batches that go side by side.
        if (calls++ === 3) await release.promise
        yield* connector.write(writes, signal)
        writing--
      },
    }),
    async () => {
      if (!broken || writing === 0) return
      broken = false
      setTimeout(release.resolve, 50)
      throw new Error('the database has gone away')
    },
  )
  await expect(apply()).rejects.toThrow('the database has gone away')
  expect(broken).toBe(false)
  expect(writing).toBe(0)
  await apply()
  expect(await getRun(program.ctx.db, run.id)).toMatchObject({ step: 'report' })
})

it('a batch that ends while the database tells what is planned is not begun again', async () => {
  let reads = 0
  const { run, program, apply } = await beforeApply(
    (connector) => ({
      async read(ids, signal) {
        const found = await connector.read(ids, signal)
        // From the second batch on all have changed: they are dropped without a call.
        return reads++ === 0 ? found : new Map([...found.keys()].map((id) => [id, 'gone' as const]))
      },
    }),
    async () => {
      // A long answer, on a connection of its own.
      if (reads > 0) await new Promise((resolve) => setTimeout(resolve, 100))
    },
  )
  await apply()
  expect(await getRun(program.ctx.db, run.id)).toMatchObject({ step: 'report', failures: [] })
  const statuses = (await rowsOfRun(program.ctx.db, run.id)).map(({ status }) => status)
  expect([...new Set(statuses)].sort()).toEqual(['done', 'dropped'])
})
