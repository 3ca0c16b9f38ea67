// What RevOps should know after a night: what is wrong now, by connection. `key` says which trouble it is, `mark` changes
// when there is something new to say about it; neither holds words of a CRM or names of deals.
import { createHash } from 'node:crypto'
import type { Instant } from '../core/deal.ts'
import { Summary } from '../report/summary.ts'
import { circuits } from '../store/connections.ts'
import { quarantined } from '../store/deals.ts'
import { lastNights, openSince, quarantines, refusedBy, runsSince } from '../store/fleet.ts'
import type { Executor, Told } from '../store/schema.ts'
import type { DigestWords } from '../texts/digest-en.ts'

export interface Trouble extends Told {
  readonly kind: keyof DigestWords['troubles']
  readonly connection: string
  /** For the sentence: words of the CRM and numbers. */
  readonly values: { readonly words?: string; readonly count?: number; readonly run?: string; readonly at?: Instant }
  readonly brakes?: readonly (keyof DigestWords['brakes'])[]
  readonly examples?: readonly { readonly name: string; readonly words: string }[]
}

/** Brakes that say that something is wrong; the others are part of every night. */
const BRAKES = ['share', 'cap', 'field_missing', 'stale_snapshot'] as const
const EXAMPLES = 3
/** A connection that has waited for longer than this is told of. */
const PAUSED_MS = 30 * 60_000

const short = (text: string) => createHash('sha256').update(text).digest('base64url').slice(0, 12)
/** Texts that differ in numbers alone (times, counts, ids) say the same. */
const same = (...texts: readonly string[]) =>
  short(JSON.stringify([...new Set(texts.map((text) => text.replace(/\d+/g, '#')))].sort()))

/** When a night was due, and whether it is over by now: on every connection, or so late that it cannot be waited for. */
export async function nightOver(
  db: Executor,
  connections: readonly string[],
  due: Instant,
  now: Instant,
  graceMs: number,
): Promise<boolean> {
  if (now >= due + graceMs) return true
  const newest = new Map((await runsSince(db, due)).map(({ connection, status }) => [connection, status]))
  return connections.every((name) => (newest.get(name) ?? 'open') !== 'open')
}

/** In the order in which they are told. `due`: of the last night; null: there was none lately. */
export async function troublesOf(
  db: Executor,
  connections: readonly string[],
  { due, now }: { readonly due: Instant | null; readonly now: Instant },
): Promise<readonly Trouble[]> {
  const nights = (await lastNights(db)).filter(({ connection }) => connections.includes(connection))
  const begun = new Set((due === null ? [] : await runsSince(db, due)).map(({ connection }) => connection))
  const underWay = new Map((await openSince(db, now - PAUSED_MS)).map((run) => [run.connection, run.createdAt]))
  const against = await circuits(db, now)
  const written = nights.filter(({ kind }) => kind !== 'preview').map(({ id }) => id)
  const refused = Map.groupBy(await refusedBy(db, written, EXAMPLES), ({ run }) => run)
  const waiting = new Map((await quarantines(db)).map((one) => [one.connection, one]))
  const found: Trouble[] = []
  const add = (trouble: Omit<Trouble, 'key'>) =>
    found.push({ key: `${trouble.kind} ${trouble.connection}`, ...trouble })

  for (const connection of connections) {
    const night = nights.find((one) => one.connection === connection)
    const circuit = against.get(connection)
    const { reason: words = '' } = circuit ?? {}
    const at = underWay.get(connection)
    if (circuit?.state === 'reconnect') add({ kind: 'reconnect', connection, mark: '', values: { words } })
    else if (circuit && at !== undefined) add({ kind: 'paused', connection, mark: same(words), values: { words, at } })
    if (night?.status === 'failed' && circuit?.state !== 'reconnect') {
      const words = night.problem ?? ''
      add({ kind: 'failed', connection, mark: same(words), values: { words } })
    }
    // Only where nights have been: a new connection has missed nothing.
    if (due !== null && night && !begun.has(connection) && at === undefined)
      add({ kind: 'missed', connection, mark: '', values: { at: due } })
    const { held = {} } = Summary.safeParse(night?.summary).data?.figures ?? {}
    const brakes = night?.kind === 'preview' ? [] : BRAKES.filter((brake) => (held[brake] ?? 0) > 0)
    if (brakes.length > 0) {
      const count = brakes.reduce((sum, brake) => sum + (held[brake] ?? 0), 0)
      add({ kind: 'held', connection, mark: brakes.join(' '), values: { count }, brakes })
    }
    const [first, ...more] = refused.get(night?.id ?? '') ?? []
    if (first) {
      const examples = [first, ...more].map(({ name, deal, message }) => ({ name: name ?? deal, words: message }))
      const values = { count: first.total, run: first.run }
      add({ kind: 'refused', connection, mark: same(...examples.map((one) => one.words)), values, examples })
    }
    const records = waiting.get(connection)
    if (records) {
      const values = { count: records.count, run: night?.id ?? '' }
      const newest = (await quarantined(db, connection)).toReversed().slice(0, EXAMPLES)
      const examples = newest.map(({ id, name, problem }) => ({ name: name ?? id, words: problem }))
      add({ kind: 'quarantined', connection, mark: `${records.newest}`, values, examples })
    }
  }
  return found
}

export interface News {
  readonly begun: readonly Trouble[]
  readonly changed: readonly Trouble[]
  readonly still: readonly Trouble[]
  /** Keys. */
  readonly over: readonly string[]
}

/** What differs from what was told last. Null: nothing. */
export function newsOf(now: readonly Trouble[], told: readonly Told[], reminds: boolean): News | null {
  const before = new Map(told.map(({ key, mark }) => [key, mark]))
  const keys = new Set(now.map(({ key }) => key))
  const begun = now.filter(({ key }) => !before.has(key))
  const changed = now.filter(({ key, mark }) => before.has(key) && before.get(key) !== mark)
  const still = now.filter((one) => !begun.includes(one) && !changed.includes(one))
  const over = [...before.keys()].filter((key) => !keys.has(key))
  const quiet = begun.length + changed.length + over.length === 0
  return quiet && !(reminds && still.length > 0) ? null : { begun, changed, still, over }
}
