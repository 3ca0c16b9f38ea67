// The Metadata API over SOAP, as far as setup needs it: create, update, upsert, read, list and delete of custom fields,
// permission sets and list views, ten components per call, each with its own success or errors.
import type { Answer, Call } from '../kernel.ts'
import { compile, FormulaError } from './formula.ts'
import type { Org, SaveError, Saver } from './org.ts'
import { PLAIN_FIELD, type Row } from './schema.ts'

interface Node {
  readonly name: string
  readonly type: string
  readonly children: Node[]
  text: string
}

const MAX_COMPONENTS = 10
const TYPES: Record<string, string> = {
  Checkbox: 'boolean',
  Date: 'date',
  DateTime: 'datetime',
  Picklist: 'picklist',
  Text: 'string',
  TextArea: 'textarea',
  LongTextArea: 'textarea',
  Number: 'double',
  Currency: 'currency',
  Percent: 'percent',
}

export function metadataApi(org: Org, valid: (token: string) => boolean, saver: () => Saver) {
  /** By type and full name, as they were sent. */
  const components = new Map<string, Node>()

  function handle(call: Call): Answer {
    const envelope = parseXml(call.body)
    const session = child(child(child(envelope, 'Header'), 'SessionHeader'), 'sessionId')?.text ?? ''
    if (!valid(session))
      return fault('INVALID_SESSION_ID', 'Invalid Session ID found in SessionHeader: Illegal Session')
    const operation = child(envelope, 'Body')?.children[0]
    const verb = /^(create|update|upsert|read|delete|list)Metadata$/.exec(operation?.name ?? '')?.[1]
    if (!operation || !verb) return fault('UNKNOWN_EXCEPTION', `unknown operation ${operation?.name ?? ''}`)
    const type = textOf(operation, 'type')
    const names = operation.children.filter((node) => node.name === 'fullNames').map((node) => node.text)
    const given = operation.children.filter((node) => node.name === 'metadata')
    if (Math.max(names.length, given.length) > MAX_COMPONENTS)
      return fault('LIMIT_EXCEEDED', `The number of components in one call is limited to ${MAX_COMPONENTS}`)
    const results: string[] = []
    if (verb === 'read') results.push(`<result>${names.map((name) => read(type, name)).join('')}</result>`)
    if (verb === 'list') {
      const wanted = operation.children.filter((node) => node.name === 'queries').map((node) => textOf(node, 'type'))
      for (const [key, node] of components) {
        const [kind = '', name = ''] = key.split(' ')
        if (wanted.includes(kind))
          results.push(`<result>${tag('fullName', name)}${tag('type', kind)}${tag('id', textOf(node, 'id'))}</result>`)
      }
    }
    if (verb === 'delete') for (const name of names) results.push(saved(name, remove(type, name)))
    for (const node of given) {
      const there = components.has(`${node.type} ${textOf(node, 'fullName')}`)
      const created = verb === 'upsert' ? tag('created', String(!there)) : ''
      results.push(saved(textOf(node, 'fullName'), write(node, verb, there), created))
    }
    return soap(
      200,
      `<${operation.name}Response xmlns="http://soap.sforce.com/2006/04/metadata">${results.join('')}</${operation.name}Response>`,
    )
  }

  const read = (type: string, name: string) => {
    const node = components.get(`${type} ${name}`)
    return node
      ? `<records xsi:type="${escapeXml(type)}">${node.children.map(toXml).join('')}</records>`
      : '<records xsi:nil="true"/>'
  }

  function write(node: Node, verb: string, there: boolean): SaveError | null {
    const name = textOf(node, 'fullName')
    if (there && verb === 'create') return wrong(`${node.type} ${name} is already in use`, 'DUPLICATE_DEVELOPER_NAME')
    if (!there && verb === 'update') return wrong(`no ${node.type} named ${name} found`, LOST)
    const make = { CustomField: customField, PermissionSet: permissionSet, ListView: listView }[node.type]
    const problem = make ? make(node, name) : wrong(`type ${node.type} is not played by this sandbox`, 'INVALID_TYPE')
    if (problem) return problem
    journal(node.type, name, components.get(`${node.type} ${name}`) ?? null, node)
    components.set(`${node.type} ${name}`, node)
    return null
  }
  function journal(object: string, id: string, before: Node | null, after: Node | null): void {
    const row = (node: Node | null): Row | null =>
      node && Object.fromEntries(node.children.map((c) => [c.name, c.text || toXml(c)]))
    org.options.record({ object, id, before: row(before), after: row(after) })
  }

  function customField(node: Node, fullName: string): SaveError | null {
    const [object = '', name = ''] = fullName.split('.')
    const targets = objectsOf(object).flatMap((target) => org.type(target) ?? [])
    const [target] = targets
    if (!target || ['Task', 'Event'].includes(object)) return wrong(`no CustomObject named ${object} found`, LOST)
    if (!/^[A-Za-z](?:_?[A-Za-z0-9])*__c$/.test(name) || name.length > 43)
      return wrong(`The field name '${name}' must begin with a letter, end with __c and use single underscores`)
    const of = (key: string) => textOf(node, key)
    const kind = of('type')
    const type = TYPES[kind]
    const calculated = of('formula') !== ''
    if (!type || !of('label')) return wrong(`Required field is missing: ${type ? 'label' : 'type'}`)
    const old = target.fields.get(name.toLowerCase())
    if (old && (old.type !== type || (old.formula !== null) !== calculated))
      return wrong(`Cannot change the field type of ${fullName}`)
    const set = child(child(node, 'valueSet'), 'valueSetDefinition')
    const values = (set?.children ?? []).filter((c) => c.name === 'value').map((c) => textOf(c, 'fullName'))
    const length = kind === 'Picklist' ? 255 : Number(of('length'))
    const needs: Record<string, readonly [met: boolean, what: string]> = {
      Checkbox: [calculated || of('defaultValue') !== '', "'defaultValue' for a Checkbox field"],
      Text: [calculated || (length >= 1 && length <= 255), "'length' between 1 and 255 for a Text field"],
      Number: [Number(of('precision')) <= 18 && of('scale') !== '', "'precision' (at most 18) and 'scale'"],
      Picklist: [values.length > 0 && new Set(values).size === values.length, 'a value set without duplicates'],
    }
    const [met, what] = needs[kind === 'Currency' ? 'Number' : kind] ?? [true, '']
    if (!met) return wrong(`Must specify ${what}`)
    if (of('unique') === 'true') return wrong('unique fields are not played by this sandbox')
    try {
      const zero = of('formulaTreatBlanksAs') === 'BlankAsZero'
      const formula = calculated ? { text: of('formula'), of: compile(of('formula'), target.fields, zero) } : null
      const restricted = child(child(node, 'valueSet'), 'restricted')?.text === 'true'
      const can = { create: !calculated, update: !calculated, filter: kind !== 'LongTextArea' }
      const is = { custom: true, restricted, tracked: of('trackHistory') === 'true' }
      const field = { ...PLAIN_FIELD, name, label: of('label'), type, values, length, formula, ...can, ...is }
      for (const each of targets) each.fields.set(name.toLowerCase(), field)
      return null
    } catch (error) {
      if (error instanceof FormulaError) return wrong(error.message)
      throw error
    }
  }

  function permissionSet(node: Node, name: string): SaveError | null {
    if (!textOf(node, 'label')) return wrong('Required field is missing: label')
    const sets = org.table('PermissionSet')
    const type = org.table('FieldPermissions')
    const admin = { ...saver(), api: false }
    const found = org.rows('PermissionSet').find((row) => row.Name === name)
    const values = { Name: name, Label: textOf(node, 'label'), IsOwnedByProfile: false }
    const parent = String(found?.Id ?? org.put('PermissionSet', values, admin))
    const granted = node.children.filter((c) => c.name === 'fieldPermissions')
    const rows = granted.map((c): Row => {
      const [Field, read, edit] = ['field', 'readable', 'editable'].map((key) => textOf(c, key))
      const may = { PermissionsRead: read === 'true', PermissionsEdit: edit === 'true' }
      return { ParentId: parent, SobjectType: (Field ?? '').split('.')[0] ?? '', Field: Field ?? '', ...may }
    })
    for (const row of rows) {
      const tried = org.save(type, null, row, admin, true)
      if ('id' in tried) continue
      if (!found) sets.rows.delete(parent)
      return tried
    }
    // What is sent replaces the set: a permission left out is taken away.
    for (const row of org.rows('FieldPermissions')) if (row.ParentId === parent) type.rows.delete(String(row.Id))
    for (const row of rows) org.save(type, null, row, admin)
    return null
  }

  function listView(node: Node, name: string): SaveError | null {
    const fields = org.type(name.split('.')[0] ?? '')?.fields
    if (!fields || !textOf(node, 'label') || !textOf(node, 'filterScope')) return wrong('Required field is missing')
    const used = node.children.map((c) =>
      c.name === 'columns' ? c.text : c.name === 'filters' ? textOf(c, 'field') : '',
    )
    const unknown = used.find((used) => /__c$/i.test(used) && !fields.has(used.replace(/.*\./, '').toLowerCase()))
    return unknown === undefined ? null : wrong(`Could not resolve list view column: ${unknown}`)
  }

  function remove(type: string, fullName: string): SaveError | null {
    const node = components.get(`${type} ${fullName}`)
    if (!node) return wrong(`no ${type} named ${fullName} found`, LOST)
    components.delete(`${type} ${fullName}`)
    const [object = '', name = ''] = fullName.split('.')
    if (type === 'CustomField') for (const target of objectsOf(object)) dropField(target, name)
    const sets = type === 'PermissionSet' ? org.rows(type).filter((row) => row.Name === fullName) : []
    for (const row of sets) org.remove(org.table(type), String(row.Id), saver())
    journal(type, fullName, node, null)
    return null
  }
  function dropField(object: string, name: string): void {
    const type = org.type(object)
    type?.fields.delete(name.toLowerCase())
    for (const row of type?.rows.values() ?? []) delete row[name]
    const permissions = org.rows('FieldPermissions').filter((row) => row.Field === `${object}.${name}`)
    for (const row of permissions) org.remove(org.table('FieldPermissions'), String(row.Id), saver())
  }

  /** Somebody deletes a custom field in the set-up pages; false where there is none of that name. */
  function drop(field: string): boolean {
    const names = [...components.keys()].filter((key) => key.startsWith('CustomField ')).map((key) => key.slice(12))
    const name = names.find((each) => each === field || each.endsWith(`.${field}`))
    return name !== undefined && remove('CustomField', name) === null
  }

  return { handle, drop }
}

