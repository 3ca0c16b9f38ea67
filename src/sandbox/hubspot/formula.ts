// The documented formula language of calculated properties: literals, string(p), bool(p), bare names as numbers,
// arithmetic, comparisons, and/or/not, if-then-elseif-else. Enough to hold a client to what HubSpot accepts.

export type Value = string | number | boolean | null
export type Formula = (property: (name: string) => string) => Value

const TOKEN = /\s*(?:(\d+(?:\.\d+)?)|'([^']*)'|([A-Za-z_]\w*)|(!=|<=|>=|[-+*/<>=(),]))/y
const number = (value: Value) => (typeof value === 'number' ? value : null)
const truth = (value: Value) => value === true

/** Throws SyntaxError with the place of the fault. `names` collects the properties it reads. */
export function parseFormula(text: string, names: Set<string> = new Set()): Formula {
  const tokens: { readonly text: string; readonly kind: 'number' | 'string' | 'word' | 'sign' }[] = []
  TOKEN.lastIndex = 0
  while (text.slice(TOKEN.lastIndex).trim() !== '') {
    const from = TOKEN.lastIndex
    const match = TOKEN.exec(text)
    if (!match) throw new SyntaxError(`unexpected text at position ${from}`)
    const [, digits, quoted, word, sign] = match
    if (digits !== undefined) tokens.push({ text: digits, kind: 'number' })
    else if (quoted !== undefined) tokens.push({ text: quoted, kind: 'string' })
    else if (word !== undefined) tokens.push({ text: word, kind: 'word' })
    else tokens.push({ text: sign ?? '', kind: 'sign' })
  }
  let at = 0
  const next = (...wanted: string[]) => {
    const token = tokens[at]
    if (!token || token.kind === 'string' || !wanted.includes(token.text)) return null
    at += 1
    return token.text
  }
  const need = (wanted: string) => {
    if (next(wanted) === null) throw new SyntaxError(`expected ${wanted} before "${tokens[at]?.text ?? 'the end'}"`)
  }
  const chain = (operand: () => Formula, signs: string[], apply: (sign: string, a: Value, b: Value) => Value) => {
    let left = operand()
    for (let sign = next(...signs); sign !== null; sign = next(...signs)) {
      const [first, by, second] = [left, sign, operand()]
      left = (property) => apply(by, first(property), second(property))
    }
    return left
  }
  const expression = (): Formula => (next('if') ? conditional() : either())
  const conditional = (): Formula => {
    const test = either()
    need('then')
    const yes = expression()
    const chained = next('elseif') !== null
    if (!chained) need('else')
    const otherwise = chained ? conditional() : expression()
    next('endif')
    return (property) => (truth(test(property)) ? yes(property) : otherwise(property))
  }
  const either = () => chain(both, ['or'], (_, a, b) => truth(a) || truth(b))
  const both = () => chain(negation, ['and'], (_, a, b) => truth(a) && truth(b))
  const negation = (): Formula => {
    if (!next('not')) return comparison()
    const inner = negation()
    return (property) => !truth(inner(property))
  }
  const comparison = () =>
    chain(sum, ['=', 'equals', '!=', '<=', '>=', '<', '>'], (sign, a, b) => {
      if (sign === '=' || sign === 'equals') return a === b
      if (sign === '!=') return a !== b
      if (a === null || b === null || typeof a !== typeof b) return false
      return sign === '<' ? a < b : sign === '>' ? a > b : sign === '<=' ? a <= b : a >= b
    })
  const arithmetic = (sign: string, first: Value, second: Value) => {
    const [a, b] = [number(first), number(second)]
    if (a === null || b === null || (sign === '/' && b === 0)) return null
    return sign === '+' ? a + b : sign === '-' ? a - b : sign === '*' ? a * b : a / b
  }
  const sum = () => chain(product, ['+', '-'], arithmetic)
  const product = () => chain(primary, ['*', '/'], arithmetic)
  const primary = (): Formula => {
    const token = tokens[at++]
    if (!token) throw new SyntaxError('unexpected end')
    if (token.kind === 'number') return () => Number(token.text)
    if (token.kind === 'string') return () => token.text
    if (token.text === '(') {
      const inner = expression()
      need(')')
      return inner
    }
    if (token.kind !== 'word') throw new SyntaxError(`unexpected "${token.text}"`)
    if (token.text === 'true' || token.text === 'false') return () => token.text === 'true'
    if (next('(')) return call(token.text)
    names.add(token.text)
    return (property) => (property(token.text) === '' ? null : number(Number(property(token.text))))
  }
  const call = (name: string): Formula => {
    if (['string', 'bool', 'is_present'].includes(name)) {
      const property = tokens[at++]
      if (property?.kind !== 'word') throw new SyntaxError(`${name}() wants a property name`)
      names.add(property.text)
      need(')')
      if (name === 'string') return (read) => read(property.text)
      return name === 'bool' ? (read) => read(property.text) === 'true' : (read) => read(property.text) !== ''
    }
    const values: Formula[] = [expression()]
    while (next(',')) values.push(expression())
    need(')')
    const applied = FUNCTIONS[name]
    if (!applied) throw new SyntaxError(`unknown function ${name}`)
    return (property) => applied(values.map((value) => value(property)))
  }
  const whole = expression()
  if (tokens[at]) throw new SyntaxError(`unexpected "${tokens[at]?.text}"`)
  return whole
}

const numbers = (values: readonly Value[]) => values.filter((value) => typeof value === 'number')
const FUNCTIONS: Readonly<Record<string, (values: readonly Value[]) => Value>> = {
  max: (values) => (numbers(values).length ? Math.max(...numbers(values)) : null),
  min: (values) => (numbers(values).length ? Math.min(...numbers(values)) : null),
  contains: ([text, part]) => String(text ?? '').includes(String(part ?? '')),
  concatenate: (values) => values.join(''),
  number_to_string: ([value]) => String(value ?? ''),
  string_to_number: ([value]) => (value === '' || Number.isNaN(Number(value)) ? null : Number(value)),
}
