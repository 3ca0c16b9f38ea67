// Opens a run: one connection, one night. Until a first night has been confirmed, whatever was asked for becomes a
// preview: it is pulled, judged and kept by name, and nothing is written.
import { createHash } from 'node:crypto'
import { makeCalendar } from '../src/core/calendar.ts'
import type { DealId, Instant, System } from '../src/core/deal.ts'
import type { Settings } from '../src/core/policy.ts'
import { RetryLater, UsageError } from '../src/errors.ts'
import { ensureConnection } from '../src/store/connections.ts'
import { getRun, openedSince, openRun, type Run } from '../src/store/runs.ts'
import type { JobContext } from './context.ts'

const DAY_MS = 86_400_000
/** How often a night looks whether the run in its way is over. */
const NIGHT_WAITS_MS = 60_000

export interface Night {
  readonly connection: string
  readonly system: System
  readonly settings: Settings
  readonly kind: 'night' | 'manual' | 'preview'
  /** Frozen: what the whole run is judged at. */
  readonly now: Instant
  /** How long ago it was due: it is the night of that date, also after midnight. */
  readonly lateMs?: number
  /** Id of the preview whose writes are confirmed by this run. */
  readonly confirm?: string
  readonly again?: readonly DealId[]
  /** When the CRM is read, where that is not `now`. */
  readonly readAt?: Instant
  /** New tasks per person that previews of other connections already count on. */
  readonly reserved?: Readonly<Record<string, number>>
}

const dateOf = ({ settings, now, lateMs = 0 }: Pick<Night, 'settings' | 'now' | 'lateMs'>) =>
  makeCalendar(settings).localDate(now - lateMs)

/** @throws UsageError when the preview to confirm is unknown, of another connection or older than a day */
export async function openNight(ctx: JobContext, night: Night): Promise<{ run: Run } | { busy: Run }> {
  const stored = await ensureConnection(ctx.db, night.connection, night.system)
  const settingsHash = createHash('sha256').update(JSON.stringify(night.settings)).digest('hex')
  if (night.confirm !== undefined) await checkPreview(ctx, night, night.confirm, settingsHash)
  const unconfirmed = stored.confirmedAt === null && night.confirm === undefined
  return openRun(ctx.db, {
    connection: night.connection,
    kind: unconfirmed ? 'preview' : night.kind,
    localDate: dateOf(night),
    now: night.now,
    settings: night.settings,
    settingsHash,
    options: {
      patienceMs: ctx.patienceMs,
      ...(night.confirm === undefined ? {} : { confirm: night.confirm }),
      ...(night.again === undefined ? {} : { again: night.again }),
      ...(night.readAt === undefined ? {} : { readAt: night.readAt }),
      ...(night.reserved === undefined ? {} : { reserved: night.reserved }),
    },
    createdAt: ctx.clock(),
  })
}

/** The scheduled night. Null: tonight's run is open or was done, by hand since the night was due as well.
 *  @throws RetryLater while another one is in the way */
export async function openScheduled(ctx: JobContext, night: Omit<Night, 'kind'>) {
  const now = ctx.clock()
  const since = now - (night.lateMs ?? 0)
  const stored = await ensureConnection(ctx.db, night.connection, night.system)
  const kinds = stored.confirmedAt === null ? (['night', 'manual', 'preview'] as const) : (['night', 'manual'] as const)
  if (await openedSince(ctx.db, night.connection, kinds, { since, now })) return null
  const opened = await openNight(ctx, { ...night, kind: 'night' })
  if ('run' in opened) return { runId: opened.run.id, step: opened.run.step }
  const { id, kind, status, localDate } = opened.busy
  const tonights = localDate === dateOf(night) && /night|manual/.test(kind)
  if (status === 'open' && !tonights) throw new RetryLater(`${id} is not over`, NIGHT_WAITS_MS)
  ctx.log.info({ connection: night.connection, run: id }, 'no new night: this run is open or was tonight’s')
  return null
}

async function checkPreview(ctx: JobContext, night: Night, id: string, settingsHash: string): Promise<void> {
  const preview = await getRun(ctx.db, id)
  const again = 'Run "unstall plan" and confirm the preview it names.'
  if (preview === null || preview.kind !== 'preview') throw new UsageError(`There is no preview named ${id}. ${again}`)
  if (preview.connection !== night.connection) {
    throw new UsageError(`Preview ${id} is of ${preview.connection}, not of ${night.connection}. ${again}`)
  }
  if (preview.status !== 'done') throw new UsageError(`Preview ${id} did not finish (${preview.status}). ${again}`)
  if (Math.abs(night.now - preview.now) > DAY_MS) throw new UsageError(`Preview ${id} is older than a day. ${again}`)
  if (preview.settingsHash !== settingsHash)
    throw new UsageError(`The settings have changed since preview ${id}. ${again}`)
}

/** Takes a run back, or only some deals of it: a run of its own, planned, stored and executed like any other. */
export async function openUndo(
  ctx: JobContext,
  of: Run,
  now: Instant,
  deals?: readonly DealId[],
): Promise<{ run: Run } | { busy: Run }> {
  return openRun(ctx.db, {
    connection: of.connection,
    kind: 'undo',
    localDate: makeCalendar(of.settings).localDate(now),
    now,
    settings: of.settings,
    settingsHash: of.settingsHash,
    options: { undoes: of.id, ...(deals === undefined ? {} : { deals }), patienceMs: ctx.patienceMs },
    step: 'decide',
    createdAt: ctx.clock(),
  })
}
