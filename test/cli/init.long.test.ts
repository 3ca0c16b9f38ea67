// `unstall init`: whatever is answered, the file can be read and says it; running again changes only what is answered
// differently. Then the wizard itself, key by key, against lookalikes.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { parse } from 'yaml'
import { begin, blank, createDraft, DECIDES, init, signIn } from '../../src/cli/init.ts'
import { checkText } from '../../src/config.ts'
import { NOW, type Place, place } from './harness.ts'

const EXAMPLE = readFileSync('unstall.config.example.yaml', 'utf8')
const FILE = '/somewhere/unstall.config.yaml'

const kinds = { hubspot: ['token', 'oauth'], salesforce: ['client-credentials', 'jwt', 'oauth'] } as const
const answers = (system: keyof typeof kinds) =>
  fc.record({
    system: fc.constant(system),
    kind: fc.constantFrom<string>(...kinds[system]),
    timezone: fc.constantFrom('UTC', 'Europe/Paris', 'America/Sao_Paulo'),
    language: fc.constantFrom('en', 'fr'),
    holidays: fc.constantFrom<string | string[]>('FR', 'NO', 'DE-BY', [], ['2026-12-25', '2027-05-01']),
    stages: fc.uniqueArray(
      fc.oneof(fc.string({ minLength: 1, unit: 'grapheme' }), fc.constantFrom('123', '# x', 'a: b')),
    ),
  })
type Answers = typeof answers extends (system: never) => fc.Arbitrary<infer A> ? A : never
const both = fc.constantFrom('hubspot' as const, 'salesforce' as const)

function filled(base: string, { system, kind, stages, ...company }: Answers, name?: string) {
  const draft = createDraft(base, FILE)
  const at = name ?? begin(draft, system)
  draft.put(...signIn(draft, at, system, kind))
  for (const [key, value] of Object.entries(company)) draft.put({ path: [key], value })
  draft.put({ path: ['policy', 'decision', 'stages'], value: stages })
  return { name: at, ...draft.result() }
}

describe('the file', () => {
  it('is the example without its connections, and says whatever was answered', () => {
    fc.assert(
      fc.property(both.chain(answers), (given) => {
        const { name, text } = filled(blank(EXAMPLE), given)
        checkText(text, FILE, NOW, {})
        const { connections, policy, ...rest } = parse(text)
        expect(rest).toMatchObject({ timezone: given.timezone, language: given.language, holidays: given.holidays })
        expect(new Set(policy.decision.stages)).toEqual(new Set(given.stages))
        expect(connections).toMatchObject({ [name]: { system: given.system, auth: { kind: given.kind } } })
        expect(Object.keys(connections)).toHaveLength(1)
        // Every comment but those on the connections of the example.
        const kept = blank(EXAMPLE).match(/#.*/g) ?? []
        expect(kept.length).toBeGreaterThan(20)
        expect(kept.filter((comment) => !text.includes(comment))).toEqual([])
        // The same answers change no byte.
        expect(filled(text, given, name)).toEqual({ name, text, set: [] })
      }),
    )
  })

  it('keeps the comments and edits of people when something else is answered', () => {
    const two = both.chain((system) => fc.tuple(answers(system), answers(system)))
    fc.assert(
      fc.property(two, ([first, second]) => {
        const { name, text } = filled(blank(EXAMPLE), first)
        let n = 0
        const own = text
          .replace('pushes: 3', 'pushes: 5')
          .replace(/^(\w+|policy\n {2}\w+|.*(system|kind)): ?.*$/gm, (line) => `# above ${n}\n${line} # beside ${n++}`)
        checkText(own, FILE, NOW, {})
        const again = filled(own, second, name)
        checkText(again.text, FILE, NOW, {})
        expect(again.text.match(/# (above|beside) \d+/g)).toEqual(own.match(/# (above|beside) \d+/g))
        const { connections, policy, timezone } = parse(again.text)
        expect([policy.pushes, timezone, connections[name].auth.kind]).toEqual([5, second.timezone, second.kind])
      }),
    )
  })

  it('what stays in a list of stages keeps its comment, and numbers are ids as well', () => {
    const text = 'policy:\n  decision:\n    stages:\n      - 12 # legal agrees\n      - old\n      - b\n'
    const draft = createDraft(text, FILE)
    draft.put({ path: ['policy', 'decision', 'stages'], value: ['b', 'new', '12'] })
    expect(draft.result().text).toBe(
      'policy:\n  decision:\n    stages:\n      - 12 # legal agrees\n      - b\n      - new\n',
    )
  })

  it('a second connection has a name and variables of its own', () => {
    const draft = createDraft(
      fc
        .sample(answers('hubspot'), 1)
        .map((one) => filled(blank(EXAMPLE), one).text)
        .join(''),
      FILE,
    )
    expect([begin(draft, 'hubspot'), begin(draft, 'salesforce')]).toEqual(['hub2', 'sf'])
    const { text } = draft.result()
    checkText(text, FILE, NOW, {})
    expect(parse(text).connections.hub2.auth).toEqual({ kind: 'token', token: '$' + '{HUB2_TOKEN}' })
  })

  it.each([
    ['Proposal/Price Quote', true],
    ['Negotiation/Review', true],
    ['Contract sent', true],
    ['Devis envoyé', true],
    ['Négociation', true],
    ['Décision attendue', true],
    ['Proposition envoyée', true],
    ['Value Proposition', false],
    ['Id. Decision Makers', false],
    ['Decision maker bought-in', false],
    ['Prospecting', false],
    ['Qualification', false],
  ])('stage %s: suggested %s', (label, suggested) => expect(DECIDES.test(label)).toBe(suggested))
})

const DOWN = '\x1b[B'
const CLEAR = '\x15'
const CTRL_C = '\x03'

/** A terminal in memory: waits for each question, then types. */
function typist(script: readonly (readonly [question: string, keys: string])[]) {
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} })
  const output = Object.assign(new PassThrough(), { isTTY: true, columns: 160, rows: 60 })
  const left = [...script]
  let screen = ''
  let since = 0
  output.on('data', (part: Buffer) => {
    screen += stripVTControlCharacters(part.toString())
    const next = left[0]
    const at = next ? screen.indexOf(next[0], since) : -1
    if (!next || at < 0) return
    left.shift()
    since = at + next[0].length
    // Text first, as a person would: a key of its own each.
    setImmediate(() => input.write(next[1]))
  })
  return { terminal: { input, output }, screen: () => screen, left: () => left }
}

