// `backtest --csv FILE`: a company's own export as deals with the little history it holds, in the form in which a CRM
// would tell it. Every fault of the file is named at once, with line and column: a row skipped would make counts wrong.
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { CsvError, parse } from 'csv-parse/sync'
import { z } from 'zod'
import type { BacktestLine, Stay } from '../core/backtest.ts'
import { type Calendar, toDay } from '../core/calendar.ts'
import type { LocalDate, Pipeline } from '../core/deal.ts'
import { UsageError } from '../errors.ts'

const LISTED = 20
/** The stage of deals whose file names several: no limit can be written for it. */
export const SEVERAL = '*'
const text = z.string()
const filled = text.min(1, 'is empty')
const date = text
  .regex(/^(\d{4}-\d{2}-\d{2}([T ].*)?)?$/, 'is not a date like 2017-03-01')
  .transform((value) => value.slice(0, 10) || null)
  .refine((value) => value === null || z.iso.date().safeParse(value).success, 'is no such date')
const amount = text
  .transform((value) => (value === '' ? null : Number(value)))
  .refine((value) => value === null || (Number.isFinite(value) && value >= 0), 'is not a number of 0 or more')
const outcomeOf = (stage: string) => (/won$|gagn/i.test(stage) ? 'won' : /lost$|perdu/i.test(stage) ? 'lost' : 'open')
const Needed = z.object({ opportunity_id: filled, deal_stage: filled, engage_date: date, close_date: date })
const maybe = text.default('')
const Row = Needed.extend({ close_value: amount.default(null), currency: maybe, product: maybe, pipeline: maybe })
const Price = z.object({ product: filled, sales_price: amount })
const Records = z.array(z.object({ info: z.object({ lines: z.number() }), record: z.array(text) }))

export interface CsvDeals {
  readonly pipelines: readonly Pipeline[]
  /** By id of the deal. */
  readonly stays: ReadonlyMap<string, readonly Stay[]>
  readonly lines: readonly BacktestLine[]
}

/**
 * Deals of the file as of `today`. `map`: `their column=our column`. A price list `products.csv` beside it stands in for
 * amounts that are empty. Throws UsageError naming every problem.
 */
export function readDeals(file: string, map: readonly string[], calendar: Calendar, today: LocalDate): CsvDeals {
  const problems: string[] = []
  const names = new Map(map.flatMap((some) => some.split(',')).map(named))
  const rows = read(file, Row, Object.keys(Needed.shape), names, problems)
  const list = join(dirname(file), 'products.csv')
  const priced = existsSync(list) ? read(list, Price, Object.keys(Price.shape), new Map(), problems) : []
  const prices = new Map(priced.map(({ row }) => [spaceless(row.product), row.sales_price]))
  const first = new Map<string, number>()
  for (const { line, row } of rows) {
    const { opportunity_id: id, deal_stage: stage, engage_date: engaged, close_date: closed } = row
    const wrong = (column: string, message: string) => problems.push(`${at(file, line, column)} ${message}`)
    const late = `is after ${today}, the date of now`
    if (first.has(id)) wrong('opportunity_id', `${id} is already on line ${first.get(id)}`)
    first.set(id, line)
    if (engaged !== null && engaged > today) wrong('engage_date', late)
    if (outcomeOf(stage) === 'open') continue
    if (closed === null) wrong('close_date', `is empty, but the deal is ${stage}`)
    else if (closed > today) wrong('close_date', late)
    else if (engaged !== null && closed < engaged) wrong('close_date', `is before engage_date ${engaged}`)
  }
  if (rows.length === 0 && problems.length === 0) problems.push(`${basename(file)} has no rows`)
  const more = problems.length > LISTED ? [`… and ${problems.length - LISTED} more`] : []
  if (problems.length > 0) throw new UsageError([...problems.slice(0, LISTED), ...more].join('\n'))

  const lines: BacktestLine[] = []
  const stays = new Map<string, readonly Stay[]>()
  let listPrices = 0
  const byPipeline = Map.groupBy(rows, ({ row }) => row.pipeline || 'default')
  const pipelines = [...byPipeline].map(([pipelineId, all]): Pipeline => {
    const dated = all.filter(({ row }) => row.engage_date !== null)
    const open = [...new Set(dated.map(({ row }) => row.deal_stage))].filter((stage) => outcomeOf(stage) === 'open')
    // Of several open stages, nothing says which of them a closed deal passed.
    const [id, say] = open.length === 1 ? [open.join(), 'file' as const] : [SEVERAL, 'file_joined' as const]
    const label = open.join(' / ') || 'open'
    lines.push({ say, with: { stage: label } })
    const undated = Map.groupBy(all, ({ row }) => (row.engage_date === null ? row.deal_stage : null))
    for (const [stage, { length: n }] of undated) if (stage !== null) lines.push({ say: 'undated', with: { n, stage } })
    for (const { row } of dated) {
      const outcome = outcomeOf(row.deal_stage)
      const [from, to] = [row.engage_date ?? today, outcome === 'open' ? today : (row.close_date ?? today)]
      const price = row.close_value === null ? (prices.get(spaceless(row.product)) ?? null) : null
      if (price !== null && outcome === 'open') listPrices += 1
      const days = calendar.workingDays(from, to)
      const exit = outcome === 'open' ? null : outcome === 'won' ? 'on' : 'off'
      const stay: Stay = {
        ...{ pipelineId, stageId: id, outcome, amount: row.close_value ?? price, currency: row.currency || null },
        ...{ entered: toDay(from), until: toDay(to), silences: [{ days, after: 0, closed: days }] },
        visits: [{ from: toDay(from), days, exit }],
      }
      stays.set(row.opportunity_id, [stay])
    }
    return { id: pipelineId, label: pipelineId, stages: [{ id, label, order: 0, outcome: 'open', category: null }] }
  })
  if (listPrices > 0) lines.push({ say: 'list_prices', with: { n: listPrices, file: basename(list) } })
  return { pipelines, stays, lines }
}

