// `--csv FILE`: what each row becomes, sentence by sentence of the sandbox's description, and what is said about faults.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CsvProblem, loadCsv, parseCsv } from '../../src/sandbox/csv.ts'

const now = Date.parse('2018-01-01T06:00:00Z')
const HEAD = 'opportunity_id,sales_agent,product,account,deal_stage,engage_date,close_date,close_value'
const pipeline = (...lines: string[]) => ({ name: 'pipeline.csv', text: [HEAD, ...lines].join('\n') })
const products = { name: 'products.csv', text: 'product,series,sales_price\nGTX Pro,GTX,4821\n' }
const teams = { name: 'teams.csv', text: 'sales_agent,manager,regional_office\nAnna Snelling,Zoë Brinkmann,Central\n' }
const parse = (...lines: string[]) => parseCsv({ pipeline: pipeline(...lines), products, teams }, now)
const only = (line: string) => {
  const [deal] = parse(line).deals
  if (!deal) throw new Error('no deal')
  return deal
}
const problems = (read: () => unknown): readonly string[] => {
  try {
    read()
  } catch (error) {
    if (error instanceof CsvProblem) return error.problems
    throw error
  }
  return []
}
const day = (at: number | undefined) => (at === undefined ? null : new Date(at).toISOString().slice(0, 10))

describe('a row', () => {
  it('that is closed enters the last open stage on its engage date and its closed stage on its close date', () => {
    const seed = parse(
      'A1,Anna Snelling,GTXPro,Cancity,Won,2017-01-10,2017-03-01,1054',
      'A2,Anna Snelling,GTXPro,,Engaging,2017-12-10,,',
    )
    const [won] = seed.deals
    expect(won).toMatchObject({
      name: 'A1',
      account: 'Cancity',
      stage: 'engaging',
      closeDate: '2017-03-01',
      amount: 1054,
    })
    expect(day(won?.createdAt)).toBe('2017-01-10')
    expect(
      won?.events.map((event) => [day(event.at), event.kind === 'stage' && event.to, 'by' in event && event.by]),
    ).toEqual([['2017-03-01', 'won', 'person']])
  })

  it('that is open was created on its engage date, closes 90 days later and has the list price', () => {
    const deal = only('B1,Anna Snelling,GTXPro,Cancity,Engaging,2017-11-01,,')
    expect(deal).toMatchObject({ stage: 'engaging', amount: 4821, closeDate: '2018-01-30', events: [], category: null })
    expect(day(deal.createdAt)).toBe('2017-11-01')
  })

  it('without an engage date was created 30 days before now; without account or price these stay empty', () => {
    const deal = only('B2,Anna Snelling,Unlisted,,Prospecting,,,')
    expect(deal).toMatchObject({ stage: 'prospecting', account: null, amount: null, closeDate: '2018-03-02' })
    expect(day(deal.createdAt)).toBe('2017-12-02')
  })

  it('keeps a value of 0, and never happens after now', () => {
    const deal = only('B3,Anna Snelling,GTXPro,X,Lost,2018-01-01,2018-01-01,0')
    expect(deal.amount).toBe(0)
    expect(deal.createdAt).toBeLessThanOrEqual(now)
    expect(deal.events[0]?.at).toBeLessThanOrEqual(now)
  })
})

describe('the company', () => {
  it('has one pipeline: Prospecting, Engaging, then others as found, then won and lost', () => {
    const row = (id: string, stage: string) =>
      `${id},A B,P,,${stage},2017-11-01,${/Lost/.test(stage) ? '2017-12-01' : ''},`
    const seed = parse(row('1', 'Legal Check'), row('2', 'Engaging'), row('3', 'Lost'), row('4', 'Prospecting'))
    expect(seed.pipelines).toHaveLength(1)
    expect(seed.pipelines[0]?.id).toBe('default')
    expect(seed.pipelines[0]?.stages.map((stage) => [stage.id, stage.label])).toEqual([
      ['prospecting', 'Prospecting'],
      ['engaging', 'Engaging'],
      ['legalcheck', 'Legal Check'],
      ['won', 'Won'],
      ['lost', 'Lost'],
    ])
    expect(seed.deals[2]?.stage).toBe('legalcheck')
  })

  it('has owners and managers from teams.csv, and agents who are not in it', () => {
    const seed = parse('1,Anna Snelling,P,,Engaging,2017-11-01,,', "2,Jean Luc O'Neil,P,,Engaging,2017-11-01,,")
    expect(seed.owners.map((owner) => [owner.email, owner.team, owner.managerEmail])).toEqual([
      ['anna.snelling@example.com', 'Central', 'zoe.brinkmann@example.com'],
      ['zoe.brinkmann@example.com', 'Central', null],
      ['jean.luc.oneil@example.com', '', null],
    ])
    expect(seed.deals[1]?.ownerEmail).toBe('jean.luc.oneil@example.com')
  })
})

describe('faulty files', () => {
  it('are reported whole, each fault with its line', () => {
    const read = () =>
      parse(
        'A1,Anna Snelling,P,"two\nlines",Won,2017-01-10,2017-03-01,12',
        'A1,Anna Snelling,P,,Won,2017-01-10,01/03/2017,abc',
        'A1,,P,,Engaging,2018-06-01,,',
        'A4,Anna Snelling,P,,Lost,2017-01-10,,',
        'A5,Anna Snelling,P',
        'A6,Anna Snelling,P,,Won,2017-03-10,2017-02-01,5',
        'A6,Anna Snelling,P,,Engaging,2018-06-01,,',
      )
    expect(problems(read)).toEqual([
      'pipeline.csv, line 4: close_date is not a date like 2017-03-01',
      'pipeline.csv, line 4: close_value is not a number of 0 or more',
      'pipeline.csv, line 5: sales_agent is empty',
      'pipeline.csv, line 7: 3 columns instead of 8',
      'pipeline.csv, line 6: close_date is empty, but the deal is Lost',
      'pipeline.csv, line 8: close_date is before engage_date',
      'pipeline.csv, line 9: opportunity_id A6 is already on line 8',
      'pipeline.csv, line 9: engage_date is after 2018-01-01, the date of now',
    ])
  })

  it('name a missing column, broken quoting, an empty file and a missing file', () => {
    const file = (text: string) => problems(() => parseCsv({ pipeline: { name: 'p.csv', text } }, now))
    expect(file(HEAD.replace('deal_stage,', ''))).toEqual(['p.csv, line 1: missing column deal_stage'])
    expect(file(`${HEAD}\n"A1,x`)[0]).toMatch(/^p\.csv: Quote Not Closed.*line/s)
    expect(file(HEAD)).toEqual(['p.csv: no rows'])
    expect(problems(() => loadCsv('/nowhere/pipeline.csv', now))[0]).toContain('/nowhere/pipeline.csv')
  })
})

it('reads products.csv and teams.csv beside the file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'unstall-csv-'))
  try {
    writeFileSync(join(folder, 'deals.csv'), `\uFEFF${HEAD}\r\nA1,Anna Snelling,GTXPro,,Engaging,2017-11-01,,\r\n`)
    writeFileSync(join(folder, 'products.csv'), products.text)
    writeFileSync(join(folder, 'teams.csv'), teams.text)
    const seed = loadCsv(join(folder, 'deals.csv'), now)
    expect(seed.deals[0]?.amount).toBe(4821)
    expect(seed.owners).toHaveLength(2)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
