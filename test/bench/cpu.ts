// The pure core and the store alone: `node test/bench/cpu.ts core [deals]` judges and plans generated deals in memory;
// `node test/bench/cpu.ts store [deals] [database url]` runs pull and decide of a first, a second and a quiet third night
// over a connector that makes its deals up, on a throw-away PostgreSQL. CPU is this process alone. Not part of the test run.
import type { JobContext } from '../../jobs/context.ts'
import { decide } from '../../jobs/decide.ts'
import { pull } from '../../jobs/pull.ts'
import type { Connector, Page } from '../../src/connector.ts'
import { makeCalendar } from '../../src/core/calendar.ts'
import type { Change, Deal, Evidence, Known, Reference } from '../../src/core/deal.ts'
import { observe } from '../../src/core/observe.ts'
import { judged, noTotals, planContext, planDeal } from '../../src/core/plan.ts'
import { Settings } from '../../src/core/policy.ts'
import { ensureConnection, updateConnection } from '../../src/store/connections.ts'
import { openDatabase } from '../../src/store/db.ts'
import { finishRun, getRun, openRun, startStep } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { NO_OWN_FIELDS } from '../core/build.ts'
import { startPostgres } from '../services.ts'

const DAY = 86_400_000
const NOW = Date.parse('2026-11-23T02:00:00Z')
/** Deals a page: a first sync of HubSpot brings 50 with their history, a search 200. */
const PAGE = Number(process.env.PAGE ?? 50)
const settings = Settings.parse({
  timezone: 'Europe/Paris',
  holidays: ['2026-11-01', '2026-11-11', '2026-12-25', '2027-01-01'],
  policy: { decision: { stages: ['s3'] } },
})
const stages = ['New', 'Qualified', 'Demo', 'Proposal', 'Negotiation', 'Won', 'Lost'].map((label, order) => ({
  ...{ id: `s${order}`, label, order, category: null },
  outcome: order === 5 ? ('won' as const) : order === 6 ? ('lost' as const) : ('open' as const),
}))
const reference: Reference = {
  pipelines: ['p0', 'p1'].map((id) => ({ id, label: `Pipeline ${id}`, stages })),
  owners: Array.from({ length: 120 }, (_, i) => ({
    ...{ id: `o${i}`, email: `rep${i}@example.com`, name: `Rep ${i}`, active: true, team: `Team ${i % 9}` },
  })),
  ...{ omitted: 'OMIT', closedCategory: 'CLOSED', currency: 'EUR', self: 'u' },
  tells: { participants: true, personFromAutomation: true, history: true, replies: true, calls: true },
}

