// Faults of what is read: 17 (more results than a search gives, all of one moment), 18 (records change while they are
// paged through), 19 (everything changed), 22 (records that make no sense) and 23 (values of any size and alphabet).
import type { Page } from '../../src/connector.ts'
import type { DealId } from '../../src/core/deal.ts'
import { random } from '../../src/sandbox/random.ts'
import { type Crm, DAY, MONDAY, seedDeal, seedOf } from '../jobs/harness.ts'
import type { Result, Scenario, Trial } from './harness.ts'
import { company, type Virtual, virtual } from './virtual.ts'
import { world } from './world.ts'

/** All alike and alive, changed at one and the same moment. */
const alike = (count: number) =>
  seedOf(Array.from({ length: count }, (_, at) => seedDeal(`deal ${at}`, { idle: 3, closeDate: '2032-01-01' })))
const { signal } = new AbortController()

/** Pages of a pull; `most`: broken off after so many, and gone on with from the last cursor. */
async function pulled({ crm, time, connector }: Virtual, cursor: string | null, most = Number.POSITIVE_INFINITY) {
  const all: Page[] = []
  const source = await connector(crm.name)
  const some = async (from: string | null, count: number) => {
    for await (const page of source.pull(from, time.clock(), signal)) {
      all.push(page)
      if (--count === 0) break
    }
  }
  await time.run(some(cursor, most))
  if (Number.isFinite(most)) await time.run(some(all.at(-1)?.cursor ?? cursor, Number.POSITIVE_INFINITY))
  return all
}
const idsOf = (pages: readonly Page[]) => new Set(pages.flatMap(({ deals }) => deals.map(({ id }) => id)))

/** The cursor of a pull that ended before any of these changed. */
async function before(trial: Trial): Promise<string | null> {
  const rig = await virtual(trial, { crms: [{ system: trial.system, seed: alike(1) }] })
  const cursor = (await pulled(rig, null)).at(-1)?.cursor ?? null
  return cursor?.replace(/"since":\d+/, `"since":${MONDAY - 4 * DAY}`) ?? null
}

/** More than a search may give, whole and broken off. */
async function many(trial: Trial, since: string | null, count: number): Promise<string[]> {
  // The local copy holds them as they are: nothing but the search is at work.
  const same = { pipelineId: 'default', stageId: 'qualifiedtobuy', amount: 10_000, closeDate: '2032-01-01' }
  const known = async (ids: readonly DealId[]) => new Map<DealId, typeof same>(ids.map((id) => [id, same]))
  const rig = await virtual(trial, { crms: [{ system: trial.system, seed: alike(count) }], known })
  const whole = idsOf(await pulled(rig, since)).size
  // Behind the last page that a search gives.
  const broken = idsOf(await pulled(rig, since, trial.system === 'hubspot' ? 50 : 5)).size
  return [
    ...(whole === count ? [] : [`${whole} of ${count} deals were read`]),
    ...(broken === count ? [] : [`${broken} of ${count} deals were read, broken off in between`]),
    ...rig.passed.flatMap(({ path, status }) => (status >= 400 ? [`${count} deals: ${path} answered ${status}`] : [])),
  ]
}

/** What people do to deals while somebody reads them; `deal`: its id. */
type Doing = (crm: Crm, deal: string) => Promise<void>
const DOINGS: readonly Doing[] = [
  (crm, deal) => crm.actOn(deal, 'buyer-reply'),
  (crm, deal) => crm.actOn(deal, 'move-stage', { to: crm.stage('decisionmakerboughtin') }),
  (crm, deal) => crm.actOn(deal, 'set', { field: crm.field('amount'), value: crm.system === 'hubspot' ? '777' : 777 }),
  (crm, deal) => crm.actOn(deal, 'set', { field: crm.field('nextStep'), value: 'a word' }),
  (crm, deal) => crm.actOn(deal, 'delete'),
]

async function whilePaging(trial: Trial): Promise<Result> {
  const { system, seed, quick } = trial
  const made = world({ seed, deals: quick ? 250 : 2500 })
  const rig = await company(trial, made, { crms: [{ system, sandbox: { latencyMs: 150 } }] })
  const { crm, time, database } = rig
  const { next: chance } = random(`while paging ${seed}`)
  const planned = new Set(made.nights.flatMap(({ acts }) => acts.map(({ deal }) => deal)))
  const deleted = new Set<string>()
  let done = 0
  for (let night = await rig.next(); night !== null; night = await rig.next()) {
    const { deals } = await crm.look()
    const ids = deals.map(({ id }) => id)
    // The world has plans for the others.
    const free = new Set(deals.flatMap(({ id, name }) => (planned.has(name) ? [] : id)))
    let over = false
    const people = async () => {
      while (!over) {
        await time.sleep(60)
        const id = ids[Math.floor(chance() * ids.length)] ?? ''
        // Few are deleted.
        const doing = DOINGS[Math.floor(chance() * (chance() < 0.3 ? 5 : 4))]
        if (deleted.has(id) || !doing || (doing === DOINGS[4] && !free.has(id))) continue
        if (doing === DOINGS[4]) deleted.add(id)
        await doing(crm, id)
        done += 1
      }
    }
    // Whoever comes while a preview reads is met by the night after it, which goes on from the preview's cursor: what
    // the pages missed must be found.
    const busy = people()
    await rig.night(crm, { kind: 'preview' })
    over = true
    await time.run(busy)
    await rig.at(time.clock() + 60_000)
    await (night === 0 ? rig.firstNight() : rig.nights())
  }
  const found = await rig.judge()
  const known = await database.db.selectFrom('deal').select(['id', 'gone']).execute()
  const live = (await crm.look()).deals.length
  const here = known.filter(({ gone }) => !gone).length
  const problems = here === live ? [] : [`${here} deals are known as alive, the CRM has ${live}`]
  const injected = `${done} changes, ${deleted.size} deletions`
  return { ...found, injected, problems: [...problems, ...found.problems] }
}

export const reading: readonly Scenario[] = [
  {
    fault: 17,
    title: '10,000 results and more, of one moment',
    async run(trial) {
      const counts = trial.quick ? [10_001] : [10_000, 10_001, 25_000]
      const since = await before(trial)
      const problems: string[] = []
      for (const count of counts) problems.push(...(await many(trial, since, count)))
      const injected = `${counts.join(', ')} deals`
      return { injected, dup: 0, lost: problems.length, wrong: 0, problems }
    },
  },
  { fault: 18, title: 'edited and deleted while paging', run: whilePaging },
]
