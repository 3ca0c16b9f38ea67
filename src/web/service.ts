// What the dashboard is handed: the store to read, and the few things it may ask for. app.ts fills it in, so that the
// pages know neither connectors nor jobs nor queue.
import type { Hono } from 'hono'
import type { Finding } from '../connector.ts'
import type { DealId, Instant, System } from '../core/deal.ts'
import type { Texts } from '../core/explain.ts'
import type { Settings } from '../core/policy.ts'
import type { UndoPlan } from '../core/undo.ts'
import type { Left } from '../report/summary.ts'
import type { Run } from '../store/runs.ts'
import type { Db } from '../store/schema.ts'

export interface WebConnection {
  readonly name: string
  readonly system: System
  readonly settings: Settings
}

/** `busy`: another run of the connection is in the way. */
export type Opened = { readonly run: Run } | { readonly busy: Run }

export interface UndoPreview {
  readonly plan: UndoPlan
  readonly left: readonly Left[]
}

export interface WebService {
  readonly db: Db
  /** As the configuration names them. */
  readonly connections: readonly WebConnection[]
  /** Five cron fields and their zone. */
  readonly schedule: string
  readonly timezone: string
  readonly language: Settings['language']
  readonly clock: () => Instant
  readonly texts: (language: Settings['language']) => Texts
  /** Each opens a run that a worker carries out; none waits for it. Throws UsageError with a sentence for people. */
  readonly preview: (connection: string) => Promise<Opened>
  /** One night, now; `confirm`: the preview whose writes are confirmed. */
  readonly run: (connection: string, confirm?: string) => Promise<Opened>
  readonly undo: (run: string, deals?: readonly DealId[]) => Promise<Opened>
  /** What `undo` would do now, and what it would leave. Asks the CRM; bounded in time, as is `check`. */
  readonly drawUndo: (run: string, deals?: readonly DealId[]) => Promise<UndoPreview>
  readonly check: (connection: string) => Promise<readonly Finding[]>
  /** The queue as operators see it, loaded when somebody looks; null: this process has none. */
  readonly board: (() => Promise<Hono>) | null
  readonly log: Record<'info' | 'error', (data: object, message: string) => void>
}
