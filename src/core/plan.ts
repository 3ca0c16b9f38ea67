// (snapshot, settings, now) -> Plan: desired state, then diff. Printing the plan is the preview, executing it is the run.
// Here one deal at a time, so that a caller can stream a million and keep the few that need something; what needs the
// whole (brakes, weekly budget, order) is brakes.ts.
import { archivedFrom, archiveTo, type OldDeal, oldDeal } from './archive.ts'
import type { DealRef, FieldValues, Instant, Known, LocalDate, Owner, OwnerId, RemoteId, TaskKey } from './deal.ts'
import type { Texts } from './explain.ts'
import { fieldHolds, stillThere } from './fields.ts'
import { type JudgeContext, judge, type Verdict } from './judge.ts'
import { type MovementLog, movementLog } from './movement.ts'
import type { Settings } from './policy.ts'
import { observedAfter, ownWrites } from './reaffirm.ts'
import { rowsOf, untouched } from './rows.ts'
import { type Advance, advance, memoryOf, NEW_STANDING, type Standing, sameStanding, shown } from './stall.ts'

export type Group = 'flag' | 'forecast' | 'archive' | 'answer' | 'task' | 'task-done'

/** Why a planned write waits: the brake and its numbers, as data. */
export type Hold =
  | { readonly brake: 'share'; readonly newlyStalled: number; readonly open: number; readonly limit: number }
  | { readonly brake: 'cap'; readonly limit: number }
  | { readonly brake: 'budget'; readonly owner: string; readonly limit: number; readonly week: string }
  | { readonly brake: 'not_in_preview'; readonly preview: string }
  | { readonly brake: 'stale_snapshot' | 'owner_left' | 'no_owner' }
  | { readonly brake: 'new_owner'; readonly until: LocalDate }
  /** `field`: ours, by its name in the CRM. */
  | { readonly brake: 'field_missing'; readonly field: string }

/** Why a deal that is not stalled is written. */
export type Lift = 'recovered' | 'parked' | 'answered_no' | 'closed' | 'dismissed' | 'excluded'
/** Why a write is intended. */
export type WriteCause = Lift | 'flagged' | 'reason_changed' | 'reasserted' | 'new_decision_date' | 'archived' | 'undo'

interface Intent {
  /** Unique in the ledger: `<run>.<deal>.<group>`. What is unique across runs is the `taskKey` of a live task row. No colons. */
  readonly key: string
  readonly deal: DealRef
  readonly lockGroup: string | null
  readonly group: Group
  readonly cause: WriteCause
  readonly rule: Verdict['rule']
  readonly hold: Hold | null
  /** For undo: the ledger key this row takes back. */
  readonly undoes: string | null
}

/** One intended write with the values before it: a row of the write ledger. */
export type PlannedWrite =
  | (Intent & { readonly kind: 'fields'; readonly before: FieldValues; readonly after: FieldValues })
  | (Intent & {
      readonly kind: 'create-task'
      readonly taskKey: TaskKey
      readonly owner: OwnerId
      /** Whose weekly budget it counts against, over all connections: the owner's e-mail in lower case, else the id. */
      readonly person: string
      readonly subject: string
      readonly body: string
      readonly due: LocalDate
      /** It was in the CRM already (lost database, renamed connection): `body` is its text there, undo leaves it. */
      readonly adopted?: true
    })
  | (Intent & {
      readonly kind: 'complete-task' | 'reopen-task' | 'delete-task'
      readonly taskKey: TaskKey
      readonly task: RemoteId
      /** The task's text before and after; a completion puts its note below. */
      readonly bodyBefore: string
      readonly body: string
    })

/** Which may follow which: `MOVES` in reaffirm.ts. */
export type LedgerStatus = 'planned' | 'held' | 'dropped' | 'sent' | 'done' | 'refused' | 'left' | 'undone'

/** A planned write and what became of it. */
export type LedgerRow = PlannedWrite & {
  readonly run: string
  readonly status: LedgerStatus
  readonly plannedAt: Instant
  readonly sentAt: Instant | null
  readonly settledAt: Instant | null
  /** Id of the task the CRM created. */
  readonly remote: RemoteId | null
  /** The CRM's words on a refusal, or what a person had changed. */
  readonly message: string | null
}

/** Everything a plan depends on beside the deals. `planContext` builds it once a run. */
export interface PlanContext extends JudgeContext {
  /** Id of the run: the keys begin with it. */
  readonly run: string
  /** Frozen time of the run. */
  readonly now: Instant
  readonly today: LocalDate
  /** ISO week of `now`, `2026-W48`. */
  readonly week: string
  readonly settings: Settings
  readonly texts: Pick<Texts, 'explanation' | 'task' | 'completionNote'>
  /** `now` of the connection's first night that wrote; null: this is it (or its preview). */
  readonly firstNightAt: Instant | null
  /** `unstall run --confirm`: only rows of the named preview (their `previewKey`) may be written. */
  readonly confirm: { readonly preview: string; readonly keys: ReadonlySet<string> } | null
  /** New tasks of this ISO week per person, over all connections, from the ledger. */
  readonly tasksThisWeek: ReadonlyMap<string, number>
  readonly owner: (id: OwnerId) => Owner | undefined
}

