// English: the words of the digests. `{…}` are holes; see `fill`.
export const digestEn = {
  weekly: {
    subject: 'Your pipeline on {date}. Stalled deals: {stalled}',
    of: 'This is about {names} only.',
    dashboard: 'Everything, day by day',
    cut: 'The first {shown} of {total} are shown.',
  },
  nightly: {
    begins: 'unstall needs you: {problems}',
    goesOn: 'unstall: {problems}',
    over: 'unstall: all is well again',
    new: 'New',
    changed: 'Changed',
    still: 'Still so',
    ended: 'Over',
    reminder: 'Nothing has changed within a week.',
  },
  troubles: {
    failed: '{connection}: the night did not finish. {words}',
    missed: '{connection}: the night of {date} did not begin. Is a worker of unstall running?',
    paused: '{connection}: waiting for the CRM since {at}; it goes on by itself. {words}',
    reconnect: '{connection}: the CRM does not let unstall in any more; nothing is read or written there. {words}',
    held: '{connection}: writes held back to be safe: {count} ({words}). "unstall report {connection}" says why.',
    refused: '{connection}: writes the CRM refused: {count}. "unstall runs {run}" lists them.',
    quarantined:
      '{connection}: records that could not be understood: {count}. They wait; "unstall runs {run}" lists them.',
  },
  example: '{name}: {words}',
  /** In the subject, and where a trouble is over. */
  short: {
    ...{ failed: '{connection} failed', missed: '{connection} missed its night', paused: '{connection} waits' },
    ...{ reconnect: '{connection} needs re-connecting', held: '{connection} held writes back' },
    ...{ refused: 'the CRM of {connection} refused writes', quarantined: '{connection} has unreadable records' },
  },
  brakes: {
    ...{ share: 'far more deals than usual would be flagged', cap: 'more writes than one night may make' },
    ...{ field_missing: 'a field of unstall is missing', stale_snapshot: 'the CRM could not be read in time' },
  },
}
export type DigestWords = typeof digestEn
