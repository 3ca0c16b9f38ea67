// Law 5 on HubSpot, where the CRM itself keeps task keys unique.
import { crashTests } from './crash.ts'

crashTests('hubspot')
