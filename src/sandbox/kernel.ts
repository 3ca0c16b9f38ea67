// What both lookalike CRMs share: the HTTP server on loopback, the clock, the journal, the call counts, latency, rate
// limits, faults, tokens and the /__sandbox control calls. A lookalike supplies its routes and its own error bodies.
// Handlers are synchronous, so each call is applied whole or not at all.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { unescape as decoded } from 'node:querystring'
import { text } from 'node:stream/consumers'
import { z } from 'zod'
import { Act, type Calls, Clock, type Fault, Faults, HALF, type JournalLine } from './control.ts'
import { faultPlan } from './faults.ts'
import { type Lane, Limiter, type Limits } from './limits.ts'
import { random } from './random.ts'
import type { Instant } from './seed.ts'
import { createTokens, type Tokens } from './tokens.ts'

export type { Lane } from './limits.ts'

/** One call of the API. The method in upper case, the path without its query, names of headers in lower case; `template`:
 *  the route's, `(unknown)` where none fits; `params`: its `{name}` segments, decoded; `origin`: of this sandbox. */
export interface Call {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly params: Readonly<Record<string, string>>
  readonly template: string
  readonly origin: string
  /** Which of these records (ids or keys) a `partial` or `bad-row` fault makes bad. Batch writes ask this once,
   *  before they apply anything: `each` are refused one by one, any of `whole` refuses the whole batch. */
  bad(records: readonly string[]): { readonly each: ReadonlySet<string>; readonly whole: ReadonlySet<string> }
  /** Answers a call that this one contains (its URL without the origin) by the route that fits. It costs and counts
   *  nothing. Faults that do not fit the call around it strike it; where the client would get no answer it is a 500. */
  within(method: string, url: string, body: string): Answer
}

/** A text as body goes out as it is (give a content-type), anything else as JSON. */
export type Answer = Readonly<{ status: number; body?: unknown; headers?: Readonly<Record<string, string>> }>

/** Thrown anywhere in a handler: this answer instead. Nothing may have been applied before. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly answer: Answer
  constructor(answer: Answer) {
    super(`refused with ${answer.status}`)
    this.answer = answer
  }
}

/** Thrown by `act`: the control call is wrong (unknown deal, field, stage): 400 with this text. */
export class WrongAct extends Error {
  override readonly name = 'WrongAct'
}

/** `{name}` in the template stands for one segment. The first fitting route wins. */
export type Route = Readonly<{ method: string; template: string; handle: (call: Call) => Answer }>

/** The fields behind the kind belong to `rate` and `daily`. */
export interface Refusal {
  readonly kind: 'rate' | 'daily' | 'not-found' | 'method' | 'too-large' | 'server-error' | 'bad-gateway'
  readonly lane?: string | undefined
  readonly retryAfterS?: number | undefined
  readonly policyName?: string | undefined
}

/** What a system supplies. Built anew from the seed by `reset`. */
export interface Lookalike {
  readonly routes: readonly Route[]
  readonly maxBodyBytes: number
  /** Runs before the route, after the limits: an answer (401, daily cap) ends the call, null lets it through. */
  guard(call: Call): Answer | null
  /** Null: this call is not limited. */
  lane(call: Call): Lane | null
  /** The system's own words for what the kernel refuses. */
  refuse(refusal: Refusal, call: Call): Answer
  /** Added to every answer of the API. `remaining` is null without limits. */
  headers(call: Call, remaining: number | null): Readonly<Record<string, string>>
  /** Lines of GET /__sandbox/state, each with its `kind`. */
  state(): Iterable<Readonly<Record<string, unknown>>>
  /** Carries out the act and returns the id of the record concerned. Throws WrongAct. */
  act(act: Act): string | null
}

