// The token vault, and who renews a token: access and refresh tokens are stored encrypted, one process at a time renews
// those of a connection (a lease row), and a renewed set is stored before it is used. Refresh tokens may work only once:
// a renewal that was lost with its process cannot be repeated, and that is told to a person instead of being tried again.
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SignIn, TokenSet } from './connector.ts'
import type { Instant } from './core/deal.ts'
import { Fatal, RetryLater, UsageError } from './errors.ts'
import type { Db } from './store/schema.ts'
import {
  endLease,
  readTokens,
  refuseTokens,
  replaceSealed,
  type StoredTokens,
  storeTokens,
  takeLease,
} from './store/tokens.ts'

/** Shorter secrets can be guessed. */
const SECRET_LENGTH = 32

export type Vault = ReturnType<typeof createVault>

/** AES-256-GCM under a key derived from `secret`. `about`: what a text belongs to; opened for anything else it is refused. */
export function createVault(secret: string) {
  const derive = (use: string) => Buffer.from(hkdfSync('sha256', secret, '', `unstall ${use}`, 32))
  const [key, digestKey, id] = [derive('tokens'), derive('digest'), derive('key id').toString('hex', 0, 4)]
  const bound = (about: readonly string[]) => Buffer.from(JSON.stringify(about))
  return {
    /** `1.<key id>.<nonce, text and tag in base64url>` */
    seal(text: string, about: readonly string[]): string {
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(bound(about))
      const parts = [nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]
      return `1.${id}.${Buffer.concat(parts).toString('base64url')}`
    },
    /** Throws Fatal('credentials') whose words go on after "cannot be read: ". */
    open(sealed: string, about: readonly string[]): string {
      const [, by, text = ''] = sealed.split('.')
      if (by !== id)
        throw new Fatal('credentials', `it was stored with the key ${by}, and the key of this machine is ${id}`)
      const bytes = Buffer.from(text, 'base64url')
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 })
        decipher.setAAD(bound(about)).setAuthTag(bytes.subarray(-16))
        return decipher.update(bytes.subarray(12, -16), undefined, 'utf8') + decipher.final('utf8')
      } catch (cause) {
        throw new Fatal('credentials', 'it was stored for another connection, app or address', { cause })
      }
    },
    /** To compare secrets with what was tried before, without storing them. */
    digest: (about: readonly string[]) => createHmac('sha256', digestKey).update(bound(about)).digest('base64url'),
  }
}

