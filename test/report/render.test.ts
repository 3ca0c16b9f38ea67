// The four formats of one model: outside text stays text in each of them, both languages say everything, currencies stay
// apart, long lists are cut and say so.
import { parse } from 'csv-parse/sync'
import { describe, expect, test } from 'vitest'
import type { DealLine, Report, SumLine } from '../../src/report/model.ts'
import { FORMATS, render } from '../../src/report/render.ts'
import { NO_SUMMARY } from '../../src/report/summary.ts'
import { digestEn } from '../../src/texts/digest-en.ts'
import { digestFr } from '../../src/texts/digest-fr.ts'
import { en } from '../../src/texts/en.ts'
import { fr } from '../../src/texts/fr.ts'
import { reportEn } from '../../src/texts/report-en.ts'
import { reportFr } from '../../src/texts/report-fr.ts'

const MARKUP = '<script>alert(1)</script>'
const HOSTILE = [
  MARKUP,
  '"><img src=x onerror=alert(1)>',
  'شركة الأمل',
  'a|b `c` **d** [e](javascript:alert(1))',
  '\u202eevil',
]

const line = (more: Partial<DealLine> = {}): DealLine => ({
  ...{ id: '1', name: 'Acme', url: 'https://crm.example/1', owner: 'Ann', team: 'North', pipeline: 'Sales' },
  ...{ stage: 'Demo', category: 'COMMIT', amount: 1234.5, currency: 'EUR', closeDate: '2026-12-24' },
  ...{ createdOn: '2026-01-05', state: 'stalled', rule: 'no_movement', stalledSince: '2026-11-02' },
  ...{
    lastMovement: '2026-10-01',
    idleDays: 37,
    pushes: 2,
    answer: 'maybe',
    cause: 'budget',
    explanation: 'No movement',
  },
  ...{ change: 'flagged', changeStatus: 'done', held: null, refused: null, leftAlone: null, warnings: [], lists: [] },
  ...more,
})
const sum = (name: string | null, currency: string, value: number, movingValue: number): SumLine => ({
  ...{ name, currency, deals: 2, value, movingDeals: 1, movingValue, forecast: value, movingForecast: movingValue },
})
const none = {
  won: 0,
  lost: 0,
  recovered: 0,
  stalled: 0,
  parked: 0,
  answered_no: 0,
  gone: 0,
  wrong: 0,
  probably_wrong: 0,
}
const night = (date: string) => ({ date, currency: 'EUR', value: 100.1, movingValue: 60 })

