// Step 1 of a night: reads what changed in the CRM, page by page; each page is stored together with its cursor, so a
// killed worker goes on where the last stored page ended. Then it looks for deals that vanished.
import type { Page } from '../src/connector.ts'
import type { DealId, Known } from '../src/core/deal.ts'
import { asLastKnown, fieldsSince, isBlind } from '../src/core/fields.ts'
import { observe } from '../src/core/movement.ts'
import { Fatal } from '../src/errors.ts'
import { getConnection, updateConnection } from '../src/store/connections.ts'
import { getDeals, markGone, markSeen, quarantine, quarantined, release, saveKnown } from '../src/store/deals.ts'
import { ledgerForDeals } from '../src/store/ledger.ts'
import { fenced, nextStep, progressed, type Run } from '../src/store/runs.ts'
import { census } from './census.ts'
import type { JobContext } from './context.ts'

/** The first night in an account is a preview: what was confirmed for another one must not stand for it. */
const RENAME = 'Give the new one a name of its own in the configuration.'

export async function pull(ctx: JobContext, run: Run, signal: AbortSignal): Promise<void> {
  const connector = await ctx.connector(run.connection)
  const stored = await getConnection(ctx.db, run.connection)
  const now = run.options.readAt ?? run.now
  const { reference, back } = fieldsSince(stored?.reference ?? null, await connector.reference(signal), now)
  const { account } = stored?.reference ?? {}
  if (account && reference.account && account !== reference.account)
    throw new Fatal(
      'data',
      `${run.connection} is another account than before: ${reference.account}, not ${account}. ${RENAME}`,
    )
  const cursor = back ? null : (stored?.cursor ?? null)
  await fenced(ctx.db, run, (trx) => updateConnection(trx, run.connection, { reference, cursor, circuit: null }))
  const odd = await quarantined(ctx.db, run.connection)
  const held = new Set(odd.map(({ id }) => id))
  const unread = new Set(odd.flatMap(({ id, name }) => (name === null ? [id] : [])))
  let further = false
  for await (const page of joined(connector.pull(cursor, now, signal))) {
    await fenced(ctx.db, run, async (trx) => {
      const evidence = new Map(page.evidence.map((e) => [e.deal, e]))
      const deals = new Map(page.deals.map((d) => [d.id, d]))
      const before = await getDeals(trx, run.connection, [...new Set([...deals.keys(), ...evidence.keys()])])
      const ledgers = isBlind(reference) ? await ledgerForDeals(trx, run.connection, [...deals.keys()]) : new Map()
      const known: Known[] = []
      const unchanged: DealId[] = []
      for (const id of new Set([...deals.keys(), ...evidence.keys()])) {
        const previous = before.get(id)?.known ?? null
        const seen = deals.get(id)
        const deal = seen ? asLastKnown(seen, previous?.deal, ledgers.get(id) ?? [], reference) : previous?.deal
        // Evidence of a deal never seen (closed long ago): nothing to judge. Of one that is gone: its end, not its return.
        if (deal === undefined || (!seen && before.get(id)?.gone)) continue
        const ref = { connection: run.connection, id }
        const merged = observe(previous, { ref, deal, evidence: evidence.get(id) ?? null }, now)
        if (merged === previous && !before.get(id)?.gone) unchanged.push(id)
        else known.push(merged)
      }
      await saveKnown(trx, run.id, known)
      await markSeen(trx, run.id, run.connection, unchanged)
      await markGone(trx, run.connection, page.gone)
      const understood = [...deals.keys(), ...page.gone]
      if (understood.some((id) => held.has(id))) await release(trx, run.connection, understood)
      await quarantine(trx, run.connection, page.unreadable, ctx.clock())
      for (const { deal } of page.unreadable) {
        held.add(deal)
        unread.delete(deal)
      }
      await updateConnection(trx, run.connection, { cursor: page.cursor })
      // What this run has seen before gets it no further: starts that die must come to an end.
      const seen = [...known.map(({ ref }) => ref.id), ...unchanged]
      if (further || seen.every((id) => before.get(id)?.seenRun === run.id)) return
      await progressed(trx, run)
      further = true
    })
    ctx.progress({ run: run.id, connection: run.connection, step: 'pull', done: page.read, total: page.total })
  }
  const place = stored?.census ?? null
  if (place !== null) await census(ctx, run, connector, { place, unread, now }, signal)
  await fenced(ctx.db, run, async (trx) => {
    if (place === null) await updateConnection(trx, run.connection, { census: { since: now, after: null } })
    await nextStep(trx, run, 'decide')
  })
}

/** Small pages together, as one with the cursor of the last: each costs a transaction. A failure comes after what was read
 *  before it; a kill costs the reading of so many deals again, be they of interest or not. */
async function* joined(pages: AsyncIterable<Page>): AsyncGenerator<Page> {
  let held: Page | null = null
  /** Of what is held. Pages that speak of the same deal stay apart: which of them came later must stay known. */
  const ids = new Set<DealId>()
  /** How much was read before what is held. */
  let stored = 0
  try {
    for await (const page of pages) {
      const goesOn = held !== null && held.read <= page.read
      const own = idsOf(page)
      if (held !== null && goesOn && page.read - stored <= TOGETHER && !own.some((id) => ids.has(id))) {
        held = {
          ...page,
          ...{ deals: [...held.deals, ...page.deals], evidence: [...held.evidence, ...page.evidence] },
          ...{ gone: [...held.gone, ...page.gone], unreadable: [...held.unreadable, ...page.unreadable] },
        }
      } else {
        if (held !== null) yield held
        // A second walk counts anew.
        stored = held !== null && goesOn ? held.read : 0
        held = page
        ids.clear()
      }
      for (const id of own) ids.add(id)
    }
  } catch (error) {
    if (held !== null) yield held
    throw error
  }
  if (held !== null) yield held
}
const TOGETHER = 500
const idsOf = ({ deals, evidence, gone, unreadable }: Page): readonly DealId[] => [
  ...[...deals.map(({ id }) => id), ...gone],
  ...[...evidence, ...unreadable].map(({ deal }) => deal),
]
