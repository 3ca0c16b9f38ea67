// `unstall init`: asks what every company must say and puts it into unstall.config.yaml. Each answer is tried in the text of
// the file and judged by the parser that will read it; nothing is written before all was shown. It asks for no secret.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import * as clack from '@clack/prompts'
import { parse } from 'yaml'
import { z } from 'zod'
import { openConnectors } from '../app.ts'
import { checkText, parseConfig } from '../config.ts'
import { type Setting, withSettings } from '../config-edit.ts'
import { fieldOf } from '../config-words.ts'
import { type Pipeline, SYSTEMS } from '../core/deal.ts'
import { Interrupted, UsageError } from '../errors.ts'
import { createLog, scrub } from '../log.ts'
import type { GlobalOptions } from './main.ts'
import { bold, EXIT, type ExitCode, plain, print, printJson } from './output.ts'

const System = z.enum(['hubspot', 'salesforce'])
/** Of a file that was checked: only what is asked about. */
const Connection = z.object({
  system: System,
  baseUrl: z.string().optional(),
  auth: z.looseObject({ kind: z.string() }),
})
const Connections = z
  .record(z.string(), Connection)
  .nullish()
  .transform((some) => some ?? {})

type Path = readonly string[]
export interface Terminal {
  readonly input: Readable & { readonly isTTY?: boolean }
  readonly output: Writable & { readonly isTTY?: boolean }
}

const OAUTH = { words: 'OAuth: you allow access in your browser, once', fields: ['clientId', 'clientSecret'] }
type Way = typeof OAUTH
/** The first is the usual one. */
const SIGN_INS: Readonly<Record<z.infer<typeof System>, Readonly<Record<string, Way>>>> = {
  hubspot: { token: { words: 'Token of a service key or a private app', fields: ['token'] }, oauth: OAUTH },
  salesforce: {
    'client-credentials': { ...OAUTH, words: 'Client credentials: an external client app that runs as one user' },
    jwt: { words: 'Signing key (JWT bearer)', fields: ['clientId', 'username', 'privateKey'] },
    oauth: OAUTH,
  },
}
const IN_FILE = { clientId: 'Client ID of the app (consumer key)', username: 'Salesforce user of unstall' }
/** Only the name of the variable that holds it is asked. */
const SECRET = { token: 'the token', clientSecret: 'the client secret', privateKey: 'the private key (PEM)' }
const FIELDS = Object.keys({ ...IN_FILE, ...SECRET })
const NAMES = { hubspot: 'hub', salesforce: 'sf' } as const
const PREFIXES: Readonly<Record<string, string>> = { hub: 'HUBSPOT', sf: 'SF' }
/** What the lookalike CRMs accept. */
const SANDBOX = /^sandbox(-[\w.-]+)?$/
const MY_DOMAIN = 'https://acme.my.salesforce.com'
/** Shorter than most secrets. */
const NAME = /^[a-z_]\w{0,49}$/i
const REFERENCE = /^\$\{(\w+)\}$/
/** A proposal is out: stages of HubSpot and Salesforce as delivered, and what people call theirs in English and French. */
export const DECIDES =
  /\b((?<!value )propos(?!ition de valeur)|quot|devis|off(re|er)|contra|n[ée]go|d[ée]cision(?![ -]?maker)|verbal)/i

/** The example without its connections: the file that `init` fills in. */
export const blank = (example: string): string =>
  example
    .replace(
      /^#.*/,
      '# unstall.config.yaml, begun by `unstall init`. Change what you like: run again, it keeps your edits.',
    )
    .replace(/ Remove the CRM.*\nconnections:[\s\S]*?(?=^policy:)/m, '\nconnections:\n\n')

/** Answers over a text. `problem` says what the file would say of one; `result`: the text with all, and what is new. */
export function createDraft(base: string, file: string) {
  const answers = new Map<string, Setting>()
  const result = () => withSettings(base, [...answers.values()])
  return {
    put: (...settings: readonly Setting[]) => {
      for (const one of settings) answers.set(one.path.join('\n'), one)
    },
    get: (path: Path): unknown => path.reduce<unknown>(fieldOf, parse(result().text)),
    problem: (one: Setting): string | undefined => {
      try {
        checkText(withSettings(base, [...answers.values(), one]).text, file, Date.now())
      } catch (error) {
        return reason(error).replace(`${one.path.join('.')} `, '')
      }
    },
    answers: () => [...answers.values()].filter(({ value }) => value !== null),
    result,
  }
}
export type Draft = ReturnType<typeof createDraft>

