// Writing in batches, one verdict per record whatever the CRM answers: all done, some refused by name, or the whole
// batch refused for one bad record, which is then found by halving. A call without an answer leaves its records without
// a verdict. What a call means is each connector's own; how calls follow one another is the same for both.
import type { WriteOutcome } from './connector.ts'
import type { Reference } from './core/deal.ts'
import { Fatal, RetryLater } from './errors.ts'

/** A write that got no usable answer: it may have been applied or not. */
export class Unknown extends Error {
  override readonly name = 'Unknown'
}

/** None, or null: unknown. `later`: certainly not applied. */
export type Verdict =
  | { readonly result: 'done'; readonly remote?: string }
  | { readonly result: 'refused' | 'later'; readonly message: string }

export interface Sending<Row> {
  /** Batches under way at once. */
  readonly parallel: number
  /** Our fields as they are known now; asked before each call. What may not be written is refused without one. */
  fields(): Promise<Reference['fields']>
  /** What a row writes, by the CRM's names. */
  values(row: Row): Readonly<Record<string, unknown>>
  /** One call, of rows of one batch: its verdicts. `whole`: in these words it, or a part of it, was refused as a whole, and
   *  rows not among the verdicts are good or bad. Throws Unknown, or RetryLater, Fatal, the abort reason: then nothing more
   *  is sent. */
  send(
    rows: readonly Row[],
    first: Row,
  ): Promise<{ readonly verdicts: ReadonlyMap<Row, Verdict | null>; readonly whole?: string }>
  /** A last look at what became of a batch. */
  review?(batch: readonly Row[], verdicts: Map<Row, Verdict | null>): Promise<void>
}

/** Calls spent on the bad records of one batch; the rest of it comes another time. */
const MOST_CALLS = 60
/** After so many calls in a row without an answer the CRM is not well, and the rest waits; each further one waits longer. */
const MOST_SILENT = 3
const SILENT_PAUSE_MS = 2_000
const LONGEST_PAUSE_MS = 60_000
const NOT_OURS = 'is missing, of another type or not for us to write: run unstall check, then unstall setup'
const WAITS: Verdict = { result: 'later', message: 'the CRM did not take it this time' }

/** One per connection: it remembers from batch to batch whether the CRM answers at all. */
export function createSender() {
  let silent = 0

  /** Throws RetryLater, Fatal or the abort reason after the outcomes that are certain; what was not sent is `later`. */
  return async function* send<Row extends { readonly keys: readonly string[] }>(
    batches: readonly (readonly Row[])[],
    how: Sending<Row>,
  ): AsyncGenerator<WriteOutcome> {
    const verdicts = new Map<Row, Verdict | null>()
    const running: Promise<readonly Row[]>[] = []
    let stop: Error | null = null
    const give = (rows: readonly Row[], verdict: Verdict) => {
      for (const row of rows) verdicts.set(row, verdict)
    }

    async function run(batch: readonly Row[]): Promise<readonly Row[]> {
      let calls = 0
      /** `bad`: there is a bad record among these, or there are bad ones. Returns whether the CRM took them. */
      async function attempt(all: readonly Row[], bad = false): Promise<boolean> {
        const closed = Object.values((await how.fields()) ?? {}).filter(({ writable }) => !writable)
        const rows = all.filter((row) => {
          const [field] = closed.filter(({ name }) => name in how.values(row))
          if (field) give([row], { result: 'refused', message: `${field.name} ${NOT_OURS}` })
          return !field
        })
        const [only] = rows
        if (only === undefined) return true
        if (bad && rows.length === all.length && rows.length > 1) return halve(rows)
        if (stop !== null || calls++ >= MOST_CALLS) return false
        for (const row of rows) verdicts.delete(row)
        let answer: Awaited<ReturnType<typeof how.send>>
        try {
          answer = await how.send(rows, only)
        } catch (error) {
          // An abort may have come too late.
          if (error instanceof RetryLater || error instanceof Fatal) give(rows, WAITS)
          if (!(error instanceof Unknown)) throw error
          silent += 1
          if (silent < MOST_SILENT) return false
          const pause = Math.min(LONGEST_PAUSE_MS, SILENT_PAUSE_MS * 2 ** (silent - MOST_SILENT))
          throw new RetryLater(`${error.message}: ${silent} times in a row`, pause, { cause: error })
        }
        silent = 0
        for (const [row, verdict] of answer.verdicts) verdicts.set(row, verdict)
        if (answer.whole === undefined) return true
        const rest = rows.filter((row) => !answer.verdicts.has(row))
        give(rest, WAITS)
        if (rest.length < rows.length) await attempt(rest)
        else if (rest.length === 1) verdicts.set(only, { result: 'refused', message: answer.whole })
        else await halve(rest)
        return false
      }
      async function halve(rows: readonly Row[]): Promise<false> {
        const [first = [], second = []] = chunks(rows, Math.ceil(rows.length / 2))
        await attempt(second, await attempt(first))
        return false
      }

      give(batch, WAITS)
      try {
        await attempt(batch)
        await how.review?.(batch, verdicts)
      } catch (error) {
        stop ??= error instanceof Error ? error : new Error(String(error))
      }
      return batch
    }
    const told = (batch: readonly Row[] = []): WriteOutcome[] =>
      batch.flatMap((row) => {
        const verdict = verdicts.get(row)
        if (!verdict) return []
        const why = verdict.result === 'later' && stop ? { message: stop.message } : {}
        return row.keys.map((key) => ({ key, ...verdict, ...why }))
      })

    for (const [n, batch] of batches.entries()) {
      running.push(run(batch))
      // The first goes alone: what it teaches (a field is gone) spares the others the same refusal.
      if (n === 0 || running.length === how.parallel) yield* told(await running.shift())
    }
    for (const batch of running) yield* told(await batch)
    if (stop !== null) throw stop
  }
}

export function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, at) => all.slice(at * size, (at + 1) * size))
}
