// The Metadata API over SOAP, as far as setup needs it: upsert, read and delete of custom fields, permission sets and list
// views, ten components per call, each with its own success or errors.
import type { Answer, Call } from '../kernel.ts'
import { compile } from './formula.ts'
import type { Org, Saver } from './org.ts'
import { choices, makeField, type Row } from './schema.ts'
import { SaveError } from './validate.ts'

interface Element {
  readonly name: string
  /** Its xsi:type. */
  readonly type: string
  readonly text: string
  readonly xml: string
  readonly children: readonly Element[]
}

const MAX_COMPONENTS = 10
const TYPES: Record<string, string> = {
  ...{ Checkbox: 'boolean', Currency: 'currency', Date: 'date', DateTime: 'datetime' },
  ...{ Number: 'double', Picklist: 'picklist', Text: 'string' },
}
function must(good: boolean, message: string, code = 'FIELD_INTEGRITY_EXCEPTION'): asserts good {
  if (!good) throw new SaveError(code, message)
}
const LOST = 'INVALID_CROSS_REFERENCE_KEY'
/** Custom fields of Activity appear on both of its kinds. */
const objectsOf = (object: string) => (object === 'Activity' ? ['Task', 'Event'] : [object])

export function metadataApi(org: Org, valid: (token: string) => boolean, saver: () => Saver) {
  /** As they were sent, by type and full name. */
  const components = new Map<string, Element>()

  function handle(call: Call): Answer {
    const [header, body] = parseXml(call.body)[0]?.children ?? []
    if (!valid(/<(?:\w+:)?sessionId>([^<]*)</.exec(header?.xml ?? '')?.[1] ?? ''))
      return fault('INVALID_SESSION_ID', 'Invalid Session ID found in SessionHeader: Illegal Session')
    const { name = '', children = [] } = body?.children[0] ?? {}
    const given = children.filter((each) => each.name === (name === 'upsertMetadata' ? 'metadata' : 'fullNames'))
    if (given.length > MAX_COMPONENTS)
      return fault('LIMIT_EXCEEDED', `The number of components in one call is limited to ${MAX_COMPONENTS}`)
    const type = children.find((each) => each.name === 'type')?.text ?? ''
    const operations: Record<string, () => string[]> = {
      readMetadata: () => [tag('result', given.map(read(type)))],
      upsertMetadata: () => given.map(upsert),
      deleteMetadata: () => given.map(({ text }) => answer(text, () => erase(type, text), '')),
    }
    const results = operations[name]?.()
    if (!results) return fault('UNKNOWN_EXCEPTION', `operation ${name} is not played by this sandbox`)
    return soap(200, [tag(`${name}Response`, results)])
  }
  const read =
    (type: string) =>
    ({ text: name }: Element) => {
      const element = components.get(`${type} ${name}`)
      return element ? tag(`records xsi:type="${element.type}"`, [element.xml]) : '<records xsi:nil="true"/>'
    }
  function upsert(element: Element): string {
    const name = textIn(element, 'fullName')
    const old = components.get(`${element.type} ${name}`)
    const make = () => {
      const maker = { CustomField: customField, PermissionSet: permissionSet, ListView: listView }[element.type]
      must(maker !== undefined, `type ${element.type} is not played by this sandbox`, 'INVALID_TYPE')
      maker(element, name)
      components.set(`${element.type} ${name}`, element)
      org.kernel.record({ object: element.type, id: name, before: old ? values(old) : null, after: values(element) })
    }
    return answer(name, make, tag('created', String(!old)))
  }
  /** The result of one component. `more`: what upsert says beyond delete. */
  function answer(name: string, work: () => void, more: string): string {
    try {
      work()
      return tag('result', [more, tag('success', 'true'), tag('fullName', name)])
    } catch (error) {
      if (!(error instanceof SaveError)) throw error
      const { message, statusCode } = error.told
      const errors = tag('errors', [tag('message', message), tag('statusCode', statusCode)])
      const created = more === '' ? '' : tag('created', 'false')
      return tag('result', [created, errors, tag('success', 'false'), tag('fullName', name)])
    }
  }

  function customField(element: Element, fullName: string): void {
    const [object = '', name = ''] = fullName.split('.')
    const targets = objectsOf(object).flatMap((target) => org.type(target) ?? [])
    const [target] = targets
    const of = (key: string) => textIn(element, key)
    const [kind, label, formula] = [of('type'), of('label'), of('formula')]
    const type = TYPES[kind]
    must(target !== undefined && !/^(Task|Event)$/.test(object), `no CustomObject named ${object} found`, LOST)
    const named = /^[A-Za-z](?:_?[A-Za-z0-9])*__c$/.test(name) && name.length <= 43
    must(named, `The field name '${name}' must begin with a letter, end with __c and use single underscores`)
    must(type !== undefined && label !== '', `Required field is missing: ${type ? 'label' : 'type'}`)
    const old = target.fields.get(name.toLowerCase())
    const fits = !old || (old.type === type && old.calculated === (formula !== ''))
    must(fits, `Cannot change the field type of ${fullName}`)
    const set = child(element, 'valueSet')
    const listed = child(set, 'valueSetDefinition')?.children.filter((each) => each.name === 'value') ?? []
    const picklist = listed.map((each) => textIn(each, 'fullName'))
    const length = Number(of('length'))
    const needs: Record<string, readonly [met: boolean, what: string]> = {
      Checkbox: [formula !== '' || of('defaultValue') !== '', "'defaultValue' for a Checkbox field"],
      Text: [length >= 1 && length <= 255, "'length' between 1 and 255 for a Text field"],
      Picklist: [picklist.length > 0 && new Set(picklist).size === picklist.length, 'a value set without duplicates'],
      Number: [Number(of('precision')) <= 18 && of('scale') !== '', "'precision' (at most 18) and 'scale'"],
    }
    const [met, what] = needs[kind === 'Currency' ? 'Number' : kind] ?? [true, '']
    must(met, `Must specify ${what}`)
    must(of('unique') !== 'true', 'unique fields are not played by this sandbox')
    const zero = of('formulaTreatBlanksAs') === 'BlankAsZero'
    const compute = formula === '' ? undefined : compile(formula, target.fields, zero)
    const flags = `${of('required') === 'true' ? '!' : ''}${compute ? '' : 'cu'}${set && textIn(set, 'restricted') === 'true' ? 'r' : ''}`
    const inlineHelpText = of('inlineHelpText') || null
    const told = { label, inlineHelpText, length, custom: true, picklistValues: choices(picklist) }
    const more = { ...told, calculated: !!compute, compute }
    for (const each of targets) each.fields.set(name.toLowerCase(), makeField(name, type, flags, more))
  }

  /** What is sent replaces the set: a permission left out is taken away. A field of Activity is named Task.X or Event.X. */
  function permissionSet(element: Element, name: string): void {
    const label = textIn(element, 'label')
    must(label !== '', 'Required field is missing: label')
    const rows: Row[] = []
    for (const each of element.children.filter((one) => one.name === 'fieldPermissions')) {
      const [object = '', own = ''] = textIn(each, 'field').split('.')
      const field = org.type(object)?.fields.get(own.toLowerCase())
      const [read, edit] = ['readable', 'editable'].map((right) => textIn(each, right) === 'true')
      must(field?.custom === true, `In field: field - no CustomField named ${object}.${own} found`, LOST)
      must(!field.calculated || !edit, `Formula field ${object}.${own} cannot be editable`)
      const rights = { PermissionsRead: read ?? false, PermissionsEdit: edit ?? false }
      for (const SobjectType of ['Task', 'Event'].includes(object) ? ['Task', 'Event'] : [object])
        rows.push({ SobjectType, Field: `${SobjectType}.${field.name}`, ...rights })
    }
    const found = org.rows('PermissionSet').find((row) => row.Name === name)?.Id
    const ParentId = found ?? org.put('PermissionSet', { Name: name, Label: label }, saver())
    org.erase('FieldPermissions', (row) => row.ParentId === ParentId)
    for (const row of rows) org.put('FieldPermissions', { ParentId, ...row }, saver())
  }

  /** Everybody sees it: who shares it with whom is not played. */
  function listView(element: Element, fullName: string): void {
    const [SobjectType = '', DeveloperName = ''] = fullName.split('.')
    const type = org.type(SobjectType)
    must(type !== undefined && /^\w+$/.test(DeveloperName), `no CustomObject named ${SobjectType} found`, LOST)
    must(textIn(element, 'label') !== '' && textIn(element, 'filterScope') !== '', 'Required field is missing')
    for (const name of fieldsOf(element))
      must(!/__c$/.test(name) || type.fields.has(name.toLowerCase()), `Could not resolve list view column: ${name}`)
    org.erase('ListView', (row) => row.SobjectType === SobjectType && row.DeveloperName === DeveloperName)
    org.put('ListView', { SobjectType, DeveloperName, Name: textIn(element, 'label') }, saver())
  }

  /** Refuses what something else refers to. */
  function erase(type: string, name: string): void {
    must(components.has(`${type} ${name}`), `no ${type} named ${name} found`, LOST)
    const [object = '', own = ''] = name.split('.')
    if (type === 'PermissionSet') {
      const set = org.rows('PermissionSet').find((row) => row.Name === name)?.Id
      const assigned = org.rows('PermissionSetAssignment').some((row) => row.PermissionSetId === set && !row.IsDeleted)
      must(!assigned, 'The permission set is assigned to users', 'DELETE_FAILED')
      org.erase('FieldPermissions', (row) => row.ParentId === set)
      org.erase('PermissionSet', (row) => row.Id === set)
    } else if (type === 'ListView') {
      org.erase('ListView', (row) => row.SobjectType === object && row.DeveloperName === own)
    } else {
      const refers = ([key, element]: [string, Element]) =>
        /^CustomField/.test(key)
          ? new RegExp(`\\b${own}\\b`).test(textIn(element, 'formula'))
          : fieldsOf(element).includes(own)
      const users = [...components].filter(refers).map(([key]) => key)
      must(users.length === 0, `This custom field is referenced elsewhere: ${users}`, 'DELETE_FAILED')
      wipe(name)
    }
    forget(type, name)
  }
  function wipe(field: string): void {
    const [object = '', name = ''] = field.split('.')
    for (const target of objectsOf(object)) {
      org.type(target)?.fields.delete(name.toLowerCase())
      for (const row of org.rows(target)) delete row[name]
      org.erase('FieldPermissions', (row) => row.Field === `${target}.${name}`)
    }
  }
  function forget(type: string, name: string): void {
    const before = components.get(`${type} ${name}`)
    components.delete(`${type} ${name}`)
    org.kernel.record({ object: type, id: name, before: before ? values(before) : null, after: null })
  }

  /** Somebody deletes a custom field in the set-up pages, whatever refers to it; false where there is none. */
  function drop(field: string): boolean {
    const named = (key: string) =>
      key === `CustomField ${field}` || (/^CustomField /.test(key) && key.endsWith(`.${field}`))
    const key = [...components.keys()].find(named)
    const name = key?.replace('CustomField ', '')
    if (name) wipe(name)
    if (name) forget('CustomField', name)
    return name !== undefined
  }

  return { handle, drop }
}

