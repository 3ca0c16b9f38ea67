// Words of the dashboard, in French; same keys as web-en.ts.
import { accessFr } from './web-access-fr.ts'
import type { WebWords } from './web-en.ts'
import { operateFr } from './web-operate-fr.ts'
import { pagesFr } from './web-pages-fr.ts'

export const webFr: WebWords = {
  language: 'fr',
  pages: pagesFr,
  skip: 'Aller au contenu',
  navigation: 'Pages',
  nav: {
    tonight: 'Cette nuit',
    deals: 'Affaires à l’arrêt',
    coaching: 'Fiche de coaching',
    runs: 'Exécutions',
    connections: 'Connexions',
    queue: 'File d’attente',
  },
  access: accessFr,
  operate: operateFr,
}
