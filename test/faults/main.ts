// `npm run faults`: plays every fault on every system and home it matters for, prints one line each, and ends with code 1
// if a task was doubled, a flag was lost or wrong, or a row missed its figure.
//   --quick            small counts (CI); otherwise the full ones
//   --only 1,10        only these faults        --system hubspot       --home PostgreSQL
//   --title random     only rows whose title contains this
//   --seed N           repeats a run that failed
//   --write            puts the table into docs/reliability.md
import { readFileSync, writeFileSync } from 'node:fs'
import { arch, availableParallelism, platform } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { System } from '../../src/core/deal.ts'
import { closeHomes, homes } from '../homes.ts'
import { missing, required } from '../services.ts'
import { type HomeName, part, type Result, type Scenario, type Skipped, type Trial } from './harness.ts'
import { scenarios } from './scenarios.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    title: { type: 'string', default: '' },
    system: { type: 'string' },
    home: { type: 'string' },
    seed: { type: 'string' },
    lanes: { type: 'string', default: '2' },
    write: { type: 'boolean', default: false },
  },
})
const { quick } = values
const seed = Number(values.seed ?? 1)
const only = values.only?.split(',').map(Number)
const LONGEST_MS = quick ? 120_000 : 1_800_000
const SYSTEMS: readonly System[] = ['hubspot', 'salesforce']

interface Row {
  readonly scenario: Scenario
  readonly system: System
  readonly home: HomeName
  result: Result | Skipped | null
  seconds: number
}

let long = 0
function rowsOf(scenario: Scenario, index: number): Row[] {
  const wanted = (scenario.homes ?? ['embedded']).filter((home) => (values.home ?? home) === home)
  const systems = scenario.systems ?? SYSTEMS
  const turn = long
  if (scenario.long) long += 1
  return systems.flatMap((system, at) => {
    if (quick && scenario.long && at !== turn % systems.length && values.system === undefined) return []
    // Quick: one home a system, another one for the other system, so that all of them are met.
    const some = quick ? wanted.filter((_, home) => home === (index + at) % wanted.length) : wanted
    return some.map((home) => ({ scenario, system, home, result: null, seconds: 0 }))
  })
}

const rows = scenarios
  .filter(({ fault, title }) => (only === undefined || only.includes(fault)) && title.includes(values.title))
  .flatMap(rowsOf)
  .filter(({ system }) => (values.system ?? system) === system)
  .toSorted((a, b) => a.scenario.fault - b.scenario.fault)

const HEAD = ['#', 'fault', 'CRM', 'home', 'injected', 'DUP', 'LOST', 'WRONG', 'extra calls', 'back after', 's']
const WIDTHS = [2, 42, 10, 20, 30, 4, 4, 5, 14, 10, 4]
const line = (cells: readonly string[]) =>
  cells
    .map((cell, at) => cell.slice(0, WIDTHS[at]).padEnd(WIDTHS[at] ?? 0))
    .join(' ')
    .trimEnd()

function cells({ scenario, system, home, result, seconds }: Row): string[] {
  const start = [String(scenario.fault), scenario.title, system, home]
  if (result === null || 'skipped' in result) return [...start, `skipped: ${result?.skipped}`, '', '', '', '', '', '']
  const { injected, dup, lost, wrong, extraCalls = '', recoveryMs } = result
  const back = recoveryMs === undefined ? '' : `${(recoveryMs / 1000).toFixed(1)} s`
  return [...start, injected, ...[dup, lost, wrong].map(String), extraCalls, back, seconds.toFixed(0)]
}
const failed = ({ result }: Row) =>
  result !== null &&
  !('skipped' in result) &&
  (result.problems.length > 0 || result.dup + result.lost + result.wrong > 0)

async function play(row: Row): Promise<void> {
  const { scenario, system, home } = row
  const lacking = missing(homes.find((one) => one.name === home)?.needs ?? [])
  if (lacking && !required) {
    row.result = { skipped: `no ${lacking}` }
    return
  }
  const trial: Omit<Trial, 'onEnd'> = {
    ...{ system, home, quick, seed },
    say: (words) => void (process.stderr.isTTY && process.stderr.write(`  ${scenario.fault} ${system}: ${words}\n`)),
  }
  const begun = performance.now()
  let timer: NodeJS.Timeout | undefined
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not over within ${LONGEST_MS / 1000} s`)), LONGEST_MS)
    })
    row.result = await part(trial, (whole) => Promise.race([scenario.run(whole), late]))
  } catch (error) {
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error)
    row.result = { injected: 'did not finish', dup: 0, lost: 0, wrong: 0, problems: [words] }
  } finally {
    clearTimeout(timer)
    row.seconds = (performance.now() - begun) / 1000
  }
}

console.log(
  `seed ${seed}, ${quick ? 'small' : 'full'} counts, Node ${process.version}, ${platform()} ${arch()}, ${availableParallelism()} cores\n`,
)
console.log(line(HEAD))
async function lane(waiting: Row[]): Promise<void> {
  for (let row = waiting.shift(); row !== undefined; row = waiting.shift()) {
    await play(row)
    if (values.write) write(row)
    console.log(line(cells(row)))
    if (row.result === null || 'skipped' in row.result) continue
    if (row.result.note) console.log(`   ${row.result.note}`)
    for (const problem of row.result.problems.slice(0, 10)) console.log(`   FAILED: ${problem}`)
  }
}
const isAlone = ({ scenario }: Row) => !quick && scenario.alone === true
const [alone, together] = [rows.filter(isAlone), rows.filter((row) => !isAlone(row))]
await Promise.all(Array.from({ length: Number(values.lanes) }, () => lane(together)))
await lane(alone)
await closeHomes()

const bad = rows.filter(failed).length
const idle = rows.filter(({ result }) => result === null || 'skipped' in result).length
console.log(`\n${rows.length - bad - idle} passed, ${bad} failed, ${idle} skipped`)
process.exit(bad > 0 || rows.length === 0 ? 1 : 0)

/** Between the two markers of docs/reliability.md, row by row: those not played now stay as they are. */
function write(row: Row): void {
  const file = join(import.meta.dirname, '../../docs/reliability.md')
  const parts = /^([\s\S]*<!-- table -->\n)([\s\S]*)(<!-- end -->[\s\S]*)$/.exec(readFileSync(file, 'utf8'))
  if (!parts) throw new Error(`${file} has lost its markers`)
  const [, above, before = '', below] = parts
  const lineOf = (row: readonly string[]) => `| ${row.join(' | ')} |`
  // Fault, title, CRM and home.
  const nameOf = (line: string) => line.split(' | ', 4).join()
  const told = new Map(before.split('\n').flatMap((line) => (/^\| \d/.test(line) ? [[nameOf(line), line]] : [])))
  const note = row.result && 'note' in row.result ? row.result.note : undefined
  const line = lineOf([...cells(row), note?.replaceAll('|', '/') ?? ''])
  told.set(nameOf(line), line)
  const head = [...HEAD, 'remarks']
  const byFault = [...told.values()].toSorted((a, b) => Number(a.slice(2, 4)) - Number(b.slice(2, 4)))
  const table = [lineOf(head), lineOf(head.map(() => '---')), ...byFault].join('\n')
  const said = `Seed ${seed}, ${quick ? 'small' : 'full'} counts, Node ${process.version}, ${availableParallelism()} cores.`
  writeFileSync(file, `${above}\n${said}\n\n${table}\n\n${below}`)
}
