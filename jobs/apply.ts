// Step 3: sends the stored plan to the CRM without ever writing twice. Per batch: settle what an earlier attempt left
// unanswered, look again, drop what changed meanwhile, store the intent, send, store each answer as it arrives.
// What stays unanswered is unknown and waits for the settling of the next round.
import type { Connector, RemoteTask, Sought, Write } from '../src/connector.ts'
import type { Deal, DealId, Instant, TaskKey } from '../src/core/deal.ts'
import { asLastKnown, isBlind } from '../src/core/fields.ts'
import type { PlannedWrite } from '../src/core/plan.ts'
import { reaffirm, settleFields } from '../src/core/reaffirm.ts'
import { taskKey } from '../src/core/stall.ts'
import { RetryLater } from '../src/errors.ts'
import { fieldNames } from '../src/report/summary.ts'
import { getConnection } from '../src/store/connections.ts'
import { freshEstimates, snapshots } from '../src/store/deals.ts'
import {
  dropPlanned,
  fieldsOf,
  ledgerForDeals,
  markSent,
  nextRows,
  plannedRows,
  type Settlement,
  type StoredRow,
  sentRows,
  sentRowsOfConnection,
  settle,
  stillUnknown,
  takeBack,
} from '../src/store/ledger.ts'
import { fenced, getRun, nextStep, progressed, type Run } from '../src/store/runs.ts'
import { countWrites } from '../src/store/writes.ts'
import { crmTime, type JobContext } from './context.ts'

const SETTLE_EVERY = 50
/** How long a plan is good for: what happened since (a reply) need not show in the fields that are compared. An undo
 *  compares with what is there at any age, but must not keep the nights waiting for ever: it has a week. */
const PLAN_MS = 86_400_000
/** How often one attempt goes round for writes that came back without an answer, before it waits. */
const ROUNDS = 3

/** Of a task that cannot be found. */
const NO_KEY = 'tasks of unstall cannot be found: the field of their key is missing'

type TaskRow = Exclude<StoredRow, { kind: 'fields' }>
const isFields = (row: StoredRow) => row.kind === 'fields'
const isTask = (row: StoredRow): row is TaskRow => row.kind !== 'fields'

/** Its id: of a task that exists, as the ledger knows it. */
export const sought = (row: TaskRow): Sought => ({
  deal: row.deal.id,
  id: row.kind === 'create-task' ? row.remote : row.task,
})

type Fresh = ReadonlyMap<DealId, Deal | 'gone' | 'unreadable'>
type Tasks = ReadonlyMap<TaskKey, RemoteTask>
/** What was last seen in the CRM, and when it was first asked; `asked`: keys of tasks. */
interface Look {
  readonly at: number
  readonly fresh: Map<DealId, Deal | 'gone' | 'unreadable'>
  readonly asked: Set<TaskKey>
  readonly tasks: Map<TaskKey, RemoteTask>
}
/** What settling has just read need not be read again before writing. */
const YOUNG_MS = 5_000
const nothingYet = (ctx: JobContext): Look => ({
  ...{ at: ctx.clock(), fresh: new Map(), asked: new Set(), tasks: new Map() },
})
/** What was seen of these rows, out of `look`: seen once, used once, because what is written now will look otherwise. */
function taken(look: Look, rows: readonly StoredRow[]): Look {
  const own: Look = { at: look.at, fresh: new Map(), asked: new Set(), tasks: new Map() }
  for (const row of rows) {
    const { id } = row.deal
    const deal = look.fresh.get(id)
    if (deal !== undefined) own.fresh.set(id, deal)
    look.fresh.delete(id)
    if (!isTask(row)) continue
    const task = look.tasks.get(row.taskKey)
    if (look.asked.delete(row.taskKey)) own.asked.add(row.taskKey)
    if (task) own.tasks.set(row.taskKey, task)
  }
  return own
}

