// Who may look and who may act. On loopback whoever sits at this machine; anywhere else somebody with a password, or whom
// a reverse proxy at a trusted address vouches for. A visit is a signed cookie, so that every web process takes it.
import { createHmac, hkdfSync, randomUUID, timingSafeEqual } from 'node:crypto'
import { BlockList, isIPv6 } from 'node:net'
import type { Context } from 'hono'
import { getCookie, setCookie } from 'hono/cookie'
import { z } from 'zod'
import type { Instant } from '../core/deal.ts'
import { loopback } from '../core/text.ts'
import type { Role } from './layout.ts'
import { isPassword } from './password.ts'

export interface AccessOptions {
  /** Hashes of the passwords; null: there is none. */
  readonly operator: string | null
  readonly viewer: string | null
  /** `from`: addresses and networks (CIDR). `operators`: e-mail addresses in lower case. */
  readonly proxy: {
    readonly header: string
    readonly from: readonly string[]
    readonly operators: readonly string[]
  } | null
  /** Origin people open; https: cookies are marked Secure. */
  readonly url: string | null
  /** What cookies are signed with, the same on every machine. */
  readonly secret: string
  readonly clock: () => Instant
}

const Visit = z.object({ id: z.string(), role: z.enum(['viewer', 'operator']).nullable(), until: z.number() })
/** `role` null: nobody yet. `name`: whom the proxy named. */
export type Visit = Omit<z.infer<typeof Visit>, 'until'> & { readonly name: string | null }

const VISIT_MS = 12 * 3_600_000
const WINDOW_MS = 15 * 60_000
const ATTEMPTS = { ofAddress: 10, ofAll: 100 }
const MOST_ADDRESSES = 10_000
const LONGEST_NAME = 200

export type Access = ReturnType<typeof createAccess>

export function createAccess({ operator, viewer, proxy, url, secret, clock }: AccessOptions) {
  const open = operator === null && viewer === null && proxy === null
  const passwords = [
    ['operator', operator],
    ['viewer', viewer],
  ] as const
  // Another password ends every visit.
  const key = Buffer.from(hkdfSync('sha256', secret, `${operator} ${viewer}`, 'unstall web', 32))
  const sign = (text: string) => createHmac('sha256', key).update(text).digest('base64url')
  const secure = url?.startsWith('https:') === true
  const cookie = secure ? '__Host-unstall' : 'unstall'
  const trusted = new BlockList()
  for (const from of proxy?.from ?? []) {
    const [address = '', bits] = from.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    if (bits === undefined) trusted.addAddress(address, family)
    else trusted.addSubnet(address, Number(bits), family)
  }
  const limit = limiter(clock)
  /** One at a time: each takes 32 MB and a quarter of a second. */
  let checking: Promise<unknown> = Promise.resolve()

  function read(text: string | undefined): Visit | null {
    const [payload = '', signature = ''] = text?.split('.') ?? []
    if (!same(signature, sign(`visit ${payload}`))) return null
    const { until, ...visit } = Visit.parse(JSON.parse(Buffer.from(payload, 'base64url').toString()))
    return until > clock() ? { ...visit, name: null } : null
  }

  function begin(c: Context, role: Role | null): Visit {
    const visit = { id: randomUUID(), role, until: clock() + VISIT_MS }
    const payload = Buffer.from(JSON.stringify(visit)).toString('base64url')
    const text = `${payload}.${sign(`visit ${payload}`)}`
    setCookie(c, cookie, text, { httpOnly: true, sameSite: 'Lax', secure, path: '/', maxAge: VISIT_MS / 1000 })
    return { ...visit, name: null }
  }

  /** The person the proxy vouches for; null: it says nothing, or it is not the proxy. */
  function vouched(c: Context): string | null {
    const name = proxy === null ? undefined : c.req.header(proxy.header)?.trim().toLowerCase()
    const address = addressOf(c)
    const known = address !== null && trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
    return name && known && name.length <= LONGEST_NAME && !/[,\s]/.test(name) ? name : null
  }

  const token = ({ id, name }: Visit) => sign(`form ${id} ${name}`)

  return {
    /** No password and no proxy: only for loopback. */
    open,
    /** Is there a password to sign in with? */
    signsIn: operator !== null || viewer !== null,
    /** Nobody is asked, and it does not come from this machine: through a proxy, or the address in the browser is a name
     *  of somebody else that leads here (DNS rebinding). Ports may differ, as through a tunnel. */
    foreign: (c: Context) => open && (throughProxy(c) || !loopback(hostOf(c).replace(/:\d+$/, ''))),
    /** The cookie's visit, or a new one of nobody. */
    visit(c: Context): Visit {
      const stored = read(getCookie(c, cookie)) ?? begin(c, null)
      const name = vouched(c)
      if (name !== null) return { ...stored, name, role: proxy?.operators.includes(name) ? 'operator' : 'viewer' }
      return open ? { ...stored, role: 'operator' } : stored
    },
    /** What every form of this visit carries. */
    token,
    /** A form of one of our own pages, sent by this very visit. */
    ownForm(c: Context, visit: Visit, given: unknown): boolean {
      const site = c.req.header('sec-fetch-site')
      if (site !== undefined && site !== 'same-origin') return false
      const origin = c.req.header('origin')
      const from = origin === undefined ? null : URL.parse(origin)?.host
      if (from !== null && from !== hostOf(c) && origin !== url) return false
      return typeof given === 'string' && same(given, token(visit))
    },
    /** `later`: too many attempts, none was made; so many milliseconds to wait. */
    async signIn(c: Context, password: string): Promise<Visit | null | { readonly later: number }> {
      const address = addressOf(c) ?? ''
      const later = limit.take(address)
      if (later !== null) return { later }
      const check = checking.then(async () => {
        let role: Role | null = null
        for (const [of, hash] of passwords) if (hash && (await isPassword(password, hash))) role ??= of
        return role
      })
      checking = check.catch(() => {})
      const role = await check
      if (role === null) return null
      limit.giveBack(address)
      return begin(c, role)
    },
    signOut: (c: Context) => begin(c, null),
  }
}

