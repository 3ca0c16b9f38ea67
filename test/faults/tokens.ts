// Faults 12 and 13: tokens that end, are taken back, or are lost between the CRM and the database. Connections sign in by
// a person's consent (OAuth), Salesforce's with refresh tokens that work once.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { belongs, connectionNamed } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { createTokens, createVault } from '../../src/secrets.ts'
import { openDatabase } from '../../src/store/db.ts'
import { type Crm, MONDAY, seedDeal, seedOf } from '../jobs/harness.ts'
import { firstTokens } from '../sandbox/consent.ts'
import { ended, type Result, type Scenario, SECRET_KEY, type Stage, stage, type Trial } from './harness.ts'

const OAUTH = { kind: 'oauth', clientId: 'sandbox', clientSecret: 'sandbox' }
const names = (count: number) => Array.from({ length: count }, (_, at) => `deal ${at}`)
const stalled = (count: number) => seedOf(names(count).map((name) => seedDeal(name)))

/** What `unstall connect` does: a consent, and its tokens in the store. Returns the access token. */
async function consent({ config: file, where }: Stage, crm: Crm): Promise<string> {
  const got = await firstTokens(crm.url, crm.system)
  const set = {
    ...{ token: got.access_token, refresh: got.refresh_token },
    ...(got.expires_in !== undefined && { lifeMs: got.expires_in * 1000 }),
    ...(got.instance_url !== undefined && { instanceUrl: got.instance_url, user: null }),
  }
  const config = loadConfig(file, Date.now(), { DATABASE_URL: '', UNSTALL_SECRET_KEY: SECRET_KEY })
  const database = await openDatabase(where)
  const wait = (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal })
  const tokens = createTokens({ db: database.db, vault: createVault(SECRET_KEY), clock: Date.now, sleep: wait })
  await tokens.save({ connection: crm.name, belongs: belongs(connectionNamed(config, crm.name)) }, set)
  await database.close()
  return got.access_token
}

/** Successful renewals, and attempts that were refused. */
async function exchanges(crm: Crm): Promise<{ good: number; refused: number }> {
  const calls = (await crm.calls()).filter(({ path }) => /\/token$/.test(path))
  const count = (status: number) => calls.reduce((sum, { statuses }) => sum + (statuses[status] ?? 0), 0)
  return { good: count(200), refused: count(400) }
}

const NONE = { dup: 0, lost: 0, wrong: 0 } as const
const revoke = async ({ url }: Crm, id?: string) =>
  void (await fetch(`${url}/__sandbox/act`, { method: 'POST', body: JSON.stringify({ act: 'revoke-token', id }) }))

/** Many processes need a token at the same moment it ends, again and again. */
export async function tokenExpiry(trial: Trial): Promise<Result> {
  const [workers, rounds] = trial.quick ? [3, 5] : [10, 60]
  let time = 0
  const at = await stage(trial, {
    ...{ seed: stalled(1), auth: { [trial.system]: OAUTH } },
    // An answer takes a while, so that all are in need of it at the same time.
    sandbox: { tokenLifeS: 60, monotonic: () => time, latencyMs: 50 },
  })
  const { crm } = at
  await consent(at, crm)
  const deal = (await crm.look()).deal('deal 0').id
  const env = { ...process.env, DATABASE_URL: at.where.databaseUrl ?? '', UNSTALL_SECRET_KEY: SECRET_KEY }
  const processes = Array.from({ length: workers }, () => {
    const args = [join(import.meta.dirname, 'token-worker.ts'), at.config, crm.name, deal]
    const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
    trial.onEnd(() => child.kill('SIGKILL'))
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const said = async () => String((await lines.next()).value ?? 'ended')
    return { said, ask: () => child.stdin.write('go\n') }
  })
  const all = () => Promise.all(processes.map(({ said }) => said()))
  const problems = (await all()).flatMap((said) => (said === 'ready' ? [] : [said]))
  const before = (await exchanges(crm)).good
  for (let round = 1; round <= rounds && problems.length === 0; round++) {
    time += 60_000
    for (const { ask } of processes) ask()
    for (const said of await all()) if (said !== 'ok') problems.push(`round ${round}: ${said}`)
  }
  const { good, refused } = await exchanges(crm)
  const refreshes = good - before
  if (refreshes !== rounds) problems.push(`${refreshes} refreshes for ${rounds} expiries`)
  if (refused > 0) problems.push(`${refused} refreshes were refused`)
  return {
    ...{ injected: `${rounds} expiries, ${workers} processes`, ...NONE, problems },
    note: `${refreshes} refreshes for ${rounds} expiries`,
  }
}