export type PlanInput = Pick<PlanContext, 'run' | 'now' | 'settings' | 'texts' | 'calendar' | 'reference'> &
  Partial<Pick<PlanContext, 'firstNightAt' | 'confirm' | 'tasksThisWeek'>>

/** Indexes what the plan looks up. The result serves as context of `movementLog`, `judge` and `reasonOf` too. */
export function planContext(input: PlanInput): PlanContext {
  const { settings, calendar, reference, now } = input
  const owners = new Map(reference.owners.map((owner) => [owner.id, owner]))
  return {
    firstNightAt: null,
    confirm: null,
    tasksThisWeek: new Map(),
    ...input,
    policy: settings.policy,
    archive: settings.archive,
    scope: settings.scope,
    today: calendar.localDate(now),
    week: calendar.isoWeek(now),
    owner: (id) => owners.get(id),
    ownerEmail: (id) => owners.get(id)?.email ?? null,
  }
}

/** A stored deal before the judge at the context's `now`. `ledger`: its rows of earlier runs, dropped ones left out. */
export function judged(
  { known, standing: was }: { readonly known: Known; readonly standing: Standing | null },
  ledger: readonly LedgerRow[],
  context: PlanContext,
) {
  const standing = shown(was, known, ledger)
  const away = archivedFrom(known, ledger, context)
  const memory = { ...memoryOf(standing), archivedAt: away?.at ?? null }
  const log = movementLog(known, ownWrites(ledger), context, memory.stalledSince, context.now)
  const verdict = judge(known, log, memory, context, context.now)
  const old = oldDealOf(verdict, known.deal, context)
  const left = { state: 'moving', rule: null, protection: { kind: 'old_deal' } } as const
  return { standing, log, verdict: old === 'nothing' ? { ...verdict, ...left } : verdict, old, away }
}

export interface DealItem {
  readonly known: Known
  readonly log: MovementLog
  readonly verdict: Verdict
  /** As stored by the last run; null: never judged. `planDeal` advances it. */
  readonly standing: Standing | null
  /** This deal's rows of earlier runs. */
  readonly ledger: readonly LedgerRow[]
  /** Its data could not be read tonight: whatever it needs is held. */
  readonly unreadable?: boolean
  /** Dead before the first night: what it gets. */
  readonly old?: OldDeal | null
  /** Where it stood before we archived it. */
  readonly away: ReturnType<typeof archivedFrom>
  /** `unstall run --again`. */
  readonly again?: boolean
}

/** What one deal needs tonight. */
export interface DealIntent extends Pick<Known, 'ref'> {
  /** What order and lists need: of a hundred thousand deals the whole would weigh. */
  readonly deal: Pick<Known['deal'], 'name' | 'url' | 'ownerId' | 'amount' | 'currency'>
  /** Flag, forecast, archive, answer, task, task-done: in this order, each at most once but the last. */
  readonly rows: readonly PlannedWrite[]
  /** The advanced standing; null: unchanged. */
  readonly standing: Standing | null
  readonly transitions: Advance['transitions']
  /** Ends something (flag, borrowed category, task): goes first under the cap. */
  readonly cleanUp: boolean
  readonly stall: Standing['stall']
  /** Dead before the first night: what it gets. */
  readonly old: OldDeal | null
  /** Working days without movement. */
  readonly idleDays: number
  /** Its stall waits for a task since ten working days. */
  readonly waiting: boolean
  /** For the manager. */
  readonly list: readonly ('owner_left' | 'no_still_open' | 'archive' | 'flag_cleared' | 'category_theirs')[]
}

const NONE = { open: 0, stalled: 0, newlyStalled: 0, recovered: 0, parked: 0, answeredNo: 0, dismissed: 0 }
/** Counted deal by deal while planning. */
export type Totals = typeof NONE
export const noTotals = (): Totals => ({ ...NONE })
/** Adds so many deals that each count for `one`. */
export function addTotals(to: Totals, one: Readonly<Totals>, deals: number): void {
  to.open += deals * one.open
  to.stalled += deals * one.stalled
  to.newlyStalled += deals * one.newlyStalled
  to.recovered += deals * one.recovered
  to.parked += deals * one.parked
  to.answeredNo += deals * one.answeredNo
  to.dismissed += deals * one.dismissed
}

/** What a preview and the night that confirms it have in common of a row. */
export const previewKey = (
  row: Pick<PlannedWrite, 'group' | 'kind'> & { readonly deal: Pick<DealRef, 'id'> },
): string => JSON.stringify([row.deal.id, row.group, row.kind])

/** A deal goes first after waiting this many working days for its task. */
const WAITED_LONG = 10

