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

/** Components by type and full name, as they were sent. */
type Components = Map<string, Node>

export function metadataApi(org: Org, valid: (token: string) => boolean, saver: () => Saver) {
  const components: Components = new Map()

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
    if (there && verb === 'create')
      return {
        statusCode: 'DUPLICATE_DEVELOPER_NAME',
        message: `The ${node.type} named ${name} is already in use`,
        fields: ['fullName'],
      }
    if (!there && verb === 'update') return wrong(`no ${node.type} named ${name} found`, 'INVALID_CROSS_REFERENCE_KEY')
    const problem =
      node.type === 'CustomField'
        ? customField(node, name)
        : node.type === 'PermissionSet'
          ? permissionSet(node, name)
          : node.type === 'ListView'
            ? listView(node, name)
            : wrong(`type ${node.type} is not played by this sandbox`, 'INVALID_TYPE')
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
    const targets = (object === 'Activity' ? ['Task', 'Event'] : [object]).flatMap((target) => org.type(target) ?? [])
    const [target] = targets
    if (!target || ['Task', 'Event'].includes(object))
      return wrong(
        `Entity of type CustomObject named ${object} cannot have custom fields`,
        'INVALID_CROSS_REFERENCE_KEY',
      )
    if (!/^[A-Za-z](?:_?[A-Za-z0-9])*__c$/.test(name) || name.length > 43)
      return wrong(
        `The object name '${name}' must begin with a letter, end with __c and use only letters, digits and single underscores`,
      )
    const [kind, label, formula] = ['type', 'label', 'formula'].map((key) => textOf(node, key))
    const type = TYPES[kind ?? '']
    if (!type || !label) return wrong(`Required field is missing: ${type ? 'label' : 'type'}`, 'REQUIRED_FIELD_MISSING')
    const old = target.fields.get(name.toLowerCase())
    if (old && (old.type !== type || (old.formula === null) !== (formula === '')))
      return wrong(`Cannot change the field type of ${fullName}`)
    if (kind === 'Checkbox' && formula === '' && textOf(node, 'defaultValue') === '')
      return wrong("Must specify 'defaultValue' for a Checkbox field")
    const length = Number(textOf(node, 'length'))
    if (kind === 'Text' && formula === '' && !(length >= 1 && length <= 255))
      return wrong("Must specify 'length' between 1 and 255 for a Text field")
    if (
      ['Number', 'Currency'].includes(kind ?? '') &&
      !(Number(textOf(node, 'precision')) <= 18 && textOf(node, 'scale') !== '')
    )
      return wrong("Must specify 'precision' (at most 18) and 'scale'")
    if (textOf(node, 'unique') === 'true') return wrong('unique fields are not played by this sandbox')
    const set = child(child(node, 'valueSet'), 'valueSetDefinition')
    const values = set?.children.filter((c) => c.name === 'value').map((c) => textOf(c, 'fullName')) ?? []
    if (kind === 'Picklist' && (values.length === 0 || new Set(values).size < values.length))
      return wrong('Must specify a value set without duplicates for a Picklist field')
    try {
      const blanks = textOf(node, 'formulaTreatBlanksAs') === 'BlankAsZero'
      const compiled = formula ? { text: formula, of: compile(formula, target.fields, blanks) } : null
      const restricted = child(child(node, 'valueSet'), 'restricted')?.text === 'true'
      const writable = compiled === null
      const field = {
        ...PLAIN_FIELD,
        name,
        label,
        type,
        values,
        restricted,
        formula: compiled,
        length: kind === 'Picklist' ? 255 : length,
        create: writable,
        update: writable,
        filter: kind !== 'LongTextArea',
        custom: true,
        tracked: textOf(node, 'trackHistory') === 'true',
      }
      for (const each of targets) each.fields.set(name.toLowerCase(), field)
      return null
    } catch (error) {
      if (error instanceof FormulaError) return wrong(error.message)
      throw error
    }
  }

  function permissionSet(node: Node, name: string): SaveError | null {
    if (!textOf(node, 'label')) return wrong('Required field is missing: label', 'REQUIRED_FIELD_MISSING')
    const found = org.rows('PermissionSet').find((row) => row.Name === name)
    const type = org.table('FieldPermissions')
    const parent = String(
      found?.Id ??
        org.put('PermissionSet', { Name: name, Label: textOf(node, 'label'), IsOwnedByProfile: false }, saver()),
    )
    const rows = node.children
      .filter((c) => c.name === 'fieldPermissions')
      .map((c): Row => {
        const field = textOf(c, 'field')
        return {
          ParentId: parent,
          SobjectType: field.split('.')[0] ?? '',
          Field: field,
          PermissionsRead: textOf(c, 'readable') === 'true',
          PermissionsEdit: textOf(c, 'editable') === 'true',
        }
      })
    const problem = rows
      .map((row) => org.save(type, null, row, { ...saver(), api: false }, true))
      .find((result) => 'statusCode' in result)
    if (problem && 'statusCode' in problem) {
      if (!found) org.table('PermissionSet').rows.delete(parent)
      return problem
    }
    // What is sent replaces the set: a permission left out is taken away.
    for (const row of org.rows('FieldPermissions')) if (row.ParentId === parent) type.rows.delete(String(row.Id))
    for (const row of rows) org.save(type, null, row, { ...saver(), api: false })
    return null
  }

  function listView(node: Node, name: string): SaveError | null {
    const type = org.type(name.split('.')[0] ?? '')
    if (!type || !textOf(node, 'label') || !textOf(node, 'filterScope'))
      return wrong('Required field is missing: label or filterScope', 'REQUIRED_FIELD_MISSING')
    const used = node.children.flatMap((c) =>
      c.name === 'columns' ? c.text : c.name === 'filters' ? textOf(c, 'field') : [],
    )
    const unknown = used.find(
      (column) => /__c$/i.test(column) && !type.fields.has((column.split('.').at(-1) ?? '').toLowerCase()),
    )
    return unknown === undefined ? null : wrong(`Could not resolve list view column: ${unknown}`)
  }

  function remove(type: string, fullName: string): SaveError | null {
    const node = components.get(`${type} ${fullName}`)
    if (!node) return wrong(`no ${type} named ${fullName} found`, 'INVALID_CROSS_REFERENCE_KEY')
    components.delete(`${type} ${fullName}`)
    const [object = '', name = ''] = fullName.split('.')
    if (type === 'CustomField')
      for (const target of object === 'Activity' ? ['Task', 'Event'] : [object]) dropField(org, target, name)
    if (type === 'PermissionSet')
      for (const row of org.rows('PermissionSet'))
        if (row.Name === fullName) org.remove(org.table('PermissionSet'), String(row.Id), saver())
    journal(type, fullName, node, null)
    return null
  }

  /** Somebody deletes a custom field in the set-up pages; false where there is none of that name. */
  function drop(field: string): boolean {
    const name = [...components.keys()].find(
      (key) => key === `CustomField ${field}` || (key.startsWith('CustomField ') && key.endsWith(`.${field}`)),
    )
    return name !== undefined && remove('CustomField', name.slice('CustomField '.length)) === null
  }

  return { handle, drop }
}

function dropField(org: Org, object: string, name: string): void {
  const type = org.type(object)
  type?.fields.delete(name.toLowerCase())
  for (const row of type?.rows.values() ?? []) delete row[name]
  for (const row of org.rows('FieldPermissions'))
    if (row.Field === `${object}.${name}`)
      org.remove(org.table('FieldPermissions'), String(row.Id), { user: '', at: 0, stamp: 0, api: false })
}

const wrong = (message: string, statusCode = 'FIELD_INTEGRITY_EXCEPTION'): SaveError => ({
  statusCode,
  message,
  fields: [],
})

function saved(fullName: string, error: SaveError | null, extra = ''): string {
  const errors = error
    ? `<errors>${error.fields.map((field) => tag('fields', field)).join('')}${tag('message', error.message)}${tag('statusCode', error.statusCode)}</errors>`
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
