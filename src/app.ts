// Composition root: configuration in, a running unstall out. The one place that knows connectors, store, queue and
// jobs together. The command line and the service open the same thing.
import { setTimeout as delay } from 'node:timers/promises'
import type { JobContext, RunProgress } from '../jobs/context.ts'
import { handlers } from '../jobs/index.ts'
import { openNight, openScheduled, openUndo } from '../jobs/nightly.ts'
import { drawUndo, requireUndoable, runToUndo } from '../jobs/undo.ts'
import { type Config, type ConnectionConfig, loadConfig } from './config.ts'
import type { ApiCall, Connector, ConnectorOptions, Consent } from './connector.ts'
import type { Instant } from './core/deal.ts'
import type { Texts } from './core/explain.ts'
import type { Settings } from './core/policy.ts'
import { loopback } from './core/text.ts'
import { Fatal, RetryLater, UsageError } from './errors.ts'
import { examine } from './findings.ts'
import { createGate, type GateOptions } from './gate.ts'
import { createLog, type Log } from './log.ts'
import { type StepQueue, startQueue } from './queue.ts'
import { createTokens, createVault, secretOf, type Tokens, type TokensOptions } from './secrets.ts'
import { type Database, DatabaseInUse, openDatabase } from './store/db.ts'
import { snapshots } from './store/deals.ts'
import { en } from './texts/en.ts'
import { fr } from './texts/fr.ts'
import { watchEventLoop } from './watchdog.ts'
import { type Access, createAccess } from './web/access.ts'
import type { Opened, WebService } from './web/service.ts'

export interface AppOptions {
  /** Name of the connection that is meant; checked before anything is opened. */
  readonly only?: string
  readonly progress?: (progress: RunProgress) => void
  /** Steps worked on at the same time; 0: this process only looks. Default 4. */
  readonly concurrency?: number
  /** How long a CRM that does not answer is waited for. A person waits a minute, the night four hours. */
  readonly patienceMs?: number
  /** Runs that write are left to others. */
  readonly previewsOnly?: boolean
  /** Instead of the gate's own: of lookalikes without limits (UNPACED) or with shorter windows. */
  readonly pace?: Pace
  /** Of a process of the service; absent: a command. */
  readonly role?: Role
  readonly log?: Log
  /** Log lines for people; default: on a terminal. */
  readonly pretty?: boolean | undefined
  /** Told of every call of a CRM's API. */
  readonly called?: (connection: Pick<ConnectionConfig, 'name' | 'system'>, call: ApiCall) => void
  /** Tests that kill processes shorten these; see queue.ts, jobs/context.ts and connector.ts (ConnectorOptions). */
  readonly timing?: {
    readonly lockMs?: number
    readonly stalledCheckMs?: number
    readonly sweepMs?: number
    readonly lateMs?: number
    readonly retryMs?: number
    readonly settleMs?: number
    readonly timeoutMs?: number
    readonly idleMs?: number
    /** How long the event loop may stand still before the process ends itself (watchdog.ts). */
    readonly blockedMs?: number
    readonly leaseMs?: number
  }
  /** See JobContext. */
  readonly crash?: JobContext['crash']
  readonly mostStarts?: number
}

/** What a process of the service does: works on runs; sets the schedules, sweeps and watches for missed nights; shows the
 *  pages. Any number of each may run. */
export const ROLES = {
  all: { works: true, schedules: true, pages: true },
  worker: { works: true, schedules: false, pages: false },
  scheduler: { works: false, schedules: true, pages: false },
  web: { works: false, schedules: false, pages: true },
} as const
export type Role = keyof typeof ROLES
/** Of the pages. Other roles answer /healthz on any free port, so that many fit on one machine. */
export const PORT = 4000

export interface App {
  readonly config: Config
  readonly database: Database
  readonly ctx: JobContext
  readonly queue: StepQueue
  connection(name: string): ConnectionConfig
  /** Stops taking work, waits for running calls (8 s), closes queue, connectors and database. */
  close(): Promise<void>
}

const TEXTS: Readonly<Record<Settings['language'], Texts>> = { en, fr }
const HOUR_MS = 3_600_000

