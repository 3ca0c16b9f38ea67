// `unstall report` as a manager gets it: every format to the terminal or a file, and clear words where there is nothing.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Report } from '../../src/report/model.ts'
import { type Place, place } from './harness.ts'

let at: Place
beforeAll(async () => {
  at = await place()
  at.config()
})
afterAll(() => at.close())

describe('nothing yet', () => {
  test('an empty store is a sentence, not an empty page', async () => {
    const { code, out } = await at.run('report')
    expect([code, out]).toEqual([0, expect.stringContaining('no night has run. Begin with "unstall plan"')])
    expect(Report.parse(JSON.parse((await at.run('--json', 'report')).out)).connections).toEqual([])
  })
  test('an unknown run, connection, format, or file is a mistake of the call', async () => {
    for (const [words, ...call] of [
      ['There is no run named hub-1999-01-01-1. "unstall runs" lists them.', '--run', 'hub-1999-01-01-1'],
      ['"hubb"', 'hubb'],
      ['html, md, csv, json', '--format', 'pdf'],
      ['cannot be written to nowhere/report.html', '--out', 'nowhere/report.html'],
    ] as const) {
      const { code, err, out } = await at.run('report', ...call)
      expect([code, out], call.join(' ')).toEqual([2, ''])
      expect(err).toContain(words)
    }
  })
})

describe('after a preview', () => {
  beforeAll(async () => {
    expect((await at.run('setup', 'hub', '--apply')).code).toBe(0)
    expect((await at.run('plan', 'hub')).code).toBe(0)
  })

  test('every format, by name or by the ending of the file', async () => {
    const json = Report.parse(JSON.parse((await at.run('report', '--format', 'json')).out))
    expect(json.connections.map(({ name, night }) => [name, night.kind])).toEqual([['hub', 'preview']])
    const file = join(at.folder, 'report.html')
    const saved = await at.run('report', 'hub', '--out', file)
    expect([saved.code, saved.out]).toEqual([0, ''])
    expect(saved.err).toMatch(/report\.html: \d+ kB/)
    expect(readFileSync(file, 'utf8')).toMatch(/^<!doctype html>/)
    expect((await at.run('report', 'hub')).out).toMatch(/^# Pipeline report\n\n## hub \(HubSpot\), \d+ \w+ \d{4}\n/)
    expect((await at.run('report', '--format', 'csv')).out).toMatch(/^\ufeffConnection,Id,Deal,Link,.*\r\nhub,/)
  })

  test('of a named run; a run of another connection is a mistake', async () => {
    const [run] = JSON.parse((await at.run('--json', 'runs')).out)
    const named = JSON.parse((await at.run('--json', 'report', '--run', run.id)).out)
    expect(named.connections[0].night.run).toBe(run.id)
    const { code, err } = await at.run('report', 'sf', '--run', run.id)
    expect([code, err]).toEqual([2, expect.stringContaining(`${run.id} is a run of hub, not of sf`)])
  })

  test('in French', async () => {
    at.config([['timezone:', 'language: fr\ntimezone:']])
    const { out } = await at.run('report', 'hub')
    expect(out).toContain('# Rapport sur le pipeline')
    expect(out.replace(/\s/g, ' ')).toContain('Pipeline et prévision, avec et sans les affaires à l’arrêt')
    expect(out).not.toMatch(/\b(?:Stalled|Deals|Owner)\b/)
    at.config()
  })
})
