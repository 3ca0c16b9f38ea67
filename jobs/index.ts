// Step name -> handler, and what a failed step means for its run. The queue only carries steps; the run row decides.
import { Fatal, RetryLater } from '../src/errors.ts'
import type { QueueHandlers } from '../src/queue.ts'
import { updateConnection } from '../src/store/connections.ts'
import { dropPlanned } from '../src/store/ledger.ts'
import { failRun, fenced, getRun, openRuns, type Run, recordAttempt, startStep } from '../src/store/runs.ts'
import type { Step } from '../src/store/schema.ts'
import { apply } from './apply.ts'
import type { JobContext } from './context.ts'
import { decide } from './decide.ts'
import { pull } from './pull.ts'
import { report } from './report.ts'
import { undo } from './undo.ts'

export type { JobContext, RunProgress } from './context.ts'

const MOST_ATTEMPTS = 5
const BACKOFF_MS = 2_000

type Job = (ctx: JobContext, run: Run, signal: AbortSignal) => Promise<void>
/** A missing step does not compile. */
const JOBS: Readonly<Record<Step, Job>> = {
  pull,
  decide: (ctx, run, signal) => (run.kind === 'undo' ? undo(ctx, run, signal) : decide(ctx, run, signal)),
  apply,
  report,
}
const isStep = (text: string): text is Step => Object.hasOwn(JOBS, text)

export function handlers(ctx: JobContext, night: QueueHandlers['night']): QueueHandlers {
  return {
    night,
    step: async (runId, step, signal) => {
      if (!isStep(step)) throw new Error(`unknown step ${step}`)
      if (ctx.previewsOnly && (await getRun(ctx.db, runId))?.kind !== 'preview')
        throw new RetryLater('this process only previews', 1_000)
      const run = await startStep(ctx.db, runId, step)
      if (run === null) return
      ctx.crash?.('step started', step)
      const progress = { run: run.id, connection: run.connection, done: 0, total: null }
      ctx.progress({ ...progress, step })
      try {
        await JOBS[step](ctx, run, signal)
        ctx.crash?.('step stored', step)
      } catch (error) {
        if (error instanceof RetryLater) {
          ctx.progress({ ...progress, step: `waiting: ${error.message}` })
          ctx.log.warn({ run: run.id, step, afterMs: error.afterMs }, error.message)
          // Once something may have been sent the run stays open: only the CRM's answer can close it.
          const patient = step === 'apply' || ctx.clock() - run.createdAt + error.afterMs <= ctx.patienceMs
          if (patient) throw error
          return giveUp(ctx, run, `${error.message} Nothing was written; the next night tries again.`)
        }
        if (error instanceof Fatal) return giveUp(ctx, run, error.message)
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
      const attempts = await recordAttempt(ctx.db, run, message)
      if (attempts < MOST_ATTEMPTS) return BACKOFF_MS * attempts
      await giveUp(ctx, run, `gave up after ${attempts} attempts at ${step}: ${message}`)
      return null
    },
    open: () => openRuns(ctx.db),
  }
}

/** Ends a run with its reason. What was planned is dropped; what was sent stays to be settled by the next run. */
async function giveUp(ctx: JobContext, run: Run, problem: string): Promise<void> {
  await fenced(ctx.db, run, async (trx) => {
    await dropPlanned(trx, run, 'the run was given up', ctx.clock())
    await updateConnection(trx, run.connection, { problem })
    await failRun(trx, run, ctx.clock(), problem)
  })
  ctx.log.error({ run: run.id, connection: run.connection }, problem)
}
