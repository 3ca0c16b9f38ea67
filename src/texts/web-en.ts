// Words of the dashboard, in English; web-fr.ts has the same keys.
import { type AccessWords, accessEn } from './web-access-en.ts'
import { type OperateWords, operateEn } from './web-operate-en.ts'
import { type PageWords, pagesEn } from './web-pages-en.ts'

export interface WebWords {
  /** Of the manager's pages. */
  readonly pages: PageWords
  readonly language: 'en' | 'fr'
  readonly skip: string
  readonly navigation: string
  readonly nav: Readonly<Record<'tonight' | 'deals' | 'coaching' | 'runs' | 'connections' | 'queue', string>>
  readonly access: AccessWords
  readonly operate: OperateWords
}

export const webEn: WebWords = {
  language: 'en',
  pages: pagesEn,
  skip: 'Skip to content',
  navigation: 'Pages',
  nav: {
    tonight: 'Tonight',
    deals: 'Stalled deals',
    coaching: 'Coaching sheet',
    runs: 'Runs',
    connections: 'Connections',
    queue: 'Queue',
  },
  access: accessEn,
  operate: operateEn,
}
