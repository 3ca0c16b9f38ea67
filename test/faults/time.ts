// Fault 21: clocks. A year of nights in four time zones, at hours that are missing on one date and come twice on another,
// fired as the queue would, fired once more, fired late, and with a clock that jumps an hour forth and back. Every seventh
// night the queue forgets; the watchdog, which looks three times after each, must open exactly those.
import type { JobContext } from '../../jobs/context.ts'
import { handlers } from '../../jobs/index.ts'
import { openNight, openScheduled } from '../../jobs/nightly.ts'
import { Settings } from '../../src/core/policy.ts'
import { lastDue, lastNight, nextNight } from '../../src/schedule.ts'
import { ensureConnection, updateConnection } from '../../src/store/connections.ts'
import { finishRun, listRuns, startStep } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { borrowed } from '../homes.ts'
import { DAY } from '../jobs/harness.ts'
import type { Scenario } from './harness.ts'

const ZONES = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'UTC']
const CRONS = ['0 2 * * *', '30 2 * * *', '0 0 * * *', '30 23 * * *']
const HOUR = 3_600_000

/** All dates of a year; `near`: only those about a change of the clocks, a leap day, or the turn of the year. */
function datesOf(year: number, zone: string, near: boolean): string[] {
  const date = (at: number) => new Date(at).toISOString().slice(0, 10)
  const begin = Date.parse(`${year}-01-01`)
  const all = Array.from({ length: 366 }, (_, n) => date(begin + n * DAY)).filter((one) => one.startsWith(`${year}`))
  const clock = new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' })
  const offset = (at: number) => clock.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value
  const matters = (one: string) => {
    const at = Date.parse(one)
    return offset(at - DAY) !== offset(at + 2 * DAY) || /-(?:02-2[89]|03-01|01-01|12-31)$/.test(one)
  }
  return near ? all.filter(matters) : all
}

export const time: readonly Scenario[] = [
  {
    fault: 21,
    title: 'changed clocks, four zones, four hours',
    systems: ['hubspot'],
    alone: true,
    async run(trial) {
      const { database, giveBack } = await borrowed()
      trial.onEnd(giveBack)
      const { db } = database
      let now = 0
      const ctx: JobContext = {
        ...{ db, clock: () => now, texts: () => en, progress: () => {}, patienceMs: 0, retryMs: 0 },
        connector: () => Promise.reject(new Error('no CRM is called here')),
        log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
      }
      const problems: string[] = []
      let nights = 0
      for (const year of trial.quick ? [2028] : [2027, 2028])
        for (const zone of ZONES) {
          const wanted = new Set(datesOf(year, zone, trial.quick))
          const settings = Settings.parse({ timezone: zone })
          const day = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short' })
          for (const cron of CRONS) {
            const connection = `${year} ${zone} ${cron}`
            await ensureConnection(db, connection, 'hubspot')
            await updateConnection(db, connection, { confirmedAt: 1 })
            const night = { connection, system: 'hubspot', settings } as const
            const end = async (opened: { readonly runId: string } | null) => {
              const run = opened && (await startStep(db, opened.runId, 'pull'))
              if (run) await finishRun(db, run, now, {})
              return run !== null
            }
            const { missed } = handlers(ctx, (_, lateMs) => openScheduled(ctx, { ...night, now, lateMs }))
            /** As the watchdog does it; whether there was something to do. */
            const look = async (shows: number) => {
              now = shows
              const last = lastDue(shows, cron, zone)
              return last !== null && end(await missed(connection, shows - last))
            }
            /** As the queue does it: `shows` is what the machine's clock says when the job that was due then is run. */
            const fire = async (due: number, shows: number) => {
              now = shows
              const lateMs = shows - lastNight(due, shows, cron, zone)
              await end(await openScheduled(ctx, { ...night, now, lateMs }))
            }
            let due = Date.parse(`${year}-01-01`) - 2 * DAY
            // Known since then: only such connections are caught up with.
            now = due - DAY
            const before = await openNight(ctx, { ...night, kind: 'manual', now })
            if ('run' in before) await end({ runId: before.run.id })
            for (let n = 0; due < Date.parse(`${year + 1}-01-01`) + 2 * DAY; n++) {
              // A clock put back after the last night does not make the queue repeat it, nor one put forward skip one.
              due = nextNight(Math.max(due, due + (n % 5 === 0 ? -HOUR : 50)), cron, zone)
              const date = day.format(due)
              if (!wanted.has(date)) {
                const next = [...wanted].find((one) => one > date)
                due = Math.max(due, Date.parse(next ?? `${year + 1}-01-09`) - 2 * DAY)
                continue
              }
              nights += 1
              // In time, three quarters of an hour late, or the clock is put back just then; and once more each.
              const shows = due + ([50, 45 * 60_000, -HOUR, 50][n % 4] ?? 50)
              const forgotten = n % 7 === 6
              if (!forgotten) {
                await fire(due, shows)
                await fire(due, shows + 40)
                await fire(due, due + HOUR)
              }
              const found = [await look(due + 2 * HOUR), await look(due + 9 * HOUR), await look(due + 20 * HOUR)]
              if (`${found}` !== `${forgotten},false,false`) problems.push(`${connection}: ${date} caught up: ${found}`)
            }
            const runs = (await listRuns(db, { connection, limit: 1000 })).filter(({ kind }) => kind === 'night')
            const dates = Map.groupBy(runs, ({ localDate }) => localDate)
            for (const date of wanted)
              if (dates.get(date)?.length !== 1)
                problems.push(`${connection}: ${dates.get(date)?.length ?? 0} runs on ${date}`)
            for (const date of dates.keys()) if (!wanted.has(date)) problems.push(`${connection}: a run on ${date}`)
          }
        }
      return {
        injected: `${nights} nights, every seventh forgotten`,
        dup: 0,
        lost: 0,
        wrong: problems.length,
        problems,
      }
    },
  },
]
