// The plan of a preview row by row: as one value, the plan of a big first night is larger than a value can be.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(TABLES).execute(db)
}

const TABLES = `
CREATE TABLE unstall.preview (
  connection text NOT NULL, run text NOT NULL, seq int NOT NULL, "row" jsonb NOT NULL, PRIMARY KEY (run, seq)
);
INSERT INTO unstall.preview SELECT run.connection, run.id, each.ordinality, each.value
  FROM unstall.run, jsonb_array_elements(run.plan) WITH ORDINALITY AS each;
ALTER TABLE unstall.run DROP COLUMN plan;
`
