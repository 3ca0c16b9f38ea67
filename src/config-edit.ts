// Changes of unstall.config.yaml by a command: only the lines that must change do, comments and order stay a person's own.
import { isMap, isNode, isScalar, isSeq, parseDocument } from 'yaml'
import { UsageError } from './errors.ts'

/** A setting by its place in the file (`policy`, `pipelines`, …, `idleDays`); `before`: what stood there, null for nothing. */
export interface Setting {
  readonly path: readonly string[]
  /** null: it goes. What stays in a list keeps its place and its comment. */
  readonly value: number | string | readonly string[] | null
  readonly before?: unknown
}

/** Puts settings into the text of the file and says which are new. Lines that need not change stay as a person wrote them. */
export function withSettings(
  text: string,
  settings: readonly Setting[],
): { readonly text: string; readonly set: Setting[] } {
  const set: Setting[] = []
  for (const { path, value } of settings) {
    const document = parseDocument(text)
    const style = { lineWidth: 0, flowCollectionPadding: text.includes('{ ') }
    const was = document.toString(style).split('\n')
    const keys: unknown[] = []
    for (const step of path) {
      const group = document.getIn(keys, true)
      if (isScalar(group) && group.value === null) {
        const empty = document.createNode({})
        empty.commentBefore = group.comment ?? null
        document.setIn(keys, empty)
      } else if (group !== undefined && !isMap(group))
        throw new UsageError(`${keys.join('.')} is no group of settings: put ${path.join('.')} there by hand.`)
      // Ids that are numbers stand there without quotes.
      const held = isMap(group) ? group.items.find(({ key }) => String(key) === step)?.key : undefined
      keys.push(isScalar(held) ? held.value : step)
    }
    const held = document.getIn(keys, true)
    const before: unknown = isNode(held) ? held.toJS(document) : null
    if (isSeq(held) && typeof value === 'object' && value !== null) {
      const kept = held.items.filter((item) => value.includes(String(item)))
      const added = value.filter((one) => !kept.some((item) => String(item) === one))
      if (added.length === 0 && kept.length === held.items.length) continue
      held.items = [...kept, ...added.map((one) => document.createNode(one))]
    } else if (before === value) continue
    else if (value === null) document.deleteIn(keys)
    else if (isScalar(held) && typeof value !== 'object') held.value = value
    else {
      const node = document.createNode(value, { flow: true })
      if (isNode(held)) Object.assign(node, { comment: held.comment, commentBefore: held.commentBefore })
      document.setIn(keys, node)
    }
    set.push({ path, value, before })
    text = patched(text, was, document.toString(style).split('\n'))
  }
  return { text, set }
}

/** `text` with what differs between two ways YAML would write it, before and after: no other line is touched. */
function patched(text: string, was: readonly string[], now: readonly string[]): string {
  const lines = text.split(/\r?\n/)
  const squeeze = (line = '') => line.replace(/\s/g, '')
  const at: number[] = []
  for (let [i, n] = [0, 0]; i < was.length; i++, n++) {
    // A file may have more empty lines than YAML would write.
    while (lines[n]?.trim() === '' && was[i]?.trim() !== '') n++
    if (squeeze(lines[n]) === squeeze(was[i])) at.push(n)
  }
  const head = now.findIndex((line, i) => line !== was[i])
  const alike = now.toReversed().findIndex((line, i) => line !== was.at(-1 - i))
  const tail = Math.min(alike, was.length - head, now.length - head)
  const [from = 0, to = lines.length] = [at[head], at[was.length - tail]]
  const kept = [...lines.slice(0, from), ...now.slice(head, now.length - tail), ...lines.slice(to)]
  return (at.length === was.length ? kept : now).join(text.includes('\r\n') ? '\r\n' : '\n')
}
