// Signing in: client credentials, refresh tokens that rotate, what a refusal means; tokens only ever go to Salesforce.
import { generateKeyPairSync, verify } from 'node:crypto'
import nock from 'nock'
import { describe, expect, test } from 'vitest'
import { clientCredentials, signIn, signInByKey, trustedOrigin } from '../../../connectors/salesforce/auth.ts'
import { HOST, never, SELF, strictNock } from './org.ts'

strictNock()
const json = { 'content-type': 'application/json' }
const build = (loginUrl = HOST) =>
  clientCredentials({ loginUrl, clientId: 'client', clientSecret: 's3cret/+', timeoutMs: 300 })
const grant = (status: number, body: unknown, headers: Record<string, string> = json) =>
  nock(HOST)
    .post('/services/oauth2/token', {
      grant_type: 'client_credentials',
      client_id: 'client',
      client_secret: 's3cret/+',
    })
    .reply(status, typeof body === 'string' ? body : JSON.stringify(body), headers)
const answer = (token: string, instance_url = 'https://acme.my.salesforce.com') => ({
  access_token: token,
  instance_url,
  id: `https://login.salesforce.com/id/00D000000000001AAA/${SELF}`,
  token_type: 'Bearer',
})
const caught = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error)

test('one grant serves every caller until the token is refused; a late refusal of an old one changes nothing', async () => {
  const credential = build()
  grant(200, answer('one'))
  const both = await Promise.all([credential.session(never), credential.session(never)])
  expect(both).toEqual(Array(2).fill({ token: 'one', instanceUrl: HOST, org: '00D000000000001', user: SELF }))
  credential.expired('one')
  grant(200, answer('two'))
  expect(await credential.token(never)).toBe('two')
  credential.expired('one')
  expect(await credential.token(never)).toBe('two')
})

test('a failed grant is tried again by the next caller', async () => {
  const credential = build()
  grant(503, 'down', { 'content-type': 'text/plain' })
  expect(await caught(credential.token(never))).toMatchObject({ name: 'RetryLater' })
  grant(200, answer('one'))
  expect(await credential.token(never)).toBe('one')
})

test('a wrong secret says what to check, and never the secret', async () => {
  grant(400, { error: 'invalid_client', error_description: 'invalid client credentials s3cret/+' })
  const error = await caught(build().token(never))
  expect(error).toMatchObject({ name: 'Fatal', kind: 'credentials' })
  expect(String(error)).toContain('invalid_client')
  expect(String(error)).toContain('clientSecret')
  expect(String(error)).not.toContain('s3cret')
})

describe('the refresh token of a consent', () => {
  const { exchange, consent, parse } = signIn({ loginUrl: HOST, clientId: 'client', clientSecret: 's3cret/+' }, true)
  const refresh = () =>
    nock(HOST).post('/services/oauth2/token', {
      ...{ grant_type: 'refresh_token', refresh_token: 'refresh 1', client_id: 'client', client_secret: 's3cret/+' },
    })

  test('gives a session and the next refresh token', async () => {
    expect(consent).toBe(true)
    const instance = 'https://acme--moved.my.salesforce.com'
    refresh().reply(200, { ...answer('one', instance), refresh_token: 'refresh 2' })
    const set = await exchange('refresh 1')
    expect(set).toEqual({
      token: 'one',
      refresh: 'refresh 2',
      instanceUrl: instance,
      org: '00D000000000001',
      user: SELF,
    })
    expect(parse(JSON.parse(JSON.stringify(set)))).toEqual(set)
  })

  test('is dead when Salesforce says so, and only then', async () => {
    refresh().reply(400, { error: 'invalid_grant', error_description: 'expired access/refresh token' })
    expect(await exchange('refresh 1')).toBe('refused')
    refresh().reply(400, { error: 'invalid_client', error_description: 'refresh 1' })
    const error = await caught(exchange('refresh 1'))
    expect(error).toMatchObject({ name: 'Fatal', kind: 'credentials' })
    expect(String(error)).not.toContain('refresh 1')
    refresh().reply(503, 'down')
    expect(await caught(exchange('refresh 1'))).toMatchObject({ name: 'RetryLater' })
    refresh().reply(200, answer('one', 'https://evil.example'))
    expect(await caught(exchange('refresh 1'))).toMatchObject({ message: expect.stringContaining('evil.example') })
  })
})

