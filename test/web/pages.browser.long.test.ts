// The path a manager walks, in a real browser: tonight, a reason, a filter, one deal, the coaching sheet, a rep's deals.
// In both languages and widths, light and dark; axe-core finds nothing serious, and nothing scrolls sideways.
import axe from 'axe-core'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { webEn } from '../../src/texts/web-en.ts'
import { webFr } from '../../src/texts/web-fr.ts'
import { borrowed } from '../homes.ts'
import { HOSTILE_NAMES, MONDAY, seedDeal } from '../jobs/harness.ts'
import { missing, required, services } from '../services.ts'
import { company, type Filled, filled, served } from './harness.ts'

/** In the page, where its policy lets no script of the page run. */
const SERIOUS = `axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .map(({ id, nodes }) => id + ': ' + nodes[0].html))`

describe.skipIf(missing(['Chromium']) !== null && !required)('the manager in a browser', () => {
  let at: Filled
  let giveBack: () => Promise<void>
  let address: Awaited<ReturnType<typeof served>>
  let browser: Browser
  beforeAll(async () => {
    const home = await borrowed()
    giveBack = home.giveBack
    const ordinary = company(1, 50)
    const deals = [...ordinary.deals, ...Object.values(HOSTILE_NAMES).map((name) => seedDeal(name, { now: MONDAY }))]
    at = await filled(home.database, { hubspot: { ...ordinary, deals }, salesforce: company(2, 12) }, { nights: 1 })
    address = await served(at.web)
    browser = await chromium.launch({ executablePath: services.Chromium ?? 'chromium', args: ['--no-sandbox'] })
  })
  afterAll(async () => {
    await browser.close()
    address.close()
    await at.close()
    await giveBack()
  })

  async function sound(page: Page, where: string) {
    await page.evaluate(axe.source)
    expect(await page.evaluate(SERIOUS), where).toEqual([])
    // A page that has just loaded itself again has no stylesheet yet.
    await page.waitForLoadState('load')
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), where).toBe(0)
    const levels = await page.locator('h1, h2, h3').evaluateAll((all) => all.map(({ tagName }) => Number(tagName[1])))
    expect(levels[0], where).toBe(1)
    expect(
      levels.filter((level, n) => level > (levels[n - 1] ?? 0) + 1),
      where,
    ).toEqual([])
  }

  it.each([
    ['en', 1280, 'light'],
    ['en', 390, 'dark'],
    ['fr', 1280, 'dark'],
    ['fr', 390, 'light'],
  ] as const)('%s, %i wide, %s', async (language, width, colorScheme) => {
    const { pages: words, nav } = language === 'fr' ? webFr : webEn
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme })
    const page = await context.newPage()
    const odd: string[] = []
    page.on(
      'request',
      (request) =>
        request.url().startsWith(address.url) || request.url().startsWith('data:') || odd.push(request.url()),
    )
    page.on('console', (message) => message.type() === 'error' && odd.push(message.text()))
    page.on('dialog', (dialog) => void dialog.dismiss().then(() => odd.push('a dialog')))
    await page.goto(address.url)
    // The choice is kept from here on.
    if (language === 'fr') await page.getByRole('link', { name: 'Français' }).click()
    await page.getByRole('heading', { level: 1, name: words.tonight.title }).waitFor()
    expect(await page.locator('html').getAttribute('lang')).toBe(language)
    expect(await page.getByText(words.tonight.honest, { exact: true }).count()).toBe(1)
    await sound(page, 'tonight')

    // By keyboard: the skip link is first.
    await page.keyboard.press('Tab')
    expect(await page.locator(':focus').getAttribute('class')).toBe('skip')

    const reason = page.locator('table.ranking').first().getByRole('link').first()
    const name = await reason.innerText()
    await reason.click()
    await page.getByRole('heading', { level: 1, name: words.list.titles.stalled }).waitFor()
    const whys = await page.locator('td.why strong').allInnerTexts()
    expect(whys.length).toBeGreaterThan(0)
    expect(new Set(whys)).toEqual(new Set([name]))
    await sound(page, 'deals by reason')

    await page.goto(`${address.url}/deals`)
    await page.getByLabel(words.list.text).fill('script')
    await page.getByRole('button', { name: words.list.show }).click()
    const hostile = page.getByRole('link', { name: /<script>alert\(1\)/ }).first()
    await hostile.waitFor()
    await page.getByRole('link', { name: words.list.clear }).click()
    await page.locator('.deals tbody tr').nth(20).waitFor()
    await sound(page, 'deals')

    await page.locator('.deals tbody th a').first().click()
    await page.getByRole('heading', { level: 2, name: words.deal.timeline }).waitFor()
    expect(
      await page
        .getByRole('link', { name: /HubSpot|Salesforce/ })
        .first()
        .getAttribute('rel'),
    ).toContain('noopener')
    await sound(page, 'deal')

    await page.getByRole('navigation').first().getByRole('link').nth(2).click()
    await page.getByRole('heading', { level: 1, name: nav.coaching }).waitFor()
    await page.locator('main table').first().waitFor({ state: 'attached' })
    await sound(page, 'coaching')
    const rep = page.locator('main table a[href^="/deals?owner="]').first()
    const owner = await rep.innerText()
    await rep.click()
    await page.locator('.deals tbody tr').first().waitFor()
    const owners = await page.locator('.deals td[data-label] > bdi').allInnerTexts()
    expect(new Set(owners)).toEqual(new Set([owner]))
    // Its filter is open and says so.
    expect(await page.getByLabel(words.list.owner, { exact: true }).inputValue()).toBe(owner)
    expect(odd).toEqual([])
    await context.close()
  })
})