/** In one line, without where. */
function reason(error: unknown): string {
  const [first = '', second = first] = (error instanceof Error ? error.message : String(error)).split('\n')
  return scrub(second.replace(/^ *(line \d+: )?/, ''))
}

const words = (value: unknown) => (typeof value === 'string' || Array.isArray(value) ? String(value) : '')

/** The fields of a way to sign in: those of another go, new ones name a variable. */
export function signIn(draft: Draft, name: string, system: keyof typeof SIGN_INS, kind: string): Setting[] {
  const path = ['connections', name, 'auth']
  const prefix = PREFIXES[name] ?? name.toUpperCase().replaceAll('-', '_')
  const fields = FIELDS.map((field) => {
    const named = `\${${prefix}_${field.replace(/[A-Z]/g, '_$&').toUpperCase()}}`
    const wanted = SIGN_INS[system][kind]?.fields.includes(field)
    return { path: [...path, field], value: wanted ? words(draft.get([...path, field])) || named : null }
  })
  return [{ path: [...path, 'kind'], value: kind }, ...fields]
}

/** A connection of its own, complete: every answer after it is tried in a file that is good. */
export function begin(draft: Draft, system: keyof typeof SIGN_INS): string {
  const taken = Object.keys(Connections.parse(draft.get(['connections'])))
  let name: string = NAMES[system]
  for (let n = 2; taken.includes(name); n++) name = `${NAMES[system]}${n}`
  const path = ['connections', name]
  draft.put({ path: [...path, 'system'], value: system })
  if (system === 'salesforce') draft.put({ path: [...path, 'loginUrl'], value: MY_DOMAIN })
  draft.put(...signIn(draft, name, system, Object.keys(SIGN_INS[system])[0] ?? ''))
  return name
}

/** Where this machine seems to stand, as far as the configuration knows it. */
function suggest(draft: Draft): void {
  const { locale, timeZone } = Intl.DateTimeFormat().resolvedOptions()
  const { language, region = '' } = new Intl.Locale(locale).maximize()
  const found = { timezone: timeZone, language: language === 'fr' ? 'fr' : 'en', holidays: region }
  for (const [key, value] of Object.entries(found))
    if (!draft.problem({ path: [key], value })) draft.put({ path: [key], value })
}

/** Ways to ask, each with what the draft says as its default. An answer that says the same changes nothing. */
function questions(draft: Draft, terminal: Terminal) {
  const given = async <T>(asked: Promise<T | typeof clack.CANCEL_SYMBOL>): Promise<T> => {
    const answer = await asked
    if (clack.isCancel(answer)) throw new Interrupted('stopped by hand; nothing was written')
    return answer
  }
  const choose = (message: string, of: Readonly<Record<string, string>>, initialValue: string) => {
    const options = Object.entries(of).map(([value, label]) => ({ value, label }))
    return given(clack.select<string>({ ...terminal, message, options, initialValue }))
  }
  const line = async (
    path: Path,
    message: string,
    initialValue = words(draft.get(path)),
    read: (answer: string) => Setting['value'] = (answer) => answer,
  ) => {
    const setting = (answer: string) => ({ path, value: read(answer.trim()) })
    const validate = (answer = '') =>
      answer === initialValue && answer !== '' ? undefined : draft.problem(setting(answer))
    const answer = (await given(clack.text({ ...terminal, message, initialValue, validate }))) ?? ''
    if (answer !== initialValue) draft.put(setting(answer))
  }
  return { given, choose, line }
}
type Questions = ReturnType<typeof questions>

