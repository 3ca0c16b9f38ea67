// Faults 14 to 16: people and administrators are at work at the same time. A person edits between judging and writing, and
// before an undo; clears a flag, takes the category back, closes a task; an administrator deletes a field of ours.
import type { Instant } from '../../src/core/deal.ts'
import { type Crm, DAY, type FieldName, MONDAY, REPS, type Seen, seedDeal, seedOf, setUp } from '../jobs/harness.ts'
import { type Result, type Scenario, stage, type Trial } from './harness.ts'
import { tripwire } from './wire.ts'

const HOUR = 3_600_000
const dealName = (at: number) => `deal ${at}`
/** All stalled for the same reason. */
const idle = (count: number) =>
  seedOf(
    Array.from({ length: count }, (_, at) =>
      seedDeal(dealName(at), { idle: 40, age: 120, ownerEmail: REPS[at % REPS.length] ?? '' }),
    ),
  )
const count = ({ quick }: Trial) => (quick ? 70 : 1400)

/** What a person may do to a deal, and the field that shows it. */
const EDITS = [
  { act: 'move-stage', field: 'stage', more: (crm: Crm) => ({ to: crm.stage('presentationscheduled') }) },
  { act: 'move-stage', field: 'stage', more: (crm: Crm) => ({ to: crm.stage('closedwon') }) },
  { act: 'set', field: 'category', more: (crm: Crm) => ({ value: crm.words.best }) },
  { act: 'set', field: 'amount', more: () => ({ value: 77_777 }) },
  { act: 'set', field: 'owner', more: (_: Crm, seen: Seen, at: number) => ({ value: otherOwner(seen, at) }) },
  { act: 'set', field: 'decision', more: () => ({ value: 'no' }) },
] as const satisfies readonly {
  act: 'move-stage' | 'set'
  field: FieldName
  more: (crm: Crm, seen: Seen, at: number) => Record<string, string | number>
}[]
const otherOwner = (seen: Seen, at: number) => {
  const mine = seen.deal(dealName(at)).owner
  return seen.deals.find(({ owner }) => owner !== mine)?.owner ?? mine
}

interface Edited {
  readonly name: string
  readonly field: FieldName
  readonly value: unknown
}
/** Six of seven deals are edited, the seventh is left alone. */
async function edit(crm: Crm, at: Instant): Promise<readonly Edited[]> {
  await crm.clock(at)
  const before = await crm.look()
  const todo = before.deals.flatMap((_, n) => {
    const one = EDITS[n % 7]
    return one ? [{ name: dealName(n), n, ...one }] : []
  })
  for (const { name, n, act, field, more } of todo) {
    const how = more(crm, before, n)
    await crm.act(name, act, act === 'set' ? { field: crm.field(field), ...how } : how)
  }
  const after = await crm.look()
  return todo.map(({ name, field }) => ({ name, field, value: after.deal(name).all[crm.field(field)] }))
}

async function overwritten(crm: Crm, edits: readonly Edited[]): Promise<string[]> {
  const seen = await crm.look()
  return edits.flatMap(({ name, field, value }) => {
    const now = seen.deal(name).all[crm.field(field)]
    return String(now) === String(value) ? [] : [`${name}: ${field} was ${value} by a person and is ${now}`]
  })
}

async function betweenReadAndWrite(trial: Trial): Promise<Result> {
  const { crm, work, finish } = await stage(trial, { seed: idle(count(trial)) })
  const preview = await finish([{ connection: crm.name, kind: 'preview', now: MONDAY }])
  const night = { connection: crm.name, kind: 'manual', now: MONDAY, ...confirming(preview[0]?.run) } as const
  // Judged and planned, nothing sent yet.
  await work({ runs: [night], die: { at: 'step started', what: 'apply' } }).over
  const edits = await edit(crm, MONDAY + HOUR)
  await finish([night])
  const problems = await overwritten(crm, edits)
  const seen = await crm.look()
  const untouched = seen.deals.filter((_, at) => at % 7 === 6).map((_, at) => dealName(at * 7 + 6))
  const lost = untouched.filter((name) => !seen.deal(name).stalled || seen.tasksOf(name).length === 0).length
  const touched = edits.filter(({ name }) => seen.deal(name).stalled || seen.tasksOf(name).length > 0)
  const wrong = touched.map(({ name, field }) => `${name} was flagged although its ${field} had just been changed`)
  return {
    ...{ injected: `${edits.length} edits`, dup: 0, lost, wrong: problems.length + wrong.length },
    problems: [...problems, ...wrong],
  }
}
const confirming = (confirm: string | undefined) => (confirm === undefined ? {} : { confirm })

async function beforeAnUndo(trial: Trial): Promise<Result> {
  const { crm, firstNight, finish } = await stage(trial, { seed: idle(count(trial)) })
  const before = await crm.look()
  const [night] = await firstNight(MONDAY)
  const now = MONDAY + 2 * DAY
  const edits = await edit(crm, now - HOUR)
  await crm.clock(now)
  await finish([{ connection: crm.name, kind: 'undo', now, undoes: night?.run ?? '' }])
  const problems = await overwritten(crm, edits)
  const seen = await crm.look()
  const edited = new Map(edits.map(({ name, field }) => [name, field]))
  const wrong = seen.deals.flatMap(({ name, stalled, category, id }) => {
    const was = before.dump.get(id)
    const same = !edited.has(name) && JSON.stringify(seen.dump.get(id)) !== JSON.stringify(was)
    return [
      ...(same ? [`${name}, which nobody touched, is not as before`] : []),
      ...(stalled ? [`${name} is still flagged`] : []),
      ...(category === crm.words.omitted ? [`${name} is still omitted`] : []),
    ]
  })
  return {
    ...{ injected: `${edits.length} edits`, dup: 0, lost: 0, wrong: problems.length + wrong.length },
    problems: [...problems, ...wrong],
  }
}

