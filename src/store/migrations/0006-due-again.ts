// The trigger of 0002 with a condition that PostgreSQL cannot estimate: its statistics are from before the night noted
// when deals are due, say that none is, and made it compare each deal with each row (10 s for 10,000 deals).
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(DUE_AGAIN).execute(db)
}

const DUE_AGAIN = `
CREATE OR REPLACE FUNCTION unstall.due_again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE unstall.deal SET due_at = 0 FROM changed
    WHERE deal.connection = changed.connection AND deal.id = changed.deal AND deal.due_at + 0 > 0;
  RETURN NULL;
END $$;
`
