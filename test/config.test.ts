// The configuration: what loads, what is refused, on which line and in which words, and that secrets never print.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the file's own way to name a secret
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Document, isMap, parseDocument } from 'yaml'
import { configJsonSchema, loadConfig, parseConfig, Secret } from '../src/config.ts'
import { withSettings } from '../src/config-edit.ts'
import { UsageError } from '../src/errors.ts'

const now = Date.parse('2026-11-23T06:00:00Z')
const variables = { HUBSPOT_TOKEN: 'pat-hidden', SF_CLIENT_ID: 'client', SF_CLIENT_SECRET: 'hidden-too' }
const parse = (text: string, more: Record<string, string> = {}, file = '/etc/acme/unstall.config.yaml') =>
  parseConfig(text, { file, now, variables: { ...variables, ...more } })
const HUB = `connections:
  hub: { system: hubspot, auth: { kind: token, token: "\${HUBSPOT_TOKEN}" } }
`
const small = (more = '') => `timezone: Europe/Paris\n${HUB}${more}`
const problems = (text: string, more: Record<string, string> = {}) => {
  try {
    parse(text, more)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    const [head, ...lines] = error.message.split('\n')
    expect(head).toMatch(/^\/etc\/acme\/unstall\.config\.yaml has /)
    return lines.map((line) => line.trim())
  }
  return []
}
const settings = (text: string) => {
  const [first] = parse(text).connections
  if (!first) throw new Error('no connection')
  return first.settings
}

describe('what loads', () => {
  it('the example file, with the values it names', () => {
    const config = loadConfig('unstall.config.example.yaml', now, variables)
    const [hub, sf] = config.connections
    expect(config).toMatchObject({ timezone: 'Europe/Paris', schedule: '0 2 * * *' })
    expect(config.dataDir).toMatch(/\/\.unstall$/)
    expect(hub).toMatchObject({ name: 'hub', system: 'hubspot', baseUrl: 'https://api.hubapi.com', loopback: false })
    expect(sf).toMatchObject({ system: 'salesforce', baseUrl: 'https://acme.my.salesforce.com', loopback: false })
    expect(hub?.auth.kind === 'token' && hub.auth.token.reveal()).toBe('pat-hidden')
    expect(sf?.auth.kind === 'client-credentials' && sf.auth.clientSecret.reveal()).toBe('hidden-too')
    expect(sf?.auth.kind === 'client-credentials' && sf.auth.clientId).toBe('client')
    expect(hub?.settings.policy.pipelines.default?.stages.presentationscheduled?.idleDays).toBe(12)
  })

  it('a small file, with the documented defaults', () => {
    expect(settings(small())).toMatchObject({
      language: 'en',
      holidays: [],
      forecast: 'omit',
      policy: { idleDays: { default: 15, decisionStages: 10 }, pushes: 3, decision: { stages: [], days: 10 } },
      tasks: { enabled: true, dueDays: 2, perOwnerPerWeek: 3 },
      brakes: { maxNewlyStalledShare: 0.15, maxWritesPerRun: 20_000 },
    })
    expect(parse(small()).dataDir).toBe('/etc/acme/.unstall')
  })

  it('a policy per connection, merged over the common one: groups key by key, lists replaced', () => {
    const text = `timezone: UTC
policy: { pushes: 5, idleDays: { default: 20 }, decision: { stages: [a, b] } }
connections:
  one: { system: hubspot, auth: { kind: token, token: "\${HUBSPOT_TOKEN}" } }
  two:
    system: hubspot
    auth: { kind: token, token: "\${HUBSPOT_TOKEN}" }
    policy: { idleDays: { decisionStages: 4 }, decision: { stages: [c] } }
`
    const [one, two] = parse(text).connections.map((connection) => connection.settings.policy)
    expect(one).toMatchObject({
      pushes: 5,
      idleDays: { default: 20, decisionStages: 10 },
      decision: { stages: ['a', 'b'] },
    })
    expect(two).toMatchObject({ pushes: 5, idleDays: { default: 20, decisionStages: 4 }, decision: { stages: ['c'] } })
  })

  it('all ways to sign in, and sandboxes on this machine', () => {
    const text = `timezone: UTC
connections:
  a: { system: hubspot, auth: { kind: oauth, clientId: id, clientSecret: "\${SF_CLIENT_SECRET}" } }
  b:
    system: salesforce
    loginUrl: https://acme--uat.sandbox.my.salesforce.com
    auth: { kind: jwt, clientId: id, username: me@acme.example, privateKey: "\${SF_KEY}" }
  c: { system: salesforce, baseUrl: "http://127.0.0.1:\${PORT}", auth: { kind: client-credentials, clientId: s, clientSecret: "\${SF_CLIENT_SECRET}" } }
  d: { system: hubspot, baseUrl: "http://[::1]:4010", auth: { kind: token, token: "\${HUBSPOT_TOKEN}" } }
`
    const pem = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'pem', type: 'pkcs8' })
    const SF_KEY = pem.toString().replaceAll('\n', '\\n')
    const { connections } = parse(text, { PORT: '4020', SF_KEY })
    const [, jwt] = connections
    expect(jwt?.auth.kind === 'jwt' && jwt.auth.privateKey.reveal()).toBe(pem)
    expect(problems(text, { PORT: '4020', SF_KEY: 'MIIEvQ' })).toEqual([
      expect.stringMatching(
        /^line 7: connections.b.auth.privateKey must be an RSA private key in PEM form .*passphrase$/,
      ),
    ])
    expect(connections.map(({ auth, baseUrl, loopback }) => [auth.kind, baseUrl, loopback])).toEqual([
      ['oauth', 'https://api.hubapi.com', false],
      ['jwt', 'https://acme--uat.sandbox.my.salesforce.com', false],
      ['client-credentials', 'http://127.0.0.1:4020', true],
      ['token', 'http://[::1]:4010', true],
    ])
  })
})

