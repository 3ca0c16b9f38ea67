// Step name -> handler, and what a failed step means for its run. The queue only carries steps; the run row decides.
import { localTime } from '../src/core/calendar.ts'
import { Fatal, RetryLater } from '../src/errors.ts'
import { logging } from '../src/log.ts'
import type { QueueHandlers } from '../src/queue.ts'
import { Summary, withWrites } from '../src/report/summary.ts'
import { circuits, updateConnection } from '../src/store/connections.ts'
import { isOutage } from '../src/store/db.ts'
import { dropPlanned } from '../src/store/ledger.ts'
import {
  endStart,
  failRun,
  fenced,
  getRun,
  knownSince,
  openRuns,
  type Run,
  recordAttempt,
  saveSummary,
  startStep,
} from '../src/store/runs.ts'
import type { Circuit, Step } from '../src/store/schema.ts'
import { countWrites } from '../src/store/writes.ts'
import { apply } from './apply.ts'
import type { JobContext } from './context.ts'
import { decide } from './decide.ts'
import { pull } from './pull.ts'
import { report } from './report.ts'
import { undo } from './undo.ts'

export type { JobContext, RunProgress } from './context.ts'

const MOST_ATTEMPTS = 5
const MOST_STARTS = 20
/** After so many starts that died a step is a suspect: suspects of one process are worked on one at a time, so that the
 *  one that ends the process does not take the others with it until they are given up as well. */
const SUSPECT = 2
const IDLE_MS = 30 * 60_000
/** Longer waits are remembered in the connection, for whichever process would call next. */
const REMEMBERED_MS = 10_000
const BACKOFF_MS = 2_000
/** Until the next look whether the database is well again. */
const OUTAGE_MS = 5_000

type Job = (ctx: JobContext, run: Run, signal: AbortSignal) => Promise<void>
/** A missing step does not compile. */
const JOBS: Readonly<Record<Step, Job>> = {
  pull,
  decide: (ctx, run, signal) => (run.kind === 'undo' ? undo(ctx, run, signal) : decide(ctx, run, signal)),
  apply,
  report,
}
const isStep = (text: string): text is Step => Object.hasOwn(JOBS, text)

/** Suspects wait for each other. */
export function handlers(ctx: JobContext, night: QueueHandlers['night']): QueueHandlers {
  const all = unguarded(ctx, night)
  let suspect: Promise<unknown> = Promise.resolve()
  return {
    ...all,
    step: async (runId, step, signal) => {
      const { starts = 0, connection } = (await getRun(ctx.db, runId)) ?? {}
      const work = () => logging({ run: runId, connection }, () => all.step(runId, step, signal))
      if (starts < SUSPECT) return work()
      const mine = suspect.then(() => {
        signal.throwIfAborted()
        return work()
      })
      suspect = mine.catch(() => {}) // its own job hears of it
      return mine
    },
  }
}

