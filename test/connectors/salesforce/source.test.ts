// The folder an administrator deploys holds what setup sends: each file against what the lookalike org was sent over HTTP.
import { expect, test } from 'vitest'
import { clientCredentials, connectSalesforce, sourceFiles } from '../../../connectors/salesforce/index.ts'
import { generate } from '../../../src/sandbox/generate.ts'
import { startSandbox } from '../../../src/sandbox/kernel.ts'
import { salesforce } from '../../../src/sandbox/salesforce/index.ts'
import { collect } from '../../conformance.ts'
import { never, quietGate } from './org.ts'

const decoded = (xml: string) =>
  xml
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replace(
      /&(lt|gt|quot|apos|amp);/g,
      (_, name: 'lt') => ({ lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' })[name],
    )
/** What stands in the root element: full names are shorter in files, and only a field made by setup says when. */
const inside = (xml: string) =>
  decoded(xml.replace(/>\s+</g, '><'))
    .replace(/^<\?xml[^>]*>\s*<\w+[^>]*>(.*)<\/\w+>\s*$/s, '$1')
    .replace(/^<fullName>[^<]*<\/fullName>/, '')
    .replace(/ \(Field of [^)]*\)(?=<\/inlineHelpText>)/, '')

test('every file says what setup sends', async () => {
  const now = Date.parse('2026-11-20T09:00:00Z')
  const sandbox = await startSandbox(salesforce(generate({ now, deals: 5, open: 3 })), { now })
  const credential = clientCredentials({ loginUrl: sandbox.url, clientId: 'sandbox', clientSecret: 'sandbox' })
  const clock = () => now
  await collect(
    connectSalesforce({ credential, gate: quietGate(), clock, sleep: async () => {}, timezone: 'UTC' }).setup(never),
  )
  const { token } = await credential.session(never)
  const sent = async (type: string, name: string) => {
    const call = `<readMetadata><type>${type}</type><fullNames>${name}</fullNames></readMetadata>`
    const body = `<Envelope><Header><sessionId>${token}</sessionId></Header><Body>${call}</Body></Envelope>`
    const answer = await fetch(`${sandbox.url}/services/Soap/m/67.0`, { method: 'POST', body })
    return /<records [^>]*>(.*)<\/records>/s.exec(await answer.text())?.[1] ?? ''
  }
  const files = [...sourceFiles()].filter(([path]) => path.endsWith('.xml'))
  expect(files).toHaveLength(17)
  for (const [path, text] of files) {
    const [, object, name = ''] = /default\/(?:objects\/(\w+)\/)?\w+\/(\w+)\.\w+-meta\.xml$/.exec(path) ?? []
    const type = /<(CustomField|ListView|PermissionSet) xmlns/.exec(text)?.[1] ?? ''
    const was = inside(await sent(type, object ? `${object}.${name}` : name))
    expect(was, path).not.toBe('')
    expect(inside(text), path).toBe(was)
    if (object) expect(text).toContain(`<fullName>${name}</fullName>`)
  }
  await sandbox.close()
})

test('the same every time, where the tools look for it, and escaped', () => {
  const files = sourceFiles()
  expect([...files]).toEqual([...sourceFiles()])
  const paths = [...files.keys()].filter((path) => !/Opportunity\/fields/.test(path))
  expect(paths).toEqual([
    'sfdx-project.json',
    'force-app/main/default/objects/Activity/fields/Unstall_Key__c.field-meta.xml',
    'force-app/main/default/objects/Opportunity/listViews/Unstall_Stalled.listView-meta.xml',
    'force-app/main/default/permissionsets/Unstall_Integration.permissionset-meta.xml',
    'force-app/main/default/permissionsets/Unstall_People.permissionset-meta.xml',
  ])
  const formula = files.get(
    'force-app/main/default/objects/Opportunity/fields/Unstall_Forecast_Amount__c.field-meta.xml',
  )
  expect(formula).toContain('ISPICKVAL(Unstall_State__c,&#39;stalled&#39;)')
  expect(formula).toContain(
    '<CustomField xmlns="http://soap.sforce.com/2006/04/metadata">\n    <fullName>Unstall_Forecast',
  )
})