describe('holidays and absences', () => {
  it('public holidays of a country are dates of the years around now', () => {
    const { holidays } = settings(small('holidays: FR\n'))
    expect(holidays).toEqual(
      expect.arrayContaining(['2026-07-14', '2026-12-25', '2027-03-29', '2023-01-01', '2028-05-01']),
    )
    expect(holidays).not.toContain('2029-01-01')
    expect(holidays).toEqual([...holidays].sort())
  })

  it('a region has its own, and only public ones', () => {
    const bavaria = settings(small('holidays: DE-BY\n')).holidays
    expect(bavaria).toContain('2026-01-06')
    expect(settings(small('holidays: DE\n')).holidays).not.toContain('2026-01-06')
    expect(bavaria).not.toContain('2026-12-24')
  })

  it('a list is taken as it is', () => {
    expect(settings(small('holidays: [2026-12-25, 2026-12-31]\n')).holidays).toEqual(['2026-12-25', '2026-12-31'])
  })

  it('absences stand in the file, by e-mail in any case', () => {
    const text = small(
      'absences: { Ann@Acme.example: 2026-08-03/2026-08-21, bo@acme.example: [2026-01-02, 2026-02-01/2026-02-03] }\n',
    )
    expect(settings(text).absences).toEqual({
      'ann@acme.example': ['2026-08-03/2026-08-21'],
      'bo@acme.example': ['2026-01-02', '2026-02-01/2026-02-03'],
    })
  })

  it('or in a CSV file beside it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'unstall-config-'))
    try {
      const file = join(folder, 'unstall.config.yaml')
      const read = () => parse(small('absences: away.csv\n'), {}, file).connections[0]?.settings.absences
      expect(read).toThrow('absences names the file away.csv, which is not there')
      writeFileSync(
        join(folder, 'away.csv'),
        'owner,from,to\nAnn@acme.example,2026-08-03,2026-08-21\nann@acme.example,2026-12-24,\n',
      )
      expect(read()).toEqual({ 'ann@acme.example': ['2026-08-03/2026-08-21', '2026-12-24'] })
      writeFileSync(
        join(folder, 'away.csv'),
        'owner,from,to\nAnn,2026-08-03,\nann@acme.example,2026-08-30,2026-08-03\n',
      )
      expect(read).toThrow(
        /line 4: absences in away\.csv, row 2: "Ann" is not an e-mail address[\s\S]*row 3: the range ends/,
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('what is refused', () => {
  it('everything at once, each with its line', () => {
    const text = `# acme
timezone: Europe/Pariss
language: de
holidays: DE-ZZ
schedule: "61 2 * * *"
connections:
  hub:
    system: hubspot
    baseUrl: http://example.com:4010
    auth: { kind: token, token: pat-eu1-in-the-file }
    polcy: {}
  sf:
    system: salesforce
    loginUrl: http://acme.my.salesforce.com
    auth: { kind: client-credentials, clientId: "\${NO_ID}" }
  pipe: { system: pipedriv }
  "x:y": { system: hubspot, auth: { kind: tokn } }
  bare: { system: salesforce, auth: { kind: token, token: "\${NO_TOKEN}" } }
policy:
  idelDays: { default: 15 }
  idleDays: { default: fifteen }
  pushes: 0
  decision: { stages: contractsent }
tasks: { perOwnerPerWeek: 2.5 }
closures: [2026-12-24/2027-01-02, 2026-12-24/2026-12-01]
absences: { bob: 2026-01-01 }
brakes: { maxNewlyStalledShare: 15 }
`
    expect(problems(text, { UNSTALL_PORT: 'x', DATABASE_URL: 'mysql://a:hidden@c' })).toEqual([
      'DATABASE_URL in the environment must look like postgresql://user:password@host/database',
      'UNSTALL_PORT in the environment must be 0 to 65535',
      'line 2: timezone is not a time zone such as Europe/Paris (did you mean "Europe/Paris"?)',
      'line 3: language must be one of en, fr, not "de"',
      expect.stringMatching(/^line 4: holidays "DE-ZZ": ZZ is no region of DE; known: BB, .*BY/),
      'line 5: schedule must be five cron fields, such as "0 2 * * *" for every night at 2',
      expect.stringMatching(/^line 9: connections\.hub\.baseUrl is only for a sandbox on this machine/),
      'line 10: connections.hub.auth.token must not stand in the file: write "${NAME}" and set NAME in the environment',
      'line 11: connections.hub.polcy is not a setting (did you mean "policy"?)',
      expect.stringMatching(/^line 14: connections\.sf\.loginUrl must be your My Domain/),
      'line 15: connections.sf.auth.clientId needs ${NO_ID}, which is not set in the environment',
      'line 15: connections.sf.auth.clientSecret is missing',
      'line 16: connections.pipe.system must be one of hubspot, salesforce, not "pipedriv"',
      'line 17: connections.x:y is not a connection name: letters, digits, - and _',
      'line 18: connections.bare.auth.kind must be one of client-credentials, jwt, oauth, not "token"',
      expect.stringMatching(/^line 18: connections\.bare needs loginUrl/),
      'line 20: policy.idelDays is not a setting (did you mean "idleDays"?)',
      'line 21: policy.idleDays.default must be a number, not "fifteen"',
      'line 22: policy.pushes must be 1 or more, not 0',
      'line 23: policy.decision.stages must be a list, such as [a, b], not "contractsent"',
      'line 24: tasks.perOwnerPerWeek must be a whole number, not 2.5',
      'line 25: closures (entry 2) the range ends before it begins',
      'line 26: absences.bob is not an e-mail address',
      'line 27: brakes.maxNewlyStalledShare must be 1 or less, not 15',
    ])
  })

  it.each([
    ['holidays: XX', /line 4: holidays "XX": XX is no country \(two letters, such as FR\)/],
    ['holidays: [2026-13-01]', /line 4: holidays \(entry 1\) Invalid ISO date/],
    ['holidays: 5', /line 4: holidays must be a country such as FR/],
    ['schedule: "0 2 * *"', /schedule must be five cron fields/],
    ['schedule: "0 24 * * *"', /schedule/],
    ['schedule: "H 2 * * *"', /schedule/],
    ['schedule: "*/0 2 * * *"', /schedule/],
    ['schedule: "0 2 * * mon-xyz"', /schedule/],
    [
      'policy: { pipelines: { default: { stagse: {} } } }',
      /policy\.pipelines\.default\.stagse .*did you mean "stages"/,
    ],
    ['nonsense: 1', /line 4: nonsense is not a setting; known here: timezone, language/],
  ])('%s', (line, message) => {
    expect(problems(small(`${line}\n`))).toEqual([expect.stringMatching(message)])
  })

  it.each(['0 2 * * *', '*/15 0-6 1,15 jan-mar mon-fri', '5 4 * * 7', '0 0 31 dec *'])(
    'but not the schedule %s',
    (schedule) => {
      expect(parse(small(`schedule: "${schedule}"\n`)).schedule).toBe(schedule)
    },
  )

  it('a file that is not YAML, an empty file, no connections, and a missing file', () => {
    expect(problems('timezone: [')[0]).toMatch(/^line 1: not readable as YAML/)
    expect(problems(`${small()}timezone: UTC\n`)[0]).toMatch(/^line 4: not readable as YAML: Map keys must be unique/)
    expect(problems('')).toEqual(['line 1: timezone is missing', 'line 1: connections is missing'])
    expect(problems('timezone: UTC\nconnections: {}\n')).toEqual(['line 2: connections names no connection'])
    expect(() => loadConfig('/nowhere.yaml', now, {})).toThrow(
      /nowhere\.yaml is not there.*unstall\.config\.example\.yaml/,
    )
  })

  it.each([
    ['https://acme.my.salesforce.com.evil.example'],
    ['https://user:pw@acme.my.salesforce.com'],
    ['https://acme.my.salesforce.com/path'],
    ['http://10.0.0.1:4020'],
    ['ftp://127.0.0.1'],
  ])('the login address %s', (url) => {
    const sf = `timezone: UTC\nconnections:\n  sf: { system: salesforce, loginUrl: "${url}", auth: { kind: oauth, clientId: a, clientSecret: "\${SF_CLIENT_SECRET}" } }\n`
    expect(problems(sf)).toEqual([expect.stringMatching(/^line 3: connections\.sf\.loginUrl must be/)])
  })

  it('never shows a secret, whatever is wrong with it', () => {
    const text = small().replace('"${HUBSPOT_TOKEN}"', '[pat-visible]')
    expect(problems(text).join()).not.toContain('pat-visible')
    expect(problems(text)).toEqual(['line 3: connections.hub.auth.token must be text'])
    expect(problems(small(), { HUBSPOT_TOKEN: '' })[0]).toBe(
      'line 3: connections.hub.auth.token needs ${HUBSPOT_TOKEN}, which is not set in the environment',
    )
  })
})

it('a secret is redacted in text, JSON and inspection', () => {
  const secret = new Secret('hidden')
  const config = parse(small(), { DATABASE_URL: 'postgresql://u:hidden@db/x' })
  const shown = [
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }, { depth: 9, showHidden: true }),
    inspect(config, { depth: 9 }),
    JSON.stringify(config),
  ]
  expect(shown.join()).not.toContain('hidden')
  expect(shown.join()).toContain('[secret]')
  expect(config.environment.databaseUrl?.reveal()).toContain('hidden')
})

it('a database that several machines may share needs one key for stored tokens, and only where tokens must be stored', () => {
  const oauth =
    'timezone: UTC\nconnections:\n  hub: { system: hubspot, auth: { kind: oauth, clientId: a, clientSecret: sandbox } }\n'
  const shared = { DATABASE_URL: 'postgresql://u:p@db/x' }
  expect(problems(oauth, shared)).toEqual([
    expect.stringMatching(
      /^line 3: connections.hub.auth needs UNSTALL_SECRET_KEY in the environment, the same on every/,
    ),
  ])
  for (const variables of [{}, { ...shared, UNSTALL_SECRET_KEY: 'x'.repeat(32) }])
    expect(parse(oauth, variables).connections[0]?.auth.kind).toBe('oauth')
  expect(parse(small(), shared).environment.secretKey).toBeNull()
})

it('the environment has defaults', () => {
  const environment = (more: Record<string, string>) => parse(`timezone: UTC\n${HUB}`, more).environment
  expect(environment({})).toEqual({
    databaseUrl: null,
    redisUrl: null,
    metricsToken: null,
    secretKey: null,
    oldSecretKey: null,
    operator: null,
    viewer: null,
    host: '127.0.0.1',
    port: null,
    concurrency: 4,
    logLevel: null,
  })
  expect(environment({ UNSTALL_SECRET_KEY: 'x'.repeat(32) }).secretKey?.reveal()).toBe('x'.repeat(32))
  expect(() => environment({ UNSTALL_SECRET_KEY: 'x'.repeat(31) })).toThrow(
    'UNSTALL_SECRET_KEY in the environment must have at least 32 characters (make one with: openssl rand -base64 32)',
  )
  expect(environment({ UNSTALL_PORT: '8080', UNSTALL_HOST: '0.0.0.0', UNSTALL_LOG: 'debug' })).toMatchObject({
    port: 8080,
    host: '0.0.0.0',
    logLevel: 'debug',
  })
  expect(() => environment({ UNSTALL_LOG: 'loud', REDIS_URL: 'x' })).toThrow(/UNSTALL_LOG[\s\S]*REDIS_URL/)
})

it('who may open the pages: hashes of passwords, and a proxy with its addresses', () => {
  const hash = `scrypt.32768.8.3.${'s'.repeat(22)}.${'k'.repeat(43)}`
  expect(parse(small(), { UNSTALL_OPERATOR: hash }).environment.operator?.reveal()).toBe(hash)
  expect(problems(small(), { UNSTALL_OPERATOR: 'hidden', UNSTALL_VIEWER: `${hash}$` })).toEqual([
    'UNSTALL_OPERATOR in the environment must be what "unstall password" prints, not a password',
    'UNSTALL_VIEWER in the environment must be what "unstall password" prints, not a password',
  ])
  const proxy = '{ header: X-Forwarded-Email, from: [10.0.0.0/8, "fd00::/8", 10.1.2.3], operators: [Ann@Acme.example] }'
  const web = parse(small(`web: { url: "https://Unstall.acme.example:443/", proxy: ${proxy} }\n`)).web
  // As browsers name it, for the origin of a form is compared with it.
  expect(web.url).toBe('https://unstall.acme.example')
  expect(web.proxy?.operators).toEqual(['ann@acme.example'])
  expect(problems(small(`web: { proxy: ${proxy} }\n`))).toEqual([
    'line 4: web.proxy needs web.url: the address at which the proxy answers, such as https://unstall.acme.example',
  ])
  const bad = 'web: { url: unstall.acme.example/x, proxy: { header: "a: b", from: [10.0.0.0/33, acme] } }\n'
  expect(problems(small(bad))).toEqual([
    'line 4: web.url must be the address people open, such as https://unstall.acme.example (without a path)',
    'line 4: web.proxy.header is not the name of a header, such as X-Forwarded-Email',
    'line 4: web.proxy.from (entry 1) is not an address or network such as 10.0.0.7 or 10.0.0.0/8',
    'line 4: web.proxy.from (entry 2) is not an address or network such as 10.0.0.7 or 10.0.0.0/8',
  ])
})

it('own texts: every problem with its line and the variables there are', () => {
  const texts = `language: fr
texts:
  fr:
    subject: Où en est {name} ?
    task: |
      {name}{worth} : {passed}

      {draft}
    drafts: { next: "Et maintenant ?" }
`
  expect(settings(small(texts)).texts).toEqual({
    fr: {
      subject: 'Où en est {name} ?',
      task: '{name}{worth} : {passed}\n\n{draft}',
      drafts: { next: 'Et maintenant ?' },
    },
  })
  expect(settings(small())).not.toHaveProperty('texts')
  const bad = `texts:
  en:
    subject: Where is {deal}?
    task: |
      {name has stopped
    drafts: { closing: [Bye], nxt: Next? }
    completion: ""
  de: {}
`
  expect(problems(small(bad))).toEqual([
    'line 6: texts.en.subject uses {deal}, which is not known; variables here: {name}, {worth}, {stage}',
    expect.stringMatching(
      /^line 7: texts.en.task has a brace without its partner near "\{name has stopped"; .*\{passed\}/,
    ),
    'line 9: texts.en.drafts.closing must be text, not ["Bye"]',
    'line 9: texts.en.drafts.nxt is not a setting (did you mean "next"?)',
    'line 10: texts.en.completion must not be empty; leave it out to keep the text unstall brings',
    'line 11: texts.de is not a setting; known here: en, fr',
  ])
})

describe('digests', () => {
  const text = (digests: string) => `timezone: UTC
connections: { hub: { system: hubspot, auth: { kind: token, token: sandbox-x } } }
digests: ${digests}
`
  const secrets = { SMTP: 'smtps://me:hidden@smtp.acme.example', HOOK: 'https://hooks.slack.com/services/T/B/hidden' }
  const good = 'smtp: "${SMTP}", from: unstall <me@acme.example>, slack: "${HOOK}"'

  it('of nobody, or of whoever is named', () => {
    const read = (digests: string) => parseConfig(text(digests), { file: '/x.yaml', now, variables: secrets }).digests
    expect(read('{}')).toEqual({ managers: [], operations: [], weekday: 'monday', perPersonPerWeek: 2 })
    const all = read(
      `{ ${good}, managers: [a@b.example, { to: slack, teams: [North] }], operations: [slack], weekday: friday }`,
    )
    expect(all).toMatchObject({
      managers: [{ to: 'a@b.example' }, { to: 'slack', teams: ['North'] }],
      weekday: 'friday',
    })
    expect([all.smtp?.reveal(), JSON.stringify(all).includes('hidden')]).toEqual([secrets.SMTP, false])
  })

  it.each<[string, Record<string, string>, string[]]>([
    [
      '{ smtp: "${SMTP}", slack: "https://hooks.slack.com/services/T/B/hidden", operations: [ops] }',
      {},
      [
        'line 3: digests.smtp needs ${SMTP}, which is not set in the environment',
        expect.stringMatching(/^line 3: digests\.slack must not stand in the file/),
        'line 3: digests.operations (entry 1) must be an e-mail address, or slack for the channel of digests.slack',
      ],
    ],
    [
      '{ smtp: "${SMTP}" }',
      { SMTP: 'smtps://me:100%hidden@smtp.acme.example' },
      [expect.stringMatching(/^line 3: digests\.smtp must look like .*% is %25/)],
    ],
    [
      `{ ${good} }`,
      { SMTP: 'mail.hidden.example', HOOK: 'https://hooks.slack.com.evil.example/hidden' },
      [
        expect.stringMatching(/^line 3: digests\.smtp must look like smtps:/),
        expect.stringMatching(/^line 3: digests\.slack must be the address of an incoming webhook: https:/),
      ],
    ],
    [
      '{ managers: [a@b.example, slack, a@b.example, { to: c@d.example, team: [x] }], weekday: mon, perPersonPerWeek: 0 }',
      {},
      [
        expect.stringMatching(
          /^line 3: digests\.managers \(entry 4\)\.team is not a setting \(did you mean "teams"\?\)/,
        ),
        expect.stringMatching(/^line 3: digests\.weekday must be one of monday.*not "mon" \(did you mean "monday"\?\)/),
        'line 3: digests.perPersonPerWeek must be 1 or more, not 0',
      ],
    ],
    [
      '{ managers: [a@b.example, slack, a@b.example] }',
      {},
      [
        'line 3: digests.managers (entry 1) needs digests.smtp and digests.from',
        'line 3: digests.managers (entry 2) needs digests.slack',
        'line 3: digests.managers (entry 3) names a@b.example a second time',
        'line 3: digests.managers (entry 3) needs digests.smtp and digests.from',
      ],
    ],
  ])('%s', (digests, variables, told) => {
    expect(problems(text(digests), variables)).toEqual(told)
    expect(problems(text(digests), variables).join()).not.toContain('hidden')
  })
})

it('the JSON Schema describes every setting of the example', () => {
  const { properties } = configJsonSchema()
  const top = readFileSync('unstall.config.example.yaml', 'utf8').match(/^[a-z]\w*(?=:)/gim) ?? []
  expect(Object.keys(properties ?? {}).sort()).toEqual([...top].sort())
  for (const part of Object.values(properties ?? {})) expect(typeof part === 'object' && part.description).toMatch(/\w/)
  expect(JSON.stringify(properties)).toContain('"const":"client-credentials"')
  expect(properties?.texts).toMatchObject({
    properties: {
      fr: {
        properties: {
          subject: { description: 'Subject of the task. Variables: {name}, {worth}, {stage}.' },
          drafts: { properties: { decision: { description: expect.stringContaining('{agreed}') } } },
        },
      },
    },
  })
})

describe('limits put into the file', () => {
  const put = (text: string, ...limits: readonly (readonly [path: string, days: number])[]) =>
    withSettings(
      text,
      limits.map(([path, days]) => ({ path: path.split('/'), value: days })),
    )

  it('every other line stays as it was written: comments, columns, quotes, empty lines', () => {
    const text = readFileSync('unstall.config.example.yaml', 'utf8').replace('\npolicy:', '\n\n\npolicy:')
    const own = 'connections/hub/policy/pipelines/default/stages'
    const { text: now, set } = put(
      text,
      [`${own}/presentationscheduled/idleDays`, 33],
      [`${own}/closing: soon/idleDays`, 9],
      ['policy/pipelines/renewals/stages/due/idleDays', 40],
    )
    const [before, after] = [text.split('\n'), now.split('\n')]
    expect(before.filter((line) => !after.includes(line))).toEqual([
      '        default: { stages: { presentationscheduled: { idleDays: 12 } } }',
    ])
    expect(after.filter((line) => !before.includes(line))).toEqual([
      '        default: { stages: { presentationscheduled: { idleDays: 33 }, "closing: soon": { idleDays: 9 } } }',
      '  pipelines:',
      '    renewals:',
      '      stages:',
      '        due:',
      '          idleDays: 40',
    ])
    expect(set.map(({ before, value }) => [before, value])).toEqual([
      [12, 33],
      [null, 9],
      [null, 40],
    ])
    expect(put(now, ['policy/pipelines/renewals/stages/due/idleDays', 40])).toEqual({ text: now, set: [] })
    const { connections } = parse(now, { HUBSPOT_TOKEN: 'x', SF_CLIENT_ID: 'x', SF_CLIENT_SECRET: 'x' })
    expect(connections[0]?.settings.policy.pipelines.default?.stages['closing: soon']?.idleDays).toBe(9)
  })

  it('ids that are numbers, keys without a value, Windows line ends and a file without the last one', () => {
    const limit = ['policy/pipelines/9001/stages/77/idleDays', 12] as const
    expect(put('policy:\n  pipelines:\n    9001: { stages: { 77: { idleDays: 3 } } } # ours\n', limit).text).toBe(
      'policy:\n  pipelines:\n    9001: { stages: { 77: { idleDays: 12 } } } # ours\n',
    )
    const empty = put('policy:   # later\r\nlanguage:   fr\r\n', limit).text
    expect(parseDocument(empty).toJS()).toMatchObject({
      policy: { pipelines: { '9001': { stages: {} } } },
      language: 'fr',
    })
    expect(empty).toContain('language:   fr\r\n')
    expect(parseDocument(put('language:   fr', limit).text).toJS()).toHaveProperty('policy')
    expect(() => put('policy: &all {}\nother: *all\n', ['other/idleDays', 3])).toThrow(
      /put other.idleDays there by hand/,
    )
  })

  it('whatever the file looks like, it says the same as before but for the limit', () => {
    const key = fc.constantFrom('policy', 'pipelines', 'a', 'stages', 'new', 'idleDays', 'x y', '7')
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 5 }, fc.constantFrom<unknown>(3, 'text', true), fc.dictionary(key, tie('value'))),
    }))
    const path = ['policy', 'pipelines', 'a', 'stages', 'new', 'idleDays']
    fc.assert(
      fc.property(fc.dictionary(key, value), fc.boolean(), (data, flow) => {
        const document = new Document(data, { aliasDuplicateObjects: false })
        if (flow && isMap(document.contents)) document.contents.flow = true
        const text = document.toString()
        const placed = path.every((_, depth) => {
          const there = document.getIn(path.slice(0, depth), true)
          return there === undefined || isMap(there)
        })
        if (!placed) return
        document.setIn(path, 12)
        expect(parseDocument(withSettings(text, [{ path, value: 12 }]).text).toJS()).toEqual(document.toJS())
      }),
    )
  })
})
