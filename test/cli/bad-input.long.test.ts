// Bad input: each gets a sentence saying what is wrong, where, and what to do; the right exit code; and nothing is
// half-done: the lookalikes' journal shows no write.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration names secrets like this
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Place, place, type Result } from './harness.ts'

let at: Place
beforeAll(async () => {
  at = await place()
})
afterAll(() => at.close())
beforeEach(() => at.config())

/** No stack, no token, nothing on stdout but results. */
function clear({ code, err, out }: Result, exit: number, ...words: readonly string[]): void {
  for (const word of words) expect(`${err}\n${out}`).toContain(word)
  expect(err).not.toMatch(/\bat .*\.ts:\d+|sandbox-cli/)
  expect(code).toBe(exit)
}

describe('the configuration', () => {
  test('is not there', async () => {
    clear(await at.run('-c', 'nowhere.yaml', 'plan'), 2, 'nowhere.yaml', 'unstall.config.example.yaml')
  })
  test('has an unknown key and an unset secret: both are named, with their lines', async () => {
    at.config([
      ['timezone:', 'timezoon: x\ntimezone:'],
      ['${SF_CLIENT_SECRET}', '${SF_SECRET_OF_NOBODY}'],
    ])
    clear(await at.run('plan'), 2, 'timezoon', 'timezone', 'SF_SECRET_OF_NOBODY', 'line 1', 'line 12')
  })
  test('names a connection nobody knows', async () => {
    clear(await at.run('plan', 'hubb'), 2, '"hubb"', 'hub, sf')
    clear(await at.run('setup', 'hubb'), 2, '"hubb"')
  })
  test('names a stage that does not exist: check says which ones do', async () => {
    at.config([['[contractsent, Contract sent]', '[contractsnt]']])
    clear(await at.run('check', 'hub'), 1, 'contractsnt', 'contractsent')
    clear(await at.run('check', 'sf'), 1, 'contractsnt', 'Contract sent')
  })
})

describe('the CRM', () => {
  test('refuses the token', async () => {
    at.config([['"${HUBSPOT_TOKEN}"', '"${HOME}"']])
    clear(await at.run('check', 'hub'), 1, 'HubSpot', 'token')
    at.config([['clientId: sandbox', 'clientId: wrong']])
    clear(await at.run('check', 'sf'), 1, 'Salesforce', 'clientId')
  })
  test('grants too little: the missing scope is named', async () => {
    at.config([['"${HUBSPOT_TOKEN}"', 'sandbox-noscope-crm.objects.owners.read']])
    clear(await at.run('check', 'hub'), 1, 'crm.objects.owners.read')
  })
  test('holds a field of our name with another type: setup creates nothing', async () => {
    const before = await at.writes()
    const property = {
      name: 'unstall_reason',
      label: 'x',
      groupName: 'dealinformation',
      type: 'number',
      fieldType: 'number',
    }
    const made = await fetch(`${at.hub.url}/crm/properties/2026-09/deals`, {
      method: 'POST',
      headers: { authorization: 'Bearer sandbox-other', 'content-type': 'application/json' },
      body: JSON.stringify(property),
    })
    expect(made.status).toBe(201)
    clear(await at.run('setup', 'hub', '--apply'), 1, 'unstall_reason', 'Nothing was created')
    expect(await at.writes()).toBe(before + 1)
    await fetch(`${at.hub.url}/__sandbox/reset`, { method: 'POST' })
  })
  test('does not answer', async () => {
    at.config([[at.hub.url, 'http://127.0.0.1:9']])
    clear(await at.run('plan', 'hub'), 1, 'hub', 'http://127.0.0.1:9')
    clear(await at.run('check', 'hub'), 1, 'http://127.0.0.1:9')
  })
})

describe('a run', () => {
  test('that nobody knows, a preview, and one undone twice cannot be taken back', async () => {
    await at.run('setup', 'hub', '--apply')
    const preview = await at.run('plan', 'hub', '--json')
    expect(preview.code).toBe(0)
    const [{ preview: id }] = JSON.parse(preview.out)
    const quiet = await at.writes()
    clear(await at.run('undo', 'hub-2020-01-01-1'), 2, 'hub-2020-01-01-1', 'unstall runs')
    clear(await at.run('undo', id), 2, id, 'preview')
    clear(await at.run('run', 'hub', '--confirm', 'hub-2020-01-01-1'), 2, 'hub-2020-01-01-1', 'unstall plan')
    expect(await at.writes()).toBe(quiet)

    const done = await at.run('run', '--confirm', id, '--json')
    expect(done.code).toBe(0)
    const [{ run }] = JSON.parse(done.out)
    expect(await at.writes()).toBeGreaterThan(quiet)
    expect((await at.run('undo', run)).code).toBe(0)
    const undone = await at.writes()
    clear(await at.run('undo', run), 2, run, 'undone before')
    clear(await at.run('explain', 'no such deal'), 2, 'no such deal')
    expect(await at.writes()).toBe(undone)
  })
  test('by a second process in the same data directory is refused with the number of the first', async () => {
    const first = at.start('start')
    await first.said('unstall runs:')
    const second = await at.run('runs')
    clear(second, 2, 'process')
    expect(second.err).toMatch(/process \d+/)
    first.signal('SIGTERM')
    expect((await first.ended).code).toBe(0)
  })
})

test('an address of another machine is not called a port that is taken', async () => {
  vi.stubEnv('UNSTALL_HOST', '192.0.2.1')
  vi.stubEnv('UNSTALL_VIEWER', `scrypt.32768.8.3.${'s'.repeat(22)}.${'k'.repeat(43)}`)
  const service = at.start('start')
  vi.unstubAllEnvs()
  const { code, err } = await service.ended
  expect([code, err]).toEqual([2, expect.stringMatching(/192\.0\.2\.1.*EADDRNOTAVAIL.*UNSTALL_HOST/)])
})

test('a role nobody knows, or one process of many over a database that admits one', async () => {
  clear(await at.run('start', '--role', 'cook'), 2, 'cook', 'worker, scheduler, web')
  for (const role of ['worker', 'scheduler', 'web'])
    clear(await at.run('start', '--role', role), 2, `--role ${role} needs DATABASE_URL`, 'leave --role out')
})

test('a command nobody knows, a wrong number, a wrong time', async () => {
  clear(await at.run('plann'), 2, 'plan')
  clear(await at.run('runs', '--limit', 'many'), 2, 'whole number')
  clear(await at.run('plan', '--now', 'yesterday'), 2, 'ISO date')
})
