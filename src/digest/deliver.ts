// When digests are due and what becomes of each: at most one per digest, period and person. Its row is made before it is
// handed over, so whoever dies in between has sent it or not, and nobody sends it again. Sending never holds a night up.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { makeCalendar, toDay, wallClock } from '../core/calendar.ts'
import type { Instant } from '../core/deal.ts'
import { type DigestSettings, type Manager, WEEKDAYS } from '../core/digests.ts'
import {
  claimDigest,
  type DigestId,
  digestsSince,
  endDigestLease,
  forgetOldDigests,
  leaseDigests,
  reclaimDigest,
  type StoredDigest,
  settleDigest,
} from '../store/digests.ts'
import { nightlyMessage, type Said, weeklyMessage } from './messages.ts'
import type { Message } from './render.ts'
import { type Send, Unanswered } from './send.ts'
import { newsOf, nightOver, troublesOf } from './trouble.ts'

type Say = (data: object, message: string) => void
export interface DigestService extends Said {
  readonly plan: DigestSettings
  readonly send: Send
  /** Wall clock. */
  readonly clock: () => Instant
  /** When the last night of the 24 hours until then was due; null: none was. */
  readonly lastDue: (now: Instant) => Instant | null
  readonly log: { readonly info: Say; readonly warn: Say; readonly error: Say }
}

const MINUTE_MS = 60_000
/** Building the report of a large pipeline takes minutes at most. */
const LEASE_MS = 15 * MINUTE_MS
/** As long as a night waits for a CRM. */
const GRACE_MS = 4 * 60 * MINUTE_MS
/** After each failed attempt; after the last one it is given up. */
const PAUSES_MS = [1, 5, 20, 60].map((minutes) => minutes * MINUTE_MS)
/** Managers are written to in the morning of the weekday, not in the middle of the night. */
const MORNING = 7
/** A process that ends has to give its runs back as well. */
const STOP_MS = 1_000
const REMINDER_MS = 7 * 86_400_000
const LOOK_BACK_MS = 60 * 86_400_000

/** What a digest would say now. `urgent`: something went wrong that is not known yet. */
interface Draft {
  readonly message: Message | null
  readonly told: StoredDigest['told']
  readonly urgent: boolean
}

