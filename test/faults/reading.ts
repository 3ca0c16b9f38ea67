// Faults of what is read: 17 (more results than a search gives, all of one moment), 18 (records change while they are
// paged through), 19 (everything changed), 22 (records that make no sense) and 23 (values of any size and alphabet).
import type { Page } from '../../src/connector.ts'
import type { DealId, System } from '../../src/core/deal.ts'
import { Summary } from '../../src/report/summary.ts'
import { random } from '../../src/sandbox/random.ts'
import { quarantined } from '../../src/store/deals.ts'
import { type Crm, DAY, MONDAY, seedDeal, seedOf } from '../jobs/harness.ts'
import { part, type Result, type Scenario, type Trial } from './harness.ts'
import { company, type Virtual, virtual } from './virtual.ts'
import { wire } from './wire.ts'
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
    const { deals, dump } = await crm.look()
    const ids = deals.map(({ id }) => id)
    // When an answer or a date without history was given is when it was first seen, which may be by the preview: whether
    // a stage changed before or after that, the oracle, which knows nights only, cannot tell.
    const told = new Set(
      ids.filter((id) =>
        (['decision', 'decisionDue', 'parkedUntil'] as const).some((one) => dump.get(id)?.[crm.field(one)]),
      ),
    )
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
        if (doing === DOINGS[1] && told.has(id)) continue
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
  // The round over all ids that was under way comes to its end, the next one begins at once and does too.
  for (const days of [8, 7]) {
    await rig.at(time.clock() + days * DAY)
    await rig.night(crm, { kind: 'preview' })
  }
  const known = await database.db.selectFrom('deal').select(['id', 'gone']).execute()
  const live = (await crm.look()).deals.length
  const here = known.filter(({ gone }) => !gone).length
  const problems = here === live ? [] : [`${here} deals are known as alive, the CRM has ${live}`]
  const injected = `${done} changes, ${deleted.size} deletions`
  return { ...found, injected, problems: [...problems, ...found.problems] }
}

/** What stands in a field of a deal that makes no sense, and what belongs there. `odd`: it cannot be read as it is. */
type Sense = {
  readonly field: string
  readonly value: string | number | null
  readonly right: string | number
  odd: boolean
}
const SENSELESS: Readonly<Record<System, Readonly<Record<string, Sense>>>> = {
  hubspot: {
    'amount in words': { field: 'amount', value: 'a lot', right: '10000', odd: true },
    'no amount': { field: 'amount', value: null, right: '10000', odd: false },
    'stage that is none': { field: 'dealstage', value: 'no_such_stage', right: 'qualifiedtobuy', odd: true },
    'no stage': { field: 'dealstage', value: null, right: 'qualifiedtobuy', odd: true },
    'no pipeline': { field: 'pipeline', value: null, right: 'default', odd: true },
    'currency nobody knows': { field: 'deal_currency_code', value: 'gold', right: 'EUR', odd: true },
    'closes in 1601': { field: 'closedate', value: '1601-01-01T00:00:00Z', right: '2032-01-01T00:00:00Z', odd: true },
    'closes some day': { field: 'closedate', value: 'some day', right: '2032-01-01T00:00:00Z', odd: true },
    'owner beyond 2^53': { field: 'hubspot_owner_id', value: '9007199254740993', right: '51000003', odd: false },
  },
  salesforce: {
    'amount in words': { field: 'Amount', value: 'a lot', right: 10_000, odd: true },
    'amount as text': { field: 'Amount', value: '10000', right: 10_000, odd: true },
    'no amount': { field: 'Amount', value: null, right: 10_000, odd: false },
    'no stage': { field: 'StageName', value: null, right: 'Qualified to buy', odd: true },
    'no name': { field: 'Name', value: null, right: 'ODD no name', odd: true },
    'closes in 1601': { field: 'CloseDate', value: '1601-01-01', right: '2032-01-01', odd: true },
    'closes some day': { field: 'CloseDate', value: 'some day', right: '2032-01-01', odd: true },
  },
}
/** Records no CRM should send, put before the first one of every page. An id that JSON makes another one of. */
const NOT_A_RECORD = {
  hubspot: '{"id":9007199254740993,"properties":{"dealname":"x"}},null,42,{"properties":{}},',
  salesforce: '{"attributes":{"type":"Opportunity"},"Id":9007199254740993,"Name":"x"},{"Id":null},',
}