/** The i-th deal, the same every time: open, some weeks old, with a history of its stages; one in twenty has stood still. */
export function dealOf(i: number): { readonly deal: Deal; readonly evidence: Evidence } {
  let state = i + 1
  const pick = (below: number) => {
    state = (Math.imul(state ^ (state >>> 15), 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const still = pick(20) === 0
  const last = still ? NOW - (30 + pick(60)) * DAY : NOW - (1 + pick(10)) * DAY
  const steps = 1 + pick(4)
  const by = { by: 'person', source: 'CRM_UI' } as const
  const changes: Change[] = []
  for (let step = 0; step <= steps; step++)
    changes.push({
      field: 'stage',
      at: last - (steps - step) * (3 + pick(20)) * DAY,
      from: step === 0 ? null : `s${step - 1}`,
      to: `s${step}`,
      ...by,
    })
  const createdAt = (changes[0]?.at ?? last) - 1000
  const closeDate = new Date(NOW + (10 + pick(200)) * DAY).toISOString().slice(0, 10)
  changes.push({ field: 'amount', at: createdAt + 1, from: null, to: '5000', ...by })
  changes.push({ field: 'closeDate', at: createdAt + 1, from: null, to: closeDate, ...by })
  const id = `${30_000_000 + i}`
  const deal: Deal = {
    ...{ id, name: `Company ${i} – phase ${pick(9)}`, url: `https://app.hubspot.com/contacts/1/record/0-3/${id}` },
    ...{ ownerId: `o${pick(120)}`, pipelineId: `p${pick(2)}`, stageId: `s${steps}`, outcome: 'open', type: null },
    ...{ amount: 5000 + pick(100_000), currency: 'EUR', closeDate, createdAt, imported: false },
    ...{ category: ['COMMIT', 'PIPELINE', 'BEST_CASE', null][pick(4)] ?? null, own: NO_OWN_FIELDS, lockGroup: null },
    ...{ modifiedAt: last, meeting: null },
  }
  const activities = Array.from({ length: pick(3) }, (_, n) => ({
    ...{ id: `a${i}-${n}`, kind: 'reply' as const, at: createdAt + (n + 1) * 3_600_000, outside: true },
  }))
  return { deal, evidence: { deal: id, changes, activities } }
}

const seconds = (from: NodeJS.CpuUsage) => {
  const { user, system } = process.cpuUsage(from)
  return (user + system) / 1e6
}

function core(deals: number): void {
  const now = NOW
  const context = planContext({
    run: 'r',
    now,
    settings,
    texts: en,
    calendar: makeCalendar(settings),
    reference,
    firstNightAt: now - DAY,
  })
  const some: Known[] = Array.from({ length: Math.min(deals, 1000) }, (_, i) => {
    const { deal, evidence } = dealOf(i)
    return observe(null, { ref: { connection: 'hub', id: deal.id }, deal, evidence }, now - 30 * DAY)
  })
  for (const round of ['warm-up', 'measured', 'measured']) {
    const totals = noTotals()
    const began = process.cpuUsage()
    let done = 0
    while (done < deals)
      for (const known of some) {
        planDeal({ known, ledger: [], ...judged({ known, standing: null }, [], context) }, context, totals)
        done++
      }
    const took = seconds(began)
    console.log(`${round}: judge + plan ${Math.round(done / took)} deals/s of CPU (${totals.newlyStalled} stalled)`)
  }
}

async function store(deals: number, onlyPull: boolean, url?: string): Promise<void> {
  const server = url === undefined ? await startPostgres() : null
  const database = await openDatabase({ databaseUrl: url ?? server?.url ?? '' })
  await database.migrate()
  const { db } = database
  await ensureConnection(db, 'hub', 'hubspot')
  let every = 1
  const connector = {
    reference: async () => reference,
    async *pull(_since: unknown, now: number): AsyncGenerator<Page> {
      for (let from = 0; from < deals / every; from += PAGE) {
        const made = Array.from({ length: Math.min(PAGE, deals / every - from) }, (_, i) => dealOf((from + i) * every))
        const read = from + made.length
        const changed =
          every === 1
            ? made
            : made.map(({ deal, evidence }) => ({ deal: { ...deal, amount: 77, modifiedAt: now - 1000 }, evidence }))
        yield {
          deals: changed.map(({ deal }) => deal),
          evidence: changed.map(({ evidence }) => evidence),
          gone: [],
          unreadable: [],
          cursor: `c${from}`,
          read,
          total: deals,
        }
      }
    },
  }
  const ctx: JobContext = {
    db,
    connector: async () => connector as unknown as Connector,
    texts: () => en,
    clock: Date.now,
    log: { debug: () => {}, info: () => {}, warn: console.warn, error: console.error },
    progress: () => {},
    patienceMs: 0,
    retryMs: 20,
  }
  const signal = new AbortController().signal
  let peak = 0
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 100)
  const report = (what: string, began: NodeJS.CpuUsage, at: number) => {
    console.log(
      `${what}: ${seconds(began).toFixed(1)} s CPU, ${((performance.now() - at) / 1000).toFixed(1)} s wall, peak ${Math.round(peak / 1e6)} MB so far`,
    )
  }
  // What making the deals up costs is no cost of the program.
  let began = process.cpuUsage()
  for await (const page of connector.pull(null, NOW)) void page
  report('(making the deals up', began, performance.now())
  const shares = onlyPull ? [1, 1, 1] : [1, 20, 20, deals]
  for (const [before, share] of shares.entries()) {
    const night = before + 1
    every = share
    const now = NOW + (night - 1) * DAY
    const localDate = new Date(now).toISOString().slice(0, 10)
    const opened = await openRun(db, {
      connection: 'hub',
      kind: 'night',
      localDate,
      now,
      settings,
      settingsHash: 'x',
      createdAt: Date.now(),
    })
    if ('busy' in opened) throw new Error('busy')
    const { id } = opened.run
    for (const [step, job] of [
      ['pull', pull],
      ['decide', decide],
    ] as const) {
      if (onlyPull && step === 'decide') break
      const run = await startStep(db, id, step)
      if (run === null) throw new Error(step)
      began = process.cpuUsage()
      const at = performance.now()
      await job(ctx, run, signal)
      report(`night ${night} ${step}`, began, at)
    }
    const run = await getRun(db, id)
    const { figures } = (run?.summary ?? {}) as { figures?: unknown }
    console.log(JSON.stringify(figures))
    const over = (await startStep(db, id, 'apply')) ?? (await startStep(db, id, 'decide'))
    if (over) await finishRun(db, over, Date.now(), over.summary ?? {})
    await updateConnection(db, 'hub', { confirmedAt: NOW })
  }
  clearInterval(watch)
  await database.close()
  await server?.stop()
}

const [what, deals = '100000', url] = process.argv.slice(2)
if (what === 'core') core(Number(deals))
else await store(Number(deals), what === 'pull', url)