export function createDigests(service: DigestService) {
  const { db, plan, clock, log, timezone } = service
  const by = randomUUID()
  const calendar = makeCalendar({ timezone, holidays: [], closures: [], absences: {} })
  const names = service.connections.map(({ name }) => name)

  async function weekly(manager: Manager): Promise<Draft> {
    return { message: await weeklyMessage(service, manager), told: [], urgent: false }
  }

  /** `past`: digests of before, newest first. What a person was told last is what the news are compared with. */
  async function nightly(recipient: string, past: readonly StoredDigest[]): Promise<Draft> {
    const now = clock()
    const troubles = await troublesOf(db, names, { due: service.lastDue(now), now })
    const mine = past.filter((one) => one.kind === 'nightly' && one.recipient === recipient)
    const last = mine.find(({ status }) => status === 'sent' || status === 'quiet')
    const sent = mine.find(({ status }) => status === 'sent')
    const news = newsOf(troubles, last?.told ?? [], now - (sent?.sentAt ?? now) >= REMINDER_MS)
    const told = troubles.map(({ key, mark }) => ({ key, mark }))
    const urgent = (news?.begun.length ?? 0) > 0
    return { message: news && nightlyMessage(service, news), told, urgent }
  }

  /** All that is due, once. Does nothing while another process is at it. Never throws for one that cannot be sent. */
  async function tick(): Promise<void> {
    const now = clock()
    if (plan.managers.length + plan.operations.length === 0) return forgetOldDigests(db, now)
    const due = service.lastDue(now)
    if (due !== null && !(await nightOver(db, names, due, now, GRACE_MS))) return
    if (!(await leaseDigests(db, by, now, LEASE_MS))) return
    try {
      await forgetOldDigests(db, now)
      const past = await digestsSince(db, now - LOOK_BACK_MS)
      // First what is wrong: a week takes longer to put together.
      for (const recipient of due === null ? [] : plan.operations)
        await one({ kind: 'nightly', period: calendar.localDate(due ?? now), recipient }, past, (all) =>
          nightly(recipient, all),
        )
      const drafts = new Map<string, Draft>()
      const weekday = (toDay(calendar.localDate(now)) + 3) % 7
      const hour = Number(wallClock(now, timezone).slice(11, 13))
      if (weekday > WEEKDAYS.indexOf(plan.weekday) || (weekday === WEEKDAYS.indexOf(plan.weekday) && hour >= MORNING))
        for (const manager of plan.managers) {
          // Those who see the same get the same: reading all deals takes a while.
          const sees = JSON.stringify([manager.owners, manager.teams])
          const draft = async () => {
            const made = drafts.get(sees) ?? (await weekly(manager))
            drafts.set(sees, made)
            return made
          }
          await one({ kind: 'weekly', period: calendar.isoWeek(now), recipient: manager.to }, past, draft)
        }
    } finally {
      await endDigestLease(db, by)
    }
  }

  /** `looked`: what was on record a moment ago; usually there is nothing to do. */
  async function one(
    id: DigestId,
    looked: readonly StoredDigest[],
    draft: (past: readonly StoredDigest[]) => Promise<Draft>,
  ): Promise<void> {
    const now = clock()
    const found = looked.find((each) => keyOf(each) === keyOf(id))
    if (found && (found.status !== 'retry' || (found.nextAt ?? 0) > now)) return
    if (!(await leaseDigests(db, by, now, LEASE_MS))) return
    const past = await digestsSince(db, now - LOOK_BACK_MS)
    const { message, told, urgent } = await draft(past)
    const week = calendar.isoWeek(now)
    const counts = past.filter((each) => each.recipient === id.recipient && each.week === week)
    const used = counts.filter(({ status }) => status === 'sent' || status === 'unknown').length
    const over = used >= plan.perPersonPerWeek && !urgent
    const status = message === null ? 'quiet' : over ? 'held' : 'unknown'
    if (found) {
      if (!(await reclaimDigest(db, id, told, now))) return
      if (status !== 'unknown') return settleDigest(db, id, { status })
    } else if (!(await claimDigest(db, { ...id, status, week, told, createdAt: now })) || status !== 'unknown') return
    if (message !== null) await handOver(id, message, found?.attempts ?? 0)
  }

  async function handOver(id: DigestId, message: Message, tried: number): Promise<void> {
    const about = { digest: id.kind, period: id.period, recipient: id.recipient }
    try {
      await service.send(id.recipient, message, keyOf(id))
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error)
      const unanswered = error instanceof Unanswered
      const pause = unanswered ? undefined : PAUSES_MS[tried]
      const [status, then] = unanswered
        ? (['unknown', 'it may have arrived, so it is not sent again'] as const)
        : pause === undefined
          ? (['failed', 'it is given up'] as const)
          : (['retry', 'it is tried again'] as const)
      await settleDigest(db, id, { status, problem, nextAt: pause === undefined ? null : clock() + pause })
      const attempt = { ...about, attempt: tried + 1 }
      return log[status === 'retry' ? 'warn' : 'error'](attempt, `digest not sent; ${then}: ${problem}`)
    }
    // Not within the above: where this cannot be noted it was sent all the same.
    await settleDigest(db, id, { status: 'sent', sentAt: clock() })
    log.info(about, 'digest sent')
  }

  return {
    tick,
    /** What would be sent now, whatever the day. Null: nothing. */
    weekly: async (manager: Manager) => (await weekly(manager)).message,
    nightly: async (recipient: string) =>
      (await nightly(recipient, await digestsSince(db, clock() - LOOK_BACK_MS))).message,
    /** Ticks every minute. @returns how to stop: waits a moment for what is being sent */
    start(everyMs = MINUTE_MS): () => Promise<void> {
      let running: Promise<void> | null = null
      const timer = setInterval(() => {
        running ??= tick()
          .catch((error: unknown) => log.warn({ err: error }, 'digests could not be looked after and are tried again'))
          .finally(() => {
            running = null
          })
      }, everyMs).unref()
      return async () => {
        clearInterval(timer)
        if (running) await Promise.race([running, delay(STOP_MS)])
      }
    },
  }
}

/** The same every time: also the id of the message. */
const keyOf = ({ kind, period, recipient }: DigestId) => `${kind} ${period} ${recipient}`
