import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { MUTANTS, ROOT } from './mutations.ts'

const changes = MUTANTS.flatMap(({ safeguard, changes }) => changes.map((change) => [safeguard, ...change] as const))

it.each(changes)('what is broken is there once: %s, in %s', (_safeguard, file, from) => {
  expect(readFileSync(join(ROOT, file), 'utf8').split(from)).toHaveLength(2)
})
