// When nights are due where clocks change: once on each date, whatever the hour.
import { describe, expect, it } from 'vitest'
import { lastDue, lastNight, nextNight } from '../src/schedule.ts'

const DAY = 86_400_000
const ZONES = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Santiago', 'Africa/Cairo', 'UTC']
const at = (text: string) => Date.parse(text)

describe.each(ZONES)('%s', (zone) => {
  it.each(['0 2 * * *', '30 2 * * *', '0 0 * * *', '30 23 * * *'])(
    '%s is due once on each date of two years',
    (cron) => {
      const day = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short' })
      const dates: string[] = []
      let due = at('2027-01-01') - 2 * DAY
      for (let n = 0; n < 740; n++) {
        due = nextNight(due, cron, zone)
        dates.push(day.format(due))
      }
      const first = at(`${dates[0]}`)
      expect(dates).toEqual(dates.map((_, n) => new Date(first + n * DAY).toISOString().slice(0, 10)))
    },
  )
})

it('an hour that is missing is as much later, one that comes twice is due the first time', () => {
  expect(nextNight(at('2027-03-27T12:00Z'), '30 2 * * *', 'Europe/Berlin')).toBe(at('2027-03-28T01:30Z'))
  expect(nextNight(at('2027-10-30T12:00Z'), '30 2 * * *', 'Europe/Berlin')).toBe(at('2027-10-31T00:30Z'))
  expect(nextNight(at('2027-10-31T00:30Z'), '30 2 * * *', 'Europe/Berlin')).toBe(at('2027-11-01T01:30Z'))
  expect(nextNight(at('2027-10-02T00:00Z'), '0 2 * * *', 'Australia/Lord_Howe')).toBe(at('2027-10-02T15:30Z'))
})

it('the watchdog looks for the last night of the 24 hours before, and no older one', () => {
  const last = (now: string) => lastDue(at(now), '30 23 * * 1-5', 'Europe/Berlin')
  expect(last('2027-06-01T21:29Z')).toBe(at('2027-05-31T21:30Z'))
  expect(last('2027-06-01T21:30Z')).toBe(at('2027-06-01T21:30Z'))
  expect(last('2027-06-06T08:00Z')).toBeNull() // a Sunday
  expect(lastDue(at('2027-06-01T00:03Z'), '*/5 * * * *', 'UTC')).toBe(at('2027-06-01T00:00Z'))
})

it('a job that comes late belongs to the last night that was due', () => {
  const last = (now: string) => lastNight(at('2027-06-01T21:30Z'), at(now), '30 23 * * *', 'Europe/Berlin')
  expect(last('2027-06-01T23:10Z')).toBe(at('2027-06-01T21:30Z'))
  expect(last('2027-06-04T08:00Z')).toBe(at('2027-06-03T21:30Z'))
  // The clock was put back meanwhile.
  expect(last('2027-06-01T20:30Z')).toBe(at('2027-06-01T21:30Z'))
  // Two months away, due every five minutes.
  expect(lastNight(at('2027-06-01T00:00Z'), at('2027-08-01T00:03Z'), '*/5 * * * *', 'UTC')).toBe(
    at('2027-08-01T00:00Z'),
  )
})
