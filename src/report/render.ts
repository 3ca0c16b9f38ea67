// One model, four formats.
import type { Texts } from '../core/explain.ts'
import { type ReportWords, reportEn } from '../texts/report-en.ts'
import { reportFr } from '../texts/report-fr.ts'
import { toCsv } from './csv.ts'
import { documentOf } from './document.ts'
import { toMarkdown } from './markdown.ts'
import type { Report } from './model.ts'

export const FORMATS = ['html', 'md', 'csv', 'json'] as const
export type Format = (typeof FORMATS)[number]

const WORDS: Readonly<Record<Texts['language'], ReportWords>> = { en: reportEn, fr: reportFr }

/** `texts`: of the report's language. */
export async function render(report: Report, format: Format, texts: Texts): Promise<string> {
  const words = WORDS[report.language]
  if (format === 'json') return `${JSON.stringify(report)}\n`
  if (format === 'csv') return toCsv(report, texts, words)
  const blocks = documentOf(report, texts, words)
  const title = words.typeset(words.title)
  if (format === 'md') return toMarkdown(title, blocks)
  // Its charts need a library that the other formats need not wait for.
  const { toHtml } = await import('./html.ts')
  return toHtml(title, words.typeset(words.contents), report.language, blocks)
}
