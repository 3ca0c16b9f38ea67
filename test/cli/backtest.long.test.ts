// `unstall backtest` as RevOps types it: on both CRMs without a trace there, on a file that is wrong in many ways, and
// with the limits written into the configuration as a person would have.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openDatabase } from '../../src/store/db.ts'
import { type Place, place } from './harness.ts'

let at: Place
beforeAll(async () => {
  at = await place()
})
afterAll(() => at.close())
beforeEach(() => at.config())

const faults = (all: readonly object[]) =>
  fetch(`${at.hub.url}/__sandbox/faults`, { method: 'POST', body: JSON.stringify(all) })
const NOW = ['--now', '2018-01-01T00:00:00Z']
const HEAD = 'opportunity_id,deal_stage,engage_date,close_date,close_value,product'
const file = (name: string, ...lines: readonly string[]) => {
  writeFileSync(join(at.folder, name), lines.join('\n'))
  return name
}
const day = (n: number) => new Date(Date.parse('2017-01-02') + n * 86_400_000).toISOString().slice(0, 10)
/** Forty deals won after 1, 2, … weeks, ten lost after 30 weeks, and open ones of any age. */
const deals = [
  ...Array.from({ length: 40 }, (_, n) => `w${n},Won,${day(0)},${day(7 * (n + 1))},1000,`),
  ...Array.from({ length: 10 }, (_, n) => `l${n},Lost,${day(0)},${day(210)},0,`),
  ...[0, 1, 2, 300].map((n) => `o${n},Engaging,${day(n)},,,GTX Pro`),
  'p1,Prospecting,,,,GTX Pro',
]

describe('a connection', () => {
  test.each(['hub', 'sf'])(
    '%s: tells per stage what limits would have done; nothing is written, no run opened',
    async (name) => {
      const before = await at.writes()
      const { code, out, err } = await at.run('backtest', name, '--json')
      expect([code, err]).toEqual([0, expect.stringContaining(`${name}: reading deals`)])
      const found = JSON.parse(out)
      expect(found).toMatchObject({
        source: name,
        now: expect.stringMatching(/^2026-11-23T02:0/),
        from: '2024-11-23',
        written: null,
      })
      expect(found.won + found.lost + found.open).toBe(60)
      expect(found.stages.length).toBeGreaterThan(3)
      for (const { basis, won, recommended, current } of found.stages)
        if (won < 30)
          expect([basis, [10, 15]]).toEqual(['default', expect.arrayContaining([recommended.limit, current])])
      expect(found.notes.join()).toContain(name === 'hub' ? 'only the last reply' : 'workflow')
      expect(await at.writes()).toBe(before)
      expect(JSON.parse((await at.run('runs', '--json')).out)).toEqual([])
    },
  )

  test('while the service holds the database', async () => {
    const database = await openDatabase({ dataDir: join(at.folder, '.unstall') })
    const { code, out } = await at.run('backtest', 'hub')
    await database.close()
    expect(code).toBe(0)
    expect(out).toMatch(/^Backtest of hub\nClosed from 23 November 2024 to 23 November 2026: /)
    expect(out).toContain('What this cannot tell')
    expect(out).toContain('too few to learn a limit from (30 needed)')
  })

  test('Ctrl-C while it reads: out at once, with nothing on stdout', async () => {
    await faults([{ path: '/crm/objects/*', fault: '500-before', nth: 2, times: 50 }])
    const started = at.start('backtest', 'hub')
    await started.said('reading deals')
    started.signal('SIGINT')
    const { code, out, err } = await started.ended
    await faults([])
    expect([code, out]).toEqual([130, ''])
    expect(err).toContain('stopped by hand')
    expect(err).not.toContain('defect')
  })

  test('a CRM that refuses calls is asked again; one whose calls are used up ends it, in words', async () => {
    await faults([{ path: '/crm/*', fault: '429', nth: 3 }])
    const { code, out } = await at.run('backtest', 'hub', '--json')
    const { won, lost, open } = JSON.parse(out)
    expect([code, won + lost + open]).toEqual([0, 60])
    await faults([{ path: '/crm/*', fault: '429-daily', times: 100 }])
    const refused = await at.run('backtest', 'hub')
    await faults([])
    expect([refused.code, refused.out]).toEqual([1, ''])
    expect(refused.err).toMatch(/unstall: .*HubSpot/)
  })
})

