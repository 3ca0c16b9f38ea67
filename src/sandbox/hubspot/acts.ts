// What someone other than the API client does in HubSpot: a rep moves a stage, a buyer replies, an admin drops a field.
import type { Act } from '../control.ts'
import { type Kernel, WrongAct } from '../kernel.ts'
import { checkValue } from './properties.ts'
import type { Item, Store } from './store.ts'

/** Journals the fields it changed. Returns the id of the record, or of the activity it made. Throws WrongAct. */
export function perform(store: Store, kernel: Kernel, act: Act): string | null {
  const at = act.at === undefined ? kernel.now() : Date.parse(act.at)
  if (act.act === 'revoke-token') return null
  if (act.act === 'drop-field') {
    const dropped = (['deals', 'tasks'] as const).filter((object) => store.dropProperty(object, act.field))
    if (dropped.length === 0) throw new WrongAct(`no property ${act.field}`)
    kernel.record({ object: 'property', id: act.field, before: { name: act.field }, after: null })
    return null
  }
  const task = store.live('tasks', act.id)
  const onTask = act.act === 'complete-task' || act.act === 'delete-task' || (act.act === 'set' && task !== undefined)
  const item = onTask ? task : store.live('deals', act.id)
  if (!item) throw new WrongAct(`no ${onTask ? 'task' : 'deal'} ${act.id}`)
  const change = (values: Readonly<Record<string, string>>) => {
    const before = pick(item, values)
    store.change(item, values, act.by, at)
    if (onTask) store.touchDeals(item)
    kernel.record({ object: onTask ? 'task' : 'deal', id: item.id, before, after: pick(item, values) })
    return item.id
  }
  const remove = () => {
    kernel.record({ object: onTask ? 'task' : 'deal', id: item.id, before: { ...item.values }, after: null })
    store.archive(item)
    if (onTask) store.touchDeals(item)
    return item.id
  }
  switch (act.act) {
    case 'move-stage': {
      const pipeline = store.pipelineOf(item, act.to)
      if (pipeline === undefined) throw new WrongAct(`no stage ${act.to}`)
      return change({ ...(pipeline === item.values.pipeline ? {} : { pipeline }), dealstage: act.to })
    }
    case 'set': {
      const property = store.properties[item.object].get(act.field)
      if (!property) throw new WrongAct(`no property ${act.field}`)
      // A wrong value is kept as it is: this is how a test plants a malformed record.
      const value = act.value === null ? '' : String(act.value)
      const checked = checkValue({ ...property, readOnly: false }, act.field, value)
      return change({ [act.field]: typeof checked === 'string' ? checked : value })
    }
    case 'buyer-reply':
      return store.log(item, 'reply', at)
    case 'meeting':
      return store.log(item, 'meeting', at, act.held)
    case 'call':
      return store.log(item, 'call', at, true, act.outcome === 'incoming')
    case 'complete-task':
      return change({ hs_task_status: 'COMPLETED', hs_task_completion_date: new Date(at).toISOString() })
    case 'delete-task':
    case 'delete':
      return remove()
    case 'merge': {
      const into = store.live('deals', act.into)
      if (!into || into === item) throw new WrongAct(`no other deal ${act.into}`)
      const merged = [into.values.hs_merged_object_ids, item.id].filter(Boolean).join(';')
      store.change(into, { hs_merged_object_ids: merged }, act.by, at)
      remove()
      return into.id
    }
  }
}
const pick = (item: Item, of: object) =>
  Object.fromEntries(Object.keys(of).map((name) => [name, item.values[name] || null]))
