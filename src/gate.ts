// The rate gate of one connection: it spaces calls so that the CRM never has to say 429, and slows down when it does.
// Nobody outside knows whether a CRM counts in a rolling window or refills a bucket, so the gate fits both: calls start at
// the pace of a bucket smaller than any known, and never more of them in a window than it allows. Clock and sleep are
// handed in.

import type { Gate } from './connector.ts'
import type { Instant } from './core/deal.ts'
import { LONGEST_WAIT_MS, RetryLater } from './errors.ts'

export interface Rate {
  /** Calls allowed within `windowMs`. */
  readonly max: number
  readonly windowMs: number
  /** Calls that may start at once after a rest; default: what 0.7 seconds allow. */
  readonly burst?: number
}

export interface GateOptions {
  /** Default: the milliseconds of this process, which nobody sets back: waits would grow by as much. */
  readonly clock?: () => Instant
  /** Rejects with the signal's reason when it aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** Default 90 per 10 s: below HubSpot's smallest limit (100 per 10 s, usage guidelines), until an answer says more. */
  readonly normal?: Rate
  /** Default 4 per second: HubSpot's search allows 5 (Airbyte) or 4 (changelog of 2020). */
  readonly search?: Rate
  /** Longest wait for a pause inside the process; a longer one rejects with RetryLater. Default 10 s. */
  readonly patienceMs?: number
  /** Share of the CRM's calls of a day, whoever makes them, beyond which none is made here: the rest is the company's own.
   *  Default: all. */
  readonly dayShare?: number
  /** Looks, right before a call may start, whether this process stood still so long that others do its work by now. */
  readonly awake?: () => void
}

/** Share of an announced limit that is used over time: the rest absorbs jitter between our starts and the arrivals the CRM
 *  counts. */
const SHARE = 0.98
/** Seconds' worth of calls that may start at once: the smallest known bucket holds one. */
const BURST_MS = 700
/** When the calls of the day are looked at again: some CRMs count a sliding day. One call then. */
const DAY_PAUSE_MS = 30 * 60_000
/** After a 429 the pace falls to this share of itself; each good answer gives back a hundredth of the full pace. Around
 *  the pace of the last refusal, by a tenth up and down, only half a thousandth: where others use the same budget, or the
 *  limit is lower than it is said to be, that is as much as there is. */
const SLOWER = 0.7
const SLOWEST = 0.1
const RECOVERY = 0.01
const AROUND = 0.1
const CAREFUL = 0.0005

/**
 * Builds the gate of one connection. `wait` is first come, first served within a lane. It rejects with the signal's
 * reason, or with RetryLater when the CRM asked for a pause longer than `patienceMs`. Lanes do not share a budget.
 */
export function createGate(options: GateOptions): Gate {
  const { clock = () => performance.now(), sleep, patienceMs = 10_000, awake, dayShare = 1 } = options
  let left = Number.POSITIVE_INFINITY
  let dayOver: { readonly until: Instant; readonly why: string } | null = null
  const lanes = {
    normal: new Lane(options.normal ?? { max: 90, windowMs: 10_000 }),
    search: new Lane(options.search ?? { max: 4, windowMs: 1000, burst: 1 }),
  }
  return {
    async wait(signal, lane = 'normal') {
      for (;;) {
        signal.throwIfAborted()
        if (dayOver && dayOver.until > clock()) throw new RetryLater(dayOver.why, dayOver.until - clock())
        const pause = lanes[lane].pausedUntil - clock()
        if (pause > patienceMs) throw new RetryLater('the CRM asked for a pause', pause)
        const start = lanes[lane].reserve(clock())
        // Answers that come meanwhile may leave less room than there was.
        for (let at = start.at; at > clock(); at = lanes[lane].roomAt(start)) await sleep(at - clock(), signal)
        // A pause that came while this call slept: take a new place behind it, so that the pause does not end in a burst.
        if (lanes[lane].pausedUntil > start.at) continue
        lanes[lane].started(start, clock())
        awake?.()
        signal.throwIfAborted()
        return () => lanes[lane].answered(start, clock())
      }
    },
    observe(seen, lane = 'normal') {
      if (seen.day) {
        const { day } = seen
        left = day.left - (1 - dayShare) * day.max
        const used = `${day.max - day.left} of ${day.max} calls of the day are used`
        if (left < 0)
          dayOver = { until: clock() + DAY_PAUSE_MS, why: `${used}: the rest is left to others (maxDailyCallsShare)` }
      }
      lanes[lane].observe(seen, clock())
    },
    left: () => left,
  }
}

