// docs/sandbox.md is what other programs rely on: its JSON schemas must be those the server parses and answers with.
// UPDATE_DOCS=1 writes them into the page.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { Act, Clock, Faults } from '../../src/sandbox/control.ts'
import { generate } from '../../src/sandbox/generate.ts'
import { hubspot } from '../../src/sandbox/hubspot/server.ts'
import { salesforce } from '../../src/sandbox/salesforce/index.ts'
import * as answers from './answers.ts'
import { type Client, NOW, open } from './client.ts'

const PAGE = new URL('../../docs/sandbox.md', import.meta.url)
const sent = { Clock, Act, Faults }
const { StateLine, ...others } = answers
const answered = { StateLineHubSpot: StateLine.hubspot, StateLineSalesforce: StateLine.salesforce, ...others }

/** JSON that keeps whatever fits on one line on one line. */
function printed(value: unknown, indent = ''): string {
  const flat = JSON.stringify(value)
  if (flat.length + indent.length <= 120 || typeof value !== 'object' || value === null) return flat
  const deeper = `${indent}  `
  const parts = Array.isArray(value)
    ? value.map((one) => deeper + printed(one, deeper))
    : Object.entries(value).map(([name, one]) => `${deeper}${JSON.stringify(name)}: ${printed(one, deeper)}`)
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}']
  return `${open}\n${parts.join(',\n')}\n${indent}${close}`
}

const schemas = Object.entries({ ...sent, ...answered }).map(([name, schema]): [string, string] => {
  const made = z.toJSONSchema(schema, { io: name in sent ? 'input' : 'output' })
  return [name, `<!-- schema ${name} -->\n\n\`\`\`json\n${printed(made)}\n\`\`\`\n\n<!-- end -->`]
})

it('the page holds the schemas of the code', () => {
  let page = readFileSync(PAGE, 'utf8')
  if (process.env.UPDATE_DOCS === '1') {
    for (const [name, block] of schemas)
      page = page.replace(new RegExp(`<!-- schema ${name} -->[^]*?<!-- end -->`), () => block)
    writeFileSync(PAGE, page)
  }
  for (const [name, block] of schemas)
    expect(page.includes(block), `${name}: run UPDATE_DOCS=1 vitest run test/sandbox/docs.test.ts`).toBe(true)
})

const clients: Client[] = []
beforeAll(async () => {
  const seed = generate({ now: NOW, deals: 40, seed: 1 })
  clients.push(await open(hubspot(seed)), await open(salesforce(seed)))
})
afterAll(() => Promise.all(clients.map((client) => client.sandbox.close())))

it('every line of both states fits its schema', async () => {
  const [hub, org] = clients
  const name = 'unstall_task_key'
  const property = { name, label: 'key', groupName: 'task', type: 'string', fieldType: 'text' }
  await hub?.post('/crm/properties/2026-09/tasks', property)
  const inputs = [{ properties: { hs_timestamp: '2026-11-04T08:00:00Z', [name]: 'a' } }]
  await hub?.post('/crm/objects/2026-09/tasks/batch/create', { inputs })
  const kinds = async (client: Client | undefined, schema: z.ZodType<{ kind: string }>) =>
    new Set((await client?.lines('/__sandbox/state'))?.map((line) => schema.parse(line).kind))
  expect(await kinds(hub, StateLine.hubspot)).toEqual(new Set(['meta', 'owner', 'field', 'deal', 'task']))
  expect(await kinds(org, StateLine.salesforce)).toEqual(new Set(['meta', 'owner', 'deal', 'task']))
})
