// How long the report takes and how much it holds at 100,000 deals: `node test/bench/report.ts [deals] [postgres]`.
// Fills a store directly (embedded, or a throw-away PostgreSQL), then runs the command once a format. Not part of the test run.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Change, type Deal, type Known, type Reference, RULES } from '../../src/core/deal.ts'
import { Settings } from '../../src/core/policy.ts'
import { taskKey } from '../../src/core/stall.ts'
import { FORMATS } from '../../src/report/render.ts'
import { NO_SUMMARY } from '../../src/report/summary.ts'
import { ensureConnection, updateConnection } from '../../src/store/connections.ts'
import { type Database, openDatabase } from '../../src/store/db.ts'
import { saveKnown, saveStandings, saveTransitions } from '../../src/store/deals.ts'
import { insertPlan } from '../../src/store/ledger.ts'
import { finishRun, openRun, type Run, saveFigures, startStep } from '../../src/store/runs.ts'
import { NO_OWN_FIELDS } from '../core/build.ts'
import { startPostgres } from '../services.ts'
import { fields, standing, task } from '../store/fixtures.ts'

const DAY = 86_400_000
const NOW = Date.parse('2026-11-23T02:00:00Z')
const NIGHTS = 200
const OWNERS = 120
const settings = Settings.parse({ timezone: 'Europe/Paris', policy: { decision: { stages: ['s3'] } } })

const stages = ['New', 'Qualified', 'Demo', 'Proposal', 'Negotiation', 'Won', 'Lost'].map((label, order) => ({
  ...{ id: `s${order}`, label, order, category: null },
  outcome: order === 5 ? ('won' as const) : order === 6 ? ('lost' as const) : ('open' as const),
}))
const reference: Reference = {
  pipelines: ['p0', 'p1'].map((id) => ({ id, label: `Pipeline ${id}`, stages })),
  owners: Array.from({ length: OWNERS }, (_, i) => ({
    ...{ id: `o${i}`, email: `rep${i}@example.com`, name: `Rep ${i}`, active: true, team: `Team ${i % 9}` },
  })),
  ...{ omitted: 'OMIT', closedCategory: 'CLOSED', currency: 'EUR', self: 'u' },
  tells: { participants: true, personFromAutomation: true, history: true, replies: true, calls: true },
}

