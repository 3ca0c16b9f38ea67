// Access tokens by text. A token nobody issued is known from its first use and does not expire.
export type Tokens = ReturnType<typeof createTokens>

/** `lifeMs`: how long an issued token lives, in monotonic time. */
export function createTokens(lifeMs: number, monotonic: () => number) {
  const ends = new Map<string, number>()
  const REVOKED = Number.NEGATIVE_INFINITY
  return {
    issue: (token: string) => void ends.set(token, monotonic() + lifeMs),
    check(token: string): 'valid' | 'expired' | 'revoked' {
      const end = ends.get(token) ?? Number.POSITIVE_INFINITY
      ends.set(token, end)
      if (end === REVOKED) return 'revoked'
      return monotonic() >= end ? 'expired' : 'valid'
    },
    /** Without a token: all known ones. */
    revoke(token?: string): void {
      for (const known of token === undefined ? ends.keys() : [token]) ends.set(known, REVOKED)
    },
    clear: () => ends.clear(),
  }
}
