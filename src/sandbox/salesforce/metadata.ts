// The Metadata API over SOAP, as far as setup needs it: create, upsert and read of custom fields and permission sets, ten
// components per call, each with its own success or errors.
import type { Answer, Call } from '../kernel.ts'
import { compile, FormulaError } from './formula.ts'
import type { Org, Saver } from './org.ts'
import type { Field, Flag, Row } from './schema.ts'
import { LOST, type SaveError, saveError } from './validate.ts'

interface Element {
  readonly name: string
  readonly type: string
  readonly text: string
  readonly xml: string
  readonly children: readonly Element[]
}

const MAX_COMPONENTS = 10
const TYPES: Record<string, string> = {
  Checkbox: 'boolean',
  Currency: 'currency',
  Date: 'date',
  DateTime: 'datetime',
  Number: 'double',
  Picklist: 'picklist',
  Text: 'string',
}
const wrong = (message: string, code = 'FIELD_INTEGRITY_EXCEPTION') => saveError(code, message)
/** Custom fields of Activity appear on both of its kinds. */
const objectsOf = (object: string) => (object === 'Activity' ? ['Task', 'Event'] : [object])

export function metadataApi(org: Org, valid: (token: string) => boolean, saver: () => Saver) {
  /** As they were sent, by type and full name. */
  const components = new Map<string, Element>()

  function handle(call: Call): Answer {
    const [header, body] = parseXml(call.body)[0]?.children ?? []
    if (!valid(/<(?:\w+:)?sessionId>([^<]*)</.exec(header?.xml ?? '')?.[1] ?? ''))
      return fault('INVALID_SESSION_ID', 'Invalid Session ID found in SessionHeader: Illegal Session')
    const operation = body?.children[0]
    const verb = /^(create|upsert|read)Metadata$/.exec(operation?.name ?? '')?.[1]
    if (!operation || !verb) return fault('UNKNOWN_EXCEPTION', `unknown operation ${operation?.name ?? ''}`)
    const given = operation.children.filter(({ name }) => name === (verb === 'read' ? 'fullNames' : 'metadata'))
    if (given.length > MAX_COMPONENTS)
      return fault('LIMIT_EXCEEDED', `The number of components in one call is limited to ${MAX_COMPONENTS}`)
    const results =
      verb === 'read'
        ? [
            tag(
              'result',
              given.map(({ text }) => read(textOf(operation, 'type'), text)),
            ),
          ]
        : []
    if (verb !== 'read') results.push(...given.map((element) => write(element, verb)))
    return soap(200, [tag(`${operation.name}Response xmlns="http://soap.sforce.com/2006/04/metadata"`, results)])
  }

  function read(type: string, name: string): string {
    const element = components.get(`${type} ${name}`)
    return element ? tag(`records xsi:type="${element.type}"`, [element.xml]) : '<records xsi:nil="true"/>'
  }
  function write(element: Element, verb: string): string {
    const name = textOf(element, 'fullName')
    const key = `${element.type} ${name}`
    const old = components.get(key)
    const make = { CustomField: customField, PermissionSet: permissionSet }[element.type]
    let problem = make ? null : wrong(`type ${element.type} is not played by this sandbox`, 'INVALID_TYPE')
    if (old && verb === 'create') problem = wrong(`${name} is already in use`, 'DUPLICATE_DEVELOPER_NAME')
    problem ??= make?.(element, name) ?? null
    if (!problem) {
      components.set(key, element)
      org.kernel.record({ object: element.type, id: name, before: old ? values(old) : null, after: values(element) })
    }
    const error = problem ? [tag('message', problem.message), tag('statusCode', problem.statusCode)] : []
    return tag('result', [
      ...(verb === 'upsert' ? [tag('created', String(!old && !problem))] : []),
      ...(problem ? [tag('errors', error)] : []),
      ...[tag('fullName', name), tag('success', String(!problem))],
    ])
  }

  function customField(element: Element, fullName: string): SaveError | null {
    const [object = '', name = ''] = fullName.split('.')
    const targets = objectsOf(object).flatMap((target) => org.type(target) ?? [])
    const [target] = targets
    if (!target || ['Task', 'Event'].includes(object))
      return { ...LOST, message: `no CustomObject named ${object} found` }
    if (!/^[A-Za-z](?:_?[A-Za-z0-9])*__c$/.test(name) || name.length > 43)
      return wrong(`The field name '${name}' must begin with a letter, end with __c and use single underscores`)
    const of = (key: string) => textOf(element, key)
    const [kind, label, formula] = [of('type'), of('label'), of('formula')]
    const type = TYPES[kind]
    if (!type || !label) return wrong(`Required field is missing: ${type ? 'label' : 'type'}`)
    const old = target.fields.get(name.toLowerCase())
    if (old && (old.type !== type || (old.formula !== null) !== (formula !== '')))
      return wrong(`Cannot change the field type of ${fullName}`)
    const set = child(element, 'valueSet')
    const listed = child(set, 'valueSetDefinition')?.children ?? []
    const choices = listed.flatMap((each) => (each.name === 'value' ? [textOf(each, 'fullName')] : []))
    const length = Number(of('length'))
    const number = [
      Number(of('precision')) <= 18 && of('scale') !== '',
      "'precision' (at most 18) and 'scale'",
    ] as const
    const needs: Record<string, readonly [met: boolean, what: string]> = {
      Checkbox: [formula !== '' || of('defaultValue') !== '', "'defaultValue' for a Checkbox field"],
      Text: [length >= 1 && length <= 255, "'length' between 1 and 255 for a Text field"],
      Picklist: [choices.length > 0 && new Set(choices).size === choices.length, 'a value set without duplicates'],
      ...{ Number: number, Currency: number },
    }
    const [met, what] = needs[kind] ?? [true, '']
    if (!met) return wrong(`Must specify ${what}`)
    if (of('unique') === 'true') return wrong('unique fields are not played by this sandbox')
    const flags = new Set<Flag>(formula === '' ? ['create', 'update'] : [])
    if (set && textOf(set, 'restricted') === 'true') flags.add('restricted')
    try {
      const compiled = formula && compile(formula, target.fields, of('formulaTreatBlanksAs') === 'BlankAsZero')
      const computed = compiled ? { text: formula, of: compiled } : null
      const field: Field = {
        name,
        label,
        type,
        length,
        flags,
        to: [],
        values: choices,
        custom: true,
        formula: computed,
      }
      for (const each of targets) each.fields.set(name.toLowerCase(), field)
      return null
    } catch (error) {
      if (error instanceof FormulaError) return wrong(error.message)
      throw error
    }
  }

  /** What is sent replaces the set: a permission left out is taken away. A field of Activity is named Task.X or Event.X. */
  function permissionSet(element: Element, name: string): SaveError | null {
    const label = textOf(element, 'label')
    if (!label) return wrong('Required field is missing: label')
    const granted = element.children.filter((each) => each.name === 'fieldPermissions')
    const rows: Row[] = []
    for (const each of granted) {
      const [field, edit] = [textOf(each, 'field'), textOf(each, 'editable') === 'true']
      const [object = '', own = ''] = field.split('.')
      const there = org.type(object)?.fields.get(own.toLowerCase())
      if (!there?.custom) return { ...LOST, message: `In field: field - no CustomField named ${field} found` }
      if (there.formula && edit) return wrong(`Formula field ${field} cannot be editable`)
      const rights = { PermissionsRead: textOf(each, 'readable') === 'true', PermissionsEdit: edit }
      for (const SobjectType of ['Task', 'Event'].includes(object) ? ['Task', 'Event'] : [object])
        rows.push({ SobjectType, Field: `${SobjectType}.${own}`, ...rights })
    }
    const found = org.rows('PermissionSet').find((row) => row.Name === name)
    const set = String(found?.Id ?? org.put('PermissionSet', { Name: name, Label: label }, saver()))
    org.erase('FieldPermissions', (row) => row.ParentId === set)
    for (const row of rows) org.put('FieldPermissions', { ParentId: set, ...row }, saver())
    return null
  }

  /** Somebody deletes a custom field in the set-up pages; false where there is none of that name. */
  function drop(field: string): boolean {
    const keys = [...components.keys()].filter((key) => key.startsWith('CustomField '))
    const key = keys.find((each) => each === `CustomField ${field}` || each.endsWith(`.${field}`))
    const [object, name] = key?.replace('CustomField ', '').split('.') ?? []
    const before = components.get(key ?? '')
    if (!key || !object || !name || !before) return false
    for (const target of objectsOf(object)) {
      org.type(target)?.fields.delete(name.toLowerCase())
      for (const row of org.rows(target)) delete row[name]
      org.erase('FieldPermissions', (row) => row.Field === `${target}.${name}`)
    }
    components.delete(key)
    org.kernel.record({ object: 'CustomField', id: `${object}.${name}`, before: values(before), after: null })
    return true
  }

  return { handle, drop }
}