/** The same numbers every time. */
function random(seed: number) {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function dealOf(i: number, pick: (below: number) => number): Known {
  const outcome = i % 5 < 2 ? 'open' : i % 5 === 2 ? 'won' : 'lost'
  const createdAt = NOW - (60 + pick(700)) * DAY
  const last = outcome === 'open' ? pick(4) + 1 : 3
  const changes: Change[] = []
  const by = { by: 'person', source: 'CRM_UI' } as const
  let at = createdAt
  for (let step = 1; step <= last; step++) {
    at = Math.min(NOW - DAY, at + (3 + pick(30)) * DAY)
    changes.push({ field: 'stage', at, from: `s${step - 1}`, to: `s${step}`, ...by })
  }
  for (let n = pick(3); n > 0; n--)
    changes.push({
      field: 'closeDate',
      at: at + n * 3_600_000,
      from: `2026-0${9 - n}-01`,
      to: `2026-1${n - 1}-15`,
      ...by,
    })
  const closed = Math.min(NOW - DAY, at + (2 + pick(20)) * DAY)
  const stageId = outcome === 'open' ? `s${last}` : outcome === 'won' ? 's5' : 's6'
  if (outcome !== 'open') changes.push({ field: 'stage', at: closed, from: `s${last}`, to: stageId, ...by })
  const activities = Array.from({ length: pick(5) }, (_, n) => ({
    ...{ id: `a${i}-${n}`, kind: 'reply' as const, at: createdAt + (n + 1) * (2 + pick(20)) * DAY, outside: true },
  }))
  const deal: Deal = {
    ...{ id: `${30_000_000 + i}`, name: `Company ${i} – phase ${pick(9)}`, url: `https://crm.example/deal/${i}` },
    ...{ ownerId: `o${pick(OWNERS)}`, pipelineId: `p${pick(2)}`, stageId, outcome, type: null },
    ...{ amount: pick(5_000_000) / 100, currency: ['EUR', 'EUR', 'USD', 'GBP'][pick(4)] ?? null },
    closeDate: new Date(outcome === 'open' ? NOW + (pick(240) - 60) * DAY : closed).toISOString().slice(0, 10),
    ...{
      createdAt,
      imported: false,
      category: ['COMMIT', 'PIPELINE', 'OMIT', null][pick(4)] ?? null,
      own: NO_OWN_FIELDS,
    },
    ...{ lockGroup: null, modifiedAt: NOW - DAY, meeting: null },
  }
  const oldest = changes.toSorted((a, b) => a.at - b.at)
  return { ref: { connection: 'hub', id: deal.id }, deal, changes: oldest, activities, firstSeen: NOW - 300 * DAY }
}

async function night(database: Database, at: number): Promise<Run> {
  const localDate = new Date(at).toISOString().slice(0, 10)
  const run = {
    connection: 'hub',
    kind: 'night',
    localDate,
    now: at,
    settings,
    settingsHash: 'x',
    createdAt: at,
  } as const
  const opened = await openRun(database.db, run)
  if ('busy' in opened) throw new Error('busy')
  const started = await startStep(database.db, opened.run.id, 'pull')
  if (started === null) throw new Error('not started')
  return started
}

async function fill(database: Database, deals: number): Promise<void> {
  const { db } = database
  await ensureConnection(db, 'hub', 'hubspot')
  await updateConnection(db, 'hub', { reference, confirmedAt: NOW - NIGHTS * DAY })
  const pick = random(7)
  for (let i = NIGHTS; i >= 0; i--) {
    const at = NOW - i * DAY
    const run = await night(database, at)
    const [all, moving] = [
      { EUR: 9e8 + i * 1e5, USD: 4e8, GBP: 4e8 },
      { EUR: 6e8, USD: 3e8, GBP: 3e8 - i * 1e5 },
    ]
    await saveFigures(db, run, { forecast: { all, moving } })
    // Every night flags its share, and half of them move again later.
    const share = Math.ceil(deals / NIGHTS)
    for (let from = (NIGHTS - i) * share; from < Math.min(deals, (NIGHTS - i + 1) * share); from += 1000) {
      const some = Array.from({ length: Math.min(1000, share) }, (_, n) => dealOf(from + n, pick))
      await saveKnown(db, run.id, some)
      const flagged = some.filter((_, n) => n % 3 === 0)
      const rule = () => RULES[pick(RULES.length)] ?? 'no_movement'
      const stalls = flagged.map(({ ref, deal }) => ({ ref, deal, rule: rule() }))
      const { id } = run
      await saveStandings(
        db,
        'hub',
        stalls.map(({ ref, deal, rule }) => {
          const stall = { startedAt: at, rule, taskKey: taskKey(ref.id, at), dead: false }
          const open = deal.outcome === 'open'
          return { id: ref.id, standing: standing({ state: open ? 'stalled' : 'closed', stall: open ? stall : null }) }
        }),
      )
      const step = { at, from: 'moving', to: 'stalled', evidence: { idleDays: 20 } } as const
      await saveTransitions(
        db,
        id,
        stalls.map(({ ref, rule }) => ({ ...step, deal: ref, rule })),
      )
      const rows = stalls.flatMap(({ ref }) => [
        fields(id, ref.id, { key: `${id}.${ref.id}.flag` }),
        task(id, ref.id, { key: `${id}.${ref.id}.task`, taskKey: taskKey(ref.id, at), body: 'x'.repeat(900) }),
      ])
      await insertPlan(db, run, rows, { now: at, week: '2026-W01' })
      await db.updateTable('ledger').set({ status: 'done', sentAt: at, settledAt: at }).where('run', '=', id).execute()
    }
    await finishRun(db, run, at, NO_SUMMARY)
  }
}

/** What the command says of itself as it ends. */
const AT_EXIT = `process.on('exit', () => {
  const { user, system } = process.cpuUsage()
  const [cpu, peak] = [(user + system) / 1e6, process.resourceUsage().maxRSS / 1024]
  console.error(\`  \${process.uptime().toFixed(1)} s (\${cpu.toFixed(1)} s of this process), peak \${Math.round(peak)} MB\`)
})`
const CLI = join(import.meta.dirname, '../../src/cli/bin.ts')

const [, , deals = '100000', where] = process.argv
const server = where === 'postgres' ? await startPostgres() : null
const dataDir = mkdtempSync(join(tmpdir(), 'unstall-bench-'))
const database = await openDatabase(server ? { databaseUrl: server.url } : { dataDir })
await database.migrate()
await fill(database, Number(deals))
await database.close()

const config = join(dataDir, 'config.yaml')
const hub = { system: 'hubspot', auth: { kind: 'token', token: `\${TOKEN}` } }
writeFileSync(config, JSON.stringify({ timezone: settings.timezone, dataDir, connections: { hub } }))
const env = { ...process.env, TOKEN: 'x', ...(server ? { DATABASE_URL: server.url } : {}) }
for (const format of FORMATS) {
  const out = join(dataDir, `report.${format}`)
  const hook = `data:text/javascript,${encodeURIComponent(AT_EXIT)}`
  execFileSync(process.execPath, ['--import', hook, CLI, 'report', '-c', config, '--out', out], {
    env,
    stdio: 'inherit',
  })
}
await server?.stop()
rmSync(dataDir, { recursive: true, force: true })
