// unstall.config.yaml and the environment, checked whole before anything runs: one UsageError lists every problem with
// its line. Secrets only ever come from the environment and are wrapped, so that no log, error or dump can show them.
import { createPrivateKey } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import { inspect } from 'node:util'
import { CronExpressionParser } from 'cron-parser'
import { parse as parseCsv } from 'csv-parse/sync'
import type Holidays from 'date-holidays'
import { type Document, isMap, isNode, LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { type Setting, withSettings } from './config-edit.ts'
import { fieldOf, jsonSchemaOf, mayBeSecret, nearest, type Problem, type Schema, words } from './config-words.ts'
import { loopback } from './connector.ts'
import type { Instant, LocalDate, System } from './core/deal.ts'
import { type DigestSettings, digestSettings } from './core/digests.ts'
import { DateRange, Policy, Settings } from './core/policy.ts'
import { UsageError } from './errors.ts'

/** Text that never prints: `reveal()` is the only way to the value. */
export class Secret {
  readonly #value: string
  constructor(value: string) {
    this.#value = value
  }
  readonly reveal = (): string => this.#value
  readonly toString = (): string => '[secret]'
  readonly toJSON = (): string => '[secret]'
  readonly [inspect.custom] = (): string => '[secret]'
}

export type Variables = Readonly<Record<string, string | undefined>>

export interface Environment {
  /** PostgreSQL; null: embedded PGlite in the data directory. */
  readonly databaseUrl: Secret | null
  /** Redis or Valkey; null: the queue lives in the database. */
  readonly redisUrl: Secret | null
  /** UNSTALL_SECRET_KEY: what stored tokens are encrypted with; null: the key file in the data directory. */
  readonly secretKey: Secret | null
  /** UNSTALL_SECRET_KEY_OLD: the one before, for `unstall key rotate` only. */
  readonly oldSecretKey: Secret | null
  /** UNSTALL_OPERATOR and UNSTALL_VIEWER: hashes of passwords made by `unstall password`; null: no such password. */
  readonly operator: Secret | null
  readonly viewer: Secret | null
  /** Where `unstall start` listens: UNSTALL_HOST (127.0.0.1) and UNSTALL_PORT (0: any free port; null: not set). */
  readonly host: string
  /** UNSTALL_METRICS_TOKEN: what a Prometheus on another machine sends; null: the metrics are for this machine only. */
  readonly metricsToken: Secret | null
  readonly port: number | null
  /** UNSTALL_CONCURRENCY: runs a process works on at the same time (4). */
  readonly concurrency: number
  /** UNSTALL_LOG: a level of pino; null: `info` for the service, `warn` for a command. */
  readonly logLevel: z.infer<typeof Level> | null
}

export type Auth = z.infer<ReturnType<typeof fileSchema>>['connections'][string]['auth']

export interface ConnectionConfig {
  readonly name: string
  readonly system: System
  /** Origin to talk to (HubSpot) or to sign in at (Salesforce), without a trailing slash. */
  readonly baseUrl: string
  /** A sandbox on this machine. */
  readonly loopback: boolean
  readonly auth: Auth
  readonly settings: Settings
}

export interface Config {
  /** Absolute path of the file. */
  readonly file: string
  readonly timezone: string
  /** Five cron fields, in `timezone`. */
  readonly schedule: string
  /** See GateOptions.dayShare. */
  readonly maxDailyCallsShare: number
  /** Absolute; relative ones count from the file's folder. */
  readonly dataDir: string
  readonly web: z.output<typeof web>
  readonly digests: DigestSettings
  readonly connections: readonly ConnectionConfig[]
  readonly environment: Environment
}

const HUBSPOT = 'https://api.hubapi.com'
/** As src/web/password.ts writes it. */
const PASSWORD_HASH = /^scrypt(\.\d+){3}(\.[\w-]{20,}){2}$/
export const KEY_HOWTO = 'make one with: openssl rand -base64 32'
const Level = z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
const UNSET = 'which is not set in the environment'
const REFERENCE = /\$\{([A-Za-z_]\w*)\}/g

const zone = z.string().refine((text) => Settings.shape.timezone.safeParse(text).success, {
  error: ({ input }) =>
    `is not a time zone such as Europe/Paris${nearest(String(input), Intl.supportedValuesOf('timeZone'))}`,
})
/** As schedule.ts will read it: the same parser would take fewer or more fields too, and H, which is another moment each
 *  time that it is asked. */
function isCron(text: string): boolean {
  try {
    return text.trim().split(/\s+/).length === 5 && !/\bH\b/.test(text) && CronExpressionParser.parse(text) !== null
  } catch {
    return false
  }
}

/** Null unless it is an origin and nothing more. */
const origin = (text: string) => {
  const url = URL.parse(text)
  return url?.href === `${url?.origin}/` ? url : null
}
const isLoopback = (text: string) => {
  const url = origin(text)
  return url !== null && /^https?:$/.test(url.protocol) && loopback(url.hostname)
}
const isSalesforce = (text: string) => {
  const url = origin(text)
  return url?.protocol === 'https:' && url.host.endsWith('.salesforce.com')
}
const baseUrl = z.string().refine(isLoopback, {
  error: 'is only for a sandbox on this machine, such as http://127.0.0.1:4010; leave it out for the real system',
})
const loginUrl = z.string().refine((text) => isSalesforce(text) || isLoopback(text), {
  error: 'must be your My Domain, such as https://acme.my.salesforce.com (https, without a path)',
})

const holidays = z.union([z.string(), z.array(z.iso.date())], {
  error: 'must be a country such as FR, a country and region such as DE-BY, or a list of dates such as [2026-12-25]',
})
const ranges = z.union([DateRange, z.array(DateRange)], {
  error: 'must be dates such as 2026-08-03/2026-08-21, or a list of them',
})
const absences = z.union([z.string(), z.record(z.string().includes('@', 'is not an e-mail address'), ranges)], {
  error: 'must be owner e-mails with their dates, or the name of a CSV file with the columns owner, from, to',
})
const filled = z.string().min(1, 'must not be empty')
const named = z.string().regex(/^[a-z][a-z0-9_-]{0,39}$/i, 'is not a connection name: letters, digits, - and _')
const schedule = z.string().refine(isCron, 'must be five cron fields, such as "0 2 * * *" for every night at 2')

const address = z.string().refine(
  (text) => {
    const [ip = '', bits, ...more] = text.split('/')
    const most = isIP(ip) === 4 ? 32 : 128
    return isIP(ip) > 0 && more.length === 0 && (bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= most))
  },
  { error: 'is not an address or network such as 10.0.0.7 or 10.0.0.0/8' },
)
const headerName = z.string().regex(/^[\w-]+$/, 'is not the name of a header, such as X-Forwarded-Email')
const proxy = z.strictObject({
  header: headerName,
  from: z.array(address).min(1),
  operators: z.array(z.string().toLowerCase()).default([]),
})
const web = z
  .strictObject({
    url: z
      .string()
      .refine((text) => /^https?:$/.test(origin(text)?.protocol ?? ''), {
        error: 'must be the address people open, such as https://unstall.acme.example (without a path)',
      })
      .transform((text) => new URL(text).origin)
      .optional(),
    proxy: proxy.optional(),
  })
  .refine(({ url, proxy }) => url !== undefined || proxy === undefined, {
    path: ['proxy'],
    error: 'needs web.url: the address at which the proxy answers, such as https://unstall.acme.example',
  })
  .default({})