function report(deals: readonly DealLine[], language: Report['language'] = 'en'): Report {
  const months = [sum('2026-11', 'EUR', 100.1, 60), sum('2026-12', 'EUR', 50, 50), sum('2026-12', 'USD', 9, 0)]
  const owners = [sum(MARKUP, 'EUR', 100, 60), sum(null, 'EUR', 50.1, 50), sum('شركة الأمل', 'USD', 9, 0)]
  const fates = { ...none, won: 1, wrong: 2 }
  const stop = { pipeline: 'Sales', stage: MARKUP, open: 3, stalled: 1 }
  const at = '2026-11-23T02:00:00.000Z'
  const figures = { ...NO_SUMMARY.figures, open: 3, stalled: 1 }
  return {
    ...{ version: 1, language, timezone: 'Europe/Paris' },
    connections: [
      {
        ...{ name: 'hub', system: 'hubspot' },
        night: {
          ...{ run: 'hub-2026-11-23-1', kind: 'night', status: 'done', problem: null, date: '2026-11-23', at },
          ...{ knownAt: '2026-11-24T02:00:00.000Z', figures, writes: { flag: { done: 1, refused: 1 } } },
          dead: [{ gets: 'flag', fromDays: 90, toDays: null, count: 2, value: { EUR: 10, USD: 5 } }],
          brakes: [{ brake: 'cap', writes: 2, text: 'More than 2 writes' }],
        },
        forecast: {
          total: [sum(null, 'EUR', 150.1, 110), sum(null, 'USD', 9, 0)],
          ...{ month: months, category: [], owner: owners, team: [], pipeline: [] },
        },
        history: ['2026-11-20', '2026-11-21', '2026-11-22'].map(night),
        cycle: {
          all: { deals: 3, mean: 41, median: 20 },
          withoutStalled: { deals: 0, mean: null, median: null },
          active: { deals: 3, mean: 23.7, median: 20 },
          leftOut: 1,
        },
        quality: {
          horizons: [{ days: 30, flags: 3, fates }],
          rules: [{ rule: 'no_movement', flags: 12, fates, suggestion: 'loosen' }],
        },
        recovered: { deals: 1, value: { EUR: 5 } },
        stops: [stop],
        coaching: [
          {
            ...{
              owner: MARKUP,
              team: null,
              open: 3,
              stalled: 1,
              stalledValue: { EUR: 1, USD: 2 },
              maybes: 1,
              pushes: 2,
            },
            ...{ ageDays: 10, idleDays: null, causes: { budget: 1 }, stops: [stop] },
          },
        ],
        unreadable: [{ id: '9', name: null, url: null, problem: MARKUP }],
        deals: [...deals],
      },
    ],
  }
}
const hostile = HOSTILE.map((name, n) =>
  line({
    ...{ id: String(n), name, owner: name, stage: name, held: name, refused: name, leftAlone: name, warnings: [name] },
    url: n === 0 ? 'javascript:alert(1)' : `https://crm.example/${n}"onclick="x`,
  }),
)

