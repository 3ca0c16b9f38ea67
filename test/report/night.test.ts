// The report over real nights of a lookalike CRM: what it says agrees with what the night wrote and with itself.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { weeklyMessage } from '../../src/digest/messages.ts'
import { toMail, toText } from '../../src/digest/render.ts'
import { buildReport } from '../../src/report/build.ts'
import { type ConnectionReport, DealLine, Report } from '../../src/report/model.ts'
import { render } from '../../src/report/render.ts'
import { type Database, openDatabase } from '../../src/store/db.ts'
import type { Run } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { fr } from '../../src/texts/fr.ts'
import { snapshot } from '../homes.ts'
import { type Crm, DAY, MONDAY, REPS, seedDeal, seedOf, setUp, startCrm } from '../jobs/harness.ts'
import { type Program, startProgram } from '../jobs/program.ts'

const [REP = '', OTHER = ''] = REPS
const SCRIPT = '<script>alert(1)</script>'
const ARABIC = 'شركة الأمل'
const wonDeal = seedDeal('won', {
  ...{ idle: 30, to: 'closedwon', closeDate: new Date(MONDAY - 30 * DAY).toISOString().slice(0, 10) },
})

let database: Database
let crm: Crm
let program: Program
let runs: { preview: Run; first: Run; second: Run }
let previewed: Report
beforeAll(async () => {
  database = await openDatabase({ snapshot: await snapshot() })
  const still = [SCRIPT, ARABIC, 'wakes up', 'answers no', 'cleared', 'other rep'].map((name, n) =>
    seedDeal(name, { amount: 100.1 * (n + 1), ownerEmail: n === 5 ? OTHER : REP }),
  )
  const moving = ['moves', 'late'].map((name) => seedDeal(name, { idle: name === 'late' ? 19 : 2, amount: 50 }))
  crm = await startCrm('hubspot', seedOf([...still, ...moving, wonDeal]))
  await setUp(crm)
  program = await startProgram({ database, crms: [crm] })
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  previewed = await report()
  const first = await program.night(crm, MONDAY, { confirm: preview.id })
  await crm.clock(MONDAY + DAY / 2)
  await crm.act('wakes up', 'buyer-reply')
  await crm.set('answers no', 'decision', 'no')
  await crm.set('cleared', 'stalled', 'false')
  await crm.clock(MONDAY + 4 * DAY)
  const second = await program.night(crm, MONDAY + 4 * DAY)
  runs = { preview, first, second }
})
afterAll(async () => {
  await program.close()
  await crm.stop()
  await database.close()
})

const report = (run: Run | null = null) =>
  buildReport(database.db, { connections: [crm], run, texts: en, timezone: 'UTC' })
const only = ({ connections: [found] }: Report): ConnectionReport => {
  if (!found) throw new Error('nothing reported')
  return found
}
const named = (deals: readonly DealLine[], which: (deal: DealLine) => boolean) =>
  deals.filter(which).map(({ name }) => name)

