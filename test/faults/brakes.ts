// Faults 27 and 28: what must not be written at all. A neglected pipeline on the first night, too many stalled deals on a
// later one, and the preview, which writes nothing and says exactly what will be written.
import type { System } from '../../src/core/deal.ts'
import type { PlannedWrite } from '../../src/core/plan.ts'
import { getPlan } from '../../src/store/runs.ts'
import { DAY, MONDAY, seedDeal, seedOf } from '../jobs/harness.ts'
import { type Scenario, stage } from './harness.ts'
import { NAMES } from './story.ts'
import { company } from './virtual.ts'
import { world } from './world.ts'

const names = (count: number) => Array.from({ length: count }, (_, at) => `deal ${at}`)

/** 60 % have not moved for months. */
const neglected = (count: number) =>
  seedOf(names(count).map((name, at) => seedDeal(name, { idle: at % 5 < 3 ? 40 + at : 3, age: 200 })))

type Values = Readonly<Record<string, unknown>>

/** A value as both a plan and a journal may hold it: moments in whole seconds, empty as null, switches as text. */
function same(value: unknown): string | null {
  if (value === null || value === undefined || value === '') return null
  if (typeof value === 'number' && value > 1e11) return String(Math.floor(value / 1000))
  const text = String(value)
  return /^\d{4}-\d\d-\d\dT/.test(text) ? String(Math.floor(Date.parse(text) / 1000)) : text
}
const html = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\n', '<br>')

/** What the plan says, record by record, in the words of the CRM's journal. `now`: of the run that carries it out. */
function promised(plan: readonly PlannedWrite[], system: System, now: number): Map<string, Values> {
  const said = new Map<string, Values>()
  for (const row of plan) {
    if (row.hold !== null) continue
    if (row.kind === 'create-task') {
      const { owner, subject, body, due } = row
      const task =
        system === 'hubspot'
          ? { hubspot_owner_id: owner, hs_task_subject: subject, hs_task_body: html(body) }
          : { OwnerId: owner, Subject: subject, Description: body, ActivityDate: due }
      said.set(`task of ${row.deal.id}`, task)
    } else if (row.kind === 'fields') {
      const names = new Map<string, string>(Object.entries(NAMES[system]))
      const after = Object.entries(row.after).map(([field, value]) => [names.get(field) ?? field, value])
      const since = 'since' in row.after && row.after.since !== null ? { [NAMES[system].since]: now } : {}
      said.set(row.deal.id, { ...said.get(row.deal.id), ...Object.fromEntries(after), ...since })
    } else said.set(`${row.kind} of ${row.deal.id}`, {})
  }
  return said
}

export const brakes: readonly Scenario[] = [
  {
    fault: 27,
    title: 'first night: 60 % stalled, unconfirmed',
    async run(trial) {
      const { crm, finish } = await stage(trial, { seed: neglected(trial.quick ? 100 : 2000) })
      const [night] = await finish([{ connection: crm.name, kind: 'night', now: MONDAY }])
      const writes = (await crm.journal()).length
      const problems = [
        ...(writes > 0 ? [`${writes} writes without a confirmation`] : []),
        ...(night?.kind === 'preview' ? [] : [`the night became a ${night?.kind}, not a preview`]),
      ]
      return { injected: '1 neglected pipeline', dup: 0, lost: 0, wrong: writes, problems }
    },
  },
  {
    fault: 27,
    title: 'later night: a fifth of the pipeline stalls at once',
    async run(trial) {
      const count = trial.quick ? 150 : 2000
      // Seven of ten cross their limit of 15 working days between the two nights.
      const seed = seedOf(names(count).map((name, at) => seedDeal(name, { idle: at % 10 < 7 ? 18 : 3, age: 200 })))
      const brakes = { maxNewlyStalledShare: 0.15 }
      const { crm, firstNight, finish } = await stage(trial, { seed, config: { brakes } })
      await firstNight(MONDAY)
      const before = (await crm.journal()).length
      const now = MONDAY + 7 * DAY
      await crm.clock(now)
      await finish([{ connection: crm.name, kind: 'night', now }])
      const writes = (await crm.journal()).length - before
      const { deals } = await crm.look()
      const flagged = deals.filter(({ stalled }) => stalled).length
      const problems = [
        ...(writes > 0 ? [`${writes} writes although ${count * 0.7} deals stalled at once`] : []),
        ...(before > 0 ? [`the first night wrote ${before} times: the seed is wrong`] : []),
        ...(flagged > 0 ? [`${flagged} flags`] : []),
      ]
      return { injected: `${count * 0.7} of ${count} deals`, dup: 0, lost: 0, wrong: writes, problems }
    },
  },
  {
    fault: 28,
    title: 'preview: writes nothing, promises what follows',
    async run(trial) {
      const { system, seed, quick } = trial
      const rig = await company(trial, world({ seed, deals: quick ? 150 : 2000 }))
      const { crm, database, passed } = rig
      await rig.next()
      const preview = await rig.night(crm, { kind: 'preview' })
      const writes = (await crm.journal()).length
      const asked = passed.filter(({ rows }) => rows > 0).length
      const plan = await getPlan(database.db, preview.id)
      const run = await rig.night(crm, { confirm: preview.id })
      const said = promised(plan, system, run.now)
      const done = new Map<string, Values>()
      for (const { object, id, before, after } of await crm.journal()) {
        const deal = String(after?.dealId ?? after?.WhatId)
        const what = /task/i.test(object) ? `${before === null ? 'task' : 'change of a task'} of ${deal}` : id
        done.set(what, { ...done.get(what), ...after })
      }
      const problems = [...new Set([...said.keys(), ...done.keys()])].flatMap((what) => {
        const [promise, deed] = [said.get(what), done.get(what)]
        if (!promise || !deed)
          return [`${what}: ${promise ? 'promised, but not written' : 'written, but not promised'}`]
        // The task's own fields that no plan names: key, deal, kind, state, moment.
        const fields = what.startsWith('task') ? Object.keys(promise) : Object.keys({ ...promise, ...deed })
        return fields
          .filter((field) => !(promise[field] === undefined && /^(?:ForecastCategory|ExpectedRevenue)$/.test(field)))
          .filter((field) => same(promise[field]) !== same(deed[field]))
          .map((field) => `${what}: ${field} promised ${promise[field]}, written ${deed[field]}`)
      })
      if (writes + asked > 0) problems.push(`the preview wrote ${writes} times, with ${asked} calls`)
      if (said.size === 0) problems.push('nothing was promised: the world is too small')
      const found = await rig.judge()
      return { ...found, injected: `${said.size} records promised`, problems: [...problems, ...found.problems] }
    },
  },
]