function same(given: string, right: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}

const hostOf = (c: Context): string => (c.req.header('host') ?? new URL(c.req.url).host).toLowerCase()

/** A proxy says so; one that does not is like whoever uses this machine. */
export const throughProxy = (c: Context): boolean =>
  Object.keys(c.req.header()).some((name) => /^(x-forwarded|forwarded$|via$|x-real-ip$)/.test(name))

const Socket = z.object({ incoming: z.object({ socket: z.object({ remoteAddress: z.string() }) }) })
/** Of the other end of the connection, whatever headers say; null: not from a socket. */
export function addressOf({ env }: Context): string | null {
  const found = Socket.safeParse(env).data?.incoming.socket.remoteAddress
  return found?.replace(/^::ffff:(?=\d+\.)/i, '') ?? null
}

/** Failed attempts per address and of all, in windows of 15 minutes. One that succeeds is given back. */
function limiter(clock: () => Instant) {
  const counts = new Map<string, { count: number; until: Instant }>()
  const ALL = 'all'
  const of = (who: string) => {
    const now = clock()
    const found = counts.get(who)
    if (found && found.until > now) return found
    if (counts.size >= MOST_ADDRESSES) for (const [one, { until }] of counts) if (until <= now) counts.delete(one)
    const fresh = { count: 0, until: now + WINDOW_MS }
    counts.set(who, fresh)
    return fresh
  }
  return {
    take(address: string): number | null {
      const all = of(ALL)
      if (all.count >= ATTEMPTS.ofAll) return all.until - clock()
      const one = of(address)
      if (one.count >= ATTEMPTS.ofAddress) return one.until - clock()
      one.count += 1
      all.count += 1
      return null
    },
    giveBack(address: string): void {
      for (const who of [address, ALL]) of(who).count -= 1
    },
  }
}
