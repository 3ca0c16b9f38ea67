// English: the words in the CRM, on the command line and in the report. Both answers are good; a no is made safe to say.
// Dates, never counts that change by themselves. Deal names are only ever inserted, never interpreted.
import type { ExplainStep, Names, Reason, Texts } from '../core/explain.ts'
import type { Protection, Warning } from '../core/judge.ts'
import { cut, FIELD_LENGTH, formats, plain } from './shared.ts'

const { date, instant, money } = formats('en-GB')
const days = (n: number) => (n === 1 ? '1 working day' : `${n} working days`)
const times = (n: number) => (n === 1 ? 'once' : n === 2 ? 'twice' : `${n} times`)

const names: Names = {
  rules: {
    decision_overdue: 'Decision overdue',
    answered_maybe: 'Answered maybe',
    yes_not_closed: 'Yes, but not closed',
    close_date_passed: 'Close date passed',
    pushed_repeatedly: 'Pushed repeatedly',
    no_movement: 'No movement',
  },
  states: {
    moving: 'Moving',
    stalled: 'Stalled',
    parked: 'Parked',
    answered_no: 'Answered no',
    closed: 'Closed',
    gone: 'Deleted or merged',
  },
  movements: {
    stage_forward: 'stage moved forward',
    stage_back: 'stage moved back',
    reply: 'reply from the buyer',
    meeting: 'meeting with the buyer',
    call: 'call with the buyer',
    reopened: 'deal reopened',
    closed: 'deal closed',
    pipeline_moved: 'moved to another pipeline',
    amount_changed: 'amount changed',
    close_date_earlier: 'close date moved earlier',
    close_date_later: 'close date moved later',
    rep_activity: 'activity of the rep',
    field_edited: 'field edited',
    created: 'deal created',
    first_seen: 'deal first seen, history unknown',
  },
  causes: {
    no_decision_maker: 'no decision-maker',
    budget: 'budget',
    comparing: 'comparing offers',
    timing: 'timing',
    buyer_silent: 'buyer silent',
    we_owe_something: 'we owe something',
  },
}

const last = ({ lastMovement: { on, kind } }: Reason) => `${names.movements[kind]}, ${date(on)}`

/** Which limit was passed. */
function passed({ check, stageLabel, lastMovement, pushes }: Reason): string {
  const due = check.date === null ? 'the decision date' : `the decision date ${date(check.date)}`
  const on = check.date === null ? '' : ` on ${date(check.date)}`
  const derived = check.derived ? ' (derived from the day of the proposal)' : ''
  const capped = check.capped ? ' (the latest date allowed; the one set is later)' : ''
  switch (check.rule) {
    case 'decision_overdue':
      return `No answer is recorded although ${due}${derived}${capped} has passed.`
    case 'answered_maybe':
      return (check.value ?? 0) > 1
        ? 'The answer is maybe for the second time.'
        : `The answer is maybe, and ${due}${derived}${capped} has passed.`
    case 'yes_not_closed':
      return `Answered yes${on}, but neither won nor a stage further after ${days(check.limit ?? 0)}.`
    case 'close_date_passed':
      return check.limit === 0 || check.date === null
        ? `The close date${check.date === null ? '' : ` ${date(check.date)}`} has passed.`
        : `The close date ${date(check.date)} passed more than ${days(check.limit ?? 0)} ago.`
    case 'pushed_repeatedly':
      return `The close date was pushed ${times(pushes)}${check.date === null ? '' : `, last on ${date(check.date)}`}.`
    case 'no_movement':
      return `No movement since ${date(lastMovement.on)} (${names.movements[lastMovement.kind]}); the limit in stage ${plain(stageLabel, 50)} is ${days(check.limit ?? 0)}.`
  }
}

const CLEARS: Names['rules'] = {
  decision_overdue: 'a yes, a no, a stage forward, or one newly agreed decision date',
  answered_maybe: 'a yes, a no, a stage forward, or one newly agreed decision date',
  yes_not_closed: 'the deal won, a stage forward, or a no',
  close_date_passed: 'an honest close date, today or later',
  pushed_repeatedly: 'a stage forward, a yes or a no',
  no_movement: 'a reply from the buyer, a meeting or call that took place, or a stage forward',
}

/** Ready to send. unstall never sends it. */
function draft({ check, chasedBefore }: Reason): string {
  const agreed = check.date !== null && !check.derived ? ` We had agreed on ${date(check.date)}.` : ''
  const byRule = check.rule === 'decision_overdue' || check.rule === 'answered_maybe' || check.rule === 'yes_not_closed'
  if (byRule && chasedBefore)
    return (
      'Hello,\nI have not had a decision from you, so I take it that now is not the right time and will close the ' +
      'file on my side. That is perfectly fine. If I am wrong, one word is enough and I will pick it up again with ' +
      'pleasure. Thank you for your time.'
    )
  if (check.rule === 'yes_not_closed')
    return (
      'Hello,\nThank you again for your yes. What is still missing to conclude, and by when can we settle it ' +
      'together? If something has changed, please just tell me: a no is fine, too.'
    )
  if (byRule)
    return (
      `Hello,\nI would like to know where you stand on our proposal.${agreed} Is it a yes or a no? Both are good ` +
      'answers for me, and a no will not need explaining. If something is still missing for your decision, what is ' +
      'it, and by which date will you decide?'
    )
  return (
    'Hello,\nwhat would be the right next step on your side, and by when? If your plans have changed or this is no ' +
    'longer a priority, that is fine: a short word is enough, and I will not keep chasing you.'
  )
}

