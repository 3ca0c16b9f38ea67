// A company's own words reach the CRM, as they were when the run was opened; a preview under other words confirms nothing.
import { expect, it, onTestFinished } from 'vitest'
import { Settings } from '../../src/core/policy.ts'
import { rowsOfRun } from '../../src/store/ledger.ts'
import { homes } from '../homes.ts'
import { DAY, MONDAY, seedDeal, seedOf, setUp, startCrm } from './harness.ts'
import { settings, startProgram } from './program.ts'

const worded = (subject: string) =>
  Settings.parse({
    ...settings,
    texts: {
      en: { subject, task: 'Ask about {name}.\n\n{draft}', drafts: { next: 'What next?' }, completion: 'Over.' },
    },
  })

it.each(['hubspot', 'salesforce'] as const)('%s: own words in the task and in its note', async (system) => {
  const home = await homes[0]?.open()
  if (!home) throw new Error('no home')
  const crm = await startCrm(system, seedOf([seedDeal('{draft} & <b>')]))
  onTestFinished(() => crm.stop())
  await setUp(crm)
  const program = await startProgram({ ...home, crms: [crm], settings: worded('Well, {name}?') })
  onTestFinished(() => program.close())
  const preview = await program.night(crm, MONDAY, { kind: 'preview' })
  const others = { confirm: preview.id, settings: worded('Now, {name}?') }
  await expect(program.open(crm, MONDAY, others)).rejects.toThrow(/settings have changed since preview/)
  const run = await program.night(crm, MONDAY, { confirm: preview.id })
  expect(run).toMatchObject({ status: 'done', problem: null })
  const rows = await rowsOfRun(program.ctx.db, run.id)
  expect(rows.find(({ kind }) => kind === 'create-task')).toMatchObject({ subject: 'Well, {draft} & <b>?' })
  const [task] = (await crm.look()).tasks
  const asked = 'Ask about {draft} & <b>.\n\nWhat next?'
  const written = (text: string) =>
    system === 'salesforce' ? text : text.replace('& <b>', '&amp; &lt;b&gt;').replaceAll('\n', '<br>')
  expect(task).toMatchObject({ body: written(asked) })

  await crm.actOn(task?.deal ?? '', 'buyer-reply')
  await crm.clock(MONDAY + DAY)
  expect(await program.night(crm, MONDAY + DAY)).toMatchObject({ status: 'done', problem: null })
  expect((await crm.look()).tasks).toMatchObject([{ open: false, body: written(`${asked}\n\nOver.`) }])
})
