// Everything stored of a connection, as it is stored, page by page: for whoever wants to keep it, or to see what is kept.
// Tokens are left out. Read beside what goes on: a run that is under way may be in it by half.
import { sql } from 'kysely'
import type { Executor } from './schema.ts'

const PAGE = 500

/** Where a table is read in the order of an index. Of a run: the rows of each run of the connection, one after the other. */
const TABLES = {
  connection: { of: 'name', key: ['name'] },
  run: { of: 'connection', key: ['local_date', 'seq'] },
  deal: { of: 'connection', key: ['id'] },
  quarantine: { of: 'connection', key: ['deal'] },
  figures: { of: 'run', key: ['run'] },
  transition: { of: 'run', key: ['deal', 'from', 'to'] },
  ledger: { of: 'run', key: ['key'] },
  preview: { of: 'run', key: ['seq'] },
} as const

/** Lines of JSON: `table`, and its columns by the names of the database; instants in milliseconds UTC. */
export async function* exportLines(db: Executor, connection: string): AsyncGenerator<readonly string[]> {
  for (const [table, { of, key }] of Object.entries(TABLES)) {
    if (of !== 'run') yield* pages(db, table, of, connection, key)
    else for await (const run of runs(db, connection)) yield* pages(db, table, of, run, key)
  }
}

async function* runs(db: Executor, connection: string): AsyncGenerator<string> {
  const all = await db
    .selectFrom('run')
    .select('id')
    .where('connection', '=', connection)
    .orderBy('createdAt')
    .execute()
  for (const { id } of all) yield id
}

interface Line {
  readonly line: string
  readonly position: readonly unknown[]
}

async function* pages(db: Executor, table: string, of: string, value: string, key: readonly string[]) {
  const columns = sql.join(key.map((name) => sql.ref(name)))
  let further = sql<boolean>`true`
  for (;;) {
    const page = sql<Line>`SELECT to_jsonb(t)::text AS line, jsonb_build_array(${columns}) AS position
      FROM ${sql.table(table)} AS t WHERE ${sql.ref(of)} = ${value} AND ${further} ORDER BY ${columns} LIMIT ${PAGE}`
    const { rows } = await page.execute(db)
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows.map(({ line }) => `{"table":${JSON.stringify(table)},${line.slice(1)}\n`)
    further = sql`(${columns}) > (${sql.join(last.position)})`
  }
}