function isRsaKey(pem: Secret): boolean {
  try {
    return createPrivateKey(pem.reveal()).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}

/** The file as a person writes it. `variables` fills the secrets. */
function fileSchema(variables: Variables) {
  const secret = z.string().transform((text, context) => {
    const [, name] = /^\$\{([A-Za-z_]\w*)\}$/.exec(text) ?? []
    // What the lookalike CRMs accept opens nothing else.
    const value = name === undefined ? /^sandbox(-[\w.-]+)?$/.exec(text)?.[0] : variables[name]
    if (value) return new Secret(value)
    const inFile = `must not stand in the file: write "\${NAME}" and set NAME in the environment`
    context.addIssue(name === undefined ? inFile : `needs \${${name}}, ${UNSET}`)
    return z.NEVER
  })
  const auth = <Kind extends string, Shape extends z.ZodRawShape>(kind: Kind, shape: Shape) =>
    z.strictObject({ kind: z.literal(kind), ...shape })
  const oauth = auth('oauth', { clientId: filled, clientSecret: secret })
  const credentials = auth('client-credentials', { clientId: filled, clientSecret: secret })
  // An environment without line breaks has \\n instead.
  const privateKey = secret
    .transform((pem) => new Secret(pem.reveal().replaceAll('\\n', '\n')))
    .refine(isRsaKey, 'must be an RSA private key in PEM form (-----BEGIN PRIVATE KEY-----), without a passphrase')
  const jwt = auth('jwt', { clientId: filled, username: filled, privateKey })
  const hubspot = z.strictObject({
    system: z.literal('hubspot'),
    baseUrl: baseUrl.optional(),
    auth: z.discriminatedUnion('kind', [auth('token', { token: secret }), oauth]),
    policy: Policy.optional(),
  })
  const salesforce = z.strictObject({
    system: z.literal('salesforce'),
    loginUrl: loginUrl.optional(),
    baseUrl: baseUrl.optional(),
    auth: z.discriminatedUnion('kind', [credentials, jwt, oauth]),
    policy: Policy.optional(),
  })
  return Settings.extend({
    timezone: zone,
    holidays: holidays.default([]),
    absences: absences.default({}),
    schedule: schedule.default('0 2 * * *'),
    dataDir: filled.default('./.unstall'),
    web,
    maxDailyCallsShare: z.number().min(0.05).max(1).default(0.9),
    digests: digestSettings(secret),
    connections: z.record(named, z.discriminatedUnion('system', [hubspot, salesforce])),
  })
}

/** JSON Schema of unstall.config.yaml, for editors. */
export const configJsonSchema = (): Schema => jsonSchemaOf(fileSchema({}))

/** Reads and checks the file. `now` decides the years of holidays. Throws UsageError naming every problem. */
export function loadConfig(file: string, now: Instant, variables: Variables = process.env): Config {
  if (!existsSync(file))
    throw new UsageError(
      `${file} is not there. Make it with: unstall init (or copy unstall.config.example.yaml to that name and fill it in).`,
    )
  return parseConfig(readFileSync(file, 'utf8'), { file: resolve(file), now, variables })
}

/** Like `loadConfig`, from text. `file`: absolute path, for messages, `dataDir` and the absences file. */
export function parseConfig(
  text: string,
  {
    file,
    now,
    variables = process.env,
  }: { readonly file: string; readonly now: Instant; readonly variables?: Variables },
): Config {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const unreadable = document.errors.map(({ message, pos }) => ({
    line: lines.linePos(pos[0]).line,
    message: `not readable as YAML: ${message.split(' at line')[0]}`,
  }))
  if (unreadable.length > 0) throw listed(file, unreadable)

  const problems: Listed[] = []
  const add = ({ path, message }: Problem) =>
    problems.push({ line: lines.linePos(offsetOf(document, path)).line, message: `${shown(path)} ${message}`.trim() })
  const raw = expand(document.toJS(), [], variables, add)
  const read = fileSchema(variables).safeParse(raw ?? {})
  const schema = configJsonSchema()
  for (const issue of read.error?.issues ?? []) words(issue, raw, schema).forEach(add)
  const environment = readEnvironment(variables, problems)

  const country = fieldOf(raw, 'holidays')
  const days = typeof country === 'string' ? publicHolidays(country, now, add) : []
  const csv = fieldOf(raw, 'absences')
  const rows = typeof csv === 'string' ? absencesFile(csv, file, add) : []
  const connected = Object.entries(fieldOf(raw, 'connections') ?? {})
  for (const [name, one] of connected)
    if (fieldOf(one, 'system') === 'salesforce' && !fieldOf(one, 'loginUrl') && !fieldOf(one, 'baseUrl'))
      add({
        path: ['connections', name],
        message: 'needs loginUrl: your My Domain, such as https://acme.my.salesforce.com',
      })
  if (environment.databaseUrl && !environment.secretKey)
    for (const [name, one] of connected)
      if (['auth', 'kind'].reduce(fieldOf, one) === 'oauth')
        add({
          path: ['connections', name, 'auth'],
          message: `needs UNSTALL_SECRET_KEY in the environment, the same on every machine: its tokens are stored encrypted in the database (${KEY_HOWTO})`,
        })
  const { archive, firstNight } = read.data ?? {}
  for (const [days, gets] of Object.entries(firstNight?.oldDeals ?? {})) {
    const path = ['firstNight', 'oldDeals', days]
    if (Number(days) < (firstNight?.deadAfter ?? 0))
      add({ path, message: `is below firstNight.deadAfter (${firstNight?.deadAfter}): such deals are not old` })
    if (gets === 'archive' && archive?.stage === undefined)
      add({ path, message: 'needs archive.stage: the stage old deals are moved to' })
  }
  if (read.success && connected.length === 0) add({ path: ['connections'], message: 'names no connection' })
  if (!read.success || problems.length > 0) throw listed(file, problems)

  const { schedule, dataDir, maxDailyCallsShare, digests, web, connections, ...shared } = read.data
  const { holidays: dates, absences: inline } = shared
  const away: Record<string, string[]> = {}
  for (const [owner, range] of typeof inline === 'string' ? rows : Object.entries(inline))
    away[owner.toLowerCase()] = [...(away[owner.toLowerCase()] ?? []), range].flat()
  const settings = { ...shared, holidays: typeof dates === 'string' ? days : dates, absences: away }
  const resolved = Object.entries(connections).map(([name, one]): ConnectionConfig => {
    const { system, auth } = one
    const url = one.baseUrl ?? (system === 'hubspot' ? HUBSPOT : (one.loginUrl ?? ''))
    // Merged as written: defaults of a connection's own policy would hide the common one.
    const over = ['connections', name, 'policy'].reduce(fieldOf, raw)
    const policy = Policy.parse(merge(fieldOf(raw, 'policy') ?? {}, over ?? {}))
    const baseUrl = new URL(url).origin
    return { name, system, baseUrl, loopback: isLoopback(url), auth, settings: Settings.parse({ ...settings, policy }) }
  })
  const { timezone } = shared
  const where = { file, dataDir: resolve(dirname(file), dataDir) }
  const service = { timezone, schedule, maxDailyCallsShare, digests, web }
  return { ...where, ...service, connections: resolved, environment }
}

/** Throws UsageError unless the text is good, whatever variables are yet to be set. */
export function checkText(text: string, file: string, now: Instant, variables: Variables = process.env): void {
  const named = [...text.matchAll(REFERENCE)].map(([, name = '']) => [name, variables[name]])
  try {
    parseConfig(text, { file, now, variables: Object.fromEntries(named) })
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    const lines = error.message.split('\n').filter((line) => !line.endsWith(UNSET))
    if (lines.length > 1) throw new UsageError(lines.join('\n'), { cause: error })
  }
}

/** The same in the file itself. Throws UsageError, before writing, if the file could not be read any more. */
export function writeSettings(file: string, now: Instant, settings: readonly Setting[]): readonly Setting[] {
  const { text, set } = withSettings(readFileSync(file, 'utf8'), settings)
  parseConfig(text, { file, now, variables: process.env })
  if (set.length > 0) writeFileSync(file, text)
  return set
}

function readEnvironment(variables: Variables, problems: Listed[]): Environment {
  const problem = (name: string, message: string) =>
    problems.push({ line: 0, message: `${name} in the environment must ${message}` })
  const secret = (name: string, form: RegExp, must: string) => {
    const value = variables[name]
    if (value && !form.test(value)) problem(name, must)
    return value ? new Secret(value) : null
  }
  const hash = (name: string) => secret(name, PASSWORD_HASH, 'be what "unstall password" prints, not a password')
  const whole = (name: string, least: number, most: number) => {
    const value = variables[name] ? Number(variables[name]) : null
    if (value !== null && !(Number.isInteger(value) && value >= least && value <= most))
      problem(name, `be ${least} to ${most}`)
    return value
  }
  const level = Level.nullable().safeParse(variables.UNSTALL_LOG || null)
  if (!level.success) problem('UNSTALL_LOG', `be one of ${Level.options.join(', ')}`)
  return {
    databaseUrl: secret('DATABASE_URL', /^postgres(ql)?:\/\//, 'look like postgresql://user:password@host/database'),
    redisUrl: secret('REDIS_URL', /^rediss?:\/\//, 'look like redis://host:6379'),
    secretKey: secret('UNSTALL_SECRET_KEY', /.{32}/s, `have at least 32 characters (${KEY_HOWTO})`),
    oldSecretKey: variables.UNSTALL_SECRET_KEY_OLD ? new Secret(variables.UNSTALL_SECRET_KEY_OLD) : null,
    operator: hash('UNSTALL_OPERATOR'),
    viewer: hash('UNSTALL_VIEWER'),
    host: variables.UNSTALL_HOST || '127.0.0.1',
    metricsToken: secret('UNSTALL_METRICS_TOKEN', /.{20}/s, 'have at least 20 characters'),
    port: whole('UNSTALL_PORT', 0, 65_535),
    concurrency: whole('UNSTALL_CONCURRENCY', 1, 100) ?? 4,
    logLevel: level.data ?? null,
  }
}

/** `line` 0: not in the file. */
type Listed = { readonly line: number; readonly message: string }

function listed(file: string, problems: readonly Listed[]): UsageError {
  const sorted = problems.toSorted((a, b) => a.line - b.line)
  const text = sorted.map(({ line, message }) => `  ${line > 0 ? `line ${line}: ` : ''}${message}`)
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
  return new UsageError([`${file} has ${count}:`, ...text].join('\n'))
}

/** `closures (entry 2)`, `policy.idleDays` */
const shown = (path: readonly PropertyKey[]) =>
  path
    .map((key) => (typeof key === 'number' ? ` (entry ${key + 1})` : `.${String(key)}`))
    .join('')
    .slice(1)

/** Where the deepest part of `path` that is in the file begins. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let offset = 0
  for (const [depth, step] of path.entries()) {
    const parent = document.getIn(path.slice(0, depth), true)
    const found = isMap(parent)
      ? parent.items.find(({ key }) => String(key) === String(step))?.key
      : document.getIn(path.slice(0, depth + 1), true)
    if (isNode(found)) offset = found.range?.[0] ?? offset
  }
  return offset
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Replaces `${NAME}` in every text but secrets, which the schema wraps. */
function expand(
  value: unknown,
  path: readonly PropertyKey[],
  variables: Variables,
  add: (problem: Problem) => void,
): unknown {
  const inner = (each: unknown, key: PropertyKey) => expand(each, [...path, key], variables, add)
  if (Array.isArray(value)) return value.map(inner)
  if (isRecord(value)) return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inner(each, key)]))
  if (typeof value !== 'string' || mayBeSecret(path)) return value
  return value.replace(REFERENCE, (whole, name: string) => {
    if (variables[name] === undefined) add({ path, message: `needs ${whole}, ${UNSET}` })
    return variables[name] ?? whole
  })
}