/** @throws UsageError naming every problem of the configuration, or who holds the data directory */
export async function openApp(file: string, options: AppOptions = {}): Promise<App> {
  const config = loadConfig(file, Date.now())
  const { role } = options
  if (role && role !== 'all' && !config.environment.databaseUrl)
    throw new UsageError(
      `--role ${role} needs DATABASE_URL: the embedded database admits one process. Name a PostgreSQL database that all processes share, or leave --role out.`,
    )
  const does = role ? ROLES[role] : null
  const concurrency = options.concurrency ?? (does?.works === false ? 0 : config.environment.concurrency)
  const log = options.log ?? createLog(config.environment.logLevel ?? (role ? 'info' : 'warn'), options)
  const connectors = new Map<string, Promise<Connector>>()
  const connection = (name: string) => connectionNamed(config, name)
  if (options.only) connection(options.only)
  const database = await open(config)
  const tokens = tokensIn(config, database, { crash: options.crash, leaseMs: options.timing?.leaseMs })
  const ctx: JobContext = {
    db: database.db,
    connector: async (name) => {
      const connector =
        connectors.get(name) ??
        connect(connection(name), log, {
          ...options.timing,
          tokens,
          awake: () => queue.awake(),
          ...(options.pace ? { pace: options.pace } : {}),
          dayShare: config.maxDailyCallsShare,
          called: (call) => options.called?.(connection(name), call),
          known: (ids) => snapshots(database.db, name, ids),
        })
      connectors.set(name, connector)
      return connector
    },
    texts: (language) => TEXTS[language],
    clock: Date.now,
    log,
    progress: options.progress ?? (() => {}),
    patienceMs: options.patienceMs ?? 4 * HOUR_MS,
    retryMs: options.timing?.retryMs ?? 15_000,
    previewsOnly: options.previewsOnly === true,
    ...(options.timing?.idleMs === undefined ? {} : { idleMs: options.timing.idleMs }),
    ...(options.mostStarts === undefined ? {} : { mostStarts: options.mostStarts }),
    ...(options.crash ? { crash: options.crash } : {}),
  }
  const unwatch = concurrency === 0 ? null : watchEventLoop(options.timing?.blockedMs)
  let queue: StepQueue
  try {
    await database.migrate()
    queue = await startQueue({
      pool: database.pool,
      ...(config.environment.redisUrl ? { redisUrl: config.environment.redisUrl.reveal() } : {}),
      handlers: handlers(ctx, (name, lateMs) => night(ctx, connection(name), lateMs)),
      log,
      concurrency,
      // Every process would ask the queue about every open run.
      ...(does?.schedules === false ? { sweepMs: 0 } : {}),
      ...options.timing,
    })
  } catch (error) {
    await unwatch?.()
    await database.close()
    throw error
  }
  if (does?.schedules) {
    const { schedule: cron, timezone } = config
    await queue.schedule(config.connections.map(({ name }) => ({ connection: name, cron, timezone })))
  }
  return {
    config,
    database,
    ctx,
    queue,
    connection,
    close: async () => {
      await queue.close()
      await unwatch?.()
      for (const connector of connectors.values())
        await connector.then(
          (one) => one.close(),
          // Never opened: whoever asked for it was told why.
          () => {},
        )
      await tokens.close()
      await database.close()
    },
  }
}

/** @throws UsageError naming the connections there are */
export function connectionNamed({ connections, file }: Config, name: string): ConnectionConfig {
  const found = connections.find((one) => one.name === name)
  if (found) return found
  const names = connections.map((one) => one.name).join(', ')
  throw new UsageError(`There is no connection "${name}" in ${file}. It names: ${names}.`)
}

async function open(config: Config): Promise<Database> {
  const { databaseUrl } = config.environment
  try {
    return await openDatabase(databaseUrl ? { databaseUrl: databaseUrl.reveal() } : { dataDir: config.dataDir })
  } catch (error) {
    if (error instanceof DatabaseInUse) throw new UsageError(error.message, { cause: error })
    throw error
  }
}

/** Where tokens are kept, from the first connection that has any. Null: a database that others share, and no common key:
 *  whoever can, signs in for itself. */
function tokensIn(
  { environment, dataDir }: Config,
  { db }: Database,
  options: Pick<TokensOptions, 'crash' | 'leaseMs'>,
) {
  const { secretKey, databaseUrl } = environment
  let tokens: Tokens | null = null
  const open = () => {
    if (databaseUrl && !secretKey) return null
    tokens ??= createTokens({
      ...{ ...options, db, clock: Date.now, sleep },
      vault: createVault(secretKey?.reveal() ?? secretOf(dataDir)),
    })
    return tokens
  }
  return Object.assign(open, { close: async () => tokens?.close() })
}

async function night(ctx: JobContext, connection: ConnectionConfig, lateMs: number) {
  const { name, system, settings } = connection
  return openScheduled(ctx, { connection: name, system, settings, now: await currentTime(connection), lateMs })
}

/**
 * The moment a night is judged at: this machine's clock, or for a sandbox on loopback the clock of its server, so
 * that simulated weeks can pass in a minute.
 */
