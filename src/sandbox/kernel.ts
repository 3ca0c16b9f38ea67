// What both lookalike CRMs share: the HTTP server on loopback, the clock, the journal, the call counts, latency, rate
// limits, faults, tokens and the /__sandbox control calls. A lookalike supplies its routes and its own error bodies.
// Handlers are synchronous, so each call is applied whole or not at all.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { z } from 'zod'
import { Act, type CallsAnswer, Clock, type Fault, Faults, type JournalLine } from './control.ts'
import { FaultPlan } from './faults.ts'
import { matchPath, plainHeaders, readBody } from './http.ts'
import { type Lane, Limiter, type Limits } from './limits.ts'
import { random } from './random.ts'
import type { Instant } from './seed.ts'
import { Tokens } from './tokens.ts'

export type { Lane } from './limits.ts'

export interface Call {
  /** Upper case. */
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query: URLSearchParams
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Segments named in the route's template, decoded. */
  readonly params: Readonly<Record<string, string>>
  /** The route's template, `(unknown)` where no route fits. */
  readonly template: string
  /** Origin of this sandbox, for links. */
  readonly origin: string
  /** Which of these records (ids or keys) a `partial` or `bad-row` fault makes bad. Batch writes ask this once,
   *  before they apply anything: `each` are refused one by one, any of `whole` refuses the whole batch. */
  bad(records: readonly string[]): { readonly each: ReadonlySet<string>; readonly whole: ReadonlySet<string> }
}

export interface Answer {
  readonly status: number
  /** A string goes out as it is (give a content-type); anything else as JSON; absent: no body. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

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

export interface Route {
  readonly method: string
  /** `{name}` stands for one segment. The first fitting route wins. */
  readonly template: string
  readonly handle: (call: Call) => Answer
}

export type Refusal =
  | {
      readonly kind: 'rate' | 'daily'
      readonly lane: string
      readonly retryAfterS?: number
      readonly policyName?: string
    }
  | { readonly kind: 'not-found' | 'method' | 'too-large' | 'server-error' | 'bad-gateway' }

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

/** What the kernel offers a lookalike. */
export interface Kernel {
  readonly options: Required<SandboxOptions>
  /** Sandbox clock. */
  now(): Instant
  /** Milliseconds that only go forward; real time unless injected. */
  monotonic(): number
  /** Seeded, 0 to 1. */
  random(): number
  /** Journals one applied write; the endpoint is that of the current call. */
  record(entry: Pick<JournalLine, 'object' | 'id' | 'before' | 'after'>): void
  readonly tokens: Tokens
}

export interface SandboxOptions {
  /** 0 (default): any free port. Always on 127.0.0.1. */
  readonly port?: number
  /** Start of the sandbox clock; default: the machine's. */
  readonly now?: Instant
  /** Seed of the chance in faults; default 1. */
  readonly seed?: number
  readonly latencyMs?: number
  readonly limits?: Limits
  /** Null (default): issued tokens do not expire. */
  readonly tokenLifeS?: number | null
  /** For tests. */
  readonly monotonic?: () => number
  /** For tests. */
  readonly sleep?: (ms: number) => Promise<void>
  /** An error inside the sandbox itself; default: printed on stderr. The client sees a 500 that says so. */
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
const CONTROL_BODY_BYTES = 10_000_000

/** Starts one lookalike on 127.0.0.1. Rejects where the port is taken. */
export async function startSandbox(
  build: (kernel: Kernel) => Lookalike,
  options: SandboxOptions = {},
): Promise<Sandbox> {
  const server = new Server(build, options)
  return { url: await server.listen(), kernel: server, close: () => server.close() }
}

class Server implements Kernel {
  readonly options: Required<SandboxOptions>
  readonly tokens: Tokens
  readonly #build: (kernel: Kernel) => Lookalike
  readonly #http
  #url = ''
  #system: Lookalike
  #routes: readonly { readonly route: Route; readonly segments: readonly string[] }[] = []
  #clock = { now: 0, mono: 0 }
  #endpoint = ''
  #journal: { readonly line: JournalLine; readonly act: boolean }[] = []
  #calls = new Map<string, z.infer<typeof CallsAnswer>['calls'][number]>()
  #random: () => number = random(1).next
  #faults = new FaultPlan(() => this.#random())
  #limiter: Limiter