describe('a file', () => {
  test('says in words what it finds, and what it cannot tell', async () => {
    const csv = file('deals.csv', HEAD, ...deals)
    file('products.csv', 'product,sales_price', 'GTXPro,4821')
    const { code, out, err } = await at.run('-c', 'none.yaml', 'backtest', '--csv', csv, ...NOW)
    expect(code).toBe(0)
    expect(err).toContain('none.yaml is not there')
    const text = out.replace(/\s+/g, ' ')
    expect(text).toContain('No won deal took longer than 280 calendar days from Engaging to won.')
    expect(text).toContain('3 of 4 open deals in Engaging are older than that, worth 14,463.')
    expect(text).toContain('A limit of 180 working days would have flagged 4 of 40 won deals wrongly (10%)')
    expect(text).toContain('caught 0 of 10 lost ones')
    expect(text).toContain('Engaging: limit 180 working days (from your deals, now 15)')
    expect(text).toContain('Left out: 1 deals in Prospecting without an engage date.')
    expect(text).toContain('The amounts of 4 open deals are list prices from products.csv.')
    expect(text).toContain('no stages in between, no replies, meetings or calls')
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
  })

  test('in French, with the holidays and currency of the company', async () => {
    at.config([['holidays: FR', 'holidays: FR\nlanguage: fr']])
    const rows = deals.map((row) => row.replace(/,[^,]*$/, ',EUR'))
    const csv = file('fr.csv', HEAD.replace('product', 'currency'), ...rows, `x,Engaging,${day(0)},,12000.5,EUR`)
    const text = (await at.run('backtest', '--csv', csv, ...NOW)).out.replace(/\s+/g, ' ')
    expect(text).toContain('Aucune affaire gagnée n’a mis plus de 280 jours calendaires de l’étape Engaging')
    expect(text).toContain('Sur 5 affaires ouvertes à cette étape, 4 sont au-delà, pour 12 000,50 €.')
    // Ten public holidays within 280 days: the same weeks are fewer working days.
    expect(text).toMatch(/Une limite de 17\d jours ouvrés aurait signalé à tort 4 affaires gagnées sur 40/)
    expect((await at.run('backtest', '--csv', csv, ...NOW, '--wrong-flags', '0')).out).toContain('à tort 0 affaires')
  })

  test('with other column names and semicolons; several open stages are replayed as one', async () => {
    const csv = file(
      'export.csv',
      'Id;Stage;Created Date;Closed;Amount',
      ...deals.map((row) =>
        row.replace('Won', 'Closed Won').replace('Lost', 'Closed Lost').split(',').slice(0, 5).join(';'),
      ),
      `x;Offer;${day(0)}T10:00:00Z;;5`,
    )
    const map = [
      '--map',
      'Id=opportunity_id,Stage=deal_stage,Created Date=engage_date',
      '--map',
      'Closed=close_date,Amount=close_value',
    ]
    const { code, out } = await at.run('backtest', '--csv', csv, ...map, ...NOW, '--json', '--write')
    expect(code).toBe(0)
    const { stages, written, notes } = JSON.parse(out)
    expect(stages).toMatchObject([{ stage: 'Engaging / Offer', won: 40, lost: 10, open: 5 }])
    expect(notes.join()).toContain('no limit for each')
    expect(written).toEqual([])
  })

  test('every fault is named with line and column, at once', async () => {
    const csv = file(
      'bad.csv',
      HEAD,
      'a,Won,2017-03-01,,5,',
      'a,Won,2017-03-01,2017-02-01,five,',
      ',Engaging,01/02/2017,,,',
      'b,Lost,2017-13-01,2019-01-01,1,',
      'c,Won',
    )
    const { code, out, err } = await at.run('backtest', '--csv', csv, ...NOW)
    expect([code, out]).toEqual([2, ''])
    for (const part of [
      'bad.csv, line 2, column close_date: is empty, but the deal is Won',
      'bad.csv, line 3, column close_value: is not a number of 0 or more',
      'bad.csv, line 4, column opportunity_id: is empty',
      'bad.csv, line 4, column engage_date: is not a date like 2017-03-01',
      'bad.csv, line 5, column engage_date: is no such date',
      'bad.csv, line 6: 2 columns instead of 6',
    ])
      expect(err).toContain(part)
    const order = file('order.csv', HEAD, 'a,Won,2017-03-01,2017-02-01,5,', 'a,Lost,2017-03-01,2018-03-01,,')
    const second = (await at.run('backtest', '--csv', order, ...NOW)).err
    expect(second).toContain('order.csv, line 2, column close_date: is before engage_date 2017-03-01')
    expect(second).toContain('order.csv, line 3, column opportunity_id: a is already on line 2')
    expect(second).toContain('order.csv, line 3, column close_date: is after 2018-01-01, the date of now')
    const many = file('many.csv', HEAD, ...Array.from({ length: 30 }, (_, n) => `${n},Won,2017-03-01,,5,`))
    expect((await at.run('backtest', '--csv', many, ...NOW)).err).toContain('… and 10 more')
  })

  test('that is not there, is empty, has other columns', async () => {
    const told = async (...args: readonly string[]) => {
      const { code, err } = await at.run('backtest', ...args)
      expect(code).toBe(2)
      return err
    }
    expect(await told('--csv', 'nowhere.csv')).toContain('nowhere.csv cannot be read')
    expect(await told('--csv', file('empty.csv', HEAD))).toContain('empty.csv has no rows')
    const other = await told('--csv', file('other.csv', 'Id,deal_stage', '1,Won'), '--map', 'Ident=opportunity_id')
    expect(other).toContain('other.csv has no column "Ident", which --map names')
    expect(other).toContain(
      'line 1, column engage_date: is missing; if it has another name: --map "<name>=engage_date"',
    )
    expect(await told('--csv', 'other.csv', '--map', 'Id=ident')).toContain(
      'the name one of opportunity_id, deal_stage',
    )
    expect(await told()).toContain('unstall backtest <connection>, or unstall backtest --csv FILE')
    expect(await told('hubb')).toContain('hub, sf')
    expect(await told('hub', ...NOW)).toContain('--now and --map are for --csv')
    expect(await told('hub', '--months', '36')).toContain('12 to 24')
    expect(await told('hub', '--wrong-flags', '60')).toContain('0 to 50')
  })
})

