// The rows of one deal: what should be true of its flag, forecast, answer and task, minus what is true already; and the
// forecast category that is borrowed or given back with them.
import { DECISION_RULES, type Deal, type FieldValues, type Instant, type OwnFields } from './deal.ts'
import { type Reason, reasonOf } from './explain.ts'
import type { DealItem, Group, Hold, Lift, PlanContext, PlannedWrite, WriteCause } from './plan.ts'
import { stageTable } from './policy.ts'
import { arrived, LIVE, lastWritten, latestChange, pick, recall, remember, sameValue, valuesOf } from './reaffirm.ts'
import { type Advance, type Standing, writtenState } from './stall.ts'

/** One deal with all that tonight's plan for it depends on. */
export interface Tonight extends DealItem, PlanContext {
  /** The deal with our own writes it does not show yet. */
  readonly observed: Deal
  readonly moved: Advance
  /** The archive stage, if it is to go there tonight. */
  readonly archiveTo: string | null
  /** The stage it goes back to from the archive tonight. */
  readonly home: string | null
}
type Lent = Tonight & { readonly loan: ReturnType<typeof loan> }
type Rows = readonly PlannedWrite[]

const GROUPS = [flag, forecast, archive, answer, task, completions]
/** Everything the deal needs, at most one row of each group but the last; and the standing that goes with it. */
export function rowsOf(deal: Tonight): { readonly standing: Standing; readonly rows: Rows } {
  const lent = { ...deal, loan: loan(deal) }
  return { standing: lent.loan.standing, rows: GROUPS.flatMap((rows) => rows(lent)) }
}

/** Nothing of ours is on the deal but perhaps the word that it moves. */
export const untouched = ({ stalled, state, since, reason, categoryBefore }: OwnFields): boolean =>
  !stalled && (state ?? 'moving') === 'moving' && since === null && reason === null && categoryBefore === null

/** Why a deal that is not stalled is written. */
function lift({ verdict, loan: { standing } }: Lent): Lift {
  const { state, since, dismissedAt } = standing
  if (state === 'parked' || state === 'answered_no' || state === 'closed') return state
  if (verdict.protection?.kind === 'excluded' || verdict.protection?.kind === 'old_deal') return 'excluded'
  return dismissedAt !== null && dismissedAt >= since ? 'dismissed' : 'recovered'
}

function head({ run, known, verdict }: Lent, group: Group, cause: WriteCause, suffix = '') {
  const { ref, deal } = known
  const key = `${run}.${ref.id}.${group}${suffix}`
  const { rule } = verdict
  return { key, deal: ref, lockGroup: deal.lockGroup, group, cause, rule, hold: null, undoes: null } as const
}

/** The wanted values that are not there yet. */
function missing({ observed }: Lent, wanted: FieldValues): FieldValues {
  const held = valuesOf(observed)
  return pick(wanted, (key) => !sameValue(held[key], wanted[key]))
}

function fields(deal: Lent, group: Group, cause: WriteCause, after: FieldValues): Rows {
  const before = pick(valuesOf(deal.observed), (key) => key in after)
  return [{ ...head(deal, group, cause), kind: 'fields', before, after }]
}

function reasonFor(deal: Lent): Reason | null {
  const tasks = deal.ledger.filter((row) => row.kind === 'create-task' && arrived(row))
  const chased = tasks.some(({ rule }) => rule !== null && DECISION_RULES.includes(rule))
  return reasonOf(deal.known, deal.verdict, deal.log, deal, chased)
}

function flag(deal: Lent): Rows {
  const { moved, loan, texts, verdict, ledger, reference } = deal
  const { own } = deal.observed
  const { stall } = loan.standing
  const state = writtenState(loan.standing.state)
  const wanted = { stalled: stall !== null, state, since: stall?.startedAt ?? null, reason: stall?.rule ?? null }
  const changed = state === 'moving' && untouched(own) ? {} : missing(deal, wanted)
  let more: FieldValues = loan.saved === undefined ? {} : { categoryBefore: loan.saved }
  // Dates move by themselves and sentences follow them: both are written with a flag, or where they went with their field.
  const gone = (['explanation', 'lastMovement'] as const).some(
    (key) => own[key] === null && reference.fields?.[key]?.lost !== undefined && lastWritten(ledger, key) === null,
  )
  if (Object.keys(changed).length > 0 || (stall !== null && gone)) {
    const reason = stall === null ? null : reasonFor(deal)
    const explanation = reason === null ? null : texts.explanation(reason)
    more = { ...more, explanation, lastMovement: verdict.lastMovement }
  }
  const after = { ...changed, ...missing(deal, more) }
  if (Object.keys(after).length === 0) return []
  if (stall === null) return fields(deal, 'flag', lift(deal), after)
  const flagged = own.stalled || lastWritten(ledger, 'stalled')?.after.stalled === true
  const another = 'reason' in changed && own.stalled && own.reason !== null
  const cause = moved.opened || !flagged ? 'flagged' : another ? 'reason_changed' : 'reasserted'
  return fields(deal, 'flag', cause, after)
}

