// What every connector must do: the port's contract, run against a lookalike CRM over real HTTP. A connector's own
// conformance.test.ts starts its sandbox and calls `conformance`. What a CRM cannot do is told by its capabilities.
import { createServer } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type {
  Connector,
  ConnectorOptions,
  Cursor,
  Gate,
  Page,
  SetupStep,
  Write,
  WriteOutcome,
} from '../src/connector.ts'
import type { Change, Deal, DealId, Evidence, FieldValues } from '../src/core/deal.ts'
import { Fatal, RetryLater } from '../src/errors.ts'
import { FAULTS } from '../src/sandbox/control.ts'

/** One sandbox and how to speak of it. At least 120 deals, most of them open, at least two pipelines. */
export interface Harness {
  /** Of the sandbox, for the /__sandbox calls. */
  readonly origin: string
  /** A new connector on the sandbox with a valid credential. `baseUrl` only where a test replaces it. */
  connect(options: Omit<ConnectorOptions, 'baseUrl' | 'credential'> & { readonly baseUrl?: string }): Connector
  /** A line of /__sandbox/state as plain fields by the CRM's names. */
  fields(line: Record<string, unknown>): Record<string, unknown>
  /** The CRM's names in that state. */
  readonly names: {
    readonly id: string
    readonly amount: string
    readonly closeDate: string
    readonly stalled: string
    readonly explanation: string
    readonly category: string
    readonly taskKey: string
    readonly taskBody: string
  }
  /** Where faults strike: parts of request paths. */
  readonly paths: Readonly<Record<'updateDeals' | 'createTasks' | 'readDeals' | 'search' | 'findTasks', string>> & {
    /** Null: there is no token endpoint. */
    readonly signIn: string | null
  }
  /** The credential gets a new token by itself when one is revoked. */
  readonly renews: boolean
  /** Makes a text field of our flag's name, where there is none, and lets us see it. */
  flagAsText(): Promise<void>
  stop(): Promise<void>
}

type Line = Record<string, unknown> & { readonly kind: string }
const never = new AbortController().signal

/** No limits: pace is the gate's own test. Pauses are remembered. */
export function openGate(): Gate & { readonly pauses: number[] } {
  const pauses: number[] = []
  return {
    pauses,
    wait: async (signal) => {
      signal.throwIfAborted()
      return () => {}
    },
    observe: (seen) => {
      if (seen.pauseMs !== undefined) pauses.push(seen.pauseMs)
    },
    left: () => Number.POSITIVE_INFINITY,
  }
}