async function askConnection(draft: Draft, { choose, line }: Questions): Promise<string> {
  const there = Connections.parse(draft.get(['connections']))
  const known = Object.entries(there).map(([name, { system }]) => [name, `${name} (${SYSTEMS[system]})`] as const)
  const another = [['', 'Another CRM']]
  let name = known[0] ? await choose('Which connection?', Object.fromEntries([...known, ...another]), known[0][0]) : ''
  const fresh = name === ''
  if (fresh) name = begin(draft, System.parse(await choose('Which CRM do you use?', SYSTEMS, 'hubspot')))
  if (known.length === 0) suggest(draft)
  const path = ['connections', name]
  const { system, auth, baseUrl } = Connection.parse(draft.get(path))
  if (system === 'salesforce' && baseUrl === undefined)
    await line(
      [...path, 'loginUrl'],
      `Your My Domain, such as ${MY_DOMAIN} (Setup > My Domain)`,
      fresh ? '' : undefined,
    )
  const ways = Object.entries(SIGN_INS[system]).map(([kind, way]) => [kind, way.words])
  const kind = await choose('How does unstall sign in?', Object.fromEntries(ways), auth.kind)
  if (kind !== auth.kind) draft.put(...signIn(draft, name, system, kind))
  for (const [field, what] of Object.entries(IN_FILE))
    if (draft.get([...path, 'auth', field]) !== undefined)
      await line([...path, 'auth', field], `${what}; a name in \${} is read from the environment`)
  for (const [field, what] of Object.entries(SECRET)) {
    const held = draft.get([...path, 'auth', field])
    if (typeof held !== 'string') continue
    const message = `Environment variable that holds ${what}: its name, never the secret itself`
    // Whatever cannot be a name stays as it is, and is refused: it may be the secret.
    const read = (answer: string) => (NAME.test(answer) && !SANDBOX.test(answer) ? `\${${answer}}` : answer)
    await line([...path, 'auth', field], message, REFERENCE.exec(held)?.[1] ?? held, read)
  }
  return name
}

async function askCompany(draft: Draft, { choose, line }: Questions): Promise<void> {
  await line(['timezone'], 'Time zone of the company: days are counted in it')
  const spoken = words(draft.get(['language'])) || 'en'
  const language = await choose('Language of tasks and reports', { en: 'English', fr: 'Français' }, spoken)
  if (language !== spoken) draft.put({ path: ['language'], value: language })
  const message = 'Public holidays: country (FR), with region (DE-BY), or dates; empty for none'
  await line(['holidays'], message, undefined, (answer) =>
    /^\d|^$/.test(answer) ? answer.split(/[\s,]+/).filter(Boolean) : answer.toUpperCase(),
  )
}

/** Offers the open stages. @returns why it could not, null if it did */
async function askStages(draft: Draft, name: string, file: string, terminal: Terminal, { given }: Questions) {
  clack.log.step(`Reading pipelines and stages of ${name} …`, terminal)
  let pipelines: readonly Pipeline[]
  try {
    pipelines = await readPipelines(draft, name, file)
  } catch (error) {
    return reason(error)
  }
  const open = new Map<string, string>()
  // Salesforce's stages are those of all pipelines.
  for (const { label, stages } of pipelines)
    for (const stage of stages)
      if (stage.outcome === 'open')
        open.set(stage.id, plain(open.has(stage.id) ? stage.label : `${label} › ${stage.label}`))
  const own = ['connections', name, 'policy', 'decision', 'stages']
  const path = draft.get(own) === undefined ? ['policy', 'decision', 'stages'] : own
  // Several CRMs may share the list: what is not of this one stays.
  const held = z.array(z.coerce.string()).parse(draft.get(path) ?? [])
  const set = held.filter((id) => open.has(id))
  const likely = pipelines.flatMap(({ stages }) =>
    stages.filter(({ id, label }) => open.has(id) && DECIDES.test(label)),
  )
  const chosen = await given(
    clack.multiselect<string>({
      ...terminal,
      message: 'Decision stages: where a proposal is on the table and the rep asks for a yes or a no (none: never)',
      options: [...open].map(([value, label]) => ({ value, label })),
      initialValues: set.length > 0 ? set : [...new Set(likely.map(({ id }) => id))],
      required: false,
    }),
  )
  draft.put({ path, value: [...held.filter((id) => !open.has(id)), ...chosen] })
  return null
}

