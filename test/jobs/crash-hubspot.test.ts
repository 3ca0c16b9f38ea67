// Law 5 on HubSpot, where the CRM itself keeps task keys unique: every point on PostgreSQL, whose processes start faster,
// a few on the embedded home; without PostgreSQL every point there.
import { it } from 'vitest'
import { eachHome } from '../homes.ts'
import { missing } from '../services.ts'
import { FULL, SHORT, survive } from './crash.ts'

const embedded = missing(['PostgreSQL']) === null ? SHORT : FULL
eachHome((home) => {
  const kills = home.name === 'embedded' ? embedded : FULL
  it(
    'is killed everywhere, and the CRM holds every flag and every task once',
    () => survive(home, 'hubspot', kills),
    180_000,
  )
}, 'databases')
