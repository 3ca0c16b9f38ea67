// Both languages say everything, fit their fields whatever a deal is called, and say it as agreed: both answers are
// good, no counts that change by themselves, no pressure where it does harm.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BacktestLine } from '../../src/core/backtest.ts'
import { CAUSES, RULES, type Rule } from '../../src/core/deal.ts'
import type { ExplainStep, Reason, Texts } from '../../src/core/explain.ts'
import type { Protection, Warning } from '../../src/core/judge.ts'
import type { LogEntry, MovementKind } from '../../src/core/movement.ts'
import type { Hold, WriteCause } from '../../src/core/plan.ts'
import { cut } from '../../src/core/text.ts'
import { en } from '../../src/texts/en.ts'
import { fr } from '../../src/texts/fr.ts'
import { plain } from '../../src/texts/shared.ts'
import { reason } from './reason.ts'

const LANGUAGES: readonly (readonly [string, Texts])[] = [
  ['en', en],
  ['fr', fr],
]
const CAUSES_OF_WRITES: readonly WriteCause[] = [
  'flagged',
  'reason_changed',
  'recovered',
  'parked',
  'answered_no',
  'closed',
  'dismissed',
  'reasserted',
  'excluded',
  'new_decision_date',
  'undo',
]
const HOLDS: readonly Hold[] = [
  { brake: 'share', newlyStalled: 60, open: 100, limit: 0.15 },
  { brake: 'cap', limit: 20_000 },
  { brake: 'budget', owner: 'ann@example.com', limit: 3, week: '2026-W48' },
  { brake: 'not_in_preview', preview: 'p-1' },
  { brake: 'stale_snapshot' },
  { brake: 'owner_left' },
  { brake: 'no_owner' },
  { brake: 'new_owner', until: '2026-05-01' },
  { brake: 'field_missing', field: 'unstall_stalled' },
]
const until = '2026-05-01'
const PROTECTIONS: readonly Protection[] = [
  ...(['pipeline', 'stage', 'type', 'scope'] as const).map((what) => ({ kind: 'excluded', what }) as const),
  { kind: 'meeting', on: until },
  { kind: 'answered_yes', until },
  { kind: 'parked', until, capped: true, reason: null },
  { kind: 'answered_no' },
  { kind: 'new_deal', until },
  { kind: 'moved_back', until },
  { kind: 'wrong_flag', until },
  { kind: 'history_unknown', until },
]
const WARNINGS: readonly Warning[] = [
  { kind: 'limit_near', inWorkingDays: 3, on: until },
  { kind: 'no_decision_date', sinceWorkingDays: 3 },
  { kind: 'one_push_left', pushes: 2 },
  { kind: 'history_unknown', until },
  { kind: 'no_still_open', sinceWorkingDays: 6 },
  { kind: 'parked_again', until },
  { kind: 'date_not_counted', date: until },
]
const WHYS: readonly LogEntry['why'][] = [
  null,
  'own_write',
  'automation',
  'not_beyond_furthest',
  'below_five_percent',
  'not_earlier_than_before',
  'rep_only',
  'no_outside_attendee',
  'unknown_participants',
  'unknown_actor',
  'not_movement',
  'unknown_stage',
  'after_flag',
]
const entry = (kind: MovementKind, why: LogEntry['why']): LogEntry => ({
  at: 0,
  kind,
  counts: 'no',
  why,
  by: 'person',
  source: 'CRM_UI',
  field: 'closeDate',
  from: '2026-04-01',
  to: null,
})
const decision = { due: until, derived: true, answer: null, answerIsOfEarlierDate: false } as const
const STEPS: readonly ExplainStep[] = [
  { step: 'verdict', state: 'stalled', rule: 'no_movement' },
  { step: 'verdict', state: 'moving', rule: null },
  ...(['timeline', 'rules', 'decision', 'warnings', 'blind', 'past'] as const).map(
    (of) => ({ step: 'heading', of }) as const,
  ),
  { step: 'out', amount: 1200, currency: 'EUR', on: until },
  { step: 'out', amount: 1200, currency: null, on: null },
  { step: 'past', on: until, from: 'moving', to: 'stalled', rule: 'no_movement' },
  { step: 'past', on: until, from: 'stalled', to: 'closed', rule: null },
  { step: 'created', on: until, imported: true, firstSeen: until },
  { step: 'created', on: until, imported: false, firstSeen: until },
  ...WHYS.map((why): ExplainStep => ({ step: 'event', on: until, entry: entry('stage_forward', why) })),
  { step: 'event', on: until, entry: { ...entry('reply', null), field: null } },
  { step: 'clock', on: until, kind: 'created', days: 1 },
  ...RULES.map((rule): ExplainStep => ({ step: 'rule', check: reason(rule).check })),
  { step: 'rule', check: { ...reason('no_movement').check, value: null, limit: null } },
  ...RULES.map((rule): ExplainStep => ({ step: 'clears', rule })),
  ...PROTECTIONS.map((protection): ExplainStep => ({ step: 'protection', protection })),
  { step: 'decision', decision },
  { step: 'decision', decision: { ...decision, due: null, answer: 'maybe' } },
  { step: 'decision', decision: { ...decision, answerIsOfEarlierDate: true } },
  ...WARNINGS.map((warning): ExplainStep => ({ step: 'warning', warning })),
  ...(
    [
      'participants',
      'personFromAutomation',
      'history',
      'replies',
      'calls',
      'unknown_actor',
      'unknown_participants',
    ] as const
  ).map((what): ExplainStep => ({ step: 'blind', what })),
  { step: 'next', on: null },
  { step: 'next', on: until },
]

