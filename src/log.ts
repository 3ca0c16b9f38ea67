// The log: lines of JSON on stderr (stdout belongs to results), readable text on a terminal. Everything that leaves
// through it is cleaned first: no token, password or authorization header, wherever in an object or message it stands.
import { AsyncLocalStorage } from 'node:async_hooks'
import { type DestinationStream, destination as fileStream, type Logger, pino } from 'pino'
import pretty from 'pino-pretty'

/** What code is handed: data first, then a sentence. A test may pass its own. */
export interface Log {
  debug(data: object, message: string): void
  info(data: object, message: string): void
  warn(data: object, message: string): void
  error(data: object, message: string): void
}

const about = new AsyncLocalStorage<object>()
/** Every line that is written while `work` goes on, by whomever, also says this: the run it belongs to. */
export const logging = <T>(data: object, work: () => T): T => about.run(data, work)

const HIDDEN = '[hidden]'
const SECRET_KEY =
  /^(.*[_-])?(authorization|cookie|password|passphrase|secret|token|assertion|api[_-]?key|private[_-]?key)$/i
const CAMEL_KEY = /(Token|Secret|Password|PrivateKey|ApiKey|Cookie)$/
/** HubSpot private-app tokens, Salesforce session ids, JSON Web Tokens, PEM keys. */
const SHAPES =
  /\bpat-[a-z0-9]+-[\w-]{8,}|\b00D[A-Za-z0-9]{9,15}![\w.]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*|-----BEGIN [A-Z ]+-----[^-]*-----END [A-Z ]+-----/g
const MAX_DEPTH = 8

/** Text without credentials: bearer and basic headers, tokens by their shape, passwords in URLs, secret query values, webhooks. */
export function scrub(text: string): string {
  return text
    .replace(/\b(Bearer|Basic)\s+[\w.~+/=!-]+/gi, `$1 ${HIDDEN}`)
    .replace(/(\w+:\/\/)[^\s/:@"]*:[^\s/"]+@/g, `$1${HIDDEN}@`)
    .replace(/(hooks\.slack\.com\/services\/)[\w/]+/g, `$1${HIDDEN}`)
    .replace(/\b((?:access_|refresh_|id_)?token|client_secret|assertion|code|password)=[^&\s"']+/gi, `$1=${HIDDEN}`)
    .replace(SHAPES, HIDDEN)
}

/** A copy fit for the log. Errors keep name, message, stack and cause. */
export function clean(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return scrub(value)
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH) return '[deeper]'
  if (value instanceof Error) {
    const { name, message, stack, cause } = value
    const rest = Object.entries(value).filter(([key]) => !['name', 'message', 'stack', 'cause'].includes(key))
    return clean({ type: name, message, stack, ...(cause ? { cause } : {}), ...Object.fromEntries(rest) }, depth)
  }
  if ('toJSON' in value && typeof value.toJSON === 'function') return clean(value.toJSON(), depth + 1)
  if (Array.isArray(value)) return value.map((each) => clean(each, depth + 1))
  if (value instanceof Map || value instanceof Set) return clean([...value], depth)
  return cleanFields(value, depth + 1)
}
const cleanFields = (data: object, depth = 0): Record<string, unknown> => {
  const hides = (key: string) => SECRET_KEY.test(key) || CAMEL_KEY.test(key)
  return Object.fromEntries(Object.entries(data).map(([key, each]) => [key, hides(key) ? HIDDEN : clean(each, depth)]))
}

export interface LogOptions {
  /** Readable text instead of JSON; default: when stderr is a terminal. */
  readonly pretty?: boolean | undefined
  /** Instead of stderr. */
  readonly stream?: DestinationStream
}

/** `level`: a level of pino, from UNSTALL_LOG. */
export function createLog(level: string, { pretty: asText, stream }: LogOptions = {}): Logger {
  const readable = asText ?? process.stderr.isTTY === true
  const raw = stream ?? fileStream({ dest: 2, sync: true })
  const out = readable ? pretty({ colorize: !stream, ignore: 'pid,hostname', destination: raw, sync: true }) : raw
  return pino(
    {
      level,
      mixin: () => ({ ...about.getStore() }),
      // An error handed over alone arrives as `err`; all else goes through `log`. Messages are cleaned before both.
      serializers: { err: (error: unknown) => clean(error) },
      formatters: { bindings: (bindings) => cleanFields(bindings), log: (data) => cleanFields(data) },
      hooks: { streamWrite: scrub },
    },
    out,
  )
}