describe('HTML', () => {
  test('hostile text is shown as text, links lead only to the web, nothing is loaded or run', async () => {
    const html = await render(report(hostile), 'html', en)
    expect(html).not.toMatch(/<script|<img|="javascript:|onerror=alert\(1\)>|"onclick=|\u202e/)
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
    expect(html).toContain('شركة الأمل')
    expect(html).not.toMatch(/(?:src|href)="(?!https:\/\/crm\.example|#c)/)
    expect(html).not.toMatch(/url\((?!#)|@import/)
  })

  test('can be read by everybody: language, titles of tables and pictures, headings in order', async () => {
    for (const texts of [en, fr]) {
      const html = await render(report(hostile, texts.language), 'html', texts)
      expect(html).toContain(`<html lang="${texts.language}">`)
      const count = (pattern: RegExp) => html.match(pattern)?.length ?? 0
      expect(count(/<table>/g)).toBe(count(/<caption[ >]/g))
      expect(count(/<svg /g)).toBe(2 * count(/<figure role="img" aria-label="[^"]+"/g))
      expect(count(/<figure /g)).toBeGreaterThanOrEqual(4)
      expect([...html.matchAll(/<h(\d)/g)].map(([, level]) => Number(level)).slice(0, 3)).toEqual([1, 2, 3])
      expect(html).not.toMatch(/undefined|NaN|\[object|#01020/)
    }
  })

  test('a list of many is cut, and says where the rest is', async () => {
    const many = Array.from({ length: 1200 }, (_, n) => line({ id: String(n), name: `Deal ${n}`, amount: n }))
    const html = await render(report(many), 'html', en)
    expect(html).toContain('200 of 1,200 lines')
    expect(html).toContain('Deal 1199')
    expect(html).not.toContain('Deal 999<')
    const csv = await render(report(many), 'csv', en)
    expect(csv.split('\r\n')).toHaveLength(1202)
    expect(await render(report(many), 'json', en)).toBe(`${JSON.stringify(report(many))}\n`)
  })
})

describe('Markdown', () => {
  test('nothing of a name is markup, and a table keeps its columns', async () => {
    const markdown = await render(report(hostile), 'md', en)
    expect(markdown).not.toMatch(/<|[^\\]\]\(javascript|\u202e/)
    const rows = markdown.split('\n').filter((row) => row.startsWith('| '))
    expect(rows.length).toBeGreaterThan(20)
    for (const row of rows) expect(row.endsWith(' |'), row).toBe(true)
    expect(markdown).toContain('a\\|b \\`c\\` \\*\\*d\\*\\*')
    expect(markdown).toContain('شركة الأمل')
  })
})

describe('CSV', () => {
  test('comes back as it went in, and no spreadsheet runs it', async () => {
    const names = ['=1+1', '+1', '-1', '@SUM(A1)', '\tx', 'a "b", c\r\nd', 'plain', ...HOSTILE]
    const csv = await render(report(names.map((name, n) => line({ id: String(n), name }))), 'csv', en)
    const rows: Record<string, string>[] = parse(csv, {
      bom: true,
      columns: true,
      relax_quotes: false,
      record_delimiter: '\r\n',
    })
    expect(rows.map((row) => row.Deal)).toEqual(names.map((name, n) => (n < 5 ? `'${name}` : name)))
    expect(rows[6]).toMatchObject({ Connection: 'hub', Amount: '1234.5', State: 'Stalled', Why: 'No movement' })
    expect(rows[6]).toMatchObject({
      'Close date': '2026-12-24',
      Answer: 'maybe',
      Cause: 'budget',
      'This run': 'flagged',
    })
  })
  test('in French', async () => {
    const [row]: Record<string, string>[] = parse(await render(report([line()], 'fr'), 'csv', fr), {
      bom: true,
      columns: true,
    })
    expect(row).toMatchObject({
      Affaire: 'Acme',
      État: 'À l’arrêt',
      Réponse: 'peut-être',
      'Cette exécution': 'signalée',
    })
  })
})

test('currencies are never added up', async () => {
  const markdown = await render(report([line()]), 'md', en)
  expect(markdown).toContain('| EUR | 2 | €150.10 | €40.10 | €110 | €150.10 | €110 |')
  expect(markdown).toContain('| USD | 2 | US\\$9 | US\\$9 | US\\$0 | US\\$9 | US\\$0 |')
  expect(markdown).toContain('€10 + US\\$5')
  expect(markdown).not.toContain('159')
  const french = await render(report([line()], 'fr'), 'md', fr)
  expect(french.replace(/\s/g, ' ')).toContain('| EUR | 2 | 150,10 € | 40,10 € | 110 € |')
})

test('nothing yet: a clear sentence in every format for people', async () => {
  const empty: Report = { version: 1, language: 'en', timezone: 'UTC', connections: [] }
  for (const format of ['html', 'md'] as const) expect(await render(empty, format, en)).toContain('no night has run')
  expect((await render({ ...empty, language: 'fr' }, 'md', fr)).replace(/\s/g, ' ')).toContain('aucune nuit n’a tourné')
  expect(JSON.parse(await render(empty, 'json', en))).toEqual(empty)
  for (const format of FORMATS) expect(await render(empty, format, en)).not.toBe('')
})

test.each([
  ['report', reportEn, reportFr],
  ['digests', digestEn, digestFr],
])('%s: both languages have the same keys, say something, and differ', (_, en, fr) => {
  const leaves = (value: object, path = ''): [string, string][] =>
    Object.entries(value).flatMap(([key, inner]): [string, string][] =>
      typeof inner === 'object' ? leaves(inner, `${path}${key}.`) : [[`${path}${key}`, String(inner)]],
    )
  const [english, french] = [leaves(en), leaves(fr)]
  expect(french.map(([key]) => key)).toEqual(english.map(([key]) => key))
  const words = new Map(french)
  const same = english.filter(([key, text]) => text === words.get(key)).map(([key]) => key)
  const alike = /^(example$|system\.|sum\.(pipeline|value)|columns\.(pipeline|cause)|coaching\.causes)/
  expect(same.filter((key) => !alike.test(key))).toEqual([])
  const holes = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort()
  for (const [key, text] of english) expect(holes(words.get(key) ?? ''), key).toEqual(holes(text))
  for (const [key, text] of french) expect(text, key).not.toMatch(/'| [;?!:»%]|« /)
})
