// `npm run bench`: what a night costs in calls, time and memory beside the arithmetic minimum and beside what the SDKs'
// own documentation suggests, against lookalikes with real limits and 150 ms latency.
//   --size 10k|100k|1m      deals (default 10k)
//   --speed N               limits and latency N times faster (the SDKs' waits after a 429 are not)
//   --only hubspot          or salesforce            --limits rolling       or bucket (HubSpot)
//   --no-baseline           only unstall             --calls                which calls were made
//   --special               instead of a usual night: 25,000 deals changed at one moment, then every deal
//   --cpu                   instead: the pure core and the store alone
//   --write                 puts the figures into docs/performance.md
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Limits } from '../../src/sandbox/limits.ts'
import { closeHomes, homes } from '../homes.ts'
import type { CpuOrder, CpuResult } from './figures.ts'
import { countsOf, type Happened, minimum, minimumWall, type System, sum } from './minimum.ts'
import { type Figure, type Line, print, short, write } from './results.ts'
import { FLAGS, LATENCY_MS, openStage, type Played, type Setting } from './stage.ts'

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '10k' },
    speed: { type: 'string', default: '1' },
    only: { type: 'string' },
    limits: { type: 'string' },
    baseline: { type: 'boolean', default: true },
    special: { type: 'boolean', default: false },
    cpu: { type: 'boolean', default: false },
    calls: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
  allowNegative: true,
})
const [, digits = '', unit = ''] = /^(\d+)(k|m)?$/i.exec(values.size) ?? []
const deals = Number(digits) * ({ k: 1000, m: 1_000_000 }[unit.toLowerCase()] ?? 1)
const speed = Number(values.speed)
if (!(deals > 0 && speed > 0)) throw new Error('--size takes 10k, 100k or 1m, --speed a number such as 10')

const SYSTEMS: readonly System[] = ['hubspot', 'salesforce']
const SHAPES: Readonly<Record<System, readonly Limits[]>> = { hubspot: ['rolling', 'bucket'], salesforce: ['rolling'] }
const SDK = { hubspot: '@hubspot/api-client', salesforce: 'jsforce' }
const WORDS: Readonly<Record<Happened, string>> = {
  ...{ first: 'first night', usual: 'later night', equal: 'equal timestamps', edit: 'all edited' },
}

async function play(setting: Setting, program: 'unstall' | 'baseline', tell: (line: Line) => void): Promise<void> {
  const { system } = setting
  const stage = await openStage(setting)
  const one = async (
    happened: Happened,
    night: (night: 0 | 1 | 2, moved: boolean) => Promise<Played>,
    n: 0 | 1 | 2,
  ) => {
    if (happened !== 'first') await stage.between(n === 1 ? 1 : 2, happened)
    const terms = minimum(system, countsOf(deals, happened))
    const played = await night(n, happened === 'usual')
    const least = { terms, calls: sum(terms), wall: minimumWall(system, terms, setting) }
    tell({
      ...setting,
      program: program === 'unstall' ? program : SDK[system],
      what: WORDS[happened],
      played,
      ...least,
    })
  }
  try {
    const setup = await stage.setup()
    if (setup.problem) throw new Error(setup.problem)
    const night = program === 'unstall' ? stage.night : stage.baseline
    const nights = values.special ? (['first', 'equal', 'edit'] as const) : (['first', 'usual'] as const)
    for (const [n, happened] of nights.entries()) await one(happened, night, n === 0 ? 0 : n === 1 ? 1 : 2)
  } finally {
    stage.close()
  }
}

async function measureCpu(): Promise<Figure[]> {
  const run = async (order: Omit<CpuOrder, 'databaseUrl'>): Promise<CpuResult> => {
    const { databaseUrl = '' } = order.what === 'store' ? ((await homes[1]?.place()) ?? {}) : {}
    const child = fork(join(import.meta.dirname, 'figures.ts'), [JSON.stringify({ ...order, databaseUrl })], {
      execArgv: FLAGS,
    })
    const [result] = await once(child, 'message')
    return result
  }
  const figures: Figure[] = []
  const core = await run({ what: 'core', deals: 1_000_000, pageSize: 0 })
  figures.push([
    'judge and plan',
    `${Math.round(core.perSecond / 1000)},000 deals a second on one core`,
    core.peakMb.toFixed(0),
  ])
  for (const pageSize of [50, 200, 2000]) {
    const {
      perMillionS: [first = 0, again = 0],
      perSecond,
      peakMb,
    } = await run({ what: 'store', deals, pageSize })
    const what = `read, compare and store ${short(deals)} deals, ${pageSize} a page`
    const said = `${first.toFixed(1)} s of CPU per million, known and unchanged ones ${again.toFixed(1)} s (${Math.round(perSecond)} deals a second)`
    figures.push([what, said, peakMb.toFixed(0)])
  }
  for (const figure of figures) console.log(figure.join(' | '))
  return figures
}

if (values.cpu) {
  const figures = await measureCpu()
  if (values.write) write([], figures)
} else {
  const lines: Line[] = []
  const tell = (line: Line) => {
    lines.push(line)
    print(line)
    if (values.calls) for (const [name, n] of line.played.calls.by) console.log(`       ${n} ${name}`)
  }
  print()
  const settings = SYSTEMS.filter((one) => (values.only ?? one) === one).flatMap((system) =>
    SHAPES[system]
      .filter((one) => system === 'salesforce' || (values.limits ?? one) === one)
      .map((limits): Setting => ({ system, deals, limits, latencyMs: LATENCY_MS, speed })),
  )
  const lane = async (program: 'unstall' | 'baseline') => {
    for (const setting of settings) await play(setting, program, tell)
  }
  // Small ones side by side: they wait for limits and latency, not for the machine.
  const baselines = values.baseline && !values.special
  if (deals <= 10_000) await Promise.all([lane('unstall'), ...(baselines ? [lane('baseline')] : [])])
  else
    for (const program of baselines ? (['unstall', 'baseline'] as const) : (['unstall'] as const)) await lane(program)
  if (values.write) write(lines)
}
await closeHomes()