export async function apply(ctx: JobContext, run: Run, signal: AbortSignal): Promise<void> {
  const connector = await ctx.connector(run.connection)
  const counts = await countWrites(ctx.db, run)
  const total = counts.reduce((sum, { status, count }) => sum + (status === 'held' ? 0 : count), 0)
  // The plan has just been stored, after a first sync the deals too: going by estimates of empty tables, PostgreSQL would
  // read all of them for each of them.
  await freshEstimates(ctx.db)
  const missed: Missed = new Map()
  let done = counts.reduce((sum, { status, count }) => sum + (/held|planned|sent/.test(status) ? 0 : count), 0)
  let first = true
  for (let round = 0; round < ROUNDS; round++) {
    const lately = await settleUnknown(ctx, run, connector, signal, missed)
    const [goodFor, age] = run.kind === 'undo' ? [7 * PLAN_MS, 'week'] : [PLAN_MS, 'day']
    if (ctx.clock() - run.createdAt > goodFor)
      await fenced(ctx.db, run, (trx) => dropPlanned(trx, run, `planned more than a ${age} ago`, ctx.clock()))
    /** Planned rows this round leaves to the next: the CRM said "later", or their deal has a call without an answer. */
    const waiting = new Set<string>()
    /** Deals whose rows are on their way. */
    const busy = new Set<DealId>()
    const running = new Set<Promise<void>>()
    let failure: unknown = null
    const failed = (error: unknown) => {
      failure ??= error
      return []
    }
    const batch = async (rows: readonly StoredRow[]) => {
      const ready = await affirm(ctx, run, connector, rows, signal, lately)
      const fields = ready.filter((row) => row.kind === 'fields')
      for (const key of await send(ctx, run, connector, fields, total - done, signal)) waiting.add(key)
      // Fields first: a deal whose flag was refused gets no task.
      const others = ready.filter((row) => row.kind !== 'fields')
      const { go, wait } = await afterFlags(ctx, run, others)
      for (const key of wait) waiting.add(key)
      for (const key of await send(ctx, run, connector, go, total - done - fields.length, signal)) waiting.add(key)
      first = false
      done = Math.min(total, done + rows.length)
      ctx.progress({ run: run.id, connection: run.connection, step: 'apply', done, total })
    }
    /** The next deals that are in nobody's hands; empty: there are none. */
    // A batch may end while the database answers: its deals are none of these all the same.
    const next = () => nextRows(ctx.db, run.id, connector.can.readBatch, { keys: [...waiting], deals: [...busy] })
    for (;;) {
      if (signal.aborted) failure ??= signal.reason
      // The first batch goes alone: what it teaches spares the others the same refusal.
      const most = first ? 1 : connector.can.parallel
      // Also when the database fails the step ends after the calls that are under way.
      const rows = failure === null && running.size < most ? await next().catch(failed) : []
      if (rows.length > 0) {
        const ids = rows.map((row) => row.deal.id)
        for (const id of ids) busy.add(id)
        const work = batch(rows)
          .catch((error: unknown) => void failed(error))
          .finally(() => {
            running.delete(work)
            for (const id of ids) busy.delete(id)
          })
        running.add(work)
      } else if (running.size > 0) await Promise.race(running)
      else if (failure !== null) throw failure
      else break
    }
    const open = (await plannedRows(ctx.db, run.id, 1)).length + (await sentRows(ctx.db, run.id)).length
    if (open === 0) {
      await fenced(ctx.db, run, (trx) => nextStep(trx, run, 'report'))
      return
    }
  }
  // Nothing is gained by looking before the first deal can go on.
  const open = [...(await plannedRows(ctx.db, run.id, total)), ...(await sentRows(ctx.db, run.id))]
  const deals = [...Map.groupBy(open, (row) => row.deal.id).values()]
  const next = Math.min(...deals.map((rows) => Math.max(...rows.map((row) => provableAt(row, connector)))))
  const wait = Math.max(ctx.retryMs, next - crmTime(ctx, run))
  throw new RetryLater(`some writes of ${run.id} have no answer from the CRM yet`, wait)
}

/** Tasks looked for in vain, by when they were sent: not again before their absence proves that they never came. */
type Missed = Map<string, Instant | null>
/** When that is; 0: at any time. */
const provableAt = ({ status, kind, sentAt }: StoredRow, { can }: Connector): Instant =>
  status === 'sent' && kind === 'create-task' && can.taskKey !== 'unique' ? (sentAt ?? 0) + can.settleMs : 0

