// What was told to whom: one row per digest, period and recipient, made before it is sent.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(TABLES).execute(db)
}

const TABLES = `
CREATE TABLE unstall.digest (
  kind text NOT NULL CHECK (kind IN ('weekly', 'nightly')), period text NOT NULL, recipient text NOT NULL,
  status text NOT NULL CHECK (status IN ('unknown', 'sent', 'quiet', 'held', 'retry', 'failed')),
  week text NOT NULL, told jsonb NOT NULL, attempts int NOT NULL DEFAULT 0, next_at bigint, problem text,
  created_at bigint NOT NULL, sent_at bigint,
  PRIMARY KEY (kind, period, recipient)
);
CREATE INDEX digest_newest ON unstall.digest (created_at DESC);
`
