// The Salesforce connector against the lookalike org, over real HTTP, by the contract every connector keeps.
import { Connection } from 'jsforce'
import { permissionSet } from '../../../connectors/salesforce/fields.ts'
import { clientCredentials, connectSalesforce } from '../../../connectors/salesforce/index.ts'
import { generate } from '../../../src/sandbox/generate.ts'
import { startSandbox } from '../../../src/sandbox/kernel.ts'
import { salesforce } from '../../../src/sandbox/salesforce/index.ts'
import { conformance } from '../../conformance.ts'

conformance('salesforce', async () => {
  const now = Date.now()
  const sandbox = await startSandbox(salesforce(generate({ now, deals: 260, open: 160, seed: 1 })), { now })
  return {
    origin: sandbox.url,
    connect: ({ baseUrl, ...options }) => {
      const loginUrl = baseUrl ?? sandbox.url
      const credential = clientCredentials({ loginUrl, clientId: 'sandbox', clientSecret: 'sandbox', timeoutMs: 2000 })
      return connectSalesforce({ ...options, credential })
    },
    fields: (line) => line,
    names: {
      id: 'Id',
      amount: 'Amount',
      closeDate: 'CloseDate',
      stalled: 'Unstall_Stalled__c',
      explanation: 'Unstall_Explanation__c',
      category: 'ForecastCategoryName',
      taskKey: 'Unstall_Key__c',
      taskBody: 'Description',
    },
    paths: {
      updateDeals: '/composite/sobjects',
      createTasks: '/composite/sobjects',
      readDeals: '/composite/sobjects/Opportunity',
      search: '/query',
      findTasks: '/query',
      signIn: '/oauth2/token',
    },
    renews: true,
    flagAsText: async () => {
      const credential = clientCredentials({ loginUrl: sandbox.url, clientId: 'sandbox', clientSecret: 'sandbox' })
      const { token } = await credential.session(new AbortController().signal)
      const admin = new Connection({ instanceUrl: sandbox.url, accessToken: token, version: '67.0' })
      const fullName = 'Opportunity.Unstall_Stalled__c'
      await admin.metadata.upsert('CustomField', { fullName, label: 'Stalled', type: 'Text', length: 20 })
      await admin.metadata.upsert('PermissionSet', permissionSet)
    },
    stop: () => sandbox.close(),
  }
})