const SAYS: Readonly<Record<BacktestLine['say'], Record<string, string | number>>> = {
  replayed: { from: '2024-05-01', to: until, won: 1200, lost: 1, open: 0 },
  longest: { stage: 'Demo', days: 137, older: 935, open: 1137 },
  none_won: { stage: 'Demo' },
  flags: { limit: 12, wrong: 3, won: 40, wrongShare: 0.075, caught: 1, lost: 8, caughtShare: 0.125 },
  late: { warning: 1 },
  today: { stage: 'Demo', beyond: 3, open: 4 },
  rests: { won: 40, low: 10, high: 14 },
  default: { won: 12, enough: 30 },
  median: { stage: 'Demo', median: 9 },
  moves_on: { stage: 'Demo', limit: 12, movesOn: 0.2 },
  nights_know_more: {},
  history_short: { n: 3 },
  last_only: {},
  unreadable: { n: 2 },
  file: { stage: 'Demo' },
  file_joined: { stage: 'Demo / Offer' },
  undated: { n: 7, stage: 'New' },
  list_prices: { n: 5, file: 'products.csv' },
}
const LINES = Object.entries(SAYS).map(([say, values]) => ({ say: say as BacktestLine['say'], with: values }))

/** Every text a language can say, by what it is about. */
function everything(texts: Texts): Record<string, string> {
  const all: Record<string, string> = {}
  for (const rule of RULES)
    for (const chasedBefore of [false, true])
      for (const dated of [until, null]) {
        const one = reason(rule, { chasedBefore }, { date: dated, derived: chasedBefore, capped: dated === null })
        const { subject, body } = texts.task(one)
        const id = `${rule} ${chasedBefore} ${dated}`
        Object.assign(all, { [`x ${id}`]: texts.explanation(one), [`s ${id}`]: subject, [`b ${id}`]: body })
      }
  for (const cause of CAUSES_OF_WRITES) all[cause] = texts.completionNote(cause, until)
  for (const hold of HOLDS) all[hold.brake] = texts.hold(hold)
  for (const line of LINES) all[`backtest ${line.say}`] = texts.backtest(line)
  for (const [i, step] of STEPS.entries()) all[`step ${i}`] = texts.step(step)
  for (const [group, names] of Object.entries(texts.names))
    for (const [key, name] of Object.entries(names)) all[`${group}.${key}`] = String(name)
  return all
}

