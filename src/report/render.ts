// One model, four formats.
import type { Texts } from '../core/explain.ts'
import { type ReportWords, reportEn } from '../texts/report-en.ts'
import { reportFr } from '../texts/report-fr.ts'
import { toCsv } from './csv.ts'
import { documentOf } from './document.ts'
import { toMarkdown } from './markdown.ts'
import { pagesOf, type Report } from './model.ts'

export const FORMATS = ['html', 'md', 'csv', 'json'] as const
export type Format = (typeof FORMATS)[number]

const WORDS: Readonly<Record<Texts['language'], ReportWords>> = { en: reportEn, fr: reportFr }

/** `texts`: of the report's language. */
export async function render(report: Report, format: Format, texts: Texts): Promise<string> {
  return [...(await piecesOf(report, format, texts))].join('')
}

/** Piece by piece where the text is long, so that it is never held as a whole. */
export async function piecesOf(report: Report, format: Format, texts: Texts): Promise<Iterable<string>> {
  const words = WORDS[report.language]
  if (format === 'json') return toJson(report)
  if (format === 'csv') return toCsv(report, texts, words)
  const blocks = documentOf(report, texts, words)
  if (format === 'md') return [toMarkdown(words.title, blocks)]
  // Its charts need a library that the other formats need not wait for.
  const { toHtml } = await import('./html.ts')
  return [await toHtml(words.title, words.contents, report.language, blocks)]
}

/** What `JSON.stringify` makes of the whole: `connections` and their `deals` stand last. */
function* toJson({ connections, ...rest }: Report): Generator<string> {
  const open = (object: object) => JSON.stringify(object).slice(0, -1)
  yield `${open(rest)},"connections":[`
  for (const [i, { deals, ...rest }] of connections.entries()) {
    yield `${i > 0 ? ',' : ''}${open(rest)},"deals":[`
    for (const [n, page] of pagesOf(deals).entries()) yield (n > 0 ? ',' : '') + JSON.stringify(page).slice(1, -1)
    yield ']}'
  }
  yield ']}\n'
}
