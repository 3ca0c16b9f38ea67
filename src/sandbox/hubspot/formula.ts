// Calculated properties: the part of the documented formula language that flags and counted amounts need, namely
// literals, bare names as numbers, string(p), bool(p), is_present(p), comparisons, and/or/not, if-then-elseif-else.

export type Value = string | number | boolean | null
export type Formula = (property: (name: string) => string) => Value

const TOKEN = /\d+(?:\.\d+)?|'[^']*'|[A-Za-z_]\w*|!=|<=|>=|\S/g
type Operator = readonly [binds: number, apply: (a: Value, b: Value) => boolean]
const OPERATORS: Readonly<Record<string, Operator>> = {
  or: [1, (a, b) => a === true || b === true],
  and: [2, (a, b) => a === true && b === true],
  '=': [3, (a, b) => a === b],
  equals: [3, (a, b) => a === b],
  '!=': [3, (a, b) => a !== b],
  '<': [3, (a, b) => a !== null && b !== null && a < b],
  '>': [3, (a, b) => a !== null && b !== null && a > b],
  '<=': [3, (a, b) => a !== null && b !== null && a <= b],
  '>=': [3, (a, b) => a !== null && b !== null && a >= b],
}
/** How a property is read; a bare name is a number. */
const CASTS: Readonly<Record<string, (text: string) => Value>> = {
  string: (text) => text,
  bool: (text) => text === 'true',
  is_present: (text) => text !== '',
}

/** Throws SyntaxError saying what is wrong. `names` collects the properties it reads. */
export function parseFormula(text: string, names: Set<string>): Formula {
  const tokens = text.match(TOKEN) ?? []
  const next = (wanted: string) => tokens[0] === wanted && tokens.shift() !== undefined
  const need = (wanted: string) => {
    if (!next(wanted)) throw new SyntaxError(`expected ${wanted} before ${tokens[0] ?? 'the end'}`)
  }
  const closed = (inner: Formula): Formula => {
    need(')')
    return inner
  }
  const property = (cast: (text: string) => Value): Formula => {
    const name = tokens.shift() ?? 'the end'
    if (!/^[A-Za-z_]/.test(name)) throw new SyntaxError(`expected a property, found ${name}`)
    names.add(name)
    return (read) => cast(read(name))
  }
  const conditional = (): Formula => {
    const test = expression(1)
    need('then')
    const yes = expression(1)
    const chained = next('elseif')
    if (!chained) need('else')
    const no = chained ? conditional() : expression(1)
    next('endif')
    return (read) => (test(read) === true ? yes(read) : no(read))
  }
  const operand = (): Formula => {
    if (next('if')) return conditional()
    if (next('(')) return closed(expression(1))
    if (next('not')) {
      const inner = expression(3)
      return (read) => inner(read) !== true
    }
    const token = tokens[0] ?? ''
    const cast = tokens[1] === '(' ? CASTS[token] : undefined
    if (cast) {
      tokens.splice(0, 2)
      return closed(property(cast))
    }
    if (!/^(\d|'.|true$|false$)/.test(token)) return property((text) => (text === '' ? null : Number(text)))
    tokens.shift()
    const literal = token.startsWith("'") ? token.slice(1, -1) : /^\d/.test(token) ? Number(token) : token === 'true'
    return () => literal
  }
  const expression = (least: number): Formula => {
    let left = operand()
    for (;;) {
      const [binds, apply] = OPERATORS[tokens[0] ?? ''] ?? []
      if (binds === undefined || apply === undefined || binds < least) return left
      tokens.shift()
      const [first, second] = [left, expression(binds + 1)]
      left = (read) => apply(first(read), second(read))
    }
  }
  const whole = expression(1)
  if (tokens[0] !== undefined) throw new SyntaxError(`not understood: ${tokens[0]}`)
  return whole
}
