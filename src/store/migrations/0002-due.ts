// When each deal must be judged again, and what it adds to the figures until then. Whatever is written to a deal's ledger
// makes it due: a promise of the database, because a single forgotten call would hide a deal from the nights.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(DUE).execute(db)
}

const DUE = `
ALTER TABLE unstall.connection ADD COLUMN judged jsonb;
ALTER TABLE unstall.deal ADD COLUMN due_at bigint NOT NULL DEFAULT 0, ADD COLUMN counted jsonb,
  ADD COLUMN cents bigint NOT NULL DEFAULT 0;
-- The condition is that of deal_watched, repeated word for word in deals.ts.
CREATE INDEX deal_due ON unstall.deal (connection, due_at, id)
  WHERE unsettled OR (NOT gone AND (outcome = 'open' OR marked));

CREATE FUNCTION unstall.due_again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE unstall.deal SET due_at = 0 FROM changed
    WHERE deal.connection = changed.connection AND deal.id = changed.deal AND deal.due_at > 0;
  RETURN NULL;
END $$;
CREATE TRIGGER ledger_inserted AFTER INSERT ON unstall.ledger REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION unstall.due_again();
CREATE TRIGGER ledger_updated AFTER UPDATE ON unstall.ledger REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION unstall.due_again();
`