const spaceless = (name: string) => name.replace(/\s/g, '').toLowerCase()
const at = (file: string, line: number, column: string) => `${basename(file)}, line ${line}, column ${column}:`

function named(pair: string): readonly [theirs: string, ours: string] {
  const [, theirs = '', ours = ''] = /^\s*(.+?)\s*=\s*(\w+)\s*$/.exec(pair) ?? []
  if (ours in Row.shape) return [theirs, ours]
  const ask = `expected <column of the file>=<name>, the name one of ${Object.keys(Row.shape).join(', ')}`
  throw new UsageError(`--map "${pair}": ${ask}.`)
}

function read<T>(
  file: string,
  schema: z.ZodType<T>,
  needed: readonly string[],
  names: ReadonlyMap<string, string>,
  problems: string[],
) {
  let records: z.infer<typeof Records>
  try {
    const content = readFileSync(file, 'utf8')
    const delimiter = [',', ';', '\t'].find((sign) => content.split('\n', 1)[0]?.includes(sign)) ?? ','
    const options = { bom: true, info: true, relax_column_count: true, skip_empty_lines: true, trim: true, delimiter }
    records = Records.parse(parse(content, options))
  } catch (error) {
    if (!(error instanceof CsvError || (error instanceof Error && 'code' in error))) throw error
    throw new UsageError(`${file} cannot be read: ${error.message}`, { cause: error })
  }
  const [head, ...body] = records
  const columns = (head?.record ?? []).map((column) => names.get(column) ?? column)
  const absent = [...names.keys()].filter((column) => !head?.record.includes(column))
  const missing = needed.filter((column) => !columns.includes(column))
  for (const column of absent) problems.push(`${basename(file)} has no column "${column}", which --map names`)
  for (const column of missing)
    problems.push(
      `${at(file, head?.info.lines ?? 1, column)} is missing; if it has another name: --map "<name>=${column}"`,
    )
  return body.flatMap(({ info: { lines: line }, record }) => {
    if (missing.length > 0) return []
    const row = schema.safeParse(Object.fromEntries(columns.map((column, i) => [column, record[i] ?? ''])))
    if (record.length === columns.length && row.success) return [{ line, row: row.data }]
    if (record.length !== columns.length)
      problems.push(`${basename(file)}, line ${line}: ${record.length} columns instead of ${columns.length}`)
    else
      for (const { path, message } of row.error?.issues ?? [])
        problems.push(`${at(file, line, path.join())} ${message}`)
    return []
  })
}
