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
  readonly #starts = new Map<string, number[]>()
  readonly #buckets = new Map<string, { tokens: number; at: number }>()

  constructor(limits: Limits, monotonic: () => number) {
    this.#limits = limits
    this.#monotonic = monotonic
  }

  /** Takes one call from the lane. `remaining` null: no limits. A refused call costs nothing. */
  take(lane: Lane): { readonly ok: boolean; readonly remaining: number | null; readonly retryAfterMs: number } {
    if (this.#limits === 'none') return { ok: true, remaining: null, retryAfterMs: 0 }
    const now = this.#monotonic()
    if (this.#limits === 'rolling') {
      const starts = (this.#starts.get(lane.name) ?? []).filter((at) => at > now - lane.windowMs)
      this.#starts.set(lane.name, starts)
      const first = starts[0]
      if (starts.length >= lane.max && first !== undefined)
        return { ok: false, remaining: 0, retryAfterMs: first + lane.windowMs - now }
      starts.push(now)
      return { ok: true, remaining: lane.max - starts.length, retryAfterMs: 0 }
    }
    const perMs = lane.max / lane.windowMs
    const bucket = this.#buckets.get(lane.name) ?? { tokens: lane.burst, at: now }
    const tokens = Math.min(lane.burst, bucket.tokens + (now - bucket.at) * perMs)
    const ok = tokens >= 1
    const left = ok ? tokens - 1 : tokens
    this.#buckets.set(lane.name, { tokens: left, at: now })
    return { ok, remaining: Math.floor(left), retryAfterMs: ok ? 0 : Math.ceil((1 - tokens) / perMs) }
  }
}