function unguarded(ctx: JobContext, night: QueueHandlers['night']): QueueHandlers {
  return {
    night,
    missed: async (connection, lateMs) => {
      const due = ctx.clock() - lateMs
      const since = await knownSince(ctx.db, connection)
      return since !== null && since < due ? night(connection, ctx.clock() - due) : null
    },
    step: async (runId, step, signal) => {
      if (!isStep(step)) throw new Error(`unknown step ${step}`)
      if (ctx.previewsOnly && (await getRun(ctx.db, runId))?.kind !== 'preview')
        throw new RetryLater('this process only previews', 1_000)
      const run = await startStep(ctx.db, runId, step)
      if (run === null) return
      const { id, connection } = run
      const died = run.starts - 1
      if (died >= (ctx.mostStarts ?? MOST_STARTS)) return giveUp(ctx, run, deadly(step, died))
      ctx.crash?.('step started', step)
      const progress = { run: id, connection, done: 0, total: null }
      ctx.progress({ ...progress, step })
      try {
        // The report calls nobody.
        const circuit = step === 'report' ? undefined : (await circuits(ctx.db, 0, connection)).get(connection)
        const pausedMs = circuit?.state === 'paused' ? circuit.until - ctx.clock() : 0
        if (circuit && pausedMs > 0) throw new RetryLater(circuit.reason, pausedMs)
        await moving(ctx, run, step, signal)
        // `pull` has said so itself, at the first answer.
        if (circuit && step !== 'pull') await updateConnection(ctx.db, connection, { circuit: null })
        ctx.crash?.('step stored', step)
      } catch (error) {
        if (error instanceof RetryLater) {
          const { afterMs, message } = error
          const until = ctx.clock() + afterMs
          const when = localTime(until, run.settings.timezone)
          ctx.progress({ ...progress, step: `waiting until ${when}: ${message}` })
          ctx.log.warn({ run: id, step, afterMs }, message)
          const circuit = afterMs > REMEMBERED_MS ? ({ state: 'paused', until, reason: message } as const) : undefined
          // Once something may have been sent the run stays open: only the CRM's answer can close it.
          const patience = run.options.patienceMs ?? ctx.patienceMs
          if (step !== 'apply' && until - run.createdAt > patience) {
            const next = run.kind === 'night' ? 'the next night tries again' : `try again after ${when}`
            return giveUp(ctx, run, `${message.replace(/\.?$/, '.')} Nothing was written; ${next}.`, circuit)
          }
          await fenced(ctx.db, run, async (trx) => {
            await endStart(trx, run)
            if (circuit) await updateConnection(trx, connection, { circuit })
          })
        } else if (error instanceof Fatal) {
          const { kind, message: reason } = error
          const circuit = { state: 'reconnect', since: ctx.clock(), reason } as const
          return giveUp(ctx, run, reason, kind === 'credentials' ? circuit : undefined)
        } else if (signal.aborted) await endStart(ctx.db, run)
        // The failure of a worker that was overtaken is none of the run's.
        else await fenced(ctx.db, run, async () => {})
        throw error
      }
    },
    next: async (runId) => {
      const run = await getRun(ctx.db, runId)
      return run === null || run.status !== 'open' || run.step === 'done' ? null : run.step
    },
    failed: async (runId, step, error) => {
      const run = await getRun(ctx.db, runId)
      if (run === null || run.status !== 'open' || run.step !== step) return null
      const message = error instanceof Error ? error.message : String(error)
      ctx.log.error({ run: runId, step, err: error }, 'step failed')
      // Waited for, however long it takes: tonight's run must not end because the disk was full for a minute.
      if (isOutage(error)) {
        await endStart(ctx.db, run)
        return OUTAGE_MS
      }
      const attempts = await recordAttempt(ctx.db, run, { at: ctx.clock(), step, problem: message })
      if (attempts < MOST_ATTEMPTS) return BACKOFF_MS * attempts
      await giveUp(ctx, run, `gave up after ${attempts} attempts at ${step}: ${message}`)
      return null
    },
    open: () => openRuns(ctx.db),
  }
}

const deadly = (step: Step, died: number) =>
  `gave up: "${step}" was begun ${died} times and ended each time with its process (killed, out of memory, or standing ` +
  'still) before it got any further. The log of those processes says more.'

/** The step, failed when it makes no progress: a call that never returns must not keep the connection for ever. */
async function moving(ctx: JobContext, run: Run, step: Step, signal: AbortSignal): Promise<void> {
  const idleMs = ctx.idleMs ?? IDLE_MS
  const stuck = new AbortController()
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const error = new Error(`"${step}" made no progress for ${Math.ceil(idleMs / 60_000)} minutes`)
    stuck.abort(error)
    late.reject(error)
  }, idleMs)
  const progress: JobContext['progress'] = (told) => {
    timer.refresh()
    ctx.progress(told)
  }
  const work = JOBS[step]({ ...ctx, progress }, run, AbortSignal.any([signal, stuck.signal]))
  await Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
}

/** Ends a run with its reason. What was planned is dropped; what was sent stays to be settled by the next run. */
async function giveUp(ctx: JobContext, run: Run, problem: string, circuit?: Circuit): Promise<void> {
  await fenced(ctx.db, run, async (trx) => {
    await dropPlanned(trx, run, 'the run was given up', ctx.clock())
    const summary = Summary.safeParse(run.summary).data
    if (summary) await saveSummary(trx, run, withWrites(summary, await countWrites(trx, run)))
    if (circuit) await updateConnection(trx, run.connection, { circuit })
    await failRun(trx, run, ctx.clock(), problem)
  })
  ctx.log.error({ run: run.id, connection: run.connection }, problem)
}
