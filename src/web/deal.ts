// `/deals/<connection>/<id>`: one deal, as `unstall explain` tells it: the verdict step by step, the movement log with
// what counted and what did not, the pushes, and what unstall wrote in which run.
import { html } from 'hono/html'
import { type ExplainStep, explainSteps, reasonOf } from '../core/explain.ts'
import { observedAfter } from '../core/reaffirm.ts'
import { judgedNow } from '../report/build.ts'
import { GROUPS } from '../report/summary.ts'
import { getDeals, quarantined, transitionsOf } from '../store/deals.ts'
import { ledgerForDeals, type StoredRow } from '../store/ledger.ts'
import { remark } from '../texts/remarks.ts'
import { fill, plain } from '../texts/shared.ts'
import type { Html } from './layout.ts'
import { badge, inCrm, outside, runHref, seen, type Told, table, told } from './parts.ts'
import type { Web } from './server.ts'
import type { WebService } from './service.ts'

/** Events beyond these are folded up. */
const MOST_EVENTS = 25

type Of<S extends ExplainStep['step']> = Extract<ExplainStep, { step: S }>
const of = <S extends ExplainStep['step']>(steps: readonly ExplainStep[], step: S): readonly Of<S>[] =>
  steps.filter((one): one is Of<S> => one.step === step)

