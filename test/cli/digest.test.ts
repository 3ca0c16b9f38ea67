// `unstall digest` in a terminal: shows what would be sent, sends only when told to, and does not count as the digest of
// the week. One night of a lookalike CRM; a mail server of a few lines.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDatabase } from '../../src/store/db.ts'
import { claimDigest, digestsSince, settleDigest } from '../../src/store/digests.ts'
import { type MailServer, startMail } from '../digest/servers.ts'
import { type Place, place } from './harness.ts'

let at: Place
let mail: MailServer
const ann = 'ann@acme.example'
beforeAll(async () => {
  at = await place()
  mail = await startMail()
  process.env.DIGEST_SMTP = `smtp://u:swordfish@127.0.0.1:${mail.port}`
})
afterAll(async () => {
  delete process.env.DIGEST_SMTP
  await mail.close()
  await at.close()
})

test('without anybody to send to it shows what everybody would see, and says that nothing has run', async () => {
  at.config()
  expect(await at.run('digest')).toMatchObject({ code: 0, out: 'No night has run yet.\n' })
  expect(await at.run('digest', '--send')).toMatchObject({
    code: 2,
    err: expect.stringContaining('Nobody is named in digests.managers of'),
  })
  expect((await at.run('digest', '--nightly')).out).toContain('Nothing new to tell')
  const both = await at.run('digest', '--nightly', '--weekly')
  expect([both.code, both.err]).toEqual([
    2,
    expect.stringContaining("'--weekly' cannot be used with option '--nightly'"),
  ])
})

test('shows, saves and sends what a manager gets', async () => {
  at.config([
    [
      'policy:',
      `digests:
  smtp: "$\{DIGEST_SMTP}"
  from: unstall@acme.example
  managers: [vp@acme.example, { to: ${ann}, teams: [Nobody] }]
  operations: [ops@acme.example]
policy:`,
    ],
  ])
  expect((await at.run('setup', 'hub', '--apply')).code).toBe(0)
  expect((await at.run('plan', 'hub')).code).toBe(0)

  const shown = await at.run('digest')
  expect(shown.code, shown.err).toBe(0)
  expect(shown.out).toMatch(/^To: vp@acme\.example\n\nYour pipeline in the week of .*Stalled deals: \d+$/m)
  expect(shown.out).toMatch(/^• EUR – Forecast €[\d,]+.*Gap €/m)
  expect(shown.out).toMatch(new RegExp(`^To: ${ann}$[\\s\\S]*This is about Nobody only\\.[\\s\\S]*Open deals: 0`, 'm'))
  const file = join(at.folder, 'digest.html')
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
