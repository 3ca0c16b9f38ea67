// Access tokens by text. A token nobody issued is known from its first use and does not expire.
export class Tokens {
  readonly #lifeMs: number
  readonly #monotonic: () => number
  readonly #known = new Map<string, { ends: number; revoked: boolean }>()

  /** `lifeS`: seconds of monotonic time an issued token lives; null: for ever. */
  constructor(lifeS: number | null, monotonic: () => number) {
    this.#lifeMs = lifeS === null ? Number.POSITIVE_INFINITY : lifeS * 1000
    this.#monotonic = monotonic
  }
  issue(token: string): void {
    this.#known.set(token, { ends: this.#monotonic() + this.#lifeMs, revoked: false })
  }
  check(token: string): 'valid' | 'expired' | 'revoked' {
    const known = this.#known.get(token)
    if (!known) this.#known.set(token, { ends: Number.POSITIVE_INFINITY, revoked: false })
    if (known?.revoked) return 'revoked'
    return known && this.#monotonic() >= known.ends ? 'expired' : 'valid'
  }
  /** Without a token: all known ones. */
  revoke(token?: string): void {
    for (const known of token === undefined ? [...this.#known.keys()] : [token])
      this.#known.set(known, { ends: Number.POSITIVE_INFINITY, revoked: true })
  }
  clear(): void {
    this.#known.clear()
  }
}