/** Groups are merged key by key; anything else of `over` replaces what was there. */
function merge(under: unknown, over: unknown): unknown {
  if (!isRecord(under) || !isRecord(over)) return over
  const merged = Object.entries(over).map(([key, value]) => [key, key in under ? merge(under[key], value) : value])
  return { ...under, ...Object.fromEntries(merged) }
}

// The holidays of all countries take 30 MB, and most configurations name none.
const holidayCalendar = (): typeof Holidays => createRequire(import.meta.url)('date-holidays')

/** Public holidays of `FR` or `DE-BY` (ISO 3166) in the six years around `now`, as dates, in order. Source:
 *  date-holidays. */
function publicHolidays(text: string, now: Instant, add: (problem: Problem) => void): LocalDate[] {
  const [country = '', state, region] = text.toUpperCase().split('-')
  const Calendar = holidayCalendar()
  const all = new Calendar()
  const known = [all.getCountries(), all.getStates(country), state && all.getRegions(country, state)]
  for (const [index, part] of [country, state, region].entries()) {
    const names = Object.keys(known[index] || {})
    if (part === undefined || names.includes(part)) continue
    const what = index === 0 ? 'no country (two letters, such as FR)' : `no region of ${country}`
    const others = index > 0 && names.length > 0 ? `; known: ${names.join(', ')}` : ''
    add({ path: ['holidays'], message: `"${text}": ${part} is ${what}${others}` })
    return []
  }
  const calendar = new Calendar(country, state ?? '', region ?? '')
  const years = Array.from({ length: 6 }, (_, index) => new Date(now).getUTCFullYear() - 3 + index)
  const found = years.flatMap((year) => calendar.getHolidays(year)).filter((day) => day.type === 'public')
  const dates = found.flatMap(({ date, start, end }) => {
    const length = Math.max(1, Math.round((end.getTime() - start.getTime()) / 86_400_000))
    const first = Date.parse(date.slice(0, 10))
    return Array.from({ length }, (_, day) => new Date(first + day * 86_400_000).toISOString().slice(0, 10))
  })
  return [...new Set(dates)].sort()
}

/** Owner e-mail and range from a CSV file beside the configuration, with the columns owner, from, to (may be empty). */
function absencesFile(name: string, file: string, add: (problem: Problem) => void): [string, string][] {
  const path = resolve(dirname(file), name)
  if (!existsSync(path)) {
    add({ path: ['absences'], message: `names the file ${name}, which is not there` })
    return []
  }
  const options = { bom: true, trim: true, relax_column_count: true, skip_empty_lines: true }
  return parseCsv(readFileSync(path), options).flatMap(
    ([owner = '', from = '', to = ''], index): [string, string][] => {
      if (index === 0) return []
      const range = DateRange.safeParse(to ? `${from}/${to}` : from)
      const message = owner.includes('@') ? range.error?.issues[0]?.message : `"${owner}" is not an e-mail address`
      if (message) add({ path: ['absences'], message: `in ${name}, row ${index + 1}: ${message}` })
      return range.success ? [[owner, range.data]] : []
    },
  )
}
