// The end of a night's reading: looks for deals that vanished. Within a week every deal known is compared once with the ids
// the CRM has, an equal part each night, page by page; the place is stored, so that a killed worker goes on there.
import type { Connector } from '../src/connector.ts'
import type { DealId, Instant } from '../src/core/deal.ts'
import { updateConnection } from '../src/store/connections.ts'
import { liveIds, markGone, release } from '../src/store/deals.ts'
import { fenced, progressed, type Run } from '../src/store/runs.ts'
import type { Census } from '../src/store/schema.ts'
import type { JobContext } from './context.ts'

const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS
/** So many pages go by before the place is stored: what they lack is asked for together, and a kill costs no more. */
const PAGES = 20
/** Ids that are compared, and asked for, at once. */
const TOGETHER = 2000

interface Night {
  readonly place: Census
  /** Records in quarantine that were never readable, nor met this night: nobody asks for them by id. */
  readonly unread: ReadonlySet<DealId>
  /** The CRM's clock. */
  readonly now: Instant
}

/** Tonight's part: what is left of the round, shared out evenly over the nights that are left of its week. Gone is only what
 *  the CRM says is gone when asked by id. */
export async function census(ctx: JobContext, run: Run, connector: Connector, night: Night, signal: AbortSignal) {
  const { unread, now } = night
  const { since, after } = night.place
  if (now - since < DAY_MS / 2) return
  const nights = Math.max(1, Math.round((since + WEEK_MS - now) / DAY_MS) + 1)
  const { id, connection } = run
  let [missing, vanished]: [DealId[], DealId[]] = [[], []]
  let [at, pages, read, part] = [after ?? '', 0, 0, 0]

  async function settle(reached: Census) {
    const fresh = await connector.read(missing, signal)
    const gone = missing.filter((one) => fresh.get(one) === 'gone')
    await fenced(ctx.db, run, async (trx) => {
      await markGone(trx, connection, gone)
      await release(trx, connection, [...gone, ...vanished])
      await updateConnection(trx, connection, { census: reached })
      await progressed(trx, run)
    })
    missing = []
    vanished = []
  }

  for await (const { ids, rest } of connector.census(after, signal)) {
    if (!ids.every((one, n) => isBehind(one, ids[n - 1] ?? at))) {
      ctx.log.warn({ run: id, connection, after: at }, 'ids come in another order than theirs: not compared')
      return settle({ since, after: at || null })
    }
    const last = rest === 0
    const [from, until] = [at, last ? null : (ids.at(-1) ?? at)]
    const live = new Set(ids)
    for (let more = true; more; ) {
      const ours = await liveIds(ctx.db, connection, { after: at, until, limit: TOGETHER })
      missing.push(...ours.filter((one) => !live.has(one)))
      at = ours.at(-1) ?? at
      more = ours.length === TOGETHER
      if (missing.length >= TOGETHER) await settle({ since, after: at })
    }
    at = until ?? at
    for (const one of unread)
      if (isBehind(one, from) && !(until !== null && isBehind(one, until)) && !live.has(one)) vanished.push(one)
    if (pages === 0) part = Math.ceil((ids.length + rest) / nights)
    pages += 1
    read += ids.length
    ctx.progress({ run: id, connection, step: 'census', done: read, total: null })
    const over = last || read >= part
    // The next round begins when the week of this one is over.
    if (last) await settle({ since: Math.max(since + WEEK_MS, now), after: null })
    else if (over || pages % PAGES === 0) await settle({ since, after: at })
    if (over) return
  }
}

/** Ids as both CRMs count them up: a longer one is behind a shorter one, of one length it goes by the bytes. */
const isBehind = (id: DealId, other: DealId) => (id.length === other.length ? id > other : id.length > other.length)
