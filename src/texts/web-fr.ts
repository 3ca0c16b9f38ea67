// Words of the dashboard, in French; same keys as web-en.ts.
import type { WebWords } from './web-en.ts'

export const webFr: WebWords = {
  language: 'fr',
  skip: 'Aller au contenu',
  navigation: 'Pages',
  nav: {
    tonight: 'Cette nuit',
    deals: 'Affaires au point mort',
    coaching: 'Fiche de coaching',
    runs: 'Exécutions',
    connections: 'Connexions',
    queue: 'File d’attente',
  },
}
