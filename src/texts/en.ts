// English: the words in the CRM, on the command line and in the report. Both answers are good; a no is made safe to say.
// Dates, never counts that change by themselves.
import type { LogEntry } from '../core/movement.ts'
import { textsOf } from './words.ts'

/** Where the name itself does not read as one. */
const fields: Readonly<Partial<Record<NonNullable<LogEntry['field']>, string>>> = {
  closeDate: 'close date',
  category: 'forecast category',
  stalled: 'stalled flag',
  decisionDue: 'decision due',
  parkedReason: 'parking reason',
  parkedUntil: 'parked until',
}

const words = {
  /** Of our own words. */
  typeset: (text: string) => text,
  /** What Intl gets wrong in a date. */
  dated: (text: string) => text,
  days: (n: number) => (n === 1 ? '1 working day' : `${n} working days`),
  calendarDays: (n: number) => (n === 1 ? '1 calendar day' : `${n} calendar days`),
  are: (n: number): string => (n === 1 ? 'is' : 'are'),
  times: (n: number) => (n === 1 ? 'once' : n === 2 ? 'twice' : `${n} times`),
  newTasks: (n: number) => (n === 1 ? '1 new task' : `${n} new tasks`),
  names: {
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
      archived: 'moved to the archive',
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
  },

  last: '{movement}, {on:date}',
  passed: {
    decision_overdue: '{due} has passed and no answer is recorded.',
    answered_maybe: '{due} has passed and the answer is still maybe.',
    second_maybe: 'The answer is maybe for the second time.',
    yes_not_closed:
      'The answer was yes on {date:date}, but {limit:days} later the deal is neither won nor in a later stage.',
    close_date_passed: 'The close date of {date:date} has passed.',
    close_date_long_passed: 'The close date of {date:date} passed more than {limit:days} ago.',
    pushed_repeatedly: 'The close date was pushed {pushes:times}, last on {date:date}.',
    no_movement: 'No movement since {on:date} ({movement}); the limit in stage {stage} is {limit:days}.',
  },
  due: 'The decision date of {date:date}',
  derived: ' (derived from the day of the proposal)',
  capped: ' (the latest date allowed; the one set is later)',
  clears: {
    decision_overdue: 'a yes, a no, a move to a later stage, or one newly agreed decision date',
    answered_maybe: 'a yes, a no, a move to a later stage, or one newly agreed decision date',
    yes_not_closed: 'winning the deal, a move to a later stage, or a no',
    close_date_passed: 'an honest close date, today or later',
    pushed_repeatedly: 'a move to a later stage, a yes or a no',
    no_movement: 'a reply from the buyer, a meeting or call that took place, or a move to a later stage',
  },
  draft: {
    closing:
      'Hello,\nAs we have not come to a decision, I take it that now is not the right time, and I will close the file ' +
      'on my side. That is perfectly fine. If I am wrong, one word is enough and I will gladly pick it up again. ' +
      'Thank you for your time.',
    yes:
      'Hello,\nThank you again for your yes. What do we still need in order to go ahead, and by when could we settle ' +
      'it together? If something has changed, please just tell me: a no is fine, too.',
    decision:
      'Hello,\nI would like to know where you stand on our proposal.{agreed} Is it a yes or a no? Both are good ' +
      'answers for me, and a no needs no explanation. If you still need something in order to decide, what is it, ' +
      'and by when do you expect to decide?',
    agreed: ' We had agreed on {date:date}.',
    next:
      'Hello,\nWhat would be the right next step on your side, and by when? If your plans have changed or this is no ' +
      'longer a priority, that is fine: a short note is enough, and I will not keep chasing you.',
  },
  explained: 'Last movement: {last}.',
  subject: 'Yes or no? {name}',
  task: [
    '{name}{worth} has stopped moving.',
    'What happened last: {last}.\nWhy it is flagged: {passed}\nWhat clears the flag: {clears}.',
    'Please ask for a yes or a no. Both are good answers: a yes moves the deal on, a no gives you your time back and ' +
      'keeps your forecast honest. Nobody is marked down for a no. Record the answer in the field "Decision".',
    'What is holding it up? Please choose the cause in the field "Why it stalled": {causes}. If nothing can happen ' +
      'before a certain date, park the deal: fill in "Parked until" and the reason.',
    'A draft you can send if you like (unstall sends nothing itself):\n\n{draft}',
  ],
  completed: 'Completed by unstall on {on:date}: {why}.',
  completions: {
    flagged: 'the deal is flagged again',
    reason_changed: 'the reason has changed',
    recovered: 'the deal moves again. Well done',
    parked: 'the deal is parked',
    answered_no: 'the answer is no. Thank you: a clear no is a good answer',
    closed: 'the deal is closed',
    dismissed: 'somebody cleared the flag',
    reasserted: 'the deal was looked at again',
    excluded: 'the deal is no longer watched',
    new_decision_date: 'a new decision date has been agreed',
    archived: 'the deal is archived. A reply from the buyer brings it back',
    undo: 'the run that asked for it was taken back',
  },
  holds: {
    share:
      '{newlyStalled:number} of {open:number} open deals are newly stalled, more than {limit:percent}: the data may be ' +
      'wrong, nothing is written.',
    cap: 'More than {limit:number} writes in one run: the rest waits for the next night.',
    budget: '{owner:name} has had {limit:tasks} in week {week}: waits for the next.',
    not_in_preview: 'Not in the confirmed preview {preview}: waits a night.',
    field_missing:
      'unstall may not use its field {field}: it was deleted, renamed or changed, or access to it was taken away. "unstall check" says what to do.',
    stale_snapshot: 'The deal could not be read tonight: nothing is written without evidence.',
    owner_left: 'The owner has left: on the manager’s list until somebody takes the deal over.',
    no_owner: 'The deal has no owner: no one to ask.',
    new_owner: 'A new owner has until {until:date} before a task is created.',
  },

  protections: {
    answered_no: 'Answered no: a good answer. Out of the forecast until the deal is closed.',
    meeting: 'Protected by a meeting booked for {on:date}.',
    parked: 'Parked until {until:date}.',
    parked_capped: 'Parked until {until:date}, the latest date allowed; the one set is later.',
    answered_yes: 'Protected by the answer yes until {until:date}.',
    new_deal: 'A new deal: not judged until {until:date}, but for a decision date the rep set.',
    moved_back: 'Moved back a stage: no new flag until {until:date}.',
    wrong_flag: 'A person cleared the flag: silent until {until:date}.',
    history_unknown: 'History unknown: only a warning until {until:date}.',
    archived: 'In the archive: never flagged there.',
    reactivated: 'The buyer replied on {on:date}: the deal comes back from the archive.',
    old_deal: 'Dead before the first night and left alone, as the configuration says (firstNight.oldDeals).',
  },
  excluded: {
    pipeline: 'Never flagged: its pipeline is excluded.',
    stage: 'Never flagged: its stage is excluded.',
    type: 'Never flagged: its type is excluded.',
    scope: 'Never flagged: its owner is outside the scope.',
  },
  warnings: {
    limit_near: 'The limit is reached on {on:date}.',
    no_decision_date: 'Proposal presented {sinceWorkingDays:days} ago and no decision date agreed.',
    one_push_left: 'Pushed {pushes:times}: one push before the flag.',
    history_unknown: 'History unknown: no flag for lack of movement before {until:date}.',
    no_still_open: 'Answered no {sinceWorkingDays:days} ago and still open: please close it.',
    parked_again: 'Parked again until {until:date} without movement since the last time: this pause is not counted.',
    date_not_counted: 'A second new decision date ({date:date}) after a maybe: not counted.',
  },
  why: {
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
  },
  counts: { strong: 'counts', weak: 'counts for a moving deal', no: 'does not count' },
  fields,
  headings: {
    timeline: 'What happened',
    rules: 'The rules',
    decision: 'The decision',
    warnings: 'Warnings',
    blind: 'What the CRM cannot tell',
    past: 'Earlier verdicts',
  },
  blind: {
    participants: 'Who took part in meetings and calls: each one counts.',
    personFromAutomation:
      'What a person did from what a workflow did on that person’s save: both count as the person’s.',
    history: 'What happened before the first night: the clock starts at creation.',
    replies: 'Replies by e-mail: a deal moving only by e-mail looks still.',
    calls: 'Whether a call was answered.',
    unknown_actor: 'Who made some of the changes above: they count as a person’s.',
    unknown_participants: 'Who took part in some of the events above: they count.',
  },
  answers: {
    yes: 'yes',
    no: 'no',
    maybe: 'maybe',
    none: 'none',
    of_earlier_date: 'of an earlier date, does not count',
  },
  steps: {
    verdict: '{state}: {rule}',
    clears: 'What clears the flag: {what}.',
    out: 'Does not count at the moment: {sum}.',
    out_dated: 'Does not count at the moment: {sum}, expected to close on {on:date}.',
    imported: '{on:date}  imported; first seen by unstall on {firstSeen:date}, history unknown',
    created: '{on:date}  created',
    edited: '{field} edited',
    empty: 'empty',
    because: ': {why}',
    clock: 'The clock stands at {on:date} ({movement}): {days:days}, parked days left out',
    not_applicable: '{rule}: does not apply',
    rule: '{rule}: {holds}  {value}, limit {limit}',
    holds: 'HOLDS',
    holds_not: 'does not hold',
    derived: 'derived',
    capped: 'cut to the latest date allowed',
    decision: 'Decision date: {set}. Answer: {answer}.',
    no_date: 'none',
    next: 'Looked at again on {on:date} at the latest.',
    never: 'Only an event can change this.',
  },
  worth: ', worth {value}',
  backtest: {
    replayed: 'Closed from {from:date} to {to:date}: {won:number} won, {lost:number} lost. Open: {open:number}.',
    longest:
      'No won deal took longer than {days:calendar} from {stage:name} to won. {older:number} of {open:number} open ' +
      'deals in {stage:name} {older:are} older than that{worth}.',
    none_won: 'No deal that passed {stage:name} was won, so nothing says how long winning takes.',
    flags:
      'A limit of {limit:days} would have flagged {wrong:number} of {won:number} won deals wrongly ' +
      '({wrongShare:percent}) and caught {caught:number} of {lost:number} lost ones ({caughtShare:percent}).',
    late: 'Half of the lost ones caught were flagged at least {warning:days} before the loss was recorded.',
    today: 'Today it would flag {beyond:number} of {open:number} open deals in {stage:name}{worth}.',
    rests: 'Confidence: {won:number} won deals; nine of ten resamples recommend {low:number} to {high:days}.',
    default:
      'Won deals: {won:number}, too few to learn a limit from ({enough:number} needed): this one is the practitioner default.',
    median: 'Half of all deals leave {stage:name} within {median:days}, those still there counted as unfinished.',
    moves_on: 'Of the deals still in {stage:name} after {limit:days}, {movesOn:percent} moved on later.',
    nights_know_more:
      'Booked meetings, parking and answers are not replayed: nights flag fewer deals for silence than this.',
    history_short: 'Left out: {n:number} closed deals whose history shows no open stage that is judged.',
    last_only:
      'HubSpot keeps only the last reply and the last meeting. Earlier silences look longer than they were: the true ' +
      'limits may be shorter, not longer.',
    unreadable: 'Left out: {n:number} deals whose record could not be understood.',
    file:
      'The file says when a deal came to {stage:name} and when it was closed; no stages in between, no replies, ' +
      'meetings or calls. All that time counts as silence: the true limit may be shorter, not longer.',
    file_joined: 'Which of {stage:name} a closed deal passed is not in the file: replayed as one, no limit for each.',
    undated: 'Left out: {n:number} deals in {stage:name} without an engage date.',
    list_prices: 'The amounts of {n:number} open deals are list prices from {file:name}.',
  },
}
export type Words = typeof words

export const en = textsOf('en', 'en-GB', words)
