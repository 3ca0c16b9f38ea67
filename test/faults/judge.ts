// What must be true of small worlds whose right end state is plain: every deal is in one of a few states, named by the
// test, and so many stalls have been opened on it.
import type { Crm, Seen } from '../jobs/harness.ts'
import type { Result } from './harness.ts'

export type Judged = Pick<Result, 'dup' | 'lost' | 'wrong' | 'problems'>

export interface Right {
  readonly state: 'stalled' | 'moving'
  /** Stalls since the beginning: each has exactly one task. */
  readonly stalls: number
}

/** Counts a second task for one stall, a flag or task that is missing, and everything else that is not right. `before`: the
 *  CRM before the first night. */
export async function judged(crm: Crm, right: (name: string) => Right, before: Seen): Promise<Judged> {
  const { deals, tasks } = await crm.look()
  const byDeal = Map.groupBy(tasks, ({ deal }) => deal)
  let [dup, lost, wrong] = [0, 0, 0]
  const problems: string[] = []
  const tell = (what: string) => void (problems.length < 5 && problems.push(what))
  for (const deal of deals) {
    const { state, stalls } = right(deal.name)
    const ours = byDeal.get(deal.id) ?? []
    const keys = new Set(ours.map(({ key }) => key))
    const open = ours.filter((task) => task.open).length
    const stalled = state === 'stalled'
    const doubled = ours.length - keys.size + Math.max(0, keys.size - stalls)
    dup += doubled
    if (doubled > 0) tell(`${deal.name} has ${ours.length} tasks of ${keys.size} keys for ${stalls} stalls`)
    const missing = Math.max(0, stalls - keys.size) + (stalled && !deal.stalled ? 1 : 0)
    lost += missing
    if (missing > 0) tell(`${deal.name}: ${keys.size} tasks for ${stalls} stalls, flag ${deal.stalled}`)
    const category = stalled ? crm.words.omitted : before.deal(deal.name).category
    const faults = [
      ...(!stalled && deal.stalled ? ['it is flagged'] : []),
      ...(deal.category === category ? [] : [`its category is ${deal.category}`]),
      ...((deal.state ?? 'moving') === state ? [] : [`its state is ${deal.state}`]),
      ...((deal.reason !== null) === stalled ? [] : [`its reason is ${deal.reason}`]),
      ...(open === (stalled && missing === 0 ? 1 : 0) ? [] : [`${open} tasks are open`]),
    ]
    if (faults.length > 0) wrong += 1
    if (faults.length > 0) tell(`${deal.name} should be ${state}: ${faults.join(', ')}`)
  }
  return { dup, lost, wrong, problems }
}
