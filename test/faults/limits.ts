// Faults 6 to 8: the CRM wants fewer calls. Storms of refusals, a budget that others use too, and calls that are used up
// for the day. In virtual time, because each of them takes minutes or hours.

import { setTimeout as sleep } from 'node:timers/promises'
import { RetryLater } from '../../src/errors.ts'
import type { Fault } from '../../src/sandbox/control.ts'
import type { Limits } from '../../src/sandbox/limits.ts'
import { circuits } from '../../src/store/connections.ts'
import { listRuns } from '../../src/store/runs.ts'
import { type Crm, MONDAY } from '../jobs/harness.ts'
import { neglected } from './calls.ts'
import { part, type Scenario, stage, type Trial } from './harness.ts'
import { company, type Passed, SOMEONE_ELSE, type Virtual, virtual } from './virtual.ts'
import type { Event } from './worker.ts'
import { world } from './world.ts'

const refused = ({ status }: Passed) => status === 429 || status === 403

/** Half of the calls and half of the searches, evenly, until told to stop. */
function someoneElse({ crm, time }: Virtual, signal: AbortSignal): void {
  const headers = { authorization: 'Bearer sandbox-else', [SOMEONE_ELSE]: 'true', 'content-type': 'application/json' }
  const use = async (everyMs: number, path: string, init: RequestInit) => {
    for (;;) {
      await time.sleep(everyMs, signal)
      const call = fetch(crm.url + path, { ...init, headers }).then((answer) => answer.text())
      call.catch(() => {}) // the CRM has closed
    }
  }
  const search = JSON.stringify({ filterGroups: [], limit: 1 })
  use(10_000 / 55, '/account-info/2026-09/details', {}).catch(() => {})
  use(1000 / 2.5, '/crm/objects/2026-09/tasks/search', { method: 'POST', body: search }).catch(() => {})
}

/** Reads and writes every deal over and over, as nights do, until so many calls have been made. Returns how often. */
async function busy({ crm, time, passed, connector }: Virtual, calls: number): Promise<number> {
  const { signal } = new AbortController()
  const hub = await connector(crm.name)
  const patiently = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;)
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof RetryLater)) throw error
        await time.sleep(error.afterMs)
      }
  }
  const ours = () => passed.filter((call) => call.crm === crm.name).length
  let rounds = 0
  while (ours() < calls) {
    rounds += 1
    const ids: string[] = []
    let cursor: string | null = null
    await patiently(async () => {
      for await (const page of hub.pull(cursor, time.clock(), signal)) {
        ids.push(...page.deals.map(({ id }) => id))
        cursor = page.cursor
      }
    })
    await patiently(() => hub.read(ids, signal))
    const deals = [...new Set(ids)]
    const after = { explanation: `round ${rounds}` }
    let rest = deals.map((deal) => ({ kind: 'fields', key: deal, deal, lockGroup: null, after }) as const)
    while (rest.length > 0)
      await patiently(async () => {
        for await (const { key, result } of hub.write(rest, signal))
          if (result === 'done') rest = rest.filter((one) => one.key !== key)
      })
    // Searches that find nothing.
    const late = JSON.stringify({ since: time.clock() + 3_600_000, after: null, mark: null, pending: [] })
    for (let n = 0; n < 10 && crm.system === 'hubspot'; n++)
      await patiently(async () => {
        for await (const _ of hub.pull(late, time.clock(), signal));
      })
  }
  return rounds
}

async function sharing(trial: Trial, limits: Limits) {
  const seed = neglected(400)
  const rig = await virtual(trial, {
    crms: [{ system: trial.system, seed, sandbox: { limits, latencyMs: 150 } }],
    timeoutMs: 60_000,
  })
  const stop = new AbortController()
  someoneElse(rig, stop.signal)
  const rounds = await rig.time.run(busy(rig, trial.quick ? 300 : 3000))
  stop.abort()
  const ours = of(rig.passed, rig.crm.name)
  const written = Map.groupBy(await rig.crm.journal(), ({ id }) => id)
  const wrong = [...written.values()].filter((lines) => lines.length !== rounds).length
  const problems = wrong > 0 || written.size !== 400 ? [`${limits}: ${wrong} of ${written.size} records not right`] : []
  const share = ours.filter(refused).length / ours.length
  if (share >= 0.05) problems.push(`${limits}: ${percent(share)} of our calls were refused`)
  const half = ours.slice(Math.floor(ours.length / 2))
  const later = half.filter(refused).length / half.length
  if (later >= 0.01 && !trial.quick) problems.push(`${limits}: still ${percent(later)} refused in the second half`)
  return { wrong, problems, calls: ours.length, share, later }
}

