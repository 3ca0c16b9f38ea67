// `--csv FILE`: somebody's real pipeline as a seed for both lookalike CRMs, one row per deal. Every fault of the files
// is reported at once with its line, because a silently skipped row would make every count wrong.
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { CsvError as ParseError, parse } from 'csv-parse/sync'
import { z } from 'zod'
import type { Instant, Seed, SeedDeal, SeedOwner, SeedPipeline, SeedStage } from './seed.ts'
import { DAY, dateOf, emailOf, ownerOf, plain } from './seed.ts'

const LISTED = 20

/** The files cannot be used: `problems` names each fault with file and line. The command line exits with 2. */
export class CsvProblem extends Error {
  override readonly name = 'CsvProblem'
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    const more = problems.length > LISTED ? [`… and ${problems.length - LISTED} more`] : []
    super([...problems.slice(0, LISTED), ...more].join('\n'))
    this.problems = problems
  }
}

/** Text of one CSV file and the name to use in messages. */
export interface CsvText {
  readonly name: string
  readonly text: string
}

const text = z.string().trim()
const filled = text.min(1, 'is empty')
const number = (column: z.ZodString) =>
  column
    .transform((value) => (value === '' ? null : Number(value)))
    .refine((value) => value === null || (Number.isFinite(value) && value >= 0), 'is not a number of 0 or more')
const day = text
  .refine((value) => value === '' || z.iso.date().safeParse(value).success, 'is not a date like 2017-03-01')
  .transform((value) => (value === '' ? null : value))

const PipelineRow = z.object({
  opportunity_id: filled,
  sales_agent: filled,
  product: text,
  account: text,
  deal_stage: filled,
  engage_date: day,
  close_date: day,
  close_value: number(text),
})
const ProductRow = z.object({ product: filled, sales_price: number(text) })
const TeamRow = z.object({ sales_agent: filled, manager: text, regional_office: text })

const Records = z.array(z.object({ info: z.object({ lines: z.number() }), record: z.array(z.string()) }))

function rows<T>(file: CsvText, schema: z.ZodObject & z.ZodType<T>, problems: string[]) {
  const found: { readonly line: number; readonly row: T }[] = []
  const options = { bom: true, info: true, relax_column_count: true, skip_empty_lines: true, trim: true }
  let records: z.infer<typeof Records>
  try {
    records = Records.parse(parse(file.text, options))
  } catch (error) {
    if (!(error instanceof ParseError)) throw error
    problems.push(`${file.name}: ${error.message}`)
    return found
  }
  const [head, ...body] = records
  const columns = head?.record ?? []
  const missing = Object.keys(schema.shape).filter((column) => !columns.includes(column))
  if (missing.length > 0) {
    problems.push(`${file.name}, line ${head?.info.lines ?? 1}: missing column ${missing.join(', ')}`)
    return found
  }
  for (const { info, record } of body) {
    const where = `${file.name}, line ${info.lines}`
    if (record.length !== columns.length) {
      problems.push(`${where}: ${record.length} columns instead of ${columns.length}`)
      continue
    }
    const read = schema.safeParse(Object.fromEntries(columns.map((column, index) => [column, record[index]])))
    if (read.success) found.push({ line: info.lines, row: read.data })
    else for (const issue of read.error.issues) problems.push(`${where}: ${issue.path.join('.')} ${issue.message}`)
  }
  return found
}

const slug = (value: string) => plain(value).replace(/[^a-z0-9]+/g, '') || 'stage'
/** Midday, so that the date is the same in nearly every time zone; never later than now. */
const at = (date: string, now: Instant, hour = 12) => Math.min(Date.parse(date) + hour * 3_600_000, now)

/**
 * Turns the text of a pipeline file (and of `products.csv` and `teams.csv`) into a seed. `now`: what the sandbox's clock
 * will say; deals without an engage date were created 30 days before it. Throws CsvProblem with every fault found.
 */
