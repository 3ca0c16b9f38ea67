// What the configuration file says to the person who writes it: what each setting means (for editors, through the JSON
// Schema) and what is wrong with one, in the words of a RevOps manager rather than of a validator.
import { z } from 'zod'
import { variablesOf } from './core/templates.ts'

export type Schema = z.core.JSONSchema.BaseSchema

const MEANINGS: Readonly<Record<string, string>> = {
  timezone: 'Company time zone (IANA), such as Europe/Paris. Days are counted in it.',
  language: 'Language of tasks, digests and reports.',
  holidays: 'Country (FR), country and region (DE-BY), or a list of dates. Holidays are not working days.',
  schedule: 'When the night runs: five cron fields in the company time zone.',
  dataDir: 'Folder of the embedded database. DATABASE_URL and REDIS_URL in the environment replace it.',
  web: 'The pages of `unstall start`, where others than this machine reach them. Passwords: UNSTALL_OPERATOR, UNSTALL_VIEWER.',
  url: 'The address people open, such as https://unstall.acme.example.',
  proxy: 'A reverse proxy that signs people in and says who they are.',
  header: 'Its header with the e-mail address of who is signed in, such as X-Forwarded-Email.',
  from: 'Addresses or networks of the proxy; from anywhere else the header counts for nothing.',
  operators: 'E-mail addresses that may act; everybody else whom the proxy lets in only looks.',
  connections: 'Your CRMs, each under a name of your choice.',
  system: 'Which CRM this is.',
  loginUrl: 'Salesforce My Domain, such as https://acme.my.salesforce.com.',
  baseUrl: 'Only for a sandbox on this machine, such as http://127.0.0.1:4010.',
  auth: 'How unstall signs in. A secret is written as the name of an environment variable: "$NAME" with braces.',
  policy: 'When a deal counts as stalled. A policy below a connection is merged over the common one.',
  idleDays: 'Working days without movement before a deal is stalled.',
  decisionStages: 'The same, in stages in which a proposal is on the table.',
  graceDays: 'Working days in which a rule stays silent.',
  newDeal: 'Working days after creation in which a deal is never flagged.',
  closeDate: 'Working days a close date may lie in the past.',
  pushes: 'How often the close date may move later before the deal is stalled.',
  countActivity: 'buyer: only what the buyer took part in. any: notes, e-mails and calls of the rep count weakly too.',
  trustedSources:
    'Apps (e-signature, quoting; as `unstall explain` names them) whose stage and amount changes count as made by a person.',
  automationUsers: 'Users behind which an integration works, where the CRM cannot tell them from people.',
  decision: 'Asking for a yes or a no after a proposal. Without stages the decision rules are off.',
  pipelines: 'Other limits for a pipeline or one of its stages, by id.',
  exclude: 'Deals that are never flagged, by stage, pipeline or type.',
  parking: 'How long a rep may park a deal, in calendar days.',
  forecast: 'omit: borrow the forecast category. amount: leave it, rely on the amount that counts. none: only flag.',
  tasks: 'Follow-up tasks: due after working days, at most so many new ones per owner and week.',
  fallbackOwner: 'E-mail of the person who gets the list of deals whose owner has left.',
  scope: 'Only these owners or teams, for a pilot.',
  closures: 'Company shutdowns, such as 2026-12-24/2027-01-02. They stop the clock.',
  absences: 'Owner e-mail and dates away, or the name of a CSV file with the columns owner, from, to.',
  archive: 'Deals stalled for long without an answer: proposed for archiving, or moved to a stage for it.',
  proposeAfterDays: 'Working days stalled without an answer.',
  firstNight: 'Deals already dead on the first night are listed instead of chased.',
  deadAfter: 'Working days without movement.',
  oldDeals:
    'By how many working days a deal had been dead: flag (without a task), archive, or nothing. {"260": archive}',
  digests:
    'What is sent by e-mail and to Slack: every week to managers, after a night to RevOps if something is wrong.',
  smtp: 'Mail server, as the name of an environment variable: smtps://user:password@smtp.acme.example.',
  'digests.from': 'Sender of the e-mails.',
  slack: 'Incoming webhook of a channel, as the name of an environment variable.',
  managers: 'Who gets the weekly digest: e-mails, or slack; with teams or owners only about their deals.',
  to: 'E-mail address, or slack.',
  owners: 'Only deals of these people, by e-mail or name.',
  teams: 'Only deals of these teams.',
  weekday: 'Day of the weekly digest; later in that week if unstall did not run.',
  operations: 'Who is told of trouble: e-mails, or slack. Nothing is sent after a quiet night.',
  perPersonPerWeek: 'At most so many digests to a person and week; only new trouble goes beyond it.',
  brakes: 'When a night looks wrong, it writes nothing and says why.',
  texts: 'Your own words for tasks, drafts and completion notes, by language; the one of "language" is used.',
  en: 'English.',
  fr: 'French.',
  subject: `Subject of the task. Variables: ${variablesOf('subject')}.`,
  task: `Text of the task. Variables: ${variablesOf('task')}.`,
  drafts: 'What the rep may send, put where the task says {draft}.',
  'drafts.next': `Asks for the next step. Variables: ${variablesOf('next')}.`,
  'drafts.decision': `Asks for a yes or a no. Variables: ${variablesOf('decision')}.`,
  'drafts.yes': `After a yes: asks what is still missing. Variables: ${variablesOf('yes')}.`,
  'drafts.closing': `Closes the file, once a decision was asked for before. Variables: ${variablesOf('closing')}.`,
  completion: `Note below a task that unstall completes. Variables: ${variablesOf('completion')}.`,
}