/** The secret of this data directory, made on first use, readable by its owner only. */
export function secretOf(dataDir: string, name = 'secret.key'): string {
  const file = join(dataDir, name)
  mkdirSync(dataDir, { recursive: true })
  try {
    writeFileSync(file, randomBytes(32).toString('base64'), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  const secret = readFileSync(file, 'utf8').trim()
  if (secret.length >= SECRET_LENGTH) return secret
  throw new UsageError(`${file} is damaged. Put back a copy of it, or delete it and connect again.`)
}

/** For a person: the CRM does not let unstall in any more. `why`: a sentence. */
const needsReconnecting = (connection: string, why: string) =>
  new Fatal('credentials', `${connection} needs re-connecting: ${why} Nothing is read or written there until then.`)

/** Longer than an exchange may take (connectors/<x>/auth.ts), or two processes would use one refresh token. */
const LEASE_MS = 13_000
const POLL_MS = 250
/** A longer wait leaves the process as RetryLater. */
const PATIENCE_MS = 10_000
const STORE_RETRY_MS = 200

export interface TokensOptions {
  readonly db: Db
  readonly vault: Vault
  readonly clock: () => Instant
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly leaseMs?: number | undefined
  /** Only for the tests that kill this process. */
  readonly crash?: ((at: 'token issued', connection: string) => void) | undefined
}

/** `belongs`: what the tokens are good for (CRM, address, app). A stored set of anything else is not used. */
export interface Owner {
  readonly connection: string
  readonly belongs: readonly string[]
}
export interface Account<S extends TokenSet> extends Owner {
  readonly signIn: SignIn<S>
  /** A refresh token that was refused is tried again once this has changed. */
  readonly clientSecret: string
}

const about = ({ connection, belongs }: Owner) => [connection, 'tokens', ...belongs]

/** Stored sets under another key, in one transaction. May be repeated. `left`: connections whose set neither key opens. */
export async function reseal(db: Db, owners: readonly Owner[], from: Vault, to: Vault) {
  const [done, left]: [string[], string[]] = [[], []]
  await replaceSealed(db, (sealed, connection) => {
    const bound = owners.filter((one) => one.connection === connection).flatMap(about)
    for (const vault of [to, from])
      try {
        const text = vault.open(sealed, bound)
        done.push(connection)
        return vault === to ? sealed : to.seal(text, bound)
      } catch {} // not with this one
    left.push(connection)
    return sealed
  })
  return { done, left }
}

type Held<S> = Readonly<{ set: S; renewAt: Instant | null }>

export type Tokens = ReturnType<typeof createTokens>

export function createTokens({ db, vault, clock, sleep, leaseMs = LEASE_MS, crash }: TokensOptions) {
  const running = new Set<Promise<unknown>>()
  const closing = new AbortController()

  const toRow = (owner: Owner, set: TokenSet, at: Instant) => ({
    sealed: vault.seal(JSON.stringify(set), about(owner)),
    renewAt: set.lifeMs === undefined ? null : Math.floor(at + 0.8 * set.lifeMs),
  })

  const unsealed = <S extends TokenSet>(owner: Owner, signIn: SignIn<S>, sealed: string): S =>
    signIn.parse(JSON.parse(vault.open(sealed, about(owner))))

  /** `session` and `token` throw Fatal('credentials'), RetryLater, or the signal's reason. */
  function credential<S extends TokenSet>(account: Account<S>) {
    const { connection, signIn } = account
    const by = randomUUID()
    const tried = vault.digest([account.clientSecret])
    let current: Held<S> | null = null
    let refused: string | null = null
    let pending: Promise<S> | null = null
    const dead = () =>
      needsReconnecting(
        connection,
        'the CRM no longer accepts the access it gave to unstall: it was taken back there, or its last renewal was ' +
          `lost on the way. Allow it again: unstall connect ${connection}.`,
      )
    const usable = ({ set, renewAt }: Held<S>) => set.token !== refused && (renewAt === null || clock() < renewAt)

    function opened({ sealed, renewAt }: StoredTokens): Held<S> | null {
      if (sealed === null) return null
      try {
        return { set: unsealed(account, signIn, sealed), renewAt }
      } catch (error) {
        // Where no person has to consent a new set costs one call.
        if (!signIn.consent) return null
        const why = error instanceof Fatal ? error.message : 'it is not what this version of unstall stores'
        throw needsReconnecting(
          connection,
          `its stored access cannot be read: ${why}. Set UNSTALL_SECRET_KEY (without a DATABASE_URL: the file ` +
            `secret.key in dataDir) to what it was, the same on every machine, or run: unstall connect ${connection}.`,
        )
      }
    }

    /** Others wait for the version to change; whoever died while it held the lease is replaced when that ends. */
    async function obtain(): Promise<S> {
      for (let waited = 0; ; waited += POLL_MS) {
        const row = await readTokens(db, connection)
        if (row.refused === tried) throw dead()
        const stored = opened(row)
        if (!stored && signIn.consent)
          throw new Fatal('credentials', `${connection} is not connected yet: run unstall connect ${connection}.`)
        const found = stored && usable(stored) ? stored : await renewed(row.version, stored?.set ?? null)
        if (found) {
          current = found
          return found.set
        }
        if (waited >= PATIENCE_MS) throw new RetryLater(`${connection}: its access is still being renewed.`, 5000)
        await sleep(POLL_MS, closing.signal)
      }
    }

    /** Null: another process renews. Never aborted: the answer may be the only copy of the next refresh token. */
    async function renewed(version: number, old: S | null): Promise<Held<S> | null> {
      if (!(await takeLease(db, connection, version, by, leaseMs))) return null
      try {
        const at = clock()
        const lost = signIn.consent && old?.refresh === undefined
        const fresh = lost ? 'refused' : await signIn.exchange(old?.refresh ?? null)
        if (fresh === 'refused') {
          if (await refuseTokens(db, connection, version, tried)) throw dead()
          return null
        }
        crash?.('token issued', connection)
        const set = { ...fresh, refresh: fresh.refresh ?? old?.refresh }
        const row = toRow(account, set, at)
        return (await stored(version, row)) ? { set, renewAt: row.renewAt } : null
      } catch (error) {
        // Where this fails as well, the lease ends by itself.
        await endLease(db, connection, by, error instanceof RetryLater ? error.afterMs : 0).catch(() => {})
        throw error
      }
    }

    /** Through a restart of the database, too. False: another process has stored a newer set. */
    async function stored(version: number, row: ReturnType<typeof toRow>): Promise<boolean> {
      for (let left = leaseMs; ; left -= STORE_RETRY_MS) {
        try {
          return await storeTokens(db, connection, version, row)
        } catch (error) {
          if (left <= 0) throw error
          await sleep(STORE_RETRY_MS, closing.signal)
        }
      }
    }

    async function session(signal: AbortSignal): Promise<S> {
      signal.throwIfAborted()
      if (current && usable(current)) return current.set
      if (!pending) {
        const work = obtain().finally(() => {
          pending = null
          running.delete(work)
        })
        work.catch(() => {}) // whoever waits gets it; if nobody does any more, it is only finished
        running.add(work)
        pending = work
      }
      return abortable(pending, signal)
    }

    return {
      session,
      token: async (signal: AbortSignal) => (await session(signal)).token,
      expired(token: string) {
        // A late refusal of an older one says nothing.
        if (token === current?.set.token) refused = token
      },
    }
  }

  return {
    credential,
    /** Null: nothing is stored. Throws where it cannot be read. */
    async stored<S extends TokenSet>(owner: Owner, signIn: SignIn<S>): Promise<S | null> {
      const { sealed } = await readTokens(db, owner.connection)
      return sealed === null ? null : unsealed(owner, signIn, sealed)
    },
    /** A new consent: whatever was stored or refused before is replaced. */
    async save(owner: Owner, set: TokenSet): Promise<void> {
      const { version } = await readTokens(db, owner.connection)
      if (!(await storeTokens(db, owner.connection, version, toRow(owner, set, clock())))) await this.save(owner, set)
    },
    /** Lets running renewals end: without being stored they would be lost. */
    async close(): Promise<void> {
      closing.abort()
      await Promise.allSettled(running)
    },
  }
}

function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const stop = () => reject(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  return promise
}