const of = (passed: readonly Passed[], name: string) => passed.filter(({ crm }) => crm === name)
const percent = (share: number) => `${(100 * share).toFixed(1)} %`

const search = ({ path }: Passed) => path.endsWith('/search')
/** Calls that began after a refusal had asked to wait, before the wait was over. HubSpot's limit of searches stops only
 *  those, its limit of ten seconds only the others. */
function early(passed: readonly Passed[]): string[] {
  return passed.flatMap((no) => {
    if (!refused(no) || no.retryAfterS === null) return []
    const until = no.until + no.retryAfterS * 1000
    const own = /SECONDLY/.test(no.policy ?? '')
    const others = passed.filter((one) => one.crm === no.crm && one.begun > no.over && one.at < until - 1)
    return others
      .filter((one) => !own || search(one) === search(no))
      .map(({ path, at }) => `${path} was called ${until - at} ms before the time that ${no.path} had been told`)
  })
}

const DAILY_MS = 3 * 3_600_000
/** HubSpot is asked once an hour, Salesforce four times. */
const PROBES = { hubspot: 3, salesforce: 12 }

/** Three of the same company: one in a storm, one beside it, and one alone, to compare with. */
async function storms(trial: Trial, weather: readonly (readonly Fault[])[]) {
  const { system, quick, seed } = trial
  const crms = ['stormy', 'calm', 'alone'].map((name) => ({ name, system, sandbox: { latencyMs: 150 } }))
  const rig = await company(trial, world({ seed, deals: quick ? 40 : 1500 }), { crms })
  const [stormy, calm, alone] = rig.crms
  if (!stormy || !calm || !alone) throw new Error('three are needed')
  const problems: string[] = []
  for (let night = await rig.next(); night !== null; night = await rig.next()) {
    const begun = rig.passed.length
    await stormy.faults(weather[night] ?? [])
    // What is used up for the day comes back.
    const over = rig.time.sleep(DAILY_MS).then(() => stormy.faults([]))
    const go = night === 0 ? rig.firstNight : rig.nights
    await go([stormy, calm])
    await rig.time.run(over)
    await go([alone])
    const cost = ({ name }: Crm) => {
      const calls = of(rig.passed.slice(begun), name)
      return { calls: calls.length, ms: Math.ceil((calls.at(-1)?.until ?? 0) - (calls[0]?.at ?? 0)) }
    }
    const [beside, was] = [cost(calm), cost(alone)]
    if (beside.calls !== was.calls || beside.ms > was.ms * 1.02)
      problems.push(`night ${night} beside a storm cost ${JSON.stringify(beside)}, alone ${JSON.stringify(was)}`)
  }
  const found = await rig.judge()
  return { rig, stormy, ...found, problems: [...problems, ...early(rig.passed), ...found.problems] }
}

/** A real worker that was told so is killed; the next one knows it too. */
async function killed(trial: Trial): Promise<string[]> {
  const { crm, work } = await stage(trial, { seed: neglected(20), app: { patienceMs: DAILY_MS } })
  await crm.faults([{ fault: '429-daily', path: '/services/data/' }])
  const count = async () => (await crm.calls()).reduce((sum, one) => sum + one.count, 0)
  const orders = { runs: [{ connection: crm.name, kind: 'night', now: MONDAY }] } as const
  const waits = (event: Event) => event.event === 'step' && /^waiting until .*TotalRequests/.test(event.step)
  const first = work(orders)
  await first.until(waits)
  // It says so before it has stored it.
  await sleep(300)
  const calls = await count()
  first.kill()
  await first.over
  const second = work(orders)
  await second.until(({ event }) => event === 'open')
  // It sweeps twice a second.
  await sleep(1500)
  second.kill()
  await second.over
  const more = (await count()) - calls
  return more > 0 ? [`${more} calls after a kill, while it should have waited`] : []
}

