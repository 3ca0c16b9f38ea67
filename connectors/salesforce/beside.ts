// A sorted merge: rows of one query beside the deals of another, page by page, both sorted by the deal's id. It holds what
// Salesforce sorts to be what we compare, and says so where it is not, because rows would be missed.
import { DEAL_ID, type Row } from './wire.ts'

export type Pages = AsyncIterable<{ readonly records: Row[]; readonly totalSize: number; readonly done: boolean }>

/** Ids came in another order than that of their characters, 0-9A-Za-z. */
export class Unsorted extends Error {}

/** The next one is asked for while one is worked on. */
export async function* ahead<T>(pages: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = pages[Symbol.asyncIterator]()
  const ask = () => {
    const asked = iterator.next()
    // Told where it is awaited, if it ever is.
    asked.catch(() => {})
    return asked
  }
  try {
    for (let next = ask(); ; ) {
      const { done, value } = await next
      if (done) return
      next = ask()
      yield value
    }
  } finally {
    await iterator.return?.()
  }
}

/** Throws Unsorted unless each id is at or behind the one before; `after`: the first of them. */
export function inOrder(after = '') {
  let last = after
  return (ids: readonly string[]) => {
    for (const id of ids) {
      if (id < last) throw new Unsorted(`${id} comes after ${last}`)
      last = id
    }
  }
}

/** `of`: the field that names the deal; what names none is left out. `awaited`: the deal whose rows an earlier walk would
 *  have read next, behind the deal `after`. Where it does not come, Salesforce sorts it before that, and rows behind it may
 *  be missed. */
export function beside(pages: Pages, of: string, after?: string, awaited: string | null = null) {
  const source = pages[Symbol.asyncIterator]()
  const check = inOrder(after)
  let rows: Row[] = []
  const next = () => (rows.length > 0 ? String(rows[0]?.[of]) : awaited)
  return {
    /** The deal of the next row, for a later walk to await. */
    next,
    /** The next rows, up to those of the deal `reach` (null: all there are), as they come. */
    async *upTo(reach: string | null): AsyncGenerator<readonly Row[]> {
      for (;;) {
        const end = reach === null ? -1 : rows.findIndex((row) => String(row[of]) > reach)
        yield end === -1 ? rows : rows.slice(0, end)
        rows = end === -1 ? [] : rows.slice(end)
        if (end !== -1) return
        const { done, value } = await source.next()
        if (done && awaited !== null) throw new Unsorted(`${awaited} does not come`)
        if (done) return
        rows = value.records.filter((row) => DEAL_ID.test(String(row[of])))
        const ids = rows.map((row) => String(row[of]))
        check(ids)
        const found = ids.find((id) => awaited !== null && id >= awaited)
        if (found !== undefined && found !== awaited) throw new Unsorted(`${found} comes before ${awaited}`)
        if (found !== undefined) awaited = null
      }
    },
    close: () => source.return?.(undefined),
  }
}
