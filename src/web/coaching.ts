// `/coaching`: where the deals of each rep stop and what the rep said about it. Every open deal is judged for it, which
// takes seconds where there are 100,000: done once a run in the background, while the page says so.
import { setTimeout as delay } from 'node:timers/promises'
import { html } from 'hono/html'
import { sumsOf } from '../core/forecast.ts'
import { coachingOf } from '../report/build.ts'
import { type Block, blocksOf, type Cell } from '../report/document.ts'
import type { Rep } from '../report/model.ts'
import { fill, plain } from '../texts/shared.ts'
import type { Html } from './layout.ts'
import { blocks, chosen, connectionTabs, href, type Seen, seen, type Told, told, unread } from './parts.ts'
import type { Web } from './server.ts'
import type { WebService } from './service.ts'

type Sheet = Awaited<ReturnType<typeof coachingOf>>
interface Kept {
  /** The newest that is ready; null: none yet. */
  ready: { readonly run: string; readonly sheet: Sheet } | null
  underway: { readonly run: string; readonly sheet: Promise<Sheet> } | null
}

/** Small ones are ready within this: no page in between. */
const PATIENCE_MS = 1_500
const LOOK_AGAIN_S = 3

/** `patienceMs`: how long a request waits for a sheet; 0: not at all. */
export function coaching(web: Web, service: WebService, patienceMs = PATIENCE_MS): void {
  const kept = new Map<string, Kept>()

  /** The sheet of the newest run, or, where it takes longer, the one before. */
  async function sheetOf({ name, context }: Seen): Promise<Kept['ready']> {
    const { run } = context
    const found = kept.get(name) ?? { ready: null, underway: null }
    kept.set(name, found)
    if (found.ready?.run === run) return found.ready
    if (found.underway?.run !== run) {
      const sheet = coachingOf(service.db, name, context)
      const mine = { run, sheet }
      found.underway = mine
      const over = (ready: Sheet | null) => {
        if (found.underway !== mine) return
        found.underway = null
        if (ready) found.ready = { run, sheet: ready }
      }
      // Whoever waits hears of a failure; the next request tries again.
      sheet.then(over, () => over(null))
    }
    if (patienceMs > 0) await Promise.race([found.underway.sheet, delay(patienceMs, undefined, { ref: false })])
    return found.ready
  }

  web.get('/coaching', async (c) => {
    const t = told(c, service)
    const some = chosen(c, service)
    const read = await seen(service, some, t.texts)
    const page = { title: t.viewer.words.nav.coaching, at: '/coaching' }
    if (read.length === 0) return t.page({ ...page, body: unread(t) })
    const sheets = await Promise.all(read.map(async (one) => ({ one, ready: await sheetOf(one) })))
    const late = sheets.some(({ one, ready }) => ready?.run !== one.context.run)
    const parts = sheets.map(({ one, ready }) =>
      ready === null
        ? html`<section class="empty"><p role="status">${fill(t.words.sheet.preparing, { connection: one.name })}</p></section>`
        : html`${read.length > 1 ? html`<h2 class="name">${one.name}</h2>` : ''}${ready.run === one.context.run ? '' : html`<p class="note">${t.words.sheet.stale}</p>`}${sheetHtml(ready.sheet, one, read.length > 1, t)}`,
    )
    const body = html`<p class="lead">${t.words.sheet.lead}</p>${connectionTabs('/coaching', service, some, t)}${parts}`
    return t.page({ ...page, body, ...(late && { refreshAfter: LOOK_AGAIN_S }) })
  })
}

function sheetHtml(sheet: Sheet, { name: connection }: Seen, several: boolean, t: Told): Html {
  const { words, texts } = t
  if (sheet.coaching.length === 0) return html`<p>${words.sheet.none}</p>`
  const toDeals = (owner: string | null) =>
    href('/deals', { owner: owner ?? '–', connection: several ? connection : null })
  const of = blocksOf(texts, t.report, '', { ownerHref: toDeals })
  const section = (title: string, some: readonly Block[], drawn = false) => {
    const tables = blocks(some.filter(({ is }) => is !== 'chart'))
    return html`<section>${several ? html`<h3>${title}</h3>` : html`<h2>${title}</h2>`}
${blocks(some.filter(({ is }) => is === 'chart'))}${drawn ? html`<details><summary>${words.sheet.figures}</summary>${tables}</details>` : tables}</section>`
  }
  return html`<div class="sheet">${section(words.sheet.where, of.stops(sheet), true)}
${section(words.sheet.reps, of.coaching(sheet))}
${sheet.coaching.some(({ team }) => team !== null) ? section(words.sheet.teams, [teams(sheet.coaching, several ? connection : null, t)]) : ''}</div>`
}

function teams(reps: readonly Rep[], connection: string | null, t: Told): Block {
  const { sheet } = t.words
  const { number, percent } = t.texts
  const lines = [...Map.groupBy(reps, ({ team }) => team)].map(([team, some]) => {
    const sum = (of: 'open' | 'stalled' | 'maybes' | 'pushes') => some.reduce((total, rep) => total + rep[of], 0)
    const value = sumsOf(some.flatMap((rep) => Object.entries(rep.stalledValue)))
    const counts = { open: sum('open'), stalled: sum('stalled'), maybes: sum('maybes'), pushes: sum('pushes') }
    return { team, people: some.length, value, ...counts }
  })
  const rows = lines
    .sort((a, b) => b.stalled - a.stalled)
    .map(({ team, people, open, stalled, value, maybes, pushes }): readonly Cell[] => [
      { text: team === null ? sheet.noTeam : plain(team), href: href('/deals', { team: team ?? '–', connection }) },
      ...[number(people), number(open), number(stalled), percent(open > 0 ? stalled / open : 0), t.moneys(value)],
      ...[number(maybes), number(pushes)],
    ])
  const right = (title: string) => ({ title, number: true })
  const { people, open, stalled, share, value, maybes, pushes } = sheet
  const columns = [{ title: sheet.team }, ...[people, open, stalled, share, value, maybes, pushes].map(right)]
  return { is: 'table', caption: sheet.teams, columns, rows, note: null }
}