/** Finds out what became of writes without an answer: fields by a fresh read, tasks by their key. @returns what it saw */
export async function settleUnknown(
  ctx: JobContext,
  run: Run,
  connector: Connector,
  signal: AbortSignal,
  missed: Missed = new Map(),
): Promise<Look> {
  const lately = nothingYet(ctx)
  const now = crmTime(ctx, run)
  const unknown = await sentRowsOfConnection(ctx.db, run.connection)
  const worth = unknown.filter((row) => missed.get(row.key) !== row.sentAt || provableAt(row, connector) <= now)
  const byRun = Map.groupBy(worth, (row) => row.run)
  for (const [of, rows] of byRun) {
    await look(ctx, run, connector, rows.filter(isFields), rows.filter(isTask), signal, lately)
    const { fresh, tasks } = lately
    const settled: Settlement[] = []
    for (const row of rows) {
      const verdict = settleRow(row, fresh, tasks, connector, crmTime(ctx, run))
      if (verdict !== null) settled.push(verdict)
      else missed.set(row.key, row.sentAt)
    }
    const owner = of === run.id ? run : ((await getRun(ctx.db, of)) ?? run)
    await fenced(ctx.db, run, async (trx) => {
      if (settled.some(further)) await progressed(trx, run)
      await settle(trx, of, settled, crmTime(ctx, run))
      // A run that was given up writes nothing more: what proved absent is left to the next plan.
      if (of !== run.id) {
        const dropped = settled.filter((s) => s.status === 'planned')
        const message = 'the run ended before this was written'
        await settle(
          trx,
          of,
          dropped.map(({ key }) => ({ key, status: 'dropped', message })),
          crmTime(ctx, run),
        )
      }
      await settleUndone(trx, owner, rows, settled, crmTime(ctx, run))
    })
  }
  return lately
}

/** What is planned again may go round for ever: that is no progress. */
const further = ({ status }: Settlement) => status !== 'planned'

/** Null: still unknown. */
function settleRow(row: StoredRow, fresh: Fresh, tasks: Tasks, connector: Connector, now: number): Settlement | null {
  const { key } = row
  // One record must not keep the run open for ever.
  const old = now - (row.sentAt ?? now) >= PLAN_MS
  if (row.kind === 'fields') {
    const deal = fresh.get(row.deal.id)
    if (deal === undefined || deal === 'unreadable')
      return old ? { key, status: 'left', message: 'the deal can no longer be read' } : null
    if (deal === 'gone') return { key, status: 'left', message: 'the deal was deleted' }
    const status = settleFields(row, deal)
    return status === 'left' ? { key, status, message: 'changed by someone else' } : { key, status }
  }
  if (connector.can.taskKey === 'none') return old ? { key, status: 'left', message: NO_KEY } : null
  const task = tasks.get(row.taskKey)
  if (row.kind === 'create-task') {
    if (task !== undefined) return { key, status: 'done', remote: task.id }
    return provableAt(row, connector) <= now ? { key, status: 'planned' } : null
  }
  if (row.kind === 'delete-task') return task === undefined ? { key, status: 'done' } : { key, status: 'planned' }
  if (task === undefined) return { key, status: 'left', message: 'the task was deleted' }
  const wantedOpen = row.kind === 'reopen-task'
  if (task.open === wantedOpen && task.body === row.body) return { key, status: 'done', remote: task.id }
  if (task.open !== wantedOpen && task.body === row.bodyBefore) return { key, status: 'planned' }
  return { key, status: 'left', message: 'the task was changed by someone else' }
}

/** The rows that may still be written as judged; the others are settled as dropped or left. */
async function affirm(
  ctx: JobContext,
  run: Run,
  connector: Connector,
  rows: readonly StoredRow[],
  signal: AbortSignal,
  lately: Look,
): Promise<readonly StoredRow[]> {
  const judged = await snapshots(ctx.db, run.connection, [...new Set(rows.map((row) => row.deal.id))])
  // A lost database plans tasks that are there. Only the task of a stall that began tonight, and of which the CRM showed
  // nothing before, cannot be, unless it was sent before and the CRM does not refuse a second one.
  const unmarked = (row: StoredRow) => judged.get(row.deal.id)?.own.since === null
  const tonights = (row: StoredRow) =>
    row.kind === 'create-task' && row.taskKey === taskKey(row.deal.id, run.now) && unmarked(row)
  const cannotBe = (row: StoredRow) => tonights(row) && (row.sentAt === null || connector.can.taskKey === 'unique')
  const existing = rows.filter(isTask).filter((row) => !cannotBe(row))
  const seen = ctx.clock() - lately.at > YOUNG_MS ? nothingYet(ctx) : taken(lately, rows)
  await look(ctx, run, connector, run.kind === 'undo' ? rows.filter(isFields) : rows, existing, signal, seen)
  const { fresh, tasks } = seen
  const ready: StoredRow[] = []
  const settled: Settlement[] = []
  const there: Settlement[] = []
  // All that was ever written to two thousand deals need not be held at once.
  for (let from = 0; from < rows.length; from += 500) {
    const some = rows.slice(from, from + 500)
    const ledger = await ledgerForDeals(ctx.db, run.connection, [...new Set(some.map((row) => row.deal.id))])
    for (const row of some) {
      const known = judged.get(row.deal.id)
      const own = (ledger.get(row.deal.id) ?? []).filter(
        (other) => other.status === 'done' && (other.run === run.id || other.plannedAt > (known?.modifiedAt ?? 0)),
      )
      const keyless = isTask(row) && connector.can.taskKey === 'none'
      const verdict: Settlement | null = keyless
        ? { key: row.key, status: 'dropped', message: NO_KEY }
        : affirmRow(row, known, fresh, tasks, own, run)
      const task = row.kind === 'create-task' ? tasks.get(row.taskKey) : undefined
      if (verdict !== null) settled.push(verdict)
      else if (task) {
        // Sent before: it is ours after all, come late.
        const adopts = row.sentAt === null ? { row: { adopted: true, body: task.body } as const } : {}
        there.push({ key: row.key, status: 'done', remote: task.id, ...adopts })
      } else ready.push(row)
    }
  }
  if (settled.length + there.length > 0) {
    const adopted = there.map(({ key }) => key)
    await fenced(ctx.db, run, async (trx) => {
      await markSent(trx, run, adopted, crmTime(ctx, run))
      await settle(trx, run.id, [...settled, ...there], crmTime(ctx, run))
      await settleUndone(trx, run, rows, settled, crmTime(ctx, run))
    })
  }
  return ready
}

