// What an operator does: preview a night and confirm it, run one now, take one back after looking at what would stay, and
// see how each connection is doing. Every action opens a run; workers carry it out.
import { html } from 'hono/html'
import { type DealId, SYSTEMS } from '../core/deal.ts'
import { Fatal, RetryLater } from '../errors.ts'
import { nextNight } from '../schedule.ts'
import { circuits, getConnection } from '../store/connections.ts'
import { getDeals, quarantined } from '../store/deals.ts'
import { getRun, latestRun, listRuns } from '../store/runs.ts'
import type { Circuit } from '../store/schema.ts'
import { remark } from '../texts/remarks.ts'
import { fill, plain } from '../texts/shared.ts'
import { formToken, type Html } from './layout.ts'
import { facts, inCrm, outside, runHref, type Told, table, told } from './parts.ts'
import { fillHtml, leftTable } from './runs.ts'
import type { Web } from './server.ts'
import type { Opened, UndoPreview, WebConnection, WebService } from './service.ts'

const MOST_HELD = 50

/** To the run that was opened, or to the one in the way. */
const toRun = (opened: Opened) => ('run' in opened ? runHref(opened.run.id) : `${runHref(opened.busy.id)}?busy`)

export function operatorPages(web: Web, service: WebService): void {
  const named = (name: string) => service.connections.find((one) => one.name === name)

  web.get('/connections', async (c) => {
    const t = told(c, service)
    const sections = await Promise.all(service.connections.map((one) => connectionSection(service, t, one)))
    return t.page({ title: t.viewer.words.nav.connections, at: '/connections', body: html`${sections}` })
  })
  for (const action of ['preview', 'run'] as const)
    web.post(`/connections/:name/${action}`, async (c) => {
      const { name } = c.req.param()
      return named(name) ? c.redirect(toRun(await service[action](name)), 303) : c.notFound()
    })
  web.get('/connections/:name/check', async (c) => {
    const connection = named(c.req.param('name'))
    if (!connection) return c.notFound()
    const t = told(c, service)
    const body = await checkBody(service, t, connection)
    const title = fill(t.operate.check.title, { connection: connection.name })
    return t.page({ title, at: '/connections', body })
  })

  web.post('/runs/:id/confirm', async (c) => {
    const preview = await getRun(service.db, c.req.param('id'))
    if (preview?.kind !== 'preview' || !named(preview.connection)) return c.notFound()
    return c.redirect(toRun(await service.run(preview.connection, preview.id)), 303)
  })
  web.get('/runs/:id/undo', async (c) => {
    const run = await getRun(service.db, c.req.param('id'))
    const deal = c.req.query('deal')
    if (!run || deal?.includes('\0')) return c.notFound()
    const t = told(c, service)
    const deals = deal === undefined ? undefined : [deal]
    let drawn: UndoPreview | string
    try {
      drawn = await service.drawUndo(run.id, deals)
    } catch (error) {
      if (!(error instanceof Fatal || error instanceof RetryLater)) throw error
      drawn = error.message
    }
    const name = deal === undefined ? null : await dealName(service, run.connection, deal)
    const body = undoBody(t, { id: run.id, deal, name }, drawn)
    return t.page({ title: fill(t.operate.undo.title, { run: run.id }), at: '/runs', body })
  })
  web.post('/runs/:id/undo', async (c) => {
    const { deal } = await c.req.parseBody()
    const deals = typeof deal === 'string' ? [deal] : undefined
    return c.redirect(toRun(await service.undo(c.req.param('id'), deals)), 303)
  })
}

async function dealName(service: WebService, connection: string, id: DealId): Promise<string> {
  const found = await getDeals(service.db, connection, [id])
  return plain(found.get(id)?.known.deal.name ?? id)
}

interface ToUndo {
  readonly id: string
  readonly deal: DealId | undefined
  readonly name: string | null
}

/** `drawn`: what would go back and what would stay, or why that cannot be said. */
function undoBody(t: Told, { id, deal, name }: ToUndo, drawn: UndoPreview | string): Html {
  const { viewer, operate, texts } = t
  const { undo: say, columns, groups } = operate
  const nothing = typeof drawn !== 'string' && drawn.plan.rows.length === 0
  const confirm = html`<form method="post" action="${runHref(id)}/undo" class="action">${formToken(viewer)}
${deal === undefined ? '' : html`<input type="hidden" name="deal" value="${deal}">`}
<p><button>${say.confirm}</button> <a href="${runHref(id)}">${say.cancel}</a></p></form>`
  const counts = typeof drawn === 'string' ? [] : [...Map.groupBy(drawn.plan.rows, ({ group }) => group)]
  const heads = [{ title: columns.what }, { title: say.count, number: true }]
  const rows = counts.map(([group, of]) => [groups[group], String(of.length)])
  return html`${name === null ? '' : html`<p dir="auto">${fill(say.ofDeal, { deal: name })}</p>`}
${typeof drawn === 'string' ? html`<p class="alarm">${fill(say.unread, { why: remark(texts.language, drawn) })}</p>` : ''}
${nothing ? html`<p class="empty">${say.none}</p>` : ''}
${rows.length > 0 ? table(say.would, heads, rows) : ''}
${typeof drawn === 'string' ? '' : drawn.left.length > 0 ? leftTable(t, say.left, drawn.left) : nothing ? '' : html`<p>${say.nothingLeft}</p>`}
${viewer.role === 'operator' && !nothing ? confirm : ''}`
}

