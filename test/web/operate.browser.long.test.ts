// An operator in a real browser, by the names of buttons and links: preview, confirm, look at the run, take one
// deal back. In both languages and widths, light and dark, without a serious violation of accessibility.
import { join } from 'node:path'
import axe, { type AxeResults } from 'axe-core'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { System } from '../../src/core/deal.ts'
import { listRuns } from '../../src/store/runs.ts'
import { webEn } from '../../src/texts/web-en.ts'
import { webFr } from '../../src/texts/web-fr.ts'
import { borrowed } from '../homes.ts'
import { type Crm, HOSTILE_NAMES, REPS, seedDeal, seedOf, startCrm } from '../jobs/harness.ts'
import { missing, required, services } from '../services.ts'
import { served } from './harness.ts'
import { operated } from './operated.ts'

/** A folder: pictures of every page are left there. */
const { PICTURES } = process.env
const DEALS = [
  ...Array.from({ length: 6 }, (_, n) => seedDeal(`Renewal ${n}`, { ownerEmail: REPS[n % 4] ?? '', idle: 40 + 9 * n })),
  seedDeal(HOSTILE_NAMES['right to left']),
  seedDeal(HOSTILE_NAMES.markup),
]

describe.skipIf(missing(['Chromium']) !== null && !required)('the operator in a browser', () => {
  const crms: Crm[] = []
  let browser: Browser
  let url = ''
  let database: Awaited<ReturnType<typeof borrowed>>
  let close = async () => {}
  beforeAll(async () => {
    database = await borrowed()
    for (const system of ['hubspot', 'salesforce'] as const) crms.push(await startCrm(system, seedOf(DEALS)))
    const pages = await operated(database.database, crms)
    const server = await served(pages.web)
    url = server.url
    browser = await chromium.launch({ executablePath: services.Chromium ?? 'chromium', args: ['--no-sandbox'] })
    close = async () => {
      await browser.close()
      server.close()
      await pages.close()
      await database.giveBack()
    }
  })
  afterAll(() => close())

  /** What axe holds against a page as serious or worse, in both widths; a picture of each. */
  async function looked(page: Page, name: string): Promise<void> {
    // Not by a script tag, which the pages' policy forbids.
    await page.evaluate(axe.source)
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 })
      const { violations } = await page.evaluate<AxeResults>('axe.run({ resultTypes: ["violations"], preload: false })')
      const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
      expect(
        grave.map(({ id, nodes }) => `${name} ${width}: ${id} ${nodes.map((node) => node.html).join(' ')}`),
      ).toEqual([])
      const wide = await page.evaluate<number>('document.documentElement.scrollWidth')
      expect(wide, `${name} at ${width}`).toBeLessThanOrEqual(width)
      if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}-${width}.png`), fullPage: true })
    }
  }

  it.each([
    ['en', 'hubspot', 1280, 'light', webEn],
    ['fr', 'salesforce', 390, 'dark', webFr],
  ] as const)(
    '%s, %s, %i wide, %s',
    async (language, system: System, width, colorScheme, { operate: words, nav }) => {
      const crm = crms.find((one) => one.system === system)
      if (!crm) throw new Error('no CRM')
      const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme })
      const heard: string[] = []
      page.on('console', (message) => heard.push(message.text()))
      page.on('request', (request) => {
        if (!request.url().startsWith(url) && !request.url().startsWith('data:')) heard.push(request.url())
      })
      const button = (name: string) => page.getByRole('button', { name })
      const heading = (name: string | RegExp) => page.getByRole('heading', { level: 1, name })
      const named = async (name: string) => {
        await looked(page, `${name}-${language}`)
        await page.setViewportSize({ width, height: 800 })
      }

      await page.goto(`${url}/runs?language=${language}`)
      await named('runs')
      await page.getByRole('link', { name: nav.connections, exact: true }).click()
      await heading(nav.connections).waitFor()
      await named('connections')
      const preview = words.connections.of
        .replace('{action}', words.connections.preview)
        .replace('{connection}', crm.name)
      await button(preview).focus()
      await page.keyboard.press('Enter')
      // It loads itself again until the workers are through.
      await button(words.run.confirm).waitFor()
      await named('preview')
      await button(words.run.confirm).click()
      await page.getByRole('link', { name: words.run.undo }).waitFor()
      await named('run')
      const night = (await listRuns(database.database.db, { connection: crm.name, limit: 1 }))[0]
      expect(night).toMatchObject({ kind: 'manual', status: 'done' })
      expect((await crm.look()).deals.filter(({ stalled }) => stalled)).toHaveLength(DEALS.length)

      await page.getByRole('link', { name: `${words.run.undoDeal} Renewal 3`, exact: true }).click()
      await page.getByText(words.undo.nothingLeft).waitFor()
      await named('undo-deal')
      await button(words.undo.confirm).click()
      await page.getByRole('heading', { level: 3, name: 'Renewal 3' }).waitFor()
      expect((await crm.look()).deals.filter(({ stalled }) => !stalled).map(({ name }) => name)).toEqual(['Renewal 3'])

      await crm.set('Renewal 4', 'category', crm.words.best)
      await page.goto(`${url}/runs/${night?.id}/undo`)
      await page.getByRole('table', { name: words.undo.left }).waitFor()
      await named('undo')
      await page.getByRole('link', { name: words.undo.cancel }).click()
      await page.goto(`${url}/connections/${crm.name}/check`)
      await page.getByRole('table', { name: words.check.caption }).waitFor()
      await named('check')
      await page.goto(`${url}/nowhere`)
      await named('missing')
      expect(heard.filter((line) => !/404/.test(line))).toEqual([])
      if (language === 'en') {
        await page.goto(`${url}/queue`)
        await page.getByText('steps').first().waitFor()
      }
      await page.close()
    },
    120_000,
  )
})
