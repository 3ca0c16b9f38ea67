// Errors named by what the caller must do. The failure of one record is never an error: it is an outcome.

/** Whoever asks for more (a header in other units, a clock that is wrong) is asked again after a day. */
export const LONGEST_WAIT_MS = 86_400_000

/** Come back later: rate limit, outage, lost connection. Nothing was decided. */
export class RetryLater extends Error {
  override readonly name = 'RetryLater'
  /** Milliseconds to wait before the next try. */
  readonly afterMs: number
  constructor(message: string, afterMs: number, options?: ErrorOptions) {
    super(message, options)
    this.afterMs = Math.min(afterMs, LONGEST_WAIT_MS)
  }
}

/** Stop this connection and tell a person: what is wrong, where, and what to do. */
export class Fatal extends Error {
  override readonly name = 'Fatal'
  readonly kind: 'credentials' | 'permission' | 'schema' | 'data' | 'bug'
  constructor(kind: Fatal['kind'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** The person at the command line must change something (usage or configuration): exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A person pressed Ctrl-C: exit code 130. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  constructor(message = 'stopped by hand; nothing is lost: the next run goes on where this one stopped') {
    super(message)
  }
}
