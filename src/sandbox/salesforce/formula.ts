// Formula fields: the small part of the language that a "0 while stalled, else the amount" formula needs: functions,
// fields, literals and comparison. Anything else is refused on creation, as the org refuses a wrong formula.
import type { Field, Row, Value } from './schema.ts'

export class FormulaError extends Error {
  override readonly name = 'FormulaError'
}

type Compiled = (row: Row) => Value

const TOKEN = /\s*("[^"]*"|'[^']*'|\d+(?:\.\d+)?|[A-Za-z]\w*|<>|!=|[()=,])\s*/y
const blank = (value: Value) => value === null || value === ''

const FUNCTIONS: Record<string, (arg: (index: number) => Value, count: number) => Value> = {
  IF: (arg) => (arg(0) === true ? arg(1) : arg(2)),
  OR: (arg, count) => Array.from({ length: count }, (_, i) => arg(i)).includes(true),
  AND: (arg, count) => Array.from({ length: count }, (_, i) => arg(i)).every((value) => value === true),
  NOT: (arg) => arg(0) !== true,
  ISPICKVAL: (arg) => (arg(0) ?? '') === arg(1),
  TEXT: (arg) => String(arg(0) ?? ''),
  ISBLANK: (arg) => blank(arg(0)),
  BLANKVALUE: (arg) => (blank(arg(0)) ? arg(1) : arg(0)),
}

/** Throws FormulaError with the org's words. `zero`: formulaTreatBlanksAs is BlankAsZero. */
export function compile(text: string, fields: ReadonlyMap<string, Field>, zero: boolean): Compiled {
  const tokens: string[] = []
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.length; ) {
    const from = TOKEN.lastIndex
    const token = TOKEN.exec(text)?.[1]
    if (token === undefined) throw new FormulaError(`Error: Syntax error. Found '${text.slice(from, from + 10)}'`)
    tokens.push(token)
  }
  let at = 0

  const comparison = (picklist = false): Compiled => {
    const left = primary(picklist)
    const operator = tokens[at] ?? ''
    if (!['=', '<>', '!='].includes(operator)) return left
    at += 1
    const right = primary(false)
    return (row) => ((left(row) ?? '') === (right(row) ?? '')) === (operator === '=')
  }
  const list = (picklistFirst: boolean): Compiled[] => {
    const args: Compiled[] = []
    for (; tokens[at] !== ')'; args.push(comparison(picklistFirst && args.length === 0)))
      if (args.length > 0 && tokens[at++] !== ',') throw new FormulaError("Error: Syntax error. Missing ')'")
    at += 1
    return args
  }
  const primary = (picklist: boolean): Compiled => {
    const token = tokens[at++] ?? ''
    if (/^["']/.test(token)) return () => token.slice(1, -1)
    if (/^\d/.test(token)) return () => Number(token)
    if (/^(true|false)$/i.test(token)) return () => token.toLowerCase() === 'true'
    if (/^null$/i.test(token)) return () => null
    if (!/^[A-Za-z]/.test(token)) throw new FormulaError(`Error: Syntax error. Found '${token}'`)
    if (tokens[at] === '(') {
      const name = token.toUpperCase()
      const run = FUNCTIONS[name]
      if (!run) throw new FormulaError(`Error: Unknown function ${name}. Check spelling.`)
      at += 1
      const args = list(['ISPICKVAL', 'TEXT', 'ISBLANK'].includes(name))
      return (row) => run((index) => args[index]?.(row) ?? null, args.length)
    }
    const field = fields.get(token.toLowerCase())
    if (!field) throw new FormulaError(`Error: Field ${token} does not exist. Check spelling.`)
    if (field.type === 'picklist' && !picklist)
      throw new FormulaError(
        `Error: Field ${token} is a picklist field. Picklist fields are only supported in certain functions.`,
      )
    const empty = zero && ['currency', 'double', 'percent', 'int'].includes(field.type) ? 0 : null
    return (row) => row[field.name] ?? empty
  }

  const compiled = comparison()
  if (at < tokens.length) throw new FormulaError(`Error: Syntax error. Extra '${tokens[at]}'`)
  return compiled
}
