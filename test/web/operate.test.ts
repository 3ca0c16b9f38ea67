// What an operator walks through, over a store that nights of lookalike CRMs filled: preview, confirm, look at every write,
// take back with what people changed since. Deal names are hostile text on every page.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { updateConnection } from '../../src/store/connections.ts'
import type { Database } from '../../src/store/db.ts'
import { quarantine } from '../../src/store/deals.ts'
import { getRun, listRuns, type Run } from '../../src/store/runs.ts'
import { reportEn } from '../../src/texts/report-en.ts'
import { webEn } from '../../src/texts/web-en.ts'
import type { Web } from '../../src/web/server.ts'
import { borrowed, until } from '../homes.ts'
import { type Crm, DAY, HOSTILE_NAMES, MONDAY, REPS, seedDeal, seedOf, startCrm } from '../jobs/harness.ts'
import type { Program } from '../jobs/program.ts'
import { browser } from './browser.ts'
import { operated } from './operated.ts'

const words = webEn.operate
const HOSTILE = Object.values(HOSTILE_NAMES)
const DEALS = [
  ...Array.from({ length: 30 }, (_, n) => seedDeal(`deal ${n}`, { ownerEmail: REPS[n % 4] ?? '', idle: 40 + n })),
  ...HOSTILE.map((name) => seedDeal(name)),
]

let database: Database
let giveBack: () => Promise<void>
let crm: Crm
let program: Program
let web: Web
let close: () => Promise<void>
const asOperator = () => browser(web)
beforeAll(async () => {
  ;({ database, giveBack } = await borrowed())
  crm = await startCrm('hubspot', seedOf(DEALS))
  ;({ web, program, close } = await operated(database, [crm]))
})
afterAll(async () => {
  await close()
  await giveBack()
})

