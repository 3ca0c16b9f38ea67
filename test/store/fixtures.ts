// Small valid values for the store's tests; each test changes only what it is about.
import type { Deal, Known } from '../../src/core/deal.ts'
import type { PlannedWrite } from '../../src/core/plan.ts'
import { Settings } from '../../src/core/policy.ts'
import type { Standing } from '../../src/core/stall.ts'
import { openRun, type Run, startStep } from '../../src/store/runs.ts'
import type { Db } from '../../src/store/schema.ts'
import { NO_OWN_FIELDS } from '../core/build.ts'

export const NOW = 1_795_000_000_000

export async function startedRun(db: Db, connection = 'hub', localDate = '2026-11-23'): Promise<Run> {
  const opened = await openRun(db, {
    connection,
    kind: 'manual',
    localDate,
    now: NOW,
    settings: Settings.parse({ timezone: 'Europe/Paris' }),
    settingsHash: 'abc',
    createdAt: NOW,
  })
  if ('busy' in opened) throw new Error('busy')
  const run = await startStep(db, opened.run.id, 'pull')
  if (!run) throw new Error('not started')
  return run
}

export function known(id: string, change: Partial<Deal> = {}, connection = 'hub'): Known {
  const deal: Deal = {
    id,
    name: `Deal ${id}`,
    url: `https://crm.example/${id}`,
    ownerId: '1',
    pipelineId: 'default',
    stageId: 'proposal',
    outcome: 'open',
    type: null,
    amount: 12_000.5,
    currency: 'EUR',
    closeDate: '2026-12-24',
    createdAt: NOW,
    imported: false,
    category: null,
    own: NO_OWN_FIELDS,
    lockGroup: null,
    modifiedAt: NOW,
    meeting: null,
    ...change,
  }
  return { ref: { connection, id }, deal, changes: [], activities: [], firstSeen: NOW }
}

export const standing = (change: Partial<Standing> = {}): Standing => ({
  state: 'moving',
  since: NOW,
  stall: null,
  borrowed: null,
  categoryTheirs: false,
  dismissedAt: null,
  undone: null,
  ...change,
})

const intent = { lockGroup: null, cause: 'flagged', rule: 'no_movement', hold: null, undoes: null } as const

export const fields = (
  run: string,
  deal: string,
  change: Partial<PlannedWrite & { kind: 'fields' }> = {},
): PlannedWrite => ({
  ...intent,
  kind: 'fields',
  key: `${run}.${deal}.flag`,
  deal: { connection: run.startsWith('sf') ? 'sf' : 'hub', id: deal },
  group: 'flag',
  before: { stalled: false },
  after: { stalled: true, state: 'stalled' },
  ...change,
})

export const task = (
  run: string,
  deal: string,
  change: Partial<PlannedWrite & { kind: 'create-task' }> = {},
): PlannedWrite => ({
  ...intent,
  kind: 'create-task',
  key: `${run}.${deal}.task`,
  deal: { connection: run.startsWith('sf') ? 'sf' : 'hub', id: deal },
  group: 'task',
  taskKey: `key-${deal}`,
  owner: '1',
  person: 'ana@acme.example',
  subject: 'Obtain a yes or a no',
  body: 'text',
  due: '2026-11-25',
  ...change,
})
