// Rate limits in the two shapes a CRM may have. Nobody outside knows which one it is, so the sandbox plays both.
export type Limits = 'none' | 'rolling' | 'bucket'

/** A budget that calls share. Rolling: at most `max` in any `windowMs`. Bucket: `burst` tokens, refilled at that pace. */
export interface Lane {
  readonly name: string
  readonly max: number
  readonly windowMs: number
  readonly burst: number
}

export class Limiter {
  readonly #limits: Limits
  readonly #monotonic: () => number
  /** By lane: rolling, when the calls of the window began; bucket, when it is full again. */
  readonly #starts = new Map<string, number[]>()
  readonly #full = new Map<string, number>()

  constructor(limits: Limits, monotonic: () => number) {
    this.#limits = limits
    this.#monotonic = monotonic
  }

  /** Takes one call from the lane. `remaining` null: no limits. A refused call costs nothing. */
  take({ name, max, windowMs, burst }: Lane) {
    const now = this.#monotonic()
    if (this.#limits === 'none') return { ok: true, remaining: null, retryAfterMs: 0 }
    if (this.#limits === 'rolling') {
      const starts = (this.#starts.get(name) ?? []).filter((at) => at > now - windowMs)
      const wait = starts.length < max ? 0 : (starts[0] ?? now) + windowMs - now
      this.#starts.set(name, wait > 0 ? starts : [...starts, now])
      return { ok: wait === 0, remaining: Math.max(0, max - starts.length - 1), retryAfterMs: wait }
    }
    const paceMs = windowMs / max
    const full = Math.max(now, this.#full.get(name) ?? now) + paceMs
    const wait = Math.max(0, Math.ceil(full - now - burst * paceMs))
    if (wait === 0) this.#full.set(name, full)
    return { ok: wait === 0, remaining: Math.max(0, Math.floor(burst - (full - now) / paceMs)), retryAfterMs: wait }
  }
}
