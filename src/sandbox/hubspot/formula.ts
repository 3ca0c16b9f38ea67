// Calculated properties: the part of the documented formula language that flags and counted amounts need, namely
// literals, bare names as numbers, string(p), bool(p), is_present(p), comparisons, and/or/not, if-then-elseif-else.

export type Value = string | number | boolean | null
export type Formula = (property: (name: string) => string) => Value

const TOKEN = /\s*(\d+(?:\.\d+)?|'[^']*'|[A-Za-z_]\w*|!=|<=|>=|[<>=()])/y
const COMPARE: Readonly<Record<string, (a: Value, b: Value) => boolean>> = {
  '=': (a, b) => a === b,
  equals: (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a !== null && b !== null && a < b,
  '>': (a, b) => a !== null && b !== null && a > b,
  '<=': (a, b) => a !== null && b !== null && a <= b,
  '>=': (a, b) => a !== null && b !== null && a >= b,
}

/** Throws SyntaxError saying what is wrong. `names` collects the properties it reads. */
export function parseFormula(text: string, names: Set<string>): Formula {
  const tokens: string[] = []
  TOKEN.lastIndex = 0
  while (text.slice(TOKEN.lastIndex).trim() !== '') {
    const from = TOKEN.lastIndex
    const token = TOKEN.exec(text)?.[1]
    if (token === undefined) throw new SyntaxError(`not understood from position ${from}`)
    tokens.push(token)
  }
  const next = (...wanted: string[]) => (wanted.includes(tokens[0] ?? '') ? tokens.shift() : undefined)
  const need = (wanted: string) => {
    if (!next(wanted)) throw new SyntaxError(`expected ${wanted} before ${tokens[0] ?? 'the end'}`)
  }
  const word = () => {
    const name = tokens.shift() ?? ''
    if (!/^[A-Za-z_]/.test(name)) throw new SyntaxError(`expected a property, found ${name || 'the end'}`)
    names.add(name)
    return name
  }
  const expression = (): Formula => (next('if') ? conditional() : either())
  const conditional = (): Formula => {
    const test = either()
    need('then')
    const yes = expression()
    const chained = next('elseif')
    if (!chained) need('else')
    const otherwise = chained ? conditional() : expression()
    next('endif')
    return (property) => (test(property) === true ? yes(property) : otherwise(property))
  }
  const either = (): Formula => {
    const first = both()
    if (!next('or')) return first
    const second = either()
    return (property) => first(property) === true || second(property) === true
  }
  const both = (): Formula => {
    const first = comparison()
    if (!next('and')) return first
    const second = both()
    return (property) => first(property) === true && second(property) === true
  }
  const comparison = (): Formula => {
    if (next('not')) {
      const inner = comparison()
      return (property) => inner(property) !== true
    }
    const left = operand()
    const compare = COMPARE[next(...Object.keys(COMPARE)) ?? '']
    if (!compare) return left
    const right = operand()
    return (property) => compare(left(property), right(property))
  }
  const operand = (): Formula => {
    if (next('(')) return closed(expression())
    const token = tokens[0] ?? ''
    if (/^[\d']/.test(token)) {
      tokens.shift()
      return () => (token.startsWith("'") ? token.slice(1, -1) : Number(token))
    }
    const literal = next('true', 'false')
    if (literal) return () => literal === 'true'
    const cast = tokens[1] === '(' ? next('string', 'bool', 'is_present') : undefined
    if (cast) need('(')
    const name = word()
    if (cast === 'string') return closed((property) => property(name))
    if (cast === 'bool') return closed((property) => property(name) === 'true')
    if (cast) return closed((property) => property(name) !== '')
    return (property) => (property(name) === '' ? null : Number(property(name)))
  }
  const closed = (inner: Formula): Formula => {
    need(')')
    return inner
  }
  const whole = expression()
  if (tokens[0] !== undefined) throw new SyntaxError(`not understood: ${tokens[0]}`)
  return whole
}
