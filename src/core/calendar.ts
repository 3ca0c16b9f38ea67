// Working days in the company's zone, in constant time: a judgement never loops over days. A date is a day number
// (days since 1970-01-01); working days up to it = weekdays up to it (a formula) minus holidays, closures and
// absences up to it (sorted ranges with running totals). Right for every year; only two Intl calls per day ever met.
import type { Instant, LocalDate } from './deal.ts'
import type { Settings } from './policy.ts'

/** Days since 1970-01-01, negative before. */
export type Day = number

const MS = 86_400_000

/** Day number of `YYYY-MM-DD`; NaN for text of another shape. Pure arithmetic (proleptic Gregorian). */
export function toDay(date: LocalDate): Day {
  if (date.length !== 10 || date.charCodeAt(4) !== 45 || date.charCodeAt(7) !== 45) return Number.NaN
  const digit = (i: number) => date.charCodeAt(i) - 48
  const year = digit(0) * 1000 + digit(1) * 100 + digit(2) * 10 + digit(3)
  const month = digit(5) * 10 + digit(6)
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yoe = y - era * 400
  const doy = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + digit(8) * 10 + digit(9) - 1
  return era * 146_097 + yoe * 365 + Math.floor(yoe / 4) - Math.floor(yoe / 100) + doy - 719_468
}

const FIRST = -719_528 // 0000-01-01
const LAST = 2_932_896 // 9999-12-31
const dates: LocalDate[] = []

/** `YYYY-MM-DD` of a day number; held within the years 0000 to 9999. */
export function toDate(day: Day): LocalDate {
  const known = dates[day]
  if (known !== undefined) return known
  const date = new Date(Math.min(LAST, Math.max(FIRST, day)) * MS).toISOString().slice(0, 10)
  if (day >= 0 && day < 60_000) dates[day] = date
  return date
}

export interface Calendar {
  readonly timezone: string
  /** The date in the company's zone. */
  localDate(at: Instant): LocalDate
  localDay(at: Instant): Day
  /** Working dates d with from < d <= to; 0 when `to` is not later. `owner`: e-mail, for absences. */
  workingDays(from: LocalDate, to: LocalDate, owner?: string | null): number
  workingDaysBetween(from: Day, to: Day, owner?: string | null): number
  /** The first date with `n` working days since `from`; `from` itself for 0; for a negative n the n-th working date before. */
  addWorkingDays(from: LocalDate, n: number, owner?: string | null): LocalDate
  addWorkingDaysTo(from: Day, n: number, owner?: string | null): Day
  addDays(date: LocalDate, n: number): LocalDate
  /** Calendar days from `from` to `to`. */
  daysBetween(from: LocalDate, to: LocalDate): number
  isWorkingDay(date: LocalDate, owner?: string | null): boolean
  /** `2026-W48`, in the company's zone. */
  isoWeek(at: Instant): string
  /** The first instant of that date in the company's zone. */
  startOfDay(date: LocalDate): Instant
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
  const plain = new Map<Day, number>()
  const changing = new Map<Day, { readonly at: Instant; readonly before: number; readonly after: number }>()
  return (at) => {
    const day = Math.floor(at / MS)
    const known = plain.get(day)
    if (known !== undefined) return known
    let change = changing.get(day)
    if (change === undefined) {
      let low = day * MS
      let high = low + MS
      const before = ask(low)
      const after = ask(high)
      if (before === after) {
        plain.set(day, before)
        return before
      }
      while (high - low > 1000) {
        const middle = Math.floor((low + high) / 2000) * 1000
        if (ask(middle) === before) low = middle
        else high = middle
      }
      change = { at: high, before, after }
      changing.set(day, change)
    }
    return at < change.at ? change.before : change.after
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
    localDate: (at) => toDate(localDay(at)),
    workingDaysBetween,
    workingDays: (from, to, owner) => workingDaysBetween(toDay(from), toDay(to), owner),
    addWorkingDaysTo,
    addWorkingDays: (from, n, owner) => toDate(addWorkingDaysTo(toDay(from), n, owner)),
    addDays: (date, n) => toDate(toDay(date) + n),
    daysBetween: (from, to) => toDay(to) - toDay(from),
    isWorkingDay: (date, owner) => {
      const day = toDay(date)
      return workingDaysBetween(day - 1, day, owner) === 1
    },
    isoWeek: (at) => {
      const day = localDay(at)
      // The week belongs to the year of its Thursday.
      const thursday = day - ((((day + 3) % 7) + 7) % 7) + 3
      const year = toDate(thursday).slice(0, 4)
      const week = Math.floor((thursday - toDay(`${year}-01-01`)) / 7) + 1
      return `${year}-W${String(week).padStart(2, '0')}`
    },
    startOfDay: (date) => {
      const day = toDay(date)
      let low = day * MS - 1.25 * MS
      let high = day * MS + 1.25 * MS
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2)
        if (localDay(middle) >= day) high = middle
        else low = middle
      }
      return high
    },
  }
}
