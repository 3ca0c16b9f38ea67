// `npm run bench`: what a night costs in calls, time and memory beside the arithmetic minimum and beside what the SDKs'
// own documentation suggests, against lookalikes with real limits and 150 ms latency.
//   --size 10k|100k|1m      deals (default 10k)        --speed N      limits and latency N times faster
//   --only hubspot|salesforce                          --limits rolling|bucket
//   --no-baseline           only unstall               --cpu          the pure core and the store alone
//   --write                 puts the tables into docs/performance.md
import { parseArgs } from 'node:util'
import type { Limits } from '../../src/sandbox/limits.ts'
import { closeHomes } from '../homes.ts'
import { countsOf, minimum, minimumWall, type Night, type System, sum } from './minimum.ts'
import { type Line, print, write } from './results.ts'
import { LATENCY_MS, openStage, type Played, type Setting } from './stage.ts'

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '10k' },
    speed: { type: 'string', default: '1' },
    only: { type: 'string' },
    limits: { type: 'string' },
    baseline: { type: 'boolean', default: true },
    cpu: { type: 'boolean', default: false },
    calls: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
  allowNegative: true,
})
const [, digits = '', unit = ''] = /^(\d+)(k|m)?$/i.exec(values.size) ?? []
const deals = Number(digits) * ({ k: 1000, m: 1_000_000 }[unit.toLowerCase()] ?? 1)
const speed = Number(values.speed)
const SYSTEMS: readonly System[] = ['hubspot', 'salesforce']
const SHAPES: Readonly<Record<System, readonly Limits[]>> = { hubspot: ['rolling', 'bucket'], salesforce: ['rolling'] }

const lines: Line[] = []
function note(
  setting: Setting,
  program: string,
  what: string,
  night: Night,
  played: Played,
  terms = minimum(setting.system, night, countsOf(deals, night)),
) {
  const line: Line = {
    ...setting,
    program,
    what,
    played,
    terms,
    calls: sum(terms),
    wall: minimumWall(setting.system, terms, setting),
  }
  lines.push(line)
  print(line)
  if (values.calls) for (const [name, n] of played.calls.by) console.log(`      ${n} ${name}`)
}

for (const system of SYSTEMS.filter((one) => (values.only ?? one) === one))
  for (const limits of SHAPES[system].filter((one) => (values.limits ?? one) === one)) {
    const setting: Setting = { system, deals, limits, latencyMs: LATENCY_MS, speed }
    for (const program of values.baseline ? (['unstall', 'baseline'] as const) : (['unstall'] as const)) {
      const stage = await openStage(setting)
      try {
        await stage.setup()
        const name = program === 'unstall' ? program : system === 'hubspot' ? '@hubspot/api-client' : 'jsforce'
        const play = program === 'unstall' ? stage.night : stage.baseline
        note(setting, name, 'first night', 0, await play(0))
        await stage.between('night')
        note(setting, name, 'later night', 1, await play(1))
      } finally {
        await stage.close()
      }
    }
  }
if (values.write) await write(lines)
await closeHomes()
