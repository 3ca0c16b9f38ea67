// The state table: which state follows which, when a stall starts, what stays remembered.
import { describe, expect, test } from 'vitest'
import type { State } from '../../src/core/deal.ts'
import type { Verdict } from '../../src/core/judge.ts'
import { advance, goneStanding, memoryOf, NEW_STANDING, type Standing, shown, taskKey } from '../../src/core/stall.ts'
import { change, known, on } from './build.ts'
import { says } from './nights.ts'

const T0 = on('2026-11-02', '02:00')
const T1 = on('2026-11-03', '02:00')
const input = (state: Verdict['state'], now = T1, more = {}) => ({
  known: known(),
  verdict: says(state, now),
  ledger: [],
  now,
  dead: false,
  ...more,
})

function standing(state: State): Standing {
  const fresh = NEW_STANDING(state, T0)
  if (state !== 'stalled') return fresh
  const stall = { startedAt: T0, rule: 'no_movement', taskKey: taskKey(known().ref.id, T0), dead: false } as const
  return { ...fresh, stall }
}

describe('the state table', () => {
  const states = ['moving', 'stalled', 'parked', 'answered_no', 'closed'] as const
  for (const from of states)
    for (const to of states)
      test(`${from} -> ${to}`, () => {
        const was = standing(from)
        const { standing: next, transitions, opened } = advance(was, input(to))
        expect(next.state).toBe(to)
        expect(next.stall !== null).toBe(to === 'stalled')
        expect(next.since).toBe(from === to ? T0 : T1)
        expect(transitions.map((one) => [one.from, one.to])).toEqual(from === to ? [] : [[from, to]])
        expect(opened).toBe(to === 'stalled' && from !== 'stalled')
        if (from === to) expect(next).toBe(was)
      })

  test('any state -> gone, once', () => {
    const over = goneStanding(known().ref, standing('stalled'), T1)
    expect(over.standing).toEqual(NEW_STANDING('gone', T1))
    expect(over.transitions).toMatchObject([{ from: 'stalled', to: 'gone' }])
    expect(goneStanding(known().ref, over.standing, T1 + 1).transitions).toEqual([])
  })

  test('a transition keeps what it rests on', () => {
    const [transition] = advance(null, input('stalled')).transitions
    expect(transition).toMatchObject({
      from: 'moving',
      to: 'stalled',
      at: T1,
      rule: 'no_movement',
      evidence: { idleDays: 20, value: 20, limit: 15, lastMovementKind: 'stage_forward' },
    })
  })
})

describe('the start of a stall', () => {
  test('is the now of the run that opened it and stays', () => {
    const first = advance(null, input('stalled', T0)).standing
    const later = advance(first, input('stalled', T1))
    expect(later.standing.stall?.startedAt).toBe(T0)
    expect(later.transitions).toEqual([])
  })
  test('another reason is the same stall', () => {
    const was = standing('stalled')
    const verdict = says('stalled', T1, { rule: 'close_date_passed' })
    const { standing: next, transitions } = advance(was, { ...input('stalled'), verdict })
    expect(next.stall).toEqual({ ...was.stall, rule: 'close_date_passed' })
    expect(transitions).toEqual([])
  })
  test('a flag the CRM shows and this database does not know is adopted: same start, same task key', () => {
    const own = { stalled: true, state: 'stalled', since: T0, reason: 'no_movement' } as const
    const adopted = advance(null, input('stalled', T1, { known: known({ own }) }))
    expect(adopted.standing.stall).toEqual(standing('stalled').stall)
    expect(adopted.opened).toBe(false)
    const backup = advance(NEW_STANDING('moving', T0 - 1), input('stalled', T1, { known: known({ own }) }))
    expect(backup.standing.stall?.startedAt).toBe(T0)
  })
  test.each([
    ['an older episode whose lifting was refused', T0, NEW_STANDING('moving', T0 + 1)],
    ['a date in the future', T1 + 1, null],
    ['a copied deal: flagged before it was created', on('2026-01-01'), null],
  ])('not adopted: %s', (_, since, was) => {
    const own = { stalled: true, since } as const
    expect(advance(was, input('stalled', T1, { known: known({ own }) })).standing.stall?.startedAt).toBe(T1)
  })
  test('a stalled verdict without a rule is a bug', () => {
    const verdict = { ...says('stalled', T1), rule: null }
    expect(() => advance(null, { ...input('stalled'), verdict })).toThrow('without a rule')
  })
})

