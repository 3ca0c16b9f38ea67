// Every row of the fault table: one scenario a fault (some have several), in files by what they disturb.
import { brakes } from './brakes.ts'
import { bulk } from './bulk.ts'
import { calls } from './calls.ts'
import type { Scenario } from './harness.ts'
import { kills } from './kills.ts'
import { limits } from './limits.ts'
import { people } from './people.ts'
import { reading } from './reading.ts'
import { runs } from './runs.ts'
import { stores } from './stores.ts'
import { time } from './time.ts'
import { tokens } from './tokens.ts'

export const scenarios: readonly Scenario[] = [
  ...brakes,
  ...bulk,
  ...calls,
  ...kills,
  ...limits,
  ...people,
  ...reading,
  ...runs,
  ...stores,
  ...time,
  ...tokens,
]
