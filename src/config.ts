// unstall.config.yaml and the environment, checked whole before anything runs: one UsageError lists every problem with
// its line. Secrets only ever come from the environment and are wrapped, so that no log, error or dump can show them.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { inspect } from 'node:util'
import { parse as parseCsv } from 'csv-parse/sync'
import Holidays from 'date-holidays'
import { type Document, isAlias, isMap, isSeq, LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { fieldOf, jsonSchemaOf, nearest, words } from './config-words.ts'
import type { Instant, LocalDate, System } from './core/deal.ts'
import { DateRange, Policy, Settings } from './core/policy.ts'
import { UsageError } from './errors.ts'

/** Text that never prints: `reveal()` is the only way to the value. */
export class Secret {
  readonly #value: string
  constructor(value: string) {
    this.#value = value
  }
  reveal(): string {
    return this.#value
  }
  toString(): string {
    return '[secret]'
  }
  toJSON(): string {
    return '[secret]'
  }
  [inspect.custom](): string {
    return '[secret]'
  }
}

export type Variables = Readonly<Record<string, string | undefined>>

export interface Environment {
  /** PostgreSQL; null: embedded PGlite in the data directory. */
  readonly databaseUrl: Secret | null
  /** Redis or Valkey; null: the queue lives in the database. */
  readonly redisUrl: Secret | null
  /** Key of the token vault (UNSTALL_KEY). */
  readonly key: Secret | null
  /** Where `unstall start` listens: UNSTALL_HOST (127.0.0.1) and UNSTALL_PORT (4000). */
  readonly host: string
  readonly port: number
  /** UNSTALL_LOG: a level of pino; null: `info` for the service, `warn` for a command. */
  readonly logLevel: z.infer<typeof Level> | null
}

export type Auth =
  | { readonly kind: 'token'; readonly token: Secret }
  | { readonly kind: 'client-credentials'; readonly clientId: string; readonly clientSecret: Secret }
  | { readonly kind: 'jwt'; readonly clientId: string; readonly username: string; readonly privateKey: Secret }
  | { readonly kind: 'oauth'; readonly clientId: string; readonly clientSecret: Secret }

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
  /** Absolute; relative ones count from the file's folder. */
  readonly dataDir: string
  readonly connections: readonly ConnectionConfig[]
  readonly environment: Environment
}

const HUBSPOT = 'https://api.hubapi.com'
const Level = z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
const SECRETS = new Set(['token', 'clientSecret', 'privateKey'])
const REFERENCE = /\$\{([A-Za-z_]\w*)\}/g

const isZone = (zone: string) => {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: zone }))
  } catch {
    return false
  }
}
const zone = z.string().refine(isZone, {
  error: ({ input }) =>
    `is not a time zone such as Europe/Paris${nearest(String(input), Intl.supportedValuesOf('timeZone'))}`,
})

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
/** Minute, hour, day of month, month, weekday: least and greatest value, and names counted from the least. */
const CRON: readonly (readonly [number, number, ...string[]])[] = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12, ...MONTHS],
  [0, 7, ...WEEKDAYS],
]
function isCron(text: string): boolean {
  const fields = text.trim().toLowerCase().split(/\s+/)
  const good = ([least, most, ...names]: (typeof CRON)[number], part: string) => {
    const [, first, last, step] = /^(\*|[a-z]{3}|\d+)(?:-([a-z]{3}|\d+))?(?:\/(\d+))?$/.exec(part) ?? []
    if (first === undefined || Number(step) === 0) return false
    if (first === '*') return last === undefined
    const number = (value: string) => (names.includes(value) ? names.indexOf(value) + least : Number(value))
    const [from, to] = [number(first), number(last ?? first)]
    return from >= least && from <= to && to <= most
  }
  return fields.length === 5 && CRON.every((rule, index) => fields[index]?.split(',').every((part) => good(rule, part)))
}

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]'])
const origin = (text: string) => {
  const url = URL.parse(text)
  return url && url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password ? url : null
}
const isLoopback = (text: string) => {
  const url = origin(text)
  return url !== null && /^https?:$/.test(url.protocol) && LOOPBACK.has(url.hostname)
}
const isSalesforce = (text: string) => {
  const url = origin(text)
  return url?.protocol === 'https:' && url.hostname.endsWith('.salesforce.com') && url.port === ''
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
const connectionName = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,39}$/i, 'is not a connection name: letters, digits, - and _')