export function dealPage(web: Web, service: WebService): void {
  web.get('/deals/:connection/:id', async (c) => {
    const { connection } = c.req.param()
    const id = plain(c.req.param('id'), 200)
    const t = told(c, service)
    const some = service.connections.filter(({ name }) => name === connection)
    const [read] = await seen(service, some, t.texts)
    const stored = read && (await getDeals(service.db, connection, [id])).get(id)
    if (!read || !stored) return c.notFound()
    const { words, texts } = t
    const { context, labels, system } = read
    const { known } = stored
    const { deal } = known
    const rows = (await ledgerForDeals(service.db, connection, [id])).get(id) ?? []
    const past = (await transitionsOf(service.db, connection, [id])).get(id)
    const odd = (await quarantined(service.db, connection)).find((held) => held.id === id)
    const { log, verdict, state, standing } = judgedNow(stored, rows, context)
    const steps = explainSteps(known, verdict, log, context, past)
    const say = (step: ExplainStep) => texts.step(step)
    const reason = reasonOf(known, verdict, log, context, false)
    const { owner, team, stage, pipeline } = labels.of(deal)
    const { cause } = observedAfter(deal, rows).own
    const { answer } = verdict.decision
    const facts: readonly (readonly [string, Html | string | null])[] = [
      [words.deal.amount, deal.amount === null ? null : texts.money(deal.amount, deal.currency)],
      [words.deal.stage, html`${outside(stage)}<small>${outside(pipeline)}</small>`],
      [
        words.deal.owner,
        owner === null ? null : html`${outside(owner)}${team === null ? '' : html`<small>${outside(team)}</small>`}`,
      ],
      [words.deal.close, deal.closeDate && texts.date(deal.closeDate)],
      [words.deal.created, texts.date(context.calendar.localDate(deal.createdAt))],
      [words.deal.answer, answer && t.report.answers[answer]],
      [words.deal.cause, cause && texts.names.causes[cause]],
    ]
    const rule = state === 'stalled' ? (standing.stall?.rule ?? verdict.rule) : null
    const lines = [...of(steps, 'protection'), ...of(steps, 'clears'), ...of(steps, 'out')]
    const body = html`<p class="state">${badge(state, texts.names.states[state])} ${rule === null ? '' : html`<strong>${texts.names.rules[rule]}</strong>`}
${inCrm(t, system, deal)}</p>
${stored.gone ? html`<p class="alarm">${words.deal.gone}</p>` : ''}
${odd ? html`<p class="alarm">${fill(words.deal.odd, { problem: plain(odd.problem, 300) })}</p>` : ''}
<dl class="about">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value ?? '–'}</dd></div>`)}</dl>
<section class="verdict"><h2>${words.deal.verdict}</h2>
${reason ? html`<p dir="auto">${texts.explanation(reason)}</p>` : ''}
${lines.map((step) => html`<p>${say(step)}</p>`)}
${of(steps, 'warning').map((step) => html`<p class="warned">${say(step)}</p>`)}
<p class="note">${[...of(steps, 'clock'), ...of(steps, 'next')].map(say).join('. ').replaceAll('..', '.')}</p>
<p class="note">${fill(words.deal.asOf, { at: texts.instant(context.now, context.settings.timezone) })}</p></section>
${rules(of(steps, 'rule'), of(steps, 'decision'), t)}
${timeline(steps, t)}
${pushes(log.pushes, t)}
${writes(rows, t)}
<section><h2>${words.deal.past}</h2>${
      past
        ? html`<ul>${of(steps, 'past')
            .toReversed()
            .map((step) => html`<li>${say(step)}</li>`)}</ul>`
        : html`<p>${words.deal.noPast}</p>`
    }</section>
${
  of(steps, 'blind').length === 0
    ? ''
    : html`<section><h2>${words.deal.blind}</h2><ul>${of(steps, 'blind').map((step) => html`<li>${say(step)}</li>`)}</ul></section>`
}`
    return t.page({ title: plain(deal.name, 120), at: '/deals', body })
  })
}

function rules(checks: readonly Of<'rule'>[], decision: readonly Of<'decision'>[], t: Told): Html | string {
  const { deal } = t.words
  if (checks.length === 0) return ''
  const { columns } = deal
  const { answers } = t.report
  const rows = checks.map(({ check }) => {
    const found = t.texts.check(check)
    const name = t.texts.names.rules[check.rule]
    if (found === null) return [name, deal.notApplicable, '–', '–', '–']
    const holds = check.holds ? html`<strong class="holds">${answers.yes}</strong>` : answers.no
    return [name, found.measured, found.limit, holds, found.notes || '–']
  })
  const { rule, measured, limit, holds, note } = columns
  return html`<section><h2>${deal.rules}</h2>${table(deal.rules, titled(rule, measured, limit, holds, note), rows)}
${decision.map((step) => html`<p>${t.texts.step(step)}</p>`)}</section>`
}

function timeline(steps: readonly ExplainStep[], t: Told): Html {
  const { deal } = t.words
  const item = (step: Of<'event'>) => {
    const { on, what, counts, source } = t.texts.event(step)
    // An activity has only a number there, a difference between two nights nothing.
    const told = step.entry.field !== null && step.entry.source !== 'observed'
    return html`<li class="${step.entry.counts}"><p><span class="when">${on}</span> <strong dir="auto">${what}</strong></p><p><span>${counts}</span>${told ? html` <span class="source">${outside(source, 40)}</span>` : ''}</p></li>`
  }
  const events = of(steps, 'event').toReversed()
  const begun = of(steps, 'created').map((step) => html`<li class="no"><p>${t.texts.step(step)}</p></li>`)
  const older = events.slice(MOST_EVENTS).map(item)
  const list = (items: readonly Html[]) => html`<ol class="timeline" reversed>${items}</ol>`
  return html`<section><h2>${deal.timeline}</h2>${list([...events.slice(0, MOST_EVENTS).map(item), ...(older.length === 0 ? begun : [])])}
${older.length === 0 ? '' : html`<details><summary>${deal.older} (${t.texts.number(older.length)})</summary>${list([...older, ...begun])}</details>`}</section>`
}

function pushes(found: readonly { readonly on: string; readonly from: string; readonly to: string }[], t: Told): Html {
  const { deal } = t.words
  const { date, from, to } = deal.columns
  const rows = found.map((push) => [push.on, push.from, push.to].map(t.texts.date))
  return html`<section><h2>${deal.pushes}</h2>${found.length === 0 ? html`<p>${deal.noPushes}</p>` : table(deal.pushes, titled(date, from, to), rows)}</section>`
}

function writes(rows: readonly StoredRow[], t: Told): Html {
  const { deal } = t.words
  const { language } = t.texts
  const lines = rows.toReversed().map(({ run, group, cause, status, message, hold }) => {
    const rest = message ? remark(language, plain(message, 300)) : hold ? t.texts.hold(hold) : '–'
    const what = fill(t.words.of, { what: remark(language, GROUPS[group]), said: t.report.changes[cause] })
    return [html`<a href="${runHref(run)}">${run}</a>`, what, t.report.statuses[status], rest]
  })
  const { run, wrote, status, rest } = deal.columns
  const body =
    rows.length === 0 ? html`<p>${deal.noWrites}</p>` : table(deal.writes, titled(run, wrote, status, rest), lines)
  return html`<section><h2>${deal.writes}</h2>${body}</section>`
}

const titled = (...titles: readonly string[]) => titles.map((title) => ({ title }))