describe('over two nights', () => {
  test('is exactly what its schema says, nothing of the configuration with it', async () => {
    const found = await report()
    expect(Report.parse(found)).toEqual(found)
    expect(Object.keys(found.connections[0] ?? {})).not.toContain('auth')
    expect(Object.keys(only(found).deals[0] ?? {}).sort()).toEqual(Object.keys(DealLine.shape).sort())
  })

  test('the preview says what would be, the first night what was written, the last what changed', async () => {
    const before = only(previewed)
    expect(before.night).toMatchObject({ kind: 'preview', run: runs.preview.id, figures: { newlyStalled: 6 } })
    expect(
      named(before.deals, ({ change, changeStatus }) => change === 'flagged' && changeStatus === 'planned'),
    ).toHaveLength(6)
    const first = only(await report(runs.first))
    expect(
      named(first.deals, ({ change, changeStatus }) => change === 'flagged' && changeStatus === 'done'),
    ).toHaveLength(6)
    const last = only(await report())
    expect(last.night.run).toBe(runs.second.id)
    const did = (change: DealLine['change']) => named(last.deals, (deal) => deal.change === change)
    expect(did('recovered')).toEqual(['wakes up'])
    expect(did('answered_no')).toEqual(['answers no'])
    expect(did('dismissed')).toEqual(['cleared'])
    expect(did('flagged')).toEqual(['late'])
    expect(named(last.deals, ({ state }) => state === 'stalled').sort()).toEqual(
      [SCRIPT, 'late', 'other rep', ARABIC].sort(),
    )
    expect(named(last.deals, ({ lists }) => lists.includes('flagCleared'))).toEqual(['cleared'])
    // More than three tasks of one rep: some wait, and the brake says why.
    expect(first.night.brakes).toMatchObject([{ brake: 'budget', text: expect.stringContaining(REP) }])
    expect(named(first.deals, ({ held }) => held !== null)).toHaveLength(2)
  })

  test('the sums agree with the deals, the stored night, and the history', async () => {
    const { deals, forecast, history, night } = only(await report())
    const cents = (list: readonly DealLine[]) =>
      list.reduce((sum, { amount }) => sum + Math.round((amount ?? 0) * 100), 0)
    const open = deals.filter(({ state }) => state !== 'closed')
    const [total] = forecast.total
    expect(Math.round((total?.value ?? 0) * 100)).toBe(cents(open))
    expect(Math.round((total?.movingValue ?? 0) * 100)).toBe(cents(open.filter(({ state }) => state === 'moving')))
    for (const part of ['month', 'category', 'owner', 'team', 'pipeline'] as const) {
      const sum = forecast[part].reduce((sum, { value }) => sum + Math.round(value * 100), 0)
      expect(sum, part).toBe(cents(open))
    }
    expect(history.map(({ date }) => date)).toEqual(['2026-11-23', '2026-11-27'])
    expect(history.at(-1)).toMatchObject({ value: total?.value, movingValue: total?.movingValue })
    expect(night.figures.open).toBe(open.length)
    // An earlier night keeps its own sums.
    const [first] = only(await report(runs.first)).forecast.total
    expect(first?.movingValue).toBe(100)
  })

  test('flags, sales cycle and coaching', async () => {
    const { quality, cycle, coaching, stops } = only(await report())
    expect(quality.rules).toMatchObject([
      {
        rule: 'no_movement',
        flags: 7,
        fates: { wrong: 1, recovered: 1, answered_no: 1, stalled: 4 },
        suggestion: 'too_few',
      },
    ])
    expect(cycle.all).toMatchObject({ deals: 1 })
    expect(coaching.reduce((sum, { stalled }) => sum + stalled, 0)).toBe(4)
    expect(coaching[0]?.owner).not.toMatch(/@|^\d+$/)
    expect(stops.reduce((sum, { open }) => sum + open, 0)).toBe(8)
  })

  test('hostile names are text in every format and both languages', async () => {
    for (const texts of [en, fr]) {
      const found = { ...(await report()), language: texts.language }
      const html = await render(found, 'html', texts)
      expect(html).not.toContain('<script')
      expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
      for (const format of ['html', 'md', 'csv', 'json'] as const)
        expect(await render(found, format, texts)).toContain(ARABIC)
    }
  })

  test('the weekly digest: the honest forecast, the news of the week, the coaching sheet, of those a manager sees', async () => {
    const said = {
      db: database.db,
      connections: [crm],
      texts: en,
      timezone: 'UTC',
      dashboard: 'https://unstall.example',
    }
    const whole = await weeklyMessage(said, {})
    const text = whole ? toText(whole) : ''
    expect(text).toMatch(/^Your pipeline on 27 November 2026\. Stalled deals: 4\n/)
    expect(text).toContain('Pipeline and forecast, with and without stalled deals\n• EUR – Forecast €')
    const [total] = only(await report()).forecast.total
    if (!total) throw new Error('no forecast')
    const { forecast, movingForecast } = total
    const [all, moving, gap] = [forecast, movingForecast, forecast - movingForecast].map((one) => en.money(one, 'EUR'))
    expect(text).toContain(`Forecast ${all} – Forecast without stalled ${moving} – Gap ${gap}`)
    expect(forecast).toBeGreaterThan(movingForecast)
    expect(text).toMatch(/Newly stalled \(4\)\n(• .*\n){4}/)
    expect(text).toMatch(/Recovered: they move again \(1\)\n• wakes up <https?:/)
    expect(text).toMatch(/Coaching sheet\n\nOne line per rep\n• /)
    expect(text).toMatch(/Everything, day by day <https:\/\/unstall\.example\/>\n$/)
    const html = whole ? await toMail(whole) : ''
    expect(html).toContain('&lt;script&gt;')
    expect(html).not.toContain('<script')

    const one = await weeklyMessage({ ...said, texts: fr, dashboard: null }, { owners: [OTHER.toUpperCase()] })
    const french = one ? toText(one) : ''
    expect(french).toContain('Ne concerne que')
    expect(french).toMatch(/Votre pipeline au 27 novembre 2026\. Affaires à l’arrêt\s: 1\n/)
    expect(french).toContain('other rep')
    expect(french).not.toMatch(/wakes up|late|alert/)
    expect(await weeklyMessage(said, { teams: ['nobody’s'] })).toMatchObject({
      subject: expect.stringMatching(/: 0$/),
    })
  })

  test('an undo is reported as what it is', async () => {
    await crm.clock(MONDAY + 4 * DAY + 60_000)
    await crm.set('late', 'category', crm.words.commit)
    const undo = await program.undo(runs.second, MONDAY + 4 * DAY + 120_000)
    const { night, deals } = only(await report(undo))
    expect(night).toMatchObject({ kind: 'undo', status: 'done' })
    expect(deals.find(({ name }) => name === 'late')?.leftAlone).toMatch(/forecast category/)
  })
})