const LOST = 'INVALID_CROSS_REFERENCE_KEY'
const objectsOf = (object: string) => (object === 'Activity' ? ['Task', 'Event'] : [object])
const wrong = (message: string, statusCode = 'FIELD_INTEGRITY_EXCEPTION'): SaveError => ({
  statusCode,
  message,
  fields: [],
})

function saved(fullName: string, error: SaveError | null, extra = ''): string {
  const fields = error?.fields.map((field) => tag('fields', field)).join('')
  const errors = error
    ? `<errors>${fields}${tag('message', error.message)}${tag('statusCode', error.statusCode)}</errors>`
    : ''
  return `<result>${extra}${errors}${tag('fullName', fullName)}${tag('success', String(error === null))}</result>`
}
function soap(status: number, body: string): Answer {
  const text = `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`
  return { status, body: text, headers: { 'content-type': 'text/xml;charset=UTF-8' } }
}
const fault = (code: string, message: string) =>
  soap(
    500,
    `<soapenv:Fault><faultcode>sf:${code}</faultcode><faultstring>${code}: ${escapeXml(message)}</faultstring></soapenv:Fault>`,
  )

const child = (node: Node | undefined, name: string) => node?.children.find((c) => c.name === name)
const textOf = (node: Node, name: string) => child(node, name)?.text ?? ''
const escapeXml = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
const tag = (name: string, text: string) => `<${name}>${escapeXml(text)}</${name}>`
const toXml = (node: Node): string =>
  node.children.length > 0
    ? `<${node.name}>${node.children.map(toXml).join('')}</${node.name}>`
    : tag(node.name, node.text)

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const unescaped = (text: string) =>
  text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, dec, hex, name) =>
    dec
      ? String.fromCodePoint(Number(dec))
      : hex
        ? String.fromCodePoint(Number.parseInt(hex, 16))
        : (ENTITIES[name] ?? whole),
  )

/** Elements and their text: enough for SOAP, which has no mixed content. Prefixes are dropped. */
function parseXml(xml: string): Node {
  const root: Node = { name: '', type: '', children: [], text: '' }
  const open = [root]
  for (const [, close, name, attributes, empty, text] of xml.matchAll(
    /<(?:[?!][^>]*|(\/?)(?:[\w-]+:)?([\w.-]+)([^>]*?)(\/?))>([^<]*)/g,
  )) {
    if (name === undefined) continue
    if (close) open.pop()
    else {
      const node: Node = {
        name,
        type: /xsi:type="(?:\w+:)?(\w+)"/.exec(attributes ?? '')?.[1] ?? '',
        children: [],
        text: empty ? '' : unescaped(text ?? '').trim(),
      }
      open.at(-1)?.children.push(node)
      if (!empty) open.push(node)
    }
  }
  return root.children[0] ?? root
}