/** What the kernel offers a lookalike. `monotonic`: milliseconds that only go forward; `random`: seeded, 0 to 1. */
export interface Kernel {
  readonly options: Required<SandboxOptions>
  readonly tokens: Tokens
  /** The sandbox's clock. */
  now(): Instant
  monotonic(): number
  random(): number
  /** Journals one applied write; the endpoint is that of the current call. */
  record(entry: Pick<JournalLine, 'object' | 'id' | 'before' | 'after'>): void
}

/** Default: any free port (always on 127.0.0.1), the machine's clock, seed 1, no latency, no limits, tokens that do not
 *  expire. `monotonic` and `sleep` are for tests. */
export interface SandboxOptions {
  readonly port?: number
  readonly now?: Instant
  readonly seed?: number
  readonly latencyMs?: number
  readonly limits?: Limits
  readonly tokenLifeS?: number | null
  readonly monotonic?: () => number
  readonly sleep?: (ms: number) => Promise<void>
  /** An error inside the sandbox itself, printed on stderr unless given. The client sees a 500 that says so. */
  readonly onBug?: (error: unknown) => void
}

export interface Sandbox {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly kernel: Kernel
  /** Ends at once, open connections too. */
  close(): Promise<void>
}

const CONTROL = '/__sandbox/'
/** The call is applied before these strike, and not applied at all where another fault strikes. */
const AFTER: readonly string[] = ['502-after', 'reset-after', 'timeout-after', 'slow', ...HALF]
const iso = (at: Instant) => new Date(at).toISOString()

