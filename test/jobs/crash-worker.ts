// A worker process for the crash tests: goes on with whatever run is open, or opens the one it is told to, says how it
// ended, and dies on the spot where it is told to. The CRM it talks to lives in the test.

import { text } from 'node:stream/consumers'
import { openDatabase } from '../../src/store/db.ts'
import { getRun, openRuns } from '../../src/store/runs.ts'
import type { Where } from '../homes.ts'
import { connectTo, instead, type ProgramOptions, type Reached, startProgram } from './program.ts'

export interface Orders {
  readonly where: Where
  readonly crm: Reached
  /** What to do when no run is open. `confirm` and `undo`: ids of runs. */
  readonly now: number
  readonly confirm?: string
  readonly undo?: string
  readonly die?: { readonly at: string; readonly what: string; readonly nth?: number }
}
export interface Ended {
  readonly id: string
  readonly kind: string
  readonly status: string
  readonly problem: string | null
}

// Ready before it is needed: loading takes longer than the work.
const orders: Orders = JSON.parse(await text(process.stdin))
const { where, crm, die } = orders
let left = die?.nth ?? 1
const crash: ProgramOptions['crash'] = (at, what) => {
  if (at === die?.at && what === die.what && --left === 0) process.kill(process.pid, 'SIGKILL')
}
const database = await openDatabase(where)
const connector = await connectTo(crm, { settleMs: 0 })
// Two deals a batch: a run has enough calls to die in.
const connectors = { [crm.name]: instead(connector, () => ({ can: { ...connector.can, settleMs: 0, readBatch: 2 } })) }
const { redisUrl } = where
const timing = { lockMs: 400, stalledCheckMs: 100 }
const program = await startProgram({ database, redisUrl, crms: [crm], connectors, timing, crash, patienceMs: 60_000 })

async function next() {
  const [open] = await openRuns(database.db)
  const run = open && (await getRun(database.db, open.id))
  if (run) return program.finish(run)
  const of = orders.undo === undefined ? null : await getRun(database.db, orders.undo)
  if (of) return program.undo(of, orders.now)
  return program.night(crm, orders.now, orders.confirm === undefined ? {} : { confirm: orders.confirm })
}
const { id, kind, status, problem } = await next()
process.stdout.write(JSON.stringify({ id, kind, status, problem } satisfies Ended))
await program.close()
await database.close()
