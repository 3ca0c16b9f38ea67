// Faults 27 and 28: what must not be written at all. A neglected pipeline on the first night, too many stalled deals on a
// later one, and the preview, which writes nothing and says exactly what will be written.
import { DAY, MONDAY, seedDeal, seedOf } from '../jobs/harness.ts'
import { type Scenario, stage } from './harness.ts'

const names = (count: number) => Array.from({ length: count }, (_, at) => `deal ${at}`)

/** 60 % have not moved for months. */
const neglected = (count: number) =>
  seedOf(names(count).map((name, at) => seedDeal(name, { idle: at % 5 < 3 ? 40 + at : 3, age: 200 })))

export const brakes: readonly Scenario[] = [
  {
    fault: 27,
    title: 'first night: 60 % stalled, unconfirmed',
    async run(trial) {
      const { crm, finish } = await stage(trial, { seed: neglected(trial.quick ? 100 : 2000) })
      const [night] = await finish([{ connection: crm.name, kind: 'night', now: MONDAY }])
      const writes = (await crm.journal()).length
      const problems = [
        ...(writes > 0 ? [`${writes} writes without a confirmation`] : []),
        ...(night?.kind === 'preview' ? [] : [`the night became a ${night?.kind}, not a preview`]),
      ]
      return { injected: '1 neglected pipeline', dup: 0, lost: 0, wrong: writes, problems }
    },
  },
  {
    fault: 27,
    title: 'later night: a fifth of the pipeline stalls at once',
    async run(trial) {
      const count = trial.quick ? 150 : 2000
      // Seven of ten cross their limit of 15 working days between the two nights.
      const seed = seedOf(names(count).map((name, at) => seedDeal(name, { idle: at % 10 < 7 ? 18 : 3, age: 200 })))
      const brakes = { maxNewlyStalledShare: 0.15 }
      const { crm, firstNight, finish } = await stage(trial, { seed, config: { brakes } })
      await firstNight(MONDAY)
      const before = (await crm.journal()).length
      const now = MONDAY + 7 * DAY
      await crm.clock(now)
      await finish([{ connection: crm.name, kind: 'night', now }])
      const writes = (await crm.journal()).length - before
      const { deals } = await crm.look()
      const flagged = deals.filter(({ stalled }) => stalled).length
      const problems = [
        ...(writes > 0 ? [`${writes} writes although ${count * 0.7} deals stalled at once`] : []),
        ...(before > 0 ? [`the first night wrote ${before} times: the seed is wrong`] : []),
        ...(flagged > 0 ? [`${flagged} flags`] : []),
      ]
      return { injected: `${count * 0.7} of ${count} deals`, dup: 0, lost: 0, wrong: writes, problems }
    },
  },
]