const child = (element: Element | undefined, name: string) => element?.children.find((each) => each.name === name)
const textIn = (element: Element, name: string) => child(element, name)?.text ?? ''
/** Columns of a list view and fields it filters by. */
const fieldsOf = ({ children }: Element) =>
  children.flatMap((each) =>
    each.name === 'columns' ? each.text : each.name === 'filters' ? textIn(each, 'field') : [],
  )
const values = ({ children }: Element) =>
  Object.fromEntries(children.map(({ name, text, xml, children: inside }) => [name, inside.length > 0 ? xml : text]))

/** An element (`open`: its name and attributes) around others or a text. */
function tag(open: string, content: string | readonly string[]): string {
  const coded = (c: string) => `&#${c.charCodeAt(0)};`
  const inside = typeof content === 'string' ? content.replace(/[&<>"']/g, coded) : content.join('')
  return `<${open}>${inside}</${open.split(' ')[0]}>`
}
function soap(status: number, body: readonly string[]): Answer {
  const spaces =
    'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="http://soap.sforce.com/2006/04/metadata" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
  const envelope = tag(`soapenv:Envelope ${spaces}`, [tag('soapenv:Body', body)])
  return { status, body: `<?xml version="1.0" encoding="UTF-8"?>${envelope}`, headers: { 'content-type': 'text/xml' } }
}
const fault = (code: string, message: string) =>
  soap(500, [tag('soapenv:Fault', [tag('faultcode', `sf:${code}`), tag('faultstring', `${code}: ${message}`)])])

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const entity = (whole: string, name: string, number: string) =>
  name ? (ENTITIES[name] ?? whole) : String.fromCodePoint(Number(number.replace('x', '0x')) % 0x110000)
/** Elements and their text: enough for SOAP, which mixes no text with elements. Prefixes of names are dropped. */
function parseXml(xml: string): Element[] {
  const elements = xml.matchAll(/<(?:\w+:)?(\w+)\b([^>]*?)(?:\/>|>(.*?)<\/(?:\w+:)?\1>)/gs)
  return Array.from(elements, ([, name = '', attributes = '', inside = '']) => ({
    ...{ name, xml: inside, children: parseXml(inside) },
    type: /xsi:type="(?:\w+:)?(\w+)"/.exec(attributes)?.[1] ?? '',
    text: inside.replace(/&(?:([a-z]+)|#(\d+|x[\da-f]+));/gi, entity).trim(),
  }))
}