export function parseCsv(
  files: { readonly pipeline: CsvText; readonly products?: CsvText | undefined; readonly teams?: CsvText | undefined },
  now: Instant,
): Seed {
  const problems: string[] = []
  const pipeline = rows(files.pipeline, PipelineRow, problems)
  const products = files.products ? rows(files.products, ProductRow, problems) : []
  const teams = files.teams ? rows(files.teams, TeamRow, problems) : []
  const price = new Map(products.map(({ row }) => [row.product.replace(/\s/g, '').toLowerCase(), row.sales_price]))

  const stages = stagesOf(pipeline.map(({ row }) => row.deal_stage))
  const stageByName = new Map(stages.map((stage) => [stage.label.toLowerCase(), stage]))
  const lastOpen = stages.filter((stage) => stage.category !== 'closed' && stage.probability > 0).at(-1)
  const owners = ownersOf(
    pipeline.map(({ row }) => row.sales_agent),
    teams.map(({ row }) => row),
  )

  const seen = new Map<string, number>()
  const deals: SeedDeal[] = []
  for (const { line, row } of pipeline) {
    const problem = (message: string) => problems.push(`${files.pipeline.name}, line ${line}: ${message}`)
    const stage = stageByName.get(row.deal_stage.toLowerCase())
    if (!stage || !lastOpen) throw new Error(`no stage for ${row.deal_stage}`)
    const first = seen.get(row.opportunity_id)
    if (first !== undefined) problem(`opportunity_id ${row.opportunity_id} is already on line ${first}`)
    seen.set(row.opportunity_id, line)
    if (row.engage_date && Date.parse(row.engage_date) > now)
      problem(`engage_date is after ${dateOf(now)}, the date of now`)

    const amount = row.close_value ?? price.get(row.product.replace(/\s/g, '').toLowerCase()) ?? null
    const shared = {
      name: row.opportunity_id,
      account: row.account || null,
      ownerEmail: emailOf(row.sales_agent),
      pipeline: 'default',
      amount,
      category: null,
      type: null,
    }
    const open = stage.probability > 0 && stage.probability < 1
    const engaged = row.engage_date ? at(row.engage_date, now) : now - 30 * DAY
    if (open) {
      const closeDate = dateOf(engaged + 90 * DAY)
      deals.push({ ...shared, stage: stage.id, createdAt: engaged, closeDate, events: [] })
      continue
    }
    if (!row.close_date) {
      problem(`close_date is empty, but the deal is ${row.deal_stage}`)
      continue
    }
    if (row.engage_date && row.close_date < row.engage_date) problem('close_date is before engage_date')
    if (Date.parse(row.close_date) > now) problem(`close_date is after ${dateOf(now)}, the date of now`)
    const closed = at(row.close_date, now, 13)
    const events = [{ at: closed, kind: 'stage', to: stage.id, by: 'person' } as const]
    const createdAt = Math.min(engaged, closed)
    deals.push({ ...shared, stage: lastOpen.id, createdAt, closeDate: row.close_date, events })
  }
  if (pipeline.length === 0 && problems.length === 0) problems.push(`${files.pipeline.name}: no rows`)
  if (problems.length > 0) throw new CsvProblem(problems)
  const sold: SeedPipeline = { id: 'default', label: 'Sales', stages }
  return { now, currency: 'USD', owners, pipelines: [sold], deals }
}

/** Reads FILE, and `products.csv` and `teams.csv` beside it where they are. */
export function loadCsv(file: string, now: Instant): Seed {
  const read = (path: string): CsvText => {
    try {
      return { name: basename(path), text: readFileSync(path, 'utf8') }
    } catch (error) {
      throw new CsvProblem([`${path}: ${error instanceof Error ? error.message : String(error)}`])
    }
  }
  const beside = (name: string) => {
    const path = join(dirname(file), name)
    return existsSync(path) ? read(path) : undefined
  }
  return parseCsv({ pipeline: read(file), products: beside('products.csv'), teams: beside('teams.csv') }, now)
}

const CLOSED = ['won', 'lost']
const FIRST = ['prospecting', 'engaging']

function stagesOf(names: readonly string[]): SeedStage[] {
  const found = new Map(names.map((name) => [name.toLowerCase(), name]))
  const open = [...FIRST.filter((name) => found.has(name)), ...found.keys()].filter((name) => !CLOSED.includes(name))
  const ordered = [...new Set(open)].map((name) => found.get(name) ?? name)
  // A file of closed deals alone still needs a stage they were in before.
  const labels = ordered.length > 0 ? ordered : ['Engaging']
  const ids = new Set(CLOSED)
  const stages = labels.map((label, index): SeedStage => {
    let id = slug(label)
    while (ids.has(id)) id = `${id}x`
    ids.add(id)
    const probability = Math.round(((index + 1) / (labels.length + 1)) * 100) / 100
    return { id, label, probability, category: index < labels.length - 1 ? 'pipeline' : 'best_case' }
  })
  return [
    ...stages,
    { id: 'won', label: found.get('won') ?? 'Won', probability: 1, category: 'closed' },
    { id: 'lost', label: found.get('lost') ?? 'Lost', probability: 0, category: 'omitted' },
  ]
}

function ownersOf(agents: readonly string[], teams: readonly z.infer<typeof TeamRow>[]): SeedOwner[] {
  const owners = new Map<string, SeedOwner>()
  const add = (name: string, team: string, manager: string) => {
    const owner = ownerOf(name, team, manager)
    if (!owners.has(owner.email)) owners.set(owner.email, owner)
  }
  for (const row of teams) add(row.sales_agent, row.regional_office, row.manager)
  for (const row of teams) if (row.manager) add(row.manager, row.regional_office, '')
  for (const name of agents) add(name, '', '')
  return [...owners.values()]
}
