// Faults of single calls: 9 (refused before anything happened), 10 (applied, but the answer is lost), 11 (some of a batch
// refused) and 26 (answers that are slow, cut, of another kind or point elsewhere).
import type { Fault, JournalLine } from '../../src/sandbox/control.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import { DAY, REPS, seedDeal, seedOf } from '../jobs/harness.ts'
import { part, type Result, type Scenario, type Trial } from './harness.ts'
import { judged } from './judge.ts'
import { company, type Virtual, virtual } from './virtual.ts'
import { type Asked, MANGLES, type Mangle, stranger, wire } from './wire.ts'
import { world } from './world.ts'

/** All stalled, and nothing else will ever be said of them. */
export const neglected = (count: number) =>
  seedOf(
    Array.from({ length: count }, (_, at) =>
      seedDeal(`deal ${at}`, { closeDate: '2032-01-01', ownerEmail: REPS[at % REPS.length] ?? '' }),
    ),
  )
/** Creations and changes. */
const WRITES = {
  hubspot: ['/batch/create', '/batch/update'].map((path) => ({ method: 'POST', path })),
  salesforce: ['POST', 'PATCH'].map((method) => ({ method, path: '/composite/sobjects' })),
}

/** The buyer of every deal answers. */
export async function replies({ crm, time }: Virtual): Promise<void> {
  const { deals } = await crm.look()
  for (let from = 0; from < deals.length; from += 50)
    await Promise.all(deals.slice(from, from + 50).map(({ id }) => crm.actOn(id, 'buyer-reply')))
  // A night begins with a whole second: these have happened before it.
  time.advance(time.clock() + 1000)
}

/** Records that were written the same value twice: sent again without looking. */
function blind(journal: readonly JournalLine[]): string[] {
  const seen = new Set<string>()
  return journal.flatMap((line) => {
    const what = JSON.stringify([line.id, line.after])
    if (!seen.has(what)) seen.add(what)
    else return [`${line.object} ${line.id} was written twice: ${what}`]
    return []
  })
}

/** A world that stalls and recovers, until so many writes have had no answer. */
async function ambiguous(trial: Trial, taskKey: 'unique' | 'plain'): Promise<Result> {
  const { system, quick } = trial
  const most = quick ? 400 : 10_000
  const batch = system === 'hubspot' ? 100 : 200
  const rig = await virtual(trial, {
    crms: [{ system, seed: neglected(batch * (quick ? 3 : 20)), taskKey }],
    timeoutMs: 300,
  })
  const { crm, passed, time } = rig
  // Each fault looks only at what the ones before it let through.
  const share = (quick ? 0.4 : 0.2) / 3
  const faults: Fault[] = WRITES[system].flatMap((where) =>
    (['timeout-after', '502-after', 'reset-after'] as const).map((fault, at) => ({
      ...{ fault, ...where },
      rate: share / (1 - at * share),
    })),
  )
  const unanswered = () => passed.reduce((sum, { rows, status }) => sum + (status === 0 || status >= 500 ? rows : 0), 0)
  const sums = { dup: 0, lost: 0, wrong: 0 }
  const problems: string[] = []
  const before = await crm.look()
  let written = 0
  let nights = 0
  for (let stalls = 1; unanswered() < most && problems.length === 0; stalls++) {
    for (const state of ['stalled', 'moving'] as const) {
      await crm.faults(faults)
      if (nights === 0) await rig.firstNight()
      else await rig.night(crm)
      await crm.faults([])
      nights += 1
      const found = await judged(crm, () => ({ state, stalls }), before)
      const journal = await crm.journal()
      problems.push(...found.problems, ...blind(journal.slice(written)))
      written = journal.length
      sums.dup += found.dup
      sums.lost += found.lost
      sums.wrong += found.wrong
      trial.say(`${nights} nights, ${unanswered()} writes without an answer`)
      time.advance(time.clock() + (state === 'stalled' ? DAY : 35 * DAY))
      if (state === 'stalled') await replies(rig)
    }
  }
  return {
    injected: `${unanswered()} unanswered writes`,
    ...sums,
    problems,
    note: `${nights} nights, ${written} writes`,
  }
}

/** Three nights of a company; of the calls, how many there were and how many were struck. */
async function season(trial: Trial, deals: number, faults: readonly Fault[]) {
  const rig = await company(trial, world({ seed: trial.seed, deals }))
  for (let night = await rig.next(); night !== null; night = await rig.next()) {
    await rig.crm.faults(faults)
    await (night === 0 ? rig.firstNight() : rig.nights())
    await rig.crm.faults([])
  }
  const struck = rig.passed.filter(({ status }) => status >= 500).length
  return { ...(await rig.judge()), calls: rig.passed.length, struck }
}

