// `unstall undo` as RevOps types it: a preview, one deal, the rest, and what was left alone, in words.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Place, place } from './harness.ts'

let at: Place
beforeAll(async () => {
  at = await place()
  at.config()
})
afterAll(() => at.close())

interface Row {
  readonly deal: { readonly id: string }
  readonly group: string
  readonly status: string
}
const state = async () => {
  const lines = (await (await fetch(`${at.hub.url}/__sandbox/state`)).text()).trim().split('\n')
  const rows: { kind: string; id: string; dealId?: string; properties: Record<string, string> }[] = lines.map((line) =>
    JSON.parse(line),
  )
  return {
    task: (deal: string) => rows.find((row) => row.kind === 'task' && row.dealId === deal),
    deal: (id: string) => rows.find((row) => row.kind === 'deal' && row.id === id)?.properties ?? {},
  }
}
const act = (body: object) =>
  fetch(`${at.hub.url}/__sandbox/act`, { method: 'POST', body: JSON.stringify({ by: 'person', ...body }) })

let run: string
let one: string
let two: string
let three: string
let planned: readonly Row[]

test('after a first night on which three deals got a task', async () => {
  expect((await at.run('setup', 'hub', '--apply')).code).toBe(0)
  const [{ preview }] = JSON.parse((await at.run('plan', 'hub', '--json')).out)
  const [night] = JSON.parse((await at.run('run', 'hub', '--confirm', preview, '--json')).out)
  const tasked = (night.writes as readonly Row[]).filter(({ group, status }) => group === 'task' && status === 'done')
  expect(tasked.length).toBeGreaterThan(2)
  run = night.run
  ;[one = '', two = '', three = ''] = tasked.map(({ deal }) => deal.id)
})

test('a preview shows what would go back, what would be left, and why', async () => {
  const seen = await state()
  await act({ act: 'set', id: two, field: 'hs_manual_forecast_category', value: 'COMMIT' })
  await act({ act: 'complete-task', id: seen.task(three)?.id })
  const written = await at.writes()

  const shown = await at.run('undo', run, '--preview')
  expect(shown).toMatchObject({ code: 0 })
  expect(shown.out).toMatch(/to be taken back: \d+ deals put back, \d+ forecast categories put back/)
  expect(shown.out).toContain(`${seen.deal(two).dealname} (forecast category): we wrote OMIT, somebody made it COMMIT`)
  expect(shown.out).toContain(`${seen.deal(three).dealname} (task): somebody completed the task`)
  expect(shown.out).toContain('Nothing was written.')
  const { left, writes } = JSON.parse((await at.run('undo', run, '--preview', '--json')).out)
  expect(left).toContainEqual(expect.objectContaining({ deal: two, wrote: 'OMIT', found: 'COMMIT', why: 'changed' }))
  planned = writes
  expect(await at.writes()).toBe(written)
})

test('one deal of it, by its link', async () => {
  const single = await at.run('undo', run, '--deal', `https://app.hubspot.com/contacts/1/record/0-3/${one}`)
  expect(single).toMatchObject({ code: 0 })
  expect(single.out).toContain('1 deal put back, 1 forecast category put back, 1 task withdrawn')
  const after = await state()
  expect(after.deal(one).unstall_stalled ?? '').not.toBe('true')
  expect(after.task(one)).toBeUndefined()
  expect(after.deal(two).unstall_stalled).toBe('true')
  expect(await at.run('undo', run, '--deal', one)).toMatchObject({
    code: 2,
    err: expect.stringContaining(`Nothing of ${run} on "${one}" is left to take back: it was undone before.`),
  })
  expect((await at.run('runs')).out).toContain(`takes back 1 deal of ${run}`)
})

test('the whole of it, once', async () => {
  const whole = await at.run('undo', run)
  expect(whole).toMatchObject({ code: 0 })
  expect(whole.out).toContain('Left alone:')
  expect(whole.out).toContain('somebody made it COMMIT')
  const end = await state()
  expect(end.deal(two)).toMatchObject({ hs_manual_forecast_category: 'COMMIT' })
  for (const { deal } of planned) expect(end.deal(deal.id).unstall_stalled ?? '', deal.id).not.toBe('true')
  expect(end.task(two)).toBeUndefined()
  expect(end.task(three)).toBeDefined()
  expect((await at.run('undo', run)).err).toContain('is left to take back')
})
