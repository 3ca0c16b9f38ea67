// Four workers share the night of forty connections over PostgreSQL; one of them is killed in the middle. Two schedulers
// find out that the night was missed, and a process for the dashboard looks on.

import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { openFleet } from './fleet.ts'
import { clearPlaces, homes, until } from './homes.ts'
import { missing, required } from './services.ts'

const CONNECTIONS = 40
const STEPS = 4

afterAll(clearPlaces)

describe.skipIf(missing(['PostgreSQL']) !== null && !required)('many processes', () => {
  it('every connection is done once, the work is spread, and what a killed worker held is finished by others', async () => {
    const { databaseUrl = '' } = (await homes.find(({ name }) => name === 'PostgreSQL')?.place()) ?? {}
    const fleet = await openFleet({ databaseUrl, connections: CONNECTIONS, deals: 15, latencyMs: 40 })
    onTestFinished(() => fleet.close())
    const start = (roles: readonly string[]) => Promise.all(roles.map((role) => fleet.start(role)))
    const workers = await start(['worker', 'worker', 'worker', 'worker'])
    const members = [...workers, ...(await start(['scheduler', 'scheduler', 'web']))]
    const [victim] = workers
    if (!victim) throw new Error('no worker')
    for (const { url, role } of members)
      expect(await (await fetch(`${url}/healthz`)).json()).toMatchObject({ ok: true, role })

    // Killed while it works: it has a step, and no call of its own tells it to stop.
    const { db } = fleet.database
    await until(() => victim.finished.length > 0, 60_000)
    victim.child.kill('SIGKILL')
    const nights = db.selectFrom('run').selectAll().where('kind', '=', 'night')
    const over = async () => (await nights.where('status', '=', 'done').execute()).length === CONNECTIONS
    await until(over, 60_000).catch(() => {}) // the rows say more
    const runs = await nights.execute()
    expect(runs.filter(({ status }) => status !== 'done')).toEqual([])
    expect(runs.map(({ connection }) => connection).sort()).toEqual(
      fleet.crms.map(({ connection }) => connection).sort(),
    )

    // A step begun twice is one the killed worker held (or one that an overloaded machine took from a worker).
    expect(runs.filter(({ epoch }) => epoch > STEPS).length).toBeGreaterThan(0)
    expect(Math.min(...workers.map(({ finished }) => finished.length))).toBeGreaterThan(0)

    // In the CRM: what the ledger says, once.
    const written = await db.selectFrom('ledger').selectAll().where('status', '=', 'done').execute()
    expect(await db.selectFrom('ledger').selectAll().where('status', '=', 'sent').execute()).toEqual([])
    for (const crm of fleet.crms) {
      const { tasks, deals } = await crm.look()
      const ours = written.filter(({ connection }) => connection === crm.connection)
      const flagged = ours.flatMap(({ group, deal }) => (group === 'flag' ? [deal] : []))
      expect(flagged.length).toBeGreaterThan(0)
      expect(deals.flatMap(({ id, stalled }) => (stalled ? [id] : [])).sort()).toEqual(flagged.sort())
      const asked = ours.flatMap(({ kind, deal }) => (kind === 'create-task' ? [deal] : []))
      expect(tasks.map(({ deal }) => deal).sort()).toEqual(asked.sort())
    }
    const rest = members.filter((member) => member !== victim)
    for (const { child } of rest) child.kill('SIGTERM')
    expect(await Promise.all(rest.map(({ ended }) => ended))).toEqual(rest.map(() => 0))
  }, 180_000)
})