describe.each(LANGUAGES)('%s', (language, texts) => {
  const all = everything(texts)

  test('no text is empty or holds a hole', () => {
    expect(texts.language).toBe(language)
    for (const [key, text] of Object.entries(all)) {
      expect(text.trim(), key).not.toBe('')
      expect(text, key).not.toMatch(/undefined|null|NaN|\[object|\{/)
    }
  })

  test('explanation and subject fit 255 characters whatever names there are', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 400 }),
      fc.constantFrom('👩‍👩‍👧‍👦'.repeat(20_000), '\0', '\u202eevil', '<script>alert(1)</script>'),
    )
    fc.assert(
      fc.property(name, name, fc.constantFrom(...RULES), fc.boolean(), (dealName, stageLabel, rule, flag) => {
        const one = reason(
          rule,
          { dealName, stageLabel, lastMovement: { on: '2026-09-30', kind: 'first_seen' } },
          { derived: flag, capped: flag, date: '2026-09-30' },
        )
        const { subject, body } = texts.task(one)
        for (const text of [texts.explanation(one), subject]) {
          expect(text.length).toBeLessThanOrEqual(255)
          expect(text.isWellFormed()).toBe(true)
          expect(text).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u)
        }
        expect(body.isWellFormed()).toBe(true)
        expect(body.length).toBeLessThan(3000)
      }),
    )
  })

  test('no explanation of ordinary names is cut', () => {
    for (const [key, text] of Object.entries(all)) if (key.startsWith('x ')) expect(text, key).not.toContain('…')
  })

  test('the explanation gives dates, not counts of days since', () => {
    for (const rule of RULES) {
      const text = (value: number) =>
        texts.explanation(reason(rule, {}, { value: rule === 'answered_maybe' ? 1 : value }))
      expect(text(6)).toBe(text(60))
    }
  })

  test('a task says what happened last, what was passed, what clears it, and asks for the cause', () => {
    for (const rule of RULES) {
      const { subject, body } = texts.task(reason(rule))
      expect(subject).toContain('Acme rollout')
      expect(body).toContain(texts.date('2026-04-07'))
      expect(body).toContain(texts.names.movements.reply)
      for (const cause of CAUSES) expect(body).toContain(texts.names.causes[cause])
    }
  })

  test('the draft fits the rule: next step, decision, or closing the file, and that only when chased before', () => {
    const draft = (rule: Rule, chasedBefore: boolean) =>
      texts.task(reason(rule, { chasedBefore })).body.split('\n\n').at(-1)
    const closing = draft('decision_overdue', true)
    for (const rule of ['no_movement', 'pushed_repeatedly', 'close_date_passed'] as const) {
      expect(draft(rule, true)).toBe(draft('no_movement', false))
      expect(draft(rule, false)).toBe(draft('no_movement', false))
    }
    for (const rule of ['decision_overdue', 'answered_maybe', 'yes_not_closed'] as const) {
      expect(draft(rule, true)).toBe(closing)
      expect(draft(rule, false)).not.toBe(closing)
      expect(draft(rule, false)).not.toBe(draft('no_movement', false))
    }
  })

  test('the draft names a date only if it was agreed with the buyer', () => {
    const draft = (check: Partial<Reason['check']>) =>
      texts
        .task(reason('answered_maybe', {}, check))
        .body.split('\n\n')
        .at(-1)
    const derived = draft({ derived: true })
    expect(draft({})).toContain(texts.date(until))
    expect(derived).not.toContain(texts.date(until))
    expect(draft({ date: null, value: 2 })).toBe(derived)
  })

  test('a derived or cut date is named as such', () => {
    const text = (check: Partial<Reason['check']>) => texts.explanation(reason('decision_overdue', {}, check))
    expect(new Set([text({}), text({ derived: true }), text({ capped: true })]).size).toBe(3)
  })

  test('dates and money outside the ordinary', () => {
    expect(texts.date('9999-12-31')).toContain('9999')
    expect(texts.date('1601-01-02')).toContain('1601')
    expect(texts.money(5, 'x$')).toBe('5 x$')
    expect(texts.money(5, null)).toBe('5')
    expect(texts.money(1_234.5, 'USD')).toMatch(/1.?234[.,]50/)
  })
})

