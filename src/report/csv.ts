// One line per deal, for spreadsheets: RFC 4180, and text that a spreadsheet would run as a formula gets an apostrophe.
import type { Texts } from '../core/explain.ts'
import type { ReportWords } from '../texts/report-en.ts'
import { DealLine, pagesOf, type Report } from './model.ts'

const COLUMNS = DealLine.keyof().options

/** Without it Excel takes UTF-8 for something else, and accents for two characters. */
const BOM = '\ufeff'

/** Dates `YYYY-MM-DD`, numbers with a point; codes by their names in the report's language. */
export function* toCsv({ connections }: Report, { names, language }: Texts, words: ReportWords): Generator<string> {
  const columns = ['connection' as const, ...COLUMNS]
  const and = language === 'fr' ? ' ; ' : '; '
  const line = (cells: readonly (string | number | null)[]) => `${cells.map(cell).join(',')}\r\n`
  yield BOM + line(columns.map((column) => words.columns[column]))
  for (const { name: connection, deals } of connections)
    for (const page of pagesOf(deals)) {
      const lines = page.map((deal) => {
        const { state, rule, cause, answer, change, changeStatus, lists, warnings } = deal
        const named = {
          state: names.states[state],
          rule: rule && names.rules[rule],
          cause: cause && names.causes[cause],
          answer: answer && words.answers[answer],
          change: change && words.changes[change],
          changeStatus: changeStatus && words.statuses[changeStatus],
          lists: lists.map((list) => words.lists[list]).join(and),
          warnings: warnings.join(and),
        }
        const cells = { ...deal, ...named }
        return line([connection, ...COLUMNS.map((column) => cells[column])])
      })
      yield lines.join('')
    }
}

function cell(value: string | number | null): string {
  if (value === null) return ''
  if (typeof value === 'number') return String(value)
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
