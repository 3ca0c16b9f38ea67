// A company's own words: every variable there is gets filled, nothing else is let in, and what fills it is never read as
// a template.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { RULES, type Rule } from '../../src/core/deal.ts'
import type { Reason } from '../../src/core/explain.ts'
import { OwnTexts, type Templates, VARIABLES } from '../../src/core/templates.ts'
import { en } from '../../src/texts/en.ts'
import { fr } from '../../src/texts/fr.ts'
import { plain } from '../../src/texts/shared.ts'
import { reason as reasonOf } from './reason.ts'

const reason = (dealName: string, rule: Rule = 'decision_overdue', more: Partial<Reason> = {}): Reason =>
  reasonOf(rule, { dealName, ...more })
const all = (kind: keyof typeof VARIABLES) => VARIABLES[kind].map((one) => `${one}={${one}}`).join('|')
const EVERYTHING: Templates = {
  subject: all('subject'),
  task: all('task'),
  drafts: { next: all('next'), decision: all('decision'), yes: all('yes'), closing: all('closing') },
  completion: all('completion'),
}

describe.each([
  ['en', en],
  ['fr', fr],
] as const)('%s', (language, texts) => {
  test('every variable is filled, in the words and formats of the language', () => {
    expect(OwnTexts.parse({ [language]: EVERYTHING })).toEqual({ [language]: EVERYTHING })
    const own = texts.withTemplates(EVERYTHING)
    for (const rule of RULES)
      for (const chasedBefore of [false, true]) {
        const { subject, body } = own.task(reason('Acme', rule, { chasedBefore }))
        expect(subject).toBe(`name=Acme|worth= (${texts.money(12_000, 'EUR')})|stage=Demo`)
        expect(body).toContain(`on:date=${texts.date('2026-04-07')}|passed=`)
        expect(body).toContain('draft=name=Acme')
        expect(subject + body).not.toMatch(/[{}–]/)
      }
    expect(own.completionNote('closed', '2026-05-01')).toMatch(`on:date=${texts.date('2026-05-01')}|why=`)
  })

  test('what is left out stays; each draft is replaced for itself', () => {
    const one = reason('Acme')
    expect(texts.withTemplates(undefined).task(one)).toEqual(texts.task(one))
    expect(texts.withTemplates({}).task(one)).toEqual(texts.task(one))
    const closing = texts.withTemplates({ drafts: { closing: 'Bye.' } })
    expect(closing.task(one)).toEqual(texts.task(one))
    expect(closing.task(reason('Acme', 'decision_overdue', { chasedBefore: true })).body).toMatch(/\n\nBye\.$/)
    const subject = texts.withTemplates({ subject: 'Acme?' })
    expect(subject.task(one)).toEqual({ ...texts.task(one), subject: 'Acme?' })
    expect(subject.explanation(one)).toBe(texts.explanation(one))
  })

  test('a deal called {draft} is called {draft}: names are put in as they are, once, however often', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '$&',
      '$1',
      ...VARIABLES.task.map((one) => `{${one}}`),
      '{agreed}',
      'a',
      "'",
    )
    const hostile = fc.array(piece, { minLength: 1, maxLength: 8 }).map((parts) => parts.join(''))
    for (const own of [undefined, EVERYTHING])
      fc.assert(
        fc.property(hostile, fc.constantFrom(...RULES), (name, rule) => {
          const { subject, body } = texts.withTemplates(own).task(reason(name, rule))
          const usual = texts.withTemplates(own).task(reason('NAME', rule))
          const named = (text: string) => text.replaceAll('NAME', () => plain(name))
          expect({ subject, body }).toEqual({ subject: named(usual.subject), body: named(usual.body) })
        }),
      )
  })

  test('the CRM takes it, whatever the deal is called and however often the template says so', () => {
    const long = {
      subject: '{name}{stage}'.repeat(7),
      task: '{draft}'.repeat(500),
      drafts: { next: '{name}'.repeat(300) },
    }
    expect(OwnTexts.safeParse({ [language]: long }).success).toBe(true)
    const { subject, body } = texts.withTemplates(long).task(reason('&'.repeat(90), 'no_movement'))
    expect(subject.length).toBeLessThanOrEqual(255)
    expect(body.length).toBe(10_000)
  })
})

test.each([
  ['subject', 'Any {dealname}?', 'uses {dealname}, which is not known; variables here: {name}, {worth}, {stage}'],
  ['subject', 'Two\nlines', 'must be one line'],
  ['subject', 'x'.repeat(101), 'must have 100 characters or fewer, not 101'],
  ['task', ' \n ', 'must not be empty; leave it out to keep the text unstall brings'],
  ['task', '{on} {on:money} {constructor} {on}', /^uses \{on\}, \{on:money\}, \{constructor\}, which .*\{on:date\}/],
  ['task', '{Name} { name } {}', /^uses \{Name\}, \{ name \}, \{\}, which is not known/],
  ['task', 'Deal {name has stopped', /^has a brace without its partner near "Deal \{name has stopped"; .* \{name\}/],
  ['task', 'Deal {{name}}', /^has a brace without its partner/],
  ['task', 'Deal name}', /^has a brace without its partner/],
  ['task', 'a\0b', /^has a character that cannot be shown/],
  ['task', 'a\ud800b', /^has a character that cannot be shown/],
  ['completion', 'Done: {draft}', /^uses \{draft\}, which is not known; variables here: \{on:date\}, \{why\}$/],
])('%s %j is refused', (kind, text, message) => {
  const { error } = OwnTexts.safeParse({ fr: { [kind]: text } })
  expect(error?.issues.map(({ path }) => path)).toEqual([['fr', kind]])
  expect(error?.issues[0]?.message).toEqual(typeof message === 'string' ? message : expect.stringMatching(message))
})

test('docs/texts.md lists every variable of every text, and its example loads', () => {
  const page = readFileSync('docs/texts.md', 'utf8')
  for (const [kind, variables] of Object.entries(VARIABLES)) {
    const row = page.match(new RegExp(`^\\| \`(drafts\\.)?${kind}\` .*$`, 'm'))?.[0] ?? ''
    expect([...row.matchAll(/\{(.*?)\}/g)].map(([, name]) => name)).toEqual(variables)
    for (const one of variables) expect(page).toContain(`\n| \`{${one}}\` |`)
  }
  const example = parse(page.match(/```yaml\n([\s\S]*?)```/)?.[1] ?? '')
  expect(OwnTexts.parse(example.texts)).toHaveProperty('en.drafts.next')
})
