// The oracle itself: it agrees with answers worked out by hand, with the program where nothing goes wrong, and it
// notices what must never happen.
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { closeHomes, homes } from '../homes.ts'
import { type Crm, firstNight, setUp, startCrm } from '../jobs/harness.ts'
import { startProgram } from '../jobs/program.ts'
import { compare, fetchHeld, type Verdict } from './oracle.ts'
import { live, type World, world } from './world.ts'

afterAll(closeHomes)
const SYSTEMS = ['hubspot', 'salesforce'] as const

/** The whole program, undisturbed, over all nights of a world on both CRMs. */
async function undisturbed(made: World): Promise<readonly { readonly crm: Crm; readonly verdict: Verdict }[]> {
  const [home] = homes
  if (!home) throw new Error('no home')
  const { database } = await home.open()
  const crms = await Promise.all(SYSTEMS.map((system) => startCrm(system, made.crm)))
  const program = await startProgram({ database, crms, settings: made.settings })
  onTestFinished(async () => {
    await program.close()
    for (const crm of crms) await crm.stop()
  })
  for (const crm of crms) {
    await setUp(crm)
    for (const [night, { now, acts }] of made.nights.entries()) {
      await live(crm, acts)
      await crm.clock(now)
      const { status } = night === 0 ? (await firstNight(program, crm, now)).run : await program.night(crm, now)
      expect(status).toBe('done')
    }
  }
  expect(program.problems).toEqual([])
  const held = await Promise.all(crms.map((crm) => fetchHeld(crm.url)))
  return crms.map((crm, i) => {
    const [one] = held.slice(i, i + 1)
    if (!one) throw new Error('nothing held')
    const { crm: seed, settings, seed: number } = made
    const elsewhere = held.filter((other) => other !== one)
    const nights = made.nights.map(({ now }) => now)
    return { crm, verdict: compare({ seed, settings, number, system: crm.system, nights, held: one, elsewhere }) }
  })
}

describe('the whole program, undisturbed', () => {
  it.each([1])(
    'agrees with the oracle: seed %i',
    async (seed) => {
      for (const { verdict } of await undisturbed(world({ seed, deals: 100 })))
        expect(verdict).toEqual({ DUP: [], LOST: [], WRONG: [], overwrites: [] })
    },
    60_000,
  )
})
