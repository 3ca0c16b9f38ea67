// Fault 21: the clock. A year of nights in four zones, at hours that exist twice or not at all on some dates, fired as the
// queue would fire them, fired once more, and with the clock an hour off: one run a local date, no date without one.
import { CronExpressionParser } from 'cron-parser'
import type { JobContext } from '../../jobs/context.ts'
import { openScheduled } from '../../jobs/nightly.ts'
import { Settings } from '../../src/core/policy.ts'
import { NO_SUMMARY } from '../../src/report/summary.ts'
import { ensureConnection, updateConnection } from '../../src/store/connections.ts'
import { openDatabase } from '../../src/store/db.ts'
import { finishRun, getRun, listRuns } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { snapshot } from '../homes.ts'
import type { Scenario } from './harness.ts'

const ZONES = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'UTC']
const HOUR = 3_600_000
const silent = () => {}

/** The instants at which the queue fires in this year: BullMQ asks the same parser, one instant after the other. */
function* firings(cron: string, tz: string, year: number): Generator<number> {
  const local = new Intl.DateTimeFormat('en', { timeZone: tz, year: 'numeric' })
  for (let at = Date.UTC(year - 1, 11, 31) - 12 * HOUR; ; ) {
    at = CronExpressionParser.parse(cron, { currentDate: new Date(at), tz })
      .next()
      .getTime()
    const now = Number(local.format(at))
    if (now > year) return
    if (now === year) yield at
  }
}

/** Sentences about dates without a run or with two. */
async function yearOf(cron: string, timezone: string, year: number): Promise<{ nights: number; problems: string[] }> {
  const database = await openDatabase({ snapshot: await snapshot() })
  const { db } = database
  const settings = Settings.parse({ timezone })
  const name = { connection: 'hub', system: 'hubspot' } as const
  try {
    await ensureConnection(db, 'hub', 'hubspot')
    await updateConnection(db, 'hub', { confirmedAt: 1 })
    let wall = 0
    const ctx: JobContext = {
      ...{ db, texts: () => en, clock: () => wall, progress: silent, patienceMs: 0, retryMs: 0 },
      log: { debug: silent, info: silent, warn: silent, error: silent },
      connector: () => Promise.reject(new Error('nobody is called')),
    }
    const fire = async (now: number) => {
      wall = now
      const opened = await openScheduled(ctx, { ...name, settings, now })
      const run = opened && (await getRun(db, opened.runId))
      if (run) await finishRun(db, run, now, NO_SUMMARY)
    }
    for (const due of firings(cron, timezone, year)) {
      await fire(due)
      await fire(due + 1_000)
      // The clock is put back, or runs ahead; what comes before the year belongs to nobody here.
      await fire(due + HOUR)
      if (due - HOUR > Date.UTC(year, 0, 2)) await fire(due - HOUR)
    }
    const dates = (await listRuns(db, { connection: 'hub', limit: 10_000 })).map((run) => run.localDate)
    const days = (Date.UTC(year + 1, 0, 1) - Date.UTC(year, 0, 1)) / (24 * HOUR)
    const all = Array.from({ length: days }, (_, day) =>
      new Date(Date.UTC(year, 0, 1 + day)).toISOString().slice(0, 10),
    )
    const say = (date: string, what: string) => `"${cron}" in ${timezone}: ${date} ${what}`
    const doubled = dates.filter((date, at) => dates.indexOf(date) !== at)
    return {
      nights: all.filter((date) => dates.includes(date)).length,
      problems: [
        ...all.flatMap((date) => (dates.includes(date) ? [] : [say(date, 'has no run')])),
        ...doubled.map((date) => say(date, 'has two runs')),
      ],
    }
  } finally {
    await database.close()
  }
}

export const time: readonly Scenario[] = [
  {
    fault: 21,
    title: 'summer time, clock an hour off, fired twice',
    systems: ['hubspot'],
    async run({ quick }) {
      const crons = quick ? ['30 2 * * *'] : ['0 2 * * *', '30 2 * * *', '0 0 * * *', '30 23 * * *']
      const zones = quick ? ['Europe/Berlin', 'Australia/Lord_Howe'] : ZONES
      const years = quick ? [2028] : [2027, 2028]
      let nights = 0
      const problems: string[] = []
      for (const year of years)
        for (const cron of crons)
          for (const zone of zones) {
            const found = await yearOf(cron, zone, year)
            nights += found.nights
            problems.push(...found.problems)
          }
      const lost = problems.filter((one) => one.endsWith('has no run')).length
      const dup = problems.length - lost
      const injected = `${years.length * crons.length * zones.length} years of nights`
      return { injected, dup, lost, wrong: 0, problems, note: `${nights} nights, each once` }
    },
  },
]