/** Starts one lookalike on 127.0.0.1. Rejects where the port is taken. */
export async function startSandbox(build: (kernel: Kernel) => Lookalike, given: SandboxOptions = {}): Promise<Sandbox> {
  const options: Required<SandboxOptions> = {
    ...{ port: 0, now: Date.now(), seed: 1, latencyMs: 0, limits: 'none', tokenLifeS: null },
    monotonic: () => performance.now(),
    sleep: (ms) => new Promise((wake) => setTimeout(wake, ms)),
    onBug: (error) => console.error('sandbox:', error),
    ...given,
  }
  const { monotonic, sleep, onBug } = options
  let url = ''
  let endpoint = ''
  let clock = { now: 0, mono: 0 }
  let chance = () => 0
  let journal: JournalLine[] = []
  let acts: { at: string; id: string | null; act: Act }[] = []
  let limiter: Limiter
  let system: Lookalike
  let routes: readonly (Route & { readonly pattern: RegExp })[]
  const calls = new Map<string, Calls>()
  const faults = faultPlan(() => chance())
  const kernel: Kernel = {
    options,
    tokens: createTokens((options.tokenLifeS ?? Number.POSITIVE_INFINITY) * 1000, monotonic),
    now: () => Math.floor(clock.now + monotonic() - clock.mono),
    monotonic,
    random: () => chance(),
    record: (entry) => void journal.push({ at: iso(kernel.now()), endpoint, ...entry }),
  }
  const setClock = (now: Instant) => {
    clock = { now, mono: monotonic() }
    return { now: iso(now) }
  }
  const begin = () => {
    chance = random(options.seed).next
    journal = []
    acts = []
    limiter = new Limiter(options.limits, monotonic)
    calls.clear()
    faults.set([])
    kernel.tokens.clear()
    const start = setClock(options.now)
    system = build(kernel)
    routes = system.routes.map((route) => ({ ...route, pattern: pattern(route.template) }))
    return start
  }
  begin()

  /** `handle`: of the route that fits. */
  function apply(call: Call, handle: Route['handle']): Answer {
    endpoint = `${call.method} ${call.template}`
    if (Buffer.byteLength(call.body) > system.maxBodyBytes) return system.refuse({ kind: 'too-large' }, call)
    const lane = system.lane(call)
    const taken = lane && limiter.take(lane)
    const retryAfterS = Math.ceil((taken?.retryAfterMs ?? 0) / 1000)
    if (taken?.ok === false) return system.refuse({ kind: 'rate', lane: lane?.name, retryAfterS }, call)
    const answer = answered(() => system.guard(call) ?? handle(call))
    return { ...answer, headers: { ...system.headers(call, taken?.remaining ?? null), ...answer.headers } }
  }

  function answered(work: () => Answer): Answer {
    try {
      return work()
    } catch (error) {
      if (error instanceof Refused) return error.answer
      onBug(error)
      return { status: 500, body: { sandboxBug: `the sandbox itself failed: ${error}` } }
    }
  }

  /** A call with its route's part, and what handles it. */
  function routed(given: Omit<Call, 'params' | 'template' | 'bad' | 'within'>) {
    const { method, path, headers, origin } = given
    const fitting = routes.filter((route) => route.pattern.test(path))
    const route = fitting.find((one) => one.method === method)
    const call: Call = {
      ...given,
      template: route?.template ?? '(unknown)',
      params: mapped(route?.pattern.exec(path)?.groups ?? {}, decoded),
      bad: (records) => faults.bad(given, records),
      within(method, address, body) {
        const { pathname: path, searchParams: query } = new URL(address, origin)
        const { call: inner, handle } = routed({ method, path, query, body, headers, origin })
        endpoint = `${method} ${inner.template}`
        const strike = faults.strike(inner, call)
        if (!strike) return answered(() => handle(inner))
        if (AFTER.includes(strike.fault)) answered(() => handle(inner))
        return struck(strike, inner) ?? system.refuse({ kind: 'server-error' }, inner)
      },
    }
    const unfit = { kind: fitting.length > 0 ? 'method' : 'not-found' } as const
    return { call, handle: route?.handle ?? (() => system.refuse(unfit, call)) }
  }

  /** What the client gets in place of the answer, if a fault says so. */
  function struck({ fault, retryAfter, policyName }: Fault, call: Call): Answer | undefined {
    const refuse = (kind: Refusal['kind'], lane = 'normal') =>
      system.refuse({ kind, lane, retryAfterS: retryAfter, policyName }, call)
    const answers: Partial<Record<typeof fault, Answer>> = {
      '429': refuse('rate', system.lane(call)?.name),
      '429-daily': refuse('daily', 'daily'),
      '500-before': refuse('server-error'),
      '502-after': refuse('bad-gateway'),
      html: { status: 503, body: '<!DOCTYPE html><h1>503</h1>', headers: { 'content-type': 'text/html' } },
      redirect: { status: 307, headers: { location: `http://elsewhere.invalid${call.path}` } },
    }
    return answers[fault]
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '/', url)
    const method = request.method ?? 'GET'
    const body = await text(request).catch(() => null)
    if (body === null) return // the client hung up while sending: there is nobody to answer
    if (path.startsWith(CONTROL)) return send(response, control(method, path, query, body))

    const headers = mapped(request.headersDistinct, (values = []) => values.join(', '))
    const { call, handle } = routed({ method, path, query, body, headers, origin: url })
    if (options.latencyMs > 0) await sleep(options.latencyMs)
    const strike = faults.strike(call)
    if (strike?.fault === 'slow') await sleep(strike.ms ?? 5000)
    const skipped = strike && !AFTER.includes(strike.fault)
    const applied = skipped ? undefined : apply(call, handle)
    const lost = /^(reset|timeout)/.exec(strike?.fault ?? '')?.[0]
    const answer = lost ? undefined : ((strike && struck(strike, call)) ?? applied)
    const half = HALF.find((one) => one === strike?.fault)
    const status = half ? 0 : (answer?.status ?? 0)
    const { template } = call
    const row = calls.get(`${method} ${template}`) ?? { method, path: template, count: 0, statuses: {} }
    row.count += 1
    row.statuses[status] = (row.statuses[status] ?? 0) + 1
    calls.set(`${method} ${template}`, row)
    if (answer) send(response, answer, half)
    else if (lost === 'reset') request.socket.resetAndDestroy()
    // A timeout keeps the connection open until the client gives up or the sandbox closes.
  }

  function send(response: ServerResponse, { status, body, headers }: Answer, half?: (typeof HALF)[number]): void {
    const type = typeof body === 'string' ? 'text/plain;charset=utf-8' : 'application/json;charset=utf-8'
    const date = new Date(kernel.now()).toUTCString()
    response.writeHead(status, { date, ...(body === undefined ? {} : { 'content-type': type }), ...headers })
    const whole = typeof body === 'string' ? body : (JSON.stringify(body) ?? '')
    if (!half) return void response.end(whole)
    response.write(whole.slice(0, whole.length / 2) || ' ', () => half === 'cut' && response.destroy())
    const drip = setInterval(() => response.write(' '), 50)
    response.on('close', () => clearInterval(drip))
  }

  const controls: Readonly<Record<string, (body: unknown, query: URLSearchParams) => Answer>> = {
    'GET state': () => lines(system.state()),
    'GET journal': (_, query) => {
      const acts = query.get('acts') === 'true'
      return lines(journal.filter((line) => acts || line.endpoint !== `POST ${CONTROL}act`))
    },
    'GET acts': () => lines(acts),
    'GET calls': () => ok({ calls: [...calls.values()] }),
    'POST clock': (body) => ok(setClock(Date.parse(Clock.parse(body).now))),
    'POST act': (body) => {
      const act = Act.parse(body)
      const at = iso(kernel.now())
      if (act.act === 'revoke-token') kernel.tokens.revoke(act.id)
      const id = act.act === 'revoke-token' ? null : system.act(act)
      acts.push({ at, id, act })
      return ok({ ok: true, id })
    },
    'POST faults': (body) => {
      const ordered = Faults.parse(body)
      faults.set(ordered)
      return ok({ faults: ordered })
    },
    'POST reset': () => ok({ ok: true, ...begin() }),
  }

  function control(method: string, path: string, query: URLSearchParams, body: string): Answer {
    endpoint = `${method} ${path}`
    const answer = controls[`${method} ${path.slice(CONTROL.length)}`]
    if (!answer) return { status: 404, body: { error: `no control call ${endpoint}`, issues: [] } }
    const wrong = (error: string, issues = [error]): Answer => ({ status: 400, body: { error, issues } })
    try {
      return answer(JSON.parse(body || 'null'), query)
    } catch (error) {
      if (error instanceof SyntaxError) return wrong('the body is not JSON')
      if (error instanceof WrongAct) return wrong(error.message)
      if (!(error instanceof z.ZodError)) throw error
      return wrong(
        'wrong request',
        error.issues.map((issue) => `${issue.path.join('.') || '(body)'}: ${issue.message}`),
      )
    }
  }

  // Longer addresses than the lookalikes take themselves, so that they can refuse them in their own words.
  const server = createServer({ maxHeaderSize: 65_536, keepAliveTimeout: 60_000 }, (request, response) => {
    serve(request, response).catch((error: unknown) => {
      onBug(error)
      response.destroy()
    })
  })
  await once(server.listen(options.port, '127.0.0.1'), 'listening')
  const address = server.address()
  url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  const close = () => {
    server.closeAllConnections()
    return new Promise<void>((closed) => void server.close(() => closed()))
  }
  return { url, kernel, close }
}

/** A template as an expression with one named group per `{name}`; a slash at the end says nothing. */
const pattern = (template: string) =>
  new RegExp(`^${template.replaceAll('.', '\\.').replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}/?$`)

const mapped = <Value>(from: Readonly<Record<string, Value>>, to: (value: Value) => string) =>
  Object.fromEntries(Object.entries(from).map(([name, value]) => [name, to(value)]))

export const ok = (body: object): Answer => ({ status: 200, body })

function lines(values: Iterable<object>): Answer {
  const body = Array.from(values, (value) => `${JSON.stringify(value)}\n`).join('')
  return { status: 200, body, headers: { 'content-type': 'application/x-ndjson' } }
}
