// Working days in the company's zone, in constant time: a judgement never loops over days. A date is a day number
// (days since 1970-01-01); working days up to it = weekdays up to it (a formula) minus holidays, closures and
// absences up to it (sorted ranges with running totals). Right for every year; only two Intl calls per day ever met.
import type { Instant, LocalDate } from './deal.ts'
import type { Settings } from './policy.ts'

/** Days since 1970-01-01, negative before. */
export type Day = number

const MS = 86_400_000

const days = new Map<LocalDate, Day>()
/** What is remembered: 1970 to 2134. */
const DAYS = 60_000

/** Day number of `YYYY-MM-DD`; NaN for text of another shape. Remembered: parsing would cost a third of judging. */
export function toDay(date: LocalDate): Day {
  const known = days.get(date)
  if (known !== undefined) return known
  const day = /^\d{4}-\d\d-\d\d$/.test(date) ? Date.parse(date) / MS : Number.NaN
  if (day >= 0 && day < DAYS) days.set(date, day)
  return day
}

const FIRST = -719_528 // 0000-01-01
const LAST = 2_932_896 // 9999-12-31
/** As long as it will ever be: an array that grows by leaps becomes a slow table of numbers. */
const dates = new Array<LocalDate | undefined>(DAYS)

/** `YYYY-MM-DD` of a day number; held within the years 0000 to 9999. */
export function toDate(day: Day): LocalDate {
  const known = dates[day]
  if (known !== undefined) return known
  const date = new Date(Math.min(LAST, Math.max(FIRST, day)) * MS).toISOString().slice(0, 10)
  if (day >= 0 && day < DAYS) dates[day] = date
  return date
}

const formats = new Map<string, Intl.DateTimeFormat>()
/** What clocks there show: `2026-11-23 02:00:00`. */
export function wallClock(at: Instant, timeZone: string): string {
  const format =
    formats.get(timeZone) ?? new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' })
  formats.set(timeZone, format)
  return format.format(at)
}
/** The same as if it were in Greenwich, in whole seconds. */
export const shownAt = (at: Instant, timezone: string): number => Date.parse(`${wallClock(at, timezone)}Z`)
/** When clocks there show this time (`17:00`) of a date. */
export function momentOf(date: LocalDate, time: string, timezone: string): Instant {
  const guess = Date.parse(`${date}T${time}Z`)
  return guess - (shownAt(guess, timezone) - guess)
}
/** `2026-11-23 02:00` there: short, so that tables fit. */
export const localTime = (at: Instant, timezone: string): string => wallClock(at, timezone).slice(0, -3)

export interface Calendar {
  readonly timezone: string
  /** The date in the company's zone. */
  localDate(at: Instant): LocalDate
  localDay(at: Instant): Day
  /** Not after the first moment of a day; earlier by an hour at the most, where clocks change. */
  startOf(day: Day): Instant
  /** Working dates d with from < d <= to; 0 when `to` is not later. `owner`: e-mail, for absences. */
  workingDays(from: LocalDate, to: LocalDate, owner?: string | null): number
  workingDaysBetween(from: Day, to: Day, owner?: string | null): number
  /** The first date with `n` working days since `from`; `from` itself for 0; for a negative n the n-th working date before. */
  addWorkingDays(from: LocalDate, n: number, owner?: string | null): LocalDate
  addWorkingDaysTo(from: Day, n: number, owner?: string | null): Day
  /** `2026-W48`, in the company's zone. */
  isoWeek(at: Instant): string
}

/** Days off as sorted, disjoint ranges: first day, last day, weekdays off before the range. */
interface DaysOff {
  readonly from: readonly Day[]
  readonly to: readonly Day[]
  readonly before: readonly number[]
}

/** Monday to Friday days d with d <= day, counted from an arbitrary Monday long ago. */
function weekdays(day: Day): number {
  const n = day + 3 // 1969-12-29 was a Monday
  const week = Math.floor(n / 7)
  return week * 5 + Math.min(n - week * 7 + 1, 5)
}

/** The first day on which `weekdays` reaches `count`. */
function dayOfWeekday(count: number): Day {
  const week = Math.floor((count - 1) / 5)
  return week * 7 + (count - 1 - week * 5) - 3
}

function daysOff(ranges: readonly (readonly [Day, Day])[]): DaysOff {
  const sorted = ranges.filter(([a, b]) => a <= b).sort((x, y) => x[0] - y[0] || x[1] - y[1])
  const from: Day[] = []
  const to: Day[] = []
  for (const [a, b] of sorted) {
    const last = to.at(-1)
    if (last !== undefined && a <= last + 1) to[to.length - 1] = Math.max(last, b)
    else {
      from.push(a)
      to.push(b)
    }
  }
  let total = 0
  const before = from.map((a, i) => {
    const held = total
    total += weekdays(to[i] ?? a) - weekdays(a - 1)
    return held
  })
  return { from, to, before }
}

