// The log: where it goes, and that no credential survives in it, however it got there.
import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { Secret } from '../src/config.ts'
import { clean, createLog, type LogOptions, scrub } from '../src/log.ts'

function capture(level = 'info', options: LogOptions = {}) {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  return { log: createLog(level, { pretty: false, stream, ...options }), text: () => text }
}
const TOKEN = 'pat-eu1-0123456789abcdef'
const SESSION = '00D5g000001abcd!AQ8AQ.abc_def'

describe('scrub', () => {
  it.each([
    [`GET failed: Bearer ${TOKEN}`, 'GET failed: Bearer [hidden]'],
    ['authorization: Basic dXNlcjpwYXNz==', 'authorization: Basic [hidden]'],
    [`session ${SESSION} expired`, 'session [hidden] expired'],
    ['postgresql://user:pa55@db:5432/x failed', 'postgresql://[hidden]@db:5432/x failed'],
    ['POST /token?grant_type=x&client_secret=abc&y=1', 'POST /token?grant_type=x&client_secret=[hidden]&y=1'],
    ['?access_token=abc', '?access_token=[hidden]'],
    ['jwt eyJhbGciOi.eyJzdWIi.c2ln', 'jwt [hidden]'],
    ['-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----', '[hidden]'],
    [
      'bearer of good news, 3 deals at http://127.0.0.1:4010/crm',
      'bearer [hidden] good news, 3 deals at http://127.0.0.1:4010/crm',
    ],
    ['smtps://me:p@ss@smtp.acme.example', 'smtps://[hidden]@smtp.acme.example'],
    ['https://hooks.slack.com/services/T0/B0/hidden', 'https://hooks.slack.com/services/[hidden]'],
    // What follows in the line is no password.
    ['{"at":"http://127.0.0.1:4010","to":"a@b.example"}', '{"at":"http://127.0.0.1:4010","to":"a@b.example"}'],
    ['12 deals of run r1 at 02:00', '12 deals of run r1 at 02:00'],
  ])('%s', (text, cleaned) => {
    expect(scrub(text)).toBe(cleaned)
  })
})

describe('clean', () => {
  it('hides values by the name of their key, at any depth, and keeps the rest', () => {
    const data = {
      request: { headers: { Authorization: 'x', 'set-cookie': 'y', accept: 'z' } },
      list: [{ refreshToken: 'a', client_secret: 'b', taskKey: 'k', tokens: 3 }],
      auth: { token: new Secret('hidden-value') },
      deal: 'Bearer of rings',
    }
    expect(clean(data)).toEqual({
      request: { headers: { Authorization: '[hidden]', 'set-cookie': '[hidden]', accept: 'z' } },
      list: [{ refreshToken: '[hidden]', client_secret: '[hidden]', taskKey: 'k', tokens: 3 }],
      auth: { token: '[hidden]' },
      deal: 'Bearer [hidden] rings',
    })
  })

  it('keeps errors with their cause and properties, without their secrets, and survives cycles', () => {
    const cause = Object.assign(new Error(`refused Bearer ${TOKEN}`), { config: { headers: { authorization: TOKEN } } })
    const error = new TypeError(`cannot read ${SESSION}`, { cause })
    const cleaned = JSON.stringify(clean(error))
    expect(cleaned).toContain('"type":"TypeError"')
    expect(cleaned).toContain('refused Bearer [hidden]')
    expect(cleaned).not.toContain(TOKEN)
    expect(cleaned).not.toContain(SESSION)
    const loop: Record<string, unknown> = {}
    loop.self = loop
    expect(JSON.stringify(clean(loop))).toContain('[deeper]')
  })
})

describe('the log', () => {
  it('writes JSON lines without secrets in message, fields, errors and children', () => {
    const { log, text } = capture()
    log.info(
      { connection: 'hub', token: TOKEN, nested: { headers: { authorization: `Bearer ${TOKEN}` } } },
      `with Bearer ${TOKEN}`,
    )
    log.error(new Error(`Bearer ${TOKEN}`))
    log.warn({ err: new Error(SESSION), when: new Date(0) }, 'failed %s', `Bearer ${TOKEN}`)
    log.child({ accessToken: TOKEN, run: 'r1' }).info('child')
    const lines = text()
      .trim()
      .split('\n')
      .map((line): Record<string, unknown> => JSON.parse(line))
    expect(text()).not.toContain(TOKEN)
    expect(text()).not.toContain(SESSION)
    expect(lines[0]).toMatchObject({ connection: 'hub', token: '[hidden]', msg: 'with Bearer [hidden]' })
    expect(lines[1]).toMatchObject({ err: { message: 'Bearer [hidden]', type: 'Error' } })
    expect(lines[2]).toMatchObject({ when: '1970-01-01T00:00:00.000Z', msg: 'failed Bearer [hidden]' })
    expect(lines[3]).toMatchObject({ run: 'r1', msg: 'child' })
  })

  it('obeys its level, and is readable on a terminal', () => {
    const quiet = capture('warn')
    quiet.log.info('no')
    expect(quiet.text()).toBe('')
    const readable = capture('info', { pretty: true })
    readable.log.info({ deals: 3, apiKey: 'abc' }, 'night begins')
    expect(readable.text()).toMatch(/INFO.*night begins/)
    expect(readable.text()).not.toContain('abc')
  })
})
