// A seeded company on a stage, lived through night by night while a scenario breaks things, and judged in the end by the
// oracle. What people do between the nights is done by the sandbox's clock; the night itself is the scenario's to get done.
import { openDatabase } from '../../src/store/db.ts'
import type { Where } from '../homes.ts'
import type { Crm } from '../jobs/harness.ts'
import { type Result, type Stage, type StageOptions, stage, type Trial } from './harness.ts'
import { compare, fetchHeld } from './oracle.ts'
import { keyOf } from './story.ts'
import type { RunOrder } from './worker.ts'
import { live, type World } from './world.ts'

export type Judged = Pick<Result, 'dup' | 'lost' | 'wrong' | 'problems'>
export interface Season extends Stage {
  /** Everything up to the next night, and the order that does it; null: that was the last one. The first night's preview
   *  is done undisturbed. */
  next(): Promise<RunOrder | null>
  /** All nights so far are over. */
  judge(): Promise<Judged>
}

export async function season(trial: Trial, made: World, options: Omit<StageOptions, 'seed'> = {}): Promise<Season> {
  const config = { ...made.settings, ...options.config }
  const staged = await stage(trial, { ...options, seed: made.crm, config })
  const { crm, finish } = staged
  const connection = crm.name
  const nights = [...made.nights]
  const over: number[] = []
  return {
    ...staged,
    async next() {
      const night = nights.shift()
      if (night === undefined) return null
      const { now, acts } = night
      await live(crm, acts)
      await crm.clock(now)
      over.push(now)
      const order = { connection, kind: 'manual', now } as const
      if (over.length > 1) return order
      const [preview] = await finish([{ connection, kind: 'preview', now }])
      return { ...order, ...(preview && { confirm: preview.run }) }
    },
    async judge() {
      const { crm: seed, settings, seed: number } = made
      const held = await fetchHeld(crm.url)
      const { DUP, LOST, WRONG, overwrites } = compare({
        ...{ seed, settings, number, held },
        ...{ system: crm.system, nights: over },
      })
      const problems = [...DUP, ...LOST, ...WRONG, ...overwrites]
      return { dup: DUP.length, lost: LOST.length, wrong: WRONG.length + overwrites.length, problems }
    },
  }
}

/** The write ledger. The embedded one only while no worker has it open. */
export async function ledgerAt(where: Where) {
  const { db, close } = await openDatabase(where)
  const columns = ['run', 'key', 'deal', 'kind', 'status', 'taskKey', 'sentAt', 'sentEpoch', 'row'] as const
  return db.selectFrom('ledger').select(columns).execute().finally(close)
}
export type Intents = Awaited<ReturnType<typeof ledgerAt>>

/** Writes the CRM has applied although the ledger did not, by then, hold their intent. */
export async function unintended(crm: Crm, intents: Intents): Promise<string[]> {
  const sent = Map.groupBy(intents, ({ kind, deal, row, taskKey }) =>
    kind === 'fields' ? deal : 'task' in row ? row.task : (taskKey ?? ''),
  )
  return (await crm.journal()).flatMap(({ at, endpoint, id, before, after }) => {
    const what = before === null ? keyOf(after ?? {}) : id
    const stored = sent.get(what ?? '')?.some(({ sentAt }) => sentAt !== null && sentAt <= Date.parse(at))
    return stored ? [] : [`${endpoint} on ${id} at ${at} without a stored intent`]
  })
}
