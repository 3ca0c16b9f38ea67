// Repeatable chance for the sandbox: the same seed always gives the same company and the same people. Not for secrets.

export interface Random {
  /** 0 ≤ x < 1 */
  next(): number
  /** A whole number, both ends included. */
  int(from: number, to: number): number
  chance(probability: number): boolean
  pick<T>(values: readonly T[]): T
  /** An index, drawn in proportion to its weight. */
  weighted(weights: readonly number[]): number
  /** Skewed to the right, as durations and amounts are: about half of the draws lie below `median`. */
  skewed(median: number, spread: number): number
}

/** A generator for the text or number; different texts give independent sequences. */
export function random(seed: string | number): Random {
  let state = 2166136261
  for (const character of String(seed)) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 16777619)
  // mulberry32: https://github.com/bryc/code/blob/master/jshash/PRNGs.md#mulberry32
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return {
    next,
    int: (from, to) => from + Math.floor(next() * (to - from + 1)),
    chance: (probability) => next() < probability,
    pick: (values) => {
      const value = values[Math.floor(next() * values.length)]
      if (value === undefined) throw new RangeError('nothing to pick from')
      return value
    },
    weighted: (weights) => {
      let left = next() * weights.reduce((sum, weight) => sum + weight, 0)
      const index = weights.findIndex((weight) => {
        left -= weight
        return left < 0
      })
      return index < 0 ? weights.length - 1 : index
    },
    skewed: (median, spread) => {
      const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
      return median * Math.exp(spread * normal)
    },
  }
}