test('a consent: its page, and its code for a session, from Salesforce only', async () => {
  const { page, redeem, revoke } = signIn({ loginUrl: HOST, clientId: 'client', clientSecret: 's3cret/+' }, true)
  const query = 'response_type=code&client_id=client&scope=api+refresh_token'
  expect(page).toBe(`${HOST}/services/oauth2/authorize?${query}`)
  const form = { code: 'the code', code_verifier: 'v', redirect_uri: 'http://localhost:4030/callback' }
  const sent = { grant_type: 'authorization_code', ...form, client_id: 'client', client_secret: 's3cret/+' }
  const post = () => nock(HOST).post('/services/oauth2/token', sent)
  post().reply(200, { ...answer('one'), refresh_token: 'r1', scope: 'refresh_token api' })
  const org = '00D000000000001'
  const set = { token: 'one', refresh: 'r1', instanceUrl: HOST, org, user: SELF, scope: 'refresh_token api' }
  expect(await redeem(form)).toEqual({ set, account: org, scopes: ['refresh_token', 'api'] })
  post().reply(400, { error: 'invalid_grant', error_description: 'expired authorization code' })
  expect(await redeem(form)).toBe('refused')
  post().reply(200, answer('one', 'https://evil.example'))
  expect(await caught(redeem(form))).toMatchObject({ message: expect.stringContaining('evil.example') })
  post().reply(400, { error: 'redirect_uri_mismatch', error_description: 'the code' })
  const error = await caught(redeem(form))
  expect(String(error)).toContain('redirect_uri_mismatch')
  nock(HOST).post('/services/oauth2/revoke', { token: 'r1' }).reply(200)
  await revoke('r1')
  nock(HOST).post('/services/oauth2/revoke').reply(302, '', { location: 'https://evil.example' })
  expect(String(await caught(revoke('r1')))).toMatch(/redirected to another address/)
  expect(String(error)).not.toMatch(/the code|s3cret/)
})

describe('a signing key', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  const at = Date.parse('2026-11-23T02:00:00Z')
  const by = (loginUrl = HOST) =>
    signInByKey({ loginUrl, clientId: 'client', username: 'unstall@acme.example', privateKey: pem, clock: () => at })

  test.each([
    [HOST, 'https://login.salesforce.com'],
    ['https://acme--uat.sandbox.my.salesforce.com', 'https://test.salesforce.com'],
    ['https://acme-1.scratch.my.salesforce.com', 'https://test.salesforce.com'],
    ['https://test.salesforce.com', 'https://test.salesforce.com'],
    ['http://127.0.0.1:4020', 'http://127.0.0.1:4020'],
  ])('speaks for a user at %s: an assertion for %s that ends in three minutes, and nothing else', async (host, aud) => {
    let sent = new URLSearchParams()
    nock(host)
      .post('/services/oauth2/token', (body) => {
        sent = new URLSearchParams(body)
        return true
      })
      .reply(200, answer('one', host))
    const { exchange, consent } = by(host)
    expect(consent).toBe(false)
    expect(await exchange(null)).toMatchObject({ token: 'one', instanceUrl: host, user: SELF })
    expect([...sent.keys()].sort()).toEqual(['assertion', 'grant_type'])
    const [head = '', body = '', signature = ''] = sent.get('assertion')?.split('.') ?? []
    const part = (text: string): unknown => JSON.parse(Buffer.from(text, 'base64url').toString())
    expect(part(head)).toEqual({ alg: 'RS256', typ: 'JWT' })
    expect(part(body)).toEqual({ iss: 'client', sub: 'unstall@acme.example', aud, exp: at / 1000 + 180 })
    const signed = Buffer.from(`${head}.${body}`)
    expect(verify('RSA-SHA256', signed, publicKey, Buffer.from(signature, 'base64url'))).toBe(true)
  })

  test.each([
    ["user hasn't approved this consumer", /invalid_grant.*administrator must let unstall@acme.example use/],
    ['user is not admin approved to access this app', /administrator must let unstall@acme.example use/],
    ['audience is invalid', /loginUrl is the My Domain/],
    ['expired authorization code', /clock/],
    ['invalid assertion', /certificate .* belongs to privateKey/],
  ])('%s: what to do, and nothing of the key', async (error_description, words) => {
    nock(HOST).post('/services/oauth2/token').reply(400, { error: 'invalid_grant', error_description })
    const error = await caught(by().exchange(null))
    expect(error).toMatchObject({ name: 'Fatal', kind: 'credentials', message: expect.stringMatching(words) })
    expect(String(error)).not.toMatch(/PRIVATE|eyJ/)
  })
})

describe('hosts', () => {
  test.each([
    'https://evil.example',
    'http://acme.my.salesforce.com',
    'https://salesforce.com.evil.example',
    'http://127.0.0.1:80',
  ])('a token for %s is not used', async (instance) => {
    grant(200, answer('one', instance))
    expect(await caught(build().token(never))).toMatchObject({ name: 'Fatal', kind: 'credentials' })
  })

  test.each(['https://acme--dev.sandbox.my.salesforce.com', 'https://acme.my.force.com'])('%s is Salesforce', (url) => {
    expect(trustedOrigin(`${url}/some/path`, false)).toBe(url)
  })

  test('loopback only for a sandbox on loopback', () => {
    expect(trustedOrigin('http://127.0.0.1:4020/', true)).toBe('http://127.0.0.1:4020')
    for (const url of ['http://127.evil.example', 'http://127.0.0.1.evil.example', 'http://10.0.0.1'])
      expect(() => trustedOrigin(url, true), url).toThrow('not an address of Salesforce')
    expect(() => trustedOrigin('https://acme.my.salesforce.com', true)).toThrow('not an address of Salesforce')
    expect(() => build('http://localhost.evil.example')).toThrow('not an address of Salesforce')
  })
})