/** What the sandboxes say of a record they were told to refuse. */
const WORDS = /A rule of this account is not met|Ask Sales Operations|Unexpected character in one of the records/

/** One batch of 100 of which some are refused, then a night without faults. */
async function refused(trial: Trial, seed: number, faults: readonly Fault[]) {
  const rig = await virtual({ ...trial, seed }, { crms: [{ system: trial.system, seed: neglected(100) }] })
  const { crm, time, passed, database } = rig
  const before = await crm.look()
  await crm.faults(faults)
  const [night] = await rig.firstNight()
  await crm.faults([])
  const calls = passed.length
  const rows = await rowsOfRun(database.db, night?.id ?? '')
  const [flags, tasks] = [rows.filter(({ group }) => group === 'flag'), rows.filter(({ group }) => group === 'task')]
  const count = (some: typeof rows, status: string) => some.filter((row) => row.status === status).length
  const silent = rows.filter(({ status, message }) => status === 'refused' && !WORDS.test(message ?? ''))
  const { deals } = await crm.look()
  const flagged = deals.filter(({ stalled }) => stalled).length
  const problems = [
    ...silent.map(({ key, message }) => `${key} was refused, and the ledger says ${message}`),
    ...(flagged === count(flags, 'done') ? [] : [`${flagged} flags in the CRM, ${count(flags, 'done')} in the ledger`]),
  ]
  time.advance(time.clock() + DAY)
  await rig.night(crm)
  const found = await judged(crm, () => ({ state: 'stalled', stalls: 1 }), before)
  problems.push(...found.problems, ...blind(await crm.journal()))
  const counts = { flags: count(flags, 'done'), tasks: count(tasks, 'done') }
  return { ...found, ...counts, calls, problems: problems.map((one) => `seed ${seed}: ${one}`) }
}

const TIMEOUT_MS = 150
/** Most calls one step makes before it leaves a CRM that says nothing alone. */
const TRIES = 8

async function badLine(trial: Trial): Promise<Result> {
  const { system, seed, quick } = trial
  let spoil: (asked: Asked) => Mangle | null = () => null
  const other = await stranger()
  trial.onEnd(() => other.stop())
  const through = async (url: string) => {
    const line = await wire(url, (asked) => spoil(asked))
    trial.onEnd(() => line.stop())
    return line.url
  }
  const rig = await company(trial, world({ seed, deals: quick ? 40 : 600 }), {
    crms: [{ system, through }],
    timeoutMs: TIMEOUT_MS,
  })
  const { crm, passed, log } = rig
  const problems: string[] = []
  const met = new Map<string, number>()
  const note = (what: string) => void met.set(what, (met.get(what) ?? 0) + 1)

  // Every third call, reads and writes alike.
  let n = 0
  spoil = () => {
    const mangle = n++ % 3 === 2 ? (MANGLES[Math.floor(n / 3) % MANGLES.length] ?? null) : null
    if (mangle) note(String(mangle))
    return mangle
  }
  await rig.next()
  await rig.firstNight()

  // Somebody else answers for the CRM: at sign-in, at the first call, in the middle of writing.
  const away = { redirect: other.url, status: 307 } as const
  const places: ((asked: Asked) => boolean)[] = [
    ({ path }) => !path.includes('oauth'),
    ({ path }) => /batch\/(?:update|create)|composite\/sobjects(?:\?|$)/.test(path),
    ...(system === 'salesforce' ? [({ path }: Asked) => path.includes('oauth')] : []),
  ]
  spoil = () => null
  await rig.next()
  const before = (await crm.journal()).length
  for (const [at, here] of places.entries()) {
    spoil = (asked) => {
      if (here(asked)) note('redirect')
      return here(asked) ? away : null
    }
    if (at === 2) rig.forget()
    const run = await rig.night(crm, {}, 'fail')
    if (run.status !== 'failed' || !/redirect/.test(run.problem ?? ''))
      problems.push(`redirect ${at}: the run is ${run.status}, ${run.problem}`)
  }
  const writes = (await crm.journal()).length - before
  if (writes > 0) problems.push(`${writes} writes although calls were redirected`)
  problems.push(...other.heard.map((what) => `the other host heard: ${what.slice(0, 80)}`))
  spoil = () => null
  await rig.night(crm)

  // Nothing answers at all, until it is left alone.
  await rig.next()
  let silent = 0
  spoil = () => {
    if (log.slice(said).some((line) => /no answer|did not answer/.test(line) && /afterMs/.test(line))) return null
    silent += 1
    return 'silence'
  }
  const said = log.length
  const begun = performance.now()
  await rig.night(crm)
  const waited = performance.now() - begun
  note(`silence of ${silent} calls`)
  if (silent > TRIES) problems.push(`${silent} calls to a CRM that says nothing`)
  if (silent === 0) problems.push('nothing was silent')

  const longest = Math.max(...passed.map(({ tookMs }) => tookMs))
  // As much again for a busy machine.
  if (longest > 2 * TIMEOUT_MS + 1000) problems.push(`a call took ${Math.round(longest)} ms of ${TIMEOUT_MS}`)
  const found = await rig.judge()
  const kinds = [...met].map(([what, times]) => `${times} x ${what}`).join(', ')
  const times = `the longest call took ${Math.round(longest)} ms of ${TIMEOUT_MS}, the silent night ${Math.round(waited)} ms`
  return {
    ...found,
    injected: `${n} calls on a bad line`,
    problems: [...problems, ...found.problems],
    note: `${kinds}; ${times}`,
  }
}