describe('the wizard', () => {
  let at: Place
  let file: string
  beforeAll(async () => {
    at = await place()
    file = join(at.folder, 'unstall.config.yaml')
  })
  afterAll(() => at.close())
  let out = ''
  beforeEach(() => {
    out = ''
    vi.stubEnv('HUBSPOT_TOKEN', 'sandbox-cli')
    vi.stubEnv('SF_CLIENT_SECRET', 'sandbox')
    const spy = vi.spyOn(process.stdout, 'write').mockImplementation((more) => {
      out += String(more)
      return true
    })
    onTestFinished(() => {
      spy.mockRestore()
      vi.unstubAllEnvs()
    })
  })
  const wizard = async (config: string, script: readonly (readonly [string, string])[]) => {
    const { terminal, screen, left } = typist(script)
    const stuck = delay(20_000, 'stuck')
    const ended = await Promise.race([init({ config, json: false }, terminal).catch((error: unknown) => error), stuck])
    return { ended, screen: screen(), left: left() }
  }
  const rest = [
    ['Time zone', '\r'],
    ['Language', '\r'],
    ['Public holidays', '\r'],
  ] as const

  it('a new file, with the stages of the CRM', async () => {
    const fresh = join(at.folder, 'fresh.yaml')
    const { ended, screen, left } = await wizard(fresh, [
      ['Which CRM', `${DOWN}\r`],
      ['My Domain', '\r'],
      ['needs loginUrl', 'acme\r'],
      ['must be your My Domain', `${CLEAR}${at.sf.url}\r`],
      ['sign in?', '\r'],
      ['Client ID', `${CLEAR}sandbox\r`],
      ['holds the client secret', '\r'],
      ['Time zone', `${CLEAR}Europe/Pariss\r`],
      ['did you mean "Europe/Paris"', `${CLEAR}Europe/Paris\r`],
      ['Language', `${DOWN}\r`],
      ['Public holidays', `${CLEAR}de-by\r`],
      ['Decision stages', '\r'],
      ['Write ', '\r'],
    ])
    expect([ended, left], screen).toEqual([0, []])
    const said = parse(readFileSync(fresh, 'utf8'))
    expect(said).toMatchObject({ timezone: 'Europe/Paris', holidays: 'DE-BY' })
    expect(said.connections).toEqual({
      sf: {
        system: 'salesforce',
        loginUrl: at.sf.url,
        auth: { kind: 'client-credentials', clientId: 'sandbox', clientSecret: '$' + '{SF_CLIENT_SECRET}' },
      },
    })
    expect(said.policy.decision.stages).toContain('Contract sent')
    expect(out).toContain('unstall check sf')
    expect(out).not.toContain('export')
  })

  it('again: Enter all the way changes no byte; another stage changes one line', async () => {
    at.config([['    auth: { kind: token', '    # ours\n    auth: { kind: token']])
    const before = readFileSync(file, 'utf8')
    const through = [['Which connection?', '\r'], ['sign in?', '\r'], ['holds the token', '\r'], ...rest] as const
    const same = await wizard(file, [...through, ['Decision stages', '\r']])
    expect([same.ended, same.left], same.screen).toEqual([0, []])
    expect(same.screen).toContain('says all this already')
    expect(readFileSync(file, 'utf8')).toBe(before)

    const other = await wizard(file, [...through, ['Decision stages', ' \r'], ['Write ', '\r']])
    expect([other.ended, other.left], other.screen).toEqual([0, []])
    const after = readFileSync(file, 'utf8').split('\n')
    const changed = before.split('\n').filter((line, i) => line !== after[i])
    expect(changed).toEqual(['  decision: { stages: [contractsent, Contract sent] }'])
    // Of the other CRM: not offered here, so it stays.
    expect(parse(after.join('\n')).policy.decision.stages).toEqual(
      expect.arrayContaining(['contractsent', 'Contract sent']),
    )
  })

  it('stages that cannot be read are named, stay, and are asked another time', async () => {
    at.config()
    vi.stubEnv('HUBSPOT_TOKEN', '')
    const before = readFileSync(file, 'utf8')
    const { ended, screen } = await wizard(file, [
      ['Which connection?', '\r'],
      ['sign in?', '\r'],
      ['holds the token', `${CLEAR}pat-na1-secret\r`],
      ['must not stand in the file', `${CLEAR}OTHER_TOKEN\r`],
      ...rest,
      ['Write ', '\r'],
    ])
    expect(ended, screen).toBe(0)
    expect(screen).toContain('{OTHER_TOKEN}, which is not set')
    expect(readFileSync(file, 'utf8')).toBe(before.replace('HUBSPOT_TOKEN', 'OTHER_TOKEN'))
    expect(out).toContain('export OTHER_TOKEN=…')
    expect(out).toMatch(/unstall check hub\n.*unstall init again/)
  })

  it('another way to sign in replaces the fields, and is to be connected first', async () => {
    at.config()
    const { ended, screen } = await wizard(file, [
      ['Which connection?', '\r'],
      ['sign in?', `${DOWN}\r`],
      ['Client ID', '\r'],
      ['holds the client secret', '\r'],
      ...rest,
      ['Write ', '\r'],
    ])
    expect(ended, screen).toBe(0)
    const auth = { kind: 'oauth', clientId: '$' + '{HUBSPOT_CLIENT_ID}', clientSecret: '$' + '{HUBSPOT_CLIENT_SECRET}' }
    expect(parse(readFileSync(file, 'utf8')).connections.hub.auth).toEqual(auth)
    expect(out).toMatch(/unstall connect hub\n.*unstall check hub/)
  })

  it('Ctrl-C, No, and an edit meanwhile leave the file as it is', async () => {
    const nothing = join(at.folder, 'nothing.yaml')
    const begun = [
      ['Which CRM', '\r'],
      ['sign in?', '\r'],
      ['holds the token', `${CLEAR}NOT_SET\r`],
    ] as const
    for (let n = 0; n < 6; n++) {
      const script = [...begun, ...rest].slice(0, n)
      const question = [...begun, ...rest][n]?.[0] ?? ''
      const { ended } = await wizard(nothing, [...script, [question, CTRL_C]])
      expect(ended).toMatchObject({ name: 'Interrupted', message: expect.stringContaining('nothing was written') })
    }
    const no = await wizard(nothing, [...begun, ...rest, ['Write ', 'n']])
    expect(no.ended).toMatchObject({ message: 'nothing was written' })
    expect(existsSync(nothing)).toBe(false)

    at.config()
    const meanwhile = typist([
      ['Which connection?', '\r'],
      ['sign in?', '\r'],
      ['holds the token', `${CLEAR}NOT_SET\r`],
      ...rest,
    ])
    meanwhile.terminal.output.on('data', (part: Buffer) => {
      if (!part.toString().includes('Write ')) return
      writeFileSync(file, 'mine: now\n')
      setImmediate(() => meanwhile.terminal.input.write('\r'))
    })
    await expect(init({ config: file, json: false }, meanwhile.terminal)).rejects.toThrow('changed meanwhile')
    expect(readFileSync(file, 'utf8')).toBe('mine: now\n')
  })

  it('what is wrong in the file is named before anything is asked', async () => {
    at.config([['holidays: FR', 'holydays: FR']])
    expect((await wizard(file, [])).ended).toMatchObject({
      message: expect.stringContaining('did you mean "holidays"'),
    })
  })

  it('without a terminal it says what to do instead', async () => {
    const { code, err } = await at.start('init').ended
    expect(code).toBe(2)
    expect(err).toMatch(/needs a terminal.*unstall\.config\.example\.yaml/)
  })
})
