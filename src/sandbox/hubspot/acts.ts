// What someone other than the API client does in HubSpot: a rep moves a stage, a buyer replies, an admin drops a field.
import type { Act } from '../control.ts'
import { WrongAct } from '../kernel.ts'
import { checked } from './properties.ts'
import { type Item, OBJECTS, type Store } from './store.ts'

/** Returns the id of the record, or of the activity it made. Throws WrongAct. */
export function perform(store: Store, act: Act): string | null {
  if (act.act === 'revoke-token') return null
  if (act.act === 'drop-field') return drop(store, act.field)
  const at = act.at === undefined ? store.kernel.now() : Date.parse(act.at)
  const task = store.live('tasks', act.id)
  const onTask = act.act.endsWith('-task') || (act.act === 'set' && task !== undefined)
  const item = onTask ? task : store.live('deals', act.id)
  if (!item) throw new WrongAct(`no ${onTask ? 'task' : 'deal'} ${act.id}`)
  const change = (of: Item, values: Readonly<Record<string, string>>) => store.change(of, values, act.by, at).id
  switch (act.act) {
    case 'move-stage': {
      const placed = store.placed(item, act.to)
      if (!placed) throw new WrongAct(`no stage ${act.to}`)
      return change(item, placed)
    }
    case 'set': {
      const property = store.properties[item.object].get(act.field)
      if (!property) throw new WrongAct(`no property ${act.field}`)
      // A wrong value is kept as it is: this is how a test plants a malformed record.
      const value = act.value === null ? '' : String(act.value)
      const found = checked({ ...property, calculated: false }, act.field, value)
      return change(item, { [act.field]: typeof found === 'string' ? found : value })
    }
    case 'buyer-reply':
      return store.log(item, 'reply', at)
    case 'meeting':
      return store.log(item, 'meeting', at, { held: act.held })
    case 'call':
      return store.log(item, 'call', at, { inbound: act.outcome === 'incoming' })
    case 'complete-task':
      return change(item, { hs_task_status: 'COMPLETED' })
    case 'delete-task':
    case 'delete':
      return store.archive(item)
    case 'merge': {
      const into = store.live('deals', act.into)
      if (!into || into === item) throw new WrongAct(`no other deal ${act.into}`)
      store.archive(item)
      const merged = [into.values.hs_merged_object_ids, item.id].filter(Boolean).join(';')
      return change(into, { hs_merged_object_ids: merged })
    }
  }
}

function drop(store: Store, name: string): null {
  if (OBJECTS.filter((object) => store.drop(object, name)).length === 0) throw new WrongAct(`no property ${name}`)
  return null
}