/** Flag cleared, category put back, task completed, task deleted: once each, then some nights. */
async function noPingPong(trial: Trial): Promise<Result> {
  const { crm, firstNight, finish } = await stage(trial, { seed: idle(count(trial)) })
  await firstNight(MONDAY)
  const seen = await crm.look()
  const noon = MONDAY + DAY / 2
  await crm.clock(noon)
  const done = seen.deals.map((_, at) => at % 4)
  for (const [at, what] of done.entries()) {
    const name = dealName(at)
    if (what === 0) await crm.set(name, 'stalled', false)
    if (what === 1) await crm.set(name, 'category', crm.words.commit)
    const task = seen.tasksOf(name)[0]?.id ?? ''
    if (what === 2) await crm.actOn(task, 'complete-task')
    if (what === 3) await crm.actOn(task, 'delete-task')
  }
  const nights = Array.from({ length: trial.quick ? 2 : 5 }, (_, n) => MONDAY + (n + 1) * DAY)
  for (const now of nights) {
    await crm.clock(now)
    await finish([{ connection: crm.name, kind: 'manual', now }])
  }
  const after = await crm.look()
  const problems: string[] = []
  const ids = new Map(after.deals.map(({ id, name }) => [id, name]))
  const flag = crm.field('stalled')
  const category = crm.field('category')
  for (const [at, what] of done.entries()) {
    const name = dealName(at)
    const deal = after.deal(name)
    if (what === 0 && (deal.stalled || deal.category === crm.words.omitted)) problems.push(`${name} is flagged again`)
    if (what === 1 && deal.category !== crm.words.commit) problems.push(`${name}: the category was taken again`)
    if (what > 0 && !deal.stalled) problems.push(`${name} has lost its flag`)
    if (after.tasksOf(name).length > (what === 3 ? 0 : 1)) problems.push(`${name} has a second task`)
  }
  const writes = new Map<string, number>()
  for (const { id, after: values, before } of await crm.journal()) {
    const name = ids.get(id)
    if (name === undefined || before === null) continue
    for (const field of [flag, category].filter((one) => values && one in values)) {
      const key = `${name}: ${field}=${values?.[field]}`
      writes.set(key, (writes.get(key) ?? 0) + 1)
    }
  }
  for (const [key, times] of writes) if (times > 1) problems.push(`${key} was written ${times} times`)
  const wrong = problems.length
  return { injected: `${done.length} acts, ${nights.length} nights`, dup: 0, lost: 0, wrong, problems }
}

/** While the first writes of the first night are on their way our flag is deleted; a night later `setup` makes it anew. */
async function fieldDropped(trial: Trial): Promise<Result> {
  const isWrite = /\/deals\/batch\/update|\/composite\/sobjects$/
  const { through, first } = tripwire(trial, ({ method, path }) => method !== 'GET' && isWrite.test(path))
  const { crm, work, finish } = await stage(trial, { seed: idle(trial.quick ? 450 : 2000), through })
  const [preview] = await finish([{ connection: crm.name, kind: 'preview', now: MONDAY }])
  const night = { connection: crm.name, kind: 'manual', now: MONDAY, ...confirming(preview?.run) } as const
  // Partly refused ones too.
  const fails = (status: string) => Number(status) >= 400 || status === '207'
  const failures = async () =>
    (await crm.calls())
      .flatMap(({ statuses }) => Object.entries(statuses))
      .reduce((sum, [status, times]) => sum + (fails(status) ? times : 0), 0)
  const was = await failures()
  // Each write waits at the door, so that the field goes while as many are under way as ever will be.
  const writes = crm.system === 'hubspot' ? { path: '/batch/update' } : { method: 'PATCH', path: '/composite/sobjects' }
  await crm.faults([{ fault: 'slow', ms: 1_500, ...writes }])
  const worker = work({ runs: [night] })
  await Promise.race([first, worker.over])
  await new Promise((resolve) => setTimeout(resolve, 500))
  await crm.actOn('', 'drop-field', { id: undefined, field: crm.field('stalled') })
  await crm.faults([])
  await worker.over
  const failing = (await failures()) - was
  // Two, and on a busy machine one more: a write, the look before it and a query may each find out for themselves.
  const problems = failing > 3 || failing === 0 ? [`${failing} calls failed`] : []
  const next = MONDAY + DAY
  await crm.clock(next)
  await finish([{ connection: crm.name, kind: 'manual', now: next }])
  const second = (await failures()) - was - failing
  if (second > 0) problems.push(`${second} calls failed in the night after, although the field was known to be missing`)
  await setUp(crm)
  const healed = MONDAY + 2 * DAY
  await crm.clock(healed)
  await finish([{ connection: crm.name, kind: 'manual', now: healed }])
  const seen = await crm.look()
  const lost = seen.deals.filter(({ name, stalled }) => !stalled || seen.tasksOf(name).length === 0).length
  const dup = seen.deals.filter(({ name }) => seen.tasksOf(name).length > 1).length
  if (lost > 0) problems.push(`${lost} deals have no flag or no task after setup`)
  return { injected: '1 field deleted', dup, lost, wrong: 0, extraCalls: `${failing} failing`, problems }
}

export const people: readonly Scenario[] = [
  { fault: 14, title: 'a person edits between judging and writing', run: betweenReadAndWrite },
  { fault: 14, title: 'a person edits before an undo', run: beforeAnUndo },
  { fault: 15, title: 'flag cleared, category back, task closed', run: noPingPong },
  { fault: 16, title: 'our flag field is deleted', long: true, run: fieldDropped },
]