/** The forecast category, borrowed while a deal does not count and given back as the CRM itself would set it. The saved
 *  value lives on the deal (`categoryBefore`) and in the ledger: a write that never arrived was never a loan.
 *  @returns `category`, `saved`: to write, the latter as `categoryBefore`; undefined: as it is. `again`: we had taken it
 *  before, and something other than a person put it back. */
function loan(deal: Tonight) {
  const { known, observed, ledger, settings, reference, now } = deal
  const { standing } = deal.moved
  const { borrowed } = standing
  const { omitted } = reference
  const { category } = observed
  // In the archive by our doing: as if it stood where it stood.
  const stage = deal.away?.stage ?? observed.stageId
  const { fields } = reference
  // Nothing can be lent or given back now; what is lent stays so.
  if (omitted === null || fields?.category?.writable === false) return { standing }
  const wrote = lastWritten(ledger, 'category')
  const kept = lastWritten(ledger, 'categoryBefore')
  // The ledger is surer than a text field anyone can edit.
  const told = (kept === null ? observed.own.categoryBefore : kept.after.categoryBefore) ?? null
  const lost = kept === null && borrowed !== null && fields?.categoryBefore?.lost !== undefined
  const saved = told === null && lost ? remember(borrowed.category) : told
  // Since we took it, if we did: by the ledger, or where it is lost by the loan or the stall the CRM shows.
  const since = wrote?.plannedAt ?? borrowed?.at ?? standing.since
  const left = known.changes.filter(({ field, to, at }) => field === 'category' && to !== omitted && at > since)
  if (settings.forecast === 'omit' && writtenState(standing.state) !== 'moving') {
    const omittedByThem = standing.categoryTheirs || left.some(({ by }) => by === 'person' || by === 'unknown')
    // A person put it back and then omitted it: theirs, also where the word that it is was dropped once.
    if (category === omitted && saved !== null && omittedByThem)
      return { standing: { ...standing, borrowed: null, categoryTheirs: true }, saved: null }
    if (standing.categoryTheirs) return { standing }
    if (category === omitted) {
      // By us, or by a person before, and then there is nothing to borrow.
      if (saved === null || borrowed !== null) return saved === told ? { standing } : { standing, saved }
      // Borrowed, says the CRM, and this database does not know since when (lost).
      return { standing: { ...standing, borrowed: { category: recall(saved), stage, at: standing.since } } }
    }
    // When we took it, by what was sent: a loan that was planned and dropped never was.
    const tookAt = saved !== null && wrote?.after.category === omitted ? wrote.plannedAt : null
    if (putBackByPerson(deal, tookAt, omitted)) return { standing: { ...standing, categoryTheirs: true } }
    // With the archive stage the CRM may have set a category that nobody chose.
    const mapped = stageTable(reference, deal.policy)(observed.pipelineId, observed.stageId)?.category
    if (deal.away !== null && saved !== null && borrowed !== null && category === mapped)
      return { standing, category: omitted, again: true }
    const taken = { ...standing, borrowed: { category, stage, at: now } }
    return { standing: taken, category: omitted, saved: remember(category), again: tookAt !== null }
  }
  // A loan is forgotten once it shows that the category was given back.
  if (saved === null) return { standing: borrowed === null ? standing : { ...standing, borrowed: null } }
  // Without a ledger (lost database) the saved value alone tells that the category is ours. If it has been something
  // else since we wrote it, who omitted it again was not us.
  const ours = wrote === null ? kept === null : wrote.after.category === omitted && left.length === 0
  if (category !== omitted || !ours) return { standing, saved: null }
  const back = givenBack({ ...observed, stageId: stage }, borrowed, recall(saved), deal, deal.home !== null)
  return { standing, saved: null, category: back === omitted ? undefined : back }
}

/** What a borrowed category goes back to. Won: the CRM's closed category. Another stage: what that stage maps to. Else
 *  what it was. `anew`: it comes back from the archive, where the stage it had counts as another one. */
export function givenBack(
  { outcome, pipelineId, stageId }: Deal,
  borrowed: Standing['borrowed'],
  was: string | null,
  { reference, policy }: Pick<PlanContext, 'reference' | 'policy'>,
  anew = false,
): string | null {
  const moved = anew || (borrowed !== null && stageId !== borrowed.stage)
  const mapped = moved ? stageTable(reference, policy)(pipelineId, stageId)?.category : null
  return (outcome === 'won' ? reference.closedCategory : mapped) ?? was
}

/** CRMs reset the category in the same save that changes the stage, in the name of whoever saved. */
const SAME_SAVE_MS = 2000

/** Who made the category leave "omitted": a person (then it is theirs), or the CRM with a stage change or a workflow.
 *  Where the CRM keeps no history of it: the CRM, if the stage has moved and maps to just this; else a person. */
