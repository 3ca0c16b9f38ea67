// When nights are due. Worked out on the clock on the wall: where clocks change, cron-parser loses nights (at midnight in
// Chile, Cuba or Egypt; at 2:00 on Lord Howe Island, where it throws, and BullMQ then schedules no more).
import { CronExpressionParser } from 'cron-parser'
import { shownAt } from './core/calendar.ts'
import type { Instant } from './core/deal.ts'

const DAY_MS = 86_400_000
const shown = (at: Instant, timeZone: string) => shownAt(at, timeZone) + (at % 1000)

/** The next due moment after `after`: once on each date that the schedule names. An hour that comes twice counts the
 *  first time, a missing one as much later as clocks are put forward. */
export function nextNight(after: Instant, cron: string, timeZone: string): Instant {
  for (let wall = shown(after, timeZone); ; ) {
    const options = { tz: 'UTC', currentDate: new Date(wall) }
    wall = CronExpressionParser.parse(cron, options).next().getTime()
    const moments = [wall - DAY_MS, wall + DAY_MS].map((near) => wall - (shown(near, timeZone) - near))
    const first = Math.min(...moments)
    const at = shown(first, timeZone) === wall ? first : Math.max(...moments)
    if (at > after) return at
  }
}

/** The last due moment of the 24 hours until `now`; null: there was none. */
export function lastDue(now: Instant, cron: string, timeZone: string): Instant | null {
  // Few steps from there to now, however often it is due.
  for (const back of [60_000, 3_600_000, DAY_MS]) {
    const first = nextNight(now - back, cron, timeZone)
    if (first <= now) return lastNight(first, now, cron, timeZone)
  }
  return null
}

/** The last due moment until `now`, `due` or a later one: that night it is, however late. */
export function lastNight(due: Instant, now: Instant, cron: string, timeZone: string): Instant {
  for (let last = due; ; ) {
    const next = nextNight(last, cron, timeZone)
    if (next > now) return last
    last = next
  }
}
