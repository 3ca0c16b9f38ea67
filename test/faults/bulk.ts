// Faults of sheer size, played by real worker processes whose calls are counted and whose memory is measured: 19 (a mass
// edit touches every deal between two nights) and 23 (values of any length and alphabet).
import type { System } from '../../src/core/deal.ts'
import { type Crm, HOSTILE_NAMES, REPS, seedDeal } from '../jobs/harness.ts'
import type { HomeName, Result, Scenario, Trial } from './harness.ts'
import { season } from './season.ts'
import { isAct, isDeal, NAMES } from './story.ts'
import { wire } from './wire.ts'
import { type Deed, type World, world } from './world.ts'

/** The embedded database takes its half a gigabyte in the worker's own process: what the worker holds shows without it. */
const HOMES: readonly HomeName[] = ['PostgreSQL']
const DAY_MS = 86_400_000
/** The program's own: a page of 2,000 takes its time on a busy machine, and nobody is killed here. */
const OWN = { lockMs: 8_000, stalledCheckMs: 3_000, timeoutMs: 30_000 }

// ---- 19: everything changed tonight

/** Enough that finding the list better costs few calls among many (HubSpot), and more than a page (Salesforce). */
const WELL = { hubspot: 2_500, salesforce: 2_400 }

/** A small company, and many deals that are well, into all of which somebody imports a new amount before the last night. */
function massEdit({ seed, quick, system }: Trial): World {
  const made = world({ seed, deals: 64, gaps: [2] })
  const well = Array.from({ length: quick ? WELL[system] : 25_000 }, (_, n) =>
    seedDeal(`well ${n}`, {
      idle: 3,
      now: made.crm.now,
      closeDate: '2032-01-01',
      ownerEmail: REPS[n % REPS.length] ?? '',
    }),
  )
  const nights = made.nights.map(({ now, acts }, night) => {
    // Less than 5 % more, and by a program: no movement of any kind.
    const edit = { does: 'set', field: 'amount', to: 10_001, by: 'import', at: now - 60_000 } as const
    return { now, acts: [...acts, ...(night === 0 ? [] : well.map(({ name: deal }): Deed => ({ ...edit, deal })))] }
  })
  return { ...made, crm: { ...made.crm, deals: [...well, ...made.crm.deals] }, nights }
}

/** What a night had to find out and to write. */
interface Work {
  /** Deals there are. */
  readonly all: number
  /** Those touched since the night before, by anybody. */
  readonly changed: number
  /** Those whose stage, amount or close date were. */
  readonly told: number
  readonly flags: number
  readonly created: number
  readonly completed: number
  /** Times the fields are looked at: once more where a person cleared a flag, or was it the field that went? */
  readonly looks: number
}
async function workOf({ system, journal, look }: Crm, since: number, now: number): Promise<Work> {
  const lines = (await journal('with acts')).map((line) => ({ ...line, at: Date.parse(line.at) }))
  const count = (some: typeof lines) => new Set(some.map(({ id }) => id)).size
  const names = NAMES[system]
  const before = lines.filter((line) => line.at >= since && line.at < now && isDeal(line))
  const set = (...fields: string[]) => before.filter(({ after }) => after && fields.some((field) => field in after))
  const writes = lines.filter((line) => line.at >= now && !isAct(line))
  const tasks = writes.filter((line) => !isDeal(line))
  const created = tasks.filter((line) => line.before === null).length
  return {
    ...{ all: (await look()).deals.length, changed: count(before) },
    told: count(set(names.stage, names.amount, names.closeDate)),
    ...{ flags: count(writes.filter(isDeal)), created, completed: count(tasks) - created },
    looks: set(names.stalled).some(isAct) ? 2 : 1,
  }
}