test('both languages have the same keys', () => {
  const keys = (value: object): unknown =>
    Object.fromEntries(
      Object.entries(value)
        .map(([key, inner]) => [key, inner !== null && typeof inner === 'object' ? keys(inner) : typeof inner])
        .sort(),
    )
  expect(keys(fr)).toEqual(keys(en))
})

test('the languages differ wherever words are said', () => {
  const [english, french] = [everything(en), everything(fr)]
  const same = Object.keys(english).filter((key) => english[key] === french[key])
  expect(same).toEqual(['causes.budget'])
})

test('typography: no-break spaces, typographic apostrophes, the first of a month, numbers of the locale', () => {
  for (const [key, text] of Object.entries(everything(fr))) {
    const own = text.replace(/\[[^\]]*\]/g, '')
    expect(own, key).not.toMatch(/'| [;?!:»%]|« /)
    expect(own, key).not.toMatch(/\b1 (?=janvier|mai)/)
  }
  expect(fr.date('2026-05-01')).toBe('1er mai 2026')
  expect(fr.date('2026-05-11')).toBe('11 mai 2026')
  expect(fr.task(reason('no_movement', { dealName: "L'eau : a ?" })).body).toContain("L'eau : a ?")
  expect(fr.money(12_000, 'EUR').replace(/\s/g, ' ')).toBe('12 000 €')
  const held = (texts: Texts) => HOLDS.slice(0, 2).map((hold) => texts.hold(hold).replace(/\s/g, ' '))
  expect(held(fr)).toEqual([expect.stringContaining('plus de 15 % :'), expect.stringMatching(/^Plus de 20 000 /)])
  expect(held(en)).toEqual([expect.stringContaining('more than 15%:'), expect.stringMatching(/^More than 20,000 /)])
})

test('what English says', () => {
  expect(en.explanation(reason('no_movement'))).toBe(
    'No movement since 7 April 2026 (reply from the buyer); the limit in stage Demo is 5 working days.',
  )
  expect(en.explanation(reason('close_date_passed'))).toBe(
    'The close date of 1 May 2026 passed more than 5 working days ago. Last movement: reply from the buyer, 7 April 2026.',
  )
  expect(en.completionNote('answered_no', until)).toBe(
    'Completed by unstall on 1 May 2026: the answer is no. Thank you: a clear no is a good answer.',
  )
  expect(en.money(12_000, 'EUR')).toBe('€12,000')
})

test('the backtest speaks of time and money as people do', () => {
  const { longest, flags } = SAYS
  const line = { say: 'longest', with: longest, value: { EUR: 12_000, USD: 5 } } as const
  expect(en.backtest(line)).toBe(
    'No won deal took longer than 137 calendar days from Demo to won. 935 of 1,137 open deals in Demo are older than ' +
      'that, worth €12,000 + US$5.',
  )
  expect(en.backtest({ ...line, with: { ...longest, days: 1, older: 1 }, value: {} })).toBe(
    'No won deal took longer than 1 calendar day from Demo to won. 1 of 1,137 open deals in Demo is older than that.',
  )
  expect(fr.backtest(line).replace(/\s/g, ' ')).toBe(
    'Aucune affaire gagnée n’a mis plus de 137 jours calendaires de l’étape Demo à la signature. Sur 1 137 affaires ' +
      'ouvertes à cette étape, 935 sont au-delà, pour 12 000 € + 5 $US.',
  )
  expect(fr.backtest({ say: 'flags', with: flags }).replace(/\s/g, ' ')).toContain('(7,5 %)')
})

test('names are cut between characters, and are never empty', () => {
  expect(cut('abcdef', 6)).toBe('abcdef')
  expect(cut('abcdefg', 6)).toBe('abcde…')
  expect(cut('aaaa👩‍👩‍👧', 8)).toBe('aaaa…')
  expect(plain('\0\n')).toBe('–')
  expect(plain('a\nb\u202ec')).toBe('a b c')
})
