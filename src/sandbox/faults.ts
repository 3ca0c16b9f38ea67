// Faults that were ordered over POST /__sandbox/faults: which one strikes which call. Chance is seeded, so that a
// failing run can be repeated.
import { type Fault, OF_RECORDS } from './control.ts'

type Called = Readonly<Record<'method' | 'path' | 'body', string>>

const ofRecords = ({ fault }: Fault) => OF_RECORDS.some((one) => one === fault)

function rule(fault: Fault, random: () => number) {
  const { nth, rate, method, body } = fault
  const path = new RegExp((fault.path ?? '').replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*'))
  const times = fault.times ?? (nth === undefined || rate !== undefined ? Number.POSITIVE_INFINITY : 1)
  let seen = 0
  let struck = 0
  return {
    fault,
    /** Records a `bad-row` has chosen: they stay bad until the faults are cleared. */
    chosen: new Set<string>(),
    fits: (call: Called) =>
      (method === undefined || method.toUpperCase() === call.method) &&
      path.test(call.path) &&
      (body === undefined || call.body.includes(body)),
    fires(): boolean {
      seen += 1
      if (seen < (nth ?? 1) || struck >= times || (rate !== undefined && random() >= rate)) return false
      struck += 1
      return true
    },
  }
}

export function faultPlan(random: () => number) {
  let rules: readonly ReturnType<typeof rule>[] = []
  return {
    set(faults: readonly Fault[]): void {
      rules = faults.map((fault) => rule(fault, random))
    },
    /** The fault that strikes this call, if any: the first rule in order. Of a call within another: by those for it alone. */
    strike: (call: Called, around?: Called): Fault | undefined =>
      rules.find((one) => !ofRecords(one.fault) && one.fits(call) && !(around && one.fits(around)) && one.fires())
        ?.fault,
    /** Bad records of a batch write. `partial`: a tenth, at least one, refused each for itself. `bad-row`: one record
     *  (`times`: so many), the same ones ever after, each refusing the whole batch it is in. */
    bad(call: Called, records: readonly string[]) {
      const each = new Set<string>()
      const whole = new Set<string>()
      for (const { fault, chosen, fits, fires } of rules) {
        if (!ofRecords(fault) || !fits(call) || records.length === 0) continue
        if (fault.fault === 'partial') {
          const start = fires() ? Math.floor(random() * Math.min(10, records.length)) : Number.NaN
          for (const [index, record] of records.entries()) if (index % 10 === start) each.add(record)
          continue
        }
        const pick = chosen.size < (fault.times ?? 1) && fires() && records[Math.floor(random() * records.length)]
        if (pick) chosen.add(pick)
        for (const record of records) if (chosen.has(record)) whole.add(record)
      }
      return { each, whole }
    },
  }
}