const WAITS = 'the next night judges it anew'
const UNREAD = { gone: 'the deal was deleted or merged', unreadable: `the deal could not be read; ${WAITS}` } as const

/** Null: go. */
function affirmRow(
  row: StoredRow,
  known: Deal | undefined,
  fresh: Fresh,
  tasks: Tasks,
  own: readonly StoredRow[],
  run: Run,
): Settlement | null {
  const { key } = row
  const deal = fresh.get(row.deal.id) ?? 'unreadable'
  if (row.kind !== 'fields' && row.kind !== 'create-task') {
    const task = tasks.get(row.taskKey)
    if (task === undefined) return { key, status: 'left', message: 'the task was deleted' }
    const touched = task.body !== row.bodyBefore || task.open === (row.kind === 'reopen-task')
    if (touched) return { key, status: 'left', message: task.open ? 'the task was changed' : 'the task was completed' }
  }
  // An undo compares with what the undone run wrote, not with what a judgement saw.
  if (run.kind === 'undo') {
    if (row.kind !== 'fields') return null
    if (deal === 'gone') return { key, status: 'left', message: UNREAD.gone }
    if (deal === 'unreadable') return { key, status: 'dropped', message: UNREAD.unreadable }
    const still = settleFields(row, deal)
    return still === 'left'
      ? { key, status: 'left', message: 'somebody changed it at this moment: take it back again' }
      : null
  }
  if (known === undefined) return { key, status: 'dropped', message: 'the deal is not known any more' }
  const answer = reaffirm(row, known, deal, own)
  if (answer === 'go') return null
  const { drop } = answer
  const message =
    drop === 'changed' ? `changed after it was judged: ${fieldNames(answer.fields)}; ${WAITS}` : UNREAD[drop]
  return { key, status: 'dropped', message }
}

/** Task rows wait for the flag of their deal, and are dropped where it was not written. */
async function afterFlags(
  ctx: JobContext,
  run: Run,
  rows: readonly StoredRow[],
): Promise<{ go: readonly StoredRow[]; wait: readonly string[] }> {
  if (run.kind === 'undo') return { go: rows, wait: [] }
  const ids = [...new Set(rows.map((row) => row.deal.id))]
  const written = await fieldsOf(ctx.db, run, ids)
  const go: StoredRow[] = []
  const wait: string[] = []
  const dropped: Settlement[] = []
  for (const row of rows) {
    const fields = written.get(row.deal.id) ?? []
    // Of a dropped one the snapshot of the deal was stale, so reaffirm dropped the task as well.
    const bad = fields.find((other) => other.status === 'refused' || other.status === 'left')
    if (bad) dropped.push({ key: row.key, status: 'dropped', message: 'the flag of this deal was not written' })
    else if (fields.some((other) => other.status === 'planned' || other.status === 'sent')) wait.push(row.key)
    else go.push(row)
  }
  if (dropped.length > 0) await fenced(ctx.db, run, (trx) => settle(trx, run.id, dropped, crmTime(ctx, run)))
  return { go, wait }
}