/** The file as a person writes it. `variables` fills the secrets. */
function fileSchema(variables: Variables) {
  const secret = z.string().transform((text, context) => {
    const [, name] = /^\$\{([A-Za-z_]\w*)\}$/.exec(text) ?? []
    // What the lookalike CRMs accept opens nothing else.
    const value = name === undefined ? /^sandbox(-[\w.-]+)?$/.exec(text)?.[0] : variables[name]
    if (value) return new Secret(value)
    const message =
      name === undefined
        ? `must not stand in the file: write "\${NAME}" and set NAME in the environment`
        : `needs \${${name}}, which is not set in the environment`
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })
  const clientId = filled
  const token = z.strictObject({ kind: z.literal('token'), token: secret })
  const oauth = z.strictObject({ kind: z.literal('oauth'), clientId, clientSecret: secret })
  const credentials = z.strictObject({ kind: z.literal('client-credentials'), clientId, clientSecret: secret })
  const jwt = z.strictObject({ kind: z.literal('jwt'), clientId, username: filled, privateKey: secret })
  const policy = Policy.optional()
  const hubspot = z.strictObject({
    system: z.literal('hubspot'),
    baseUrl: baseUrl.optional(),
    auth: z.discriminatedUnion('kind', [token, oauth]),
    policy,
  })
  const salesforce = z.strictObject({
    system: z.literal('salesforce'),
    loginUrl: loginUrl.optional(),
    baseUrl: baseUrl.optional(),
    auth: z.discriminatedUnion('kind', [credentials, jwt, oauth]),
    policy,
  })
  const { language, policy: rules, forecast, tasks, scope, closures, archive, firstNight, brakes } = Settings.shape
  return z.strictObject({
    timezone: zone,
    language,
    holidays: holidays.default([]),
    schedule: z
      .string()
      .refine(isCron, 'must be five cron fields, such as "0 2 * * *" for every night at 2')
      .default('0 2 * * *'),
    dataDir: filled.default('./.unstall'),
    connections: z.record(connectionName, z.discriminatedUnion('system', [hubspot, salesforce])),
    ...{ policy: rules, forecast, tasks, scope, closures, archive, firstNight, brakes },
    absences: absences.default({}),
  })
}

/** JSON Schema of unstall.config.yaml, for editors. */
export const configJsonSchema = () => jsonSchemaOf(fileSchema({}))

/** Reads and checks the file. `now` decides the years of holidays. Throws UsageError naming every problem. */
export function loadConfig(file: string, now: Instant, variables: Variables = process.env): Config {
  if (!existsSync(file))
    throw new UsageError(`${file} is not there. Copy unstall.config.example.yaml to that name and fill it in.`)
  return parseConfig(readFileSync(file, 'utf8'), { file: resolve(file), now, variables })
}