const PROTECTED: Readonly<Record<Extract<Protection, { kind: 'excluded' }>['what'], string>> = {
  pipeline: 'its pipeline is excluded',
  stage: 'its stage is excluded',
  type: 'its type is excluded',
  scope: 'its owner is outside the scope',
}

const WHY: Readonly<Record<NonNullable<Extract<ExplainStep, { step: 'event' }>['entry']['why']>, string>> = {
  own_write: 'written by unstall',
  automation: 'automation: an import, a workflow or an integration',
  not_beyond_furthest: 'not beyond the furthest stage reached',
  below_five_percent: 'less than 5 %',
  not_earlier_than_before: 'not earlier than every date held before',
  rep_only: 'only the rep took part',
  no_outside_attendee: 'nobody from outside took part',
  unknown_participants: 'the CRM does not say who took part; taken as the buyer',
  unknown_actor: 'the CRM does not say who did it; taken as a person',
  not_movement: 'not movement',
  unknown_stage: 'a stage that no longer exists',
  after_flag: 'too weak to lift a flag',
}

function protection(it: Protection): string {
  switch (it.kind) {
    case 'excluded':
      return `Never flagged: ${PROTECTED[it.what]}.`
    case 'answered_no':
      return 'Answered no: a good answer. Out of the forecast until the deal is closed.'
    case 'meeting':
      return `Protected by a meeting booked for ${date(it.on)}.`
    case 'parked':
      return `Parked until ${date(it.until)}${it.capped ? ', the latest date allowed; the one set is later' : ''}.`
    case 'answered_yes':
      return `Protected by the answer yes until ${date(it.until)}.`
    case 'new_deal':
      return `A new deal: not judged until ${date(it.until)}, but for a decision date the rep set.`
    case 'moved_back':
      return `Moved back a stage: no new flag until ${date(it.until)}.`
    case 'wrong_flag':
      return `A person cleared the flag: silent until ${date(it.until)}.`
    case 'history_unknown':
      return `History unknown: only a warning until ${date(it.until)}.`
  }
}

function warning(it: Warning): string {
  switch (it.kind) {
    case 'limit_near':
      return `The limit is reached on ${date(it.on)}.`
    case 'no_decision_date':
      return `Proposal presented ${days(it.sinceWorkingDays)} ago and no decision date agreed.`
    case 'one_push_left':
      return `Pushed ${times(it.pushes)}: one push before the flag.`
    case 'history_unknown':
      return `History unknown: no flag for lack of movement before ${date(it.until)}.`
    case 'no_still_open':
      return `Answered no ${days(it.sinceWorkingDays)} ago and still open: please close it.`
    case 'parked_again':
      return `Parked again until ${date(it.until)} without movement since the last time: not counted.`
    case 'date_not_counted':
      return `A second new decision date (${date(it.date)}) after a maybe: not counted.`
  }
}

function step(one: ExplainStep): string {
  switch (one.step) {
    case 'verdict':
      return `${names.states[one.state]}${one.rule === null ? '' : `: ${names.rules[one.rule]}`}`
    case 'clears':
      return `What clears the flag: ${CLEARS[one.rule]}.`
    case 'heading':
      return {
        timeline: 'What happened',
        rules: 'The rules',
        decision: 'The decision',
        warnings: 'Warnings',
        blind: 'What the CRM cannot tell',
      }[one.of]
    case 'created':
      return one.imported
        ? `${date(one.on)}  imported; first seen by unstall on ${date(one.firstSeen)}, history unknown`
        : `${date(one.on)}  created`
    case 'event': {
      const { kind, counts, why, field, from, to, source } = one.entry
      const edited =
        kind === 'field_edited' && field !== null ? `${FIELDS[field] ?? field} edited` : names.movements[kind]
      const values = field === null ? '' : ` (${shown(from)} → ${shown(to)})`
      const verdict = { strong: 'counts', weak: 'counts for a moving deal', no: 'does not count' }[counts]
      const reason = why === null ? '' : `: ${WHY[why]}`
      return `${date(one.on)}  ${edited}${values}  ${verdict}${reason}  [${plain(source, 40)}]`
    }
    case 'clock':
      return `The clock stands at ${date(one.on)} (${names.movements[one.kind]}): ${days(one.days)}, parked days left out`
    case 'rule': {
      const { rule, holds, value, limit, unit, date: on, derived, capped } = one.check
      if (value === null || limit === null) return `${names.rules[rule]}: does not apply`
      const against = unit === 'working_days' ? `${days(value)}, limit ${limit}` : `${value}, limit ${limit}`
      const notes = [on && date(on), derived && 'derived', capped && 'cut to the latest date allowed'].filter(Boolean)
      return `${names.rules[rule]}: ${holds ? 'HOLDS' : 'does not hold'}  ${against}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`
    }
    case 'protection':
      return protection(one.protection)
    case 'decision': {
      const { due, derived, answer, answerIsOfEarlierDate } = one.decision
      const set = due === null ? 'none' : `${date(due)}${derived ? ' (derived from the day of the proposal)' : ''}`
      const said = answerIsOfEarlierDate ? 'of an earlier date, does not count' : (answer ?? 'none')
      return `Decision date: ${set}. Answer: ${said}.`
    }
    case 'warning':
      return warning(one.warning)
    case 'blind':
      return {
        participants: 'Who took part in meetings and calls: each one counts.',
        personFromAutomation: 'A person from a workflow run by that person’s save: both count as the person.',
        history: 'What happened before the first night: the clock starts at creation.',
        replies: 'Replies by e-mail: a deal moving only by e-mail looks still.',
        calls: 'Whether a call was answered.',
        unknown_actor: 'Who made some of the changes above: they count as a person’s.',
        unknown_participants: 'Who took part in some of the events above: they count.',
      }[one.what]
    case 'next':
      return one.on === null ? 'Only an event can change this.' : `Looked at again on ${date(one.on)} at the latest.`
  }
}

