// A night judges what changed and what fell due, and says exactly what judging everything says: figures, lists, forecast
// and every planned row. Each night is asked twice by a preview: once as it is, once with all that was noted forgotten.
import { expect, it, onTestFinished } from 'vitest'
import type { RunProgress } from '../../jobs/context.ts'
import { getConnection, updateConnection } from '../../src/store/connections.ts'
import { getPlan } from '../../src/store/runs.ts'
import { homes } from '../homes.ts'
import { DAY, firstNight, MONDAY, REP_WHO_LEFT, REPS, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { startProgram, settings as usual } from './program.ts'

/** Nothing waits for its turn: what waits is judged every night. */
const settings = { ...usual, tasks: { ...usual.tasks, perOwnerPerWeek: 200 } }
const date = (at: number) => new Date(at).toISOString().slice(0, 10)
/** Some stand still, the others reach their limit one after the other. */
const DEALS = Array.from({ length: 40 }, (_, i) =>
  seedDeal(`deal ${i}`, {
    ...{ ownerEmail: i === 3 ? REP_WHO_LEFT : (REPS[i % REPS.length] ?? ''), idle: i < 8 ? 40 : 1 + (i % 24), age: 80 },
    ...{ amount: 1000.005 * i, closeDate: date(MONDAY + (i % 10) * 9 * DAY) },
    ...(i === 5 && { idle: 300, age: 400 }),
    // A cat on the keyboard: more cents than a database counts.
    ...(i === 9 && { amount: 1e20 }),
  }),
)

it.each(['hubspot', 'salesforce'] as const)(
  '%s: nights that judge little say what nights that judge all say',
  async (system) => {
    const home = await homes[0]?.open()
    if (!home) throw new Error('no home')
    const crm = await startCrm(system, seedOf(DEALS))
    onTestFinished(() => crm.stop())
    await setUp(crm)
    const program = await startProgram({ ...home, crms: [crm], settings })
    onTestFinished(() => program.close())
    const { db } = program.ctx
    let judged = 0
    const progress = ({ step, done }: RunProgress) => {
      if (step === 'decide') judged = done
    }
    Object.assign(program.ctx, { progress })
    const preview = async (at: number) => {
      const run = await program.night(crm, at, { kind: 'preview' })
      const rows = await getPlan(db, run.id)
      const said = JSON.stringify([rows, run.summary]).replaceAll(run.id, 'run')
      return { said, judged }
    }
    /** @returns how many deals were judged because something happened to them or fell due */
    async function compare(at: number): Promise<number> {
      const asIs = await preview(at)
      const noted = (await getConnection(db, crm.name))?.judged ?? null
      expect(noted).not.toBeNull()
      await updateConnection(db, crm.name, { judged: null })
      const whole = await preview(at)
      await updateConnection(db, crm.name, { judged: noted })
      // One is won and one deleted on the way.
      expect(whole.judged).toBeGreaterThanOrEqual(DEALS.length - 2)
      expect(asIs.said).toBe(whole.said)
      return asIs.judged
    }
    await firstNight(program, crm, MONDAY)
    const nights: Readonly<Record<number, readonly (() => Promise<unknown>)[]>> = {
      1: [
        () => crm.act('deal 0', 'buyer-reply'),
        () => crm.act('deal 9', 'move-stage', { to: crm.stage('closedwon') }),
        () => crm.set('deal 2', 'decision', 'no'),
      ],
      8: [() => crm.set('deal 1', 'stalled', false), () => crm.act('deal 20', 'delete')],
      40: [],
    }
    const counts: number[] = []
    let last = await program.night(crm, MONDAY)
    for (const [day, all] of Object.entries(nights)) {
      const at = MONDAY + Number(day) * DAY
      await crm.clock(at - DAY / 2)
      for (const happens of all) await happens()
      await crm.clock(at)
      counts.push(await compare(at))
      last = await program.night(crm, at)
      expect(last).toMatchObject({ status: 'done', problem: null })
    }
    // Not always so few: on the last day three weeks have passed.
    expect(Math.min(...counts)).toBeLessThan(DEALS.length / 3)
    await crm.clock(MONDAY + 42 * DAY)
    await program.night(crm, MONDAY + 42 * DAY)
    const quiet = await compare(MONDAY + 42.1 * DAY)
    const taken = await program.undo(last, MONDAY + 42.2 * DAY)
    expect(taken).toMatchObject({ status: 'done', problem: null })
    // What was taken back is looked at again, whatever was noted of it.
    expect(await compare(MONDAY + 42.3 * DAY)).toBeGreaterThan(quiet)
    // Under other settings everything is judged.
    await program.night(crm, MONDAY + 43 * DAY, { kind: 'preview', settings: { ...settings, forecast: 'none' } })
    expect(judged).toBeGreaterThanOrEqual(DEALS.length - 2)
  },
)
