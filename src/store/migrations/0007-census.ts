// The census goes on over several nights, so its place is kept: what was the moment of the last one begins its week.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(PLACE).execute(db)
}

const PLACE = `
ALTER TABLE unstall.connection ADD COLUMN census jsonb;
UPDATE unstall.connection SET census = jsonb_build_object('since', census_at, 'after', NULL) WHERE census_at IS NOT NULL;
ALTER TABLE unstall.connection DROP COLUMN census_at;
`