async function malformed(trial: Trial): Promise<Result> {
  const { system, seed, quick } = trial
  const kinds = Object.entries(SENSELESS[system])
  const made = world({ seed, deals: quick ? 80 : 1500 })
  const more = kinds.map(([kind]) => seedDeal(`ODD ${kind}`, { closeDate: '2032-01-01', now: made.crm.now }))
  let strange = 0
  const edit = (body: string) =>
    body.replace(/"(?:results|records)":\[(?=\{)/, (begin) => {
      strange += 1
      return begin + NOT_A_RECORD[system]
    })
  const pages = /objects\/[^/]+\/deals(?:\?|\/search)|FROM(?:\+|%20)Opportunity(?:\+|%20)/
  const through = async (url: string) => {
    const line = await wire(url, ({ path }) => (pages.test(path) ? { edit } : null))
    trial.onEnd(() => line.stop())
    return line.url
  }
  const rig = await company(trial, made, { crms: [{ system, through }], more })
  const { crm, database } = rig
  const { deals } = await crm.look()
  const idOf = new Map(kinds.map(([kind]) => [kind, deals.find(({ name }) => name === `ODD ${kind}`)?.id ?? '']))
  const put = async (which: 'value' | 'right') => {
    for (const [kind, sense] of kinds)
      await crm.actOn(idOf.get(kind) ?? '', 'set', { field: sense.field, value: sense[which], by: 'import' })
  }
  const problems: string[] = []
  const held = async () => new Map((await quarantined(database.db, crm.name)).map((one) => [one.id, one.problem]))

  await rig.next()
  await put('value')
  await rig.at(rig.time.clock() + 60_000)
  const [night] = await rig.firstNight()
  const listed = await held()
  const touched = new Set((await crm.journal()).map(({ id }) => id))
  for (const [kind, sense] of kinds) {
    const id = idOf.get(kind) ?? ''
    if (listed.has(id) !== sense.odd) problems.push(`${kind}: ${listed.has(id) ? listed.get(id) : 'is not listed'}`)
    if (touched.has(id) === sense.odd) problems.push(`${kind}: ${sense.odd ? 'was written' : 'was not written'}`)
  }
  const { unreadable } = Summary.parse(night?.summary)
  if (unreadable < kinds.filter(([, { odd }]) => odd).length) problems.push(`the report tells of ${unreadable}`)
  if (strange === 0) problems.push('no page had a strange record')

  for (let next = await rig.next(); next !== null; next = await rig.next()) {
    if (next === 1) await put('right')
    await rig.at(rig.time.clock() + 60_000)
    await rig.nights()
  }
  const still = await held()
  for (const [kind] of kinds) if (still.has(idOf.get(kind) ?? '')) problems.push(`${kind}: is right again, but listed`)
  const found = await rig.judge()
  const note = [...listed.values()].slice(0, 4).join('; ')
  const injected = `${kinds.length} deals, ${strange} pages`
  return { ...found, injected, problems: [...problems, ...found.problems], note }
}

export const reading: readonly Scenario[] = [
  {
    fault: 17,
    title: '10,000 results and more, of one moment',
    async run(trial) {
      const counts = trial.quick ? [10_001] : [10_000, 10_001, 25_000]
      const since = await part(trial, before)
      const problems: string[] = []
      for (const count of counts) problems.push(...(await part(trial, (own) => many(own, since, count))))
      const injected = `${counts.join(', ')} deals`
      return { injected, dup: 0, lost: problems.length, wrong: 0, problems }
    },
  },
  { fault: 18, title: 'edited and deleted while paging', run: whilePaging },
  { fault: 22, title: 'records that make no sense', run: malformed },
]
