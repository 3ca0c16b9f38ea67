// Words of the dashboard, in English; web-fr.ts has the same keys.
export interface WebWords {
  readonly language: 'en' | 'fr'
  readonly skip: string
  readonly navigation: string
  readonly nav: Readonly<Record<'tonight' | 'deals' | 'coaching' | 'runs' | 'connections' | 'queue', string>>
}

export const webEn: WebWords = {
  language: 'en',
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
}
