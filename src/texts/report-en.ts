// English: the words of the report. `{…}` are holes; see `fill`.
export const reportEn = {
  title: 'Pipeline report',
  nothing: 'There is nothing to report yet: no night has run. Begin with "unstall plan", then "unstall run".',
  ...{ contents: 'Contents', none: 'none' },
  cut: '{shown} of {total} lines are shown here; all are in the CSV (unstall report --format csv).',
  kinds: {
    ...{ night: 'Night {run}, judged as of {at}.', manual: 'Run by hand {run}, judged as of {at}.' },
    preview: 'Preview {run}, judged as of {at}. Nothing was written: this is what it would do.',
    undo: 'Run {run} of {at} took another run back.',
  },
  failed: 'The run did not finish: {problem}',
  knownAt:
    'The lists and figures of the night are of that night; deals, sales cycle, flags and coaching are as known on {at}.',
  wrote: 'Done: {done}. Held back: {held}. Refused: {refused}. Left alone: {left}.',
  meaning:
    '"Without stalled" also leaves out deals that are parked or answered no: they do not count until they move. ' +
    'The forecast leaves out deals whose forecast category is omitted. Currencies are never added up.',
  headings: {
    ...{ night: 'The night', forecast: 'Pipeline and forecast, with and without stalled deals' },
    ...{ history: 'The gap over time', stops: 'Where deals stop', cycle: 'Sales cycle', coaching: 'Coaching sheet' },
    ...{ quality: 'Were the flags right?', deals: 'Deals that stand still', warnings: 'Warnings' },
  },
  sums: {
    ...{ total: 'All open deals', month: 'By month of the close date', category: 'By forecast category' },
    ...{ owner: 'By owner', team: 'By team', pipeline: 'By pipeline' },
  },
  sum: {
    ...{ month: 'Month', category: 'Category', owner: 'Owner', team: 'Team', pipeline: 'Pipeline', total: 'Currency' },
    ...{ deals: 'Deals', value: 'Pipeline', stalled: 'Stalled', moving: 'Without stalled', forecast: 'Forecast' },
    movingForecast: 'Forecast without stalled',
  },
  charts: {
    ...{ month: 'Forecast by month, {currency}', owner: 'Pipeline by owner, {currency}' },
    ...{ history: 'Open pipeline night by night, {currency}', stops: 'Open deals by stage' },
  },
  figures: {
    ...{ open: 'Open deals', stalled: 'Stalled', newlyStalled: 'Newly stalled', recovered: 'Recovered' },
    ...{ parked: 'Parked', answeredNo: 'Answered no', dismissed: 'Flags cleared by a person' },
  },
  lists: {
    ...{ newlyStalled: 'Newly stalled', recovered: 'Recovered: they move again', closed: 'Closed since' },
    ...{ refused: 'Refused by the CRM', held: 'Held back by a brake' },
    leftAlone: 'Left alone, because somebody was faster',
    unreadable: 'Records that could not be understood: they wait',
    ...{ dead: 'Dead before the first night: never a task', stillStalled: 'Still stalled', parked: 'Parked' },
    ...{ answeredNo: 'Answered no: out of the forecast until closed', warnings: 'Moving, but close to a limit' },
    ownerLeft: 'The owner has left: somebody has to take over',
    ...{ noStillOpen: 'Answered no and still open: please close', archive: 'Stalled long without an answer: archive?' },
    flagCleared: 'Flag cleared by a person: left alone for ten working days',
    categoryTheirs: 'Forecast category put back by a person: it stays',
  },
  brakes: { caption: 'What was held back, and why', writes: 'Writes', why: 'Why' },
  dead: {
    days: 'Working days without movement',
    from: 'more than {from}',
    between: '{from} to {to}',
    value: 'Value',
    gets: 'What they get',
    ...{ flag: 'a flag, no task', archive: 'the archive', nothing: 'nothing' },
  },
  cycle: {
    ...{ caption: 'Deals won in the last year, calendar days from creation to won', kind: 'Sales cycle' },
    ...{ mean: 'Average days', median: 'Median days', all: 'All won deals' },
    ...{ withoutStalled: 'Without deals that ever stalled', active: 'All won deals, in active days' },
    note: 'Days count as stalled from the limit of the stage until the buyer moved again, and while unstall had the deal stalled or parked.',
    leftOut: 'Imported or undated deals left out: {n}. When they began or ended is not known.',
  },
  history: { caption: 'The last nights', night: 'Night', gap: 'Gap', share: 'Share stalled' },
  stops: { caption: 'Open deals by stage', open: 'Open', share: 'Share stalled' },
  coaching: {
    ...{ caption: 'One line per rep', rep: 'Rep', open: 'Open', stalled: 'Stalled', value: 'Stalled value' },
    ...{ stops: 'Stop at', maybes: 'Answered maybe', pushes: 'Pushes', age: 'Median age, days' },
    ...{ idle: 'Median standstill, working days', causes: 'Causes' },
  },
  quality: {
    ...{ caption: 'What became of the flags', after: 'After', days: '{days} days', flags: 'Flags' },
    ...{ rules: 'By rule, as of today', rule: 'Rule', change: 'Suggested change' },
    note: 'Wrong: a person cleared the flag. Probably wrong: won within ten working days of the flag, its task untouched.',
    recovered: 'Recovered value: {value} (deals won after the buyer moved again following our task: {deals}).',
    none: 'No flag is on record yet.',
  },
  fates: {
    ...{ won: 'Won', lost: 'Lost', recovered: 'Recovered', stalled: 'Still stalled', parked: 'Parked' },
    ...{ answered_no: 'Answered no', gone: 'Deleted or merged', wrong: 'Wrong flag', probably_wrong: 'Probably wrong' },
  },
  suggestions: {
    ...{ too_few: 'Too few flags to say', keep: 'Keep as it is' },
    archive: 'Most stay unanswered: archive sooner (archive.proposeAfterDays)',
    loosen: {
      decision_overdue: 'Too many wrong: more days to decide (decision.days)',
      answered_maybe: 'Too many wrong: ask the reps what their maybes mean',
      yes_not_closed: 'Too many wrong: a stage for "signing" would show the progress',
      close_date_passed: 'Too many wrong: more grace (graceDays.closeDate)',
      pushed_repeatedly: 'Too many wrong: allow one more push (pushes)',
      no_movement: 'Too many wrong: a higher limit (idleDays)',
    },
  },
  changes: {
    ...{ flagged: 'flagged', reason_changed: 'other reason', reasserted: 'written again', archived: 'archived' },
    ...{ new_decision_date: 'new decision date', undo: 'taken back', recovered: 'recovered', parked: 'parked' },
    ...{ answered_no: 'answered no', closed: 'closed', dismissed: 'flag cleared by a person' },
    excluded: 'no longer watched',
  },
  statuses: {
    ...{ planned: 'planned', sent: 'without an answer yet', held: 'held back', dropped: 'left to the next night' },
    ...{ done: 'written', refused: 'refused', left: 'left alone', undone: 'taken back' },
  },
  answers: { yes: 'yes', no: 'no', maybe: 'maybe' },
  columns: {
    ...{ connection: 'Connection', id: 'Id', name: 'Deal', url: 'Link', owner: 'Owner', team: 'Team' },
    ...{ pipeline: 'Pipeline', stage: 'Stage', category: 'Forecast category', amount: 'Amount', currency: 'Currency' },
    ...{ closeDate: 'Close date', createdOn: 'Created', state: 'State', rule: 'Why', stalledSince: 'Stalled since' },
    ...{ lastMovement: 'Last movement', idleDays: 'Working days without movement', pushes: 'Pushes', answer: 'Answer' },
    ...{ cause: 'Cause', explanation: 'Explanation', change: 'This run', changeStatus: 'What became of it' },
    ...{ held: 'Held back', refused: 'Refused', leftAlone: 'Left alone', warnings: 'Warnings' },
    lists: 'For the manager',
  },
}
export type ReportWords = typeof reportEn
