// `unstall report` as a manager gets it: every format to the terminal or a file, and clear words where there is nothing.
// `unstall digest`: shows what would be sent, sends only when told to, and does not count as the digest of the week.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Report } from '../../src/report/model.ts'
import { openDatabase } from '../../src/store/db.ts'
import { claimDigest, digestsSince, settleDigest } from '../../src/store/digests.ts'
import { type MailServer, startMail } from '../digest/servers.ts'
import { type Place, place } from './harness.ts'

let at: Place
let mail: MailServer
const ann = 'ann@acme.example'
const managers = `[vp@acme.example, { to: ${ann}, teams: [Nobody] }]`
const digests = `{ smtp: "$\{DIGEST_SMTP}", from: unstall@acme.example, managers: ${managers} }`
const configured = () => at.config([['policy:', `digests: ${digests}\npolicy:`]])
beforeAll(async () => {
  at = await place()
  mail = await startMail()
  process.env.DIGEST_SMTP = `smtp://u:swordfish@127.0.0.1:${mail.port}`
  configured()
})
afterAll(async () => {
  delete process.env.DIGEST_SMTP
  await mail.close()
  await at.close()
})

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
    configured()
  })

  test('shows, saves and sends what a manager gets', async () => {
    const shown = await at.run('digest')
    expect(shown.code, shown.err).toBe(0)
    expect(shown.out).toMatch(/^To: vp@acme\.example\n\nYour pipeline on .*Stalled deals: \d+$/m)
    expect(shown.out).toMatch(/^• EUR – Forecast €[\d,]+.*Gap €/m)
    expect(shown.out).toMatch(
      new RegExp(`^To: ${ann}$[\\s\\S]*This is about Nobody only\\.[\\s\\S]*Open deals: 0`, 'm'),
    )
    const file = join(at.folder, 'digest.html')
    expect(await at.run('digest', '--out', file)).toMatchObject({
      code: 2,
      err: expect.stringContaining(`Say whose with --to: vp@acme.example, ${ann}.`),
    })
    expect(existsSync(file)).toBe(false)
    expect((await at.run('digest', '--to', ann, '--out', file)).code).toBe(0)
    expect(readFileSync(file, 'utf8')).toMatch(/^<!doctype html>[\s\S]*This is about Nobody only\./)
    const [{ to, message }] = JSON.parse((await at.run('digest', '--to', 'vp@acme.example', '--json')).out)
    expect(to).toBe('vp@acme.example')
    expect(message.slack.blocks.length).toBeGreaterThan(0)
    expect(await at.run('digest', '--to', 'x@y.example')).toMatchObject({
      code: 2,
      err: expect.stringContaining(`x@y.example is not in digests.managers of`),
    })
    expect(mail.messages).toEqual([])

    const sent = await at.run('digest', '--send', '--to', ann)
    expect([sent.code, sent.err]).toEqual([0, expect.stringContaining(`sent to ${ann}`)])
    expect(mail.messages).toEqual([expect.stringMatching(/^To: ann@acme\.example\r$/m)])
    mail.mishap = 'login'
    const refused = await at.run('digest', '--send', '--to', ann)
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('535 not with …')])
    expect(refused.err + refused.out).not.toContain('swordfish')
    expect(await at.run('digest', '--nightly')).toMatchObject({
      code: 0,
      out: expect.stringContaining('Nothing new to tell'),
    })
    const both = await at.run('digest', '--nightly', '--weekly')
    expect([both.code, both.err]).toEqual([
      2,
      expect.stringContaining("'--weekly' cannot be used with option '--nightly'"),
    ])
  })

  test('runs names the digests that did not arrive, and only those', async () => {
    const { db, close } = await openDatabase({ dataDir: join(at.folder, '.unstall') })
    // By hand is not the digest of the week.
    expect(await digestsSince(db, 0)).toEqual([])
    const now = Date.now()
    const row = { kind: 'weekly', week: '2026-W48', status: 'unknown', told: [] } as const
    for (const [recipient, ago] of [
      ['failed@a.example', 0],
      ['lost@a.example', 2],
      ['sending@a.example', 0],
    ] as const)
      await claimDigest(db, { ...row, period: '2026-W48', recipient, createdAt: now - ago * 3_600_000 })
    const failed = { kind: 'weekly', period: '2026-W48', recipient: 'failed@a.example' } as const
    await settleDigest(db, failed, { status: 'failed', problem: '550 nobody of that name' })
    await close()
    const { out } = await at.run('runs')
    expect(out).toContain('The weekly digest of 2026-W48 did not reach failed@a.example: 550 nobody of that name')
    expect(out).toContain('did not reach lost@a.example: no answer')
    expect(out).not.toContain('sending@a.example')
  })
})
