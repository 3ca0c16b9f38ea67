// The service on many machines, as far as one machine can play it: processes of `unstall start --role …` over a common
// database, and a lookalike CRM for each connection. For scale.long.test.ts, and for the measurements in bench/scale.ts.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Settings } from '../src/core/policy.ts'
import { generate } from '../src/sandbox/generate.ts'
import { ensureConnection, updateConnection } from '../src/store/connections.ts'
import { type Database, openDatabase } from '../src/store/db.ts'
import { finishRun, openRun, startStep } from '../src/store/runs.ts'
import { type Crm, setUp, startCrm } from './jobs/harness.ts'

const SOURCE = resolve(import.meta.dirname, '../src/cli/bin.ts')
const DAY = 86_400_000

export interface Member {
  readonly role: string
  readonly child: ChildProcess
  /** Answers GET /healthz here. */
  readonly url: string
  /** Runs whose end it has logged. */
  readonly finished: string[]
  /** What it wrote on stderr. */
  readonly log: string[]
  /** Exit code, or the signal. */
  readonly ended: Promise<number | NodeJS.Signals | null>
  /** CPU seconds so far, and the most memory it ever held, in MB. */
  usage(): { readonly cpuS: number; readonly peakMb: number }
}

export interface Fleet {
  readonly database: Database
  readonly crms: readonly (Crm & { readonly connection: string })[]
  start(role: string, env?: Readonly<Record<string, string>>): Promise<Member>
  close(): Promise<void>
}

export interface FleetOptions {
  readonly databaseUrl: string
  readonly redisUrl?: string | undefined
  readonly connections: number
  /** Of each, all open. */
  readonly deals: number
  readonly latencyMs?: number
  /** What is started; default: the source. */
  readonly bin?: string
}

/** Every connection had its first night confirmed two days ago; since ten minutes ago tonight's is due and was missed. */
export async function openFleet(options: FleetOptions): Promise<Fleet> {
  const { databaseUrl, redisUrl, deals, latencyMs = 0 } = options
  const now = Date.now()
  const database = await openDatabase({ databaseUrl })
  const prepared = async (n: number) => {
    const system = n % 2 === 0 ? 'hubspot' : 'salesforce'
    const crm = await startCrm(system, generate({ now, seed: n + 1, deals, open: deals }), 'unique', {
      now,
      latencyMs,
    })
    await setUp(crm)
    const connection = `c${n}`
    await ensureConnection(database.db, connection, system)
    await updateConnection(database.db, connection, { confirmedAt: now - 2 * DAY })
    await oldRun(database, connection, now - 2 * DAY)
    return { ...crm, connection }
  }
  const crms: Awaited<ReturnType<typeof prepared>>[] = []
  // A few at a time: a machine that is busy would let their first calls time out.
  for (let n = 0; n < options.connections; n += 5) {
    const some = Array.from({ length: Math.min(5, options.connections - n) }, (_, i) => prepared(n + i))
    crms.push(...(await Promise.all(some)))
  }
  const folder = mkdtempSync(join(tmpdir(), 'unstall-fleet-'))
  const file = join(folder, 'unstall.config.yaml')
  const due = new Date(now - 600_000)
  const of = ({ connection, system, url }: (typeof crms)[number]) =>
    system === 'hubspot'
      ? `${connection}: { system: hubspot, baseUrl: "${url}", auth: { kind: token, token: sandbox-fleet } }`
      : `${connection}: { system: salesforce, loginUrl: "${url}", auth: { kind: client-credentials, clientId: sandbox, clientSecret: sandbox } }`
  const schedule = `${due.getUTCMinutes()} ${due.getUTCHours()} * * *`
  writeFileSync(
    file,
    `timezone: UTC
schedule: "${schedule}"
brakes: { maxNewlyStalledShare: 1 }
connections:
${crms.map((crm) => `  ${of(crm)}`).join('\n')}
`,
  )
  const members: Member[] = []
  const start: Fleet['start'] = async (role, more = {}) => {
    const env = { ...process.env, DATABASE_URL: databaseUrl, NO_COLOR: '1', UNSTALL_PORT: '', ...more }
    const child = spawn(
      process.execPath,
      [options.bin ?? SOURCE, 'start', '--role', role, '--json', '--config', file],
      {
        env: { ...env, ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }) },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    const finished: string[] = []
    const log: string[] = []
    createInterface(child.stderr).on('line', (line) => {
      log.push(line)
      if (line.includes('"run finished"')) finished.push(String(JSON.parse(line).run))
    })
    const ended = new Promise<number | NodeJS.Signals | null>((done) =>
      child.once('close', (code, signal) => done(code ?? signal)),
    )
    const said = new Promise<string>((done) => {
      let text = ''
      child.stdout.on('data', (part: Buffer) => {
        text += part.toString()
        if (text.trimEnd().endsWith('}')) done(JSON.parse(text).listening)
      })
    })
    const url = await Promise.race([
      said,
      ended.then((code) => Promise.reject(new Error(`${role} ended (${code}): ${log.join('\n')}`))),
    ])
    const member = { role, child, url, finished, log, ended, usage: () => usageOf(child.pid ?? 0) }
    members.push(member)
    return member
  }
  return {
    database,
    crms,
    start,
    close: async () => {
      for (const { child } of members) child.kill('SIGKILL')
      await Promise.all(members.map(({ ended }) => ended))
      await Promise.all(crms.map((crm) => crm.stop()))
      await database.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function oldRun({ db }: Database, connection: string, at: number): Promise<void> {
  const localDate = new Date(at).toISOString().slice(0, 10)
  const settings = Settings.parse({ timezone: 'UTC' })
  const run = { connection, kind: 'manual', localDate, now: at, settings, settingsHash: '', createdAt: at } as const
  const opened = await openRun(db, run)
  const begun = 'run' in opened ? await startStep(db, opened.run.id, 'pull') : null
  if (begun) await finishRun(db, begun, at, {})
}

/** Linux only. */
function usageOf(pid: number) {
  const ticks = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return { cpuS: (Number(ticks[11]) + Number(ticks[12])) / 100, peakMb: Math.round(Number(peak) / 1024) }
}