const child = (element: Element | undefined, name: string) => element?.children.find((each) => each.name === name)
const textOf = (element: Element, name: string) => child(element, name)?.text ?? ''
const values = ({ children }: Element) =>
  Object.fromEntries(children.map(({ name, text, xml, children }) => [name, children.length > 0 ? xml : text]))

/** An element with attributes, around elements or one text. */
function tag(open: string, content: string | readonly string[]): string {
  const inside = typeof content === 'string' ? escaped(content) : content.join('')
  return `<${open}>${inside}</${open.split(' ')[0]}>`
}
const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
function soap(status: number, body: readonly string[]): Answer {
  const spaces = {
    soapenv: 'http://schemas.xmlsoap.org/soap/envelope/',
    xsi: 'http://www.w3.org/2001/XMLSchema-instance',
  }
  const named = Object.entries(spaces).map(([prefix, space]) => ` xmlns:${prefix}="${space}"`)
  const envelope = tag(`soapenv:Envelope${named.join('')}`, [tag('soapenv:Body', body)])
  return { status, body: `<?xml version="1.0" encoding="UTF-8"?>${envelope}`, headers: { 'content-type': 'text/xml' } }
}
const fault = (code: string, message: string) =>
  soap(500, [tag('soapenv:Fault', [tag('faultcode', `sf:${code}`), tag('faultstring', `${code}: ${message}`)])])

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const entity = (whole: string, code: string) => {
  const at = Number(code.replace(/^#(x?)/i, (_, hex) => (hex ? '0x' : '')))
  return ENTITIES[code] ?? (code.startsWith('#') && at < 0x110000 ? String.fromCodePoint(at) : whole)
}
/** Elements and their text: enough for SOAP, which mixes no text with elements. Prefixes of names are dropped. */
function parseXml(xml: string): Element[] {
  const elements = xml.matchAll(/<(?:\w+:)?(\w+)\b([^>]*?)(?:\/>|>(.*?)<\/(?:\w+:)?\1>)/gs)
  return Array.from(elements, ([, name = '', attributes = '', inside = '']) => ({
    ...{ name, xml: inside, children: parseXml(inside) },
    type: /xsi:type="(?:\w+:)?(\w+)"/.exec(attributes)?.[1] ?? '',
    text: inside.replace(/&(#?\w+);/g, entity).trim(),
  }))
}
