// The HubSpot connector against the lookalike portal, over real HTTP.
import { conformance } from '../../conformance.ts'
import { harness } from './harness.ts'

conformance('hubspot, task keys unique', () => harness('unique'))
