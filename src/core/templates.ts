// The texts a company may replace, for each language, and what each may say. Checked before anything runs; the words that
// fill them are put in once and never read as a template.
import { z } from 'zod'

const DEAL = ['name', 'worth', 'stage']
/** What may stand in braces, by text. `on:date` is the value `on`, shown as a date. */
export const VARIABLES = {
  subject: DEAL,
  task: [...DEAL, 'last', 'on:date', 'passed', 'clears', 'causes', 'draft'],
  next: ['name'],
  decision: ['name', 'agreed'],
  yes: ['name'],
  closing: ['name'],
  completion: ['on:date', 'why'],
} as const satisfies Readonly<Record<string, readonly string[]>>

/** Names, sums and stages come on top: with them a subject still fits the 255 characters of a Salesforce task. */
const MOST = { subject: 100, task: 4000, next: 2000, decision: 2000, yes: 2000, closing: 2000, completion: 500 }
type Kind = keyof typeof VARIABLES

/** The variables of a text, as people write them: `{name}, {worth}`. */
export const variablesOf = (kind: Kind): string => VARIABLES[kind].map((one) => `{${one}}`).join(', ')

/** What is wrong with a template, in the words of who wrote it; null: nothing. */
function wrong(kind: Kind, text: string): string | null {
  const known: readonly string[] = VARIABLES[kind]
  const there = `; variables here: ${variablesOf(kind)}`
  if (text === '') return 'must not be empty; leave it out to keep the text unstall brings'
  if (text.length > MOST[kind]) return `must have ${MOST[kind]} characters or fewer, not ${text.length}`
  if (kind === 'subject' && text.includes('\n')) return 'must be one line'
  if (/[^\P{Cc}\n]|\p{Cs}/u.test(text)) return 'has a character that cannot be shown, such as a tab: type it anew'
  const used = [...text.matchAll(/\{([^{}]*)\}/g)].map(([, hole = '']) => hole)
  const unknown = [...new Set(used.filter((hole) => !known.includes(hole)))].map((hole) => `{${hole.slice(0, 40)}}`)
  if (unknown.length > 0) return `uses ${unknown.join(', ')}, which is not known${there}`
  const at = text.replace(/\{[^{}]*\}/g, (hole) => ' '.repeat(hole.length)).search(/[{}]/)
  if (at < 0) return null
  const near = text.slice(Math.max(0, at - 20), at + 20).replaceAll('\n', ' ')
  return `has a brace without its partner near "${near}"; braces are only for variables${there}`
}

const template = (kind: Kind) =>
  z
    .string()
    .trim()
    .superRefine((text, context) => {
      const message = wrong(kind, text)
      if (message !== null) context.addIssue(message)
    })
    .exactOptional()

/** One each, so that the schema for editors can describe each for itself. */
const templates = () =>
  z.strictObject({
    subject: template('subject'),
    task: template('task'),
    drafts: z
      .strictObject({
        next: template('next'),
        decision: template('decision'),
        yes: template('yes'),
        closing: template('closing'),
      })
      .exactOptional(),
    completion: template('completion'),
  })

/** What a company says in its own words; what is left out stays as unstall says it. */
export const OwnTexts = z.strictObject({ en: templates().exactOptional(), fr: templates().exactOptional() })
export type Templates = NonNullable<z.infer<typeof OwnTexts>['en']>
