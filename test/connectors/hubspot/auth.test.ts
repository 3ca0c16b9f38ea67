// OAuth with HubSpot: one form post gives a new set of tokens, or says what to do; secrets and tokens are in no message.
import { once } from 'node:events'
import { createServer } from 'node:http'
import nock from 'nock'
import { expect, onTestFinished, test } from 'vitest'
import { signIn, staticToken } from '../../../connectors/hubspot/auth.ts'
import { never, ORIGIN, strict } from './fake.ts'

strict()
const app = { clientId: 'client', clientSecret: 's3cret/+', timeoutMs: 300 }
const { exchange, consent, parse, page, redeem, revoke } = signIn({ baseUrl: ORIGIN, ...app })
const post = (refresh_token = 'refresh 1') =>
  nock(ORIGIN).post('/oauth/2026-09/token', {
    ...{ grant_type: 'refresh_token', client_id: 'client', client_secret: 's3cret/+', refresh_token },
  })
const caught = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error)

test('a refresh token becomes a set of tokens with its life; a new refresh token comes along where there is one', async () => {
  expect(consent).toBe(true)
  post().reply(200, {
    access_token: 'a1',
    refresh_token: 'refresh 2',
    expires_in: 1800,
    token_type: 'bearer',
    hub_id: 7,
  })
  const set = await exchange('refresh 1')
  expect(set).toEqual({ token: 'a1', refresh: 'refresh 2', lifeMs: 1_800_000 })
  expect(parse(JSON.parse(JSON.stringify(set)))).toEqual(set)
  post('refresh 2').reply(200, { access_token: 'a2', expires_in: 60 })
  expect(await exchange('refresh 2')).toEqual({ token: 'a2', refresh: undefined, lifeMs: 60_000 })
})

test('a consent: its page asks for every scope that is needed, and for those of the segment where the account has them; its code becomes a set of tokens once', async () => {
  expect(page).toBe(
    'https://app.hubspot.com/oauth/authorize?client_id=client&scope=oauth+crm.objects.deals.read+crm.objects.deals.write' +
      '+crm.schemas.deals.read+crm.schemas.deals.write+crm.objects.owners.read+crm.objects.contacts.read+crm.objects.contacts.write' +
      '&optional_scope=crm.lists.read+crm.lists.write',
  )
  const form = { code: 'the code', code_verifier: 'v', redirect_uri: 'http://localhost:4030/callback' }
  const sent = { grant_type: 'authorization_code', client_id: 'client', client_secret: 's3cret/+', ...form }
  const post = () => nock(ORIGIN).post('/oauth/2026-09/token', sent)
  const tokens = { access_token: 'a1', refresh_token: 'r1', expires_in: 1800 }
  post().reply(200, { ...tokens, hub_id: 62515, scopes: ['oauth'] })
  const set = { token: 'a1', refresh: 'r1', lifeMs: 1_800_000 }
  expect(await redeem(form)).toEqual({ set, account: '62515', scopes: ['oauth'] })
  post().reply(200, tokens)
  expect(await redeem(form)).toEqual({ set, account: null, scopes: [] })
  post().reply(400, { status: 'BAD_AUTH_CODE', message: 'missing or unknown auth code' })
  expect(await redeem(form)).toBe('refused')
  post().reply(400, { status: 'BAD_REDIRECT_URI', message: 'the code s3cret/+' })
  const error = await caught(redeem(form))
  expect(error).toMatchObject({
    name: 'Fatal',
    kind: 'credentials',
    message: expect.stringMatching(/BAD_REDIRECT_URI/),
  })
  expect(String(error)).not.toMatch(/s3cret|the code/)
})

test('a consent is taken back, or HubSpot did not say so', async () => {
  const sent = { token: 'r1', token_type_hint: 'refresh_token', client_id: 'client', client_secret: 's3cret/+' }
  const post = () => nock(ORIGIN).post('/oauth/2026-09/token/revoke', sent)
  post().reply(204)
  await revoke('r1')
  post().reply(400, { message: 'r1' })
  expect(String(await caught(revoke('r1')))).toMatch(/did not take the access back \(status 400\)$/)
  post().reply(503)
  expect(await caught(revoke('r1'))).toMatchObject({ name: 'RetryLater' })
})

test.each([
  { status: 'BAD_REFRESH_TOKEN', message: 'missing or invalid refresh token' },
  { status: 'error', category: 'BAD_REFRESH_TOKEN', message: 'x' },
  { error: 'invalid_grant', error_description: 'x' },
  { category: 'VALIDATION_ERROR', message: 'Invalid refresh token' },
])('400 %j: the refresh token is dead', async (body) => {
  post().reply(400, body)
  expect(await exchange('refresh 1')).toBe('refused')
})

test.each([
  [400, { status: 'BAD_CLIENT_ID', message: 'missing or unknown client id s3cret/+' }, /BAD_CLIENT_ID.*clientSecret/],
  [401, { status: 'error', category: 'UNAUTHORIZED', message: 's3cret/+' }, /UNAUTHORIZED/],
  [403, '<html>refresh 1</html>', /status 403/],
  [200, { access_token: '', expires_in: 1 }, /status 200/],
  [200, '<html>refresh 1</html>', /status 200/],
  [302, '', /status 302/],
])('%i %j: Fatal, without what was sent', async (status, body, words) => {
  post().reply(status, body, { location: 'https://evil.example/steal' })
  const error = await caught(exchange('refresh 1'))
  expect(error).toMatchObject({ name: 'Fatal', kind: 'credentials', message: expect.stringMatching(words) })
  expect(String(error)).not.toMatch(/s3cret|refresh 1/)
})

test.each([
  [429, { 'retry-after': '7' }, 7000],
  [429, {}, 30_000],
  [503, { 'retry-after': 'soon' }, 30_000],
])('%i %j: later', async (status, headers, afterMs) => {
  post().reply(status, 'busy', headers)
  expect(await caught(exchange('refresh 1'))).toMatchObject({ name: 'RetryLater', afterMs })
})

test('no answer, or none in time: later, and nothing of the request in the error', async () => {
  post().replyWithError('refresh 1 s3cret/+')
  // A real server: an aborted request that nock delays ends in an error of undici's that nobody can catch.
  const server = createServer(() => {})
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close().closeAllConnections())
  nock.enableNetConnect('127.0.0.1')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  const silent = signIn({ ...app, baseUrl: `http://127.0.0.1:${port}` })
  for (const one of [exchange, silent.exchange]) {
    const error = await caught(one('refresh 1'))
    expect(error).toMatchObject({ name: 'RetryLater', message: 'could not sign in to HubSpot: no answer' })
    expect(error instanceof Error && error.cause).toBeUndefined()
  }
})

test.each(['https://evil.example', 'http://api.hubapi.com', 'https://api.hubapi.com.evil.example', 'http://10.0.0.1'])(
  'no token goes to %s',
  (baseUrl) => {
    expect(() => signIn({ baseUrl, ...app })).toThrow('not an address of HubSpot')
  },
)

test('a static token that is refused needs a person, by the same words; the next run tries it again', async () => {
  const credential = staticToken('pat-secret', 'hub')
  expect(await credential.token(never)).toBe('pat-secret')
  const error = await caught((async () => credential.expired('pat-secret'))())
  expect(error).toMatchObject({ name: 'Fatal', kind: 'credentials' })
  expect(String(error)).toMatch(/hub needs re-connecting: HubSpot does not accept the token: it was revoked/)
  expect(String(error)).not.toContain('pat-secret')
  expect(await credential.token(never)).toBe('pat-secret')
})
