// Deals that vanish are found within a week, whatever is killed meanwhile; a deal that is there is never called gone.
import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import { census } from '../../jobs/census.ts'
import type { Connector } from '../../src/connector.ts'
import type { Deal, DealId } from '../../src/core/deal.ts'
import { ensureConnection, getConnection, updateConnection } from '../../src/store/connections.ts'
import { quarantine, quarantined, saveKnown } from '../../src/store/deals.ts'
import type { Run } from '../../src/store/runs.ts'
import type { Db } from '../../src/store/schema.ts'
import { homes } from '../homes.ts'
import { known, startedRun } from '../store/fixtures.ts'
import { DAY, firstNight, MONDAY, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { startProgram } from './program.ts'

const never = new AbortController().signal
const open = async () => {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  return home
}

/** A CRM of nothing but ids. `hidden`: not listed, but there. */
function crmOf(ids: readonly number[], size: number) {
  const [live, hidden, held] = [new Set(ids.map(String)), new Set<DealId>(), new Set<DealId>()]
  const crm = { live, hidden, held, calls: 0, pages: 0, dieAt: Infinity, order: (page: DealId[]) => page }
  const called = () => {
    crm.calls += 1
    if (crm.calls >= crm.dieAt) throw new Error('killed')
  }
  const connector = {
    async *census(after) {
      const listed = [...live].filter((id) => !hidden.has(id) && Number(id) > Number(after ?? -1)).sort(byNumber)
      for (let n = 0; n === 0 || n < listed.length; n += size) {
        called()
        crm.pages += 1
        const page = listed.slice(n, n + size)
        yield { ids: crm.order(page), rest: listed.length - n - page.length }
      }
    },
    async read(ids) {
      if (ids.length > 0) called()
      const { deal } = known('1')
      const look = (id: DealId) => (held.has(id) ? 'unreadable' : live.has(id) ? deal : 'gone')
      return new Map<DealId, Deal | 'gone' | 'unreadable'>(ids.map((id) => [id, look(id)]))
    },
  } satisfies Pick<Connector, 'census' | 'read'>
  return { ...crm, crm, connector: connector as unknown as Connector }
}
const byNumber = (a: DealId, b: DealId) => Number(a) - Number(b)

/** A connection that has read all of them on MONDAY. */
async function account(db: Db, name: string, ids: readonly number[]) {
  await ensureConnection(db, name, 'hubspot')
  await updateConnection(db, name, { census: { since: MONDAY, after: null } })
  const run: Run = await startedRun(db, name)
  const some = ids.map((id) => known(String(id), {}, name))
  if (some.length > 0) await saveKnown(db, 'r', some)
  const warnings: string[] = []
  const log = { debug() {}, info() {}, warn: (_: object, said: string) => void warnings.push(said), error() {} }
  const place = async () => (await getConnection(db, name))?.census ?? { since: 0, after: null }
  const night = async (connector: Connector, day: number) => {
    const ctx = { db, log, progress: () => {} } as unknown as Parameters<typeof census>[0]
    const unread = new Set((await quarantined(db, name)).flatMap((one) => (one.name === null ? [one.id] : [])))
    await census(ctx, run, connector, { place: await place(), unread, now: MONDAY + day * DAY }, never)
  }
  const gone = async () => {
    const rows = db.selectFrom('deal').where('connection', '=', name).where('gone', '=', true).select('id')
    return (await rows.execute()).map(({ id }) => id).sort(byNumber)
  }
  return { night, place, gone, warnings, run }
}

const id = fc.oneof(
  fc.integer({ min: 1, max: 30 }),
  fc.integer({ min: 90, max: 130 }),
  fc.integer({ min: 995, max: 12000 }),
)
const ids = fc.uniqueArray(id, { minLength: 1, maxLength: 70 })

it('in parts, killed at any call: exactly the deleted ones are found, within a week each', async () => {
  const { db } = (await open()).database
  let n = 0
  const day = fc.integer({ min: 1, max: 30 })
  const world = fc.record({
    ids,
    size: fc.integer({ min: 1, max: 9 }),
    days: fc.array(day, { minLength: 70, maxLength: 70 }),
    unseen: fc.uniqueArray(id, { maxLength: 20 }),
    deaths: fc.array(fc.integer({ min: 1, max: 8 }), { maxLength: 8 }),
  })
  await fc.assert(
    fc.asyncProperty(world, async ({ ids, size, days, unseen, deaths }) => {
      const { crm, live, hidden, held, connector } = crmOf([...new Set([...ids, ...unseen])], size)
      const { night, place, gone } = await account(db, `hub${n++}`, ids)
      // Some the CRM will not show, some its list lacks; neither is gone.
      for (const [at, one] of ids.entries()) if (at % 9 === 4) hidden.add(String(one))
      for (const [at, one] of ids.entries()) if (at % 9 === 5) held.add(String(one))
      const deleted = new Map<DealId, number>()
      for (let today = 1; today <= 21; today++) {
        for (const [at, one] of ids.entries())
          if (days[at] === today) {
            live.delete(String(one))
            if (!held.has(String(one))) deleted.set(String(one), today)
          }
        crm.dieAt = crm.calls + (deaths.pop() ?? Infinity)
        for (let done = false; !done; crm.dieAt = Infinity)
          done = await night(connector, today).then(
            () => true,
            () => false,
          )
        const found = await gone()
        expect(found.filter((one) => !deleted.has(one))).toEqual([])
        if (today % 7 > 0) continue
        const due = [...deleted].flatMap(([one, since]) => (since < today - 5 ? [one] : []))
        expect(due.filter((one) => !found.includes(one))).toEqual([])
        expect(await place()).toEqual({ since: MONDAY + today * DAY, after: null })
      }
    }),
    { numRuns: 15 },
  )
})

it('an equal part a night; what nights did not do is caught up, and nothing is done twice a week', async () => {
  const { db } = (await open()).database
  const ids = Array.from({ length: 140 }, (_, n) => n + 1)
  const { crm, connector } = crmOf(ids, 2)
  const { night, place } = await account(db, 'hub', ids)
  const pages = async (day: number) => {
    const before = crm.pages
    await night(connector, day)
    return crm.pages - before
  }
  // The first night has just read all.
  expect(await pages(0.1)).toBe(0)
  expect([await pages(1), await pages(2.01), await pages(5), await pages(6.99)]).toEqual([10, 10, 17, 33])
  expect(await place()).toEqual({ since: MONDAY + 7 * DAY, after: null })
  expect([await pages(7.2), await pages(8), await pages(8)]).toEqual([0, 10, 9])
  // Back from a long holiday.
  expect([await pages(60), await pages(60), await pages(61)]).toEqual([51, 0, 10])
})

it('where so many are missing that they are asked for in parts, a kill goes on behind the last part', async () => {
  const { db } = (await open()).database
  const ids = Array.from({ length: 3000 }, (_, n) => 7 * n + 1)
  const { crm, live, connector } = crmOf(ids, 9)
  const { night, place, gone } = await account(db, 'hub', ids)
  live.clear()
  crm.dieAt = 3
  await expect(night(connector, 1)).rejects.toThrow('killed')
  expect(await gone()).toHaveLength(2000)
  expect(await place()).toEqual({ since: MONDAY, after: String(ids[1999]) })
  crm.dieAt = Infinity
  await night(connector, 1)
  expect(await gone()).toEqual(ids.map(String))
})

it('ids in another order than theirs: nothing of that page is compared, and the log says so', async () => {
  const { db } = (await open()).database
  const ids = Array.from({ length: 40 }, (_, n) => n + 1)
  for (const [name, order] of [
    ['backwards', (page: DealId[]) => (page[0] === '21' ? page.toReversed() : page)],
    ['again', (page: DealId[]) => (page[0] === '21' ? ['20', ...page] : page)],
  ] as const) {
    const { crm, live, connector } = crmOf(ids, 5)
    const { night, place, gone, warnings } = await account(db, name, ids)
    for (const one of ['7', '23', '37']) live.delete(one)
    // Pages go 0-4, 5-10, 11-15, …
    live.add('0')
    crm.order = order
    await night(connector, 7)
    expect(warnings).toHaveLength(1)
    expect(await gone()).toEqual(['7'])
    expect(await place()).toEqual({ since: MONDAY, after: '20' })
    crm.order = (page) => page
    await night(connector, 8)
    expect(await gone()).toEqual(['7', '23', '37'])
  }
})

it('records that could never be read are let go when they vanish', async () => {
  const { db } = (await open()).database
  const { live, connector } = crmOf([1, 2, 50, 100, 101], 2)
  const { night } = await account(db, 'hub', [1, 2, 101])
  const records = ['3', '50', '60', '100', '777'].map((deal) => ({ deal, problem: 'no stage' }))
  await quarantine(
    db,
    'hub',
    [...records, { deal: '2', problem: 'no name' }, { deal: '1', problem: 'no name' }],
    MONDAY,
  )
  live.delete('2')
  await night(connector, 7)
  expect((await quarantined(db, 'hub')).map((one) => one.id).sort(byNumber)).toEqual(['1', '50', '100'])
})

it('hubspot: a deal that was deleted is gone within the week of the first night', async () => {
  const home = await open()
  const crm = await startCrm('hubspot', seedOf(['stays', 'goes'].map((name) => seedDeal(name))))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const program = await startProgram({ ...home, crms: [crm] })
  onTestFinished(() => program.close())
  const { db } = program.ctx
  await firstNight(program, crm, MONDAY)
  expect(await getConnection(db, crm.name)).toMatchObject({ census: { since: MONDAY, after: null } })
  await crm.act('goes', 'delete')
  await crm.clock(MONDAY + DAY)
  await program.night(crm, MONDAY + DAY)
  expect(await getConnection(db, crm.name)).toMatchObject({ census: { since: MONDAY + 7 * DAY, after: null } })
  const rows = db.selectFrom('deal').select(['name', 'gone']).orderBy('name')
  expect(await rows.execute()).toEqual([
    { name: 'goes', gone: true },
    { name: 'stays', gone: false },
  ])
})