const pages = (count: number, size: number) => Math.ceil(count / size)
/** The fewest calls for that, in full pages and batches. `swept`: how many ids are looked through for deals that vanished. */
const MINIMUM: Readonly<Record<System, (work: Work, swept: number) => number>> = {
  hubspot({ all, changed, told, flags, created, completed, looks }, swept) {
    // Account, pipelines, properties of deals and of tasks, owners and those who left.
    const reference = 6 * looks
    // By search and with the history of those that need it, or by the list, which brings it along.
    const reading = Math.min(pages(changed, 200) + pages(told, 50), pages(all, 50))
    // A fresh look at deals, at tasks to be completed; then the writes.
    const writing = 2 * pages(flags, 100) + pages(created, 100) + 2 * pages(completed, 100)
    return reference + reading + pages(swept, 200) + writing
  },
  salesforce({ changed, told, flags, created, completed, looks }, swept) {
    // Objects, company, stages, users: one composite call.
    const reference = looks
    // Deals; of which the history moved, then that history, 500 ids a query.
    const reading = pages(changed, 2000) + pages(told, 2000) + pages(told, 500)
    // Meetings booked, due and come into reach; changed events, tasks, mails.
    const evidence = 4
    // A fresh look at deals, at tasks to be completed; then the writes.
    const looking = pages(flags, 2000) + pages(completed, 2000)
    const writing = pages(flags, 200) + pages(created, 200) + pages(completed, 200)
    return reference + reading + evidence + pages(swept, 2000) + looking + writing
  },
}

const MOST_CALLS = 1.05
/** More in use than on a quiet night beside as many deals: a page or two of the list with its history (Salesforce: of
 *  2,000 deals), as many as there are for any number of deals. In full counts, holding half
 *  of the deals would be more. */
const MOST_LIVE_MB = 25
/** The same with what the garbage collector leaves lying meanwhile, as the operator sees it. */
const MOST_PEAK_MB = 200

async function everythingChanged(trial: Trial): Promise<Result> {
  const at = await season(trial, massEdit(trial), { app: { timing: OWN } })
  const { crm, finish, finished } = at
  const calls = async () => (await crm.calls()).reduce((sum, { count }) => sum + count, 0)
  let [since, ratio, fewest] = [0, 0, 0]
  for (let order = await at.next(); order !== null; order = await at.next()) {
    const was = await calls()
    await finish([order], { weigh: true })
    const spent = (await calls()) - was
    const work = await workOf(crm, since, order.now)
    // Of a week's round, as many nights as are left of it share what there is.
    const nights = 8 - Math.round((order.now - since) / DAY_MS)
    fewest = MINIMUM[crm.system](work, since === 0 ? 0 : Math.ceil(work.all / nights))
    ratio = spent / fewest
    trial.say(`${spent} calls for ${JSON.stringify(work)}`)
    since = order.now
  }
  const [quiet, mass] = finished.slice(-2)
  const live = (mass?.liveMb ?? 0) - (quiet?.liveMb ?? 0)
  const peak = (mass?.peakMb ?? 0) - (quiet?.peakMb ?? 0)
  const { problems, ...found } = await at.judge()
  return {
    ...{ injected: '1 edit of all deals', ...found, extraCalls: `${ratio.toFixed(3)} x` },
    problems: [
      ...problems,
      ...(ratio > MOST_CALLS ? [`${ratio.toFixed(3)} times the ${fewest} calls that are needed`] : []),
      ...(live > MOST_LIVE_MB ? [`${mb(live)} more in use than on a quiet night`] : []),
      ...(peak > MOST_PEAK_MB ? [`${mb(peak)} more memory than on a quiet night`] : []),
    ],
    note: `${fewest} calls are needed; ${mb(mass?.peakMb ?? 0)} at most, ${mb(peak)} more than on a quiet night, ${mb(live)} more in use`,
  }
}

// ---- 23: values of any length and alphabet

/** What stands, very often, in a field that nobody has a reason to read. */
const UNREAD = 'nobody asked for this '
const READS = {
  hubspot: { of: /objects\/[^/]+\/deals/, name: /\bdealname\b/, unread: 'description' },
  salesforce: { of: /FROM.Opportunity\b|sobjects\/Opportunity\b/, name: /\bName\b/, unread: 'Description' },
} as const
const MOST_MORE_MB = 50

/** Deals of these names in a company, in a first night and in one after half of the buyers replied. `unread`: also a field
 *  of 5 MB, and one of 100 kB in each of the others. */