/** Weekdays off up to and including `day`. */
function offUntil(off: DaysOff, day: Day): number {
  const { from, to, before } = off
  let low = 0
  let high = from.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((from[middle] ?? 0) <= day) low = middle + 1
    else high = middle
  }
  if (low === 0) return 0
  const i = low - 1
  return (before[i] ?? 0) + weekdays(Math.min(day, to[i] ?? day)) - weekdays((from[i] ?? day) - 1)
}

function range(text: string): readonly [Day, Day] {
  const [from = '', to = from] = text.split('/')
  return [toDay(from), toDay(to)]
}

/** The zone's offset in milliseconds at any instant. One day's offset is asked for twice, then remembered. */
function zoneOffset(timezone: string): (at: Instant) => number {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: timezone, timeZoneName: 'longOffset' })
  const ask = (at: Instant): number => {
    const name = format.formatToParts(at).find((part) => part.type === 'timeZoneName')?.value ?? 'GMT'
    const [, sign, h = '0', m = '0', s = '0'] = /GMT(?:([+-])(\d+):(\d+)(?::(\d+))?)?/.exec(name) ?? []
    return (sign === '-' ? -1000 : 1000) * (Number(h) * 3600 + Number(m) * 60 + Number(s))
  }
  type Offset = { readonly change: Instant; readonly before: number; readonly after: number }
  const offsets = new Array<Offset | undefined>(DAYS)
  return (at) => {
    const day = Math.floor(at / MS)
    let known = offsets[day]
    if (known === undefined) {
      let [low, high] = [day * MS, (day + 1) * MS]
      const [before, after] = [ask(low), ask(high)]
      while (before !== after && high - low > 1000) {
        const middle = Math.floor((low + high) / 2000) * 1000
        if (ask(middle) === before) low = middle
        else high = middle
      }
      known = { change: high, before, after }
      if (day >= 0 && day < DAYS) offsets[day] = known
    }
    return at < known.change ? known.before : known.after
  }
}

/**
 * Builds the calendar of a company. Throws RangeError for an unknown time zone.
 * Saturdays and Sundays, `holidays` and `closures` are off for everybody, `absences` for one owner (e-mail, lower case).
 */
export function makeCalendar(settings: Pick<Settings, 'timezone' | 'holidays' | 'closures' | 'absences'>): Calendar {
  const { timezone } = settings
  const offset = zoneOffset(timezone)
  const everybody = [...settings.holidays, ...settings.closures].map(range)
  const company = daysOff(everybody)
  const owners = new Map(
    Object.entries(settings.absences).map(([owner, ranges]) => [
      owner.toLowerCase(),
      daysOff([...everybody, ...ranges.map(range)]),
    ]),
  )
  const offOf = (owner: string | null | undefined): DaysOff =>
    owner && owners.size > 0 ? (owners.get(owner) ?? owners.get(owner.toLowerCase()) ?? company) : company
  const upTo = (off: DaysOff, day: Day) => weekdays(day) - offUntil(off, day)

  const localDay = (at: Instant): Day => {
    // The range of Date; `offset` could not name a day beyond it.
    const held = Math.min(8.64e15 - MS, Math.max(-8.64e15 + MS, at))
    return Math.floor((held + offset(held)) / MS)
  }
  const workingDaysBetween: Calendar['workingDaysBetween'] = (from, to, owner) => {
    if (!(to > from)) return 0
    const off = offOf(owner)
    return upTo(off, to) - upTo(off, from)
  }
  const addWorkingDaysTo: Calendar['addWorkingDaysTo'] = (from, n, owner) => {
    if (n === 0) return from
    const off = offOf(owner)
    const target = upTo(off, from) + n
    // Least fixed point: each pass adds the days off met so far, so it can never step over the answer.
    let skipped = n > 0 ? offUntil(off, from) : 0
    for (;;) {
      const day = dayOfWeekday(target + skipped)
      const met = offUntil(off, day)
      if (met === skipped) return day
      skipped = met
    }
  }
  return {
    timezone,
    localDay,
    startOf: (day) => day * MS - Math.max(offset((day - 1) * MS), offset((day + 1) * MS)),
    localDate: (at) => toDate(localDay(at)),
    workingDaysBetween,
    workingDays: (from, to, owner) => workingDaysBetween(toDay(from), toDay(to), owner),
    addWorkingDaysTo,
    addWorkingDays: (from, n, owner) => toDate(addWorkingDaysTo(toDay(from), n, owner)),
    isoWeek: (at) => {
      const day = localDay(at)
      // The week belongs to the year of its Thursday.
      const thursday = day - ((((day + 3) % 7) + 7) % 7) + 3
      const year = toDate(thursday).slice(0, 4)
      const week = Math.floor((thursday - toDay(`${year}-01-01`)) / 7) + 1
      return `${year}-W${String(week).padStart(2, '0')}`
    },
  }
}
