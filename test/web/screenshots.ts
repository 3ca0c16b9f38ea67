// Pictures of the pages for the documentation, by hand: `node test/web/screenshots.ts [folder]` (docs/pictures). Runs the
// demo in a folder of its own, looks at each page as people do, and keeps every picture below 150 kB.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import { openDatabase } from '../../src/store/db.ts'
import { createAccess } from '../../src/web/access.ts'
import { hashPassword } from '../../src/web/password.ts'
import { createWeb } from '../../src/web/server.ts'
import { services } from '../services.ts'
import { served, serviceOver } from './harness.ts'

const MOST_BYTES = 150_000
const HEIGHTS = [1600, 1350, 1100, 900, 700, 500]
const folder = resolve(process.argv[2] ?? 'docs/pictures')

interface Look {
  readonly width?: number
  readonly colorScheme?: 'light' | 'dark'
  readonly language?: 'en' | 'fr'
}

async function picture(
  browser: Browser,
  name: string,
  url: string,
  { width = 1280, colorScheme = 'light', language = 'en' }: Look = {},
) {
  const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme })
  const to = new URL(url)
  to.searchParams.set('language', language)
  const answer = await page.goto(to.href)
  if (answer?.status() !== 200) throw new Error(`${to.href} answers ${answer?.status()}`)
  await page.waitForLoadState('networkidle')
  const whole = Number(await page.evaluate('document.documentElement.scrollHeight'))
  for (const height of HEIGHTS) {
    const clip = { x: 0, y: 0, width, height: Math.min(whole, height) }
    const image = await page.screenshot({ clip, fullPage: true })
    if (image.length > MOST_BYTES && height !== HEIGHTS.at(-1)) continue
    writeFileSync(join(folder, `${name}.png`), image)
    break
  }
  console.log(name, statSync(join(folder, `${name}.png`)).size)
  const links = await page.locator('main a').evaluateAll((all) => all.map((link) => link.getAttribute('href') ?? ''))
  await page.close()
  return links
}

/** The demo, until its dashboard answers. */
async function demo(cwd: string) {
  const child = spawn(process.execPath, [resolve('src/cli/bin.ts'), 'demo', '--serve'], {
    cwd,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = new Promise((done) => child.once('close', done))
  const url = await new Promise<string>((found, failed) => {
    let heard = ''
    child.stderr.on('data', (part: Buffer) => {
      heard += part
      const [at] = /http:\/\/127\.0\.0\.1:\d+/.exec(heard) ?? []
      if (at) found(at)
    })
    child.once('close', () => failed(new Error(heard)))
  })
  return {
    url,
    stop: async () => {
      child.kill('SIGINT')
      await ended
    },
  }
}

const cwd = mkdtempSync(join(tmpdir(), 'unstall-pictures-'))
mkdirSync(folder, { recursive: true })
const browser = await chromium.launch({ executablePath: services.Chromium ?? 'chromium', args: ['--no-sandbox'] })
const { url, stop } = await demo(cwd)
try {
  const tonight = await picture(browser, 'tonight', `${url}/`)
  await picture(browser, 'tonight-dark', `${url}/`, { colorScheme: 'dark' })
  await picture(browser, 'tonight-phone', `${url}/`, { width: 390 })
  await picture(browser, 'tonight-fr', `${url}/`, { language: 'fr' })
  const deals = await picture(browser, 'deals', `${url}/deals?rule=pushed_repeatedly`)
  await picture(browser, 'deal', url + (deals.find((href) => href.startsWith('/deals/')) ?? ''))
  await picture(browser, 'coaching', `${url}/coaching?connection=hub`)
  await picture(browser, 'runs', `${url}/runs`)
  const run = url + (tonight.find((href) => href.startsWith('/runs/')) ?? '')
  await picture(browser, 'run', run)
  await picture(browser, 'undo', `${run}/undo`)
  await picture(browser, 'connections', `${url}/connections`)
  await picture(browser, 'queue', `${url}/queue`)
} finally {
  await stop()
}
const database = await openDatabase({})
const operator = await hashPassword('of a picture')
const access = createAccess({ operator, viewer: null, proxy: null, url: null, secret: 'of a picture', clock: Date.now })
const web = await served(createWeb(serviceOver(database), access))
await picture(browser, 'login', `${web.url}/login`)
web.close()
await browser.close()
await database.close()
rmSync(cwd, { recursive: true })