async function checkBody(service: WebService, { operate }: Told, { name }: WebConnection): Promise<Html> {
  const { check: say } = operate
  const { columns, marks } = say
  const back = html`<p><a href="/connections">${say.back}</a></p>`
  try {
    const findings = await service.check(name)
    // The CRM's menus, and what the connectors say of them, are English.
    const rows = findings.map(({ level, what, todo }) => [
      html`<span class="mark ${level}">${marks[level]}</span>`,
      html`<span lang="en">${plain(what, 1000)}</span>`,
      todo ? html`<span lang="en">${plain(todo, 1000)}</span>` : '',
    ])
    const heads = [{ title: columns.mark }, { title: columns.found }, { title: columns.todo }]
    return html`<section class="deal">${table(say.caption, heads, rows, true)}</section>${back}`
  } catch (error) {
    if (!(error instanceof Fatal || error instanceof RetryLater)) throw error
    return html`<p class="alarm">${fill(say.unchecked, { why: error.message })}</p>${back}`
  }
}

async function connectionSection(service: WebService, t: Told, { name, system }: WebConnection): Promise<Html> {
  const { db, schedule, timezone } = service
  const { viewer, operate, texts } = t
  const { connections: say } = operate
  const now = service.clock()
  const at = (instant: number) => texts.instant(instant, timezone)
  const stored = await getConnection(db, name)
  const circuit = (await circuits(db, now, name)).get(name)
  const last = await latestRun(db, name, ['night', 'manual'])
  const [newest] = await listRuns(db, { connection: name, limit: 1 })
  const held = await quarantined(db, name)
  const confirmed = stored?.confirmedAt != null
  const link = (id: string, text: string) => html`<a href="${runHref(id)}">${text}</a>`
  const path = `/connections/${encodeURIComponent(name)}`
  const label = (action: string) => fill(say.of, { action, connection: name })
  const button = (action: 'preview' | 'run') =>
    html`<form method="post" action="${path}/${action}">${formToken(viewer)}<button aria-label="${label(say[action])}">${say[action]}</button></form>`
  return html`<section class="connection"><h2 dir="auto">${name} <small>${SYSTEMS[system]}</small></h2>
${circuit ? html`<p class="alarm" dir="auto">${circuitWords(t, circuit, at)}</p>` : ''}
${confirmed ? '' : html`<p class="notice">${say.unconfirmed}</p>`}
${newest?.status === 'open' ? html`<p class="notice">${fillHtml(say.open, { run: link(newest.id, newest.id) })}</p>` : ''}
${facts([
  [say.last, last ? link(last.id, at(last.now)) : say.never],
  [say.next, at(nextNight(now, schedule, timezone))],
  [say.quarantine, texts.number(held.length)],
])}
${held.length > 0 ? html`<details><summary>${say.quarantine}: ${texts.number(held.length)}</summary><p>${say.quarantined}</p><ul>${held.slice(0, MOST_HELD).map((one) => html`<li>${outside(one.name ?? one.id)}: <span dir="auto">${plain(one.problem, 500)}</span> ${one.url ? inCrm(t, system, { url: one.url, name: one.name ?? one.id }) : ''}</li>`)}</ul></details>` : ''}
<div class="actions">${viewer.role === 'operator' ? html`${button('preview')}${confirmed ? button('run') : ''}` : ''}<a class="button quiet" href="${path}/check" aria-label="${label(say.check)}">${say.check}</a></div></section>`
}

/** Why it is not called, and what happens next. */
function circuitWords({ operate, texts }: Told, circuit: Circuit, at: (instant: number) => string): string {
  const { paused, reconnect } = operate.connections
  const reason = plain(remark(texts.language, circuit.reason), 1000)
  return circuit.state === 'paused'
    ? fill(paused, { at: at(circuit.until), reason })
    : fill(reconnect, { at: at(circuit.since), reason })
}
