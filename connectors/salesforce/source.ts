// What setup creates, as a source-format folder: for an administrator who wants to review it and deploy it with their
// own tools. Made from the same bodies, and the same every time.
import { API_VERSION } from './api.ts'
import { listView, OWN_FIELDS, peopleSet, permissionSet } from './fields.ts'

export const PROJECT = 'sfdx-project.json'
const project = { packageDirectories: [{ path: 'force-app', default: true }], sourceApiVersion: API_VERSION }

/** Folder and ending of each type. */
const PLACES = {
  CustomField: ['fields', 'field'],
  ListView: ['listViews', 'listView'],
  PermissionSet: ['permissionsets', 'permissionset'],
} as const

/** Path below the folder, and text. */
export function sourceFiles(): ReadonlyMap<string, string> {
  const file = (type: keyof typeof PLACES, within: string, name: string, body: object): [string, string] => {
    const [folder, ending] = PLACES[type]
    const text = xml(`${type} xmlns="http://soap.sforce.com/2006/04/metadata"`, body)
    const path = `force-app/main/default/${within}${folder}/${name}.${ending}-meta.xml`
    return [path, `<?xml version="1.0" encoding="UTF-8"?>\n${text}`]
  }
  // The folder says of which object it is, so the full name is the short one.
  const ofObject = (type: keyof typeof PLACES, body: { readonly fullName: string }) => {
    const [object, fullName = ''] = body.fullName.split('.')
    return file(type, `objects/${object}/`, fullName, { ...body, fullName })
  }
  return new Map([
    [PROJECT, `${JSON.stringify(project, null, 2)}\n`],
    ...OWN_FIELDS.map(({ body }) => ofObject('CustomField', body)),
    ofObject('ListView', listView),
    ...[permissionSet, peopleSet].map(({ fullName, ...body }) => file('PermissionSet', '', fullName, body)),
  ])
}

/** `open`: the element's name and attributes. A list becomes as many elements of its name. */
function xml(open: string, value: unknown, indent = ''): string {
  if (Array.isArray(value)) return value.map((one) => xml(open, one, indent)).join('')
  const close = open.split(' ')[0]
  if (typeof value !== 'object' || value === null)
    return `${indent}<${open}>${String(value).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)}</${close}>\n`
  const inside = Object.entries(value).map(([name, one]) => xml(name, one, `${indent}    `))
  return `${indent}<${open}>\n${inside.join('')}${indent}</${close}>\n`
}