export async function currentTime(connection: ConnectionConfig, clock: () => Instant = Date.now): Promise<Instant> {
  if (!connection.loopback) return clock()
  try {
    const answer = await fetch(`${connection.baseUrl}/__sandbox/calls`, { signal: AbortSignal.timeout(10_000) })
    await answer.arrayBuffer()
    const at = Date.parse(answer.headers.get('date') ?? '')
    if (Number.isNaN(at))
      throw new Fatal('data', `${connection.baseUrl} does not say what time it is (no Date header).`)
    return at
  } catch (error) {
    if (error instanceof Fatal) throw error
    const message = `${connection.name}: nothing answers at ${connection.baseUrl}. Is the sandbox running ("unstall sandbox")?`
    throw new RetryLater(message, 5_000, { cause: error })
  }
}

/** Who may look at the pages. @throws UsageError where others could reach them and nobody would be asked who they are */
export function accessOf({ dataDir, environment, web }: Config): Access {
  const { host, operator, secretKey, viewer } = environment
  const access = createAccess({
    operator: operator?.reveal() ?? null,
    viewer: viewer?.reveal() ?? null,
    proxy: web.proxy ?? null,
    url: web.url ?? null,
    secret: secretKey?.reveal() ?? secretOf(dataDir),
    clock: Date.now,
  })
  const others =
    host === '::1' || loopback(host)
      ? web.url && !loopback(new URL(web.url).hostname) && `web.url is ${web.url}`
      : `UNSTALL_HOST is ${host}`
  if (access.open && others)
    throw new UsageError(
      `${others}: others could open the pages, and no password is set. Make one with "unstall password" and put what it prints into UNSTALL_OPERATOR, or name a proxy that signs people in under web.proxy, or leave ${others.split(' ')[0]} out.`,
    )
  return access
}

/** A person waits in front of the page. */
const PAGE_PATIENCE_MS = 60_000

/** What the pages may ask for. Runs are opened here and carried out by whichever process works. */
export function webService({
  config,
  connection,
  ctx,
  queue,
}: Pick<App, 'connection' | 'ctx' | 'queue'> & {
  readonly config: Pick<Config, 'connections' | 'schedule' | 'timezone'>
}): WebService {
  const asked: JobContext = { ...ctx, patienceMs: PAGE_PATIENCE_MS }
  const added = async (opened: Opened): Promise<Opened> => {
    if ('run' in opened && opened.run.step !== 'done') await queue.add(opened.run.id, opened.run.step)
    return opened
  }
  const night = async (name: string, kind: 'preview' | 'manual', confirm?: string) => {
    const { system, settings, ...rest } = connection(name)
    const now = await currentTime({ ...rest, system, settings })
    const confirmed = confirm === undefined ? {} : { confirm }
    return added(await openNight(asked, { connection: name, system, settings, kind, now, ...confirmed }))
  }
  const toUndo = async (id: string, deals?: readonly string[]) => {
    const of = await runToUndo(ctx.db, id)
    if (deals) await requireUndoable(ctx.db, id, id, deals)
    return { of, now: await currentTime(connection(of.connection)) }
  }
  const inTime = async <T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const signal = AbortSignal.timeout(PAGE_PATIENCE_MS)
    return work(signal).catch((error: unknown) => {
      throw signal.aborted ? new RetryLater('The CRM did not answer within a minute.', 0, { cause: error }) : error
    })
  }
  return {
    ...{ db: ctx.db, texts: ctx.texts, clock: ctx.clock, log: ctx.log },
    ...{ connections: config.connections, schedule: config.schedule, timezone: config.timezone },
    language: config.connections[0]?.settings.language ?? 'en',
    preview: (name) => night(name, 'preview'),
    run: (name, confirm) => night(name, 'manual', confirm),
    undo: async (id, deals) => {
      const { of, now } = await toUndo(id, deals)
      return added(await openUndo(asked, of, now, deals))
    },
    drawUndo: async (id, deals) => {
      const { of, now } = await toUndo(id, deals)
      const options = { undoes: id, ...(deals && { deals }) }
      return inTime((signal) => drawUndo(ctx, { ...of, id: `${id}-undo`, now, options }, signal))
    },
    check: (name) =>
      inTime(async (signal) => {
        await currentTime(connection(name))
        return (await examine(await ctx.connector(name), connection(name), signal)).findings
      }),
    board: () => queue.board('/queue'),
  }
}

/** Salesforce counts calls by the day, not by the second: as many as keep ten of usual latency under way. */
const SALESFORCE: Pace = { normal: { max: 60, windowMs: 1000, burst: 10 } }
type Pace = Pick<GateOptions, 'normal' | 'search'>
const FREE = { max: 10_000, windowMs: 1000, burst: 100 }
/** Calls are not spaced. */
export const UNPACED: Pace = { normal: FREE, search: FREE }

