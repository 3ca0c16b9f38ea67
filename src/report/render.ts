// One model, four formats.
import type { Texts } from '../core/explain.ts'
import { type ReportWords, reportEn } from '../texts/report-en.ts'
import { reportFr } from '../texts/report-fr.ts'
import { toCsv } from './csv.ts'
import type { Report } from './model.ts'

export const FORMATS = ['html', 'md', 'csv', 'json'] as const
export type Format = (typeof FORMATS)[number]

const WORDS: Readonly<Record<Texts['language'], ReportWords>> = { en: reportEn, fr: reportFr }

/** `texts`: of the report's language. */
export async function render(report: Report, format: Format, texts: Texts): Promise<string> {
  const words = WORDS[report.language]
  if (format === 'json') return `${JSON.stringify(report, null, 2)}\n`
  return toCsv(report, texts, words)
}