test('--write puts what rests on enough deals into the configuration, once, and leaves the rest of the file alone', async () => {
  at.config([['holidays: FR', 'holidays: FR          # ours']])
  const path = join(at.folder, 'unstall.config.yaml')
  const before = readFileSync(path, 'utf8')
  const csv = file('deals.csv', HEAD, ...deals)
  const shown = await at.run('backtest', 'hub', '--csv', csv, ...NOW)
  expect(shown.out).toContain('Nothing was written. Put the limits into unstall.config.yaml with: --write')
  expect(readFileSync(path, 'utf8')).toBe(before)

  const { code, out } = await at.run('backtest', 'hub', '--csv', csv, ...NOW, '--write')
  expect(code).toBe(0)
  expect(out).toMatch(
    /written {2}connections\.hub\.policy\.pipelines\.default\.stages\.Engaging\.idleDays: none → 17\d/,
  )
  const after = readFileSync(path, 'utf8')
  for (const line of before.split('\n')) expect(after).toContain(line)
  expect(after).toContain('    policy:\n      pipelines:\n        default:\n          stages:\n            Engaging:\n')
  expect((await at.run('backtest', 'hub', '--csv', csv, ...NOW, '--write')).out).toContain('has these limits')
  expect(readFileSync(path, 'utf8')).toBe(after)
  // What the file could not say is named by `check`.
  expect((await at.run('check', 'hub')).out).toContain('policy.pipelines.default.stages: Engaging does not exist here')
})
