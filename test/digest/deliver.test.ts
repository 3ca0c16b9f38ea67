// When digests go out, and to whom: over a store whose nights are written by hand, with a sender that notes or fails.
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import type { DigestSettings } from '../../src/core/digests.ts'
import { Settings } from '../../src/core/policy.ts'
import { createDigests, type DigestService } from '../../src/digest/deliver.ts'
import { toText } from '../../src/digest/render.ts'
import { Unanswered } from '../../src/digest/send.ts'
import { NO_SUMMARY } from '../../src/report/summary.ts'
import { lastDue } from '../../src/schedule.ts'
import { ensureConnection, updateConnection } from '../../src/store/connections.ts'
import type { Database } from '../../src/store/db.ts'
import { quarantine, saveKnown } from '../../src/store/deals.ts'
import { digestsSince } from '../../src/store/digests.ts'
import { insertPlan, markSent, settle } from '../../src/store/ledger.ts'
import { failRun, finishRun, openRun, startStep } from '../../src/store/runs.ts'
import { en } from '../../src/texts/en.ts'
import { fr } from '../../src/texts/fr.ts'
import { borrowed } from '../homes.ts'
import { fields, known } from '../store/fixtures.ts'

const DAY = 86_400_000
const HOUR = 3_600_000
/** Monday, 23 November 2026, 03:00 in Paris: an hour after the night was due. */
const MONDAY = Date.parse('2026-11-23T02:00:00Z')
const RULES = { managers: [], operations: ['ops@acme.example'], weekday: 'monday', perPersonPerWeek: 2 } as const

let at: Awaited<ReturnType<typeof borrowed>>
let db: Database['db']
let now = MONDAY
beforeEach(async () => {
  await at?.giveBack()
  at = await borrowed()
  db = at.database.db
  now = MONDAY
  await ensureConnection(db, 'hub', 'hubspot')
  await updateConnection(db, 'hub', { confirmedAt: MONDAY - 10 * DAY })
})
afterAll(() => at.giveBack())

interface Sent {
  readonly to: string
  readonly subject: string
  readonly text: string
}
function digests(plan: Partial<DigestSettings> = {}, more: Partial<DigestService> = {}) {
  const sent: Sent[] = []
  const said: string[] = []
  const say = (_data: object, message: string) => void said.push(message)
  const service: DigestService = {
    ...{ db, texts: en, timezone: 'Europe/Paris', dashboard: null, clock: () => now },
    connections: [{ name: 'hub', system: 'hubspot' }],
    plan: { ...RULES, ...plan },
    lastDue: (until) => lastDue(until, '0 2 * * *', 'Europe/Paris'),
    send: async (to, message) => void sent.push({ to, subject: message.subject, text: toText(message) }),
    log: { info: say, warn: say, error: say },
    ...more,
  }
  return { ...createDigests(service), sent, said, service }
}

/** A night of the connection that ends now. */
async function night(how: { problem?: string; held?: Record<string, number>; refused?: string } = {}) {
  const localDate = new Date(now).toISOString().slice(0, 10)
  const settings = Settings.parse({ timezone: 'Europe/Paris' })
  const opened = await openRun(db, {
    ...{ connection: 'hub', kind: 'night', localDate, now, settings, settingsHash: 'x', createdAt: now },
  })
  const run = 'run' in opened ? await startStep(db, opened.run.id, 'pull') : null
  if (!run) throw new Error('busy')
  if (how.problem) return failRun(db, run, now, how.problem)
  if (how.refused) {
    await saveKnown(db, run.id, [known('1', { name: 'Big deal' })])
    const row = fields(run.id, '1')
    await insertPlan(db, run, [row], { now, week: '2026-W48' })
    await markSent(db, run, [row.key], now)
    await settle(db, run.id, [{ key: row.key, status: 'refused', message: how.refused }], now)
  }
  await finishRun(db, run, now, { ...NO_SUMMARY, figures: { ...NO_SUMMARY.figures, held: how.held ?? {} } })
}
const statuses = async () => (await digestsSince(db, 0)).map(({ status }) => status)

