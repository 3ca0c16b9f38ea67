// The static credential: a service key or a private-app token, as it stands in the configuration. OAuth connections
// get their credential from the vault; a connector sees only this interface either way.
import type { Credential } from '../../src/connector.ts'
import { Fatal } from '../../src/errors.ts'

const REFUSED =
  'HubSpot does not accept the token: it was revoked, has expired or was mistyped. ' +
  'Create a new one under Settings > Integrations > Service Keys and put it in place of the old one.'

/** Works until HubSpot refuses the token; from then on `token()` throws Fatal('credentials'). */
export function staticToken(token: string): Credential {
  let refused = false
  return {
    async token() {
      if (refused) throw new Fatal('credentials', REFUSED)
      return token
    },
    expired() {
      refused = true
    },
  }
}
