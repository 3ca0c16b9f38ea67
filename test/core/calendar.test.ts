// The calendar against a slow reference that walks day by day and asks Intl for every instant.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Calendar, makeCalendar, toDate, toDay } from '../../src/core/calendar.ts'

const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'] as const
const DAY = 86_400_000
const HOLIDAYS = ['2026-01-01', '2026-04-03', '2026-05-01', '2026-12-25', '2026-12-26', '2024-02-29']
const CLOSURES = ['2026-12-24/2027-01-02', '2026-08-10']
const ABSENCES = { 'ann@example.com': ['2026-03-02/2026-03-06', '2026-03-06/2026-03-10', '2026-05-01'] }
const make = (timezone: string): Calendar =>
  makeCalendar({ timezone, holidays: HOLIDAYS, closures: CLOSURES, absences: ABSENCES })
const calendars = new Map(ZONES.map((zone) => [zone, make(zone)]))
const utc = make('UTC')

const slowDates = new Map(
  ZONES.map((timeZone) => [timeZone, new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' })]),
)
const off = new Set([...HOLIDAYS, '2026-08-10', ...span('2026-12-24', '2027-01-02')])
const away = new Set([...span('2026-03-02', '2026-03-10'), '2026-05-01'])

function span(from: string, to: string): string[] {
  const all: string[] = []
  for (let at = Date.parse(from); at <= Date.parse(to); at += DAY) all.push(new Date(at).toISOString().slice(0, 10))
  return all
}

function slowIsWorking(date: string, owner: boolean): boolean {
  const weekday = new Date(`${date}T00:00:00Z`).getUTCDay()
  return weekday !== 0 && weekday !== 6 && !off.has(date) && !(owner && away.has(date))
}

const slowWorkingDays = (from: string, to: string, owner: boolean) =>
  from >= to ? 0 : span(from, to).filter((date) => date > from && slowIsWorking(date, owner)).length

const instants = fc.integer({ min: Date.UTC(1990, 0, 1), max: Date.UTC(2045, 0, 1) })
const dates = fc.integer({ min: toDay('2025-06-01'), max: toDay('2027-06-01') }).map(toDate)

describe('dates', () => {
  test.each(ZONES)('an instant has the date of its zone: %s', (zone) => {
    fc.assert(
      fc.property(instants, (at) => {
        expect(calendars.get(zone)?.localDate(at)).toBe(slowDates.get(zone)?.format(at))
      }),
      { numRuns: 400 },
    )
  })

  test.each([
    ['Europe/Berlin', '2026-03-28T23:30:00Z', '2026-03-29', 'half an hour into the day of the change'],
    ['Europe/Berlin', '2026-10-25T22:59:00Z', '2026-10-25', 'the last minute of a 25-hour day'],
    ['Europe/Berlin', '2026-10-25T23:00:00Z', '2026-10-26', 'and the next'],
    [
      'Australia/Lord_Howe',
      '2026-04-04T13:00:00Z',
      '2026-04-05',
      'midnight at +11 on the day it falls back half an hour',
    ],
    ['Australia/Lord_Howe', '2026-04-05T13:29:00Z', '2026-04-05', 'half past eleven at +10:30, a 24.5-hour day'],
    ['America/New_York', '2026-11-02T04:59:00Z', '2026-11-01', 'the last minute of a 25-hour day'],
  ])('%s at %s is %s: %s', (zone, at, date) => {
    expect(make(zone).localDate(Date.parse(at))).toBe(date)
  })

  test('every hour around every change of the clocks in 2026', () => {
    for (const zone of ZONES)
      for (let at = Date.UTC(2026, 0, 1); at < Date.UTC(2027, 0, 1); at += 1_800_000)
        if (calendars.get(zone)?.localDate(at) !== slowDates.get(zone)?.format(at))
          expect.fail(`${zone} ${new Date(at).toISOString()}`)
  })

  test('text and day number are one thing, and bad text is no date', () => {
    fc.assert(
      fc.property(fc.integer({ min: toDay('0000-01-01'), max: toDay('9999-12-31') }), (day) => {
        const date = toDate(day)
        expect(toDay(date)).toBe(day)
        expect(date).toBe(new Date(day * DAY).toISOString().slice(0, 10))
      }),
    )
    expect(toDay('soon')).toBeNaN()
    expect(utc.workingDays('soon', '2026-01-05')).toBe(0)
  })

  test('ISO weeks belong to the year of their Thursday, in the company’s zone', () => {
    expect(utc.isoWeek(Date.UTC(2027, 0, 1))).toBe('2026-W53')
    expect(utc.isoWeek(Date.UTC(2025, 11, 29))).toBe('2026-W01')
    expect(utc.isoWeek(Date.UTC(2026, 10, 23))).toBe('2026-W48')
    expect(make('Australia/Lord_Howe').isoWeek(Date.UTC(2026, 10, 22, 14))).toBe('2026-W48')
    expect(utc.isoWeek(Date.UTC(2026, 10, 22, 14))).toBe('2026-W47')
  })
})

describe('working days', () => {
  test('"the working dates d with date(from) < d ≤ date(to)"', () => {
    expect(utc.workingDays('2026-11-20', '2026-11-23')).toBe(1)
    expect(utc.workingDays('2026-11-20', '2026-11-22')).toBe(0)
    expect(utc.workingDays('2026-11-23', '2026-11-23')).toBe(0)
    expect(utc.workingDays('2026-11-23', '2026-11-20')).toBe(0)
  })

  test('equal to walking day by day, with holidays, closures and absences', () => {
    fc.assert(
      fc.property(dates, dates, fc.boolean(), (from, to, owner) => {
        expect(utc.workingDays(from, to, owner ? 'Ann@example.com' : 'bob@example.com')).toBe(
          slowWorkingDays(from, to, owner),
        )
      }),
      { numRuns: 300 },
    )
  })

  test('adding: the first date with that many working days', () => {
    fc.assert(
      fc.property(dates, fc.integer({ min: 1, max: 60 }), fc.boolean(), (from, n, owner) => {
        const who = owner ? 'ann@example.com' : null
        const to = utc.addWorkingDays(from, n, who)
        expect(utc.workingDays(from, to, who)).toBe(n)
        expect(utc.workingDays(from, toDate(toDay(to) - 1), who)).toBe(n - 1)
      }),
      { numRuns: 300 },
    )
    expect(utc.addWorkingDays('2026-11-22', 0)).toBe('2026-11-22')
  })

  test('going back: the first date from which no more than that many remain', () => {
    fc.assert(
      fc.property(dates, fc.integer({ min: 1, max: 60 }), (to, n) => {
        const from = utc.addWorkingDays(to, -n)
        expect(utc.workingDays(from, to)).toBe(n)
        expect(utc.workingDays(toDate(toDay(from) - 1), to)).toBe(n + 1)
      }),
      { numRuns: 300 },
    )
  })

  test('monotonic: a later day never has fewer working days behind it', () => {
    fc.assert(
      fc.property(dates, dates, fc.integer({ min: 0, max: 40 }), (from, to, more) => {
        expect(utc.workingDays(from, toDate(toDay(to) + more))).toBeGreaterThanOrEqual(utc.workingDays(from, to))
      }),
    )
  })

  test('years far outside are right and do not throw', () => {
    expect(utc.workingDays('1601-01-01', '1601-01-08')).toBe(5)
    expect(utc.workingDays('9999-12-24', '9999-12-31')).toBe(5)
    expect(utc.addWorkingDays('9999-12-31', 5)).toBe('9999-12-31')
    expect(utc.localDate(Date.parse('1601-01-01T12:00:00Z'))).toBe('1601-01-01')
    expect(utc.localDate(8.64e15)).toBe('9999-12-31')
    expect(toDay('2001-01-01') - toDay('1601-01-01')).toBe(146_097)
    for (const zone of ZONES) {
      expect(calendars.get(zone)?.localDate(Date.parse('1601-06-01T12:00:00Z'))).toMatch(/^1601-0[56]-\d\d$/)
      expect(calendars.get(zone)?.localDate(Date.parse('9999-06-01T12:00:00Z'))).toMatch(/^9999-0[56]-\d\d$/)
    }
  })

  test('a company that is closed for ever still gets an answer', () => {
    const closed = makeCalendar({ timezone: 'UTC', holidays: [], closures: ['2026-01-01/9999-12-31'], absences: {} })
    expect(closed.workingDays('2026-01-01', '2026-12-31')).toBe(0)
    expect(closed.addWorkingDays('2026-01-01', 3)).toBe('9999-12-31')
  })

  test('counting costs the same for a week and for eight thousand years', () => {
    const time = (from: string, to: string) => {
      const start = performance.now()
      for (let i = 0; i < 20_000; i++) utc.workingDays(from, to)
      return performance.now() - start
    }
    const best = (from: string, to: string) => Math.min(...[1, 2, 3, 4, 5].map(() => time(from, to)))
    best('2026-01-01', '2026-01-08')
    expect(best('1601-01-01', '9999-12-31')).toBeLessThan(20 * best('2026-01-01', '2026-01-08') + 20)
  })

  test('an unknown time zone is refused', () => {
    expect(() => make('Europe/Atlantis')).toThrow(RangeError)
  })
})