  constructor(build: (kernel: Kernel) => Lookalike, options: SandboxOptions) {
    this.options = {
      port: 0,
      now: Date.now(),
      seed: 1,
      latencyMs: 0,
      limits: 'none',
      tokenLifeS: null,
      monotonic: () => performance.now(),
      sleep: (ms) => new Promise((wake) => setTimeout(wake, ms)),
      onBug: (error) => console.error('sandbox:', error),
      ...options,
    }
    this.#build = build
    this.tokens = new Tokens(this.options.tokenLifeS, this.options.monotonic)
    this.#limiter = new Limiter(this.options.limits, this.options.monotonic)
    this.#system = this.#restart()
    // Larger than the URI limits the lookalikes answer themselves (Salesforce: 414 above 16,384 bytes).
    this.#http = createServer({ maxHeaderSize: 65_536 }, (request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        this.options.onBug(error)
        response.destroy()
      })
    })
  }

  now(): Instant {
    return Math.floor(this.#clock.now + this.monotonic() - this.#clock.mono)
  }
  monotonic(): number {
    return this.options.monotonic()
  }
  random(): number {
    return this.#random()
  }
  record(entry: Pick<JournalLine, 'object' | 'id' | 'before' | 'after'>): void {
    const line = { at: new Date(this.now()).toISOString(), endpoint: this.#endpoint, ...entry }
    this.#journal.push({ line, act: this.#endpoint.startsWith(`POST ${CONTROL}`) })
  }

  listen(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#http.once('error', reject)
      this.#http.listen(this.options.port, '127.0.0.1', () => {
        const address = this.#http.address()
        if (address === null || typeof address === 'string') throw new Error('no TCP address')
        this.#url = `http://127.0.0.1:${address.port}`
        resolve(this.#url)
      })
    })
  }
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#http.close(() => resolve())
      this.#http.closeAllConnections()
    })
  }

  #setClock(now: Instant): void {
    this.#clock = { now, mono: this.monotonic() }
  }

  #restart(): Lookalike {
    this.#setClock(this.options.now)
    this.#random = random(this.options.seed).next
    this.#journal = []
    this.#calls = new Map()
    this.#faults.set([])
    this.#limiter = new Limiter(this.options.limits, this.options.monotonic)
    this.tokens.clear()
    this.#system = this.#build(this)
    this.#routes = this.#system.routes.map((route) => ({ route, segments: route.template.split('/') }))
    return this.#system
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? 'GET'
    const url = new URL(request.url ?? '/', this.#url)
    const control = url.pathname.startsWith(CONTROL)
    const limit = control ? CONTROL_BODY_BYTES : this.#system.maxBodyBytes
    const body = await readBody(request, limit)
    if (body === 'aborted') return
    if (control) return this.#control(method, url, body ?? '', response)

    const found = this.#match(method, url.pathname)
    const call: Call = {
      method,
      path: url.pathname,
      query: url.searchParams,
      headers: plainHeaders(request),
      body: body ?? '',
      params: found.params,
      template: found.template,
      origin: this.#url,
      bad: (records) => this.#faults.bad(method, url.pathname, records),
    }
    if (this.options.latencyMs > 0) await this.options.sleep(this.options.latencyMs)
    const strike = this.#faults.strike(method, url.pathname)
    if (strike?.fault === 'slow') await this.options.sleep(strike.ms ?? 5000)
    const before = strike && strikeBefore(strike, call, this.#system)
    const answer = before ?? (body === null ? this.#refuse({ kind: 'too-large' }, call) : this.#handle(found, call))
    const lost = lostAnswer(strike)
    const sent = strike?.fault === '502-after' ? this.#refuse({ kind: 'bad-gateway' }, call) : answer
    this.#count(call, lost === null ? sent.status : 0)
    if (lost === 'reset') request.socket.resetAndDestroy()
    else if (lost === null) this.#send(response, sent)
    // A timeout keeps the connection open until the client gives up or the sandbox closes.
  }

  #handle(found: Found, call: Call): Answer {
    try {
      const lane = this.#system.lane(call)
      const taken = lane && this.#limiter.take(lane)
      if (lane && taken && !taken.ok) {
        const retryAfterS = Math.ceil(taken.retryAfterMs / 1000)
        return this.#refuse({ kind: 'rate', lane: lane.name, retryAfterS }, call)
      }
      const answer = this.#route(found, call)
      const headers = this.#system.headers(call, taken ? taken.remaining : null)
      return { ...answer, headers: { ...headers, ...answer.headers } }
    } catch (error) {
      this.options.onBug(error)
      const text = `the sandbox itself failed: ${error instanceof Error ? error.message : String(error)}`
      return { status: 500, body: { sandboxBug: text } }
    }
  }

  #route(found: Found, call: Call): Answer {
    this.#endpoint = `${call.method} ${call.template}`
    try {
      const guarded = this.#system.guard(call)
      if (guarded) return guarded
      if (found.route) return found.route.handle(call)
      return this.#refuse({ kind: found.otherMethod ? 'method' : 'not-found' }, call)
    } catch (error) {
      if (error instanceof Refused) return error.answer
      throw error
    }
  }

  #refuse(refusal: Refusal, call: Call): Answer {
    return this.#system.refuse(refusal, call)
  }

  #match(method: string, path: string): Found {
    const given = path.split('/')
    let otherMethod = false
    for (const { route, segments } of this.#routes) {
      const params = matchPath(segments, given)
      if (params === null) continue
      if (route.method === method) return { route, template: route.template, params, otherMethod: false }
      otherMethod = true
    }
    return { route: null, template: '(unknown)', params: {}, otherMethod }
  }

  #count(call: Call, status: number): void {
    const key = `${call.method} ${call.template}`
    const row = this.#calls.get(key) ?? { method: call.method, path: call.template, count: 0, statuses: {} }
    row.count += 1
    row.statuses[status] = (row.statuses[status] ?? 0) + 1
    this.#calls.set(key, row)
  }

  #send(response: ServerResponse, answer: Answer): void {
    const text = typeof answer.body === 'string'
    const payload = answer.body === undefined ? '' : text ? String(answer.body) : JSON.stringify(answer.body)
    response.writeHead(answer.status, {
      date: new Date(this.now()).toUTCString(),
      ...(payload === ''
        ? {}
        : { 'content-type': text ? 'text/plain;charset=utf-8' : 'application/json;charset=utf-8' }),
      ...answer.headers,
    })
    response.end(payload)
  }

  #control(method: string, url: URL, body: string, response: ServerResponse): void {
    this.#endpoint = `${method} ${url.pathname}`
    try {
      this.#send(response, this.#controlAnswer(url, body))
    } catch (error) {
      if (error instanceof z.ZodError) {
        const issues = error.issues.map((issue) => `${issue.path.join('.') || '(body)'}: ${issue.message}`)
        this.#send(response, { status: 400, body: { error: 'wrong request', issues } })
      } else if (error instanceof WrongAct) {
        this.#send(response, { status: 400, body: { error: error.message, issues: [error.message] } })
      } else throw error
    }
  }

  #controlAnswer(url: URL, body: string): Answer {
    switch (this.#endpoint) {
      case `GET ${CONTROL}state`:
        return lines(this.#system.state())
      case `GET ${CONTROL}journal`: {
        const acts = url.searchParams.get('acts') === 'true'
        return lines(this.#journal.filter((entry) => acts || !entry.act).map((entry) => entry.line))
      }
      case `GET ${CONTROL}calls`:
        return { status: 200, body: { calls: [...this.#calls.values()] } }
      case `POST ${CONTROL}clock`:
        this.#setClock(Date.parse(Clock.parse(json(body)).now))
        return { status: 200, body: { now: new Date(this.now()).toISOString() } }
      case `POST ${CONTROL}act`: {
        const act = Act.parse(json(body))
        if (act.act !== 'revoke-token') return { status: 200, body: { ok: true, id: this.#system.act(act) } }
        this.tokens.revoke(act.id)
        return { status: 200, body: { ok: true, id: null } }
      }
      case `POST ${CONTROL}faults`: {
        const faults = Faults.parse(json(body))
        this.#faults.set(faults)
        return { status: 200, body: { faults } }
      }
      case `POST ${CONTROL}reset`:
        this.#restart()
        return { status: 200, body: { ok: true, now: new Date(this.now()).toISOString() } }
      default:
        return { status: 404, body: { error: `no control call ${this.#endpoint}`, issues: [] } }
    }
  }
}

interface Found {
  readonly route: Route | null
  readonly template: string
  readonly params: Readonly<Record<string, string>>
  readonly otherMethod: boolean
}

/** The answer of a fault that strikes before the call is applied; undefined: the call goes on. */
function strikeBefore(strike: Fault, call: Call, system: Lookalike): Answer | undefined {
  const { retryAfter: retryAfterS, policyName } = strike
  const words = { ...(retryAfterS === undefined ? {} : { retryAfterS }), ...(policyName ? { policyName } : {}) }
  switch (strike.fault) {
    case '429':
      return system.refuse({ kind: 'rate', lane: system.lane(call)?.name ?? 'normal', ...words }, call)
    case '429-daily':
      return system.refuse({ kind: 'daily', lane: 'daily', ...words }, call)
    case '500-before':
      return system.refuse({ kind: 'server-error' }, call)
    case 'html': {
      const page =
        '<!DOCTYPE html><html><head><title>503</title></head><body><h1>Service Unavailable</h1></body></html>'
      return { status: 503, body: page, headers: { 'content-type': 'text/html' } }
    }
    case 'redirect':
      return { status: 307, headers: { location: `http://elsewhere.invalid${call.path}` } }
    case 'reset-before':
    case 'timeout-before':
      return { status: 0 }
    default:
      return undefined
  }
}

function lostAnswer(strike: Fault | null): 'reset' | 'timeout' | null {
  if (strike?.fault.startsWith('reset')) return 'reset'
  return strike?.fault.startsWith('timeout') ? 'timeout' : null
}

function json(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    throw new WrongAct('the body is not JSON')
  }
}

function lines(values: Iterable<object>): Answer {
  let text = ''
  for (const value of values) text += `${JSON.stringify(value)}\n`
  return { status: 200, body: text, headers: { 'content-type': 'application/x-ndjson' } }
}