export const calls: readonly Scenario[] = [
  {
    fault: 9,
    title: '5xx before anything was applied, 20 %',
    async run(trial) {
      const deals = trial.quick ? 300 : 3000
      let [calm, calls, struck] = [0, 0, 0]
      const sums = { dup: 0, lost: 0, wrong: 0 }
      const problems: string[] = []
      // Chance weighs less in several seasons.
      for (let n = 0; n < (trial.quick ? 1 : 4); n++) {
        const other = { ...trial, seed: trial.seed + n }
        calm += (await part(other, (own) => season(own, deals, []))).calls
        const found = await part(other, (own) => season(own, deals, [{ fault: '500-before', rate: 0.2 }]))
        calls += found.calls
        struck += found.struck
        problems.push(...found.problems)
        for (const kind of ['dup', 'lost', 'wrong'] as const) sums[kind] += found[kind]
      }
      const ratio = calls / calm
      // Asked: 1.4. The fewer calls a calm night needs, the more of them are writes, which are looked up before they are
      // repeated; where keys are not unique, tasks without an answer twice: at once, and when that proves something.
      const limit = trial.system === 'hubspot' ? 1.42 : 1.6
      // In one season chance strikes a few more or less than a fifth.
      const most = trial.quick ? (limit * 0.8) / (1 - struck / calls) : limit
      if (ratio > most) problems.push(`${calls} calls instead of ${calm}: more than ${most.toFixed(2)} times as many`)
      return { ...sums, injected: `${struck} of ${calls} calls`, extraCalls: `${ratio.toFixed(2)} x`, problems }
    },
  },
  {
    fault: 10,
    title: 'applied, but timeout, 502 or reset',
    run: (trial) => ambiguous(trial, 'unique'),
  },
  {
    fault: 10,
    title: 'the same, task keys not unique',
    systems: ['hubspot'],
    run: (trial) => ambiguous(trial, 'plain'),
  },
  {
    fault: 11,
    title: 'one bad row, or a tenth, in a batch of 100',
    async run(trial) {
      const sums = { dup: 0, lost: 0, wrong: 0 }
      const problems: string[] = []
      let extra = 0
      const [creates, updates] = WRITES[trial.system]
      const calm = await part(trial, (own) => refused(own, trial.seed, []))
      const seeds = Array.from({ length: trial.quick ? 1 : 10 }, (_, at) => trial.seed + at)
      const cases = [
        { faults: [{ fault: 'bad-row', ...updates }], flags: 99, tasks: 99 },
        { faults: [{ fault: 'bad-row', ...creates }], flags: 100, tasks: 99 },
        { faults: [{ fault: 'partial', ...updates }], flags: 90, tasks: 90 },
        { faults: [{ fault: 'partial', ...creates }], flags: 100, tasks: 90 },
      ] as const
      for (const seed of seeds)
        for (const { faults, flags, tasks } of cases) {
          const found = await part(trial, (own) => refused(own, seed, faults))
          sums.dup += found.dup
          sums.lost += found.lost
          sums.wrong += found.wrong
          const more = found.calls - calm.calls
          extra = Math.max(extra, more)
          const on = `seed ${seed}, ${JSON.stringify(faults)}`
          problems.push(...found.problems)
          if (found.flags !== flags || found.tasks !== tasks)
            problems.push(`${on}: ${found.flags} flags and ${found.tasks} tasks written, not ${flags} and ${tasks}`)
          if (more > 14) problems.push(`${on}: ${more} extra calls`)
        }
      return { ...sums, injected: `${seeds.length * cases.length} batches`, extraCalls: `at most ${extra}`, problems }
    },
  },
  { fault: 26, title: 'slow, cut, HTML, redirected answers', run: badLine },
]