/** The JSON Schema (2020-12) of what a person writes, with what each setting means. */
export const jsonSchemaOf = (schema: z.ZodType): Schema =>
  z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema, path }) => {
      if (path.at(-2) !== 'properties') return
      const key = String(path.at(-1))
      const meaning = MEANINGS[`${path.at(-3)}.${key}`] ?? MEANINGS[key]
      if (meaning) jsonSchema.description = meaning
    },
  })

export const fieldOf = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined

export const mayBeSecret = (path: readonly PropertyKey[]) =>
  (path.includes('auth') && ['token', 'clientSecret', 'privateKey'].includes(String(path.at(-1)))) ||
  (path[0] === 'digests' && ['smtp', 'slack'].includes(String(path[1])))

/** The settings known at `path`, given what the file says there (which kind of connection, which kind of sign-in). */
function known(schema: Schema | boolean | undefined, path: readonly PropertyKey[], value: unknown): string[] {
  if (typeof schema !== 'object') return []
  const kinds = schema.oneOf ?? schema.anyOf
  const fits = (kind: Schema | boolean) =>
    Object.entries(fieldOf(kind, 'properties') ?? {}).every(([key, part]) =>
      [undefined, fieldOf(value, key)].includes(fieldOf(part, 'const')),
    )
  if (kinds) return kinds.filter(fits).flatMap((kind) => known(kind, path, value))
  const [key, ...deeper] = path
  if (key === undefined) return Object.keys(schema.properties ?? {})
  if (typeof key === 'number')
    return Array.isArray(schema.items) ? [] : known(schema.items, deeper, fieldOf(value, key))
  return known(schema.properties?.[String(key)] ?? schema.additionalProperties, deeper, fieldOf(value, key))
}

/** ` (did you mean "x"?)`, or nothing where no candidate is near: by the share of pairs of letters in common. */
export function nearest(word: string, candidates: readonly string[]): string {
  const pairs = (text: string) =>
    [...`^${text.toLowerCase()}`].map((letter, index) => letter + (text[index] ?? '$').toLowerCase())
  const near = candidates.map((name) => {
    const [ours, theirs] = [pairs(word), pairs(name)]
    return { name, share: (2 * ours.filter((pair) => theirs.includes(pair)).length) / (ours.length + theirs.length) }
  })
  const [best] = near.sort((a, b) => b.share - a.share)
  return best && best.share > 0.5 ? ` (did you mean "${best.name}"?)` : ''
}

const TYPES: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list, such as [a, b]',
}

export interface Problem {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** One issue of zod in plain words. `file`: what was read, of which nothing that may be a secret is shown. */
export function words(issue: z.core.$ZodIssue, file: unknown, schema: Schema): readonly Problem[] {
  const { path } = issue
  const say = (message: string) => [{ path, message }]
  if (issue.code === 'unrecognized_keys') {
    const keys = known(schema, path, file)
    const other = (key: string) => nearest(key, keys) || `; known here: ${keys.join(', ')}`
    return issue.keys.map((key) => ({ path: [...path, key], message: `is not a setting${other(key)}` }))
  }
  if (issue.code === 'custom' || issue.code === 'invalid_format') return say(issue.message)
  if (issue.code === 'invalid_key') return say(issue.issues[0]?.message ?? issue.message)
  const value = path.reduce(fieldOf, file)
  if (value === undefined) return say('is missing')
  // Of "this or that", the form the person chose is the one whose faults lie deeper.
  const forms = issue.code === 'invalid_union' ? issue.errors : []
  const chosen = forms.find((form) => form.length > 0 && form.every((each) => each.path.length > 0))
  if (chosen) return chosen.flatMap((each) => words({ ...each, path: [...path, ...each.path] }, file, schema))
  const shown = mayBeSecret(path) ? '' : `, not ${JSON.stringify(value).slice(0, 60)}`
  if (issue.code === 'invalid_type') return say(`must be ${TYPES[issue.expected] ?? 'a group of settings'}${shown}`)
  if (issue.code === 'too_small') return say(`must be ${issue.minimum} or more${shown}`)
  if (issue.code === 'too_big') return say(`must be ${issue.maximum} or less${shown}`)
  const options = fieldOf(issue, issue.code === 'invalid_value' ? 'values' : 'options')
  if (!Array.isArray(options)) return say(`${issue.message}${shown}`)
  const names = options.map(String)
  return say(`must be ${names.length > 1 ? 'one of ' : ''}${names.join(', ')}${shown}${nearest(String(value), names)}`)
}