export const limits: readonly Scenario[] = [
  {
    fault: 6,
    title: '429 storms, unknown policy, daily limit',
    async run(trial) {
      const storm = { fault: '429', rate: 0.3 } as const
      const policyName = 'A_LIMIT_NOBODY_KNOWS'
      const { rig, stormy, problems, ...found } = await storms(trial, [
        [{ ...storm, retryAfter: 3 }],
        [
          { fault: '429', path: '/search', nth: 1, retryAfter: 5, policyName },
          { ...storm, policyName },
        ],
        [{ fault: '429-daily' }],
      ])
      const calls = of(rig.passed, stormy.name)
      const struck = calls.filter(refused)
      // The last night found nothing left for three hours: what was under way, then a look now and then.
      const probes = struck.filter(({ at }) => at > (struck.at(-1)?.at ?? 0) - DAILY_MS + 60_000).length
      if (probes > PROBES[trial.system]) problems.push(`${probes} calls in ${DAILY_MS / 3_600_000} h without any left`)
      // Storms are over: it works as before.
      await rig.time.run(busy({ ...rig, crm: stormy }, calls.length + 100))
      const after = of(rig.passed, stormy.name).slice(calls.length)
      const share = after.filter(refused).length / after.length
      if (share >= 0.01) problems.push(`${percent(share)} of the calls after the storms were refused`)
      return { ...found, injected: `${struck.length} of ${calls.length} calls`, problems }
    },
  },
  {
    fault: 7,
    title: 'someone else uses half of the budget',
    systems: ['hubspot'],
    async run(trial) {
      const found = [
        await part(trial, (own) => sharing(own, 'rolling')),
        await part(trial, (own) => sharing(own, 'bucket')),
      ]
      const shares = found.map(({ share }) => percent(share))
      const later = found.map((one) => percent(one.later))
      return {
        injected: `on ${found.reduce((sum, { calls }) => sum + calls, 0)} calls`,
        ...{ dup: 0, lost: 0, wrong: found.reduce((sum, { wrong }) => sum + wrong, 0) },
        problems: found.flatMap(({ problems }) => problems),
        note: `refused: rolling window ${shares[0]}, bucket ${shares[1]}; of the second half ${later.join(', ')}`,
      }
    },
  },
  {
    fault: 8,
    title: "the day's calls are used up",
    systems: ['salesforce'],
    async run(trial) {
      const crms = [{ system: trial.system, sandbox: { latencyMs: 150 } }]
      const rig = await company(trial, world({ seed: trial.seed, deals: trial.quick ? 40 : 1500 }), { crms })
      const { crm, database, time, passed } = rig
      const problems: string[] = []
      let [struck, probes] = [0, 0]
      for (const amid of ['reading', 'writing'] as const) {
        const night = await rig.next()
        const begun = passed.length
        const connection = crm.name
        const preview = night === 0 ? await rig.night(crm, { kind: 'preview' }) : null
        const usedUp = { fault: '429-daily', path: '/services/data/' } as const
        const strikes = async () => {
          if (amid === 'reading') return crm.faults([{ ...usedUp, nth: 6, rate: 1 }])
          while (!passed.slice(begun).some(({ rows }) => rows > 0)) await time.sleep(10)
          return crm.faults([usedUp])
        }
        const restarts = Array.from({ length: 5 }, async (_, n) => {
          await time.sleep((n + 1) * 1_700_000)
          const [run] = await listRuns(database.db, { connection })
          const circuit = (await circuits(database.db, time.clock(), connection)).get(connection)
          const said = circuit?.state === 'paused' ? circuit.reason : 'nothing'
          if (!/API calls of the day.*TotalRequests/.test(said))
            problems.push(`night ${night}: the connection says ${said}`)
          if (run) await rig.restart(run.id)
        })
        const others = [strikes(), time.sleep(DAILY_MS).then(() => crm.faults([])), ...restarts]
        await rig.night(crm, preview ? { confirm: preview.id } : {})

        await time.run(Promise.all(others))
        const no = passed.slice(begun).filter(refused)
        const first = no[0]?.until ?? 0
        const quarters = Map.groupBy(no, ({ at }) => Math.floor((at - first) / 900_000))
        for (const [quarter, calls] of quarters)
          if (quarter > 0 && calls.length > 1)
            problems.push(`night ${night}: ${calls.length} calls in window ${quarter}`)
        struck += no.length
        probes += no.filter(({ at }) => at > first).length
        if (quarters.size < 10) problems.push(`night ${night}: only ${quarters.size} windows`)
      }
      problems.push(...(await killed(trial)))
      const found = await rig.judge()
      const note = `${probes} probes in two times three hours, with ten restarts in between`
      return { ...found, injected: `${struck} refusals`, problems: [...problems, ...found.problems], note }
    },
  },
]
