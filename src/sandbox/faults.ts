// Faults that were ordered over POST /__sandbox/faults: which one strikes which call. Chance is seeded, so that a
// failing run can be repeated.
import type { Fault } from './control.ts'

interface Rule {
  readonly fault: Fault
  readonly path: RegExp | null
  /** Records a `bad-row` has chosen: they stay bad until the faults are cleared. */
  readonly chosen: Set<string>
  seen: number
  struck: number
}

/** These strike records of a batch, not calls. */
const ofRecords = (fault: Fault) => fault.fault === 'partial' || fault.fault === 'bad-row'

export class FaultPlan {
  readonly #random: () => number
  #rules: readonly Rule[] = []

  constructor(random: () => number) {
    this.#random = random
  }

  set(faults: readonly Fault[]): void {
    this.#rules = faults.map((fault) => ({ fault, path: pattern(fault.path), chosen: new Set(), seen: 0, struck: 0 }))
  }

  /** The fault that strikes this call, if any: the first rule in order. */
  strike(method: string, path: string): Fault | null {
    for (const rule of this.#rules) {
      if (!ofRecords(rule.fault) && fits(rule, method, path) && this.#fires(rule)) return rule.fault
    }
    return null
  }

  /** Bad records of a batch write. `partial`: a tenth, at least one, refused each for itself. `bad-row`: one record
   *  (`times`: so many), the same ones ever after, each refusing the whole batch it is in. */
  bad(method: string, path: string, records: readonly string[]) {
    const each = new Set<string>()
    const whole = new Set<string>()
    for (const rule of this.#rules) {
      if (!ofRecords(rule.fault) || !fits(rule, method, path) || records.length === 0) continue
      if (rule.fault.fault === 'partial') {
        if (!this.#fires(rule)) continue
        const start = Math.floor(this.#random() * Math.min(10, records.length))
        for (const [index, record] of records.entries()) if (index % 10 === start) each.add(record)
        continue
      }
      if (rule.chosen.size < (rule.fault.times ?? 1) && this.#fires(rule)) {
        const pick = records[Math.floor(this.#random() * records.length)]
        if (pick !== undefined) rule.chosen.add(pick)
      }
      for (const record of records) if (rule.chosen.has(record)) whole.add(record)
    }
    return { each, whole }
  }

  #fires(rule: Rule): boolean {
    const { nth, rate } = rule.fault
    const times = rule.fault.times ?? (nth === undefined || rate !== undefined ? Number.POSITIVE_INFINITY : 1)
    rule.seen += 1
    if (rule.seen < (nth ?? 1) || rule.struck >= times) return false
    if (rate !== undefined && this.#random() >= rate) return false
    rule.struck += 1
    return true
  }
}

function pattern(path: string | undefined): RegExp | null {
  if (path === undefined) return null
  return new RegExp(path.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*'))
}

function fits(rule: Rule, method: string, path: string): boolean {
  const wanted = rule.fault.method
  return (wanted === undefined || wanted.toUpperCase() === method) && (rule.path === null || rule.path.test(path))
}
