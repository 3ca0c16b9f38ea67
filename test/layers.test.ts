// The architecture as a table: who may import whom, what only one file may touch, and how large things may grow. It
// reads the import lines of every source file; the rule that was broken is named in the failure.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'

interface Rule {
  /** Files the rule is for, by the start of their path. */
  readonly from: readonly string[]
  /** What they may import: own files by the start of their path, packages by name. */
  readonly may: readonly string[]
  readonly builtins: boolean
  readonly because: string
}

// `src/errors.ts` and `src/connector.ts` hold words everybody needs (what to do about a failure, a gate, a credential):
// they import nothing but core, so whoever sits above them may use them.
const WORDS = ['src/core/', 'src/errors.ts', 'src/connector.ts']
const PORT = [...WORDS, 'src/batches.ts', 'src/gate.ts']
const rule = (from: string | readonly string[], may: readonly string[], because: string, builtins = true): Rule => ({
  from: [from].flat(),
  may,
  builtins,
  because,
})

/** The first rule that fits a file is its rule. */
const TABLE: readonly Rule[] = [
  rule('src/core/', ['src/core/', 'zod'], 'the core is pure: it imports itself and zod, nothing else', false),
  rule(['src/connector.ts', 'src/errors.ts'], ['src/core/'], 'the port and the errors know only the core'),
  rule(
    'connectors/hubspot/',
    [...PORT, 'zod', 'connectors/hubspot/', '@hubspot/api-client'],
    'a connector knows the port, the core and its own SDK: no other connector, no store, no queue, no jobs',
  ),
  rule(
    'connectors/salesforce/',
    [...PORT, 'zod', 'connectors/salesforce/', 'jsforce'],
    'a connector knows the port, the core and its own SDK: no other connector, no store, no queue, no jobs',
  ),
  rule(
    'src/store/',
    [...WORDS, 'src/store/', 'kysely', 'pg', '@electric-sql/pglite', 'proper-lockfile', 'zod'],
    'the store knows the core and its database libraries: no connectors, no jobs, no queue',
  ),
  rule(
    ['src/report/', 'src/web/', 'src/digest/'],
    [
      ...[
        ...WORDS,
        'src/schedule.ts',
        'src/store/',
        'src/texts/',
        'src/report/',
        'src/web/',
        'src/digest/',
        'hono',
        '@hono/node-server',
      ],
      ...['echarts', 'zod', 'nodemailer', 'prom-client'],
    ],
    'report, web and digests show what the store holds: no connectors, no jobs, no queue',
  ),
  rule(
    'jobs/',
    [...WORDS, 'src/store/', 'src/queue.ts', 'src/log.ts', 'src/report/', 'src/digest/', 'jobs/'],
    'jobs move data between store, core and the port: they know no connector folder',
  ),
  rule(
    'src/sandbox/',
    ['src/sandbox/', 'hono', '@hono/node-server', 'csv-parse', 'zod'],
    'a lookalike that shares code with the client proves nothing',
  ),
  rule(['src/gate.ts', 'src/batches.ts', 'src/findings.ts'], WORDS, 'gate, batches and findings know the port'),
  rule('src/watchdog.ts', [], 'the watchdog knows nothing but Node'),
  rule('src/log.ts', ['pino', 'pino-pretty'], 'the log knows its library'),
  rule('src/secrets.ts', [...WORDS, 'src/store/', 'zod'], 'the vault knows the store'),
  rule(
    ['src/config.ts', 'src/config-words.ts', 'src/config-edit.ts'],
    [...WORDS, 'src/config-words.ts', 'src/config-edit.ts', 'zod', 'yaml', 'date-holidays', 'csv-parse', 'cron-parser'],
    'the configuration knows the core and its parsers',
  ),
  rule('src/schedule.ts', ['src/core/', 'cron-parser'], 'the schedule knows cron and nothing else'),
  rule(
    'src/queue.ts',
    [
      ...WORDS,
      'src/schedule.ts',
      'src/store/',
      'bullmq',
      'ioredis',
      'pg',
      '@bull-board/api',
      '@bull-board/hono',
      'hono',
      '@hono/node-server',
    ],
    'the queue knows the schedule, the store and BullMQ',
  ),
  rule('src/texts/', ['src/core/', 'src/texts/'], 'texts are words for what the core says'),
  rule(['src/app.ts', 'src/cli/'], [''], 'the composition root and the command line may import everything'),
]

