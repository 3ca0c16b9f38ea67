// What the two baselines share: a process with one order that says what its work cost, and the rule in its simplest form.
import { type Cost, costSince } from './unstall.ts'

export interface Baseline {
  readonly url: string
  readonly now: { readonly at: number; readonly first: boolean }
  readonly speed: number
  /** File in which it keeps the ids of its tasks between nights. */
  readonly memory: string
}
export type BaselineCost = Cost & {
  /** Deals it has read. */
  readonly read: number
}

/** `work` returns how many deals it has read. */
export async function run(work: (order: Baseline) => Promise<number>): Promise<void> {
  const begun = performance.now()
  let told: BaselineCost
  try {
    const read = await work(JSON.parse(process.argv[2] ?? ''))
    told = { ...costSince(begun), read }
  } catch (error) {
    told = { ...costSince(begun, String(error)), read: 0 }
  }
  process.send?.(told)
  process.exit()
}

const DAY = 86_400_000
const LIMIT = 15

/** More than 15 weekdays since the stage was entered. */
export function isIdle(entered: string | null | undefined, now: number): boolean {
  if (!entered) return false
  let weekdays = 0
  for (let day = Math.floor(Date.parse(entered) / DAY) + 1; day <= Math.floor(now / DAY) && weekdays <= LIMIT; day++)
    if (![0, 6].includes(new Date(day * DAY).getUTCDay())) weekdays += 1
  return weekdays > LIMIT
}