interface ConnectOptions extends Pick<ConnectorOptions, 'settleMs' | 'timeoutMs' | 'called'> {
  readonly pace?: Pace
  /** See the gate; commands that only look are not held back by it. */
  readonly dayShare?: number
  /** See the gate: asked before every call. */
  readonly awake?: () => void
  /** Where tokens are kept; absent: only in this process, which `check` of client credentials makes do with. */
  readonly tokens?: () => Tokens | null
  /** The local copy, so that history is read only where it can have changed. */
  readonly known?: NonNullable<ConnectorOptions['known']>
}

// Each brings its SDK: 20 MB and 40 MB of memory that a process without such a connection need not hold.
const hubspot = () => import('../connectors/hubspot/index.ts')
const salesforce = () => import('../connectors/salesforce/index.ts')

const sleep = (ms: number, signal: AbortSignal) => delay(ms, undefined, { signal })

/** What the stored tokens of a connection belong to (see secrets.ts). */
export const belongs = ({ system, baseUrl, auth }: ConnectionConfig): readonly string[] => [
  ...[system, baseUrl, auth.kind],
  'clientId' in auth ? auth.clientId : '',
  ...('username' in auth ? [auth.username] : []),
]

export async function connect(
  connection: ConnectionConfig,
  log: Log,
  options: ConnectOptions = {},
): Promise<Connector> {
  const { auth, baseUrl, name, settings, system } = connection
  const common = {
    gate: createGate({
      sleep,
      ...(options.awake ? { awake: options.awake } : {}),
      ...(system === 'salesforce' ? SALESFORCE : {}),
      ...options.pace,
      ...(options.dayShare === undefined ? {} : { dayShare: options.dayShare }),
    }),
    ...(options.known ? { known: options.known } : {}),
    ...(options.called ? { called: options.called } : {}),
    ...(options.settleMs === undefined ? {} : { settleMs: options.settleMs }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    clock: Date.now,
    sleep,
    timezone: settings.timezone,
    warn: (message: string, data?: Record<string, unknown>) => log.warn({ connection: name, ...data }, message),
  }
  if (auth.kind === 'token') {
    const { connectHubspot, staticToken } = await hubspot()
    return connectHubspot({ ...common, baseUrl, credential: staticToken(auth.token.reveal(), name) })
  }
  const { clientId } = auth
  const secret = (auth.kind === 'jwt' ? auth.privateKey : auth.clientSecret).reveal()
  const account = { connection: name, belongs: belongs(connection), clientSecret: secret }
  const tokens = options.tokens?.() ?? null
  if (system === 'salesforce' && (tokens || auth.kind !== 'oauth')) {
    const { connectSalesforce, signIn: signInBy, signInByKey, unstored } = await salesforce()
    const signIn =
      auth.kind === 'jwt'
        ? signInByKey({ loginUrl: baseUrl, clientId, username: auth.username, privateKey: secret, clock: Date.now })
        : signInBy({ loginUrl: baseUrl, clientId, clientSecret: secret }, auth.kind === 'oauth')
    const credential = tokens ? tokens.credential({ ...account, signIn }) : unstored(signIn)
    return connectSalesforce({ ...common, credential })
  }
  if (!tokens) throw new Fatal('credentials', `${name}: its tokens have no place here: set UNSTALL_SECRET_KEY.`)
  const app = { clientId, clientSecret: secret }
  const { connectHubspot, signIn: signInTo } = await hubspot()
  const signIn = signInTo({ ...app, baseUrl })
  return connectHubspot({ ...common, baseUrl, app, credential: tokens.credential({ ...account, signIn }) })
}

/** How a person lets unstall into this CRM; null: it signs in by itself. */
export async function consentOf({ auth, baseUrl, system }: ConnectionConfig): Promise<Consent | null> {
  if (auth.kind !== 'oauth') return null
  const app = { clientId: auth.clientId, clientSecret: auth.clientSecret.reveal() }
  return system === 'hubspot'
    ? (await hubspot()).signIn({ ...app, baseUrl })
    : (await salesforce()).signIn({ ...app, loginUrl: baseUrl }, true)
}

/** The database with the tokens it holds. */
export async function openTokens(config: Config) {
  const database = await open(config)
  const tokens = tokensIn(config, database, {})
  await database.migrate()
  const close = async () => {
    await tokens.close()
    await database.close()
  }
  return { database, tokens, close }
}

/** Connectors outside of a run. The database is opened only where it holds tokens that are needed, so that `check` also
 *  answers while the service holds it. */
export async function openConnectors(config: Config, log: Log, connections: readonly ConnectionConfig[]) {
  const opened = connections.some(({ auth }) => auth.kind === 'oauth') ? await openTokens(config) : null
  return {
    database: opened?.database ?? null,
    connect: (connection: ConnectionConfig) => connect(connection, log, opened ? { tokens: opened.tokens } : {}),
    close: async () => opened?.close(),
  }
}