const FOLDERS = ['src', 'connectors', 'jobs']
const files = FOLDERS.flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
).filter((name) => name.endsWith('.ts'))
const source = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]))

/** Comments out, strings kept: an import is what the compiler would see. */
const code = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`])\/\/.*$/gm, '$1')
/** Code with the text of strings taken out: what may be asked about words in it. */
const bare = (text: string) => code(text).replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''")

interface Import {
  readonly from: string
  /** A file of the repository, a package name, or `node:…`. */
  readonly to: string
  /** Erased before running: `import type` and `export type`. */
  readonly typeOnly: boolean
}
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s+(type\s)?[^'";]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g

function importsOf(from: string, text: string): Import[] {
  return [...code(text).matchAll(IMPORT)].map(([, type, named, plain, dynamic]) => {
    const given = named ?? plain ?? dynamic ?? ''
    const to = given.startsWith('.')
      ? normalize(join(dirname(from), given))
      : given.startsWith('node:')
        ? given
        : pack(given)
    return { from, to, typeOnly: type !== undefined }
  })
}
const pack = (given: string) =>
  given
    .split('/')
    .slice(0, given.startsWith('@') ? 2 : 1)
    .join('/')
const imports = files.flatMap((file) => importsOf(file, source.get(file) ?? ''))
const ours = (name: string) => FOLDERS.some((folder) => name.startsWith(`${folder}/`)) || name === 'package.json'

const fits = (to: string, may: string) => (ours(to) ? to.startsWith(may) : to === may)
function broken({ from, to }: Import, table: readonly Rule[] = TABLE): string | null {
  const found = table.find((each) => each.from.some((start) => from.startsWith(start)))
  if (!found) return `${from} is in no row of the table: put it into one`
  const everything = found.may.includes('')
  if (!everything && /^src\/(app\.ts|cli\/)/.test(to)) return `${from} imports ${to}: nobody imports app and cli`
  if (to.startsWith('node:')) return found.builtins ? null : `${from} imports ${to}: ${found.because}`
  return everything || found.may.some((may) => fits(to, may)) ? null : `${from} imports ${to}: ${found.because}`
}

describe('who may import whom', () => {
  it('every import is in the table', () => {
    expect(files.length).toBeGreaterThan(20)
    expect(imports.length).toBeGreaterThan(60)
    expect(imports.map((each) => broken(each)).filter((problem) => problem !== null)).toEqual([])
  })

  it('there are no cycles', () => {
    const next = new Map(files.map((file) => [file, imports.filter((each) => each.from === file && !each.typeOnly)]))
    const done = new Set<string>()
    const cycles: string[] = []
    const visit = (file: string, path: readonly string[]) => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
      if (path.includes(file) || done.has(file)) return
      for (const { to } of next.get(file) ?? []) if (source.has(to)) visit(to, [...path, file])
      done.add(file)
    }
    for (const file of files) visit(file, [])
    expect(cycles).toEqual([])
  })

  it('only queue.ts imports bullmq and ioredis', () => {
    const users = imports.filter(({ to }) => ['bullmq', 'ioredis'].includes(to)).map(({ from }) => from)
    expect([...new Set(users)].filter((file) => file !== 'src/queue.ts')).toEqual([])
  })

  it('would notice what it forbids', () => {
    const told = (from: string, line: string) => importsOf(from, line).map((each) => broken(each))
    expect(told('src/core/x.ts', "import { z } from 'zod'\nimport fs from 'node:fs'")[1]).toMatch(/core is pure/)
    expect(told('src/core/x.ts', "import type { Page } from '../connector.ts'")[0]).toMatch(/core is pure/)
    expect(told('connectors/hubspot/x.ts', "export * from '../salesforce/map.ts'")[0]).toMatch(/no other connector/)
    expect(told('src/sandbox/x.ts', "import {\n  a,\n} from '../core/deal.ts'")[0]).toMatch(/proves nothing/)
    expect(told('jobs/x.ts', "const c = await import('../connectors/hubspot/index.ts')")[0]).toMatch(
      /no connector folder/,
    )
    expect(told('jobs/x.ts', "import '../src/app.ts'")[0]).toMatch(/nobody imports app/)
    expect(told('src/store/x.ts', "import { Queue } from 'bullmq'")[0]).toMatch(/no queue/)
    expect(told('src/new.ts', "import 'zod'")[0]).toMatch(/in no row/)
    expect(told('src/store/x.ts', "// import { Queue } from 'bullmq'\nimport { sql } from 'kysely'")).toEqual([null])
    expect(told('connectors/hubspot/x.ts', "import type { Client } from '@hubspot/api-client/lib/x'")).toEqual([null])
  })
})

describe('what only some may touch', () => {
  const using = (pattern: RegExp, within: (file: string) => boolean) =>
    [...source].filter(([file, text]) => within(file) && pattern.test(bare(text))).map(([file]) => file)

  it('only config.ts and app.ts read process.env', () => {
    const others = (file: string) => !['src/config.ts', 'src/app.ts'].includes(file)
    expect(using(/\bprocess\s*\.\s*env\b|\bprocess\s*\[|import\s*\{[^}]*\benv\b[^}]*\}\s*from\s*''/, others)).toEqual(
      [],
    )
    expect(using(/\bprocess\s*\.\s*env\b/, () => true)).toContain('src/config.ts')
  })

  it.each([
    ['Date.now', /\bDate\s*\.\s*now\b/],
    ['new Date() without argument', /\bnew\s+Date\s*(\(\s*\)|(?![\s(]))/],
    ['Date() as a function', /(?<!new\s)\bDate\s*\(/],
    ['Math.random', /\bMath\s*\.\s*random\b/],
    ['process', /\bprocess\b\s*[.[]/],
    ['fetch', /\bfetch\s*\(/],
    ['timers', /\b(setTimeout|setInterval|setImmediate|queueMicrotask)\s*\(/],
    ['performance and crypto', /\b(performance|crypto)\s*\./],
  ])('the core never uses %s', (_, pattern) => {
    expect(using(pattern, (file) => file.startsWith('src/core/'))).toEqual([])
  })
})

describe('how large things may grow', () => {
  const lines = (file: string) => (source.get(file) ?? '').trimEnd().split('\n').length
  const sum = (within: (file: string) => boolean) =>
    files.filter(within).reduce((total, file) => total + lines(file), 0)
  const sandbox = (file: string) => file.startsWith('src/sandbox/')

  it('no file has more than 500 lines', () => {
    expect(files.filter((file) => lines(file) > 500).map((file) => `${file}: ${lines(file)}`)).toEqual([])
  })
  // Ratchets: raised only by what an issue asks for. The goals, 6,000 and 2,500, are missed; docs/decisions.md says why.
  it('src without the sandbox, connectors and jobs together do not grow', () => {
    expect(sum((file) => !sandbox(file))).toBeLessThan(24_158)
  })
  it('the sandbox does not grow', () => {
    expect(sum(sandbox)).toBeLessThan(4_274)
  })
  it('every file opens with a comment on why it exists', () => {
    const silent = [...source].filter(([, text]) => !/^(#!.*\n)?\/\/ /.test(text)).map(([file]) => file)
    expect(silent).toEqual([])
  })
})