async function nightsOf(trial: Trial, names: readonly string[], unread: string | null) {
  const { seed, quick, system } = trial
  const { of, name: dealName, unread: field } = READS[system]
  const made = world({ seed, deals: quick ? 64 : 1000, gaps: [2] })
  const owner = (n: number) => ({ ownerEmail: REPS[n % REPS.length] ?? '' })
  const more = names.map((name, n) => seedDeal(name, { now: made.crm.now, closeDate: '2032-01-01', ...owner(n) }))
  const nights = made.nights.map(({ now, acts }, night) => {
    const some = names.filter((_, n) => night === 1 && n % 2 > 0)
    return { now, acts: [...acts, ...some.map((deal): Deed => ({ does: 'reply', deal, at: now - 60_000 }))] }
  })
  const asked = { deals: 0, unread: 0, told: 0 }
  const edit = (answer: string) => {
    if (answer.includes(UNREAD)) asked.told += 1
    return answer
  }
  const through = async (url: string) => {
    const line = await wire(url, ({ path, body }) => {
      const said = of.test(decodeURIComponent(path)) ? `${decodeURIComponent(path)} ${body}` : ''
      if (dealName.test(said)) asked.deals += 1
      if (new RegExp(`\\b${field}\\b|FIELDS\\(`).test(said)) asked.unread += 1
      return { edit }
    })
    trial.onEnd(() => line.stop())
    return line.url
  }
  const at = await season(
    trial,
    { ...made, crm: { ...made.crm, deals: [...more, ...made.crm.deals] }, nights },
    { through },
  )
  const { crm, finished } = at
  const { deals } = await crm.look()
  for (const [n, name] of names.entries()) {
    // The seed of Salesforce keeps to its own limit.
    const deal = deals.find((one) => one.name === name || one.name === name.slice(0, 120).toWellFormed())
    const set = (what: string, value: string) => crm.actOn(deal?.id ?? '', 'set', { field: what, value, by: 'import' })
    if (deal?.name !== name) await set(crm.field('name'), name)
    if (unread !== null) await set(field, unread.repeat((n === 0 ? 5e6 : 1e5) / unread.length))
  }
  for (let order = await at.next(); order !== null; order = await at.next()) await at.finish([order])
  return { crm, asked, peakMb: Math.max(...finished.map(({ peakMb }) => peakMb)), judged: await at.judge() }
}

/** What must not be in a text that people read. */
function broken(text: string, most: number, html: boolean): string | null {
  if (text.length > most) return `is ${text.length} long`
  // Half a character becomes the sign for one that is none where it is stored.
  if (!text.isWellFormed() || text.includes('\ufffd')) return 'is cut inside a character'
  if (/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(text.replaceAll('\n', ''))) return 'has control characters'
  return html && /<(?!br>)/.test(text) ? 'is markup' : null
}

async function anyText(trial: Trial): Promise<Result> {
  const { system, quick } = trial
  // Each time cut elsewhere.
  const names = Array.from({ length: quick ? 3 : 25 }, (_, n) =>
    Object.values(HOSTILE_NAMES).map((name) => '~'.repeat(n) + name),
  ).flat()
  const plain = await nightsOf(
    trial,
    names.map((_, n) => `plain ${n}`),
    null,
  )
  const { crm, asked, peakMb, judged } = await nightsOf(trial, names, UNREAD)
  const problems = [...plain.judged.problems, ...judged.problems]
  const html = system === 'hubspot'
  for (const { object, id, after } of await crm.journal()) {
    const of = (...fields: string[]) => String(fields.map((field) => after?.[field]).find((one) => one != null) ?? '')
    const texts = /task/i.test(object)
      ? ([
          ['subject', of('hs_task_subject', 'Subject'), 255, false],
          ['body', of('hs_task_body', 'Description'), 5000, html],
        ] as const)
      : ([['explanation', of(crm.field('explanation')), 255, false]] as const)
    for (const [what, text, most, markup] of texts) {
      const wrong = broken(text, most, markup)
      if (wrong) problems.push(`${object} ${id}: its ${what} ${wrong}: ${JSON.stringify(text.slice(0, 150))}`)
    }
  }
  if (asked.deals === 0) problems.push('no call asked for the names of deals')
  if (asked.unread + asked.told > 0)
    problems.push(`${asked.unread} calls asked for what is not needed, ${asked.told} brought it`)
  const more = peakMb - plain.peakMb
  if (more > MOST_MORE_MB) problems.push(`${mb(more)} more memory than with plain names`)
  const note = `${asked.deals} calls asked for deals; ${mb(peakMb)} at most, ${mb(more)} more than with plain names`
  return { ...judged, injected: `${names.length} deals`, problems, note }
}

const mb = (value: number) => `${value.toFixed(0)} MB`

export const bulk: readonly Scenario[] = [
  { fault: 19, title: 'everything changed tonight', homes: HOMES, alone: true, run: everythingChanged },
  { fault: 23, title: 'endless names, 5 MB, any alphabet', homes: HOMES, run: anyText },
]
