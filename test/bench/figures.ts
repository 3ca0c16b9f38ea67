// What the program itself costs, without a CRM: the pure core (judge and plan, deals a second on one core) and the step that
// reads, compares and stores, fed by a generator instead of HTTP. A process of its own, one for each figure.
import { openNight } from '../../jobs/nightly.ts'
import { pull } from '../../jobs/pull.ts'
import type { Connector, Page } from '../../src/connector.ts'
import type { Deal, Evidence, Known } from '../../src/core/deal.ts'
import { observe } from '../../src/core/observe.ts'
import { judged, noTotals, planContext, planDeal } from '../../src/core/plan.ts'
import { DAY } from '../../src/sandbox/seed.ts'
import { openDatabase } from '../../src/store/db.ts'
import { getRun, startStep } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { calendar, change, deal, reference, settings } from '../core/build.ts'
import { isStalled, kindOf, NIGHTS } from './deals.ts'
import { peakMb } from './unstall.ts'

export interface CpuOrder {
  /** `core`: in memory. `store`: a first sync and a whole second reading of deals that are known. */
  readonly what: 'core' | 'store'
  readonly deals: number
  readonly pageSize: number
  readonly databaseUrl: string
}
export interface CpuResult {
  readonly perSecond: number
  /** CPU seconds of this process per million deals; of a store, first sync and second reading. */
  readonly perMillionS: readonly number[]
  readonly peakMb: number
}

const SETTINGS = settings({ tasks: { perOwnerPerWeek: 100_000_000 } })
const NOW = NIGHTS[0]

function made(index: number): { readonly deal: Deal; readonly evidence: Evidence } {
  const id = String(21_000_000_000 + index)
  const last = NOW - (isStalled(kindOf(index), 0) ? 40 : 3 + (index % 3)) * DAY
  const one = deal({
    ...{ id, name: `deal ${index}`, url: `https://app.hubspot.com/contacts/1/record/0-3/${id}`, stageId: 'demo' },
    ...{ amount: 1000 + (index % 977) * 10, createdAt: last - 50 * DAY, modifiedAt: last },
  })
  const changes = [change('stage', last - 30 * DAY, 'new', 'qualified'), change('stage', last, 'qualified', 'demo')]
  return { deal: one, evidence: { deal: id, changes, activities: [] } }
}

function core(deals: number): CpuResult {
  const known: Known[] = Array.from({ length: Math.min(deals, 100_000) }, (_, index) => {
    const { deal, evidence } = made(index)
    return observe(null, { ref: { connection: 'crm', id: deal.id }, deal, evidence }, NOW)
  })
  const context = () =>
    planContext({
      ...{ run: 'crm-1', now: NOW, settings: SETTINGS, texts: en.withTemplates(undefined), calendar, reference },
      ...{ firstNightAt: NOW - 30 * DAY, confirm: null },
    })
  const round = () => {
    const [all, totals] = [context(), noTotals()]
    for (const one of known)
      planDeal({ known: one, ledger: [], ...judged({ known: one, standing: null }, [], all) }, all, totals)
    return totals.stalled
  }
  if (round() !== known.filter((_, index) => isStalled(kindOf(index), 0)).length) throw new Error('judged wrongly')
  const { user } = process.cpuUsage()
  const rounds = Math.max(3, Math.ceil(deals / known.length))
  for (let n = 0; n < rounds; n++) round()
  const seconds = (process.cpuUsage().user - user) / 1e6
  const perSecond = (rounds * known.length) / seconds
  return { perSecond, perMillionS: [1e6 / perSecond], peakMb: peakMb() }
}

async function store({ deals, pageSize, databaseUrl }: CpuOrder): Promise<CpuResult> {
  const database = await openDatabase({ databaseUrl })
  await database.migrate()
  async function* pages(): AsyncGenerator<Page> {
    for (let from = 0; from < deals; from += pageSize) {
      const some = Array.from({ length: Math.min(pageSize, deals - from) }, (_, at) => made(from + at))
      const [read, total] = [from + some.length, deals]
      const evidence = some.map((one) => one.evidence)
      yield { deals: some.map((one) => one.deal), evidence, gone: [], unreadable: [], cursor: `${read}`, read, total }
    }
  }
  const connector = {
    reference: async () => reference,
    pull: pages,
    census: async function* () {},
  } as unknown as Connector
  const quiet = { debug() {}, info() {}, warn() {}, error() {} }
  const ctx = {
    ...{ db: database.db, connector: async () => connector, texts: () => en, clock: Date.now, log: quiet },
    ...{ progress: () => {}, patienceMs: 3_600_000, retryMs: 1000 },
  }
  const perMillionS: number[] = []
  let begun = performance.now()
  for (const now of NIGHTS.slice(0, 2)) {
    const night = { connection: 'crm', system: 'hubspot', settings: SETTINGS, kind: 'preview', now } as const
    const opened = await openNight(ctx, night)
    const run = 'run' in opened && (await startStep(database.db, opened.run.id, 'pull'))
    if (!run) throw new Error('another run is in the way')
    begun = performance.now()
    const before = process.cpuUsage()
    await pull(ctx, run, new AbortController().signal)
    const { user, system } = process.cpuUsage(before)
    perMillionS.push((user + system) / deals)
    if ((await getRun(database.db, run.id))?.step !== 'decide') throw new Error('not read to its end')
    await database.db.updateTable('run').set({ status: 'done' }).execute()
  }
  const perSecond = (deals / (performance.now() - begun)) * 1000
  await database.close()
  return { perSecond, perMillionS, peakMb: peakMb() }
}

const order: CpuOrder = JSON.parse(process.argv[2] ?? '')
process.send?.(order.what === 'core' ? core(order.deals) : await store(order))
process.exit()