const idOf = (path: string | null) => path?.replace('/runs/', '').replace('?busy', '') ?? ''
async function over(id: string): Promise<Run> {
  await until(async () => (await getRun(database.db, id))?.status !== 'open', 20_000)
  const run = await getRun(database.db, id)
  if (!run) throw new Error(`no run ${id}`)
  return run
}
/** No name reaches a page as markup: what is between the tags of a page is what we wrote ourselves. */
function expectEscaped(page: string): void {
  expect(page).not.toMatch(/<script|<b>"|[\p{Cc}--[\n]]|\u202e/v)
  expect(page).not.toContain('alert(1)</')
}

describe('the path of an operator', () => {
  let preview: Run
  let night: Run

  it('previews, confirms, and the workers write it', async () => {
    const { ask, press } = asOperator()
    const before = await ask('/connections')
    expect(before.text).toContain(words.connections.unconfirmed)
    expect(before.text).toContain(words.connections.never)
    expect(before.text).not.toContain('/connections/hub/run')
    expect((await ask('/runs')).text).toContain(words.runs.none)
    const opened = await press('/connections', '/connections/hub/preview')
    expect(opened.status).toBe(303)
    preview = await over(idOf(opened.to))
    expect(preview).toMatchObject({ kind: 'preview', status: 'done' })
    const page = await ask(opened.to ?? '')
    expect(page.status).toBe(200)
    expect(page.text).toContain(words.run.would)
    expect(page.text).toContain(words.run.confirm)
    expect(page.headers.get('refresh')).toBeNull()
    expect(await crm.journal()).toEqual([])

    const confirmed = await press(opened.to ?? '', `/runs/${preview.id}/confirm`)
    expect(confirmed.status).toBe(303)
    night = await over(idOf(confirmed.to))
    expect(night).toMatchObject({ kind: 'manual', status: 'done', options: { confirm: preview.id } })
    expect((await crm.look()).deals.filter(({ stalled }) => stalled)).toHaveLength(DEALS.length)
    const after = await ask('/connections')
    expect(after.text).toContain('/connections/hub/run')
    expect(after.text).toContain(`/runs/${night.id}`)
  })

  it('shows every write before and after, page by page, and the name of each deal as text', async () => {
    const { ask } = asOperator()
    const seen = new Set<string>()
    for (const id of [night.id, preview.id])
      for (const page of [1, 2]) {
        const { text, status } = await ask(`/runs/${id}?page=${page}`)
        expect(status).toBe(200)
        expectEscaped(text)
        expect(text).toContain(words.pages.which.replace('{page}', String(page)).replace('{pages}', '2'))
        for (const [, name = ''] of text.matchAll(/<h3><a [^>]*><bdi>([^<]*)/g)) seen.add(name)
      }
    expect(seen.size).toBe(DEALS.length)
    const { text } = await ask(`/runs/${night.id}`)
    expect(text).toContain('href="https://app.hubspot.com/')
    for (const told of [
      'commit',
      'OMIT',
      'No movement',
      'Stalled',
      words.run.empty,
      reportEn.answers.yes,
      words.run.text,
    ])
      expect(text.toLowerCase()).toContain(told.toLowerCase())
    const held = await ask(`/runs/${night.id}?show=held`)
    expect(held.text).toMatch(/new tasks|owner has left|held/i)
    expect((await ask(`/runs/${night.id}?show=refused`)).text).toContain(words.run.noneSuch)
    for (const query of ['page=99', 'page=-1', 'page=x', 'show=constructor', 'show=all&show=held'])
      expect((await ask(`/runs/${night.id}?${query}`)).status).toBe(200)
    expect((await ask(`/runs/${night.id}/undo?deal=%00`)).status).toBe(404)
    expect((await ask(`/runs/${night.id}/undo?deal=nobody`)).status).toBe(409)
    const list = await ask('/runs')
    for (const id of [night.id, preview.id]) expect(list.text).toContain(`/runs/${id}`)
    const ids = (await crm.look()).deals.filter(({ name }) => !name.startsWith('deal ')).map(({ id }) => id)
    const others = ['/', '/deals', '/coaching', '/runs', ...ids.map((id) => `/deals/hub/${id}`)]
    for (const path of others) {
      const { text, status } = await ask(`${path}?language=fr`)
      expect(status, path).toBe(200)
      expectEscaped(text)
    }
    expectEscaped((await ask(`/runs/${night.id}?language=fr`)).text)
  })

  it('refuses what the command line refuses, in the same words', async () => {
    const { press, ask } = asOperator()
    await crm.clock(MONDAY + 2 * DAY)
    const old = await press(`/runs/${preview.id}`, `/runs/${preview.id}/confirm`)
    expect(old.status).toBe(409)
    expect(old.text).toContain(`Preview ${preview.id} is older than a day.`)
    const french = await press(`/runs/${preview.id}?language=fr`, `/runs/${preview.id}/confirm`)
    expect(french.text).toContain('L’aperçu')
    const none = await ask(`/runs/${preview.id}/undo?language=en`)
    expect(none.status).toBe(409)
    expect(none.text).toContain('is a preview: it wrote nothing')
    expect((await press('/connections', `/runs/${night.id}/confirm`)).status).toBe(404)
  })

  it('a CRM that does not answer is told, and still lets one take back', async () => {
    const { ask } = asOperator()
    await crm.faults([{ path: '/deals/batch/read', fault: '429-daily', times: 50 }])
    const { status, text } = await ask(`/runs/${night.id}/undo`)
    await crm.faults([])
    expect(status).toBe(200)
    expect(text).toContain(words.undo.unread.split('{why}')[0])
    expect(text).toContain(words.undo.confirm)
  })

  it('shows what taking back would leave, takes one deal back, then the rest', async () => {
    const { ask, press } = asOperator()
    await crm.set('deal 1', 'category', 'BEST_CASE')
    const id = (await crm.look()).deal('deal 0').id
    const one = await ask(`/runs/${night.id}/undo?deal=${id}`)
    expect(one.text).toContain('deal 0')
    expect(one.text).toContain(words.undo.nothingLeft)
    const undone = await press(`/runs/${night.id}/undo?deal=${id}`, `/runs/${night.id}/undo`, { deal: id })
    const first = await over(idOf(undone.to))
    expect(first).toMatchObject({ kind: 'undo', status: 'done', options: { undoes: night.id, deals: [id] } })
    expect((await crm.look()).deals.filter(({ stalled }) => !stalled).map(({ name }) => name)).toEqual(['deal 0'])
    const again = await ask(`/runs/${night.id}/undo?deal=${id}`)
    expect(again.status).toBe(409)
    expect(again.text).toContain('is left to take back')

    const before = (await crm.journal()).length
    const all = await ask(`/runs/${night.id}/undo`)
    expect(all.text).toContain('deal 1')
    expect(all.text).toContain('somebody made it BEST_CASE')
    expectEscaped(all.text)
    expect((await ask(`/runs/${night.id}/undo?language=fr`)).text).toContain('quelqu’un a mis BEST_CASE')
    expect((await crm.journal()).length).toBe(before)
    const rest = await over(idOf((await press(`/runs/${night.id}/undo`, `/runs/${night.id}/undo`)).to))
    expect((await crm.look()).deals.filter(({ stalled }) => stalled)).toEqual([])
    const shown = await ask(`/runs/${rest.id}?language=en`)
    expect(shown.text).toContain(words.run.left)
    expect(shown.text).toContain(`<a href="/runs/${night.id}">`)
    expect(shown.text).not.toContain(words.run.undo)
  })

  it('says how a connection is doing, and what to do', async () => {
    const { ask } = asOperator()
    const { ctx } = program
    const reason = 'hub needs re-connecting: <b>the token</b> was refused.'
    await updateConnection(ctx.db, 'hub', { circuit: { state: 'reconnect', since: MONDAY, reason } })
    const [run] = await listRuns(ctx.db, { limit: 1 })
    await quarantine(ctx.db, 'hub', [{ deal: '999', problem: '<i>amount</i> is no number' }], MONDAY)
    const { text } = await ask('/connections')
    expect(text).toContain('Needs re-connecting since')
    expect(text).toContain('&lt;b&gt;the token')
    expect(text).toContain('&lt;i&gt;amount')
    expect(text).toContain('November')
    expect((await ask('/connections?language=fr')).text).toContain('À reconnecter depuis le')
    await updateConnection(ctx.db, 'hub', {
      circuit: { state: 'paused', until: Date.now() + 3_600_000, reason: 'too many' },
    })
    expect((await ask('/connections?language=en')).text).toMatch(/Paused until .*too many/)
    await updateConnection(ctx.db, 'hub', { circuit: null })
    expect(run).toBeDefined()
    const check = await ask('/connections/hub/check')
    expect(check.text).toContain(words.check.marks.ok)
    expect(check.text).toContain('Decision stages')
  })

  it('a run under way loads itself again until told not to, and stands in the way of another', async () => {
    const { ask, press } = asOperator()
    const open = await program.open(crm, MONDAY + 2 * DAY)
    const page = await ask(`/runs/${open.id}`)
    expect(page.headers.get('refresh')).toBe('1')
    expect(page.text).toContain(words.run.stay)
    expect((await ask(`/runs/${open.id}?still`)).headers.get('refresh')).toBeNull()
    const other = await press('/connections', '/connections/hub/run')
    expect(other.to).toBe(`/runs/${open.id}?busy`)
    expect((await ask(other.to ?? '')).text).toContain(words.run.busy)
    expect((await ask(`/runs/${open.id}/undo`)).text).toContain('is not over yet')
    await program.finish(open)
  })

  it('the queue is for operators, and nothing in it can be changed', async () => {
    const { ask } = asOperator()
    const page = await ask('/queue')
    expect(page.status).toBe(200)
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'")
    const script = /src="([^"]*static\/js\/main[^"]*)"/.exec(page.text)?.[1] ?? ''
    expect((await ask(`/queue/${script}`)).status).toBe(200)
    const queues = await ask('/queue/api/queues?activeQueue=steps&status=latest&page=1&jobsPerPage=10')
    expect(JSON.parse(queues.text).queues[0]).toMatchObject({ name: 'steps', readOnlyMode: true })
    for (const method of ['PUT', 'POST', 'DELETE', 'PATCH'])
      expect((await ask('/queue/api/queues/steps/clean/waiting', { method })).status).toBe(403)
  })
})
