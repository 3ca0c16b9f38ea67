// `npm run faults:mutations`: who guards the guards? Breaks five safeguards, each in a copy of the program, and demands
// that the fault harness notices. Ends with code 1 when a mutant survives, when the unchanged program is not green, or
// when a text to be changed is not found exactly once: then this list must follow the program.
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

interface Mutant {
  readonly safeguard: string
  /** File, what is there, what is there instead. Several where the safeguard is there more than once. */
  readonly changes: readonly (readonly [file: string, from: string, to: string])[]
  /** The rows that must turn red, as arguments of main.ts. */
  readonly rows: readonly string[]
}

/** Killed while tasks have been created without an answer, where nothing but our look prevents second ones. */
const KILLED = ['--only', '2', '--title', 'same job', '--system', 'salesforce', '--home', 'PostgreSQL']

export const MUTANTS: readonly Mutant[] = [
  {
    safeguard: 'the intent is stored before the call',
    changes: [
      [
        'jobs/apply.ts',
        '  await fenced(ctx.db, run, (trx) => markSent(trx, run, keys, crmTime(ctx, run)))\n',
        '  const mark = (trx: Parameters<typeof markSent>[0], some: readonly Settlement[]) =>\n' +
          '    markSent(trx, run, some.map(({ key }) => key), crmTime(ctx, run))\n',
      ],
      [
        'jobs/apply.ts',
        '      await settle(trx, run.id, batch, crmTime(ctx, run))\n',
        '      await mark(trx, batch)\n      await settle(trx, run.id, batch, crmTime(ctx, run))\n',
      ],
    ],
    rows: KILLED,
  },
  {
    safeguard: 'the plan is reaffirmed by a fresh look before each write',
    changes: [
      ['src/core/reaffirm.ts', "  return fields.length === 0 ? 'go' : { drop: 'changed', fields }", "  return 'go'"],
    ],
    rows: ['--only', '14', '--title', 'between judging and writing', '--system', 'hubspot'],
  },
  {
    safeguard: 'an undo compares with what was written',
    // Compared twice: when it is planned, and right before the call.
    changes: [
      [
        'src/core/undo.ts',
        '    else if (again !== undefined || !sameValue(found, wrote)) {',
        '    else if (again !== undefined) {',
      ],
      ['jobs/apply.ts', "    return still === 'left'\n", '    return false\n'],
    ],
    rows: ['--only', '14', '--title', 'before an undo', '--system', 'hubspot'],
  },
  {
    safeguard: 'tasks without an answer are looked up by their key',
    changes: [
      [
        'jobs/apply.ts',
        '    for (const [key, task] of await connector.find(keys, signal)) found.set(key, task)\n',
        '    await connector.find(keys, signal)\n',
      ],
    ],
    rows: KILLED,
  },
  {
    safeguard: 'a worker that was overtaken can store nothing (epoch)',
    changes: [['src/store/runs.ts', "    .where('epoch', '=', epoch)\n", '']],
    rows: ['--only', '2', '--title', 'forgets a job', '--system', 'hubspot', '--home', 'PostgreSQL'],
  },
]

/** The folder of this program. */
export const ROOT = join(import.meta.dirname, '../..')
const LEFT_OUT = /^(?:node_modules|dist|coverage|\.git|\.unstall.*)$/

/** A copy of the program as it is now; `node_modules` is the same. */
function copy(): string {
  const folder = mkdtempSync(join(tmpdir(), 'unstall-mutant-'))
  cpSync(ROOT, folder, { recursive: true, filter: (path) => !LEFT_OUT.test(relative(ROOT, path)) })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

function change(folder: string, { safeguard, changes }: Mutant): void {
  for (const [file, from, to] of changes) {
    const text = readFileSync(join(folder, file), 'utf8')
    const times = text.split(from).length - 1
    if (times !== 1)
      throw new Error(`"${safeguard}": found ${times} times instead of once in ${file}, so nothing is proved:\n${from}`)
    writeFileSync(
      join(folder, file),
      text.replace(from, () => to),
    )
  }
}

interface Played {
  readonly passed: number
  /** The first thing that a row complains of; a row that did not come to its end proves nothing. */
  readonly failed: string | null
  readonly output: string
}
async function play(folder: string, rows: readonly string[]): Promise<Played> {
  const args = [join(folder, 'test/faults/main.ts'), '--quick', '--lanes', '1', ...rows]
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, args, { cwd: folder, timeout: 200_000, maxBuffer: 1e8 }, (_error, out, err) =>
      resolve(out + err),
    )
  })
  const passed = Number(/^(\d+) passed/m.exec(output)?.[1] ?? 0)
  const failed = /^ {3}FAILED: (.*)/m.exec(output)?.[1] ?? null
  return { passed, failed: /did not finish/.test(output) ? null : failed, output }
}

/** The unchanged program, once for each set of rows. */
const sound = new Map<string, Promise<Played>>()

/** @returns how it was noticed. @throws what is wrong */
async function judge(mutant: Mutant): Promise<string> {
  const { rows } = mutant
  const key = rows.join(' ')
  const folder = copy()
  try {
    const first = sound.get(key) ?? play(folder, rows)
    sound.set(key, first)
    const { failed, passed, output } = await first
    if (failed !== null || passed === 0) throw new Error(`the program as it is is not green:\n${output}`)
    change(folder, mutant)
    const broken = await play(folder, rows)
    if (broken.failed === null) throw new Error(`SURVIVED: no row that came to its end complained.\n${broken.output}`)
    return broken.failed
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function main(): Promise<void> {
  let survivors = 0
  const waiting = [...MUTANTS]
  async function lane(): Promise<void> {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const { safeguard } = mutant
      const begun = performance.now()
      const said = await judge(mutant).then(
        (how) => `noticed: ${how.slice(0, 160)}`,
        (error: unknown) => {
          survivors++
          return error instanceof Error ? error.message : String(error)
        },
      )
      console.log(`without "${safeguard}" (${((performance.now() - begun) / 1000).toFixed(0)} s)\n   ${said}`)
    }
  }
  await Promise.all([lane(), lane()])
  console.log(`\n${MUTANTS.length - survivors} noticed, ${survivors} not`)
  process.exit(survivors > 0 ? 1 : 0)
}
if (process.argv[1] === import.meta.filename) await main()