const shown = (value: string | null): string =>
  value === null ? 'empty' : /^\d{4}-\d{2}-\d{2}$/.test(value) ? date(value) : plain(value, 60)

const FIELDS: Readonly<Record<string, string>> = {
  closeDate: 'close date',
  category: 'forecast category',
  stalled: 'stalled flag',
  decisionDue: 'decision due',
  parkedReason: 'parking reason',
  parkedUntil: 'parked until',
}

export const en: Texts = {
  language: 'en',
  names,
  date,
  instant,
  money,
  step,
  explanation(reason) {
    const before = reason.check.rule === 'no_movement' ? '' : ` Last movement: ${last(reason)}.`
    return cut(`${passed(reason)}${before}`, FIELD_LENGTH)
  },
  task(reason) {
    const name = plain(reason.dealName)
    const worth = reason.amount === null ? '' : ` (${money(reason.amount.value, reason.amount.currency)})`
    const body = [
      `${name}${worth} has stopped moving.`,
      `What happened last: ${last(reason)}.\nWhat was passed: ${passed(reason)}\nWhat clears the flag: ${CLEARS[reason.check.rule]}.`,
      'Please get a yes or a no. Both are good answers: a yes moves the deal on, a no gives you your time back and ' +
        'keeps your forecast honest. Nobody is marked down for a no. Record it in the field "Decision".',
      `What holds it up? Please choose it in the field "Why it stalled": ${Object.values(names.causes).join(', ')}. If nothing ` +
        'can happen before a certain date, park the deal: "Parked until" and its reason.',
      `A draft you may send (unstall sends nothing):\n\n${draft(reason)}`,
    ]
    return { subject: cut(`Yes or no? ${name}`, FIELD_LENGTH), body: body.join('\n\n') }
  },
  completionNote(cause, on) {
    const why = {
      flagged: 'the deal is flagged anew',
      reason_changed: 'the reason has changed',
      recovered: 'the deal moves again. Well done',
      parked: 'the deal is parked',
      answered_no: 'the answer is no. Thank you: a clear no is a good answer',
      closed: 'the deal is closed',
      dismissed: 'somebody cleared the flag',
      reasserted: 'the deal was looked at again',
      excluded: 'the deal is no longer watched',
      new_decision_date: 'a new decision date is agreed',
      undo: 'the run that asked for it was taken back',
    }[cause]
    return `Completed by unstall on ${date(on)}: ${why}.`
  },
  hold(hold) {
    switch (hold.brake) {
      case 'share':
        return `${hold.newlyStalled} of ${hold.open} open deals newly stalled, more than ${Math.round(hold.limit * 100)} %: the data may be wrong, nothing is written.`
      case 'cap':
        return `More than ${hold.limit} writes in one run: the rest waits for the next night.`
      case 'budget':
        return `${plain(hold.owner)} has had ${hold.limit} new ${hold.limit === 1 ? 'task' : 'tasks'} in week ${hold.week}: waits for the next.`
      case 'not_in_preview':
        return `Not in the confirmed preview ${hold.preview}: waits a night.`
      case 'stale_snapshot':
        return 'The deal could not be read tonight: nothing is written without evidence.'
      case 'owner_left':
        return 'The owner has left: on the manager’s list until somebody takes the deal over.'
      case 'no_owner':
        return 'The deal has no owner: no one to ask.'
      case 'new_owner':
        return `A new owner has until ${date(hold.until)} before a task is created.`
    }
  },
}
