// The lookalike portal as the conformance suite wants it. Two test files use it, one per kind of task key.
import { connectHubspot, staticToken } from '../../../connectors/hubspot/index.ts'
import { generate } from '../../../src/sandbox/generate.ts'
import { hubspot } from '../../../src/sandbox/hubspot/server.ts'
import { startSandbox } from '../../../src/sandbox/kernel.ts'
import type { Harness } from '../../conformance.ts'

export async function harness(taskKey: 'unique' | 'plain'): Promise<Harness> {
  const now = Date.now()
  const seed = generate({ now, deals: 260, open: 160, seed: 1 })
  const sandbox = await startSandbox(hubspot(seed, { taskKey }), { now })
  return {
    origin: sandbox.url,
    connect: (options) =>
      connectHubspot({ baseUrl: sandbox.url, credential: staticToken('sandbox-conformance'), ...options }),
    fields: ({ properties }) =>
      typeof properties === 'object' && properties !== null ? Object.fromEntries(Object.entries(properties)) : {},
    names: {
      id: 'id',
      amount: 'amount',
      closeDate: 'closedate',
      stalled: 'unstall_stalled',
      explanation: 'unstall_explanation',
      category: 'hs_manual_forecast_category',
      taskKey: 'unstall_task_key',
      taskBody: 'hs_task_body',
    },
    paths: {
      updateDeals: '/deals/batch/update',
      createTasks: '/tasks/batch/create',
      readDeals: '/deals/batch/read',
      search: '/deals/search',
      findTasks: taskKey === 'unique' ? '/tasks/batch/read' : '/deals/tasks/batch/read',
      signIn: null,
    },
    renews: false,
    flagAsText: async () => {
      const made = await fetch(`${sandbox.url}/crm/properties/2026-09/deals`, {
        method: 'POST',
        headers: { authorization: 'Bearer sandbox-admin', 'content-type': 'application/json' },
        body: JSON.stringify({
          ...{ name: 'unstall_stalled', label: 'Stalled', type: 'string', fieldType: 'text', groupName: 'unstall' },
        }),
      })
      if (!made.ok) throw new Error(await made.text())
    },
    stop: () => sandbox.close(),
  }
}
