// Every row of the fault table: one scenario a fault (some have several), in files by what they disturb.
import { brakes } from './brakes.ts'
import type { Scenario } from './harness.ts'
import { tokens } from './tokens.ts'

export const scenarios: readonly Scenario[] = [...brakes, ...tokens]
