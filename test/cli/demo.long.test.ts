// The demo ends by serving the dashboard over what it did, until Ctrl-C; where nobody looks it ends by itself.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { serves } from '../../src/cli/demo.ts'
import { command } from './harness.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'unstall-demo-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('serves what its nights did, the lookalikes behind it, and ends properly', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void taken.close())
  await once(taken, 'listening')
  const { port } = z.object({ port: z.number() }).parse(taken.address())
  const more = { UNSTALL_HOST: '0.0.0.0', UNSTALL_PORT: String(port) }
  const demo = command(folder, ['demo', '--nights', '0', '--serve'], more)
  await demo.said('The dashboard: http://127.0.0.1:')
  const [url = ''] = /http:\/\/127\.0\.0\.1:\d+/.exec(demo.heard()) ?? []
  const page = async (path: string) => (await fetch(`${url}${path}`)).text()
  const [, honest] = /what still moves is worth (€[\d,]+)/.exec(demo.heard()) ?? []
  expect(honest).toBeTruthy()
  expect(await page('/')).toContain(`<dd>${honest}</dd>`)
  // The CRMs still answer.
  expect(await page('/connections/hub/check')).toContain('HubSpot')
  demo.signal('SIGINT')
  expect((await demo.ended).code).toBe(0)
})

it.each([
  ['in a terminal', { json: false }, true, true],
  ['in a pipe', { json: false }, false, false],
  ['for a program', { json: true }, true, false],
  ['as told', { json: false, serve: false }, true, false],
  ['as told, for a program in a pipe', { json: true, serve: true }, false, true],
])('%s', (_, options, terminal, expected) => expect(serves(options, terminal)).toBe(expected))
