// The dashboard as one Hono app: who may look, then the pages. Server-rendered; everything works without scripts.
import { Hono } from 'hono'
import { webEn } from '../texts/web-en.ts'
import { webFr } from '../texts/web-fr.ts'
import type { Viewer } from './layout.ts'
import type { WebService } from './service.ts'

export type Web = Hono<{ Variables: { viewer: Viewer } }>

export function createWeb(service: WebService): Web {
  const web: Web = new Hono()
  web.use(async (c, next) => {
    const words = service.language === 'fr' ? webFr : webEn
    c.set('viewer', { role: 'operator', words, csrf: '', name: null })
    await next()
  })
  return web
}