/** Stores the intent, sends, stores each answer. @returns keys that are planned again: the CRM said "later" */
async function send(
  ctx: JobContext,
  run: Run,
  connector: Connector,
  rows: readonly StoredRow[],
  toGo: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const what = rows[0]?.kind
  if (what === undefined) return []
  const later: string[] = []
  const keys = rows.map((row) => row.key)
  await fenced(ctx.db, run, (trx) => markSent(trx, run, keys, crmTime(ctx, run)))
  ctx.crash?.('intent stored', what)
  let settled: Settlement[] = []
  const store = async () => {
    const batch = settled
    settled = []
    if (batch.length === 0) return
    await fenced(ctx.db, run, async (trx) => {
      if (batch.some(further)) await progressed(trx, run)
      await settle(trx, run.id, batch, crmTime(ctx, run))
      await settleUndone(trx, run, rows, batch, crmTime(ctx, run))
    })
  }
  try {
    for await (const outcome of connector.write(rows.map(toWrite), signal, toGo)) {
      ctx.crash?.('answer read', what)
      if (outcome.result === 'done')
        settled.push({ key: outcome.key, status: 'done', ...(outcome.remote ? { remote: outcome.remote } : {}) })
      else if (outcome.result === 'refused') {
        settled.push({ key: outcome.key, status: 'refused', message: outcome.message })
      } else {
        later.push(outcome.key)
        settled.push({ key: outcome.key, status: 'planned', message: outcome.message })
      }
      if (settled.length >= SETTLE_EVERY) await store()
    }
  } finally {
    await store()
    // Its call may have left just now: the intent is older than what has to be waited for.
    await fenced(ctx.db, run, (trx) => stillUnknown(trx, run, keys, crmTime(ctx, run)))
  }
  ctx.crash?.('result stored', what)
  return later
}

/** A row of the ledger as the port takes it. */
export function toWrite(row: PlannedWrite): Write {
  const { key, lockGroup } = row
  const deal = row.deal.id
  if (row.kind === 'fields') return { kind: 'fields', key, deal, lockGroup, after: row.after }
  if (row.kind === 'create-task') {
    const { taskKey, owner, subject, body, due } = row
    return { kind: 'create-task', key, deal, lockGroup, taskKey, owner, subject, body, due }
  }
  if (row.kind === 'delete-task') return { kind: 'delete-task', key, deal, task: row.task }
  return { kind: row.kind, key, deal, task: row.task, body: row.body }
}

/** An undo that reached the CRM also closes the row it takes back; where somebody was faster it can be tried again. */
async function settleUndone(
  trx: Parameters<typeof settle>[0],
  run: Run,
  rows: readonly StoredRow[],
  settled: readonly Settlement[],
  now: number,
): Promise<void> {
  const of = run.options.undoes
  if (of === undefined) return
  const undoes = new Map(rows.flatMap((row) => (row.undoes === null ? [] : [[row.key, row.undoes]])))
  const done = settled.flatMap(({ key, status }) => (status === 'done' ? (undoes.get(key) ?? []) : []))
  await takeBack(trx, of, done, now)
}

/** Notes deals as they are now, what cannot be read of them as last known, and our tasks, where they can be found. What
 *  is noted already is not asked again. */
async function look(
  { db }: JobContext,
  { connection }: Run,
  connector: Connector,
  deals: readonly StoredRow[],
  tasks: readonly TaskRow[],
  signal: AbortSignal,
  { fresh, asked, tasks: found }: Look,
): Promise<void> {
  const ids = [...new Set(deals.map((row) => row.deal.id))].filter((id) => !fresh.has(id))
  const keys = new Map(tasks.flatMap((row) => (asked.has(row.taskKey) ? [] : [[row.taskKey, sought(row)]])))
  for (const [id, deal] of ids.length > 0 ? await connector.read(ids, signal) : []) fresh.set(id, deal)
  if (keys.size > 0 && connector.can.taskKey !== 'none')
    for (const [key, task] of await connector.find(keys, signal)) found.set(key, task)
  for (const key of keys.keys()) asked.add(key)
  const reference = (await getConnection(db, connection))?.reference
  if (!reference || !isBlind(reference)) return
  const ledger = await ledgerForDeals(db, connection, ids)
  for (const [id, known] of await snapshots(db, connection, ids)) {
    const deal = fresh.get(id)
    if (typeof deal === 'object') fresh.set(id, asLastKnown(deal, known, ledger.get(id) ?? [], reference))
  }
}