async function readPipelines(draft: Draft, name: string, file: string): Promise<readonly Pipeline[]> {
  // What other connections still lack is no matter here.
  const others = Object.keys(Connections.parse(draft.get(['connections']))).filter((one) => one !== name)
  const gone = others.map((one) => ({ path: ['connections', one], value: null }))
  const config = parseConfig(withSettings(draft.result().text, gone).text, { file, now: Date.now() })
  const [connection] = config.connections
  if (!connection) throw new UsageError(`there is no connection ${name}`)
  // Looking makes no database.
  if (connection.auth.kind === 'oauth' && !config.environment.databaseUrl && !existsSync(join(config.dataDir, 'db')))
    throw new UsageError('it is not connected yet')
  const connectors = await openConnectors(config, createLog('silent'), [connection])
  try {
    return (await (await connectors.connect(connection)).reference(AbortSignal.timeout(60_000))).pipelines
  } finally {
    await connectors.close()
  }
}

const shown = (value: unknown) => (Array.isArray(value) ? `[${value.join(', ')}]` : String(value ?? 'none'))

export async function init(
  { config: given, json }: GlobalOptions,
  terminal: Terminal = { input: process.stdin, output: process.stderr },
): Promise<ExitCode> {
  const file = resolve(given)
  const example = join(dirname(findPackageJSON(import.meta.url) ?? ''), 'unstall.config.example.yaml')
  if (!terminal.input.isTTY || !terminal.output.isTTY)
    throw new UsageError(
      `unstall init asks questions, so it needs a terminal. Without one, copy ${example} to ${file} and fill it in.`,
    )
  const read = () => (existsSync(file) ? readFileSync(file, 'utf8') : null)
  const before = read()
  if (before !== null) checkText(before, file, Date.now())
  const draft = createDraft(before ?? blank(readFileSync(example, 'utf8')), file)
  clack.intro(before === null ? `A new ${given}` : `${given}: Enter keeps what it says`, terminal)
  const ask = questions(draft, terminal)
  const name = await askConnection(draft, ask)
  await askCompany(draft, ask)
  const unread = await askStages(draft, name, file, terminal, ask)
  if (unread !== null)
    clack.log.warn(`Decision stages stay as they are, because the stages could not be read: ${unread}.`, terminal)

  const { text, set } = draft.result()
  checkText(text, file, Date.now())
  const changes = before === null ? draft.answers() : set
  const list = changes.map(
    ({ path, value, before: was }) => `${path.join('.')}: ${before === null ? '' : `${shown(was)} → `}${shown(value)}`,
  )
  if (list.length > 0) {
    clack.note(list.join('\n'), before === null ? 'The file will say, besides the usual limits' : 'Changes', terminal)
    if (!(await ask.given(clack.confirm({ ...terminal, message: `Write ${given}?` }))))
      throw new Interrupted('nothing was written')
    if (read() !== before)
      throw new UsageError(`${file} was changed meanwhile, so nothing was written. Run unstall init again.`)
    try {
      writeFileSync(file, text)
    } catch (cause) {
      throw new UsageError(`${file} could not be written: ${reason(cause)}`, { cause })
    }
  }
  clack.outro(list.length > 0 ? `${given} is written.` : `${given} says all this already.`, terminal)
  const next = nextSteps(draft, name, unread !== null)
  if (json)
    printJson({ file, changed: changes.map(({ path }) => path.join('.')), decisionStagesRead: unread === null, next })
  else print([bold('Next'), ...next.map((step, i) => `${i + 1}. ${step}`)].join('\n'))
  return EXIT.ok
}

function nextSteps(draft: Draft, name: string, unread: boolean): readonly string[] {
  const { auth } = Connection.parse(draft.get(['connections', name]))
  const variables = Object.entries(auth).flatMap(([field, value]) => {
    const variable = REFERENCE.exec(String(value))?.[1]
    return variable ? `export ${variable}=${field === 'privateKey' ? '"$(cat key.pem)"' : '…'}` : []
  })
  return [
    ...(unread && variables.length > 0
      ? [`Set what is secret, if you have not yet (with Docker: in .env): ${variables.join('; ')}`]
      : []),
    ...(unread && auth.kind === 'oauth' ? [`unstall connect ${name}`] : []),
    `unstall check ${name}`,
    ...(unread ? ['Once check is green, unstall init again: it then asks for the decision stages'] : []),
  ]
}
