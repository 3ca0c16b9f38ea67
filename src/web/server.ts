// The dashboard as one Hono app: who may look, then the pages. Server-rendered; everything works without scripts.
import { Hono } from 'hono'
import { webEn } from '../texts/web-en.ts'
import { webFr } from '../texts/web-fr.ts'
import { coaching } from './coaching.ts'
import { deals } from './deals.ts'
import type { Viewer } from './layout.ts'
import { overview } from './overview.ts'
import type { WebService } from './service.ts'
import { STYLE } from './style.ts'

export type Web = Hono<{ Variables: { viewer: Viewer } }>

export function createWeb(service: WebService): Web {
  const web: Web = new Hono()
  web.use(async (c, next) => {
    const language = c.req.query('language') ?? service.language
    const words = language === 'fr' ? webFr : webEn
    c.set('viewer', { role: 'operator', words, csrf: '', name: null })
    await next()
  })
  web.get('/style.css', (c) => c.body(STYLE, 200, { 'Content-Type': 'text/css; charset=utf-8' }))
  overview(web, service)
  deals(web, service)
  coaching(web, service)
  return web
}