export function conformance(name: string, start: () => Promise<Harness>): void {
  describe(`${name}: the contract of a connector`, () => {
    let harness: Harness
    let connector: Connector
    let slept: number[]

    const control = async (path: string, body?: unknown) => {
      const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
      const answer = await fetch(`${harness.origin}/__sandbox/${path}`, {
        ...init,
        headers: { 'content-type': 'application/json' },
      })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`/__sandbox/${path}: ${answer.status} ${text}`)
      return { text, now: Date.parse(answer.headers.get('date') ?? '') }
    }
    const lines = async (path: string): Promise<Line[]> =>
      (await control(path)).text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    const act = (body: Record<string, unknown>) => control('act', body)
    const faults = (...list: Record<string, unknown>[]) => control('faults', list)
    const now = async () => (await control('calls')).now
    const journal = async () =>
      (await lines('journal')).filter((line) => !String(line.endpoint).includes('/__sandbox/'))
    const state = async (kind: string) =>
      new Map(
        (await lines('state'))
          .filter((line) => line.kind === kind)
          .map((line) => [String(line[harness.names.id]), harness.fields(line)]),
      )

    const connect = (over: Partial<ConnectorOptions> = {}) =>
      harness.connect({
        gate: openGate(),
        clock: Date.now,
        sleep: async (ms, signal) => {
          signal.throwIfAborted()
          slept.push(ms)
        },
        timezone: 'UTC',
        timeoutMs: 700,
        ...over,
      })

    beforeAll(async () => {
      harness = await start()
    })
    afterAll(async () => {
      await harness.stop()
    })
    /** A fresh sandbox with our fields, and a connector that knows it. */
    beforeEach(async () => {
      slept = []
      await control('reset', {})
      connector = connect()
      await collect(connector.setup(never))
      await connector.reference(never)
      return () => connector.close()
    })

    async function pull(since: Cursor | null, from = connector) {
      const pages = await collect(from.pull(since, await now(), never))
      return summarise(pages)
    }
    /** Open deals, and somewhere to move each. */
    async function openDeals(count: number) {
      const { deals } = await pull(null)
      const { pipelines } = await connector.reference(never)
      const found = [...deals.values()].flatMap((deal) => {
        const stages = pipelines.find((pipeline) => pipeline.id === deal.pipelineId)?.stages ?? []
        const order = stages.find((stage) => stage.id === deal.stageId)?.order ?? -1
        const next = stages.find((stage) => stage.outcome === 'open' && stage.order > order)
        return deal.outcome === 'open' && next && deal.ownerId !== null ? [{ deal, next: next.id }] : []
      })
      expect(found.length).toBeGreaterThanOrEqual(count)
      return found.slice(0, count)
    }
    async function oneDeal() {
      const [one] = await openDeals(1)
      if (!one) throw new Error('no open deal')
      return one
    }
    async function write(writes: readonly Write[], through = connector) {
      const outcomes = new Map<string, WriteOutcome>()
      let thrown: unknown = null
      try {
        for await (const outcome of through.write(writes, never)) {
          expect(outcomes.has(outcome.key), `one outcome for ${outcome.key}`).toBe(false)
          expect(
            writes.some((write) => write.key === outcome.key),
            `${outcome.key} was asked for`,
          ).toBe(true)
          outcomes.set(outcome.key, outcome)
        }
      } catch (error) {
        thrown = error
      }
      return { outcomes, thrown, results: writes.map((write) => outcomes.get(write.key)?.result ?? 'unknown') }
    }
    const fieldsOf = (deal: DealId, after: FieldValues, key = `run.${deal}.flag`): Write => ({
      kind: 'fields',
      key,
      deal,
      lockGroup: null,
      after,
    })
    const taskOf = (deal: Deal, extra: Partial<Extract<Write, { kind: 'create-task' }>> = {}): Write => ({
      kind: 'create-task',
      key: `run.${deal.id}.task`,
      deal: deal.id,
      lockGroup: null,
      taskKey: `key-${deal.id}`,
      owner: deal.ownerId ?? '',
      subject: 'Ask for a decision',
      body: 'First line <b>not bold</b> & "quotes"\n\nThird line',
      due: '2026-12-04',
      ...extra,
    })
    const keyOf = (deal: DealId, id: string | null = null) => new Map([[`key-${deal}`, { deal, id }]])
    const tasks = async (): Promise<unknown[]> =>
      [...(await state('task')).values()].map((task) => task[harness.names.taskKey]).filter(Boolean)

    describe('check and setup', () => {
      test('check lists what is missing and writes nothing; setup creates it, once', async () => {
        await control('reset', {})
        const fresh = connect()
        const before = await fresh.check(never)
        expect(before.steps.length).toBeGreaterThan(10)
        expect(before.steps.every((step) => step.what !== '')).toBe(true)
        expect(before.steps.some((step) => step.action === 'create')).toBe(true)
        expect(await journal()).toEqual([])

        const made = await collect(fresh.setup(never))
        expect(made.map((step) => step.id).toSorted()).toEqual(before.steps.map((step) => step.id).toSorted())
        expect(made.filter((step) => step.action === 'conflict')).toEqual([])
        const written = (await journal()).length
        expect(written).toBeGreaterThan(0)

        const again: SetupStep[] = await collect(fresh.setup(never))
        expect(again.filter((step) => step.action !== 'present')).toEqual([])
        expect((await journal()).length).toBe(written)
        const after = await fresh.check(never)
        expect(after.steps.filter((step) => step.action !== 'present')).toEqual([])
        expect(after.findings.filter((finding) => finding.level === 'problem')).toEqual([])
        for (const finding of after.findings)
          expect(finding.level === 'ok' || (finding.todo ?? finding.what) !== '').toBe(true)
      })

      test('removal takes away all that setup made and nothing else, also after half of it, and says what is borrowed', async () => {
        await control('reset', {})
        const deals = [...(await state('deal')).values()]
        const fresh = connect()
        expect(await fresh.removal(never)).toMatchObject({ steps: [], borrowed: 0 })
        await collect(fresh.setup(never))
        const made = (await fresh.check(never)).steps.map(({ id }) => id)
        const [id = ''] = (await state('deal')).keys()
        expect((await write([fieldsOf(id, { categoryBefore: 'theirs' })], fresh)).results).toEqual(['done'])
        const written = (await journal()).length
        const whole = await fresh.removal(never)
        expect(whole.borrowed).toBe(1)
        const ids = whole.steps.map((step) => step.id)
        // Who has a permission set loses it with the set.
        expect(made.filter((one) => one !== 'assignment' && !ids.includes(one))).toEqual([])
        expect((await journal()).length).toBe(written)

        const half = whole.carryOut()[Symbol.asyncIterator]()
        for (const expected of ids.slice(0, 6)) expect((await half.next()).value).toMatchObject({ id: expected })
        const rest = await fresh.removal(never)
        expect(rest.steps.map((step) => step.id)).toEqual(ids.slice(6))
        expect(await collect(rest.carryOut())).toEqual(rest.steps)
        expect((await fresh.removal(never)).steps).toEqual([])
        const { steps } = await fresh.check(never)
        expect(steps.filter(({ action }) => action !== 'create')).toEqual([])
        expect([...(await state('field')).values()]).toEqual([])
        const plain = [...(await state('deal')).values()]
        expect(plain.map((deal) => deal[harness.names.amount])).toEqual(deals.map((deal) => deal[harness.names.amount]))
        await collect(fresh.setup(never))
      })

      test('what bears our name and is something else is left', async () => {
        await act({ act: 'drop-field', field: harness.names.stalled })
        await harness.flagAsText()
        const { steps, carryOut } = await connect().removal(never)
        expect(steps.filter((step) => step.id.endsWith(`.${harness.names.stalled}`))).toEqual([])
        expect((await collect(carryOut())).filter(({ action }) => action === 'conflict')).toEqual([])
        const left = (await lines('state')).flatMap((line) => (line.kind === 'field' ? [line.name] : []))
        expect(left).toEqual([harness.names.stalled])
        await control('reset', {})
        await collect(connect().setup(never))
      })

      test('what the CRM cannot tell is said by check', async () => {
        const { tells } = await connector.reference(never)
        const { findings } = await connector.check(never)
        const blind = Object.values(tells).filter((told) => !told).length
        expect(findings.filter((finding) => finding.level === 'warn').length).toBeGreaterThanOrEqual(Math.min(blind, 1))
      })
    })

    test('reference: pipelines with outcomes, owners, forecast categories', async () => {
      const reference = await connector.reference(never)
      expect(reference.pipelines.length).toBeGreaterThanOrEqual(1)
      for (const pipeline of reference.pipelines) {
        expect(new Set(pipeline.stages.map((stage) => stage.outcome))).toEqual(new Set(['open', 'won', 'lost']))
        expect(pipeline.stages.map((stage) => stage.order)).toEqual(pipeline.stages.map((_, index) => index))
      }
      expect(reference.owners.some((owner) => owner.active && owner.email !== null)).toBe(true)
      expect(reference.omitted).not.toBeNull()
      expect(reference.currency).toMatch(/^[A-Z]{3}$/)
      expect(['unique', 'lookup']).toContain(connector.can.taskKey)
    })

    describe('pull', () => {
      test('the first brings every deal once, with history, in pages whose cursors are small', async () => {
        const ids = new Set((await state('deal')).keys())
        const { deals, pages, evidence, unreadable } = await pull(null)
        const times = pages.flatMap((page) => page.deals).length
        expect(times).toBe(deals.size)
        expect([...deals.keys()].filter((id) => !ids.has(id))).toEqual([])
        const open = [...deals.values()].filter((deal) => deal.outcome === 'open')
        expect(open.length).toBeGreaterThan(50)
        expect(unreadable).toEqual([])
        for (const page of pages) expect(page.cursor.length).toBeLessThan(8000)
        expect(pages.at(-1)?.read).toBeGreaterThanOrEqual(deals.size)
        const { tells } = await connector.reference(never)
        if (tells.history) expect(evidence.filter((one) => one.changes.length > 0).length).toBeGreaterThan(0)
        for (const deal of deals.values()) {
          expect(deal.url).toMatch(/^https?:\/\//)
          expect(deal.closeDate ?? '2026-01-01').toMatch(/^\d{4}-\d{2}-\d{2}$/)
        }
      })

      test('a quiet pull afterwards brings nothing that is not overlap', async () => {
        const first = await pull(null)
        const second = await pull(first.cursor)
        expect(second.gone).toEqual([])
        for (const deal of second.deals.values()) expect(first.deals.get(deal.id)).toEqual(deal)
      })

      test('interrupted after any page it goes on without a gap', async () => {
        const whole = await pull(null)
        for (let stop = 1; stop <= whole.pages.length; stop++) {
          const seen = new Set<DealId>()
          let cursor: Cursor | null = null
          let count = 0
          for await (const page of connect().pull(null, await now(), never)) {
            for (const deal of page.deals) seen.add(deal.id)
            cursor = page.cursor
            if (++count === stop) break
          }
          const rest = await pull(cursor)
          for (const id of rest.deals.keys()) seen.add(id)
          expect([...whole.deals.keys()].filter((id) => !seen.has(id))).toEqual([])
        }
      })

      test.each(['the first sync', 'a later pull'])(
        '%s while people edit and delete: the end is what the CRM holds',
        async (which) => {
          const first = await pull(null)
          let cursor: Cursor | null = null
          if (which === 'a later pull') {
            cursor = first.cursor
            for (const id of first.deals.keys())
              await act({ act: 'set', id, field: harness.names.amount, value: 1, by: 'integration' })
          }
          const ids = [...(await state('deal')).keys()]
          const held = new Map(cursor === null ? [] : first.deals)
          const take = ({ deals, gone }: Page) => {
            for (const deal of deals) held.set(deal.id, deal)
            for (const id of gone) held.delete(id)
          }
          let n = 0
          for await (const page of connector.pull(cursor, await now(), never)) {
            take(page)
            cursor = page.cursor
            // From both ends: what has been read, and what is still to come.
            for (const id of [ids[n], ids.at(-1 - n)]) {
              await act({ act: 'set', id, field: harness.names.amount, value: 1000 + n, by: 'person' })
              await act({ act: 'delete', id: id === ids[n] ? ids[n + 40] : ids.at(-41 - n) })
            }
            n += 1
          }
          expect(n).toBeGreaterThan(1)
          const last = await pull(cursor)
          for (const page of last.pages) take(page)
          // What is deleted shows at once or in the weekly sweep.
          const live = new Set((await collect(connector.census(null, never))).flatMap(({ ids }) => ids))
          for (const id of held.keys()) if (!live.has(id)) held.delete(id)
          const there = await state('deal')
          expect([...held.keys()].filter((id) => !there.has(id))).toEqual([])
          const wrong = [...held.values()].filter(({ id, amount }) => {
            const raw = there.get(id)?.[harness.names.amount]
            return (raw === undefined || raw === null || raw === '' ? null : Number(raw)) !== amount
          })
          expect(wrong.map(({ id, amount }) => [id, amount])).toEqual([])
          expect([...first.deals.keys()].filter((id) => there.has(id) && !held.has(id))).toEqual([])
        },
      )

      test('brings what changed since, with who did it', async () => {
        const [byPerson, byFlow, priced, pushed] = await openDeals(4)
        if (!byPerson || !byFlow || !priced || !pushed) throw new Error('four deals')
        const { cursor } = await pull(null)
        await act({ act: 'move-stage', id: byPerson.deal.id, to: byPerson.next, by: 'person' })
        await act({ act: 'move-stage', id: byFlow.deal.id, to: byFlow.next, by: 'workflow' })
        await act({ act: 'set', id: priced.deal.id, field: harness.names.amount, value: 123456, by: 'person' })
        await act({ act: 'set', id: pushed.deal.id, field: harness.names.closeDate, value: '2027-03-31', by: 'person' })
        const { deals, evidence } = await pull(cursor)
        const { tells } = await connector.reference(never)

        expect(deals.get(byPerson.deal.id)?.stageId).toBe(byPerson.next)
        expect(deals.get(priced.deal.id)?.amount).toBe(123456)
        expect(deals.get(pushed.deal.id)?.closeDate).toBe('2027-03-31')
        const change = (deal: DealId, field: Change['field'], to: string) =>
          evidence
            .filter((one) => one.deal === deal)
            .flatMap((one) => one.changes)
            .findLast((c) => c.field === field && c.to === to)
        if (tells.history) {
          expect(change(byPerson.deal.id, 'stage', byPerson.next)).toMatchObject({
            by: 'person',
            from: byPerson.deal.stageId,
          })
          expect(change(priced.deal.id, 'amount', '123456')).toMatchObject({ by: 'person' })
          expect(change(pushed.deal.id, 'closeDate', '2027-03-31')).toMatchObject({ by: 'person' })
        }
        if (tells.personFromAutomation)
          expect(change(byFlow.deal.id, 'stage', byFlow.next)).toMatchObject({ by: 'automation' })
      })

      test('brings the buyer: replies, meetings held, a meeting booked; the same event has the same id', async () => {
        const [replied, met, booked] = await openDeals(3)
        if (!replied || !met || !booked) throw new Error('three deals')
        const { cursor } = await pull(null)
        const at = await now()
        await act({ act: 'buyer-reply', id: replied.deal.id })
        await act({ act: 'meeting', id: met.deal.id, held: true, outside: true })
        await act({
          act: 'meeting',
          id: booked.deal.id,
          held: false,
          outside: true,
          at: new Date(at + 3 * 86_400_000).toISOString(),
        })
        const one = await pull(cursor)
        const { tells } = await connector.reference(never)
        const of = (found: readonly Evidence[], deal: DealId, kind: string) =>
          found
            .filter((e) => e.deal === deal)
            .flatMap((e) => e.activities)
            .filter((a) => a.kind === kind && a.at >= at - 2000)
        if (tells.replies) expect(of(one.evidence, replied.deal.id, 'reply').length).toBeGreaterThan(0)
        expect(of(one.evidence, met.deal.id, 'meeting').map((a) => a.outside)).toContain(
          tells.participants ? true : null,
        )
        expect(Math.abs((one.deals.get(booked.deal.id)?.meeting?.at ?? 0) - at - 3 * 86_400_000)).toBeLessThan(5000)
        const two = await pull(cursor)
        const ids = (found: typeof one) =>
          new Set(found.evidence.flatMap((e) => e.activities.map((a) => `${e.deal} ${a.id}`)))
        expect(ids(two)).toEqual(ids(one))
      })

      test('our own task and flag are not activity', async () => {
        const { deal } = await oneDeal()
        const { cursor } = await pull(null)
        const made = await write([fieldsOf(deal.id, { stalled: true, state: 'stalled' }), taskOf(deal)])
        expect(made.results).toEqual(['done', 'done'])
        const task = made.outcomes.get(`run.${deal.id}.task`)
        if (task?.result !== 'done' || task.remote === undefined) throw new Error('no task id')
        const before = await pull(cursor)
        await act({ act: 'complete-task', id: task.remote, by: 'person' })
        const after = await pull(cursor)
        const activities = (found: typeof after) =>
          found.evidence.filter((e) => e.deal === deal.id).flatMap((e) => e.activities)
        expect(activities(after)).toEqual(activities(before))
        expect(
          activities(after).filter((activity) => activity.at >= deal.modifiedAt && activity.outside !== false),
        ).toEqual([])
        expect(after.deals.get(deal.id)?.meeting ?? null).toEqual(deal.meeting)
      })
    })

    describe('census and read', () => {
      test('census lists every live id once, from any id on; a deleted deal is missing there and gone for read', async () => {
        const { deal } = await oneDeal()
        await act({ act: 'delete', id: deal.id })
        const live = [...(await state('deal')).keys()].toSorted((a, b) => a.length - b.length || (a < b ? -1 : 1))
        const half = live.length >> 1
        for (const [after, left] of [
          [null, live],
          [live[half] ?? '', live.slice(half + 1)],
          [live.at(-1) ?? '', []],
        ] as const) {
          const pages = await collect(connector.census(after, never))
          expect(pages.flatMap(({ ids }) => ids)).toEqual(left)
          expect(pages.length).toBeGreaterThan(0)
          let rest = left.length
          for (const page of pages) {
            rest -= page.ids.length
            expect(page.rest).toBe(rest)
          }
        }
        expect(live).not.toContain(deal.id)
        expect((await connector.read([deal.id], never)).get(deal.id)).toBe('gone')
      })

      test('read takes more than one batch and agrees with pull', async () => {
        const { deals } = await pull(null)
        const read = await connector.read([...deals.keys()], never)
        expect(read.size).toBe(deals.size)
        // A booked meeting need not be told.
        const apart = (deal: unknown) => ({ ...(typeof deal === 'object' ? deal : { deal }), meeting: null })
        for (const [id, deal] of deals) expect(apart(read.get(id))).toEqual(apart(deal))
        expect((await connector.read([], never)).size).toBe(0)
      })

      test('an id that never existed does not spoil the others', async () => {
        const { deal } = await oneDeal()
        const other = deal.id.replace(/\d/g, '9')
        const read = await connector.read([deal.id, other], never)
        expect(read.get(deal.id)).toEqual(deal)
        expect(['gone', 'unreadable']).toContain(read.get(other))
      })
    })

    describe('write', () => {
      test('every field comes back as it was written, and null empties it', async () => {
        const { deal } = await oneDeal()
        const { omitted } = await connector.reference(never)
        const after = {
          stalled: true,
          state: 'stalled',
          since: Date.parse('2026-11-02T06:00:00Z'),
          reason: 'close_date_passed',
          explanation: 'The close date, 3 October, has passed. “Émile” & <Söhne> ✓',
          lastMovement: Date.parse('2026-10-01T10:20:30Z'),
          categoryBefore: '(blank)',
        } satisfies FieldValues
        const made = await write([
          fieldsOf(deal.id, after, 'run.flag'),
          fieldsOf(
            deal.id,
            { category: omitted, decision: 'maybe', decisionDue: '2026-12-01', cause: 'budget' },
            'run.forecast',
          ),
        ])
        expect(made.results).toEqual(['done', 'done'])
        const read = (await connector.read([deal.id], never)).get(deal.id)
        if (typeof read !== 'object') throw new Error('not read')
        expect(read.own).toMatchObject({ ...after, decision: 'maybe', decisionDue: '2026-12-01', cause: 'budget' })
        expect(read.category).toBe(omitted)
        const raw = (await state('deal')).get(deal.id) ?? {}
        expect(String(raw[harness.names.stalled])).toBe('true')
        expect(raw[harness.names.explanation]).toBe(after.explanation)
        expect(raw[harness.names.category]).toBe(omitted)

        const empty = { state: null, since: null, reason: null, explanation: null, lastMovement: null, categoryBefore: null, decision: null, decisionDue: null, cause: null } // biome-ignore format: one list
        expect(
          (await write([fieldsOf(deal.id, { stalled: deal.own.stalled, ...empty, category: deal.category })])).results,
        ).toEqual(['done'])
        const emptied = (await connector.read([deal.id], never)).get(deal.id)
        if (typeof emptied !== 'object') throw new Error('not read')
        expect(emptied.own).toEqual(deal.own)
        expect(emptied.category).toBe(deal.category)
      })

      test('more than one batch, with a record that is gone: that one is refused in words, the rest is done', async () => {
        const { deals } = await pull(null)
        const ids = [...deals.keys()].slice(0, 110)
        const dead = ids[57] ?? ''
        await act({ act: 'delete', id: dead })
        const { outcomes, thrown } = await write(ids.map((id) => fieldsOf(id, { stalled: true })))
        expect(thrown).toBeNull()
        expect(outcomes.size).toBe(ids.length)
        for (const id of ids) expect(outcomes.get(`run.${id}.flag`)?.result, id).toBe(id === dead ? 'refused' : 'done')
        const refusal = outcomes.get(`run.${dead}.flag`)
        expect(refusal?.result === 'refused' && refusal.message.length > 5).toBe(true)
        const flagged = [...(await state('deal'))].filter(([, raw]) => String(raw[harness.names.stalled]) === 'true')
        expect(flagged.map(([id]) => id).toSorted()).toEqual(ids.filter((id) => id !== dead).toSorted())
      })

      test('partial refusals: what is done is in the CRM, what is refused is not', async () => {
        const chosen = await openDeals(30)
        await faults({ fault: 'partial', path: harness.paths.updateDeals })
        const { outcomes } = await write(chosen.map(({ deal }) => fieldsOf(deal.id, { stalled: true })))
        await faults()
        expect(outcomes.size).toBe(30)
        const raw = await state('deal')
        for (const { deal } of chosen) {
          const done = outcomes.get(`run.${deal.id}.flag`)?.result === 'done'
          expect(String(raw.get(deal.id)?.[harness.names.stalled]) === 'true', deal.id).toBe(done)
        }
        const refused = [...outcomes.values()].filter((outcome) => outcome.result === 'refused')
        expect(refused.length).toBeGreaterThan(0)
      })

      test.each([
        [1, 'fields'],
        [3, 'fields'],
        [1, 'tasks'],
      ] as const)('%i bad in a hundred %s: isolated with few calls, the good ones written once', async (bad, what) => {
        const chosen = await openDeals(100)
        const owner = (await connector.reference(never)).owners.find(({ active }) => active)?.id ?? ''
        const path = what === 'fields' ? harness.paths.updateDeals : harness.paths.createTasks
        await faults({ fault: 'bad-row', path, times: bad })
        const before = await calls()
        const { outcomes, results, thrown } = await write(
          chosen.map(({ deal }) =>
            what === 'fields' ? fieldsOf(deal.id, { stalled: true }) : taskOf(deal, { owner }),
          ),
        )
        const extra = (await calls()) - before - 1
        await faults()
        expect(thrown).toBeNull()
        // Each further bad row costs fewer: the halves they share are refused once.
        expect(extra).toBeLessThanOrEqual(bad === 1 ? 14 : 14 + 10 * (bad - 1))
        expect(results.filter((result) => result === 'done').length).toBe(100 - bad)
        const refused = [...outcomes.values()].flatMap((one) => (one.result === 'refused' ? [one.message] : []))
        expect(refused.length).toBe(bad)
        for (const message of refused) expect(message).toMatch(/rule of this account|Unexpected character/)
        const object = what === 'fields' ? /^(deal|opportunity)$/i : /^task$/i
        const written = (await journal()).filter((line) => object.test(String(line.object)))
        expect(written.length).toBe(100 - bad)
      })

      test('a task: created, found by its key, completed, reopened, deleted', async () => {
        const { deal } = await oneDeal()
        expect((await connector.find(keyOf(deal.id), never)).size).toBe(0)
        const created = (await write([taskOf(deal)])).outcomes.get(`run.${deal.id}.task`)
        if (created?.result !== 'done' || created.remote === undefined) throw new Error('not created')
        const task = created.remote
        const first = (await connector.find(keyOf(deal.id), never)).get(`key-${deal.id}`)
        expect(first).toEqual({
          id: task,
          key: `key-${deal.id}`,
          deal: deal.id,
          open: true,
          owner: deal.ownerId,
          subject: 'Ask for a decision',
          body: 'First line <b>not bold</b> & "quotes"\n\nThird line',
          due: '2026-12-04',
        })
        for (const [kind, body, open] of [
          ['complete-task', 'Done: the deal moves.', false],
          ['reopen-task', 'Open again.', true],
        ] as const) {
          expect((await write([{ kind, key: `run.${kind}`, deal: deal.id, task, body }])).results).toEqual(['done'])
          // By its id as by its key.
          for (const id of [null, task])
            expect((await connector.find(keyOf(deal.id, id), never)).get(`key-${deal.id}`)).toMatchObject({
              open,
              body,
            })
        }
        // The task of another key is not this one.
        expect((await connector.find(new Map([['other', { deal: deal.id, id: task }]]), never)).size).toBe(0)
        expect((await write([{ kind: 'delete-task', key: 'run.delete', deal: deal.id, task }])).results).toEqual([
          'done',
        ])
        for (const id of [null, task]) expect((await connector.find(keyOf(deal.id, id), never)).size).toBe(0)
        expect(await tasks()).toEqual([])
      })

      test('where the CRM keeps keys unique, the same task again is done and is the same task', async () => {
        if (connector.can.taskKey !== 'unique') return expect(connector.can.settleMs).toBeGreaterThan(0)
        const [one, two] = await openDeals(2)
        if (!one || !two) throw new Error('two deals')
        const first = (await write([taskOf(one.deal)])).outcomes.get(`run.${one.deal.id}.task`)
        const again = await write([taskOf(one.deal), taskOf(two.deal)])
        expect(again.outcomes.get(`run.${one.deal.id}.task`)).toEqual(first)
        expect(again.results).toEqual(['done', 'done'])
        expect((await tasks()).length).toBe(2)
      })

      test('nothing to write, nothing called', async () => {
        const before = await calls()
        expect((await write([])).results).toEqual([])
        expect((await connector.find(new Map(), never)).size).toBe(0)
        expect(await calls()).toBe(before)
      })
    })

    describe('faults', () => {
      test.each(['502-after', 'reset-after', 'timeout-after'])(
        '%s on a write: unknown, never repeated, found afterwards',
        async (fault) => {
          const [one, two] = await openDeals(2)
          if (!one || !two) throw new Error('two deals')
          await faults({ fault, path: harness.paths.createTasks, nth: 1 })
          const { results } = await write([taskOf(one.deal), taskOf(two.deal)])
          await faults()
          expect(results).toEqual(['unknown', 'unknown'])
          expect((await tasks()).toSorted()).toEqual([`key-${one.deal.id}`, `key-${two.deal.id}`].toSorted())
          const found = await connector.find(new Map([...keyOf(one.deal.id), ...keyOf(two.deal.id)]), never)
          expect(found.size).toBe(2)
        },
      )

      test.each(['500-before', 'reset-before', 'timeout-before'])(
        '%s on a write: unknown, never assumed failed',
        async (fault) => {
          const { deal } = await oneDeal()
          await faults({ fault, path: harness.paths.createTasks, nth: 1 })
          expect((await write([taskOf(deal)])).results).toEqual(['unknown'])
          expect((await connector.find(keyOf(deal.id), never)).size).toBe(0)
        },
      )

      // Every fault of the sandbox, once, on each kind of call: what is reported is what the CRM holds.
      const some = /plain/.test(name) ? FAULTS.filter((fault) => fault === 'cut') : FAULTS
      test.each(some)('%s on each kind of call', async (fault) => {
        const [one, two] = await openDeals(2)
        if (!one || !two) throw new Error('two deals')
        const { cursor } = await pull(null)
        await act({ act: 'set', id: one.deal.id, field: harness.names.amount, value: 4711, by: 'person' })
        const hasty = connect({ timeoutMs: 600 })
        await hasty.reference(never)
        const strike = (path: string) => faults({ fault, path, times: 1, ms: 50 })
        /** A read brings what is there, or says what a person or the clock must do first. */
        const reads = async (path: string, work: () => Promise<void>) => {
          await strike(path)
          const thrown = await work().then(() => null, (error: unknown) => error) // biome-ignore format: short
          await faults()
          if (fault === 'redirect') expect(thrown).toBeInstanceOf(Fatal)
          else if (fault === '429-daily') expect(thrown).toBeInstanceOf(RetryLater)
          else expect(thrown).toBeNull()
        }
        await reads(harness.paths.readDeals, async () => {
          expect((await hasty.read([two.deal.id], never)).get(two.deal.id)).toEqual(two.deal)
        })
        await reads(harness.paths.search, async () => {
          const { deals } = await pull(cursor, hasty)
          expect(deals.get(one.deal.id)?.amount).toBe(4711)
        })
        await reads(harness.paths.findTasks, async () => {
          expect(await hasty.find(keyOf(one.deal.id), never)).toEqual(new Map())
        })
        const writes = async (path: string, sent: Write, holds: () => Promise<boolean>) => {
          await strike(path)
          const { results, thrown } = await write([sent], hasty)
          await faults()
          const [result] = results
          const applied = await holds()
          if (result !== 'unknown') expect({ result, applied }).toEqual({ result, applied: result === 'done' })
          // Known for certain wherever the CRM said so.
          if (/after|before$|cut|trickle|html/.test(fault)) expect(result).toBe('unknown')
          else if (/partial|bad-row/.test(fault)) expect(result).toBe('refused')
          else expect(result).toBe(/redirect|daily/.test(fault) ? 'later' : 'done')
          expect(thrown === null).toBe(!/redirect|daily/.test(fault))
        }
        await writes(harness.paths.updateDeals, fieldsOf(two.deal.id, { stalled: true }), async () => {
          const raw = (await state('deal')).get(two.deal.id)
          return String(raw?.[harness.names.stalled]) === 'true'
        })
        await writes(harness.paths.createTasks, taskOf(one.deal), async () => (await tasks()).length === 1)
        expect((await tasks()).length).toBeLessThanOrEqual(1)
        if (harness.paths.signIn === null || ['partial', 'bad-row'].includes(fault)) return
        // Signing in anew: later, or a person must act; never anything else, and not for ever.
        await strike(harness.paths.signIn)
        const thrown = await connect({ timeoutMs: 600 })
          .read([two.deal.id], never)
          .then(() => null, (error: unknown) => error) // biome-ignore format: short
        await faults()
        if (thrown !== null && !(thrown instanceof Fatal)) expect(thrown).toBeInstanceOf(RetryLater)
      })

      test('429 on a write: sent again, applied once', async () => {
        const { deal } = await oneDeal()
        await faults({ fault: '429', path: harness.paths.createTasks, times: 2, nth: 1, retryAfter: 2 })
        expect((await write([taskOf(deal)])).results).toEqual(['done'])
        expect(await tasks()).toEqual([`key-${deal.id}`])
      })

      test('a daily limit on a write: later for each, then RetryLater; nothing was applied', async () => {
        const { deal } = await oneDeal()
        await faults({ fault: '429-daily' })
        const { results, thrown } = await write([taskOf(deal), fieldsOf(deal.id, { stalled: true })])
        await faults()
        expect(results).toEqual(['later', 'later'])
        expect(thrown).toBeInstanceOf(RetryLater)
        if (thrown instanceof RetryLater) expect(thrown.afterMs).toBeGreaterThan(10_000)
        expect(await tasks()).toEqual([])
      })

      test.each(['429', '500-before', 'reset-before', 'timeout-before', 'html'])(
        '%s on reads: read again',
        async (fault) => {
          const { deal } = await oneDeal()
          await faults({ fault, path: harness.paths.readDeals, times: 2, nth: 1 })
          expect((await connector.read([deal.id], never)).get(deal.id)).toEqual(deal)
          await faults()
        },
      )

      test('an outage that lasts: RetryLater after a bounded number of tries', async () => {
        const { deal } = await oneDeal()
        await faults({ fault: '500-before' })
        const before = await calls()
        await expect(connector.read([deal.id], never)).rejects.toBeInstanceOf(RetryLater)
        expect((await calls()) - before).toBeLessThanOrEqual(8)
        await expect(collect(connector.pull(null, Date.now(), never))).rejects.toBeInstanceOf(RetryLater)
        await faults()
      })

      test('a long Retry-After leaves the process', async () => {
        const { deal } = await oneDeal()
        await faults({ fault: '429', retryAfter: 120 })
        const thrown = await connector.read([deal.id], never).catch((error: unknown) => error)
        await faults()
        expect(thrown).toBeInstanceOf(RetryLater)
        if (thrown instanceof RetryLater) expect(thrown.afterMs).toBeGreaterThanOrEqual(100_000)
        expect(slept.every((ms) => ms <= 10_000)).toBe(true)
      })

      test('nobody listens: reads RetryLater, writes later', async () => {
        const { deal } = await oneDeal()
        const nowhere = connect({ baseUrl: await closedPort() })
        await expect(nowhere.read([deal.id], never)).rejects.toBeInstanceOf(RetryLater)
        const { results, thrown } = await write([fieldsOf(deal.id, { stalled: true })], nowhere)
        expect(results).toEqual(['later'])
        expect(thrown).toBeInstanceOf(RetryLater)
      })

      test('a redirect is refused, not followed', async () => {
        const { deal } = await oneDeal()
        await faults({ fault: 'redirect', path: harness.paths.readDeals })
        const thrown = await connector.read([deal.id], never).catch((error: unknown) => error)
        await faults()
        expect(thrown).toBeInstanceOf(Fatal)
      })

      test('the caller aborts: the call ends at once with the reason', async () => {
        const { deal } = await oneDeal()
        await faults({ fault: 'slow', ms: 3000 })
        const patient = connect({ timeoutMs: 10_000 })
        for (const work of [
          (signal: AbortSignal) => patient.read([deal.id], signal),
          (signal: AbortSignal) => collect(patient.pull(null, Date.now(), signal)),
          (signal: AbortSignal) => collect(patient.write([fieldsOf(deal.id, { stalled: true })], signal)),
        ]) {
          const stop = new AbortController()
          const begun = performance.now()
          setTimeout(() => stop.abort(new Error('the night is over')), 60)
          await expect(work(stop.signal)).rejects.toThrow('the night is over')
          expect(performance.now() - begun).toBeLessThan(1500)
        }
        await faults()
      })

      test('a revoked token', async () => {
        const { deal } = await oneDeal()
        await act({ act: 'revoke-token' })
        const read = connector.read([deal.id], never)
        if (harness.renews) expect((await read).get(deal.id)).toEqual(deal)
        else await expect(read).rejects.toMatchObject({ name: 'Fatal', kind: 'credentials' })
      })

      test('our field is dropped: its writes are refused with few calls, reading goes on, check says so', async () => {
        const chosen = await openDeals(40)
        const { cursor } = await pull(null)
        await act({ act: 'drop-field', field: harness.names.explanation })
        const before = await failing()
        for (const some of [chosen.slice(0, 20), chosen.slice(20)]) {
          const { results, thrown } = await write(
            some.map(({ deal }) => fieldsOf(deal.id, { stalled: true, explanation: 'x' })),
          )
          expect(thrown).toBeNull()
          expect(new Set(results)).toEqual(new Set(['refused']))
        }
        expect((await failing()) - before).toBe(1)
        await pull(cursor)
        const { deal } = chosen[0] ?? (await oneDeal())
        expect(typeof (await connector.read([deal.id], never)).get(deal.id)).toBe('object')
        const { findings, steps } = await connect().check(never)
        expect(steps.filter((step) => step.action === 'create').length).toBe(1)
        expect(findings.some((finding) => finding.level === 'problem' && finding.todo !== undefined)).toBe(true)
      })

      test('our field is of another type: it is neither read nor written, the rest is; check says what to do', async () => {
        const before = await pull(null)
        const chosen = await openDeals(3)
        await act({ act: 'drop-field', field: harness.names.stalled })
        await harness.flagAsText()
        for (const { deal } of chosen)
          await act({ act: 'set', id: deal.id, field: harness.names.stalled, value: 'yes, since Monday' })
        const { fields } = await connector.reference(never)
        expect(fields?.stalled).toMatchObject({ name: harness.names.stalled, readable: false, writable: false })
        expect(Object.values(fields ?? {}).filter(({ writable }) => !writable).length).toBe(1)
        const after = await pull(null)
        expect(after.unreadable).toEqual([])
        expect([...after.deals.keys()].toSorted()).toEqual([...before.deals.keys()].toSorted())
        const failed = await failing()
        const { deal } = await oneDeal()
        const { results } = await write([fieldsOf(deal.id, { stalled: true }), taskOf(deal)])
        expect(results).toEqual(['refused', 'done'])
        expect(await failing()).toBe(failed)
        const { findings } = await connector.check(never)
        const todo = findings.flatMap((one) => (one.level === 'problem' ? [one.todo] : [])).join()
        expect(todo).toMatch(/rename or delete/)
      })
    })

    type Counted = { path: string; count: number; statuses: Record<string, number> }
    async function counted(): Promise<Counted[]> {
      const answer: { calls: Counted[] } = JSON.parse((await control('calls')).text)
      return answer.calls
    }
    const calls = async () => (await counted()).reduce((sum, row) => sum + row.count, 0)
    /** Calls that were not answered with what was asked for. */
    const failing = async () =>
      (await counted())
        .flatMap(({ statuses }) => Object.entries(statuses))
        .reduce((sum, [status, times]) => sum + (/^20[014]$/.test(status) ? 0 : times), 0)
  })
}

export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of source) all.push(one)
  return all
}

/** An origin at which nobody listens. */
async function closedPort(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${address.port}`
}

function summarise(pages: readonly Page[]) {
  const deals = new Map<DealId, Deal>()
  for (const page of pages) for (const deal of page.deals) deals.set(deal.id, deal)
  return {
    pages,
    deals,
    evidence: pages.flatMap((page) => page.evidence),
    gone: pages.flatMap((page) => page.gone),
    unreadable: pages.flatMap((page) => page.unreadable),
    cursor: pages.at(-1)?.cursor ?? null,
  }
}