/** Like `loadConfig`, from text. `file`: absolute path, for messages, `dataDir` and the absences file. */
export function parseConfig(
  text: string,
  { file, now, variables }: { readonly file: string; readonly now: Instant; readonly variables: Variables },
): Config {
  const problems: { line: number; message: string }[] = []
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  for (const error of document.errors) {
    const message = error.message.split(' at line')[0] ?? error.message
    problems.push({ line: lines.linePos(error.pos[0]).line, message: `not readable as YAML: ${message}` })
  }
  if (problems.length > 0) throw listed(file, problems)

  const add = (path: readonly PropertyKey[], message: string) =>
    problems.push({ line: lineOf(document, lines, path), message: `${named(path)} ${message}`.trim() })
  const raw = expand(document.toJS(), [], variables, add)
  const read = fileSchema(variables).safeParse(raw ?? {})
  const shape = configJsonSchema()
  for (const issue of read.error?.issues ?? [])
    for (const { path, message } of words(issue, raw, shape, mayBeSecret)) add(path, message)
  const environment = readEnvironment(variables, (message) => problems.push({ line: 0, message }))

  const years = Array.from({ length: 6 }, (_, index) => new Date(now).getUTCFullYear() - 3 + index)
  const found = fieldOf(raw, 'holidays')
  const days = typeof found === 'string' ? publicHolidays(found, years, (message) => add(['holidays'], message)) : []
  const given = fieldOf(raw, 'absences')
  const listedAway = typeof given === 'string' ? absencesFile(given, file, (message) => add(['absences'], message)) : []
  const connected = Object.entries(fieldOf(raw, 'connections') ?? {})
  for (const [name, one] of connected)
    if (fieldOf(one, 'system') === 'salesforce' && !fieldOf(one, 'loginUrl') && !fieldOf(one, 'baseUrl'))
      add(['connections', name], 'needs loginUrl: your My Domain, such as https://acme.my.salesforce.com')
  if (read.success && connected.length === 0) add(['connections'], 'names no connection')
  if (!read.success || problems.length > 0) throw listed(file, problems)

  const { timezone, schedule, dataDir, connections, absences: inline, holidays: dates, ...shared } = read.data
  const away = typeof inline === 'string' ? listedAway : Object.entries(inline)
  const settings = {
    ...shared,
    timezone,
    holidays: typeof dates === 'string' ? days : dates,
    absences: Object.fromEntries(
      away.map(([owner]) => [
        owner.toLowerCase(),
        away.flatMap(([other, list]) => (sameText(other, owner) ? list : [])),
      ]),
    ),
  }
  const resolved = Object.entries(connections).map(([name, one]): ConnectionConfig => {
    const url = one.baseUrl ?? (one.system === 'hubspot' ? HUBSPOT : (one.loginUrl ?? ''))
    const over = fieldOf(fieldOf(fieldOf(raw, 'connections'), name), 'policy')
    const policy = Policy.parse(merge(fieldOf(raw, 'policy') ?? {}, over ?? {}))
    return {
      name,
      system: one.system,
      baseUrl: new URL(url).origin,
      loopback: isLoopback(url),
      auth: one.auth,
      settings: Settings.parse({ ...settings, policy }),
    }
  })
  return { file, timezone, schedule, dataDir: resolve(dirname(file), dataDir), connections: resolved, environment }
}

const sameText = (one: string, other: string) => one.toLowerCase() === other.toLowerCase()

/** Throws UsageError when a variable is unusable; for commands that need no file (`demo`, `sandbox`). */
export function loadEnvironment(variables: Variables = process.env): Environment {
  const problems: { line: number; message: string }[] = []
  const environment = readEnvironment(variables, (message) => problems.push({ line: 0, message }))
  if (problems.length > 0) throw listed('the environment', problems)
  return environment
}