describe('what people did', () => {
  const flagged = {
    key: 'r1.d1.flag',
    deal: known().ref,
    lockGroup: null,
    group: 'flag',
    cause: 'flagged',
    rule: 'no_movement',
    hold: null,
    undoes: null,
    kind: 'fields',
    before: { stalled: false },
    after: { stalled: true },
    run: 'r1',
    plannedAt: T0,
    sentAt: T0,
    settledAt: T0,
    remote: null,
    message: null,
  } as const
  const { before, after, ...task } = flagged
  const ticked = { ...task, kind: 'complete-task', taskKey: 't', task: '1', bodyBefore: '', body: '' } as const
  const cleared = (status: 'done' | 'refused' | 'undone', modifiedAt = T0 + 5000) =>
    input('stalled', T1, { known: known({ modifiedAt }), ledger: [{ ...flagged, status }] })

  test.each([
    ['nothing was sent: it has not begun', [], {}, null],
    ['only a task waits for its turn: it has not begun', ['held'], {}, null],
    ['the flag was refused', ['refused'], {}, T0],
    ['the CRM shows it', [], { stalled: true, since: T0 }, T0],
    ['the CRM showed it, and somebody cleared the flag', [], { stalled: false, since: T0 + 300 }, T0],
  ] as const)('a stall of which %s', (_, statuses, own, start) => {
    const ledger = statuses.map((status) => ({ ...flagged, status }))
    const then = shown(standing('stalled'), known({ own }), ledger)
    expect(then?.stall?.startedAt ?? null).toBe(start)
    const [stalled, moving] = (['stalled', 'moving'] as const).map((state) => advance(then, input(state, T1)))
    expect(stalled?.standing.stall?.startedAt).toBe(start ?? T1)
    expect(moving?.transitions).toMatchObject([{ from: 'stalled', to: 'moving' }])
  })
  test.each([
    ['was never sent: it has not ended', 'done', [], T0],
    ['was never sent, of a task somebody had ticked off', 'done', ['left'], T0],
    ['was refused', 'done', ['refused'], null],
    ['was sent, and the flag is older than this database', 'dropped', [], null],
  ] as const)('a flag whose lifting %s', (_, status, lifted, start) => {
    const own = { stalled: true, since: T0, reason: 'no_movement' } as const
    const ledger = [
      { ...flagged, status },
      ...lifted.map((one) => ({ ...(one === 'left' ? ticked : flagged), plannedAt: T1, status: one })),
    ]
    const was = { ...standing('parked'), since: T1 }
    expect(shown(was, known({ own }), ledger)?.stall ?? null).toEqual(start && standing('stalled').stall)
  })
  test('a flag they cleared ends the stall and is remembered', () => {
    const { standing: next, dismissed } = advance(standing('stalled'), cleared('done'))
    expect(dismissed).toBe(true)
    expect(next).toMatchObject({ state: 'moving', stall: null, dismissedAt: T1 })
    expect(memoryOf(next)).toEqual({ stalledSince: null, rule: null, dismissedAt: T1 })
  })
  test('the next stall forgets that the last one was cleared', () => {
    const was: Standing = { ...NEW_STANDING('moving', T0), dismissedAt: T0 }
    expect(advance(was, input('moving')).standing.dismissedAt).toBe(T0)
    expect(advance(was, input('stalled')).standing.dismissedAt).toBeNull()
  })
  test('a flag that never arrived, or that a lagging index does not show yet, was not cleared by anybody', () => {
    expect(advance(standing('stalled'), cleared('refused')).dismissed).toBe(false)
    expect(advance(standing('stalled'), cleared('done', T0 - 1)).dismissed).toBe(false)
  })
  test('nor one that a workflow cleared', () => {
    const changes = [change('stalled', T0 + 3000, 'true', 'false', { by: 'automation' })]
    const at = input('stalled', T1, {
      known: known({ modifiedAt: T0 + 5000 }, changes),
      ledger: [{ ...flagged, status: 'done' }],
    })
    expect(advance(standing('stalled'), at).dismissed).toBe(false)
  })
  test('an undone stall is final until it would have ended, or until asked for again', () => {
    const undone: Standing = { ...NEW_STANDING('moving', T0), undone: { state: 'stalled', stall: T0 } }
    expect(memoryOf(undone).stalledSince).toBe(T0)
    expect(advance(undone, input('stalled')).standing).toBe(undone)
    expect(advance(undone, input('moving')).standing.undone).toBeNull()
    expect(advance(undone, input('parked')).standing).toMatchObject({ state: 'parked', undone: null })
    expect(advance(undone, input('stalled', T1, { again: true })).standing).toMatchObject({
      state: 'stalled',
      stall: { startedAt: T1 },
      undone: null,
    })
  })
  test('an undone parking is final as well', () => {
    const undone: Standing = { ...NEW_STANDING('moving', T0), undone: { state: 'parked', stall: null } }
    expect(memoryOf(undone).stalledSince).toBeNull()
    expect(advance(undone, input('parked')).standing).toBe(undone)
    expect(advance(undone, input('stalled')).standing).toMatchObject({ state: 'stalled', undone: null })
  })
})

describe('task key', () => {
  test('readable, safe in SOQL and HubSpot, at most 64 characters, whatever the id', () => {
    for (const id of ['1', '006Qy00000AbCdEIAV', '9'.repeat(80), "o'brien; drop"])
      expect(taskKey(id, T0)).toMatch(/^u-[\w-]{5,62}$/)
    expect(taskKey('42', T0)).toContain('u-42-')
  })
  test('the same for one stall even where the CRM dropped the milliseconds, another for every other', () => {
    expect(taskKey('006Qy00000AbCdE', T0 + 789)).toBe(taskKey('006Qy00000AbCdE', T0))
    const keys = new Set<string>()
    for (let id = 0; id < 9000; id++) for (const at of [T0, T0 + 1000, T1]) keys.add(taskKey(String(id), at))
    for (const id of ['006Qy00000AbCdE', '006Qy00000abcde']) keys.add(taskKey(id, T0))
    expect(keys.size).toBe(9000 * 3 + 2)
  })
})