/** What one deal needs tonight; null: nothing. Counts the deal into `totals`. Mutates nothing else. */
export function planDeal(item: DealItem, context: PlanContext, totals: Totals): DealIntent | null {
  const { standing: was, unreadable = false, away } = item
  const ledger = stillThere(item.ledger, context.reference)
  const { deal, ref } = item.known
  const { old = oldDealOf(item.verdict, deal, context) } = item
  const { calendar, today } = context
  const judgedAs = item.verdict.state
  if (judgedAs !== 'closed') totals.open++
  // Nearly every deal of nearly every night: it moves, and nothing of ours is on it.
  if (
    (judgedAs === 'moving' || judgedAs === 'closed') &&
    ledger.length === 0 &&
    old === null &&
    !item.verdict.decision.answerIsOfEarlierDate &&
    untouched(deal.own) &&
    (was === null || (was.state === judgedAs && was.borrowed === null && was.undone === null))
  )
    return null

  const blind = context.reference.fields?.stalled?.readable === false
  const how = { ledger, now: context.now, dead: old !== null, blind }
  const first = advance(was, { ...item, ...how })
  // Without the stall a person took away it may be parked or answered: tonight already, as the next night would find.
  const rest = first.dismissed && judged({ known: item.known, standing: first.standing }, item.ledger, context)
  const { verdict, log } = rest && rest.verdict.state !== 'moving' ? rest : item
  const found = { ...item, ...how, verdict, log }
  const then = verdict === item.verdict ? first : advance(first.standing, found)
  const transitions = first.transitions.map((one) => ({ ...one, to: then.standing.state }))
  const moved = { ...then, dismissed: first.dismissed, transitions }
  const observed = observedAfter(deal, ledger)
  const { stall, state } = moved.standing
  const stalledDays = stall === null ? 0 : calendar.workingDays(calendar.localDate(stall.startedAt), today)
  const propose =
    stall !== null && verdict.decision.answer === null && stalledDays > context.settings.archive.proposeAfterDays
  // Of old deals only those that were chosen for it; the others are listed.
  const wanted = old === null ? propose : old === 'archive'
  const put = stall !== null && wanted && !moved.standing.categoryTheirs && moved.standing.undone === null
  const archive = put ? archiveTo(observed, stall, ledger, context) : null
  const home = verdict.protection?.kind === 'reactivated' && state === 'moving' ? (away?.stage ?? null) : null
  const tonight = { ...found, ...context, observed, moved, archiveTo: archive, home }
  // What was undone stays as it is.
  const final = moved.standing.undone !== null
  const { standing, rows: planned } = final ? { standing: moved.standing, rows: [] } : rowsOf(tonight)
  const rows = unreadable
    ? planned.map((row) => ({ ...row, hold: { brake: 'stale_snapshot' } as const }))
    : fieldHolds(planned, context.reference)
  count(totals, state, moved)

  const list: DealIntent['list'][number][] = []
  if (state === 'answered_no' && verdict.warnings.some(({ kind }) => kind === 'no_still_open'))
    list.push('no_still_open')
  if (stall !== null && deal.ownerId !== null && context.owner(deal.ownerId)?.active !== true) list.push('owner_left')
  // What a person had the last word on, named the night it is seen.
  if (moved.dismissed) list.push('flag_cleared')
  if (standing.categoryTheirs && was?.categoryTheirs !== true) list.push('category_theirs')
  // Archived, or about to be: nothing is left to propose.
  if (propose && archive === null && observed.stageId !== context.settings.archive.stage) list.push('archive')

  const over = state === 'moving' || state === 'closed'
  // A first standing that says no more than its absence would is not worth a row.
  const news = was === null ? !over || !sameStanding(standing, NEW_STANDING(state, context.now)) : standing !== was
  const changed = news && !unreadable
  if (rows.length === 0 && !changed && list.length === 0 && old === null && stall?.dead !== true) return null
  const { name, url, ownerId, amount, currency } = deal
  return {
    ref,
    deal: { name, url, ownerId, amount, currency },
    rows,
    standing: changed ? standing : null,
    transitions: unreadable ? [] : moved.transitions,
    cleanUp: over,
    stall,
    old: old ?? (stall?.dead ? 'flag' : null),
    idleDays: verdict.idleDays,
    waiting: stalledDays >= WAITED_LONG,
    list,
  }
}

/** What a deal gets that was idle since before the first night for longer than `firstNight.deadAfter`, as of that night. */
function oldDealOf({ state, idleDays, lastMovement }: Verdict, { ownerId }: Known['deal'], context: PlanContext) {
  const { calendar, firstNightAt: night, settings } = context
  if (state !== 'stalled') return null
  const day = calendar.localDate
  const owner = ownerId === null ? null : context.ownerEmail(ownerId)
  const idle = night === null ? idleDays : calendar.workingDays(day(lastMovement), day(night), owner)
  return oldDeal(idle, settings)
}

function count(totals: Totals, state: Standing['state'], moved: Advance): void {
  if (state === 'stalled') totals.stalled++
  if (state === 'parked') totals.parked++
  if (state === 'answered_no') totals.answeredNo++
  if (moved.opened) totals.newlyStalled++
  if (moved.dismissed) totals.dismissed++
  else if (moved.transitions.some(({ from, to }) => from === 'stalled' && to === 'moving')) totals.recovered++
}
