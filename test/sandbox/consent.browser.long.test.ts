// The consent page as a person uses it: a real browser, found by role and name, with the keyboard, down to the code.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { OAuth2 } from 'jsforce'
import { chromium } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { startSandbox } from '../../src/sandbox/kernel.ts'
import { salesforce } from '../../src/sandbox/salesforce/index.ts'
import { place } from '../cli/harness.ts'
import { missing, required, services } from '../services.ts'
import { shown } from './consent.ts'

const seed = { now: Date.parse('2026-11-02T06:00:00Z'), currency: 'EUR', owners: [], pipelines: [], deals: [] }
const verifier = 'abcdefghijklmnopqrstuvwxyz0123456789-._~ABCDEFG'

/** A callback address that remembers what it was called with. */
async function callback() {
  const called: URL[] = []
  const server = createServer((request, response) => {
    called.push(new URL(request.url ?? '/', 'http://127.0.0.1'))
    response.end('<h1>You can close this window.</h1>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (!address || typeof address === 'string') throw new Error('no port')
  const answered = () => called.find((url) => url.pathname === '/callback')?.searchParams
  return { server, redirectUri: `http://127.0.0.1:${address.port}/callback`, answered }
}

describe.skipIf(missing(['Chromium']) !== null && !required)('the consent page in a browser', () => {
  it('gives a code for Allow and an error for Deny', async () => {
    const sandbox = await startSandbox(salesforce(seed), { now: seed.now })
    const { server, redirectUri, answered } = await callback()
    const browser = await chromium.launch({ executablePath: services.Chromium ?? 'chromium', args: ['--no-sandbox'] })
    try {
      const oauth2 = new OAuth2({ loginUrl: sandbox.url, clientId: 'sandbox', clientSecret: 'sandbox', redirectUri })
      const code_challenge = createHash('sha256').update(verifier).digest('base64url')
      const asked = { code_challenge, code_challenge_method: 'S256', state: 'a"<b>&c', scope: 'api refresh_token' }
      const page = await browser.newPage()
      await page.goto(oauth2.getAuthorizationUrl(asked))
      expect(await page.title()).toBe('Allow access?')
      await page.getByRole('heading', { level: 1, name: 'Allow access?' }).waitFor()
      expect(await page.getByText('api refresh_token').count()).toBe(1)
      await page.getByRole('button', { name: 'Allow' }).focus()
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'You can close this window.' }).waitFor()
      expect(answered()?.get('state')).toBe('a"<b>&c')
      const token = await oauth2.requestToken(answered()?.get('code') ?? '', { code_verifier: verifier })
      expect(token.refresh_token).toBeTruthy()

      await page.goto(oauth2.getAuthorizationUrl(asked))
      await page.getByRole('button', { name: 'Deny' }).click()
      await page.waitForURL(/error=access_denied/)
    } finally {
      await browser.close()
      await sandbox.close()
      server.closeAllConnections()
      server.close()
    }
  })

  it('connects both CRMs from the command line', async () => {
    const at = await place()
    const browser = await chromium.launch({ executablePath: services.Chromium ?? 'chromium', args: ['--no-sandbox'] })
    try {
      const oauth = '{ kind: oauth, clientId: sandbox, clientSecret: sandbox }'
      at.config([
        ['{ kind: token, token: "$' + '{HUBSPOT_TOKEN}" }', oauth],
        ['{ kind: client-credentials, clientId: sandbox, clientSecret: "$' + '{SF_CLIENT_SECRET}" }', oauth],
      ])
      const page = await browser.newPage()
      const foreign: string[] = []
      page.on('request', (request) => {
        if (!/^http:\/\/(127\.0\.0\.1|localhost):/.test(request.url())) foreign.push(request.url())
      })
      for (const [name, crm] of [
        ['hub', 'HubSpot'],
        ['sf', 'Salesforce'],
      ] as const)
        for (const [button, title, told, code] of [
          ['Deny', 'Not connected', `${crm} was not allowed to give access, so nothing is connected.`, 1],
          ['Allow, but the code is used on its way', 'Not connected', 'its code was used before or is too old', 1],
          ['Allow', `${name} is connected`, `Connected to ${crm}, account`, 0],
        ] as const) {
          const ended = at.run('connect', name, '--port', '0')
          const address = await shown(at.heard)
          const query = new URL(address).searchParams
          // A link of somebody else, who does not know the state.
          await page.goto(`${query.get('redirect_uri')}?code=theirs&state=theirs`)
          await page.getByText('does not belong to the question that unstall asks now').waitFor()
          await page.goto(address)
          if (button.includes('used'))
            await page.route('**/authorize', async (route) => {
              const response = await route.fetch({ maxRedirects: 0 })
              const code = new URL(response.headers().location ?? '').searchParams.get('code') ?? ''
              const path = name === 'hub' ? '/oauth/2026-09/token' : '/services/oauth2/token'
              const form = { grant_type: 'authorization_code', code, client_id: 'sandbox', client_secret: 'sandbox' }
              await fetch(at[name].url + path, { method: 'POST', body: new URLSearchParams(form) })
              await route.fulfill({ response })
            })
          await page.getByRole('button', { name: button.slice(0, 5).trim() }).click()
          await page.getByRole('heading', { level: 1, name: title }).waitFor()
          expect(await page.getByText(told).count()).toBe(1)
          expect((await ended).code).toBe(code)
          await page.unroute('**/authorize')
        }
      expect(foreign).toEqual([])
    } finally {
      await browser.close()
      await at.close()
    }
  }, 120_000)
})
