// What both languages share: dates and money by Intl, deal names made safe to put into a sentence, and lengths.
import type { Instant, LocalDate } from '../core/deal.ts'
import { cut } from '../core/text.ts'

/** Salesforce text fields and task subjects; HubSpot takes more. */
export const FIELD_LENGTH = 255
/** Of a task's text: as HTML, which HubSpot wants, it stays within 65,536 characters, with a note below within 32,000. */
export const BODY_LENGTH = 10_000

/** A name as one line of visible text: no control characters, no changes of writing direction, not endless. */
export function plain(name: string, length = 80): string {
  const clean = name
    .slice(0, 4 * length)
    .toWellFormed()
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069\ufffd]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim()
  return clean === '' ? '–' : cut(clean, length)
}

/** Fills the holes `{name}` of a template; what is inserted is never read as a template. */
export const fill = (template: string, values: Readonly<Record<string, string>>): string =>
  template.replace(/\{(\w+)\}/g, (_, key: string) => values[key] ?? '–')

/** Dates, times and money of one locale. Dates far outside are still shown; an unknown currency is shown as it is. */
export function formats(locale: string) {
  const day = new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeZone: 'UTC' })
  const short = new Intl.DateTimeFormat(locale, { dateStyle: 'short', timeZone: 'UTC' })
  const month = new Intl.DateTimeFormat(locale, { month: 'short', year: 'numeric', timeZone: 'UTC' })
  const number = new Intl.NumberFormat(locale, { maximumFractionDigits: 2 })
  const compact = new Intl.NumberFormat(locale, { notation: 'compact' })
  const percent = new Intl.NumberFormat(locale, { style: 'percent' })
  const tenths = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 })
  const times = new Map<string, Intl.DateTimeFormat>()
  const currencies = new Map<string, Intl.NumberFormat>()
  const dated = (format: Intl.DateTimeFormat) => {
    const known = new Map<LocalDate, string>()
    return (date: LocalDate): string => {
      const found = known.get(date)
      if (found !== undefined) return found
      const at = Date.parse(`${date.length === 7 ? `${date}-01` : date}T00:00:00Z`)
      if (Number.isNaN(at)) return plain(date, 20)
      const text = format.format(at)
      known.set(date, text)
      return text
    }
  }
  const money = (value: number, currency: string | null): string => {
    if (!currency) return number.format(value)
    if (!/^[A-Z]{3}$/.test(currency)) return `${number.format(value)} ${plain(currency, 10)}`
    const format =
      currencies.get(currency) ??
      new Intl.NumberFormat(locale, { style: 'currency', currency, trailingZeroDisplay: 'stripIfInteger' })
    currencies.set(currency, format)
    return format.format(value)
  }
  return {
    ...{ date: dated(day), shortDate: dated(short), month: dated(month) },
    number: (value: number) => number.format(value),
    compact: (value: number) => compact.format(value),
    percent: (share: number) => percent.format(share),
    share: (share: number) => tenths.format(share),
    instant: (at: Instant, timezone: string): string => {
      const format =
        times.get(timezone) ??
        new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short', timeZone: timezone })
      times.set(timezone, format)
      return format.format(at)
    },
    money,
    moneys: (sums: Readonly<Record<string, number>>): string =>
      Object.entries(sums)
        .map(([currency, value]) => money(value, currency))
        .join(' + ') || '–',
  }
}