function putBackByPerson(deal: Tonight, tookAt: Instant | null, omitted: string): boolean {
  const { known, observed, reference, policy } = deal
  const { borrowed, since } = deal.moved.standing
  const from = tookAt ?? borrowed?.at ?? since
  const edit = latestChange(known.changes, 'category', from)
  const staged = latestChange(known.changes, 'stage', from)
  if (edit === null || edit.to === omitted || !(tookAt !== null || edit.from === omitted)) {
    const mapped = stageTable(reference, policy)(observed.pipelineId, observed.stageId)?.category ?? null
    const moved = staged !== null || observed.stageId !== borrowed?.stage
    return tookAt !== null && borrowed !== null && !(moved && mapped !== null && observed.category === mapped)
  }
  const bySystem = edit.by === 'automation' || edit.by === 'self'
  return !bySystem && (staged === null || Math.abs(edit.at - staged.at) > SAME_SAVE_MS)
}

function forecast(deal: Lent): Rows {
  const { category, again, standing } = deal.loan
  const { archiveTo, home, observed, reference } = deal
  // With a stage the CRM would set that stage's own, whoever chose the one that is there.
  if (category === undefined && (archiveTo ?? home) !== null && observed.category !== null)
    if (reference.fields?.category?.writable !== false)
      return fields(deal, 'forecast', archiveTo === null ? 'recovered' : 'archived', { category: observed.category })
  if (category === undefined) return []
  const cause = standing.stall === null ? lift(deal) : deal.moved.opened ? 'flagged' : 'reasserted'
  return fields(deal, 'forecast', again ? 'reasserted' : cause, { category })
}

/** Into the archive, or back. */
function archive(deal: Lent): Rows {
  const { archiveTo, home } = deal
  if (home !== null) return fields(deal, 'archive', 'recovered', { stage: home })
  return archiveTo === null ? [] : fields(deal, 'archive', 'archived', { stage: archiveTo })
}

const isArchived = ({ archiveTo, observed, settings }: Lent): boolean =>
  archiveTo !== null || observed.stageId === settings.archive.stage

/** An answer belongs to one date: a new date empties it, once. Taken back by undo, it stays. */
function answer(deal: Lent): Rows {
  const { verdict, known, ledger, observed } = deal
  if (!verdict.decision.answerIsOfEarlierDate || observed.own.decision === null) return []
  if (verdict.state === 'closed' || verdict.protection?.kind === 'excluded') return []
  const undone = ledger.findLast((row) => row.group === 'answer' && row.status === 'undone')
  if (undone && !known.changes.some(({ field, at }) => field === 'decisionDue' && at > undone.plannedAt)) return []
  return fields(deal, 'answer', 'new_decision_date', { decision: null })
}

/** One stall never gets two tasks, whatever became of the first, unless it never came to be. */
function task(deal: Lent): Rows {
  const { known, verdict, settings, texts } = deal
  const { stall } = deal.loan.standing
  if (stall === null || stall.dead || !settings.tasks.enabled || isArchived(deal)) return []
  const { taskKey } = stall
  const live = deal.ledger.filter((row) => LIVE.includes(row.status))
  if (live.some((row) => row.kind === 'create-task' && row.taskKey === taskKey)) return []
  const reason = reasonFor(deal)
  if (reason === null) return []
  const id = known.deal.ownerId
  const owner = id === null ? undefined : deal.owner(id)
  const email = owner?.email?.toLowerCase() ?? null
  let hold: Hold | null = null
  if (id === null) hold = { brake: 'no_owner' }
  else if (owner?.active !== true) hold = { brake: 'owner_left' }
  else if (verdict.newOwnerUntil !== null) hold = { brake: 'new_owner', until: verdict.newOwnerUntil }
  const due = deal.calendar.addWorkingDays(deal.today, settings.tasks.dueDays, email)
  const to = { owner: id ?? '', person: email ?? id ?? '' }
  return [{ ...head(deal, 'task', 'flagged'), kind: 'create-task', hold, taskKey, ...to, ...texts.task(reason), due }]
}

/** Completes every task of ours that belongs to no open stall, or to one that is archived. */
function completions(deal: Lent): Rows {
  const { ledger } = deal
  const open = new Map<string, { readonly id: string; readonly body: string }>()
  for (const row of ledger)
    if (row.kind === 'create-task' && row.status === 'done' && row.remote !== null)
      open.set(row.taskKey, { id: row.remote, body: row.body })
  for (const row of ledger)
    if (row.kind === 'complete-task' && (row.status === 'done' || row.status === 'left')) open.delete(row.taskKey)
  const { stall } = deal.loan.standing
  const archived = stall !== null && isArchived(deal)
  if (!archived) open.delete(stall?.taskKey ?? '')
  const cause = archived ? 'archived' : lift(deal)
  return [...open].map(([taskKey, { id: task, body: bodyBefore }], n) => {
    const body = `${bodyBefore}\n\n${deal.texts.completionNote(cause, deal.today)}`
    const row = head(deal, 'task-done', cause, n === 0 ? '' : `.${n + 1}`)
    return { ...row, kind: 'complete-task', taskKey, task, bodyBefore, body }
  })
}
