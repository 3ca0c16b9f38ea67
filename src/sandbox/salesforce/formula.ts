// Formula fields: the small part of the language that a "0 while stalled, else the amount" formula needs: four functions,
// fields, texts and numbers. Anything else is refused on creation, as the org refuses a wrong formula.
import { type Field, isNumber, type Row, type Value } from './schema.ts'
import { SaveError } from './validate.ts'

type Compiled = (row: Row) => Value

const FUNCTIONS: Record<string, (args: readonly Value[]) => Value> = {
  IF: ([test, yes = null, no = null]) => (test === true ? yes : no),
  OR: (args) => args.includes(true),
  ISPICKVAL: ([value, text]) => (value ?? '') === text,
  ISBLANK: ([value]) => value === null || value === '',
}

/** Throws SaveError with the org's words. `zero`: formulaTreatBlanksAs is BlankAsZero. */
export function compile(text: string, fields: ReadonlyMap<string, Field>, zero: boolean): Compiled {
  const tokens = text.match(/"[^"]*"|'[^']*'|\d+(?:\.\d+)?|\w+|\S/g) ?? []
  let at = 0
  const wrong = (message: string) => new SaveError('FIELD_INTEGRITY_EXCEPTION', `Error: ${message}`)

  /** `within`: the function it is an argument of. */
  function expression(within = ''): Compiled {
    const token = tokens[at++] ?? ''
    if (/^["']./.test(token)) return () => token.slice(1, -1)
    if (/^\d/.test(token)) return () => Number(token)
    if (tokens[at] === '(') return call(token.toUpperCase())
    const field = fields.get(token.toLowerCase())
    if (!field) throw wrong(`Field ${token} does not exist. Check spelling.`)
    if (field.type === 'picklist' && !within.startsWith('IS'))
      throw wrong(`Field ${token} is a picklist field. Picklist fields are only supported in certain functions.`)
    const empty = zero && isNumber(field.type) ? 0 : null
    return (row) => row[field.name] ?? empty
  }
  function call(name: string): Compiled {
    const run = FUNCTIONS[name]
    if (!run) throw wrong(`Unknown function ${name}. Check spelling.`)
    const args: Compiled[] = []
    do {
      at += 1
      args.push(expression(name))
    } while (tokens[at] === ',')
    if (tokens[at++] !== ')') throw wrong("Syntax error. Missing ')'")
    return (row) => run(args.map((arg) => arg(row)))
  }

  const compiled = expression()
  if (at < tokens.length) throw wrong(`Syntax error. Extra '${tokens[at]}'`)
  return compiled
}
