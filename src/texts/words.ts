// One language as data, and how it becomes sentences. A template has holes: `{until:date}` is the value `until` shown as
// a date. What is inserted is never read as a template, and our own typography never touches it.
import { DECISION_RULES, type LocalDate } from '../core/deal.ts'
import type { ExplainStep, Reason, Texts } from '../core/explain.ts'
import type { Protection, RuleCheck } from '../core/judge.ts'
import { cut } from '../core/text.ts'
import type { Words } from './en.ts'
import { BODY_LENGTH, FIELD_LENGTH, formats, plain } from './shared.ts'

/** `locale`: of Intl. */
export function textsOf(language: Texts['language'], locale: string, words: Words): Texts {
  const { names, steps, typeset, dated, days, times } = words
  const format = formats(locale)
  const { money } = format
  const date = (on: LocalDate) => dated(format.date(on))
  const shown: Readonly<Record<string, (value: string) => string>> = {
    date,
    days: (value) => days(Number(value)),
    times: (value) => times(Number(value)),
    number: (value) => format.number(Number(value)),
    percent: (value) => format.share(Number(value)),
    calendar: (value) => words.calendarDays(Number(value)),
    are: (value) => words.are(Number(value)),
    tasks: (value) => words.newTasks(Number(value)),
    name: (value) => plain(value),
  }
  /** Fills the holes of a template. A value there is none of is a dash. */
  const say = (template: string, values: Readonly<Record<string, unknown>> = {}): string => {
    let parts = read.get(template)
    if (parts === undefined) {
      parts = typeset(template).split(/\{(\w+)(?::(\w+))?\}/)
      read.set(template, parts)
    }
    let said = parts[0] ?? ''
    for (let at = 1; at < parts.length; at += 3) {
      const value = String(values[parts[at] ?? ''] ?? '–')
      said += (shown[parts[at + 1] ?? '']?.(value) ?? value) + parts[at + 2]
    }
    return said
  }
  /** Templates as text, name of the hole, how it is shown, text … */
  const read = new Map<string, readonly (string | undefined)[]>()

  const last = ({ lastMovement: { on, kind } }: Reason) => say(words.last, { on, movement: names.movements[kind] })

  function passed({ check, stageLabel, lastMovement, pushes }: Reason): string {
    const { rule, value, limit } = check
    const marks = (check.derived ? say(words.derived) : '') + (check.capped ? say(words.capped) : '')
    const second = rule === 'answered_maybe' && (value ?? 0) > 1
    const long = rule === 'close_date_passed' && limit !== 0
    return say(words.passed[second ? 'second_maybe' : long ? 'close_date_long_passed' : rule], {
      ...{ date: check.date, limit, pushes, stage: plain(stageLabel, 50), due: say(words.due, { ...check }) + marks },
      ...{ on: lastMovement.on, movement: names.movements[lastMovement.kind] },
    })
  }

  function draft({ check, chasedBefore, dealName }: Reason): string {
    const name = plain(dealName)
    if (!DECISION_RULES.includes(check.rule)) return say(words.draft.next, { name })
    if (chasedBefore) return say(words.draft.closing, { name })
    if (check.rule === 'yes_not_closed') return say(words.draft.yes, { name })
    const agreed = check.derived || check.date === null ? '' : say(words.draft.agreed, { ...check })
    return say(words.draft.decision, { name, agreed })
  }

  function protection(it: Protection): string {
    if (it.kind === 'excluded') return say(words.excluded[it.what])
    return say(words.protections[it.kind === 'parked' && it.capped ? 'parked_capped' : it.kind], it)
  }

  function event({ on, entry }: Extract<ExplainStep, { step: 'event' }>): ReturnType<Texts['event']> {
    const { kind, counts, why, field, from, to, source } = entry
    const edited = kind === 'field_edited' && field !== null
    const what = edited ? say(steps.edited, { field: words.fields[field] ?? field }) : names.movements[kind]
    const value = (text: string | null) =>
      text === null ? steps.empty : /^\d{4}-\d{2}-\d{2}$/.test(text) ? date(text) : plain(text, 60)
    const values = field === null ? '' : ` (${value(from)} → ${value(to)})`
    const because = why === null ? '' : say(steps.because, { why: say(words.why[why]) })
    const counted = `${words.counts[counts]}${because}`
    return { on: date(on), what: `${what}${values}`, counts: counted, source: plain(source, 40) }
  }

  function check({ value, limit, unit, date: on, derived, capped }: RuleCheck): ReturnType<Texts['check']> {
    if (value === null || limit === null) return null
    const notes = [on && date(on), derived && steps.derived, capped && steps.capped].filter(Boolean).join(', ')
    const measured = unit === 'working_days' ? days(value) : String(value)
    return { measured, limit: String(limit), notes }
  }

  function rule({ check: one }: Extract<ExplainStep, { step: 'rule' }>): string {
    const rule = names.rules[one.rule]
    const found = check(one)
    if (found === null) return say(steps.not_applicable, { rule })
    const { measured: value, limit, notes } = found
    const holds = one.holds ? steps.holds : steps.holds_not
    return say(steps.rule, { rule, holds, value, limit }) + (notes && ` (${notes})`)
  }

  const eventLine = ({ on, what, counts, source }: ReturnType<Texts['event']>) =>
    `${on}  ${what}  ${counts}  [${source}]`

  function step(one: ExplainStep): string {
    switch (one.step) {
      case 'verdict': {
        const state = names.states[one.state]
        return one.rule === null ? state : say(steps.verdict, { state, rule: names.rules[one.rule] })
      }
      case 'clears':
        return say(steps.clears, { what: say(words.clears[one.rule]) })
      case 'out': {
        const sum = money(one.amount, one.currency)
        return one.on === null ? say(steps.out, { sum }) : say(steps.out_dated, { sum, on: one.on })
      }
      case 'past': {
        const [from, to] = [names.states[one.from], names.states[one.to]]
        const because = one.rule === null ? '' : say(steps.because, { why: names.rules[one.rule] })
        return `${date(one.on)}  ${from} → ${to}${because}`
      }
      case 'heading':
        return say(words.headings[one.of])
      case 'created':
        return say(one.imported ? steps.imported : steps.created, one)
      case 'event':
        return eventLine(event(one))
      case 'clock':
        return say(steps.clock, { ...one, movement: names.movements[one.kind] })
      case 'rule':
        return rule(one)
      case 'protection':
        return protection(one.protection)
      case 'decision': {
        const { due, derived, answer, answerIsOfEarlierDate } = one.decision
        const set = due === null ? steps.no_date : date(due) + (derived ? say(words.derived) : '')
        return say(steps.decision, {
          set,
          answer: words.answers[answerIsOfEarlierDate ? 'of_earlier_date' : (answer ?? 'none')],
        })
      }
      case 'warning':
        return say(words.warnings[one.warning.kind], one.warning)
      case 'blind':
        return say(words.blind[one.what])
      case 'next':
        return say(one.on === null ? steps.never : steps.next, one)
    }
  }

  return {
    ...format,
    ...{ language, names, date, step, event, check },
    withTemplates: ({ subject, task, drafts, completion: completed } = {}) =>
      textsOf(language, locale, {
        ...words,
        ...(subject && { subject }),
        ...(task && { task: [task] }),
        ...(completed && { completed }),
        draft: { ...words.draft, ...drafts },
      }),
    backtest({ say: key, with: values, value = {} }) {
      const worth = Object.keys(value).length > 0 ? say(words.worth, { value: format.moneys(value) }) : ''
      return say(words.backtest[key], { ...values, worth })
    },
    instant: (at, timezone) => dated(format.instant(at, timezone)),
    explanation(reason) {
      const before = reason.check.rule === 'no_movement' ? '' : ` ${say(words.explained, { last: last(reason) })}`
      return cut(`${passed(reason)}${before}`, FIELD_LENGTH)
    },
    task(reason) {
      const { dealName, amount, check, stageLabel, lastMovement } = reason
      const worth = amount === null ? '' : ` (${money(amount.value, amount.currency)})`
      const values = {
        ...{ name: plain(dealName), worth, last: last(reason), passed: passed(reason), draft: draft(reason) },
        ...{ clears: say(words.clears[check.rule]), causes: Object.values(names.causes).join(', ') },
        ...{ stage: plain(stageLabel, 50), on: lastMovement.on },
      }
      const body = words.task.map((part) => say(part, values)).join('\n\n')
      return { subject: cut(say(words.subject, values), FIELD_LENGTH), body: cut(body, BODY_LENGTH) }
    },
    completionNote: (cause, on) => say(words.completed, { on, why: say(words.completions[cause]) }),
    hold: (hold) => say(words.holds[hold.brake], hold),
  }
}
