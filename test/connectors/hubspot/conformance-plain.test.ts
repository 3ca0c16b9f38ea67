// The HubSpot connector against the lookalike portal, over real HTTP, where tasks take no unique property.
import { conformance } from '../../conformance.ts'
import { harness } from './harness.ts'

conformance('hubspot, task keys plain', () => harness('plain'))
