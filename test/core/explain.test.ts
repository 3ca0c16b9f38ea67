// Reasons and the step-by-step account of one deal, as data; how they read is tested with the texts.
import { describe, expect, test } from 'vitest'
import { type ExplainStep, explainSteps, reasonOf } from '../../src/core/explain.ts'
import { en } from '../../src/texts/en.ts'
import { fr } from '../../src/texts/fr.ts'
import { activity, change, context, known, observed, on, reference, verdict } from './build.ts'

const NOW = on('2026-03-20', '02:00')
const one = known(
  { stageId: 'demo', name: 'Acme', closeDate: '2026-12-31' },
  [
    change('stage', on('2026-01-12'), 'new', 'demo'),
    change('owner', on('2026-01-20', '02:00'), 'bob', 'ann', observed),
    change('closeDate', on('2026-02-02'), '2026-06-30', '2026-12-31', { by: 'automation', source: 'WORKFLOWS' }),
  ],
  [activity('meeting', on('2026-02-03'), null), activity('note', on('2026-02-10'), false)],
)
const { log, verdict: stalled } = verdict(one, NOW)
const steps = explainSteps(one, stalled, log, context())
const of = <S extends ExplainStep['step']>(step: S) => steps.filter((line) => line.step === step)

describe('explain', () => {
  test('the reason names rule, stage, amount and what happened last', () => {
    expect(reasonOf(one, stalled, log, context(), true)).toEqual({
      dealName: 'Acme',
      check: stalled.checks[5],
      stageLabel: 'Demo',
      lastMovement: { on: '2026-02-03', kind: 'meeting' },
      amount: { value: 10_000, currency: 'EUR' },
      pushes: 0,
      chasedBefore: true,
    })
  })

  test('a deal that moves has no reason', () => {
    const moving = verdict(one, on('2026-02-04', '02:00'))
    expect(reasonOf(one, moving.verdict, moving.log, context(), false)).toBeNull()
  })

  test('every entry is told with why it counts or not', () => {
    const entries = steps.flatMap((line) =>
      line.step === 'event' ? [[line.on, line.entry.counts, line.entry.why]] : [],
    )
    expect(entries).toEqual([
      ['2026-01-12', 'strong', null],
      ['2026-01-20', 'no', 'not_movement'],
      ['2026-02-02', 'no', 'automation'],
      ['2026-02-03', 'strong', 'unknown_participants'],
      ['2026-02-10', 'no', 'rep_only'],
    ])
  })

  test('stages and owners go by their names', () => {
    const named = steps.flatMap((line) => (line.step === 'event' ? [[line.entry.from, line.entry.to]] : []))
    expect(named.slice(0, 2)).toEqual([
      ['New', 'Demo'],
      ['Bob', 'Ann'],
    ])
  })

  test('all six rules with number and limit, what clears the flag, and when it is looked at again', () => {
    expect(of('rule')).toHaveLength(6)
    expect(of('clears')).toEqual([{ step: 'clears', rule: 'no_movement' }])
    expect(of('next')).toEqual([{ step: 'next', on: stalled.dueOn }])
  })

  test('what the CRM cannot tell is named', () => {
    expect(of('blind')).toEqual([{ step: 'blind', what: 'unknown_participants' }])
    const tells = { ...reference.tells, replies: false, personFromAutomation: false }
    const poorer = explainSteps(one, stalled, log, context(undefined, { ...reference, tells }))
    expect(poorer.flatMap((line) => (line.step === 'blind' ? [line.what] : []))).toEqual([
      'unknown_participants',
      'personFromAutomation',
      'replies',
    ])
  })

  test('protection and warnings are told', () => {
    const no = known({ own: { decision: 'no' } }, [change('decision', on('2026-02-02'), null, 'no')])
    const result = verdict(no, NOW)
    const told = explainSteps(no, result.verdict, result.log, context())
    expect(told).toContainEqual({ step: 'protection', protection: { kind: 'answered_no' } })
    expect(told.some((line) => line.step === 'warning' && line.warning.kind === 'no_still_open')).toBe(true)
  })

  test('what does not count meanwhile, and earlier verdicts', () => {
    const past = [{ at: NOW, from: 'moving', to: 'stalled', rule: 'no_movement' }] as const
    const told = explainSteps(one, stalled, log, context(), past)
    expect(told).toContainEqual({ step: 'out', amount: 10_000, currency: 'EUR', on: '2026-12-31' })
    expect(told.slice(-4, -2).map((line) => en.step(line))).toEqual([
      'Earlier verdicts',
      '20 March 2026  Moving → Stalled: No movement',
    ])
    const moving = verdict(one, on('2026-02-04', '02:00'))
    const quiet = explainSteps(one, moving.verdict, moving.log, context())
    expect(quiet.some(({ step, ...line }) => step === 'out' || ('of' in line && line.of === 'past'))).toBe(false)
  })

  test('it reads as lines in both languages', () => {
    const english = steps.map((line) => en.step(line))
    expect(english[0]).toBe('Stalled: No movement')
    expect(english).toContain(
      '3 February 2026  meeting with the buyer  counts: the CRM does not say who took part; taken as the buyer  [meeting-1770120000000]',
    )
    expect(english).toContain('No movement: HOLDS  33 working days, limit 15 (3 February 2026)')
    expect(steps.map((line) => fr.step(line))[0]).toBe('À l’arrêt\u00a0: Aucun mouvement')
  })
})