function readEnvironment(variables: Variables, problem: (message: string) => void): Environment {
  const url = (name: string, protocols: RegExp, like: string) => {
    const value = variables[name]
    if (value && !protocols.test(value)) problem(`${name} in the environment must look like ${like}`)
    return value ? new Secret(value) : null
  }
  const port = Number(variables.UNSTALL_PORT || 4000)
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    problem('UNSTALL_PORT in the environment must be 1 to 65535')
  const level = Level.nullable().safeParse(variables.UNSTALL_LOG || null)
  if (!level.success) problem(`UNSTALL_LOG in the environment must be one of ${Level.options.join(', ')}`)
  return {
    databaseUrl: url('DATABASE_URL', /^postgres(ql)?:\/\//, 'postgresql://user:password@host/database'),
    redisUrl: url('REDIS_URL', /^rediss?:\/\//, 'redis://host:6379'),
    key: variables.UNSTALL_KEY ? new Secret(variables.UNSTALL_KEY) : null,
    host: variables.UNSTALL_HOST || '127.0.0.1',
    port,
    logLevel: level.data ?? null,
  }
}

function listed(file: string, problems: readonly { line: number; message: string }[]): UsageError {
  const sorted = [...problems].sort((a, b) => a.line - b.line)
  const text = sorted.map(({ line, message }) => `  ${line > 0 ? `line ${line}: ` : ''}${message}`)
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
  return new UsageError([`${file} has ${count}:`, ...text].join('\n'))
}

/** `closures (entry 2)`, `policy.idleDays` */
const named = (path: readonly PropertyKey[]) =>
  path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text} (entry ${key + 1})`
    return text ? `${text}.${String(key)}` : String(key)
  }, '')

/** The line of the deepest part of `path` that is in the file. */
function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents
  let offset = 0
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap<{ value?: unknown; range?: readonly number[] }, unknown>(node)) {
      const pair = node.items.find((item) => String(item.key.value) === String(step))
      if (!pair) break
      offset = pair.key.range?.[0] ?? offset
      node = pair.value
    } else if (isSeq<{ range?: readonly number[] }>(node)) {
      const item = node.items[Number(step)]
      if (!item) break
      offset = item.range?.[0] ?? offset
      node = item
    } else break
  }
  return lines.linePos(offset).line
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const mayBeSecret = (path: readonly PropertyKey[]) => path.includes('auth') && SECRETS.has(String(path.at(-1)))

/** Replaces `${NAME}` in every text but secrets, which the schema wraps. */
function expand(
  value: unknown,
  path: readonly PropertyKey[],
  variables: Variables,
  add: (path: readonly PropertyKey[], message: string) => void,
): unknown {
  if (Array.isArray(value)) return value.map((each, index) => expand(each, [...path, index], variables, add))
  if (isRecord(value))
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [key, expand(each, [...path, key], variables, add)]),
    )
  if (typeof value !== 'string' || mayBeSecret(path)) return value
  return value.replace(REFERENCE, (whole, name: string) => {
    if (variables[name] === undefined) add(path, `needs ${whole}, which is not set in the environment`)
    return variables[name] ?? whole
  })
}

/** Groups are merged key by key; anything else of `over` replaces what was there. */
function merge(under: unknown, over: unknown): unknown {
  if (!isRecord(under) || !isRecord(over)) return over
  const merged = { ...under }
  for (const [key, value] of Object.entries(over)) merged[key] = key in under ? merge(under[key], value) : value
  return merged
}

/** Public holidays of `FR` or `DE-BY` (ISO 3166) in the given years, as dates, in order. Source: date-holidays. */
function publicHolidays(text: string, years: readonly number[], problem: (message: string) => void): LocalDate[] {
  const [country = '', state, region] = text.toUpperCase().split('-')
  const countries = new Holidays().getCountries()
  const known = [countries, new Holidays().getStates(country), state && new Holidays().getRegions(country, state)]
  for (const [index, part] of [country, state, region].entries()) {
    const names = Object.keys(known[index] || {})
    if (part === undefined || names.includes(part)) continue
    const what = index === 0 ? 'no country (two letters, such as FR)' : `no region of ${country}`
    problem(`"${text}": ${part} is ${what}${index > 0 && names.length > 0 ? `; known: ${names.join(', ')}` : ''}`)
    return []
  }
  const calendar = new Holidays(country, state ?? '', region ?? '')
  const dates = years.flatMap((year) => calendar.getHolidays(year)).filter((day) => day.type === 'public')
  const all = dates.flatMap(({ date, start, end }) => {
    const first = Date.parse(date.slice(0, 10))
    const length = Math.max(1, Math.round((end.getTime() - start.getTime()) / 86_400_000))
    return Array.from({ length }, (_, day) => new Date(first + day * 86_400_000).toISOString().slice(0, 10))
  })
  return [...new Set(all)].sort()
}

/** Owner e-mail and range from a CSV file beside the configuration, with the columns owner, from, to (may be empty). */
function absencesFile(name: string, file: string, problem: (message: string) => void): [string, string][] {
  const path = resolve(dirname(file), name)
  if (!existsSync(path)) problem(`names the file ${name}, which is not there`)
  if (!existsSync(path)) return []
  const table = parseCsv(readFileSync(path), {
    bom: true,
    trim: true,
    relax_column_count: true,
    skip_empty_lines: true,
  })
  return table.slice(1).flatMap(([owner = '', from = '', to = ''], index): [string, string][] => {
    const range = DateRange.safeParse(to ? `${from}/${to}` : from)
    const message = owner.includes('@') ? range.error?.issues[0]?.message : `"${owner}" is not an e-mail address`
    if (message) problem(`in ${name}, row ${index + 2}: ${message}`)
    return range.success ? [[owner, range.data]] : []
  })
}