describe('after a night', () => {
  it('says nothing while nothing is wrong', async () => {
    const { tick, sent } = digests()
    await night()
    for (let n = 0; n < 3; n++) await tick()
    expect(sent).toEqual([])
    expect(await statuses()).toEqual(['quiet'])
  })

  it('waits for the end of the night, and says once what is wrong, in the words of the CRM', async () => {
    const { tick, sent } = digests()
    await tick()
    expect(await statuses()).toEqual([])
    await night({ refused: 'FIELD_CUSTOM_VALIDATION_EXCEPTION: an amount is needed' })
    await tick()
    await tick()
    expect(sent).toEqual([
      {
        to: 'ops@acme.example',
        subject: 'unstall needs you: the CRM of hub refused writes',
        text: expect.stringMatching(
          /^New\nhub: writes the CRM refused: 1\. .*runs hub-2026-11-23-1.*\n• Big deal: FIELD_CUSTOM_VALIDATION_EXCEPTION: an amount is needed$/m,
        ),
      },
    ])
  })

  it('the same trouble again is no news; a change, the end, and a week without news are', async () => {
    const { tick, sent } = digests({ perPersonPerWeek: 10 })
    const subjects = async (how: Parameters<typeof night>[0]) => {
      await night(how)
      await tick()
      now += DAY
      return sent.splice(0).map(({ subject }) => subject)
    }
    const failed = (at: string) => ({ problem: `HubSpot does not answer; try again after ${at}.` })
    expect(await subjects(failed('04:12'))).toEqual(['unstall needs you: hub failed'])
    for (let n = 0; n < 6; n++) expect(await subjects(failed(`05:1${n}`))).toEqual([])
    expect(await subjects(failed('04:10'))).toEqual(['unstall: hub failed'])
    expect(await subjects({ problem: 'something else' })).toEqual(['unstall: hub failed'])
    expect(await subjects({ held: { share: 30, budget: 4 } })).toEqual(['unstall needs you: hub held writes back'])
    expect(await subjects({ held: { budget: 4, new_owner: 1 } })).toEqual(['unstall: all is well again'])
    expect(await subjects({})).toEqual([])
  })

  it('knows a night that never began, a connection that is let in no more, and new records that make no sense', async () => {
    const { tick, sent } = digests()
    await night()
    await tick()
    now += DAY + 2 * HOUR
    await tick()
    expect(sent).toEqual([])
    now += 2 * HOUR
    await updateConnection(db, 'hub', { circuit: { state: 'reconnect', since: now, reason: 'HubSpot says 401.' } })
    await quarantine(db, 'hub', [{ deal: '7', problem: 'amount is odd: a lot' }], now)
    await tick()
    expect(sent[0]?.text).toMatch(/the night of 24 November 2026.* did not begin/)
    expect(sent[0]?.text).toMatch(/does not let unstall in any more; .* HubSpot says 401\./)
    expect(sent[0]?.text).toMatch(/hub: records that could not be understood: 1\..*\n• 7: amount is odd: a lot/)
    expect(sent[0]?.subject).toBe('unstall needs you: hub needs re-connecting, hub missed its night, …')
    // No words of a CRM and no names are kept.
    expect(JSON.stringify(await digestsSince(db, 0))).not.toMatch(/odd|401/)
  })

  it('in French, and the terminal says the same', async () => {
    const { tick, sent, nightly } = digests({}, { texts: fr })
    await night({ held: { cap: 3 } })
    const preview = await nightly('ops@acme.example')
    await tick()
    expect(preview && toText(preview)).toBe(sent[0]?.text)
    expect(sent[0]?.text).toMatch(/^Nouveau\nhub\s: écritures retenues par prudence\s: 3 \(plus d’écritures/m)
  })
})

describe('every week', () => {
  it('in the morning of its day or later in the week, once; after the night, never in the middle of it', async () => {
    const { tick } = digests({ operations: [], managers: [{ to: 'vp@acme.example' }] })
    const rows = async () =>
      (await digestsSince(db, 0)).map(({ kind, period, status }) => [kind, period, status].join(' '))
    const at = async (day: number, hour: number) => {
      now = MONDAY - 2 * HOUR + day * DAY + hour * HOUR // midnight in Greenwich, one o'clock in Paris
      await tick()
      return rows()
    }
    await night()
    for (const hour of [2, 5]) expect(await at(0, hour)).toEqual([])
    // Nothing was ever read: there is nothing to say, and that once.
    expect(await at(0, 6)).toEqual(['weekly 2026-W48 quiet'])
    for (const day of [0, 3, 6]) expect(await at(day, 20)).toHaveLength(1)
    // A week in which nobody worked on Monday and Tuesday, and whose night is still to come.
    expect(await at(9, 1.5)).toHaveLength(1)
    expect(await at(9, 8)).toEqual(['weekly 2026-W49 quiet', 'weekly 2026-W48 quiet'])
  })
})

it('a week that cannot be put together keeps no trouble from being told', async () => {
  const odd = {
    to: 'vp@acme.example',
    get teams(): readonly string[] {
      throw new Error('broken')
    },
  }
  const { tick, sent } = digests({ managers: [odd] })
  await night({ problem: 'x' })
  now += 6 * HOUR
  await expect(tick()).rejects.toThrow('broken')
  expect(sent).toMatchObject([{ to: 'ops@acme.example' }])
})

it('what was told is forgotten after 90 days, also where nobody is told any more', async () => {
  await night({ problem: 'x' })
  await digests().tick()
  expect(await statuses()).toEqual(['sent'])
  now += 91 * DAY
  await digests({ operations: [] }).tick()
  expect(await statuses()).toEqual([])
})

describe('at most once', () => {
  it('two processes at the same time, again and again: one message', async () => {
    const [one, two] = [digests(), digests()]
    await night({ problem: 'x' })
    await Promise.all([one.tick(), two.tick(), two.tick(), one.tick()])
    await two.tick()
    expect([...one.sent, ...two.sent]).toHaveLength(1)
  })

  it('a process that dies between sending and noting it: nobody sends it again', async () => {
    const dying = digests({}, { send: () => new Promise(() => {}) })
    await night({ problem: 'x' })
    void dying.tick()
    await expect.poll(statuses).toEqual(['unknown'])
    const next = digests()
    for (now = MONDAY; now < MONDAY + 12 * HOUR; now += HOUR) await next.tick()
    expect(next.sent).toEqual([])
    // It may not have been heard: the next night tells it as new.
    now = MONDAY + DAY
    await night({ problem: 'x' })
    await next.tick()
    expect(next.sent).toHaveLength(1)
  })

  it('sent, and the database away when that should be noted: not sent again', async () => {
    let [away, arrived] = [false, 0]
    const flaky = db.withPlugin({
      transformQuery({ node }) {
        if (!away) return node
        away = false
        throw new Error('the database is away')
      },
      transformResult: async ({ result }) => result,
    })
    const send = async () => {
      arrived += 1
      away = true
    }
    const { tick } = digests({}, { db: flaky, send })
    await night({ problem: 'x' })
    await expect(tick()).rejects.toThrow('the database is away')
    for (; now < MONDAY + 5 * HOUR; now += HOUR) await tick()
    expect(arrived).toBe(1)
    expect(await statuses()).toEqual(['unknown'])
  })

  it('an answer that never comes is no failure', async () => {
    let tries = 0
    const silent = digests({}, { send: async () => Promise.reject(new Unanswered(`try ${++tries}`)) })
    await night({ problem: 'x' })
    for (now = MONDAY; now < MONDAY + 5 * HOUR; now += HOUR) await silent.tick()
    expect(tries).toBe(1)
    expect(silent.said).toEqual([expect.stringMatching(/may have arrived.*try 1/)])
  })

  it('a refusal is tried again with growing pauses, then given up; a night never hears of it', async () => {
    const at: number[] = []
    const refused = digests(
      {},
      {
        send: async () => {
          at.push((now - MONDAY) / 60_000)
          throw new Error('550 no')
        },
      },
    )
    await night({ problem: 'x' })
    for (now = MONDAY; now < MONDAY + 4 * HOUR; now += 60_000) await refused.tick()
    expect(at).toEqual([0, 1, 6, 26, 86])
    expect(await digestsSince(db, 0)).toMatchObject([{ status: 'failed', attempts: 5, problem: '550 no' }])
    expect(refused.said.at(-1)).toMatch(/given up: 550 no/)
  })

  it('what is over by the time it could be sent is not', async () => {
    let away = true
    const noted: string[] = []
    const { tick } = digests(
      {},
      { send: async (_to, { subject }) => (away ? Promise.reject(new Error('away')) : void noted.push(subject)) },
    )
    await quarantine(db, 'hub', [{ deal: '7', problem: 'odd' }], now)
    await night()
    await tick()
    await db.deleteFrom('quarantine').execute()
    away = false
    now += HOUR
    await tick()
    expect(noted).toEqual([])
    expect(await statuses()).toEqual(['quiet'])
  })
})

describe('the budget of a person', () => {
  it('holds what can wait; trouble that begins cannot', async () => {
    const { tick, sent } = digests({ perPersonPerWeek: 1 })
    const told = async (how: Parameters<typeof night>[0]) => {
      await night(how)
      await tick()
      now += DAY
      return sent.splice(0).length
    }
    expect(await told({ problem: 'a' })).toBe(1)
    expect(await told({ problem: 'b' })).toBe(0)
    expect(await told({ held: { cap: 1 } })).toBe(1)
    expect(await told({})).toBe(0)
    expect(await statuses()).toEqual(['held', 'sent', 'held', 'sent'])
    // The next week tells what was held.
    now = MONDAY + 7 * DAY
    expect(await told({})).toBe(1)
  })
})