/** A call: when it is to start, started, or was answered. */
interface Start {
  at: Instant
  begun: boolean
}

/** Virtual scheduling (GCRA), `next` being when the bucket would be full again, and the starts of the last window. */
class Lane {
  pausedUntil: Instant = Number.NEGATIVE_INFINITY
  #rate: Rate
  /** Calls the CRM says it allows in a window, if it does. */
  #announced: number | null = null
  #pace = 1
  /** The pace at the last refusal; infinite: none, or long passed. */
  #refused = Number.POSITIVE_INFINITY
  #next: Instant = Number.NEGATIVE_INFINITY
  /** In the order of their places, no more than three windows may hold. */
  readonly #starts: Start[] = []

  constructor(rate: Rate) {
    this.#rate = rate
  }

  /** Milliseconds between calls, and how far ahead of it a burst may go. */
  get #spacing() {
    const { max, windowMs, burst = Math.max(1, Math.floor((max * BURST_MS) / windowMs)) } = this.#rate
    const interval = windowMs / max / this.#pace
    return { interval, ahead: (burst - 1) * interval }
  }

  /** The moment at which one more call may start. */
  reserve(now: Instant): Start {
    const { interval, ahead } = this.#spacing
    const { max } = this.#rate
    const start = { at: Math.max(now, this.pausedUntil, this.#next - ahead, this.roomAt()), begun: false }
    this.#next = Math.max(this.#next, start.at) + interval
    this.#starts.push(start)
    if (this.#starts.length > 3 * max) this.#starts.splice(0, this.#starts.length - 2 * max)
    return start
  }

  /** When the window has room for one more call; `start`: for this one, reserved already, whatever waits behind it. */
  roomAt(start?: Start): Instant {
    const { max, windowMs } = this.#rate
    const own = start ? this.#starts.indexOf(start) : this.#starts.length
    const others = this.#starts.flatMap(({ at, begun }, n) => (n < own || (n > own && begun) ? at : []))
    const oldest = others.sort((a, b) => b - a)[(this.#announced ?? max) - 1]
    return (oldest ?? Number.NEGATIVE_INFINITY) + windowMs
  }

  /** A process that stood still starts calls late and all at once: the CRM counts them now, not when they were meant. */
  started(start: Start, now: Instant): void {
    start.begun = true
    const { interval } = this.#spacing
    if (now - start.at >= interval) this.#next = Math.max(this.#next, now) + interval
    start.at = Math.max(start.at, now)
  }

  /** Where a limit is announced it is used to the full, so a call stands in the window as late as it may have been counted:
   *  however long it was on its way, or waited for a CRM that stood still. */
  answered(start: Start, now: Instant): void {
    if (this.#announced !== null) start.at = Math.max(start.at, now)
  }

  observe(seen: Parameters<Gate['observe']>[0], now: Instant): void {
    if (seen.pauseMs !== undefined) {
      // Many calls can meet the same limit at once: that is one reason to slow down, not many.
      if (this.pausedUntil <= now) {
        this.#refused = this.#pace
        this.#pace = Math.max(SLOWEST, this.#pace * SLOWER)
      }
      this.pausedUntil = Math.max(this.pausedUntil, now + Math.min(seen.pauseMs, LONGEST_WAIT_MS))
      this.#next = Math.max(this.#next, this.pausedUntil + this.#spacing.ahead)
      return
    }
    const { max, windowMs } = seen
    if (max !== undefined && windowMs !== undefined && max > 0 && windowMs > 0) {
      const { burst } = this.#rate
      this.#rate = { max: Math.max(1, Math.floor(max * SHARE)), windowMs, ...(burst && { burst }) }
      this.#announced = Math.max(1, Math.floor(max))
    }
    // Nothing left although our own pace would leave some: someone else spends the same budget.
    if (seen.remaining !== undefined && seen.remaining < 1) {
      this.#next = Math.max(this.#next, now + this.#spacing.ahead) + 2 * this.#spacing.interval
    } else if (this.#pace < 1) {
      const near = this.#pace > this.#refused * (1 - AROUND)
      this.#pace = Math.min(1, this.#pace + (near ? this.#pace * CAREFUL : RECOVERY))
      if (this.#pace > this.#refused * (1 + AROUND)) this.#refused = Number.POSITIVE_INFINITY
    }
  }
}