/** A token ends every second while nights go on. */
async function nightOfExpiries(trial: Trial): Promise<Result> {
  const count = trial.quick ? 10 : 400
  const at = await stage(trial, {
    ...{ seed: stalled(count), auth: { [trial.system]: OAUTH } },
    sandbox: { tokenLifeS: 1, latencyMs: trial.quick ? 100 : 50 },
  })
  const { crm } = at
  await consent(at, crm)
  const before = (await exchanges(crm)).good
  await at.firstNight(MONDAY, { readBatch: 5 })
  const { good, refused } = await exchanges(crm)
  const seen = await crm.look()
  const tasks = seen.deals.map(({ name }) => seen.tasksOf(name).length)
  const problems = [
    ...(good - before < 2 ? ['the night was too short for a token to end'] : []),
    ...(refused > 0 ? [`${refused} refreshes were refused`] : []),
  ]
  return {
    injected: `${good - before} renewals in a night`,
    dup: tasks.filter((n) => n > 1).length,
    lost: tasks.filter((n) => n === 0).length + seen.deals.filter((deal) => !deal.stalled).length,
    ...{ wrong: 0, problems },
  }
}

/** Both CRMs; one signs in by consent. Then the other one's night must be done, and this one says what to do. */
async function both(trial: Trial) {
  const other = trial.system === 'hubspot' ? 'salesforce' : 'hubspot'
  const at = await stage(trial, {
    ...{ seed: stalled(10), systems: [trial.system, other], auth: { [trial.system]: OAUTH } },
    // Long enough for an exchange, so that nobody waits for the lease of the dead.
    app: { timing: { leaseMs: 1000 } },
  })
  const [ours, theirs] = at.crms
  if (!ours || !theirs) throw new Error('two CRMs are needed')
  const work = (now: number, kind: 'manual' | 'first' = 'manual') =>
    at.work({
      runs: [
        { connection: ours.name, kind: 'manual', now },
        { connection: theirs.name, kind, now },
      ],
    })
  return { at, ours, theirs, work }
}

type Both = Awaited<ReturnType<typeof both>>

/** Two nights with a dead token: both say it, nothing is written, and the second does not even ask. */
async function dead({ ours, theirs, work }: Both, attempts: number): Promise<string[]> {
  const problems: string[] = []
  const before = await exchanges(ours)
  for (const night of [1, 2]) {
    const worker = work(MONDAY + night, night === 1 ? 'first' : 'manual')
    await worker.over
    for (const { connection, status, problem } of ended(worker)) {
      if (connection === theirs.name && status !== 'done') problems.push(`${connection} is not done: ${problem}`)
      if (connection !== ours.name) continue
      if (!/needs re-connecting/.test(problem ?? '')) problems.push(`night ${night} said: ${problem}`)
    }
    if (ended(worker).length < 2) problems.push(`night ${night} did not end: ${worker.stderr().slice(-500)}`)
  }
  const tried = (await exchanges(ours)).refused - before.refused
  if (tried !== attempts) problems.push(`${tried} attempts with a dead refresh token instead of ${attempts}`)
  const writes = (await ours.journal()).length
  if (writes > 0) problems.push(`${writes} writes without a token`)
  const { deals } = await theirs.look()
  if (!deals.every(({ stalled }) => stalled)) problems.push('the other connection was not worked on')
  return problems
}

async function revoked(trial: Trial): Promise<Result> {
  const world = await both(trial)
  await consent(world.at, world.ours)
  await revoke(world.ours)
  const problems = await dead(world, 1)
  // A new consent repairs it, and nothing was lost meanwhile.
  await consent(world.at, world.ours)
  const done = await world.at.finish([{ connection: world.ours.name, kind: 'first', now: MONDAY + 3 }])
  const { deals, tasks } = await world.ours.look()
  const flagged = deals.filter((deal) => deal.stalled).length
  if (done.length < 2) problems.push('the night after the new consent did not end')
  return { injected: '1 consent taken back', dup: tasks.length - 10, lost: 10 - flagged, wrong: 0, problems }
}

/** The CRM has renewed, and the process dies before the answer is stored. */
export async function tokenLost(trial: Trial): Promise<Result> {
  const world = await both(trial)
  const { at, ours } = world
  await revoke(ours, await consent(at, ours))
  const runs = [{ connection: ours.name, kind: 'manual', now: MONDAY } as const]
  const dying = at.work({ runs, die: { at: 'token issued', what: ours.name } })
  const { signal } = await dying.over
  const problems = signal === 'SIGKILL' ? [] : [`it did not die: ${signal} ${dying.stderr().slice(-500)}`]
  const injected = '1 kill between answer and store'
  // HubSpot's refresh tokens work again; Salesforce's only once, and only a person helps.
  if (ours.system === 'salesforce') return { injected, ...NONE, problems: [...problems, ...(await dead(world, 1))] }
  await at.finish([{ connection: ours.name, kind: 'first', now: MONDAY + 1 }])
  const { deals, tasks } = await ours.look()
  const flagged = deals.filter((deal) => deal.stalled).length
  return { injected, dup: tasks.length - 10, lost: 10 - flagged, wrong: 0, problems }
}

export const tokens: readonly Scenario[] = [
  { fault: 12, title: 'token ends, many processes', homes: ['PostgreSQL'], run: tokenExpiry },
  { fault: 12, title: 'token ends every second of a night', run: nightOfExpiries },
  { fault: 13, title: 'consent taken back', homes: ['PostgreSQL'], run: revoked },
  { fault: 13, title: 'killed between refresh and store', homes: ['embedded', 'PostgreSQL'], run: tokenLost },
]
